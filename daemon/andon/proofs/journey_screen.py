"""A program at a terminal of its own and the screen that it has drawn; knows no step."""

import contextlib
import os
import re
import select
import signal
import time
from collections.abc import Mapping
from pathlib import Path

import pyte
from ptyprocess import PtyProcess  # type: ignore[import-untyped]  # it brings no types

from andon.schema.errors import Mistake

ROWS, COLUMNS = 24, 80
CHUNK = 65536
QUIET_S = 0.1
KEYS = {
    "enter": "\r", "tab": "\t", "esc": "\x1b", "space": " ", "backspace": "\x7f",
    "up": "\x1b[A", "down": "\x1b[B", "right": "\x1b[C", "left": "\x1b[D",
    "home": "\x1b[H", "end": "\x1b[F", "pageup": "\x1b[5~", "pagedown": "\x1b[6~", "delete": "\x1b[3~", "lt": "<",
}
_KEY = re.compile(r"<(ctrl-[a-z]|[a-z]+)>")


class Broken(Exception):
    """A step that did not hold: what was expected, what was seen, what the program said."""


class Screen:
    """A program at a terminal. Raises OSError when it cannot be started."""

    def __init__(self, words: list[str], cwd: Path, env: Mapping[str, str]) -> None:
        around = {**env, "TERM": "xterm-256color", "COLUMNS": str(COLUMNS), "LINES": str(ROWS)}
        self._pty = PtyProcess.spawn(words, cwd=str(cwd), env=around, dimensions=(ROWS, COLUMNS))
        self.pid: int = self._pty.pid
        self._screen = pyte.Screen(COLUMNS, ROWS)
        self._screen.write_process_input = self._answer  # type: ignore[method-assign]  # what a terminal answers when it is asked
        self._stream = pyte.ByteStream(self._screen)
        self._open = True

    def _answer(self, data: str) -> None:
        with contextlib.suppress(OSError):
            self._pty.write(data.encode())

    def read(self, seconds: float) -> bool:
        """Draw what the program wrote; False when nothing came in that time."""
        if not self._open or not select.select([self._pty.fd], [], [], seconds)[0]:
            return False
        try:
            data = os.read(self._pty.fd, CHUNK)
        except OSError:  # how Linux says that the other side is gone
            data = b""
        self._open = bool(data)
        self._stream.feed(data)
        return bool(data)

    def text(self) -> str:
        """The screen as rows."""
        return "\n".join(row.rstrip() for row in self._screen.display).rstrip()

    def shows(self, wanted: tuple[str, ...], gone: tuple[str, ...], within: float) -> None:
        """Wait until all of this is on the screen and none of that. Raises Broken with the screen."""
        end = time.monotonic() + within
        while True:
            while self.read(0):
                pass
            text = self.text()
            missing = [word for word in wanted if word not in text]
            there = [word for word in gone if word in text]
            if not missing and not there:
                return
            over = not self._open
            if over or time.monotonic() > end:
                how = "when the program ended" if over else f"after {within:g} s"
                told = [f"{word!r} is not on the screen" for word in missing]
                told += [f"{word!r} is still on the screen" for word in there]
                raise Broken(f"{how}, {'; '.join(told)}\n{text}")
            self.read(min(QUIET_S, max(0.0, end - time.monotonic())))

    def press(self, keys: str) -> None:
        """Keys, with `<enter>` and the like for those that are no letters. Raises Mistake for a name that is none."""
        data = _KEY.sub(lambda match: _named(match[1]), keys)
        try:
            self._pty.write(data.encode())
        except OSError:
            raise Broken(f"the program at the terminal has ended\n{self.text()}") from None

    def alive(self) -> bool:
        """Whether it runs; its exit is taken."""
        while self.read(0):
            pass
        return bool(self._pty.isalive())

    def log(self) -> str:
        """What it shows."""
        return self.text()

    def close(self) -> None:
        """It has ended: take its exit and the terminal."""
        self._open = False
        self._pty.close(force=True)

    def ask_to_end(self) -> None:
        """SIGTERM to it and its group."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGTERM)


def _named(name: str) -> str:
    if name.startswith("ctrl-"):
        return chr(ord(name[-1]) - 96)
    if name not in KEYS:
        known = ", ".join(f"<{key}>" for key in KEYS)
        raise Mistake(f"there is no key `<{name}>`", where="keys", mend=f"there are {known}, <ctrl-c>")
    return KEYS[name]
