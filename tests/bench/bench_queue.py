"""The queue's policy against published ones in the same seeded worlds: throughput, runs, limits, flakes, load, cost of a plan.

    python tests/bench/bench_queue.py [changes [seeds]]

Every policy goes through the same laboratory (`andon.core.queue.simulate`), ours as shipped. The unit of time is one proof (its
spread is 20 %); a failing proof ends between 20 % and 100 % of its time; a change clashes with each of the 50 before it with a
probability of 0.1 %; a culprit is confirmed once. Risks are what was measured so far; risk speculation alone is told the true ones.
"""

import statistics
import sys
import time
from collections.abc import Callable

from andon.core.queue.baselines import Batch, Train
from andon.core.queue.look import Entry, Look, Running, Tried
from andon.core.queue.policy import plan
from andon.core.queue.simulate import OURS, POLICIES, SPECULATES, Outcome, Policy, bits, fastest, invent, simulate

SLOTS = (1, 2, 4, 8, 16)
FAILS = (0.01, 0.05, 0.10)
ONE_SLOT = ("serial", "batch")
PUBLISHED: dict[str, Callable[[], Policy]] = {
    "serial": POLICIES["serial"],
    "batch of 8, as bors does it": lambda: Batch(8, infers=False),
    "batch of 32, as bors does it": lambda: Batch(32, infers=False),
    "train, window = slots": lambda: Train(short=True),
    "train + optimistic, window = slots": lambda: Train(optimistic=True, short=True),
    "train of 4s + optimistic, window = slots": lambda: Train(4, optimistic=True, short=True),
    SPECULATES: POLICIES[SPECULATES],
}
"""As described: bors proves both halves of what failed; cars that are done and wait for one ahead are part of a train's window.
The others are given more than that: all that is known of a tree, and a window without end."""


def measure(name: str, made: Callable[[], Policy], count: int, seeds: int, **world: float) -> list[Outcome]:
    """One policy in one kind of world, once a seed."""
    slots, confirm = int(world.pop("slots", 1)), int(world.pop("confirm", 1))
    return [
        simulate(invent(seed=seed, count=count, slots=slots, confirm=confirm, **world), made(), seed,  # type: ignore[arg-type]  # floats
                 told=name == SPECULATES)
        for seed in range(seeds)
    ]


def rate(found: list[Outcome]) -> float:
    """Landed changes in the time of one proof."""
    return sum(one.landed for one in found) / sum(one.took for one in found)


def each(found: list[Outcome], what: Callable[[Outcome], float]) -> float:
    """Of something, for each landed change."""
    return sum(what(one) for one in found) / sum(one.landed for one in found)


def throughput(count: int, seeds: int) -> None:
    """A saturated queue."""
    print("saturated: landed in the time of a proof | runs for each landed change (cancelled ones included)")
    for fail in FAILS:
        print(f"\nown failures {fail:.0%}".ljust(43) + "".join(f"{f'{slots} slots':>15}" for slots in SLOTS))
        table = {name: row(name, made, count, seeds, fail) for name, made in (PUBLISHED | POLICIES).items()}
        ours = table[OURS]
        told = {"ours / best as described": PUBLISHED, "ours / best of all others": [name for name in table if name != OURS]}
        for what, names in told.items():
            cells = []
            for at, (landed, runs) in enumerate(ours):
                rival, theirs = max(table[name][at] for name in names if at < len(table[name]))
                cells.append(f"{landed / rival:.2f} | {runs / theirs:.2f}")
            print(f"{what:42}" + "".join(f"{cell:>15}" for cell in cells), flush=True)


def row(name: str, made: Callable[[], Policy], count: int, seeds: int, fail: float) -> list[tuple[float, float]]:
    """One policy at each number of slots: landed in the time of a proof, runs for each."""
    cells = []
    for slots in SLOTS[:1] if name.startswith(ONE_SLOT) else SLOTS:
        found = measure(name, made, count, seeds, fail=fail, slots=slots)
        assert not any(one.red or one.thrown_out for one in found), name
        cells.append((rate(found), each(found, lambda one: one.runs)))
    print(f"{name:42}" + "".join(f"{f'{landed:.2f} | {runs:.2f}':>15}" for landed, runs in cells), flush=True)
    return cells


