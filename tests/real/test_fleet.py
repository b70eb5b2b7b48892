"""The real CLIs under the daemon, on a scripted model: the job done, permissions, crashes, a killed daemon, limits, hangs, lies."""

import os
import signal
from functools import partial
from pathlib import Path

import pytest

from andon.edges.process import descendants
from andon.edges.tree import Root, Trees
from andon.schema import events as e, inputs as i, wire
from andon.schema.ids import AttemptId, TaskId
from andon.schema.views import AccountView, SessionView
from factory import git
from fleetkit import Fleet, fleet

AGENTS = ("claude", "codex", "opencode")
PATIENCE = 120.0
"""Seconds for a real CLI to start and work on a busy machine."""
OPEN = '[permissions]\ndefault = "allow"\n'
pytestmark = [pytest.mark.timeout(300), pytest.mark.slow]


def session(fl: Fleet, task: TaskId) -> SessionView | None:
    return next((view for view in fl.plant.sessions() if view.task == task), None)


def of(fl: Fleet, kind: type[e.Event], attempt: str = "") -> list[e.Event]:
    return [row.event for row in fl.plant.events() if isinstance(row.event, kind)
            and (not attempt or getattr(row.event, "attempt", "") == attempt)]


def agent_pids(fl: Fleet, task: TaskId, names: tuple[str, ...]) -> list[int]:
    """The agent's own processes below the shim."""
    started = next(row.event for row in reversed(fl.plant.events())
                   if isinstance(row.event, e.AttemptStarted) and row.event.attempt == f"{task}.1")
    return [child.pid for child in descendants(started.pid) if _name(child.pid) in names]


