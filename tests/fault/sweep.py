"""kill -9 at every named point of the daemon: each time it must recover, and the checker must find every promise kept.

    python tests/fault/sweep.py [--sample N] [--per-point N] [--doubles N] [--jobs N] [--only PREFIX] [--work NAMES]
                               [--naive NAME] [--seed N]

First the workload runs once and notes the points that it passes. Then, for each of them, it runs again in a factory of its own
whose daemon is killed at that passing and started anew. Exit code 1 when a promise was broken or a factory did not come to rest.
"""

import argparse
import os
import random
import sys
import tempfile
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from fault.checker import Violation, check
from fault.queue_work import SWEPT, TAKEN, Plan, QueuePiece
from fault.sitting_work import SITTINGS
from fault.workload import TASKS, Piece, end, remove

DAEMON = ("-m", "andon.cli.main", "daemon")
SECONDS = 90.0
"""Past this a factory counts as stuck."""
MEDDLED = ("merge-candidate.", "move-target.", "mirror-target.")
"""Points at which the full sweep also lets the person commit while the daemon is down."""
KEEP = bool(os.environ.get("ANDON_SWEEP_KEEP"))
"""Whether factories with broken promises are left on disk, to be looked at."""
Work = tuple[str, ...] | Plan
WORK: dict[str, Work] = {"agents": TASKS, "sittings": SITTINGS, "queue": SWEPT, "forward": TAKEN}
"""The pieces of work: agents that end by themselves; agents that sit at a prompt; a merge queue with all that can happen in one; a
checkout with changes in hand that is taken forward."""
PER_POINT = 3
"""Passings of one point that the full sweep tries, spread evenly; 0 for all."""


@dataclass
class Case:
    """One run: killed at each of these faults in turn, then driven to rest."""

    faults: tuple[str, ...]
    naive: str = ""
    acts: Work = TASKS
    meddled: bool = False
    """Whether the person commits to the target while the daemon is down."""
    killed: int = 0
    rested: bool = False
    violations: list[Violation] = field(default_factory=list)
    seconds: float = 0.0
    log: str = ""
    place: str = ""

    @property
    def name(self) -> str:
        """Where it is killed."""
        return (" + ".join(self.faults) or "no fault") + (", the person commits" if self.meddled else "")

    @property
    def good(self) -> bool:
        """Came to rest with every promise kept."""
        return self.rested and not self.violations


def program(naive: str) -> tuple[str, ...]:
    """The daemon, whole or with a protection off."""
    return (str(Path(__file__).with_name("naive.py")), naive) if naive else DAEMON


def piece_of(work: Work, root: Path) -> Piece:
    """A factory with this work."""
    return QueuePiece(root, work) if isinstance(work, Plan) else Piece(root, acts=work)


def trace(acts: Work = TASKS) -> list[str]:
    """The passings `NAME:N` of one run without a fault, which must be good itself."""
    root = Path(tempfile.mkdtemp(prefix="andon-sweep-"))
    case = run(Case((), acts=acts), root, {"ANDON_FAULT_TRACE": str(root / "trace")}, keep=True)
    passed = (root / "trace").read_text().split() if (root / "trace").exists() else []
    remove(root)
    if not case.good:
        raise SystemExit("without any fault:\n" + "\n".join(map(str, case.violations)) + f"\n{case.log}")
    return passed


def run(case: Case, root: Path, env: dict[str, str] | None = None, *, keep: bool = False) -> Case:
    """Play a case in a factory below `root` and judge it; everything that was started is ended."""
    begun, case.place = time.monotonic(), str(root)
    piece = piece_of(case.acts, root)
    plant = piece.plant
    try:
        state = "stuck"
        for fault in (*case.faults, ""):
            plant.start({**(env or {}), "ANDON_FAULT": fault}, program=program(case.naive))
            state = piece.drive(SECONDS)
            if not fault or state != "dead":
                break
            case.killed += 1
            if case.meddled and case.killed == 1:
                piece.commit_as_person()
        if state == "rest":
            plant.stop()
        if state == "dead" or (case.faults and plant.process is not None and plant.process.returncode == -9):
            case.killed += state == "rest"  # a point in its last minute
            plant.start(program=program(case.naive))
            state = piece.drive(SECONDS)
            plant.stop()
        case.rested = state == "rest"
        case.violations = check(piece.scene) if case.rested else [Violation("at-rest", f"the factory is {state}")]
        case.log = plant.log_text()[-3000:]
    finally:
        end(plant)
        case.seconds = time.monotonic() - begun
        if not keep and (case.good or not KEEP):
            remove(root)
    return case


def chosen(passed: Iterable[str], per_point: int) -> list[str]:
    """Of each point so many passings, the first and the last among them."""
    numbers: dict[str, list[int]] = {}
    for passing in passed:
        name, _, number = passing.rpartition(":")
        numbers.setdefault(name, []).append(int(number))
    picked = []
    for name, known in numbers.items():
        known.sort()
        few = known if not per_point or len(known) <= per_point else [
            known[round(n * (len(known) - 1) / max(1, per_point - 1))] for n in range(per_point)
        ]
        picked += [f"{name}:{number}" for number in dict.fromkeys(few)]
    return picked


