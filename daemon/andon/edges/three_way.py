"""Three-way merges of commits as objects; must never know what is merged, touch a file of anybody's, or run a driver unasked.

Theory of operation. `git merge-tree --stdin` merges many pairs in one process, in a git directory without attributes or
configuration. What `.gitattributes` asks for the paths whose content was merged is looked up afterwards: git would have refused
(`-merge`), or would have run another program (`merge=name`). A merge that an allowed driver is to make is made once more, in a
git directory that names exactly that driver for exactly those paths.
"""

import asyncio
import re
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import msgspec

from andon.edges.git import git, look, make_git_dir
from andon.edges.scratch import read_plain
from andon.schema.errors import Mistake
from andon.schema.ids import Oid

AUTO = "Auto-merging"
"""The kind of message that names a path whose content was merged line by line."""
_MERGE = ("merge-tree", "--write-tree", "--stdin", "--name-only", "--messages")
_PLAIN = ("unspecified", "set", "text", "")


class Said(msgspec.Struct, frozen=True):
    """One message of a merge."""

    kind: str
    """`Auto-merging`, `CONFLICT (contents)`, …"""
    paths: tuple[str, ...]
    text: str


class Merged(msgspec.Struct, frozen=True, kw_only=True):
    """What one merge came to."""

    clean: bool
    tree: Oid
    """With conflicts: a tree that holds their markers."""
    paths: tuple[str, ...] = ()
    """Those in conflict."""
    said: tuple[Said, ...] = ()

    @property
    def message(self) -> str:
        """The conflicts in git's words, a line each."""
        texts = [said.text for said in self.said if said.kind != AUTO and not said.text.startswith(AUTO)]
        return "\n".join(dict.fromkeys(line for text in texts for line in text.splitlines()))

    @property
    def by_content(self) -> tuple[str, ...]:
        """Paths whose lines were merged."""
        return tuple(dict.fromkeys(path for said in self.said if said.kind == AUTO for path in said.paths))


class Drivers(msgspec.Struct, frozen=True):
    """Which merge drivers may run, and what they are."""

    allowed: tuple[str, ...] = ()
    commands: tuple[tuple[str, str], ...] = ()
    """Configuration that defines them: `merge.<name>.driver` and the like."""


NO_DRIVERS = Drivers()


class NoDriver(Mistake):
    """A driver is allowed, and nobody has defined it."""


async def merge_all(git_dir: Path | str, pairs: Sequence[tuple[str, str]]) -> list[Merged]:
    """Merge each pair of commits, in one process, by lines alone. A commit that is not there is a GitFailed."""
    if not pairs:
        return []
    asked = "".join(f"{ours} {theirs}\n" for ours, theirs in pairs).encode()
    return list(_read((await look(git_dir, *_MERGE, stdin=asked)).out))


async def merge_one(git_dir: Path | str, ours: str, theirs: str, drivers: Drivers = NO_DRIVERS) -> Merged:
    """Merge two commits as git would with the `.gitattributes` of `ours`; what needs a driver that may not run is a conflict."""
    return await attributed(git_dir, ours, theirs, (await merge_all(git_dir, [(ours, theirs)]))[0], drivers)


async def attributed(git_dir: Path | str, ours: str, theirs: str, merged: Merged, drivers: Drivers) -> Merged:
    """What a merge by lines comes to when the attributes of `ours` are heeded."""
    touched = merged.by_content
    if not touched:
        return merged
    asked = await merge_attributes(git_dir, ours, touched)
    refused = {path: name for path, name in asked.items() if name not in drivers.allowed}
    if refused:
        paths = tuple(dict.fromkeys((*merged.paths, *refused)))
        said = tuple(Said("CONFLICT (driver)", (path,), _no_driver(path, name)) for path, name in refused.items())
        return Merged(clean=False, tree=merged.tree, paths=paths, said=(*merged.said, *said))
    if asked:
        return await _driven(git_dir, ours, theirs, asked, drivers)
    return merged


def _no_driver(path: str, name: str) -> str:
    if name == "unset":
        return f"CONFLICT (attribute): {path} was changed on both sides, and .gitattributes says that its lines are not merged"
    return f"CONFLICT (driver): {path} was changed on both sides; .gitattributes has it merged by `{name}`, which may not run here"


