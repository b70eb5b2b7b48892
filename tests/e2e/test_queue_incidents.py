"""The worst that merge queues did to their users, one by one: each is prevented here by a test that is named for it."""

import asyncio
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from andon.edges.blobs import Blobs
from andon.edges.check import Checks
from andon.edges.keys import Keys
from andon.edges.proving import Proving
from andon.schema import events as e, inputs as i, wire
from andon.schema.effects import RunCheck
from andon.schema.ids import Digest, Oid, RunId, TaskId
from andon.schema.settings import Check, Checkout, Walls
from checkoutkit import REPO, Floor, floor
from factory import Factory, factory, git
from fault.queue_play import play
from fault.queue_work import Acts, Plan, template
from fault.world import is_ancestor
from gitkit import tree
from landingkit import change, files_in, land
from support import wait_for

ROOT = Path(__file__).parents[2]
HERE, BY_HAND = "tests/e2e/test_queue_incidents.py", "tests/e2e/test_queue_by_hand.py"
POLICY, PROMISES = "tests/core/test_queue_policy.py", "tests/core/test_queue_invariants.py"
PREVENTED: dict[int, tuple[str, ...]] = {
    1: ("tests/edges/test_landing_proof.py::test_a_group_squashed_from_a_wrong_base_does_not_land",
        f"{HERE}::test_a_change_from_an_old_base_takes_nothing_back_that_landed_before_it"),
    2: (f"{POLICY}::test_what_is_proved_without_a_suspect_lands_only_when_the_suspect_is_gone",
        f"{PROMISES}::test_every_tree_that_the_target_was_moved_to_had_passed"),
    3: (f"{PROMISES}::test_answers_lost_doubled_or_in_another_order_change_nothing_but_time",
        f"{PROMISES}::test_killed_at_any_point_the_same_changes_land_and_the_same_go_back"),
    4: (f"{HERE}::test_a_check_that_cannot_run_lands_nothing_and_sends_nobody_back",),
    5: (f"{HERE}::test_the_check_sees_the_merged_tree_and_not_that_of_the_target",),
    6: (f"{PROMISES}::test_landed_means_that_the_target_holds_it_and_nothing_else",
        "tests/edges/test_landing.py::test_a_refusal_says_where_trunk_is_and_moves_nothing"),
    7: (f"{PROMISES}::test_what_was_accepted_is_what_was_tested_is_what_landed",),
    8: ("tests/edges/test_proving.py::test_a_slot_holds_exactly_the_tree_and_is_used_again",
        f"{HERE}::test_a_run_that_nobody_wants_any_more_is_gone_before_another_has_its_place",
        "tests/edges/test_merging.py::test_the_order_of_candidates_built_at_once_does_not_matter"),
    9: ("tests/fault/test_queue_sweep.py::test_killed_at_a_step_of_the_queue_it_lands_the_same_and_harms_nobody",
        f"{PROMISES}::test_an_accepted_change_is_in_exactly_one_place"),
    10: ("tests/core/test_core_land.py::test_a_lost_race_for_the_trunk_plans_again_on_the_new_one",
         "tests/edges/test_landing.py::test_a_person_who_committed_first_wins_and_trunk_follows"),
    11: ("tests/edges/test_mirror.py::test_after_the_mirror_a_persons_own_commit_keeps_what_landed",
         "tests/fault/test_naive.py::test_a_daemon_without_this_protection_is_caught"),
    12: (f"{HERE}::test_a_change_that_does_not_merge_is_kept_whatever_becomes_of_it",
         "tests/edges/test_checkout.py::test_nothing_is_removed_when_the_snapshot_fails"),
    13: ("tests/edges/test_checkout.py::test_head_counts_when_it_is_detached_and_an_unborn_head_is_refused",
         "tests/edges/test_checkout.py::test_work_left_on_the_branch_while_head_is_elsewhere_is_said"),
    14: ("tests/edges/test_salvage.py::test_every_byte_of_random_agents_is_reachable_after_the_removal",
         "tests/edges/test_salvage.py::test_nothing_outside_the_factory_is_ever_destroyed"),
    15: (f"{HERE}::test_a_change_from_an_old_base_takes_nothing_back_that_landed_before_it",),
    16: (f"{POLICY}::test_only_a_change_alone_on_the_trunk_is_rejected",
         f"{PROMISES}::test_a_change_fails_for_itself_or_for_what_landed_and_for_nothing_else"),
    17: (f"{PROMISES}::test_a_tree_is_proved_once_and_a_failing_one_once_more_for_each_confirmation",
         f"{PROMISES}::test_a_queue_ends_within_its_bound_of_runs"),
    18: (f"{HERE}::test_a_check_that_fails_at_first_on_every_tree_holds_nobody_up_and_blames_nobody",),
    19: (f"{HERE}::test_a_lock_that_an_ended_git_left_in_a_slot_does_not_stop_the_queue",
         f"{PROMISES}::test_what_could_not_be_evaluated_neither_lands_nor_rejects_anything",
         f"{POLICY}::test_proofs_that_can_change_nothing_any_more_are_cancelled"),
    20: ("tests/core/test_core_land.py::test_a_landing_without_any_check_asks_a_person",
         "tests/core/test_core_land.py::test_a_line_without_a_check_station_still_proves_the_merged_tree_with_all_checks"),
    21: (f"{POLICY}::test_of_two_that_clash_the_later_steps_aside_and_those_behind_it_go_on",
         f"{BY_HAND}::test_deleting_other_branches_and_collecting_garbage_takes_nothing_from_the_queue"),
    22: (f"{PROMISES}::test_nobody_is_overtaken_without_end",),
    23: (f"{HERE}::test_changes_land_on_their_own_target_and_not_on_the_branch_that_is_checked_out",),
    24: ("tests/edges/test_checkout.py::test_twenty_checkouts_at_once_all_stand",
         "tests/edges/test_gitkill.py::test_preparing"),
    25: ("tests/edges/test_merging.py::test_candidates_outlive_the_persons_housekeeping",
         f"{BY_HAND}::test_deleting_other_branches_and_collecting_garbage_takes_nothing_from_the_queue"),
    26: ("tests/edges/test_merging.py::test_what_was_settled_once_is_not_replayed_silently",
         "tests/edges/test_merging.py::test_what_attributes_would_merge_otherwise_is_not_merged_by_lines"),
    27: (f"{HERE}::test_what_is_committed_after_the_last_word_is_proved_and_lands_too",),
    28: (f"{BY_HAND}::test_who_asks_is_taken_forward_and_keeps_what_they_have_in_hand_byte_by_byte",
         "tests/edges/test_mirrorkill.py::test_what_the_person_writes_into_a_half_done_checkout_stays"),
}
"""1 landed work taken back by a merge from a wrong base; 2 an untested combination; 3 acting before writing; 4 a check that cannot
run passes; 5 the check runs on the target; 6 called merged, never landed; 7 another commit than the approved one; 8 a candidate
changed under its run; 9 a crash loses the queue; 10 a target that moved under a proven batch; 11 a branch moved under its checkout;
12 the only copy deleted after a failed merge; 13 commits beside the branch; 14 a work tree collected with its work; 15 a stale base
deletes files; 16 the innocent sent back; 17 proved for ever; 18 flakes wedge the queue; 19 a cancelled run taken for a failure; 20
checks that were not required; 21 an entry that cannot merge holds up all; 22 the newest first; 23 the wrong branch; 24 work trees
made at once; 25 objects collected; 26 a driver drops lines; 27 late commits lost; 28 an update destroys the working copy."""


