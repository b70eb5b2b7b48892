"""A gate that nobody answers: it may be put off and left to somebody, rises once a period, and is never answered by time."""

import pytest

from andon.core.evolve import replay
from andon.core.pending import pending
from andon.core.refuse import refuse
from andon.core.schedule import next_deadline
from andon.core.state import State
from andon.schema import effects as f, events as e, inputs as i
from andon.schema.errors import Problem
from andon.schema.gate_inputs import SNOOZE_LIMIT_S
from andon.schema.settings import FactorySettings, Policy, Routes
from core.playbook import Given, like, nothing
from core.sim import Sim

HOUR = 3_600_000
TOLD = Routes(command=("tell-me",), escalate_minutes=60, escalate_times=2)


def waiting(routes: Routes = TOLD) -> Sim:
    sim = Sim(policy=Policy(walls="none"))
    sim.give(i.PersonSettingsSeen(settings=FactorySettings(routes=routes, operators={"ana": ("owner",)})))
    sim.add()
    while not sim.task().gate:
        sim.step()
    return sim


def owed(sim: Sim) -> list[f.TellGate]:
    return [effect for effect in pending(sim.state, sim.now) if isinstance(effect, f.TellGate)]


def told(sim: Sim) -> None:
    for effect in owed(sim):
        sim.give(i.GateTold(gate=effect.gate, n=effect.n, told=("command",)))


def test_a_gate_is_told_once_when_it_opens_and_once_a_period_up_to_a_cap() -> None:
    sim = waiting()
    opened = sim.gate().opened_at
    assert [effect.key for effect in owed(sim)] == ["gate/G1/0"]
    told(sim)
    assert owed(sim) == []
    for n in (1, 2):
        assert next_deadline(sim.state, sim.now) == opened + n * HOUR
        sim.now = opened + n * HOUR
        assert sim.give(i.Ticked()) == [e.GateRaised(gate=sim.gate().gate, n=n)]
        assert [effect.key for effect in owed(sim)] == [f"gate/G1/{n}"]
        told(sim)
    sim.now += 100 * HOUR
    assert sim.give(i.Ticked()) == [] and owed(sim) == [] and not next_deadline(sim.state, sim.now)
    assert sim.gate().gate == "G1", "time answers nothing"


def test_who_was_away_for_a_week_is_told_once_and_not_for_each_period() -> None:
    sim = waiting(Routes(command=("tell-me",), escalate_minutes=60, escalate_times=100))
    told(sim)
    sim.now += 7 * 24 * HOUR
    assert [type(event) for event in sim.give(i.Ticked())] == [e.GateRaised]
    assert len(owed(sim)) == 1


def test_a_kill_between_the_rise_and_the_telling_tells_once_more_and_rises_no_second_time() -> None:
    sim = waiting()
    told(sim)
    sim.now += HOUR
    sim.give(i.Ticked())
    before = owed(sim)
    sim.state = replay(State(), sim.log)
    sim.give(i.DaemonStarted(version="1", pid=2, boot="b"))
    assert owed(sim) == before, "at least once, with the same key"
    assert sim.give(i.Ticked()) == []
    told(sim)
    assert sim.give(i.GateTold(gate=before[0].gate, n=before[0].n, told=("command",))) == [], "an echo changes nothing"


def test_nothing_rises_and_nothing_is_owed_where_nobody_chose_a_route() -> None:
    for routes in (Routes(), Routes(command=("x",), command_from="stop"), Routes(command=("x",), command_from="none")):
        sim = waiting(routes)
        assert owed(sim) == [] and next_deadline(sim.state, sim.now) == 0


def test_routes_are_chosen_by_the_risk_of_the_gate() -> None:
    sim = waiting(Routes(command=("tell-me",), command_from="stop", desktop="review"))
    assert [(effect.routes.command, effect.routes.desktop) for effect in owed(sim)] == [((), "review")]


def test_a_route_that_fails_is_a_problem_until_it_works_and_the_gate_counts_as_told() -> None:
    sim = waiting()
    failed = i.RouteFailed(route="command", problem=Problem(what="it ended with 1", mend="mend it"))
    assert (
        Given.after(sim) >> i.GateTold(gate=sim.gate().gate, n=0, unheard=(failed,))
        << like(e.GateNoticed, failed=("command",)) << like(e.ProblemNoticed, key="route:command", what="it ended with 1")
    )
    sim.give(i.GateTold(gate=sim.gate().gate, n=0, unheard=(failed,)))
    assert owed(sim) == []
    sim.now += HOUR
    sim.give(i.Ticked())
    told(sim)
    assert "route:command" not in sim.state.problems


