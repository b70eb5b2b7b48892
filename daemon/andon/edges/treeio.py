"""What the processes of one session wrote: to its terminal, towards a disk, at all; it must never know why they did.

Theory of operation. tmux's formats do not tell how much a pane was given: its history stops growing at its limit, and a program
that draws a whole screen leaves none. The kernel does: `wchar` of a process is every byte that it wrote, `write_bytes` what of that
went towards a disk, and what it wrote besides, with the session's terminal for its output, went there. A process that is waited for
hands its counts to its parent, so nothing is lost with a short-lived one and nothing may be counted twice. Pipes and sockets are
in `wchar` too: so no session can have written more than the tmux server itself read in that time, and that bounds the sum.
"""

import os
import re
import stat
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from andon.edges.proctable import Spent

Key = tuple[int, int]
LOUD = 64 * 1024
"""A process that gave less between two looks is not asked where it went."""
TERMINALS = range(136, 144)
"""Device majors of pseudo-terminals on Linux."""
_COUNTS = re.compile(r"rchar: (\d+)\nwchar: (\d+)\n(?:.*\n)*?write_bytes: (\d+)\ncancelled_write_bytes: (\d+)")


class Counts(NamedTuple):
    """One process: CPU ticks at the reading; bytes read, written, and sent towards a disk, those of its waited-for children too."""

    ticks: int
    read: int
    wrote: int
    stored: int

    @property
    def gave(self) -> int:
        """Bytes that went anywhere but to a disk."""
        return max(0, self.wrote - self.stored)


NOTHING = Counts(0, 0, 0, 0)


class Writings:
    """The counts of one session, kept from look to look."""

    def __init__(self) -> None:
        self.pane_bytes = self.written = -1
        self.wrote = 0
        """Bytes written to anything at all."""
        self.counts: dict[Key, Counts] = {}
        self._terminal: int | None = None
        self._server: tuple[int, int] = (0, 0)
        """The tmux server's pid and bytes read, at the last look."""
        self._owed = 0
        """What processes that ended had given, and no parent took over yet: it is waited for until the next look."""
        self._spare = 0
        """Bytes that the server read between the last two looks and nobody here gave: who ended then shows only in the next one."""

    def look(self, shim: Spent | None, tree: Iterable[Spent], servers: dict[int, int]) -> None:
        """Count what was written since the last look. One whose CPU stands still wrote nothing and is not asked.

        `servers`: bytes read by each tmux server, kept for all sessions of one pass; -1: it cannot be told.
        """
        rows = [*([shim] if shim else []), *tree]
        before, first = self.counts, not self.counts
        now = {(row.pid, row.ticks): _counts(row, before.get((row.pid, row.ticks))) for row in rows}
        self.counts = {key: counts for key, counts in now.items() if counts is not None}
        if self.counts:
            self.wrote = max(self.wrote, sum(one.wrote for one in self.counts.values()))
            self.written = max(self.written, sum(one.stored for one in self.counts.values()))
        read = self._server_read(shim.parent, servers) if shim else None
        if shim is None or not self.counts or not self._has_terminal(shim.pid):
            return
        if first:
            self.pane_bytes = max(0, self.pane_bytes)
        elif read is not None and self.pane_bytes >= 0:
            poured = self._poured(before)
            self.pane_bytes += min(read + self._spare, poured)
            self._spare = max(0, read - poured)

    def _poured(self, before: Mapping[Key, Counts]) -> int:
        """Bytes that processes with this terminal for their output gave; what a parent only took over is left out."""
        poured = 0
        for key, counts in self.counts.items():
            more = counts.gave - before.get(key, NOTHING).gave
            if more >= LOUD and self._draws(key[0]):
                poured += more
        ended = sum(counts.gave for key, counts in before.items() if key not in self.counts)
        owed, self._owed = self._owed + ended, max(0, ended - max(0, poured - self._owed))
        return max(0, poured - owed)

    def _has_terminal(self, shim: int) -> bool:
        if self._terminal is None:
            self._terminal = next((device for fd in (0, 1, 2) if (device := _device(shim, fd))), 0)
        return self._terminal > 0

    def _draws(self, pid: int) -> bool:
        """By its output alone: behind a pipe it still has the terminal for its errors."""
        return _device(pid, 1) == self._terminal

    def _server_read(self, server: int, servers: dict[int, int]) -> int | None:
        """Bytes that the tmux server read since the last look: of all its panes. None when that cannot be told."""
        if server not in servers:
            told = _COUNTS.match(_io(server))
            servers[server] = int(told[1]) if told else -1
        (pid, before), self._server = self._server, (server, servers[server])
        return self._server[1] - before if pid == server and min(before, self._server[1]) >= 0 else None


def _counts(row: Spent, before: Counts | None) -> Counts | None:
    ticks = row.own + row.reaped
    if before is not None and before.ticks == ticks and row.state != "D":
        return before
    told = _COUNTS.match(_io(row.pid))
    return Counts(ticks, int(told[1]), int(told[2]), max(0, int(told[3]) - int(told[4]))) if told else before


def _device(pid: int, fd: int) -> int:
    """The pseudo-terminal behind a descriptor; 0 when there is none or it cannot be seen."""
    try:
        facts = Path(f"/proc/{pid}/fd/{fd}").stat()
    except OSError:
        return 0
    return facts.st_rdev if stat.S_ISCHR(facts.st_mode) and os.major(facts.st_rdev) in TERMINALS else 0


def _io(pid: int) -> str:
    try:
        fd = os.open(f"/proc/{pid}/io", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return ""
    try:
        return os.read(fd, 512).decode(errors="replace")
    except OSError:
        return ""
    finally:
        os.close(fd)
