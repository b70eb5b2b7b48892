"""Processes of this machine: who is alive, who descends from whom, and how a tree ends; it must never know what they are for."""

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from andon.edges import proctable
from andon.edges.proctable import Process, boot_id

__all__ = [
    "Process", "alive", "boot_id", "by_marker", "descendants", "end_marked", "end_tree", "on_gone", "start_ticks", "tell",
    "wait_gone",
]

MARKER = "ANDON_TREE"
"""The environment variable that names the job in each of its processes: the path of its directory, so that two factories of one
person never take each other's processes for their own."""
POLL_S = 1.0
"""How often a process is looked at where the kernel cannot tell us of its end (no pidfd)."""
GIVE_UP_S = 10.0
"""Past this a process that survives KILL is left."""


def start_ticks(pid: int) -> int | None:
    """When a process started, in ticks since boot; None when there is none. With pid and boot id it names it for ever."""
    row = proctable.read_process(pid)
    return row.ticks if row else None


def alive(pid: int, ticks: int, boot: str) -> bool:
    """Whether this very process (not a later one with its pid) still runs."""
    row = proctable.read_process(pid)
    return row is not None and row.ticks == ticks and row.state not in "ZX" and boot == boot_id()


def descendants(pid: int) -> list[Process]:
    """The live descendants of a process, nearest first, by one pass over the process table."""
    return proctable.descendants(pid)


async def wait_gone(pid: int, ticks: int) -> None:
    """Return when this very process has ended. Costs nothing meanwhile; anybody's process, not only our child's."""
    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    except (AttributeError, OSError):
        return await _poll_gone(pid, ticks)
    loop, gone = asyncio.get_running_loop(), asyncio.Event()
    try:
        if start_ticks(pid) != ticks:
            return
        loop.add_reader(fd, gone.set)
        await gone.wait()
    finally:
        loop.remove_reader(fd)
        os.close(fd)


def on_gone(pid: int, ticks: int, gone: Callable[[], None]) -> Callable[[], None] | None:
    """Call `gone` once, soon after this very process has ended; what comes back takes the request away. It costs nothing
    meanwhile. None where the kernel does not tell (no pidfd); a process that is gone already is told as well."""
    loop = asyncio.get_running_loop()
    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        return loop.call_soon(gone).cancel
    except (AttributeError, OSError):
        return None
    if start_ticks(pid) != ticks:
        os.close(fd)
        return loop.call_soon(gone).cancel
    open_ = True

    def leave() -> None:
        nonlocal open_
        if open_:
            open_ = False
            loop.remove_reader(fd)
            os.close(fd)

    def ended() -> None:
        leave()
        gone()

    loop.add_reader(fd, ended)
    return leave


async def _poll_gone(pid: int, ticks: int) -> None:
    while (row := proctable.read_process(pid)) is not None and row.ticks == ticks and row.state not in "ZX":  # noqa: ASYNC110 (no event tells)
        await asyncio.sleep(POLL_S)


def tell(pid: int, ticks: int, signum: int) -> bool:
    """Signal exactly this process, never a stranger that got its pid. False when it is gone or not ours."""
    return proctable.send(Process(pid, 0, "", ticks), signum)


def by_marker(value: str) -> list[int]:
    """Our own processes whose environment names this attempt or run: the last resort when a shim was itself killed."""
    return [process.pid for process in _marked(value)]


def _marked(value: str) -> list[Process]:
    wanted, me = f"{MARKER}={value}".encode(), os.getpid()
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if entry.stat().st_uid == os.getuid() and wanted in (entry / "environ").read_bytes().split(b"\0"):
                row = proctable.read_process(int(entry.name))
                if row and row.pid != me and row.state not in "ZX":
                    found.append(row)
    return found


async def end_tree(pid: int, ticks: int, grace: float = 3.0) -> int:
    """TERM this process and its descendants, wait up to `grace` seconds, KILL who is left. How many had to be killed."""
    known: dict[tuple[int, int], Process] = {}

    def left() -> list[Process]:
        rows = proctable.table()
        root = rows.get(pid)
        if root and root.ticks == ticks:
            known[pid, ticks] = root
        for one in list(known.values()):
            if one.pid in rows and rows[one.pid].ticks == one.ticks:
                known.update({(child.pid, child.ticks): child for child in proctable.descendants(one.pid, rows)})
        return [rows[p] for p, t in known if p in rows and rows[p].ticks == t and rows[p].state not in "ZX"]

    return await _end(left, grace)


async def end_marked(value: str, grace: float = 3.0) -> int:
    """The same for every process that carries the marker of this attempt or run."""
    return await _end(lambda: _marked(value), grace)


async def _end(left: Callable[[], list[Process]], grace: float) -> int:
    _signal(left(), signal.SIGTERM, signal.SIGCONT)
    await _until_none(left, grace)
    killed: set[tuple[int, int]] = set()
    give_up = time.monotonic() + GIVE_UP_S
    calm = 0
    while calm < 2 and time.monotonic() < give_up:  # one look may miss what was just forked
        rest = left()
        calm = 0 if rest else calm + 1
        _signal(rest, signal.SIGSTOP)
        _signal(rest, signal.SIGKILL)
        killed |= {(process.pid, process.ticks) for process in rest}
        await asyncio.sleep(0.005)
    return len(killed)


async def _until_none(left: Callable[[], list[Process]], seconds: float) -> None:
    """Until the first of them all is gone, one after the other, or time is over."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            while rest := left():
                await wait_gone(rest[0].pid, rest[0].ticks)
                await asyncio.sleep(0.002)


def _signal(processes: Iterable[Process], *signals: int) -> None:
    for process in processes:
        for one in signals:
            proctable.send(process, one)
