"""The table of what events change, and the small tools that its entries share. It never refuses and never decides."""

from collections.abc import Callable
from typing import Any, TypeVar

import msgspec
from immutables import Map

from andon.core.state import KEPT_OVER, Past, State
from andon.schema.ids import AttemptId, GateId, LandingId, RepoId, TaskId

K = TypeVar("K")
V = TypeVar("V")
replace = msgspec.structs.replace
Handler = Callable[[State, Any], State]
HANDLERS: dict[type, Handler] = {}
"""By type of event. Filled by the modules of this folder."""


def on(kind: type) -> Callable[[Handler], Handler]:
    """Enter a handler into the table."""

    def enter(handler: Handler) -> Handler:
        HANDLERS[kind] = handler
        return handler

    return enter


def with_task(state: State, task: TaskId, **changes: Any) -> State:
    """The state with fields of one task changed."""
    known = state.tasks.get(task)
    return replace(state, tasks=state.tasks.set(task, replace(known, **changes))) if known else state


def with_attempt(state: State, attempt: AttemptId, **changes: Any) -> State:
    """The state with fields of one attempt changed."""
    known = state.attempts.get(attempt)
    return replace(state, attempts=state.attempts.set(attempt, replace(known, **changes))) if known else state


def with_repo(state: State, repo: RepoId, **changes: Any) -> State:
    """The state with fields of one repository changed."""
    known = state.repos.get(repo)
    return replace(state, repos=state.repos.set(repo, replace(known, **changes))) if known else state


def with_landing(state: State, landing: LandingId, **changes: Any) -> State:
    """The state with fields of one landing changed."""
    known = state.landings.get(landing)
    return replace(state, landings=state.landings.set(landing, replace(known, **changes))) if known else state


def without(items: Map[K, V], key: K) -> Map[K, V]:
    """The map without a key that may not be there."""
    return items.delete(key) if key in items else items


def finish(state: State, task: TaskId, outcome: str, because: str = "") -> State:
    """The task is over: it leaves the open ones and sheds what only its work needed."""
    known = state.tasks.get(task)
    if known is None:
        return state
    state = forget(state, task)
    gates = without(state.gates, known.gate)
    state = replace(state, open=tuple(other for other in state.open if other != task), gates=gates)
    for attempt in known.attempts:
        if attempt in state.attempts and state.attempts[attempt].phase == "removed":
            state = replace(state, attempts=state.attempts.delete(attempt))
    state = with_task(state, task, outcome=outcome, because=because, since=state.at, gate=GateId(""), packet="", previous=None)
    return retire(replace(state, over=(*(other for other in state.over if other != task), task)))


def retire(state: State) -> State:
    """Past the bound, of the task that ended first only its end is remembered. One whose checkout still stands is passed over."""
    if len(state.over) <= KEPT_OVER:
        return state
    held = (task for task in state.over if not any(attempt in state.attempts for attempt in state.tasks[task].attempts))
    oldest = next(held, None)
    if oldest is None:
        return state
    known = state.tasks[oldest]
    last = max(known.history, default=state.seq)
    past = Past(
        repo=known.repo, outcome=known.outcome, landed=known.landed, landed_before=known.landed_before, title=known.title[:200],
        first=known.added_seq, last=last,
    )
    return replace(
        state, tasks=state.tasks.delete(oldest), past=state.past.set(oldest, past),
        over=tuple(task for task in state.over if task != oldest),
    )


def end_landing(state: State, landing: LandingId) -> State:
    """The landing is no longer under way."""
    if landing not in state.landings:
        return state
    return forget(replace(state, landings=state.landings.delete(landing)), landing)


def with_queue(state: State, repo: RepoId, **changes: Any) -> State:
    """The state with facts of one merge queue changed."""
    known = state.repos.get(repo)
    return with_repo(state, repo, queue=replace(known.queue, **changes)) if known else state


def forget(state: State, subject: str, effect: str = "") -> State:
    """The counter of a deed that is done, or all counters of a subject that is gone."""
    done = [key for key in state.tries if (key == f"{subject} {effect}" if effect else key.startswith(f"{subject} "))]
    tries = state.tries
    for key in done:
        tries = tries.delete(key)
    return replace(state, tries=tries) if done else state


def prune(state: State, attempt: AttemptId) -> State:
    """Forget an attempt that is removed and whose task is over; the ledger keeps it."""
    known = state.attempts.get(attempt)
    if known is None or known.phase != "removed":
        return state
    task = state.tasks.get(known.task)
    return replace(state, attempts=state.attempts.delete(attempt)) if task is None or task.over else state
