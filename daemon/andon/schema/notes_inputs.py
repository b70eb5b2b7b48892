"""What edges tell of the notes of landed changes."""

from andon.schema.ids import AttemptId, Oid, RepoId, TaskId
from andon.schema.inputbase import Input
from andon.schema.notes import Attached, NoteRecord, Talk


class ConversationKept(Input, frozen=True, kw_only=True, tag="conversation-kept"):
    """The transcript of a session that ended was put into the store."""

    attempt: AttemptId
    talk: Talk


class NotesWritten(Input, frozen=True, kw_only=True, tag="notes-written"):
    """The notes were read back."""

    task: TaskId
    commit: Oid
    written: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()
    withheld: int = 0


class NotesRepaired(Input, frozen=True, kw_only=True, tag="notes-repaired"):
    """Commits were looked at, and their notes put back where that was possible."""

    repo: RepoId
    old: Oid = Oid("")
    new: Oid = Oid("")
    found: tuple[Attached, ...] = ()
    looked: int = 0
    beyond: int = 0
    records: tuple[tuple[Oid, NoteRecord], ...] = ()
    """Records in notes that may be new to the ledger."""


AnyNotesInput = ConversationKept | NotesWritten | NotesRepaired
"""The inputs of notes."""
