"""One job's way out: an HTTP proxy on its unix socket, which lets through what the job's list allows and tells what was tried.

Theory of operation. The list is read again whenever its file changed, and asked for every request. `CONNECT` opens a tunnel: its
target is judged, its name resolved here, and on a port of the web the client's first bytes are read before any of them goes out,
so that inside there is TLS for that very name (443) or plain HTTP (80, which is then treated as such, request by request). Any
other port is carried as it is, but TLS on it is held to the same rule. A plain request is read by h11 and written anew. What is
encrypted stays unread: a server that serves several names to one greeting can still be told another one inside.
"""

import asyncio
import contextlib
import os
import stat
from collections.abc import Callable
from pathlib import Path

import h11
import msgspec

from andon.schema.jobs import EGRESS
from andon.schema.sandbox import Egress

from . import hello
from .allow import NOTHING, PORTS, Rules, Target, host_of, target_of
from .dial import Dial, Refused, lookups
from .limits import CHUNK, CONNECTIONS, HEAD_S, PAUSE_S, WAIT_S, WAITING
from .relay import Watchdog, carry, linger, shut
from .told import Told
from .wire import Wire, ambiguity, carried, plain

LIST_BYTES = 256 * 1024
"""A longer list is none."""
TLS_PORT, WEB_PORT = PORTS
_BROKEN = (h11.ProtocolError, OSError)


