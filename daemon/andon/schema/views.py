"""What faces draw: projections of State with the latest sightings mixed in. Each view has a `key`; a feed sends whole views.

Every cell says what it is, since when, and why: a face never has to guess.
"""

from typing import Literal

import msgspec

from andon.schema.events import Approver, ClaimStatus, Option, Risk
from andon.schema.health import Cause as Cause, Health as Health
from andon.schema.ids import AttemptId, Digest, GateId, Oid, RepoId, RunId, TaskId
from andon.schema.queue_views import (
    AnyQueueView as AnyQueueView,
    ClashView as ClashView,
    EntryState as EntryState,
    EntryView as EntryView,
    FlowView as FlowView,
    PolicyRow as PolicyRow,
    ProofView as ProofView,
    Provenance as Provenance,
    QueueView as QueueView,
    RedView as RedView,
)
from andon.schema.sandbox import Asked, Level, Reached, Shown
from andon.schema.settings import Lights, Operator
from andon.schema.viewbase import View as View

TaskState = Literal[
    "queued", "building", "checking", "waiting", "landing", "landed", "watching", "done", "failed", "stopped", "paused",
]
"""`waiting` is a gate; `paused` is a limit, a cord or trust; `stopped` is cancelled."""


class ClaimCell(msgspec.Struct, frozen=True, kw_only=True):
    """One claim of a change, as a cell."""

    claim: str
    status: ClaimStatus | Literal["running", "planned"]
    because: str = ""
    commit: Oid = Oid("")
    run: RunId = RunId("")
    at: int = 0
    walls: Shown = ""
    """Of the walls that its run had; empty: it has no run, or none that ended."""
    evidence: Digest = Digest("")
    """Blob: the statement that it rests on; empty: none is known."""


class ClaimStep(msgspec.Struct, frozen=True, kw_only=True):
    """One claim that a station of the task's line asks for, in order."""

    claim: str
    station: str
    """Where it is asked for first."""
    producer: str
    """Who produces it, as the settings say."""
    status: ClaimStatus | Literal["open", "stale"]
    """`open`: nobody produced it yet; `stale`: proven, and too long ago; `asserted`: an agent says so, which closes nothing."""
    because: str = ""


class WaiverLine(msgspec.Struct, frozen=True, kw_only=True):
    """A rule that a person set aside, and that stands aside still."""

    waiver: str
    repo: RepoId
    rule: str
    scope: str
    """A task, or globs on paths."""
    until: int
    """Unix milliseconds."""
    because: str
    by: str
    at: int
    signed: bool = False


class FactoryView(View, frozen=True, kw_only=True, tag="factory"):
    """The daemon itself. Key `factory`."""

    version: str
    pid: int
    started_at: int
    seq: int = 0
    mode: Literal["running", "read-only", "paused"] = "running"
    because: str = ""
    """For read-only and paused: why, and what to do."""
    wip: int = 0
    wip_limit: int = 0
    walls: Reached | None = None
    """The best walls that this machine gives to agents and checks; None: not known."""
    operator: Operator = Operator()
    """Who signs approvals at this machine; without a key nobody does."""
    operators: dict[str, tuple[str, ...]] = msgspec.field(default_factory=dict)
    """The roles of each person who may sign."""
    waivers: tuple[WaiverLine, ...] = ()
    """Rules that people set aside, oldest first."""

    @property
    def key(self) -> str:
        """There is one."""
        return "factory"


class StationView(msgspec.Struct, frozen=True, kw_only=True):
    """One column of a line."""

    name: str
    kind: str
    tasks: int = 0
    wip: int = 0


class LineView(View, frozen=True, kw_only=True, tag="line"):
    """One line of one repository. Key `line:REPO/NAME`."""

    repo: RepoId
    line: str
    stations: tuple[StationView, ...]
    cord: str = ""
    """Why it stands still; empty when it moves."""
    cord_by: str = ""
    cord_at: int = 0
    lights: Lights = "dim"
    """How much a person sees of what it lands: what is in force."""
    lights_why: str = ""
    """Why that is less dark than the settings say; empty when it is as they say."""
    figures: str = ""
    """What it has landed lately, as its floors count it."""
    floors: str = ""
    """Which floors it is below; empty: none."""

    @property
    def key(self) -> str:
        """Repository and name."""
        return f"line:{self.repo}/{self.line}"


