"""The daemon's side of an ACP session: reads what its client wrote, leaves what it is to do. Files only; decides nothing."""

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import msgspec
from watchfiles import awatch

from andon.schema.agent import SessionFacts
from andon.schema.jobs import CHANNEL, Decision
from andon.schema.signals import Line

from . import acp_files

TAKEN_S, LOOK_S = 5.0, 0.05
"""How long a client has to take what was left, and between two looks at whether it did."""
CHUNK = 1024 * 1024
_NAME = re.compile(r"[A-Za-z0-9_.-]{1,100}\Z")


class AcpChannel:
    """One session's files. Every method tolerates a client that is gone."""

    def __init__(self, facts: SessionFacts) -> None:
        self._job = facts.job
        self._closed = asyncio.Event()

    async def lines(self) -> AsyncIterator[Line]:
        """What the client wrote since the last line that was taken over from it, then what it writes; until closed."""
        acp_files.prepare(self._job)
        file, position, rest = self._job / acp_files.LINES, 0, b""
        after = acp_files.last_number(self._job / CHANNEL)
        changes = awatch(self._job, stop_event=self._closed, recursive=False, debounce=50, step=20, rust_timeout=60_000,
                         watch_filter=_only(acp_files.LINES), yield_on_timeout=True)
        while not self._closed.is_set():
            piece, position = _piece(file, position)
            *rows, rest = (rest + piece).split(b"\n")
            for row in rows:
                line = _decoded(row)
                if line is not None and (number := acp_files.numbered(line)) > after:
                    after = number
                    yield line
            if not piece:
                with contextlib.suppress(StopAsyncIteration):
                    await anext(changes)

    async def answer(self, ask: str, *, allow: bool, text: str = "") -> bool:
        """Put the decision where the client looks; True when it said that it acted on it."""
        if not _NAME.match(ask) or ask.startswith("."):
            return False
        acp_files.decide(self._job, Decision(ask=ask, allow=allow, text=text))
        return await self._until(lambda: self._settled(ask))

    async def send(self, text: str) -> bool:
        """Have it said after the present turn; True when the client took it."""
        return await self._wish(acp_files.Say(kind="send", text=text))

    async def interrupt(self) -> bool:
        """End the turn."""
        return await self._wish(acp_files.Say(kind="interrupt"))

    async def close(self) -> None:
        """Let go."""
        self._closed.set()

    async def _wish(self, say: acp_files.Say) -> bool:
        path = await asyncio.to_thread(acp_files.leave, self._job, say)
        return await self._until(lambda: not path.exists()) or not acp_files.withdraw(path)

    def _settled(self, ask: str) -> bool:
        """Whether the client wrote that this ask is settled; its word comes last or nearly so."""
        file = self._job / acp_files.LINES
        try:
            with file.open("rb") as opened:
                opened.seek(max(0, file.stat().st_size - CHUNK))
                return f'"settled":"{ask}"'.encode() in opened.read(CHUNK)
        except OSError:
            return False

    async def _until(self, condition: Callable[[], bool]) -> bool:
        loop = asyncio.get_running_loop()
        end = loop.time() + TAKEN_S
        while not condition():
            if loop.time() > end:
                return False
            await asyncio.sleep(LOOK_S)
        return True


def _only(name: str) -> Callable[[object, str], bool]:
    return lambda _change, path: Path(path).name == name


def _piece(file: Path, position: int) -> tuple[bytes, int]:
    """What stands in the file after this position, a bounded piece of it; a file that shrank was begun anew."""
    try:
        with file.open("rb") as opened:
            size = file.stat().st_size
            opened.seek(0 if size < position else position)
            piece = opened.read(CHUNK)
            return piece, opened.tell()
    except OSError:
        return b"", 0


def _decoded(row: bytes) -> Line | None:
    try:
        return msgspec.json.decode(row, type=Line)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None
