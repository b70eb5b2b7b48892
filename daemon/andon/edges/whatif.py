"""Merges commits that nobody asked to merge, many in one go, and leaves nothing of it behind; must never write into a repository.

Theory of operation. A store is a git directory of our own that borrows a repository's objects: what a merge makes is written to
the store alone, without syncing, and goes with it. Merges of pairs are thrown away at once, in a folder of their own. Git's
batch says all at its end, so work is cut into a few pieces that run at the same time; a piece that fails is cut in two until the
merge that git cannot do stands alone, and that one stays unknown.
"""

import asyncio
import contextlib
import fcntl
import os
import re
import stat
import tempfile
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import msgspec

from andon.edges.git import GitFailed, Output, git, make_git_dir, need_place
from andon.schema.ids import Oid

PIECES, PIECE, LARGEST = min(4, os.cpu_count() or 1), 40, 2_000
"""Gits at work at once; merges that are worth one more; merges in one at most."""
DIFF_LIMIT = 32 * 2**20
"""Bytes of diffs that are read; places beyond it are not named."""
MEMORY, ROOM_NEEDED = Path("/dev/shm"), 2**30
"""Where files are kept in memory, and the bytes that must be free there."""
MAKING_S = 60.0
"""A room without a lock is held to be just being made for so long."""
_LOCK = ".lock"
_QUICK = (("core.fsync", "none"), ("core.looseCompression", "0"), ("core.bigFileThreshold", "2m"))
_PLACE = re.compile(rb"@@ -(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))? @@")
_PAIR = re.compile(rb"([0-9a-f]{40,64}) ([0-9a-f]{40,64})")


class Stage(msgspec.Struct, frozen=True):
    """One version of a path that did not merge."""

    mode: str
    oid: Oid
    path: str


class Merged(msgspec.Struct, frozen=True):
    """What a merge gives."""

    tree: Oid
    clean: bool
    stages: dict[str, dict[int, Stage]] = {}
    """Of each conflicted path its versions: 1 base, 2 ours, 3 theirs."""
    said: tuple[tuple[str, str], ...] = ()
    """Conflicts as git names them: path and kind."""


class Change(msgspec.Struct, frozen=True):
    """A path that a merged commit changes against the commit it was merged into."""

    status: str
    """`A`, `M`, `D`, `T`."""
    path: str


Place = tuple[int, int, int, int]
"""A changed place: line and count before, line and count after."""


class Room:
    """A folder for stores: in memory where there is plenty (merges are four times as quick there), else in the factory's scratch.

    What was left in memory by a daemon of this user that was killed goes when the next one makes its room.
    """

    def __init__(self, home: Path) -> None:
        self._made = _in_memory()
        self.path = Path(self._made[0].name) if self._made is not None else home / "scratch"

    def close(self) -> None:
        """The stores are closed; what is in memory goes. Harmless when done twice."""
        if self._made is not None:
            (made, handle), self._made = self._made, None
            made.cleanup()
            os.close(handle)


