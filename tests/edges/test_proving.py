import asyncio
import os
import shutil
import time
from pathlib import Path

import pytest

import gitkit
from andon.edges import marker, salvage
from andon.edges.proving import Proving
from andon.schema.errors import Mistake
from andon.schema.ids import Oid
from checkoutkit import REPO, Floor, floor
from gitkit import run, write
from support import wait_for

FILES = {"a.txt": "a\n", "src/b.py": "b\n", ".gitignore": "cache/\n*.pyc\n"}


@pytest.fixture
def shop(tmp_path: Path) -> Floor:
    return floor(tmp_path, FILES)


def at(shop: Floor, commit: str) -> tuple[Oid, Oid]:
    return Oid(commit), Oid(gitkit.tree(shop.person, commit))


def files(path: Path) -> dict[str, str]:
    found = (file for file in path.rglob("*") if file.is_file() and ".git" not in file.parts)
    return {str(file.relative_to(path)): file.read_text() for file in found}


async def test_a_slot_holds_exactly_the_tree_and_is_used_again(shop: Floor) -> None:
    proving, first = Proving(shop.layout), shop.base
    second = gitkit.commit(shop.person, {"a.txt": "changed\n", "src/b.py": None, "new/c.txt": "c\n"}, "Second")
    async with proving.slot(REPO, shop.git_dir, *at(shop, first)) as path:
        assert path == shop.layout.proving(REPO) / "slot1" and files(path) == FILES
        inode = path.stat().st_ino
    async with proving.slot(REPO, shop.git_dir, *at(shop, second)) as path:
        assert files(path) == {"a.txt": "changed\n", "new/c.txt": "c\n", ".gitignore": FILES[".gitignore"]}
        assert path.stat().st_ino == inode and await proving.tampered(path) == ()


async def test_what_a_run_left_is_gone_but_for_what_is_kept(shop: Floor, tmp_path: Path) -> None:
    proving, here = Proving(shop.layout), at(shop, shop.base)
    async with proving.slot(REPO, shop.git_dir, *here) as path:
        write(path, {"cache/x": "warm\n", "b.pyc": "old\n", "left.txt": "over\n", "a.txt": "bad\n"})
        gitkit.make_repo(path / "nested")
        shutil.rmtree(path / "src")
        (path / "src").symlink_to(tmp_path)
        assert await proving.tampered(path) == ("a.txt", "src/b.py")
    async with proving.slot(REPO, shop.git_dir, *here, keep=("cache",)) as path:
        assert files(path) == FILES | {"cache/x": "warm\n"} and not (path / "src").is_symlink()
    async with proving.slot(REPO, shop.git_dir, *here) as path:
        assert files(path) == FILES
    assert (tmp_path / "person").is_dir()


async def test_a_change_that_keeps_size_and_time_is_still_seen(shop: Floor) -> None:
    proving, here = Proving(shop.layout), at(shop, shop.base)
    async with proving.slot(REPO, shop.git_dir, *here) as path:
        seen = (path / "a.txt").stat()
        (path / "a.txt").write_text("X\n")
        os.utime(path / "a.txt", ns=(seen.st_atime_ns, seen.st_mtime_ns))
        assert await proving.tampered(path) == ("a.txt",)
    async with proving.slot(REPO, shop.git_dir, *here) as path:
        assert files(path) == FILES


async def test_tools_find_a_version_and_what_they_do_to_git_has_no_effect(shop: Floor, tmp_path: Path) -> None:
    run(shop.person, "tag", "v1.0")
    proving, here = Proving(shop.layout), at(shop, shop.base)
    async with proving.slot(REPO, shop.git_dir, *here) as path:
        assert run(path, "describe", "--tags", "--dirty") == "v1.0" and run(path, "rev-parse", "HEAD") == here[0]
        run(path, "config", "core.fsmonitor", f"touch {tmp_path}/canary")
        run(path, "config", "filter.evil.clean", f"touch {tmp_path}/canary")
        hook = f"#!/bin/sh\ntouch {tmp_path}/canary\n"
        write(path, {"a.txt": "hidden\n", ".git/info/exclude": "*\n", ".git/hooks/post-checkout": hook})
        run(path, "-c", "core.fsmonitor=false", "update-index", "--assume-unchanged", "a.txt")
        (path / ".git/hooks/post-checkout").chmod(0o755)
        (tmp_path / "canary").unlink(missing_ok=True)
        assert await proving.tampered(path) == ("a.txt",)
    async with proving.slot(REPO, shop.git_dir, *here) as path:
        assert files(path) == FILES and not (path / ".git/hooks").exists()
    assert not (tmp_path / "canary").exists() and run(shop.person, "status", "--porcelain") == ""


async def test_a_git_dir_that_a_run_turned_into_a_link_is_unlinked_not_followed(shop: Floor) -> None:
    proving, here = Proving(shop.layout), at(shop, shop.base)
    async with proving.slot(REPO, shop.git_dir, *here) as path:
        shutil.rmtree(path / ".git")
        (path / ".git").symlink_to(shop.git_dir)
    async with proving.slot(REPO, shop.git_dir, *here) as path:
        assert (path / ".git").is_dir() and not (path / ".git").is_symlink()
    assert run(shop.person, "fsck") == "" and shop.base == here[0]


