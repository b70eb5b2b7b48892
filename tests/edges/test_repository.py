import os
from pathlib import Path

import pytest

import gitkit
from andon.edges.repository import Diverged, Target, inspect, is_ancestor, read_target, show_file, tree_of
from andon.schema.errors import Mistake
from andon.schema.ids import Oid
from checkoutkit import Floor, floor
from gitkit import run, write


@pytest.fixture
def shop(tmp_path: Path) -> Floor:
    return floor(tmp_path, {"a.txt": "a\n", "dir/ü b.txt": "ü\n"})


async def test_a_plain_repository_is_seen_as_it_is(shop: Floor) -> None:
    seen = await inspect(shop.person / "dir")
    assert (seen.path, seen.git_dir, seen.target, seen.oid, seen.branch) == (shop.person, shop.git_dir, "main", shop.base, "main")
    assert seen.tree == gitkit.tree(shop.person) and seen.target_exists and not seen.dirty and seen.notes == ()


async def test_a_linked_worktree_leads_to_the_common_directory(shop: Floor, tmp_path: Path) -> None:
    run(shop.person, "worktree", "add", "-q", str(tmp_path / "linked"), "-b", "side")
    seen = await inspect(tmp_path / "linked")
    assert (seen.path, seen.git_dir, seen.branch) == (tmp_path / "linked", shop.git_dir, "side")


async def test_spaces_and_unicode_in_the_path_are_no_matter(tmp_path: Path) -> None:
    person = gitkit.make_repo(tmp_path / "my häuser & co")
    assert (await inspect(person)).path == person


async def refused(path: Path, target: str = "") -> Mistake:
    with pytest.raises(Mistake) as caught:
        await inspect(path, target)
    assert caught.value.problem.where and caught.value.problem.mend
    for word in ("--hard", "rm ", "clean", "--force"):
        assert word not in str(caught.value)
    return caught.value


async def test_what_cannot_be_worked_with_is_one_clear_mistake(shop: Floor, tmp_path: Path) -> None:
    (tmp_path / "plain").mkdir()
    assert "not inside a git repository" in str(await refused(tmp_path / "plain"))
    assert "not a directory" in str(await refused(tmp_path / "absent"))
    run(tmp_path, "init", "-q", "--bare", "bare.git")
    assert "bare" in str(await refused(tmp_path / "bare.git"))
    assert "inside a git directory" in str(await refused(shop.git_dir))
    run(tmp_path, "init", "-q", "-b", "main", "unborn")
    assert "no commit yet" in str(await refused(tmp_path / "unborn"))
    assert "no branch release" in str(await refused(shop.person, "release"))


async def test_a_shallow_and_a_partial_clone_are_refused_with_their_mend(shop: Floor, tmp_path: Path) -> None:
    gitkit.commit(shop.person, {"a.txt": "b\n"}, "Second")
    run(tmp_path, "clone", "-q", "--depth=1", f"file://{shop.person}", "shallow")
    assert "git fetch --unshallow" in str(await refused(tmp_path / "shallow"))
    run(shop.person, "config", "uploadpack.allowFilter", "true")
    run(tmp_path, "clone", "-q", "--filter=blob:none", f"file://{shop.person}", "partial")
    mend = (await refused(tmp_path / "partial")).problem.mend
    for command in mend.split(" && "):
        run(tmp_path / "partial", *command.split()[1:])
    assert (await inspect(tmp_path / "partial")).target == "main"
    assert "?" not in run(tmp_path / "partial", "rev-list", "--objects", "--missing=print", "--all")


