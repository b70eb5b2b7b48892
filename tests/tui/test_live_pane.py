"""The live pane: tmux's rows in colour, and only what differs is painted, down to the bytes that a terminal gets."""


from rich.style import Style
from textual.strip import Strip

from andon.schema import inputs as i
from andon.schema.ids import AttemptId
from andon.schema.wire import PaneIs, WatchPane
from andon_tui.widgets.livepane import LivePane
from face_on_paper import Face, face, in_a_terminal
from factory_on_paper import Paper, busy

ROWS = tuple(f"\x1b[3{n % 8}mrow {n}\x1b[0m of the pane, with some text behind it" for n in range(30))


def pane(rows: tuple[str, ...] = ROWS, **more: object) -> PaneIs:
    return PaneIs(**({"attempt": AttemptId("T4.1"), "rows": rows, "width": 100, "height": 30} | more))  # type: ignore[arg-type]


async def watch(shown: Face) -> LivePane:
    shown.app.jump("T4.1")
    await shown.settle()
    shown.paper.pane(pane())
    await shown.settle()
    return shown.app.screen.query_one(LivePane)


def rows_of(live: LivePane) -> list[int]:
    rows: list[int] = []
    render = live.render_line

    def counted(y: int) -> Strip:
        rows.append(y)
        return render(y)

    live.render_line = counted  # type: ignore[method-assign]
    return rows


async def test_the_session_screen_watches_its_pane_and_stops_when_left() -> None:
    async with face(Paper(busy())) as shown:
        live = await watch(shown)
        watched = [each for each in shown.paper.asked if isinstance(each, WatchPane)]
        assert watched[-1].attempt == "T4.1" and watched[-1].rows == live.size.height
        await shown.press("escape")
        assert [each for each in shown.paper.asked if isinstance(each, WatchPane)][-1].attempt == ""


async def test_the_same_picture_paints_nothing() -> None:
    async with face(Paper(busy())) as shown:
        live = await watch(shown)
        rows, shown.writes[:] = rows_of(live), []
        for _ in range(5):
            shown.paper.pane(pane())
            await shown.settle()
        assert rows == [] and shown.writes == []


async def test_painted_rows_are_exactly_the_changed_rows() -> None:
    async with face(Paper(busy())) as shown:
        live = await watch(shown)
        rows = rows_of(live)
        changed = list(ROWS)
        changed[3], changed[17] = "three is new", "\x1b[1mseventeen\x1b[0m too"
        shown.paper.pane(pane(tuple(changed)))
        await shown.settle()
        assert sorted(set(rows)) == [3, 17]
        assert "three is new" in shown.text and "seventeen too" in shown.text


async def test_a_row_whose_escapes_differ_but_whose_picture_does_not_is_not_painted() -> None:
    async with face(Paper(busy())) as shown:
        live = await watch(shown)
        rows = rows_of(live)
        changed = list(ROWS)
        changed[5] = "\x1b[0m" + changed[5] + "\x1b[0m\x1b[0m"
        shown.paper.pane(pane(tuple(changed)))
        await shown.settle()
        assert rows == []


async def test_a_colour_goes_on_in_the_next_row_until_it_is_changed() -> None:
    async with face(Paper(busy())) as shown:
        live = await watch(shown)
        shown.paper.pane(pane(("\x1b[31mred begins", "and goes on", "\x1b[0mplain")))
        await shown.settle()
        styles = [next(iter(live.render_line(y))).style for y in range(3)]
        reds = [isinstance(style, Style) and style.color is not None and style.color.number == 1 for style in styles]
        assert reds == [True, True, False]


async def test_default_colours_are_the_screens_own_and_nothing_is_hidden_or_blinks() -> None:
    async with face(Paper(busy())) as shown:
        live = await watch(shown)
        shown.paper.pane(pane(("\x1b[39;49;5;8mplain to see\x1b[0m",)))
        await shown.settle()
        style = next(iter(live.render_line(0))).style
        assert style is not None and style.bgcolor is not None and not style.bgcolor.is_default
        assert not style.blink and not style.conceal


async def test_only_colours_reach_the_screen_whatever_the_rows_hold() -> None:
    async with face(Paper(busy())) as shown:
        await watch(shown)
        odd = "a\x1b]52;c;cHduZWQ=\x07b\x1b[2Jc\x1b[5;5Hd\x9be\x1b]8;;http://evil\x1b\\link\x1b]8;;\x1b\\\u202eX"
        shown.paper.pane(pane((odd, "[@click=app.quit]q[/]")))
        await shown.settle()
        assert "abcd" in shown.text and "[@click=app.quit]q[/]" in shown.text
        assert not any(control in "".join(shown.writes) for control in ("\x1b]52", "\x1b]8", "\u202e", "evil"))


async def test_the_cursor_stands_where_tmux_has_it() -> None:
    async with face(Paper(busy())) as shown:
        live = await watch(shown)
        shown.paper.pane(pane(("> ",), cursor=(2, 0)))
        await shown.settle()
        at = 0
        for segment in live.render_line(0):
            if at <= 2 < at + len(segment.text):
                assert segment.style is not None and segment.style.reverse
            at += len(segment.text)


async def test_text_is_sent_as_typed_and_only_when_confirmed() -> None:
    async with face(Paper(busy())) as shown:
        await watch(shown)
        await shown.press("w", *"go on", "escape")
        assert not shown.paper.commands
        await shown.press("w", *"yes", "enter")
        assert shown.paper.commands == [i.SendMessage(attempt=AttemptId("T4.1"), text="yes")]


async def test_the_session_tells_why_it_is_shown_so_and_when_it_has_ended() -> None:
    async with face(Paper(busy())) as shown:
        await watch(shown)
        assert "its pane changed 2 s ago · by pane" in shown.text and "t takes it over here" in shown.text
        shown.paper.put(gone=["session:T4.1"])
        await shown.settle()
        assert "T4.1 ended" in shown.lines[0] and "t attach" not in shown.lines[-1]


CHILD = """
import sys
sys.path[:0] = [{here!r}, {tests!r}]
from face_on_paper import rest
from factory_on_paper import NOW, Paper, busy
from andon.schema.ids import AttemptId
from andon.schema.wire import PaneIs
from andon_tui.app import AndonApp
paper = Paper(busy())
app = AndonApp(paper, now=lambda: NOW)
rows = [f"\\x1b[3{{n % 8}}mrow {{n}}\\x1b[0m " + "x" * 60 for n in range(30)]
async def drive():
    await rest(app, paper)
    app.jump("T4.1")
    await rest(app, paper)
    for n in range(41):
        rows[7] = f"spinner {{n:03}}"
        paper.pane(PaneIs(attempt=AttemptId("T4.1"), rows=tuple(rows), width=100, height=30))
        await rest(app, paper)
        if n in (0, 40):
            app._driver.write("@@MARK@@")
    app.exit(0)
app.call_later(lambda: app.run_worker(drive(), group="drive"))
app.run()
"""
FRAME_BYTES = 300


async def test_a_spinner_costs_a_real_terminal_few_bytes_a_frame() -> None:
    told = await in_a_terminal(CHILD, 120)
    assert told.count(b"@@MARK@@") == 2
    frames = told.split(b"@@MARK@@")[1]
    assert b"spinner 040" in frames and b"row 3" not in frames
    assert len(frames) / 40 < FRAME_BYTES, f"{len(frames) / 40:.0f} bytes a frame"
