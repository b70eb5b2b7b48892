"""Job directories from the daemon's side: write one, start it, see how it went, end it; it must never know why it runs.

Everything here works from files alone, so a daemon that was killed asks `probe` or `wait` and knows as much as the one that
started the job. What an agent wrote (outbox) is bounded, never followed through a link, and cannot make anything raise.
"""

import asyncio
import contextlib
import itertools
import os
import re
import signal
import sys
import time
from pathlib import Path
from typing import TypeVar

import msgspec

from andon.edges import beneath, process, shim, shim_files, withheld
from andon.edges.notify import BUS, apart, umask
from andon.edges.spawn import spawn
from andon.schema.clean import clean
from andon.schema.errors import Mistake
from andon.schema.faults import point
from andon.schema.jobs import EXIT, INBOX, JOB, OUTBOX, START, TOKEN_EXIT, WALLS, Answer, Exit, Job, Said, Started, Walls
from andon.schema.sandbox import Known, Sandbox, weakest

MESSAGES, MESSAGE_BYTES, ENTRIES = 100, 64 * 1024, 10_000
"""At most: messages a read, bytes of one, directory entries looked at."""
RECORD_BYTES, JOB_BYTES = 64 * 1024, 16 * 1024 * 1024
"""At most: bytes of `start` and `exit.json`; of `job.json`."""
SITTING = "sitting"
"""The file that says which sitting a job directory belongs to; absent in the first."""
KILL_S = shim.GIVE_UP_S + 2.0
"""So long has a shim that was told to kill before it is killed itself."""


class NotStarted(msgspec.Struct, frozen=True, kw_only=True, tag="not-started"):
    """Nobody ever took the token."""


class Running(msgspec.Struct, frozen=True, kw_only=True, tag="running"):
    """The shim holds the token and is alive."""

    started: Started


class Ended(msgspec.Struct, frozen=True, kw_only=True, tag="ended"):
    """The exit file is there."""

    exit: Exit
    started: Started | None = None


class Lost(msgspec.Struct, frozen=True, kw_only=True, tag="lost"):
    """Token without process and without exit file: the machine was reset, or somebody killed the shim."""

    started: Started | None = None
    """None: even the token is unreadable, or the directory is gone."""


T = TypeVar("T", Exit, Started, Walls)
Seen = NotStarted | Running | Ended | Lost
"""What a job directory and the process table say."""


class Heard(msgspec.Struct, frozen=True, kw_only=True):
    """What lay in an outbox."""

    said: tuple[Said, ...] = ()
    """By number, cleaned of everything that a terminal would obey."""
    malformed: int = 0
    """Files that were no message: too big, no JSON, a link, the wrong number."""


