"""Gates by command line: what is shown, what an answer is bound to, and what never goes through."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from andon.schema import wire
from andon.schema.errors import Problem
from andon.schema.events import Option
from andon.schema.ids import Digest, RepoId
from andon.schema.inputs import AnswerGate, TrustCommands
from andon.schema.layout import layout
from andon.schema.settings import Check, Loaded, Settings
from clikit import Caps, andon
from fakeoffice import FakeDaemon, FakeOffice, a_gate, a_shop, a_task

DIFF = "diff --git a/x b/x\n--- a/x\n+++ b/x\n@@ -1 +1 @@\n-old\n+new \x1b[2Jhidden\n"


@pytest.fixture
def office(tmp_path: Path) -> FakeOffice:
    office = FakeOffice(*a_shop(str(tmp_path)), a_task(1, state="waiting", gate="G1"), a_gate(1), a_task(2))
    office.blobs[Digest("d" * 64)] = DIFF
    return office


@pytest.fixture
def daemon(office: FakeOffice) -> Iterator[FakeDaemon]:
    with FakeDaemon(layout(), office) as running:
        yield running


def answers(office: FakeOffice) -> list[tuple[str, str, str, str]]:
    return [(one.gate, one.option, one.because, one.bound) for one in office.commands if isinstance(one, AnswerGate)]


def test_gate_ls_lists_the_oldest_first(capsys: Caps, office: FakeOffice, daemon: FakeDaemon) -> None:
    office.table["gate:G2"] = a_gate(2, 2, opened_at=1)
    for words in (["gate", "ls"], ["gate"]):
        ran = andon(capsys, *words)
        assert [line.split()[0] for line in ran.out.splitlines()] == ["GATE", "G2", "G1"]
    assert [gate["gate"] for gate in json.loads(andon(capsys, "gate", "ls", "--json").out)] == ["G2", "G1"]


def test_gate_show_prints_question_options_claims_bound_and_a_harmless_diff(
        capsys: Caps, daemon: FakeDaemon) -> None:
    for named in ("G1", "g1", "T1", "1"):
        ran = andon(capsys, "gate", "show", named)
        assert ran.code == 0
        for words in ("Land this change?", "approve (recommended)", "reject", "✓ proven", "214 tests passed", "2 files, +10 -3",
                      "bound   bbbbbbbbbbbbbbbb", "-old", "+new hidden"):
            assert words in ran.out
        assert "\x1b" not in ran.out


@pytest.mark.parametrize("named", ["T1", "G1"])
def test_approve_shows_what_it_binds_to_and_sends_exactly_that(
        capsys: Caps, office: FakeOffice, daemon: FakeDaemon, named: str) -> None:
    ran = andon(capsys, "approve", named)
    assert ran.code == 0 and "2 files, +10 -3" in ran.out and "G1 answered: approve" in ran.out
    assert answers(office) == [("G1", "approve", "", "b" * 64)]


def test_approve_bound_to_what_was_seen_earlier_sends_that_and_not_what_is_there_now(
        capsys: Caps, office: FakeOffice, daemon: FakeDaemon) -> None:
    andon(capsys, "approve", "G1", "--bound", "b" * 16)
    andon(capsys, "approve", "G1", "--bound", "e" * 64)
    assert [bound for *_, bound in answers(office)] == ["b" * 64, "e" * 64]
    assert andon(capsys, "approve", "G1", "--bound", "bb").code == 2
    assert len(office.commands) == 2


def test_a_gate_that_changed_is_exit_code_4(capsys: Caps, office: FakeOffice, daemon: FakeDaemon) -> None:
    office.on_do = lambda command: wire.Failed(problem=Problem(what="G1 is about another diff now", mend="andon gate show G1"))
    ran = andon(capsys, "approve", "G1")
    assert ran.code == 4 and "another diff" in ran.err and "answered" not in ran.out


def test_reject_needs_a_reason_and_sends_it(capsys: Caps, office: FakeOffice, daemon: FakeDaemon) -> None:
    assert andon(capsys, "reject", "T1").code == 2
    assert andon(capsys, "reject", "T1", "--because", "  ").code == 2
    assert not office.commands
    assert andon(capsys, "reject", "T1", "--because", "wrong flag").code == 0
    assert answers(office) == [("G1", "reject", "wrong flag", "b" * 64)]


@pytest.mark.parametrize(("words", "what"), [
    (["approve", "T2"], "no open gate"), (["approve", "T9"], "no task T9"), (["approve", "G9"], "no open gate G9"),
    (["approve", "x"], "`x` is no task"), (["gate", "answer", "G1", "perhaps"], "its options are: approve, reject"),
    (["gate", "answer", "G1"], "needs an option"),
])
def test_an_answer_to_what_is_not_asked_is_a_mistake(
        capsys: Caps, office: FakeOffice, daemon: FakeDaemon, words: list[str], what: str) -> None:
    ran = andon(capsys, *words)
    assert ran.code == 2 and what in ran.err
    assert not office.commands


def test_an_agents_question_takes_an_option_or_words_of_ones_own(
        capsys: Caps, office: FakeOffice, daemon: FakeDaemon) -> None:
    office.table["gate:G1"] = a_gate(1, kind="question", bound=Digest(""), options=(Option(key="quiet", label="quiet"),))
    andon(capsys, "gate", "answer", "G1", "quiet")
    andon(capsys, "gate", "answer", "G1", "call it hush")
    andon(capsys, "gate", "answer", "T1", "--because", "call it hush")
    assert answers(office) == [("G1", "quiet", "", ""), ("G1", "answer", "call it hush", ""), ("G1", "answer", "call it hush", "")]


# --- trust ---


def settings_are(trusted: bool) -> wire.SettingsAre:
    settings = Settings(checks={"tests": Check(name="tests", run="pytest -q")})
    return wire.SettingsAre(loaded=Loaded(settings=settings, digest=Digest("1" * 64), commands=Digest("2" * 64)), trusted=trusted,
                            commands=settings.commands())


def test_trust_shows_the_commands_and_trusts_exactly_their_digest(
        capsys: Caps, office: FakeOffice, daemon: FakeDaemon) -> None:
    office.answer = lambda request, push: settings_are(trusted=False)
    ran = andon(capsys, "trust", "shop", "--yes")
    assert ran.code == 0 and "check tests: pytest -q" in ran.out
    (command,) = office.commands
    assert isinstance(command, TrustCommands) and (command.repo, command.commands) == (RepoId("shop"), "2" * 64)


def test_trust_is_never_given_when_nobody_can_be_asked(
        capsys: Caps, office: FakeOffice, daemon: FakeDaemon) -> None:
    office.answer = lambda request, push: settings_are(trusted=False)
    ran = andon(capsys, "trust", "shop")
    assert ran.code == 2 and "--yes" in ran.err and "pytest -q" in ran.out
    assert not office.commands
