"""What events about running sessions change."""

from typing import Any

from andon.core import refusals
from andon.core.folds.gates import with_stuck
from andon.core.folds.table import forget, on, replace, with_attempt
from andon.core.state import KEPT_ASKS, KEPT_CLAIMS, KEPT_KEYS, KEPT_RUNGS, Ask, Attempt, Message, State, Stuck, Tries
from andon.schema import events as e
from andon.schema.ids import AttemptId


@on(e.SessionKnown)
def _(state: State, event: e.SessionKnown) -> State:
    told = {"conversation": event.conversation, "channel": event.channel, "metered": event.metered}
    known = {name: value for name, value in told.items() if value}
    return with_attempt(state, event.attempt, interactive=event.interactive, **known)


@on(e.AccessRefused)
def _(state: State, event: e.AccessRefused) -> State:
    return refusals.folded(state, event)


# --- asks ------------------------------------------------------------------------------------------------------------


@on(e.PermissionAsked)
def _(state: State, event: e.PermissionAsked) -> State:
    return with_ask(state, event.attempt, Ask(
        ask=event.ask, tool=event.tool, deed=event.deed, target=event.target, paths=event.paths, by_keys=event.by_keys,
        at=state.at,
    ))


@on(e.QuestionSeen)
def _(state: State, event: e.QuestionSeen) -> State:
    state = with_ask(state, event.attempt, Ask(
        ask=event.ask, text=event.text, options=event.options, by_message=event.by_message, at=state.at,
    ))
    known = state.attempts.get(event.attempt)
    return with_attempt(state, event.attempt, settled=known.looked) if known and event.by_message else state


def with_ask(state: State, attempt: AttemptId, ask: Ask) -> State:
    """The attempt with one more open ask."""
    known = state.attempts.get(attempt)
    return with_attempt(state, attempt, open_asks=(*known.open_asks, ask)) if known else state


@on(e.PermissionDecided)
def _(state: State, event: e.PermissionDecided) -> State:
    known = state.attempts.get(event.attempt)
    if known is None:
        return state
    answer = "" if event.allow else event.because
    asks = tuple(
        replace(ask, decided=True, allow=event.allow, answer=answer) if ask.ask == event.ask else ask for ask in known.open_asks
    )
    return with_attempt(state, event.attempt, open_asks=asks)


@on(e.PermissionSettled)
def _(state: State, event: e.PermissionSettled) -> State:
    known = state.attempts.get(event.attempt)
    if known is None:
        return state
    over = [ask for ask in known.open_asks if ask.ask == event.ask]
    told = known.told_asks
    if any(ask.decided and not ask.by_keys for ask in over):
        told = (*told, event.ask)[-KEPT_ASKS:]
    asks = tuple(ask for ask in known.open_asks if ask.ask != event.ask)
    return with_attempt(forget(state, event.attempt, "answer-ask"), event.attempt, open_asks=asks, told_asks=told)


# --- messages and interrupts -----------------------------------------------------------------------------------------


@on(e.MessageQueued)
def _(state: State, event: e.MessageQueued) -> State:
    known = state.attempts.get(event.attempt)
    state = replace(state, message_count=state.message_count + 1)
    if known is None:
        return state
    message = Message(message=event.message, kind=event.kind, text=event.text, by=event.by, at=state.at)
    changes: dict[str, Any] = {"outbox": (*known.outbox, message)}
    if event.key:
        changes["sent_keys"] = (*known.sent_keys, event.key)[-KEPT_KEYS:]
    if event.kind in ("send", "answer"):
        changes["nudged"] = 0
    if event.kind in ("nudge", "divergence") and known.looked > known.settled:
        changes["nudged"] = known.nudged + 1
    if event.kind == "divergence":
        changes["diverged"] = True
    # what follows is for the turn that these words begin: a look that is still owed for the one before settles nothing more
    return with_attempt(state, event.attempt, settled=known.turn, **changes)


@on(e.MessageGiven)
def _(state: State, event: e.MessageGiven) -> State:
    known = state.attempts.get(event.attempt)
    if known is None:
        return state
    state = forget(state, event.attempt, "deliver-message")
    return with_attempt(state, event.attempt, outbox=tuple(
        replace(message, sent_at=state.at) if message.message == event.message else message for message in known.outbox
    ))


@on(e.MessageDelivered)
def _(state: State, event: e.MessageDelivered) -> State:
    return without_message(state, event.attempt, event.message)


@on(e.MessageReturned)
def _(state: State, event: e.MessageReturned) -> State:
    return without_message(state, event.attempt, event.message)


def without_message(state: State, attempt: AttemptId, message: str) -> State:
    """The attempt no longer owes these words."""
    known = state.attempts.get(attempt)
    if known is None:
        return state
    outbox = tuple(one for one in known.outbox if one.message != message)
    return with_attempt(forget(state, attempt, "deliver-message"), attempt, outbox=outbox)


@on(e.InterruptAsked)
def _(state: State, event: e.InterruptAsked) -> State:
    return with_attempt(state, event.attempt, interrupts=event.n, interrupted_by=event.by)


