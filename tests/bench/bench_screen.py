"""Figures of the screen over a real terminal: cold start of `andon`, bytes and time when one card changes, bytes of standing still.

    python tests/bench/bench_screen.py [--quick] [--json FILE]

The board of 60 tasks in a 160 x 45 pty, fed by the true server on a true socket.
"""

import argparse
import fcntl
import json
import os
import platform
import pty
import select
import signal
import struct
import subprocess
import sys
import tempfile
import termios
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from andon.schema.layout import layout
from andon.schema.views import AnyView
from bench.benchkit import cpu_of, spread
from fakeoffice import FakeDaemon, FakeOffice, a_shop, a_task

WIDTH, HEIGHT = 160, 45
STATES = ("queued", "building", "checking", "landing", "done", "paused")
LAST = "the last card of all"
"""Words of a card in sight: once they were written, the first frame that is worth reading is there."""


class Terminal:
    """`andon` alone, in a pty of its own."""

    def __init__(self, home: Path) -> None:
        self.began = time.perf_counter()
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", HEIGHT, WIDTH, 0, 0))
            env = {**os.environ, "TERM": "xterm-256color", "COLORTERM": "truecolor", "ANDON_HOME": str(home), "LANG": "C.UTF-8"}
            script = Path(sys.executable).with_name("andon")
            os.execve(script, [str(script)], env)
        os.set_blocking(self.fd, False)

    def read(self, seconds: float, until: bytes = b"") -> tuple[bytes, float]:
        """What was written within a time, or until it holds these words; and when its last byte came."""
        told, last, end = bytearray(), time.perf_counter(), time.perf_counter() + seconds
        while (left := end - time.perf_counter()) > 0 and not (until and until in told):
            if select.select([self.fd], [], [], left)[0]:
                told += os.read(self.fd, 1 << 20)
                last = time.perf_counter()
        return bytes(told), last

    def calm(self) -> None:
        """Read until nothing came for half a second."""
        while self.read(0.5)[0]:
            pass

    def close(self) -> None:
        """End it."""
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        os.close(self.fd)


def cards() -> list[AnyView]:
    """Sixty tasks over the states of a board."""
    tasks = [a_task(n, state=STATES[n % len(STATES)], title=f"task number {n}", since=1_000_000 * n) for n in range(1, 60)]
    return [*a_shop("/shop"), *tasks, a_task(60, state="building", title=LAST, attention="look at me")]


def measure(quick: bool) -> dict[str, Any]:
    """All figures."""
    with tempfile.TemporaryDirectory(prefix="andon-bench-") as folder:
        home = Path(folder) / "f"
        os.environ["ANDON_HOME"] = str(home)
        with FakeDaemon(layout(home), FakeOffice(*cards())) as daemon:
            found: dict[str, Any] = {"python -c pass, ms": spread([bare() for _ in range(5)])}
            starts = [cold_start(home) for _ in range(3 if quick else 10)]
            found["andon to the first full frame of the board, ms"] = spread([ms for ms, _ in starts])
            found["bytes until then"] = spread([float(size) for _, size in starts])
            screen = Terminal(home)
            try:
                screen.read(30, LAST.encode())
                screen.calm()
                found |= changes(screen, daemon, 10 if quick else 40)
                found |= standing(screen, 3.0 if quick else 10.0)
            finally:
                screen.close()
    return found


def bare() -> float:
    """The interpreter alone."""
    began = time.perf_counter()
    subprocess.run((sys.executable, "-c", "pass"), check=True)
    return (time.perf_counter() - began) * 1000


def cold_start(home: Path) -> tuple[float, int]:
    """Milliseconds and bytes until the board is there."""
    screen = Terminal(home)
    try:
        told, last = screen.read(30, LAST.encode())
        assert LAST.encode() in told, told[-2000:].decode(errors="replace")
        return (last - screen.began) * 1000, len(told)
    finally:
        screen.close()


def changes(screen: Terminal, daemon: FakeDaemon, rounds: int) -> dict[str, Any]:
    """One card after the other gets other words, and one moves to another column."""
    words, moves, waits = list[float](), list[float](), list[float]()
    for n in range(rounds):
        began = time.perf_counter()
        daemon.publish(a_task(60, state="building", title=LAST, attention="look at me", says=f"step {n}", insertions=n))
        told, last = screen.read(0.6)
        words.append(len(told))
        waits += [(last - began) * 1000] if told else []
        daemon.publish(a_task(7, state=STATES[n % 3], title="task number 7", since=7_000_000))
        moves.append(len(screen.read(0.6)[0]))
    return {"bytes when one card gets other words": spread(words), "bytes when one card moves to another column": spread(moves),
            "change to the last byte of its frame, ms": spread(waits) if waits else {}}


def standing(screen: Terminal, seconds: float) -> dict[str, Any]:
    """What a board costs on which nothing changes."""
    screen.calm()
    before = cpu_of(screen.pid)
    told = screen.read(seconds)[0]
    return {f"standing still for {seconds:.0f} s": {
        "bytes": len(told), "cpu_percent": round(100 * (cpu_of(screen.pid) - before) / seconds, 2)}}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    conditions = {"cpus": os.cpu_count(), "load": os.getloadavg()[0], "python": platform.python_version(), "quick": asked.quick}
    print(json.dumps(conditions))
    report = measure(asked.quick)
    for name, figures in report.items():
        print(f"{name:<56} " + "  ".join(f"{key} {value:,}" for key, value in figures.items()))
    told = json.dumps({"conditions": conditions, "screen": report})
    if asked.json:
        asked.json.write_text(told)
    else:
        print(told)


if __name__ == "__main__":
    main()
