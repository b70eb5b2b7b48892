# ruff: noqa: ASYNC221 (the blocking way of others is what is measured here)
"""What watching agents costs: ours (one connection, one subscription) against polling (a `tmux capture-pane` per pane per 500 ms).

Run it: `.venv/bin/python tests/bench/bench_supervision.py [--quick] [--json FILE]`. Both ways watch the same panes of the same
private tmux server, one after the other in one run. CPU is that of the watching process with all its children, in
percent of one core; the server's own is told beside it, and what the server burns with nobody watching.
"""

import argparse
import asyncio
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from andon.edges import jobs
from andon.edges.pane import PaneWatch
from andon.edges.tmux import News, Tmux, server_argv
from andon.schema.ids import AttemptId
from andon.schema.jobs import Job
from andon.schema.layout import Layout, layout
from tmuxkit import end_server, server_pid

TICK = os.sysconf("SC_CLK_TCK")
SPINNER = """
import sys, time
n = 0
while True:
    n += 1
    title = f"\\033]2;working {n // 50}\\007" if n % 50 == 0 else ""
    spin = "|/-+"[n % 4]
    sys.stdout.write(f"\\r\\033[3{n % 8}m{spin}\\033[0m step {n}{title}")
    if n % 20 == 0: sys.stdout.write("\\n" + "editing src/module.py " * 3 + "\\n")
    sys.stdout.flush()
    time.sleep(0.1)
"""


def cpu_of(pid: int | None) -> float:
    """Seconds of CPU that a process has used."""
    if not pid:
        return 0.0
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def cpu_here() -> float:
    """Seconds of CPU of this process and its ended children."""
    return sum(used.ru_utime + used.ru_stime for used in map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)))


async def watch_ours(place: Layout, seconds: float) -> dict[str, float]:
    """Subscribe and wait, as the daemon does."""
    server, news = Tmux(place), list[News]()
    await server.ensure()
    server.subscribe(news.append)
    async with asyncio.TaskGroup() as group:
        running = group.create_task(server.run())
        await asyncio.sleep(1.5)
        before, began, sent = cpu_here() + cpu_of(server.client_pid), time.monotonic(), server.sent
        heard = len(news)
        await asyncio.sleep(seconds)
        used = cpu_here() + cpu_of(server.client_pid) - before
        result = {"cpu": 100 * used / (time.monotonic() - began), "commands": server.sent - sent, "news": len(news) - heard}
        running.cancel()
    await server.close()
    return result


async def watch_polling(place: Layout, seconds: float) -> dict[str, float]:
    """A `tmux capture-pane` process per pane per 500 ms: what most tools do."""
    argv = server_argv(place)
    listing = [*argv, "list-panes", "-a", "-F", "#{pane_id} #{session_name}"]
    rows = subprocess.run(listing, capture_output=True, text=True, check=True)
    panes = [row.split()[0] for row in rows.stdout.splitlines() if not row.endswith(" hub")]
    before, began, captures = cpu_here(), time.monotonic(), 0
    while time.monotonic() - began < seconds:
        turn = time.monotonic()
        for pane in panes:
            subprocess.run([*argv, "capture-pane", "-p", "-t", pane], stdout=subprocess.PIPE, check=False)
            captures += 1
        await asyncio.sleep(max(0.0, 0.5 - (time.monotonic() - turn)))
    took = time.monotonic() - began
    return {"cpu": 100 * (cpu_here() - before) / took, "commands": captures, "news": captures}


async def watch_pane(place: Layout, seconds: float) -> dict[str, float]:
    """One busy pane on screen at up to ten frames a second."""
    frames: list[object] = []
    watch = PaneWatch(place, AttemptId("T0.1"), frames.append)
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


WAYS = {"nobody": watch_nobody, "ours": watch_ours, "polling": watch_polling, "pane": watch_pane}


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


async def grow(server: Tmux, busy: bool, panes: int) -> None:
    """Have this many sessions."""
    for n in range(len(await server.sessions()), panes):
        argv = [sys.executable, "-I", "-S", "-c", SPINNER] if busy else ["cat"]
        await server.new_session(f"T{n}_1", argv, "/", {})
    await asyncio.sleep(1.0)
    ended = [seen.name for seen in (await server.sessions()).values() if seen.dead]
    if ended:
        raise SystemExit(f"these agents ended, so nothing can be measured: {ended}")


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


async def bench(quick: bool) -> dict[str, object]:
    """All figures, on private servers below a directory of their own."""
    seconds, sizes = (3.0, (1, 10)) if quick else (10.0, (1, 20, 50))
    report: dict[str, object] = {}
    with tempfile.TemporaryDirectory(prefix="andon-bench-") as folder:
        report["shim"] = starts(Path(folder) / "jobs", 5 if quick else 20)
        busy, silent = Tmux(layout(Path(folder) / "b")), Tmux(layout(Path(folder) / "s"))
        try:
            await busy.ensure()
            for size in sizes:
                await grow(busy, True, size)
                await busy.close()
                report[f"busy {size}"] = {way: measure(busy.layout, way, seconds) for way in ("nobody", "ours", "polling")}
            report["one pane on screen"] = {"pane": measure(busy.layout, "pane", seconds)}
            await busy.close()
            end_server(busy.layout)
            await silent.ensure()
            await grow(silent, False, 20)
            await silent.close()
            report["silent 20"] = {way: measure(silent.layout, way, seconds) for way in ("nobody", "ours", "polling")}
        finally:
            for one in (busy, silent):
                await one.close()
                end_server(one.layout)
    return report


def table(report: dict[str, object]) -> None:
    """Print the figures for people."""
    print(f"{'panes':<20} {'way':<8} {'CPU %':>8} {'server %':>9} {'commands':>9} {'news':>6}   polling / ours")
    for name, ways in report.items():
        if not isinstance(ways, dict) or name == "shim":
            continue
        for way, row in ways.items():
            ratio = ""
            if way == "polling":
                ratio = f"{row['cpu'] / max(ways['ours']['cpu'], 0.01):.0f} x"
            figures = f"{row['cpu']:>8.2f} {row['server']:>9.2f} {row['commands']:>9.0f} {row['news']:>6.0f}"
            print(f"{name:<20} {way:<8} {figures}   {ratio}")
    shim = report["shim"]
    assert isinstance(shim, dict)
    print(f"shim: token after {shim['token_ms']:.1f} ms, `true` done and recorded after {shim['end_ms']:.1f} ms (medians)")


def main() -> None:
    """Measure and print; or, as a child, be one way of watching."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--way", choices=sorted(WAYS))
    parser.add_argument("--home", type=Path)
    parser.add_argument("--seconds", type=float, default=5.0)
    asked = parser.parse_args()
    if asked.way:
        print(json.dumps(asyncio.run(WAYS[asked.way](layout(asked.home), asked.seconds))))
        return
    report = asyncio.run(bench(asked.quick))
    table(report)
    if asked.json:
        asked.json.write_text(json.dumps(report, indent=1))
    else:
        print(json.dumps(report))


if __name__ == "__main__":
    main()
