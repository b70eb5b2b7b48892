"""What the way out of a sandbox adds: the same requests to the same server, straight and through it, in turn, in one run.

Run it: `.venv/bin/python tests/bench/bench_egress.py [--quick] [--json FILE]`. The server is a process of its own; the last
row is model calls through the same process while a job pulls as much as it can through its way out.
"""

import argparse
import asyncio
import contextlib
import json
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

import msgspec

sys.path.insert(0, str(Path(__file__).parents[1]))

from andon.edges.durable import write_file
from andon.edges.gateway import socket_of
from andon.schema.jobs import EGRESS
from andon.schema.sandbox import Egress
from bench.bench_gateway import PROMPT, Client, beside, provider, requests, spread, table
from bench.benchkit import rss_mb, wakings_of
from gatewaykit import Running, ask, request, running_gateway


class Tunnel(Client):
    """One kept connection through a tunnel."""

    def __init__(self, path: Path, port: int) -> None:
        super().__init__(port, "")
        self.path = path

    async def __aenter__(self) -> "Tunnel":
        self.reader, self.writer = await asyncio.open_unix_connection(str(self.path), limit=2**22)
        self.writer.write(f"CONNECT 127.0.0.1:{self.port} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        assert b" 200 " in await self.reader.readuntil(b"\r\n\r\n")
        return self


async def way(gateway: Running, port: int) -> Path:
    """A way out that leads to this port."""
    folder = gateway.place.job("T9.1")
    folder.mkdir(parents=True, exist_ok=True)
    write_file(folder / EGRESS, msgspec.json.encode(Egress(hosts=(f"127.0.0.1:{port}",))))
    token = (gateway.place.gateway / "token").read_text()
    assert (await ask(gateway.port, request(f"/_/{token}/egress/T9.1", method="PUT"))).status == 200
    return socket_of(gateway.place, "T9.1")


async def first(times: int, client: type[Client], *where: object) -> list[float]:
    """Milliseconds to a first answer on a new connection."""
    taken = []
    for _ in range(times):
        began = time.perf_counter()
        async with client(*where) as one:  # type: ignore[arg-type]  # each kind has its own
            await one.ask(b"{}")
        taken.append(1000 * (time.perf_counter() - began))
    return taken


async def plain(times: int, path: Path, port: int) -> list[float]:
    """Milliseconds of a plain request on a kept connection to the proxy."""
    reader, writer = await asyncio.open_unix_connection(str(path))
    taken = []
    for _ in range(times):
        began = time.perf_counter()
        writer.write(request(f"http://127.0.0.1:{port}/x", b"{}"))
        await reader.readuntil(b"\r\n\r\n")
        await reader.readexactly(2)
        taken.append(1000 * (time.perf_counter() - began))
    writer.close()
    return taken


async def under_load(gateway: Running, path: Path, port: int, count: int) -> dict[str, object]:
    """A stream of a model beside nothing, and beside a job that pulls all it can."""
    base, quiet, loud = gateway.route("T1.1", f"http://127.0.0.1:{port}"), [], []
    async with Client(gateway.port, base) as stream:
        quiet.extend([late async for late in stream.parts(count, 10)])

    async def pull() -> None:
        async with Tunnel(path, port) as one:
            while True:
                await one.bulk()

    async with Client(gateway.port, base) as stream, asyncio.TaskGroup() as group:
        pulling = group.create_task(pull())
        loud.extend([late async for late in stream.parts(count, 10)])
        pulling.cancel()
    return beside(quiet, loud)


async def bench(gateway: Running, port: int, quick: bool) -> dict[str, object]:
    """All figures. `gateway` in a row's columns is the way out."""
    path, times, pid = await way(gateway, port), 200 if quick else 1000, gateway.process.pid
    report: dict[str, object] = {}
    async with Client(port, "") as direct, Tunnel(path, port) as through:
        report["request in a tunnel, 2 bytes, ms"] = await requests((direct, through), b"{}", times)
        report["request in a tunnel, 100 kB, ms"] = await requests((direct, through), PROMPT, times // 4)
        speeds = [[await client.bulk() for client in (direct, through)] for _ in range(2 if quick else 5)]
        one, two = (statistics.median(column) for column in zip(*speeds, strict=True))
        report["64 MB through a tunnel, MB/s"] = {"direct": round(one), "way out": round(two), "ratio": round(two / one, 2)}
        await asyncio.sleep(5)
        before = wakings_of(pid)
        await asyncio.sleep(3)
        report["idle, one tunnel open"] = {"wake-ups in 3 s": wakings_of(pid) - before, "RSS MB": rss_mb(pid)}
    straight = await first(times // 2, Client, port, "")
    report["new connection and request, ms"] = beside(straight, await first(times // 2, Tunnel, path, port))
    report["plain request through the proxy, ms"] = spread(await plain(times // 2, path, port))
    report["part of a model's stream beside a pull, ms"] = await under_load(gateway, path, port, times // 2)
    report["after it"] = {"RSS MB": rss_mb(pid)}
    return report


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    os.environ["HOME"] = tempfile.gettempdir()
    with running_gateway() as gateway, provider() as port, contextlib.suppress(KeyboardInterrupt):
        report = asyncio.run(bench(gateway, port, asked.quick))
        table(report)
        if asked.json:
            asked.json.write_text(json.dumps(report, indent=1))
        else:
            print(json.dumps(report))


if __name__ == "__main__":
    main()
