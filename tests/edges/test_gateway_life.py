"""The gateway's process: started when it is wanted, found again, started again when it dies, and free when idle."""

import asyncio
import contextlib
import fcntl
import os
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from andon.edges import jobs, process
from andon.edges.gateway import STARTS, Gateway
from andon.schema.errors import Mistake
from andon.schema.ids import AttemptId
from andon.schema.layout import Layout, layout
from bench.benchkit import wakings_of
from gatewaykit import Asked, ask, provider, request, running_gateway
from support import wait_for

FIRST = AttemptId("T1.1")


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


def path_of(address: str) -> tuple[int, str]:
    """Port and path of an address."""
    port, _, path = address.removeprefix("http://127.0.0.1:").partition("/")
    return int(port), f"/{path}"


async def test_nothing_is_started_before_somebody_wants_it(place: Layout) -> None:
    gateway = Gateway(place)
    await gateway.stop()
    assert not gateway.wanted and not place.job("gateway").exists() and not place.gateway.exists()


async def test_an_address_leads_to_the_provider_and_stays_the_same_over_sittings_and_daemons(place: Layout) -> None:
    async with provider(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi") as upstream:
        gateway = Gateway(place)
        address = await gateway.address(FIRST, upstream.url)
        pid = child_of(place)
        port, path = path_of(address)
        assert (await ask(port, request(f"{path}/v1/messages", b"{}"))).body == b"hi"
        assert await gateway.address(FIRST, upstream.url) == address != await gateway.address(AttemptId("T1.2"), upstream.url)
        later = Gateway(place)
        assert await later.address(FIRST, "http://127.0.0.1:1") == address and child_of(place) == pid
    route = place.job(FIRST) / "route.json"
    assert stat.S_IMODE(route.stat().st_mode) == 0o600


@pytest.mark.parametrize("put", ["fifo", "path", "link"])
async def test_what_an_agent_puts_in_the_place_of_its_route_is_replaced(place: Layout, put: str) -> None:
    gateway, file = Gateway(place), place.job(FIRST) / "route.json"
    file.parent.mkdir(parents=True)
    if put == "fifo":
        os.mkfifo(file)
    elif put == "link":
        file.symlink_to("/etc/hostname")
    else:
        file.write_text('{"token": "../../../up", "upstream": "http://x"}')
    async with asyncio.timeout(20):
        address = await gateway.address(FIRST, "http://127.0.0.1:1")
    assert ".." not in address and stat.S_ISREG(file.lstat().st_mode) and "127.0.0.1:1" in file.read_text()


async def test_many_who_want_it_at_once_get_one(place: Layout) -> None:
    gateway = Gateway(place)
    bases = await asyncio.gather(*(gateway.ensure() for _ in range(10)))
    assert len(set(bases)) == 1 and bases[0]


async def test_a_killed_gateway_comes_back_on_its_port_by_itself(place: Layout) -> None:
    gateway = Gateway(place)
    async with asyncio.TaskGroup() as group, asyncio.timeout(30):
        keeping = group.create_task(gateway.run())
        base, first = await gateway.ensure(), child_of(place)
        os.kill(first, signal.SIGKILL)
        def again() -> bool:
            with contextlib.suppress(AssertionError, IndexError):
                return child_of(place) != first
            return False
        await wait_for(again, what="another gateway process")
        assert await gateway.ensure() == base
        await gateway.stop()
        await keeping


async def test_a_gateway_whose_shim_was_killed_too_is_replaced(place: Layout) -> None:
    gateway = Gateway(place)
    base, first = await gateway.ensure(), child_of(place)
    seen = jobs.probe(place.job("gateway"))
    assert isinstance(seen, jobs.Running)
    os.kill(seen.started.pid, signal.SIGKILL)
    await wait_for(lambda: isinstance(jobs.probe(place.job("gateway")), jobs.Lost))
    assert await Gateway(place).ensure() == base and child_of(place) != first
    await wait_for(lambda: process.start_ticks(first) is None, what="the old one to be gone")


async def test_a_gateway_that_stands_still_is_replaced(place: Layout) -> None:
    gateway = Gateway(place)
    base, first = await gateway.ensure(), child_of(place)
    os.kill(first, signal.SIGSTOP)
    assert await gateway.ensure() == base and child_of(place) != first


async def test_one_that_cannot_come_up_is_tried_so_often_and_then_left(place: Layout) -> None:
    place.gateway.mkdir(parents=True)
    with (place.gateway / "lock").open("w") as taken:
        fcntl.flock(taken, fcntl.LOCK_EX)
        gateway = Gateway(place)
        assert await gateway.ensure() is None
        log = place.job("gateway") / "log"
        assert "another gateway of this factory is running" in log.read_text()
        log.unlink()
        assert await gateway.ensure() is None and not log.exists(), f"it was started more than {STARTS} times"
        with pytest.raises(Mistake) as told:
            await gateway.address(FIRST, "http://127.0.0.1:1")
    assert "gateway" in told.value.problem.what and told.value.problem.mend


def test_a_second_one_of_a_factory_ends_at_once_and_harms_nothing() -> None:
    with running_gateway() as one:
        package = str(Path(__file__).parents[2] / "daemon")
        second = subprocess.run((sys.executable, "-P", "-m", "andon.gateway", str(one.place.home)), env={"PYTHONPATH": package},
                                capture_output=True, check=False, timeout=20)
        assert second.returncode == 75 and one.process.poll() is None


def test_it_can_be_reached_from_this_machine_alone() -> None:
    with running_gateway() as one:
        tables = (Path(f"/proc/{one.process.pid}/net/{name}").read_text() for name in ("tcp", "tcp6"))
        rows = [row.split() for table in tables for row in table.splitlines()]
        ours = {row[1] for row in rows if row[1].endswith(f":{one.port:04X}") and row[3] == "0A"}
        assert ours == {f"0100007F:{one.port:04X}"}
        modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in one.place.gateway.iterdir()}
        assert modes == {"lock": 0o600, "port": 0o600, "token": 0o600}


