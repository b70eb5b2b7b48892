"""Carries out what `andon undo` asks of a running factory: plans from the ledger, deeds for the loop, a look at the world after.

Theory of operation. The deeds are the core's: it appends each before it counts, and begins the next only when the one before was
seen. Laying out a snapshot is the one deed that is done here; an undo that a killed daemon left open at it is gone on with when it
is asked for again. The directory comes by one rename, and was not there when the undo began: where it stands, it is whole.
"""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Literal

from andon.core.state import State
from andon.core.undone import Undo, number
from andon.edges import repository
from andon.edges.git import look, read_ref
from andon.ledger_reader import read_log
from andon.loop import Loop
from andon.record import steps
from andon.record.steps import Plan
from andon.schema import events as e, inputs as i, wire
from andon.schema.errors import Mistake
from andon.schema.faults import point
from andon.schema.ids import AttemptId, Oid, TaskId
from andon.schema.layout import Layout
from andon.schema.undo import DeedView, UndoView

PATHS = 500
"""Paths of a landing that are compared afterwards, at most."""
NAMED = 5
Restore = Callable[[AttemptId], Awaitable[object]]


async def answer(loop: Loop, layout: Layout, request: wire.UndoStep, by: str, restore: Restore) -> wire.UndoIs:
    """How a step is walked backwards: what would be done, how far it is, or what was seen of it."""
    step = steps.named(request.step)
    known = loop.state.undos.get(request.undo)
    if known is not None:
        return wire.UndoIs(view=view(Plan(step=known.step), known, await _world(loop.state, layout, known)))
    plan = await asyncio.to_thread(steps.plan, layout, step, whole=request.whole)
    undo = latest(loop.state, plan.step)
    if request.go:
        undo = await go(loop, layout, plan, undo, request.because, by, restore)
    world = await _world(loop.state, layout, undo) if undo is not None else ()
    return wire.UndoIs(view=view(plan, undo, world))


async def restored(loop: Loop, layout: Layout, attempt: AttemptId, by: str, restore: Restore) -> wire.Done:
    """The snapshot of an attempt, laid out as a directory of its own."""
    plan = steps.plan(layout, steps.named(attempt))
    await go(loop, layout, plan, latest(loop.state, plan.step), "", by, restore)
    path = into(layout, attempt)
    return wire.Done(ids=(str(path),), text=f"the snapshot of {attempt} stands at {path}")


async def go(loop: Loop, layout: Layout, plan: Plan, undo: Undo | None, because: str, by: str, restore: Restore) -> Undo:
    """Begin it, or go on where a killed daemon left it. Mistake where the world is not as the step left it."""
    if undo is None or undo.over:
        for deed in plan.deeds:
            if deed.kind == "restore" and into(layout, deed.attempt).exists():
                raise Mistake(f"{into(layout, deed.attempt)} exists already: it was laid out before.",
                              where=str(into(layout, deed.attempt)), mend="Look there; or move it away, and ask again.")
        await asyncio.to_thread(steps.need_standing, layout, plan)
        events = await loop.ask(i.WalkBack(step=plan.step, deeds=plan.deeds, because=because, by=by))
        begun = next((event.undo for event in events if isinstance(event, e.UndoBegun)), "")
        if begun not in loop.state.undos:
            raise Mistake(f"{plan.step} cannot be walked back now.", mend=f"`andon log {plan.step}` tells what happened to it.")
        undo = loop.state.undos[begun]
        point("undo.begun")
    await _restore(loop, layout, undo, restore)
    loop.publish_now()
    return loop.state.undos.get(undo.undo, undo)


def into(layout: Layout, attempt: AttemptId) -> Path:
    """Where the snapshot of an attempt is laid out."""
    return layout.home / "restored" / attempt


def latest(state: State, step: str) -> Undo | None:
    """The newest undo of a step; None when there was none, or it is over and long forgotten."""
    found = [undo for undo in state.undos.values() if undo.step == step]
    return max(found, key=lambda undo: number(undo.undo), default=None)


