"""Figures of the ledger: durable events a second against one commit per event, and how long a start takes.

    python tests/bench/bench_store.py [--quick] [--dir DIR] [--json FILE]

Writes only below a temporary directory in DIR (default: the current directory, so that the figures are those of a real disk).
"""

import argparse
import asyncio
import json
import os
import platform
import resource
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import aiosqlite
import msgspec

from andon.edges import ledger_file, snapshots
from andon.edges.store import Store
from andon.ledger_reader import read_log, verify_log
from andon.schema.chain import GENESIS, Row, chain
from andon.schema.events import AttemptSaid, Event, kind_of, subject_of, version_of
from andon.schema.ids import AttemptId
from andon.schema.layout import Layout, layout

SNAPSHOT_EVERY = 10_000
SNAPSHOT_BYTES = 4_000_000
ROUNDS = 5
START = """
import asyncio, json, sys, time
from pathlib import Path
from andon.edges.store import Store
from andon.schema.layout import layout
async def main():
    begun = time.perf_counter()
    store = await Store.open(layout(Path(sys.argv[1])))
    found = await store.load()
    took = time.perf_counter() - begun
    assert store.mode == "running"
    print(json.dumps([took, found.seq, len(found.tail), len(found.snapshot or b"")]))
    await store.close()
asyncio.run(main())
"""


def event(number: int) -> Event:
    """A middling event: 200 bytes of JSON."""
    text = f"Step {number}: reading the tests of the parser before changing it, as the task says."
    return AttemptSaid(attempt=AttemptId(f"T{number % 5000}.1"), n=number, kind="progress", text=text)


class Naive:
    """What one would write first: a transaction for each event, one caller after the other."""

    def __init__(self, db: aiosqlite.Connection) -> None:
        self._db, self._lock = db, asyncio.Lock()
        self._seq, self._hash = 0, GENESIS

    async def append(self, events: list[Event], at: int) -> None:
        """Chain and commit one event."""
        (one,) = events
        kind = kind_of(one)
        async with self._lock:
            data = msgspec.json.encode(one).decode()
            row = chain(self._seq + 1, self._hash, at, kind, version_of(kind), subject_of(one), data)
            await self._db.execute_fetchall(ledger_file.insert(1), row)
            self._seq, self._hash = row.seq, row.hash


