"""At a real terminal ssh-keygen asks for the passphrase itself, for the command line and the screen; who leaves answers nothing."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from andon.schema.ids import TaskId
from factory import UNHELD, Factory, factory, small_repo
from signkit import allow, key, settings
from support import wait_until

STOP = '[policy]\nship = ["**"]\nstop = ["notes/**"]\n'


class Terminal:
    """A terminal of tmux with one program in it, on a socket of its own."""

    def __init__(self, sock: Path, plant: Factory, *words: str) -> None:
        self.sock = sock
        argv = (sys.executable, "-P", "-m", "andon.cli.main", *words)
        self.tmux("-f", "/dev/null", "new-session", "-d", "-x", "150", "-y", "40", *argv, env=plant.env)
        self.tmux("set-option", "-g", "remain-on-exit", "on")

    def tmux(self, *words: str, env: dict[str, str] | None = None) -> str:
        """A command to it; what it says."""
        done = subprocess.run(["tmux", "-S", self.sock, *words], capture_output=True, text=True, check=True, timeout=20,
                              env=env or dict(os.environ))
        return done.stdout

    def text(self) -> str:
        """What stands on it."""
        return self.tmux("capture-pane", "-p")

    def shows(self, words: str) -> None:
        """Wait for these words."""
        wait_until(lambda: words in self.text(), 30, what=f"{words!r} on the terminal")

    def types(self, text: str, *keys: str) -> None:
        """Type this, then press these."""
        if text:
            self.tmux("send-keys", "-l", text)
        for each in keys:
            self.tmux("send-keys", each)


@contextmanager
def terminal(folder: Path, plant: Factory, *words: str) -> Iterator[Terminal]:
    """It ends with its test."""
    made = Terminal(folder / "tmux.sock", plant, *words)
    try:
        yield made
    finally:
        made.tmux("kill-server")


@pytest.fixture
def plant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Factory]:
    monkeypatch.setenv("ANDON_CONFIG_HOME", str(tmp_path / "own"))
    for name in ("SSH_AUTH_SOCK", "SSH_ASKPASS", "DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    public = key(tmp_path / "keys", "ana", "open sesame")
    allow(tmp_path / "own", ana=public)
    with factory(tmp_path / "f", settings=settings("ana", public, {"ana": ("owner",)}, UNHELD)) as made:
        yield made


def asked(plant: Factory, tmp_path: Path) -> TaskId:
    task = plant.add(plant.register(small_repo(tmp_path / "repo", extra=STOP)))
    plant.until(lambda: plant.gate(task), what="the gate")
    return task


def test_the_command_line_hands_the_terminal_over_and_leaving_answers_nothing(plant: Factory, tmp_path: Path) -> None:
    task = asked(plant, tmp_path)
    with terminal(tmp_path, plant, "approve", task) as first:
        first.shows("passphrase")
        first.types("", "C-c")
        wait_until(lambda: first.tmux("display-message", "-p", "#{pane_dead}").strip() == "1", 20, what="the command to end")
    assert plant.gate(task) is not None and "gate.answered" not in plant.kinds()
    with terminal(tmp_path, plant, "approve", task) as second:
        second.shows("passphrase")
        second.types("open sesame", "Enter")
        second.shows("ana approved G1")
        assert "open sesame" not in second.text()
    plant.until_state(task, "done")


def test_the_screen_hands_the_terminal_over_and_comes_back(plant: Factory, tmp_path: Path) -> None:
    task = asked(plant, tmp_path)
    with terminal(tmp_path, plant, "screen") as shown:
        shown.shows("Land T1")
        shown.types("a")
        shown.shows("Enter or y sends it")
        shown.types("y")
        shown.shows("passphrase")
        shown.types("", "C-c")
        shown.shows("Land T1")
        assert plant.gate(task) is not None and "gate.answered" not in plant.kinds()
        shown.types("a")
        shown.shows("Enter or y sends it")
        shown.types("y")
        shown.shows("passphrase")
        shown.types("open sesame", "Enter")
        plant.until_state(task, "done")
        shown.shows("nobody waits for you")
