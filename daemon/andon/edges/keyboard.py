"""Reads one pane and types into it: the last resort for an agent without a better channel. It must never know what a screen means.

Nothing is typed blind: a caller says what the screen must look like at the moment of typing, and the rows are read again first.
"""

import asyncio
import time
from collections.abc import Callable, Sequence

from andon.edges.tmux import Tmux, TmuxError
from andon.schema.clean import clean_row
from andon.schema.ids import AttemptId, session_name

LOOK_S = 0.05
"""Pause between two looks at a screen that is to change."""

Looks = Callable[[tuple[str, ...]], bool]
"""What a screen must look like: its cleaned rows in, yes or no out."""


async def rows(tmux: Tmux, attempt: AttemptId) -> tuple[str, ...]:
    """The rows that the pane shows now, cleaned, without colours; empty when there is no such session."""
    try:
        told = await tmux.command("capture-pane", "-p", "-t", f"={session_name(attempt)}:")
    except TmuxError as error:
        if error.lost:
            raise
        return ()
    return tuple(clean_row(row) for row in told)


async def press(tmux: Tmux, attempt: AttemptId, keys: Sequence[str], looks: Looks) -> bool:
    """Press these keys (tmux's names) if the screen looks as it must; False when it does not, and nothing was pressed."""
    if not looks(await rows(tmux, attempt)):
        return False
    await tmux.command("send-keys", "-t", f"={session_name(attempt)}:", *keys)
    return True


async def until(tmux: Tmux, attempt: AttemptId, looks: Looks, seconds: float) -> bool:
    """See the screen look so within some seconds."""
    end = time.monotonic() + seconds
    while not looks(await rows(tmux, attempt)):
        if time.monotonic() >= end:
            return False
        await asyncio.sleep(LOOK_S)
    return True
