# ruff: noqa: PTH100, PTH104, PTH110, PTH123 (the shim loads it, and pathlib would cost a third of its start)
"""The walls around one job as its shim builds them, by the level asked for; stdlib only, and it must never settle for less.

Theory of operation. Strict: the shim forks bwrap, which starts the witness (`inside.py`) in namespaces of its own; the witness
waits until the doors are open, and says how the job ended. Partial: the job's own process takes Landlock and seccomp upon itself
before it turns into the job. The shim stays outside of both. `spare` names the processes that belong to the walls: a stop
is for the others, and the walls fall last.
"""

from __future__ import annotations

import json
import os
import select
import signal
import time

from andon.edges import bubblewrap, cgroup, inside, landlock, seccomp
from andon.edges.bubblewrap import Refused
from andon.edges.lookout import Lookout
from andon.edges.proctable import Process, read_process, send, table

TYPE_CHECKING = False  # typing itself would cost milliseconds
if TYPE_CHECKING:
    from typing import Any

BUILD_S = 30.0
"""So long may bwrap take on a machine under load."""
FILE = "walls.json"
_TERMINAL = (signal.SIGINT, signal.SIGQUIT, signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU, signal.SIGTERM, signal.SIGHUP,
             signal.SIGUSR1, signal.SIGUSR2)
"""What a key or a stop sends to everybody: bwrap ends for none of it."""


class Walls:
    """No walls, and what the others share."""

    level = "none"

    def __init__(self, folder: str, job: dict[str, Any]) -> None:
        self.folder, self.job = folder, job
        self.box: dict[str, Any] = job.get("sandbox") or {}
        self.spare: set[int] = set()
        self.starters: set[int] = set()
        """Who has the job itself as its child, when that is not the shim."""
        self.words = -1
        """Descriptor on which the walls tell of the job's end; -1: they do not."""
        self.cpu_ms = 0
        """Processor time of the job, where only the walls can tell: what falls with them is never reaped by the shim."""
        self.told: list[str] = []
        self.tool = ""
        self.lookout: Lookout | None = None
        """Who sees that baits are opened."""
        self.group: cgroup.Group | None = None
        self.whole: tuple[str, ...] = ()
        """What is bounded for the job as a whole."""

    def prepare(self) -> None:
        """Before the fork: whatever can be refused already. Raises Refused."""
        self.bound()
        self.open_doors(0)

    def bound(self) -> None:
        """A cgroup of the job's own, where one can be had."""
        if self.group is None and self.box and (group := cgroup.made(self.folder.rpartition("/")[2])):
            asked = self.box.get("limits") or {}
            self.group = group
            self.whole = group.limit(memory=int(asked.get("memory_mb") or 0) << 20, processes=int(asked.get("processes") or 0))

    def take_on(self, report: int) -> None:
        """In the job's own process, just before it turns into the job. Raises OSError."""
        if self.group:
            self.group.enter()

    def settle(self, child: int) -> None:
        """After the fork, in the shim: until the job may begin. Raises Refused."""
        self.note()

    def word(self) -> int | None:
        """What lies on `words`: the job's wait status when it has ended."""
        return None

    def weigh(self, status: int) -> None:
        """The job has ended and its walls stand: tell what limits it met."""

    def judge(self, status: int) -> int:
        """The job's wait status from that of the process that the shim started, when `words` told none."""
        return status

    def fall(self) -> None:
        """End everything within, at once."""
        if self.group:
            self.group.kill()

    def brood(self, child: int) -> set[int]:
        """Of a job with a cgroup: everybody in it but the walls and the command itself."""
        command = {one for starter in self.starters for one in offspring(starter)} | {child, *self.spare}
        return self.group.members() - command if self.group else set()

    def starved(self) -> int:
        """How many processes the kernel ended because the whole job's memory was used up. It is over: its cgroup goes."""
        if self.group is None:
            return 0
        ended = self.group.starved()
        self.group.remove()
        return ended

    def env(self) -> dict[str, str]:
        """The job's environment, with its own home."""
        given = {str(name): str(value) for name, value in dict(self.job["env"]).items()}
        return {**given, "HOME": self.box["home"]} if self.box.get("home") else given

    def limits(self) -> dict[str, int]:
        """Of each process, in the units of the kernel."""
        asked = self.box.get("limits") or {}
        each = 0 if "memory" in self.whole else int(asked.get("memory_mb") or 0)
        memory = [one for one in (each, int(self.job.get("memory_mb") or 0)) if one]
        named = {"core": 0}
        if memory:
            named["memory"] = min(memory) << 20
        if each:
            self.told.append("Memory is limited for each process, not for the job as a whole.")
        if asked.get("file_mb"):
            named["file"] = int(asked["file_mb"]) << 20
        if asked.get("processes") and "processes" not in self.whole:
            if os.geteuid() == 0:
                self.told.append("The number of processes is not limited: the kernel counts none of root's.")
            elif self.level != "strict":
                self.told.append("The number of processes is not limited: the kernel would count all of this person's.")
            else:
                named["processes"] = int(asked["processes"])
        return named

    def open_doors(self, pid: int) -> None:
        """Start the process that carries bytes, in the network of `pid` (0: ours), and wait for its doors. Raises Refused."""
        forwards = self.box.get("forwards") or []
        if not forwards:
            return
        ready, ready_in = os.pipe()
        one = os.fork()
        if one == 0:
            try:
                serve_doors(forwards, pid, ready_in)
            finally:
                os._exit(1)
        self.spare.add(one)
        os.close(ready_in)
        said = os.read(ready, 500).decode(errors="replace")
        os.close(ready)
        if said != "ok":
            raise Refused(f"A way through the walls could not be opened: {said or 'its process ended'}.",
                          "Free the port, or choose another one.")

    def note(self) -> None:
        """Leave what stands around the job as `walls.json`, for whoever asks."""
        content = {"level": self.level, "tool": self.tool, "told": self.told, "whole": self.whole}
        with open(f"{self.folder}/{FILE}.tmp", "w", encoding="utf-8") as file:
            json.dump(content, file)
        os.rename(f"{self.folder}/{FILE}.tmp", f"{self.folder}/{FILE}")


