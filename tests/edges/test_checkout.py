import asyncio
from pathlib import Path

import psutil
import pytest

import gitkit
from andon.edges import checkout, git, marker, salvage
from andon.edges.changes import DIFF_LIMIT
from andon.edges.surroundings import attempt_env
from andon.schema.errors import Mistake
from andon.schema.ids import AttemptId, TaskId
from checkoutkit import Blobs, Floor, floor
from gitkit import run, write
from support import wait_for

FILES = {"a.txt": "a\n", "src/b.py": "b = 1\n", ".gitignore": "*.log\n.env\nnode_modules/\n"}


@pytest.fixture
def shop(tmp_path: Path) -> Floor:
    return floor(tmp_path, FILES)


@pytest.mark.parametrize("isolation", ["clone", "worktree"])
async def test_a_checkout_stands_at_its_base_on_its_own_branch_with_the_persons_name(shop: Floor, isolation: str) -> None:
    ready = await checkout.prepare(shop.prepare(isolation=isolation), shop.layout)
    path = Path(ready.path)
    assert ready.isolation == isolation and path == shop.path()
    assert run(path, "rev-parse", "HEAD") == shop.base
    assert run(path, "symbolic-ref", "--short", "HEAD") == ("andon/T1" if isolation == "clone" else "andon/T1.1")
    assert run(path, "status", "--porcelain") == ""
    assert (path / "src/b.py").read_text() == "b = 1\n"
    assert gitkit.ref(shop.person, "refs/andon/keep/T1.1") == shop.base
    if isolation == "clone":
        assert run(path, "config", "user.email") == "test@example.org"
        assert not (path / ".git/hooks").exists() and (path / ".git").is_dir()


async def test_preparing_again_returns_the_same_checkout_with_the_agents_work_in_it(shop: Floor) -> None:
    first = await checkout.prepare(shop.prepare(), shop.layout)
    write(shop.path(), {"new.txt": "mine\n"})
    inode = shop.path().stat().st_ino
    assert await checkout.prepare(shop.prepare(), shop.layout) == first
    assert shop.path().stat().st_ino == inode and (shop.path() / "new.txt").read_text() == "mine\n"


async def test_a_directory_that_is_not_ours_is_neither_taken_nor_removed(shop: Floor) -> None:
    write(shop.path(), {"precious.txt": "theirs\n"})
    with pytest.raises(Mistake, match="did not make"):
        await checkout.prepare(shop.prepare(), shop.layout)
    with pytest.raises(Mistake, match="not a checkout that Andon made"):
        await checkout.remove(shop.remove(), shop.layout)
    with pytest.raises(Mistake, match="not made by Andon"):
        await salvage.destroy(shop.path(), shop.layout)
    assert (shop.path() / "precious.txt").read_text() == "theirs\n"


async def test_a_directory_put_in_place_of_ours_is_not_removed(shop: Floor) -> None:
    await checkout.prepare(shop.prepare(), shop.layout)
    shop.path().rename(shop.path().with_name("elsewhere"))
    write(shop.path(), {"precious.txt": "theirs\n"})
    with pytest.raises(Mistake):
        await checkout.remove(shop.remove(), shop.layout)
    assert (shop.path() / "precious.txt").exists()


async def test_the_branch_starts_where_an_earlier_attempt_ended_and_offers_its_commit(shop: Floor) -> None:
    await checkout.prepare(shop.prepare(), shop.layout)
    work = gitkit.commit(shop.path(), {"a.txt": "better\n"}, "Work")
    await checkout.import_work(shop.bring(), shop.layout, Blobs())
    await checkout.remove(shop.remove(), shop.layout)
    await checkout.prepare(shop.prepare("T1.2", start=work, previous=work), shop.layout)
    assert run(shop.path("T1.2"), "rev-parse", "HEAD", "andon/previous").split() == [work, work]
    again = await checkout.import_work(shop.bring("T1.2"), shop.layout, Blobs())
    assert (again.commit, again.paths, again.dirty) == (work, ("a.txt",), False)


