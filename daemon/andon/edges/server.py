"""The operator's socket: lets faces of the same person in, answers them and pushes views; must never know what a view means.

Theory of operation. One unix socket, 0600 in a 0700 directory; the kernel tells who calls. Each client has two tasks: one
reads requests, strictly one after the other, and one writes. What is owed to a client is kept as *state*, not as a queue:
the latest view of each changed key, the keys that are gone, the latest picture of each watched pane, and the answer to
the one request in work. So a client that reads slowly costs at most one view per key, and catches up in one message.
Each view is encoded once for all clients.
"""

import asyncio
import contextlib
import logging
import os
import socket
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Protocol

import msgspec

from andon.edges import peer
from andon.edges.doorway import claim, login_of, peer_uid
from andon.edges.encoded import Encoded, RawChanges, RawSnapshot, encoder
from andon.schema import ids, wire
from andon.schema.errors import Mistake, Problem
from andon.schema.inputs import AnyCommand
from andon.schema.layout import Layout
from andon.schema.views import AnyView
from andon.schema.wire import AnyReply, AnyRequest

FLUSH_S = 1 / 60
"""Least time between two Changes of one client."""
STALL_S = 30.0
"""A client whose buffer is full and that takes no byte for this long is dropped."""
CLIENTS_LIMIT = 64
"""Clients at once; one more is refused."""
FAREWELL_S, FAREWELL_READS = 1.0, 16
"""So long, and so often, is one who was refused listened to until it has read why."""
CHUNK_BYTES = 1024 * 1024
"""Changes are cut into messages of about this size, so that newer views can replace what is not yet sent."""
PUSH_LIMIT = 1000
"""Unsent messages of other kinds than views and panes; past it the client is dropped."""

log = logging.getLogger("andon.server")
Push = Callable[[AnyReply], None]


class Office(Protocol):
    """Who decides: the loop."""

    version: str

    def views(self) -> Mapping[str, AnyView]:
        """All current views by key; only what is durable."""
        ...

    async def do(self, command: AnyCommand) -> wire.Done | wire.Failed:
        """Carry out a person's command; returns when it is durable."""
        ...

    async def handle(self, request: AnyRequest, push: Push) -> AnyReply:
        """Answer any other request. `push` sends further messages to the same client, for as long as it is connected."""
        ...

    def gone(self, push: Push) -> None:
        """The client of this `push` has left."""
        ...


class _Head(msgspec.Struct):
    """What can still be read of a message that is wrong."""

    id: int = 0


_decoder: msgspec.json.Decoder[AnyRequest] = msgspec.json.Decoder(AnyRequest)
_head = msgspec.json.Decoder(_Head)


class Stalled(Exception):
    """A client does not read."""


