"""The monitor: folds signals of one session into a Watch and judges what it does, and why. Pure; never raises; knows no agent.

Theory of operation. `observe` keeps facts, each with its moment and its source; words that come twice, late or never are
expected. `judge` asks layers in order: is the process there, does somebody have to answer, does the provider refuse, is a turn
open, is none. What it does to the machine is laid over that: whoever works may flood, fill or burn. Within a layer the best source
speaks as long as it is fresh; the pane speaks only when it was looked at after the last word of every better source. Time is the
third input: `Verdict.look_at` names the next moment at which it alone changes the verdict. Silence is counted only while the
machine was awake.
"""

from collections.abc import Callable
from typing import Any

from msgspec.structs import replace

from andon.schema.rules import Rules
from andon.schema.signals import (
    AnswerWanted,
    AnySignal,
    AskSettled,
    Attended,
    Began,
    Call,
    Compacting,
    Disk,
    Ended,
    Files,
    Helper,
    PermissionWanted,
    Retrying,
    Screen,
    Spoke,
    Took,
    ToolBegan,
    ToolEnded,
    Tree,
    TurnBegan,
    TurnEnded,
    TurnFailed,
    Usage,
    Verdict,
)

from .judging import asks, model, process, runaway, screens, turns
from .judging.afterturn import after_turn
from .judging.facts import NOTES, Watch
from .judging.gone import gone
from .judging.inturn import in_turn
from .judging.moment import Moment
from .judging.standing import asked, refused
from .judging.unsaid import unsaid

__all__ = ["Watch", "begin", "judge", "observe"]

_SILENT = (Tree, Disk, Screen, Files, Attended, Usage, Call, Ended)
"""Signals that are no word of the agent about its turn."""
_CHANNELS = ("api", "hook", "stdout")
"""Sources by which an agent tells what it waits for."""


def begin(agent: str, at: int, *, processes: tuple[str, ...] = ()) -> Watch:
    """A session that was started at `at` and of which nothing was seen. `processes`: names of the agent's own processes."""
    return Watch(agent=agent, begun=at, at=at, processes=processes)


def observe(watch: Watch, signal: AnySignal, rules: Rules) -> Watch:
    """With one more signal. Any order, any number of times, from any source."""
    fold = _FOLDS.get(type(signal))
    if fold is None:
        return watch
    if signal.at < 1:  # 0 stands for never
        signal = replace(signal, at=1)
    after = fold(watch, signal, rules)
    heard = after.heard
    if heard.get(signal.source, 0) < signal.at:
        heard = {**heard, signal.source: signal.at}
    if not after.tells_asks and (signal.source in _CHANNELS and not isinstance(signal, _SILENT)):
        after = replace(after, tells_asks=True)
    notes = after.notes
    if signal.note:
        notes = (*notes, (signal.at, f"{signal.source}: {signal.note}"))[-NOTES:]
    if isinstance(signal, _SILENT) or signal.at < after.sign:
        return replace(after, at=max(after.at, signal.at), heard=heard, notes=notes)
    return replace(after, at=max(after.at, signal.at), heard=heard, notes=notes, sign=signal.at, sign_source=signal.source)


def judge(watch: Watch, at: int, rules: Rules, *, open_task: bool = True) -> Verdict:
    """What the session does at this moment, and why. `open_task`: its task is not done yet."""
    moment = Moment(watch, at, rules, open_task)
    found = next((verdict for layer in _LAYERS if (verdict := layer(moment)) is not None), None)
    return runaway.named(moment, found or unsaid(moment))


def _files(watch: Watch, signal: Files) -> Watch:
    return replace(watch, files=max(watch.files, signal.at)) if signal.changed > 0 else watch


def _attended(watch: Watch, signal: Attended) -> Watch:
    return replace(watch, attended=(watch.attended or signal.at) if signal.present else 0)


def _ended(watch: Watch, signal: Ended) -> Watch:
    if watch.began and signal.at < max(watch.began, watch.turn.began):
        return watch
    return replace(watch, over=watch.over or max(1, signal.at), farewell=signal.because[:200], sign_source=signal.source)


_FOLDS: dict[type, Callable[[Watch, Any, Rules], Watch]] = {
    Began: lambda watch, signal, rules: turns.began(watch, signal),
    TurnBegan: lambda watch, signal, rules: turns.turn_began(watch, signal),
    Took: lambda watch, signal, rules: turns.took(watch, signal),
    ToolBegan: lambda watch, signal, rules: turns.tool_began(watch, signal),
    ToolEnded: lambda watch, signal, rules: turns.tool_ended(watch, signal, rules.thresholds),
    PermissionWanted: lambda watch, signal, rules: asks.wanted(watch, signal),
    AnswerWanted: lambda watch, signal, rules: asks.wanted(watch, signal),
    AskSettled: lambda watch, signal, rules: asks.settled(watch, signal),
    Retrying: lambda watch, signal, rules: model.refused(watch, signal),
    Spoke: lambda watch, signal, rules: turns.spoke(watch, signal),
    TurnEnded: lambda watch, signal, rules: turns.turn_over(watch, signal),
    TurnFailed: lambda watch, signal, rules: turns.turn_over(watch, signal),
    Compacting: lambda watch, signal, rules: turns.compacting(watch, signal, rules.thresholds),
    Helper: lambda watch, signal, rules: turns.helper(watch, signal),
    Usage: lambda watch, signal, rules: model.used(watch, signal),
    Ended: lambda watch, signal, rules: _ended(watch, signal),
    Call: lambda watch, signal, rules: model.called(watch, signal, rules.thresholds),
    Tree: lambda watch, signal, rules: process.looked(watch, signal, rules.thresholds),
    Disk: lambda watch, signal, rules: runaway.weighed(watch, signal, rules.thresholds),
    Screen: lambda watch, signal, rules: screens.shown(watch, signal, rules),
    Files: lambda watch, signal, rules: _files(watch, signal),
    Attended: lambda watch, signal, rules: _attended(watch, signal),
}
_LAYERS: tuple[Callable[[Moment], Verdict | None], ...] = (gone, asked, refused, in_turn, after_turn)