def test_each_of_the_28_incidents_is_prevented_by_a_test_that_exists() -> None:
    assert sorted(PREVENTED) == list(range(1, 29)) and all(PREVENTED.values())
    for number, places in PREVENTED.items():
        for place in places:
            file, _, name = place.partition("::")
            assert re.search(rf"^(async )?def {name}\(", (ROOT / file).read_text(), re.M), f"{number}: {place} is not there"


@pytest.fixture(scope="module")
def plant(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Factory]:
    with factory(tmp_path_factory.mktemp("f")) as made:
        yield made


@pytest.fixture
def shop(tmp_path: Path) -> Floor:
    return floor(tmp_path, {"a.txt": "a\n", "b.txt": "b\n"})


class Yard:
    """A repository in a running factory whose agents do these acts; their changes go to the queue at once."""

    def __init__(self, plant: Factory, root: Path, acts: dict[str, dict[str, object]], *, check: str = "",
                 target: str = "") -> None:
        self.plant = plant
        made, _ = template(root, Plan(flaky=0, shared=1), Acts(acts=acts))
        text = (made / "andon.toml").read_text()
        if check:
            text = re.sub(r"^run = .*$", lambda _: f"run = '''{check}'''", text, flags=re.M)
        if target:
            text = text.replace("[factory]\n", f'[factory]\ntarget = "{target}"\n')
        (made / "andon.toml").write_text(text)
        git(made, "commit", "-q", "--allow-empty", "-am", "Settings")
        if target:
            git(made, "branch", target)
        self.repo = made.rename(root / f"r{abs(hash(root.name)) % 10**8}")
        self.name = plant.register(self.repo)

    def add(self, act: str) -> TaskId:
        """A task for an act."""
        done = self.plant.do(i.AddTask(repo=self.name, title=f"Change {act}", spec=f"Do it.\n\n[[act: {act}]]\n"))
        assert isinstance(done, wire.Done)
        return TaskId(done.ids[0])

    def land(self, *acts: str) -> list[TaskId]:
        """Tasks for these acts, landed."""
        tasks = [self.add(act) for act in acts]
        for task in tasks:
            self.plant.until_state(task, "done")
        return tasks

    def of(self, kind: type[Any], *tasks: TaskId) -> list[Any]:
        """Events of one kind about these tasks."""
        return [row.event for row in self.plant.events() if isinstance(row.event, kind) and row.event.task in tasks]

    def accepted(self, tasks: list[TaskId]) -> list[str]:
        """The commits that were taken from their agents."""
        found = (row.event for row in self.plant.events() if isinstance(row.event, e.AttemptAccepted))
        return [str(seen.commit) for seen in found if seen.attempt.partition(".")[0] in tasks]

    def files(self, ref: str = "refs/andon/trunk/main") -> set[str]:
        """The files of a commit."""
        return set(git(self.repo, "ls-tree", "-r", "--name-only", ref).split())


