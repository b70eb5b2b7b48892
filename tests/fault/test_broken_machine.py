"""The machine fails, not the daemon: full disk, dead tmux, dead wrappers, a reboot. Nothing lands falsely, work goes on."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from andon.edges.jobs import Running, probe
from andon.schema import inputs as i
from andon.schema.errors import Mistake
from andon.schema.views import FactoryView, ProblemView
from fault.checker import check
from fault.workload import Piece, end
from fault.world import of, panes, rows
from support import wait_until
from tmuxkit import server_pid


@pytest.fixture
def piece(tmp_path: Path) -> Iterator[Piece]:
    """Two tasks; one of the agents asks and waits."""
    made = Piece(tmp_path / "w", acts=("proper", "ask"))
    made.answers = False
    try:
        yield made
    finally:
        end(made.plant)


def factory_view(piece: Piece) -> FactoryView:
    return next(view for view in piece.plant.views() if isinstance(view, FactoryView))


def problems(piece: Piece) -> list[ProblemView]:
    return [view for view in piece.plant.views() if isinstance(view, ProblemView)]


def shims(piece: Piece) -> list[int]:
    """The wrappers that run."""
    seen = [probe(folder) for folder in piece.plant.layout.jobs.glob("*")]
    return [one.started.pid for one in seen if isinstance(one, Running)]


def until_asked(piece: Piece) -> None:
    """An agent sits there and waits for an answer."""
    assert piece.drive(until=lambda: piece.plant.gates()) == "there", piece.plant.log_text()


def finish(piece: Piece) -> None:
    """Answer from now on; everything comes to rest and every promise was kept."""
    piece.answers = True
    state = piece.drive()
    told = "\n".join(f"{row.seq} {row.kind} {row.text[:160]}" for row in rows(piece.scene.home)[-30:])
    assert state == "rest", f"{state}\n{told}\n{piece.plant.log_text()}"
    piece.plant.stop()
    assert check(piece.scene) == []
    assert len(of(rows(piece.scene.home), "task.landed")) == 2


def kill_tmux(piece: Piece) -> None:
    server = server_pid(piece.plant.layout)
    assert server is not None
    os.kill(server, signal.SIGKILL)


def kill_shims(piece: Piece) -> None:
    for pid in shims(piece):
        os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize("harm", [kill_tmux, kill_shims])
def test_agents_that_were_taken_away_are_tried_again_and_nobody_counts_it_against_the_change(
    piece: Piece, harm: Callable[[Piece], None],
) -> None:
    piece.harmed = True
    piece.plant.start()
    until_asked(piece)
    harm(piece)
    piece.plant.until(lambda: of(rows(piece.scene.home), "attempt.failed"), what="the loss to be seen")
    finish(piece)
    assert {row["failure"] for row in of(rows(piece.scene.home), "attempt.failed")} == {"transient"}


def test_a_dead_tmux_server_is_on_the_board_until_there_is_one_again(piece: Piece) -> None:
    piece.harmed = True
    piece.plant.start()
    until_asked(piece)
    kill_tmux(piece)
    piece.plant.until(lambda: "problem.cleared" in piece.plant.kinds(), what="the problem to be cleared")
    noticed = of(rows(piece.scene.home), "problem.noticed")
    assert [row["key"] for row in noticed] == ["tmux"]
    assert "tmux" in noticed[0]["what"]
    piece.plant.until(lambda: not problems(piece), what="the board to show it no more")
    finish(piece)


def test_after_a_reboot_the_work_goes_on(piece: Piece) -> None:
    piece.harmed = True
    piece.plant.start()
    until_asked(piece)
    server = server_pid(piece.plant.layout)
    piece.plant.kill()
    kill_shims(piece)
    assert server is not None
    os.kill(server, signal.SIGKILL)
    piece.plant.start()
    finish(piece)
    assert of(rows(piece.scene.home), "attempt.lost")


def test_a_second_daemon_says_who_has_the_factory_and_leaves_it_alone(piece: Piece) -> None:
    piece.plant.start()
    assert piece.plant.process is not None
    second = subprocess.run((sys.executable, "-m", "andon.cli.main", "daemon"), env=piece.plant.env, capture_output=True, text=True,
                            timeout=30, check=False)
    assert second.returncode != 0
    assert f"pid {piece.plant.process.pid}" in second.stderr
    assert "Traceback" not in second.stderr
    piece.answers = True
    finish(piece)


def test_a_socket_of_a_dead_daemon_is_no_obstacle(piece: Piece) -> None:
    piece.plant.start()
    piece.plant.kill()
    assert piece.plant.layout.socket.exists()
    piece.plant.start()
    finish(piece)


# --- a full disk -----------------------------------------------------------------------------------------------------


@pytest.fixture
def small_disk(piece: Piece) -> Iterator[Path]:
    """The factory's home on a disk of its own, of 24 MiB."""
    home = piece.plant.layout.home
    home.mkdir(parents=True)
    mount = ("mount", "-t", "tmpfs", "-o", "size=24m,mode=0700", "tmpfs", str(home))
    done = subprocess.run(mount, capture_output=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"cannot mount a small disk here: {done.stderr.decode(errors='replace').strip()}")
    try:
        yield home
    finally:
        end(piece.plant)
        subprocess.run(("umount", "-l", str(home)), check=True)


def fill(home: Path) -> Path:
    """Take all the room there is."""
    filler = home / "filler"
    with filler.open("ab", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(b"x" * 4096)
    return filler


def test_a_full_disk_pauses_the_factory_and_it_goes_on_by_itself_when_there_is_room(piece: Piece, small_disk: Path) -> None:
    piece.plant.start()
    until_asked(piece)
    filler = fill(small_disk)
    landed = len(of(rows(piece.scene.home), "target.moved"))

    def refused() -> bool:
        """A person goes on asking for things until the ledger cannot take them."""
        fill(small_disk)
        with contextlib.suppress(Mistake):
            assert piece.known is not None
            piece.plant.do(i.PullCord(repo=piece.known, line="build", because="x" * 2000))
            piece.plant.do(i.ReleaseCord(repo=piece.known, line="build"))
        return factory_view(piece).mode == "paused"

    wait_until(refused, 30, what="the factory to pause")
    assert "disk is full" in factory_view(piece).because
    assert len(of(rows(piece.scene.home), "target.moved")) == landed
    filler.unlink()
    begun = time.monotonic()
    piece.plant.until(lambda: factory_view(piece).mode == "running", 40, what="the factory to go on")
    assert time.monotonic() - begun < 35
    finish(piece)
    told = [(row.kind, row["key"]) for row in of(rows(piece.scene.home), "problem.noticed", "problem.cleared")]
    assert ("problem.noticed", "store") in told and ("problem.cleared", "store") in told
    assert panes(piece.scene.runtime)
