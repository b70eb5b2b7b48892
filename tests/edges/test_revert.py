from pathlib import Path

import pytest

import gitkit
from andon.edges import landing
from andon.schema.effects import MakeRevert
from andon.schema.errors import Mistake
from andon.schema.ids import Oid, TaskId
from andon.schema.inputs import CandidateMerged
from checkoutkit import REPO, Blobs, Floor, floor
from gitkit import run
from landingkit import change, land, merged

LINES = "".join(f"{n}\n" for n in range(20))
FILES = {"a.txt": LINES, "b.txt": LINES, "c.txt": "c\n"}


@pytest.fixture
def shop(tmp_path: Path) -> Floor:
    return floor(tmp_path, FILES)


def revert(shop: Floor, landed: str, before: str, onto: str = "", title: str = "Do it") -> MakeRevert:
    return MakeRevert(task=TaskId("T9"), repo=REPO, git_dir=str(shop.git_dir), onto=Oid(onto or landed), landed=Oid(landed),
                      before=Oid(before), title=title, at=1_700_000_900_000)


@pytest.mark.parametrize("how", ["merge", "squash", "rebase"])
async def test_a_landed_change_is_taken_back_and_what_landed_after_it_stays(shop: Floor, how: str) -> None:
    first = change(shop, {"a.txt": LINES.replace("5\n", "five\n", 1), "new.txt": "n\n"}, "one")
    second = change(shop, {"a.txt": LINES.replace("17", "seventeen")}, "two")
    effect = shop.merge(first, second, how=how)
    done = await merged(effect)
    trunk = await land(shop, first, second, how=how)
    blobs = Blobs()
    made = await landing.make_revert(revert(shop, done.steps[0].commit, shop.base, trunk), blobs)
    assert (made.base, made.base_tree, made.conflicts) == (trunk, done.tree, ())
    assert (made.paths, made.paths_total, made.insertions, made.deletions) == (("a.txt", "new.txt"), 2, 1, 2)
    assert b"-five" in blobs.kept[made.diff] and gitkit.ref(shop.person, "refs/andon/work/T9") == made.commit
    assert run(shop.person, "show", f"{made.commit}:a.txt") + "\n" == LINES.replace("17", "seventeen")
    assert run(shop.person, "show", "-s", "--format=%P|%T|%an|%at", made.commit) == f"{trunk}|{made.tree}|Andon|1700000900"
    assert run(shop.person, "show", "-s", "--format=%B", made.commit).rstrip() == (
        f"Revert T1: Do it\n\nThis reverts commit {done.steps[0].commit}.\n\nAndon-Reverts: T1\nAndon-Task: T9")
    assert await landing.make_revert(revert(shop, done.steps[0].commit, shop.base, trunk), Blobs()) == made


async def test_a_revert_lands_like_any_other_change(shop: Floor) -> None:
    trunk = await land(shop, change(shop, {"a.txt": "x\n"}))
    made = await landing.make_revert(revert(shop, trunk, shop.base), Blobs())
    back = await land(shop, made.commit, old=trunk, name="L2")
    assert gitkit.tree(shop.person, back) == gitkit.tree(shop.person)


async def test_a_title_that_says_so_already_is_kept(shop: Floor) -> None:
    trunk = await land(shop, change(shop, {"a.txt": "x\n"}))
    made = await landing.make_revert(revert(shop, trunk, shop.base, title="Revert T1: Do it"), Blobs())
    assert run(shop.person, "show", "-s", "--format=%s", made.commit) == "Revert T1: Do it"


async def test_what_later_work_changed_again_is_told_and_nothing_is_made(shop: Floor) -> None:
    first = await land(shop, change(shop, {"a.txt": LINES.replace("5\n", "five\n", 1)}))
    later = change(shop, {"a.txt": LINES.replace("5\n", "five and more\n", 1)}, "later", onto=first)
    trunk = await land(shop, later, old=first, name="L2")
    made = await landing.make_revert(revert(shop, first, shop.base, trunk), Blobs())
    assert made.conflicts == ("a.txt",) and not made.commit and made.base == trunk
    assert not gitkit.ref(shop.person, "refs/andon/work/T9")


async def test_what_is_not_there_any_more_cannot_be_taken_back(shop: Floor) -> None:
    first = await land(shop, change(shop, {"a.txt": "x\n"}))
    made = await landing.make_revert(revert(shop, first, shop.base), Blobs())
    again = await land(shop, made.commit, old=first, name="L2")
    with pytest.raises(Mistake, match="nothing to take back"):
        await landing.make_revert(revert(shop, first, shop.base, again), Blobs())
    with pytest.raises(Mistake, match="has not landed"):
        await landing.make_revert(revert(shop, change(shop, {"c.txt": "z\n"}, "z"), shop.base, again), Blobs())
    assert isinstance(await landing.merge_candidate(shop.merge(made.commit, onto=first)), CandidateMerged)
