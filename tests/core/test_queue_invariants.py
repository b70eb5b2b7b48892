"""The 28 promises of the merge queue: one test each, or the name of the one that holds it where git and processes are real."""

import math
import random
import re
from collections import Counter
from functools import lru_cache, partial
from pathlib import Path

import msgspec
import pytest

from andon.core.evolve import replay
from andon.core.pending import pending
from andon.core.queue.standing import at_queue, is_sealed
from andon.core.state import State
from andon.schema import effects as f, events as e, inputs as i
from andon.schema.ids import Oid, TaskId
from andon.schema.settings import Queue
from core.audit import Audit
from core.queueworld import PLAIN, SHORT, QueueWorld, R, first
from core.sim import Sim

ROOT = Path(__file__).parents[2]
HERE = "tests/core/test_queue_invariants.py"
HELD: dict[int, tuple[str, ...]] = {
    1: (f"{HERE}::test_the_target_only_goes_on_from_where_it_is",
        "tests/edges/test_landing.py::test_a_person_who_committed_first_wins_and_trunk_follows",
        "tests/edges/test_mirror.py::test_a_clean_checkout_follows_and_shows_no_change"),
    2: (f"{HERE}::test_every_tree_that_the_target_was_moved_to_had_passed",),
    3: (f"{HERE}::test_landed_means_that_the_target_holds_it_and_nothing_else",),
    4: (f"{HERE}::test_an_accepted_change_is_in_exactly_one_place", "tests/edges/test_gitkill.py::test_importing"),
    5: (f"{HERE}::test_what_was_accepted_is_what_was_tested_is_what_landed",),
    6: (f"{HERE}::test_no_accepted_change_is_missing_from_a_group_that_landed",),
    7: (f"{HERE}::test_a_head_lands_at_most_once",),
    8: (f"{HERE}::test_nobody_is_sent_back_without_failing_alone_on_the_target_more_than_once",),
    9: (f"{HERE}::test_what_could_not_be_evaluated_neither_lands_nor_rejects_anything",),
    10: (f"{HERE}::test_no_check_and_no_test_is_no_pass",),
    11: (f"{HERE}::test_a_tree_is_proved_once_and_a_failing_one_once_more_for_each_confirmation",),
    12: (f"{HERE}::test_a_queue_ends_within_its_bound_of_runs",),
    13: (f"{HERE}::test_a_change_fails_for_itself_or_for_what_landed_and_for_nothing_else",),
    14: (f"{HERE}::test_nobody_is_overtaken_without_end",),
    15: (f"{HERE}::test_killed_at_any_point_the_same_changes_land_and_the_same_go_back",
         "tests/fault/test_sweep.py::test_killed_anywhere_the_daemon_recovers_and_keeps_every_promise"),
    16: (f"{HERE}::test_a_run_whose_result_is_recorded_is_never_owed_again",
         "tests/edges/test_jobs.py::test_a_started_job_is_never_written_again_nor_started_again"),
    17: ("tests/edges/test_mirror.py::test_what_a_person_has_in_hand_is_never_touched_and_never_reverts_what_landed",
         "tests/edges/test_mirror.py::test_who_asks_keeps_what_they_have_in_hand_in_other_files"),
    18: ("tests/edges/test_mirror.py::test_after_the_mirror_a_persons_own_commit_keeps_what_landed",
         "tests/edges/test_mirrorkill.py::test_a_checkout_whose_advance_was_killed_is_repaired_every_time"),
    19: (f"{HERE}::test_who_loses_the_race_for_the_target_changes_nothing",
         "tests/edges/test_landing.py::test_of_two_landings_planned_on_one_trunk_one_lands"),
    20: (f"{HERE}::test_a_candidate_is_asked_for_with_the_same_words_after_any_crash",
         "tests/edges/test_landing.py::test_trunk_moves_once_and_the_deed_can_be_repeated"),
    21: ("tests/edges/test_gitkill.py::test_landing", "tests/edges/test_forecast.py::test_the_repository_is_left_as_it_was"),
    22: ("tests/edges/test_checkout.py::test_nothing_is_removed_when_the_snapshot_fails",
         "tests/edges/test_salvage.py::test_every_byte_of_random_agents_is_reachable_after_the_removal"),
    23: (f"{HERE}::test_a_child_never_lands_before_its_parent_and_waits_for_one_that_went_back",),
    24: ("tests/edges/test_forecast.py::test_no_conflict_is_missed_that_merging_every_pair_would_find",),
    25: (f"{HERE}::test_answers_lost_doubled_or_in_another_order_change_nothing_but_time",),
    26: ("tests/edges/test_checkout.py::test_twenty_checkouts_at_once_all_stand",
         "tests/edges/test_git.py::test_the_lock_is_held_by_one_task_and_one_process_at_a_time"),
    27: ("tests/edges/test_store_lock.py::test_a_second_daemon_is_told_the_pid_of_the_first_within_a_second",
         "tests/fault/test_broken_machine.py::test_a_second_daemon_says_who_has_the_factory_and_leaves_it_alone"),
    28: ("tests/edges/test_proving.py::test_a_slot_holds_exactly_the_tree_and_is_used_again",
         "tests/edges/test_proving.py::test_a_tree_that_is_not_the_commits_is_a_mistake"),
}
"""By number: where each promise is held."""
NAMES = [f"T{n}" for n in range(1, 13)]


