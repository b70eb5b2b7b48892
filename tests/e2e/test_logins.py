"""Agents within walls that renew the login they were lent: the person's own goes on, and so does that of every other session."""

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from andon.edges.sandbox import reached
from andon.schema import events as e, inputs as i, wire
from andon.schema.ids import RepoId, TaskId
from factory import Factory, factory, git, small_repo
from support import wait_until

pytestmark = pytest.mark.skipif(reached("strict").level != "strict", reason=reached("strict").because or "no bubblewrap")
PROGRAM = """#!/bin/sh
# An agent that renews its login as real ones do, or waits for somebody else to.
login="$GEMINI_CLI_HOME/.gemini/oauth_creds.json"
case "$1" in --version) echo 1.0.0; exit;; esac
if [ -e .renews-$ANDON_TASK ]; then
  sed -e 's/life-1/life-2/g' -e 's/"expiry_date": *[0-9]*/"expiry_date": RENEWED/' "$login" > "$login.new"
  mv "$login.new" "$login"
fi
until grep -q life-2 "$login"; do sleep 0.05; done
echo done > made-$ANDON_TASK; git add -A; git commit -qm "what was asked for"
"""
SETTINGS = """
[agents.default]
use = "gemini"
login = "copy"
approve = "all"
gateway = "off"
{more}
[sandbox]
level = "strict"
"""


def login(life: int, ends: int) -> dict[str, object]:
    """A login in its n-th life."""
    return {"access_token": f"ya29.life-{life}", "refresh_token": f"1//life-{life}-0", "token_type": "Bearer", "scope": "x",
            "expiry_date": ends}


@pytest.fixture
def plant(tmp_path: Path) -> Iterator[Factory]:
    now = int(time.time() * 1000)
    tools, mine = tmp_path / "tools", Path(os.environ["HOME"]) / ".gemini" / "oauth_creds.json"
    tools.mkdir()
    (tools / "gemini").write_text(PROGRAM.replace("RENEWED", str(now + 7_200_000)))
    (tools / "gemini").chmod(0o755)
    mine.parent.mkdir()
    mine.write_text(json.dumps(login(1, now + 60_000)))
    mine.chmod(0o600)
    with factory(tmp_path / "f", {"PATH": f"{tools}:{os.environ['PATH']}"}) as made:
        yield made


def project(path: Path, more: str) -> Path:
    repo = small_repo(path, files={".renews-T1": ""}, walls=True)
    (repo / "andon.toml").write_text((repo / "andon.toml").read_text().split("[checks", 1)[1].join(
        (SETTINGS.format(more=more) + "[checks", "")))
    git(repo, "commit", "-qam", "settings")
    return repo


def task(plant: Factory, repo: RepoId) -> TaskId:
    done = plant.do(i.AddTask(repo=repo, title="a task", spec="a task\n"))
    assert isinstance(done, wire.Done), done
    return TaskId(done.ids[0])


def mine() -> dict[str, object]:
    held: dict[str, object] = json.loads((Path(os.environ["HOME"]) / ".gemini" / "oauth_creds.json").read_text())
    return held


def test_two_sandboxes_share_one_login_and_the_persons_own_goes_on(plant: Factory, tmp_path: Path) -> None:
    repo = plant.register(project(tmp_path / "repo", "write_back = true"))
    tasks = [task(plant, repo) for _ in range(2)]
    plant.until(lambda: mine()["access_token"] == "ya29.life-2", 40, what="the login to come back")
    for one in tasks:  # the second ends only because the renewed login was handed in
        plant.until_state(one, "done", "failed", "waiting", deadline=40)
        assert plant.task(one).state == "done", plant.task(one)
    told = [row.event for row in plant.events() if isinstance(row.event, e.LoginRefreshed)]
    assert {(event.attempt, event.how) for event in told} == {("T1.1", "written-back"), ("T2.1", "handed-in")}
    ledger = plant.layout.ledger.read_bytes() + plant.log_text().encode()
    assert b"life-2" not in ledger and told[0].after[:10].encode() in ledger


def test_without_consent_the_person_is_told_that_the_renewed_login_goes_with_the_attempt(plant: Factory, tmp_path: Path) -> None:
    repo = plant.register(project(tmp_path / "repo", ""))
    task(plant, repo)
    plant.until(lambda: [row.event for row in plant.events() if isinstance(row.event, e.ProblemNoticed)
                         and "lost with the attempt" in row.event.what], 40, what="the problem")
    assert mine()["access_token"] == "ya29.life-1"


def test_a_daemon_killed_while_it_writes_back_ends_it_in_its_next_life(plant: Factory, tmp_path: Path) -> None:
    plant.kill()
    plant.start({"ANDON_FAULT": "login.aside"})
    repo = plant.register(project(tmp_path / "repo", "write_back = true"))
    task(plant, repo)
    wait_until(plant.dead, 40, what="the daemon to fall at that point")
    assert mine()["access_token"] == "ya29.life-1"
    plant.start()
    plant.until(lambda: mine()["access_token"] == "ya29.life-2", 40, what="the login to come back")
    assert [path.name for path in (Path(os.environ["HOME"]) / ".gemini").iterdir()] == ["oauth_creds.json"]
