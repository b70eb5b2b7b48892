"""Files that are whole or not there after a power cut, and readable by their owner alone. Must never know what is in them."""

import contextlib
import errno
import os
import tempfile
from pathlib import Path

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


def write_file(path: Path, data: bytes) -> None:
    """Put `data` at `path`, 0600: a reader sees the old content or the new one, and the new one is durable on return."""
    handle, name = tempfile.mkstemp(prefix=TEMPORARY, dir=path.parent)
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


def unwritable(error: OSError, what: str, where: Path) -> Mistake:
    """The failed write as an error for people: `what` is the sentence's beginning, and a full disk is called a full disk."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return Mistake(f"The disk is full: {what}.", where=str(where), mend="Free at least 1 MiB on that file system.")
    return Mistake(f"{what[0].upper()}{what[1:]}: {error.strerror}.", where=str(where), mend="Check its permissions and its disk.")
