"""Sittings: a session that ended badly, or was restarted, goes on in its own checkout, in the same conversation, within a bound."""

import pytest

from andon.core.refuse import refuse
from andon.core.schedule import next_deadline
from andon.schema import effects as f, events as e, inputs as i
from andon.schema.ids import AttemptId
from andon.schema.jobs import Exit
from andon.schema.settings import FactorySettings, Step
from core.interactive import AGENTS, A, T, at_work, turn, verdict, work
from core.playbook import Given, like, nothing
from core.sim import Sim, oid

STOPPED = Exit(signal=15, because="stopped")
SALVAGE = i.StopDone(attempt=A, ref="refs/andon/salvage/T1.1/0001", oid=oid("s"), dirty=True)


def crash(sim: Sim, exit_: Exit | None = None, *, lost: bool = False, **fields: object) -> list[e.Event]:
    """It ends badly and its work is read."""
    sim.give(i.SessionEnded(attempt=A, exit=None if lost else exit_ or Exit(code=1), because="the process is gone"))
    return sim.give(sim.honest_work(sim.until(f.ImportWork), **fields))


def again(sim: Sim) -> f.StartSession:
    """The start of the next sitting, as soon as it is owed."""
    for _ in range(5):
        if owed := [effect for effect in sim.owed() if isinstance(effect, f.StartSession)]:
            return owed[0]
        sim.now = next_deadline(sim.state, sim.now)
        sim.give(i.Ticked())
    raise AssertionError("it is not started again")


@pytest.mark.parametrize("way", ["crash", "lost", "ended from outside"])
def test_a_session_that_ends_badly_goes_on_in_its_conversation_and_checkout(way: str) -> None:
    sim = at_work()
    events = crash(sim, STOPPED if way == "ended from outside" else None, lost=way == "lost")
    resumed = next(event for event in events if isinstance(event, e.SessionResumed))
    assert (resumed.sitting, resumed.conversation) == (2, "c1")
    assert not sim.events(e.AttemptFailed) and sim.task().live == A
    assert sim.why() == ("tries again in 2 s",)
    start = again(sim)
    assert (start.sitting, start.resume, start.path, start.key) == (2, "c1", "/c/T1.1", f"{A}/start/2/0")
    assert "started again" in start.prompt and "How to hand in" not in start.prompt
    sim.give(sim.answer(start))
    assert sim.until(f.WatchSession).key == f"{A}/watch/2"
    sim.run()
    assert sim.task().outcome == "done" and sim.task().attempts == (A,) and sim.started[A] == 2


def test_without_a_conversation_work_that_was_left_is_gone_on_with_and_the_whole_prompt_is_given() -> None:
    sim = at_work(conversation="")
    crash(sim, commit=sim.attempt().base, dirty=True)
    start = again(sim)
    assert (start.sitting, start.resume) == (2, "")
    assert "How to hand in" in start.prompt and "The conversation before is not there any more" in start.prompt


def test_without_conversation_and_work_a_crash_fails_as_ever() -> None:
    sim = at_work(conversation="")
    crash(sim, commit=sim.attempt().base)
    assert sim.events(e.AttemptFailed)[-1].failure == "crash" and not sim.events(e.SessionResumed)


def test_a_headless_agent_without_a_conversation_fails_as_ever_whatever_it_left() -> None:
    sim = at_work(conversation="", interactive=False)
    crash(sim, dirty=True)
    assert sim.events(e.AttemptFailed)[-1].failure == "crash" and not sim.events(e.SessionResumed)


def test_it_is_started_again_only_so_often() -> None:
    sim = at_work(FactorySettings(restarts=2))
    for sitting in (2, 3):
        crash(sim)
        assert sim.attempt().sitting == sitting
        sim.give(sim.answer(again(sim)))
    crash(sim)
    assert sim.attempt().outcome == "the agent ended with exit code 1" and len(sim.events(e.SessionResumed)) == 2


def test_a_person_restarts_no_oftener_than_the_limit_and_is_told_what_else_there_is() -> None:
    sim = at_work(FactorySettings(restarts=1))
    sim.give(i.RestartSession(attempt=A, by="me"))
    sim.give(SALVAGE)
    sim.give(i.SessionEnded(attempt=A, exit=STOPPED))
    sim.give(sim.answer(again(sim)))
    problem = refuse(sim.state, i.RestartSession(attempt=A, by="me"))
    assert problem and problem.what == "session T1.1 has used up its restarts (1 of 1)"
    for word in ("andon reassign T1 AGENT", "andon retry T1", "factory.restarts in your own settings"):
        assert word in problem.mend
    sim.give(i.PersonSettingsSeen(settings=FactorySettings(restarts=2)))
    assert refuse(sim.state, i.RestartSession(attempt=A, by="me")) is None


def test_a_gate_about_a_stuck_session_offers_a_restart_only_while_there_is_one_left() -> None:
    for restarts, offered in ((1, True), (0, False)):
        sim = at_work(FactorySettings(restarts=restarts, ladders={"cpu": (Step(do="gate"),)}))
        sim.give(verdict("cpu", "working"))
        sim.give(i.Ticked())
        [gate] = sim.state.gates.values()
        assert ("restart" in [option.key for option in gate.options]) is offered


@pytest.mark.parametrize("exit_", [Exit(code=0), Exit(signal=15, because="timeout"), Exit(code=127, because="not-started")])
def test_a_good_end_a_timeout_and_a_command_that_cannot_start_are_not_gone_on_with(exit_: Exit) -> None:
    sim = at_work()
    crash(sim, exit_)
    assert not sim.events(e.SessionResumed)


