"""What events about spending, accounts, the machine and races change."""

from collections.abc import Callable
from typing import Any

from andon.core.accounts import FAILING_MS, HEALTHY_MS, RAMP_FROM, RAMP_LIMIT_S, account_of, healthy, ramp_until
from andon.core.caps import day_of, plus, scopes
from andon.core.folds import attempts, sessions
from andon.core.folds.table import HANDLERS, Handler, on, replace, with_attempt, with_task, without
from andon.core.state import Account, Attempt, Spending, State
from andon.schema import events as e

KEPT_STARTS = 8
DAY_MS = 86_400_000
RAMP_LIMIT_MS = int(RAMP_LIMIT_S * 1000)
FIRST = (attempts, sessions)
"""The modules whose entries stand in the table before this one adds to them."""
Beside = Callable[[State, State, Any], State]


def both(own: Handler, more: Beside) -> Handler:
    """An event's own handler, and what comes beside it."""
    return lambda state, event: more(state, own(state, event), event)


def beside(*kinds: type) -> Callable[[Beside], Beside]:
    """Enter what events of these kinds change beside what their own module says. It is given the state before and after that."""

    def enter(handler: Beside) -> Beside:
        for kind in kinds:
            HANDLERS[kind] = both(HANDLERS.get(kind, lambda state, event: state), handler)
        return handler

    return enter


# --- spending --------------------------------------------------------------------------------------------------------


@on(e.UsageCounted)
def _(state: State, event: e.UsageCounted) -> State:
    known = state.attempts.get(event.attempt)
    if known is None:
        return state
    spent = Spending(
        input=event.input, output=event.output, cache_read=event.cache_read, cache_write=event.cache_write, usd=event.usd,
        metered=event.metered, requests=event.requests,
    )
    more = replace(plus(spent, known.spent, -1), metered=event.metered)
    state = by_day(with_attempt(state, event.attempt, spent=spent), known, more)
    task = state.tasks.get(known.task)
    return state if known.live or task is None else with_task(state, known.task, spent=plus(task.spent, more))


def by_day(state: State, attempt: Attempt, more: Spending) -> State:
    """The sums of the day with this on top; those of days before yesterday are forgotten."""
    today, before = day_of(state.at), day_of(state.at - DAY_MS)
    days = state.days
    for key in [key for key in days if key[:10] not in (today, before)]:
        days = days.delete(key)
    for scope in scopes(state, replace(attempt, account=account_of(state, attempt))):
        key = f"{today} {scope}"
        days = days.set(key, plus(days.get(key, Spending()), more))
    return replace(state, days=days)


@beside(e.AttemptAccepted, e.AttemptFailed)
def _(before: State, state: State, event: e.AttemptAccepted | e.AttemptFailed) -> State:
    known = before.attempts.get(event.attempt)
    task = state.tasks.get(known.task) if known else None
    if known is None or task is None or not known.live:
        return state
    metered = known.spent.metered or known.metered or ("unmetered" if known.started_at else "")
    return with_task(state, known.task, spent=plus(task.spent, replace(known.spent, metered=metered)))


@beside(e.SessionResumed)
def _(before: State, state: State, event: e.SessionResumed) -> State:
    known = before.attempts.get(event.attempt)
    if event.not_before <= max(ramp_until(before, state.at), state.at) + RAMP_LIMIT_MS:  # later ones wait for an account
        state = started(before, state, event.not_before)
    return with_attempt(state, event.attempt, spent_before=known.spent) if known else state


# --- caps ------------------------------------------------------------------------------------------------------------


@on(e.BudgetReached)
def _(state: State, event: e.BudgetReached) -> State:
    known = state.attempts.get(event.attempt)
    turn = known.turn if known else 0
    return with_attempt(state, event.attempt, budget_hit=event.cap, budget_at=state.at, budget_turn=turn)


@on(e.BudgetRaised)
def _(state: State, event: e.BudgetRaised) -> State:
    known = state.attempts.get(event.attempt)
    if known is None:
        return state
    return with_attempt(
        state, event.attempt, budget_hit="", budget_at=0, raised_usd=known.raised_usd + event.usd,
        raised_tokens=known.raised_tokens + event.tokens,
    )


@beside(e.MessageDelivered, e.MessageReturned)
def _(before: State, state: State, event: e.MessageDelivered | e.MessageReturned) -> State:
    known = before.attempts.get(event.attempt)
    if known is None or not known.budget_hit:
        return state
    if not any(message.message == event.message and message.kind == "hand-back" for message in known.outbox):
        return state
    # the turn that is under way when the request arrives is the one that hands back; what was refused is not waited for
    turn = known.turn if isinstance(event, e.MessageDelivered) else -1
    return with_attempt(state, event.attempt, budget_turn=turn)


@on(e.RaceDecided)
def _(state: State, event: e.RaceDecided) -> State:
    for name in state.open:
        if state.tasks[name].race == event.race and name != event.task:
            state = with_task(state, name, race="")  # retried later, it is an ordinary task
    return state


# --- accounts, machine, starts ---------------------------------------------------------------------------------------


@on(e.AccountLimited)
def _(state: State, event: e.AccountLimited) -> State:
    account = Account(account=event.account, until=event.until, because=event.because, since=state.at)
    return replace(state, accounts=state.accounts.set(event.account, account))


@on(e.AccountFreed)
def _(state: State, event: e.AccountFreed) -> State:
    return replace(state, accounts=without(state.accounts, event.account))


@on(e.MachineStrained)
def _(state: State, event: e.MachineStrained) -> State:
    return replace(state, strained=event.because)


@on(e.MachineEased)
def _(state: State, event: e.MachineEased) -> State:
    return replace(state, strained="")


@beside(e.AttemptClaimed)
def _(before: State, state: State, event: e.AttemptClaimed) -> State:
    return started(before, state)


def started(before: State, state: State, moment: int = 0) -> State:
    """One more start, now or at a moment to come; failing ones before it are forgotten when the latest has proven itself."""
    failing = 0 if healthy(before, state.at) else state.failing_starts
    latest = max(state.at, moment, *state.starts[-1:])
    return replace(state, starts=(*state.starts, latest)[-KEPT_STARTS:], failing_starts=failing)


@beside(e.AttemptExited, e.AttemptLost)
def _(before: State, state: State, event: e.AttemptExited | e.AttemptLost) -> State:
    known = before.attempts.get(event.attempt)
    if known is None or known.phase != "running" or known.stop_asked or known.finish_asked:
        return state
    lived, exited = state.at - known.started_at, isinstance(event, e.AttemptExited)
    well = isinstance(event, e.AttemptExited) and event.because == "exit" and event.code == 0
    if known.started_at >= state.started_at and (well or (exited and lived >= HEALTHY_MS)):
        return replace(state, failing_starts=0)
    return replace(state, failing_starts=state.failing_starts + 1) if lived < FAILING_MS else state


@beside(e.FactoryStarted)
def _(before: State, state: State, event: e.FactoryStarted) -> State:
    # a daemon that leaves says so and forgets its starts: known ones mean that the last one fell
    return replace(state, failing_starts=max(state.failing_starts + 1, RAMP_FROM)) if state.starts else state


@beside(e.FactoryStopped)
def _(before: State, state: State, event: e.FactoryStopped) -> State:
    return replace(state, starts=(), failing_starts=0)
