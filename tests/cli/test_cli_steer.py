"""Steering by command line: each verb sends exactly what was asked, to the session that was named, and lists say how they know."""

import json
from collections.abc import Iterator

import msgspec
import pytest

from andon.schema import inputs as i
from andon.schema.ids import AttemptId, TaskId
from andon.schema.layout import layout
from andon.schema.views import AccountView, SessionView
from clikit import Caps, andon
from fakeoffice import FakeDaemon, FakeOffice, a_session, a_shop, a_task

A = AttemptId("T1.2")


@pytest.fixture
def office() -> FakeOffice:
    return FakeOffice(*a_shop("/shop"), a_task(1), a_session(1, 2), a_task(2))


@pytest.fixture
def daemon(office: FakeOffice) -> Iterator[FakeDaemon]:
    with FakeDaemon(layout(), office) as running:
        yield running


@pytest.mark.parametrize(("words", "command"), [
    (("send", "T1", "go", "on", "--key", "k"), i.SendMessage(attempt=A, text="go on", key="k")),
    (("interrupt", "T1.2", "--because", "wrong way"), i.Interrupt(attempt=A, because="wrong way")),
    (("nudge", "1"), i.Nudge(attempt=A)),
    (("take", "T1", "--stay"), i.TakeOver(attempt=A)),
    (("take", "T1", "--back"), i.GiveBack(attempt=A)),
    (("restart", "T1", "--fresh", "--note", "mind the parser"), i.RestartSession(attempt=A, fresh=True, note="mind the parser")),
    (("reassign", "T1", "codex"), i.ReassignTask(task=TaskId("T1"), agent="codex")),
    (("agents", "free", "claude"), i.FreeAccount(account="claude")),
])
def test_a_verb_sends_exactly_what_was_asked(
        capsys: Caps, office: FakeOffice, daemon: FakeDaemon, words: tuple[str, ...], command: i.Command) -> None:
    assert andon(capsys, *words).code == 0
    assert office.commands == [msgspec.structs.replace(command, by=office.commands[0].by)]


@pytest.mark.parametrize("words", [
    ("send", "T2", "x"), ("interrupt", "T2"), ("nudge", "T9"), ("take", "T2", "--stay"), ("restart", "T2"),
])
def test_a_session_that_is_not_there_is_one_clear_error(
        capsys: Caps, office: FakeOffice, daemon: FakeDaemon, words: tuple[str, ...]) -> None:
    ran = andon(capsys, *words)
    assert ran.code != 0 and office.commands == [] and ("no live session" in ran.err or "no task T9" in ran.err)


def test_sessions_say_state_cause_source_and_cost_and_who_needs_somebody_comes_first(
        capsys: Caps, office: FakeOffice, daemon: FakeDaemon) -> None:
    plain = a_session(2, 1)
    stuck = msgspec.structs.replace(
        plain, health="hung", cause="hung-stream", because="0 bytes for 95 s", source="gateway", confidence="likely",
        metered="reported", usd=1.25, input_tokens=1200, output_tokens=34)
    office.table[stuck.key] = stuck
    ran = andon(capsys, "sessions")
    lines = ran.out.splitlines()
    assert lines[1].startswith("T2.1") and "! hung (hung-stream)" in lines[1] and "$1.25, 1,234 tokens" in lines[1]
    assert "likely: 0 bytes for 95 s [gateway]" in lines[1] and "● working" in lines[2] and "it writes [pane]" in lines[2]
    told = json.loads(andon(capsys, "sessions", "--json").out)
    assert [msgspec.convert(one, SessionView).attempt for one in told] == ["T2.1", "T1.2"]


def test_agents_show_what_each_adapter_can_do_and_which_account_is_at_a_limit(
        capsys: Caps, office: FakeOffice, daemon: FakeDaemon) -> None:
    limit = AccountView(account="claude", because="429 until later", limited_until=0)
    office.table[limit.key] = limit
    told = {one["use"]: one for one in json.loads(andon(capsys, "agents", "--json").out)}
    assert {"command", "scripted", "claude", "codex", "opencode"} <= set(told)
    assert "429 until later" in told["claude"]["limit"] and told["codex"]["limit"] == ""


def test_a_page_that_is_not_there_names_those_that_are(capsys: Caps) -> None:
    ran = andon(capsys, "agents", "show", "nobody")
    assert ran.code != 0 and "no page about `nobody`" in ran.err
