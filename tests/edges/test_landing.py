import os
import time
from pathlib import Path

import msgspec
import pytest

import gitkit
from andon.edges import git as git_module, landing
from andon.edges.repository import Target, read_target
from andon.schema.ids import Oid
from andon.schema.inputs import LandingRefused, TargetSwapped
from checkoutkit import Floor, floor
from gitkit import run
from landingkit import change, land, merged

FILES = {"a.txt": "a\n", "b.txt": "1\n2\n3\n", "c.txt": "c\n", ".gitignore": "*.env\n"}


@pytest.fixture
def shop(tmp_path: Path) -> Floor:
    return floor(tmp_path, FILES)


async def test_trunk_moves_once_and_the_deed_can_be_repeated(shop: Floor) -> None:
    base, effect = shop.base, shop.merge(change(shop, {"a.txt": "x\n"}), change(shop, {"c.txt": "y\n"}, "two"))
    done = await merged(effect)
    move = shop.move(effect, done)
    swapped = await landing.move_target(move)
    assert swapped == TargetSwapped(landing=move.landing, old=base, new=done.candidate, tree=done.tree)
    assert gitkit.ref(shop.person, "refs/andon/trunk/main") == done.candidate and shop.base == base
    assert await landing.move_target(move) == swapped


async def test_one_change_lands_with_six_processes(shop: Floor, monkeypatch: pytest.MonkeyPatch) -> None:
    first = await land(shop, change(shop, {"a.txt": "x\n"}, "one"))
    run(shop.person, "merge", "-q", "--ff-only", "refs/andon/trunk/main")
    effect = shop.merge(change(shop, {"c.txt": "y\n"}, "two"), onto=first, landing="L2")
    calls: list[tuple[str, ...]] = []
    monkeypatch.setattr(git_module, "observe", calls.append)
    assert isinstance(await landing.move_target(shop.move(effect, await merged(effect))), TargetSwapped)
    assert sorted(argv[1] for argv in calls) == sorted(
        ["merge-tree", "update-ref", "diff-tree", "diff-tree", "merge-tree", "update-ref"])


async def test_a_refusal_says_where_trunk_is_and_moves_nothing(shop: Floor) -> None:
    effect = shop.merge(change(shop, {"a.txt": "x\n"}))
    move = shop.move(effect, await merged(effect))
    refused = await landing.move_target(msgspec.structs.replace(move, new=Oid("1" * 40)))
    assert isinstance(refused, LandingRefused) and "cannot be read" in refused.because
    assert (refused.oid, refused.tree) == (shop.base, gitkit.tree(shop.person))
    assert not gitkit.ref(shop.person, "refs/andon/trunk/main")


async def test_a_person_who_committed_first_wins_and_trunk_follows(shop: Floor) -> None:
    work = change(shop, {"a.txt": "x\n"})
    effect = shop.merge(work)
    move = shop.move(effect, await merged(effect))
    theirs = gitkit.commit(shop.person, {"c.txt": "theirs\n"}, "Theirs")
    refused = await landing.move_target(move)
    assert isinstance(refused, LandingRefused) and refused.oid == theirs and refused.tree == gitkit.tree(shop.person, theirs)
    await land(shop, work, old=theirs)
    run(shop.person, "merge", "-q", "--ff-only", "refs/andon/trunk/main")
    later = gitkit.commit(shop.person, {"c.txt": "again\n"}, "Again")
    assert await read_target(shop.git_dir, "main") == Target(oid=Oid(later), tree=Oid(gitkit.tree(shop.person)), followed=True)
    assert gitkit.ref(shop.person, "refs/andon/trunk/main") == later


async def test_of_two_landings_planned_on_one_trunk_one_lands(shop: Floor) -> None:
    one, two = shop.merge(change(shop, {"a.txt": "x\n"}, "one")), shop.merge(change(shop, {"c.txt": "y\n"}, "two"), landing="L2")
    first, second = await merged(one), await merged(two)
    assert isinstance(await landing.move_target(shop.move(one, first)), TargetSwapped)
    lost = await landing.move_target(shop.move(two, second))
    assert isinstance(lost, LandingRefused) and lost.oid == first.candidate


async def test_a_lock_that_a_killed_git_left_on_trunk_is_cleared_when_it_is_old(
    shop: Floor, monkeypatch: pytest.MonkeyPatch,
) -> None:
    effect = shop.merge(change(shop, {"a.txt": "x\n"}))
    move = shop.move(effect, await merged(effect))
    lock = shop.git_dir / "refs/andon/trunk/main.lock"
    lock.parent.mkdir(parents=True)
    lock.touch()
    monkeypatch.setattr(git_module, "_BOTH", (*git_module._BOTH, ("core.filesRefLockTimeout", "100")))
    with pytest.raises(git_module.GitFailed, match="lock"):
        await landing.move_target(move)
    old = time.time() - git_module.STALE_LOCK_S - 1
    os.utime(lock, (old, old))
    assert isinstance(await landing.move_target(move), TargetSwapped)


async def test_a_target_with_a_slash_has_its_own_trunk(tmp_path: Path) -> None:
    shop = floor(tmp_path)
    run(shop.person, "branch", "release/1.0")
    assert isinstance(await read_target(shop.git_dir, "release/1.0"), Target)
