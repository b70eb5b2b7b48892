# ruff: noqa: PTH108, PTH119, PTH120 (the shim loads it, and pathlib would cost a third of its start)
"""Doors in a job's walls: bytes between a port of its loopback and a unix socket of the host; stdlib only, and it must never
read what it carries.

Theory of operation. One process per job with doors, a child of the shim, *outside* of the walls: it enters the job's user and
network namespace alone, so its ports are the job's while its files are the host's. Inside nobody can see, signal or end it, and
no program has to be put there for it. One poll loop carries all connections; each direction holds at most one chunk, so a slow
reader slows its writer and nobody else; an end of one direction is passed on as such.
"""

import contextlib
import errno
import os
import select
import socket
import stat

CHUNK = 1 << 16
CONNECTIONS = 400
"""At once; further ones wait in the listener's queue. Two descriptors each, of 1024."""
RETRIES, PAUSE_MS = 1000, 10
"""How often a unix socket with a full queue is asked again before its caller is sent away, and how soon."""
_NS_GET_USERNS, _CLONE_NEWUSER, _CLONE_NEWNET, _IP_FREEBIND = 0xB701, 0x10000000, 0x40000000, 15


class Way:
    """One direction of a connection: what was read and not yet written."""

    __slots__ = ("closed", "data", "into", "out", "over")

    def __init__(self, out: socket.socket, into: socket.socket) -> None:
        self.out, self.into = out, into
        self.data = b""
        self.over = False
        """Nothing more comes."""
        self.closed = False
        """And that was passed on."""


