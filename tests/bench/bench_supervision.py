# ruff: noqa: ASYNC110, ASYNC221 (the blocking way of others is what is measured here)
"""What watching agents costs: ours (the whole supervisor under a real loop) against libtmux and `tmux capture-pane` at 2 Hz.

Run it: `.venv/bin/python tests/bench/bench_supervision.py [--quick] [--json FILE]`. All ways watch the same panes of the same
private tmux server, one after the other in one run, each in a process of its own. CPU is that of the watching process with its
children, in percent of one core; the server's own is told beside it. Busy: every pane is drawn ten times a second and every
agent's hook leaves a line each two seconds. Idle: neither.
"""

import argparse
import asyncio
import contextlib
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import msgspec

from andon.edges import jobs, lines
from andon.edges.clock import Clock
from andon.edges.pane import PaneWatch
from andon.edges.process import boot_id, start_ticks
from andon.edges.store import Store
from andon.edges.tmux import Tmux, server_argv
from andon.loop import Loop
from andon.main import load_state
from andon.schema import effects as f, inputs as i
from andon.schema.ids import AttemptId, Digest, Oid, RepoId, session_name
from andon.schema.jobs import HOOKS, START, Job, Started
from andon.schema.layout import Layout, layout
from andon.schema.settings import AgentSettings, FactorySettings, Line as Path_, Loaded, Settings, Station
from andon.schema.signals import Line, PermissionWanted, ToolBegan, ToolEnded, TurnBegan
from andon.supervise import Supervisor
from andon_config.rules import load_rules
from bench.benchkit import cpu_of, rss_mb, spread
from sessionkit import Talking, raw
from tmuxkit import end_server, server_pid

SHOP = RepoId("shop")
SETTINGS = Settings(
    wip=500, agents={"default": AgentSettings(name="default", use="claude")},
    lines={"build": Path_(name="build", stations=(Station(name="build", kind="agent"),))},
)
DRIVER = """
import itertools, json, os, sys, time
ttys = [os.open(name, os.O_WRONLY | os.O_NOCTTY) for name in json.loads(sys.argv[1])]
hooks, step = json.loads(sys.argv[2]), itertools.count()
began = time.monotonic()
for n in itertools.count():
    title = f"\\033]2;working {n // 50}\\007" if n % 50 == 0 else ""
    burst = "\\n" + "editing src/module.py " * 3 + "\\n" if n % 20 == 0 else ""
    for tty in ttys:
        os.write(tty, f"\\r\\033[3{n % 8}m{'|/-+'[n % 4]}\\033[0m step {n}{title}{burst}".encode())
    for k in range(max(1, len(hooks) // 20) if hooks else 0):
        m = next(step)
        path, call = hooks[m % len(hooks)], m // len(hooks)
        tag = {"type": "tool-began", "name": "Bash", "target": f"make {call}"} if call % 2 else {"type": "tool-ended"}
        data = {"at": 0, "source": "hook", "call": f"c{call // 2}", **tag}
        line = {"at": int(time.time() * 1000), "source": "hook", "data": data}
        with open(path, "a") as file:
            file.write(json.dumps(line) + "\\n")
    time.sleep(max(0.0, began + (n + 1) * 0.1 - time.monotonic()))
"""
"""Draws into all panes ten times a second from one process, and writes the hooks' lines."""


def cpu_here() -> float:
    """Seconds of CPU of this process and its ended children."""
    return sum(used.ru_utime + used.ru_stime for used in map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)))


# --- our way ---------------------------------------------------------------------------------------------------------


class Hands:
    """Says that each session was started: it stands already."""

    def __init__(self, place: Layout, tmux: Tmux) -> None:
        self._place, self._tmux = place, tmux

    async def perform(self, effect: f.Effect) -> i.Input:
        """What the world would answer."""
        match effect:
            case f.PrepareCheckout():
                path = self._place.home / "checkouts" / effect.attempt
                (path / ".git").mkdir(parents=True, exist_ok=True)
                return i.CheckoutReady(attempt=effect.attempt, path=str(path), isolation="clone")
            case f.StartSession():
                pid = (await self._tmux.sessions())[session_name(effect.attempt)].pid
                held = Started(pid=pid, ticks=start_ticks(pid) or 0, boot=boot_id(), at=int(time.time() * 1000))
                (self._place.job(effect.attempt) / START).write_bytes(msgspec.json.encode(held))
                return i.SessionStarted(attempt=effect.attempt, pid=pid, ticks=held.ticks, boot=held.boot,
                                        session=session_name(effect.attempt))
            case f.MirrorTarget():
                return i.MirrorSeen(repo=effect.repo, oid=effect.oid, advanced=True)
        await asyncio.get_running_loop().create_future()
        raise AssertionError


