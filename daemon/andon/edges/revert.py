"""Makes the change that takes a landed one back; must never touch trunk: it waits to be proved and landed like any other.

Theory of operation. What a landing did is the difference from `before` to `landed`. Its inverse on trunk is a three-way merge with
`landed` as the base: trunk on one side, a throw-away commit with the tree of `before` and the parent `landed` on the other.
"""

import re
from pathlib import Path

from andon.edges.changes import PATHS_LIMIT, Blobs, read_changes
from andon.edges.commits import commit_bytes, person, read_commits, write_commit
from andon.edges.facts import read as facts
from andon.edges.facts.gates import Compare, nobody
from andon.edges.git import common_lock, set_ref
from andon.edges.merging import TITLE_LIMIT, line, shown
from andon.edges.repository import is_ancestor, tree_of
from andon.edges.three_way import merge_one
from andon.schema.effects import MakeRevert
from andon.schema.errors import Mistake
from andon.schema.faults import point
from andon.schema.inputs import RevertMade


async def make_revert(effect: MakeRevert, blobs: Blobs, compare: Compare = nobody) -> RevertMade:
    """Make the reverting commit on `onto` and pin it at `refs/andon/work/<task>`; with conflicts nothing is made.

    A landing that trunk does not hold, or that changed nothing, is a Mistake.
    """
    common = Path(effect.git_dir)
    if not await is_ancestor(common, effect.landed, effect.onto) or not await is_ancestor(common, effect.before, effect.landed):
        raise Mistake(f"{effect.landed[:12]} has not landed on what trunk is now.", where=f"trunk at {effect.onto[:12]}",
                      mend="See git log refs/andon/trunk.")
    base_tree, tree = await tree_of(common, effect.onto), await tree_of(common, effect.before)
    made = commit_bytes(tree, (effect.landed,), "what was there before\n", author=person(effect.at))
    merged = await merge_one(common, effect.onto, await write_commit(common, made))
    if not merged.clean:
        return RevertMade(task=effect.task, base=effect.onto, base_tree=base_tree, conflicts=shown(merged.paths))
    if merged.tree == base_tree:
        raise Mistake(f"There is nothing to take back: trunk holds nothing of {effect.landed[:12]} any more.",
                      where=f"trunk at {effect.onto[:12]}", mend="See git log: it was taken back, or changed again, before.")
    commit = await write_commit(common, commit_bytes(merged.tree, (effect.onto,), await _message(effect), author=person(effect.at)))
    point("make-revert.made")
    async with common_lock(common) as hold:
        await set_ref(common, f"refs/andon/work/{effect.task}", commit, hold=hold)
    changes = await read_changes(common, effect.onto, commit, blobs)
    return RevertMade(
        task=effect.task, commit=commit, tree=merged.tree, base=effect.onto, base_tree=base_tree, paths=changes.paths[:PATHS_LIMIT],
        paths_total=len(changes.paths), insertions=changes.insertions, deletions=changes.deletions, diff=changes.diff,
        facts=await facts.read(common, effect.onto, commit, effect.watch, compare))


async def _message(effect: MakeRevert) -> str:
    """`Revert T3: title`; whose change it was, the landed commit says."""
    landed = (await read_commits(effect.git_dir, [effect.landed]))[0]
    found = re.findall(r"^Andon-Task: (T\d+)$", landed.message, re.M)
    title = line(effect.title)[:TITLE_LIMIT]
    subject = title if title.startswith("Revert") else f"Revert {found[-1]}: {title}" if found else f"Revert: {title}"
    trailers = ([f"Andon-Reverts: {found[-1]}"] if found else []) + [f"Andon-Task: {effect.task}"]
    return f"{subject}\n\nThis reverts commit {effect.landed}.\n\n" + "\n".join(trailers) + "\n"