def limit(count: int, seeds: int) -> None:
    """How near one slot is to what one yes or no a run can tell."""
    print("\none slot, runs for each landed change before confirmations, and the least that any queue needs (entropy)")
    for fail in FAILS:
        found = measure(OURS, POLICIES[OURS], count, seeds, fail=fail)
        share = sum(one.rejected for one in found) / sum(one.rejected + one.landed for one in found)
        needed = each(found, lambda one: one.runs - one.confirms)
        print(f"  own failures {fail:.0%}: {needed:.3f}, bound {bits(share):.3f}, ratio {needed / bits(share):.3f}"
              f"  (rejected {share:.1%}; confirmations {each(found, lambda one: one.confirms):.3f});"
              f" landed in a proof {rate(found):.2f}, at most {fastest(share):.2f}, ratio {rate(found) / fastest(share):.3f}")


def flakes(count: int, seeds: int) -> None:
    """Runs of good trees that fail."""
    print("\nflakes, 4 slots, own failures 3 %: landed in the time of a proof, good changes thrown out of 1,000")
    for name in ("train", "train of 4s + optimistic", OURS):
        for confirm in (0, 1, 2):
            cells = []
            for flake in (0.01, 0.03, 0.1):
                found = measure(name, POLICIES[name], count, seeds, fail=0.03, slots=4, confirm=confirm, flake=flake)
                cells.append(f"{rate(found):.2f}, {1000 * each(found, lambda one: one.thrown_out):.1f}")
            print(f"  {name:26} confirm {confirm}: " + "".join(f"{cell:>14}" for cell in cells))


def load(count: int, seeds: int) -> None:
    """Turnaround at a load that comes as it comes."""
    print("\nturnaround p50 / p95 in proofs at Poisson load, own failures 5 %")
    for arrivals, slots in ((0.5, 1), (0.9, 1), (2, 1), (2, 2), (2, 4), (4, 4), (4, 8), (8, 8)):
        cells = []
        for name in ("batch of 8", "train + optimistic", "train of 4s + optimistic", SPECULATES, OURS):
            found = measure(name, POLICIES[name], count, seeds, fail=0.05, slots=slots, rate=arrivals)
            half, most = statistics.mean(one.p50 for one in found), statistics.mean(one.p95 for one in found)
            cells.append(f"{name} {half:.1f} / {most:.1f} ({each(found, lambda one: one.runs):.2f} runs)")
        print(f"  {arrivals} a proof, {slots} slots: " + "; ".join(cells), flush=True)


def cost() -> None:
    """What one plan of a long queue costs."""
    order = tuple(Entry(key=f"c{n}") for n in range(200))
    keys = tuple(entry.key for entry in order)
    tried = (Tried(members=keys[:40], fails=1), Tried(members=keys[:1], fails=1), Tried(members=keys[1:30], fails=1))
    look = Look(order=order, slots=16, tried=tried, clashes=frozenset((f"c{n}", f"c{n + 7}") for n in range(90, 150)))
    running = tuple(Running(landing=f"L{n}", members=want.members, spent=0.5) for n, want in enumerate(plan(look).start[:12]))
    times = []
    for seen in (look, Look(order=order, slots=16, tried=tried, running=running)):
        for _ in range(50):
            began = time.perf_counter()
            plan(seen)
            times.append((time.perf_counter() - began) * 1000)
    print(f"\none plan of 200 entries, 16 slots: p50 {statistics.median(times):.2f} ms, worst {max(times):.2f} ms")


def main() -> None:
    """All tables."""
    count, seeds = int(sys.argv[1]) if len(sys.argv) > 1 else 1000, int(sys.argv[2]) if len(sys.argv) > 2 else 4
    print(f"{count} changes a world, seeds 0..{seeds - 1}\n")
    throughput(count, seeds)
    limit(count * 3, seeds)
    flakes(count, seeds)
    load(count, min(seeds, 2))
    cost()


if __name__ == "__main__":
    main()
