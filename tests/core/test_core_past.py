"""Finished tasks are remembered whole up to a bound; of older ones the core knows how they ended, and the ledger the rest."""

from pathlib import Path

import pytest

from andon.core.evolve import replay
from andon.core.folds import table
from andon.core.image import freeze, thaw
from andon.core.project import over_tasks, project
from andon.core.refuse import refuse
from andon.core.state import State
from andon.schema import effects as f, inputs as i
from andon.schema.ids import RepoId, TaskId
from core.sim import Sim

KEPT = 5


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table, "KEPT_OVER", KEPT)


def lived(tasks: int = 12) -> Sim:
    """A factory in which so many tasks have landed."""
    sim = Sim()
    for _ in range(tasks):
        sim.add()
        sim.run()
    return sim


def test_the_state_of_a_long_life_stays_bounded_and_every_end_is_known() -> None:
    sim = lived(12)
    assert len(sim.state.tasks) == KEPT == len(sim.state.over)
    assert {task: past.outcome for task, past in sim.state.past.items()} == {TaskId(f"T{n}"): "done" for n in range(1, 8)}
    assert all(past.landed for past in sim.state.past.values())
    assert [task.task for task in over_tasks(sim.state)] == [f"T{n}" for n in range(8, 13)]


def test_the_rows_of_a_task_of_the_past_lie_where_the_state_says() -> None:
    sim = lived(8)
    past = sim.state.past[TaskId("T2")]
    told = replay(State(seq=past.first - 1, repos=sim.state.repos), sim.log[past.first - 1 : past.last])
    assert told.tasks[TaskId("T2")].outcome == "done" and told.tasks[TaskId("T2")].landed == past.landed
    assert told.tasks[TaskId("T2")].history[0] == past.first and told.tasks[TaskId("T2")].history[-1] == past.last


def test_a_task_that_waits_for_one_of_the_past_starts() -> None:
    sim = lived(8)
    sim.add(after=(TaskId("T1"),))
    sim.run()
    assert sim.state.tasks[TaskId("T9")].outcome == "done"


def test_what_is_long_over_is_neither_retried_nor_cancelled_and_says_so() -> None:
    sim = lived(8)
    for command in (i.RetryTask(task=TaskId("T1")), i.CancelTask(task=TaskId("T1"))):
        problem = refuse(sim.state, command)
        assert problem is not None and "T1 was over long ago (done)" in problem.what
    unknown = refuse(sim.state, i.AddTask(repo=RepoId("r0"), title="x", spec="x", after=(TaskId("T99"),)))
    assert unknown is not None and "there is no task T99" in unknown.what


def test_a_task_whose_checkout_still_stands_is_kept_whole() -> None:
    sim = Sim()
    sim.add()
    sim.until(f.RemoveCheckout)
    for _ in range(9):
        sim.add()
    for _ in range(400):
        owed = [effect for effect in sim.owed() if not (isinstance(effect, f.RemoveCheckout) and effect.attempt == "T1.1")]
        if not owed:
            break
        sim.give(sim.answer(owed[0]))
    assert len(sim.state.over) == KEPT and sim.state.tasks[TaskId("T1")].outcome == "done"
    sim.run()
    sim.add()
    sim.run()
    assert TaskId("T1") in sim.state.past


def test_a_task_that_is_retried_is_no_longer_over() -> None:
    sim = lived(3)
    task = sim.add()
    sim.give(i.CancelTask(task=task, by="me"))
    sim.run()
    assert sim.state.over[-1] == task
    sim.give(i.RetryTask(task=task, by="me"))
    assert task not in sim.state.over and task in sim.state.open
    sim.run()
    assert sim.state.over[-1] == task and sim.state.over.count(task) == 1


def test_replay_and_snapshot_tell_the_same_as_the_life(tmp_path: Path) -> None:
    sim = lived(12)
    assert replay(State(), sim.log) == sim.state == thaw(freeze(sim.state))
    told = replay(State(), sim.log)
    assert project(sim.state, {}, over_tasks(sim.state)) == project(told, {}, over_tasks(told))
