"""Classifies a change of any repository here and now, as the daemon would: reads git objects, needs no daemon, changes nothing.

What it needs to write (a git directory without configuration, objects of uncommitted files) lies in a temporary directory.
"""

import asyncio
import re
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path

from andon.core.classify import classified, watch_of
from andon.core.state import Work
from andon.edges.facts.gates import Compare
from andon.edges.facts.patch import of_text
from andon.edges.facts.read import of_patch, read
from andon.edges.git import git, look, make_git_dir
from andon.schema.errors import Mistake
from andon.schema.facts import Facts
from andon.schema.ids import AttemptId, Oid
from andon.schema.settings import Policy
from andon.schema.verdicts import Classified

EMPTY_TREE = {
    40: "4b825dc642cb6eb9a060e54bf8d69288fbee4904",
    64: "6ef19b41225c5369f1c104d45d8d85efa9b057b53b14b4b9b939dd74decc5321",
}
PATHS = 500
"""Changed paths that the policy reads; the daemon reads as many."""


class Change:
    """Two trees or commits to be compared, in a git directory of ours that borrows the repository's objects."""

    def __init__(self, common: Path, base: str, head: str) -> None:
        self.common, self.base, self.head = common, Oid(base), Oid(head)


def of_range(git_dir: Path, name: str, target: str, policy: Policy, compare: Compare) -> Classified:
    """The class of a commit, a range `A..B`, a task `T3` or an attempt `T3.1`. Mistake when git knows no such thing."""
    return _with(git_dir, lambda common: _resolve(git_dir, common, name, target), policy, compare)


def of_worktree(top: Path, git_dir: Path, policy: Policy, compare: Compare) -> Classified:
    """The class of all that differs from HEAD in a checkout, committed or not, ignored files aside."""
    return _with(git_dir, lambda common: _snapshot(top, git_dir, common), policy, compare)


def of_diff(patch: bytes, policy: Policy, compare: Compare, owned: str = "") -> Classified:
    """The class of a diff alone: what only whole files would tell counts as not known."""
    files = of_text(patch)
    facts = of_patch(patch, watch_of(policy), compare, owned)
    paths = tuple(sorted({file.path for file in files}))
    lines = [line.added for file in files for line in file.lines]
    return classified(policy, _work(facts, paths, sum(lines), len(lines) - sum(lines)))


def _work(facts: Facts, paths: tuple[str, ...], insertions: int, deletions: int) -> Work:
    none = Oid("")
    return Work(
        attempt=AttemptId(""),
        commit=none,
        tree=none,
        base=none,
        base_tree=none,
        paths=paths[:PATHS],
        paths_total=len(paths),
        insertions=insertions,
        deletions=deletions,
        facts=facts,
    )


def _with(git_dir: Path, make: Callable[[Path], Awaitable[Change]], policy: Policy, compare: Compare) -> Classified:
    with tempfile.TemporaryDirectory(prefix="andon-classify-") as aside:
        common = Path(aside) / "git"
        make_git_dir(common, objects=[git_dir / "objects"], like=git_dir)

        async def whole() -> Classified:
            return await _classify(await make(common), policy, compare)

        return asyncio.run(whole())


async def _classify(change: Change, policy: Policy, compare: Compare) -> Classified:
    facts = await read(change.common, change.base, change.head, watch_of(policy), compare)
    numbers = await look(
        change.common, "diff", "--no-ext-diff", "--no-textconv", "--numstat", "-z", "--no-renames", change.base, change.head, "--"
    )
    rows = [row.split("\t", 2) for row in numbers.out.decode(errors="replace").split("\0") if row]
    added, gone = (sum(int(row[n]) for row in rows if row[n].isdigit()) for n in (0, 1))
    return classified(policy, _work(facts, tuple(sorted(row[2] for row in rows)), added, gone))


async def _resolve(git_dir: Path, common: Path, name: str, target: str) -> Change:
    if re.fullmatch(r"[Tt][1-9]\d*(\.[1-9]\d*)?", name) and (found := await _of_task(git_dir, name.upper())):
        trunk = await _commit(git_dir, f"refs/andon/trunk/{target}") or await _commit(git_dir, f"refs/heads/{target}")
        return Change(common, await _base(git_dir, trunk, found) if trunk else await _parent(git_dir, found), found)
    if ".." in name:
        left, right = re.split(r"\.\.\.?", name, maxsplit=1)
        old, new = await _must(git_dir, left or "HEAD"), await _must(git_dir, right or "HEAD")
        return Change(common, await _base(git_dir, old, new), new)
    commit = await _must(git_dir, name)
    return Change(common, await _parent(git_dir, commit), commit)


async def _of_task(git_dir: Path, name: str) -> str:
    """The work of a task's newest attempt, or of one attempt, as the daemon pinned it."""
    pattern = f"refs/andon/work/{name}" if "." in name else f"refs/andon/work/{name}.*"
    found = await git("for-each-ref", "--format=%(objectname) %(refname)", pattern, git_dir=git_dir)
    refs = [line.split(" ", 1) for line in found.text.splitlines()]
    newest = sorted(refs, key=lambda pair: [int(part) for part in re.findall(r"\d+", pair[1])])
    return newest[-1][0] if newest else ""


async def _commit(git_dir: Path, name: str) -> str:
    """The commit that a name stands for; empty when for none."""
    found = await git("rev-parse", "--verify", "-q", "--end-of-options", f"{name}^{{commit}}", git_dir=git_dir, check=False)
    return found.text if found.code == 0 else ""


async def _must(git_dir: Path, name: str) -> str:
    found = await _commit(git_dir, name)
    if not found:
        raise Mistake(
            f"git knows no commit `{name}` here",
            where=str(git_dir),
            mend="name a commit, a range A..B, a branch, or a task like T3",
        )
    return found


async def _base(git_dir: Path, old: str, new: str) -> str:
    """Where both went apart; the old one itself when they have nothing in common."""
    found = await git("merge-base", old, new, git_dir=git_dir, check=False)
    return found.text if found.code == 0 else old


async def _parent(git_dir: Path, commit: str) -> str:
    """The first parent; for a first commit the empty tree."""
    return await _commit(git_dir, f"{commit}^1") or EMPTY_TREE[len(commit)]


async def _snapshot(top: Path, git_dir: Path, common: Path) -> Change:
    """HEAD and the tree of what lies in the checkout. No filter and no hook of the repository has a say, nor has the person's own
    list of ignored files."""
    base = await _head(top) or EMPTY_TREE[40]
    index, ignored = common / "index", (("core.excludesFile", str(git_dir / "info" / "exclude")),)
    for words in (("read-tree", base), ("add", "-A", "--", ".")):
        await git(*words, git_dir=common, work_tree=top, index=index, cwd=top, config=ignored)
    tree = (await git("write-tree", git_dir=common, index=index)).text
    return Change(common, base, tree)


async def _head(top: Path) -> str:
    found = await git("rev-parse", "--verify", "-q", "HEAD^{commit}", cwd=top, check=False, trusted=True)
    return found.text if found.code == 0 else ""
