"""Everything that can reach the core: a person's commands and what the edges saw. An expected failure is an Input too."""

from andon.schema.errors import Problem
from andon.schema.events import Result
from andon.schema.facts import Facts
from andon.schema.gate_events import Approver
from andon.schema.gate_inputs import (
    AnyGateCommand as AnyGateCommand,
    AnyGateInput as AnyGateInput,
    DelegateGate as DelegateGate,
    GateTold as GateTold,
    ProblemHeard as ProblemHeard,
    RouteFailed as RouteFailed,
    Signature as Signature,
    SnoozeGate as SnoozeGate,
)
from andon.schema.ids import AttemptId, Digest, GateId, Oid, RepoId, RunId, TaskId
from andon.schema.inputbase import (
    Command as Command,
    Input as Input,
)
from andon.schema.jobs import Exit, Said
from andon.schema.landing_inputs import (
    AnyLandingCommand as AnyLandingCommand,
    AnyLandingInput as AnyLandingInput,
    CandidateConflicted as CandidateConflicted,
    CandidateMerged as CandidateMerged,
    Clash as Clash,
    ClashesSeen as ClashesSeen,
    DropEntry as DropEntry,
    ForgetFlakes as ForgetFlakes,
    ForwardTarget as ForwardTarget,
    HoldEntry as HoldEntry,
    HoldQueue as HoldQueue,
    LandingRefused as LandingRefused,
    MirrorSeen as MirrorSeen,
    OrderQueue as OrderQueue,
    PublishSeen as PublishSeen,
    ReleaseEntry as ReleaseEntry,
    ResumeQueue as ResumeQueue,
    RevertLanding as RevertLanding,
    RevertMade as RevertMade,
    TargetSwapped as TargetSwapped,
)
from andon.schema.notes_inputs import (
    AnyNotesInput,
    ConversationKept as ConversationKept,
    NotesRepaired as NotesRepaired,
    NotesWritten as NotesWritten,
)
from andon.schema.policy_inputs import (
    AnyPolicyCommand as AnyPolicyCommand,
    ApproveLights as ApproveLights,
    EndWaiver as EndWaiver,
    WaiveRule as WaiveRule,
)
from andon.schema.sandbox import Known, Reached
from andon.schema.sealing import (
    AnySealInput as AnySealInput,
    LandingNoted as LandingNoted,
    SealMade as SealMade,
)
from andon.schema.session_inputs import (
    AccessSeen as AccessSeen,
    AnySessionCommand as AnySessionCommand,
    AnySessionInput as AnySessionInput,
    AskAnswered as AskAnswered,
    AskGone as AskGone,
    AskSeen as AskSeen,
    AssertionSeen as AssertionSeen,
    ConversationSeen as ConversationSeen,
    DismissProblem as DismissProblem,
    FinishDone as FinishDone,
    FreeAccount as FreeAccount,
    GiveBack as GiveBack,
    HealthSeen as HealthSeen,
    Interrupt as Interrupt,
    Interrupted as Interrupted,
    LoginMoved as LoginMoved,
    MachineSeen as MachineSeen,
    MessageRefused as MessageRefused,
    MessageSent as MessageSent,
    Nudge as Nudge,
    ReassignTask as ReassignTask,
    ReceiptSeen as ReceiptSeen,
    RestartSession as RestartSession,
    SendMessage as SendMessage,
    TakeOver as TakeOver,
    TurnOver as TurnOver,
    UsageSeen as UsageSeen,
    WorkSeen as WorkSeen,
)
from andon.schema.settings import FactorySettings, Loaded
from andon.schema.undo import AnyUndoInput as AnyUndoInput, DeedSeen as DeedSeen, WalkBack as WalkBack

# --- a person's commands ---------------------------------------------------------------------------------------------


class AddTask(Command, frozen=True, kw_only=True, tag="add"):
    """Put a task on a line."""

    repo: RepoId
    title: str
    spec: str
    line: str = "build"
    after: tuple[TaskId, ...] = ()
    paths: tuple[str, ...] = ()
    priority: int = 0
    agent: str = ""
    race: tuple[str, ...] = ()
    """Agents of which each gets the task as its own; the better-proven change goes on. Makes one task for each."""
    may_remove_tests: bool = False
    key: str = ""


