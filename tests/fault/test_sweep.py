"""A sample of the sweep: kill -9 at points of every kind, one of them twice, and while the person commits beside it."""

import random

import pytest

from fault.sweep import Case, doubled, play, sampled, trace

SAMPLE = 6


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_killed_anywhere_the_daemon_recovers_and_keeps_every_promise() -> None:
    chance, passed = random.Random(7), trace()
    cases = [Case((fault,)) for fault in sampled(passed, SAMPLE, chance)]
    cases += [Case(("move-target.swapped:2",), meddled=True), *(Case(pair) for pair in doubled(passed, 1, chance))]
    play(cases, 2, quiet=True)
    bad = [f"{case.name}: {case.violations}\n{case.log}" for case in cases if not case.good]
    assert not bad, "\n".join(bad)
    assert sum(case.killed > 0 for case in cases) >= SAMPLE - 2
