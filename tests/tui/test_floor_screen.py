"""The floor: who needs somebody first, each state with its word, its reason and its source; and what a person can do there."""

import msgspec
import pytest

from andon.schema import inputs as i
from andon.schema.health import Health
from andon.schema.ids import AttemptId, RepoId, TaskId
from andon.schema.views import SessionView
from andon_tui import palette, telling
from andon_tui.clock import Clock
from face_on_paper import Face, face
from factory_on_paper import NOW, Paper, busy


def a_session(n: int, health: Health, **more: object) -> SessionView:
    plain = SessionView(
        attempt=AttemptId(f"T{n}.1"), task=TaskId(f"T{n}"), repo=RepoId("shop"), agent="claude", session=f"T{n}_1", health=health,
        because="the reason", source="hook", since=NOW - 60_000, started=NOW - 600_000)
    return msgspec.structs.replace(plain, **more)


async def at_the_floor(shown: Face) -> None:
    await shown.press("f")
    await shown.settle()


SESSIONS = (
    a_session(1, "working", metered="reported", input_tokens=12_300, output_tokens=950, usd=1.5, context=0.42),
    a_session(2, "waiting-permission", cause="permission", because="it wants to run `git push`", source="api"),
    a_session(3, "hung", cause="hung-stream", confidence="likely", evidence=("0 bytes for 95 s",), rule="hung",
              ladder=("nudge 1",)),
    a_session(4, "unknown", metered="unmetered", conflict="the hook says working"),
)


async def test_who_needs_somebody_comes_first_and_every_state_has_its_word_reason_and_source() -> None:
    async with face(Paper(SESSIONS), size=(120, 40)) as shown:
        await at_the_floor(shown)
        heads = [line for line in shown.lines if ".1 " in line and "claude" in line]
        assert [line.split()[0].strip("▸█") or line.split()[1] for line in heads] == ["T3.1", "T2.1", "T4.1", "T1.1"]
        assert "! hung (hung-stream)" in heads[0] and "◆ waits for permission" in heads[1] and "? unknown" in heads[2]
        assert "likely the reason · by hook, 1m" in shown.text and "it wants to run `git push` · by api" in shown.text
        for words in ("$1.50 · 12k in, 950 out · context 42%", "unmetered", "nothing spent yet"):
            assert words in shown.text


@pytest.mark.parametrize("size", [(80, 24), (200, 60)])
async def test_it_fits_the_smallest_and_the_largest_screen(size: tuple[int, int]) -> None:
    async with face(Paper([*busy(), *SESSIONS]), size=size) as shown:
        await at_the_floor(shown)
        assert "Floor" in shown.lines[0] and "T3.1" in shown.text and all(len(line) <= size[0] for line in shown.lines)


async def test_an_empty_floor_says_so_and_an_unmatched_filter_too() -> None:
    async with face(Paper()) as shown:
        await at_the_floor(shown)
        assert "no agent is at work" in shown.text
        shown.paper.put(*SESSIONS)
        await shown.press("slash", *"nobody", "enter")
        await shown.settle()
        assert "no session matches" in shown.text


async def test_the_explanation_shows_rule_source_evidence_conflict_and_what_was_done() -> None:
    text = telling.explanation(SESSIONS[2], Clock(lambda: NOW))
    for words in ("T3.1 is hung (hung-stream)", "rule      hung", "sure      likely", "0 bytes for 95 s", "nudge 1"):
        assert words in text
    assert "but       the hook says working" in telling.explanation(SESSIONS[3], Clock(lambda: NOW))
    async with face(Paper(SESSIONS), size=(100, 40)) as shown:
        await at_the_floor(shown)
        await shown.press("e")
        await shown.settle()
        assert "T3.1 · explained" in shown.text and "0 bytes for 95 s" in shown.text


async def test_keys_steer_the_session_under_the_cursor_and_ask_before_they_end_anything() -> None:
    async with face(Paper(SESSIONS), size=(100, 40)) as shown:
        await at_the_floor(shown)
        await shown.press("N")
        await shown.press("I", "n")
        assert shown.paper.commands == [i.Nudge(attempt=AttemptId("T3.1"))]
        await shown.press("I", "y")
        await shown.press("Z", "y")
        await shown.press("T")
        await shown.press("w", *"go on", "enter")
        assert shown.paper.commands[1:] == [
            i.Interrupt(attempt=AttemptId("T3.1")), i.RestartSession(attempt=AttemptId("T3.1")),
            i.TakeOver(attempt=AttemptId("T3.1")), i.SendMessage(attempt=AttemptId("T3.1"), text="go on")]


async def test_the_gate_that_a_session_waits_for_is_one_key_away() -> None:
    async with face(Paper(busy()), size=(120, 40)) as shown:
        await at_the_floor(shown)
        await shown.press("slash", *"answer", "enter")
        await shown.press("a")
        await shown.settle()
        assert shown.app.screen.name == "gates" and shown.paper.commands == []


async def test_nothing_is_nudged_that_a_person_has_taken_over_and_it_says_why() -> None:
    async with face(Paper([a_session(1, "working", taken="ada")]), size=(100, 30)) as shown:
        await at_the_floor(shown)
        await shown.press("N")
        assert shown.paper.commands == [] and "ada" in shown.text
        await shown.press("T")
        assert shown.paper.commands == [i.GiveBack(attempt=AttemptId("T1.1"))]


def test_every_health_has_a_look_of_its_own_glyph_and_word() -> None:
    from typing import get_args

    assert set(palette.HEALTHS) == set(get_args(Health))
    assert len({look.word for look in palette.HEALTHS.values()}) == len(palette.HEALTHS)
