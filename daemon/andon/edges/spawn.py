"""Starts a process so that a cancellation cannot hang; it must never know what the process is for.

asyncio waits for ever for a process whose starter was cancelled after the fork and before its pipes were connected. So the
start itself is never cancelled: it is seen through, and the new process is ended before the cancellation goes on.
"""

import asyncio
import contextlib
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


async def uncut(starting: Coroutine[Any, Any, T]) -> tuple[T, bool]:
    """What the start gave, and whether we were cancelled meanwhile: then the caller ends it and raises CancelledError."""
    started = asyncio.ensure_future(starting)
    try:
        return await asyncio.shield(started), False
    except asyncio.CancelledError:
        if started.cancelled():
            raise
        return await started, True


async def spawn(*argv: str, **options: Any) -> asyncio.subprocess.Process:
    """As `asyncio.create_subprocess_exec`; a process that nobody waits for any more is killed and reaped."""
    process, cancelled = await uncut(asyncio.create_subprocess_exec(*argv, **options))
    if cancelled:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await reap(process)
        raise asyncio.CancelledError
    return process


async def reap(process: asyncio.subprocess.Process) -> int:
    """Wait for the end. asyncio tells of it only when the pipes were read to their end: what is left in them is dropped."""
    for pipe in (process.stdout, process.stderr):
        while pipe is not None and await pipe.read(65536):
            pass
    return await process.wait()
