"""Questions of agents and limits of time: both become gates, none is lost, none times out into a yes or a kill."""

from andon.core.refuse import refuse
from andon.core.schedule import next_deadline
from andon.schema import effects as f, events as e, inputs as i
from andon.schema.ids import AttemptId, GateId, TaskId
from andon.schema.jobs import Exit, Said
from andon.schema.settings import AgentSettings
from core.playbook import Given, like, nothing
from core.sim import Sim, loaded, settings

A = AttemptId("T1.1")
MINUTE = 60_000


def running(minutes: float = 90) -> Sim:
    """A factory with one agent at work."""
    sim = Sim(agents={"default": AgentSettings(name="default", use="scripted", minutes=minutes)})
    sim.add()
    sim.until(f.WatchSession)
    return sim


def ask(n: int, text: str, *options: str) -> i.AgentSaid:
    return i.AgentSaid(attempt=A, said=Said(n=n, kind="ask", text=text, options=options))


def answer(gate: str, option: str, because: str = "") -> i.AnswerGate:
    return i.AnswerGate(gate=GateId(gate), option=option, because=because, by="me")


def test_a_question_becomes_a_gate_and_its_answer_is_delivered_once() -> None:
    assert (
        Given.after(running())
        >> ask(1, "blue or red?", "blue", "red")
        << like(e.AttemptSaid, kind="ask") << like(e.GateOpened, kind="question", n=1, attempt=A, question="blue or red?")
        >> ask(1, "blue or red?", "blue", "red") << nothing
        >> answer("G1", "red") << like(e.GateAnswered, option="red", by="me") << f.DeliverAnswer(attempt=A, n=1, text="red")
        >> i.AnswerGiven(attempt=A, n=1) << e.AnswerDelivered(attempt=A, n=1)
        >> i.AnswerGiven(attempt=A, n=1) << nothing
    )


def test_an_answer_in_words_needs_words() -> None:
    sim = running()
    sim.give(ask(1, "what now?"))
    problem = refuse(sim.state, answer("G1", "answer", " "))
    assert problem is not None and problem.what == "answer needs words"
    sim.give(answer("G1", "answer", "paint it black"))
    assert sim.until(f.DeliverAnswer).text == "paint it black"


def test_two_questions_are_asked_one_after_the_other_and_both_are_answered() -> None:
    assert (
        Given.after(running())
        >> ask(1, "first?") << ... >> ask(2, "second?") << like(e.AttemptSaid, n=2)
        >> answer("G1", "answer", "one") << like(e.GateAnswered) << like(e.GateOpened, kind="question", n=2, question="second?")
        << like(f.DeliverAnswer, n=1, text="one")
        >> answer("G2", "answer", "two") << like(e.GateAnswered) << like(f.DeliverAnswer, n=2, text="two")
    )


def test_a_question_is_void_when_its_agent_has_ended() -> None:
    assert (
        Given.after(running())
        >> ask(1, "still there?") << ...
        >> i.SessionEnded(attempt=A, exit=Exit(code=0))
        << like(e.AttemptExited) << like(e.GateVoided, gate="G1", because=f"{A} has ended") << like(f.ImportWork)
        >> answer("G1", "answer", "too late") << nothing
    )


def test_other_words_are_recorded_and_open_nothing() -> None:
    sim = running()
    for n, kind in enumerate(("progress", "finished", "handoff"), start=1):
        said = Said(n=n, kind=kind, text=kind)  # type: ignore[arg-type]
        assert [e.kind_of(event) for event in sim.give(i.AgentSaid(attempt=A, said=said))] == ["attempt.said"]
    assert sim.attempt().says == "handoff"
    assert not sim.give(i.AgentSaid(attempt=AttemptId("T9.9"), said=Said(n=1, kind="ask", text="who?")))


def test_an_agent_cannot_flood_a_person_with_questions() -> None:
    sim = running()
    for n in range(1, 41):
        sim.give(ask(n, f"{n}?"))
    assert len(sim.state.gates) == 1
    assert len(sim.attempt().asks) == 20


