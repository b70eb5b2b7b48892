"""Everything that can have happened. The ledger holds these; all that the factory knows is a fold of them.

Rules. Names are past tense. An event is never edited: a changed meaning is a new version with an upcast in
`andon.schema.upcast`. Fields have defaults where an older log may lack them. Times live in the envelope, never inside.
"""

from typing import Literal

import msgspec

from andon.schema.attempt_events import (
    AnyAttemptEvent as AnyAttemptEvent,
    AttemptAccepted as AttemptAccepted,
    AttemptClaimed as AttemptClaimed,
    AttemptExited as AttemptExited,
    AttemptFailed as AttemptFailed,
    AttemptLost as AttemptLost,
    AttemptPauseAsked as AttemptPauseAsked,
    AttemptResumeAsked as AttemptResumeAsked,
    AttemptSaid as AttemptSaid,
    AttemptStarted as AttemptStarted,
    AttemptStopAsked as AttemptStopAsked,
    AttemptSuspended as AttemptSuspended,
    CheckoutPrepared as CheckoutPrepared,
    CheckoutRemoved as CheckoutRemoved,
    CheckoutRestored as CheckoutRestored,
    EffectRetried as EffectRetried,
    WorkImported as WorkImported,
    WorkSalvaged as WorkSalvaged,
)
from andon.schema.eventbase import (
    ClaimStatus as ClaimStatus,
    Event as Event,
    FailureClass as FailureClass,
    Result as Result,
    Risk as Risk,
)
from andon.schema.gate_events import (
    AnyGateEvent as AnyGateEvent,
    Approver as Approver,
    GateApproved as GateApproved,
    GateDelegated as GateDelegated,
    GateNoticed as GateNoticed,
    GateRaised as GateRaised,
    GateSnoozed as GateSnoozed,
    GateWoken as GateWoken,
    ProblemTold as ProblemTold,
)
from andon.schema.ids import AttemptId, Digest, GateId, LandingId, Oid, RepoId, RunId, TaskId
from andon.schema.landing_events import (
    AnyLandingEvent as AnyLandingEvent,
    ClashGone as ClashGone,
    ClashKind as ClashKind,
    ClashSeen as ClashSeen,
    EntryHeld as EntryHeld,
    EntryReleased as EntryReleased,
    EntrySentBack as EntrySentBack,
    FlakeForgotten as FlakeForgotten,
    FlakeSeen as FlakeSeen,
    ForwardAsked as ForwardAsked,
    Hunk as Hunk,
    LandingAbandoned as LandingAbandoned,
    LandingChecked as LandingChecked,
    LandingChosen as LandingChosen,
    LandingConflicted as LandingConflicted,
    LandingJudged as LandingJudged,
    LandingMerged as LandingMerged,
    LandingPlanned as LandingPlanned,
    Member as Member,
    MergedStep as MergedStep,
    QueueHeld as QueueHeld,
    QueueOrdered as QueueOrdered,
    QueueResumed as QueueResumed,
    RevertConflicted as RevertConflicted,
    RevertPrepared as RevertPrepared,
    TargetGreen as TargetGreen,
    TargetMoved as TargetMoved,
    TargetPublished as TargetPublished,
    TargetRed as TargetRed,
)
from andon.schema.notes_events import (
    AnyNotesEvent,
    ConversationKept as ConversationKept,
    NoteFound as NoteFound,
    NotesPlanned as NotesPlanned,
    NotesRepaired as NotesRepaired,
    NotesWritten as NotesWritten,
)
from andon.schema.policy_events import (
    AnyPolicyEvent as AnyPolicyEvent,
    GateLoosened as GateLoosened,
    LightsApproved as LightsApproved,
    LightsDimmed as LightsDimmed,
    WaiverEnded as WaiverEnded,
    WaiverGranted as WaiverGranted,
)
from andon.schema.sandbox import Known, Reached
from andon.schema.sealing import (
    AnySealEvent as AnySealEvent,
    ChangeSealed as ChangeSealed,
    LandingRecorded as LandingRecorded,
)
from andon.schema.session_events import (
    AccessRefused as AccessRefused,
    AccountFreed as AccountFreed,
    AccountLimited as AccountLimited,
    AnySessionEvent as AnySessionEvent,
    BudgetRaised as BudgetRaised,
    BudgetReached as BudgetReached,
    ClaimContradicted as ClaimContradicted,
    FinishAsked as FinishAsked,
    FinishTold as FinishTold,
    InterruptAsked as InterruptAsked,
    InterruptDone as InterruptDone,
    LoginRefreshed as LoginRefreshed,
    MachineEased as MachineEased,
    MachineStrained as MachineStrained,
    MessageDelivered as MessageDelivered,
    MessageGiven as MessageGiven,
    MessageKind as MessageKind,
    MessageQueued as MessageQueued,
    MessageReturned as MessageReturned,
    PermissionAsked as PermissionAsked,
    PermissionDecided as PermissionDecided,
    PermissionSettled as PermissionSettled,
    QuestionSeen as QuestionSeen,
    RaceDecided as RaceDecided,
    RungTaken as RungTaken,
    SessionGivenBack as SessionGivenBack,
    SessionKnown as SessionKnown,
    SessionResumed as SessionResumed,
    SessionTaken as SessionTaken,
    StuckGone as StuckGone,
    StuckSeen as StuckSeen,
    TaskReassigned as TaskReassigned,
    TurnSeen as TurnSeen,
    UsageCounted as UsageCounted,
    WorkLooked as WorkLooked,
)
from andon.schema.settings import FactorySettings, Settings
from andon.schema.undo import (
    AnyUndoEvent as AnyUndoEvent,
    UndoBegun as UndoBegun,
    UndoDeedBegun as UndoDeedBegun,
    UndoDeedSeen as UndoDeedSeen,
    UndoEnded as UndoEnded,
)

