"""Merges a change, moves trunk, lets the person's branch follow; must never touch a file but by fast-forward of a clean checkout.

Theory of operation. Trunk (`refs/andon/trunk/<target>`) is the one commit point. A candidate is built without a working tree, with
dates from the plan, so that a rebuild has the same name. The person's branch mirrors trunk: where nobody has it checked out by
compare-and-swap, else by `git merge --ff-only` in that checkout (files, index, then ref), else not at all, and the person is told.
"""

import asyncio
import re
from pathlib import Path

import msgspec

from andon.edges.git import NONE, Output, common_lock, git, look, read_ref, set_ref
from andon.edges.repository import Diverged, is_ancestor, read_target, tree_of, trunk_ref
from andon.edges.scratch import read_plain
from andon.schema.effects import MergeCandidate, MirrorTarget, MoveTarget
from andon.schema.errors import Mistake
from andon.schema.faults import point
from andon.schema.ids import Oid
from andon.schema.inputs import CandidateConflicted, CandidateMerged, EffectFailed, LandingRefused, MirrorSeen, TargetSwapped

TITLE_LIMIT, MESSAGE_LIMIT, NAMED = 200, 2_000, 5
"""Characters of a title and of a conflict's message; files that a sentence names."""
_UNFINISHED = {
    "MERGE_HEAD": "a merge", "CHERRY_PICK_HEAD": "a cherry-pick", "REVERT_HEAD": "a revert", "rebase-merge": "a rebase",
    "rebase-apply": "a rebase", "BISECT_LOG": "a bisect", "sequencer": "a cherry-pick or revert",
}


class _Way(msgspec.Struct, frozen=True):
    """What is in the way of the person's branch."""

    because: str
    mend: str


async def merge_candidate(effect: MergeCandidate) -> CandidateMerged | CandidateConflicted | EffectFailed:
    """Merge the change into `onto` as a true merge commit, pinned at `refs/andon/cand/<landing>`; the same commit each time."""
    args = ("merge-tree", "--write-tree", "-z", "--name-only", "--messages", effect.onto, effect.commit)
    try:
        merged = await look(effect.git_dir, *args, check=False)
        if merged.code == 1 and merged.out:  # without a tree it is no conflict, git only says it with the same code
            return _conflict(effect, merged)
        if merged.code != 0:
            return _failed(effect, f"The change cannot be merged: {_said(merged)}", transient=False)
        tree = Oid(merged.items[0])
        when = f"{effect.at // 1000} +0000"
        made = await look(effect.git_dir, "commit-tree", tree, "-p", effect.onto, "-p", effect.commit, "-F", "-",
                          stdin=_message(effect).encode(), env={"GIT_AUTHOR_DATE": when, "GIT_COMMITTER_DATE": when})
        point("merge-candidate.made")
        async with common_lock(effect.git_dir) as hold:
            await set_ref(effect.git_dir, f"refs/andon/cand/{effect.landing}", made.oid, hold=hold)
        return CandidateMerged(landing=effect.landing, candidate=made.oid, tree=tree)
    except Mistake as error:
        return EffectFailed(key=effect.key, kind="merge-candidate", subject=effect.landing, problem=error.problem)


async def move_target(effect: MoveTarget) -> TargetSwapped | LandingRefused:
    """Prove the candidate as objects again, then move trunk from `old` to `new`. A trunk that has `new` already has landed it."""
    refused = await _proof(effect)
    if refused:
        return await _refuse(effect, refused)
    point("move-target.proven")
    async with common_lock(effect.git_dir) as hold:
        refused = await _swap(effect, hold)
    if refused:
        return await _refuse(effect, refused)
    return TargetSwapped(landing=effect.landing, old=effect.old, new=effect.new, tree=effect.tree)


async def mirror_target(effect: MirrorTarget) -> MirrorSeen:
    """Let the person's branch follow trunk when nothing is in the way; otherwise say what is, and how to take it."""
    common, ref = Path(effect.git_dir), f"refs/heads/{effect.target}"
    take = f"git merge --ff-only {trunk_ref(effect.target)}"
    branch = await read_ref(common, ref)
    if branch is None:
        return _waits(effect, _Way(f"there is no branch {effect.target}", f"git branch {effect.target} {trunk_ref(effect.target)}"))
    if await is_ancestor(common, effect.oid, branch):
        return MirrorSeen(repo=effect.repo, oid=effect.oid, advanced=True)
    if not await is_ancestor(common, branch, effect.oid):
        own = _Way(f"{effect.target} has commits of its own that trunk lacks", f"git merge {trunk_ref(effect.target)}")
        return _waits(effect, own)
    async with common_lock(common) as hold:
        way = await asyncio.to_thread(_half_way, common, effect.target, take)
        places = await _places(common, ref, hold)
        if way is None and not places:
            moved = await set_ref(common, ref, effect.oid, branch, why="andon: follows trunk", hold=hold)
            way = None if moved else _Way(f"{effect.target} moved meanwhile", take)
        elif way is None and len(places) > 1:
            way = _Way(f"{effect.target} is checked out more than once: {', '.join(places)}", take)
        elif way is None:
            point("mirror-target.forward")
            way = await _forward(Path(places[0]), effect.oid, take, hold)
    point("mirror-target.followed")
    if way is None and await read_ref(common, ref) != effect.oid:
        way = _Way(f"{effect.target} did not read back at trunk", take)
    return _waits(effect, way) if way else MirrorSeen(repo=effect.repo, oid=effect.oid, advanced=True)


# --- merging ---------------------------------------------------------------------------------------------------------


