"""What Landlock is told to deny is denied, right by right: reading, writing, making, truncating, devices, ports, root's powers."""

import errno
import os
import socket
from pathlib import Path

import pytest

from andon.edges import landlock
from andon.schema.sandbox import Bind, Forward
from wallkit import PYTHON, run, walls

PROBE = """
import errno, fcntl, os, socket, sys, termios
def told(name, act):
    try: act()
    except OSError as error: print(name, errno.errorcode[error.errno])
    else: print(name, "ok")
read, mine, beside, port = sys.argv[1:]
told("read", lambda: open(beside + "/secret").close())
told("list", lambda: os.listdir(beside))
told("read-allowed", lambda: open(read + "/file").close())
told("write", lambda: os.close(os.open(read + "/file", os.O_WRONLY)))
told("make", lambda: os.close(os.open(read + "/new", os.O_WRONLY | os.O_CREAT)))
told("folder", lambda: os.mkdir(read + "/folder"))
told("remove", lambda: os.unlink(read + "/other"))
told("link", lambda: os.symlink("x", read + "/link"))
told("truncate", lambda: os.truncate(read + "/file", 0))
told("move", lambda: os.rename(mine + "/own", read + "/own"))
def own():
    open(mine + "/x", "w").close()
    os.truncate(mine + "/x", 0)
    os.mkdir(mine + "/d")
    os.rename(mine + "/x", mine + "/d/x")
told("mine", own)
def device():
    fd = os.open("/dev/ptmx", os.O_RDONLY | os.O_NOCTTY)
    fcntl.ioctl(fd, 0x80045430, bytes(4))
told("device", device)
def connect():
    with socket.socket() as one: one.connect(("127.0.0.1", int(port)))
told("port", connect)
print("powers", open("/proc/self/status").read().partition("CapEff:")[2].split()[0].strip("0") or "none")
"""


@pytest.fixture
def room(tmp_path: Path) -> Path:
    if landlock.version() < landlock.NEEDED:
        pytest.skip("this kernel's Landlock cannot do it")
    for name in ("room", "read", "beside"):
        (tmp_path / name).mkdir()
    for name in ("read/file", "read/other", "beside/secret", "room/own"):
        (tmp_path / name).write_text("words\n")
    return tmp_path / "room"


def probed(room: Path, **more: object) -> dict[str, str]:
    read = room.parent / "read"
    binds = (Bind(source=str(read)), Bind(source="/dev/ptmx", optional=True))
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = str(server.getsockname()[1])
        box = walls(room, "partial", binds=binds, **more)
        _, text = run(room, PYTHON, "-I", "-S", "-c", PROBE, str(read), str(room), str(room.parent / "beside"), port, box=box)
    return dict(line.split(maxsplit=1) for line in text.splitlines())


def test_each_right_that_was_not_given_is_missing(room: Path) -> None:
    said = probed(room, forwards=(Forward(port=9002, socket=f"{room}/none"),))
    denied = {name: said.pop(name) for name in ("read", "list", "write", "make", "folder", "remove", "link", "truncate", "port")}
    assert set(denied.values()) == {"EACCES"}, denied
    assert said.pop("move") in ("EACCES", "EXDEV")
    if landlock.version() >= 5 and os.path.exists("/dev/ptmx"):  # noqa: PTH110 (a device)
        assert said["device"] == "EACCES"
    said.pop("device")
    assert said == {"read-allowed": "ok", "mine": "ok", "powers": "none"}
    assert (room.parent / "read/file").read_text() == "words\n" and (room / "own").exists()
    assert errno.EACCES


def test_a_link_planted_where_the_job_writes_opens_nothing_behind_it(room: Path) -> None:
    (room / "cache").symlink_to(room.parent / "beside")
    end, _ = run(room, "true", box=walls(room, "partial", binds=(Bind(source=f"{room}/cache/secret", write=True),)))
    assert end.because == "not-started" and "is a link inside a folder that the agent writes" in end.sandbox_error


@pytest.mark.parametrize("abi", range(1, 8))
def test_every_kernel_is_asked_for_all_that_it_knows(abi: int) -> None:
    wanted = 0x1FFF | (1 << 13 if abi >= 2 else 0) | (1 << 14 if abi >= 3 else 0) | (1 << 15 if abi >= 5 else 0)
    assert landlock.handled(abi) == wanted
    rules = landlock.Rules(abi)
    rules.allow("/read", False)
    rules.allow("/write", True)
    assert rules.paths == [("/read", 0b1101), ("/write", wanted)]
