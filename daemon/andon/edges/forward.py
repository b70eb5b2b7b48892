"""Takes one checkout of the person's forward by git's own fast-forward; must never touch a byte that the person wrote.

Theory of operation. While git writes the files, a kill leaves them mixed: some old, some new, one half-written, the branch where it
was. So a journal is open meanwhile, `<common git dir>/andon/forward.json`: which checkout, from which commit to which. Who finds
it open does not guess but compares each path of the two commits with its file: equal to the new blob is git's work, equal to
the old one is untouched, absent or a beginning of the new blob is the file that was being written, anything else is the person's.
Without such a file the way is gone to its end (files, index, then branch); with one it is gone back.
"""

import asyncio
import contextlib
import hashlib
import os
import re
import stat
from collections.abc import Sequence
from pathlib import Path

import msgspec

from andon.edges.durable import sync_dir, write_file
from andon.edges.git import GitFailed, Output, git, look, read_ref, set_ref
from andon.edges.proctable import spent_table
from andon.edges.repository import is_ancestor
from andon.schema.errors import Mistake
from andon.schema.faults import point
from andon.schema.ids import Oid

NAMED = 5
"""Files that a sentence names."""
GIT_WAIT_S = 3.0
"""So long a git of somebody's in the checkout is waited for before a half-done way is looked at."""
_LASTING = frozenset((b"cat-file", b"fsmonitor--daemon", b"credential-cache--daemon", b"check-ignore", b"check-attr"))
"""Gits that editors keep running, and that hold no lock."""
_ONE_FILE_AT_A_TIME = (("checkout.workers", "1"), ("core.fsmonitor", "false"), ("core.untrackedCache", "keep"))


class Journal(msgspec.Struct, frozen=True, kw_only=True):
    """A way that was begun."""

    place: str
    """The checkout."""
    own: str
    """Its git directory."""
    target: str
    old: Oid
    new: Oid


class _Path(msgspec.Struct, frozen=True):
    """One path that differs between the two commits; a mode of 000000 is no file."""

    name: str
    old_mode: str
    old: str
    new_mode: str
    new: str


class _State(msgspec.Struct, frozen=True):
    """What the files of a half-done way are."""

    ours: tuple[_Path, ...] = ()
    """As in the new commit."""
    untouched: tuple[_Path, ...] = ()
    writing: tuple[_Path, ...] = ()
    """Absent, or half-written."""
    theirs: tuple[_Path, ...] = ()
    """The person's."""


def journal_of(common: Path) -> Path:
    """Where the journal of a repository lies."""
    return common / "andon" / "forward.json"


async def forward(common: Path, journal: Journal, hold: int, dirty: Sequence[str] = ()) -> str:
    """Fast-forward the checkout; why it was not done, or empty. The caller holds the repository's lock.

    `dirty` are the paths with uncommitted changes: what stands in the way is found before the journal is opened, so that with an
    open journal every difference is either git's or was made since.
    """
    place = Path(journal.place)
    paths = await _paths(common, journal)
    in_way = await asyncio.to_thread(_in_way, place, paths, frozenset(dirty))
    if in_way:
        return f"files in the way in {place}: {names(in_way)}"
    await asyncio.to_thread(write_file, journal_of(common), msgspec.json.encode(journal), alone=True)
    point("mirror-target.journal")
    done = await git("merge", "--ff-only", "--no-stat", "-q", "--no-autostash", "--no-overwrite-ignore", journal.new, cwd=place,
                     trusted=True, check=False, finish=True, hold=hold, seconds=600, config=_ONE_FILE_AT_A_TIME,
                     env={"GIT_REFLOG_ACTION": "andon: follow trunk"})
    point("mirror-target.merged")
    if done.code == 0:
        await asyncio.to_thread(_close, common)
        return ""
    files = re.findall(r"^\t(.+)$", done.err, re.M)
    if files:  # it looks at all of them before it touches one
        await asyncio.to_thread(_close, common)
        return f"files in the way in {place}: {names(files)}"
    mixed = await recover(common, hold)
    if not mixed and await read_ref(common, f"refs/heads/{journal.target}") == journal.new:
        return ""
    return mixed or f"git would not fast-forward {place}: {said(done)}"


