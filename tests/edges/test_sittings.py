"""A further sitting of a job begins in a directory of its own, once, and the one before is kept beside it."""

import subprocess
from pathlib import Path

import pytest

from andon.edges import jobs
from andon.schema import jobs as names
from andon.schema.jobs import Job
from support import wait_until


def job(folder: Path, script: str) -> "subprocess.Popen[bytes]":
    jobs.write_job(folder, Job(name="T1.1", argv=("sh", "-c", script), cwd="/", env={"PATH": "/usr/bin:/bin"}))
    return subprocess.Popen(jobs.shim_argv(folder), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, start_new_session=True)


def test_the_sitting_before_is_set_aside_once_it_is_over(tmp_path: Path) -> None:
    folder = tmp_path / "T1.1"
    job(folder, "exit 3").wait(20)
    for _ in range(3):
        jobs.begin_sitting(folder, 2)
    assert isinstance(jobs.probe(folder), jobs.NotStarted)
    kept = jobs.probe(tmp_path / "T1.1~1")
    assert isinstance(kept, jobs.Ended) and kept.exit.code == 3
    job(folder, "exit 4").wait(20)
    jobs.begin_sitting(folder, 2)
    seen = jobs.probe(folder)
    assert isinstance(seen, jobs.Ended) and seen.exit.code == 4, "what this sitting did is not set aside by asking again"
    jobs.begin_sitting(folder, 3)
    assert sorted(place.name for place in tmp_path.glob("T1.1*")) == ["T1.1", "T1.1~1", "T1.1~2"]


def test_a_job_that_runs_is_never_set_aside(tmp_path: Path) -> None:
    folder = tmp_path / "T1.1"
    running = job(folder, "sleep 60")
    wait_until(lambda: isinstance(jobs.probe(folder), jobs.Running), what="the job")
    jobs.begin_sitting(folder, 2)
    assert isinstance(jobs.probe(folder), jobs.Running) and not (tmp_path / "T1.1~1").exists()
    running.terminate()
    running.wait(20)


def test_killed_between_the_two_steps_it_goes_on_where_it_was(tmp_path: Path) -> None:
    folder = tmp_path / "T1.1"
    job(folder, "true").wait(20)
    folder.rename(tmp_path / "T1.1~1")
    jobs.begin_sitting(folder, 2)
    job(folder, "true").wait(20)
    jobs.begin_sitting(folder, 2)
    assert (folder / names.EXIT).exists() and (tmp_path / "T1.1~1" / names.EXIT).exists()


def test_the_first_sitting_moves_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "T1.1"
    jobs.begin_sitting(folder, 1)
    assert not folder.exists()


@pytest.mark.parametrize("sitting", [2, 5])
def test_a_directory_that_is_gone_begins_anew(tmp_path: Path, sitting: int) -> None:
    jobs.begin_sitting(tmp_path / "T1.1", sitting)
    assert (tmp_path / "T1.1").is_dir()
