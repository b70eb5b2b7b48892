"""Last layer: no source tells of turns. Gateway, processes, files and pane, as far as they go; else unknown."""

from andon.schema.signals import Verdict

from .gone import dying
from .inturn import by_pane, model_call
from .moment import Moment, span

START_MS = 90_000
"""An agent may be silent for so long while it starts."""
DRAWN_MS = 8_000
"""What draws so long after its start does more than start."""
WORD_MS = 30_000
"""What was last seen to move still counts for so long."""


def unsaid(m: Moment) -> Verdict:
    """The state of a session of whose turns nothing was told."""
    return _looping(m) or _works(m) or _shown(m) or _calls(m) or _starts(m) or _lately(m) or _nothing(m)


def _looping(m: Moment) -> Verdict | None:
    loop = m.watch.loop
    if loop is None or m.children_work:
        return None
    return m.say("looping", loop.because, "gateway", loop.since, loop.rule, cause="tool-loop", sure="likely")


def _works(m: Moment) -> Verdict | None:
    return m.children("child-works", look=dying(m)) if m.children_work else None


def _shown(m: Moment) -> Verdict | None:
    """The pane, unless the gateway shows a call that flows."""
    rule = m.pane
    if rule is None:
        return None
    if m.flight and rule.health not in ("waiting-permission", "waiting-answer"):
        return None
    if rule.health == "idle-at-prompt" and not _has_worked(m) and m.silence(
            m.watch.pane.since) < m.limits.idle_s * 1000 and m.silence(m.watch.begun) < START_MS:
        return m.say("starting", "its screen is up and no prompt was taken yet", "pane", m.watch.begun, rule.name, sure="likely",
                     look=(m.due(m.watch.pane.since, m.limits.idle_s), *dying(m)))
    if not m.steady(rule):
        because = f"its screen may say {rule.health}; not for long enough yet"
        return m.say("thinking" if _has_worked(m) else "starting", because, "pane", m.watch.pane.since, rule.name, sure="guess",
                     look=(m.due(m.settled_since, rule.steady_s), *dying(m)))
    if rule.health == "idle-at-prompt" and not m.open_task:
        because = "it stands at its prompt and its task is done"
        return m.say("finished", because, "pane", m.watch.pane.since, rule.name, sure="guess")
    return by_pane(m)


def _has_worked(m: Moment) -> bool:
    """Whether anything was seen that an agent only does once it was asked something."""
    watch = m.watch
    return bool(watch.model.calls or watch.files or watch.tree.busy or watch.pane.worked)


def _calls(m: Moment) -> Verdict | None:
    watch = m.watch
    if m.flight:
        return model_call(m)
    if watch.model.ended and m.silence(watch.model.ended) <= WORD_MS:
        return m.say("working", f"its last model call ended {m.seconds(watch.model.ended)} ago", "gateway", watch.model.ended,
                     "between-calls", sure="guess", look=(m.due(watch.model.ended, WORD_MS / 1000) + 1, *dying(m)))
    return None


def _starts(m: Moment) -> Verdict | None:
    watch = m.watch
    if watch.model.calls or watch.files:
        return None
    since = watch.began or watch.begun
    if watch.began and m.silence(since) > m.limits.idle_s * 1000 and not m.children_work:
        missed = m.open_task and not watch.attended
        return m.say("idle-at-prompt", f"it is up for {m.seconds(since)} and took no prompt", watch.sign_source, since, "no-prompt",
                     cause="idle-at-prompt" if missed else "", sure="likely", look=dying(m))
    drawn = not watch.began and watch.pane.changed - watch.begun > DRAWN_MS
    if drawn or m.silence(watch.begun) > START_MS:
        return None
    word = "it is up" if watch.began else "its process is there" if watch.tree.alive else "it was started"
    source = watch.sign_source if watch.began else "process" if watch.tree.alive else "none"
    return m.say("starting", f"{word}, {span(max(0, m.at - watch.begun))} after its start", source, watch.begun, "starting",
                 sure="certain" if watch.began else "likely",
                 look=(m.due(since, m.limits.idle_s) + 1 if watch.began else 0, m.due(watch.begun, START_MS / 1000) + 1, *dying(m)))


def _lately(m: Moment) -> Verdict | None:
    """The agent's own processor, its files, its screen: something moved a short while ago."""
    watch, tree = m.watch, m.watch.tree
    if watch.files and m.silence(watch.files) <= WORD_MS:
        return m.say("working", f"files changed {m.seconds(watch.files)} ago", "process", watch.files, "files-change",
                     sure="likely", look=(m.due(watch.files, WORD_MS / 1000) + 1, *dying(m)))
    if tree.own and m.silence(tree.own) <= max(WORD_MS, 3 * tree.usual):
        look = (m.due(tree.own, max(WORD_MS, 3 * tree.usual) / 1000) + 1, *dying(m))
        return m.say("working", f"it used the processor {m.seconds(tree.own)} ago", "process", tree.own, "own-processor",
                     sure="guess", look=look)
    if watch.pane.changed and not watch.pane.rule and m.silence(watch.pane.changed) <= WORD_MS:
        because = f"its screen changed {m.seconds(watch.pane.changed)} ago"
        return m.say("working", because, "pane", watch.pane.changed, "screen-changes", sure="guess",
                     look=(m.due(watch.pane.changed, WORD_MS / 1000) + 1, *dying(m)))
    if tree.children > 0 and m.fresh("process", tree.at):
        return m.children("child-stands", sure="guess", look=dying(m))
    return None


def _nothing(m: Moment) -> Verdict:
    """Unknown stays unknown, with what was heard last. Only a witness of the model may call it hung: this one may simply wait."""
    watch, tree = m.watch, m.watch.tree
    moved = max(watch.sign, watch.files, tree.busy, tree.own, watch.pane.changed, watch.model.ended, watch.begun)
    stands = "; its process stands" if tree.alive and m.fresh("process", tree.at) else ""
    because = f"nothing that can be read was heard for {m.seconds(moved)}{stands}"
    return m.say("unknown", because, "none", moved, "nothing-fresh", sure="guess", numbers=m.numbers(), look=dying(m))
