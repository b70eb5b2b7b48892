"""What a writer and a reader may rely on while nothing is broken."""

import asyncio
import os
import sqlite3
import stat
import subprocess
import sys
import threading
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest

from andon.edges import ballast
from andon.edges.store import GROUP, Store
from andon.ledger_reader import read_log, verify_log
from andon.schema.chain import GENESIS, link
from andon.schema.errors import Mistake
from andon.schema.events import AttemptExited, TaskEntered, WorkImported
from andon.schema.ids import AttemptId, Oid, TaskId
from andon.schema.layout import Layout
from ledgerkit import added, entered, factory, fill, rows_of, sql, tamper


@pytest.fixture
def where(tmp_path: Path) -> Layout:
    return factory(tmp_path / "the factory é #1?")


@pytest.fixture
async def store(where: Layout) -> AsyncIterator[Store]:
    store = await Store.open(where)
    yield store
    await store.close()


async def test_what_was_appended_is_there_after_a_restart(store: Store, where: Layout) -> None:
    told = await store.append([added(1, "Zeile\n\u2028 \x00 🏭"), entered(1)], 5)
    told += await store.append([entered(1, "check")], 6)
    await store.close()
    again = await Store.open(where)
    found = await again.load()
    await again.close()
    assert found.tail == told and [one.seq for one in told] == [1, 2, 3] and [one.at for one in told] == [5, 5, 6]
    assert (found.snapshot, found.snapshot_seq, found.seq, found.hash) == (None, 0, 3, told[-1].hash)


async def test_a_row_is_chained_by_the_documented_formula(store: Store, where: Layout) -> None:
    await store.append([added(1)], 11)
    (row,) = sql(where, "SELECT prev, seq, at, kind, version, data, hash FROM event")
    assert row[0] == GENESIS and row[-1] == link(*row[:-1])  # type: ignore[arg-type]


async def test_concurrent_appenders_keep_their_order_without_gaps(store: Store, where: Layout) -> None:
    answers = await asyncio.gather(*(store.append([entered(n), entered(n, "check")], n) for n in range(1, 1301)))
    order = [(one.event.task, one.event.station) for answer in answers for one in answer if isinstance(one.event, TaskEntered)]
    assert [one.seq for answer in answers for one in answer] == list(range(1, 2601))
    assert order == [(f"T{n}", station) for n in range(1, 1301) for station in ("build", "check")]
    assert [one.seq for one in read_log(where, limit=10_000)] == list(range(1, 2601)) and verify_log(where) is None


async def test_concurrent_appenders_share_commits(store: Store, where: Layout) -> None:
    statements: list[str] = []
    assert store._db is not None
    await store._db.set_trace_callback(statements.append)
    await asyncio.gather(*(store.append([entered(n)], n) for n in range(1, 201)))
    inserts = {one for one in statements if one.startswith("INSERT")}  # a trigger repeats the text
    assert 1 <= len(inserts) <= 5 and not [one for one in statements if one.startswith(("BEGIN", "COMMIT"))]


async def test_an_append_larger_than_a_group_is_still_one_commit(store: Store) -> None:
    told = await store.append([entered(n) for n in range(GROUP * 3)], 1)
    assert [one.seq for one in told] == list(range(1, GROUP * 3 + 1))
    with pytest.raises(ValueError, match="the most"):
        await store.append([entered(1)] * 5_000, 1)


async def test_an_empty_append_writes_nothing(store: Store, where: Layout) -> None:
    assert await store.append([], 1) == [] and read_log(where) == []


async def test_a_cancelled_caller_does_not_cancel_the_write(store: Store, where: Layout) -> None:
    callers = [asyncio.ensure_future(store.append([entered(n)], n)) for n in range(1, 101)]
    await asyncio.sleep(0)
    for caller in callers[::2]:
        caller.cancel()
    await asyncio.gather(*callers, return_exceptions=True)
    assert all(caller.cancelled() for caller in callers[::2])
    (last,) = await store.append([entered(999)], 999)
    assert last.seq == 101 and [one.at for one in read_log(where)] == [*range(1, 101), 999] and verify_log(where) is None


