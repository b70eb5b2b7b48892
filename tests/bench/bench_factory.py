"""Figures of the whole factory: a real daemon, real git and tmux, scripted agents.

    python tests/bench/bench_factory.py [--quick] [--only start,restart,loop,agents] [--dir DIR] [--json FILE]

Works below a temporary directory in DIR (default: the system's). Checkouts are dominated by the disk, so git's own clone and
checkout of the same repository is measured beside ours, in turn, in the same directory. `--quick` measures less of each.
"""

import argparse
import asyncio
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from andon.core.state import State
from andon.edges.clock import Clock
from andon.edges.store import Store
from andon.edges.tmux import server_argv
from andon.loop import Loop
from andon.schema import effects as f, events as e, inputs as i
from andon.schema.ids import AttemptId, RepoId, TaskId
from andon.schema.jobs import Said
from andon.schema.layout import layout
from bench.benchkit import a_factory, cpu_of, person, rss_mb, spread, wakings_of, write_history
from core.sim import Sim, loaded, settings
from factory import Factory, git, small_repo
from gitkit import big_repo
from support import wait_until
from tmuxkit import server_pid

AGENT = """date +%s%N > "$2/$1"
printf 'at work on %s\\n' "$1"
mkdir -p notes && echo "$1" > "notes/$1.md" && git add notes && git commit -q -m "Note on $1"
"""
"""An agent that leaves the moment of its first output, commits one file and ends."""
Figures = dict[str, dict[str, Any]]


# --- attempts and landings -------------------------------------------------------------------------------------------


def start(room: Path, quick: bool) -> Figures:
    """Attempt starts and landings on a repository of 5,000 files."""
    repo = big_repo(room / "repo", 5000)
    (room / "out").mkdir()
    (room / "agent.sh").write_text(AGENT)
    (repo / "andon.toml").write_text(
        '[factory]\nwip = 2\n[agents.default]\nuse = "command"\n'
        f'command = ["/bin/sh", "{room}/agent.sh", "{{task}}", "{room}/out"]\n'
        '[checks.tests]\nrun = "sleep 0.2"\nreport = "exit"\n[policy]\nship = ["**"]\nwalls = "none"\n[sandbox]\nlevel = "none"\n')
    rounds, plain = 4 if quick else 15, []
    with a_factory(room) as plant:
        git(repo, "add", "-A")
        git(repo, "commit", "-q", "-m", "settings")
        name = plant.register(repo)
        for n in range(rounds):
            plant.until_state(plant.add(name), "done", deadline=120)
            plain.append(plain_checkout(repo, room / f"plain{n}"))
        for _ in range(rounds):
            both = [plant.add(name), plant.add(name)]
            for task in both:
                plant.until_state(task, "done", deadline=120)
        rows = plant.events()
    return {"git's own clone --shared and checkout, ms": spread(plain), **starts(rows, room / "out", rounds), **landings(rows)}


def plain_checkout(repo: Path, into: Path) -> float:
    """Milliseconds of git's own clone and checkout of the same repository."""
    began = time.perf_counter()
    subprocess.run(("git", "clone", "-q", "--shared", str(repo), str(into)), check=True)
    return (time.perf_counter() - began) * 1000


def starts(rows: list[e.Recorded], out: Path, alone: int) -> Figures:
    """From the claim to the checkout, from there to the agent's first output, and both; of the first attempts, which were alone."""
    claimed: dict[str, int] = {}
    ready: dict[str, int] = {}
    checkout, first, whole = list[float](), list[float](), list[float]()
    for row in rows:
        match row.event:
            case e.AttemptClaimed(attempt=attempt):
                claimed[attempt] = row.at
            case e.CheckoutPrepared(attempt=attempt):
                ready[attempt] = row.at
                checkout += [row.at - claimed[attempt]] if len(checkout) < alone else []
            case e.AttemptStarted(attempt=attempt) if len(whole) < alone:
                seen = int((out / attempt.partition(".")[0]).read_text()) / 1e6
                first.append(seen - ready[attempt])
                whole.append(seen - claimed[attempt])
    return {"claim to checkout, ms": spread(checkout), "checkout to the agent's first output, ms": spread(first),
            "claim to the agent's first output, ms": spread(whole)}


