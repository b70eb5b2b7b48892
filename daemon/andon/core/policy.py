"""Which change ships by itself and which a person must see. Pure; paths only, the highest class wins."""

import hashlib

from andon.core.globs import matches
from andon.core.state import Task, Work
from andon.schema.events import Risk
from andon.schema.ids import Digest
from andon.schema.settings import Policy

SETTINGS_FILE = "andon.toml"
"""A change to what judges later changes is always of class stop."""


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


def bound_of(task: Task) -> Digest:
    """What an answer about this task's change is bound to: the diff, the commit and the claims that were shown."""
    told = [task.task, task.spec]
    if task.work:
        known = sorted(task.claims, key=lambda claim: claim.claim)
        claims = (f"{claim.claim}={claim.status}{f' in {claim.walls}' if claim.walls else ''}" for claim in known)
        told = [task.task, task.work.commit, task.work.tree, task.work.diff, *claims]
    return Digest(hashlib.sha256("\n".join(told).encode()).hexdigest())
