# ruff: noqa: PTH112, PTH123, PTH208 (the shim loads it, and pathlib would cost a third of its start)
"""The process table, read in one pass; stdlib only (the shim uses it), and it must never know what a process is for."""

import os
import signal
import time

CHUNK = 1 << 16


class Process:
    """One row of the process table: pid, parent, state letter, start time in ticks since boot."""

    __slots__ = ("parent", "pid", "state", "ticks")

    def __init__(self, pid: int, parent: int, state: str, ticks: int) -> None:
        self.pid, self.parent, self.state, self.ticks = pid, parent, state, ticks


class Spent(Process):
    """A process with its name and the CPU ticks that it used: its own, and those of children that it has reaped."""

    __slots__ = ("name", "own", "reaped")

    def __init__(self, pid: int, parent: int, state: str, ticks: int, name: str, own: int, reaped: int) -> None:
        super().__init__(pid, parent, state, ticks)
        self.name, self.own, self.reaped = name, own, reaped


def exists(pid: int) -> bool:
    """Whether somebody's process bears this number, dead ones that nobody has reaped among them; a number that none can bear counts
    as one that is in use."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True


def spent_table() -> dict[int, Spent]:
    """Every process of this machine with what it used, in one pass over /proc; empty where there is none."""
    rows: dict[int, Spent] = {}
    try:
        names = os.listdir("/proc")
    except OSError:
        return rows
    for name in names:
        if not name.isdigit():
            continue
        try:
            fd = os.open(f"/proc/{name}/stat", os.O_RDONLY)
        except OSError:
            continue
        try:
            data = os.read(fd, 4096)
        except OSError:
            continue
        finally:
            os.close(fd)
        end = data.rindex(b")")
        fields = data[end + 2:].split(None, 20)
        pid = int(name)
        rows[pid] = Spent(
            pid, int(fields[1]), fields[0].decode(), int(fields[19]), data[data.index(b"(") + 1:end].decode(errors="replace"),
            int(fields[11]) + int(fields[12]), int(fields[13]) + int(fields[14]))
    return rows


def read_process(pid: int) -> Process | None:
    """This process now, or None when there is none."""
    try:
        fd = os.open(f"/proc/{pid}/stat", os.O_RDONLY)
    except OSError:
        return None if os.path.isdir("/proc/self") else _ps_table(pid).get(pid)
    try:
        data = os.read(fd, 4096)
    except OSError:
        return None
    finally:
        os.close(fd)
    fields = data[data.rindex(b")") + 2:].split()
    return Process(pid, int(fields[1]), fields[0].decode(), int(fields[19]))


def table() -> dict[int, Process]:
    """Every process of this machine in one pass over /proc (elsewhere: one `ps`)."""
    if not os.path.isdir("/proc/self"):
        return _ps_table(0)
    found = (read_process(int(name)) for name in os.listdir("/proc") if name.isdigit())
    return {process.pid: process for process in found if process}


def _ps_table(pid: int) -> dict[int, Process]:
    """The same from `ps`, where there is no /proc; ticks are then the start in Unix seconds."""
    import subprocess

    which = ["-p", str(pid)] if pid else ["-ax"]
    env = {"PATH": "/bin:/usr/bin", "LC_ALL": "C", "TZ": "UTC"}
    done = subprocess.run(["ps", *which, "-o", "pid=,ppid=,stat=,lstart="], capture_output=True, text=True, env=env, check=False)
    rows: dict[int, Process] = {}
    for line in done.stdout.splitlines():
        own, parent, state, started = line.split(None, 3)
        at = int(time.mktime(time.strptime(started.strip(), "%a %b %d %H:%M:%S %Y")))
        rows[int(own)] = Process(int(own), int(parent), state[0], at)
    return rows


def descendants(root: int, rows: dict[int, Process] | None = None) -> list[Process]:
    """The live (not zombie) descendants of a process, nearest first, from one pass over the process table."""
    rows = table() if rows is None else rows
    children: dict[int, list[Process]] = {}
    for process in rows.values():
        children.setdefault(process.parent, []).append(process)
    found, queue = [], [root]
    for pid in queue:
        for child in children.get(pid, ()):
            queue.append(child.pid)
            if child.state not in "ZX":
                found.append(child)
    return found


def children() -> list[int]:
    """Our own children, zombies too, by one short read; none where the kernel does not tell. Their pids cannot be reused yet."""
    try:
        fd = os.open(f"/proc/self/task/{os.getpid()}/children", os.O_RDONLY)
    except OSError:
        return []
    try:
        return [int(pid) for pid in os.read(fd, CHUNK).rpartition(b" ")[0].split()]
    finally:
        os.close(fd)


def boot_id() -> str:
    """The name of this boot of the kernel."""
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            return file.read().strip()
    except OSError:
        import subprocess

        done = subprocess.run(["sysctl", "-n", "kern.bootsessionuuid"], capture_output=True, text=True, check=False)
        return done.stdout.strip() or "unknown"


def send(process: Process, signum: int) -> bool:
    """Signal exactly this process, never a stranger that got its pid. False when it is gone or not ours."""
    try:
        if not hasattr(os, "pidfd_open"):
            os.kill(process.pid, signum)
            return True
        fd = os.pidfd_open(process.pid)
    except OSError:
        return False
    try:
        now = read_process(process.pid)
        if now is None or now.ticks != process.ticks:
            return False
        signal.pidfd_send_signal(fd, signum)
        return True
    except OSError:
        return False
    finally:
        os.close(fd)
