"""What a git note says of a landed change: the record itself, and what a note's copies and repairs are called. Knows no git."""

from typing import Literal

import msgspec

from andon.schema.ids import AttemptId, Digest, LandingId, Oid, RepoId, TaskId

NoteKind = Literal["andon", "shiftlog", "ai"]
REFS: dict[str, str] = {"andon": "refs/notes/andon", "shiftlog": "refs/notes/shiftlog", "ai": "refs/notes/ai"}
"""The refs that may be written, by the word of `[provenance] notes`."""
SUMMARY_LIMIT = 2000
"""Characters of an agent's last words that a record holds."""
TOOLS_LIMIT = 40
"""Kinds of tools that are counted apart."""
WITHHELD = "[secret withheld: "
"""How a secret that was taken out shows."""


class Talk(msgspec.Struct, frozen=True, kw_only=True):
    """A conversation in numbers. The conversation itself stays in the store of its factory."""

    transcript: Digest = Digest("")
    """Blob of the store, without secrets; empty: none was found."""
    bytes: int = 0
    tools: dict[str, int] = {}
    """How often each was used, as the agent's hooks told; empty: no hook told."""
    withheld: int = 0
    """Secrets that were taken out of the transcript."""
    oversize: bool = False
    """It is larger than what is kept: only its end was."""


class Effort(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What all attempts of the change cost, as far as it was metered."""

    turns: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cache_creation_input_tokens: int = 0
    cache_read_input_tokens: int = 0


class NoteRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One landed change, in one line of JSON under `refs/notes/andon`. Empty and zero mean: not known."""

    version: int
    """1."""
    task: TaskId
    attempt: AttemptId = AttemptId("")
    change: Oid
    """The head that was judged and accepted."""
    landing: LandingId = LandingId("")
    repo: RepoId
    commit: Oid
    """The commit of the target that it landed as."""
    before: Oid = Oid("")
    """The target's commit before it."""
    tree: Oid = Oid("")
    before_tree: Oid = Oid("")
    patch: str = ""
    """`git patch-id --stable` of the landed commit against the commit before it."""
    patches: tuple[str, ...] = ()
    """The same of each commit that the change consists of, where these are several."""
    at: int = 0
    """When it landed (unix milliseconds)."""
    title: str = ""
    spec: Digest = Digest("")
    """sha256 of the specification."""
    agent: str = ""
    model: str = ""
    """As the settings ask for it; empty: left to the agent."""
    walls: str = ""
    bundle: str = ""
    policy: str = ""
    """Digests as the trailers of the landing say them."""
    summary: str = ""
    """The agent's last words: asserted."""
    effort: Effort = Effort()
    tools: dict[str, int] = {}
    transcript: Digest = Digest("")
    """sha256 of the transcript in the store of the factory; it is not in any note."""
    transcript_bytes: int = 0
    conversation: str = ""
    withheld: int = 0
    """Secrets that were taken out of transcript and summary together."""
    shortened: bool = False
    """The summary or the transcript was longer than what is kept."""


class OwedNotes(msgspec.Struct, frozen=True, kw_only=True):
    """Notes that a landed change is still to get."""

    refs: tuple[NoteKind, ...]
    record: NoteRecord


class OwedRepair(msgspec.Struct, frozen=True, kw_only=True):
    """A target that somebody else moved: its new commits are looked through."""

    repo: RepoId
    old: Oid
    new: Oid


class Notes(msgspec.Struct, frozen=True, kw_only=True):
    """What is owed to the notes of all repositories."""

    owed: tuple[OwedNotes, ...] = ()
    repairs: tuple[OwedRepair, ...] = ()


class Attached(msgspec.Struct, frozen=True, kw_only=True):
    """What a look at one commit found and did."""

    commit: Oid
    state: Literal["present", "attached", "ambiguous", "missing", "partly"]
    """`present`: its note was there; `attached`: it got the note of the change it is; `ambiguous`: several changes fit, so none was
    taken; `missing`: no change is known that it is; `partly`: attached, and another copy is still missing."""
    tasks: tuple[str, ...] = ()
    by: str = ""
    """`note`, `trailers`, `Andon-Change`, `tree`, `patch-id`."""
    source: Oid = Oid("")
    """The commit whose record it is; empty: the store's."""
    lacks: tuple[str, ...] = ()
    """Copies that are not there: `trailer`, `note`, `store`."""
    restored: tuple[str, ...] = ()
    """`note from store`, `note from note`, `store from note`."""
    subject: str = ""
