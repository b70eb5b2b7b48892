"""What goes through the gateway comes out as it went in: every byte, every header, every cut, and no sooner and no later."""

import asyncio
import gzip
import hashlib
import os
import ssl
import subprocess
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import aiohttp
import pytest
from aiohttp.base_protocol import BaseProtocol

from andon.gateway.forward import parts_of
from gatewaykit import Asked, Got, Provider, Running, ask, free_port, provider, request, running_gateway
from support import wait_for

NUMBER = count()
KEY = "sk-live-very-secret-key-0123456789"
SSE = b"".join(b"event: e\ndata: {\"n\": %d, \"text\": \"\xe2\x9c\x93 \xf0\x9f\x8f\xad\"}\n\n" % n for n in range(50))


@pytest.fixture(scope="module")
def gateway() -> Iterator[Running]:
    with running_gateway() as one:
        yield one


def new(gateway: Running, upstream: Provider | str) -> tuple[str, str]:
    """An attempt of one's own and its path."""
    attempt = f"T{next(NUMBER)}.1"
    return attempt, gateway.route(attempt, upstream if isinstance(upstream, str) else upstream.url)


async def through(gateway: Running, upstream: Provider, body: bytes, *headers: str, path: str = "/v1/messages",
                  method: str = "POST") -> tuple[str, Got]:
    attempt, base = new(gateway, upstream)
    return attempt, await ask(gateway.port, request(base + path, body, *headers, method=method))


def whole(body: bytes, *headers: bytes, status: bytes = b"200 OK") -> bytes:
    return b"HTTP/1.1 %s\r\n%s\r\n\r\n%s" % (status, b"\r\n".join((*headers, b"Content-Length: %d" % len(body))), body)


async def test_a_request_arrives_as_it_was_sent(gateway: Running) -> None:
    odd = ("X-Api-Key: " + KEY, "x-weird-CASE: a  b", "Accept: one", "Accept: two", "X-Empty:",
           "X-Utf: gr\u00fcn", "User-Agent: agent/1")
    async with provider(whole(b"ok")) as upstream:
        path = "/v1/a%2Fb//c;d/messages?beta=true&q=%20x+y&z=%E2%9C%93"
        hops = ("Connection: close, X-Hop", "X-Hop: 1", "TE: trailers")
        _, got = await through(gateway, upstream, b'{"a": 1}', *odd, *hops, path=path)
    asked = upstream.asked[0]
    assert got.body == b"ok"
    assert asked.line == f"POST {path} HTTP/1.1".encode()
    assert asked.body == b'{"a": 1}'
    ours = [line for line in asked.headers if not line.lower().startswith((b"host:", b"content-length:"))]
    assert [line.replace(b": ", b":") for line in ours] == [line.encode().replace(b": ", b":") for line in odd]
    assert [line for line in asked.headers if line.lower().startswith(b"host:")] == [b"Host: " + upstream.url[7:].encode()]


@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE", "OPTIONS", "HEAD"])
async def test_every_method_goes_through(gateway: Running, method: str) -> None:
    said = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
    async with provider(said) as upstream:
        attempt, base = new(gateway, upstream)
        await ask(gateway.port, request(base + "/v1/models", method=method))
        assert upstream.asked[0].line == f"{method} /v1/models HTTP/1.1".encode()
        assert gateway.calls(attempt) == []


async def test_a_chunked_request_arrives_whole(gateway: Running) -> None:
    async with provider(whole(b"ok")) as upstream:
        _, base = new(gateway, upstream)
        head = request(base + "/v1/messages", b"", "Transfer-Encoding: chunked")
        await ask(gateway.port, head + b"5\r\nhello\r\n1\r\n \r\n5;x=y\r\nworld\r\n0\r\n\r\n")
        assert upstream.asked[0].body == b"hello world"


@pytest.mark.parametrize("status", [b"200 OK", b"201 Made", b"302 Found", b"400 Bad Request", b"401 Unauthorized", b"404 Not Found",
                                    b"429 Too Many Requests", b"500 Oh No", b"529 Site is overloaded"])
async def test_status_words_and_headers_come_back_as_they_were_said(gateway: Running, status: bytes) -> None:
    said = (b"X-Request-ID: 1", b"set-cookie: a=1", b"set-cookie: b=2", b"Retry-After: 7", b"Location: http://elsewhere.example/")
    async with provider(whole(b"{}", *said, status=status)) as upstream:
        _, got = await through(gateway, upstream, b"{}")
    assert got.head.split(b"\r\n")[0] == b"HTTP/1.1 " + status
    assert got.headers == [*said, b"Content-Length: 2"]
    assert upstream.connections == 1


