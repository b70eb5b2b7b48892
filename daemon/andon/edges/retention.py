"""What of the factory's own files may go by age and size: job directories, blobs, restored copies. Must never guess who needs one.

Theory of operation. Only what belongs to *landed* tasks is ever taken, and the caller says which these are; a task that is open,
failed or cancelled keeps everything, and so does what no task can be found for. Who needs a blob is read from the whole ledger:
every digest that an event names, with the task that the event is about. A restored copy goes only when nobody wrote into it since
it was laid out and its snapshot is still there to lay it out again. Trees go through the trash; nothing outside our home is read.
"""

import asyncio
import os
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing, suppress
from pathlib import Path

import msgspec

from andon.edges import baits, salvage
from andon.edges.blobs import Blobs
from andon.ledger_reader import connect
from andon.schema.ids import AttemptId, Digest, RunId, TaskId
from andon.schema.layout import Layout

DAY_S = 86_400
LEAST_DAYS = 7
"""Nothing younger goes, however full it is."""
JOB_DAYS, JOBS_BYTES = 30, 2 * 2**30
"""Job directories (messages, hooks, transcripts' copies, logs) of landed tasks: oldest age, and bytes of all together."""
BLOB_DAYS, BLOBS_BYTES = 180, 8 * 2**30
"""Evidence of landed tasks."""
RESTORED_DAYS = 30
LAID_OUT_S = 3600.0
"""Laying a restored copy out takes less; a change time beyond that is somebody's work."""
MOST = 20_000
"""Things taken in one sweep; the next one goes on."""
SLICE = 5_000
_DIGEST = re.compile(r'"([0-9a-f]{64})"')
_ATTEMPT = re.compile(r"(T[1-9]\d*)\.[1-9]\d*(?:~\d+)?")
_OWNER = re.compile(r"(T[1-9]\d*)(?:\.\d+)?")


class Known(msgspec.Struct, frozen=True, kw_only=True):
    """What the caller knows of who needs what."""

    landed: frozenset[TaskId] = frozenset()
    """Tasks that are over and on their target, and that no open task refers to: only their things may go."""
    runs: frozenset[RunId] = frozenset()
    """Check runs that something still rests on: a proof that may be used again, a claim of an open task."""
    git_dirs: Mapping[AttemptId, str] = {}
    """Whose repository keeps the snapshots of an attempt."""


