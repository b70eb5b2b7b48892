"""The laboratory of queue policies: a seeded world of changes, slots and proofs that any policy is driven through.
It must never decide anything that a policy should."""

import heapq
import math
import random
import statistics
from collections.abc import Callable, Sequence

import msgspec

from .baselines import Batch, Train, serial, speculation
from .look import Entry, Look, Plan, Running, Tried, Want
from .policy import plan
from .rates import Record, confirm_for, flake_rate, own_failure, soonest

Policy = Callable[[Look], Plan]
"""Answers a look with a plan; may keep memory of its own, as some published queues do."""

OURS = "prefix search"
SPECULATES = "risk speculation"
POLICIES: dict[str, Callable[[], Policy]] = {
    "serial": lambda: serial,
    "batch of 8": lambda: Batch(8),
    "batch of 32": lambda: Batch(32),
    "train": lambda: Train(),
    "train + optimistic": lambda: Train(optimistic=True),
    "train of 4s + optimistic": lambda: Train(4, optimistic=True),
    SPECULATES: lambda: speculation,
    OURS: lambda: plan,
}
"""By name, each made anew for each world. Serial and batches prove one thing at a time, whatever the slots."""
SEEN = 200
"""Entries of the order that a policy sees, at most: more of a backlog than any of them uses."""
STEPS = 1000
"""Plans at one moment before the laboratory gives up: a policy that runs in circles is broken."""


class Change(msgspec.Struct, frozen=True):
    """One change of a world."""

    key: str
    at: float
    """When it was handed in."""
    seconds: float
    """How long the proof of a tree takes whose last member it is."""
    poison: bool
    """It fails by itself."""
    foes: tuple[str, ...] = ()
    """Changes that it fails together with, while each is good alone."""