def _read(out: bytes) -> Iterator[Merged]:
    """Records of status, tree, conflicted names, an empty item, messages as (count, paths…, kind, text), an empty item."""
    items = iter(out.decode(errors="surrogateescape").split("\0"))
    for status in items:
        if not status:
            return
        tree = Oid(next(items))
        paths = tuple(dict.fromkeys(iter(items.__next__, "")))
        said = []
        for count in iter(items.__next__, ""):
            if not count.isdigit():  # advice on submodules, which git writes before the end of the record
                break
            named = tuple(next(items) for _ in range(int(count)))
            said.append(Said(next(items), named, next(items).rstrip("\n")))
        yield Merged(clean=status == "1", tree=tree, paths=paths, said=tuple(said))


# --- attributes ------------------------------------------------------------------------------------------------------


async def merge_attributes(git_dir: Path | str, commit: str, paths: Iterable[str]) -> dict[str, str]:
    """The merge driver that attributes name for each of these paths, plain ones left out; `unset` is `-merge`.

    They are a commit's `.gitattributes` and, as for git, above them the repository's own `info/attributes`.
    """
    own = await asyncio.to_thread(read_plain, Path(git_dir) / "info" / "attributes")
    asked = ("grep", "-z", "-l", "-E", r"merge|binary|\[attr\]", commit, "--", ":(glob)**/.gitattributes")
    found = await look(git_dir, *asked, check=False)
    if not found.out and not re.search(rb"merge|binary|\[attr\]", own):
        return {}
    entries = b"".join(line + b"\0" for line in await _attribute_files(git_dir, commit))
    with tempfile.TemporaryDirectory(prefix="andon-attributes-") as aside:
        room, index = Path(aside) / "git", Path(aside) / "index"
        await asyncio.to_thread(make_git_dir, room, objects=(Path(git_dir) / "objects",), like=Path(git_dir))
        (room / "info" / "attributes").write_bytes(own)
        await git("update-index", "-z", "--index-info", git_dir=room, index=index, stdin=entries)
        names = b"".join(path.encode(errors="surrogateescape") + b"\0" for path in paths)
        said = await git("check-attr", "--cached", "-z", "--stdin", "merge", git_dir=room, index=index, stdin=names)
    items = said.out.decode(errors="surrogateescape").split("\0")
    named = dict(zip(items[::3], items[2::3], strict=False))
    return {path: "unset" if name == "binary" else name for path, name in named.items() if name not in _PLAIN}


async def _attribute_files(git_dir: Path | str, commit: str) -> list[bytes]:
    listed = (await look(git_dir, "ls-tree", "-r", "-z", "--full-tree", commit)).out.split(b"\0")
    return [line for line in listed if line.endswith((b"\t.gitattributes", b"/.gitattributes")) and line[:3] == b"100"]


async def defined(git_dir: Path | str, names: Sequence[str]) -> Drivers:
    """The allowed drivers with their commands, from the person's own configuration. One that is not defined stays undefined."""
    if not names:
        return Drivers()
    said = await git("config", "-z", "--get-regexp", r"^merge\..*\.(driver|recursive|name)$", git_dir=git_dir, trusted=True,
                     check=False)
    pairs = [(key, value) for key, _, value in (item.partition("\n") for item in said.items)]
    wanted = [(key, value) for key, value in pairs if re.sub(r"^merge\.|\.[^.]*$", "", key) in names]
    return Drivers(tuple(names), tuple(wanted))


async def _driven(git_dir: Path | str, ours: str, theirs: str, asked: dict[str, str], drivers: Drivers) -> Merged:
    """The merge once more, with the drivers that these paths name."""
    known = {key.removeprefix("merge.").removesuffix(".driver") for key, _ in drivers.commands if key.endswith(".driver")}
    for path, name in asked.items():
        if name not in known and name != "union":
            raise NoDriver(f"{path} is to be merged by `{name}`, which queue.drivers allows and no configuration defines.",
                           where=".gitattributes", mend=f"Define it: git config merge.{name}.driver '<command>'")
    lines = "".join(f"{_quoted(path)} merge={name}\n" for path, name in asked.items())
    with tempfile.TemporaryDirectory(prefix="andon-drivers-") as aside:
        room = Path(aside) / "git"
        await asyncio.to_thread(make_git_dir, room, objects=(), like=Path(git_dir))
        (room / "info" / "attributes").write_bytes(lines.encode(errors="surrogateescape"))
        done = await git(*_MERGE, git_dir=room, objects=Path(git_dir) / "objects", config=drivers.commands,
                         stdin=f"{ours} {theirs}\n".encode(), seconds=300)
    return next(_read(done.out))


def _quoted(path: str) -> str:
    """A path as a pattern of an attributes file that matches it alone."""
    plain = re.sub(r"([\\*?\[])", r"\\\1", path)
    return '"/' + plain.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\t", "\\t") + '"'
