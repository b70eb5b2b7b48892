"""Who may decide: the same person's processes outside every sandbox and below no agent; everybody else is refused."""

import os
import shutil
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from andon.edges import jobs, peer, shim
from andon.edges.doorway import claim
from andon.schema import wire
from andon.schema.jobs import Job
from andon.schema.layout import layout
from fakeoffice import FakeDaemon, FakeOffice
from support import wait_until

CONNECT = "import socket,sys;s=socket.socket(socket.AF_UNIX);s.connect(sys.argv[1]);sys.stdin.read()"
ONLY_LINUX = pytest.mark.skipif(sys.platform != "linux", reason="namespaces and /proc are Linux")


class Door:
    """A real socket, as the daemon opens it, and the judgement on whoever comes."""

    def __init__(self, home: Path) -> None:
        self.jobs, self.path = home / "jobs", home / "s" / "sock"
        self.jobs.mkdir()
        self.listening = claim(self.path)
        self.listening.listen(8)
        self.listening.settimeout(20)

    def judge(self) -> str:
        """Of the next one."""
        caller, _ = self.listening.accept()
        with caller:
            return peer.refusal(peer.who(caller), self.jobs)

    def judge_of(self, argv: list[str], **words: object) -> str:
        """Of this program, which connects."""
        with subprocess.Popen(argv, stdin=subprocess.PIPE, **words) as caller:  # type: ignore[call-overload]  # Popen's words
            try:
                return self.judge()
            finally:
                caller.communicate(b"")


@pytest.fixture
def door(tmp_path: Path) -> Iterator[Door]:
    made = Door(tmp_path)
    with made.listening:
        yield made


def connecting(door: Door) -> list[str]:
    return [sys.executable, "-I", "-S", "-c", CONNECT, str(door.path)]


def test_the_person_is_let_in_from_a_process_of_their_own(door: Door) -> None:
    assert door.judge_of(connecting(door)) == ""
    with socket.socket(socket.AF_UNIX) as own:
        own.connect(str(door.path))
        assert door.judge() == ""


def test_the_door_is_closed_for_other_people_by_its_modes(door: Door) -> None:
    assert stat.S_IMODE(door.path.lstat().st_mode) == 0o600
    assert stat.S_IMODE(door.path.parent.lstat().st_mode) == 0o700


def knock_as(uid: int, path: Path) -> tuple[int, int]:
    """A child of another person that connects and stays until it is told to go: its pid and the end to close for that."""
    here, there = os.pipe()
    child = os.fork()
    if child:
        os.close(here)
        return child, there
    code = 3
    try:
        os.close(there)
        os.setgroups([])
        os.setgid(uid)
        os.setuid(uid)
        with socket.socket(socket.AF_UNIX) as caller:
            caller.connect(str(path))
            os.read(here, 1)
        code = 0
    except PermissionError:
        code = 13
    finally:
        os._exit(code)


@pytest.mark.skipif(os.getuid() != 0, reason="another person can be played by root alone")
def test_another_person_is_refused_by_the_modes_and_by_the_judgement(door: Door) -> None:
    child, end = knock_as(65534, door.path)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 13
    os.close(end)
    for place in (*door.path.parents, door.path):
        if "pytest" in str(place):
            place.chmod(0o777)
    child, end = knock_as(65534, door.path)
    assert "somebody else" in door.judge()
    os.close(end)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_the_uid_alone_refuses(tmp_path: Path) -> None:
    assert peer.refusal(peer.Peer(os.getuid() + 1, os.getpid()), tmp_path) == "it belongs to somebody else"
    assert peer.refusal(peer.Peer(-1, -1), tmp_path) == "it belongs to somebody else"


@ONLY_LINUX
def test_a_process_of_no_number_or_gone_is_refused(tmp_path: Path) -> None:
    assert "sandbox" in peer.refusal(peer.Peer(os.getuid(), 0), tmp_path)
    with subprocess.Popen(["true"]) as gone:
        gone.wait()
    assert "gone" in peer.refusal(peer.Peer(os.getuid(), gone.pid), tmp_path)


def can(*argv: str) -> bool:
    """Whether this machine gives such a namespace."""
    return bool(shutil.which(argv[0])) and subprocess.run([*argv, "true"], capture_output=True, check=False).returncode == 0


@ONLY_LINUX
@pytest.mark.parametrize(("named", "argv"), [
    ("user", ("unshare", "--user", "--map-current-user")), ("mnt", ("unshare", "--user", "--map-current-user", "--mount")),
    ("pid", ("unshare", "--user", "--map-current-user", "--pid", "--fork", "--kill-child")),
    ("bubblewrap", ("bwrap", "--unshare-all", "--bind", "/", "/", "--dev", "/dev", "--proc", "/proc")),
    ("bubblewrap, no namespaces named", ("bwrap", "--bind", "/", "/", "--dev", "/dev")),
])
def test_a_sandboxed_process_of_the_same_person_is_refused(door: Door, named: str, argv: tuple[str, ...]) -> None:
    if not can(*argv):
        pytest.skip(f"{argv[0]} gives no {named} namespace here")
    told = door.judge_of([*argv, *connecting(door)])
    assert "namespace" in told and "sandbox" in told, named


