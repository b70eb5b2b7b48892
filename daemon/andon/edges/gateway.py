"""The gateway's process from the daemon's side: start it when it is wanted, find it again, give sessions their ways out.

It knows no provider and no key: a route says where an attempt's calls go, and the credentials stay in the agent's own requests. The
process runs detached under a shim, as check runs do, so it outlives a daemon; a daemon that starts finds it by its port and token.
"""

import asyncio
import contextlib
import hashlib
import os
import re
import secrets
import stat
import sys
import time
from collections import deque
from pathlib import Path

import msgspec

from andon.edges import jobs, process
from andon.edges.durable import private_dir, unwritable, write_file
from andon.schema.errors import Mistake
from andon.schema.ids import AttemptId
from andon.schema.jobs import EGRESS, EXIT, LOG, ROUTE, START, Job, Route
from andon.schema.layout import SOCKET_PATH_LIMIT, Layout
from andon.schema.sandbox import Egress

LOCK, PORT, TOKEN = "lock", "port", "token"
"""Names in the gateway's directory."""
JOB = "gateway"
"""Its job directory."""
START_S, PROBE_S, GRACE_S = 15.0, 3.0, 12.0
"""To be up; to answer; to let calls under way end when it is stopped."""
STARTS, WITHIN_S = 5, 600.0
"""So often may it be started in so many seconds; then it is left down, and `ensure` says None."""
ROUTE_BYTES = 16 * 1024
"""A longer route is none."""
WAY, MODELS = "p", "m"
"""Names of sockets, each in a directory of its own: of a job's proxy, and of the model gateway."""
_NAME = 8
"""Characters of a job's directory of sockets."""
_PASSED = ("PATH", "HOME", "LANG", "LC_ALL", "SSL_CERT_FILE", "SSL_CERT_DIR", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")


class Gateway:
    """The one gateway of a factory. Nothing is started before somebody wants an address."""

    def __init__(self, place: Layout) -> None:
        self._place = place
        self._folder = place.job(JOB)
        self._starts: deque[float] = deque(maxlen=STARTS)
        self._turn = asyncio.Lock()
        self._wanted = asyncio.Event()
        self._stopped = False

    @property
    def wanted(self) -> bool:
        """Whether anybody has asked for it since the daemon started."""
        return self._wanted.is_set()

    async def ensure(self) -> str | None:
        """The base address of the gateway, which runs on return; None when it cannot be had: it failed too often, or at once."""
        self._wanted.set()
        self._stopped = False
        async with self._turn:
            if isinstance(jobs.probe(self._folder), jobs.Running) and (base := await self._answering()):
                return base
            while len(self._starts) < STARTS or time.monotonic() - self._starts[0] > WITHIN_S:
                self._starts.append(time.monotonic())
                with contextlib.suppress(Mistake, OSError):  # a full disk, no shim: it is not there, and the log says why
                    if base := await self._start():
                        return base
            return None

    async def address(self, attempt: AttemptId, upstream: str) -> str:
        """The base address for this attempt's agent, which leads to `upstream`. The same one again in a later sitting.

        Raises Mistake when the gateway cannot be had, or the route cannot be written: let the agent talk to its provider itself
        then, and say so.
        """
        base = await self.ensure()
        if base is None:
            raise Mistake("The model gateway does not run.", where=str(self._folder / LOG),
                          mend="Read that log; sessions work without it, but their model calls are not seen.")
        file = self._place.job(attempt) / ROUTE
        known = _route(file)
        route = Route(token=known.token if known else secrets.token_urlsafe(24), upstream=upstream)
        if route != known:
            try:
                private_dir(file.parent)
                write_file(file, msgspec.json.encode(route), alone=True)
            except OSError as error:
                raise unwritable(error, "the route of a session could not be written", file) from error
        return f"{base}/a/{attempt}/{route.token}"

    async def egress(self, job: str, egress: Egress) -> Path:
        """The socket of this job's proxy, which lets it go where `egress` says; there on return, and again whenever the gateway
        was killed. It goes with the job: when its end is written, or by `close`.

        Raises Mistake when it cannot be had: the job has no way out then.
        """
        file = self._place.job(job) / EGRESS
        try:
            private_dir(file.parent)
            write_file(file, msgspec.json.encode(egress), alone=True)
        except OSError as error:
            raise unwritable(error, "where a job may go could not be written", file) from error
        opened = await self._control("PUT", job) if await self.ensure() else 0
        if opened == 404:  # it is of an older version: calls under way have a while to end
            async with self._turn:
                await jobs.stop(self._folder)
            opened = await self._control("PUT", job) if await self.ensure() else 0
        if opened != 200:
            raise Mistake("The proxy for a job could not be had.", where=str(self._folder / LOG),
                          mend="Read that log. Without it the job reaches nothing outside its sandbox.")
        return socket_of(self._place, job)

    async def close(self, job: str) -> None:
        """Take this job's way out away, with all connections through it. Harmless when there is none."""
        with contextlib.suppress(OSError):
            (self._place.job(job) / EGRESS).unlink(missing_ok=True)
        await self._control("DELETE", job)

    @property
    def models(self) -> Path:
        """The socket on which the gateway takes model calls, as on its port: where a door of a sandbox leads to. It is there
        while the gateway runs."""
        return models_of(self._place)

    async def _control(self, method: str, job: str) -> int:
        """What the gateway answers to this about a job's way out; 0: nothing."""
        with contextlib.suppress(OSError, ValueError):
            folder = self._place.gateway
            port, token = int((folder / PORT).read_text()), (folder / TOKEN).read_text().strip()
            async with asyncio.timeout(START_S):
                said = await _said(port, method, f"/_/{token}/egress/{job}")
                return int(said[9:12]) if said.startswith(b"HTTP/1.1 ") else 0
        return 0

    async def run(self) -> None:
        """Keep it running once it was wanted, by this daemon or the one before: it is started again when it dies. Returns when it
        failed too often. Waits on the process itself, so it costs nothing meanwhile."""
        if isinstance(jobs.probe(self._folder), jobs.Running):  # agents that outlived a daemon still talk through it
            self._wanted.set()
        await self._wanted.wait()
        while await self.ensure():
            await jobs.wait(self._folder)
            if self._stopped:
                return

    async def stop(self) -> None:
        """End it, whoever started it; calls under way have a while to end. Harmless when it does not run."""
        self._stopped = True
        async with self._turn:
            if not isinstance(jobs.probe(self._folder), jobs.NotStarted):
                await jobs.stop(self._folder)

    async def _start(self) -> str | None:
        """Start a new process in place of one that is gone; its base, or None when it did not come up."""
        if not isinstance(jobs.probe(self._folder), jobs.NotStarted):  # it does not answer, or has lost its shim
            await jobs.stop(self._folder)
        for name in (EXIT, START):  # the token last: a daemon that dies in between finds a job that is lost, and begins anew
            (self._folder / name).unlink(missing_ok=True)
        jobs.write_job(self._folder, self._job())
        await jobs.start_detached(self._folder)
        end, pause = time.monotonic() + START_S, 0.02
        while isinstance(jobs.probe(self._folder), jobs.Running) and time.monotonic() < end:
            if base := await self._answering():
                return base
            await asyncio.sleep(pause)
            pause = min(pause * 1.5, 0.2)
        return await self._answering()

    def _job(self) -> Job:
        home = self._place.home.absolute()
        name = f"{JOB}-{hashlib.sha256(os.fsencode(home)).hexdigest()[:12]}"
        env = {key: os.environ[key] for one in _PASSED for key in (one, one.lower()) if key in os.environ}
        package = str(Path(__file__).absolute().parents[2])
        env |= {process.MARKER: name, "PYTHONPATH": package, "PYTHONDONTWRITEBYTECODE": "1"}
        return Job(name=name, argv=(sys.executable, "-P", "-m", "andon.gateway", str(home)), cwd=str(home), env=env, log=True,
                   output_mb=1, grace_s=GRACE_S)

    async def _answering(self) -> str | None:
        """The base, when something on the noted port answers to our token."""
        with contextlib.suppress(OSError, ValueError):
            folder = self._place.gateway
            port, token = int((folder / PORT).read_text()), (folder / TOKEN).read_text().strip()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(PROBE_S):
                    if await _knows(port, *probe_of(token)):
                        return f"http://127.0.0.1:{port}"
        return None


def probe_of(token: str) -> tuple[str, str]:
    """The path under which the gateway with this token answers, and its answer, which nobody else knows."""
    return f"/_/{token}", hashlib.sha256(f"gateway {token}".encode()).hexdigest()


def sockets_of(place: Layout) -> Path:
    """The directory of the sockets that lead out of sandboxes: short enough for every path in it."""
    folder = place.runtime / "e"
    if len(os.fsencode(folder)) + 1 + _NAME + len(f"/{WAY}~") <= SOCKET_PATH_LIMIT:
        return folder
    name = hashlib.sha256(os.fsencode(place.home)).hexdigest()[:12]
    return Path(f"/tmp/andon-{os.getuid()}-{name}/e")


def socket_of(place: Layout, job: str) -> Path:
    """The socket of a job's proxy, alone in a directory that can be bound into a sandbox."""
    return sockets_of(place) / hashlib.sha256(job.encode()).hexdigest()[:_NAME] / WAY


def models_of(place: Layout) -> Path:
    """The socket of the model gateway, alone in a directory that can be bound into every sandbox."""
    return sockets_of(place) / "models" / MODELS


async def _knows(port: int, path: str, answer: str) -> bool:
    """Whether a GET of this path gives that answer: another program that took the port would not."""
    said = await _said(port, "GET", path)
    return said.startswith(b"HTTP/1.1 200 ") and said.endswith(answer.encode())


async def _said(port: int, method: str, path: str) -> bytes:
    """What the program on this port of ours answers, cut."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        length = "Content-Length: 0\r\n" if method != "GET" else ""
        writer.write(f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n{length}Connection: close\r\n\r\n".encode())
        said = await reader.read(4096)
        while len(said) < 4096 and (more := await reader.read(4096 - len(said))):
            said += more
        return said
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


def _route(file: Path) -> Route | None:
    """The route that is there. An agent can reach its job directory: nothing that it puts there may stop us or become a path."""
    with contextlib.suppress(OSError, msgspec.MsgspecError):
        handle = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            plain = stat.S_ISREG(os.fstat(handle).st_mode)
            route = msgspec.json.decode(os.read(handle, ROUTE_BYTES) if plain else b"", type=Route)
        finally:
            os.close(handle)
        return route if re.fullmatch(r"[A-Za-z0-9_-]{16,200}", route.token) else None
    return None
