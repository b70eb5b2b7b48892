"""What seals and records of landings change."""

from andon.core.folds.table import forget, on, with_queue, with_task
from andon.core.state import Seal, State
from andon.schema import events as e


@on(e.ChangeSealed)
def _(state: State, event: e.ChangeSealed) -> State:
    seal = Seal(commit=event.commit, approved=event.approved, names=event.sealed)
    return with_task(forget(state, event.task, "seal-change"), event.task, seal=seal)


@on(e.LandingRecorded)
def _(state: State, event: e.LandingRecorded) -> State:
    repo = state.repos.get(event.repo)
    if repo is None:
        return state
    left = tuple(known for known in repo.queue.unrecorded if known.landing != event.landing)
    return with_queue(forget(state, event.repo, "record-landing"), event.repo, unrecorded=left)