async def recover(common: Path, hold: int) -> str:
    """End a way that a kill left half-done: why it could not be, or empty. The caller holds the repository's lock."""
    journal = await asyncio.to_thread(_open, common)
    if journal is None:
        return ""
    place = Path(journal.place)
    if not await asyncio.to_thread(place.is_dir):
        await asyncio.to_thread(_close, common)
        return ""
    if not await _alone(journal):
        return f"a git command is at work in {place}, where Andon was interrupted"
    await asyncio.to_thread(_unlock, common, journal)
    head = (await git("symbolic-ref", "-q", "HEAD", cwd=place, trusted=True, check=False)).text
    tip = await read_ref(common, head) if head == f"refs/heads/{journal.target}" else None
    if tip is not None and tip != journal.new:
        point("mirror-target.recover")
        try:
            await (_mend(common, journal, hold) if tip == journal.old else _give_way(common, journal, tip, hold))
        except GitFailed as error:
            return f"Andon was interrupted while it took {place} forward, and git will not end it: {said(error.output)}"
    await asyncio.to_thread(_close, common)
    point("mirror-target.recovered")
    return ""


def names(files: Sequence[str]) -> str:
    """The first of these, and how many more."""
    more = f" and {len(files) - NAMED} more" if len(files) > NAMED else ""
    return ", ".join(files[:NAMED]) + more


def said(output: Output) -> str:
    """The line of a git's complaint that tells most."""
    told = [line for line in output.err.splitlines() if line.startswith(("fatal:", "error:"))]
    return told[0] if told else output.err.strip()[-300:] or f"exit code {output.code}"


# --- the journal -----------------------------------------------------------------------------------------------------


def _open(common: Path) -> Journal | None:
    try:
        return msgspec.json.decode(journal_of(common).read_bytes(), type=Journal)
    except FileNotFoundError:
        return None
    except msgspec.MsgspecError:
        raise Mistake("The note of a checkout that was being taken forward cannot be read.", where=str(journal_of(common)),
                      mend="Look at your checkout with git status; when all is well there, move that file away.") from None


def _close(common: Path) -> None:
    journal_of(common).unlink(missing_ok=True)
    sync_dir(journal_of(common).parent)


async def _alone(journal: Journal) -> bool:
    """Whether no git runs in the checkout; one that does is given a moment to end. Our own would hold the repository's lock."""
    end = asyncio.get_running_loop().time() + GIT_WAIT_S
    while await asyncio.to_thread(_git_inside, journal):
        if asyncio.get_running_loop().time() > end:
            return False
        await asyncio.sleep(0.05)
    return True


def _git_inside(journal: Journal) -> bool:
    inside = (Path(os.path.realpath(journal.place)), Path(os.path.realpath(journal.own)))
    for pid, process in spent_table().items():
        if process.name == "git" or process.name.startswith("git-"):
            try:
                place, words = Path(f"/proc/{pid}/cwd").readlink(), Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if _LASTING.isdisjoint(words) and any(place == path or path in place.parents for path in inside):
                return True
    return False


def _unlock(common: Path, journal: Journal) -> None:
    """What was locked before the journal was opened would have kept it from being opened: these are left by the killed git."""
    own = Path(journal.own)
    for lock in (own / "index.lock", own / "HEAD.lock", own / "ORIG_HEAD.lock", common / f"refs/heads/{journal.target}.lock"):
        lock.unlink(missing_ok=True)


# --- mending ---------------------------------------------------------------------------------------------------------


async def _mend(common: Path, journal: Journal, hold: int) -> None:
    """Bring files and index to one of the two commits, and then the branch to that one."""
    state, index = await _compare(common, journal), await _index(journal)
    untouched = all(_entry(index, path) == _want(path, new=False) for path in state.untouched)
    if not state.ours and not state.writing and untouched:
        return
    if any(_entry(index, path) != _want(path, new=True) for path in state.theirs):
        return await _go_back(journal, state, index, hold)
    await _go_on(journal, state, index, hold)
    await set_ref(common, f"refs/heads/{journal.target}", journal.new, journal.old, why="andon: follow trunk", hold=hold)


