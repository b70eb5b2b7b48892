"""Carries bytes between two connections, both ways at once; must never look at them.

Each way holds a bounded amount, and its reader waits for its writer. The end of one way is passed on as an end, and the other way
goes on; a break of one breaks both.
"""

import asyncio

from .limits import CHUNK, HEAD_S, LAST_BYTES, LAST_S, PAUSE_S, SILENT_S


class Watchdog:
    """Breaks off connections that are silent for too long. One timer, which is set anew only when it rings."""

    def __init__(self, *writers: asyncio.StreamWriter, seconds: float = SILENT_S) -> None:
        self._writers = list(writers)
        self._seconds = seconds
        self._loop = asyncio.get_running_loop()
        self.last = self._loop.time()
        """When something was carried last."""
        self._timer = self._loop.call_later(seconds, self._ring)

    def touch(self) -> None:
        """Something was carried."""
        self.last = self._loop.time()

    def hurry(self, seconds: float = PAUSE_S) -> None:
        """From now on be less patient."""
        if seconds < self._seconds:
            self._seconds = seconds
            self._timer.cancel()
            self._timer = self._loop.call_later(seconds, self._ring)

    def add(self, writer: asyncio.StreamWriter) -> None:
        """Watch this one too."""
        self._writers.append(writer)

    def drop(self, writer: asyncio.StreamWriter) -> None:
        """No longer this one."""
        self._writers.remove(writer)

    def close(self) -> None:
        """Watch no more."""
        self._timer.cancel()

    def cut(self) -> None:
        """Break off."""
        for writer in self._writers:
            writer.transport.abort()

    def _ring(self) -> None:
        left = self.last + self._seconds - self._loop.time()
        if left <= 0:
            self.cut()
        else:
            self._timer = self._loop.call_later(left, self._ring)


async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, watch: Watchdog) -> None:
    """One way, to its end, which is passed on; a break cuts all that is watched."""
    try:
        while data := await reader.read(CHUNK):
            watch.touch()
            writer.write(data)
            await writer.drain()
        watch.hurry()
        if writer.can_write_eof():
            writer.write_eof()
    except OSError:
        watch.cut()


async def shut(writer: asyncio.StreamWriter) -> None:
    """Close; what is still to be said has a while to go out."""
    writer.close()
    try:
        async with asyncio.timeout(HEAD_S):
            await writer.wait_closed()
    except OSError:  # a TimeoutError is one
        writer.transport.abort()


async def linger(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """After a last word that the other side must hear: end ours, and hear it out for a moment. To close on what it still says
    would take our word away again."""
    left = LAST_BYTES
    try:
        async with asyncio.timeout(LAST_S):
            if writer.can_write_eof():
                writer.write_eof()
            while left > 0 and (data := await reader.read(CHUNK)):
                left -= len(data)
    except OSError:  # a TimeoutError is one
        return
