"""Lines as plain values: spans of text with the name of an ink. Pure; must never know Textual, a model or a colour."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from rich.cells import cell_len, chop_cells, set_cell_size

ELLIPSIS = "…"


class Span(NamedTuple):
    """A run of cells. `text` is clean: no control codes, one line."""

    text: str
    ink: str = ""
    """A name of `palette.INKS`; empty is plain text."""
    ground: str = ""
    """A name of `palette.GROUNDS`; empty is the widget's own background."""


Row = tuple[Span, ...]
"""One line of a screen. Hashable: equal rows draw equal cells, so a row is its own cache key."""
BLANK: Row = ()


def row(*parts: Span | str | Iterable[Span]) -> Row:
    """A row of these parts; bare strings are plain ink."""
    out: list[Span] = []
    for part in parts:
        if isinstance(part, Span):
            out.append(part)
        elif isinstance(part, str):
            out.append(Span(part))
        else:
            out.extend(part)
    return tuple(span for span in out if span.text)


def cells(spans: Iterable[Span]) -> int:
    """Cells that these spans take."""
    return sum(cell_len(span.text) for span in spans)


def fit(text: str, width: int) -> str:
    """The text in at most `width` cells, cut with an ellipsis."""
    if width <= 0:
        return ""
    if cell_len(text) <= width:
        return text
    return set_cell_size(text, width - 1).rstrip() + ELLIPSIS


def cut(spans: Row, width: int) -> Row:
    """The row in at most `width` cells, cut with an ellipsis."""
    if cells(spans) <= width:
        return spans
    out: list[Span] = []
    left = width
    for span in spans:
        size = cell_len(span.text)
        if size < left:
            out.append(span)
            left -= size
            continue
        out.append(span._replace(text=fit(span.text + " " * 2, left) if size == left else fit(span.text, left)))
        break
    return tuple(span for span in out if span.text)


def pad(spans: Row, width: int, ground: str = "") -> Row:
    """The row in exactly `width` cells, filled up with blanks of this ground."""
    short = cut(spans, width)
    missing = width - cells(short)
    return (*short, Span(" " * missing, "", ground)) if missing > 0 else short


def between(left: Row, right: Row, width: int) -> Row:
    """Left text and right text on one line of exactly `width` cells; the left one gives way."""
    room = width - cells(right) - 1
    if room < 4:
        return pad(left, width)
    return (*pad(left, room), Span(" "), *right)


def on(spans: Row, ground: str) -> Row:
    """The same row on another ground."""
    return tuple(span if span.ground == ground else span._replace(ground=ground) for span in spans)


def wrap(text: str, width: int, limit: int = 0) -> list[str]:
    """The text in lines of at most `width` cells, broken at blanks where it can; at most `limit` lines (0: all of them)."""
    width = max(1, width)
    lines: list[str] = []
    line = ""
    for word in text.split(" "):
        glued = f"{line} {word}" if line else word
        if cell_len(glued) <= width:
            line = glued
            continue
        if line:
            lines.append(line)
        if cell_len(word) > width:
            pieces = chop_cells(word, width)
            lines.extend(pieces[:-1])
            word = pieces[-1] if pieces else ""
        line = word
    lines.append(line)
    if limit and len(lines) > limit:
        rest = " ".join(lines[limit - 1 :])
        lines = [*lines[: limit - 1], fit(rest, width)]
    return lines


def paragraph(text: str, width: int, ink: str = "", indent: str = "", limit: int = 0) -> list[Row]:
    """The text wrapped into rows of one ink behind an indent."""
    room = max(8, width - len(indent))
    return [row(indent, Span(line, ink)) for line in wrap(text, room, limit)]


def columns(pieces: Sequence[Row], width: int, gap: str = " ") -> list[Row]:
    """Pieces laid side by side, broken into as many rows as they need."""
    rows: list[Row] = []
    line: Row = ()
    for piece in pieces:
        glued = (*line, Span(gap), *piece) if line else piece
        if line and cells(glued) > width:
            rows.append(line)
            line = piece
        else:
            line = glued
    if line:
        rows.append(line)
    return [cut(each, width) for each in rows]
