"""What takes back each kind of effect, or that nothing can: one table, and the recorded steps it speaks of. Knows no state.

Theory of operation. An effect is *inverse* when the factory itself can bring the world back, *kept* when it only adds what is never
taken away (evidence, refs, records) and harms nobody, *passing* when it leaves nothing behind that could be taken back, and
*irreversible* when somebody else has seen it. What is irreversible names the gate that stands before it, or says that none does.
"""

from typing import Literal

import msgspec

How = Literal["inverse", "kept", "passing", "irreversible"]


class Inverse(msgspec.Struct, frozen=True, kw_only=True):
    """How a kind of effect is taken back."""

    how: How
    by: str
    """What does it, or why nothing does."""
    gate: str = ""
    """For `irreversible`: what asks a person before. `none: …` where nothing does."""
    seen: str = ""
    """For `inverse`: what is looked at afterwards."""


EFFECTS: dict[str, Inverse] = {
    "prepare-checkout": Inverse(how="inverse", by="the checkout is removed after a snapshot, when its attempt or task ends",
                                seen="the directory is gone, refs/andon/salvage holds what it had"),
    "start-session": Inverse(how="inverse", by="the process tree is ended after a snapshot, when its attempt or task ends",
                             seen="its wrapper left `exit.json`, and none of its processes lives"),
    "watch-session": Inverse(how="passing", by="it only looks; a login that it wrote back is a step of its own"),
    "stop-session": Inverse(how="inverse", by="`andon retry TASK` gives another attempt, to which the snapshot is offered",
                            seen="the snapshot's ref"),
    "suspend-session": Inverse(how="inverse", by="the tree is continued by the answer at its gate", seen="its processes run"),
    "import-work": Inverse(how="kept", by="a pinned commit under refs/andon/work: nothing points to it when its task ends"),
    "remove-checkout": Inverse(how="inverse", by="`andon undo ATTEMPT` lays the snapshot out as a directory",
                               seen="the directory stands"),
    "deliver-answer": Inverse(how="irreversible", by="the agent has read it; another message may correct it",
                              gate="the answer is a person's own, at a gate"),
    "run-check": Inverse(how="kept", by="a result is evidence: a later run stands beside it and never replaces it"),
    "merge-candidate": Inverse(how="kept", by="objects and a ref under refs/andon/cand: the target did not move"),
    "move-target": Inverse(how="inverse", by="`andon undo LANDING`: a revert of each member, the last first, proved and landed",
                           seen="trunk holds the reverts, and each path is as it was before or names later work"),
    "mirror-target": Inverse(how="inverse", by="the branch follows trunk again when the landing's revert has landed",
                             seen="the branch stands at trunk, or what is in its way is said"),
    "make-revert": Inverse(how="inverse", by="`andon cancel TASK` before it lands; `andon undo LANDING` after",
                           seen="the task is over, or taken back"),
    "publish-target": Inverse(how="irreversible", by="others have it: a revert that lands is published after it",
                              gate="`publish` of [queue] is off by default and part of what a person trusts (`andon trust`)"),
    "look-at-work": Inverse(how="passing", by="it only looks"),
    "end-session": Inverse(how="passing", by="the turn was over; `andon restart ATTEMPT` or another attempt goes on from the work"),
    "answer-ask": Inverse(how="irreversible", by="the tool may have run",
                          gate="a rule of [permissions], or the person at the gate of the request"),
    "deliver-message": Inverse(how="irreversible", by="the agent has read it; another message may correct it",
                               gate="none: a person's own words ask nobody, and nudges of the factory follow the person's ladder"),
    "interrupt-turn": Inverse(how="inverse", by="`andon nudge TASK` lets it go on", seen="the session works again"),
    "tell-gate": Inverse(how="irreversible", by="the person has been told",
                         gate="routes are the person's own settings, and a gate only asks"),
    "tell-problem": Inverse(how="irreversible", by="the person has been told",
                            gate="routes are the person's own settings, and nothing is decided by telling"),
    "write-notes": Inverse(how="kept", by="a note stands beside the commit and changes nothing of it; a revert gets its own"),
    "repair-notes": Inverse(how="kept", by="it puts copies of a record back where they were"),
    "seal-change": Inverse(how="kept", by="a bundle is never taken away: a newer one stands beside it"),
    "record-landing": Inverse(how="kept", by="a record is never taken away: a revert has one of its own"),
}
"""By tag of the effect."""

STEPS: dict[str, str] = {
    "checkout.prepared": "prepare-checkout", "attempt.started": "start-session", "attempt.suspended": "suspend-session",
    "work.imported": "import-work", "checkout.removed": "remove-checkout", "answer.delivered": "deliver-answer",
    "run.finished": "run-check", "landing.merged": "merge-candidate", "target.moved": "move-target", "task.landed": "move-target",
    "target.mirrored": "mirror-target", "revert.prepared": "make-revert", "target.published": "publish-target",
    "session.work-looked": "look-at-work", "session.finish-told": "end-session", "permission.settled": "answer-ask",
    "message.delivered": "deliver-message", "session.interrupted": "interrupt-turn", "change.sealed": "seal-change",
    "landing.recorded": "record-landing",
}
"""The event that records that an effect was seen to be done -> the effect's tag."""

COMMANDS: dict[str, Inverse] = {
    "task.added": Inverse(how="inverse", by="the task is ended: sessions stopped, checkouts kept and removed",
                          seen="it is over, and no checkout of it stands"),
    "task.cancelled": Inverse(how="inverse", by="the task gets another attempt", seen="it is open"),
    "task.failed": Inverse(how="inverse", by="the task gets another attempt", seen="it is open"),
    "cord.pulled": Inverse(how="inverse", by="the line moves again", seen="no cord"),
    "cord.released": Inverse(how="inverse", by="the line is stopped again", seen="the cord"),
    "queue.held": Inverse(how="inverse", by="the queue goes on", seen="nothing holds it"),
    "queue.resumed": Inverse(how="inverse", by="the queue is stopped again", seen="it is held"),
    "queue.ordered": Inverse(how="inverse", by="the order before it", seen="the order"),
    "entry.held": Inverse(how="inverse", by="the change may land again", seen="nothing holds it"),
    "entry.released": Inverse(how="inverse", by="the change is held again", seen="it is held"),
    "settings.activated": Inverse(how="irreversible", by="settings follow their file: put back the file, or undo the landing that "
                                  "changed it, and they are read again",
                                  gate="commands and openings wait for `andon trust`; what judges is the target's own file"),
    "commands.trusted": Inverse(how="irreversible", by="what ran has run; commands that change ask for trust anew",
                                gate="the person who said yes was shown them"),
    "gate.answered": Inverse(how="irreversible", by="a decision stays on record; take back what it let happen",
                             gate="the answer is a person's own"),
    "login.refreshed": Inverse(how="irreversible", by="the provider ended the old login when it gave the new one",
                               gate="`write_back` of [agents] is off by default and part of what a person trusts"),
}
"""Recorded steps that are no effects: what a person ordered, and what a session's watch did beside. By kind of event."""


def inverse_of(kind: str) -> Inverse | None:
    """How the step that an event of this kind records is taken back; None when it records no step."""
    return EFFECTS[STEPS[kind]] if kind in STEPS else COMMANDS.get(kind)
