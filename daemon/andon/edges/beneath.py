"""Opens files that an agent may have put there or replaced: below one folder, by no link, plain files only; it never knows why.

Theory of operation. An agent writes where the daemon reads: its job directory, its checkout, its home, the report of a check. A
path there is a *root* that the daemon made and a *name* below it. The kernel resolves the name in one step (`openat2` with
BENEATH, NO_SYMLINKS, NO_MAGICLINKS); where it cannot, each folder is opened on its own without following a link, which comes to
the same. Nothing here waits: a FIFO, a device, a socket and a folder in a file's place are refused after an open that does not
block, and so is what is larger than the caller reads. Whatever is refused is an OSError; `none` of it is a Mistake or a hang.
"""

import contextlib
import ctypes
import errno
import os
import stat
import struct
import sys
from collections.abc import Iterator
from pathlib import Path

from andon.edges.proctable import exists

NUMBER = 437
"""Of the system call openat2, on every architecture but alpha."""
_NO_XDEV, _NO_MAGICLINKS, _NO_SYMLINKS, _BENEATH = 0x01, 0x02, 0x04, 0x08
RESOLVE = _NO_MAGICLINKS | _NO_SYMLINKS | _BENEATH
TRIES = 8
"""The kernel gives up (EAGAIN) when a name moves while it looks; so often it is asked again."""
ASIDES = 1000
"""Entries of a folder that are looked at for what a killed writer left."""
DEPTH = 256
"""Folders in one name, at most."""
_ALWAYS = os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY
_MISSING = (errno.ENOSYS, errno.EPERM, errno.E2BIG, errno.EINVAL)
"""How a kernel without it, or a seccomp filter before it, says so. A name that EPERM was meant for gets it again in the walk."""


class Kernel:
    """The system call, found once; `there` is false after it was refused as unknown."""

    def __init__(self) -> None:
        self.there = sys.platform == "linux"
        self._call = ctypes.CDLL(None, use_errno=True).syscall if self.there else None

    def open(self, folder: int, name: bytes, flags: int, mode: int) -> int:
        """A descriptor. Raises OSError; NotImplementedError when there is no such call here."""
        if not self.there or self._call is None:
            raise NotImplementedError
        how = struct.pack("=QQQ", flags, mode if flags & os.O_CREAT else 0, RESOLVE)
        for _ in range(TRIES):
            fd = int(self._call(ctypes.c_long(NUMBER), ctypes.c_int(folder), ctypes.c_char_p(name), how, ctypes.c_size_t(len(how))))
            number = 0 if fd >= 0 else ctypes.get_errno()
            if fd >= 0:
                return fd
            if number != errno.EAGAIN:
                break
        if number in _MISSING:
            self.there = self.there and number != errno.ENOSYS
            raise NotImplementedError
        raise OSError(number, os.strerror(number), os.fsdecode(name))


kernel = Kernel()


def opened(root: Path | int, name: str, flags: int = os.O_RDONLY, mode: int = 0o600) -> int:
    """A descriptor of the plain file `name` (a relative path) below `root`, never blocking. Raises OSError for anything else.

    `root` is a folder of the daemon's choice, or its descriptor; its own last part may be no link either. A file that is
    opened to be written has no second name, so nothing elsewhere is written through it.
    """
    fd = _open(root, name, flags, mode)
    try:
        facts = os.fstat(fd)
        if not stat.S_ISREG(facts.st_mode):
            raise OSError(errno.EINVAL, "no plain file", name)
        if flags & (os.O_WRONLY | os.O_RDWR) and facts.st_nlink > 1:
            raise OSError(errno.EMLINK, "it has another name elsewhere", name)
    except OSError:
        os.close(fd)
        raise
    return fd


@contextlib.contextmanager
def folder(root: Path | int, name: str = ".") -> Iterator[int]:
    """The descriptor of the folder `name` below `root`, for as long as it is needed. Raises OSError."""
    fd = _open(root, name, os.O_RDONLY | os.O_DIRECTORY, 0)
    try:
        yield fd
    finally:
        os.close(fd)


def read(root: Path | int, name: str, limit: int) -> bytes:
    """All of a file of at most `limit` bytes. Raises OSError; EFBIG when it is larger: a part would pass for the whole."""
    fd = opened(root, name)
    try:
        if os.fstat(fd).st_size > limit:
            raise OSError(errno.EFBIG, "larger than is read", name)
        data = _all(fd, limit + 1)
    finally:
        os.close(fd)
    if len(data) > limit:
        raise OSError(errno.EFBIG, "larger than is read", name)
    return data


def tail(root: Path | int, name: str, limit: int) -> bytes:
    """The last `limit` bytes of a file. Raises OSError."""
    fd = opened(root, name)
    try:
        os.lseek(fd, max(0, os.fstat(fd).st_size - limit), os.SEEK_SET)
        return _all(fd, limit)
    finally:
        os.close(fd)