# --- the factory -----------------------------------------------------------------------------------------------------

class FactoryStarted(Event, frozen=True, kw_only=True, tag="factory.started"):
    """A daemon took the lock and read the ledger."""

    version: str
    pid: int
    boot: str
    cores: int = 0
    """Of the machine; 0: not known."""
    walls: Reached | None = None
    """The best walls that the machine gives; None in older logs."""
    seed: str = ""
    """Chance, from which the nonces of gates come until the next start; empty in older logs."""


class WallsSeen(Event, frozen=True, kw_only=True, tag="walls.seen"):
    """The machine gives other walls than it gave before: a tool came or went."""

    reached: Reached


class FactoryStopped(Event, frozen=True, kw_only=True, tag="factory.stopped"):
    """A daemon drained and left; agents stay alive."""

    because: str


class FactoryConfigured(Event, frozen=True, kw_only=True, tag="factory.configured"):
    """The person's own settings changed."""

    settings: FactorySettings


class ProblemNoticed(Event, frozen=True, kw_only=True, tag="problem.noticed"):
    """Something that a person should mend. Same key again replaces it."""

    key: str
    """`settings:REPO`, `mirror:REPO`, `checkout:T3.1`, `store` …"""
    repo: RepoId = RepoId("")
    task: TaskId = TaskId("")
    what: str
    where: str = ""
    mend: str = ""


class ProblemCleared(Event, frozen=True, kw_only=True, tag="problem.cleared"):
    """It is gone."""

    key: str
    by: str = ""
    """Who put it away; empty: it is gone by itself."""


# --- repositories ----------------------------------------------------------------------------------------------------

class RepositoryRegistered(Event, frozen=True, kw_only=True, tag="repository.registered"):
    """A person put a repository under the factory."""

    repo: RepoId
    path: str
    """The person's own checkout (its top level)."""
    git_dir: str
    """The common git directory."""
    by: str


class SettingsActivated(Event, frozen=True, kw_only=True, tag="settings.activated"):
    """These settings are in force from here on. Rejected ones never get here: the last good stay."""

    repo: RepoId
    settings: Settings
    digest: Digest
    commands: Digest
    notes: tuple[str, ...] = ()


class CommandsTrusted(Event, frozen=True, kw_only=True, tag="commands.trusted"):
    """A person said yes to exactly these commands."""

    repo: RepoId
    commands: Digest
    by: str


class TargetObserved(Event, frozen=True, kw_only=True, tag="target.observed"):
    """Where the target stands: after registration, after a landing, after a person's own commit."""

    repo: RepoId
    oid: Oid
    tree: Oid
    by: Literal["landing", "person", "start"] = "person"


class TargetMirrored(Event, frozen=True, kw_only=True, tag="target.mirrored"):
    """Whether the person's branch could follow the landed trunk."""

    repo: RepoId
    oid: Oid
    """The trunk commit."""
    advanced: bool
    because: str = ""
    """When not advanced: what is in the way."""
    mend: str = ""
    """When not advanced: the command by which the person takes it."""
    asked: int = 0
    """Which request of a person this answers."""


# --- lines -----------------------------------------------------------------------------------------------------------

class CordPulled(Event, frozen=True, kw_only=True, tag="cord.pulled"):
    """A line stands still. Only an explicit resume starts it again."""

    repo: RepoId
    line: str
    because: str
    by: str


class CordReleased(Event, frozen=True, kw_only=True, tag="cord.released"):
    """The line moves again."""

    repo: RepoId
    line: str
    by: str


# --- tasks -----------------------------------------------------------------------------------------------------------