def test_the_limit_suspends_the_agent_and_asks_a_person_and_never_kills_it() -> None:
    sim = running(minutes=5)
    assert next_deadline(sim.state, sim.now) == sim.attempt().started_at + 5 * MINUTE
    assert (
        Given.after(sim).later(5 * MINUTE - 1) >> i.Ticked() << nothing
    )
    assert (
        Given.after(sim).later(5 * MINUTE)
        >> i.Ticked() << like(e.AttemptPauseAsked, attempt=A)
        << like(e.GateOpened, kind="limit", attempt=A, question="T1.1 has worked 5 minutes, its limit. More time?")
        << f.SuspendSession(attempt=A, suspend=True)
        >> i.SuspendDone(attempt=A, suspended=True) << e.AttemptSuspended(attempt=A, suspended=True)
        >> i.SuspendDone(attempt=A, suspended=True) << nothing
        >> i.Ticked() << nothing
        >> answer("G1", "extend") << like(e.GateAnswered) << like(e.AttemptResumeAsked, minutes=5, by="me")
        << f.SuspendSession(attempt=A, suspend=False)
        >> i.SuspendDone(attempt=A, suspended=False) << e.AttemptSuspended(attempt=A, suspended=False)
    )


def test_more_time_runs_out_too() -> None:
    sim = running(minutes=5)
    for n in (1, 2, 3):
        sim.now = next_deadline(sim.state, sim.now)
        sim.give(i.Ticked())
        assert sim.now == sim.attempt().started_at + n * 5 * MINUTE
        sim.give(sim.answer(f.SuspendSession(attempt=A, suspend=True)))
        sim.decide_gate("extend")
        sim.give(sim.answer(f.SuspendSession(attempt=A, suspend=False)))
    assert sim.kinds().count("attempt.pause-asked") == 3


def test_an_agent_that_is_stopped_at_its_limit_is_snapshotted_and_the_task_goes_back() -> None:
    sim = running(minutes=5)
    sim.now += 5 * MINUTE
    sim.give(i.Ticked())
    assert (
        Given.after(sim)
        >> answer("G1", "stop") << like(e.GateAnswered) << like(e.AttemptStopAsked, attempt=A, by="me") << like(f.StopSession)
        >> i.StopDone(attempt=A, ref="refs/s", oid=sim.attempt().base, dirty=True) << like(e.WorkSalvaged, ref="refs/s", dirty=True)
        >> i.SessionEnded(attempt=A, exit=Exit(signal=15, because="stopped"))
        << like(e.AttemptExited) << like(e.AttemptFailed, failure="limit") << like(e.RetryScheduled, failure="limit")
        << like(e.TaskEntered) << like(e.AttemptClaimed, number=2) << like(f.RemoveCheckout) << like(f.PrepareCheckout)
    )


def test_a_limit_that_comes_while_a_question_is_open_pauses_the_agent_and_keeps_the_question() -> None:
    sim = running(minutes=5)
    sim.give(ask(1, "blue or red?"))
    assert (
        Given.after(sim).later(5 * MINUTE)
        >> i.Ticked() << like(e.AttemptPauseAsked) << like(f.SuspendSession, suspend=True)
        >> answer("G1", "answer", "blue") << like(e.GateAnswered) << like(e.GateOpened, kind="limit")
        << like(f.DeliverAnswer, text="blue")
        >> answer("G2", "extend") << like(e.GateAnswered) << like(e.AttemptResumeAsked)
        << f.SuspendSession(attempt=A, suspend=False)
    )


def test_an_agent_that_ends_before_it_was_suspended_is_read_and_its_limit_gate_is_void() -> None:
    sim = running(minutes=5)
    sim.now += 5 * MINUTE
    sim.give(i.Ticked())
    assert (
        Given.after(sim)
        >> i.SessionEnded(attempt=A, exit=Exit(code=0))
        << like(e.AttemptExited) << like(e.GateVoided, gate="G1") << like(f.ImportWork)
        >> answer("G1", "extend") << nothing
    )


def test_an_agent_without_settings_gets_the_ordinary_limit() -> None:
    sim = running(minutes=5)
    sim.give(i.SettingsSeen(repo=next(iter(sim.trunk)), loaded=loaded(settings(agents={}))))
    assert next_deadline(sim.state, sim.now) == sim.attempt().started_at + 90 * MINUTE
    sim.now += 90 * MINUTE
    sim.give(i.Ticked())
    assert isinstance(sim.decide_gate("extend")[1], e.AttemptResumeAsked)
    assert sim.attempt().allowed_minutes == 30.0


def test_answers_to_what_is_not_open_are_refused_with_the_open_ones() -> None:
    sim = running()
    sim.give(ask(1, "what?", "a"))
    gone, other = refuse(sim.state, answer("G9", "a")), refuse(sim.state, answer("G1", "z"))
    assert gone is not None and gone.mend == "open gates: G1"
    assert other is not None and other.mend == "one of: a, answer"
    assert sim.task(TaskId("T1")).gate == "G1"
