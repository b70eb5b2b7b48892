"""The service manager that runs us, by systemd's own small protocol: ready, alive, inherited sockets. Must not know what is asked.

Theory of operation. The manager names a datagram socket in NOTIFY_SOCKET and says in WATCHDOG_USEC how often it wants a sign of
life; sockets that it listens on for us are file descriptors from 3 on, counted by LISTEN_FDS. All of these variables are taken
out of the environment when they are read, so no agent, check or tmux server inherits a voice that speaks for the daemon. Where
there is no manager nothing is sent and no timer runs.

A library for this would be an import for thirty lines of protocol that have not changed since 2010; so it is written out here.
"""

import asyncio
import contextlib
import logging
import os
import socket
import stat
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from pathlib import Path

from andon.schema.clean import clean
from andon.schema.errors import Mistake

FIRST = 3
"""The first inherited descriptor (SD_LISTEN_FDS_START)."""
MOST_SOCKETS = 8
"""Inherited descriptors that are looked at; more than we ever ask for."""
SHARE = 3
"""Signs of life in one watchdog period: one may be late and one lost."""
PATIENCE_S = 60.0
"""How much longer the manager is asked to wait, again and again, while we leave."""
LEAVING_S = 600.0
"""In all, past which a daemon that does not get away is the manager's to end."""
VARIABLES = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES")
SERVICE = "ANDON_SERVICE"
"""Set by our own unit: what must outlive the daemon is started in a unit of its own."""
UMASK = "ANDON_UMASK"
"""Set there too: the person's mask at the time of installing."""
BUS = ("XDG_RUNTIME_DIR", "DBUS_SESSION_BUS_ADDRESS")
"""How `systemd-run` finds the person's manager."""

log = logging.getLogger("andon.service")
Question = Callable[[], Awaitable[None]]


class Manager:
    """The service manager, or its absence. Made by `found`; sending never raises and never waits."""

    def __init__(self, address: str = "", watchdog_s: float = 0.0, sockets: Sequence[socket.socket] = ()) -> None:
        self.address, self.watchdog_s = address, watchdog_s
        self._sockets = list(sockets)
        self._asked = 0.0

    @classmethod
    def found(cls, environ: MutableMapping[str, str] = os.environ) -> "Manager":
        """What the environment says, which is cleared of it. Descriptors that are meant for another process are left alone."""
        said = {name: environ.pop(name, "") for name in VARIABLES}
        mine = str(os.getpid())
        address = said["NOTIFY_SOCKET"] if said["NOTIFY_SOCKET"][:1] in ("/", "@") else ""
        watched = bool(address) and said["WATCHDOG_PID"] in ("", mine)
        watchdog = _number(said["WATCHDOG_USEC"]) / 1e6 if watched else 0.0
        count = min(_number(said["LISTEN_FDS"]), MOST_SOCKETS) if said["LISTEN_PID"] == mine else 0
        return cls(address, watchdog, [found for fd in range(FIRST, FIRST + count) if (found := _inherited(fd))])

    @property
    def present(self) -> bool:
        """Whether somebody listens to what we tell."""
        return bool(self.address)

    def tell(self, *lines: str) -> bool:
        """Tell the manager, in one datagram; whether it could be sent."""
        if not self.address:
            return False
        where = "\0" + self.address[1:] if self.address.startswith("@") else self.address
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as out:
                out.setblocking(False)
                out.sendto("\n".join(lines).encode(), where)
        except OSError as error:
            log.warning("the service manager could not be told %s: %s", lines[0], error.strerror)
            return False
        return True

    def socket_at(self, path: Path) -> socket.socket | None:
        """The listening socket that the manager keeps for us at this path, or None. Others that it handed us are closed.

        Mistake when the file is not ours alone: whoever reaches it would be a person to us.
        """
        kept: socket.socket | None = None
        for one in self._sockets:
            if kept is None and _listens_at(one, path):
                kept = one
            else:
                log.warning("closed an inherited socket that is not %s", path)
                one.close()
        self._sockets = [kept] if kept else []
        if kept is not None:
            facts = path.lstat()
            if facts.st_uid != os.getuid() or facts.st_mode & 0o077:
                raise Mistake("the operator's socket that the service manager made is open to others", where=str(path),
                              mend="`andon service install` writes a socket unit with SocketMode=0600; then start it again")
        return kept

    def starting(self, seconds: float) -> None:
        """Reading the ledger begins and may take this long."""
        self.tell(f"EXTEND_TIMEOUT_USEC={int(seconds * 1e6)}", "STATUS=reading the ledger")

    def leaving(self, because: str) -> None:
        """We drain. Asks for more time until we are gone, but not for ever."""
        if not self.present:
            return
        self._asked += PATIENCE_S / 2
        self.tell("STOPPING=1", f"STATUS=leaving: {_line(because)}", f"EXTEND_TIMEOUT_USEC={int(PATIENCE_S * 1e6)}")
        if self._asked < LEAVING_S:
            asyncio.get_running_loop().call_later(PATIENCE_S / 2, self.leaving, because)

    async def report(self, ready: asyncio.Event, questions: Sequence[Question], status: str) -> None:
        """Say that we are there once `ready` is set and each question was answered; then live for the watchdog, if there is one."""
        if not self.present:
            return
        await ready.wait()
        for ask in questions:
            await ask()
        self.tell("READY=1", f"STATUS={_line(status)}")
        while self.watchdog_s:
            for ask in questions:  # no limit here: a question that is not answered is what the watchdog is for
                await ask()
            self.tell("WATCHDOG=1")
            await asyncio.sleep(self.watchdog_s / SHARE)


def apart() -> tuple[str, ...]:
    """Words before a command that must outlive the daemon: under our own unit, a scope of its own; else none."""
    if not os.environ.get(SERVICE):
        return ()
    return ("systemd-run", "--user", "--scope", "--quiet", "--collect", "-p", "Delegate=yes", "--")


def umask() -> int:
    """The person's own file mode mask, for commands that are theirs; -1 (leave it) when no unit says one."""
    said = os.environ.get(UMASK, "")
    return int(said, 8) if said and len(said) <= 4 and set(said) <= set("01234567") else -1


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else 0


def _line(text: str) -> str:
    return " ".join(clean(text).split())[:200]


def _inherited(fd: int) -> socket.socket | None:
    """The descriptor as a socket that no child inherits; anything else is closed."""
    try:
        if stat.S_ISSOCK(os.fstat(fd).st_mode):
            os.set_inheritable(fd, False)
            return socket.socket(fileno=fd)
        os.close(fd)
    except OSError as error:
        log.warning("an inherited descriptor (%d) cannot be used: %s", fd, error.strerror)
    return None


def _listens_at(one: socket.socket, path: Path) -> bool:
    with contextlib.suppress(OSError):
        accepts = one.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
        stream = one.family == socket.AF_UNIX and one.type == socket.SOCK_STREAM
        return bool(accepts) and stream and one.getsockname() == str(path)
    return False
