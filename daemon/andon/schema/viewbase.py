"""The base of all views."""

import msgspec


class View(msgspec.Struct, frozen=True, kw_only=True, tag_field="type"):
    """Base of all views."""

    @property
    def key(self) -> str:
        """Names the thing that is drawn: a later view with the same key replaces it."""
        raise NotImplementedError
