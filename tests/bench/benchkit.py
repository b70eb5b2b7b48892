"""What benchmarks share: spreads, what a process uses, a factory of their own, and ledgers of a long life."""

import os
import statistics
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import msgspec

from andon.core.image import freeze
from andon.edges import ledger_file, snapshots
from andon.schema import events as e, inputs as i
from andon.schema.chain import GENESIS, Row, chain
from andon.schema.jobs import Said
from andon.schema.layout import layout
from core.sim import Sim
from factory import Factory

TICK = os.sysconf("SC_CLK_TCK")
SPEC = "# Make the thing\n\n" + "It starts in the parser and is done when the tests say so. " * 20


def spread(values: list[float]) -> dict[str, float]:
    """Median, 95th percentile and count."""
    ordered = sorted(values)
    return {"p50": round(statistics.median(ordered), 1), "p95": round(ordered[int(len(ordered) * 0.95)], 1), "n": len(ordered)}


def cpu_of(pid: int | None) -> float:
    """Seconds of CPU that a process has used."""
    if not pid:
        return 0.0
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def wakings_of(pid: int) -> int:
    """How often a process went to sleep of its own will, all threads together."""
    return sum(int(line.split()[1]) for status in Path(f"/proc/{pid}/task").glob("*/status")
               for line in status.read_text().splitlines() if line.startswith("voluntary_ctxt_switches"))


def rss_mb(pid: int) -> float:
    """Resident memory."""
    line = next(line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmRSS"))
    return round(int(line.split()[1]) / 1024, 1)


def person(room: Path, wip: int) -> dict[str, str]:
    """The environment of a person below `room`, far from the one who measures."""
    home = room / "home"
    (home / "config").mkdir(parents=True)
    (home / ".gitconfig").write_text("[user]\n\tname = Bench\n\temail = bench@example.org\n")
    (home / "config/andon.toml").write_text(f"[factory]\nwip = {wip}\n")
    return {"HOME": str(home), "ANDON_CONFIG_HOME": str(home / "config"), "GIT_CONFIG_NOSYSTEM": "1"}


@contextmanager
def a_factory(room: Path, wip: int = 4) -> Iterator[Factory]:
    """A running daemon below `room` with a person of its own; wholly ended afterwards."""
    env = person(room, wip)
    os.environ |= env
    plant = Factory(room / "f", env)
    try:
        plant.start()
        yield plant
    finally:
        plant.close()


# --- ledgers of a long life ------------------------------------------------------------------------------------------


def write_history(home: Path, wanted: int) -> tuple[int, int]:
    """A valid ledger of lives of tasks as the core decides them, and a snapshot 5,000 events before its end.

    How many tasks, and the bytes of the snapshot.
    """
    place, sim = layout(home), Sim(1)
    ledger_file.make_places(place)
    seq, prev, size = 0, GENESIS, 0
    with closing(ledger_file.open_for_writing(place)) as db:
        db.execute("PRAGMA synchronous = OFF")
        while seq < wanted:
            for _ in range(4):
                sim.add("make the thing do what it should", spec=SPEC)
            while sim.step():
                say_something(sim)
            rows = chained(sim, seq, prev)
            seq, prev = rows[-1].seq, rows[-1].hash
            for start in range(0, len(rows), 1000):
                part = rows[start : start + 1000]
                db.execute(ledger_file.insert(len(part)), ledger_file.values(part))
            if not size and seq >= wanted - 5000:
                data = freeze(sim.state)
                snapshots.save(place, seq, prev, data)
                size = len(data)
    return sim.state.task_count, size


def say_something(sim: Sim) -> None:
    """Agents at work tell of their progress, eight times each."""
    for attempt in list(sim.state.attempts.values()):
        if attempt.phase == "running" and attempt.said < 8:
            said = Said(n=attempt.said + 1, kind="progress", text="reading the tests of the parser before changing it")
            sim.give(i.AgentSaid(attempt=attempt.attempt, said=said))


def chained(sim: Sim, seq: int, prev: str) -> list[Row]:
    """What the simulation recorded since the last time, as rows."""
    rows: list[Row] = []
    for row in sim.log:
        kind = e.kind_of(row.event)
        data = msgspec.json.encode(row.event).decode()
        rows.append(chain(seq + 1, prev, row.at, kind, e.version_of(kind), e.subject_of(row.event), data))
        seq, prev = rows[-1].seq, rows[-1].hash
    sim.log.clear()
    return rows
