"""The inbox: two keys answer, and the answer carries exactly what was on screen."""

from andon.schema.events import Option
from andon.schema.ids import Digest
from andon.schema.inputs import AnswerGate
from face_on_paper import face
from factory_on_paper import BOUND, DIFF, NOW, Paper, busy, gate, task


async def test_the_inbox_is_home_when_somebody_waits_and_the_board_when_nobody_does() -> None:
    async with face(Paper(busy()), home="") as shown:
        assert shown.place == "Gates"
    async with face(Paper([view for view in busy() if not view.key.startswith("gate:")]), home="") as shown:
        assert shown.place == "Board"


async def test_question_recommendation_options_risk_age_claims_and_diff_stand_together() -> None:
    async with face(Paper(busy()), (160, 50), home="gates") as shown:
        for told in (
            "Land this change of 3 files on main?", "1 a Approve ★ recommended  it goes into the merge queue",
            "2 x Reject", "3   Another attempt", "risk review · waits 12m", "? lint", "unevaluated", "exit 127: ruff: not found",
            "+48", "── tests/test_time.py", "+    if locale.has_dual(days):", "+--- not a header",
        ):
            assert told in shown.text, told


async def test_two_keys_approve_with_the_digest_that_was_on_screen() -> None:
    for second in ("enter", "y"):
        async with face(Paper(busy()), home="gates") as shown:
            await shown.press("a")
            assert "bound to b0d1b0d1b0d1" in shown.text and not shown.paper.commands
            await shown.press(second)
            assert shown.paper.commands == [AnswerGate(gate=gate(1, "T5").gate, option="approve", bound=BOUND)]


async def test_a_number_chooses_any_option_and_escape_leaves_it() -> None:
    async with face(Paper(busy()), home="gates") as shown:
        await shown.press("3", "escape")
        await shown.press("y")
        assert not shown.paper.commands
        await shown.press("3", "y")
        assert [each.option for each in shown.paper.commands if isinstance(each, AnswerGate)] == ["retry"]


async def test_rejecting_asks_for_a_reason_and_sends_it() -> None:
    async with face(Paper(busy()), home="gates") as shown:
        await shown.press("x", "enter")
        assert not shown.paper.commands
        await shown.press(*"no", "enter")
        assert shown.paper.commands == [AnswerGate(gate=gate(1, "T5").gate, option="reject", because="no", bound=BOUND)]


async def test_a_change_that_moves_under_a_chosen_answer_takes_the_choice_back() -> None:
    async with face(Paper(busy()), home="gates") as shown:
        await shown.press("a")
        shown.paper.put(gate(1, "T5", bound=Digest("ee" * 32)))
        await shown.settle()
        assert "the change moved while you looked" in shown.text
        await shown.press("y")
        assert not shown.paper.commands


async def test_a_gate_that_is_answered_elsewhere_leaves_the_list_and_the_choice() -> None:
    async with face(Paper(busy()), home="gates") as shown:
        await shown.press("a")
        shown.paper.put(task(5, "Speak Slovenian dual in naturaltime", "landing", "land"), gone=["gate:G1"])
        await shown.settle()
        assert "Keep the old path" in shown.text and "Land this change" not in shown.text
        await shown.press("y")
        assert not shown.paper.commands


async def test_a_question_of_an_agent_is_answered_with_its_own_options() -> None:
    async with face(Paper(busy()), home="gates") as shown:
        await shown.press("down", "a")
        assert not shown.paper.commands and "does not offer approve" in shown.text
        await shown.press("2", "enter")
        assert shown.paper.commands == [AnswerGate(gate=gate(2, "T8").gate, option="no")]


async def test_a_question_is_answered_in_words() -> None:
    async with face(Paper(busy()), home="gates") as shown:
        await shown.press("down", "e")
        await shown.press(*"keep", "enter")
        assert shown.paper.commands == [AnswerGate(gate=gate(2, "T8").gate, option="answer", because="keep")]


async def test_the_diff_is_asked_for_once_and_scrolls_while_the_list_keeps_the_focus() -> None:
    paper = Paper(busy())
    paper.blobs[DIFF] = "diff --git a/x b/x\n@@ -1 +1,200 @@\n" + "".join(f"+line {n}\n" for n in range(200))
    async with face(paper, (120, 30), home="gates") as shown:
        assert "line 150" not in shown.text
        for _ in range(6):
            await shown.press("pagedown")
        assert "+line 1" in shown.text and "Land this change" not in shown.text
        shown.paper.put(gate(1, "T5", opened_at=NOW - 5))
        await shown.settle()
        assert len([each for each in paper.asked if type(each).__name__ == "GetBlob"]) == 1


async def test_the_list_stands_above_the_detail_where_there_is_no_room_beside() -> None:
    async with face(Paper(busy()), (80, 24), home="gates") as shown:
        assert shown.where("T8 question")[1] < shown.where("Land this change")[1]
        assert shown.where("T5 review")[0] == 4


async def test_nobody_waits_is_said_in_words() -> None:
    async with face(Paper([view for view in busy() if not view.key.startswith("gate:")]), home="gates") as shown:
        assert "nobody waits for you" in shown.text


async def test_a_card_on_the_board_is_approved_with_two_keys_and_the_same_digest() -> None:
    async with face(Paper(busy())) as shown:
        await shown.press("a")
        assert "Approve T5?" in shown.text and "9f3c2ab1d0e4" in shown.text
        await shown.press("enter")
        assert shown.paper.commands == [AnswerGate(gate=gate(1, "T5").gate, option="approve", bound=BOUND)]


async def test_a_hostile_option_answers_with_its_own_key_and_is_drawn_clean() -> None:
    odd = gate(1, "T5", options=(Option(key="\x1b[2Jyes", label="[@click=app.quit]yes\x1b]52;c;eA==\x07"),))
    async with face(Paper([task(5, "x", "waiting", "review", gate=odd.gate, attention="?"), odd]), home="gates") as shown:
        assert "[@click=app.quit]yes" in shown.text and "\x1b" not in shown.text
        await shown.press("1", "y")
        assert shown.paper.commands[0].option == "\x1b[2Jyes"  # type: ignore[union-attr]
