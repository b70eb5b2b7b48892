"""A face's line to the daemon for asyncio: keeps all views current across lost connections; must never know how they are drawn.

Theory of operation. Exactly one task iterates over the feed; that iteration is what connects, reads and connects again, so
no task is hidden in here. Any other task may `ask`; its answer arrives through the iteration. After a lost connection the
feed says so at once, tries again with growing pauses, and what follows is one whole snapshot.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from types import MappingProxyType
from typing import Literal

import msgspec

from andon.client import ANSWER_S, VERSION, DaemonDown, Declined
from andon.schema import ids, wire
from andon.schema.errors import Mistake, Problem
from andon.schema.layout import Layout
from andon.schema.views import AnyView
from andon.schema.wire import AnyReply, AnyRequest

REPLY_LIMIT = 256 * 1024 * 1024
"""Bytes of one message of the daemon: a snapshot of everything."""
BACKOFF_S, BACKOFF_MOST_S = 0.1, 3.0
"""First and longest pause between two tries to connect."""

_encoder = msgspec.json.Encoder()
_decoder: msgspec.json.Decoder[AnyReply] = msgspec.json.Decoder(AnyReply)

State = Literal["connecting", "connected", "lost", "refused"]


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """What is different since the last one."""

    state: State
    """Of the connection. While it is not `connected` the views are the last known."""
    problem: Problem | None = None
    """Why it is lost or refused."""
    reset: bool = False
    """This is a whole snapshot: `views` are all there are."""
    views: tuple[AnyView, ...] = ()
    gone: tuple[str, ...] = ()
    """Keys; after a reset, those that were known before and are no more."""
    pane: wire.PaneIs | None = None


class Feed:
    """The daemon's views, always the latest. `async for change in feed` in one task; `await feed.ask(…)` in any."""

    def __init__(self, layout: Layout, *, face: str = "tui") -> None:
        self.layout = layout
        self.face = face
        self.state: State = "connecting"
        self.problem: Problem | None = None
        self.welcome: wire.Welcome | None = None
        self._views: dict[str, AnyView] = {}
        self.views: Mapping[str, AnyView] = MappingProxyType(self._views)
        """By key; read-only, always current."""
        self._number = 0
        self._asked: dict[int, asyncio.Future[AnyReply]] = {}
        self._watched: dict[ids.AttemptId, wire.WatchPane] = {}
        self._writer: asyncio.StreamWriter | None = None

    @property
    def connected(self) -> bool:
        """Whether the daemon answers."""
        return self.state == "connected"

    @property
    def lost(self) -> bool:
        """Whether it does not; `problem` says why."""
        return self.state in ("lost", "refused")

    async def ask(self, request: AnyRequest, *, seconds: float = ANSWER_S) -> AnyReply:
        """The answer to a request. Declined when the daemon says no; DaemonDown when there is no connection, or it ends."""
        if isinstance(request, wire.WatchPane):
            self._remember(request)
        if self._writer is None or self.state != "connected" or isinstance(request, wire.Hello):
            raise self._down("the daemon is not connected")
        self._number += 1
        number = self._number
        future: asyncio.Future[AnyReply] = asyncio.get_running_loop().create_future()
        self._asked[number] = future
        self._writer.write(_encoder.encode(msgspec.structs.replace(request, id=number)) + b"\n")
        try:
            async with asyncio.timeout(seconds):
                reply = await future
        except TimeoutError as error:
            raise self._down(f"the daemon did not answer within {seconds:.0f} s") from error
        finally:
            self._asked.pop(number, None)
        if isinstance(reply, wire.Failed):
            raise Declined(reply.problem)
        return reply

    async def __aiter__(self) -> AsyncIterator[Change]:
        """Changes for as long as it is asked for; ends never by itself."""
        pause = BACKOFF_S
        try:
            while True:
                try:
                    reader = await self._connect()
                except (OSError, Mistake) as error:
                    told = self._fall(error)
                    if told is not None:
                        yield told
                    await asyncio.sleep(pause)
                    pause = min(pause * 2, BACKOFF_MOST_S)
                    continue
                pause = BACKOFF_S
                async with contextlib.aclosing(self._read(reader)) as changes:
                    async for change in changes:
                        yield change
        finally:
            self._drop(self._down("the feed was closed"))

    async def _connect(self) -> asyncio.StreamReader:
        reader, writer = await asyncio.open_unix_connection(str(self.layout.socket), limit=REPLY_LIMIT)
        self._writer = writer
        writer.write(_encoder.encode(wire.Hello(version=VERSION, face=self.face)) + b"\n")
        async with asyncio.timeout(ANSWER_S):
            line = await reader.readline()
        reply = _decode(line) if line else None
        if isinstance(reply, wire.Refused):
            raise Declined(reply.problem)
        if not isinstance(reply, wire.Welcome):
            raise self._down("the daemon ended the connection")
        self.welcome = reply
        for number, request in enumerate((wire.Subscribe(), *self._watched.values())):
            writer.write(_encoder.encode(msgspec.structs.replace(request, id=-1 - number)) + b"\n")
        return reader

    async def _read(self, reader: asyncio.StreamReader) -> AsyncGenerator[Change, None]:
        because: Exception = self._down("the daemon closed the connection")
        try:
            while line := await reader.readline():
                change = self._take(_decode(line))
                if change is not None:
                    yield change
        except (OSError, ValueError, Mistake) as error:
            because = error
        told = self._fall(because)
        if told is not None:
            yield told

    def _take(self, reply: AnyReply) -> Change | None:
        match reply:
            case wire.Snapshot() if reply.id == -1:
                return self._reset(reply)
            case wire.Changes():
                for key in reply.gone:
                    self._views.pop(key, None)
                self._views.update((view.key, view) for view in reply.views)
                return Change(state=self.state, views=reply.views, gone=reply.gone)
            case wire.PaneIs():
                return Change(state=self.state, pane=reply)
            case wire.Refused():
                raise Declined(reply.problem)
            case wire.Welcome():
                return None
        future = self._asked.get(reply.id)
        if future is not None and not future.done():
            future.set_result(reply)
        return None

    def _reset(self, snapshot: wire.Snapshot) -> Change:
        fresh = {view.key: view for view in snapshot.views}
        gone = tuple(key for key in self._views if key not in fresh)
        self._views.clear()
        self._views.update(fresh)
        self.state, self.problem = "connected", None
        return Change(state="connected", reset=True, views=snapshot.views, gone=gone)

    def _fall(self, error: Exception) -> Change | None:
        """The connection is lost; the change to tell, or None when nothing about that is new."""
        if isinstance(error, Mistake):
            problem = error.problem
        else:
            problem = Problem(what="the daemon is not running", where=str(self.layout.socket), mend="start it with `andon up`")
        state: State = "refused" if isinstance(error, Declined) else "lost"
        news = (state, problem) != (self.state, self.problem)
        self.state, self.problem = state, problem
        self._drop(error)
        return Change(state=state, problem=problem) if news else None

    def _drop(self, error: Exception) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None
        for future in self._asked.values():
            if not future.done():
                future.set_exception(error if isinstance(error, Mistake) else self._down(str(error)))
        self._asked.clear()

    def _remember(self, request: wire.WatchPane) -> None:
        """Watched panes are asked for again after a reconnect."""
        if request.attempt:
            self._watched[request.attempt] = request
        else:
            self._watched.clear()

    def _down(self, what: str) -> DaemonDown:
        return DaemonDown(what, where=str(self.layout.socket), mend="start it with `andon up`")


def _decode(line: bytes) -> AnyReply:
    try:
        return _decoder.decode(line)
    except msgspec.DecodeError as error:
        raise Mistake("the daemon sent something that this version of andon does not know", where=str(error),
                      mend="`andon down` and then `andon up` starts the daemon of this version; agents go on") from error
