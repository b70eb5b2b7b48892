"""Idle is free: with nothing to do, and with agents that hang, the daemon starts, writes and sends nothing, and sleeps."""

import json
import os
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from andon.schema.ids import RepoId
from factory import UNHELD, Factory, small_repo
from support import wait_until

WINDOW_S = 5.0
AGENTS = 20
TICK = os.sysconf("SC_CLK_TCK")

SPIED = """
import os, sys
told = os.open(os.environ["SPY"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
def spy(name, args):
    if name in NAMES:
        os.write(told, f"{name} {args[:2]!r}\\n".encode())
NAMES = {"subprocess.Popen", "os.fork", "os.forkpty", "os.posix_spawn", "os.exec", "os.system", "open", "os.listdir", "os.scandir",
         "os.rename", "os.remove", "os.mkdir", "socket.connect", "socket.bind", "sqlite3.connect", "shutil.rmtree"}
sys.addaudithook(spy)
from andon.cli.main import main
sys.exit(main(["daemon"]))
"""
"""A daemon that leaves a line for each process that it starts and each file, directory or socket that it opens."""


class Spent:
    """What a process has used up to now, all its threads together."""

    def __init__(self, plant: Factory, spy: Path) -> None:
        assert plant.process is not None
        proc = Path("/proc") / str(plant.process.pid)
        self.at = time.monotonic()
        self.wakings = sum(int(line.split()[1]) for status in proc.glob("task/*/status") for line in status.read_text().splitlines()
                           if line.startswith("voluntary_ctxt_switches"))
        fields = (proc / "stat").read_text().rpartition(")")[2].split()
        self.cpu = (int(fields[11]) + int(fields[12])) / TICK
        io = dict(line.split(": ") for line in (proc / "io").read_text().splitlines())
        self.written, self.writes, self.reads = int(io["write_bytes"]), int(io["syscw"]), int(io["syscr"])
        self.rows = len(plant.events())
        self.deeds = spy.read_text().splitlines()


@pytest.fixture
def spy(tmp_path: Path) -> Path:
    return tmp_path / "spy"


@pytest.fixture
def plant(tmp_path: Path, spy: Path) -> Iterator[Factory]:
    made = Factory(tmp_path / "f", {"SPY": str(spy)})
    made.layout.config.mkdir(parents=True, exist_ok=True)
    made.layout.person_settings.write_text(f"{UNHELD}[factory]\nwip = {AGENTS}\n")
    try:
        made.start(program=("-c", SPIED))
        yield made
    finally:
        made.close()


def apart(deeds: list[str]) -> tuple[list[str], int]:
    """What was done beside passes over the process table, and how many of those there were: while silent agents are not yet
    known to hang there is one now and then, for all of them together."""
    return [deed for deed in deeds if "/proc" not in deed], sum("listdir ('/proc'" in deed for deed in deeds)


class Face:
    """A subscribed client that counts what it is sent, without this test's client library."""

    def __init__(self, plant: Factory) -> None:
        self._sock = socket.socket(socket.AF_UNIX)
        self._sock.connect(str(plant.layout.socket))
        self._sock.sendall(b'{"type":"hello","protocol":1,"face":"test"}\n{"type":"subscribe","id":1}\n')
        self._sock.setblocking(False)
        self.frames: list[str] = []
        wait_until(lambda: "snapshot" in self.kinds(), what="the snapshot")

    def kinds(self) -> list[str]:
        """The types of all messages so far."""
        try:
            while data := self._sock.recv(1 << 20):
                self.frames.append(data.decode())
        except BlockingIOError:
            pass
        return [json.loads(line)["type"] for line in "".join(self.frames).splitlines()]

    def close(self) -> None:
        self._sock.close()


def window(plant: Factory, spy: Path, face: Face, seconds: float = WINDOW_S) -> tuple[Spent, Spent, list[str]]:
    """What the daemon spends over a measured time, and the messages that a face got in it."""
    heard = len(face.kinds())
    before = Spent(plant, spy)
    wait_until(lambda: time.monotonic() > before.at + seconds, seconds + 10, what="the window to pass")
    return before, Spent(plant, spy), face.kinds()[heard:]


def settled(plant: Factory, spy: Path, face: Face, calm_s: float) -> None:
    """Until nothing has been recorded, sent or looked at for a while."""
    last: tuple[int, int, int] = (0, 0, 0)
    since = time.monotonic()

    def calm() -> bool:
        nonlocal last, since
        now = (len(plant.events()), len(face.kinds()), spy.stat().st_size)
        if now != last:
            last, since = now, time.monotonic()
        return time.monotonic() - since > calm_s

    wait_until(calm, 90, what="the factory to settle")


@pytest.mark.skipif(sys.platform != "linux", reason="/proc")
@pytest.mark.parametrize("agents", [0, AGENTS])
def test_an_idle_factory_starts_writes_sends_and_wakes_nothing(plant: Factory, spy: Path, tmp_path: Path, agents: int) -> None:
    name = plant.register(small_repo(tmp_path / "repo", extra=f"[factory]\nwip = {AGENTS}\n"))
    for n in range(agents):
        plant.add(name, "hang-silent", title=f"task {n}")
    plant.until(lambda: sum(1 for one in plant.sessions() if one.started) == agents, 90, what="all agents")
    face = Face(plant)
    settled(plant, spy, face, 7.0 if agents else 2.5)
    before, after, heard = window(plant, spy, face)
    seconds = after.at - before.at
    deeds, passes = apart(after.deeds[len(before.deeds):])
    assert deeds == [] and passes <= (1 if agents else 0)
    assert after.rows == before.rows and len(heard) <= passes
    assert passes or (after.written == before.written and after.writes == before.writes and after.reads == before.reads)
    assert (after.wakings - before.wakings) / seconds < 1
    assert (after.cpu - before.cpu) / seconds < 0.01
    assert plant.process is not None and psutil.Process(plant.process.pid).net_connections("inet") == []
    assert len([one for one in plant.sessions() if one.health in ("starting", "working", "unknown")]) == agents
    counts_can_move(plant, spy, face, name, full=agents > 0)
    face.close()


def counts_can_move(plant: Factory, spy: Path, face: Face, name: RepoId, *, full: bool) -> None:
    """The same counters over a factory that has something to do: each of them sees it. A full factory only takes note of it."""
    heard = len(face.kinds())
    before = Spent(plant, spy)
    plant.until_state(plant.add(name, title="work"), "queued" if full else "done")
    plant.until(lambda: Spent(plant, spy).rows > before.rows and len(face.kinds()) > heard, what="rows and frames")
    after = Spent(plant, spy)
    assert after.writes > before.writes and after.wakings > before.wakings and after.written > before.written
    assert full or any("subprocess.Popen" in deed for deed in after.deeds[len(before.deeds):])
