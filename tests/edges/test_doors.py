"""Doors in a job's walls: every byte of many callers, the end of each direction, and nothing that can be seen from inside."""

import hashlib
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from andon.edges import process
from andon.schema.sandbox import Forward
from wallkit import PYTHON, ended, launch, make, ready, room_of, run, walls


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Path]:
    with room_of(tmp_path) as room:
        yield room


TALK = """
import hashlib, os, socket, sys, threading
def one(n):
    with socket.create_connection(("127.0.0.1", int(sys.argv[1]))) as s:
        data = os.urandom(64) * int(sys.argv[3])
        threading.Thread(target=lambda: (s.sendall(data), s.shutdown(socket.SHUT_WR))).start()
        got = b""
        while chunk := s.recv(65536): got += chunk
        done[n] = got == hashlib.sha256(data).hexdigest().encode() + data
done = {}
threads = [threading.Thread(target=one, args=(n,)) for n in range(int(sys.argv[2]))]
[t.start() for t in threads]; [t.join() for t in threads]
print(sum(done.values()), "of", len(threads))
"""


class Echo:
    """A unix socket that answers with the digest of all that it got, then with all of it, once its caller has stopped writing."""

    def __init__(self, path: Path) -> None:
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(path))
        self.listener.listen(8)
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                one = self.listener.accept()[0]
            except OSError:
                return
            threading.Thread(target=self._answer, args=(one,), daemon=True).start()

    def _answer(self, one: socket.socket) -> None:
        with one:
            data = b""
            while chunk := one.recv(65536):
                data += chunk
            one.sendall(hashlib.sha256(data).hexdigest().encode() + data)

    def close(self) -> None:
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()


@pytest.fixture
def echo(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "e.sock"
    server = Echo(path)
    yield path
    server.close()


@pytest.mark.parametrize(("level", "callers", "blocks"), [
    ("strict", 60, 400), ("strict", 3, 60_000), ("partial", 20, 400), ("none", 20, 400),
])
def test_a_door_carries_every_byte_of_many_callers_and_the_end_of_each_direction(
    room: Path, echo: Path, level: str, callers: int, blocks: int
) -> None:
    port = 9000 if level == "strict" else free_port()
    box = walls(room, level, forwards=(Forward(port=port, socket=str(echo)),))  # type: ignore[arg-type]
    end, text = run(room, PYTHON, "-I", "-S", "-c", TALK, str(port), str(callers), str(blocks), box=box)
    assert text.strip() == f"{callers} of {callers}" and end.killed == 0, text


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def test_a_door_inward_leads_to_the_agents_own_server(room: Path, tmp_path: Path) -> None:
    path = tmp_path / "in.sock"
    serve = ("import socket; s = socket.create_server(('127.0.0.1', 9100)); print('ready', flush=True)\n"
             "while True:\n c = s.accept()[0]; d = c.recv(100); c.sendall(d.upper()); c.close()")
    door = Forward(port=9100, socket=str(path), inward=True)
    job = make(room, PYTHON, "-I", "-S", "-c", serve, box=walls(room, forwards=(door,)))
    shim = launch(job)
    ready(job)
    for _ in range(3):
        with socket.socket(socket.AF_UNIX) as one:
            one.connect(str(path))
            one.sendall(b"hello")
            assert one.recv(100) == b"HELLO" and one.recv(100) == b""
    assert path.stat().st_mode & 0o777 == 0o600
    shim.terminate()
    shim.wait(20)
    assert ended(job).because == "stopped"


def test_without_a_door_there_is_no_way_to_the_hosts_loopback_and_a_door_cannot_be_seen(room: Path, echo: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        code = (f"import socket, os\ntry: socket.create_connection(('127.0.0.1', {port})); print('through')\n"
                "except OSError as e: print(e)\nprint(len([n for n in os.listdir('/proc') if n.isdigit()]))")
        _, text = run(room, PYTHON, "-I", "-S", "-c", code, box=walls(room, forwards=(Forward(port=9000, socket=str(echo)),)))
    assert "refused" in text and text.split()[-1] == "3"


def test_a_door_to_nobody_closes_its_caller_and_a_port_that_is_taken_refuses_the_job(room: Path, tmp_path: Path) -> None:
    code = "import socket; s = socket.create_connection(('127.0.0.1', 9000)); print(s.recv(10) == b'')"
    box = walls(room, forwards=(Forward(port=9000, socket=str(tmp_path / "nobody")),))
    assert "True" in run(room, PYTHON, "-I", "-S", "-c", code, box=box)[1]
    with socket.create_server(("127.0.0.1", 0)) as server:
        taken = Forward(port=server.getsockname()[1], socket=str(tmp_path / "nobody"))
        end, _ = run(room, "true", box=walls(room, network="host", forwards=(taken,)))
    assert end.because == "not-started" and "Address already in use" in end.sandbox_error and "Free the port" in end.sandbox_error


def test_a_door_costs_nothing_while_nobody_uses_it_and_ends_with_the_job(room: Path, echo: Path) -> None:
    code = ("import socket, time\ns, t = (socket.create_connection(('127.0.0.1', 9000)) for _ in range(2))\n"
            "s.sendall(b'x'); t.close(); print('ready', flush=True); time.sleep(600)")
    job = make(room, PYTHON, "-I", "-S", "-c", code, box=walls(room, forwards=(Forward(port=9000, socket=str(echo)),)))
    shim = launch(job)
    ready(job)
    before = [one.pid for one in process.descendants(shim.pid)]
    used = spent(before)
    time.sleep(0.3)  # what is measured is that nothing happens
    assert spent(before) - used <= 1, "ticks of the processor"
    shim.terminate()
    shim.wait(20)
    assert not any(Path("/proc", str(pid)).exists() for pid in before)


def spent(pids: list[int]) -> int:
    fields = [Path("/proc", str(pid), "stat").read_text().rpartition(")")[2].split() for pid in pids]
    return sum(int(one[11]) + int(one[12]) for one in fields)