def test_each_of_the_28_promises_is_held_by_a_test_that_exists() -> None:
    assert sorted(HELD) == list(range(1, 29)) and all(HELD.values())
    for number, places in HELD.items():
        for place in places:
            file, _, name = place.partition("::")
            told = (ROOT / file).read_text() if (ROOT / file).is_file() else ""
            assert re.search(rf"^(async )?def {name}\(", told, re.M), f"{number}: {place} is not there"


# --- worlds to look at ---------------------------------------------------------------------------------------------------


class Case(msgspec.Struct, frozen=True):
    """A world that came to its end, and its truth."""

    world: QueueWorld
    poison: frozenset[str]
    conflicts: tuple[tuple[str, str], ...]


@lru_cache(maxsize=200)
def lived(seed: int, trouble: str = "crashes") -> Case:
    """A dozen changes, some poisoned, two of which may not merge. `calm`; `crashes` and an outsider; or `all`, with people and
    checks that fail or die for nothing."""
    chance = random.Random(f"{trouble} {seed}")
    poison = frozenset(chance.sample(NAMES, chance.choice((0, 1, 2, 3))))
    good = [name for name in NAMES if name not in poison]
    conflicts = ((good[0], good[chance.randrange(1, len(good))]),) if chance.random() < 0.4 else ()
    world = QueueWorld(
        seed, slots=chance.choice((1, 2, 3, 4)), poison=poison, conflicts=conflicts,
        flake=0.4 if trouble == "all" else 0.0, unsure=0.05 if trouble == "all" else 0.0,
        queue=Queue(history=chance.choice(("tips", "green")), overtake=chance.choice((1, 5))),
    )
    world.queue_up(len(NAMES))
    calm = trouble == "calm"
    for _ in range(300):
        world.stir(crash=0.0 if calm else 0.03, outside=0.0 if calm else 0.01, person=0.06 if trouble == "all" else 0.0,
                   doubt=0.0 if calm else 0.1)
    return Case(world.finish(), poison, conflicts)


CASES = [partial(lived, seed, trouble) for trouble in ("calm", "crashes", "all") for seed in range(10)]
everywhere = pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.args[1]}-{case.args[0]}")


@everywhere
def test_the_auditor_finds_no_broken_promise_in_the_ledger(case: "partial[Case]") -> None:
    assert Audit().read(case().world.log).finish().faults == []
    assert replay(State(), case().world.log) == case().world.state


def test_the_worlds_hold_what_they_are_to_be_judged_by() -> None:
    seen = Counter(kind for case in CASES for kind in set(case().world.kinds()))
    for kind in ("landing.conflicted", "landing.abandoned", "entry.sent-back", "flake.seen", "queue.held", "entry.held",
                 "task.cancelled", "queue.ordered", "target.moved", "factory.started"):
        assert seen[kind] >= 3, f"{kind} happened in {seen[kind]} worlds"
    assert any(len(heads) > 1 for case in CASES for _, heads in case().world.landed)
    assert sum(case().world.outsiders for case in CASES) > 3


# --- the promises --------------------------------------------------------------------------------------------------------


