# ruff: noqa: ASYNC220, ASYNC221 (starting a helper process takes a moment that no other task of a test needs)
"""Job directories: any daemon can see through what another one started; what an agent writes cannot hurt."""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from andon.edges import jobs, process
from andon.edges.jobs import Ended, Heard, Lost, NotStarted, Running
from andon.schema.errors import Mistake
from andon.schema.jobs import TOKEN_EXIT, Answer, Exit, Job, Said, Started
from support import wait_for, wait_until


def make(folder: Path, script: str, **more: object) -> Path:
    env = {"PATH": os.environ["PATH"], "ANDON_TREE": str(folder)}
    settings: dict[str, object] = {
        "name": "j", "argv": ("sh", "-c", script), "cwd": "/", "log": True, "grace_s": 0.3, "env": env, **more}
    jobs.write_job(folder, Job(**settings))  # type: ignore[arg-type]
    return folder


def running(folder: Path) -> Started:
    seen = jobs.probe(folder)
    assert isinstance(seen, Running), seen
    return seen.started


async def logged(folder: Path, words: bytes) -> None:
    log = folder / "log"
    await wait_for(lambda: log.exists() and words in log.read_bytes(), what=f"{words!r} in the log")


async def unmarked(folder: Path) -> None:
    await wait_for(lambda: not process.by_marker(str(folder)), what="the end of every process of the job")


# --- life of a job ---------------------------------------------------------------------------------------------------


async def test_a_job_is_not_started_then_running_then_ended(tmp_path: Path) -> None:
    job = make(tmp_path / "j", "read x < fifo; exit 6", cwd=str(tmp_path))
    os.mkfifo(tmp_path / "fifo")
    assert isinstance(jobs.probe(job), NotStarted)
    assert isinstance(await jobs.start_detached(job), Running)
    assert process.alive(*(getattr(running(job), name) for name in ("pid", "ticks", "boot")))
    (tmp_path / "fifo").write_text("go\n")
    seen = await jobs.wait(job)
    assert isinstance(seen, Ended) and seen.exit.code == 6 and seen.started is not None
    assert await jobs.wait(job) == seen == jobs.probe(job)


async def test_the_directory_is_private_and_holds_both_boxes(tmp_path: Path) -> None:
    job = make(tmp_path / "deep" / "j", "true")
    assert job.stat().st_mode & 0o777 == 0o700
    assert {path.name for path in job.iterdir()} == {"job.json", "outbox", "inbox"}


async def test_a_started_job_is_never_written_again_nor_started_again(tmp_path: Path) -> None:
    job = make(tmp_path / "j", "echo one")
    await jobs.start_detached(job)
    first = await jobs.wait(job)
    make(job, "echo two")
    assert await jobs.start_detached(job) == first
    assert (job / "log").read_text() == "one\n"


async def test_a_detached_job_is_nobodys_child_and_has_its_own_session(tmp_path: Path) -> None:
    job = make(tmp_path / "j", "sleep 60")
    await jobs.start_detached(job)
    pid = running(job).pid
    assert pid not in [one.pid for one in process.descendants(os.getpid())]
    assert os.getsid(pid) == pid != os.getsid(0)
    await jobs.stop(job)


STARTER = """
import asyncio, sys
from pathlib import Path
from andon.edges import jobs
async def main():
    await jobs.start_detached(Path(sys.argv[1]))
    print("started", flush=True)
    await jobs.wait(Path(sys.argv[1]))
asyncio.run(main())
"""


async def test_a_job_whose_starter_was_killed_is_seen_to_its_end_by_another(tmp_path: Path) -> None:
    job = make(tmp_path / "j", "read x < fifo; exit 9", cwd=str(tmp_path))
    os.mkfifo(tmp_path / "fifo")
    starter = subprocess.Popen([sys.executable, "-c", STARTER, str(job)], stdout=subprocess.PIPE, start_new_session=True)
    assert starter.stdout is not None and starter.stdout.readline() == b"started\n"
    os.killpg(starter.pid, signal.SIGKILL)
    starter.wait()
    starter.stdout.close()
    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(jobs.wait(job))
        await asyncio.sleep(0)
        assert isinstance(jobs.probe(job), Running)
        (tmp_path / "fifo").write_text("go\n")
    seen = waiting.result()
    assert isinstance(seen, Ended) and seen.exit.code == 9