async def _give_way(common: Path, journal: Journal, tip: Oid, hold: int) -> None:
    """The person committed while git was at it: what their commit did not take in is taken away again. A git that had read the
    index before them wrote it without what they committed; where their file is still as committed, the index is told so."""
    if not await is_ancestor(common, journal.old, tip) or await is_ancestor(common, journal.new, tip):
        return
    own = msgspec.structs.replace(journal, new=tip)
    theirs = await _compare(common, own)
    committed = {path.name for key in theirs.__struct_fields__ for path in getattr(theirs, key)}
    state, index = await _compare(common, journal), await _index(journal)
    left = {key: tuple(path for path in getattr(state, key) if path.name not in committed) for key in state.__struct_fields__}
    await _go_back(journal, _State(**left), index, hold)
    lost = [path for path in theirs.ours if _entry(index, path) == _want(path, new=False)]
    await _tell(own, index, [(path, _want(path, new=True)) for path in lost], hold)


async def _go_on(journal: Journal, state: _State, index: dict[str, str], hold: int) -> None:
    """Write what is still to be written: the index is told of each file as it is, and git does the rest."""
    told = [(path, _want(path, new=True)) for path in state.ours]
    told += [(path, _want(path, new=False)) for path in (*state.untouched, *state.writing)]
    await asyncio.to_thread(_drop, Path(journal.place), state.writing)
    await _tell(journal, index, told, hold)
    point("mirror-target.index")
    if state.untouched or state.writing:
        await git("read-tree", "-m", "-u", journal.old, journal.new, cwd=journal.place, trusted=True, hold=hold, finish=True,
                  config=_ONE_FILE_AT_A_TIME)
    point("mirror-target.files")


async def _go_back(journal: Journal, state: _State, index: dict[str, str], hold: int) -> None:
    """Take away what git wrote, and put back what was there. Files of the person's stay, as changes of the old commit."""
    mine = (*state.ours, *state.writing)
    theirs = [path for path in state.theirs if _entry(index, path) == _want(path, new=True)]
    await asyncio.to_thread(_drop, Path(journal.place), mine)
    await _tell(journal, index, [(path, _want(path, new=False)) for path in (*mine, *state.untouched, *theirs)], hold)
    point("mirror-target.back")
    wanted = b"".join(f"{path.name}\0".encode(errors="surrogateescape") for path in mine if path.old_mode != "000000")
    if wanted:  # without force: what somebody has put there meanwhile stays
        await git("checkout-index", "-u", "-q", "-z", "--stdin", cwd=journal.place, trusted=True, hold=hold, finish=True,
                  check=False, stdin=wanted)


async def _compare(common: Path, journal: Journal) -> _State:
    """Each path of the two commits beside its file."""
    paths = await _paths(common, journal)
    found: dict[str, list[_Path]] = {"ours": [], "untouched": [], "writing": [], "theirs": []}
    known = frozenset(path.name for path in paths)
    for path in paths:
        verdict = await asyncio.to_thread(_verdict, Path(journal.place), path, known)
        if verdict == "?":
            verdict = await _filtered(journal, path)
        found[verdict or "theirs"].append(path)
    return _State(**{key: tuple(value) for key, value in found.items()})


async def _paths(common: Path, journal: Journal) -> list[_Path]:
    out = (await look(common, "diff-tree", "-r", "-z", "--raw", "--no-renames", journal.old, journal.new)).out
    items = out.decode(errors="surrogateescape").split("\0")
    paths = []
    for meta, name in zip(items[::2], items[1::2], strict=False):
        old_mode, new_mode, old, new = meta.lstrip(":").split()[:4]
        paths.append(_Path(name, old_mode, old, new_mode, new))
    return paths


def _in_way(place: Path, paths: Sequence[_Path], dirty: frozenset[str]) -> list[str]:
    """What is changed there, and what stands where a new file would be and is not of the old commit."""
    old = frozenset(path.name for path in paths if path.old_mode != "000000")
    folded = frozenset(name.casefold() for name in old)  # where case does not count, a new name may be the old file's
    found = [path.name for path in paths if path.name in dirty]
    for path in paths:
        if path.name in dirty or path.old_mode != "000000" or path.new_mode == "160000" or path.name.casefold() in folded:
            continue
        file = place / path.name
        there = os.path.lexists(file) and not (file.is_dir() and not file.is_symlink())
        if there or _blocked(place, path.name, old):
            found.append(path.name)
    return found


