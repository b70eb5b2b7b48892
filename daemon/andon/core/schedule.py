"""The scheduler: who may start now, and for everyone else the reasons why not. Pure; reads State and one clock value."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

from andon.core import money, race, waivers
from andon.core.globs import may_overlap
from andon.core.queue.standing import is_sealed
from andon.core.state import Attempt, Repository, State, Task, cord_of, line_of, open_tasks, station_of
from andon.core.wanted import (
    agent_of as agent_of,
    live_attempts as live_attempts,
    next_station as next_station,
    station_wanted as station_wanted,
    wants_agent as wants_agent,
)
from andon.schema import events as e
from andon.schema.ids import Oid, TaskId, attempt_id
from andon.schema.sandbox import rank
from andon.schema.settings import Line, Station

PORT_BASE = 20_000
"""First port that is ever leased. Blocks go up from here."""


def blockers(state: State, task: Task) -> list[str]:
    """Reasons that are the task's own: dependencies, gates, cords, waits, trust, settings."""
    repo = state.repos[task.repo]
    reasons = [reason for other in task.after if (reason := dependency(state, other))]
    reasons += [*asked(task), *stopped(state, task), *untrusted(repo), *unwalled(state, repo)]
    if not repo.trunk:
        reasons.append(f"the target branch {repo.settings.target} of {repo.repo} was not read yet")
    station = station_wanted(state, task)
    if station is None:
        reasons.append(f"line {task.line} is not in the settings of {repo.repo}")
    elif station.kind == "agent":
        reasons += unknown_agent(repo, agent_of(repo, task, station))
    return reasons


def asked(task: Task) -> list[str]:
    """That a person must answer first."""
    return [f"waits for a person: gate {task.gate}"] if task.gate else []


def stopped(state: State, task: Task) -> list[str]:
    """That the line stands still."""
    cord = cord_of(state, task)
    return [f"line {task.line} is stopped by {cord.by}: {cord.because}"] if cord else []


def untrusted(repo: Repository) -> list[str]:
    """That no command may run."""
    return [] if repo.is_trusted else [f"the commands of {repo.repo} are not trusted yet: andon trust {repo.repo}"]


def unwalled(state: State, repo: Repository) -> list[str]:
    """That this machine gives weaker walls than the settings ask for."""
    wanted, best = repo.settings.sandbox.level, state.walls
    if best is None or rank(best.level) >= rank(wanted):
        return []
    return [f"walls of level {wanted} are asked for, and this machine gives {best.level}: {best.because} {best.mend}".strip()]


def unknown_agent(repo: Repository, agent: str) -> list[str]:
    """That there is no such agent now."""
    return [] if agent in repo.settings.agents else [f"agent {agent} is not in the settings of {repo.repo}"]


def dependency(state: State, other: TaskId) -> str:
    """Why a dependency is not met; empty when it is."""
    known = state.tasks.get(other) or state.past.get(other)
    if known is None:
        return f"waits for {other}, which is not known"
    if known.landed or known.outcome == "done":
        return ""
    if known.outcome and (rival := race.went_on(state, other)) is not None:
        return dependency(state, rival)
    if known.outcome:
        return f"waits for {other}, which {'was cancelled' if known.outcome == 'cancelled' else 'failed'}: retry it, or cancel this"
    return f"waits for {other}"


def busy_tasks(state: State) -> list[Task]:
    """Tasks in work: an agent at it, or a change on its way."""
    return [task for task in open_tasks(state) if task.live or (task.work is not None and not task.landed)]


def waits(state: State, task: Task, at: int, busy: Sequence[Task]) -> list[str]:
    """Reasons that pass with time: a backoff, paths that overlap with those of a busy task."""
    reasons = []
    if task.not_before > at:
        reasons.append(f"tries again in {(task.not_before - at + 999) // 1000} s")
    overlapping = overlaps(task, busy)
    until = patience(state, task)
    if overlapping and at < until:
        minutes = max(1, round((until - at) / 60_000))
        more = f" and {len(overlapping) - 5} more" if len(overlapping) > 5 else ""
        reasons.append(f"its paths overlap with {', '.join(overlapping[:5])}{more}; starts anyway in {minutes} min")
    return reasons


def overlaps(task: Task, busy: Iterable[Task]) -> list[TaskId]:
    """Busy tasks of the same repository whose paths may overlap with this one's."""
    return list(in_the_way(task, busy))


def in_the_way(task: Task, busy: Iterable[Task]) -> Iterator[TaskId]:
    """The same, one after the other."""
    if task.paths:
        for other in busy:
            if other.paths and other.task != task.task and other.repo == task.repo and may_overlap(task.paths, other.paths):
                yield other.task


def patience(state: State, task: Task) -> int:
    """Until when (unix milliseconds) overlapping paths hold the task back."""
    since = max([task.since, *(state.tasks[other].since for other in task.after if other in state.tasks)])
    return since + int(state.repos[task.repo].settings.overlap_minutes * 60_000)


