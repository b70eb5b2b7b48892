"""The notes of landed changes: what they say, which are owed, what was heard of them. Pure; knows no git and no format."""

import hashlib
from collections.abc import Callable, Iterator
from typing import Any

from andon.core import walls
from andon.core.state import Attempt, Repository, State, Task
from andon.core.troubles import clear, noticed
from andon.schema import effects as f, events as e, inputs as i
from andon.schema.errors import Problem
from andon.schema.ids import AttemptId, Digest, LandingId, Oid, TaskId
from andon.schema.notes import SUMMARY_LIMIT, Attached, Effort, NoteRecord, OwedNotes, Talk
from andon.schema.sentences import plural

AT_ONCE = 20
"""Notes that are asked to be written at once; one after the other they are written anyway."""
KEPT_FOUND = 200
KEPT_RECORDS = 500
"""Records of notes that one repair may bring to the ledger."""


def planned(state: State, landing: LandingId, task: Task, commit: Oid, before: Oid) -> list[e.Event]:
    """What a change that has just landed is to get: nothing, where the settings name no notes."""
    repo = state.repos.get(task.repo)
    if repo is None or not repo.settings.provenance.notes or task.work is None:
        return []
    record = record_of(state, repo, landing, task, commit, before)
    return [e.NotesPlanned(task=task.task, refs=repo.settings.provenance.notes, record=record)]


def record_of(state: State, repo: Repository, landing: LandingId, task: Task, commit: Oid, before: Oid) -> NoteRecord:
    """What the factory knows of a landed change now; when it landed is the event's time, and git knows the rest."""
    assert task.work is not None
    attempt = state.attempts.get(task.work.attempt)
    agent = repo.settings.agents.get(attempt.agent) if attempt else None
    talk = attempt.talk if attempt else Talk()
    said = (attempt.turn_text or attempt.says).strip() if attempt else ""
    return NoteRecord(
        version=1, task=task.task, attempt=task.work.attempt, change=task.work.commit, landing=landing, repo=task.repo,
        commit=commit, before=before, title=task.title, spec=Digest(hashlib.sha256(task.spec.encode()).hexdigest()),
        agent=attempt.agent if attempt else "", model=agent.model if agent else "", walls=walls.level_of(task),
        summary=said[:SUMMARY_LIMIT], effort=effort_of(state, task, attempt), tools=talk.tools, transcript=talk.transcript,
        transcript_bytes=talk.bytes, conversation=attempt.conversation if attempt else "", withheld=talk.withheld,
        shortened=len(said) > SUMMARY_LIMIT or talk.oversize,
    )


def effort_of(state: State, task: Task, last: Attempt | None) -> Effort:
    """Turns of the accepted attempt, tokens of all attempts."""
    live = [state.attempts[name].spent for name in task.attempts if name in state.attempts and state.attempts[name].live]
    spent = (task.spent, *live)
    return Effort(
        turns=last.turn if last else 0, input_tokens=sum(one.input for one in spent),
        output_tokens=sum(one.output for one in spent), cache_creation_input_tokens=sum(one.cache_write for one in spent),
        cache_read_input_tokens=sum(one.cache_read for one in spent),
    )


def owes(state: State) -> Iterator[f.WriteNotes | f.RepairNotes]:
    """Notes to write, oldest first, and targets to look through."""
    for owed in state.notes.owed[:AT_ONCE]:
        repo = state.repos.get(owed.record.repo)
        if repo is not None:
            yield f.WriteNotes(
                repo=repo.repo, git_dir=repo.git_dir, target=repo.settings.target, refs=owed.refs, record=owed.record)
    for wanted in state.notes.repairs:
        repo = state.repos.get(wanted.repo)
        if repo is not None:
            yield f.RepairNotes(
                repo=repo.repo, git_dir=repo.git_dir, target=repo.settings.target, old=wanted.old, new=wanted.new,
                refs=repo.settings.provenance.notes)


def kept(state: State, given: i.ConversationKept, at: int) -> list[e.Event]:
    """A transcript lies in the store."""
    attempt = state.attempts.get(AttemptId(given.attempt))
    if attempt is None or attempt.talk == given.talk:
        return []
    return [e.ConversationKept(attempt=given.attempt, talk=given.talk)]


def owed_of(state: State, task: TaskId, commit: Oid) -> OwedNotes | None:
    """What is owed to a landed commit."""
    return next((one for one in state.notes.owed if (one.record.task, one.record.commit) == (task, commit)), None)


def written(state: State, given: i.NotesWritten, at: int) -> list[e.Event]:
    """They stand in git."""
    if owed_of(state, given.task, given.commit) is None:
        return []
    return [e.NotesWritten(task=given.task, commit=given.commit, written=given.written, kept=given.kept, withheld=given.withheld)]


def repaired(state: State, given: i.NotesRepaired, at: int) -> list[e.Event]:
    """Commits were looked at. Changes that two records fit are told to a person."""
    repo = state.repos.get(given.repo)
    if repo is None:
        return []
    telling = sorted(given.found, key=lambda one: one.state == "present")[:KEPT_FOUND]
    told: list[e.Event] = [e.NotesRepaired(
        repo=given.repo, old=given.old, new=given.new, found=tuple(one for one in telling if one.state != "present"),
        looked=given.looked, beyond=given.beyond,
    )]
    known = [(commit, record) for commit, record in given.records[:KEPT_RECORDS] if foreign(state, record)]
    told += [e.NoteFound(repo=given.repo, commit=commit, record=record) for commit, record in known]
    key = f"notes:{given.repo}"
    vague = [one for one in given.found if one.state == "ambiguous"]
    return [*told, *(noticed(state, key, i.TroubleSeen(key="", problem=ambiguous(vague, repo), repo=repo.repo)) if vague
                     else clear(state, key) if given.new else [])]


def foreign(state: State, record: NoteRecord) -> bool:
    """Whether the ledger does not know the change of a note."""
    return record.task not in state.tasks and record.task not in state.past


def ambiguous(vague: list[Attached], repo: Repository) -> Problem:
    """Nothing is guessed."""
    first = vague[0]
    more = f" (and {plural(len(vague) - 1, 'other commit')})" if len(vague) > 1 else ""
    return Problem(what=f"{first.commit[:12]} fits {', '.join(first.tasks[:5])} alike{more}: it got no note", where=repo.path,
                   mend=f"`andon notes show {first.commit[:12]}` shows both; `git notes --ref andon copy` settles it by hand")


HANDLERS: dict[type, Callable[[State, Any, int], list[e.Event]]] = {
    i.ConversationKept: kept, i.NotesWritten: written, i.NotesRepaired: repaired,
}
