"""Which change ships by itself and which a person must see. Pure; paths only, the highest class wins."""

import hashlib

import msgspec

from andon.core.globs import matches
from andon.core.state import Task, Work
from andon.schema.events import Risk
from andon.schema.ids import Digest
from andon.schema.settings import Policy

SETTINGS_FILE = "andon.toml"
"""A change to what judges later changes is always of class stop."""
MERGED = "@merge"
"""How the name of a claim about the merged tree ends."""


def classify(policy: Policy, work: Work) -> tuple[Risk, str]:
    """The class of a change and the reason in one sentence."""
    for path in work.paths:
        if path == SETTINGS_FILE:
            return "stop", f"{path} defines the checks and the policy themselves"
        if matches(path, policy.stop):
            return "stop", f"{path} is under [policy] stop"
    if work.paths_total > len(work.paths):
        return "stop", f"{work.paths_total} paths changed, more than are read for the policy"
    for path in work.paths:
        if matches(path, policy.review):
            return "review", f"{path} is under [policy] review"
        if not matches(path, policy.ship):
            return "review", f"{path} is not under [policy] ship"
    return "ship", "every changed path is under [policy] ship"


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