def _name(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""


def works(fl: Fleet, task: TaskId) -> bool:
    view = session(fl, task)
    return view is not None and view.health == "working"


@pytest.mark.parametrize("agent", AGENTS)
def test_a_real_agent_does_the_job_is_seen_at_it_and_its_work_lands(tmp_path: Path, agent: str) -> None:
    with fleet(tmp_path, agent, more=OPEN) as fl:
        task = fl.add("proper", agent)
        seen: set[str] = set()

        def done() -> bool:
            view = session(fl, task)
            seen.update([view.health] if view else [])
            return fl.plant.task(task).state == "done"

        fl.plant.until(done, PATIENCE, what=f"{task} done, seen {seen}")
        assert seen & {"working", "thinking"} and not seen & {"crashed", "hung", "looping", "auth"}, seen
        assert "hello.txt" in git(fl.path, "ls-tree", "-r", "--name-only", "refs/andon/trunk/main")
        view = fl.plant.task(task)
        assert view.attempts == 1 and view.tokens > 0 and view.metered
        known = of(fl, e.SessionKnown)
        assert any(isinstance(one, e.SessionKnown) and one.conversation and one.interactive for one in known)


@pytest.mark.parametrize("agent", AGENTS)
def test_a_person_denies_and_allows_by_two_keys_and_the_agent_gets_exactly_that(tmp_path: Path, agent: str) -> None:
    with fleet(tmp_path, agent, more='[permissions]\nallow = ["read"]\n') as fl:
        task = fl.add("escalate" if agent == "codex" else "proper", agent)
        fl.plant.until(lambda: fl.plant.gate(task), PATIENCE, what="the first permission")
        gate = fl.plant.gate(task)
        assert gate is not None and gate.kind == "permission" and fl.plant.task(task).attention.startswith("permission")
        view = session(fl, task)
        assert view is not None and view.health == "waiting-permission" and view.cause == "permission"
        fl.plant.answer(gate, "deny", "not that one")
        answered = 1

        def on() -> bool:
            nonlocal answered
            found = fl.plant.gate(task)
            if found is not None and found.kind == "permission":
                fl.plant.answer(found, "allow")
                answered += 1
            return fl.plant.task(task).state in ("done", "failed") or (found is not None and found.kind != "permission")

        fl.plant.until(on, PATIENCE, what="the end of the asks")
        decided = [one for one in of(fl, e.PermissionDecided) if isinstance(one, e.PermissionDecided)]
        assert [one.allow for one in decided] == [False, *([True] * (answered - 1))]
        settled = [one.how for one in of(fl, e.PermissionSettled) if isinstance(one, e.PermissionSettled)]
        assert settled and set(settled) <= {"api", "hook", "allowed", "denied"}, settled


@pytest.mark.parametrize("agent", AGENTS)
def test_an_agent_that_crashes_in_a_tool_goes_on_in_the_same_conversation_and_checkout(tmp_path: Path, agent: str) -> None:
    with fleet(tmp_path, agent, more=OPEN) as fl:
        task = fl.add("slow sleep=15", agent)
        names = (agent, "node", "codex")
        fl.plant.until(lambda: (view := session(fl, task)) and view.health == "working" and "sleep" in view.because, PATIENCE,
                       what="the running tool")
        for pid in agent_pids(fl, task, names):
            os.kill(pid, signal.SIGKILL)
        fl.plant.until(lambda: of(fl, e.SessionResumed), 30, what="a resumed session")
        resumed = of(fl, e.SessionResumed)[0]
        assert isinstance(resumed, e.SessionResumed) and resumed.sitting == 2 and resumed.conversation
        fl.plant.until_state(task, "done", deadline=PATIENCE)
        view = fl.plant.task(task)
        assert view.attempts == 1, "one attempt, two sittings"


def test_a_daemon_that_is_killed_meanwhile_finds_the_agent_again_and_asks_nothing_twice(tmp_path: Path) -> None:
    with fleet(tmp_path, "claude", more='[permissions]\nallow = ["read"]\n') as fl:
        task = fl.add("proper", "claude")
        fl.plant.until(lambda: fl.plant.gate(task), PATIENCE, what="the first permission")
        before = session(fl, task)
        fl.plant.kill()
        fl.plant.start()
        fl.plant.until(lambda: (view := session(fl, task)) and view.health == "waiting-permission", 20, what="the same verdict")
        after, gate = session(fl, task), fl.plant.gate(task)
        assert before is not None and after is not None and after.conversation == before.conversation and gate is not None
        assert len(of(fl, e.PermissionAsked)) == 1 and len(of(fl, e.AttemptStarted)) == 1

        def on() -> bool:
            found = fl.plant.gate(task)
            if found is not None:
                fl.plant.answer(found, "allow")
            return fl.plant.task(task).state == "done"

        fl.plant.until(on, PATIENCE, what="its end")
        asked = [one.ask for one in of(fl, e.PermissionAsked) if isinstance(one, e.PermissionAsked)]
        assert len(asked) == len(set(asked))


def test_a_limit_of_one_account_stops_only_its_own_agents(tmp_path: Path) -> None:
    with fleet(tmp_path, "claude", "codex", more=OPEN) as fl:
        limited = fl.add("rate_limit n=99 retry_after=600", "claude")
        fl.plant.until(lambda: (view := session(fl, limited)) and view.health == "rate-limited" and view.until, PATIENCE)
        again = fl.add("proper file=b.txt", "claude")
        other = fl.add("proper file=c.txt", "codex")
        fl.plant.until_state(other, "done", deadline=PATIENCE)
        waiting = fl.plant.task(again)
        assert waiting.state == "queued" and any("claude" in reason for reason in waiting.why), waiting.why
        account = next(view for view in fl.plant.views() if isinstance(view, AccountView) and view.account == "claude")
        assert account.limited_until > 0 and account.because


def test_a_login_that_is_refused_is_said_with_its_cause(tmp_path: Path) -> None:
    with fleet(tmp_path, "codex", more=OPEN) as fl:
        task = fl.add("auth", "codex")
        fl.plant.until(lambda: (view := session(fl, task)) and view.cause == "auth", PATIENCE, what="auth")
        view = session(fl, task)
        assert view is not None and view.health == "auth" and view.evidence and view.rule


def test_a_stream_that_hangs_is_seen_interrupted_and_in_the_end_a_person_is_asked(tmp_path: Path) -> None:
    (tmp_path / "config").mkdir()
    (tmp_path / "config/rules.toml").write_text(
        '[thresholds]\nhung_s = 4.0\n[[ladders.hung-stream]]\ndo = "interrupt"\nafter_s = 1.0\n'
        '[[ladders.hung-stream]]\ndo = "gate"\n')
    with fleet(tmp_path, "claude", more=OPEN) as fl:
        task = fl.add("hang", "claude")
        fl.plant.until(lambda: (view := session(fl, task)) and view.cause == "hung-stream", PATIENCE, what="hung")
        fl.plant.until(lambda: of(fl, e.InterruptDone), 30, what="an interrupt")
        rungs = [one.rung for one in of(fl, e.RungTaken) if isinstance(one, e.RungTaken)]
        assert rungs[:1] == ["interrupt"]
        assert not of(fl, e.AttemptStopAsked), "nothing is killed for being slow"


def test_what_an_agent_asserts_is_compared_and_told_once(tmp_path: Path) -> None:
    with fleet(tmp_path, "claude", more=OPEN) as fl:
        words = {"say": "I created `made-up.txt` and committed abc1234. All tests pass."}
        fl.served.steps("claude", words, words, words)
        task = fl.add("proper", "claude")
        fl.plant.until(lambda: of(fl, e.ClaimContradicted), PATIENCE, what="a contradiction")
        fl.plant.until(lambda: [one for one in of(fl, e.MessageDelivered)], 30, what="the message")
        told = [one.asserted for one in of(fl, e.ClaimContradicted) if isinstance(one, e.ClaimContradicted)]
        assert len(told) == len(set(told)) >= 2
        messages = [one for one in of(fl, e.MessageQueued) if isinstance(one, e.MessageQueued) and one.kind == "divergence"]
        assert len(messages) == 1 and task


def test_words_reach_a_working_agent_once_and_the_receipt_is_recorded(tmp_path: Path) -> None:
    with fleet(tmp_path, "claude", more=OPEN) as fl:
        task = fl.add("slow sleep=6", "claude")
        fl.plant.until(lambda: (view := session(fl, task)) and view.health == "working", PATIENCE, what="work")
        reply = fl.plant.do(i.SendMessage(attempt=AttemptId(f"{task}.1"), text="also mind the ümlauts: 日本語", key="k"))
        assert isinstance(reply, wire.Done)
        fl.plant.do(i.SendMessage(attempt=AttemptId(f"{task}.1"), text="also mind the ümlauts: 日本語", key="k"))
        fl.plant.until_state(task, "done", "queued", "waiting", deadline=PATIENCE)
        assert len(of(fl, e.MessageQueued)) == 1 and len(of(fl, e.MessageDelivered)) == 1
        sent = [row for row in fl.served.turns("claude") if "ümlauts" in str(row.get("last"))]
        assert sent or fl.plant.task(task).state == "done"


def test_stopping_leaves_no_process_of_any_agent(tmp_path: Path) -> None:
    with fleet(tmp_path, "claude", "codex", more=OPEN) as fl:
        tasks = [fl.add("slow sleep=60", name) for name in ("claude", "codex")]
        for task in tasks:
            fl.plant.until(partial(works, fl, task), PATIENCE, what="work")
        roots = [row.event for row in fl.plant.events() if isinstance(row.event, e.AttemptStarted)]
        below = [child.pid for root in roots for child in descendants(root.pid)]
        assert len(below) >= 4
        for task in tasks:
            fl.plant.do(i.CancelTask(task=task))
        fl.plant.until(lambda: not [pid for pid in below if Path(f"/proc/{pid}").exists()], 40, what="the end of all of them")
        looked = [Root(attempt=root.attempt, pid=root.pid, ticks=root.ticks, marker=str(fl.plant.layout.job(root.attempt)))
                  for root in roots]
        fl.plant.until(lambda: not any(one.tree.alive for one in Trees().look(looked, 0).values()), 10, what="no stray")
