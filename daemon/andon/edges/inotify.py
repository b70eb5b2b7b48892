"""Linux's own word of changed files: one descriptor, no thread, no wake-up without a change. Must never know what a file means.

Theory of operation. The kernel queues a record for each change in a watched folder; the event loop tells us that some are
there. When its queue overflows it says so, and the caller looks at everything. Where there is no inotify, `opened` says None.
"""

import ctypes
import errno
import os
import struct
import sys
from pathlib import Path

_CLOSE_WRITE, _MOVED_FROM, _MOVED_TO, _CREATE, _DELETE, _DELETE_SELF, _MOVE_SELF = 0x8, 0x40, 0x80, 0x100, 0x200, 0x400, 0x800
_OVERFLOW, _IGNORED, _ONLYDIR = 0x4000, 0x8000, 0x01000000
_MASK = _CLOSE_WRITE | _MOVED_FROM | _MOVED_TO | _CREATE | _DELETE | _DELETE_SELF | _MOVE_SELF | _ONLYDIR
_MODIFY = 0x2
_RECORD = struct.Struct("iIII")
_BYTES = 64 * 1024


class Inotify:
    """One descriptor and the folders that it watches: their own files, not what is below. Made by `opened`."""

    def __init__(self, fd: int, libc: ctypes.CDLL, mask: int = _MASK) -> None:
        self.fd = fd
        self._libc, self._mask = libc, mask
        self._folders: dict[int, set[Path]] = {}

    def add(self, folder: Path) -> bool:
        """Watch a folder. False when there is no such folder, or the system watches no more for us."""
        number: int = self._libc.inotify_add_watch(self.fd, os.fsencode(folder), ctypes.c_uint32(self._mask))
        if number < 0:
            return False
        self._folders.setdefault(number, set()).add(folder)
        return True

    def drop(self, folder: Path) -> None:
        """Watch it no more; harmless when it was not watched."""
        for number, folders in list(self._folders.items()):
            folders.discard(folder)
            if not folders:
                del self._folders[number]
                self._libc.inotify_rm_watch(self.fd, number)

    def read(self) -> tuple[set[Path], bool]:
        """The files that changed since the last time (a folder that moved or went names itself); whether some may be missing.

        Never waits.
        """
        changed: set[Path] = set()
        lost = False
        try:
            while data := os.read(self.fd, _BYTES):
                lost |= self._understood(data, changed)
        except BlockingIOError:
            pass
        return changed, lost

    def close(self) -> None:
        """Let go of all."""
        os.close(self.fd)

    def _understood(self, data: bytes, changed: set[Path]) -> bool:
        """Add the files that these records name; whether the kernel lost some."""
        place, lost = 0, False
        while place < len(data):
            number, mask, _, size = _RECORD.unpack_from(data, place)
            place += _RECORD.size + size
            name = os.fsdecode(data[place - size : place].rstrip(b"\0"))
            lost |= bool(mask & _OVERFLOW)
            if mask & _IGNORED:
                self._folders.pop(number, None)
            else:
                changed.update(folder / name for folder in self._folders.get(number, ()))
        return lost


def opened(*, writes: bool = False) -> Inotify | None:
    """A new descriptor; None where the system has no inotify, or gives us none. With `writes` each write into a file that stays
    open is told too, not only its closing."""
    if sys.platform != "linux":
        return None
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        fd: int = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, AttributeError):
        return None
    return Inotify(fd, libc, _MASK | (_MODIFY if writes else 0)) if fd >= 0 and ctypes.get_errno() != errno.ENOSYS else None
