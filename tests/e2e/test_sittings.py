"""Interactive agents under a real daemon, with a sitter at the prompt: crashes, permissions, nudges, budgets, a person's hand."""

import contextlib
import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest

from andon.edges.process import alive, boot_id, descendants
from andon.schema import events as e, inputs as i, wire
from andon.schema.ids import AttemptId, RepoId, TaskId
from andon.schema.views import SessionView
from factory import UNHELD, Factory, factory, git, small_repo

SETTINGS = """
[agents.sit]
use = "sitter"
env = {{ ANDON_SITTER_NOTES = "{notes}", ANDON_SCRIPTED_SPEED = "20" }}
[agents.other]
use = "sitter"
account = "another"
env = {{ ANDON_SITTER_NOTES = "{notes}", ANDON_SCRIPTED_SPEED = "20" }}
[permissions]
allow = ["read", "edit(notes/**)"]
deny = ["shell(rm *)"]
[retry]
backoff_s = 0.1
[budget]
task = {{ tokens = 20000, attempts = 2 }}
"""
COMMIT = '[[step]]\nwrite = "notes/{task}.md"\ntext = "by {task}"\n[[step]]\ncommit = "Note of {task}"\n'
SLOW = '[[step]]\nrun = "sleep 60"\nwhen = "sitting == 1 and attempt == 1"\n'
EventT = TypeVar("EventT", bound=e.Event)
pytestmark = pytest.mark.timeout(120)


class Bench:
    """A factory with one repository whose agents are sitters, and their notes."""

    def __init__(self, plant: Factory, folder: Path) -> None:
        self.plant, self.folder, self.notes_file = plant, folder, folder / "notes"
        self.path = small_repo(folder / "repo", extra=SETTINGS.format(notes=self.notes_file))
        self.repo: RepoId = plant.register(self.path)

    def add(self, steps: str, agent: str = "sit") -> TaskId:
        """A task with this scenario."""
        file = self.folder / f"{len(list(self.folder.glob('*.toml')))}.toml"
        file.write_text(f'about = "a test"\n{steps}')
        return self.plant.add(self.repo, str(file), agent=agent)

    def of(self, kind: type[EventT], task: TaskId) -> list[EventT]:
        """The events of a kind about a task."""
        return [row.event for row in self.plant.events() if isinstance(row.event, kind)
                and (getattr(row.event, "task", "") == task or str(getattr(row.event, "attempt", "")).startswith(f"{task}."))]

    def notes(self, what: str, task: TaskId) -> list[dict[str, Any]]:
        """What its agents noted."""
        rows = [json.loads(line) for line in self.notes_file.read_text().splitlines()] if self.notes_file.exists() else []
        return [row for row in rows if row["what"] == what and row["attempt"].startswith(f"{task}.")]

    def session(self, task: TaskId) -> SessionView | None:
        """Its live session."""
        return next((view for view in self.plant.sessions() if view.task == task), None)

    def at_work(self, task: TaskId, words: str) -> None:
        """Until its session does this."""
        self.plant.until(lambda: (view := self.session(task)) and view.health == "working" and words in view.because, what=words)

    def started_again(self, task: TaskId, known: int) -> None:
        """Until it has begun more often than so, or asks."""
        self.plant.until(lambda: len(self.of(e.AttemptStarted, task)) > known or self.plant.gate(task), what="a start, or a gate")

    def root(self, task: TaskId) -> int:
        """The pid of its latest shim."""
        return self.of(e.AttemptStarted, task)[-1].pid

    def answer(self, task: TaskId, kind: str, option: str, because: str = "") -> None:
        """Wait for its gate of this kind and answer it."""
        self.plant.until(lambda: (gate := self.plant.gate(task)) and gate.kind == kind, what=f"a gate of kind {kind}")
        gate = self.plant.gate(task)
        assert gate is not None
        assert isinstance(self.plant.answer(gate, option, because), wire.Done)

    def done(self, task: TaskId) -> None:
        """Until it has landed."""
        self.plant.until_state(task, "done")
        assert f"notes/{task}.md" in git(self.path, "ls-tree", "-r", "--name-only", "refs/andon/trunk/main")


def made(folder: Path) -> Iterator[Bench]:
    """A bench in a running factory."""
    (folder / "config").mkdir()
    (folder / "config/andon.toml").write_text(UNHELD)
    with factory(folder / "f", {"ANDON_CONFIG_HOME": str(folder / "config")}) as plant:
        yield Bench(plant, folder)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    yield from made(tmp_path_factory.mktemp("sittings"))


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Bench]:
    yield from made(tmp_path)


