"""What is typed and pasted at the sitter's terminal, as messages, keys and interrupts. Knows bytes; never what they are for.

Theory of operation. One thread reads the terminal, whatever the agent does, as real agents do. A bracketed paste goes into the
draft as it is; Enter sends the draft; Escape alone interrupts. While a menu stands, single keys are choices. All signals of the
process are left to the main thread, which sleeps until a message comes: an idle agent costs nothing.
"""

import contextlib
import os
import queue
import re
import select
import signal
import termios
import threading
import tty
from collections.abc import Callable, Iterator

from .screen import INPUT, Screen

ESCAPE_S = 0.05
"""An Escape that nothing follows for so long was the key."""
DRAFT_LIMIT = 1024 * 1024
SHOWN = 200
"""Characters of a draft that are echoed; of a longer one only its size."""
OPEN, CLOSE = b"\x1b[200~", b"\x1b[201~"
_SEQUENCE = re.compile(rb"\x1b(\[[0-?]*[ -/]*[@-~]|O.)")
_BEGUN = re.compile(rb"\x1b(\[[0-?]*[ -/]*|O)?")


class Keyboard:
    """The keys of one terminal. `interrupted` is called in the reading thread when somebody wants the turn to end."""

    def __init__(self, screen: Screen, interrupted: Callable[[], None]) -> None:
        self.messages: queue.Queue[str | None] = queue.Queue()
        """What was sent, in order; None when nothing can come any more."""
        self.choices: queue.Queue[tuple[str, str]] = queue.Queue()
        """While a menu stands: ("key", character or `escape`), and whatever else its owner puts in."""
        self.menu = False
        self._screen, self._interrupted = screen, interrupted
        self._draft, self._pasting = b"", False

    @contextlib.contextmanager
    def opened(self) -> Iterator[None]:
        """The terminal without line editing and with bracketed paste; as it was afterwards. A pipe gives whole lines."""
        if not os.isatty(self._screen.keys):
            threading.Thread(target=self._listen, daemon=True).start()
            yield
            return
        before = termios.tcgetattr(self._screen.keys)
        tty.setraw(self._screen.keys, termios.TCSANOW)
        self._screen.write("\x1b[?2004h")
        threading.Thread(target=self._listen, daemon=True).start()
        try:
            yield
        finally:
            with contextlib.suppress(OSError, termios.error):
                self._screen.write("\x1b[?2004l\r\n")
                termios.tcsetattr(self._screen.keys, termios.TCSANOW, before)

    def _listen(self) -> None:
        """Read until the terminal is gone."""
        signal.pthread_sigmask(signal.SIG_BLOCK, set(signal.Signals))
        data = b""
        while True:
            ready, _, _ = select.select([self._screen.keys], [], [], ESCAPE_S if data else None)
            if ready:
                try:
                    more = os.read(self._screen.keys, 65536)
                except OSError:
                    more = b""
                if not more:
                    self.messages.put(None)
                    self.choices.put(("gone", ""))
                    return
                data += more
            data = self._taken(data, settled=not ready)

    def _taken(self, data: bytes, *, settled: bool) -> bytes:
        """Take what can be understood; what is left may be the beginning of something."""
        while data:
            if self._pasting:
                inside, end, rest = data.partition(CLOSE)
                if not end:
                    kept = 0 if settled else max(n for n in range(len(CLOSE)) if inside.endswith(CLOSE[:n]))
                    self._type(inside[:len(inside) - kept])
                    return inside[len(inside) - kept:]
                self._type(inside)
                self._pasting, data = False, rest
                self._echo()
            elif data[0] == 0x1B:
                found = _SEQUENCE.match(data)
                if not found and not settled and _BEGUN.fullmatch(data):
                    return data
                self._pasting = bool(found) and found[0] == OPEN if found else False
                if not found:
                    self._key("escape")
                data = data[found.end() if found else 1:]
            else:
                self._key(data[:1].decode("latin-1"), data[:1])
                data = data[1:]
        return b""

    def _key(self, key: str, raw: bytes = b"") -> None:
        """One key."""
        if self.menu:
            self.choices.put(("key", key))
        elif key in ("escape", "\x03"):
            self._interrupted()
        elif key in ("\r", "\n"):
            self._send()
        elif key == "\x7f":
            self._draft = self._draft.decode(errors="replace")[:-1].encode()
            self._echo()
        elif raw >= b" ":
            self._type(raw)
            if self._screen.live:
                self._screen.write(raw.decode(errors="ignore"))

    def _type(self, raw: bytes) -> None:
        self._draft = (self._draft + raw)[:DRAFT_LIMIT]

    def _echo(self) -> None:
        """The input line again, with the draft as far as it can be shown on one line."""
        text = self._draft.decode(errors="replace")
        shown = "".join(c if c.isprintable() else " " for c in text[:SHOWN])
        told = shown if len(text) <= SHOWN else f"[Pasted text, {len(text)} characters]"
        if self._screen.live:
            self._screen.write(f"\r\x1b[K{INPUT} {told}")

    def _send(self) -> None:
        text, self._draft = self._draft.decode(errors="replace"), b""
        if self._screen.live:
            self._screen.write("\r\n")
        if text.strip():
            self.messages.put(text)
