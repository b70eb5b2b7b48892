"""The sockets that lead out of sandboxes: there when asked for, there again after a kill, gone with their job, free when idle."""

import asyncio
import contextlib
import os
import signal
import stat
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import msgspec
import pytest

from andon.edges import jobs, process
from andon.edges.durable import write_file
from andon.edges.gateway import Gateway, socket_of, sockets_of
from andon.schema.errors import Mistake
from andon.schema.ids import AttemptId
from andon.schema.jobs import EGRESS, EXIT
from andon.schema.layout import SOCKET_PATH_LIMIT, Layout, layout
from andon.schema.sandbox import Egress
from bench.benchkit import wakings_of
from egresskit import server, told_in
from gatewaykit import ask, provider, request
from support import wait_for

HI = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Layout]:
    """A factory's place; its gateway is ended with the test."""
    one = layout(tmp_path / "factory")
    yield one
    await Gateway(one).stop()


def child_of(place: Layout) -> int:
    """The gateway's own process, below its shim."""
    seen = jobs.probe(place.job("gateway"))
    assert isinstance(seen, jobs.Running)
    return process.descendants(seen.started.pid)[0].pid


def to(*urls: str) -> Egress:
    return Egress(hosts=tuple(url.removeprefix("http://") for url in urls))


async def get(path: Path, url: str) -> bytes:
    """The answer to a plain request through a socket."""
    reader, writer = await asyncio.open_unix_connection(str(path))
    try:
        writer.write(f"GET {url}/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        return await reader.read(-1)
    finally:
        writer.close()


async def answers(path: Path, url: str) -> bool:
    with contextlib.suppress(OSError):
        return (await get(path, url)).endswith(b"hi")
    return False


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)


