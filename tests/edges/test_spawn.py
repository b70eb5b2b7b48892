"""A cancelled start never hangs, and leaves no process."""

import asyncio
import contextlib
import os
import subprocess
import sys

import pytest

from andon.edges.spawn import reap, spawn

PIPES = {"stdin": asyncio.subprocess.PIPE, "stdout": asyncio.subprocess.PIPE, "stderr": asyncio.subprocess.PIPE}


def command_lines() -> str:
    """Of all processes."""
    return subprocess.run(("ps", "-eo", "args"), capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize("turns", range(6))
async def test_a_start_that_is_cancelled_at_any_turn_of_the_loop_ends_and_leaves_nothing(turns: int) -> None:
    marker = f"andon-spawn-{os.getpid()}-{turns}"
    starting = asyncio.ensure_future(spawn(sys.executable, "-S", "-c", "import time; time.sleep(60)", marker, **PIPES))
    for _ in range(turns):
        await asyncio.sleep(0)
    starting.cancel()
    async with asyncio.timeout(10):
        with contextlib.suppress(asyncio.CancelledError):
            process = await starting
            process.kill()
            await reap(process)
    assert marker not in await asyncio.to_thread(command_lines)


async def test_what_is_left_in_the_pipes_does_not_hold_up_the_end() -> None:
    process = await spawn(sys.executable, "-S", "-c", "import os; os.write(1, b'x' * 60_000); os.write(2, b'y' * 60_000)", **PIPES)
    async with asyncio.timeout(10):
        assert await reap(process) == 0
