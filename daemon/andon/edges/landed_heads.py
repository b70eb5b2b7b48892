"""Finds changes that landed as other commits (squashed, replayed) below new ones; must never believe a commit message.

Theory of operation. A change that was built on another one, which then landed squashed, shares no commit of it with trunk: git
would merge from too old a base and find conflicts where there are none. Trunk's messages name the heads that landed
(`Andon-Change`). Each claim is made good before it counts: merged anew where it says it landed, the head must come to that very
tree. A throw-away commit with the tree of trunk and these heads as further parents then stands for trunk in merges.
"""

import re
from collections.abc import Sequence
from pathlib import Path

import msgspec

from andon.edges.commits import Commit, commit_bytes, person, read_commits, write_commit
from andon.edges.git import look
from andon.edges.three_way import merge_all
from andon.schema.ids import Oid

DEPTH = 500
"""Commits of trunk that are looked at."""


class _Claim(msgspec.Struct, frozen=True):
    head: Oid
    first: Commit
    """The first of its commits on trunk, and the last."""
    last: Commit


async def standing_for(git_dir: Path | str, onto: Oid, heads: Sequence[Oid]) -> Oid:
    """The commit to merge these heads with: `onto` itself, or one of its tree that also holds what landed of them before."""
    below = (await look(git_dir, "rev-list", *heads, f"^{onto}")).text.split()
    if len(below) <= 1:
        return onto
    grafts: list[Oid] = []
    for claim in await _claims(git_dir, onto, heads, frozenset(below)):
        before = await read_commits(git_dir, claim.first.parents[:1])
        if not before:
            continue
        place = await _graft(git_dir, before[0].oid, before[0].tree, grafts)
        merged = (await merge_all(git_dir, [(place, claim.head)]))[0]
        if merged.clean and merged.tree == claim.last.tree:
            grafts.append(claim.head)
    tree = (await read_commits(git_dir, [onto]))[0].tree
    return await _graft(git_dir, onto, tree, grafts)


async def _claims(git_dir: Path | str, onto: Oid, heads: Sequence[Oid], below: frozenset[str]) -> list[_Claim]:
    """What trunk's messages claim of these commits, the oldest first. Of one change, its commits follow each other."""
    args = ("rev-list", "--first-parent", f"--max-count={DEPTH}", onto, *(f"^{head}" for head in heads))
    line = (await read_commits(git_dir, (await look(git_dir, *args)).text.split()))[::-1]
    claims: list[_Claim] = []
    for commit in line:
        named = re.findall(r"^Andon-Change: ([0-9a-f]{40,64})$", commit.message, re.M)
        if not named or named[-1] not in below:
            continue
        head = Oid(named[-1])
        if claims and claims[-1].head == head and commit.parents == (claims[-1].last.oid,):
            claims[-1] = _Claim(head, claims[-1].first, commit)
        else:
            claims.append(_Claim(head, commit, commit))
    return claims


async def _graft(git_dir: Path | str, commit: Oid, tree: Oid, heads: Sequence[Oid]) -> Oid:
    if not heads:
        return commit
    return await write_commit(git_dir, commit_bytes(tree, (commit, *heads), "what landed, and as what\n", author=person(0)))