def sampled(passed: Iterable[str], count: int, chance: random.Random) -> list[str]:
    """So many passings over as many points as can be."""
    numbers: dict[str, list[str]] = {}
    for passing in passed:
        numbers.setdefault(passing.rpartition(":")[0], []).append(passing)
    names = sorted(numbers)
    step = max(1.0, len(names) / count)
    few = [names[int(n * step + chance.random() * step) % len(names)] for n in range(min(count, len(names)))]
    return [chance.choice(numbers[name]) for name in dict.fromkeys(few)]


def doubled(passed: list[str], count: int, chance: random.Random) -> list[tuple[str, str]]:
    """Pairs: the second kill falls into the recovery from the first, early and late."""
    names = sorted({passing.rpartition(":")[0] for passing in passed})
    early = ("start.swept:1", "append.before:1", "append.after:1", "store.committed:2", "append.after:3")
    return [(chance.choice(passed), chance.choice(early) if n % 2 else f"{chance.choice(names)}:{chance.randint(1, 2)}")
            for n in range(count)]


def play(cases: list[Case], jobs: int, *, quiet: bool = False) -> list[Case]:
    """All cases, so many at once."""
    place = os.environ.get("ANDON_SWEEP_DIR") or tempfile.gettempdir()

    def one(numbered: tuple[int, Case]) -> Case:
        number, case = numbered
        run(case, Path(tempfile.mkdtemp(prefix="andon-sweep-", dir=place)))
        if not quiet:
            told = "ok" if case.good else "; ".join(map(str, case.violations))
            told = told if case.killed else f"not reached, {told}"
            print(f"[{number}/{len(cases)}] {case.seconds:5.1f} s  {case.name}: {told}", flush=True)
            if not case.good:
                print(case.log, case.place if KEEP else "", flush=True)
        return case

    with ThreadPoolExecutor(jobs) as pool:
        return list(pool.map(one, enumerate(cases, 1)))


def table(cases: list[Case]) -> str:
    """One line a point: tried, killed, recovered, violations."""
    rows: dict[str, list[int]] = {}
    for case in cases:
        name = "two kills" if len(case.faults) > 1 else case.faults[0].rpartition(":")[0]
        row = rows.setdefault(name, [0, 0, 0, 0])
        row[0] += 1
        row[1] += case.killed > 0
        row[2] += case.killed > 0 and case.good
        row[3] += len(case.violations)
    told = [f"{'point':<32}{'tried':>7}{'killed':>8}{'recovered':>11}{'violations':>12}"]
    told += [f"{name:<32}{tried:>7}{killed:>8}{good:>11}{bad:>12}" for name, (tried, killed, good, bad) in sorted(rows.items())]
    return "\n".join(told)


def summary(cases: list[Case], seconds: float) -> str:
    """All of it in one line."""
    killed = [case for case in cases if case.killed]
    good = sum(case.good for case in killed)
    bad = sum(len(case.violations) for case in cases)
    points = len({fault.rpartition(":")[0] for case in cases for fault in case.faults})
    kills = sum(case.killed for case in cases)
    return (f"{len(cases)} passings of {points} points: {len(killed)} runs killed ({kills} kills), {good} recovered, "
            f"{len(cases) - len(killed)} not reached, {bad} violations, {seconds:.0f} s")


def planned(told: argparse.Namespace, acts: Work, chance: random.Random) -> list[Case]:
    """The cases of one piece of work, which is run once without a fault for that."""
    passed = [passing for passing in trace(acts) if passing.startswith(tuple(told.only.split(",")))]
    print(f"one run passes {len(passed)} times through {len({p.rpartition(':')[0] for p in passed})} points", flush=True)
    singles = sampled(passed, told.sample, chance) if told.sample else chosen(passed, told.per_point)
    doubles = told.doubles if told.doubles >= 0 else (0 if told.sample else 20)
    cases = [Case((fault,), told.naive, acts) for fault in singles]
    if acts is TASKS and not told.sample:
        cases += [Case((fault,), told.naive, acts, meddled=True) for fault in singles if fault.startswith(MEDDLED)]
    return cases + [Case(pair, told.naive, acts) for pair in doubled(passed, doubles, chance)] if passed else cases


def main(argv: list[str]) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sample", type=int, default=0, help="only so many passings, spread over all points")
    parser.add_argument("--per-point", type=int, default=PER_POINT, help="passings tried of each point; 0 for all of them")
    parser.add_argument("--doubles", type=int, default=-1, help="runs that are killed a second time while they recover")
    parser.add_argument("--jobs", type=int, default=2, help="factories at once")
    parser.add_argument("--only", default="", help="only points whose name begins so; several by commas")
    parser.add_argument("--work", default=",".join(WORK), help=f"of {', '.join(WORK)}")
    parser.add_argument("--naive", default="", help="a daemon without this protection; see naive.py")
    parser.add_argument("--seed", type=int, default=1)
    told = parser.parse_args(argv)
    chance, begun = random.Random(told.seed), time.monotonic()
    cases = [case for name in told.work.split(",") for case in planned(told, WORK[name], chance)]
    play(cases, told.jobs)
    print(table(cases))
    print(summary(cases, time.monotonic() - begun))
    return 0 if all(case.good for case in cases) else 1


if __name__ == "__main__":
    os.environ |= {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    os.environ |= {f"GIT_{who}_{what}": value for who in ("AUTHOR", "COMMITTER")
                   for what, value in (("NAME", "Test"), ("EMAIL", "test@example.org"))}
    sys.exit(main(sys.argv[1:]))
