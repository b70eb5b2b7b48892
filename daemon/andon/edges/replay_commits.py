"""Replays a change's own commits elsewhere, as objects alone; must never touch a file, an index or a branch.

Theory of operation. A commit is replayed by a three-way merge whose base is its parent: a throw-away commit with the tree of
the new place and that same parent makes git find exactly this base (git 2.38 cannot be told one). Authors stay; the committer and
the dates are the caller's, so that a replay done again has the same names. Merges inside the change are left out.
"""

from collections.abc import Sequence
from pathlib import Path

import msgspec

from andon.edges.commits import Commit, commit_bytes, harmless, person, read_commits, with_trailers, write_commit
from andon.edges.git import look
from andon.edges.three_way import NO_DRIVERS, Drivers, Merged, merge_one
from andon.schema.errors import Mistake
from andon.schema.ids import Oid

COMMITS_LIMIT = 1_000
"""Commits of one change that are replayed at most."""


class Replayed(msgspec.Struct, frozen=True, kw_only=True):
    """The commits stand at their new place."""

    tip: Oid
    tree: Oid
    commits: int
    merges: int = 0
    """Commits with two parents that were left out."""


class NotReplayed(msgspec.Struct, frozen=True, kw_only=True):
    """One of them does not apply."""

    what: str
    paths: tuple[str, ...] = ()


async def replay(git_dir: Path, head: Oid, *, onto: Oid, without: Sequence[str], at: int = 0, trailers: Sequence[str] = (),
                 drivers: Drivers = NO_DRIVERS, keep_dates: bool = False, whole: str = "") -> Replayed | NotReplayed:
    """Put the commits of `head` that `without` lacks on top of `onto`, the oldest first. What became empty is dropped, but not all.

    With `keep_dates` the committer's date of each is its author's, and what stands there already stays as it is; otherwise
    `at` (unix milliseconds) is the date of all. `whole` is the tree of the merge with `head`, when it is known: a change of one
    commit comes to just that.
    """
    own, merges = await own_commits(git_dir, head, without)
    if len(own) + merges > COMMITS_LIMIT:
        return NotReplayed(what=f"it has more than {COMMITS_LIMIT} commits")
    tip, tree = onto, (await look(git_dir, "rev-parse", f"{onto}^{{tree}}")).oid
    made = 0
    for n, commit in enumerate(own):
        if keep_dates and not trailers and commit.parents == (tip,):
            tip, tree, made = commit.oid, commit.tree, made + 1  # it stands there already
            continue
        alone = bool(whole) and len(own) == 1 and not merges
        merged = Merged(clean=True, tree=Oid(whole)) if alone else await _apply(git_dir, commit, tip, tree, drivers)
        if not merged.clean:
            return NotReplayed(what=f"{commit.oid[:12]} conflicts in {', '.join(merged.paths[:5])}", paths=merged.paths)
        if merged.tree == tree and (made or n < len(own) - 1):
            continue
        by = _dated(commit.author) if keep_dates else person(at)
        message = with_trailers(harmless(commit.message), trailers)
        data = commit_bytes(merged.tree, (tip,), message, author=commit.author, committer=by, encoding=commit.encoding)
        tip, tree, made = await write_commit(git_dir, data), merged.tree, made + 1
    return Replayed(tip=tip, tree=tree, commits=made, merges=merges)


async def own_commits(git_dir: Path, head: str, without: Sequence[str]) -> tuple[list[Commit], int]:
    """The commits of `head` that are in none of `without`, parents first, without the merges; and how many merges there are."""
    asked = "".join(f"{oid}\n" for oid in (head, *(f"^{oid}" for oid in without)))
    listed = await look(git_dir, "rev-list", "--topo-order", f"--max-count={COMMITS_LIMIT + 1}", "--stdin", stdin=asked.encode())
    found = await read_commits(git_dir, listed.text.split()[::-1])
    own = [commit for commit in found if len(commit.parents) < 2]
    return own, len(found) - len(own)


async def _apply(git_dir: Path, commit: Commit, tip: Oid, tree: Oid, drivers: Drivers) -> Merged:
    """The commit on top of `tip`, as a merge with its parent as the base."""
    if not commit.parents:
        raise Mistake(f"{commit.oid[:12]} has no parent: it cannot be replayed.", where=str(git_dir), mend="Land it as a merge.")
    if commit.parents[0] == tip:
        return Merged(clean=True, tree=commit.tree)
    ours = await write_commit(git_dir, commit_bytes(tree, commit.parents, "a place to replay on\n", author=person(0)))
    return await merge_one(git_dir, ours, commit.oid, drivers)


def _dated(author: str) -> str:
    """The committer's line with the date of this author's."""
    date, zone = author.rsplit(" ", 2)[1:]
    return f"{person(0).rsplit(' ', 2)[0]} {date} {zone}"
