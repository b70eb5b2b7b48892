"""The one door through which words of agents, tasks and tools reach the screen. Must never know what they mean."""

from andon.schema.clean import clean

LINES_LIMIT = 20_000
"""Lines of one text that a viewer shows; past it the text says how many are missing."""
LINE_LIMIT = 2_000
"""Characters of one line that a viewer shows."""
_BLANKS = {ord(char): " " for char in "\n\r\t\v\f\x85\u2028\u2029"}


def safe(text: str) -> str:
    """One line of clean text: no control code, no bidi control, no line break. Printable ASCII passes untouched."""
    if text.isascii() and text.isprintable():
        return text
    return clean(text.translate(_BLANKS))


def lines(text: str) -> list[str]:
    """The text as clean lines, tabs widened, within the stated bounds."""
    split = text.split("\n")
    if split and not split[-1]:
        split.pop()
    shown = [_line(line) for line in split[:LINES_LIMIT]]
    if len(split) > LINES_LIMIT:
        shown.append(f"… {len(split) - LINES_LIMIT} more lines are not shown here")
    return shown


def _line(line: str) -> str:
    cut = line[:LINE_LIMIT].rstrip("\r").expandtabs(4)
    return cut if cut.isascii() and cut.isprintable() else clean(cut)
