"""Tunnels through the way out: what may be said in them, and where they lead on through a network's own proxy."""

import asyncio
import hashlib
import os
import ssl

import pytest

from andon.gateway.allow import Target
from andon.gateway.beyond import beyond
from egresskit import certificate, echo, inside, port_of, proxy, server
from gatewaykit import provider

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Of a server that has a certificate for all names, and of clients that trust it."""
    file = certificate(tmp_path_factory.mktemp("tls"))
    theirs = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    theirs.load_cert_chain(file, file.with_name("key.pem"))
    return theirs, ssl.create_default_context(cafile=str(file))


async def test_a_tunnel_carries_tls_for_its_name_byte_for_byte(tls: tuple[ssl.SSLContext, ssl.SSLContext]) -> None:
    data = os.urandom(3_000_000)
    async with server(echo, tls[0]) as port, proxy("good.example", p443=port) as one:
        line, reader, writer = await one.connect("good.example:443")
        assert line == b"HTTP/1.1 200 Connection established"
        await writer.start_tls(tls[1], server_hostname="good.example")
        async with asyncio.TaskGroup() as group:
            reading = group.create_task(reader.readexactly(len(data)))
            writer.write(data)
            await writer.drain()
        writer.transport.abort()
        assert hashlib.sha256(reading.result()).digest() == hashlib.sha256(data).digest()
        assert (await one.tells("good.example:443", True)).rule == "good.example"
        assert one.world.met == [("93.184.215.14", 443)]


async def test_another_server_name_inside_a_tunnel_is_refused_and_the_client_hears_so(
    tls: tuple[ssl.SSLContext, ssl.SSLContext],
) -> None:
    async with server(echo, tls[0]) as port, proxy("front.example", p443=port) as one:
        with pytest.raises(ssl.SSLError, match=r"(?i)access.denied"):
            await inside(one, "front.example:443", "other.example", tls[1], b"hello")
        assert (await one.tells("other.example:443", False)).rule == "server name inside a tunnel to front.example"
        one.allow("front.example", "other.example")
        assert await inside(one, "front.example:443", "other.example", tls[1], b"hello") == b"hello"


async def test_tls_without_a_name_goes_to_a_listed_address_and_to_no_name(tls: tuple[ssl.SSLContext, ssl.SSLContext]) -> None:
    nameless = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    nameless.check_hostname, nameless.verify_mode = False, ssl.CERT_NONE
    async with server(echo, tls[0]) as port, proxy("front.example", "10.0.0.9", p443=port) as one:
        assert await inside(one, "10.0.0.9:443", "", nameless, b"hello") == b"hello"
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await inside(one, "front.example:443", "", nameless, b"hello")
        assert (await one.tells("front.example:443", False)).rule == "TLS without a server name"


@pytest.mark.parametrize("first", [
    b"GET / HTTP/1.1\r\nHost: evil\r\n\r\n", b"SSH-2.0-x\r\n", b"\x16\x03\x01\x00\x00", b"\x16\x03\x01\x00\x01\x02"])
async def test_what_is_no_tls_never_leaves_on_its_port(first: bytes) -> None:
    got = b""

    async def speech(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal got
        got += await reader.read(-1)

    async with server(speech) as port, proxy("good.example", p443=port) as one, asyncio.timeout(10):
        _, reader, writer = await one.connect("good.example:443")
        writer.write(first)
        writer.write_eof()
        await reader.read(-1)
        writer.close()
        assert got == b"" and await one.tells("good.example:443", False)


async def test_plain_requests_in_a_tunnel_are_held_to_its_host_one_by_one() -> None:
    async with provider(OK) as upstream, proxy("good.example", p80=port_of(upstream.url)) as one:
        _, reader, writer = await one.connect("good.example:80")
        writer.write(b"GET /a HTTP/1.1\r\nHost: good.example\r\n\r\n")
        await reader.readuntil(b"hi")
        writer.write(b"GET /b HTTP/1.1\r\nHost: evil.example\r\n\r\n")
        assert b" 403 " in await reader.readline()
        writer.close()
        assert [asked.line for asked in upstream.asked if asked.head] == [b"GET /a HTTP/1.1"]
        assert (await one.tells("evil.example:80", False)).rule == "in a tunnel to good.example:80"


async def test_tls_on_another_port_is_held_to_the_same_rule(tls: tuple[ssl.SSLContext, ssl.SSLContext]) -> None:
    async with server(echo, tls[0]) as port, proxy("front.example:8443", p8443=port) as one:
        assert await inside(one, "front.example:8443", "front.example", tls[1], b"hello") == b"hello"
        with pytest.raises(ssl.SSLError, match=r"(?i)access.denied"):
            await inside(one, "front.example:8443", "other.example", tls[1], b"hello")


async def test_where_everything_is_allowed_all_is_told_and_this_machine_stays_closed(
    tls: tuple[ssl.SSLContext, ssl.SSLContext],
) -> None:
    async with server(echo, tls[0]) as port, proxy(p443=port, p22=port) as one:
        one.allow(everything=True)
        assert await inside(one, "front.example:443", "other.example", tls[1], b"hello") == b"hello"
        assert (await one.tells("front.example:443", True)).rule == "everything"
    async with server(echo) as port, proxy(p443=port) as one:
        one.allow(everything=True)
        _, reader, writer = await one.connect("front.example:443")
        writer.write(b"no TLS")
        assert await reader.readexactly(6) == b"no TLS"
        writer.close()
        one.world.names["bad.example"] = ["127.0.0.1"]
        line, _, writer = await one.connect("bad.example:443")
        writer.close()
        assert b" 403 " in line


async def test_where_the_network_has_a_proxy_the_way_leads_through_it(tls: tuple[ssl.SSLContext, ssl.SSLContext]) -> None:
    heads: list[bytes] = []

    async def speech(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await reader.readuntil(b"\r\n\r\n"))
        if b"closed.example" in heads[-1]:
            writer.write(b"HTTP/1.1 407 No\r\nContent-Length: 0\r\n\r\n")
            return
        writer.write(b"HTTP/1.1 200 Fine\r\n\r\n220 early\r\n")
        await echo(reader, writer)

    async with server(speech) as port, proxy("good.example:22", "closed.example:22", p3128=port) as one, asyncio.timeout(10):
        one.world.beyond = (Target("10.9.9.9", 3128), "Basic dTpw")
        line, reader, writer = await one.connect("good.example:22")
        writer.write(b"there")
        assert b" 200 " in line and await reader.readexactly(16) == b"220 early\r\nthere"
        writer.close()
        assert heads == [b"CONNECT good.example:22 HTTP/1.1\r\nHost: good.example:22\r\nProxy-Authorization: Basic dTpw\r\n\r\n"]
        assert (await one.say(b"CONNECT closed.example:22 HTTP/1.1\r\nHost: x\r\n\r\n")).startswith(b"HTTP/1.1 502 ")
        one.world.names["good.example"] = ["127.0.0.1"]
        assert (await one.say(b"CONNECT good.example:22 HTTP/1.1\r\nHost: x\r\n\r\n")).startswith(b"HTTP/1.1 403 ")
        one.world.names["good.example"] = []
        line, reader, writer = await one.connect("good.example:22")
        writer.close()
        assert b" 200 " in line and b"dTpw" not in (one.folder / "access.jsonl").read_bytes()


def test_the_network_proxy_is_the_one_that_the_environment_names(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    assert beyond(Target("a.example", 443)) is None
    monkeypatch.setenv("https_proxy", "http://u:p@proxy.corp:3128")
    monkeypatch.setenv("no_proxy", "inside.example")
    assert beyond(Target("a.example", 443)) == (Target("proxy.corp", 3128), "Basic dTpw")
    assert beyond(Target("a.example", 22)) == (Target("proxy.corp", 3128), "Basic dTpw")
    assert [beyond(Target(*where)) for where in (("a.example", 80), ("x.inside.example", 443), ("10.0.0.1", 443))] == [None] * 3
