"""The queue's policy: what it proves, lands, rejects and cancels, in chosen moments and over random worlds."""

import math
import random
import sys
import time
from collections import Counter

import msgspec
import pytest
from hypothesis import given, settings, strategies as st

from andon.core.queue.apart import Apart
from andon.core.queue.cuts import LEAN, first_failure, place, unfailed
from andon.core.queue.look import UNEVALUATED, Entry, Look, Plan, Running, Tried
from andon.core.queue.policy import LONGEST, plan


def queue(count: int, risk: float = 0.05) -> tuple[Entry, ...]:
    return tuple(Entry(key=f"c{n}", risk=risk) for n in range(count))


def keys(count: int, without: tuple[int, ...] = ()) -> tuple[str, ...]:
    return tuple(f"c{n}" for n in range(count) if n not in without)


def started(look: Look, spent: float = 0.0) -> Look:
    """The same queue with all that the policy wants under way."""
    wants = plan(look).start
    new = tuple(Running(landing=f"L{n}", members=w.members, why=w.why, spent=spent) for n, w in enumerate(wants))
    return msgspec.structs.replace(look, running=(*look.running, *new))


# --- chosen moments ------------------------------------------------------------------------------------------------------


def test_slots_prove_prefixes_cut_at_quantiles_of_the_first_failure() -> None:
    cuts = sorted(len(want.members) for want in plan(Look(order=queue(200), slots=4)).start)
    fails = [1 - 0.95**n for n in cuts]
    assert fails == pytest.approx([0.2, 0.4, 0.6, 0.8], abs=0.04)


def test_an_empty_queue_wants_nothing() -> None:
    assert plan(Look(order=())) == Plan()


def test_the_longest_pass_lands_its_whole_prefix_though_a_shorter_one_failed() -> None:
    look = Look(order=queue(9), tried=(Tried(members=keys(7), passes=1), Tried(members=keys(3), fails=1)))
    assert plan(look).land == keys(7)


def test_a_pass_of_anything_but_a_prefix_lands_nothing() -> None:
    look = Look(order=queue(9), tried=(Tried(members=keys(7, (2,)), passes=1), Tried(members=("c4",), passes=1)))
    assert plan(look).land == ()


def test_the_smallest_failing_prefix_brackets_the_culprit_and_is_cut_next() -> None:
    look = Look(order=queue(40), tried=(Tried(members=keys(8), fails=1), Tried(members=keys(20), fails=1)))
    wanted = plan(look)
    assert wanted.bracket == 8 and wanted.suspect == ""
    assert [len(want.members) for want in wanted.start] == [4]


def test_a_single_failure_is_confirmed_while_spare_slots_prove_the_queue_without_it() -> None:
    look = Look(order=queue(40), slots=4, tried=(Tried(members=keys(1), fails=1),))
    wanted = plan(look)
    assert wanted.suspect == "c0" and not wanted.reject and not wanted.land
    assert [(want.members, want.why, want.suspect) for want in wanted.start[:1]] == [(("c0",), "confirm", "c0")]
    assert all(want.why == "without" and want.suspect == "c0" and "c0" not in want.members for want in wanted.start[1:])
    assert len(wanted.start) == 4


def test_at_one_slot_a_suspect_is_confirmed_before_anything_else() -> None:
    look = Look(order=queue(40), tried=(Tried(members=keys(1), fails=1),))
    assert [want.why for want in plan(look).start] == ["confirm"]


@pytest.mark.parametrize("confirm", [0, 1, 2, 3])
def test_a_change_is_rejected_after_exactly_one_and_confirm_failures(confirm: int) -> None:
    for fails in range(1, confirm + 2):
        look = Look(order=queue(3), confirm=confirm, tried=(Tried(members=keys(1), fails=fails),))
        assert plan(look).reject == ("c0" if fails == confirm + 1 else "")


def test_only_a_change_alone_on_the_trunk_is_rejected() -> None:
    look = Look(order=queue(3), tried=(Tried(members=keys(2), fails=9),))
    assert plan(look).reject == "" and plan(look).start[0].members == keys(1)