def test_a_gate_that_is_put_off_is_open_and_quiet_and_comes_back_by_itself() -> None:
    sim = waiting()
    gate = sim.gate()
    sim.give(i.SnoozeGate(gate=gate.gate, seconds=7200, by="me"))
    assert sim.gate().snoozed_until == sim.now + 2 * HOUR and owed(sim) == []
    assert next_deadline(sim.state, sim.now) == sim.now + 2 * HOUR
    back = sim.now + 2 * HOUR
    sim.now = back
    assert sim.give(i.Ticked()) == [e.GateWoken(gate=gate.gate)]
    assert sim.gate().snoozed_until == 0 and len(owed(sim)) == 1
    assert next_deadline(sim.state, sim.now) == back + HOUR, "its period begins anew"


def test_a_gate_that_is_put_off_may_be_answered_and_taken_back() -> None:
    sim = waiting()
    gate = sim.gate().gate
    sim.give(i.SnoozeGate(gate=gate, seconds=60, by="me"))
    assert sim.give(i.SnoozeGate(gate=gate, seconds=0, by="me")) == [e.GateWoken(gate=gate, by="me")]
    sim.give(i.SnoozeGate(gate=gate, seconds=60, by="me"))
    sim.give(i.AnswerGate(gate=gate, option="approve", bound=sim.gate().bound, by="me"))
    assert not sim.state.gates


@pytest.mark.parametrize("seconds", [-5, SNOOZE_LIMIT_S + 1])
def test_nobody_puts_a_gate_off_for_longer_than_the_bound(seconds: int) -> None:
    sim = waiting()
    command = i.SnoozeGate(gate=sim.gate().gate, seconds=seconds, by="me")
    problem = refuse(sim.state, command)
    assert problem is not None and "72 hours" in problem.mend
    assert Given.after(sim) >> command << nothing


def test_a_gate_is_left_to_a_known_person_with_a_reason() -> None:
    sim = waiting()
    gate = sim.gate().gate
    for to, why, what in (("ana", " ", "with a reason"), ("", "x", "nobody is named"), ("zoe", "x", "none of those who sign here")):
        problem = refuse(sim.state, i.DelegateGate(gate=gate, to=to, because=why))
        assert problem is not None and what in problem.what and problem.mend
    sim.give(i.DelegateGate(gate=gate, to="ana", because="she knows it", by="me"))
    assert (sim.gate().to, sim.gate().to_because) == ("ana", "she knows it")
    command = i.AnswerGate(gate=gate, option="approve", bound=sim.gate().bound, by="ben")
    assert refuse(sim.state, command) is None, "a word, no right"


def test_a_problem_is_told_where_that_is_wanted_and_one_that_comes_and_goes_at_most_once_an_hour() -> None:
    sim = waiting(Routes(command=("tell-me",), problems=True))
    seen = i.TroubleSeen(key="disk", problem=Problem(what="it is full"))
    sim.give(seen)
    problems = [effect for effect in pending(sim.state, sim.now) if isinstance(effect, f.TellProblem)]
    assert [(effect.problem, effect.what) for effect in problems] == [("disk", "it is full")]
    sim.give(i.ProblemHeard(problem_key="disk", told=("command",)))
    for _ in range(3):
        sim.now += 1000
        sim.give(i.TroubleGone(key="disk"))
        sim.give(seen)
        assert not [effect for effect in pending(sim.state, sim.now) if isinstance(effect, f.TellProblem)]
    assert HOUR - 10_000 < next_deadline(sim.state, sim.now) - sim.now < HOUR
    sim.now += HOUR
    assert [effect.problem for effect in pending(sim.state, sim.now) if isinstance(effect, f.TellProblem)] == ["disk"]


def test_a_problem_of_a_route_is_never_told_by_routes_and_none_is_where_nobody_asked_for_it() -> None:
    for routes, key in ((Routes(command=("x",), problems=True), "route:command"), (Routes(command=("x",)), "disk"),
                        (Routes(problems=True), "disk")):
        sim = waiting(routes)
        sim.give(i.TroubleSeen(key=key, problem=Problem(what="odd")))
        assert not [effect for effect in pending(sim.state, sim.now) if isinstance(effect, f.TellProblem)]
