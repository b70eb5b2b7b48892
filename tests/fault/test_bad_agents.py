"""The program of an agent hangs, floods, fails, talks nonsense or is not there: it lands nothing, others do, the daemon answers."""

import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from andon.schema import events as e, inputs as i, wire
from andon.schema.ids import RepoId, TaskId
from andon.schema.views import FactoryView
from factory import UNHELD, Factory, factory, git, small_repo
from support import wait_until

ANSWER_S = 5.0
"""On a machine that others use too."""
BAD = {
    "hangs": "import time; print('working', flush=True); time.sleep(600)",
    "hangs deaf": "import signal, time; [signal.signal(n, signal.SIG_IGN) for n in (1, 2, 15)]; time.sleep(600)",
    "floods": "import os\nfor _ in range(3000): os.write(1, b'a line that nobody asked for ' * 400)",
    "fails": "import sys; sys.exit(3)",
    "is killed": "import os; os.kill(os.getpid(), 9)",
    "talks nonsense": "import os; os.write(1, bytes(range(256)) * 500 + b'\\x1b]52;c;eA==\\x07\\x1b[2J')",
    "says it is done": "import json, os, pathlib\nbox = pathlib.Path(os.environ['ANDON_JOB'], 'outbox')\n"
                       "(box / '1.json').write_text(json.dumps({'n': 1, 'kind': 'finished', 'text': 'done', 'commit': 'f' * 40}))\n"
                       "(box / '2.json').write_bytes(b'\\xff{' * 50000)\nos.mkfifo(box / '3.json')",
    "forks": "import os, time\nfor _ in range(40):\n    if not os.fork(): os.setsid(); time.sleep(600)\n",
    "is not there": "",
}
STAYS = {"hangs", "hangs deaf"}
"""Those that a person, or a limit of time, has to end."""


@pytest.fixture
def plant(tmp_path: Path) -> Iterator[Factory]:
    with factory(tmp_path / "f", settings=f"[factory]\nwip = {len(BAD) + 1}\n{UNHELD}") as made:
        yield made


def repository(folder: Path) -> Path:
    """One agent for each way to be bad; and the scripted one."""
    agents = ""
    for n, (_, program) in enumerate(BAD.items()):
        argv = [sys.executable, "-c", program] if program else ["/no/such/program"]
        agents += f'[agents.bad{n}]\nuse = "command"\ncommand = {argv!r}\n'.replace("\\\\n", "\\n")
    return small_repo(folder, extra=f"[budget]\ntask = {{ attempts = 1 }}\n{agents}")


def add(plant: Factory, repo: RepoId, agent: str, title: str) -> TaskId:
    done = plant.do(i.AddTask(repo=repo, title=title, spec=title, agent=agent))
    assert isinstance(done, wire.Done), done
    return TaskId(done.ids[0])


@pytest.mark.slow
def test_a_bad_program_lands_nothing_harms_nobody_and_holds_up_no_answer(plant: Factory, tmp_path: Path) -> None:
    path = repository(tmp_path / "repo")
    repo = plant.register(path)
    bad = {what: add(plant, repo, f"bad{n}", what) for n, what in enumerate(BAD)}
    good = plant.add(repo, title="a good one")
    slowest = 0.0

    def settled() -> bool:
        nonlocal slowest
        begun = time.monotonic()
        states = {view.task: view.state for view in plant.views() if hasattr(view, "state") and hasattr(view, "task")}
        slowest = max(slowest, time.monotonic() - begun)
        over = {"failed", "waiting", "done"}
        return states.get(good) == "done" and all(states.get(task) in over for what, task in bad.items() if what not in STAYS)
    plant.until(settled, 120, what="all that end by themselves")
    assert slowest < ANSWER_S and not plant.dead()
    landed = {row.event.task for row in plant.events() if isinstance(row.event, e.TaskLanded)}
    assert landed == {good}
    begun = {row.event.attempt.split(".")[0] for row in plant.events() if isinstance(row.event, e.AttemptStarted)}
    assert begun == {good, *bad.values()} - {bad["is not there"]}, "each of them ran"
    assert git(path, "rev-list", "--count", "--first-parent", "refs/andon/trunk/main") == "2"
    for what in STAYS:
        assert isinstance(plant.do(i.CancelTask(task=bad[what], because="it hangs")), wire.Done)
    wait_until(lambda: not plant.sessions(), 30, what="the end of those that hang")
    assert any(isinstance(view, FactoryView) for view in plant.views())
