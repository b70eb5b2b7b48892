"""Jobs within walls, for tests: started, at a terminal too, and seen to their end."""

import contextlib
import os
import pty
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from andon.edges import jobs, process, sandbox, shim
from andon.schema import jobs as names
from andon.schema.jobs import Exit, Job, Walls
from andon.schema.sandbox import Bind, Level, Sandbox
from support import wait_until

PYTHON = sys.executable
CONTROL = "import fcntl, os, sys, termios; os.setsid(); fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execv(sys.argv[1], sys.argv[1:])"
NOBODY = 31001
"""A user that nobody is."""


@contextlib.contextmanager
def room_of(tmp_path: Path) -> Iterator[Path]:
    """A folder for jobs; whatever of them is alive at the end fails the test."""
    room = tmp_path / "room"
    room.mkdir()
    yield room
    assert survivors(room) == []


def walls(folder: Path, level: Level = "strict", **more: object) -> Sandbox:
    """What a job in this folder needs: the system, this Python, and its own folder to write."""
    given = more.pop("binds", ())
    binds = (*sandbox.toolchain_binds(PYTHON, "", level), Bind(source=str(folder), write=True), *given)  # type: ignore[misc] # a tuple
    return Sandbox(level=level, binds=binds, **more)  # type: ignore[arg-type] # fields of Sandbox


def make(folder: Path, *argv: str, box: Sandbox | None, **more: object) -> Path:
    """A job directory below `folder` that is ready to start."""
    job = folder / f"job{len(list(folder.glob('job*')))}"
    settings: dict[str, object] = {
        "name": job.name, "argv": argv, "cwd": str(folder), "log": True, "grace_s": 0.3, "sandbox": box,
        "env": {"PATH": os.environ["PATH"], "ANDON_TREE": str(job)}, **more}
    jobs.write_job(job, Job(**settings))  # type: ignore[arg-type] # fields of Job
    return job


def launch(job: Path, argv: tuple[str, ...] = ()) -> "subprocess.Popen[bytes]":
    """Start its shim."""
    return subprocess.Popen(argv or jobs.shim_argv(job), stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env={},
                            start_new_session=True)


def run(folder: Path, *argv: str, box: Sandbox | None, **more: object) -> tuple[Exit, str]:
    """See it to its end: how, and what it wrote."""
    job = make(folder, *argv, box=box, **more)
    launch(job).wait(30)
    return ended(job), log(job)


def ended(job: Path) -> Exit:
    """Its exit file."""
    return msgspec.json.decode((job / names.EXIT).read_bytes(), type=Exit)


def survivors(folder: Path) -> list[int]:
    """Processes of jobs of this folder that are alive."""
    return [pid for job in folder.glob("job*") for pid in process.by_marker(str(job))]


def log(job: Path) -> str:
    """What it wrote."""
    path = job / names.LOG
    return path.read_text(errors="replace") if path.exists() else ""


def stood(job: Path) -> Walls:
    """What stood around it."""
    return msgspec.json.decode((job / names.WALLS).read_bytes(), type=Walls)


def ready(job: Path) -> None:
    """Block until it has said `ready`."""
    wait_until(lambda: "ready" in log(job), 20.0, what="the command")


def mutated(patch: str) -> Callable[[Path], tuple[str, ...]]:
    """A shim with a guard taken away: `patch` is run with its modules loaded."""
    rooms = str(Path(shim.__file__).parents[2])
    load = f"import sys; sys.path.append({rooms!r})\nfrom andon.edges import bubblewrap, inside, landlock, seccomp, shim, walls"
    code = f"{load}\n{patch}\nsys.exit(shim.main(sys.argv[1:]))"
    return lambda job: (PYTHON, "-I", "-S", "-c", code, str(job))


class Screen:
    """A terminal with a job at it."""

    def __init__(self, job: Path) -> None:
        self.master, slave = pty.openpty()
        argv = (PYTHON, "-I", "-S", "-c", CONTROL, *jobs.shim_argv(job))
        self.shim = subprocess.Popen(argv, stdin=slave, stdout=slave, stderr=slave, env={})
        os.close(slave)
        os.set_blocking(self.master, False)
        self.text = ""

    def shows(self, words: str) -> bool:
        """Whether this was on it by now."""
        with contextlib.suppress(OSError):
            self.text += os.read(self.master, 65536).decode(errors="replace")
        return words in self.text

    def await_(self, words: str) -> None:
        """Block until it was."""
        wait_until(lambda: self.shows(words), 20.0, what=f"{words!r} on {self.text!r}")

    def keys(self, data: bytes) -> None:
        """Type."""
        os.write(self.master, data)


@contextlib.contextmanager
def at_a_terminal(job: Path) -> Iterator[Screen]:
    """The job at a terminal; ended with the block."""
    screen = Screen(job)
    try:
        yield screen
    finally:
        if screen.shim.poll() is None:
            screen.shim.terminate()
            screen.shim.wait(20)
        os.close(screen.master)
