"""Tells a person what settings that came into force judge less than those before them. Pure; it never keeps them from it."""

from andon.core.state import Repository, State
from andon.schema import events as e
from andon.schema.ids import TaskId
from andon.schema.loosening import loosened
from andon.schema.settings import Loaded

TOLD = 50


def told(state: State, repo: Repository, loaded: Loaded) -> list[e.Event]:
    """The event, and the problem when it was no approved change that brought it; its end when the edit was taken back. Nothing when
    nothing got weaker."""
    if not repo.digest or repo.digest == loaded.digest:
        return []
    key = f"loosened:{repo.repo}"
    known = state.problems.get(key)
    if known is not None and known.where.endswith(loaded.digest[:12]):
        return [e.ProblemCleared(key=key)]
    what = loosened(repo.settings, loaded.settings)[:TOLD]
    if not what:
        return []
    task = landed_by(state, repo)
    event = e.GateLoosened(repo=repo.repo, what=what, digest=loaded.digest, landed=task)
    if task:
        return [event]
    return [event, e.ProblemNoticed(
        key=key, repo=repo.repo, what=f"what judges {repo.repo} got weaker: {', '.join(what)}"[:600],
        where=known.where if known else f"andon.toml, edited by hand; before it, the settings were {repo.digest[:12]}",
        mend="if you meant it, put this away; if not, take the edit back",
    )]


def landed_by(state: State, repo: Repository) -> TaskId:
    """The task whose landing made trunk what it is and which changed the settings; empty when it was somebody else."""
    for known in reversed((*state.over, *state.open)):
        task = state.tasks.get(known)
        if task is not None and task.repo == repo.repo and task.landed and task.landed == repo.trunk and task.work is not None:
            return task.task if "andon.toml" in task.work.paths else TaskId("")
    return TaskId("")
