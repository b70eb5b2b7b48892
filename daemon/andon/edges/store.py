"""The ledger, written: one writer, group commit, nothing acknowledged too early. Must never know what an event means.

Theory of operation. `append` turns events into bytes, queues them and waits. One writer task takes what has queued up, chains
it to the last row and gives it to SQLite as *one* INSERT on an autocommit connection: the statement is the transaction, so there
is no moment between BEGIN and COMMIT at which anything could be awaited, cancelled or interleaved. While it is synced the next
group queues up: a lone caller waits for nobody, a hundred callers share one fsync.

After any storage error the connection is never used again. The store says why in `broken`, refuses appends, and gives the
ballast back to the disk, so that `append_fault` can still record what happened. `reopen` starts anew once the cause is mended.

A broken chain (a row edited, or missing between others) makes the store read-only from the start. Rows cut off at the *end* leave
a shorter chain that is whole in itself: this is only noticed when a snapshot knows of an event that the ledger lacks.
"""

import asyncio
import sqlite3
from collections import deque
from collections.abc import Sequence
from contextlib import AsyncExitStack, closing, suppress
from pathlib import Path
from typing import Literal, NamedTuple

import aiosqlite
import msgspec

from andon.edges import ballast, history, ledger_file, snapshots
from andon.edges.durable import unwritable
from andon.edges.history import History
from andon.ledger_reader import Broken, check_slice, connect
from andon.schema.chain import GENESIS, Row, chain
from andon.schema.errors import Mistake, Problem
from andon.schema.events import AnyEvent, Event, Recorded, kind_of, subject_of, version_of
from andon.schema.faults import point
from andon.schema.layout import Layout
from andon.schema.upcast import decode

GROUP = 500
"""Events of one commit, unless a single append has more."""
WAITING = 1_000
"""Appends that are queued at once; further callers wait in line."""


class _Said(NamedTuple):
    """An event, ready to be chained."""

    kind: str
    version: int
    subject: str
    data: str
    event: AnyEvent


class _Append(NamedTuple):
    """One caller's events: all or none."""

    said: list[_Said]
    at: int
    done: "asyncio.Future[list[Recorded]]"


