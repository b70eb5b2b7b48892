"""Who stands in a merge queue, in which order, and what keeps the others from it. Pure; reads State alone."""

import statistics

from andon.core import catalogue, walls
from andon.core.claimed import producing
from andon.core.queue import rates
from andon.core.queue.facts import Landing, Outcome
from andon.core.queue.look import Entry, Look, Running, Tried
from andon.core.state import Repository, State, Task, cord_of, open_tasks, station_of
from andon.core.stations.check import checks_at
from andon.schema.ids import Oid, TaskId
from andon.schema.settings import Check

FIRST = 1_000
"""Priority of what takes a landed change back."""


def key_of(task: TaskId, commit: Oid) -> str:
    """How a policy names a change: another commit of the same task is another change."""
    return f"{task}:{commit}"


def task_of(key: str) -> TaskId:
    """The task that such a name is of."""
    return TaskId(key.partition(":")[0])


def at_land(state: State, task: Task) -> bool:
    """Whether its change waits at a land station."""
    station = station_of(state, task)
    return station is not None and station.kind == "land" and task.work is not None and not (task.landed or task.over)


def is_sealed(task: Task) -> bool:
    """Whether all evidence about exactly this change, and what a person said of it, was signed."""
    seal = task.seal
    return seal is not None and task.work is not None and (seal.commit, seal.approved) == (task.work.commit, task.approved)


def at_queue(state: State, repo: Repository) -> list[Task]:
    """Every task whose change waits at a land station and is sealed, in order of arrival there."""
    waiting = [task for task in open_tasks(state) if task.repo == repo.repo and at_land(state, task) and is_sealed(task)]
    return sorted(waiting, key=lambda task: (task.queued, task.added_seq))


def stopped(state: State, task: Task) -> bool:
    """Whether the task's line stands still for it."""
    return cord_of(state, task) is not None


def may_land(state: State, task: Task) -> bool:
    """Whether it stands in line: nobody holds it, asks about it, must be asked, stopped its line, or wants a claim first."""
    return not (task.held or task.gate or stopped(state, task) or walls.too_weak(state, task)
                or catalogue.keeps(state, task))


def in_order(state: State, repo: Repository) -> list[Task]:
    """Those that may land, in landing order: as a person said, then those that were overtaken too often, then by priority and
    arrival."""
    said = {task: place for place, task in enumerate(repo.queue.order)}
    limit = repo.settings.queue.overtake

    def place(task: Task) -> tuple[int, int, int, int, int, int]:
        late = 0 if task.overtaken >= limit and not task.reverts else 1
        urgency = task.priority + (FIRST if task.reverts else 0)
        return (0 if task.task in said else 1, said.get(task.task, 0), late if not task.reverts else 0, -urgency,
                task.queued, task.added_seq)

    return sorted((task for task in at_queue(state, repo) if may_land(state, task)), key=place)


def moves(repo: Repository) -> bool:
    """Whether anything may land in this repository now."""
    return bool(repo.trunk) and repo.is_trusted and not repo.queue.held


def checks_of_line(state: State, task: Task) -> tuple[Check, ...]:
    """What the merged tree must pass for one task: every check of its line, and all checks when the line names none."""
    settings = state.repos[task.repo].settings
    line = settings.lines.get(task.line)
    stations = [station for station in line.stations if station.kind == "check"] if line else []
    if not stations:
        return tuple(settings.checks.values())
    wanted = {known.name: known for station in stations for known in checks_at(settings, station)}
    asked = {name for station in line.stations for name in producing(settings, station)} if line else set()
    wanted |= {name: settings.checks[name] for name in sorted(asked) if name in settings.checks}
    return tuple(wanted.values())


def checks_for(state: State, landing: Landing) -> tuple[Check, ...]:
    """What the merged tree must pass: the checks of every member's line."""
    tasks = [state.tasks[member.task] for member in landing.members if member.task in state.tasks]
    wanted = {check.name: check for task in tasks for check in checks_of_line(state, task)}
    return tuple(wanted.values())


def landings_of(state: State, repo: Repository) -> list[Landing]:
    """What is under way in a repository's queue, oldest first."""
    known = (landing for landing in state.landings.values() if landing.repo == repo.repo)
    return sorted(known, key=lambda landing: int(landing.landing[1:]))


def chosen(state: State, repo: Repository) -> Landing | None:
    """The landing that the target is being moved to."""
    return next((landing for landing in landings_of(state, repo) if landing.chosen), None)


def confirmations(repo: Repository) -> int:
    """Further failures before a culprit is sent back: as set, or by how often checks flake here."""
    return repo.settings.queue.confirm or rates.confirm_for(flaking(repo))


def risk(repo: Repository) -> float:
    """How likely a change fails on the merged tree by itself, as seen here."""
    counts = repo.queue.counts
    return rates.own_failure(rates.Record(decided=counts.landed + counts.culprits, failed=counts.culprits))


def risk_alone(repo: Repository) -> float:
    """How likely a change fails apart from the queue, as seen here."""
    known = repo.queue.apart
    return rates.own_failure(rates.Record(decided=known.grouped, failed=known.failed), risk(repo))


