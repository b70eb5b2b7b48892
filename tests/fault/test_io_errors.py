"""Every single or lasting I/O error of the ledger's files: no corruption, no false acknowledgement, no event taken meanwhile."""

import errno
import os
import random
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from andon.edges.store import Store
from fault.disk import Fault, Left, judge, write
from ledgerkit import entered, factory, sql

FULL = bool(os.environ.get("ANDON_FAULTS"))
SAMPLE = 4
"""Of each call."""
HOW = {"write": (errno.EIO, errno.ENOSPC), "sync": (errno.EIO,), "cut": (errno.EIO,), "read": (errno.EIO,)}


def counted(folder: Path, call: str) -> int:
    """How many such calls a run without a fault makes."""
    note = folder / f"count-{call}"
    left = write(folder / f"free-{call}", {"FAULT_CALL": call, "FAULT_COUNT": str(note)})
    assert judge(left) == [] and len(left.told) == 24 and set(left.words) == {"told"}
    return int(note.read_text()) if note.exists() else 0


def faults(folder: Path, call: str) -> list[Fault]:
    """All of them, or a sample."""
    found = [Fault(call, n, why, lasts, half) for n in range(1, counted(folder, call) + 1)
             for why in HOW[call] for lasts in (False, True) for half in ((False, True) if call == "write" else (False,))]
    assert found, f"the writer never does a {call}"
    first, rest = found[:1], found[1:]  # the first call of a kind always strikes
    return found if FULL else [*first, *random.Random(11).sample(rest, min(SAMPLE - 1, len(rest)))]


@pytest.mark.slow
@pytest.mark.timeout(3600 if FULL else 120)
@pytest.mark.parametrize("call", HOW)
async def test_any_failing_write_sync_cut_or_read_of_the_ledger_harms_nothing(tmp_path: Path, call: str) -> None:
    cases = faults(tmp_path, call)
    with ThreadPoolExecutor(2) as pool:
        seen = list(pool.map(lambda one: write(tmp_path / f"case {one[0]}", one[1].env()), enumerate(cases)))
    bad = {fault: wrong for fault, left in zip(cases, seen, strict=True) if (wrong := judge(left))}
    assert bad == {}
    struck = [left for left in seen if {"refused", "unopened"} & {*left.words}]
    assert len(struck) > (len(cases) // 3 if call in ("write", "sync") else 0), "the faults did not strike"
    for left in struck:  # and on a disk that works again it goes on
        where = factory(left.home)
        store = await Store.open(where)
        assert store.mode == "running"
        (last,) = await store.append([entered(1)], 1)
        await store.close()
        assert last.seq == len(sql(where, "SELECT seq FROM event"))
    print(f"{call}: {len(cases)} faults, {len(struck)} struck, {sum('lasting' in left.words for left in seen)} lasted")


def test_the_judge_sees_what_is_wrong(tmp_path: Path) -> None:
    left = write(tmp_path / "h", {})
    assert judge(left) == []
    seq = max(left.told)
    more = {**left.told, seq + 1: "0" * 64}
    assert judge(Left(left.words, more, left.home)) == [f"event {seq + 1} was acknowledged and is not there"]
    assert judge(Left((*left.words, "lied"), left.told, left.home)) != []
    sql(factory(left.home), "DROP TRIGGER event_is_never_edited")
    sql(factory(left.home), "UPDATE event SET data = '{}' WHERE seq = 2")
    assert "the chain is broken at event 2" in judge(left)
