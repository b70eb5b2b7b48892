"""The daemon's own log file, bounded while it is written: full, it becomes `.1` and a new one is begun. Knows no message.

Only a log that is the very file our standard error leads to is turned: under a service manager that is its journal, and its affair.
"""

import contextlib
import logging
import os
import sys
import threading
from pathlib import Path
from types import TracebackType

BYTES = 8 * 1024 * 1024
"""A log file is turned past this."""
KEPT = 2
"""Older files that are kept: `.1` is the newer."""
LOOK_BYTES = 64 * 1024
"""Logged bytes between two looks at the file's size."""


class Turning(logging.StreamHandler):  # type: ignore[type-arg]  # generic only for type checkers in this Python
    """Writes records to standard error, and turns the file behind it when it is `path` and has grown too long."""

    def __init__(self, path: Path, bytes_: int = BYTES) -> None:
        super().__init__(sys.stderr)
        self._path, self._bytes, self._since = path, bytes_, LOOK_BYTES

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record. A log that cannot be turned goes on as it is."""
        super().emit(record)
        self._since += len(record.getMessage()) + 64
        if self._since >= min(LOOK_BYTES, self._bytes):
            self._since = 0
            with contextlib.suppress(OSError):
                turn(self._path, self._bytes)


def tell_of_crashes(logger: logging.Logger) -> None:
    """From now on whatever nobody caught is told in the log, through its formatter, and never by the interpreter as it is.

    A traceback quotes what a program had in hand: an agent's words, and secrets.
    """
    def crashed(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if issubclass(kind, KeyboardInterrupt):
            return
        logger.critical("the daemon crashed", exc_info=(kind, error, trace))

    def crashed_in_thread(args: threading.ExceptHookArgs) -> None:
        if args.exc_value is not None:
            logger.critical("a thread crashed", exc_info=(args.exc_type, args.exc_value, args.exc_traceback))

    def crashed_unseen(args: "sys.UnraisableHookArgs") -> None:
        if args.exc_value is not None:
            logger.error("an error that nobody could be told of", exc_info=(args.exc_type, args.exc_value, args.exc_traceback))
    sys.excepthook, threading.excepthook, sys.unraisablehook = crashed, crashed_in_thread, crashed_unseen


def turn(path: Path, bytes_: int = BYTES) -> bool:
    """Put a log that is too long aside and lead standard output and error into a new one; whether that was done. Raises OSError."""
    if not path.exists() or path.stat().st_size <= bytes_ or path.is_symlink():
        return False
    ours = [fd for fd in (1, 2) if _leads_to(fd, path)]
    for number in range(KEPT - 1, 0, -1):
        older = path.with_name(f"{path.name}.{number}")
        if older.exists():
            older.replace(path.with_name(f"{path.name}.{number + 1}"))
    path.replace(path.with_name(f"{path.name}.1"))
    fresh = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        for fd in ours:
            os.dup2(fresh, fd)
    finally:
        os.close(fresh)
    return True


def _leads_to(fd: int, path: Path) -> bool:
    try:
        mine, theirs = os.fstat(fd), path.stat()
    except OSError:
        return False
    return (mine.st_dev, mine.st_ino) == (theirs.st_dev, theirs.st_ino)
