"""The store's copy of what notes say: the records of the ledger. Reads only."""

import msgspec

from andon.ledger_reader import read_log
from andon.schema import events as e
from andon.schema.ids import RepoId
from andon.schema.layout import Layout
from andon.schema.notes import NoteRecord

ROWS = 20_000
"""Rows that are read, the latest."""
KINDS = ("notes.planned", "note.found")


def stored_records(layout: Layout, repo: RepoId) -> list[NoteRecord]:
    """The records of a repository, oldest first; of a change that landed twice both."""
    if not layout.ledger.exists():
        return []
    found = []
    for row in read_log(layout, kinds=KINDS, limit=ROWS, newest=True):
        if isinstance(row.event, e.NotesPlanned) and row.event.record.repo == repo:
            found.append(msgspec.structs.replace(row.event.record, at=row.at))
        elif isinstance(row.event, e.NoteFound) and row.event.repo == repo:
            found.append(row.event.record)
    return found
