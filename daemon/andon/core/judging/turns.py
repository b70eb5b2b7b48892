"""Folds turns, tools, helpers and compactions. An end that never came is closed by what follows; the same word twice is one."""

from msgspec.structs import replace

from andon.schema.health import RANK, Trouble
from andon.schema.rules import Thresholds
from andon.schema.signals import (
    Began,
    Compacting,
    Helper,
    Signal,
    Spoke,
    Took,
    ToolBegan,
    ToolEnded,
    TurnBegan,
    TurnEnded,
    TurnFailed,
)

from . import asks, loops
from .facts import CALLS, HELPERS, OPEN, PROMPTS, Limit, Shortening, Tool, Turn, Watch

TELLING = ("api", "hook", "stdout", "transcript")
"""Sources that tell of turns. A message in the outbox tells of none."""
COPY_MS = 350
"""The same words about a call without an id within this time are one told twice."""
BATCH_MS = 300
"""Calls of one answer of the model begin within this time."""
TWICE_MS = 3_000
"""The same prompt within this time is one prompt told by two sources."""
GIVES_UP: tuple[Trouble, ...] = ("auth", "quota", "rate-limit", "overloaded", "server", "network")
"""Refusals after which an agent may end its turn without a word of why."""
ECHO_MS, LAG_MS = 2_500, 15_000
"""Words of the source that told the turn's end may come so late; a source that ranks below it tells everything later still."""


def began(watch: Watch, signal: Began) -> Watch:
    """The agent is up, or gives its conversation another name."""
    back = watch.over and signal.at >= watch.over
    return replace(
        watch, began=watch.began or signal.at, conversation=signal.conversation or watch.conversation,
        transcript=signal.transcript or watch.transcript, model_name=signal.model or watch.model_name,
        over=0 if back else watch.over, farewell="" if back else watch.farewell,
    )


def turn_began(watch: Watch, signal: TurnBegan) -> Watch:
    """A prompt was taken."""
    turn = watch.turn
    if (signal.turn and signal.turn in turn.seen) or (turn.ended and signal.at < turn.ended):
        return watch
    again = bool(turn.prompts) and signal.prompt in ("", turn.prompts[-1][1]) and signal.at - turn.prompts[-1][0] < TWICE_MS
    if turn.open and (again or (signal.turn and signal.turn == turn.id) or not (signal.turn or signal.prompt)):
        return replace(watch, turn=replace(turn, id=turn.id or signal.turn, known=(*turn.known, signal.turn)[-PROMPTS:]))
    if not turn.open and again and turn.began and signal.at - turn.began < TWICE_MS:
        return watch
    if not turn.open and turn.ended and not (signal.turn or signal.prompt) and signal.source != "api":
        return stray(watch, signal)
    prompts = (*turn.prompts, (signal.at, signal.prompt))[-PROMPTS:] if signal.prompt else turn.prompts
    fresh = replace(turn, open=True, id=signal.turn, began=signal.at, source=signal.source, stray=0, background=0, trouble=None,
                    until=0, prompts=prompts,
                    known=(*turn.known, signal.turn)[-PROMPTS:] if signal.turn else turn.known)
    watch = asks.moved_on(watch, signal.at - asks.LATE_MS, "another turn began")
    return replace(watch, turn=fresh, tools=(), calls=(), loop=None, limit=_told_since(watch, signal), over=0,
                   shortening=replace(watch.shortening, at=(), began=0), model=replace(watch.model, requests=()))


def took(watch: Watch, signal: Took) -> Watch:
    """Words joined the running turn. They begin none."""
    if not signal.prompt or (signal.at, signal.prompt) in watch.turn.prompts:
        return watch
    return replace(watch, turn=replace(watch.turn, prompts=(*watch.turn.prompts, (signal.at, signal.prompt))[-PROMPTS:]))


