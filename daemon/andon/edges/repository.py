"""Reads a person's repository: what it is, where its target stands, what a file said; must never change the person's files."""

from pathlib import Path

import msgspec

from andon.edges.git import NONE, GitFailed, common_lock, git, look, need_version, read_ref, set_ref, written
from andon.schema.errors import Mistake
from andon.schema.ids import Oid

FILE_LIMIT = 4 * 2**20
"""Bytes of a file that `show_file` returns at most."""


class Inspected(msgspec.Struct, frozen=True, kw_only=True):
    """A repository that Andon can work with."""

    path: Path
    """Top level of the person's checkout."""
    git_dir: Path
    """The common git directory."""
    target: str
    target_exists: bool
    oid: Oid
    tree: Oid
    branch: str = ""
    """The branch that is checked out; empty when HEAD is detached."""
    dirty: bool = False
    notes: tuple[str, ...] = ()
    """What works in a degraded or particular way here, for the person."""


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """Where the factory's trunk of a target branch stands."""

    oid: Oid
    tree: Oid
    followed: bool = False
    """The person had committed to the branch and trunk was moved up to it."""


class Diverged(msgspec.Struct, frozen=True, kw_only=True):
    """Trunk and the person's branch each have commits that the other lacks."""

    target: str
    trunk: Oid
    branch: Oid

    @property
    def mend(self) -> str:
        """How the person joins the two."""
        return f"git merge {trunk_ref(self.target)}"


def trunk_ref(target: str) -> str:
    """The ref along which changes land."""
    return f"refs/andon/trunk/{target}"


async def inspect(path: Path, target: str = "") -> Inspected:
    """Look at the repository at `path`; whatever Andon cannot work with is a Mistake that says how to mend it.

    With no `target` it is `main`, else `master`, else the branch that is checked out.
    """
    await need_version()
    top, common = await _find(path)
    await _refuse_partial(top, common)
    branch = (await git("symbolic-ref", "--short", "--quiet", "HEAD", cwd=top, trusted=True, check=False)).text
    born = (await git("rev-parse", "--verify", "--quiet", "HEAD^{commit}", cwd=top, trusted=True, check=False)).code == 0
    chosen = target or await _default_target(common, branch)
    oid = await read_ref(common, f"refs/heads/{chosen}")
    if oid is None:
        raise _no_target(top, chosen, branch, born)
    tree = await tree_of(common, oid)
    changed = (await git("status", "--porcelain", "-z", "--untracked-files=no", "--ignore-submodules=all",
                         cwd=top, trusted=True)).items
    notes = [*await _notes(common, oid)]
    if not branch:
        notes.append(f"HEAD is detached; changes land on {chosen}, your checkout stays where it is.")
    if changed:
        notes.append(f"{len(changed)} tracked file(s) have uncommitted changes: they stay as they are, and agents do not see them.")
    return Inspected(path=top, git_dir=common, target=chosen, target_exists=True, oid=oid, tree=tree, branch=branch,
                     dirty=bool(changed), notes=tuple(notes))


async def restore_trunk(git_dir: Path | str, target: str, last: Oid) -> bool:
    """Put trunk back where it stood last when somebody removed its ref; True when that was done.

    Nothing is done when the commit is gone too, or when the branch has commits that it lacks: then the branch counts.
    """
    trunk, branch = await read_refs(git_dir, trunk_ref(target), f"refs/heads/{target}")
    if trunk is not None or branch == last:
        return False
    there = await look(git_dir, "cat-file", "-e", f"{last}^{{commit}}", check=False)
    if there.code != 0 or (branch is not None and not await is_ancestor(git_dir, branch, last)):
        return False
    async with common_lock(git_dir) as hold:
        return await set_ref(git_dir, trunk_ref(target), last, NONE, why="andon: trunk was gone", hold=hold)


async def read_target(git_dir: Path | str, target: str) -> Target | Diverged:
    """Where trunk stands; a Mistake when there is no such branch.

    When the person committed to the branch, trunk follows by compare-and-swap. Without a trunk it is the branch that counts.
    """
    trunk, branch = await read_refs(git_dir, trunk_ref(target), f"refs/heads/{target}")
    if trunk is None and branch is None:
        raise Mistake(f"There is no branch {target}.", where=str(git_dir),
                      mend=f"Create it with `git branch {target}`, or name another as `target` in andon.toml.")
    if trunk is None or branch is None or trunk == branch:
        oid = trunk or branch
        assert oid is not None
        return Target(oid=oid, tree=await tree_of(git_dir, oid))
    if await is_ancestor(git_dir, branch, trunk):
        return Target(oid=trunk, tree=await tree_of(git_dir, trunk))
    if not await is_ancestor(git_dir, trunk, branch):
        return Diverged(target=target, trunk=trunk, branch=branch)
    async with common_lock(git_dir) as hold:
        followed = await set_ref(git_dir, trunk_ref(target), branch, trunk, why="andon: follows the branch", hold=hold)
    if not followed:
        return await read_target(git_dir, target)
    return Target(oid=branch, tree=await tree_of(git_dir, branch), followed=True)


