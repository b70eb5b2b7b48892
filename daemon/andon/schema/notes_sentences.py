"""One plain sentence for each event about git notes."""

from andon.schema import notes_events as e
from andon.schema.eventbase import Event
from andon.schema.words import names, plural, short


def notes(event: Event) -> str:
    """What happened; empty for an event of another kind."""
    match event:
        case e.ConversationKept():
            held = f", {plural(event.talk.withheld, 'secret')} withheld" if event.talk.withheld else ""
            end = "the end of " if event.talk.oversize else ""
            return f"{end}the transcript of {event.attempt} is kept: {event.talk.bytes} bytes{held}"
        case e.NotesPlanned():
            return f"{event.task} is to get its git notes on {short(event.record.commit)}: {names(event.refs)}"
        case e.NotesWritten() if not (event.written or event.kept):
            return f"git notes of {event.task} were not written"
        case e.NotesWritten():
            held = f", {plural(event.withheld, 'secret')} withheld" if event.withheld else ""
            kept = f"; another writer's note stays under {names(event.kept)}" if event.kept else ""
            return f"{event.task} has its git notes on {short(event.commit)}: {names(event.written) or 'none'}{held}{kept}"
        case e.NotesRepaired():
            found = [one for one in event.found if one.state in ("attached", "partly")]
            vague = sum(one.state == "ambiguous" for one in event.found)
            doubt = f"; {plural(vague, 'commit')} could be several changes and got none" if vague else ""
            rest = f"; {event.beyond} more were not looked at" if event.beyond else ""
            return f"{plural(event.looked, 'commit')} of {event.repo} looked at: {len(found)} got a note again{doubt}{rest}"
        case e.NoteFound():
            return f"a note on {short(event.commit)} tells of {event.record.task}, which this ledger does not know"
    return ""
