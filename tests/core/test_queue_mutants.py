"""The tests of the merge queue can fail: one rule at a time is taken out, and a property or a playbook must notice."""

from typing import Any

import msgspec
import pytest

import core.test_core_clashes as of_clashes
import core.test_core_land as of_land
import core.test_core_queue as of_queue
import core.test_core_queue_commands as of_commands
import core.test_core_reverts as of_reverts
import core.test_core_watch as of_watch
import core.test_queue_invariants as of_invariants
from andon.core import pending, schedule
from andon.core.folds import factory, landing as fold_landing, table
from andon.core.queue import clashes, intents, proving, reverts, standing, steer
from andon.core.queue.facts import Landing
from andon.core.state import Repository, State
from andon.core.stations import land, watch
from andon.schema import events as e, inputs as i
from andon.schema.ids import TaskId
from andon.schema.settings import Queue
from core.test_mutants import Hunt, Patch, hearing, instead, passing


def several(*patches: Patch) -> Patch:
    """More than one place."""

    def patch(monkeypatch: pytest.MonkeyPatch) -> None:
        for one in patches:
            one(monkeypatch)

    return patch


def without_fold(kind: type[e.Event]) -> Patch:
    """An event of this kind changes nothing."""
    return lambda patch: patch.setitem(table.HANDLERS, kind, lambda state, event: state)


def nothing(*args: object) -> list[Any]:
    return []


def unchanged(state: State, *args: object) -> State:
    return state


def against_the_target(state: State, seen: Any) -> Any:
    return msgspec.structs.replace(seen, against=TaskId(""))


def deaf_to_results(state: State, repo: Repository, landing: Landing) -> list[e.Event]:
    """A proof of one check is enough."""
    done = landing.checked and not landing.passed
    return [e.LandingJudged(landing=landing.landing, result="pass", because="")] if done else RULE(state, repo, landing)


