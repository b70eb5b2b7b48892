"""A factory that has lived long: it starts from a snapshot, and tasks that were over long ago are still told from the ledger."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from andon.schema import events as e, wire
from andon.schema.errors import Mistake
from andon.schema.ids import TaskId
from andon.schema.inputs import RetryTask
from bench.benchkit import write_history
from factory import Factory, git, small_repo
from wholekit import assert_clear, cli

EVENTS = 36_000
"""More than a thousand tasks: past what the state remembers whole."""


@pytest.fixture(scope="module")
def plant(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Factory]:
    place = tmp_path_factory.mktemp("long") / "f"
    write_history(place, EVENTS)
    made = Factory(place)
    try:
        made.start()
        yield made
    finally:
        made.close()


@pytest.mark.slow
def test_a_task_of_the_far_past_is_shown_with_its_whole_life(plant: Factory) -> None:
    told = plant.ask(wire.GetTask(task=TaskId("T1")))
    assert isinstance(told, wire.TaskIs)
    kinds = [moment.kind for moment in told.detail.timeline]
    assert kinds[0] == "task.added" and {"attempt.claimed", "run.planned", "run.finished", "target.moved"} <= set(kinds)
    assert "task.done" in kinds and told.detail.task.state == "done"
    assert [attempt.attempt for attempt in told.detail.attempts] == ["T1.1"] and told.detail.attempts[0].salvage
    added = [row.event.task for row in plant.events() if isinstance(row.event, e.TaskAdded)]
    recent = plant.ask(wire.GetTask(task=added[-1]))
    assert isinstance(recent, wire.TaskIs) and set(kinds) == {moment.kind for moment in recent.detail.timeline}
    shown = cli(plant, "show", "T1")
    assert shown.code == 0 and "make the thing do what it should" in shown.out, shown


@pytest.mark.slow
def test_what_is_long_over_satisfies_those_that_wait_for_it_and_is_not_done_again(plant: Factory, tmp_path: Path) -> None:
    name = plant.register(small_repo(tmp_path / "repo"))
    task = plant.add(name, after=(TaskId("T1"), TaskId("T2")))
    plant.until_state(task, "done")
    assert_clear(cli(plant, "retry", "T1"), 2, "no task T1 on the board", "andon show T1")
    with pytest.raises(Mistake, match=r"T1 was over long ago \(done\)"):
        plant.do(RetryTask(task=TaskId("T1")))
    assert_clear(cli(plant, "add", "x", "--repo", name, "--after", "T99999"), 4, "no task T99999")
    assert f"notes/{task}.md" in git(tmp_path / "repo", "ls-tree", "-r", "--name-only", "refs/andon/trunk/main")


@pytest.mark.slow
def test_a_torn_snapshot_only_costs_time(plant: Factory) -> None:
    plant.stop()
    for snapshot in (plant.layout.home / "snapshots").iterdir():
        snapshot.write_bytes(snapshot.read_bytes()[:-10])
    plant.start()
    told = plant.ask(wire.GetTask(task=TaskId("T1")))
    assert isinstance(told, wire.TaskIs) and told.detail.task.state == "done"
