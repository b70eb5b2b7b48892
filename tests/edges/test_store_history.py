"""Old logs, prefixes, snapshots, newer releases and broken chains: what a start makes of what it finds."""

import json
import sqlite3
from contextlib import closing
from importlib.metadata import version
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest
from hypothesis import given, settings, strategies as st

from andon.edges.history import History
from andon.edges.store import Store
from andon.ledger_reader import read_log, verify_log
from andon.schema.chain import chain
from andon.schema.errors import Mistake, Problem
from andon.schema.events import VERSIONS, AnyEvent, CordReleased, FactoryStarted, TaskAdded, kind_of, version_of
from andon.schema.ids import RepoId, TaskId
from andon.schema.layout import Layout
from andon.schema.upcast import STEPS, decode, kinds, upcast
from ledgerkit import LOGS, added, entered, factory, fill, read_rows, rows_of, sql, tamper

RELEASES = sorted((path.stem for path in LOGS.glob("*.jsonl")), key=lambda name: [int(part) for part in name.split(".")])


@pytest.fixture
def where(tmp_path: Path) -> Layout:
    return factory(tmp_path / "factory")


async def start(where: Layout) -> tuple[History, Problem | None]:
    """What one start finds, and whether it may write."""
    store = await Store.open(where)
    try:
        assert (store.mode == "running") == (store.broken is None)
        return await store.load(), store.broken
    finally:
        await store.close()


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def survives(old: Any, new: Any) -> bool:
    """Whether everything that `old` says is still said by `new`."""
    if isinstance(old, dict):
        return isinstance(new, dict) and all(key in new and survives(value, new[key]) for key, value in old.items())
    if isinstance(old, list):
        return isinstance(new, list) and len(old) == len(new) and all(map(survives, old, new))
    return bool(old == new)


# --- old logs --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("release", RELEASES)
async def test_the_log_of_every_release_loads_for_ever(release: str, where: Layout) -> None:
    rows = read_rows(LOGS / f"{release}.jsonl")
    fill(where, rows)
    found, broken = await start(where)
    assert broken is None and verify_log(where) is None and len(found.tail) == len(rows)
    for row, one in zip(rows, found.tail, strict=True):
        assert (one.seq, one.at, kind_of(one.event), one.hash) == (row.seq, row.at, row.kind, row.hash)
        if row.version == version_of(row.kind):
            assert survives(json.loads(row.data), json.loads(msgspec.json.encode(one.event))), f"{row.kind} lost something"


def test_every_kind_of_this_release_is_in_the_newest_fixture_log() -> None:
    """When this fails: a kind or field is new. `python tests/fixtures/logs/make.py` (`--again` before the release is out)."""
    rows = read_rows(LOGS / f"{RELEASES[-1]}.jsonl")
    assert {(row.kind, row.version) for row in rows} >= {(kind, version_of(kind)) for kind in kinds()}


def test_the_release_in_the_making_has_its_fixture_log_with_every_field() -> None:
    """When this fails: a field is new or gone. Run `make.py --again` there, or count the release up."""
    assert version("andon") in RELEASES
    rows = {row.kind: row for row in read_rows(LOGS / f"{version('andon')}.jsonl")}
    for event in get_args(AnyEvent):
        row = rows[str(event.__struct_config__.tag)]
        assert set(json.loads(row.data)) == {"type", *event.__struct_encode_fields__}, row.kind


WITHOUT: list[dict[str, Any]] = [
    {"type": "landing.planned", "landing": "L1", "repo": "demo", "task": "T1", "commit": "a", "onto": "b"},
    {"type": "landing.merged", "landing": "L1", "candidate": "a", "tree": "b"},
    {"type": "landing.conflicted", "landing": "L1", "paths": ["a.py"], "message": "m"},
    {"type": "task.landed", "task": "T1", "commit": "a"},
    {"type": "run.finished", "run": "R1", "result": "pass", "because": "9 tests passed", "seconds": 1.5},
    {"type": "checkout.prepared", "attempt": "T1.1", "path": "/x", "isolation": "clone", "setup_s": 0.5},
    {"type": "settings.activated", "repo": "demo", "digest": "d", "commands": "c", "settings": {"target": "main", "proving": 1}},
    {"type": "factory.started", "version": "0.1.0", "pid": 7, "boot": "b"},
]
"""Events as they were written when one change landed at a time."""


