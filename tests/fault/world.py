"""Reads a factory from outside: the ledger by plain SQLite, git, /proc. It must never know Andon's code."""

import hashlib
import json
import os
import sqlite3
import subprocess
from collections.abc import Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

GENESIS = "0" * 64
CLEAN = {"GIT_OPTIONAL_LOCKS": "0", "GIT_CONFIG_NOSYSTEM": "1", "LC_ALL": "C"}


@dataclass(frozen=True)
class Row:
    """One ledger row as it lies in the file."""

    seq: int
    at: int
    kind: str
    version: int
    text: str
    prev: str
    hash: str
    data: dict[str, Any]

    def __getitem__(self, name: str) -> Any:
        return self.data.get(name, "")


@dataclass(frozen=True)
class Scene:
    """What is judged, and what was noted outside of it while it ran."""

    home: Path
    runtime: Path
    repo: Path
    outside: Path
    """Where the agents noted their starts and commits, and the driver what it saw of the target."""
    before: Mapping[str, Any] = field(default_factory=dict)
    """`person(repo)` before anything ran."""
    check: tuple[str, ...] = ()
    """The check, to be run in a fresh clone; `{report}` is filled in."""
    target: str = "main"
    harmed: bool = False
    """Whether the test itself ended agents, so that lost attempts are no fault of the daemon."""
    poison: frozenset[str] | None = None
    """Tasks whose change must never land, where that is known; then all others must, but what was cancelled or is held."""

    @property
    def trunk(self) -> str:
        return f"refs/andon/trunk/{self.target}"

    @property
    def git_dir(self) -> Path:
        return self.repo / ".git"


def git(repo: Path, *args: str, stdin: str = "", check: bool = True) -> str:
    """The output of a git command; empty when it fails and `check` is off."""
    argv = ("git", "-C", str(repo), "-c", "gc.auto=0", *args)
    done = subprocess.run(argv, input=stdin, capture_output=True, text=True, errors="surrogateescape", timeout=120, check=False,
                          env={**os.environ, **CLEAN})
    if done.returncode != 0 and check:
        raise AssertionError(f"git {' '.join(args)} in {repo}: {done.stderr}")
    return done.stdout.strip() if done.returncode == 0 else ""


def rows(home: Path) -> list[Row]:
    """Every row of the ledger, in order of seq."""
    if not (home / "ledger.db").exists():
        return []
    with closing(sqlite3.connect(f"file:{home / 'ledger.db'}?mode=ro", uri=True, timeout=10)) as db:
        if not db.execute("SELECT 1 FROM sqlite_master WHERE name = 'event'").fetchone():
            return []
        told = db.execute("SELECT seq, at, kind, version, data, prev, hash FROM event ORDER BY seq").fetchall()
    return [Row(seq, at, kind, version, data, prev, hash_, json.loads(data)) for seq, at, kind, version, data, prev, hash_ in told]


def link(row: Row) -> str:
    """The hash that a row must have."""
    said = f"{row.prev}\n{row.seq}\n{row.at}\n{row.kind}\n{row.version}\n{row.text}"
    return hashlib.sha256(said.encode("utf-8", "surrogatepass")).hexdigest()


def of(told: Iterable[Row], *kinds: str) -> list[Row]:
    """The rows of these kinds."""
    return [row for row in told if row.kind in kinds]


def refs(repo: Path, prefix: str = "") -> dict[str, str]:
    """Refs and where they point."""
    told = git(repo, "for-each-ref", "--format=%(refname) %(objectname)", *([prefix] if prefix else []))
    return dict(line.split(" ", 1) for line in told.splitlines())


def reachable(repo: Path) -> set[str]:
    """Every object that some ref of the repository holds."""
    told = git(repo, "rev-list", "--objects", "--no-object-names", "--all", "HEAD")
    return set(told.split())


def is_ancestor(repo: Path, older: str, newer: str) -> bool:
    """Whether `newer` contains `older`."""
    done = subprocess.run(("git", "-C", str(repo), "merge-base", "--is-ancestor", older, newer), capture_output=True, check=False)
    return done.returncode == 0


def person(repo: Path) -> dict[str, Any]:
    """What belongs to the person: everything but the factory's refs and the target, tracked files as git status sees them."""
    status = git(repo, "status", "--porcelain", "-uall", "--ignored", "-z").split("\0")
    loose = sorted(item[3:] for item in status if item[:2] in ("??", "!!"))
    hooks = repo / ".git" / "hooks"
    return {
        "head": git(repo, "symbolic-ref", "HEAD", check=False) or git(repo, "rev-parse", "HEAD"),
        "refs": {name: oid for name, oid in refs(repo).items() if not name.startswith(("refs/andon/", "refs/notes/andon"))},
        "config": (repo / ".git" / "config").read_text(),
        "hooks": sorted(path.name for path in hooks.iterdir()) if hooks.is_dir() else [],
        "tracked": sorted(item for item in status if item and item[:2] not in ("??", "!!")),
        "loose": {name: digest(repo / name) for name in loose if (repo / name).is_file()},
        "dirty": {item[3:]: digest(repo / item[3:]) for item in status
                  if item and item[:2] not in ("??", "!!") and (repo / item[3:]).is_file()},
        "staged": git(repo, "diff", "--cached", "--raw", "--no-abbrev", "--no-renames"),
    }


def digest(path: Path) -> str:
    """sha256 of a file's bytes."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def lines(path: Path) -> list[list[str]]:
    """The words of each whole line of a note file."""
    text = path.read_text() if path.exists() else ""
    return [line.split() for line in text.splitlines()]


def processes(*needles: Path) -> list[tuple[int, str, str, str]]:
    """Live processes that name one of these places in argv, environment or working directory: pid, argv, attempt, run."""
    wanted = [os.fsencode(needle) for needle in needles]
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            argv, environ = (entry / "cmdline").read_bytes(), (entry / "environ").read_bytes()
            cwd = os.fsencode((entry / "cwd").readlink())
            state = (entry / "stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            continue
        told = b"\0".join((argv, environ, cwd))
        if state in "ZX" or int(entry.name) == os.getpid() or not any(one in told for one in wanted):
            continue
        env = dict(item.partition(b"=")[::2] for item in environ.split(b"\0") if b"=" in item)
        tree = Path(os.fsdecode(env.get(b"ANDON_TREE", b"")))
        attempt = tree.name.partition("~")[0] if tree.parent.name == "jobs" else ""
        run = env.get(b"ANDON_RUN", b"").decode(errors="replace")
        found.append((int(entry.name), argv.replace(b"\0", b" ").decode(errors="replace").strip(), attempt, run))
    return found


def panes(runtime: Path) -> list[tuple[str, bool]]:
    """Sessions of the factory's tmux server and whether their process is dead."""
    if not (runtime / "tmux.sock").exists():
        return []
    told = subprocess.run(("tmux", "-S", str(runtime / "tmux.sock"), "list-panes", "-a", "-F", "#{session_name} #{pane_dead}"),
                          capture_output=True, text=True, check=False, timeout=20)
    return [(name, dead == "1") for name, dead in (line.split(" ") for line in told.stdout.splitlines())]
