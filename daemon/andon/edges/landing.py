"""Moves trunk, and is the one door to all deeds of landing; must never move it without the proof, nor by force.

Theory of operation. Trunk (`refs/andon/trunk/<target>`) is the one commit point: a compare-and-swap after the landing proof.
Everything else, the person's branch first of all, follows from it and is repaired from it.
"""

from andon.edges.git import NONE, common_lock, read_ref, set_ref
from andon.edges.landing_proof import prove
from andon.edges.merging import merge_candidate
from andon.edges.mirror import mirror_target
from andon.edges.publish import publish_target
from andon.edges.repository import Diverged, is_ancestor, read_refs, read_target, tree_of, trunk_ref
from andon.edges.revert import make_revert
from andon.schema.effects import MoveTarget
from andon.schema.errors import Mistake
from andon.schema.faults import point
from andon.schema.inputs import LandingRefused, TargetSwapped

__all__ = ["make_revert", "merge_candidate", "mirror_target", "move_target", "publish_target"]


async def move_target(effect: MoveTarget) -> TargetSwapped | LandingRefused:
    """Prove the candidate as objects again, then move trunk from `old` to `new`. A trunk that has `new` already has landed it."""
    refused = await prove(effect)
    if refused:
        return await _refuse(effect, refused)
    point("move-target.proven")
    async with common_lock(effect.git_dir) as hold:
        refused = await _swap(effect, hold)
    if refused:
        return await _refuse(effect, refused)
    return TargetSwapped(landing=effect.landing, old=effect.old, new=effect.new, tree=effect.tree)


async def _swap(effect: MoveTarget, hold: int) -> str:
    """The one commit point. Why it was not passed; empty when trunk was read back with `new` in it."""
    ref = trunk_ref(effect.target)
    trunk, branch = await read_refs(effect.git_dir, ref, f"refs/heads/{effect.target}")
    if trunk is not None and trunk != effect.old and await is_ancestor(effect.git_dir, effect.new, trunk):
        return ""
    if (trunk or branch) != effect.old:
        return f"{effect.target} is elsewhere: it was {effect.old[:12]} when this was planned"
    if branch is not None and branch != effect.old and await is_ancestor(effect.git_dir, effect.old, branch):
        return f"somebody committed to {effect.target}"
    if not await set_ref(effect.git_dir, ref, effect.new, trunk or NONE, why=f"andon: land {effect.landing}", hold=hold):
        return f"{effect.target} moved while this landed"
    point("move-target.swapped")
    return "" if await read_ref(effect.git_dir, ref) == effect.new else "trunk did not read back as written"


async def _refuse(effect: MoveTarget, because: str) -> LandingRefused:
    try:
        now = await read_target(effect.git_dir, effect.target)
    except Mistake as error:
        return LandingRefused(landing=effect.landing, because=f"{because}; {error.problem.what}")
    if isinstance(now, Diverged):
        return LandingRefused(landing=effect.landing, because=because, oid=now.trunk, tree=await tree_of(effect.git_dir, now.trunk))
    return LandingRefused(landing=effect.landing, because=because, oid=now.oid, tree=now.tree)
