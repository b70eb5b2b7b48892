"""What evidence is made of: parts of a change and of a landing as plain values. Knows no key, no git and no file."""

import msgspec

from andon.schema.ids import AttemptId, Digest, LandingId, Oid, RepoId, RunId, TaskId

EVIDENCE_REF = "refs/andon/evidence"
"""A chain of commits, one for each seal and each landing; its tree holds all evidence of a repository."""
PAYLOAD_TYPE = "application/vnd.in-toto+json"
STATEMENT = "https://in-toto.io/Statement/v1"
TEST_RESULT = "https://in-toto.io/attestation/test-result/v0.1"
AGENT_RUN = "https://slsa.dev/provenance/v1"
APPROVAL = "https://andon.dev/attestation/human-approval/v1"
VERDICT = "https://slsa.dev/verification_summary/v1"
CHECKPOINT = "https://andon.dev/attestation/ledger-checkpoint/v1"
LANDING = "https://andon.dev/attestation/landing/v1"


class ClaimPart(msgspec.Struct, frozen=True, kw_only=True):
    """One claim about a change."""

    claim: str
    status: str
    """`proven`, `refuted` or `unevaluated`."""
    run: RunId = RunId("")
    evidence: Digest = Digest("")
    """Blob of the verifier's envelope; empty when nothing ran."""
    walls: str = ""


class ChangeParts(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that the evidence of one change is made from. Equal parts are sealed once."""

    task: TaskId
    attempt: AttemptId
    repo: RepoId
    git_dir: str
    commit: Oid
    """The change's head."""
    tree: Oid
    base: Oid
    title: str = ""
    spec: str = ""
    risk: str = ""
    because: str = ""
    required: tuple[str, ...] = ()
    """Names of the checks that must be proven."""
    claims: tuple[ClaimPart, ...] = ()
    policy: str = "{}"
    """Canonical JSON of the settings that judged."""
    shown: str = ""
    """The summary that a person was shown, or would have been."""
    approvals: tuple[Digest, ...] = ()
    """Blobs of approval envelopes."""
    waivers: tuple[str, ...] = ()
    """Those that set something aside which was found in the change."""
    agent: str = ""
    model: str = ""
    walls: str = ""
    """Isolation that the attempt really had."""
    asked_by: str = ""
    started_at: int = 0
    """Unix milliseconds; 0: not known."""
    ended_at: int = 0
    transcript: Digest = Digest("")
    """Digest of the session's transcript, which itself stays in the local store."""


class Sealed(msgspec.Struct, frozen=True, kw_only=True):
    """What a landing commit says of the evidence of its change."""

    bundle: Digest
    """sha256 of the bundle."""
    policy: Digest
    """sha256 of the settings that judged."""
    ledger: str
    """`<size> <base64 root>` of the ledger as it was."""


class LandedMember(msgspec.Struct, frozen=True, kw_only=True):
    """A change that landed."""

    task: TaskId
    change: Oid
    """Its own head."""
    commit: Oid
    """The commit that it is on the target."""
    bundle: Digest = Digest("")


class LandingParts(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that the evidence of one landing is made from."""

    landing: LandingId
    repo: RepoId
    git_dir: str
    target: str
    onto: Oid
    """Where the target was."""
    how: str
    commit: Oid
    """Where the target is: the candidate."""
    tree: Oid
    """Its tree, on which the checks passed."""
    members: tuple[LandedMember, ...] = ()
    runs: tuple[Digest, ...] = ()
    """Blobs of the verifier's envelopes about this tree."""


class Checkpoint(msgspec.Struct, frozen=True, kw_only=True):
    """The ledger at a moment: so many rows, and the root of the tree over them."""

    origin: str
    size: int
    root: bytes
    """32 bytes, RFC 6962 over the rows' chain hashes, each as its 32 bytes."""

    @property
    def root64(self) -> str:
        """The root in base64."""
        import base64

        return base64.b64encode(self.root).decode()

    @property
    def line(self) -> str:
        """As a trailer has it: `<size> <base64 root>`."""
        return f"{self.size} {self.root64}"


class Trust(msgspec.Struct, frozen=True, kw_only=True):
    """What a third party needs beside the repository: whose signatures count for what."""

    version: int = 1
    origin: str = ""
    daemon: tuple[str, ...] = ()
    """Public keys as OpenSSH writes them."""
    verifier: tuple[str, ...] = ()
    operators: str = ""
    """An `allowed_signers` text."""
    roles: dict[str, tuple[str, ...]] = {}
    policies: tuple[str, ...] = ()
    """Digests of settings that may have judged; empty: any that a bundle carries."""


def readable(text: str) -> str:
    """An envelope as a person reads it: its statement, and who signed. Any other text as it is."""
    import base64
    import binascii
    import json

    try:
        envelope = json.loads(text)
        statement = json.loads(base64.b64decode(envelope["payload"], validate=True))
        signers = [one["keyid"] for one in envelope["signatures"]]
    except (ValueError, TypeError, KeyError, binascii.Error):
        return text
    return json.dumps({**statement, "signedBy": signers}, indent=1, ensure_ascii=False) if isinstance(statement, dict) else text
