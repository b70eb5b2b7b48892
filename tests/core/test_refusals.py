"""What is told of refusals: each thing once, again at ten times as often, a bounded number, until a person puts it away."""

import msgspec

from andon.core import refusals
from andon.core.evolve import evolve
from andon.core.image import freeze, thaw
from andon.core.project import project
from andon.core.refuse import refuse
from andon.schema import effects as f, events as e, inputs as i
from andon.schema.errors import Problem
from andon.schema.ids import AttemptId
from andon.schema.views import ProblemView
from core.sim import Sim

A = AttemptId("T1.1")


def running() -> Sim:
    """A factory in which T1.1 runs."""
    sim = Sim()
    sim.add("one")
    sim.until(f.WatchSession)
    return sim


def seen(what: str = "evil.example:443", times: int = 1, kind: str = "host") -> i.AccessSeen:
    return i.AccessSeen(attempt=A, kind=kind, what=what, rule="not listed", times=times)


def told(sim: Sim) -> list[ProblemView]:
    return [view for view in project(sim.state, {}).values() if isinstance(view, ProblemView) and view.attempt]


def test_a_refused_host_is_told_once_and_again_when_it_is_ten_times_as_often() -> None:
    sim = running()
    counts = [len([one for one in sim.give(seen(times=n)) if isinstance(one, e.AccessRefused)]) for n in (1, 2, 9, 10, 11, 99, 100)]
    assert counts == [1, 0, 0, 1, 0, 0, 1]
    (view,) = told(sim)
    assert (view.attempt, view.task, view.times) == (A, "T1", 100)
    assert view.what == "T1.1 tried to reach evil.example:443" and '"evil.example" in [sandbox] hosts' in view.mend


def test_a_flood_of_different_hosts_costs_a_bounded_number_of_rows_and_one_for_the_rest() -> None:
    sim = running()
    rows = [one for n in range(500) for one in sim.give(seen(f"h{n}.example:443")) if isinstance(one, e.AccessRefused)]
    assert len(rows) == refusals.MOST + 1 and rows[-1].what == "" and len(told(sim)) == refusals.MOST + 1


def test_it_stays_when_the_task_is_over_and_goes_when_a_person_puts_it_away() -> None:
    sim = running()
    sim.give(seen())
    sim.give(i.CancelTask(task=sim.state.attempts[A].task, by="ada"))
    sim.run()
    (view,) = told(sim)
    assert sim.give(i.DismissProblem(problem=view.problem, by="ada")) == [e.ProblemCleared(key=view.problem, by="ada")]
    assert told(sim) == [] and not [one for one in sim.give(seen(times=9)) if isinstance(one, e.AccessRefused)]
    assert refusals.of(sim.state, A)[0].what == "evil.example:443"


def test_only_refusals_can_be_put_away() -> None:
    sim = running()
    sim.give(i.TroubleSeen(key="tmux", problem=Problem(what="gone")))
    problem = refuse(sim.state, i.DismissProblem(problem="tmux"))
    assert problem is not None and "goes by itself" in problem.mend
    assert refuse(sim.state, i.DismissProblem(problem="access:T9.9/host/x")) is not None


def test_the_oldest_attempts_are_forgotten_with_their_problems() -> None:
    state = running().state
    one = state.attempts[A]
    for n in range(refusals.ATTEMPTS + 5):
        name = AttemptId(f"T1.{n + 1}")
        state = msgspec.structs.replace(state, attempts=state.attempts.set(name, one))
        state = evolve(state, e.AccessRefused(attempt=name, task=one.task, kind="read", what="~/.ssh"), 1_000 * (n + 1))
    kept = [key for key in state.problems if key.startswith(refusals.KEY)]
    assert len(state.refusals) == len(kept) == refusals.ATTEMPTS and A not in state.refusals
    assert thaw(freeze(state)) == state
