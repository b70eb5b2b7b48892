"""Which of a person's commands cannot be done, and what to do instead. Pure; `decide` ignores what is refused here."""

import difflib
from collections.abc import Callable, Iterable
from typing import Any

from andon.core import approvals, gates, lights, money, race, refusals, steer, undoing, waivers
from andon.core.queue import steer as queue_steer
from andon.core.state import Gate, State, cord_key
from andon.core.stations import land
from andon.schema import inputs as i
from andon.schema.errors import Problem
from andon.schema.ids import TaskId

OPEN_TASKS = 2000
"""Tasks that may be open at once in one factory."""
SPEC_LIMIT = 256 * 1024
"""Characters of a task's spec."""


def refuse(state: State, command: i.Input) -> Problem | None:
    """The reason why a command cannot be done now; None when it can."""
    check = CHECKS.get(type(command))
    return check(state, command) if check else None


def nearest(word: str, known: Iterable[str]) -> str:
    """`Did you mean …?`, or the known ones."""
    known = list(known)
    close = difflib.get_close_matches(word, known, n=1)
    if close:
        return f"did you mean {close[0]}?"
    return f"known: {', '.join(sorted(known)[:12])}" if known else "there is none yet"


def add(state: State, command: i.AddTask) -> Problem | None:
    """Repository, line, agent and dependencies must exist, and there must be something to do."""
    repo = state.repos.get(command.repo)
    if repo is None:
        return Problem(what=f"repository {command.repo} is not registered", mend=nearest(command.repo, state.repos))
    if not command.title.strip() or not command.spec.strip():
        return Problem(what="the task has no text", mend="say what is to be done, where it starts and what shows that it is done")
    if len(command.spec) > SPEC_LIMIT:
        return Problem(what=f"the spec has {len(command.spec)} characters", mend=f"at most {SPEC_LIMIT}: put detail into files")
    if command.line not in repo.settings.lines:
        return Problem(what=f"{command.repo} has no line {command.line}", mend=nearest(command.line, repo.settings.lines))
    if command.agent and command.agent not in repo.settings.agents:
        return Problem(what=f"{command.repo} has no agent {command.agent}", mend=nearest(command.agent, repo.settings.agents))
    if (odd := race.refuse(state, command)) is not None:
        return odd
    itself = f"T{state.task_count + 1}"
    if itself in command.after:
        return Problem(what=f"{itself} would wait for itself: a cycle", where="--after", mend="leave it out of --after")
    for other in command.after:
        if other not in state.tasks and other not in state.past:
            return Problem(what=f"there is no task {other}", where="--after", mend=nearest(other, state.tasks))
    if len(state.open) >= OPEN_TASKS:
        return Problem(what=f"{OPEN_TASKS} tasks are open, the most one factory takes", mend="land or cancel some first")
    return None


def answer(state: State, command: i.AnswerGate) -> Problem | None:
    """What `ready` says, and whose yes counts."""
    problem = ready(state, command)
    return problem or approvals.refuse(state, state.gates[command.gate], command)


def ready(state: State, command: i.AnswerGate) -> Problem | None:
    """The gate must be open, the option one of its own, and the person must have seen what it is bound to."""
    gate = state.gates.get(command.gate)
    if gate is None:
        return gates.closed(state, command.gate)
    options = [option.key for option in gate.options]
    if command.option not in options:
        return Problem(what=f"{command.gate} has no option {command.option}", mend=f"one of: {', '.join(options)}")
    if gate.bound and command.bound != gate.bound:
        return Problem(
            what=f"{command.gate} now asks about something else than you saw", where=gate.question,
            mend=f"look at it again: andon gate show {command.gate}",
        )
    return answer_text(gate, command)


def answer_text(gate: Gate, command: i.AnswerGate) -> Problem | None:
    """Some answers need words."""
    needs = (gate.kind == "review" and command.option == "reject") or (gate.kind == "question" and command.option == "answer")
    if needs and not command.because.strip():
        return Problem(what=f"{command.option} needs words", where=command.gate, mend='say it with --because "…"')
    return None