class AnswerGate(Command, frozen=True, kw_only=True, tag="answer"):
    """Answer a gate. `bound` must equal the gate's when the gate has one: the person saw exactly that."""

    gate: GateId
    option: str
    because: str = ""
    bound: Digest = Digest("")
    signature: Signature | None = None
    """The person's own, over the statement of this answer; the daemon looks at it before the core hears of it."""
    approver: Approver | None = None
    """Filled in by the daemon when it has looked; what a face says here is thrown away."""


class CancelTask(Command, frozen=True, kw_only=True, tag="cancel"):
    """End a task; its work is kept in a salvage ref."""

    task: TaskId
    because: str = ""


class RetryTask(Command, frozen=True, kw_only=True, tag="retry"):
    """Give a failed, cancelled or gated task another attempt."""

    task: TaskId
    note: str = ""


class PullCord(Command, frozen=True, kw_only=True, tag="stop"):
    """Stop a line. Running agents go on; nothing new starts and nothing lands."""

    repo: RepoId
    line: str
    because: str


class ReleaseCord(Command, frozen=True, kw_only=True, tag="resume"):
    """Let a stopped line move again."""

    repo: RepoId
    line: str


class TrustCommands(Command, frozen=True, kw_only=True, tag="trust"):
    """Trust exactly these commands of a repository."""

    repo: RepoId
    commands: Digest


# --- what the daemon itself saw --------------------------------------------------------------------------------------


class DaemonStarted(Input, frozen=True, kw_only=True, tag="daemon-started"):
    """We hold the lock and have read the ledger."""

    version: str
    pid: int
    boot: str
    cores: int = 0
    walls: Reached | None = None
    seed: str = ""
    """Chance; the core has none of its own."""


class WallsLooked(Input, frozen=True, kw_only=True, tag="walls-looked"):
    """What walls the machine gives, as just tried out."""

    reached: Reached


class DaemonStopping(Input, frozen=True, kw_only=True, tag="daemon-stopping"):
    """We drain and leave."""

    because: str


class Ticked(Input, frozen=True, kw_only=True, tag="ticked"):
    """A deadline that State named has come. There is no other timer."""


class PersonSettingsSeen(Input, frozen=True, kw_only=True, tag="person-settings-seen"):
    """The person's own settings were read."""

    settings: FactorySettings


class RepositorySeen(Input, frozen=True, kw_only=True, tag="repository-seen"):
    """A person registered this repository and the daemon looked at it."""

    repo: RepoId
    path: str
    git_dir: str
    by: str
    loaded: Loaded
    trust: bool
    """The person was shown the commands and said yes."""
    target: Oid
    tree: Oid


class SettingsSeen(Input, frozen=True, kw_only=True, tag="settings-seen"):
    """A repository's settings were read again."""

    repo: RepoId
    loaded: Loaded


class SettingsBad(Input, frozen=True, kw_only=True, tag="settings-bad"):
    """A settings file could not be used; the last good stay active. `repo` is empty for the person's own file."""

    repo: RepoId
    problem: Problem


class TargetSeen(Input, frozen=True, kw_only=True, tag="target-seen"):
    """The target branch or trunk was read from git."""

    repo: RepoId
    oid: Oid
    tree: Oid


class TroubleSeen(Input, frozen=True, kw_only=True, tag="trouble-seen"):
    """A part of the factory is unwell."""

    key: str
    problem: Problem
    repo: RepoId = RepoId("")


class TroubleGone(Input, frozen=True, kw_only=True, tag="trouble-gone"):
    """It is well again."""

    key: str


# --- answers to effects ----------------------------------------------------------------------------------------------


class EffectFailed(Input, frozen=True, kw_only=True, tag="effect-failed"):
    """A deed could not be done. Nothing was half-done: the world is as before or the deed can be repeated."""

    key: str
    kind: str
    """The effect's tag."""
    subject: str
    """Attempt, run or landing id."""
    problem: Problem
    transient: bool = True
    """Worth trying again by itself."""


class CheckoutReady(Input, frozen=True, kw_only=True, tag="checkout-ready"):
    """PrepareCheckout is done."""

    attempt: AttemptId
    path: str
    isolation: str
    setup_s: float = 0.0
    start: Oid = Oid("")
    """Where its branch stands, when earlier work was rebased."""
    rebased: str = ""
    """`clean`, or why earlier work could not be rebased; empty: nothing was to be."""


class SessionStarted(Input, frozen=True, kw_only=True, tag="session-started"):
    """The start token is held; seen, not assumed."""

    attempt: AttemptId
    pid: int
    ticks: int
    boot: str
    session: str
    walls: Known = ""
    """Of the walls that its shim built; empty: not known."""


