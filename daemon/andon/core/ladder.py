"""What is done about a stuck session, mildest first: a ladder for each cause, with grace, cooldown and a breaker. Pure.

Theory of operation. A verdict with a cause is recorded once while it stands. Each rung has its time, counted from the rung
before; it is taken when that time has come and nobody else is at the session (a person who took it over, a gate, words on
their way). After `breaker` rungs of one attempt everything further is a gate. Nothing here kills: a restart is a stop after a
snapshot, and the work stays.
"""

from collections import Counter
from typing import Literal, cast

from andon.core.accounts import WITH_UNTIL
from andon.core.failure import gate_id
from andon.core.messages import GO_ON, WHO, queued
from andon.core.resume import possible
from andon.core.state import Attempt, Gate, State, Stuck, Task
from andon.schema import events as e, inputs as i
from andon.schema.health import Cause, Rung
from andon.schema.settings import Step

COOLDOWN_MS = 10_000
"""Between two rungs above `wait` of one attempt, whatever their causes."""
AGAIN_S = 900.0
"""After a person said `wait`, and when a ladder has no rung left: so long until the gate asks again."""
NO_LADDER: tuple[Cause, ...] = ("", "permission", "question")
"""Causes that are gates of their own."""
FRESH: tuple[Cause, ...] = ("context", "compaction-loop")
"""Causes for which the same conversation would only stand there again."""
FALLBACK: dict[Cause, tuple[Step, ...]] = {
    "rate-limit": (Step(do="nudge", after_s=30, times=2), Step(do="gate", after_s=1800)),
    "overloaded": (Step(do="nudge", after_s=60, times=2), Step(do="gate", after_s=1800)),
    "idle-at-prompt": (Step(do="nudge", after_s=60), Step(do="gate", after_s=300)),
}
"""For causes that no rules file names, and else a gate: nobody is left alone with a session that stands still."""
GATE_ONLY = (Step(do="gate", after_s=60),)
OPTIONS: dict[Rung | str, e.Option] = {option.key: option for option in (
    e.Option(key="wait", label="Wait", consequence="Nothing is done; the question comes again when it still stands later."),
    e.Option(key="nudge", label="Nudge", consequence="It is told to go on."),
    e.Option(key="interrupt", label="Interrupt", consequence="Its turn ends, its session does not."),
    e.Option(key="restart", label="Restart", consequence="A snapshot, then it is started again in its checkout."),
    e.Option(key="stop", label="Stop it", consequence="Its work is kept in a salvage ref; the task goes back or asks again."),
    e.Option(key="cancel", label="Give it up", consequence="The task ends as failed; all work stays in its salvage refs."),
)}


# --- what stands -----------------------------------------------------------------------------------------------------


def seen(state: State, given: i.HealthSeen, at: int) -> list[e.Event]:
    """A cause began to stand, or stands no longer."""
    attempt = state.attempts.get(given.attempt)
    if attempt is None or attempt.phase != "running":
        return []
    verdict, before = given.verdict, attempt.stuck
    cause: Cause = "" if verdict.cause in NO_LADDER else verdict.cause
    events: list[e.Event] = []
    if before is not None and before.cause != cause:
        events += [e.StuckGone(attempt=attempt.attempt, cause=cause_of(before)), *void(state, attempt)]
    if cause and (before is None or before.cause != cause or verdict.until > before.until):
        events.append(e.StuckSeen(
            attempt=attempt.attempt, cause=cause, health=verdict.health, because=verdict.because[:600], rule=verdict.rule,
            source=verdict.source, evidence=tuple(line[:300] for line in verdict.evidence[:6]), until=verdict.until,
        ))
    return events


def cause_of(stuck: Stuck) -> Cause:
    """Its cause, as the word it was recorded with."""
    return cast("Cause", stuck.cause)


def void(state: State, attempt: Attempt) -> list[e.Event]:
    """The gate about a cause that went by itself."""
    gate = state.gates.get(state.tasks[attempt.task].gate)
    if gate is None or gate.kind != "stuck" or gate.attempt != attempt.attempt:
        return []
    return [e.GateVoided(gate=gate.gate, because=f"{attempt.attempt} moves again")]


# --- the next rung ---------------------------------------------------------------------------------------------------


def wanted(state: State, task: Task, attempt: Attempt, at: int) -> list[e.Event]:
    """The gate that a ladder came to, or the rung whose time has come."""
    moment = due(state, attempt)
    if moment is None or at < moment or attempt.stuck is None:
        return []
    if attempt.stuck.wants_gate:
        return [gate_of(state, task, attempt, attempt.stuck)]
    return take(state, task, attempt, attempt.stuck, next_step(state, attempt, attempt.stuck).do)


def due(state: State, attempt: Attempt) -> int | None:
    """When (unix milliseconds) something is done about what stands; None when nothing stands or somebody is at it."""
    stuck = attempt.stuck
    busy = attempt.taken or attempt.outbox or attempt.open_asks or attempt.interrupts > attempt.interrupts_done
    if stuck is None or busy or not attempt.at_work or state.tasks[attempt.task].gate:
        return None
    if stuck.wants_gate:
        return 0
    step = next_step(state, attempt, stuck)
    moment = max(stuck.since, until_of(state, attempt, stuck), stuck.last) + int(step.after_s * 1000)
    return moment if step.do in ("wait", "gate") else max(moment, attempt.rung_at + COOLDOWN_MS)


def until_of(state: State, attempt: Attempt, stuck: Stuck) -> int:
    """Until when a limit is waited for: no longer when its account was freed before."""
    account = account_of(state, attempt.repo, attempt.agent)
    freed = stuck.cause in WITH_UNTIL and account not in state.accounts and state.at < stuck.until
    return 0 if freed else stuck.until


