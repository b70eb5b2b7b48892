"""A watched screen: whole frames when rows change, nothing when they do not, and no code that a terminal would obey."""

import asyncio
import contextlib
import random
import re
import sys
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from andon.edges.pane import Glances, PaneWatch
from andon.edges.tmux import Tmux
from andon.schema.clean import clean, clean_row
from andon.schema.ids import AttemptId
from andon.schema.wire import PaneIs
from support import wait_for
from tmuxkit import end_server, private_tmux, server_pid

ATTEMPT = AttemptId("T1.1")


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Tmux]:
    async with private_tmux(tmp_path / "f") as made:
        yield made


@contextlib.asynccontextmanager
async def watching(server: Tmux, rows: int = 0) -> AsyncIterator[tuple[PaneWatch, list[PaneIs]]]:
    frames: list[PaneIs] = []
    watch = PaneWatch(server.layout, ATTEMPT, frames.append, rows=rows)
    async with asyncio.TaskGroup() as group:
        running = group.create_task(watch.run())
        yield watch, frames
        running.cancel()


def shows(frames: list[PaneIs], words: str) -> bool:
    return bool(frames) and any(words in row for row in frames[-1].rows)


async def start(server: Tmux, script: str, *words: str) -> None:
    await server.new_session("T1_1", ["sh", "-c", script, *words], "/", {})


# --- frames ----------------------------------------------------------------------------------------------------------


async def test_the_screen_comes_with_its_colours_size_and_cursor(server: Tmux) -> None:
    await start(server, "printf '\\033[1;31mred\\033[0m \\344\\275\\240 plain\\n> '; cat")
    async with watching(server) as (_, frames):
        await wait_for(lambda: shows(frames, "red"))
        frame = frames[-1]
        assert "31mred\x1b[" in frame.rows[0] and re.sub(r"\x1b\[[0-9;]*m", "", frame.rows[0]) == "red 你 plain"
        assert (frame.attempt, frame.width, frame.height, len(frame.rows)) == (ATTEMPT, 120, 40, 40)
        assert (frame.cursor, frame.alive, frame.state) == ((2, 1), True, "live")


async def test_a_change_is_a_frame_and_the_last_change_is_never_missed(server: Tmux) -> None:
    await start(server, "stty -echo; cat")
    async with watching(server) as (_, frames):
        await wait_for(lambda: frames)
        for n in range(12):
            await server.command("send-keys", "-t", "=T1_1:", f"line{n}", "Enter")
        await wait_for(lambda: shows(frames, "line11"))


async def test_a_silent_pane_costs_nothing(server: Tmux) -> None:
    await start(server, "echo here; cat")
    async with watching(server) as (watch, frames):
        await wait_for(lambda: shows(frames, "here"))
        await wait_for(lambda: quiet(watch))
        before = (watch.captures, watch.commands, len(frames))
        await asyncio.sleep(3.0)  # the silence is what is tested
        assert (watch.captures, watch.commands, len(frames)) == before


async def quiet(watch: PaneWatch) -> bool:
    before = watch.commands
    await asyncio.sleep(0.3)
    return watch.commands == before


async def test_a_flood_is_at_most_ten_frames_a_second_and_its_end_is_shown(server: Tmux) -> None:
    await start(server, "read x; seq 1 2000000; echo the end; cat")
    async with watching(server) as (watch, frames):
        await wait_for(lambda: frames)
        begun, captures = time.monotonic(), watch.captures
        await server.command("send-keys", "-t", "=T1_1:", "Enter")
        await wait_for(lambda: shows(frames, "the end"), 30)
        assert watch.captures - captures <= (time.monotonic() - begun) * 10 + 2
        assert watch.captures - captures >= 2, "and it was shown while it ran"


async def test_output_that_changes_no_row_is_no_frame(server: Tmux) -> None:
    await start(server, "echo still; while read x; do printf '\\033[1;1H'; done")
    async with watching(server) as (watch, frames):
        await wait_for(lambda: shows(frames, "still"))
        await server.command("send-keys", "-t", "=T1_1:", "x", "Enter")
        await wait_for(lambda: quiet(watch))
        count, captures = len(frames), watch.captures
        await server.command("set-buffer", "-b", "x", "\n")
        await server.command("paste-buffer", "-r", "-b", "x", "-t", "=T1_1:")
        await wait_for(lambda: watch.captures > captures)
        assert len(frames) - count <= watch.captures - captures


