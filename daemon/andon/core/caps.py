"""Caps on money and tokens: what is spent and held back under each. Pure arithmetic; it knows no price and starts nothing."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

import msgspec

from andon.core.state import Attempt, Spending, State, Task
from andon.schema.settings import AgentSettings, Settings

DAY_MS = 86_400_000
METERED = ("unmetered", "priced", "gateway", "reported")
"""How spending is known, the weakest first."""


class Cap(msgspec.Struct, frozen=True, kw_only=True):
    """One limit in force for an attempt, with what counts towards it."""

    name: str
    """As in `BudgetReached.cap`."""
    whose: str
    """Its subject, in words: `the task T3`."""
    setting: str
    """The key that says it."""
    limit: float
    """With what a person added."""
    spent: float
    held: float = 0.0
    """Reserved by live attempts and not spent yet."""
    holders: tuple[str, ...] = ()
    tokens: bool = False
    daily: bool = False

    @property
    def full(self) -> bool:
        """Nothing more may be spent."""
        return self.spent >= self.limit

    def told(self, amount: float) -> str:
        """An amount in the cap's own unit."""
        return f"{round(amount):,} tokens" if self.tokens else dollars(amount)


def dollars(amount: float) -> str:
    """US dollars, as people write them."""
    return f"${amount:,.2f}"


def day_of(at: int) -> str:
    """The UTC day of a moment (unix milliseconds): `2026-11-20`."""
    return datetime.fromtimestamp(at / 1000, UTC).strftime("%Y-%m-%d")


def scopes(state: State, attempt: Attempt) -> Iterator[str]:
    """The words under which an attempt's spending is summed up by day."""
    task = state.tasks.get(attempt.task)
    yield f"repo:{attempt.repo}"
    if task is not None:
        yield f"line:{attempt.repo}/{task.line}"
    yield f"agent:{attempt.repo}/{attempt.agent}"
    yield f"account:{attempt.account}"
    yield "factory"


def spent_today(state: State, scope: str, at: int) -> Spending:
    """What a scope spent on the UTC day of `at`."""
    return state.days.get(f"{day_of(at)} {scope}", Spending())


def plus(one: Spending, other: Spending, sign: int = 1) -> Spending:
    """Both together; with `sign` -1 what the first has more. It is only as well metered as its worse part."""
    words = [word for word in (one.metered, other.metered) if word]
    weakest = min(words, key=lambda word: METERED.index(word) if word in METERED else 0, default="")
    return Spending(
        input=one.input + sign * other.input, output=one.output + sign * other.output,
        cache_read=one.cache_read + sign * other.cache_read, cache_write=one.cache_write + sign * other.cache_write,
        usd=one.usd + sign * other.usd, requests=one.requests + sign * other.requests, metered=weakest,
    )


def task_spent(state: State, task: Task) -> Spending:
    """What all attempts of a task spent, those that are over and those that live."""
    total = task.spent
    for name in task.attempts:
        attempt = state.attempts.get(name)
        if attempt is not None and attempt.live:
            total = plus(total, attempt.spent)
    return total


def holds(attempt: Attempt) -> float:
    """What a live attempt may still spend of its reservation."""
    return max(0.0, attempt.reserve_usd + attempt.raised_usd - attempt.spent.usd)


def any_usd(state: State, settings: Settings, task: Task, agent: AgentSettings) -> bool:
    """Whether a cap on money is in force for this task and agent."""
    line, budget = settings.lines.get(task.line), settings.budget
    return bool(
        budget.usd or budget.attempt_usd or budget.day_usd or agent.usd_day or state.factory.day_usd or (line and line.usd_day)
    )


def caps(state: State, task: Task, agent: AgentSettings, at: int, live: Sequence[Attempt]) -> list[Cap]:
    """The caps in force for a task that this agent works on, but for the one of a single attempt; narrow ones first."""
    settings = state.repos[task.repo].settings
    line, budget, repo = settings.lines.get(task.line), settings.budget, task.repo
    own = [state.attempts[name] for name in task.attempts if name in state.attempts]
    found = []
    if budget.tokens:
        raised = sum(attempt.raised_tokens for attempt in own)
        found.append(Cap(
            name="tokens", whose=f"the task {task.task}", setting="budget.task.tokens", limit=budget.tokens + raised,
            spent=task_spent(state, task).tokens, tokens=True,
        ))
    if budget.usd:
        found.append(cap_of("task", f"the task {task.task}", "budget.task.usd", budget.usd, task_spent(state, task).usd, own))
    here = [attempt for attempt in live if attempt.repo == repo]
    if line is not None and line.usd_day:
        on_line = [known for known in here if (other := state.tasks.get(known.task)) is not None and other.line == task.line]
        spent = spent_today(state, f"line:{repo}/{line.name}", at).usd
        setting = f"lines.{line.name}.usd_day"
        found.append(cap_of("line", f"line {line.name} of {repo}", setting, line.usd_day, spent, on_line, True))
    if agent.usd_day:
        spent, by = spent_today(state, f"agent:{repo}/{agent.name}", at).usd, [known for known in here if known.agent == agent.name]
        found.append(cap_of(
            "agent", f"agent {agent.name} in {repo}", f"agents.{agent.name}.usd_day", agent.usd_day, spent, by, True))
    if budget.day_usd:
        spent = spent_today(state, f"repo:{repo}", at).usd
        found.append(cap_of("day", f"repository {repo}", "budget.day.usd", budget.day_usd, spent, here, True))
    if state.factory.day_usd:
        spent, whose = spent_today(state, "factory", at).usd, "the factory"
        found.append(cap_of("factory-day", whose, "factory.day_usd", state.factory.day_usd, spent, list(live), True))
    return found


def cap_of(
    name: str, whose: str, setting: str, limit: float, spent: float, under: Sequence[Attempt], daily: bool = False,
) -> Cap:
    """A cap on money with what the attempts under it hold back and were granted beyond it."""
    holders = [attempt for attempt in under if attempt.live and holds(attempt) > 0]
    return Cap(
        name=name, whose=whose, setting=setting, limit=limit + sum(attempt.raised_usd for attempt in under), spent=spent,
        held=sum(holds(attempt) for attempt in holders), holders=tuple(attempt.attempt for attempt in holders), daily=daily,
    )


def cap_of_attempt(settings: Settings, attempt: Attempt) -> Cap | None:
    """The cap of one attempt alone."""
    if not settings.budget.attempt_usd:
        return None
    return Cap(
        name="attempt", whose=f"the attempt {attempt.attempt}", setting="budget.attempt.usd",
        limit=settings.budget.attempt_usd + attempt.raised_usd, spent=attempt.spent.usd,
    )