def one_file(name: str) -> dict[str, object]:
    """An act that adds a file."""
    return {"put": {f"src/{name}.txt": f"{name}\n"}}


def test_a_check_that_cannot_run_lands_nothing_and_sends_nobody_back(plant: Factory, tmp_path: Path) -> None:
    yard = Yard(plant, tmp_path, {"one": one_file("one")}, check="no-such-program {report}")
    before = git(yard.repo, "rev-parse", "main")
    task = yard.add("one")
    plant.until(lambda: plant.gate(task) is not None, what="a person to be asked")
    assert yard.of(e.LandingPlanned, task) and not yard.of(e.TaskLanded, task) and not yard.of(e.EntrySentBack, task)
    assert git(yard.repo, "rev-parse", "main") == before
    results = {row.event.result for row in plant.events() if isinstance(row.event, e.LandingJudged)
               and row.event.landing in {planned.landing for planned in yard.of(e.LandingPlanned, task)}}
    assert results == {"unevaluated"}


def test_the_check_sees_the_merged_tree_and_not_that_of_the_target(plant: Factory, tmp_path: Path) -> None:
    seen = tmp_path / "seen"
    yard = Yard(plant, tmp_path / "y", {name: one_file(name) for name in ("one", "two")},
                check=f"echo $(ls src) >> {seen}; {sys.executable} -S -E check.py {{report}}")
    plant.do(i.HoldQueue(repo=yard.name, because="until both are there"))
    tasks = [yard.add(name) for name in ("one", "two")]
    plant.until(lambda: len(yard.accepted(tasks)) == 2, what="both changes")
    plant.do(i.ResumeQueue(repo=yard.name))
    for task in tasks:
        plant.until_state(task, "done")
    lines = seen.read_text().splitlines()
    assert "one.txt two.txt" in lines and all(".txt" in line for line in lines), lines  # the target has neither


async def test_a_run_that_nobody_wants_any_more_is_gone_before_another_has_its_place(shop: Floor) -> None:
    checks = Checks(shop.layout, Proving(shop.layout), Blobs(shop.layout), Keys.load(shop.layout.keys).verifier)
    seen = shop.layout.home / "seen"
    stubborn = f"trap 'sleep 0.3; echo last words >> late.txt; exit 1' TERM; echo $$ > {seen}; while :; do sleep 0.05; done"
    one = RunCheck(run=RunId("R1"), repo=REPO, git_dir=str(shop.git_dir), commit=shop.base, tree=Oid(tree(shop.person, shop.base)),
                   check=Check(name="c", run=stubborn), definition=Digest("d"), checkout=Checkout(), walls=Walls(level="none"))
    first = asyncio.ensure_future(checks.run(one))
    await wait_for(lambda: seen.exists() and seen.read_text().strip(), 20, what="the first run")
    pid = int(seen.read_text())
    look = Check(name="c", run=f"! test -e /proc/{pid} && ! test -e late.txt")
    second = asyncio.ensure_future(checks.run(msgspec.structs.replace(one, run=RunId("R2"), check=look)))
    while not first.done():  # as often as the loop looks
        first.cancel()
        await asyncio.sleep(0.02)
    assert first.cancelled() and (await second).result == "pass"
    assert not list(shop.layout.jobs.iterdir())


