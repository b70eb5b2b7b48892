"""Third layer: a turn is open. Working, thinking, compacting, in a loop, or hung; each by the best source that is fresh."""

from andon.schema.signals import Verdict

from .facts import Tool
from .gone import dying
from .moment import LATELY_MS, Moment

UNBEGUN = 2.0
"""So much longer than `hung_s` a model call may take until its first byte: long thoughts are made before the first word."""
COMPACTING_S = 180.0
"""A compaction takes no longer than this."""


def in_turn(m: Moment) -> Verdict | None:
    """What an agent does in the middle of its turn."""
    if not m.watch.turn.open:
        return None
    for layer in (_looping, _compacts, _by_pane, _tool_runs, _child_works):
        verdict = layer(m)
        if verdict is not None:
            return verdict
    return model_call(m) or _quiet(m)


def _looping(m: Moment) -> Verdict | None:
    loop = m.watch.loop
    if loop is None:
        return None
    if loop.kind == "thrash":
        return m.say("thrashing", loop.because, m.watch.sign_source, loop.since, loop.rule, cause="thrash")
    if loop.kind == "compaction-loop":
        return m.say("looping", loop.because, m.watch.sign_source, loop.since, loop.rule, cause="compaction-loop",
                     look=(loop.since + round(m.limits.compaction_s * 1000),))
    return m.say("looping", loop.because, m.watch.sign_source, loop.since, loop.rule, cause="tool-loop")


def _compacts(m: Moment) -> Verdict | None:
    short = m.watch.shortening
    if not short.began or m.silence(short.began) > COMPACTING_S * 1000:
        return None
    return m.say("compacting", f"shortens its conversation, for {m.seconds(short.began)}", short.source, short.began, "compacting",
                 look=(m.due(short.began, COMPACTING_S) + 1,))


def _by_pane(m: Moment) -> Verdict | None:
    """What only the pane shows: a turn that was interrupted without a word, a refusal, a login that is asked for."""
    rule, watch = m.pane, m.watch
    if rule is None or rule.health in ("working", "thinking", "starting", "unknown") or m.children_work:
        return None
    busy = m.flight and m.silence(m.flight) <= m.limits.hung_s * 1000 * UNBEGUN
    if rule.health == "idle-at-prompt" and (watch.turn.source == "api" or m.flight or m.helpers):
        return None
    if rule.health in ("rate-limited", "auth", "compacting") and busy:
        return None
    if not m.steady(rule):
        return None
    return by_pane(m, f"{watch.turn.source}: a turn began {m.seconds(watch.turn.began)} ago and no end of it was told")


def by_pane(m: Moment, conflict: str = "") -> Verdict:
    """What the pane shows, as the verdict. There must be a rule that it matches."""
    rule, pane = m.pane, m.watch.pane
    assert rule is not None
    cause = rule.cause
    if rule.health == "idle-at-prompt" and not cause and m.open_task and m.silence(pane.since) >= m.limits.idle_s * 1000:
        cause = "" if m.watch.attended else "idle-at-prompt"
    return m.say(rule.health, f"its screen says so: {pane.row[:160] or rule.name}", "pane", pane.since, rule.name, cause=cause,
                 sure=rule.confidence, until=pane.until, conflict=conflict, numbers=(f"pane: {pane.row}", *m.numbers()),
                 look=(m.due(pane.since, m.limits.idle_s), pane.until))




def _tool_runs(m: Moment) -> Verdict | None:
    tools = [tool for tool in m.running if m.fresh(tool.source, max(tool.began, m.watch.sign)) or m.watch.tree.children > 0]
    if not tools:
        return None
    tool = tools[-1]
    tree = m.watch.tree
    quiet = tree.at and tree.children == 0 and tree.at > tool.began
    silent = max(tool.began, m.watch.files, m.watch.sign, m.flight, tree.busy)
    patience = m.limits.hung_s * UNBEGUN if m.flight else m.limits.silent_s  # with a model call open, the tool's end may be lost
    if quiet and m.silence(silent) > patience * 1000:
        return None
    why = f"runs {_what(tool)}, for {m.seconds(tool.began)}"
    if tree.children and tree.at > tool.began:
        why += f" ({m.commands()} at {tree.rate:.0%} of a core)"
    look = (m.due(silent, patience) + 1,) if not tree.children else ()
    return m.say("working", why, tool.source, tool.began, "tool-runs", look=(*look, *dying(m)), numbers=m.numbers())


def _what(tool: Tool) -> str:
    return f"{tool.name or 'a tool'}: {tool.target[:120]}" if tool.target else tool.name or "a tool"


