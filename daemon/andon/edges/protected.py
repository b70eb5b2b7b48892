"""Makes the tree that a change is judged in: its own, but for the protected paths, which are the base's. Runs nothing of either."""

import tempfile
from pathlib import Path
from typing import Any

import msgspec

from andon.edges.git import git
from andon.schema.globs import matches
from andon.schema.ids import Digest, Oid

SHOWN = 3
LISTED = 500
"""Protected paths that the evidence names one by one; the composed tree names them all."""


class Protected(msgspec.Struct, frozen=True, kw_only=True):
    """What stands where the change's own version would."""

    globs: tuple[str, ...] = ()
    base: Oid = Oid("")
    tree: Oid = Oid("")
    """The composed tree."""
    paths: tuple[tuple[str, str], ...] = ()
    """Every protected path of the base with the name of its object."""
    changed: tuple[str, ...] = ()
    """The protected paths that the change adds, alters or removes."""
    dead: tuple[str, ...] = ()
    """Globs that name nothing in the base."""

    earlier: Digest = Digest("")
    """Of a run with the change's own paths: the statement of the run without them."""

    def told(self, because: str) -> str:
        """What a run says, with what it was run with."""
        if not self.tree:
            return because
        if not self.changed:
            return f"{because}; it changes no protected path"
        more = f" and {len(self.changed) - SHOWN} more" if len(self.changed) > SHOWN else ""
        return f"with the base's {', '.join(self.changed[:SHOWN])}{more}, which the change touches: {because}"

    def dead_rules(self, check: str) -> str:
        """Which globs protect nothing; empty when each names a file of the base."""
        dead = ", ".join(f"`{glob}`" for glob in self.dead)
        return f"no file of the base is named by {dead} of checks.{check}.protect" if dead else ""

    def evidence(self) -> list[dict[str, object]]:
        """What a statement lists: the composed tree, and each path by digest."""
        if not self.tree:
            name = "run with protected paths of the base"
            return [{"name": name, "digest": {"sha256": self.earlier}}] if self.earlier else []
        listed: list[dict[str, object]] = [{"name": "tree with protected paths of the base", "digest": {"gitTree": self.tree}}]
        return listed + [{"name": f"protected {path}", "digest": {"gitBlob": name}} for path, name in self.paths[:LISTED]]


async def compose(git_dir: Path, place: Path, globs: tuple[str, ...], base: Oid, commit: Oid) -> Protected:
    """The composed tree of a change, written as objects of the repository at `git_dir`; `place` is a git directory of ours."""
    own: dict[str, Any] = {"git_dir": place, "objects": git_dir / "objects"}
    theirs, ours = await _entries(own, globs, base), await _entries(own, globs, commit)
    changed = tuple(sorted(path for path in theirs.keys() | ours.keys() if theirs.get(path) != ours.get(path)))
    gone = "0" * len(commit)
    lines = [f"{theirs[path]}\t{path}" if path in theirs else f"0 {gone}\t{path}" for path in changed]
    with tempfile.TemporaryDirectory(prefix=".tmp-index-", dir=place) as aside:
        own["index"] = Path(aside) / "index"
        await git("read-tree", commit, **own)
        gone_first = sorted(lines, key=lambda line: not line.startswith("0 "))
        await git("update-index", "-z", "--index-info", stdin="\0".join([*gone_first, ""]).encode(), **own)
        tree = (await git("write-tree", **own)).oid
    dead = tuple(glob for glob in globs if not any(matches(path, (glob,)) for path in theirs))
    paths = tuple((path, entry.split(" ")[1]) for path, entry in sorted(theirs.items()))
    return Protected(globs=globs, base=base, tree=tree, paths=paths, changed=changed, dead=dead)


async def _entries(own: dict[str, Any], globs: tuple[str, ...], commit: Oid) -> dict[str, str]:
    """Mode and object of each path that the globs name."""
    listed = await git("ls-tree", "-r", "-z", "--full-tree", commit, **own)
    found: dict[str, str] = {}
    for item in listed.items:
        facts, _, path = item.partition("\t")
        mode, _, name = facts.split(" ")
        if matches(path, globs):
            found[path] = f"{mode} {name}"
    return found
