"""Published queue policies, each as good as its description, to measure ours against. They must never be used to land anything.

All confirm a culprit as often as ours does, and all know what was proved of exactly the same tree. *Serial*: one after another.
*Batch*: bors, so many together, halves on failure. *Train*: Zuul, GitLab, GitHub, each car on those ahead; a failing car is left
out by those behind it (nearest non-failing), which start again; cars of several changes are split on failure (Mergify);
*optimistic* (Trunk, Aviator): a pass proves all that it holds. *Speculation*: Uber's SubmitQueue, the most probable builds of all
combinations.
"""

import heapq
from collections.abc import Iterator, Sequence

from .look import Look, Plan, Tried, Want

Members = tuple[str, ...]
FARTHEST = 400
"""Combinations that speculation looks at in one plan, at most."""
SURE = 0.97
"""How likely what failed once is taken to fail again."""


def serial(look: Look) -> Plan:
    """One change after another, one at a time."""
    first = tuple(entry.key for entry in look.order[:1])
    return one_by_one(look, first, facts(look).get(first, Tried(members=first)))


def one_by_one(look: Look, wanted: Members, known: Tried) -> Plan:
    """Prove these and land them; a single one that fails is confirmed."""
    if not wanted:
        return Plan()
    if known.passed(look.confirm):
        return Plan(land=wanted)
    if len(wanted) == 1 and known.guilty(look.confirm):
        return Plan(reject=wanted[0])
    return run_only(look, [Want(members=wanted, why="confirm" if known.fails else "prefix")])


def facts(look: Look) -> dict[Members, Tried]:
    """What is known, by members."""
    return {known.members: known for known in look.tried}


def run_only(look: Look, wants: Sequence[Want]) -> Plan:
    """Run these, in this order, and nothing else."""
    wanted, busy, cancel = {want.members for want in wants[: look.slots]}, set(), []
    for run in look.running:
        if run.members in wanted and run.members not in busy:
            busy.add(run.members)
        else:
            cancel.append(run.landing)
    start = [want for want in wants[: look.slots] if want.members not in busy]
    return Plan(start=tuple(start[: max(0, look.slots - len(look.running))]), cancel=tuple(cancel))


class Batch:
    """So many changes together; halves of what fails, one after the other."""

    def __init__(self, size: int, *, infers: bool = True) -> None:
        """`size`: changes in one batch. `infers`: when the first half of a failing batch has landed, the second is known to fail;
        bors proves it once more."""
        self.size, self.infers = size, infers
        self.batches: list[Members] = []
        self.before: tuple[Members, int] = ((), 0)

    def __call__(self, look: Look) -> Plan:
        """What bors would do next."""
        alive = {entry.key for entry in look.order}
        self.batches = [left for batch in self.batches if (left := tuple(key for key in batch if key in alive))]
        if not self.batches:
            self.batches = [tuple(entry.key for entry in look.order[: self.size])]
        while len(first := self.batches[0]) > 1 and self.known(look, first).failed():
            self.batches[:1] = [first[: len(first) // 2], first[len(first) // 2 :]]
        return one_by_one(look, first, self.known(look, first))

    def known(self, look: Look, first: Members) -> Tried:
        """What counts as known of the first batch."""
        known = facts(look).get(first, Tried(members=first))
        if self.before[0] != first:
            self.before = (first, 0 if self.infers else known.fails)
        return Tried(members=first, passes=known.passes, fails=known.fails - self.before[1])


class Train:
    """Each car is proved on top of those ahead, at once; a car that fails is left out by those behind it."""

    def __init__(self, size: int = 1, *, optimistic: bool = False, short: bool = False) -> None:
        """`size`: changes in one car. `short`: no more cars than slots are in sight, also when some of them are done and wait for
        one ahead; else all that is done makes room for another."""
        self.size, self.optimistic, self.short = size, optimistic, short
        self.cars: list[Members] = []

    def __call__(self, look: Look) -> Plan:
        """What the train would do next."""
        alive = {entry.key for entry in look.order}
        self.cars = [left for car in self.cars if (left := tuple(key for key in car if key in alive))]
        known, fresh = facts(look), self.fresh(look)
        ahead: Members = ()
        land: Members = ()
        wants: list[Want] = []
        doubt = False
        at = 0
        while len(wants) < look.slots and not (self.short and at >= look.slots):
            if at == len(self.cars) and not self.couple(fresh):
                break
            car = self.cars[at]
            members = ahead + car
            state = known.get(members, Tried(members=()))
            if state.failed() and len(car) > 1:
                self.split(at, look.slots)
                continue
            at += 1
            if state.failed():
                if not ahead and state.guilty(look.confirm):
                    return Plan(reject=car[0])
                if not ahead:
                    wants.append(Want(members=members, why="confirm"))
                doubt = True
                continue
            ahead = members
            if not state.passed(look.confirm):
                wants.append(Want(members=members))
            elif not doubt and (self.optimistic or not wants):
                land = members
        return Plan(land=land) if land else run_only(look, wants)

    def fresh(self, look: Look) -> Iterator[Members]:
        """The next cars of changes that are in none yet."""
        coupled = {key for car in self.cars for key in car}
        rest = [entry.key for entry in look.order if entry.key not in coupled]
        for start in range(0, len(rest), self.size):
            yield tuple(rest[start : start + self.size])

    def couple(self, fresh: Iterator[Members]) -> bool:
        """Put one more car at the end; False when there is none."""
        car = next(fresh, ())
        self.cars += [car] if car else []
        return bool(car)

    def split(self, at: int, slots: int) -> None:
        """Take a car apart, in as many parts as there are slots, two at least."""
        car = self.cars[at]
        parts = max(2, min(len(car), slots))
        ends = [len(car) * n // parts for n in range(parts + 1)]
        self.cars[at : at + 1] = [car[ends[n] : ends[n + 1]] for n in range(parts)]


def speculation(look: Look) -> Plan:
    """The most probable builds: each change on each likely combination of those before it, by risk."""
    known = facts(look)
    ahead: Members = ()
    for entry in look.order:
        if not known.get((*ahead, entry.key), Tried(members=())).passed(look.confirm):
            break
        ahead = (*ahead, entry.key)
    if ahead:
        return Plan(land=ahead)
    if look.order and known.get((look.order[0].key,), Tried(members=())).guilty(look.confirm):
        return Plan(reject=look.order[0].key)
    return run_only(look, list(probable(look, known)))


def probable(look: Look, known: dict[Members, Tried]) -> Iterator[Want]:
    """Builds, most probable first."""
    heap: list[tuple[float, int, Members]] = [(-1.0, 0, ())]
    found = 0
    for _ in range(FARTHEST):
        if not heap or found == look.slots:
            return
        likely, at, ahead = heapq.heappop(heap)
        if at == len(look.order):
            continue
        entry = look.order[at]
        members = (*ahead, entry.key)
        state = known.get(members, Tried(members=()))
        if state.passed(look.confirm):
            heapq.heappush(heap, (likely, at + 1, members))
            continue
        fails = SURE if state.failed() else entry.risk
        if not state.failed() or at == 0:
            found += 1
            yield Want(members=members, why="confirm" if state.failed() else "prefix")
        heapq.heappush(heap, (likely * (1 - fails), at + 1, members))
        heapq.heappush(heap, (likely * fails, at + 1, ahead))