def next_step(state: State, attempt: Attempt, stuck: Stuck) -> Step:
    """The first step that was not taken as often as it may be, and that can be taken; a gate when none is left."""
    again = Step(do="gate", after_s=AGAIN_S)
    if sum(rung != "wait" for _, rung in attempt.rungs) >= state.factory.breaker:
        return again if "gate" in stuck.taken else GATE_ONLY[0]
    cause = cause_of(stuck)
    left = Counter(rung for known, rung in attempt.rungs if known == cause)
    for step in state.factory.ladders.get(cause) or FALLBACK.get(cause) or GATE_ONLY:
        used = min(step.times, left[step.do])
        left[step.do] -= used
        if used < step.times and feasible(state, attempt, step.do):
            return step
        if used < step.times and step.do == "reassign":
            return Step(do="gate", after_s=step.after_s) if "gate" not in stuck.taken else again
    return again


def feasible(state: State, attempt: Attempt, rung: Rung) -> bool:
    """Whether a rung can be taken with this session."""
    if rung in ("nudge", "interrupt"):
        by_person = attempt.turn_trouble == "interrupted" and attempt.interrupted_by not in ("", WHO)
        return attempt.interactive and not by_person
    if rung == "restart":
        return possible(state, attempt)
    return rung != "reassign" or bool(other_agent(state, attempt))


def other_agent(state: State, attempt: Attempt) -> str:
    """The next agent of the same repository with another account; empty when there is none."""
    agents = state.repos[attempt.repo].settings.agents
    names = sorted(agents)
    here = names.index(attempt.agent) if attempt.agent in names else 0
    account = account_of(state, attempt.repo, attempt.agent)
    turned = [*names[here + 1:], *names[:here]]
    return next((name for name in turned if account_of(state, attempt.repo, name) != account), "")


def account_of(state: State, repo: str, agent: str) -> str:
    """The account of an agent: its own word, else its adapter's name."""
    known = next((found for name, found in state.repos.items() if name == repo), None)
    settings = known.settings.agents.get(agent) if known else None
    return (settings.account or settings.use) if settings else ""


# --- taking it -------------------------------------------------------------------------------------------------------


def take(state: State, task: Task, attempt: Attempt, stuck: Stuck, rung: Rung) -> list[e.Event]:
    """A rung, and what follows from it."""
    cause = cause_of(stuck)
    n = 1 + sum(known == cause for known, _ in attempt.rungs)
    taken = e.RungTaken(attempt=attempt.attempt, cause=cause, rung=rung, n=n)
    return [taken, *follows(state, task, attempt, stuck, rung)]


def follows(state: State, task: Task, attempt: Attempt, stuck: Stuck, rung: Rung) -> list[e.Event]:
    """What a rung does."""
    because = f"{stuck.cause}: {stuck.because}"[:300]
    if rung == "nudge":
        return queued(state, attempt, "nudge", f"You seem to stand still ({stuck.because[:200]}). {GO_ON}")
    if rung == "interrupt":
        return [e.InterruptAsked(attempt=attempt.attempt, n=attempt.interrupts + 1, by=WHO, because=because)]
    if rung == "restart":
        then: Literal["fresh", "restart"] = "fresh" if stuck.cause in FRESH else "restart"
        return [e.AttemptStopAsked(attempt=attempt.attempt, because=because, by=WHO, then=then)]
    if rung == "reassign":
        return reassigned(state, task, other_agent(state, attempt), "", because, WHO)
    return []


def reassigned(state: State, task: Task, agent: str, note: str, because: str, by: str) -> list[e.Event]:
    """Another agent gets the task; a live attempt is stopped, its work offered."""
    events: list[e.Event] = [e.TaskReassigned(task=task.task, agent=agent, note=note, by=by)]
    attempt = state.attempts.get(task.live)
    if attempt is None:
        return events
    told = f"given to agent {agent}: {because}" if because else f"given to agent {agent}"
    return [*events, e.AttemptStopAsked(attempt=attempt.attempt, because=told, by=by, then="reassign", note=note)]


def gate_of(state: State, task: Task, attempt: Attempt, stuck: Stuck) -> e.Event:
    """The question to a person, with the evidence."""
    keys = [key for key in OPTIONS if key not in ("nudge", "interrupt") or attempt.interactive]
    keys = [key for key in keys if key != "restart" or possible(state, attempt)]
    done = f" Done so far: {', '.join(stuck.taken)}." if [rung for rung in stuck.taken if rung != "gate"] else ""
    evidence = "; ".join(stuck.evidence[:3])
    return e.GateOpened(
        gate=gate_id(state), task=task.task, kind="stuck", options=tuple(OPTIONS[key] for key in keys),
        question=f"{attempt.attempt} is stuck ({stuck.cause}): {stuck.because}.{done} What now?",
        because=f"{stuck.because}{f' ({evidence})' if evidence else ''}"[:600], attempt=attempt.attempt, station=task.station,
    )


def answered(state: State, gate: Gate, command: i.AnswerGate) -> list[e.Event]:
    """What a person wants done about it."""
    attempt = state.attempts.get(gate.attempt)
    if attempt is None or not attempt.at_work:
        return []
    by = command.by or "somebody"
    if command.option == "nudge":
        return queued(state, attempt, "nudge", command.because or GO_ON)
    if command.option == "interrupt":
        return [e.InterruptAsked(attempt=attempt.attempt, n=attempt.interrupts + 1, by=by, because=command.because)]
    because = command.because or gate.because or "it was stuck"
    if command.option == "restart":
        return [e.AttemptStopAsked(attempt=attempt.attempt, because=because, by=by, then="restart", note=command.because)]
    if command.option == "stop":
        return [e.AttemptStopAsked(attempt=attempt.attempt, because=because, by=by)]
    return []
