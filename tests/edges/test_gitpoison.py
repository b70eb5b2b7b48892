"""A hostile clone against every git command of the daemon: nothing that an agent can plant may run."""

import asyncio
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import gitkit
from andon.edges import checkout, git as module, landing, salvage
from andon.edges.proving import Proving
from andon.edges.repository import inspect, read_target, show_file
from andon.schema.errors import Mistake
from andon.schema.ids import AttemptId, Oid
from andon.schema.inputs import CandidateMerged, TargetSwapped
from checkoutkit import REPO, Blobs, Floor, floor
from gitkit import run
from poisonkit import HOOKS, hostile, poison, settings

ONE = AttemptId("T1.1")
@pytest.fixture
def canary(tmp_path: Path) -> Path:
    return tmp_path / "canary"


@pytest.fixture
def evil(tmp_path: Path, canary: Path) -> Path:
    script = tmp_path / "evil.sh"
    script.write_text(f'#!/bin/sh\necho "$0 $*" >> {canary}\ncat\n')
    script.chmod(0o755)
    return script


@pytest.fixture
async def shop(tmp_path: Path) -> Floor:
    shop = floor(tmp_path, {"a.txt": "a\n", "b.txt": "b\n"})
    await checkout.prepare(shop.prepare(), shop.layout)
    return shop


