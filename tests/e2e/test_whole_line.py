"""From a task to a proven, landed commit: real tmux, real git, scripted agents."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from andon.schema import events as e, inputs as i, wire
from andon.schema.errors import Mistake
from andon.schema.ids import AttemptId, Digest, TaskId
from factory import Factory, factory, git, shipped


@pytest.fixture
def plant(tmp_path: Path) -> Iterator[Factory]:
    with factory(tmp_path / "f") as made:
        yield made


def landed_files(repo: Path) -> set[str]:
    return set(git(repo, "ls-tree", "-r", "--name-only", "refs/andon/trunk/main").split())


def test_a_task_becomes_a_landed_commit_whose_tree_was_proven(plant: Factory, tmp_path: Path) -> None:
    repo = shipped(tmp_path / "repo")
    task = plant.add(plant.register(repo))
    plant.until_state(task, "done")
    moved = next(row.event for row in plant.events() if isinstance(row.event, e.TargetMoved))
    proven = {run.event.run for run in plant.events() if isinstance(run.event, e.RunFinished) and run.event.result == "pass"}
    claims = [row.event for row in plant.events() if isinstance(row.event, e.ClaimJudged) and row.event.claim == "tests@merge"]
    assert [claim.commit for claim in claims] == [moved.new]
    assert claims[0].run in proven
    assert "notes/T1.md" in landed_files(repo)


def test_the_persons_clean_checkout_follows_and_a_dirty_one_is_left_alone(plant: Factory, tmp_path: Path) -> None:
    repo = shipped(tmp_path / "repo")
    name = plant.register(repo)
    plant.until_state(plant.add(name), "done")
    plant.until(lambda: (repo / "notes/T1.md").exists(), what="the checkout to follow")
    (repo / "README.md").write_text("my own words\n")
    plant.until_state(plant.add(name), "done")
    assert (repo / "README.md").read_text() == "my own words\n"
    assert not (repo / "notes/T2.md").exists()
    assert "notes/T2.md" in landed_files(repo)


def test_dependents_wait_and_then_start_from_the_landed_change(plant: Factory, tmp_path: Path) -> None:
    name = plant.register(shipped(tmp_path / "repo"))
    first = plant.add(name, "slow")
    second = plant.add(name, after=(first,))
    assert any(first in reason for reason in plant.task(second).why)
    plant.until_state(second, "done", deadline=60)
    order = [row.event.task for row in plant.events() if isinstance(row.event, e.TaskLanded)]
    assert order == [first, second]
    claim = next(row.event for row in plant.events() if isinstance(row.event, e.AttemptClaimed) and row.event.task == second)
    landed = next(row.event for row in plant.events() if isinstance(row.event, e.TaskLanded) and row.event.task == first)
    assert claim.base == landed.commit


def test_a_review_gate_holds_until_a_person_answers_what_was_shown(plant: Factory, tmp_path: Path) -> None:
    name = plant.register(shipped(tmp_path / "repo", extra='[policy]\nship = ["docs/**"]\n'))
    task = plant.add(name)
    plant.until(lambda: plant.gate(task), what="the gate")
    gate = plant.gate(task)
    assert gate is not None
    assert "+" in plant.blob(gate.diff)
    with pytest.raises(Mistake, match="something else than you saw"):
        plant.do(i.AnswerGate(gate=gate.gate, option="approve", bound=Digest("0" * 64)))
    assert plant.task(task).state == "waiting"
    plant.answer(gate, "approve")
    plant.until_state(task, "done")


def test_a_rejected_change_goes_back_with_the_reason(plant: Factory, tmp_path: Path) -> None:
    name = plant.register(shipped(tmp_path / "repo", extra='[policy]\nship = ["docs/**"]\n'))
    task = plant.add(name)
    plant.until(lambda: plant.gate(task), what="the gate")
    gate = plant.gate(task)
    assert gate is not None
    plant.answer(gate, "reject", "Name the file after the person")
    plant.until(lambda: plant.task(task).attempts == 2, what="the second attempt")
    prompt = plant.layout.job("T1.2") / "prompt.md"
    plant.until(prompt.exists, what="the prompt")
    assert "Name the file after the person" in prompt.read_text()


def test_a_question_becomes_a_gate_and_the_answer_reaches_the_agent(plant: Factory, tmp_path: Path) -> None:
    task = plant.add(plant.register(shipped(tmp_path / "repo")), "ask")
    plant.until(lambda: plant.gate(task), what="the question")
    gate = plant.gate(task)
    assert gate is not None and gate.kind == "question"
    plant.answer(gate, gate.options[0].key, "blue")
    plant.until_state(task, "done")


def test_cancel_ends_the_agent_and_keeps_its_work(plant: Factory, tmp_path: Path) -> None:
    repo = shipped(tmp_path / "repo")
    task = plant.add(plant.register(repo), "hang")
    plant.until(lambda: plant.sessions() and plant.sessions()[0].started, what="the agent")
    place = Path(plant.sessions()[0].path)
    (place / "unsaved.txt").write_text("not committed\n")
    plant.do(i.CancelTask(task=task, because="not needed"))
    plant.until(lambda: "checkout.removed" in plant.kinds(), what="the checkout to be removed")
    assert not place.exists()
    assert plant.task(task).state == "stopped"
    ref = next(row.event.ref for row in reversed(plant.events()) if isinstance(row.event, e.WorkSalvaged) and row.event.ref)
    assert git(repo, "show", f"{ref}:unsaved.txt") == "not committed"
    undone = plant.ask(wire.Undo(attempt=AttemptId(f"{task}.1")))
    assert isinstance(undone, wire.Done)
    assert (Path(undone.ids[0]) / "unsaved.txt").read_text() == "not committed\n"


def test_a_pulled_cord_lets_nothing_start_until_resumed(plant: Factory, tmp_path: Path) -> None:
    name = plant.register(shipped(tmp_path / "repo"))
    plant.do(i.PullCord(repo=name, line="build", because="the line smells"))
    task = plant.add(name)
    assert plant.task(task).state == "paused"
    assert "the line smells" in plant.task(task).why[0]
    plant.stop()
    plant.start()
    assert plant.task(task).state == "paused"
    plant.do(i.ReleaseCord(repo=name, line="build"))
    plant.until_state(task, "done")


def test_a_daemon_that_is_killed_adopts_its_agents_untouched(plant: Factory, tmp_path: Path) -> None:
    task = plant.add(plant.register(shipped(tmp_path / "repo")), "slow")
    plant.until(lambda: plant.sessions() and plant.sessions()[0].started, what="the agent")
    plant.kill()
    plant.start()
    plant.until_state(task, "done", deadline=60)
    starts = [row for row in plant.events() if isinstance(row.event, e.AttemptStarted)]
    assert len(starts) == 1


LIARS = ("lie", "empty-commit", "invent-sha", "steal", "delete-tests", "edit-checks", "crash-after-done", "nothing")


def test_no_liar_ever_lands(plant: Factory, tmp_path: Path) -> None:
    repo = shipped(tmp_path / "repo", extra="[factory]\nwip = 3\n", files={"tests/two.txt": "ok\n"})
    before = git(repo, "rev-parse", "main")
    name = plant.register(repo)
    tasks = [plant.add(name, scenario, title=scenario) for scenario in LIARS]
    plant.until(lambda: all(over(plant, task) for task in tasks), 110, what="every liar to be caught")
    assert not [row for row in plant.events() if isinstance(row.event, e.TaskLanded)]
    assert git(repo, "rev-parse", "main") == before


def over(plant: Factory, task: TaskId) -> bool:
    return plant.task(task).state in ("waiting", "failed", "done")
