"""Named fault points: where a test may kill the daemon to prove that it recovers. Costs one look-up when nothing is armed."""

import os
import signal
from pathlib import Path

ARMED = os.environ.get("ANDON_FAULT", "")
"""`NAME` or `NAME:N`: SIGKILL ourselves at the N-th passing (from 1) of that point."""
TRACE = os.environ.get("ANDON_FAULT_TRACE", "")
"""A file to which the name of every passed point is appended: the list that a sweep works through."""
_passed: dict[str, int] = {}


def point(name: str) -> None:
    """A place at which the daemon may die without losing anything."""
    if not (ARMED or TRACE):
        return
    _passed[name] = _passed.get(name, 0) + 1
    if TRACE:
        with Path(TRACE).open("a") as trace:
            trace.write(f"{name}:{_passed[name]}\n")
    wanted, _, number = ARMED.partition(":")
    if name == wanted and _passed[name] == int(number or 1):
        os.kill(os.getpid(), signal.SIGKILL)
