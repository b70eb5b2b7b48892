"""A gateway of one's own as a process, and a provider that is a bare socket: what it gets and gives is bytes."""

import asyncio
import contextlib
import os
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from andon.edges.durable import write_file
from andon.schema.jobs import GATEWAY, ROUTE, Route
from andon.schema.layout import Layout, layout
from andon.schema.signals import Call, Line
from support import wait_until

TOKEN = "a-token-of-this-session"


@dataclass
class Running:
    """A gateway process."""

    place: Layout
    process: subprocess.Popen[bytes]
    port: int

    def route(self, attempt: str, upstream: str, token: str = TOKEN) -> str:
        """Give an attempt a way to a provider; the path of its address."""
        folder = self.place.job(attempt)
        folder.mkdir(parents=True, exist_ok=True)
        write_file(folder / ROUTE, msgspec.json.encode(Route(token=token, upstream=upstream)))
        return f"/a/{attempt}/{token}"

    def base(self, attempt: str, upstream: str) -> str:
        """The same as a whole address."""
        return f"http://127.0.0.1:{self.port}{self.route(attempt, upstream)}"

    def calls(self, attempt: str) -> list[Call]:
        """What was written down so far."""
        return calls_of(self.place, attempt)

    def ended(self, attempt: str, count: int = 1) -> list[Call]:
        """The ends of calls, when there are so many."""
        wait_until(lambda: len(self._ends(attempt)) >= count, what=f"{count} calls to have ended")
        return self._ends(attempt)

    def _ends(self, attempt: str) -> list[Call]:
        return [call for call in self.calls(attempt) if call.phase == "ended"]


def calls_of(place: Layout, attempt: str) -> list[Call]:
    """The record of an attempt."""
    try:
        lines = (place.job(attempt) / GATEWAY).read_bytes().splitlines()
    except FileNotFoundError:
        return []
    return [msgspec.json.decode(msgspec.json.decode(line, type=Line).data, type=Call) for line in lines]


@contextlib.contextmanager
def running_gateway(**more: str) -> Iterator[Running]:
    """A gateway process of a new factory, with this in its environment; ended with the block."""
    with tempfile.TemporaryDirectory(prefix="gateway-") as room:
        place = layout(Path(room) / "factory")
        file = place.gateway / "port"
        package = str(Path(__file__).parents[1] / "daemon")
        env = {"PATH": os.environ["PATH"], "HOME": room, "PYTHONPATH": package, **more}
        with subprocess.Popen((sys.executable, "-P", "-m", "andon.gateway", str(place.home)), env=env) as process:
            try:
                wait_until(lambda: file.exists() or process.poll() is not None, what="the gateway to listen")
                yield Running(place, process, int(file.read_text()))
            finally:
                process.send_signal(signal.SIGKILL)


@dataclass
class Asked:
    """A request as a provider got it."""

    head: bytes
    body: bytes = b""

    @property
    def line(self) -> bytes:
        """The request line."""
        return self.head.split(b"\r\n", 1)[0]

    @property
    def headers(self) -> list[bytes]:
        """The lines of its headers."""
        return self.head.split(b"\r\n")[1:-2]


Speech = Callable[[asyncio.StreamReader, asyncio.StreamWriter, Asked], Awaitable[None]]


@dataclass
class Provider:
    """A bare socket that plays a provider."""

    url: str
    asked: list[Asked] = field(default_factory=list)
    connections: int = 0
    closed: asyncio.Event = field(default_factory=asyncio.Event)
    """All that it had to say has left it."""
    gone: asyncio.Event = field(default_factory=asyncio.Event)
    """Whoever called has hung up."""


@contextlib.asynccontextmanager
async def provider(
    speech: Speech | bytes, *, reads_body: bool = True, tls: ssl.SSLContext | None = None,
) -> AsyncIterator[Provider]:
    """Answers each connection's first request with these bytes, or as the function does, then closes it."""
    room = Provider("")

    async def met(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        room.connections += 1
        try:
            asked = Asked(await reader.readuntil(b"\r\n\r\n"))
            room.asked.append(asked)
            if reads_body:
                asked.body = await body_of(asked.head, reader)
            if isinstance(speech, bytes):
                writer.write(speech)
                await writer.drain()
            else:
                await speech(reader, writer, asked)
        except (ConnectionError, asyncio.IncompleteReadError):
            room.gone.set()
        finally:
            writer.close()
            room.closed.set()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    server = await asyncio.start_server(met, "127.0.0.1", 0, limit=2**20, ssl=tls, ssl_shutdown_timeout=0.2 if tls else None)
    room.url = f"{'https' if tls else 'http'}://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield room
    finally:
        server.close()


async def body_of(head: bytes, reader: asyncio.StreamReader) -> bytes:
    """A message's body, undone of its chunks."""
    low = head.lower()
    if b"transfer-encoding: chunked" in low:
        return await dechunked(reader)
    if b"content-length:" in low:
        return await reader.readexactly(int(low.split(b"content-length:")[1].split(b"\r\n")[0]))
    return b""


async def dechunked(reader: asyncio.StreamReader) -> bytes:
    """A chunked body; raises IncompleteReadError with what there was when it has no end."""
    parts: list[bytes] = []
    try:
        while True:
            line = await reader.readuntil(b"\r\n")
            size = int(line.split(b";")[0], 16)
            data = await reader.readexactly(size)
            parts.append(data)
            await reader.readexactly(2)
            if not size:
                return b"".join(parts)
    except asyncio.IncompleteReadError as short:
        raise asyncio.IncompleteReadError(b"".join([*parts, short.partial]), None) from short


@dataclass
class Got:
    """An answer as a client got it."""

    head: bytes
    body: bytes
    clean: bool
    """It had its end."""

    @property
    def status(self) -> int:
        """Its status."""
        return int(self.head.split(b" ")[1])

    @property
    def headers(self) -> list[bytes]:
        """Its headers but those of the connection."""
        lines = self.head.split(b"\r\n")[1:-2]
        return [line for line in lines if line.split(b":")[0].lower() not in (b"connection", b"transfer-encoding", b"keep-alive")]


def request(path: str, body: bytes = b"", *headers: str, method: str = "POST") -> bytes:
    """The bytes of a request."""
    lines = [f"{method} {path} HTTP/1.1", "Host: gateway", *headers, *([f"Content-Length: {len(body)}"] if body else [])]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


async def ask(port: int, data: bytes) -> Got:
    """Send these bytes, read the answer until the other side has nothing more to say."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=2**20)
    try:
        async def send() -> None:
            writer.write(data)
            await writer.drain()
        async with asyncio.TaskGroup() as group:
            group.create_task(send())
            try:
                head = await reader.readuntil(b"\r\n\r\n")
            except asyncio.IncompleteReadError as short:
                return Got(short.partial, b"", False)
            try:
                return Got(head, await body_of(head, reader), True)
            except asyncio.IncompleteReadError as short:
                return Got(head, short.partial, False)
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


def free_port() -> int:
    """A port on which nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])