def stray(watch: Watch, signal: Signal) -> Watch:
    """Something moved after the turn's end. With commands of its own in the background the agent woke up: its turn goes on."""
    turn = watch.turn
    if turn.open or not turn.ended or signal.at <= turn.ended or _echo(turn, signal):
        return watch
    if turn.background and not isinstance(signal, Helper):
        return replace(watch, turn=replace(turn, open=True, began=signal.at, id="", stray=0, source=signal.source, background=0))
    return replace(watch, turn=replace(turn, stray=max(turn.stray, signal.at)))


def _echo(turn: Turn, signal: Signal) -> bool:
    """Whether it is the ended turn's own word, come late: nobody works for an echo."""
    after = signal.at - turn.ended
    if RANK.index(signal.source) > RANK.index(turn.source):
        return after < LAG_MS
    return after < ECHO_MS and isinstance(signal, Spoke | ToolEnded)


def turn_over(watch: Watch, signal: TurnEnded | TurnFailed) -> Watch:
    """A turn ended; told twice it counts once. The end of a turn that never began is another conversation's."""
    turn = watch.turn
    name = _id(signal)
    foreign = turn.open and turn.id and name and name != turn.id and (name not in turn.known or name in turn.seen)
    if foreign or (turn.open and signal.at < turn.began):
        return watch
    if signal.source == "transcript" and not name and watch.heard.get("hook"):
        return watch  # its hook tells the end too, and what still runs then
    if not turn.open and turn.ended and _twice(turn, signal):
        return _told_twice(watch, signal)
    told = _refused(watch, signal)
    ended = replace(_with_words(turn, told, first=True), open=False, ended=signal.at, number=turn.number + 1,
                    source=signal.source, seen=(*turn.seen, turn.id or _id(signal))[-PROMPTS:], stray=0, id=turn.id or _id(signal))
    watch = asks.moved_on(watch, signal.at + 1, "the turn ended")
    return replace(watch, turn=ended, tools=(), loop=None, limit=None, shortening=replace(watch.shortening, began=0))


def _refused(watch: Watch, signal: TurnEnded | TurnFailed) -> TurnEnded | TurnFailed:
    """Some agents tell of a turn's end alone, when it was a refusal that ended it: the gateway saw the last call fail."""
    limit = watch.limit
    if isinstance(signal, TurnFailed) or limit is None or limit.source != "gateway" or not watch.model.failures:
        return signal
    if limit.trouble not in GIVES_UP or not watch.turn.open or limit.at < watch.turn.began - TWICE_MS:
        return signal
    return TurnFailed(at=signal.at, source=signal.source, note=signal.note, trouble=limit.trouble, text=signal.text,
                      until=limit.until)


def _id(signal: TurnEnded | TurnFailed) -> str:
    return signal.turn if isinstance(signal, TurnEnded) else ""


def _twice(turn: Turn, signal: TurnEnded | TurnFailed) -> bool:
    if isinstance(signal, TurnEnded) and signal.turn:
        if signal.turn in turn.seen:
            return True
        if turn.id:
            return signal.source != turn.source or not turn.stray
    return not turn.stray or signal.at <= turn.stray or signal.at - turn.ended < TWICE_MS


def _told_twice(watch: Watch, signal: TurnEnded | TurnFailed) -> Watch:
    """The later word only adds what the first did not know."""
    if signal.at - watch.turn.ended > 10 * TWICE_MS:
        return watch
    turn = _with_words(watch.turn, signal, first=False)
    best = signal.source if RANK.index(signal.source) < RANK.index(turn.source) else turn.source
    return replace(watch, turn=replace(turn, source=best))


def _with_words(turn: Turn, signal: TurnEnded | TurnFailed, *, first: bool) -> Turn:
    text = signal.text[:2000] or ("" if first else turn.text)
    if isinstance(signal, TurnFailed):
        better = first or turn.trouble in (None, "unknown")
        return replace(turn, text=text, trouble=signal.trouble if better else turn.trouble, until=signal.until or turn.until,
                       background=0 if first else turn.background)
    return replace(turn, text=text, trouble=None if first else turn.trouble, until=0 if first else turn.until,
                   background=max(0, signal.background))


