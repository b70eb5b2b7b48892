"""Words of agents on their way to a terminal or a file: nothing to obey and nothing hidden, in verbs, logs, errors, exports."""

import asyncio
import json
import logging
import re
import unicodedata

import msgspec
import pytest
from hypothesis import given, strategies as st

from andon.cli import out
from andon.cli.main import main
from andon.client import VERSION
from andon.edges import withheld
from andon.edges.git import GitFailed, Output
from andon.edges.store import Store
from andon.schema import events as e, wire
from andon.schema.clean import clean, clean_row, plain_json
from andon.schema.errors import Mistake, Problem
from andon.schema.ids import AttemptId, RepoId, TaskId
from andon.schema.layout import layout
from andon.schema.views import AnyView
from clikit import Caps
from fakeoffice import FakeDaemon, FakeOffice, a_gate, a_session, a_shop, a_task

SGR = re.compile("\x1b\\[[0-9;:]*m")
HOSTILE = (
    "\x1b]52;c;ZXZpbA==\x07\x1b]8;;https://evil.example\x1b\\x\x1b]8;;\x1b\\\x1bPtmux;\x1b\x1b]52;c;eA==\x07\x1b\\\x1b[2J\x1b[31m"
    "\x9b2J\x9d52;c;eA==\x9c\u202etxt\u2066\u200b\u200d\u2060\ufeff\U000e0041\x00\x08\x7f\x85\r\u2028[@click=app.quit]go[/]"
    "[link=https://evil.example]l[/link]"
)
PIECES = ("\x1b", "[", "]", "P", "52;", "\x07", "\x9b", "\x9d", "\x9c", "\\", "31m", "\u202e", "\u200d", "a", "\n", "\t",
          "\r", "\x00")
FOREIGN = st.one_of(st.text(max_size=200), st.lists(st.sampled_from(PIECES), max_size=40).map("".join))


def obeyed(text: str) -> list[str]:
    """What a terminal would obey or a reader would not see."""
    hidden = {"\u115f", "\u1160", "\u3164", "\uffa0", "\u034f", "\u17b4", "\u17b5"}
    return [repr(sign) for sign in text if sign not in "\n\t" and (
        (unicodedata.category(sign) in ("Cc", "Cf", "Cs", "Zl", "Zp") and sign not in KNOWN_GOOD) or sign in hidden)]


KNOWN_GOOD = {chr(code) for code in (*range(0x600, 0x606), 0x6DD, 0x70F, 0x8E2, 0x890, 0x891, 0x110BD, 0x110CD,
                                     *range(0x13430, 0x13440),
                                     *range(0x1BCA0, 0x1BCA4), *range(0x1D173, 0x1D17B))}
"""Format characters of Arabic, Syriac, Egyptian, shorthand and music: they belong to what is read and hide nothing of it."""


# --- the boundary ----------------------------------------------------------------------------------------------------


@given(FOREIGN)
def test_nothing_that_a_terminal_obeys_or_a_reader_does_not_see_gets_past_the_boundary(text: str) -> None:
    assert obeyed(clean(text)) == []
    row = clean_row(text)
    assert obeyed(SGR.sub("", row)) == [] and "\n" not in row and "\t" not in row
    assert clean(clean(text)) == clean(text)


@given(st.text(st.characters(categories=("L", "N", "P", "S", "Zs"), exclude_characters="\u115f\u1160\u3164\uffa0")))
def test_what_people_write_gets_past_it_unchanged(text: str) -> None:
    assert clean(text) == text


@pytest.mark.parametrize("code", [*range(9), *range(11, 32), *range(0x7F, 0xA0), 0x200D, 0x202E, 0x2066, 0xFEFF, 0xE0041])
def test_each_control_code_is_taken_out_by_itself(code: int) -> None:
    assert clean(f"a{chr(code)}b").replace("\n", "") in ("ab", "a") and obeyed(clean(f"a{chr(code)}b")) == []


@given(FOREIGN)
def test_json_for_a_terminal_says_the_same_and_makes_it_do_nothing(text: str) -> None:
    told = text.encode("utf-8", "replace").decode()
    shown = plain_json(msgspec.json.encode({"said": told}))
    assert json.loads(shown) == {"said": told} and obeyed(shown) == []


# --- everything that prints ------------------------------------------------------------------------------------------

EXACT = {"task", "repo", "line", "station", "state", "attempt", "gate", "key", "kind", "mode", "health", "status", "risk", "bound",
         "diff", "problem", "type", "commit", "landed", "run", "name", "session", "trunk", "commands", "recommendation_", "source",
         "cause", "confidence", "metered", "channel", "race", "after", "overlaps", "path", "git_dir",
         "walls", "walls_now", "walls_least", "how", "lights"}


