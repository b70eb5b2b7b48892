"""A ledger that is broken, foreign, newer or cannot be written: the daemon says why, changes nothing, goes on where it can."""

import re
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from andon.schema import wire
from andon.schema.chain import chain
from andon.schema.errors import Mistake
from andon.schema.inputs import AddTask
from andon.schema.views import FactoryView, TaskView
from factory import Factory, factory, small_repo
from wholekit import assert_clear, cli, contents


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The home of a factory that has landed a task and was left in peace."""
    place = tmp_path_factory.mktemp("ledger")
    with factory(place / "f") as plant:
        plant.until_state(plant.add(plant.register(small_repo(place / "repo"))), "done")
        plant.stop()
        plant.close()
    return place / "f"


@pytest.fixture
def plant(told: Path, tmp_path: Path) -> Iterator[Factory]:
    """A factory that finds a copy of this home; started by the test."""
    shutil.copytree(told, tmp_path / "f", ignore=shutil.ignore_patterns("run", "checkouts", "proving"))
    made = Factory(tmp_path / "f")
    try:
        yield made
    finally:
        if made.layout.lock.exists() and made.answers():
            cli(made, "down")
        made.close()


def ledger_files(plant: Factory) -> dict[str, str]:
    """The ledger and its snapshots, byte by byte."""
    home = plant.layout.home
    return contents(*home.glob("ledger.db"), *home.glob("snapshots"))


def alter(plant: Factory, *statements: str) -> None:
    """Do to the ledger what only another program would."""
    with closing(sqlite3.connect(plant.layout.ledger)) as db:
        for name in ("event_is_never_edited", "event_is_never_removed", "event_follows_the_last"):
            db.execute(f"DROP TRIGGER {name}")
        for statement in statements:
            db.execute(statement)
        db.commit()
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def append(plant: Factory, kind: str, version: int, data: str) -> int:
    """A row as a release of the future would write it, chained as it should be; its number."""
    with closing(sqlite3.connect(plant.layout.ledger)) as db:
        seq, prev = db.execute("SELECT seq, hash FROM event ORDER BY seq DESC LIMIT 1").fetchone()
        db.execute("INSERT INTO event VALUES (?, ?, ?, ?, ?, ?, ?, ?)", chain(seq + 1, prev, 1, kind, version, "", data))
        db.commit()
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return int(seq) + 1


# --- broken ----------------------------------------------------------------------------------------------------------

BREAKS: dict[str, tuple[str, int]] = {
    "an event was edited": ("UPDATE event SET data = replace(data, 'repo', 'oper') WHERE seq = 5", 5),
    "an event is missing": ("DELETE FROM event WHERE seq = 6", 6),
    "an event was replaced": ("UPDATE event SET hash = (SELECT hash FROM event WHERE seq = 3) WHERE seq = 5", 5),
}


@pytest.mark.parametrize("case", BREAKS)
def test_a_broken_chain_starts_read_only_names_the_event_and_serves_what_holds(plant: Factory, case: str) -> None:
    statement, seq = BREAKS[case]
    shutil.rmtree(plant.layout.home / "snapshots")
    alter(plant, statement)
    before = ledger_files(plant)
    ran = cli(plant, "up")
    assert ran.code == 1 and "the daemon is up" in ran.out and "it is read-only: The ledger is broken" in ran.err, ran
    assert f"event {seq}" in ran.err and "Traceback" not in ran.err
    status = cli(plant, "status")
    assert status.code == 0 and "read-only" in status.out and f"event {seq}" in status.out and "repo     repo at" in status.out
    found = cli(plant, "doctor")
    assert found.code == 1 and f"event {seq}" in found.out
    for words in (("add", "more", "--repo", "repo"), ("trust", "repo", "--yes"), ("stop", "repo/build", "--because", "x")):
        assert_clear(cli(plant, *words), 4, f"event {seq}", "put back a backup")
    assert cli(plant, "down").code == 0
    assert ledger_files(plant) == before


def test_a_tail_that_was_cut_off_is_noticed_by_a_snapshot_that_knows_more(plant: Factory) -> None:
    last = len(plant.events())
    alter(plant, f"DELETE FROM event WHERE seq > {last - 3}")
    ran = cli(plant, "up")
    assert ran.code == 1 and f"ends at event {last - 3}" in ran.err, ran
    known = re.search(r"after event (\d+)", ran.err)  # a deed that ends while the daemon leaves may be recorded after its snapshot
    assert known and last - 3 < int(known[1]) <= last, ran


def test_views_of_a_broken_ledger_are_served_to_a_client_that_stays(plant: Factory) -> None:
    last = len(plant.events())
    alter(plant, f"UPDATE event SET at = at + 1 WHERE seq = {last}")
    shutil.rmtree(plant.layout.home / "snapshots")
    plant.start()
    with plant.client() as client:
        snapshot = client.ask(wire.Subscribe())
        assert isinstance(snapshot, wire.Snapshot)
        assert [view.state for view in snapshot.views if isinstance(view, TaskView)] == ["done"]
        assert [view.mode for view in snapshot.views if isinstance(view, FactoryView)] == ["read-only"]
        with pytest.raises(Mistake, match="broken"):
            client.do(AddTask(repo="repo", title="x", spec="x"))  # type: ignore[arg-type]
        assert isinstance(client.ask(wire.GetViews()), wire.Snapshot)


# --- foreign and newer -----------------------------------------------------------------------------------------------


def noise(plant: Factory) -> tuple[str, ...]:
    plant.layout.ledger.write_bytes(bytes(range(256)) * 64)
    return ("not a database",)


def somebody_elses(plant: Factory) -> tuple[str, ...]:
    plant.layout.ledger.unlink()
    with closing(sqlite3.connect(plant.layout.ledger)) as db:
        db.execute("CREATE TABLE photos (name)")
        db.commit()
    return ("no ledger of Andon", "ANDON_HOME")


def newer_format(plant: Factory) -> tuple[str, ...]:
    with closing(sqlite3.connect(plant.layout.ledger)) as db:
        db.execute("PRAGMA user_version = 9")
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return ("format 9", "Use the release that wrote it")


def newer_kind(plant: Factory) -> tuple[str, ...]:
    seq = append(plant, "robot.danced", 1, '{"type":"robot.danced"}')
    return (f"Event {seq} cannot be read", "`robot.danced` is unknown", "Use the release that wrote it")


def newer_version(plant: Factory) -> tuple[str, ...]:
    seq = append(plant, "task.done", 7, '{"type":"task.done","task":"T1","how":"well"}')
    return (f"Event {seq} cannot be read", "version 7", "Use the release that wrote it")


@pytest.mark.parametrize("make", [noise, somebody_elses, newer_format, newer_kind, newer_version])
def test_a_ledger_that_this_release_cannot_read_stops_the_start_with_its_reason_and_stays_as_it_is(
        plant: Factory, make: Callable[[Factory], tuple[str, ...]]) -> None:
    for beside in ("-wal", "-shm"):
        Path(f"{plant.layout.ledger}{beside}").unlink(missing_ok=True)
    says = make(plant)
    before = ledger_files(plant)
    assert_clear(cli(plant, "up"), 3, *says, str(plant.layout.ledger))
    assert_clear(cli(plant, "add", "more", "--repo", "repo"), 3, *says)
    assert_clear(cli(plant, "daemon"), 2, *says)
    assert_clear(cli(plant, "list"), 3, "not running")
    found = cli(plant, "doctor")
    assert found.code == 1 and says[0] in found.out
    assert_clear(cli(plant, "log"), 2, says[0])
    assert ledger_files(plant) == before


# --- cannot be written -----------------------------------------------------------------------------------------------


def test_a_ledger_that_another_program_holds_pauses_the_factory_which_says_so_and_goes_on(told: Path, tmp_path: Path) -> None:
    with factory(tmp_path / "f") as plant:
        name = plant.register(small_repo(tmp_path / "repo"))
        with closing(sqlite3.connect(plant.layout.ledger, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            ran = cli(plant, "add", "more", "--repo", "repo")
            assert_clear(ran, 4, "holds the ledger open", "Only the daemon writes here")
            status = cli(plant, "status")
            assert "paused" in status.out and "holds the ledger open" in status.out
            other.execute("ROLLBACK")
        plant.until(lambda: "running" in cli(plant, "status").out, what="the factory to go on")
        plant.until_state(plant.add(name), "done")


def test_a_home_that_cannot_be_written_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way\n")
    plant = Factory(tmp_path / "file" / "f")
    ran = cli(plant, "up")
    assert_clear(ran, 3, str(tmp_path / "file"), "ANDON_HOME")
    assert_clear(cli(plant, "daemon"), 2, str(tmp_path / "file"), "ANDON_HOME")
    assert_clear(cli(plant, "list"), 3, "not running")
    assert (tmp_path / "file").read_text() == "in the way\n"
