"""What the gateway adds to a model call: the same requests to the same provider, straight and through it, in turn, in one run.

Run it: `.venv/bin/python tests/bench/bench_gateway.py [--quick] [--json FILE]`. The provider is a process of its own; the parts
of its streams carry the moment at which they were sent (one monotonic clock for all processes): a part's latency is its way alone.
"""

import argparse
import asyncio
import contextlib
import json
import os
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from bench.benchkit import cpu_of, rss_mb, wakings_of
from gatewaykit import Running, request, running_gateway

PART = 200
"""Bytes of one part of a stream, about one token's event."""
PROMPT = json.dumps({"model": "m", "messages": [{"role": "user", "content": "word " * 20_000}], "tools": [{"name": "x"}]}).encode()
"""A request of 100 kB, as an agent sends in the midst of its work."""
BULK = 64 * 2**20


async def serve_one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answers `/parts/N/MS` by N parts every MS milliseconds, `/bulk` by 64 MB, all else shortly; keeps its connection."""
    with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            length = next((line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")), b":0")
            await reader.readexactly(int(length.split(b":")[1]))
            path = head.split(b" ", 2)[1]
            if b"/parts/" in path:
                count, pause = path.split(b"/parts/")[1].split(b"/")[:2]
                await speak(writer, int(count), int(pause) / 1000)
            elif b"/bulk" in path:
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % BULK)
                for _ in range(BULK // 2**20):
                    writer.write(bytes(2**20))
                    await writer.drain()
            else:
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
            await writer.drain()
    writer.close()


async def speak(writer: asyncio.StreamWriter, count: int, pause: float) -> None:
    """A stream whose parts begin with the moment they were sent."""
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
    for _ in range(count):
        await asyncio.sleep(pause)
        body = struct.pack(">Q", time.monotonic_ns()) + b"x" * (PART - 8)
        writer.write(b"%x\r\n%s\r\n" % (len(body), body))
        await writer.drain()
    writer.write(b"0\r\n\r\n")


async def provide() -> None:
    """Be the provider; says its port."""
    server = await asyncio.start_server(serve_one, "127.0.0.1", 0, limit=2**22, backlog=512)
    print(server.sockets[0].getsockname()[1], flush=True)
    async with server:
        await server.serve_forever()


@contextlib.contextmanager
def provider() -> Iterator[int]:
    """A provider process; its port."""
    with subprocess.Popen((sys.executable, __file__, "--provider"), stdout=subprocess.PIPE) as process:
        assert process.stdout
        try:
            yield int(process.stdout.readline())
        finally:
            process.terminate()


class Client:
    """One kept connection."""

    def __init__(self, port: int, base: str) -> None:
        self.port, self.base = port, base

    async def __aenter__(self) -> "Client":
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self.port, limit=2**22)
        return self

    async def __aexit__(self, *error: object) -> None:
        self.writer.close()

    async def ask(self, body: bytes) -> float:
        """Milliseconds of one whole request and its short answer."""
        began = time.perf_counter()
        self.writer.write(request(f"{self.base}/v1/messages", body))
        await self.reader.readuntil(b"\r\n\r\n")
        await self.reader.readexactly(2)
        return 1000 * (time.perf_counter() - began)

    async def parts(self, count: int, pause_ms: int) -> AsyncIterator[float]:
        """Milliseconds that each part of a stream was under way."""
        self.writer.write(request(f"{self.base}/parts/{count}/{pause_ms}/v1/messages", PROMPT))
        await self.reader.readuntil(b"\r\n\r\n")
        while size := int(await self.reader.readuntil(b"\r\n"), 16):
            data = await self.reader.readexactly(size + 2)
            now = time.monotonic_ns()
            for at in range(0, size, PART):  # a busy way may have put several parts into one
                yield (now - struct.unpack_from(">Q", data, at)[0]) / 1e6
        await self.reader.readexactly(2)

    async def bulk(self) -> float:
        """MB per second of one large answer."""
        self.writer.write(request(f"{self.base}/bulk", b"{}"))
        await self.reader.readuntil(b"\r\n\r\n")
        began, left = time.perf_counter(), BULK
        while left:
            left -= len(await self.reader.read(min(left, 2**20)))
        return BULK / 2**20 / (time.perf_counter() - began)


def spread(values: list[float]) -> dict[str, float]:
    """Median and 95th percentile in microsecond grain, and how many."""
    ordered = sorted(values)
    return {"p50": round(statistics.median(ordered), 3), "p95": round(ordered[int(len(ordered) * 0.95)], 3), "n": len(ordered)}


def beside(direct: list[float], through: list[float]) -> dict[str, object]:
    """Both ways, what was added, and the ratio of the medians."""
    one, two = spread(direct), spread(through)
    return {"direct": one, "gateway": two, "added_p50": round(two["p50"] - one["p50"], 3),
            "added_p95": round(two["p95"] - one["p95"], 3), "ratio": round(two["p50"] / one["p50"], 2)}


async def requests(ways: tuple[Client, Client], body: bytes, times: int) -> dict[str, object]:
    """One whole request after the other, in turn."""
    taken: tuple[list[float], list[float]] = ([], [])
    for number in range(times + 20):
        for way, client in enumerate(ways):
            one = await client.ask(body)
            if number >= 20:
                taken[way].append(one)
    return beside(*taken)


async def streams(
    pid: int, ports: tuple[tuple[int, str], ...], at_once: int, count: int, pause_ms: int,
) -> dict[str, object]:
    """So many streams through it and as many straight, at the same time; and what the gateway used, in percent of a core."""
    found: tuple[list[float], ...] = tuple([] for _ in ports)

    async def one(way: int) -> None:
        async with Client(*ports[way]) as client:
            found[way].extend([late async for late in client.parts(count, pause_ms)])

    used, began = cpu_of(pid), time.monotonic()
    async with asyncio.TaskGroup() as group:
        for number in range(2 * at_once):
            group.create_task(one(number % 2))
    share = 100 * (cpu_of(pid) - used) / (time.monotonic() - began)
    return {**beside(*found), "gateway_cpu": round(share, 1)}


async def bench(gateway: Running, port: int, quick: bool) -> dict[str, object]:
    """All figures. The provider is the same on both ways."""
    path = gateway.route("T1.1", f"http://127.0.0.1:{port}")
    ports = ((port, ""), (gateway.port, path))
    pid, times = gateway.process.pid, 200 if quick else 1000
    before = wakings_of(pid)
    await asyncio.sleep(3)
    report: dict[str, object] = {"idle": {"wake-ups in 3 s": wakings_of(pid) - before, "RSS MB": rss_mb(pid)}}
    async with Client(*ports[0]) as direct, Client(*ports[1]) as through:
        report["request of 2 bytes, ms"] = await requests((direct, through), b"{}", times)
        report["request of 100 kB, ms"] = await requests((direct, through), PROMPT, times // 4)
        speeds = [[await client.bulk() for client in (direct, through)] for _ in range(2 if quick else 5)]
        one, two = (statistics.median(column) for column in zip(*speeds, strict=True))
        report["64 MB, MB/s"] = {"direct": round(one), "gateway": round(two), "ratio": round(two / one, 2)}
    report["part of a stream, ms"] = await streams(pid, ports, 1, times, 3)
    report["part, 20 streams of 20/s, ms"] = await streams(pid, ports, 20, times // 4, 50)
    report["part, 100 streams of 10/s, ms"] = await streams(pid, ports, 100, times // 8, 100)
    report["after it"] = {"RSS MB": rss_mb(pid)}
    return report


def table(report: dict[str, object]) -> None:
    """Print the figures for people."""
    print(f"{'':<32} {'direct p50/p95':>18} {'gateway p50/p95':>18} {'added p50/p95':>18} {'ratio':>7}")
    for name, row in report.items():
        if isinstance(row, dict) and isinstance(row.get("direct"), dict):
            direct, through = row["direct"], row["gateway"]
            pairs = ((direct["p50"], direct["p95"]), (through["p50"], through["p95"]), (row["added_p50"], row["added_p95"]))
            print(f"{name:<32} " + " ".join(f"{f'{one:.3f} / {two:.3f}':>18}" for one, two in pairs) + f" {row['ratio']:>6.2f}x"
                  + (f"  ({row['gateway_cpu']} % of a core)" if "gateway_cpu" in row else ""))
        else:
            print(f"{name:<32} {row}")


def main() -> None:
    """Measure and print; or, as a child, be the provider."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--provider", action="store_true")
    asked = parser.parse_args()
    if asked.provider:
        asyncio.run(provide())
        return
    os.environ["HOME"] = tempfile.gettempdir()
    with running_gateway() as gateway, provider() as port:
        report = asyncio.run(bench(gateway, port, asked.quick))
    table(report)
    if asked.json:
        asked.json.write_text(json.dumps(report, indent=1))
    else:
        print(json.dumps(report))


if __name__ == "__main__":
    main()
