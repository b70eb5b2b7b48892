"""The seal on a change's evidence and the record of a landing, as events and inputs. Knows no key, no format and no disk."""

from andon.schema.eventbase import Event
from andon.schema.evidence import Sealed
from andon.schema.ids import Digest, LandingId, Oid, RepoId, TaskId
from andon.schema.inputbase import Input


class ChangeSealed(Event, frozen=True, kw_only=True, tag="change.sealed"):
    """All evidence about a change lies signed in one bundle, whose digest its landing commit will carry."""

    task: TaskId
    commit: Oid
    """The change's head."""
    approved: Digest = Digest("")
    """What a person had approved by then; another approval needs another seal."""
    sealed: Sealed


class LandingRecorded(Event, frozen=True, kw_only=True, tag="landing.recorded"):
    """What proved the tree of a landing lies signed beside the bundles of its members."""

    repo: RepoId
    landing: LandingId


class SealMade(Input, frozen=True, kw_only=True, tag="seal-made"):
    """The bundle exists, under these names."""

    task: TaskId
    commit: Oid
    approved: Digest = Digest("")
    sealed: Sealed


class LandingNoted(Input, frozen=True, kw_only=True, tag="landing-noted"):
    """The record of a landing exists."""

    repo: RepoId
    landing: LandingId


AnySealEvent = ChangeSealed | LandingRecorded
"""The events of evidence."""

AnySealInput = SealMade | LandingNoted
"""The inputs of evidence."""
