"""What the steps of a landing and the moves of the target change."""

import statistics

from andon.core.folds import apart, notes
from andon.core.folds.apart import Members, learned, same
from andon.core.folds.table import end_landing, forget, on, replace, with_landing, with_queue, with_repo, with_task
from andon.core.queue import facts
from andon.core.queue.facts import KEPT_LANDED, KEPT_LATE, KEPT_TIMES, KEPT_TRIED, Checked, Landed, Landing, Outcome, Queue
from andon.core.state import State, station_of
from andon.schema import events as e
from andon.schema.evidence import LandedMember, LandingParts
from andon.schema.ids import Oid, RepoId, TaskId


@on(e.LandingPlanned)
def _(state: State, event: e.LandingPlanned) -> State:
    members = event.members or (e.Member(task=event.task, commit=event.commit, at=state.at),)
    repo = state.repos.get(event.repo)
    landing = Landing(
        landing=event.landing, repo=event.repo, task=event.task, commit=event.commit, onto=event.onto, planned_at=state.at,
        members=members, why=event.why, suspect=event.suspect, manner=facts.manner_of(repo.settings) if repo else (),
    )
    return replace(state, landings=state.landings.set(event.landing, landing), landing_count=state.landing_count + 1)


@on(e.LandingMerged)
def _(state: State, event: e.LandingMerged) -> State:
    state = forget(state, event.landing, "merge-candidate")
    return with_landing(state, event.landing, candidate=event.candidate, tree=event.tree, steps=event.steps)


@on(e.LandingConflicted)
def _(state: State, event: e.LandingConflicted) -> State:
    known = state.landings.get(event.landing)
    if known is None:
        return state
    heads = {member.task: member.commit for member in known.members}
    if event.against and event.task:
        queue = state.repos[known.repo].queue
        pair = (heads.get(event.against, Oid("")), heads.get(event.task, Oid("")))
        state = with_queue(state, known.repo, clashing=(*(other for other in queue.clashing if other != pair), pair)[-KEPT_TRIED:])
    return end_landing(state, event.landing)


@on(e.LandingChecked)
def _(state: State, event: e.LandingChecked) -> State:
    known = state.landings.get(event.landing)
    if known is None:
        return state
    checked = Checked(
        check=event.check, result=event.result, run=event.run, because=event.because, failing=event.failing, detail=event.detail,
        final=event.final, walls=event.walls, evidence=event.evidence,
    )
    return with_landing(
        state, event.landing, checked=(*(other for other in known.checked if other.check != event.check), checked),
    )


@on(e.LandingJudged)
def _(state: State, event: e.LandingJudged) -> State:
    known = state.landings.get(event.landing)
    if known is None:
        return state
    queue = state.repos[known.repo].queue
    alone = known.why == "apart"
    counts = replace(queue.counts, proofs=queue.counts.proofs + 1, blamed=queue.counts.blamed + (event.result == "fail"),
                     stood=queue.counts.stood + (alone and event.result == "pass"))
    said = event.result != "unevaluated"
    before = queue.apart.outcomes if alone else queue.outcomes
    seen = next((outcome for outcome in before if same(outcome.members, known.members)), Outcome(members=known.members))
    if said and not (seen.passes or seen.fails):
        counts = replace(counts, trees=counts.trees + 1)
    seen = judged(seen, known, event)
    state = with_queue(
        state, known.repo, counts=counts, strange=() if said else queue.strange,
        outcomes=queue.outcomes if alone else learned(queue.outcomes, seen),
        apart=apart.judged(queue.apart, known, seen, event.result) if alone else queue.apart,
        **timed(queue, (state.at - known.planned_at) / 1000, event.result),
    )
    if event.result == "pass" and known.candidate and not (known.adrift or alone):
        return with_landing(state, event.landing, passed=True)
    return end_landing(state, event.landing)