async def test_an_answer_without_a_body_has_none(gateway: Running) -> None:
    async with provider(b"HTTP/1.1 204 No Content\r\nX-A: 1\r\n\r\n") as upstream:
        _, got = await through(gateway, upstream, b"{}")
    assert (got.status, got.body, got.headers) == (204, b"", [b"X-A: 1"])


async def test_compressed_bodies_are_left_as_they_are_both_ways(gateway: Running) -> None:
    packed = gzip.compress(SSE)
    async with provider(whole(packed, b"Content-Encoding: gzip", b"Content-Type: text/event-stream")) as upstream:
        asked = gzip.compress(b'{"model": "m"}')
        _, got = await through(gateway, upstream, asked, "Content-Encoding: gzip", "Accept-Encoding: gzip, br")
    assert got.body == packed and b"Content-Encoding: gzip" in got.headers
    assert gzip.decompress(upstream.asked[0].body) == b'{"model": "m"}'
    assert b"Accept-Encoding: gzip, br" in upstream.asked[0].headers


async def test_a_coding_that_nobody_knows_goes_through(gateway: Running) -> None:
    data = os.urandom(10_000)
    async with provider(whole(data, b"Content-Encoding: zstd")) as upstream:
        attempt, got = await through(gateway, upstream, data, "Content-Encoding: br")
    assert got.body == data and upstream.asked[0].body == data
    assert gateway.ended(attempt)[0].usage is None


@pytest.mark.parametrize("cut", [1, 7, 100, 4096])
async def test_an_event_stream_comes_back_byte_for_byte_however_it_is_cut_up(gateway: Running, cut: int) -> None:
    async def speech(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, asked: Asked) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
        for at in range(0, len(SSE), cut):
            part = SSE[at:at + cut]
            writer.write(b"%x\r\n%s\r\n" % (len(part), part))
            await writer.drain()
        writer.write(b"0\r\n\r\n")
    async with provider(speech) as upstream:
        _, got = await through(gateway, upstream, b"{}")
    assert (got.body, got.clean) == (SSE, True)


async def test_each_byte_is_passed_on_before_the_next_one_is_said(gateway: Running) -> None:
    heard = asyncio.Semaphore(0)

    async def speech(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, asked: Asked) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        await heard.acquire()
        for letter in b"drip by drip":
            writer.write(b"1\r\n%c\r\n" % letter)
            await heard.acquire()
        writer.write(b"0\r\n\r\n")

    async with provider(speech) as upstream, asyncio.timeout(20):
        _, base = new(gateway, upstream)
        reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
        writer.write(request(base + "/v1/messages", b"{}"))
        await reader.readuntil(b"\r\n\r\n")  # the headers alone come first
        heard.release()
        said = b""
        for _ in b"drip by drip":
            await reader.readuntil(b"\r\n")
            said += (await reader.readexactly(3))[:1]
            heard.release()
        assert said == b"drip by drip"
        writer.close()


async def test_a_request_is_passed_on_before_its_end_is_known(gateway: Running) -> None:
    arrived = asyncio.Event()

    async def speech(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, asked: Asked) -> None:
        assert await reader.readexactly(5) == b"hello"
        arrived.set()
        assert await reader.readexactly(5) == b"world"
        writer.write(whole(b"ok"))

    async with provider(speech, reads_body=False) as upstream, asyncio.timeout(20):
        _, base = new(gateway, upstream)
        reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
        writer.write(request(base + "/v1/messages", b"", "Content-Length: 10") + b"hello")
        await arrived.wait()
        writer.write(b"world")
        assert (await reader.readline()).startswith(b"HTTP/1.1 200")
        writer.close()


async def test_sixty_four_megabytes_go_both_ways_unchanged(gateway: Running) -> None:
    data = os.urandom(2**20) * 64
    async with provider(whole(data[::-1])) as upstream:
        _, got = await through(gateway, upstream, data)
    assert hashlib.sha256(upstream.asked[0].body).digest() == hashlib.sha256(data).digest()
    assert hashlib.sha256(got.body).digest() == hashlib.sha256(data[::-1]).digest()


