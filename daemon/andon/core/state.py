"""What the factory knows at one moment: frozen values in persistent maps. Knows no time, no disk and no way to change."""

import msgspec
from immutables import Map

from andon.core.aside import Shipped as Shipped, Waiver as Waiver
from andon.core.questions import Decided as Decided, Gate as Gate
from andon.core.queue.facts import Landing as Landing, Queue
from andon.core.undone import Undo
from andon.schema.events import ClaimStatus, FailureClass, Result
from andon.schema.evidence import Sealed
from andon.schema.facts import Facts
from andon.schema.gate_events import Approver
from andon.schema.ids import AttemptId, Digest, GateId, LandingId, Oid, RepoId, RunId, TaskId
from andon.schema.notes import Notes, Talk
from andon.schema.sandbox import Known, Reached
from andon.schema.settings import FactorySettings, Line, Settings, Station

KEPT_HISTORY = 400
"""Ledger rows remembered for one task's timeline; older ones stay in the ledger alone."""
KEPT_QUESTIONS = 20
"""Questions of one attempt that may wait at once; further ones are heard and get no gate."""
KEPT_ASKS = 50
"""Permissions and questions by an agent's own means that may stand open in one attempt; also how many answered ones are known."""
KEPT_KEYS = 200
"""Idempotency keys of messages remembered for one attempt."""
KEPT_CLAIMS = 20
"""Contradicted assertions remembered for one attempt; further ones say nothing new."""
KEPT_RUNGS = 100
"""Steps of ladders remembered for one attempt."""
KEPT_OVER = 1000
"""Finished tasks that are remembered whole; of older ones only how they ended. The ledger keeps all of them."""
KEPT_PROOFS = 2000
"""Proofs remembered for reuse; the oldest half is forgotten at the bound and would simply be proven again."""
RERUNS = 2
"""Unevaluated results of one change at one station before a person is asked: the first is repeated once by itself."""


class Claim(msgspec.Struct, frozen=True, kw_only=True):
    """A judged statement about a commit."""

    claim: str
    status: ClaimStatus
    because: str
    commit: Oid
    run: RunId = RunId("")
    at: int = 0
    detail: str = ""
    walls: Known = ""
    """That its run had; empty: not known, or no run stands behind it."""
    evidence: Digest = Digest("")
    """Blob: the signed statement of its run; empty when no run stands behind it."""


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """What an agent asked and nobody has answered yet."""

    n: int
    text: str
    options: tuple[str, ...] = ()


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """One failed try of a task, as the caps count it."""

    failure: FailureClass
    fingerprint: str


class Work(msgspec.Struct, frozen=True, kw_only=True):
    """What an attempt brought, read from git by the daemon."""

    attempt: AttemptId
    commit: Oid
    tree: Oid
    base: Oid
    base_tree: Oid
    paths: tuple[str, ...] = ()
    paths_total: int = 0
    insertions: int = 0
    deletions: int = 0
    diff: Digest = Digest("")
    walls: Known = ""
    """The weakest that it was built within, the work that it goes on from included; empty: not known."""
    facts: Facts | None = None


class Ask(msgspec.Struct, frozen=True, kw_only=True):
    """A permission or question that an agent stands at, as its channel names it."""

    ask: str
    tool: str = ""
    deed: str = ""
    target: str = ""
    paths: tuple[str, ...] = ()
    text: str = ""
    options: tuple[str, ...] = ()
    by_keys: bool = False
    by_message: bool = False
    decided: bool = False
    allow: bool = False
    answer: str = ""
    at: int = 0


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """Words that are owed to an agent."""

    message: str
    kind: str
    text: str
    by: str
    at: int
    sent_at: int = 0
    """When it was given without a receipt (unix milliseconds); 0: not yet."""


class Stuck(msgspec.Struct, frozen=True, kw_only=True):
    """A cause that stands, and what was done about it so far."""

    cause: str
    health: str
    because: str
    since: int
    until: int = 0
    evidence: tuple[str, ...] = ()
    last: int = 0
    """When the latest rung was taken (unix milliseconds); 0: none yet."""
    wants_gate: bool = False
    """Its ladder came to a person; the gate is opened when no other is open for the task."""
    rule: str = ""
    source: str = ""
    taken: tuple[str, ...] = ()
    """Rungs taken since it stands, oldest first."""


