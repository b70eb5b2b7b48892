"""An agent at its time limit is suspended and goes on again, also where a kill or a fork falls between."""

import asyncio
import platform
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from andon.core.evolve import fold
from andon.core.pending import pending
from andon.edges import jobs
from andon.schema import effects as f, events as e
from andon.schema.ids import AttemptId
from andon.schema.jobs import Job
from core.sim import Sim
from fault.workload import Piece, end
from fault.world import of, rows
from support import wait_until

VFORK = """
import ctypes, os, signal, sys, time
if ctypes.CDLL(None).syscall(56, 0x4000 | signal.SIGCHLD, 0, 0, 0, 0) == 0:
    open(sys.argv[1], "w").close()
    while True:
        time.sleep(0.01)
"""
"""A parent that the kernel holds until its child executes something: what a shell is in each moment of starting a command."""


@pytest.mark.skipif(platform.machine() != "x86_64" or sys.platform != "linux", reason="the number of the system call")
async def test_a_process_that_waits_in_vfork_for_a_suspended_child_counts_as_suspended(tmp_path: Path) -> None:
    folder, mark = tmp_path / "J1", tmp_path / "forked"
    argv = (sys.executable, "-c", VFORK, str(mark))
    jobs.write_job(folder, Job(name="J1", argv=argv, cwd=str(tmp_path), env={"ANDON_TREE": "J1"}, log=True))
    await jobs.start_detached(folder)
    try:
        await asyncio.to_thread(wait_until, mark.exists, what="the fork")
        assert await jobs.suspend(folder, True)
        assert await jobs.suspend(folder, False)
    finally:
        await jobs.stop(folder, 0.2)


def test_more_time_is_owed_to_the_processes_even_if_nobody_saw_them_suspended() -> None:
    sim = Sim()
    sim.add()
    sim.until(f.WatchSession)
    attempt = AttemptId("T1.1")
    asked = (e.AttemptPauseAsked(attempt=attempt, because="its limit"), e.AttemptResumeAsked(attempt=attempt, minutes=5, by="me"))
    state = fold(sim.state, asked, sim.now)
    assert f.SuspendSession(attempt=attempt, suspend=False) in pending(state, sim.now)
    seen = fold(state, (e.AttemptSuspended(attempt=attempt, suspended=False),), sim.now)
    assert not [effect for effect in pending(seen, sim.now) if isinstance(effect, f.SuspendSession)]


@pytest.fixture
def piece(tmp_path: Path) -> Iterator[Piece]:
    made = Piece(tmp_path / "w", acts=("long",))
    try:
        yield made
    finally:
        end(made.plant)


def test_a_daemon_killed_between_suspending_and_recording_lets_the_agent_go_on_when_it_is_given_time(piece: Piece) -> None:
    piece.plant.start({"ANDON_FAULT": "suspend-session.act:1"})
    assert piece.drive() == "dead"
    assert not of(rows(piece.scene.home), "attempt.suspended")
    piece.plant.start()
    assert piece.drive() == "rest", piece.plant.log_text()
    assert of(rows(piece.scene.home), "task.landed")
