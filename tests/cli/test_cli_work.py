"""Tasks by command line: add, list, show, why, wait, cancel, retry, stop, resume, undo, send, status."""

import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from andon.schema import inputs, wire
from andon.schema.errors import Problem
from andon.schema.ids import AttemptId, RepoId, TaskId
from andon.schema.layout import layout
from andon.schema.views import AnyView, AttemptDetail, ClaimCell, Moment, ProblemView, TaskDetail
from clikit import Caps, andon
from fakeoffice import FakeDaemon, FakeOffice, a_gate, a_session, a_shop, a_task
from support import wait_until


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "my shop ü"
    (path / "src").mkdir(parents=True)
    (path / ".git").mkdir()
    monkeypatch.chdir(path / "src")
    return path


@pytest.fixture
def office(shop: Path) -> FakeOffice:
    return FakeOffice(*a_shop(str(shop)))


@pytest.fixture
def daemon(office: FakeOffice) -> Iterator[FakeDaemon]:
    with FakeDaemon(layout(), office) as running:
        yield running


def put(office: FakeOffice, *views: AnyView) -> None:
    office.table.update({view.key: view for view in views})


# --- add ---


def test_a_sentence_becomes_a_task_of_the_repository_one_stands_in(
        capsys: Caps, office: FakeOffice, daemon: FakeDaemon) -> None:
    ran = andon(capsys, "add", "make --version print the version")
    assert (ran.code, ran.out) == (0, "T1  make --version print the version\n")
    (command,) = office.commands
    assert isinstance(command, inputs.AddTask)
    assert (command.repo, command.title, command.line) == ("shop", "make --version print the version", "build")


def test_a_markdown_file_gives_title_spec_and_wishes_and_options_win(
        capsys: Caps, office: FakeOffice, daemon: FakeDaemon, tmp_path: Path) -> None:
    spec = tmp_path / "spec.md"
    front = "---\nafter: T3, T4\npaths: [src/**, 'tests/**']\npriority: 5\n---\n"
    spec.write_text(f"{front}\nSome words.\n\n# Greet by name\n\nDo it.\n")
    ran = andon(capsys, "add", str(spec), "--priority", "7", "--may-remove-tests", "--key", "k1", "--json")
    assert ran.code == 0 and json.loads(ran.out) == {"task": "T1", "repo": "shop", "title": "Greet by name", "before": False}
    (command,) = office.commands
    assert isinstance(command, inputs.AddTask)
    assert (command.title, command.after, command.paths) == ("Greet by name", ("T3", "T4"), ("src/**", "tests/**"))
    assert (command.priority, command.may_remove_tests, command.key) == (7, True, "k1")
    assert command.spec.startswith("Some words.") and "---" not in command.spec


def test_a_key_that_was_used_before_is_said_to_be(capsys: Caps, office: FakeOffice, daemon: FakeDaemon) -> None:
    put(office, a_task(1))
    assert "added before" in andon(capsys, "add", "x", "--key", "k1").out


def test_an_empty_seed_is_refused_with_what_is_missing(
        capsys: Caps, office: FakeOffice, daemon: FakeDaemon, tmp_path: Path) -> None:
    (tmp_path / "empty.md").write_text("---\ntitle: x\n---\n\n")
    for seed in ("   ", str(tmp_path / "empty.md")):
        ran = andon(capsys, "add", seed)
        assert ran.code == 2 and "nothing to do in this seed" in ran.err and "mend" in ran.err
    assert not office.commands


@pytest.mark.parametrize(("words", "what"), [
    (["missing.md"], "cannot be read"), (["x", "--after", "seven"], "`seven` is no task"),
    (["x", "--line", "biuld"], "no line `biuld`"),
    (["x", "--repo", "shopp"], "did you mean `shop`"), (["x", "--priority", "high"], "invalid int"), ([], "seed"),
])
def test_a_wrong_add_is_one_clear_mistake_and_adds_nothing(
        capsys: Caps, office: FakeOffice, daemon: FakeDaemon, words: list[str], what: str) -> None:
    ran = andon(capsys, "add", *words)
    assert ran.code == 2 and what in ran.err and not ran.out
    assert not office.commands


