"""What decisions about the merge queue, clashes, flakes and the state of the target change."""

from andon.core.folds import apart, policy
from andon.core.folds.table import forget, on, replace, with_queue, with_repo, with_task
from andon.core.queue.facts import KEPT_CLASHES, KEPT_FLAKES, KEPT_RUNS, Flake, Meeting, Red
from andon.core.state import State, Work
from andon.schema import events as e
from andon.schema.ids import AttemptId, TaskId


@on(e.QueueOrdered)
def _(state: State, event: e.QueueOrdered) -> State:
    return with_queue(state, event.repo, order=event.order)


@on(e.EntryHeld)
def _(state: State, event: e.EntryHeld) -> State:
    return with_task(state, event.task, held=event.because or "held", held_by=event.by)


@on(e.EntryReleased)
def _(state: State, event: e.EntryReleased) -> State:
    return with_task(state, event.task, held="", held_by="")


@on(e.EntrySentBack)
def _(state: State, event: e.EntrySentBack) -> State:
    known = state.repos.get(event.repo)
    if known is None:
        return state
    counts = known.queue.counts
    counts = replace(
        counts, sent_back=counts.sent_back + 1, culprits=counts.culprits + (event.reason == "failed"),
        conflicts=counts.conflicts + (event.reason == "conflict"),
    )
    state = with_queue(state, event.repo, counts=counts)
    return apart.sent_back(state, event.repo, event.task, event.commit) if event.reason == "failed" else state


@on(e.QueueHeld)
def _(state: State, event: e.QueueHeld) -> State:
    return with_queue(state, event.repo, held=event.because or "held", held_by=event.by, held_at=state.at)


@on(e.QueueResumed)
def _(state: State, event: e.QueueResumed) -> State:
    return with_queue(state, event.repo, held="", held_by="", held_at=0, strange=())


@on(e.FlakeSeen)
def _(state: State, event: e.FlakeSeen) -> State:
    repo = state.repos.get(event.repo)
    if repo is None:
        return state
    flakes = repo.queue.flakes
    for name in event.tests or (event.check,):
        known = next((flake for flake in flakes if (flake.name, flake.check) == (name, event.check)), None)
        before = known or Flake(name=name, check=event.check, seen=0, at=0)
        trees = (*(tree for tree in before.trees if tree != event.tree), event.tree)[-3:]
        new = replace(before, seen=before.seen + 1, at=state.at, trees=trees, runs=(*before.runs, *event.runs)[-KEPT_RUNS:],
                      since=before.since or state.at, passes=0)
        flakes = (*(flake for flake in flakes if flake is not known), new)[-KEPT_FLAKES:]
    counts = replace(repo.queue.counts, flaky=repo.queue.counts.flaky + 1)
    return with_queue(state, event.repo, flakes=flakes, counts=counts)


@on(e.FlakeForgotten)
def _(state: State, event: e.FlakeForgotten) -> State:
    known = state.repos.get(event.repo)
    if known is None:
        return state
    return with_queue(state, event.repo, flakes=tuple(flake for flake in known.queue.flakes if flake.name not in event.tests))


@on(e.ClashSeen)
def _(state: State, event: e.ClashSeen) -> State:
    known = state.repos.get(event.repo)
    if known is None:
        return state
    before = next((one for one in known.queue.meetings if (one.one, one.other) == (event.one, event.other)), None)
    since = before.since if before and before.kind == event.kind else state.at
    seen = Meeting(one=event.one, other=event.other, kind=event.kind, hunks=event.hunks, heads=event.heads, since=since)
    others = tuple(one for one in known.queue.meetings if one is not before)
    return with_queue(state, event.repo, meetings=(*others, seen)[-KEPT_CLASHES:])


@on(e.ClashGone)
def _(state: State, event: e.ClashGone) -> State:
    known = state.repos.get(event.repo)
    if known is None:
        return state
    left = tuple(one for one in known.queue.meetings if (one.one, one.other) != (event.one, event.other))
    return with_queue(state, event.repo, meetings=left)


@on(e.TargetRed)
def _(state: State, event: e.TargetRed) -> State:
    known = state.repos.get(event.repo)
    if known is None:
        return state
    state = policy.escaped(state, event.suspects[0]) if len(event.suspects) == 1 else state
    before = next((red for red in known.queue.red if red.check == event.check), None)
    red = Red(check=event.check, because=event.because, commit=event.commit, run=event.run,
              since=before.since if before else state.at, suspects=event.suspects)
    return with_queue(state, event.repo, red=(*(other for other in known.queue.red if other is not before), red))


@on(e.TargetGreen)
def _(state: State, event: e.TargetGreen) -> State:
    known = state.repos.get(event.repo)
    if known is None:
        return state
    green = (*(pair for pair in known.queue.green if pair[0] != event.check), (event.check, event.commit))
    return with_queue(state, event.repo, green=green, red=tuple(red for red in known.queue.red if red.check != event.check))


@on(e.RevertPrepared)
def _(state: State, event: e.RevertPrepared) -> State:
    work = Work(
        attempt=AttemptId(""), commit=event.commit, tree=event.tree, base=event.base, base_tree=event.base_tree, paths=event.paths,
        paths_total=event.paths_total, insertions=event.insertions, deletions=event.deletions, diff=event.diff, facts=event.facts,
    )
    return with_task(forget(state, event.task, "make-revert"), event.task, work=work)


@on(e.RevertConflicted)
def _(state: State, event: e.RevertConflicted) -> State:
    known = state.tasks.get(event.task)
    if known is None:
        return state
    told = f"Git cannot take it back by itself: later work changed the same places, in {', '.join(event.paths[:10])}."
    state = forget(state, event.task, "make-revert")
    return with_task(state, event.task, reverts=TaskId(""), packet=f"{known.packet}\n\n{told}".strip())


@on(e.ForwardAsked)
def _(state: State, event: e.ForwardAsked) -> State:
    known = state.repos.get(event.repo)
    return with_repo(state, event.repo, mirror_asked=known.mirror_asked + 1) if known else state


@on(e.TargetPublished)
def _(state: State, event: e.TargetPublished) -> State:
    return with_queue(
        state, event.repo, published=event.oid, published_where=event.where if event.done else "",
        published_because="" if event.done else event.because,
    )
