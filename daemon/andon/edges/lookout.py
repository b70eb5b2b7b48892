# ruff: noqa: PTH108, PTH119, PTH120 (the shim loads it, and pathlib would cost a third of its start)
"""Sees which baits of a job are opened and by whom they are called, and writes it down; stdlib only, and it must never answer.

Theory of operation. The shim keeps one: it lives as long as the job and survives the daemon. The kernel's inotify tells of
opens on the host's side of a bait, which is the same file as inside; a look at names (find, ls) reads the folder after opening
it and is told apart from an open. Sockets listen, take the call and hang up. Nothing is polled: both are descriptors of the
shim's one loop, asked again after a pause that doubles while it is noisy, so a flood costs next to nothing, and the first of
everything is written at once.
"""

from __future__ import annotations

import json
import os
import select
import socket
import struct
import time

TYPE_CHECKING = False  # typing itself would cost milliseconds
if TYPE_CHECKING:
    from typing import Any

FILE = "access.jsonl"
FULL = 2**20
"""Bytes of the file past which nothing is added."""
KINDS = 200
"""Different things that are told one by one."""
PAUSE_S, LONGEST_S = 0.2, 30.0
CALLS = 64
"""Calls that are taken at once."""
RULE = "bait: empty, nothing of yours"
_OPEN, _ACCESS, _CLOSED, _DIR, _OVERFLOW = 0x20, 0x1, 0x10, 0x40000000, 0x4000
_RECORD = struct.Struct("iIII")
_NONBLOCK, _CLOEXEC = 0o4000, 0o2000000


def bound(folder: str, name: str) -> socket.socket:
    """A listening socket of this name, whatever the length of the whole path. Raises OSError."""
    place = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        path = f"/proc/self/fd/{place}/{name}"
        if os.path.lexists(path):
            os.unlink(path)  # an earlier start's
        one = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        one.bind(path)
        one.listen(CALLS)
        one.setblocking(False)
        return one
    finally:
        os.close(place)


