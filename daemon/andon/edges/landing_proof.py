"""Proves as objects, before trunk moves, that a candidate is what was proven and nothing else; must never take a plan's word.

Theory of operation. Five statements, each alone enough to refuse. P1: the candidate holds trunk as it was. P2: it holds every
change. P3: its tree is the one that the checks passed on, and building it once more from its members gives the same commits.
P4: a step changes nothing but paths that its change changed since it left trunk, followed through renames. P5: the members are
those of the runs. P4 does not rest on git's merge: a step made from a wrong base shows in it as paths that are not its change's.
"""

import asyncio
import itertools
from collections.abc import Sequence

from andon.edges.commits import Commit, name_of, read_commits, resolve, write_commit
from andon.edges.git import look
from andon.edges.merging import Built, Clashed, Plan, build, merge_commit, squash_commit, start_of, tip_of
from andon.edges.repository import is_ancestor
from andon.edges.three_way import attributed, defined, merge_all
from andon.schema.effects import MergeMember, MoveTarget
from andon.schema.errors import Mistake
from andon.schema.ids import Oid, TaskId
from andon.schema.landing_events import MergedStep

NAMED = 5
"""Paths that a refusal names."""
AT_ONCE = 4
"""Processes that look for merge bases."""
RENAMES = 7000
"""Files among which renames are looked for, as git's merge does."""


async def prove(effect: MoveTarget) -> str:
    """Why this must not land, beginning with the statement that fails; empty when all hold."""
    try:
        return await _prove(effect)
    except Mistake as error:
        return f"the candidate cannot be read: {error.problem.what}"


async def _prove(effect: MoveTarget) -> str:
    if [member.task for member in effect.members] != [step.task for step in effect.steps] or not effect.members:
        return f"P5: {_tasks(effect.members)} were proven, and {_tasks(effect.steps)} would land"
    old, new, *made = await read_commits(effect.git_dir, [effect.old, effect.new, *(step.commit for step in effect.steps)])
    old_tree = old.tree
    if new.tree != effect.tree or made[-1].tree != new.tree:
        return "P3: the candidate's tree is not the one that was proven"
    if [one.tree for one in made] != [step.tree for step in effect.steps]:
        return "P3: a step's tree is not the one that was merged"
    holds = _held(new, made)
    if effect.old not in holds and not await is_ancestor(effect.git_dir, effect.old, effect.new):
        return f"P1: the candidate does not contain {effect.target} as it was"
    plan = Plan(git_dir=effect.git_dir, onto=effect.old, members=effect.members, how=effect.how, green=effect.green,
                drivers=effect.drivers, at=effect.at)
    start = await start_of(plan)
    chain = await _chain(effect, old_tree, start)
    missing = await _contained(effect, holds)
    if missing:
        return missing
    foreign, rebuilt = await asyncio.gather(_foreign(effect, old_tree, (start, *chain)), _rebuilt(plan, effect, (start, *chain)))
    return foreign or rebuilt


def _tasks(of: Sequence[MergeMember] | Sequence[MergedStep]) -> str:
    return ", ".join(one.task for one in of) or "no change"


def _held(new: Commit, made: Sequence[Commit]) -> set[str]:
    """What the candidate holds as far as its own steps tell: from parent to parent, however wrong the clocks were."""
    known = {one.oid: one for one in (new, *made)}
    holds: set[str] = set()
    waiting: list[str] = [new.oid]
    while waiting:
        name = waiting.pop()
        if name not in holds:
            holds.add(name)
            waiting += known[Oid(name)].parents if name in known else ()
    return holds


async def _chain(effect: MoveTarget, tree: Oid, start: Oid) -> list[Oid]:
    """The true merges behind these steps: the steps themselves, or, where other commits land, made from members and trees.

    As a name tells all that a commit holds, each link that is made holds the link before it and its change.
    """
    if effect.how == "merge":
        return [step.commit for step in effect.steps]
    chain: list[Oid] = []
    tip = start
    for member, step in zip(effect.members, effect.steps, strict=True):
        if step.tree != tree or not await is_ancestor(effect.git_dir, member.commit, tip):
            tip = await write_commit(effect.git_dir, merge_commit(member, step.tree, tip))
        tree = step.tree
        chain.append(tip)
    return chain


async def _contained(effect: MoveTarget, holds: set[str]) -> str:
    """P2. Of squashed and replayed changes it is the chain that holds them, and the steps have its trees."""
    last = effect.steps[-1].commit
    if last not in holds and last != effect.old:
        return "P2: the candidate does not contain its own steps"
    for member in effect.members if effect.how == "merge" else ():
        if member.commit not in holds and not await is_ancestor(effect.git_dir, member.commit, effect.new):
            return f"P2: the candidate does not contain the change of {member.task}"
    return ""


async def _foreign(effect: MoveTarget, old_tree: Oid, chain: Sequence[Oid]) -> str:
    """P4, of every step."""
    trees = [old_tree, *(step.tree for step in effect.steps)]
    places = list(zip(chain[:-1], (member.commit for member in effect.members), strict=True))
    changed, owned = await asyncio.gather(_paths(effect, list(itertools.pairwise(trees))), _owned(effect, places))
    for n, (member, own) in enumerate(zip(effect.members, owned, strict=True)):
        foreign = changed[n] - own
        if foreign:
            foreign -= await _moved(effect, await _bases(effect, *places[n]), trees[n], own)
        if foreign:
            more = f" and {len(foreign) - NAMED} more" if len(foreign) > NAMED else ""
            return f"P4: landing {member.task} would change what it did not change: {', '.join(sorted(foreign)[:NAMED])}{more}"
    return ""


