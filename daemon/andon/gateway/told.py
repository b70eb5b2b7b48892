"""Tells what a job tried to reach: lines of `access.jsonl`, repeats told together. Must never be given a body, a query or a key.

A host that is seen for the first time is told at once; its repeats are counted and told after a while that doubles, so a busy day
is a short file and an idle gateway has no timer. A count that was not told yet is lost with the process.
"""

import asyncio
import os
import re
import stat
import time
from pathlib import Path

import msgspec

from andon.schema.jobs import ACCESS
from andon.schema.sandbox import Access

from .limits import ACCESS_BYTES, ACCESS_KINDS, TOLD_MOST_S, TOLD_S
from .scribe import Scribe

OTHERS = "other hosts"
"""Under this name is told what goes beyond the bound."""
_ODD = re.compile(r"[^A-Za-z0-9._:\[\]*-]")
_MOST = 262
"""Of a host and its port."""


class _Kind:
    """One thing that is tried again and again."""

    __slots__ = ("pause", "times")

    def __init__(self) -> None:
        self.times, self.pause = 0, TOLD_S


class Told:
    """What one job tried."""

    def __init__(self, scribe: Scribe, folder: Path) -> None:
        self._scribe, self._file = scribe, folder / ACCESS
        self._kinds: dict[tuple[str, bool, str], _Kind] = {}

    def tell(self, what: str, allowed: bool, rule: str) -> None:
        """This was tried once more."""
        key = (_ODD.sub("?", what)[:_MOST], allowed, rule)
        kind = self._kinds.get(key)
        if kind is None and len(self._kinds) >= ACCESS_KINDS:
            key = (OTHERS, allowed, f"beyond the first {ACCESS_KINDS}")
            kind = self._kinds.get(key)
        if kind is not None:
            if not kind.times:
                asyncio.get_running_loop().call_later(kind.pause, self._tell, key, kind)
                kind.pause = min(2 * kind.pause, TOLD_MOST_S)
            kind.times += 1
            return
        self._kinds[key] = _Kind()
        self._write(key, 1)

    def close(self) -> None:
        """Tell what was counted."""
        for key, kind in self._kinds.items():
            self._tell(key, kind)

    def _tell(self, key: tuple[str, bool, str], kind: _Kind) -> None:
        if kind.times:
            self._write(key, kind.times)
        kind.times = 0

    def _write(self, key: tuple[str, bool, str], times: int) -> None:
        what, allowed, rule = key
        line = Access(at=time.time_ns() // 1_000_000, kind="host", what=what, allowed=allowed, rule=rule, times=times)
        self._scribe.take(lambda: _append(self._file, line))


def _append(file: Path, line: Access) -> None:
    """One line more, unless the file is full, or is no file of ours, or its directory is gone."""
    try:
        handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o600)
    except OSError:
        return
    try:
        facts = os.fstat(handle)
        if stat.S_ISREG(facts.st_mode) and facts.st_size < (ACCESS_BYTES if line.times > 1 else 2 * ACCESS_BYTES):
            os.write(handle, msgspec.json.encode(line) + b"\n")
    finally:
        os.close(handle)