class SessionEnded(Input, frozen=True, kw_only=True, tag="session-ended"):
    """The exit file was read, or (`exit` None) the process is gone without one."""

    attempt: AttemptId
    exit: Exit | None = None
    screen: Digest = Digest("")
    because: str = ""


class AgentSaid(Input, frozen=True, kw_only=True, tag="agent-said"):
    """A message from an attempt's outbox."""

    attempt: AttemptId
    said: Said


class StopDone(Input, frozen=True, kw_only=True, tag="stop-done"):
    """Snapshot taken and the tree was told to end."""

    attempt: AttemptId
    ref: str
    oid: Oid
    dirty: bool


class SuspendDone(Input, frozen=True, kw_only=True, tag="suspend-done"):
    """The tree was seen suspended or running."""

    attempt: AttemptId
    suspended: bool


class WorkRead(Input, frozen=True, kw_only=True, tag="work-read"):
    """What the attempt's branch holds, read and pinned by the daemon."""

    attempt: AttemptId
    fence: int
    commit: Oid
    """Head of the checkout; equal to the base when nothing was committed."""
    tree: Oid
    base: Oid
    base_tree: Oid
    descends: bool
    """Whether head descends from the attempt's base."""
    foreign: tuple[Oid, ...] = ()
    """Commits of other tasks that it contains."""
    paths: tuple[str, ...] = ()
    paths_total: int = 0
    insertions: int = 0
    deletions: int = 0
    diff: Digest = Digest("")
    dirty: bool = False
    """There is uncommitted work beside it."""
    refused: str = ""
    """Why git would not take it (broken objects, hostile content); empty when taken."""
    facts: Facts | None = None
    """What was seen in it beyond its paths; None: nobody looked."""


class CheckoutGone(Input, frozen=True, kw_only=True, tag="checkout-gone"):
    """Salvaged and removed."""

    attempt: AttemptId
    ref: str
    oid: Oid
    dirty: bool


class CheckoutBack(Input, frozen=True, kw_only=True, tag="checkout-back"):
    """`andon undo` restored a snapshot."""

    attempt: AttemptId
    path: str


class AnswerGiven(Input, frozen=True, kw_only=True, tag="answer-given"):
    """The answer file was seen in the inbox."""

    attempt: AttemptId
    n: int


class CheckRan(Input, frozen=True, kw_only=True, tag="check-ran"):
    """A check run ended, one way or the other."""

    run: RunId
    result: Result
    because: str
    cause: str = ""
    passed: int = 0
    failed: int = 0
    skipped: int = 0
    failing: tuple[str, ...] = ()
    names: Digest = Digest("")
    log: Digest = Digest("")
    report: Digest = Digest("")
    evidence: Digest = Digest("")
    seconds: float = 0.0
    cpu_s: float = 0.0
    """Processor time of the whole run; 0: not known."""
    lost_tests: tuple[str, ...] = ()
    tail: str = ""
    """Last lines of the log or the first failures: what the retry packet quotes. At most 4,000 characters."""
    walls: Known = ""
    """Of the walls that its shim built; empty: not known."""
    refused: tuple[AccessSeen, ...] = ()
    """What its walls refused the code under test; `attempt` is the run."""


AnyCommand = (
    AddTask | AnswerGate | CancelTask | RetryTask | PullCord | ReleaseCord | TrustCommands | AnySessionCommand | AnyLandingCommand
    | AnyGateCommand
    | AnyPolicyCommand
)
"""What may come over the operator's socket and goes to the core as it is."""

AnyInput = (
    AnyUndoInput |
    AddTask | AnswerGate | CancelTask | RetryTask | PullCord | ReleaseCord | TrustCommands
    | DaemonStarted | WallsLooked | DaemonStopping | Ticked | PersonSettingsSeen | RepositorySeen | SettingsSeen | SettingsBad
    | TargetSeen | TroubleSeen | TroubleGone
    | EffectFailed | CheckoutReady | SessionStarted | SessionEnded | AgentSaid | StopDone | SuspendDone | WorkRead
    | CheckoutGone | CheckoutBack | AnswerGiven | CheckRan | AnyLandingInput | AnySealInput | AnySessionInput | AnyPolicyCommand
    | AnyNotesInput
    | AnyGateInput
)
"""The closed union of inputs."""