def head(root: Path | int, name: str, limit: int) -> bytes:
    """The first `limit` bytes of a file. Raises OSError."""
    fd = opened(root, name)
    try:
        return _all(fd, limit)
    finally:
        os.close(fd)


def write_whole(root: Path | int, name: str, data: bytes, mode: int = 0o600) -> None:
    """Make `name` below `root` hold exactly this, durably, or leave it as it was. What stood there is replaced, never followed."""
    *above, last = _parts(name) or [""]
    with folder(root, "/".join(above) or ".") as place:
        aside = f".{last}.{os.getpid()}.new"
        _clear_asides(place, last)
        try:
            _fill(place, aside, data, mode)
            os.replace(aside, last, src_dir_fd=place, dst_dir_fd=place)
        except OSError:
            with contextlib.suppress(OSError):
                os.unlink(aside, dir_fd=place)
            raise
        os.fsync(place)


def _clear_asides(place: int, last: str) -> None:
    """Remove what we ourselves, or a writer of ours that is dead, left beside this name; of a folder's first entries."""
    with contextlib.suppress(OSError), os.scandir(place) as entries:
        for entry, _ in zip(entries, range(ASIDES), strict=False):
            pid = entry.name.removeprefix(f".{last}.").removesuffix(".new")
            if entry.name == f".{last}.{pid}.new" and pid.isdigit() and (int(pid) == os.getpid() or not exists(int(pid))):
                with contextlib.suppress(OSError):
                    os.unlink(entry.name, dir_fd=place)


def make_folders(root: Path | int, name: str, mode: int = 0o700) -> None:
    """Make the folders of `name` below `root` that are missing. Raises OSError when one of them is a link or no folder."""
    done: list[str] = []
    for part in _parts(name):
        with folder(root, "/".join(done) or ".") as place, contextlib.suppress(FileExistsError):
            os.mkdir(part, mode, dir_fd=place)
        done.append(part)
    with folder(root, "/".join(done) or "."):
        pass


def facts(root: Path | int, name: str) -> os.stat_result | None:
    """What stands at a name below `root`, a link itself and not what it names; None when nothing can be seen there."""
    above, _, last = name.rpartition("/")
    try:
        _parts(name)
        with folder(root, above or ".") as place:
            return os.stat(last, dir_fd=place, follow_symlinks=False)
    except OSError:
        return None


def names(root: Path | int, name: str, limit: int) -> list[str]:
    """At most `limit` names in a folder below `root`, sorted; none when it cannot be read."""
    try:
        with folder(root, name) as place, os.scandir(place) as entries:
            return sorted(entry.name for entry, _ in zip(entries, range(limit), strict=False))
    except OSError:
        return []


# --- inside ----------------------------------------------------------------------------------------------------------


def _open(root: Path | int, name: str, flags: int, mode: int) -> int:
    parts = _parts(name)
    if isinstance(root, int):
        return _below(root, parts, flags | _ALWAYS, mode)
    base = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        return _below(base, parts, flags | _ALWAYS, mode)
    finally:
        os.close(base)


def _below(base: int, parts: list[str], flags: int, mode: int) -> int:
    try:
        return kernel.open(base, os.fsencode("/".join(parts) or "."), flags, mode)
    except NotImplementedError:
        return walk(base, parts, flags, mode)


def walk(base: int, parts: list[str], flags: int, mode: int) -> int:
    """The same by one open a folder, for systems without `openat2`."""
    here = base
    try:
        for part in parts[:-1]:
            there = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW, dir_fd=here)
            if here != base:
                os.close(here)
            here = there
        return os.open(parts[-1] if parts else ".", flags, mode, dir_fd=here)
    finally:
        if here != base:
            os.close(here)


def _parts(name: str) -> list[str]:
    """The parts of a relative name. Raises OSError for one that is absolute, climbs, or cannot be a name."""
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if name.startswith("/") or ".." in parts or len(parts) > DEPTH:
        raise OSError(errno.EXDEV, "it leads outside", name)
    if not name or "\0" in name:
        raise OSError(errno.EINVAL, "no name", name)
    return parts


def _fill(place: int, name: str, data: bytes, mode: int) -> None:
    fd = opened(place, name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        os.fchmod(fd, mode)
        while data:
            data = data[os.write(fd, data):]
        os.fsync(fd)
    finally:
        os.close(fd)


def _all(fd: int, limit: int) -> bytes:
    pieces: list[bytes] = []
    while limit > 0 and (piece := os.read(fd, min(limit, 1 << 20))):
        pieces.append(piece)
        limit -= len(piece)
    return b"".join(pieces)
