"""One plain sentence for each kind of event of the merge queue and its target. Knows no state, only the event itself."""

from andon.schema import events as e
from andon.schema.words import names, plural, short, shorten, tail, who


def landing(event: e.AnyEvent) -> str:
    """A landing from its plan to its verdict."""
    match event:
        case e.LandingPlanned():
            return _planned(event)
        case e.LandingMerged():
            what = f"merged {plural(len(event.steps), 'change')}" if len(event.steps) > 1 else "merged"
            return f"{event.landing} {what} to candidate {short(event.candidate)}, to be proven"
        case e.LandingConflicted() if event.task:
            other = event.against or "the target"
            return f"{event.task} conflicts with {other} in {_paths(event)} ({event.landing}); nothing moved"
        case e.LandingConflicted():
            return f"{event.landing} conflicts in {_paths(event)}; nothing moved"
        case e.LandingChecked():
            return f"{event.check} says {event.result} about the merged tree of {event.landing}{tail(': ', event.because)}"
        case e.LandingJudged():
            how = {"pass": "is proven", "fail": "is refuted", "unevaluated": "could not be evaluated"}[event.result]
            return f"the merged tree of {event.landing} {how}{tail(': ', event.because)}"
        case e.LandingChosen():
            return f"{event.landing} is proven and first in line: the target is to be moved to it"
        case e.LandingRecorded():
            return f"what proved {event.landing} is kept, signed, in {event.repo}"
        case e.LandingAbandoned():
            return f"{event.landing} ended without moving the target{tail(': ', event.because)}"
    return ""


def _planned(event: e.LandingPlanned) -> str:
    tasks, onto = tuple(str(member.task) for member in event.members), short(event.onto)
    if event.why == "without":
        return f"{event.landing} will prove {names(tasks) or event.task} without {event.suspect or 'a suspect'} on {onto}"
    if event.why == "confirm":
        suspect = event.suspect or event.task
        return f"{event.landing} will prove {suspect} ({short(event.commit)}) once more, alone, on {onto}, because it failed"
    if event.why == "apart":
        because = ", because one of a group with them failed" if event.suspect else ""
        return f"{event.landing} will prove {names(tasks) or event.task} apart from the queue, on {onto}{because}"
    if len(tasks) > 1:
        return f"{event.landing} will land {plural(len(tasks), 'change')} together onto {onto}: {names(tasks)}"
    return f"{event.landing} will land {event.task} ({short(event.commit)}) onto {onto}"


def _paths(event: e.LandingConflicted) -> str:
    return names(event.paths) or "unnamed paths"


def target(event: e.AnyEvent) -> str:
    """Where the target stands, whether it is green, and what is taken back."""
    return _stands(event) or _watched(event)


def _stands(event: e.AnyEvent) -> str:
    match event:
        case e.TargetObserved():
            seen = {"landing": "after a landing", "person": "moved by a person", "start": "at the start"}[event.by]
            return f"the target of {event.repo} stands at {short(event.oid)} ({seen})"
        case e.TargetMirrored() if event.advanced:
            return f"the branch in the checkout of {event.repo} follows to {short(event.oid)}"
        case e.TargetMirrored():
            return f"the branch in the checkout of {event.repo} stays behind {short(event.oid)}{tail(': ', event.because)}"
        case e.TargetMoved():
            return f"{event.landing} moved the target from {short(event.old)} to {short(event.new)}"
        case e.ForwardAsked():
            return f"{who(event.by)} wants the checkout of {event.repo} taken forward to the target"
        case e.TargetPublished() if event.done:
            return f"the target of {event.repo} was handed on at {short(event.oid)}{tail(': ', event.where)}"
        case e.TargetPublished():
            to = f" to {shorten(event.where)}" if event.where else ""
            return f"the target of {event.repo} at {short(event.oid)} was not handed on{to}{tail(': ', event.because)}"
    return ""


def _watched(event: e.AnyEvent) -> str:
    match event:
        case e.TargetRed():
            by = f"; suspected, the likeliest first: {names(event.suspects)}" if event.suspects else "; nobody is suspected"
            return f"{event.check} fails on the target of {event.repo} at {short(event.commit)}{tail(': ', event.because)}{by}"
        case e.TargetGreen():
            return f"{event.check} passes on the target of {event.repo} at {short(event.commit)}"
        case e.RevertPrepared():
            size = f"{plural(event.paths_total, 'file')}, +{event.insertions} -{event.deletions}"
            return f"{event.task} has its revert, commit {short(event.commit)} ({size}), which lands like any other change"
        case e.RevertConflicted():
            where = names(event.paths) or "unnamed paths"
            return f"{event.task} is for an agent: git alone cannot take it back, later work changed {where}"
    return ""


def flake(event: e.AnyEvent) -> str:
    """Checks that said yes and no."""
    match event:
        case e.FlakeSeen():
            said = f"{event.check} of {event.repo} said yes and no about the same tree {short(event.tree)}"
            return f"{said}: {names(event.tests)}" if event.tests else f"{said} and names no test"
        case e.FlakeForgotten() if event.because:
            return f"{names(event.tests)} of {event.repo} left quarantine: {event.because}; a failure counts again"
        case e.FlakeForgotten():
            one = len(event.tests) == 1
            mended = f"{names(event.tests) or 'nothing'} of {event.repo} {'is' if one else 'are'} mended"
            return f"{who(event.by)} says that {mended}: a failure counts again"
    return ""


def queue(event: e.AnyEvent) -> str:
    """A person's decisions about the queue and its entries."""
    match event:
        case e.QueueOrdered() if not event.order:
            return f"{who(event.by)} put nothing first in the queue of {event.repo}{tail(': ', event.because)}"
        case e.QueueOrdered():
            return f"{who(event.by)} put first in the queue of {event.repo}: {names(event.order)}{tail('; ', event.because)}"
        case e.EntryHeld():
            return f"{who(event.by)} keeps {event.task} from landing{tail(': ', event.because)}"
        case e.EntryReleased():
            return f"{who(event.by)} lets {event.task} land again"
        case e.EntrySentBack():
            how = {"failed": "goes back, it fails alone on the target", "conflict": "goes back, it does not merge with the target",
                   "dropped": "was taken out of the queue"}[event.reason]
            against = f"; likely against {names(event.against)}" if event.against else ""
            return f"{event.task} {how}{tail(': ', event.because)}{against}"
        case e.QueueHeld():
            return f"{who(event.by)} holds the queue of {event.repo}{tail(': ', event.because)}"
        case e.QueueResumed():
            return f"{who(event.by)} lets the queue of {event.repo} land again"
    return ""


def clash(event: e.AnyEvent) -> str:
    """Two live changes that meet, or no longer do."""
    match event:
        case e.ClashSeen():
            how = "do not merge as they stand" if event.kind == "hot" else "merge, but meet"
            return f"{event.one} and {event.other} {how}{tail(': ', names(tuple(map(_place, event.hunks))))}"
        case e.ClashGone():
            return f"{event.one} and {event.other} no longer meet"
    return ""


def _place(hunk: e.Hunk) -> str:
    line = f":{hunk.line}" if hunk.line else ""
    return f"{hunk.path}{line}" + ("" if hunk.kind == "content" else f" ({hunk.kind})")
