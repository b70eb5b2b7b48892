"""What an agent may not see of a checkout, or only read: which paths of a commit these are, and a git store without what is hidden.

Theory of operation. Files alone hide nothing: git would show their content from its objects. So a checkout with hidden paths
borrows no objects. It gets a pack of its own with what it starts from: the base, cut off from its past, and the attempt's own
earlier commits, with all trees, and every file but those at hidden paths. For git these are files that are not checked out
(`skip-worktree`, sparse patterns) and objects that a remote promised (which cannot be asked), so status, commit and rebase work,
and what lands still has them. Names of hidden files can be told from git, their content cannot. Whatever an agent commits is judged
by the daemon with the person's whole store: a change at a hidden or a read-only path is refused there, mounts or not. It must never
run git in the agent's git directory once an agent was in it.
"""

import asyncio
import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec

from andon.edges.git import git, make_git_dir
from andon.schema.errors import Mistake
from andon.schema.globs import matches
from andon.schema.ids import Oid

MOUNTS = 1_000
"""Paths of one kind that are mounted over in one checkout, at most."""
COMMITS = 1_000
"""Of earlier attempts, that a checkout with hidden paths can go on from."""
PROBE = ".andon-any/.andon-any"
"""A name that nobody has: what covers it covers everything in its folder."""
NOWHERE = "/dev/null/hidden-from-this-checkout"
"""The address of what is missing."""
SPARSE = """[core]
\tsparseCheckout = true
\tsparseCheckoutCone = false
[index]
\tsparse = false
[extensions]
\tpartialClone = andon-hidden
[remote "andon-hidden"]
\turl = {nowhere}
\tpromisor = true
\tpartialclonefilter = blob:none
"""


class Tops(msgspec.Struct, frozen=True, kw_only=True):
    """Paths below a checkout's root: folders that are covered as a whole, and single files."""

    hidden: tuple[str, ...] = ()
    folders: tuple[str, ...] = ()
    """Those of the hidden ones that are folders."""
    read: tuple[str, ...] = ()


class _Entry(msgspec.Struct, frozen=True):
    mode: str
    kind: str
    oid: str
    path: str


async def tops(git_dir: Path, commit: Oid, hide: Sequence[str], read_only: Sequence[str]) -> Tops:
    """What these globs cover in a commit. Raises Mistake when it is too much to be mounted."""
    if not hide and not read_only:
        return Tops()
    files = [one.path for one in await _entries(git_dir, commit) if one.kind == "blob" and one.mode != "120000"]
    hidden = covered(files, hide)
    folders = set(hidden).difference(files)
    read = covered([path for path in files if not matches(path, hide)], read_only)
    return Tops(hidden=hidden, folders=tuple(one for one in hidden if one in folders), read=read)


def covered(files: Iterable[str], globs: Sequence[str]) -> tuple[str, ...]:
    """The files that globs cover; one folder instead of its files where all that could ever be in it is covered."""
    found: dict[str, None] = {}
    for path in files:
        if globs and matches(path, globs):
            above = path.split("/")[:-1]
            folders = ("/".join(above[:size]) for size in range(1, len(above) + 1))
            found[next((folder for folder in folders if matches(f"{folder}/{PROBE}", globs)), path)] = None
    if len(found) > MOUNTS:
        raise Mistake(f"{len(found)} paths are to be hidden or read-only, more than the {MOUNTS} that can be mounted",
                      where="[sandbox] and [stations] in andon.toml", mend="name whole folders: `tests/hidden/**`")
    return tuple(found)


async def clone(common: Path, place: Path, hide: Sequence[str], base: Oid, others: Sequence[Oid], config: Sequence[str]) -> None:
    """Make the checkout `place` (without files yet) with a git directory of its own that lacks what is hidden. Raises Mistake.

    `others` are commits that it goes on from; `config` are further lines, `section.key=value`.
    """
    await asyncio.to_thread(place.mkdir)
    own = place / ".git"
    await asyncio.to_thread(make_git_dir, own, objects=(), like=common, bare=False)
    commits, cut = await _commits(common, base, others)
    wanted, hidden = await _wanted(common, base, [*commits, *cut], hide)
    await asyncio.to_thread(_lay, own, cut, hidden)
    packs = own / "objects" / "pack"
    listed = "".join(f"{oid}\n" for oid in wanted).encode()
    packed = await git("pack-objects", "-q", "--delta-base-offset", str(packs / "pack"), git_dir=common, stdin=listed, seconds=600)
    await asyncio.to_thread((packs / f"pack-{packed.text.strip()}.promisor").touch)
    for line in config:
        await git("config", *line.split("=", 1), git_dir=own)


