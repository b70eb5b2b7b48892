"""Sentences about steps that are walked backwards. Knows no state, only the event itself."""

from andon.schema import events as e
from andon.schema.words import plural, shorten, tail, who


def undo(event: e.AnyEvent) -> str:
    """What happened to an undo; empty for anything else."""
    match event:
        case e.UndoBegun():
            told = f"{who(event.by)} walks {event.subject} back as {event.undo} in {plural(len(event.deeds), 'deed')}"
            return f"{told}{tail(': ', event.because)}"
        case e.UndoDeedBegun():
            return f"deed {event.n} of {event.undo} ({event.subject}) was begun"
        case e.UndoDeedSeen():
            return f"deed {event.n} of {event.undo} ({event.subject}) is done: {shorten(event.observed)}"
        case e.UndoEnded() if event.done:
            return f"{event.subject} is walked back: {event.undo} is done"
        case e.UndoEnded():
            return f"{event.undo} stopped, {event.subject} is not wholly walked back{tail(': ', event.because)}"
    return ""
