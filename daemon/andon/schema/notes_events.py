"""What can have happened to the notes of landed changes. The ledger holds these; it is the store that notes are restored from."""

from andon.schema.eventbase import Event
from andon.schema.ids import AttemptId, Oid, RepoId, TaskId
from andon.schema.notes import Attached, NoteKind, NoteRecord, Talk


class ConversationKept(Event, frozen=True, kw_only=True, tag="conversation.kept"):
    """A session ended, and its transcript lies in the store without secrets."""

    attempt: AttemptId
    talk: Talk


class NotesPlanned(Event, frozen=True, kw_only=True, tag="notes.planned"):
    """A landed change is to get its notes: what they will say, and under which refs. None: this record is the only copy."""

    task: TaskId
    refs: tuple[NoteKind, ...]
    record: NoteRecord


class NotesWritten(Event, frozen=True, kw_only=True, tag="notes.written"):
    """The notes of a landed change stand in git."""

    task: TaskId
    commit: Oid
    written: tuple[str, ...] = ()
    """Refs that hold it now."""
    kept: tuple[str, ...] = ()
    """Refs that hold another writer's note on that commit: it was left as it is."""
    withheld: int = 0
    """Secrets that were taken out."""


class NotesRepaired(Event, frozen=True, kw_only=True, tag="notes.repaired"):
    """Commits were looked at: whose change each is, and which copies were put back."""

    repo: RepoId
    old: Oid = Oid("")
    """With `new`: the move of the target that this answers."""
    new: Oid = Oid("")
    found: tuple[Attached, ...] = ()
    """At most 200, those with something to tell first."""
    looked: int = 0
    beyond: int = 0
    """Commits that were not looked at: more than the bound."""


class NoteFound(Event, frozen=True, kw_only=True, tag="note.found"):
    """A note tells of a change that this ledger does not know: kept as told, never as proven."""

    repo: RepoId
    commit: Oid
    record: NoteRecord


AnyNotesEvent = ConversationKept | NotesPlanned | NotesWritten | NotesRepaired | NoteFound
"""The events of notes."""
