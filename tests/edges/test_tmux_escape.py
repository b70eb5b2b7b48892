"""What a pane writes stays in the pane: no clipboard, no passthrough, no title reaches the terminal of who looks at it."""

import asyncio
import fcntl
import os
import pty
import struct
import subprocess
import termios
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from andon.edges.tmux import server_argv
from andon.schema.layout import Layout
from support import wait_until
from tmuxkit import private_tmux

WORD = "cGxhbnRlZA=="
HOSTILE = {
    "clipboard": f"\x1b]52;c;{WORD}\x07", "clipboard by its other end": f"\x1b]52;c;{WORD}\x1b\\",
    "clipboard, selection": f"\x1b]52;p;{WORD}\x07", "passthrough": f"\x1bPtmux;\x1b\x1b]52;c;{WORD}\x07\x1b\\",
    "title": f"\x1b]0;{WORD}\x07", "title of screen": f"\x1bk{WORD}\x1b\\", "notification": f"\x1b]777;notify;{WORD};x\x07",
    "notification, other": f"\x1b]9;{WORD}\x07", "palette": f"\x1b]4;1;{WORD}\x07",
    "iterm file": f"\x1b]1337;File=name={WORD}:aGk=\x07",
    "sixel": f"\x1bPq{WORD}\x1b\\", "apc": f"\x1b_G{WORD}\x1b\\", "pm": f"\x1b^{WORD}\x1b\\",
    "clipboard in C1": f"\xc2\x9d52;c;{WORD}\xc2\x9c",
}


class Terminal:
    """A person's terminal with tmux attached in it, and all that it was sent."""

    def __init__(self, place: Layout, session: str) -> None:
        self.got = b""
        self.master, inner = pty.openpty()
        fcntl.ioctl(inner, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        env = {"PATH": os.environ["PATH"], "TERM": "xterm-256color", "HOME": str(place.home), "LANG": "C.UTF-8"}
        argv = [*server_argv(place), "attach-session", "-t", f"={session}"]
        self.client = subprocess.Popen(argv, stdin=inner, stdout=inner, stderr=inner, env=env, start_new_session=True)
        os.close(inner)
        self._reader = threading.Thread(target=self._drain)
        self._reader.start()

    def _drain(self) -> None:
        while True:
            try:
                data = os.read(self.master, 65536)
            except OSError:
                return
            if not data:
                return
            self.got += data

    def close(self) -> None:
        """End exactly this client."""
        self.client.kill()
        self.client.wait()
        self._reader.join(10)
        os.close(self.master)


@contextmanager
def attached(place: Layout, session: str) -> Iterator[Terminal]:
    terminal = Terminal(place, session)
    try:
        yield terminal
    finally:
        terminal.close()


async def shown(folder: Path, loosened: tuple[str, ...] = ()) -> tuple[str, str]:
    """What a terminal was sent after a pane wrote every hostile sequence, and what tmux keeps as its clipboard."""
    async with private_tmux(folder / "f") as server:
        return await asyncio.to_thread(written, server.layout, folder, loosened)


def written(place: Layout, folder: Path, loosened: tuple[str, ...]) -> tuple[str, str]:
    script = folder / "pane.sh"
    for n, text in enumerate(HOSTILE.values()):
        (folder / f"{n}.bin").write_bytes(text.encode())
    names = " ".join(f"'{folder}/{n}.bin'" for n in range(len(HOSTILE)))
    script.write_text(f"cat {names}; echo; echo at-the-end; exec sleep 60\n")
    argv = server_argv(place)
    for option in loosened:
        subprocess.run([*argv, "set", *option.split()], check=True)
    subprocess.run([*argv, "new-session", "-d", "-s", "looked-at", "-x", "80", "-y", "23", "exec sleep 60"], check=True)
    with attached(place, "looked-at") as terminal:
        wait_until(lambda: b"looked-at" in terminal.got, 20, what="the attached client")
        subprocess.run([*argv, "respawn-pane", "-k", "-t", "=looked-at:", f"sh {script}"], check=True)
        wait_until(lambda: b"at-the-end" in terminal.got, 20, what="what the pane wrote")
    kept = subprocess.run([*argv, "list-buffers"], capture_output=True, text=True, check=False).stdout
    return terminal.got.decode(errors="replace"), kept


LEADS = {"OSC 52": "\x1b]52", "OSC 0": "\x1b]0;", "OSC 2": "\x1b]2;", "OSC 9": "\x1b]9;", "OSC 777": "\x1b]777",
         "OSC 1337": "\x1b]1337",
         "OSC 4": "\x1b]4;", "DCS": "\x1bP", "APC": "\x1b_", "PM": "\x1b^"}


async def test_no_sequence_of_a_pane_reaches_the_persons_terminal_or_clipboard(tmp_path: Path) -> None:
    got, kept = await shown(tmp_path)
    assert [name for name, lead in LEADS.items() if lead in got] == [] and kept == ""
    assert WORD not in got.replace(f"52;c;{WORD}", ""), "at most the C1 form is drawn, as text"


@pytest.mark.parametrize(("option", "lead"), [("-s set-clipboard on", "\x1b]52"), ("-gw allow-passthrough on", "\x1b]52;c")])
async def test_without_our_configuration_the_terminal_would_get_them(tmp_path: Path, option: str, lead: str) -> None:
    got, _ = await shown(tmp_path, (option,))
    assert lead in got and WORD in got
