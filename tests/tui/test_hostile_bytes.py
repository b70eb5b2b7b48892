"""The very bytes that a person's terminal gets while every screen shows hostile words: nothing to obey, nothing hidden, no link."""

import re
import unicodedata
from xml.etree import ElementTree

import pytest

from andon_tui.picture import picture
from face_on_paper import in_a_terminal
from factory_on_paper import NOW
from tui import test_hostile_text

SEQUENCES = (
    "\x1b]52;c;cHduZWQ=\x07", "\x1b]52;c;cHduZWQ=\x1b\\", "\x1b]8;;https://evil.example\x1b\\link\x1b]8;;\x1b\\",
    "\x1b]0;title\x07",
    "\x1b]2;title\x1b\\", "\x1b]9;note\x07", "\x1b]777;notify;a;b\x07", "\x1b]1337;File=name=eA==:aGk=\x07", "\x1b]4;1;red\x07",
    "\x1bPtmux;\x1b\x1b]52;c;eA==\x07\x1b\\", "\x1bP+q544e\x1b\\", "\x1b_Gaction\x1b\\", "\x1b^private\x1b\\", "\x1bXstring\x1b\\",
    "\x1b[2J", "\x1b[999;1H", "\x1b[?1049l", "\x1b[?2004h", "\x1b[6n", "\x1b[c", "\x1b[21t", "\x1bc", "\x1b(0", "\x1b#8", "\x1bZ",
    "\x9b2J", "\x9d52;c;eA==\x9c", "\x90q\x9c", "\x9e\x9c", "\x85", "\x84", "\x8d", "\x00", "\x07", "\x08\x08", "\x0b", "\x0c",
    "\x0e", "\x0f", "\x11", "\x13", "\x1a", "\x7f", "\r", "\u202e", "\u2066", "\u2069", "\u200b", "\u200d\u200d", "\ufeff",
    "\u2028", "\u2029", "\U000e0041", "\u00ad", "\ufff9", "\x1b", "\x1b[", "\x1b]52;c;", "\x9d8;;http://x",
    "[@click=app.quit]press[/]", "[link=https://evil.example]l[/link]", "[bold red]x[/]", "[/]", "[[", "\\[", "$(rm)", "`x`",
)
"""One of each kind that terminals know, whole and unfinished; and markup."""
ORDERS = {"as they are": 1, "turned round": -1}
CHILD = """
import sys
sys.path[:0] = [{here!r}, {tests!r}]
import factory_on_paper
from test_hostile_bytes import SEQUENCES
factory_on_paper.HOSTILE = "[@click=app.quit]press[/] $(rm) " + " ".join(SEQUENCES[::ORDER])
import test_hostile_text
from face_on_paper import rest
from factory_on_paper import NOW
from test_hostile_text import HOMES, WALK, hostile_factory
from andon.schema.errors import Problem
from andon.schema.ids import AttemptId
from andon.schema.wire import PaneIs
from andon_tui.app import AndonApp
HOSTILE = factory_on_paper.HOSTILE
assert test_hostile_text.HOSTILE == HOSTILE
paper = hostile_factory()
app = AndonApp(paper, now=lambda: NOW)
async def back():
    for _ in range(8):
        if type(app.screen).__name__ not in HOMES:
            app.simulate_key("escape")
            await rest(app, paper)
async def walk():
    for home, keys in WALK:
        await back()
        app.show_home(home)
        await rest(app, paper)
        for key in keys:
            app.simulate_key(key)
            await rest(app, paper)
async def drive():
    await rest(app, paper)
    await walk()
    await back()
    for place in ("gates", "board", "T5", "problems", "T4.1"):
        app.jump(place)
        await rest(app, paper)
    for part in (SEQUENCES[:25], SEQUENCES[25:50], SEQUENCES[50:]):
        paper.pane(PaneIs(attempt=AttemptId("T4.1"), rows=("first row", *part, HOSTILE, "last row"), width=100, height=28))
        await rest(app, paper)
    app.say(HOSTILE, title=HOSTILE)
    app.say(HOSTILE, bad=True, title=HOSTILE)
    await rest(app, paper)
    app.show_text(HOSTILE, HOSTILE + chr(10) + HOSTILE)
    await rest(app, paper)
    app.show_text(HOSTILE, "diff --git a/" + HOSTILE + chr(10) + "@@ -1 +1 @@ " + HOSTILE + chr(10) + "+" + HOSTILE, diff=True)
    await rest(app, paper)
    paper.refuses = Problem(what=HOSTILE, where=HOSTILE, mend=HOSTILE)
    app.show_home("board")
    await rest(app, paper)
    app.simulate_key("c")
    app.simulate_key("y")
    await rest(app, paper)
    app.exit(0)
app.call_later(lambda: app.run_worker(drive(), group="drive"))
app.run()
print("walked")
"""
OURS = re.compile("\x1b\\[[0-9;:?<>=]*[ $]*[a-zA-Z]|\x1b[=>()][0-9A-Za-z]?|\x1bP[+$=][0-9a-f]*\x1b\\\\|\x1b\\]22;[a-z-]+\x07")
"""What Textual itself writes: CSI, keypad modes, its capability questions, and the pointer's shape."""
FINALS = set("mHhlKJuqtnpcABCDGdr")
"""Of CSI: colours, places, modes, erasing, the keyboard's protocol, and questions that Textual asks at its start."""