def test_an_unregistered_directory_is_told_about_init(
        capsys: Caps, office: FakeOffice, daemon: FakeDaemon, tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    ran = andon(capsys, "add", "x")
    assert ran.code == 2 and "andon init" in ran.err


def test_a_repository_inside_a_registered_one_is_not_taken_for_it(
        capsys: Caps, office: FakeOffice, daemon: FakeDaemon, shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (shop / "vendored" / ".git").mkdir(parents=True)
    monkeypatch.chdir(shop / "vendored")
    assert andon(capsys, "add", "x").code == 2
    assert not office.commands


def test_a_linked_worktree_belongs_to_its_main_checkout(
        capsys: Caps, office: FakeOffice, daemon: FakeDaemon, shop: Path, tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch) -> None:
    linked = tmp_path / "linked"
    linked.mkdir()
    (linked / ".git").write_text(f"gitdir: {shop}/.git/worktrees/linked\n")
    monkeypatch.chdir(linked)
    assert andon(capsys, "add", "x").code == 0
    assert office.commands


def test_what_the_daemon_declines_is_exit_code_4(capsys: Caps, office: FakeOffice, daemon: FakeDaemon) -> None:
    problem = Problem(what="T3 waits for T1 already", where="--after", mend="leave it out")
    office.on_do = lambda command: wire.Failed(problem=problem)
    ran = andon(capsys, "add", "x", "--after", "T3")
    assert ran.code == 4 and ran.err == "andon: T3 waits for T1 already\n  where: --after\n  mend:  leave it out\n"


# --- list, show, why, status ---


def test_list_puts_what_needs_a_person_first_and_hides_what_is_over(
        capsys: Caps, office: FakeOffice, daemon: FakeDaemon) -> None:
    asks = a_task(3, state="waiting", attention="G1 asks", gate="G1")
    put(office, a_task(1), a_task(2, state="done"), asks, a_task(10, state="queued"))
    ran = andon(capsys, "list")
    assert [line.split()[0] for line in ran.out.splitlines()] == ["TASK", "T3", "T1", "T10"]
    assert "? waiting" in ran.out and "1 task not shown" in ran.err and "\x1b" not in ran.out
    assert [row["task"] for row in json.loads(andon(capsys, "list", "--all", "--json").out)] == ["T3", "T1", "T10", "T2"]
    assert [row["task"] for row in json.loads(andon(capsys, "list", "--state", "done", "--json").out)] == ["T2"]


def test_an_empty_list_is_an_empty_array_and_says_what_to_do(
        capsys: Caps, office: FakeOffice, daemon: FakeDaemon) -> None:
    assert json.loads(andon(capsys, "list", "--json").out) == []
    assert "andon add" in andon(capsys, "list").err


def test_an_unknown_state_is_refused_by_name(capsys: Caps, daemon: FakeDaemon) -> None:
    ran = andon(capsys, "list", "--state", "bilding")
    assert ran.code == 2 and "`bilding`" in ran.err and "building" in ran.err


def test_words_of_an_agent_cannot_steer_the_terminal(
        capsys: Caps, office: FakeOffice, daemon: FakeDaemon) -> None:
    evil = "x\x1b]0;owned\x07\x1b[2J\x9b31m\ny\u202e"
    put(office, a_task(1, title=evil, says=evil, why=[evil], attention=evil), a_gate(1, question=evil, because=evil), a_session(1))
    office.answer = lambda request, push: wire.TaskIs(detail=TaskDetail(task=a_task(1, title=evil, says=evil), spec=evil, timeline=(
        Moment(seq=1, at=1, kind="x", text=evil),), packet=evil))
    for words in (["list"], ["why", "T1"], ["show", "T1"], ["gate", "ls"], ["gate", "show", "G1", "--no-diff"], ["status"]):
        ran = andon(capsys, *words)
        assert ran.code == 0 and not set(ran.out) & {"\x1b", "\x07", "\x9b", "\u202e"}, words


def test_show_is_one_page_with_claims_attempts_and_timeline(
        capsys: Caps, office: FakeOffice, daemon: FakeDaemon) -> None:
    claim = ClaimCell(claim="tests", status="refuted", because="2 of 214 tests failed")
    detail = TaskDetail(
        task=a_task(3, claims=[{"claim": "tests", "status": "refuted", "because": claim.because}]), spec="# Do it\n",
        attempts=(AttemptDetail(attempt=AttemptId("T3.1"), number=1, agent="claude", state="ended", base="a" * 40,  # type: ignore[arg-type]
                                salvage="refs/andon/salvage/T3.1"),),
        timeline=(Moment(seq=1, at=1_000, kind="task.added", text="ann added T3"),))
    office.answer = lambda request, push: wire.TaskIs(detail=detail)
    ran = andon(capsys, "show", "t3")
    assert ran.code == 0
    for words in ("T3  Say hello", "✗ refuted", "2 of 214 tests failed", "T3.1", "refs/andon/salvage/T3.1", "ann added T3"):
        assert words in ran.out
    assert office.requests[-1] == wire.GetTask(id=1, task=TaskId("T3"))
    assert json.loads(andon(capsys, "show", "3", "--json").out)["task"]["task"] == "T3"


def test_why_gives_each_reason_and_an_unknown_task_is_a_mistake(
        capsys: Caps, office: FakeOffice, daemon: FakeDaemon) -> None:
    put(office, a_task(1, state="queued", why=["waits for T2", "6 of 6 agents at work"]))
    ran = andon(capsys, "why", "T1")
    assert ran.code == 0 and "  waits for T2\n  6 of 6 agents at work\n" in ran.out
    assert andon(capsys, "why", "T9").code == 2
    assert json.loads(andon(capsys, "why", "T1", "--json").out) == ["waits for T2", "6 of 6 agents at work"]


def test_status_names_all_that_waits_for_a_person(capsys: Caps, office: FakeOffice, daemon: FakeDaemon) -> None:
    put(office, a_task(1), a_gate(1), a_session(1), ProblemView(problem="mirror:shop", what="your branch is behind", where="shop",
                                                               mend="git merge --ff-only", since=1))
    ran = andon(capsys, "status")
    assert ran.code == 0
    for words in ("running", "shop", "1 ▸ building", "G1 T1", "your branch is behind", "git merge --ff-only"):
        assert words in ran.out
    kinds = [view["type"] for view in json.loads(andon(capsys, "status", "--json").out)]
    assert set(kinds) == {"factory", "repository", "line", "gate", "session", "problem"}


def test_without_a_terminal_andon_alone_is_status(capsys: Caps, daemon: FakeDaemon) -> None:
    ran = andon(capsys)
    assert ran.code == 0 and ran.out.startswith("daemon   running")


# --- deeds ---


@pytest.mark.parametrize(("words", "command"), [
    (["cancel", "T1", "--because", "old"], inputs.CancelTask(task=TaskId("T1"), because="old")),
    (["retry", "t1", "--note", "look"], inputs.RetryTask(task=TaskId("T1"), note="look")),
    (["stop", "build", "--because", "red"], inputs.PullCord(repo=RepoId("shop"), line="build", because="red")),
    (["resume", "shop/build"], inputs.ReleaseCord(repo=RepoId("shop"), line="build")),
])
def test_a_deed_sends_exactly_its_command(capsys: Caps, office: FakeOffice, daemon: FakeDaemon, words: list[str],
                                          command: inputs.AnyCommand) -> None:
    import msgspec
    put(office, a_task(1))
    assert andon(capsys, *words).code == 0
    assert [msgspec.structs.replace(done, by="") for done in office.commands] == [command]


@pytest.mark.parametrize("words", [
    ["cancel", "T9"], ["retry", "x"], ["stop", "biuld", "--because", "x"], ["stop", "build", "--because", " "], ["stop", "build"],
    ["resume", "other/build"], ["send", "T1", "hi"], ["tail", "T1"], ["undo", "T1"],
])
def test_a_deed_on_what_is_not_there_does_nothing(capsys: Caps, office: FakeOffice, daemon: FakeDaemon,
                                                  words: list[str]) -> None:
    put(office, a_task(1, state="queued"))
    ran = andon(capsys, *words)
    assert ran.code == 2 and ran.err
    assert not office.commands and not office.requests


def test_undo_names_the_latest_attempt_and_prints_the_path(
        capsys: Caps, office: FakeOffice, daemon: FakeDaemon) -> None:
    put(office, a_task(1, attempt="T1.2"))
    office.answer = lambda request, push: wire.Done(ids=("/restored/T1.2",))
    assert andon(capsys, "undo", "T1").out == "T1.2 restored at /restored/T1.2\n"
    assert office.requests == [wire.Undo(id=2, attempt=AttemptId("T1.2"))]


def test_send_reaches_the_live_session(capsys: Caps, office: FakeOffice, daemon: FakeDaemon) -> None:
    put(office, a_task(1), a_session(1, 2))
    assert andon(capsys, "send", "T1", "go", "on").code == 0
    assert office.commands == [inputs.SendMessage(attempt=AttemptId("T1.2"), text="go on", by=office.commands[0].by)]


# --- wait and tail ---


def in_thread(deed: object) -> threading.Thread:
    thread = threading.Thread(target=deed)  # type: ignore[arg-type]
    thread.start()
    return thread


def watched(daemon: FakeDaemon) -> bool:
    assert daemon.server is not None
    return any(client._subscribed for client in set(daemon.server._clients))


def test_wait_returns_when_the_task_has_landed(capsys: Caps, office: FakeOffice, daemon: FakeDaemon) -> None:
    put(office, a_task(1), a_task(2, state="done"))

    def later() -> None:
        wait_until(lambda: watched(daemon))
        daemon.publish(a_task(1, state="waiting", attention="a review", gate="G1"))
        daemon.publish(a_task(1, state="landed", landed="f" * 40))
    thread = in_thread(later)
    ran = andon(capsys, "wait", "T1", "T2", "--timeout", "20")
    thread.join()
    assert ran.code == 0 and "T1 ✓ landed as ffffffffff" in ran.out and "T2 ✓ done" in ran.out


@pytest.mark.parametrize("state", ["failed", "stopped"])
def test_wait_is_exit_code_1_when_the_task_ends_otherwise(
        capsys: Caps, office: FakeOffice, daemon: FakeDaemon, state: str) -> None:
    put(office, a_task(1, state=state, why=["three attempts failed"]))
    ran = andon(capsys, "wait", "T1")
    assert ran.code == 1 and state in ran.out and "three attempts failed" in ran.out


def test_wait_ends_at_its_timeout_and_says_what_is_missing(
        capsys: Caps, office: FakeOffice, daemon: FakeDaemon) -> None:
    put(office, a_task(1))
    ran = andon(capsys, "wait", "T1", "--timeout", "0.2")
    assert ran.code == 1 and "T1 not landed after 0.2 s" in ran.err
    assert andon(capsys, "wait", "T1", "--timeout", "soon").code == 2


def test_tail_prints_what_scrolls_in_and_ends_with_the_session(
        capsys: Caps, office: FakeOffice, daemon: FakeDaemon) -> None:
    put(office, a_task(1), a_session(1))

    def pane(request: wire.AnyRequest, push: object) -> wire.AnyReply:
        return wire.PaneIs(attempt=AttemptId("T1.1"), rows=("one", "\x1b[31mtwo\x1b[0m", "", ""), width=80, height=4)
    office.answer = pane

    def later() -> None:
        wait_until(lambda: office.pushes)
        rows = ("two", "three\x1b]0;x\x07")
        last = wire.PaneIs(attempt=AttemptId("T1.1"), rows=rows, width=80, height=4, alive=False, state="ended")
        daemon.call(lambda: office.pushes[0](last))
    thread = in_thread(later)
    ran = andon(capsys, "tail", "T1", "--for", "20")
    thread.join()
    assert ran.code == 0 and ran.out.splitlines()[-1] == "three" and "T1.1 has ended" in ran.err
    assert ran.out in ("one\ntwo\nthree\n", "two\nthree\n")


def test_tail_once_prints_the_pane_as_it_is(capsys: Caps, office: FakeOffice, daemon: FakeDaemon) -> None:
    put(office, a_task(1), a_session(1))
    office.answer = lambda request, push: wire.PaneIs(attempt=AttemptId("T1.1"), rows=("one", "two", ""), width=80, height=3)
    assert andon(capsys, "tail", "T1.1", "--once").out == "one\ntwo\n"


def test_attach_prints_the_command_for_our_own_tmux_server(
        capsys: Caps, office: FakeOffice, daemon: FakeDaemon) -> None:
    put(office, a_task(1), a_session(1))
    ran = andon(capsys, "attach", "T1", "--print")
    assert ran.code == 0 and str(layout().tmux_socket) in ran.out and "T1_1" in ran.out
    assert andon(capsys, "attach", "T1").code == 2
