"""What it costs to know which of many live branches will collide, against one merge process for each pair.

    python tests/bench/bench_forecast.py [--quick] [--heads N] [--room DIR] [--json FILE]

The one-process figure is measured on a sample of pairs and scaled to all; the heads are the same, in the same run.
"""

import argparse
import asyncio
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from itertools import combinations
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

import gitkit
from andon.edges import checkout, worktree_tree
from andon.edges.forecast import Forecast, Head, Outlook
from andon.edges.git import environ
from andon.edges.whatif import Room
from andon.schema.ids import Oid, TaskId
from andon.schema.layout import Layout
from bench.benchkit import cpu_of
from checkoutkit import Floor

ALL_MS, ONE_MS = 2000, 100
"""All pairs cold; one new head."""


def repository(path: Path, files: int) -> Path:
    """Files, a changelog, and 60 commits after it."""
    gitkit.big_repo(path, files=files)
    gitkit.commit(path, {"CHANGELOG.md": "# Changes\n" + "- old\n" * 20}, "A changelog")
    told = []
    for n in range(60):
        told.append(f"commit refs/heads/main\ncommitter T <t@example.org> {1700050000 + n} +0000\ndata 4\nmain\n")
        told.append(("from refs/heads/main^0\n" if n == 0 else "") + _file(f"history/n{n}.txt", f"{n}\n"))
    gitkit.run(path, "fast-import", "--quiet", stdin="".join(told).encode())
    gitkit.run(path, "reset", "-q", "--hard")
    return path


def live_branches(path: Path, heads: int, files: int, seed: int) -> list[Oid]:
    """Branches as a fleet makes them: 1 to 5 commits, edits that prefer some files, 8 % renames, 15 % new files, and one in ten
    that writes into one changelog; up to 60 commits behind."""
    chance = random.Random(seed)
    names = gitkit.run(path, "ls-tree", "-r", "--name-only", "main", "src/").splitlines()
    behind = gitkit.run(path, "rev-list", "--first-parent", "-n", "61", "main").splitlines()
    stream = [_branch(chance, names, behind, n, f"refs/heads/live/{n}") for n in range(heads)]
    gitkit.run(path, "fast-import", "--quiet", "--force", stdin=b"".join(stream))
    return [Oid(gitkit.ref(path, f"refs/heads/live/{n}")) for n in range(heads)]


def _branch(chance: random.Random, names: list[str], behind: list[str], n: int, ref: str) -> bytes:
    told = [f"reset {ref}\nfrom {chance.choice(behind)}\n\n"]
    gone: set[str] = set()
    for step in range(chance.randint(1, 5)):
        told.append(f"commit {ref}\ncommitter T <t@example.org> {1700100000 + step} +0000\ndata 4\nwork\n")
        for _ in range(chance.randint(1, 3)):
            name = names[int(len(names) ** (0.2 + 0.8 * chance.random())) - 1]
            luck = chance.random()
            if name in gone:
                continue
            if luck < 0.08:
                told.append(f"R {name} {name}.moved{n}\n")
                gone.add(name)
            elif luck < 0.23:
                told.append(_file(f"{name.rpartition('/')[0]}/new{n}_{step}.py", f"n = {n}\n" * 30))
            else:
                told.append(_file(name, text(name, 4 * chance.randrange(60), f"y = {n}\n")))
        if step == 0 and chance.random() < 0.1:
            told.append(_file("CHANGELOG.md", "# Changes\n" + f"- {n}\n" + "- old\n" * 20))
        told.append("\n")
    return "".join(told).encode()


def text(name: str, line: int, put: str) -> str:
    """A file of the big repository with one line changed."""
    lines = [f"# file {number(name)} change 0\n", *["x = 1\n"] * 333]
    lines[1 + line] = put
    return "".join(lines)


def number(name: str) -> int:
    """The number in a file's name."""
    return int(name.rpartition("/f")[2].removesuffix(".py"))


def _file(name: str, content: str) -> str:
    return f"M 100644 inline {name}\ndata {len(content.encode())}\n{content}\n"