def landings(rows: list[e.Recorded]) -> Figures:
    """From the proof of a change, or from the plan of its landing, to the moved target; without what its checks took."""
    proven: dict[str, int] = {}
    planned: dict[str, tuple[TaskId, int]] = {}
    checks: dict[str, float] = {}
    runs: dict[str, str] = {}
    reuse, again = list[float](), list[float]()
    for row in rows:
        match row.event:
            case e.ClaimJudged(task=task, claim="tests"):
                proven[task] = row.at
            case e.LandingPlanned(landing=landing, task=task):
                planned[landing] = (task, row.at)
            case e.RunPlanned(run=run, landing=landing) if landing:
                runs[run] = landing
            case e.RunFinished(run=run, seconds=seconds) if run in runs:
                checks[runs[run]] = checks.get(runs[run], 0.0) + seconds
            case e.TargetMoved(landing=landing):
                task, at = planned[landing]
                if landing in checks:
                    again.append(row.at - at - 1000 * checks[landing])
                else:
                    reuse.append(row.at - max(at, proven[task]))
    return {"landing, merged tree already proven: proof to moved target, ms": spread(reuse),
            "landing, trunk had moved: plan to moved target less the check, ms": spread(again)}


# --- restart ---------------------------------------------------------------------------------------------------------


def restart(room: Path, quick: bool) -> Figures:
    """kill -9, then until the socket answers, over ledgers of a long life."""
    found: Figures = {}
    env = person(room, 6)
    for events in (0, 20_000) if quick else (0, 100_000, 1_000_000):
        place = room / f"ledger{events}"
        tasks, snapshot = write_history(place, events) if events else (0, 0)
        plant, times = Factory(place, env), list[float]()
        try:
            plant.start()
            for _ in range(3 if quick else 9):
                plant.kill()
                began = time.perf_counter()
                plant.start()
                times.append((time.perf_counter() - began) * 1000)
            assert plant.process is not None
            found[f"kill -9 to answering, {events:,} events, ms"] = {
                **spread(times), "rss_mb": rss_mb(plant.process.pid), "tasks": tasks, "snapshot_mb": round(snapshot / 2**20, 1)}
        finally:
            plant.close()
    return found


# --- the loop --------------------------------------------------------------------------------------------------------


def through(room: Path, quick: bool) -> Figures:
    """Inputs through decide, ledger and views, each durable before it is answered."""
    return asyncio.run(through_the_loop(room, 1.0 if quick else 4.0))


async def through_the_loop(room: Path, seconds: float) -> Figures:
    """What 1, 10 and 100 callers get through, each waiting for its answer before the next."""
    found: Figures = {}
    for callers in (1, 10, 100):
        store = await Store.open(layout(room / f"loop{callers}"))
        async with asyncio.TaskGroup() as group:
            loop = Loop(store, State(), Clock(), group, lambda changed, gone: None)
            loop.perform = forever
            running = group.create_task(loop.run())
            attempts = await at_work(loop)
            before, began = store.seq, time.perf_counter()
            waits = await talk(loop, attempts, callers, seconds)
            rate = (store.seq - before) / (time.perf_counter() - began)
            found[f"events through the whole loop, {callers} callers"] = {"per_s": round(rate), **milliseconds(waits)}
            for task in [running, *(task for _, task in loop._inflight.values())]:
                task.cancel()
        await store.close()
    return found


def milliseconds(waits: list[float]) -> dict[str, float]:
    """How long it took to be durable and answered."""
    return {"p50_ms": round(statistics.median(waits), 2), "p99_ms": round(sorted(waits)[int(len(waits) * 0.99)], 2)}


async def forever(effect: f.Effect) -> i.Input:
    """Edges that start an agent and see it work without end."""
    match effect:
        case f.PrepareCheckout():
            return i.CheckoutReady(attempt=effect.attempt, path="/none", isolation="clone")
        case f.StartSession():
            return i.SessionStarted(attempt=effect.attempt, pid=1, ticks=1, boot="b", session=effect.attempt)
        case f.MirrorTarget():
            return i.MirrorSeen(repo=effect.repo, oid=effect.oid, advanced=True)
    never: i.Input = await asyncio.get_running_loop().create_future()
    return never


async def at_work(loop: Loop) -> list[AttemptId]:
    """Six agents at work in one repository."""
    repo = next(iter(Sim().state.repos.values()))
    await loop.ask(i.RepositorySeen(
        repo=RepoId("r0"), path=repo.path, git_dir=repo.git_dir, by="me", loaded=loaded(settings(wip=6)), trust=True,
        target=repo.trunk, tree=repo.tree,
    ))
    for n in range(6):
        await loop.ask(i.AddTask(repo=RepoId("r0"), title=f"task {n}", spec="do it"))
    while sum(one.phase == "running" for one in loop.state.attempts.values()) < 6:  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    return list(loop.state.attempts)


