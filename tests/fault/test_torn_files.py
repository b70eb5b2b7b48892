"""A power cut tears the ledger's files anywhere: it opens as an exact prefix, or says what is wrong; never as something else."""

import asyncio
import hashlib
import os
import random
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from andon.edges.store import Store
from andon.ledger_reader import verify_log
from andon.schema.errors import Mistake
from andon.schema.layout import Layout
from ledgerkit import added, entered, factory, sql, wal

FULL = bool(os.environ.get("ANDON_FAULTS"))
COMMITS = 400 if FULL else 60
CASES = 300 if FULL else 8
"""Of each kind of damage."""
SECTOR = 512


@pytest.fixture
async def written(tmp_path: Path) -> tuple[Layout, list[str]]:
    """A ledger whose every commit still lies in the log, and the hashes that were acknowledged."""
    where = factory(tmp_path / "whole")
    store, told = await Store.open(where), list[str]()
    assert store._db is not None
    await store._db.execute_fetchall("PRAGMA wal_autocheckpoint = 0")
    for n in range(1, COMMITS + 1):
        told += [one.hash for one in await store.append([added(n, "x" * 120)], n)]
    copy = factory(tmp_path / "copy")
    copy.home.mkdir()
    copy.ledger.write_bytes(where.ledger.read_bytes())
    wal(copy).write_bytes(wal(where).read_bytes())
    await store.close()
    return copy, told


def damaged(data: bytes, kind: str, at: int, chance: random.Random) -> bytes:
    """The bytes as a power cut may leave them."""
    match kind:
        case "cut":
            return data[:at]
        case "garbage":
            return data[:at] + chance.randbytes(chance.randrange(1, 9000))
        case "sector":
            start = at // SECTOR * SECTOR
            return data[:start] + bytes(SECTOR) + data[start + SECTOR:]
        case _:
            return data[:at] + bytes([data[at] ^ (1 << chance.randrange(8))]) + data[at + 1:]


def hashes(where: Layout) -> list[str]:
    """The chain as it lies there, recomputed by hand."""
    with closing(sqlite3.connect(where.ledger)) as db:
        rows = db.execute("SELECT seq, at, kind, version, data, prev, hash FROM event ORDER BY seq").fetchall()
    for seq, at, kind, version, data, prev, digest in rows:
        assert hashlib.sha256(f"{prev}\n{seq}\n{at}\n{kind}\n{version}\n{data}".encode()).hexdigest() == digest
    return [row[-1] for row in rows]


@pytest.mark.slow
@pytest.mark.timeout(1800 if FULL else 120)
@pytest.mark.parametrize("kind", ["cut", "garbage", "sector", "bit"])
async def test_a_log_that_is_torn_anywhere_opens_as_an_exact_prefix_and_goes_on(
    written: tuple[Layout, list[str]], tmp_path: Path, kind: str,
) -> None:
    whole, told = written
    log, chance, lengths = wal(whole).read_bytes(), random.Random(kind), set[int]()
    for case in range(CASES):
        torn = factory(tmp_path / f"{kind} {case}")
        torn.home.mkdir()
        torn.ledger.write_bytes(whole.ledger.read_bytes())
        wal(torn).write_bytes(damaged(log, kind, chance.randrange(len(log)), chance))
        store = await Store.open(torn)
        assert store.mode == "running"
        (last,) = await store.append([entered(1)], 10**6)
        await store.close()
        found = await asyncio.to_thread(hashes, torn)
        assert found[:-1] == told[: len(found) - 1] and found[-1] == last.hash
        assert verify_log(torn) is None
        lengths.add(len(found))
    assert len(lengths) > min(CASES, 20) // 3, "the damage hit always the same place"


@pytest.mark.slow
@pytest.mark.timeout(1800 if FULL else 120)
async def test_a_lost_sector_of_the_database_is_found_where_it_touches_an_event(
    written: tuple[Layout, list[str]], tmp_path: Path,
) -> None:
    whole, told = written
    sql(whole, "PRAGMA wal_checkpoint(TRUNCATE)")
    data, chance = whole.ledger.read_bytes(), random.Random(3)
    seen = {"refused": 0, "harmless": 0}
    for case in range(CASES):
        torn = factory(tmp_path / f"db {case}")
        torn.home.mkdir()
        torn.ledger.write_bytes(damaged(data, "sector", chance.randrange(4096, len(data)), chance))
        try:
            with closing(sqlite3.connect(torn.ledger)) as db:
                there = [row[0] for row in db.execute("SELECT hash FROM event ORDER BY seq")]
                texts = [row[0] for row in db.execute("SELECT data FROM event ORDER BY seq")]
        except (sqlite3.Error, UnicodeDecodeError):
            there, texts = [], []
        with closing(sqlite3.connect(whole.ledger)) as db:
            intact = there == told and texts == [row[0] for row in db.execute("SELECT data FROM event ORDER BY seq")]
        try:
            problem = verify_log(torn)
        except Mistake as mistake:
            problem = mistake.problem
        assert problem is not None or intact, "a changed event was taken for whole"
        assert problem is None or (problem.what and problem.mend)
        seen["refused" if problem else "harmless"] += 1
    assert seen["refused"] > CASES // 3, seen