async def measured(git_dir: Path, room: Path, trunk: Oid, heads: list[Oid], rounds: int) -> dict[str, float]:
    """Milliseconds of all pairs cold, of one new head, and of nothing new."""
    cold, warm, still, cpu, gits = [], [], [], [], []
    live = [Head(TaskId(f"T{n}"), commit) for n, commit in enumerate(heads)]
    told, merged = Outlook(), 0
    for _ in range(rounds):
        forecast = Forecast(git_dir, room)
        try:
            begun, used, before = time.perf_counter(), cpu_of(os.getpid()), os.times()
            await forecast.outlook(trunk, live[:-5])
            cold.append((time.perf_counter() - begun) * 1000)
            cpu.append((cpu_of(os.getpid()) - used) * 1000)
            after = os.times()
            gits.append((after.children_user + after.children_system - before.children_user - before.children_system) * 1000)
            merged = forecast.merged
            for n in range(5, 0, -1):
                begun = time.perf_counter()
                told = await forecast.outlook(trunk, live[: len(live) - n + 1])
                warm.append((time.perf_counter() - begun) * 1000)
            begun = time.perf_counter()
            await forecast.outlook(trunk, live)
            still.append((time.perf_counter() - begun) * 1000)
        finally:
            forecast.close()
    hot = sum(clash.kind == "hot" for clash in told.clashes)
    return {"all_ms": statistics.median(cold), "new_head_ms": statistics.median(warm), "nothing_new_ms": statistics.median(still),
            "own_cpu_ms": statistics.median(cpu), "git_cpu_ms": statistics.median(gits),
            "merges": merged, "hot": hot, "soft": len(told.clashes) - hot, "with_target": len(told.with_target)}


async def reading(path: Path, home: Path, rounds: int) -> dict[str, float]:
    """Milliseconds of reading one checkout at work with 20 edited files: after an edit, and when nothing happened."""
    shop = Floor(path, Layout(home=home, runtime=home / "run", config=home / "config"))
    await checkout.prepare(shop.prepare("T1.1"), shop.layout)
    edited = sorted(shop.path("T1.1").glob("src/d00*/e*/*.py"))[:20]
    forecast, moved, same = Forecast(shop.git_dir, home / "scratch"), list[float](), list[float]()
    try:
        found = None
        for n in range(max(5, rounds)):
            for file in edited:
                file.write_text(f"x = {n}\n" * 50)
            for times in (moved, same):
                begun = time.perf_counter()
                found = await worktree_tree.read(shop.git_dir, shop.path("T1.1"), shop.base, shop.base, forecast.store.objects,
                                                 shop.layout, found)
                times.append((time.perf_counter() - begun) * 1000)
            assert found is not None
    finally:
        forecast.close()
    return {"read_edited_ms": statistics.median(moved), "read_same_ms": statistics.median(same)}


def one_process_each(git_dir: Path, heads: list[Oid], room: Path, sample: int) -> float:
    """Milliseconds of all pairs with a process each, from a sample."""
    pairs = list(combinations(heads, 2))
    chosen = random.Random(1).sample(pairs, min(sample, len(pairs)))
    with tempfile.TemporaryDirectory(dir=room) as objects:
        (Path(objects) / "info").mkdir()
        (Path(objects) / "info/alternates").write_text(f"{git_dir / 'objects'}\n")
        env = environ() | {"GIT_DIR": str(git_dir), "GIT_OBJECT_DIRECTORY": objects}
        begun = time.perf_counter()
        for one, other in chosen:
            subprocess.run(("git", "merge-tree", "--write-tree", one, other), env=env, capture_output=True, check=False)
        took = time.perf_counter() - begun
    return took * 1000 / len(chosen) * len(pairs)


def main() -> None:
    """Print the table and, with --json, write the figures."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--quick", action="store_true")
    asked.add_argument("--heads", type=int, default=200)
    asked.add_argument("--files", type=int, default=5000)
    asked.add_argument("--room", type=Path, help="where what-if objects are written; by default as the daemon chooses")
    asked.add_argument("--json", type=Path)
    chosen = asked.parse_args()
    rounds, sample = (1, 60) if chosen.quick else (5, 300)
    with tempfile.TemporaryDirectory() as folder:
        path = repository(Path(folder) / "repo", chosen.files)
        heads = live_branches(path, chosen.heads, chosen.files, 7)
        gitkit.run(path, "repack", "-adq")
        quick = Room(Path(folder))
        room = chosen.room or quick.path
        room.mkdir(exist_ok=True)
        trunk = Oid(gitkit.ref(path, "refs/heads/main"))
        found: dict[str, float] = asyncio.run(measured(path / ".git", room, trunk, heads, rounds))
        found |= asyncio.run(reading(path, Path(folder) / "factory", rounds))
        found["process_each_ms"] = one_process_each(path / ".git", heads, room, sample)
        quick.close()
    found["ratio"] = found["process_each_ms"] / found["all_ms"]
    pairs = chosen.heads * (chosen.heads - 1) // 2
    print(f"{chosen.heads} live branches, {pairs} pairs, {chosen.files} files, {os.cpu_count()} cores\n")
    for name, value in found.items():
        print(f"  {name:<18}{value:>12.1f}")
    print(f"\n  all pairs {'holds' if found['all_ms'] < ALL_MS else 'MISSES'} {ALL_MS} ms, "
          f"a new head {'holds' if found['new_head_ms'] < ONE_MS else 'MISSES'} {ONE_MS} ms")
    if chosen.json:
        chosen.json.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
