"""Finds which commit of ours a commit is, after a squash, a rebase, a cherry-pick or an amend: trailers first, then equal patches.

Reads only. A patch is equal when git's stable patch-id says so: the same lines in the same surroundings, whatever history it has.
A commit whose lines or their surroundings changed is not found by it.
"""

import re

import msgspec

from andon.edges import provenance
from andon.edges.git import git, look
from andon.edges.repository import trunk_ref
from andon.schema.errors import Mistake
from andon.schema.ids import Oid

COMMITS = 1_000
"""Of trunk, the latest, whose patches are compared."""
PATCH_BYTES = 64 * 2**20
"""Of patches that are compared; with more nothing is said about equal ones."""
TRAILERS = ("Andon-Task", "Andon-Attempt", "Andon-Change", "Andon-Bundle", "Andon-Policy", "Andon-Ledger", "Andon-Walls",
            "Andon-Reverts")


class Commit(msgspec.Struct, frozen=True, kw_only=True):
    """What git says of a commit, and which of the factory's it is."""

    oid: Oid
    tree: Oid
    author: str
    subject: str
    at: int
    """Unix milliseconds, as its committer said."""
    trailers: dict[str, str] = {}
    ours: Oid = Oid("")
    """The commit of the target whose trailers tell: itself, the landing that brought it, or one with an equal patch."""
    task: str = ""
    change: str = ""
    by: str = "none"
    """`trailer`, `landing`, `patch-id` or `none`."""
    note: str = ""
    """Why nothing more could be looked at; empty: all was."""


async def find(git_dir: str, name: str, target: str) -> Commit | None:
    """The commit of this name; None when the repository has none."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._/@^~{}-]{0,200}", name):
        raise Mistake(f"{name!r} does not name a commit.", mend="Give its hash, a branch or a tag.")
    asked = await git("rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}", git_dir=git_dir, check=False)
    if asked.code != 0:
        return None
    seen = await _read(git_dir, asked.oid)
    told = await provenance.tell(git_dir, asked.oid, target)
    if told is not None and told.task:
        how = "trailer" if told.by == asked.oid else "landing"
        return msgspec.structs.replace(seen, ours=told.by, task=told.task, change=told.change, by=how)
    equal, note = await _equal(git_dir, asked.oid, target)
    told = await provenance.tell(git_dir, equal, target) if equal else None
    if told is not None and told.task:
        return msgspec.structs.replace(seen, ours=told.by, task=told.task, change=told.change, by="patch-id")
    return msgspec.structs.replace(seen, note=note)


async def _read(git_dir: str, oid: Oid) -> Commit:
    fields = ("%T", "%an <%ae>", "%ct", "%s", *(f"%(trailers:key={name},valueonly,separator=%x0A)" for name in TRAILERS))
    shown = await look(git_dir, "show", "-s", f"--format={'%x00'.join(fields)}", oid)
    tree, author, at, subject, *values = shown.out.decode(errors="replace").rstrip("\n").split("\0")
    found = {name: value.strip().split("\n")[-1] for name, value in zip(TRAILERS, values, strict=False) if value.strip()}
    return Commit(oid=oid, tree=Oid(tree), author=author, subject=subject, at=int(at) * 1000, trailers=found)


async def _equal(git_dir: str, oid: Oid, target: str) -> tuple[Oid, str]:
    """The newest commit of trunk with an equal patch: as a whole step of the target, or as one of a change's own commits."""
    own = await _patches(git_dir, "-1", "--diff-merges=first-parent", oid)
    wanted = next(iter(own), "")
    if not wanted:
        return Oid(""), ""
    trunk = await git("rev-parse", "--verify", "--quiet", trunk_ref(target), git_dir=git_dir, check=False)
    if trunk.code != 0:
        return Oid(""), ""
    try:
        for words in (("--first-parent", "--diff-merges=first-parent"), ("--no-merges",)):
            known = await _patches(git_dir, f"--max-count={COMMITS}", *words, trunk.oid)
            if wanted in known and known[wanted] != oid:
                return known[wanted], ""
    except Mistake:
        return Oid(""), f"the patches of the target's last {COMMITS} commits are more than {PATCH_BYTES // 2**20} MiB: not compared"
    return Oid(""), ""


async def _patches(git_dir: str, *words: str) -> dict[str, Oid]:
    """Stable patch-ids of what `git log` lists; of equal ones the first, which is the newest."""
    plain = ("-p", "--no-color", "--no-ext-diff", "--no-textconv", "--full-index")
    log = await look(git_dir, "log", *plain, *words, limit=PATCH_BYTES)
    if not log.out.strip():
        return {}
    named = await look(git_dir, "patch-id", "--stable", stdin=log.out)
    found: dict[str, Oid] = {}
    for line in named.text.splitlines():
        patch, _, commit = line.partition(" ")
        found.setdefault(patch, Oid(commit))
    return found
