"""What the state remembers of rules that were set aside and of what lines landed. Values; knows nothing else of the state."""

import msgspec

from andon.schema.ids import Digest, RepoId, TaskId


class Waiver(msgspec.Struct, frozen=True, kw_only=True):
    """A rule that a person set aside."""

    waiver: str
    repo: RepoId
    rule: str
    task: TaskId = TaskId("")
    paths: tuple[str, ...] = ()
    until: int
    because: str
    by: str
    at: int
    signature: Digest = Digest("")


class Shipped(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """A change that landed, as the figures of its line count it."""

    task: TaskId
    at: int
    first: bool
    """With its first attempt."""
    escaped: bool = False
    """It was taken back, or turned the target red, afterwards."""
