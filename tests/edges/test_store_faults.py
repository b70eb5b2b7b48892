"""What the ledger does when the machine fails it: killed writers, full disks, torn files, a second writer."""

import asyncio
import os
import random
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from andon.edges import ledger_file
from andon.edges.ledger_file import insert, open_for_writing, values
from andon.edges.store import Store
from andon.ledger_reader import read_log, verify_log
from andon.schema.chain import chain
from andon.schema.errors import Mistake
from andon.schema.events import ProblemNoticed
from andon.schema.layout import Layout
from ledgerkit import added, entered, factory, fill, rows_of, sql, wal

FAULT = ProblemNoticed(key="store", what="The disk is full.")


@pytest.fixture
def where(tmp_path: Path) -> Layout:
    return factory(tmp_path / "factory")


@contextmanager
def file_limit(size: int) -> Iterator[None]:
    """No file of this process may grow beyond `size`: the next write that does fails."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


# --- kill -9 ---------------------------------------------------------------------------------------------------------

WRITER = """
import asyncio, os, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from ledgerkit import added, factory
from andon.edges.lock import Lock
from andon.edges.store import Store

async def one(store, n):
    while True:
        told = await store.append([added(n, "x" * 300), added(n, "y")], n)
        os.write(1, b"%d %s\\n" % (told[-1].seq, told[-1].hash.encode()))

async def main():
    where = factory(Path(sys.argv[1]))
    with Lock.take(where):
        store = await Store.open(where)
        assert store.mode == "running", store.broken
        await asyncio.gather(*(one(store, n) for n in range(1, 6)))

asyncio.run(main())
"""


def test_every_acknowledged_append_is_there_after_kill_9(where: Layout) -> None:
    chance = random.Random(9)
    acknowledged: dict[int, str] = {}
    for fault in ["store.commit:9", "store.committed:9"] + [""] * 6:
        wanted, lines = 1 if fault else chance.randint(1, 400), 0
        with subprocess.Popen([sys.executable, "-c", WRITER, str(where.home), str(Path(__file__).parents[1])],
                              stdout=subprocess.PIPE, env={**os.environ, "ANDON_FAULT": fault}) as writer:
            assert writer.stdout
            for line in writer.stdout:
                seq, hash = line.split()
                acknowledged[int(seq)] = hash.decode()
                lines += 1
                if lines == wanted and not fault:
                    writer.send_signal(signal.SIGKILL)
        assert lines >= wanted and writer.returncode == -signal.SIGKILL, "the writer ended by itself"
    there = {one.seq: one.hash for one in read_log(where, limit=1_000_000)}
    assert len(acknowledged) >= 8 and {seq: there.get(seq) for seq in acknowledged} == acknowledged
    assert list(there) == list(range(1, len(there) + 1)) and len(there) % 2 == 0 and verify_log(where) is None


# --- a full disk -----------------------------------------------------------------------------------------------------

TINY = """
set -e
mount -t tmpfs -o size=1500k,mode=700 andon-test "$1"
exec "$2" -c "$3" "$1" "$4"
"""
FULL = """
import asyncio, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from ledgerkit import added, entered, factory
from andon.edges.store import Store
from andon.ledger_reader import read_log, verify_log
from andon.schema.errors import Mistake
from andon.schema.events import ProblemNoticed

async def main():
    where, agent = factory(Path(sys.argv[1]) / "factory"), Path(sys.argv[1]) / "somebody-elses"
    agent.write_bytes(bytes(500_000))
    store, told = await Store.open(where), []
    try:
        while True:
            told += await store.append([added(1, "x" * 5000)], 1)
    except Mistake as mistake:
        assert "disk is full" in mistake.problem.what and mistake.problem.mend, mistake
    assert store.mode == "read-only" and store.broken and len(told) > 20
    try:
        told += await store.append_fault([ProblemNoticed(key="store", what=store.broken.what)], 2)
    except Mistake as mistake:
        sys.exit(f"the fault itself could not be recorded: {mistake}")
    assert not where.ballast.exists() and told[-1].event.key == "store"
    with open(agent, "ab", buffering=0) as rest:
        try:
            while rest.write(bytes(4096)):
                pass
        except OSError:
            pass
    for refused in (lambda: store.append([entered(1)], 3), store.reopen):
        try:
            await refused()
        except Mistake as mistake:
            assert "disk is full" in mistake.problem.what, mistake
            continue
        sys.exit("a full disk was not refused")
    agent.unlink()
    told += await store.reopen()
    told += await store.append([entered(1)], 4)
    assert store.mode == "running" and store.broken is None and where.ballast.stat().st_size == 256 * 1024
    await store.close()
    assert [one.hash for one in read_log(where, limit=10_000)] == [one.hash for one in told] and verify_log(where) is None
    print("survived", len(told))