def test_what_is_proved_without_a_suspect_lands_only_when_the_suspect_is_gone() -> None:
    tried = (Tried(members=keys(1), fails=1), Tried(members=keys(9, (0,)), passes=1))
    assert plan(Look(order=queue(9), tried=tried)).land == ()
    assert plan(Look(order=queue(9)[1:], tried=tried)).land == keys(9, (0,))


def test_several_hypotheses_are_proved_when_slots_are_spare_the_likeliest_first() -> None:
    order = tuple(Entry(key=f"c{n}", risk=0.3 if n == 1 else 0.05) for n in range(40))
    wants = plan(Look(order=order, slots=12, tried=(Tried(members=keys(3), fails=1),))).start
    guesses = [want.suspect for want in wants if want.why == "without"]
    assert {"c0", "c1"} <= set(guesses) and guesses.count("c1") == max(guesses.count(key) for key in set(guesses))


def test_a_second_suspect_is_already_confirmed_while_the_first_one_is() -> None:
    tried = (Tried(members=keys(1), fails=1), Tried(members=keys(3, (0,)), fails=1), Tried(members=keys(2, (0,)), passes=1))
    wants = plan(Look(order=queue(40), slots=4, tried=tried)).start
    assert [(want.members, want.suspect) for want in wants if want.why == "confirm"] == [(("c0",), "c0"), (("c1", "c2"), "c2")]
    assert any(want.members[:2] == ("c1", "c3") for want in wants)


def test_a_pass_after_a_failure_is_a_flake_and_one_more_pass_is_wanted() -> None:
    look = Look(order=queue(1), tried=(Tried(members=keys(1), fails=1, passes=1),))
    assert plan(look).start[0].members == keys(1) and not plan(look).land
    again = msgspec.structs.replace(look, tried=(Tried(members=keys(1), fails=1, passes=2),))
    assert plan(again).land == keys(1)


def test_an_excused_failure_needs_one_pass_only() -> None:
    assert plan(Look(order=queue(1), tried=(Tried(members=keys(1), fails=3, passes=1, excused=True),))).land == keys(1)


def test_a_change_that_fails_most_of_the_time_is_rejected_though_it_passed_once() -> None:
    assert plan(Look(order=queue(2), tried=(Tried(members=keys(1), fails=3, passes=1),))).reject == ""
    assert plan(Look(order=queue(2), tried=(Tried(members=keys(1), fails=4, passes=1),))).reject == "c0"


def test_of_two_that_clash_the_later_steps_aside_and_those_behind_it_go_on() -> None:
    clashes = frozenset({("c4", "c1")})
    for want in plan(Look(order=queue(12), clashes=clashes, slots=4)).start:
        assert "c4" not in want.members and want.members == keys(13, (4,))[: len(want.members)]
    assert plan(Look(order=queue(12), clashes=clashes, tried=(Tried(members=keys(9, (4,)), passes=1),))).land == keys(9, (4,))
    assert plan(Look(order=queue(12), clashes=clashes, tried=(Tried(members=keys(9), passes=1),))).land == ()


def test_who_stepped_aside_comes_back_in_the_queue_without_the_other() -> None:
    look = Look(order=queue(12), clashes=frozenset({("c0", "c1")}), slots=4, tried=(Tried(members=keys(1), fails=1),))
    assert all(want.members[0] == "c1" for want in plan(look).start if want.why == "without")


def test_what_is_built_on_another_never_stands_before_it_or_without_it() -> None:
    order = (*queue(3), Entry(key="child", needs=("c2",)), Entry(key="other"))
    assert plan(Look(order=order)).start[0].members[-1] in ("child", "other")
    suspect = Look(order=(order[2], *order[:2], *order[3:]), slots=4, tried=(Tried(members=("c2",), fails=1),))
    assert all("child" not in want.members for want in plan(suspect).start if want.why == "without")
    early = Look(order=(order[3], *order[:3]), slots=8)
    assert all("child" not in want.members for want in plan(early).start)


# --- apart from the queue ------------------------------------------------------------------------------------------------


def apart(look: Look) -> list[tuple[tuple[str, ...], str]]:
    return [(want.members, want.suspect) for want in plan(look).start if want.why == "apart"]