class Store:
    """The writing side of the ledger. One in the factory; its owner holds the Lock. Made by `open`, ended by `close`."""

    mode: Literal["running", "read-only"]
    """`read-only`: appends are refused, and `broken` says why."""
    broken: Problem | None
    seq: int
    """The last event that a caller was told of."""
    hash: str
    """Its hash."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self.mode, self.broken, self.seq, self.hash = "running", None, 0, GENESIS
        self._db: aiosqlite.Connection | None = None
        self._history: History | None = None
        self._queue: deque[_Append] = deque()
        self._wake = asyncio.Event()
        self._places = asyncio.Semaphore(WAITING)
        self._repair, self._saving = asyncio.Lock(), asyncio.Lock()
        self._writer: asyncio.Task[None] | None = None
        self._faulted = self._distrusted = self._closing = False
        self._in_hand: list[_Append] = []

    @classmethod
    async def open(cls, layout: Layout) -> "Store":
        """Open or make the ledger; the caller holds the Lock. Reads the newest snapshot and proves the events after it.

        A broken chain opens as `read-only`. Raises Mistake, and changes nothing, for a file of a newer release, an event that
        this release does not know, a file that is no ledger, or a directory that cannot be written.
        """
        store = cls(layout)
        async with AsyncExitStack() as stack:
            await asyncio.to_thread(ledger_file.make_places, layout)
            db = await _connected(layout)
            stack.push_async_callback(db.close)
            await asyncio.to_thread(snapshots.sweep, layout)
            found, flaw = await asyncio.to_thread(history.read, layout)
            store._history, store.seq, store.hash = found, found.seq, found.hash
            if flaw:
                store._distrust(flaw)
                return store
            stack.pop_all()
            store._start(db)
        return store

    async def load(self, *, use_snapshot: bool = True) -> History:
        """Everything to fold a state from. The first call after `open` costs nothing; it is kept no longer than that.

        `use_snapshot=False` gives all events from the first on: for a core that cannot read an older release's snapshot.
        With a broken chain it ends before the first bad event.
        """
        kept, self._history = self._history, None
        if kept is not None and use_snapshot:
            return kept
        return (await asyncio.to_thread(history.read, self._layout, use_snapshot=use_snapshot))[0]

    async def append(self, events: Sequence[Event], at: int) -> list[Recorded]:
        """Append all of `events`, or none, in the order of the calls. Returns when they are durable.

        The events that come back are those that a later start will read. A caller that is cancelled does not cancel the write:
        its events may be in the ledger. Raises Mistake when the store is read-only or closed or the write failed (then the rows
        may yet be there: `reopen` tells); raises TypeError or ValueError, before anything is written, for an event that could
        not be read back.
        """
        said = [_said(event) for event in events]
        if len(said) > ledger_file.MOST_ROWS:
            raise ValueError(f"{len(said)} events at once; {ledger_file.MOST_ROWS} is the most that is written as one")
        if not said:
            return []
        async with self._places:
            self._refuse_when_not_running()
            waiting = _Append(said, at, asyncio.get_running_loop().create_future())
            self._queue.append(waiting)
            self._wake.set()
            return await waiting.done

    async def alive(self) -> None:
        """Returns once the writer has taken a question in line and SQLite's own thread has answered it; what it is never says more.

        A store that refuses appends has said so and why: it answers at once.
        """
        if self._closing or self.mode != "running":
            return
        asked = _Append([], 0, asyncio.get_running_loop().create_future())
        self._queue.append(asked)
        self._wake.set()
        with suppress(Mistake):
            await asked.done

    async def append_fault(self, events: Sequence[Event], at: int) -> list[Recorded]:
        """Record a storage fault while the store refuses everything else, in the room that the ballast gave back.

        Returns what the caller was not told of so far, in order: rows of refused appends that are there after all, then
        `events`. The store stays read-only until `reopen`. Raises Mistake when even this cannot be written, or when it is the
        chain that is broken.
        """
        said = [_said(event) for event in events]
        async with self._repair:
            if not self._faulted:
                raise Mistake("There is no storage fault to record.", where=str(self._layout.ledger))
            told = await asyncio.to_thread(_append_apart, self._layout, self.seq, self.hash, said, at)
            self._advance(told)
            return told

    async def reopen(self) -> list[Recorded]:
        """Go on after a storage error, on a new connection and with new ballast.

        Returns rows that the caller was not told of: a write that failed at its very end may have reached the disk. Fold them
        before anything else is appended. Raises Mistake while the cause lasts, or when the chain is broken; then nothing has
        changed. Harmless when the store is running.
        """
        async with self._repair, AsyncExitStack() as stack:
            if self.mode == "running" or self._closing:
                return []
            if self._distrusted:
                raise self._refusal()
            await self._drop_connection()
            await asyncio.to_thread(ledger_file.make_places, self._layout)
            db = await _connected(self._layout)
            stack.push_async_callback(db.close)
            missed, flaw = await asyncio.to_thread(_catch_up, self._layout, self.seq, self.hash)
            if flaw:
                self._distrust(flaw)
                raise ledger_file.mistake(flaw)
            stack.pop_all()
            self._advance(missed)
            self._start(db)
            return missed

    async def save_snapshot(self, seq: int, hash: str, data: bytes) -> None:
        """Keep a state that includes event `seq` with this hash, and drop all but the newest two. Raises Mistake.

        The data is opaque here. A snapshot that cannot be written harms nothing but the next start's speed.
        """
        if not 0 < seq <= self.seq:
            raise ValueError(f"a snapshot after event {seq} of a ledger that ends at {self.seq}")
        try:
            async with self._saving:
                await asyncio.to_thread(snapshots.save, self._layout, seq, hash, data)
        except OSError as error:
            where = snapshots.directory(self._layout)
            raise unwritable(error, f"a snapshot of {len(data)} bytes cannot be written", where) from error

    async def verify(self) -> Problem | None:
        """Prove the whole chain, a slice at a time in a thread, while appends go on. Names the first bad event.

        A flaw makes the store read-only until the next start.
        """
        seq, prev, count = 0, GENESIS, 1
        while count:
            try:
                seq, prev, count = await asyncio.to_thread(check_slice, self._layout.ledger, seq, prev)
            except Broken as found:
                self._distrust(found.problem)
                return found.problem
        return None

    async def backup(self, path: Path) -> None:
        """Write a compact copy of the ledger as it is now; appends go on. Never overwrites a file. Raises Mistake."""
        await asyncio.to_thread(ledger_file.backup, self._layout, path)

    async def close(self) -> None:
        """Write what is queued, then close. Harmless when done twice."""
        self._closing = True
        self._wake.set()
        writer, self._writer = self._writer, None
        if writer is not None:
            await asyncio.gather(writer, return_exceptions=True)
        await self._drop_connection()

    # --- the writer ------------------------------------------------------------------------------------------------------

    def _start(self, db: aiosqlite.Connection) -> None:
        self._db = db
        self.mode, self.broken, self._faulted = "running", None, False
        if self._writer is None or self._writer.done():
            # Owned by this store: `close` awaits it, and `_writer_ended` turns its unforeseen end into refusals.
            self._writer = asyncio.get_running_loop().create_task(self._write(), name="ledger writer")
            self._writer.add_done_callback(self._writer_ended)

    async def _write(self) -> None:
        while self._queue or not self._closing:
            if self._queue:
                self._in_hand = self._group()
                await self._commit(self._in_hand)
            else:
                self._wake.clear()
                await self._wake.wait()

    def _group(self) -> list[_Append]:
        """The next appends in line that fit one commit; never a part of one."""
        group, rows = [self._queue.popleft()], 0
        rows = len(group[0].said)
        while self._queue and rows + len(self._queue[0].said) <= GROUP:
            group.append(self._queue.popleft())
            rows += len(group[-1].said)
        return group

    async def _commit(self, group: list[_Append]) -> None:
        if self._db is None or self.mode != "running":
            return self._reject(group)
        seq, prev, rows, answers = self.seq, self.hash, list[Row](), []
        for waiting in group:
            chained = _chain(waiting.said, waiting.at, seq, prev)
            rows += [row for row, _ in chained]
            answers.append([recorded for _, recorded in chained])
            if chained:
                seq, prev = rows[-1].seq, rows[-1].hash
        if rows:
            point("store.commit")
        try:
            statement = ledger_file.insert(len(rows)) if rows else "SELECT 1"
            await self._db.execute_fetchall(statement, ledger_file.values(rows))
        except sqlite3.Error as error:
            await self._fault(error)
            return self._reject(group)
        if rows:
            point("store.committed")
        self.seq, self.hash = seq, prev
        for waiting, answer in zip(group, answers, strict=True):
            if not waiting.done.done():
                waiting.done.set_result(answer)
        return None

    async def _fault(self, error: sqlite3.Error) -> None:
        """Stop taking events, make room for the one that says why, and let go of the connection."""
        self._refuse(ledger_file.problem(error, self._layout))
        self._faulted = True
        with suppress(OSError):
            await asyncio.to_thread(ballast.drop, self._layout)
        await self._drop_connection()

    async def _drop_connection(self) -> None:
        db, self._db = self._db, None
        if db is not None:
            with suppress(sqlite3.Error):
                await db.close()

    def _writer_ended(self, writer: "asyncio.Task[None]") -> None:
        error = None if writer.cancelled() else writer.exception()
        if not self._closing or error is not None or self._queue:
            self._refuse(Problem(
                what=f"The ledger's writer ended: {error!r}." if error else "The ledger's writer was stopped.",
                where=str(self._layout.ledger), mend="Start the daemon again. Nothing recorded is lost.",
            ))
        self._reject([*self._in_hand, *self._queue])
        self._queue.clear()

    def _refuse(self, problem: Problem) -> None:
        self.mode, self.broken = "read-only", problem

    def _distrust(self, flaw: Problem) -> None:
        """The chain does not hold: nothing is written on top of it by this process."""
        self._refuse(flaw)
        self._distrusted, self._faulted = True, False

    def _reject(self, group: list[_Append]) -> None:
        for waiting in group:
            if not waiting.done.done():
                waiting.done.set_exception(self._refusal())

    def _refusal(self) -> Mistake:
        return ledger_file.mistake(self.broken or Problem(what="The ledger is closed.", where=str(self._layout.ledger)))

    def _refuse_when_not_running(self) -> None:
        if self._closing or self.mode != "running":
            raise self._refusal()

    def _advance(self, told: list[Recorded]) -> None:
        if told:
            self.seq, self.hash = told[-1].seq, told[-1].hash


async def _connected(layout: Layout) -> aiosqlite.Connection:
    """The writing connection in a thread of its own. It is opened first: that thread does not take a failure well."""
    opened = await asyncio.to_thread(ledger_file.open_for_writing, layout)
    return await aiosqlite.Connection(lambda: opened, 64)


def _said(event: Event) -> _Said:
    """The event as bytes, read back once: what cannot be read back is never written."""
    kind = kind_of(event)
    version = version_of(kind)
    data = msgspec.json.encode(event).decode()
    try:
        return _Said(kind, version, subject_of(event), data, decode(kind, version, data))
    except Mistake as mistake:
        raise TypeError(f"{kind} would not be readable again: {mistake.problem.what}") from mistake


def _chain(said: Sequence[_Said], at: int, seq: int, prev: str) -> list[tuple[Row, Recorded]]:
    """The events as rows after event `seq`, each with what its caller is told."""
    chained: list[tuple[Row, Recorded]] = []
    for one in said:
        row = chain(seq + 1, prev, at, one.kind, one.version, one.subject, one.data)
        seq, prev = row.seq, row.hash
        chained.append((row, Recorded(seq=seq, at=at, event=one.event, prev=row.prev, hash=prev)))
    return chained


def _catch_up(layout: Layout, seq: int, prev: str) -> tuple[list[Recorded], Problem | None]:
    """The events after the last one that was told of. Proves that this one is still there."""
    with closing(connect(layout.ledger)) as db:
        try:
            found = db.execute("SELECT hash FROM event WHERE seq = ?", (seq,)).fetchone()
        except sqlite3.Error as error:
            raise ledger_file.mistake(ledger_file.problem(error, layout)) from error
        if seq and (not found or found[0] != prev):
            return [], history.broken(layout, seq, f"event {seq} was acknowledged and is not there any more")
        return history.after(db, layout, seq, prev)


def _append_apart(layout: Layout, seq: int, prev: str, said: Sequence[_Said], at: int) -> list[Recorded]:
    """Append on a connection that lives for this one write. Blocking."""
    missed, flaw = _catch_up(layout, seq, prev)
    if flaw:
        raise ledger_file.mistake(flaw)
    if missed:
        seq, prev = missed[-1].seq, missed[-1].hash
    chained = _chain(said, at, seq, prev)
    try:
        with closing(ledger_file.open_for_writing(layout)) as db:
            db.execute(ledger_file.insert(len(chained)), ledger_file.values([row for row, _ in chained]))
    except sqlite3.Error as error:
        raise ledger_file.mistake(ledger_file.problem(error, layout)) from error
    return missed + [recorded for _, recorded in chained]
