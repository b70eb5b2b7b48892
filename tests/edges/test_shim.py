"""The shim: one start, whole files, nobody left behind."""

import asyncio
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import msgspec
import pytest

from andon.edges import jobs, process, sandbox, shim, shim_files
from andon.edges.blobs import Blobs
from andon.edges.check import Checks
from andon.edges.keys import Keys
from andon.edges.proving import Proving
from andon.schema import jobs as names
from andon.schema.effects import RunCheck
from andon.schema.ids import Digest, Oid, RunId
from andon.schema.jobs import Exit, Job, Started
from andon.schema.sandbox import Bind, Level, Sandbox
from andon.schema.settings import Check, Checkout
from checkoutkit import REPO, floor
from gitkit import tree
from support import wait_until

PYTHON = sys.executable
WALLED: dict[Path, Level] = {}
"""Jobs whose walls are not none."""
at_every_level = pytest.mark.parametrize("job", ["none", "strict", "partial"], indirect=True)


def make(folder: Path, *argv: str, **more: object) -> Path:
    if folder in WALLED:
        binds = (*sandbox.toolchain_binds(PYTHON, ""), Bind(source=str(folder.parent), write=True))
        more["sandbox"] = Sandbox(level=WALLED[folder], binds=binds)
    settings: dict[str, object] = {
        "name": folder.name, "argv": argv, "cwd": "/", "log": True, "grace_s": 0.3,
        "env": {"PATH": os.environ["PATH"], "ANDON_TREE": str(folder)}, **more,
    }
    jobs.write_job(folder, Job(**settings))  # type: ignore[arg-type]
    return folder


def launch(folder: Path) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        jobs.shim_argv(folder), stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env={}, start_new_session=True)


def ended(folder: Path) -> Exit:
    return msgspec.json.decode((folder / names.EXIT).read_bytes(), type=Exit)


def run(folder: Path) -> Exit:
    launch(folder).wait(20)
    return ended(folder)