async def tunnel(path: Path, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_unix_connection(str(path))
    writer.write(f"CONNECT 127.0.0.1:{port} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    assert b" 200 " in await reader.readuntil(b"\r\n\r\n")
    writer.write(b"x")
    assert await reader.readexactly(1) == b"x"
    return reader, writer


async def test_a_job_gets_a_socket_of_its_own_and_each_its_own_list(place: Layout) -> None:
    async with provider(HI) as one, provider(HI) as two:
        gateway = Gateway(place)
        first, second = await gateway.egress("T1.1", to(one.url)), await gateway.egress("run-7", to(two.url))
        statuses = [(await get(path, url))[9:12] for path in (first, second) for url in (one.url, two.url)]
        assert statuses == [b"200", b"403", b"403", b"200"]
        assert first.parent != second.parent and stat.S_IMODE(first.stat().st_mode) == 0o600
        assert {stat.S_IMODE(folder.stat().st_mode) for folder in (first.parent, sockets_of(place))} == {0o700}
        assert stat.S_IMODE((place.job("T1.1") / EGRESS).stat().st_mode) == 0o600
        assert await gateway.egress("T1.1", to(two.url)) == first
        assert (await get(first, two.url)).endswith(b"hi") and b" 403 " in await get(first, one.url)
        await wait_for(lambda: len(told_in(place.job("T1.1"))) >= 3)
        assert {line.allowed for line in told_in(place.job("run-7"))} == {True, False}


async def test_after_a_kill_all_sockets_of_jobs_that_live_are_there_again(place: Layout) -> None:
    async with provider(HI) as one, asyncio.timeout(40):
        gateway = Gateway(place)
        paths = [await gateway.egress(name, to(one.url)) for name in ("T1.1", "T1.2", "T1.3")]
        write_file(place.job("T1.2") / EXIT, b"{}")
        async with asyncio.TaskGroup() as group:
            keeping = group.create_task(Gateway(place).run())  # a daemon that came later, and was asked for nothing
            first = child_of(place)
            os.kill(first, signal.SIGKILL)
            await wait_for(lambda: answers(paths[0], one.url), 20, what="the socket of the first job")
            assert await answers(paths[2], one.url) and not paths[1].parent.exists()
            assert child_of(place) != first
            await gateway.egress("T1.2", to(one.url))  # a further sitting of a job that had ended
            assert await answers(paths[1], one.url)
            await gateway.stop()
            keeping.cancel()


async def test_a_way_goes_with_its_job_and_takes_its_connections_along(place: Layout) -> None:
    async with server(echo) as port, asyncio.timeout(20):
        gateway = Gateway(place)
        path = await gateway.egress("T1.1", to(f"127.0.0.1:{port}"))
        reader, writer = await tunnel(path, port)
        await gateway.close("T1.1")
        assert await reader.read(1) == b"" and not path.exists() and not (place.job("T1.1") / EGRESS).exists()
        writer.close()
        over = await gateway.egress("T1.2", to(f"127.0.0.1:{port}"))
        write_file(place.job("T1.2") / EXIT, b"{}")
        await gateway.egress("T1.3", to(f"127.0.0.1:{port}"))
        assert not over.exists() and not over.parent.exists()
        await gateway.close("T9.9")


async def test_a_tunnel_outlives_the_daemon_that_asked_for_it(place: Layout) -> None:
    async with server(echo) as port, asyncio.timeout(20):
        reader, writer = await tunnel(await Gateway(place).egress("T1.1", to(f"127.0.0.1:{port}")), port)
        later = Gateway(place)
        await later.egress("T1.1", to(f"127.0.0.1:{port}"))
        await later.egress("T1.2", Egress())
        writer.write(b"still")
        assert await reader.readexactly(5) == b"still"
        writer.close()


async def test_the_model_gateway_is_reached_by_a_socket_as_by_its_port(place: Layout) -> None:
    async with provider(HI) as upstream:
        gateway = Gateway(place)
        address = await gateway.address(AttemptId("T1.1"), upstream.url)
        port, _, path = address.removeprefix("http://127.0.0.1:").partition("/")
        assert (await ask(int(port), request(f"/{path}/v1/messages", b"{}"))).body == b"hi"
        reader, writer = await asyncio.open_unix_connection(str(gateway.models))
        writer.write(request(f"/{path}/v1/messages?x=1", b"{}", "Connection: close"))
        assert (await reader.read(-1)).endswith(b"hi")
        writer.close()
        assert [asked.line for asked in upstream.asked] == [b"POST /v1/messages HTTP/1.1", b"POST /v1/messages?x=1 HTTP/1.1"]
        assert stat.S_IMODE(gateway.models.stat().st_mode) == 0o600 and stat.S_IMODE(gateway.models.parent.stat().st_mode) == 0o700


async def test_an_older_gateway_that_knows_no_ways_gives_its_place_to_a_new_one(
    place: Layout, monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with provider(HI) as one:
        gateway = Gateway(place)
        await gateway.ensure()
        first, control, said = child_of(place), gateway._control, [404]

        async def older(method: str, job: str) -> int:
            return said.pop() if said else await control(method, job)

        monkeypatch.setattr(gateway, "_control", older)  # there is no older one to start
        path = await gateway.egress("T1.1", to(one.url))
        assert (await get(path, one.url)).endswith(b"hi") and child_of(place) != first


async def test_a_way_is_opened_by_the_daemon_alone(place: Layout) -> None:
    gateway = Gateway(place)
    await gateway.egress("T1.1", Egress())
    port = int((place.gateway / "port").read_text())
    token = (place.gateway / "token").read_text()
    for path in ("/_/guess/egress/T1.2", f"/_/{token}/egress/..%2f..%2fx", f"/_/{token}/egress/-x", f"/_/{token}x/egress/T1.2"):
        assert (await ask(port, request(path, method="PUT"))).status == 404
    assert [one.name for one in sockets_of(place).iterdir() if one.name != "models"] == [socket_of(place, "T1.1").parent.name]


async def test_without_a_gateway_a_job_is_told_that_it_has_no_way_out(place: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("andon.edges.gateway.STARTS", 1)
    place.gateway.mkdir(parents=True)
    (place.gateway / "lock").mkdir()
    with pytest.raises(Mistake) as told:
        await Gateway(place).egress("T1.1", Egress())
    assert "sandbox" in told.value.problem.mend
    (place.gateway / "lock").rmdir()


async def test_one_socket_that_cannot_be_made_is_told_and_stops_no_other(place: Layout) -> None:
    async with provider(HI) as one, asyncio.timeout(30):
        gateway = Gateway(place)
        await gateway.ensure()
        socket_of(place, "T1.1").parent.touch()
        with pytest.raises(Mistake) as told:
            await gateway.egress("T1.1", to(one.url))
        log = place.job("gateway") / "log"
        assert str(log) == told.value.problem.where and "no way out for T1.1: " in log.read_text()
        await gateway.stop()
        path = await gateway.egress("T1.2", to(one.url))
        assert (await get(path, one.url)).endswith(b"hi")


async def test_what_an_agent_puts_in_the_place_of_its_record_is_not_followed_and_stops_nothing(place: Layout) -> None:
    async with provider(HI) as one, asyncio.timeout(20):
        path, other = [await Gateway(place).egress(name, to(one.url)) for name in ("T1.1", "T1.2")]
        folder, victim = place.job("T1.1"), place.home / "victim"
        victim.touch()
        puts: tuple[Callable[[Path], object], ...] = (os.mkfifo, Path.mkdir, lambda file: file.symlink_to(victim))
        for number, put in enumerate(puts):
            put(folder / "access.jsonl")
            assert b" 403 " in await get(path, f"http://hidden{number}.example")
            assert b" 403 " in await get(other, f"http://after{number}.example")
            await wait_for(lambda: len(told_in(place.job("T1.2"))) > number, what="the lines of others")  # noqa: B023 (called at once)
            (folder / "access.jsonl").rename(folder / f"put{number}")
            assert b" 403 " in await get(path, f"http://seen{number}.example")
            await wait_for(lambda: told_in(folder), what="a line after what stood in the way")
            (folder / "access.jsonl").rename(folder / f"aside{number}")
        assert victim.read_bytes() == b""


async def test_this_machine_by_its_own_name_is_refused_where_real_names_are_asked(place: Layout) -> None:
    async with provider(HI) as one:
        url = one.url.replace("127.0.0.1", "localhost")
        path = await Gateway(place).egress("T1.1", to(url))
        got = await get(path, url)
        assert got.startswith(b"HTTP/1.1 403 ") and b"this machine" in got and one.connections == 0
        path = await Gateway(place).egress("T1.1", to(url, one.url, f"[::1]:{one.url.rpartition(':')[2]}"))
        assert (await get(path, url)).endswith(b"hi")


@pytest.mark.parametrize("length", [1, 60, 90, 200])
def test_every_socket_has_a_path_that_every_kernel_takes(tmp_path: Path, length: int) -> None:
    place = layout(Path("/" + "x" * length))
    for path in (socket_of(place, "T1234.56"), Gateway(place).models):
        assert len(os.fsencode(path)) + len("~") <= SOCKET_PATH_LIMIT


async def test_an_idle_gateway_with_ways_and_open_tunnels_does_not_wake_up_once(place: Layout) -> None:
    async with server(echo) as port, asyncio.timeout(40):
        gateway = Gateway(place)
        path = await gateway.egress("T1.1", to(f"127.0.0.1:{port}"))
        for number in range(5):
            await gateway.egress(f"T2.{number}", Egress())
        held = [await tunnel(path, port) for _ in range(10)]
        pid, settled = child_of(place), time.monotonic() + 5.0  # repeats are told after 2 s
        await wait_for(lambda: time.monotonic() > settled)
        before, end = wakings_of(pid), time.monotonic() + 4
        await wait_for(lambda: time.monotonic() > end)
        assert wakings_of(pid) - before == 0
        for _, writer in held:
            writer.close()


async def test_told_to_end_it_takes_nothing_new_and_waits_for_those_who_speak(place: Layout) -> None:
    async with server(echo) as port, asyncio.timeout(20):
        gateway = Gateway(place)
        path = await gateway.egress("T1.1", to(f"127.0.0.1:{port}"))
        quiet, busy = await tunnel(path, port), await tunnel(path, port)
        os.kill(child_of(place), signal.SIGTERM)
        await wait_for(lambda: refuses(path), what="the door to close")
        for _ in range(20):
            busy[1].write(b"word")
            assert await busy[0].readexactly(4) == b"word"
        for _, writer in (quiet, busy):
            writer.close()
        await wait_for(lambda: not isinstance(jobs.probe(place.job("gateway")), jobs.Running))


async def refuses(path: Path) -> bool:
    try:
        _, writer = await asyncio.open_unix_connection(str(path))
    except OSError:
        return True
    writer.close()
    return False


def test_the_list_that_is_written_is_the_list_that_is_read() -> None:
    egress = Egress(hosts=("a", "b:1"), rules=(("a", "andon.toml"),), everything=True)
    assert msgspec.json.decode(msgspec.json.encode(egress), type=Egress) == egress