@pytest.fixture(autouse=True)
def watched(canary: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Each git of the daemon, and the proof after each that the one before ran nothing."""
    verbs: list[str] = []

    def observe(argv: tuple[str, ...]) -> None:
        assert not canary.exists(), f"git {verbs[-1]} ran: {canary.read_text()}"
        verbs.append(argv[1])

    monkeypatch.setattr(module, "observe", observe)
    yield verbs
    assert not canary.exists(), canary.read_text()


async def test_the_poison_is_real(shop: Floor, evil: Path, canary: Path) -> None:
    poison(shop.path(), evil)
    for command in (("status",), ("add", "new.txt"), ("diff",), ("-C", "embedded", "status")):
        run(shop.path(), *command, check=False)
        assert str(evil) in await asyncio.to_thread(canary.read_text), command
        await asyncio.to_thread(canary.unlink)


async def test_nothing_of_a_hostile_clone_runs_from_import_to_landing_and_removal(
    shop: Floor, evil: Path, watched: list[str], tmp_path: Path,
) -> None:
    poison(shop.path(), evil)
    mine = {name: (shop.git_dir / name).read_bytes() for name in ("config", "HEAD")}
    read = await checkout.import_work(shop.bring(), shop.layout, Blobs())
    assert read.refused == "" and "a.txt" in read.paths and read.dirty
    kept = await salvage.snapshot(shop.git_dir, shop.path(), ONE, shop.base, shop.layout)
    async with Proving(shop.layout).slot(REPO, shop.git_dir, read.commit, read.tree) as path:
        assert (path / "a.txt").read_text() == "work\n"
        poison_slot(path, evil)
        await Proving(shop.layout).tampered(path)
    async with Proving(shop.layout).slot(REPO, shop.git_dir, shop.base, Oid(gitkit.tree(shop.person, shop.base))):
        pass
    merge = shop.merge(read.commit)
    merged = await landing.merge_candidate(merge)
    assert isinstance(merged, CandidateMerged)
    assert isinstance(await landing.move_target(shop.move(merge, merged)), TargetSwapped)
    assert (await landing.mirror_target(shop.mirror(merged.candidate))).advanced
    assert await show_file(shop.git_dir, merged.candidate, "a.txt") == "work\n"
    await inspect(shop.person)
    await read_target(shop.git_dir, "main")
    await salvage.restore(shop.git_dir, ONE, tmp_path / "back", shop.layout, ref=kept.ref)
    gone = await checkout.remove(shop.remove(), shop.layout)
    assert gone.oid == kept.oid
    assert {name: (shop.git_dir / name).read_bytes() for name in mine} == mine
    expected = {"fetch", "add", "status", "diff", "merge-tree", "update-ref", "merge", "checkout", "clean", "commit-tree"}
    assert expected <= set(watched)


def poison_slot(path: Path, evil: Path) -> None:
    (path / ".git/hooks").mkdir()
    for name in HOOKS:
        (path / ".git/hooks" / name).symlink_to(evil)
    with (path / ".git/config").open("a") as config:
        config.write(settings(evil))
    nested = path / "nested"
    nested.mkdir()
    run(nested, "init", "-q", "--template=")
    with (nested / ".git/config").open("a") as config:
        config.write(settings(evil))


async def test_a_submodule_that_would_run_a_command_is_refused(shop: Floor, evil: Path) -> None:
    gitkit.commit(shop.path(), {".gitmodules": f'[submodule "x"]\n\tpath = x\n\turl = ./x\n\tupdate = !{evil}\n'}, "Evil")
    read = await checkout.import_work(shop.bring(), shop.layout, Blobs())
    assert "disallowed submodule update" in read.refused and read.commit == shop.base


async def test_no_git_of_the_daemon_is_given_the_agents_directory(
    shop: Floor, evil: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:
    poison(shop.path(), evil)
    seen: list[tuple[tuple[str, ...], dict[str, str]]] = []
    start = asyncio.create_subprocess_exec

    async def spy(*argv: str, **words: Any) -> object:
        seen.append((argv, {"cwd": str(words["cwd"]), **words["env"]}))
        return await start(*argv, **words)

    monkeypatch.setattr(asyncio, "create_subprocess_exec", spy)
    await checkout.import_work(shop.bring(), shop.layout, Blobs())
    await checkout.remove(shop.remove(), shop.layout)
    inside = str(shop.path())
    for argv, env in seen:
        assert not env.get("GIT_DIR", "/").startswith(inside), argv
        assert env.get("GIT_DIR") or not env["cwd"].startswith(inside), argv
        assert argv[1] == "fetch" or not any(word.startswith(inside) for word in argv), argv
    assert len(seen) > 10


@pytest.mark.parametrize("hidden", [False, True], ids=["plain", "included"])
async def test_a_clone_turned_partial_does_not_make_the_daemon_fetch_its_missing_objects(
    shop: Floor, evil: Path, tmp_path: Path, hidden: bool,
) -> None:
    path = shop.path()
    gitkit.commit(path, {"c.txt": "missing\n"}, "Work")
    oid = gitkit.blob_oid(b"missing\n", path)
    (path / ".git/objects" / oid[:2] / oid[2:]).unlink()
    bad = f'[core]\n\trepositoryformatversion = 1\n[extensions]\n\tpartialClone = evil\n[remote "evil"]\n\turl = {tmp_path}\n' \
          f"\tpromisor = true\n\tuploadpack = {evil}\n"
    (tmp_path / "included").write_text(bad)
    with (path / ".git/config").open("a") as config:
        config.write(f"[include]\n\tpath = {tmp_path}/included\n" if hidden else bad)
    read = await checkout.import_work(shop.bring(), shop.layout, Blobs())
    assert read.refused and read.commit == shop.base
    assert gitkit.ref(shop.person, "refs/andon/work/T1.1") == ""


@pytest.mark.parametrize("kind", ["link", "gitfile"])
async def test_a_git_directory_that_points_elsewhere_is_not_followed(
    shop: Floor, evil: Path, tmp_path: Path, kind: str,
) -> None:
    other = gitkit.make_repo(tmp_path / "other", {"secret.txt": "not the agent's\n"})
    with (other / ".git/config").open("a") as config:
        config.write(settings(evil))
    (shop.path() / ".git").rename(tmp_path / "moved")
    if kind == "link":
        (shop.path() / ".git").symlink_to(other / ".git")
    else:
        (shop.path() / ".git").write_text(f"gitdir: {other}/.git\n")
    read = await checkout.import_work(shop.bring(), shop.layout, Blobs())
    assert read.refused and not read.foreign and read.commit == shop.base
    await checkout.remove(shop.remove(), shop.layout)
    secret = gitkit.blob_oid(b"not the agent's\n", shop.person)
    assert secret not in gitkit.reachable_blobs(shop.person) and (other / ".git/HEAD").exists()


async def test_a_nested_repository_is_named_and_not_entered(shop: Floor, evil: Path) -> None:
    inner = gitkit.make_repo(shop.path() / "inner")
    run(shop.path(), "add", "inner")
    run(shop.path(), "commit", "-qm", "A gitlink")
    hostile(inner, evil)
    read = await checkout.import_work(shop.bring(), shop.layout, Blobs())
    assert read.paths == ("inner",)
    with pytest.raises(Mistake, match="inner"):
        await checkout.remove(shop.remove(), shop.layout)
    async with Proving(shop.layout).slot(REPO, shop.git_dir, read.commit, read.tree) as path:
        assert not await asyncio.to_thread(os.listdir, path / "inner")
        hostile(path / "inner", evil)
        assert await Proving(shop.layout).tampered(path) == ()
    async with Proving(shop.layout).slot(REPO, shop.git_dir, read.commit, read.tree) as path:
        assert not await asyncio.to_thread(os.listdir, path / "inner")


async def test_a_hostile_repository_in_the_place_of_a_submodule_is_not_entered(tmp_path: Path, evil: Path) -> None:
    shop = floor(tmp_path / "sub")
    run(shop.person, "-c", "protocol.file.allow=always", "submodule", "add", "-q", str(gitkit.make_repo(tmp_path / "other")), "lib")
    run(shop.person, "commit", "-qm", "Submodule")
    await checkout.prepare(shop.prepare(), shop.layout)
    inner = hostile(shop.path() / "lib", evil)
    assert (await checkout.import_work(shop.bring(), shop.layout, Blobs())).commit == shop.base
    with pytest.raises(Mistake, match="lib"):
        await checkout.remove(shop.remove(), shop.layout)
    assert (inner / "README.md").exists()


async def test_a_giant_of_holes_is_refused_at_once_and_nothing_is_removed(shop: Floor, evil: Path) -> None:
    with (shop.path() / "big").open("wb") as file:
        file.truncate(1 << 40)
    async with asyncio.timeout(20):
        with pytest.raises(Mistake, match="too large to be kept"):
            await salvage.snapshot(shop.git_dir, shop.path(), ONE, shop.base, shop.layout)
        assert (await checkout.import_work(shop.bring(), shop.layout, Blobs())).commit == shop.base
        with pytest.raises(Mistake, match="nothing is removed"):
            await checkout.remove(shop.remove(), shop.layout)
    assert (shop.path() / "big").exists()


async def test_borrowed_objects_of_a_third_place_do_not_reach_the_repository_unseen(
    shop: Floor, tmp_path: Path, evil: Path,
) -> None:
    other = gitkit.make_repo(tmp_path / "other", {"theirs.txt": "x\n"})
    with (shop.path() / ".git/objects/info/alternates").open("a") as file:
        file.write(f"{other}/.git/objects\n")
    with (other / ".git/config").open("a") as config:
        config.write(settings(evil))
    run(shop.path(), "update-ref", "HEAD", gitkit.ref(other, "HEAD"))
    read = await checkout.import_work(shop.bring(), shop.layout, Blobs())
    assert not read.descends and run(shop.person, "fsck") == ""


def test_the_daemon_has_one_place_that_starts_git() -> None:
    edges = Path(module.__file__).parent
    texts = {path.name: path.read_text() for path in edges.glob("*.py")}
    starters = {name for name, text in texts.items() if re.search(r"create_subprocess|subprocess\.(run|Popen|check)", text)}
    attacking = {"attacks.py", "attempts.py"}  # play the agent against our own walls, in a repository made for that
    assert {name for name in starters if re.search(r'["\']git["\']', texts[name])} - attacking == {"git.py"}
