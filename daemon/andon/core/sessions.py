"""What the factory does about running sessions: asks, messages, turns, ladders, resumption. Pure; it judges no session.

Theory of operation. Handlers only record what was seen, each thing once. What follows from it (a decision of the settings, a
gate, a nudge, the end of a finished session, a rung) is asked for in `asks` whenever the factory settles, so nothing hangs on
an input that was lost. While a person has taken a session over, none of it is done.
"""

from collections.abc import Callable, Iterator
from typing import Any

from andon.core import asks as open_asks, ladder, messages, money, refusals, steer, turns
from andon.core.state import Attempt, State, Task
from andon.schema import effects as f, events as e, inputs as i
from andon.schema.errors import Problem


def owes(state: State, attempt: Attempt, at: int) -> Iterator[f.Effect]:
    """What a running attempt is owed beside its steps: answers, messages, interrupts, looks."""
    if attempt.stop_asked:
        return
    yield from open_asks.owes(attempt)
    tries = state.tries.get(f"{attempt.attempt} deliver-message")
    yield from messages.owes(state, attempt, tries.tries if tries else 0)
    if attempt.interrupts > attempt.interrupts_done and not attempt.suspended:
        yield f.InterruptTurn(attempt=attempt.attempt, n=attempt.interrupts)
    yield from turns.owes(state, attempt)


def asks(state: State, task: Task, at: int) -> list[e.Event]:
    """What follows by itself from what is known of the task's running session: a decision, a gate, words, its end, a rung."""
    attempt = state.attempts.get(task.live)
    if attempt is None or attempt.phase != "running":
        return []
    late = messages.overdue(state, attempt, at) if attempt.outbox else []
    if late or not attempt.at_work:
        return late
    wanted = open_asks.wanted(state, task, attempt, at) if attempt.open_asks else []
    return wanted or turns.wanted(state, task, attempt, at) or ladder.wanted(state, task, attempt, at)


def ticked(state: State, at: int) -> list[e.Event]:
    """Nothing of its own: what time brings about is asked for in `asks`, after every input and every tick."""
    return []


def deadlines(state: State, at: int) -> Iterator[int]:
    """Moments after `at` at which a rung is due or a receipt is overdue. That a sitting may start stands among the retries."""
    for attempt in state.attempts.values():
        if attempt.phase == "running":
            due = ladder.due(state, attempt)
            yield from (moment for moment in (*messages.deadlines(attempt), due or 0) if moment > at)


# --- what was seen ---------------------------------------------------------------------------------------------------


def login_moved(state: State, given: i.LoginMoved, at: int) -> list[e.Event]:
    """A login was renewed: it changes nothing here, and must be found in the ledger."""
    if given.attempt not in state.attempts:
        return []
    return [e.LoginRefreshed(attempt=given.attempt, file=given.file, how=given.how, before=given.before, after=given.after,
                             until=given.until)]


def conversation(state: State, given: i.ConversationSeen, at: int) -> list[e.Event]:
    """The session's facts, once a change."""
    attempt = state.attempts.get(given.attempt)
    if attempt is None or attempt.phase != "running":
        return []
    told = (
        given.conversation or attempt.conversation, given.channel or attempt.channel, given.interactive,
        given.metered or attempt.metered,
    )
    if told == (attempt.conversation, attempt.channel, attempt.interactive, attempt.metered):
        return []
    return [e.SessionKnown(
        attempt=given.attempt, conversation=told[0], channel=told[1], interactive=told[2], metered=told[3],
    )]


def health(state: State, given: i.HealthSeen, at: int) -> list[e.Event]:
    """What stands and what does not any more, of the session and of its account."""
    attempt = state.attempts.get(given.attempt)
    limited = money.limited(state, attempt, given.verdict, at) if attempt is not None and attempt.phase == "running" else []
    return [*ladder.seen(state, given, at), *limited]


def turn_over(state: State, given: i.TurnOver, at: int) -> list[e.Event]:
    """A turn ended. One that ended well shows that its account works."""
    events = turns.over(state, given, at)
    return [*events, *money.succeeded(state, state.attempts[given.attempt])] if events and not given.trouble else events


def interrupt(state: State, command: i.Interrupt, at: int) -> list[e.Event]:
    """A person ends the running turn."""
    n = state.attempts[command.attempt].interrupts + 1
    return [e.InterruptAsked(attempt=command.attempt, n=n, by=command.by or "somebody", because=command.because)]


def interrupted(state: State, given: i.Interrupted, at: int) -> list[e.Event]:
    """The agent was told."""
    attempt = state.attempts.get(given.attempt)
    if attempt is None or given.n != attempt.interrupts or given.n <= attempt.interrupts_done:
        return []
    return [e.InterruptDone(attempt=given.attempt, n=given.n, how=given.how)]