class Way:
    """One job's proxy."""

    def __init__(self, folder: Path, dial: Dial, told: Told, full: Callable[[], bool] = lambda: False) -> None:
        self._file = folder / EGRESS
        self._dial, self._told, self._full = dial, told, full
        self._stamp: tuple[int, int, int] | None = None
        self._rules = NOTHING
        self._turn, self._lookups = asyncio.Semaphore(CONNECTIONS), lookups()
        self.live: dict[asyncio.Task[None], Watchdog] = {}
        """Its connections."""

    @property
    def rules(self) -> Rules:
        """What is allowed now. Nothing, when the list is not there or cannot be read."""
        try:
            facts = self._file.lstat()
            stamp = (facts.st_mtime_ns, facts.st_ino, facts.st_size)
            if stamp != self._stamp:
                self._rules, self._stamp = NOTHING, stamp
                self._rules = Rules(msgspec.json.decode(_plain(self._file), type=Egress))
        except (OSError, msgspec.MsgspecError):
            return NOTHING
        return self._rules

    async def meet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """A connection of the job, to its end."""
        task, watch = asyncio.current_task(), Watchdog(writer)
        assert task is not None
        crowded = len(self.live) >= CONNECTIONS + WAITING or self._full()
        self.live[task] = watch
        try:
            wire = Wire(h11.SERVER, reader, writer)
            if crowded:
                raise Refused(503, "Too many connections are open; at most so many of one job: "
                                   f"{CONNECTIONS + WAITING}.", "too many at once")
            async with asyncio.timeout(WAIT_S):
                await self._turn.acquire()
            try:
                await Client(self, wire, watch).serve()
            finally:
                self._turn.release()
        except Refused as refused:
            self.tell(refused.what, False, refused.rule)
            with contextlib.suppress(*_BROKEN):
                await wire.send(*plain(refused.status, refused.words))
                await linger(reader, writer)
        except (TimeoutError, asyncio.CancelledError):
            writer.transport.abort()
        finally:
            await shut(writer)
            watch.close()
            del self.live[task]

    def tell(self, what: str, allowed: bool, rule: str) -> None:
        """This was tried."""
        self._told.tell(what, allowed, rule)

    def judge(self, target: Target) -> tuple[Rules, str]:
        """The list as it is now, and what of it lets this through. Raises Refused."""
        rules = self.rules
        rule = rules.find(target)
        if rule is None:
            wanted = target.host if target.port in PORTS else str(target)
            raise Refused(403, f'{target} is not among the hosts that this sandbox may reach. A person can allow it by adding '
                               f'"{wanted}" to [sandbox] hosts in andon.toml.', rules.refusal(target), str(target))
        return rules, rule

    async def reach(self, target: Target) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A connection to the target, when it is allowed, which is told. Raises Refused, which is told by who says it."""
        rules, rule = self.judge(target)
        try:
            streams = await self._dial.reach(rules, target, self._lookups)
        except Refused as refused:
            if not refused.rule:
                self.tell(str(target), True, rule)
            raise
        self.tell(str(target), True, rule)
        return streams

    def close(self) -> None:
        """Break off all connections, and tell what was counted."""
        for task in list(self.live):
            task.cancel()
        self._told.close()


class Client:
    """One connection of a job."""

    def __init__(self, way: Way, wire: Wire, watch: Watchdog, within: Target | None = None) -> None:
        self._way, self._wire, self._watch = way, wire, watch
        self._within = within
        """The target of the tunnel in which these requests are said."""

    async def serve(self) -> None:
        """Its requests, one after the other."""
        seconds = HEAD_S
        while True:
            try:
                async with asyncio.timeout(seconds):
                    request = await self._wire.event()
            except h11.RemoteProtocolError as error:
                return await self._deny(Refused(error.error_status_hint, f"This is no good request: {error}.", "malformed"))
            except OSError:
                return
            if not isinstance(request, h11.Request):
                return
            try:
                if not await self._answer(request):
                    return
                self._wire.http.start_next_cycle()
            except Refused as refused:
                return await self._deny(refused)
            except _BROKEN:
                return self._wire.writer.transport.abort()
            seconds = PAUSE_S

    async def _answer(self, request: h11.Request) -> bool:
        if why := ambiguity(request):
            raise Refused(400, f"This request can be read in two ways. {why}", "ambiguous request")
        if request.method != b"CONNECT":
            return await self._exchange(request)
        target = target_of(request.target.decode("ascii")) if self._within is None else None
        if target is None:
            raise Refused(400, "CONNECT names a host and a port, as in example.org:443.", "malformed")
        await self._tunnel(target)
        return False

    async def _deny(self, refused: Refused) -> None:
        """Say no, and close."""
        if refused.rule:
            self._way.tell(refused.what, False, refused.rule)
        if self._wire.http.our_state in (h11.SEND_RESPONSE, h11.IDLE):
            with contextlib.suppress(*_BROKEN):
                await self._wire.send(*plain(refused.status, refused.words))
                await linger(self._wire.reader, self._wire.writer)
        else:
            self._wire.writer.transport.abort()

    # -- plain requests

    async def _exchange(self, request: h11.Request) -> bool:
        """One request and its answer; whether another may follow."""
        target, path = self._target(request)
        reader, writer = await self._way.reach(target)
        self._watch.add(writer)
        far = Wire(h11.CLIENT, reader, writer)
        named = target.host if target.port == WEB_PORT else str(target)
        headers = [(b"Host", f"[{named}]".encode() if named == target.host and ":" in named else named.encode())]
        headers += carried(request, b"host", b"expect")
        if (b"transfer-encoding", b"chunked") in [(name, value.lower()) for name, value in request.headers]:
            headers.append((b"Transfer-Encoding", b"chunked"))
        asked = h11.Request(method=request.method, target=path, headers=[*headers, (b"Connection", b"close")])
        try:
            await far.send(asked)
            async with asyncio.TaskGroup() as group:
                sending = group.create_task(self._send(far))
                broken = await self._receive(far, target)
                heard = sending.done()
                sending.cancel()
        finally:
            await shut(writer)
            self._watch.drop(writer)
        if broken is not None:
            raise broken
        return heard and self._wire.http.our_state is h11.DONE and self._wire.http.their_state is h11.DONE

    def _target(self, request: h11.Request) -> tuple[Target, bytes]:
        """Where a plain request goes, and its path there. Raises Refused."""
        asked = request.target.decode("ascii")
        if self._within is not None:
            host = next((value for name, value in request.headers if name == b"host"), b"").decode("latin-1")
            named = target_of(host, WEB_PORT)
            if named is None or named != self._within or not (asked.startswith("/") or asked == "*"):
                raise Refused(403, f"This tunnel leads to {self._within}, and the request to another host.",
                              f"in a tunnel to {self._within}", str(named or "*"))
            return self._within, request.target
        scheme, _, rest = asked.partition("://")
        if not rest or scheme.lower() != "http":
            raise Refused(400, "This is a proxy: it takes CONNECT host:port, and whole addresses that begin with http://.",
                          "malformed")
        end = min((place for mark in "/?" if (place := rest.find(mark)) >= 0), default=len(rest))
        target, path = target_of(rest[:end], WEB_PORT), rest[end:]
        if target is None or "#" in path or "\\" in rest[:end]:
            raise Refused(400, "The address names no host that can be read in one way alone; a name and password before it are "
                               "not taken.", "malformed")
        return target, (path if path.startswith("/") else f"/{path}").encode()

    async def _send(self, far: Wire) -> None:
        """The request's body. A far side that has heard enough may still answer; a client that breaks off ends it all."""
        while True:
            try:
                event = await self._wire.event()
            except _BROKEN:
                return self._watch.cut()
            if isinstance(event, h11.ConnectionClosed):
                return self._watch.cut()
            if not isinstance(event, h11.Data | h11.EndOfMessage):
                return
            self._watch.touch()
            try:
                await far.send(event)
            except _BROKEN:
                return
            if isinstance(event, h11.EndOfMessage):
                return

    async def _receive(self, far: Wire, target: Target) -> Exception | None:
        """The answer; and how it broke off, or why there is none."""
        begun = False
        try:
            while True:
                event = await far.event()
                self._watch.touch()
                if isinstance(event, h11.InformationalResponse):
                    continue
                if isinstance(event, h11.Response):
                    begun = True
                    event = h11.Response(status_code=event.status_code, headers=carried(event), reason=event.reason)
                elif isinstance(event, h11.EndOfMessage) and self._wire.http.their_http_version != b"1.1":
                    event = h11.EndOfMessage()
                elif not isinstance(event, h11.Data | h11.EndOfMessage):
                    raise ConnectionResetError
                await self._wire.send(event)
                if isinstance(event, h11.EndOfMessage):
                    return None
        except _BROKEN as broken:
            return broken if begun else Refused(502, f"{target} did not answer as a web server does.")

    # -- tunnels

    async def _tunnel(self, target: Target) -> None:
        reader, writer = await self._way.reach(target)
        self._watch.add(writer)
        try:
            await self._wire.send(h11.Response(status_code=200, headers=[], reason=b"Connection established"))
            first = self._wire.http.trailing_data[0]
            if self._way.rules.everything:
                return await self._carry(first, reader, writer)
            if target.port == TLS_PORT:
                async with asyncio.timeout(HEAD_S):
                    first, said = await self._greeting(first)
                if first and self._allows(target, said):
                    await self._carry(first, reader, writer)
                return None
            if target.port == WEB_PORT:
                first = first or await self._wire.reader.read(CHUNK)
                if first[:1] != b"\x16":
                    return await self._web(target, first)
            async with asyncio.TaskGroup() as group:  # a server may be the first to speak
                group.create_task(carry(reader, self._wire.writer, self._watch))
                first, said = await self._greeting(first)
                if first and not self._allows(target, said):
                    return writer.transport.abort()
                writer.write(first)
                await carry(self._wire.reader, writer, self._watch)
        finally:
            self._watch.drop(writer)
            await shut(writer)

    async def _carry(self, first: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(first)
        async with asyncio.TaskGroup() as group:
            group.create_task(carry(reader, self._wire.writer, self._watch))
            group.create_task(carry(self._wire.reader, writer, self._watch))

    async def _greeting(self, data: bytes) -> tuple[bytes, hello.Hello]:
        """What the client says first, and what that is. No bytes: it said nothing whole."""
        while (said := hello.read(data)) is None:
            try:
                more = await self._wire.reader.read(CHUNK)
            except OSError:
                return b"", hello.NO_TLS
            if not more:
                return (data, hello.BROKEN) if data else (b"", hello.NO_TLS)
            data += more
        return data, said

    def _allows(self, target: Target, said: hello.Hello) -> bool:
        """Whether these first words may go out; if not, the client is told in its own language."""
        why = self._objection(target, said)
        if not why:
            return True
        named = host_of(said.name) if said.name else None
        self._way.tell(str(Target(named, target.port)) if named else str(target), False, why)
        if said.tls:
            self._wire.writer.write(hello.DENIED)
        return False

    def _objection(self, target: Target, said: hello.Hello) -> str:
        if not said.tls:
            return "no TLS on its port" if target.port == TLS_PORT else ""
        if said.broken:
            return "TLS greeting cannot be read"
        if not said.name:
            return "" if target.literal is not None or target.port not in (TLS_PORT, WEB_PORT) else "TLS without a server name"
        named = host_of(said.name)
        if named == target.host or (named and self._way.rules.find(Target(named, target.port))):
            return ""
        return f"server name inside a tunnel to {target.host}"

    async def _web(self, target: Target, first: bytes) -> None:
        """Plain HTTP inside a tunnel: each request is held to the tunnel's host."""
        inner = Wire(h11.SERVER, self._wire.reader, self._wire.writer)
        inner.http.receive_data(first)
        if first:
            await Client(self._way, inner, self._watch, target).serve()


def _plain(file: Path) -> bytes:
    """A regular file of bounded size."""
    handle = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        facts = os.fstat(handle)
        return os.read(handle, LIST_BYTES) if stat.S_ISREG(facts.st_mode) and facts.st_size < LIST_BYTES else b""
    finally:
        os.close(handle)
