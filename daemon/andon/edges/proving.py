"""Clean checkouts of exact commits, in which the daemon proves; must never believe what the code under test could have written.

Theory of operation. A slot is a directory of files; the git directory and index that the daemon uses for it lie beside it
(`slot1.git`), where the code under test has no business. Between two runs the slot is switched, not remade: git knows by size,
inode and change time what a run touched. The `.git` inside is a throw-away for tools that ask for a version; the daemon never
reads it. A slot that cannot be brought to the exact tree is made anew, once.
"""

import asyncio
import contextlib
import heapq
import itertools
import shutil
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

from andon.edges import marker, salvage
from andon.edges.git import git, held, make_git_dir
from andon.edges.marker import Marker
from andon.edges.protected import Protected, compose
from andon.schema.errors import Mistake
from andon.schema.faults import point
from andon.schema.ids import Oid, RepoId
from andon.schema.layout import Layout


class _Turns:
    """Who may use which slot of one repository: landings first, else in order of asking."""

    def __init__(self) -> None:
        self.busy: set[int] = set()
        self.waiting: list[tuple[int, int, int, asyncio.Future[int]]] = []
        self.asked = itertools.count()

    async def take(self, slots: int, landing: bool) -> int:
        """The number of a slot that is now the caller's."""
        turn: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        heapq.heappush(self.waiting, (0 if landing else 1, next(self.asked), slots, turn))
        self.deal()
        try:
            return await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.give_back(turn.result())
            raise

    def give_back(self, number: int) -> None:
        """The slot is free again."""
        self.busy.discard(number)
        self.deal()

    def deal(self) -> None:
        """Hand free slots to those who wait, best first."""
        while self.waiting:
            _, _, slots, turn = self.waiting[0]
            free = next((n for n in range(1, max(1, slots) + 1) if n not in self.busy), None)
            if turn.done():
                heapq.heappop(self.waiting)
            elif free is None:
                return
            else:
                heapq.heappop(self.waiting)
                self.busy.add(free)
                turn.set_result(free)


