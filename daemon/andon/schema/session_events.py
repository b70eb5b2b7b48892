"""What can have happened to a running session: its conversation, its asks, messages, trouble, spending. The ledger holds these.

What is seen of a session is not recorded for its own sake: only what a later decision hangs on, in bounded number.
"""

from typing import Literal

from andon.schema.eventbase import Event
from andon.schema.health import Cause, Health, Rung
from andon.schema.ids import AttemptId, TaskId

MessageKind = Literal["send", "nudge", "hand-back", "answer", "divergence"]
"""Why a message goes into a session. `send`: a person's words. The others are the factory's own, each bounded."""


class SessionKnown(Event, frozen=True, kw_only=True, tag="session.known"):
    """The agent's own name of its conversation, by which it can be resumed, and the channel that it is spoken to by."""

    attempt: AttemptId
    conversation: str = ""
    channel: str = ""
    interactive: bool = False
    metered: str = ""


class TurnSeen(Event, frozen=True, kw_only=True, tag="session.turn-seen"):
    """An interactive agent ended a turn. What it says is asserted; its checkout is looked at next."""

    attempt: AttemptId
    n: int
    """1, 2, 3 …: turns of this attempt."""
    text: str = ""
    trouble: str = ""
    """Why the turn failed; empty when it ended well."""
    until: int = 0


class WorkLooked(Event, frozen=True, kw_only=True, tag="session.work-looked"):
    """What the checkout held at the end of a turn, read by the daemon."""

    attempt: AttemptId
    n: int
    committed: bool
    """Its head is a new commit."""
    dirty: bool


class FinishAsked(Event, frozen=True, kw_only=True, tag="session.finish-asked"):
    """The session is to be ended in an orderly way and its work then judged. Unlike a stop this throws nothing away."""

    attempt: AttemptId
    because: str


class FinishTold(Event, frozen=True, kw_only=True, tag="session.finish-told"):
    """Its tree was told to end; the end itself is seen by the watch."""

    attempt: AttemptId


class SessionResumed(Event, frozen=True, kw_only=True, tag="session.resumed"):
    """The session ended and is started again in the same checkout: one more sitting of the same attempt."""

    attempt: AttemptId
    sitting: int
    conversation: str = ""
    """Gone on with; empty: a new conversation, told what happened."""
    because: str
    note: str = ""
    """Added to the prompt of the new sitting."""
    not_before: int = 0


class SessionTaken(Event, frozen=True, kw_only=True, tag="session.taken"):
    """A person took it over: nothing is done to it until it is given back."""

    attempt: AttemptId
    by: str


class SessionGivenBack(Event, frozen=True, kw_only=True, tag="session.given-back"):
    """The factory may act on it again."""

    attempt: AttemptId
    by: str


class PermissionAsked(Event, frozen=True, kw_only=True, tag="permission.asked"):
    """An agent stands still until this is allowed or denied."""

    attempt: AttemptId
    ask: str
    tool: str
    deed: str
    target: str
    paths: tuple[str, ...] = ()
    by_keys: bool = False
    """No channel takes the answer: it is given by keys on a screen that was matched."""


class PermissionDecided(Event, frozen=True, kw_only=True, tag="permission.decided"):
    """By a rule of the settings or by a person. The channel is told next."""

    attempt: AttemptId
    ask: str
    allow: bool
    because: str
    by: str
    """`policy`, or the person."""


class PermissionSettled(Event, frozen=True, kw_only=True, tag="permission.settled"):
    """The agent took the decision, or no longer wants one (`how`)."""

    attempt: AttemptId
    ask: str
    how: str = "delivered"


class QuestionSeen(Event, frozen=True, kw_only=True, tag="session.question"):
    """The agent asked a person something by its own means and stands still. Answered by a gate."""

    attempt: AttemptId
    ask: str
    text: str
    options: tuple[str, ...] = ()
    by_message: bool = False
    """It only ended its turn with a question: the answer goes in as a message."""


class MessageQueued(Event, frozen=True, kw_only=True, tag="message.queued"):
    """Words are owed to an agent, once."""

    attempt: AttemptId
    message: str
    """`M7`: unique in the factory."""
    kind: MessageKind
    text: str
    by: str
    sender: str = ""
    """For text from another agent: whose it is; it is quoted, never an instruction of the factory."""
    key: str = ""
    """Idempotency key of the request: the same key is never queued twice for one attempt."""


class MessageGiven(Event, frozen=True, kw_only=True, tag="message.given"):
    """It was given to the session and its receipt is still to come: it is not given again."""

    attempt: AttemptId
    message: str


class MessageDelivered(Event, frozen=True, kw_only=True, tag="message.delivered"):
    """Receipt seen."""

    attempt: AttemptId
    message: str
    how: str
    """`api`, `hook`, `transcript`, `pane`: by what the receipt was seen."""


class MessageReturned(Event, frozen=True, kw_only=True, tag="message.returned"):
    """It could not be delivered, and nothing of it is in the session; or it is not known whether it is (`unsure`)."""

    attempt: AttemptId
    message: str
    because: str
    unsure: bool = False