async def test_a_killed_shim_is_lost_and_takes_its_command_along(tmp_path: Path) -> None:
    job = make(tmp_path / "j", "echo ready; exec sleep 60")
    await jobs.start_detached(job)
    await logged(job, b"ready")
    started = running(job)
    os.kill(started.pid, signal.SIGKILL)
    assert await jobs.wait(job) == Lost(started=started)
    await unmarked(job)


LEFTOVER = """
import os, signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
if os.fork(): time.sleep(600)
os.setsid()
print("ready", flush=True)
time.sleep(600)
"""


async def test_stopping_a_job_whose_shim_was_killed_ends_what_it_left(tmp_path: Path) -> None:
    job = make(tmp_path / "j", "", argv=(sys.executable, "-c", LEFTOVER))
    await jobs.start_detached(job)
    await logged(job, b"ready")
    os.kill(running(job).pid, signal.SIGKILL)
    await wait_for(lambda: isinstance(jobs.probe(job), Lost))
    assert process.by_marker(str(job)), "the test needs a leftover"
    assert isinstance(await jobs.stop(job), Lost)
    assert not process.by_marker(str(job))


async def test_stop_is_harmless_at_every_stage(tmp_path: Path) -> None:
    job = make(tmp_path / "j", "echo ready; sleep 60")
    assert isinstance(await jobs.stop(tmp_path / "gone"), NotStarted)
    await jobs.start_detached(job)
    await logged(job, b"ready")
    seen = await jobs.stop(job)
    assert isinstance(seen, Ended) and seen.exit.because == "stopped"
    assert await jobs.stop(job) == seen
    await unmarked(job)


async def test_a_job_stopped_before_its_start_never_starts(tmp_path: Path) -> None:
    job = make(tmp_path / "j", f"echo ran > '{tmp_path}/ran'")
    seen = await jobs.stop(job)
    assert isinstance(seen, Ended) and (seen.exit.because, seen.exit.code) == ("not-started", None)
    shim = await asyncio.create_subprocess_exec(*jobs.shim_argv(job))
    assert await shim.wait() == TOKEN_EXIT
    assert await jobs.start_detached(job) == seen == await jobs.stop(job)
    assert not (tmp_path / "ran").exists() and not (job / "log").exists()


async def test_a_forbidden_start_whose_record_failed_names_no_process_that_a_stop_could_hit(tmp_path: Path) -> None:
    job = make(tmp_path / "j", "true")
    (job / "exit.json").mkdir()
    with pytest.raises(OSError):
        jobs.forbid(job)
    assert isinstance(await jobs.stop(job), Lost), "and this process was not ended"


async def test_a_stop_that_races_with_the_start_leaves_nobody_alive(tmp_path: Path) -> None:
    for n in range(8):
        job = make(tmp_path / f"j{n}", "sleep 60")
        starting = asyncio.ensure_future(jobs.start_detached(job))
        await asyncio.sleep(0.006 * n)
        seen = await jobs.stop(job)
        await starting
        assert isinstance(seen, Ended) and seen.exit.because in ("stopped", "not-started") and jobs.probe(job) == seen
        await unmarked(job)


async def test_stop_does_not_wait_longer_than_the_grace_it_is_given(tmp_path: Path) -> None:
    job = make(tmp_path / "j", "trap '' TERM; echo ready; while :; do sleep 0.05; done", grace_s=600.0)
    await jobs.start_detached(job)
    await logged(job, b"ready")
    async with asyncio.timeout(10):
        seen = await jobs.stop(job, 0.1)
    assert isinstance(seen, Ended) and seen.exit.signal == signal.SIGKILL


async def test_a_shim_that_does_not_answer_is_ended_with_its_tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "KILL_S", 0.2)
    job = make(tmp_path / "j", "echo ready; sleep 60")
    await jobs.start_detached(job)
    await logged(job, b"ready")
    os.kill(running(job).pid, signal.SIGSTOP)
    assert isinstance(await jobs.stop(job, 0.1), Lost)
    await unmarked(job)


