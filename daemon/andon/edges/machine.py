"""How much room the machine has for another agent: load, memory, disk. Three cheap looks, no process; it never decides who starts.

Theory of operation. Nobody looks while nobody wants to start: `looked` is asked by whoever is about to give a lease, and looks at
most once a second. While the machine is strained, and only then, `relook` looks again by itself, ever more rarely, until it
has room; then it ends.
"""

import asyncio
import os
import time
from collections.abc import Callable
from pathlib import Path

from andon.schema.inputs import MachineSeen
from andon.schema.settings import Admission

PROC = Path("/proc")
FRESH_S = 1.0
"""A look counts for this long."""
FIRST_S, LAST_S = 2.0, 30.0
"""Between two looks at a strained machine: at first, and at most; each wait is half as long again as the one before."""
MB = 1024 * 1024


def strain(admission: Admission, home: Path, *, proc: Path = PROC) -> str:
    """Which limit of admission the machine is past; empty when it has room. What cannot be read holds nobody back."""
    load, memory, disk = load_per_core(proc), free_memory_mb(proc), free_disk_mb(home)
    if admission.load_per_core and load is not None and load > admission.load_per_core:
        return f"load of {load:.1f} for each core, the limit is {admission.load_per_core:g}"
    if admission.free_memory_mb and memory is not None and memory < admission.free_memory_mb:
        return f"memory: {memory} MB are free, at least {admission.free_memory_mb} MB must be"
    if admission.free_disk_mb and disk is not None and disk < admission.free_disk_mb:
        return f"disk: {disk} MB are free at {home}, at least {admission.free_disk_mb} MB must be"
    return ""


def load_per_core(proc: Path = PROC) -> float | None:
    """The load average of the last minute for each core; None where it is not told."""
    try:
        return float((proc / "loadavg").read_text().split()[0]) / cores()
    except (OSError, ValueError, IndexError):
        return None


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def free_memory_mb(proc: Path = PROC) -> int | None:
    """Memory that programs can still have without swapping, as the kernel estimates it; None where it is not told."""
    try:
        for line in (proc / "meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) // 1024
    except (OSError, ValueError, IndexError):
        return None
    return None


def free_disk_mb(home: Path) -> int | None:
    """Space that an ordinary user can still fill on the disk of this directory; None when it is not there."""
    try:
        found = os.statvfs(home)
    except OSError:
        return None
    return found.f_bavail * found.f_frsize // MB


class Machine:
    """What was last seen of this machine. `give` takes what changed; `admission` says the limits in force now."""

    def __init__(
        self, home: Path, admission: Callable[[], Admission], give: Callable[[MachineSeen], None], *, proc: Path = PROC,
        clock: Callable[[], float] = time.monotonic, first_s: float = FIRST_S, last_s: float = LAST_S,
    ) -> None:
        self._home, self._admission, self._give, self._proc = home, admission, give, proc
        self._clock, self._first_s, self._last_s = clock, first_s, last_s
        self._at: float | None = None
        self._strained = asyncio.Event()
        self.because = ""
        """Why nothing should start, as of the last look."""
        self.looks = 0

    def looked(self) -> str:
        """Why nothing should start; empty when there is room. Asked by whoever is about to start something."""
        if self._at is None or self._clock() - self._at >= FRESH_S:
            self._look()
        return self.because

    async def relook(self) -> None:
        """For ever: while the machine is strained look again, with growing waits; do nothing at all while it is not."""
        while True:
            await self._strained.wait()
            wait = self._first_s
            while self.because:
                await asyncio.sleep(wait)
                wait = min(wait * 1.5, self._last_s)
                self._look()

    def _look(self) -> None:
        was, self._at = self.because, self._clock()
        self.because = strain(self._admission(), self._home, proc=self._proc)
        self.looks += 1
        if self.because:
            self._strained.set()
        else:
            self._strained.clear()
        if bool(was) != bool(self.because) or was.partition(" ")[0] != self.because.partition(" ")[0]:
            self._give(MachineSeen(because=self.because))
