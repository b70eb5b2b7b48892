"""Settings edited while the factory runs: good ones count at once, bad ones never, commands wait for a yes, judges for a commit."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from andon.schema import events as e, inputs as i, wire
from andon.schema.ids import RepoId
from andon.schema.views import ProblemView, RepositoryView
from factory import UNHELD, Factory, factory, git, small_repo
from wholekit import cli


@pytest.fixture
def plant(tmp_path: Path) -> Iterator[Factory]:
    with factory(tmp_path / "f", settings="") as made:
        yield made


def problems(plant: Factory) -> dict[str, ProblemView]:
    """The problems on the board by key."""
    return {view.problem: view for view in plant.views() if isinstance(view, ProblemView)}


def card(plant: Factory, repo: RepoId) -> RepositoryView:
    """The repository on the board."""
    return next(view for view in plant.views() if isinstance(view, RepositoryView) and view.repo == repo)


def edit(path: Path, old: str, new: str, *, by_rename: bool = False) -> None:
    """Edit a file as a person does: in place, or as most editors do, by a rename."""
    text = path.read_text()
    assert old in text
    if not by_rename:
        path.write_text(text.replace(old, new))
        return
    aside = path.with_name(f".{path.name}.swp")
    aside.write_text(text.replace(old, new))
    aside.rename(path)


def in_force(plant: Factory) -> e.SettingsActivated:
    """The settings that count now."""
    return next(row.event for row in reversed(plant.events()) if isinstance(row.event, e.SettingsActivated))


@pytest.mark.parametrize("by_rename", [False, True])
def test_a_good_edit_counts_at_once_and_needs_no_restart(plant: Factory, tmp_path: Path, by_rename: bool) -> None:
    repo = small_repo(tmp_path / "repo", extra="[factory]\nwip = 1\n")
    name = plant.register(repo)
    first, second = plant.add(name, "hang"), plant.add(name, "hang")
    plant.until_state(first, "building")
    assert any("its limit is 1" in reason for reason in plant.task(second).why)
    edit(repo / "andon.toml", "wip = 1", "wip = 2", by_rename=by_rename)
    plant.until_state(second, "building")
    assert in_force(plant).settings.wip == 2 and not problems(plant)


BAD = {
    "it is no TOML": ("wip = 1", "wip = ", "not TOML"),
    "an unknown key": ("wip = 1", "wpi = 1", "unknown key `factory.wpi`"),
    "a wrong type": ("wip = 1", "wip = true", "factory.wip"),
    "an agent without a command": ('use = "scripted"', 'use = "command"', "agent `default` says neither"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_edit_keeps_the_last_good_says_file_and_line_and_goes_when_it_is_mended(
        plant: Factory, tmp_path: Path, case: str) -> None:
    old, new, says = BAD[case]
    repo = small_repo(tmp_path / "repo", extra="[factory]\nwip = 1\n")
    line = (repo / "andon.toml").read_text()[: (repo / "andon.toml").read_text().index(old)].count("\n") + 1
    name = plant.register(repo)
    good = in_force(plant)
    edit(repo / "andon.toml", old, new)
    plant.until(lambda: f"settings:{name}" in problems(plant), what="the problem")
    problem = problems(plant)[f"settings:{name}"]
    file, _, place = problem.where.partition(".toml:")
    assert says in problem.what and f"{file}.toml" == str(repo / "andon.toml"), problem
    assert line - 1 <= int(place.partition(":")[0]) <= line, problem
    assert problem.mend and in_force(plant) == good
    plant.until_state(plant.add(name), "done")
    edit(repo / "andon.toml", new, old)
    plant.until(lambda: not problems(plant), what="the problem to go")
    assert in_force(plant) == good


def test_a_bad_edit_survives_a_restart_as_a_problem_and_the_last_good_stays(plant: Factory, tmp_path: Path) -> None:
    repo = small_repo(tmp_path / "repo", extra="[factory]\nwip = 1\n")
    name = plant.register(repo)
    good = in_force(plant)
    plant.stop()
    edit(repo / "andon.toml", "wip = 1", "wip = 'one'")
    plant.start()
    plant.until(lambda: f"settings:{name}" in problems(plant), what="the problem")
    assert in_force(plant) == good
    plant.until_state(plant.add(name), "done")


def test_a_changed_command_runs_only_after_somebody_read_it_and_said_yes(plant: Factory, tmp_path: Path) -> None:
    repo, mark = small_repo(tmp_path / "repo"), tmp_path / "it ran"
    name = plant.register(repo)
    edit(repo / "andon.toml", "[checks.tests]", f"[checkout]\nteardown = [\"touch '{mark}'\"]\n[checks.tests]")
    plant.until(lambda: f"trust:{name}" in problems(plant), what="the question of trust")
    problem = problems(plant)[f"trust:{name}"]
    assert "nobody trusted them yet" in problem.what and f"andon trust {name}" in problem.mend
    task = plant.add(name)
    assert plant.task(task).state == "queued" and any("not trusted" in reason for reason in plant.task(task).why)
    shown = cli(plant, "trust", name)
    assert shown.code == 2 and f"teardown: touch '{mark}'" in shown.out and plant.task(task).attempts == 0
    assert cli(plant, "trust", name, "--yes").code == 0
    plant.until_state(task, "done")
    plant.until(mark.exists, what="the command to run")
    plant.until(lambda: not problems(plant), what="the question to go")


def test_a_command_that_is_put_back_needs_no_new_yes(plant: Factory, tmp_path: Path) -> None:
    repo = small_repo(tmp_path / "repo")
    name = plant.register(repo)
    edit(repo / "andon.toml", 'use = "scripted"', 'use = "scripted"\nargs = ["nothing"]')
    plant.until(lambda: f"trust:{name}" in problems(plant), what="the question of trust")
    edit(repo / "andon.toml", 'use = "scripted"\nargs = ["nothing"]', 'use = "scripted"')
    plant.until(lambda: not problems(plant), what="the question to go")
    plant.until_state(plant.add(name), "done")


def test_what_judges_waits_for_its_commit_and_then_for_trust(plant: Factory, tmp_path: Path) -> None:
    repo = small_repo(tmp_path / "repo")
    name = plant.register(repo)
    before = in_force(plant)
    edit(repo / "andon.toml", "-S quick.py", "-S -B quick.py")
    plant.until(lambda: card(plant, name).notes, what="the note")
    assert any("[checks]" in note and "committed on main" in note for note in card(plant, name).notes)
    assert in_force(plant).settings.checks == before.settings.checks and not problems(plant)
    git(repo, "commit", "-qam", "another check")
    plant.until(lambda: f"trust:{name}" in problems(plant), what="the question of trust")
    assert "-S -B quick.py" in in_force(plant).settings.checks["tests"].run and not card(plant, name).notes
    assert cli(plant, "trust", name, "--yes").code == 0
    plant.until_state(plant.add(name), "done")


def test_a_judge_that_an_agent_edits_is_not_the_judge_of_its_change(plant: Factory, tmp_path: Path) -> None:
    repo = small_repo(tmp_path / "repo", extra='[policy]\nship = ["notes/**"]\n')
    name = plant.register(repo)
    before = in_force(plant)
    task = plant.add(name, "edit-checks")
    plant.until(lambda: plant.gate(task) or plant.task(task).state in ("failed", "done"), what="a person to be asked")
    assert plant.task(task).state != "done" and in_force(plant) == before


def test_a_target_with_a_slash_is_followed_when_a_person_commits(plant: Factory, tmp_path: Path) -> None:
    repo = small_repo(tmp_path / "repo", extra='[factory]\ntarget = "release/1.0"\n')
    git(repo, "branch", "release/1.0")
    name = plant.register(repo)
    git(repo, "worktree", "add", "-q", str(tmp_path / "other"), "release/1.0")
    (tmp_path / "other" / "mine.txt").write_text("mine\n")
    git(tmp_path / "other", "add", "mine.txt")
    git(tmp_path / "other", "commit", "-q", "-m", "my own commit")
    head = git(repo, "rev-parse", "release/1.0")
    plant.until(lambda: card(plant, name).trunk == head, what="the target to be seen")


def test_a_commit_beside_a_landing_is_said_with_the_way_to_join_the_two(plant: Factory, tmp_path: Path) -> None:
    repo = small_repo(tmp_path / "repo")
    name = plant.register(repo)
    (repo / "README.md").write_text("my own words\n")
    plant.until_state(plant.add(name), "done")
    git(repo, "commit", "-qam", "my own words")
    plant.until(lambda: f"diverged:{name}" in problems(plant), what="the problem")
    assert problems(plant)[f"diverged:{name}"].mend.endswith("git merge refs/andon/trunk/main")
    git(repo, "merge", "-q", "-m", "both", "refs/andon/trunk/main")
    plant.until(lambda: not problems(plant) and card(plant, name).trunk == git(repo, "rev-parse", "main"), what="the two to be one")
    plant.until_state(plant.add(name), "done")


# --- the person's own file -------------------------------------------------------------------------------------------


def test_the_persons_own_file_counts_at_once_also_when_its_directory_is_new(plant: Factory, tmp_path: Path) -> None:
    name = plant.register(small_repo(tmp_path / "repo"))
    assert plant.layout.person_settings.parent.is_relative_to(Path(os.environ["HOME"]))
    assert not plant.layout.person_settings.exists()
    plant.layout.person_settings.write_text(f"{UNHELD}[factory]\nwip = 1\n")
    plant.until(lambda: "wip_limit=1" in str(plant.views()), what="the limit")
    first, second = plant.add(name, "hang"), plant.add(name, "hang")
    plant.until_state(first, "building")
    assert any("the factory's limit is 1" in reason for reason in plant.task(second).why)
    edit(plant.layout.person_settings, "1", "2", by_rename=True)
    plant.until_state(second, "building")


def test_a_bad_edit_of_the_persons_own_file_is_one_problem_and_the_last_good_stays(plant: Factory, tmp_path: Path) -> None:
    name = plant.register(small_repo(tmp_path / "repo"))
    plant.layout.person_settings.write_text("[factory]\nwip = 3\n")
    plant.until(lambda: "wip_limit=3" in str(plant.views()), what="the limit")
    edit(plant.layout.person_settings, "wip = 3", "wip = 3\nwip = 4")
    plant.until(lambda: "settings:" in problems(plant), what="the problem")
    assert problems(plant)["settings:"].where.startswith(f"{plant.layout.person_settings}:3")
    assert "wip_limit=3" in str(plant.views())
    plant.until_state(plant.add(name), "done")
    edit(plant.layout.person_settings, "wip = 3\nwip = 4", "wip = 5")
    plant.until(lambda: not problems(plant) and "wip_limit=5" in str(plant.views()), what="the problem to go")


def test_an_agent_of_the_persons_own_is_a_command_that_needs_a_yes_too(plant: Factory, tmp_path: Path) -> None:
    name = plant.register(small_repo(tmp_path / "repo"))
    plant.layout.person_settings.write_text('[agents.mine]\nuse = "scripted"\nargs = ["proper"]\n')
    plant.until(lambda: f"trust:{name}" in problems(plant), what="the question of trust")
    told = plant.ask(wire.ReloadSettings(repo=name))
    assert isinstance(told, wire.SettingsAre) and any("agent mine" in command for command in told.commands)
    plant.do(i.TrustCommands(repo=name, commands=told.loaded.commands))
    plant.until_state(plant.add(name, agent="mine"), "done")
