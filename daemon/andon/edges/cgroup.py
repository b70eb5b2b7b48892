# ruff: noqa: PTH102, PTH106, PTH110, PTH119, PTH120, PTH123, PTH208 (the shim loads it, and pathlib would cost a third of its start)
"""A cgroup (v2) of one job's own, where that was delegated to us; stdlib only (the shim uses it); it must never take what was not.

Theory of operation. A service manager marks the cgroup of a unit with `Delegate=` by an extended attribute: only such a one, ours,
is touched. The kernel gives controllers to children only while the parent holds no process, so whoever is in it (the shim, the
terminals) is moved into a leaf beside the jobs first. A job's cgroup bounds all of it together, tells when the kernel ended
something for memory, and is ended whole by one write. Where there is none, or a controller is missing, the caller limits each
process instead.
"""

from __future__ import annotations

import os
import select
import time

REST = "andon-rest"
"""The leaf in which everybody lives who is no job."""
JOB = "andon-job-"
"""How a job's name begins; it ends with the pid of its shim."""
MARKS = ("user.delegate", "trusted.delegate")
"""How systemd says that a cgroup is its unit's own to divide (the first since release 251, the second to root alone)."""
WANTED = ("memory", "pids")
OWN = 4
"""Processes of the walls that count beside the job's."""
TRIES = 5
GONE_S = 2.0
"""So long is waited, after the kill, until nobody is left."""


class Group:
    """One job's cgroup. Made by `made`."""

    def __init__(self, path: str, controllers: frozenset[str]) -> None:
        self.path, self.controllers = path, controllers

    def limit(self, *, memory: int, processes: int) -> tuple[str, ...]:
        """Bound the whole job (bytes, processes; 0: not), and say what is: `memory`, `processes`."""
        done = []
        if memory and "memory" in self.controllers and write(f"{self.path}/memory.max", str(memory)):
            if os.path.exists(f"{self.path}/memory.swap.max"):
                write(f"{self.path}/memory.swap.max", "0")
            done.append("memory")
        if processes and "pids" in self.controllers and write(f"{self.path}/pids.max", str(processes + OWN)):
            done.append("processes")
        return tuple(done)

    def enter(self) -> None:
        """The calling process is in it from now on, with all that it starts. Raises OSError."""
        with open(f"{self.path}/cgroup.procs", "w", encoding="ascii") as file:
            file.write("0")

    def members(self) -> set[int]:
        """Who is in it now."""
        return {int(pid) for pid in read(f"{self.path}/cgroup.procs").split() if pid.isdigit()}

    def kill(self) -> bool:
        """End everybody in it; whether nobody was left in time."""
        if not write(f"{self.path}/cgroup.kill", "1"):
            return False
        end = time.monotonic() + GONE_S
        try:
            with open(f"{self.path}/cgroup.events", encoding="ascii") as file:
                told = select.poll()
                told.register(file.fileno(), select.POLLPRI | select.POLLERR)
                while "populated 1" in file.read():
                    if time.monotonic() >= end:
                        return False
                    told.poll(20)
                    file.seek(0)
        except OSError:
            return False
        return True

    def starved(self) -> int:
        """How many of its processes the kernel ended because the job's memory was used up."""
        return count(f"{self.path}/memory.events", "oom_kill")

    def crowded(self) -> int:
        """How often it was refused another process."""
        return count(f"{self.path}/pids.events", "max")

    def remove(self) -> None:
        """It is over. One that somebody is still in stays, empty of ours."""
        for folder, _, _ in os.walk(self.path, topdown=False):  # what the job divided further
            try:
                os.rmdir(folder)
            except OSError:
                continue


def made(name: str, base: str = "") -> Group | None:
    """A cgroup for a job, below the delegated one that we are in (or `base`); None where there is none."""
    base = base or delegated()
    if not base:
        return None
    sweep(base)
    got = divided(base)
    path = f"{base}/{JOB}{name}-{os.getpid()}"
    try:
        os.mkdir(path)
    except OSError:
        return None
    return Group(path, got)


def sweep(base: str) -> None:
    """Remove what shims that were killed left: cgroups whose maker is gone, if nobody is in them."""
    try:
        names = [one for one in os.listdir(base) if one.startswith(JOB)]
    except OSError:
        return
    for name in names:
        if not os.path.exists(f"/proc/{name.rpartition('-')[2]}"):
            Group(f"{base}/{name}", frozenset()).remove()


def divided(base: str) -> frozenset[str]:
    """Give controllers to children of `base`; which they have then."""
    there = set(read(f"{base}/cgroup.controllers").split()) & set(WANTED)
    for _ in range(TRIES):
        missing = there - set(read(f"{base}/cgroup.subtree_control").split())
        if not missing:
            break
        vacate(base)
        for one in sorted(missing):
            write(f"{base}/cgroup.subtree_control", f"+{one}")
    return frozenset(there & set(read(f"{base}/cgroup.subtree_control").replace("+", " ").split()))


def vacate(base: str) -> None:
    """Whoever is in `base` itself goes into its leaf: the kernel wants it so."""
    try:
        os.mkdir(f"{base}/{REST}")
    except FileExistsError:
        pass
    except OSError:
        return
    for pid in read(f"{base}/cgroup.procs").split():
        write(f"{base}/{REST}/cgroup.procs", pid)


def delegated() -> str:
    """The folder of the delegated cgroup that this process is in (itself or in its leaf); empty when there is none."""
    here = own()
    if os.path.basename(here) == REST:
        here = os.path.dirname(here)
    return here if here and marked(here) and os.access(f"{here}/cgroup.procs", os.W_OK) else ""


def marked(folder: str) -> bool:
    """Whether a service manager gave this cgroup away."""
    for name in MARKS:
        try:
            if os.getxattr(folder, name) == b"1":
                return True
        except (OSError, AttributeError):  # not marked, not for us to see, or no such call on this system
            continue
    return False


def own() -> str:
    """The folder of our cgroup in the v2 hierarchy; empty when there is none."""
    name = next((line[3:] for line in read("/proc/self/cgroup").splitlines() if line.startswith("0::")), "")
    top = next((line.split()[4] for line in read("/proc/self/mountinfo").splitlines() if " - cgroup2 " in line), "")
    return os.path.normpath(f"{top}/{name}") if top and name else ""


def count(path: str, name: str) -> int:
    """One number of a file of names and numbers; 0 when it is not there."""
    pairs = [line.split() for line in read(path).splitlines()]
    return next((int(pair[1]) for pair in pairs if len(pair) == 2 and pair[0] == name and pair[1].isdigit()), 0)


def read(path: str) -> str:
    """A file of the kernel's; empty when it cannot be read."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""


def write(path: str, text: str) -> bool:
    """Whether the kernel took it."""
    try:
        with open(path, "w", encoding="ascii") as file:
            file.write(text)
    except OSError:
        return False
    return True
