"""What can have happened in the merge queue. The ledger holds these."""

from andon.schema.eventbase import Event
from andon.schema.ids import LandingId, Oid, RepoId, TaskId


class LandingPlanned(Event, frozen=True, kw_only=True, tag="landing.planned"):
    """A change is next in the queue of its target."""

    landing: LandingId
    repo: RepoId
    task: TaskId
    commit: Oid
    onto: Oid
    """The trunk commit it is merged with."""


class LandingMerged(Event, frozen=True, kw_only=True, tag="landing.merged"):
    """The merged tree exists as a pinned candidate commit."""

    landing: LandingId
    candidate: Oid
    tree: Oid


class LandingConflicted(Event, frozen=True, kw_only=True, tag="landing.conflicted"):
    """The merge has textual conflicts; nothing moved."""

    landing: LandingId
    paths: tuple[str, ...]
    message: str = ""


class LandingAbandoned(Event, frozen=True, kw_only=True, tag="landing.abandoned"):
    """It ended without moving the target."""

    landing: LandingId
    because: str


class TargetMoved(Event, frozen=True, kw_only=True, tag="target.moved"):
    """The one commit point: trunk was moved by compare-and-swap to the proven candidate."""

    landing: LandingId
    old: Oid
    new: Oid
