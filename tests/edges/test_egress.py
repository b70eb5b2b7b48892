"""The way out of a sandbox: what is allowed goes through byte for byte, all else is refused with a sentence and told."""

import asyncio
import hashlib
import os
import random
from typing import TYPE_CHECKING

import pytest

from andon.gateway import egress as product, limits
from egresskit import Proxy, echo, get, port_of, proxy, server
from gatewaykit import Asked, body_of, provider
from support import wait_for

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"


# -- what goes through


@pytest.mark.parametrize("seed", range(12))
async def test_whatever_is_sent_in_whatever_parts_arrives_as_it_was_sent(seed: int) -> None:
    chance = random.Random(seed)
    there, back = chance.randbytes(chance.choice((0, 1, 70_000, 900_000))), chance.randbytes(chance.choice((0, 1, 70_000, 900_000)))

    async def parts(writer: asyncio.StreamWriter, data: bytes) -> None:
        while data:
            size = chance.choice((1, 100, 65_536, 200_000))
            writer.write(data[:size])
            data = data[size:]
            await writer.drain()
        writer.write_eof()

    got: list[bytes] = []

    async def speech(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(parts(writer, back))
            got.append(await reader.read(-1))

    async with server(speech) as port, proxy("good.example:9000", p9000=port) as one, asyncio.timeout(20):
        _, reader, writer = await one.connect("good.example:9000")
        async with asyncio.TaskGroup() as group:
            group.create_task(parts(writer, b"x" + there))
            heard = await reader.read(-1)
        writer.close()
    assert (got, heard) == ([b"x" + there], back)


async def test_the_end_of_one_side_is_passed_on_and_the_other_goes_on() -> None:
    async def speech(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked = await reader.read(-1)
        for _ in range(3):
            writer.write(asked)
            await asyncio.sleep(0)

    async with server(speech) as port, proxy("good.example:9000", p9000=port) as one, asyncio.timeout(10):
        _, reader, writer = await one.connect("good.example:9000")
        writer.write(b"all of it")
        writer.write_eof()
        assert await reader.read(-1) == b"all of it" * 3
        writer.close()


async def test_a_server_that_speaks_first_is_heard_on_a_port_of_its_own() -> None:
    async def speech(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 hello\r\n")
        assert await reader.readline() == b"SSH-2.0-x\r\n"
        writer.write(b"bye")

    async with server(speech) as port, proxy("good.example:22", p22=port) as one, asyncio.timeout(10):
        _, reader, writer = await one.connect("good.example:22")
        assert await reader.readline() == b"220 hello\r\n"
        writer.write(b"SSH-2.0-x\r\n")
        assert await reader.read(-1) == b"bye"
        writer.close()


async def test_a_plain_request_goes_out_in_origin_form_and_its_answer_comes_back_as_it_was() -> None:
    said = b"HTTP/1.1 418 Tea Pot\r\nX-Odd-CASE: a  b\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\nContent-Length: 3\r\n\r\n\x00\xff!"
    async with provider(said) as upstream, proxy("good.example", p80=port_of(upstream.url)) as one:
        got = await one.say(get("http://good.example/a%2Fb//c?q=%20x+y", "X-My-Case: 1", "Proxy-Authorization: Basic c2VjcmV0",
                                "Proxy-Connection: keep-alive", "X-Hop: 1", "Connection: X-Hop"))
    head, _, body = got.partition(b"\r\n\r\n")
    assert head.split(b"\r\n")[:4] == said.split(b"\r\n")[:4] and body == b"\x00\xff!"
    asked = upstream.asked[0]
    assert asked.line == b"GET /a%2Fb//c?q=%20x+y HTTP/1.1"
    assert asked.headers == [b"Host: good.example", b"X-My-Case: 1", b"Connection: close"]


async def test_bodies_of_both_ways_arrive_whole_chunked_or_not() -> None:
    data, got = os.urandom(2_000_000), []

    async def speech(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        body = await body_of(head, reader)
        got.append(body)
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n" % len(body))
        writer.write(body + b"\r\n0\r\nX-After: 1\r\n\r\n")
        await writer.drain()

    async with server(speech) as port, proxy("good.example", p80=port) as one, asyncio.timeout(20):
        for framing in (f"Content-Length: {len(data)}", "Transfer-Encoding: chunked"):
            sent = data if "Length" in framing else b"%x;a=b\r\n%b\r\n0\r\n\r\n" % (len(data), data)
            reader, writer = await one.open()
            async with asyncio.TaskGroup() as group:
                asking = get("http://good.example/up", framing, "Expect: 100-continue", method="PUT")
                writer.write(asking)
                assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 \r\n\r\n"
                writer.write(sent)
                group.create_task(writer.drain())
                head = await reader.readuntil(b"\r\n\r\n")
                answer = await reader.read(-1)
            writer.close()
            assert b"Transfer-Encoding: chunked" in head and answer.endswith(b"0\r\nX-After: 1\r\n\r\n")
    assert [hashlib.sha256(one).digest() for one in got] == [hashlib.sha256(data).digest()] * 2


async def test_a_kept_connection_asks_the_list_again_for_every_request() -> None:
    async with provider(OK) as upstream, proxy("good.example", "other.example", p80=port_of(upstream.url)) as one:
        reader, writer = await one.open()
        for host in ("good", "other", "good"):
            writer.write(get(f"http://{host}.example/", close=False))
            assert b" 200 " in await reader.readline()
            assert (await reader.readuntil(b"hi")).endswith(b"hi")
        one.allow("other.example")
        writer.write(get("http://good.example/", close=False))
        assert b" 403 " in await reader.readline()
        writer.close()
    assert [line.headers[0] for line in upstream.asked] == [b"Host: good.example", b"Host: other.example", b"Host: good.example"]


async def test_an_answer_that_breaks_off_is_never_taken_for_a_whole_one() -> None:
    async def speech(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, asked: Asked) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")

    async with provider(speech) as upstream, proxy("good.example", p80=port_of(upstream.url)) as one:
        got = await one.say(get("http://good.example/"))
        assert got.endswith(b"3\r\nabc\r\n") and b"200" in got
    async with provider(b"SSH-2.0-x\r\n") as upstream, proxy("good.example", p80=port_of(upstream.url)) as one:
        assert (await one.say(get("http://good.example/"))).startswith(b"HTTP/1.1 502 ")


async def test_a_client_of_an_old_version_gets_its_answer_to_the_end_of_the_connection() -> None:
    said = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nX-After: 1\r\n\r\n"
    async with provider(said) as upstream, proxy("good.example", p80=port_of(upstream.url)) as one:
        got = await one.say(b"GET http://good.example/ HTTP/1.0\r\n\r\n")
    assert got == b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhi"


async def test_a_client_that_does_not_read_holds_the_server_back() -> None:
    sent, held = 0, asyncio.Event()

    async def speech(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        while not held.is_set():
            writer.write(bytes(2**18))
            sent += 2**18
            try:
                await asyncio.wait_for(writer.drain(), 0.5)
            except TimeoutError:
                held.set()
        writer.transport.abort()

    async with server(speech) as port, proxy("good.example:9000", p9000=port) as one, asyncio.timeout(20):
        reader, writer = await asyncio.open_unix_connection(str(one.path), limit=2**14)
        writer.write(b"CONNECT good.example:9000 HTTP/1.1\r\nHost: x\r\n\r\n")
        await held.wait()
        assert sent < 32 * 2**20 and reader is not None
        writer.transport.abort()


# -- what is refused


@pytest.mark.parametrize("asked", [
    b"CONNECT evil.example:443 HTTP/1.1\r\nHost: good.example:443\r\n\r\n", b"CONNECT good.example:22 HTTP/1.1\r\nHost: x\r\n\r\n",
    get("http://evil.example/?secret=1"), get("http://good.example:8080/"), get("http://good.example.evil.example/"),
    b"GET http://evil.example/ HTTP/1.1\r\nHost: good.example\r\n\r\n", get("http://127.0.0.1/"), get("http://[::1]/")])
async def test_what_is_not_listed_is_refused_with_the_way_to_mend_it_and_never_resolved(asked: bytes) -> None:
    async with proxy("good.example", p443=1, p80=1) as one:
        got = await one.say(asked)
        assert got.startswith(b"HTTP/1.1 403 ") and b"[sandbox] hosts in andon.toml" in got
        assert one.world.asked == [] and one.world.met == []
        await wait_for(one.told)
        assert [line.allowed for line in one.told()] == [False] and one.told()[0].rule == "not listed"


@pytest.mark.parametrize("address", [
    "127.0.0.1", "169.254.169.254", "10.0.0.7", "0.0.0.0", "::1", "::ffff:7f00:1", "fd00:ec2::254", "93.184.215.99",
    "64:ff9b::7f00:1"])
async def test_a_listed_name_that_leads_inside_is_refused_until_that_address_is_listed(address: str) -> None:
    async with provider(OK) as upstream, proxy("good.example", p80=port_of(upstream.url)) as one:
        one.world.names["good.example"] = [address]
        got = await one.say(get("http://good.example/"))
        assert got.startswith(b"HTTP/1.1 403 ") and f"adding {address} to".encode() in got and one.world.met == []
        assert (await one.tells("good.example:80", False)).rule.startswith("leads to ")
        one.allow("good.example", address)
        assert (await one.say(get("http://good.example/"))).endswith(b"hi")


async def test_a_name_that_leads_elsewhere_a_moment_later_is_judged_and_used_by_one_answer() -> None:
    async with provider(OK) as upstream, proxy("good.example", p80=port_of(upstream.url)) as one:
        answers = [["93.184.215.14"], ["127.0.0.1"]]

        async def changing(host: str, port: int) -> list[object]:
            one.world.names[host] = answers.pop(0)
            return list(await one.world.resolve(host, port))

        one.way._dial._resolve = changing  # type: ignore[assignment]  # a name server that lies the second time
        assert (await one.say(get("http://good.example/"))).endswith(b"hi")
        assert (await one.say(get("http://good.example/"))).startswith(b"HTTP/1.1 403 ")
        assert one.world.met == [("93.184.215.14", 80)]


async def test_of_several_addresses_only_those_of_the_open_internet_are_used() -> None:
    async with provider(OK) as upstream, proxy("good.example", p80=port_of(upstream.url)) as one:
        one.world.names["good.example"] = ["127.0.0.1", "93.184.215.14"]
        assert (await one.say(get("http://good.example/"))).endswith(b"hi")
        assert one.world.met == [("93.184.215.14", 80)]


@pytest.mark.parametrize("asked", [
    b"GET http://user:pw@good.example/ HTTP/1.1\r\nHost: good.example\r\n\r\n",
    b"GET http://good.example@evil.example/ HTTP/1.1\r\nHost: good.example\r\n\r\n",
    b"GET http://good.example\\@evil.example/ HTTP/1.1\r\nHost: good.example\r\n\r\n",
    b"GET http://good.example/#@evil.example HTTP/1.1\r\nHost: good.example\r\n\r\n",
    b"GET http://0177.0.0.1/ HTTP/1.1\r\nHost: x\r\n\r\n", b"GET http://2130706433/ HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET http://good%2eexample/ HTTP/1.1\r\nHost: x\r\n\r\n", b"GET / HTTP/1.1\r\nHost: good.example\r\n\r\n",
    b"GET https://good.example/ HTTP/1.1\r\nHost: good.example\r\n\r\n", b"GET ftp://good.example/ HTTP/1.1\r\nHost: x\r\n\r\n",
    b"CONNECT good.example HTTP/1.1\r\nHost: x\r\n\r\n", b"CONNECT u@good.example:443 HTTP/1.1\r\nHost: x\r\n\r\n",
    b"CONNECT http://good.example:443 HTTP/1.1\r\nHost: x\r\n\r\n", b"\x16\x03\x01\x00\x05hello\r\n\r\n", b"SSH-2.0-x\r\n\r\n",
])
async def test_a_target_that_can_be_read_in_two_ways_is_no_good_request(asked: bytes) -> None:
    async with provider(OK) as upstream, proxy("good.example", p80=port_of(upstream.url), p443=port_of(upstream.url)) as one:
        assert (await one.say(asked)).startswith(b"HTTP/1.1 400 ")
        assert one.world.met == [] and upstream.connections == 0
        await wait_for(one.told)
        assert [line.allowed for line in one.told()] == [False] and b"pw" not in (one.folder / "access.jsonl").read_bytes()


@pytest.mark.parametrize("headers", [
    ("Content-Length: 3", "Transfer-Encoding: chunked"), ("Content-Length: 3", "Content-Length: 4"),
    ("Transfer-Encoding: gzip, chunked",), ("Transfer-Encoding: chunked", "Transfer-Encoding: identity"),
    ("Transfer-Encoding : chunked",), ("Content-Length: +3",),
    ("Content-Length: 0x3",), ("Content-Length: -1",), ("Transfer-Encoding: xchunked",), ("Host: evil.example",), ("Bad Name: x",),
    ("X: a\x00b",), ("Transfer-Encoding:\x0bchunked",),
])
async def test_a_request_whose_length_or_host_can_be_read_in_two_ways_goes_nowhere(headers: tuple[str, ...]) -> None:
    async with provider(OK) as upstream, proxy("good.example", p80=port_of(upstream.url)) as one:
        body = b"0\r\n\r\nGET http://evil.example/ HTTP/1.1\r\nHost: evil.example\r\n\r\n"
        got = await one.say(get("http://good.example/", *headers, method="POST", close=False) + body)
        assert got.startswith((b"HTTP/1.1 400 ", b"HTTP/1.1 501 ")) and got.count(b"HTTP/1.1") == 1
        assert one.world.met == []


async def test_a_request_hidden_behind_another_is_judged_like_any_other() -> None:
    async with provider(OK) as upstream, proxy("good.example", p80=port_of(upstream.url)) as one:
        first = get("http://good.example/", "Content-Length: 0", close=False)
        got = await one.say(first + get("http://evil.example/?leak=1"))
        assert got.count(b"HTTP/1.1 200") == 1 and got.count(b"HTTP/1.1 403") == 1
        assert [asked.headers[0] for asked in upstream.asked] == [b"Host: good.example"]


async def test_bare_line_ends_and_folds_are_written_anew_before_they_go_on() -> None:
    async with provider(OK) as upstream, proxy("good.example", p80=port_of(upstream.url)) as one:
        await one.say(b"GET http://good.example/ HTTP/1.1\nHost: good.example\nX-A: 1\r\n folded\nConnection: close\n\n")
        assert all(line.count(b"\n") == 0 for asked in upstream.asked for line in asked.headers)
        assert upstream.asked == [] or upstream.asked[0].headers == [b"Host: good.example", b"X-A: 1 folded", b"Connection: close"]


@pytest.mark.parametrize("huge", [b"X: " + b"a" * 2**20, b"\r\n".join(b"X%d: 1" % n for n in range(300)), b"GET /" + b"a" * 2**18])
async def test_a_head_beyond_the_bounds_is_refused(huge: bytes) -> None:
    async with provider(OK) as upstream, proxy("good.example", p80=port_of(upstream.url)) as one:
        got = await one.say(b"GET http://good.example/ HTTP/1.1\r\nHost: good.example\r\n" + huge + b"\r\n\r\n")
        assert got.startswith((b"HTTP/1.1 431 ", b"HTTP/1.1 400 ")) and upstream.connections == 0


async def test_no_bytes_of_a_client_or_a_server_leave_an_error_behind() -> None:
    chance, faults = random.Random(7), []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: faults.append(context))
    seeds = [get("http://good.example/", "Content-Length: 5", method="POST") + b"hello",
             get("http://good.example/x", close=False) * 3,
             b"CONNECT good.example:80 HTTP/1.1\r\nHost: x\r\n\r\nGET / HTTP/1.1\r\nHost: good.example\r\n\r\n",
             b"CONNECT good.example:443 HTTP/1.1\r\nHost: x\r\n\r\n\x16\x03\x01\x00\x09\x01\x00\x00\x05hello",
             get("http://good.example/", "Transfer-Encoding: chunked", method="PUT") + b"3\r\nabc\r\n0\r\n\r\n"]

    def spoiled(data: bytes) -> bytes:
        parts = bytearray(data)
        for _ in range(chance.randint(0, 4)):
            at = chance.randrange(len(parts))
            parts[at:at + chance.randint(0, 3)] = chance.choice((b"", b"\r\n", b"\0", b" ", b":", chance.randbytes(2)))
        return bytes(parts[:chance.randint(1, len(parts) + 1)])

    async def speech(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(spoiled(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX: y\r\n\r\n3\r\nabc\r\n0\r\n\r\n"))

    async with server(speech) as port, proxy("good.example", p80=port, p443=port) as one, asyncio.timeout(60):
        for _ in range(20):
            async with asyncio.TaskGroup() as group:
                for _ in range(20):
                    group.create_task(one.say(spoiled(chance.choice(seeds))))
        await wait_for(lambda: not one.way.live)
    assert faults == [] and {one for one in asyncio.all_tasks() if one.done() and one.exception()} == set()


# -- bounds and lists


async def test_a_list_that_is_gone_broken_a_link_or_a_pipe_allows_nothing() -> None:
    async with provider(OK) as upstream, proxy("good.example", p80=port_of(upstream.url)) as one, asyncio.timeout(20):
        file = one.folder / "egress.json"
        good = file.read_bytes()
        aside = one.folder / "aside"
        aside.write_bytes(good)
        breaks: list[Callable[[Path], object]] = [
            lambda path: path.write_bytes(b"{"), lambda path: path.write_bytes(good + b" " * product.LIST_BYTES),
            lambda path: path.symlink_to(aside), os.mkfifo, lambda path: path.mkdir(), lambda path: None]
        assert (await one.say(get("http://good.example/"))).endswith(b"hi")
        for spoil in breaks:
            file.rmdir() if file.is_dir() and not file.is_symlink() else file.unlink()
            spoil(file)
            for _ in range(2):
                assert (await one.say(get("http://good.example/"))).startswith(b"HTTP/1.1 403 ")
        if file.is_dir():
            file.rmdir()
        one.allow("good.example")
        assert (await one.say(get("http://good.example/"))).endswith(b"hi")


async def test_a_thousand_connections_of_one_job_are_bounded_and_all_served(monkeypatch: pytest.MonkeyPatch) -> None:
    at_once, most = 0, 0

    async def speech(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        data = await reader.read(10)
        at_once -= 1
        writer.write(data)

    async def one_of(one: Proxy) -> bytes:
        reader, writer = await one.open()
        try:
            writer.write(b"CONNECT good.example:9000 HTTP/1.1\r\nHost: x\r\n\r\n")
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"0123456789")
            return await reader.readexactly(10)
        finally:
            writer.close()

    async with server(speech) as port, proxy("good.example:9000", p9000=port) as one, asyncio.timeout(60):
        async with asyncio.TaskGroup() as group:
            asking = [group.create_task(one_of(one)) for _ in range(1000)]
        assert {done.result() for done in asking} == {b"0123456789"}
        assert 0 < most <= limits.CONNECTIONS
        await wait_for(lambda: not one.way.live)
        assert len(one.told()) < 10


async def test_beyond_all_bounds_one_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(product, "CONNECTIONS", 2)
    monkeypatch.setattr(product, "WAITING", 2)
    async with server(echo) as port, proxy("good.example:9000", p9000=port) as one:
        held = [await one.open() for _ in range(4)]
        await wait_for(lambda: len(one.way.live) == 4)
        assert (await one.say(b"")).startswith(b"HTTP/1.1 503 ")
        for _, writer in held:
            writer.close()
        await wait_for(lambda: not one.way.live)


async def test_one_who_says_nothing_or_a_little_at_a_time_is_sent_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(product, "HEAD_S", 0.3)
    async with server(echo) as port, proxy("good.example", p443=port) as one, asyncio.timeout(10):
        for said in (b"", b"GET http://good.example/ HTTP/1.1\r\nX: "):
            reader, writer = await one.open()
            writer.write(said)
            assert await reader.read(-1) == b""
            writer.close()
        _, reader, writer = await one.connect("good.example:443")
        writer.write(b"\x16\x03\x01\x02\x00\x01")
        assert await reader.read(-1) == b""
        writer.close()


async def test_a_tunnel_in_which_nobody_speaks_is_closed_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    gone = asyncio.Event()

    async def speech(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(-1)
        gone.set()

    monkeypatch.setattr("andon.gateway.relay.Watchdog.__init__.__kwdefaults__", {"seconds": 0.4})
    async with server(speech) as port, proxy("good.example:9000", p9000=port) as one, asyncio.timeout(10):
        _, reader, writer = await one.connect("good.example:9000")
        assert await reader.read(-1) == b""
        writer.close()
        await gone.wait()


async def test_many_different_hosts_are_told_up_to_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("andon.gateway.told.ACCESS_KINDS", 20)
    async with proxy("good.example") as one:
        for number in range(60):
            await one.say(f"CONNECT h{number}.evil.example:443 HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        one.way._told.close()
        await wait_for(lambda: sum(line.times for line in one.told()) == 60)
        names = {line.what for line in one.told()}
        assert len(names) == 21 and "other hosts" in names


async def test_what_is_told_holds_no_path_no_query_and_no_credential() -> None:
    secret = "sekrit-0123456789"
    async with provider(OK) as upstream, proxy("good.example", p80=port_of(upstream.url)) as one:
        for host in ("good", "evil"):
            await one.say(get(f"http://{host}.example/{secret}?key={secret}", f"Authorization: Bearer {secret}",
                              f"Proxy-Authorization: Basic {secret}", f"Cookie: {secret}"))
        await one.say(f"GET http://{secret}@good.example/ HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        await wait_for(lambda: len(one.told()) == 3)
        assert {line.kind for line in one.told()} == {"host"}
        assert secret.encode() not in b"".join(file.read_bytes() for file in one.folder.iterdir())