@contextlib.asynccontextmanager
async def supervised(place: Layout) -> AsyncIterator[tuple[Supervisor, Loop, Tmux]]:
    """All panes of this server as sessions of running attempts, under the daemon's loop and supervisor."""
    tmux, store = Tmux(place), await Store.open(place)
    await tmux.ensure()
    wanted = len(await tmux.sessions())
    try:
        async with asyncio.TaskGroup() as group:
            loop = Loop(store, await load_state(store), Clock(), group, lambda changed, gone: None)
            loop.perform = Hands(place, tmux).perform
            supervisor = Supervisor(loop, place, group, lambda settings: Talking(), lambda person: load_rules(None))
            loop.on_recorded = supervisor.recorded
            tmux.subscribe(supervisor.news)
            for task in (loop.run(), tmux.run(), supervisor.run()):
                group.create_task(task)
            if SHOP not in loop.state.repos:
                await loop.ask(i.PersonSettingsSeen(settings=FactorySettings(wip=500)))
                await loop.ask(i.RepositorySeen(
                    repo=SHOP, path="/none", git_dir="/none/.git", by="p", trust=True, target=Oid("a" * 40), tree=Oid("b" * 40),
                    loaded=Loaded(settings=SETTINGS, digest=Digest("1"), commands=Digest("2"))))
            for n in range(loop.state.task_count, wanted):
                folder = place.job(f"T{n + 1}.1")
                folder.mkdir(parents=True, exist_ok=True)
                told = TurnBegan(at=0, source="hook", prompt="do it")
                lines.append(folder / HOOKS, Line(at=int(time.time() * 1000), source="hook", data=raw(told)))
                await loop.ask(i.AddTask(repo=SHOP, title="work", spec="do it"))
            while sum(one.ready for one in supervisor.readers.values()) < wanted:
                await asyncio.sleep(0.05)
            yield supervisor, loop, tmux
            raise Over
    except* Over:
        pass
    finally:
        await tmux.close()
        await store.close()


class Over(Exception):
    """Measured."""


async def watch_ours(place: Layout, seconds: float) -> dict[str, float]:
    """The supervisor, settled, over a measured time; then the time from a hook's line to the verdict."""
    started = [0]

    def spy(event: str, args: object) -> None:
        started[0] += event in ("subprocess.Popen", "os.fork", "os.posix_spawn")

    sys.addaudithook(spy)
    async with supervised(place) as (supervisor, loop, tmux):
        await asyncio.sleep(8.0)

        def spent() -> float:
            return cpu_here() + cpu_of(tmux.client_pid) + cpu_of(supervisor.glances.client_pid)

        before, began, sent, processes = spent(), time.monotonic(), tmux.sent + supervisor.glances.looks, started[0]
        judged, passes = supervisor.judged, supervisor.trees.passes
        await asyncio.sleep(seconds)
        used, took = spent() - before, time.monotonic() - began
        result = {
            "cpu": 100 * used / took, "commands": tmux.sent + supervisor.glances.looks - sent, "news": supervisor.judged - judged,
            "passes": supervisor.trees.passes - passes, "processes_a_minute": (started[0] - processes) * 60 / took,
            "rss_mb": rss_mb(os.getpid()),
        }
        late = spread([1000 * late for late in await latencies(place, loop, 30)])
    return result | {"p50_ms": late["p50"], "p95_ms": late["p95"]}


async def latencies(place: Layout, loop: Loop, times: int) -> list[float]:
    """Seconds from a hook's line on disk to the state that a face would be told of."""
    took = []
    for n in range(times):
        attempt, at = AttemptId(f"T{n % len(loop.sightings) + 1}.1"), int(time.time() * 1000)
        asked = raw(PermissionWanted(at=0, source="hook", ask=f"a{n}", tool="Bash"))
        began = time.monotonic()
        lines.append(place.job(attempt) / HOOKS, Line(at=at, source="hook", data=asked))
        while loop.sightings[attempt].health != "waiting-permission" and time.monotonic() - began < 5:
            await asyncio.sleep(0.001)
        took.append(time.monotonic() - began)
        for told in (ToolBegan(at=0, source="hook", call=f"x{n}", name="Bash"), ToolEnded(at=0, source="hook", call=f"x{n}")):
            lines.append(place.job(attempt) / HOOKS, Line(at=at, source="hook", data=raw(told)))
        await asyncio.sleep(0.1)
    return took


