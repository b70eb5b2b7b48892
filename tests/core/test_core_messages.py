"""Words into a session: in order, one at a time, never twice, and none is lost without a word."""

import pytest

from andon.core.refuse import refuse
from andon.core.schedule import next_deadline
from andon.schema import effects as f, events as e, inputs as i
from andon.schema.ids import AttemptId
from andon.schema.jobs import Exit
from core.interactive import A, at_work
from core.playbook import Given, like, nothing


def send(text: str, key: str = "") -> i.SendMessage:
    return i.SendMessage(attempt=A, text=text, key=key, by="me")


def test_messages_are_delivered_one_after_the_other_and_the_same_key_once() -> None:
    assert (
        Given.after(at_work())
        >> send("first", "k") << like(e.MessageQueued, message="M1", kind="send", text="first", by="me", key="k")
        << f.DeliverMessage(attempt=A, message="M1", text="first")
        >> send("first", "k") << nothing
        >> send("second") << like(e.MessageQueued, message="M2")
        >> i.MessageSent(attempt=A, message="M1", how="api") << e.MessageDelivered(attempt=A, message="M1", how="api")
        << f.DeliverMessage(attempt=A, message="M2", text="second")
        >> i.MessageSent(attempt=A, message="M1", how="api") << nothing
        >> send("first", "k") << nothing
    )


def test_a_message_without_a_receipt_waits_for_it_and_is_never_given_again() -> None:
    assert (
        Given.after(at_work())
        >> send("hello") << ...
        >> i.MessageSent(attempt=A, message="M1") << e.MessageGiven(attempt=A, message="M1")
        >> i.MessageSent(attempt=A, message="M1") << nothing
        >> send("next") << like(e.MessageQueued, message="M2")
        >> i.ReceiptSeen(attempt=A, message="M1", how="transcript")
        << e.MessageDelivered(attempt=A, message="M1", how="transcript") << like(f.DeliverMessage, message="M2")
    )


def test_without_a_receipt_in_time_it_is_returned_as_unsure_and_that_is_said() -> None:
    sim = at_work()
    sim.give(send("hello"))
    sim.give(i.MessageSent(attempt=A, message="M1"))
    assert next_deadline(sim.state, sim.now) == sim.now + 60_000
    assert (
        Given.after(sim).later(59_999) >> i.Ticked() << nothing
    )
    assert (
        Given.after(sim).later(60_000)
        >> i.Ticked() << like(e.MessageReturned, message="M1", unsure=True)
        << like(e.ProblemNoticed, key="message:M1", what=lambda what: "M1 of me may not have reached T1.1" in what)
        >> i.ReceiptSeen(attempt=A, message="M1", how="hook") << nothing
    )


def test_a_refused_message_is_said_when_it_was_a_persons() -> None:
    assert (
        Given.after(at_work())
        >> send("hello") << ...
        >> i.MessageRefused(attempt=A, message="M1", because="no prompt") << like(e.MessageReturned, unsure=False)
        << like(e.ProblemNoticed, what="M1 of me did not reach T1.1: no prompt")
        >> i.Nudge(attempt=A, by="me") << like(e.MessageQueued, message="M2", kind="nudge", by="andon",
                                               text=lambda text: text.startswith("[andon M2] "))
        << like(f.DeliverMessage, message="M2")
        >> i.MessageRefused(attempt=A, message="M2", because="no prompt") << like(e.MessageReturned)
    )


def test_a_deed_that_keeps_failing_returns_its_message_and_the_next_one_has_its_turn() -> None:
    sim = at_work()
    sim.give(send("one"))
    sim.give(send("two"))
    sim.fail(sim.until(f.DeliverMessage, message="M1"), A)
    assert not sim.events(e.MessageReturned)
    sim.now = next_deadline(sim.state, sim.now)
    again = sim.until(f.DeliverMessage, message="M1")
    assert again.try_ == 1
    sim.fail(again, A, transient=False)
    assert sim.until(f.DeliverMessage).message == "M2"


