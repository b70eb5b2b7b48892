"""The terminal of the scripted agent: lines, a spinner, the title, typed lines. Writes to file descriptors; knows no step."""

import os
import select
import sys
import time
from collections.abc import Callable

DIM, BOLD, RED, GREEN, YELLOW, CYAN, PLAIN = "\x1b[2m", "\x1b[1m", "\x1b[31m", "\x1b[32m", "\x1b[33m", "\x1b[36m", "\x1b[0m"
INPUT = "\u276f"
"""The sign of the input line."""
FRAMES = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
FRAME_S = 0.1
"""Ten frames a second, as agents do."""


class Screen:
    """One terminal, or a pipe: then there is no colour, no spinner and no title."""

    def __init__(self, task: str, *, out: int = 1, keys: int = 0) -> None:
        self.task, self.out, self.keys = task, out, keys
        self.live = os.isatty(out)
        self.typed = b""
        self.open = True
        """Whether a line may still be typed."""
        self._frame = 0

    def write(self, text: str) -> None:
        """Put text out whole."""
        data = text.encode(errors="replace")
        while data:
            data = data[os.write(self.out, data):]

    def line(self, text: str = "", colour: str = "") -> None:
        """One line, over whatever the spinner left."""
        if self.live:
            self.write(f"\r\x1b[K{colour}{text}{PLAIN if colour else ''}\r\n")
        else:
            self.write(f"{text}\n")

    def deed(self, name: str, subject: str = "") -> None:
        """The head of a deed, as agents show their tools: `● Read(src/a.py)`."""
        told = f"{name}({subject})" if subject else name
        self.line(f"{GREEN}●{PLAIN} {BOLD}{told}{PLAIN}" if self.live else f"● {told}")

    def under(self, lines: list[str], colour: str = DIM) -> None:
        """What a deed gave, indented below it."""
        for number, text in enumerate(lines):
            self.line(("  ⎿  " if number == 0 else "     ") + text, colour)

    def banner(self, about: str) -> None:
        """The first thing on the screen."""
        width = min(max(len(about), 40), 76)
        self.line(f"╭{'─' * (width + 2)}╮", CYAN)
        for text in ("✻ Scripted agent", about[:width]):
            self.line(f"│ {text:<{width}} │", CYAN)
        self.line(f"╰{'─' * (width + 2)}╯", CYAN)

    def title(self, text: str) -> None:
        """The terminal's title (OSC 2)."""
        if self.live:
            self.write(f"\x1b]2;{text}\x07")

    def spin(self, label: str, done: Callable[[], bool], started: float) -> None:
        """Draw the spinner until `done`, which is asked ten times a second."""
        if not self.live:
            self.line(f"✻ {label}…")
        while not done():
            if self.live:
                self.frame(label, started)
            time.sleep(FRAME_S)
        self.still()

    def frame(self, label: str, started: float) -> None:
        """One frame of the spinner, and its glyph in the title: one write."""
        glyph = FRAMES[self._frame % len(FRAMES)]
        self._frame += 1
        seconds = int(time.monotonic() - started)
        self.write(f"\r\x1b[K{YELLOW}{glyph} {label}… ({seconds}s · esc to interrupt){PLAIN}\x1b]2;{glyph} {self.task}\x07")

    def still(self) -> None:
        """Take the spinner away."""
        if self.live:
            self.write(f"\r\x1b[K\x1b]2;{self.task}\x07")

    def pause(self, label: str, seconds: float) -> None:
        """Spin for so many real seconds."""
        started = time.monotonic()
        if seconds < FRAME_S:
            self.line(f"✻ {label}…", DIM)
            time.sleep(max(seconds, 0))
        else:
            self.spin(label, lambda: time.monotonic() - started >= seconds, started)

    def prompt(self) -> None:
        """The empty input line."""
        if self.live:
            self.write(f"\r\x1b[K{INPUT} ")

    def typed_line(self, wait: float) -> str | None:
        """A line that a person typed, waiting at most `wait` seconds; None when there is none yet. At its end `open` is False."""
        if b"\n" not in self.typed and self.open:
            ready, _, _ = select.select([self.keys], [], [], wait)
            if ready:
                try:
                    data = os.read(self.keys, 65536)
                except OSError:
                    data = b""
                self.typed += data
                self.open = bool(data)
        elif not self.open:
            time.sleep(wait)
        if b"\n" not in self.typed:
            return None
        line, _, self.typed = self.typed.partition(b"\n")
        return line.decode(errors="replace").strip()


def shown(text: str, limit: int, width: int = 100) -> list[str]:
    """The last lines of a text, safe to print: no escapes, no controls, bounded."""
    lines = [_clean(line)[:width] for line in text.splitlines() if line.strip()]
    hidden = len(lines) - limit
    return lines if hidden <= 0 else [f"… {hidden} more lines", *lines[-limit:]]


def _clean(line: str) -> str:
    """A line without control characters."""
    return "".join(c if c.isprintable() else " " for c in line.expandtabs(4))


def stderr(text: str) -> None:
    """An error, for whoever started us."""
    print(text, file=sys.stderr)
