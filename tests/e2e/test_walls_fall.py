"""A machine that loses its walls: everything goes on, loudly, and nothing lands without a person until they are back."""

import os
import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from andon.edges.sandbox import reached
from andon.schema import events as e
from andon.schema.views import FactoryView, ProblemView
from e2e.test_queue import job, project
from factory import Factory, factory, git, small_repo
from wholekit import cli, program

pytestmark = pytest.mark.skipif(reached("strict").level != "strict", reason=reached("strict").because or "no bubblewrap")
BROKEN = "echo 'bwrap: No permissions to create new namespace, likely because the kernel does not allow it' >&2\nexit 1"
LESS = reached("partial").level
"""What is left when bubblewrap is not."""


class Ground:
    """A place in front of the daemon's PATH where a bubblewrap that fails comes and goes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()

    def fall(self) -> None:
        program(self.folder / "bwrap", BROKEN)

    def rise(self) -> None:
        (self.folder / "bwrap").unlink()


@pytest.fixture
def ground(tmp_path: Path) -> Ground:
    return Ground(tmp_path / "front")


@pytest.fixture
def plant(tmp_path: Path, ground: Ground) -> Iterator[Factory]:
    with factory(tmp_path / "f", {"PATH": os.pathsep.join((str(ground.folder), os.environ["PATH"]))}) as made:
        yield made


def walls(plant: Factory) -> str:
    """What the daemon says that the machine gives."""
    best = next(view.walls for view in plant.views() if isinstance(view, FactoryView))
    return best.level if best else ""


def loud(plant: Factory) -> list[ProblemView]:
    """The problem of weak walls."""
    return [view for view in plant.views() if isinstance(view, ProblemView) and view.problem == "walls"]


def test_without_bubblewrap_a_change_is_built_and_asks_a_person_and_with_it_back_the_next_one_lands_by_itself(
        plant: Factory, ground: Ground, tmp_path: Path) -> None:
    repo = plant.register(small_repo(tmp_path / "repo", walls=True))
    first = plant.add(repo)
    plant.until_state(first, "done", "waiting", deadline=60)
    assert (plant.task(first).state, plant.task(first).walls) == ("done", "strict")
    ground.fall()
    second = plant.add(repo)
    plant.until_state(second, "waiting", "done", "failed", deadline=60)
    gate = plant.gate(second)
    assert gate is not None and (gate.kind, gate.risk, gate.walls) == ("review", "review", LESS)
    assert f"built within walls of level {LESS}" in gate.because and "[policy] walls asks for strict" in gate.because
    assert plant.task(second).walls == LESS and walls(plant) == LESS
    told = loud(plant)
    assert len(told) == 1 and f"run within walls of level {LESS}" in told[0].what and "No permissions" not in told[0].mend
    plant.answer(gate, "approve")
    plant.until_state(second, "done", deadline=60)
    ground.rise()
    third = plant.add(repo)
    plant.until_state(third, "done", "waiting", "failed", deadline=60)
    assert (plant.task(third).state, plant.task(third).walls, walls(plant)) == ("done", "strict", "strict")
    assert not loud(plant), "no restart, no command: the next job noticed"
    levels = {row.event.task: row.event.walls for row in plant.events() if isinstance(row.event, e.GateOpened)}
    assert levels == {second: LESS}


def test_doctor_and_status_say_the_level_why_and_the_mend_and_doctor_looks_again(
        plant: Factory, ground: Ground, tmp_path: Path) -> None:
    name = plant.register(small_repo(tmp_path / "repo", walls=True))
    assert "this machine gives strict by bubblewrap" in cli(plant, "doctor", "--quick").out
    ground.fall()
    told = cli(plant, "doctor", "--quick").out
    assert f"this machine gives {LESS}" in told and "New namespaces are refused" in told, told
    row = next(line for line in told.splitlines() if f"walls of {name}" in line)
    assert f"asks for the best, agents and checks run at level {LESS}: below strict, so a person is asked" in row
    status = cli(plant, "status").out
    assert f"walls    {LESS}" in status and "problem  agents and checks of repo run within walls of level" in status, status
    ground.rise()
    assert "this machine gives strict by bubblewrap" in cli(plant, "doctor", "--quick").out
    assert "walls    strict by bubblewrap" in cli(plant, "status").out and not loud(plant)


def test_a_demand_for_strict_walls_starts_nothing_with_less_and_goes_on_when_doctor_finds_them_again(
        plant: Factory, ground: Ground, tmp_path: Path) -> None:
    ground.fall()
    cli(plant, "doctor", "--quick")
    name = plant.register(small_repo(tmp_path / "repo", extra='[sandbox]\nlevel = "strict"\n', walls=True))
    task = plant.add(name)
    plant.until(lambda: "walls of level strict are asked for" in " ".join(plant.task(task).why), what="the reason")
    assert not [row for row in plant.events() if isinstance(row.event, e.AttemptClaimed)]
    assert "nothing of repo starts" in loud(plant)[0].what
    ground.rise()
    assert "this machine gives strict" in cli(plant, "doctor", "--quick").out
    plant.until_state(task, "done", deadline=60)


def test_walls_that_fall_between_the_checks_and_the_landing_let_nothing_land_unseen(
        plant: Factory, ground: Ground, tmp_path: Path) -> None:
    path = project(tmp_path / "repo", walls=True)
    repo = plant.register(path)
    assert cli(plant, "queue", "stop", "--because", "gather", cwd=path).code == 0
    names = [job(plant, repo, f"echo x > made/n{n}") for n in range(3)]
    for name in names:
        plant.until_state(name, "landing", deadline=60)
    assert {plant.task(name).walls for name in names} == {"strict"}
    (path / "README.md").write_text("a project that went on\n")  # so that no merged tree is one that was proven before
    git(path, "commit", "-qam", "mine")
    plant.until(lambda: [row for row in plant.events() if isinstance(row.event, e.TargetObserved) and row.event.by == "person"])
    ground.fall()
    assert cli(plant, "queue", "resume", cwd=path).code == 0
    for name in names:
        plant.until(partial(plant.gate, name), 60, what=f"a question about {name}")
    assert not [row for row in plant.events() if isinstance(row.event, e.TargetMoved)]
    gates = [gate for name in names if (gate := plant.gate(name))]
    assert all("was proven within walls of level" in gate.because and gate.walls == LESS for gate in gates), gates
    for gate in gates:
        plant.answer(gate, "approve")
    for name in names:
        plant.until_state(name, "done", deadline=60)
    landed = git(path, "ls-tree", "-r", "--name-only", "refs/andon/trunk/main").split()
    assert {f"made/n{n}" for n in range(3)} <= set(landed)


def test_where_bubblewrap_was_never_installed_the_work_goes_on_and_installing_it_is_noticed_without_a_restart(
        tmp_path: Path) -> None:
    tools = tmp_path / "tools"
    tools.mkdir()
    for tool in ("sh", "cat", "env", "git", "tmux", "kill", "ps", "sleep", "uname", "python3"):
        if found := shutil.which(tool):
            (tools / tool).symlink_to(found)
    blind = "from andon.edges import bubblewrap; bubblewrap.PLACES = ''; from andon.cli.main import main; main(['daemon'])"
    made = Factory(tmp_path / "f", {"PATH": str(tools)})
    try:
        made.start(program=("-c", blind))
        repo = made.register(small_repo(tmp_path / "repo", walls=True))
        task = made.add(repo)
        made.until_state(task, "waiting", "done", "failed", deadline=60)
        assert (made.task(task).state, made.task(task).walls) == ("waiting", LESS)
        assert "bubblewrap is not installed" in loud(made)[0].what and "apt install bubblewrap" in loud(made)[0].mend
        (tools / "bwrap").symlink_to(shutil.which("bwrap") or "")
        other = made.add(repo)
        made.until_state(other, "done", "waiting", "failed", deadline=60)
        assert (made.task(other).state, made.task(other).walls) == ("done", "strict") and not loud(made)
    finally:
        made.close()
