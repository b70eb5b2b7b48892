"""What checkouts, proving slots and landings cost beyond the work itself, on a repository of 5,000 files.

    python tests/bench/bench_checkout.py [--quick] [--json FILE]
"""

import argparse
import asyncio
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

import gitkit
from andon.edges import checkout, landing, salvage
from andon.edges.proving import Proving
from andon.schema.ids import AttemptId, Oid
from andon.schema.inputs import CandidateMerged
from andon.schema.layout import Layout
from checkoutkit import REPO, Blobs, Floor

Times = dict[str, list[float]]


async def timed(times: Times, name: str, deed: Callable[[], Awaitable[object]]) -> object:
    """Do a deed and note its milliseconds."""
    begun = time.perf_counter()
    done = await deed()
    times.setdefault(name, []).append((time.perf_counter() - begun) * 1000)
    return done


async def one_attempt(shop: Floor, n: int, times: Times) -> str:
    """From clone to removal; the commit that it made."""
    name = f"T{n}.1"
    await timed(times, "git alone: clone, checkout", lambda: asyncio.to_thread(plain, shop, n))
    await timed(times, "clone and checkout", lambda: checkout.prepare(shop.prepare(name), shop.layout))
    commit = gitkit.commit(shop.path(name), {f"src/d{n:03d}/e00/new.py": f"n = {n}\n"}, "Work")
    await timed(times, "import", lambda: checkout.import_work(shop.bring(name), shop.layout, Blobs()))
    await timed(times, "snapshot, clean", lambda: snapshot(shop, name))
    gitkit.write(shop.path(name), {"src/edited.py": "x = 2\n", f"notes{n}.txt": "n\n"})
    await timed(times, "snapshot, dirty", lambda: snapshot(shop, name))
    await timed(times, "remove", lambda: checkout.remove(shop.remove(name), shop.layout))
    linked = f"T{n}.2"
    await timed(times, "linked worktree", lambda: checkout.prepare(shop.prepare(linked, isolation="worktree"), shop.layout))
    await checkout.remove(shop.remove(linked), shop.layout)
    return commit


def plain(shop: Floor, n: int) -> None:
    """What git needs for the same without us: the floor under "clone and checkout"."""
    place = shop.layout.home / f"plain{n}"
    gitkit.run(shop.person, "clone", "-q", "--shared", "--no-checkout", "--template=", str(shop.person), str(place))
    gitkit.run(place, "checkout", "-q")


async def snapshot(shop: Floor, name: str) -> object:
    """The snapshot of an attempt."""
    return await salvage.snapshot(shop.git_dir, shop.path(name), AttemptId(name), shop.base, shop.layout)


async def prove(shop: Floor, proving: Proving, commit: str, times: Times, name: str) -> None:
    """Enter a slot, and look for tampering at the end."""
    tree = Oid(gitkit.tree(shop.person, commit))
    begun = time.perf_counter()
    async with proving.slot(REPO, shop.git_dir, Oid(commit), tree, slots=1) as path:
        times.setdefault(name, []).append((time.perf_counter() - begun) * 1000)
        await timed(times, "tampered?", lambda: proving.tampered(path))


async def land(shop: Floor, commit: str, n: int, times: Times) -> None:
    """Merge, move, mirror."""
    landing_id = f"L{n}"
    begun = time.perf_counter()
    merge = shop.merge(commit, landing=landing_id)
    done = await timed(times, "merge candidate", lambda: landing.merge_candidate(merge))
    assert isinstance(done, CandidateMerged), done
    effect = shop.move(merge, done)
    await timed(times, "move trunk", lambda: landing.move_target(effect))
    times.setdefault("landing: merge and move", []).append((time.perf_counter() - begun) * 1000)
    await timed(times, "mirror main", lambda: landing.mirror_target(shop.mirror(done.candidate)))


async def measure(root: Path, rounds: int, files: int) -> Times:
    """All figures."""
    person = gitkit.big_repo(root / "person", files, commits=20)
    shop = Floor(person, Layout(home=root / "factory", runtime=root / "run", config=root / "config"))
    times: Times = {}
    commits = [await one_attempt(shop, n, times) for n in range(1, rounds + 1)]
    proving = Proving(shop.layout)
    await prove(shop, proving, shop.base, times, "slot, first")
    for n, commit in enumerate(commits, 1):
        await prove(shop, proving, commit, times, "slot, warm")
        await land(shop, commit, n, times)
    begun = time.perf_counter()
    many = min(20, rounds * 2)
    await asyncio.gather(*(checkout.prepare(shop.prepare(f"M{n}.1"), shop.layout) for n in range(many)))
    times[f"{many} clones at once"] = [(time.perf_counter() - begun) * 1000]
    return times


def main() -> None:
    """Print the table. On a busy machine look at the least time, and at the row "git alone"."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer rounds")
    parser.add_argument("--json", type=Path, help="write the figures here")
    given = parser.parse_args()
    os.environ |= {"GIT_CONFIG_NOSYSTEM": "1"}
    with tempfile.TemporaryDirectory(prefix="andon-bench-", ignore_cleanup_errors=True) as root:
        times = asyncio.run(measure(Path(root), 5 if given.quick else 15, 5000))
    rows = {name: {"median_ms": round(statistics.median(taken), 1), "min_ms": round(min(taken), 1), "n": len(taken)}
            for name, taken in times.items()}
    print(f"{'deed':<28}{'median ms':>10}{'min ms':>10}{'n':>5}")
    for name, row in rows.items():
        print(f"{name:<28}{row['median_ms']:>10}{row['min_ms']:>10}{row['n']:>5}")
    if given.json:
        given.json.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