def _message(effect: MergeCandidate) -> str:
    title = " ".join(effect.title.replace("\0", " ").split())[:TITLE_LIMIT] or "a change"
    trailers = [" ".join(line.replace("\0", " ").split()) for line in effect.trailers]
    return f"Land {effect.task}: {title}\n" + ("\n" + "\n".join(trailers) + "\n" if trailers else "")


def _conflict(effect: MergeCandidate, merged: Output) -> CandidateConflicted:
    """`-z`: tree, conflicted names, an empty item, then messages as (count, paths…, type, text)."""
    items = merged.out.split(b"\0")
    cut = items.index(b"", 1) if b"" in items[1:] else len(items)
    paths = tuple(dict.fromkeys(item.decode(errors="replace") for item in items[1:cut]))
    said = [text for item in items[cut:] for text in item.decode(errors="replace").splitlines() if text.startswith("CONFLICT")]
    return CandidateConflicted(landing=effect.landing, paths=paths[:500], message="\n".join(dict.fromkeys(said))[:MESSAGE_LIMIT])


def _failed(effect: MergeCandidate, what: str, *, transient: bool) -> EffectFailed:
    problem = Mistake(what[:500], where=f"{effect.task}, {effect.commit[:12]} onto {effect.onto[:12]}",
                      mend="Look at the two commits with git log.").problem
    return EffectFailed(key=effect.key, kind="merge-candidate", subject=effect.landing, problem=problem, transient=transient)


def _said(output: Output) -> str:
    told = [line for line in output.err.splitlines() if line.startswith(("fatal:", "error:"))]
    return told[0] if told else output.err.strip()[-300:] or f"exit code {output.code}"


# --- moving ----------------------------------------------------------------------------------------------------------


async def _proof(effect: MoveTarget) -> str:
    """Why this must not land, judged by objects alone; empty when it may."""
    try:
        if await tree_of(effect.git_dir, effect.new) != effect.tree:
            return "the candidate's tree is not the one that was proven"
        if not await is_ancestor(effect.git_dir, effect.old, effect.new):
            return f"the candidate does not contain {effect.target} as it was"
        if not await is_ancestor(effect.git_dir, effect.commit, effect.new):
            return "the candidate does not contain the change"
    except Mistake as error:
        return f"the candidate cannot be read: {error.problem.what}"
    return ""


async def _swap(effect: MoveTarget, hold: int) -> str:
    """The one commit point. Why it was not passed; empty when trunk was read back with `new` in it."""
    ref = trunk_ref(effect.target)
    trunk, branch = await read_ref(effect.git_dir, ref), await read_ref(effect.git_dir, f"refs/heads/{effect.target}")
    if trunk is not None and await is_ancestor(effect.git_dir, effect.new, trunk):
        return ""
    if (trunk or branch) != effect.old:
        return f"{effect.target} is elsewhere: it was {effect.old[:12]} when this was planned"
    if branch is not None and branch != effect.old and await is_ancestor(effect.git_dir, effect.old, branch):
        return f"somebody committed to {effect.target}"
    if not await set_ref(effect.git_dir, ref, effect.new, trunk or NONE, why=f"andon: land {effect.landing}", hold=hold):
        return f"{effect.target} moved while this landed"
    point("move-target.swapped")
    return "" if await read_ref(effect.git_dir, ref) == effect.new else "trunk did not read back as written"


async def _refuse(effect: MoveTarget, because: str) -> LandingRefused:
    try:
        now = await read_target(effect.git_dir, effect.target)
    except Mistake as error:
        return LandingRefused(landing=effect.landing, because=f"{because}; {error.problem.what}")
    if isinstance(now, Diverged):
        return LandingRefused(landing=effect.landing, because=because, oid=now.trunk, tree=await tree_of(effect.git_dir, now.trunk))
    return LandingRefused(landing=effect.landing, because=because, oid=now.oid, tree=now.tree)


# --- mirroring -------------------------------------------------------------------------------------------------------


def _waits(effect: MirrorTarget, way: _Way) -> MirrorSeen:
    return MirrorSeen(repo=effect.repo, oid=effect.oid, advanced=False, because=way.because[:1000], mend=way.mend)


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


async def _forward(place: Path, oid: Oid, take: str, hold: int) -> _Way | None:
    """Fast-forward a checkout of the person's, if it is clean and nothing is under way in it."""
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
        return _Way(f"git status fails in {place}: {_said(seen)}", take)
    if seen.items:
        return _Way(f"uncommitted changes in {place}: {_names([item[3:] for item in seen.items])}", take)
    done = await git("merge", "--ff-only", "--no-stat", "-q", "--no-autostash", "--no-overwrite-ignore", oid, cwd=place,
                     trusted=True, check=False, finish=True, hold=hold, seconds=600,
                     env={"GIT_REFLOG_ACTION": "andon: follow trunk"})
    if done.code == 0:
        return None
    files = re.findall(r"^\t(.+)$", done.err, re.M)
    named = f"files in the way in {place}: {_names(files)}"
    return _Way(named if files else f"git would not fast-forward {place}: {_said(done)}", take)


def _under_way(own: Path, place: Path) -> str:
    for name, what in _UNFINISHED.items():
        if (own / name).exists():
            return f"{what} is under way in {place}"
    if (own / "index.lock").exists():
        return f"a git command is at work in {place}, or one was killed: {own / 'index.lock'} exists"
    return ""


def _names(files: list[str]) -> str:
    more = f" and {len(files) - NAMED} more" if len(files) > NAMED else ""
    return ", ".join(files[:NAMED]) + more
