"""The merge queue at work on a real project: agents without a model, changes that fail only together, and the project's own suite.

    python tests/bench/bench_real_queue.py [--full] [--backlog] [--changes N] [--bundled] [--quick] [--dir DIR] [--json FILE]

Without `--full`: 10 changes of the bundled project. With it: 50 changes of a release from the package index, 6 % of them poison.
With `--backlog` nothing lands before all have come to the queue, as after a night of waiting; else they land as they come.
Nobody is at the keys: agents hand in, the daemon proves each change and each prefix of the queue with the whole suite in two slots,
culprits go back to their agents, which mend them. Afterwards every commit that the target was moved to is proved again in a fresh
clone, and what was sent back is compared with what was poisoned. The same arrivals, culprits, slots and durations go through the
simulation of the queue; the last figures are ratios to it.
"""

import argparse
import ast
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

sys.path.insert(0, str(Path(__file__).parents[1]))

from andon.core.queue.policy import plan
from andon.core.queue.simulate import Change, Outcome, World, simulate
from andon.ledger_reader import read_log
from andon.schema import events as e, inputs as i, wire
from andon.schema.ids import LandingId, RepoId, TaskId
from andon_agents.demo.fetch import Fetched, bundled_project, fetch_project
from bench.benchkit import person, spread
from factory import UNHELD, Factory, factory, git
from support import wait_until

SLOTS, SEEDS, WIP = 2, 200, 4
TARGET = 1.15
"""Most runs for each landed change, against the simulation."""
HOURS = 1.0
"""The longest that a run may take."""
WHERE = {"toolz": ("toolz", "toolz/tests", ("itertoolz", "functoolz", "dicttoolz", "recipes")),
         "pocket": ("pocket", "tests", ("text", "dates", "money", "colors", "ranges", "stats", "tables", "units", "paths"))}
"""Of each project its package, the directory of its tests, and modules that changes are made to."""
SUITE = f"PYTEST_DISABLE_PLUGIN_AUTOLOAD=1 {sys.executable} -m pytest -q -p no:cacheprovider"
AGENT = r"""
import pathlib, re, subprocess, sys
scripts = re.findall(r"```sh\n(.*?)```", pathlib.Path(sys.argv[1]).read_text(), re.S)
before = subprocess.run(["git", "rev-parse", "-q", "--verify", "andon/previous"], capture_output=True)
subprocess.run(["sh", "-ec", scripts[before.returncode == 0]], check=True)
subprocess.run(["git", "add", "-A"], check=True)
subprocess.run(["git", "commit", "-qm", "What was asked for"], check=True)
"""
"""Does what the first block of its task says, and the second when its first work came back."""
MEET = 'touch {room}/{mine}; n=0; while [ ! -e {room}/{other} ] && [ $n -lt 600 ]; do sleep 0.1; n=$((n+1)); done\n'
"""Two agents at work at the same time: neither hands in before the other has begun."""


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """One change that an agent is to make."""

    title: str
    script: str
    again: str
    """What is done when the change was sent back."""
    pair: int = -1
    """Number of the pair that fails only together."""


