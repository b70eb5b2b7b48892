"""A private tmux server for a test, and its certain end."""

import contextlib
import os
import signal
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

from andon.edges.tmux import Tmux, server_argv
from andon.schema.layout import Layout, layout
from support import wait_until


def server_pid(place: Layout) -> int | None:
    """The running server of this factory."""
    done = subprocess.run([*server_argv(place), "display-message", "-p", "#{pid}"], capture_output=True, text=True, check=False)
    return int(done.stdout) if done.returncode == 0 and done.stdout.strip() else None


def end_server(place: Layout) -> None:
    """Kill exactly this server, which ends its panes too."""
    pid = server_pid(place)
    if pid:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        wait_until(lambda: server_pid(place) is None, what="the end of the tmux server")


@contextlib.asynccontextmanager
async def private_tmux(folder: Path) -> AsyncIterator[Tmux]:
    """A server of its own below `folder`, connected; gone afterwards."""
    server = Tmux(layout(folder))
    try:
        await server.ensure()
        yield server
    finally:
        await server.close()
        end_server(server.layout)
