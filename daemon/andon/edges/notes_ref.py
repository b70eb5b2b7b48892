"""Reads and writes refs of git notes: all notes of one go in as one commit, by compare-and-swap. It must never know their meaning.

Theory of operation. `git notes` moves its ref without looking where it was, so two writers lose notes. Here it runs in a git
directory of its own that borrows the repository's objects and holds a copy of the ref and what is new. The new objects go over as
one pack that garbage collection must keep until the ref holds them: loose ones could be pruned before it does, and a ref to what is
gone would be worse than no note. The ref is moved only if it still is where it was read, else all is made again on the newer one.
"""

import asyncio
import contextlib
import re
import shutil
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path

from andon.edges.git import NONE, git, look, make_git_dir, read_ref, set_ref
from andon.schema.errors import Mistake
from andon.schema.faults import point
from andon.schema.ids import Oid

TRIES = 10
KEEP = "andon: until its ref is set"
MOST_NOTES = 50_000
"""Notes of one ref that are read, at most."""
NOTE_BYTES = 256 * 1024
"""A larger note is taken for none of ours."""
READ_BYTES = 64 * 2**20
_ENTRY = re.compile(r"[0-7]{6} blob ([0-9a-f]{40,64})\t([0-9a-f/]{40,90})")
Wanted = Callable[[bytes | None], bytes | None]
"""The note that stands there (None: none) -> the one to put in its place; None: leave it."""


async def read_notes(git_dir: str | Path, ref: str) -> dict[Oid, bytes]:
    """All notes of a ref, by the object that each is about. Too large ones are left out; past the bound it is a Mistake."""
    tip = await read_ref(git_dir, ref)
    if tip is None:
        return {}
    listed = await look(git_dir, "ls-tree", "-r", "-z", tip)
    named = [(found[1], found[2].replace("/", "")) for item in listed.items if (found := _ENTRY.fullmatch(item))]
    if len(named) > MOST_NOTES:
        raise Mistake(f"{ref} holds {len(named)} notes, more than {MOST_NOTES}.", where=str(git_dir),
                      mend="Name the commits that you want to have looked at.")
    blobs = await _blobs(git_dir, list(dict.fromkeys(blob for blob, _ in named)))
    return {Oid(about): blobs[blob] for blob, about in named if blob in blobs}


async def _blobs(git_dir: str | Path, oids: list[str]) -> dict[str, bytes]:
    """The contents of small blobs, within the bound of bytes."""
    if not oids:
        return {}
    asked = "".join(f"{oid}\n" for oid in oids).encode()
    sizes = (await look(git_dir, "cat-file", "--batch-check=%(objectname) %(objectsize)", stdin=asked)).text.splitlines()
    known = [(oid, int(size)) for oid, _, size in (line.partition(" ") for line in sizes) if size.isdigit()]
    small, total = [], 0
    for oid, size in known:
        if size <= NOTE_BYTES and total + size <= READ_BYTES:
            small.append(oid)
            total += size
    told = (await look(git_dir, "cat-file", "--batch", stdin="".join(f"{oid}\n" for oid in small).encode())).out
    found, at = dict[str, bytes](), 0
    for oid in small:
        head = told.index(b"\n", at)
        size = int(told[at:head].split()[2])
        found[oid] = told[head + 1 : head + 1 + size]
        at = head + size + 2
    return found


async def put_notes(git_dir: str | Path, ref: str, wanted: Mapping[Oid, Wanted], hold: int, why: str) -> list[Oid]:
    """Put notes on commits; those that were changed. `hold` is the repository's lock. Another writer's notes are never lost."""
    for _ in range(TRIES):
        old = await read_ref(git_dir, ref)
        async with _aside(Path(git_dir)) as place:
            new, changed = await _made(place, ref, old, wanted)
            if not changed or new is None:
                return []
            kept = await _brought(git_dir, place, new, old)
        point("notes.made")
        moved = await set_ref(git_dir, ref, new, old or NONE, why=why, hold=hold)
        kept.unlink(missing_ok=True)
        if moved:
            point("notes.swapped")
            return changed
    raise Mistake(f"{ref} moved {TRIES} times while a note was written.", where=str(git_dir),
                  mend="See what writes notes there; it is tried again.")


async def _brought(git_dir: str | Path, place: Path, new: Oid, old: Oid | None) -> Path:
    """Bring what is new into the repository, as a pack; the file by which garbage collection keeps it. One that a killed daemon
    leaves there costs some kilobytes."""
    listed = await git("rev-list", "--objects", new, *([f"^{old}"] if old else []), git_dir=place)
    pack = await git("pack-objects", "-q", "--stdout", git_dir=place, stdin=listed.out)
    kept = Path(git_dir) / "objects" / "pack" / f"pack-{pack.out[-len(new) // 2 :].hex()}.keep"
    try:
        await git("index-pack", "--stdin", f"--keep={KEEP}", git_dir=git_dir, stdin=pack.out, finish=True)
    except asyncio.CancelledError:
        kept.unlink(missing_ok=True)
        raise
    return kept


async def _made(place: Path, ref: str, old: Oid | None, wanted: Mapping[Oid, Wanted]) -> tuple[Oid | None, list[Oid]]:
    """The commit of the ref with these notes on top of where it is, and the objects whose note changed."""
    if old:
        await git("update-ref", ref, old, git_dir=place)
    changed = []
    for commit, ask in wanted.items():
        shown = await git("notes", f"--ref={ref}", "show", commit, git_dir=place, check=False, limit=NOTE_BYTES)
        note = ask(shown.out if shown.code == 0 and not shown.truncated else None) if not shown.truncated else None
        if note is None:
            continue
        blob = (await git("hash-object", "-w", "--stdin", git_dir=place, stdin=note)).oid
        await git("notes", f"--ref={ref}", "add", "-f", "-C", blob, commit, git_dir=place)
        changed.append(commit)
    return (await read_ref(place, ref) if changed else None), changed


async def join_notes(git_dir: str | Path, ref: str, theirs: Oid, hold: int) -> bool:
    """Bring another copy of a ref in, note by note, lines of both; whether that changed ours."""
    for _ in range(TRIES):
        old, kept = await read_ref(git_dir, ref), None
        async with _aside(Path(git_dir)) as place:
            for name, oid in ((ref, old), ("refs/notes/theirs", theirs)):
                if oid:
                    await git("update-ref", name, oid, git_dir=place)
            if old:
                await git("notes", f"--ref={ref}", "merge", "-q", "-s", "cat_sort_uniq", "refs/notes/theirs", git_dir=place)
            new = await read_ref(place, ref) if old else theirs
            if new is None or new == old:
                return False
            kept = await _brought(git_dir, place, new, old)
        point("notes.joined")
        moved = await set_ref(git_dir, ref, new, old or NONE, why="andon: notes of a remote", hold=hold)
        kept.unlink(missing_ok=True)
        if moved:
            return True
    raise Mistake(f"{ref} moved {TRIES} times while it was joined.", where=str(git_dir), mend="See what writes notes there.")


@contextlib.asynccontextmanager
async def _aside(common: Path) -> AsyncIterator[Path]:
    """A git directory of our own that knows no ref, for the holder of the lock; what a killed daemon left is cleared."""
    place = common / "andon" / ".notes"
    try:
        await asyncio.to_thread(shutil.rmtree, place, True)
        make_git_dir(place, objects=(common / "objects",), like=common)
        yield place
    finally:
        await asyncio.to_thread(shutil.rmtree, place, True)
