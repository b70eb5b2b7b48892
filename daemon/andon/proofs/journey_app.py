"""Programs of a journey: started, told apart from all others by a mark, and ended with everything that they started."""

import contextlib
import ctypes
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import psutil

from andon.proofs.fact import Unevaluated
from andon.proofs.journey_screen import Broken, Screen

MARK = "ANDON_JOURNEY"
LOG_CHARS = 4000
READ_BYTES = 16 * 1024 * 1024
"""Of what a program printed, looked at for a line."""
REST_S = 0.05
KILL_S = 5.0
ADOPT = 36
"""Linux's PR_SET_CHILD_SUBREAPER: what loses its parent becomes a child of ours, so nothing slips away."""

__all__ = ["App", "Apps", "Broken"]


class App:
    """A program that was started, with its log in a file."""

    def __init__(self, child: "subprocess.Popen[bytes]", log: Path) -> None:
        self._child, self._log = child, log
        self.pid = child.pid

    def alive(self) -> bool:
        """Whether it runs."""
        return self._child.poll() is None

    def code(self) -> int | None:
        """Its exit code."""
        return self._child.poll()

    def said(self, words: str) -> bool:
        """Whether a line that it printed has these words in it."""
        with self._log.open("rb") as file:
            return words.encode() in file.read(READ_BYTES)

    def log(self) -> str:
        """The end of what it printed."""
        return self._log.read_bytes().decode(errors="replace")[-LOG_CHARS:]

    def close(self) -> None:
        """It has ended: take its exit."""
        self._child.wait()

    def ask_to_end(self) -> None:
        """SIGTERM to it and its group, as a service manager does."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGTERM)


class Apps:
    """All programs of one journey."""

    def __init__(self, root: Path, tmp: Path, env: Mapping[str, str], end_within: float) -> None:
        self._root, self._tmp, self._end_within = root, tmp, end_within
        self._mark = secrets.token_hex(8)
        self.env = dict(env)
        self.running: dict[str, App | Screen] = {}
        self._own = {one.pid for one in psutil.Process().children()}
        """Children that somebody else here waits for."""
        if sys.platform == "linux":
            ctypes.CDLL(None).prctl(ADOPT, 1, 0, 0, 0)

    def start(self, name: str, words: list[str]) -> App:
        """Start a program under a name. Raises Broken, or Unevaluated when the machine has no such program."""
        self._free(name, words)
        log = self._tmp / f"{len(list(self._tmp.glob('*.log')))}.log"
        with log.open("wb") as file:
            try:
                child = subprocess.Popen(words, cwd=self._root, env=self._marked(name), stdout=file, stderr=file,
                                         stdin=subprocess.DEVNULL, start_new_session=True)
            except OSError as error:
                raise self._missing(words, error) from None
        app = self.running[name] = App(child, log)
        self._own.add(app.pid)
        return app

    def at_terminal(self, name: str, words: list[str]) -> Screen:
        """Start a program at a terminal of its own."""
        self._free(name, words)
        try:
            screen = Screen(words, self._root, self._marked(name))
        except OSError as error:
            raise self._missing(words, error) from None
        self.running[name] = screen
        self._own.add(screen.pid)
        return screen

    def terminal(self, name: str) -> Screen:
        """The program of this name, when it is at a terminal; else the one that is."""
        found = self.running.get(name)
        if isinstance(found, Screen):
            return found
        screens = [one for one in self.running.values() if isinstance(one, Screen)]
        if len(screens) != 1:
            raise Broken(f"no program `{name}` is at a terminal: start it with `pty`")
        return screens[0]

    def logs(self) -> str:
        """What programs said last, for whom a step failed."""
        return "\n".join(f"--- {name} said:\n{app.log()}" for name, app in self.running.items())

    def stop(self, name: str) -> None:
        """Ask it to end and wait until all of it is gone. Raises Broken when something stays; that is killed all the same."""
        app = self.running.pop(name, None)
        if app is None:
            raise Broken(f"no program `{name}` runs")
        app.ask_to_end()
        end = time.monotonic() + self._end_within
        while (left := self._of(name)) and time.monotonic() < end:
            app.alive()
            time.sleep(REST_S)
        told, log = _told(left), app.log() if left else ""
        _kill(left)
        app.close()
        if left:
            raise Broken(f"{self._end_within:g} s after `{name}` was asked to end, there still was {told}\n{log}")

    def clear(self) -> list[str]:
        """End whatever is left of this journey; what that was."""
        left = [one for one in self._children() if _mark_of(one).startswith(self._mark)]
        told = [_told([one]) for one in left]
        _kill(left)
        for app in self.running.values():
            app.close()
        self._children()
        if sys.platform == "linux":
            ctypes.CDLL(None).prctl(ADOPT, 0, 0, 0, 0)
        return told

    def _free(self, name: str, words: list[str]) -> None:
        if name in self.running:
            raise Broken(f"a program `{name}` runs already: give `{words[0]}` another name with `app`")

    def _missing(self, words: list[str], error: OSError) -> Exception:
        told = f"`{words[0]}` cannot be started: {error.strerror}"
        return Broken(told) if "/" in words[0] and not words[0].startswith("/") else Unevaluated(told)

    def _marked(self, name: str) -> dict[str, str]:
        return {**self.env, MARK: f"{self._mark}/{name}"}

    def _of(self, name: str) -> list[psutil.Process]:
        """What lives of a program, wherever it went."""
        return [one for one in self._children() if _mark_of(one) == f"{self._mark}/{name}"]

    def _children(self) -> list[psutil.Process]:
        """Everything below us that lives. Of what was left to us and has ended, the exit is taken; of our own, their owner does."""
        found = []
        for one in psutil.Process().children(recursive=True):
            with contextlib.suppress(psutil.Error):
                if one.status() != psutil.STATUS_ZOMBIE:
                    found.append(one)
                elif one.ppid() == os.getpid() and one.pid not in self._own:
                    with contextlib.suppress(OSError):
                        os.waitpid(one.pid, os.WNOHANG)
        return found


def _mark_of(one: psutil.Process) -> str:
    try:
        return str(one.environ().get(MARK, ""))
    except (psutil.Error, OSError):
        return ""


def _told(left: list[psutil.Process]) -> str:
    said = []
    for one in left[:5]:
        with contextlib.suppress(psutil.Error):
            said.append(f"`{' '.join(one.cmdline())[:120] or one.name()}` ({one.pid})")
    return ", ".join(said) or "a process"


def _kill(left: list[psutil.Process]) -> None:
    for one in left:
        with contextlib.suppress(psutil.Error):
            one.kill()
    psutil.wait_procs(left, timeout=KILL_S)