@everywhere
def test_the_target_only_goes_on_from_where_it_is(case: "partial[Case]") -> None:
    world, trunk = case().world, Oid("")
    for row in world.log:
        if isinstance(row.event, e.TargetMoved):
            assert row.event.old == trunk and world.holds[row.event.new] > world.holds[trunk]
        if isinstance(row.event, e.TargetObserved):
            trunk = row.event.oid
    assert trunk == world.trunk[R]


@everywhere
def test_every_tree_that_the_target_was_moved_to_had_passed(case: "partial[Case]") -> None:
    world, passed, runs, moves = case().world, set(), {}, 0
    trees = {event.landing: event.tree for event in world.events(e.LandingMerged)}
    for event in (row.event for row in world.log):
        if isinstance(event, e.RunPlanned):
            runs[event.run] = event.tree
        if isinstance(event, e.RunFinished) and event.result == "pass":
            passed.add(runs[event.run])
        if isinstance(event, e.TargetMoved):
            moves += 1
            assert trees[event.landing] in passed and not world.broken(world.holds[event.new])
    assert moves


@everywhere
def test_landed_means_that_the_target_holds_it_and_nothing_else(case: "partial[Case]") -> None:
    world = case().world
    held = {name for name in world.holds[world.trunk[R]] if not name.startswith("outside")}
    late = {name for _, heads in world.landed for name in heads if world.events(e.ProblemNoticed, key="landed:")}
    told = {world.head[task.work.commit] for task in world.state.tasks.values() if task.landed and task.work}
    assert told <= held and held - told <= late
    assert {name.partition(".")[0] for name in told} == set(world.landed_tasks())


@everywhere
def test_an_accepted_change_is_in_exactly_one_place(case: "partial[Case]") -> None:
    state, at = State(), 0
    for row in case().world.log:
        state, at = replay(state, [row]), at + 1
        assert len(set(state.open)) == len(state.open) and not set(state.open) & set(state.over)
        assert set(state.open) | set(state.over) == set(state.tasks)
        if at % 10 == 0 and R in state.repos:
            queued = [task.task for task in at_queue(state, state.repos[R])]
            assert len(set(queued)) == len(queued)
            here = [name for name in state.open if (task := state.tasks[name]).work and not task.landed and task.station == "land"]
            unsealed = {name for name in here if not is_sealed(state.tasks[name])}
            assert set(here) == set(queued) | unsealed, "what was accepted and has not landed stands in the queue"
            assert not unsealed & set(queued)


@everywhere
def test_what_was_accepted_is_what_was_tested_is_what_landed(case: "partial[Case]") -> None:
    accepted: dict[str, str] = {}
    members: dict[str, dict[str, str]] = {}
    landed = 0
    for event in (row.event for row in case().world.log):
        if isinstance(event, e.AttemptAccepted):
            accepted[event.attempt.partition(".")[0]] = event.commit
        if isinstance(event, e.LandingPlanned):
            members[event.landing] = {member.task: member.commit for member in event.members}
        if isinstance(event, e.TaskLanded):
            landed += 1
            assert members[event.landing][event.task] == accepted[event.task]
    assert landed


@everywhere
def test_no_accepted_change_is_missing_from_a_group_that_landed(case: "partial[Case]") -> None:
    world, whole = case().world, frozenset[str]()
    for new, heads in world.landed:
        whole |= heads
        assert heads <= world.holds[new]
    outside = {f"outside {n + 1}" for n in range(world.outsiders)}
    assert world.holds[world.trunk[R]] == whole | outside


@everywhere
def test_a_head_lands_at_most_once(case: "partial[Case]") -> None:
    times = Counter(name for _, heads in case().world.landed for name in heads)
    assert set(times.values()) == {1}
    assert max(Counter(case().world.landed_tasks()).values()) == 1


@everywhere
def test_nobody_is_sent_back_without_failing_alone_on_the_target_more_than_once(case: "partial[Case]") -> None:
    world, trunk = case().world, Oid("")
    trees: dict[str, str] = {}
    refuted: set[str] = set()
    for event in (row.event for row in world.log):
        if isinstance(event, e.RunPlanned):
            trees[event.run] = event.tree
        if isinstance(event, e.RunFinished) and event.result == "fail":
            refuted.add(event.run)
        if isinstance(event, e.TargetObserved):
            trunk = event.oid
        if isinstance(event, e.EntrySentBack) and event.reason == "failed":
            alone = world.tree_of(world.holds[trunk] | {world.head[event.commit]})
            assert len(set(event.runs) & refuted) >= 2
            assert {trees[run] for run in event.runs} == {alone}
    if "all" not in case.args:
        assert sorted(world.sent_back("failed")) == sorted(case().poison)


