"""What landing costs beside `git merge` in a work tree, on a repository of 5,000 files; and a queue of 64 changes at once.

    python tests/bench/bench_landing.py [--quick] [--json FILE]
"""

import argparse
import asyncio
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

import gitkit
from andon.edges import landing
from andon.schema.inputs import CandidateMerged, TargetSwapped
from andon.schema.layout import Layout
from checkoutkit import Floor
from gitkit import run

Times = dict[str, list[float]]
DEEP = 64


def timed(times: Times, name: str, deed: Callable[[], object]) -> object:
    """Do a deed and note its milliseconds."""
    begun = time.perf_counter()
    done = deed()
    times.setdefault(name, []).append((time.perf_counter() - begun) * 1000)
    return done


async def timed_async(times: Times, name: str, deed: Callable[[], Awaitable[object]]) -> object:
    """The same, awaited."""
    begun = time.perf_counter()
    done = await deed()
    times.setdefault(name, []).append((time.perf_counter() - begun) * 1000)
    return done


def changes(shop: Floor, count: int) -> list[str]:
    """Changes of two files each, none in another's way; the checkout is as before."""
    heads = []
    base = str(shop.base)
    for n in range(count):
        stream = f"commit refs/heads/t{n}\ncommitter T <t@e.org> {1_700_100_000 + n} +0000\ndata 4\nWork\nfrom {base}\n"
        for k in range(2):
            path, text = f"src/d{n % 97:03d}/e{n % 13:02d}/f{n:05d}.py" if k == 0 else f"new/n{n}.py", f"# change {n}\n" * 200
            stream += f"M 100644 inline {path}\ndata {len(text)}\n{text}\n"
        run(shop.person, "fast-import", "--quiet", "--force", stdin=stream.encode())
        heads.append(run(shop.person, "rev-parse", f"t{n}"))
    return heads


async def one_by_one(shop: Floor, heads: list[str], times: Times) -> None:
    """Each change: merged in a work tree by git, and landed by us; in turn, so that both meet the same machine."""
    place = shop.person.parent / "beside"
    run(shop.person, "worktree", "add", "-q", "--detach", str(place), "main")
    trunk = str(shop.base)
    for n, head in enumerate(heads):
        timed(times, "git merge in a work tree", partial(run, place, "merge", "-q", "--no-ff", "-m", "Land", head))
        effect = shop.merge(head, onto=trunk, landing=f"L{n}")
        done = await timed_async(times, "merge as objects", partial(landing.merge_candidate, effect))
        assert isinstance(done, CandidateMerged), done
        move = shop.move(effect, done)
        moved = await timed_async(times, "proof and swap", partial(landing.move_target, move))
        assert isinstance(moved, TargetSwapped), moved
        trunk = done.candidate
    for merge, move_ in zip(times["merge as objects"], times["proof and swap"], strict=True):
        times.setdefault("landing: merge, proof, swap", []).append(merge + move_)
    run(shop.person, "worktree", "remove", "--force", str(place))


async def at_once(shop: Floor, heads: list[str], times: Times, onto: str) -> None:
    """All in one candidate."""
    for how in ("merge", "squash", "rebase"):
        for green in (False, True):
            effect = shop.merge(*heads, onto=onto, landing="L900", how=how, green=green)
            name = f"{len(heads)} members, {how}{', green' if green else ''}"
            done = await timed_async(times, f"{name}: candidate", partial(landing.merge_candidate, effect))
            assert isinstance(done, CandidateMerged), done
            run(shop.person, "update-ref", "-d", "refs/andon/trunk/main")
            move = shop.move(effect, done)
            moved = await timed_async(times, f"{name}: proof and swap", partial(landing.move_target, move))
            assert isinstance(moved, TargetSwapped), (name, moved)


async def all_(quick: bool) -> dict[str, object]:
    """Run everything; medians in milliseconds, and the ratio."""
    times: Times = {}
    with tempfile.TemporaryDirectory(prefix="andon-bench-") as root:
        person = gitkit.big_repo(Path(root) / "person", 1000 if quick else 5000, 3)
        home = Path(root) / "factory"
        shop = Floor(person, Layout(home=home, runtime=home / "run", config=Path(root) / "config"))
        heads, base = changes(shop, DEEP), str(shop.base)
        await one_by_one(shop, heads[: 10 if quick else 30], times)
        await at_once(shop, heads, times, base)
        trunk = gitkit.ref(person, "refs/andon/trunk/main")
        await timed_async(times, "mirror main, 64 changes", lambda: landing.mirror_target(shop.mirror(trunk)))
    told: dict[str, object] = {name: round(statistics.median(values), 1) for name, values in times.items()}
    ours, theirs = statistics.median(times["merge as objects"]), statistics.median(times["git merge in a work tree"])
    told["ratio: merge as objects / git merge"] = round(ours / theirs, 3)
    whole = statistics.median(times["landing: merge, proof, swap"])
    told["ratio: landing with its proof / git merge"] = round(whole / theirs, 3)
    return told


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    told = asyncio.run(all_(given.quick))
    for name, value in told.items():
        print(f"{name:<48} {value:>9}")
    if given.json:
        given.json.write_text(json.dumps(told, indent=1))


if __name__ == "__main__":
    main()
