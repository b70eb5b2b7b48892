"""Tasks that take a landed change back: the daemon makes the change itself, and it lands like any other. Pure."""

from andon.core.classify import watch_of
from andon.core.queue.steer import landed_as, line_lands
from andon.core.state import State, Task
from andon.schema import effects as f, events as e, inputs as i


def advance(state: State, task: Task) -> list[e.Event]:
    """Its change goes straight to the queue: a person asked for it, or the policy did, and the merged tree is proven there."""
    station = line_lands(state, task)
    if not task.reverts or task.work is None or task.station or task.gate or not station:
        return []
    return [e.TaskEntered(task=task.task, station=station)]


def owes(state: State, task: Task) -> f.MakeRevert | None:
    """The change that is still to be made; None when there is none to make."""
    repo = state.repos[task.repo]
    commit, before = landed_as(state, task.reverts)
    if not task.reverts or task.work is not None or task.over or task.gate or not (commit and before and repo.trunk):
        return None
    return f.MakeRevert(
        task=task.task, repo=task.repo, git_dir=repo.git_dir, onto=repo.trunk, landed=commit, before=before, title=task.title,
        at=task.added_at, watch=watch_of(repo.settings.policy),
    )


def made(state: State, given: i.RevertMade, at: int) -> list[e.Event]:
    """It exists, or an agent must do it."""
    task = state.tasks.get(given.task)
    if task is None or task.over or not task.reverts or task.work is not None:
        return []
    if given.conflicts or not given.commit:
        return [e.RevertConflicted(task=given.task, paths=given.conflicts[:50])]
    return [e.RevertPrepared(
        task=given.task, commit=given.commit, tree=given.tree, base=given.base, base_tree=given.base_tree, paths=given.paths,
        paths_total=given.paths_total, insertions=given.insertions, deletions=given.deletions, diff=given.diff, facts=given.facts,
    )]