class RepositoryView(View, frozen=True, kw_only=True, tag="repository"):
    """A registered repository. Key `repository:ID`."""

    repo: RepoId
    path: str
    target: str
    trunk: Oid
    trusted: bool
    commands: Digest
    behind: str = ""
    """Why the person's branch does not follow trunk; empty when it does."""
    mend: str = ""
    """How the person takes it."""
    notes: tuple[str, ...] = ()
    isolation: str = ""
    walls: Asked = "best"
    """What is to stand around its agents and checks, as the settings ask for: the best that the machine gives, or exactly that
    level; where the machine gives less than that, nothing starts."""
    walls_now: Shown = "unknown"
    """What they run at now; empty: nothing starts, for the machine gives less than what is asked for."""
    walls_least: Level = "strict"
    """The least within which a change must have come about to land without a person."""

    @property
    def key(self) -> str:
        """By id."""
        return f"repository:{self.repo}"


class TaskView(View, frozen=True, kw_only=True, tag="task"):
    """One card. Key `task:ID`."""

    task: TaskId
    repo: RepoId
    title: str
    line: str
    state: TaskState
    station: str
    since: int
    """Unix milliseconds since when it is in this state."""
    added: int
    attention: str = ""
    """Why it needs a person now; empty when it does not."""
    why: tuple[str, ...] = ()
    """Why it does not run; empty when it runs or is over."""
    attempt: AttemptId = AttemptId("")
    """The latest."""
    attempts: int = 0
    agent: str = ""
    health: Health | Literal[""] = ""
    cause: Cause = ""
    """What keeps its session; empty when nothing does."""
    usd: float = 0.0
    """Spent by all its attempts so far, as far as it was metered."""
    tokens: int = 0
    metered: bool = True
    """Whether every attempt's spending is known; when not, `usd` and `tokens` are a lower bound."""
    race: str = ""
    """Tasks of one race bear the same word; the better-proven change goes on."""
    says: str = ""
    """The agent's latest words: asserted."""
    claims: tuple[ClaimCell, ...] = ()
    gate: GateId = GateId("")
    after: tuple[TaskId, ...] = ()
    paths: tuple[str, ...] = ()
    overlaps: tuple[TaskId, ...] = ()
    """Tasks in work whose paths overlap."""
    priority: int = 0
    commit: Oid = Oid("")
    landed: Oid = Oid("")
    risk: Risk | Literal[""] = ""
    insertions: int = 0
    deletions: int = 0
    files: int = 0
    walls: Shown = ""
    """The weakest walls that its change, or while there is none its agent, has had."""
    steps: tuple[ClaimStep, ...] = ()
    """What its line asks for by `[claims]`; empty where no station asks for any."""

    @property
    def key(self) -> str:
        """By id."""
        return f"task:{self.task}"


class GateView(View, frozen=True, kw_only=True, tag="gate"):
    """One open question. Key `gate:ID`. It vanishes from the feed when answered or voided."""

    gate: GateId
    task: TaskId
    repo: RepoId
    title: str
    kind: str
    question: str
    options: tuple[Option, ...]
    recommendation: str = ""
    because: str = ""
    risk: Risk = "review"
    opened_at: int = 0
    commit: Oid = Oid("")
    bound: Digest = Digest("")
    diff: Digest = Digest("")
    """Blob of the unified diff; ask for it with a `blob` query."""
    claims: tuple[ClaimCell, ...] = ()
    files: int = 0
    insertions: int = 0
    deletions: int = 0
    attempts: int = 0
    attempt: AttemptId = AttemptId("")
    walls: Shown = ""
    """For `review`: the weakest walls that the change was built or proven within."""
    tree: Oid = Oid("")
    nonce: str = ""
    """Goes into a signed answer."""
    roles: tuple[str, ...] = ()
    """Each must be signed for by a person of its own."""
    keys: int = 0
    """Distinct keys that must sign a yes; 0: one without a signature counts too."""
    approvals: tuple[Approver, ...] = ()
    """Who has signed so far."""
    missing: tuple[str, ...] = ()
    """Who is still needed, in words."""
    blocked: str = ""
    """Why nobody could say yes to it now; empty when somebody could."""
    blocked_mend: str = ""
    snoozed_until: int = 0
    """Unix milliseconds; past that moment, or 0: it is not snoozed."""
    snoozed_by: str = ""
    to: str = ""
    """Who it is for; empty: for whoever comes."""
    to_because: str = ""
    raised: int = 0
    """How often it was told again because nobody answered."""
    usd: float = 0.0
    tokens: int = 0
    metered: bool = True
    """Whether all of what the task spent so far is known; when not, `usd` and `tokens` are a lower bound."""

    @property
    def key(self) -> str:
        """By id."""
        return f"gate:{self.gate}"


