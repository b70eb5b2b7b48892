"""Folds waivers, lights, and what a line has landed. Entries of the table; never asked for by name."""

import msgspec

from andon.core.folds.table import on, replace
from andon.core.lights import noted
from andon.core.state import Shipped, State, Waiver, cord_key
from andon.schema import events as e
from andon.schema.ids import TaskId


@on(e.WaiverGranted)
def _(state: State, event: e.WaiverGranted) -> State:
    waiver = Waiver(
        waiver=event.waiver, repo=event.repo, rule=event.rule, task=event.task, paths=event.paths, until=event.until,
        because=event.because, by=event.by, at=state.at, signature=event.signature,
    )
    return replace(state, waivers=state.waivers.set(event.waiver, waiver), waiver_count=state.waiver_count + 1)


@on(e.WaiverEnded)
def _(state: State, event: e.WaiverEnded) -> State:
    return replace(state, waivers=state.waivers.delete(event.waiver)) if event.waiver in state.waivers else state


@on(e.LightsApproved)
def _(state: State, event: e.LightsApproved) -> State:
    return replace(state, dark=state.dark.set(cord_key(event.repo, event.line), event.lights == "dark" and bool(event.signature)))


@on(e.LightsDimmed)
def _(state: State, event: e.LightsDimmed) -> State:
    return replace(state, dark=state.dark.set(cord_key(event.repo, event.line), False))


def landed(state: State, task: TaskId) -> State:
    """A change landed: how, counts for its line; what it takes back counts against the line that landed that."""
    known = state.tasks.get(task)
    if known is None:
        return state
    if known.reverts:
        return escaped(state, known.reverts)
    key = cord_key(known.repo, known.line)
    one = Shipped(task=task, at=state.at, first=len(known.attempts) == 1)
    return replace(state, shipped=state.shipped.set(key, noted(state.shipped.get(key, ()), one)))


def escaped(state: State, task: TaskId) -> State:
    """What landed was found to be wrong afterwards."""
    for key, seen in state.shipped.items():
        if any(one.task == task and not one.escaped for one in seen):
            marked = tuple(msgspec.structs.replace(one, escaped=True) if one.task == task else one for one in seen)
            return replace(state, shipped=state.shipped.set(key, marked))
    return state