@pytest.mark.parametrize("seed", range(8))
def test_what_could_not_be_evaluated_neither_lands_nor_rejects_anything(seed: int) -> None:
    world = QueueWorld(seed, slots=1 + seed % 4, poison=("T2",), unsure=1.0)
    world.queue_up(5)
    world.rest()
    assert not world.landed and not world.sent_back("failed")
    queue = world.state.repos[R].queue
    assert queue.held_by == "andon" and "could be evaluated on the merged tree" in queue.held, "the second strange one stops it"
    world.unsure = 0.4
    world.finish()
    assert world.sent_back("failed") == ["T2"]
    assert len(world.landed_tasks()) == 5, "the mended T2 among them"


@pytest.mark.parametrize("cause", ["zero-tests", "missing-tool", "unreadable-report", "timeout", "lost", "memory"])
def test_no_check_and_no_test_is_no_pass(cause: str) -> None:
    none = QueueWorld(checks={})
    none.add()
    none.rest()
    assert not none.landed and none.gate().kind == "unevaluated"
    odd = QueueWorld()
    odd.check = lambda run: i.CheckRan(run=run.run, result="unevaluated", because=cause, cause=cause)
    odd.add()
    odd.rest()
    assert not odd.landed and odd.gate().kind == "unevaluated" and cause in odd.gate().because


@pytest.mark.parametrize("confirm", [1, 2])
@pytest.mark.parametrize("seed", range(6))
def test_a_tree_is_proved_once_and_a_failing_one_once_more_for_each_confirmation(seed: int, confirm: int) -> None:
    world = QueueWorld(seed, slots=1 + seed % 4, poison=("T3", "T8"), queue=Queue(confirm=confirm))
    world.queue_up(12)
    world.finish()
    for (tree, _), times in world.runs.items():
        alone = len(world.holds[tree] & world.poison) > 0
        assert times <= (1 + confirm if alone else 1), f"{sorted(world.holds[tree])} was proved {times} times"
    assert max(world.runs.values()) == 1 + confirm
    assert world.sent_back("failed") == ["T3", "T8"]


@pytest.mark.parametrize("slots", [1, 2, 4])
@pytest.mark.parametrize("count", [0, 1, 2, 3])
def test_a_queue_ends_within_its_bound_of_runs(count: int, slots: int) -> None:
    chance, size, used = random.Random(f"{count} {slots}"), 40, list[int]()
    for _ in range(2):
        poison = chance.sample([f"T{n}" for n in range(1, size + 1)], count)
        world = QueueWorld(1, slots=slots, poison=poison)
        world.queue_up(size)
        before = sum(world.runs.values())
        while len(world.sent_back("failed")) + len(set(world.landed_tasks())) < size:
            assert world.stir(doubt=0.0)
        used.append(sum(world.runs.values()) - before)
    likely = 0.05
    entropy = -likely * math.log2(likely) - (1 - likely) * math.log2(1 - likely)
    bound = size * entropy + count * 2 + 3
    assert sum(used) / len(used) <= bound * (1 + slots) / 2, f"{used} runs, the bound of one slot is {bound:.0f}"


@pytest.mark.parametrize("seed", range(10))
def test_a_change_fails_for_itself_or_for_what_landed_and_for_nothing_else(seed: int) -> None:
    chance = random.Random(seed)
    one, other, poisoned = chance.sample(NAMES, 3)
    pairs = [(one, other)]
    world = QueueWorld(seed, slots=1 + seed % 4, poison=(poisoned,), pairs=pairs)
    world.queue_up(len(NAMES))
    for _ in range(200):
        world.stir(crash=0.03)
    world.finish()
    back = world.sent_back("failed")
    assert poisoned in back and len(back) == 2, "of the two that do not go together one goes back, and nobody else"
    (culprit,) = set(back) - {poisoned}
    partner = other if culprit == one else one
    sent = next(event for event in world.events(e.EntrySentBack) if event.task == culprit)
    seen = [row.event for row in world.log]
    landed = next(n for n, event in enumerate(seen) if isinstance(event, e.TaskLanded) and event.task == partner)
    assert landed < seen.index(sent), "it went back only after the other had landed"
    assert partner in sent.against, "and is told of it"
    for rest in (set(NAMES) - {culprit, partner, chance.choice(NAMES)},):
        again = QueueWorld(seed, slots=1 + seed % 4, poison=(poisoned,), pairs=pairs)
        again.queue_up(len(NAMES))
        for name in set(NAMES) - rest - {culprit, partner}:
            again.give(i.CancelTask(task=TaskId(name), by="me"))
        again.finish()
        assert culprit in again.sent_back("failed"), "without one that never mattered it goes back all the same"