class Held(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that takes room."""

    path: Path
    size: int
    at: float
    """Unix seconds of its last change."""


class Room(msgspec.Struct, frozen=True, kw_only=True):
    """What one kind takes, for `andon doctor`."""

    kind: str
    count: int
    size: int
    oldest_days: int
    limit: str


class Swept(msgspec.Struct, frozen=True, kw_only=True):
    """What one sweep took away."""

    jobs: int = 0
    blobs: int = 0
    restored: int = 0
    size: int = 0


def rooms(layout: Layout, now: float | None = None) -> list[Room]:
    """How much each kind takes now. Blocking; reads names and sizes only."""
    moment = time.time() if now is None else now
    kinds: tuple[tuple[str, Callable[[Layout], Iterable[Held]], str], ...] = (
        ("jobs", _jobs, f"{JOB_DAYS} days, {JOBS_BYTES >> 20} MiB, of landed tasks"),
        ("blobs", _blobs, f"{BLOB_DAYS} days, {BLOBS_BYTES >> 20} MiB, of landed tasks"),
        ("restored", _restored, f"{RESTORED_DAYS} days, untouched ones"))
    told = []
    for kind, find, limit in kinds:
        found = list(find(layout))
        oldest = int((moment - min((one.at for one in found), default=moment)) / DAY_S)
        told.append(Room(kind=kind, count=len(found), size=sum(one.size for one in found), oldest_days=oldest, limit=limit))
    return told


async def sweep(layout: Layout, blobs: Blobs, known: Known, now: float | None = None) -> Swept:
    """Take away what is past its age, and the oldest of what is past its size; see the theory for what is never touched."""
    moment = time.time() if now is None else now
    size = count = 0
    for one in await asyncio.to_thread(old_jobs, layout, known, moment):
        aside = layout.jobs / f".tmp-{one.path.name}"
        one.path.rename(aside)
        await salvage.destroy(aside, layout)
        size, count = size + one.size, count + 1
    dropped, freed = await asyncio.to_thread(_drop_blobs, layout, blobs, known, moment)
    copies = 0
    for one in await asyncio.to_thread(old_copies, layout, moment):
        attempt = AttemptId(one.path.name)
        if attempt in known.git_dirs and await salvage.latest(known.git_dirs[attempt], attempt) is not None:
            aside = one.path.with_name(f".tmp-{one.path.name}")
            one.path.rename(aside)
            await salvage.destroy(aside, layout)
            size, copies = size + one.size, copies + 1
    return Swept(jobs=count, blobs=dropped, restored=copies, size=size + freed)


def old_jobs(layout: Layout, known: Known, now: float) -> list[Held]:
    """Job directories of landed tasks that are past the bounds, oldest first."""
    ours = [one for one in _jobs(layout) if _task_of(one.path.name) in known.landed]
    return _past(ours, sum(one.size for one in _jobs(layout)), JOB_DAYS, JOBS_BYTES, now)


def old_blobs(layout: Layout, known: Known, now: float) -> list[Held]:
    """Blobs that only events of landed tasks name, or none at all, and that are past the bounds; oldest first."""
    found = list(_blobs(layout))
    needed = set(named(layout, known))
    free = [one for one in found if one.path.parent.name + one.path.name not in needed]
    return _past(free, sum(one.size for one in found), BLOB_DAYS, BLOBS_BYTES, now)


def old_copies(layout: Layout, now: float) -> list[Held]:
    """Restored copies past their age that nobody wrote into."""
    return [one for one in _restored(layout) if now - one.at > RESTORED_DAYS * DAY_S and _untouched(one.path)][:MOST]


def named(layout: Layout, known: Known) -> Iterator[Digest]:
    """Every digest that the ledger names for something else than a landed task. What no task is found for is somebody's."""
    owner: dict[str, str] = {}
    if not layout.ledger.exists():
        return
    with closing(connect(layout.ledger)) as db:
        seq = 0
        wanted = "SELECT seq, subject, data FROM event WHERE seq > ? ORDER BY seq LIMIT ?"
        while rows := db.execute(wanted, (seq, SLICE)).fetchall():
            for seq, subject, data in rows:  # noqa: B007 (the last one is where the next slice begins)
                if subject in known.runs or _owner(subject, data, owner) not in known.landed:
                    yield from (Digest(digest) for digest in _DIGEST.findall(data))


def _owner(subject: str, data: str, known: dict[str, str]) -> TaskId | None:
    """The task that an event is about; runs and gates are remembered by their first event."""
    if (direct := _OWNER.fullmatch(subject)) is not None:
        return TaskId(direct[1])
    if subject not in known:
        found = re.search(r'"task":"(T[1-9]\d*)"', data)
        if found is None or '"landing":"L' in data:  # a landing's proof speaks for all of its members
            return None
        known[subject] = found[1]
    return TaskId(known[subject])


def _drop_blobs(layout: Layout, blobs: Blobs, known: Known, now: float) -> tuple[int, int]:
    count = size = 0
    for one in old_blobs(layout, known, now):
        if blobs.drop(Digest(one.path.parent.name + one.path.name), one.at):
            count, size = count + 1, size + one.size
    return count, size


def _past(free: list[Held], total: int, days: int, most: int, now: float) -> list[Held]:
    """Of what may go, oldest first: all past the age, and further ones until the whole kind is within its size."""
    taken = list[Held]()
    for one in sorted(free, key=lambda held: held.at):
        age = now - one.at
        if age <= LEAST_DAYS * DAY_S or len(taken) >= MOST or (age <= days * DAY_S and total <= most):
            break
        taken.append(one)
        total -= one.size
    return taken


def _task_of(name: str) -> TaskId | None:
    found = _ATTEMPT.fullmatch(name)
    return TaskId(found[1]) if found else None


def _jobs(layout: Layout) -> Iterator[Held]:
    return (_weighed(path) for path in _entries(layout.jobs) if _ATTEMPT.fullmatch(path.name) and not path.is_symlink())


def _restored(layout: Layout) -> Iterator[Held]:
    return (_weighed(path) for path in _entries(layout.home / "restored")
            if _ATTEMPT.fullmatch(path.name) and path.is_dir() and not path.is_symlink())


def _blobs(layout: Layout) -> Iterator[Held]:
    for folder in _entries(layout.home / "blobs"):
        for path in _entries(folder):
            if re.fullmatch("[0-9a-f]{64}", folder.name + path.name):
                with suppress(FileNotFoundError):
                    facts = path.lstat()
                    yield Held(path=path, size=facts.st_blocks * 512, at=facts.st_mtime)


def _entries(folder: Path) -> list[Path]:
    with suppress(FileNotFoundError, NotADirectoryError):
        return sorted(folder.iterdir())
    return []


def _weighed(path: Path) -> Held:
    """A directory with all in it: what it takes, and the last change of any file. Follows no link."""
    facts = path.lstat()
    size, at = facts.st_blocks * 512, facts.st_mtime
    for folder, folders, files in os.walk(path):
        folders[:] = [name for name in folders if name != baits.FOLDER]  # empty, and who looks into one is taken for the job
        for name in files:
            with suppress(OSError):
                one = os.lstat(os.path.join(folder, name))  # noqa: PTH118 (a path object for each file of large trees costs more)
                size, at = size + one.st_blocks * 512, max(at, one.st_mtime)
    return Held(path=path, size=size, at=at)


def _untouched(path: Path) -> bool:
    """Whether everything inside changed last within the hour in which it was laid out. Change times cannot be set by a tool."""
    first, last = float("inf"), 0.0
    for folder, folders, files in os.walk(path):
        for name in (*folders, *files):
            try:
                changed = os.lstat(os.path.join(folder, name)).st_ctime  # noqa: PTH118 (as above)
            except OSError:
                return False
            first, last = min(first, changed), max(last, changed)
    return last - first < LAID_OUT_S
