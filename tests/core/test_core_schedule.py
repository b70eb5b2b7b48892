"""The scheduler: who starts, in which order, within which limits; and for everybody else the reason."""

from typing import Any

import msgspec
import pytest

from andon.core.evolve import evolve
from andon.core.schedule import PORT_BASE, free_port, next_deadline, next_station, station_wanted
from andon.schema import effects as f, events as e, inputs as i
from andon.schema.ids import Oid, RepoId, TaskId
from andon.schema.settings import AgentSettings, Checkout, FactorySettings, Line, Policy, Station
from core.sim import STATIONS, Sim, loaded, oid, settings

R = RepoId("r0")


def live(sim: Sim) -> list[str]:
    """Tasks that have an agent, in order of their claims."""
    return [attempt.task for attempt in sorted(sim.state.attempts.values(), key=lambda attempt: attempt.fence) if attempt.live]


def lines(**changes: Any) -> dict[str, Line]:
    """The ordinary line, changed."""
    return {"build": Line(name="build", stations=changes.pop("stations", STATIONS), **changes)}


def test_a_task_waits_for_what_it_comes_after_and_says_so() -> None:
    sim = Sim()
    sim.add("first")
    sim.add("second", after=(TaskId("T1"),))
    assert live(sim) == ["T1"]
    assert sim.why("T2") == ("waits for T1",)
    sim.run()
    assert [event.task for event in sim.events(e.TaskDone)] == ["T1", "T2"]


def test_a_dependency_is_met_as_soon_as_it_has_landed() -> None:
    sim = Sim(lines=lines(stations=(*STATIONS, Station(name="celebrate", kind="gate", when="always"))))
    sim.add("first")
    sim.add("second", after=(TaskId("T1"),))
    while not sim.task().landed:
        sim.step()
    assert not sim.task().over and live(sim) == ["T2"]


@pytest.mark.parametrize(("end", "word"), [("cancel", "was cancelled"), ("fail", "failed")])
def test_a_dependency_that_ended_otherwise_holds_until_a_person_decides(end: str, word: str) -> None:
    sim = Sim(policy=Policy(walls="none"))
    sim.add("first")
    sim.add("second", after=(TaskId("T1"),))
    if end == "cancel":
        sim.give(i.CancelTask(task=TaskId("T1"), by="me"))
    else:
        while not sim.task().gate:
            sim.step()
        sim.decide_gate("cancel")
    sim.run()
    assert sim.why("T2") == (f"waits for T1, which {word}: retry it, or cancel this",)
    sim.give(i.RetryTask(task=TaskId("T1"), by="me"))
    assert sim.why("T2") == ("waits for T1",)


def test_a_dependency_that_is_not_known_is_said() -> None:
    sim = Sim()
    sim.add()
    odd = msgspec.structs.replace(sim.events(e.TaskAdded)[0], task=TaskId("T2"), after=(TaskId("T77"),))
    sim.state = evolve(sim.state, odd, sim.now)
    assert sim.why("T2") == ("waits for T77, which is not known",)


def test_the_limit_of_the_factory_holds_over_all_repositories() -> None:
    sim = Sim(repos=3)
    sim.give(i.PersonSettingsSeen(settings=FactorySettings(wip=2)))
    for n in range(6):
        sim.add(repo=f"r{n % 3}")
    assert len(live(sim)) == 2
    assert sim.why("T3") == ("2 agents at work, the factory's limit is 2",)


def test_the_limit_of_a_repository_is_its_own() -> None:
    sim = Sim(repos=2, wip=1)
    for n in range(4):
        sim.add(repo=f"r{n % 2}")
    assert live(sim) == ["T1", "T2"]
    assert sim.why("T3") == ("1 agents at work in r0, its limit is 1",)


def test_the_limit_of_a_station_holds_on_its_line() -> None:
    sim = Sim(lines=lines(stations=(Station(name="build", kind="agent", wip=2), *STATIONS[1:])))
    for _ in range(4):
        sim.add()
    assert len(live(sim)) == 2
    assert sim.why("T3") == ("2 tasks at station build, its limit is 2",)


