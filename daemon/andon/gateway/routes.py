"""Which provider an address leads to: reads `jobs/<attempt>/route.json`; must never know a key."""

import hmac
import os
import re
import stat
from pathlib import Path

import msgspec

from andon.edges.gateway import ROUTE_BYTES
from andon.schema.jobs import ROUTE, Route

ADDRESS = re.compile(r"/a/([A-Za-z0-9][A-Za-z0-9._-]{0,99})/([A-Za-z0-9_-]{1,200})(?=[/?]|$)(.*)", re.DOTALL)
"""`/a/<attempt>/<token>` and the rest, which is the provider's."""
CACHED = 1024
"""Routes remembered; past it all are forgotten and read again."""


class Routes:
    """The routes of one factory, read again whenever their file changed."""

    def __init__(self, jobs: Path) -> None:
        self.jobs = jobs
        self._known: dict[str, tuple[tuple[int, int, int], Route]] = {}

    def find(self, path: str) -> tuple[str, str] | None:
        """The attempt and the provider's address of a request's path with its query; None unless its token is the right one."""
        found = ADDRESS.fullmatch(path)
        route = self._read(found[1]) if found else None
        if found is None or route is None or not hmac.compare_digest(found[2].encode(), route.token.encode()):
            return None
        rest = found[3]
        return found[1], route.upstream.rstrip("/") + rest

    def _read(self, attempt: str) -> Route | None:
        file = self.jobs / attempt / ROUTE
        try:
            facts = file.lstat()
            stamp = (facts.st_mtime_ns, facts.st_ino, facts.st_size)
            known = self._known.get(attempt)
            if known and known[0] == stamp:
                return known[1]
            route = msgspec.json.decode(_plain(file), type=Route)
        except (OSError, msgspec.MsgspecError):
            return None
        if not route.token or not route.upstream.startswith(("http://", "https://")):
            return None
        if len(self._known) >= CACHED:
            self._known.clear()
        self._known[attempt] = (stamp, route)
        return route


def _plain(file: Path) -> bytes:
    """A regular file of bounded size: an agent can reach its job directory, and nothing that it puts there may stop us."""
    handle = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        return os.read(handle, ROUTE_BYTES) if stat.S_ISREG(os.fstat(handle).st_mode) else b""
    finally:
        os.close(handle)
