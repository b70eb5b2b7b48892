"""What is remembered of a merge queue beside its tasks: few facts, folded from events; the rest is derived at each look."""

import msgspec

from andon.schema.events import Hunk, Member, MergedStep, Result
from andon.schema.evidence import LandingParts
from andon.schema.ids import Digest, LandingId, Oid, RepoId, RunId, TaskId
from andon.schema.landing_events import ClashKind, Why
from andon.schema.sandbox import Known
from andon.schema.settings import Settings

KEPT_TRIED = 200
"""Results of members that did not land, remembered for one queue; the oldest go first and would be proved again."""
KEPT_FLAKES = 200
KEPT_RUNS = 6
"""Flaky tests remembered for one repository."""
KEPT_LANDED = 200
"""Landed changes that a red target may be traced to; older ones are not suspected."""
KEPT_LATE = 8
"""Landings that were given up while the target may have been moved to them."""
KEPT_UNRECORDED = 1_000
"""Landings whose record is owed; should it be impossible for that long, the oldest stay without one, which `andon verify` says."""
KEPT_WATCHED = 100
KEPT_CLASHES = 500
KEPT_TIMES = 64
"""Durations of proofs, moments of landings and uses of processors that figures are made of."""


class Checked(msgspec.Struct, frozen=True, kw_only=True):
    """What a check said of a merged tree."""

    check: str
    result: Result
    run: RunId
    because: str
    failing: tuple[str, ...] = ()
    detail: str = ""
    final: bool = False
    walls: Known = ""
    """That the run had."""
    evidence: Digest = Digest("")
    """Blob: the signed statement of the run."""


def manner_of(settings: Settings) -> tuple[str, ...]:
    """How changes are merged: a landing that was planned for another manner is no longer wanted."""
    how = settings.queue
    return how.land, how.history, settings.target, *how.drivers


class Landing(msgspec.Struct, frozen=True, kw_only=True):
    """Members that are merged and proved together."""

    landing: LandingId
    repo: RepoId
    task: TaskId
    """The last member's."""
    commit: Oid
    onto: Oid
    planned_at: int
    manner: tuple[str, ...] = ()
    """How the settings wanted changes to be merged when it was planned."""
    members: tuple[Member, ...] = ()
    why: Why = "prefix"
    suspect: TaskId = TaskId("")
    candidate: Oid = Oid("")
    """Empty while it is merged."""
    tree: Oid = Oid("")
    steps: tuple[MergedStep, ...] = ()
    checked: tuple[Checked, ...] = ()
    adrift: bool = False
    """The target moved, and a proven history wants another tip than its candidate: what is seen of its tree counts, and to land
    it is merged again."""
    passed: bool = False
    chosen: bool = False
    """The target is to be moved to it."""

    def holds(self, task: TaskId) -> bool:
        """Whether the task is one of its members."""
        return any(member.task == task for member in self.members)


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of exactly these members on the present trunk."""

    members: tuple[Member, ...]
    passes: int = 0
    fails: int = 0
    unevaluated: int = 0
    commit: Oid = Oid("")
    """The candidate that was proved last, and its tree."""
    tree: Oid = Oid("")
    runs: tuple[RunId, ...] = ()
    """Those that said no."""
    final: bool = False
    """Proving it again would only repeat that it cannot be evaluated."""
    because: str = ""
    failed: tuple[Checked, ...] = ()
    """The checks that ever failed, each as it did last, and those that could not be evaluated last."""
    names: tuple[str, ...] = ()
    """All tests that ever failed here; a check that names none counts by its own name."""


class Apart(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of changes apart from the queue, each on the target of its time."""

    outcomes: tuple[Outcome, ...] = ()
    """Those that landed meanwhile are no longer among the members."""
    stood: tuple[Oid, ...] = ()
    """Heads that passed."""
    grouped: int = 0
    """Changes in new groups, and how many groups of them failed."""
    failed: int = 0
    decided: int = 0
    """Changes that had stood and then landed or were culprits after all; and these."""
    culprits: int = 0


