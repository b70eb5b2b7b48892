"""What can have happened in the merge queue and on its target. The ledger holds these."""

from typing import Literal

import msgspec

from andon.schema.eventbase import Event, Result
from andon.schema.evidence import Sealed
from andon.schema.facts import Facts
from andon.schema.ids import Digest, LandingId, Oid, RepoId, RunId, TaskId
from andon.schema.sandbox import Known

Why = Literal["prefix", "confirm", "without", "apart"]
"""Why members are proved together: as a prefix of the queue; once more, alone, because it failed; without a suspect."""
ClashKind = Literal["hot", "soft"]
"""`hot`: the two do not merge. `soft`: they merge, and change the same file or the same contract."""


class Member(msgspec.Struct, frozen=True, kw_only=True):
    """A change in a landing."""

    task: TaskId
    commit: Oid
    """The head that was accepted: pinned, and exactly this one is proved and lands."""
    at: int = 0
    """When it entered the queue (unix milliseconds): the date of its merge, so that a rebuild gives the same commit."""
    seal: Sealed | None = None
    """Names the evidence of the change in its landing commit; None in older logs."""


class MergedStep(msgspec.Struct, frozen=True, kw_only=True):
    """What one member became on top of those before it."""

    task: TaskId
    commit: Oid
    """The last commit that it gives the target."""
    tree: Oid


class LandingPlanned(Event, frozen=True, kw_only=True, tag="landing.planned"):
    """Changes are to be merged and proved together, in this order, on this trunk."""

    landing: LandingId
    repo: RepoId
    task: TaskId
    """The last member's."""
    commit: Oid
    onto: Oid
    """The trunk commit that they are merged with."""
    members: tuple[Member, ...] = ()
    """Empty in logs of releases that landed one change at a time: then it is `task` at `commit` alone."""
    why: Why = "prefix"
    suspect: TaskId = TaskId("")
    """The change that is left out (`without`) or proved again (`confirm`), or the first of a group that failed (`apart`)."""


class LandingMerged(Event, frozen=True, kw_only=True, tag="landing.merged"):
    """The merged tree exists as a pinned candidate commit."""

    landing: LandingId
    candidate: Oid
    tree: Oid
    steps: tuple[MergedStep, ...] = ()


class LandingConflicted(Event, frozen=True, kw_only=True, tag="landing.conflicted"):
    """A member has textual conflicts; nothing moved, and the landing is over."""

    landing: LandingId
    paths: tuple[str, ...]
    message: str = ""
    task: TaskId = TaskId("")
    """The member that does not merge; empty in older logs: the landing's own."""
    against: TaskId = TaskId("")
    """The member before it that it conflicts with; empty: with the target as it stands."""


class LandingChecked(Event, frozen=True, kw_only=True, tag="landing.checked"):
    """What one check says of the merged tree, from a run of this landing or from an earlier one on the same tree."""

    landing: LandingId
    check: str
    result: Result
    run: RunId
    because: str
    failing: tuple[str, ...] = ()
    detail: str = ""
    """For what did not pass: what a retry packet quotes, at most 4,000 characters."""
    final: bool = False
    """For unevaluated: running it again would say the same."""
    walls: Known = ""
    """Of the walls that the run had."""
    evidence: Digest = Digest("")
    """Blob: the signed statement of the run; empty in older logs."""


class LandingJudged(Event, frozen=True, kw_only=True, tag="landing.judged"):
    """The merged tree is proven, refuted, or could not be evaluated. A proven one is still to be moved in."""

    landing: LandingId
    result: Result
    because: str
    final: bool = False
    """For unevaluated: proving it again would say the same."""


class LandingChosen(Event, frozen=True, kw_only=True, tag="landing.chosen"):
    """It is proven and first in line: the target is to be moved to its candidate."""

    landing: LandingId


class LandingAbandoned(Event, frozen=True, kw_only=True, tag="landing.abandoned"):
    """It ended without moving the target and without saying anything about its members."""

    landing: LandingId
    because: str


class TargetMoved(Event, frozen=True, kw_only=True, tag="target.moved"):
    """The one commit point: trunk was moved by compare-and-swap to the proven candidate."""

    landing: LandingId
    old: Oid
    new: Oid


class FlakeSeen(Event, frozen=True, kw_only=True, tag="flake.seen"):
    """A check said yes and no about the same tree."""

    repo: RepoId
    check: str
    tree: Oid
    tests: tuple[str, ...] = ()
    """Those that failed once and passed once; empty when the check names none."""
    runs: tuple[RunId, ...] = ()
    tasks: tuple[TaskId, ...] = ()
    """The members it was seen with: a test that they touch is not excused."""


class FlakeForgotten(Event, frozen=True, kw_only=True, tag="flake.forgotten"):
    """A person says that these tests are mended, or they passed often enough: a failure of them counts again."""

    repo: RepoId
    tests: tuple[str, ...]
    by: str
    because: str = ""
    """What was seen, when nobody had to say so."""