# --- a person's commands ---------------------------------------------------------------------------------------------


def take_over(state: State, command: i.TakeOver, at: int) -> list[e.Event]:
    """A person drives it from here on; a gate about its asks is theirs to settle at the screen."""
    return [e.SessionTaken(attempt=command.attempt, by=command.by or "somebody")]


def give_back(state: State, command: i.GiveBack, at: int) -> list[e.Event]:
    """The factory goes on."""
    return [e.SessionGivenBack(attempt=command.attempt, by=command.by or "somebody")]


def restart(state: State, command: i.RestartSession, at: int) -> list[e.Event]:
    """An orderly stop after a snapshot, then another sitting."""
    by = command.by or "somebody"
    return [e.AttemptStopAsked(
        attempt=command.attempt, because=f"restarted by {by}", by=by, then="fresh" if command.fresh else "restart",
        note=command.note,
    )]


def reassign(state: State, command: i.ReassignTask, at: int) -> list[e.Event]:
    """Another agent gets the task."""
    task = state.tasks[command.task]
    note = f"### A person says\n\n{command.note}" if command.note else ""
    by = command.by or "somebody"
    gate = state.gates.get(task.gate)
    told = ladder.reassigned(state, task, command.agent, note, "", by)
    if gate is None or task.live:
        return told
    voided: e.Event = e.GateVoided(gate=gate.gate, because=f"{task.task} was given to {command.agent}")
    return [*told, voided, e.TaskRetried(task=task.task, by=by)]


# --- deeds that are given up -----------------------------------------------------------------------------------------


def message_failed(state: State, attempt: Attempt, given: i.EffectFailed) -> list[e.Event]:
    """It does not go in."""
    message = messages.owed(attempt)
    meant = message is not None and given.key.startswith(f"{attempt.attempt}/message/{message.message}/")
    return messages.returned(state, attempt, message, told(given)) if message is not None and meant else []


def answer_failed(state: State, attempt: Attempt, given: i.EffectFailed) -> list[e.Event]:
    """The channel does not take the decision: the ask is dropped, and asked again when it is seen again."""
    decided = [ask for ask in attempt.open_asks if ask.decided and not ask.by_message]
    ask = next((ask for ask in decided if given.key == f"{attempt.attempt}/ask/{ask.ask}"), None)
    if ask is None:
        return []
    return [
        e.PermissionSettled(attempt=attempt.attempt, ask=ask.ask, how=f"the answer was not taken: {told(given)}"),
        e.ProblemNoticed(
            key=f"message:{attempt.attempt}/{ask.ask}"[:200], repo=attempt.repo, task=attempt.task, where=given.problem.where,
            what=f"{attempt.attempt} did not take the answer to {ask.tool or 'its question'}: {given.problem.what}",
            mend=f"answer it at its own screen: andon attach {attempt.attempt}",
        ),
    ]


def interrupt_failed(state: State, attempt: Attempt, given: i.EffectFailed) -> list[e.Event]:
    """Its turn could not be ended."""
    if attempt.interrupts <= attempt.interrupts_done:
        return []
    return [e.InterruptDone(attempt=attempt.attempt, n=attempt.interrupts, how=f"failed: {told(given)}")]


def told(given: i.EffectFailed) -> str:
    """Why, on one line."""
    return f"{given.problem.what} {given.problem.where}".strip()[:300]


GIVEN_UP: dict[str, Callable[[State, Attempt, i.EffectFailed], list[e.Event]]] = {
    "deliver-message": message_failed, "answer-ask": answer_failed, "interrupt-turn": interrupt_failed,
}
"""What follows when a deed of a session is not tried any more."""

Handler = Callable[[State, Any, int], list[e.Event]]
HANDLERS: dict[type, Handler] = {
    i.LoginMoved: login_moved,
    i.ConversationSeen: conversation, i.AskSeen: open_asks.seen, i.AskGone: open_asks.gone, i.AskAnswered: open_asks.told,
    i.SendMessage: messages.send, i.Nudge: messages.nudge, i.MessageSent: messages.sent, i.MessageRefused: messages.refused,
    i.ReceiptSeen: messages.receipt, i.Interrupt: interrupt, i.Interrupted: interrupted, i.TakeOver: take_over,
    i.GiveBack: give_back, i.RestartSession: restart, i.ReassignTask: reassign, i.HealthSeen: health, i.TurnOver: turn_over,
    i.WorkSeen: turns.looked, i.AssertionSeen: turns.asserted, i.FinishDone: turns.finish_done,
    i.AccessSeen: refusals.seen, i.DismissProblem: refusals.dismiss,
}
CHECKS: dict[type, Callable[[State, Any], Problem | None]] = steer.CHECKS
