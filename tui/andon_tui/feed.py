"""Turns the daemon's stream of changes into few messages. Must never know a widget, nor draw.

Theory of operation. `Feeder.run` follows a Source for as long as the app lives. Every change is folded into the model at once; the
message that asks for a drawing is sent at most `FRAMES` times a second, and only when something is really different.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Protocol

from textual.message import Message

from andon.schema.errors import Problem
from andon.schema.views import AnyView
from andon.schema.wire import AnyReply, AnyRequest, PaneIs
from andon_tui.clock import wall_ms
from andon_tui.messages import FactoryChanged, PaneChanged
from andon_tui.model import Model

FRAMES = 15
"""Messages a second at most."""


class News(Protocol):
    """One thing that a source tells: `andon.aclient.Change` is one."""

    @property
    def pane(self) -> PaneIs | None:
        """The picture of a watched pane; None when it is about views or the connection."""
        ...


class Source(Protocol):
    """Where views come from: `andon.aclient.Feed`, a recorded file, or a test."""

    @property
    def views(self) -> Mapping[str, AnyView]:
        """The latest view of each key; stays as it was while the daemon is away."""
        ...

    @property
    def connected(self) -> bool:
        """Whether the daemon is heard right now."""
        ...

    @property
    def problem(self) -> Problem | None:
        """Why it is not."""
        ...

    async def ask(self, request: AnyRequest) -> AnyReply:
        """The daemon's answer. Raises Mistake when it says no or is not reachable."""
        ...

    def __aiter__(self) -> AsyncIterator[News]:
        """Follows the daemon for ever, over lost connections; tells when `connected` changed."""
        ...


class Feeder:
    """Follows one source into one model."""

    def __init__(self, source: Source, model: Model, post: Callable[[Message], object], now: Callable[[], int] = wall_ms) -> None:
        self._source, self._model, self._post, self._now = source, model, post, now
        self._timer: asyncio.TimerHandle | None = None
        self._sent = 0.0
        self._link: tuple[bool, Problem | None] = (False, None)
        self.heard = 0
        """Unix milliseconds when the daemon was last heard."""
        self.received = False
        """Whether anything was heard at all."""

    async def run(self) -> None:
        """Follow the source until cancelled."""
        self._absorb()
        try:
            async for news in self._source:
                if news.pane is not None:
                    self._post(PaneChanged(news.pane))
                else:
                    self._absorb()
        finally:
            if self._timer:
                self._timer.cancel()

    def _absorb(self) -> None:
        link = (self._source.connected, self._source.problem)
        if link[0]:
            self.heard, self.received = self._now(), True
        fresh = self._model.sync(self._source.views)
        if not fresh and link == self._link:
            return
        self._link = link
        if self._timer is None:
            loop = asyncio.get_running_loop()
            wait = max(0.0, self._sent + 1 / FRAMES - loop.time())
            self._timer = loop.call_later(wait, self._flush)

    def _flush(self) -> None:
        self._timer = None
        self._sent = asyncio.get_running_loop().time()
        self._post(FactoryChanged())