# --- other ways ------------------------------------------------------------------------------------------------------


def panes_of(place: Layout) -> list[str]:
    """Ids of all panes but the hub's."""
    listing = [*server_argv(place), "list-panes", "-a", "-F", "#{pane_id} #{session_name}"]
    rows = subprocess.run(listing, capture_output=True, text=True, check=True)
    return [row.split()[0] for row in rows.stdout.splitlines() if not row.endswith(" hub")]


async def watch_polling(place: Layout, seconds: float) -> dict[str, float]:
    """A `tmux capture-pane` process per pane per 500 ms: what most tools do."""
    argv, panes = server_argv(place), panes_of(place)
    before, began, captures = cpu_here(), time.monotonic(), 0
    while time.monotonic() - began < seconds:
        turn = time.monotonic()
        for pane in panes:
            subprocess.run([*argv, "capture-pane", "-p", "-t", pane], stdout=subprocess.PIPE, check=False)
            captures += 1
        await asyncio.sleep(max(0.0, 0.5 - (time.monotonic() - turn)))
    took = time.monotonic() - began
    return {"cpu": 100 * (cpu_here() - before) / took, "commands": captures, "news": captures}


async def watch_libtmux(place: Layout, seconds: float) -> dict[str, float]:
    """The same through libtmux."""
    import libtmux

    server = libtmux.Server(socket_path=str(place.tmux_socket))
    panes = [pane for pane in server.panes if pane.session_name != "hub"]
    before, began, captures = cpu_here(), time.monotonic(), 0
    while time.monotonic() - began < seconds:
        turn = time.monotonic()
        for pane in panes:
            pane.capture_pane()
            captures += 1
        await asyncio.sleep(max(0.0, 0.5 - (time.monotonic() - turn)))
    took = time.monotonic() - began
    return {"cpu": 100 * (cpu_here() - before) / took, "commands": captures, "news": captures}


async def watch_pane(place: Layout, seconds: float) -> dict[str, float]:
    """One busy pane on screen at up to ten frames a second."""
    frames: list[object] = []
    watch = PaneWatch(place, AttemptId("T1.1"), frames.append)
    async with asyncio.TaskGroup() as group:
        running = group.create_task(watch.run())
        await asyncio.sleep(1.0)
        before, began, first = cpu_here() + cpu_of(watch.client_pid), time.monotonic(), len(frames)
        await asyncio.sleep(seconds)
        used = cpu_here() + cpu_of(watch.client_pid) - before
        result = {"cpu": 100 * used / (time.monotonic() - began), "commands": watch.commands, "news": len(frames) - first}
        running.cancel()
    return result


async def watch_nobody(place: Layout, seconds: float) -> dict[str, float]:
    """The server's own cost of drawing."""
    await asyncio.sleep(seconds)
    return {"cpu": 0.0, "commands": 0, "news": 0}


WAYS = {"nobody": watch_nobody, "ours": watch_ours, "capture-pane": watch_polling, "libtmux": watch_libtmux, "pane": watch_pane}


