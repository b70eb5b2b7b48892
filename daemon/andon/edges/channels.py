"""The live connections to agents that have an API, at most one a session; it must never know what is said on them.

Theory of operation. One task a session reads the channel's lines for as long as the session lives. Each line is first appended
to the job's `channel.jsonl` and then handed on, so a daemon that was killed reads what this one knew. A channel reconnects by
itself; when it ends or breaks nevertheless, it is opened anew with a growing pause, a bounded number of times.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable
from functools import partial
from typing import Protocol

import msgspec

from andon.edges import withheld
from andon.edges.lines import append
from andon.schema.agent import Channel, SessionFacts
from andon.schema.ids import AttemptId
from andon.schema.jobs import CHANNEL
from andon.schema.signals import Line

RETRY_S, TRIES = (0.5, 30.0), 20
"""First and longest pause before a channel is opened again; after so many tries without a line it is given up."""
CLOSE_S = 5.0
BURST = 200
"""Lines handed on before other tasks get their turn, whatever the channel does."""
FOREIGN = (ArithmeticError, AssertionError, AttributeError, EOFError, LookupError, NameError, OSError, RuntimeError, TypeError,
           ValueError)
"""What somebody else's adapter may raise although it must not."""
log = logging.getLogger("andon.channels")


class Opens(Protocol):
    """The part of an adapter that opens channels."""

    def channel(self, session: SessionFacts) -> Channel | None:
        """A connection to the running agent, when it has an API."""
        ...


Hand = Callable[[AttemptId, Line], None]


class Channels:
    """All of them. `hand` gets each line once it is on disk."""

    def __init__(self, group: asyncio.TaskGroup, hand: Hand) -> None:
        self._group, self._hand = group, hand
        self._open: dict[AttemptId, Channel] = {}
        self._tasks: dict[AttemptId, asyncio.Task[None]] = {}

    def of(self, attempt: AttemptId) -> Channel | None:
        """The connection to this session; None when it has none, or none yet."""
        return self._open.get(attempt)

    def keep(self, facts: SessionFacts, adapter: Opens) -> None:
        """Have a connection to this session from now on, if its agent has an API. Harmless when there is one already."""
        if facts.attempt not in self._tasks:
            task = self._group.create_task(self._live(facts, adapter), name=f"channel {facts.attempt}")
            self._tasks[facts.attempt] = task
            task.add_done_callback(partial(self._over, facts.attempt))

    def drop(self, attempt: AttemptId) -> None:
        """The session is over: let go."""
        task = self._tasks.pop(attempt, None)
        if task is not None:
            task.cancel()

    def _over(self, attempt: AttemptId, task: "asyncio.Task[None]") -> None:
        if self._tasks.get(attempt) is task:
            del self._tasks[attempt]

    async def _live(self, facts: SessionFacts, adapter: Opens) -> None:
        """Open, read, and open again."""
        tries, pause = 0, RETRY_S[0]
        while tries < TRIES:
            try:
                channel = adapter.channel(facts)
            except FOREIGN as error:
                log.warning("the channel of %s could not be opened: %s", facts.attempt, error)
                return
            if channel is None:
                return
            if await self._read(facts, channel):
                tries, pause = 0, RETRY_S[0]
            tries += 1
            await asyncio.sleep(pause)
            pause = min(pause * 2, RETRY_S[1])
        log.warning("the channel of %s is given up after %d tries", facts.attempt, TRIES)

    async def _read(self, facts: SessionFacts, channel: Channel) -> bool:
        """All that it says until it ends; whether it said anything."""
        self._open[facts.attempt] = channel
        file, count = facts.job / CHANNEL, 0
        try:
            async for line in channel.lines():
                line = msgspec.structs.replace(line, data=withheld.struct(line.data))
                append(file, line)
                self._hand(facts.attempt, line)
                count += 1
                if count % BURST == 0:
                    await asyncio.sleep(0)
        except FOREIGN as error:
            log.warning("the channel of %s broke: %s: %s", facts.attempt, type(error).__name__, error)
        finally:
            if self._open.get(facts.attempt) is channel:
                del self._open[facts.attempt]
            with contextlib.suppress(*FOREIGN):  # a TimeoutError is an OSError
                async with asyncio.timeout(CLOSE_S):
                    await channel.close()
        return count > 0
