"""Random repositories through the merge queue: real git, the real daemon, killed at random, and an independent judge."""

import os
from pathlib import Path

import pytest

from fault.queue_play import play
from fault.queue_work import Plan

SEEDS = range(1, 1 + int(os.environ.get("ANDON_QUEUE_SEEDS", "1")))
"""More seeds with ANDON_QUEUE_SEEDS=20; large ones with `python tests/fault/queue_play.py`."""


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("seed", SEEDS)
def test_whatever_happens_only_green_trees_land_and_only_what_is_poison_does_not(seed: int, tmp_path: Path) -> None:
    plan = Plan(seed=seed, branches=14, poison=1 + seed % 3, pairs=1, shared=1, cancelled=1, held=1, outsider=1, kills=2,
                history="green" if seed % 2 else "tips", dirty=seed % 3 == 2)
    played = play(plan, tmp_path / "q", 200)
    print(played)
    assert played.good, f"{played}\n{played.log}"
    assert played.counts["starts"] == 3 and played.counts["culprits"] >= plan.poison