@pytest.mark.parametrize("lock", ["HEAD.lock", "index.lock"])
async def test_a_lock_that_an_ended_git_left_in_a_slot_does_not_stop_the_queue(shop: Floor, lock: str) -> None:
    proving = Proving(shop.layout)
    here = REPO, shop.git_dir, shop.base, Oid(tree(shop.person, shop.base))
    async with proving.slot(*here) as place:
        pass
    place.with_name(f"{place.name}.git").joinpath(lock).touch()
    async with proving.slot(*here) as place:
        assert (place / "a.txt").read_text() == "a\n"


async def test_a_change_from_an_old_base_takes_nothing_back_that_landed_before_it(shop: Floor) -> None:
    old = shop.base
    waves = [change(shop, {f"wave{n}.txt": f"{n}\n", "a.txt": f"a, then {n}\n" if n == 1 else "a\n"}, f"wave{n}") for n in (1, 2)]
    late = change(shop, {"late.txt": "late\n", "b.txt": "b, then late\n"}, "late", onto=old)
    trunk = await land(shop, *waves, name="L1")
    trunk = await land(shop, late, old=trunk, name="L2")
    assert files_in(shop.person, trunk) == {
        "a.txt": "a, then 1", "b.txt": "b, then late", "wave1.txt": "1", "wave2.txt": "2", "late.txt": "late"}


def test_a_change_that_does_not_merge_is_kept_whatever_becomes_of_it(plant: Factory, tmp_path: Path) -> None:
    acts: dict[str, dict[str, object]] = {name: {"lines": [["shared/s0.txt", 3]]} for name in ("one", "two")}
    yard = Yard(plant, tmp_path, acts)
    plant.do(i.HoldQueue(repo=yard.name, because="until both are there"))
    tasks = [yard.add(name) for name in acts]
    plant.until(lambda: len(yard.accepted(tasks)) == 2, what="both changes")
    heads = yard.accepted(tasks)
    plant.do(i.ResumeQueue(repo=yard.name))
    plant.until(lambda: yard.of(e.EntrySentBack, *tasks), what="the conflict")
    back = yard.of(e.EntrySentBack, *tasks)[0]
    assert back.reason == "conflict" and back.commit in heads
    plant.do(i.CancelTask(task=back.task, because="not needed any more"))
    plant.until(lambda: not any(session.task == back.task for session in plant.sessions()), what="its agent to be gone")
    git(yard.repo, "reflog", "expire", "--expire=now", "--all")
    git(yard.repo, "gc", "-q", "--prune=now")
    assert git(yard.repo, "cat-file", "-t", back.commit) == "commit"
    assert git(yard.repo, "for-each-ref", f"--contains={back.commit}", "refs/andon/")


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_a_check_that_fails_at_first_on_every_tree_holds_nobody_up_and_blames_nobody(tmp_path: Path) -> None:
    plan = Plan(seed=5, branches=5, poison=0, pairs=0, flaky=1, cancelled=0, held=0, outsider=0)
    played = play(plan, tmp_path / "q", 90)
    assert played.good, f"{played}\n{played.log}"
    assert played.counts["landed"] == 5 and played.counts["culprits"] == 0 and played.counts["flakes"] > 0


def test_changes_land_on_their_own_target_and_not_on_the_branch_that_is_checked_out(plant: Factory, tmp_path: Path) -> None:
    yard = Yard(plant, tmp_path, {"one": one_file("one")}, target="release")
    before = git(yard.repo, "rev-parse", "main")
    yard.land("one")
    assert "src/one.txt" in yard.files("refs/andon/trunk/release") and git(yard.repo, "rev-parse", "main") == before
    plant.until(lambda: "src/one.txt" in yard.files("release"), 5.0, what="the target to follow")
    assert not (yard.repo / "src").exists() and git(yard.repo, "status", "--porcelain") == "?? todo.md"


def test_what_is_committed_after_the_last_word_is_proved_and_lands_too(plant: Factory, tmp_path: Path) -> None:
    yard = Yard(plant, tmp_path, {"one": one_file("one") | {"late": {"src/afterwards.txt": "one more thing\n"}}})
    task = yard.land("one")[0]
    landed = yard.of(e.TaskLanded, task)[0]
    assert {"src/one.txt", "src/afterwards.txt"} <= yard.files()
    assert is_ancestor(yard.repo, yard.accepted([task])[0], landed.commit)
