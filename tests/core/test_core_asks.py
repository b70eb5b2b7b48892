"""Permissions and questions by an agent's own means: the settings answer the routine ones, a person the others, each once."""

from andon.core.project import project
from andon.schema import effects as f, events as e, inputs as i
from andon.schema.jobs import Exit
from andon.schema.settings import Permissions
from core.interactive import A, answer, at_work
from core.playbook import Given, like, nothing
from core.sim import Sim

RULES = Permissions(allow=("shell(git status)",), deny=("shell(rm*)",))
GIT = i.AskSeen(attempt=A, ask="a1", tool="Bash", deed="shell", target="git status")
RM = i.AskSeen(attempt=A, ask="a2", tool="Bash", deed="shell", target="rm -r src")
PUSH = i.AskSeen(attempt=A, ask="a3", tool="Bash", deed="shell", target="git push")
WHICH = i.AskSeen(attempt=A, ask="q1", text="left or right?", options=("left", "right"))


def working() -> Sim:
    return at_work(permissions=RULES)


def test_a_conversation_is_recorded_once_a_change() -> None:
    told = i.ConversationSeen(attempt=A, conversation="c1", channel="hooks", interactive=True, metered="reported")
    other = i.ConversationSeen(attempt=A, conversation="c2", interactive=True)
    assert (
        Given.after(working()) >> told << nothing
        >> other << e.SessionKnown(attempt=A, conversation="c2", channel="hooks", interactive=True, metered="reported")
        >> other << nothing
    )


def test_the_settings_answer_what_they_name_and_the_channel_is_told() -> None:
    assert (
        Given.after(working())
        >> GIT << like(e.PermissionAsked, ask="a1")
        << e.PermissionDecided(attempt=A, ask="a1", allow=True, because="allowed by shell(git status)", by="policy")
        << f.AnswerAsk(attempt=A, ask="a1", allow=True)
        >> GIT << nothing
        >> i.AskAnswered(attempt=A, ask="a1", how="hook") << e.PermissionSettled(attempt=A, ask="a1", how="hook")
        >> i.AskAnswered(attempt=A, ask="a1", how="hook") << nothing
        >> GIT << nothing
        >> RM << like(e.PermissionAsked, ask="a2") << like(e.PermissionDecided, allow=False, by="policy")
        << f.AnswerAsk(attempt=A, ask="a2", allow=False, text="denied by shell(rm*)")
    )


def test_what_no_pattern_names_is_a_gate_that_a_person_answers() -> None:
    assert (
        Given.after(working())
        >> PUSH << like(e.PermissionAsked) << like(
            e.GateOpened, kind="permission", ask="a3", attempt=A, recommendation="", because="no pattern of [permissions] names it",
            question="T1.1 wants to run a command (Bash): git push")
        >> answer("G1", "deny", "never push") << like(e.GateAnswered, option="deny", by="me")
        << e.PermissionDecided(attempt=A, ask="a3", allow=False, because="never push", by="me")
        << f.AnswerAsk(attempt=A, ask="a3", allow=False, text="never push")
        >> i.AskAnswered(attempt=A, ask="a3", how="api") << like(e.PermissionSettled)
    )


def test_what_lies_outside_is_asked_with_the_highest_risk() -> None:
    sim = at_work(permissions=Permissions(default="allow", allow=("*",)))
    events = sim.give(i.AskSeen(attempt=A, ask="x", tool="Edit", deed="edit", target="/etc/hosts", paths=("/etc/hosts",)))
    opened = next(event for event in events if isinstance(event, e.GateOpened))
    assert (opened.risk, opened.because) == ("stop", "/etc/hosts is outside its checkout")


def test_asks_wait_their_turn_and_each_gets_its_own_answer() -> None:
    make = i.AskSeen(attempt=A, ask="a4", tool="Bash", deed="shell", target="make")
    assert (
        Given.after(working())
        >> PUSH << like(e.PermissionAsked) << like(e.GateOpened, ask="a3")
        >> make << like(e.PermissionAsked)
        >> WHICH << like(e.QuestionSeen)
        >> answer("G1", "allow") << like(e.GateAnswered) << like(e.PermissionDecided, ask="a3", allow=True)
        << like(e.GateOpened, ask="a4") << like(f.AnswerAsk, ask="a3", allow=True)
        >> answer("G2", "deny") << like(e.GateAnswered) << like(e.PermissionDecided, ask="a4", allow=False)
        << like(e.GateOpened, kind="question", ask="q1") << like(f.AnswerAsk, ask="a4")
        >> answer("G3", "right") << like(e.GateAnswered) << f.AnswerAsk(attempt=A, ask="q1", allow=True, text="right")
    )


def test_an_ask_that_was_answered_at_its_own_screen_voids_its_gate() -> None:
    gone = i.AskGone(attempt=A, ask="a3", how="at its screen")
    assert (
        Given.after(working())
        >> PUSH << ...
        >> gone << e.PermissionSettled(attempt=A, ask="a3", how="at its screen") << like(e.GateVoided, gate="G1")
        >> gone << nothing
        >> answer("G1", "allow") << nothing
        >> PUSH << like(e.PermissionAsked) << like(e.GateOpened)
    )


def test_a_question_that_no_channel_answers_is_answered_by_a_message() -> None:
    spoken = i.AskSeen(attempt=A, ask="q1", text="left or right?", answerable=False)
    assert (
        Given.after(working())
        >> spoken << like(e.QuestionSeen, by_message=True) << like(e.GateOpened, kind="question", question="left or right?")
        >> answer("G1", "answer", "left") << like(e.GateAnswered) << like(e.PermissionSettled, ask="q1")
        << like(e.MessageQueued, kind="answer", text="left") << like(f.DeliverMessage, text="left")
    )


def test_nothing_is_answered_for_an_agent_that_a_person_took_over_until_it_is_given_back() -> None:
    assert (
        Given.after(working())
        >> i.TakeOver(attempt=A, by="me") << e.SessionTaken(attempt=A, by="me")
        >> GIT << like(e.PermissionAsked)
        >> PUSH << like(e.PermissionAsked)
        >> i.GiveBack(attempt=A, by="me") << e.SessionGivenBack(attempt=A, by="me")
        << like(e.PermissionDecided, ask="a1", by="policy") << like(e.GateOpened, ask="a3") << like(f.AnswerAsk, ask="a1")
    )


def test_asks_of_an_agent_that_ended_are_gone_with_it() -> None:
    sim = working()
    sim.give(PUSH)
    events = sim.give(i.SessionEnded(attempt=A, exit=Exit(code=0)))
    assert [event for event in events if isinstance(event, e.GateVoided)]
    assert not sim.state.gates and not sim.attempt().open_asks


def test_an_answer_that_no_channel_takes_is_said_and_asked_again_when_it_is_seen_again() -> None:
    sim = working()
    sim.give(GIT)
    sim.fail(sim.until(f.AnswerAsk), A, transient=False)
    assert [problem.what for problem in sim.state.problems.values()] == [
        "T1.1 did not take the answer to Bash: no space left on device"]
    assert not sim.attempt().open_asks


def test_the_board_says_permission_and_shows_the_gate() -> None:
    sim = working()
    sim.give(PUSH)
    view = project(sim.state, {})["task:T1"]
    assert view.attention.startswith("permission: no pattern")  # type: ignore[union-attr]


def test_an_agent_cannot_flood_a_person_with_asks() -> None:
    sim = working()
    for n in range(200):
        sim.give(i.AskSeen(attempt=A, ask=f"z{n}", deed="shell", target="make"))
    assert len(sim.state.gates) == 1 and len(sim.attempt().open_asks) == 50