async def carried(common: Path, base: Oid, head: Oid, hide: Sequence[str]) -> str:
    """Why the files of `head` may not be taken: a hidden content lies at a path that is not hidden. Empty when they may."""
    before = await _entries(common, base)
    secret = {one.oid for one in before if one.kind == "blob" and matches(one.path, hide)}
    secret -= {one.oid for one in before if not matches(one.path, hide)}
    there = [one.path for one in await _entries(common, head) if one.oid in secret and not matches(one.path, hide)]
    return f"it carries the content of a hidden path to {there[0]!r}"[:200] if there else ""


def empty_folders(place: Path, folders: Iterable[str]) -> None:
    """Hidden folders are there and empty, so that something can be mounted over them."""
    for name in folders:
        (place / name).mkdir(parents=True, exist_ok=True)


# --- parts -----------------------------------------------------------------------------------------------------------


async def _commits(common: Path, base: Oid, others: Sequence[Oid]) -> tuple[list[str], list[str]]:
    """The commits that a checkout goes on from, and those at which its past is cut off."""
    cut = [str(base)]
    if not others:
        return [], cut
    listed = (await git("rev-list", "--boundary", *others, "--not", base, git_dir=common)).text.split()
    commits = [oid for oid in listed if not oid.startswith("-")]
    if len(commits) > COMMITS:
        raise Mistake(f"earlier attempts left {len(commits)} commits, more than the {COMMITS} that can be gone on from where paths "
                      "are hidden", where=str(common), mend="retry the task from the target: andon retry")
    return commits, list(dict.fromkeys((*cut, *(oid[1:] for oid in listed if oid.startswith("-")))))


async def _wanted(common: Path, base: Oid, commits: Sequence[str], hide: Sequence[str]) -> tuple[list[str], list[str]]:
    """The objects that a checkout gets, and the hidden paths in what it starts from."""
    kept: dict[str, None] = {}
    hidden: dict[str, None] = {}
    secret: set[str] = set()
    plain: set[str] = set()
    for commit in dict.fromkeys(commits):
        root = (await git("rev-parse", f"{commit}^{{tree}}", git_dir=common)).oid
        kept |= {commit: None, str(root): None}
        for one in await _entries(common, Oid(commit)):
            if one.kind == "commit":
                continue  # a submodule: its commit is nobody's object here
            if one.kind == "blob" and matches(one.path, hide):
                secret.add(one.oid)
                hidden[one.path] = None
                continue
            if commit == base:
                plain.add(one.oid)
            kept[one.oid] = None
    return [oid for oid in kept if oid not in secret or oid in plain], list(hidden)


async def _entries(git_dir: Path, commit: Oid) -> list[_Entry]:
    """Every folder and file of a commit."""
    listed = await git("ls-tree", "-r", "-t", "-z", "--full-tree", commit, git_dir=git_dir)
    found = []
    for item in listed.items:
        head, _, path = item.partition("\t")
        mode, kind, oid = head.split()
        found.append(_Entry(mode, kind, oid, path))
    return found


def _lay(own: Path, cut: Sequence[str], hidden: Sequence[str]) -> None:
    """What git is told of the past that is cut off, and of the paths that are not checked out."""
    (own / "objects" / "pack").mkdir(parents=True, exist_ok=True)
    (own / "shallow").write_text("".join(f"{oid}\n" for oid in sorted(cut)))
    (own / "info").mkdir(exist_ok=True)
    (own / "info" / "sparse-checkout").write_bytes(b"/*\n" + b"".join(b"!/" + _escaped(path) + b"\n" for path in hidden))
    text = (own / "config").read_text().replace("repositoryformatversion = 0", "repositoryformatversion = 1")
    (own / "config").write_text(text + SPARSE.format(nowhere=NOWHERE))


def _escaped(path: str) -> bytes:
    """A path as a pattern that means it alone."""
    if "\n" in path:
        raise Mistake(f"a hidden file has a line break in its name: {path!r}", where="[sandbox] in andon.toml",
                      mend="give that file another name")
    return os.fsencode(re.sub(r"([\\*?\[\]])", r"\\\1", path).removesuffix(" ") + ("\\ " if path.endswith(" ") else ""))
