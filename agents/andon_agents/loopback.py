"""Servers of agents on loopback: a port for one, and what is laid down about it in a private home. Knows no connection."""

import contextlib
import os
import socket
import stat
from pathlib import Path

NOTE_BYTES = 1024 * 1024


def free_port() -> int:
    """A loopback port that nobody held a moment ago. Outside of walls somebody may take it before the agent does."""
    with socket.socket() as asked:
        asked.bind(("127.0.0.1", 0))
        found: int = asked.getsockname()[1]
        return found


def read_note(path: Path) -> bytes:
    """The beginning of a plain file in a private home, where an agent may have put anything in its place; empty: there is none."""
    with contextlib.suppress(OSError, ValueError):
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            return os.read(handle, NOTE_BYTES) if stat.S_ISREG(os.fstat(handle).st_mode) else b""
        finally:
            os.close(handle)
    return b""
