"""The door that leads inwards, as the daemon asks for it: one user's alone, unknown inside, and no work of the agent's."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

import gitkit
from andon.edges import enclose, jobs, process, sandbox, seccomp
from andon.edges.sandbox import reached
from andon.edges.tree import Root, Trees
from andon.schema.ids import AttemptId
from andon.schema.jobs import DOOR, Job
from andon.schema.sandbox import Level
from andon.schema.settings import Walls
from support import wait_until
from wallkit import PYTHON, launch, survivors

SERVE = """
import os, socket, sys
one = socket.create_server(("127.0.0.1", int(sys.argv[1])))
while True:
    near = one.accept()[0]
    with near:
        asked = near.recv(1000).decode().split(" ")
        if asked == [""]:
            continue
        if asked[0] == "exists":
            near.sendall(str(os.path.lexists(asked[1])).encode())
        else:
            try:
                socket.create_connection(("127.0.0.1", int(asked[1])), 2).close()
                near.sendall(b"connected")
            except OSError as error:
                near.sendall(type(error).__name__.encode())
"""


class Inside:
    """A server within the walls that the daemon would build around an agent."""

    def __init__(self, folder: Path, level: Level, doors: enclose.Doors) -> None:
        self.job = folder / ("deep-" * 20) / "job0"
        self.job.mkdir(parents=True)
        self.checkout = gitkit.make_repo(folder / "checkout", {"a": "1\n"})
        self.port = free_port()
        argv = (PYTHON, "-I", "-S", "-c", SERVE, str(self.port))
        box, env = enclose.agent(
            Walls(level=level, network="allow-list"), job=self.job, checkout=self.checkout, home=folder / "home", argv=argv,
            git_dir=str(self.checkout / ".git"), env={"PATH": "/usr/bin:/bin", "ANDON_TREE": str(self.job)}, ours=(), doors=doors,
            port=self.port,
        )
        assert box is not None
        self.box, self.env = box, env
        jobs.write_job(self.job, Job(name="job0", argv=argv, cwd=str(self.checkout), env=env, sandbox=box, grace_s=0.2))
        self.shim = launch(self.job)
        wait_until(lambda: self.ask(f"exists {self.checkout}") == "True", 20, what="the server behind its door")

    def ask(self, words: str) -> str:
        """What the server inside says; empty when nobody is there."""
        with socket.socket(socket.AF_UNIX) as one:
            try:
                one.connect(self.short())
                one.sendall(words.encode())
                return one.recv(100).decode()
            except OSError:
                return ""

    def short(self) -> str:
        """A path that a socket may have."""
        link = self.checkout.parent / "short"
        if not link.exists():
            link.symlink_to(self.job)
        return str(link / DOOR)

    def end(self) -> None:
        """Stop it."""
        self.shim.terminate()
        self.shim.wait(20)
        assert survivors(self.job.parent) == []


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@pytest.fixture(params=["strict", "partial"])
def inside(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Inside]:
    if reached(request.param).level != request.param:
        pytest.skip(reached(request.param).because)
    with socket.create_server(("127.0.0.1", 0)) as gateway:
        made = Inside(tmp_path, request.param, enclose.Doors(gateway=str(tmp_path / "g"), gateway_port=gateway.getsockname()[1],
                                                             proxy=str(tmp_path / "p")))
        yield made
        made.end()


def test_it_is_one_users_alone_and_does_not_exist_inside(inside: Inside) -> None:
    assert (inside.job / DOOR).stat().st_mode & 0o777 == 0o600
    if inside.box.level == "strict":
        assert inside.ask(f"exists {inside.job / DOOR}") == "False"


def test_inside_only_the_ports_of_doors_can_be_connected_to(inside: Inside) -> None:
    assert inside.ask(f"connect {inside.port}") == "connected"
    with socket.create_server(("127.0.0.1", 0)) as theirs:
        assert inside.ask(f"connect {theirs.getsockname()[1]}") in ("PermissionError", "ConnectionRefusedError")


def test_the_gateway_is_reached_at_its_own_port_at_every_level(inside: Inside, tmp_path: Path) -> None:
    port = next((one.port for one in inside.box.forwards if one.socket.endswith("/g")), 0) or inside.box.ports[0]
    assert inside.ask(f"connect {port}") == "connected"
    assert bool(inside.box.ports) == (inside.box.level == "partial")


def test_two_jobs_behind_partial_walls_have_ways_of_their_own(tmp_path: Path) -> None:
    ways = [enclose.ways_out("allow-list", enclose.Doors(proxy="/p"), "partial") for _ in range(2)]
    with socket.socket() as held:
        held.bind(("127.0.0.1", ways[0][0][0].port))
        assert enclose.ways_out("allow-list", enclose.Doors(proxy="/p"), "partial")[0][0].port != ways[0][0][0].port
    assert all(env["HTTPS_PROXY"].endswith(f":{forwards[0].port}") for forwards, env in ways)
    (strict, _) = enclose.ways_out("allow-list", enclose.Doors(proxy="/p"), "strict")
    assert strict[0].port == enclose.PROXY_PORT


def test_a_prompt_among_the_words_of_a_command_names_no_program() -> None:
    for word in ("do it\n" * 100, "/" + "x" * 5000, "/" + "x/" * 300, "/" + "x" * 300, "a\0b", "ü" * 200, "\udce4" * 300):
        assert enclose.toolchain((word,), {"PATH": "/usr/bin:/bin"}, "strict")


def test_who_carries_the_bytes_is_no_work_of_the_agent(inside: Inside) -> None:
    seen = jobs.probe(inside.job)
    assert isinstance(seen, jobs.Running)
    below = process.descendants(seen.started.pid)
    assert any("shim.py" in Path(f"/proc/{one.pid}/cmdline").read_text() for one in below)
    root = Root(attempt=AttemptId("T1.1"), pid=seen.started.pid, ticks=seen.started.ticks, names=("codex",), marker=str(inside.job))
    commands = Trees().look([root], 0)[root.attempt].tree.commands
    assert "shim.py" not in commands


def test_a_door_that_is_left_of_an_earlier_sitting_is_replaced(inside: Inside) -> None:
    inside.end()
    assert (inside.job / DOOR).is_socket(), "nobody takes it away"
    for name in ("start", "exit.json"):
        (inside.job / name).unlink()
    inside.shim = launch(inside.job)
    wait_until(lambda: inside.ask(f"exists {inside.checkout}") == "True", 20, what="the door again")


def test_whether_a_sandbox_fits_into_strict_walls_is_tried_out(monkeypatch: pytest.MonkeyPatch) -> None:
    sandbox.look_again()
    assert sandbox.nests(), "as the real agents' own sandboxes do here"
    given = seccomp.program
    monkeypatch.setattr(seccomp, "program", lambda: given(nested=False))
    sandbox.look_again()
    assert not sandbox.nests()
    sandbox.look_again()