async def read_refs(git_dir: Path | str, *refs: str) -> list[Oid | None]:
    """Where each of these refs points, by one process at most; None where there is none."""
    plain = {ref: written(git_dir, ref) for ref in refs}
    others = [ref for ref in refs if plain[ref] is None]
    listed = (await git("for-each-ref", "--format=%(refname) %(objectname)", *others, git_dir=git_dir)).text if others else ""
    found = dict(line.split(" ", 1) for line in listed.splitlines())
    return [plain[ref] or (Oid(found[ref]) if ref in found else None) for ref in refs]


async def tree_of(git_dir: Path | str, commit: str) -> Oid:
    """The tree of a commit; a Mistake when there is no such commit."""
    return (await look(git_dir, "rev-parse", "--verify", "--end-of-options", f"{commit}^{{tree}}")).oid


async def is_ancestor(git_dir: Path | str, older: str, newer: str) -> bool:
    """Whether `newer` contains `older` (or is it)."""
    args = ("merge-base", "--is-ancestor", older, newer)
    asked = await look(git_dir, *args, check=False)
    if asked.code not in (0, 1):
        raise GitFailed(args, asked, str(git_dir))
    return asked.code == 0


async def show_file(git_dir: Path | str, oid: str, path: str) -> str | None:
    """The text of a regular file in a commit, or None when there is none; bytes that are no UTF-8 are replaced."""
    asked = await look(git_dir, "--literal-pathspecs", "ls-tree", "-z", f"{oid}^{{tree}}", "--", path)
    entry = next((item for item in asked.items if item.partition("\t")[2] == path), "")
    mode, _, rest = entry.partition(" ")
    if mode not in ("100644", "100755"):
        return None
    shown = await look(git_dir, "cat-file", "blob", rest.split()[1], limit=FILE_LIMIT)
    if shown.truncated:
        raise Mistake(f"{path} is larger than {FILE_LIMIT >> 20} MiB.", where=f"{oid[:12]}:{path}", mend="Make it smaller.")
    return shown.out.decode(errors="replace")


async def _find(path: Path) -> tuple[Path, Path]:
    asked = await git("rev-parse", "--is-bare-repository", cwd=path, trusted=True, check=False)
    if asked.code != 0:
        if "dubious ownership" in asked.err:
            raise Mistake(f"{path} belongs to another user, so git does not trust it.", where=str(path),
                          mend=f"If you trust it: git config --global --add safe.directory '{path}'")
        raise Mistake(f"{path} is not inside a git repository.", where=str(path),
                      mend="Go to your repository, or make one with `git init`.")
    if asked.text == "true":
        raise Mistake(f"{path} is a bare repository: it has no checkout.", where=str(path),
                      mend="Use a clone of it that has files: git clone " + f"'{path}' <directory>")
    inside = await git("rev-parse", "--show-toplevel", cwd=path, trusted=True, check=False)
    if inside.code != 0 or not inside.text:
        raise Mistake(f"{path} lies inside a git directory, not in a checkout.", where=str(path),
                      mend="Go to the checkout's own directory.")
    common = (await git("rev-parse", "--path-format=absolute", "--git-common-dir", cwd=path, trusted=True)).text
    return Path(inside.text), Path(common)


async def _refuse_partial(top: Path, common: Path) -> None:
    if (common / "shallow").exists():
        raise Mistake("The repository is shallow: without its history, merges cannot be told right from wrong.", where=str(top),
                      mend="git fetch --unshallow")
    promisor = await git("config", "--get-regexp", r"^remote\..*\.promisor$", git_dir=common, check=False)
    if promisor.code == 0 and "true" in promisor.text:
        remote = promisor.text.split(".")[1]
        raise Mistake("The repository is a partial clone: objects that it lacks cannot be fetched while agents work.",
                      where=str(top), mend=f"git config --unset remote.{remote}.partialclonefilter && git fetch --refetch {remote}"
                                        f" && git config --unset remote.{remote}.promisor")


async def _default_target(common: Path, branch: str) -> str:
    for name in ("main", "master"):
        if await read_ref(common, f"refs/heads/{name}"):
            return name
    return branch or "main"


def _no_target(top: Path, target: str, branch: str, born: bool) -> Mistake:
    if not born:
        return Mistake("The repository has no commit yet.", where=f"{top}, branch {branch or target}",
                       mend='Make a first one: git commit --allow-empty -m "Start"')
    other = f', or set target = "{branch}" in andon.toml.' if branch else "."
    return Mistake(f"There is no branch {target}.", where=str(top), mend=f"Create it with `git branch {target}`{other}")


async def _notes(common: Path, oid: Oid) -> list[str]:
    notes = []
    if await show_file(common, oid, ".gitmodules") is not None:
        notes.append("Submodules are not initialised in checkouts; a setup command can do it (git submodule update --init).")
    lfs = await look(common, "grep", "-q", "-F", "filter=lfs", oid, "--", ":(glob)**/.gitattributes", check=False)
    if lfs.code == 0:
        notes.append("Files of git LFS are checked out as pointers; a setup command can fetch them (git lfs pull).")
    return notes
