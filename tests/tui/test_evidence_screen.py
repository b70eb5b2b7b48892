"""A claim opens what it rests on, by keyboard and mouse, at any size, whatever an agent wrote into it."""

import pytest

from andon.schema.errors import Problem
from andon.schema.evidence_views import NOT_HERE, EvidenceFile
from andon.schema.wire import GetBlob, GetEvidence
from face_on_paper import face
from factory_on_paper import HOSTILE, LOG, Paper, busy, claims, evidence_of, task


@pytest.mark.parametrize("size", [(80, 24), (200, 60)])
async def test_a_claim_of_a_task_opens_the_statement_its_files_and_the_command_to_run_it_again(size: tuple[int, int]) -> None:
    async with face(Paper(busy()), size) as shown:
        await shown.press("enter")
        await shown.press("tab", "down", "enter")
        assert shown.place == "EvidenceScreen", shown.text
        for told in ("tests  ✓ proven", "214 tests passed", "9f3c2ab1d0e4" + "0" * 28, "7777", "test-result/v0.1 says PASSED",
                     "R31", "took 3.21 s", "pytest -q --junitxml={report}", "strict · asked for: best", "not signed"):
            assert told in shown.text, told
        await shown.press("end")
        for told in ("↳ statement", "39 KiB", "git clone -q --shared"):
            assert told in shown.text, told
        await shown.press("enter")
        assert shown.place == "Viewer" and "mktemp" in shown.text
        await shown.press("escape", "escape")
        assert shown.place == "TaskScreen"


async def test_a_file_of_a_claim_is_read_with_enter_and_with_the_mouse() -> None:
    async with face(Paper(busy()), (140, 50)) as shown:
        await shown.press("E")
        await shown.press("down", "down", "enter")
        assert shown.place == "Viewer" and "test_case_0 PASSED" in shown.text
        await shown.press("escape")
        column, line = shown.where("↳ diff")
        for _ in range(2):
            await shown.pilot.click(offset=(column, line))
            await shown.settle()
        assert shown.place == "Viewer" and "── src/humanize/time.py" in shown.text


async def test_claims_are_opened_with_the_mouse_too() -> None:
    async with face(Paper(busy()), (140, 50)) as shown:
        await shown.press("enter")
        column, line = shown.where("? lint")
        for _ in range(2):
            await shown.pilot.click(offset=(column + 1, line))
            await shown.settle()
        assert shown.place == "EvidenceScreen" and "T5 / lint" in shown.lines[0]


async def test_the_keys_for_the_next_claim_go_round_and_the_first_is_the_one_that_needs_a_look() -> None:
    async with face(Paper(busy()), (120, 40)) as shown:
        await shown.press("E")
        asked = [each.claim for each in shown.paper.asked if isinstance(each, GetEvidence)]
        assert asked == ["lint"], "of work ✓, tests ✓ and lint ? the last one says most"
        await shown.press("right_square_bracket", "n", "left_square_bracket")
        asked = [each.claim for each in shown.paper.asked if isinstance(each, GetEvidence)]
        assert asked == ["lint", "work", "tests", "work"]


async def test_the_evidence_of_a_moment_opens_as_such_and_not_as_raw_json() -> None:
    async with face(Paper(busy()), (140, 50)) as shown:
        await shown.press("enter")
        await shown.press("down", "down", "down", "down", "enter")
        assert shown.place == "EvidenceScreen"
        assert [each.digest for each in shown.paper.asked if isinstance(each, GetEvidence)] == [LOG]


async def test_a_red_claim_names_the_failing_and_the_lost_tests() -> None:
    paper = Paper(busy())
    paper.evidence["lint"] = evidence_of("T5", "lint", status="refuted", failing=("test_two_days",), lost=("test_old",), failed=1)
    async with face(paper, (120, 50)) as shown:
        await shown.press("E")
        for told in ("✗ refuted", "failing tests (1)", "✗ test_two_days", "lost tests: they pass on the base (1)",
                     "✗ test_old"):
            assert told in shown.text, told


async def test_a_claim_that_changed_is_asked_for_again() -> None:
    async with face(Paper(busy()), (120, 50)) as shown:
        await shown.press("E")
        changed = task(5, "Speak Slovenian dual", "waiting", "review", claims=claims(work="proven", lint="proven"))
        shown.paper.put(changed)
        await shown.settle()
        assert len([each for each in shown.paper.asked if isinstance(each, GetEvidence)]) == 2


@pytest.mark.parametrize("size", [(80, 24), (200, 60)])
async def test_hostile_words_in_every_field_reach_neither_terminal_nor_eye(size: tuple[int, int]) -> None:
    paper = Paper(busy())
    words = {name: HOSTILE for name in ("because", "kind", "result", "command", "checkout", "isolation", "asked", "again", "role")}
    paper.evidence["lint"] = evidence_of(
        "T5", "lint", **words, failing=(HOSTILE,), lost=(HOSTILE,), environment=((HOSTILE, HOSTILE),), keys=(HOSTILE,),
        notes=(HOSTILE,), files=(EvidenceFile(name="log", digest=LOG, size=NOT_HERE),))
    async with face(paper, size) as shown:
        await shown.press("E")
        seen = shown.text
        await shown.press("end")
        for told in (seen, shown.text, "".join(shown.writes)):
            assert "\x1b]52" not in told and "\u202e" not in told and "\x9b" not in told and "\u200b" not in told
        assert "not in the store" in shown.text + seen


async def test_a_daemon_that_says_no_is_told_with_its_mend() -> None:
    async with face(Paper(busy()), (120, 40)) as shown:
        await shown.press("enter")
        shown.paper.refuses = Problem(what="the ledger is broken", mend="put back a backup")
        await shown.press("E")
        assert "the ledger is broken" in shown.text and "put back a backup" in shown.text


async def test_nothing_is_asked_for_twice_while_nothing_changes() -> None:
    async with face(Paper(busy()), (120, 40)) as shown:
        await shown.press("E")
        read = len([each for each in shown.paper.asked if isinstance(each, GetBlob)])
        await shown.press("down", "up")
        shown.hand.at += 60_000
        shown.app.draw()
        await shown.settle()
        assert len([each for each in shown.paper.asked if isinstance(each, GetEvidence)]) == 1
        assert len([each for each in shown.paper.asked if isinstance(each, GetBlob)]) == read
