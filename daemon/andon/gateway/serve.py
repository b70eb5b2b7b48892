"""The gateway's life: its lock, its port, its end. Must never know what passes through it."""

import asyncio
import errno
import fcntl
import hashlib
import logging
import os
import resource
import secrets
import signal
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from aiohttp import web

from andon.edges.durable import private_dir, write_file
from andon.edges.gateway import LOCK, PORT, TOKEN, models_of, probe_of
from andon.schema.layout import layout

from .forward import Forward, bare, session
from .limits import DRAIN_S, HEADER_BYTES, HEADERS
from .routes import Routes
from .scribe import Scribe
from .ways import Ways, listening

TAKEN = 75
"""Exit code when another one runs (EX_TEMPFAIL)."""
PORTS, FIRST, TRIES = 12_000, 20_000, 50
"""A factory's first port comes from its home, outside the range that kernels give away; the next free of so many is taken."""
RESOLVERS = 64
"""Threads that may wait for names: one job cannot take them all."""
SWITCH_S = 0.0002
"""So long may the scribe's thread hold the interpreter when a stream wants it."""
IDLE_S = 3600.0
"""A client's idle connection is kept so long: clients end them, and one that is kept costs nothing."""


async def serve(home: Path) -> int:
    """Serve until SIGTERM or SIGINT, then let calls under way end for a while. The exit code."""
    place = layout(home)
    folder = private_dir(place.gateway)
    lock = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        print("another gateway of this factory is running", file=sys.stderr)
        return TAKEN
    os.environ["NETRC"] = os.devnull  # credentials come from the agent alone
    logging.getLogger("aiohttp").disabled = True  # its words about a broken request could quote the request
    for name in ("access", "client", "internal", "server", "web", "websocket"):
        logging.getLogger(f"aiohttp.{name}").disabled = True
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # two sockets a call
    sys.setswitchinterval(SWITCH_S)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    scribe = Scribe(place.jobs)
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(RESOLVERS, thread_name_prefix="resolver"))
    token = _token(folder)
    ways = Ways(place, scribe, token)
    async with session() as client:
        forward = Forward(Routes(place.jobs), scribe, client, probe_of(token))
        runner = _runner(forward, ways)
        await runner.setup()
        await ways.restore()
        await web.SockSite(runner, listening(models_of(place))).start()
        port = await _listen(runner, folder, home)
        write_file(folder / PORT, f"{port}\n".encode(), alone=True)
        await stop.wait()
        forward.draining = True
        await asyncio.gather(runner.cleanup(), ways.drain())
    scribe.close()
    os.close(lock)
    return 0


def _runner(forward: Forward, ways: Ways) -> web.AppRunner:
    app = web.Application()
    for method in ("PUT", "DELETE"):
        app.router.add_route(method, "/_/{token}/egress/{name}", ways.control)
    app.router.add_route("*", "/{rest:.*}", forward.handle)
    app.on_response_prepare.append(bare)
    return web.AppRunner(
        app, handle_signals=False, access_log=None, handler_cancellation=True, shutdown_timeout=DRAIN_S, auto_decompress=False,
        keepalive_timeout=IDLE_S, max_line_size=HEADER_BYTES, max_field_size=HEADER_BYTES, max_headers=HEADERS)


def _token(folder: Path) -> str:
    """What the daemon names when it asks whether we are we. Made once a factory."""
    file = folder / TOKEN
    if not file.exists():
        write_file(file, secrets.token_urlsafe(24).encode(), alone=True)
    return file.read_text().strip()


async def _listen(runner: web.AppRunner, folder: Path, home: Path) -> int:
    """Bind the port that was ours, else the first free one after the one that our home names."""
    file = folder / PORT
    before = file.read_text().strip() if file.exists() else ""
    first = FIRST + int.from_bytes(hashlib.sha256(os.fsencode(home)).digest()[:4], "big") % PORTS
    wanted = [int(before)] if before.isdecimal() else []
    for port in [*wanted, *(FIRST + (first - FIRST + step) % PORTS for step in range(TRIES))]:
        site = web.TCPSite(runner, "127.0.0.1", port, backlog=512)
        try:
            await site.start()
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            continue
        return port
    raise OSError(errno.EADDRINUSE, f"none of {TRIES} ports from {first} on is free")
