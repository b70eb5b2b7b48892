"""What agents spend and may spend, of which account, on a machine with how much room. Pure; knows no price list of its own.

Theory of operation. Before a start, what the attempt may need is reserved: it counts towards every cap as if it were spent,
until it is spent or the attempt is over. While it runs, what it spent so far is recorded in steps. At a cap it is asked once
to hand back what it has; when that turn is over (or time is up) its processes are suspended and a gate asks. Nothing is
killed, and nothing goes on spending.
"""

from collections.abc import Callable, Iterator, Sequence
from math import isfinite
from typing import Any

from andon.core import accounts
from andon.core.caps import DAY_MS, METERED, Cap, any_usd, cap_of_attempt, caps, dollars, task_spent
from andon.core.failure import gate_id
from andon.core.state import Attempt, Gate, Spending, State, Task
from andon.core.wanted import live_attempts, station_wanted, wants_agent
from andon.schema import events as e, inputs as i, views as v
from andon.schema.errors import Problem
from andon.schema.settings import AgentSettings, Station
from andon.schema.signals import Verdict

WHO = "budget"
"""Who sends the factory's own words about money."""
STEP_USD, STEP_TOKENS, STEP_SHARE = 0.01, 5_000, 0.01
"""Spending is recorded in steps of at least one of these: dollars, tokens, a share of a cap."""
HAND_BACK_MS = 180_000
"""So long may the turn take in which an agent hands back what it has."""
HAND_BACK = (
    "You have reached a limit of your budget: {because}. Do nothing new. Commit what you have now, then write in a few lines "
    "what is done, what is left and how to go on, and stop."
)
GO_ON = "Your budget was raised: {told}. Go on with the task where you stopped."
RAISE = e.Option(key="raise", label="Raise it", consequence="It may spend what one attempt reserves beyond what is spent now.")
STOP = e.Option(key="stop", label="Stop it", consequence="Its work is kept in a salvage ref; the task goes back or asks again.")
GIVE_UP = e.Option(key="cancel", label="Give it up", consequence="The task ends as failed; all work stays in its salvage refs.")


# --- before a start --------------------------------------------------------------------------------------------------


def limits(state: State, task: Task, station: Station, at: int, live: Sequence[Attempt] | None = None) -> list[str]:
    """Why no agent may start for this task now: a cap, an account at its limit, a strained machine.

    `live` are `live_attempts`, for callers that ask about many tasks of one state.
    """
    name = task.agent or station.agent
    agent = state.repos[task.repo].settings.agents.get(name)
    if agent is None:
        return []
    account, reserve = claim_facts(state, task, name)
    reasons = [*accounts.machine(state), *accounts.refused(state, account)]
    if not reserve and not state.repos[task.repo].settings.budget.tokens and not state.failing_starts:
        return reasons
    live = live_attempts(state) if live is None else live
    reasons += accounts.ramp(state, at, live)
    return reasons + [told for cap in caps(state, task, agent, at, live) if (told := refusal(cap, reserve))]


def refusal(cap: Cap, reserve: float) -> str:
    """Why this cap does not let an attempt with this reservation start; empty when it does."""
    need = 1.0 if cap.tokens else reserve
    if cap.spent + cap.held + need <= cap.limit + 1e-9:
        return ""
    day = " a day" if cap.daily else ""
    told = f"{cap.whose} may spend {cap.told(cap.limit)}{day}: {cap.told(cap.spent)} spent"
    if cap.held:
        told += f", {cap.told(cap.held)} held back for {', '.join(cap.holders[:5])}"
    if cap.tokens:
        return f"{told}; raise {cap.setting}"
    told += f", this attempt reserves {cap.told(reserve)}"
    if reserve > cap.limit:
        return f"{told}: it could never start; reserve less, or raise {cap.setting}"
    frees = [f"{cap.holders[0] if len(cap.holders) == 1 else 'one of them'} ends having spent less"] if cap.held else []
    frees += ["the day is over at 00:00 UTC"] if cap.daily and cap.spent else []
    return f"{told}; room comes when {' or '.join(frees)}" if frees else f"{told}; raise {cap.setting}"


