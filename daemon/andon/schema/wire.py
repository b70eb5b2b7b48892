"""The operator's socket: one JSON object a line, both ways. A request has an id; its answer carries the same id.

Theory of operation. The client says Hello first; the daemon answers Welcome, or Refused and closes. Then any number of
requests. After Subscribe the daemon sends one Snapshot and then Changes: whole views that replace older ones by key, and
keys that are gone. A slow client gets the latest view of each key, never a backlog: the bound is the number of keys.
"""

from typing import Literal

import msgspec

from andon.schema.errors import Problem
from andon.schema.evidence_views import Evidence
from andon.schema.ids import AttemptId, Digest, RepoId, TaskId
from andon.schema.inputs import AnyCommand
from andon.schema.notes import Attached, NoteRecord
from andon.schema.sandbox import Access, Attack, Reached
from andon.schema.settings import Loaded
from andon.schema.undo import UndoView
from andon.schema.views import AnyView, PolicyRow, Provenance, TaskDetail

PROTOCOL = 1
"""Changes when an older face can no longer talk to a newer daemon."""
LINE_LIMIT = 16 * 1024 * 1024
"""Bytes of one message."""


class Message(msgspec.Struct, frozen=True, kw_only=True, tag_field="type"):
    """Base of what goes over the socket."""


# --- from a face -----------------------------------------------------------------------------------------------------


class Hello(Message, frozen=True, kw_only=True, tag="hello"):
    """The first line."""

    protocol: int = PROTOCOL
    version: str = ""
    face: str = "cli"


class Request(Message, frozen=True, kw_only=True):
    """Base of requests."""

    id: int = 0


class Do(Request, frozen=True, kw_only=True, tag="do"):
    """A person's command. Answered by Done when it is durable, or Failed."""

    command: AnyCommand


class Register(Request, frozen=True, kw_only=True, tag="register"):
    """Put the repository at `path` under the factory. `trust`: the person was shown the commands with this digest and said yes."""

    path: str
    trust: Digest = Digest("")


class ReloadSettings(Request, frozen=True, kw_only=True, tag="reload"):
    """Read a repository's settings now. Answered by SettingsAre."""

    repo: RepoId


class Subscribe(Request, frozen=True, kw_only=True, tag="subscribe"):
    """Snapshot, then Changes."""


class GetViews(Request, frozen=True, kw_only=True, tag="views"):
    """One Snapshot, no Changes."""


class GetTask(Request, frozen=True, kw_only=True, tag="task"):
    """Answered by TaskIs."""

    task: TaskId


class GetBlob(Request, frozen=True, kw_only=True, tag="blob"):
    """Answered by BlobIs."""

    digest: Digest
    limit: int = 4 * 1024 * 1024


class WatchPane(Request, frozen=True, kw_only=True, tag="watch-pane"):
    """From here on PaneIs for this attempt whenever its rows change, at most 10 a second. Empty attempt: stop watching."""

    attempt: AttemptId
    rows: int = 0
    """Rows of the watching widget; 0 for all."""


class Undo(Request, frozen=True, kw_only=True, tag="undo"):
    """Restore the snapshot of an attempt as a directory. Answered by Done with its path."""

    attempt: AttemptId


class UndoStep(Request, frozen=True, kw_only=True, tag="undo-step"):
    """Show how a step would be walked backwards, or do it. Answered by UndoIs."""

    step: str
    whole: bool = False
    """Of a task: all that it did, not only its latest checkout."""
    go: bool = False
    """Do it, or go on with it where it stands."""
    undo: str = ""
    """Only how far this one is (`U1`): nothing is planned anew."""
    because: str = ""


class SimulateQueue(Request, frozen=True, kw_only=True, tag="simulate-queue"):
    """What each policy would have done with this repository's own history. Answered by SimulationIs."""

    repo: RepoId
    slots: int = 0
    """0: as many as the queue has now."""
    seed: int = 1


class FindCommit(Request, frozen=True, kw_only=True, tag="find-commit"):
    """Which task a commit of a target is. Answered by ProvenanceIs."""

    commit: str
    """As a person writes it: a prefix or a ref will do."""
    repo: RepoId = RepoId("")
    """Empty: look in all."""


class GetAccess(Request, frozen=True, kw_only=True, tag="access"):
    """What an attempt tried to reach. Answered by AccessIs."""

    attempt: AttemptId


class GetEvidence(Request, frozen=True, kw_only=True, tag="evidence"):
    """What a claim of a task rests on. Answered by EvidenceIs."""

    task: TaskId
    claim: str = ""
    digest: Digest = Digest("")
    """Of a statement in the task's history; with it, `claim` says nothing."""


class AskNotes(Request, frozen=True, kw_only=True, tag="ask-notes"):
    """Look at git notes, write those that lack, or give them back to commits that were rewritten. Answered by NotesAre."""

    repo: RepoId
    do: Literal["show", "sync", "repair", "export"]
    commit: str = ""
    """As git names it; of `repair` and `export` also a range. Empty: the newest of the target."""
    limit: int = 500
    remote: str = ""
    """For `sync`: exchange our own notes with this remote too."""


