"""What events about the factory, its repositories and its lines change."""

from andon.core.folds.table import forget, on, replace, with_landing, with_queue, with_repo, without
from andon.core.state import Cord, Repository, State, Trouble, cord_key
from andon.schema import events as e
from andon.schema.ids import RepoId
from andon.schema.settings import Settings


@on(e.FactoryStarted)
def _(state: State, event: e.FactoryStarted) -> State:
    return replace(state, version=event.version, pid=event.pid, started_at=state.at, cores=event.cores, walls=event.walls,
                   seed=event.seed or state.seed)


@on(e.WallsSeen)
def _(state: State, event: e.WallsSeen) -> State:
    return replace(state, walls=event.reached)


@on(e.FactoryConfigured)
def _(state: State, event: e.FactoryConfigured) -> State:
    return replace(state, factory=event.settings)


@on(e.ProblemNoticed)
def _(state: State, event: e.ProblemNoticed) -> State:
    trouble = Trouble(what=event.what, where=event.where, mend=event.mend, repo=event.repo, task=event.task, at=state.at)
    return replace(state, problems=state.problems.set(event.key, trouble))


@on(e.ProblemCleared)
def _(state: State, event: e.ProblemCleared) -> State:
    return replace(state, problems=without(state.problems, event.key))


@on(e.RepositoryRegistered)
def _(state: State, event: e.RepositoryRegistered) -> State:
    known = state.repos.get(event.repo)
    repo = Repository(repo=event.repo, path=event.path, git_dir=event.git_dir)
    repo = replace(known, path=event.path, git_dir=event.git_dir) if known else repo
    return replace(state, repos=state.repos.set(event.repo, repo))


@on(e.SettingsActivated)
def _(state: State, event: e.SettingsActivated) -> State:
    known = state.repos.get(event.repo)
    if known is not None and judging(known.settings) != judging(event.settings):
        state = judged_anew(state, event.repo)
    return with_repo(
        state, event.repo, settings=event.settings, digest=event.digest, commands=event.commands, notes=event.notes,
    )


def judging(settings: Settings) -> tuple[object, ...]:
    """What a proof of a merged tree depends on besides the tree."""
    return settings.checks, settings.checkout.setup, settings.checkout.keep, settings.lines


def judged_anew(state: State, repo: RepoId) -> State:
    """What earlier checks said of merged trees no longer counts; what the target is already being moved to stays."""
    for landing in list(state.landings.values()):
        if landing.repo == repo and not landing.chosen:
            state = with_landing(state, landing.landing, checked=(), passed=False)
    return with_queue(state, repo, outcomes=(), strange=())


@on(e.CommandsTrusted)
def _(state: State, event: e.CommandsTrusted) -> State:
    return with_repo(state, event.repo, trusted=event.commands)


@on(e.TargetMirrored)
def _(state: State, event: e.TargetMirrored) -> State:
    return with_repo(
        forget(state, event.repo, "mirror-target"), event.repo, mirror_tried=event.oid, mirrored=event.advanced,
        mirror_because=event.because, mirror_mend=event.mend, mirror_answered=event.asked,
    )


@on(e.CordPulled)
def _(state: State, event: e.CordPulled) -> State:
    cord = Cord(because=event.because, by=event.by, at=state.at)
    return replace(state, cords=state.cords.set(cord_key(event.repo, event.line), cord))


@on(e.CordReleased)
def _(state: State, event: e.CordReleased) -> State:
    state = replace(state, cords=without(state.cords, cord_key(event.repo, event.line)))
    return with_queue(state, event.repo, watched=())
