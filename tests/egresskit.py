"""A proxy of one job in the test's own loop, behind it a made-up Internet: names and addresses are the test's, servers are real."""

import asyncio
import contextlib
import socket
import ssl
import subprocess
import tempfile
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from andon.edges.durable import write_file
from andon.gateway.allow import Address, Target, address_of
from andon.gateway.dial import Dial
from andon.gateway.egress import Way
from andon.gateway.limits import CHUNK
from andon.gateway.scribe import Scribe
from andon.gateway.told import Told
from andon.gateway.ways import BACKLOG, listening
from andon.schema.jobs import ACCESS, EGRESS
from andon.schema.sandbox import Access, Egress
from support import wait_for

PUBLIC = "93.184.215.14"
"""Where names lead that were given no address: of the open Internet, and in truth this machine's server."""


@dataclass
class World:
    """Names, and which port of this machine stands for a port of the Internet."""

    names: dict[str, list[str]] = field(default_factory=dict)
    ports: dict[int, int] = field(default_factory=dict)
    beyond: tuple[Target, str] | None = None
    """The proxy of the network."""
    asked: list[str] = field(default_factory=list)
    """Names that were resolved."""
    met: list[tuple[str, int]] = field(default_factory=list)
    """Addresses that were connected to."""

    async def resolve(self, host: str, port: int) -> Sequence[Address]:
        """The test's word on a name."""
        self.asked.append(host)
        found = [address_of(one) for one in self.names.get(host, [PUBLIC])]
        return [one for one in found if one is not None]

    async def connect(self, addresses: Sequence[Address], port: int) -> socket.socket:
        """The server that stands for this port; any address is noted."""
        self.met.append((str(addresses[0]), port))
        one = socket.socket()
        one.setblocking(False)
        await asyncio.get_running_loop().sock_connect(one, ("127.0.0.1", self.ports[port]))
        return one


@dataclass
class Proxy:
    """One job's proxy."""

    path: Path
    folder: Path
    world: World
    way: Way

    def allow(self, *hosts: str, everything: bool = False) -> None:
        """The list, from the next request on."""
        write_file(self.folder / EGRESS, msgspec.json.encode(Egress(hosts=hosts, everything=everything)))

    def told(self) -> list[Access]:
        """What was written down."""
        return told_in(self.folder)

    async def tells(self, what: str, allowed: bool) -> Access:
        """The line about this, when it is there."""
        await wait_for(lambda: [one for one in self.told() if (one.what, one.allowed) == (what, allowed)],
                       what=f"a line about {what} in {self.told()}")
        return next(one for one in self.told() if (one.what, one.allowed) == (what, allowed))

    async def open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A connection to it."""
        return await asyncio.open_unix_connection(str(self.path), limit=2**20)

    async def say(self, data: bytes) -> bytes:
        """Say this and no more; what comes back until the end."""
        reader, writer = await self.open()
        try:
            with contextlib.suppress(ConnectionError):
                writer.write(data)
                await writer.drain()
                writer.write_eof()
            return await _rest(reader)
        finally:
            writer.close()

    async def connect(self, target: str) -> tuple[bytes, asyncio.StreamReader, asyncio.StreamWriter]:
        """`CONNECT`: the status line, and the tunnel."""
        reader, writer = await self.open()
        writer.write(f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n".encode())
        head = await reader.readuntil(b"\r\n\r\n")
        return head.split(b"\r\n")[0], reader, writer


async def _rest(reader: asyncio.StreamReader) -> bytes:
    data = b""
    with contextlib.suppress(ConnectionError):
        while part := await reader.read(65536):
            data += part
    return data


def told_in(folder: Path) -> list[Access]:
    """The lines of a job."""
    try:
        lines = (folder / ACCESS).read_bytes().splitlines()
    except FileNotFoundError:
        return []
    return [msgspec.json.decode(line, type=Access) for line in lines]


@contextlib.asynccontextmanager
async def proxy(*hosts: str, **ports: int) -> AsyncIterator[Proxy]:
    """A proxy with this list; `p443=1234`: the port of this machine that stands for that one."""
    with tempfile.TemporaryDirectory(prefix="egress-") as room:
        folder, world = Path(room) / "job", World(ports={int(name[1:]): port for name, port in ports.items()})
        folder.mkdir()
        scribe = Scribe(Path(room))
        told = Told(scribe, folder)
        own = address_of("93.184.215.99")
        assert own
        way = Way(folder, Dial(world.resolve, world.connect, lambda: [own], lambda target: world.beyond), told)
        path = Path(room) / "e" / "job" / "p"
        server = await asyncio.start_unix_server(way.meet, sock=listening(path), limit=CHUNK, backlog=BACKLOG)
        one = Proxy(path, folder, world, way)
        one.allow(*hosts)
        try:
            yield one
        finally:
            server.close()
            tasks = list(way.live)
            way.close()
            if tasks:
                await asyncio.wait(tasks, timeout=5)
            scribe.close()


@contextlib.asynccontextmanager
async def server(speech: object, tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """A server on this machine; its port."""
    async def met(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await speech(reader, writer)  # type: ignore[operator]  # a speech of the test's
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError, ssl.SSLError, TimeoutError):
                await writer.wait_closed()

    one = await asyncio.start_server(met, "127.0.0.1", 0, limit=2**20, ssl=tls, ssl_shutdown_timeout=0.2 if tls else None)
    try:
        yield one.sockets[0].getsockname()[1]
    finally:
        one.close()


def certificate(folder: Path) -> Path:
    """A certificate of our own for every name of the tests, its key beside it."""
    file, key = folder / "cert.pem", folder / "key.pem"
    made = ("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "1",
            "-keyout", key, "-out", file, "-subj", "/CN=tests", "-addext",
            "subjectAltName=DNS:good.example,DNS:other.example,DNS:front.example")
    subprocess.run(made, check=True, capture_output=True)
    return file


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()


def get(url: str, *headers: str, method: str = "GET", close: bool = True) -> bytes:
    host = url.split("/")[2]
    lines = [f"{method} {url} HTTP/1.1", f"Host: {host}", *headers, *(["Connection: close"] if close else [])]
    return "\r\n".join(lines).encode() + b"\r\n\r\n"


def port_of(url: str) -> int:
    return int(url.rpartition(":")[2])


async def inside(one: Proxy, target: str, name: str, context: ssl.SSLContext, data: bytes) -> bytes:
    """What an echo behind TLS gives back through a tunnel."""
    line, reader, writer = await one.connect(target)
    assert b"200" in line, line
    try:
        await writer.start_tls(context, server_hostname=name)
        writer.write(data)
        return await reader.readexactly(len(data))
    finally:
        writer.transport.abort()