def limits(state: State, task: Task, station: Station, live: Iterable[Attempt]) -> list[str]:
    """Limits on work in progress that are reached."""
    live, repo = list(live), state.repos[task.repo]
    here = [attempt for attempt in live if attempt.repo == task.repo]
    line = line_of(state, task)
    reasons = []
    if len(live) >= state.factory.wip:
        reasons.append(f"{len(live)} agents at work, the factory's limit is {state.factory.wip}")
    if len(here) >= repo.settings.wip:
        reasons.append(f"{len(here)} agents at work in {repo.repo}, its limit is {repo.settings.wip}")
    at_station = sum(1 for attempt in here if attempt.station == station.name and state.tasks[attempt.task].line == task.line)
    if station.wip and at_station >= station.wip:
        reasons.append(f"{at_station} tasks at station {station.name}, its limit is {station.wip}")
    return reasons + line_full(state, task, line)


def line_full(state: State, task: Task, line: Line | None) -> list[str]:
    """That a task before its line must wait for another to leave it."""
    if line is None or not line.wip or task.station:
        return []
    inside = sum(1 for other in open_tasks(state) if other.repo == task.repo and other.line == task.line and other.station)
    return [f"{inside} tasks on line {line.name}, its limit is {line.wip}"] if inside >= line.wip else []


def why(
    state: State, task: Task, at: int, busy: Sequence[Task] | None = None, live: Sequence[Attempt] | None = None,
) -> tuple[str, ...]:
    """Why the task does not run; empty when it runs, is being proven, or is over.

    `busy` and `live` are `busy_tasks` and `live_attempts`, for callers that ask about many tasks of one state.
    """
    if task.over:
        return ()
    attempt = state.attempts.get(task.live)
    if attempt is not None:
        return (*held(state, task, attempt), *repeats(state, task, at))
    station = station_wanted(state, task)
    if station is not None and wants_agent(state, task):
        busy = busy_tasks(state) if busy is None else busy
        live = live_attempts(state) if live is None else live
        reasons = blockers(state, task) + waits(state, task, at, busy) + limits(state, task, station, live)
        reasons += money.limits(state, task, station, at, live)
        return tuple(reasons) or ("starts next",)
    return (*standing(state, task, station), *repeats(state, task, at))


def held(state: State, task: Task, attempt: Attempt) -> list[str]:
    """What keeps a task from going on although it has its agent."""
    repo = state.repos[task.repo]
    if attempt.phase not in ("claimed", "prepared") or attempt.stop_asked:
        return asked(task)
    return [*asked(task), *untrusted(repo), *unknown_agent(repo, attempt.agent)]


def standing(state: State, task: Task, station: Station | None) -> list[str]:
    """What keeps a task that needs no agent now: one before its line, or one on its way."""
    if task.reverts and task.work is None:
        return [*asked(task), f"what takes {task.reverts} back is being made"]
    ending = [known for known in task.attempts if known in state.attempts and state.attempts[known].live]
    if ending:
        return [*asked(task), f"waits until {ending[-1]} has ended"]
    if station is None or station_of(state, task) is None:
        return blockers(state, task) + line_full(state, task, line_of(state, task))
    reasons = asked(task)
    reasons += [told] if (told := race.held(state, task)) else []
    if station.kind == "check":
        reasons += untrusted(state.repos[task.repo])
    if station.kind == "land":
        reasons += [*stopped(state, task), *untrusted(state.repos[task.repo])]
        reasons += standing_in_queue(state, task) if not reasons else []
    if station.kind == "watch" and task.landed:
        reasons += ["landed; the target is being watched"] if not reasons else []
    if task.work is None and station.kind in ("check", "land"):
        reasons.append(f"no agent has worked on it before station {station.name}")
    return reasons


def standing_in_queue(state: State, task: Task) -> list[str]:
    """What keeps it in the merge queue; nothing while it is merged or proven."""
    queue = state.repos[task.repo].queue
    if task.held:
        return [f"{task.held_by or 'somebody'} keeps it from landing: {task.held}"]
    if queue.held:
        return [f"the merge queue is stopped by {queue.held_by}: {queue.held}"]
    if not is_sealed(task):
        return []  # its evidence is being signed
    inside = [landing for landing in state.landings.values() if landing.holds(task.task)]
    if not inside:
        return ["waits for its turn in the merge queue"]
    idle = all(landing.passed and not landing.chosen for landing in inside)
    return ["it is proven, and waits until what is before it has landed"] if idle else []


def landings_with(state: State, task: Task) -> list[str]:
    """The landings under way that the task is a member of."""
    known = state.landings.values() if state.tries else ()
    return [landing.landing for landing in known if landing.holds(task.task)]


