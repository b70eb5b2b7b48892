"""What events about tasks change."""

from andon.core.folds import policy
from andon.core.folds.table import finish, on, replace, with_task
from andon.core.state import Failure, State, Task, station_of
from andon.schema import events as e
from andon.schema.ids import AttemptId, Digest, GateId, TaskId


@on(e.TaskAdded)
def _(state: State, event: e.TaskAdded) -> State:
    task = Task(
        task=event.task, repo=event.repo, title=event.title, spec=event.spec, line=event.line, after=event.after,
        paths=event.paths, priority=event.priority, agent=event.agent, may_remove_tests=event.may_remove_tests,
        added_at=state.at, added_seq=state.seq, since=state.at, race=event.race, reverts=event.reverts,
        by=event.by,
    )
    keys = state.keys.set(event.key, event.task) if event.key else state.keys
    return replace(
        state, tasks=state.tasks.set(event.task, task), open=(*state.open, event.task), keys=keys,
        task_count=state.task_count + 1,
    )


@on(e.TaskEntered)
def _(state: State, event: e.TaskEntered) -> State:
    state = with_task(state, event.task, station=event.station, since=state.at, rerun=0)
    known = state.tasks.get(event.task)
    station = station_of(state, known) if known else None
    return with_task(state, event.task, queued=state.at) if station is not None and station.kind == "land" else state


@on(e.TaskLanded)
def _(state: State, event: e.TaskLanded) -> State:
    state = policy.landed(state, event.task)
    return with_task(state, event.task, landed=event.commit, landed_before=event.before, since=state.at)


@on(e.TaskDone)
def _(state: State, event: e.TaskDone) -> State:
    return finish(state, event.task, "done")


@on(e.TaskFailed)
def _(state: State, event: e.TaskFailed) -> State:
    return finish(state, event.task, "failed", event.because)


@on(e.TaskCancelled)
def _(state: State, event: e.TaskCancelled) -> State:
    return finish(state, event.task, "cancelled", event.because)


@on(e.TaskRetried)
def _(state: State, event: e.TaskRetried) -> State:
    known = state.tasks.get(event.task)
    if known is None:
        return state
    packet = f"{known.packet}\n\n{event.note}".strip() if event.note else known.packet
    state = leave_change(state, event.task, resume=known.work is not None or known.resume_previous)
    if event.task not in state.open:
        over = tuple(task for task in state.over if task != event.task)
        state = replace(state, open=(*state.open, event.task), over=over)
    return with_task(
        state, event.task, outcome="", because="", failures=(), packet=packet, not_before=0, gate=GateId(""), since=state.at,
    )


@on(e.TaskReassigned)
def _(state: State, event: e.TaskReassigned) -> State:
    known = state.tasks.get(event.task)
    if known is None:
        return state
    packet = f"{known.packet}\n\n{event.note}".strip() if event.note else known.packet
    return with_task(state, event.task, agent=event.agent, packet=packet)


@on(e.RetryScheduled)
def _(state: State, event: e.RetryScheduled) -> State:
    known = state.tasks.get(event.task)
    if known is None:
        return state
    resume = event.failure in ("test", "rejected") and known.work is not None
    state = leave_change(state, event.task, resume=resume)
    failures = (*known.failures, Failure(failure=event.failure, fingerprint=event.fingerprint))
    packet = event.packet or known.packet
    return with_task(state, event.task, failures=failures, packet=packet, not_before=event.not_before, since=state.at)


def leave_change(state: State, task: TaskId, *, resume: bool) -> State:
    """The accepted change is set aside as the previous one, and the task stands before its first station again."""
    known = state.tasks[task]
    return with_task(
        state, task, station="", work=None, previous=known.work or known.previous,
        resume_previous=resume, claims=(), approved=Digest(""), approvals=(), consent=None, live=AttemptId(""), overtaken=0,
        reverts=TaskId(""),
    )
