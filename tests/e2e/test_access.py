"""What a hostile agent tries within walls is seen and told, and leaves no trace; an ordinary agent is told nothing of."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from andon.edges.sandbox import reached
from andon.schema import wire
from andon.schema.ids import AttemptId
from andon.schema.views import ProblemView
from e2e.test_queue import job, project
from factory import Factory, factory, git
from support import wait_until
from wholekit import contents

pytestmark = pytest.mark.skipif(reached("strict").level != "strict", reason=reached("strict").because or "no bubblewrap")
STRICT = '[sandbox]\nlevel = "strict"\n'
CALL = "import socket, sys; socket.socket(socket.AF_UNIX).connect(sys.argv[1])"
OPEN = "import urllib.request; urllib.request.urlopen('http://evil.example/', timeout=10)"


@pytest.fixture
def plant(tmp_path: Path) -> Iterator[Factory]:
    with factory(tmp_path / "f") as made:
        yield made


def problems(plant: Factory) -> list[ProblemView]:
    """Those of refusals."""
    return [view for view in plant.views() if isinstance(view, ProblemView) and view.attempt]


def test_a_hostile_agent_leaves_no_trace_but_its_lines_on_the_problems_view(plant: Factory, tmp_path: Path) -> None:
    path = project(tmp_path / "repo", STRICT)
    secret = tmp_path / "person"
    secret.mkdir()
    (secret / "diary").write_text("the person's own\n")
    repo = plant.register(path)
    before = contents(secret)
    task = job(plant, repo, "\n".join((
        "unset NO_PROXY no_proxy",
        "cat ~/.ssh/id_rsa ~/.ssh/id_ed25519 > made/key || true",
        f"cat {plant.layout.home}/ledger.db > made/ledger 2> /dev/null || true",
        f"echo planted >> {secret}/diary || true",
        f"git -C {path} update-ref refs/heads/main HEAD 2> /dev/null || true",
        f'python3 -c "{CALL}" {plant.layout.socket} 2> /dev/null || true',
        f'python3 -c "{OPEN}" 2> /dev/null || true',
        "echo x > made/n0",
    )))
    plant.until_state(task, "done", "failed", "waiting", deadline=60)
    wait_until(lambda: len(problems(plant)) >= 5, 10, what="the lines")
    assert contents(secret) == before
    told = {view.what for view in problems(plant)}
    assert told == {
        "T1.1 tried to read ~/.ssh", "T1.1 tried to read the factory's ledger.db", f"T1.1 tried to read {path}/.git/HEAD",
        "T1.1 called the factory's operator socket", "T1.1 tried to reach evil.example:80",
    }
    assert git(path, "show", "refs/andon/trunk/main:made/key") == ""
    reply = plant.ask(wire.GetAccess(attempt=AttemptId("T1.1")))
    assert isinstance(reply, wire.AccessIs)
    rows = {(row.kind, row.what) for row in reply.rows if not row.allowed}
    assert {("read", "~/.ssh/id_rsa"), ("read", "~/.ssh/id_ed25519"), ("host", "evil.example:80")} <= rows


def test_an_ordinary_agent_is_told_nothing_of(plant: Factory, tmp_path: Path) -> None:
    path = project(tmp_path / "repo", STRICT)
    repo = plant.register(path)
    task = job(plant, repo, "\n".join((
        "git status; git log --oneline; git config user.name", "python3 -m pytest --version || true", "npm --version || true",
        "find / -name id_rsa 2> /dev/null || true", "ls -la ~ / > /dev/null", "ssh -V 2> /dev/null || true", "echo x > made/n0",
    )))
    plant.until_state(task, "done", "failed", "waiting", deadline=60)
    assert plant.task(task).state == "done"
    reply = plant.ask(wire.GetAccess(attempt=AttemptId("T1.1")))
    assert isinstance(reply, wire.AccessIs)
    assert problems(plant) == [], reply.rows
