"""Small tools for sentences: shortening, counting, naming somebody. Knows no event."""

QUOTE_LIMIT = 160
"""Characters of somebody's words in a sentence; the event holds them whole."""
LIST_LIMIT = 4
"""Names listed before the rest is counted."""


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


def short(oid: str) -> str:
    """The beginning of an object's name, as people know it."""
    return oid[:10] or "nothing"


def names(listed: tuple[str, ...]) -> str:
    """The first names, and how many more there are."""
    shown = ", ".join(shorten(name) for name in listed[:LIST_LIMIT])
    return f"{shown} and {len(listed) - LIST_LIMIT} more" if len(listed) > LIST_LIMIT else shown
