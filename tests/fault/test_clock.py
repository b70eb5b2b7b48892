"""The wall clock jumps by hours under a factory at work: nothing runs out early, nothing waits, the order of events holds."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from fault.checker import check
from fault.disk import library
from fault.workload import Piece, end
from fault.world import of, rows

HOURS = 7200
JUMPS = (HOURS, -HOURS, 1800, -1800) if os.environ.get("ANDON_FAULTS") else (HOURS, -HOURS)


@pytest.fixture
def piece(tmp_path: Path) -> Iterator[Piece]:
    made = Piece(tmp_path / "w", acts=("proper", "ask"))
    made.answers = False
    try:
        yield made
    finally:
        end(made.plant)


@pytest.mark.slow
@pytest.mark.parametrize("jump", JUMPS)
def test_a_clock_that_jumps_ends_no_agent_and_turns_no_event_round(piece: Piece, tmp_path: Path, jump: int) -> None:
    clock = tmp_path / "clock"
    clock.write_text("0")
    piece.plant.start({"LD_PRELOAD": str(library()), "FAULT_CLOCK": str(clock)})
    assert piece.drive(until=lambda: piece.plant.gates()) == "there", piece.plant.log_text()
    before = rows(piece.scene.home)[-1].at
    clock.write_text(str(jump))
    piece.answers = True
    state = piece.drive(90)
    told = "\n".join(f"{row.seq} {row.at} {row.kind} {row.text[:160]}" for row in rows(piece.scene.home)[-30:])
    assert state == "rest", f"{state}\n{told}\n{piece.plant.log_text()[-2000:]}"
    piece.plant.stop()
    assert check(piece.scene) == []
    found = rows(piece.scene.home)
    assert [row.at for row in found] == sorted(row.at for row in found), "time runs backwards in the ledger"
    assert len(of(found, "task.landed")) == 2 and not of(found, "attempt.lost", "attempt.failed", "attempt.suspended"), told
    assert len(of(found, "attempt.claimed")) == 2
    assert found[-1].at - before < 600_000, "a running daemon follows the clock that cannot jump"

    piece.plant.start({"LD_PRELOAD": str(library()), "FAULT_CLOCK": str(clock)})
    piece.plant.stop()
    again = rows(piece.scene.home)[len(found):]
    assert again[0].kind == "factory.started" and again[0].at >= found[-1].at
    assert (again[0].at - found[-1].at > 900_000) == (jump > 0), "the clock that the next daemon reads did jump"
    assert again[-1].at > again[0].at, "where it was set back, time goes on from the last event: nothing waits for hours"
    assert check(piece.scene) == []
