"""A person in a hurry: cancel and retry in every phase of an attempt never give two live claims, and lose no work."""

from collections.abc import Callable

import pytest

from andon.core.pending import pending
from andon.core.refuse import refuse
from andon.schema import effects as f, events as e, inputs as i
from andon.schema.ids import AttemptId, RepoId, TaskId
from andon.schema.jobs import Exit
from andon.schema.settings import AgentSettings
from core.audit import Audit
from core.playbook import Given, like, nothing
from core.sim import Sim, oid

T1, A = TaskId("T1"), AttemptId("T1.1")
CANCEL, RETRY = i.CancelTask(task=T1, because="not now", by="me"), i.RetryTask(task=T1, by="me")


def at(kind: type[f.Effect]) -> Sim:
    """A factory that owes this deed for its only attempt."""
    sim = Sim()
    sim.add()
    sim.until(kind)
    return sim


def paused() -> Sim:
    sim = Sim(agents={"default": AgentSettings(name="default", use="scripted", minutes=1)})
    sim.add()
    sim.until(f.WatchSession)
    sim.now += 60_000
    sim.give(i.Ticked())
    sim.do(f.SuspendSession)
    return sim


def queued() -> Sim:
    sim = Sim(wip=1)
    sim.add()
    sim.give(i.PullCord(repo=RepoId("r0"), line="build", because="x", by="me"))
    sim.add()
    return sim


PHASES: dict[str, Callable[[], Sim]] = {
    "claimed": lambda: at(f.PrepareCheckout), "prepared": lambda: at(f.StartSession), "running": lambda: at(f.WatchSession),
    "ended": lambda: at(f.ImportWork), "checking": lambda: at(f.RunCheck), "merging": lambda: at(f.MergeCandidate),
    "paused": paused, "queued": queued,
}


@pytest.mark.parametrize("phase", PHASES)
def test_a_cancel_ends_the_task_in_every_phase_and_leaves_nothing_behind(phase: str) -> None:
    sim = PHASES[phase]()
    assert like(e.TaskCancelled, because="not now", by="me") in sim.give(CANCEL)
    sim.exit = lambda effect: i.SessionEnded(attempt=effect.attempt, exit=Exit(signal=15, because="stopped"))
    sim.run()
    assert sim.task().outcome == "cancelled"
    assert not [attempt for attempt in sim.state.attempts.values() if attempt.task == T1]
    problem = refuse(sim.state, CANCEL)
    assert problem is not None and problem.what == "T1 is over (cancelled)"


@pytest.mark.parametrize("phase", PHASES)
def test_a_retry_while_the_old_attempt_is_still_ending_never_gives_two_live_claims(phase: str) -> None:
    sim = PHASES[phase]()
    sim.give(CANCEL)
    sim.give(RETRY)
    for _ in range(300):
        assert sum(attempt.live for attempt in sim.state.attempts.values() if attempt.task == T1) <= 1
        if any(attempt.live for attempt in sim.state.attempts.values() if attempt.task == T1) and not sim.task().live:
            assert sim.why() == (f"waits until {A} has ended",)
        if not sim.step():
            break
    assert not Audit().read(sim.log).faults
    sim.give(i.ReleaseCord(repo=RepoId("r0"), line="build", by="me"))
    sim.run()
    assert sim.task().outcome == "done"


def test_a_cancelled_agent_is_snapshotted_then_ended_then_removed() -> None:
    sim = at(f.WatchSession)
    assert (
        Given.after(sim)
        >> CANCEL << like(e.AttemptStopAsked, because="not now", by="me") << like(e.TaskCancelled) << like(f.StopSession, attempt=A)
        >> i.StopDone(attempt=A, ref="refs/s", oid=sim.attempt().base, dirty=True) << like(e.WorkSalvaged, dirty=True)
        >> i.SessionEnded(attempt=A, exit=Exit(signal=15, because="stopped"))
        << like(e.AttemptExited) << like(e.AttemptFailed, failure="limit", message="not now") << like(f.RemoveCheckout)
        >> i.CheckoutGone(attempt=A, ref="refs/s2", oid=sim.attempt().base, dirty=False)
        << like(e.WorkSalvaged) << e.CheckoutRemoved(attempt=A)
    )