class TaskReassigned(Event, frozen=True, kw_only=True, tag="task.reassigned"):
    """Another agent gets the task from here on; a live attempt is stopped first, and its work is offered."""

    task: TaskId
    agent: str
    note: str = ""
    """Markdown appended to the prompt of the next attempt."""
    by: str


class InterruptAsked(Event, frozen=True, kw_only=True, tag="session.interrupt-asked"):
    """The running turn is to end, the session is not."""

    attempt: AttemptId
    n: int
    by: str
    because: str = ""


class InterruptDone(Event, frozen=True, kw_only=True, tag="session.interrupted"):
    """Told to the agent; whether the turn ended is for the signals to say."""

    attempt: AttemptId
    n: int
    how: str


class StuckSeen(Event, frozen=True, kw_only=True, tag="session.stuck"):
    """A cause that somebody may have to act on began to stand. Recorded once a time, so that its ladder survives a restart."""

    attempt: AttemptId
    cause: Cause
    health: Health
    because: str
    rule: str = ""
    source: str = ""
    evidence: tuple[str, ...] = ()
    until: int = 0


class StuckGone(Event, frozen=True, kw_only=True, tag="session.unstuck"):
    """It moved again by itself or by what was done."""

    attempt: AttemptId
    cause: Cause


class RungTaken(Event, frozen=True, kw_only=True, tag="session.rung"):
    """A step of a ladder was decided. What follows from it stands in the events beside it."""

    attempt: AttemptId
    cause: Cause
    rung: Rung
    n: int
    """1, 2 …: of this cause in this attempt."""


class AccountLimited(Event, frozen=True, kw_only=True, tag="account.limited"):
    """A provider account is at a limit: nothing of it starts until then. Others go on."""

    account: str
    until: int
    """Unix milliseconds; 0: until somebody or a success says otherwise."""
    because: str


class AccountFreed(Event, frozen=True, kw_only=True, tag="account.freed"):
    """Its limit is over."""

    account: str


class UsageCounted(Event, frozen=True, kw_only=True, tag="usage.counted"):
    """What an attempt has spent so far, over all its sittings. Recorded at the end of a turn and when a cap's share is passed."""

    attempt: AttemptId
    input: int = 0
    output: int = 0
    cache_read: int = 0
    cache_write: int = 0
    usd: float = 0.0
    metered: str = ""
    """`reported`, `gateway`, `priced` or `unmetered`."""
    requests: int = 0


class BudgetReached(Event, frozen=True, kw_only=True, tag="budget.reached"):
    """A cap: the attempt gets one turn to hand back what it has, then it is paused and a gate asks."""

    attempt: AttemptId
    cap: str
    """`attempt`, `task`, `line`, `agent`, `day`, `factory-day`, `tokens`."""
    because: str


class BudgetRaised(Event, frozen=True, kw_only=True, tag="budget.raised"):
    """A person let an attempt spend more."""

    attempt: AttemptId
    usd: float = 0.0
    tokens: int = 0
    by: str


class ClaimContradicted(Event, frozen=True, kw_only=True, tag="session.contradicted"):
    """The agent asserted something that the daemon's own look says is not so."""

    attempt: AttemptId
    asserted: str
    observed: str


class AccessRefused(Event, frozen=True, kw_only=True, tag="session.refused"):
    """Its walls refused it something for the first time, or ten times as often as was told before."""

    attempt: AttemptId
    task: TaskId
    kind: str
    """`host`, `read`, `write`, `socket`, `limit`."""
    what: str
    """Empty: more than are told one by one."""
    rule: str = ""
    times: int = 1


class LoginRefreshed(Event, frozen=True, kw_only=True, tag="login.refreshed"):
    """A login was renewed: written back to the person's file, or handed into the attempt's home. By digest, never by content."""

    attempt: AttemptId
    file: str
    how: str
    """`written-back` or `handed-in`."""
    before: str
    after: str
    until: int


class MachineStrained(Event, frozen=True, kw_only=True, tag="machine.strained"):
    """Nothing new starts: the machine is at a stated limit."""

    because: str


class MachineEased(Event, frozen=True, kw_only=True, tag="machine.eased"):
    """It has room again."""


class RaceDecided(Event, frozen=True, kw_only=True, tag="race.decided"):
    """Of the tasks of one race this change is the better proven; the others end."""

    race: str
    task: str
    because: str


AnySessionEvent = (
    SessionKnown | TurnSeen | WorkLooked | FinishAsked | FinishTold | SessionResumed | SessionTaken | SessionGivenBack
    | PermissionAsked | PermissionDecided | PermissionSettled | QuestionSeen
    | MessageQueued | MessageGiven | MessageDelivered | MessageReturned | TaskReassigned | InterruptAsked | InterruptDone
    | StuckSeen | StuckGone | RungTaken | AccountLimited | AccountFreed
    | UsageCounted | BudgetReached | BudgetRaised | ClaimContradicted | AccessRefused | LoginRefreshed | MachineStrained
    | MachineEased | RaceDecided
)
