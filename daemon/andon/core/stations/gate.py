"""The gate station: asks a person when the policy says so, bound to exactly what the person is shown."""

from andon.core import approvals, asks, ladder, lights, money, review, waivers, walls
from andon.core.failure import fingerprint, packet_of, send_back
from andon.core.policy import bound_of
from andon.core.queue import steer
from andon.core.state import Gate, State, Task, station_of
from andon.schema import events as e, inputs as i
from andon.schema.settings import Station


def needed(state: State, task: Task, station: Station) -> tuple[bool, e.Risk, str]:
    """Whether a person must decide, the class of the change and the reason."""
    risk: e.Risk = "review"
    because = f"station {station.name} always asks"
    known = waivers.judged(state, task)
    if known is not None:
        risk = known.risk
        owned = f"; owned by {', '.join(known.reviewers[:8])}" if known.reviewers and risk != "ship" else ""
        because = f"{known.because}{owned}"
    weak = walls.below(state, task)
    if weak:
        because = weak if risk == "ship" else f"{because}; {weak}"
        risk = "review" if risk == "ship" else risk
    if risk == "stop":
        return True, risk, because
    shown = lights.of(state, state.repos[task.repo], task.line)
    if shown == "on":
        return True, risk, because
    if station.when == "never" or (shown == "dark" and station.when == "policy"):
        return bool(weak), risk, because
    return station.when == "always" or risk != "ship", risk, because


def passed(state: State, task: Task, station: Station) -> bool:
    """Whether nobody has to decide, or somebody approved exactly this."""
    ask, _, _ = needed(state, task, station)
    approved = bool(task.approved) and task.approved == bound_of(task) and approvals.stands(state, task)
    return not task.gate and (not ask or approved)


def advance(state: State, task: Task, station: Station, at: int) -> list[e.Event]:
    """Open the gate, or void one that asks about something that is gone."""
    gate = state.gates.get(task.gate)
    if gate is not None:
        return review.void(state, task, gate)
    _, risk, because = needed(state, task, station)
    return [review.of(state, task, risk=risk, because=because, told=walls.level_of(task))]


def answered(state: State, gate: Gate, answer: i.AnswerGate, at: int) -> list[e.Event]:
    """What a person's answer brings about. The answer was checked before."""
    if gate.kind == "review" and answer.option == "approve":
        return approvals.approved(gate, answer)
    events: list[e.Event] = [approvals.answer(gate, answer)]
    task = state.tasks[gate.task]
    if answer.option == "cancel" and gate.kind != "question":
        return [*events, *give_up(state, task, answer.because or gate.because)]
    if gate.kind == "review" and answer.option == "reject":
        packet = packet_of("a person rejected it", ("Reason", answer.because))
        return [*events, *send_back(state, task, "rejected", fingerprint("rejected", answer.because), packet, at)]
    if gate.kind == "failure" and answer.option == "retry":
        return [*events, e.TaskRetried(task=task.task, note=note(answer), by=answer.by)]
    if gate.kind == "unevaluated" and answer.option == "send-back":
        packet = packet_of("a check could not be evaluated", ("What was seen", gate.because), ("A person says", answer.because))
        return [*events, *send_back(state, task, "unevaluated", fingerprint(gate.because), packet, at)]
    if gate.kind == "budget":
        return [*events, *money.answered(state, gate, answer, at)]
    if gate.kind == "permission":
        return [*events, *asks.decided(state, gate, answer)]
    if gate.kind == "stuck":
        return [*events, *ladder.answered(state, gate, answer)]
    if gate.kind == "red" and answer.option == "revert":
        return [*events, steer.reverting(state, gate.task, answer.because or gate.because, answer.by)]
    if gate.kind == "limit":
        return [*events, *limit_answered(state, gate, answer)]
    return events


def note(answer: i.AnswerGate) -> str:
    """A person's words as a section of the packet."""
    return f"### A person says\n\n{answer.because}" if answer.because else ""


def give_up(state: State, task: Task, because: str) -> list[e.Event]:
    """The task ends as failed; a live attempt is asked to stop first."""
    events: list[e.Event] = []
    if task.live:
        events.append(e.AttemptStopAsked(attempt=task.live, because="the task was given up"))
    return [*events, e.TaskFailed(task=task.task, because=because)]


def limit_answered(state: State, gate: Gate, answer: i.AnswerGate) -> list[e.Event]:
    """More time, or the end of the attempt."""
    attempt = state.attempts.get(gate.attempt)
    if attempt is None or not attempt.live:
        return []
    if answer.option == "extend":
        agent = state.repos[attempt.repo].settings.agents.get(attempt.agent)
        minutes = agent.minutes if agent else 30.0
        return [e.AttemptResumeAsked(attempt=attempt.attempt, minutes=minutes, by=answer.by)]
    return [e.AttemptStopAsked(attempt=attempt.attempt, because="stopped by a person at its time limit", by=answer.by)]


def moot(state: State) -> list[e.Event]:
    """Open reviews that nobody has to answer any more, because a waiver covers what they ask about."""
    if not state.waivers:
        return []
    events: list[e.Event] = []
    for gate in state.gates.values():
        task = state.tasks.get(gate.task)
        station = station_of(state, task) if task else None
        if gate.kind != "review" or task is None or station is None or station.kind != "gate" or task.gate != gate.gate:
            continue
        ask, _, because = needed(state, task, station)
        if not ask:
            events.append(e.GateVoided(gate=gate.gate, because=f"nobody has to decide any more: {because}"[:600]))
    return events