def test_an_attempt_that_never_started_is_closed_by_its_stop_alone() -> None:
    for kind in (f.PrepareCheckout, f.StartSession):
        sim = at(kind)
        sim.give(CANCEL)
        assert (
            Given.after(sim)
            >> i.StopDone(attempt=A, ref="", oid=sim.attempt().base, dirty=False)
            << like(e.WorkSalvaged) << like(e.AttemptFailed) << like(f.RemoveCheckout)
        )


def test_a_session_that_ends_before_its_stop_is_done_is_closed_by_its_end() -> None:
    sim = at(f.WatchSession)
    sim.give(CANCEL)
    assert (
        Given.after(sim)
        >> i.SessionEnded(attempt=A, exit=Exit(code=0)) << like(e.AttemptExited) << like(e.AttemptFailed) << like(f.RemoveCheckout)
        >> i.StopDone(attempt=A, ref="", oid=sim.attempt().base, dirty=False) << nothing
    )


def test_work_that_is_read_after_the_cancel_is_not_accepted() -> None:
    sim = at(f.ImportWork)
    work = sim.until(f.ImportWork)
    sim.give(CANCEL)
    sim.give(sim.honest_work(work))
    assert sim.events(e.AttemptFailed)[0].message == "not now" and not sim.events(e.AttemptAccepted)


def test_late_answers_of_the_old_attempt_do_not_touch_the_new_one() -> None:
    sim = at(f.WatchSession)
    sim.give(CANCEL)
    sim.give(RETRY)
    sim.do(f.StopSession)
    sim.do(f.WatchSession)
    sim.until(f.WatchSession, attempt="T1.2")
    before = sim.state
    lates: list[i.Input] = [
        i.CheckoutReady(attempt=A, path="/x", isolation="clone"), i.SessionEnded(attempt=A, exit=Exit(code=0)),
        i.SessionStarted(attempt=A, pid=1, ticks=1, boot="b", session="s"), i.AnswerGiven(attempt=A, n=1),
        i.StopDone(attempt=A, ref="", oid=oid("s"), dirty=False), i.SuspendDone(attempt=A, suspended=False),
    ]
    for late in lates:
        assert not sim.give(late), late
    assert sim.state == before


def test_a_retry_is_only_for_what_ended_or_waits_for_an_answer_about_a_failure() -> None:
    for kind in (f.PrepareCheckout, f.RunCheck, f.MergeCandidate):
        problem = refuse(at(kind).state, RETRY)
        assert problem is not None and problem.what == "T1 is still in work"
    sim = at(f.MergeCandidate)
    sim.run()
    problem = refuse(sim.state, RETRY)
    assert problem is not None and problem.what == "T1 has landed"
    assert Given.after(sim) >> RETRY << nothing


def test_a_retry_at_a_failure_gate_voids_it_and_goes_on() -> None:
    sim = Sim()
    sim.exit = lambda effect: i.SessionEnded(attempt=effect.attempt, exit=Exit(code=1))
    sim.add()
    sim.run()
    gate = sim.gate()
    assert (
        Given.after(sim) >> RETRY << like(e.GateVoided, gate=gate.gate) << like(e.TaskRetried, by="me") << like(e.TaskEntered)
        << like(e.AttemptClaimed, number=3) << like(f.PrepareCheckout)
    )


def test_the_same_key_never_adds_twice() -> None:
    add = i.AddTask(repo=RepoId("r0"), title="a", spec="a", key="k", by="me")
    sim = Sim()
    assert sim.give(add) and not sim.give(add)
    assert list(sim.state.tasks) == [T1]


def test_a_cancel_removes_every_deed_of_the_task_but_its_end() -> None:
    sim = at(f.WatchSession)
    sim.give(CANCEL)
    left = {type(effect).__name__ for effect in pending(sim.state, sim.now)}
    assert left <= {"StopSession", "WatchSession", "MirrorTarget"}
