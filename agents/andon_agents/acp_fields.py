"""Fields out of JSON that somebody else wrote: every shape is survived, nothing raises. Knows no agent."""

import hashlib
from typing import Any

import msgspec

from andon.schema.signals import NOTE_LIMIT


def decoded(raw: bytes | msgspec.Raw) -> dict[str, Any]:
    """The JSON object in these bytes, or an empty one."""
    try:
        value = msgspec.json.decode(bytes(raw))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def table(value: object, *path: str) -> dict[str, Any]:
    """The object at this path, or an empty one."""
    found = _at(value, path)
    return found if isinstance(found, dict) else {}


def rows(value: object, *path: str) -> list[Any]:
    """The list at this path, or an empty one."""
    found = _at(value, path)
    return found if isinstance(found, list) else []


def text(value: object, *path: str) -> str:
    """The string at this path, or an empty one."""
    found = _at(value, path)
    return found if isinstance(found, str) else ""


def number(value: object, *path: str) -> float:
    """The number at this path, or 0; neither a truth value, nor infinite, nor not-a-number."""
    found = _at(value, path)
    if isinstance(found, bool) or not isinstance(found, int | float) or not abs(found) < 1e15:
        return 0
    return found


def count(value: object, *path: str) -> int:
    """The whole number at this path, never below 0."""
    return max(0, int(number(value, *path)))


def texts(values: list[Any], limit: int = 50) -> tuple[str, ...]:
    """The strings of a list."""
    return tuple(value for value in values[:limit] if isinstance(value, str))


def digest(*values: object) -> str:
    """A short name for these values: equal ones have equal names."""
    try:
        told = msgspec.json.encode(values, order="deterministic")
    except (TypeError, ValueError, RecursionError, OverflowError):
        return ""
    return hashlib.sha256(told).hexdigest()[:16]


def note(raw: bytes | msgspec.Raw) -> str:
    """The raw words, cut, as a signal keeps them."""
    return bytes(raw)[: NOTE_LIMIT * 4].decode(errors="replace")[:NOTE_LIMIT]


def _at(value: object, path: tuple[str, ...]) -> object:
    for key in path:
        if not isinstance(value, dict):
            return None
        value = value.get(key)
    return value
