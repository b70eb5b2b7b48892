"""The landing proof: what was not proven does not land, whatever a plan says."""

from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest

import gitkit
from andon.edges import landing
from andon.schema.effects import MoveTarget
from andon.schema.ids import Oid, TaskId
from andon.schema.inputs import LandingRefused, TargetSwapped
from andon.schema.landing_events import MergedStep
from checkoutkit import Floor, floor
from gitkit import run
from landingkit import change, merged

LINES = "".join(f"{n}\n" for n in range(20))
FILES = {"a.txt": LINES, "b.txt": LINES, "c.txt": "c\n", "d.txt": "d\n"}
HOWS = ("merge", "squash", "rebase")


@pytest.fixture
def shop(tmp_path: Path) -> Floor:
    return floor(tmp_path, FILES)


def two(shop: Floor) -> tuple[str, str]:
    return change(shop, {"a.txt": LINES.replace("5", "five")}, "one"), change(shop, {"b.txt": LINES.replace("7", "seven")}, "two")


async def planned(shop: Floor, *heads: str, how: str = "merge", green: bool = False) -> MoveTarget:
    effect = shop.merge(*heads, how=how, green=green)
    return shop.move(effect, await merged(effect))


async def refused(shop: Floor, move: MoveTarget, because: str) -> None:
    told = await landing.move_target(move)
    assert isinstance(told, LandingRefused) and because in told.because, told
    assert not gitkit.ref(shop.person, "refs/andon/trunk/main")


def forged(shop: Floor, tree: str, *parents: str) -> Oid:
    return Oid(run(shop.person, "commit-tree", tree, *(word for one in parents for word in ("-p", one)), "-m", "forged"))


def with_tip(move: MoveTarget, commit: Oid, tree: str = "") -> MoveTarget:
    """The same move with another last step."""
    last = MergedStep(task=move.steps[-1].task, commit=commit, tree=Oid(tree) or move.tree)
    return msgspec.structs.replace(move, new=commit, steps=(*move.steps[:-1], last), tree=last.tree)


@pytest.mark.parametrize("green", [False, True])
@pytest.mark.parametrize("how", HOWS)
async def test_what_was_merged_as_planned_lands(shop: Floor, how: str, green: bool) -> None:
    heads = two(shop)
    gitkit.commit(shop.person, {"c.txt": "meanwhile\n"}, "Meanwhile")
    move = await planned(shop, *heads, how=how, green=green)
    run(shop.person, "gc", "-q", "--prune=now")  # what no ref holds, the proof makes again
    assert isinstance(await landing.move_target(move), TargetSwapped)


async def test_p1_a_candidate_without_trunk_is_refused(shop: Floor) -> None:
    move = await planned(shop, *two(shop))
    await refused(shop, with_tip(move, forged(shop, move.tree, forged(shop, move.tree))), "P1")


async def test_p2_a_candidate_without_a_change_is_refused(shop: Floor) -> None:
    move = await planned(shop, *two(shop))
    await refused(shop, with_tip(move, forged(shop, move.tree, move.steps[0].commit)), "P2")
    elsewhere = msgspec.structs.replace(move.members[1], commit=Oid(change(shop, {"c.txt": "other\n"}, "other")))
    await refused(shop, msgspec.structs.replace(move, members=(move.members[0], elsewhere)), "P2")


async def test_p3_another_tree_than_the_proven_one_is_refused(shop: Floor) -> None:
    move = await planned(shop, *two(shop))
    reverted = forged(shop, gitkit.tree(shop.person), shop.base, *(member.commit for member in move.members))
    await refused(shop, msgspec.structs.replace(move, new=reverted), "P3")


async def test_p3_a_candidate_that_git_would_not_build_again_is_refused(shop: Floor) -> None:
    move = await planned(shop, *two(shop))
    same = forged(shop, move.tree, move.steps[0].commit, move.members[1].commit)
    await refused(shop, with_tip(move, same), "P3: built once more")
    await refused(shop, msgspec.structs.replace(move, at=1, green=True), "P3: built once more")


async def test_p3_a_step_whose_lines_nobody_wrote_is_refused(shop: Floor) -> None:
    """Within the change's own file, where only building it again can tell."""
    one, two_ = two(shop)
    move = await planned(shop, one, two_)
    run(shop.person, "checkout", "-q", "--detach", move.new)
    gitkit.commit(shop.person, {"b.txt": LINES.replace("7", "seven").replace("9", "nine")}, "More")
    tree = gitkit.tree(shop.person)
    evil = forged(shop, tree, move.steps[0].commit, two_)
    await refused(shop, with_tip(move, evil, tree), "P3")


async def test_p5_other_members_than_the_proven_ones_are_refused(shop: Floor) -> None:
    move = await planned(shop, *two(shop))
    both, steps_ = move.members, move.steps
    for members, steps in ((both[:1], steps_), (both, steps_[1:]), (both[::-1], steps_), ((), ())):
        await refused(shop, msgspec.structs.replace(move, members=members, steps=steps), "P5")
    renamed = msgspec.structs.replace(move.members[0], task=TaskId("T9"))
    await refused(shop, msgspec.structs.replace(move, members=(renamed, move.members[1])), "P5")


