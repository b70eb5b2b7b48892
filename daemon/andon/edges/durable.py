"""Files that are whole or not there after a power cut, and readable by their owner alone. Must never know what is in them."""

import contextlib
import errno
import os
import tempfile
from pathlib import Path

from andon.edges.proctable import exists
from andon.schema.errors import Mistake

TEMPORARY = ".tmp-"
"""How the name of a half-written file begins."""


def private_dir(path: Path) -> Path:
    """The directory exists and is 0700."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    if path.stat().st_mode & 0o077:
        path.chmod(0o700)
    return path


def sync_dir(path: Path) -> None:
    """Names in this directory survive a power cut."""
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_file(path: Path, data: bytes, *, alone: bool = False) -> None:
    """Put `data` at `path`, 0600: a reader sees the old content or the new one, and the new one is durable on return.

    `alone`: nobody sweeps this folder, so what a writer that was killed left in it is removed first.
    """
    if alone:
        clear_left(path.parent)
    handle, name = tempfile.mkstemp(prefix=f"{TEMPORARY}{os.getpid()}-", dir=path.parent)
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            temporary.unlink()
        raise
    sync_dir(path.parent)


def clear_left(folder: Path) -> None:
    """Remove what writers that are dead left half-written here: it bears their process number. Never raises."""
    with contextlib.suppress(OSError):
        for left in folder.glob(f"{TEMPORARY}*-*"):
            pid = left.name.removeprefix(TEMPORARY).partition("-")[0]
            if pid.isdigit() and int(pid) != os.getpid() and not exists(int(pid)) and left.is_file() and not left.is_symlink():
                left.unlink(missing_ok=True)


def unwritable(error: OSError, what: str, where: Path) -> Mistake:
    """The failed write as an error for people: `what` is the sentence's beginning, and a full disk is called a full disk."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return Mistake(f"The disk is full: {what}.", where=str(where), mend="Free at least 1 MiB on that file system.")
    return Mistake(f"{what[0].upper()}{what[1:]}: {error.strerror}.", where=str(where), mend="Check its permissions and its disk.")