class Doors:
    """All doors of one job."""

    def __init__(self) -> None:
        self.poll = select.poll()
        self.listening: dict[int, tuple[socket.socket, str | int]] = {}
        self.ways: dict[int, tuple[Way, Way]] = {}
        """By descriptor: the way out of it, and the way into it."""
        self.waiting = False
        self.asking: list[tuple[socket.socket, str, int]] = []
        """Callers of a unix socket whose queue is full, and how often it was asked."""

    def open(self, port: int, path: str, inward: bool) -> None:
        """Listen at the outer end of a door. Raises OSError."""
        if inward:
            with contextlib.suppress(FileNotFoundError):
                if stat.S_ISSOCK(os.lstat(path).st_mode):
                    os.unlink(path)  # an earlier sitting's
            listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            folder = os.open(os.path.dirname(path), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            old = os.umask(0o177)
            try:
                listener.bind(f"/proc/self/fd/{folder}/{os.path.basename(path)}")  # a job's own path may be longer than a socket's
            finally:
                os.close(folder)
                os.umask(old)
        else:
            listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.setsockopt(socket.IPPROTO_IP, _IP_FREEBIND, 1)  # the loopback may not be up yet
            listener.bind(("127.0.0.1", port))
        listener.listen(128)
        listener.setblocking(False)
        self.listening[listener.fileno()] = (listener, port if inward else path)
        self.poll.register(listener, select.POLLIN)

    def run(self) -> None:
        """Carry bytes for ever."""
        while True:
            for fd, events in self.poll.poll(PAUSE_MS if self.asking else None):
                if fd in self.listening:
                    self._accept(fd)
                elif fd in self.ways:
                    self._carry(fd, events)
            again, self.asking = self.asking, []
            for near, path, times in again:
                self._connect(near, path, times)

    def _accept(self, fd: int) -> None:
        listener, to = self.listening[fd]
        try:
            near = listener.accept()[0]
        except OSError:  # gone again, or no descriptor left for now
            return
        near.setblocking(False)
        self._connect(near, to, 0)

    def _connect(self, near: socket.socket, to: str | int, times: int) -> None:
        far = socket.socket(socket.AF_INET if isinstance(to, int) else socket.AF_UNIX, socket.SOCK_STREAM)
        far.setblocking(False)
        try:
            problem = far.connect_ex(("127.0.0.1", to) if isinstance(to, int) else to)
        except OSError as error:
            problem = error.errno or errno.EIO
        if problem not in (0, errno.EINPROGRESS):
            far.close()
            if problem == errno.EAGAIN and isinstance(to, str) and times < RETRIES:
                self.asking.append((near, to, times + 1))
            else:
                near.close()
            return
        ways = Way(near, far), Way(far, near)
        self.ways[near.fileno()], self.ways[far.fileno()] = ways, (ways[1], ways[0])
        self._watch(ways)
        self._hold()

    def _hold(self) -> None:
        """Take no more while all places are taken."""
        full = len(self.ways) >= 2 * CONNECTIONS
        if full != self.waiting:
            self.waiting = full
            for listener, _ in self.listening.values():
                self.poll.modify(listener, 0 if full else select.POLLIN)

    def _watch(self, ways: tuple[Way, Way]) -> None:
        """Ask the kernel for exactly what could be done next: who is not asked for cannot keep the loop awake by a hang-up."""
        for out, into in (ways, ways[::-1]):
            wanted = select.POLLIN if not out.data and not out.over else 0
            wanted |= select.POLLOUT if into.data or (into.over and not into.closed) else 0
            if wanted:
                self.poll.register(out.out, wanted)
            else:
                self._unwatch(out.out)

    def _unwatch(self, one: socket.socket) -> None:
        with contextlib.suppress(KeyError):
            self.poll.unregister(one)

    def _carry(self, fd: int, events: int) -> None:
        out, into = self.ways[fd]
        try:
            if events & (select.POLLIN | select.POLLHUP) and not out.data and not out.over:
                out.data = out.out.recv(CHUNK)
                out.over = not out.data
            if events & (select.POLLERR | select.POLLNVAL):
                raise OSError(fd_error(out.out), "connection")
            for way in (out, into):
                self._pass(way)
        except BlockingIOError:
            pass
        except OSError:
            return self._drop(out, into)
        if out.closed and into.closed:
            return self._drop(out, into)
        self._watch((out, into))

    def _pass(self, way: Way) -> None:
        try:
            while way.data:
                way.data = way.data[way.into.send(way.data):]
            if way.over and not way.closed:
                way.into.shutdown(socket.SHUT_WR)
                way.closed = True
        except BlockingIOError:
            return
        except OSError as error:
            if error.errno != errno.ENOTCONN:  # still connecting: the kernel tells when it may be written
                raise

    def _drop(self, *ways: Way) -> None:
        for way in ways:
            self.ways.pop(way.out.fileno(), None)
            self._unwatch(way.out)
            way.out.close()
        self._hold()


def fd_error(one: socket.socket) -> int:
    """The pending error of a socket."""
    return one.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) or errno.EIO


def enter(pid: int) -> None:
    """Go into the network namespace of a process of ours (and the user namespace that owns it). Raises OSError."""
    import ctypes
    import fcntl

    libc = ctypes.CDLL(None, use_errno=True)
    network = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    owner = fcntl.ioctl(network, _NS_GET_USERNS)
    for fd, kind in ((owner, _CLONE_NEWUSER), (network, _CLONE_NEWNET)):
        if libc.setns(fd, kind):
            raise OSError(ctypes.get_errno(), "setns")
        os.close(fd)


def serve(forwards: list[dict[str, object]], pid: int, ready: int) -> None:
    """In a process of its own: open every door, say so (`ok`, or what is wrong), and carry until ended.

    `pid`: whose network the ports are in; 0: ours.
    """
    doing = "network namespace"
    try:
        if pid:
            enter(pid)
        doors = Doors()
        for one in forwards:
            doing = f"door between port {one['port']} and {one['socket']}"
            doors.open(int(str(one["port"])), str(one["socket"]), bool(one.get("inward")))
    except OSError as error:
        os.write(ready, f"{doing}: {error.strerror or error}".encode())
        return
    os.write(ready, b"ok")
    os.close(ready)
    doors.run()
