"""The land station: asks the queue's policy what to prove and what to land, and says what came of it. Pure.

Theory of operation. Each repository has one queue. Everything that is to happen in it is planned anew at each look: who stands in
line, what is known of which members on the present target, what is under way. The policy answers with proofs to start, a prefix to
land, a culprit. The target moves by one compare-and-swap to a candidate whose exact tree was proven; what is under way on top of
it goes on, everything else is planned again.
"""

from functools import lru_cache

from andon.core import notes, review, walls
from andon.core.failure import fingerprint, packet_of, send_back
from andon.core.queue import intents, proving
from andon.core.queue.facts import Landing, manner_of
from andon.core.queue.look import Plan, Want
from andon.core.queue.policy import plan
from andon.core.queue.standing import at_queue, chosen, key_of, keys, landings_of, look, may_land, moves, outcome_of, task_of
from andon.core.state import Repository, State, Task
from andon.core.stations import check
from andon.schema import events as e, inputs as i
from andon.schema.ids import LandingId, Oid, TaskId
from andon.schema.settings import Station

WHO = "andon"
planned = lru_cache(maxsize=64)(plan)
"""The policy's answer to a look: asked again at each step, it is worked out once."""


def passed(state: State, task: Task, station: Station) -> bool:
    """Whether the target holds the change."""
    return bool(task.landed)


def wait(state: State, task: Task, station: Station, at: int) -> list[e.Event]:
    """A person's question about walls that were too weak; else nothing: the queue of its repository looks at all changes at once
    (`advance`)."""
    gate = state.gates.get(task.gate)
    if gate is not None:
        return review.void(state, task, gate)
    because = walls.too_weak(state, task)
    return [review.of(state, task, risk="review", because=because, told=walls.level_of(task))] if because else []


def ready(state: State, landing: Landing) -> bool:
    """Whether the target may be moved to it now."""
    repo = state.repos[landing.repo]
    allowed = all(may_land(state, state.tasks[member.task]) for member in landing.members)
    return landing.chosen and moves(repo) and allowed and not walls.unproven(state, landing)


def landing_now(state: State, task: Task) -> bool:
    """Whether the target is being moved to a landing with this task."""
    inside = (known for known in state.landings.values() if known.holds(task.task))
    return any(ready(state, landing) for landing in inside)


# --- what the queue wants ------------------------------------------------------------------------------------------------


def advance(state: State, repo: Repository, at: int) -> list[e.Event]:
    """What the repository's queue wants next."""
    under_way = landings_of(state, repo)
    queued = at_queue(state, repo)
    if not under_way and not queued:
        return []
    heads = {task.task: task.work.commit for task in queued if task.work}
    for landing in under_way:
        because = obsolete(state, repo, landing, heads)
        if because:
            return [e.LandingAbandoned(landing=landing.landing, because=because)]
    for landing in under_way:
        events = proving.advance(state, repo, landing)
        if events:
            return events
    if not moves(repo) or chosen(state, repo) is not None:
        return []
    seen = look(state, repo)
    return follow(state, repo, planned(seen), at) if seen.order else []


def obsolete(state: State, repo: Repository, landing: Landing, heads: dict[TaskId, Oid]) -> str:
    """Why a landing can no longer move the target; empty while it can."""
    gone = next((member.task for member in landing.members if heads.get(member.task) != member.commit), "")
    if gone:
        return f"{gone} is no longer in the queue"
    if not landing.members:
        return "all of its members have landed"
    if landing.onto != repo.trunk and landing.why != "apart":
        return f"the target is at {repo.trunk[:10]} now"
    anew = next((member.task for member in landing.members if resealed(state.tasks[member.task], member)), "")
    if anew:
        return f"the evidence of {anew} was sealed anew"
    if landing.manner != manner_of(repo.settings):
        return "the settings want changes to be merged in another way now"
    if landing.chosen and repo.queue.held:
        return "the queue is stopped"
    if landing.chosen:
        kept = next((member.task for member in landing.members if not may_land(state, state.tasks[member.task])), "")
        weak = walls.unproven(state, landing)
        return f"{kept} is kept from landing" if kept else weak[0][1] if weak else ""
    return ""