def test_a_limit_of_its_account_is_waited_for_before_it_goes_on() -> None:
    sim = at_work()
    until = sim.now + 600_000
    sim.give(verdict("rate-limit", "rate-limited", until=until))
    crash(sim)
    assert sim.events(e.SessionResumed)[-1].not_before == until
    again(sim)
    assert sim.now >= until


def test_a_restart_by_a_person_is_a_snapshot_a_stop_and_another_sitting() -> None:
    sim = at_work()
    assert (
        Given.after(sim)
        >> i.RestartSession(attempt=A, note="use tabs", by="me") << like(e.AttemptStopAsked, then="restart", by="me")
        << like(f.StopSession)
        >> SALVAGE << like(e.WorkSalvaged)
        >> i.SessionEnded(attempt=A, exit=STOPPED) << like(e.AttemptExited)
        << like(e.SessionResumed, sitting=2, conversation="c1",
                note=lambda note: "use tabs" in note and "refs/andon/salvage/T1.1/0001" in note)
        << like(f.StartSession, sitting=2, resume="c1")
    )


def test_a_fresh_restart_begins_a_new_conversation_in_the_same_checkout() -> None:
    sim = at_work()
    sim.give(i.RestartSession(attempt=A, fresh=True, by="me"))
    sim.give(SALVAGE)
    sim.give(i.SessionEnded(attempt=A, exit=STOPPED))
    start = again(sim)
    assert (start.resume, start.path) == ("", "/c/T1.1") and "How to hand in" in start.prompt


def test_a_task_that_is_cancelled_while_it_restarts_ends() -> None:
    for ended_first in (True, False):
        sim = at_work()
        sim.give(i.RestartSession(attempt=A, by="me"))
        if ended_first:
            sim.give(i.SessionEnded(attempt=A, exit=STOPPED))
        sim.give(i.CancelTask(task=T, by="me"))
        if not ended_first:
            sim.give(i.SessionEnded(attempt=A, exit=STOPPED))
        sim.run()
        assert sim.task().outcome == "cancelled" and not sim.state.attempts


def test_a_new_sitting_remembers_what_was_done_and_forgets_what_stood() -> None:
    sim = at_work()
    sim.give(i.AskSeen(attempt=A, ask="a1", deed="shell", target="make"))
    sim.give(i.SendMessage(attempt=A, text="hello", key="k", by="me"))
    sim.give(turn(1))
    crash(sim)
    known = sim.attempt()
    assert (known.phase, known.open_asks, known.outbox, known.turns, known.turn, known.said) == ("prepared", (), (), 0, 1, 0)
    assert known.sent_keys == ("k",) and known.conversation == "c1" and known.interactive
    assert not sim.state.gates
    sim.give(sim.answer(again(sim)))
    sim.give(turn(1))
    assert sim.until(f.LookAtWork).n == 2, "turns are named for ever"
    assert any(isinstance(event, e.FinishAsked) for event in sim.give(work(2, committed=True)))


def test_the_time_it_worked_before_counts_towards_its_limit() -> None:
    sim = at_work()
    crash(sim, Exit(code=1, seconds=600.0))
    assert sim.attempt().allowed_minutes == -10.0


def test_an_old_snapshot_answer_does_not_touch_the_next_sitting() -> None:
    sim = at_work()
    crash(sim)
    assert not sim.give(SALVAGE)
    assert sim.attempt().phase == "prepared"


def test_a_task_is_given_to_another_agent_with_what_was_left() -> None:
    sim = at_work()
    assert (
        Given.after(sim)
        >> i.ReassignTask(task=T, agent="other", note="try it your way", by="me") << like(e.TaskReassigned, agent="other", by="me")
        << like(e.AttemptStopAsked, then="reassign") << like(f.StopSession)
        >> SALVAGE << like(e.WorkSalvaged)
        >> i.SessionEnded(attempt=A, exit=STOPPED) << like(e.AttemptExited)
        << like(e.AttemptFailed, failure="transient") << like(e.RetryScheduled, failure="transient",
                packet=lambda text: "try it your way" in text and "andon/previous" in text) << like(f.RemoveCheckout)
        >> i.SessionEnded(attempt=A, exit=STOPPED) << nothing
    )


def test_a_task_that_waits_at_a_failure_gets_its_other_agent_at_once() -> None:
    sim = Sim(agents=AGENTS)
    sim.work = lambda effect: sim.honest_work(effect, commit=effect.base)
    sim.add()
    while not sim.task().gate:
        sim.step()
    events = sim.give(i.ReassignTask(task=T, agent="other", by="me"))
    kinds = [e.kind_of(event) for event in events]
    assert kinds[:3] == ["task.reassigned", "gate.voided", "task.retried"]
    assert sim.events(e.AttemptClaimed)[-1].agent == "other"


def test_a_limit_that_ended_while_nobody_looked_is_over_at_the_next_input() -> None:
    sim = at_work()
    sim.give(verdict("rate-limit", "rate-limited", until=sim.now + 60_000))
    sim.now += 120_000
    assert any(isinstance(event, e.AccountFreed) for event in sim.give(i.DaemonStarted(version="1", pid=2, boot="b")))


def test_only_the_attempt_that_is_meant_is_resumed() -> None:
    sim = at_work()
    assert not sim.give(i.ConversationSeen(attempt=AttemptId("T9.9"), conversation="x"))
    assert sim.attempt().conversation == "c1"