def timed(queue: Queue, seconds: float, result: e.Result) -> dict[str, tuple[float, ...]]:
    """How long the proof took, beside the others that said the same."""
    if result == "pass":
        return {"seconds": (*queue.seconds, seconds)[-KEPT_TIMES:]}
    usual = statistics.median(queue.seconds) if queue.seconds else 0.0
    return {"failing": (*queue.failing, round(seconds / usual, 2))[-KEPT_TIMES:]} if result == "fail" and usual else {}


def judged(seen: Outcome, landing: Landing, event: e.LandingJudged) -> Outcome:
    """What is known of the members after one more proof of them."""
    seen = replace(seen, commit=landing.candidate, tree=landing.tree)
    if event.result == "pass":
        return replace(seen, passes=seen.passes + 1, unevaluated=0, final=False)
    failed = tuple(checked for checked in landing.checked if checked.result != "pass")
    failed = (*(old for old in seen.failed if old.result == "fail" and old.check not in {new.check for new in failed}), *failed)
    if event.result == "unevaluated":
        return replace(seen, unevaluated=seen.unevaluated + 1, final=event.final, because=event.because, failed=failed)
    names = tuple(dict.fromkeys((*seen.names, *(name for checked in failed for name in (checked.failing or (checked.check,))
                                if checked.result == "fail"))))
    runs = tuple(dict.fromkeys((*seen.runs, *(checked.run for checked in failed if checked.result == "fail"))))[-20:]
    return replace(
        seen, fails=seen.fails + 1, unevaluated=0, final=False, because=event.because, failed=failed, names=names[:100], runs=runs,
    )


@on(e.LandingChosen)
def _(state: State, event: e.LandingChosen) -> State:
    return with_landing(state, event.landing, chosen=True)


@on(e.LandingAbandoned)
def _(state: State, event: e.LandingAbandoned) -> State:
    known = state.landings.get(event.landing)
    if known is None:
        return state
    if known.candidate and not known.passed:
        counts = state.repos[known.repo].queue.counts
        state = with_queue(state, known.repo, counts=replace(counts, proofs=counts.proofs + 1, abandoned=counts.abandoned + 1))
    if known.chosen:
        state = with_queue(state, known.repo, late=(*state.repos[known.repo].queue.late, known)[-KEPT_LATE:])
    return end_landing(state, event.landing)


@on(e.TargetMoved)
def _(state: State, event: e.TargetMoved) -> State:
    late = (one for repo in state.repos.values() for one in repo.queue.late if one.landing == event.landing)
    known = state.landings.get(event.landing) or next(late, None)
    if known is None:
        return state
    state = passed_over(state, known)
    repo = state.repos[known.repo]
    queue = repo.queue
    counts = replace(queue.counts, moved=queue.counts.moved + 1, landed=queue.counts.landed + len(known.members))
    gone = {member.task for member in known.members}
    state = with_queue(
        state, known.repo, counts=counts, outcomes=stripped(queue.outcomes, known.members),
        moments=(*queue.moments, *(state.at for _ in known.members))[-KEPT_TIMES:],
        landed=(*queue.landed, *landed_by(known, event))[-KEPT_LANDED:],
        order=tuple(task for task in queue.order if task not in gone), late=(),
        unrecorded=(*queue.unrecorded, *recordable(state, known, event))[-facts.KEPT_UNRECORDED:],
    )
    state = end_landing(with_repo(state, known.repo, trunk=event.new, tree=known.tree), event.landing)
    state = apart.landed(state, known.repo, known.members)
    return follow(state, known, event.new)


def landed_by(landing: Landing, moved: e.TargetMoved) -> list[Landed]:
    """The members as changes that a red target may be traced to. The last one's commit is where the target was moved to."""
    ends = [*(step.commit for step in landing.steps[:-1]), moved.new]
    return [Landed(task=step.task, commit=end, before=before, tree=step.tree)
            for step, end, before in zip(landing.steps, ends, [moved.old, *ends], strict=False)]