def test_a_session_that_ends_returns_what_it_did_not_get() -> None:
    sim = at_work()
    for text in ("one", "two"):
        sim.give(send(text))
    events = sim.give(i.SessionEnded(attempt=A, exit=Exit(code=0)))
    assert [event.message for event in events if isinstance(event, e.MessageReturned)] == ["M1", "M2"]
    assert set(sim.state.problems) == {"message:M1", "message:M2"}
    sim.run()
    assert sim.task().outcome == "done" and not sim.state.problems, "it is said until the task is over"


def test_words_wait_while_the_agent_stands_at_a_dialog() -> None:
    assert (
        Given.after(at_work())
        >> i.AskSeen(attempt=A, ask="a", deed="shell", target="make") << ...
        >> send("hello") << like(e.MessageQueued)
        >> i.AskGone(attempt=A, ask="a") << like(e.PermissionSettled) << like(e.GateVoided) << like(f.DeliverMessage, message="M1")
    )


def test_an_interrupt_is_told_once_and_its_end_is_recorded() -> None:
    sim = at_work()
    assert (
        Given.after(sim)
        >> i.Interrupt(attempt=A, by="me", because="stop") << e.InterruptAsked(attempt=A, n=1, by="me", because="stop")
        << f.InterruptTurn(attempt=A, n=1)
        >> i.Interrupt(attempt=A, by="me") << nothing
        >> i.Interrupted(attempt=A, n=1, how="api") << e.InterruptDone(attempt=A, n=1, how="api")
        >> i.Interrupted(attempt=A, n=1, how="api") << nothing
        >> i.Interrupt(attempt=A, by="me") << like(e.InterruptAsked, n=2) << f.InterruptTurn(attempt=A, n=2)
    )


def test_too_many_and_too_long_messages_are_refused_with_the_bound() -> None:
    sim = at_work()
    long = refuse(sim.state, send("é" * 33_000))
    assert long is not None and long.what == "the message has 66000 bytes, the most that is sent is 65536"
    for n in range(50):
        sim.give(send(str(n)))
    full = refuse(sim.state, send("more"))
    assert full is not None and full.what == "50 messages wait for T1.1 already"
    assert not sim.give(send("more"))


COMMANDS = (
    i.SendMessage(attempt=AttemptId("T1.2"), text="x"), i.Nudge(attempt=AttemptId("T1.2")), i.Interrupt(attempt=AttemptId("T1.2")),
    i.TakeOver(attempt=AttemptId("T1.2")), i.GiveBack(attempt=AttemptId("T1.2")), i.RestartSession(attempt=AttemptId("T1.2")),
)


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: type(command).__name__)
def test_a_session_that_is_not_there_is_named_with_the_nearest(command: i.Command) -> None:
    problem = refuse(at_work().state, command)
    assert problem is not None
    assert (problem.what, problem.mend) == ("there is no session T1.2", "did you mean T1.1?")


def test_what_cannot_be_done_now_is_refused_with_its_reason() -> None:
    sim = at_work(interactive=False)
    told = [refuse(sim.state, command) for command in (
        send("x"), i.Nudge(attempt=A), i.GiveBack(attempt=A), i.ReassignTask(task=sim.task().task, agent="othr"),
        i.ReassignTask(task=sim.task().task, agent="default"))]
    assert [problem.what if problem else "" for problem in told] == [
        "agent default takes no words while it works", "agent default takes no words while it works",
        "session T1.1 was not taken over", "r0 has no agent othr", "T1 is with agent default already"]
    sim.give(i.TakeOver(attempt=A, by="me"))
    for command in (i.TakeOver(attempt=A, by="you"), i.RestartSession(attempt=A, by="you")):
        problem = refuse(sim.state, command)
        assert problem is not None and "taken over by me" in problem.what
    assert refuse(sim.state, i.RestartSession(attempt=A, by="me")) is None
    sim.give(i.RestartSession(attempt=A, by="me"))
    ending = refuse(sim.state, i.TakeOver(attempt=A, by="me"))
    assert ending is not None and ending.what == "session T1.1 is ending: restarted by me"
