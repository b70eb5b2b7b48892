"""What the merge queue hears of the world: merges, moves of the target, mirrors, remotes. Pure."""

from collections.abc import Callable
from typing import Any

from andon.core.queue import clashes, reverts, steer
from andon.core.state import State
from andon.core.stations import land
from andon.core.troubles import clear, noticed
from andon.schema import events as e, inputs as i
from andon.schema.errors import Problem


def merged(state: State, given: i.CandidateMerged, at: int) -> list[e.Event]:
    """There is a merged tree to prove."""
    landing = state.landings.get(given.landing)
    if landing is None or landing.candidate:
        return []
    return [e.LandingMerged(landing=given.landing, candidate=given.candidate, tree=given.tree, steps=given.steps)]


def conflicted(state: State, given: i.CandidateConflicted, at: int) -> list[e.Event]:
    """It does not merge."""
    return land.conflicted(state, given, at)


def swapped(state: State, given: i.TargetSwapped, at: int) -> list[e.Event]:
    """It landed."""
    return land.swapped(state, given)


def refused(state: State, given: i.LandingRefused, at: int) -> list[e.Event]:
    """It did not."""
    return land.refused(state, given)


def target_seen(state: State, given: i.TargetSeen, at: int) -> list[e.Event]:
    """Where the target stands."""
    return land.target_seen(state, given)


def mirror_seen(state: State, given: i.MirrorSeen, at: int) -> list[e.Event]:
    """Whether the person's branch follows; said once."""
    repo = state.repos.get(given.repo)
    if repo is None:
        return []
    known = (repo.mirror_tried, repo.mirrored, repo.mirror_because, repo.mirror_answered)
    asked = max(given.asked, repo.mirror_answered)
    if known == (given.oid, given.advanced, given.because, asked):
        return []
    return [e.TargetMirrored(
        repo=given.repo, oid=given.oid, advanced=given.advanced, because=given.because, mend=given.mend, asked=asked,
    )]


def published(state: State, given: i.PublishSeen, at: int) -> list[e.Event]:
    """What became of handing trunk on; said once for each commit."""
    repo = state.repos.get(given.repo)
    if repo is None or repo.queue.published == given.oid:
        return []
    key = f"publish:{given.repo}"
    told = e.TargetPublished(repo=given.repo, oid=given.oid, done=given.done, where=given.where, because=given.because)
    if given.done:
        return [told, *clear(state, key)]
    problem = Problem(what=f"{repo.settings.target} was not handed on: {given.because}", where=repo.path,
                      mend="it is tried again with the next landing; or push it yourself")
    return [told, *noticed(state, key, i.TroubleSeen(key="", problem=problem, repo=given.repo))]


HANDLERS: dict[type, Callable[[State, Any, int], list[e.Event]]] = {
    i.CandidateMerged: merged, i.CandidateConflicted: conflicted, i.TargetSwapped: swapped, i.LandingRefused: refused,
    i.TargetSeen: target_seen, i.MirrorSeen: mirror_seen, i.PublishSeen: published, i.ClashesSeen: clashes.seen,
    i.RevertMade: reverts.made, **steer.HANDLERS,
}
