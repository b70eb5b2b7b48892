"""A cgroup of a job's own: what is written into it and read from it, and what the kernel does where it has cgroup v2."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from andon.edges import cgroup
from andon.edges.cgroup import Group, divided, made
from andon.edges.report import judge
from andon.edges.sandbox import reached
from andon.schema.jobs import Exit
from andon.schema.sandbox import Limits
from andon.schema.settings import Check
from support import wait_until
from wallkit import ended, launch, log, make, ready, stood, survivors, walls

TOP = Path("/sys/fs/cgroup/unified" if Path("/sys/fs/cgroup/unified/cgroup.procs").exists() else "/sys/fs/cgroup")
ENTER = "import os, sys; open(sys.argv[1] + '/cgroup.procs', 'w').write('0'); os.execv(sys.argv[2], sys.argv[2:])"


# --- the files, on any machine ---------------------------------------------------------------------------------------


@pytest.fixture
def paper(tmp_path: Path) -> Path:
    """A folder with the files of a delegated cgroup; nobody behind it."""
    for name, text in {"cgroup.controllers": "cpu memory pids\n", "cgroup.subtree_control": "", "cgroup.procs": "11\n12\n"}.items():
        (tmp_path / name).write_text(text)
    return tmp_path


def test_controllers_are_given_to_children_after_everybody_went_into_the_leaf(paper: Path) -> None:
    (paper / "cgroup.subtree_control").write_text("memory")
    assert divided(str(paper)) >= {"pids"}
    assert (paper / cgroup.REST / "cgroup.procs").read_text() == "12", "the last of those who were moved"
    assert (paper / "cgroup.subtree_control").read_text() == "+pids"


def test_the_whole_job_is_bounded_by_what_was_had_and_no_more_is_claimed(paper: Path) -> None:
    (paper / "cgroup.subtree_control").write_text("memory")
    (paper / "cgroup.controllers").write_text("memory")
    group = made("T1.1", str(paper))
    assert group is not None and group.controllers == {"memory"}
    assert group.limit(memory=64 << 20, processes=10) == ("memory",)
    assert (Path(group.path) / "memory.max").read_text() == str(64 << 20) and not (Path(group.path) / "pids.max").exists()
    assert group.limit(memory=0, processes=0) == ()


def test_what_the_kernel_ended_is_counted(tmp_path: Path) -> None:
    (tmp_path / "memory.events").write_text("low 0\nhigh 3\nmax 9\noom 2\noom_kill 2\noom_group_kill 0\n")
    (tmp_path / "pids.events").write_text("max 7\n")
    group = Group(str(tmp_path), frozenset())
    assert (group.starved(), group.crowded()) == (2, 7) and Group(str(tmp_path / "none"), frozenset()).starved() == 0


def test_what_a_killed_shim_left_is_swept_and_a_living_ones_is_not(paper: Path) -> None:
    dead = subprocess.Popen(("true",))
    dead.wait()
    (paper / f"andon-job-T1.1-{dead.pid}").mkdir()
    (paper / f"andon-job-T2.1-{os.getppid()}").mkdir()
    group = made("T3.1", str(paper))
    assert group is not None and {path.name for path in paper.glob("andon-job-*")} == {
        f"andon-job-T2.1-{os.getppid()}", f"andon-job-T3.1-{os.getpid()}"}


def test_a_kill_that_the_kernel_refuses_is_no_success(tmp_path: Path) -> None:
    assert not Group(str(tmp_path / "none"), frozenset()).kill()


def test_a_cgroup_that_nobody_gave_away_is_not_touched() -> None:
    assert cgroup.delegated() == "" or cgroup.marked(cgroup.delegated())
    assert made("T1.1") is None or cgroup.delegated()


def test_a_check_whose_memory_was_used_up_says_so_and_is_no_failure(tmp_path: Path) -> None:
    check = Check(name="c", run="x", report="exit")
    verdict = judge(check, Exit(code=1, starved=2, error="its memory was used up"), tmp_path / "none")
    assert (verdict.result, verdict.cause, verdict.because) == ("unevaluated", "memory", "its memory was used up")
    assert judge(check, Exit(code=0, starved=1), tmp_path / "none").result == "pass"


# --- the kernel's ----------------------------------------------------------------------------------------------------


@pytest.fixture
def given() -> Iterator[Path]:
    """A cgroup that was given away as a service manager does it; skipped, saying so, where none can be made."""
    place = TOP / f"andon-test-{os.getpid()}"
    try:
        place.mkdir()
        os.setxattr(place, "user.delegate", b"1")
    except OSError as error:
        with contextlib.suppress(OSError):
            place.rmdir()
        pytest.skip(f"NOT TESTED: no cgroup v2 can be made here ({error.strerror})")
    yield place
    cgroup.write(f"{place}/cgroup.kill", "1")  # whoever a failed test left
    for folder in (*place.glob("*/"), place):
        with contextlib.suppress(OSError):
            wait_until(lambda here=folder: not (here / "cgroup.procs").read_text(), 5, what="it to be empty")  # type: ignore[misc] # bound
            folder.rmdir()


def start(place: Path, job: Path) -> "subprocess.Popen[bytes]":
    """Start the shim of a job within the given cgroup."""
    from andon.edges import jobs

    return launch(job, (sys.executable, "-c", ENTER, str(place), *jobs.shim_argv(job)))


LEVELS = [level for level in ("strict", "none") if level == "none" or reached("strict").level == "strict"]
BROOD = "for n in $(seq 40); do (trap '' TERM HUP; setsid sh -c 'trap \"\" TERM; sleep 1000' & sleep 1000) & done; echo ready; wait"


@pytest.mark.parametrize("level", LEVELS)
def test_a_stop_leaves_no_process_and_is_quick(given: Path, tmp_path: Path, level: str) -> None:
    job = make(tmp_path, "bash", "-c", BROOD, box=walls(tmp_path, level), grace_s=0.0)  # type: ignore[arg-type] # a Level
    shim = start(given, job)
    ready(job)
    group = next(given.glob("andon-job-*"))
    wait_until(lambda: len((group / "cgroup.procs").read_text().split()) >= 100, 20, what="the brood")
    begun = time.monotonic()
    shim.send_signal(signal.SIGTERM)
    wait_until(lambda: not (group / "cgroup.procs").exists() or not (group / "cgroup.procs").read_text(), 5, what="the end")
    took = time.monotonic() - begun
    assert shim.wait(10) is not None and not survivors(tmp_path) and not group.exists()
    print(f"stop of {level}: {took * 1000:.1f} ms")
    assert took < 0.25, took  # 12 to 16 ms on two busy cores
    assert ended(job).because == "stopped"


def test_a_whole_group_falls_at_one_write_whoever_ignores_signals(given: Path) -> None:
    group = made("fall", str(given))
    assert group is not None
    brood = subprocess.Popen((sys.executable, "-c", ENTER, group.path, "/bin/bash", "-c", BROOD), stdout=subprocess.PIPE)
    assert brood.stdout is not None and brood.stdout.readline() == b"ready\n"
    begun = time.monotonic()
    assert group.kill()
    took = time.monotonic() - begun
    print(f"fall: {took * 1000:.1f} ms")
    brood.wait(5)
    brood.stdout.close()
    group.remove()
    assert took < 0.25 and not Path(group.path).exists(), took


@pytest.mark.skipif(not {"memory"} <= set((TOP / "cgroup.controllers").read_text().split() if TOP.exists() else ()),
                    reason="NOT TESTED: this machine's cgroup v2 has no memory controller")
def test_memory_of_the_whole_job_is_bounded_and_its_end_is_told(given: Path, tmp_path: Path) -> None:
    eat = "import os; os.fork(); os.fork(); data = bytearray(40 << 20); print(len(data)); import time; time.sleep(3)"
    job = make(tmp_path, sys.executable, "-c", eat, box=walls(tmp_path, limits=Limits(memory_mb=96)))
    start(given, job).wait(30)
    assert "memory" in stood(job).whole and ended(job).starved > 0 and "memory was used up" in ended(job).error


def test_without_the_controller_each_process_is_limited_and_that_is_said(given: Path, tmp_path: Path) -> None:
    if "memory" in (given / "cgroup.controllers").read_text():
        pytest.skip("this machine's cgroup v2 has the memory controller")
    hog = "import sys\ntry: bytearray(900 << 20)\nexcept MemoryError: print('refused')"
    box = walls(tmp_path, LEVELS[0], limits=Limits(memory_mb=512))  # type: ignore[arg-type] # a Level
    job = make(tmp_path, sys.executable, "-c", hog, box=box)
    start(given, job).wait(30)
    assert stood(job).whole == () and "refused" in log(job)
    assert any("each process" in one for one in stood(job).told)