async def test_an_idle_gateway_does_not_wake_up_once_even_with_a_stream_that_hangs() -> None:
    async def speech(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, asked: Asked) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n\r\ndata: {}\n\n")
        await reader.read(1)

    with running_gateway() as one:
        async with provider(speech) as upstream:
            path = one.route("T1.1", upstream.url)
            reader, writer = await asyncio.open_connection("127.0.0.1", one.port)
            writer.write(request(f"{path}/v1/messages", b"{}"))
            await reader.readuntil(b"data: {}\n\n")
            await wait_for(lambda: len(one.calls("T1.1")) == 2)
            settled = time.monotonic() + 0.5
            await wait_for(lambda: time.monotonic() > settled)
            before, end = wakings_of(one.process.pid), time.monotonic() + 4
            await wait_for(lambda: time.monotonic() > end)
            assert wakings_of(one.process.pid) - before == 0
            writer.close()


async def test_told_to_end_it_takes_nothing_new_and_lets_calls_end() -> None:
    met, free = asyncio.Event(), asyncio.Event()

    async def speech(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, asked: Asked) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nhalf")
        met.set()
        await free.wait()
        writer.write(b"whole")

    def refuses(port: int) -> bool:
        with socket.socket() as one:
            return one.connect_ex(("127.0.0.1", port)) != 0

    with running_gateway() as one:
        async with provider(speech) as upstream, asyncio.TaskGroup() as group, asyncio.timeout(20):
            path = one.route("T1.1", upstream.url)
            asking = group.create_task(ask(one.port, request(f"{path}/v1/messages", b"{}")))
            await met.wait()
            one.process.send_signal(signal.SIGTERM)
            await wait_for(lambda: refuses(one.port), what="the door to close")
            assert one.process.poll() is None
            free.set()
            got = await asking
        assert got.clean and got.body == b"halfwhol"
        await wait_for(lambda: one.process.poll() is not None)
        assert one.process.returncode == 0
        assert [call.phase for call in one.calls("T1.1")] == ["sent", "first", "ended"]


async def test_a_port_that_a_stranger_took_is_not_taken_for_ours(place: Layout) -> None:
    async with provider(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi") as stranger:
        place.gateway.mkdir(parents=True)
        (place.gateway / "port").write_text(stranger.url.rpartition(":")[2])
        (place.gateway / "token").write_text("a-token")
        base = await Gateway(place).ensure()
        assert base and base != stranger.url