def obeyed(text: str) -> list[str]:
    """What a terminal would obey beyond what Textual writes, or a reader would not see."""
    rest = OURS.sub("", text)
    return [repr(sign) for sign in rest if sign not in "\r\n" and unicodedata.category(sign) in ("Cc", "Cf", "Cs", "Zl", "Zp")]


@pytest.mark.slow
@pytest.mark.parametrize("order", ORDERS)
async def test_a_terminal_gets_nothing_to_obey_from_any_screen(order: str) -> None:
    told = (await in_a_terminal(CHILD.replace("ORDER", str(ORDERS[order])), 150)).decode("utf-8", "surrogateescape")
    assert "walked" in told, told[-3000:]
    assert "[@click=app.quit]press" in told and "last row" in told and "$(rm)" in told, "the words were shown, as words"
    assert obeyed(told) == []
    assert "\x1b]8" not in told and "\x1b]52" not in told and "\x1b]0;" not in told and "\x1b]2;" not in told
    ours = {found[0] for found in OURS.finditer(told)}
    assert {one[-1] for one in ours if one.startswith("\x1b[")} <= FINALS
    assert (told.count("\x1b[?1049h"), told.count("\x1b[?1049l"), told.count("\x1b[2J")) == (1, 1, 0), "entered and left once"


def test_what_is_looked_for_would_be_found() -> None:
    for sequence in SEQUENCES[:57]:
        if not OURS.fullmatch(sequence) and sequence not in ("\r",):
            assert obeyed(sequence) or "\x1b[" in sequence, repr(sequence)
    assert obeyed("\x1b[1mbold\x1b[0m and words\r\n") == [] and obeyed("\x1b]52;c;x\x07") and obeyed("\x9b2J") and obeyed("\u202e")


@pytest.mark.parametrize("place", ["", "T5", "gates", "problems"])
async def test_a_picture_for_a_web_page_holds_text_alone(place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(test_hostile_text, "HOSTILE", f"<script>alert(1)</script><a href='x'>&amp; {' '.join(SEQUENCES)}")
    told = await picture(test_hostile_text.hostile_factory(), (150, 40), place=place, now=NOW)
    tree = ElementTree.fromstring(told)
    kinds = {element.tag.rpartition("}")[2] for element in tree.iter()}
    assert not kinds & {"script", "a", "foreignObject", "image", "iframe", "use"} and "text" in kinds
    names = {name.lower() for element in tree.iter() for name in element.attrib}
    assert not [name for name in names if name.startswith("on") or name.endswith("href")]
    assert obeyed(told.replace("\n", "")) == [] and "&lt;script&gt;" in told
