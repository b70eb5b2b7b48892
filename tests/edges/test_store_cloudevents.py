"""The log as CloudEvents, judged by the CloudEvents library."""

import json

import pytest
from cloudevents.core.formats.json import JSONFormat

from andon.schema.chain import Row
from andon.schema.cloudevents import to_cloudevent
from andon.schema.events import Recorded, kind_of
from andon.schema.upcast import decode
from ledgerkit import LOGS, read_rows

ROWS = read_rows(sorted(LOGS.glob("*.jsonl"))[-1])


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.kind)
def test_every_kind_is_a_valid_cloudevent(row: Row) -> None:
    recorded = Recorded(seq=row.seq, at=row.at, event=decode(row.kind, row.version, row.data), prev=row.prev, hash=row.hash)
    told = to_cloudevent(recorded, "/factory/one")
    event = JSONFormat().read(None, json.dumps(told))
    assert event.get_specversion() == "1.0" and event.get_type() == f"dev.andon.{kind_of(recorded.event)}"
    assert event.get_source() == "/factory/one" and event.get_id() == row.hash and event.get_subject() == (row.subject or None)
    assert event.get_datacontenttype() == "application/json" and event.get_data() == json.loads(row.data)
    assert [event.get_extension(name) for name in ("andonseq", "andonhash", "andonprev")] == [row.seq, row.hash, row.prev]
    time = event.get_time()
    assert time is not None and time.timestamp() * 1000 == pytest.approx(row.at, abs=0.01)
    assert told["time"].startswith("2023-11-14T22:13:20.") and told["time"].endswith("Z")


def test_an_event_about_the_factory_itself_has_no_subject() -> None:
    row = next(row for row in ROWS if row.kind == "factory.started")
    told = to_cloudevent(Recorded(seq=1, at=0, event=decode(row.kind, 1, row.data), prev=row.prev, hash=row.hash), "/f")
    assert "subject" not in told and told["time"] == "1970-01-01T00:00:00.000Z"
