"""One plain sentence for each kind of event: what timelines and `andon log` print. Knows no state, only the event itself.

A sentence is one line without a full stop's worth of jargon; words of agents and tools are quoted, shortened and never
interpreted. It still holds whatever bytes they wrote: a face puts it through `andon.schema.clean` before it draws.
"""

from collections.abc import Callable

from andon.schema import (
    events as e,
    landing_sentences as landings,
    policy_events as policy,
    session_sentences as sessions,
    undo_sentences as undos,
)
from andon.schema.notes_sentences import notes as noted
from andon.schema.words import names, plural as plural, short, shorten as shorten, tail, who


def sentence(event: e.AnyEvent) -> str:
    """What happened, as one plain sentence. Never empty, never more than one line, never raises."""
    kind = e.kind_of(event)
    tell = _TELLERS.get(kind.partition(".")[0])
    told = tell(event) if tell else ""
    return " ".join((told or kind).split())


def _factory(event: e.AnyEvent) -> str:
    match event:
        case e.FactoryStarted():
            return f"the daemon started (version {event.version}, pid {event.pid})"
        case e.WallsSeen():
            return f"this machine now gives walls of level {event.reached.level}{tail(': ', event.reached.because)}"
        case e.FactoryStopped():
            return f"the daemon stopped{tail(': ', event.because)}; agents stay alive"
        case e.FactoryConfigured():
            return f"the person's own settings changed: {plural(event.settings.wip, 'agent')} at work at once"
        case e.ProblemNoticed():
            return f"problem {event.key}: {shorten(event.what)}{tail(' · ', event.where)}"
        case e.ProblemTold():
            failed = f", not by {names(event.failed)}" if event.failed else ""
            return f"problem {shorten(event.key)} was told by {names(event.told) or 'no route'}{failed}"
        case e.ProblemCleared() if event.by:
            return f"{who(event.by)} put problem {event.key} away"
        case e.ProblemCleared():
            return f"problem {event.key} is gone"
        case e.CordPulled():
            return f"{who(event.by)} stopped line {event.line} of {event.repo}{tail(': ', event.because)}"
        case e.CordReleased():
            return f"{who(event.by)} let line {event.line} of {event.repo} move again"
    return ""


def _repository(event: e.AnyEvent) -> str:
    match event:
        case e.RepositoryRegistered():
            return f"{who(event.by)} registered {event.repo} at {event.path}"
        case e.SettingsActivated():
            return f"settings {event.digest[:10]} of {event.repo} are in force{tail('; ', names(event.notes))}"
        case e.CommandsTrusted():
            return f"{who(event.by)} trusted the commands {event.commands[:10]} of {event.repo}"
    return ""


def _task(event: e.AnyEvent) -> str:
    match event:
        case e.TaskAdded():
            after = f", after {names(event.after)}" if event.after else ""
            back = f", to take {event.reverts} back" if event.reverts else ""
            return f"{who(event.by)} added {event.task} to line {event.line} of {event.repo}{after}{back}: {shorten(event.title)}"
        case e.TaskEntered():
            return f"{event.task} reached {event.station}"
        case e.TaskLanded():
            before = f", on top of {short(event.before)}" if event.before else ""
            return f"{event.task} landed as {short(event.commit)}{tail(' with ', event.landing)}{before}"
        case e.TaskDone():
            return f"{event.task} is done"
        case e.TaskFailed():
            return f"{event.task} failed{tail(': ', event.because)}"
        case e.TaskCancelled():
            return f"{who(event.by)} cancelled {event.task}{tail(': ', event.because)}"
        case e.TaskRetried():
            return f"{who(event.by)} gave {event.task} another attempt{tail(': ', event.note)}"
        case e.TaskReassigned():
            return f"{who(event.by)} gave {event.task} to agent {event.agent}{tail(': ', event.note)}"
        case e.RetryScheduled():
            return f"{event.task} goes back to its agent after a {event.failure} failure{tail(': ', event.fingerprint)}"
    return ""


def _attempt(event: e.AnyEvent) -> str:
    return _attempt_runs(event) or _attempt_ends(event)


def _attempt_runs(event: e.AnyEvent) -> str:
    match event:
        case e.AttemptClaimed():
            on = f", going on from {short(event.start)}" if event.start else ""
            return f"agent {event.agent} got {event.task} as attempt {event.attempt}, cut from {short(event.base)}{on}"
        case e.AttemptStarted():
            return f"{event.attempt} started in session {event.session} (pid {event.pid})"
        case e.AttemptSaid():
            return _said(event)
        case e.AttemptStopAsked():
            then = {"": "is to end", "reassign": "is to end"}.get(event.then, "is to be started again")
            return f"{event.attempt} {then}{f', asked by {event.by}' if event.by else ''}{tail(': ', event.because)}"
        case e.AttemptPauseAsked():
            return f"{event.attempt} is to pause{tail(': ', event.because)}"
        case e.AttemptResumeAsked():
            return f"{who(event.by)} gave {event.attempt} {event.minutes:g} more minutes"
        case e.AttemptSuspended():
            return f"{event.attempt} was seen {'suspended' if event.suspended else 'running again'}"
    return ""


def _said(event: e.AttemptSaid) -> str:
    words = shorten(event.text)
    match event.kind:
        case "ask":
            choice = f" (options: {names(event.options)})" if event.options else ""
            return f"{event.attempt} asks: “{words}”{choice}"
        case "finished":
            commit = f" with commit {short(event.commit)}" if event.commit else ""
            return f"{event.attempt} says it finished{commit}{f': “{words}”' if words else ''} (asserted)"
        case "handoff":
            return f"{event.attempt} hands off: “{words}”"
    return f"{event.attempt} says: “{words}”"


