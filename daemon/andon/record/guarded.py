"""A connection to the ledger that can only answer: it never writes, never opens a file, never runs for long. Knows no view.

Theory of operation. Four locks, each enough by itself against a write: the file is opened `mode=ro`; `query_only` is set before
any foreign SQL is seen; an authorizer allows reads of named tables and named functions and nothing else (no ATTACH, no PRAGMA, no
extension, no function that reaches out); and what is prepared lies in temporary tables of this connection's own memory. One read
transaction spans a whole answer, so that it is of one moment; a reader never holds up the ledger's writer in WAL mode.
"""

import sqlite3
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple, Self

from andon.edges import withheld
from andon.ledger_reader import connect
from andon.schema.errors import Mistake
from andon.schema.layout import Layout

SECONDS = 10.0
"""An answer that takes longer is given up."""
ROWS = 10_000
"""Rows of one answer, at most; more is cut off, and said."""
BYTES = 8 * 2**20
"""Text of one answer, at most; more is cut off, and said."""
SQL_BYTES = 64 * 1024
"""A longer question is refused."""
VALUE_BYTES = 16 * 2**20
"""A larger single value is refused by SQLite."""
HEAP = 2**30
"""Memory that SQLite may take in a process that only asks: a question that needs more fails. Never set beside the writer."""
WARM_S = 60.0
"""Filling views that takes longer is given up."""
STEPS = 20_000
"""Instructions of SQLite between two looks at the clock."""
LEAST_SQLITE = (3, 38, 0)
"""The operators `->` and `->>` came with it."""
TABLES = frozenset((
    "event", "json_each", "json_tree", "sqlite_master", "sqlite_schema", "sqlite_temp_master", "sqlite_temp_schema",
))
"""What may be read beside the views."""
FUNCTIONS = frozenset((
    "abs", "avg", "ceil", "ceiling", "changes", "char", "coalesce", "concat", "concat_ws", "count", "cume_dist",
    "current_date", "current_time", "current_timestamp", "date", "datetime", "dense_rank", "exp", "first_value",
    "floor", "glob", "group_concat", "hex", "ifnull", "iif", "instr", "json", "json_array", "json_array_length",
    "json_error_position", "json_extract", "json_group_array", "json_group_object", "json_object", "json_quote",
    "json_type", "json_valid", "julianday", "lag", "last_value", "lead", "length", "like", "likelihood", "likely", "ln",
    "log", "log10", "log2", "lower", "ltrim", "max", "min", "mod", "nth_value", "ntile", "nullif", "percent_rank", "pi",
    "pow", "power", "quote", "rank", "replace", "round", "row_number", "rtrim", "sign", "sqlite_version", "sqrt",
    "strftime", "string_agg", "substr", "substring", "sum", "time", "timediff", "total", "total_changes", "trim",
    "trunc", "typeof", "unhex", "unicode", "unixepoch", "unlikely", "upper", "->", "->>",
))
"""Functions that compute and reach nothing. `printf` is none of them: its widths keep SQLite busy where no clock is looked at."""
Value = str | int | float | bytes | None


class Answer(NamedTuple):
    """Rows of one question."""

    columns: tuple[str, ...]
    rows: list[tuple[Value, ...]]
    cut: str
    """Why there are fewer rows than the question has; empty: these are all."""
    seconds: float


