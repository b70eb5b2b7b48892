"""`andon gate` beyond one answer: batches, naps, delegation, the list by urgency, and time as people write it."""

import json
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import msgspec
import pytest

from andon.cli import gate_deeds
from andon.schema import wire
from andon.schema.errors import Mistake, Problem
from andon.schema.events import Approver
from andon.schema.gate_inputs import SNOOZE_LIMIT_S, DelegateGate, SnoozeGate
from andon.schema.inputs import AnswerGate
from andon.schema.layout import layout
from andon.schema.views import GateView
from clikit import Caps, andon
from fakeoffice import FakeDaemon, FakeOffice, a_gate, a_shop, a_task

NOW = int(time.time() * 1000)


@pytest.fixture
def office(tmp_path: Path) -> FakeOffice:
    tasks = [a_task(n, state="waiting", gate=f"G{n}") for n in (1, 2, 3)]
    return FakeOffice(*a_shop(str(tmp_path)), *tasks, *(a_gate(n, n) for n in (1, 2, 3)))


@pytest.fixture
def daemon(office: FakeOffice) -> Iterator[FakeDaemon]:
    with FakeDaemon(layout(), office) as running:
        yield running


def sent(office: FakeOffice) -> list[tuple[str, str]]:
    return [(one.gate, one.option) for one in office.commands if isinstance(one, AnswerGate)]


def change(office: FakeOffice, n: int, **fields: object) -> None:
    gate = office.table[f"gate:G{n}"]
    office.table[f"gate:G{n}"] = msgspec.structs.replace(gate, **fields)


def test_several_gates_are_all_shown_and_then_answered_one_by_one(capsys: Caps, office: FakeOffice, daemon: FakeDaemon) -> None:
    for words in (("approve", "T1", "G2", "t3"), ("gate", "answer", "G1", "T2", "g3", "approve")):
        office.commands.clear()
        ran = andon(capsys, *words)
        assert ran.code == 0 and sent(office) == [("G1", "approve"), ("G2", "approve"), ("G3", "approve")], ran
        assert ran.out.index("G3  T3") < ran.out.index("G1 answered")
        assert all(one.bound for one in office.commands if isinstance(one, AnswerGate))


def test_the_same_gate_named_twice_is_answered_once(capsys: Caps, office: FakeOffice, daemon: FakeDaemon) -> None:
    andon(capsys, "approve", "T1", "G1")
    assert sent(office) == [("G1", "approve")]


def test_one_that_is_refused_leaves_the_others_and_the_exit_code_tells(
    capsys: Caps, office: FakeOffice, daemon: FakeDaemon,
) -> None:
    no = wire.Failed(problem=Problem(what="G2 is not open: it was answered with reject by ben", mend="none"))
    office.on_do = lambda command: no if getattr(command, "gate", "") == "G2" else wire.Done()
    ran = andon(capsys, "approve", "G1", "G2", "G3")
    assert ran.code == 4 and "G2 was declined: G2 is not open: it was answered with reject by ben" in ran.err
    assert "1 of 3 gates stayed as they were" in ran.err and "G3 answered" in ran.out


@pytest.mark.parametrize(("words", "says"), [
    (("approve", "G1", "G9"), "no open gate G9"),
    (("approve", "G1", "G2", "--bound", "a" * 64), "one digest cannot be that of several"),
    (("gate", "answer", "G1", "approve", "G2"), "comes after the option"), (("approve", *["G1"] * 101), "at most 100"),
    (("gate", "snooze", "G1", "--until", "soon"), "`soon` is no time"),
    (("gate", "snooze", "G1", "--until", "2020-01-01"), "is over"),
    (("approve", "G1", "--role", "security"), "is in no role"), (("gate", "log", "--since", "once"), "`once` is no time"),
])
def test_what_makes_no_sense_sends_nothing(
    capsys: Caps, office: FakeOffice, daemon: FakeDaemon, words: tuple[str, ...], says: str,
) -> None:
    ran = andon(capsys, *words)
    assert ran.code == 2 and says in ran.err and "mend" in ran.err, ran
    assert not office.commands


