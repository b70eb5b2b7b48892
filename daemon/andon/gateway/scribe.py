"""Writes down how calls went, on a thread of its own; must never know a key, delay a stream, or break one.

Theory of operation. The stream's side only appends what it passed on to lists; reading it (decompression, JSON) and writing
`gateway.jsonl` happen here, one thing after the other, so lines are in order. A full backlog drops words, never the stream. The
thread sleeps in a queue: an idle gateway does not wake up.
"""

import contextlib
import importlib
import os
import queue
import stat
import threading
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from andon.schema.jobs import GATEWAY
from andon.schema.signals import Call, Line

from .limits import BACKLOG, BACKLOG_BYTES, HEAD_BYTES, RECORD_BYTES, TAIL_BYTES


class Scribe:
    """The thread, and what waits for it."""

    def __init__(self, jobs: Path) -> None:
        self.jobs = jobs
        self.dropped = 0
        """What was not written down because too much waited."""
        self._queue: queue.SimpleQueue[tuple[Callable[[], None], int] | None] = queue.SimpleQueue()
        self._bytes = 0
        self._thread = threading.Thread(target=self._run, name="scribe", daemon=True)
        self._thread.start()

    def take(self, deed: Callable[[], None], size: int = 0) -> bool:
        """Do this later, in order. False: too much waits, it is dropped."""
        if self._queue.qsize() >= BACKLOG or self._bytes + size > BACKLOG_BYTES:
            self.dropped += 1
            return False
        self._bytes += size
        self._queue.put((deed, size))
        return True

    def close(self) -> None:
        """Return when everything that waited is written."""
        self._queue.put(None)
        self._thread.join(10.0)

    def _run(self) -> None:
        while (taken := self._queue.get()) is not None:
            deed, size = taken
            try:
                deed()
            except Exception:  # noqa: BLE001 (whatever a provider's bytes do to the reading of them, the streams go on)
                self.dropped += 1
            finally:
                self._bytes -= size

    def write(self, attempt: str, call: Call) -> None:
        """One line more in the record of this attempt; set aside when it is full. A job directory that is gone stays gone."""
        line = Line(at=call.at, source="gateway", data=msgspec.Raw(msgspec.json.encode(call)))
        file = self.jobs / attempt / GATEWAY
        with contextlib.suppress(OSError):
            handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o600)
            try:
                facts = os.fstat(handle)
                if not stat.S_ISREG(facts.st_mode):  # an agent can reach its job directory
                    return
                full = facts.st_size >= RECORD_BYTES
                os.write(handle, msgspec.json.encode(line) + b"\n")
            finally:
                os.close(handle)
            if full:
                file.replace(file.with_suffix(".jsonl.1"))


class Kept:
    """A body's beginning and end, of whatever length it is."""

    def __init__(self, head: int = HEAD_BYTES, tail: int = TAIL_BYTES) -> None:
        self._head, self._tail = bytearray(), bytearray()
        self._heads, self._tails = head, tail
        self.size = 0

    def add(self, data: bytes) -> None:
        """One part more."""
        self.size += len(data)
        if len(self._head) < self._heads:
            self._head += data[:self._heads - len(self._head)]
        self._tail += data
        if len(self._tail) > 2 * self._tails:
            del self._tail[:-self._tails]

    @property
    def whole(self) -> bool:
        """Whether nothing was left out."""
        return self.size <= self._tails

    @property
    def tail(self) -> bytes:
        """The end: all of it when it is whole."""
        return bytes(self._tail[-self._tails:])

    @property
    def head(self) -> bytes:
        """The beginning: all of it when it is whole."""
        return self.tail if self.whole else bytes(self._head)


def decoder(coding: str) -> Callable[[bytes], bytes] | None:
    """Undoes a content coding part by part; None: this coding cannot be read here, and what is in it stays unknown."""
    coding = coding.strip().lower()
    if coding in ("", "identity"):
        return bytes
    if coding in ("gzip", "x-gzip", "deflate"):
        return zlib.decompressobj(47 if coding != "deflate" else 15).decompress
    undo: Callable[[bytes], bytes] | None = None
    with contextlib.suppress(ImportError):  # present where the person installed them
        if coding == "br":
            undo = _module("brotli").Decompressor().process
        if coding == "zstd":
            undo = _module("zstandard").ZstdDecompressor().decompressobj().decompress
    return undo


def _module(name: str) -> Any:
    return importlib.import_module(name)
