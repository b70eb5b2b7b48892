"""What a start reads: the newest snapshot that fits, and the proven events after it. Must never write."""

import sqlite3
from contextlib import closing

import msgspec

from andon.edges import snapshots
from andon.edges.snapshots import Snapshot
from andon.ledger_reader import MEND_BROKEN, Broken, chained, connect, recorded
from andon.schema.chain import GENESIS
from andon.schema.errors import Problem
from andon.schema.events import Recorded
from andon.schema.layout import Layout


class History(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that a state is folded from."""

    snapshot: bytes | None
    """The state after event `snapshot_seq`, as it was given to `save_snapshot`; None: fold from nothing."""
    snapshot_seq: int
    """0 without a snapshot."""
    tail: list[Recorded]
    """The events after it, in order, without gaps, each proven, in this release's versions."""
    seq: int
    """The last event; 0 for an empty ledger."""
    hash: str
    """Its hash; 64 zeros for an empty ledger."""


def read(layout: Layout, *, use_snapshot: bool = True) -> tuple[History, Problem | None]:
    """The history up to the first flaw, and that flaw. Raises Mistake for an event that this release does not know."""
    with closing(connect(layout.ledger)) as db:
        snapshot, problem = _fitting(db, layout)
        base = snapshot if use_snapshot else None
        seq, prev = (base.head.seq, base.head.hash) if base else (0, GENESIS)
        tail, flaw = after(db, layout, seq, prev)
    return History(
        snapshot=base.data if base else None,
        snapshot_seq=seq,
        tail=tail,
        seq=tail[-1].seq if tail else seq,
        hash=tail[-1].hash if tail else prev,
    ), flaw or problem


def after(db: sqlite3.Connection, layout: Layout, seq: int, prev: str) -> tuple[list[Recorded], Problem | None]:
    """The proven events after `seq` whose hash is `prev`, up to the first flaw, and that flaw."""
    tail: list[Recorded] = []
    try:
        for row in chained(db, layout.ledger, seq, prev):
            tail.append(recorded(db, layout.ledger, row))
    except Broken as found:
        return tail, found.problem
    return tail, None


def _fitting(db: sqlite3.Connection, layout: Layout) -> tuple[Snapshot | None, Problem | None]:
    """The newest snapshot whose event is in the ledger, and what the ones that do not fit say about the ledger."""
    problem: Problem | None = None
    for snapshot in snapshots.whole(layout):
        if why := _misfit(db, layout, snapshot):
            problem = problem or why
        else:
            return snapshot, problem
    return None, problem


def _misfit(db: sqlite3.Connection, layout: Layout, snapshot: Snapshot) -> Problem | None:
    seq, hash = snapshot.head.seq, snapshot.head.hash
    try:
        last = db.execute("SELECT max(seq) FROM event").fetchone()[0] or 0
        found = db.execute("SELECT prev, hash FROM event WHERE seq = ?", (seq,)).fetchone()
        if found and found[1] == hash:
            for _ in chained(db, layout.ledger, seq - 1, found[0], 1):
                return None
    except Broken as flaw:
        return flaw.problem
    except sqlite3.DatabaseError as error:
        return broken(layout, seq, f"event {seq} cannot be read: {error}")
    if last < seq:
        return broken(layout, last + 1, f"it ends at event {last}, but a snapshot was made after event {seq}: the end is missing")
    return broken(layout, seq, f"event {seq} is not the one that a snapshot was made after")


def broken(layout: Layout, seq: int, why: str) -> Problem:
    """The ledger contradicts what is known of it from elsewhere."""
    return Problem(
        what=f"The ledger is broken: {why}.", where=f"{layout.ledger}, event {seq}",
        mend=f"{MEND_BROKEN} If you put back an older backup on purpose, move {snapshots.directory(layout)} aside and start again.",
    )
