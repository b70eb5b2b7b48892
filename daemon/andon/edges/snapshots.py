"""Snapshot files: a state as opaque bytes, bound to the event that it includes. Must never know what a state is.

They lie beside the ledger, not in it: a snapshot that knows an event which the ledger lacks is how a cut tail is noticed.
"""

import hashlib
from pathlib import Path

import msgspec

from andon.edges.durable import TEMPORARY, private_dir, write_file
from andon.schema.layout import Layout

KEPT = 2
"""The newest ones; if the last was torn, the one before still saves the long replay."""
_SUFFIX = ".snapshot"


class Head(msgspec.Struct, frozen=True, kw_only=True):
    """The first line of a snapshot file."""

    format: int = 1
    seq: int
    """The last event that the state includes."""
    hash: str
    """Hash of that event's row."""
    digest: str
    """sha256 of the bytes after the first line."""


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """A whole snapshot."""

    head: Head
    data: bytes


def directory(layout: Layout) -> Path:
    """Where the snapshots of a factory lie."""
    return layout.home / "snapshots"


def save(layout: Layout, seq: int, hash: str, data: bytes) -> None:
    """Write a snapshot, durable on return, then drop all but the newest two. Raises OSError."""
    home = private_dir(directory(layout))
    head = Head(seq=seq, hash=hash, digest=hashlib.sha256(data).hexdigest())
    write_file(home / f"{seq:015d}{_SUFFIX}", msgspec.json.encode(head) + b"\n" + data)
    for old in _files(layout)[KEPT:]:
        old.unlink(missing_ok=True)


def sweep(layout: Layout) -> None:
    """Take away half-written files that a dead daemon left. For the holder of the lock, before any `save`."""
    for path in directory(layout).glob(f"{TEMPORARY}*"):
        path.unlink(missing_ok=True)


def whole(layout: Layout) -> list[Snapshot]:
    """All snapshots that are whole, newest first. Torn, foreign and unreadable ones are passed over."""
    return [snapshot for path in _files(layout) if (snapshot := _read(path))]


def _files(layout: Layout) -> list[Path]:
    return sorted(directory(layout).glob(f"[0-9]*{_SUFFIX}"), reverse=True)


def _read(path: Path) -> Snapshot | None:
    try:
        line, _, data = path.read_bytes().partition(b"\n")
        head = msgspec.json.decode(line, type=Head)
    except (OSError, msgspec.MsgspecError):
        return None
    if head.format != 1 or hashlib.sha256(data).hexdigest() != head.digest:
        return None
    return Snapshot(head=head, data=data)
