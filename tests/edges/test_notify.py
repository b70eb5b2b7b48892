"""A service manager is told the truth: ready when it is so, alive when it was proven, and nothing at all where there is none."""

import asyncio
import os
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from andon.edges.notify import SERVICE, VARIABLES, Manager, apart, umask
from support import wait_for


class Ear:
    """The manager's end: a real datagram socket."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(path))
        self.socket.setblocking(False)

        self.ever: list[str] = []

    def heard(self) -> list[str]:
        """All lines since the last look."""
        lines: list[str] = []
        while True:
            try:
                lines += self.socket.recv(4096).decode().split("\n")
            except BlockingIOError:
                self.ever += lines
                return lines

    def count(self, line: str) -> int:
        """How often this was heard so far."""
        self.heard()
        return self.ever.count(line)


@pytest.fixture
def ear(tmp_path: Path) -> Iterator[Ear]:
    made = Ear(tmp_path / "notify")
    yield made
    made.socket.close()


def test_the_environment_is_read_once_and_nothing_of_it_reaches_a_child(ear: Ear) -> None:
    environ = {"NOTIFY_SOCKET": str(ear.path), "WATCHDOG_USEC": "3000000", "WATCHDOG_PID": str(os.getpid()), "PATH": "/bin",
               "LISTEN_FDS": "0", "LISTEN_PID": "1", "LISTEN_FDNAMES": "x"}
    manager = Manager.found(environ)
    assert environ == {"PATH": "/bin"} and not {*environ} & {*VARIABLES}
    assert manager.present and manager.watchdog_s == 3.0
    assert manager.tell("STATUS=one", "READY=1") and ear.heard() == ["STATUS=one", "READY=1"]


@pytest.mark.parametrize("said", [{}, {"NOTIFY_SOCKET": ""}, {"NOTIFY_SOCKET": "relative", "WATCHDOG_USEC": "5"},
                                  {"WATCHDOG_USEC": "5000000"}])
async def test_without_a_manager_nothing_is_sent_and_nothing_is_asked(said: dict[str, str]) -> None:
    manager = Manager.found(dict(said))
    asked: list[int] = []

    async def question() -> None:
        asked.append(1)

    await asyncio.wait_for(manager.report(asyncio.Event(), [question], "up"), 1)
    assert not manager.present and not manager.watchdog_s and not asked and not manager.tell("READY=1")


@pytest.mark.parametrize(("usec", "pid", "wanted"), [("2000000", "", 2.0), ("2000000", "1", 0.0), ("-5", "", 0.0), ("x", "", 0.0)])
def test_a_watchdog_of_another_process_or_without_sense_is_none(ear: Ear, usec: str, pid: str, wanted: float) -> None:
    assert Manager.found({"NOTIFY_SOCKET": str(ear.path), "WATCHDOG_USEC": usec, "WATCHDOG_PID": pid}).watchdog_s == wanted


def test_an_abstract_address_is_understood() -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as there:
        there.bind(f"\0andon-test-{os.getpid()}")
        assert Manager(f"@andon-test-{os.getpid()}").tell("READY=1") and there.recv(99) == b"READY=1"


def test_a_manager_that_went_away_harms_nothing(ear: Ear) -> None:
    manager = Manager(str(ear.path))
    ear.socket.close()
    assert not manager.tell("WATCHDOG=1")


class Answers:
    """A part of the daemon that is asked whether it lives."""

    def __init__(self) -> None:
        self.well = asyncio.Event()
        self.asked = 0

    async def __call__(self) -> None:
        self.asked += 1
        await self.well.wait()


async def test_ready_is_said_only_when_the_door_is_open_and_every_question_was_answered(ear: Ear) -> None:
    manager, ready, loop, writer = Manager(str(ear.path)), asyncio.Event(), Answers(), Answers()
    async with asyncio.TaskGroup() as group:
        telling = group.create_task(manager.report(ready, [loop, writer], "running,\n12 events"))
        await asyncio.sleep(0)
        assert not loop.asked and ear.heard() == []
        ready.set()
        await wait_for(lambda: loop.asked, what="the question")
        assert ear.heard() == []
        loop.well.set()
        await wait_for(lambda: writer.asked, what="the second question")
        assert ear.heard() == []
        writer.well.set()
        await telling
    assert ear.heard() == ["READY=1", "STATUS=running, 12 events"]


@pytest.mark.parametrize("sick", [0, 1])
async def test_the_watchdog_hears_nothing_while_one_of_both_does_not_answer(ear: Ear, sick: int) -> None:
    manager, ready, both = Manager(str(ear.path), watchdog_s=0.03), asyncio.Event(), (Answers(), Answers())
    ready.set()
    for one in both:
        one.well.set()
    async with asyncio.TaskGroup() as group:
        telling = group.create_task(manager.report(ready, both, "up"))
        await wait_for(lambda: ear.count("WATCHDOG=1") >= 3, what="signs of life")
        both[sick].well.clear()
        asked = both[sick].asked
        await wait_for(lambda: both[sick].asked > asked, what="a question")
        ear.heard()
        await asyncio.wait([telling], timeout=0.15)
        assert ear.heard() == []
        both[sick].well.set()
        await wait_for(lambda: "WATCHDOG=1" in ear.heard(), what="a sign of life again")
        telling.cancel()


async def test_leaving_asks_for_more_time_again_and_again_but_not_for_ever(ear: Ear, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("andon.edges.notify.PATIENCE_S", 0.02)
    monkeypatch.setattr("andon.edges.notify.LEAVING_S", 0.05)
    Manager(str(ear.path)).leaving("asked\nto")
    await wait_for(lambda: ear.count("STOPPING=1") == 5, what="requests for time")
    await asyncio.wait([asyncio.ensure_future(asyncio.sleep(0.05))])
    assert ear.heard() == [] and ear.ever[:3] == ["STOPPING=1", "STATUS=leaving: asked to", "EXTEND_TIMEOUT_USEC=20000"]


# --- sockets that somebody listens on for us ----------------------------------------------------------------------------

CHILD = """
import os, sys
from pathlib import Path
from andon.edges.notify import Manager
from andon.schema.errors import Mistake
try:
    found = Manager.found().socket_at(Path(sys.argv[1]))