@pytest.fixture
def job(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
    folder = tmp_path / "job"
    if getattr(request, "param", "none") != "none":
        WALLED[folder] = request.param
    yield folder
    WALLED.pop(folder, None)
    left = process.by_marker(str(folder))
    asyncio.run(process.end_marked(str(folder), 0.0))
    assert left == [], "a process of the job survived"


def unmarked(folder: Path) -> bool:
    return not process.by_marker(str(folder))


def sh(script: str) -> tuple[str, ...]:
    return ("sh", "-c", script)


def ready(folder: Path) -> None:
    log = folder / names.LOG
    wait_until(lambda: log.exists() and b"ready" in log.read_bytes(), what="the command")


def test_the_names_of_files_and_codes_are_those_of_the_vocabulary() -> None:
    assert (shim.TOKEN_EXIT, "start", "exit.json", "log") == (names.TOKEN_EXIT, names.START, names.EXIT, names.LOG)


def test_of_five_racing_shims_exactly_one_runs_the_command(job: Path, tmp_path: Path) -> None:
    make(job, *sh(f"echo ran >> '{tmp_path}/ran'"))
    racing = [launch(job) for _ in range(5)]
    codes = sorted(one.wait(20) for one in racing)
    assert codes == [0, 75, 75, 75, 75]
    assert (tmp_path / "ran").read_text() == "ran\n"


def test_a_second_shim_touches_nothing(job: Path) -> None:
    run(make(job, *sh("echo first; exit 4")))
    before = written(job)
    assert launch(job).wait(20) == names.TOKEN_EXIT
    assert written(job) == before


def written(job: Path) -> dict[str, tuple[int, ...]]:
    """What tells of a write to each file of a job; reading one changes none of it."""
    facts = {path.name: path.stat() for path in job.iterdir()}
    return {name: (one.st_ino, one.st_size, one.st_mtime_ns, one.st_ctime_ns, one.st_mode) for name, one in facts.items()}


def test_a_shim_killed_at_any_moment_leaves_each_file_whole_or_absent(tmp_path: Path) -> None:
    chance = random.Random(7)
    states = set()
    begun = time.monotonic()
    run(make(tmp_path / "whole", *sh("sleep 0.01")))
    took = time.monotonic() - begun
    for n in range(20):
        folder = make(tmp_path / f"job{n}", *sh(f"echo ran >> '{tmp_path}/ran{n}'; sleep 0.01"))
        one = launch(folder)
        if n % 4 == 1:
            wait_until((folder / names.START).exists, what="the token")
        elif n % 4:
            time.sleep(chance.uniform(0.2, 1.1) * took)
        one.kill()
        one.wait(20)
        wait_until(partial(unmarked, folder), what="the command's end with its shim")
        start, end = folder / names.START, folder / names.EXIT
        if start.exists():
            assert msgspec.json.decode(start.read_bytes(), type=Started).pid == one.pid
        if end.exists():
            assert ended(folder).code == 0
        states.add((start.exists(), end.exists()))
        launch(folder).wait(20)
        ran = tmp_path / f"ran{n}"
        assert not ran.exists() or ran.read_text() in ("", "ran\n"), "killed between opening and writing, or run once: never twice"
    assert len(states) > 1, "the kills were all at the same moment"


@at_every_level
def test_code_output_and_environment_are_the_commands_own(job: Path) -> None:
    end = run(make(job, *sh('cat; echo "$A"; echo err >&2; pwd; env | wc -l; exit 3'), cwd="/usr",
                   env={"A": "é x", "PATH": os.environ["PATH"]}))
    assert (end.code, end.signal, end.because, end.killed, end.truncated) == (3, None, "exit", 0, False)
    assert (job / "log").read_text() == "é x\nerr\n/usr\n3\n"  # A, PATH and the PWD that sh itself sets


@at_every_level
def test_a_signal_is_told_as_a_signal(job: Path) -> None:
    end = run(make(job, *sh("kill -SEGV $$")))
    assert (end.code, end.signal, end.because) == (None, signal.SIGSEGV, "exit")


@at_every_level
@pytest.mark.parametrize(("argv", "cwd", "code", "words"), [
    (("no-such-command",), "/", 127, "no-such-command: No such file"),
    (("/etc/passwd",), "/", 126, "/etc/passwd: Permission denied"),
    (("true",), "/no/such/place", 126, "working directory /no/such/place: No such file"),
    ((), "/", 126, ""),
    (("true", "a\0b"), "/", 126, "null"),
])
def test_a_command_that_cannot_run_is_told_as_not_started(
    job: Path, argv: tuple[str, ...], cwd: str, code: int, words: str
) -> None:
    end = run(make(job, *argv, cwd=cwd))
    assert (end.because, end.code) == ("not-started", code)
    assert words in end.error


@at_every_level
def test_a_command_that_ignores_term_is_killed_after_its_grace(job: Path) -> None:
    one = launch(make(job, *sh("trap '' TERM; echo ready; while :; do sleep 0.05; done")))
    ready(job)
    asked = time.monotonic()
    one.terminate()
    one.wait(20)
    assert time.monotonic() - asked >= 0.3
    assert (ended(job).because, ended(job).signal) == ("stopped", signal.SIGKILL)


@at_every_level
def test_a_second_term_does_not_wait_for_the_grace(job: Path) -> None:
    one = launch(make(job, *sh("trap '' TERM; echo ready; while :; do sleep 0.05; done"), grace_s=60.0))
    ready(job)
    one.terminate()
    wait_until(lambda: one.terminate() or one.poll() is not None, what="the shim's end")  # type: ignore[func-returns-value]
    assert ended(job).because == "stopped"


@at_every_level
def test_a_command_that_ends_well_on_term_keeps_its_code(job: Path) -> None:
    one = launch(make(job, *sh("trap 'echo bye; exit 5' TERM; echo ready; while :; do sleep 0.02; done"), grace_s=10.0))
    ready(job)
    one.terminate()
    one.wait(20)
    assert (ended(job).because, ended(job).code) == ("stopped", 5)
    assert (job / "log").read_text().endswith("bye\n")


def test_a_hang_up_ends_the_tree_like_a_stop(job: Path) -> None:
    one = launch(make(job, *sh("echo ready; sleep 60")))
    ready(job)
    one.send_signal(signal.SIGHUP)
    one.wait(20)
    assert ended(job).because == "stopped"


DAEMON = """
import os, signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN); signal.signal(signal.SIGHUP, signal.SIG_IGN)
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        print("ready", flush=True)
        for fd in (0, 1, 2): os.close(fd)
        time.sleep(600)
    os._exit(0)
os.wait()
if len(sys.argv) > 1: time.sleep(600)
"""


@at_every_level
def test_a_daemonised_child_does_not_outlive_the_command_and_is_counted(job: Path) -> None:
    end = run(make(job, PYTHON, "-c", DAEMON))
    assert (end.code, end.because, end.killed) == (0, "exit", 1)


@at_every_level
def test_a_daemonised_child_does_not_outlive_a_stop(job: Path) -> None:
    one = launch(make(job, PYTHON, "-c", DAEMON, "stay"))
    ready(job)
    one.terminate()
    one.wait(20)
    assert (ended(job).because, ended(job).killed) == ("stopped", 1)


FIFTY = """
import os, signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
for n in range(50):
    if not os.fork(): time.sleep(600)
print("ready", flush=True)
time.sleep(600)
"""


@at_every_level
def test_fifty_children_that_ignore_term_do_not_outlive_a_stop(job: Path) -> None:
    one = launch(make(job, PYTHON, "-c", FIFTY))
    ready(job)
    one.terminate()
    one.wait(20)
    assert (ended(job).because, ended(job).killed) == ("stopped", 50)


RESPAWN = """
import os, signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
for _ in range(int(sys.argv[1])):
    if not os.fork():
        os.setsid()
        end = time.time() + 20
        while time.time() < end:
            if os.fork(): os._exit(0)
            time.sleep(0.0005)
"""


@at_every_level
def test_children_that_respawn_themselves_all_the_time_do_not_outlive_the_command(job: Path) -> None:
    end = run(make(job, PYTHON, "-c", RESPAWN, "4"))
    least = 0 if WALLED.get(job) == "strict" else 4  # strict walls fall on all at once; counted is who could be seen just before
    assert end.killed >= least and end.error == "" and end.seconds < 10


@at_every_level
def test_the_tree_is_suspended_goes_on_and_can_be_stopped_while_suspended(job: Path) -> None:
    one = launch(make(job, *sh("(while :; do sleep 0.01; done) & echo ready; while :; do sleep 0.01; done")))
    ready(job)

    def states() -> set[str]:
        # a shell in vfork sleeps uninterruptibly behind its stopped child, its own stop pending: suspended all the same
        return {"T" if child.state == "D" else child.state for child in process.descendants(one.pid)}

    one.send_signal(signal.SIGUSR1)
    wait_until(lambda: states() == {"T"}, what="the suspended tree")
    one.send_signal(signal.SIGUSR2)
    wait_until(lambda: "T" not in states(), what="the running tree")
    one.send_signal(signal.SIGUSR1)
    wait_until(lambda: states() == {"T"}, what="the suspended tree")
    one.terminate()
    one.wait(20)
    assert ended(job).because == "stopped"


@at_every_level
def test_past_its_time_limit_the_tree_is_ended_and_the_file_says_timeout(job: Path) -> None:
    end = run(make(job, *sh("sleep 60 & sleep 60"), seconds=0.2))
    assert end.because == "timeout" and 0.2 <= end.seconds < 5


def test_a_flood_keeps_head_and_tail_and_says_what_is_left_out(job: Path) -> None:
    flood = "import sys; print('HEAD'); [sys.stdout.write('x' * 1023 + '\\n') for _ in range(6000)]; print('TAIL')"
    end = run(make(job, PYTHON, "-c", flood, output_mb=1))
    data = (job / "log").read_bytes()
    assert end.truncated and end.code == 0
    assert len(data) < 1024 * 1024 + 200
    assert data.startswith(b"HEAD\n") and data.endswith(b"TAIL\n") and b"bytes of output were left out here]" in data


def test_a_flood_is_bounded_in_memory_too(tmp_path: Path) -> None:
    log = shim_files.Log(str(tmp_path / "log"), 100_000)
    for n in range(1000):
        log.write(b"%06d" % n * 1000)
        assert len(log.tail) <= 110_000
    log.close()
    assert (tmp_path / "log").read_bytes().endswith(b"000999" * 1000) and log.dropped == 6_000_000 - 100_000


@at_every_level
def test_output_within_the_limit_is_kept_to_the_byte(job: Path) -> None:
    end = run(make(job, PYTHON, "-c", "import sys; sys.stdout.buffer.write(bytes(range(256)) * 4096)", output_mb=1))
    assert not end.truncated
    assert (job / "log").read_bytes() == bytes(range(256)) * 4096


def test_a_full_disk_under_the_log_is_told_and_the_command_ends_as_it_would(job: Path) -> None:
    make(job, *sh("echo much; exit 2"))
    (job / "log").symlink_to("/dev/full")
    end = run(job)
    assert end.code == 2 and "No space left" in end.error


@at_every_level
def test_memory_past_the_limit_fails_the_command(job: Path) -> None:
    end = run(make(job, PYTHON, "-S", "-c", "x = bytearray(600 << 20)", memory_mb=300))
    assert end.code == 1 and b"MemoryError" in (job / "log").read_bytes()


BURN = "import time\nwhile time.process_time() < {}: pass"
DETACHED = """
import os, time
done, done_in = os.pipe()
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        while time.process_time() < 0.3: pass
        os.write(done_in, b"x")
    os._exit(0)
os.wait(); os.read(done, 1)
"""


def test_the_processor_time_is_that_of_the_whole_tree(job: Path) -> None:
    end = run(make(job, *sh(f"'{PYTHON}' -S -c '{BURN.format(0.2)}' & '{PYTHON}' -S -c '{BURN.format(0.3)}'; wait; sleep 0.2")))
    assert 0.5 <= end.cpu_s < 1.5


def test_waiting_costs_no_processor_time(job: Path) -> None:
    end = run(make(job, *sh("sleep 0.5")))
    assert end.seconds >= 0.5 and end.cpu_s < 0.2


@at_every_level
def test_a_daemonised_child_counts_although_its_parent_never_waited_for_it(job: Path) -> None:
    end = run(make(job, PYTHON, "-S", "-c", DETACHED))
    assert end.code == 0 and end.cpu_s >= 0.3


def test_what_was_killed_at_the_time_limit_counts_up_to_its_end(job: Path) -> None:
    end = run(make(job, PYTHON, "-S", "-c", BURN.format(60), seconds=0.6))
    assert end.because == "timeout" and 0.05 <= end.cpu_s <= end.seconds + 0.2


async def test_a_check_run_tells_the_processor_time_of_its_setup_and_its_command(tmp_path: Path) -> None:
    shop = floor(tmp_path, {"a.txt": "a\n"})
    checks = Checks(shop.layout, Proving(shop.layout), Blobs(shop.layout), Keys.load(shop.layout.keys).verifier)
    burn = f"'{PYTHON}' -S -c '{BURN.format(0.2)}'"
    ran = await checks.run(RunCheck(
        run=RunId("R1"), repo=REPO, git_dir=str(shop.git_dir), commit=shop.base, tree=Oid(tree(shop.person, shop.base)),
        check=Check(name="burn", run=burn), definition=Digest("d"), checkout=Checkout(setup=(burn,))))
    assert (ran.result, ran.because) == ("pass", "exit code 0") and 0.4 <= ran.cpu_s < 1.4


def test_an_exit_file_of_an_older_release_has_no_processor_time() -> None:
    assert msgspec.json.decode(b'{"code": 0, "seconds": 1.5}', type=Exit).cpu_s == 0.0


@at_every_level
def test_output_still_in_the_pipe_when_a_background_child_is_ended_is_kept(job: Path) -> None:
    end = run(make(job, *sh("sleep 60 & echo last words")))
    assert (job / "log").read_text() == "last words\n" and end.killed == 1


def test_without_a_job_nothing_starts(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert launch(tmp_path / "empty").wait(20) == shim.NO_JOB_EXIT
    assert list((tmp_path / "empty").iterdir()) == []


def test_the_shim_loads_nothing_heavy() -> None:
    """What makes it start in a blink; the figure itself is in the benchmark."""
    load = f"import sys; sys.path.append({str(Path(shim.__file__).parents[2])!r}); import andon.edges.shim; print(*sys.modules)"
    done = subprocess.run([PYTHON, "-I", "-S", "-c", load], capture_output=True, text=True, check=True)
    assert not {"typing", "pathlib", "subprocess", "asyncio", "msgspec", "logging", "ctypes", "site"} & set(done.stdout.split())
    assert json.__name__ in done.stdout.split()
