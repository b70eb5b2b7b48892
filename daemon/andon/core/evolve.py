"""`evolve(State, Recorded) -> State`: what an event changes. It never refuses and never decides.

Theory of operation. One small function a kind of event, found in a table by type. An event about something that the state
does not know (an old log, a pruned attempt) changes nothing. The fold of a log and the live state are the same by
construction: the loop uses this function and no other.
"""

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import msgspec
from immutables import Map

from andon.core.state import (
    KEPT_HISTORY,
    KEPT_PROOFS,
    KEPT_QUESTIONS,
    RERUNS,
    Attempt,
    Claim,
    Cord,
    Failure,
    Gate,
    Landing,
    Proof,
    Question,
    Repository,
    Run,
    State,
    Task,
    Tries,
    Trouble,
    Work,
    cord_key,
    proof_key,
)
from andon.schema import events as e
from andon.schema.ids import AttemptId, Digest, GateId, LandingId, Oid, RepoId, RunId, TaskId

K = TypeVar("K")
V = TypeVar("V")
replace = msgspec.structs.replace
Handler = Callable[[State, Any], State]
HANDLERS: dict[type, Handler] = {}


def on(kind: type) -> Callable[[Handler], Handler]:
    """Enter a handler into the table."""

    def enter(handler: Handler) -> Handler:
        HANDLERS[kind] = handler
        return handler

    return enter


def evolve(state: State, event: e.Event, at: int) -> State:
    """The state after one more event, decided at `at` (unix milliseconds)."""
    state = replace(state, seq=state.seq + 1, at=max(state.at, at))
    task = task_of(state, event)
    handler = HANDLERS.get(type(event))
    if handler is not None:
        state = handler(state, event)
    if task and task in state.tasks:
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


def task_of(state: State, event: e.Event) -> TaskId:
    """The task whose history an event belongs to; empty when none."""
    named = getattr(event, "task", "")
    if named:
        return TaskId(named)
    attempt = state.attempts.get(AttemptId(getattr(event, "attempt", "")))
    if attempt:
        return attempt.task
    landing = state.landings.get(LandingId(getattr(event, "landing", "")))
    if landing:
        return landing.task
    run = state.runs.get(RunId(getattr(event, "run", "")))
    if run:
        return run.task
    gate = state.gates.get(GateId(getattr(event, "gate", "")))
    return gate.task if gate else TaskId("")


# --- small tools -----------------------------------------------------------------------------------------------------


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
    gates = without(state.gates, known.gate)
    state = replace(state, open=tuple(other for other in state.open if other != task), gates=gates)
    state = end_landing(state, known.landing)
    for attempt in known.attempts:
        if attempt in state.attempts and state.attempts[attempt].phase == "removed":
            state = replace(state, attempts=state.attempts.delete(attempt))
    return with_task(state, task, outcome=outcome, because=because, since=state.at, gate=GateId(""), packet="", previous=None)


def end_landing(state: State, landing: LandingId) -> State:
    """The landing is no longer under way."""
    known = state.landings.get(landing)
    if known is None:
        return state
    state = forget(replace(state, landings=state.landings.delete(landing)), landing)
    state = with_repo(state, known.repo, landing=LandingId(""))
    return with_task(state, known.task, landing=LandingId(""))


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


# --- the factory -----------------------------------------------------------------------------------------------------


@on(e.FactoryStarted)
def _(state: State, event: e.FactoryStarted) -> State:
    return replace(state, version=event.version, pid=event.pid, started_at=state.at)


@on(e.FactoryConfigured)
def _(state: State, event: e.FactoryConfigured) -> State:
    return replace(state, factory=event.settings)


@on(e.ProblemNoticed)
def _(state: State, event: e.ProblemNoticed) -> State:
    trouble = Trouble(what=event.what, where=event.where, mend=event.mend, repo=event.repo, task=event.task, at=state.at)
    return replace(state, problems=state.problems.set(event.key, trouble))


@on(e.ProblemCleared)
def _(state: State, event: e.ProblemCleared) -> State:
    return replace(state, problems=without(state.problems, event.key))


