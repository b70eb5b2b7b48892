"""What a repository's past says of its queue: how often changes fail, how often checks lie, how many proofs at once pay.
It must never know where the past was read from."""

import statistics
from collections.abc import Sequence

import msgspec

MOST_SLOTS = 16
"""Proofs at once, at most."""
FLAKY = 0.03
"""Above this share of runs that fail for nothing, one more failure is too little to reject a change."""
RUNS_TO_TELL = 3
"""Runs before anything is said about how well a suite parallelises."""
THROUGHPUT = {1: 2.36, 2: 3.58, 4: 4.92, 8: 6.73, 16: 8.10}
"""Landed changes in the time of one proof, by slots, of prefix search at a failure rate of 5 %: only their ratios matter."""


class Record(msgspec.Struct, frozen=True):
    """How a number of changes fared."""

    decided: int = 0
    """Landed or rejected."""
    failed: int = 0
    """Rejected, for themselves or against what had landed."""


def own_failure(record: Record, mean: float = 0.05, weight: float = 20.0) -> float:
    """How likely a change fails: what was seen, and `weight` imagined changes of which a share of `mean` failed (a beta prior)."""
    return clamp((record.failed + mean * weight) / (record.decided + weight), 0.002, 0.6)


def risk(everything: Record, alike: Record, weight: float = 40.0) -> float:
    """How likely one change fails, from how those fared that are like it (the same agent, a second attempt, a large one).

    The base rate, until there are about `weight` of them: fewer say little.
    """
    return own_failure(alike, own_failure(everything), weight)


def flake_rate(trees: Sequence[tuple[int, int]], mean: float = 0.005, weight: float = 100.0) -> float:
    """How likely a run fails for nothing, from the (passes, fails) of each tree that was ever proved.

    Only trees that passed at least once count: a failure of the very same tree was a lie. One that never passed may be guilty.
    """
    good = [(passes, fails) for passes, fails in trees if passes > 0]
    lies, runs = sum(fails for _, fails in good), sum(passes + fails for passes, fails in good)
    return clamp((lies + mean * weight) / (runs + weight), 0.0001, 0.5)


def soonest(shares: Sequence[float], prior: float = 0.2, weight: float = 5.0) -> float:
    """The part of a passing proof's time after which failing ones begin to end, from the share of it that each failing one took.

    They are taken to end evenly from there to the whole: with a check that only fails at its end it is near 1.
    """
    known = [clamp(share, 0.0, 1.0) for share in shares]
    mean = (sum(known) + (1 + prior) / 2 * weight) / (len(known) + weight)
    return clamp(2 * mean - 1, 0.0, 0.98)


def confirm_for(rate: float) -> int:
    """Further failures, alone on the trunk, before a change is rejected, by the flake rate."""
    return 1 if rate < FLAKY else 2


def parallelism(runs: Sequence[tuple[float, float]], cores: int) -> float | None:
    """The share of a suite's work that spreads over `cores`, from (cpu seconds, wall seconds) of its runs; None: not known.

    By Amdahl's law from the median run. A suite that waits more than it works spreads as little as one that runs in one thread.
    """
    used = [cpu / wall for cpu, wall in runs if cpu > 0 and wall > 0]
    if cores < 2 or len(used) < RUNS_TO_TELL:
        return None
    return clamp((1 - 1 / statistics.median(used)) * cores / (cores - 1), 0.0, 1.0)


def slots_for(cores: int, share: float | None, asked: int = 0) -> int:
    """Proofs at once: what was asked for, else what lands most on these cores with a suite of which `share` parallelises.

    The fewest slots within 2 % of the best: fewer proofs at once are cheaper and end sooner. One while the share is not known,
    for one proof at a time tells it.
    """
    if asked > 0:
        return min(asked, MOST_SLOTS)
    if share is None or cores < 2:
        return 1
    landed = {k: rate / seconds(share, cores / k) for k, rate in THROUGHPUT.items() if k <= cores}
    return min(k for k, rate in landed.items() if rate >= 0.98 * max(landed.values()))


def seconds(share: float, cores: float) -> float:
    """How long a suite takes on that many cores, as a part of its time on one."""
    return 1 - share + share / cores


def clamp(value: float, low: float, high: float) -> float:
    """The nearest value within bounds."""
    return min(high, max(low, value))
