"""Ladders: the mildest step first, each once its time has come, and a person after the last. Nothing here kills."""

import pytest

from andon.core.project import project
from andon.core.schedule import next_deadline
from andon.schema import effects as f, events as e, inputs as i
from andon.schema.health import Cause, Rung
from andon.schema.settings import FactorySettings, Step
from andon.schema.signals import Verdict
from core.interactive import AGENTS, A, answer, at_work, turn, verdict
from core.playbook import Given, like, nothing
from core.sim import Sim

HUNG: tuple[Step, ...] = (
    Step(do="wait", after_s=30), Step(do="nudge", after_s=60, times=2), Step(do="interrupt", after_s=60),
    Step(do="restart", after_s=60), Step(do="gate", after_s=60),
)
WELL = i.HealthSeen(attempt=A, verdict=Verdict(health="working", because="a tool runs", source="hook", since=0))


def stuck(*steps: Step, cause: Cause = "hung-stream", breaker: int = 6, **changes: object) -> Sim:
    sim = at_work(FactorySettings(ladders={cause: steps or HUNG}, breaker=breaker), **changes)  # type: ignore[arg-type]
    sim.give(verdict(cause))
    return sim


def tick(sim: Sim) -> list[Rung]:
    """To the next deadline; the rungs that were taken."""
    sim.now = next_deadline(sim.state, sim.now)
    return [event.rung for event in sim.give(i.Ticked()) if isinstance(event, e.RungTaken)]


def deliver(sim: Sim) -> None:
    for effect in sim.owed():
        if isinstance(effect, f.DeliverMessage | f.InterruptTurn):
            sim.give(sim.answer(effect))


def test_a_cause_is_recorded_once_while_it_stands() -> None:
    seen = like(e.StuckSeen, cause="hung-stream", health="hung", source="hook", evidence=("90 s of silence",))
    assert (
        Given.after(at_work())
        >> verdict("hung-stream") << seen
        >> verdict("hung-stream") << nothing
        >> verdict("tool-loop", "looping") << e.StuckGone(attempt=A, cause="hung-stream") << like(e.StuckSeen, cause="tool-loop")
        >> WELL << e.StuckGone(attempt=A, cause="tool-loop")
        >> WELL << nothing
    )


@pytest.mark.parametrize("cause", ["", "permission", "question"])
def test_what_is_a_gate_of_its_own_has_no_ladder(cause: Cause) -> None:
    assert not at_work().give(verdict(cause))


def test_the_steps_are_taken_in_their_order_each_when_its_time_has_come() -> None:
    sim, taken = stuck(), list[Rung]()
    start = sim.now
    for _ in range(5):
        taken += tick(sim)
        deliver(sim)
    assert taken == ["wait", "nudge", "nudge", "interrupt", "restart"]
    assert sim.now - start == 1000 * (30 + 60 + 60 + 60 + 60)
    assert [event.kind for event in sim.events(e.MessageQueued)] == ["nudge", "nudge"]
    assert sim.events(e.InterruptAsked)[-1].by == "andon"
    assert sim.events(e.AttemptStopAsked)[-1].then == "restart"


def test_a_cause_that_goes_and_comes_back_waits_anew_but_its_steps_are_counted_on() -> None:
    sim = stuck()
    assert [tick(sim), tick(sim)] == [["wait"], ["nudge"]]
    deliver(sim)
    sim.give(WELL)
    sim.give(verdict("hung-stream"))
    since = sim.now
    assert tick(sim) == ["nudge"] and sim.now - since == 60_000
    assert sim.attempt().rungs == (("hung-stream", "wait"), ("hung-stream", "nudge"), ("hung-stream", "nudge"))


def test_the_gate_shows_the_evidence_and_each_answer_does_what_it_says() -> None:
    sim = stuck(Step(do="gate", after_s=5))
    assert tick(sim) == ["gate"]
    opened = sim.events(e.GateOpened)[-1]
    assert opened.kind == "stuck" and "90 s of silence" in opened.because
    assert [option.key for option in opened.options] == ["wait", "nudge", "interrupt", "restart", "stop", "cancel"]
    card = project(sim.state, {})["task:T1"]
    assert card.attention.startswith("stuck: ")  # type: ignore[union-attr]
    told: dict[str, type[e.Event]] = {
        "nudge": e.MessageQueued, "interrupt": e.InterruptAsked, "restart": e.AttemptStopAsked, "stop": e.AttemptStopAsked,
        "cancel": e.TaskFailed,
    }
    for option, kind in told.items():
        came = (Given.after(sim) >> answer("G1", option)).came
        assert any(isinstance(event, kind) for event in came), option
    assert (Given.after(sim) >> answer("G1", "wait") << like(e.GateAnswered))


def test_after_a_person_said_wait_the_question_comes_again_later_and_goes_when_it_moves() -> None:
    sim = stuck(Step(do="gate", after_s=5))
    tick(sim)
    sim.decide_gate("wait")
    answered = sim.now
    assert tick(sim) == ["gate"] and sim.now - answered == 900_000
    assert [type(event) for event in sim.give(WELL)] == [e.StuckGone, e.GateVoided]


