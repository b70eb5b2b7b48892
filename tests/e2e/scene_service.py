"""Plays beside a real service manager, inside its namespaces: `python scene_service.py WHAT HOME …` prints one JSON value."""

import json
import os
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from andon.client import connect
from andon.edges.jobs import Running, probe
from andon.schema import events as e
from andon.schema.errors import Mistake
from factory import UNHELD, Factory, small_repo
from support import wait_until


def agents(plant: Factory, repo: Path, count: int) -> list[str]:
    """Put so many agents to work that ask something and wait."""
    settings = Path(plant.env["ANDON_CONFIG_HOME"]) / "andon.toml"
    settings.parent.mkdir(parents=True, exist_ok=True)
    settings.write_text(f"[factory]\nwip = {count}\n{UNHELD}")
    known = plant.register(small_repo(repo, extra=f"[factory]\nwip = {count}\n"))
    for n in range(count):
        plant.add(known, scenario="ask", title=f"task {n}")
    plant.until(lambda: len(plant.gates()) == count, 120, what="all agents to ask")
    return at_work(plant)


def at_work(plant: Factory) -> list[str]:
    """The shims that run: which attempt, which process, begun when."""
    seen = [(folder.name, probe(folder)) for folder in sorted(plant.layout.jobs.glob("T*"))]
    return [f"{name} {one.started.pid} {one.started.ticks}" for name, one in seen if isinstance(one, Running)]


def starts(plant: Factory) -> int:
    """How many sessions the ledger knows to have begun."""
    return sum(isinstance(row.event, e.AttemptStarted) for row in plant.events())


def releases(plant: Factory) -> list[str]:
    """The releases whose daemons wrote, in their order, each once in a row."""
    found = [row.event.version for row in plant.events() if isinstance(row.event, e.FactoryStarted)]
    return [one for n, one in enumerate(found) if not n or found[n - 1] != one]


def knock(plant: Factory, unit: str, harm: str) -> dict[str, object]:
    """Connect 40 times across a restart, an upgrade or a kill -9 of the daemon: how many were answered, and the slowest."""
    pid = main_pid(unit)
    argv = ["kill", "-9", str(pid)] if harm == "kill" else ["systemctl", "--user", "restart", unit]
    slowest, answered, refused, begun = 0.0, 0, list[str](), time.monotonic()
    with subprocess.Popen(argv) as doing:
        for n in range(40):
            due = begun + n * 0.05
            wait_until(partial(past, due), what="the next knock")
            at = time.monotonic()
            try:
                with connect(plant.layout) as client:
                    answered += client.welcome.pid > 0
            except (OSError, Mistake) as error:
                refused.append(str(error)[:200])
            slowest = max(slowest, time.monotonic() - at)
        doing.wait(60)
    wait_until(lambda: main_pid(unit) not in (0, pid), 30, what="another daemon")
    return {"answered": answered, "refused": refused, "slowest": slowest, "pid": main_pid(unit)}


def past(moment: float) -> bool:
    """Whether a moment has come."""
    return time.monotonic() > moment


def main_pid(unit: str) -> int:
    """The daemon, as its manager knows it."""
    asked = subprocess.run(["systemctl", "--user", "show", "-p", "MainPID", "--value", unit], capture_output=True, text=True,
                           check=True)
    return int(asked.stdout)


def main() -> object:
    """One scene."""
    what, home, *words = sys.argv[1:]
    plant = Factory(Path(home))
    match what:
        case "agents":
            return agents(plant, Path(words[0]), int(words[1]))
        case "knock":
            return knock(plant, words[0], words[1])
        case "at-work":
            wait_until(plant.answers, 60, what="the daemon")
            return {"shims": at_work(plant), "starts": starts(plant), "sessions": len(plant.sessions()),
                    "gates": len(plant.gates()), "releases": releases(plant)}
        case "answers":
            wait_until(plant.answers, 60, what="the daemon")
            return os.getpid()
    raise SystemExit(f"no scene {what}")


if __name__ == "__main__":
    print(json.dumps(main()))