async def test_no_git_and_an_old_git_are_told(shop: Floor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tools = tmp_path / "tools"
    tools.mkdir()
    monkeypatch.setenv("PATH", str(tools))
    assert "git was not found" in str(await refused(shop.person))
    (tools / "git").write_text("#!/bin/sh\necho git version 2.30.2\n")
    (tools / "git").chmod(0o755)
    told = await refused(shop.person)
    assert "2.30.2 is too old" in str(told) and "2.38" in str(told) and told.problem.where == str(tools / "git")


async def test_degraded_modes_are_stated(shop: Floor, tmp_path: Path) -> None:
    other = gitkit.make_repo(tmp_path / "other")
    run(shop.person, "-c", "protocol.file.allow=always", "submodule", "add", "-q", str(other), "sub")
    gitkit.commit(shop.person, {"assets/.gitattributes": "*.bin filter=lfs diff=lfs merge=lfs -text\n"}, "LFS")
    write(shop.person, {"a.txt": "dirty\n", "untracked.txt": "x\n"})
    run(shop.person, "checkout", "-q", "--detach")
    seen = await inspect(shop.person)
    notes = "\n".join(seen.notes)
    assert "Submodules" in notes and "LFS" in notes and "1 tracked file" in notes and "detached" in notes
    assert seen.dirty and seen.branch == "" and seen.target == "main"


async def test_the_target_is_found_when_none_is_named(tmp_path: Path) -> None:
    person = gitkit.make_repo(tmp_path / "p")
    run(person, "branch", "-m", "develop")
    assert (await inspect(person)).target == "develop"
    run(person, "branch", "master")
    assert (await inspect(person)).target == "master"
    run(person, "branch", "main")
    assert (await inspect(person)).target == "main"
    assert (await inspect(person, "develop")).target == "develop"


async def test_looking_changes_nothing_of_the_persons(shop: Floor) -> None:
    write(shop.person, {"a.txt": "dirty\n"})
    os.utime(shop.person / "dir/ü b.txt")
    before = {str(path): path.read_bytes() for path in shop.person.rglob("*") if path.is_file()}
    await inspect(shop.person)
    after = {str(path): path.read_bytes() for path in shop.person.rglob("*") if path.is_file()}
    assert {name: data for name, data in after.items() if "/.git/andon/" not in name} == before


async def test_hooks_and_monitors_of_the_persons_repository_do_not_run(shop: Floor, tmp_path: Path) -> None:
    run(shop.person, "config", "core.fsmonitor", f"touch {tmp_path}/canary")
    write(shop.git_dir, {"hooks/post-index-change": f"#!/bin/sh\ntouch {tmp_path}/canary\n"})
    (shop.git_dir / "hooks/post-index-change").chmod(0o755)
    await inspect(shop.person)
    assert not (tmp_path / "canary").exists()


async def test_files_of_a_commit_are_read_as_text_or_not_at_all(shop: Floor) -> None:
    (shop.person / "link").symlink_to("/etc/passwd")
    (shop.person / "bytes.txt").write_bytes(b"\xff ok")
    oid = gitkit.commit(shop.person, {"[x].txt": "glob\n"}, "More")
    assert await show_file(shop.git_dir, oid, "dir/ü b.txt") == "ü\n"
    assert await show_file(shop.git_dir, oid, "[x].txt") == "glob\n"
    assert await show_file(shop.git_dir, oid, "bytes.txt") == "\ufffd ok"
    for name in ("absent", "dir", "link", "[a].txt"):
        assert await show_file(shop.git_dir, oid, name) is None
    with pytest.raises(Mistake):
        await show_file(shop.git_dir, "1" * 40, "a.txt")
    with pytest.raises(Mistake):
        await tree_of(shop.git_dir, "1" * 40)


async def test_ancestry_is_told_and_an_unknown_commit_is_a_mistake(shop: Floor) -> None:
    first, second = shop.base, gitkit.commit(shop.person, {"a.txt": "b\n"}, "Second")
    assert await is_ancestor(shop.git_dir, first, second) and not await is_ancestor(shop.git_dir, second, first)
    with pytest.raises(Mistake):
        await is_ancestor(shop.git_dir, first, "1" * 40)


async def test_trunk_leads_follows_or_has_parted(shop: Floor) -> None:
    first = shop.base
    assert await read_target(shop.git_dir, "main") == Target(oid=first, tree=Oid(gitkit.tree(shop.person)))
    assert not gitkit.ref(shop.person, "refs/andon/trunk/main")
    second = gitkit.commit(shop.person, {"a.txt": "b\n"}, "Second")
    run(shop.person, "update-ref", "refs/andon/trunk/main", second)
    run(shop.person, "reset", "-q", "--hard", first)
    assert await read_target(shop.git_dir, "main") == Target(oid=Oid(second), tree=Oid(gitkit.tree(shop.person, second)))
    third = gitkit.commit(shop.person, {"a.txt": "c\n"}, "Third")
    parted = await read_target(shop.git_dir, "main")
    assert parted == Diverged(target="main", trunk=Oid(second), branch=Oid(third))
    assert parted.mend == "git merge refs/andon/trunk/main"
    run(shop.person, "merge", "-q", "-s", "ours", "refs/andon/trunk/main")
    joined = await read_target(shop.git_dir, "main")
    assert isinstance(joined, Target) and joined.followed
    assert joined.oid == shop.base == gitkit.ref(shop.person, "refs/andon/trunk/main")
    with pytest.raises(Mistake, match="no branch absent"):
        await read_target(shop.git_dir, "absent")