class Server:
    """The server edge. `serve` until cancelled; `publish` after each durable batch."""

    def __init__(self, layout: Layout, office: Office, *, peer: Callable[[socket.socket], int] | None = None,
                 stall_s: float = STALL_S, inherited: socket.socket | None = None) -> None:
        """`inherited`: a socket that a service manager listens on for us at this very path; it is neither made nor taken away."""
        self.layout = layout
        self._inherited = inherited
        self.office = office
        self.stall_s = stall_s
        self.ready = asyncio.Event()
        """Set while the socket accepts."""
        self.encoded = Encoded()
        self._peer = peer or peer_uid
        self._clients: set[_Client] = set()
        self._leaving = 0
        """Those who were refused and are not gone yet."""

    @property
    def clients(self) -> int:
        """How many faces are connected."""
        return len(self._clients)

    def publish(self, changed: Mapping[str, AnyView], gone: Iterable[str] = ()) -> None:
        """Tell all subscribers. Never waits, never raises; a key is either changed or gone."""
        left = tuple(gone)
        self.encoded.forget(left)
        for client in self._clients:
            client.owe(changed, left)

    async def serve(self) -> None:
        """Listen until cancelled. Mistake when another daemon answers on the socket or the directory is not ours alone."""
        kept = self._inherited
        listening = kept.dup() if kept else claim(self.layout.socket)
        inode = 0 if kept else self.layout.socket.stat().st_ino
        try:
            async with asyncio.TaskGroup() as group:
                server = await asyncio.start_unix_server(
                    lambda reader, writer: self._accept(group, reader, writer), sock=listening, limit=wire.LINE_LIMIT)
                try:
                    self.ready.set()
                    await asyncio.get_running_loop().create_future()
                finally:
                    server.close()
        finally:
            self.ready.clear()
            listening.close()
            with contextlib.suppress(OSError):
                if self.layout.socket.stat().st_ino == inode:
                    self.layout.socket.unlink()

    def _accept(self, group: asyncio.TaskGroup, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        client = _Client(self, reader, writer)
        problem = self._unwelcome(client, writer)
        if problem is None:
            self._clients.add(client)
            group.create_task(self._attend(client))
            return
        log.warning("refused a client: %s", problem.what)
        writer.write(encoder.encode(wire.Refused(problem=problem)) + b"\n")
        if self._leaving >= CLIENTS_LIMIT:
            writer.close()
        else:
            group.create_task(self._see_off(reader, writer))

    async def _see_off(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Let one who was refused say its hello into the void: a socket that is closed under it would hide why."""
        self._leaving += 1
        try:
            writer.write_eof()
            async with asyncio.timeout(FAREWELL_S):
                for _ in range(FAREWELL_READS):
                    if not await reader.read(65536):
                        break
        except (OSError, TimeoutError):
            return
        finally:
            self._leaving -= 1
            writer.close()

    def _unwelcome(self, client: "_Client", writer: asyncio.StreamWriter) -> Problem | None:
        uid = self._peer(writer.get_extra_info("socket"))
        if uid != os.getuid():
            return Problem(what="this factory belongs to somebody else", where=str(self.layout.socket),
                           mend="start a factory of your own with `andon up`")
        told = peer.refusal(peer.who(writer.get_extra_info("socket")), self.layout.jobs)
        if told:
            return Problem(what=f"this program may not speak for the person: {told}", where=str(self.layout.socket),
                           mend="use a shell of your own; an agent says what it has to say with `andon agent`")
        client.by = login_of(uid)
        if len(self._clients) >= CLIENTS_LIMIT:
            return Problem(what=f"{CLIENTS_LIMIT} faces are connected already", where=str(self.layout.socket),
                           mend="close a screen or a following command and try again")
        return None

    async def _attend(self, client: "_Client") -> None:
        try:
            await client.run()
        finally:
            self._clients.discard(client)
            self.office.gone(client.push)
            client.close()


class _Client:
    """One connected face: what it is owed, and the two tasks that serve it."""

    def __init__(self, server: Server, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.by = ""
        self.face = "client"
        self._server = server
        self._office = server.office
        self._reader = reader
        self._writer = writer
        self._wake = asyncio.Event()
        self._sent = asyncio.Event()
        self._subscribed = False
        self._views: dict[str, AnyView] = {}
        self._gone: dict[str, None] = {}
        self._panes: dict[ids.AttemptId, wire.PaneIs] = {}
        self._replies: list[bytes] = []
        self._flushed = 0.0
        self._dead = False
        self._timer: asyncio.TimerHandle | None = None
        self.push: Push = self._push
        """One object for as long as the client lives: the office knows its clients by it."""

    # --- what is owed ---

    def owe(self, changed: Mapping[str, AnyView], gone: tuple[str, ...]) -> None:
        if not self._subscribed:
            return
        for key in gone:
            self._views.pop(key, None)
            self._gone[key] = None
        for key in changed:
            self._gone.pop(key, None)
        self._views.update(changed)
        self._wake.set()

    def _push(self, message: AnyReply) -> None:
        if self._writer.is_closing():
            return
        if isinstance(message, wire.PaneIs):
            self._panes[message.attempt] = message
        elif len(self._replies) < PUSH_LIMIT:
            self._replies.append(encoder.encode(message))
        else:
            self._writer.transport.abort()
        self._wake.set()

    def _reply(self, raw: bytes) -> None:
        if self._dead:
            return
        self._replies.append(raw)
        self._sent.clear()
        self._wake.set()

    # --- tasks ---

    async def run(self) -> None:
        """Serve until the client leaves. A request in work is finished even when its client is gone."""
        async with asyncio.TaskGroup() as group:
            pump = group.create_task(self._pump())
            await self._listen()
            pump.cancel()

    def close(self) -> None:
        """Hand what is owed as answers to the transport, which sends it while the loop still turns."""
        if self._timer is not None:
            self._timer.cancel()
        if not self._writer.is_closing():
            self._write_replies()
            self._writer.close()

    async def _listen(self) -> None:
        if not await self._greet():
            return
        while (line := await self._line()) is not None:
            try:
                request = _decoder.decode(line)
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                self._fail(_id_of(line), Problem(what="the daemon does not understand this request", where=str(error)[:300],
                                                 mend="use the `andon` of the same installation as the daemon"))
            else:
                await self._serve(request)
            await self._sent.wait()

    async def _line(self) -> bytes | None:
        """The next line, or None at the end of the connection (a line that is too long ends it)."""
        try:
            line = await self._reader.readuntil(b"\n")
        except (asyncio.IncompleteReadError, OSError):
            return None
        except asyncio.LimitOverrunError:
            self._fail(0, Problem(what=f"a request is longer than {wire.LINE_LIMIT} bytes", where=self.face,
                                  mend="send less at once; a long specification belongs in the repository"))
            return None
        return line

    async def _greet(self) -> bool:
        line = await self._line()
        if line is None:
            return False
        try:
            hello = _decoder.decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError):
            hello = None
        if isinstance(hello, wire.Hello) and hello.protocol == wire.PROTOCOL:
            self.face = hello.face[:40]
            self._reply(encoder.encode(self._welcome()))
        else:
            self._reply(encoder.encode(wire.Refused(problem=self._strange(hello))))
            hello = None
        await self._sent.wait()
        return hello is not None

    def _strange(self, hello: AnyRequest | None) -> Problem:
        theirs = "something else"
        if isinstance(hello, wire.Hello):
            theirs = f"protocol {hello.protocol} (version {hello.version or 'unknown'})"
        return Problem(what=f"this face speaks {theirs}, the daemon protocol {wire.PROTOCOL} (version {self._office.version})",
                       where=str(self._server.layout.socket),
                       mend="`andon down` and then `andon up` starts the daemon of the installed version; agents go on")

    def _welcome(self) -> wire.Welcome:
        return wire.Welcome(protocol=wire.PROTOCOL, version=self._office.version, pid=os.getpid(),
                            home=str(self._server.layout.home))

    async def _serve(self, request: AnyRequest) -> None:
        match request:
            case wire.Hello():
                self._reply(encoder.encode(self._welcome()))
            case wire.Subscribe() | wire.GetViews():
                raws = self._server.encoded.all(self._office.views())
                self._reply(encoder.encode(RawSnapshot(id=request.id, views=raws)))
                if isinstance(request, wire.Subscribe):
                    self._subscribed = True
                    self._views.clear()
                    self._gone.clear()
            case _:
                await self._ask(request, request.id)

    async def _ask(self, request: AnyRequest, number: int) -> None:
        try:
            if isinstance(request, wire.Do):
                reply: AnyReply = await self._office.do(msgspec.structs.replace(request.command, by=self.by))
            else:
                reply = await self._office.handle(request, self.push)
        except Mistake as mistake:
            reply = wire.Failed(problem=mistake.problem)
        if not isinstance(reply, wire.Reply):
            self.push(reply)
            reply = wire.Done()
        self._reply(encoder.encode(msgspec.structs.replace(reply, id=number)))

    def _fail(self, number: int, problem: Problem) -> None:
        self._reply(encoder.encode(wire.Failed(id=number, problem=problem)))

    # --- writing ---

    async def _pump(self) -> None:
        try:
            while True:
                await self._wake.wait()
                self._wake.clear()
                self._write_replies()
                await self._drain()
                self._sent.set()
                if self._is_due():
                    await self._flush()
        except Stalled:
            log.warning("dropped a %s that read nothing for %.0f s", self.face, self._server.stall_s)
        except OSError as error:
            log.info("a %s left: %s", self.face, error)
        self._dead = True
        self._replies.clear()
        self._writer.transport.abort()
        self._sent.set()

    def _is_due(self) -> bool:
        """Whether something is owed and the last flush is long enough ago; else a timer asks again."""
        if not (self._views or self._gone or self._panes):
            return False
        wait = self._flushed + FLUSH_S - time.monotonic()
        if wait > 0 and self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(wait, self._ring)
        return wait <= 0

    def _ring(self) -> None:
        self._timer = None
        self._wake.set()

    async def _flush(self) -> None:
        """Write all that is owed, in messages of bounded size; what changes meanwhile replaces what is not yet written.

        Answers always go first: a snapshot among them is older than the changes that are owed.
        """
        panes, self._panes = self._panes, {}
        for pane in panes.values():
            self._writer.write(encoder.encode(pane) + b"\n")
        while self._views or self._gone:
            self._write_replies()
            gone, self._gone = tuple(self._gone), {}
            self._writer.write(encoder.encode(RawChanges(views=self._some_views(), gone=gone)) + b"\n")
            await self._drain()
        await self._drain()
        self._flushed = time.monotonic()

    def _some_views(self) -> list[msgspec.Raw]:
        raws, size = [], 0
        while self._views and size < CHUNK_BYTES:
            key = next(iter(self._views))
            raw = self._server.encoded.of(key, self._views.pop(key))
            raws.append(raw)
            size += len(memoryview(raw))
        return raws

    def _write_replies(self) -> None:
        replies, self._replies = self._replies, []
        for raw in replies:
            self._writer.write(raw + b"\n")

    async def _drain(self) -> None:
        """Wait until the client took enough. Raises Stalled when it takes nothing at all for too long."""
        while True:
            before = self._writer.transport.get_write_buffer_size()
            try:
                async with asyncio.timeout(self._server.stall_s):
                    await self._writer.drain()
                return
            except TimeoutError:
                if self._writer.transport.get_write_buffer_size() >= before:
                    raise Stalled from None


def _id_of(line: bytes) -> int:
    try:
        return _head.decode(line).id
    except (msgspec.DecodeError, UnicodeDecodeError):
        return 0