def measure(place: Layout, way: str, seconds: float) -> dict[str, float]:
    """Run one way in a process of its own; its figures and the server's CPU meanwhile."""
    pid = server_pid(place)
    before, began = cpu_of(pid), time.monotonic()
    argv = [sys.executable, __file__, "--way", way, "--home", str(place.home), "--seconds", str(seconds)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    result: dict[str, float] = json.loads(done.stdout)
    return result | {"server": 100 * (cpu_of(pid) - before) / (time.monotonic() - began)}


# --- what is watched -------------------------------------------------------------------------------------------------


async def grow(server: Tmux, panes: int) -> list[str]:
    """Have this many sessions; their terminals."""
    for n in range(len(await server.sessions()), panes):
        await server.new_session(session_name(AttemptId(f"T{n + 1}.1")), ("cat",), "/", {})
    rows = await server.command("list-panes", "-a", "-F", "#{session_name} #{pane_tty}")
    return [row.split()[1] for row in rows if not row.startswith("hub ")]


@contextlib.contextmanager
def driven(place: Layout, ttys: list[str], panes: int) -> Iterator[None]:
    """A process that draws into all of them and writes their hooks, while this lasts."""
    hooks = [str(place.job(f"T{n + 1}.1") / HOOKS) for n in range(panes)]
    for path in hooks:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
    driver = subprocess.Popen([sys.executable, "-IS", "-c", DRIVER, json.dumps(ttys), json.dumps(hooks)])
    try:
        yield
    finally:
        driver.kill()
        driver.wait(10)


def starts(folder: Path, times: int) -> dict[str, float]:
    """Milliseconds from starting a shim to its token, and to the end of `true`."""
    to_token, to_end = [], []
    for n in range(times):
        job = folder / f"job{n}"
        jobs.write_job(job, Job(name="b", argv=("true",), cwd="/", env={"PATH": os.environ["PATH"]}, log=True))
        began = time.perf_counter()
        shim = subprocess.Popen(jobs.shim_argv(job), stdin=subprocess.DEVNULL)
        while not (job / "start").exists():
            time.sleep(0.0005)
        to_token.append(1000 * (time.perf_counter() - began))
        shim.wait()
        to_end.append(1000 * (time.perf_counter() - began))
    return {"token_ms": statistics.median(to_token), "end_ms": statistics.median(to_end)}


async def bench(sizes: tuple[int, ...], seconds: float) -> dict[str, object]:
    """All figures, on private servers below a directory of their own."""
    report: dict[str, object] = {}
    ways = ("nobody", "ours", "capture-pane", "libtmux")
    with tempfile.TemporaryDirectory(prefix="andon-bench-") as folder:
        report["shim"] = starts(Path(folder) / "jobs", 5 if seconds < 5 else 20)
        for busy in (False, True):
            for size in sizes:
                server = Tmux(layout(Path(folder) / f"{busy}{size}"))
                try:
                    await server.ensure()
                    ttys = await grow(server, size)
                    await server.close()
                    with driven(server.layout, ttys, size) if busy else contextlib.nullcontext():
                        name = f"{'busy' if busy else 'idle'} {size}"
                        report[name] = {way: measure(server.layout, way, seconds) for way in ways}
                        if busy and size == sizes[0]:
                            report["one pane on screen"] = {"pane": measure(server.layout, "pane", seconds)}
                finally:
                    await server.close()
                    end_server(server.layout)
    return report


def table(report: dict[str, object]) -> None:
    """Print the figures for people."""
    print(f"{'panes':<20} {'way':<13} {'CPU %':>8} {'server %':>9} {'commands':>9} {'verdicts':>9}   of ours")
    for name, ways in report.items():
        if not isinstance(ways, dict) or name == "shim":
            continue
        for way, row in ways.items():
            more = ""
            if way in ("capture-pane", "libtmux"):
                more = f"{row['cpu'] / max(ways['ours']['cpu'], 0.01):.0f} x"
            if way == "ours":
                more = (f"p50 {row['p50_ms']:.0f} ms, p95 {row['p95_ms']:.0f} ms, {row['rss_mb']:.0f} MB, "
                        f"{row['passes']:.0f} passes, {row['processes_a_minute']:.0f} processes a minute")
            figures = f"{row['cpu']:>8.2f} {row['server']:>9.2f} {row['commands']:>9.0f} {row['news']:>9.0f}"
            print(f"{name:<20} {way:<13} {figures}   {more}")
    shim = report["shim"]
    assert isinstance(shim, dict)
    print(f"shim: token after {shim['token_ms']:.1f} ms, `true` done and recorded after {shim['end_ms']:.1f} ms (medians)")


def main() -> None:
    """Measure and print; or, as a child, be one way of watching."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--sizes", type=int, nargs="*")
    parser.add_argument("--way", choices=sorted(WAYS))
    parser.add_argument("--home", type=Path)
    parser.add_argument("--seconds", type=float)
    asked = parser.parse_args()
    if asked.way:
        print(json.dumps(asyncio.run(WAYS[asked.way](layout(asked.home), asked.seconds or 5.0))))
        return
    sizes = tuple(asked.sizes) if asked.sizes else (10,) if asked.quick else (10, 50, 200)
    report = asyncio.run(bench(sizes, asked.seconds or (3.0 if asked.quick else 10.0)))
    table(report)
    if asked.json:
        asked.json.write_text(json.dumps(report, indent=1))
    else:
        print(json.dumps(report))


if __name__ == "__main__":
    main()