except Mistake as mistake:
    print("mistake", mistake.problem.mend)
else:
    open_fds = [fd for fd in (3, 4, 5) if os.path.exists(f"/proc/self/fd/{fd}")]
    print(found and found.getsockname(), open_fds, found is not None and os.get_inheritable(found.fileno()))
"""


def given(path: Path, *fds: int, pid: str = "") -> str:
    """What a daemon makes of descriptors that it inherits as 3, 4 and so on."""
    orders = "; ".join(f"exec {3 + n}<&{fd}" for n, fd in enumerate(fds))
    script = f"{orders}; LISTEN_PID={pid or '$$'} LISTEN_FDS={len(fds)} exec {sys.executable} -c \"$0\" \"$1\""
    argv = ["bash", "-c", script, CHILD, str(path)]
    done = subprocess.run(argv, pass_fds=fds, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture
def door(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(tmp_path / "door"))
        (tmp_path / "door").chmod(0o600)
        made.listen()
        yield made


def spare(fd: int) -> int:
    """A copy far from the numbers that the shell hands on."""
    import fcntl

    return fcntl.fcntl(fd, fcntl.F_DUPFD, 40)


def test_the_socket_of_our_path_is_taken_and_no_child_inherits_it(door: socket.socket, tmp_path: Path) -> None:
    fd = spare(door.fileno())
    assert given(tmp_path / "door", fd) == f"{tmp_path / 'door'} [3] False"
    os.close(fd)


def test_what_is_not_our_listening_socket_is_closed(door: socket.socket, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as deaf, (tmp_path / "file").open("w") as file:
        deaf.bind(str(tmp_path / "deaf"))
        fds = [spare(door.fileno()), spare(deaf.fileno()), spare(file.fileno())]
        assert given(tmp_path / "other", *fds) == "None [] False"
        assert given(tmp_path / "deaf", *fds) == "None [] False"
        for fd in fds:
            os.close(fd)


def test_descriptors_that_are_meant_for_another_process_are_left_alone(door: socket.socket, tmp_path: Path) -> None:
    fd = spare(door.fileno())
    assert given(tmp_path / "door", fd, pid="1") == "None [3] False"
    os.close(fd)


def test_a_socket_that_others_can_reach_is_refused(door: socket.socket, tmp_path: Path) -> None:
    (tmp_path / "door").chmod(0o666)
    fd = spare(door.fileno())
    assert "SocketMode=0600" in given(tmp_path / "door", fd)
    os.close(fd)
    assert stat.S_IMODE((tmp_path / "door").stat().st_mode) == 0o666


def test_what_must_outlive_the_daemon_is_set_apart_only_under_our_own_unit(monkeypatch: pytest.MonkeyPatch) -> None:
    assert apart() == ()
    assert umask() == -1
    for said, wanted in (("0022", 0o022), ("77777", -1), ("x", -1), ("8", -1)):
        monkeypatch.setenv("ANDON_UMASK", said)
        assert umask() == wanted
    monkeypatch.setenv(SERVICE, "1")
    assert apart()[:3] == ("systemd-run", "--user", "--scope")
