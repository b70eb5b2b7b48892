"""Walks a step backwards, one deed after the other, each only when the one before was seen to be done. Pure.

Theory of operation. An undo is a list of deeds in the State. What is owed next follows from it alone, so a killed daemon goes on
where it stood: a deed is begun by the events of the command that a person would have given, in the same write as the word that it
began; it is over when the State, which only holds what edges saw, shows its post-condition.
"""

from collections.abc import Callable

from andon.core.state import State, Task, cord_key
from andon.core.undone import Undo, number
from andon.schema import events as e, inputs as i
from andon.schema.errors import Problem
from andon.schema.ids import TaskId
from andon.schema.undo import DEEDS, Deed, DeedSeen, UndoBegun, UndoDeedBegun, UndoDeedSeen, UndoEnded, WalkBack

OPEN = 20
"""Undos that may be under way at once."""
Refuse = Callable[[State, i.Input], Problem | None]
Handle = Callable[[State, i.Input, int], list[e.Event]]


def begin(state: State, command: WalkBack, at: int) -> list[e.Event]:
    """The undo stands; its deeds follow in `advance`."""
    task = next((deed.task for deed in command.deeds if deed.task), TaskId(""))
    return [UndoBegun(
        undo=f"U{state.undo_count + 1}", subject=command.step, task=task, deeds=command.deeds, by=command.by,
        because=command.because,
    )]


def seen(state: State, given: DeedSeen, at: int) -> list[e.Event]:
    """An edge looked at what it did for a deed."""
    undo = state.undos.get(given.undo)
    if undo is None or undo.over or not undo.begun or given.n != undo.at + 1:
        return []
    if not given.done:
        return [UndoEnded(undo=given.undo, subject=undo.step, done=False, because=given.observed)]
    return [UndoDeedSeen(undo=given.undo, subject=undo.step, n=given.n, observed=given.observed)]


def can_begin(state: State, command: WalkBack, refuse: Refuse) -> Problem | None:
    """Each deed must be possible as the world is now, and no undo of the same step be under way."""
    if not command.deeds or len(command.deeds) > DEEDS:
        return Problem(what=f"{len(command.deeds)} deeds cannot be walked at once", mend=f"at most {DEEDS}: undo its parts")
    running = [undo for undo in state.undos.values() if not undo.over]
    same = next((undo for undo in running if undo.step == command.step), None)
    if same is not None:
        return Problem(what=f"{same.undo} walks {command.step} back already", mend=f"andon undo {command.step} shows how far it is")
    if len(running) >= OPEN:
        return Problem(what=f"{OPEN} undos are under way, the most at once", mend="wait for one")
    return next((why for deed in command.deeds if (why := cannot(state, deed, refuse)) is not None), None)


def cannot(state: State, deed: Deed, refuse: Refuse) -> Problem | None:
    """Why a deed cannot be done as the world is now: it was done already, or what the step left is something else by now."""
    now = left_by(state, deed)
    if deed.found and now != deed.found:
        return Problem(what=f"it is no longer as the step left it: {deed.told} was meant for “{deed.found}”, and now there is "
                            f"{f'“{now}”' if now else 'nothing of it'}", mend="andon log tells what happened since")
    if deed.kind == "revert" and (back := taken_back(state, deed.task)) is not None:
        return Problem(what=f"{deed.task} was taken back already: {back.task} landed as {back.landed[:12]}",
                       mend=f"andon show {back.task}")
    if deed.kind == "order" and deed.repo not in state.repos:
        return Problem(what=f"repository {deed.repo} is not registered", mend="andon status lists those that are")
    command = command_of(deed, "", "undo", "")
    return refuse(state, command) if command is not None else None


def left_by(state: State, deed: Deed) -> str:
    """What a step of this kind left that a deed would take away, as it is now."""
    repo, task = state.repos.get(deed.repo), state.tasks.get(deed.task)
    if deed.kind == "free-line":
        cord = state.cords.get(cord_key(deed.repo, deed.line))
        return cord.because if cord else ""
    if deed.kind == "free-queue":
        return repo.queue.held if repo else ""
    if deed.kind == "free-entry":
        return task.held if task else ""
    return " ".join(repo.queue.order) if deed.kind == "order" and repo else ""


def taken_back(state: State, task: TaskId) -> Task | None:
    """The landed task that took another one back."""
    return next((known for known in state.tasks.values() if known.reverts == task and known.landed), None)


def command_of(deed: Deed, by: str, because: str, key: str) -> i.Command | None:
    """What a person would have asked for; None for what is no command."""
    match deed.kind:
        case "revert":
            return i.RevertLanding(task=deed.task, because=because, key=key, by=by)
        case "end":
            return i.CancelTask(task=deed.task, because=because, by=by)
        case "reopen":
            return i.RetryTask(task=deed.task, note=because, by=by)
        case "free-line":
            return i.ReleaseCord(repo=deed.repo, line=deed.line, by=by)
        case "stop-line":
            return i.PullCord(repo=deed.repo, line=deed.line, because=because, by=by)
        case "free-queue":
            return i.ResumeQueue(repo=deed.repo, by=by)
        case "stop-queue":
            return i.HoldQueue(repo=deed.repo, because=because, by=by)
        case "free-entry":
            return i.ReleaseEntry(task=deed.task, by=by)
        case "hold-entry":
            return i.HoldEntry(task=deed.task, because=because, by=by)
    return None


