"""Room kept back on the ledger's disk, given away when it is full so that the fault itself can be written. Knows no event."""

import os

from andon.edges.durable import write_file
from andon.schema.layout import Layout

LEAST, MOST = 256 * 1024, 4 * 1024 * 1024
"""Bytes kept back: the most on any disk of a usual size, never below what one event and its log pages take."""
SHARE = 512
"""And at most this part of the whole disk."""


def size(layout: Layout) -> int:
    """How much is to be kept back on this disk. Raises OSError."""
    disk = os.statvfs(layout.home)
    return min(MOST, max(LEAST, disk.f_frsize * disk.f_blocks // SHARE // LEAST * LEAST))


def keep(layout: Layout) -> None:
    """Have the ballast, durable; made again when it is not what it should be. Raises OSError (ENOSPC while there is no room)."""
    wanted = size(layout)
    if held(layout) != wanted:
        write_file(layout.ballast, os.urandom(wanted), alone=True)


def held(layout: Layout) -> int:
    """Bytes of disk that the ballast really takes; 0 when it is gone. A file with holes takes what it takes."""
    try:
        facts = layout.ballast.stat()
    except FileNotFoundError:
        return 0
    return min(facts.st_size, facts.st_blocks * 512)


def drop(layout: Layout) -> int:
    """Give the room back to the file system; how much. Harmless when it is gone. Raises OSError."""
    given = held(layout)
    layout.ballast.unlink(missing_ok=True)
    return given
