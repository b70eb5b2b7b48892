"""Failures are tried again within caps that a restart does not reset; then a person is asked."""

from typing import Any

import pytest

from andon.core.evolve import replay
from andon.core.failure import backoff_ms, first_line, packet_of
from andon.core.image import freeze, thaw
from andon.core.state import State
from andon.schema import effects as f, events as e, inputs as i
from andon.schema.ids import AttemptId, TaskId
from andon.schema.jobs import Exit
from andon.schema.settings import Budget, Retry, Settings
from core.sim import Sim, oid


def crashing(codes: list[int], **changes: Any) -> Sim:
    """A factory whose agents end with these codes, one after the other."""
    sim = Sim(**changes)
    left = iter(codes)
    sim.exit = lambda effect: i.SessionEnded(attempt=effect.attempt, exit=Exit(code=next(left, 0)))
    sim.add()
    return sim


def test_the_same_failure_twice_asks_a_person() -> None:
    sim = crashing([1, 1])
    sim.run()
    assert (sim.gate().kind, sim.gate().question) == ("failure", "T1 failed 2 times in the same way. What now?")
    assert sim.gate().recommendation == "retry"
    assert len(sim.task().attempts) == 2


def test_different_failures_are_tried_up_to_the_budget() -> None:
    sim = crashing([1, 2, 3, 4], budget=Budget(attempts=3))
    sim.run()
    assert sim.gate().question == "T1 has used its 3 attempts. What now?"
    assert len(sim.task().attempts) == 3


def test_a_retry_by_a_person_starts_the_counters_anew() -> None:
    sim = crashing([1, 2, 3, 4, 5], budget=Budget(attempts=3))
    sim.run()
    sim.decide_gate("retry")
    sim.run()
    assert len(sim.task().attempts) == 6
    assert sim.task().outcome == "done", "the sixth ended well"


def test_a_task_that_is_given_up_after_its_failures_ends_as_failed() -> None:
    sim = crashing([1, 1])
    sim.run()
    sim.decide_gate("cancel")
    assert (sim.task().outcome, sim.state.open) == ("failed", ())


@pytest.mark.parametrize("way", ["replay", "snapshot", "half"])
def test_caps_survive_a_restart(way: str) -> None:
    sim = crashing([1, 2, 3, 4], budget=Budget(attempts=3))
    while len(sim.task().failures) < 2:
        sim.step()
    if way == "half":
        half = thaw(freeze(replay(State(), sim.log[:20])))
        assert half is not None
        sim.state = replay(half, sim.log[20:])
    else:
        back = replay(State(), sim.log) if way == "replay" else thaw(freeze(sim.state))
        assert back is not None
        sim.state = back
    sim.run()
    assert sim.gate().question == "T1 has used its 3 attempts. What now?"
    assert len(sim.task().attempts) == 3


def test_lost_sessions_are_counted_apart_with_a_growing_wait() -> None:
    sim = Sim(budget=Budget(attempts=1), retry=Retry(transient=3, backoff_s=2.0))
    sim.exit = lambda effect: i.SessionEnded(attempt=effect.attempt, because="gone")
    sim.add()
    sim.run()
    waits = [event.not_before for event in sim.events(e.RetryScheduled)]
    ended = [row.at for row in sim.log if isinstance(row.event, e.RetryScheduled)]
    assert [until - at for until, at in zip(waits, ended, strict=True)] == [2000, 4000, 8000, 16_000]
    assert sim.gate().question == "T1 could not be worked on 4 times. What now?"


def test_the_wait_doubles_up_to_five_minutes() -> None:
    waits = [backoff_ms(Settings(), tries) for tries in (0, 1, 2, 3, 8, 9, 40)]
    assert waits == [2000, 2000, 4000, 8000, 256_000, 300_000, 300_000]


def test_failures_of_one_fingerprint_are_counted_across_others() -> None:
    sim = crashing([1, 2, 1], budget=Budget(attempts=9))
    sim.run()
    assert "in the same way" in sim.gate().question
    assert len(sim.task().attempts) == 3


def test_a_packet_is_bounded_and_leaves_out_what_is_empty() -> None:
    packet = packet_of("tests: red", ("Log", "x" * 50_000), ("Empty", "  "))
    assert len(packet) == 12_000
    assert packet.startswith("## The last attempt did not pass: tests: red\n\n### Log\n\nxxx")
    assert "Empty" not in packet
    assert first_line("\n## **Hello** there\nmore") == "Hello** there"
    assert first_line("\n\n") == ""


def test_a_failed_check_three_times_asks_and_tells_the_next_agent_after_a_retry() -> None:
    sim = Sim(retry=Retry(same_failure=9))
    sim.check = lambda run: i.CheckRan(run=run.run, result="pass" if run.tree == oid("tree", run.commit) else "fail", because="red")
    sim.add()
    sim.run()
    assert sim.gate().question == "T1 has used its 3 attempts. What now?"
    sim.decide_gate("retry", because="look at the fixture")
    start = sim.until(f.StartSession, attempt="T1.4")
    assert "red" in start.prompt and "look at the fixture" in start.prompt
    assert sim.attempt("T1.4").start == oid("c", "T1.3")


def test_a_task_that_ended_can_be_retried_and_runs_again_with_a_new_attempt() -> None:
    sim = Sim()
    sim.add()
    sim.until(f.WatchSession)
    sim.give(i.CancelTask(task=TaskId("T1"), by="me"))
    sim.run()
    assert AttemptId("T1.1") not in sim.state.attempts, "its checkout is gone and forgotten"
    sim.give(i.RetryTask(task=TaskId("T1"), note="again", by="me"))
    sim.run()
    assert (sim.task().outcome, sim.task().attempts) == ("done", ("T1.1", "T1.2"))
