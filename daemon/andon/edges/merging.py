"""Builds a candidate: changes merged with trunk, one on top of the other, as objects; must never touch a file or a branch.

Theory of operation. Changes are always merged as true merge commits, the *chain*: merge bases stay right, whatever lands. Squashed
or replayed commits get the trees of the chain, and are what lands instead of it. All dates come from the members, so a rebuild
has the same names, and a shorter queue's steps are the first steps of a longer one.
"""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import msgspec

from andon.edges.commits import Missing, commit_bytes, person, plain_commits, resolve, write_commit
from andon.edges.git import GitFailed, common_lock, git, look, set_ref
from andon.edges.landed_heads import standing_for
from andon.edges.replay_commits import Replayed, replay
from andon.edges.three_way import Drivers, Merged, NoDriver, defined, merge_all, merge_one
from andon.schema.clean import clean
from andon.schema.effects import MergeCandidate, MergeMember
from andon.schema.errors import Mistake
from andon.schema.faults import point
from andon.schema.ids import Oid, TaskId
from andon.schema.inputs import CandidateConflicted, CandidateMerged, EffectFailed
from andon.schema.landing_events import MergedStep

TITLE_LIMIT, MESSAGE_LIMIT, PATHS_LIMIT = 200, 2_000, 500
"""Characters of a title and of a conflict's message; paths of a conflict that are named."""
KEPT, TIDY_EVERY = 128, 32
"""Candidates that stay pinned, the newest; how often older ones are let go of."""
HOWS = ("merge", "squash", "rebase")


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """All that a candidate follows from."""

    git_dir: str
    onto: Oid
    members: tuple[MergeMember, ...]
    how: str
    green: bool
    drivers: tuple[str, ...]
    at: int


class Built(msgspec.Struct, frozen=True, kw_only=True):
    """A candidate that exists as objects."""

    candidate: Oid
    tree: Oid
    steps: tuple[MergedStep, ...]
    chain: tuple[Oid, ...]
    """The true merges, a commit for each member."""


class Clashed(msgspec.Struct, frozen=True, kw_only=True):
    """A member that does not merge."""

    member: MergeMember
    against: TaskId
    """The member before it that it conflicts with; empty: with trunk."""
    merged: Merged


async def merge_candidate(effect: MergeCandidate) -> CandidateMerged | CandidateConflicted | EffectFailed:
    """Build the candidate and pin it at `refs/andon/cand/<landing>`; the same commits each time."""
    plan = Plan(git_dir=effect.git_dir, onto=effect.onto, members=effect.members, how=effect.how, green=effect.green,
                drivers=effect.drivers, at=effect.at)
    try:
        built = await build(plan)
        if isinstance(built, Clashed):
            return CandidateConflicted(landing=effect.landing, paths=shown(built.merged.paths), task=built.member.task,
                                       message=built.merged.message[:MESSAGE_LIMIT], against=built.against)
        point("merge-candidate.made")
        async with common_lock(effect.git_dir) as hold:
            await set_ref(effect.git_dir, f"refs/andon/cand/{effect.landing}", built.candidate, hold=hold)
            if _number(effect.landing) % TIDY_EVERY == 0:
                await _tidy(effect.git_dir, hold)
    except Mistake as error:
        return EffectFailed(key=effect.key, kind="merge-candidate", subject=effect.landing, problem=error.problem,
                            transient=not isinstance(error, Unbuildable))
    return CandidateMerged(landing=effect.landing, candidate=built.candidate, tree=built.tree, steps=built.steps)


def _number(name: str) -> int:
    digits = name.rpartition("/")[2].lstrip("L")
    return int(digits) if digits.isdigit() else 0


async def _tidy(git_dir: str, hold: int) -> None:
    """Let go of old candidates: they landed, and trunk holds them, or never will."""
    listed = (await git("for-each-ref", "--format=%(refname)", "refs/andon/cand/", git_dir=git_dir, hold=hold)).text.split()
    old = sorted(listed, key=_number)[:-KEPT]
    if old:
        await git("update-ref", "--no-deref", "--stdin", git_dir=git_dir, hold=hold,
                  stdin="".join(f"delete {ref}\n" for ref in old).encode())