def _verdict(place: Path, path: _Path, known: frozenset[str]) -> str:
    """What a path's file is, by its bytes; `?` when filters may have made it of a blob; empty when it is the person's."""
    file = place / path.name
    try:
        seen = file.lstat()
    except (FileNotFoundError, NotADirectoryError):
        if _blocked(place, path.name, known):
            return ""
        if path.old_mode == "000000" or path.old_mode == "160000":
            return "untouched"
        return "ours" if path.new_mode == "000000" else "writing"
    if path.new_mode == "160000" or path.old_mode == "160000":
        return "untouched"
    if stat.S_ISDIR(seen.st_mode):
        inside = (str(one.relative_to(place)) for one in file.rglob("*") if not one.is_dir() or one.is_symlink())
        if any(name not in known for name in inside):
            return ""
        return "ours" if path.new_mode == "000000" else "writing"
    data = os.fsencode(file.readlink()) if stat.S_ISLNK(seen.st_mode) else file.read_bytes()
    oid = _blob(data, path.new)
    mode = "120000" if stat.S_ISLNK(seen.st_mode) else "100755" if seen.st_mode & 0o100 else "100644"
    if path.old == path.new:
        return ("untouched" if mode == path.old_mode else "ours") if oid == path.old else "?"
    return "ours" if oid == path.new else "untouched" if oid == path.old else "?"


def _blocked(place: Path, name: str, known: frozenset[str]) -> bool:
    """Whether a file of the person's stands where a directory on the way to this path would be."""
    parts = Path(name).parts[:-1]
    for n in range(1, len(parts) + 1):
        parent = "/".join(parts[:n])
        if os.path.lexists(place / parent) and not ((place / parent).is_dir() and not (place / parent).is_symlink()):
            return parent not in known
    return False


def _blob(data: bytes, like: str) -> str:
    kind = hashlib.sha256 if len(like) == 64 else hashlib.sha1
    return kind(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()


async def _filtered(journal: Journal, path: _Path) -> str:
    """The same as git sees it, with line endings and filters; and whether it is a beginning of what was to be written."""
    place = Path(journal.place)
    cleaned = await git("hash-object", "--", path.name, cwd=place, trusted=True, check=False)
    if cleaned.code == 0 and cleaned.text in (path.old, path.new):
        return "ours" if cleaned.text == path.new else "untouched"
    if path.new_mode not in ("100644", "100755"):
        return ""
    data = await asyncio.to_thread((place / path.name).read_bytes)
    plain = await git("cat-file", "blob", path.new, cwd=place, trusted=True)
    if plain.out.startswith(data):
        return "writing"
    smudged = await git("cat-file", "--filters", f"--path={path.name}", path.new, cwd=place, trusted=True, check=False)
    return "writing" if smudged.code == 0 and smudged.out.startswith(data) else ""


async def _index(journal: Journal) -> dict[str, str]:
    """Mode and blob of each path that the checkout's index holds."""
    listed = (await git("ls-files", "-s", "-z", cwd=journal.place, trusted=True)).out.decode(errors="surrogateescape")
    return {name: " ".join(entry.split()[:2]) for entry, _, name in (item.partition("\t") for item in listed.split("\0")) if name}


def _entry(index: dict[str, str], path: _Path) -> str:
    return index.get(path.name, "")


def _want(path: _Path, *, new: bool) -> str:
    """What the index says of a path that is as in one of the two commits; empty: nothing."""
    mode, oid = (path.new_mode, path.new) if new else (path.old_mode, path.old)
    return "" if mode == "000000" else f"{mode} {oid}"


async def _tell(journal: Journal, index: dict[str, str], told: Sequence[tuple[_Path, str]], hold: int) -> None:
    """Have the index say this of these paths: removals first, and only what it does not say yet."""
    lines = [(want or f"0 {'0' * len(path.new)}", path) for path, want in told if _entry(index, path) != want]
    lines.sort(key=lambda line: not line[0].startswith("0 "))
    if lines:
        data = b"".join(f"{want}\t{path.name}\0".encode(errors="surrogateescape") for want, path in lines)
        await git("update-index", "--replace", "-z", "--index-info", cwd=journal.place, trusted=True, hold=hold, finish=True,
                  stdin=data)
    await git("update-index", "-q", "--refresh", cwd=journal.place, trusted=True, check=False, hold=hold, finish=True)


def _drop(place: Path, paths: Sequence[_Path]) -> None:
    """Remove what git wrote at these paths, and folders that are empty then."""
    for path in paths:
        file = place / path.name
        if file.is_symlink() or file.is_file():
            file.unlink()
            with contextlib.suppress(OSError):  # not empty
                for parent in file.relative_to(place).parents[:-1]:
                    (place / parent).rmdir()
