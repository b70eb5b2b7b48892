"""What the merge queue is told: a person's decisions about it, and what the edges saw. Inputs carry no time."""

import msgspec

from andon.schema.facts import Facts
from andon.schema.ids import Digest, LandingId, Oid, RepoId, TaskId
from andon.schema.inputbase import Command, Input
from andon.schema.landing_events import ClashKind, Hunk, MergedStep


class OrderQueue(Command, frozen=True, kw_only=True, tag="queue-order"):
    """Put a change elsewhere in the queue of its repository."""

    task: TaskId
    before: TaskId = TaskId("")
    """It goes directly before this one; empty: to the front, to land next."""
    because: str = ""


class HoldEntry(Command, frozen=True, kw_only=True, tag="queue-hold"):
    """A change does not land until released. Also while it is still being built."""

    task: TaskId
    because: str = ""


class ReleaseEntry(Command, frozen=True, kw_only=True, tag="queue-release"):
    """It may land again."""

    task: TaskId


class DropEntry(Command, frozen=True, kw_only=True, tag="queue-drop"):
    """Take a change out of the queue: back to its agent with these words, or, with `cancel`, given up."""

    task: TaskId
    because: str
    cancel: bool = False


class HoldQueue(Command, frozen=True, kw_only=True, tag="queue-stop"):
    """Nothing lands in this repository until told."""

    repo: RepoId
    because: str


class ResumeQueue(Command, frozen=True, kw_only=True, tag="queue-resume"):
    """Land again."""

    repo: RepoId


class ForgetFlakes(Command, frozen=True, kw_only=True, tag="queue-mended"):
    """These tests are mended: a failure of them counts again."""

    repo: RepoId
    tests: tuple[str, ...]


class RevertLanding(Command, frozen=True, kw_only=True, tag="revert"):
    """Take a landed change back: as a new commit that is proved and landed like any other."""

    task: TaskId
    because: str = ""
    key: str = ""


class ForwardTarget(Command, frozen=True, kw_only=True, tag="forward"):
    """Take the person's own checkout forward to trunk now, also past uncommitted changes of other files."""

    repo: RepoId


class Clash(msgspec.Struct, frozen=True, kw_only=True):
    """Two live changes that meet."""

    one: TaskId
    other: TaskId
    kind: ClashKind
    hunks: tuple[Hunk, ...] = ()
    heads: tuple[Oid, Oid]


class ClashesSeen(Input, frozen=True, kw_only=True, tag="clashes-seen"):
    """All clashes between the live changes that were compared. A pair of `compared` that is not named does not clash."""

    repo: RepoId
    compared: tuple[TaskId, ...]
    clashes: tuple[Clash, ...] = ()


class CandidateMerged(Input, frozen=True, kw_only=True, tag="candidate-merged"):
    """The merged commit exists and is pinned."""

    landing: LandingId
    candidate: Oid
    tree: Oid
    steps: tuple[MergedStep, ...] = ()


class CandidateConflicted(Input, frozen=True, kw_only=True, tag="candidate-conflicted"):
    """A member has textual conflicts with the target (`against` empty) or with a member before it."""

    landing: LandingId
    paths: tuple[str, ...]
    message: str = ""
    task: TaskId = TaskId("")
    against: TaskId = TaskId("")


class TargetSwapped(Input, frozen=True, kw_only=True, tag="target-swapped"):
    """Trunk was read back at the new commit."""

    landing: LandingId
    old: Oid
    new: Oid
    tree: Oid


class LandingRefused(Input, frozen=True, kw_only=True, tag="landing-refused"):
    """Trunk was elsewhere, or the landing proof failed; nothing moved."""

    landing: LandingId
    because: str
    oid: Oid = Oid("")
    """Where trunk is now."""
    tree: Oid = Oid("")


class MirrorSeen(Input, frozen=True, kw_only=True, tag="mirror-seen"):
    """Whether the person's branch follows trunk."""

    repo: RepoId
    oid: Oid
    advanced: bool
    because: str = ""
    mend: str = ""
    asked: int = 0
    """As in the effect."""


class RevertMade(Input, frozen=True, kw_only=True, tag="revert-made"):
    """The reverting change exists and is pinned; with `conflicts` it does not, and an agent must do it."""

    task: TaskId
    commit: Oid = Oid("")
    tree: Oid = Oid("")
    base: Oid = Oid("")
    base_tree: Oid = Oid("")
    paths: tuple[str, ...] = ()
    paths_total: int = 0
    insertions: int = 0
    deletions: int = 0
    diff: Digest = Digest("")
    conflicts: tuple[str, ...] = ()
    """Paths that later work changed again."""
    facts: Facts | None = None


class PublishSeen(Input, frozen=True, kw_only=True, tag="publish-seen"):
    """What became of handing trunk on to a remote."""

    repo: RepoId
    oid: Oid
    done: bool
    where: str = ""
    because: str = ""


AnyLandingCommand = (
    OrderQueue | HoldEntry | ReleaseEntry | DropEntry | HoldQueue | ResumeQueue | ForgetFlakes | RevertLanding | ForwardTarget
)
"""What a person may ask of the queue."""

AnyLandingInput = (
    CandidateMerged | CandidateConflicted | TargetSwapped | LandingRefused | MirrorSeen | ClashesSeen | RevertMade | PublishSeen
    | AnyLandingCommand
)
"""The inputs of the merge queue."""
