"""Real repositories for tests, made fast and the same each time."""

import os
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path

ENV = {
    "GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_AUTHOR_NAME": "Test", "GIT_AUTHOR_EMAIL": "test@example.org",
    "GIT_COMMITTER_NAME": "Test", "GIT_COMMITTER_EMAIL": "test@example.org", "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C",
}


def run(path: Path, *args: str, stdin: bytes = b"", check: bool = True, env: Mapping[str, str] | None = None) -> str:
    """Run git in `path` as a plain user would; its output without the last newline."""
    base = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
    done = subprocess.run(("git", *args), cwd=path, env=base | ENV | dict(env or {}), input=stdin, capture_output=True, check=False)
    assert not check or done.returncode == 0, f"git {' '.join(args)}: {os.fsdecode(done.stderr)}"
    return os.fsdecode(done.stdout).removesuffix("\n")


def make_repo(path: Path, files: Mapping[str, str] | None = None, commits: int = 1) -> Path:
    """A repository with branch main: the first commit holds `files`, each further one changes `history.txt`."""
    path.mkdir(parents=True, exist_ok=True)
    run(path, "init", "-q", "-b", "main", "--template=")
    commit(path, {"README.md": "# Project\n"} if files is None else files, "First")
    for n in range(1, commits):
        commit(path, {"history.txt": f"{n}\n"}, f"Change {n}")
    return path


def write(path: Path, files: Mapping[str, str | None]) -> None:
    """Write files below `path`; None removes."""
    for name, text in files.items():
        file = path / name
        if text is None:
            file.unlink()
            continue
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)


def commit(path: Path, files: Mapping[str, str | None], message: str) -> str:
    """Write files, commit everything, and name the commit."""
    write(path, files)
    run(path, "add", "-A")
    run(path, "commit", "-q", "--allow-empty", "-m", message)
    return run(path, "rev-parse", "HEAD")


def big_repo(path: Path, files: int = 5000, commits: int = 1, size: int = 2000) -> Path:
    """A repository of many files in many directories, made by fast-import and checked out."""
    path.mkdir(parents=True, exist_ok=True)
    run(path, "init", "-q", "-b", "main", "--template=")
    run(path, "fast-import", "--quiet", stdin=b"".join(_stream(files, commits, size)))
    run(path, "reset", "-q", "--hard")
    return path


def _stream(files: int, commits: int, size: int) -> Iterable[bytes]:
    who = b"committer Test <test@example.org> %d +0000\n"
    for n in range(commits):
        yield b"commit refs/heads/main\n" + who % (1700000000 + n) + b"data 7\nchange\n\n"
        for i in range(files) if n == 0 else range(n % files, min(files, n % files + 20)):
            text = (f"# file {i} change {n}\n" + "x = 1\n" * (size // 6)).encode()
            yield b"M 100644 inline src/d%03d/e%02d/f%05d.py\ndata %d\n%s\n" % (i % 97, i % 13, i, len(text), text)


def ref(path: Path, name: str) -> str:
    """Where a ref points; empty when there is none."""
    return run(path, "rev-parse", "--verify", "-q", name, check=False)


def tree(path: Path, name: str = "HEAD") -> str:
    """The tree of a commit."""
    return run(path, "rev-parse", f"{name}^{{tree}}")


def reachable_blobs(path: Path, *tips: str) -> set[str]:
    """Every object name reachable from tips (by default all refs)."""
    return {line.split()[0] for line in run(path, "rev-list", "--objects", *(tips or ("--all",))).splitlines()}


def blob_oid(data: bytes, path: Path) -> str:
    """The name that git gives these bytes."""
    return run(path, "hash-object", "--stdin", "--no-filters", stdin=data)
