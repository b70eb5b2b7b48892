"""The daemon's own record of a directory that it made, kept beside it and out of its reach; must never guess.

A directory `<name>` has its record in `.<name>.json` and, for a checkout, the index as the daemon left it in `.<name>.index`.
Only what has a record that fits is ours: nothing else is ever cleaned or removed.
"""

import contextlib
import os
from pathlib import Path

import msgspec

from andon.edges.durable import sync_dir
from andon.schema.layout import Layout


class Marker(msgspec.Struct, frozen=True, kw_only=True):
    """What the daemon knows of a directory that it made."""

    kind: str
    """`checkout` or `slot`."""
    device: int
    inode: int
    """With `device`: the very directory, so that another one put in its place is not taken for ours."""
    attempt: str = ""
    task: str = ""
    repo: str = ""
    git_dir: str = ""
    base: str = ""
    start: str = ""
    """The commit that was checked out at first."""
    rebased: str = ""
    """What became of replaying earlier work onto the base; empty: nothing was to be."""
    isolation: str = ""
    hide: tuple[str, ...] = ()
    """What is not in it, not in its git directory either."""
    branch: str = ""
    port: int = 0
    ports: int = 0
    ready: bool = False
    """Setup commands are done: an agent may have worked here."""
    setup_s: float = 0.0
    gone: bool = False
    """Salvaged and removed; `ref`, `oid` and `dirty` tell of the snapshot."""
    ref: str = ""
    oid: str = ""
    dirty: bool = False


def record(path: Path) -> Path:
    """Where the record of a directory lies."""
    return path.parent / f".{path.name}.json"


def index(path: Path) -> Path:
    """Where the index of a checkout lies as the daemon last knew it: its file times can be believed, an agent's cannot."""
    return path.parent / f".{path.name}.index"


def read(path: Path) -> Marker | None:
    """The record of a directory, or None when there is none that can be read."""
    with contextlib.suppress(FileNotFoundError, msgspec.MsgspecError):
        return msgspec.json.decode(record(path).read_bytes(), type=Marker)
    return None


def write(path: Path, marker: Marker, *, durable: bool = False) -> None:
    """Put the record in place, whole; with `durable`, it outlives a power cut.

    Durable is for a record that is written before the files it speaks of: later, it would have to wait for all of them.
    """
    place = record(path)
    place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    aside = place.with_name(f"{place.name}.new")
    with aside.open("wb") as file:
        file.write(msgspec.json.encode(marker))
        file.flush()
        if durable:
            os.fsync(file.fileno())
    aside.rename(place)
    if durable:
        sync_dir(place.parent)


def identity(path: Path) -> tuple[int, int]:
    """Device and inode of a directory; FileNotFoundError when it is gone, NotADirectoryError when it is no real directory."""
    seen = path.lstat()
    if not path.is_dir() or path.is_symlink():
        raise NotADirectoryError(f"{path} is not a directory of its own")
    return seen.st_dev, seen.st_ino


def ours(path: Path, layout: Layout) -> Marker | None:
    """The record of a directory that stands, lies inside the factory's home, and is the very one that the daemon made."""
    marker = read(path)
    try:
        if marker is not None and inside(path, layout) and identity(path) == (marker.device, marker.inode):
            return marker
    except (FileNotFoundError, NotADirectoryError):
        pass
    return None


def inside(path: Path, layout: Layout) -> bool:
    """Whether a path lies below the factory's home by real directories only: no symlink on the way leads out."""
    home, parent = Path(os.path.realpath(layout.home)), Path(os.path.realpath(path.parent))
    return parent != home and parent.is_relative_to(home) and path.name not in ("", ".", "..")
