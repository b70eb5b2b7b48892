"""A unified diff as rows: files as headings, hunks, lines with their signs. Pure; must never hide a line of the change.

What stands between a file's heading and its first hunk is told in short; everything inside a hunk is shown as it is. Where a line
is longer than can be shown, or held characters that a reader would not see, it says so.
"""

from collections.abc import Sequence

from andon_tui.draw import Row, Span, fit, row
from andon_tui.safe import LINE_LIMIT, LINES_LIMIT, lines

_DULL = ("index ", "--- ", "+++ ", "similarity ")


def diff_rows(text: Sequence[str], width: int) -> list[Row]:
    """Rows of a diff; `width` is for headings only, lines keep their length."""
    rows: list[Row] = []
    header = False
    raw_lines = list(text)
    while raw_lines and not raw_lines[-1]:
        raw_lines.pop()
    for raw, line in zip(raw_lines, lines("\n".join(raw_lines)), strict=False):
        if line.startswith("diff --git "):
            header = True
            title = fit(f" {line.rpartition(' b/')[2]} ", max(8, width - 4))
            rows += [(), row(Span("──", "rule"), Span(title, "strong"), Span("─" * max(0, width - 2 - len(title)), "rule"))]
        elif header and not line.startswith("@@"):
            if not line.startswith(_DULL):
                rows.append(row(" ", Span(line, "dim")))
        else:
            header = False
            rows.append(_line(raw, line))
    if len(raw_lines) > LINES_LIMIT:
        rows.append(row(Span(f" … {len(raw_lines) - LINES_LIMIT} more lines are not shown here", "asking")))
    return rows


def _line(raw: str, line: str) -> Row:
    ink = {"@": "hunk", "+": "add", "-": "remove", "\\": "dim"}.get(line[:1], "")
    notes = []
    if len(raw) > LINE_LIMIT:
        notes.append(f"{len(raw) - LINE_LIMIT} more characters")
    if line != raw[:LINE_LIMIT].rstrip("\r").expandtabs(4):
        notes.append("holds characters that are not shown")
    return row(" ", Span(line, ink), Span(f" ◂ {', '.join(notes)}", "failing") if notes else "")
