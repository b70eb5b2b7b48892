"""Words of agents, tasks and tools are only ever text: nothing in them becomes live, and no control code reaches the terminal."""

import re

import msgspec
import pytest
from rich.segment import Segment

from andon.schema.views import AnyView, ClaimCell
from face_on_paper import Face, face, in_a_terminal
from factory_on_paper import DIFF, HOSTILE, LOG, Paper, busy, detail_of
from queue_on_paper import at_work

FORBIDDEN = ("\x1b]52", "\x1b]8;", "\x1b[2J", "\x1bP", "\u202e", "\x9b", "\x00", "\u200b", "\U000e0041", "\x07")
POINTER = re.compile("\x1b\\]22;[a-z-]+\x07")
"""Textual's own wish for the shape of the mouse pointer."""
EXACT = {"task", "repo", "line", "station", "state", "attempt", "gate", "key", "kind", "mode", "health", "status", "risk", "bound",
         "diff", "problem", "type", "commit", "landed", "run", "name", "session", "trunk", "commands", "recommendation_", "source",
         "cause", "confidence", "metered", "channel", "race", "walls", "walls_now", "walls_least", "why_", "how", "landing",
         "lights"}
"""Fields that are names of ours: the schema gives them their shape."""


def poison(value: object, field: str = "") -> object:
    """The same value with hostile text wherever free text may stand."""
    if isinstance(value, str):
        return value if field in EXACT or not value else f"{value} {HOSTILE}"
    if isinstance(value, list):
        return [poison(each, field if field not in ("claims", "options", "stations") else "") for each in value]
    if isinstance(value, dict):
        return {name: poison(each, name) for name, each in value.items()}
    return value


HOMES = ("Board", "Gates", "Problems", "Floor", "Queue")


def hostile_factory() -> Paper:
    views = []
    for view in (*busy(), *at_work()):
        built = poison(msgspec.to_builtins(view))
        assert isinstance(built, dict)
        for name in ("after", "overlaps"):
            built.pop(name, None)
        fresh = msgspec.convert(built, AnyView)
        if hasattr(fresh, "claims") and fresh.claims:
            fresh = msgspec.structs.replace(fresh, claims=(*fresh.claims, ClaimCell(claim=f"odd {HOSTILE}", status="proven")))
        views.append(fresh)
    paper = Paper(views)
    plain = busy()[7]
    detail = msgspec.to_builtins(detail_of(plain))
    paper.details["T5"] = msgspec.convert(poison(detail), type(detail_of(plain)))
    paper.details["T5"] = msgspec.structs.replace(paper.details["T5"], task=paper.views_["task:T5"])
    paper.blobs[LOG] = f"{HOSTILE}\n\x1b[31mred\x1b[0m\r\n{HOSTILE}"
    paper.blobs[DIFF] = f"diff --git a/{HOSTILE} b/{HOSTILE}\n@@ -1 +1 @@ {HOSTILE}\n+{HOSTILE}\n-{HOSTILE}\n"
    return paper


def unsafe(shown: Face) -> list[str]:
    """What is on screen or was written to the terminal and must not be."""
    written = POINTER.sub("", "".join(shown.writes))
    found = [repr(bad) for bad in FORBIDDEN if bad in written or bad in shown.text]
    for strip in shown.app.screen._compositor.render_strips():
        for segment in strip:
            found += [repr(segment)] if _lives(segment) else []
    return found


def _lives(segment: Segment) -> bool:
    style = segment.style
    return style is not None and (style.link is not None or "@click" in (style.meta or {}))


WALK = (
    ("board", ()), ("board", ("c",)), ("board", ("a",)), ("board", ("S",)), ("board", ("question_mark",)), ("board", ("ctrl+p",)),
    ("board", ("ctrl+p", "T", "5")), ("gates", ()), ("gates", ("1",)), ("gates", ("x",)), ("gates", ("d",)), ("board", ("enter",)),
    ("board", ("enter", "down", "down", "enter")), ("board", ("d",)), ("problems", ()), ("board", ("slash", "x")),
    ("floor", ()), ("floor", ("enter",)), ("floor", ("e",)), ("floor", ("N",)), ("floor", ("I",)), ("floor", ("Z",)),
    ("floor", ("w",)), ("floor", ("down", "a")), ("floor", ("slash", "x")), ("floor", ("question_mark",)),
    ("queue", ()), ("queue", ("down",)), ("queue", ("v",)), ("queue", ("enter",)), ("queue", ("]",)), ("queue", ("question_mark",)),
    ("problems", ("down", "enter")), ("board", ("ctrl+p", "h", "u")),
)
SILENT = ("question_mark", "u", "]", "v", "w", "N", "I", "Z")
"""Keys whose screens may hold nothing of an agent's."""


