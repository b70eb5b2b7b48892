"""Has mergiraf propose a merge where lines conflict; must never land, never touch the person's repository, never keep silent.

Theory of operation. Target and earlier work are merged in a scratch git directory; what is new goes into the agent's clone, which
no agent has been in yet. Each conflicted file goes as its three versions through `mergiraf merge BASE LEFT RIGHT -p PATH -o OUT`,
in a scratch directory that is its HOME too, under limits of time and size. Only when every conflict is solved is there a commit,
with both sides as parents, on a branch of the clone: an offer, which is read and proved like anything that an agent commits.
Whatever else happens, the agent is told why there is none.
"""

import asyncio
import contextlib
import os
import re
import shutil
import signal
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from andon.edges.commits import commit_bytes, read_commits
from andon.edges.git import EMAIL, NAME, Output, git, make_git_dir
from andon.edges.scratch import read_plain
from andon.edges.spawn import spawn
from andon.edges.three_way import AUTO, merge_attributes
from andon.schema.errors import Mistake
from andon.schema.ids import Oid
from andon.schema.layout import Layout

TOOL = "mergiraf"
BRANCH = "andon/proposal"
"""The branch of the agent's checkout on which the proposal is offered."""
PATHS, FILE_BYTES = 20, 2**20
"""Conflicted files that are tried at most; bytes of each version, and of what comes out."""
FILE_S, ALL_S = 10.0, 60.0
"""How long the tool may take for one file, and for all of them."""
_BLOCKS = 2 * FILE_BYTES // 512
_LIMITED = f'ulimit -f {_BLOCKS}; exec "$0" "$@"'
"""No file that the tool writes becomes larger than twice a version."""
_MARKER = re.compile(rb"^(?:(?:<{7,}|>{7,}|\|{7,})(?: .*)?|={7,})\r?$", re.MULTILINE)
_PLAIN = ("100644", "100755")


class Proposed(msgspec.Struct, frozen=True):
    """What became of the attempt."""

    paths: tuple[str, ...]
    """Those in conflict."""
    told: str
    """In words: where the proposal is, or why there is none."""
    commit: Oid = Oid("")
    """The proposal; empty: there is none."""


class _Unsolved(Exception):
    """There is no proposal; the text says why."""


class _Clash(msgspec.Struct, frozen=True):
    """A merge by lines that did not come out."""

    tree: Oid
    """With the markers of the conflicts in it."""
    stages: dict[str, dict[str, tuple[str, str]]]
    """Of each conflicted path, by stage: mode and blob."""
    kinds: tuple[str, ...]
    merged: tuple[str, ...]
    """Paths whose lines were merged."""


async def propose(common: Path, clone: Path | None, *, base: Oid, previous: Oid, layout: Layout) -> Proposed | None:
    """Merge `previous` with `base` by mergiraf and offer the commit as `BRANCH` of `clone`, the git directory of a checkout that no
    agent has been in; None when the two merge by lines alone.

    Without a clone nothing is offered. A tool that is missing, fails, hangs or leaves conflicts is told in words, never raised.
    """
    folder = layout.home / "scratch"
    await asyncio.to_thread(folder.mkdir, parents=True, exist_ok=True, mode=0o700)
    aside = tempfile.TemporaryDirectory(prefix=".tmp-proposal-", dir=folder, ignore_cleanup_errors=True)
    paths: tuple[str, ...] = ()
    try:
        room = _Room(Path(aside.name), common, clone)
        clash = await room.merge(base, previous)
        if clash is None:
            return None
        paths = tuple(_shown(path) for path in clash.stages)
        async with asyncio.timeout(ALL_S):
            solved = await _solve_all(room, clash, base)
        commit = await room.commit(clash, solved, base, previous)
    except TimeoutError:
        return Proposed(paths, f"no proposal: {TOOL} took longer than {ALL_S:.0f} s")
    except (_Unsolved, Mistake, OSError) as error:
        why = error.problem.what if isinstance(error, Mistake) else str(error)
        return Proposed(paths, f"no proposal: {_shown(why)[:300]}")
    finally:
        await asyncio.to_thread(aside.cleanup)
    return Proposed(paths, f"{TOOL} proposes a merge on the branch {BRANCH}", commit)