def _attempt_ends(event: e.AnyEvent) -> str:
    match event:
        case e.AttemptExited():
            return f"{event.attempt} ended {_exit(event)} after {event.seconds:.0f} s"
        case e.AttemptLost():
            return f"{event.attempt} is lost{tail(': ', event.because)}"
        case e.EffectRetried():
            return f"{event.effect} of {event.subject} is tried again, time {event.tries}{tail(': ', event.because)}"
        case e.AttemptFailed():
            return f"{event.attempt} gave nothing that may go on ({event.failure}){tail(': ', event.message)}"
        case e.AttemptAccepted():
            return f"commit {short(event.commit)} of {event.attempt} is the change from here on"
    return ""


def _exit(event: e.AttemptExited) -> str:
    how = f"by signal {event.signal}" if event.code is None else f"with exit code {event.code}"
    if event.code is None and event.signal is None:
        how = "without an exit code"
    because = "" if event.because == "exit" else f" ({event.because})"
    stray = f", {plural(event.killed, 'leftover')} of it ended too" if event.killed else ""
    return f"{how}{because}{tail(': ', event.error)}{stray}"


def _checkout(event: e.AnyEvent) -> str:
    match event:
        case e.CheckoutPrepared():
            return f"the checkout of {event.attempt} stands ({event.isolation}, {event.setup_s:.1f} s){_rebased(event)}"
        case e.CheckoutRemoved():
            return f"the checkout of {event.attempt} is gone; its snapshot stays"
        case e.CheckoutRestored():
            return f"the snapshot of {event.attempt} stands again at {event.path}"
        case e.WorkImported():
            size = f"{plural(event.paths_total, 'file')}, +{event.insertions} -{event.deletions}"
            return f"{event.attempt} left commit {short(event.commit)} ({size})"
        case e.WorkSalvaged():
            beyond = "with uncommitted work" if event.dirty else "nothing beyond its commits"
            return f"everything of {event.attempt} is kept at {event.ref} ({beyond})"
    return ""


def _rebased(event: e.CheckoutPrepared) -> str:
    if event.rebased == "clean":
        return f", its earlier work rebased to {short(event.start)}"
    return tail(", its earlier work not rebased: ", event.rebased)


def _proof(event: e.AnyEvent) -> str:
    match event:
        case e.RunPlanned():
            subject = event.landing or event.task or event.repo
            return f"{event.run} will run {event.check} on {short(event.commit)} ({event.purpose} of {subject})"
        case e.RunFinished():
            lost = f"; {plural(len(event.lost_tests), 'test')} of the base missing" if event.lost_tests else ""
            return f"{event.run} says {event.result}{tail(': ', event.because)}{lost} ({event.seconds:.1f} s)"
        case e.ClaimJudged():
            return f"{event.claim} of {event.task} is {event.status} for {short(event.commit)}{tail(': ', event.because)}"
    return ""


def _sealed(event: e.AnyEvent) -> str:
    match event:
        case e.ChangeSealed():
            return f"the evidence of {event.task} at {short(event.commit)} is sealed as {event.sealed.bundle[:12]}"
    return ""


def _gate(event: e.AnyEvent) -> str:
    match event:
        case e.GateOpened():
            return f"{event.gate} asks about {event.task} ({event.kind}): {shorten(event.question)}"
        case e.GateAnswered():
            return f"{who(event.by)} answered {event.gate} with {event.option}{tail(': ', event.because)}"
        case e.GateApproved():
            role = f" as {shorten(event.approver.role)}" if event.approver.role else ""
            return f"{who(shorten(event.approver.name))} approved {event.gate}{role}, signed{tail(': ', event.because)}"
        case e.GateSnoozed():
            return f"{who(event.by)} snoozed {event.gate}{tail(': ', event.because)}"
        case e.GateWoken() if event.by:
            return f"{who(event.by)} wants to hear of {event.gate} again"
        case e.GateWoken():
            return f"{event.gate} comes back from its nap"
        case e.GateDelegated():
            return f"{who(event.by)} left {event.gate} to {shorten(event.to) or 'whoever comes'}{tail(': ', event.because)}"
        case e.GateRaised():
            return f"{event.gate} was not answered: it is told again ({plural(event.n, 'time')})"
        case e.GateNoticed():
            failed = f", not by {names(event.failed)}" if event.failed else ""
            return f"{event.gate} was told by {names(event.told) or 'no route'}{failed}"
        case e.GateVoided():
            return f"{event.gate} is void{tail(': ', event.because)}"
        case e.AnswerDelivered():
            return f"the answer to question {event.n} lies in the inbox of {event.attempt}"
    return ""


_TELLERS: dict[str, Callable[[e.AnyEvent], str]] = {
    "factory": _factory, "walls": _factory, "problem": _factory, "cord": _factory,
    "repository": _repository, "settings": _repository, "commands": _repository,
    "task": _task, "attempt": _attempt, "effect": _attempt, "checkout": _checkout, "work": _checkout,
    "change": _sealed, "run": _proof, "claim": _proof, "gate": _gate, "answer": _gate,
    "landing": landings.landing, "target": landings.target, "revert": landings.target, "flake": landings.flake,
    "queue": landings.queue, "entry": landings.queue, "clash": landings.clash,
    "session": sessions.session, "permission": sessions.permission, "message": sessions.message,
    "usage": sessions.money, "budget": sessions.money, "account": sessions.money, "machine": sessions.money, "race": sessions.money,
    "login": sessions.money, "undo": undos.undo, "conversation": noted, "notes": noted, "note": noted, "waiver": policy.sentence, "lights": policy.sentence, "policy": policy.sentence,
}
"""By the first word of the kind."""
