"""A thousand open tasks, a long queue: one input stays below what a person notices, no cascade is quadratic. CPU time counts."""

import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from andon.core import decide as module
from andon.core.decide import decide
from andon.core.evolve import fold
from andon.core.pending import pending
from andon.core.project import over_tasks, project
from andon.core.queue import standing
from andon.core.schedule import next_deadline
from andon.core.state import State
from andon.core.stations import land
from andon.schema import effects as f, events as e, inputs as i
from andon.schema.evidence import Sealed
from andon.schema.ids import AttemptId, Digest, RepoId, TaskId
from andon.schema.settings import Check, Line, Policy
from core.sim import STATIONS, Sim, loaded, oid, settings

R = RepoId("r0")
SLOWER = 10 if sys.gettrace() else 1
"""Under a coverage tracer everything takes longer."""
INPUT_S, BOARD_S = 0.150 * SLOWER, 0.300 * SLOWER


def cpu(deed: Callable[[], object]) -> float:
    """The best of three runs, in seconds of CPU."""
    took = []
    for _ in range(3):
        start = time.process_time()
        deed()
        took.append(time.process_time() - start)
    return min(took)


def crowded(tasks: int, at_check: int) -> Sim:
    """Many open tasks, some of them with a change at its checks, every second one with paths."""
    sim = Sim(wip=6, policy=Policy(walls="none"))
    events: list[e.Event] = []
    for n in range(1, tasks + 1):
        name, attempt = TaskId(f"T{n}"), AttemptId(f"T{n}.1")
        paths = (f"src/T{n}/**", "shared/**") if n % 2 else ()
        events.append(e.TaskAdded(task=name, repo=R, title=f"task {n}", spec="do it", paths=paths, priority=n % 3))
        if n <= at_check:
            events += [
                e.TaskEntered(task=name, station="build"),
                e.AttemptClaimed(task=name, attempt=attempt, number=1, station="build", fence=n, agent="default", base=oid("b")),
                e.AttemptExited(attempt=attempt, code=0),
                e.WorkImported(attempt=attempt, commit=oid(n), tree=oid("t", n), base=oid("b"), base_tree=oid("bt"),
                               diff=Digest("d" * 64), paths=("a",), paths_total=1),
                e.AttemptAccepted(attempt=attempt, commit=oid(n)), e.CheckoutRemoved(attempt=attempt),
                e.TaskEntered(task=name, station="check"),
            ]
    sim.state = fold(sim.state, events, sim.now)
    sim.give(i.Ticked())
    return sim


@pytest.fixture(scope="module")
def crowd() -> Sim:
    return crowded(1000, 300)


def test_a_thousand_open_tasks_are_as_they_should_be(crowd: Sim) -> None:
    assert len(crowd.state.open) == 1000
    assert len([run for run in crowd.state.runs.values() if run.purpose == "change"]) == 300
    assert sum(attempt.live for attempt in crowd.state.attempts.values()) == 6


def test_one_input_among_a_thousand_open_tasks_takes_little(crowd: Sim) -> None:
    run = next(iter(crowd.state.runs))
    inputs: list[i.Input] = [
        i.Ticked(), i.AddTask(repo=R, title="one more", spec="x"), i.CancelTask(task=TaskId("T500")),
        i.CheckRan(run=run, result="pass", because="ok"), i.CheckRan(run=run, result="fail", because="red"),
        i.PullCord(repo=R, line="build", because="x"), i.DaemonStarted(version="1", pid=1, boot="b"),
    ]
    took = [(type(given).__name__, cpu(partial(decide, crowd.state, given, crowd.now))) for given in inputs]
    assert all(seconds < INPUT_S for _, seconds in took), took


def test_what_is_owed_and_drawn_among_a_thousand_open_tasks_takes_little(crowd: Sim) -> None:
    took = {
        "pending": cpu(lambda: pending(crowd.state, crowd.now)), "deadline": cpu(lambda: next_deadline(crowd.state, crowd.now)),
        "project": cpu(lambda: project(crowd.state, {}, over_tasks(crowd.state))),
    }
    assert max(took.values()) < BOARD_S, took


def test_redefining_a_check_with_hundreds_of_changes_waiting_is_not_quadratic(crowd: Sim) -> None:
    told = loaded(settings(policy=Policy(walls="none"), checks={"tests": Check(name="tests", run="other", report="junit")}))
    given = i.SettingsSeen(repo=R, loaded=told)
    assert sum(isinstance(event, e.RunPlanned) for event in decide(crowd.state, given, crowd.now)) == 301
    assert cpu(lambda: decide(crowd.state, given, crowd.now)) < 1.0 * SLOWER


def test_a_rule_that_feeds_itself_stops_the_daemon_before_it_writes(monkeypatch: pytest.MonkeyPatch) -> None:
    sim = Sim()
    monkeypatch.setattr(module, "STEPS", 30)
    monkeypatch.setattr(module, "advance", lambda state, task, at: [e.TaskEntered(task=task.task, station="build")])
    with pytest.raises(AssertionError, match=r"deciding does not settle; last:.*task\.entered"):
        sim.give(i.AddTask(repo=R, title="a", spec="a"))
    assert sim.state.tasks == State().tasks


# --- a long merge queue ------------------------------------------------------------------------------------------------------