class Spending(msgspec.Struct, frozen=True, kw_only=True):
    """Tokens and dollars."""

    input: int = 0
    output: int = 0
    cache_read: int = 0
    cache_write: int = 0
    usd: float = 0.0
    metered: str = ""
    requests: int = 0

    @property
    def tokens(self) -> int:
        """Those that a cap counts: input and output; what a cache gave is not counted."""
        return self.input + self.output


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """A provider account at a limit."""

    account: str
    until: int
    because: str
    since: int


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """One attempt. `phase` only ever moves to the right."""

    attempt: AttemptId
    task: TaskId
    repo: RepoId
    number: int
    station: str
    fence: int
    agent: str
    base: Oid
    start: Oid
    port: int
    ports: int
    claimed_at: int
    rebase: bool = False
    """The earlier work is to be replayed onto its base."""
    rebased: str = ""
    """`clean`: earlier work stands on the newer target; else why it does not; empty: there was none to rebase."""
    phase: str = "claimed"
    """claimed, prepared, running, ended, closed, removed."""
    path: str = ""
    isolation: str = ""
    walls: Known = ""
    """The weakest that its sittings had; empty: not known, or not started."""
    session: str = ""
    started_at: int = 0
    ended_at: int = 0
    allowed_minutes: float = 0.0
    """What a person added to the agent's own limit."""
    exit_code: int | None = None
    exit_because: str = ""
    exit_error: str = ""
    """What its wrapper said of that end."""
    said: int = 0
    says: str = ""
    said_commit: str = ""
    asks: tuple[Question, ...] = ()
    """Questions without an answer, oldest first; each gets its gate when none is open for the task."""
    answers: tuple[tuple[int, str], ...] = ()
    """Answers owed to the agent: (number, text)."""
    stop_asked: str = ""
    stop_then: str = ""
    """What follows the stop: `restart`, `fresh`, `reassign`; empty: nothing."""
    stop_note: str = ""
    stopped: bool = False
    pause_asked: bool = False
    suspended: bool = False
    outcome: str = ""
    salvage: str = ""
    salvage_oid: Oid = Oid("")
    worked_s: float = 0.0
    """How long the sitting that ended last ran; 0 when nobody saw."""
    sitting: int = 1
    """1: first start; each resume in its checkout counts one more."""
    resume: str = ""
    """The conversation that the present sitting goes on with."""
    resume_note: str = ""
    not_before: int = 0
    """For a resumed sitting: when it may start."""
    conversation: str = ""
    channel: str = ""
    interactive: bool = False
    metered: str = ""
    turns: int = 0
    """Ended turns of this sitting."""
    turns_before: int = 0
    """Those of the sittings before."""
    turn_text: str = ""
    turn_trouble: str = ""
    looked: int = 0
    """The turn at whose end the checkout was last looked at."""
    committed: bool = False
    dirty: bool = False
    settled: int = 0
    """The latest turn after which something was decided: a question, a nudge."""
    said_finished: bool = False
    finish_asked: str = ""
    finish_done: bool = False
    taken: str = ""
    open_asks: tuple[Ask, ...] = ()
    told_asks: tuple[str, ...] = ()
    """Asks whose answer was delivered: seen again they are old."""
    outbox: tuple[Message, ...] = ()
    """Oldest first."""
    sent_keys: tuple[str, ...] = ()
    nudged: int = 0
    """Nudges about work that was not there at the end of a turn."""
    interrupts: int = 0
    interrupts_done: int = 0
    interrupted_by: str = ""
    stuck: Stuck | None = None
    rungs: tuple[tuple[str, str], ...] = ()
    """(cause, rung) of each step taken in this attempt, oldest first."""
    rung_at: int = 0
    """When the latest rung above `wait` was taken (unix milliseconds)."""
    contradicted: tuple[str, ...] = ()
    observed: tuple[str, ...] = ()
    """What was found instead, one for each of those."""
    diverged: bool = False
    """It was told once about what it asserted and what is not so."""
    account: str = ""
    reserve_usd: float = 0.0
    spent: Spending = Spending()
    spent_before: Spending = Spending()
    """By the sittings before this one; part of `spent`."""
    budget_hit: str = ""
    """The cap that was reached; empty when none, or when a person raised it."""
    budget_at: int = 0
    """When it was reached (unix milliseconds)."""
    budget_turn: int = 0
    """Ended turns when it was reached, or when the request to hand back arrived: a later one hands back."""
    raised_usd: float = 0.0
    raised_tokens: int = 0
    talk: Talk = Talk()
    """Its transcript in numbers, once it ended."""

    @property
    def live(self) -> bool:
        """Holds the lease: it may still change its checkout."""
        return self.phase in ("claimed", "prepared", "running", "ended")

    @property
    def turn(self) -> int:
        """Ended turns over all sittings: names a turn for ever."""
        return self.turns_before + self.turns

    @property
    def at_work(self) -> bool:
        """It runs, and nobody has asked it to stop, pause or finish."""
        return self.phase == "running" and not (self.stop_asked or self.pause_asked or self.suspended or self.finish_asked)


class Consent(msgspec.Struct, frozen=True, kw_only=True):
    """A person let exactly this commit land, having been told of these walls."""

    commit: Oid
    walls: Known
    approvers: tuple[Approver, ...] = ()
    """Who signed for it."""