@ONLY_LINUX
def test_each_namespace_is_asked_by_itself(door: Door) -> None:
    """By one that differs in this one alone: the judgement does not rest on another that differs too."""
    if os.getuid() != 0 and not can("unshare", "--user", "--map-current-user"):
        pytest.skip("no namespaces here")
    for name, argv in (("mnt", ["unshare", "--mount"]), ("pid", ["unshare", "--pid", "--fork", "--kill-child"])):
        if can(*argv):
            assert f"another {name} namespace" in door.judge_of([*argv, *connecting(door)])


@ONLY_LINUX
def test_what_an_agent_starts_is_refused_even_when_its_parents_are_gone_or_its_marker_is(door: Door) -> None:
    folder = door.jobs / "T7.2"
    script = " ".join(f"'{word}'" for word in connecting(door)[:4]) + f" \"$CODE\" {door.path} </dev/null"
    for wrapped in ("{0}", "env -u ANDON_TREE -u ANDON_JOB {0}", "(setsid {0} &)", "unmarked: {0}"):
        shutil.rmtree(folder, ignore_errors=True)
        env = {"PATH": os.environ["PATH"], "CODE": CONNECT.replace("sys.stdin.read()", "s.recv(1)")}
        if not wrapped.startswith("unmarked"):
            env |= {"ANDON_TREE": str(folder), "ANDON_JOB": str(folder)}
        argv = ("sh", "-c", wrapped.removeprefix("unmarked: ").format(script) + "; exec sleep 30")
        jobs.write_job(folder, Job(name="T7.2", argv=argv, cwd=str(door.jobs), env=env))
        with subprocess.Popen(jobs.shim_argv(folder), stdin=subprocess.DEVNULL) as started:
            try:
                assert "the agent of T7.2" in door.judge(), wrapped
            finally:
                started.terminate()
                started.wait(20)
        wait_until(lambda: (folder / "exit.json").exists(), 10)


@ONLY_LINUX
def test_an_orphan_of_a_session_is_known_by_its_marker(door: Door) -> None:
    env = {**os.environ, "ANDON_TREE": str(door.jobs / "T1.1")}
    assert "the agent of T1.1" in door.judge_of(connecting(door), env=env, start_new_session=True)
    elsewhere = {**os.environ, "ANDON_TREE": "/nowhere/jobs/T1.1"}
    assert door.judge_of(connecting(door), env=elsewhere) == "", "another factory's session is no agent of this one"


def test_the_shim_is_known_by_the_name_that_it_is_started_by() -> None:
    assert jobs.shim_argv(Path("/x"))[3] == str(Path(shim.__file__).absolute()) and shim.__file__.endswith("/andon/edges/shim.py")


ANSWER = (
    "import socket,sys;s=socket.socket(socket.AF_UNIX);s.settimeout(20);s.connect(sys.argv[1])\n"
    "s.sendall(sys.argv[2].encode()+b'\\n');sys.stdout.buffer.write(s.recv(1<<16))"
)


@ONLY_LINUX
def test_the_daemon_answers_the_person_and_refuses_an_agent_before_it_says_anything() -> None:
    place, hello = layout(), msgspec.json.encode(wire.Hello()).decode()
    argv = [sys.executable, "-I", "-S", "-c", ANSWER, str(place.socket), hello]
    with FakeDaemon(place, FakeOffice()):
        mine = subprocess.run(argv, capture_output=True, check=True, text=True).stdout
        env = {**os.environ, "ANDON_TREE": str(place.job("T3.1"))}
        theirs = subprocess.run(argv, capture_output=True, check=False, text=True, env=env).stdout
    assert '"type":"welcome"' in mine
    assert '"type":"refused"' in theirs and "the agent of T3.1" in theirs


@ONLY_LINUX
def test_one_who_is_refused_hears_why_however_late_it_speaks() -> None:
    place, hello = layout(), msgspec.json.encode(wire.Hello()).decode()
    late = ANSWER.replace("s.sendall", "import time;time.sleep(0.3);s.sendall")
    argv = [sys.executable, "-I", "-S", "-c", late, str(place.socket), hello]
    with FakeDaemon(place, FakeOffice()):
        env = {**os.environ, "ANDON_TREE": str(place.job("T3.1"))}
        theirs = subprocess.run(argv, capture_output=True, check=False, text=True, env=env).stdout
    assert '"type":"refused"' in theirs and "the agent of T3.1" in theirs
