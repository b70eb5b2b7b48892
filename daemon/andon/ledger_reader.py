"""The ledger for everyone who only reads: a read-only connection of its own per call. Must never know how the ledger is written.

Works while the daemon writes and when it is down. What the chain proves: no row was edited, none is missing between others.
What it cannot prove: that rows are missing at the end. A snapshot that is newer than the last event shows that to the daemon;
beyond it only a checkpoint kept outside the ledger could.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

import msgspec

from andon.schema.chain import FORMAT, GENESIS, Row, flaw
from andon.schema.errors import Mistake, Problem
from andon.schema.events import Recorded
from andon.schema.layout import Layout
from andon.schema.upcast import decode

APPLICATION = 0x414E444F
"""SQLite's `application_id` of our ledgers: `ANDO`."""
SLICE = 5_000
"""Rows that are verified before others get their turn."""
_SUBJECT = "SELECT seq FROM event WHERE subject = ? UNION ALL SELECT seq FROM event WHERE subject >= ? AND subject < ?"
"""Two walks of the index; as an OR, SQLite reads the whole ledger."""
COLUMNS = "seq, at, kind, version, subject, data, prev, hash"
MEND_BROKEN = (
    "Nothing was written and nothing was repaired. Keep a copy of the ledger as it is, and put back a backup that was made before"
    " the change; agents and checkouts are not touched."
)


class Broken(Exception):
    """The chain does not hold. Carries what is wrong and the first bad event."""

    def __init__(self, problem: Problem, seq: int) -> None:
        super().__init__(problem.what)
        self.problem = problem
        self.seq = seq


def broken(path: Path, seq: int, why: str) -> Broken:
    """The chain of the ledger at `path` breaks at event `seq`."""
    return Broken(Problem(what=f"The ledger is broken: {why}.", where=f"{path}, event {seq}", mend=MEND_BROKEN), seq)


def no_ledger(path: Path) -> Mistake:
    """Nobody has written here yet."""
    return Mistake("There is no ledger yet.", where=str(path), mend="Start the factory with `andon up`.")


def connect(path: Path) -> sqlite3.Connection:
    """A read-only connection in autocommit. Raises Mistake when there is none, none of ours, or one of a newer release."""
    if not path.exists():
        raise no_ledger(path)
    try:
        db = sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, isolation_level=None, check_same_thread=False, timeout=5)
    except sqlite3.Error as error:  # the first page is read here already
        raise Mistake(f"The ledger cannot be read: {error}.", where=str(path),
                      mend="Check the disk and how it is mounted. Nothing was changed.") from error
    try:
        if not admit(db, path):
            raise no_ledger(path)
    except BaseException:
        db.close()
        raise
    return db


def admit(db: sqlite3.Connection, path: Path) -> int:
    """The format of the ledger behind a connection, 0 for an empty file. Raises Mistake for what this release must not touch."""
    try:
        found = int(db.execute("PRAGMA user_version").fetchone()[0])
        application = int(db.execute("PRAGMA application_id").fetchone()[0])
        tables = int(db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0])
    except sqlite3.DatabaseError as error:
        raise Mistake(f"The ledger cannot be read: {error}.", where=str(path), mend=MEND_BROKEN) from error
    if application not in (0, APPLICATION) or (application == 0 and tables):
        raise Mistake("This file is no ledger of Andon.", where=str(path), mend="Set ANDON_HOME to another directory.")
    if found > FORMAT:
        raise Mistake(
            f"The ledger has format {found}; this release reads up to format {FORMAT}.",
            where=str(path), mend=f"Use the release that wrote it{release_hint(db)}. Nothing was changed.",
        )
    return found


def release_hint(db: sqlite3.Connection, seq: int = 2**62) -> str:
    """` (Andon 1.2.0 or newer)`: the release whose daemon wrote around event `seq`; empty when the ledger does not say."""
    try:
        found = db.execute(
            "SELECT data FROM event WHERE kind = 'factory.started' AND seq <= ? ORDER BY seq DESC LIMIT 1", (seq,)
        ).fetchone()
        version = msgspec.json.decode(found[0]).get("version") if found else ""
    except (sqlite3.DatabaseError, msgspec.MsgspecError, AttributeError):
        return ""
    return f" (Andon {version} or newer)" if version else ""


