"""Views as the bytes that go over the operator's socket, made once for all clients; must never know who gets them.

Secrets stay behind here: whatever a face is told passes this module.
"""

from collections.abc import Iterable, Mapping

import msgspec

from andon.edges import withheld
from andon.schema.views import AnyView


class RawSnapshot(msgspec.Struct, tag_field="type", tag="snapshot"):
    """wire.Snapshot with views that are already encoded."""

    id: int
    views: list[msgspec.Raw]


class RawChanges(msgspec.Struct, tag_field="type", tag="changes"):
    """wire.Changes with views that are already encoded."""

    views: list[msgspec.Raw]
    gone: tuple[str, ...]


class Encoder:
    """Writes every message of the socket, without secrets."""

    def __init__(self) -> None:
        self._plain = msgspec.json.Encoder()

    def encode(self, message: object) -> bytes:
        """The message as JSON. Views that are already encoded were looked through then."""
        told = self._plain.encode(message)
        return told if isinstance(message, RawSnapshot | RawChanges) else withheld.data(told)


encoder = Encoder()


class Encoded:
    """Encoded views, one entry a key: each view object is encoded once, however many clients get it."""

    def __init__(self) -> None:
        self._cache: dict[str, tuple[AnyView, object, msgspec.Raw]] = {}
        self.made = 0
        """How many encodings there were, for tests and figures."""

    def of(self, key: str, view: AnyView) -> msgspec.Raw:
        """The view as JSON."""
        entry, now = self._cache.get(key), withheld.redactor()
        if entry is None or entry[0] is not view or entry[1] is not now:
            entry = (view, now, msgspec.Raw(encoder.encode(view)))
            self._cache[key] = entry
            self.made += 1
        return entry[2]

    def forget(self, gone: Iterable[str]) -> None:
        """These keys are gone."""
        for key in gone:
            self._cache.pop(key, None)

    def all(self, views: Mapping[str, AnyView]) -> list[msgspec.Raw]:
        """All views as JSON; what is no longer among them is forgotten."""
        raws = [self.of(key, view) for key, view in views.items()]
        if len(self._cache) > len(views):
            self.forget([key for key in self._cache if key not in views])
        return raws