@pytest.mark.parametrize("old", WITHOUT, ids=lambda old: str(old["type"]))
def test_an_event_from_before_the_queue_landed_several_at_once_is_read(old: dict[str, Any]) -> None:
    event = decode(old["type"], 1, json.dumps(old))
    assert survives(old, json.loads(msgspec.json.encode(event)))


def test_an_old_version_is_read_through_its_upcasts(monkeypatch: pytest.MonkeyPatch, where: Layout) -> None:
    """A worked example: version 1 of `cord.released` had a `who`, version 2 named it `person`, version 3 calls it `by`."""

    def step_1(data: dict[str, Any]) -> dict[str, Any]:
        data["person"] = data.pop("who")
        return data

    def step_2(data: dict[str, Any]) -> dict[str, Any]:
        return {**data, "by": f"{data.pop('person')}@local"}

    monkeypatch.setitem(VERSIONS, "cord.released", 3)
    monkeypatch.setitem(STEPS, ("cord.released", 1), step_1)
    monkeypatch.setitem(STEPS, ("cord.released", 2), step_2)
    old = {"type": "cord.released", "repo": "demo", "line": "build", "who": "ann"}
    event = CordReleased(repo=RepoId("demo"), line="build", by="ann@local")
    assert decode("cord.released", 1, json.dumps(old)) == event and old["who"] == "ann"
    assert decode("cord.released", 2, json.dumps({**upcast("cord.released", 1, old)} | {"person": "ann"})) == event
    assert decode("cord.released", 3, msgspec.json.encode(event).decode()) == event
    with pytest.raises(Mistake, match=r"no `cord\.released` of version 3"):
        decode("cord.released", 3, json.dumps(old))
    row = rows_of([event])[0]
    assert row.version == 3
    monkeypatch.delitem(STEPS, ("cord.released", 1))
    with pytest.raises(Mistake, match="no way leads from version 1"):
        decode("cord.released", 1, json.dumps(old))


# --- prefixes --------------------------------------------------------------------------------------------------------

TEXT = st.text(st.characters(codec="utf-8"), max_size=20)
EVENTS = st.lists(
    st.builds(entered, st.integers(1, 5), TEXT)
    | st.builds(added, st.integers(1, 5), TEXT)
    | st.builds(TaskAdded, task=st.just(TaskId("T1")), repo=TEXT.map(RepoId), title=TEXT, spec=TEXT, paths=st.tuples(TEXT, TEXT))
    | st.builds(FactoryStarted, version=TEXT, pid=st.integers(-2**63, 2**63 - 1), boot=TEXT),
    max_size=8,
)


@given(events=EVENTS, data=st.data())
@settings(max_examples=25, deadline=None)
async def test_any_prefix_of_a_log_loads(events: list[Any], data: st.DataObject, tmp_path_factory: pytest.TempPathFactory) -> None:
    rows = rows_of(events)
    length, snapshot = data.draw(st.integers(0, len(rows))), data.draw(st.integers(0, len(rows)))
    where = factory(tmp_path_factory.mktemp("prefix"))
    fill(where, rows[:length])
    store = await Store.open(where)
    if 0 < snapshot <= length:
        await store.save_snapshot(snapshot, rows[snapshot - 1].hash, b"state")
    await store.close()
    found, broken = await start(where)
    first = snapshot if 0 < snapshot <= length else 0
    assert broken is None and found.seq == length and found.snapshot_seq == first
    assert [one.event for one in found.tail] == events[first:length]


# --- snapshots -------------------------------------------------------------------------------------------------------


async def test_a_start_reads_the_newest_snapshot_and_only_what_follows(where: Layout) -> None:
    rows = rows_of([entered(n) for n in range(1, 101)])
    fill(where, rows)
    store = await Store.open(where)
    for seq in (10, 50, 90):
        await store.save_snapshot(seq, rows[seq - 1].hash, f"state {seq}\nwith lines".encode())
    await store.close()
    assert names(where.home / "snapshots") == ["000000000000050.snapshot", "000000000000090.snapshot"]
    found, _ = await start(where)
    assert found.snapshot == b"state 90\nwith lines" and [one.seq for one in found.tail] == list(range(91, 101))


