"""First layer: whether the agent's process is there at all. Gone wants two signs that do not depend on each other."""

from andon.schema.signals import Verdict

from .moment import Moment, Sure

ALONE = 1.5
"""So much longer than `dead_s` one look must stand when nothing confirms it."""


def gone(m: Moment) -> Verdict | None:
    """Crashed or finished, by process table and a second sign."""
    tree, watch = m.watch.tree, m.watch
    if watch.over and not tree.at:
        return _ended(m, "the agent said that its session is over", watch.over, "likely")
    if not tree.at or not tree.dead:
        return None
    alive = watch.sign if watch.sign > tree.dead and watch.sign != watch.over else 0
    since = max(tree.dead, alive)
    dead_ms = round(m.limits.dead_s * 1000)
    second = _second(m, since, dead_ms)
    if not second:
        return None
    if not tree.seen and not watch.structured and tree.wrapper and m.silence(watch.begun) < 60_000:
        return None
    if not (watch.structured or watch.began or tree.wrapper or _amid(m)):
        because = f"its process has ended, how is for its exit code to say: {second}"
        return m.say("finished", because, "process", since, "ended-untold", sure="guess", numbers=_numbers(m))
    if watch.turn.open or not (watch.turn.ended or watch.over):
        when = "in the middle of a turn" if watch.turn.open else "before any turn"
        return m.say("crashed", f"its process is gone {when}: {second}", "process", since, "process-gone",
                     cause="agent-gone" if tree.wrapper else "crashed", numbers=_numbers(m))
    if tree.wrapper and not watch.over:
        return m.say("crashed", f"its process is gone, a shell or wrapper stands: {second}", "process", since, "process-gone",
                     cause="agent-gone", numbers=_numbers(m))
    return _ended(m, f"its process is gone after its last turn: {second}", since, "certain")


def _amid(m: Moment) -> bool:
    """Whether an agent that tells of no turns was in the middle of something: a command, a model call, a spinner."""
    watch = m.watch
    cut = watch.model.error == "gone" and watch.tree.dead - watch.model.ended < 10_000
    return bool(watch.tree.alive_with or watch.model.flights or cut or (m.pane is not None and m.pane.health == "working"))


def _second(m: Moment, since: int, dead_ms: int) -> str:
    """The second sign of death, in words; empty when there is none yet."""
    tree, watch = m.watch.tree, m.watch
    if not tree.wrapper and (tree.looks >= 2 or watch.over or tree.at - since >= 0):
        return "so is the shim that held it"
    if watch.over:
        return "and it said goodbye"
    if tree.looks >= 2 and tree.at - since >= dead_ms:
        return f"{tree.looks} looks in {(tree.at - tree.dead) // 1000} s did not find it"
    if m.silence(since) >= dead_ms * ALONE and m.at - tree.at <= 60_000:
        return f"nothing was heard for {m.seconds(since)} since"
    return ""


def dying(m: Moment) -> tuple[int, ...]:
    """When a look without the agent counts as its death."""
    tree = m.watch.tree
    if not tree.dead:
        return ()
    since = max(tree.dead, m.watch.sign)
    return (since + round(m.limits.dead_s * 1000 * ALONE),)


def _ended(m: Moment, because: str, since: int, sure: Sure) -> Verdict:
    watch = m.watch
    if watch.turn.open and not watch.tree.at:
        return m.say("crashed", f"{because}, in the middle of a turn", watch.sign_source, since, "ended-in-turn", cause="crashed",
                     sure=sure)
    source = "process" if watch.tree.at else watch.sign_source
    return m.say("finished", because, source, since, "ended", sure=sure, numbers=_numbers(m))


def _numbers(m: Moment) -> tuple[str, ...]:
    tree = m.watch.tree
    told = (f"process: agent gone for {m.seconds(tree.dead)}, wrapper {'stands' if tree.wrapper else 'gone'}",)
    return (*told, f"said: {m.watch.farewell}") if m.watch.farewell else told
