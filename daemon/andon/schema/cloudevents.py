"""A ledger row as a CloudEvent 1.0, for any program that speaks that format. Knows no transport and no ledger."""

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from andon.schema.events import Recorded, kind_of, subject_of

TYPE_PREFIX = "dev.andon."
"""Before the kind in `type`: `dev.andon.task.added`."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def to_cloudevent(recorded: Recorded, source: str) -> dict[str, Any]:
    """The event in CloudEvents' JSON form. `source` is a URI reference that names the factory.

    `id` is the row's hash, so the same row is the same event wherever it is read. Order and proof travel in the extensions
    `andonseq`, `andonhash` and `andonprev`. `subject` is left out where the event is about the factory itself.
    """
    event = recorded.event
    told: dict[str, Any] = {
        "specversion": "1.0",
        "id": recorded.hash,
        "source": source,
        "type": TYPE_PREFIX + kind_of(event),
        "time": (_EPOCH + timedelta(milliseconds=recorded.at)).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "datacontenttype": "application/json",
        "andonseq": recorded.seq,
        "andonhash": recorded.hash,
        "andonprev": recorded.prev,
        "data": msgspec.to_builtins(event),
    }
    if subject := subject_of(event):
        told["subject"] = subject
    return told
