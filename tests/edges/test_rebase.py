"""Earlier work of an agent is replayed onto the new base before the next attempt begins."""

from pathlib import Path

import pytest

import gitkit
from andon.edges import checkout
from checkoutkit import Blobs, Floor, floor
from gitkit import run
from landingkit import change

LINES = "".join(f"{n}\n" for n in range(20))


@pytest.fixture
def shop(tmp_path: Path) -> Floor:
    return floor(tmp_path, {"a.txt": LINES, "c.txt": "c\n"})


def earlier(shop: Floor) -> str:
    """Two commits of an earlier attempt; trunk went on since."""
    change(shop, {"a.txt": LINES.replace("5\n", "five\n", 1)}, "task", message="First")
    head = change(shop, {"new.txt": "new\n"}, "task", onto="task", message="Second\n\nAndon-Attempt: T1.1")
    gitkit.commit(shop.person, {"a.txt": LINES.replace("17", "seventeen")}, "Meanwhile")
    return head


@pytest.mark.parametrize("isolation", ["clone", "worktree"])
async def test_earlier_work_stands_on_the_new_base_and_its_snapshot_stays(shop: Floor, isolation: str) -> None:
    previous = earlier(shop)
    effect = shop.prepare("T1.2", previous=previous, rebase=True, isolation=isolation)
    ready = await checkout.prepare(effect, shop.layout)
    path = shop.path("T1.2")
    assert ready.rebased == "clean" and run(path, "rev-parse", "HEAD") == ready.start
    log = run(path, "log", "--reverse", "--format=%an|%cn|%s|%b", f"{shop.base}..HEAD")
    assert log.split() == ["Test|Andon|First|", "Test|Andon|Second|Andon-Attempt:", "T1.1"]
    assert {"five", "seventeen"} < set((path / "a.txt").read_text().split()) and run(path, "status", "--porcelain") == ""
    assert gitkit.ref(shop.person, "refs/andon/keep/T1.2.previous") == previous
    assert gitkit.ref(shop.person, "refs/andon/keep/T1.2.start") == ready.start
    assert await checkout.prepare(effect, shop.layout) == ready
    read = await checkout.import_work(shop.bring("T1.2"), shop.layout, Blobs())
    assert (read.commit, read.paths, read.descends, read.refused) == (ready.start, ("a.txt", "new.txt"), True, "")


async def test_earlier_work_that_conflicts_is_offered_as_it_is(shop: Floor) -> None:
    previous = earlier(shop)
    gitkit.commit(shop.person, {"a.txt": LINES.replace("5\n", "cinq\n", 1)}, "The same line")
    ready = await checkout.prepare(shop.prepare("T1.2", previous=previous, rebase=True), shop.layout)
    path = shop.path("T1.2")
    assert (ready.rebased, ready.start) == ("conflict in a.txt", "")
    assert run(path, "rev-parse", "HEAD") == shop.base and run(path, "rev-parse", "andon/previous") == previous


async def test_earlier_work_on_the_same_base_stays_the_same_commits(shop: Floor) -> None:
    previous = change(shop, {"a.txt": "mine\n"}, "task")
    ready = await checkout.prepare(shop.prepare("T1.2", previous=previous, rebase=True), shop.layout)
    assert (ready.rebased, ready.start) == ("clean", previous)


async def test_what_was_settled_in_a_merge_of_the_agents_is_not_dropped_unseen(shop: Floor) -> None:
    change(shop, {"a.txt": LINES.replace("5\n", "five\n", 1)}, "task")
    gitkit.commit(shop.person, {"c.txt": "theirs\n"}, "Theirs")
    run(shop.person, "checkout", "-q", "task")
    run(shop.person, "merge", "-q", "--no-commit", "--no-ff", "main")
    previous = gitkit.commit(shop.person, {"only-in-the-merge.txt": "x\n"}, "Settled")
    run(shop.person, "checkout", "-q", "main")
    ready = await checkout.prepare(shop.prepare("T1.2", previous=previous, rebase=True), shop.layout)
    assert ready.start == "" and "merges of its own" in ready.rebased
    assert run(shop.path("T1.2"), "rev-parse", "HEAD") == shop.base


async def test_without_being_asked_nothing_is_replayed(shop: Floor) -> None:
    ready = await checkout.prepare(shop.prepare("T1.2", previous=earlier(shop)), shop.layout)
    assert (ready.rebased, ready.start) == ("", "") and run(shop.path("T1.2"), "rev-parse", "HEAD") == shop.base
