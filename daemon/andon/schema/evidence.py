"""What evidence is made of before it is signed: the parts of a change and of a landing. Knows no key, no format and no disk."""

import msgspec

from andon.schema.ids import Digest, LandingId, Oid, RepoId, RunId, TaskId


class ClaimPart(msgspec.Struct, frozen=True, kw_only=True):
    """One judged claim about the change."""

    claim: str
    status: str
    run: RunId = RunId("")
    evidence: Digest = Digest("")
    """Blob: the signed envelope of its run; empty when no run stands behind it."""
    walls: str = ""


class ChangeParts(msgspec.Struct, frozen=True, kw_only=True):
    """All that the bundle of a change follows from: equal parts give an equal bundle."""

    task: TaskId
    attempt: str
    repo: RepoId
    git_dir: str
    commit: Oid
    tree: Oid
    base: Oid
    title: str
    spec: str
    risk: str
    because: str
    required: tuple[str, ...]
    """Names of the checks that its line demands."""
    claims: tuple[ClaimPart, ...]
    policy: str
    """Canonical JSON of the settings that judged it."""
    shown: str
    """The summary that a person is shown; its sha256 is what a gate is bound to."""
    approvals: tuple[Digest, ...] = ()
    """Blobs: envelopes of what persons decided about exactly this."""
    agent: str = ""
    model: str = ""
    walls: str = ""
    asked_by: str = ""
    started_at: int = 0
    """Unix milliseconds; 0: no attempt stands behind it."""
    ended_at: int = 0
    transcript: Digest = Digest("")


class Sealed(msgspec.Struct, frozen=True, kw_only=True):
    """Names of a change's evidence, as its landing commit carries them."""

    bundle: Digest
    policy: Digest
    ledger: str
    """`<size> <base64 root>` of the ledger at that moment."""


class LandedMember(msgspec.Struct, frozen=True, kw_only=True):
    """A change in a landing."""

    task: TaskId
    change: Oid
    commit: Oid
    """What the target got of it: the last commit."""
    bundle: Digest


class LandingParts(msgspec.Struct, frozen=True, kw_only=True):
    """All that the record of a landing follows from."""

    landing: LandingId
    repo: RepoId
    git_dir: str
    target: str
    onto: Oid
    how: str
    commit: Oid
    tree: Oid
    members: tuple[LandedMember, ...]
    runs: tuple[Digest, ...]
    """Blobs: envelopes of the runs that proved the merged tree."""