async def test_the_clone_cannot_push_and_its_gc_leaves_the_persons_objects_alone(shop: Floor) -> None:
    await checkout.prepare(shop.prepare(), shop.layout)
    gitkit.commit(shop.path(), {"a.txt": "changed\n"}, "Work")
    before = {path: path.stat().st_mtime_ns for path in (shop.git_dir / "objects").rglob("*")}
    refs = run(shop.person, "for-each-ref")
    run(shop.path(), "push", "origin", "HEAD:refs/heads/main", "--force", check=False)
    run(shop.path(), "gc", "-q", "--prune=now")
    run(shop.path(), "repack", "-a", "-d", "-q", "--no-write-bitmap-index")
    assert {path: path.stat().st_mtime_ns for path in (shop.git_dir / "objects").rglob("*")} == before
    assert run(shop.person, "for-each-ref") == refs
    assert run(shop.path(), "fsck") == ""


async def test_what_the_clone_borrows_outlives_a_gc_of_the_person(shop: Floor) -> None:
    work = gitkit.commit(shop.person, {"a.txt": "on a branch\n"}, "Soon gone")
    await checkout.prepare(shop.prepare(), shop.layout)
    run(shop.person, "reset", "-q", "--hard", "HEAD^")
    run(shop.person, "reflog", "expire", "--expire=now", "--all")
    run(shop.person, "gc", "-q", "--prune=now")
    assert run(shop.path(), "show", "-s", "--format=%H") == work
    assert run(shop.path(), "fsck") == ""


