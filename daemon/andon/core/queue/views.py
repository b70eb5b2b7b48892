"""What faces draw of a merge queue: every entry with what is done with it and why it waits. Says why; decides nothing."""

import statistics
from collections import Counter
from collections.abc import Iterator

from andon.core.queue import quarantine
from andon.core.queue.facts import Landing
from andon.core.queue.look import Look, Plan
from andon.core.queue.standing import (
    at_queue,
    checks_for,
    flaking,
    in_order,
    landings_of,
    look,
    moves,
    risk,
    slots,
    task_of,
)
from andon.core.state import Repository, State, Task, cord_of
from andon.core.stations.land import planned
from andon.schema import views as v
from andon.schema.ids import LandingId, Oid, RunId, TaskId
from andon.schema.sentences import plural

HOUR_MS = 3_600_000
FLAKES_SHOWN, MEETINGS_SHOWN = 50, 200
ASIDE = "it failed apart from the queue, alone or with others, and steps aside until it is known who is to blame"


def queue_views(state: State, repo: Repository) -> Iterator[v.AnyQueueView]:
    """The queue of one repository, its entries, and the live changes that meet."""
    order = in_order(state, repo)
    under_way = landings_of(state, repo)
    seen = look(state, repo)
    wanted = planned(seen) if order and moves(repo) else Plan()
    queued = at_queue(state, repo)
    yield queue_view(state, repo, queued, under_way, wanted, seen)
    places = {task.task: place for place, task in enumerate(order, 1)}
    for task in queued:
        yield entry_view(state, repo, task, places.get(task.task, 0), under_way, wanted)
    for met in repo.queue.meetings[-MEETINGS_SHOWN:]:
        titles = tuple(state.tasks[name].title if name in state.tasks else "" for name in (met.one, met.other))
        yield v.ClashView(
            repo=repo.repo, one=met.one, other=met.other, kind=met.kind, hunks=met.hunks, since=met.since,
            titles=(titles[0], titles[1]),
        )


def queue_view(
    state: State, repo: Repository, queued: list[Task], under_way: list[Landing], wanted: Plan, seen: Look,
) -> v.QueueView:
    """The queue as a whole."""
    queue, settings = repo.queue, repo.settings
    asked = settings.proving > 0
    line = [entry.key for entry in seen.order if entry.key not in wanted.aside]
    bracket = tuple(task_of(key) for key in line[: wanted.bracket])
    return v.QueueView(
        repo=repo.repo, target=settings.target, trunk=repo.trunk, land=settings.queue.land, history=settings.queue.history,
        slots=slots(state, repo), slots_because="as set" if asked else because_of_slots(state, repo), held=queue.held,
        held_by=queue.held_by, held_at=queue.held_at, entries=len(queued), oldest=min((task.queued for task in queued), default=0),
        proving=tuple(proof_view(state, repo, landing) for landing in under_way), bracket=bracket,
        suspect=task_of(wanted.suspect) if wanted.suspect else TaskId(""),
        red=tuple(v.RedView(check=red.check, because=red.because, commit=red.commit, run=red.run, since=red.since,
                            suspects=red.suspects) for red in queue.red),
        flaky=tuple(flake.name for flake in queue.flakes[-FLAKES_SHOWN:]), flow=flow_view(state, repo, queued, under_way),
        quarantine=quarantine.view(repo)[-FLAKES_SHOWN:], quarantine_budget=settings.queue.flaky,
        behind="" if repo.mirrored else repo.mirror_because, mend="" if repo.mirrored else repo.mirror_mend,
        published=queue.published_where or queue.published_because,
    )


def because_of_slots(state: State, repo: Repository) -> str:
    """How the number of slots came about."""
    used = [cpu / wall for cpu, wall in repo.queue.uses if wall > 0]
    cores = plural(max(state.cores, 1), "core")
    if not used:
        return f"{cores}; how checks use them is not known yet"
    return f"{cores}, of which a check uses {statistics.median(used):.1f}"


def proof_view(state: State, repo: Repository, landing: Landing) -> v.ProofView:
    """What is proved, on which tree."""
    known = {checked.check: (checked.run, checked.result) for checked in landing.checked}
    running = {run.check: run.run for run in state.runs.values() if run.landing == landing.landing}
    runs: list[tuple[str, RunId, str]] = []
    for wanted in checks_for(state, landing):
        if wanted.name in known:
            runs.append((wanted.name, *known[wanted.name]))
        elif wanted.name in running:
            runs.append((wanted.name, running[wanted.name], "running"))
    return v.ProofView(
        landing=landing.landing, why=landing.why, members=tuple(member.task for member in landing.members),
        suspect=landing.suspect, since=landing.planned_at, expected_s=median(repo.queue.seconds), candidate=landing.candidate,
        tree=landing.tree, runs=tuple(runs),
    )


def flow_view(state: State, repo: Repository, queued: list[Task], under_way: list[Landing]) -> v.FlowView:
    """The queue's own figures."""
    counts = repo.queue.counts
    waits = Counter(state_of(state, repo, task, under_way, Plan())[0] for task in queued)
    recent = sum(1 for moment in repo.queue.moments if moment > state.at - HOUR_MS)
    return v.FlowView(
        landed=counts.landed, landed_hour=recent, sent_back=counts.sent_back, proofs=counts.proofs,
        wasted=max(counts.proofs - counts.moved - counts.blamed - counts.stood, 0),
        per_landed=round(counts.proofs / counts.landed, 3) if counts.landed else 0.0, failing=measured_risk(repo),
        flaking=round(flaking(repo), 4) if counts.flaky else 0.0,
        proof_s=round(median(repo.queue.seconds), 1), waits=tuple(sorted(waits.items())),
    )


