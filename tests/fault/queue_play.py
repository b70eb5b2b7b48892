"""Plays plans of a merge queue from their beginning to rest, past all deaths of the daemon, and has them judged."""

import argparse
import os
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from fault.checker import Violation, check
from fault.queue_work import Plan, QueuePiece
from fault.workload import end, remove
from fault.world import Row, of, rows


@dataclass
class Played:
    """What became of a plan."""

    plan: Plan
    state: str = "stuck"
    violations: list[Violation] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0
    log: str = ""

    @property
    def good(self) -> bool:
        """Came to rest with every promise kept."""
        return self.state == "rest" and not self.violations

    def __str__(self) -> str:
        told = self.counts
        runs = told.get("runs", 0) / max(told.get("landed", 0), 1)
        bad = "" if self.good else f"; {self.state}; " + "; ".join(map(str, self.violations))
        return (f"seed {self.plan.seed}, {self.plan.branches} changes, {self.seconds:.0f} s: "
                + ", ".join(f"{count} {name}" for name, count in told.items()) + f"; {runs:.2f} runs a landed change{bad}")


def play(plan: Plan, root: Path, seconds: float, program: tuple[str, ...] = ("-m", "andon.cli.main", "daemon")) -> Played:
    """A factory with this plan, driven to rest past all deaths of its daemon, and judged. All that was started is ended."""
    piece, begun, played = QueuePiece(root, plan), time.monotonic(), Played(plan)
    plant, last = piece.plant, begun + seconds
    try:
        plant.start(program=program)
        while (state := piece.drive(last - time.monotonic())) == "dead" and piece.killed > piece.revived:
            piece.revived += 1
            plant.start(program=program)
        plant.stop()
        told = rows(plant.layout.home)
        played.state, played.counts, played.seconds = state, counts(told), time.monotonic() - begun
        played.violations = check(piece.scene)
    finally:
        end(plant)
        played.log = plant.log_text()[-3000:]
    return played


def counts(told: list[Row]) -> dict[str, int]:
    """Figures of a run."""
    runs = {row["run"] for row in of(told, "run.planned") if row["purpose"] == "landing"}
    finished = [row for row in of(told, "run.finished") if row["run"] in runs]
    judged = of(told, "landing.judged")
    return {
        "apart": sum(row["why"] == "apart" for row in of(told, "landing.planned")),
        "landed": len(of(told, "task.landed")), "moves": len(of(told, "target.moved")), "runs": len(finished),
        "proofs": len(judged), "failed": sum(row["result"] == "fail" for row in judged),
        "abandoned": len(of(told, "landing.abandoned")), "conflicted": len(of(told, "landing.conflicted")),
        "culprits": sum(row["reason"] == "failed" for row in of(told, "entry.sent-back")),
        "conflicts": sum(row["reason"] == "conflict" for row in of(told, "entry.sent-back")),
        "flakes": len(of(told, "flake.seen")), "starts": len(of(told, "factory.started")),
    }


def main(argv: list[str]) -> int:
    """More seeds: `python tests/fault/queue_play.py --seeds 5 --branches 100`."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--first", type=int, default=1)
    parser.add_argument("--branches", type=int, default=100)
    parser.add_argument("--poison", type=int, default=0, help="0: 1 to 3, by the seed")
    parser.add_argument("--kills", type=int, default=6)
    parser.add_argument("--seconds", type=float, default=900.0)
    parser.add_argument("--slots", type=int, default=2)
    parser.add_argument("--history", default="", help="tips or green; empty: by the seed")
    told = parser.parse_args(argv)
    bad = 0
    for seed in range(told.first, told.first + told.seeds):
        plan = Plan(seed=seed, branches=told.branches, poison=told.poison or 1 + seed % 3, pairs=max(1, told.branches // 20),
                    cancelled=3, held=2, outsider=2, kills=told.kills, revert=True, dirty=seed % 3 == 2, wip=8,
                    slots=told.slots,
                    history=told.history or ("green" if seed % 2 else "tips"), batch=seed % 4 != 3,
                    land="squash" if seed % 5 == 4 else "merge")
        root = Path(tempfile.mkdtemp(prefix="andon-queue-"))
        played = play(plan, root, told.seconds)
        print(played, flush=True)
        if played.good:
            remove(root)
        else:
            print(root, played.log, flush=True)
        bad += not played.good
    return 1 if bad else 0


if __name__ == "__main__":
    os.environ |= {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    os.environ |= {f"GIT_{who}_{what}": value for who in ("AUTHOR", "COMMITTER")
                   for what, value in (("NAME", "Test"), ("EMAIL", "test@example.org"))}
    sys.exit(main(sys.argv[1:]))
