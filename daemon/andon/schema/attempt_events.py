"""What can have happened to attempts: claims, checkouts, sessions, work. The ledger holds these."""

from typing import Literal

from andon.schema.eventbase import Event, FailureClass
from andon.schema.facts import Facts
from andon.schema.ids import AttemptId, Digest, Oid, TaskId
from andon.schema.sandbox import Known


class AttemptClaimed(Event, frozen=True, kw_only=True, tag="attempt.claimed"):
    """One agent got the task: a lease with a fencing token. From here the attempt is owed a checkout and a session."""

    task: TaskId
    attempt: AttemptId
    number: int
    station: str
    fence: int
    """Grows with every claim in the factory; anything that carries an older one is refused."""
    agent: str
    base: Oid
    """The target commit it is cut from."""
    start: Oid = Oid("")
    """The commit its branch starts at when it goes on from an earlier attempt; empty means base."""
    rebase: bool = False
    """The commits of the attempt before are to be replayed onto the newer base, and it starts there when that goes."""
    port: int = 0
    ports: int = 0
    account: str = ""
    reserve_usd: float = 0.0
    """Held back of every cap while it lives."""


class CheckoutPrepared(Event, frozen=True, kw_only=True, tag="checkout.prepared"):
    """The isolated checkout stands, marked as ours, with its keep-ref."""

    attempt: AttemptId
    path: str
    isolation: str
    setup_s: float = 0.0
    start: Oid = Oid("")
    """Where its branch stands; empty: at `start` of the claim, else at the base."""
    rebased: str = ""
    """What became of the earlier work: `clean` (it stands on the new base), or why it does not; empty: nothing to rebase."""


class AttemptStarted(Event, frozen=True, kw_only=True, tag="attempt.started"):
    """The wrapper of the attempt holds its start token."""

    attempt: AttemptId
    pid: int
    ticks: int
    boot: str
    session: str
    walls: Known = ""
    """Of the walls that stand around it; empty: not known, as in older logs."""


class AttemptSaid(Event, frozen=True, kw_only=True, tag="attempt.said"):
    """An agent's own words: asserted, never believed."""

    attempt: AttemptId
    n: int
    kind: Literal["progress", "ask", "finished", "handoff"]
    text: str
    options: tuple[str, ...] = ()
    commit: str = ""


class AttemptStopAsked(Event, frozen=True, kw_only=True, tag="attempt.stop-asked"):
    """The session is to end: its work is snapshotted first."""

    attempt: AttemptId
    because: str
    by: str = ""
    then: Literal["", "restart", "fresh", "reassign"] = ""
    """`restart`, `fresh`: it is started again in its checkout, with its conversation or a new one; empty: it gives nothing more."""
    note: str = ""


class AttemptPauseAsked(Event, frozen=True, kw_only=True, tag="attempt.pause-asked"):
    """A limit was reached: the process tree is suspended and a gate asks."""

    attempt: AttemptId
    because: str


class AttemptResumeAsked(Event, frozen=True, kw_only=True, tag="attempt.resume-asked"):
    """A person gave it more time."""

    attempt: AttemptId
    minutes: float
    by: str


class AttemptSuspended(Event, frozen=True, kw_only=True, tag="attempt.suspended"):
    """The process tree was seen suspended, or running again."""

    attempt: AttemptId
    suspended: bool


class AttemptExited(Event, frozen=True, kw_only=True, tag="attempt.exited"):
    """The wrapper left its exit file."""

    attempt: AttemptId
    code: int | None = None
    signal: int | None = None
    because: str = "exit"
    error: str = ""
    seconds: float = 0.0
    killed: int = 0
    screen: Digest = Digest("")
    """Blob: the last screen of the pane, as text."""


class AttemptLost(Event, frozen=True, kw_only=True, tag="attempt.lost"):
    """Token without process and without exit file: machine reset, or somebody killed the wrapper."""

    attempt: AttemptId
    because: str


class WorkImported(Event, frozen=True, kw_only=True, tag="work.imported"):
    """The head of the attempt's checkout was fetched and pinned. Facts read by the daemon, none from the agent."""

    attempt: AttemptId
    commit: Oid
    tree: Oid
    base: Oid
    """The target commit the attempt was cut from."""
    base_tree: Oid = Oid("")
    paths: tuple[str, ...] = ()
    """Changed paths against base, at most 500."""
    paths_total: int = 0
    insertions: int = 0
    deletions: int = 0
    diff: Digest = Digest("")
    """Blob: the unified diff, at most 2 MiB; its digest is what gates bind."""
    said_commit: str = ""
    facts: Facts | None = None
    """What was seen in it beyond its paths; None in older logs."""


class EffectRetried(Event, frozen=True, kw_only=True, tag="effect.retried"):
    """A deed failed for no fault of the change and is tried again."""

    subject: str
    """Attempt, landing or repository."""
    effect: str
    """The effect's tag."""
    tries: int
    not_before: int
    because: str


class AttemptFailed(Event, frozen=True, kw_only=True, tag="attempt.failed"):
    """The attempt gave nothing that may go on."""

    attempt: AttemptId
    failure: FailureClass
    fingerprint: str
    message: str


class AttemptAccepted(Event, frozen=True, kw_only=True, tag="attempt.accepted"):
    """The attempt's commit is the task's change from here on."""

    attempt: AttemptId
    commit: Oid


class WorkSalvaged(Event, frozen=True, kw_only=True, tag="work.salvaged"):
    """Everything that git does not ignore in the checkout is reachable from this ref."""

    attempt: AttemptId
    ref: str
    oid: Oid
    dirty: bool
    """Whether there was anything beyond the imported commits."""


class CheckoutRemoved(Event, frozen=True, kw_only=True, tag="checkout.removed"):
    """The checkout is gone; its salvage ref stays."""

    attempt: AttemptId


class CheckoutRestored(Event, frozen=True, kw_only=True, tag="checkout.restored"):
    """`andon undo`: the snapshot stands again as a directory."""

    attempt: AttemptId
    path: str


AnyAttemptEvent = (
    AttemptClaimed | CheckoutPrepared | AttemptStarted | AttemptSaid | AttemptStopAsked | AttemptPauseAsked |
    AttemptResumeAsked | AttemptSuspended | AttemptExited | AttemptLost | WorkImported | EffectRetried | AttemptFailed |
    AttemptAccepted | WorkSalvaged | CheckoutRemoved | CheckoutRestored
)
"""The events of attempts."""