def unknown_task(state: State, task: TaskId) -> Problem:
    """There is no such task, or it was over too long ago to do anything with it."""
    past = state.past.get(task)
    if past is None:
        return Problem(what=f"there is no task {task}", mend=nearest(task, state.tasks))
    return Problem(what=f"{task} was over long ago ({past.outcome})", mend="add a new task for what is still to be done")


def cancel(state: State, command: i.CancelTask) -> Problem | None:
    """Only open tasks, and not in the moment in which one lands."""
    task = state.tasks.get(command.task)
    if task is None:
        return unknown_task(state, command.task)
    if task.over or task.landed:
        return Problem(what=f"{command.task} is over ({task.outcome or 'landed'})", mend="nothing to cancel")
    if land.landing_now(state, task):
        return Problem(what=f"{command.task} is landing at this moment", mend="wait for it; then revert it if it must go")
    return None


def retry(state: State, command: i.RetryTask) -> Problem | None:
    """What failed, was cancelled, or waits for an answer about a failure."""
    task = state.tasks.get(command.task)
    if task is None:
        return unknown_task(state, command.task)
    if task.landed or task.outcome == "done":
        return Problem(what=f"{command.task} has landed", mend="add a new task for what is still to be done")
    gate = state.gates.get(task.gate)
    if not task.over and not (gate and gate.kind in ("failure", "unevaluated")):
        return Problem(what=f"{command.task} is still in work", mend=f"see andon why {command.task}; cancel it first to start anew")
    return None


def line_known(state: State, repo: str, line: str) -> Problem | None:
    """The line must exist."""
    known = next((found for name, found in state.repos.items() if name == repo), None)
    if known is None:
        return Problem(what=f"repository {repo} is not registered", mend=nearest(repo, state.repos))
    if line not in known.settings.lines:
        return Problem(what=f"{repo} has no line {line}", mend=nearest(line, known.settings.lines))
    return None


def pull(state: State, command: i.PullCord) -> Problem | None:
    """A cord needs a reason, and a line that moves."""
    if not command.because.strip():
        return Problem(what="a line is only stopped with a reason", mend='say it with --because "…"')
    unknown = line_known(state, command.repo, command.line)
    cord = state.cords.get(cord_key(command.repo, command.line))
    if unknown is None and cord is not None:
        return Problem(what=f"line {command.line} is already stopped by {cord.by}: {cord.because}", mend="andon resume to go on")
    return unknown


def release(state: State, command: i.ReleaseCord) -> Problem | None:
    """Only a stopped line can go on."""
    unknown = line_known(state, command.repo, command.line)
    if unknown is None and cord_key(command.repo, command.line) not in state.cords:
        return Problem(what=f"line {command.line} of {command.repo} is not stopped", mend="nothing to do")
    return unknown


def trust(state: State, command: i.TrustCommands) -> Problem | None:
    """Trust goes to what was shown."""
    repo = state.repos.get(command.repo)
    if repo is None:
        return Problem(what=f"repository {command.repo} is not registered", mend=nearest(command.repo, state.repos))
    if command.commands != repo.commands:
        what = f"the commands of {command.repo} are others than you were shown"
        return Problem(what=what, mend=f"look at them again: andon trust {command.repo}")
    return None


CHECKS: dict[type, Callable[[State, Any], Problem | None]] = {
    i.AddTask: add, i.AnswerGate: answer, i.CancelTask: cancel, i.RetryTask: retry, i.PullCord: pull,
    i.ReleaseCord: release, i.TrustCommands: trust, **money.CHECKS, **steer.CHECKS, **queue_steer.CHECKS,
    i.DismissProblem: refusals.refuse, i.WalkBack: lambda state, command: undoing.can_begin(state, command, refuse), **gates.CHECKS, **waivers.CHECKS, **lights.CHECKS,
}
