"""What a claim rests on, as faces show it: the statement's own fields, its files, and how to run it again. Knows no signature."""

import msgspec

from andon.schema.ids import Digest, Oid, RepoId, RunId, TaskId

NOT_HERE = -1


class EvidenceFile(msgspec.Struct, frozen=True, kw_only=True):
    """A file that a claim rests on."""

    name: str
    """`statement`, `report`, `log`, `names`, `diff`."""
    digest: Digest
    size: int = NOT_HERE
    """Bytes; NOT_HERE: it is named, and the store does not have it."""


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that a person may ask about one claim of a task."""

    task: TaskId
    repo: RepoId
    claim: str
    status: str
    because: str = ""
    run: RunId = RunId("")
    """Empty: no run stands behind it; the daemon judged it from git alone."""
    at: int = 0
    """When it was judged (unix milliseconds); 0: not yet."""
    kind: str = ""
    """The statement's predicate type."""
    commit: Oid = Oid("")
    """The subject that the statement names; without one, the commit that was judged."""
    tree: Oid = Oid("")
    result: str = ""
    """As the statement says it: `PASSED` …"""
    files: tuple[EvidenceFile, ...] = ()
    definition: Digest = Digest("")
    """Of the check, as it was when it ran."""
    command: str = ""
    exit: int | None = None
    milliseconds: int | None = None
    passed: int | None = None
    failed: int | None = None
    skipped: int | None = None
    failing: tuple[str, ...] = ()
    lost: tuple[str, ...] = ()
    """Tests that pass on the base and did not here."""
    environment: tuple[tuple[str, str], ...] = ()
    checkout: str = ""
    isolation: str = ""
    """The walls that the run had."""
    asked: str = ""
    """What the settings wanted around it."""
    keys: tuple[str, ...] = ()
    """Ids of the keys that signed the statement; empty: it is not signed."""
    role: str = ""
    """Whose key that should be: `verifier`; empty: nobody signed."""
    again: str = ""
    """One command for a person's shell that runs it again on the exact commit; empty: nothing ran."""
    notes: tuple[str, ...] = ()
    """What is not known or should be known, each in one sentence."""


def sized(size: int) -> str:
    """The size of a file for people: `412 B`, `12 KiB`, `3.4 MiB`; of one that is not here, that."""
    if size == NOT_HERE:
        return "not in the store"
    return f"{size} B" if size < 1024 else f"{size / 1024:.0f} KiB" if size < 2**20 else f"{size / 2**20:.1f} MiB"
