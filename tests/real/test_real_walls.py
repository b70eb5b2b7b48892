"""The real CLIs within strict walls, on a scripted model: they do the job, and are heard, answered, steered and stopped there."""

import os
import signal
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeVar

import msgspec
import pytest

from andon.edges.process import by_marker, descendants
from andon.edges.sandbox import reached
from andon.schema import events as e, inputs as i, wire
from andon.schema.ids import AttemptId, TaskId
from andon.schema.jobs import CHANNEL, DOOR, WALLS, Walls
from andon.schema.signals import Line
from andon.schema.views import SessionView
from factory import git
from fleetkit import Fleet, fleet

AGENTS = ("claude", "codex", "opencode")
SERVED = ("codex", "opencode")
"""Those with a server of their own."""
PATIENCE = 120.0
E = TypeVar("E", bound=e.Event)
OPEN = '[permissions]\ndefault = "allow"\n[sandbox]\nlevel = "strict"\n'
ASKED = '[permissions]\nallow = ["read"]\n[sandbox]\nlevel = "strict"\n'
pytestmark = [
    pytest.mark.timeout(300), pytest.mark.slow,
    pytest.mark.skipif(reached("strict").level != "strict", reason=reached("strict").because or "no bubblewrap"),
]


def session(fl: Fleet, task: TaskId) -> SessionView | None:
    return next((view for view in fl.plant.sessions() if view.task == task), None)


def of(fl: Fleet, kind: type[E]) -> list[E]:
    return [row.event for row in fl.plant.events() if isinstance(row.event, kind)]


def told(fl: Fleet, task: TaskId) -> list[Line]:
    """What its own channel said."""
    path = fl.plant.layout.job(f"{task}.1") / CHANNEL
    return [msgspec.json.decode(row, type=Line) for row in path.read_bytes().splitlines()]


def seen_at(fl: Fleet, task: TaskId, seen: set[tuple[str, str]]) -> SessionView | None:
    """Its session now; health and source are noted."""
    view = session(fl, task)
    seen.update([(view.health, view.source)] if view else [])
    return view


def until_ended(fl: Fleet, task: TaskId, watch: Callable[[], object] = lambda: None) -> str:
    """See it to its end; permissions that are asked meanwhile are answered with yes."""
    def over() -> bool:
        watch()
        gate = fl.plant.gate(task)
        if gate is not None and gate.kind == "permission":
            fl.plant.answer(gate, "allow")
        return fl.plant.task(task).state in ("done", "failed") or (gate is not None and gate.kind != "permission")

    fl.plant.until(over, PATIENCE, what=f"the end of {task}")
    return fl.plant.task(task).state


@pytest.mark.parametrize("agent", AGENTS)
def test_a_real_agent_does_the_job_within_walls_is_heard_there_and_its_work_lands(tmp_path: Path, agent: str) -> None:
    with fleet(tmp_path, agent, more=OPEN) as fl:
        task, seen = fl.add("proper", agent), set[tuple[str, str]]()
        assert until_ended(fl, task, partial(seen_at, fl, task, seen)) == "done"
        assert "hello.txt" in git(fl.path, "ls-tree", "-r", "--name-only", "refs/andon/trunk/main")
        stood = msgspec.json.decode((fl.plant.layout.job(f"{task}.1") / WALLS).read_bytes(), type=Walls)
        assert stood.level == "strict"
        assert any(one.conversation for one in of(fl, e.SessionKnown)), "its channel was heard"
        view = fl.plant.task(task)
        assert view.tokens > 0 and view.metered
        assert not of(fl, e.PermissionAsked) or agent != "codex", "its own sandbox works inside: nothing had to leave it"
        if agent in SERVED:
            assert {health for health, source in seen if source == "api"} & {"working", "thinking", "idle"}, seen
            assert len(told(fl, task)) > 5 and {one.source for one in told(fl, task)} == {"api"}


@pytest.mark.parametrize("agent", AGENTS)
@pytest.mark.skipif(reached("partial").level != "partial", reason=reached("partial").because or "no Landlock")
def test_a_real_agent_does_the_job_behind_partial_walls_and_is_heard(tmp_path: Path, agent: str) -> None:
    weaker = '[policy]\nship = ["**"]\nwalls = "partial"\n'
    with fleet(tmp_path, agent, more=OPEN.replace("strict", "partial") + weaker) as fl:
        task, seen = fl.add("proper", agent), set[tuple[str, str]]()
        assert until_ended(fl, task, partial(seen_at, fl, task, seen)) == "done"
        stood = msgspec.json.decode((fl.plant.layout.job(f"{task}.1") / WALLS).read_bytes(), type=Walls)
        assert stood.level == "partial" and fl.plant.task(task).tokens > 0
        assert {source for _, source in seen} & {"api" if agent in SERVED else "hook"}, seen


