"""What the steps of a landing change."""

from andon.core.folds.table import end_landing, forget, on, replace, with_landing, with_repo, with_task
from andon.core.state import Landing, State
from andon.schema import events as e


@on(e.LandingPlanned)
def _(state: State, event: e.LandingPlanned) -> State:
    landing = Landing(
        landing=event.landing, repo=event.repo, task=event.task, commit=event.commit, onto=event.onto, planned_at=state.at,
    )
    state = replace(state, landings=state.landings.set(event.landing, landing), landing_count=state.landing_count + 1)
    state = with_repo(state, event.repo, landing=event.landing)
    return with_task(state, event.task, landing=event.landing)


@on(e.LandingMerged)
def _(state: State, event: e.LandingMerged) -> State:
    return with_landing(forget(state, event.landing, "merge-candidate"), event.landing, candidate=event.candidate, tree=event.tree)


@on(e.LandingConflicted)
def _(state: State, event: e.LandingConflicted) -> State:
    return end_landing(state, event.landing)


@on(e.LandingAbandoned)
def _(state: State, event: e.LandingAbandoned) -> State:
    return end_landing(state, event.landing)


@on(e.TargetMoved)
def _(state: State, event: e.TargetMoved) -> State:
    known = state.landings.get(event.landing)
    if known is None:
        return state
    state = with_repo(state, known.repo, trunk=event.new, tree=known.tree)
    return end_landing(state, event.landing)