async def test_an_event_that_could_not_be_read_back_is_never_written(store: Store, where: Layout) -> None:
    unreadable = AttemptExited(attempt=AttemptId("T1.1"), seconds=float("nan"))
    mistyped = TaskEntered(task=TaskId("T1"), station=7)  # type: ignore[arg-type]
    torn = WorkImported(attempt=AttemptId("T1.1"), commit=Oid("c"), tree=Oid("t"), base=Oid("b"), paths=("\udcff",))
    for bad in (unreadable, mistyped):
        with pytest.raises(TypeError, match="would not be readable"):
            await store.append([entered(1), bad], 1)
    with pytest.raises(UnicodeEncodeError):
        await store.append([entered(1), torn], 1)
    assert read_log(where) == [] and (await store.append([entered(1)], 1))[0].seq == 1


async def test_what_an_append_returns_is_what_a_replay_reads(store: Store, where: Layout) -> None:
    paths: tuple[str, ...] = ["a", "b"]  # type: ignore[assignment]
    event = WorkImported(attempt=AttemptId("T1.1"), commit=Oid("c"), tree=Oid("t"), base=Oid("b"), paths=paths)
    told = await store.append([event], 1)
    assert told == read_log(where) and isinstance(told[0].event, WorkImported) and told[0].event.paths == ("a", "b")


async def test_every_commit_is_synced(store: Store) -> None:
    assert store._db is not None
    found = [next(iter(await store._db.execute_fetchall(f"PRAGMA {name}")))[0] for name in ("synchronous", "journal_mode")]
    assert found == [2, "wal"]


async def test_files_are_their_owners_alone(where: Layout) -> None:
    where.home.mkdir(parents=True, mode=0o755)
    before = os.umask(0)
    try:
        store = await Store.open(where)
        (one,) = await store.append([entered(1)], 1)
        await store.save_snapshot(1, one.hash, b"state")
        await store.backup(where.home / "backup.db")
    finally:
        os.umask(before)
    modes = {path.name: oct(stat.S_IMODE(path.stat().st_mode)) for path in [where.home, *where.home.rglob("*")]}
    assert {name for name, mode in modes.items() if mode == "0o700"} == {where.home.name, "snapshots"}
    assert {name for name, mode in modes.items() if mode == "0o600"} == {
        "ledger.db", "ledger.db-wal", "ledger.db-shm", "ballast", "backup.db", "000000000000001.snapshot"}
    assert len(modes) == 8
    await store.close()


async def test_the_ballast_takes_real_room(store: Store, where: Layout) -> None:
    found = where.ballast.stat()
    wanted = ballast.size(where)
    assert found.st_size == wanted and found.st_blocks * 512 >= wanted >= ballast.LEAST
    assert len(set(where.ballast.read_bytes())) == 256


@pytest.mark.parametrize("statement", [
    "UPDATE event SET data = '{}' WHERE seq = 1",
    "DELETE FROM event WHERE seq = 2",
    "INSERT OR REPLACE INTO event SELECT 1, at, kind, version, subject, data, prev, hash FROM event WHERE seq = 1",
    "INSERT INTO event SELECT 4, at, kind, version, subject, data, hash, hash FROM event WHERE seq = 2",
    "INSERT INTO event SELECT 3, at, kind, version, subject, data, prev, hash FROM event WHERE seq = 2",
])
def test_the_ledger_itself_refuses_to_be_edited(where: Layout, statement: str) -> None:
    fill(where, rows_of([added(1), entered(1)]))
    with pytest.raises(sqlite3.IntegrityError):
        sql(where, statement)
    assert len(read_log(where)) == 2 and verify_log(where) is None


async def test_a_reader_sees_an_unbroken_prefix_while_the_daemon_writes(store: Store, where: Layout) -> None:
    lengths, problems, stop = [0], [], threading.Event()

    def read() -> None:
        while not stop.is_set():
            seqs = [one.seq for one in read_log(where, limit=100_000)]
            if seqs != list(range(1, len(seqs) + 1)) or len(seqs) < lengths[-1]:
                problems.append(seqs)
            lengths.append(len(seqs))

    reader = threading.Thread(target=read)
    reader.start()
    for start in range(0, 1000, 20):
        await asyncio.gather(*(store.append([added(n)], n) for n in range(start, start + 20)))
    stop.set()
    await asyncio.to_thread(reader.join)
    assert not problems and len(set(lengths)) > 2 and len(read_log(where, limit=5000)) == 1000


