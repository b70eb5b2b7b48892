"""Who edits the ledger or a snapshot by hand is noticed, by a running daemon too; what was not touched is left in peace."""

import hashlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest

from andon import housekeeping, refold
from andon.core.image import freeze
from andon.edges import history, snapshots
from andon.edges.store import Store
from andon.schema import events as e, inputs as i
from andon.schema.chain import chain
from andon.schema.errors import Mistake
from andon.schema.layout import Layout
from bench.benchkit import chained
from core.sim import Sim
from ledgerkit import factory, fill, sql, tamper


@pytest.fixture
def where(tmp_path: Path) -> Layout:
    """The ledger of two landed tasks, with a snapshot in its middle."""
    place, sim = factory(tmp_path / "home"), Sim(2)
    sim.add()
    sim.run()
    state, half = sim.state, chained(sim, 0, "0" * 64)
    sim.add()
    sim.run()
    fill(place, [*half, *chained(sim, half[-1].seq, half[-1].hash)])
    snapshots.save(place, half[-1].seq, half[-1].hash, freeze(state))
    return place


def edit_snapshot(where: Layout, old: bytes, new: bytes) -> None:
    """As somebody would who knows that a digest stands in its first line, and makes that anew."""
    (path,) = snapshots.directory(where).glob("*.snapshot")
    line, _, data = path.read_bytes().partition(b"\n")
    changed = data.replace(old, new)
    assert changed != data
    head = msgspec.json.decode(line)
    head["digest"] = hashlib.sha256(changed).hexdigest()
    path.write_bytes(msgspec.json.encode(head) + b"\n" + changed)


@pytest.fixture
async def store(where: Layout) -> AsyncIterator[Store]:
    opened = await Store.open(where)
    yield opened
    await opened.close()


class Desk:
    """What housekeeping needs of a loop."""

    def __init__(self, store: Store) -> None:
        self.store, self.given = store, list[i.Input]()

    def give(self, given: i.Input) -> None:
        self.given.append(given)


async def test_a_ledger_that_nobody_touched_is_proven_and_said_to_be_well(where: Layout, store: Store) -> None:
    desk = Desk(store)
    await housekeeping.prove(cast("Any", desk), where)
    assert desk.given == [i.TroubleGone(key=housekeeping.TAMPERED)] and store.mode == "running"


async def test_a_snapshot_that_was_edited_with_its_digest_is_noticed(where: Layout, store: Store) -> None:
    edit_snapshot(where, b'"title":"a task"', b'"title":"forged"')
    assert history.read(where)[1] is None, "a start takes it: only the fold tells"
    problem = await refold.prove(store, where)
    assert problem is not None and "does not follow from the events" in problem.what and "tasks" in problem.what
    assert "forged" not in str(problem) and "move that directory aside" in problem.mend
    desk = Desk(store)
    await housekeeping.prove(cast("Any", desk), where)
    assert [type(given) for given in desk.given] == [i.TroubleSeen]


async def test_a_row_that_is_edited_while_the_daemon_runs_makes_it_read_only(where: Layout, store: Store) -> None:
    tamper(where, "UPDATE event SET data = replace(data, 'a task', 'others') WHERE kind = 'task.added' AND seq < 20")
    problem = await refold.prove(store, where)
    assert problem is not None and "was changed after it was written" in problem.what
    assert store.mode == "read-only"
    with pytest.raises(Mistake, match="was changed after it was written"):
        await store.append([e.FactoryStopped(because="x")], 1)


def test_rows_rewritten_with_all_hashes_do_not_agree_with_the_snapshot_that_was_left(where: Layout) -> None:
    rows = [chain(*row) for row in rewritten(where)]
    tamper(where, "DELETE FROM event")
    fill(where, rows)
    problem = refold.check_snapshots(where)
    assert problem is not None and "does not follow from the events" in problem.what
    (path,) = snapshots.directory(where).glob("*.snapshot")
    path.unlink()
    assert refold.check_snapshots(where) is None, "whole in itself: only a signed checkpoint elsewhere knows better"


def rewritten(where: Layout) -> list[tuple[Any, ...]]:
    """Every row with another title, chained anew."""
    made: list[tuple[Any, ...]] = []
    prev = "0" * 64
    for seq, at, kind, version, subject, data in sql(where, "SELECT seq, at, kind, version, subject, data FROM event ORDER BY seq"):
        text = cast("str", data).replace("a task", "others")
        made.append((seq, prev, at, kind, version, subject, text))
        prev = chain(*cast("Any", made[-1])).hash
    return made


def test_a_ledger_that_is_shorter_than_its_snapshot_is_noticed(where: Layout) -> None:
    tamper(where, "DELETE FROM event WHERE seq > 10")
    problem = refold.check_snapshots(where)
    assert problem is not None and "it ends at event 10" in problem.what