SEALED = Sealed(bundle=Digest("b" * 64), policy=Digest("c" * 64), ledger="7 cm9vdA==")


def queued(tasks: int, at_land: int) -> Sim:
    """Many open tasks, a part of them with a change in the merge queue, four proofs at once."""
    stations = (STATIONS[0], STATIONS[3])
    sim = Sim(wip=6, policy=Policy(walls="none"), proving=4, checks={"tests": Check(name="tests", run="make test")},
              lines={"build": Line(name="build", stations=stations)})
    events: list[e.Event] = []
    for n in range(1, tasks + 1):
        name, attempt = TaskId(f"T{n}"), AttemptId(f"T{n}.1")
        events.append(e.TaskAdded(task=name, repo=R, title=f"task {n}", spec="do it", priority=n % 3))
        if n <= at_land:
            events += [
                e.TaskEntered(task=name, station="build"),
                e.AttemptClaimed(task=name, attempt=attempt, number=1, station="build", fence=n, agent="default", base=oid("b")),
                e.AttemptExited(attempt=attempt, code=0),
                e.WorkImported(attempt=attempt, commit=oid(n), tree=oid("t", n), base=oid("b"), base_tree=oid("bt"),
                               diff=Digest("d" * 64), paths=("a",), paths_total=1),
                e.AttemptAccepted(attempt=attempt, commit=oid(n)), e.CheckoutRemoved(attempt=attempt),
                e.TaskEntered(task=name, station="land"),
                e.ChangeSealed(task=name, commit=oid(n), sealed=SEALED),
            ]
    sim.state = fold(sim.state, events, sim.now)
    sim.give(i.Ticked())
    while merges := [effect for effect in sim.owed() if isinstance(effect, f.MergeCandidate)]:
        sim.give(sim.answer(merges[0]))
    return sim


@pytest.fixture(scope="module")
def queue() -> Sim:
    return queued(2000, 200)


def test_two_hundred_entries_among_two_thousand_open_tasks_are_as_they_should_be(queue: Sim) -> None:
    assert len(queue.state.open) == 2000
    assert [run.purpose for run in queue.state.runs.values()] == ["landing"] * 4
    assert max(len(landing.members) for landing in queue.state.landings.values()) > 20


def test_one_input_of_a_long_queue_takes_little(queue: Sim) -> None:
    short, *_, long = list(queue.state.runs)
    repo = queue.state.repos[R]
    inputs: list[i.Input] = [
        i.Ticked(), i.CheckRan(run=short, result="fail", because="red"), i.CheckRan(run=short, result="pass", because="ok"),
        i.CheckRan(run=long, result="fail", because="red"),
        i.CheckRan(run=long, result="unevaluated", because="killed", cause="lost"),
        i.OrderQueue(task=TaskId("T150"), by="me"), i.HoldEntry(task=TaskId("T1"), because="x", by="me"),
        i.TargetSeen(repo=R, oid=oid("a person"), tree=oid("tree")), i.HoldQueue(repo=R, because="x", by="me"),
        i.RepositorySeen(repo=R, path=repo.path, git_dir=repo.git_dir, by="me", loaded=loaded(repo.settings), trust=False,
                         target=repo.trunk, tree=repo.tree),
    ]
    took = [(type(given).__name__, cpu(partial(decide, queue.state, given, queue.now))) for given in inputs]
    assert all(seconds < INPUT_S for _, seconds in took), took
    assert cpu(lambda: pending(queue.state, queue.now)) < INPUT_S


def test_a_prefix_that_lands_whole_costs_each_member_little() -> None:
    took = {}
    for at_land in (16, 64):
        sim = queued(2000, at_land)
        last = max(sim.state.landings.values(), key=lambda landing: len(landing.members))
        run = next(run.run for run in sim.state.runs.values() if run.landing == last.landing)
        sim.give(i.CheckRan(run=run, result="pass", because="ok"))
        move = next(effect for effect in sim.owed() if isinstance(effect, f.MoveTarget))
        given, members = sim.answer(move), len(last.members)
        assert sum(isinstance(event, e.TaskDone) for event in decide(sim.state, given, sim.now)) == members
        took[members] = cpu(partial(decide, sim.state, given, sim.now))
    (few, short), (many, long) = sorted(took.items())
    assert many >= 2 * few and long < 1.0 * SLOWER
    assert long / many <= 2 * short / few, f"{took}: dearer for each member the more there are"


def test_the_policy_is_asked_a_few_times_for_one_input_and_answers_from_memory(queue: Sim, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def look(*args: Any) -> Any:
        asked.append(1)
        return standing.look(*args)

    monkeypatch.setattr(land, "look", look)
    for given in (i.Ticked(), i.CheckRan(run=next(iter(queue.state.runs)), result="pass", because="ok")):
        asked.clear()
        decide(queue.state, given, queue.now)
        assert len(asked) <= 6, f"{given}: the queue was looked at {len(asked)} times"
    before = land.planned.cache_info().hits
    decide(queue.state, i.Ticked(), queue.now)
    assert land.planned.cache_info().hits > before


def test_a_queue_ten_times_as_long_costs_about_ten_times_as_much() -> None:
    took = {size: cpu(partial(decide, queued(size, size // 10).state, i.Ticked(), 2_000_000)) for size in (200, 2000)}
    assert took[2000] / took[200] < 30, took
