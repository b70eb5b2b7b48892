"""The tests of the walls' rules can fail: one rule at a time is taken out, and a test must notice."""

from collections.abc import Callable
from typing import Any

import pytest

import core.test_core_walls as of_walls
from andon.core import walls
from andon.core.folds import attempts
from andon.schema import sandbox, settings

Patch = Callable[[pytest.MonkeyPatch], None]


def instead(where: object, name: str, other: Any) -> Patch:
    """Another thing in a rule's place."""
    return lambda patch: patch.setattr(where, name, other)


MUTANTS: dict[str, tuple[Patch, Callable[[], None]]] = {
    "the gate does not look": (
        instead(walls, "below", lambda *_: ""), lambda: of_walls.test_a_weak_part_makes_it_a_persons_and_the_gate_says_which(
            "agent", "built within walls", "none")),
    "the queue does not look": (
        instead(walls, "too_weak", lambda *_: ""), of_walls.test_a_line_without_a_gate_asks_where_it_would_land),
    "the proof of a merge is not looked at": (
        instead(walls, "unproven", lambda *_: []),
        of_walls.test_a_proof_of_the_merged_tree_within_weak_walls_moves_nothing_and_asks_about_each_member_at_once),
    "a yes counts for everything": (
        instead(walls, "floor", lambda state, task: "none" if task.consent else walls.wanted(state, task)),
        of_walls.test_what_a_person_agreed_to_is_the_floor_for_the_proof_and_not_less),
    "a yes counts for nothing": (
        instead(walls, "floor", walls.wanted), of_walls.test_what_a_person_agreed_to_is_the_floor_for_the_proof_and_not_less),
    "the unknown is strict": (
        instead(walls, "rank", lambda level: sandbox.rank(level or "strict")),
        lambda: of_walls.test_a_weak_part_makes_it_a_persons_and_the_gate_says_which("agent", "built within walls", "")),
    "only the last sitting counts": (
        instead(attempts, "weakest", lambda levels: tuple(levels)[-1]), of_walls.test_of_several_sittings_the_weakest_counts),
    "earlier work does not count": (
        instead(attempts, "built_within", lambda state, attempt: attempt.walls),
        of_walls.test_work_that_goes_on_from_weaker_walls_is_as_weak_as_they_were),
    "old proofs are good for ever": (
        instead(walls, "as_good", lambda *_: True),
        of_walls.test_a_proof_from_weaker_walls_is_seen_again_once_the_machine_gives_better_ones),
    "nobody trusts a lower policy": (
        instead(settings.Policy, "openings", lambda self: ()), of_walls.test_lowering_the_walls_is_something_that_a_person_trusts),
    "nothing is said of the machine": (
        instead(walls, "told", lambda state: []),
        of_walls.test_weak_walls_of_the_machine_are_a_problem_until_they_are_mended_and_say_what_follows),
}


@pytest.mark.parametrize("name", MUTANTS)
def test_a_rule_about_walls_that_is_taken_out_is_missed(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    patch, hunt = MUTANTS[name]
    hunt()
    patch(monkeypatch)
    with pytest.raises((AssertionError, KeyError)):  # a key: the gate, or the attempt, that is not there now
        hunt()
