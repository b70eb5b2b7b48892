"""Which of a person's commands to a running session cannot be done, and what to do instead. Pure."""

import difflib
from collections.abc import Callable
from typing import Any

from andon.core.messages import MESSAGE_BYTES, OPEN_MESSAGES
from andon.core.resume import possible
from andon.core.state import Attempt, State
from andon.schema import inputs as i
from andon.schema.errors import Problem
from andon.schema.ids import AttemptId


def unknown(state: State, attempt: AttemptId) -> Problem:
    """There is no such session, with the nearest that runs."""
    live = sorted(known.attempt for known in state.attempts.values() if known.live)
    if attempt in state.attempts:
        told = state.attempts[attempt]
        what = f"session {attempt} is over ({told.outcome or told.phase})"
        return Problem(what=what, mend=f"running: {', '.join(live[:12]) or 'none'}")
    of_task = next((known for known in live if known.partition(".")[0] == attempt), "")
    close = difflib.get_close_matches(attempt, live, n=1)
    near = of_task or (close[0] if close else "")
    mend = f"did you mean {near}?" if near else f"running: {', '.join(live[:12]) or 'none'}"
    return Problem(what=f"there is no session {attempt}", mend=mend)


def running(state: State, attempt: AttemptId) -> Attempt | Problem:
    """The running session, or why it cannot be spoken to now."""
    known = state.attempts.get(attempt)
    if known is None or not known.live:
        return unknown(state, attempt)
    if known.stop_asked or known.finish_asked or known.phase == "ended":
        because = known.stop_asked or known.finish_asked or "its process has ended"
        return Problem(what=f"session {attempt} is ending: {because}", mend=f"see andon why {known.task}")
    if known.phase != "running":
        return Problem(what=f"session {attempt} has not started yet", mend=f"see andon why {known.task}")
    return known


def interactive(state: State, attempt: AttemptId) -> Attempt | Problem:
    """The running session, when its agent takes words while it works."""
    known = running(state, attempt)
    if isinstance(known, Attempt) and not known.interactive:
        return Problem(
            what=f"agent {known.agent} takes no words while it works", where=str(attempt),
            mend=f"restart it with a note, or give {known.task} to an agent with a prompt of its own",
        )
    return known


def taken_by_other(known: Attempt, by: str) -> Problem | None:
    """Somebody else is at it."""
    if known.taken and known.taken != by:
        return Problem(what=f"session {known.attempt} was taken over by {known.taken}", mend="ask them to give it back")
    return None


def send(state: State, command: i.SendMessage) -> Problem | None:
    """There must be words, and room for them."""
    known = interactive(state, command.attempt)
    if isinstance(known, Problem):
        return known
    if not command.text.strip():
        return Problem(what="there are no words to send", where=str(command.attempt), mend='say it: andon send SESSION "…"')
    size = len(command.text.encode(errors="surrogatepass"))
    if size > MESSAGE_BYTES:
        what = f"the message has {size} bytes, the most that is sent is {MESSAGE_BYTES}"
        return Problem(what=what, where=str(command.attempt), mend="put it into a file of the checkout and name that")
    return room(known)


def room(known: Attempt) -> Problem | None:
    """Only so many messages wait."""
    if len(known.outbox) < OPEN_MESSAGES:
        return None
    what = f"{OPEN_MESSAGES} messages wait for {known.attempt} already"
    return Problem(what=what, mend=f"see why none is taken: andon explain {known.attempt}")


def nudge(state: State, command: i.Nudge) -> Problem | None:
    """One that nobody has taken over."""
    known = interactive(state, command.attempt)
    if isinstance(known, Problem):
        return known
    if known.taken:
        return Problem(what=f"session {known.attempt} was taken over by {known.taken}", mend="give it back first: andon give-back")
    return room(known)


def interrupt(state: State, command: i.Interrupt) -> Problem | None:
    """A turn that is not being interrupted already."""
    known = interactive(state, command.attempt)
    if isinstance(known, Problem):
        return known
    if known.interrupts > known.interrupts_done:
        return Problem(what=f"session {known.attempt} is being interrupted already", mend="wait a moment")
    if known.suspended or known.pause_asked:
        return Problem(what=f"session {known.attempt} is suspended: it runs no turn", mend=f"see andon why {known.task}")
    return taken_by_other(known, command.by)


def take_over(state: State, command: i.TakeOver) -> Problem | None:
    """Nobody else has it."""
    known = running(state, command.attempt)
    if isinstance(known, Problem):
        return known
    if known.taken:
        what = f"session {known.attempt} was already taken over by {known.taken}"
        return Problem(what=what, mend=f"look at it: andon attach {known.attempt}")
    return None


def give_back(state: State, command: i.GiveBack) -> Problem | None:
    """Only what was taken."""
    known = state.attempts.get(command.attempt)
    if known is None or not known.live:
        return unknown(state, command.attempt)
    return None if known.taken else Problem(what=f"session {known.attempt} was not taken over", mend="nothing to give back")


def restart(state: State, command: i.RestartSession) -> Problem | None:
    """One that runs, that nobody else drives, and that was not started again as often as it may be: by anybody."""
    known = running(state, command.attempt)
    if isinstance(known, Problem):
        return known
    if not possible(state, known):
        return Problem(
            what=f"session {known.attempt} has used up its restarts ({known.sitting - 1} of {state.factory.restarts})",
            mend=f"give its task to another agent: andon reassign {known.task} AGENT; begin anew: andon cancel {known.task}, then "
                 f"andon retry {known.task} (its work is kept in a salvage ref); or raise factory.restarts in your own settings",
        )
    return taken_by_other(known, command.by)


def reassign(state: State, command: i.ReassignTask) -> Problem | None:
    """To an agent that is there and is another one; a change that was accepted stays as it is."""
    task = state.tasks.get(command.task)
    if task is None or task.over:
        close = difflib.get_close_matches(command.task, list(state.open), n=1)
        what = f"there is no task {command.task}" if task is None else f"{command.task} is over ({task.outcome})"
        return Problem(what=what, mend=f"did you mean {close[0]}?" if close else "andon list shows the open ones")
    agents = state.repos[task.repo].settings.agents
    if command.agent not in agents:
        close = difflib.get_close_matches(command.agent, list(agents), n=1)
        known = f"did you mean {close[0]}?" if close else f"known: {', '.join(sorted(agents)[:12]) or 'none'}"
        return Problem(what=f"{task.repo} has no agent {command.agent}", mend=known)
    attempt = state.attempts.get(task.live)
    if (attempt.agent if attempt else task.agent) == command.agent:
        return Problem(what=f"{command.task} is with agent {command.agent} already", mend="restart its session instead")
    if task.work is not None or task.landed:
        return Problem(what=f"{command.task} has its change already", mend="reject it at its gate, then another agent may get it")
    if attempt is not None and attempt.stop_asked:
        return Problem(what=f"session {attempt.attempt} is ending: {attempt.stop_asked}", mend=f"see andon why {command.task}")
    return taken_by_other(attempt, command.by) if attempt else None


CHECKS: dict[type, Callable[[State, Any], Problem | None]] = {
    i.SendMessage: send, i.Nudge: nudge, i.Interrupt: interrupt, i.TakeOver: take_over, i.GiveBack: give_back,
    i.RestartSession: restart, i.ReassignTask: reassign,
}
