"""Small tools for sentences: shortening, counting, naming somebody. Knows no event."""

QUOTE_LIMIT = 160
"""Characters of somebody's words in a sentence; the event holds them whole."""


def shorten(text: str, limit: int = QUOTE_LIMIT) -> str:
    """The text on one line, cut at `limit` characters with an ellipsis."""
    flat = " ".join(text.split())
    return flat if len(flat) <= limit else flat[: limit - 1].rstrip() + "…"


def plural(count: int, noun: str) -> str:
    """`1 file`, `2 files`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def who(by: str) -> str:
    """A name, or somebody."""
    return by or "somebody"


def tail(lead: str, text: str) -> str:
    """The text after a lead; nothing when there is no text."""
    flat = shorten(text)
    return f"{lead}{flat}" if flat else ""
