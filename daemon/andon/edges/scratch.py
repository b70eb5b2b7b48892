"""Reads the files of an agent's checkout through a git directory of the daemon's own; must never give git the agent's.

Theory of operation. A scratch git directory borrows the objects of the repository and of the checkout, and has our configuration
and no attributes, hooks or filters. What the agent's git directory says (HEAD, refs, logs, index) is read as plain bytes: no link
is followed, no pipe is waited for, sizes are bounded.
"""

import asyncio
import contextlib
import os
import re
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path

import msgspec

from andon.edges import beneath, marker
from andon.edges.git import Output, git, make_git_dir, read_ref
from andon.schema.ids import Oid
from andon.schema.layout import Layout

FILE_LIMIT, FILES_LIMIT = 16 * 2**20, 50_000
"""Bytes read of one file of an agent's git directory (its last ones), and how many files are looked at."""
EXACT = "* -text !eol !ident !filter !working-tree-encoding !diff !merge\n"
"""Attributes under which bytes go into git as they are."""
_HEX = re.compile(rb"(?<![0-9a-f])(?:[0-9a-f]{64}|[0-9a-f]{40})(?![0-9a-f])")
_NO_SYNC = (
    ("core.fsync", "none"), ("core.protectNTFS", "false"), ("core.protectHFS", "false"), ("advice.addEmbeddedRepo", "false"),
)


class Scratch(msgspec.Struct, frozen=True):
    """A git directory of the daemon's own over the files of a checkout."""

    place: Path
    checkout: Path
    agent: Path | None
    """The checkout's git directory, to be read as bytes; None when it is not the directory that we made."""

    @property
    def index(self) -> Path:
        """The daemon's own index of the checkout's files."""
        return self.place / "index"

    async def git(self, *args: str, index: Path | None = None, stdin: bytes = b"", check: bool = True, files: bool = False,
                  env: dict[str, str] | None = None, limit: int | None = None) -> Output:
        """Run git in the scratch; with `files`, over the checkout's files."""
        return await git(*args, git_dir=self.place, index=index or self.index, work_tree=self.checkout if files else None,
                         cwd=self.checkout if files else self.place, stdin=stdin, check=check, env=env, limit=limit,
                         config=_NO_SYNC, seconds=600)

    async def change_index(self, *args: str, stdin: bytes = b"") -> None:
        """Change the index without the files, and give it back its time: by it git knows which files to look into, because they
        may have changed within the second in which they were checked out."""
        before = self.index.stat() if self.index.exists() else None
        await self.git(*args, stdin=stdin)
        if before is not None:
            os.utime(self.index, ns=(before.st_atime_ns, before.st_mtime_ns))


@contextlib.asynccontextmanager
async def scratch(git_dir: Path, checkout: Path, layout: Layout, *, exact: bool) -> AsyncIterator[Scratch]:
    """A scratch over a checkout, gone afterwards. With `exact`, files go in byte by byte; else as their attributes say."""
    room = layout.home / "scratch"
    await asyncio.to_thread(room.mkdir, parents=True, exist_ok=True, mode=0o700)
    aside = tempfile.TemporaryDirectory(prefix=f".tmp-{checkout.name}-", dir=room, ignore_cleanup_errors=True)
    try:
        yield await asyncio.to_thread(_lay, Path(aside.name) / "git", Path(git_dir), checkout, exact, await excludes(git_dir))
    finally:
        await asyncio.to_thread(aside.cleanup)


def _lay(place: Path, git_dir: Path, checkout: Path, exact: bool, ignored: str) -> Scratch:
    agent = agent_git_dir(git_dir, checkout)
    borrowed = [git_dir / "objects"]
    if agent is not None and _is_dir(agent / "objects"):
        borrowed.append(agent / "objects")
    make_git_dir(place, objects=borrowed, like=git_dir, bare=False)
    (place / "info" / "exclude").write_text(ignored)
    if exact:
        (place / "info" / "attributes").write_text(EXACT)
    with contextlib.suppress(FileNotFoundError):
        shutil.copy2(marker.index(checkout), place / "index")  # with its time: git tells racy entries by it
    return Scratch(place, checkout, agent)


async def excludes(git_dir: Path | str) -> str:
    """What the person ignores beyond the repository's own `.gitignore` files: their global file and `info/exclude`."""
    asked = await git("config", "--type=path", "--get", "core.excludesFile", git_dir=git_dir, trusted=True, check=False)
    config_home = os.environ.get("XDG_CONFIG_HOME") or f"{os.environ.get('HOME', '')}/.config"
    named = Path(asked.text) if asked.code == 0 and asked.text else Path(config_home) / "git" / "ignore"
    theirs = (named.resolve(), (Path(git_dir) / "info" / "exclude").resolve())  # the person's own links count
    return "".join(read_plain(path).decode(errors="replace") + "\n" for path in theirs)


