"""A secret at every way in: afterwards no byte of the factory's own state, of its commits or of its exports holds it."""

import os
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from andon.edges.sandbox import reached
from andon.schema import wire
from andon.schema.errors import Mistake
from andon.schema.ids import TaskId
from e2e.test_queue import job, project
from factory import Factory, factory, git, small_repo
from wholekit import cli

TOKEN = "ghp_" + "A7" * 18
"""Known by its form."""
NAMED = "zq-" + "correct-horse-battery-9"
"""Known as the value of a variable whose name says what it is."""
SECRETS = (TOKEN, NAMED)
CHECK = """
import pathlib, sys
words = pathlib.Path("said.txt").read_text() if pathlib.Path("said.txt").exists() else ""
print("the check prints", words)
bad = pathlib.Path("FAIL").exists()
told = f'<failure message="expected {words}">because {words}</failure>' if bad else ""
case = f'<testcase classname="t" name="one">{told}</testcase>'
pathlib.Path(sys.argv[1]).write_text(f'<testsuite name="q" tests="1" failures="{int(bad)}">{case}</testsuite>')
sys.exit(int(bad))
"""


@pytest.fixture
def plant(tmp_path: Path) -> Iterator[Factory]:
    with factory(tmp_path / "f", env={"SHOP_DEPLOY_KEY": NAMED}) as made:
        yield made


def scenario(path: Path) -> str:
    """An agent that learned both secrets and says them wherever it can."""
    both = " ".join(SECRETS)
    path.write_text(textwrap.dedent(f"""\
        about = "tells"
        [[step]]
        say = "I found {both}"
        [[step]]
        progress = "I use {both} now"
        [[step]]
        ask = "May I use {both}?"
        options = ["yes {TOKEN}", "no"]
        [[step]]
        write = "said.txt"
        text = "{both}"
        [[step]]
        write = "FAIL"
        text = "{both}"
        when = "attempt < 2"
        [[step]]
        run = "git rm -q --ignore-unmatch -f FAIL; rm -f FAIL"
        when = "attempt >= 2"
        [[step]]
        commit = "Use {both}"
        [[step]]
        finished = "done with {both}"
        """))
    return str(path)


def holding(top: Path, spare: tuple[str, ...] = ()) -> list[str]:
    """Files below that hold a secret, in their bytes or in their names."""
    found = []
    for folder, _, names in os.walk(top):
        for name in names:
            path = Path(folder, name)
            inside = str(path.relative_to(top))
            if inside.startswith(spare) or path.is_symlink() or not path.is_file():
                continue
            data = path.read_bytes() + os.fsencode(inside)
            found += [f"{inside}: {n}" for n, secret in enumerate(SECRETS) if secret.encode() in data]
    return found


def play(plant: Factory, task: TaskId) -> None:
    """Both attempts, each asked and answered with the secrets once more, up to the landing."""
    for _ in range(2):
        plant.until(lambda: plant.gate(task), 40, what="the ask")
        gate = plant.gate(task)
        assert gate is not None
        done = plant.answer(gate, "answer", f"yes, take {TOKEN} and {NAMED}")
        assert isinstance(done, wire.Done) and "withheld" in done.text, done
        plant.until(lambda: plant.gate(task) is None, 20, what="the answer to be taken")
    plant.until_state(task, "done", "failed", deadline=60)


