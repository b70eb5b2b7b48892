"""The inbox beyond one answer: several in one go, signed ones, naps and delegation; no state is a colour alone."""

from pathlib import Path

import pytest

from andon.schema.events import Approver
from andon.schema.gate_inputs import DelegateGate, SnoozeGate
from andon.schema.ids import Digest, Oid
from andon.schema.inputs import AnswerGate
from andon.schema.settings import Operator
from andon.schema.views import FactoryView
from face_on_paper import face
from factory_on_paper import HOUR, NOW, Paper, busy, gate
from signkit import key

FACTORY = {"version": "1", "pid": 1, "started_at": NOW}


def answers(paper: Paper) -> list[AnswerGate]:
    return [one for one in paper.commands if isinstance(one, AnswerGate)]


def signing(public: Path) -> FactoryView:
    return FactoryView(**FACTORY, operator=Operator(name="ana", key=str(public)), operators={"ana": ("security",)})  # type: ignore[arg-type]


async def test_an_answer_is_signed_where_a_key_is_set_and_names_what_was_on_screen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    public = key(tmp_path / "keys", "ana")
    paper = Paper([*busy(), signing(public), gate(1, "T5", nonce="n" * 32, tree=Oid("t" * 40), keys=1, roles=("security",))])
    async with face(paper, home="gates") as shown:
        await shown.press("a", "y")
        (sent,) = answers(paper)
        assert sent.signature is not None and (sent.signature.approver, sent.signature.role) == ("ana", "security")
        assert sent.signature.sshsig.startswith("-----BEGIN SSH SIGNATURE-----")


async def test_what_cannot_be_signed_is_not_sent_and_that_is_said(tmp_path: Path) -> None:
    paper = Paper([*busy(), signing(tmp_path / "none.pub"), gate(1, "T5", nonce="n" * 32)])
    async with face(paper, home="gates") as shown:
        await shown.press("a", "y")
        assert not answers(paper) and "the key that signs your approvals is not there" in shown.text


async def test_marked_gates_are_answered_in_one_go_each_bound_to_what_was_marked() -> None:
    paper = Paper([*busy(), gate(7, "T4", title="the seventh", bound=Digest("77" * 32), opened_at=NOW - HOUR)])
    async with face(paper, home="gates") as shown:
        names = [each.gate for each in shown.app.model.gates if any(option.key == "approve" for option in each.options)]
        for _ in shown.app.model.gates:
            await shown.press("M", "down")
        assert shown.text.count("✓ ") >= len(names)
        await shown.press("home", *["down"] * [each.gate for each in shown.app.model.gates].index(names[0]))
        await shown.press("a")
        assert not answers(paper) and f"approve {len(names)} gates?" in shown.text
        await shown.press("y")
        assert sorted((one.gate, one.bound) for one in answers(paper)) == sorted(
            (each.gate, each.bound) for each in shown.app.model.gates if each.gate in names)


async def test_a_marked_gate_that_moves_loses_its_mark() -> None:
    paper = Paper(busy())
    async with face(paper, home="gates") as shown:
        await shown.press("M")
        paper.put(gate(1, "T5", bound=Digest("ee" * 32)))
        await shown.settle()
        await shown.press("a", "escape")
        assert not answers(paper) and "approve 1 gates" not in shown.text


async def test_a_gate_is_put_off_taken_back_and_left_to_somebody() -> None:
    paper = Paper(busy())
    async with face(paper, home="gates") as shown:
        await shown.press("z", "enter")
        assert paper.commands == [SnoozeGate(gate=gate(1, "T5").gate, seconds=7200)]
        paper.put(gate(1, "T5", snoozed_until=NOW + HOUR, snoozed_by="me"))
        await shown.settle()
        assert "z put off by me" in shown.text
        await shown.press("end")
        await shown.press("z")
        assert paper.commands[1:] == [SnoozeGate(gate=gate(1, "T5").gate, seconds=0)]
        await shown.press("D", *"ana: knows it", "enter")
        assert paper.commands[2:] == [DelegateGate(gate=gate(1, "T5").gate, to="ana", because="knows it")]


async def test_who_signed_who_is_needed_and_what_it_cost_stand_in_words() -> None:
    seen = gate(1, "T5", keys=2, roles=("security",), approvals=(Approver(name="ben", role="owner", key="SHA256:" + "x" * 43),),
                missing=("role security",), to="ana", to_because="her module", raised=2, usd=1.25, tokens=3000, metered=False,
                blocked="G1 cannot be approved: nobody has the role", blocked_mend="name somebody")
    async with face(Paper([*busy(), seen]), (160, 50), home="gates") as shown:
        for told in ("1 of 2 keys", "be approved", "told again", "✓ ben as owner signed", "still needed: role security",
                     "left to ana: her module", "at least $1.25, 3,000 tokens so far", "name somebody"):
            assert told in shown.text, (told, shown.text)
