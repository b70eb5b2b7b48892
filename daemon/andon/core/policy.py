"""Which change ships by itself and which a person must see, and what a person's answer is bound to. Pure."""

import hashlib

from andon.core.classify import classify as classify
from andon.core.state import Task
from andon.schema.ids import Digest


def bound_of(task: Task) -> Digest:
    """What an answer about this task's change is bound to: the diff, the commit and the claims that were shown."""
    told = [task.task, task.spec]
    if task.work:
        known = sorted(task.claims, key=lambda claim: claim.claim)
        claims = (f"{claim.claim}={claim.status}{f' in {claim.walls}' if claim.walls else ''}" for claim in known)
        told = [task.task, task.work.commit, task.work.tree, task.work.diff, *claims]
    return Digest(hashlib.sha256("\n".join(told).encode()).hexdigest())
