"""kill -9 as the daemon begins any system call that changes something: as at its named points, it recovers with every promise kept.

The named points are the ones that somebody thought of; these are all.
"""

import os
import random
import struct
from pathlib import Path

import pytest

from fault.checker import Violation, check
from fault.disk import library
from fault.sweep import SECONDS, Case, run
from fault.workload import Piece, end

KINDS = ("write", "sync", "cut", "rename", "remove", "mkdir", "create", "connect", "send", "lock")
"""In the order of the library's tally."""
EACH = 8 if os.environ.get("ANDON_FAULTS") else 0
"""Kills at each kind of call; in a short run three in all."""
ACTS = ("proper", "ask")


@pytest.fixture(scope="module")
def calls(tmp_path_factory: pytest.TempPathFactory) -> dict[str, int]:
    """How many calls of each kind a life without a fault makes."""
    tally = tmp_path_factory.mktemp("tally") / "counts"
    case = run(Case((), acts=ACTS), tmp_path_factory.mktemp("w") / "w", {"LD_PRELOAD": str(library()), "FAULT_TALLY": str(tally)})
    assert case.good, f"{case.violations}\n{case.log}"
    return dict(zip(KINDS, struct.unpack_from(f"@{len(KINDS)}l", tally.read_bytes()), strict=True))


def chosen(calls: dict[str, int]) -> list[tuple[str, int]]:
    """Moments to be killed at, spread over the life and different each time that nobody says which."""
    chance = random.Random(os.environ.get("ANDON_FAULT_SEED", "7"))
    if not EACH:
        return [(kind, chance.randint(1, calls[kind])) for kind in ("write", "rename", "create")]
    return [(kind, chance.randint(1 + n * calls[kind] // EACH, max(1 + n * calls[kind] // EACH, (n + 1) * calls[kind] // EACH)))
            for kind in KINDS for n in range(min(EACH, calls[kind]))]


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_killed_at_any_call_that_changes_something_it_recovers(calls: dict[str, int], tmp_path: Path) -> None:
    assert all(calls[kind] for kind in ("write", "sync", "rename", "create", "send")), calls
    bad, killed = [], 0
    for number, (kind, n) in enumerate(chosen(calls)):
        case = run_killed(tmp_path / str(number), kind, n)
        killed += case.killed
        if not case.good:
            bad.append(f"{kind}:{n} of {calls[kind]}: {[str(one) for one in case.violations]}\n{case.log[-800:]}")
    print(f"killed {killed} times, at {calls}")
    assert bad == [] and killed >= len(chosen(calls)) // 2, (bad, killed)


def run_killed(root: Path, kind: str, n: int) -> Case:
    """One life with one death."""
    case = Case((f"{kind}:{n}",), acts=ACTS)
    piece = Piece(root, acts=ACTS)
    plant = piece.plant
    try:
        plant.start({"LD_PRELOAD": str(library()), "FAULT_DIE": f"{kind}:{n}"})
        state = piece.drive(SECONDS)
        if state == "rest":
            plant.stop()
        if state == "dead" or (plant.process is not None and plant.process.returncode == -9):
            case.killed = 1
            plant.start()
            state = piece.drive(SECONDS)
            plant.stop()
        case.rested = state == "rest"
        case.violations = check(piece.scene) if case.rested else [Violation("at-rest", f"the factory is {state}")]
        case.log = plant.log_text()
    finally:
        end(plant)
    return case