def serve_doors(forwards: list[dict[str, Any]], pid: int, ready: int) -> None:
    """In a process of its own: nothing of the shim's but its life and the word that the doors are open."""
    signal.set_wakeup_fd(-1)
    for one in (*_TERMINAL, signal.SIGCHLD):
        signal.signal(one, signal.SIG_IGN)
    os.setpgid(0, 0)
    die_with_parent()
    nowhere = os.open(os.devnull, os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(nowhere, fd)
    os.dup2(ready, 3)
    os.closerange(4, 1024)
    from andon.edges import doors

    doors.serve(forwards, pid, 3)


class Strict(Walls):
    """Namespaces of its own, by bubblewrap."""

    level = "strict"
    init: Process | None = None

    def prepare(self) -> None:
        """Find the tools, put the plan and the rules where bwrap and the witness will read them."""
        self.program = bubblewrap.find()
        if self.box.get("baits"):
            self.lookout = Lookout(self.folder, self.box["baits"])
            self.lookout.listen()
        self.python, paths = bubblewrap.interpreter()
        self.witness = os.path.abspath(inside.__file__)
        if (compiled := getattr(inside, "__cached__", None)) and os.path.exists(compiled):
            self.witness = os.path.abspath(compiled)  # it was just looked at, and saves the witness a millisecond
        try:
            rules = seccomp.program(nested=bool(self.box.get("nested", True)))
        except seccomp.Unknown as error:
            raise Refused(f"There are no rules for this machine: {error}.", "Ask for the level partial or none here.") from None
        words = bubblewrap.options(self.box, (*paths, self.witness))
        self.bound()
        plan = inside.pack(str(self.job["cwd"]), self.limits(), [str(one) for one in self.job["argv"]], self.env())
        words, data = described(words)
        self.plan, self.rules = held(plan), held(rules)
        self.info, self.info_in = os.pipe()
        self.complaints, self.complaints_in = os.pipe()
        self.words, self.words_in = os.pipe()
        self.way_out, self.way_back = os.pipe()
        words += ["--seccomp", str(self.rules), "--info-fd", str(self.info_in)]
        self.options = held("\0".join(words).encode(errors="surrogateescape") + b"\0")
        self.passed = [self.plan, self.rules, *data, self.options, self.info_in, self.words_in, self.way_out]

    def take_on(self, report: int) -> None:
        """In the child: turn into bwrap. Raises OSError."""
        super().take_on(report)
        for one in _TERMINAL:
            signal.signal(one, signal.SIG_IGN)
        stderr = os.dup(2)
        os.dup2(self.complaints_in, 2)
        for fd in (*self.passed, stderr, report):
            os.set_inheritable(fd, True)
        numbers = (self.plan, stderr, report, self.words_in, self.way_out)
        argv = ["bwrap", "--args", str(self.options), "--", self.python, "-I", "-S", self.witness, *(str(one) for one in numbers)]
        env = {name: value for name, value in self.env().items() if name == "ANDON_TREE"}  # by it a lost tree is found
        os.execve(self.program, argv, env)

    def settle(self, child: int) -> None:
        """Wait for the witness, open the doors, let the job begin."""
        self.spare.add(child)
        for fd in (*self.passed, self.complaints_in):
            os.close(fd)
        try:
            self._await()
            info = json.loads(drain(self.info) or "{}")
            init = int(info["child-pid"])
            self.init = read_process(init)
            self.starters = offspring(init)
            self.spare |= {init, *self.starters}
            self.open_doors(init if self.box.get("network") != "host" else 0)
        except (ValueError, KeyError):
            raise Refused("bubblewrap did not name its first process.", "Bring bubblewrap up to date (0.5 or newer).") from None
        finally:
            os.close(self.info)
            os.close(self.complaints)
        self.tool = "bubblewrap"
        if self.lookout:
            self.lookout.watch()
            self.told += self.lookout.told
        self.note()
        os.write(self.way_back, b"g")

    def _await(self) -> None:
        """Until the witness says that it is there; Refused with bwrap's own words when it will not."""
        end = time.monotonic() + BUILD_S
        while not select.select((self.words,), (), (), max(0.0, end - time.monotonic()))[0]:
            if time.monotonic() >= end:
                raise Refused(f"bubblewrap did not come up within {BUILD_S:.0f} s.", "See what the machine is busy with.")
        if os.read(self.words, 6) != b"ready\n":
            raise bubblewrap.complaint(drain(self.complaints))

    def weigh(self, status: int) -> None:
        """The job has ended and its walls stand: tell the limits that it met, as far as they can be seen now."""
        if self.lookout is None:
            return
        limits = self.box.get("limits") or {}
        if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGXFSZ:
            self.lookout.limit(f"one file of {limits.get('file_mb')} MB", "[sandbox] file_mb")
        try:
            room = os.statvfs(f"/proc/{self.init.pid}/root/tmp") if self.init else None
        except OSError:  # gone already, or not ours to look at
            return
        if room is not None and limits.get("tmp_mb") and not room.f_bavail:
            self.lookout.limit(f"{limits['tmp_mb']} MB in /tmp", "[sandbox] tmp_mb")

    def judge(self, status: int) -> int:
        """The witness was ended by its own job: bwrap says by what."""
        code = os.WEXITSTATUS(status) if os.WIFEXITED(status) else 0
        return code - 128 if code > 128 else status

    def fall(self) -> None:
        """With its first process a process table ends, and everybody in it."""
        super().fall()
        if self.init:
            send(self.init, signal.SIGKILL)

    def word(self) -> int | None:
        """The status that the witness told; it tells it whole."""
        data = os.read(self.words, 4096)
        if not data:
            os.close(self.words)
            self.starters: set[int] = set()
        """Who has the job itself as its child, when that is not the shim."""
        self.words = -1
        spent = [int(word[1:]) for word in data.split() if word[:1] == b"c" and word[1:].isdigit() and len(word) < 12]
        self.cpu_ms = spent[-1] if spent else 0
        told = [int(word) for word in data.split() if word.isdigit() and len(word) < 6]  # the job could write here too
        return told[-1] if told and told[-1] < 1 << 16 else None


class Partial(Walls):
    """Landlock and seccomp, for hosts without user namespaces."""

    level = "partial"

    def prepare(self) -> None:
        """Ask the kernel, and word the rules."""
        try:
            self.rules = landlock.rules(self.box, os.ttyname(0) if os.isatty(0) else "")
            doors, host = bool(self.box.get("forwards") or self.box.get("ports")), self.box.get("network") == "host"
            self.filter = seccomp.program(nested=False, unix=False, inet="all" if host else "stream" if doors else "none")
        except seccomp.Unknown as error:
            raise Refused(f"There are no rules for this machine: {error}.", "Ask for the level none here.") from None
        self.bound()
        self.bounds = self.limits()
        self.told += self.rules.told
        self.tool = f"landlock {self.rules.abi}"
        super().prepare()

    def take_on(self, report: int) -> None:
        """No way back from here."""
        super().take_on(report)
        self.rules.enforce()
        seccomp.load(self.filter)
        inside.limit(self.bounds)


def around(folder: str, job: dict[str, Any]) -> Walls:
    """The walls that this job asks for. Raises Refused for a level that nobody knows."""
    box = job.get("sandbox")
    level = box.get("level") if isinstance(box, dict) else "none"
    kinds: dict[object, type[Walls]] = {"strict": Strict, "partial": Partial, "none": Walls}
    if level not in kinds:
        raise Refused(f"There is no level of isolation named {level}.", "Bring the factory up to date.")
    return kinds[level](folder, job)


def described(words: list[str]) -> tuple[list[str], list[int]]:
    """The words with data as numbers of descriptors, and those."""
    data = {at: held(word[1:].encode()) for at, word in enumerate(words) if word.startswith(bubblewrap.DATA)}
    return [str(data.get(at, word)) for at, word in enumerate(words)], list(data.values())


def held(data: bytes) -> int:
    """A descriptor from which exactly this can be read."""
    fd = os.memfd_create("andon", os.MFD_CLOEXEC)
    while data:
        data = data[os.write(fd, data):]
    os.lseek(fd, 0, os.SEEK_SET)
    return fd


def drain(fd: int) -> str:
    """What lies in a pipe now."""
    os.set_blocking(fd, False)
    data = b""
    try:
        while chunk := os.read(fd, 65536):
            data += chunk
    except BlockingIOError:
        pass
    return data.decode(errors="replace")


def offspring(pid: int) -> set[int]:
    """The children of another process."""
    try:
        with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
            return {int(one) for one in file.read().split()}
    except OSError:  # a kernel without that file
        return {one.pid for one in table().values() if one.parent == pid}


def die_with_parent() -> None:
    """End with the shim, however that ends."""
    import ctypes

    ctypes.CDLL(None).prctl(1, signal.SIGKILL, 0, 0, 0)
