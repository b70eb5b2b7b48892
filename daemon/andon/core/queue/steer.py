"""What a person asks of the merge queue, what it brings, and when it cannot be done. Pure."""

import difflib
from collections.abc import Callable
from typing import Any

from andon.core.failure import fingerprint, packet_of, send_back
from andon.core.queue.standing import at_queue, chosen, in_order
from andon.core.state import Repository, State, Task, line_of
from andon.schema import events as e, inputs as i
from andon.schema.errors import Problem
from andon.schema.ids import Oid, RepoId, TaskId, task_id

SPEC = "Take back what {task} landed as {commit}: “{title}”.{because}"


# --- what follows ----------------------------------------------------------------------------------------------------


def order(state: State, command: i.OrderQueue, at: int) -> list[e.Event]:
    """It stands before another one now, or in front."""
    task = state.tasks[command.task]
    repo = state.repos[task.repo]
    now = [other.task for other in in_order(state, repo) if other.task != task.task]
    place = now.index(command.before) if command.before in now else 0
    first = (*now[:place], task.task)
    kept = [other for other in repo.queue.order if other in now and other not in first]
    return [e.QueueOrdered(repo=repo.repo, order=(*first, *kept), by=command.by, because=command.because)]


def hold(state: State, command: i.HoldEntry, at: int) -> list[e.Event]:
    """It does not land until released."""
    return [e.EntryHeld(task=command.task, because=command.because, by=command.by)]


def release(state: State, command: i.ReleaseEntry, at: int) -> list[e.Event]:
    """It may land again."""
    return [e.EntryReleased(task=command.task, by=command.by)]


def drop(state: State, command: i.DropEntry, at: int) -> list[e.Event]:
    """It leaves the queue: back to its agent, or given up."""
    task = state.tasks[command.task]
    assert task.work is not None, "only a change in the queue is dropped"
    events: list[e.Event] = [e.EntrySentBack(
        repo=task.repo, task=task.task, commit=task.work.commit, reason="dropped", because=command.because,
    )]
    if task.gate:
        events.append(e.GateVoided(gate=task.gate, because=f"{task.task} was taken out of the queue"))
    if command.cancel:
        return [*events, e.TaskCancelled(task=task.task, because=command.because, by=command.by)]
    packet = packet_of("a person took it out of the merge queue", ("Reason", command.because))
    return [*events, *send_back(state, task, "rejected", fingerprint("dropped", command.because), packet, at)]


def stop(state: State, command: i.HoldQueue, at: int) -> list[e.Event]:
    """Nothing lands."""
    return [e.QueueHeld(repo=command.repo, because=command.because, by=command.by)]


def go_on(state: State, command: i.ResumeQueue, at: int) -> list[e.Event]:
    """It lands again."""
    return [e.QueueResumed(repo=command.repo, by=command.by)]


def mended(state: State, command: i.ForgetFlakes, at: int) -> list[e.Event]:
    """These tests count again."""
    return [e.FlakeForgotten(repo=command.repo, tests=command.tests, by=command.by)]


def forward(state: State, command: i.ForwardTarget, at: int) -> list[e.Event]:
    """The person's checkout is to follow trunk now."""
    return [e.ForwardAsked(repo=command.repo, by=command.by)]


def revert(state: State, command: i.RevertLanding, at: int) -> list[e.Event]:
    """A task that takes a landed one back; the same idempotency key never adds twice."""
    if command.key and command.key in state.keys:
        return []
    return [reverting(state, command.task, command.because, command.by, command.key)]


