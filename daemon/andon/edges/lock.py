"""One daemon a factory: a flock that is held for life. Must never know what the daemon does with it.

The kernel lets go of a flock when its holder dies, however it dies: a lock is never stale, and its file is never removed.
"""

import contextlib
import fcntl
import os
import time
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec

from andon.edges.durable import private_dir
from andon.edges.proctable import exists
from andon.schema.errors import Mistake
from andon.schema.layout import Layout

PATIENCE = 1.0
"""Seconds that a second daemon waits for the owner to have written its pid, or to have left."""


class Owner(msgspec.Struct, frozen=True, kw_only=True):
    """What the lock file says about who holds it."""

    pid: int
    since: float = 0.0
    """Unix seconds."""


class Lock:
    """The daemon's right to write. Hold it as long as the process lives; `release` it only when the ledger is closed."""

    def __init__(self, path: Path, handle: int) -> None:
        self.path = path
        self._handle = handle

    @classmethod
    def take(cls, layout: Layout) -> "Lock":
        """Take the lock, or raise Mistake naming the pid of the daemon that has it, within a second. Children do not inherit it."""
        private_dir(layout.home)
        until = time.monotonic() + PATIENCE
        while True:
            handle = os.open(layout.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            if _locked(handle) and _still_there(handle, layout.lock):
                _write(handle, Owner(pid=os.getpid(), since=time.time()))
                return cls(layout.lock, handle)
            owner = _read(handle)
            os.close(handle)
            if (owner and exists(owner.pid)) or time.monotonic() > until:
                raise _taken(layout.lock, owner)
            time.sleep(0.01)

    def release(self) -> None:
        """Let go. Harmless when done twice."""
        if self._handle >= 0:
            os.ftruncate(self._handle, 0)
            os.close(self._handle)
            self._handle = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.release()


def _locked(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _still_there(handle: int, path: Path) -> bool:
    """Whether the locked file is still the one that others would open."""
    mine = os.fstat(handle)
    try:
        theirs = path.stat()
    except FileNotFoundError:
        return False
    return (mine.st_dev, mine.st_ino) == (theirs.st_dev, theirs.st_ino)


def _write(handle: int, holder: Owner) -> None:
    os.fchmod(handle, 0o600)
    os.ftruncate(handle, 0)
    os.pwrite(handle, msgspec.json.encode(holder) + b"\n", 0)


def _read(handle: int) -> Owner | None:
    with contextlib.suppress(msgspec.MsgspecError):
        return msgspec.json.decode(os.pread(handle, 4096, 0), type=Owner)
    return None


def _taken(path: Path, holder: Owner | None) -> Mistake:
    name = f"pid {holder.pid}" if holder else "its pid is not known"
    return Mistake(
        f"Another daemon of this factory is running ({name}).", where=str(path),
        mend="Use that one, or end it with `andon down` first.",
    )
