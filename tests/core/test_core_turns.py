"""Turns of interactive agents: the daemon looks at the work itself, ends what is finished, and says once what is missing."""

import pytest

from andon.schema import effects as f, events as e, inputs as i
from andon.schema.jobs import Exit, Said
from core.interactive import A, answer, at_work, turn, work
from core.playbook import Given, like, nothing
from core.sim import Sim


def looked(text: str = "done") -> Sim:
    """A turn is over and its look is owed."""
    sim = at_work()
    sim.give(turn(1, text))
    assert sim.until(f.LookAtWork).n == 1
    return sim


def test_committed_and_clean_work_ends_the_session_and_is_judged_as_always() -> None:
    sim = at_work()
    assert (
        Given.after(sim)
        >> turn(1, "all done") << like(e.TurnSeen, n=1, text="all done") << like(f.LookAtWork, n=1, text="all done")
        >> turn(1, "all done") << nothing
        >> work(1, committed=True) << e.WorkLooked(attempt=A, n=1, committed=True, dirty=False)
        << like(e.FinishAsked, because="its turn is over and its work is committed") << f.EndSession(attempt=A, sitting=1)
        >> work(1, committed=True) << nothing
        >> i.FinishDone(attempt=A) << e.FinishTold(attempt=A)
        >> i.FinishDone(attempt=A) << nothing
        >> i.SessionEnded(attempt=A, exit=Exit(signal=15, because="stopped")) << like(e.AttemptExited) << like(f.ImportWork)
    )
    sim.give(turn(1))
    sim.give(work(1, committed=True))
    sim.exit = lambda effect: i.SessionEnded(attempt=effect.attempt, exit=Exit(signal=15, because="stopped"))
    sim.run()
    assert sim.task().outcome == "done"


def test_a_crash_while_it_is_asked_to_finish_is_still_a_crash() -> None:
    sim = at_work(conversation="")
    sim.give(turn(1))
    sim.give(work(1, committed=True))
    sim.give(i.SessionEnded(attempt=A, exit=Exit(code=1)))
    read = sim.until(f.ImportWork)
    sim.give(sim.honest_work(read, commit=read.base))
    assert sim.events(e.AttemptFailed)[-1].failure == "crash"


def test_missing_work_is_said_once_and_then_judged_by_git() -> None:
    assert (
        Given.after(looked())
        >> work(1, committed=False, dirty=True) << like(e.WorkLooked)
        << like(e.MessageQueued, kind="nudge", message="M1", text=lambda text: text.startswith("[andon M1] Your turn is over, but ")
                and "no new commit" in text and "uncommitted changes" in text)
        << like(f.DeliverMessage)
        >> i.MessageSent(attempt=A, message="M1", how="hook") << like(e.MessageDelivered)
        >> turn(2) << like(e.TurnSeen, n=2) << like(f.LookAtWork, n=2)
        >> work(2, committed=True, dirty=True) << like(e.WorkLooked)
        << like(e.FinishAsked, because=lambda text: "uncommitted changes beside your commit" in text) << like(f.EndSession)
    )


QUESTIONS = ("Should I use tabs or spaces?", "I see two ways.\n\nWhich one do you prefer?", "Please confirm the plan.")


@pytest.mark.parametrize("words", QUESTIONS)
def test_last_words_that_ask_become_a_gate_and_the_answer_a_message(words: str) -> None:
    assert (
        Given.after(looked(words))
        >> work(1, committed=False) << like(e.WorkLooked) << like(e.QuestionSeen, by_message=True)
        << like(e.GateOpened, kind="question", attempt=A, question=words.split("\n\n")[-1])
        >> answer("G1", "answer", "spaces") << like(e.GateAnswered) << like(e.PermissionSettled)
        << like(e.MessageQueued, kind="answer", text="spaces") << like(f.DeliverMessage)
        >> i.MessageSent(attempt=A, message="M1", how="api") << like(e.MessageDelivered)
        >> turn(2) << like(e.TurnSeen) << like(f.LookAtWork, n=2)
        >> work(2, committed=False) << like(e.WorkLooked) << like(e.MessageQueued, kind="nudge") << like(f.DeliverMessage)
    )