def recorded(db: sqlite3.Connection, path: Path, row: Row) -> Recorded:
    """The row as an event of this release. Raises Mistake that names the event and the release to use."""
    try:
        event = decode(row.kind, row.version, row.data)
    except Mistake as mistake:
        raise Mistake(
            mistake.problem.what.replace("The event", f"Event {row.seq}", 1),
            where=f"{path}, event {row.seq}",
            mend=f"Use the release that wrote it{release_hint(db, row.seq)}. Nothing was changed.",
        ) from mistake
    return Recorded(seq=row.seq, at=row.at, event=event, prev=row.prev, hash=row.hash)


def chained(db: sqlite3.Connection, path: Path, seq: int, prev: str, limit: int = -1) -> Iterator[Row]:
    """Rows after event `seq` whose hash is `prev`, each proven before it is given. Raises Broken at the first flaw."""
    try:
        for raw in db.execute(f"SELECT {COLUMNS} FROM event WHERE seq > ? ORDER BY seq LIMIT ?", (seq, limit)):
            row = Row._make(raw)
            if why := flaw(row, seq, prev):
                raise broken(path, seq + 1, why)
            yield row
            seq, prev = row.seq, row.hash
    except sqlite3.DatabaseError as error:
        code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT) & 0xFF  # none: text that is no UTF-8
        if code not in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
            raise Mistake(f"The ledger cannot be read: {error}.", where=str(path), mend="Check the disk, try again.") from error
        raise broken(path, seq + 1, f"event {seq + 1} cannot be read: {error}") from error


def check_slice(path: Path, seq: int, prev: str, limit: int = SLICE) -> tuple[int, str, int]:
    """Prove up to `limit` rows after `seq`: the last proven row's seq and hash, and how many there were. Raises Broken."""
    count = 0
    with closing(connect(path)) as db:
        for row in chained(db, path, seq, prev, limit):
            seq, prev, count = row.seq, row.hash, count + 1
    return seq, prev, count


def verify_log(layout: Layout) -> Problem | None:
    """Prove the whole chain from the first event on. None when it holds, else what is wrong, naming the first bad event."""
    seq, prev, count = 0, GENESIS, 1
    try:
        while count:
            seq, prev, count = check_slice(layout.ledger, seq, prev)
    except Broken as found:
        return found.problem
    return None


def read_log(
    layout: Layout, *, after: int = 0, limit: int = 1000, kinds: Sequence[str] = (), subject: str = "", newest: bool = False
) -> list[Recorded]:
    """At most `limit` events with a seq above `after`, always in their order; with `newest`, the last ones instead of the first.

    `kinds` are exact names. `subject` is the name of one thing and of what belongs to it: `T3` gives `T3.1` too. For a whole log,
    page on with `after`. Does not prove the chain: `verify_log` does. Raises Mistake when there is no ledger, or an event of a
    newer release.
    """
    where, values = ["seq > ?"], [after]  # type: tuple[list[str], list[int | str]]
    if kinds:
        where.append(f"kind IN ({', '.join('?' * len(kinds))})")
        values += kinds
    if subject:
        where.append(f"seq IN ({_SUBJECT})")
        values += [subject, f"{subject}.", f"{subject}/"]  # "/" comes right after "." in the order of characters
    sql = f"SELECT {COLUMNS} FROM event WHERE {' AND '.join(where)} ORDER BY seq {'DESC' if newest else 'ASC'} LIMIT ?"
    with closing(connect(layout.ledger)) as db:
        try:
            rows = [Row._make(raw) for raw in db.execute(sql, (*values, limit))]
        except sqlite3.DatabaseError as error:
            raise Mistake(f"The ledger cannot be read: {error}.", where=str(layout.ledger), mend=MEND_BROKEN) from error
        return [recorded(db, layout.ledger, row) for row in (reversed(rows) if newest else rows)]


def read_rows(layout: Layout, seqs: Sequence[int]) -> list[Recorded]:
    """The events with these numbers, in their order; numbers that are not there are left out."""
    with closing(connect(layout.ledger)) as db:
        marks = ", ".join("?" * len(seqs))
        sql = f"SELECT {COLUMNS} FROM event WHERE seq IN ({marks}) ORDER BY seq"
        rows = [Row._make(raw) for raw in db.execute(sql, tuple(seqs))]
        return [recorded(db, layout.ledger, row) for row in rows]
