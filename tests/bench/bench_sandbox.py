"""What walls around a job cost: its start, a commit inside, its stop, and fifty at once; each beside none in the same run.

    python tests/bench/bench_sandbox.py [--quick] [--json FILE]
"""

import argparse
import json
import os
import resource
import signal
import statistics
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

import gitkit
from andon.edges import process
from andon.schema.sandbox import LEVELS, Level
from bench.benchkit import spread
from wallkit import ended, launch, log, make, ready, run, walls

START_MS, COMMIT_RATIO, STOP_MS, AT_ONCE = 30.0, 2.0, 50.0, 50
COMMITS = 20
Told = dict[str, dict[str, object]]


def clocked(room: Path, level: Level) -> tuple[float, float]:
    """Milliseconds from a shim's start to its command's first act (the command itself reads the clock), and those of the processor
    for all of it: they do not hang on what else the machine does."""
    before = burnt()
    job = make(room, "date", "+%s%N", box=walls(room, level))
    begun = time.time()
    launch(job).wait(30)
    assert ended(job).code == 0, ended(job)
    return (int(log(job)) / 1e9 - begun) * 1000, burnt() - before


def burnt() -> float:
    """Milliseconds of processor that all ended children used."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (used.ru_utime + used.ru_stime) * 1000


def starts(room: Path, times: int) -> Told:
    """By level, in turns, so that the machine's load falls on each alike."""
    wall: dict[Level, list[float]] = {level: [] for level in LEVELS}
    cpu: dict[Level, list[float]] = {level: [] for level in LEVELS}
    for _ in range(times):
        for level in LEVELS:
            one, used = clocked(room, level)
            wall[level].append(one)
            cpu[level].append(used)
    told: Told = {}
    for level in LEVELS:
        told[f"start, {level}"] = {**spread(wall[level]), "min": round(min(wall[level]), 1), "cpu p50": spread(cpu[level])["p50"]}
        if level != "none":
            over = [one - none for one, none in zip(wall[level], wall["none"], strict=True)]
            more = statistics.median(cpu[level]) - statistics.median(cpu["none"])
            least = round(min(wall[level]) - min(wall["none"]), 1)
            told[f"start, {level} over none"] = {**spread(over), "of minima": least, "cpu": round(more, 1), "at most": START_MS}
    return told


def commits(room: Path, times: int) -> Told:
    """Commits of one file in a repository of some size."""
    repo = gitkit.big_repo(room / "repo", files=500) or room / "repo"
    script = (f"set -e; i=0; b=$(date +%s%N); while [ $i -lt {COMMITS} ]; do i=$((i+1)); echo $i$b > one; git add one; "
              "git -c user.name=a -c user.email=a@b commit -qm x; done; e=$(date +%s%N); echo $(((e-b)/1000))")
    found: dict[Level, list[float]] = {level: [] for level in LEVELS}
    for _ in range(times):
        for level in LEVELS:
            end, text = run(room, "sh", "-c", script, box=walls(room, level, home=str(room)), cwd=str(repo))
            assert end.code == 0, (end, text)
            found[level].append(int(text.split()[-1]) / 1000 / COMMITS)
    middle = statistics.median(found["none"])
    return {f"commit, {level}": {**spread(values), "ratio": round(statistics.median(values) / middle, 2), "at most": COMMIT_RATIO}
            for level, values in found.items()}


def stops(room: Path, times: int) -> Told:
    """From TERM and KILL of the walls to the last process gone: a tree of ten that ignores every signal."""
    script = "trap '' TERM HUP INT; for i in 1 2 3 4 5 6 7 8 9; do (while :; do sleep 600; done) & done; echo ready; wait; wait"
    found: dict[Level, list[float]] = {level: [] for level in LEVELS}
    left = 0
    for _ in range(times):
        for level in LEVELS:
            job = make(room, "sh", "-c", script, box=walls(room, level), grace_s=0.0)
            shim = launch(job)
            ready(job)
            tree = process.descendants(shim.pid)
            begun = time.perf_counter()
            shim.send_signal(signal.SIGTERM)
            while any(Path("/proc", str(one.pid)).exists() for one in tree):
                time.sleep(0.0005)
            found[level].append((time.perf_counter() - begun) * 1000)
            shim.wait(30)
            left += len(process.by_marker(str(job)))
    return {f"stop, {level}": {**spread(values), "min": round(min(values), 1), "left": left, "at most": STOP_MS}
            for level, values in found.items()}


def at_once(room: Path) -> Told:
    """Fifty strict jobs started together: how many came up, and the time until the last had."""
    before = [make(room, "sh", "-c", "echo ready; sleep 600", box=walls(room)) for _ in range(AT_ONCE)]
    begun = time.perf_counter()
    shims = [launch(job) for job in before]
    for job in before:
        ready(job)
    took = time.perf_counter() - begun
    memory = sum(int(line.split()[1]) for shim in shims for one in process.descendants(shim.pid)
                 for line in _lines(one.pid) if line.startswith("Pss:"))
    for shim in shims:
        shim.terminate()
    failed = sum(shim.wait(60) is None for shim in shims) + sum(ended(job).because != "stopped" for job in before)
    left = sum(len(process.by_marker(str(job))) for job in before)
    return {f"{AT_ONCE} at once": {"seconds": round(took, 2), "failed": failed, "left": left,
                                   "walls and command, MB each (Pss)": round(memory / 1024 / AT_ONCE, 1)}}


def _lines(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return []


def main() -> None:
    """All of it, as one table or one JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    times = 8 if asked.quick else 30
    with tempfile.TemporaryDirectory(prefix="andon-bench-") as folder:
        room = Path(folder)
        (room / ".gitconfig").touch()
        os.environ["GIT_CONFIG_NOSYSTEM"] = "1"
        told = {**starts(room, times), **commits(room, max(3, times // 4)), **stops(room, times), **at_once(room)}
    for name, figures in told.items():
        print(f"{name:28}", "  ".join(f"{key} {value}" for key, value in figures.items()))
    print("load", *os.getloadavg(), "on", os.cpu_count(), "processors")
    if asked.json:
        asked.json.write_text(json.dumps(told))


if __name__ == "__main__":
    main()
