"""Several agents on one task: each gets a task of its own, and the better-proven change goes on. Pure.

Theory of operation. The tasks of a race bear the same word, the id of the first. A racer that has passed its last check waits
there until every rival is proven too, has failed, is over, or has stood still so long that nobody waits for it any longer. Then one
goes on and the others are cancelled; their work stays in salvage refs. A decided loser leaves the race, so what a person
retries later is an ordinary task again. A race whose racers all fail ends as each of them fails.
"""

from collections.abc import Iterator

from andon.core.caps import dollars
from andon.core.money import spent_on
from andon.core.state import State, Task, line_of, station_of
from andon.core.stations import check
from andon.schema import events as e, inputs as i
from andon.schema.errors import Problem
from andon.schema.ids import TaskId, task_id
from andon.schema.sentences import plural
from andon.schema.settings import Line

WHO = "race"
RACERS = 8
"""Agents of one race at most."""
AT_GATE_MS, NOT_STARTED_MS = 600_000, 3_600_000
"""So long do proven racers wait for one that stands at a person's gate, and for one that got no agent."""


def added(state: State, command: i.AddTask, at: int) -> list[e.Event]:
    """One task for each agent of `command.race`. The same idempotency key never adds twice."""
    if command.key and command.key in state.keys:
        return []
    first = task_id(state.task_count + 1)
    return [
        e.TaskAdded(
            task=task_id(state.task_count + 1 + n), repo=command.repo, title=f"{command.title} [{agent}]", spec=command.spec,
            line=command.line, after=command.after, paths=command.paths, priority=command.priority, agent=agent, race=first,
            may_remove_tests=command.may_remove_tests, key="" if n else command.key, by=command.by,
        )
        for n, agent in enumerate(command.race)
    ]


def refuse(state: State, command: i.AddTask) -> Problem | None:
    """Two to eight different agents, each of them known. The repository was checked before."""
    agents = state.repos[command.repo].settings.agents
    if not command.race:
        return None
    if command.agent:
        what = f"a race names its agents itself, and agent {command.agent} is named beside it"
        return Problem(what=what, mend="leave out the one or the other")
    if not 2 <= len(set(command.race)) == len(command.race) <= RACERS:
        return Problem(what=f"a race is between 2 and {RACERS} different agents", mend=f"known here: {', '.join(sorted(agents))}")
    unknown = [agent for agent in command.race if agent not in agents]
    if unknown:
        return Problem(what=f"{command.repo} has no agent {unknown[0]}", mend=f"known here: {', '.join(sorted(agents)) or 'none'}")
    return None


# --- where the racers are --------------------------------------------------------------------------------------------


def racers_of(state: State, race: str) -> list[Task]:
    """The tasks that bear this word, in order of arrival: they were added together, so their numbers follow on the first one's."""
    first = int(race[1:]) if race[1:].isdecimal() else 0
    found = (state.tasks.get(task_id(first + n)) for n in range(RACERS if first else 0))
    return [task for task in found if task is not None and task.race == race]


def rivals(state: State, task: Task) -> list[Task]:
    """The other open tasks of the same race, in order of arrival."""
    others = racers_of(state, task.race) if task.race else []
    return [other for other in others if not other.over and other.task != task.task]


def last_of_proof(line: Line) -> str:
    """The last check station of a line, else its last agent station: where a racer is as proven as it will be."""
    for kind in ("check", "agent"):
        names = [station.name for station in line.stations if station.kind == kind]
        if names:
            return names[-1]
    return ""


def proven(state: State, task: Task) -> bool:
    """Whether a racer has passed its last check, or is beyond it."""
    line, here = line_of(state, task), station_of(state, task)
    if line is None or here is None or task.live or task.work is None:
        return False
    names = [station.name for station in line.stations]
    last = last_of_proof(line)
    if here.name == last:
        return here.kind != "check" or check.passed(state, task, here)
    return last in names and names.index(here.name) > names.index(last)


def waits_for(state: State, task: Task, at: int) -> bool:
    """Whether proven racers wait for this open one."""
    if proven(state, task):
        return False
    gate = state.gates.get(task.gate)
    if gate is not None:
        return gate.kind != "failure" and at < gate.opened_at + AT_GATE_MS
    return bool(task.live or task.work) or at < task.since + NOT_STARTED_MS


