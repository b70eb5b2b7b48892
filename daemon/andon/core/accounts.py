"""Who may not start although there is money: accounts at a limit, a strained machine, failing starts. Pure; it looks nowhere."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from andon.core.caps import spent_today
from andon.core.state import Attempt, State
from andon.core.wanted import live_attempts
from andon.schema import events as e, views as v
from andon.schema.signals import Verdict

RAMP_FROM = 2
"""Failing starts in a row from which on starts are spaced; a daemon that fell counts as so many."""
RAMP_LIMIT_S = 60.0
HEALTHY_MS = 30_000
"""A start that still lives after this long ends the ramp."""
FAILING_MS = 10_000
"""A sitting that ended badly within this of its start was a failing start."""
WITH_UNTIL = ("rate-limit", "overloaded")
"""Causes that limit an account only when the provider said until when."""
WITHOUT = ("quota", "auth")
"""Causes that limit it until somebody or a success says otherwise."""


def account_of(state: State, attempt: Attempt) -> str:
    """The provider account that an attempt belongs to."""
    agent = state.repos[attempt.repo].settings.agents.get(attempt.agent) if attempt.repo in state.repos else None
    return attempt.account or (agent.account or agent.use if agent else attempt.agent)


def limited(state: State, attempt: Attempt, verdict: Verdict, at: int) -> list[e.Event]:
    """That the account of a session is at its limit, once; a later end of the same limit is said again."""
    account = account_of(state, attempt)
    until = verdict.until if verdict.until > at else 0
    if verdict.cause not in (*WITH_UNTIL, *WITHOUT) or (verdict.cause in WITH_UNTIL and not until):
        return []
    until = 0 if verdict.cause == "auth" else until
    known = state.accounts.get(account)
    if known is not None and (not known.until or (until and until <= known.until + 1000)):
        return []
    return [e.AccountLimited(account=account, until=until, because=f"{verdict.cause} of {attempt.attempt}: {verdict.because}")]


def succeeded(state: State, attempt: Attempt) -> list[e.Event]:
    """That an account works again, shown by a turn of one of its sessions that ended well."""
    account = account_of(state, attempt)
    return [e.AccountFreed(account=account)] if account in state.accounts else []


def freed(state: State, at: int) -> list[e.Event]:
    """Accounts whose stated limit is over."""
    return [e.AccountFreed(account=name) for name, known in sorted(state.accounts.items()) if known.until and at >= known.until]


def refused(state: State, account: str) -> list[str]:
    """Why nothing of this account starts."""
    known = state.accounts.get(account)
    if known is None:
        return []
    moment = datetime.fromtimestamp(known.until / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC") if known.until else ""
    told = f"until {moment}" if moment else "until one of its turns succeeds or a person frees it"
    return [f"account {account} is at its limit {told}: {known.because}"]


def machine(state: State) -> list[str]:
    """Why the machine takes nothing new."""
    return [f"the machine takes no further agent: {state.strained}"] if state.strained else []


# --- the ramp --------------------------------------------------------------------------------------------------------


def spacing_ms(state: State) -> int:
    """How far apart starts are after failing ones; 0 when none failed, or only one (its task's own retry rules see to that)."""
    if state.failing_starts < RAMP_FROM:
        return 0
    seconds = state.factory.admission.ramp_s * 2.0 ** min(state.failing_starts - RAMP_FROM, 16)
    return int(min(seconds, RAMP_LIMIT_S) * 1000)


def healthy(state: State, at: int, live: Sequence[Attempt] | None = None) -> bool:
    """Whether the latest start, made by this daemon, has lived long enough to say that starts work."""
    latest = max(state.starts[-1] if state.starts else 0, state.started_at)
    return any(
        attempt.phase == "running" and attempt.started_at >= latest and at - attempt.started_at >= HEALTHY_MS
        for attempt in (live_attempts(state) if live is None else live)
    )


def ramp_until(state: State, at: int, live: Sequence[Attempt] | None = None) -> int:
    """The moment (unix milliseconds) from which the next attempt or sitting may start; 0 when it may now."""
    space = spacing_ms(state)
    if not space or not state.starts or healthy(state, at, live):
        return 0
    moment = state.starts[-1] + space
    return moment if moment > at else 0


def ramp(state: State, at: int, live: Sequence[Attempt] | None = None) -> list[str]:
    """Why the next start waits for the one before it to prove itself."""
    if not ramp_until(state, at, live):
        return []
    why = "the daemon comes back, or starts failed in a row, and none has lived for half a minute since"
    return [f"agents start {spacing_ms(state) / 1000:g} s apart for now: {why}"]


def deadlines(state: State, at: int) -> Iterator[int]:
    """Ends of stated limits, and the next step of the ramp."""
    yield from (known.until for known in state.accounts.values() if known.until > at)
    if until := ramp_until(state, at):
        yield until
        running = (attempt for attempt in live_attempts(state) if attempt.phase == "running")
        yield from (attempt.started_at + HEALTHY_MS for attempt in running if attempt.started_at >= state.starts[-1])


# --- what faces draw -------------------------------------------------------------------------------------------------


def views(state: State) -> list[v.AnyView]:
    """Accounts that are limited or in use, by name."""
    live: dict[str, int] = {}
    for attempt in live_attempts(state):
        account = account_of(state, attempt)
        live[account] = live.get(account, 0) + 1
    found: list[v.AnyView] = []
    for name in sorted({*live, *state.accounts}):
        known, today = state.accounts.get(name), spent_today(state, f"account:{name}", state.at)
        found.append(v.AccountView(
            account=name, limited_until=known.until if known else 0, because=known.because if known else "",
            live=live.get(name, 0), usd_today=today.usd, tokens_today=today.tokens,
        ))
    return found