def tool_began(watch: Watch, signal: ToolBegan) -> Watch:
    """A tool runs. It had ended already when the words came in the wrong order."""
    signal = _again(watch, signal)
    if any(one.call == signal.call for one in watch.calls):
        calls = tuple(_known(one, signal) if one.call == signal.call and not one.digest else one for one in watch.calls)
        return replace(watch, calls=calls)
    watch = asks.tool_began(watch, signal)
    if any(one.call == signal.call for one in watch.tools):
        tools = tuple(_known(one, signal) if one.call == signal.call else one for one in watch.tools)
        return replace(watch, tools=tools)
    if watch.turn.ended and not watch.turn.open and (signal.at <= watch.turn.ended or _echo(watch.turn, signal)):
        return watch
    watch = _given_up(_opened(stray(watch, signal), signal), signal)
    tool = Tool(call=signal.call, name=signal.name, target=signal.target, digest=signal.digest, began=signal.at,
                source=signal.source)
    loop = watch.loop if watch.loop and (not watch.loop.digests or signal.digest in watch.loop.digests) else None
    if loop and loop.kind != "tool-loop" and not loop.digests and signal.target and signal.target not in loop.because:
        loop = loop if loop.kind == "thrash" else None
    return replace(watch, tools=(*watch.tools, tool)[-OPEN:], loop=loop, limit=_told_since(watch, signal),
                   shortening=_went_on(watch.shortening))


def _again(watch: Watch, signal: ToolBegan) -> ToolBegan:
    """An agent that gives its calls no ids is given them by name and arguments: the same call again is then another one."""
    if signal.call != signal.digest:
        return signal
    last = next((one for one in reversed(watch.calls) if _is(one, signal.call)), None)
    if last is None or signal.at - last.began < COPY_MS:
        return signal if last is None else replace(signal, call=last.call)
    number = last.call.removeprefix(signal.call).lstrip("#")
    return replace(signal, call=f"{signal.call}#{int(number) + 1 if number.isdecimal() else 1}")


def _is(tool: Tool, call: str) -> bool:
    return tool.call == call or tool.call.rpartition("#")[0] == call


def _told_since(watch: Watch, signal: Signal) -> Limit | None:
    """The refusal that the gateway saw stands against words that may be older than they come; later ones lift it."""
    limit = watch.limit
    return limit if limit and limit.source == "gateway" and signal.at - limit.at < TWICE_MS else None


def _opened(watch: Watch, signal: Signal) -> Watch:
    """A tool or word before any turn was told: one began that nobody told of."""
    turn = watch.turn
    if turn.open or turn.ended or signal.source not in TELLING:
        return watch
    return replace(watch, turn=replace(turn, open=True, began=signal.at, source=signal.source))


def _given_up(watch: Watch, signal: ToolBegan) -> Watch:
    """A new call after the model went on says that older ones ended, though nobody told. Helpers' calls run side by side."""
    if not watch.tools or watch.helpers:
        return watch
    model = watch.model
    went_on = max(model.spoke if watch.heard.get("api") else 0, model.asked)
    later = max((one.ended for one in watch.calls[-4:]), default=0)
    over = [one for one in watch.tools if (one.began + BATCH_MS < went_on or one.began + BATCH_MS < later < signal.at - BATCH_MS)
            and not any(ask.running and ask.tool == one.name and ask.target == one.target for ask in watch.asks)]
    if not over:
        return watch
    ended = tuple(replace(one, ended=one.began, result=loops.LOST) for one in over)
    calls = tuple(sorted((*watch.calls, *ended), key=lambda one: one.began))[-CALLS:]
    return replace(watch, calls=calls, tools=tuple(one for one in watch.tools if one not in over))


def _known(tool: Tool, signal: ToolBegan) -> Tool:
    return replace(tool, name=tool.name or signal.name, target=tool.target or signal.target, digest=tool.digest or signal.digest,
                   began=min(tool.began, signal.at) if tool.began else signal.at)