def test_a_reader_works_while_the_daemon_is_down_and_changes_nothing(where: Layout) -> None:
    fill(where, rows_of([entered(n) for n in range(1, 6)]))
    before = where.ledger.read_bytes()
    assert [one.seq for one in read_log(where)] == [1, 2, 3, 4, 5]
    assert where.ledger.read_bytes() == before


def test_a_log_is_read_by_place_kind_and_subject(where: Layout) -> None:
    events = [added(1), entered(1), added(10), entered(10),
              AttemptExited(attempt=AttemptId("T1.2")), AttemptExited(attempt=AttemptId("T10.1"))]
    fill(where, rows_of(events))

    def seqs(**asked: object) -> list[int]:
        return [one.seq for one in read_log(where, **asked)]  # type: ignore[arg-type]

    assert seqs(subject="T1") == [1, 2, 5] and seqs(subject="T10.1") == [6] and seqs(subject="T") == []
    assert seqs(kinds=["task.added"]) == [1, 3] and seqs(kinds=["task.added", "task.entered"], subject="T10") == [3, 4]
    assert seqs(after=4) == [5, 6] and seqs(limit=2) == [1, 2] and seqs(newest=True, limit=2) == [5, 6]
    assert seqs(newest=True, limit=1, after=2, subject="T1") == [5]


def test_reading_before_there_is_a_ledger_says_how_to_start(where: Layout) -> None:
    with pytest.raises(Mistake, match="no ledger yet") as caught:
        read_log(where)
    assert "andon up" in caught.value.problem.mend and not where.home.exists()


def test_the_reader_loads_no_asyncio_and_nothing_of_the_daemon() -> None:
    told = subprocess.run(
        [sys.executable, "-c", "import sys, andon.ledger_reader; print(*sys.modules)"], capture_output=True, text=True, check=True)
    loaded = set(told.stdout.split())
    assert "sqlite3" in loaded and not loaded & {"asyncio", "aiosqlite", "andon.edges", "textual"}


async def test_a_backup_is_a_whole_ledger_and_overwrites_nothing(store: Store, tmp_path: Path) -> None:
    told = await store.append([added(n) for n in range(1, 50)], 1)
    copy = factory(tmp_path / "copy")
    copy.home.mkdir()
    await store.backup(copy.ledger)
    assert read_log(copy) == told and verify_log(copy) is None
    with pytest.raises(Mistake, match="never overwrites"):
        await store.backup(copy.ledger)
    other = await Store.open(copy)
    assert (await other.append([entered(1)], 1))[0].prev == told[-1].hash
    await other.close()
    with closing(sqlite3.connect(copy.ledger)) as db, pytest.raises(sqlite3.IntegrityError):
        db.execute("DELETE FROM event")


async def test_a_closed_store_refuses_and_had_written_what_was_queued(where: Layout) -> None:
    store = await Store.open(where)
    callers = [asyncio.ensure_future(store.append([entered(n)], n)) for n in range(50)]
    await asyncio.sleep(0)
    await store.close()
    assert [(await caller)[0].seq for caller in callers] == list(range(1, 51))
    with pytest.raises(Mistake, match="closed"):
        await store.append([entered(1)], 1)
    await store.close()
    assert len(read_log(where)) == 50


async def test_a_full_verify_finds_what_a_start_from_a_snapshot_passes_over(store: Store, where: Layout) -> None:
    told = await store.append([added(n) for n in range(1, 30)], 1)
    await store.save_snapshot(29, told[-1].hash, b"state")
    assert await store.verify() is None
    await store.close()
    tamper(where, "UPDATE event SET data = replace(data, 'Task 7', 'Task 8') WHERE seq = 7")
    again = await Store.open(where)
    assert again.mode == "running" and (await again.load()).snapshot == b"state"
    problem = await again.verify()
    assert problem and "event 7 was changed" in problem.what and again.broken == problem == verify_log(where)
    for refused in (again.append([entered(1)], 1), again.append_fault([entered(1)], 1), again.reopen()):
        with pytest.raises(Mistake):
            await refused
    await again.close()