def write_job(folder: Path, job: Job) -> None:
    """Make the job directory (0700, with outbox and inbox) and put `job.json` there, whole or not at all.

    A job that was once started stays as it is.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    folder.chmod(0o700)
    for name in (OUTBOX, INBOX):
        (folder / name).mkdir(exist_ok=True, mode=0o700)
    if not os.path.lexists(folder / START):
        shim_files.write_whole(str(folder / JOB), msgspec.json.encode(job))
    point("jobs.written")


def begin_sitting(folder: Path, sitting: int) -> None:
    """Set the directory of the sitting before aside as `NAME~K`, so that the same name begins anew. Harmless when repeated.

    Only one whose job is over is moved: a directory of this sitting, or one that still runs, stays.
    """
    mark = folder / SITTING
    known = _sitting(folder)
    if sitting == 1 or (folder.is_dir() and (known >= sitting or isinstance(probe(folder), Running))):
        return
    if folder.is_dir():
        folder.rename(folder.with_name(f"{folder.name}~{known}"))
        point("jobs.set-aside")
    folder.mkdir(parents=True, mode=0o700)
    shim_files.write_whole(str(mark), str(sitting).encode())


def _sitting(folder: Path) -> int:
    """Which sitting a job directory belongs to, as its mark says."""
    with contextlib.suppress(OSError, ValueError):
        return int(beneath.read(folder, SITTING, 20))
    return 1


def read_job(folder: Path) -> Job | None:
    """The job as written, or None."""
    with contextlib.suppress(OSError, msgspec.MsgspecError):
        return msgspec.json.decode(beneath.read(folder, JOB, JOB_BYTES), type=Job)
    return None


def shim_argv(folder: Path) -> tuple[str, ...]:
    """The command that runs this job, for a pane or a process."""
    return (sys.executable, "-I", "-S", str(Path(shim.__file__).absolute()), str(folder.absolute()))


def probe(folder: Path) -> Seen:
    """How the job stands, from files and the process table alone."""
    ended = _read(folder / EXIT, Exit)
    started = _read(folder / START, Started)
    if ended:
        return Ended(exit=ended, started=started)
    if started is None:
        return Lost() if os.path.lexists(folder / START) else NotStarted()
    if process.alive(started.pid, started.ticks, started.boot):
        return Running(started=started)
    ended = _read(folder / EXIT, Exit)  # it may have ended between the two looks
    return Ended(exit=ended, started=started) if ended else Lost(started=started)


async def wait(folder: Path) -> Ended | Lost:
    """See a started job to its end, by whichever daemon it was started. Costs nothing meanwhile. Lost when it never started."""
    while isinstance(seen := probe(folder), Running):
        await process.wait_gone(seen.started.pid, seen.started.ticks)
    return Lost() if isinstance(seen, NotStarted) else seen


async def await_start(folder: Path, seconds: float = 10.0) -> Seen:
    """See a job that was just put into a pane take its token: Running, Ended or Lost; NotStarted when time is over."""
    end, pause = time.monotonic() + seconds, 0.005
    while isinstance(seen := probe(folder), NotStarted) and time.monotonic() < end:
        await asyncio.sleep(pause)
        pause = min(pause * 1.5, 0.1)
    return seen


def walls_of(folder: Path, asked: Sandbox | None) -> Known:
    """The level of the walls around a job that was started: what its shim says it built, and never more than what was `asked`.
    Empty: the shim has not said it (yet)."""
    if asked is None:
        return "none"
    built = _read(folder / WALLS, Walls)
    return weakest((asked.level, built.level)) if built else ""


async def await_walls(folder: Path, seconds: float = 30.0) -> Known:
    """The same for a job that was just started, once its walls stand; empty when it ended before they did."""
    job = read_job(folder)
    if job is None:
        return ""
    end, pause = time.monotonic() + seconds, 0.005
    while not (level := walls_of(folder, job.sandbox)) and isinstance(probe(folder), Running) and time.monotonic() < end:
        await asyncio.sleep(pause)
        pause = min(pause * 1.5, 0.1)
    return level or walls_of(folder, job.sandbox)


async def start_detached(folder: Path) -> Seen:
    """Start a job without a terminal, in a session of its own, not as our child. Returns when the token is taken.

    A job that was started before is left as it is. Raises Mistake when the shim itself cannot run.
    """
    if not isinstance(seen := probe(folder), NotStarted):
        return seen
    code, said = await _detach((*apart(), *shim_argv(folder)), folder)
    if apart() and isinstance(probe(folder), NotStarted):  # no scope to be had: better among our own processes than not at all
        code, said = await _detach(shim_argv(folder), folder)
    if code not in (0, TOKEN_EXIT):
        raise Mistake(f"The command could not be started: {said or f'exit code {code}'}", where=str(folder))
    return probe(folder)


async def _detach(argv: tuple[str, ...], folder: Path) -> tuple[int | None, str]:
    """Start a shim that leaves us; its starter's exit code and last words."""
    env = {"PATH": os.environ.get("PATH", os.defpath)}
    if apart():
        env |= {key: os.environ[key] for key in BUS if key in os.environ}
    try:
        starter = await spawn(
            *argv, "--detach", stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE, env=env, start_new_session=True, umask=umask())
    except OSError as error:
        raise Mistake(f"The command could not be started: {error.strerror}", where=str(folder)) from error
    point("jobs.spawned")
    _, told = await starter.communicate()
    return starter.returncode, clean(told.decode(errors="replace")).strip()[-500:]