def test_the_breaker_makes_everything_further_a_gate() -> None:
    sim = stuck(Step(do="nudge", after_s=20, times=99), breaker=3)
    taken: list[Rung] = []
    for _ in range(6):
        taken += tick(sim)
        deliver(sim)
        if sim.state.gates:
            break
    assert taken == ["nudge", "nudge", "nudge", "gate"]


def test_steps_without_grace_still_keep_apart() -> None:
    sim = stuck(Step(do="nudge", times=3), Step(do="gate", after_s=60))
    assert [event.rung for event in sim.events(e.RungTaken)] == ["nudge"]
    deliver(sim)
    before = sim.now
    assert tick(sim) == ["nudge"] and sim.now - before == 10_000


def test_a_limit_is_waited_for_and_its_end_when_the_account_is_freed() -> None:
    sim = at_work(FactorySettings(ladders={"rate-limit": (Step(do="nudge", after_s=5), Step(do="gate", after_s=60))}))
    until = sim.now + 3_600_000
    events = sim.give(verdict("rate-limit", "rate-limited", until=until))
    assert [type(event) for event in events] == [e.StuckSeen, e.AccountLimited]
    while not sim.events(e.RungTaken):
        tick(sim)
    assert sim.now == until + 5_000, "nothing is done before the limit is over"


def test_a_limit_that_a_person_says_is_over_is_not_waited_for() -> None:
    sim = at_work(FactorySettings(ladders={"rate-limit": (Step(do="nudge", after_s=5), Step(do="gate", after_s=60))}))
    sim.give(verdict("rate-limit", "rate-limited", until=sim.now + 3_600_000))
    sim.now += 60_000
    events = sim.give(i.FreeAccount(account="scripted", by="me"))
    assert [event.rung for event in events if isinstance(event, e.RungTaken)] == ["nudge"]


def test_nobody_is_nudged_whom_a_person_has_taken_over_or_whom_a_gate_asks_about() -> None:
    sim = stuck(Step(do="nudge", after_s=5))
    sim.give(i.TakeOver(attempt=A, by="me"))
    sim.now += 100_000
    assert not sim.give(i.Ticked())
    assert any(isinstance(event, e.RungTaken) for event in sim.give(i.GiveBack(attempt=A, by="me")))


def test_a_turn_that_a_person_interrupted_is_not_nudged_on() -> None:
    sim = at_work(FactorySettings(ladders={"idle-at-prompt": (Step(do="nudge", after_s=5), Step(do="gate", after_s=30))}))
    sim.give(i.Interrupt(attempt=A, by="me"))
    deliver(sim)
    sim.give(turn(1, trouble="interrupted"))
    sim.give(verdict("idle-at-prompt", "idle-at-prompt"))
    assert tick(sim) == ["gate"]


def test_what_cannot_be_spoken_to_is_not_nudged_nor_interrupted() -> None:
    sim = stuck(interactive=False)
    assert [tick(sim), tick(sim)] == [["wait"], ["restart"]]


def test_reassigning_takes_an_agent_of_another_account_and_offers_the_work() -> None:
    sim = stuck(Step(do="reassign", after_s=5))
    tick(sim)
    assert sim.events(e.TaskReassigned)[-1].agent == "other"
    stop = sim.until(f.StopSession)
    sim.give(i.StopDone(attempt=A, ref="refs/andon/salvage/T1.1/1", oid=stop.base, dirty=True))
    while len(sim.events(e.AttemptClaimed)) < 2:
        sim.step()
    claimed = sim.events(e.AttemptClaimed)[-1]
    assert (claimed.attempt, claimed.agent) == ("T1.2", "other")
    prepared = sim.until(f.PrepareCheckout, attempt="T1.2")
    assert prepared.previous == stop.base and prepared.start in ("", prepared.base)
    assert "default had it before" in sim.task().packet and "andon/previous" in sim.task().packet


def test_without_another_account_reassigning_is_a_gate() -> None:
    sim = Sim(agents={name: AGENTS[name] for name in ("default", "twin")})
    sim.give(i.PersonSettingsSeen(settings=FactorySettings(ladders={"hung-stream": (Step(do="reassign", after_s=5),)})))
    sim.add()
    sim.until(f.WatchSession)
    sim.give(verdict("hung-stream"))
    assert tick(sim) == ["gate"]


def test_a_cause_without_a_ladder_becomes_a_gate_and_not_a_silence() -> None:
    sim = at_work(FactorySettings())
    sim.give(verdict("thrash", "thrashing"))
    assert tick(sim) == ["gate"]


def test_a_full_context_is_restarted_with_a_new_conversation() -> None:
    sim = stuck(Step(do="restart", after_s=5), cause="context")
    tick(sim)
    assert sim.events(e.AttemptStopAsked)[-1].then == "fresh"
