"""What a repository's past says of its queue: rates of failure and flakes, how a suite spreads, how many proofs at once."""

import random

import pytest

from andon.core.queue.rates import (
    MOST_SLOTS,
    RUNS_TO_TELL,
    Record,
    confirm_for,
    flake_rate,
    own_failure,
    parallelism,
    risk,
    slots_for,
    soonest,
)


def test_without_a_past_the_usual_rate_is_taken_and_much_of_it_replaces_that() -> None:
    assert own_failure(Record()) == pytest.approx(0.05)
    assert own_failure(Record(decided=2000, failed=300)) == pytest.approx(0.15, abs=0.002)
    assert own_failure(Record(decided=1, failed=1)) < 0.1, "one failure is no rate"


def test_a_rate_never_says_never_or_always() -> None:
    assert 0 < own_failure(Record(decided=10**6)) < own_failure(Record(decided=10**6, failed=10**6)) < 1


def test_the_rate_of_those_alike_counts_only_once_there_are_many() -> None:
    everything = Record(decided=1000, failed=50)
    few, many = risk(everything, Record(decided=2, failed=2)), risk(everything, Record(decided=400, failed=120))
    assert 0.05 < few < 0.11 and many == pytest.approx(0.28, abs=0.02)
    assert risk(everything, Record()) == pytest.approx(own_failure(everything))


def test_only_a_tree_that_also_passed_tells_of_flakes() -> None:
    assert flake_rate([(0, 2)] * 500) == pytest.approx(flake_rate([]))
    assert flake_rate([(97, 3)] * 100) == pytest.approx(0.03, abs=0.001)


def test_a_simulated_flake_rate_is_found_again() -> None:
    chance = random.Random(7)
    trees = []
    for _ in range(3000):
        fails = 0
        while chance.random() < 0.08 and fails < 2:
            fails += 1
        trees.append((1 if fails < 2 else 0, fails))
    assert flake_rate(trees) == pytest.approx(0.08, abs=0.015)


def test_when_failures_show_is_read_from_failing_proofs() -> None:
    assert soonest([]) == pytest.approx(0.2)
    assert soonest([1.0] * 200) > 0.95
    chance = random.Random(3)
    assert soonest([chance.uniform(0.5, 1.0) for _ in range(300)]) == pytest.approx(0.5, abs=0.05)
    assert soonest([0.01] * 200) == 0.0


@pytest.mark.parametrize(("rate", "confirm"), [(0.0, 1), (0.029, 1), (0.03, 2), (0.2, 2)])
def test_a_repository_with_many_flakes_confirms_twice(rate: float, confirm: int) -> None:
    assert confirm_for(rate) == confirm


def test_how_a_suite_spreads_is_not_known_before_some_runs_or_on_one_core() -> None:
    assert parallelism([(10.0, 10.0)] * (RUNS_TO_TELL - 1), 8) is None
    assert parallelism([(10.0, 10.0)] * 9, 1) is None
    assert parallelism([(0.0, 10.0)] * 9, 8) is None


@pytest.mark.parametrize("share", [0.0, 0.5, 0.8, 0.95, 1.0])
@pytest.mark.parametrize("cores", [2, 4, 16])
def test_how_a_suite_spreads_is_read_from_its_runs(share: float, cores: int) -> None:
    wall = 100.0 * (1 - share + share / cores)
    assert parallelism([(100.0, wall), (100.0, wall), (100.0, wall), (100.0, 900.0)], cores) == pytest.approx(share)


def test_a_suite_that_waits_spreads_over_nothing() -> None:
    assert parallelism([(1.0, 60.0)] * 5, 8) == 0.0


@pytest.mark.parametrize(("share", "slots"), [
    (0.0, (2, 4, 8, 16)), (0.5, (2, 4, 8, 8)), (0.8, (1, 1, 2, 4)), (0.95, (1, 1, 1, 1)), (1.0, (1, 1, 1, 1)),
])
def test_slots_follow_from_cores_and_how_the_suite_spreads(share: float, slots: tuple[int, ...]) -> None:
    assert tuple(slots_for(cores, share) for cores in (2, 4, 8, 16)) == slots


def test_one_slot_while_nothing_is_known_and_what_was_asked_for_up_to_a_bound() -> None:
    assert slots_for(16, None) == slots_for(1, 0.0) == 1
    assert slots_for(2, 0.9, asked=5) == 5
    assert slots_for(64, 0.0) == slots_for(2, 0.0, asked=99) == MOST_SLOTS
