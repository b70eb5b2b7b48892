"""Content-addressed files: logs, reports, diffs, evidence. Must never know what a blob means."""

import contextlib
import hashlib
import re
import threading
from pathlib import Path

from andon.edges import withheld
from andon.edges.durable import TEMPORARY, private_dir, sync_dir, unwritable, write_file
from andon.schema.errors import Mistake
from andon.schema.ids import Digest
from andon.schema.layout import Layout

AGAIN = 100_000
"""Repeated blobs that are remembered; past it none is taken away in this life."""
_DIGEST = re.compile(r"[0-9a-f]{64}")


class Blobs:
    """The blobs of one factory. Plain blocking calls: a loop gives large ones to a thread. Safe from several threads at once."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._turn = threading.Lock()
        """Between finding a blob there and taking it away."""
        self._again: set[Digest] = set()
        """Old blobs that were put once more in this life: something is about to name them."""
        withheld.keep(layout.home)

    def put(self, data: bytes) -> Digest:
        """Keep `data` without secrets and name what is kept by its sha256. Durable on return; the same again writes nothing.

        What cannot be looked through for secrets is not kept: a note stands in its place. A blob that went bad on disk is
        replaced by the good data. Raises Mistake when it cannot be written.
        """
        data = withheld.data(data)
        digest = Digest(hashlib.sha256(data).hexdigest())
        path = self._layout.blob(digest)
        try:
            with self._turn:
                known = self._holds(path, data)
                if known and len(self._again) <= AGAIN:
                    self._again.add(digest)
            if not known:
                self._make_room(path)
                write_file(path, data)
        except OSError as error:
            raise unwritable(error, f"a blob of {len(data)} bytes cannot be written", path.parent) from error
        return digest

    def get(self, digest: Digest) -> bytes:
        """The data of a blob, proven against its name. Raises Mistake when it is not there, or is not what its name says."""
        path = self._path(digest)
        try:
            data = path.read_bytes()
        except OSError as error:
            raise Mistake(f"Blob {digest[:12]} cannot be read: {error.strerror}.", where=str(path)) from error
        if hashlib.sha256(data).hexdigest() != digest:
            if withheld.is_tombstone(digest):
                raise Mistake(f"Blob {digest[:12]} was forgotten at a person's wish: it held a secret.", where=str(path),
                              mend="It cannot be brought back; its name still stands in the evidence.")
            raise Mistake(
                f"Blob {digest[:12]} is not what its name says: it was changed on disk.", where=str(path),
                mend="Do not rely on it. Put the file back from a backup, or prove again.",
            )
        return data

    def has(self, digest: Digest) -> bool:
        """Whether there is a blob of this name. Says nothing about its content."""
        return self._path(digest).is_file()

    def size(self, digest: Digest) -> int:
        """Bytes of a blob by its name alone; -1 when there is none."""
        try:
            return self._path(digest).stat().st_size
        except FileNotFoundError:
            return -1

    def drop(self, digest: Digest, seen: float) -> bool:
        """Take a blob away that nobody put since its file time was `seen`; whether it is gone. Only `retention` asks for this."""
        path = self._path(digest)
        with self._turn, contextlib.suppress(FileNotFoundError):
            if digest not in self._again and len(self._again) <= AGAIN and path.stat().st_mtime == seen:
                path.unlink()
                return True
        return False

    def sweep(self) -> int:
        """Take away half-written files that a dead daemon left; how many. For the holder of the lock, before any `put`."""
        found = list((self._layout.home / "blobs").glob(f"*/{TEMPORARY}*"))
        for path in found:
            path.unlink(missing_ok=True)
        return len(found)

    def _path(self, digest: Digest) -> Path:
        if not _DIGEST.fullmatch(digest):
            raise Mistake(f"{digest[:80]!r} is no name of a blob.", mend="A blob is named by 64 hex digits.")
        return self._layout.blob(digest)

    @staticmethod
    def _holds(path: Path, data: bytes) -> bool:
        try:
            return path.stat().st_size == len(data) and path.read_bytes() == data
        except FileNotFoundError:
            return False

    @staticmethod
    def _make_room(path: Path) -> None:
        if not path.parent.is_dir():
            private_dir(path.parent.parent)
            private_dir(path.parent)
            sync_dir(path.parent.parent)