@pytest.mark.parametrize("size", [(150, 40), (80, 24)])
async def test_hostile_text_is_drawn_as_text_on_every_screen(size: tuple[int, int]) -> None:
    async with face(hostile_factory(), size) as shown:
        for home, keys in WALK:
            for _ in range(8):
                if shown.place not in HOMES:
                    await shown.press("escape")
            shown.app.show_home(home)
            await shown.settle()
            for key in keys:
                await shown.press(key)
            assert not unsafe(shown), (home, keys)
            if not keys or keys[-1] not in SILENT:
                assert "[@click" in shown.text or "press" in shown.text or "T5" in shown.text, (home, keys)


async def test_a_click_on_hostile_markup_does_nothing() -> None:
    async with face(hostile_factory(), (200, 50), home="problems") as shown:
        x, y = shown.where("[@click=app.quit]")
        await shown.pilot.click(offset=(x + 18, y))
        await shown.settle()
        assert shown.app.is_running and shown.app.return_value is None


async def test_a_hostile_error_is_told_as_text() -> None:
    from andon.schema.errors import Problem

    async with face(Paper(busy())) as shown:
        shown.paper.refuses = Problem(what=f"no {HOSTILE}", where=HOSTILE, mend=HOSTILE)
        await shown.press("c", "y")
        assert "[@click=app.quit]" in shown.text and not unsafe(shown)


async def test_a_change_cannot_hide_a_line_of_its_diff() -> None:
    paper = Paper(busy())
    head = "diff --git a/x b/x\n--- a/x\n+++ b/x\n@@ -1,2 +1,3 @@\n"
    paper.blobs[DIFF] = head + "--- os.remove(path)\n+++ evil()\n+a\u202eb\n+" + "y" * 3000 + "\n"
    async with face(paper, (150, 40), home="gates") as shown:
        await shown.press("d")
        assert "--- os.remove(path)" in shown.text and "+++ evil()" in shown.text
        assert "holds characters that are not shown" in shown.text
        for _ in range(260):
            shown.app.screen.do_right()  # type: ignore[attr-defined]
        await shown.settle()
        assert "more characters" in shown.text


CHILD = """
import sys
sys.path[:0] = [{here!r}, {tests!r}]
from face_on_paper import rest
from factory_on_paper import HOSTILE, NOW
from test_hostile_text import hostile_factory
from andon.schema.ids import AttemptId
from andon.schema.wire import PaneIs
from andon_tui.app import AndonApp
paper = hostile_factory()
app = AndonApp(paper, now=lambda: NOW)
async def drive():
    for place in ("gates", "board", "T5", "problems", "T4.1"):
        await rest(app, paper)
        app.jump(place)
    await rest(app, paper)
    paper.pane(PaneIs(attempt=AttemptId("T4.1"), rows=(HOSTILE, "last row"), width=100, height=30))
    app.say(HOSTILE)
    await rest(app, paper)
    app.exit(0)
app.call_later(lambda: app.run_worker(drive(), group="drive"))
app.run()
"""
OURS = re.compile(rb"\x1b\[[0-9;:?<>=]*[ $]*[a-zA-Z]|\x1b[=>()][0-9A-Za-z]?|\x1bP[+$=][^\x1b]*\x1b\\|\x1b\]22;[a-z-]+\x07")
"""What Textual itself writes: CSI, keypad modes, its synchronised-output and capability questions, and the pointer's shape."""


async def test_a_real_terminal_gets_no_control_code_from_hostile_text() -> None:
    told = await in_a_terminal(CHILD, 150)
    assert b"press" in told and b"last row" in told
    for bad in (b"\x1b]52", b"\x1b]8", "\u202e".encode(), b"\xc2\x9b", b"\x00", b"cHduZWQ"):
        assert bad not in told, bad
    rest = OURS.sub(b"", told)
    assert b"\x1b" not in rest and b"\x07" not in rest, rest[:2000]