@on(e.RepositoryRegistered)
def _(state: State, event: e.RepositoryRegistered) -> State:
    known = state.repos.get(event.repo)
    repo = Repository(repo=event.repo, path=event.path, git_dir=event.git_dir)
    repo = replace(known, path=event.path, git_dir=event.git_dir) if known else repo
    return replace(state, repos=state.repos.set(event.repo, repo))


@on(e.SettingsActivated)
def _(state: State, event: e.SettingsActivated) -> State:
    return with_repo(
        state, event.repo, settings=event.settings, digest=event.digest, commands=event.commands, notes=event.notes,
    )


@on(e.CommandsTrusted)
def _(state: State, event: e.CommandsTrusted) -> State:
    return with_repo(state, event.repo, trusted=event.commands)


@on(e.TargetObserved)
def _(state: State, event: e.TargetObserved) -> State:
    return with_repo(state, event.repo, trunk=event.oid, tree=event.tree)


@on(e.TargetMirrored)
def _(state: State, event: e.TargetMirrored) -> State:
    return with_repo(
        forget(state, event.repo, "mirror-target"), event.repo, mirror_tried=event.oid, mirrored=event.advanced,
        mirror_because=event.because, mirror_mend=event.mend,
    )


@on(e.CordPulled)
def _(state: State, event: e.CordPulled) -> State:
    cord = Cord(because=event.because, by=event.by, at=state.at)
    return replace(state, cords=state.cords.set(cord_key(event.repo, event.line), cord))


@on(e.CordReleased)
def _(state: State, event: e.CordReleased) -> State:
    return replace(state, cords=without(state.cords, cord_key(event.repo, event.line)))


# --- tasks -----------------------------------------------------------------------------------------------------------


@on(e.TaskAdded)
def _(state: State, event: e.TaskAdded) -> State:
    task = Task(
        task=event.task, repo=event.repo, title=event.title, spec=event.spec, line=event.line, after=event.after,
        paths=event.paths, priority=event.priority, agent=event.agent, may_remove_tests=event.may_remove_tests,
        added_at=state.at, added_seq=state.seq, since=state.at,
    )
    keys = state.keys.set(event.key, event.task) if event.key else state.keys
    return replace(
        state, tasks=state.tasks.set(event.task, task), open=(*state.open, event.task), keys=keys,
        task_count=state.task_count + 1,
    )


@on(e.TaskEntered)
def _(state: State, event: e.TaskEntered) -> State:
    return with_task(state, event.task, station=event.station, since=state.at, rerun=0)


@on(e.TaskLanded)
def _(state: State, event: e.TaskLanded) -> State:
    return with_task(state, event.task, landed=event.commit, since=state.at)


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
        state = replace(state, open=(*state.open, event.task))
    return with_task(
        state, event.task, outcome="", because="", failures=(), packet=packet, not_before=0, gate=GateId(""), since=state.at,
    )


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
        end_landing(state, known.landing), task, station="", work=None, previous=known.work or known.previous,
        resume_previous=resume, claims=(), approved=Digest(""), live=AttemptId(""), landing=LandingId(""),
    )


# --- attempts --------------------------------------------------------------------------------------------------------


@on(e.AttemptClaimed)
def _(state: State, event: e.AttemptClaimed) -> State:
    task = state.tasks.get(event.task)
    if task is None:
        return state
    attempt = Attempt(
        attempt=event.attempt, task=event.task, repo=task.repo, number=event.number, station=event.station, fence=event.fence,
        agent=event.agent, base=event.base, start=event.start or event.base, port=event.port, ports=event.ports,
        claimed_at=state.at,
    )
    state = replace(state, attempts=state.attempts.set(event.attempt, attempt), fence=event.fence)
    state = with_repo(state, task.repo, last_claim=state.seq)
    return with_task(
        state, event.task, attempts=(*task.attempts, event.attempt), live=event.attempt, fence=event.fence, since=state.at,
    )


@on(e.CheckoutPrepared)
def _(state: State, event: e.CheckoutPrepared) -> State:
    state = forget(state, event.attempt, "prepare-checkout")
    return with_attempt(state, event.attempt, phase="prepared", path=event.path, isolation=event.isolation)


