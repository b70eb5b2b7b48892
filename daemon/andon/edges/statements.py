"""The statements that the daemon itself makes: agent run, verdict, checkpoint, landing. Pure; must never sign nor keep anything."""

import importlib.metadata
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from andon.edges import dsse, withheld
from andon.schema.evidence import (
    AGENT_RUN,
    CHECKPOINT,
    LANDING,
    STATEMENT,
    VERDICT,
    ChangeParts,
    Checkpoint,
    ClaimPart,
    LandingParts,
)
from andon.schema.ids import Digest

BUILDER = "https://andon.dev/daemon/v1"
"""Who says so: `builder.id` of an agent run, `verifier.id` of a verdict."""
ATTEMPT_TYPE = "https://andon.dev/attempt/v1"
"""What was done in an agent run: one attempt of one agent at one task."""
LEVELS = ("SLSA_BUILD_LEVEL_UNEVALUATED",)
"""We judge by the person's own policy and claim no level of anybody's."""


def made(subject: list[dict[str, Any]], kind: str, predicate: dict[str, Any]) -> bytes:
    """The canonical bytes of a statement, without secrets: what is signed."""
    body = {"_type": STATEMENT, "subject": subject, "predicateType": kind, "predicate": predicate}
    return dsse.canonical(withheld.redactor().struct(body))


def subject_of(repo: str, commit: str, tree: str) -> list[dict[str, Any]]:
    """A commit and its tree as the subject of a statement."""
    return [{"name": f"git+{repo}", "digest": {"gitCommit": commit, "gitTree": tree}}]


def agent_run(parts: ChangeParts, spec: Digest) -> bytes:
    """Who was asked for what, by whom, within which walls, and when; `spec` is the digest of the whole specification."""
    times = {name: told for name, at in (("startedOn", parts.started_at), ("finishedOn", parts.ended_at)) if (told := moment(at))}
    byproducts = [{"name": "transcript", "digest": {"sha256": parts.transcript}}] if parts.transcript else []
    return made(subject_of(parts.repo, parts.commit, parts.tree), AGENT_RUN, {
        "buildDefinition": {
            "buildType": ATTEMPT_TYPE,
            "externalParameters": {"task": parts.task, "title": parts.title, "spec": {"sha256": spec}, "askedBy": parts.asked_by},
            "internalParameters": {"attempt": parts.attempt, "agent": parts.agent, "model": parts.model, "walls": parts.walls},
            "resolvedDependencies": [{"name": "base", "uri": f"git+{parts.repo}", "digest": {"gitCommit": parts.base}}],
        },
        "runDetails": {
            "builder": {"id": BUILDER, "version": {"andon": version()}},
            "metadata": {"invocationId": parts.attempt, **times}, "byproducts": byproducts,
        },
    })


def verdict(parts: ChangeParts, policy: Digest, inputs: Sequence[Digest]) -> bytes:
    """What the daemon concluded, and from which envelopes exactly."""
    told = {"timeVerified": moment(parts.ended_at)} if parts.ended_at else {}
    return made(subject_of(parts.repo, parts.commit, parts.tree), VERDICT, {
        "verifier": {"id": BUILDER, "version": {"andon": version()}}, "resourceUri": f"git+{parts.repo}@{parts.commit}",
        "policy": {"digest": {"sha256": policy}}, "inputAttestations": [{"digest": {"sha256": one}} for one in inputs],
        "verificationResult": result(parts.required, parts.claims), "verifiedLevels": list(LEVELS), "slsaVersion": "1.1", **told,
        "andon": {
            "task": parts.task, "attempt": parts.attempt, "change": parts.commit, "risk": parts.risk, "because": parts.because,
            "required": list(parts.required), "shown": dsse.digest_of(parts.shown.encode("utf-8", "replace")), "walls": parts.walls,
            **({"waivers": list(parts.waivers)} if parts.waivers else {}),
        },
    })


def result(required: Sequence[str], claims: Sequence[ClaimPart]) -> str:
    """PASSED only when each required claim is proven, by something that ran."""
    proven = {one.claim for one in claims if one.status == "proven" and one.evidence}
    return "PASSED" if proven.issuperset(required) else "FAILED"


def checkpoint(at: Checkpoint) -> bytes:
    """How long the ledger was."""
    subject = [{"name": "ledger", "digest": {"sha256": at.root.hex()}}]
    return made(subject, CHECKPOINT, {"origin": at.origin, "size": at.size, "root": at.root64})


def landing(parts: LandingParts) -> bytes:
    """Which changes moved the target where, and what was proven about the merged tree."""
    members = [{"task": one.task, "change": one.change, "commit": one.commit, "bundle": one.bundle} for one in parts.members]
    return made(subject_of(parts.repo, parts.commit, parts.tree), LANDING, {
        "landing": parts.landing, "target": parts.target, "onto": parts.onto, "how": parts.how, "tree": parts.tree,
        "members": members, "runs": list(parts.runs),
    })


def moment(at: int) -> str:
    """Unix milliseconds as RFC 3339, in whole seconds; empty when it is not known."""
    return datetime.fromtimestamp(at // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if at else ""


def version() -> str:
    """The release of this daemon, as statements have it."""
    try:
        return importlib.metadata.version("andon")
    except importlib.metadata.PackageNotFoundError:
        return "unknown"