class Proving:
    """The slots of a factory."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._turns: dict[Path, _Turns] = {}

    @contextlib.asynccontextmanager
    async def slot(self, repo: RepoId, git_dir: Path | str, commit: Oid, tree: Oid, *, keep: tuple[str, ...] = (), slots: int = 1,
                   landing: bool = False) -> AsyncIterator[Path]:
        """A directory that holds exactly `tree` (and the ignored paths of `keep`), the caller's own until the block ends.

        At most `slots` at once in a repository; landings get a free slot before others. A Mistake when the tree cannot be had.
        """
        room = self._layout.proving(repo)
        turns = self._turns.setdefault(room, _Turns())
        number = await turns.take(slots, landing)
        path = room / f"slot{number}"
        try:
            async with held(room / f".slot{number}.lock") as hold:
                await self._ready(path, Path(git_dir), commit, tree, keep, hold)
                yield path
        finally:
            turns.give_back(number)

    @contextlib.asynccontextmanager
    async def adopt(self, path: Path) -> AsyncIterator[Path]:
        """Keep the slot of a run that a former daemon started, as it is, until the block ends. A Mistake when it is taken."""
        turns = self._turns.setdefault(path.parent, _Turns())
        number = int(path.name.removeprefix("slot"))
        if number in turns.busy or marker.ours(path, self._layout) is None:
            raise Mistake(f"{path} is not free, or not a slot of ours.", where=str(path), mend="The run is planned again.")
        turns.busy.add(number)
        try:
            async with held(path.parent / f".slot{number}.lock"):
                yield path
        finally:
            turns.give_back(number)

    async def tampered(self, path: Path) -> tuple[str, ...]:
        """The tracked files of a slot that are not as they were checked out."""
        seen = await git("status", "--porcelain", "-z", "--untracked-files=no", "--no-renames", "--ignore-submodules=all",
                         git_dir=_aside(path), work_tree=path)
        return tuple(sorted(item[3:] for item in seen.items if item[1] != " "))

    async def protect(self, path: Path, git_dir: Path | str, globs: tuple[str, ...], base: Oid, commit: Oid) -> Protected:
        """Put the protected paths of `base` into a slot that holds `commit`; the slot is as it should be again at its next use."""
        made = await compose(Path(git_dir), _aside(path), globs, base, commit)
        await git("read-tree", "--reset", "-u", made.tree, git_dir=_aside(path), work_tree=path)
        await asyncio.to_thread(shutil.copy2, _aside(path) / "index", path / ".git" / "index")
        point("proving.protected")
        return made

    async def _ready(self, path: Path, common: Path, commit: Oid, tree: Oid, keep: tuple[str, ...], hold: int) -> None:
        await asyncio.to_thread(_unlock, path)
        try:
            if await asyncio.to_thread(self._stands, path, common):
                await self._switch(path, common, commit, tree, keep, hold)
                return
        except Mistake:
            pass  # whatever a run left there, a new slot has not
        await self._rebuild(path, common)
        await self._switch(path, common, commit, tree, keep, hold)

    def _stands(self, path: Path, common: Path) -> bool:
        known = marker.ours(path, self._layout)
        return known is not None and known.git_dir == str(common) and (_aside(path) / "HEAD").is_file()

    async def _rebuild(self, path: Path, common: Path) -> None:
        await salvage.destroy(path, self._layout)
        point("proving.cleared")
        await asyncio.to_thread(_lay, path, common)

    async def _switch(self, path: Path, common: Path, commit: Oid, tree: Oid, keep: tuple[str, ...], hold: int) -> None:
        await salvage.scrub(path, _aside(path), commit, keep, self._layout, hold)
        point("proving.scrubbed")
        written, changed, tags = await asyncio.gather(
            git("write-tree", git_dir=_aside(path), hold=hold), self.tampered(path),
            git("for-each-ref", "--format=%(objectname) %(refname)", "refs/tags", git_dir=common))
        if written.oid != tree or changed:
            seen = f"files {', '.join(changed[:5])}" if changed else f"tree {written.oid}"
            raise Mistake(f"A clean checkout of {commit} is not tree {tree}: {seen}.", where=str(path),
                          mend="See whether something else writes there.")
        await asyncio.to_thread(_throw_away, path, common, commit, tags.text)
        point("proving.ready")


def _aside(path: Path) -> Path:
    return path.with_name(f"{path.name}.git")


def _unlock(path: Path) -> None:
    """Whoever holds the slot knows that no git of ours is at work in it: locks are left by one that was ended."""
    for lock in _aside(path).glob("*.lock"):
        lock.unlink(missing_ok=True)


def _lay(path: Path, common: Path) -> None:
    place = _aside(path)
    make_git_dir(place, objects=(common / "objects",), like=common, bare=False)
    (place / "objects" / "info" / "alternates").write_text(f"{common / 'objects'}\n")
    (place / "index").unlink(missing_ok=True)
    made = path.with_name(f".tmp-{path.name}-{uuid.uuid4().hex[:8]}")
    made.mkdir(parents=True, mode=0o700)
    device, inode = marker.identity(made)
    marker.write(path, Marker(kind="slot", device=device, inode=inode, git_dir=str(common)), durable=True)
    point("proving.recorded")
    made.rename(path)


def _throw_away(path: Path, common: Path, commit: Oid, tags: str) -> None:
    """A git directory for the code under test to play with: HEAD, tags, index; its own, and gone before the next run."""
    make_git_dir(path / ".git", objects=(common / "objects",), like=common, head=commit, bare=False)
    (path / ".git" / "packed-refs").write_text(tags + "\n" if tags else "")
    with contextlib.suppress(FileNotFoundError):
        shutil.copy2(_aside(path) / "index", path / ".git" / "index")
