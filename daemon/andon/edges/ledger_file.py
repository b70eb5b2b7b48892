"""The ledger's SQLite file: how it is made, opened for writing, written in one statement, and what its errors mean.

Must never know an asyncio loop: everything here is a plain call that a thread makes.
"""

import os
import shutil
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from functools import lru_cache
from pathlib import Path

from andon.edges import ballast
from andon.edges.durable import private_dir, sync_dir, unwritable
from andon.ledger_reader import APPLICATION, COLUMNS, admit
from andon.schema.chain import FORMAT, GENESIS, Row
from andon.schema.errors import Mistake, Problem
from andon.schema.layout import Layout

BUSY_S = 5.0
"""How long a write waits for another program that holds the file."""
MOST_ROWS = 4_000
"""Rows of one statement: SQLite takes 32,766 values."""
_SCHEMA = f"""
BEGIN IMMEDIATE;
CREATE TABLE event (
  seq INTEGER PRIMARY KEY,
  at INTEGER NOT NULL,
  kind TEXT NOT NULL,
  version INTEGER NOT NULL,
  subject TEXT NOT NULL,
  data TEXT NOT NULL,
  prev TEXT NOT NULL,
  hash TEXT NOT NULL
);
CREATE INDEX event_subject ON event (subject);
CREATE TRIGGER event_is_never_edited BEFORE UPDATE ON event
  BEGIN SELECT RAISE(ABORT, 'the ledger is append-only: an event is never edited'); END;
CREATE TRIGGER event_is_never_removed BEFORE DELETE ON event
  BEGIN SELECT RAISE(ABORT, 'the ledger is append-only: an event is never removed'); END;
CREATE TRIGGER event_follows_the_last BEFORE INSERT ON event
  WHEN NEW.prev IS NOT coalesce(
         (SELECT hash FROM event WHERE seq = NEW.seq - 1), CASE NEW.seq WHEN 1 THEN '{GENESIS}' END)
    OR EXISTS (SELECT 1 FROM event WHERE seq >= NEW.seq)
  BEGIN SELECT RAISE(ABORT, 'an event can only follow the last one'); END;
PRAGMA application_id = {APPLICATION};
PRAGMA user_version = {FORMAT};
COMMIT;
"""


def make_places(layout: Layout) -> None:
    """Directories 0700, the ledger's file 0600, the ballast. Raises Mistake when that cannot be."""
    try:
        private_dir(layout.home)
        os.close(os.open(layout.ledger, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        for path in (layout.ledger, Path(f"{layout.ledger}-wal"), Path(f"{layout.ledger}-shm")):
            if path.exists() and path.stat().st_mode & 0o077:
                path.chmod(0o600)
        sync_dir(layout.home)
        ballast.keep(layout)
    except OSError as error:
        where = Path(str(error.filename or layout.home))
        raise unwritable(error, "the factory's own directory cannot be written", where) from error


def open_for_writing(layout: Layout) -> sqlite3.Connection:
    """The writing connection: autocommit, WAL, every commit synced. Makes the tables when the file is empty.

    Raises Mistake for a file that is no ledger or belongs to a newer release; such a file is not changed.
    """
    try:
        db = sqlite3.connect(layout.ledger, isolation_level=None, check_same_thread=False, timeout=BUSY_S)
    except sqlite3.Error as error:  # the first page is read here already
        raise mistake(problem(error, layout)) from error
    try:
        found = admit(db, layout.ledger)
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = FULL")
        db.execute("PRAGMA fullfsync = ON")  # macOS: fsync alone does not reach the platter there; elsewhere without effect
        db.execute("PRAGMA journal_size_limit = 67108864")
        if not found:
            db.executescript(_SCHEMA)
        elif found < FORMAT:
            raise Mistake(f"The ledger has format {found}; this release writes format {FORMAT}.", where=str(layout.ledger),
                          mend="Start the daemon of this release: it makes a backup and brings the ledger there.")
    except sqlite3.Error as error:
        db.close()
        raise mistake(problem(error, layout)) from error
    except BaseException:
        db.close()
        raise
    return db


@lru_cache(maxsize=64)
def insert(rows: int) -> str:
    """The one statement that appends so many rows, and by itself is a whole transaction."""
    assert 0 < rows <= MOST_ROWS
    return f"INSERT INTO event ({COLUMNS}) VALUES {', '.join(['(?, ?, ?, ?, ?, ?, ?, ?)'] * rows)}"


def values(rows: Sequence[Row]) -> list[int | str]:
    """What goes with `insert`."""
    return [value for row in rows for value in row]


def backup(layout: Layout, path: Path) -> None:
    """A copy of the ledger at this moment, compacted, whole or not there. Raises Mistake; an existing file is left alone."""
    if path.exists():
        raise Mistake("A backup never overwrites a file.", where=str(path), mend="Name a file that does not exist yet.")
    partial = path.with_name(f"{path.name}.partial")
    try:
        os.close(os.open(partial, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600))
        with closing(sqlite3.connect(layout.ledger, isolation_level=None, timeout=BUSY_S)) as db:
            db.execute("VACUUM INTO ?", (str(partial),))
        handle = os.open(partial, os.O_RDWR | os.O_CLOEXEC)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
        partial.replace(path)
        sync_dir(path.parent)
    except sqlite3.Error as error:
        partial.unlink(missing_ok=True)
        raise Mistake(f"The backup cannot be written: {error}.", where=str(path), mend="Choose a place with more space.") from error
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise unwritable(error, "the backup cannot be written", path) from error


def problem(error: sqlite3.Error, layout: Layout) -> Problem:
    """What a storage error means for a person. Ask before the ballast is dropped."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    where = str(layout.ledger)
    if code == sqlite3.SQLITE_FULL or (code == sqlite3.SQLITE_IOERR and shutil.disk_usage(layout.home).free < ballast.LEAST):
        return Problem(
            what="The disk is full: the ledger cannot be written.", where=where,
            mend=f"Free space on the file system of {layout.home}. Nothing recorded is lost, and agents are not touched.",
        )
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return Problem(
            what="Another program holds the ledger open for writing.", where=where,
            mend="Close that program (an SQLite shell?). Only the daemon writes here.",
        )
    if code == sqlite3.SQLITE_CONSTRAINT:
        return Problem(
            what=f"Somebody else wrote to the ledger: {error}.", where=where,
            mend="Make sure that only one daemon of this factory runs.",
        )
    return Problem(
        what=f"The ledger cannot be written: {error}.", where=where,
        mend="Check the disk and how it is mounted. Nothing recorded is lost, and agents are not touched.",
    )


def mistake(told: Problem) -> Mistake:
    """The problem as an error to raise."""
    return Mistake(told.what, where=told.where, mend=told.mend)
