"""The door of the operator's socket: makes it, and says who stands at it; must never know what is said through it."""

import os
import pwd
import socket
import stat
import struct
import sys
from pathlib import Path

from andon.schema.errors import Mistake


def peer_uid(sock: socket.socket) -> int:
    """Who is at the other end of a unix socket, as the kernel says it; -1 where the kernel does not say."""
    if sys.platform == "linux":
        return int(struct.unpack("3i", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[1])
    if sys.platform == "darwin":
        return int(struct.unpack("2I", sock.getsockopt(0, 1, 8))[1])  # LOCAL_PEERCRED: struct xucred {version, uid, …}
    return -1


def login_of(uid: int) -> str:
    """The login name of a uid; the number when it has none."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def claim(path: Path) -> socket.socket:
    """A listening socket at `path`, 0600 in a directory that is ours and 0700. A stale one is replaced, a live one is a Mistake."""
    _own_directory(path.parent)
    if path.is_symlink() or (path.exists() and not stat.S_ISSOCK(path.lstat().st_mode)):
        raise Mistake("something that is no socket is in the way of the operator's socket", where=str(path), mend="move it away")
    if path.exists():
        if answers(path):
            raise Mistake("another daemon answers on this factory's socket", where=str(path),
                          mend="use it, or end it with `andon down`")
        path.unlink(missing_ok=True)
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o177)
    try:
        listening.bind(str(path))
    except OSError as error:
        listening.close()
        raise Mistake(f"the operator's socket cannot be made: {error.strerror}", where=str(path),
                      mend="set ANDON_HOME to a directory that is short and yours") from error
    finally:
        os.umask(before)
    path.chmod(0o600)
    return listening


def answers(path: Path) -> bool:
    """Whether somebody accepts on this socket."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(str(path))
        except (ConnectionRefusedError, FileNotFoundError):
            return False
        except OSError:
            return True
        return True


def _own_directory(path: Path) -> None:
    path.mkdir(parents=True, exist_ok=True, mode=0o700)
    facts = path.lstat()
    if not stat.S_ISDIR(facts.st_mode) or facts.st_uid != os.getuid():
        raise Mistake("the directory of the operator's socket is not ours", where=str(path),
                      mend="set ANDON_HOME to a directory of your own")
    if facts.st_mode & 0o077:
        path.chmod(0o700)
