"""Ledgers for tests: made row by row, tampered with, read back raw."""

import json
import sqlite3
from collections.abc import Iterable, Sequence
from contextlib import closing
from pathlib import Path

import msgspec

from andon.edges.ledger_file import insert, make_places, open_for_writing, values
from andon.schema.chain import GENESIS, Row, chain
from andon.schema.events import Event, TaskAdded, TaskEntered, kind_of, subject_of, version_of
from andon.schema.ids import RepoId, TaskId
from andon.schema.layout import Layout, layout

LOGS = Path(__file__).parent / "fixtures" / "logs"


def factory(home: Path) -> Layout:
    """The layout of a factory that lives in `home`."""
    return layout(home)


def entered(number: int, station: str = "build") -> TaskEntered:
    """A small event."""
    return TaskEntered(task=TaskId(f"T{number}"), station=station)


def added(number: int, spec: str = "Do it.") -> TaskAdded:
    """A larger event."""
    return TaskAdded(task=TaskId(f"T{number}"), repo=RepoId("demo"), title=f"Task {number}", spec=spec)


def rows_of(events: Iterable[Event], at: int = 1) -> list[Row]:
    """The rows that these events make in an empty ledger."""
    rows: list[Row] = []
    for event in events:
        kind, prev = kind_of(event), rows[-1].hash if rows else GENESIS
        data = msgspec.json.encode(event).decode()
        rows.append(chain(len(rows) + 1, prev, at, kind, version_of(kind), subject_of(event), data))
    return rows


def read_rows(path: Path) -> list[Row]:
    """The rows of a fixture log."""
    return [Row(**json.loads(line)) for line in path.read_text().splitlines()]


def fill(where: Layout, rows: Sequence[Row]) -> None:
    """Put rows into the ledger as they are; the ledger itself refuses those that do not follow."""
    make_places(where)
    with closing(open_for_writing(where)) as db:
        for start in range(0, len(rows), 1000):
            part = rows[start:start + 1000]
            db.execute(insert(len(part)), values(part))


def tamper(where: Layout, *statements: str) -> None:
    """What somebody with an SQLite shell can do who first takes the triggers away."""
    with closing(sqlite3.connect(where.ledger, isolation_level=None)) as db:
        for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            db.execute(f"DROP TRIGGER {name}")
        for statement in statements:
            db.execute(statement)


def wal(where: Layout) -> Path:
    """The write-ahead log beside the ledger."""
    return Path(f"{where.ledger}-wal")


def sql(where: Layout, statement: str) -> list[tuple[object, ...]]:
    """One statement on the ledger, as any SQLite shell would."""
    with closing(sqlite3.connect(where.ledger, isolation_level=None)) as db:
        return db.execute(statement).fetchall()