async def test_the_person_can_name_ignored_files_that_come_along(shop: Floor, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("outside\n")
    write(shop.person, {".env": "KEY=1\n", "debug.log": "no\n", "node_modules/x/y.js": "js\n", "src/.env": "KEY=2\n",
                        "untracked.txt": "not ignored\n", ".worktreeinclude": ".env\nnode_modules/\nuntracked.txt\nleak.log\n"})
    (shop.person / "node_modules/link").symlink_to("x/y.js")
    (shop.person / "node_modules/leak").symlink_to(tmp_path / "secret")
    (shop.person / "leak.log").symlink_to("../secret")
    await checkout.prepare(shop.prepare(), shop.layout)
    files = (path for path in shop.path().rglob("*") if ".git" not in path.parts and not path.is_dir())
    there = {str(path.relative_to(shop.path())) for path in files}
    assert there == {"a.txt", "src/b.py", ".gitignore", ".env", "src/.env", "node_modules/x/y.js", "node_modules/link"}
    assert (shop.path() / "node_modules/link").is_symlink()


async def test_included_files_do_not_pass_through_a_link_of_the_tree(shop: Floor, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (shop.person / "conf").symlink_to(outside)
    base = gitkit.commit(shop.person, {}, "A link out")
    (shop.person / "conf").unlink()
    write(shop.person, {"conf/.env": "KEY=1\n", ".worktreeinclude": ".env\n"})
    await checkout.prepare(shop.prepare(base=base), shop.layout)
    assert not list(outside.iterdir())


async def test_setup_sees_its_surroundings_and_its_failure_names_command_and_output(
    shop: Floor, monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("GIT_DIR", "/elsewhere")
    monkeypatch.setenv("TMUX", "theirs")
    setup = ('echo "$PWD|$ANDON_TASK|$ANDON_ATTEMPT|$ANDON_PORT|$ANDON_PORTS|$TMPDIR|${GIT_DIR-none}|${TMUX-none}" > seen.log',)
    ready = await checkout.prepare(shop.prepare(setup=setup, port=4000), shop.layout)
    tmp = shop.layout.job("T1.1") / "tmp"
    assert (shop.path() / "seen.log").read_text().strip() == f"{shop.path()}|T1|T1.1|4000|10|{tmp}|none|none"
    assert tmp.is_dir() and tmp.stat().st_mode & 0o777 == 0o700 and ready.setup_s >= 0
    with pytest.raises(Mistake) as caught:
        await checkout.prepare(shop.prepare("T2.1", setup=("echo before; echo no such thing >&2; exit 3",)), shop.layout)
    assert "exit code 3" in str(caught.value) and "no such thing" in str(caught.value) and "exit 3" in caught.value.problem.where


async def test_a_failed_setup_is_repeated_from_a_fresh_clone(shop: Floor, tmp_path: Path) -> None:
    setup = (f"test ! -e half.log; touch half.log; test -e {tmp_path}/go",)
    with pytest.raises(Mistake):
        await checkout.prepare(shop.prepare(setup=setup), shop.layout)
    (tmp_path / "go").touch()
    await checkout.prepare(shop.prepare(setup=("test ! -e half.log", *setup)), shop.layout)
    assert (shop.path() / "half.log").exists()


async def test_setup_leaves_no_process_behind(shop: Floor, tmp_path: Path) -> None:
    await checkout.prepare(shop.prepare(setup=(f"sleep 300 & echo $! > {tmp_path}/pid",)), shop.layout)
    pid = int((tmp_path / "pid").read_text())
    await wait_for(lambda: not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)


def test_the_environment_of_an_attempt_keeps_the_person_and_drops_the_daemon(shop: Floor) -> None:
    given = {"HOME": "/home/me", "PATH": "/bin", "GIT_AUTHOR_NAME": "x", "TMUX_PANE": "%1", "ANDON_HOME": "/f", "PYTHONPATH": "/d",
             "NOTIFY_SOCKET": "/n", "EDITOR": "vi", "OPENAI_API_KEY": "k"}
    env = attempt_env(shop.layout, attempt=AttemptId("T1.1"), task=TaskId("T1"), path=shop.path(), given=given)
    assert {key: env[key] for key in ("HOME", "PATH", "EDITOR", "OPENAI_API_KEY")} == {
        "HOME": "/home/me", "PATH": "/bin", "EDITOR": "vi", "OPENAI_API_KEY": "k"}
    assert not {"GIT_AUTHOR_NAME", "TMUX_PANE", "ANDON_HOME", "PYTHONPATH", "NOTIFY_SOCKET", "ANDON_PORT"} & env.keys()


@pytest.mark.parametrize("isolation", ["clone", "worktree"])
async def test_work_is_read_as_facts(shop: Floor, isolation: str) -> None:
    await checkout.prepare(shop.prepare(isolation=isolation), shop.layout)
    path, blobs = shop.path(), Blobs()
    run(path, "mv", "src/b.py", "src/c.py")
    head = gitkit.commit(path, {"a.txt": "a\nmore\n", "bin": "\0\1"}, "Work")
    read = await checkout.import_work(shop.bring(), shop.layout, blobs)
    assert (read.commit, read.tree, read.base, read.refused) == (head, gitkit.tree(path), shop.base, "")
    assert read.descends and read.paths == ("a.txt", "bin", "src/b.py", "src/c.py") and read.paths_total == 4
    assert (read.insertions, read.deletions, read.dirty) == (1, 0, False)
    assert b"rename from src/b.py" in blobs.kept[read.diff] and b"+more" in blobs.kept[read.diff]
    assert gitkit.ref(shop.person, "refs/andon/work/T1.1") == head
    assert not (shop.git_dir / "FETCH_HEAD").exists()
    assert await checkout.import_work(shop.bring(), shop.layout, blobs) == read


async def test_no_commit_reads_as_the_base_and_uncommitted_work_as_dirty(shop: Floor) -> None:
    await checkout.prepare(shop.prepare(), shop.layout)
    read = await checkout.import_work(shop.bring(), shop.layout, Blobs())
    assert (read.commit, read.paths, read.diff, read.dirty) == (shop.base, (), "", False)
    write(shop.path(), {"ignored.log": "x"})
    assert not (await checkout.import_work(shop.bring(), shop.layout, Blobs())).dirty
    write(shop.path(), {"a.txt": "b\n"})
    assert (await checkout.import_work(shop.bring(), shop.layout, Blobs())).dirty
    run(shop.path(), "update-index", "--assume-unchanged", "a.txt")
    assert (await checkout.import_work(shop.bring(), shop.layout, Blobs())).dirty


async def test_head_counts_when_it_is_detached_and_an_unborn_head_is_refused(shop: Floor) -> None:
    await checkout.prepare(shop.prepare(), shop.layout)
    run(shop.path(), "checkout", "-q", "--detach")
    head = gitkit.commit(shop.path(), {"a.txt": "x\n"}, "Detached")
    assert (await checkout.import_work(shop.bring(), shop.layout, Blobs())).commit == head
    run(shop.path(), "checkout", "-q", "--orphan", "fresh")
    read = await checkout.import_work(shop.bring(), shop.layout, Blobs())
    assert read.commit == shop.base and "no commit" in read.refused


async def test_work_left_on_the_branch_while_head_is_elsewhere_is_said(shop: Floor) -> None:
    await checkout.prepare(shop.prepare(), shop.layout)
    gitkit.commit(shop.path(), {"a.txt": "x\n"}, "Work")
    run(shop.path(), "checkout", "-q", "main")
    read = await checkout.import_work(shop.bring(), shop.layout, Blobs())
    assert read.commit == shop.base and "andon/T1" in read.refused


async def test_commits_of_other_tasks_are_told_and_so_is_a_head_beside_the_base(shop: Floor) -> None:
    await checkout.prepare(shop.prepare("T2.1"), shop.layout)
    other = gitkit.commit(shop.path("T2.1"), {"z.txt": "z\n"}, "Other")
    await checkout.import_work(shop.bring("T2.1"), shop.layout, Blobs())
    await checkout.prepare(shop.prepare(), shop.layout)
    run(shop.path(), "merge", "-q", other)
    read = await checkout.import_work(shop.bring(others=(other, shop.base)), shop.layout, Blobs())
    assert read.foreign == (other,) and read.descends
    run(shop.path(), "checkout", "-q", "--orphan", "fresh")
    gitkit.commit(shop.path(), {}, "No history")
    assert not (await checkout.import_work(shop.bring(), shop.layout, Blobs())).descends


async def test_a_huge_diff_is_cut_and_says_so_and_many_paths_are_counted(shop: Floor) -> None:
    await checkout.prepare(shop.prepare(), shop.layout)
    gitkit.commit(shop.path(), {"big.txt": "0123456789\n" * 300_000} | {f"many/{n}.txt": "x\n" for n in range(600)}, "Big")
    blobs = Blobs()
    read = await checkout.import_work(shop.bring(), shop.layout, blobs)
    assert len(blobs.kept[read.diff]) == DIFF_LIMIT and b"larger than 2 MiB" in blobs.kept[read.diff][-80:]
    assert len(read.paths) == 500 and read.paths_total == 601 and read.insertions == 300_600


async def test_broken_objects_are_refused(shop: Floor) -> None:
    await checkout.prepare(shop.prepare(), shop.layout)
    bad = b"100644 .git\0" + bytes.fromhex(gitkit.blob_oid(b"a\n", shop.path()))
    tree = run(shop.path(), "hash-object", "-t", "tree", "-w", "--stdin", "--literally", stdin=bad)
    run(shop.path(), "update-ref", "HEAD", run(shop.path(), "commit-tree", tree, "-p", "HEAD", "-m", "evil"))
    read = await checkout.import_work(shop.bring(), shop.layout, Blobs())
    assert read.commit == shop.base and "git refused" in read.refused
    assert gitkit.ref(shop.person, "refs/andon/work/T1.1") == ""


@pytest.mark.parametrize("isolation", ["clone", "worktree"])
async def test_removing_keeps_all_that_was_not_ignored_and_lets_go_of_the_rest(shop: Floor, isolation: str) -> None:
    await checkout.prepare(shop.prepare(isolation=isolation), shop.layout)
    path = shop.path()
    gitkit.commit(path, {"a.txt": "committed\n"}, "Work")
    write(path, {"a.txt": "edited\n", "new.txt": "untracked\n", "x.log": "ignored\n"})
    gone = await checkout.remove(shop.remove(teardown=("echo torn > torn.txt",)), shop.layout)
    assert gone.dirty and not path.exists() and gitkit.ref(shop.person, gone.ref) == gone.oid
    assert run(shop.person, "show", f"{gone.oid}:new.txt") == "untracked"
    assert run(shop.person, "show", f"{gone.oid}:a.txt") == "edited"
    assert run(shop.person, "show", f"{gone.oid}:torn.txt") == "torn"
    assert run(shop.person, "show", f"{gone.oid}^:a.txt") == "committed"
    assert "x.log" not in run(shop.person, "ls-tree", "--name-only", gone.oid)
    assert not gitkit.ref(shop.person, "refs/andon/keep/T1.1") and not list(shop.layout.trash.iterdir())
    assert "andon" not in run(shop.person, "branch") and len(run(shop.person, "worktree", "list").splitlines()) == 1
    assert await checkout.remove(shop.remove(teardown=("false",)), shop.layout) == gone


async def test_removing_what_never_stood_is_harmless(shop: Floor) -> None:
    gone = await checkout.remove(shop.remove(), shop.layout)
    assert (gone.ref, gone.oid, gone.dirty) == ("", shop.base, False)


async def test_nothing_is_removed_when_the_snapshot_fails(shop: Floor) -> None:
    await checkout.prepare(shop.prepare(), shop.layout)
    write(shop.path(), {"keep.txt": "mine\n"})
    gitkit.make_repo(shop.path() / "vendor", {"inner.txt": "only here\n"})
    with pytest.raises(Mistake, match="vendor"):
        await checkout.remove(shop.remove(teardown=("rm keep.txt",)), shop.layout)
    assert (shop.path() / "vendor/inner.txt").exists() and (shop.path() / "keep.txt").exists()
    assert gitkit.ref(shop.person, "refs/andon/keep/T1.1") == shop.base


async def test_a_read_only_directory_does_not_stop_the_removal(shop: Floor) -> None:
    await checkout.prepare(shop.prepare(), shop.layout)
    write(shop.path(), {"cache.log/deep/file": "x"})
    (shop.path() / "cache.log/deep").chmod(0o555)
    (shop.path() / "cache.log").chmod(0o555)
    await checkout.remove(shop.remove(), shop.layout)
    assert not shop.path().exists() and not list(shop.layout.trash.iterdir())


@pytest.mark.parametrize("isolation", ["clone", "worktree"])
async def test_twenty_checkouts_at_once_all_stand(shop: Floor, isolation: str) -> None:
    names = [f"T{n}.1" for n in range(1, 21)]
    made = await asyncio.gather(*(checkout.prepare(shop.prepare(name, isolation=isolation), shop.layout) for name in names))
    assert len({ready.path for ready in made}) == 20
    for name in names:
        assert run(shop.path(name), "status", "--porcelain") == "" and run(shop.path(name), "rev-parse", "HEAD") == shop.base
    gitkit.commit(shop.path("T7.1"), {"a.txt": "seven\n"}, "Seven")
    read = await asyncio.gather(*(checkout.import_work(shop.bring(name), shop.layout, Blobs()) for name in names))
    assert [one.commit != shop.base for one in read] == [name == "T7.1" for name in names]
    await asyncio.gather(*(checkout.remove(shop.remove(name), shop.layout) for name in names))
    assert not any(shop.path(name).exists() for name in names)
    assert run(shop.person, "for-each-ref", "refs/andon/keep") == "" and run(shop.person, "worktree", "list").count("\n") == 0


async def test_paths_with_spaces_and_unicode_work(tmp_path: Path) -> None:
    shop = floor(tmp_path / "my häuser & co", {"wörter/a b.txt": "x\n"})
    await checkout.prepare(shop.prepare(), shop.layout)
    gitkit.commit(shop.path(), {"wörter/ü \"q\".txt": "y\n"}, "Wörk")
    write(shop.path(), {"neü.txt": "z\n"})
    read = await checkout.import_work(shop.bring(), shop.layout, Blobs())
    assert read.paths == ('wörter/ü "q".txt',) and read.dirty
    gone = await checkout.remove(shop.remove(), shop.layout)
    assert run(shop.person, "show", f"{gone.oid}:neü.txt") == "z"


async def test_the_record_lies_outside_the_checkout_and_tells_what_was_made(shop: Floor) -> None:
    await checkout.prepare(shop.prepare(), shop.layout)
    known = marker.read(shop.path())
    assert known is not None and known.ready and known.base == shop.base and known.attempt == "T1.1"
    assert not marker.record(shop.path()).is_relative_to(shop.path())
    assert (shop.path() / ".git/andon-checkout").is_file()


async def test_every_git_can_be_watched(shop: Floor, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[str, ...]] = []
    monkeypatch.setattr(git, "observe", seen.append)
    await checkout.prepare(shop.prepare(), shop.layout)
    assert any(argv[:2] == ("git", "clone") for argv in seen)


async def test_work_of_a_checkout_that_is_gone_is_a_mistake_that_names_the_way_back(shop: Floor) -> None:
    with pytest.raises(Mistake, match="andon undo"):
        await checkout.import_work(shop.bring(), shop.layout, Blobs())
