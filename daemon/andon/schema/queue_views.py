"""What faces draw of the merge queue: the queue itself, its entries, clashes between live changes, and what other policies give."""

from typing import Literal

import msgspec

from andon.schema.ids import LandingId, Oid, RepoId, RunId, TaskId
from andon.schema.landing_events import ClashKind, Hunk, Why
from andon.schema.viewbase import View

EntryState = Literal["waiting", "proving", "suspect", "confirming", "proven", "moving", "held", "clashing", "gate"]
"""`waiting`: for its turn. `proving`: a member of what is proved now. `suspect`: the smallest failing prefix ends in it,
or a group with it failed apart from the queue.
`confirming`: proved again alone. `proven`: may be moved in. `held`: by a person. `clashing`: does not merge with one before it.
`gate`: a person is asked."""


class ProofView(msgspec.Struct, frozen=True, kw_only=True):
    """Something that is proved at this moment."""

    landing: LandingId
    why: Why
    members: tuple[TaskId, ...]
    suspect: TaskId = TaskId("")
    since: int = 0
    """Unix milliseconds."""
    expected_s: float = 0.0
    """How long it should take, by the last ones; 0: not known yet."""
    candidate: Oid = Oid("")
    """Empty while it is being merged."""
    tree: Oid = Oid("")
    runs: tuple[tuple[str, RunId, str], ...] = ()
    """(check, run, `planned`, `running`, `pass`, `fail` or `unevaluated`) of each check."""


class RedView(msgspec.Struct, frozen=True, kw_only=True):
    """A check that fails on the target itself."""

    check: str
    because: str
    commit: Oid
    run: RunId
    since: int
    suspects: tuple[TaskId, ...] = ()


class FlowView(msgspec.Struct, frozen=True, kw_only=True):
    """The queue's own figures, of the last day and of this hour, over all that the daemon remembers."""

    landed: int = 0
    """Changes landed since the factory keeps count."""
    landed_hour: int = 0
    """In the last hour."""
    sent_back: int = 0
    """Culprits and conflicts."""
    proofs: int = 0
    """Landings that were proved (passed, failed or not evaluated)."""
    wasted: int = 0
    """Of these, proofs that moved nothing and blamed nobody: abandoned, or covered by another."""
    per_landed: float = 0.0
    """Proofs for each landed change; 0: nothing landed yet."""
    failing: float = 0.0
    """How likely a change fails by itself, as measured here; 0: nothing was measured yet."""
    flaking: float = 0.0
    """Share of trees about which a check said both yes and no; 0: none so far."""
    proof_s: float = 0.0
    """Median seconds of a proof; 0: not known yet."""
    waits: tuple[tuple[str, int], ...] = ()
    """Entries that wait now, by cause."""


class QuarantineView(msgspec.Struct, frozen=True, kw_only=True):
    """A test that said yes and no about one tree, with the evidence."""

    test: str
    """The check itself when that names no tests."""
    check: str
    seen: int
    """How often."""
    since: int
    """When first (unix milliseconds); 0: not kept."""
    last: int
    """When last."""
    runs: tuple[RunId, ...] = ()
    """The latest that disagreed, in pairs."""
    trees: tuple[Oid, ...] = ()
    """The latest that they disagreed about."""
    passes: int = 0
    """Since then, on other trees."""
    needed: int = 0
    """Passes after which it leaves by itself; 0: only a person lets it out."""
    excused: bool = True
    """Whether a failure of it is excused now: the budget is not overdrawn, and it was seen on a tree."""


class QueueView(View, frozen=True, kw_only=True, tag="queue"):
    """The merge queue of one repository. Key `queue:REPO`."""

    repo: RepoId
    target: str
    trunk: Oid
    land: str
    history: str
    slots: int
    slots_because: str = ""
    """How their number came about: asked for, or from cores and measured use of them."""
    held: str = ""
    """Why nothing lands; empty when it does."""
    held_by: str = ""
    held_at: int = 0
    entries: int = 0
    oldest: int = 0
    """Since when the oldest entry waits (unix milliseconds); 0: none waits."""
    proving: tuple[ProofView, ...] = ()
    bracket: tuple[TaskId, ...] = ()
    """The smallest failing prefix: one of these is the culprit; empty when nothing fails."""
    suspect: TaskId = TaskId("")
    red: tuple[RedView, ...] = ()
    flaky: tuple[str, ...] = ()
    """Tests whose failure is excused."""
    quarantine: tuple[QuarantineView, ...] = ()
    """The same with their evidence, the latest last."""
    quarantine_budget: int = 0
    """With more than these nothing is excused."""
    flow: FlowView = FlowView()
    behind: str = ""
    """Why the person's checkout does not follow; empty when it does."""
    mend: str = ""
    published: str = ""
    """Where trunk was handed on to last, or why not; empty when nothing is published."""

    @property
    def key(self) -> str:
        """By repository."""
        return f"queue:{self.repo}"


class EntryView(View, frozen=True, kw_only=True, tag="entry"):
    """A change in a merge queue. Key `entry:TASK`. It vanishes when it has landed or left."""

    task: TaskId
    repo: RepoId
    title: str
    position: int
    """1: next. 0: it does not stand in line (held, a gate)."""
    state: EntryState
    why: str
    """One sentence: what it waits for, or what is done with it."""
    since: int
    """When it entered the queue (unix milliseconds)."""
    commit: Oid
    agent: str = ""
    landing: LandingId = LandingId("")
    """The proof that it is a member of, the shortest."""
    held_by: str = ""
    """The person who keeps it from landing, itself and not its line or queue; empty when nobody does."""
    expected_at: int = 0
    """When it may land, if all goes well (unix milliseconds); 0: not known."""
    priority: int = 0
    overtaken: int = 0
    """Changes that came later and landed before it."""
    risk: float = 0.0
    clashes: tuple[TaskId, ...] = ()
    """Live changes that it meets."""
    reverts: TaskId = TaskId("")
    files: int = 0
    insertions: int = 0
    deletions: int = 0

    @property
    def key(self) -> str:
        """By task."""
        return f"entry:{self.task}"


class ClashView(View, frozen=True, kw_only=True, tag="clash"):
    """Two live changes that meet. Key `clash:ONE:OTHER`."""

    repo: RepoId
    one: TaskId
    other: TaskId
    kind: ClashKind
    hunks: tuple[Hunk, ...]
    since: int
    titles: tuple[str, str] = ("", "")
    told: tuple[TaskId, ...] = ()
    """Tasks whose agents were told of it."""

    @property
    def key(self) -> str:
        """By pair."""
        return f"clash:{self.one}:{self.other}"


class PolicyRow(msgspec.Struct, frozen=True, kw_only=True):
    """What one policy would have done."""

    policy: str
    slots: int
    landed: int
    sent_back: int
    runs: int
    wasted: int
    hours: float
    """From the first arrival to the last landing."""
    wait_p50_s: float
    wait_p95_s: float
    red: int
    """Landings that would have left the target red."""


class Provenance(msgspec.Struct, frozen=True, kw_only=True):
    """What a commit of the target is, found again from the ledger or from its trailers."""

    commit: Oid
    repo: RepoId = RepoId("")
    task: TaskId = TaskId("")
    attempt: str = ""
    change: Oid = Oid("")
    """The head that was accepted."""
    landing: LandingId = LandingId("")
    title: str = ""
    by: Literal["ledger", "trailer", "note", "none"] = "none"
    proven: Oid = Oid("")
    """The moved-to commit whose tree was proven with it."""
    landed_at: int = 0


AnyQueueView = QueueView | EntryView | ClashView
"""The views of the merge queue."""