class Seal(msgspec.Struct, frozen=True, kw_only=True):
    """The evidence about a change lies signed under these names."""

    commit: Oid
    approved: Digest
    names: Sealed


class Task(msgspec.Struct, frozen=True, kw_only=True):
    """One task and where it stands on its line."""

    task: TaskId
    repo: RepoId
    title: str
    spec: str
    line: str
    after: tuple[TaskId, ...]
    paths: tuple[str, ...]
    priority: int
    agent: str
    may_remove_tests: bool
    added_at: int
    added_seq: int
    since: int
    station: str = ""
    """Empty while it waits before its line."""
    attempts: tuple[AttemptId, ...] = ()
    live: AttemptId = AttemptId("")
    """The attempt that holds the lease."""
    fence: int = 0
    work: Work | None = None
    """The accepted change."""
    previous: Work | None = None
    """The change before it, offered to the next attempt."""
    resume_previous: bool = False
    claims: tuple[Claim, ...] = ()
    failures: tuple[Failure, ...] = ()
    """Since the last time a person looked."""
    packet: str = ""
    not_before: int = 0
    gate: GateId = GateId("")
    approved: Digest = Digest("")
    """The digest that a person approved; another change needs another approval."""
    seal: Seal | None = None
    """The latest seal on the evidence of its change."""
    by: str = ""
    """Who asked for it."""
    approvals: tuple[Digest, ...] = ()
    """The envelopes of the approvals of exactly `approved`."""
    consent: Consent | None = None
    """Up to which walls a person let its change land; None when nobody was asked."""
    rerun: int = 0
    """Runs of unevaluated checks that were repeated by themselves since the change was accepted."""
    queued: int = 0
    """When it entered the merge queue (unix milliseconds); 0: not yet."""
    held: str = ""
    """Why a person keeps it from landing; empty when nobody does."""
    held_by: str = ""
    overtaken: int = 0
    """Changes that entered the queue later and landed before it."""
    reverts: TaskId = TaskId("")
    """The landed task that it takes back; empty also when git could not, and an agent must."""
    landed: Oid = Oid("")
    landed_before: Oid = Oid("")
    """The target's commit before it."""
    outcome: str = ""
    """Empty while open; `done`, `failed`, `cancelled`."""
    because: str = ""
    history: tuple[int, ...] = ()
    race: str = ""
    spent: Spending = Spending()
    """By its attempts that are over; what live ones spend is theirs until then."""

    @property
    def over(self) -> bool:
        """Nothing more will happen by itself."""
        return bool(self.outcome)