def test_the_limit_of_a_line_counts_everything_on_its_way() -> None:
    sim = Sim(lines=lines(wip=1), policy=Policy(walls="none"))
    sim.add()
    sim.add()
    sim.run()
    assert sim.gate().kind == "review"
    assert sim.why("T2") == ("1 tasks on line build, its limit is 1",)
    sim.decide_gate("approve")
    sim.run()
    assert sim.task("T2").station == "review"


def test_raising_a_limit_starts_what_waited_and_lowering_it_ends_nothing() -> None:
    sim = Sim(wip=4)
    sim.give(i.PersonSettingsSeen(settings=FactorySettings(wip=1)))
    for _ in range(3):
        sim.add()
    sim.give(i.PersonSettingsSeen(settings=FactorySettings(wip=3)))
    assert live(sim) == ["T1", "T2", "T3"]
    sim.give(i.PersonSettingsSeen(settings=FactorySettings(wip=1)))
    assert live(sim) == ["T1", "T2", "T3"]


def test_repositories_take_turns_however_many_tasks_one_of_them_has() -> None:
    sim = Sim(repos=2, wip=9)
    sim.give(i.PersonSettingsSeen(settings=FactorySettings(wip=1)))
    for n in range(6):
        sim.add(f"{n} of many", repo="r0", priority=9)
    for n in range(3):
        sim.add(f"{n} of few", repo="r1")
    sim.run()
    order = [sim.state.tasks[event.task].repo for event in sim.events(e.AttemptClaimed)]
    assert order == ["r0", "r1", "r0", "r1", "r0", "r1", "r0", "r0", "r0"]


def test_within_a_repository_priority_goes_first_then_arrival() -> None:
    sim = Sim(wip=1)
    for priority in (0, 0, 5, 5):
        sim.add(priority=priority)
    sim.run()
    assert [event.task for event in sim.events(e.AttemptClaimed)] == ["T1", "T3", "T4", "T2"]


def test_overlapping_paths_wait_for_a_while_and_then_start_anyway() -> None:
    sim = Sim()
    sim.add("first", paths=("src/**",))
    sim.add("second", paths=("src/a.py",))
    sim.add("third", paths=("docs/**",))
    sim.add("fourth")
    assert live(sim) == ["T1", "T3", "T4"]
    assert sim.why("T2") == ("its paths overlap with T1; starts anyway in 10 min",)
    deadline = next_deadline(sim.state, sim.now)
    assert deadline == sim.now + 600_000
    sim.now = deadline
    sim.give(i.Ticked())
    assert "T2" in live(sim)


def test_a_reason_names_a_few_tasks_and_counts_the_rest() -> None:
    sim = Sim(wip=9)
    sim.give(i.PersonSettingsSeen(settings=FactorySettings(wip=9)))
    for n in range(8):
        sim.add(paths=(f"src/{n}/**", "docs/a" if n == 7 else f"docs/{n}/**"))
    sim.add(paths=("src/**",))
    assert sim.why("T9") == ("its paths overlap with T1, T2, T3, T4, T5 and 3 more; starts anyway in 10 min",)


def test_overlap_ends_with_the_other_task() -> None:
    sim = Sim()
    sim.add("first", paths=("src/**",))
    sim.add("second", paths=("src/a.py",))
    start = sim.now
    sim.run()
    assert sim.task("T2").outcome == "done" and sim.now == start


def test_paths_in_another_repository_never_overlap() -> None:
    sim = Sim(repos=2)
    sim.add(repo="r0", paths=("src/**",))
    sim.add(repo="r1", paths=("src/**",))
    assert live(sim) == ["T1", "T2"]


