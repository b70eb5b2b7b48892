"""Two ways in which others judge agents, written from their published behaviour, to be measured beside ours."""

import re
from collections.abc import Iterator
from typing import NamedTuple

from andon import replay
from andon.schema.health import Health
from andon.schema.signals import (
    AnswerWanted,
    Line,
    PermissionWanted,
    Screen,
    ToolBegan,
    ToolEnded,
    TurnBegan,
    TurnEnded,
    TurnFailed,
)

TICK_MS = 500
"""How often a pane is captured."""
UNCHANGED_MS = 2_000
"""A pane that looks the same for so long is ready."""
_PROMPTS = re.compile(r"No, and tell|Do you want to|\u276f 1\. Yes|Would you like to|Allow once|\(Y\)es/\(N\)o|Yes, allow once")


class Said(NamedTuple):
    """A verdict of a peer."""

    at: int
    health: Health
    kills: bool = False


def pane_hash(lines: tuple[Line, ...], read: replay.Reader, end: int) -> Iterator[Said]:
    """Captured twice a second: a hash that changed is running, a prompt text waits, one that stays the same is ready."""
    told = [signal for line in lines if line.source == "pane" for signal in replay.signals_of(line, read)]
    looks = [signal for signal in told if isinstance(signal, Screen)]
    for look, after in zip(looks, [*looks[1:], None], strict=False):
        text = "\n".join(look.rows)
        until = after.at if after else end
        if _PROMPTS.search(text):
            yield Said(look.at + TICK_MS, "waiting-permission")
            continue
        yield Said(look.at + TICK_MS, "working")
        if until - look.at > UNCHANGED_MS + TICK_MS:
            yield Said(look.at + UNCHANGED_MS + TICK_MS, "idle-at-prompt")


def hook_file(lines: tuple[Line, ...], read: replay.Reader, end: int) -> Iterator[Said]:
    """The agent's hooks write a word into a file; the last one wins for ever."""
    for line in lines:
        if line.source in ("gateway", "process", "pane") or line.at > end:
            continue
        for signal in replay.signals_of(line, read):
            if isinstance(signal, TurnBegan | ToolBegan | ToolEnded):
                yield Said(line.at, "working")
            elif isinstance(signal, PermissionWanted):
                yield Said(line.at, "waiting-permission")
            elif isinstance(signal, AnswerWanted):
                yield Said(line.at, "waiting-answer")
            elif isinstance(signal, TurnEnded | TurnFailed):
                yield Said(line.at, "idle-at-prompt")