def measured_risk(repo: Repository) -> float:
    """How likely a change fails by itself; 0 while nothing was measured here, for then it is only a guess."""
    counts = repo.queue.counts
    return round(risk(repo), 4) if counts.landed + counts.culprits else 0.0


def median(seconds: tuple[float, ...]) -> float:
    """The middle of them; 0 when there is none."""
    return statistics.median(seconds) if seconds else 0.0


# --- entries -------------------------------------------------------------------------------------------------------------


def entry_view(state: State, repo: Repository, task: Task, place: int, under_way: list[Landing], wanted: Plan) -> v.EntryView:
    """One change in the queue."""
    word, why = state_of(state, repo, task, under_way, wanted)
    inside = [landing for landing in under_way if landing.holds(task.task)]
    shortest = min(inside, key=lambda landing: len(landing.members), default=None)
    attempt = state.attempts.get(task.attempts[-1]) if task.attempts else None
    work, pace = task.work, median(repo.queue.seconds)
    met = [other for one in repo.queue.meetings if task.task in (one.one, one.other)
           for other in (one.one, one.other) if other != task.task]
    begun = shortest.planned_at if shortest else 0
    return v.EntryView(
        task=task.task, repo=repo.repo, title=task.title, position=place, state=word, why=why, since=task.queued,
        commit=work.commit if work else Oid(""), agent=attempt.agent if attempt else task.agent,
        landing=shortest.landing if shortest else LandingId(""), priority=task.priority, overtaken=task.overtaken,
        expected_at=int(begun + pace * 1000) if begun and pace and place else 0, risk=measured_risk(repo),
        held_by=task.held_by if task.held else "",
        clashes=tuple(dict.fromkeys(met)), reverts=task.reverts, files=work.paths_total if work else 0,
        insertions=work.insertions if work else 0, deletions=work.deletions if work else 0,
    )


def state_of(state: State, repo: Repository, task: Task, under_way: list[Landing], wanted: Plan) -> tuple[v.EntryState, str]:
    """The word and the reason."""
    if task.gate:
        return "gate", f"a person is asked: {task.gate}"
    if task.held:
        return "held", f"{task.held_by or 'somebody'} keeps it: {task.held}"
    if (cord := cord_of(state, task)) is not None:
        return "held", f"line {task.line} is stopped by {cord.by}: {cord.because}"
    if repo.queue.held:
        return "held", f"the queue is stopped by {repo.queue.held_by}: {repo.queue.held}"
    inside = [landing for landing in under_way if landing.holds(task.task)]
    if not inside:
        return waiting(state, repo, task, wanted)
    return proving(task, inside, wanted)


def proving(task: Task, inside: list[Landing], wanted: Plan) -> tuple[v.EntryState, str]:
    """It is a member of something under way."""
    moving = next((landing for landing in inside if landing.chosen), None)
    if moving is not None:
        return "moving", f"the target is being moved to {moving.candidate[:10]}"
    confirming = next((landing for landing in inside if landing.why == "confirm"), None)
    if confirming is not None:
        return "confirming", f"it failed alone on the target and is proved again ({confirming.landing})"
    if wanted.suspect and task_of(wanted.suspect) == task.task:
        return "suspect", "the smallest failing prefix ends in it"
    if task.task in map(task_of, wanted.aside):
        return "suspect", f"{ASIDE} ({min(inside, key=lambda landing: len(landing.members)).landing})"
    done = next((landing for landing in inside if landing.passed), None)
    if done is not None:
        return "proven", f"proven with {plural(len(done.members), 'change')} ({done.landing}), waits for what is before it"
    shortest = min(inside, key=lambda landing: len(landing.members))
    others = [member.task for member in shortest.members if member.task != task.task]
    with_whom = f" with {', '.join(others[:4])}{' …' if len(others) > 4 else ''}" if others else " alone"
    where = " apart from the queue" if shortest.why == "apart" else ""
    doing = "is proved" if shortest.candidate else "is merged"
    return "proving", f"{doing}{where}{with_whom} ({shortest.landing})"


def waiting(state: State, repo: Repository, task: Task, wanted: Plan) -> tuple[v.EntryState, str]:
    """It is in nothing that is under way."""
    if not moves(repo):
        return "waiting", f"the commands of {repo.repo} are not trusted yet: andon trust {repo.repo}"
    against = in_the_way(state, repo, task)
    if against:
        return "clashing", f"it does not merge with {against}, which is before it"
    if wanted.suspect and task_of(wanted.suspect) == task.task:
        return "suspect", "the smallest failing prefix ends in it"
    if task.task in map(task_of, wanted.aside):
        return "suspect", ASIDE
    return "waiting", "waits for its turn"


def in_the_way(state: State, repo: Repository, task: Task) -> str:
    """The change in line before it with which it was found not to merge; empty when there is none."""
    head = task.work.commit if task.work else ""
    foes = {one if other == head else other for one, other in repo.queue.clashing if head in (one, other)}
    for other in in_order(state, repo) if foes else ():
        if other.task == task.task:
            return ""
        if other.work and other.work.commit in foes:
            return str(other.task)
    return ""
