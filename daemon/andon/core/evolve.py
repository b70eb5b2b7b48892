"""`evolve(State, Recorded) -> State`: what an event changes. It never refuses and never decides.

Theory of operation. One small function a kind of event, found in a table by type. An event about something that the state
does not know (an old log, a pruned attempt) changes nothing. The fold of a log and the live state are the same by
construction: the loop uses this function and no other.
"""

from collections.abc import Iterable

from andon.core.folds import attempts, factory, gates, landing, money, notes, policy, proof, queue, sealing, sessions, tasks, undo
from andon.core.folds.table import HANDLERS, replace, with_task
from andon.core.state import KEPT_HISTORY, State
from andon.schema import events as e
from andon.schema.ids import AttemptId, GateId, LandingId, RunId, TaskId

FILLED = (factory, tasks, attempts, sessions, money, proof, gates, landing, queue, sealing, undo, notes, policy)
"""The modules whose entries make up the table."""


def evolve(state: State, event: e.Event, at: int) -> State:
    """The state after one more event, decided at `at` (unix milliseconds)."""
    state = replace(state, seq=state.seq + 1, at=max(state.at, at))
    about = tasks_of(state, event)
    handler = HANDLERS.get(type(event))
    if handler is not None:
        state = handler(state, event)
    for task in about:
        if task in state.tasks:
            state = with_task(state, task, history=(*state.tasks[task].history, state.seq)[-KEPT_HISTORY:])
    return state


def fold(state: State, events: Iterable[e.Event], at: int) -> State:
    """The state after several events of one moment."""
    for event in events:
        state = evolve(state, event, at)
    return state


def replay(state: State, rows: Iterable[e.Recorded]) -> State:
    """The state after a stretch of the ledger."""
    for row in rows:
        state = evolve(state, row.event, row.at)
    return state


def tasks_of(state: State, event: e.Event) -> tuple[TaskId, ...]:
    """The tasks whose history an event belongs to: of a landing every member, of a clash both."""
    if isinstance(event, e.ClashSeen | e.ClashGone):
        return event.one, event.other
    if isinstance(event, e.LandingPlanned) and event.members:
        return tuple(member.task for member in event.members)
    named = getattr(event, "task", "")
    landing = state.landings.get(LandingId(getattr(event, "landing", "")))
    if landing and not named:
        return tuple(member.task for member in landing.members)
    task = TaskId(named) if named else task_of(state, event)
    return (task,) if task else ()


def task_of(state: State, event: e.Event) -> TaskId:
    """The task of the attempt, run or gate that an event is about; empty when none."""
    attempt = state.attempts.get(AttemptId(getattr(event, "attempt", "")))
    if attempt:
        return attempt.task
    run = state.runs.get(RunId(getattr(event, "run", "")))
    if run:
        return run.task
    gate = state.gates.get(GateId(getattr(event, "gate", "")))
    return gate.task if gate else TaskId("")
