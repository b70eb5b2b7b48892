"""A face's line to the daemon, plain and blocking; must never know asyncio, nor what the daemon does with a request."""

import collections
import os
import socket
import sys
import time
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Self

import msgspec

from andon.schema import wire
from andon.schema.errors import Mistake, Problem
from andon.schema.inputs import AnyCommand
from andon.schema.layout import Layout
from andon.schema.views import AnyView
from andon.schema.wire import AnyReply, AnyRequest

VERSION = "0.1.0"
"""The version of this installation: that of the distribution, held equal by a test (reading metadata is slow)."""
START_S = 10.0
"""How long a started daemon may take until it answers."""
ANSWER_S = 120.0
"""How long an answer may take."""
GREETINGS = 3
"""Connections that are tried when a daemon leaves before it has greeted: one that is started anew is no reason to fail."""
BACKLOG_LIMIT = 100_000
"""Messages kept for `stream` while an answer is awaited."""

_encoder = msgspec.json.Encoder()
_decoder: msgspec.json.Decoder[AnyReply] = msgspec.json.Decoder(AnyReply)


class DaemonDown(Mistake):
    """No daemon answers."""


class Declined(Mistake):
    """The daemon understood and said no; nothing happened."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.what, where=problem.where, mend=problem.mend)


class Client:
    """One connection. `ask` and `stream` may be mixed; not for two threads. Use `connect`."""

    def __init__(self, layout: Layout, sock: socket.socket, face: str = "cli") -> None:
        self.layout = layout
        self._sock = sock
        self._buffer = bytearray()
        self._scanned = 0
        self._number = 0
        self._early: collections.deque[AnyReply] = collections.deque()
        self.welcome = self._greet(face)
        """Version, pid and home of the daemon."""

    def ask(self, request: AnyRequest, *, seconds: float = ANSWER_S) -> AnyReply:
        """The answer to a request. Declined when the daemon says no; DaemonDown when the connection ends."""
        self._number += 1
        number = self._number
        self._send(request if isinstance(request, wire.Hello) else msgspec.structs.replace(request, id=number))
        until = time.monotonic() + seconds
        while True:
            try:
                reply = self._next(until)
            except TimeoutError as error:
                raise DaemonDown(f"the daemon did not answer within {seconds:.0f} s", where=str(self.layout.socket),
                                 mend="look at its log; `andon doctor` looks at its parts") from error
            if isinstance(reply, wire.Refused):
                raise Declined(reply.problem)
            if isinstance(reply, wire.Failed) and reply.id in (number, 0):
                raise Declined(reply.problem)
            if isinstance(reply, wire.Reply) and reply.id == number:
                return reply
            if len(self._early) >= BACKLOG_LIMIT:
                raise DaemonDown("the daemon sends more than this command can take", where=str(self.layout.socket),
                                 mend="try again")
            self._early.append(reply)

    def do(self, command: AnyCommand) -> wire.Done:
        """Carry out a person's command; returns when it is durable."""
        reply = self.ask(wire.Do(command=command))
        if not isinstance(reply, wire.Done):
            raise _unexpected(reply)
        return reply

    def views(self) -> tuple[AnyView, ...]:
        """All that the daemon shows now."""
        reply = self.ask(wire.GetViews())
        if not isinstance(reply, wire.Snapshot):
            raise _unexpected(reply)
        return reply.views

    def stream(self, *, until: float | None = None) -> Iterator[AnyReply]:
        """Everything the daemon sends by itself, until it closes the connection.

        With `until` (a `time.monotonic()` moment): ends in TimeoutError at that moment.
        """
        while True:
            if self._early:
                yield self._early.popleft()
                continue
            try:
                reply = self._next(until)
            except DaemonDown:
                return
            yield reply

    def close(self) -> None:
        """End the connection."""
        self._sock.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _greet(self, face: str) -> wire.Welcome:
        self._send(wire.Hello(version=VERSION, face=face))
        reply = self._next(time.monotonic() + ANSWER_S)
        if isinstance(reply, wire.Refused):
            self.close()
            raise Declined(reply.problem)
        if not isinstance(reply, wire.Welcome):
            self.close()
            raise _unexpected(reply)
        return reply

    def _send(self, message: AnyRequest) -> None:
        try:
            self._sock.settimeout(ANSWER_S)
            self._sock.sendall(_encoder.encode(message) + b"\n")
        except OSError as error:
            raise self._ended(str(error)) from error

    def _next(self, until: float | None) -> AnyReply:
        try:
            return _decoder.decode(self._line(until))
        except msgspec.DecodeError as error:
            raise Mistake("the daemon sent something that this version of andon does not know", where=str(error),
                          mend="`andon down` and then `andon up` starts the daemon of this version; agents go on") from error

    def _line(self, until: float | None) -> bytes:
        """The next line. TimeoutError at `until`."""
        while (end := self._buffer.find(b"\n", self._scanned)) < 0:
            self._scanned = len(self._buffer)
            left = None if until is None else until - time.monotonic()
            if left is not None and left <= 0:
                raise TimeoutError("the daemon did not answer in time")
            try:
                self._sock.settimeout(left)
                data = self._sock.recv(1 << 18)
            except TimeoutError:
                continue
            except OSError as error:
                raise self._ended(str(error)) from error
            if not data:
                raise self._ended("it closed the connection")
            self._buffer += data
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 1]
        self._scanned = 0
        return line

    def _ended(self, because: str) -> DaemonDown:
        return DaemonDown(f"the daemon is gone: {because}", where=str(self.layout.socket),
                          mend="`andon up` starts it; what was acknowledged is kept")