RULE, FOLLOW, MERGED, ASK = proving.advance, fold_landing.follow, pending.merged, land.ask
MUTANTS: dict[str, tuple[Patch, Hunt]] = {
    "one failure is enough": (
        instead(standing, "confirmations", lambda *args: 0),
        of_queue.test_a_failing_prefix_is_bracketed_bisected_and_its_culprit_confirmed),
    "a second confirmation is not asked for": (
        instead(standing, "confirmations", lambda *args: 1), of_queue.test_where_many_checks_flake_a_culprit_is_confirmed_twice),
    "one pass is told twice": (
        instead(proving, "repeats", lambda *args: False),
        of_queue.test_a_failure_that_passes_is_told_with_its_evidence_and_lands_only_after_a_second_pass),
    "every failure is excused": (
        instead(standing, "excused", lambda *args: True),
        of_queue.test_a_failure_that_passes_is_told_with_its_evidence_and_lands_only_after_a_second_pass),
    "nothing is excused": (
        instead(standing, "excused", lambda *args: False), of_queue.test_a_test_that_is_known_to_be_flaky_is_excused_by_one_pass),
    "what a change touches is excused": (
        instead(standing, "touches", lambda *args: False), lambda: of_queue.test_a_failure_is_not_excused("touched")),
    "a mended test stays flaky": (without_fold(e.FlakeForgotten), lambda: of_queue.test_a_failure_is_not_excused("mended")),
    "flakes are not told": (
        instead(proving, "flaked", nothing),
        of_queue.test_a_failure_that_passes_is_told_with_its_evidence_and_lands_only_after_a_second_pass),
    "a longer proof is thrown away": (
        instead(fold_landing, "follow", unchanged),
        lambda: of_queue.test_a_longer_proof_goes_on_from_where_a_shorter_one_moved_the_target("tips")),
    "a tip is moved to whatever it lies on": (
        instead(fold_landing, "follow", lambda state, moved, new: FOLLOW(
            table.with_repo(state, moved.repo, settings=msgspec.structs.replace(
                state.repos[moved.repo].settings, queue=Queue())), moved, new)),
        lambda: of_queue.test_a_longer_proof_goes_on_from_where_a_shorter_one_moved_the_target("green")),
    "one check is enough": (
        instead(proving, "advance", deaf_to_results),
        of_queue.test_a_check_that_is_redefined_takes_back_what_it_said_of_merged_trees),
    "redefined checks keep their word": (
        instead(factory, "judged_anew", unchanged),
        of_queue.test_a_check_that_is_redefined_takes_back_what_it_said_of_merged_trees),
    "what was merged otherwise may land": (
        instead(land, "manner_of", lambda settings: ("merge", "tips", "main")),
        lambda: of_queue.test_what_was_merged_in_another_manner_is_merged_again(Queue(land="squash"))),
    "our own late move is taken for a person's": (
        instead(land, "recognised", nothing),
        lambda: of_queue.test_a_move_that_was_made_while_everything_was_stopped_is_recognised("cord", "watched")),
    "a late answer is not understood": (
        instead(land, "given_up", lambda *args: None),
        lambda: of_queue.test_a_move_that_was_made_while_everything_was_stopped_is_recognised("queue", "answered")),
    "who was given up lands in silence": (
        instead(land, "still", lambda *args: True),
        of_queue.test_of_a_prefix_that_landed_while_one_of_it_was_given_up_the_others_have_landed_and_a_person_hears_of_the_one),
    "a proven tree is run again": (
        instead(proving, "usable", lambda *args: None), of_land.test_a_merged_tree_that_was_proven_before_is_not_run_again),
    "a conflict among changes is the later one's fault": (
        hearing(i.CandidateConflicted, against_the_target),
        of_queue.test_a_conflict_with_an_earlier_change_sets_them_apart_and_the_later_goes_back_with_both_intents),
    "the other side stays unknown": (
        instead(intents, "told", lambda *args: ""), of_queue.test_who_goes_back_is_told_what_the_other_side_wanted),
    "anybody may be the other side": (
        instead(intents, "others", lambda *args: ()),
        of_queue.test_a_conflict_with_an_earlier_change_sets_them_apart_and_the_later_goes_back_with_both_intents),
    "unevaluated is taken for a pass": (
        hearing(i.CheckRan, passing), lambda: of_invariants.test_no_check_and_no_test_is_no_pass("lost")),
    "strangeness is not counted": (
        lambda patch: patch.setattr(land, "ask", ask_always),
        of_queue.test_a_second_strange_one_in_a_row_stops_the_queue_and_says_of_whom),
    "what is held stands in line": (
        several(instead(standing, "may_land", lambda *args: True), instead(land, "may_land", lambda *args: True)),
        of_commands.test_a_held_change_is_left_out_says_why_and_lands_when_it_is_released),
    "a stopped queue goes on": (
        instead(land, "moves", lambda *args: True), of_commands.test_a_stopped_queue_plans_nothing_says_so_and_goes_on),
    "what a person said of the order is not heard": (
        without_fold(e.QueueOrdered), of_commands.test_a_change_goes_before_another_or_to_the_front_and_the_rest_keeps_its_order),
    "nobody ages": (
        instead(fold_landing, "passed_over", unchanged), of_queue.test_who_was_overtaken_often_enough_goes_before_priority),
    "nobody ages, under pressure": (
        instead(fold_landing, "passed_over", unchanged), lambda: of_invariants.test_nobody_is_overtaken_without_end(20)),
    "an entry that lands may be moved": (
        instead(steer, "moving", lambda *args: None),
        lambda: of_commands.test_what_cannot_be_done_is_refused_with_its_reason_and_changes_nothing("hold what lands")),
    "all members but the last are silent": (
        instead(schedule, "landings_with", nothing), of_queue.test_every_member_says_that_its_merge_is_tried_again),
    "one failure of the target is believed": (
        instead(watch, "SURE", 1), of_watch.test_one_failure_is_run_again_and_a_pass_is_told_as_a_flake),
    "the last that landed is blamed": (
        instead(watch, "steps_since_green", lambda repo, wanted: (repo.queue.landed, True)),
        of_watch.test_a_target_that_was_never_green_names_nobody),
    "no change waits for green": (
        instead(watch, "covers", lambda *args: True),
        of_watch.test_a_red_target_is_bisected_over_its_steps_and_the_change_that_made_it_so_is_asked_about),
    "a red target stops no line": (
        instead(watch, "cords", nothing),
        of_watch.test_a_red_target_is_bisected_over_its_steps_and_the_change_that_made_it_so_is_asked_about),
    "reverts wait their turn": (
        instead(standing, "FIRST", 0), lambda: of_reverts.test_without_a_cord_too_a_revert_goes_before_everybody(0)),
    "a cord holds the revert that it asks for": (
        instead(standing, "stopped", lambda state, task: bool(state.cords)),
        of_reverts.test_a_revert_goes_first_past_age_and_the_cord_of_its_line),
    "a revert is made by nobody": (
        instead(reverts, "owes", lambda *args: None),
        of_reverts.test_a_revert_is_a_task_of_its_own_made_by_the_daemon_proved_and_landed),
    "the same clash is news each time": (
        instead(clashes, "news", lambda *args: True),
        of_clashes.test_a_clash_is_told_once_and_again_only_when_its_kind_or_its_places_are_others),
    "clashes outlive their changes": (
        instead(clashes, "alive", lambda *args: True),
        lambda: of_clashes.test_a_clash_ends_with_either_of_its_changes("cancelled")),
    "who does not merge is tried together again": (
        without_fold(e.LandingConflicted),
        of_clashes.test_changes_found_not_to_merge_never_stand_in_one_proof_until_the_target_is_anothers),
    "a rebuild has another date": (
        instead(pending, "merged", lambda state, landing: tuple(
            msgspec.structs.replace(member, at=state.at) for member in MERGED(state, landing))),
        lambda: of_invariants.test_a_candidate_is_asked_for_with_the_same_words_after_any_crash("tips")),
    "the move of a changed landing is made": (
        instead(land, "obsolete", lambda *args: ""),
        of_queue.test_a_result_that_comes_after_its_landing_is_over_says_nothing_of_it),
}


def ask_always(state: State, repo: Repository, members: tuple[str, ...]) -> list[e.Event]:
    """Asked about each, as if nothing strange had been seen before."""
    return ASK(state, msgspec.structs.replace(repo, queue=msgspec.structs.replace(repo.queue, strange=())), members)


@pytest.mark.parametrize("mutant", MUTANTS)
def test_a_rule_of_the_queue_that_is_taken_out_is_missed(mutant: str, monkeypatch: pytest.MonkeyPatch) -> None:
    patch, hunt = MUTANTS[mutant]
    patch(monkeypatch)
    with pytest.raises((AssertionError, KeyError, StopIteration, ValueError, IndexError, RecursionError)):
        hunt()


def test_the_hunts_find_nothing_when_every_rule_is_in_place() -> None:
    for _, hunt in MUTANTS.values():
        hunt()