# --- what follows ----------------------------------------------------------------------------------------------------


def advance(state: State, at: int, refuse: Refuse, handle: Handle) -> list[e.Event]:
    """The next word of the first undo that can go on; nothing while all wait for the world."""
    for undo in sorted(state.undos.values(), key=lambda undo: number(undo.undo)):
        if undo.over:
            continue
        if undo.at >= len(undo.deeds):
            return [UndoEnded(undo=undo.undo, subject=undo.step, done=True)]
        events = look(state, undo) if undo.begun else start(state, undo, at, refuse, handle)
        if events:
            return events
    return []


def start(state: State, undo: Undo, at: int, refuse: Refuse, handle: Handle) -> list[e.Event]:
    """The deed that is next, in one write with the word that it began; or why it cannot be done any more."""
    deed = undo.deeds[undo.at]
    why = cannot(state, deed, refuse)
    if why is not None:
        return [UndoEnded(undo=undo.undo, subject=undo.step, done=False, because=f"{deed.told}: {why.what}")]
    begun = UndoDeedBegun(undo=undo.undo, subject=undo.step, n=undo.at + 1)
    if deed.kind == "order":
        return [begun, e.QueueOrdered(repo=deed.repo, order=deed.order, by=undo.by, because=f"undo of {undo.step}")]
    because = undo.because or f"undo of {undo.step}"
    command = command_of(deed, undo.by, because, key_of(undo))
    return [begun, *(handle(state, command, at) if command is not None else [])]


def key_of(undo: Undo) -> str:
    """The idempotency key of the deed that an undo is at."""
    return f"undo:{undo.undo}:{undo.at + 1}"


def look(state: State, undo: Undo) -> list[e.Event]:
    """Whether what was begun is seen to be done, or can no longer come about."""
    deed = undo.deeds[undo.at]
    done, told = holds(state, undo, deed)
    if done:
        return [UndoDeedSeen(undo=undo.undo, subject=undo.step, n=undo.at + 1, observed=told)]
    return [UndoEnded(undo=undo.undo, subject=undo.step, done=False, because=told)] if told else []


def holds(state: State, undo: Undo, deed: Deed) -> tuple[bool, str]:
    """Whether the post-condition of a deed is there, and by what it was seen; or False and why it never will be."""
    if deed.kind == "revert":
        return reverted(state, undo, deed)
    if deed.kind == "end":
        return ended(state, deed)
    repo, task = state.repos.get(deed.repo), state.tasks.get(deed.task)
    cord = cord_key(deed.repo, deed.line) in state.cords
    seen_now = {
        "reopen": (task is not None and not task.over, "it is open"), "free-line": (not cord, "no cord stops the line"),
        "stop-line": (cord, "a cord stops the line"),
        "free-queue": (repo is not None and not repo.queue.held, "nothing holds the queue"),
        "stop-queue": (repo is not None and bool(repo.queue.held), "the queue is held"),
        "free-entry": (task is not None and not task.held, "nothing holds the change"),
        "hold-entry": (task is not None and bool(task.held), "the change is held"),
        "order": (repo is not None and repo.queue.order == deed.order, "the order is as it was"),
    }
    there, told = seen_now.get(deed.kind, (False, ""))
    return there, told if there else ""


def reverted(state: State, undo: Undo, deed: Deed) -> tuple[bool, str]:
    """The revert of this deed has landed, and the person's branch was taken along or is said to be in the way."""
    made = state.keys.get(key_of(undo), TaskId(""))
    known = state.tasks.get(made) or state.past.get(made)
    if known is None:
        return False, f"nothing takes {deed.task} back" if made else ""
    repo = state.repos[known.repo]
    if known.landed:
        if repo.mirror_tried != repo.trunk:
            return False, ""
        branch = "follows" if repo.mirrored else f"does not follow: {repo.mirror_because}"
        return True, f"{made} landed as {known.landed[:12]}; {repo.settings.target} {branch}"
    over = known.outcome in ("failed", "cancelled")
    return False, f"{made}, which takes {deed.task} back, was {known.outcome}" if over else ""


def ended(state: State, deed: Deed) -> tuple[bool, str]:
    """The task is over and none of its checkouts stands."""
    known = state.tasks.get(deed.task) or state.past.get(deed.task)
    if known is not None and known.landed:
        return False, f"{deed.task} landed as {known.landed[:12]} in the meantime"
    over = known is None or bool(known.outcome)
    standing = [one.attempt for one in state.attempts.values() if one.task == deed.task and one.phase != "removed"]
    return over and not standing, f"{deed.task} is over and no checkout of it stands" if over and not standing else ""