class Unbuildable(Mistake):
    """A candidate that cannot be built from these members, however often it is tried."""


async def build(plan: Plan) -> Built | Clashed:
    """Merge the members in their order. What is no conflict and yet cannot be merged is Unbuildable."""
    tree = await _check(plan)
    drivers = await defined(plan.git_dir, plan.drivers)
    steps: list[MergedStep] = []
    chain: list[Oid] = []
    tip = start = await start_of(plan)
    landed = plan.onto
    for n, member in enumerate(plan.members):
        merged = await _merge(plan, tip, member, drivers)
        if not merged.clean:
            return await _blame(plan, [start, *chain], member, merged, drivers)
        known = merged.tree == tree and await _contains(plan.git_dir, tip, member.commit)
        if not known:
            tip = await write_commit(plan.git_dir, merge_commit(member, merged.tree, tip))
            landed = await _step(plan, n, landed, (start, tip), merged.tree)
        tree = merged.tree
        chain.append(tip)
        steps.append(MergedStep(task=member.task, commit=landed, tree=tree))
    candidate = await tip_of(plan, steps)
    return Built(candidate=candidate, tree=tree, steps=tuple(steps), chain=tuple(chain))


async def start_of(plan: Plan) -> Oid:
    """What the chain starts at: trunk, or, where changes land as other commits, what stands for it in merges."""
    if plan.how == "merge":
        return plan.onto
    return await standing_for(plan.git_dir, plan.onto, [member.commit for member in plan.members])


def merge_commit(member: MergeMember, tree: str, onto: str) -> bytes:
    """The true merge of a member."""
    return commit_bytes(tree, (onto, member.commit), message_of(member), author=person(member.at))


def squash_commit(member: MergeMember, tree: str, onto: str) -> bytes:
    """A member as one commit."""
    return commit_bytes(tree, (onto,), message_of(member), author=person(member.at))


def message_of(member: MergeMember) -> str:
    """What the commit of a member says."""
    return f"Land {member.task}: {line(member.title)[:TITLE_LIMIT] or 'a change'}\n\n" + "\n".join(trailers_of(member)) + "\n"


def trailers_of(member: MergeMember) -> list[str]:
    """Its trailers: those that were asked for, and always whose change it is."""
    told = [told for told in map(line, member.trailers) if told]
    for key, value in (("Andon-Task", member.task), ("Andon-Change", member.commit)):
        if not any(trailer.startswith(f"{key}:") for trailer in told):
            told.append(f"{key}: {value}")
    return told


def line(text: str) -> str:
    """Words of somebody's as one line of a commit message: nothing in it that a terminal obeys, which `git log` may be sent to."""
    return " ".join(clean(text).split())


def shown(paths: Sequence[str]) -> tuple[str, ...]:
    """Paths as they are told: not too many, and what is no UTF-8 replaced."""
    return tuple(path.encode(errors="replace").decode() for path in paths[:PATHS_LIMIT])


async def _check(plan: Plan) -> Oid:
    """The tree of `onto`, when all that is to be merged is there."""
    if plan.how not in HOWS:
        raise Unbuildable(f"Changes cannot be landed by `{plan.how}`.", where="queue.land", mend=f"One of {', '.join(HOWS)}.")
    if not plan.members:
        raise Unbuildable("There is nothing to merge.", where=plan.onto[:12], mend="See andon queue.")
    plain = await asyncio.to_thread(plain_commits, plan.git_dir, [plan.onto, *(member.commit for member in plan.members)])
    if plain is not None:
        return plain[0].tree
    try:
        heads = [f"{member.commit}^{{commit}}" for member in plan.members]
        return (await resolve(plan.git_dir, [f"{plan.onto}^{{tree}}", *heads]))[0]
    except Missing as error:
        raise Unbuildable(error.problem.what, where=error.problem.where, mend=error.problem.mend) from None