def reverting(state: State, task: TaskId, because: str, by: str, key: str = "") -> e.TaskAdded:
    """The task that takes a landed one back, on the line of that one."""
    known, past = state.tasks.get(task), state.past.get(task)
    title = known.title if known else past.title if past else ""
    repo = known.repo if known else past.repo if past else RepoId("")
    line = known.line if known and known.line in state.repos[repo].settings.lines else land_line(state, repo)
    commit, _ = landed_as(state, task)
    told = f" Because: {because}" if because else ""
    return e.TaskAdded(
        task=task_id(state.task_count + 1), repo=repo, title=f"Revert {task}: {title}"[:200], line=line, reverts=task,
        spec=SPEC.format(task=task, commit=commit[:12], title=title, because=told), key=key, by=by, may_remove_tests=True,
    )


def landed_as(state: State, task: TaskId) -> tuple[Oid, Oid]:
    """The commit that a task landed as, and the target's commit before it; empty where not known."""
    known = state.tasks.get(task) or state.past.get(task)
    return (known.landed, known.landed_before) if known else (Oid(""), Oid(""))


def land_line(state: State, repo: RepoId) -> str:
    """A line of the repository that has a land station; empty when none has."""
    lines = state.repos[repo].settings.lines.values()
    return next((line.name for line in lines if any(station.kind == "land" for station in line.stations)), "")


# --- what cannot be done ---------------------------------------------------------------------------------------------


def nearest(word: str, known: list[str]) -> str:
    """`did you mean …?`, or the known ones."""
    close = difflib.get_close_matches(word, known, n=1)
    return f"did you mean {close[0]}?" if close else f"known: {', '.join(sorted(known)[:12]) or 'none'}"


def in_queue(state: State, name: TaskId) -> Problem | None:
    """The task must stand in its queue, and not be on its way into the target at this moment."""
    task = state.tasks.get(name)
    if task is None:
        return Problem(what=f"there is no task {name} in the queue", mend="andon queue shows them")
    repo = state.repos[task.repo]
    if not any(other.task == name for other in at_queue(state, repo)):
        return Problem(what=f"{name} is not in the merge queue", mend=f"andon why {name} says where it is")
    return moving(state, repo, task)


def moving(state: State, repo: Repository, task: Task) -> Problem | None:
    """That it is too late: the target is being moved to it."""
    landing = chosen(state, repo)
    if landing is not None and landing.holds(task.task):
        mend = f"wait for it; then andon revert {task.task} if it must go"
        return Problem(what=f"{task.task} is landing at this moment", mend=mend)
    return None


def can_order(state: State, command: i.OrderQueue) -> Problem | None:
    """Both must stand in the same queue."""
    problem = in_queue(state, command.task)
    if problem is not None or not command.before:
        return problem
    repo = state.repos[state.tasks[command.task].repo]
    standing = [task.task for task in in_order(state, repo)]
    if command.before not in standing or command.before == command.task:
        what = f"{command.before} does not stand in line in {repo.repo}"
        return Problem(what=what, mend=f"in line: {', '.join(standing) or 'nobody'}")
    return None


def can_hold(state: State, command: i.HoldEntry) -> Problem | None:
    """An open task that has not landed."""
    task = state.tasks.get(command.task)
    if task is None or task.over or task.landed:
        return Problem(what=f"{command.task} is not on its way", mend="andon queue and andon list show what is")
    if task.held:
        what = f"{command.task} is held already by {task.held_by}: {task.held}"
        return Problem(what=what, mend=f"andon queue release {task.task}")
    return moving(state, state.repos[task.repo], task)


def can_release(state: State, command: i.ReleaseEntry) -> Problem | None:
    """Only what is held."""
    task = state.tasks.get(command.task)
    if task is None or not task.held:
        return Problem(what=f"{command.task} is not held", mend="nothing to do")
    return None


def can_drop(state: State, command: i.DropEntry) -> Problem | None:
    """Only with a reason, and only what stands in the queue."""
    if not command.because.strip():
        return Problem(what="a change is only taken out of the queue with a reason", mend='say it with --because "…"')
    return in_queue(state, command.task)


def known_repo(state: State, repo: RepoId) -> Problem | None:
    """The repository must be registered."""
    if repo in state.repos:
        return None
    return Problem(what=f"repository {repo} is not registered", mend=nearest(repo, [str(name) for name in state.repos]))


