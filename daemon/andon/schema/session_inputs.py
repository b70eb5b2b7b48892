"""What reaches the core about running sessions: a person's steering, and what the signals of a session came to."""

from typing import Literal

from andon.schema.health import Trouble
from andon.schema.ids import AttemptId, TaskId
from andon.schema.inputbase import Command, Input
from andon.schema.signals import Verdict

# --- a person's commands ---------------------------------------------------------------------------------------------


class SendMessage(Command, frozen=True, kw_only=True, tag="send"):
    """Words for a running agent, once, with a receipt."""

    attempt: AttemptId
    text: str
    key: str = ""
    """Idempotency key: the same key is never sent twice."""


class Interrupt(Command, frozen=True, kw_only=True, tag="interrupt"):
    """End the agent's turn, not its session."""

    attempt: AttemptId
    because: str = ""


class Nudge(Command, frozen=True, kw_only=True, tag="nudge"):
    """Tell an agent that stands still to go on, in the factory's own words."""

    attempt: AttemptId


class TakeOver(Command, frozen=True, kw_only=True, tag="take-over"):
    """From here on a person drives the session."""

    attempt: AttemptId


class GiveBack(Command, frozen=True, kw_only=True, tag="give-back"):
    """The factory may act on it again."""

    attempt: AttemptId


class RestartSession(Command, frozen=True, kw_only=True, tag="restart"):
    """Start the session again in its checkout: the same conversation (`fresh` false), or a new one with a summary."""

    attempt: AttemptId
    fresh: bool = False
    note: str = ""


class ReassignTask(Command, frozen=True, kw_only=True, tag="reassign"):
    """Stop the attempt (its work is kept and offered) and give the task to another agent."""

    task: TaskId
    agent: str
    note: str = ""


class DismissProblem(Command, frozen=True, kw_only=True, tag="dismiss"):
    """A person has seen what an attempt was refused: it is no problem any more, and stays in the list of the attempt."""

    problem: str


class FreeAccount(Command, frozen=True, kw_only=True, tag="free-account"):
    """A person says that an account's limit is over."""

    account: str


# --- what the daemon saw ---------------------------------------------------------------------------------------------


class HealthSeen(Input, frozen=True, kw_only=True, tag="health-seen"):
    """The verdict on a session changed in health or cause. Given only when something may hang on it, never for drawing."""

    attempt: AttemptId
    verdict: Verdict


class ConversationSeen(Input, frozen=True, kw_only=True, tag="conversation-seen"):
    """The session's facts as they became known."""

    attempt: AttemptId
    conversation: str = ""
    channel: str = ""
    interactive: bool = False
    metered: str = ""


class TurnOver(Input, frozen=True, kw_only=True, tag="turn-over"):
    """An interactive agent's turn ended. Equal `turn` is the same end seen again."""

    attempt: AttemptId
    turn: int
    """Number of ended turns since the sitting began."""
    text: str = ""
    trouble: Trouble | None = None
    until: int = 0
    background: int = 0


class AskSeen(Input, frozen=True, kw_only=True, tag="ask-seen"):
    """A permission or (with `text`) a question stands open."""

    attempt: AttemptId
    ask: str
    tool: str = ""
    deed: str = "other"
    target: str = ""
    paths: tuple[str, ...] = ()
    text: str = ""
    options: tuple[str, ...] = ()
    answerable: bool = True


class AskGone(Input, frozen=True, kw_only=True, tag="ask-gone"):
    """It stands no longer."""

    attempt: AttemptId
    ask: str
    how: str = ""


class UsageSeen(Input, frozen=True, kw_only=True, tag="usage-seen"):
    """The session's spending so far, over all its sittings."""

    attempt: AttemptId
    input: int = 0
    output: int = 0
    cache_read: int = 0
    cache_write: int = 0
    usd: float = 0.0
    metered: str = ""
    requests: int = 0


class ReceiptSeen(Input, frozen=True, kw_only=True, tag="receipt-seen"):
    """A message was seen inside the session by a channel other than the one that sent it."""

    attempt: AttemptId
    message: str
    how: str


class MachineSeen(Input, frozen=True, kw_only=True, tag="machine-seen"):
    """The machine passed a limit of admission (`because` says which), or has room again (empty)."""

    because: str = ""


class AssertionSeen(Input, frozen=True, kw_only=True, tag="assertion-seen"):
    """Something structured that an agent asserted was compared with the world, and is not so."""

    attempt: AttemptId
    asserted: str
    observed: str


class AccessSeen(Input, frozen=True, kw_only=True, tag="access-seen"):
    """A session's walls refused it something, so often in this sitting."""

    attempt: AttemptId
    kind: str
    what: str
    rule: str = ""
    times: int = 1


class LoginMoved(Input, frozen=True, kw_only=True, tag="login-moved"):
    """A login went from a private home to the person, or the other way. Contents by digest only."""

    attempt: AttemptId
    file: str
    how: Literal["written-back", "handed-in"]
    before: str
    after: str
    until: int
    """When it ends, as it says itself (unix milliseconds)."""


# --- answers to effects ----------------------------------------------------------------------------------------------


class WorkSeen(Input, frozen=True, kw_only=True, tag="work-seen"):
    """LookAtWork is done."""

    attempt: AttemptId
    n: int
    committed: bool
    dirty: bool
    contradictions: tuple[tuple[str, str], ...] = ()
    """(asserted, observed) of what the last words claimed and the look did not find."""


class AskAnswered(Input, frozen=True, kw_only=True, tag="ask-answered"):
    """AnswerAsk is done: the other side took it, or no longer wants it."""

    attempt: AttemptId
    ask: str
    how: str


class MessageSent(Input, frozen=True, kw_only=True, tag="message-sent"):
    """DeliverMessage is done. Without `how` it was given and the receipt is still to come."""

    attempt: AttemptId
    message: str
    how: str = ""


class MessageRefused(Input, frozen=True, kw_only=True, tag="message-refused"):
    """It is not in the session; `unsure`: it may be, in part."""

    attempt: AttemptId
    message: str
    because: str
    unsure: bool = False


class Interrupted(Input, frozen=True, kw_only=True, tag="interrupted"):
    """The agent was told to end its turn."""

    attempt: AttemptId
    n: int
    how: str


class FinishDone(Input, frozen=True, kw_only=True, tag="finish-done"):
    """EndSession is done: the tree was told to end. Its end is seen by WatchSession."""

    attempt: AttemptId


AnySessionCommand = (
    SendMessage | Interrupt | Nudge | TakeOver | GiveBack | RestartSession | ReassignTask | FreeAccount | DismissProblem
)
AnySessionInput = (
    SendMessage | Interrupt | Nudge | TakeOver | GiveBack | RestartSession | ReassignTask | FreeAccount | DismissProblem
    | HealthSeen | ConversationSeen | TurnOver | AskSeen | AskGone | UsageSeen | ReceiptSeen | MachineSeen | AssertionSeen
    | WorkSeen | AccessSeen | LoginMoved | AskAnswered | MessageSent | MessageRefused | Interrupted | FinishDone
)