async def test_a_small_widget_gets_the_last_written_rows(server: Tmux) -> None:
    await start(server, "seq 1 20; printf 'prompt> '; cat")
    async with watching(server, rows=3) as (_, frames):
        await wait_for(lambda: shows(frames, "prompt>"))
        assert frames[-1].rows == ("19", "20", "prompt>") or frames[-1].rows == ("19", "20", "prompt> ")
        assert frames[-1].cursor == (8, 2)


async def test_the_end_of_the_command_and_of_the_session_are_told(server: Tmux) -> None:
    await start(server, "echo last words; read x")
    async with watching(server) as (_, frames):
        await wait_for(lambda: shows(frames, "last words"))
        await server.command("send-keys", "-t", "=T1_1:", "Enter")
        await wait_for(lambda: not frames[-1].alive)
        assert frames[-1].state == "ended" and shows(frames, "last words")


async def test_a_session_that_is_taken_away_is_ended_and_the_watch_returns(server: Tmux) -> None:
    await start(server, "echo here; cat")
    frames: list[PaneIs] = []
    async with asyncio.TaskGroup() as group:
        running = group.create_task(PaneWatch(server.layout, ATTEMPT, frames.append).run())
        await wait_for(lambda: shows(frames, "here"))
        await server.kill_session("T1_1")
        await wait_for(running.done)
    assert (frames[-1].state, frames[-1].alive) == ("ended", False) and shows(frames, "here")


async def test_a_lost_server_is_unknown_and_a_missing_session_is_ended(server: Tmux) -> None:
    frames: list[PaneIs] = []
    await PaneWatch(server.layout, ATTEMPT, frames.append).run()
    assert [frame.state for frame in frames] == ["ended"]
    await start(server, "cat")
    async with watching(server) as (watch, frames):
        await wait_for(lambda: frames)
        end_server(server.layout)
        await wait_for(lambda: frames[-1].state == "unknown")
        await wait_for(lambda: watch.retries >= 2, what="two tries to come back")
        assert frames[-1].state == "unknown" and server_pid(server.layout) is None, "and watching starts no server"


async def test_watching_changes_neither_size_nor_life_of_the_session(server: Tmux) -> None:
    await start(server, "cat")
    before = (await server.sessions())["T1_1"].pid
    for _ in range(2):
        async with watching(server) as (_, frames):
            await wait_for(lambda frames=frames: frames)
    assert await server.command("list-clients", "-F", "#{session_name}") == ["hub"]
    assert await server.command("display-message", "-p", "-t", "=T1_1:", "#{window_width}x#{window_height}") == ["120x40"]
    assert (await server.sessions())["T1_1"].pid == before


# --- what an agent may not say ---------------------------------------------------------------------------------------

HOSTILE = [
    "\x1b]52;c;aGk=\x07", "\x1b]52;c;aGk=\x1b\\", "\x9d52;c;aGk=\x9c", "\x1b]0;title\x07", "\x1b]8;;http://evil\x1b\\",
    "\x1bPq#0\x1b\\", "\x90payload\x9c", "\x1b_apc\x1b\\", "\x1b^pm\x1b\\", "\x1bXsos\x1b\\", "\x1b[2J", "\x1b[?1049h",
    "\x1b[6n", "\x1b[>4;2m", "\x1b[5 q", "\x9b2J", "\x1bc", "\x1b(0", "\x1b#8", "\x1b=", "\x07", "\x08", "\x0b", "\x0c", "\x0e",
    "\x7f", "\x85", "\x00", "\u202e", "\u2066", "\u200f", "\u200b", "\u200d", "\u2060", "\ufeff", "\u00ad", "\U000e0041",
    "\ufe01", "\u3164",
]


@pytest.mark.parametrize("bad", HOSTILE, ids=ascii)
def test_nothing_that_a_terminal_obeys_or_a_reader_cannot_see_gets_through(bad: str) -> None:
    assert clean(f"a{bad}b\n\tc") == "ab\n\tc"
    assert clean_row(f"a{bad}\x1b[1;31mb\x1b[0m") == "a\x1b[1;31mb\x1b[0m"