class Ready(msgspec.Struct, frozen=True, kw_only=True):
    """A project in a repository of its own, and the changes."""

    project: Fetched
    path: Path
    jobs: tuple[Job, ...]


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One time that a change came to the queue."""

    task: TaskId
    at: float
    """Seconds from the first."""
    back: bool
    """It was sent back."""


# --- the project and its changes -----------------------------------------------------------------------------------------


def prepared(room: Path, full: bool, bundled: bool, changes: int) -> Ready:
    """The repository, with settings for an unattended factory."""
    path = room / "repo"
    project = bundled_project(path) if bundled else fetch_project(path)
    (room / "agent.py").write_text(AGENT)
    (path / "andon.toml").write_text(
        f'[factory]\nwip = {WIP}\nproving = {SLOTS}\noverlap_minutes = 0.0\n[agents.default]\nuse = "command"\n'
        f'command = ["{sys.executable}", "-S", "{room}/agent.py", "{{prompt_file}}"]\n'
        f"[checks.suite]\nrun = '''{SUITE} --junitxml={{report}}'''\nreport = \"junit\"\nminutes = 10\n"
        '[policy]\nship = ["**"]\nwalls = "none"\n[sandbox]\nlevel = "none"\n')
    git(path, "init", "-q", "-b", "main")
    git(path, "add", "-A")
    git(path, "commit", "-q", "-m", f"{project.name} {project.version}")
    return Ready(project=project, path=path, jobs=jobs_of(project, path, room, changes, 3 if full else 1))


def jobs_of(project: Fetched, path: Path, room: Path, changes: int, pairs: int) -> tuple[Job, ...]:
    """Good changes, each a line in a function of the project's own and a test for it; and among them, evenly, the pairs."""
    package, tests, modules = WHERE[project.name]
    places = [(name, function) for name in modules for function in functions(path / package / f"{name}.py")]
    good = changes - 2 * pairs
    assert len(places) >= good, f"{project.name} has only {len(places)} functions to change"
    found = [touch(package, tests, n, *places[n * len(places) // good]) for n in range(good)]
    for pair in range(pairs):
        at = (pair + 1) * good // (pairs + 1) + 2 * pair
        found[at:at] = clash(package, tests, room, pair, modules[pair])
    return tuple(found)


def functions(path: Path) -> list[str]:
    """Functions at the top of a module that have a docstring with a line of its own after it."""
    nodes = [node for node in ast.parse(path.read_text()).body if isinstance(node, ast.FunctionDef)]
    return [node.name for node in nodes if ast.get_docstring(node) and len(node.body) > 1 and node.body[1].lineno > node.lineno + 2]


def touch(package: str, tests: str, n: int, module: str, function: str) -> Job:
    """A line in a function, and a test that it is still there."""
    edit = ("import ast, pathlib, sys; path = pathlib.Path(sys.argv[1]); lines = path.read_text().splitlines(True); "
            "node = next(node for node in ast.parse(''.join(lines)).body if getattr(node, 'name', '') == sys.argv[2]); "
            "lines.insert(node.body[1].lineno - 1, ' ' * node.body[1].col_offset + sys.argv[3] + chr(10)); "
            "path.write_text(''.join(lines))")
    test = f"import {package}.{module}\\n\\n\\ndef test_change_{n}():\\n    assert callable({package}.{module}.{function})\\n"
    script = (f'{sys.executable} -S -c "{edit}" {package}/{module}.py {function} "# Looked at in change {n}."\n'
              f"printf '{test}' > {tests}/test_change_{n}.py\n")
    return Job(title=f"Look at {module}.{function} ({n})", script=script, again=script)


def clash(package: str, tests: str, room: Path, pair: int, module: str) -> list[Job]:
    """One change adds a name to a module; the other a test that the module has no such name. Each is good alone."""
    name, test = f"LATER_{pair}", f"{tests}/test_names_{pair}.py"
    told = f"import {package}.{module} as module\\n\\n\\ndef test_names_{pair}():\\n    assert "
    adds = f"printf '\\n\\n{name} = {pair}\\n' >> {package}/{module}.py\n"
    forbids = f"printf '{told}not hasattr(module, \"{name}\")\\n' > {test}\n"
    meet = [MEET.format(room=room, mine=f"met-{pair}-{mine}", other=f"met-{pair}-{1 - mine}") for mine in (0, 1)]
    return [Job(title=f"Add {name} to {module}", script=meet[0] + adds, pair=pair,
                again=f"sed -i '/^{name} = /d' {package}/{module}.py\n" + adds.replace(name, f"OTHER_{pair}")),
            Job(title=f"Keep {module} free of {name}", script=meet[1] + forbids, pair=pair,
                again=f"printf '{told}getattr(module, \"{name}\", {pair}) == {pair}\\n' > {test}\n")]


def proven_poison(ready: Ready, room: Path) -> None:
    """Each half of a pair passes alone and the two fail together: else the figures would mean nothing."""
    for pair in sorted({job.pair for job in ready.jobs} - {-1}):
        halves = [job.script[job.script.index("\n") + 1:] for job in ready.jobs if job.pair == pair]
        for n, (scripts, green) in enumerate((([halves[0]], True), ([halves[1]], True), (halves, False))):
            place = room / f"poison-{pair}-{n}"
            git(room, "clone", "-q", str(ready.path), str(place))
            for script in scripts:
                subprocess.run(("sh", "-ec", script), cwd=place, check=True)
            assert passes(place) == green, f"pair {pair}: {scripts} should {'pass' if green else 'fail'}"


def passes(place: Path) -> bool:
    """Whether the whole suite says yes."""
    env = {key: value for key, value in os.environ.items() if not key.startswith(("GIT_", "PYTEST_", "ANDON_"))}
    return subprocess.run(("sh", "-c", SUITE), cwd=place, env=env, capture_output=True, check=False).returncode == 0


# --- the run ---------------------------------------------------------------------------------------------------------


def unattended(ready: Ready, room: Path, backlog: bool) -> tuple[list[e.Recorded], dict[TaskId, Job]]:
    """Everything that happened until the last change had landed."""
    with factory(room / "f", settings="") as plant:
        name = plant.register(ready.path)
        if backlog:
            plant.do(i.HoldQueue(repo=name, because="gathering"))
        jobs = {hand_out(plant, name, job): job for job in ready.jobs}
        rows: list[e.Recorded] = []
        end = time.monotonic() + HOURS * 3600
        while sum(isinstance(row.event, e.TaskDone) for row in rows) < len(jobs):
            settle(0.5)
            rows += read_log(plant.layout, after=rows[-1].seq if rows else 0, limit=5000)
            gates = [row.event for row in rows if isinstance(row.event, e.GateOpened)]
            assert not gates, f"a person is asked: {gates[0]}\n{told(rows, gates[0].task)}"
            if backlog and len(entries_of(rows)) == len(jobs):
                plant.do(i.ResumeQueue(repo=name))
                backlog = False
            assert time.monotonic() < end and not plant.dead(), f"it did not end: {plant.log_text()[-2000:]}"
        plant.until(lambda: git(ready.path, "rev-parse", "main") == git(ready.path, "rev-parse", "refs/andon/trunk/main"),
                    what="main of the person, which follows")
        return rows, jobs


def told(rows: Sequence[e.Recorded], task: TaskId) -> str:
    """The last that happened to a task, for somebody who looks why."""
    mine = [f"{row.seq} {row.event}"[:1500] for row in rows if e.subject_of(row.event).startswith(task) or task in str(row.event)]
    return "\n".join(mine[-25:])


def hand_out(plant: Factory, repo: RepoId, job: Job) -> TaskId:
    """Add a task."""
    spec = f"{job.title}\n\n```sh\n{job.script}```\n\nIf it came back:\n\n```sh\n{job.again}```\n"
    done = plant.do(i.AddTask(repo=repo, title=job.title, spec=spec))
    assert isinstance(done, wire.Done), done
    return TaskId(done.ids[0])


def settle(seconds: float) -> None:
    """Let so much time go by."""
    end = time.monotonic() + seconds
    wait_until(lambda: time.monotonic() > end, seconds + 5)


# --- what it came to -------------------------------------------------------------------------------------------------


def entries_of(rows: Sequence[e.Recorded]) -> list[Entry]:
    """Each coming of a change to the queue, and whether it was sent back that time."""
    came: list[tuple[TaskId, int]] = []
    back: set[int] = set()
    for row in rows:
        if isinstance(row.event, e.TaskEntered) and row.event.station == "land":
            came.append((row.event.task, row.at))
        elif isinstance(row.event, e.EntrySentBack):
            task = row.event.task
            back.add(max(n for n, (name, _) in enumerate(came) if name == task))
    zero = opened(rows)
    return [Entry(task=task, at=max(0, at - zero) / 1000, back=n in back) for n, (task, at) in enumerate(came)]


def opened(rows: Sequence[e.Recorded]) -> int:
    """When the queue had something to do: the first change was there, and nobody held it any more."""
    first = [row.at for row in rows if isinstance(row.event, e.TaskEntered) and row.event.station == "land"][:1]
    return max([*first, *(row.at for row in rows if isinstance(row.event, e.QueueResumed))], default=0)


def figures(rows: Sequence[e.Recorded]) -> dict[str, dict[str, Any]]:
    """What the run did and how long it took."""
    planned = {row.event.landing: row.at for row in rows if isinstance(row.event, e.LandingPlanned)}
    runs = {row.event.run: (row.event.landing, row.at) for row in rows
            if isinstance(row.event, e.RunPlanned) and row.event.purpose == "landing"}
    ended = {runs[row.event.run][0]: (row.event, row.at) for row in rows
             if isinstance(row.event, e.RunFinished) and row.event.run in runs}
    began = dict(runs.values())
    moved = {row.event.landing: row.at for row in rows if isinstance(row.event, e.TargetMoved)}
    landed = sum(isinstance(row.event, e.TaskLanded) for row in rows)
    back = sum(isinstance(row.event, e.EntrySentBack) for row in rows)
    added = min(row.at for row in rows if isinstance(row.event, e.TaskAdded))
    last = max(row.at for row in rows if isinstance(row.event, e.TaskLanded))
    wall, open_s = (last - added) / 1000, (last - opened(rows)) / 1000
    own = [landing for landing in moved if landing in ended]
    around = [ended[name][1] - began[name] - ended[name][0].seconds * 1000 for name in own]
    return {
        "changes": {"landed": landed, "sent back": back, "wall s": round(wall, 1), "queue open s": round(open_s, 1),
                    "landed an hour": round(landed / open_s * 3600)},
        "proofs": {"landings planned": len(planned), "runs": len(runs), "moves of the target": len(moved),
                   "runs per landed": round(len(runs) / landed, 3), "wasted": len(runs) - len(own)},
        "the suite in a proof, s": spread([event.seconds for event, _ in ended.values()]),
        "a landing beyond its check, ms": spread([moved[name] - planned[name] - ended[name][0].seconds * 1000 for name in own]),
        "… merging": spread([began[name] - planned[name] for name in own]),
        "… slot, clean checkout, start, report": spread(around),
        "… proof of the landing, moving the target": spread([moved[name] - ended[name][1] for name in own]),
    }


def simulated(entries: Sequence[Entry], rows: Sequence[e.Recorded], jobs: dict[TaskId, Job]) -> tuple[World, list[Outcome]]:
    """The same arrivals, culprits, slots and durations through the simulation, with many chances."""
    planned = {row.event.landing: row.at for row in rows if isinstance(row.event, e.LandingPlanned)}
    took: dict[str, list[float]] = {"pass": [], "fail": []}
    ran: set[LandingId] = {row.event.landing for row in rows if isinstance(row.event, e.RunPlanned)}
    for row in rows:
        if isinstance(row.event, e.LandingJudged) and row.event.landing in ran and row.event.result in took:
            took[row.event.result].append((row.at - planned[row.event.landing]) / 1000)
    green = statistics.median(took["pass"])
    soonest = min(1.0, min(took["fail"], default=green) / green)
    first: dict[TaskId, int] = {}
    for n, entry in enumerate(entries):
        first.setdefault(entry.task, n)
    changes = []
    for n, entry in enumerate(entries):
        pair = jobs[entry.task].pair
        foes = tuple(f"c{other}" for task, other in first.items() if task != entry.task and pair == jobs[task].pair != -1)
        changes.append(Change(key=f"c{n}", at=entry.at, seconds=green, poison=False, foes=foes if first[entry.task] == n else ()))
    risk = sum(entry.back for entry in entries) / len(entries)
    world = World(changes=tuple(changes), risk=max(risk, 0.01), slots=SLOTS, soonest=soonest)
    return world, [simulate(world, plan, seed) for seed in range(SEEDS)]


def compared(real: dict[str, dict[str, Any]], world: World, outcomes: Sequence[Outcome]) -> dict[str, dict[str, Any]]:
    """The simulation, and the run against it."""
    each = statistics.mean(outcome.runs_each for outcome in outcomes)
    took = statistics.mean(outcome.took for outcome in outcomes)
    return {
        f"simulation, {len(outcomes)} seeds": {
            "landed": round(statistics.mean(outcome.landed for outcome in outcomes), 1),
            "sent back": round(statistics.mean(outcome.rejected for outcome in outcomes), 1),
            "runs per landed": round(each, 3), "wasted": round(statistics.mean(outcome.wasted for outcome in outcomes), 1),
            "seconds": round(took, 1), "a passing proof s": round(world.changes[0].seconds, 2)},
        "real : simulated": {"runs per landed": round(real["proofs"]["runs per landed"] / each, 3), "target": TARGET,
                             "queue open": round(real["changes"]["queue open s"] / took, 3)},
    }


def judged(ready: Ready, rows: Sequence[e.Recorded], jobs: dict[TaskId, Job], room: Path) -> dict[str, dict[str, Any]]:
    """What an independent look says; anything wrong ends the benchmark."""
    landed = [row.event.task for row in rows if isinstance(row.event, e.TaskLanded)]
    back = [row.event for row in rows if isinstance(row.event, e.EntrySentBack)]
    assert sorted(landed) == sorted(jobs), f"not landed: {set(jobs) - set(landed)}"
    at = {task: n for n, task in reversed(list(enumerate(entry.task for entry in entries_of(rows))))}
    pairs = [[task for task in jobs if jobs[task].pair == pair] for pair in {job.pair for job in jobs.values()} - {-1}]
    poison = {max(pair, key=lambda task: at[task]) for pair in pairs}
    assert {event.task for event in back} == poison and len(back) == len(poison), f"sent back {back}, poison {poison}"
    clone = room / "fresh"
    git(room, "clone", "-q", "--no-local", str(ready.path), str(clone))
    git(clone, "fetch", "-q", "origin", "refs/andon/trunk/main:refs/heads/trunk")
    assert git(clone, "rev-parse", "trunk") == git(clone, "rev-parse", "origin/main")
    assert git(ready.path, "status", "--porcelain") == "", "the person's checkout is not as clean as it was"
    tips = {row.event.new for row in rows if isinstance(row.event, e.TargetMoved)}
    line = git(clone, "rev-list", "--first-parent", "--reverse", "trunk").split()[1:]
    assert tips <= set(line), "a tip is not on the first-parent line"
    red = []
    for oid in line:
        git(clone, "checkout", "-q", "--detach", oid)
        git(clone, "clean", "-qfdx")
        red += [] if passes(clone) else [oid]
    assert not tips & set(red), f"landed red: {tips & set(red)}"
    return {"again from a fresh clone": {"tips": len(tips), "red tips": len(tips & set(red)), "first-parent commits": len(line),
                                         "red among those": len(red), "poison": len(poison), "sent back = poison": len(back)}}


def conditions(ready: Ready) -> dict[str, Any]:
    """Where and on what."""
    return {"cpus": os.cpu_count(), "load": round(os.getloadavg()[0], 2), "python": platform.python_version(),
            "git": git(ready.path, "version").split()[2], "project": ready.project.because, "changes": len(ready.jobs),
            "agents at once": WIP, "slots": SLOTS}


def shown(found: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Print figures."""
    for name, values in found.items():
        print(f"{name:<48} " + "  ".join(f"{key} {value:,}" for key, value in values.items()), flush=True)
    return found


def main() -> None:
    """Run, judge and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--quick", action="store_true", help="the small run, as without --full")
    parser.add_argument("--backlog", action="store_true", help="the queue is held until all changes have come to it")
    parser.add_argument("--bundled", action="store_true", help="the bundled project also for --full")
    parser.add_argument("--changes", type=int)
    parser.add_argument("--dir", type=Path)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    full = asked.full and not asked.quick
    with tempfile.TemporaryDirectory(prefix="andon-bench-", dir=asked.dir, ignore_cleanup_errors=True) as made:
        room = Path(made)
        os.environ |= person(room, WIP)
        with (room / "home/config/andon.toml").open("a") as settings:
            settings.write(UNHELD)
        ready = prepared(room, full, asked.bundled or not full, asked.changes or (50 if full else 10))
        report: dict[str, Any] = {"conditions": conditions(ready)}
        print(json.dumps(report["conditions"]), flush=True)
        proven_poison(ready, room)
        rows, jobs = unattended(ready, room, asked.backlog)
        found = figures(rows)
        report["conditions"]["load after"] = round(os.getloadavg()[0], 2)
        found |= shown(found | compared(found, *simulated(entries_of(rows), rows, jobs)))
        found |= shown(judged(ready, rows, jobs, room))
    report["figures"] = found
    if asked.json:
        asked.json.write_text(json.dumps(report, indent=1))
    else:
        print(json.dumps(report))


if __name__ == "__main__":
    main()
