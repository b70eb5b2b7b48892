"""What a hostile agent tries within walls is seen and told, and leaves no trace; an ordinary agent is told nothing of."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from andon.access import listed
from andon.edges.sandbox import reached
from andon.edges.tried import add
from andon.schema import inputs as i, wire
from andon.schema.ids import AttemptId
from andon.schema.sandbox import Access
from andon.schema.signals import ToolBegan
from andon.schema.views import ProblemView
from e2e.test_queue import job, project
from factory import Factory, factory, git
from sessionkit import a_floor
from support import wait_for, wait_until
from wholekit import cli, contents

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


def test_what_is_tried_while_the_daemon_is_dead_is_told_by_the_next_one_and_once_put_away_stays_away(
    plant: Factory, tmp_path: Path,
) -> None:
    path = project(tmp_path / "repo", STRICT)
    repo = plant.register(path)
    script = "touch made/begun; until test -e made/go; do sleep 0.05; done; cat ~/.ssh/id_rsa; touch made/tried; sleep 600"
    task = job(plant, repo, script)
    made = plant.layout.checkout(repo, AttemptId(f"{task}.1")) / "made"
    wait_until((made / "begun").exists, 30, what="the agent")
    plant.kill()
    (made / "go").touch()
    wait_until((made / "tried").exists, 30, what="its try")
    plant.start()
    wait_until(lambda: [view.what for view in problems(plant)] == ["T1.1 tried to read ~/.ssh"], 20, what="the line")
    told = cli(plant, "show", "T1.1", "--access")
    assert "refused" in told.out and "~/.ssh/id_rsa" in told.out and "walls: strict" in told.out and "Not seen" in told.err
    assert "1 problem of T1.1 put away" in cli(plant, "show", "T1", "--access", "--dismiss").err and problems(plant) == []
    plant.kill()
    plant.start()
    assert '"~/.ssh/id_rsa"' in cli(plant, "show", "T1.1", "--access", "--json").out and problems(plant) == []


async def test_without_walls_what_is_named_is_listed_as_allowed_and_no_problem(tmp_path: Path) -> None:
    async with a_floor(tmp_path) as floor:
        attempt = await floor.add()
        floor.say(attempt, ToolBegan(at=0, source="hook", call="c1", name="Write", target="/srv/x"),
                  ToolBegan(at=0, source="hook", call="c2", name="Write", target="src/x"))
        await wait_for(lambda: listed(floor.loop.state, floor.layout, attempt).rows, 10, what="the row")
        (row,) = listed(floor.loop.state, floor.layout, attempt).rows
        assert (row.kind, row.what, row.allowed) == ("write", "/srv/x", True) and not floor.of(i.AccessSeen)


async def test_a_line_of_the_proxy_is_a_problem_at_once_and_costs_one_row(tmp_path: Path) -> None:
    async with a_floor(tmp_path) as floor:
        attempt = await floor.add()
        for n in range(5):
            add(floor.layout.job(attempt), [Access(at=n, kind="host", what="evil.example:443", allowed=False, rule="not listed")])
            await wait_for(lambda: sum(one.times for one in floor.of(i.AccessSeen)[-1:]) == n + 1, 5, what="the count")  # type: ignore[attr-defined]  # noqa: B023
        assert [one.times for one in floor.loop.state.refusals[attempt]] == [1]


def test_code_under_test_that_looks_for_keys_is_told_of_too(plant: Factory, tmp_path: Path) -> None:
    path = project(tmp_path / "repo", f'{STRICT}[checks.nosy]\nrun = "cat ~/.ssh/id_rsa ~/.aws/credentials"\n')
    repo = plant.register(path)
    task = job(plant, repo, "echo x > made/n0")
    plant.until_state(task, "done", "failed", "waiting", deadline=60)
    seen = problems(plant)
    runs = {view.attempt for view in seen}
    assert runs and all(run.startswith("R") for run in runs)
    assert {view.what for view in seen} == {f"{run} tried to read {what}" for run in runs for what in ("~/.ssh", "~/.aws")}
    run = sorted(runs)[0]
    assert "what the ledger remembers" in cli(plant, "show", run, "--access").err


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
