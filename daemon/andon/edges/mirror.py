"""Lets the person's branch follow trunk; must never touch a file but by fast-forward of a checkout where nothing is in the way.

Theory of operation. The branch mirrors trunk: where nobody has it checked out by compare-and-swap, else by git's own fast-forward
in that checkout (files, index, then ref), else not at all, and the person is told. By itself only a clean checkout is taken
forward; when a person asks, uncommitted changes of files that trunk did not touch may stay, as git itself allows.
"""

import asyncio
from pathlib import Path

import msgspec

from andon.edges.forward import Journal, forward, names, recover, said
from andon.edges.git import common_lock, git, read_ref, set_ref
from andon.edges.repository import is_ancestor, trunk_ref
from andon.edges.scratch import read_plain
from andon.schema.effects import MirrorTarget
from andon.schema.errors import Mistake
from andon.schema.faults import point
from andon.schema.ids import Oid
from andon.schema.inputs import MirrorSeen

_UNFINISHED = {
    "MERGE_HEAD": "a merge", "CHERRY_PICK_HEAD": "a cherry-pick", "REVERT_HEAD": "a revert", "rebase-merge": "a rebase",
    "rebase-apply": "a rebase", "BISECT_LOG": "a bisect", "sequencer": "a cherry-pick or revert",
}


class _Way(msgspec.Struct, frozen=True):
    """What is in the way of the person's branch."""

    because: str
    mend: str


async def mirror_target(effect: MirrorTarget) -> MirrorSeen:
    """Let the person's branch follow trunk when nothing is in the way; otherwise say what is, and how to take it."""
    common, ref = Path(effect.git_dir), f"refs/heads/{effect.target}"
    take = f"git merge --ff-only {trunk_ref(effect.target)}"
    async with common_lock(common) as hold:
        left = await recover(common, hold)
        if left:
            return _waits(effect, _Way(left, "See git status there. It is tried again."))
        branch = await read_ref(common, ref)
        if branch is None:
            make = f"git branch {effect.target} {trunk_ref(effect.target)}"
            return _waits(effect, _Way(f"there is no branch {effect.target}", make))
        if await is_ancestor(common, effect.oid, branch):
            return MirrorSeen(repo=effect.repo, oid=effect.oid, advanced=True, asked=effect.asked)
        if not await is_ancestor(common, branch, effect.oid):
            own = _Way(f"{effect.target} has commits of its own that trunk lacks", f"git merge {trunk_ref(effect.target)}")
            return _waits(effect, own)
        way = await _follow(effect, common, branch, take, hold)
    point("mirror-target.followed")
    if way is None and await read_ref(common, ref) != effect.oid:
        way = _Way(f"{effect.target} did not read back at trunk", take)
    return _waits(effect, way) if way else MirrorSeen(repo=effect.repo, oid=effect.oid, advanced=True, asked=effect.asked)


async def _follow(effect: MirrorTarget, common: Path, branch: Oid, take: str, hold: int) -> _Way | None:
    """Take the branch from where it is to trunk; what is in the way."""
    ref = f"refs/heads/{effect.target}"
    way = await asyncio.to_thread(_half_way, common, effect.target, take)
    places = await _places(common, ref, hold)
    if way is not None:
        return way
    if not places:
        moved = await set_ref(common, ref, effect.oid, branch, why="andon: follows trunk", hold=hold)
        return None if moved else _Way(f"{effect.target} moved meanwhile", take)
    if len(places) > 1:
        return _Way(f"{effect.target} is checked out more than once: {', '.join(places)}", take)
    point("mirror-target.forward")
    return await _forward(effect, common, Path(places[0]), branch, take, hold)


def _waits(effect: MirrorTarget, way: _Way) -> MirrorSeen:
    return MirrorSeen(
        repo=effect.repo, oid=effect.oid, advanced=False, because=way.because[:1000], mend=way.mend, asked=effect.asked)


def _half_way(common: Path, target: str, take: str) -> _Way | None:
    """A rebase or bisect of the branch leaves HEAD detached: the branch looks free, and is not."""
    for place in (common, *sorted((common / "worktrees").glob("*"))):
        heads = [read_plain(place / name / "head-name") for name in ("rebase-merge", "rebase-apply")]
        if any(head.decode(errors="replace").strip() == f"refs/heads/{target}" for head in heads):
            return _Way(f"a rebase of {target} is under way", take)
        if read_plain(place / "BISECT_START").decode(errors="replace").strip() == target:
            return _Way(f"a bisect of {target} is under way", take)
    return None


async def _places(common: Path, ref: str, hold: int) -> list[str]:
    """The checkouts that have the branch."""
    listed = await git("worktree", "list", "--porcelain", "-z", git_dir=common, hold=hold)
    blocks = [block.split("\0") for block in listed.text.split("\0\0")]
    return [words[0].removeprefix("worktree ") for words in blocks if f"branch {ref}" in words and "bare" not in words]


async def _forward(effect: MirrorTarget, common: Path, place: Path, branch: Oid, take: str, hold: int) -> _Way | None:
    """Fast-forward a checkout of the person's, if nothing is under way in it, and it is clean or the person asked."""
    try:
        own = Path((await git("rev-parse", "--absolute-git-dir", cwd=place, trusted=True)).text)
    except Mistake:
        return _Way(f"its checkout {place} cannot be read", take)
    busy = await asyncio.to_thread(_under_way, own, place)
    if busy:
        return _Way(busy, take)
    seen = await git("status", "--porcelain", "-z", "--untracked-files=no", "--no-renames", "--ignore-submodules=dirty",
                     cwd=place, trusted=True, check=False)
    if seen.code != 0:
        return _Way(f"git status fails in {place}: {said(seen)}", take)
    dirty = [item[3:] for item in seen.items]
    if dirty and not effect.asked:
        return _Way(f"uncommitted changes in {place}: {names(dirty)}", take)
    journal = Journal(place=str(place), own=str(own), target=effect.target, old=branch, new=effect.oid)
    because = await forward(common, journal, hold, dirty)
    return _Way(because, take) if because else None


def _under_way(own: Path, place: Path) -> str:
    for name, what in _UNFINISHED.items():
        if (own / name).exists():
            return f"{what} is under way in {place}"
    if (own / "index.lock").exists():
        return f"a git command is at work in {place}, or one was killed: {own / 'index.lock'} exists"
    return ""