@on(e.InterruptDone)
def _(state: State, event: e.InterruptDone) -> State:
    return with_attempt(forget(state, event.attempt, "interrupt-turn"), event.attempt, interrupts_done=event.n)


# --- turns and sittings ----------------------------------------------------------------------------------------------


@on(e.TurnSeen)
def _(state: State, event: e.TurnSeen) -> State:
    known = state.attempts.get(event.attempt)
    if known is None:
        return state
    return with_attempt(
        state, event.attempt, turns=event.n - known.turns_before, turn_text=event.text, turn_trouble=event.trouble,
    )


@on(e.WorkLooked)
def _(state: State, event: e.WorkLooked) -> State:
    state = forget(state, event.attempt, "look-at-work")
    return with_attempt(state, event.attempt, looked=event.n, committed=event.committed, dirty=event.dirty)


@on(e.ClaimContradicted)
def _(state: State, event: e.ClaimContradicted) -> State:
    known = state.attempts.get(event.attempt)
    if known is None:
        return state
    told, found = (*known.contradicted, event.asserted)[-KEPT_CLAIMS:], (*known.observed, event.observed)[-KEPT_CLAIMS:]
    return with_attempt(state, event.attempt, contradicted=told, observed=found)


@on(e.FinishAsked)
def _(state: State, event: e.FinishAsked) -> State:
    return with_attempt(state, event.attempt, finish_asked=event.because, finish_done=False)


@on(e.FinishTold)
def _(state: State, event: e.FinishTold) -> State:
    return with_attempt(forget(state, event.attempt, "end-session"), event.attempt, finish_done=True)


@on(e.SessionTaken)
def _(state: State, event: e.SessionTaken) -> State:
    return with_attempt(state, event.attempt, taken=event.by)


@on(e.SessionGivenBack)
def _(state: State, event: e.SessionGivenBack) -> State:
    return with_attempt(state, event.attempt, taken="")


@on(e.SessionResumed)
def _(state: State, event: e.SessionResumed) -> State:
    known = state.attempts.get(event.attempt)
    if known is None:
        return state
    state = forget(state, event.attempt)
    if event.not_before > state.at:  # the start waits as one that is tried again does, and says so in the same words
        waits = Tries(tries=0, not_before=event.not_before)
        state = replace(state, tries=state.tries.set(f"{event.attempt} start-session", waits))
    fresh = Attempt(
        attempt=known.attempt, task=known.task, repo=known.repo, number=known.number, station=known.station, fence=known.fence,
        agent=known.agent, base=known.base, start=known.start, port=known.port, ports=known.ports, claimed_at=known.claimed_at,
    )
    kept = {name: getattr(known, name) for name in KEPT_OVER_SITTINGS}
    resumed = replace(
        fresh, **kept, phase="prepared", sitting=event.sitting, resume=event.conversation, resume_note=event.note,
        not_before=event.not_before, turns_before=known.turn, looked=known.turn, settled=known.turn,
        interrupts_done=known.interrupts, spent_before=known.spent,
        allowed_minutes=known.allowed_minutes - known.worked_s / 60,
    )
    return replace(state, attempts=state.attempts.set(event.attempt, resumed))


KEPT_OVER_SITTINGS = (
    "path", "isolation", "says", "salvage", "salvage_oid", "conversation", "channel", "interactive", "metered", "sent_keys",
    "interrupts", "rungs", "rung_at", "contradicted", "observed", "diverged", "account", "reserve_usd", "spent", "budget_hit",
    "budget_at", "raised_usd", "raised_tokens", "walls",
)
"""What an attempt keeps when it is started again in its checkout; all else is as in a new one."""


# --- stuck -----------------------------------------------------------------------------------------------------------


@on(e.StuckSeen)
def _(state: State, event: e.StuckSeen) -> State:
    known = state.attempts.get(event.attempt)
    if known is None:
        return state
    before = known.stuck
    if before is not None and before.cause == event.cause:
        return with_stuck(state, event.attempt, until=event.until, because=event.because, evidence=event.evidence)
    stuck = Stuck(
        cause=event.cause, health=event.health, because=event.because, since=state.at, until=event.until, evidence=event.evidence,
        rule=event.rule, source=event.source,
    )
    return with_attempt(state, event.attempt, stuck=stuck)


@on(e.StuckGone)
def _(state: State, event: e.StuckGone) -> State:
    return with_attempt(state, event.attempt, stuck=None)


@on(e.RungTaken)
def _(state: State, event: e.RungTaken) -> State:
    known = state.attempts.get(event.attempt)
    if known is None:
        return state
    changes: dict[str, Any] = {"rungs": (*known.rungs, (event.cause, event.rung))[-KEPT_RUNGS:]}
    if event.rung != "wait":
        changes["rung_at"] = state.at
    state = with_attempt(state, event.attempt, **changes)
    if known.stuck is None:
        return state
    taken = (*known.stuck.taken, event.rung)[-KEPT_RUNGS:]
    return with_stuck(state, event.attempt, last=state.at, taken=taken, wants_gate=event.rung == "gate")
