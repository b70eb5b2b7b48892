"""Raw lines on disk: appended in one write, read on from where the last reading stopped; it must never know what a line means.

Theory of operation. A file of lines grows at its end. A `Tail` keeps the place behind the last whole line that it gave, so a
partial line is read again once it is whole, and notices when the file is another one or was cut. Every reading is bounded.
Agents can write where these files lie: a link is refused, as is what is no plain file, and a line past its bound is skipped.
The `Bell` says which watched folders have news. It costs one wake-up for all that happens in one moment, and none in quiet.
"""

import asyncio
import contextlib
import os
from collections.abc import Callable
from pathlib import Path

import msgspec

from andon.edges import beneath, inotify, withheld
from andon.edges.watch import Watch
from andon.schema.signals import Line

READ_BYTES, LINE_BYTES = 256 * 1024, 1024 * 1024
"""At most so much is read at once; a longer line is skipped and counted."""
FILE_BYTES = 16 * 1024 * 1024
"""A file of raw lines that has grown past this is set aside as `NAME.1`, and the one set aside before is gone."""
PAUSE_S = 0.02
"""After the bell rang it is deaf for so long: what happens meanwhile is heard in one go."""
_DECODER = msgspec.json.Decoder(Line)


def decode(data: bytes) -> Line | None:
    """The line in one row of a job's file; None when it is none."""
    try:
        return _DECODER.decode(data)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return None


def append(path: Path, line: Line, limit: int = FILE_BYTES) -> bool:
    """Add a line in one write. False when it was not written: too long, no room, or the place is not ours to write."""
    data = msgspec.json.encode(line) + b"\n"
    if len(data) > LINE_BYTES or b"\n" in data[:-1]:
        return False
    try:
        fd = beneath.opened(path.parent, path.name, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    except OSError:
        return False
    try:
        facts = os.fstat(fd)
        written = os.write(fd, data)
        if written < len(data):  # the disk is full: what stands there is closed off, so that the next line is whole again
            os.write(fd, b"\n")
            return False
        if facts.st_size + written > limit:
            path.replace(aside(path))
        return True
    except OSError:
        return False
    finally:
        os.close(fd)


def aside(path: Path) -> Path:
    """Where the older half of a rotated file lies."""
    return path.with_name(path.name + ".1")


class Tail:
    """One growing file, read on from `offset`. Made for a file that may not be there yet; its lines come without secrets.

    No link is followed below `root`, which is the file's own folder unless another is given.
    """

    def __init__(self, path: Path, offset: int = 0, root: Path | None = None) -> None:
        self.path, self.offset = path, offset
        self._root = path.parent if root is None else root
        self._name = str(path.relative_to(self._root))
        self.skipped = 0
        """Lines that were too long."""
        self.more = False
        """The last reading stopped at its bound: there is more to read now."""
        self.changed_at = 0
        """The file's own time of its last change, unix milliseconds, as of the last reading."""
        self._file: tuple[int, int] | None = None
        self._inside = False
        """Within a line that is being skipped."""

    def read(self, limit: int = READ_BYTES) -> list[bytes]:
        """The whole lines since the last time, at most `limit` bytes of them (but one line may be longer). Never raises."""
        self.more = False
        try:
            fd = beneath.opened(self._root, self._name)
        except OSError:
            return []
        try:
            facts = os.fstat(fd)
            self._notice(facts)
            if facts.st_size <= self.offset:
                return []
            return self._take(fd, facts.st_size, limit)
        except OSError:
            return []
        finally:
            os.close(fd)

    def _notice(self, facts: os.stat_result) -> None:
        """Another file in its place, or a cut one, is read from its beginning."""
        self.changed_at = facts.st_mtime_ns // 1_000_000
        file = (facts.st_dev, facts.st_ino)
        if (self._file is not None and self._file != file) or facts.st_size < self.offset:
            self.offset, self._inside = 0, False
        self._file = file

    def _take(self, fd: int, size: int, limit: int) -> list[bytes]:
        data = os.pread(fd, limit, self.offset)
        if b"\n" not in data and len(data) == limit < LINE_BYTES:
            data = os.pread(fd, LINE_BYTES, self.offset)
        end = data.rfind(b"\n") + 1
        if end == 0:
            if len(data) >= LINE_BYTES:
                self.offset, self._inside = self.offset + len(data), True
                self.more = self.offset < size
            return []
        self.offset += end
        self.more = len(data) >= limit and self.offset < size
        rows = data[: end - 1].split(b"\n")
        if self._inside:
            self._inside, rows = False, rows[1:]
            self.skipped += 1
        return [withheld.data(row) for row in rows if row.strip()]


class Bell:
    """Rings with the files that changed in watched folders; with an empty set when every file may have changed."""

    def __init__(self, ring: Callable[[set[Path]], None], *, kernel: bool = True) -> None:
        self.rung = 0
        """How often it rang, for tests that count."""
        self._ring = ring
        self._folders: set[Path] = set()
        self._engine = inotify.opened(writes=True) if kernel else None
        self._watch = Watch(kernel=False) if self._engine is None else None
        self._reading = False

    def add(self, folder: Path) -> bool:
        """Watch the files of this folder, those that are held open and written to as well. False when it cannot be."""
        self._folders.add(folder)
        if self._watch is not None:
            return self._watch.add(folder)
        return self._engine is not None and self._engine.add(folder)

    def drop(self, folder: Path) -> None:
        """Watch it no more."""
        self._folders.discard(folder)
        if self._watch is not None:
            self._watch.drop([folder])
        elif self._engine is not None:
            self._engine.drop(folder)

    async def run(self) -> None:
        """Ring until cancelled."""
        if self._engine is None:
            assert self._watch is not None
            async for paths in self._watch.paths():
                self._told(paths)
            return
        loop = asyncio.get_running_loop()
        try:
            self._listen(loop, self._engine)
            await loop.create_future()
        finally:
            self._reading = False
            loop.remove_reader(self._engine.fd)

    def close(self) -> None:
        """Let go of all."""
        engine, self._engine = self._engine, None
        if engine is not None:
            with contextlib.suppress(OSError):
                engine.close()

    def _listen(self, loop: asyncio.AbstractEventLoop, engine: inotify.Inotify) -> None:
        self._reading = True
        loop.add_reader(engine.fd, self._read, loop, engine)

    def _read(self, loop: asyncio.AbstractEventLoop, engine: inotify.Inotify) -> None:
        """All that the kernel has to tell, then a moment of deafness: a flood of writes cannot keep us awake."""
        loop.remove_reader(engine.fd)
        loop.call_later(PAUSE_S, self._again, loop, engine)
        changed, lost = engine.read()
        self._told(set() if lost else changed)

    def _again(self, loop: asyncio.AbstractEventLoop, engine: inotify.Inotify) -> None:
        if self._reading and engine is self._engine:
            self._listen(loop, engine)

    def _told(self, changed: set[Path]) -> None:
        self.rung += 1
        self._ring(changed)