asyncio.run(main())
"""


def test_a_full_disk_is_named_recorded_and_survived(tmp_path: Path) -> None:
    tiny = tmp_path / "tiny"
    tiny.mkdir()
    own_root = ["unshare", "-m"] if os.getuid() == 0 else ["unshare", "-rm"]
    trial = [*own_root, "mount", "-t", "tmpfs", "andon-test", str(tiny)]
    if not shutil.which("unshare") or subprocess.run(trial, capture_output=True).returncode:
        pytest.skip("no private tmpfs on this machine; the file-size limit below stands in for it")
    told = subprocess.run(
        [*own_root, "sh", "-c", TINY, "sh", str(tiny), sys.executable, FULL, str(Path(__file__).parents[1])],
        capture_output=True, text=True, timeout=60)
    assert told.stdout.startswith("survived"), told.stderr


async def test_a_write_that_fails_stops_everything_until_reopen(where: Layout) -> None:
    store = await Store.open(where)
    told = await store.append([added(1)], 1)
    with file_limit(300_000):
        callers = [asyncio.ensure_future(store.append([added(n, "x" * 100_000)], n)) for n in range(10)]
        answers = await asyncio.gather(*callers, return_exceptions=True)
        assert all(isinstance(answer, Mistake) for answer in answers)
        assert store.mode == "read-only" and store.broken and "cannot be written" in store.broken.what and store._db is None
        with pytest.raises(Mistake, match="cannot be written"):
            await store.append([entered(1)], 1)
        assert not where.ballast.exists()
        told += await store.append_fault([FAULT], 2)
        assert told[-1].event == FAULT and store.mode == "read-only"
    assert await store.reopen() == [] and await store.reopen() == [] and where.ballast.exists()
    with pytest.raises(Mistake, match="no storage fault"):
        await store.append_fault([FAULT], 2)
    told += await store.append([entered(2)], 3)
    await store.close()
    assert read_log(where) == told and verify_log(where) is None


async def test_a_refused_write_that_reached_the_disk_after_all_is_told_by_reopen(where: Layout) -> None:
    """The worst case of a failing sync: the rows are there, the error came after."""
    for record_fault in (True, False):
        store = await Store.open(where)
        assert store._db is not None
        real = store._db.execute_fetchall

        async def late(*asked: object, real: object = real) -> object:
            await real(*asked)  # type: ignore[operator]
            raise sqlite3.OperationalError("disk I/O error")

        store._db.execute_fetchall = late  # type: ignore[assignment]
        with pytest.raises(Mistake):
            await store.append([entered(7)], 1)
        told = await store.append_fault([FAULT], 2) if record_fault else []
        told += await store.reopen()
        assert [one.event for one in told] == [entered(7)] + [FAULT] * record_fault
        (last,) = await store.append([entered(8)], 3)
        assert last.seq == told[-1].seq + 1
        await store.close()
    assert verify_log(where) is None


async def test_a_second_writer_is_noticed_before_it_can_fork_the_chain(where: Layout) -> None:
    store = await Store.open(where)
    (mine,) = await store.append([entered(1)], 1)
    theirs = chain(2, mine.hash, 1, "task.entered", 1, "T9", '{"type":"task.entered","task":"T9","station":"build"}')
    with closing(open_for_writing(where)) as db:
        db.execute(insert(1), values([theirs]))
    with pytest.raises(Mistake, match="Somebody else wrote"):
        await store.append([entered(2)], 2)
    assert [one.hash for one in await store.reopen()] == [theirs.hash]
    assert (await store.append([entered(2)], 2))[0].seq == 3
    await store.close()
    assert verify_log(where) is None


async def test_a_shell_that_holds_the_ledger_is_named_and_harms_nothing(where: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger_file, "BUSY_S", 0.05)
    store = await Store.open(where)
    with closing(sqlite3.connect(where.ledger, isolation_level=None)) as shell:
        shell.execute("BEGIN IMMEDIATE")
        with pytest.raises(Mistake, match="Another program holds"):
            await store.append([entered(1)], 1)
    await store.reopen()
    assert (await store.append([entered(1)], 1))[0].seq == 1
    await store.close()


async def test_a_writer_that_dies_of_a_bug_refuses_instead_of_hanging(where: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    store = await Store.open(where)
    with monkeypatch.context() as bug:
        bug.setattr("andon.edges.store._chain", lambda *_: 1 / 0)
        with pytest.raises(Mistake, match="writer ended: ZeroDivisionError"):
            await asyncio.wait_for(store.append([entered(1)], 1), 5)
    with pytest.raises(Mistake, match="writer ended"):
        await store.append([entered(1)], 1)
    assert await store.reopen() == [] and (await store.append([entered(1)], 1))[0].seq == 1
    await store.close()


async def test_an_acknowledged_event_that_vanished_is_no_reason_to_write_on(where: Layout) -> None:
    store = await Store.open(where)
    await store.append([entered(n) for n in range(1, 6)], 1)
    older = factory(where.home.parent / "older")
    fill(older, rows_of([entered(1)]))
    with file_limit(100_000), pytest.raises(Mistake):
        await store.append([added(1, "x" * 500_000)], 1)
    older.ledger.replace(where.ledger)
    wal(where).unlink(missing_ok=True)
    with pytest.raises(Mistake, match="event 5 was acknowledged and is not there"):
        await store.reopen()
    assert store.mode == "read-only"
    await store.close()


# --- torn files ------------------------------------------------------------------------------------------------------


async def test_a_torn_wal_loads_as_an_exact_prefix(where: Layout, tmp_path: Path) -> None:
    store = await Store.open(where)
    told = []
    for n in range(1, 41):
        told += await store.append([added(n, "x" * 200)], n)
    await store.save_snapshot(20, told[19].hash, b"twenty")
    written = wal(where).read_bytes()
    database, chance, lengths = where.ledger.read_bytes(), random.Random(7), set()
    for case in range(24):
        torn = factory(tmp_path / f"torn {case}")
        torn.home.mkdir()
        torn.ledger.write_bytes(database)
        cut = chance.randrange(32 + 4096 * 12, len(written))
        rest = {0: b"", 1: chance.randbytes(5000), 2: bytes(512) + written[cut + 512:]}[case % 3]
        wal(torn).write_bytes(written[:cut] + rest)
        again = await Store.open(torn)
        found = await again.load()
        assert again.mode == "running" and found.tail == told[:found.seq]
        assert (await again.append([entered(1)], 1))[0].seq == found.seq + 1
        await again.close()
        assert verify_log(torn) is None
        lengths.add(found.seq)
    await store.close()
    assert len(lengths) > 5 and max(lengths) <= 40


async def test_a_torn_wal_below_a_snapshot_is_noticed(where: Layout, tmp_path: Path) -> None:
    store = await Store.open(where)
    told = await store.append([added(1)], 1)
    wal_then = wal(where).read_bytes()
    told += await store.append([added(2)], 2)
    await store.save_snapshot(2, told[-1].hash, b"two")
    torn = factory(tmp_path / "torn")
    shutil.copytree(where.home, torn.home, ignore=shutil.ignore_patterns("*-shm"))
    wal(torn).write_bytes(wal_then)
    await store.close()
    again = await Store.open(torn)
    assert again.mode == "read-only" and again.broken and "ends at event 1" in again.broken.what
    assert (await again.load()).tail == told[:1]
    await again.close()


@pytest.mark.skipif(os.getuid() == 0, reason="root may write anywhere")
async def test_a_home_that_cannot_be_written_is_named(where: Layout) -> None:
    where.home.mkdir(mode=0o500)
    with pytest.raises(Mistake, match="cannot be written"):
        await Store.open(where)


async def test_a_home_below_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Mistake, match="cannot be written") as caught:
        await Store.open(factory(tmp_path / "file" / "factory"))
    assert str(tmp_path / "file") in caught.value.problem.where


async def test_a_ledger_made_by_half_is_finished_by_the_next_start(where: Layout) -> None:
    where.home.mkdir()
    where.ledger.write_bytes(b"")
    with pytest.raises(Mistake, match="no ledger yet"):
        read_log(where)
    store = await Store.open(where)
    assert (await store.append([entered(1)], 1))[0].seq == 1
    await store.close()
    assert sql(where, "PRAGMA integrity_check") == [("ok",)]