def resealed(task: Task, member: e.Member) -> bool:
    """Whether its landing commit would name evidence that is not the latest."""
    return task.seal is not None and task.seal.names != member.seal


def follow(state: State, repo: Repository, wanted: Plan, at: int) -> list[e.Event]:
    """What the policy's answer brings, one step of it."""
    if wanted.reject:
        return reject(state, repo, task_of(wanted.reject), at)
    if wanted.land:
        return choose(state, repo, wanted.land)
    if wanted.cancel:
        because = "its result would change nothing any more"
        return [e.LandingAbandoned(landing=LandingId(name), because=because) for name in wanted.cancel]
    searching = wanted.start or any(not landing.passed for landing in landings_of(state, repo))
    if wanted.unevaluated and (len(wanted.unevaluated) == 1 or not searching):
        asked = ask(state, repo, wanted.unevaluated)
        if asked:
            return asked
    count = state.landing_count
    return [begin(state, repo, want, LandingId(f"L{count + n}")) for n, want in enumerate(wanted.start, 1)]


def begin(state: State, repo: Repository, want: Want, name: LandingId) -> e.LandingPlanned:
    """One proof of these members on the present target."""
    tasks = [state.tasks[task_of(key)] for key in want.members]
    members = tuple(
        e.Member(task=task.task, commit=task.work.commit, at=task.queued or task.since, seal=task.seal.names if task.seal else None)
        for task in tasks if task.work
    )
    suspect = task_of(want.suspect) if want.suspect else TaskId("")
    return e.LandingPlanned(
        landing=name, repo=repo.repo, task=members[-1].task, commit=members[-1].commit, onto=repo.trunk, members=members,
        why=want.why, suspect=suspect,
    )


def choose(state: State, repo: Repository, members: tuple[str, ...]) -> list[e.Event]:
    """Take the proven prefix for the target's next move. Its candidate is made again when it is not there any more."""
    under_way = [landing for landing in landings_of(state, repo) if keys(landing) == members]
    landing = next((known for known in under_way if known.passed), None)
    if landing is None:
        again = Want(members=members)
        return [] if under_way else [begin(state, repo, again, LandingId(f"L{state.landing_count + 1}"))]
    weak = walls.unproven(state, landing)
    if weak:  # every one of them at once: each answer brings its change back into line
        told = walls.proof_level(landing)
        return [review.of(state, task, risk="review", because=because, told=told, number=n)
                for n, (task, because) in enumerate(weak, 1)]
    events: list[e.Event] = [e.LandingChosen(landing=landing.landing)]
    for member in landing.members:
        events += [
            e.ClaimJudged(
                task=member.task, commit=landing.candidate, claim=f"{checked.check}@merge", status="proven", run=checked.run,
                because=with_others(checked.because, landing), walls=checked.walls, evidence=checked.evidence,
            )
            for checked in landing.checked
        ]
    return events


def with_others(because: str, landing: Landing) -> str:
    """What was seen, and with whom."""
    others = len(landing.members) - 1
    return f"{because}, merged with {others} other{'s' if others > 1 else ''}" if others else because


def ask(state: State, repo: Repository, members: tuple[str, ...]) -> list[e.Event]:
    """These could not be evaluated, so a person is asked; when that happens to one after the other, the queue stops."""
    task = state.tasks[task_of(members[-1])]
    outcome = outcome_of(repo, members)
    strange = [other for other in repo.queue.strange if other != task.task]
    if strange:
        because = f"neither {strange[-1]} nor {task.task} could be evaluated on the merged tree: {outcome.because}"
        return [e.QueueHeld(repo=repo.repo, because=because[:600], by=WHO)]
    unsure = [checked for checked in outcome.failed if checked.result == "unevaluated"]
    judged: list[e.Event] = [
        e.ClaimJudged(
            task=task.task, commit=outcome.commit, claim=f"{checked.check}@merge", status="unevaluated", because=checked.because,
            run=checked.run, detail=checked.detail, final=True, walls=checked.walls, evidence=checked.evidence,
        ) for checked in unsure
    ]
    return [*judged, check.ask(state, task, outcome.commit, outcome.because)]


# --- changes that do not land --------------------------------------------------------------------------------------------