@pytest.mark.slow
def test_no_byte_of_the_factory_holds_a_secret_that_came_in_anywhere(plant: Factory, tmp_path: Path) -> None:
    path = small_repo(tmp_path / "repo", check="python3 check.py {report}", files={"check.py": CHECK})
    repo = plant.register(path)
    task = plant.add(repo, scenario=scenario(tmp_path / "tells.toml"), title=f"Use {TOKEN} and {NAMED}")
    play(plant, task)
    assert plant.task(task).state == "done", plant.log_text()
    exports = [cli(plant, *words) for words in (
        ("log",), ("log", "--json", "--all"), ("show", str(task)), ("show", str(task), "--json"), ("list", "--all", "--json"),
        ("status", "--json"), ("cost", "--json"), ("queue", "--json"), ("explain", "T1.1"))]
    plant.stop()
    told = [one.out for one in exports for secret in SECRETS if secret in one.out + one.err]
    assert told == [] and all("withheld" in one.out for one in exports[:4]), told
    ours = git(path, "log", "--all", "--author=Andon", "--format=%B%n%N") + git(path, "for-each-ref", "--format=%(refname)")
    assert "Andon-Task: T1" in ours and "withheld" in ours and not any(secret in ours for secret in SECRETS)
    committed = ("checkouts/", "proving/")  # what it committed is the change itself
    assert holding(plant.layout.home, committed) == [] and holding(plant.layout.runtime) == []
    assert holding(plant.layout.home), "the search finds what is there: the committed file in its proving place"
    words = "".join(str(row.event) for row in plant.events())
    for kind in ("TaskAdded", "AttemptSaid", "GateOpened", "GateAnswered", "RunFinished", "RetryScheduled"):
        assert kind in words, "every way in was walked"
    assert words.count("secret withheld") > 15


@pytest.mark.skipif(reached("strict").level != "strict", reason=reached("strict").because or "no bubblewrap")
def test_an_agent_has_the_secrets_that_are_named_for_it_and_nobody_elses(plant: Factory, tmp_path: Path) -> None:
    for folder, extra, wanted in (("one", "", "no"), ("two", 'secrets = ["SHOP_DEPLOY_KEY"]\n', "yes")):
        path = project(tmp_path / folder, f'[sandbox]\nlevel = "strict"\n{extra}')
        looks = "if env | grep -q SHOP_DEPLOY_KEY; then echo yes; else echo no; fi > made/seen"
        task = job(plant, plant.register(path), looks)
        plant.until_state(task, "done", "failed", "waiting", deadline=60)
        assert git(path, "show", "refs/andon/trunk/main:made/seen") == wanted
        assert not [one for one in holding(plant.layout.jobs) if "job.json" in one], "and once it is started no file tells it"


def test_settings_with_a_secret_are_refused_before_they_are_kept(plant: Factory, tmp_path: Path) -> None:
    path = small_repo(tmp_path / "repo", check=f"curl -H 'x-api-key: {TOKEN}' https://example.org/{{report}}")
    with pytest.raises(Mistake, match="hold a secret") as refused:
        plant.register(path)
    assert TOKEN not in str(refused.value.problem) and "secrets" in refused.value.problem.mend
    plant.stop()
    assert holding(plant.layout.home) == []


CRASH = """
import sys, threading
from pathlib import Path
from andon.edges import lock
from andon.main import run_daemon
from andon.schema.layout import layout
class Broken:
    def __del__(self): raise ValueError("unseen {words}")
def take(place):
    threading.Thread(target=lambda: 1 / 0 if False else int("in a thread {words}")).start()
    Broken()
    raise RuntimeError("while it held {words}\\x1b]52;c;eA==\\x07")
lock.Lock.take = take
import andon.main
andon.main.Lock.take = take
run_daemon(layout(Path(sys.argv[1])))
"""


def test_a_daemon_that_crashes_tells_it_without_secrets_or_control_codes(tmp_path: Path) -> None:
    done = subprocess.run((sys.executable, "-c", CRASH.format(words=" ".join(SECRETS)), str(tmp_path / "f")), capture_output=True,
                          text=True, check=False, timeout=60, env={**os.environ, "SHOP_DEPLOY_KEY": NAMED})
    assert done.returncode == 1
    for what in ("while it held", "in a thread", "unseen", "Traceback", "RuntimeError"):
        assert what in done.stderr, done.stderr
    assert not any(secret in done.stderr + done.stdout for secret in SECRETS) and "\x1b" not in done.stderr