def agent_git_dir(git_dir: Path, checkout: Path) -> Path | None:
    """The git directory of a checkout: its own `.git` directory, or the linked worktree's entry; None for anything else."""
    entry = worktree_entry(git_dir, checkout)
    if entry is None and _is_dir(checkout / ".git"):
        return checkout / ".git"
    return entry


def worktree_entry(git_dir: Path, checkout: Path) -> Path | None:
    """The entry of a linked worktree in its repository, found from the repository's side."""
    for entry in _list(git_dir / "worktrees"):
        if read_plain(entry / "gitdir").decode(errors="replace").strip() == str(checkout / ".git"):
            return entry
    return None


def linked(scratch: Scratch) -> bool:
    """Whether the checkout is a linked worktree: its objects and branches are the repository's own."""
    return scratch.agent is not None and scratch.agent != scratch.checkout / ".git"


async def head_of(scratch: Scratch, git_dir: Path) -> Oid | None:
    """The commit that the checkout's HEAD names, or None; read from files, existence not checked."""
    if scratch.agent is None:
        return None
    said = read_plain(scratch.agent / "HEAD", root=scratch.agent).decode(errors="replace").strip()
    if not said.startswith("ref: "):
        return Oid(said) if _HEX.fullmatch(said.encode()) else None
    name = said.removeprefix("ref: ").strip()
    if not name.startswith("refs/") or ".." in name.split("/"):
        return None
    if linked(scratch):
        return await read_ref(git_dir, name)
    loose = read_plain(scratch.agent / name, root=scratch.agent).decode(errors="replace").strip()
    if _HEX.fullmatch(loose.encode()):
        return Oid(loose)
    for line in read_plain(scratch.agent / "packed-refs", root=scratch.agent).decode(errors="replace").splitlines():
        oid, _, ref = line.partition(" ")
        if ref == name:
            return Oid(oid)
    return None


def mentioned(agent: Path) -> set[str]:
    """Every object name that refs, logs, HEADs and unfinished rebases of a git directory mention."""
    found: set[str] = set()
    for path in _tellers(agent):
        found.update(match.decode() for match in _HEX.findall(read_plain(path, root=agent)))
    return found


async def own_objects(scratch: Scratch) -> set[str]:
    """The names of all objects in the checkout's own object store, loose and packed; empty for a linked worktree."""
    if scratch.agent is None or linked(scratch):
        return set()
    found: set[str] = set()
    for folder in _list(scratch.agent / "objects"):
        if len(folder.name) == 2 and _is_dir(folder):
            found.update(name for file in _list(folder) if _HEX.fullmatch((name := folder.name + file.name).encode()))
    for pack in _list(scratch.agent / "objects" / "pack"):
        if pack.suffix == ".idx" and _is_plain(pack):
            data = await asyncio.to_thread(read_plain, pack, 2**30, scratch.agent)
            shown = await scratch.git("show-index", stdin=data, check=False)
            found.update(line.split()[1] for line in shown.text.splitlines() if len(line.split()) > 1)
    return found


async def kinds(scratch: Scratch, names: Sequence[str]) -> dict[str, str]:
    """The type of each named object that exists."""
    asked = await scratch.git("cat-file", "--batch-check=%(objectname) %(objecttype)", stdin="\n".join(names).encode() + b"\n")
    pairs = (line.split() for line in asked.text.splitlines())
    return {pair[0]: pair[1] for pair in pairs if len(pair) == 2 and pair[1] != "missing"}


def read_plain(path: Path, limit: int = FILE_LIMIT, root: Path | None = None) -> bytes:
    """The last `limit` bytes of a regular file; nothing when there is none. No link below `root` is followed, no pipe waited for.

    `root` is the file's own folder unless another above it is given.
    """
    place = path.parent if root is None else root
    try:
        return beneath.tail(place, str(path.relative_to(place)), limit)
    except OSError:
        return b""


def _tellers(agent: Path) -> Iterator[Path]:
    yield from (path for path in _list(agent) if path.name.endswith("HEAD") or path.name == "packed-refs")
    left = FILES_LIMIT
    for name in ("refs", "logs", "rebase-merge", "rebase-apply", "sequencer", "worktrees"):
        if not _is_dir(agent / name):
            continue
        for folder, _, files in os.walk(agent / name, followlinks=False):
            for file in files:
                left -= 1
                if left < 0:
                    return
                yield Path(folder) / file


def _list(path: Path) -> list[Path]:
    return [path / name for name in beneath.names(path, ".", FILES_LIMIT)]


def _is_dir(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()


def _is_plain(path: Path) -> bool:
    return path.is_file() and not path.is_symlink()