class _Room:
    """A scratch git directory that borrows the repository's objects and writes into the clone's."""

    def __init__(self, place: Path, common: Path, clone: Path | None) -> None:
        self.place, self.common, self.clone = place, common, clone
        make_git_dir(place / "git", objects=(common / "objects",), like=common)

    async def git(self, *args: str, stdin: bytes = b"", check: bool = True) -> Output:
        """Run git without anybody's configuration, files or attributes."""
        return await git(*args, git_dir=self.place / "git", index=self.place / "index", cwd=self.place, stdin=stdin, check=check,
                         objects=self.clone / "objects" if self.clone else None)

    async def merge(self, base: Oid, previous: Oid) -> _Clash | None:
        """The merge by lines; None when it has no conflict."""
        said = await self.git("merge-tree", "--write-tree", "-z", "--messages", base, previous, check=False)
        if said.code == 0:
            return None
        if said.code != 1:
            raise _Unsolved("git cannot merge them")
        tree, *rest = os.fsdecode(said.out).split("\0")
        stages: dict[str, dict[str, tuple[str, str]]] = {}
        items = iter(rest)
        for line in iter(items.__next__, ""):
            words, _, path = line.partition("\t")
            mode, oid, stage = words.split(" ")
            stages.setdefault(path, {})[stage] = (mode, oid)
        kinds, merged = [], []
        for count in items:
            if count:
                named = [next(items) for _ in range(int(count))]
                kinds.append(next(items))
                merged += named if kinds[-1] == AUTO else []
                next(items)
        return _Clash(Oid(tree), stages, tuple(kinds), tuple(merged))

    async def sizes(self, oids: Sequence[str]) -> list[int]:
        """Bytes of these blobs."""
        said = await self.git("cat-file", "--batch-check=%(objectsize)", stdin="".join(f"{oid}\n" for oid in oids).encode())
        return [int(line) for line in said.text.splitlines()]

    async def commit(self, clash: _Clash, solved: Mapping[str, bytes], base: Oid, previous: Oid) -> Oid:
        """The proposal as a commit in the clone, and the branch on it."""
        assert self.clone is not None
        entries = b""
        for path, data in solved.items():
            blob = (await self.git("hash-object", "-w", "--stdin", "--no-filters", stdin=data)).oid
            entries += f"{_mode(clash.stages[path])} {blob}\t".encode() + os.fsencode(path) + b"\0"
        await self.git("read-tree", clash.tree)
        await self.git("update-index", "-z", "--index-info", stdin=entries)
        tree = (await self.git("write-tree")).oid
        date, zone = (await read_commits(self.common, [previous]))[0].author.rsplit(" ", 2)[1:]
        told = f"Proposal of {TOOL}: {previous[:12]} merged with the newer target\n\nSolved by a tool, read by nobody: " \
            + ", ".join(_shown(path) for path in solved) + "\n"
        data = commit_bytes(tree, (base, previous), told, author=f"{NAME} <{EMAIL}> {date} {zone}")
        made = (await self.git("hash-object", "-t", "commit", "-w", "--stdin", stdin=data)).oid
        await git("update-ref", f"refs/heads/{BRANCH}", made, git_dir=self.clone)
        return made


async def _solve_all(room: _Room, clash: _Clash, base: Oid) -> dict[str, bytes]:
    """Every conflicted path with what the tool made of it."""
    tool = shutil.which(TOOL)
    if tool is None or not Path(tool).is_absolute():
        raise _Unsolved(f"{TOOL} is not installed")
    if room.clone is None:
        raise _Unsolved("the checkout is a linked worktree, whose branches are the repository's own")
    await _check(room, clash, base)
    return {path: await _solve(tool, room, path, stages, n) for n, (path, stages) in enumerate(clash.stages.items())}


async def _check(room: _Room, clash: _Clash, base: Oid) -> None:
    """Only files that both sides changed are merged, and only where lines may be."""
    for kind in clash.kinds:
        if kind.startswith("CONFLICT") and kind != "CONFLICT (contents)":
            raise _Unsolved(f"a conflict of kind {kind.removeprefix('CONFLICT ').strip('()')} is not for a tool")
    if len(clash.stages) > PATHS:
        raise _Unsolved(f"{len(clash.stages)} files conflict, and at most {PATHS} are tried")
    for path, stages in clash.stages.items():
        if set(stages) != {"1", "2", "3"}:
            raise _Unsolved(f"{_shown(path)} is not on both sides and before them")
        if any(mode not in _PLAIN for mode, _ in stages.values()):
            raise _Unsolved(f"{_shown(path)} is no plain file")
        if max(await room.sizes([oid for _, oid in stages.values()])) > FILE_BYTES:
            raise _Unsolved(f"{_shown(path)} is larger than {FILE_BYTES >> 10} KiB")
    for path, name in (await merge_attributes(room.common, base, {*clash.merged, *clash.stages})).items():
        how = "not merged by lines" if name == "unset" else f"merged by `{name}`"
        raise _Unsolved(f".gitattributes has {_shown(path)} {how}")


