"""Fourth layer: no turn is open. At its prompt, in trouble, done, or with commands of its own still at work."""

from andon.schema.health import Cause, Health, Trouble
from andon.schema.signals import Verdict

from .gone import dying
from .inturn import by_pane
from .moment import LATELY_MS, Moment

NEW_PANE_MS = 1_500
"""A screen drawn so long after the turn's end is no remnant of it."""
_FAILED: dict[Trouble, tuple[Health, Cause, str]] = {
    "rate-limit": ("rate-limited", "rate-limit", "it gave up at the provider's rate limit"),
    "quota": ("rate-limited", "quota", "it gave up: the account's quota is used up"),
    "overloaded": ("rate-limited", "overloaded", "it gave up: the provider is overloaded"),
    "auth": ("auth", "auth", "the provider refuses the login"),
    "context": ("idle-at-prompt", "context", "its context is full and it stands at its prompt"),
    "interrupted": ("idle-at-prompt", "", "its turn was interrupted and it stands at its prompt"),
}


def after_turn(m: Moment) -> Verdict | None:
    """What an agent does whose last turn has ended."""
    if not m.watch.turn.ended or m.watch.turn.open:
        return None
    return _still_works(m) or _screen(m) or _failed(m) or _idle(m)


def _still_works(m: Moment) -> Verdict | None:
    """Commands, helpers or calls that outlive the turn."""
    watch, turn, tree = m.watch, m.watch.turn, m.watch.tree
    look = dying(m)
    if m.children_work and tree.busy - turn.ended >= tree.busy_gap / 2:  # a rate over the end of the turn is mostly the turn's
        because = f"its turn is over, {m.commands()} still works ({tree.rate:.0%} of a core)"
        return m.say("background", because, "process", turn.ended, "background-child", sure="likely",
                     numbers=m.numbers(), look=(m.due(tree.busy, 10.0) + 1, *look))
    if turn.background and _stands(m):
        quiet = max(turn.ended, tree.busy, tree.children_at)
        return m.say("background", f"its turn is over, {turn.background} command(s) or helper(s) of its own still run", turn.source,
                     turn.ended, "background-told", numbers=m.numbers(), look=(m.due(quiet, m.limits.silent_s) + 1, *look))
    if m.helpers:
        return m.say("background", f"its turn is over, {m.helpers} sub-agent(s) still at work", turn.source, turn.ended, "helpers",
                     look=(m.due(max(watch.sign, m.flight, max(since for _, since in watch.helpers)), m.limits.hung_s) + 1, *look))
    running = [tool for tool in watch.tools if tool.began > turn.ended and m.fresh(tool.source, tool.began)]
    flight = m.flight if m.flight > turn.ended and m.silence(m.flight) < m.limits.hung_s * 1000 else 0
    if running or flight or (turn.stray and m.silence(turn.stray) < 2_000):
        what = f"{running[-1].name or 'a tool'} runs" if running else "a model call is open" if flight else "something moves"
        moved = max(turn.stray, flight)
        return m.say("background", f"after its turn {what}, without a prompt of ours", watch.sign_source, turn.ended, "after-turn",
                     sure="likely", look=(m.due(moved, 2.0) + 1, m.due(moved, m.limits.hung_s) + 1 if flight else 0, *look),
                     numbers=m.numbers())
    return None


def _stands(m: Moment) -> bool:
    """Whether what was told to run in the background is still there, as far as one can see."""
    tree, turn = m.watch.tree, m.watch.turn
    if tree.at > turn.ended + NEW_PANE_MS and not m.helpers:
        return tree.children > 0 and m.silence(max(turn.ended, tree.busy)) <= m.limits.silent_s * 1000
    return m.silence(turn.ended) <= m.limits.silent_s * 1000


def _screen(m: Moment) -> Verdict | None:
    """A screen drawn well after the end that says it works or waits: a turn whose beginning was not told."""
    rule, pane, turn = m.pane, m.watch.pane, m.watch.turn
    if rule is None or rule.health in ("idle-at-prompt", "unknown", "finished", "starting"):
        return None
    if pane.changed < turn.ended + NEW_PANE_MS:
        return None
    if not m.steady(rule) or (rule.health in ("rate-limited", "auth") and turn.trouble is not None):
        return None
    if rule.health == "working" and pane.at - turn.ended < 2 * NEW_PANE_MS and turn.source == "api":
        return None
    return by_pane(m, f"{turn.source}: its turn ended {m.seconds(turn.ended)} ago")


def _failed(m: Moment) -> Verdict | None:
    """The turn ended in trouble."""
    turn = m.watch.turn
    if turn.trouble is None or (turn.trouble == "interrupted" and not m.open_task):
        return None
    words = f": {turn.text[:120]}" if turn.text else ""
    over = turn.until and m.at >= turn.until
    if turn.trouble in _FAILED and not (over and turn.trouble in ("rate-limit", "quota", "overloaded")):
        health, cause, told = _FAILED[turn.trouble]
        if turn.trouble == "interrupted":
            return _stand(m, f"{told}{words}", "turn-interrupted")
        return m.say(health, f"{told}{words}", turn.source, turn.ended, f"turn-failed-{turn.trouble}", cause=cause,
                     until=turn.until, look=(turn.until, *dying(m)))
    if over:
        return _stand(m, "the limit at which it gave up is over, and it stands at its prompt", "limit-over", since=turn.until)
    return m.say("idle-at-prompt", f"its turn failed ({turn.trouble}){words}", turn.source, turn.ended, "turn-failed",
                 cause="turn-failed", look=dying(m))


def _idle(m: Moment) -> Verdict:
    turn = m.watch.turn
    if not m.open_task:
        return m.say("finished", "its turn is over and its task is done", turn.source, turn.ended, "turn-over", look=dying(m))
    since = max(turn.ended, turn.stray)
    tree = m.watch.tree
    told = f"; {tree.children} process(es) of its own stand and do nothing" if tree.children and tree.at > turn.ended else ""
    return _stand(m, f"its turn ended {m.seconds(since)} ago and its task is open{told}", "turn-over", since=since)


def _stand(m: Moment, because: str, rule: str, since: int = 0) -> Verdict:
    """At its prompt: the state is so at once, the cause after a while, and never while a person is at it."""
    turn = m.watch.turn
    since = since or turn.ended
    long = m.silence(since) >= m.limits.idle_s * 1000 and not m.watch.attended
    return m.say("idle-at-prompt", because, turn.source, since, rule, cause="idle-at-prompt" if long else "",
                 look=(m.due(since, m.limits.idle_s), *dying(m)), numbers=m.numbers() if m.silence(since) > LATELY_MS else ())
