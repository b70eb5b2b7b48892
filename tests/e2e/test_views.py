"""Different views of one change: a builder does not see what its checks see, and may read what it may not change."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from andon.edges.sandbox import reached
from andon.schema import events as e
from e2e.test_queue import AGENT, AGENT_PY, RULES_PY, job
from factory import Factory, factory, git, small_repo

pytestmark = pytest.mark.skipif(reached("strict").level != "strict", reason=reached("strict").because or "no bubblewrap")
VIEW = """
[policy]
ship = ["**"]
[sandbox]
level = "strict"
[stations.build]
kind = "agent"
hide = ["tests/hidden/**", "**/secret_*"]
read_only = ["tests/**"]
[checks.holdback]
run = "grep -q HOLD.ACK tests/hidden/b.txt && grep -q HOLD.ACK made/secret_a"
"""


@pytest.fixture
def plant(tmp_path: Path) -> Iterator[Factory]:
    with factory(tmp_path / "f") as made:
        yield made


def project(path: Path, settings: str = VIEW) -> Path:
    repo = small_repo(path, files={"agent.py": AGENT_PY, "rules.py": RULES_PY, "made/first": "x\n", "made/secret_a": "HOLDBACK\n",
                                   "tests/hidden/b.txt": "HOLDBACK\n", "tests/open.txt": "as it was\n"})
    (repo / "andon.toml").write_text(AGENT + settings)
    git(repo, "commit", "-qam", "settings")
    return repo


def test_a_builder_does_not_see_what_its_checks_see_and_what_lands_still_has_it(plant: Factory, tmp_path: Path) -> None:
    path = project(tmp_path / "repo")
    repo = plant.register(path)
    shows = ("tests/hidden/b.txt", "made/secret_a")
    tries = ("grep -r HOLD[B]ACK .", f"grep -r HOLD[B]ACK {path}", *(f"git show HEAD:{one}" for one in shows),
             "git cat-file --batch --batch-all-objects | grep -a HOLD[B]ACK", "touch tests/hidden/mine",
             "echo mine > tests/open.txt", "rm tests/open.txt", "mv tests away", f"git -C {path} show HEAD:{shows[0]}")
    script = "\n".join(f"if {one} > /dev/null 2>&1; then echo '{n}' >> made/reached; fi" for n, one in enumerate(tries))
    reads = "cat tests/open.txt > made/read; git status --porcelain > made/status; git log --oneline | wc -l > made/log"
    task = job(plant, repo, f"{reads}\necho none > made/reached\n{script}")
    plant.until_state(task, "done", "failed", "waiting", deadline=60)
    assert plant.task(task).state == "done", "\n".join(str(row.event)[:400] for row in plant.events()[-14:])
    trunk = "refs/andon/trunk/main"
    assert git(path, "show", f"{trunk}:made/reached") == "none" and git(path, "show", f"{trunk}:made/read") == "as it was"
    assert git(path, "show", f"{trunk}:made/status") == "?? made/read\n?? made/status"
    assert git(path, "show", f"{trunk}:tests/hidden/b.txt") == "HOLDBACK" == git(path, "show", f"{trunk}:made/secret_a")


@pytest.mark.parametrize(("deed", "told"), [
    ("git update-index --cacheinfo 100644,$(git hash-object -w agent.py),tests/open.txt\n"
     "git update-index --assume-unchanged tests/open.txt",
     "may only read: tests/open.txt"),
    ("git update-index --cacheinfo 100644,$(git hash-object -w agent.py),tests/hidden/b.txt", "hidden from it: tests/hidden/b.txt"),
    ("echo mine > made/secret_b", "hidden from it: made/secret_b"),
])
def test_a_change_at_such_a_path_goes_back_to_its_agent_however_it_was_made(
    plant: Factory, tmp_path: Path, deed: str, told: str,
) -> None:
    path = project(tmp_path / "repo")
    repo = plant.register(path)
    task = job(plant, repo, f"{deed}\ngit add --sparse made\ngit commit -qm forged || true\necho x > made/n0")
    plant.until(lambda: [row.event for row in plant.events() if isinstance(row.event, e.AttemptFailed)], 40, what="the refusal")
    failed = next(row.event for row in plant.events() if isinstance(row.event, e.AttemptFailed))
    assert failed.failure == "contract" and told in failed.message, failed
    assert plant.task(task).state != "done"


def test_who_judges_does_not_see_the_builders_prompt_and_home(plant: Factory, tmp_path: Path) -> None:
    looks = "! ls {0}/jobs/T1.1/prompt.md && ! ls {0}/homes && ! ls {0}/checkouts"
    path = project(tmp_path / "repo", VIEW + f'[checks.blind]\nrun = "{looks.format(plant.layout.home)}"\n')
    repo = plant.register(path)
    task = job(plant, repo, "echo x > made/n0")
    plant.until_state(task, "done", "failed", "waiting", deadline=60)
    assert plant.task(task).state == "done" and (plant.layout.jobs / "T1.1" / "prompt.md").exists()


@pytest.mark.skipif(reached("partial").level == "none", reason="no Landlock")
def test_without_namespaces_what_is_hidden_is_not_there_either(plant: Factory, tmp_path: Path) -> None:
    weaker = VIEW.replace('"strict"', '"partial"').replace('ship = ["**"]', 'ship = ["**"]\nwalls = "partial"')
    path = project(tmp_path / "repo", weaker)
    repo = plant.register(path)
    tries = ("grep -r HOLD[B]ACK .", f"cat {path}/tests/hidden/b.txt", f"git -C {path} log", "git show HEAD:tests/hidden/b.txt",
             "git cat-file --batch --batch-all-objects | grep -a HOLD[B]ACK")
    script = "\n".join(f"if {one} > /dev/null 2>&1; then echo '{n}' >> made/reached; fi" for n, one in enumerate(tries))
    task = job(plant, repo, f"echo none > made/reached\n{script}")
    plant.until_state(task, "done", "failed", "waiting", deadline=60)
    assert plant.task(task).state == "done" and git(path, "show", "refs/andon/trunk/main:made/reached") == "none"