# --- a person's decisions about the queue --------------------------------------------------------------------------------


class QueueOrdered(Event, frozen=True, kw_only=True, tag="queue.ordered"):
    """These go first, in this order; the others follow as they would."""

    repo: RepoId
    order: tuple[TaskId, ...]
    by: str
    because: str = ""


class EntryHeld(Event, frozen=True, kw_only=True, tag="entry.held"):
    """This change does not land until it is released."""

    task: TaskId
    because: str
    by: str


class EntryReleased(Event, frozen=True, kw_only=True, tag="entry.released"):
    """It may land again."""

    task: TaskId
    by: str


class EntrySentBack(Event, frozen=True, kw_only=True, tag="entry.sent-back"):
    """A change leaves the queue without landing, for its own part in what was seen."""

    repo: RepoId
    task: TaskId
    commit: Oid
    reason: Literal["failed", "conflict", "dropped"]
    """`failed`: alone on the target, more than once. `conflict`: it does not merge with the target. `dropped`: by a person."""
    because: str
    runs: tuple[RunId, ...] = ()
    """What showed it."""
    against: tuple[TaskId, ...] = ()
    """Landed since it was begun, and likely what it fails against."""


class QueueHeld(Event, frozen=True, kw_only=True, tag="queue.held"):
    """Nothing lands in this repository until a person says so."""

    repo: RepoId
    because: str
    by: str


class QueueResumed(Event, frozen=True, kw_only=True, tag="queue.resumed"):
    """The queue goes on."""

    repo: RepoId
    by: str


# --- forecast ------------------------------------------------------------------------------------------------------------


class Hunk(msgspec.Struct, frozen=True, kw_only=True):
    """A place where two changes meet."""

    path: str
    line: int = 0
    """In the target's version, from 1; 0: the whole file."""
    count: int = 0
    kind: str = "content"
    """`content`, `rename`, `delete`, `add`, `binary`, `file`, `contract`."""


class ClashSeen(Event, frozen=True, kw_only=True, tag="clash.seen"):
    """Two live changes will meet. Seen again with other hunks it replaces what was known."""

    repo: RepoId
    one: TaskId
    """The older task."""
    other: TaskId
    kind: ClashKind
    hunks: tuple[Hunk, ...] = ()
    """At most 20."""
    heads: tuple[Oid, Oid]
    """What was compared: commits, or throw-away snapshots of checkouts in work."""


class ClashGone(Event, frozen=True, kw_only=True, tag="clash.gone"):
    """They no longer meet."""

    repo: RepoId
    one: TaskId
    other: TaskId


# --- after landing -------------------------------------------------------------------------------------------------------


class TargetRed(Event, frozen=True, kw_only=True, tag="target.red"):
    """A check of the watch station failed on the target, and failed again."""

    repo: RepoId
    check: str
    commit: Oid
    run: RunId
    because: str
    suspects: tuple[TaskId, ...] = ()
    """Landed since it was last green, the likeliest first."""
    log: Digest = Digest("")


class TargetGreen(Event, frozen=True, kw_only=True, tag="target.green"):
    """A check of the watch station passes on the target."""

    repo: RepoId
    check: str
    commit: Oid
    run: RunId


class RevertPrepared(Event, frozen=True, kw_only=True, tag="revert.prepared"):
    """The change that takes a landed one back exists as a pinned commit, and waits to land like any other."""

    task: TaskId
    commit: Oid
    tree: Oid
    base: Oid
    base_tree: Oid
    paths: tuple[str, ...] = ()
    paths_total: int = 0
    insertions: int = 0
    deletions: int = 0
    diff: Digest = Digest("")
    facts: Facts | None = None
    """What was seen in it beyond its paths; None in older logs."""


class RevertConflicted(Event, frozen=True, kw_only=True, tag="revert.conflicted"):
    """Git cannot take it back: later work changed the same places. An agent must."""

    task: TaskId
    paths: tuple[str, ...]


class ForwardAsked(Event, frozen=True, kw_only=True, tag="target.forward-asked"):
    """A person wants the checkout to be taken forward to trunk now."""

    repo: RepoId
    by: str


class TargetPublished(Event, frozen=True, kw_only=True, tag="target.published"):
    """What became of handing landed work on to a remote."""

    repo: RepoId
    oid: Oid
    done: bool
    where: str = ""
    """The remote, or the pull request's address."""
    because: str = ""
    """When not done."""


AnyLandingEvent = (
    LandingPlanned | LandingMerged | LandingConflicted | LandingChecked | LandingJudged | LandingChosen | LandingAbandoned
    | TargetMoved
    | FlakeSeen | FlakeForgotten | QueueOrdered | EntryHeld | EntryReleased | EntrySentBack | QueueHeld | QueueResumed
    | ClashSeen | ClashGone | TargetRed | TargetGreen | RevertPrepared | RevertConflicted
    | ForwardAsked | TargetPublished
)
"""The events of the merge queue."""