class TaskAdded(Event, frozen=True, kw_only=True, tag="task.added"):
    """A seed became a task."""

    task: TaskId
    repo: RepoId
    title: str
    spec: str
    """Markdown; the whole text that the agent gets."""
    line: str = "build"
    after: tuple[TaskId, ...] = ()
    paths: tuple[str, ...] = ()
    """Globs that it may touch; empty means anywhere."""
    priority: int = 0
    """Higher goes first."""
    agent: str = ""
    """A name of `[agents]` instead of the station's."""
    race: str = ""
    """Tasks of one race bear the same word (the first one's id): the better-proven change goes on."""
    may_remove_tests: bool = False
    reverts: TaskId = TaskId("")
    """The landed task that this one takes back: the daemon makes the change itself, when git can."""
    key: str = ""
    """Idempotency key of the request: the same key never adds twice."""
    by: str = ""


class TaskEntered(Event, frozen=True, kw_only=True, tag="task.entered"):
    """A task reached a station of its line."""

    task: TaskId
    station: str


class TaskLanded(Event, frozen=True, kw_only=True, tag="task.landed"):
    """The target holds the change."""

    task: TaskId
    commit: Oid
    """The commit on the target that holds exactly this change and those before it."""
    landing: LandingId = LandingId("")
    before: Oid = Oid("")
    """The target's commit before it; empty in older logs."""


class TaskDone(Event, frozen=True, kw_only=True, tag="task.done"):
    """The task walked its whole line."""

    task: TaskId


class TaskFailed(Event, frozen=True, kw_only=True, tag="task.failed"):
    """A person or a limit ended it without landing."""

    task: TaskId
    because: str


class TaskCancelled(Event, frozen=True, kw_only=True, tag="task.cancelled"):
    """A person ended it."""

    task: TaskId
    because: str
    by: str


class TaskRetried(Event, frozen=True, kw_only=True, tag="task.retried"):
    """A person gave it another attempt; caps start anew from here."""

    task: TaskId
    note: str = ""
    by: str


class RetryScheduled(Event, frozen=True, kw_only=True, tag="task.retry-scheduled"):
    """The change goes back to its agent with its failure."""

    task: TaskId
    failure: FailureClass
    fingerprint: str
    packet: str
    """Markdown appended to the prompt of the next attempt: failing claim, minimal log, diff stat."""
    not_before: int = 0
    """Unix milliseconds."""


# --- proof -----------------------------------------------------------------------------------------------------------

class RunPlanned(Event, frozen=True, kw_only=True, tag="run.planned"):
    """A check is to run on an exact tree."""

    run: RunId
    repo: RepoId
    task: TaskId = TaskId("")
    purpose: Literal["baseline", "change", "landing", "watch"]
    check: str
    definition: Digest
    """sha256 of the check's definition; with the tree it names the proof."""
    commit: Oid
    tree: Oid
    landing: LandingId = LandingId("")


class RunFinished(Event, frozen=True, kw_only=True, tag="run.finished"):
    """What the check said. Three-valued."""

    run: RunId
    result: Result
    because: str
    """One sentence: `214 tests passed`, `2 of 214 tests failed`, `exit 127: pytest: not found`."""
    cause: str = ""
    """For unevaluated: `missing-tool`, `signal`, `timeout`, `zero-tests`, `unreadable-report`, `setup`, `lost`, `storage`,
    `proof` (a proof of ours that could not look at something),
    `stale-report`, `other-commit`, `dead-rule`, `empty-selection`, `tool-failed`, `no-baseline`, `zero-lines`, `files-missing`,
    `no-data`, `old-data`."""
    passed: int = 0
    failed: int = 0
    skipped: int = 0
    failing: tuple[str, ...] = ()
    """Names of failing tests, at most 50."""
    names: Digest = Digest("")
    """Blob: JSON list of the names of all passed tests, sorted."""
    log: Digest = Digest("")
    report: Digest = Digest("")
    evidence: Digest = Digest("")
    """Blob: the in-toto statement over all of this."""
    seconds: float = 0.0
    cpu_s: float = 0.0
    """Processor time of the whole run; 0: not known."""
    lost_tests: tuple[str, ...] = ()
    """Tests that pass on the base and do not pass here (missing or skipped), at most 50."""
    walls: Known = ""
    """Of the walls that stood around the run; empty: not known, as in older logs."""


class ClaimJudged(Event, frozen=True, kw_only=True, tag="claim.judged"):
    """A statement about an exact commit, judged by the daemon."""

    task: TaskId
    commit: Oid
    claim: str
    """`tests`, `lint` …: the check's name; `tests-kept`, `scope`, `work`: the daemon's own."""
    status: ClaimStatus
    because: str
    run: RunId = RunId("")
    detail: str = ""
    """For a claim that was not proven: what the retry packet quotes, at most 4,000 characters."""
    final: bool = False
    """For unevaluated: running it again would say the same."""
    walls: Known = ""
    """Of the walls that the run had which it rests on."""
    evidence: Digest = Digest("")
    """Blob: the signed statement of that run; empty when no run stands behind it, and in older logs."""