def claim_facts(state: State, task: Task, agent: str) -> tuple[str, float]:
    """The account that an attempt by this agent belongs to, and what is reserved for it (US dollars).

    The agent's own `reserve_usd`, else what an attempt may spend, else the budget's `reserve_usd`, which never is more than the
    smallest cap: nothing is reserved where no cap on money is in force.
    """
    settings = state.repos[task.repo].settings
    known = settings.agents.get(agent)
    if known is None:
        return agent, 0.0
    account, budget = known.account or known.use, settings.budget
    if not any_usd(state, settings, task, known):
        return account, 0.0
    reserve = known.reserve_usd or budget.attempt_usd
    if not reserve:
        line = settings.lines.get(task.line)
        set_ = (budget.usd, budget.day_usd, known.usd_day, state.factory.day_usd, line.usd_day if line else 0.0)
        reserve = min([budget.reserve_usd, *(cap for cap in set_ if cap)])
    return account, min(reserve, budget.attempt_usd) if budget.attempt_usd else reserve


# --- what was spent --------------------------------------------------------------------------------------------------


def spent_on(state: State, task: Task) -> tuple[Spending, bool]:
    """What all attempts of a task spent so far, and whether all of it was metered."""
    total = task_spent(state, task)
    live = state.attempts.get(task.live)
    told = {total.metered, live.metered if live is not None and live.live and not live.spent.metered else ""}
    return total, "unmetered" not in told


def usage_seen(state: State, given: i.UsageSeen, at: int) -> list[e.Event]:
    """What a session has spent so far: recorded when enough of it is new, when it ended a turn, and at a cap. Sums never shrink."""
    attempt = state.attempts.get(given.attempt)
    if attempt is None or not attempt.started_at:
        return []
    known = attempt.spent
    usd = given.usd if given.metered != "unmetered" and isfinite(given.usd) else 0.0
    counted = e.UsageCounted(
        attempt=given.attempt, input=max(given.input, known.input), output=max(given.output, known.output),
        cache_read=max(given.cache_read, known.cache_read), cache_write=max(given.cache_write, known.cache_write),
        usd=max(usd, known.usd), metered=given.metered if given.metered in METERED else known.metered,
        requests=max(given.requests, known.requests),
    )
    spent = Spending(**{name: getattr(counted, name) for name in Spending.__struct_fields__})
    return [counted] if spent != known and worth_recording(state, attempt, spent, at) else []


def worth_recording(state: State, attempt: Attempt, spent: Spending, at: int) -> bool:
    """Whether so much is new that the ledger should have it."""
    turn_over = attempt.turn > attempt.looked or bool(attempt.finish_asked) or attempt.phase != "running"
    known, budget = attempt.spent, state.repos[attempt.repo].settings.budget
    usd, tokens = spent.usd - known.usd, spent.tokens - known.tokens
    if turn_over or spent.metered != known.metered or usd >= STEP_USD or tokens >= STEP_TOKENS:
        return True
    shares = [usd >= STEP_SHARE * cap > 0 for cap in (budget.attempt_usd, budget.usd)]
    if any(shares) or tokens >= STEP_SHARE * budget.tokens > 0:
        return True
    task = state.tasks.get(attempt.task)
    return task is not None and any(
        (tokens if cap.tokens else usd) + cap.spent >= cap.limit for cap in in_force(state, task, attempt, at)
    )


def in_force(state: State, task: Task, attempt: Attempt, at: int) -> list[Cap]:
    """The caps that a running attempt counts towards, its own first."""
    settings = state.repos[attempt.repo].settings
    agent = settings.agents.get(attempt.agent, AgentSettings(name=attempt.agent))
    if not settings.budget.tokens and not any_usd(state, settings, task, agent):
        return []
    own = cap_of_attempt(settings, attempt)
    return [*([own] if own else []), *caps(state, task, agent, at, live_attempts(state))]


# --- at a cap --------------------------------------------------------------------------------------------------------


def asks(state: State, task: Task, at: int) -> list[e.Event]:
    """The gate of an attempt that reached a cap and has handed back what it has, and the steps to it."""
    attempt, gate = state.attempts.get(task.live), state.gates.get(task.gate)
    if gate is not None and gate.kind == "budget" and (because := void(state, task, gate, at)):
        return [e.GateVoided(gate=gate.gate, because=because)]
    if attempt is None:
        return standing(state, task, at)
    if attempt.phase != "running" or attempt.stop_asked or attempt.finish_asked or attempt.taken:
        return []
    if attempt.budget_hit:
        return at_the_cap(state, task, attempt, at)
    full = [] if attempt.pause_asked else [cap for cap in in_force(state, task, attempt, at) if cap.full]
    return reached(state, task, attempt, full[0]) if full else []