def test_where_many_fail_and_slots_are_spare_later_changes_are_proved_apart_in_small_groups() -> None:
    look = Look(order=queue(60, 0.15), slots=16, alone=0.1)
    groups = [members for members, _ in apart(look)]
    firsts = [want.members for want in plan(look).start if want.why == "prefix"]
    assert len(groups) >= 4 and {len(group) for group in groups} == {3} and len(firsts) >= 2
    assert len({key for group in groups for key in group}) == 3 * len(groups), "nobody is in two of them"
    assert min(int(key[1:]) for group in groups for key in group) >= 9, "those in front are proved as they stand"


@pytest.mark.parametrize(("slots", "alone"), [(1, 0.1), (2, 0.1), (4, 0.05), (16, 0.01), (16, 0.0)])
def test_where_few_fail_or_slots_are_few_nothing_is_proved_apart(slots: int, alone: float) -> None:
    assert apart(Look(order=queue(60, 0.15), slots=slots, alone=alone)) == []


def test_nothing_lands_for_a_proof_apart() -> None:
    look = Look(order=queue(3), slots=4, apart=(Tried(members=keys(3), passes=1),))
    assert plan(look).land == () and plan(look).start[-1].members == keys(3)


def test_a_group_that_failed_steps_aside_and_is_halved_until_one_is_left() -> None:
    look = Look(order=queue(40), slots=8, apart=(Tried(members=("c20", "c21", "c22"), fails=1),))
    assert plan(look).aside == ("c20", "c21", "c22") and (("c20",), "c20") in apart(look)
    assert all("c21" not in want.members for want in plan(look).start if want.why != "apart")
    order = tuple(msgspec.structs.replace(entry, stood=entry.key in ("c20", "c21")) for entry in queue(40))
    halved = Look(order=order, slots=8, apart=(*look.apart, Tried(members=("c20",), passes=1), Tried(members=("c21",), passes=1)))
    assert plan(halved).aside == ("c22",) and apart(halved).count((("c22",), "c22")) == 2


def test_a_change_that_failed_apart_goes_back_from_any_place_once_it_failed_alone_often_enough() -> None:
    once = Look(order=queue(40), slots=8, apart=(Tried(members=("c20",), fails=1),))
    assert plan(once).reject == "" and apart(once) == [(("c20",), "c20")]
    twice = msgspec.structs.replace(once, apart=(Tried(members=("c20",), fails=2),))
    assert plan(twice).reject == "c20"
    flaky = msgspec.structs.replace(once, apart=(Tried(members=("c20",), fails=2, passes=1),))
    assert plan(flaky).reject == ""


def test_two_that_fail_only_together_come_back_into_the_queue_when_each_stood() -> None:
    order = tuple(msgspec.structs.replace(entry, stood=entry.key in ("c20", "c21")) for entry in queue(40))
    tried = (Tried(members=("c20", "c21"), fails=1), Tried(members=("c20",), passes=1), Tried(members=("c21",), passes=1))
    assert plan(Look(order=order, slots=8, apart=tried)).aside == ()


def test_who_was_overtaken_often_enough_steps_aside_no_more() -> None:
    order = tuple(msgspec.structs.replace(entry, late=entry.key == "c20") for entry in queue(40))
    assert plan(Look(order=order, slots=8, apart=(Tried(members=("c20", "c21"), fails=1),))).aside == ("c21",)


def test_a_suspect_that_cannot_be_evaluated_apart_is_proved_where_it_stands() -> None:
    tried = (Tried(members=("c20", "c21"), fails=1), Tried(members=("c20",), unevaluated=UNEVALUATED))
    look = Look(order=queue(40), slots=16, apart=tried, alone=0.1)
    assert plan(look).aside == () and all("c20" not in members for members, _ in apart(look))


def test_a_proof_apart_goes_on_when_the_trunk_moves_and_ends_when_it_can_tell_nothing_more() -> None:
    run = Running(landing="L1", members=("c20", "c21"), why="apart")
    look = Look(order=queue(40), slots=4, running=(run,))
    assert plan(look).cancel == ()
    stood = tuple(msgspec.structs.replace(entry, stood=entry.key in run.members) for entry in queue(40))
    assert plan(msgspec.structs.replace(look, order=stood)).cancel == ("L1",)
    assert plan(msgspec.structs.replace(look, order=queue(21))).cancel == ("L1",), "c21 is not in the queue any more"