def test_naps_and_delegation_are_sent_for_each_gate(capsys: Caps, office: FakeOffice, daemon: FakeDaemon) -> None:
    assert andon(capsys, "gate", "snooze", "G1", "T2", "--until", "2h", "--because", "lunch").code == 0
    assert andon(capsys, "gate", "wake", "G1").code == 0
    assert andon(capsys, "gate", "delegate", "G3", "--to", "ana", "--because", "she knows it").code == 0
    assert office.commands == [
        SnoozeGate(gate=a_gate(1).gate, seconds=7200, because="lunch", by=office.commands[0].by),
        SnoozeGate(gate=a_gate(2).gate, seconds=7200, because="lunch", by=office.commands[0].by),
        SnoozeGate(gate=a_gate(1).gate, seconds=0, by=office.commands[0].by),
        DelegateGate(gate=a_gate(3).gate, to="ana", because="she knows it", by=office.commands[0].by),
    ]


def test_the_list_has_the_urgent_first_and_counts_what_is_put_off(capsys: Caps, office: FakeOffice, daemon: FakeDaemon) -> None:
    change(office, 1, opened_at=NOW - 9_000_000, snoozed_until=NOW + 3_600_000, snoozed_by="me")
    change(office, 2, opened_at=NOW - 60_000, raised=1, to="ana")
    change(office, 3, opened_at=NOW - 900_000, keys=2, approvals=(Approver(name="ana", key="SHA256:x"),), blocked="nobody")
    ran = andon(capsys, "gate", "ls")
    order = [line.split()[0] for line in ran.out.splitlines()[1:]]
    assert order == ["G2", "G3", "G1"], ran.out
    for told in ("for ana; told again 1x", "1 of 2 keys; cannot be approved", "snoozed until"):
        assert told in ran.out
    assert "1 gate of 3 snoozed" in ran.err
    told = json.loads(andon(capsys, "gate", "ls", "--json").out)
    assert [one["gate"] for one in told] == order and told[0]["to"] == "ana" and told[1]["keys"] == 2


def test_a_gate_shows_all_that_is_needed_to_decide(capsys: Caps, office: FakeOffice, daemon: FakeDaemon) -> None:
    ana = Approver(name="ana", role="security", key="SHA256:abc")
    change(office, 1, usd=1.5, tokens=12_000, metered=False, approvals=(ana,), keys=2, missing=("another person's key",), to="ben",
           to_because="his module", blocked="G1 cannot be approved: nobody", blocked_mend="do")
    ran = andon(capsys, "gate", "show", "G1", "--no-diff")
    for told in ("at least $1.50, 12,000 tokens", "ana as security, key SHA256:abc", "needs   another person's key", "1 of 2 keys",
                 "left to    ben: his module", "blocked    G1 cannot be approved: nobody", "option     approve"):
        assert told in ran.out, (told, ran.out)


def test_time_is_read_as_people_write_it() -> None:
    now = datetime.fromisoformat("2026-01-31T14:00:00+00:00")
    for text, seconds in (("90m", 5400), ("2h", 7200), ("1d", 86_400), ("15:00", 3600), ("13:59", 86_340),
                          ("2026-01-31T16:00:00+00:00", 7200)):
        assert gate_deeds.until(text, now) == seconds, text
    for text in ("", "2", "25:00", "-1h", "0h", "2026-01-30", "14:99", "1h2m"):
        with pytest.raises(Mistake):
            gate_deeds.until(text, now)
    assert SNOOZE_LIMIT_S == 72 * 3600


def test_no_gate_view_says_less_in_json_than_in_words(office: FakeOffice) -> None:
    assert {"nonce", "keys", "roles", "approvals", "missing", "blocked", "snoozed_until", "to", "raised", "usd", "tokens"} <= set(
        GateView.__struct_fields__)