async def _merge(plan: Plan, tip: Oid, member: MergeMember, drivers: Drivers) -> Merged:
    try:
        return await merge_one(plan.git_dir, tip, member.commit, drivers)
    except GitFailed as error:
        if "unrelated histories" not in error.output.err:
            raise
        raise Unbuildable(f"{member.task} shares no history with trunk.", where=_place(member, tip),
                          mend="Make the change on a branch of this repository.") from None
    except NoDriver as error:
        raise Unbuildable(error.problem.what, where=error.problem.where, mend=error.problem.mend) from None


async def _contains(git_dir: str, tip: Oid, commit: Oid) -> bool:
    return (await look(git_dir, "merge-base", "--is-ancestor", commit, tip, check=False)).code == 0


async def _blame(plan: Plan, places: Sequence[Oid], member: MergeMember, merged: Merged, drivers: Drivers) -> Clashed:
    """The first of trunk and the members before that the member does not merge with: all are asked in one process."""
    for n, (place, seen) in enumerate(zip(places, await merge_all(plan.git_dir, [(place, member.commit) for place in places]),
                                          strict=True)):
        if not seen.clean or set(seen.by_content) & set(merged.paths):
            heeded = await merge_one(plan.git_dir, place, member.commit, drivers)
            if not heeded.clean:
                return Clashed(member=member, against=plan.members[n - 1].task if n else TaskId(""), merged=heeded)
    return Clashed(member=member, against=plan.members[len(places) - 2].task if len(places) > 1 else TaskId(""), merged=merged)


async def _step(plan: Plan, n: int, landed: Oid, chain: tuple[Oid, Oid], tree: Oid) -> Oid:
    """What the n-th member gives the target: the true merge, one commit of its tree, or its own commits on top of what landed.

    `chain`: where the true merges start, and this member's.
    """
    member = plan.members[n]
    if plan.how == "merge":
        return chain[1]
    if plan.how == "squash":
        return await write_commit(plan.git_dir, squash_commit(member, tree, landed))
    brought = (chain[0], *(other.commit for other in plan.members[:n]))
    done = await replay(Path(plan.git_dir), member.commit, onto=landed, without=brought, at=member.at, trailers=trailers_of(member),
                        whole=tree)
    mend = 'Land it by "merge" or "squash" (queue.land), or have its commits tidied.'
    if not isinstance(done, Replayed):
        what = f"{member.task} merges, but its own commits cannot be replayed: {done.what}"
        raise Unbuildable(what[:500], where=_place(member, landed), mend=mend)
    if done.tree != tree:
        what = f"The commits of {member.task}, replayed, do not come to the tree of the merge."
        raise Unbuildable(what, where=_place(member, landed), mend=mend)
    return done.tip


def _place(member: MergeMember, onto: Oid) -> str:
    return f"{member.task}, {member.commit[:12]} onto {onto[:12]}"


async def tip_of(plan: Plan, steps: Sequence[MergedStep]) -> Oid:
    """The last step, or with `green` one commit on `onto` above it, unless the last step is that already."""
    last = steps[-1]
    if not plan.green or last.commit == plan.onto:
        return last.commit
    made = {step.commit for step in steps} - {plan.onto}
    if len(made) == 1 and (plan.how != "rebase" or await resolve(plan.git_dir, [f"{last.commit}^1"]) == [plan.onto]):
        return last.commit
    return await write_commit(plan.git_dir, green_commit(plan, last))


def green_commit(plan: Plan, last: MergedStep) -> bytes:
    """One commit for all of them, on what is proven: its second parent leads to the single ones."""
    tasks = [member.task for member in plan.members]
    subject = f"Land {len(tasks)} changes: {', '.join(tasks)}" if len(tasks) > 1 else message_of(plan.members[0]).splitlines()[0]
    told = "\n".join(f"Andon-Task: {task}" for task in tasks)
    return commit_bytes(last.tree, (plan.onto, last.commit), f"{subject[:TITLE_LIMIT]}\n\n{told}\n", author=person(plan.at))
