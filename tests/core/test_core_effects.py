"""Deeds that fail: each is tried again with a wait, up to its cap; then somebody hears of it, and nothing spins."""

from typing import Any

import pytest

from andon.core.pending import pending
from andon.core.schedule import next_deadline
from andon.schema import effects as f, events as e, inputs as i
from andon.schema.ids import AttemptId, GateId, Oid, RepoId
from andon.schema.jobs import Exit, Said
from andon.schema.settings import AgentSettings
from core.chaos import subject_of
from core.sim import Sim

A = AttemptId("T1.1")


ANSWERED = i.AnswerGate(gate=GateId("G1"), option="answer", because="yes", by="me")
OF_SESSIONS: dict[type[f.Effect], tuple[i.Input, ...]] = {
    f.LookAtWork: (i.TurnOver(attempt=A, turn=1),),
    f.EndSession: (i.TurnOver(attempt=A, turn=1), i.WorkSeen(attempt=A, n=1, committed=True, dirty=False)),
    f.AnswerAsk: (i.AskSeen(attempt=A, ask="a", text="?"), ANSWERED),
    f.DeliverMessage: (i.SendMessage(attempt=A, text="hello", by="me"),), f.InterruptTurn: (i.Interrupt(attempt=A, by="me"),),
}
"""What is seen until a running session is owed a deed."""


def staged(kind: type[f.Effect]) -> tuple[Sim, f.Effect]:
    """A factory that owes a deed of this kind."""
    sim = Sim(agents={"default": AgentSettings(name="default", use="scripted", minutes=1)})
    sim.add()
    if kind in OF_SESSIONS:
        sim.until(f.WatchSession)
        known = i.ConversationSeen(attempt=A, conversation="c", channel="hooks", interactive=True)
        for given in (known, *OF_SESSIONS[kind]):
            sim.give(given)
    if kind in (f.StopSession, f.SuspendSession, f.DeliverAnswer):
        sim.until(f.WatchSession)
        if kind is f.StopSession:
            sim.give(i.CancelTask(task=sim.task().task))
        elif kind is f.SuspendSession:
            sim.now += 60_000
            sim.give(i.Ticked())
        else:
            sim.ask(A, 1, "blue or red?")
            sim.decide_gate("answer", because="blue")
    return sim, sim.until(kind)


ALL = (f.PrepareCheckout, f.StartSession, f.WatchSession, f.StopSession, f.SuspendSession, f.ImportWork, f.RemoveCheckout,
       f.DeliverAnswer, f.LookAtWork, f.EndSession, f.AnswerAsk, f.DeliverMessage, f.InterruptTurn,
       f.RunCheck, f.MergeCandidate, f.MoveTarget, f.MirrorTarget)


def same(effects: list[f.Effect], like: f.Effect) -> list[f.Effect]:
    return [effect for effect in effects if type(effect) is type(like) and subject_of(effect) == subject_of(like)]


@pytest.mark.parametrize("kind", ALL)
def test_a_deed_that_fails_for_a_moment_waits_and_is_owed_again(kind: type[f.Effect]) -> None:
    sim, effect = staged(kind)
    sim.fail(effect, subject_of(effect))
    assert not same(pending(sim.state, sim.now), effect), "it is not tried again at once"
    assert next_deadline(sim.state, sim.now) == sim.now + 2_000
    sim.now += 2_000
    again = same(pending(sim.state, sim.now), effect)
    assert len(again) == 1
    sim.fail(again[0], subject_of(effect))
    assert next_deadline(sim.state, sim.now) == sim.now + 4_000, "the wait doubles"


@pytest.mark.parametrize("kind", ALL)
def test_a_deed_that_succeeds_after_failures_leaves_no_counter_and_no_problem(kind: type[f.Effect]) -> None:
    sim, effect = staged(kind)
    for _ in range(4):
        sim.fail(same(pending(sim.state, sim.now), effect)[0], subject_of(effect))
        sim.now = next_deadline(sim.state, sim.now)
        sim.give(i.Ticked())
    assert f"effect:{subject_of(effect)}" in sim.state.problems, "at the cap it is said"
    sim.give(sim.answer(same(pending(sim.state, sim.now), effect)[0]))
    assert f"effect:{subject_of(effect)}" not in sim.state.problems
    assert not [key for key in sim.state.tries if key.startswith(f"{subject_of(effect)} ")]


