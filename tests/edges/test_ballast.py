"""Room is kept back for a full disk, and the daemon's own log does not fill it."""

import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

from andon.edges import ballast
from andon.schema.layout import Layout
from ledgerkit import factory

DISK = 4096


@pytest.fixture
def where(tmp_path: Path) -> Layout:
    made = factory(tmp_path / "factory")
    made.home.mkdir()
    return made


class Disk:
    """A disk of another size than ours."""

    def __init__(self, size: int) -> None:
        self.f_frsize, self.f_blocks = DISK, size // DISK


@pytest.mark.parametrize(("disk", "wanted"), [(1_500_000, ballast.LEAST), (2**30, 2**21), (2**50, ballast.MOST)])
def test_it_weighs_what_the_disk_can_spare(where: Layout, monkeypatch: pytest.MonkeyPatch, disk: int, wanted: int) -> None:
    monkeypatch.setattr("andon.edges.ballast.os.statvfs", lambda _: Disk(disk))
    ballast.keep(where)
    assert ballast.held(where) == wanted == where.ballast.stat().st_size
    assert len(set(where.ballast.read_bytes())) == 256, "a disk that compresses would not keep the room"


def test_what_does_not_weigh_what_it_should_is_made_again(where: Layout) -> None:
    ballast.keep(where)
    before = where.ballast.stat().st_ino
    ballast.keep(where)
    assert where.ballast.stat().st_ino == before
    for spoil in (lambda: os.truncate(where.ballast, 0), lambda: where.ballast.write_bytes(b"short"), where.ballast.unlink):
        spoil()
        assert ballast.held(where) < ballast.size(where)
        ballast.keep(where)
        assert ballast.held(where) == ballast.size(where)
    os.truncate(where.ballast, 0)
    os.truncate(where.ballast, ballast.size(where))
    assert ballast.held(where) == 0, "holes take no room"


def test_it_is_given_back_once(where: Layout) -> None:
    ballast.keep(where)
    assert ballast.drop(where) == ballast.size(where) and ballast.held(where) == 0
    assert ballast.drop(where) == 0


# --- the daemon's log ------------------------------------------------------------------------------------------------

TALKER = """
import logging, os, sys
from pathlib import Path
from andon.edges import daemon_log
logging.basicConfig(handlers=[daemon_log.Turning(Path(sys.argv[1]), 20_000)], level=logging.INFO, format="%(message)s")
for n in range(1000):
    logging.info("%06d %s", n, "x" * 100)
os.write(2, b"a child's last word\\n")
"""


def talk(log: Path, into: Path) -> None:
    with into.open("ab") as out:
        subprocess.run([sys.executable, "-c", TALKER, str(log)], stdout=out, stderr=out, check=True, timeout=60)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "logs"
    made.mkdir()
    return made


def test_the_log_stays_within_its_bound_and_loses_nothing_of_what_it_keeps(folder: Path) -> None:
    log = folder / "daemon.log"
    talk(log, log)
    files = [log.with_name(f"{log.name}.2"), log.with_name(f"{log.name}.1"), log]
    assert sorted(folder.iterdir()) == sorted(files)
    assert all(path.stat().st_size < 45_000 for path in files), [path.stat().st_size for path in files]
    lines = "".join(path.read_text() for path in files).splitlines()
    assert lines.pop() == "a child's last word"
    numbers = [int(line[:6]) for line in lines]
    assert numbers == list(range(numbers[0], 1000)) and log.stat().st_mode & 0o077 == 0


def test_output_that_leads_elsewhere_is_never_turned(folder: Path) -> None:
    log, journal = folder / "daemon.log", folder / "journal"
    log.write_bytes(b"of an earlier daemon\n")
    talk(log, journal)
    assert sorted(path.name for path in folder.iterdir()) == ["daemon.log", "journal"]
    assert len(journal.read_text().splitlines()) == 1001 and log.read_bytes() == b"of an earlier daemon\n"


def test_a_log_that_cannot_be_turned_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from andon.edges import daemon_log

    def refused(*_: object) -> bool:
        raise OSError("no")

    monkeypatch.setattr(daemon_log, "turn", refused)
    handler = daemon_log.Turning(tmp_path / "daemon.log", 1)
    handler.emit(logging.LogRecord("a", logging.INFO, "", 0, "still here", None, None))