# --- gates -----------------------------------------------------------------------------------------------------------

class Option(msgspec.Struct, frozen=True, kw_only=True):
    """One way to answer."""

    key: str
    """The word of the answer: `approve`, `reject`, `retry`, `cancel`, `extend`, `stop`, or the agent's own."""
    label: str
    consequence: str = ""


class GateOpened(Event, frozen=True, kw_only=True, tag="gate.opened"):
    """A durable question to a person. It never times out into a yes, nor into a kill."""

    gate: GateId
    task: TaskId
    kind: Literal["review", "question", "failure", "limit", "unevaluated", "trust", "permission", "stuck", "budget", "red"]
    question: str
    options: tuple[Option, ...]
    recommendation: str = ""
    because: str = ""
    risk: Risk = "review"
    attempt: AttemptId = AttemptId("")
    n: int = 0
    """For `question`: the number of the agent's message."""
    ask: str = ""
    """For `permission`, and a `question` by the agent's own means: what the channel calls it."""
    commit: Oid = Oid("")
    bound: Digest = Digest("")
    """What an answer is bound to: sha256 over diff digest, commit and claims. Empty: nothing to bind."""
    station: str = ""
    walls: Known = ""
    """For `review`: the weakest walls that the change was built or proven within, as the person is told; empty: not known."""
    nonce: str = ""
    """Goes into every signed answer; empty in ledgers of earlier releases."""
    roles: tuple[str, ...] = ()
    """For `review`: each must be signed for by a person of its own."""
    keys: int = 0
    """For `review`: distinct keys that must sign a yes; 0: a yes without a signature counts too."""


class GateAnswered(Event, frozen=True, kw_only=True, tag="gate.answered"):
    """A person decided, having seen what `bound` names."""

    gate: GateId
    option: str
    because: str = ""
    bound: Digest = Digest("")
    by: str
    approver: Approver | None = None
    """For `review`: who, as far as was established, with the envelope of the statement; None in earlier releases."""
    approvals: tuple[Digest, ...] = ()
    """For a yes: the envelopes of all approvals that it took, in the order in which they came."""


class GateVoided(Event, frozen=True, kw_only=True, tag="gate.voided"):
    """What it asked about changed or went away."""

    gate: GateId
    because: str


class AnswerDelivered(Event, frozen=True, kw_only=True, tag="answer.delivered"):
    """The answer lies in the agent's inbox."""

    attempt: AttemptId
    n: int


AnyEvent = (
    AnyUndoEvent |
    FactoryStarted | WallsSeen | FactoryStopped | FactoryConfigured | ProblemNoticed | ProblemCleared | CordPulled | CordReleased
    | RepositoryRegistered | SettingsActivated | CommandsTrusted | TargetObserved | TargetMirrored
    | TaskAdded | TaskEntered | TaskLanded | TaskDone | TaskFailed | TaskCancelled | TaskRetried | RetryScheduled
    | RunPlanned | RunFinished | ClaimJudged | GateOpened | GateAnswered | GateVoided | AnswerDelivered
    | AnyAttemptEvent | AnyLandingEvent | AnySessionEvent | AnySealEvent | AnyNotesEvent | AnyGateEvent | AnyPolicyEvent
)
"""The closed union of events. `msgspec.json.decode(data, type=AnyEvent)` reads a ledger row's `data`."""


class Recorded(msgspec.Struct, frozen=True, kw_only=True):
    """An event with its place in the ledger."""

    seq: int
    """1, 2, 3 … without gaps. The only order there is."""
    at: int
    """Unix milliseconds when it was decided; for people, never for order."""
    event: AnyEvent
    prev: str
    """Hash of the row before; 64 zeros for the first."""
    hash: str
    """sha256 hex over prev, seq, at, kind, version and data."""


def kind_of(event: Event) -> str:
    """The event's name in the ledger: its tag, `task.added`."""
    tag = type(event).__struct_config__.tag
    assert isinstance(tag, str)
    return tag


VERSIONS: dict[str, int] = {}
"""Version of each kind; a kind that is not listed has version 1."""


def version_of(kind: str) -> int:
    """The version that this release writes for a kind."""
    return VERSIONS.get(kind, 1)


def subject_of(event: Event) -> str:
    """The task, attempt, run, gate, landing or repository that an event is about; empty for the factory."""
    for name in ("gate", "attempt", "run", "landing", "task", "subject", "line", "repo", "key"):
        value = getattr(event, name, "")
        if value:
            return str(value)
    return ""