@pytest.mark.parametrize("said", [
    b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nonly this\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nff\r\nonly this",
], ids=["length", "between chunks", "in a chunk"])
async def test_a_cut_is_a_cut_for_the_client_too(gateway: Running, said: bytes) -> None:
    async with provider(said) as upstream:
        attempt, got = await through(gateway, upstream, b"{}")
    assert (got.status, got.clean) == (200, False) and b"only this" in got.body
    assert (gateway.ended(attempt)[0].error, gateway.ended(attempt)[0].status) == ("cut", 200)


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A certificate of our own for this machine, its key beside it."""
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    made = ("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "1",
            "-keyout", key, "-out", certificate, "-subj", "/CN=provider", "-addext", "subjectAltName=IP:127.0.0.1")
    subprocess.run(made, check=True, capture_output=True)
    return certificate


async def test_a_provider_behind_tls_is_reached_when_its_name_is_vouched_for_and_not_otherwise(
    gateway: Running, certificate: Path,
) -> None:
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(certificate, certificate.with_name("key.pem"))
    async with provider(whole(SSE), tls=tls) as upstream:
        with running_gateway(SSL_CERT_FILE=str(certificate)) as trusting:
            _, got = await through(trusting, upstream, b"{}")
        assert got.body == SSE
        attempt, got = await through(gateway, upstream, b"{}")
    assert got.head == b"" and gateway.ended(attempt)[0].error == "refused" and len(upstream.asked) == 1


@pytest.mark.parametrize("said", [b"", b"HTTP/1.1 2", b"nonsense\r\n\r\n"])
async def test_a_provider_that_breaks_off_before_its_answer_gives_none(gateway: Running, said: bytes) -> None:
    async with provider(said) as upstream:
        attempt, got = await through(gateway, upstream, b"{}")
    assert (got.head, got.clean) == (b"", False)
    assert (gateway.ended(attempt)[0].error, gateway.ended(attempt)[0].status) == ("cut", 0)


async def test_what_was_said_before_a_cut_arrives_however_slowly_the_client_reads(gateway: Running) -> None:
    data = os.urandom(2**20) * 6
    async with provider(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (2 * len(data)) + data) as upstream, asyncio.timeout(20):
        _, base = new(gateway, upstream)
        reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port, limit=2**14)
        writer.write(request(base + "/v1/messages", b"{}"))
        await upstream.closed.wait()
        await reader.readuntil(b"\r\n\r\n")
        assert await reader.read(-1) == data
        writer.close()


async def test_what_was_read_before_a_cut_is_given_before_the_cut_is() -> None:
    loop = asyncio.get_running_loop()
    reader = aiohttp.StreamReader(BaseProtocol(loop), 2**16, loop=loop)
    reader.feed_data(b"said before")
    reader.set_exception(aiohttp.ClientPayloadError("cut"))
    said = b""
    with pytest.raises(aiohttp.ClientPayloadError):
        async for part in parts_of(reader):
            said += part
    assert said == b"said before"


async def test_a_clean_end_is_no_cut(gateway: Running) -> None:
    async with provider(whole(b"done")) as upstream:
        attempt, got = await through(gateway, upstream, b"{}")
    assert got.clean and gateway.ended(attempt)[0].error == "" and gateway.ended(attempt)[0].bytes == 4


async def test_a_provider_that_cannot_be_reached_is_no_answer(gateway: Running) -> None:
    attempt, base = new(gateway, f"http://127.0.0.1:{free_port()}")
    got = await ask(gateway.port, request(base + "/v1/messages", b"{}"))
    assert (got.head, got.clean) == (b"", False)
    assert gateway.ended(attempt)[0].error == "refused"


@pytest.mark.parametrize(
    "said", [b"", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"], ids=["silent", "begun"])
async def test_when_the_client_hangs_up_the_provider_is_let_go(gateway: Running, said: bytes) -> None:
    met, gone = asyncio.Event(), asyncio.Event()

    async def speech(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, asked: Asked) -> None:
        writer.write(said)
        met.set()
        assert await reader.read(1) == b""
        gone.set()

    async with provider(speech) as upstream, asyncio.timeout(20):
        attempt, base = new(gateway, upstream)
        reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
        writer.write(request(base + "/v1/messages", b"{}"))
        await met.wait()
        if said:
            await reader.readuntil(b"abc")
        assert [call.phase for call in gateway.calls(attempt)][-1:] != ["ended"]
        writer.close()
        await gone.wait()
    assert gateway.ended(attempt)[0].error == "gone"


async def test_a_client_that_does_not_read_holds_the_provider_back(gateway: Running) -> None:
    sent, blocked = 0, asyncio.Event()

    async def speech(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, asked: Asked) -> None:
        nonlocal sent
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        while not blocked.is_set():
            writer.write(bytes(2**18))
            sent += 2**18
            try:
                await asyncio.wait_for(writer.drain(), 1.0)
            except TimeoutError:
                blocked.set()
        writer.transport.abort()

    async with provider(speech) as upstream, asyncio.timeout(30):
        _, base = new(gateway, upstream)
        reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port, limit=2**14)
        writer.write(request(base + "/v1/messages", b"{}"))
        await blocked.wait()
        assert sent < 48 * 2**20
        writer.transport.abort()
    assert reader is not None


@pytest.mark.parametrize("path", [
    "/a/{attempt}/a-token-of-this-sessiom/v1/messages", "/a/{attempt}/v1/messages", "/a/{attempt}//v1/messages", "/v1/messages",
    "/", "/a/T999.9/a-token-of-this-session/v1/messages", "/a/../{attempt}/a-token-of-this-session/v1/messages",
    "/a/{attempt}/a-token-of-this-sessionx/v1/messages", "/a/%2e%2e/a-token-of-this-session/x", "/_/guess",
])
async def test_without_the_right_token_nothing_reaches_the_provider(gateway: Running, path: str) -> None:
    async with provider(whole(b"ok")) as upstream:
        attempt, _ = new(gateway, upstream)
        got = await ask(gateway.port, request(path.format(attempt=attempt), b"{}", "x-api-key: " + KEY))
        assert got.status == 404 and upstream.connections == 0 and gateway.calls(attempt) == []


async def test_a_route_that_changes_counts_from_the_next_request_on(gateway: Running) -> None:
    async with provider(whole(b"one")) as one, provider(whole(b"two")) as two:
        attempt, base = new(gateway, one)
        assert (await ask(gateway.port, request(base + "/x"))).body == b"one"
        gateway.route(attempt, two.url)
        assert (await ask(gateway.port, request(base + "/x"))).body == b"two"


async def test_no_key_is_found_in_any_file_of_the_factory(gateway: Running) -> None:
    echo = b'{"type": "error", "error": {"type": "authentication_error", "message": "no such key: %s"}}' % KEY.encode()
    keys = (f"x-api-key: {KEY}", f"Authorization: Bearer {KEY}")
    async with provider(whole(echo, status=b"401 Unauthorized")) as upstream:
        attempt, _ = await through(gateway, upstream, b'{"messages": []}', *keys, path=f"/v1/messages?key={KEY}")
        _, base = new(gateway, upstream)
        await ask(gateway.port, request(base + "/x", b"", f"x-api-key: {KEY}\x01bad"))
    call = gateway.ended(attempt)[0]
    assert call.error == "authentication_error" and call.note == "no such key: …"
    files = [file for file in gateway.place.home.rglob("*") if file.is_file()]
    assert len(files) > 3 and [file for file in files if KEY.encode() in file.read_bytes()] == []


async def test_a_websocket_is_refused_before_the_provider_hears_of_it(gateway: Running) -> None:
    async with provider(whole(b"ok")) as upstream:
        _, base = new(gateway, upstream)
        upgrade = ("Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13",
                   "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==")
        got = await ask(gateway.port, request(base + "/v1/responses", b"", *upgrade, method="GET"))
        assert got.status == 426 and upstream.connections == 0


async def test_a_hundred_streams_at_once_do_not_mix(gateway: Running) -> None:
    together = asyncio.Barrier(100)

    async def speech(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, asked: Asked) -> None:
        await together.wait()
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ in range(20):
            writer.write(b"%x\r\n%s\r\n" % (len(asked.body), asked.body))
            await writer.drain()
        writer.write(b"0\r\n\r\n")

    async with provider(speech) as upstream, asyncio.timeout(60):
        attempt, base = new(gateway, upstream)
        bodies = [os.urandom(500) for _ in range(100)]
        async with asyncio.TaskGroup() as group:
            asked = [group.create_task(ask(gateway.port, request(base + "/v1/messages", body))) for body in bodies]
    assert [one.result().body for one in asked] == [body * 20 for body in bodies]
    assert len(gateway.ended(attempt, 100)) == 100


async def test_more_streams_than_the_bound_are_told_so_and_the_others_live(gateway: Running) -> None:
    met = 0
    free = asyncio.Event()

    async def speech(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, asked: Asked) -> None:
        nonlocal met
        met += 1
        await free.wait()
        writer.write(whole(b"at last"))

    async with provider(speech) as upstream, asyncio.timeout(60):
        _, base = new(gateway, upstream)
        async with asyncio.TaskGroup() as group:
            many = [group.create_task(ask(gateway.port, request(base + "/v1/x", b"{}"))) for _ in range(512)]
            await wait_for(lambda: met == 512, 30, what="512 streams")
            refused = await ask(gateway.port, request(base + "/v1/x", b"{}"))
            free.set()
    assert refused.status == 503 and b"retry-after: 1" in refused.headers
    assert {one.result().body for one in many} == {b"at last"}
