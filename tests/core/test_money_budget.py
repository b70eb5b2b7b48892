"""Money while an agent runs: at a cap it is asked once to hand back, then suspended, and a person decides. Nothing is killed."""

from typing import Any

import pytest

from andon.core import money
from andon.core.schedule import next_deadline
from andon.schema import effects as f, events as e, inputs as i
from andon.schema.ids import AttemptId, RepoId
from andon.schema.settings import AgentSettings, Budget, FactorySettings, Line
from core.sim import STATIONS, Sim, loaded, settings

A, R = AttemptId("T1.1"), RepoId("r0")


def running(budget: Budget | None = None, *, interactive: bool = False, tasks: int = 1, **changes: Any) -> Sim:
    """Tasks whose sessions run."""
    made = Sim(**{"budget": budget or Budget(), "wip": 9, **changes})
    for _ in range(tasks):
        made.add()
    while steps := [effect for effect in made.owed() if isinstance(effect, f.PrepareCheckout | f.StartSession)]:
        made.give(made.answer(steps[0]))
    for n in range(1, tasks + 1):
        if interactive:
            made.give(i.ConversationSeen(attempt=AttemptId(f"T{n}.1"), conversation="c", channel="http", interactive=True))
    return made


def spend(made: Sim, usd: float, attempt: AttemptId = A, **more: Any) -> list[e.Event]:
    """The session tells its sum."""
    fields: dict[str, Any] = {"output": int(usd * 1000), "metered": "reported", "requests": 1} | more
    return made.give(i.UsageSeen(attempt=attempt, usd=usd, **fields))


def turn_over(made: Sim, turn: int = 1) -> list[e.Event]:
    """A turn ends."""
    return made.give(i.TurnOver(attempt=A, turn=turn, text="done so far"))


def delivered(made: Sim) -> list[e.Event]:
    """The oldest message is seen inside the session."""
    message = made.attempt().outbox[0]
    return made.give(i.MessageSent(attempt=A, message=message.message, how="hook"))


def hand_backs(made: Sim) -> list[e.MessageQueued]:
    """Requests to hand back so far."""
    return [event for event in made.events(e.MessageQueued) if event.kind == "hand-back"]


CAPS: dict[str, tuple[Budget, FactorySettings, dict[str, Any]]] = {
    "attempt": (Budget(attempt_usd=2), FactorySettings(), {}), "task": (Budget(usd=2), FactorySettings(), {}),
    "day": (Budget(day_usd=2), FactorySettings(), {}), "factory-day": (Budget(), FactorySettings(day_usd=2), {}),
    "agent": (Budget(), FactorySettings(), {"agents": {"default": AgentSettings(name="default", use="scripted", usd_day=2)}}),
    "line": (Budget(), FactorySettings(), {"lines": {"build": Line(name="build", stations=STATIONS, usd_day=2)}}),
    "tokens": (Budget(tokens=2000), FactorySettings(), {}),
}


@pytest.mark.parametrize("cap", CAPS)
def test_an_agent_that_cannot_be_spoken_to_is_suspended_at_its_cap_and_a_gate_asks(cap: str) -> None:
    budget, factory, changes = CAPS[cap]
    made = Sim(budget=budget, **changes)
    made.give(i.PersonSettingsSeen(settings=factory))
    made.add()
    made.until(f.WatchSession)
    assert not [event for event in spend(made, 1.9) if isinstance(event, e.BudgetReached)]
    reached = spend(made, 2.1)
    hit = next(event for event in reached if isinstance(event, e.BudgetReached))
    assert hit.cap == cap and ("2,000 tokens" if cap == "tokens" else "$2.00") in hit.because
    assert made.attempt().pause_asked and made.gate().kind == "budget" and not hand_backs(made)
    assert any(isinstance(effect, f.SuspendSession) and effect.suspend for effect in made.owed())
    assert not made.events(e.AttemptStopAsked)
    made.do(f.SuspendSession)
    assert next_deadline(made.state, made.now) == 0, "it waits for a person and for nothing else"


def test_an_agent_in_a_turn_is_asked_once_to_hand_back_and_suspended_when_that_turn_is_over() -> None:
    made = running(Budget(attempt_usd=2), interactive=True)
    spend(made, 2.5)
    asked = hand_backs(made)
    assert len(asked) == 1 and "Commit what you have now" in asked[0].text and "$2.50" in asked[0].text
    spend(made, 2.7)
    spend(made, 2.9)
    assert len(hand_backs(made)) == 1 and len(made.events(e.BudgetReached)) == 1
    assert not made.attempt().pause_asked
    delivered(made)
    assert not made.attempt().pause_asked, "its turn has just begun"
    turn_over(made)
    assert made.attempt().pause_asked and made.gate().kind == "budget"


def test_a_turn_that_ends_before_the_request_arrives_is_not_the_one_that_hands_back() -> None:
    made = running(Budget(attempt_usd=2), interactive=True)
    spend(made, 2.5)
    turn_over(made, 1)
    assert not made.attempt().pause_asked, "the request waits to be read"
    delivered(made)
    assert not made.attempt().pause_asked
    turn_over(made, 2)
    assert made.attempt().pause_asked


