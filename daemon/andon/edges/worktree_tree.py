"""Reads the files of a checkout at work as a throw-away commit; must never write into the checkout, its index or its objects.

Theory of operation. Git runs in a scratch of the daemon's own, over the checkout's files, with the index that the daemon kept when
it made the checkout: what differs from it is what the agent did, committed or not. Only that is read, within bounds, into the
object store of whoever asks. The commit's parent is where the agent's HEAD last met the target, so that it merges as the agent's
work would. A file that changes while it is read gives one of its versions; the next look sees the other.
"""

import asyncio
import logging
import os
import shutil
import stat
from collections.abc import Iterable
from pathlib import Path

import msgspec

from andon.edges import marker
from andon.edges.scratch import Scratch, head_of, scratch
from andon.schema.errors import Mistake
from andon.schema.ids import Oid
from andon.schema.layout import Layout

FILES, BYTES, LISTED = 2_000, 32 * 2**20, 4 * 2**20
"""Changed files that are read at most, their bytes together, and bytes of their names."""
FILE = 4 * 2**20
"""A file larger than this is left out: nobody edits one by hand."""
DATE = "@0 +0000"
"""Of all throw-away commits: the same files on the same base are the same commit."""
log = logging.getLogger("andon.forecast")


class AtWork(msgspec.Struct, frozen=True, kw_only=True):
    """What a checkout held at one moment."""

    commit: Oid
    """In the store that was given."""
    whole: bool = True
    """Nothing that git tracks was left out for its size."""
    size: int = 0
    """Bytes that were read."""
    seen: tuple[tuple[str, str, int, int, int], ...] = ()
    """The changed files with size and times, to know again that nothing happened."""
    base: tuple[str, ...] = ()
    """HEAD and the target, by which the parent was chosen."""


async def read(
    git_dir: Path, checkout: Path, base: Oid, target: Oid, store: Path, layout: Layout, before: AtWork | None = None,
) -> AtWork | None:
    """The checkout as a commit in the object directory `store`, which borrows the repository's objects.

    `before` is returned itself when nothing has changed since. None when there is no checkout of ours, or its files cannot be
    read now: nothing is known of it then.
    """
    if marker.ours(checkout, layout) is None:
        return None
    try:
        async with scratch(git_dir, checkout, layout, exact=False) as room:
            index = await _index(room, store)
            if index is None:
                return None
            head = str(await head_of(room, git_dir) or base)
            changed, complete = await _changed(room, index)
            seen, gone, whole = await asyncio.to_thread(_look, checkout, changed)
            if before is not None and before.seen == seen and before.base == (head, target):
                return before
            parent = await _parent(room, Oid(head), base, target)
            keep = [path for _, path, size, _, _ in seen if size >= 0]
            await asyncio.to_thread(shutil.copy2, index, room.index)
            commit = await _commit(room, keep, gone, parent, store)
            size = sum(max(0, size) for _, _, size, _, _ in seen)
            return AtWork(commit=commit, whole=whole and complete, size=size, seen=seen, base=(head, target))
    except (Mistake, OSError) as error:
        log.info("%s cannot be read now: %s", checkout, error)
        return None


async def _index(room: Scratch, store: Path) -> Path | None:
    """The daemon's index of the checkout as it was made, kept in the store once it was refreshed: git looks into every file that
    is not older than its index, and those of a new checkout are not."""
    kept = store.parent / f"index-{room.checkout.name}"
    if not kept.exists() and room.index.exists():
        await room.git("update-index", "-q", "--refresh", files=True, check=False)
        await asyncio.to_thread(shutil.copy2, room.index, kept)
    return kept if kept.exists() else None


async def _changed(room: Scratch, index: Path) -> tuple[list[tuple[str, str]], bool]:
    """What differs from the index: `C` changed, `R` removed, `?` new and not ignored; and whether that is all."""
    said = await room.git("ls-files", "-z", "-t", "-m", "-d", "-o", "--exclude-standard", files=True, limit=LISTED, index=index)
    items = said.out.split(b"\0")[:-1]
    found = dict.fromkeys((os.fsdecode(item[:1]), os.fsdecode(item[2:])) for item in items if not item.endswith(b"/"))
    removed = {path for tag, path in found if tag == "R"}
    return [(tag, path) for tag, path in found if tag != "C" or path not in removed], not said.truncated


def _look(checkout: Path, changed: Iterable[tuple[str, str]],
          ) -> tuple[tuple[tuple[str, str, int, int, int], ...], list[str], bool]:
    """Which of the changed files can be read within the bounds (others have the size -1), which are gone, and whether all of
    those that git tracks are in one of the two."""
    seen, gone, whole, count, total = [], list[str](), True, 0, 0
    real = os.path.realpath(checkout)
    inside: dict[str, bool] = {}
    for tag, path in changed:
        folder = os.path.dirname(path)  # noqa: PTH120  # a path's text: nothing is asked of the disk
        if folder not in inside:
            inside[folder] = os.path.realpath(checkout / folder) == os.path.normpath(f"{real}/{folder}")
        found = _file(checkout / path) if inside[folder] else None
        if found is None:
            nested = inside[folder] and (checkout / path / ".git").exists()  # a submodule: what it points at stays as it was
            gone += [path] if tag != "?" and not nested else []
            seen.append((tag, path, -1, 0, 0))
            continue
        fits = found.st_size <= FILE and count < FILES and total + found.st_size <= BYTES and os.access(checkout / path, os.R_OK)
        whole = whole and (fits or tag == "?")
        count, total = count + fits, total + (found.st_size if fits else 0)
        seen.append((tag, path, found.st_size if fits else -1, found.st_mtime_ns, found.st_ctime_ns))
    return tuple(seen), gone, whole


def _file(path: Path) -> os.stat_result | None:
    """A regular file or a link; None for what git would not keep, and for what is not there."""
    try:
        found = path.lstat()
    except OSError:
        return None
    return found if stat.S_ISREG(found.st_mode) or stat.S_ISLNK(found.st_mode) else None


async def _parent(room: Scratch, head: Oid, base: Oid, target: Oid) -> Oid:
    """Where the agent's HEAD last met the target; the base when that cannot be said."""
    if head in (base, target):
        return head
    met = await room.git("merge-base", head, target, check=False)
    return met.oid if met.code == 0 and met.out.strip() else base


async def _commit(room: Scratch, keep: list[str], gone: list[str], parent: Oid, store: Path) -> Oid:
    env = {"GIT_OBJECT_DIRECTORY": str(store), "GIT_AUTHOR_DATE": DATE, "GIT_COMMITTER_DATE": DATE}
    if gone:
        await room.git("update-index", "--force-remove", "-z", "--stdin", stdin=_joined(gone), env=env)
    if keep:
        await room.git("update-index", "--add", "--remove", "--replace", "-z", "--stdin", stdin=_joined(keep), files=True, env=env)
    tree = (await room.git("write-tree", env=env)).oid
    return (await room.git("commit-tree", tree, "-p", parent, "-m", "at work", env=env)).oid


def _joined(paths: list[str]) -> bytes:
    return b"".join(os.fsencode(path) + b"\0" for path in paths)