async def talk(loop: Loop, attempts: list[AttemptId], callers: int, seconds: float) -> list[float]:
    """Callers that each tell one thing after the other; the milliseconds until each was durable."""
    end, waits, numbers = time.perf_counter() + seconds, list[float](), dict.fromkeys(attempts, 0)

    async def caller(attempt: AttemptId) -> None:
        while (began := time.perf_counter()) < end:
            numbers[attempt] += 1
            said = Said(n=numbers[attempt], kind="progress", text="reading the tests of the parser before changing it")
            await loop.ask(i.AgentSaid(attempt=attempt, said=said))
            waits.append((time.perf_counter() - began) * 1000)

    await asyncio.gather(*(caller(attempts[n % len(attempts)]) for n in range(callers)))
    return waits


# --- agents at work --------------------------------------------------------------------------------------------------


def agents(room: Path, quick: bool) -> Figures:
    """CPU and memory of the daemon at 1, 20 and 50 agents that work, and at 20 that are silent, beside the polling way."""
    found: Figures = {}
    seconds = 4.0 if quick else 20.0
    for scenario, sizes in (("hang", (1, 5) if quick else (1, 20, 50)), ("hang-silent", (5,) if quick else (20,))):
        with a_factory(room / scenario, wip=max(sizes)) as plant:
            name = plant.register(small_repo(room / scenario / "repo", extra=f"[factory]\nwip = {max(sizes)}\n", speed=1))
            for size in sizes:
                while len(plant.events()) and sum(1 for _ in plant.sessions()) < size:
                    plant.add(name, scenario)
                    wait_until(lambda: all(one.started for one in plant.sessions()), 60, what="the agent")
                said = "working" if scenario == "hang" else "silent"
                settle(5.0 if scenario == "hang" else 12.0)
                found[f"daemon, {size} agents {said}"] = watch(plant, seconds)
                found[f"polling, {size} agents {said}"] = poll(plant, seconds)
    return found


def settle(seconds: float) -> None:
    """Let so much time go by."""
    end = time.monotonic() + seconds
    wait_until(lambda: time.monotonic() > end, seconds + 5)


def watch(plant: Factory, seconds: float) -> dict[str, Any]:
    """What the daemon and its tmux client use meanwhile, and the server with them."""
    assert plant.process is not None
    pid, server = plant.process.pid, server_pid(plant.layout)
    clients = [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    before, drawn, woken, began = sum(map(cpu_of, (pid, *clients))), cpu_of(server), wakings_of(pid), time.monotonic()
    settle(seconds)
    took = time.monotonic() - began
    return {"cpu_percent": round(100 * (sum(map(cpu_of, (pid, *clients))) - before) / took, 2),
            "server_percent": round(100 * (cpu_of(server) - drawn) / took, 2),
            "wakeups_per_s": round((wakings_of(pid) - woken) / took, 1), "rss_mb": rss_mb(pid)}


def poll(plant: Factory, seconds: float) -> dict[str, Any]:
    """What a `tmux capture-pane` for each of these panes each 500 ms uses meanwhile, on top of nothing else."""
    argv, server = server_argv(plant.layout), server_pid(plant.layout)
    names = [view.session for view in plant.sessions()]
    before, drawn, began, captures = spent(), cpu_of(server), time.monotonic(), 0
    while time.monotonic() - began < seconds:
        turn = time.monotonic()
        for name in names:
            subprocess.run([*argv, "capture-pane", "-p", "-t", f"={name}:"], stdout=subprocess.DEVNULL, check=False)
            captures += 1
        settle(max(0.0, 0.5 - (time.monotonic() - turn)))
    took = time.monotonic() - began
    return {"cpu_percent": round(100 * (spent() - before) / took, 2),
            "server_percent": round(100 * (cpu_of(server) - drawn) / took, 2), "captures_per_s": round(captures / took, 1)}


def spent() -> float:
    """CPU seconds of this process's ended children."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


PARTS = {"start": start, "restart": restart, "loop": through, "agents": agents}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only", default=",".join(PARTS))
    parser.add_argument("--dir", type=Path)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    conditions = {"cpus": os.cpu_count(), "load": os.getloadavg()[0], "python": platform.python_version(), "quick": asked.quick}
    report: dict[str, Any] = {"conditions": conditions}
    print(json.dumps(conditions))
    for part in asked.only.split(","):
        with tempfile.TemporaryDirectory(prefix="andon-bench-", dir=asked.dir, ignore_cleanup_errors=True) as room:
            report[part] = PARTS[part](Path(room), asked.quick)
        for name, figures in report[part].items():
            print(f"{name:<72} " + "  ".join(f"{key} {value:,}" for key, value in figures.items()), flush=True)
    if asked.json:
        asked.json.write_text(json.dumps(report, indent=1))
    else:
        print(json.dumps(report))


if __name__ == "__main__":
    main()