def test_who_does_not_hand_back_is_suspended_after_three_minutes() -> None:
    made = running(Budget(attempt_usd=2), interactive=True)
    spend(made, 2.5)
    delivered(made)
    assert next_deadline(made.state, made.now) == made.now + money.HAND_BACK_MS
    made.now += money.HAND_BACK_MS
    made.give(i.Ticked())
    assert made.attempt().pause_asked and made.gate().kind == "budget"


def test_a_request_that_could_not_be_delivered_is_not_waited_for() -> None:
    made = running(Budget(attempt_usd=2), interactive=True)
    spend(made, 2.5)
    message = made.attempt().outbox[0]
    made.give(i.MessageRefused(attempt=A, message=message.message, because="its prompt was not found"))
    assert made.attempt().pause_asked and made.gate().kind == "budget"


def test_a_person_raises_it_and_the_agent_is_told_to_go_on() -> None:
    made = running(Budget(attempt_usd=2), interactive=True)
    spend(made, 2.5)
    delivered(made)
    turn_over(made)
    came = made.decide_gate("raise", because="it is worth it")
    raised = next(event for event in came if isinstance(event, e.BudgetRaised))
    assert raised.usd == pytest.approx(2.5), "what was overspent, and one reservation on top"
    attempt = made.attempt()
    assert (attempt.pause_asked, attempt.budget_hit) == (False, "") and attempt.raised_usd == pytest.approx(2.5)
    resumed = next(event for event in came if isinstance(event, e.AttemptResumeAsked))
    assert resumed.minutes == 0
    told = next(event for event in came if isinstance(event, e.MessageQueued))
    assert "Your budget was raised: $2.50 more" in told.text and "it is worth it" in told.text
    spend(made, 4.4)
    assert len(made.events(e.BudgetReached)) == 1
    spend(made, 4.6)
    assert len(made.events(e.BudgetReached)) == 2


def test_a_person_stops_it_and_its_work_is_kept() -> None:
    made = running(Budget(usd=2))
    spend(made, 2.5)
    made.do(f.SuspendSession)
    made.decide_gate("stop")
    assert made.events(e.AttemptStopAsked)[0].because == "stopped by a person at its budget"
    made.do(f.StopSession)
    assert made.attempt().salvage


def test_raising_tokens_raises_tokens() -> None:
    made = running(Budget(tokens=1000))
    spend(made, 0.0, output=1500, metered="gateway")
    made.decide_gate("raise")
    assert (made.attempt().raised_usd, made.attempt().raised_tokens) == (0.0, 1500)
    assert not made.attempt().pause_asked


def test_a_cap_that_many_share_stops_all_of_them_and_a_raise_lets_them_go_on() -> None:
    made = running(Budget(day_usd=10, reserve_usd=2), tasks=3)
    spend(made, 1.0, AttemptId("T2.1"))
    spend(made, 9.5)
    assert {event.attempt for event in made.events(e.BudgetReached)} == {"T1.1", "T2.1", "T3.1"}
    made.decide_gate("raise", "T1")
    assert not made.attempt("T1.1").pause_asked and made.attempt("T2.1").pause_asked


def test_a_gate_about_a_session_that_has_ended_is_void() -> None:
    made = running(Budget(usd=2))
    spend(made, 2.5)
    made.give(i.SessionEnded(attempt=A, because="somebody ended it"))
    assert [event.because for event in made.events(e.GateVoided)] == ["T1.1 has ended"]


def test_another_gate_is_answered_first_and_then_the_one_about_money_asks() -> None:
    made = running(Budget(usd=2))
    made.ask(A, 1, "red or blue?")
    spend(made, 2.5)
    assert made.attempt().pause_asked and made.gate().kind == "question"
    made.decide_gate("answer", because="red")
    assert made.gate().kind == "budget"


def test_a_cap_that_is_lowered_below_what_was_spent_is_reached_at_once() -> None:
    made = running(Budget(usd=50))
    spend(made, 9.0)
    made.give(i.SettingsSeen(repo=R, loaded=loaded(settings(budget=Budget(usd=5)))))
    assert made.attempt().budget_hit == "task" and made.attempt().pause_asked


def test_a_session_that_a_person_drives_is_left_to_them_until_it_is_given_back() -> None:
    made = running(Budget(usd=2))
    made.give(i.TakeOver(attempt=A, by="me"))
    spend(made, 2.5)
    assert not made.attempt().budget_hit
    made.give(i.GiveBack(attempt=A, by="me"))
    assert made.attempt().budget_hit == "task"


def test_paused_by_time_and_over_its_budget_it_is_asked_about_time_first() -> None:
    made = running(Budget(usd=2))
    made.now += 91 * 60_000
    made.give(i.Ticked())
    spend(made, 2.5)
    assert made.gate().kind == "limit" and not made.attempt().budget_hit
    made.decide_gate("extend")
    assert made.gate().kind == "budget"