def test_a_question_beside_finished_work_does_not_hold_it_up() -> None:
    sim = looked("All done. Anything else?")
    assert any(isinstance(event, e.FinishAsked) for event in sim.give(work(1, committed=True)))


def test_an_agent_that_says_it_is_finished_is_judged_as_it_is() -> None:
    sim = at_work()
    sim.give(i.AgentSaid(attempt=A, said=Said(n=1, kind="finished", text="done")))
    sim.give(turn(1))
    events = sim.give(work(1, committed=False))
    assert [event.because for event in events if isinstance(event, e.FinishAsked)] == ["it says that it is finished"]


def test_a_turn_with_work_in_the_background_is_no_end_yet() -> None:
    assert (
        Given.after(at_work())
        >> turn(1, background=2) << nothing
        >> turn(1) << like(e.TurnSeen, n=1) << like(f.LookAtWork)
    )


def test_a_failed_turn_is_not_looked_at() -> None:
    assert (
        Given.after(at_work())
        >> turn(1, trouble="rate-limit") << like(e.TurnSeen, trouble="rate-limit")
        >> turn(2) << like(e.TurnSeen, n=2) << like(f.LookAtWork, n=2)
    )


def test_a_look_at_an_older_turn_decides_nothing() -> None:
    sim = looked()
    sim.give(turn(2))
    assert not sim.give(work(1, committed=True))
    assert any(isinstance(event, e.FinishAsked) for event in sim.give(work(2, committed=True)))


def test_words_on_their_way_are_delivered_before_a_session_is_ended() -> None:
    sim = looked()
    sim.give(i.SendMessage(attempt=A, text="one more thing", by="me"))
    assert [type(event) for event in sim.give(work(1, committed=True))] == [e.WorkLooked]
    assert sim.until(f.DeliverMessage).text == "one more thing"


def test_nothing_is_looked_at_nor_ended_while_a_person_has_it() -> None:
    sim = at_work()
    assert (
        Given.after(sim)
        >> i.TakeOver(attempt=A, by="me") << like(e.SessionTaken)
        >> turn(1) << like(e.TurnSeen)
        >> work(1, committed=True) << nothing
        >> i.GiveBack(attempt=A, by="me") << like(e.SessionGivenBack) << like(f.LookAtWork)
        >> work(1, committed=True) << like(e.WorkLooked) << like(e.FinishAsked) << like(f.EndSession)
    )


def test_what_was_asserted_and_is_not_so_is_recorded_once_and_fed_back_once() -> None:
    wrong = (("committed abc1234", "there is no such commit"), ("created a.py", "there is no such file"))
    assert (
        Given.after(looked())
        >> work(1, committed=True, contradictions=wrong) << like(e.WorkLooked)
        << like(e.ClaimContradicted, asserted="committed abc1234") << like(e.ClaimContradicted, asserted="created a.py")
        << like(e.MessageQueued, kind="divergence", text=lambda text: "“created a.py” (there is no such file)" in text)
        << like(f.DeliverMessage)
        >> i.MessageSent(attempt=A, message="M1", how="hook") << like(e.MessageDelivered)
        >> i.AssertionSeen(attempt=A, asserted="created a.py", observed="there is no such file") << nothing
        >> turn(2) << ...
        >> work(2, committed=True, contradictions=wrong) << like(e.WorkLooked) << like(e.FinishAsked) << like(f.EndSession)
    )


def test_a_headless_agent_is_never_spoken_to_and_its_turns_decide_nothing() -> None:
    sim = at_work(interactive=False)
    assert [type(event) for event in sim.give(turn(1))] == [e.TurnSeen]
    assert not [effect for effect in sim.owed() if isinstance(effect, f.LookAtWork)]
    assert [type(event) for event in sim.give(i.AssertionSeen(attempt=A, asserted="x", observed="y"))] == [e.ClaimContradicted]


def test_an_interactive_agent_that_leaves_by_itself_is_read_as_any_other() -> None:
    sim = at_work()
    sim.run()
    assert sim.task().outcome == "done" and not sim.events(e.FinishAsked)
