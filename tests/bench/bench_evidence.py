"""Figures of evidence: a signed statement, a seal, a landing record, a checkpoint; and what they add to a landing and to an event.

    python tests/bench/bench_evidence.py [--quick] [--dir DIR] [--json FILE]

A landing here is one change with two checks whose suite takes a minute. An event is charged with a checkpoint of its own, which
no event has. Writes only below a temporary directory in DIR (default: the current directory: the figures of a real disk).
"""

import argparse
import asyncio
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable
from contextlib import closing
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import msgspec

import ledgerkit
from andon.edges import evidence
from andon.edges.checkpoints import Checkpoints
from andon.edges.dsse import decode
from andon.edges.ledger_file import insert, open_for_writing, values
from andon.schema.chain import chain
from andon.schema.evidence import ClaimPart
from andon.schema.ids import Oid, RunId
from andon.schema.inputs import CheckRan
from andon.schema.jobs import Exit
from sealkit import Shop, shop

SUITE_S = 60.0


def spread(values: list[float]) -> dict[str, float]:
    """Milliseconds: median, 95th percentile, count."""
    ordered = sorted(one * 1000 for one in values)
    return {"p50": round(statistics.median(ordered), 3), "p95": round(ordered[int(len(ordered) * 0.95)], 3), "n": len(ordered)}


async def timed(work: Awaitable[object]) -> float:
    """Seconds that it takes."""
    begun = time.perf_counter()
    await work
    return time.perf_counter() - begun


def signing(at_work: Shop, rounds: int) -> dict[str, Any]:
    """A statement about a check with 500 named failures, made, looked through for secrets and signed; and the same read back."""
    names = tuple(f"tests/test_{n}.py::test_that_it_holds" for n in range(500))
    ran = CheckRan(run=RunId("R1"), result="fail", because="500 failed", failed=500, failing=names)
    effect, made, read = at_work.effect(), list[float](), list[float]()
    for _ in range(rounds):
        begun = time.perf_counter()
        line = at_work.keys.verifier.sign(evidence.statement(effect, ran, Exit(code=1)))
        made.append(time.perf_counter() - begun)
        begun = time.perf_counter()
        assert at_work.keys.verifier.signed(decode(line))
        read.append(time.perf_counter() - begun)
    return {"statement_ms": spread(made), "verify_ms": spread(read)}


async def sealing(at_work: Shop, rounds: int) -> dict[str, Any]:
    """Seals and landing records of many tasks, each with two checks of its own and logs of 50 KB; and a seal that is there."""
    seals, again, landings = list[float](), list[float](), list[float]()
    for n in range(1, rounds + 1):
        runs = [at_work.ran(name, run=f"R{n}{name}", log=f"{n} {name}\n".encode() * 5000) for name in ("tests", "lint")]
        claims = tuple(ClaimPart(claim=f"check {n}", status="proven", evidence=run) for n, run in enumerate(runs))
        parts = msgspec.structs.replace(at_work.parts(n, evidence=runs[0]), claims=claims, shown=f"summary of {n}", spec=f"do {n}")
        begun = time.perf_counter()
        sealed = await at_work.seal(parts)
        seals.append(time.perf_counter() - begun)
        again.append(await timed(at_work.seal(parts)))
        landing = msgspec.structs.replace(at_work.landing(sealed, *runs), commit=Oid(f"{n:040x}"))
        landings.append(await timed(at_work.record(landing)))
    return {"seal_ms": spread(seals), "seal_again_ms": spread(again), "landing_ms": spread(landings)}


async def checkpoints(room: Path, rows: int, rounds: int) -> dict[str, Any]:
    """The first checkpoint of a long ledger, and those after one more row each."""
    where = ledgerkit.factory(room / "long")
    made = ledgerkit.rows_of(ledgerkit.entered(n) for n in range(1, rows + 1))
    ledgerkit.fill(where, made)
    asked = Checkpoints(where, "andon/bench")
    first, later = await timed(asked.at()), list[float]()
    last = made[-1]
    with closing(open_for_writing(where)) as db:
        for _ in range(rounds):
            last = chain(last.seq + 1, last.hash, last.at, last.kind, last.version, last.subject, last.data)
            db.execute(insert(1), values([last]))
            later.append(await timed(asked.at()))
    return {"rows": rows, "first_ms": round(first * 1000, 1), "next_ms": spread(later),
            "inclusion_ms": round(await timed(asked.inclusion(7, rows)) * 1000, 1)}


async def measure(room: Path, quick: bool) -> dict[str, Any]:
    """All figures."""
    at_work = shop(room, rows=200)
    signed = signing(at_work, 100 if quick else 1000)
    sealed = await sealing(at_work, 10 if quick else 100)
    points = await checkpoints(room, 100_000, 20 if quick else 200)
    added = 2 * signed["statement_ms"]["p50"] + sealed["seal_ms"]["p50"] + sealed["landing_ms"]["p50"]
    worst = 2 * signed["statement_ms"]["p95"] + sealed["seal_ms"]["p95"] + sealed["landing_ms"]["p95"]
    return {**signed, **sealed, "checkpoint": points, "added_to_a_landing_ms": {"p50": round(added, 1), "p95": round(worst, 1)},
            "share_of_a_one_minute_suite_percent": round(worst / SUITE_S / 10, 2),
            "for_each_event_ms": points["next_ms"]}


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--dir", type=Path, default=Path.cwd())
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-evidence-", dir=args.dir) as room:
        found = asyncio.run(measure(Path(room), args.quick))
    print(json.dumps(found, indent=1))
    if args.json:
        args.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