class Figures:
    """What was measured of one way, over several rounds."""

    def __init__(self) -> None:
        self.waits: list[float] = []
        self.took = self.cpu = 0.0

    async def measure(self, append: Callable[[list[Event], int], Awaitable[object]], callers: int, seconds: float) -> None:
        """Callers that each append one event after the other, for so long."""
        end = time.perf_counter() + seconds

        async def call(number: int) -> None:
            while (begun := time.perf_counter()) < end:
                number += 1
                await append([event(number)], number)
                self.waits.append(time.perf_counter() - begun)

        begun, cpu = time.perf_counter(), time.process_time()
        await asyncio.gather(*(call(number * 1_000_000) for number in range(callers)))
        self.took += time.perf_counter() - begun
        self.cpu += time.process_time() - cpu

    def told(self) -> dict[str, float]:
        """In words for a table."""
        waits = sorted(self.waits)
        return {
            "events_per_s": round(len(waits) / self.took), "p50_ms": round(waits[len(waits) // 2] * 1e3, 3),
            "p99_ms": round(waits[int(len(waits) * 0.99)] * 1e3, 3), "max_ms": round(waits[-1] * 1e3, 3),
            "cpu_us_per_event": round(self.cpu / len(waits) * 1e6, 1),
        }


async def appends(home: Path, seconds: float) -> list[dict[str, Any]]:
    """Both ways in the same run, in turn, so that other work on the machine falls on both."""
    found = []
    for callers in (1, 10, 100):
        single, grouped = layout(home / f"single-{callers}"), layout(home / f"grouped-{callers}")
        naive, ours = Figures(), Figures()
        ledger_file.make_places(single)
        async with aiosqlite.Connection(partial(ledger_file.open_for_writing, single), 64) as db:
            one_by_one, store = Naive(db), await Store.open(grouped)
            for _ in range(ROUNDS):
                await naive.measure(one_by_one.append, callers, seconds / ROUNDS)
                await ours.measure(store.append, callers, seconds / ROUNDS)
            await store.close()
        assert verify_log(single) is None and verify_log(grouped) is None
        found.append({"appenders": callers, "way": "one commit an event", **naive.told()})
        found.append({"appenders": callers, "way": "group commit", **ours.told()})
    return found


def grow(where: Layout, count: int) -> None:
    """A ledger of so many events, with snapshots; the last 9,999 events are after the newest one: the worst case."""
    ledger_file.make_places(where)
    prev, rows = GENESIS, list[Row]()
    with closing(ledger_file.open_for_writing(where)) as db:
        db.execute("PRAGMA synchronous = OFF")  # only to make it quickly
        for seq in range(1, count + 1):
            one = event(seq)
            row = chain(seq, prev, seq, kind_of(one), 1, subject_of(one), msgspec.json.encode(one).decode())
            prev = row.hash
            rows.append(row)
            if len(rows) == 1000 or seq == count:
                db.execute(ledger_file.insert(len(rows)), ledger_file.values(rows))
                rows.clear()
            if seq % SNAPSHOT_EVERY == 1 and count - seq < 3 * SNAPSHOT_EVERY and seq > 1:
                snapshots.save(where, seq, prev, os.urandom(SNAPSHOT_BYTES))
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def timed(deed: Callable[[], object]) -> float:
    """Seconds that it takes."""
    begun = time.perf_counter()
    deed()
    return round(time.perf_counter() - begun, 4)


def start(where: Layout) -> dict[str, Any]:
    """A start in a fresh process, best of three and worst of three."""
    told = []
    for _ in range(3):
        begun = time.perf_counter()
        answer = json.loads(subprocess.run(
            [sys.executable, "-c", START, str(where.home)], check=True, capture_output=True, text=True).stdout)
        told.append((*answer, time.perf_counter() - begun))
    told.sort()
    return {
        "open_and_load_s": round(told[0][0], 4), "worst_of_3_s": round(told[-1][0], 4), "process_s": round(told[0][-1], 3),
        "events": told[0][1], "tail": told[0][2], "snapshot_bytes": told[0][3],
    }


def restarts(home: Path, count: int) -> dict[str, Any]:
    """A large ledger: starts, reads and proofs."""
    where = layout(home / f"large-{count}")
    figures: dict[str, Any] = {"grow_s": timed(lambda: grow(where, count))}
    figures |= start(where) | {"ledger_mb": round(where.ledger.stat().st_size / 1e6)}
    assert figures["events"] == count and figures["tail"] < SNAPSHOT_EVERY
    figures["read_newest_50_s"] = timed(lambda: read_log(where, newest=True, limit=50))
    figures["read_one_task_s"] = timed(lambda: read_log(where, subject="T77", limit=1000))
    figures["verify_all_s"] = timed(lambda: verify_log(where))
    for path in snapshots.directory(where).iterdir():
        path.unlink()
    if count <= 100_000:
        figures["start_without_snapshot_s"] = start(where)["open_and_load_s"]
    return figures


def table(rows: list[dict[str, Any]]) -> None:
    """Print rows with the same keys."""
    widths = {key: max(len(key), *(len(str(row[key])) for row in rows)) for key in rows[0]}
    print("  ".join(key.ljust(width) for key, width in widths.items()))
    for row in rows:
        print("  ".join(str(row[key]).ljust(width) for key, width in widths.items()))


def main() -> None:
    """Measure, print a table and JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="1 s a figure, 100,000 events")
    parser.add_argument("--dir", type=Path, default=Path.cwd())
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=asked.dir, prefix=".bench-store-") as home:
        found: dict[str, Any] = {
            "machine": f"{platform.platform()}, {os.cpu_count()} CPUs, Python {platform.python_version()}, "
                       f"SQLite {sqlite3.sqlite_version}, load {os.getloadavg()[0]:.1f}",
            "appends": asyncio.run(appends(Path(home), 1.0 if asked.quick else 5.0)),
            "restarts": [restarts(Path(home), count) for count in ((100_000,) if asked.quick else (100_000, 1_000_000))],
            "peak_rss_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
        }
    print(found["machine"], end="\n\n")
    table(found["appends"])
    for figures in found["restarts"]:
        print()
        for key, value in figures.items():
            print(f"{key:26} {value}")
    print(f"\n{json.dumps(found)}")
    if asked.json:
        asked.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