@pytest.mark.parametrize("limit", [1, 20])
def test_nobody_is_overtaken_without_end(limit: int) -> None:
    world = QueueWorld(limit, queue=Queue(overtake=limit))
    (slow,) = world.queue_up(1)
    while not world.landed_tasks():
        world.stir(doubt=0.0)
    world.give(i.HoldQueue(repo=R, because="gather", by="me"))
    slow = world.add("not urgent")
    world.rest()
    for _ in range(5):
        for _ in range(22):
            name = world.add("urgent", priority=9)
            world.now += 1
            while world.task(name).station != "land":
                world.give(world.answer(world.owed()[0]))
        world.give(i.ResumeQueue(repo=R, by="me"))
        while slow not in world.landed_tasks() and len(world.events(e.TargetMoved)) == len(world.landed):
            assert world.stir(doubt=0.0)
        while len(world.events(e.TargetMoved)) < len(world.landed):
            world.stir(doubt=0.0)
        world.give(i.HoldQueue(repo=R, because="gather", by="me"))
        most = max(len(event.members) for event in world.events(e.LandingPlanned))
        if world.task(slow).landed:
            break
    assert 0 < world.task(slow).overtaken <= limit + most and world.task(slow).landed
    assert [event.task for event in world.events(e.TaskLanded)].index(slow) <= 1 + limit + most


def scene(crash_at: int = -1) -> tuple[QueueWorld, int]:
    """A small queue with a poisoned change and two that do not go together, killed after so many steps."""
    world = QueueWorld(5, slots=2, poison=("T3",), pairs=(("T2", "T5"),))
    world.queue_up(6)
    steps = 0
    while world.stir(doubt=0.0):
        steps += 1
        if steps == crash_at:
            world.crash()
    world.finish()
    return world, steps


def test_killed_at_any_point_the_same_changes_land_and_the_same_go_back() -> None:
    calm, steps = scene()
    assert steps > 60
    for at in range(1, steps, 3):
        world, _ = scene(at)
        assert world.crashes == 1
        assert world.sent_back("failed") == calm.sent_back("failed") == ["T3", "T5"]
        assert world.holds[world.trunk[R]] == calm.holds[calm.trunk[R]]


@pytest.mark.parametrize("seed", range(12))
def test_answers_lost_doubled_or_in_another_order_change_nothing_but_time(seed: int) -> None:
    world = QueueWorld(seed, slots=1 + seed % 4, poison=("T3", "T7"))
    world.queue_up(8)
    for _ in range(400):
        world.stir(crash=0.05, doubt=0.4)
    world.finish()
    assert sorted(world.sent_back("failed")) == ["T3", "T7"]
    mended = {"T3.2", "T7.2"}
    assert world.holds[world.trunk[R]] == {first(f"T{n}") for n in (1, 2, 4, 5, 6, 8)} | mended


@everywhere
def test_a_run_whose_result_is_recorded_is_never_owed_again(case: "partial[Case]") -> None:
    state, finished = State(), set()
    for n, row in enumerate(case().world.log):
        state = replay(state, [row])
        if isinstance(row.event, e.RunFinished):
            finished.add(row.event.run)
        if n % 10 == 0:
            owed = {effect.run for effect in pending(state, row.at) if isinstance(effect, f.RunCheck)}
            assert not owed & finished