def reject(state: State, repo: Repository, name: TaskId, at: int) -> list[e.Event]:
    """A confirmed culprit goes back with its failing claims, and with what the changes wanted that it fails against."""
    task = state.tasks[name]
    assert task.work is not None, "what stands in a queue has a change"
    alone = (key_of(name, task.work.commit),)
    outcome = max(outcome_of(repo, alone), outcome_of(repo, alone, alone=True), key=lambda known: known.fails)
    failed = [checked for checked in outcome.failed if checked.result == "fail"]
    headline = "; ".join(f"{checked.check}@merge: {checked.because}" for checked in failed) or outcome.because
    against = intents.others(state, task)
    judged: list[e.Event] = [
        e.ClaimJudged(
            task=name, commit=outcome.commit, claim=f"{checked.check}@merge", status="refuted", because=checked.because,
            run=checked.run, detail=checked.detail, walls=checked.walls, evidence=checked.evidence,
        ) for checked in failed
    ]
    sections = [(f"{checked.check} on the merged tree ({checked.run})", f"```\n{checked.detail[:3500]}\n```")
                for checked in failed if checked.detail]
    where = f"Your change alone, merged into the target, failed {outcome.fails} times; the target is at {repo.trunk[:10]} now."
    packet = packet_of(
        headline, ("Where", where),
        *sections, ("What landed since you began, and what it is for", intents.told(state, against)),
    )
    print_ = fingerprint("test", *(f"{checked.check}@merge {' '.join(checked.failing) or checked.because}" for checked in failed))
    back = e.EntrySentBack(
        repo=repo.repo, task=name, commit=task.work.commit, reason="failed", because=headline[:600], runs=outcome.runs,
        against=against,
    )
    return [*judged, back, *send_back(state, task, "test", print_, packet, at)]


def conflicted(state: State, seen: i.CandidateConflicted, at: int) -> list[e.Event]:
    """A textual conflict. With another in the queue: they stand apart. With the target: the change goes back with both intents."""
    landing = state.landings.get(seen.landing)
    if landing is None:
        return []
    repo = state.repos[landing.repo]
    name = seen.task or landing.task
    told = e.LandingConflicted(
        landing=landing.landing, paths=seen.paths, message=seen.message[:4000], task=name, against=seen.against,
    )
    task = state.tasks.get(name)
    if seen.against or task is None or task.work is None or landing.onto != repo.trunk:
        return [told]
    against = intents.others(state, task, seen.paths)
    because = f"it conflicts with {landing.onto[:10]} in {', '.join(seen.paths[:5])}"
    packet = packet_of(
        because, ("Merge messages", seen.message[:3000]), ("What the other side is for", intents.told(state, against)),
        ("How to go on", "Your new checkout starts at the newer target. Your earlier commits are on the branch andon/previous. "
         "Bring your change onto it so that both intents hold; what you commit is proved like any other change."),
    )
    back = e.EntrySentBack(repo=repo.repo, task=name, commit=task.work.commit, reason="conflict", because=because, against=against)
    return [told, back, *send_back(state, task, "conflict", fingerprint("conflict", *seen.paths), packet, at)]


def unmergeable(state: State, landing: Landing, problem: str) -> list[e.Event]:
    """The candidate cannot be made, for a reason that is no conflict: the members are as good as unevaluated."""
    return [e.LandingJudged(landing=landing.landing, result="unevaluated", because=problem[:600], final=True)]


# --- the target ----------------------------------------------------------------------------------------------------------


def refused(state: State, seen: i.LandingRefused) -> list[e.Event]:
    """Nothing moved. A trunk that went on is planned again; a proof that failed stops the queue."""
    landing = state.landings.get(seen.landing)
    if landing is None:
        return []
    repo = state.repos[landing.repo]
    events: list[e.Event] = [e.LandingAbandoned(landing=landing.landing, because=seen.because)]
    if seen.oid and seen.oid != landing.onto:
        moved = recognised(state, repo, seen.oid, seen.tree)
        return [*events, *(moved or [e.TargetObserved(repo=landing.repo, oid=seen.oid, tree=seen.tree)])]
    if not repo.queue.held:
        events.append(e.QueueHeld(repo=repo.repo, because=f"landing {landing.task}: {seen.because}", by=WHO))
    return events


