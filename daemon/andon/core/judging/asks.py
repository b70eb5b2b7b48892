"""Folds requests to a person: opened, opened twice, settled, and settled without a word. Answers nothing."""

from collections.abc import Callable

from msgspec.structs import replace

from andon.schema.signals import AnswerWanted, AskSettled, PermissionWanted, ToolBegan, ToolEnded

from .facts import ASKS, Ask, Tool, Watch

LATE_MS = 1_500
"""Words about what came before an ask may arrive so long after it: a tool's announcement, a model call."""
HEARD = 16
"""Settled asks that are remembered, so that a late copy does not open them again."""


def wanted(watch: Watch, signal: PermissionWanted | AnswerWanted) -> Watch:
    """A request stands open, unless it is known already from another source, or was settled."""
    ask = _ask(watch, signal)
    if any(one.ask == ask.ask for one in watch.asks) or any(name == ask.ask for name, _ in watch.settled):
        return watch
    same = [one for one in watch.asks if one.question == ask.question and _alike(one, ask)]
    if same:
        return _better(watch, same[0], ask)
    kept = tuple(one for one in watch.asks if one.source != "pane")
    return replace(watch, asks=(*kept, ask)[-ASKS:])


def _ask(watch: Watch, signal: PermissionWanted | AnswerWanted) -> Ask:
    if isinstance(signal, AnswerWanted):
        return Ask(ask=signal.ask, question=True, text=signal.text, options=signal.options, answerable=signal.answerable,
                   at=signal.at, source=signal.source)
    running = any(_of(tool, signal.ask, signal.tool, signal.target) for tool in watch.tools)
    return Ask(ask=signal.ask, tool=signal.tool, deed=signal.deed, target=signal.target, paths=signal.paths,
               answerable=signal.answerable, at=signal.at, source=signal.source, running=running)


def _alike(old: Ask, new: Ask) -> bool:
    """The same request told by another source, or told again without its particulars."""
    if old.source == "pane" or new.source == "pane":
        return new.source == "pane"
    if old.question:
        return old.source != new.source or not new.text or old.text == new.text
    vague = not new.tool or not new.target
    return (vague and new.source == old.source and new.at - old.at < 60_000 and not new.target and new.tool in ("", old.tool)) or (
        old.source != new.source and (vague or not old.target or (old.tool, old.target) == (new.tool, new.target)))


def _better(watch: Watch, old: Ask, new: Ask) -> Watch:
    """Keep the one that can be answered through a channel."""
    if old.answerable or not new.answerable:
        return watch
    kept = replace(new, at=old.at, running=old.running, base=old.base)
    return replace(watch, asks=tuple(kept if one is old else one for one in watch.asks))


def settled(watch: Watch, signal: AskSettled) -> Watch:
    """Its channel says that it no longer stands."""
    return drop(watch, lambda ask: ask.ask == signal.ask, signal.how or "settled", names=(signal.ask,))


def drop(watch: Watch, which: Callable[[Ask], bool], how: str, names: tuple[str, ...] = ()) -> Watch:
    """Without the asks that `which` picks. `names` are remembered as settled even when they never opened."""
    gone = tuple(ask for ask in watch.asks if which(ask))
    told = tuple(dict.fromkeys((*names, *(ask.ask for ask in gone))))
    if not told:
        return watch
    kept = tuple(ask for ask in watch.asks if ask not in gone)
    return replace(watch, asks=kept, settled=(*watch.settled, *((name, how) for name in told))[-HEARD:])


def tool_began(watch: Watch, signal: ToolBegan) -> Watch:
    """A tool that is announced after it was asked for, was allowed."""
    if not watch.asks:
        return watch
    mine = [ask for ask in watch.asks if not ask.question and not ask.running and signal.at > ask.at
            and (ask.ask == signal.call or (ask.tool, ask.target) == (signal.name, signal.target))]
    early = [ask for ask in mine if signal.at - ask.at < LATE_MS]
    if early:
        watch = replace(watch, asks=tuple(replace(ask, running=True) if ask in early else ask for ask in watch.asks))
    return drop(watch, lambda ask: ask in mine and ask not in early, "its tool began")


def tool_ended(watch: Watch, signal: ToolEnded, tool: Tool | None) -> Watch:
    """A tool that ended waits for nobody. A question is a tool too."""
    if not watch.asks:
        return watch

    def over(ask: Ask) -> bool:
        if signal.at < ask.at:
            return False
        if ask.ask == signal.call:
            return True
        if tool is None:
            return False
        if ask.question:
            return tool.began <= ask.at and _asks(tool.name)
        return tool.name == ask.tool and (tool.target == ask.target or not ask.target)
    return drop(watch, over, "its tool ended")


def moved_on(watch: Watch, at: int, how: str) -> Watch:
    """The agent went on to something that it could not do while it waited."""
    return drop(watch, lambda ask: ask.at < at, how) if watch.asks else watch


def _of(tool: Tool, call: str, name: str, target: str) -> bool:
    return tool.call == call or (tool.name == name and tool.target == target)


def _asks(name: str) -> bool:
    return any(word in name.lower() for word in ("ask", "question", "input"))
