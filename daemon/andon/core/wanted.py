"""Which station a task wants next, whether it wants an agent there, and who holds a lease. Pure look-ups; they decide nothing."""

from andon.core.state import Attempt, Repository, State, Task, line_of, station_of
from andon.schema.settings import Line, Station


def live_attempts(state: State) -> list[Attempt]:
    """Attempts that hold a lease, oldest first, those of cancelled tasks that are still ending among them."""
    return sorted((attempt for attempt in state.attempts.values() if attempt.live), key=lambda attempt: attempt.fence)


def next_station(line: Line, station: str) -> Station | None:
    """The station after this one; the first when the name is empty or no longer configured; None after the last."""
    names = [known.name for known in line.stations]
    index = names.index(station) + 1 if station in names else 0
    return line.stations[index] if index < len(line.stations) else None


def station_wanted(state: State, task: Task) -> Station | None:
    """The station that a waiting task wants to enter or to be served at."""
    line = line_of(state, task)
    if line is None:
        return None
    here = station_of(state, task)
    return here if here is not None else next_station(line, "")


def wants_agent(state: State, task: Task) -> bool:
    """Whether the task needs an agent now and has none; one that is still ending counts."""
    if task.live or task.work is not None or task.reverts:
        return False
    station = station_wanted(state, task)
    if station is None or station.kind != "agent":
        return False
    return not any(known in state.attempts and state.attempts[known].live for known in task.attempts)


def agent_of(repo: Repository, task: Task, station: Station) -> str:
    """The name of the agent that would work on the task."""
    return task.agent or station.agent
