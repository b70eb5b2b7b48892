"""What seeing costs: a start with baits beside one without, an opened bait, a flood of them, and a watcher with nothing to see.

    python tests/bench/bench_access.py [--quick] [--json FILE]
"""

import argparse
import json
import os
import resource
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from andon.edges import baits
from andon.edges.baits import Place
from andon.schema.sandbox import Bait
from bench.benchkit import spread
from wallkit import PYTHON, launch, log, make, ready, walls

OPENS = 200_000
IDLE_S = 5.0
Told = dict[str, dict[str, object]]


def laid(room: Path) -> tuple[Bait, ...]:
    """The baits of an agent's job."""
    for name in ("home", "job"):
        (room / name).mkdir(exist_ok=True)
    sockets = (Path("/ada/run/andon.sock"), Path("/ada/run/tmux.sock"))
    return baits.lay(Place(job=room / "job", home=room / "home", person=Path("/ada"), state=Path("/ada/state"), sockets=sockets,
                           repository=Path("/ada/repo")), (), ())


def burnt() -> float:
    """Milliseconds of processor that all ended children used."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (used.ru_utime + used.ru_stime) * 1000


def starts(room: Path, times: int) -> Told:
    """Milliseconds from a shim's start to its command's first act, with and without baits in turns."""
    kinds: dict[str, tuple[Bait, ...]] = {"without baits": (), "with baits": laid(room)}
    wall: dict[str, list[float]] = {name: [] for name in kinds}
    cpu: dict[str, list[float]] = {name: [] for name in kinds}
    for _ in range(times):
        for name, found in kinds.items():
            before = burnt()
            job = make(room, "date", "+%s%N", box=walls(room, home=str(room / "home"), baits=found))
            begun = time.time()
            launch(job).wait(30)
            wall[name].append((int(log(job)) / 1e9 - begun) * 1000)
            cpu[name].append(burnt() - before)
    told: Told = {f"start, {name}": {**spread(wall[name]), "min": round(min(wall[name]), 1), "cpu p50": spread(cpu[name])["p50"]}
                  for name in kinds}
    over = [one - none for one, none in zip(wall["with baits"], wall["without baits"], strict=True)]
    told["baits over none"] = {**spread(over), "count": len(kinds["with baits"])}
    return told


def flood(room: Path) -> Told:
    """Processor time of the watcher for each open of a flood: the whole job's, less that of the same flood where nobody watches."""
    code = f"import os\nfor n in range({OPENS}): os.close(os.open('{{}}', 0))"
    spent: dict[str, float] = {}
    for name, file in (("an ordinary file", "/etc/passwd"), ("a bait", "/ada/.ssh/id_rsa")):
        before = burnt()
        job = make(room, PYTHON, "-c", code.format(file), box=walls(room, home=str(room / "home"), baits=laid(room)))
        launch(job).wait(120)
        spent[name] = burnt() - before
        lines = len((job / "access.jsonl").read_bytes().splitlines()) if (job / "access.jsonl").exists() else 0
    each = (spent["a bait"] - spent["an ordinary file"]) * 1000 / OPENS
    return {"a flood of opens": {"opens": OPENS, "us each, watching": round(each, 2), "lines": lines}}


def idle(room: Path) -> Told:
    """Wake-ups and processor time of a shim whose job opens nothing."""
    job = make(room, "sh", "-c", "echo ready; exec sleep 60", box=walls(room, home=str(room / "home"), baits=laid(room)))
    shim = launch(job)
    ready(job)
    time.sleep(0.5)

    def woken() -> tuple[int, int]:
        rows = Path(f"/proc/{shim.pid}/status").read_text().splitlines()
        ticks = Path(f"/proc/{shim.pid}/stat").read_text().rpartition(")")[2].split()
        return sum(int(row.split()[1]) for row in rows if "ctxt_switches" in row), int(ticks[11]) + int(ticks[12])

    before = woken()
    time.sleep(IDLE_S)
    after = woken()
    shim.terminate()
    shim.wait(10)
    return {"idle": {"seconds": IDLE_S, "wake-ups": after[0] - before[0], "ticks": after[1] - before[1]}}


def main() -> int:
    """Measure, print, keep."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    told: Told = {}
    with tempfile.TemporaryDirectory() as folder:
        room = Path(folder, "room")
        room.mkdir()
        told |= starts(room, 8 if args.quick else 40)
        told |= flood(room)
        told |= idle(room)
    for name, figures in told.items():
        print(f"{name:<22}", *(f"{key} {value}" for key, value in figures.items()), sep="  ")
    print(f"load {os.getloadavg()[0]:.1f}")
    if args.json:
        args.json.write_text(json.dumps(told, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
