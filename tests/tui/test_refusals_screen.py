"""Refusals on the Problems screen: a line each, the list behind Enter, put away by a key; hostile text is harmless."""

from andon.schema import inputs as i
from andon.schema.ids import AttemptId
from andon.schema.sandbox import Access
from andon.schema.wire import AccessIs, GetAccess
from face_on_paper import face
from factory_on_paper import HOSTILE, NOW, Paper, busy, refused

ROWS = (
    Access(at=NOW - 240_000, kind="read", what="~/.ssh/id_rsa", allowed=False, times=3, sign="~/.ssh",
           rule="bait: empty, nothing of yours"),
    Access(at=NOW - 200_000, kind="host", what="evil.example:443", allowed=False, rule="not listed", times=12),
    Access(at=NOW - 100_000, kind="host", what="api.anthropic.com:443", allowed=True, times=40,
           rule="api.anthropic.com (provider anthropic)"),
)


def paper(rows: tuple[Access, ...] = ROWS) -> Paper:
    made = Paper([*busy(), refused(), refused("evil.example:443", "host", 12)])
    made.tried = AccessIs(attempt=AttemptId("T4.1"), rows=rows, level="strict", notes=("Not seen: writes to baits.",))
    return made


async def test_a_line_says_attempt_kind_what_count_and_age_and_enter_lists_everything() -> None:
    async with face(paper(), (140, 40), home="problems") as shown:
        for told in ("T4.1 tried to read ~/.ssh", "T4.1 tried to reach evil.example:443", "T4.1 · humanize · 12 times or more · 4m",
                     "Enter open", "x put away"):
            assert told in shown.text, (told, shown.text)
        await shown.press("enter")
        assert shown.place == "Viewer" and "T4.1 · tried" in shown.lines[0]
        assert any(isinstance(one, GetAccess) and one.attempt == "T4.1" for one in shown.paper.asked)
        for told in ("T4.1 tried 3 things, 2 were refused · walls: strict", "✗ read    ~/.ssh/id_rsa", "3 times · bait:",
                     "✓ host    api.anthropic.com:443", "Not seen: writes to baits."):
            assert told in shown.text, (told, shown.text)


async def test_a_key_puts_a_refusal_away_and_no_other_problem() -> None:
    async with face(paper(), (120, 40), home="problems") as shown:
        await shown.press("x")
        put = [one.problem for one in shown.paper.commands if isinstance(one, i.DismissProblem)]
        assert put == ["access:T4.1/host/evil.example:443"]
        await shown.press("G", "x")
        assert len(shown.paper.commands) == 1 and "goes by itself when it is mended" in shown.text


async def test_the_list_of_a_task_opens_from_its_own_screen() -> None:
    async with face(paper(), (120, 40)) as shown:
        await shown.press("colon", *"T4", "enter")
        assert shown.place == "TaskScreen"
        await shown.press("A")
        assert shown.place == "Viewer" and "evil.example:443" in shown.text


async def test_hostile_words_of_an_agent_are_drawn_as_words() -> None:
    row = Access(at=NOW, kind="write", what=HOSTILE, allowed=False, rule=HOSTILE)
    made = paper((row,))
    made.put(refused(HOSTILE, "write"))
    async with face(made, (120, 40), home="problems") as shown:
        assert "[@click=app.quit]press[/]" in shown.text
        await shown.press("enter")
        assert shown.place == "Viewer" and "[@click=app.quit]press[/]" in shown.text
        assert not any(code in write for write in shown.writes for code in ("\x1b]52", "\x1b]8", "\x9b", "\x1bP", "\u202e"))