def void(state: State, task: Task, gate: Gate, at: int) -> str:
    """Why the question of a gate about money is none any more; empty while it is one."""
    if any(option.key == "stop" for option in gate.options):
        attempt = state.attempts.get(gate.attempt)
        gone = attempt is None or attempt.phase != "running"
        return f"{gate.attempt} has ended" if gone else ""
    return "" if blocked(state, task, at) else "its budget has room again"


def reached(state: State, task: Task, attempt: Attempt, cap: Cap) -> list[e.Event]:
    """A cap, once: who can be spoken to is asked to hand back what it has; others are paused at once."""
    day = " today" if cap.daily else ""
    because = f"{cap.whose} has spent {cap.told(cap.spent)}{day}, its limit is {cap.told(cap.limit)}"
    hit = e.BudgetReached(attempt=attempt.attempt, cap=cap.name, because=because)
    if not attempt.interactive:
        return [hit, *paused(state, task, attempt, because)]
    return [hit, e.MessageQueued(
        attempt=attempt.attempt, message=f"M{state.message_count + 1}", kind="hand-back", text=HAND_BACK.format(because=because),
        by=WHO,
    )]


def at_the_cap(state: State, task: Task, attempt: Attempt, at: int) -> list[e.Event]:
    """The pause, once it has handed back or had its time for it; then the gate, as soon as no other is open."""
    because = f"{attempt.attempt} has spent {dollars(attempt.spent.usd)} and {attempt.spent.tokens:,} tokens, and is at its limit"
    if attempt.pause_asked:
        return [] if task.gate else [question(state, task, attempt, because)]
    waits = any(message.kind == "hand-back" for message in attempt.outbox)
    handed = attempt.turn > attempt.budget_turn and not waits
    if not (handed or not attempt.interactive or at >= attempt.budget_at + HAND_BACK_MS):
        return []
    return paused(state, task, attempt, because)


def paused(state: State, task: Task, attempt: Attempt, because: str) -> list[e.Event]:
    """Its processes are suspended, and a person is asked."""
    pause = e.AttemptPauseAsked(attempt=attempt.attempt, because=because)
    return [pause] if task.gate else [pause, question(state, task, attempt, because)]


def question(state: State, task: Task, attempt: Attempt, because: str) -> e.GateOpened:
    """The gate of an attempt at a cap."""
    return e.GateOpened(
        gate=gate_id(state), task=task.task, kind="budget", question=f"{because}. Let it spend more?", options=(RAISE, STOP),
        because=because, attempt=attempt.attempt, station=task.station,
    )


# --- a task that can spend no more -----------------------------------------------------------------------------------


def blocked(state: State, task: Task, at: int) -> Cap | None:
    """The task's own cap, when nothing but a person can make room under it for another attempt."""
    budget = state.repos[task.repo].settings.budget
    if not (budget.usd or budget.tokens) or task.over or not task.attempts or not wants_agent(state, task):
        return None
    station = station_wanted(state, task)
    name = task.agent or (station.agent if station else "")
    agent = state.repos[task.repo].settings.agents.get(name)
    if agent is None:
        return None
    reserve = claim_facts(state, task, name)[1]
    own = (cap for cap in caps(state, task, agent, at, ()) if cap.name in ("task", "tokens"))
    return next((cap for cap in own if cap.spent and refusal(cap, reserve)), None)


def standing(state: State, task: Task, at: int) -> list[e.Event]:
    """The gate of a task whose cap leaves no room for another attempt: it would wait for ever without a word."""
    cap = None if task.gate else blocked(state, task, at)
    if cap is None:
        return []
    last = state.attempts.get(task.attempts[-1])
    because = refusal(cap, claim_facts(state, task, last.agent if last else task.agent)[1])
    return [e.GateOpened(
        gate=gate_id(state), task=task.task, kind="budget", question=f"{because}. Let it spend more?",
        options=(RAISE, GIVE_UP) if last else (GIVE_UP,), because=because, attempt=task.attempts[-1], station=task.station,
    )]


def answered(state: State, gate: Gate, answer: i.AnswerGate, at: int) -> list[e.Event]:
    """What the answer to a gate of kind `budget` brings about, beside that it was answered (and beside `cancel`)."""
    attempt, task = state.attempts.get(gate.attempt), state.tasks.get(gate.task)
    if attempt is None or task is None:
        return []
    if answer.option == "stop" and attempt.live:
        return [e.AttemptStopAsked(attempt=attempt.attempt, because="stopped by a person at its budget", by=answer.by)]
    if answer.option != "raise":
        return []
    usd, tokens = grant(state, task, attempt, at)
    raised = e.BudgetRaised(attempt=attempt.attempt, usd=usd, tokens=tokens, by=answer.by)
    if attempt.phase != "running":
        return [raised]
    told = f"{dollars(usd)} more" if usd else f"{tokens:,} tokens more"
    events: list[e.Event] = [raised, e.AttemptResumeAsked(attempt=attempt.attempt, minutes=0, by=answer.by)]
    if attempt.interactive:
        text = GO_ON.format(told=told) + (f" {answer.because}" if answer.because else "")
        events.append(e.MessageQueued(
            attempt=attempt.attempt, message=f"M{state.message_count + 1}", kind="send", text=text, by=answer.by))
    return events


