"""An undo as the State knows it. Pure data; never decides."""

import msgspec

from andon.schema.undo import Deed

KEPT = 20
"""Undos that are over and still remembered, the latest; the ledger has all."""


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