AFTER_CAP: dict[type[f.Effect], str] = {
    f.PrepareCheckout: "attempt.failed", f.StartSession: "attempt.failed", f.ImportWork: "attempt.failed",
    f.RemoveCheckout: "problem.noticed", f.RunCheck: "run.finished", f.MergeCandidate: "gate.opened",
    f.MoveTarget: "queue.held", f.AnswerAsk: "permission.settled", f.DeliverMessage: "message.returned",
    f.InterruptTurn: "session.interrupted",
}


@pytest.mark.parametrize("kind", AFTER_CAP)
def test_a_deed_that_keeps_failing_is_given_up_with_a_reason(kind: type[f.Effect]) -> None:
    sim, effect = staged(kind)
    for _ in range(5):
        last = [e.kind_of(event) for event in sim.fail(same(pending(sim.state, sim.now), effect)[0], subject_of(effect))]
        sim.now = next_deadline(sim.state, sim.now) or sim.now
    assert AFTER_CAP[kind] in last


@pytest.mark.parametrize("kind", [f.StopSession, f.SuspendSession, f.WatchSession, f.DeliverAnswer, f.MirrorTarget])
def test_a_deed_that_must_not_be_given_up_is_tried_for_ever_with_a_bounded_wait(kind: type[f.Effect]) -> None:
    sim, effect = staged(kind)
    if kind is f.WatchSession:
        sim.until(f.WatchSession)
    for _ in range(30):
        sim.fail(same(pending(sim.state, sim.now), effect)[0], subject_of(effect))
        tries = sim.state.tries[f"{subject_of(effect)} {type(effect).__struct_config__.tag}"]
        assert tries.not_before - sim.now <= 300_000
        sim.now = tries.not_before
    assert f"effect:{subject_of(effect)}" in sim.state.problems


FINAL: dict[type[f.Effect], tuple[str, ...]] = {
    f.PrepareCheckout: ("attempt.failed", "task.retry-scheduled"), f.StartSession: ("attempt.failed", "task.retry-scheduled"),
    f.ImportWork: ("attempt.failed", "task.retry-scheduled"), f.RemoveCheckout: ("effect.retried", "problem.noticed"),
    f.StopSession: ("effect.retried", "problem.noticed"), f.WatchSession: ("effect.retried", "problem.noticed"),
    f.RunCheck: ("run.finished",), f.MergeCandidate: ("landing.judged", "gate.opened"),
    f.MoveTarget: ("landing.abandoned", "queue.held"), f.MirrorTarget: ("effect.retried", "problem.noticed"),
}


@pytest.mark.parametrize("kind", FINAL)
def test_a_failure_that_is_not_worth_repeating_is_told_at_once(kind: type[f.Effect]) -> None:
    sim, effect = staged(kind)
    events = [e.kind_of(event) for event in sim.fail(effect, subject_of(effect), transient=False)]
    assert events[: len(FINAL[kind])] == list(FINAL[kind])
    assert effect.key not in [owed.key for owed in pending(sim.state, sim.now)]


def test_a_checkout_that_could_not_be_removed_is_a_problem_until_it_is_gone() -> None:
    sim, effect = staged(f.RemoveCheckout)
    sim.fail(effect, A, transient=False)
    assert f"checkout:{A}" in sim.state.problems
    sim.now += 3_600_000
    sim.give(i.Ticked())
    sim.do(f.RemoveCheckout)
    assert f"checkout:{A}" not in sim.state.problems


def test_a_refused_start_goes_back_and_asks_a_person_when_it_comes_again() -> None:
    sim, effect = staged(f.StartSession)
    sim.fail(effect, A, transient=False)
    assert sim.task().failures[0].failure == "contract"
    sim.fail(sim.until(f.StartSession, attempt="T1.2"), "T1.2", transient=False)
    gate = sim.gate()
    assert (gate.kind, gate.recommendation) == ("failure", "cancel")
    assert "failed 2 times in the same way" in gate.question