def tool_ended(watch: Watch, signal: ToolEnded, limits: Thresholds) -> Watch:
    """A tool gave its result."""
    tool = next((one for one in watch.tools if _is(one, signal.call)), None)
    if tool is None and any(_is(one, signal.call) for one in watch.calls):
        return watch
    call = tool.call if tool else signal.call
    watch = asks.tool_ended(watch, signal, tool)
    watch = _opened(stray(watch, signal), signal)
    began = tool or Tool(call=call, began=signal.at, source=signal.source)
    done = replace(began, ended=max(began.began, signal.at), ok=signal.ok, result=signal.digest or ("" if signal.ok else "failed"))
    calls = (*watch.calls, done)[-CALLS:]
    loop = loops.repeated(calls, limits, len(watch.helpers)) if done.digest else watch.loop
    if loop and watch.loop and loop.kind == watch.loop.kind:
        loop = replace(loop, since=watch.loop.since)
    tools = tuple(one for one in watch.tools if one.call != call)
    return replace(watch, calls=calls, loop=loop, tools=tools, limit=_told_since(watch, signal))


def spoke(watch: Watch, signal: Spoke) -> Watch:
    """The model gave words. While helpers are at work, words may be theirs."""
    watch = _opened(stray(watch, signal), signal)
    model = watch.model
    says = signal.text[-NOTE:] if signal.text else model.says
    model = replace(model, spoke=max(model.spoke, signal.at), characters=model.characters + max(0, signal.characters), says=says)
    if watch.asks and not watch.helpers and signal.source in ("api", "stdout") and not watch.tools:
        watch = asks.moved_on(watch, signal.at - asks.LATE_MS, "the model went on")
    return replace(watch, model=model, limit=_told_since(watch, signal), shortening=_went_on(watch.shortening))


NOTE = 300
"""Characters of its latest words that are kept."""


def helper(watch: Watch, signal: Helper) -> Watch:
    """A sub-agent began or ended."""
    others = tuple(one for one in watch.helpers if one[0] != signal.helper)
    if signal.ended:
        return replace(watch, helpers=others)
    known = next((one for one in watch.helpers if one[0] == signal.helper), None)
    return replace(stray(watch, signal), helpers=(*others, known or (signal.helper, signal.at))[-HELPERS:])


def compacting(watch: Watch, signal: Compacting, limits: Thresholds) -> Watch:
    """The conversation is being shortened, or was. Some agents say so before each call and never say that it ended."""
    short = watch.shortening
    first = not (watch.calls or watch.tools or watch.turn.number) and signal.at - watch.turn.began < 1_000 and watch.turn.open
    if signal.done:
        short = replace(short, began=0, done=short.done + 1, vain=0, at=_row(short, signal, counted=True), source=signal.source)
    elif short.done or not (short.vain or first or short.began):
        short = replace(short, began=signal.at, at=_row(short, signal, counted=not short.done), source=signal.source)
    else:
        short = replace(short, began=0, vain=short.vain + 1, at=_row(short, signal, counted=True), source=signal.source)
    other = watch.loop if watch.loop and watch.loop.kind != "compaction-loop" else None
    return replace(watch, shortening=short, loop=loops.compactions(short, limits, signal.at) or other)


def _row(short: Shortening, signal: Compacting, *, counted: bool) -> tuple[int, ...]:
    """When they were: by their ends, or by their beginnings for who tells no end. The first end replaces its own beginning."""
    if not counted:
        return short.at
    if signal.done and not short.done:
        return (signal.at,)
    twice = bool(short.at) and signal.at - short.at[-1] < 50
    return short.at if twice else (*short.at, signal.at)[-CALLS:]


def _went_on(short: Shortening) -> Shortening:
    """A tool or word after a beginning without an end: it ended, or the beginning meant nothing."""
    if not (short.began or short.at):
        return short
    return replace(short, began=0, at=(), vain=short.vain + (short.began > 0 and not short.done))