async def test_a_suspended_tree_is_seen_suspended_and_then_running(tmp_path: Path) -> None:
    job = make(tmp_path / "j", "(while :; do sleep 0.01; done) & echo ready; while :; do sleep 0.01; done")
    assert not await jobs.suspend(job, True)
    await jobs.start_detached(job)
    await logged(job, b"ready")
    assert await jobs.suspend(job, True)
    assert {one.state for one in process.descendants(running(job).pid)} == {"T"}
    assert await jobs.suspend(job, True)
    assert await jobs.suspend(job, False)
    await jobs.stop(job)


async def test_a_job_directory_without_a_job_is_a_mistake_with_its_cause(tmp_path: Path) -> None:
    with pytest.raises(Mistake, match="no job to run"):
        await jobs.start_detached(tmp_path)
    assert isinstance(jobs.probe(tmp_path / "gone"), NotStarted)
    assert isinstance(await jobs.wait(tmp_path / "gone"), Lost)


async def test_an_exit_file_that_is_no_exit_file_is_not_believed(tmp_path: Path) -> None:
    job = make(tmp_path / "j", "true")
    (job / "start").write_bytes(msgspec.json.encode(Started(pid=2**22 - 1, ticks=1, boot="b", at=0)))
    (job / "exit.json").write_text('{"because": "all is well"}')
    assert isinstance(jobs.probe(job), Lost)
    (job / "exit.json").unlink()
    (tmp_path / "elsewhere").write_bytes(msgspec.json.encode(Exit(code=0)))
    (job / "exit.json").symlink_to(tmp_path / "elsewhere")
    assert isinstance(jobs.probe(job), Lost)


# --- processes -------------------------------------------------------------------------------------------------------


def test_a_process_is_alive_only_under_its_own_start_time_and_boot() -> None:
    pid, ticks, boot = os.getpid(), process.start_ticks(os.getpid()), process.boot_id()
    assert ticks is not None and process.alive(pid, ticks, boot)
    assert not process.alive(pid, ticks + 1, boot)
    assert not process.alive(pid, ticks, "another boot")
    assert not process.tell(pid, ticks + 1, signal.SIGKILL)


def test_a_zombie_is_not_alive() -> None:
    child = subprocess.Popen(["true"])
    ticks = process.start_ticks(child.pid)
    assert ticks is not None
    wait_until(lambda: not process.alive(child.pid, ticks, process.boot_id()), what="the zombie")
    assert process.start_ticks(child.pid) == ticks, "it is still in the table"
    child.wait()


async def test_the_end_of_a_process_that_is_not_our_child_is_noticed_without_polling(monkeypatch: pytest.MonkeyPatch) -> None:
    async def polled(pid: int, ticks: int) -> None:
        raise AssertionError("polled")

    monkeypatch.setattr(process, "_poll_gone", polled)
    starter = subprocess.run(["sh", "-c", "sleep 60 > /dev/null 2>&1 & echo $!"], capture_output=True, check=True)
    pid = int(starter.stdout)
    ticks = process.start_ticks(pid)
    assert ticks is not None
    async with asyncio.TaskGroup() as group:
        gone = group.create_task(process.wait_gone(pid, ticks))
        await asyncio.sleep(0)
        assert not gone.done()
        os.kill(pid, signal.SIGKILL)
    await process.wait_gone(pid, ticks)
    await process.wait_gone(os.getpid(), ticks + 10**9)


async def test_the_end_of_a_process_is_noticed_where_there_is_no_pidfd(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "pidfd_open")
    monkeypatch.setattr(process, "POLL_S", 0.01)
    child = subprocess.Popen(["sleep", "0.05"])
    ticks = process.start_ticks(child.pid)
    assert ticks is not None
    await process.wait_gone(child.pid, ticks)
    child.wait()