class Past(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """What is remembered of a task that was over long ago."""

    repo: RepoId
    outcome: str
    landed: Oid
    landed_before: Oid = Oid("")
    title: str = ""
    first: int
    last: int
    """The ledger rows between which all of its own lie."""


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """A planned check run that has no result yet."""

    run: RunId
    repo: RepoId
    task: TaskId
    purpose: str
    check: str
    definition: Digest
    commit: Oid
    tree: Oid
    landing: LandingId


class Proof(msgspec.Struct, frozen=True, kw_only=True):
    """What a check said of a tree: reusable, because tree and definition name it."""

    run: RunId
    result: Result
    because: str
    names: Digest
    base_tree: Oid
    """The base that lost tests were compared with; empty when with none."""
    failing: tuple[str, ...] = ()
    """Names of failing tests, at most 50."""
    lost_tests: tuple[str, ...]
    seq: int
    walls: Known = ""
    evidence: Digest = Digest("")
    """Blob: the signed statement of the run."""
    at: int = 0
    """When it was seen (unix milliseconds); 0: before this was kept."""


class Repository(msgspec.Struct, frozen=True, kw_only=True):
    """A registered repository."""

    repo: RepoId
    path: str
    git_dir: str
    settings: Settings = Settings()
    digest: Digest = Digest("")
    commands: Digest = Digest("")
    trusted: Digest = Digest("")
    notes: tuple[str, ...] = ()
    trunk: Oid = Oid("")
    tree: Oid = Oid("")
    mirror_tried: Oid = Oid("")
    mirrored: bool = True
    mirror_because: str = ""
    mirror_mend: str = ""
    mirror_asked: int = 0
    """How often a person asked for it to be taken forward, and which of these was answered last."""
    mirror_answered: int = 0
    queue: Queue = Queue()
    last_claim: int = 0
    """Sequence number of its latest claim: the fairness between repositories."""

    @property
    def is_trusted(self) -> bool:
        """A person said yes to exactly the commands in force."""
        return bool(self.commands) and self.commands == self.trusted


class Cord(msgspec.Struct, frozen=True, kw_only=True):
    """A pulled cord."""

    because: str
    by: str
    at: int


class Trouble(msgspec.Struct, frozen=True, kw_only=True):
    """A noticed problem."""

    what: str
    where: str
    mend: str
    repo: RepoId
    task: TaskId
    at: int
    attempt: AttemptId = AttemptId("")
    times: int = 0


class Refusal(msgspec.Struct, frozen=True, kw_only=True):
    """What an attempt's walls refused it."""

    kind: str
    what: str
    rule: str
    times: int
    at: int


class Tries(msgspec.Struct, frozen=True, kw_only=True):
    """How often a deed failed."""

    tries: int
    not_before: int


class State(msgspec.Struct, frozen=True, kw_only=True):
    """All of it."""

    seq: int = 0
    at: int = 0
    """Time of the latest event: time never runs backwards here."""
    version: str = ""
    started_at: int = 0
    pid: int = 0
    cores: int = 0
    """Of the machine; 0: not known."""
    walls: Reached | None = None
    """The best walls that the machine gives; None: not looked yet."""
    factory: FactorySettings = FactorySettings()
    repos: Map[RepoId, Repository] = Map()
    tasks: Map[TaskId, Task] = Map()
    open: tuple[TaskId, ...] = ()
    """Tasks that are not over, in order of arrival."""
    over: tuple[TaskId, ...] = ()
    """Tasks that are over and remembered whole, in the order in which they ended."""
    past: Map[TaskId, Past] = Map()
    """Tasks that were over before those."""
    attempts: Map[AttemptId, Attempt] = Map()
    """Attempts whose checkout is not yet removed, and those of open tasks."""
    runs: Map[RunId, Run] = Map()
    proofs: Map[str, Proof] = Map()
    gates: Map[GateId, Gate] = Map()
    decided: tuple[Decided, ...] = ()
    """The latest gates that are no longer open."""
    landings: Map[LandingId, Landing] = Map()
    cords: Map[str, Cord] = Map()
    """By `REPO/LINE`."""
    problems: Map[str, Trouble] = Map()
    problems_told: tuple[tuple[str, int], ...] = ()
    """Of which problems the person's routes told last, and when."""
    refusals: Map[AttemptId, tuple[Refusal, ...]] = Map()
    """What attempts were refused, in order of its first time; of the latest attempts."""
    tries: Map[str, Tries] = Map()
    """By `SUBJECT EFFECT`."""
    keys: Map[str, TaskId] = Map()
    """Idempotency keys of added tasks."""
    task_count: int = 0
    run_count: int = 0
    gate_count: int = 0
    seed: str = ""
    """Of the nonces of gates."""
    landing_count: int = 0
    fence: int = 0
    message_count: int = 0
    accounts: Map[str, Account] = Map()
    """Those at a limit."""
    strained: str = ""
    """Why the machine takes nothing new; empty when it does."""
    days: Map[str, Spending] = Map()
    """Spending by `DAY WHAT` (`2026-11-20 repo:x`, `… line:x/build`, `… agent:x/claude`, `… account:y`, `… factory`), of today
    and the day before."""
    starts: tuple[int, ...] = ()
    """When (unix milliseconds) the latest attempts started, and how the ramp counts them: at most 8."""
    undos: Map[str, Undo] = Map()
    """Steps that are walked backwards, and the latest that were."""
    undo_count: int = 0
    failing_starts: int = 0
    """Attempts in a row that ended within seconds of their start, over all agents."""
    notes: Notes = Notes()
    """Git notes that are owed."""
    waivers: Map[str, Waiver] = Map()
    waiver_count: int = 0
    shipped: Map[str, tuple[Shipped, ...]] = Map()
    dark: Map[str, bool] = Map()


def proof_key(repo: RepoId, tree: Oid, definition: Digest) -> str:
    """The name of a proof: a definition on an exact tree of a repository."""
    return f"{repo}:{tree}:{definition}"


def cord_key(repo: RepoId, line: str) -> str:
    """The name of a line's cord."""
    return f"{repo}/{line}"


def cord_of(state: State, task: Task) -> Cord | None:
    """The cord that stops a task; None while its line moves. What takes a landed change back is not held up by the cord that asks
    for it."""
    return None if task.reverts else state.cords.get(cord_key(task.repo, task.line))


def line_of(state: State, task: Task) -> Line | None:
    """The task's line as configured now; None when the settings no longer have it."""
    return state.repos[task.repo].settings.lines.get(task.line)


def station_of(state: State, task: Task) -> Station | None:
    """The station where the task stands; None before its line or when the settings no longer have it."""
    line = line_of(state, task)
    return next((station for station in line.stations if station.name == task.station), None) if line else None


def open_tasks(state: State) -> list[Task]:
    """Tasks that are not over, in order of arrival."""
    return [state.tasks[task] for task in state.open]