async def _solve(tool: str, room: _Room, path: str, stages: Mapping[str, tuple[str, str]], n: int) -> bytes:
    """What the tool makes of one file; nothing is believed but a clean exit, one plain file, and no markers in it."""
    home = room.place / f"file{n}"
    await asyncio.to_thread(home.mkdir)
    texts = []
    for name, stage in (("base", "1"), ("left", "2"), ("right", "3")):
        texts.append((await room.git("cat-file", "blob", stages[stage][1])).out)
        await asyncio.to_thread((home / name).write_bytes, texts[-1])
    if any(b"\0" in text for text in texts):
        raise _Unsolved(f"{_shown(path)} is no text")
    await _run((tool, "merge", "base", "left", "right", "-p", f"./{path}", "-o", "out"), home, _shown(path))
    seen = await asyncio.to_thread(_size, home / "out")
    if seen is None:
        raise _Unsolved(f"{TOOL} left no result for {_shown(path)}")
    if seen > FILE_BYTES:
        raise _Unsolved(f"the result for {_shown(path)} is larger than {FILE_BYTES >> 10} KiB")
    return _believed(await asyncio.to_thread(read_plain, home / "out"), texts[1], texts[2], _shown(path))


def _believed(out: bytes, left: bytes, right: bytes, path: str) -> bytes:
    """A result that can be one: not empty, without markers of its own, with the line ends that the file has on the target."""
    if not out.strip() and left.strip() and right.strip():
        raise _Unsolved(f"{TOOL} left nothing of {path}")
    known = {line.rstrip(b"\r") for text in (left, right) for line in _MARKER.findall(text)}
    if any(line.rstrip(b"\r") not in known for line in _MARKER.findall(out)):
        raise _Unsolved(f"{TOOL} could not solve {path}")
    if b"\r\n" not in left or b"\r" in out:
        return out
    if re.search(rb"(?<!\r)\n", left):  # it writes plain line ends into its output file
        raise _Unsolved(f"{path} has line ends of both kinds")
    return out.replace(b"\n", b"\r\n")


async def _run(argv: Sequence[str], home: Path, path: str) -> None:
    """Run the tool with an environment that leads nowhere but into its scratch directory; nothing of it is left afterwards."""
    env = {"PATH": os.environ.get("PATH", os.defpath), **dict.fromkeys(("HOME", "TMPDIR", "PWD"), str(home)), "LC_ALL": "C.UTF-8",
           "GIT_CEILING_DIRECTORIES": str(home.parent), "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_NOSYSTEM": "1"}
    try:
        process = await spawn("sh", "-c", _LIMITED, *argv, cwd=home, env=env, stdin=asyncio.subprocess.DEVNULL,
                              stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL, start_new_session=True)
    except FileNotFoundError:
        raise _Unsolved("there is no sh") from None
    try:
        async with asyncio.timeout(FILE_S):
            code = await process.wait()
    except TimeoutError:
        raise _Unsolved(f"{TOOL} took longer than {FILE_S:g} s for {path}") from None
    finally:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
    if code == 1:
        raise _Unsolved(f"{TOOL} could not solve {path}")
    if code != 0:
        raise _Unsolved(f"{TOOL} failed on {path} ({f'exit code {code}' if code > 0 else f'signal {-code}'})")


def _size(path: Path) -> int | None:
    """Bytes of a plain file; None when there is none."""
    if path.is_symlink() or not path.is_file():
        return None
    return path.stat().st_size


def _mode(stages: Mapping[str, tuple[str, str]]) -> str:
    """The mode that the side which changed it gave the file; the target's when both did."""
    before, ours, theirs = (stages[stage][0] for stage in "123")
    return theirs if ours == before else ours


def _shown(text: str) -> str:
    """Words as they are told: one line, and what is no UTF-8 replaced."""
    return " ".join(text.encode(errors="replace").decode().split())