async def _owned(effect: MoveTarget, places: Sequence[tuple[Oid, Oid]]) -> list[set[str]]:
    """The paths that each head changed since it left what it is merged with; of a few side by side, of many in one process."""
    if len(places) <= AT_ONCE:
        return list(await asyncio.gather(*(_own_paths(effect, *pair) for pair in places)))
    few = asyncio.Semaphore(AT_ONCE)

    async def bases_of(place: Oid, head: Oid) -> list[str]:
        async with few:
            return await _bases(effect, place, head)

    bases = await asyncio.gather(*(bases_of(*pair) for pair in places))
    pairs = [(base, head) for (_, head), own in zip(places, bases, strict=True) for base in own]
    named = iter(await resolve(effect.git_dir, [f"{one}^{{tree}}" for pair in pairs for one in pair]))
    found = iter(await _paths(effect, list(zip(named, named, strict=False))))
    return [set().union(*(next(found) for _ in own)) for own in bases]


async def _own_paths(effect: MoveTarget, place: Oid, head: Oid) -> set[str]:
    """The paths that one head changed, in one process where it left at one place alone."""
    args = ("diff-tree", "-r", "-z", "--name-only", "--no-renames")
    once = await look(effect.git_dir, *args, "--merge-base", place, head, check=False)
    if once.code == 0:
        return _names(once.out)
    bases = await _bases(effect, place, head)
    found = await asyncio.gather(*(look(effect.git_dir, *args, base, head) for base in bases))
    return set[str]().union(*(_names(one.out) for one in found))


def _names(out: bytes) -> set[str]:
    return set(out.decode(errors="surrogateescape").split("\0")) - {""}


async def _bases(effect: MoveTarget, place: Oid, head: Oid) -> list[str]:
    return (await look(effect.git_dir, "merge-base", "--all", place, head, check=False)).text.split()


async def _paths(effect: MoveTarget, pairs: Sequence[tuple[str, str]]) -> list[set[str]]:
    """The paths that differ between each two trees, a rename being both its names; one process for all."""
    lines = [f"{old} {new}\n" for old, new in pairs]
    out = (await look(effect.git_dir, "diff-tree", "--stdin", "-r", "-z", "--name-only", "--no-renames",
                      stdin="".join(lines).encode())).out.decode(errors="surrogateescape")
    found: list[set[str]] = []
    at = 0
    for n, line in enumerate(lines):
        at += len(line)
        following = lines[n + 1] if n + 1 < len(lines) else None
        names: set[str] = set()
        while at < len(out) and not (following and out.startswith(following, at)):
            end = out.index("\0", at)
            names.add(out[at:end])
            at = end + 1
        found.append(names)
    return found


async def _moved(effect: MoveTarget, bases: Sequence[str], tree: str, own: set[str]) -> set[str]:
    """Where trunk has moved the change's own paths to."""
    moved: set[str] = set()
    for base in bases:
        out = (await look(effect.git_dir, "diff-tree", "-r", "-z", "-M", f"-l{RENAMES}", "--diff-filter=R", "--name-status",
                          f"{base}^{{tree}}", tree)).out.decode(errors="surrogateescape").split("\0")
        moved |= {new for old, new in zip(out[1::3], out[2::3], strict=False) if old in own}
    return moved


async def _rebuilt(plan: Plan, effect: MoveTarget, chain: Sequence[Oid]) -> str:
    """P3, the other half: the same members come to the same commits. What was merged by lines alone is merged in one process."""
    built = await (build(plan) if effect.how == "rebase" or effect.drivers else _batched(plan, effect.steps, chain))
    if isinstance(built, Clashed):
        return f"P3: built once more, {built.member.task} does not merge"
    for was, now in zip(effect.steps, built.steps, strict=True):
        if was != now:
            return f"P3: built once more, {was.task} comes to {now.commit[:12]} and not to {was.commit[:12]}"
    return "" if built.candidate == effect.new else "P3: built once more, the candidate has another name"


async def _batched(plan: Plan, steps: Sequence[MergedStep], chain: Sequence[Oid]) -> Built | Clashed:
    """`build`, for members whose chain is there: all merges at once, and names without commits being written."""
    before = chain[:-1]
    drivers = await defined(plan.git_dir, plan.drivers)
    found = await merge_all(plan.git_dir, [(place, member.commit) for place, member in zip(before, plan.members, strict=True)])
    landed, made = plan.onto, []
    for place, member, lines, link in zip(before, plan.members, found, chain[1:], strict=True):
        merged = await attributed(plan.git_dir, place, member.commit, lines, drivers)
        if not merged.clean:
            return Clashed(member=member, against=TaskId(""), merged=merged)
        if link != place:
            merge = plan.how == "merge"
            landed = name_of(merge_commit(member, merged.tree, place) if merge else squash_commit(member, merged.tree, landed))
        made.append(MergedStep(task=member.task, commit=landed, tree=merged.tree))
    return Built(candidate=await tip_of(plan, made), tree=made[-1].tree, steps=tuple(made), chain=tuple(chain[1:]))
