"""An undo as the State knows it. Pure data; never decides."""

import msgspec

from andon.schema.undo import Deed

KEPT = 20
"""Undos that are over and still remembered, the latest; the ledger has all."""


def number(undo: str) -> int:
    """7 of `U7`; 0 for what is named otherwise."""
    return int(undo[1:]) if undo[1:].isdecimal() and undo[1:].isascii() else 0


class Undo(msgspec.Struct, frozen=True, kw_only=True):
    """A step that is or was walked backwards."""

    undo: str
    step: str
    deeds: tuple[Deed, ...]
    by: str
    because: str = ""
    at: int = 0
    """The deed that is next or under way, from 0."""
    begun: bool = False
    """Whether that one was begun."""
    seen: tuple[str, ...] = ()
    """What was seen of those before it."""
    over: str = ""
    """`done` or `stopped`; empty: under way."""
    why: str = ""
    """For `stopped`."""
