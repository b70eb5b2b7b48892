"""Walking a step backwards: what is to be done, what was seen of it, and how faces ask for it. Knows no state and no disk."""

from typing import Literal

import msgspec

from andon.schema.eventbase import Event
from andon.schema.ids import AttemptId, RepoId, TaskId
from andon.schema.inputbase import Command, Input

DeedKind = Literal[
    "revert", "end", "reopen", "restore", "free-line", "stop-line", "free-queue", "stop-queue", "free-entry", "hold-entry", "order",
]
DEEDS = 50
"""Deeds of one undo, at most; a landing of more members is taken back member by member."""


class Deed(msgspec.Struct, frozen=True, kw_only=True):
    """One thing to be done, in order."""

    kind: DeedKind
    told: str
    """In words, for people."""
    repo: RepoId = RepoId("")
    task: TaskId = TaskId("")
    attempt: AttemptId = AttemptId("")
    line: str = ""
    order: tuple[TaskId, ...] = ()
    """For `order`: as it was before."""
    found: str = ""
    """What the step left: when it is something else by now, the deed is refused."""


class UndoBegun(Event, frozen=True, kw_only=True, tag="undo.begun"):
    """A step is to be walked backwards: these deeds, one after the other, each seen to be done before the next."""

    undo: str
    """`U1`: unique in the factory."""
    subject: str
    """The step: a landing, a task, an attempt, or `#` and the number of an event."""
    task: TaskId = TaskId("")
    deeds: tuple[Deed, ...]
    by: str
    because: str = ""


class UndoDeedBegun(Event, frozen=True, kw_only=True, tag="undo.deed-begun"):
    """From here on this deed is owed; what follows from it stands in the events beside it."""

    undo: str
    subject: str
    n: int
    """1, 2, 3 …"""


class UndoDeedSeen(Event, frozen=True, kw_only=True, tag="undo.deed-seen"):
    """Its post-condition was looked at, and holds."""

    undo: str
    subject: str
    n: int
    observed: str


class UndoEnded(Event, frozen=True, kw_only=True, tag="undo.ended"):
    """All of it was seen to be done, or it stopped at a deed that cannot be done any more."""

    undo: str
    subject: str
    done: bool
    because: str = ""


class WalkBack(Command, frozen=True, kw_only=True, tag="walk-back"):
    """Take a step back by these deeds. Made by the daemon from the ledger, never by a face."""

    step: str
    deeds: tuple[Deed, ...]
    because: str = ""


class DeedSeen(Input, frozen=True, kw_only=True, tag="deed-seen"):
    """The edge that did a deed looked at what it left."""

    undo: str
    n: int
    observed: str
    done: bool = True
    """False: it cannot be done, and `observed` says why."""


class DeedView(msgspec.Struct, frozen=True, kw_only=True):
    """A deed as faces show it."""

    told: str
    state: Literal["planned", "under way", "seen", "stopped"] = "planned"
    observed: str = ""


class UndoView(msgspec.Struct, frozen=True, kw_only=True):
    """An undo, or what it would be."""

    step: str
    undo: str = ""
    """Empty: nothing was begun."""
    state: Literal["planned", "open", "done", "stopped"] = "planned"
    deeds: tuple[DeedView, ...] = ()
    kept: tuple[str, ...] = ()
    """What of the step stays, and why: it is irreversible, or it is record."""
    because: str = ""
    world: tuple[str, ...] = ()
    """For `done`: what the world looks like now, read anew."""


AnyUndoEvent = UndoBegun | UndoDeedBegun | UndoDeedSeen | UndoEnded
AnyUndoInput = WalkBack | DeedSeen
