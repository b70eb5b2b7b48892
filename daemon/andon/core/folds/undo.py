"""What the words of an undo change."""

from andon.core.folds.table import on, replace
from andon.core.state import State
from andon.core.undone import KEPT, Undo, number
from andon.schema import events as e


@on(e.UndoBegun)
def _(state: State, event: e.UndoBegun) -> State:
    undo = Undo(undo=event.undo, step=event.subject, deeds=event.deeds, by=event.by, because=event.because)
    kept, over = state.undos, [name for name, known in state.undos.items() if known.over]
    for name in sorted(over, key=number)[: max(0, len(over) - KEPT + 1)]:
        kept = kept.delete(name)
    return replace(state, undos=kept.set(event.undo, undo), undo_count=max(state.undo_count, number(event.undo)))


@on(e.UndoDeedBegun)
def _(state: State, event: e.UndoDeedBegun) -> State:
    return _with(state, event.undo, begun=True)


@on(e.UndoDeedSeen)
def _(state: State, event: e.UndoDeedSeen) -> State:
    known = state.undos.get(event.undo)
    return _with(state, event.undo, begun=False, at=event.n, seen=(*known.seen, event.observed)) if known else state


@on(e.UndoEnded)
def _(state: State, event: e.UndoEnded) -> State:
    return _with(state, event.undo, over="done" if event.done else "stopped", why=event.because)


def _with(state: State, undo: str, **changes: object) -> State:
    known = state.undos.get(undo)
    return replace(state, undos=state.undos.set(undo, replace(known, **changes))) if known else state