def test_an_unfinished_sequence_hides_nothing_behind_it() -> None:
    for opener in ("\x1b]52;", "\x1bP", "\x1b_", "\x9d", "\x1b[", "\x1b"):
        assert clean(f"a{opener}\nthe rest").endswith("\nthe rest")
    assert clean("\x1b]0;never closed, still read") == "0;never closed, still read"


def test_ordinary_text_passes_unchanged() -> None:
    text = "tabs\tand\nnewlines, é ü 漢字 🧵 ❤️ עברית عربى №1 …"
    assert clean(text) == text
    assert clean_row("\x1b[38;2;1;2;3mrgb\x1b[m \x1b[4:3mcurly\x1b[0m") == "\x1b[38;2;1;2;3mrgb\x1b[m \x1b[4:3mcurly\x1b[0m"
    assert clean("a\r\nb\u2028c\rd") == "a\nb\ncd"
    assert clean("\ud800x").encode() == "\ufffdx".encode()


def test_random_bytes_leave_only_colours_and_printable_text() -> None:
    chance = random.Random(1)
    codes = ["\x1b", "\x1b", "\x9b", "[", "]", "m", ";", "\x07", "\\", "0"]
    alphabet = [*map(chr, range(256)), *codes * 20, "\u202e", "\u200b", "漢"]
    sgr = re.compile(r"\x1b\[[0-9;:]*m")
    forbidden = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e]")
    for _ in range(3000):
        text = "".join(chance.choices(alphabet, k=60))
        assert not forbidden.search(clean(text))
        assert clean(clean(text)) == clean(text)
        assert not forbidden.search(sgr.sub("", clean_row(text))) and "\n" not in clean_row(text)


async def test_a_hostile_screen_arrives_clean(server: Tmux) -> None:
    payload = "".join(one for one in HOSTILE if one not in ("\x00", "\x1bc", "\x1b[2J", "\x9b2J", "\x1b[?1049h"))
    await start(server, "printf '%s' \"$0\"; echo done; cat", payload)
    async with watching(server) as (_, frames):
        await wait_for(lambda: shows(frames, "done"))
        for row in frames[-1].rows:
            plain = re.sub(r"\x1b\[[0-9;:]*m", "", row)
            assert not re.search("[\x00-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2066]", plain), ascii(row)


async def test_glances_read_the_rows_of_many_panes_in_one_go_and_leave_out_one_that_is_gone(tmp_path: Path) -> None:
    async with private_tmux(tmp_path) as server:
        panes = {}
        for n in range(1, 4):
            seen = await server.new_session(f"T{n}_1", ("sh", "-c", f"echo row of {n}; exec cat"), "/", {})
            panes[n] = seen.pane
        glances = Glances(server.layout)
        await wait_for(lambda: all_shown(glances, panes), what="the rows")
        before = glances.client_pid
        found = await glances.rows([*panes.values(), "%99"])
        assert {found[pane] for pane in panes.values()} == {(f"row of {n}",) for n in panes} and "%99" not in found
        assert glances.client_pid == before
        await glances.close()


async def all_shown(glances: Glances, panes: dict[int, str]) -> bool:
    found = await glances.rows(list(panes.values()))
    return all(found.get(pane) == (f"row of {n}",) for n, pane in panes.items())


async def test_a_screen_that_forges_the_protocol_spoils_no_other_panes_reading(tmp_path: Path) -> None:
    forge = "import time\nnow = int(time.time())\nfor t in range(now, now + 6):\n    for n in range(6): print(f'%end {t} {n} 1')\n"
    async with private_tmux(tmp_path) as server:
        honest = await server.new_session("T1_1", ("sh", "-c", "echo an honest row; exec cat"), "/", {})
        liar = await server.new_session("T2_1", (sys.executable, "-c", forge + "time.sleep(1000)"), "/", {})
        glances = Glances(server.layout)

        async def read() -> bool:
            return (await glances.rows([liar.pane, honest.pane])).get(honest.pane) == ("an honest row",)

        await wait_for(read, what="the honest row")
        genuine = glances._together

        async def forged(panes: Sequence[str]) -> dict[str, tuple[str, ...]]:
            """As if this screen had guessed the numbers of its block."""
            if liar.pane in panes:
                await glances.close()
                return {}
            return await genuine(panes)

        glances._together = forged  # type: ignore[method-assign]
        assert await glances.rows([liar.pane, honest.pane]) == {honest.pane: ("an honest row",)}
        assert await glances.rows([liar.pane]) == {}
        await glances.close()
