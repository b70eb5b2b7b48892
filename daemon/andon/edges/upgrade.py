"""From the ledger of one release to the next: a backup first, then one transaction. For the holder of the lock, before the store.

Must never know what an event means; how an older event is read is the upcasts' affair, and no row is ever rewritten here.

Theory of operation. Two things can be older than this release: the file's format (its `user_version`) and the release that wrote
last. Either way a compact copy is made beside the ledger before the first write of this release, under a name that says of what,
so there is a way back. A format is then raised step by step inside one transaction that also sets the new number: a kill in the
middle leaves the old file. What this release does not know is refused before anything is written, the backup included.
"""

import sqlite3
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path

import msgspec

from andon.edges import ledger_file
from andon.edges.durable import private_dir, unwritable
from andon.ledger_reader import admit
from andon.schema.chain import FORMAT
from andon.schema.errors import Mistake
from andon.schema.faults import point
from andon.schema.layout import Layout

KEPT = 3
"""Backups that are kept, the newest ones."""
STEPS: Mapping[int, Sequence[str]] = {}
"""The statements that lead from a format to the one after it. Format 1 is the first."""
_SUFFIX = ".backup.db"


class Backup(msgspec.Struct, frozen=True, kw_only=True):
    """A copy of the ledger from before an upgrade."""

    path: Path
    at: int
    """Unix seconds."""
    size: int


class Upgraded(msgspec.Struct, frozen=True, kw_only=True):
    """What was done."""

    release: str = ""
    """The release that had written before, where it is another one."""
    format: int = FORMAT
    """The format that was found."""
    backup: Path | None = None
    unsaved: str = ""
    """Why there is no backup of a release that did not need one to be raised."""


def prepare(layout: Layout, release: str, *, to: int = FORMAT, steps: Mapping[int, Sequence[str]] = STEPS) -> Upgraded:
    """Bring the ledger to this release. Blocking. Does nothing where there is no ledger or the same release wrote it.

    Raises Mistake, with the ledger as it was, for a newer format, for one that no step leads from, and when a format is to be
    raised but the backup cannot be written.
    """
    if not layout.ledger.exists() or not layout.ledger.stat().st_size:
        return Upgraded()
    with closing(_opened(layout)) as db:
        found, wrote = admit(db, layout.ledger), _release(db)
    if not found or (found == to and wrote in ("", release)):
        return Upgraded(format=found or to)
    missing = [number for number in range(found, to) if number not in steps]
    if missing:
        raise Mistake(f"The ledger has format {found}, and this release knows no way from format {missing[0]} to {to}.",
                      where=str(layout.ledger), mend="Use a release between the two first. Nothing was changed.")
    point("upgrade.begun")
    try:
        kept = _back_up(layout, found, wrote)
    except Mistake as mistake:
        if found < to:
            raise
        return Upgraded(release=wrote, format=found, unsaved=mistake.problem.what)
    point("upgrade.kept")
    if found < to:
        _raise_format(layout, found, to, steps)
    return Upgraded(release=wrote if wrote != release else "", format=found, backup=kept)


def backups(layout: Layout) -> list[Backup]:
    """The backups that are there, the newest first. For `andon doctor` too."""
    found = []
    for path in folder(layout).glob(f"*{_SUFFIX}"):
        facts = path.stat()
        found.append(Backup(path=path, at=int(facts.st_mtime), size=facts.st_size))
    return sorted(found, key=lambda one: one.path.name, reverse=True)


def folder(layout: Layout) -> Path:
    """Where backups lie."""
    return layout.home / "backups"


def _opened(layout: Layout) -> sqlite3.Connection:
    try:
        return sqlite3.connect(layout.ledger, isolation_level=None, timeout=ledger_file.BUSY_S)
    except sqlite3.Error as error:
        raise ledger_file.mistake(ledger_file.problem(error, layout)) from error


def _release(db: sqlite3.Connection) -> str:
    """The release whose daemon started last; empty when the ledger does not say."""
    try:
        found = db.execute("SELECT data FROM event WHERE kind = 'factory.started' ORDER BY seq DESC LIMIT 1").fetchone()
        said = msgspec.json.decode(found[0]).get("version") if found else ""
    except (sqlite3.DatabaseError, msgspec.MsgspecError, AttributeError):
        return ""
    return said if isinstance(said, str) else ""


def _back_up(layout: Layout, found: int, wrote: str) -> Path:
    """A new backup; older ones beyond the bound go only after it is whole."""
    try:
        place = private_dir(folder(layout))
        for left in place.glob("*.partial"):
            left.unlink(missing_ok=True)
        safe = "".join(sign if sign.isalnum() or sign in ".-+" else "_" for sign in wrote)[:40] or "unknown"
        path = place / f"{time.strftime('%Y%m%dT%H%M%S', time.gmtime())}-{time.time_ns() % 10**9:09d}-{safe}-format{found}{_SUFFIX}"
        ledger_file.backup(layout, path)
        for old in backups(layout)[KEPT:]:
            old.path.unlink(missing_ok=True)
    except OSError as error:
        raise unwritable(error, "the backup before the upgrade cannot be written", folder(layout)) from error
    return path


def _raise_format(layout: Layout, found: int, to: int, steps: Mapping[int, Sequence[str]]) -> None:
    """All steps and the new number in one transaction, and every event as it was, or nothing of it."""
    with closing(_opened(layout)) as db:
        try:
            before = _head(db)
            db.execute("PRAGMA synchronous = FULL")
            db.execute("BEGIN IMMEDIATE")
            for number in range(found, to):
                for statement in steps[number]:
                    db.execute(statement)
                    point("upgrade.step")
            if _head(db) != before:
                raise Mistake("The upgrade would have changed events; it was not carried out.", where=str(layout.ledger),
                              mend="Report this. The ledger is as it was; use the release that wrote it.")
            db.execute(f"PRAGMA user_version = {int(to)}")
            point("upgrade.numbered")
            db.execute("COMMIT")
            point("upgrade.done")
        except sqlite3.Error as error:
            told = ledger_file.problem(error, layout)
            raise Mistake(f"The upgrade of the ledger failed: {told.what}", where=told.where,
                          mend=f"{told.mend} The ledger is as it was; a backup lies in {folder(layout)}.") from error
        finally:
            if db.in_transaction:
                db.execute("ROLLBACK")


def _head(db: sqlite3.Connection) -> tuple[object, ...]:
    """What must be the same afterwards: how many events, the last one, and the sum over all."""
    row: tuple[object, ...] = db.execute(
        "SELECT count(*), max(seq), (SELECT hash FROM event ORDER BY seq DESC LIMIT 1), total(length(data)) FROM event").fetchone()
    return row
