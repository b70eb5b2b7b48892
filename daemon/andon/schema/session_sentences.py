"""One plain sentence for each kind of event about a running session. Knows no state, only the event itself."""

from andon.schema import events as e
from andon.schema.words import plural, shorten, tail, who


def session(event: e.AnyEvent) -> str:
    """Conversation, turns, sittings, and what was done about a stuck one."""
    return _sitting(event) or _turn(event) or _stuck(event)


def _sitting(event: e.AnyEvent) -> str:
    match event:
        case e.SessionKnown():
            named = f", its conversation is {event.conversation}" if event.conversation else ""
            return f"{event.attempt} is spoken to by {event.channel or 'no channel'}{named}"
        case e.SessionResumed():
            how = f"with conversation {event.conversation}" if event.conversation else "with a new conversation"
            return f"{event.attempt} is started again {how}, sitting {event.sitting}{tail(': ', event.because)}"
        case e.SessionTaken():
            return f"{who(event.by)} took {event.attempt} over"
        case e.SessionGivenBack():
            return f"{who(event.by)} gave {event.attempt} back"
        case e.FinishAsked():
            return f"{event.attempt} is to finish{tail(': ', event.because)}"
        case e.FinishTold():
            return f"{event.attempt} was told to finish"
        case e.AccessRefused():
            return f"{refusal(event.attempt, event.kind, event.what)}{tail(' · ', often(event.rule, event.times))}"
    return ""


REFUSED = {"host": "tried to reach {}", "read": "tried to read {}", "write": "tried to write {}", "socket": "called {}",
           "limit": "met a limit: {}", "exec": "tried to run {}"}


def refusal(attempt: str, kind: str, what: str) -> str:
    """What an attempt was refused."""
    if not what:
        return f"{attempt} was refused more things than are told one by one"
    return f"{attempt} {REFUSED.get(kind, 'tried {}').format(shorten(what))}"


def often(rule: str, times: int) -> str:
    """By what it was refused, and how often at least."""
    return rule if times < 2 else f"{rule}{', ' if rule else ''}{times:,} times or more"


def _turn(event: e.AnyEvent) -> str:
    match event:
        case e.TurnSeen() if event.trouble:
            return f"turn {event.n} of {event.attempt} failed: {event.trouble}{tail('; ', event.text)}"
        case e.TurnSeen():
            words = f": “{shorten(event.text)}”" if event.text.strip() else ""
            return f"{event.attempt} ended turn {event.n}{words}"
        case e.WorkLooked():
            found = "a new commit" if event.committed else "no new commit"
            return f"after turn {event.n} {event.attempt} has {found}{' and uncommitted changes' if event.dirty else ''}"
        case e.QuestionSeen():
            return f"{event.attempt} asks: “{shorten(event.text)}”"
        case e.InterruptAsked():
            return f"{who(event.by)} interrupts {event.attempt}{tail(': ', event.because)}"
        case e.InterruptDone():
            return f"{event.attempt} was interrupted ({event.how or 'told'})"
        case e.ClaimContradicted():
            return f"{event.attempt} said “{shorten(event.asserted)}”, but {shorten(event.observed)}"
    return ""


def _stuck(event: e.AnyEvent) -> str:
    match event:
        case e.StuckSeen():
            return f"{event.attempt} is stuck ({event.cause}){tail(': ', event.because)}"
        case e.StuckGone():
            return f"{event.attempt} is no longer stuck ({event.cause})"
        case e.RungTaken():
            return f"step {event.n} about {event.cause} of {event.attempt}: {event.rung}"
    return ""


def permission(event: e.AnyEvent) -> str:
    """What an agent wanted to do, and who let it."""
    match event:
        case e.PermissionAsked():
            return f"{event.attempt} asks to {event.deed}{tail(': ', event.target)} ({event.tool or 'no tool named'})"
        case e.PermissionDecided():
            by = "the settings" if event.by == "policy" else who(event.by)
            return f"{by} {'allowed' if event.allow else 'denied'} what {event.attempt} asked{tail(': ', event.because)}"
        case e.PermissionSettled():
            return f"what {event.attempt} asked is settled: {shorten(event.how)}"
    return ""


def message(event: e.AnyEvent) -> str:
    """The way of words into a session."""
    match event:
        case e.MessageQueued():
            sender = event.sender or who(event.by)
            return f"{event.message} from {sender} for {event.attempt} ({event.kind}): “{shorten(event.text)}”"
        case e.MessageGiven():
            return f"{event.message} was given to {event.attempt}, its receipt is still to come"
        case e.MessageDelivered():
            return f"{event.attempt} has {event.message} (seen by {event.how})"
        case e.MessageReturned() if event.unsure:
            return f"it is not known whether {event.attempt} has {event.message}{tail(': ', event.because)}"
        case e.MessageReturned():
            return f"{event.message} did not reach {event.attempt}{tail(': ', event.because)}"
    return ""


def money(event: e.AnyEvent) -> str:
    """Spending, accounts and their logins, the machine, races."""
    return _spending(event) or _room(event)


def _spending(event: e.AnyEvent) -> str:
    match event:
        case e.UsageCounted():
            tokens = f"{event.input + event.output:,} tokens"
            cost = "not metered" if event.metered == "unmetered" else f"${event.usd:.2f} ({event.metered or 'not told by whom'})"
            return f"{event.attempt} has used {tokens} in {plural(event.requests, 'model call')}, {cost}"
        case e.BudgetReached():
            return f"{event.attempt} reached its cap ({event.cap}){tail(': ', event.because)}"
        case e.BudgetRaised():
            more = f"${event.usd:.2f} more" if event.usd or not event.tokens else f"{event.tokens:,} tokens more"
            return f"{who(event.by)} lets {event.attempt} spend {more}"
    return ""


def _room(event: e.AnyEvent) -> str:
    match event:
        case e.AccountLimited():
            return f"account {event.account} is at its limit{tail(': ', event.because)}"
        case e.LoginRefreshed():
            done = "was written back" if event.how == "written-back" else "was handed in"
            return f"the login of {event.attempt} {done} ({event.file}, {event.before[:10]} to {event.after[:10]})"
        case e.AccountFreed():
            return f"account {event.account} is at no limit any more"
        case e.MachineStrained():
            return f"nothing new starts on this machine{tail(': ', event.because)}"
        case e.MachineEased():
            return "the machine has room again"
        case e.RaceDecided():
            return f"{event.task} won race {event.race}{tail(': ', event.because)}"
    return ""