def test_a_sitter_that_is_killed_in_a_tool_goes_on_in_the_same_conversation_and_checkout(shared: Bench) -> None:
    task = shared.add('[[step]]\nwrite = "left.txt"\ntext = "unsaved"\n[[step]]\ncrash = "KILL"\ntool = "sleep 30"\n'
                      'when = "sitting == 1"\n[[step]]\nrun = "cat left.txt"\nmust = true\n' + COMMIT)
    shared.done(task)
    starts = shared.notes("start", task)
    assert [row["sitting"] for row in starts] == [1, 2] and starts[1]["resumed"]
    assert starts[0]["conversation"] == starts[1]["conversation"]
    assert [one.sitting for one in shared.of(e.SessionResumed, task)] == [2] and shared.plant.task(task).attempts == 1
    assert len([row for row in shared.notes("prompt", task) if "[[scenario" in row["text"]]) == 1


def test_policy_allows_and_denies_by_itself_and_a_person_decides_the_rest(shared: Bench) -> None:
    task = shared.add(
        '[[step]]\nwrite = "notes/a.md"\ntext = "by policy"\npermit = true\n'
        '[[step]]\nrun = "rm -rf notes"\npermit = true\n'
        '[[step]]\nwrite = "denied.md"\ntext = "{answer}"\nwhen = \'answer == "denied"\'\n'
        '[[step]]\nquestion = "Which way?"\noptions = ["left", "right"]\n[[step]]\nappend = "notes/{task}.md"\ntext = "{answer}"\n'
        '[[step]]\ncommit = "Went {answer}"\npermit = true\n')
    shared.answer(task, "question", "right")
    shared.answer(task, "permission", "allow")
    shared.done(task)
    decided = [(one.allow, one.by) for one in shared.of(e.PermissionDecided, task)]
    assert decided[:2] == [(True, "policy"), (False, "policy")] and decided[-1][0] and decided[-1][1] != "policy"
    told = [(row["tool"], row["allow"], row["by"]) for row in shared.notes("told", task)]
    assert told == [("Write", True, "hook"), ("Bash", False, "hook"), ("AskUserQuestion", True, "hook"), ("Bash", True, "hook")]
    for name, text in ((f"notes/{task}.md", "right"), ("denied.md", "denied")):
        assert git(shared.path, "show", f"refs/andon/trunk/main:{name}") == text


def test_a_turn_without_a_commit_is_nudged_once_and_then_judged_as_it_is(shared: Bench) -> None:
    task = shared.add('[[step]]\nturn_ends = "I looked at it."\n[[step]]\nturn_ends = "I looked again."\n')
    shared.plant.until(lambda: shared.of(e.FinishAsked, task), what="the end of its sitting")
    assert len([one for one in shared.of(e.MessageQueued, task) if one.attempt == f"{task}.1"]) == 1
    assert shared.of(e.MessageQueued, task)[0].kind == "nudge"
    assert "no new commit" in shared.of(e.FinishAsked, task)[0].because
    assert len([row for row in shared.notes("prompt", task) if row["text"].startswith("[andon M")]) == 1
    shared.plant.until(lambda: shared.plant.task(task).state in ("waiting", "building", "queued"), what="another try or a gate")
    shared.plant.do(i.CancelTask(task=task))


def test_at_its_budget_it_hands_back_is_paused_and_asks_and_a_raise_lets_it_go_on(shared: Bench) -> None:
    task = shared.add('[[step]]\nspend = 20000\n[[step]]\nturn_ends = "Half of it is there."\n[[step]]\nappend = "half.md"\n'
                      'text = "handed back"\n[[step]]\ncommit = "What is there"\n[[step]]\nturn_ends = "Handed back."\n' + COMMIT)
    shared.plant.until(lambda: (gate := shared.plant.gate(task)) and gate.kind == "budget", what="the gate of its budget")
    kinds = [type(row.event).__name__ for row in shared.plant.events() if getattr(row.event, "attempt", "") == f"{task}.1"]
    order = [kinds.index(name) for name in ("BudgetReached", "MessageDelivered", "AttemptPauseAsked")]
    assert order == sorted(order) and shared.of(e.MessageQueued, task)[0].kind == "hand-back"
    shared.plant.until(lambda: (view := shared.session(task)) and view.health == "suspended", what="a suspended session")
    shared.answer(task, "budget", "raise")
    shared.done(task)
    assert len(shared.notes("start", task)) == 1 and len(shared.of(e.BudgetReached, task)) == 1
    said = [one.text for one in shared.of(e.MessageQueued, task) if one.kind == "send"]
    prompts = [row["text"] for row in shared.notes("prompt", task)]
    assert len(said) == 1 and prompts.count(said[0]) == 1