class Guarded:
    """One answer's connection. Use as a context; `prepare` temporary tables first, then `ask`."""

    def __init__(self, layout: Layout, heap: int = 0) -> None:
        """`heap` bounds SQLite's memory in the whole process. Mistake: no ledger, none of ours, or this SQLite is too old."""
        if sqlite3.sqlite_version_info < LEAST_SQLITE:
            raise Mistake(f"This Python's SQLite is {sqlite3.sqlite_version}; questions need {'.'.join(map(str, LEAST_SQLITE))}.",
                          where="sqlite3.sqlite_version", mend="Use a Python that was built with a newer one.")
        withheld.keep(layout.home)
        self._where = str(layout.ledger)
        self._db = connect(layout.ledger)
        self._tables = set(TABLES)
        self._refused = ""
        self._until = time.monotonic() + WARM_S
        self._db.execute("PRAGMA temp_store = MEMORY")
        if heap:
            self._db.execute(f"PRAGMA hard_heap_limit = {heap}")
        self._db.set_progress_handler(lambda: time.monotonic() > self._until, STEPS)
        self._db.execute("BEGIN")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._db.close()

    def prepare(self, name: str, sql: str, *, kept: bool) -> None:
        """Make a view of ours, or (`kept`) what it holds now as a table in memory. To be called before the first question."""
        self._tables.add(name)
        self._db.execute(f'CREATE TEMP {"TABLE" if kept else "VIEW"} "{name}" AS {sql}')

    def run(self, *statements: str) -> None:
        """Statements of ours about temporary tables of this connection. To be called before the first question."""
        for statement in statements:
            self._db.execute(statement)

    def shut(self) -> None:
        """From here on only questions: the locks close."""
        for table in ("json_each", "json_tree"):  # SQLite declares them at their first use, which the locks would take for a write
            self._db.execute(f"SELECT 1 FROM {table}('[]')").fetchall()
        self._db.execute("PRAGMA query_only = ON")
        self._db.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 0)
        self._db.setlimit(sqlite3.SQLITE_LIMIT_SQL_LENGTH, SQL_BYTES)
        self._db.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, VALUE_BYTES)
        self._db.setlimit(sqlite3.SQLITE_LIMIT_LIKE_PATTERN_LENGTH, 1_000)
        self._db.set_authorizer(self._allowed)

    def ask(self, sql: str, values: Mapping[str, Value] | None = None, *, rows: int = ROWS, seconds: float = SECONDS) -> Answer:
        """The answer to one SELECT, within the bounds. Raises Mistake for anything else, and says what was refused."""
        _one_question(sql)
        begun = time.monotonic()
        self._refused, self._until = "", begun + seconds
        try:
            cursor = self._db.execute(sql, values or {})
            if cursor.description is None:
                raise Mistake("This is no question: it gives no rows.", where=_head(sql), mend="Begin with SELECT, WITH or VALUES.")
            columns = tuple(column[0] for column in cursor.description)
            found, cut = _bounded(cursor, rows)
        except (sqlite3.Error, OverflowError, UnicodeError, MemoryError) as error:
            raise self._mistake(error, sql, seconds) from error
        return Answer(columns, found, cut, time.monotonic() - begun)

    def _allowed(self, action: int, one: str | None, two: str | None, _db: str | None, _inner: str | None) -> int:
        """SQLite asks this of everything that a statement would do, before it does it."""
        if action in (sqlite3.SQLITE_SELECT, sqlite3.SQLITE_RECURSIVE):
            return sqlite3.SQLITE_OK
        if action == sqlite3.SQLITE_READ and (not two or (one or "") in self._tables):  # no column: how many rows, also of a WITH
            return sqlite3.SQLITE_OK
        if action == sqlite3.SQLITE_FUNCTION and (two or "").lower() in FUNCTIONS:
            return sqlite3.SQLITE_OK
        self._refused = self._refused or _deed(action, one, two)
        return sqlite3.SQLITE_DENY

    def _mistake(self, error: Exception, sql: str, seconds: float) -> Mistake:
        """What a person can do about it."""
        told = str(error)
        if self._refused:
            return Mistake(f"Refused: {self._refused}. Questions only read.", where=_head(sql),
                           mend="Begin with SELECT or WITH, and read the views that `andon query --schema` lists.")
        if "interrupted" in told:
            return Mistake(f"The answer took longer than {seconds:g} seconds and was given up.", where=_head(sql),
                           mend="Ask for less: a LIMIT, a WHERE, one view instead of a join of many.")
        if isinstance(error, MemoryError):
            return Mistake("The answer needs more memory than a question gets.", where=_head(sql),
                           mend="Ask for less: a LIMIT, a WHERE, one view instead of a join of many.")
        if "malformed" in told or "not a database" in told:
            return Mistake(f"The ledger cannot be read: {told}.", where=self._where,
                           mend="Keep a copy of it as it is, and put back a backup that was made before.")
        if told.startswith("cannot VACUUM"):
            return Mistake("Refused: writing a file. Questions only read.", where=_head(sql), mend="Begin with SELECT or WITH.")
        if "one statement at a time" in told:
            return Mistake("This is more than one statement.", where=_head(sql), mend="Ask them one by one.")
        return Mistake(f"The question cannot be understood: {told}.", where=_head(sql),
                       mend="`andon query --schema` lists views and columns; `andon query --list` the saved questions.")


def _one_question(sql: str) -> None:
    """Raises Mistake for what SQLite would not take anyway, with a better word."""
    if not sql.strip():
        raise Mistake("The question is empty.", mend="`andon query --list` shows saved ones; or give a SELECT.")
    if len(sql.encode(errors="replace")) > SQL_BYTES:
        raise Mistake(f"The question is longer than {SQL_BYTES // 1024} KiB.", where=_head(sql), mend="Ask for less at once.")
    if "\0" in sql:
        raise Mistake("The question holds a NUL byte.", where=_head(sql), mend="Take it out.")


def _bounded(cursor: Iterable[Sequence[Value]], most: int) -> tuple[list[tuple[Value, ...]], str]:
    """Rows without secrets up to the bounds, and why there are no more."""
    found: list[tuple[Value, ...]] = []
    size = 0
    for row in cursor:
        if len(found) >= most:
            return found, f"only the first {most} rows are shown"
        plain = tuple(withheld.text(cell) if isinstance(cell, str) else withheld.data(cell) if isinstance(cell, bytes) else cell
                      for cell in row)
        size += sum(len(cell) if isinstance(cell, str | bytes) else 8 for cell in plain)
        if size > BYTES:
            return found, f"only the first {len(found)} rows are shown: more than {BYTES // 2**20} MiB"
        found.append(plain)
    return found, ""


def _deed(action: int, one: str | None, two: str | None) -> str:
    """What was refused, in words."""
    if action == sqlite3.SQLITE_FUNCTION:
        return f"the function {two}() is not one of those that only compute"
    if action == sqlite3.SQLITE_READ:
        return f"{one} is no view of the record"
    names = {
        sqlite3.SQLITE_ATTACH: "attaching a file", sqlite3.SQLITE_DETACH: "detaching a file", sqlite3.SQLITE_PRAGMA: "a PRAGMA",
        sqlite3.SQLITE_INSERT: "writing", sqlite3.SQLITE_UPDATE: "writing", sqlite3.SQLITE_DELETE: "writing",
        sqlite3.SQLITE_TRANSACTION: "a transaction of one's own", sqlite3.SQLITE_SAVEPOINT: "a savepoint",
    }
    return f"{names.get(action, 'changing the database')}" + (f" ({one})" if one else "")


def _head(sql: str) -> str:
    """The beginning of a question, on one line."""
    told = " ".join(sql.split())
    return told if len(told) <= 80 else f"{told[:79]}…"