class World(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that happens to a queue from outside."""

    changes: tuple[Change, ...]
    """By time of arrival."""
    risk: float
    """The true share of changes that fail, for those who are told."""
    slots: int = 1
    confirm: int = 1
    flake: float = 0.0
    """How likely a run of a good tree fails."""
    soonest: float = 0.2
    """A failing run ends somewhere between this part of its time and the whole of it."""
    leave: int = 0
    """Stop when so few are undecided: keeps a backlog saturated to the end."""


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What a policy made of a world. Times are in the world's unit."""

    landed: int = 0
    rejected: int = 0
    thrown_out: int = 0
    """Good changes that were rejected."""
    red: int = 0
    """Landings after which the trunk was broken."""
    took: float = 0.0
    runs: int = 0
    confirms: int = 0
    """Of the runs, those that proved a suspect again."""
    cancelled: int = 0
    wasted: int = 0
    """Runs that were not the proof of a landing."""
    burned: float = 0.0
    """Time of slots in use."""
    p50: float = 0.0
    """Time from handing in to landing."""
    p95: float = 0.0

    @property
    def rate(self) -> float:
        """Landed changes in one unit of time."""
        return self.landed / self.took if self.took else 0.0

    @property
    def runs_each(self) -> float:
        """Runs for each landed change."""
        return self.runs / self.landed if self.landed else 0.0


class Run(msgspec.Struct):
    """A proof under way in the laboratory."""

    name: str
    want: Want
    members: tuple[str, ...]
    began: float
    green: bool


class Laboratory:
    """One world under one policy."""

    def __init__(self, world: World, policy: Policy, seed: int, told: bool) -> None:
        """`told`: the policy is given the true risk of a change, else what was measured so far."""
        self.world, self.policy, self.told = world, policy, told
        self.chance = random.Random(f"runs {seed}")
        self.changes = {change.key: change for change in world.changes}
        self.waiting = list(reversed(world.changes))
        self.order: list[str] = []
        self.trunk: set[str] = set()
        self.tried: dict[tuple[str, ...], list[int]] = {}
        self.apart: dict[tuple[str, ...], list[int]] = {}
        self.stood: set[str] = set()
        """Who passed apart from the queue."""
        self.grouped, self.stood_decided = Record(), Record()
        """Changes in new groups, and how many failed there; those who stood in one, and how they fared in the queue."""
        self.runs: dict[str, Run] = {}
        self.ends: list[tuple[float, str]] = []
        self.now, self.burned = 0.0, 0.0
        self.rejected = self.thrown_out = self.red = self.started = self.confirms = self.cancelled = self.landings = 0
        self.turnarounds: list[float] = []
        self.ended: list[float] = []

    def outcome(self) -> Outcome:
        """Drive the world to its end."""
        while self.arrive() and len(self.order) + len(self.waiting) > self.world.leave:
            self.settle()
            if self.order or self.waiting:
                self.advance()
        times = sorted(self.turnarounds) or [0.0]
        return Outcome(
            landed=len(self.trunk), rejected=self.rejected, thrown_out=self.thrown_out, red=self.red, took=self.now,
            runs=self.started, confirms=self.confirms, cancelled=self.cancelled, wasted=self.started - self.landings,
            burned=self.burned, p50=statistics.median(times), p95=times[int(len(times) * 0.95)],
        )

    def arrive(self) -> bool:
        """Take in what has been handed in; False when nothing is left to do."""
        while self.waiting and self.waiting[-1].at <= self.now:
            self.order.append(self.waiting.pop().key)
        return bool(self.order or self.waiting)

    def look(self) -> Look:
        """What the policy sees."""
        rate = self.world.risk if self.told else own_failure(Record(len(self.trunk) + self.rejected, self.rejected))
        stood = own_failure(self.stood_decided, rate)
        return Look(
            order=tuple(
                Entry(key=key, risk=stood if key in self.stood else rate, stood=key in self.stood) for key in self.order[:SEEN]
            ),
            tried=known(self.tried), apart=known(self.apart), alone=own_failure(self.grouped, rate),
            running=tuple(self.seen(run) for run in self.runs.values()),
            slots=self.world.slots, confirm=self.world.confirm, soonest=soonest(self.ended[-50:]),
        )

    def seen(self, run: Run) -> Running:
        """A run as a policy sees it: nobody knows how long it will last, only how long one of its kind lasts."""
        usual = self.changes[run.want.members[-1]].seconds
        return Running(landing=run.name, members=run.members, why=run.want.why, spent=(self.now - run.began) / usual)

    def settle(self) -> None:
        """Do what the policy wants until it wants nothing more at this moment."""
        for _ in range(STEPS):
            plan = self.policy(self.look())
            if plan.land:
                self.land(plan.land)
            elif plan.reject:
                self.reject(plan.reject)
            elif plan.cancel or plan.start:
                for name in plan.cancel:
                    self.end(self.runs[name])
                    self.cancelled += 1
                for want in plan.start[: self.world.slots - len(self.runs)]:
                    self.start(want)
            else:
                return
        raise AssertionError("a policy that never settles")

    def start(self, want: Want) -> None:
        """Begin a proof: its end and its result are fixed here, and known to nobody."""
        assert set(want.members) <= set(self.order), "a proof of what is not in the order"
        green = self.good(want.members) and self.chance.random() >= self.world.flake
        lasts = self.changes[want.members[-1]].seconds * self.chance.lognormvariate(-0.02, 0.2)
        if not green:
            lasts *= self.chance.uniform(self.world.soonest, 1.0)
        self.started += 1
        self.confirms += want.why == "confirm"
        run = Run(f"L{self.started}", want, want.members, self.now, green)
        self.runs[run.name] = run
        heapq.heappush(self.ends, (self.now + lasts, run.name))

    def good(self, members: Sequence[str]) -> bool:
        """The trunk with these would be green."""
        tree = self.trunk.union(members)
        return not any(self.changes[key].poison or not tree.isdisjoint(self.changes[key].foes) for key in members)

    def end(self, run: Run) -> None:
        """Its slot is free."""
        self.burned += self.now - run.began
        del self.runs[run.name]

    def advance(self) -> None:
        """Let time pass until a run ends or a change arrives."""
        while self.ends and self.ends[0][1] not in self.runs:
            heapq.heappop(self.ends)
        arrives = self.waiting[-1].at if self.waiting else math.inf
        assert self.ends or arrives < math.inf, "nothing runs and nothing will come: the policy lets its queue stand"
        if not self.ends or arrives <= self.ends[0][0]:
            self.now = arrives
            return
        self.now, name = heapq.heappop(self.ends)
        run = self.runs[name]
        self.end(run)
        if not run.green:
            self.ended.append(self.seen(run).spent)
        if run.want.why == "apart":
            self.learn(run)
        elif run.members:
            self.tried.setdefault(run.members, [0, 0])[0 if run.green else 1] += 1

    def learn(self, run: Run) -> None:
        """What a proof apart from the queue tells."""
        if not run.members:
            return
        self.apart.setdefault(run.members, [0, 0])[0 if run.green else 1] += 1
        if not run.want.suspect:
            self.grouped = counted(self.grouped, len(run.members), not run.green)
        if run.green:
            self.stood.update(run.members)

    def land(self, members: tuple[str, ...]) -> None:
        """The trunk moves: what was proved on top of exactly these is now known of what is left; all else of nothing."""
        assert self.tried[members][0] > 0, "landed what was not proved"
        self.red += not self.good(members)
        self.landings += 1
        self.trunk.update(members)
        gone = set(members)
        self.order = [key for key in self.order if key not in gone]
        self.turnarounds += [self.now - self.changes[key].at for key in members]
        after = len(members)
        self.tried = {seen[after:]: n for seen, n in self.tried.items() if seen[:after] == members and len(seen) > after}
        self.apart = {left: n for group, n in self.apart.items() if (left := tuple(key for key in group if key not in gone))}
        self.stood_decided = counted(self.stood_decided, len(gone & self.stood), 0)
        for run in self.runs.values():
            if run.want.why == "apart":
                run.members = tuple(key for key in run.members if key not in gone)
            else:
                run.members = run.members[after:] if run.members[:after] == members else ()

    def reject(self, key: str) -> None:
        """It leaves the queue."""
        self.rejected += 1
        self.thrown_out += self.good((key,))
        self.order.remove(key)
        self.tried = {members: n for members, n in self.tried.items() if key not in members}
        self.apart = {members: n for members, n in self.apart.items() if key not in members}
        if key in self.stood:
            self.stood_decided = counted(self.stood_decided, 1, 1)
        for run in self.runs.values():
            if run.want.why == "apart" and key in run.members:
                if not run.want.suspect:
                    self.grouped = counted(self.grouped, len(run.members), 1)
                run.members = ()


def known(results: dict[tuple[str, ...], list[int]]) -> tuple[Tried, ...]:
    """Passes and fails of members, as a policy sees them."""
    return tuple(Tried(members=members, passes=n[0], fails=n[1]) for members, n in results.items())


def counted(record: Record, decided: int, failed: int) -> Record:
    """With so many more."""
    return Record(record.decided + decided, record.failed + failed)


def invent(
    *, seed: int, count: int, fail: float, clash: float = 0.001, window: int = 50, rate: float | None = None, slots: int = 1,
    confirm: int = 1, flake: float = 0.0,
) -> World:
    """A world of `count` changes: a share `fail` is poison, and of those within `window` places of each other a share `clash`.

    `rate`: arrivals in one unit of time; without it all are there from the start, and a backlog of `SEEN` is left at the end.
    The unit of time is one proof.
    """
    chance = random.Random(f"world {seed}")
    total, at = count + (0 if rate else SEEN), 0.0
    foes: list[list[str]] = [[] for _ in range(total)]
    changes = []
    for n in range(total):
        at += chance.expovariate(rate) if rate else 0.0
        for other in range(max(0, n - window), n):
            if chance.random() < clash:
                foes[n].append(f"c{other}")
                foes[other].append(f"c{n}")
        changes.append(Change(f"c{n}", at, 1.0, chance.random() < fail))
    full = tuple(Change(c.key, c.at, c.seconds, c.poison, tuple(f)) for c, f in zip(changes, foes, strict=True))
    risk = 1 - (1 - fail) * (1 - clash * (1 - fail)) ** window
    return World(changes=full, risk=risk, slots=slots, confirm=confirm, flake=flake, leave=0 if rate else SEEN)


def simulate(world: World, policy: Policy, seed: int = 0, *, told: bool = False) -> Outcome:
    """What a policy makes of a world. The same seed, the same chances."""
    return Laboratory(world, policy, seed, told).outcome()


def bits(rate: float) -> float:
    """Proofs for each landed change that no queue can go below that learns one yes or no from each, one after another."""
    if not 0 < rate < 1:
        return 0.0
    return entropy(rate) / (1 - rate)


def entropy(rate: float) -> float:
    """Of a yes with this probability, in bits."""
    return -(rate * math.log2(rate) + (1 - rate) * math.log2(1 - rate))


def fastest(rate: float, confirm: int = 1, soonest: float = 0.2) -> float:
    """Changes that land in the time of a proof at one slot, at most, in any queue: every run tells at most one yes or no, a failing
    one ends early (so the best odds of a failure are a little above one half), and each culprit is confirmed."""
    early = (1 + soonest) / 2
    told = max(entropy(odds / 100) / (1 - odds / 100 * (1 - early)) for odds in range(1, 100))
    return 1 / (bits(rate) / told + confirm * early * rate / (1 - rate))


def replay(history: Sequence[tuple[float, float, bool, bool]], slots: int, seed: int = 0) -> dict[str, Outcome]:
    """What each policy would have made of a repository's own past, in its unit of time.

    `history`: of each change when it arrived, how long its proof took, whether it was a culprit, and whether its proof lied. Nobody
    knows what it would have clashed with elsewhere in the queue, so a culprit fails wherever it stands; lies strike at random, as
    often as they did.
    """
    past = sorted(history)
    lies = sum(flaky for _, _, _, flaky in past)
    rate = flake_rate([(len(past), lies)]) if lies else 0.0
    failed = sum(culprit for _, _, culprit, _ in past)
    world = World(
        changes=tuple(Change(f"c{n}", at, seconds, culprit) for n, (at, seconds, culprit, _) in enumerate(past)),
        risk=own_failure(Record(len(past), failed)), slots=slots, confirm=confirm_for(rate), flake=rate,
    )
    return {name: simulate(world, made(), seed, told=name == SPECULATES) for name, made in POLICIES.items()}