def test_a_group_never_holds_two_that_clash_or_one_that_is_built_on_another() -> None:
    order = tuple(msgspec.structs.replace(entry, needs=("c1",) if entry.key == "c30" else ()) for entry in queue(60, 0.15))
    clashes = frozenset((f"c{n}", f"c{n + 1}") for n in range(10, 50, 2))
    groups = [members for members, _ in apart(Look(order=order, slots=16, alone=0.1, clashes=clashes))]
    assert groups and not any(set(pair) <= set(group) for pair in clashes for group in groups)
    assert all("c30" not in group for group in groups)


def test_what_could_not_be_evaluated_is_no_evidence_and_is_tried_again() -> None:
    first = plan(Look(order=queue(5)))
    look = Look(order=queue(5), tried=(Tried(members=first.start[0].members, unevaluated=UNEVALUATED - 1),))
    assert plan(look) == first


def test_what_cannot_be_evaluated_is_told_and_narrowed_to_the_shortest() -> None:
    stuck = Tried(members=keys(4), unevaluated=UNEVALUATED)
    wanted = plan(Look(order=queue(40), slots=4, tried=(stuck,)))
    assert wanted.unevaluated == keys(4) and wanted.bracket == 0
    assert sorted(len(want.members) for want in wanted.start) == [1, 2, 3]
    alone = Tried(members=keys(1), unevaluated=UNEVALUATED)
    assert plan(Look(order=queue(40), slots=4, tried=(stuck, alone))) == Plan(unevaluated=keys(1))


def test_a_suspect_that_cannot_be_evaluated_is_neither_rejected_nor_tried_for_ever() -> None:
    look = Look(order=queue(9), slots=4, tried=(Tried(members=keys(1), fails=1, unevaluated=UNEVALUATED),))
    assert plan(look) == Plan(unevaluated=keys(1), suspect="c0", bracket=1)


def test_proofs_that_can_change_nothing_any_more_are_cancelled() -> None:
    running = (
        Running(landing="longer", members=keys(9)),
        Running(landing="shorter", members=keys(3)),
        Running(landing="gone", members=("c0", "x")),
        Running(landing="old", members=()),
        Running(landing="twice", members=keys(3)),
        Running(landing="guess", members=keys(9, (2,)), why="without"),
        Running(landing="innocent", members=keys(9, (7,)), why="without"),
    )
    wanted = plan(Look(order=queue(12), slots=9, running=running, tried=(Tried(members=keys(5), fails=1),)))
    assert wanted.cancel == ("longer", "gone", "old", "twice", "innocent")


def test_a_run_that_is_being_cancelled_holds_its_slot() -> None:
    running = (Running(landing="old", members=()), Running(landing="new", members=keys(3)))
    wanted = plan(Look(order=queue(12), slots=3, running=running))
    assert wanted.cancel == ("old",) and len(wanted.start) == 1


def test_no_proof_has_more_members_than_the_bound() -> None:
    wants = plan(Look(order=queue(400, risk=0.0001), slots=16)).start
    assert max(len(want.members) for want in wants) == LONGEST


def test_a_proof_that_has_not_failed_for_long_turns_suspicion_to_those_behind_it() -> None:
    tried, at_half = (Tried(members=keys(8), fails=1),), (Running(landing="L1", members=keys(4), spent=0.95),)
    fresh = (msgspec.structs.replace(at_half[0], spent=0.0),)
    late = [len(want.members) for want in plan(Look(order=queue(40), slots=2, tried=tried, running=at_half)).start]
    soon = [len(want.members) for want in plan(Look(order=queue(40), slots=2, tried=tried, running=fresh)).start]
    assert late == [6] and soon < [4]


@given(st.lists(st.floats(0.001, 0.9), min_size=1, max_size=60), st.integers(1, 20))
def test_cuts_are_distinct_lengths_within_their_bounds(risks: list[float], count: int) -> None:
    so_far = first_failure(risks, 0, len(risks) + 1, {}, 0.2)
    cuts = place(so_far, 0, len(risks) + 1, count)
    assert len(cuts) == len(set(cuts)) == min(count, len(risks)) and cuts == sorted(cuts)
    assert set(cuts) <= set(range(1, len(risks) + 1))
    assert so_far == sorted(so_far) and so_far[-1] == pytest.approx(1.0)


