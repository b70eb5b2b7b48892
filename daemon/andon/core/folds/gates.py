"""What questions to a person and their answers change."""

from typing import Any

from andon.core.folds.landing import without_task
from andon.core.folds.table import forget, on, replace, with_attempt, with_queue, with_repo, with_task
from andon.core.state import Consent, Decided, Gate, State, station_of
from andon.schema import events as e
from andon.schema.ids import AttemptId, GateId

KEPT_DECIDED = 200
"""Gates that are no longer open and still known; what became of older ones is in the ledger."""


@on(e.GateOpened)
def _(state: State, event: e.GateOpened) -> State:
    gate = Gate(
        gate=event.gate, task=event.task, kind=event.kind, question=event.question, options=event.options,
        recommendation=event.recommendation, because=event.because, risk=event.risk, attempt=event.attempt, n=event.n,
        commit=event.commit, bound=event.bound, station=event.station, opened_at=state.at, ask=event.ask,
        walls=event.walls, nonce=event.nonce, roles=event.roles, keys=event.keys, raised_at=state.at,
    )
    state = replace(state, gates=state.gates.set(event.gate, gate), gate_count=state.gate_count + 1)
    if event.kind == "stuck":
        state = with_stuck(state, event.attempt, wants_gate=False)
    task = state.tasks.get(event.task)
    station = station_of(state, task) if task else None
    if event.kind == "unevaluated" and task is not None and station is not None and station.kind == "land":
        known = state.repos[task.repo].queue.strange
        state = with_queue(state, task.repo, strange=(*(other for other in known if other != event.task), event.task)[-10:])
    return with_task(state, event.task, gate=event.gate, since=state.at)


@on(e.GateAnswered)
def _(state: State, event: e.GateAnswered) -> State:
    gate = state.gates.get(event.gate)
    if gate is None:
        return state
    who = event.approver.name if event.approver else event.by
    state = remembered(close_gate(state, event.gate), event.gate, f"was answered with {event.option} by {who or event.by}")
    if gate.kind == "review" and event.option == "approve":
        consent = Consent(commit=gate.commit, walls=gate.walls, approvers=gate.approvals)
        state = with_task(state, gate.task, approved=gate.bound, approvals=event.approvals, consent=consent)
    if gate.kind == "unevaluated" and event.option == "run-again":
        task = state.tasks[gate.task]
        claims = tuple(claim for claim in task.claims if claim.status != "unevaluated")
        state = with_task(state, gate.task, claims=claims, rerun=0)
        state = with_repo(state, task.repo, queue=without_task(state.repos[task.repo].queue, gate.task))
    attempt = state.attempts.get(gate.attempt)
    if gate.kind == "stuck":
        return with_stuck(state, gate.attempt, last=state.at)
    if gate.kind == "question" and gate.ask and attempt is not None:
        text = event.because if event.option == "answer" else event.option
        told = tuple(
            replace(ask, decided=True, allow=True, answer=text) if ask.ask == gate.ask else ask for ask in attempt.open_asks
        )
        return with_attempt(state, gate.attempt, open_asks=told)
    if gate.kind == "question" and attempt is not None:
        text = event.because if event.option == "answer" else event.option
        asks = tuple(question for question in attempt.asks if question.n != gate.n)
        state = with_attempt(state, gate.attempt, answers=(*attempt.answers, (gate.n, text)), asks=asks)
    return state


@on(e.GateVoided)
def _(state: State, event: e.GateVoided) -> State:
    known = event.gate in state.gates
    state = close_gate(state, event.gate)
    return remembered(state, event.gate, f"is void: {event.because}") if known else state


@on(e.GateApproved)
def _(state: State, event: e.GateApproved) -> State:
    gate = state.gates.get(event.gate)
    return with_gate(state, event.gate, approvals=(*gate.approvals, event.approver)) if gate else state


@on(e.GateSnoozed)
def _(state: State, event: e.GateSnoozed) -> State:
    return with_gate(state, event.gate, snoozed_until=event.until, snoozed_by=event.by)


@on(e.GateWoken)
def _(state: State, event: e.GateWoken) -> State:
    return with_gate(state, event.gate, snoozed_until=0, snoozed_by="", raised_at=state.at)


@on(e.GateDelegated)
def _(state: State, event: e.GateDelegated) -> State:
    return with_gate(state, event.gate, to=event.to, to_because=event.because)


@on(e.GateRaised)
def _(state: State, event: e.GateRaised) -> State:
    return with_gate(state, event.gate, raised=event.n, raised_at=state.at)


@on(e.GateNoticed)
def _(state: State, event: e.GateNoticed) -> State:
    gate = state.gates.get(event.gate)
    return with_gate(forget(state, gate.task, "tell-gate"), event.gate, noticed=event.n) if gate else state


@on(e.ProblemTold)
def _(state: State, event: e.ProblemTold) -> State:
    others = tuple(one for one in state.problems_told if one[0] != event.key)
    return replace(state, problems_told=(*others, (event.key, state.at))[-KEPT_DECIDED:])


def with_gate(state: State, gate: GateId, **changes: Any) -> State:
    """An open gate, changed; when it is not open, nothing."""
    known = state.gates.get(gate)
    return replace(state, gates=state.gates.set(gate, replace(known, **changes))) if known else state


def remembered(state: State, gate: GateId, what: str) -> State:
    """What became of a gate, for whoever comes too late."""
    return replace(state, decided=(*state.decided, Decided(gate=gate, what=what, at=state.at))[-KEPT_DECIDED:])


def with_stuck(state: State, attempt: AttemptId, **changes: Any) -> State:
    """The cause that stands in an attempt, changed; when none stands, nothing."""
    known = state.attempts.get(attempt)
    if known is None or known.stuck is None:
        return state
    return with_attempt(state, attempt, stuck=replace(known.stuck, **changes))


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