def test_ports_are_never_shared_while_a_checkout_stands() -> None:
    sim = Sim(wip=6)
    for _ in range(3):
        sim.add()
    assert sorted(attempt.port for attempt in sim.state.attempts.values()) == [PORT_BASE, PORT_BASE + 10, PORT_BASE + 20]
    sim.until(f.RemoveCheckout, attempt="T1.1")
    sim.add()
    assert sim.attempt("T4.1").port == PORT_BASE + 30, "the first block is still held by a checkout"
    sim.do(f.RemoveCheckout, attempt="T1.1")
    sim.add()
    assert sim.attempt("T5.1").port == PORT_BASE


def test_a_bigger_block_goes_where_it_fits_and_none_is_leased_when_none_is_wanted() -> None:
    sim = Sim(repos=2)
    for _ in range(3):
        sim.add()
    while "T2.1" not in [row.event.attempt for row in sim.log if isinstance(row.event, e.CheckoutRemoved)]:
        sim.step()
    assert free_port(sim.state, 0) == 0
    standing = [attempt for attempt in sim.state.attempts.values() if attempt.phase != "removed"]
    held = sorted((attempt.port, attempt.port + attempt.ports) for attempt in standing)
    for size in (1, 10, 11, 50):
        port = free_port(sim.state, size)
        assert all(port + size <= first or port >= end for first, end in held)
    none = Sim(checkout=Checkout(ports=0))
    none.add()
    assert (none.attempt().port, none.attempt().ports) == (0, 0)


def test_a_stopped_line_starts_nothing_and_lets_running_agents_go_on() -> None:
    sim = Sim(wip=1)
    sim.add()
    sim.add()
    sim.give(i.PullCord(repo=R, line="build", because="smoke", by="me"))
    sim.run()
    assert sim.task().station == "land"
    assert sim.why("T2") == ("line build is stopped by me: smoke",)
    sim.give(i.ReleaseCord(repo=R, line="build", by="me"))
    sim.run()
    assert sim.task("T2").outcome == "done"


def test_a_task_may_have_its_own_agent() -> None:
    agents = {name: AgentSettings(name=name, use="scripted") for name in ("default", "claude")}
    sim = Sim(agents=agents)
    sim.add(agent="claude")
    assert sim.until(f.StartSession).agent.name == "claude"


def test_a_task_says_what_it_waits_for_before_its_target_is_known() -> None:
    sim = Sim()
    told = loaded(settings())
    sim.give(i.RepositorySeen(repo=RepoId("r7"), path="/r7", git_dir="/r7/.git", by="me", loaded=told, trust=True,
                              target=Oid(""), tree=oid("t")))
    sim.add(repo="r7")
    assert sim.why("T1") == ("the target branch main of r7 was not read yet",)


def test_a_task_that_runs_or_is_over_gives_no_reason() -> None:
    sim = Sim()
    sim.add()
    while sim.step():
        assert sim.why() == ()


def test_a_cancelled_agent_that_is_still_ending_keeps_its_place() -> None:
    sim = Sim(wip=1)
    sim.add()
    sim.add()
    sim.until(f.WatchSession)
    sim.give(i.CancelTask(task=TaskId("T1"), by="me"))
    assert sim.why("T2") == ("1 agents at work in r0, its limit is 1",)
    sim.run()
    assert sim.task("T2").outcome == "done"


def test_the_station_after_one_that_is_no_longer_configured_is_the_first() -> None:
    line = Line(name="build", stations=STATIONS)
    first, last = next_station(line, "gone"), next_station(line, "land")
    assert first is not None and first.name == "build" and last is None
    assert next_station(Line(name="empty", stations=()), "") is None


def test_a_line_without_stations_is_said_and_a_check_without_an_agent_before_it_too() -> None:
    sim = Sim(lines=lines(stations=()))
    sim.add()
    assert station_wanted(sim.state, sim.task()) is None
    assert sim.why() == ("line build is not in the settings of r0",)
    odd = Sim(lines=lines(stations=STATIONS[1:2]))
    odd.add()
    assert odd.why() == ("no agent has worked on it before station check",)
