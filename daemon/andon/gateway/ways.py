"""All ways out of a factory's jobs: a socket each, made when the daemon asks for it and again after a kill. Knows no list.

A way is there while its job is: from `egress.json` on until that file goes, or the job's end was written after it. Nobody waits for
that; ways whose job is over are closed whenever another one is made.
"""

import asyncio
import contextlib
import errno
import hmac
import os
import re
import resource
import socket
import sys
from pathlib import Path

from aiohttp import web

from andon.edges.durable import private_dir
from andon.edges.gateway import WAY, models_of, socket_of, sockets_of
from andon.schema.jobs import EGRESS, EXIT
from andon.schema.layout import Layout

from .dial import Dial
from .egress import Way
from .limits import CHUNK, DRAIN_S, QUIET_S, STREAMS, WAYS
from .scribe import Scribe
from .told import Told

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
"""Of a job."""
BACKLOG = 1024
"""Who finds it full is sent away by the kernel: as many as a job may have at once fit."""


class Ways:
    """The sockets and who listens there."""

    def __init__(self, place: Layout, scribe: Scribe, token: str, dial: Dial | None = None) -> None:
        self._place, self._scribe, self._token = place, scribe, token
        self._dial = dial or Dial()
        self._open: dict[str, tuple[Way, asyncio.Server]] = {}
        self._busy = asyncio.Lock()
        most = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        self._most = max(64, (most - 2 * STREAMS - WAYS) // 2)
        """Connections of all jobs together: two descriptors each, and the model calls keep theirs."""

    async def control(self, request: web.Request) -> web.Response:
        """`PUT` and `DELETE` of `/_/<token>/egress/<job>`, by the daemon."""
        name = request.match_info["name"]
        if not hmac.compare_digest(request.match_info["token"].encode(), self._token.encode()) or not NAME.fullmatch(name):
            return web.Response(status=404)
        if request.method == "DELETE":
            await self.close(name)
            return web.Response(text="closed")
        if not await self.open(name):
            return web.Response(status=503)
        return web.Response(text="open")

    async def open(self, name: str) -> bool:
        """The socket of this job is there on return; False: it cannot be, and standard error says why."""
        try:
            if await self._make(name):
                return True
            why = f"{WAYS} are open"
        except OSError as error:
            why = str(error)
        print(f"no way out for {name}: {why}", file=sys.stderr, flush=True)
        return False

    async def _make(self, name: str) -> bool:
        async with self._busy:
            for other in [one for one in self._open if one != name and self._over(one)]:
                await self._end(other)
            path = socket_of(self._place, name)
            if name in self._open and path.is_socket():
                return True
            await self._end(name)
            if len(self._open) >= WAYS:
                return False
            folder = self._place.job(name)
            way = Way(folder, self._dial, Told(self._scribe, folder), self._full)
            server = await asyncio.start_unix_server(way.meet, sock=listening(path), limit=CHUNK, backlog=BACKLOG)
            self._open[name] = (way, server)
            return True

    async def close(self, name: str) -> None:
        """The socket of this job is gone on return, and its connections are broken off."""
        async with self._busy:
            await self._end(name)

    async def restore(self) -> None:
        """Make the sockets of all jobs that have a list and are not over."""
        for file in sorted(self._place.jobs.glob(f"*/{EGRESS}")):
            if NAME.fullmatch(file.parent.name) and not self._over(file.parent.name):
                await self.open(file.parent.name)
        kept = {socket_of(self._place, name).parent for name in self._open} | {models_of(self._place).parent}
        with contextlib.suppress(OSError):
            for folder in [one for one in sockets_of(self._place).iterdir() if one not in kept]:
                _remove(folder / WAY)

    async def drain(self) -> None:
        """Take nothing new; connections on which something is said have a while to end."""
        for _, server in self._open.values():
            server.close()
        loop = asyncio.get_running_loop()
        end = loop.time() + DRAIN_S
        while loop.time() < end and (busy := self._busy_ones()):
            await asyncio.wait(busy, timeout=QUIET_S / 4)
        for way, _ in self._open.values():
            way.close()
        tasks = [task for way, _ in self._open.values() for task in way.live]
        if tasks:
            await asyncio.wait(tasks, timeout=1.0)

    def _full(self) -> bool:
        return sum(len(way.live) for way, _ in self._open.values()) >= self._most

    def _busy_ones(self) -> list[asyncio.Task[None]]:
        """The connections on which something was said just now."""
        now = asyncio.get_running_loop().time()
        return [task for way, _ in self._open.values() for task, watch in way.live.items() if now - watch.last < QUIET_S]

    def _over(self, name: str) -> bool:
        """Whether the job has no list any more, or ended after it was given this one."""
        folder = self._place.job(name)
        try:
            given = (folder / EGRESS).lstat().st_mtime_ns
        except OSError:
            return True
        try:
            return (folder / EXIT).lstat().st_mtime_ns > given
        except OSError:
            return False

    async def _end(self, name: str) -> None:
        if name not in self._open:
            return
        way, server = self._open.pop(name)
        server.close()
        way.close()
        _remove(socket_of(self._place, name))


def _remove(path: Path) -> None:
    """The socket and its directory are gone, where they were alone there."""
    with contextlib.suppress(OSError):
        for one in (path, _aside(path)):
            one.unlink(missing_ok=True)
        path.parent.rmdir()


def _aside(path: Path) -> Path:
    return path.with_name(f"{path.name}~")


def listening(path: Path) -> socket.socket:
    """A socket that listens at this path, 0600; it replaces whatever was there. Raises OSError."""
    for folder in (path.parents[2], path.parents[1], path.parents[0]):
        private_dir(folder)
        if {folder.lstat().st_uid, folder.stat().st_uid} != {os.getuid()}:
            raise PermissionError(errno.EPERM, "not ours", str(folder))
    aside = _aside(path)
    aside.unlink(missing_ok=True)
    one = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        one.bind(str(aside))
        aside.chmod(0o600)
        one.listen(BACKLOG)
        one.setblocking(False)
        aside.replace(path)
    except OSError:
        one.close()
        raise
    return one
