"""The land station: one change at a time is merged with trunk, proven as merged, and moved in by compare-and-swap."""

import msgspec

from andon.core.failure import fingerprint, packet_of, send_back
from andon.core.state import Landing, Repository, State, Task, cord_key, open_tasks, station_of
from andon.core.stations import check
from andon.schema import events as e, inputs as i
from andon.schema.ids import LandingId, Oid
from andon.schema.settings import Check, Station

WHO = "andon"


def queue(state: State, repo: Repository) -> list[Task]:
    """Tasks that wait to land, in landing order: priority, then arrival at the station."""
    waiting = [
        task for task in open_tasks(state)
        if task.repo == repo.repo and (station := station_of(state, task)) is not None and station.kind == "land"
        and task.work is not None and not task.landed
    ]
    return sorted(waiting, key=lambda task: (-task.priority, task.since, task.added_seq))


def stopped(state: State, task: Task) -> bool:
    """Whether the task's line stands still."""
    return cord_key(task.repo, task.line) in state.cords


def checks_for(state: State, task: Task) -> tuple[Check, ...]:
    """What the merged tree must pass: every check of the task's line, and all checks when the line names none."""
    settings = state.repos[task.repo].settings
    line = settings.lines.get(task.line)
    stations = [station for station in line.stations if station.kind == "check"] if line else []
    if not stations:
        return tuple(settings.checks.values())
    wanted = {known.name: known for station in stations for known in check.checks_at(settings, station)}
    return tuple(wanted.values())


def subject_of(state: State, landing: Landing) -> check.Subject:
    """The merged tree as the thing to prove."""
    task, repo = state.tasks[landing.task], state.repos[landing.repo]
    return check.Subject(
        task=task, commit=landing.candidate, tree=landing.tree, base=landing.onto, base_tree=repo.tree, purpose="landing",
        landing=landing.landing,
    )


def ready(state: State, landing: Landing) -> bool:
    """Whether the merged tree is proven and the line moves: the target may be moved now."""
    task = state.tasks[landing.task]
    return not stopped(state, task) and not task.gate and proven(state, landing)


def proven(state: State, landing: Landing) -> bool:
    """Whether every check passed on the merged tree."""
    checks = checks_for(state, state.tasks[landing.task])
    return bool(landing.candidate) and check.all_proven(subject_of(state, landing), checks)


def passed(state: State, task: Task, station: Station) -> bool:
    """Whether the target holds the change."""
    return bool(task.landed)


def wait(state: State, task: Task, station: Station, at: int) -> list[e.Event]:
    """Nothing: the queue of its repository looks at all changes at once (`advance`)."""
    return []


def advance(state: State, repo: Repository, at: int) -> list[e.Event]:
    """What the repository's queue wants next."""
    landing = state.landings.get(repo.landing)
    if landing is None:
        return plan(state, repo)
    if not landing.candidate or state.tasks[landing.task].gate:
        return []
    task = state.tasks[landing.task]
    events = check.want(state, subject_of(state, landing), checks_for(state, task), at)
    asked = [event for event in events if isinstance(event, e.GateOpened | e.RetryScheduled)]
    if asked:
        return [e.LandingAbandoned(landing=landing.landing, because="the merged tree was not proven"), *events]
    return events


def plan(state: State, repo: Repository) -> list[e.Event]:
    """Put the first change that may go into the trunk's one landing place."""
    for task in queue(state, repo):
        if task.gate or stopped(state, task) or not repo.trunk or not repo.is_trusted or task.work is None:
            continue
        return [e.LandingPlanned(
            landing=LandingId(f"L{state.landing_count + 1}"), repo=repo.repo, task=task.task, commit=task.work.commit,
            onto=repo.trunk,
        )]
    return []