def test_a_failing_proof_is_the_less_likely_the_longer_it_runs() -> None:
    assert [unfailed(spent, 0.2) for spent in (0.0, 0.2)] == [1.0, 1.0]
    assert unfailed(0.4, 0.2) > unfailed(0.8, 0.2) > unfailed(1.0, 0.2) == unfailed(3.0, 0.2) > 0
    assert unfailed(0.9, 0.98) == 1.0, "where failures only show at the end, time tells nothing before"
    assert 0 < LEAN < 0.2


def test_one_culprit_is_found_in_about_log2_of_its_queue_at_one_slot() -> None:
    for count in (1, 2, 3, 7, 8, 20, 33, 64, 100, LONGEST):
        for culprit in {0, 1, count // 3, count // 2, count - 1} & set(range(count)):
            yard = Yard(random.Random(1), queue(count, risk=0.0005), poison={f"c{culprit}"}, slots=1)
            yard.drive()
            assert yard.rejected == [f"c{culprit}"]
            # the first proof of all of them, the halving (a cut may be one off the middle), confirming, and the rest of the queue
            assert yard.runs <= math.ceil(math.log2(count)) + 4, (count, culprit)


def test_planning_two_hundred_entries_takes_a_small_part_of_a_frame() -> None:
    tried = (Tried(members=keys(40), fails=1), Tried(members=keys(1), fails=1), Tried(members=keys(30, (0,)), fails=1))
    look = Look(order=queue(200), slots=16, tried=tried, clashes=frozenset((f"c{n}", f"c{n + 7}") for n in range(90, 150)))
    looks = (look, started(look, 0.5), Look(order=queue(200), slots=16))
    best = min(timed(look) for look in looks for _ in range(5))
    assert best < 0.02 * (10 if sys.gettrace() else 1)


def timed(look: Look) -> float:
    began = time.perf_counter()
    plan(look)
    return time.perf_counter() - began


# --- random worlds -------------------------------------------------------------------------------------------------------


OVERTAKE = 3
"""A change may be overtaken this often."""


def plan_aside(look: Look) -> tuple[str, ...]:
    """Who steps aside when something lands."""
    return tuple(sorted(Apart(look).aside))


class Yard:
    """A small world that plays everything a queue may meet, and checks each answer of the policy against what it knows itself."""

    def __init__(self, chance: random.Random, order: tuple[Entry, ...], *, poison: set[str], slots: int = 1, confirm: int = 1,
                 foes: frozenset[tuple[str, str]] = frozenset(), clashes: frozenset[tuple[str, str]] = frozenset(),
                 flake: float = 0.0, void: float = 0.0, alone: float = 0.0) -> None:
        self.alone, self.apart, self.stood, self.overtaken = alone, dict[tuple[str, ...], Tried](), set[str](), Counter[str]()
        self.chance, self.order, self.poison, self.slots, self.confirm = chance, list(order), poison, slots, confirm
        self.foes, self.clashes, self.flake, self.void = foes, clashes, flake, void
        self.book: dict[tuple[str, ...], Tried] = {}
        self.running: dict[str, Running] = {}
        self.landed: list[str] = []
        self.rejected: list[str] = []
        self.withdrawn: list[str] = []
        self.runs = self.named = 0

    def look(self) -> Look:
        """Time passes between any two looks: how far a proof got is never the same."""
        running = tuple(msgspec.structs.replace(run, spent=self.chance.choice((0.0, 0.5, 1.2))) for run in self.running.values())
        order = (msgspec.structs.replace(entry, stood=entry.key in self.stood, late=self.overtaken[entry.key] >= OVERTAKE)
                 for entry in self.order)
        return Look(order=tuple(order), clashes=self.clashes, tried=tuple(self.book.values()), slots=self.slots,
                    running=running, confirm=self.confirm, apart=tuple(self.apart.values()), alone=self.alone)

    def green(self, members: tuple[str, ...]) -> bool:
        tree = {*self.landed, *members}
        return not self.poison & set(members) and not any(a in tree and b in tree and {a, b} & set(members) for a, b in self.foes)

    def drive(self, disturb: float = 0.0) -> None:
        for _ in range(4000):
            if not self.order:
                return
            self.obey()
            if not self.running:
                assert not self.order or plan(self.look()).unevaluated, "nothing runs and nobody was told why"
                self.repair()
                continue
            self.finish(self.chance.choice(sorted(self.running)))
            if self.chance.random() < disturb:
                self.disturbance()
        raise AssertionError("it never ended")

    def obey(self) -> None:
        """Do what is wanted until nothing is."""
        while True:
            look = self.look()
            wanted = plan(look)
            assert wanted == plan(look), "the same look, another answer"
            if wanted.land:
                self.land(wanted.land, plan_aside(look))
            elif wanted.reject:
                self.reject(wanted.reject)
            elif wanted.cancel or wanted.start:
                self.begin(wanted)
            else:
                return

    def begin(self, wanted: Plan) -> None:
        """Cancel and start; neither may be taken back while nothing else changes."""
        assert not {run for run in wanted.cancel} - set(self.running)
        assert len(wanted.start) <= self.slots - len(self.running)
        fresh = []
        for want in wanted.start:
            book = self.apart if want.why == "apart" else self.book
            known = book.get(want.members, Tried(members=want.members))
            assert not known.passed(self.confirm) and not known.guilty(self.confirm) and known.unevaluated < UNEVALUATED
            assert not any(a in want.members and b in want.members for a, b in self.clashes)
            self.named, self.runs = self.named + 1, self.runs + 1
            fresh.append(f"L{self.named:06}")
            self.running[fresh[-1]] = Running(landing=fresh[-1], members=want.members, why=want.why)
        for landing in wanted.cancel:
            del self.running[landing]
        after = plan(self.look())
        assert not set(after.cancel) & set(fresh), "started and cancelled at once"
        assert not after.cancel, "cancelling is not finished in one step"
        again = {(run.why == "apart", run.members) for run in self.running.values()}
        twice = [want for want in after.start if (want.why == "apart", want.members) in again]
        assert all(want.why == "confirm" or len(want.members) == 1 for want in twice), "proved twice at once"

    def finish(self, landing: str) -> None:
        run = self.running.pop(landing)
        members, book = run.members, self.apart if run.why == "apart" else self.book
        if not members:
            return
        known = book.get(members, Tried(members=members))
        if self.chance.random() < self.void:
            known = msgspec.structs.replace(known, unevaluated=known.unevaluated + 1)
        elif self.green(members) and self.chance.random() >= self.flake:
            known = msgspec.structs.replace(known, passes=known.passes + 1, unevaluated=0)
            self.stood.update(members if run.why == "apart" else ())
        else:
            known = msgspec.structs.replace(known, fails=known.fails + 1, unevaluated=0)
        book[members] = known

    def land(self, members: tuple[str, ...], aside: tuple[str, ...] = ()) -> None:
        """It was proved as exactly that, and nobody who stands before it is passed over but for a clash with one before them, or
        because it stands aside and may."""
        assert self.book[members].passed(self.confirm), "landed what was not proved"
        assert self.green(members), "the trunk is red"
        ahead: set[str] = set()
        for entry in self.order:
            if len(ahead) == len(members):
                break
            if entry.key in members:
                ahead.add(entry.key)
            elif entry.key in aside:
                assert self.overtaken[entry.key] < OVERTAKE, "it waited long enough"
                self.overtaken[entry.key] += 1
            else:
                assert any({entry.key, other} in [set(pair) for pair in self.clashes] for other in ahead), "overtaken for nothing"
        assert [entry.key for entry in self.order if entry.key in members] == list(members)
        self.landed += members
        count = len(members)
        self.order = [entry for entry in self.order if entry.key not in members]
        self.book = {
            known[count:]: msgspec.structs.replace(t, members=known[count:]) for known, t in self.book.items()
            if known[:count] == members and len(known) > count
        }
        left = {known: tuple(key for key in known if key not in members) for known in self.apart}
        self.apart = {rest: msgspec.structs.replace(self.apart[known], members=rest) for known, rest in left.items() if rest}
        for name, run in self.running.items():
            if run.why == "apart":
                self.running[name] = msgspec.structs.replace(run, members=tuple(key for key in run.members if key not in members))
                continue
            rest = run.members[count:] if run.members[:count] == members else ()
            self.running[name] = msgspec.structs.replace(run, members=rest)
        for one, other in [*self.clashes, *((b, a) for a, b in self.clashes)]:
            if one in members:
                self.withdraw(other)

    def reject(self, key: str) -> None:
        alone = [book[(key,)] for book in (self.book, self.apart) if (key,) in book]
        known = max(alone, key=lambda known: known.fails)
        assert known.fails > self.confirm and (known.passes == 0 or self.flake)
        assert self.flake or not self.green((key,)), "a good change was thrown out"
        self.rejected.append(key)
        self.order = [entry for entry in self.order if entry.key != key]
        self.apart = {members: t for members, t in self.apart.items() if key not in members}

    def withdraw(self, key: str) -> None:
        if any(entry.key == key for entry in self.order):
            self.withdrawn.append(key)
            self.order = [entry for entry in self.order if entry.key != key]
            self.apart = {members: t for members, t in self.apart.items() if key not in members}

    def disturbance(self) -> None:
        """An outsider moves the trunk, a person cancels an entry or puts one first."""
        what = self.chance.randrange(3)
        if what == 0:
            self.book, self.apart = {}, {}
            self.running = {name: msgspec.structs.replace(run, members=()) for name, run in self.running.items()}
        elif what == 1 and self.order:
            self.withdraw(self.chance.choice(self.order).key)
        elif self.order:
            first = self.chance.choice(self.order)
            self.order = [first, *(entry for entry in self.order if entry != first)]

    def repair(self) -> None:
        """Somebody looked: what could not be evaluated may be tried again, and will be."""
        self.void = 0.0
        self.book = {members: msgspec.structs.replace(t, unevaluated=0) for members, t in self.book.items()}
        self.apart = {}


@st.composite
def yards(draw: st.DrawFn, *, hostile: bool) -> Yard:
    count = draw(st.integers(1, 40))
    key = st.integers(0, count - 1).map(lambda n: f"c{n}")
    pairs = st.frozensets(st.tuples(key, key).filter(lambda pair: pair[0] < pair[1]), max_size=4 if count > 1 else 0)
    risks = draw(st.lists(st.sampled_from([0.002, 0.05, 0.2, 0.6]), min_size=count, max_size=count))
    return Yard(
        random.Random(draw(st.integers(0, 2**32))), tuple(Entry(key=f"c{n}", risk=risk) for n, risk in enumerate(risks)),
        poison=set(draw(st.frozensets(key, max_size=5))), foes=draw(pairs) if count > 1 else frozenset(),
        slots=draw(st.sampled_from([1, 2, 3, 4, 8, 16])), confirm=draw(st.integers(0, 2)),
        clashes=draw(pairs) if hostile and count > 1 else frozenset(), flake=draw(st.sampled_from([0.0, 0.1])) if hostile else 0.0,
        void=draw(st.sampled_from([0.0, 0.2])) if hostile else 0.0,
        alone=draw(st.sampled_from([0.0, 0.05, 0.3])) if hostile else 0.0,
    )


@settings(max_examples=150, deadline=None)
@given(yards(hostile=False))
def test_exactly_the_culprits_are_rejected_and_all_others_land_in_order(yard: Yard) -> None:
    order = [entry.key for entry in yard.order]
    yard.drive()
    trunk: list[str] = []
    culprits: list[str] = []
    for key in order:
        fails = key in yard.poison or any({key, other} in [set(pair) for pair in yard.foes] for other in trunk)
        (culprits if fails else trunk).append(key)
    assert yard.rejected == culprits
    assert yard.landed == trunk
    confirming = len(culprits) * (1 + yard.confirm)
    assert yard.runs <= (len(order) + confirming) * (3 + 2 * yard.slots), "more runs than there is to find out"


@settings(max_examples=250, deadline=None)
@given(yards(hostile=True), st.sampled_from([0.0, 0.1, 0.3]))
def test_whatever_happens_to_a_queue_it_ends_and_lands_only_what_was_proved(yard: Yard, disturb: float) -> None:
    order = {entry.key for entry in yard.order}
    yard.drive(disturb)
    assert order == {*yard.landed, *yard.rejected, *yard.withdrawn}
    assert not yard.poison & set(yard.landed)
    assert len(yard.landed) + len(yard.rejected) + len(yard.withdrawn) == len(order)
