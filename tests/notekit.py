"""Landed changes with their notes, in real repositories, for tests of provenance."""

from pathlib import Path

import gitkit
from andon.edges.notes import write_notes
from andon.schema.effects import WriteNotes
from andon.schema.ids import AttemptId, Digest, Oid, RepoId, TaskId
from andon.schema.inputs import NotesWritten
from andon.schema.notes import Effort, NoteKind, NoteRecord
from gitkit import run


def record(commit: str, before: str, change: str, number: int = 1, **more: object) -> NoteRecord:
    """What a factory knows of a landed change."""
    base: dict[str, object] = {
        "version": 1, "task": TaskId(f"T{number}"), "attempt": AttemptId(f"T{number}.1"), "change": Oid(change),
        "repo": RepoId("shop"), "commit": Oid(commit), "before": Oid(before), "at": 1_795_000_000_000 + number,
        "title": f"Say hello {number}",
        "spec": Digest("5b" * 32), "agent": "claude", "model": "opus", "summary": f"I said hello {number}.", "walls": "strict",
        "effort": Effort(turns=3, input_tokens=1200, output_tokens=340), "tools": {"Edit": 2, "Bash": 5},
        "transcript": Digest("7a" * 32), "transcript_bytes": 4096, "conversation": f"0f9c-{number}",
    }
    return NoteRecord(**(base | more))  # type: ignore[arg-type]


def trailers(number: int, change: str) -> str:
    """What a landing commit says of itself."""
    return f"Land T{number}: Say hello {number}\n\nAndon-Task: T{number}\nAndon-Attempt: T{number}.1\nAndon-Change: {change}\n"


def land(repo: Path, number: int, *, parts: int = 1, squash: bool = False, told: bool = True) -> NoteRecord:
    """A change of some commits lands on main, by a merge commit or as one; the checkout stands at the new main."""
    before = run(repo, "rev-parse", "main")
    run(repo, "checkout", "-q", "-b", f"task-{number}", "main")
    for part in range(parts):
        gitkit.commit(repo, {f"src/{number}/part{part}.py": f"hello = {number * 100 + part}\n" * 4}, f"Part {part} of {number}")
    change = run(repo, "rev-parse", "HEAD")
    run(repo, "checkout", "-q", "main")
    message = trailers(number, change) if told else f"Land {number}"
    if squash:
        run(repo, "merge", "-q", "--squash", f"task-{number}")
        run(repo, "commit", "-q", "-m", message)
    else:
        run(repo, "merge", "-q", "--no-ff", "-m", message, f"task-{number}")
    return record(run(repo, "rev-parse", "HEAD"), before, change, number)


async def noted(repo: Path, made: NoteRecord, *refs: NoteKind) -> NotesWritten:
    """Write its notes."""
    effect = WriteNotes(repo=made.repo, git_dir=str(repo / ".git"), target="main", refs=refs or ("andon",), record=made)
    return await write_notes(effect)


def note(repo: Path, commit: str, ref: str = "andon") -> str:
    """The note of a commit; empty when it has none."""
    return run(repo, "notes", f"--ref={ref}", "show", commit, check=False)