async def stop(folder: Path, grace: float | None = None) -> Ended | Lost | NotStarted:
    """End the job's whole tree: TERM, after the job's own grace (or `grace` seconds, if that is less) KILL; gone on return.

    Harmless when repeated. A job that was not started yet never will be: its token is taken and it has ended. A shim that
    does not answer is ended with its tree; leftovers of one that was killed are found by their marker.
    """
    job = read_job(folder)
    if job and isinstance(probe(folder), NotStarted):
        forbid(folder)
    patience = (job.grace_s if job else 3.0) + 0.5 if grace is None else grace
    seen = probe(folder)
    if isinstance(seen, Running):
        started = seen.started
        for seconds in (patience, KILL_S):
            process.tell(started.pid, started.ticks, signal.SIGTERM)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(process.wait_gone(started.pid, started.ticks), seconds)
                break
        else:
            await process.end_tree(started.pid, started.ticks, 0.0)
        seen = probe(folder)
    if isinstance(seen, Lost) and job and (marker := job.env.get(process.MARKER)):
        await process.end_marked(marker, patience)
    assert not isinstance(seen, Running), f"{folder}: the shim outlived KILL"
    return seen


def forbid(folder: Path) -> bool:
    """Take the token of a job that nobody started, so that nobody ever will. False when it was started before."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    if not shim_files.take_token(str(folder), nobody=True):
        return False
    point("jobs.forbidden")
    shim_files.write_whole(str(folder / EXIT), msgspec.json.encode(Exit(because="not-started", error="stopped before it started")))
    return True


async def suspend(folder: Path, on: bool, seconds: float = 5.0) -> bool:
    """Suspend the job's tree, or let it go on; whether that was then seen of every process in it."""
    seen = probe(folder)
    if not isinstance(seen, Running):
        return False
    started = seen.started
    process.tell(started.pid, started.ticks, signal.SIGUSR1 if on else signal.SIGUSR2)
    end, pause, calm = time.monotonic() + seconds, 0.002, 0
    while time.monotonic() < end:
        tree = process.descendants(started.pid)
        calm = calm + 1 if tree and _all_follow(tree, on) else 0
        if calm == 2:  # one look may miss what was just forked
            return True
        await asyncio.sleep(pause)
        pause = min(pause * 1.5, 0.05)
    return False


def _all_follow(tree: list[process.Process], on: bool) -> bool:
    """Whether every process is suspended (or none is). One that waits in vfork for its child counts as the child."""
    held = {one.parent for one in tree if one.state in "Tt"}
    return all((one.state in "Tt" or (one.state == "D" and one.pid in held)) == on for one in tree)


def read_outbox(folder: Path, after: int) -> list[Said]:
    """The agent's messages past number `after`, in order, at most 100. Never raises."""
    return list(hear(folder, after).said)


def hear(folder: Path, after: int) -> Heard:
    """The same with the count of files that were no message."""
    try:
        with beneath.folder(folder, OUTBOX) as box, os.scandir(box) as entries:
            names = [entry.name for entry in itertools.islice(entries, ENTRIES)]
            numbers = sorted(int(name[:-5]) for name in names if re.fullmatch(r"[1-9][0-9]{0,8}\.json", name))
            return _messages(box, [n for n in numbers if n > after])
    except OSError:
        return Heard()


def _messages(box: int, wanted: list[int]) -> Heard:
    said: list[Said] = []
    malformed = 0
    for n in wanted:
        if len(said) == MESSAGES:
            break
        message = _read_message(box, n)
        malformed += message is None
        said += [message] if message else []
    return Heard(said=tuple(said), malformed=malformed)


def _read_message(box: int, n: int) -> Said | None:
    with contextlib.suppress(OSError, msgspec.MsgspecError, UnicodeError):
        said = msgspec.json.decode(beneath.read(box, f"{n}.json", MESSAGE_BYTES), type=Said)
        if said.n == n:
            options = tuple(withheld.text(one) for one in said.options[:20])
            text, commit = withheld.text(said.text), withheld.text(said.commit)[:200]
            told = msgspec.structs.replace(said, text=text, commit=commit, options=options)
            if withheld.struct(said) is not said:  # what lies there goes on lying there: without the secret, if we may
                with contextlib.suppress(OSError):
                    beneath.write_whole(box, f"{n}.json", msgspec.json.encode(told))
            return told
    return None


def write_answer(folder: Path, answer: Answer) -> None:
    """Put the answer into the inbox, whole; the same answer again changes nothing."""
    with beneath.folder(folder, INBOX) as box:
        beneath.write_whole(box, f"{answer.n}.json", msgspec.json.encode(answer))
        point("deliver-answer.written")


def _read(path: Path, kind: type[T]) -> T | None:
    """A record of ours, or None when it is absent or not one."""
    with contextlib.suppress(OSError, msgspec.MsgspecError):
        return msgspec.json.decode(beneath.read(path.parent, path.name, RECORD_BYTES), type=kind)
    return None