def swapped(state: State, seen: i.TargetSwapped) -> list[e.Event]:
    """Trunk holds the changes."""
    landing = state.landings.get(seen.landing) or given_up(state, seen)
    if landing is None or not (landing.chosen or landing.candidate == seen.new):
        return swapped_late(state, seen)
    ends = [*(step.commit for step in landing.steps[:-1]), seen.new] if landing.steps else [seen.new]
    steps = list(zip(landing.members, ends, [seen.old, *ends], strict=False))
    landed = [
        e.TaskLanded(task=member.task, commit=end, landing=landing.landing, before=before)
        for member, end, before in steps if still(state, member)
    ]
    told = [event for member, end, before in steps if still(state, member)
            for event in notes.planned(state, landing.landing, state.tasks[member.task], end, before)]
    gone = [member.task for member, _, _ in steps if not still(state, member)]
    return [
        e.TargetMoved(landing=landing.landing, old=seen.old, new=seen.new), *landed, *told,
        e.TargetObserved(repo=landing.repo, oid=seen.new, tree=seen.tree, by="landing"),
        *([too_late(state.repos[landing.repo], seen, gone)] if gone else []),
    ]


def given_up(state: State, seen: i.TargetSwapped) -> Landing | None:
    """The landing, when it was given up while the target was being moved to it."""
    late = (known for repo in state.repos.values() for known in repo.queue.late if known.onto == repo.trunk == seen.old)
    return next((known for known in late if (known.landing, known.candidate) == (seen.landing, seen.new)), None)


def still(state: State, member: e.Member) -> bool:
    """Whether the task is open and this is its change."""
    task = state.tasks.get(member.task)
    return task is not None and not task.over and task.work is not None and task.work.commit == member.commit


def too_late(repo: Repository, seen: i.TargetSwapped, gone: list[TaskId]) -> e.ProblemNoticed:
    """What a person hears of changes that landed in the moment in which they were given up."""
    whose = f" with {', '.join(gone)}" if gone else ""
    return e.ProblemNoticed(
        key=f"landed:{seen.landing}", repo=repo.repo, where=repo.path,
        what=f"{seen.landing} had already moved the target{whose} to {seen.new[:10]} when it was given up",
        mend="the change is on the target: add a task that reverts it if it must go",
    )


def swapped_late(state: State, seen: i.TargetSwapped) -> list[e.Event]:
    """The target was moved by a landing that is not remembered: the truth counts, and a person hears of it."""
    repo = next((repo for _, repo in sorted(state.repos.items()) if repo.trunk == seen.old), None)
    if repo is None:
        return []
    events = target_seen(state, i.TargetSeen(repo=repo.repo, oid=seen.new, tree=seen.tree))
    return [*events, too_late(repo, seen, [])]


def recognised(state: State, repo: Repository, oid: Oid, tree: Oid) -> list[e.Event]:
    """The landing of the proven candidate that the target is seen to hold; empty when it holds something else."""
    late = [known for known in repo.queue.late if known.onto == repo.trunk]
    under_way = [known for known in landings_of(state, repo) if known.passed]
    landing = next((known for known in (*under_way, *late) if known.candidate == oid), None)
    if landing is None:
        return []
    return swapped(state, i.TargetSwapped(landing=landing.landing, old=landing.onto, new=oid, tree=tree))


def target_seen(state: State, seen: i.TargetSeen) -> list[e.Event]:
    """Somebody moved the target: what is being proven on the old one is planned again."""
    repo = state.repos.get(seen.repo)
    if repo is None or seen.oid == repo.trunk:
        return []
    landed = recognised(state, repo, seen.oid, seen.tree)
    if landed or any(landing.candidate == seen.oid for landing in landings_of(state, repo)):
        return landed
    because = f"the target moved to {seen.oid[:10]}"
    events: list[e.Event] = [e.LandingAbandoned(landing=landing.landing, because=because) for landing in landings_of(state, repo)]
    return [*events, e.TargetObserved(repo=seen.repo, oid=seen.oid, tree=seen.tree, by="person")]


