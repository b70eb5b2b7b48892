"""Passes one request on and its answer back, byte for byte; must never change, delay or invent anything that a provider says.

Theory of operation. Bodies are read and written part by part, with the back-pressure of both sockets; codings are left as they
are. A client that hangs up cancels its handler, which closes the connection to the provider. A provider that breaks off has the
client's connection closed without an end, so that a cut is never mistaken for a last word.
"""

import asyncio
from collections.abc import AsyncIterator

import aiohttp
from aiohttp import web
from multidict import CIMultiDict
from yarl import URL

from .headers import passed
from .limits import CONNECT_S, HEADER_BYTES, HEADERS, KEEP_S, STREAMS
from .routes import Routes
from .scribe import Scribe
from .watcher import Watcher

_OURS = frozenset(("host", "expect"))
"""Request headers that are ours to say: whom we call; and that we take the body at once was already answered."""
_AUTOMATIC = ("Accept", "Accept-Encoding", "Content-Type", "User-Agent")


class Answer(web.StreamResponse):
    """An answer that carries the provider's headers alone, and may be broken off."""

    cut = False
    given: frozenset[str] = frozenset()
    """The provider's headers by name, in lower case."""

    async def write_eof(self, data: bytes = b"") -> None:
        """End it well, unless it was cut."""
        if not self.cut:
            await super().write_eof(data)


def session() -> aiohttp.ClientSession:
    """The way to the providers: no cookies, no redirects of its own, no limits of time but for the connection."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=KEEP_S),
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S), cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False, trust_env=True, max_line_size=HEADER_BYTES, max_field_size=HEADER_BYTES, max_headers=HEADERS)


class Forward:
    """The handler of all requests."""

    def __init__(self, routes: Routes, scribe: Scribe, client: aiohttp.ClientSession, probe: tuple[str, str]) -> None:
        self.routes, self.scribe, self.client, self.probe = routes, scribe, client, probe
        """The path by which the daemon asks whether we are we, and the answer."""
        self.streams = 0
        self.draining = False

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """One request, whatever it is."""
        if request.raw_path == self.probe[0]:
            return web.Response(text=self.probe[1])
        found = self.routes.find(request.raw_path)
        if found is None:
            return web.json_response({"error": {"message": "This address leads nowhere."}}, status=404)
        if "upgrade" in request.headers.get("connection", "").lower() and request.headers.get("upgrade", "").lower() == "websocket":
            # 426, not 501: codex tries a 501 again and again before it falls back to HTTP, and a 426 never
            words = {"error": {"message": "No websockets here: use HTTP."}}
            return web.json_response(words, status=426, headers={"upgrade": "HTTP/1.1"})
        if self.streams >= STREAMS:
            message = f"More than {STREAMS} model calls are under way in this factory."
            return web.json_response({"error": {"message": message}}, status=503, headers={"retry-after": "1"})
        self.streams += 1
        try:
            return await self._forward(request, *found)
        finally:
            self.streams -= 1

    async def _forward(self, request: web.Request, attempt: str, address: str) -> web.StreamResponse:
        headers = passed(request.raw_headers, besides=_OURS)
        watcher = Watcher(self.scribe, attempt, URL(address, encoded=True).raw_path, headers)
        answer = Answer()
        try:
            await self._stream(request, address, headers, watcher, answer)
            watcher.ends()
        except asyncio.CancelledError:
            watcher.ends("cut" if self.draining else "gone")
            raise
        except (ConnectionResetError, aiohttp.ClientConnectionResetError) as error:
            gone = request.transport is None or request.transport.is_closing()
            watcher.ends("gone" if gone else _word(error, watcher))
            _break_off(request, answer)
        except (aiohttp.ClientError, OSError, ValueError) as error:
            watcher.ends(_word(error, watcher))
            _break_off(request, answer)
        return answer

    async def _stream(self, request: web.Request, address: str, headers: list[tuple[str, str]], watcher: Watcher,
                      answer: Answer) -> None:
        body = _body(request, watcher) if request.body_exists else None
        async with self.client.request(
            request.method, URL(address, encoded=True), headers=CIMultiDict(headers), data=body, allow_redirects=False,
            skip_auto_headers=_AUTOMATIC,
        ) as upstream:
            watcher.answers(upstream.status, upstream.headers)
            answer.set_status(upstream.status, upstream.reason)
            theirs = passed(upstream.raw_headers)
            answer.headers.extend(theirs)
            answer.given = frozenset(name.lower() for name, _ in theirs)
            await answer.prepare(request)
            async for part in parts_of(upstream.content):
                watcher.flows(part)
                await answer.write(part)
            await answer.write_eof()


async def parts_of(content: aiohttp.StreamReader) -> AsyncIterator[bytes]:
    """Parts as they come. What came before a cut is given before the cut is: the reader alone would drop it."""
    try:
        async for part in content.iter_any():
            yield part
    except aiohttp.ClientError:
        if rest := content._read_nowait(-1):
            yield rest
        raise


async def _body(request: web.Request, watcher: Watcher) -> AsyncIterator[bytes]:
    async for part in request.content.iter_any():
        watcher.asks(part)
        yield part
    watcher.sent()


def _word(error: BaseException, watcher: Watcher) -> str:
    """`refused`: the provider was never reached. `cut`: it broke off."""
    unreached = isinstance(error, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError)
    return "refused" if unreached and not watcher.status else "cut"


def _break_off(request: web.Request, answer: Answer) -> None:
    """Close the client's connection after what was already written, without an end."""
    answer.cut = True
    answer.force_close()
    if request.transport is not None:
        request.transport.close()


async def bare(request: web.BaseRequest, response: web.StreamResponse) -> None:
    """Take away what the server would add to a provider's answer: `Server`, `Date`, a guessed type."""
    if isinstance(response, Answer):
        for name in ("Server", "Date", "Content-Type"):
            if name.lower() not in response.given:
                response.headers.pop(name, None)
