"""What planned, written and repaired notes change."""

from andon.core.folds.table import forget, on, replace, with_attempt
from andon.core.state import State
from andon.schema import events as e
from andon.schema.notes import OwedNotes, OwedRepair

KEPT_OWED = 500
"""Notes owed at once; past it the oldest are left to `andon notes sync`, which knows them from the ledger."""
KEPT_REPAIRS = 20


@on(e.ConversationKept)
def _(state: State, event: e.ConversationKept) -> State:
    return with_attempt(state, event.attempt, talk=event.talk)


@on(e.NotesPlanned)
def _(state: State, event: e.NotesPlanned) -> State:
    record = replace(event.record, at=state.at)
    owed = (*(one for one in state.notes.owed if one.record.task != event.task), OwedNotes(refs=event.refs, record=record))
    return replace(state, notes=replace(state.notes, owed=owed[-KEPT_OWED:]))


@on(e.NotesWritten)
def _(state: State, event: e.NotesWritten) -> State:
    known = next((one for one in state.notes.owed if (one.record.task, one.record.commit) == (event.task, event.commit)), None)
    left = tuple(one for one in state.notes.owed if (one.record.task, one.record.commit) != (event.task, event.commit))
    return forget(replace(state, notes=replace(state.notes, owed=left)), known.record.repo, "write-notes") if known else state


@on(e.NotesRepaired)
def _(state: State, event: e.NotesRepaired) -> State:
    left = tuple(one for one in state.notes.repairs if (one.repo, one.old, one.new) != (event.repo, event.old, event.new))
    return forget(replace(state, notes=replace(state.notes, repairs=left)), event.repo, "repair-notes")


def wanted(state: State, event: e.TargetObserved) -> State:
    """Somebody else moved the target: what is new on it is to be looked through. For the fold of that event."""
    known = state.repos.get(event.repo)
    if known is None or event.by == "landing" or not known.trunk or known.trunk == event.oid or not known.settings.provenance.notes:
        return state
    repairs = (*state.notes.repairs, OwedRepair(repo=event.repo, old=known.trunk, new=event.oid))
    return replace(state, notes=replace(state.notes, repairs=repairs[-KEPT_REPAIRS:]))
