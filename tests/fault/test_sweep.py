"""A sample of the sweep: kill -9 at points of every kind, one of them twice, and while the person commits beside it."""

import random

import pytest

from fault.sitting_work import SITTINGS
from fault.sweep import Case, doubled, play, sampled, trace

SAMPLE = 6
SESSIONS = ("deliver-message.marked:1", "answer-ask.written:2", "jobs.set-aside:1", "interrupt-turn.act:1", "end-session.asked:3",
            "suspend-session.act:1")
"""Moments of sessions at which a careless daemon would say or do something twice."""


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


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_killed_while_it_deals_with_sessions_it_says_and_does_nothing_twice() -> None:
    cases = [Case((fault,), acts=SITTINGS) for fault in SESSIONS]
    play(cases, 2, quiet=True)
    bad = [f"{case.name}: {case.violations}\n{case.log}" for case in cases if not case.good]
    assert not bad, "\n".join(bad)
    assert all(case.killed for case in cases)
