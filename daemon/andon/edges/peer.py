"""Judges who stands at the operator's socket: the same person, outside every sandbox, below no agent. Never knows what they ask.

Theory of operation. The kernel names the process that connected (SO_PEERCRED). The same uid is not enough: an agent has it too. So
the peer must live in our pid, mount and user namespaces (a sandboxed process does not), and none of the processes above it may be
the shim of a session, nor may it or one of them carry a session's marker in its environment (one whose parents are gone still
does). What cannot be seen is refused. The peer is held by a pidfd meanwhile, so that its number cannot pass to another.
What is left open, and why approval also rests on a sandbox: a process of the same uid without any sandbox can clear its marker
and leave its parents.
"""

import contextlib
import os
import socket
import struct
import sys
from pathlib import Path

import msgspec

from andon.edges.process import MARKER

NAMESPACES = ("pid", "mnt", "user")
DEPTH = 128
"""Processes above the peer that are looked at; more than so many are refused."""
ENVIRON_BYTES = 256 * 1024


class Peer(msgspec.Struct, frozen=True):
    """Who connected, as the kernel says it. -1: it does not say."""

    uid: int
    pid: int = -1


def who(sock: socket.socket) -> Peer:
    """The process at the other end of a unix socket, as of the moment in which it connected."""
    if sys.platform == "linux":
        pid, uid, _ = struct.unpack("3i", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
        return Peer(uid, pid)
    if sys.platform == "darwin":
        uid = int(struct.unpack("2I", sock.getsockopt(0, 1, 8))[1])  # LOCAL_PEERCRED: struct xucred {version, uid, …}
        return Peer(uid, int(struct.unpack("i", sock.getsockopt(0, 2, 4))[0]))  # LOCAL_PEERPID
    return Peer(-1)


def refusal(peer: Peer, jobs: Path) -> str:
    """Why this peer may not decide anything; empty when it may. `jobs` holds the job directories of all sessions.

    Where there is no /proc (not Linux), only the uid is known, and only it is asked.
    """
    if peer.uid != os.getuid():
        return "it belongs to somebody else"
    if sys.platform != "linux":
        return ""
    if peer.pid <= 0:
        return "it lives in a process namespace that cannot be seen from here: a sandbox"
    with contextlib.ExitStack() as stack:
        try:
            stack.callback(os.close, os.pidfd_open(peer.pid))
        except ProcessLookupError:
            return "it is gone already"
        except OSError:  # an old kernel or a filter: the number may have passed on, and then to a process that is judged just so
            pass
        return _sandboxed(peer.pid) or _descended(peer.pid, os.path.realpath(jobs))


def _sandboxed(pid: int) -> str:
    for name in NAMESPACES:
        try:
            theirs, ours = Path(f"/proc/{pid}/ns/{name}").stat(), Path(f"/proc/self/ns/{name}").stat()
        except OSError as error:
            return f"its {name} namespace cannot be seen: {error.strerror}"
        if (theirs.st_dev, theirs.st_ino) != (ours.st_dev, ours.st_ino):
            return f"it lives in another {name} namespace than the factory: a sandbox"
    return ""


def _descended(pid: int, jobs: str) -> str:
    """Whether it, or a process above it, is a session's. The walk ends at the first process, or at one of another person."""
    for step in range(DEPTH):
        if pid <= 1 or pid == os.getpid():
            return ""
        try:
            foreign = Path(f"/proc/{pid}").stat().st_uid != os.getuid()
            parent = _parent(pid)
            told = None if foreign else (_read(pid, "cmdline"), _read(pid, "environ"))
        except (OSError, ValueError) as error:
            if step == 0 or not isinstance(error, FileNotFoundError | ProcessLookupError):
                return f"the processes above it cannot be seen ({pid}: {error})"
            return ""  # a parent that just ended: what it started now belongs to the first process or to a shim, seen below
        if told is not None and (session := _session(*told, jobs)):
            return f"it was started by the agent of {session}"
        pid = parent
    return f"more than {DEPTH} processes stand above it"


def _session(cmdline: bytes, environ: bytes, jobs: str) -> str:
    """The session that a process belongs to, by its shim's words or its marker; empty for none."""
    words = [os.fsdecode(word) for word in cmdline.split(b"\0") if word]
    for n, word in enumerate(words[:-1]):
        if word.endswith("/andon/edges/shim.py") and (name := _job(words[n + 1], jobs)):
            return name
    for entry in environ.split(b"\0"):
        key, _, value = entry.partition(b"=")
        if key in (os.fsencode(MARKER), b"ANDON_JOB") and (name := _job(os.fsdecode(value), jobs)):
            return name
    return ""


def _job(path: str, jobs: str) -> str:
    """The name of a session's job directory of ours; empty for any other path."""
    real = os.path.realpath(path)
    return os.path.relpath(real, jobs).partition("/")[0] if real.startswith(f"{jobs}/") else ""


def _parent(pid: int) -> int:
    return int(_read(pid, "stat").rpartition(b")")[2].split()[1])


def _read(pid: int, name: str) -> bytes:
    fd = os.open(f"/proc/{pid}/{name}", os.O_RDONLY | os.O_CLOEXEC)
    try:
        pieces = b""
        while len(pieces) < ENVIRON_BYTES and (piece := os.read(fd, ENVIRON_BYTES)):
            pieces += piece
        return pieces
    finally:
        os.close(fd)
