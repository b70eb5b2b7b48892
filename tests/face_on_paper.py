"""An app over a paper factory, and ways to read and count what it draws."""

import asyncio
import contextlib
import fcntl
import os
import pty
import struct
import sys
import termios
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from rich.console import RenderableType
from textual._compositor import CompositorUpdate
from textual.events import Key
from textual.keys import _character_to_key
from textual.pilot import Pilot
from textual.screen import Screen

from andon_tui.app import AndonApp
from factory_on_paper import NOW, Paper
from support import wait_for


class Hand:
    """A clock that stands until it is moved."""

    def __init__(self, at: int = NOW) -> None:
        self.at = at

    def __call__(self) -> int:
        return self.at


def drawn(app: AndonApp) -> bool:
    """Nothing waits to be laid out, painted or answered."""
    screen = app.screen
    owed = screen._dirty_widgets or screen._callbacks or screen._layout_required or screen._repaint_required
    return not owed and all(worker.group in ("feed", "drive") or worker.is_finished for worker in app.workers)


async def rest(app: AndonApp, paper: Paper) -> None:
    """For an app in a real terminal: wait until it has heard all and drawn all, three looks in a row."""
    quiet = 0
    while quiet < 3:
        await asyncio.sleep(0.01)
        calm = app.feeder.received and paper.read and app.feeder._timer is None and app.screen.is_mounted and drawn(app)
        quiet = quiet + 1 if calm and not app.screen._message_queue.qsize() else 0


class Face:
    """A running app with its pilot."""

    def __init__(self, app: AndonApp, pilot: Pilot[int], paper: Paper, hand: Hand) -> None:
        self.app, self.pilot, self.paper, self.hand = app, pilot, paper, hand
        self.writes: list[str] = []
        """Everything that a terminal would get, one entry a frame."""
        app._display = self._display  # type: ignore[method-assign, assignment]
        driver = app._driver
        assert driver is not None
        driver.write = self.writes.append  # type: ignore[method-assign, assignment]

    def _display(self, _: Screen[Any], renderable: RenderableType | None) -> None:
        """A headless app skips this: here the frame is rendered as for a terminal, and kept."""
        if isinstance(renderable, CompositorUpdate):
            self.writes.append(renderable.render_segments(self.app.console))

    async def settle(self) -> None:
        """Let messages, the feed's pause between frames and the drawing pass."""
        await wait_for(lambda: self.paper.read and self.app.feeder._timer is None, what="the feed to rest")
        for _ in range(3):
            await self.pilot._wait_for_screen()
            await wait_for(self._drawn, what="the screen to be drawn")
        await self.pilot._wait_for_screen()

    def _drawn(self) -> bool:
        return drawn(self.app)

    async def press(self, *keys: str) -> None:
        for key in keys:
            name = _character_to_key(key) if len(key) == 1 else key
            self.app.post_message(Key(name, key if len(key) == 1 else None))
            await self.pilot._wait_for_screen()
        await self.settle()

    @property
    def lines(self) -> list[str]:
        return [strip.text for strip in self.app.screen._compositor.render_strips()]

    @property
    def text(self) -> str:
        return "\n".join(self.lines)

    def where(self, words: str) -> tuple[int, int]:
        """Column and row where these words begin."""
        for y, line in enumerate(self.lines):
            if words in line:
                return line.index(words), y
        raise AssertionError(f"{words!r} is not on screen:\n{self.text}")

    def row(self, words: str) -> str:
        return self.lines[self.where(words)[1]]

    @property
    def place(self) -> str:
        return type(self.app.screen).__name__


@asynccontextmanager
async def face(paper: Paper, size: tuple[int, int] = (160, 44), *, home: str = "board") -> AsyncIterator[Face]:
    hand = Hand()
    app = AndonApp(paper, now=hand)
    async with app.run_test(size=size, notifications=True) as pilot:
        shown = Face(app, pilot, paper, hand)
        await shown.settle()
        if home:
            app.show_home(home)
            await shown.settle()
        shown.writes.clear()
        yield shown


async def in_a_terminal(script: str, columns: int) -> bytes:
    """Everything that a program writes to a real terminal of this width and forty rows. `{here}` and `{tests}` are filled in."""
    here = Path(__file__).parent
    parent, child = pty.openpty()
    fcntl.ioctl(child, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    env = {**os.environ, "TERM": "xterm-256color", "COLORTERM": "truecolor", "COLUMNS": str(columns), "LINES": "40"}
    text = script.format(here=str(here / "tui"), tests=str(here))
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", text, stdin=child, stdout=child, stderr=child, env=env)
    os.close(child)
    os.set_blocking(parent, False)
    heard = bytearray()

    def ended() -> bool:
        with contextlib.suppress(BlockingIOError, OSError):
            while data := os.read(parent, 1 << 16):
                heard.extend(data)
        return process.returncode is not None

    try:
        await wait_for(ended, 60, what="the app's end")
        ended()
    finally:
        os.close(parent)
        if process.returncode is None:
            process.kill()
            await process.wait()
    return bytes(heard)
