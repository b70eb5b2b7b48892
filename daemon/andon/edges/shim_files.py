# ruff: noqa: PTH104, PTH108, PTH120 (the shim loads it, and pathlib would cost a third of its start)
"""What the wrapper of a job leaves on disk: its start token, whole files, the log of the command; stdlib only.

It must never know what they are for. (Without pathlib, for that alone would cost a third of the shim's start.)
"""

import json
import os
import time

from andon.edges.proctable import boot_id, read_process


def write_whole(path: str, data: bytes) -> None:
    """Make `path` hold exactly this, or not at all. One writer a path: what a killed one left aside is overwritten."""
    aside = f"{path}.tmp"
    fd = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        while data:
            data = data[os.write(fd, data):]
        os.fsync(fd)
    finally:
        os.close(fd)
    os.rename(aside, path)
    sync_folder(os.path.dirname(path))


def sync_folder(folder: str) -> None:
    """Make the names in a folder durable."""
    fd = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def take_token(folder: str, nobody: bool = False) -> bool:
    """Create `start` with our name in it (or nobody's), whole, unless it exists. True for exactly one taker ever."""
    me = None if nobody else read_process(os.getpid())
    content = {"pid": me.pid if me else 0, "ticks": me.ticks if me else 0, "boot": boot_id(), "at": int(time.time() * 1000)}
    data, token, aside = json.dumps(content).encode(), f"{folder}/start", f"{folder}/start.{os.getpid()}.tmp"
    if os.path.lexists(token):
        return False
    fd = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        os.write(fd, data)
        os.fsync(fd)
        os.link(aside, token)
    except FileExistsError:
        return False
    finally:
        os.close(fd)
        os.unlink(aside)
    sync_folder(folder)
    return True


class Log:
    """The head and the tail of a command's output, at most `limit` bytes; the middle is dropped and the file says so."""

    def __init__(self, path: str, limit: int) -> None:
        self.fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        self.room, self.keep = limit // 2, limit - limit // 2
        self.tail = bytearray()
        self.dropped = 0
        self.error = ""

    def write(self, data: bytes) -> None:
        """Take more output. Never raises: a full disk is told by `error`."""
        if self.room:
            head, data = data[:self.room], data[self.room:]
            self.room -= len(head)
            self._put(head)
        self.tail += data
        if len(self.tail) > 2 * self.keep:
            self._forget()

    def _forget(self) -> None:
        extra = len(self.tail) - self.keep
        if extra > 0:
            del self.tail[:extra]
            self.dropped += extra

    def close(self) -> None:
        """Write what is left and make the file durable."""
        self._forget()
        if self.dropped:
            self._put(f"\n[andon: {self.dropped} bytes of output were left out here]\n".encode())
        self._put(bytes(self.tail))
        try:
            os.fsync(self.fd)
        except OSError as error:
            self.error = self.error or f"log: {error.strerror}"
        os.close(self.fd)

    def _put(self, data: bytes) -> None:
        try:
            while data:
                data = data[os.write(self.fd, data):]
        except OSError as error:
            self.error = self.error or f"log: {error.strerror}"
