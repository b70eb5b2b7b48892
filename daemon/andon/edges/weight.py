"""How heavy a session's checkout is: weighed only when its processes wrote enough for it to matter; it never judges a weight.

Theory of operation. What the kernel counts of a session's writing bounds from above what its checkout can have grown by, and costs
nothing. Only when that is an eighth of the bound more than at the last weighing (or the file system runs full, or the last weight
was over the bound) is the tree walked: no link followed, no other file system entered, at most so many entries and seconds. What
the checkout weighed before anybody looked is the first weight without what had been written until then.
"""

import os
import stat
import time
from pathlib import Path
from typing import NamedTuple

from andon.edges import beneath
from andon.schema.rules import Thresholds
from andon.schema.signals import Disk

GB, MB = 1_000_000_000, 1024 * 1024
ENTRIES, SECONDS = 500_000, 5.0
"""Of one walk, at most."""
PAUSE_S, SHARE = 10.0, 50
"""Between two walks of one checkout: so long, and so many times what the last one took."""
PARTS = 8
"""So many walks while a bound's worth is written."""


class Weighed(NamedTuple):
    """What one walk found: bytes on disk, entries, and whether it came to its end."""

    size: int
    entries: int
    whole: bool


class Scale:
    """The scale of one checkout. `wanted` is asked after every look; `weigh` belongs into a thread."""

    def __init__(self, checkout: Path) -> None:
        self.checkout = checkout
        self.walks = 0
        """For tests that count."""
        self._wrote = 0
        """What had been written at the last weighing."""
        self._before: int | None = None
        """What it weighed before the session began."""
        self._again = 0.0
        self._heavy = False

    def wanted(self, wrote: int, limits: Thresholds, moment: float) -> bool:
        """Whether to weigh now. `wrote`: bytes that its processes wrote so far to anything; `moment`: monotonic seconds."""
        more, bound = wrote - self._wrote, limits.disk_gb * GB
        if more <= 0 or moment < self._again:
            return False
        if self._heavy or more >= bound / PARTS:
            return True
        if wrote < bound / 10:
            return False
        free = free_bytes(self.checkout)
        return 0 <= free < limits.disk_free_mb * MB

    def weigh(self, wrote: int, written: int, limits: Thresholds, at: int) -> Disk:
        """One walk. `written`: bytes sent towards a disk, where that is counted; `at`: unix milliseconds."""
        began = time.monotonic()
        size, _, whole = walk(self.checkout)
        ended = time.monotonic()
        self.walks += 1
        self._wrote, self._again = wrote, ended + max(PAUSE_S, SHARE * (ended - began))
        counted = written if written > 0 else wrote  # a file system in memory: nothing goes towards a disk
        if self._before is None:
            self._before = max(0, size - counted)
        grown, free = max(0, size - self._before), free_bytes(self.checkout)
        self._heavy = grown >= limits.disk_gb * GB or 0 <= free < limits.disk_free_mb * MB
        return Disk(at=at, source="process", weight=size, grown=grown, free=free, written=counted, whole=whole)


def walk(top: Path, *, entries: int = ENTRIES, seconds: float = SECONDS) -> Weighed:
    """Bytes on disk below this directory, files with several names once. Never raises; what cannot be read weighs nothing."""
    size = seen = 0
    linked: set[tuple[int, int]] = set()
    over = time.monotonic() + seconds
    try:
        facts = top.lstat()
    except OSError:
        return Weighed(0, 0, whole=True)
    device, folders = facts.st_dev, ["."] if stat.S_ISDIR(facts.st_mode) else []
    while folders:
        above = folders.pop()
        try:
            with beneath.folder(top, above) as place, os.scandir(place) as found:
                for entry in found:
                    seen += 1
                    if seen > entries or (seen % 512 == 0 and time.monotonic() > over):
                        return Weighed(size, seen, whole=False)
                    size += _weight(entry, f"{above}/{entry.name}", device, folders, linked)
        except OSError:
            continue
    return Weighed(size, seen, whole=True)


def _weight(entry: "os.DirEntry[str]", name: str, device: int, folders: list[str], linked: set[tuple[int, int]]) -> int:
    """One entry's own bytes; a directory is put to those that are still to be walked."""
    try:
        facts = entry.stat(follow_symlinks=False)
    except OSError:
        return 0
    if facts.st_dev != device:
        return 0
    if stat.S_ISDIR(facts.st_mode):
        folders.append(name)
    elif facts.st_nlink > 1:
        if (facts.st_dev, facts.st_ino) in linked:
            return 0
        linked.add((facts.st_dev, facts.st_ino))
    return facts.st_blocks * 512


def free_bytes(place: Path) -> int:
    """Bytes that an ordinary user can still fill on this file system; -1 when nobody can tell."""
    try:
        found = os.statvfs(place)
    except OSError:
        return -1
    return found.f_bavail * found.f_frsize