def recordable(state: State, landing: Landing, moved: e.TargetMoved) -> list[LandingParts]:
    """What proved its tree, to be kept beside the bundles of its members; nothing where an older release left these unsealed."""
    if not all(member.seal for member in landing.members):
        return []
    repo = state.repos[landing.repo]
    ends = [*(step.commit for step in landing.steps[:-1]), moved.new]
    members = tuple(
        LandedMember(task=member.task, change=member.commit, commit=end, bundle=member.seal.bundle)
        for member, end in zip(landing.members, ends, strict=False) if member.seal
    )
    return [LandingParts(
        landing=landing.landing, repo=landing.repo, git_dir=repo.git_dir, target=repo.settings.target, onto=moved.old,
        how=repo.settings.queue.land, commit=moved.new, tree=landing.tree, members=members,
        runs=tuple(checked.evidence for checked in landing.checked if checked.evidence),
    )]


def stripped(outcomes: tuple[Outcome, ...], landed: Members) -> tuple[Outcome, ...]:
    """What is still known after these landed: members that began with them are now the rest of them on the new target."""
    count = len(landed)
    return tuple(
        replace(outcome, members=outcome.members[count:]) for outcome in outcomes
        if len(outcome.members) > count and same(outcome.members[:count], landed)
    )


def follow(state: State, moved: Landing, new: Oid) -> State:
    """Longer landings go on from the new target: the same commits lie on top of it. A tip of a proven history is made anew."""
    count = len(moved.members)
    green = state.repos[moved.repo].settings.queue.history == "green"
    for known in list(state.landings.values()):
        if known.repo != moved.repo or known.why == "apart" or len(known.members) <= count:
            continue
        if not same(known.members[:count], moved.members):
            continue
        rests = known.candidate and known.steps[: len(moved.steps)] == moved.steps
        if not rests or (green and known.passed):
            continue
        state = with_landing(state, known.landing, members=known.members[count:], steps=known.steps[count:], onto=new, adrift=green)
    return state


def passed_over(state: State, landing: Landing) -> State:
    """Those that came earlier, could have landed, and did not, were overtaken."""
    inside = {member.task for member in landing.members}
    for name in state.open:
        task = state.tasks[name]
        station = station_of(state, task)
        waits = station is not None and station.kind == "land" and task.work is not None and not (task.held or task.gate)
        if waits and task.repo == landing.repo and name not in inside:
            later = sum(1 for member in landing.members if member.at > task.queued)
            state = with_task(state, name, overtaken=task.overtaken + later) if later else state
    return state


@on(e.TargetObserved)
def _(state: State, event: e.TargetObserved) -> State:
    known, state = state.repos.get(event.repo), notes.wanted(state, event)
    if known is None or event.by == "landing" or known.trunk == event.oid:
        return with_repo(state, event.repo, trunk=event.oid, tree=event.tree)
    other = Landed(task=TaskId(""), commit=event.oid, before=known.trunk, tree=event.tree)
    state = with_queue(state, event.repo, landed=(*known.queue.landed, other)[-KEPT_LANDED:])
    return unlearned(with_repo(state, event.repo, trunk=event.oid, tree=event.tree), event.repo)


def unlearned(state: State, repo: RepoId) -> State:
    """Somebody else moved the target: what was seen of members on the old one says nothing any more."""
    known = state.repos[repo].queue.apart
    return with_queue(state, repo, outcomes=(), clashing=(), late=(), apart=replace(known, outcomes=(), stood=()))


def without_task(queue: Queue, task: TaskId) -> Queue:
    """Nothing is known of members with this task any more: somebody wants to know anew."""

    def others(known: tuple[Outcome, ...]) -> tuple[Outcome, ...]:
        return tuple(outcome for outcome in known if all(member.task != task for member in outcome.members))

    return replace(
        queue, outcomes=others(queue.outcomes), apart=replace(queue.apart, outcomes=others(queue.apart.outcomes)),
        strange=tuple(other for other in queue.strange if other != task),
    )