def repeats(state: State, task: Task, at: int) -> list[str]:
    """That a deed for it failed and is tried again later."""
    base = task.work.base_tree if task.work else ""
    landings = set(landings_with(state, task))
    subjects = {str(task.task), str(task.live), *landings} | {
        str(run.run) for run in state.runs.values()
        if run.task == task.task or run.landing in landings
        or (run.purpose == "baseline" and run.repo == task.repo and run.tree == base)
    } if state.tries else set()
    moments = [tries.not_before for key, tries in state.tries.items() if key.split()[0] in subjects and tries.not_before > at]
    return [f"tries again in {(min(moments) - at + 999) // 1000} s"] if moments else []


def claim(state: State, at: int) -> list[e.Event]:
    """One claim that may be made now: repositories take turns, then priority, then arrival. Empty when none."""
    live, busy = live_attempts(state), busy_tasks(state)
    if len(live) >= state.factory.wip:
        return []
    chosen: Task | None = None
    rank: tuple[int, int, int, int] | None = None
    for task in open_tasks(state):
        station = station_wanted(state, task) if wants_agent(state, task) else None
        if station is None or limits(state, task, station, live) or blockers(state, task) or waits(state, task, at, busy):
            continue
        if money.limits(state, task, station, at, live):
            continue
        here = sum(1 for attempt in live if attempt.repo == task.repo)
        order = (here, state.repos[task.repo].last_claim, -task.priority, task.added_seq)
        if rank is None or order < rank:
            chosen, rank = task, order
    return claim_events(state, chosen) if chosen else []


def claim_events(state: State, task: Task) -> list[e.Event]:
    """The lease of a task: a new attempt with a fencing token greater than any before."""
    repo, station = state.repos[task.repo], station_wanted(state, task)
    assert station is not None, "a claimed task has a station"
    number = len(task.attempts) + 1
    previous = task.previous
    resume = previous is not None and task.resume_previous
    ports, agent = repo.settings.checkout.ports, agent_of(repo, task, station)
    account, reserve = money.claim_facts(state, task, agent)
    moved = previous is not None and resume and previous.base != repo.trunk and bool(previous.tree)
    events: list[e.Event] = [] if task.station == station.name else [e.TaskEntered(task=task.task, station=station.name)]
    return [*events, e.AttemptClaimed(
        task=task.task, attempt=attempt_id(task.task, number), number=number, station=station.name, fence=state.fence + 1,
        agent=agent, account=account, reserve_usd=reserve, base=previous.base if previous and resume and not moved else repo.trunk,
        start=previous.commit if previous and resume and not moved else Oid(""), rebase=moved, port=free_port(state, ports),
        ports=ports,
    )]


def free_port(state: State, size: int) -> int:
    """The first port of a block that no attempt with a checkout holds; 0 when none is wanted."""
    if size <= 0:
        return 0
    taken = sorted((attempt.port, attempt.port + attempt.ports) for attempt in state.attempts.values()
                   if attempt.port and attempt.phase != "removed")
    port = PORT_BASE
    for first, end in taken:
        if port + size <= first:
            break
        port = max(port, end)
    return port


def next_deadline(state: State, at: int = 0) -> int:
    """The earliest moment (unix milliseconds) after `at` at which time alone changes what is decided or owed; 0 when there is none.

    A moment that has passed without bringing anything (a backoff behind a cord, a deed that is being done) is not named again.
    """
    from andon.core import gates, sessions  # it looks at leases in turn

    at = max(at, state.at)
    moments = [task.not_before for task in open_tasks(state) if not task.live]
    moments += [tries.not_before for tries in state.tries.values()]
    for attempt in live_attempts(state):
        if limited_by_time(attempt):
            moments.append(max(time_limit(state, attempt), at + 1))
    busy = busy_tasks(state)
    for task in open_tasks(state):
        if task.paths and (until := patience(state, task)) > at and wants_agent(state, task) and not blockers(state, task):
            moments += [until for _ in islice(in_the_way(task, busy), 1)]
    moments += [*money.deadlines(state, at), *race.deadlines(state, at), *sessions.deadlines(state, at), *gates.deadlines(state)]
    moments += waivers.deadlines(state, at)
    return min((moment for moment in moments if moment > at), default=0)


def limited_by_time(attempt: Attempt) -> bool:
    """Whether its time limit counts now: it runs, nothing was asked of it yet, and no person drives it."""
    return attempt.phase == "running" and not (attempt.pause_asked or attempt.stop_asked or attempt.taken)


def time_limit(state: State, attempt: Attempt) -> int:
    """When (unix milliseconds) a running attempt reaches its time limit."""
    agent = state.repos[attempt.repo].settings.agents.get(attempt.agent)
    minutes = (agent.minutes if agent else 90.0) + attempt.allowed_minutes
    return attempt.started_at + int(minutes * 60_000)