async def test_a_slot_replaced_by_a_link_is_never_cleaned(shop: Floor) -> None:
    proving, here = Proving(shop.layout), at(shop, shop.base)
    async with proving.slot(REPO, shop.git_dir, *here) as path:
        pass
    path.rename(path.with_name("moved"))
    path.symlink_to(shop.person)
    write(shop.person, {"precious.txt": "mine\n"})
    with pytest.raises(Mistake):
        async with proving.slot(REPO, shop.git_dir, *here):
            pass
    with pytest.raises(Mistake, match="not made by Andon"):
        await salvage.scrub(path, path.with_name("slot1.git"), here[0], (), shop.layout, 0)
    assert (shop.person / "precious.txt").exists() and run(shop.person, "status", "--porcelain") == "?? precious.txt"


async def test_a_broken_index_a_stale_lock_and_a_lost_slot_are_made_good(shop: Floor) -> None:
    proving, here = Proving(shop.layout), at(shop, shop.base)
    async with proving.slot(REPO, shop.git_dir, *here) as path:
        pass
    aside = path.with_name("slot1.git")
    write(aside, {"index.lock": "", "index": "garbage"})
    async with proving.slot(REPO, shop.git_dir, *here) as path:
        assert files(path) == FILES
    await salvage.destroy(path, shop.layout)
    async with proving.slot(REPO, shop.git_dir, *here) as path:
        assert files(path) == FILES and marker.read(path) is not None


async def test_a_tree_that_is_not_the_commits_is_a_mistake(shop: Floor) -> None:
    second = gitkit.commit(shop.person, {"a.txt": "changed\n"}, "Second")
    with pytest.raises(Mistake, match="is not tree"):
        async with Proving(shop.layout).slot(REPO, shop.git_dir, Oid(second), Oid(gitkit.tree(shop.person, "HEAD^"))):
            pass
    with pytest.raises(Mistake):
        async with Proving(shop.layout).slot(REPO, shop.git_dir, Oid("1" * 40), Oid("2" * 40)):
            pass


async def test_slots_are_shared_in_turn_and_landings_go_first(shop: Floor) -> None:
    proving, here, order = Proving(shop.layout), at(shop, shop.base), list[str]()
    free = asyncio.Event()

    async def use(name: str, landing: bool = False) -> None:
        async with proving.slot(REPO, shop.git_dir, *here, slots=2, landing=landing) as path:
            order.append(f"{name} {path.name}")
            await free.wait()

    async with asyncio.TaskGroup() as group:
        for name in ("one", "two"):
            group.create_task(use(name))
        await wait_for(lambda: len(order) == 2)
        gone = group.create_task(use("gone"))
        for name in ("three", "four"):
            group.create_task(use(name))
        group.create_task(use("landing", landing=True))
        await asyncio.sleep(0)
        gone.cancel()
        free.set()
    names = [word.split()[0] for word in order]
    assert sorted(word.split()[1] for word in order[:2]) == ["slot1", "slot2"]
    assert sorted(names[2:4]) == ["landing", "three"] and names[4:] == ["four"]


async def test_the_slot_of_a_former_daemons_run_can_be_kept_as_it_is(shop: Floor) -> None:
    here = at(shop, shop.base)
    async with Proving(shop.layout).slot(REPO, shop.git_dir, *here) as path:
        write(path, {"running.txt": "still\n"})
    fresh = Proving(shop.layout)
    async with fresh.adopt(path):
        assert (path / "running.txt").exists()
        async with fresh.slot(REPO, shop.git_dir, *here, slots=2) as other:
            assert other.name == "slot2"
        with pytest.raises(Mistake):
            async with fresh.adopt(path):
                pass
    async with fresh.slot(REPO, shop.git_dir, *here) as path:
        assert not (path / "running.txt").exists()


async def test_submodules_are_empty_directories_and_nothing_is_tampered(shop: Floor, tmp_path: Path) -> None:
    other = gitkit.make_repo(tmp_path / "other")
    run(shop.person, "-c", "protocol.file.allow=always", "submodule", "add", "-q", str(other), "sub")
    run(shop.person, "commit", "-qm", "Submodule")
    async with Proving(shop.layout).slot(REPO, shop.git_dir, *at(shop, shop.base)) as path:
        assert (path / "sub").is_dir() and not list((path / "sub").iterdir())


async def test_switching_a_warm_slot_of_five_thousand_files_is_quick(tmp_path: Path) -> None:
    gitkit.big_repo(tmp_path / "person", 5000, commits=2, size=200)
    shop = Floor(tmp_path / "person", floor(tmp_path / "x").layout)
    proving, took = Proving(shop.layout), []
    for commit in ("main", "main^", "main", "main^", "main"):
        here = at(shop, run(shop.person, "rev-parse", commit))
        begun = time.monotonic()
        async with proving.slot(REPO, shop.git_dir, *here):
            took.append(time.monotonic() - begun)
    assert min(took[1:]) < 0.3
    assert min(took[1:]) < took[0]
