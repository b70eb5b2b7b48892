"""Second layer: it stands still because somebody must answer, or because the provider refuses. Never while work runs."""

from andon.schema.health import Cause, Health, Trouble
from andon.schema.signals import Verdict

from .facts import Ask, Limit
from .moment import Moment, better

GRACE_MS = 120_000
"""So long after the told end of a limit, the next try may still be on its way."""
LATE_MS = 1_000
"""So long after its moment a next try has begun."""
UNTOLD_MS = 600_000
"""So long a refusal without a told end counts while nothing else is heard."""
SLOW = 3
"""Failures of a kind that usually passes, after which a person should know."""
_LIMITS: dict[Trouble, tuple[Health, Cause, str]] = {
    "rate-limit": ("rate-limited", "rate-limit", "the provider's rate limit"),
    "quota": ("rate-limited", "quota", "the account's quota is used up"),
    "overloaded": ("rate-limited", "overloaded", "the provider is overloaded"),
    "auth": ("auth", "auth", "the provider refuses the login"),
}


def asked(m: Moment) -> Verdict | None:
    """A request stands open. While something works beside it, that is what the session does; the request is its cause."""
    if not m.watch.asks:
        return None
    ask = m.watch.asks[-1]
    cause: Cause = "question" if ask.question else "permission"
    what = f"{ask.tool or 'a tool'}{f': {ask.target[:120]}' if ask.target else ''}"
    because = f"asks {ask.text[:160]!r}" if ask.question else f"wants permission for {what}"
    tree = m.watch.tree
    if m.children_work and tree.busy > ask.at and tree.busy_from > ask.at - 600_000:
        return m.say("working", f"its commands are at work ({tree.rate:.0%} of a core); it also {because}", "process",
                     max(tree.busy_from, 1), "work-beside-ask", cause=cause, sure="likely", numbers=m.numbers(),
                     conflict=f"{ask.source}: {because}; not counted while work runs", look=(m.due(tree.busy, 10.0) + 1,))
    health: Health = "waiting-answer" if ask.question else "waiting-permission"
    return m.say(health, f"{because}, for {m.seconds(ask.at)}", ask.source, ask.at, ask.rule or _rule(ask), cause=cause,
                 sure="certain" if ask.source != "pane" else "likely", conflict=_pane_says(m, ask))


def _rule(ask: Ask) -> str:
    return "question-open" if ask.question else "permission-open"


def _pane_says(m: Moment, ask: Ask) -> str:
    rule = m.pane
    if rule is None or ask.source == "pane" or rule.health in ("waiting-permission", "waiting-answer"):
        return ""
    return f"the pane looks {rule.health} ({rule.name}); the {ask.source} counts more"


def refused(m: Moment) -> Verdict | None:
    """The provider refuses, and the agent tries again."""
    limit = m.watch.limit
    if limit is None or _beside(m, limit) or not (m.watch.turn.open or not m.watch.structured):
        return None
    end = max(limit.until, limit.at) + (GRACE_MS if limit.until else UNTOLD_MS)
    if m.at > end and m.silence(limit.at) > (end - limit.at):
        return None
    if limit.until and m.at > limit.until + LATE_MS and limit.source != "gateway" and not m.watch.heard.get("gateway"):
        return m.say("thinking", "the provider's limit is over as told, and it tries again", limit.source, limit.until,
                     "limit-over", sure="likely", look=(end + 1,))
    tries = f", try {limit.tries}" if limit.tries else ""
    wait = f"; next try in {-(-(limit.until - m.at) // 1000)} s" if limit.until > m.at else ""
    if limit.trouble in _LIMITS:
        health, cause, words = _LIMITS[limit.trouble]
        return m.say(health, f"{words}{tries}{wait}", limit.source, limit.since, f"refused-{limit.trouble}", cause=cause,
                     until=limit.until, look=(limit.until, limit.until + LATE_MS + 1 if limit.until else 0, end + 1),
                     numbers=m.numbers(), conflict=_other(m, limit))
    if limit.trouble == "context":
        return m.say("compacting", f"its context is full{tries}", limit.source, limit.since, "refused-context", cause="context",
                     sure="likely", look=(end + 1,))
    often = limit.tries > SLOW or m.at - limit.since > 60_000
    return m.say("thinking", f"a model call failed ({limit.trouble}) and is tried again{tries}{wait}", limit.source, limit.since,
                 f"refused-{limit.trouble}", cause="overloaded" if often and limit.trouble == "server" else "",
                 sure="likely", look=(limit.since + 60_001, end + 1))


def _beside(m: Moment, limit: Limit) -> bool:
    """Whether work goes on beside the refusal: a tool that was told, a helper; for who tells none, whatever child works since."""
    if any(one.flowing and one.last > limit.at for one in m.watch.model.flights):
        return True
    if not m.children_work:
        return False
    if m.watch.structured:
        return bool(m.running) or m.helpers > 0
    return m.watch.tree.busy - m.watch.tree.busy_gap >= limit.since


def _other(m: Moment, limit: Limit) -> str:
    rule = m.pane
    if rule is not None and better(limit.source, "pane") and rule.health not in ("rate-limited", "auth"):
        return f"the pane looks {rule.health} ({rule.name}); the {limit.source} counts more"
    return ""