def test_a_failure_of_what_is_gone_changes_nothing() -> None:
    sim, effect = staged(f.MergeCandidate)
    sim.give(i.CancelTask(task=sim.task().task))
    before = sim.state
    for transient in (True, False):
        assert not sim.fail(effect, "L1", transient=transient)
        assert not sim.fail(effect, "R99", transient=transient)
        assert not sim.fail(effect, "T9.9", transient=transient)
    assert sim.state == before


def test_a_change_that_cannot_be_merged_at_all_asks_a_person_and_the_others_go_on() -> None:
    sim, effect = staged(f.MergeCandidate)
    sim.add("another")
    sim.fail(effect, "L1", transient=False)
    assert (sim.gate().kind, sim.gate().because) == ("unevaluated", "no space left on device")
    assert not sim.state.cords and not sim.state.repos[RepoId("r0")].queue.held
    sim.run()
    assert (sim.task("T1").gate, sim.task("T2").outcome) == ("G1", "done")


def test_trouble_with_the_move_of_the_target_stops_the_queue_once_and_no_line() -> None:
    sim, effect = staged(f.MoveTarget)
    sim.fail(effect, "L1", transient=False)
    queue = sim.state.repos[RepoId("r0")].queue
    assert (queue.held_by, queue.held) == ("andon", "landing T1: no space left on device")
    assert sim.why() == ("the merge queue is stopped by andon: landing T1: no space left on device",)
    assert not sim.state.cords and not sim.fail(effect, "L1", transient=False)
    sim.run()
    assert sim.kinds().count("queue.held") == 1 and not sim.task().landed
    sim.give(i.ResumeQueue(repo=RepoId("r0"), by="me"))
    sim.run()
    assert sim.task().outcome == "done"


def test_a_check_that_cannot_be_run_at_all_ends_at_a_gate_and_is_never_a_pass() -> None:
    sim, _ = staged(f.RunCheck)
    while not sim.task().gate:
        for run in [owed for owed in sim.owed() if isinstance(owed, f.RunCheck)]:
            sim.fail(run, run.run, transient=False)
        for other in [owed for owed in sim.owed() if not isinstance(owed, f.RunCheck)]:
            sim.give(sim.answer(other))
    assert sim.gate().kind == "unevaluated"
    assert not [event for event in sim.events(e.ClaimJudged) if event.status == "proven" and event.claim != "work"]


def test_words_options_and_screens_of_an_attempt_are_bounded() -> None:
    sim = Sim()
    sim.add()
    sim.until(f.WatchSession)
    fields: dict[str, Any] = {"n": 1, "kind": "ask", "text": "x" * 9000, "options": tuple("y" * 200 for _ in range(30))}
    sim.give(i.AgentSaid(attempt=A, said=Said(**fields)))
    said, gate = sim.events(e.AttemptSaid)[0], sim.gate()
    assert (len(said.text), len(said.options)) == (4000, 9)
    assert (len(gate.question), len(gate.options), len(gate.options[0].key)) == (600, 10, 80)
    sim.give(i.SessionEnded(attempt=A, exit=Exit(code=1, error="z" * 9000)))
    assert len(sim.events(e.AttemptExited)[0].error) == 600


def test_an_undo_is_recorded() -> None:
    sim, _ = staged(f.MergeCandidate)
    assert sim.give(i.CheckoutBack(attempt=A, path="/back")) == [e.CheckoutRestored(attempt=A, path="/back")]


def test_a_mirror_that_stays_behind_is_said_once_with_its_mend() -> None:
    sim, effect = staged(f.MirrorTarget)
    assert isinstance(effect, f.MirrorTarget)
    seen = i.MirrorSeen(repo=effect.repo, oid=effect.oid, advanced=False, because="dirty", mend="git pull")
    assert len(sim.give(seen)) == 1
    assert not sim.give(seen)
    assert not sim.give(i.MirrorSeen(repo=next(iter(sim.trunk)), oid=effect.oid, advanced=False, because="dirty", mend="git pull"))
    assert not sim.give(i.MirrorSeen(repo=type(effect.repo)("r9"), oid=Oid("a"), advanced=True))
    assert not same(pending(sim.state, sim.now), effect)
