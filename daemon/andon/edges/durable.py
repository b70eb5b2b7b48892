"""Files that are whole or not there after a power cut, and readable by their owner alone. Must never know what is in them."""

import contextlib
import os
import tempfile
from pathlib import Path

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
