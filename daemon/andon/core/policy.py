"""Which change ships by itself and which a person must see, and what a person's answer is bound to. Pure."""

import hashlib

import msgspec

from andon.core.classify import classify as classify
from andon.core.state import Task
from andon.schema.ids import Digest

MERGED = "@merge"
"""How the name of a claim about the merged tree ends."""


def shown_of(task: Task) -> str:
    """What a person is shown of this task's change, as canonical JSON: commit, tree, diff, and each claim with what it rests on.

    Claims about the merged tree are left out: the queue makes and judges them anew wherever the target stands.
    """
    told: dict[str, object] = {"task": task.task, "spec": task.spec}
    if task.work:
        claims = [
            {"claim": claim.claim, "status": claim.status, "walls": claim.walls, "evidence": claim.evidence}
            for claim in sorted(task.claims, key=lambda claim: claim.claim) if not claim.claim.endswith(MERGED)
        ]
        work = task.work
        told = {"task": task.task, "commit": work.commit, "tree": work.tree, "diffSha256": work.diff, "claims": claims}
    return msgspec.json.encode(told, order="deterministic").decode()


def bound_of(task: Task) -> Digest:
    """What an answer about this task's change is bound to: the digest of what was shown."""
    return Digest(hashlib.sha256(shown_of(task).encode()).hexdigest())