def conflicted(state: State, seen: i.CandidateConflicted, at: int) -> list[e.Event]:
    """A textual conflict: the change goes back with the paths and the trunk it must fit."""
    landing = state.landings.get(seen.landing)
    if landing is None:
        return []
    task = state.tasks[landing.task]
    packet = packet_of(
        f"it conflicts with {landing.onto[:10]} in {', '.join(seen.paths[:5])}", ("Merge messages", seen.message[:3000]),
        ("How to go on", "Your new checkout starts at the newer target. Your earlier commits are on the branch andon/previous."),
    )
    events: list[e.Event] = [e.LandingConflicted(landing=landing.landing, paths=seen.paths, message=seen.message[:4000])]
    return [*events, *send_back(state, task, "conflict", fingerprint("conflict", *seen.paths), packet, at)]


def refused(state: State, seen: i.LandingRefused) -> list[e.Event]:
    """Nothing moved. A trunk that went on is planned again; a proof that failed stops the line."""
    landing = state.landings.get(seen.landing)
    if landing is None:
        return []
    task = state.tasks[landing.task]
    events: list[e.Event] = [e.LandingAbandoned(landing=landing.landing, because=seen.because)]
    if seen.oid and seen.oid != landing.onto:
        return [*events, e.TargetObserved(repo=landing.repo, oid=seen.oid, tree=seen.tree)]
    if not stopped(state, task):
        events.append(e.CordPulled(repo=task.repo, line=task.line, because=f"landing {task.task}: {seen.because}", by=WHO))
    return events


def swapped(state: State, seen: i.TargetSwapped) -> list[e.Event]:
    """Trunk holds the change."""
    landing = state.landings.get(seen.landing)
    if landing is None:
        return swapped_late(state, seen)
    return [
        e.TargetMoved(landing=landing.landing, old=seen.old, new=seen.new),
        e.TaskLanded(task=landing.task, commit=seen.new),
        e.TargetObserved(repo=landing.repo, oid=seen.new, tree=seen.tree, by="landing"),
    ]


def swapped_late(state: State, seen: i.TargetSwapped) -> list[e.Event]:
    """The target was moved in the very moment in which its landing was given up: the truth counts, and a person hears of it."""
    repo = next((repo for _, repo in sorted(state.repos.items()) if repo.trunk == seen.old), None)
    if repo is None:
        return []
    what = f"{seen.landing} had already moved the target to {seen.new[:10]} when it was given up"
    problem = e.ProblemNoticed(
        key=f"landed:{seen.landing}", repo=repo.repo, what=what, where=repo.path,
        mend="the change is on the target: add a task that reverts it if it must go",
    )
    events = target_seen(state, i.TargetSeen(repo=repo.repo, oid=seen.new, tree=seen.tree))
    ours = [msgspec.structs.replace(event, by="landing") if isinstance(event, e.TargetObserved) else event for event in events]
    return [*ours, problem]


def recognised(state: State, repo: Repository, oid: Oid, tree: Oid) -> list[e.Event]:
    """The landing of the proven candidate that the target is seen to hold; empty when it holds something else."""
    landing = state.landings.get(repo.landing)
    if landing is None or landing.candidate != oid or not proven(state, landing):
        return []
    return swapped(state, i.TargetSwapped(landing=landing.landing, old=landing.onto, new=oid, tree=tree))


def target_seen(state: State, seen: i.TargetSeen) -> list[e.Event]:
    """Somebody moved the target: what is being proven on the old one is planned again."""
    repo = state.repos.get(seen.repo)
    if repo is None or seen.oid == repo.trunk:
        return []
    landing = state.landings.get(repo.landing)
    if landing is not None and landing.candidate == seen.oid:
        return recognised(state, repo, seen.oid, seen.tree)
    events: list[e.Event] = []
    if landing is not None:
        events.append(e.LandingAbandoned(landing=landing.landing, because=f"the target moved to {seen.oid[:10]}"))
    return [*events, e.TargetObserved(repo=repo.repo, oid=seen.oid, tree=seen.tree, by="person")]
