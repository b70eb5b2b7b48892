"""Proves that ledger and snapshots are as they were written: every row by the chain, every snapshot by folding the events again.

Theory of operation. The chain shows an edited row; it says nothing of a snapshot, whose own digest whoever edits it can make anew.
A snapshot is only a shortcut, so what it says must come out of the events: they are folded from the first on, a slice at a time,
and compared where a snapshot stands. Rows that were all rewritten, hashes and snapshots with them, are whole in themselves: only a
signed checkpoint outside the ledger shows that.
"""

import asyncio
import time
from contextlib import closing

from andon.core.evolve import evolve
from andon.core.image import thaw
from andon.core.state import State
from andon.edges import snapshots
from andon.edges.store import Store
from andon.ledger_reader import MEND_BROKEN, Broken, chained, connect, recorded
from andon.schema.chain import GENESIS
from andon.schema.errors import Mistake, Problem
from andon.schema.layout import Layout

SLICE = 1_000
"""Events that are folded before others get their turn."""
REST_S = 0.01
"""Between two slices."""


async def prove(store: Store, layout: Layout) -> Problem | None:
    """What is wrong with the ledger, else with a snapshot; None when all holds. A flaw of the chain makes the store read-only."""
    return await store.verify() or await asyncio.to_thread(check_snapshots, layout)


def check_snapshots(layout: Layout) -> Problem | None:
    """Fold the events again up to the newest snapshot, and compare with each. Blocking. None also when there is none to compare.

    One of another release's form is passed over: a start does not use it either.
    """
    wanted = {one.head.seq: one for one in snapshots.whole(layout)}
    state, prev, last = State(), GENESIS, max(wanted, default=0)
    while state.seq < last:
        before = state.seq
        try:
            with closing(connect(layout.ledger)) as db:
                for row in chained(db, layout.ledger, state.seq, prev, SLICE):
                    state, prev = evolve(state, recorded(db, layout.ledger, row).event, row.at), row.hash
                    if row.seq in wanted and (kept := thaw(wanted[row.seq].data)) is not None and kept != state:
                        return _odd(layout, row.seq, kept, state)
        except Broken as found:
            return found.problem
        except Mistake as mistake:
            return mistake.problem
        if state.seq == before:
            return Problem(what=f"The ledger is broken: it ends at event {before}, and a snapshot was made after event {last}.",
                           where=str(layout.ledger), mend=MEND_BROKEN)
        time.sleep(REST_S)
    return None


def _odd(layout: Layout, seq: int, kept: State, folded: State) -> Problem:
    """The fields in which they differ, by name: never their content."""
    names = [name for name in State.__struct_fields__ if getattr(kept, name) != getattr(folded, name)]
    return Problem(
        what=f"The snapshot after event {seq} does not follow from the events: it was changed, or another release made it. "
             f"They differ in {', '.join(names[:5])}.",
        where=str(snapshots.directory(layout)),
        mend="Run `andon down`, move that directory aside and run `andon up`: the state is folded from the events again.",
    )