class SessionView(View, frozen=True, kw_only=True, tag="session"):
    """One live attempt. Key `session:ATTEMPT`. It vanishes when the attempt has ended."""

    attempt: AttemptId
    task: TaskId
    repo: RepoId
    agent: str
    session: str
    """The tmux session's name."""
    health: Health
    because: str
    """Why it is shown so, in one sentence."""
    source: str
    """`exit file`, `api`, `hook`, `gateway`, `outbox`, `pane`, `process`, `none` …"""
    since: int
    started: int = 0
    says: str = ""
    path: str = ""
    port: int = 0
    cause: Cause = ""
    rule: str = ""
    evidence: tuple[str, ...] = ()
    confidence: Literal["certain", "likely", "guess"] = "certain"
    until: int = 0
    """When a limit ends, as told."""
    conflict: str = ""
    """What another source says instead."""
    account: str = ""
    channel: str = ""
    """The best structured channel of this session: `app-server`, `http`, `hooks`, `acp`, `none`."""
    conversation: str = ""
    """By which it can be resumed; empty when not known."""
    sitting: int = 1
    """1: first start; more: how often it was started again in its checkout."""
    input_tokens: int = 0
    output_tokens: int = 0
    usd: float = 0.0
    metered: str = ""
    """`reported`, `gateway`, `priced` or `unmetered`; empty when nothing was spent yet."""
    context: float = 0.0
    """Share of its context window in use; 0: not told."""
    taken: str = ""
    """The person who took it over; nothing is done to it meanwhile."""
    ladder: tuple[str, ...] = ()
    """What was done about the present cause so far."""
    outbox: int = 0
    """Messages that wait to be delivered."""
    walls: Shown = ""
    """What stands around it; empty: it has not started."""

    @property
    def key(self) -> str:
        """By attempt."""
        return f"session:{self.attempt}"


class ProblemView(View, frozen=True, kw_only=True, tag="problem"):
    """Something that a person should mend. Key `problem:KEY`."""

    problem: str
    what: str
    where: str
    mend: str
    since: int
    repo: RepoId = RepoId("")
    task: TaskId = TaskId("")
    attempt: AttemptId = AttemptId("")
    """Whose walls refused something; empty: it is no such problem."""
    times: int = 0
    """How often, at least."""

    @property
    def key(self) -> str:
        """By the problem's own key."""
        return f"problem:{self.problem}"


class AccountView(View, frozen=True, kw_only=True, tag="account"):
    """One provider account. Key `account:NAME`. A limit of it stops only its own agents."""

    account: str
    limited_until: int = 0
    """Unix milliseconds; 0: not limited."""
    because: str = ""
    live: int = 0
    usd_today: float = 0.0
    tokens_today: int = 0

    @property
    def key(self) -> str:
        """By name."""
        return f"account:{self.account}"


AnyView = AccountView | FactoryView | LineView | RepositoryView | TaskView | GateView | SessionView | ProblemView | AnyQueueView
"""The closed union of views in the feed."""


class Moment(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a timeline."""

    seq: int
    at: int
    kind: str
    """The event's name."""
    text: str
    """One sentence for people."""
    blobs: tuple[tuple[str, Digest], ...] = ()
    """Evidence to open: (name, digest)."""


class AttemptDetail(msgspec.Struct, frozen=True, kw_only=True):
    """One attempt of a task, whole."""

    attempt: AttemptId
    number: int
    agent: str
    state: str
    base: Oid
    commit: Oid = Oid("")
    path: str = ""
    isolation: str = ""
    session: str = ""
    port: int = 0
    started: int = 0
    ended: int = 0
    outcome: str = ""
    salvage: str = ""
    """The ref under which everything it wrote is kept."""
    walls: Shown = ""
    """The weakest walls that it ran within; empty: it did not start."""


class TaskDetail(msgspec.Struct, frozen=True, kw_only=True):
    """A task, whole: the answer to a `task` query."""

    task: TaskView
    spec: str
    attempts: tuple[AttemptDetail, ...] = ()
    timeline: tuple[Moment, ...] = ()
    diff: Digest = Digest("")
    packet: str = ""
    """What the next attempt is told about the last failure."""
