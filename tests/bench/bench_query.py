"""Figures of questions: a ledger of 100,000 events asked by view, by saved question and by lineage, against reading it as JSON.

    python tests/bench/bench_query.py [--events N] [--rounds N] [--dir DIR] [--json FILE]

The other side is what a tool does that keeps its record as lines of JSON: read every line, decode it, count in Python. It is given
the same events, exported one a line, warm in the page cache, and the fastest decoder at hand.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import msgspec  # the path is set first

from andon.ledger_reader import connect
from andon.record import questions
from andon.record.board import Board, answer
from andon.record.lineage import lineage
from andon.schema.layout import Layout, layout
from bench.benchkit import write_history

SPENT = "SELECT agent, count(*), sum(accepted) FROM attempts GROUP BY agent"


def timed(work: Callable[[], object], rounds: int) -> tuple[float, float]:
    """Median wall milliseconds and median processor milliseconds, after one round that is not counted."""
    work()
    walls, cpus = [], []
    for _ in range(rounds):
        wall, cpu = time.perf_counter(), time.process_time()
        work()
        walls.append((time.perf_counter() - wall) * 1000)
        cpus.append((time.process_time() - cpu) * 1000)
    return round(statistics.median(walls), 1), round(statistics.median(cpus), 1)


def exported(place: Layout, path: Path) -> None:
    """The same events as lines of JSON."""
    with closing(connect(place.ledger)) as db, path.open("w") as out:
        for seq, at, kind, data in db.execute("SELECT seq, at, kind, data FROM event ORDER BY seq"):
            out.write(f'{{"seq":{seq},"at":{at},"kind":"{kind}","data":{data}}}\n')


def scan_with(decode: Callable[[bytes], object], path: Path) -> dict[str, list[int]]:
    """Attempts and accepted ones by agent, from the lines."""
    agents: dict[str, str] = {}
    found: dict[str, list[int]] = {}
    with path.open("rb") as lines:
        for line in lines:
            row = decode(line)
            assert isinstance(row, dict)
            if row["kind"] == "attempt.claimed":
                agents[row["data"]["attempt"]] = row["data"]["agent"]
                found.setdefault(row["data"]["agent"], [0, 0])[0] += 1
            elif row["kind"] == "attempt.accepted":
                found[agents[row["data"]["attempt"]]][1] += 1
    return found


def measure(place: Layout, events: int, rounds: int, log: Path) -> dict[str, object]:
    """All figures."""
    exported(place, log)
    decode = msgspec.json.Decoder().decode
    same = {agent: [count, done] for agent, count, done in answer(place, SPENT).rows}
    assert same == scan_with(json.loads, log) == scan_with(decode, log), "both sides must say the same"
    figures: dict[str, object] = {"events": events, "ledger_mb": round(place.ledger.stat().st_size / 2**20, 1)}
    figures["one question, ms (wall, cpu)"] = one = timed(lambda: answer(place, SPENT), rounds)
    figures["scan of JSON lines, json.loads"] = slow = timed(lambda: scan_with(json.loads, log), rounds)
    figures["scan of JSON lines, msgspec"] = fast = timed(lambda: scan_with(decode, log), rounds)
    figures["ratio to json.loads, cpu"] = round(slow[1] / one[1], 1)
    figures["ratio to msgspec, cpu"] = round(fast[1] / one[1], 1)
    with Board(place, SPENT) as board:
        figures["warm-up once, ms"] = round(board.warm_s * 1000, 1)
        figures["a further question of the same moment, ms"] = warm = timed(lambda: board.ask(SPENT), rounds)
        figures["ratio of a further one to msgspec, cpu"] = round(fast[1] / max(warm[1], 0.01))
    saved = {}
    for name in questions.shipped():
        asked = questions.named(place, name)
        saved[name] = timed(lambda asked=asked: answer(place, asked.sql, questions.filled(asked, {})), rounds)  # type: ignore[misc]  # bound now
    figures["saved questions, ms (wall, cpu)"] = saved
    figures["lineage of a task, ms"] = timed(lambda: lineage(place, "T100"), rounds)
    return figures


def main() -> None:
    """Make the ledger, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--dir", type=Path, default=None)
    parser.add_argument("--json", type=Path, default=None)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=args.dir) as room:
        place = layout(Path(room) / "home")
        write_history(place.home, args.events)
        figures = measure(place, args.events, args.rounds, Path(room) / "log.jsonl")
    text = json.dumps(figures, indent=1)
    print(text)
    if args.json:
        args.json.write_text(text)


if __name__ == "__main__":
    main()
