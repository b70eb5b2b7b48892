"""kill -9 at the steps of the merge queue and of the advance of a checkout: a sample; `make sweep` does them all."""

import re
from pathlib import Path

import pytest

from fault.queue_work import SWEPT, TAKEN
from fault.sweep import Case, Work, play, trace

ROOT = Path(__file__).parents[2]
KILLED: dict[int, tuple[str, ...]] = {
    1: ("import-work.intent",),
    2: ("import-work.pinned",),
    3: ("import-work.record", "append.after"),
    4: ("merge-candidate.intent", "merge-candidate.made"),
    5: ("proving.scrubbed", "proving.recorded", "proving.ready"),
    6: ("jobs.written", "jobs.spawned"),
    7: ("jobs.spawned", "tests/edges/test_jobs.py::test_a_job_whose_starter_was_killed_is_seen_to_its_end_by_another"),
    8: ("tests/edges/test_jobs.py::test_a_killed_shim_is_lost_and_takes_its_command_along",
        "tests/core/test_queue_invariants.py::test_what_could_not_be_evaluated_neither_lands_nor_rejects_anything"),
    9: ("run-check.ended", "run-check.concluded"),
    10: ("run-check.record",),
    11: ("move-target.intent", "move-target.proven"),
    12: ("tests/edges/test_gitkill.py::test_landing",
         "tests/edges/test_landing.py::test_a_lock_that_a_killed_git_left_on_trunk_is_cleared_when_it_is_old"),
    13: ("move-target.swapped", "move-target.act"),
    14: ("mirror-target.journal", "mirror-target.recover",
         "tests/edges/test_mirrorkill.py::test_a_checkout_whose_advance_was_killed_is_repaired_every_time",
         "tests/edges/test_mirrorkill.py::test_what_the_person_writes_into_a_half_done_checkout_stays"),
    15: ("mirror-target.merged", "mirror-target.followed"),
    16: ("remove-checkout.destroyed", "salvage.trashed"),
    17: ("tests/edges/test_gitkill.py::test_preparing",),
    18: ("tests/edges/test_store_faults.py::test_a_torn_wal_loads_as_an_exact_prefix",
         "tests/edges/test_store.py::test_every_commit_is_synced"),
    19: ("tests/fault/test_broken_machine.py::test_a_full_disk_pauses_the_factory_and_it_goes_on_by_itself_when_there_is_room",),
    20: ("tests/fault/test_broken_machine.py::test_a_second_daemon_says_who_has_the_factory_and_leaves_it_alone",),
}
"""What stands for each: 1 before a head is pinned; 2 pinned, no row; 3 row, no answer; 4 half-built merges; 5 a slot half laid out;
6 the wrapper started, no row; 7 the daemon dies, the run goes on; 8 the run dies; 9 a result, no row; 10 a verdict, nothing chosen;
11 chosen, trunk not moved; 12 inside the compare-and-swap; 13 moved, no row; 14 inside the advance of a checkout; 15 advanced, no
row; 16 cleaning; 17 a half-made work tree; 18 the power fails; 19 the disk is full; 20 a second daemon."""
ELSEWHERE = {"mirror-target.recover", "mirror-target.recovered", "mirror-target.index", "mirror-target.files", "mirror-target.back"}
"""Passed only by who recovers: the second of two kills, and `test_mirrorkill.py`."""
QUEUE = ("merge-candidate.made:2", "proving.ready:3", "run-check.ended:4", "append.after:90", "move-target.proven:2",
         "move-target.swapped:1", "mirror-target.journal:2", "make-revert.made:1", "publish-target.push:1")
FORWARD = (("mirror-target.journal:1", "mirror-target.recover:1"), ("mirror-target.merged:1",))


def test_each_of_the_20_moments_is_killed_at_or_held_by_a_test_that_exists() -> None:
    assert sorted(KILLED) == list(range(1, 21)) and all(KILLED.values())
    source = "\n".join(path.read_text() for path in (ROOT / "daemon/andon").rglob("*.py"))
    kinds = set(re.findall(r'tag="([a-z-]+)"', (ROOT / "daemon/andon/schema/effects.py").read_text()))
    for number, places in KILLED.items():
        for place in places:
            file, _, name = place.partition("::")
            if name:
                there = bool(re.search(rf"^(async )?def {name}\(", (ROOT / file).read_text(), re.M))
            else:
                effect, _, step = place.partition(".")
                there = f'point("{place}")' in source or (effect in kinds and step in ("intent", "act", "record"))
            assert there, f"{number}: {place} is not there"


@pytest.mark.slow
@pytest.mark.timeout(200)
def test_the_work_of_the_sweep_passes_every_point_of_the_queue() -> None:
    passed = {passing.rpartition(":")[0] for work in (SWEPT, TAKEN) for passing in trace(work)}
    wanted = {place for places in KILLED.values() for place in places if "::" not in place} - ELSEWHERE
    assert wanted <= passed, wanted - passed
    assert {"make-revert.made", "publish-target.push"} <= passed


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_killed_at_a_step_of_the_queue_it_lands_the_same_and_harms_nobody() -> None:
    assert not killed([(fault,) for fault in QUEUE[::3]], SWEPT)


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_killed_while_it_takes_a_checkout_forward_it_ends_the_way_and_keeps_every_byte() -> None:
    assert not killed(FORWARD, TAKEN)


def killed(faults: list[tuple[str, ...]] | tuple[tuple[str, ...], ...], work: Work) -> str:
    """What went wrong; every case was really killed."""
    cases = [Case(fault, acts=work) for fault in faults]
    play(cases, 2, quiet=True)
    return "\n".join(f"{case.name}: {case.violations or 'not reached'}\n{case.log}" for case in cases
                     if not case.good or case.killed < len(case.faults))
