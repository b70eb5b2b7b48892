"""One control-mode connection to our tmux server: commands in, answers and notices out; it must never know what they are for.

Theory of operation. `tmux -C attach` speaks lines over pipes. The server answers each command, in order, with one block
`%begin T N F` … `%end T N F` (or `%error`); F is 1 for our own commands, so answers are matched first in, first out. A
block ends only at a line with the very numbers it began with. All other lines are notices. Nothing of this polls, and
there is no task: the event loop calls us when bytes arrive.

What an agent wrote must not be read back through here at the start of a line (it could forge the end of a block), but for
the connection that watches that one agent's own screen.
"""

import asyncio
import os
import re
from collections import deque
from collections.abc import Callable, Sequence
from typing import cast

from andon.edges.spawn import uncut

ANSWER_BYTES = 32 * 1024 * 1024
"""At most this much of one answer or one line; past it the connection is given up."""
OUTSTANDING = 1000
"""At most this many commands without their answers."""
ANSWER_S = 15.0
"""So long may tmux take for one answer."""
_SPECIAL = re.compile(r"[\\\"$~]")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


class TmuxError(Exception):
    """tmux refused, or is not there. `lost`: the connection ended before the answer, so it is unknown whether it was done."""

    def __init__(self, text: str, *, lost: bool = False) -> None:
        super().__init__(text)
        self.lost = lost


def quote(word: str) -> str:
    """One word for tmux's own parser, exact for every text: double quotes, with backslash, $ and ~ escaped, controls in octal."""
    if "\0" in word:
        raise ValueError("a word for tmux cannot carry NUL")
    escaped = _SPECIAL.sub(lambda found: "\\" + found[0], word)
    return '"' + _CONTROL.sub(lambda found: f"\\{ord(found[0]):03o}", escaped) + '"'


def literal(word: str) -> str:
    """Text for an argument that tmux expands as a format."""
    return word.replace("#", "##")


