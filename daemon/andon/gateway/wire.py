"""One side of an HTTP/1.1 connection over a stream: h11 reads and writes it, so what goes on is written anew and means one thing.

Must never know what is allowed.
"""

import asyncio
from collections.abc import Iterable

import h11

from .headers import HOP
from .limits import CHUNK, HEADER_BYTES, HEADERS

Event = (h11.Request | h11.InformationalResponse | h11.Response | h11.Data | h11.EndOfMessage | h11.ConnectionClosed
         | type[h11.PAUSED])
Pairs = list[tuple[bytes, bytes]]


class Wire:
    """A connection and what h11 knows of it."""

    def __init__(self, role: type[h11.CLIENT] | type[h11.SERVER], reader: asyncio.StreamReader,
                 writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self.http = h11.Connection(role, max_incomplete_event_size=HEADER_BYTES)

    async def event(self) -> Event:
        """The next thing that the other side says. Raises h11.RemoteProtocolError and OSError."""
        while True:
            event = self.http.next_event()
            if event is not h11.NEED_DATA:
                return event  # type: ignore[return-value]  # what is left of h11's union is an Event
            if self.http.they_are_waiting_for_100_continue:
                await self.send(h11.InformationalResponse(status_code=100, headers=[]))
            self.http.receive_data(await self.reader.read(CHUNK))

    async def send(self, *events: h11.Event) -> None:
        """Say this, and wait while the other side is slow."""
        self.writer.write(b"".join(self.http.send(event) or b"" for event in events))
        await self.writer.drain()


def carried(message: h11.Request | h11.Response, *besides: bytes) -> Pairs:
    """The headers that go on, as they were written, without those of the connection and those named."""
    named = {part.strip().lower() for name, value in message.headers if name == b"connection" for part in value.split(b",")}
    dropped = {name.encode() for name in HOP} | named | set(besides)
    return [(raw, value) for raw, value in message.headers.raw_items() if raw.lower() not in dropped]


def ambiguity(request: h11.Request) -> str:
    """Why two readers could see two different requests in this one; empty: they cannot."""
    names = [name for name, _ in request.headers]
    if b"transfer-encoding" in names and b"content-length" in names:
        return "It says its length twice."
    if b"transfer-encoding" in names and request.http_version < b"1.1":
        return "Chunks are not of its version of HTTP."
    if len(names) > HEADERS:
        return f"It has more than {HEADERS} headers."
    if request.method == b"CONNECT" and {b"transfer-encoding", b"content-length"} & set(names):
        return "CONNECT has no body."
    return ""


def plain(status: int, words: str, headers: Iterable[tuple[str, str]] = ()) -> tuple[h11.Response, h11.Data, h11.EndOfMessage]:
    """A whole answer of ours, after which the connection ends."""
    body = f"{words}\n".encode()
    said = [("Content-Type", "text/plain; charset=utf-8"), ("Content-Length", str(len(body))), ("Connection", "close"), *headers]
    reason = b"Not allowed by [sandbox] hosts" if status == 403 else b""  # of a refused tunnel, many clients show this alone
    return h11.Response(status_code=status, headers=said, reason=reason), h11.Data(data=body), h11.EndOfMessage()