async def test_a_core_that_cannot_read_a_snapshot_gets_every_event(where: Layout) -> None:
    rows = rows_of([entered(n) for n in range(1, 21)])
    fill(where, rows)
    store = await Store.open(where)
    await store.save_snapshot(20, rows[-1].hash, b"of an older release")
    await store.close()
    store = await Store.open(where)
    assert (await store.load()).tail == []
    found = await store.load(use_snapshot=False)
    assert found.snapshot is None and len(found.tail) == 20 and found.hash == rows[-1].hash
    await store.close()


async def test_a_torn_snapshot_gives_way_to_the_one_before(where: Layout) -> None:
    rows = rows_of([entered(n) for n in range(1, 101)])
    fill(where, rows)
    store = await Store.open(where)
    for seq in (50, 90):
        await store.save_snapshot(seq, rows[seq - 1].hash, b"state" * 100)
    with pytest.raises(ValueError, match="ends at 100"):
        await store.save_snapshot(101, rows[-1].hash, b"from the future")
    await store.close()
    for damage in (lambda old: old[:-7], lambda old: old[:-1] + b"X", lambda old: b"", lambda old: b"\xff" + old):
        newest = where.home / "snapshots" / "000000000000090.snapshot"
        whole = newest.read_bytes()
        newest.write_bytes(damage(whole))
        found, broken = await start(where)
        assert broken is None and found.snapshot_seq == 50 and len(found.tail) == 50
        newest.write_bytes(whole)
    assert (await start(where))[0].snapshot_seq == 90


async def test_a_half_written_snapshot_of_a_dead_daemon_is_taken_away(where: Layout) -> None:
    fill(where, rows_of([entered(1)]))
    (where.home / "snapshots").mkdir()
    (where.home / "snapshots" / ".tmp-dead").write_bytes(b"half")
    (where.home / "snapshots" / "notes.txt").write_bytes(b"the person's own")
    await start(where)
    assert names(where.home / "snapshots") == ["notes.txt"]


# --- broken chains ---------------------------------------------------------------------------------------------------

EDITED = [
    ("UPDATE event SET data = replace(data, 'T7', 'T8') WHERE seq = 7", 7, "event 7 was changed"),
    ("UPDATE event SET at = 99 WHERE seq = 7", 7, "event 7 was changed"),
    ("UPDATE event SET data = x'ff00' WHERE seq = 7", 7, "event 7"),
    ("UPDATE event SET data = CAST(x'22ff22' AS TEXT) WHERE seq = 7", 7, "event 7"),
    ("DELETE FROM event WHERE seq = 7", 7, "event 7 is missing"),
    ("DELETE FROM event WHERE seq < 3", 1, "event 1 is missing"),
    ("UPDATE event SET prev = hash WHERE seq = 7", 7, "event 7 was changed"),
]


@pytest.mark.parametrize(("statement", "seq", "words"), EDITED)
async def test_a_broken_chain_starts_read_only_and_names_the_event(where: Layout, statement: str, seq: int, words: str) -> None:
    fill(where, rows_of([entered(n) for n in range(1, 21)]))
    tamper(where, statement)
    store = await Store.open(where)
    assert store.mode == "read-only" and store.broken and words in store.broken.what and f"event {seq}" in store.broken.where
    assert [one.seq for one in (await store.load()).tail] == list(range(1, seq))
    with pytest.raises(Mistake, match=words):
        await store.append([entered(1)], 1)
    with pytest.raises(Mistake):
        await store.reopen()
    await store.close()
    assert verify_log(where) == store.broken


async def test_a_row_replaced_with_all_its_hashes_is_noticed_at_the_next(where: Layout) -> None:
    rows, other = (rows_of([entered(n, station) for n in range(1, 21)]) for station in ("build", "check"))
    fill(where, rows)
    new = rows_of([entered(n) for n in range(1, 7)] + [entered(7, "land")])[6]
    tamper(where, f"UPDATE event SET data = '{new.data}', hash = '{new.hash}' WHERE seq = 7")
    _, broken = await start(where)
    assert broken and "event 8 does not follow event 7" in broken.what and other != rows


async def test_a_tail_that_a_snapshot_knows_and_the_ledger_lacks_is_noticed(where: Layout) -> None:
    rows = rows_of([entered(n) for n in range(1, 21)])
    fill(where, rows)
    store = await Store.open(where)
    await store.save_snapshot(10, rows[9].hash, b"ten")
    await store.save_snapshot(15, rows[14].hash, b"fifteen")
    await store.close()
    tamper(where, "DELETE FROM event WHERE seq > 12")
    found, broken = await start(where)
    assert broken and "ends at event 12" in broken.what and "event 15" in broken.what
    assert found.snapshot == b"ten" and [one.seq for one in found.tail] == [11, 12]
    assert verify_log(where) is None, "the chain alone does not see it: that is the stated limit"