class Flake(msgspec.Struct, frozen=True, kw_only=True):
    """A test, or a check that names none, which said yes and no about one tree."""

    name: str
    check: str
    seen: int
    """How often."""
    at: int
    trees: tuple[Oid, ...] = ()
    """The latest few that it was seen on."""
    runs: tuple[RunId, ...] = ()
    """The latest few that disagreed, in pairs: the evidence."""
    since: int = 0
    """When it was first seen (unix milliseconds); 0: before this was kept."""
    passes: int = 0
    """Passes of its check on other trees since it was last seen."""


class Landed(msgspec.Struct, frozen=True, kw_only=True):
    """A step of the target, as far as a red one is traced."""

    task: TaskId
    """Empty: not by us, a person's own commits."""
    commit: Oid
    before: Oid
    tree: Oid


class Red(msgspec.Struct, frozen=True, kw_only=True):
    """A check that fails on the target."""

    check: str
    because: str
    commit: Oid
    run: RunId
    since: int
    suspects: tuple[TaskId, ...] = ()


class Watched(msgspec.Struct, frozen=True, kw_only=True):
    """What the watch station saw of a check on one tree of the target."""

    check: str
    tree: Oid
    fails: int = 0
    unevaluated: int = 0


class Meeting(msgspec.Struct, frozen=True, kw_only=True):
    """Two live changes that meet."""

    one: TaskId
    other: TaskId
    kind: ClashKind
    hunks: tuple[Hunk, ...]
    heads: tuple[Oid, Oid]
    since: int


class Counts(msgspec.Struct, frozen=True, kw_only=True):
    """What the queue did so far."""

    landed: int = 0
    sent_back: int = 0
    culprits: int = 0
    """Of those sent back: failed by themselves on the merged tree, and failed again."""
    conflicts: int = 0
    proofs: int = 0
    moved: int = 0
    """Proofs that moved the target."""
    blamed: int = 0
    """Proofs that narrowed or confirmed a culprit: they failed."""
    stood: int = 0
    """Proofs apart from the queue that passed."""
    abandoned: int = 0
    trees: int = 0
    """Distinct merged trees with a yes or no."""
    flaky: int = 0
    """Trees with both."""


class Queue(msgspec.Struct, frozen=True, kw_only=True):
    """The merge queue of one repository."""

    held: str = ""
    held_by: str = ""
    held_at: int = 0
    order: tuple[TaskId, ...] = ()
    """Those that a person put first, in that order."""
    outcomes: tuple[Outcome, ...] = ()
    apart: Apart = Apart()
    strange: tuple[TaskId, ...] = ()
    """Tasks whose landing could not be evaluated since anything was last proven or refuted: two of them stop the queue."""
    late: tuple[Landing, ...] = ()
    """Chosen and then given up on the present target: should it turn out to have been moved to one of them, that one landed."""
    clashing: tuple[tuple[Oid, Oid], ...] = ()
    """Heads of queued changes that were found not to merge with each other."""
    flakes: tuple[Flake, ...] = ()
    landed: tuple[Landed, ...] = ()
    """The target's latest steps, oldest first."""
    green: tuple[tuple[str, Oid], ...] = ()
    """By check of the watch station: the commit that it last passed on."""
    red: tuple[Red, ...] = ()
    watched: tuple[Watched, ...] = ()
    meetings: tuple[Meeting, ...] = ()
    counts: Counts = Counts()
    seconds: tuple[float, ...] = ()
    """Of the latest proofs that passed."""
    failing: tuple[float, ...] = ()
    """Of the latest ones that failed, as shares of what a passing one took then."""
    uses: tuple[tuple[float, float], ...] = ()
    """(processor seconds, seconds) of the latest check runs."""
    moments: tuple[int, ...] = ()
    """When changes landed (unix milliseconds), the latest."""
    unrecorded: tuple[LandingParts, ...] = ()
    """Landings whose proof is still to be kept in the repository, oldest first."""
    published: Oid = Oid("")
    published_where: str = ""
    published_because: str = ""