def risk_of_stood(repo: Repository) -> float:
    """How likely a change that stood apart from the queue fails in it, as seen here."""
    known = repo.queue.apart
    return rates.own_failure(rates.Record(decided=known.decided, failed=known.culprits), risk(repo))


def flaking(repo: Repository) -> float:
    """How likely a proof fails for nothing, as seen here."""
    counts = repo.queue.counts
    return rates.flake_rate(((counts.trees, counts.flaky),))


def slots(state: State, repo: Repository) -> int:
    """Proofs at once."""
    cores = max(state.cores, 1)
    return rates.slots_for(cores, rates.parallelism(repo.queue.uses, cores), repo.settings.proving)


def excused(state: State, repo: Repository, outcome: Outcome) -> bool:
    """Whether all that failed here is known to be flaky from other trees, and not touched by these changes, within the budget."""
    queue = repo.queue
    known = {flake.name for flake in queue.flakes if any(tree != outcome.tree for tree in flake.trees)}
    if not outcome.names or len(queue.flakes) > repo.settings.queue.flaky or not set(outcome.names) <= known:
        return False
    paths = {path for member in outcome.members if (task := state.tasks.get(member.task)) and task.work for path in task.work.paths}
    return not any(touches(path, name) for path in paths for name in outcome.names)


def touches(path: str, test: str) -> bool:
    """Whether a changed file may be the one that a test is written in, as far as names tell."""
    stem = path.rsplit("/", 1)[-1].rsplit(".", 1)[0]
    return bool(stem) and stem in test.replace("::", ".").replace("/", ".").split(".")


def tried(state: State, repo: Repository, outcome: Outcome) -> Tried:
    """What is known of some members, as the policy reads it."""
    return Tried(
        members=keys(outcome), passes=outcome.passes, fails=outcome.fails, excused=excused(state, repo, outcome),
        unevaluated=max(outcome.unevaluated, 99 if outcome.final else 0),
    )


def settled(state: State, repo: Repository, outcome: Outcome) -> bool:
    """Whether enough passes are known of these members to land them."""
    return tried(state, repo, outcome).passed(confirmations(repo))


def look(state: State, repo: Repository) -> Look:
    """The queue as its policy sees it."""
    entries = tuple(entry_of(repo, task, task.work.commit) for task in in_order(state, repo) if task.work)
    by_head = {entry.key.partition(":")[2]: entry.key for entry in entries}
    pairs = ((by_head.get(one), by_head.get(other)) for one, other in repo.queue.clashing)
    return Look(
        order=entries, clashes=frozenset((one, other) for one, other in pairs if one and other),
        tried=tuple(tried(state, repo, outcome) for outcome in repo.queue.outcomes),
        running=tuple(
            Running(landing=landing.landing, members=keys(landing), why=landing.why, spent=spent(state, repo, landing))
            for landing in landings_of(state, repo) if not landing.passed
        ),
        slots=slots(state, repo), confirm=confirmations(repo), soonest=rates.soonest(repo.queue.failing),
        apart=tuple(tried(state, repo, outcome) for outcome in apart(state, repo)),
        alone=risk_alone(repo) if is_proven(repo) else 0.0,
    )


def is_proven(repo: Repository) -> bool:
    """Whether the target is a tree that passed all checks, for it landed here: who fails alone on another may not be to blame."""
    last = repo.queue.landed[-1] if repo.queue.landed else None
    return last is not None and bool(last.task) and last.commit == repo.trunk


def entry_of(repo: Repository, task: Task, head: Oid) -> Entry:
    """A change in line as the policy reads it."""
    stood = head in repo.queue.apart.stood
    return Entry(
        key=key_of(task.task, head), risk=risk_of_stood(repo) if stood else risk(repo), stood=stood,
        late=task.overtaken >= repo.settings.queue.overtake,
    )


def apart(state: State, repo: Repository) -> list[Outcome]:
    """What is known apart from the queue of changes that are all still in it."""
    here = {key_of(task.task, task.work.commit) for task in at_queue(state, repo) if task.work}
    return [outcome for outcome in repo.queue.apart.outcomes if here.issuperset(keys(outcome))]


def spent(state: State, repo: Repository, landing: Landing) -> float:
    """How long a proof has run by now, as a share of what one usually takes, in tenths; 0: not known."""
    usual = statistics.median(repo.queue.seconds) if repo.queue.seconds else 0.0
    return round(min(1.5, (state.at - landing.planned_at) / 1000 / usual), 1) if usual > 0 else 0.0


def keys(of: Outcome | Landing) -> tuple[str, ...]:
    """The names of the members."""
    return tuple(key_of(member.task, member.commit) for member in of.members)


def outcome_of(repo: Repository, members: tuple[str, ...], *, alone: bool = False) -> Outcome:
    """What is known of exactly these members, by their names, on the present target, or `alone`: apart from the queue; without
    members when nothing is."""
    among = repo.queue.apart.outcomes if alone else repo.queue.outcomes
    return next((known for known in among if keys(known) == members), Outcome(members=()))