async def test_a_rewritten_history_does_not_fit_the_snapshot(where: Layout) -> None:
    rows = rows_of([entered(n) for n in range(1, 21)])
    fill(where, rows)
    store = await Store.open(where)
    await store.save_snapshot(15, rows[14].hash, b"fifteen")
    await store.close()
    forged = rows_of([entered(n, "land") for n in range(1, 21)])
    tamper(where, *(f"UPDATE event SET data = '{row.data}', prev = '{row.prev}', hash = '{row.hash}' WHERE seq = {row.seq}"
                    for row in forged))
    assert verify_log(where) is None
    found, broken = await start(where)
    assert broken and "event 15 is not the one" in broken.what and found.snapshot is None


async def test_a_missing_ledger_beside_its_snapshots_is_not_taken_for_a_new_one(where: Layout) -> None:
    rows = rows_of([entered(1)])
    fill(where, rows)
    store = await Store.open(where)
    await store.save_snapshot(1, rows[0].hash, b"one")
    await store.close()
    where.ledger.rename(where.home / "elsewhere.db")
    _, broken = await start(where)
    assert broken and "ends at event 0" in broken.what


async def test_a_zeroed_page_is_noticed(where: Layout) -> None:
    fill(where, rows_of([added(n, "x" * 500) for n in range(1, 101)]))
    content = bytearray(where.ledger.read_bytes())
    at = content.find(b"Task 60")
    content[at // 4096 * 4096:at // 4096 * 4096 + 4096] = bytes(4096)
    where.ledger.write_bytes(content)
    problem = verify_log(where)
    assert problem and "event" in problem.where
    found, broken = await start(where)
    assert broken == problem and 0 < len(found.tail) < 60


# --- refusals --------------------------------------------------------------------------------------------------------


async def test_a_ledger_of_a_newer_format_is_refused_and_left_as_it_is(where: Layout) -> None:
    fill(where, rows_of([FactoryStarted(version="7.1.0", pid=1, boot="b"), entered(1)]))
    sql(where, "PRAGMA user_version = 2")
    before = where.ledger.read_bytes()
    for attempt in (Store.open(where), None):
        with pytest.raises(Mistake, match="format 2") as caught:
            await attempt if attempt else read_log(where)
        assert "7.1.0" in caught.value.problem.mend
    assert where.ledger.read_bytes() == before


@pytest.mark.parametrize(("kind", "number", "words"), [
    ("task.teleported", 1, "its kind `task.teleported` is unknown"),
    ("task.entered", 2, "`task.entered` has version 2 here"),
])
async def test_an_event_of_a_newer_release_is_refused_with_its_number_and_release(
    where: Layout, kind: str, number: int, words: str
) -> None:
    rows = rows_of([FactoryStarted(version="0.1.0", pid=1, boot="b"), FactoryStarted(version="7.1.0", pid=1, boot="b"), entered(1)])
    rows[2] = chain(3, rows[1].hash, 1, kind, number, "T1", rows[2].data.replace("task.entered", kind))
    fill(where, rows)
    for attempt in (Store.open(where), None):
        with pytest.raises(Mistake, match=words) as caught:
            await attempt if attempt else read_log(where)
        problem = caught.value.problem
        assert problem.what.startswith("Event 3 ") and "event 3" in problem.where and "Andon 7.1.0 or newer" in problem.mend
    assert verify_log(where) is None, "the chain of a newer release can still be proven"


@pytest.mark.parametrize("content", ["text", "database"])
async def test_a_file_that_is_no_ledger_is_refused_and_left_as_it_is(where: Layout, content: str) -> None:
    where.home.mkdir()
    if content == "text":
        where.ledger.write_text("This is a diary, and a long one at that. " * 100)
    else:
        with closing(sqlite3.connect(where.ledger)) as db:
            db.execute("CREATE TABLE diary (day, words)")
    before = where.ledger.read_bytes()
    with pytest.raises(Mistake) as caught:
        await Store.open(where)
    assert caught.value.problem.where == str(where.ledger) and where.ledger.read_bytes() == before
    with pytest.raises(Mistake):
        read_log(where)