def view(plan: Plan, undo: Undo | None, world: tuple[str, ...] = ()) -> UndoView:
    """As faces show it."""
    if undo is None:
        return UndoView(step=plan.step, deeds=tuple(DeedView(told=deed.told) for deed in plan.deeds), kept=plan.kept)
    deeds = tuple(
        DeedView(told=deed.told, state="seen", observed=undo.seen[n]) if n < len(undo.seen)
        else DeedView(told=deed.told, state="stopped" if undo.over else "under way" if undo.begun else "planned") if n == undo.at
        else DeedView(told=deed.told)
        for n, deed in enumerate(undo.deeds))
    how: Literal["open", "done", "stopped"] = "open" if not undo.over else "done" if undo.over == "done" else "stopped"
    return UndoView(step=plan.step, undo=undo.undo, state=how, deeds=deeds, kept=plan.kept, because=undo.why, world=world)


async def _restore(loop: Loop, layout: Layout, undo: Undo, restore: Restore) -> None:
    """The deeds that lay out a snapshot, where the undo stands at one. A failure ends the undo, and says so."""
    while not undo.over and undo.at < len(undo.deeds) and undo.begun and undo.deeds[undo.at].kind == "restore":
        attempt = undo.deeds[undo.at].attempt
        path = into(layout, attempt)
        try:
            if not path.is_dir():
                await restore(attempt)
            elif not await asyncio.to_thread(_recorded, layout, attempt, undo):
                await loop.ask(i.CheckoutBack(attempt=attempt, path=str(path)))
        except Mistake as mistake:
            await loop.ask(i.DeedSeen(undo=undo.undo, n=undo.at + 1, done=False, observed=mistake.problem.what))
            raise
        told = f"the snapshot of {attempt} stands at {path}" if path.is_dir() else f"{path} does not stand"
        await loop.ask(i.DeedSeen(undo=undo.undo, n=undo.at + 1, done=path.is_dir(), observed=told))
        undo = loop.state.undos[undo.undo]


def _recorded(layout: Layout, attempt: AttemptId, undo: Undo) -> bool:
    """Whether the ledger has it that the snapshot was laid out for this undo."""
    rows = read_log(layout, kinds=("checkout.restored", "undo.begun"), limit=1000, newest=True)
    begun = next((row.seq for row in rows if isinstance(row.event, e.UndoBegun) and row.event.undo == undo.undo), 0)
    return any(row.seq > begun and isinstance(row.event, e.CheckoutRestored) and row.event.attempt == attempt for row in rows)


# --- the world, read anew --------------------------------------------------------------------------------------------


async def _world(state: State, layout: Layout, undo: Undo) -> tuple[str, ...]:
    """What git and the disk say of each deed, once all are done."""
    told: list[str] = []
    if undo.over != "done":
        return ()
    for deed in undo.deeds:
        if deed.kind == "revert":
            told.append(await _taken_back(state, layout, deed.task))
        elif deed.kind == "end":
            known = state.tasks.get(deed.task)
            there = [name for name in known.attempts if layout.checkout(known.repo, name).exists()] if known else []
            told.append(f"checkouts of {deed.task} on disk: {', '.join(there) or 'none'}")
        elif deed.kind == "restore":
            path = into(layout, deed.attempt)
            told.append(f"{path} {'stands' if path.is_dir() else 'is not there any more'}")
    return tuple(told)


async def _taken_back(state: State, layout: Layout, task: TaskId) -> str:
    """Whether the paths of a landed change are as they were before it, at trunk as git has it now."""
    known = state.tasks.get(task) or state.past.get(task)
    if known is None or not known.landed or not known.landed_before:
        return f"what {task} had changed is not known any more: not looked at"
    repo = state.repos[known.repo]
    trunk = await read_ref(repo.git_dir, repository.trunk_ref(repo.settings.target)) or Oid("")
    changed = (await look(repo.git_dir, "diff", "--name-only", "-z", known.landed_before, known.landed)).items[:PATHS]
    if not trunk or not changed:
        return f"trunk could not be compared for {task}"
    differs = (await look(repo.git_dir, "diff", "--name-only", "-z", known.landed_before, trunk, "--", *changed)).items
    if not differs:
        return f"trunk at {trunk[:12]}: all {len(changed)} paths of {task} are as they were before it"
    return f"trunk at {trunk[:12]}: of {len(changed)} paths of {task} later work differs in {', '.join(differs[:NAMED])}"