@on(e.AttemptStarted)
def _(state: State, event: e.AttemptStarted) -> State:
    state = forget(state, event.attempt, "start-session")
    return with_attempt(state, event.attempt, phase="running", session=event.session, started_at=state.at)


@on(e.AttemptSaid)
def _(state: State, event: e.AttemptSaid) -> State:
    changes: dict[str, Any] = {"said": event.n, "says": event.text[:300]}
    known = state.attempts.get(event.attempt)
    if event.kind == "ask" and known is not None and len(known.asks) < KEPT_QUESTIONS:
        question = Question(n=event.n, text=event.text[:600], options=tuple(option[:80] for option in event.options))
        changes["asks"] = (*known.asks, question)
    if event.kind == "finished":
        changes["said_commit"] = event.commit
    return with_attempt(state, event.attempt, **changes)


@on(e.AttemptStopAsked)
def _(state: State, event: e.AttemptStopAsked) -> State:
    return with_attempt(state, event.attempt, stop_asked=event.because)


@on(e.AttemptPauseAsked)
def _(state: State, event: e.AttemptPauseAsked) -> State:
    return with_attempt(state, event.attempt, pause_asked=True)


@on(e.AttemptResumeAsked)
def _(state: State, event: e.AttemptResumeAsked) -> State:
    known = state.attempts.get(event.attempt)
    minutes = (known.allowed_minutes if known else 0.0) + event.minutes
    return with_attempt(state, event.attempt, pause_asked=False, allowed_minutes=minutes)


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
        exit_because=event.because,
    )


@on(e.AttemptLost)
def _(state: State, event: e.AttemptLost) -> State:
    state = forget(state, event.attempt, "watch-session")
    return with_attempt(state, event.attempt, phase="ended", ended_at=state.at, exit_because="lost")


@on(e.AttemptFailed)
def _(state: State, event: e.AttemptFailed) -> State:
    known = state.attempts.get(event.attempt)
    if known is None:
        return state
    state = with_attempt(state, event.attempt, phase="closed", outcome=event.message, ended_at=known.ended_at or state.at)
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
    )
    return with_task(state, known.task, work=work, claims=(), approved=Digest(""))


@on(e.WorkSalvaged)
def _(state: State, event: e.WorkSalvaged) -> State:
    return with_attempt(forget(state, event.attempt, "stop-session"), event.attempt, salvage=event.ref, stopped=True)


@on(e.CheckoutRemoved)
def _(state: State, event: e.CheckoutRemoved) -> State:
    return prune(with_attempt(forget(state, event.attempt), event.attempt, phase="removed"), event.attempt)


# --- proof -----------------------------------------------------------------------------------------------------------


@on(e.RunPlanned)
def _(state: State, event: e.RunPlanned) -> State:
    run = Run(
        run=event.run, repo=event.repo, task=event.task, purpose=event.purpose, check=event.check, definition=event.definition,
        commit=event.commit, tree=event.tree, landing=event.landing,
    )
    return replace(state, runs=state.runs.set(event.run, run), run_count=state.run_count + 1)


@on(e.RunFinished)
def _(state: State, event: e.RunFinished) -> State:
    run = state.runs.get(event.run)
    if run is None:
        return state
    state = forget(replace(state, runs=state.runs.delete(event.run)), event.run)
    if event.result != "unevaluated" or run.purpose == "baseline":
        state = remember(state, run, event)
    return state