def _child_works(m: Moment) -> Verdict | None:
    return m.children("child-works", look=dying(m)) if m.children_work else None


def model_call(m: Moment) -> Verdict | None:
    """A model call is open at the gateway: thinking while it gives or may be silent, else hung."""
    if not m.flight:
        return None
    watch = m.watch
    flowing = any(one.flowing for one in watch.model.flights)
    allowed = m.limits.hung_s * (1.0 if flowing else UNBEGUN)
    moved = max(m.flight, watch.files, watch.tree.busy, watch.model.spoke, watch.sign)
    first = min(one.sent for one in watch.model.flights)
    look = (m.due(moved, allowed), *dying(m))
    if m.silence(moved) < allowed * 1000:
        words = "the model answers" if flowing else "the model was asked"
        return m.say("thinking", f"{words}, last sign {m.seconds(m.flight)} ago", "gateway", first, "model-flows", look=look,
                     numbers=m.numbers(), conflict=pane_differs(m))
    return hung(m, moved, f"a model call has been open for {m.seconds(first)} and gave nothing for {m.seconds(moved)}; "
                "no command, file or token moves", "gateway", "model-silent")


def hung(m: Moment, since: int, because: str, source: str, rule: str) -> Verdict:
    """Nothing comes any more. A process that still runs a command is not hung, however silent."""
    if m.watch.tree.children > 0 and m.running:
        return m.children("child-stands", conflict=f"{source}: {because}", look=dying(m))
    return m.say("hung", because, source, since, rule, cause="hung-stream", sure="certain" if source == "gateway" else "likely",
                 numbers=m.numbers(), conflict=pane_differs(m), look=dying(m))


def _quiet(m: Moment) -> Verdict:
    """Between calls, or a model call that no gateway shows."""
    watch = m.watch
    moved = max(watch.sign, watch.turn.began, watch.files, watch.tree.busy, watch.model.spoke, watch.model.ended)
    if watch.files and m.silence(watch.files) <= LATELY_MS and watch.files > watch.sign:
        return m.say("working", f"files changed {m.seconds(watch.files)} ago", "process", watch.files, "files-change",
                     sure="likely", look=(m.due(watch.files, 5.0) + 1, *dying(m)))
    offline = watch.tree.offline and not watch.heard.get("gateway") and watch.tree.children == 0
    if offline and m.silence(max(moved, watch.tree.offline)) >= m.limits.hung_s * 1000:
        because = f"its turn is open, but it has no connection and nothing moved for {m.seconds(moved)}"
        return hung(m, moved, because, "process", "no-network")
    if m.silence(moved) >= m.limits.silent_s * 1000:
        return _silent(m, moved)
    look = [m.due(moved, m.limits.silent_s), *dying(m)]
    if offline:
        look.append(m.due(max(moved, watch.tree.offline), m.limits.hung_s))
    rule = m.pane
    if rule is not None and not m.steady(rule):
        look.append(m.due(m.settled_since, m.wants(rule)))
    since = max(watch.turn.began, _last_call(m))
    return m.say("thinking", f"its turn is open, last sign {m.seconds(moved)} ago", watch.turn.source, since, "turn-open",
                 sure="certain" if m.silence(moved) < 60_000 else "likely",
                 look=tuple(look), numbers=m.numbers(), conflict=pane_differs(m))


def _silent(m: Moment, moved: int) -> Verdict:
    """Nothing at all for very long: hung when its process is there, unknown when nobody can tell."""
    tree = m.watch.tree
    because = f"nothing was heard, no command ran and no file changed for {m.seconds(moved)}"
    if tree.at and m.fresh("process", tree.at) and tree.alive:
        if tree.children > 0:
            return m.children("child-stands", conflict=f"{m.watch.turn.source}: {because}", look=dying(m))
        return hung(m, moved, because, "process", "no-sign")
    if not m.running and (m.watch.heard.get("gateway") or m.watch.turn.source == "api"):
        return hung(m, moved, because, m.watch.turn.source, "no-sign")
    return m.say("unknown", f"{because}, and its process was not looked at", "none", moved, "nothing-fresh", numbers=m.numbers())


def _last_call(m: Moment) -> int:
    return m.watch.calls[-1].ended if m.watch.calls else 0


def pane_differs(m: Moment) -> str:
    """What the pane says instead, when it says something else."""
    rule = m.pane
    if rule is None or rule.health in ("working", "thinking", "starting", "compacting"):
        return ""
    return f"the pane looks {rule.health} ({rule.name}: {m.watch.pane.row[:80]}); a better source counts more"
