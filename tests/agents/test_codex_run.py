"""The program in the pane of a Codex session, with stand-ins for server and screen: both end together, whichever is first."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from andon_agents import codex_run
from support import wait_until

SERVER = """
import os, socket, sys, time
s = socket.socket(socket.AF_UNIX)
s.bind(sys.argv[1])
s.listen()
open(sys.argv[2], "w").write(str(os.getpid()))
time.sleep(600)
"""
SCREEN = """
import os, sys, time
open(sys.argv[1], "w").write(str(os.getpid()))
print(os.environ.get("TMPDIR"))
time.sleep(float(sys.argv[2]))
sys.exit(7)
"""


class Pane:
    """A run of the program."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.socket = folder, folder / "codex.sock"
        self.process: subprocess.Popen[str] | None = None

    def start(self, server: list[str] | None = None, *, seconds: float = 600, **env: str) -> "subprocess.Popen[str]":
        """Start it."""
        told = {"server": server or [sys.executable, "-c", SERVER, str(self.socket), str(self.folder / "server.pid")],
                "screen": [sys.executable, "-c", SCREEN, str(self.folder / "screen.pid"), str(seconds)], "socket": str(self.socket),
                "log": str(self.folder / "log"), "scratch": str(self.folder / "scratch")}
        (self.folder / "run.json").write_text(json.dumps(told))
        argv = [sys.executable, "-I", "-S", str(Path(codex_run.__file__)), str(self.folder / "run.json")]
        self.process = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, stdin=subprocess.DEVNULL,
                                        env={"PATH": os.environ["PATH"], **env})
        return self.process

    def pid(self, name: str) -> int:
        """The pid of one of the two, once it runs."""
        path = self.folder / f"{name}.pid"
        wait_until(lambda: path.exists() and path.read_text(), what=name)
        return int(path.read_text())

    def gone(self, name: str) -> bool:
        """Whether it runs no more."""
        return not Path(f"/proc/{self.pid(name)}").exists()


@pytest.fixture
def pane(tmp_path: Path) -> Iterator[Pane]:
    place = Pane(tmp_path)
    yield place
    if place.process:
        if place.process.poll() is None:
            place.process.terminate()
        place.process.communicate(timeout=20)


def test_a_server_that_does_not_start_says_why_in_the_pane(pane: Pane) -> None:
    process = pane.start(["/bin/sh", "-c", "echo no such setting >&2; exit 3"])
    words, _ = process.communicate(timeout=20)
    assert process.returncode == codex_run.SERVER_FIRST and "no such setting" in words and "code 3" in words


def test_the_screens_end_is_the_sessions_end_with_its_code(pane: Pane) -> None:
    process = pane.start(seconds=0.1)
    assert process.wait(20) == 7
    assert pane.gone("server") and not os.path.lexists(pane.socket), "and its socket is cleared"


@pytest.mark.parametrize(("first", "other", "code"), [("server", "screen", codex_run.SERVER_FIRST), ("screen", "server", 137)])
def test_one_that_is_killed_takes_the_other_along(pane: Pane, first: str, other: str, code: int) -> None:
    process = pane.start()
    pane.pid(other)
    os.kill(pane.pid(first), signal.SIGKILL)
    assert process.wait(20) == code
    assert pane.gone(other)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_both(pane: Pane, number: signal.Signals) -> None:
    process = pane.start()
    pane.pid("screen")
    process.send_signal(number)
    assert process.wait(20) == 128 + number
    assert pane.gone("server") and pane.gone("screen")


def test_a_link_of_somebody_else_is_never_followed_to_a_file(pane: Pane) -> None:
    treasure = pane.folder / "treasure"
    treasure.write_text("x")
    pane.socket.symlink_to(treasure)
    process = pane.start(seconds=0.1)
    assert process.wait(20) == 7
    assert treasure.read_text() == "x"


def test_the_temporary_directory_is_moved_only_when_the_home_lies_below_it(pane: Pane) -> None:
    words, _ = pane.start(seconds=0, TMPDIR=str(pane.folder), CODEX_HOME=str(pane.folder / "home")).communicate(timeout=20)
    assert str(pane.folder / "scratch") in words
    words, _ = pane.start(seconds=0, TMPDIR=str(pane.folder), CODEX_HOME="/elsewhere").communicate(timeout=20)
    assert f"{pane.folder}\n" in words
