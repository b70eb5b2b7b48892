"""Helpers that every kind of test may use."""

import asyncio
import time
from collections.abc import Awaitable, Callable


def wait_until(condition: Callable[[], object], deadline: float = 10.0, *, what: str = "the condition") -> None:
    """Block until the condition is true; fail with its name after `deadline` seconds."""
    end = time.monotonic() + deadline
    while not condition():
        assert time.monotonic() < end, f"waited {deadline} s for {what}"
        time.sleep(0.01)


async def wait_for(
    condition: Callable[[], object] | Callable[[], Awaitable[object]], deadline: float = 10.0, *, what: str = "it",
) -> None:
    """The same for coroutines: the condition may be plain or awaitable."""
    end = time.monotonic() + deadline
    while True:
        value = condition()
        if isinstance(value, Awaitable):
            value = await value
        if value:
            return
        assert time.monotonic() < end, f"waited {deadline} s for {what}"
        await asyncio.sleep(0.01)