class Lookout:
    """The baits of one job."""

    def __init__(self, folder: str, baits: list[dict[str, Any]]) -> None:
        self.folder = folder
        self.baits = {os.path.basename(str(one["source"])): one for one in baits}
        self.told: list[str] = []
        """What is not seen here, and why, each in one sentence."""
        self.events = -1
        self.calls: dict[int, tuple[socket.socket, str]] = {}
        self._folders: dict[int, str] = {}
        self._opened: set[str] = set()
        self._times: dict[tuple[str, str, str], int] = {}
        self._written: dict[tuple[str, str, str], int] = {}
        self._pause, self._again = PAUSE_S, 0.0

    # --- before the job ----------------------------------------------------------------------------------------------

    def listen(self) -> None:
        """Make the sockets: they must be there before the walls are built."""
        for name, bait in self.baits.items():
            if bait.get("kind") != "socket":
                continue
            try:
                one = bound(os.path.dirname(str(bait["source"])), name)
                self.calls[one.fileno()] = (one, str(bait["what"]))
            except OSError as error:
                self.told.append(f"Who calls {bait['what']} is not seen: {error.strerror}.")

    def watch(self) -> None:
        """From here on opens count: the walls stand, and the job has not begun."""
        import ctypes

        libc = ctypes.CDLL(None, use_errno=True)
        self.events = libc.inotify_init1(_NONBLOCK | _CLOEXEC)
        if self.events < 0:
            self.told.append(f"Which baits are opened is not seen: {os.strerror(ctypes.get_errno())}; "
                             "fs.inotify.max_user_instances may be too low.")
            return
        sources = [str(one["source"]) for one in self.baits.values()]
        places = dict.fromkeys(os.path.dirname(path) for path in sources)
        places |= dict.fromkeys(str(one["source"]) for one in self.baits.values() if one.get("kind") == "folder")
        for path in places:
            number = libc.inotify_add_watch(self.events, os.fsencode(path), _OPEN | _ACCESS | _CLOSED)
            if number < 0:
                self.told.append(f"Some baits are not seen: {os.strerror(ctypes.get_errno())}; "
                                 "fs.inotify.max_user_watches may be too low.")
                return
            self._folders[number] = path

    # --- while it runs -----------------------------------------------------------------------------------------------

    def fds(self) -> list[int]:
        """What the loop is to wait for now."""
        if self._again > time.monotonic():
            return []
        return [*([self.events] if self.events >= 0 else []), *self.calls]

    def pause(self) -> float | None:
        """Seconds until it listens again; None: it does."""
        left = self._again - time.monotonic()
        return left if left > 0 else None

    def hear(self, ready: list[int]) -> None:
        """Take what came, and be deaf for a moment."""
        heard = False
        if self.events in ready:
            heard = self._read()
        for fd in self.calls:
            if fd in ready:
                heard |= self._take(*self.calls[fd])
        if heard:
            now = time.monotonic()
            calm = now - self._again > 4 * self._pause
            self._pause = PAUSE_S if calm else min(2 * self._pause, LONGEST_S)
            self._again = now + self._pause
            self._write(False)

    def close(self) -> None:
        """The job has ended: what came last, and counts that were not told yet."""
        self._again = 0.0
        fds = self.fds()
        if fds:
            self.hear(select.select(fds, (), (), 0)[0])
        self._write(True)
        for one, _ in self.calls.values():
            one.close()
        if self.events >= 0:
            os.close(self.events)
        self.events, self.calls = -1, {}

    def limit(self, what: str, rule: str) -> None:
        """A limit was met."""
        self._count("limit", what, "", rule)

    # --- inside ------------------------------------------------------------------------------------------------------

    def _take(self, one: socket.socket, what: str) -> bool:
        heard = False
        for _ in range(CALLS):
            try:
                one.accept()[0].close()
            except OSError:
                break
            heard = True
            self._count("socket", what, "")
        return heard

    def _read(self) -> bool:
        heard = False
        try:
            while data := os.read(self.events, 1 << 16):
                place = 0
                while place < len(data):
                    number, mask, _, size = _RECORD.unpack_from(data, place)
                    place += _RECORD.size + size
                    heard |= self._event(number, mask, os.fsdecode(data[place - size:place].rstrip(b"\0")))
        except BlockingIOError:
            pass
        return heard

    def _event(self, number: int, mask: int, name: str) -> bool:
        folder = self._folders.get(number)
        if folder is None or not name:
            return bool(mask & _OVERFLOW)
        above = self.baits.get(os.path.basename(folder))
        bait = above or self.baits.get(name)
        if bait is None:
            return False
        what = str(bait["what"])
        if not mask & _DIR:
            if mask & _OPEN:
                self._count("read", f"{what}/{name}" if above else what, what)
            return bool(mask & _OPEN)
        if mask & _OPEN:
            self._opened.add(name)
        elif name in self._opened:
            self._opened.discard(name)
            closed = bait["kind"] == "closed" and not mask & _ACCESS
            self._count("read", what, what if closed else "-", RULE if closed else "bait: its names were listed")
        return True

    def _count(self, kind: str, what: str, sign: str, rule: str = RULE) -> None:
        key = (kind, what, f"{sign}\0{rule}")
        if key not in self._times and len(self._times) >= KINDS:
            key = (kind, "more baits", f"-\0beyond the first {KINDS}")
        self._times[key] = self._times.get(key, 0) + 1

    def _write(self, last: bool) -> None:
        """What is new; of a count each doubling, and at the end all."""
        lines = b""
        for key, times in self._times.items():
            before = self._written.get(key, 0)
            if times > before and (last or times >= 2 * before):
                sign, _, rule = key[2].partition("\0")
                told = {"at": time.time_ns() // 1_000_000, "kind": key[0], "what": key[1], "allowed": False, "rule": rule,
                        "times": times - before, "sign": sign}
                lines += json.dumps(told).encode() + b"\n"
                self._written[key] = times
        if not lines:
            return
        try:
            fd = os.open(f"{self.folder}/{FILE}", os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        except OSError:
            return
        try:
            if os.fstat(fd).st_size < FULL:
                os.write(fd, lines)
        finally:
            os.close(fd)
