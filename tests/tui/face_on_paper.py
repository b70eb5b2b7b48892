"""An app over a paper factory, and ways to read and count what it draws."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from factory_on_paper import NOW, Paper
from support import wait_for
from textual.events import Key
from textual.keys import _character_to_key
from textual.pilot import Pilot

from andon_tui.app import AndonApp


class Hand:
    """A clock that stands until it is moved."""

    def __init__(self, at: int = NOW) -> None:
        self.at = at

    def __call__(self) -> int:
        return self.at


class Face:
    """A running app with its pilot."""

    def __init__(self, app: AndonApp, pilot: Pilot[int], paper: Paper, hand: Hand) -> None:
        self.app, self.pilot, self.paper, self.hand = app, pilot, paper, hand
        self.writes: list[str] = []
        driver = app._driver
        assert driver is not None
        driver.write = self.writes.append  # type: ignore[method-assign, assignment]

    async def settle(self) -> None:
        """Let messages, the feed's pause between frames and the drawing pass."""
        await wait_for(lambda: self.paper.read and self.app.feeder._timer is None, what="the feed to rest")
        for _ in range(3):
            await self.pilot._wait_for_screen()
            await wait_for(self._drawn, what="the screen to be drawn")
        await self.pilot._wait_for_screen()

    def _drawn(self) -> bool:
        """Nothing waits to be laid out, painted or answered."""
        screen = self.app.screen
        busy = screen._dirty_widgets or screen._callbacks or screen._layout_required or screen._repaint_required
        return not busy and all(worker.group == "feed" or worker.is_finished for worker in self.app.workers)

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
