import asyncio
import fcntl
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

import gitkit
from andon.edges import git as module
from andon.edges.git import GitFailed, clear_stale_lock, common_lock, git, held, look, make_git_dir, read_ref, room, set_ref
from andon.edges.repository import read_refs
from andon.schema.errors import Mistake
from gitkit import run
from support import wait_for, wait_until


@pytest.fixture
def person(tmp_path: Path) -> Path:
    return gitkit.make_repo(tmp_path / "person", {"a.txt": "a\n"})


def slow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: str) -> None:
    """Put a script in the place of git."""
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "git").write_text(f"#!/bin/sh\necho $$ > {tmp_path}/pid\n{body}\n")
    (tools / "git").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}:{os.environ['PATH']}")


async def test_output_comes_back_and_a_failure_is_a_mistake_with_the_words_of_git(person: Path) -> None:
    done = await git("rev-parse", "HEAD", git_dir=person / ".git")
    assert done.code == 0 and done.oid == gitkit.ref(person, "HEAD")
    with pytest.raises(GitFailed) as caught:
        await git("rev-parse", "--verify", "nothing", git_dir=person / ".git")
    assert "fatal: Needed a single revision" in str(caught.value) and caught.value.problem.mend
    assert (await git("rev-parse", "--verify", "nothing", git_dir=person / ".git", check=False)).code == 128
    assert (await git("hash-object", "--stdin", git_dir=person / ".git", stdin=b"a\n")).text == gitkit.blob_oid(b"a\n", person)


async def test_nothing_of_the_persons_environment_or_settings_reaches_git(
    person: Path, own_home: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("GIT_INDEX_FILE", "/nowhere")
    monkeypatch.setenv("GIT_CONFIG_PARAMETERS", "'user.name=Evil'")
    monkeypatch.setenv("GIT_TRACE", str(own_home / "trace"))
    name = await git("config", "user.name", git_dir=person / ".git", check=False)
    assert name.text == "" and not (own_home / "trace").exists()
    assert "Andon <andon@localhost>" in (await git("var", "GIT_AUTHOR_IDENT", git_dir=person / ".git")).text
    assert (await git("config", "user.name", git_dir=person / ".git", trusted=True)).text == "Test"


async def test_a_bare_repository_hidden_in_a_tree_is_not_entered(person: Path, tmp_path: Path) -> None:
    run(tmp_path, "init", "-q", "--bare", "hidden")
    (tmp_path / "hidden/config").write_text(
        f"[core]\n\trepositoryformatversion = 0\n\tbare = false\n\tworktree = .\n\tfsmonitor = touch {tmp_path}/canary\n")
    shutil.copy(person / ".git/index", tmp_path / "hidden/index")
    done = await git("status", cwd=tmp_path / "hidden", check=False)
    assert done.code == 128 and not (tmp_path / "canary").exists()
    run(tmp_path / "hidden", "status")
    assert (tmp_path / "canary").exists()


async def test_the_network_is_out_of_reach(person: Path) -> None:
    done = await git("ls-remote", "https://example.org/x.git", git_dir=person / ".git", check=False)
    assert "transport 'https' not allowed" in done.err
    done = await git("ls-remote", "ext::sh -c touch% /tmp/x", git_dir=person / ".git", check=False)
    assert "transport 'ext' not allowed" in done.err


async def test_a_missing_directory_and_a_missing_git_are_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Mistake, match="not a directory"):
        await git("status", cwd=tmp_path / "absent")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Mistake, match="git was not found"):
        await git("status", cwd=tmp_path)