def poisoned(value: object, field: str = "") -> object:
    """The same value with hostile text wherever free text may stand."""
    if isinstance(value, str):
        return value if field in EXACT or not value else f"{value} {HOSTILE}"
    if isinstance(value, list):
        return [poisoned(each, field if field not in ("claims", "options", "stations") else "") for each in value]
    if isinstance(value, dict):
        return {name: poisoned(each, name) for name, each in value.items()}
    return value


def hostile(view: AnyView) -> AnyView:
    """One view."""
    return msgspec.convert(poisoned(msgspec.to_builtins(view)), AnyView)  # type: ignore[no-any-return]  # a union


VERBS = (
    ("status",), ("status", "--json"), ("list",), ("list", "--json"), ("list", "--all"), ("sessions",), ("sessions", "--json"),
    ("why", "T1"), ("show", "T1"), ("show", "T1", "--json"), ("gate", "ls"), ("gate", "ls", "--json"), ("gate", "show", "G1"),
    ("gate", "show", "G1", "--json"), ("explain", "T1.1"), ("cost",), ("cost", "--json"), ("queue",), ("queue", "--json"),
    ("agents",), ("doctor",), ("nudge", "T1.1"), ("interrupt", "T1.1"), ("retry", "T1"), ("cancel", "T1"), ("stop",), ("resume",),
    ("send", "T1.1", "go on"), ("undo", "T1.1"), ("approve", "G1"), ("reject", "G1", "no"), ("revert", "T1"), ("forward",),
    ("restart", "T1.1"), ("take", "T1.1"), ("reassign", "T1", "claude"),
)


def office() -> FakeOffice:
    """A factory whose every free word is hostile, and that says no in hostile words too."""
    task = a_task(says="done", attention="look", why=("because",))
    views = [hostile(view) for view in (*a_shop("/nowhere"), task, a_gate(), a_session())]
    made = FakeOffice(*views)
    made.on_do = lambda command: wire.Done(ids=(HOSTILE,), text=HOSTILE)
    made.answer = lambda request, push: wire.Failed(problem=Problem(what=HOSTILE, where=HOSTILE, mend=HOSTILE))
    return made


@pytest.mark.parametrize("refusing", [False, True], ids=["done", "refused"])
def test_no_verb_lets_a_terminal_obey_an_agent(capsys: Caps, refusing: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    made = office()
    if refusing:
        made.on_do = lambda command: wire.Failed(problem=Problem(what=HOSTILE, where=HOSTILE, mend=HOSTILE))
    monkeypatch.setattr(out, "coloured", lambda: True)
    said = 0
    with FakeDaemon(layout(), made):
        for words in VERBS:
            main(list(words))
            told = capsys.readouterr()
            assert obeyed(SGR.sub("", told.out + told.err)) == [], words
            said += "evil.example" in told.out + told.err or "app.quit" in told.out + told.err
    assert said > len(VERBS) // 2, "the hostile words were there to be printed"


def test_no_mistake_of_any_verb_repeats_what_it_was_given_raw(capsys: Caps) -> None:
    named = "/no/" + HOSTILE.replace("\0", "")
    for words in ([HOSTILE], ["show", HOSTILE], ["log", HOSTILE], ["forget", HOSTILE], ["forget", "--file", named]):
        main(words)
        told = capsys.readouterr()
        assert obeyed(told.out + told.err) == [], words


def test_the_log_and_its_export_make_a_terminal_do_nothing(capsys: Caps) -> None:
    async def write() -> None:
        store = await Store.open(layout())
        try:
            await store.load()
            await store.append([
                e.TaskAdded(task=TaskId("T1"), repo=RepoId("shop"), title=HOSTILE, spec=HOSTILE, by=HOSTILE),
                e.AttemptLost(attempt=AttemptId("T1.1"), because=HOSTILE),
            ], 1)
        finally:
            await store.close()
    asyncio.run(write())
    for words in (["log"], ["log", "--json"], ["log", "--json", "--all"]):
        main(words)
        told = capsys.readouterr().out
        assert obeyed(told) == [] and "evil.example" in told, words
    assert json.loads(told.splitlines()[0])["data"]["title"] == HOSTILE, "an export is exact"


def test_errors_and_lines_of_the_daemons_log_are_plain() -> None:
    failed = GitFailed(("fetch", HOSTILE), Output(1, b"", f"fatal: {HOSTILE}"), HOSTILE)
    assert obeyed(str(failed)) == []
    line = withheld.PlainFormatter("%(message)s").format(logging.LogRecord("andon", 20, "", 0, "%s", (HOSTILE,), None))
    assert obeyed(line) == [] and "evil.example" in line
    assert VERSION and isinstance(failed, Mistake)
