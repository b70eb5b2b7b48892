"""An app over a paper factory, and ways to read and count what it draws."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from factory_on_paper import NOW, Paper
from support import wait_for
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
        await self.pilot.pause()
        await wait_for(lambda: self.paper.read and self.app.feeder._timer is None, what="the feed to rest")
        await self.pilot.pause()
        await self.pilot.pause()

    async def press(self, *keys: str) -> None:
        for key in keys:
            await self.pilot.press(key)
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
