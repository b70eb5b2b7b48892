"""The tests of the core can fail: one rule at a time is taken out, and a property or a playbook must notice."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

import core.test_core_agent as of_agent
import core.test_core_asks as of_asks
import core.test_core_check as of_check
import core.test_core_effects as of_effects
import core.test_core_gate as of_gate
import core.test_core_ladder as of_ladder
import core.test_core_land as of_land
import core.test_core_messages as of_messages
import core.test_core_questions as of_questions
import core.test_core_races as of_races
import core.test_core_resume as of_resume
import core.test_core_retry as of_retry
import core.test_core_schedule as of_schedule
import core.test_core_settings as of_settings
import core.test_core_time as of_time
import core.test_core_turns as of_turns
import core.test_permissions as of_permissions
from andon.core import asks, decide, failure, image, ladder, messages, pending, permissions, resume, review, schedule, turns
from andon.core.folds import table
from andon.core.queue import standing
from andon.core.state import Repository, State
from andon.core.stations import agent, check, land
from andon.schema import effects as f, events as e, inputs as i
from andon.schema.settings import Step
from core.chaos import factory

Patch = Callable[[pytest.MonkeyPatch], None]
Hunt = Callable[[], None]


def chaos(seeds: int = 12, **changes: Any) -> Hunt:
    """Stress until a promise breaks; silent when none does."""

    def hunt() -> None:
        for seed in range(seeds):
            world = factory(seed, 5, **changes)
            for _ in range(250):
                world.stir()
                world.look()
            assert not world.finish().faults

    return hunt


def instead(module: Any, name: str, value: Any) -> Patch:
    """Put something else in the place of a rule."""
    return lambda patch: patch.setattr(module, name, value)


def reading(change: Callable[[State, Any], Any], module: Any, name: str) -> Patch:
    """What the rule hears is changed first."""
    rule = getattr(module, name)
    return instead(module, name, lambda state, given, *rest: rule(state, change(state, given), *rest))


def hearing(kind: type[i.Input], change: Callable[[State, Any], Any]) -> Patch:
    """What the core hears is changed first."""
    rule = decide.HANDLERS[kind]
    handler = lambda state, given, at: rule(state, change(state, given), at)  # noqa: E731
    return lambda patch: patch.setitem(decide.HANDLERS, kind, handler)


def fence_of(state: State, read: Any) -> Any:
    attempt = state.attempts.get(read.attempt)
    return msgspec.structs.replace(read, fence=attempt.fence) if attempt else read


def forgetful(patch: pytest.MonkeyPatch) -> None:
    """An event whose fold depends on more than the log."""
    rule, count = table.HANDLERS[e.AttemptClaimed], [0]

    def handler(state: State, event: Any) -> State:
        count[0] += 1
        return rule(state, msgspec.structs.replace(event, port=count[0]))

    patch.setitem(table.HANDLERS, e.AttemptClaimed, handler)


def thin_image(patch: pytest.MonkeyPatch) -> None:
    """A snapshot without the counters."""
    rule = image.freeze
    freeze = lambda state: rule(msgspec.structs.replace(state, fence=0))  # noqa: E731
    patch.setattr(image, "freeze", freeze)
    patch.setattr("core.chaos.freeze", freeze)


def twice(patch: pytest.MonkeyPatch) -> None:
    """Every deed of an attempt is owed two times."""
    rule = pending.attempt_owes
    patch.setattr(pending, "attempt_owes", lambda *args: [*rule(*args), *rule(*args)])


def never_removed(patch: pytest.MonkeyPatch) -> None:
    """Closed attempts keep their checkouts."""
    rule = pending.next_step
    patch.setattr(pending, "next_step", lambda state, attempt: None if attempt.phase == "closed" else rule(state, attempt))


def nobody_ends(patch: pytest.MonkeyPatch) -> None:
    """A task whose old attempt is still ending wants an agent at once."""
    patch.setattr(schedule, "wants_agent", lambda state, task: not task.live and task.work is None and not task.over and (
        station := schedule.station_wanted(state, task)) is not None and station.kind == "agent")


def unlimited(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(schedule, "limits", lambda *args: [])


def passing(state: State, ran: Any) -> Any:
    return msgspec.structs.replace(ran, result="pass" if ran.result == "unevaluated" else ran.result)


MUTANTS: dict[str, tuple[Patch, Hunt]] = {
    "the fencing token is not looked at": (
        reading(fence_of, agent, "work_read"), of_agent.test_a_stale_fencing_token_changes_nothing),
    "history is not judged": (instead(agent, "fault_of_history", lambda *args: None), chaos(liars=0.9)),
    "words are not compared": (instead(agent, "fault_of_words", lambda *args: None), chaos(liars=0.9, lies=("invented",))),
    "exit codes are not looked at": (
        instead(agent, "fault_of_exit", lambda *args: None), chaos(liars=0.9, lies=("crash-after-done",))),
    "scopes are not looked at": (
        instead(agent, "fault_of_scope", lambda *args: None), of_agent.test_paths_outside_the_scope_are_named_and_refused),
    "caps are gone": (instead(failure, "limit_reached", lambda *args: ""), chaos(liars=0.9, lies=("no-commit",))),
    "waits are gone": (
        instead(failure, "backoff_ms", lambda *args: 0), of_retry.test_lost_sessions_are_counted_apart_with_a_growing_wait),
    "lost tests do not count": (
        hearing(i.CheckRan, lambda state, ran: msgspec.structs.replace(ran, lost_tests=())),
        chaos(liars=0.9, lies=("lost-tests",))),
    "unevaluated is taken for a pass": (
        hearing(i.CheckRan, passing),
        lambda: of_check.test_a_passing_trouble_is_run_once_more_by_itself_and_then_asks("lost")),
    "a redefined check keeps its run": (
        instead(check, "stale_because", lambda *args: ""),
        of_check.test_a_check_that_is_redefined_while_it_runs_is_run_anew_and_the_old_result_is_not_heard),
    "any proof of a tree will do": (
        instead(check, "definition_of", lambda *args: "the same"), of_check.test_setup_and_kept_paths_are_part_of_a_definition),
    "the merged tree needs no proof": (instead(land, "ready", lambda state, landing: bool(landing.candidate)), chaos()),
    "the cord does not stop landing": (
        instead(standing, "stopped", lambda *args: False), of_land.test_nothing_is_planned_or_moved_while_the_cord_is_pulled),
    "limits of work are gone": (unlimited, chaos()),
    "ports are not looked at": (instead(schedule, "free_port", lambda *args: 20_000), chaos()),
    "an ending attempt is not waited for": (
        nobody_ends, lambda: of_races.test_a_retry_while_the_old_attempt_is_still_ending_never_gives_two_live_claims("running")),
    "dependencies are not looked at": (
        instead(schedule, "dependency", lambda *args: ""), of_schedule.test_a_task_waits_for_what_it_comes_after_and_says_so),
    "nobody needs trust": (
        instead(Repository, "is_trusted", True), of_settings.test_nothing_runs_before_a_person_trusted_the_commands),
    "an answer counts for anything": (
        instead(review, "bound_of", lambda *args: "anything"),
        of_gate.test_a_question_about_a_change_that_is_another_one_now_is_void),
    "a landing task may be cancelled": (
        instead(land, "ready", lambda *args: False), of_land.test_a_change_that_lands_at_this_moment_cannot_be_cancelled),
    "questions are not kept": (
        instead(agent, "asks", lambda *args: []), of_questions.test_a_question_becomes_a_gate_and_its_answer_is_delivered_once),
    "deeds are not waited for": (
        instead(pending, "due", lambda *args: True),
        lambda: of_effects.test_a_deed_that_fails_for_a_moment_waits_and_is_owed_again(f.RunCheck)),
    "passed deadlines are named again": (
        instead(of_time, "next_deadline", lambda state, at: schedule.next_deadline(state, 0)),
        of_time.test_a_backoff_that_has_passed_behind_a_cord_is_not_named_again),
    "nobody says why": (
        instead(schedule, "stopped", lambda *args: []), of_land.test_nothing_is_planned_or_moved_while_the_cord_is_pulled),
    "the fold looks beside the log": (forgetful, chaos()),
    "a snapshot forgets": (thin_image, chaos()),
    "deeds are owed twice": (twice, chaos()),
    "checkouts are never removed": (never_removed, chaos()),
    "the settings are not asked": (
        instead(asks, "ruling_of", lambda *args: permissions.Ruling("allow", "anything")),
        of_asks.test_the_settings_answer_what_they_name_and_the_channel_is_told),
    "the outside is not looked at": (
        instead(permissions, "outside_of", lambda *args: ""),
        lambda: of_permissions.test_files_and_addresses_are_judged_by_where_they_really_are(("read", "/etc/passwd"))),
    "steps do not keep apart": (
        instead(ladder, "COOLDOWN_MS", 0), of_ladder.test_steps_without_grace_still_keep_apart),
    "the breaker is gone": (
        instead(ladder, "next_step", lambda *args: Step(do="nudge", after_s=20)),
        of_ladder.test_the_breaker_makes_everything_further_a_gate),
    "sittings are not bounded": (
        instead(resume, "possible", lambda *args: True), of_resume.test_it_is_started_again_only_so_often),
    "a receipt is waited for without an end": (
        instead(messages, "overdue", lambda *args: []),
        of_messages.test_without_a_receipt_in_time_it_is_returned_as_unsure_and_that_is_said),
    "missing work is not missed": (
        instead(turns, "missing_of", lambda attempt: ""), of_turns.test_missing_work_is_said_once_and_then_judged_by_git),
    "an attempt is closed without being read": (
        instead(decide, "close_stopped", lambda *args: []),
        of_races.test_a_session_that_ends_before_its_stop_is_done_is_closed_by_its_end),
}


@pytest.mark.parametrize("mutant", MUTANTS)
def test_a_rule_that_is_taken_out_is_missed(mutant: str, monkeypatch: pytest.MonkeyPatch) -> None:
    patch, hunt = MUTANTS[mutant]
    patch(monkeypatch)
    with pytest.raises(AssertionError):
        hunt()


def test_the_same_hunts_find_nothing_when_every_rule_is_in_place() -> None:
    for seed_hunt in (chaos(3), chaos(3, liars=0.9)):
        seed_hunt()