def grant(state: State, task: Task, attempt: Attempt, at: int) -> tuple[float, int]:
    """What a raise is worth: one reservation beyond what is spent, under whichever cap is exceeded most."""
    reserve = attempt.reserve_usd or claim_facts(state, task, attempt.agent)[1]
    running = attempt.phase == "running"
    usd, tokens = 0.0, 0
    for cap in in_force(state, task, attempt, at):
        need = 0.0 if running else (1.0 if cap.tokens else reserve)
        if not cap.full and cap.spent + need <= cap.limit:
            continue
        over = max(0.0, cap.spent - cap.limit)
        if cap.tokens:
            tokens = max(tokens, int(over) + max(int(cap.limit) // 4, 1_000))
        else:
            usd = max(usd, round(over + (reserve or max(cap.limit / 4, 0.01)), 6))
    return (usd, tokens) if usd or tokens else (reserve, 0)


# --- accounts, machine and time --------------------------------------------------------------------------------------


def limited(state: State, attempt: Attempt, verdict: Verdict, at: int) -> list[e.Event]:
    """That the account of a session is at a limit, when its verdict says so. Nothing of it starts until then; others go on."""
    return accounts.limited(state, attempt, verdict, at)


def succeeded(state: State, attempt: Attempt) -> list[e.Event]:
    """That the account of a session works again: one of its turns ended well."""
    return accounts.succeeded(state, attempt)


def free(state: State, given: i.FreeAccount, at: int) -> list[e.Event]:
    """A person says that a limit is over."""
    return [e.AccountFreed(account=given.account)] if given.account in state.accounts else []


def refuse_free(state: State, given: i.FreeAccount) -> Problem | None:
    """Only an account at a limit can be freed."""
    if given.account in state.accounts:
        return None
    known = ", ".join(sorted(state.accounts)) or "none"
    return Problem(what=f"account {given.account} is at no limit", mend=f"at a limit now: {known}")


def machine_seen(state: State, given: i.MachineSeen, at: int) -> list[e.Event]:
    """Strain and its end, once each; other figures of the same strain say nothing new."""
    if not given.because:
        return [e.MachineEased()] if state.strained else []
    same = state.strained.partition(" ")[0] == given.because.partition(" ")[0]
    return [] if same else [e.MachineStrained(because=given.because)]


def ticked(state: State, at: int) -> list[e.Event]:
    """Limits of accounts that are over."""
    return accounts.freed(state, at)


def deadlines(state: State, at: int) -> Iterator[int]:
    """Moments after `at` (unix milliseconds) at which time alone changes what is decided here."""
    yield from accounts.deadlines(state, at)
    for attempt in state.attempts.values():
        if attempt.budget_hit and attempt.phase == "running" and not attempt.pause_asked:
            yield attempt.budget_at + HAND_BACK_MS
    midnight = (at // DAY_MS + 1) * DAY_MS
    if any(cap_by_day(state, task, at) for name in state.open if wants_agent(state, task := state.tasks[name])):
        yield midnight


def cap_by_day(state: State, task: Task, at: int) -> bool:
    """Whether a cap of the day, of which something is spent, is in force for a task: midnight may let it start."""
    if not state.days:
        return False
    station = station_wanted(state, task)
    agent = state.repos[task.repo].settings.agents.get(task.agent or (station.agent if station else ""))
    return agent is not None and any(cap.daily and cap.spent for cap in caps(state, task, agent, at, ()))


def account_views(state: State) -> list[v.AnyView]:
    """Accounts that are limited or in use."""
    return accounts.views(state)


Handler = Callable[[State, Any, int], list[e.Event]]
HANDLERS: dict[type, Handler] = {i.UsageSeen: usage_seen, i.FreeAccount: free, i.MachineSeen: machine_seen}
CHECKS: dict[type, Callable[[State, Any], Problem | None]] = {i.FreeAccount: refuse_free}
