"""Lines of `access.jsonl`: what a job tried to reach, added, read, counted. It must never know what follows from a refusal.

Theory of operation. Three write such lines: the proxy (hosts), the shim (baits, limits), and the daemon itself (paths that an
agent named to its tools). A `Tally` reads one sitting's file on and counts what was refused, by the sign under which a person is
told; who asks it gets each thing that moved with how often it was in all.
"""

import os
from collections.abc import Iterable
from pathlib import Path

import msgspec

from andon.edges import beneath
from andon.edges.lines import Tail
from andon.schema import inputs as i
from andon.schema.ids import AttemptId
from andon.schema.jobs import ACCESS
from andon.schema.sandbox import BY_ITSELF, Access

FULL = 2**20
"""Bytes of the file past which the daemon adds nothing."""
KINDS = 600
"""Different things that a tally counts; the rest are listed only."""
LISTED = "-"
OFTEN = 10
"""So often may an agent's program ask for a host of its own before a person is told."""
_DECODER = msgspec.json.Decoder(Access)


def decode(row: bytes) -> Access | None:
    """One line; None when it is none."""
    try:
        return _DECODER.decode(row)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return None


class Tally:
    """What one sitting was refused so far, and what of it is new."""

    def __init__(self, attempt: AttemptId, folder: Path) -> None:
        self.attempt = attempt
        self.tail = Tail(folder / ACCESS)
        self.known: set[tuple[str, str]] = set()
        """Kinds and names of everything that was read, for who writes to the same file."""
        self._times: dict[tuple[str, str], int] = {}
        self._moved: dict[tuple[str, str], str] = {}
        """What was refused since somebody took it, with its rule."""

    def read(self) -> None:
        """Everything that is new in the file."""
        while rows := self.tail.read() or self.tail.more:
            for one in filter(None, map(decode, rows if isinstance(rows, list) else ())):
                if len(self.known) < KINDS:
                    self.known.add((one.kind, one.what))
                self._count(one)

    def take(self) -> list[i.AccessSeen]:
        """Each thing that was refused since the last time, with how often it was in all."""
        moved, self._moved = self._moved, {}
        return [i.AccessSeen(attempt=self.attempt, kind=kind, what=what, rule=rule, times=self._times[kind, what])
                for (kind, what), rule in moved.items()]

    def _count(self, one: Access) -> None:
        if one.allowed or one.sign == LISTED:
            return
        key = (one.kind, one.sign or one.what)
        if key in self._times or len(self._times) < KINDS:
            self._times[key] = self._times.get(key, 0) + max(1, one.times)
            if one.rule != BY_ITSELF or self._times[key] > OFTEN:
                self._moved[key] = one.rule


def add(folder: Path, lines: Iterable[Access]) -> None:
    """Lines more in a job's file, unless it is full or is no file of ours."""
    data = b"".join(msgspec.json.encode(line) + b"\n" for line in lines)
    try:
        fd = beneath.opened(folder, ACCESS, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    except OSError:
        return
    try:
        if os.fstat(fd).st_size < FULL:
            os.write(fd, data)
    except OSError:  # a full disk: the list is shorter, the job goes on
        return
    finally:
        os.close(fd)


def read(folder: Path) -> list[Access]:
    """All lines of one sitting."""
    tail, found = Tail(folder / ACCESS), list[Access]()
    while rows := tail.read() or tail.more:
        found += filter(None, map(decode, rows if isinstance(rows, list) else ()))
    return found


def merged(lines: Iterable[Access]) -> list[Access]:
    """One row a thing, with how often in all, in order of its first time."""
    found: dict[tuple[str, str, bool, str], Access] = {}
    for one in lines:
        key = (one.kind, one.what, one.allowed, one.rule)
        known = found.get(key)
        found[key] = msgspec.structs.replace(known, times=known.times + one.times) if known else one
    return sorted(found.values(), key=lambda one: one.at)
