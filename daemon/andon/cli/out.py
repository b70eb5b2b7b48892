"""How verbs print: tables, states, ages, JSON. Decides nothing and asks nobody.

All words of agents and tools go through `clean`; a state is always a glyph and a word, never a colour alone.
"""

import os
import shutil
import sys
import time
import unicodedata
from collections.abc import Iterable, Sequence

import msgspec

from andon.schema.clean import clean as clean_text, plain_json

GLYPHS = {
    "queued": "·", "building": "▸", "checking": "◐", "waiting": "?", "landing": "↑", "landed": "✓", "done": "✓",
    "failed": "✗", "stopped": "■", "paused": "‖",
    "crashed": "✗", "auth": "✗", "hung": "!", "waiting-permission": "◆", "waiting-answer": "◆", "looping": "↻", "thrashing": "↯",
    "rate-limited": "‖", "suspended": "‖", "idle-at-prompt": "▢", "unknown": "?", "compacting": "≡", "background": "◌",
    "thinking": "…", "working": "●", "starting": "○", "finished": "✓",
    "proven": "✓", "refuted": "✗", "unevaluated": "?", "asserted": "“", "running": "▸", "planned": "·",
}
"""One sign for each state of a task and of a claim, and for each health of a session."""
_COLOURS = {
    "waiting": "33", "paused": "33", "unevaluated": "33", "failed": "31", "refuted": "31", "stopped": "2",
    "done": "32", "landed": "32",
    "proven": "32",
    "building": "36", "checking": "36", "landing": "36", "running": "36", "bold": "1", "dim": "2", "add": "32",
    "del": "31", "hunk": "36",
}


def clean(text: str) -> str:
    """Somebody's words as one harmless line."""
    return " ".join(clean_text(text).split())


def clean_lines(text: str) -> str:
    """Somebody's words as harmless lines."""
    return "\n".join(clean_text(line) for line in text.split("\n"))


def say(text: str) -> None:
    """Tell the person something beside the output proper."""
    print(text, file=sys.stderr)


def coloured() -> bool:
    """Whether output may carry colour: a terminal, and NO_COLOR unset."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def paint(text: str, style: str) -> str:
    """The text in a style, where output may carry colour."""
    code = _COLOURS.get(style, "")
    return f"\x1b[{code}m{text}\x1b[0m" if code and coloured() else text


def state_word(state: str) -> str:
    """Glyph and word."""
    return f"{GLYPHS.get(state, ' ')} {state}"


def columns() -> int:
    """Width of the terminal; no limit worth speaking of when there is none."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else 10_000


def width_of(text: str) -> int:
    """Cells that a text takes."""
    if text.isascii():
        return len(text)
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def age(since: int, now: float | None = None) -> str:
    """How long ago a moment (Unix milliseconds) was: `12s`, `5m`, `3h`, `2d`; empty for none."""
    if not since:
        return ""
    seconds = max(0, int((time.time() if now is None else now) - since / 1000))
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "m")):
        if seconds >= size:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"


def moment(at: int) -> str:
    """A moment (Unix milliseconds) in local time: `2026-01-31 14:05:06`."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at / 1000))


def dump(values: Iterable[object]) -> None:
    """Print a JSON array, one value a line."""
    rows = [plain_json(msgspec.json.encode(value)) for value in values]
    print("[" + ",\n ".join(rows) + "]")


def table(rows: Sequence[Sequence[str]], head: Sequence[str], *, indent: str = "") -> None:
    """Print aligned columns; the last one is cut at the terminal's width."""
    if not rows:
        return
    body = [[*map(clean, row)] for row in rows]
    widths = [max(width_of(row[n]) for row in [list(head), *body]) for n in range(len(head) - 1)]
    room = max(10, columns() - len(indent) - sum(widths) - 2 * len(widths))
    print(paint(indent + _row(head, widths, room), "dim"))
    for row in body:
        print(indent + _row(row, widths, room))


def _row(cells: Sequence[str], widths: Sequence[int], room: int) -> str:
    *lead, last = cells
    padded = [cell + " " * (width - width_of(cell)) for cell, width in zip(lead, widths, strict=True)]
    return "  ".join([*padded, _cut(last, room)]).rstrip()


def _cut(text: str, room: int) -> str:
    if width_of(text) <= room:
        return text
    kept, used = [], 1
    for sign in text:
        used += width_of(sign)
        if used > room:
            break
        kept.append(sign)
    return "".join(kept) + "…"