def can_stop(state: State, command: i.HoldQueue) -> Problem | None:
    """Only with a reason, and only a queue that moves."""
    unknown = known_repo(state, command.repo)
    if unknown is not None:
        return unknown
    if not command.because.strip():
        return Problem(what="a queue is only stopped with a reason", mend='say it with --because "…"')
    queue = state.repos[command.repo].queue
    if queue.held:
        return Problem(what=f"the queue of {command.repo} is already stopped by {queue.held_by}: {queue.held}",
                       mend=f"andon queue resume {command.repo} to go on")
    return None


def can_go_on(state: State, command: i.ResumeQueue) -> Problem | None:
    """Only a stopped queue can go on."""
    unknown = known_repo(state, command.repo)
    if unknown is None and not state.repos[command.repo].queue.held:
        return Problem(what=f"the queue of {command.repo} is not stopped", mend="nothing to do")
    return unknown


def can_mend(state: State, command: i.ForgetFlakes) -> Problem | None:
    """Only tests that are known to be flaky."""
    unknown = known_repo(state, command.repo)
    if unknown is not None:
        return unknown
    names = [flake.name for flake in state.repos[command.repo].queue.flakes]
    other = next((test for test in command.tests if test not in names), "")
    if other or not command.tests:
        return Problem(what=f"{other or 'no test'} is not known to be flaky in {command.repo}", mend=nearest(other, names))
    return None


def can_forward(state: State, command: i.ForwardTarget) -> Problem | None:
    """Only a checkout that does not follow."""
    unknown = known_repo(state, command.repo)
    if unknown is None and state.repos[command.repo].mirrored and state.repos[command.repo].trunk:
        return Problem(what=f"{command.repo} follows its target already", mend="nothing to do")
    return unknown


def can_revert(state: State, command: i.RevertLanding) -> Problem | None:
    """Only what landed, and what is not being taken back already."""
    known = state.tasks.get(command.task) or state.past.get(command.task)
    if known is None:
        return Problem(what=f"there is no task {command.task}", mend="andon list --all shows those that landed")
    commit, before = landed_as(state, command.task)
    if not commit:
        return Problem(what=f"{command.task} has not landed", mend=f"andon cancel {command.task} ends it before it does")
    if not before:
        what = f"{command.task} landed before the factory kept what a revert needs"
        return Problem(what=what, mend=f"git revert -m 1 {commit[:12]} on a branch of your own, then andon add")
    if not land_line(state, known.repo):
        return Problem(what=f"no line of {known.repo} has a land station", mend="add one to andon.toml")
    under_way = next((task for task in state.open if state.tasks[task].reverts == command.task), "")
    if under_way:
        return Problem(what=f"{under_way} takes {command.task} back already", mend=f"andon show {under_way}")
    return None


def line_lands(state: State, task: Task) -> str:
    """The name of the land station of a task's line; empty when it has none."""
    line = line_of(state, task)
    return next((station.name for station in line.stations if station.kind == "land"), "") if line else ""


HANDLERS: dict[type, Callable[[State, Any, int], list[e.Event]]] = {
    i.OrderQueue: order, i.HoldEntry: hold, i.ReleaseEntry: release, i.DropEntry: drop, i.HoldQueue: stop, i.ResumeQueue: go_on,
    i.ForgetFlakes: mended, i.ForwardTarget: forward, i.RevertLanding: revert,
}
CHECKS: dict[type, Callable[[State, Any], Problem | None]] = {
    i.OrderQueue: can_order, i.HoldEntry: can_hold, i.ReleaseEntry: can_release, i.DropEntry: can_drop, i.HoldQueue: can_stop,
    i.ResumeQueue: can_go_on, i.ForgetFlakes: can_mend, i.ForwardTarget: can_forward, i.RevertLanding: can_revert,
}