def held(state: State, task: Task) -> str:
    """Why a proven racer does not go on yet; empty when nothing holds it."""
    others = rivals(state, task)
    line = line_of(state, task) if others else None
    if line is None or task.station != last_of_proof(line) or not proven(state, task):
        return ""
    waited = [other for other in others if waits_for(state, other, state.at)] or others
    return f"proven, and waits for its rivals: {', '.join(f'{other.task} ({other.agent})' for other in waited)}"


def went_on(state: State, other: TaskId) -> TaskId | None:
    """The racer that stands for the first of its race, which is over without having landed; None when there is none."""
    racers = [task for task in racers_of(state, other) if task.task != other]
    best = [task for task in racers if task.landed or task.outcome == "done"] or [task for task in racers if not task.over]
    return best[0].task if best else None


# --- the decision ----------------------------------------------------------------------------------------------------


def advance(state: State, task: Task, at: int) -> list[e.Event]:
    """The decision of a race, once every racer is proven or over. Empty when there is none to make."""
    others = rivals(state, task)
    if not others or not proven(state, task) or any(waits_for(state, other, at) for other in others):
        return []
    racers = [task, *(other for other in others if proven(state, other))]
    best = min(racers, key=lambda racer: rank(state, racer, racers))
    because = reason(state, best, racers)
    events: list[e.Event] = [e.RaceDecided(race=task.race, task=best.task, because=because)]
    for loser in [task, *others]:
        if loser.task != best.task:
            events += lost(loser, f"{best.task} ({best.agent}) won the race: {because}")
    return events


def lost(task: Task, because: str) -> list[e.Event]:
    """The end of a racer that did not win."""
    events: list[e.Event] = []
    if task.gate:
        events.append(e.GateVoided(gate=task.gate, because=because))
    if task.live:
        events.append(e.AttemptStopAsked(attempt=task.live, because=because, by=WHO))
    return [*events, e.TaskCancelled(task=task.task, because=because, by=WHO)]


def figures(state: State, task: Task, racers: list[Task]) -> tuple[tuple[float, str], ...]:
    """What racers are compared by, best first, each smaller is better and in words. Cost only where every racer's is known."""
    open_ = sum(claim.status != "proven" for claim in task.claims if claim.claim != "tests-kept")
    kept = sum(claim.status != "proven" for claim in task.claims if claim.claim == "tests-kept")
    work = task.work
    lines = work.insertions + work.deletions if work else 0
    known = all(spent_on(state, racer)[1] and spent_on(state, racer)[0].metered for racer in racers)
    usd = spent_on(state, task)[0].usd if known else 0.0
    return (
        (open_, f"{plural(open_, 'claim')} not proven"), (kept, "tests lost" if kept else "no test lost"),
        (len(task.attempts), plural(len(task.attempts), "attempt")), (lines, f"{plural(lines, 'line')} changed"),
        (round(usd, 4), dollars(usd)),
    )


def rank(state: State, task: Task, racers: list[Task]) -> tuple[float, ...]:
    """The order of racers, smallest first; arrival decides what is equal."""
    return (*(value for value, _ in figures(state, task, racers)), task.added_seq)


def reason(state: State, best: Task, racers: list[Task]) -> str:
    """Why this one goes on, in words."""
    others = sorted((racer for racer in racers if racer.task != best.task), key=lambda racer: rank(state, racer, racers))
    if not others:
        return "the only one that is proven"
    ours, theirs = figures(state, best, racers), figures(state, others[0], racers)
    for (value, told), (other, other_told) in zip(ours, theirs, strict=True):
        if value != other:
            return f"{told}, against {other_told} of {others[0].task} ({others[0].agent})"
    return f"equal to {others[0].task} ({others[0].agent}) in every respect, and it came first"


def deadlines(state: State, at: int) -> Iterator[int]:
    """When nobody waits any longer for a racer that stands still."""
    for name in state.open:
        task = state.tasks[name]
        if not task.race or proven(state, task) or not any(proven(state, other) for other in rivals(state, task)):
            continue
        gate = state.gates.get(task.gate)
        if gate is not None:
            yield gate.opened_at + AT_GATE_MS
        elif not task.live and task.work is None:
            yield task.since + NOT_STARTED_MS