def test_while_a_person_drives_no_rung_is_taken_and_what_is_stopped_leaves_no_process(shared: Bench) -> None:
    task = shared.add('[[step]]\nloop = "notes/{task}.py"\nseconds = 0.5\n')
    attempt = AttemptId(f"{task}.1")
    shared.plant.until(lambda: shared.notes("prompt", task) and shared.of(e.AttemptStarted, task), what="its start")
    assert isinstance(shared.plant.do(i.TakeOver(attempt=attempt)), wire.Done)
    shared.plant.until(lambda: shared.of(e.StuckSeen, task), what="a loop that is seen")
    assert shared.of(e.StuckSeen, task)[0].cause == "tool-loop"
    shared.plant.do(i.SendMessage(attempt=attempt, text="I am at it", key="mine"))
    shared.plant.until(lambda: shared.of(e.MessageGiven, task), what="the person's own words, which go in")
    assert not shared.of(e.RungTaken, task) and not shared.of(e.InterruptAsked, task)
    shared.plant.do(i.GiveBack(attempt=attempt))
    shared.plant.until(lambda: shared.notes("interrupted", task), what="the interrupt, once it was given back")
    assert shared.of(e.RungTaken, task)[0].rung == "interrupt"
    root = shared.of(e.AttemptStarted, task)[-1]
    tree = [(root.pid, root.ticks), *((child.pid, child.ticks) for child in descendants(root.pid))]
    assert len(tree) >= 2
    shared.plant.do(i.CancelTask(task=task))
    shared.plant.until(lambda: not [one for one in tree if alive(*one, boot_id())], what="the end of all its processes")
    shared.plant.until(lambda: shared.of(e.WorkSalvaged, task), what="a snapshot")


def test_another_agent_gets_the_task_with_the_work_of_the_one_before(shared: Bench) -> None:
    task = shared.add('[[step]]\nwrite = "first.md"\ntext = "of the first"\nwhen = "attempt == 1"\n[[step]]\ncommit = "First"\n'
                      'when = "attempt == 1"\n' + SLOW + '[[step]]\nrun = "git show andon/previous:first.md > second.md"\n'
                      'must = true\nwhen = "attempt == 2"\n' + COMMIT)
    shared.at_work(task, "sleep 60")
    assert isinstance(shared.plant.do(i.ReassignTask(task=task, agent="other", note="mind the first")), wire.Done)
    shared.done(task)
    assert [one.agent for one in shared.of(e.AttemptClaimed, task)] == ["sit", "other"]
    assert any("mind the first" in row["text"] for row in shared.notes("prompt", task) if row["attempt"] == f"{task}.2")
    assert git(shared.path, "show", "refs/andon/trunk/main:second.md") == "of the first"


def test_a_fresh_restart_begins_a_new_conversation_in_the_same_checkout(shared: Bench) -> None:
    task = shared.add('[[step]]\nwrite = "left.txt"\ntext = "unsaved"\nwhen = "sitting == 1"\n' + SLOW
                      + '[[step]]\nrun = "cat left.txt"\nmust = true\n' + COMMIT)
    shared.at_work(task, "sleep 60")
    shared.plant.do(i.RestartSession(attempt=AttemptId(f"{task}.1"), fresh=True, note="look at left.txt"))
    shared.done(task)
    first, second = shared.notes("start", task)
    assert first["conversation"] != second["conversation"] and not second["resumed"]
    assert any("look at left.txt" in row["text"] and "[[scenario" in row["text"] for row in shared.notes("prompt", task)[1:])
    resumed = shared.of(e.SessionResumed, task)[0]
    assert resumed.conversation == "" and shared.of(e.WorkSalvaged, task)


def test_after_a_reset_of_the_machine_the_conversation_goes_on_in_the_same_checkout(own: Bench) -> None:
    task = own.add('[[step]]\nwrite = "left.txt"\ntext = "unsaved"\n' + SLOW
                   + '[[step]]\nrun = "cat left.txt"\nmust = true\n' + COMMIT)
    own.at_work(task, "sleep 60")
    root = own.root(task)
    told = subprocess.run(("tmux", "-S", str(own.plant.layout.tmux_socket), "display-message", "-p", "#{pid}"), capture_output=True,
                          text=True, check=True, timeout=20)
    tree = [int(told.stdout), root, *(child.pid for child in descendants(root))]
    own.plant.kill()
    for pid in tree:
        with contextlib.suppress(ProcessLookupError):  # a child may go with its parent
            os.kill(pid, signal.SIGKILL)
    own.plant.start()
    own.done(task)
    starts = own.notes("start", task)
    assert [row["sitting"] for row in starts] == [1, 2] and len({row["conversation"] for row in starts}) == 1
    assert own.plant.task(task).attempts == 1


def test_a_task_that_always_fails_with_a_daemon_killed_at_each_attempt_ends_at_its_cap_and_asks(own: Bench) -> None:
    task = own.add('[[step]]\nwrite = "tests/{task}.txt"\ntext = "FAIL {attempt}"\n[[step]]\nrun = "sleep 0.5"\n'
                   '[[step]]\ncommit = "It"\n')
    seen: list[int] = []
    while own.plant.gate(task) is None:
        own.started_again(task, len(seen))
        if len(own.of(e.AttemptStarted, task)) > len(seen):
            seen = [one.pid for one in own.of(e.AttemptStarted, task)]
            own.plant.kill()
            own.plant.start()
    gate = own.plant.gate(task)
    assert gate is not None and gate.kind == "failure" and own.plant.task(task).state == "waiting"
    assert len(seen) == len(own.of(e.AttemptClaimed, task)) == len(own.notes("start", task)) == 2
    assert not own.of(e.TaskLanded, task) and own.session(task) is None
