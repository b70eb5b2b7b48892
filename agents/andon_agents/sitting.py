"""A real agent on a terminal of its own, without any daemon: for the conformance kit and for tests. Decides nothing."""

import contextlib
import fcntl
import os
import pty
import shutil
import signal
import struct
import subprocess
import termios
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

import msgspec
import psutil

from andon.schema.agent import Launch, Supervised
from andon.schema.jobs import ASKS, HOOKS, Decision
from andon.schema.signals import AnySignal, AskSettled, Began, Line, Signal

Kind = TypeVar("Kind", bound=Signal)
KEPT = 256 * 1024
"""Bytes of output that are kept."""


def lay(launch: Launch, home: Path) -> None:
    """Write the seeds of a launch into its home, as the daemon does."""
    for seed in launch.seeds:
        path = home / seed.path
        if path.exists() and not seed.always:
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        if seed.copy:
            if Path(seed.copy).is_file():
                shutil.copyfile(seed.copy, path)
                path.chmod(seed.mode)
            continue
        path.write_text(seed.text)
        path.chmod(seed.mode)


class Sitting:
    """A started agent. Leaving the context ends it and everything below it."""

    def __init__(self, adapter: Supervised, launch: Launch, *, home: Path, job: Path, cwd: Path, env: Mapping[str, str]) -> None:
        """Lays the seeds and starts it on a terminal of 140 x 45."""
        lay(launch, home)
        self.adapter, self.job = adapter, job
        self.output = b""
        self.master, inner = pty.openpty()
        fcntl.ioctl(inner, termios.TIOCSWINSZ, struct.pack("HHHH", 45, 140, 0, 0))
        around = {**env, "TERM": "xterm-256color", "PWD": str(cwd), **launch.env}
        for name in launch.drop:
            if name not in launch.env:
                around.pop(name, None)
        self.process = subprocess.Popen(launch.argv, cwd=cwd, env=around, stdin=inner, stdout=inner, stderr=inner,
                                        start_new_session=True, preexec_fn=_take_terminal)
        os.close(inner)
        self._reader = threading.Thread(target=self._drain, daemon=True)
        self._reader.start()

    def __enter__(self) -> Self:
        """Itself."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Ends it."""
        self.end()

    def _drain(self) -> None:
        with contextlib.suppress(OSError):
            while data := os.read(self.master, 65536):
                self.output = (self.output + data)[-KEPT:]

    def press(self, keys: str) -> None:
        """Type at its keyboard."""
        os.write(self.master, keys.encode())

    def decide(self, ask: str, *, allow: bool, text: str = "") -> None:
        """Answer an ask as the daemon does: a file, written aside and renamed."""
        aside = self.job / ASKS / f".{ask}.new"
        aside.write_bytes(msgspec.json.encode(Decision(ask=ask, allow=allow, text=text)))
        aside.rename(self.job / ASKS / f"{ask}.json")

    def lines(self) -> list[Line]:
        """The raw lines of its hooks, then those of its transcript."""
        told = [msgspec.json.decode(raw, type=Line) for raw in _rows(self.job / HOOKS)]
        paths = {began.transcript for line in told for began in self.adapter.read(line) if isinstance(began, Began)}
        for path in sorted(paths - {""}):
            told += [Line(at=0, source="transcript", data=msgspec.Raw(raw)) for raw in _rows(Path(path))]
        return told

    def signals(self, source: str = "") -> list[AnySignal]:
        """What its adapter reads in them so far, of one source or of all."""
        return [one for line in self.lines() if source in ("", line.source) for one in self.adapter.read(line)]

    def wait_for(self, kind: type[Kind], times: int = 1, seconds: float = 60.0) -> Kind:
        """The so-many-th signal of this kind, when it has come. Raises TimeoutError with what was seen."""
        self.wait(lambda: len(self.all(kind)) >= times, f"{times} x {kind.__name__}", seconds)
        return self.all(kind)[times - 1]

    def all(self, kind: type[Kind]) -> list[Kind]:
        """All signals of this kind so far."""
        return [one for one in self.signals() if isinstance(one, kind)]

    def wait(self, done: Callable[[], bool], what: str, seconds: float = 60.0) -> None:
        """Until it is so. Raises TimeoutError with what was seen."""
        end = time.monotonic() + seconds
        while not done():
            if time.monotonic() > end:
                seen = [type(one).__name__ for one in self.signals()]
                raise TimeoutError(f"waited {seconds} s for {what}; signals: {seen}; screen: {self.output[-1500:]!r}")
            time.sleep(0.1)

    def open_asks(self) -> list[str]:
        """Asks of its hooks that nobody has settled."""
        named = [one.ask for one in self.signals("hook") if hasattr(one, "ask") and not isinstance(one, AskSettled)]
        over = {one.ask for one in self.signals("hook") if isinstance(one, AskSettled)}
        return [ask for ask in named if ask not in over]

    def end(self) -> None:
        """Kill it with everything below it, reap it, and close the terminal."""
        with contextlib.suppress(psutil.NoSuchProcess):
            for child in psutil.Process(self.process.pid).children(recursive=True):
                with contextlib.suppress(psutil.NoSuchProcess):
                    child.kill()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self._reader.join(1)
        os.close(self.master)


def _take_terminal() -> None:
    """In the child: the terminal becomes its controlling one, so that ends of lines and signals come as on a screen."""
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


def _rows(path: Path) -> list[bytes]:
    """The whole lines of a file, none when it is not there."""
    with contextlib.suppress(FileNotFoundError):
        return [row for row in path.read_bytes().split(b"\n")[:-1] if row.strip()]
    return []
