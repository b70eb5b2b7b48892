"""Steps walked backwards in a whole factory: landings, tasks, orders; after kill -9 at each point too."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

import pytest

from andon.schema import events as e, inputs as i
from andon.schema.ids import TaskId
from e2e.test_queue import job, project
from factory import Factory, ended, factory, git
from wholekit import assert_clear, cli

Kind = TypeVar("Kind", bound=e.Event)


@pytest.fixture
def plant(tmp_path: Path) -> Iterator[Factory]:
    with factory(tmp_path / "f") as made:
        yield made


def of(plant: Factory, kind: type[Kind]) -> list[Kind]:
    return [row.event for row in plant.events() if isinstance(row.event, kind)]


def tree(repo: Path, ref: str = "refs/andon/trunk/main") -> str:
    return git(repo, "rev-parse", f"{ref}^{{tree}}")


def test_a_landing_of_changes_on_the_same_lines_is_walked_back_the_last_first(plant: Factory, tmp_path: Path) -> None:
    path = project(tmp_path / "repo")
    repo = plant.register(path)
    before = tree(path, "main")
    first = job(plant, repo, "echo one > made/story", title="the beginning")
    plant.until_state(first, "done")
    after_first = tree(path)
    second = job(plant, repo, "echo two >> made/story", title="the end")
    plant.until_state(second, "done")
    landings = [row.landing for row in of(plant, e.TaskLanded)]
    shown = cli(plant, "undo", landings[1], "--dry-run")
    assert shown.code == 0 and f"the change of {second} is taken back" in shown.out and not of(plant, e.UndoBegun)
    ran = cli(plant, "undo", landings[1], "--yes", "--because", "a change of mind", seconds=90)
    assert ran.code == 0, ran
    assert f"all 1 paths of {second} are as they were before it" in ran.out
    assert tree(path) == after_first == tree(path, "main")
    assert_clear(cli(plant, "undo", landings[1], "--yes"), 4, f"{second} was taken back already")
    assert cli(plant, "undo", first, "--whole", "--yes", seconds=90).code == 0
    assert tree(path) == before == tree(path, "main")
    begun = [row.seq for row in plant.events() if isinstance(row.event, e.UndoDeedBegun)]
    made = [row.seq for row in plant.events() if isinstance(row.event, e.TaskAdded) and row.event.reverts]
    assert len(begun) == len(made) == 2 and all(one < other for one, other in zip(begun, made, strict=True))


def test_orders_are_walked_back_and_refused_when_the_world_changed_since(plant: Factory, tmp_path: Path) -> None:
    repo = plant.register(project(tmp_path / "repo"))
    plant.do(i.PullCord(repo=repo, line="build", because="smoke"))
    number = next(row.seq for row in plant.events() if isinstance(row.event, e.CordPulled))
    ran = cli(plant, "undo", f"#{number}", "--yes", "--json")
    assert ran.code == 0 and json.loads(ran.out)["deeds"][0]["observed"] == "no cord stops the line"
    assert [event.by != "" for event in of(plant, e.CordReleased)] == [True]
    assert_clear(cli(plant, "undo", str(number), "--yes"), 4, "no longer as the step left it", "smoke")
    plant.do(i.PullCord(repo=repo, line="build", because="fire"))
    assert_clear(cli(plant, "undo", str(number), "--yes"), 4, "“smoke”", "“fire”")
    trusted = next(row.seq for row in plant.events() if isinstance(row.event, e.CommandsTrusted))
    assert_clear(cli(plant, "undo", str(trusted), "--yes"), 4, "is irreversible")
    assert_clear(cli(plant, "undo", "L77", "--yes"), 4, "no landing L77")
    assert_clear(cli(plant, "undo", "what"), 2, "names no step")


def test_the_steps_of_a_task_are_listed_with_their_inverse(plant: Factory, tmp_path: Path) -> None:
    repo = plant.register(project(tmp_path / "repo"))
    task = job(plant, repo, "echo one > made/story")
    plant.until_state(task, "done")
    plant.until(lambda: of(plant, e.CheckoutRemoved), what="the checkout to go")
    plant.stop()
    ran = cli(plant, "undo", "--list", task, "--json")
    steps = {(step["kind"], step["step"], step["how"]) for step in json.loads(ran.out)}
    assert {("checkout.removed", "T1.1", "inverse"), ("target.moved", "L1", "inverse"), ("work.imported", "", "kept")} <= steps
    assert "L1" in cli(plant, "undo", "--list", task).out


def at_start(plant: Factory, path: Path, start: str) -> list[str]:
    """What of the world is not as it was before the first task; empty when all is."""
    branches = git(path, "for-each-ref", "--format=%(refname)", "refs/heads").split()
    looks = {
        "trunk": tree(path) == start if git(path, "for-each-ref", "refs/andon/trunk/main") else True,
        "branch": tree(path, "main") == start, "checkout": git(path, "status", "--porcelain") == "",
        "branches": branches == ["refs/heads/main"],
        "checkouts": not [place for place in (plant.layout.home / "checkouts").glob("*/*") if not place.name.startswith(".")],
        "sessions": all(ended(job) for job in plant.layout.jobs.glob("T*")),
    }
    return [word for word, so in looks.items() if not so]


def insist(plant: Factory, task: TaskId, faults: list[str]) -> None:
    """Ask for the undo until it is done; a daemon that died at a fault is started again, as a person would."""
    def once() -> bool:
        if plant.dead():
            plant.start({"ANDON_FAULT": faults.pop(0)} if faults else {})
        ran = cli(plant, "undo", task, "--whole", "--yes", seconds=60)
        assert ran.code in (0, 1, 3, 4), ran
        return not plant.dead() and (ran.code == 0 or f"{task} was cancelled" in ran.err or "was taken back already" in ran.err)
    plant.until(once, 90, what="the undo")


@pytest.mark.slow
@pytest.mark.parametrize(("forward", "back"), [
    ("prepare-checkout.cloned", "undo.begun"), ("start-session.session", "remove-checkout.snapshot"),
    ("import-work.pinned", "append.after:4"), ("move-target.swapped", "make-revert.made"),
    ("mirror-target.merged", "move-target.swapped"),
])
def test_killed_at_any_effect_and_killed_again_while_walking_back_the_world_returns_to_its_start(
    tmp_path: Path, forward: str, back: str,
) -> None:
    path = project(tmp_path / "repo")
    start = tree(path, "main")
    plant = Factory(tmp_path / "f")
    try:
        plant.start({"ANDON_FAULT": forward})
        repo = plant.register(path)
        task = job(plant, repo, "echo one > made/story; echo loose > made/loose")
        plant.until(plant.dead, 40, what=f"the kill at {forward}")
        insist(plant, task, [back])
        if plant.dead():
            plant.start()
        plant.until(lambda: not at_start(plant, path, start), 30, what=f"the start state; {at_start(plant, path, start)}")
        plant.until(lambda: any(event.done for event in of(plant, e.UndoEnded)), 30, what="the end of the undo")
        assert plant.kinds().count("factory.started") >= 3, "both faults were met"
    finally:
        plant.close()


def test_a_snapshot_that_a_killed_daemon_had_laid_out_is_taken_as_it_is(tmp_path: Path) -> None:
    path = project(tmp_path / "repo")
    plant = Factory(tmp_path / "f")
    try:
        plant.start({"ANDON_FAULT": "undo.restored"})
        repo = plant.register(path)
        task = job(plant, repo, "echo one > made/story")
        plant.until_state(task, "done")
        plant.until(lambda: of(plant, e.CheckoutRemoved), what="the checkout to go")
        assert cli(plant, "undo", f"{task}.1").code == 3 and not of(plant, e.CheckoutRestored)
        plant.process.wait(10)  # type: ignore[union-attr]  # it was started above
        plant.start()
        ran = cli(plant, "undo", f"{task}.1")
        assert ran.code == 0 and (plant.layout.home / "restored" / f"{task}.1" / "made/story").read_text() == "one\n"
        assert len(of(plant, e.UndoBegun)) == len(of(plant, e.CheckoutRestored)) == 1 and of(plant, e.UndoEnded)[0].done
        assert_clear(cli(plant, "undo", f"{task}.1"), 4, "exists already")
    finally:
        plant.close()
