"""The merge queue in a whole factory: combinations that fail are taken apart, the target is watched, landings are undone."""

import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

import pytest

from andon.client import Declined
from andon.schema import events as e, inputs as i, wire
from andon.schema.ids import RepoId, TaskId
from andon.schema.views import EntryView, QueueView
from factory import Factory, factory, git, small_repo, without_walls

AGENT = f"""\
[agents.default]
command = ["{sys.executable}", "-S", "agent.py", "{{prompt_file}}"]
[checks.tests]
run = "{sys.executable} -S rules.py {{report}}"
report = "junit"
"""
AGENT_PY = '''
import pathlib, re, subprocess, sys
text = pathlib.Path(sys.argv[1]).read_text()
script = re.search(r"```sh\\n(.*?)```", text, re.S)[1]
subprocess.run(["sh", "-ec", script], check=True)
subprocess.run(["git", "add", "-A"], check=True)
subprocess.run(["git", "commit", "-qm", "what was asked for"], check=True)
'''
RULES_PY = '''
import pathlib, sys
files = {path.name for path in pathlib.Path("made").glob("*")}
broken = [pair for pair in (("a", "b"), ("poison", "merged")) if set(pair) <= files]
cases = "".join(f'<testcase classname="made" name="{name}"/>' for name in sorted(files - {"."}))
bad = "".join(f'<testcase classname="rules" name="{"-".join(pair)}"><failure message="both"/></testcase>' for pair in broken)
text = f'<testsuite name="r" tests="{len(files) + len(broken)}" failures="{len(broken)}">{cases}{bad}</testsuite>'
pathlib.Path(sys.argv[1]).write_text(text)
sys.exit(1 if broken else 0)
'''


Kind = TypeVar("Kind", bound=e.Event)


@pytest.fixture
def plant(tmp_path: Path) -> Iterator[Factory]:
    with factory(tmp_path / "f") as made:
        yield made


def project(path: Path, extra: str = "", *, walls: bool = False) -> Path:
    """A repository whose agents do what a task's script says, and whose check forbids some files together; with `walls` as the
    product is shipped."""
    repo = small_repo(path, files={"agent.py": AGENT_PY, "rules.py": RULES_PY, "made/first": "x\n"})
    toml = AGENT + '[policy]\nship = ["**"]\n' + textwrap.dedent(extra)
    (repo / "andon.toml").write_text(toml if walls else without_walls(toml))
    git(repo, "commit", "-qam", "settings")
    return repo


def job(plant: Factory, repo: RepoId, script: str, title: str = "a task", **fields: object) -> TaskId:
    """A task whose agent runs this script and commits."""
    done = plant.do(i.AddTask(repo=repo, title=title, spec=f"{title}\n\n```sh\n{script}\n```\n", **fields))  # type: ignore[arg-type]  # the fields of AddTask
    assert isinstance(done, wire.Done), done
    return TaskId(done.ids[0])


def of(plant: Factory, kind: type[Kind]) -> list[Kind]:
    """All events of a kind."""
    return [row.event for row in plant.events() if isinstance(row.event, kind)]


def held(plant: Factory, repo: RepoId) -> None:
    """Let changes gather."""
    assert isinstance(plant.do(i.HoldQueue(repo=repo, because="gathering")), wire.Done)


def entries(plant: Factory) -> dict[TaskId, EntryView]:
    """Those in the queue."""
    return {view.task: view for view in plant.views() if isinstance(view, EntryView)}


def test_what_gathers_lands_as_one_proven_prefix(plant: Factory, tmp_path: Path) -> None:
    repo = plant.register(project(tmp_path / "repo"))
    held(plant, repo)
    tasks = [job(plant, repo, f"echo x > made/n{n}") for n in range(6)]
    plant.until(lambda: len(entries(plant)) == 6, 60, what="six entries")
    before = len(plant.events())
    assert {entry.state for entry in entries(plant).values()} == {"held"}
    plant.do(i.ResumeQueue(repo=repo))
    for task in tasks:
        plant.until_state(task, "done")
    landed = [row.event for row in plant.events()[before:] if isinstance(row.event, e.TargetMoved)]
    assert len(landed) < 6, "six changes took as many moves of the target as one at a time would"
    view = next(view for view in plant.views() if isinstance(view, QueueView))
    assert view.flow.landed == 6 and view.flow.per_landed < 1


def test_two_changes_that_fail_only_together_are_taken_apart_and_the_later_learns_what_the_other_wanted(
    plant: Factory, tmp_path: Path,
) -> None:
    path = project(tmp_path / "repo")
    repo = plant.register(path)
    held(plant, repo)
    good = [job(plant, repo, f"echo x > made/n{n}") for n in range(2)]
    first = job(plant, repo, "echo x > made/a", title="the letter a is made")
    plant.until(lambda: first in entries(plant), 60, what="the first of the two")
    second = job(plant, repo, "git rev-parse -q --verify andon/previous >/dev/null && git rm -qf --ignore-unmatch made/b\n"
                 "test -e made/a && echo x > made/c || echo x > made/b", title="the letter b is made")
    plant.until(lambda: len(entries(plant)) == 4, 60, what="four entries")
    plant.do(i.ResumeQueue(repo=repo))
    for task in (*good, first, second):
        plant.until_state(task, "done", deadline=60)
    back = of(plant, e.EntrySentBack)
    assert [(event.task, event.reason) for event in back] == [(second, "failed")]
    packet = next(event.packet for event in of(plant, e.RetryScheduled) if event.task == second)
    assert "the letter a is made" in packet and "tests@merge" in packet
    assert len(back[0].runs) >= 2, "a culprit is confirmed before it is sent back"
    files = set(git(path, "ls-tree", "--name-only", "refs/andon/trunk/main:made").split())
    assert {"a", "c", "n0", "n1"} <= files and "b" not in files


