"""Live changes that meet: what the forecast saw becomes events when it is news. Pure."""

from andon.core.queue.facts import Meeting
from andon.core.state import Repository, State
from andon.schema import events as e, inputs as i
from andon.schema.ids import TaskId

HUNKS = 20
"""Hunks of one pair that are remembered."""


def seen(state: State, given: i.ClashesSeen, at: int) -> list[e.Event]:
    """What is new, what is different, and what no longer is. Pairs that were not compared stay as they were."""
    repo = state.repos.get(given.repo)
    if repo is None:
        return []
    known = {(one.one, one.other): one for one in repo.queue.meetings}
    events: list[e.Event] = []
    told = set()
    for clash in given.clashes:
        if not (alive(state, clash.one) and alive(state, clash.other)):
            continue
        told.add((clash.one, clash.other))
        before = known.get((clash.one, clash.other))
        if before is None or news(before, clash):
            events.append(e.ClashSeen(
                repo=given.repo, one=clash.one, other=clash.other, kind=clash.kind, hunks=clash.hunks[:HUNKS], heads=clash.heads,
            ))
    compared = set(given.compared)
    gone = [pair for pair in known if pair not in told and set(pair) <= compared]
    return [*events, *(e.ClashGone(repo=given.repo, one=one, other=other) for one, other in gone)]


def news(before: Meeting, clash: i.Clash) -> bool:
    """Whether it says something else than before: another kind, or other places. Other heads alone are none."""
    return (before.kind, before.hunks) != (clash.kind, clash.hunks[:HUNKS])


def alive(state: State, task: TaskId) -> bool:
    """Whether its change is still on its way."""
    known = state.tasks.get(task)
    return known is not None and not known.over and not known.landed


def past(state: State, repo: Repository, at: int) -> list[e.Event]:
    """Meetings with a change that has landed or is over."""
    return [
        e.ClashGone(repo=repo.repo, one=one.one, other=one.other) for one in repo.queue.meetings
        if not (alive(state, one.one) and alive(state, one.other))
    ]
