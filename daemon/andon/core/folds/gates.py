"""What questions to a person and their answers change."""

from andon.core.folds.table import forget, on, replace, with_attempt, with_task
from andon.core.state import Gate, State
from andon.schema import events as e
from andon.schema.ids import GateId


@on(e.GateOpened)
def _(state: State, event: e.GateOpened) -> State:
    gate = Gate(
        gate=event.gate, task=event.task, kind=event.kind, question=event.question, options=event.options,
        recommendation=event.recommendation, because=event.because, risk=event.risk, attempt=event.attempt, n=event.n,
        commit=event.commit, bound=event.bound, station=event.station, opened_at=state.at, ask=event.ask,
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
