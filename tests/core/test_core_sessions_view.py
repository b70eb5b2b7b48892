"""What the board says of a running session: its cause, its sitting, who has it, what it spent, and what was done about it."""

from andon.core.project import project
from andon.core.schedule import next_deadline
from andon.schema import effects as f, inputs as i, views as v
from andon.schema.jobs import Exit
from andon.schema.settings import FactorySettings, Step
from andon.schema.signals import Verdict
from core.interactive import A, at_work, verdict
from core.sim import Sim


def session(sim: Sim, seen: Verdict | None = None) -> v.SessionView:
    view = project(sim.state, {A: seen} if seen else {})[f"session:{A}"]
    assert isinstance(view, v.SessionView)
    return view


def test_a_session_says_how_it_is_spoken_to_and_what_its_verdict_rests_on() -> None:
    sim = at_work()
    sim.give(i.SendMessage(attempt=A, text="hello", by="me"))
    sim.give(i.TakeOver(attempt=A, by="me"))
    told = session(sim, Verdict(
        health="hung", because="nothing moves", source="gateway", since=5, cause="hung-stream", rule="hung", evidence=("90 s",),
        confidence="likely", conflict="the pane shows a spinner", until=7,
    ))
    assert (told.channel, told.conversation, told.sitting, told.taken, told.outbox, told.account) == (
        "hooks", "c1", 1, "me", 1, "scripted")
    assert (told.health, told.cause, told.rule, told.evidence, told.confidence, told.conflict, told.until) == (
        "hung", "hung-stream", "hung", ("90 s",), "likely", "the pane shows a spinner", 7)


def test_a_session_that_nobody_saw_is_unknown() -> None:
    assert session(at_work()).health == "unknown"


def test_what_was_done_about_the_present_cause_is_shown() -> None:
    sim = at_work(FactorySettings(ladders={"tool-loop": (Step(do="wait", after_s=1), Step(do="gate", after_s=1))}))
    sim.give(verdict("tool-loop", "looping"))
    for _ in range(2):
        sim.now = next_deadline(sim.state, sim.now)
        sim.give(i.Ticked())
    assert session(sim).ladder == ("wait", "gate")


def test_a_session_that_is_started_again_says_so() -> None:
    sim = at_work()
    sim.give(i.SessionEnded(attempt=A, exit=Exit(code=1)))
    sim.do(f.ImportWork)
    told = session(sim)
    assert (told.health, told.because, told.sitting) == ("starting", "it is started again in its checkout, for the 1st time", 2)


def test_a_question_by_its_own_means_keeps_the_verdict_that_was_seen() -> None:
    sim = at_work()
    sim.give(i.AskSeen(attempt=A, ask="q", text="left or right?"))
    told = session(sim, Verdict(health="waiting-answer", because="it asks", source="api", since=1, cause="question"))
    assert (told.health, told.source) == ("waiting-answer", "api")
    card = project(sim.state, {})["task:T1"]
    assert isinstance(card, v.TaskView) and (card.state, card.attention.partition(":")[0]) == ("waiting", "question")