def connect(layout: Layout, start: bool = False, *, face: str = "cli",
            say: Callable[[str], None] | None = None) -> Client:
    """A connection to this factory's daemon.

    When none answers: DaemonDown, or with `start` the daemon is started and `say` (default: stderr) is told so.
    """
    for left in reversed(range(GREETINGS)):
        sock = _reach(layout)
        if sock is None:
            if not start:
                raise DaemonDown("the daemon is not running", where=str(layout.socket), mend="start it with `andon up`")
            sock = start_daemon(layout)
            (say or _to_stderr)(f"andon: the daemon was not running; started it (log: {layout.daemon_log})")
        try:
            return Client(layout, sock, face)
        except BaseException as error:
            sock.close()
            if not left or not isinstance(error, DaemonDown):
                raise
        time.sleep(0.05)  # it left between our call and its greeting, which does nothing yet: its successor answers
    raise AssertionError("the last greeting returns or raises")


def running(layout: Layout) -> bool:
    """Whether a daemon answers."""
    sock = _reach(layout)
    if sock is None:
        return False
    sock.close()
    return True


def start_daemon(layout: Layout, *, seconds: float = START_S) -> socket.socket:
    """Start the daemon, detached from this terminal, and return a connection once it answers. DaemonDown when it does not."""
    import subprocess

    from andon import served

    if served.installed(layout):  # its own unit is the daemon: a second one beside it would only find the lock taken
        served.start(layout)
        if (sock := _reach(layout)) is None:
            raise DaemonDown("the service was started and its socket does not answer", where=str(layout.socket),
                             mend="`andon service status` says what is there")
        return sock
    # -P: never import from the directory a person happens to stand in.
    argv = [sys.executable, "-P", "-m", "andon.cli.main", "daemon"]
    try:
        layout.home.mkdir(parents=True, exist_ok=True, mode=0o700)
        with layout.daemon_log.open("ab") as out:
            process = subprocess.Popen(argv, cwd=layout.home, env=_environment(layout), stdin=subprocess.DEVNULL, stdout=out,
                                       stderr=out, start_new_session=True)
    except OSError as error:
        raise DaemonDown(f"the daemon cannot be started: {error.strerror}", where=str(error.filename or layout.home),
                         mend="make it writable for you, or set ANDON_HOME to a directory of yours") from error
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        sock = _reach(layout)
        if sock is not None:
            process.returncode = 0  # it outlives us: nobody here waits for it
            return sock
        if process.poll() is not None:
            raise _ended_at_once(layout)
        time.sleep(0.02)
    process.returncode = 0
    raise DaemonDown(f"the daemon was started but does not answer after {seconds:.0f} s{_last_words(layout)}",
                     where=str(layout.daemon_log), mend="look at its log, then try again")


def _environment(layout: Layout) -> dict[str, str]:
    """Ours, completed so that the daemon finds the same factory."""
    from andon.schema.layout import layout as usual

    env = dict(os.environ)
    if usual() != layout:
        env["ANDON_HOME"], env["ANDON_CONFIG_HOME"] = str(layout.home), str(layout.config)
    return env


def _reach(layout: Layout) -> socket.socket | None:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.settimeout(START_S)
        sock.connect(str(layout.socket))
    except (FileNotFoundError, NotADirectoryError, ConnectionRefusedError):
        sock.close()
        return None
    except OSError as error:
        sock.close()
        raise DaemonDown(f"the daemon cannot be reached: {error.strerror or error}", where=str(layout.socket),
                         mend="`andon doctor` looks at the socket and its directory") from error
    return sock


def _ended_at_once(layout: Layout) -> DaemonDown:
    """Why a daemon that was just started is gone: the mistake that it printed last, else its last words."""
    told = _log_end(layout)
    last = max((n for n, line in enumerate(told) if line.startswith("andon: ")), default=None)
    parts = {line[:7]: line[7:].strip() for line in told[last:]} if last is not None else {}
    if not parts.get("andon: ") or set(parts) - {"andon: ", "where: ", "mend:  "}:
        return DaemonDown(f"the daemon ended at once{_last_words(layout)}", where=str(layout.daemon_log),
                          mend="`andon doctor` looks for what is missing")
    return DaemonDown(f"the daemon could not start: {parts['andon: ']}", where=parts.get("where: ", "") or str(layout.daemon_log),
                      mend=parts.get("mend:  ", "") or "`andon doctor` looks for what is missing")


def _last_words(layout: Layout) -> str:
    """The end of the daemon's log, on one line."""
    told = _log_end(layout)
    return f": {told[-1][:300]}" if told else ""


def _log_end(layout: Layout) -> list[str]:
    """The last lines of the daemon's log that say something."""
    try:
        with layout.daemon_log.open("rb") as log:
            log.seek(max(0, log.seek(0, os.SEEK_END) - 4000))
            lines = log.read().decode("utf-8", "replace").split("\n")
    except OSError:
        return []
    return [line.strip() for line in lines if line.strip()]


def _to_stderr(text: str) -> None:
    print(text, file=sys.stderr)


def _unexpected(reply: AnyReply) -> Mistake:
    return Mistake(f"the daemon answered with {type(reply).__name__}, which nobody asked for",
                   mend="`andon down` and then `andon up` starts the daemon of this version; agents go on")