class TryWalls(Request, frozen=True, kw_only=True, tag="try-walls"):
    """See anew which walls this machine gives, and attack a stage of the daemon's own from within them. Answered by WallsAre."""

    attack: bool = True
    """Takes seconds; without it the machine is looked at, and that is all."""


class Shutdown(Request, frozen=True, kw_only=True, tag="shutdown"):
    """Drain and leave; agents stay. Answered by Done, then the socket closes."""

    because: str = "andon down"


AnyRequest = (
    Hello | Do | Register | ReloadSettings | Subscribe | GetViews | GetTask | GetBlob | WatchPane | Undo | Shutdown
    | UndoStep | SimulateQueue | FindCommit | TryWalls | GetAccess | GetEvidence | AskNotes
)
"""What a face may send."""


# --- from the daemon -------------------------------------------------------------------------------------------------


class Welcome(Message, frozen=True, kw_only=True, tag="welcome"):
    """We speak the same protocol."""

    protocol: int
    version: str
    pid: int
    home: str


class Refused(Message, frozen=True, kw_only=True, tag="refused"):
    """We do not, or you may not."""

    problem: Problem


class Reply(Message, frozen=True, kw_only=True):
    """Base of answers."""

    id: int = 0


class Done(Reply, frozen=True, kw_only=True, tag="done"):
    """It is durable. `ids` names what was made (`T7`, `G3`, a path)."""

    ids: tuple[str, ...] = ()
    text: str = ""


class Failed(Reply, frozen=True, kw_only=True, tag="failed"):
    """Nothing happened, and this is why."""

    problem: Problem


class Snapshot(Reply, frozen=True, kw_only=True, tag="snapshot"):
    """All views."""

    views: tuple[AnyView, ...]


class Changes(Message, frozen=True, kw_only=True, tag="changes"):
    """What is different since the last message."""

    views: tuple[AnyView, ...] = ()
    gone: tuple[str, ...] = ()
    """Keys."""


class TaskIs(Reply, frozen=True, kw_only=True, tag="task-is"):
    """Answer to GetTask."""

    detail: TaskDetail


class BlobIs(Reply, frozen=True, kw_only=True, tag="blob-is"):
    """Answer to GetBlob."""

    text: str
    truncated: bool = False


class SettingsAre(Reply, frozen=True, kw_only=True, tag="settings-are"):
    """Answer to ReloadSettings, and to Register when trust is missing."""

    loaded: Loaded
    trusted: bool
    commands: tuple[str, ...] = ()


class SimulationIs(Reply, frozen=True, kw_only=True, tag="simulation-is"):
    """Answer to SimulateQueue."""

    rows: tuple[PolicyRow, ...]
    """The shipped policy first."""
    entries: int
    """Changes of the history."""
    text: str = ""
    """What was assumed where the history says nothing."""


class ProvenanceIs(Reply, frozen=True, kw_only=True, tag="provenance-is"):
    """Answer to FindCommit."""

    found: Provenance


class WallsAre(Reply, frozen=True, kw_only=True, tag="walls-are"):
    """Answer to TryWalls."""

    reached: Reached
    attacks: tuple[Attack, ...] = ()


class AccessIs(Reply, frozen=True, kw_only=True, tag="access-is"):
    """Answer to GetAccess."""

    attempt: AttemptId
    rows: tuple[Access, ...]
    """One a thing, in order of its first time."""
    kept: Literal["files", "ledger"] = "files"
    """`ledger`: the job directory is gone, and these are the refusals that are remembered."""
    level: str = ""
    """The walls that stood around its latest sitting; empty: not known, or not yet."""
    notes: tuple[str, ...] = ()
    """What is not seen, each in one sentence."""


class UndoIs(Reply, frozen=True, kw_only=True, tag="undo-is"):
    """Answer to UndoStep."""

    view: UndoView


class EvidenceIs(Reply, frozen=True, kw_only=True, tag="evidence-is"):
    """Answer to GetEvidence."""

    evidence: Evidence


class NotesAre(Reply, frozen=True, kw_only=True, tag="notes-are"):
    """Answer to AskNotes."""

    found: tuple[Attached, ...] = ()
    records: tuple[NoteRecord, ...] = ()
    refs: tuple[str, ...] = ()
    """Of `show`: those under which the commit has a note, ours or another's."""
    looked: int = 0
    beyond: int = 0
    """Commits that were not looked at, at least."""
    lines: tuple[str, ...] = ()
    """Of `export`: one JSON document each."""
    notes: tuple[str, ...] = ()
    """What should be known, each in one sentence."""


class PaneIs(Message, frozen=True, kw_only=True, tag="pane-is"):
    """What a session's pane shows now."""

    attempt: AttemptId
    rows: tuple[str, ...]
    """Text with SGR escapes only; everything else was taken out at the boundary."""
    width: int
    height: int
    cursor: tuple[int, int] | None = None
    """Column and row from 0; None when hidden."""
    alive: bool = True
    state: Literal["live", "ended", "unknown"] = "live"


AnyReply = (
    Welcome | Refused | Done | Failed | Snapshot | Changes | TaskIs | BlobIs | SettingsAre | PaneIs | SimulationIs | ProvenanceIs
    | WallsAre | AccessIs | UndoIs | EvidenceIs | NotesAre
)
"""What the daemon may send."""