async def test_a_git_that_takes_too_long_is_ended_with_its_children(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    slow(tmp_path, monkeypatch, f"sleep 300 & echo $! > {tmp_path}/child; wait")
    with pytest.raises(Mistake, match="longer than"):
        await git("gc", cwd=tmp_path, seconds=0.5)
    child = int((tmp_path / "child").read_text())
    wait_until(lambda: not psutil.pid_exists(child) or psutil.Process(child).status() == psutil.STATUS_ZOMBIE)


async def test_output_past_its_limit_is_cut_and_said(person: Path) -> None:
    gitkit.commit(person, {"big.txt": "x" * 100_000}, "Big")
    cut = await git("cat-file", "blob", "HEAD:big.txt", git_dir=person / ".git", limit=1000)
    assert cut.truncated and len(cut.out) == 1000
    whole = await git("cat-file", "blob", "HEAD:big.txt", git_dir=person / ".git", limit=100_000)
    assert not whole.truncated and len(whole.out) == 100_000


async def test_a_cancelled_call_ends_git_unless_it_must_finish(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pid = tmp_path / "pid"
    slow(tmp_path, monkeypatch, f"trap 'echo ended > {tmp_path}/ended; exit 1' TERM; sleep 0.4 & wait; echo > {tmp_path}/done")
    for finish in (False, True):
        pid.unlink(missing_ok=True)
        async with asyncio.TaskGroup() as group:
            task = group.create_task(git("gc", cwd=tmp_path, finish=finish))
            await wait_for(pid.exists)
            task.cancel()
        assert task.cancelled()
        await wait_for((tmp_path / "ended").exists)
    await wait_for((tmp_path / "done").exists)


DRIVER = """
import asyncio, sys
from andon.edges.git import common_lock, git
async def main():
    async with common_lock(sys.argv[1]) as hold:
        await git("slow", cwd=sys.argv[1], hold=hold)
asyncio.run(main())
"""


def killed_daemon(tmp_path: Path) -> None:
    """A process that holds the lock, runs a git under it, and is killed meanwhile."""
    (tmp_path / "repo").mkdir()
    daemon = subprocess.Popen((sys.executable, "-c", DRIVER, str(tmp_path / "repo")))
    wait_until((tmp_path / "pid").exists)
    os.kill(daemon.pid, signal.SIGKILL)
    daemon.wait()


async def test_a_killed_daemon_does_not_kill_its_git_and_the_lock_waits_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:
    done = f"echo out; echo err >&2; echo done > {tmp_path}/done"
    slow(tmp_path, monkeypatch, f"until test -e {tmp_path}/go; do sleep 0.02; done; {done}")
    killed_daemon(tmp_path)
    with pytest.raises(Mistake, match="has held"):
        async with held(tmp_path / "repo/andon/lock", deadline=0.2):
            pass
    (tmp_path / "go").touch()
    async with common_lock(tmp_path / "repo"):
        assert (tmp_path / "done").exists()


async def test_the_lock_is_held_by_one_task_and_one_process_at_a_time(tmp_path: Path) -> None:
    inside, most = 0, 0

    async def one() -> None:
        nonlocal inside, most
        async with common_lock(tmp_path):
            inside += 1
            most = max(most, inside)
            await asyncio.sleep(0)
            inside -= 1

    await asyncio.gather(*(one() for _ in range(20)))
    assert most == 1
    async with common_lock(tmp_path):
        with (tmp_path / "andon/lock").open() as other, pytest.raises(BlockingIOError):
            fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)


async def test_a_ref_is_swapped_only_from_what_it_was_and_one_of_many_wins(person: Path) -> None:
    common, first = person / ".git", gitkit.ref(person, "HEAD")
    others = [gitkit.commit(person, {"a.txt": f"{n}\n"}, f"{n}") for n in range(6)]
    assert await set_ref(common, "refs/andon/x", first, module.NONE)
    assert not await set_ref(common, "refs/andon/x", others[0], module.NONE)
    assert not await set_ref(common, "refs/andon/x", others[0], others[1])
    won = await asyncio.gather(*(set_ref(common, "refs/andon/x", oid, first) for oid in others))
    assert won.count(True) == 1 and await read_ref(common, "refs/andon/x") == others[won.index(True)]
    assert await read_ref(common, "refs/andon/none") is None
    with pytest.raises(GitFailed):
        await set_ref(common, "refs/andon/x", "1" * 40)


async def test_a_young_lock_of_a_ref_is_left_alone(person: Path) -> None:
    lock = person / ".git/refs/x.lock"
    lock.touch()
    assert not clear_stale_lock(lock) and lock.exists()
    os.utime(lock, (1, 1))
    assert clear_stale_lock(lock) and not lock.exists() and not clear_stale_lock(lock)


async def test_the_room_reads_objects_and_knows_no_settings(person: Path) -> None:
    run(person, "config", "alias.x", "!echo hello")
    assert (await look(person / ".git", "rev-parse", f"{gitkit.ref(person, 'HEAD')}^{{tree}}")).text == gitkit.tree(person)
    assert "alias" not in (await look(person / ".git", "config", "--list")).text
    place, _ = room(person / ".git")
    assert run(person, "status", "--porcelain") == "" and run(person, "fsck") == "" and (place / "HEAD").is_file()


async def test_a_sha256_repository_works_too(tmp_path: Path) -> None:
    run(tmp_path, "init", "-q", "-b", "main", "--object-format=sha256", "modern")
    oid = gitkit.commit(tmp_path / "modern", {"a.txt": "a\n"}, "First")
    assert len(oid) == 64
    assert (await look(tmp_path / "modern/.git", "rev-parse", f"{oid}^{{tree}}")).text == gitkit.tree(tmp_path / "modern")


def test_two_who_make_the_same_git_directory_both_have_it(person: Path, tmp_path: Path) -> None:
    for _ in range(2):
        make_git_dir(tmp_path / "made", objects=(person / ".git/objects",), like=person / ".git")
    assert sorted(path.name for path in tmp_path.iterdir() if path.name.startswith((".tmp", "made"))) == ["made"]
    assert run(tmp_path / "made", "--git-dir=.", "cat-file", "-t", gitkit.ref(person, "HEAD")) == "commit"


async def test_output_past_the_limit_never_holds_up_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tool = tmp_path / "tools" / "git"
    tool.parent.mkdir()
    tool.write_text(f"#!{sys.executable}\nimport fcntl, os\nfcntl.fcntl(1, fcntl.F_SETPIPE_SZ, 1 << 20)\n"
                    "while True: os.write(1, b'x' * (1 << 20))\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tool.parent}{os.pathsep}{os.environ['PATH']}")
    async with asyncio.timeout(10):
        told = await git("log", cwd=tmp_path, limit=10)
    assert told.truncated and told.out == b"x" * 10


async def test_a_ref_is_read_without_a_process_only_where_its_plain_file_is_all_there_is_to_know(
    person: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:
    common = person / ".git"
    head = gitkit.ref(person, "HEAD")
    calls: list[tuple[str, ...]] = []
    monkeypatch.setattr(module, "observe", calls.append)
    assert await read_ref(common, "refs/heads/main") == head and calls == []
    run(person, "pack-refs", "--all")
    assert await read_ref(common, "refs/heads/main") == head and len(calls) == 1, "packed: git is asked"
    run(person, "commit", "-q", "--allow-empty", "-m", "newer")
    newer = gitkit.ref(person, "HEAD")
    assert await read_ref(common, "refs/heads/main") == newer != head, "the plain file counts before the packed one"
    run(person, "symbolic-ref", "refs/heads/alias", "refs/heads/main")
    assert module.written(common, "refs/heads/alias") is None and await read_ref(common, "refs/heads/alias") == newer
    (common / "refs/heads/linked").symlink_to(common / "refs/heads/main")
    (common / "refs/heads/torn").write_text(newer[:20])
    os.mkfifo(common / "refs/heads/pipe")
    for odd in ("linked", "torn", "pipe", "none"):
        assert module.written(common, f"refs/heads/{odd}") is None, odd
    assert module.written(common, "refs/heads") is None and module.written(common, "HEAD") is None


async def test_several_refs_are_read_by_one_process_at_most(person: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    common = person / ".git"
    run(person, "branch", "packed")
    run(person, "pack-refs", "--all")
    run(person, "branch", "plain")
    calls: list[tuple[str, ...]] = []
    monkeypatch.setattr(module, "observe", calls.append)
    head = gitkit.ref(person, "HEAD")
    assert await read_refs(common, "refs/heads/plain", "refs/heads/packed", "refs/heads/none") == [head, head, None]
    assert len(calls) == 1
    assert await read_refs(common, "refs/heads/plain") == [head] and len(calls) == 1
