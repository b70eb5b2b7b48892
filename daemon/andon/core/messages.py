"""Words for running agents: a durable outbox, one message at a time, never twice. Pure; knows no channel."""

from collections.abc import Iterator
from typing import Any

from andon.core.state import Attempt, Message, State
from andon.schema import effects as f, events as e, inputs as i

WHO = "andon"
"""Who speaks for the factory itself."""
FROM_PEOPLE = ("send", "answer")
"""Kinds of messages that are a person's words: they go in even while a person drives, and are missed when they do not."""
RECEIPT_MS = 60_000
"""So long a receipt may take after a message was given; then it is not known whether it arrived."""
OPEN_MESSAGES = 50
"""Messages of one session that may wait at once."""
MESSAGE_BYTES = 64 * 1024
GO_ON = "Please go on with the task. When your work is committed and complete, say so and end your turn."


def message_id(state: State) -> str:
    """The name of the next message."""
    return f"M{state.message_count + 1}"


def queued(state: State, attempt: Attempt, kind: e.MessageKind, text: str, by: str = WHO, **fields: Any) -> list[e.Event]:
    """A message, when there is room for one more. The factory's own carry their name, so that a receipt can be seen."""
    if len(attempt.outbox) >= OPEN_MESSAGES and kind != "answer":
        return []
    name = message_id(state)
    words = f"[andon {name}] {text}" if by == WHO else text
    return [e.MessageQueued(attempt=attempt.attempt, message=name, kind=kind, text=words, by=by, **fields)]


def send(state: State, command: i.SendMessage, at: int) -> list[e.Event]:
    """A person's words; the same key never twice."""
    attempt = state.attempts[command.attempt]
    if command.key and command.key in attempt.sent_keys:
        return []
    return queued(state, attempt, "send", command.text, command.by or "somebody", key=command.key)


def nudge(state: State, command: i.Nudge, at: int) -> list[e.Event]:
    """The factory's own words to an agent that stands still."""
    return queued(state, state.attempts[command.attempt], "nudge", GO_ON)


def owed(attempt: Attempt) -> Message | None:
    """The message whose turn it is: the oldest, unless it was given already or somebody stands in its way."""
    if not attempt.at_work or any(not ask.by_message for ask in attempt.open_asks):
        return None
    first = next((one for one in attempt.outbox if not attempt.taken or one.kind in FROM_PEOPLE), None)
    return first if first is not None and not first.sent_at else None


def owes(state: State, attempt: Attempt, tries: int) -> Iterator[f.Effect]:
    """The delivery of the oldest message."""
    message = owed(attempt)
    if message is not None:
        yield f.DeliverMessage(attempt=attempt.attempt, message=message.message, text=message.text, try_=tries)


def known(state: State, given: Any) -> tuple[Attempt, Message] | None:
    """The open message that an input is about."""
    attempt = state.attempts.get(given.attempt)
    found = next((one for one in attempt.outbox if one.message == given.message), None) if attempt else None
    return (attempt, found) if attempt and found else None


def sent(state: State, given: i.MessageSent, at: int) -> list[e.Event]:
    """Given to the session, with a receipt or without."""
    found = known(state, given)
    if found is None:
        return []
    if given.how:
        return [e.MessageDelivered(attempt=given.attempt, message=given.message, how=given.how)]
    return [] if found[1].sent_at else [e.MessageGiven(attempt=given.attempt, message=given.message)]


def receipt(state: State, given: i.ReceiptSeen, at: int) -> list[e.Event]:
    """Seen inside the session."""
    if known(state, given) is None:
        return []
    return [e.MessageDelivered(attempt=given.attempt, message=given.message, how=given.how or "seen")]


def refused(state: State, given: i.MessageRefused, at: int) -> list[e.Event]:
    """It could not be given."""
    found = known(state, given)
    return returned(state, *found, given.because, unsure=given.unsure) if found else []


def returned(state: State, attempt: Attempt, message: Message, because: str, *, unsure: bool = False) -> list[e.Event]:
    """A message that is given up; when it was a person's, that is said."""
    unsure = unsure or message.sent_at > 0
    events: list[e.Event] = [
        e.MessageReturned(attempt=attempt.attempt, message=message.message, because=because, unsure=unsure),
    ]
    if message.kind not in FROM_PEOPLE:
        return events
    what = f"{message.message} of {message.by} may not have reached {attempt.attempt}" if unsure else (
        f"{message.message} of {message.by} did not reach {attempt.attempt}")
    return [*events, e.ProblemNoticed(
        key=f"message:{message.message}", repo=attempt.repo, task=attempt.task, what=f"{what}: {because}",
        where=" ".join(message.text.split())[:120], mend=f"look at the session, then say it again: andon send {attempt.attempt}",
    )]


def return_all(state: State, attempt: Attempt) -> list[e.Event]:
    """Everything that a session which ended did not get."""
    because = f"{attempt.attempt} has ended"
    return [event for message in attempt.outbox for event in returned(state, attempt, message, because)]


def overdue(state: State, attempt: Attempt, at: int) -> list[e.Event]:
    """A message whose receipt did not come in time: it is not sent again."""
    late = next((one for one in attempt.outbox if one.sent_at and at >= one.sent_at + RECEIPT_MS), None)
    if late is None:
        return []
    return returned(state, attempt, late, f"no receipt was seen within {RECEIPT_MS // 1000} s", unsure=True)


def deadlines(attempt: Attempt) -> Iterator[int]:
    """When a receipt is overdue."""
    return (one.sent_at + RECEIPT_MS for one in attempt.outbox if one.sent_at)