def _in_memory() -> "tuple[tempfile.TemporaryDirectory[str], int] | None":
    """A new folder in memory, and its lock, which is held for as long as it is used."""
    try:
        free = os.statvfs(MEMORY)
        if free.f_bavail * free.f_frsize < ROOM_NEEDED:
            return None
        for left in MEMORY.glob(f"{_prefix()}*"):
            _sweep(left)
        made = tempfile.TemporaryDirectory(prefix=_prefix(), dir=MEMORY, ignore_cleanup_errors=True)
        handle = os.open(Path(made.name) / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return None
    return made, handle


def _prefix() -> str:
    return f"andon-{os.getuid()}-"


def _sweep(left: Path) -> None:
    """Remove a room of ours whose lock nobody holds; one without a lock only when it is not just being made."""
    with contextlib.ExitStack() as stack:
        stack.enter_context(contextlib.suppress(OSError))
        seen = left.lstat()
        if not stat.S_ISDIR(seen.st_mode) or seen.st_uid != os.getuid():
            return
        try:
            handle = os.open(left / _LOCK, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
        except FileNotFoundError:
            with tempfile.TemporaryFile(dir=MEMORY) as probe:
                if os.fstat(probe.fileno()).st_mtime - seen.st_mtime < MAKING_S:
                    return
        else:
            stack.callback(os.close, handle)
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        with tempfile.TemporaryDirectory(prefix=_prefix(), dir=MEMORY, ignore_cleanup_errors=True) as old:
            left.rename(Path(old) / "left")


class Store:
    """What-if objects of one repository. `close` ends it."""

    def __init__(self, git_dir: Path, room: Path) -> None:
        """`room` is a folder of the factory's own, on the quickest disk there is; it is made when it is not there."""
        need_place(git_dir)
        room.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._aside = tempfile.TemporaryDirectory(prefix=".tmp-forecast-", dir=room, ignore_cleanup_errors=True)
        self.place = Path(self._aside.name) / "git"
        make_git_dir(self.place, objects=(git_dir / "objects",), like=git_dir)

    @property
    def objects(self) -> Path:
        """Where its objects lie."""
        return self.place / "objects"

    def close(self) -> None:
        """Everything in it goes. Harmless when done twice."""
        self._aside.cleanup()

    async def git(self, *args: str, stdin: bytes = b"", objects: Path | None = None, check: bool = True, limit: int | None = None,
                  ) -> Output:
        """Run git in the store, or with `objects` so that it writes there."""
        return await git(*args, git_dir=self.place, objects=objects, stdin=stdin, check=check, limit=limit, config=_QUICK,
                         seconds=600)

    @contextlib.asynccontextmanager
    async def aside(self) -> AsyncIterator[Path]:
        """A folder for objects that nobody needs after the block."""
        made = await asyncio.to_thread(self._make_aside)
        try:
            yield Path(made.name)
        finally:
            await asyncio.to_thread(made.cleanup)

    def _make_aside(self) -> "tempfile.TemporaryDirectory[str]":
        made = tempfile.TemporaryDirectory(prefix="pairs-", dir=self._aside.name, ignore_cleanup_errors=True)
        (Path(made.name) / "info").mkdir()
        (Path(made.name) / "info" / "alternates").write_text(f"{self.objects}\n")
        return made

    # --- merging -----------------------------------------------------------------------------------------------------

    async def merge(self, pairs: Sequence[tuple[Oid, Oid]], objects: Path | None = None) -> list[Merged | None]:
        """Merge each pair of commits; None where git cannot."""
        step = max(1, min(LARGEST, max(PIECE, -(-len(pairs) // PIECES))))
        pieces = [pairs[at : at + step] for at in range(0, len(pairs), step)]
        free = asyncio.Semaphore(PIECES)
        done = await asyncio.gather(*(self._piece(piece, objects, free) for piece in pieces))
        return [one for piece in done for one in piece]

    async def _piece(self, pairs: Sequence[tuple[Oid, Oid]], objects: Path | None, free: asyncio.Semaphore) -> list[Merged | None]:
        async with free:
            lines = "".join(f"{one} {other}\n" for one, other in pairs)
            said = await self.git("merge-tree", "--stdin", stdin=lines.encode(), objects=objects, check=False)
        found = read_merges(said.out) if said.code == 0 else []
        if len(found) == len(pairs):
            return list(found)
        if "No space left" in said.err:
            raise GitFailed(("merge-tree", "--stdin"), said, str(self.place))
        if len(pairs) == 1:
            return [None]
        half = len(pairs) // 2
        return [*await self._piece(pairs[:half], objects, free), *await self._piece(pairs[half:], objects, free)]

    async def commits(self, wanted: Sequence[tuple[Oid, Oid]]) -> list[Oid]:
        """A commit of each (tree, parent), in the store."""
        if not wanted:
            return []
        who = "andon <andon@localhost> 0 +0000"
        folder = await asyncio.to_thread(_write_all, Path(self._aside.name), [
            f"tree {tree}\nparent {parent}\nauthor {who}\ncommitter {who}\n\nwhat if\n" for tree, parent in wanted])
        try:
            names = "".join(f"{folder.name}/{n}\n" for n in range(len(wanted)))
            made = await self.git("hash-object", "-t", "commit", "-w", "--stdin-paths", stdin=names.encode())
        finally:
            await asyncio.to_thread(folder.cleanup)
        return [Oid(line) for line in made.text.splitlines()]

    async def there(self, names: Sequence[str]) -> list[bool]:
        """Of each name (`<commit>`, `<commit>:<folder>`) whether there is such an object."""
        if not names:
            return []
        asked = b"".join(os.fsencode(name) + b"\0" for name in names)
        said = await self.git("cat-file", "--batch-check=%(objecttype)", "-z", stdin=asked)
        return [line in (b"commit", b"tree", b"blob") for line in _answers(said.out, len(names))]

    # --- differences -------------------------------------------------------------------------------------------------

    async def changes(self, pairs: Sequence[tuple[Oid, Oid]]) -> list[tuple[Change, ...]]:
        """What differs between each two trees. Renames show as both of their paths."""
        asked = {f"{old} {new}": None for old, new in pairs if old != new}
        if not asked:
            return [()] * len(pairs)
        said = await self.git("diff-tree", "--stdin", "-r", "--raw", "-z", "--no-renames", "--no-abbrev",
                              stdin="".join(f"{line}\n" for line in asked).encode())
        found = _read_raw(said.out)
        return [tuple(found.get(f"{old} {new}", ())) for old, new in pairs]

    async def places(self, pairs: Sequence[tuple[Oid, Oid]], objects: Path) -> dict[tuple[Oid, Oid], list[Place]]:
        """Where each two versions of a file differ; nothing of a pair that is binary or too large to look at."""
        if not pairs:
            return {}
        blobs = sorted({oid for pair in pairs for oid in pair})
        asked = "\n\n".join(f"100644 blob {oid}\tf" for oid in blobs) + "\n"
        made = (await self.git("mktree", "--batch", stdin=asked.encode(), objects=objects)).text.split()
        tree = dict(zip(blobs, made, strict=True))
        lines = "".join(f"{tree[old]} {tree[new]}\n" for old, new in dict.fromkeys(pairs))
        said = await self.git("diff-tree", "--stdin", "-p", "-U0", "--no-renames", "--no-ext-diff", "--no-textconv", "--no-color",
                              stdin=lines.encode(), objects=objects, limit=DIFF_LIMIT)
        blob = {name: oid for oid, name in tree.items()}
        found: dict[tuple[Oid, Oid], list[Place]] = {}
        into: list[Place] = []
        for line in said.out.split(b"\n"):
            if (pair := _PAIR.fullmatch(line)) is not None:
                into = found.setdefault((blob[pair[1].decode()], blob[pair[2].decode()]), [])
            elif line.startswith(b"@@ ") and (at := _PLACE.match(line)) is not None:
                into.append((int(at[1]), int(at[2] or 1), int(at[3]), int(at[4] or 1)))
        return found

    # --- room --------------------------------------------------------------------------------------------------------

    async def take_from(self, old: "Store", tips: Sequence[Oid], without: Oid) -> None:
        """Take over what these commits of another store need, and nothing else of it; what `without` holds is the repository's."""
        asked = "".join(f"{tip}\n" for tip in dict.fromkeys(tips)) + f"^{without}\n"
        (self.objects / "pack").mkdir(exist_ok=True)
        await old.git("pack-objects", "--revs", "--local", "-q", str(self.objects / "pack" / "pack"), stdin=asked.encode())


def read_merges(out: bytes) -> list[Merged]:
    """What `merge-tree --stdin` said: for each merge its status, tree, conflicted versions, an empty item, messages as (count,
    paths…, kind, text), and an empty item."""
    items, at, found = out.split(b"\0"), 0, list[Merged]()
    while at + 1 < len(items):
        clean, tree, at = items[at] == b"1", Oid(items[at + 1].decode()), at + 2
        stages: dict[str, dict[int, Stage]] = {}
        said: list[tuple[str, str]] = []
        if not clean:
            while items[at]:
                head, _, name = items[at].partition(b"\t")
                mode, oid, stage = head.decode().split()
                path = os.fsdecode(name)
                stages.setdefault(path, {})[int(stage)] = Stage(mode, Oid(oid), path)
                at += 1
            at += 1
            while items[at]:
                count = int(items[at])
                kind = items[at + count + 1].decode(errors="replace")
                if kind.startswith("CONFLICT") and count:
                    said.append((os.fsdecode(items[at + 1]), kind))
                at += count + 3
        at += 1
        found.append(Merged(tree, clean, stages, tuple(said)))
    return found


def _read_raw(out: bytes) -> dict[str, list[Change]]:
    """`diff-tree --stdin --raw -z`: a line that names the two trees, then (modes and status, path) of each change."""
    found: dict[str, list[Change]] = {}
    into: list[Change] = []
    items = iter(out.split(b"\0"))
    for item in items:
        *names, item = item.split(b"\n")
        for name in names:
            into = found.setdefault(name.decode(), [])
        if item.startswith(b":"):
            into.append(Change(item.split()[4].decode()[:1], os.fsdecode(next(items))))
    return found


def _answers(out: bytes, count: int) -> list[bytes]:
    """The answers of `cat-file --batch-check -z`: a missing name is repeated before its word, newlines and all."""
    lines = out.split(b"\n")[:-1]
    if len(lines) == count:
        return lines
    return [b"? missing"] * count  # a name with a newline: better not known than taken for another


def _write_all(folder: Path, texts: Sequence[str]) -> "tempfile.TemporaryDirectory[str]":
    made = tempfile.TemporaryDirectory(prefix="commits-", dir=folder, ignore_cleanup_errors=True)
    for n, text in enumerate(texts):
        (Path(made.name) / str(n)).write_text(text)
    return made
