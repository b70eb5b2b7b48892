"""What events about attempts change."""

from typing import Any

from andon.core.folds.table import forget, on, prune, replace, with_attempt, with_repo, with_task
from andon.core.state import KEPT_QUESTIONS, Attempt, Question, State, Tries, Work
from andon.schema import events as e
from andon.schema.ids import AttemptId, Digest, Oid
from andon.schema.sandbox import Known, weakest


@on(e.AttemptClaimed)
def _(state: State, event: e.AttemptClaimed) -> State:
    task = state.tasks.get(event.task)
    if task is None:
        return state
    attempt = Attempt(
        attempt=event.attempt, task=event.task, repo=task.repo, number=event.number, station=event.station, fence=event.fence,
        agent=event.agent, base=event.base, start=event.start or event.base, port=event.port, ports=event.ports,
        claimed_at=state.at, account=event.account, reserve_usd=event.reserve_usd, rebase=event.rebase,
    )
    state = replace(state, attempts=state.attempts.set(event.attempt, attempt), fence=event.fence)
    state = with_repo(state, task.repo, last_claim=state.seq)
    return with_task(
        state, event.task, attempts=(*task.attempts, event.attempt), live=event.attempt, fence=event.fence, since=state.at,
    )


@on(e.CheckoutPrepared)
def _(state: State, event: e.CheckoutPrepared) -> State:
    state = forget(state, event.attempt, "prepare-checkout")
    changes: dict[str, Any] = {"start": event.start} if event.start else {}
    return with_attempt(
        state, event.attempt, phase="prepared", path=event.path, isolation=event.isolation, rebased=event.rebased, **changes,
    )


@on(e.AttemptStarted)
def _(state: State, event: e.AttemptStarted) -> State:
    state = forget(state, event.attempt, "start-session")
    known = state.attempts.get(event.attempt)
    walls = event.walls if known is None or known.sitting == 1 else weakest((known.walls, event.walls))
    return with_attempt(state, event.attempt, phase="running", session=event.session, started_at=state.at, walls=walls)


@on(e.AttemptSaid)
def _(state: State, event: e.AttemptSaid) -> State:
    changes: dict[str, Any] = {"said": event.n, "says": event.text[:300]}
    known = state.attempts.get(event.attempt)
    if event.kind == "ask" and known is not None and len(known.asks) < KEPT_QUESTIONS:
        question = Question(n=event.n, text=event.text[:600], options=tuple(option[:80] for option in event.options))
        changes["asks"] = (*known.asks, question)
    if event.kind == "finished":
        changes |= {"said_commit": event.commit, "said_finished": True}
    return with_attempt(state, event.attempt, **changes)


@on(e.AttemptStopAsked)
def _(state: State, event: e.AttemptStopAsked) -> State:
    return with_attempt(state, event.attempt, stop_asked=event.because, stop_then=event.then, stop_note=event.note)


@on(e.AttemptPauseAsked)
def _(state: State, event: e.AttemptPauseAsked) -> State:
    return with_attempt(state, event.attempt, pause_asked=True, suspended=False)


@on(e.AttemptResumeAsked)
def _(state: State, event: e.AttemptResumeAsked) -> State:
    known = state.attempts.get(event.attempt)
    minutes = (known.allowed_minutes if known else 0.0) + event.minutes
    # a suspension that was begun may have reached the processes and not the ledger: going on is owed until it was seen
    return with_attempt(state, event.attempt, pause_asked=False, suspended=True, allowed_minutes=minutes)


@on(e.AttemptSuspended)
def _(state: State, event: e.AttemptSuspended) -> State:
    return with_attempt(forget(state, event.attempt, "suspend-session"), event.attempt, suspended=event.suspended)


@on(e.EffectRetried)
def _(state: State, event: e.EffectRetried) -> State:
    tries = Tries(tries=event.tries, not_before=event.not_before)
    return replace(state, tries=state.tries.set(f"{event.subject} {event.effect}", tries))


@on(e.AttemptExited)
def _(state: State, event: e.AttemptExited) -> State:
    return with_attempt(
        forget(state, event.attempt, "watch-session"), event.attempt, phase="ended", ended_at=state.at, exit_code=event.code,
        exit_because=event.because, exit_error=event.error, worked_s=event.seconds, open_asks=(), stuck=None,
    )


@on(e.AttemptLost)
def _(state: State, event: e.AttemptLost) -> State:
    state = forget(state, event.attempt, "watch-session")
    return with_attempt(
        state, event.attempt, phase="ended", ended_at=state.at, exit_because="lost", worked_s=0.0, open_asks=(), stuck=None,
    )


@on(e.AttemptFailed)
def _(state: State, event: e.AttemptFailed) -> State:
    known = state.attempts.get(event.attempt)
    if known is None:
        return state
    state = with_attempt(state, event.attempt, phase="closed", outcome=event.message, ended_at=known.ended_at or state.at)
    if known.stop_then == "reassign" and known.salvage_oid:
        offered = Work(attempt=known.attempt, commit=known.salvage_oid, tree=Oid(""), base=known.base, base_tree=Oid(""))
        state = with_task(state, known.task, previous=offered)
    return release(state, known)


@on(e.AttemptAccepted)
def _(state: State, event: e.AttemptAccepted) -> State:
    known = state.attempts.get(event.attempt)
    if known is None:
        return state
    state = with_attempt(state, event.attempt, phase="closed", outcome=f"accepted {event.commit[:10]}")
    return release(state, known)


def release(state: State, attempt: Attempt) -> State:
    """The lease is given back, and retry counters of the attempt's deeds are forgotten."""
    task = state.tasks.get(attempt.task)
    state = forget(state, attempt.attempt)
    return with_task(state, attempt.task, live=AttemptId("")) if task and task.live == attempt.attempt else state


@on(e.WorkImported)
def _(state: State, event: e.WorkImported) -> State:
    known = state.attempts.get(event.attempt)
    if known is None:
        return state
    work = Work(
        attempt=event.attempt, commit=event.commit, tree=event.tree, base=event.base, base_tree=event.base_tree,
        paths=event.paths, paths_total=event.paths_total, insertions=event.insertions, deletions=event.deletions, diff=event.diff,
        walls=built_within(state, known), facts=event.facts,
    )
    return with_task(state, known.task, work=work, claims=(), approved=Digest(""), approvals=(), consent=None)


def built_within(state: State, attempt: Attempt) -> Known:
    """The weakest walls of an attempt and of the work that it began on, where that is not the target itself."""
    task = state.tasks.get(attempt.task)
    earlier = task.previous if task and attempt.start != attempt.base else None
    return weakest((attempt.walls, earlier.walls)) if earlier else attempt.walls


@on(e.WorkSalvaged)
def _(state: State, event: e.WorkSalvaged) -> State:
    return with_attempt(
        forget(state, event.attempt, "stop-session"), event.attempt, salvage=event.ref, salvage_oid=event.oid, stopped=True,
    )


@on(e.CheckoutRemoved)
def _(state: State, event: e.CheckoutRemoved) -> State:
    return prune(with_attempt(forget(state, event.attempt), event.attempt, phase="removed"), event.attempt)