async def test_ending_a_tree_ends_those_that_ignore_term_and_those_that_left_the_session() -> None:
    root = subprocess.Popen([sys.executable, "-c", LEFTOVER], stdout=subprocess.PIPE)
    assert root.stdout is not None and root.stdout.readline() == b"ready\n"
    tree = process.descendants(root.pid)
    ticks = process.start_ticks(root.pid)
    assert len(tree) == 1 and ticks is not None
    assert await process.end_tree(root.pid, ticks, 0.1) == 2
    root.wait()
    root.stdout.close()
    assert not process.alive(tree[0].pid, tree[0].ticks, process.boot_id())


# --- messages --------------------------------------------------------------------------------------------------------


def say(job: Path, n: int, text: str = "x", **more: object) -> None:
    (job / "outbox" / f"{n}.json").write_bytes(msgspec.json.encode({"n": n, "kind": "progress", "text": text, **more}))


def test_messages_come_in_order_after_the_last_one_and_at_most_a_hundred(tmp_path: Path) -> None:
    job = make(tmp_path / "j", "true")
    for n in range(1, 151):
        say(job, n)
    assert [said.n for said in jobs.read_outbox(job, 0)] == list(range(1, 101))
    assert [said.n for said in jobs.read_outbox(job, 100)] == list(range(101, 151))
    assert jobs.read_outbox(job, 150) == []


def test_nothing_in_an_outbox_can_raise_or_be_followed(tmp_path: Path) -> None:
    job = make(tmp_path / "j", "true")
    box = job / "outbox"
    secret = tmp_path / "secret"
    secret.write_bytes(msgspec.json.encode(Said(n=1, kind="progress", text="secret")))
    (box / "1.json").symlink_to(secret)
    os.mkfifo(box / "2.json")
    (box / "3.json").mkdir()
    (box / "4.json").write_bytes(b"\xff\xfe{")
    (box / "5.json").write_text('{"n": 99, "kind": "progress"}')
    (box / "6.json").write_text('{"n": 6, "kind": "launch-missiles"}')
    (box / "7.json").write_bytes(msgspec.json.encode(Said(n=7, kind="progress", text="y" * 70_000)))
    (box / "8.json").write_text('{"n": 8, "kind": "progress", "text": "' + "[" * 60_000 + '"}')
    (box / "10.json.tmp").write_text("half")
    (box / "0009.json").write_text("{}")
    say(job, 11, "good")
    heard = jobs.hear(job, 0)
    assert [said.n for said in heard.said] == [8, 11] and heard.malformed == 7
    assert jobs.read_outbox(tmp_path / "gone", 0) == []


def test_an_outbox_that_is_a_link_is_not_entered(tmp_path: Path) -> None:
    job = make(tmp_path / "j", "true")
    other = make(tmp_path / "other", "true")
    say(other, 1)
    (job / "outbox").rmdir()
    (job / "outbox").symlink_to(other / "outbox")
    assert jobs.hear(job, 0) == Heard()


def test_words_of_an_agent_carry_no_terminal_codes(tmp_path: Path) -> None:
    job = make(tmp_path / "j", "true")
    say(job, 1, "a\x1b]52;c;aGk=\x07b\u202ec", options=["\x1b[2Jyes"], commit="abc\x9b1m")
    assert jobs.read_outbox(job, 0) == [Said(n=1, kind="progress", text="abc", options=("yes",), commit="abc")]


def test_an_answer_is_whole_and_the_same_answer_again_changes_nothing(tmp_path: Path) -> None:
    job = make(tmp_path / "j", "true")
    for _ in range(2):
        jobs.write_answer(job, Answer(n=3, text="yes, ünïcode"))
        assert [path.name for path in (job / "inbox").iterdir()] == ["3.json"]
    assert msgspec.json.decode((job / "inbox" / "3.json").read_bytes(), type=Answer).text == "yes, ünïcode"


def test_an_answer_is_not_written_through_a_link(tmp_path: Path) -> None:
    job = make(tmp_path / "j", "true")
    (job / "inbox").rmdir()
    (tmp_path / "elsewhere").mkdir()
    (job / "inbox").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError):
        jobs.write_answer(job, Answer(n=1, text="x"))
    assert list((tmp_path / "elsewhere").iterdir()) == []