async def test_a_candidate_that_is_gone_is_refused(shop: Floor) -> None:
    move = await planned(shop, *two(shop))
    await refused(shop, msgspec.structs.replace(move, new=Oid("1" * 40)), "cannot be read")


# --- April 2026 --------------------------------------------------------------------------------------------------------------


def wrong_base(shop: Floor, base: str, onto: str, head: str) -> str:
    """The tree of a squash that takes `base` for the merge base: what came to trunk since that commit is undone with it."""
    ours, theirs = (run(shop.person, "commit-tree", f"{one}^{{tree}}", "-p", base, "-m", "side") for one in (onto, head))
    return run(shop.person, "merge-tree", "--write-tree", ours, theirs)


async def incident(shop: Floor, heads: Sequence[str], how: str) -> MoveTarget:
    """A group whose later squashes were made from the first one's result as the base, and revert what landed before."""
    move = await planned(shop, *heads, how=how)
    tip, steps = move.old, []
    for n, (member, step) in enumerate(zip(move.members, move.steps, strict=True)):
        tree = wrong_base(shop, move.old if n == 0 else tip, tip, member.commit)
        parents = (tip, member.commit) if how == "merge" else (tip,)
        tip = forged(shop, tree, *parents)
        steps.append(msgspec.structs.replace(step, commit=tip, tree=Oid(tree)))
    return msgspec.structs.replace(move, new=tip, tree=steps[-1].tree, steps=tuple(steps))


@pytest.mark.parametrize("how", ["merge", "squash"])
@pytest.mark.parametrize("size", [2, 3])
async def test_a_group_squashed_from_a_wrong_base_does_not_land(shop: Floor, size: int, how: str) -> None:
    """As on GitHub on 23 April 2026: later changes of a group silently reverted earlier ones."""
    heads = [change(shop, {name: "mine\n"}, f"t{n}") for n, name in enumerate(("c.txt", "d.txt", "new.txt")[:size])]
    move = await incident(shop, heads, how)
    assert run(shop.person, "show", f"{move.new}:c.txt") == "c", "the replay reverts the first change"
    await refused(shop, move, "P4: landing T2 would change what it did not change: c.txt")


@pytest.mark.parametrize("how", HOWS)
async def test_honest_merges_raise_no_alarm_for_renames_on_either_side(shop: Floor, how: str) -> None:
    edit = change(shop, {"a.txt": LINES.replace("5", "five")}, "edit")
    run(shop.person, "checkout", "-q", "-b", "move", "main")
    run(shop.person, "mv", "b.txt", "moved_by_change.txt")
    move_ = gitkit.commit(shop.person, {}, "Move")
    run(shop.person, "checkout", "-q", "main")
    run(shop.person, "mv", "a.txt", "moved_by_trunk.txt")
    gitkit.commit(shop.person, {"b.txt": LINES.replace("9", "nine")}, "Meanwhile")
    move = await planned(shop, edit, move_, how=how)
    assert isinstance(await landing.move_target(move), TargetSwapped)
    trunk = gitkit.ref(shop.person, "refs/andon/trunk/main")
    assert "five" in run(shop.person, "show", f"{trunk}:moved_by_trunk.txt")
    assert "nine" in run(shop.person, "show", f"{trunk}:moved_by_change.txt")


async def test_a_change_that_merged_trunk_into_itself_raises_no_alarm(shop: Floor) -> None:
    head = change(shop, {"a.txt": LINES.replace("5", "five")}, "task")
    gitkit.commit(shop.person, {"c.txt": "meanwhile\n"}, "Meanwhile")
    run(shop.person, "checkout", "-q", "task")
    run(shop.person, "merge", "-q", "--no-ff", "main", "-m", "Trunk")
    head = gitkit.commit(shop.person, {"d.txt": "mine\n"}, "More")
    run(shop.person, "checkout", "-q", "main")
    gitkit.commit(shop.person, {"c.txt": "again\n"}, "Again")
    assert isinstance(await landing.move_target(await planned(shop, head)), TargetSwapped)


@pytest.mark.parametrize("how", HOWS)
async def test_clocks_that_were_wrong_raise_no_alarm(shop: Floor, how: str) -> None:
    """Changes dated after their own merges: git's shortest answer to "what is not in it" would be wrong."""
    heads = []
    for n in range(12):
        tree = gitkit.tree(shop.person, change(shop, {f"n{n}.txt": "x\n"}, f"t{n}"))
        date = {"GIT_COMMITTER_DATE": f"{1_900_000_000 + n} +0000", "GIT_AUTHOR_DATE": f"{1_900_000_000 + n} +0000"}
        heads.append(run(shop.person, "commit-tree", tree, "-p", shop.base, "-m", "Work", env=date))
    assert isinstance(await landing.move_target(await planned(shop, *heads, how=how)), TargetSwapped)