def remember(state: State, run: Run, event: e.RunFinished) -> State:
    """Keep the result as a proof of its tree, forgetting the oldest half at the bound."""
    task = state.tasks.get(run.task)
    compared = task.work.base_tree if task and task.work and run.purpose == "change" else Oid("")
    proof = Proof(
        run=event.run, result=event.result, because=event.because, names=event.names, base_tree=compared,
        lost_tests=event.lost_tests, seq=state.seq,
    )
    proofs = state.proofs
    if len(proofs) >= KEPT_PROOFS:
        proofs = Map(sorted(proofs.items(), key=lambda item: item[1].seq)[KEPT_PROOFS // 2 :])
    return replace(state, proofs=proofs.set(proof_key(run.repo, run.tree, run.definition), proof))


@on(e.ClaimJudged)
def _(state: State, event: e.ClaimJudged) -> State:
    task = state.tasks.get(event.task)
    if task is None:
        return state
    claim = Claim(
        claim=event.claim, status=event.status, because=event.because, commit=event.commit, run=event.run, at=state.at,
        detail=event.detail,
    )
    others = tuple(other for other in task.claims if other.claim != event.claim)
    rerun = RERUNS if event.final else task.rerun + (event.status == "unevaluated")
    return with_task(state, event.task, claims=(*others, claim), rerun=rerun)


# --- gates -----------------------------------------------------------------------------------------------------------


@on(e.GateOpened)
def _(state: State, event: e.GateOpened) -> State:
    gate = Gate(
        gate=event.gate, task=event.task, kind=event.kind, question=event.question, options=event.options,
        recommendation=event.recommendation, because=event.because, risk=event.risk, attempt=event.attempt, n=event.n,
        commit=event.commit, bound=event.bound, station=event.station, opened_at=state.at,
    )
    state = replace(state, gates=state.gates.set(event.gate, gate), gate_count=state.gate_count + 1)
    return with_task(state, event.task, gate=event.gate, since=state.at)


@on(e.GateAnswered)
def _(state: State, event: e.GateAnswered) -> State:
    gate = state.gates.get(event.gate)
    if gate is None:
        return state
    state = close_gate(state, event.gate)
    if gate.kind == "review" and event.option == "approve":
        state = with_task(state, gate.task, approved=gate.bound)
    if gate.kind == "unevaluated" and event.option == "run-again":
        task = state.tasks[gate.task]
        claims = tuple(claim for claim in task.claims if claim.status != "unevaluated")
        state = with_task(state, gate.task, claims=claims, rerun=0)
    attempt = state.attempts.get(gate.attempt)
    if gate.kind == "question" and attempt is not None:
        text = event.because if event.option == "answer" else event.option
        asks = tuple(question for question in attempt.asks if question.n != gate.n)
        state = with_attempt(state, gate.attempt, answers=(*attempt.answers, (gate.n, text)), asks=asks)
    return state


@on(e.GateVoided)
def _(state: State, event: e.GateVoided) -> State:
    return close_gate(state, event.gate)


def close_gate(state: State, gate: GateId) -> State:
    """The question is gone."""
    known = state.gates.get(gate)
    if known is None:
        return state
    state = replace(state, gates=state.gates.delete(gate))
    task = state.tasks.get(known.task)
    return with_task(state, known.task, gate=GateId(""), since=state.at) if task and task.gate == gate else state


@on(e.AnswerDelivered)
def _(state: State, event: e.AnswerDelivered) -> State:
    known = state.attempts.get(event.attempt)
    answers = tuple(answer for answer in known.answers if answer[0] != event.n) if known else ()
    return with_attempt(forget(state, event.attempt, "deliver-answer"), event.attempt, answers=answers)


# --- landing ---------------------------------------------------------------------------------------------------------


@on(e.LandingPlanned)
def _(state: State, event: e.LandingPlanned) -> State:
    landing = Landing(
        landing=event.landing, repo=event.repo, task=event.task, commit=event.commit, onto=event.onto, planned_at=state.at,
    )
    state = replace(state, landings=state.landings.set(event.landing, landing), landing_count=state.landing_count + 1)
    state = with_repo(state, event.repo, landing=event.landing)
    return with_task(state, event.task, landing=event.landing)


@on(e.LandingMerged)
def _(state: State, event: e.LandingMerged) -> State:
    return with_landing(forget(state, event.landing, "merge-candidate"), event.landing, candidate=event.candidate, tree=event.tree)


@on(e.LandingConflicted)
def _(state: State, event: e.LandingConflicted) -> State:
    return end_landing(state, event.landing)


@on(e.LandingAbandoned)
def _(state: State, event: e.LandingAbandoned) -> State:
    return end_landing(state, event.landing)


@on(e.TargetMoved)
def _(state: State, event: e.TargetMoved) -> State:
    known = state.landings.get(event.landing)
    if known is None:
        return state
    state = with_repo(state, known.repo, trunk=event.new, tree=known.tree)
    return end_landing(state, event.landing)