def environment() -> dict[str, str]:
    """What tmux itself needs of our environment, and no more: no secret of the daemon's reaches a pane this way."""
    kept = ("PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "TMPDIR", "XDG_RUNTIME_DIR", "DBUS_SESSION_BUS_ADDRESS")
    return {key: value for key, value in os.environ.items() if key in kept or key.startswith("LC_")} | {"TERM": "xterm-256color"}


def _forget(done: "asyncio.Future[list[list[str]]]") -> None:
    if not done.cancelled():
        done.exception()


class _Pending:
    """A command line that waits for its answers: one for each command in it, fewer when one of them fails."""

    __slots__ = ("done", "left", "rows")

    def __init__(self, done: "asyncio.Future[list[list[str]]]", left: int) -> None:
        self.done, self.left = done, left
        self.rows: list[list[str]] = []


class Control(asyncio.SubprocessProtocol):
    """One connection, attached to one session. Open it with `Control.open`, close it with `close`; neither touches the server."""

    def __init__(self, on_notice: Callable[[str, bytes], None], on_lost: Callable[[], None]) -> None:
        self.sent = 0
        """Commands sent, for tests and benchmarks that count."""
        self.lost = False
        self._on_notice, self._on_lost = on_notice, on_lost
        self._buffer = bytearray()
        self._block: bytes | None = None
        self._rows: list[str] = []
        self._size = 0
        self._pending: deque[_Pending] = deque()
        loop = asyncio.get_running_loop()
        self._ready: asyncio.Future[None] = loop.create_future()
        self._gone: asyncio.Future[None] = loop.create_future()
        self._said = b""
        self._transport: asyncio.SubprocessTransport | None = None

    @classmethod
    async def open(
        cls, tmux: Sequence[str], target: str, flags: str, on_notice: Callable[[str, bytes], None], on_lost: Callable[[], None]
    ) -> "Control":
        """Attach to a session. `tmux` is program and server options. Raises TmuxError when there is no such session or server.

        Never starts a server, which attaching would do by itself (-N).
        """
        loop = asyncio.get_running_loop()
        made = cls(on_notice, on_lost)
        argv = (*tmux, "-N", "-u", "-C", "attach-session", "-t", target, "-f", flags)
        try:
            starting = loop.subprocess_exec(lambda: made, *argv, stderr=asyncio.subprocess.PIPE, env=environment())
            _, cancelled = await uncut(starting)
        except OSError as error:
            raise TmuxError(f"{tmux[0]}: {error.strerror}", lost=True) from error
        if cancelled:
            await made.close()
            raise asyncio.CancelledError
        try:
            async with asyncio.timeout(ANSWER_S):
                await asyncio.shield(made._ready)
        except TimeoutError:
            await made.close()
            raise TmuxError("tmux did not answer") from None
        except (TmuxError, asyncio.CancelledError):
            await made.close()
            raise
        return made

    @property
    def pid(self) -> int:
        """The client process at our end."""
        assert self._transport is not None
        return self._transport.get_pid()

    async def command(self, *words: str) -> list[str]:
        """Run one command; its output lines. Raises TmuxError with tmux's own words when it refuses."""
        return (await self.sequence(words))[0]

    async def sequence(self, *commands: Sequence[str]) -> list[list[str]]:
        """Run several commands with nobody else's in between; the output lines of each. The first refusal raises."""
        done = self._send(commands)
        try:
            async with asyncio.timeout(ANSWER_S):
                return await done
        except TimeoutError:
            raise TmuxError("tmux did not answer", lost=True) from None

    def post(self, *words: str) -> None:
        """Send one command whose answer nobody wants."""
        if not self.lost:
            self._send((words,)).add_done_callback(_forget)

    def _send(self, commands: Sequence[Sequence[str]]) -> "asyncio.Future[list[list[str]]]":
        if self.lost or self._transport is None:
            raise TmuxError("tmux went away", lost=True)
        if len(self._pending) >= OUTSTANDING:
            raise TmuxError(f"tmux owes {OUTSTANDING} answers")
        line = " ; ".join(" ".join(quote(word) for word in command) for command in commands)
        done: asyncio.Future[list[list[str]]] = asyncio.get_running_loop().create_future()
        self._pending.append(_Pending(done, len(commands)))
        self.sent += len(commands)
        pipe = cast("asyncio.WriteTransport", self._transport.get_pipe_transport(0))
        pipe.write(line.encode("utf-8", "surrogateescape") + b"\n")
        return done

    async def close(self) -> None:
        """End our client. The server and every session stay."""
        self.lost = True
        if self._transport is not None:
            self._transport.close()
            await asyncio.shield(self._gone)

    # --- called by the event loop -------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The client runs."""
        self._transport = cast("asyncio.SubprocessTransport", transport)

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        """Bytes of the server (1) or complaints of the client (2)."""
        if fd != 1:
            self._said = (self._said + data)[-2000:]
            return
        self._buffer += data
        if b"\n" not in data:
            if len(self._buffer) > ANSWER_BYTES and self._transport is not None:
                self._transport.close()
            return
        *lines, rest = bytes(self._buffer).split(b"\n")
        self._buffer = bytearray(rest)
        for line in lines:
            self._take(line)

    def connection_lost(self, exc: Exception | None) -> None:
        """The client has ended and both pipes are closed."""
        told = not self.lost
        self.lost = True
        text = self._said.decode(errors="replace").strip() or " ".join(self._rows) or "tmux went away"
        if not self._ready.done():
            self._ready.set_exception(TmuxError(text, lost=True))
            self._ready.exception()
            told = False
        while self._pending:
            waiting = self._pending.popleft().done
            if not waiting.done():
                waiting.set_exception(TmuxError("tmux went away", lost=True))
        if not self._gone.done():
            self._gone.set_result(None)
        if told:
            self._on_lost()

    # --- the protocol ------------------------------------------------------------------------------------------------

    def _take(self, line: bytes) -> None:
        if self._block is not None:
            if line == b"%end " + self._block:
                self._end(failed=False)
            elif line == b"%error " + self._block:
                self._end(failed=True)
            else:
                self._size += len(line)
                if self._size <= ANSWER_BYTES:
                    self._rows.append(line.decode(errors="replace"))
        elif line.startswith(b"%begin "):
            self._block, self._rows, self._size = line[7:], [], 0
        elif line.startswith(b"%"):
            kind, _, rest = line[1:].partition(b" ")
            self._on_notice(kind.decode(errors="replace"), rest)

    def _end(self, *, failed: bool) -> None:
        ours = self._block is not None and self._block.endswith(b" 1")
        rows, self._block, self._rows = self._rows, None, []
        if not ours:
            if not self._ready.done():
                if failed:
                    self._ready.set_exception(TmuxError(" ".join(rows)))
                else:
                    self._ready.set_result(None)
            return
        if not self._pending:
            return
        first = self._pending[0]
        first.left -= 1
        first.rows.append(rows)
        if failed or first.left == 0:
            self._pending.popleft()
            if first.done.done():
                return
            if failed:
                first.done.set_exception(TmuxError(" ".join(rows)))
            else:
                first.done.set_result(first.rows)