def test_a_person_orders_holds_drops_and_releases(plant: Factory, tmp_path: Path) -> None:
    repo = plant.register(project(tmp_path / "repo"))
    held(plant, repo)
    tasks = []
    for n in range(4):
        tasks.append(job(plant, repo, f"echo x > made/n{n}"))
        plant.until(lambda: len(entries(plant)) == len(tasks), what="an entry")
    one, two, three, four = tasks
    for command in (i.OrderQueue(task=four), i.HoldEntry(task=one, because="not before noon"),
                    i.DropEntry(task=two, because="no longer wanted", cancel=True)):
        assert isinstance(plant.do(command), wire.Done)
    with pytest.raises(Declined, match="is not in the merge queue"):
        plant.do(i.OrderQueue(task=two))
    plant.do(i.ResumeQueue(repo=repo))
    plant.until_state(three, "done")
    assert plant.task(one).state == "landing" and "not before noon" in entries(plant)[one].why
    plant.do(i.ReleaseEntry(task=one))
    plant.until_state(one, "done")
    assert [event.task for event in of(plant, e.TaskLanded)] == [four, three, one]
    assert plant.task(two).state == "stopped"


WATCH = """\
[checks.later]
run = "test ! -e made/slow-poison"
[lines.build]
stations = ["build", "check", "review", "land", "watch"]
[stations.check]
checks = ["tests"]
[stations.watch]
checks = ["later"]
"""


def test_a_red_target_pulls_the_cord_names_the_change_and_is_reverted_on_a_yes(plant: Factory, tmp_path: Path) -> None:
    path = project(tmp_path / "repo", WATCH)
    repo = plant.register(path)
    plant.until_state(job(plant, repo, "echo x > made/n0"), "done", deadline=40)
    held(plant, repo)
    fine = [job(plant, repo, f"echo x > made/f{n}") for n in range(2)]
    bad = job(plant, repo, "echo x > made/slow-poison", title="something slow")
    plant.until(lambda: len(entries(plant)) == 3, 40, what="three entries")
    plant.do(i.ResumeQueue(repo=repo))
    plant.until(lambda: plant.gate(bad), 60, what="the ticket")
    gate = plant.gate(bad)
    assert gate is not None and gate.kind == "red" and "later" in gate.because
    assert [event.because for event in of(plant, e.CordPulled)] and plant.task(bad).state == "watching"
    red = of(plant, e.TargetRed)
    assert red[0].suspects == (bad,)
    plant.answer(gate, "revert")
    plant.until(lambda: "made/slow-poison" not in git(path, "ls-tree", "-r", "--name-only", "refs/andon/trunk/main"), 40,
                what="the revert")
    for task in (*fine, bad):
        plant.until_state(task, "done")
    assert of(plant, e.TargetGreen)[-1].check == "later"
    assert {"made/f0", "made/f1"} <= set(git(path, "ls-tree", "-r", "--name-only", "refs/andon/trunk/main").split())


def test_a_red_target_is_reverted_by_itself_where_the_settings_say_so(plant: Factory, tmp_path: Path) -> None:
    path = project(tmp_path / "repo", WATCH + '[queue]\nrevert = "auto"\n')
    repo = plant.register(path)
    plant.until_state(job(plant, repo, "echo x > made/n0"), "done", deadline=40)
    bad = job(plant, repo, "echo x > made/slow-poison", title="something slow")
    plant.until_state(bad, "done", deadline=60)
    added = [event for event in of(plant, e.TaskAdded) if event.reverts]
    assert [event.reverts for event in added] == [bad]
    assert "made/slow-poison" not in git(path, "ls-tree", "-r", "--name-only", "refs/andon/trunk/main")
    assert of(plant, e.CordPulled)


@pytest.mark.parametrize(("land", "history"), [("merge", "tips"), ("squash", "tips"), ("rebase", "tips"), ("merge", "green")])
def test_a_landing_is_undone_and_found_again_however_it_lands(plant: Factory, tmp_path: Path, land: str, history: str) -> None:
    path = project(tmp_path / "repo", f'[queue]\nland = "{land}"\nhistory = "{history}"\n')
    repo = plant.register(path)
    held(plant, repo)
    tasks = [job(plant, repo, f"echo x > made/n{n}", title=f"number {n}") for n in range(3)]
    plant.until(lambda: len(entries(plant)) == 3, 40, what="three entries")
    plant.do(i.ResumeQueue(repo=repo))
    for task in tasks:
        plant.until_state(task, "done")
    for landed in of(plant, e.TaskLanded):
        found = plant.ask(wire.FindCommit(commit=landed.commit))
        assert isinstance(found, wire.ProvenanceIs) and (found.found.task, found.found.by) == (landed.task, "ledger")
    if land == "merge":
        for accepted in of(plant, e.AttemptAccepted):
            found = plant.ask(wire.FindCommit(commit=accepted.commit))
            assert isinstance(found, wire.ProvenanceIs) and found.found.task == accepted.attempt.partition(".")[0]
    done = plant.do(i.RevertLanding(task=tasks[1], because="a change of mind"))
    assert isinstance(done, wire.Done)
    plant.until_state(TaskId(done.ids[0]), "done")
    files = set(git(path, "ls-tree", "--name-only", "refs/andon/trunk/main:made").split())
    assert {"n0", "n2"} <= files and "n1" not in files
    if history == "green":
        proven = {row.event.tree for row in plant.events() if isinstance(row.event, e.RunPlanned)}
        trees = git(path, "log", "--first-parent", "--format=%T", "refs/andon/trunk/main").split()
        assert set(trees[:-2]) <= proven