@pytest.mark.parametrize("agent", SERVED)
def test_a_crash_within_walls_goes_on_in_the_same_conversation_behind_a_new_door(tmp_path: Path, agent: str) -> None:
    with fleet(tmp_path, agent, more=OPEN) as fl:
        task = fl.add("slow sleep=15", agent)
        fl.plant.until(lambda: (view := session(fl, task)) and view.health == "working" and "sleep" in view.because, PATIENCE,
                       what="the running tool")
        (root,) = of(fl, e.AttemptStarted)
        for child in descendants(root.pid):
            if Path(f"/proc/{child.pid}/comm").read_text().strip() == agent:
                os.kill(child.pid, signal.SIGKILL)
                break
        fl.plant.until(lambda: of(fl, e.SessionResumed), 30, what="a resumed session")
        (resumed,) = of(fl, e.SessionResumed)
        assert resumed.sitting == 2 and resumed.conversation
        assert until_ended(fl, task) == "done"
        assert fl.plant.task(task).attempts == 1 and {one.source for one in told(fl, task)} == {"api"}


@pytest.mark.parametrize("agent", AGENTS)
def test_a_permission_within_walls_is_answered_from_the_inbox_by_the_agents_own_way(tmp_path: Path, agent: str) -> None:
    with fleet(tmp_path, agent, more=ASKED) as fl:
        task = fl.add("escalate" if agent == "codex" else "proper", agent)
        fl.plant.until(lambda: fl.plant.gate(task), PATIENCE, what="the first permission")
        gate, view = fl.plant.gate(task), session(fl, task)
        assert gate is not None and gate.kind == "permission"
        assert view is not None and (view.health, view.cause) == ("waiting-permission", "permission")
        assert view.source == ("api" if agent in SERVED else "hook")
        fl.plant.answer(gate, "deny", "not that one")
        until_ended(fl, task)
        decided = [one.allow for one in of(fl, e.PermissionDecided)]
        assert decided[0] is False and all(decided[1:])
        hows = {one.how for one in of(fl, e.PermissionSettled)}
        assert hows and hows <= ({"api"} if agent in SERVED else {"hook", "allowed", "denied"}), hows


@pytest.mark.parametrize("agent", SERVED)
def test_words_reach_an_agent_within_walls_by_its_own_server_and_a_stop_leaves_nothing(tmp_path: Path, agent: str) -> None:
    with fleet(tmp_path, agent, more=OPEN) as fl:
        task = fl.add("slow sleep=90", agent)
        fl.plant.until(lambda: (view := session(fl, task)) and view.health == "working" and "runs" in view.because, PATIENCE,
                       what="the running tool")
        reply = fl.plant.do(i.SendMessage(attempt=AttemptId(f"{task}.1"), text="mind the ümlauts: 日本語", key="k"))
        assert isinstance(reply, wire.Done)
        fl.plant.until(lambda: of(fl, e.MessageDelivered), 30, what="the message")
        (delivered,) = of(fl, e.MessageDelivered)
        assert delivered.how == "api"
        (root,) = of(fl, e.AttemptStarted)
        below = [child.pid for child in descendants(root.pid)]
        assert len(below) >= 4
        job = fl.plant.layout.job(f"{task}.1")
        fl.plant.do(i.CancelTask(task=task))
        fl.plant.until(lambda: not [pid for pid in below if Path(f"/proc/{pid}").exists()], 40, what="the end of all of them")
        fl.plant.until(lambda: not by_marker(str(job)), 10, what="no stray")


@pytest.mark.parametrize("agent", SERVED)
def test_a_daemon_that_is_killed_finds_the_door_again_and_the_ask_behind_it(tmp_path: Path, agent: str) -> None:
    with fleet(tmp_path, agent, more=ASKED) as fl:
        task = fl.add("escalate" if agent == "codex" else "proper", agent)
        fl.plant.until(lambda: fl.plant.gate(task), PATIENCE, what="the first permission")
        door = fl.plant.layout.job(f"{task}.1") / DOOR
        assert door.is_socket() and door.stat().st_mode & 0o077 == 0
        fl.plant.kill()
        fl.plant.start()
        fl.plant.until(lambda: (view := session(fl, task)) and view.health == "waiting-permission" and view.source == "api", 30,
                       what="the same verdict")
        assert len(of(fl, e.PermissionAsked)) == 1 and len(of(fl, e.AttemptStarted)) == 1
        until_ended(fl, task)
        assert {one.how for one in of(fl, e.PermissionSettled)} == {"api"}


def test_an_agent_of_the_client_protocol_works_within_walls(tmp_path: Path) -> None:
    section = """
[agents.spoken]
use = "acp"
command = ["opencode", "acp"]
model = "scripted/scripted-1"
upstream = "{}"
"""
    open_ = OPEN + 'network = "host"\n'  # there is no gateway before this one's provider
    with fleet(tmp_path, "opencode", more=open_) as fl:
        settings = fl.path / "andon.toml"
        settings.write_text(settings.read_text() + section.format(fl.served.base("spoken")))
        git(fl.path, "commit", "-qam", "spoken")
        fl.plant.register(fl.path)
        task = fl.add("proper", "spoken")
        assert until_ended(fl, task) == "done"
        assert "hello.txt" in git(fl.path, "ls-tree", "-r", "--name-only", "refs/andon/trunk/main")
        assert {one.source for one in told(fl, task)} == {"api"}
