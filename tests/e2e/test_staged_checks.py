"""Whole lines with staged checks, a baseline, protected tests and a scan for secrets: honest work lands, cheating work does not."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from andon.schema import events as e
from andon.schema.ids import TaskId
from factory import Factory, factory, git, small_repo

RUFF = f"{Path(sys.executable).parent}/ruff check --no-cache --isolated --select F --output-format sarif -o {{report}} ."
EXTRA = f"""
protect = ["tests/**", "quick.py"]
[checks.astyle]
run = '''{RUFF}'''
report = "sarif"
baseline = true
inputs = ["**/*.py"]
stage = 2
[checks.secrets]
use = "secrets"
stage = 1
[checks.rules]
use = "rules"
stage = 1
[budget]
task = {{ attempts = 1 }}
"""
HONEST = """about = "Honest work that adds a test and moves old code"
[[step]]
write = "tests/two.txt"
text = "ok\\n"
[[step]]
write = "old.py"
text = "# moved down\\n\\nimport os\\n"
[[step]]
commit = "Work"
[[step]]
finished = "done"
"""
KEY = "AKIA" + "Z7QW3ERT5YUI8OPA"


def cheat(path: str, text: str) -> str:
    return f"about = 'cheats'\n[[step]]\nwrite = '{path}'\ntext = {json.dumps(text)}\n" \
           "[[step]]\ncommit = 'Work'\n[[step]]\nfinished = 'All tests pass'\n"


FILES = {
    "old.py": "import os\n", "tests/red.txt": "ok\n", "acts/honest.toml": HONEST,
    "acts/secret.toml": cheat("settings.py", f"key = '{KEY}'\n"), "acts/defect.toml": cheat("new.py", "import sys\n"),
    "acts/tests.toml": cheat("quick.py", "import sys\nopen(sys.argv[1], 'w').write("
                             "'<testsuite><testcase classname=\"t\" name=\"x\"/></testsuite>')\n"),
}


@pytest.fixture(scope="module")
def plant(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Factory]:
    with factory(tmp_path_factory.mktemp("staged") / "f") as made:
        yield made


@pytest.fixture(scope="module")
def repo(plant: Factory, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = small_repo(tmp_path_factory.mktemp("repo") / "repo", files=FILES)
    text = (path / "andon.toml").read_text().replace('report = "junit"\n', f'report = "junit"\n{EXTRA}')
    (path / "andon.toml").write_text(text)
    git(path, "commit", "-qam", "the checks")
    return path


def planned(plant: Factory, task: TaskId) -> list[str]:
    """The checks that were run about a task's change, in order."""
    rows = [row.event for row in plant.events()]
    return [event.check for event in rows if isinstance(event, e.RunPlanned) and event.task == task and event.purpose == "change"]


def claims(plant: Factory, task: TaskId) -> dict[str, e.ClaimJudged]:
    rows = [row.event for row in plant.events()]
    return {event.claim: event for event in rows if isinstance(event, e.ClaimJudged) and event.task == task}


def test_honest_work_is_proven_stage_by_stage_and_lands(plant: Factory, repo: Path) -> None:
    task = plant.add(plant.register(repo), "acts/honest.toml")
    plant.until_state(task, "done")
    assert planned(plant, task) == ["secrets", "rules", "astyle", "tests"]
    told = claims(plant, task)
    assert told["astyle"].because == "no new finding, 2 of the base"
    assert "with the base's tests/two.txt, which the change touches: 2 tests passed" in told["tests"].because
    assert told["tests"].because.startswith("3 tests passed; ") and "added lines looked at" in told["secrets"].because
    assert "tests/two.txt" in git(repo, "ls-tree", "-r", "--name-only", "refs/andon/trunk/main")


@pytest.mark.parametrize(("act", "claim", "because", "ran"), [
    ("secret", "secrets", "1 findings", ["secrets", "rules"]),
    ("defect", "astyle", "1 new finding", ["secrets", "rules", "astyle"]),
    ("tests", "tests", "tests of the base no longer pass", ["secrets", "rules", "astyle", "tests"])])
def test_cheating_work_is_refuted_and_nothing_heavier_is_run(
        plant: Factory, repo: Path, act: str, claim: str, because: str, ran: list[str]) -> None:
    task = plant.add(plant.register(repo), f"acts/{act}.toml")
    plant.until(lambda: plant.gate(task) or plant.task(task).state in ("failed", "done"), what="the end")
    assert plant.task(task).state != "done" and planned(plant, task) == ran, claims(plant, task)
    told = claims(plant, task)[claim]
    assert told.status == "refuted" and because in told.because, told
    assert KEY not in plant.log_text() and all(KEY not in str(row) for row in plant.events())
