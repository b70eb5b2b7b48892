"""From one release's ledger to the next: a backup first, all steps or none, and nothing of a newer one is touched."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from andon.edges import upgrade
from andon.edges.upgrade import Upgraded, backups, prepare
from andon.ledger_reader import read_log, verify_log
from andon.schema.errors import Mistake
from andon.schema.events import FactoryStarted
from andon.schema.layout import Layout
from ledgerkit import added, factory, fill, rows_of, sql

NEXT = {1: ("ALTER TABLE event ADD COLUMN extra TEXT", "CREATE INDEX event_kind ON event (kind)")}
STARTED = FactoryStarted(version="0.1.0", pid=1, boot="b")


@pytest.fixture
def where(tmp_path: Path) -> Layout:
    made = factory(tmp_path / "factory")
    fill(made, rows_of([STARTED, *(added(n) for n in range(1, 30))]))
    return made


def version(where: Layout) -> object:
    return sql(where, "PRAGMA user_version")[0][0]


def test_the_same_release_and_an_empty_place_need_nothing(where: Layout, tmp_path: Path) -> None:
    assert prepare(where, "0.1.0") == Upgraded() and backups(where) == []
    assert prepare(factory(tmp_path / "none"), "0.1.0") == Upgraded()


def test_another_release_keeps_a_whole_backup_before_it_writes(where: Layout) -> None:
    told = prepare(where, "0.2.0")
    assert told.release == "0.1.0" and told.backup and "0.1.0-format1" in told.backup.name
    assert told.backup.stat().st_mode & 0o077 == 0
    before = read_log(where, limit=99)
    old = factory(where.home.parent / "old")
    old.home.mkdir()
    told.backup.rename(old.ledger)
    assert read_log(old, limit=99) == before and verify_log(old) is None


def test_backups_are_kept_up_to_their_bound_the_newest_ones(where: Layout) -> None:
    made = [prepare(where, f"0.{n}.0").backup for n in range(2, 8)]
    assert [one.path for one in backups(where)] == list(reversed(made))[: upgrade.KEPT]


def test_a_format_is_raised_with_every_event_as_it_was(where: Layout) -> None:
    rows = sql(where, "SELECT seq, hash FROM event")
    told = prepare(where, "0.2.0", to=2, steps=NEXT)
    assert told.format == 1 and told.backup and version(where) == 2
    assert sql(where, "SELECT seq, hash FROM event") == rows
    assert ("extra",) in sql(where, "SELECT name FROM pragma_table_info('event')")


def test_a_newer_format_is_refused_and_nothing_is_written(where: Layout) -> None:
    sql(where, "PRAGMA user_version = 7")
    before = where.ledger.read_bytes()
    with pytest.raises(Mistake, match="format 7; this release reads up to format 1"):
        prepare(where, "0.2.0")
    assert where.ledger.read_bytes() == before and backups(where) == []


def test_a_format_that_no_step_leads_from_is_refused(where: Layout) -> None:
    with pytest.raises(Mistake, match="no way from format 2 to 3"):
        prepare(where, "0.2.0", to=3, steps=NEXT)
    assert version(where) == 1 and backups(where) == []


@pytest.mark.parametrize("bad", ["DELETE FROM event WHERE seq = 3", "UPDATE event SET data = data || ' ' WHERE seq = 3"])
def test_a_step_that_would_change_events_changes_nothing(where: Layout, bad: str) -> None:
    unguarded = [f"DROP TRIGGER {name}" for (name,) in sql(where, "SELECT name FROM sqlite_master WHERE type = 'trigger'")]
    with pytest.raises(Mistake, match="changed events"):
        prepare(where, "0.2.0", to=2, steps={1: (*unguarded, bad)})
    assert version(where) == 1 and verify_log(where) is None
    assert sql(where, "SELECT count(*) FROM sqlite_master WHERE type = 'trigger'") == [(len(unguarded),)]


def test_a_step_that_fails_leaves_the_old_file(where: Layout) -> None:
    with pytest.raises(Mistake, match="failed"):
        prepare(where, "0.2.0", to=2, steps={1: (*NEXT[1], "CREATE NONSENSE")})
    assert version(where) == 1 and sql(where, "SELECT name FROM pragma_table_info('event') WHERE name = 'extra'") == []


def test_no_format_is_raised_without_a_backup_but_a_mere_release_starts(where: Layout) -> None:
    (where.home / "backups").write_text("in the way")
    with pytest.raises(Mistake):
        prepare(where, "0.2.0", to=2, steps=NEXT)
    assert version(where) == 1
    told = prepare(where, "0.2.0")
    assert told.unsaved and told.backup is None


KILLED = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from ledgerkit import factory
from test_upgrade import NEXT
from andon.edges.upgrade import prepare
prepare(factory(Path(sys.argv[1])), "0.2.0", to=2, steps=NEXT)
"""


@pytest.mark.parametrize(
    "at", ["upgrade.begun", "upgrade.kept", "upgrade.step:1", "upgrade.step:2", "upgrade.numbered", "upgrade.done"])
def test_killed_anywhere_it_is_the_old_or_the_new_and_the_next_start_finishes(where: Layout, at: str) -> None:
    tests = Path(__file__).parents[1]
    paths = os.pathsep.join((str(Path(__file__).parent), *sys.path))
    done = subprocess.run([sys.executable, "-c", KILLED, str(where.home), str(tests)], check=False, timeout=60, capture_output=True,
                          env={**os.environ, "ANDON_FAULT": at, "PYTHONPATH": paths})
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert version(where) == (2 if at == "upgrade.done" else 1)
    assert sql(where, "PRAGMA integrity_check") == [("ok",)]
    if version(where) == 1:
        prepare(where, "0.2.0", to=2, steps=NEXT)
    assert version(where) == 2 and not list((where.home / "backups").glob("*.partial"))
    assert len(sql(where, "SELECT seq FROM event")) == 30