def test_who_loses_the_race_for_the_target_changes_nothing() -> None:
    world = QueueWorld(1, slots=2)
    world.queue_up(4)
    move = world.until(f.MoveTarget)
    world.trunk[R] = oid_of_somebody = Oid("f" * 40)
    world.holds[oid_of_somebody] = frozenset({"outside 1"})
    answer = world.answer(move)
    assert isinstance(answer, i.LandingRefused) and not world.landed
    events = world.give(answer)
    assert not [event for event in events if isinstance(event, e.TargetMoved | e.TaskLanded)]
    assert {landing.onto for landing in world.state.landings.values()} == {oid_of_somebody}, "all is planned on the new one"
    world.outsiders = 1
    world.finish()
    assert len(world.landed_tasks()) == 4 and "outside 1" in world.holds[world.trunk[R]]


@pytest.mark.parametrize("history", ["tips", "green"])
def test_a_candidate_is_asked_for_with_the_same_words_after_any_crash(history: str) -> None:
    world = QueueWorld(2, slots=3, queue=Queue(history=history))
    world.queue_up(6)
    asked: dict[str, f.MergeCandidate] = {}
    built: dict[str, object] = {}
    for n in range(200):
        for effect in world.owed():
            if isinstance(effect, f.MergeCandidate):
                assert asked.setdefault(effect.key, effect) == effect
                built.setdefault(effect.landing, world.join(effect))
                assert world.join(effect) == built[effect.landing]
            if isinstance(effect, f.MoveTarget):
                assert world.build(effect.old, effect.members, effect.green) == (effect.new, effect.steps)
        world.now += 7
        if n % 9 == 0:
            world.crash()
        if not world.stir():
            break
    assert len(world.landed_tasks()) == 6 and asked


def test_a_child_never_lands_before_its_parent_and_waits_for_one_that_went_back() -> None:
    for seed in range(6):
        world = QueueWorld(seed, slots=2, poison=("T1",))
        parent = world.add("parent")
        child = world.add("child", after=(parent,))
        other = world.add("other")
        while not world.sent_back("failed"):
            assert world.stir()
        assert world.why(child) == (f"waits for {parent}",) and not world.task(child).work
        world.finish()
        order = world.landed_tasks()
        assert order.index(parent) < order.index(child) and other in order


# --- and what people rely on ---------------------------------------------------------------------------------------------


@everywhere
def test_a_cancelled_change_never_lands_unseen(case: "partial[Case]") -> None:
    world = case().world
    late = " ".join(event.what for event in world.events(e.ProblemNoticed, key="landed:"))
    for task in world.gone:
        assert first(task) not in world.holds[world.trunk[R]] or f" {task}" in late
        assert task not in world.landed_tasks()


@pytest.mark.parametrize("seed", range(10))
def test_a_change_that_is_cancelled_in_an_undisturbed_queue_never_lands(seed: int) -> None:
    world, chance = QueueWorld(seed, slots=1 + seed % 4), random.Random(seed)
    world.queue_up(8)
    gone = set()
    while world.stir():
        task = TaskId(f"T{chance.randint(1, 8)}")
        if chance.random() < 0.4 and world.task(task).station == "land" and world.give(i.CancelTask(task=task, by="me")):
            gone.add(task)
    assert gone and not {first(task) for task in gone} & world.holds[world.trunk[R]]
    assert len(world.landed_tasks()) == 8 - len(gone)
    assert not world.events(e.ProblemNoticed)


@pytest.mark.parametrize("seed", range(6))
def test_a_stopped_queue_moves_nothing_and_goes_on_from_what_it_knows(seed: int) -> None:
    world = QueueWorld(seed, slots=1 + seed % 4)
    world.queue_up(6)
    for _ in range(seed * 4):
        world.stir()
    world.give(i.HoldQueue(repo=R, because="smoke", by="me"))
    before, moves = len(world.landed_tasks()), len(world.landed)
    for _ in range(100):
        world.stir()
    assert len(world.landed) - moves <= 1, "only a move that was under way"
    assert len(world.landed_tasks()) - before <= 6
    trees = dict(world.runs)
    world.finish()
    assert len(world.landed_tasks()) == 6
    assert all(times == 1 for times in world.runs.values()) and trees.keys() <= world.runs.keys(), "nothing is proved twice"


def test_the_shortest_settings_prove_all_checks_of_the_repository() -> None:
    assert SHORT.stations[-1].kind == "land" and list(PLAIN) == ["tests"]
    assert isinstance(lived(0).world, Sim)
