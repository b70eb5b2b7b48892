"""Checks that cannot say yes or no: each is unevaluated, asks a person, and never lands; nothing of a run outlives it."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from andon.schema import events as e, inputs as i
from andon.schema.ids import TaskId
from factory import Factory, factory, git, small_repo

JUNIT = '<testsuite name="q" tests="1"><testcase classname="t" name="one"/></testsuite>'
PASSES = f"printf '%s' '{JUNIT}' > {{report}}"
CASES: dict[str, tuple[str, str, str]] = {
    "the program is not there": ("no-such-tool --report {report}", "missing-tool", "exit 127"),
    "the program may not be run": ("./README.md {report}", "missing-tool", "exit 126"),
    "no test ran": ("printf '<testsuite name=\"q\" tests=\"0\"></testsuite>' > {report}", "zero-tests", "0 tests ran"),
    "no report": ("test -n {report}", "unreadable-report", "left no report"),
    "the report is no XML": ("echo hello > {report}", "unreadable-report", "no JUnit XML"),
    "the report is a directory": ("mkdir {report}", "unreadable-report", "no plain file"),
    "the report is a link": (f"{PASSES}.real && ln -s {{report}}.real {{report}}", "unreadable-report", "no plain file"),
    "it ended by a signal": (f"{PASSES}; kill -KILL $$", "signal", "signal 9"),
    "it ran into its limit": (f"{PASSES}; sleep 60", "timeout", "limit of"),
    "it changed what it tests": (f"{PASSES}; echo more >> README.md", "tampered", "README.md"),
    "an exit code that no test explains": (f"{PASSES}; exit 3", "unreadable-report", "exit code 3"),
}


@pytest.fixture(scope="module")
def plant(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Factory]:
    with factory(tmp_path_factory.mktemp("checks") / "f") as made:
        yield made


def a_line(plant: Factory, path: Path, check: str, minutes: float = 1.0, **limits: int) -> TaskId:
    """A task of a repository whose one check is this."""
    small_repo(path, check=check)
    more = "".join(f"{name} = {value}\n" for name, value in limits.items())
    text = (path / "andon.toml").read_text().replace('report = "junit"\n', f'report = "junit"\nminutes = {minutes}\n{more}')
    (path / "andon.toml").write_text(text)
    git(path, "commit", "-qam", "the check")
    return plant.add(plant.register(path))


def runs(plant: Factory, task: TaskId) -> list[e.RunFinished]:
    """The results of the runs about a task's change."""
    rows = [row.event for row in plant.events()]
    mine = {event.run for event in rows if isinstance(event, e.RunPlanned) and event.task == task}
    return [event for event in rows if isinstance(event, e.RunFinished) and event.run in mine]


@pytest.mark.parametrize("case", CASES)
def test_a_check_that_cannot_say_yes_or_no_asks_a_person_and_never_lands(plant: Factory, tmp_path: Path, case: str) -> None:
    check, cause, says = CASES[case]
    path = tmp_path / case.replace(" ", "-")
    task = a_line(plant, path, check, minutes=0.02 if cause == "timeout" else 1.0)
    plant.until(lambda: plant.gate(task), what="the gate")
    gate = plant.gate(task)
    assert gate is not None and gate.kind == "unevaluated" and says in gate.because, gate
    found = runs(plant, task)
    assert {run.result for run in found} == {"unevaluated"} and {run.cause for run in found} == {cause}, found
    assert all(plant.blob(run.evidence) for run in found)
    assert "approve" not in {option.key for option in gate.options}
    assert git(path, "log", "--format=%s", "main").splitlines()[0] == "the check"
    assert not git(path, "for-each-ref", "refs/andon/trunk", "refs/andon/cand")


def test_a_person_may_run_an_unevaluated_check_again_and_it_lands_when_it_says_yes(plant: Factory, tmp_path: Path) -> None:
    mark = tmp_path / "the database is up"
    task = a_line(plant, tmp_path / "repo", f"test -e '{mark}' || exit 127; {PASSES}")
    plant.until(lambda: plant.gate(task), what="the gate")
    mark.touch()
    gate = plant.gate(task)
    assert gate is not None
    plant.do(i.AnswerGate(gate=gate.gate, option="run-again", bound=gate.bound))
    plant.until_state(task, "done")


def test_a_flood_of_output_is_cut_in_the_middle_and_the_check_still_counts(plant: Factory, tmp_path: Path) -> None:
    flood = f"{sys.executable} -S -c 'print(\"first words\"); print(\"x\" * 70_000_000); print(\"last words\")'"
    task = a_line(plant, tmp_path / "repo", f"{flood}; {PASSES}", output_mb=1)
    plant.until_state(task, "done", deadline=60)
    text = plant.blob(runs(plant, task)[0].log)
    assert len(text) < 1.1 * 2**20 and text.startswith("first words") and text.rstrip().endswith("last words")


def test_what_a_check_leaves_running_ends_with_it(plant: Factory, tmp_path: Path) -> None:
    mark = f"andon-left-{os.getpid()}"
    stray = f"(setsid sh -c 'sleep 600; : {mark}' > /dev/null 2>&1 &)"
    task = a_line(plant, tmp_path / "repo", f"{stray}; {PASSES}")
    plant.until_state(task, "done")
    commands = [(entry / "cmdline").read_bytes() for entry in Path("/proc").glob("[0-9]*") if alive(entry)]
    assert not [words for words in commands if mark.encode() in words]


def test_what_a_check_leaves_on_disk_goes_with_it_and_its_evidence_stays(plant: Factory, tmp_path: Path) -> None:
    litter = 'mkdir -p "$TMPDIR/deep/er" && touch "$TMPDIR/deep/er/file" && chmod 500 "$TMPDIR/deep"'
    task = a_line(plant, tmp_path / "repo", f"{litter}; {PASSES}")
    plant.until_state(task, "done")
    assert list(plant.layout.jobs.glob("*R*")) == [] and list(plant.layout.trash.glob("*")) == []
    assert all(plant.blob(run.evidence) and run.report for run in runs(plant, task))


def alive(entry: Path) -> bool:
    """Whether a process's command line can still be read."""
    try:
        return bool((entry / "cmdline").read_bytes())
    except OSError:
        return False


def test_a_target_that_is_not_green_is_said_and_what_inherits_its_failure_does_not_land(plant: Factory, tmp_path: Path) -> None:
    path = small_repo(tmp_path / "repo", files={"tests/broken.txt": "FAIL\n"})
    name = plant.register(path)
    task = plant.add(name)
    plant.until(lambda: f"problem target:{name}:tests" in plant_says(plant), what="the problem")
    plant.until(lambda: plant.gate(task) or plant.task(task).state in ("failed", "done"), what="the end of the retries")
    assert plant.task(task).state != "done"


def plant_says(plant: Factory) -> str:
    """The names of all problems."""
    return " ".join(f"problem {row.event.key}" for row in plant.events() if isinstance(row.event, e.ProblemNoticed))
