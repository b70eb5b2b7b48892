# ruff: noqa: PTH110 (the shim loads it, and pathlib would cost a third of its start)
"""Landlock: paths and ports that a process may still reach after it has bound itself; stdlib only, and it must never know a job.

It can only allow: nothing inside an allowed folder can be denied, and a unix socket is no file to it.
"""

from __future__ import annotations

import os
import stat
import struct

from andon.edges.bubblewrap import Refused, straight

TYPE_CHECKING = False  # typing itself would cost milliseconds
if TYPE_CHECKING:
    from typing import Any

_CREATE, _ADD, _RESTRICT = 444, 445, 446
_EXECUTE, _WRITE, _READ_FILE, _READ_DIR, _REFER, _TRUNCATE, _IOCTL = 1, 1 << 1, 1 << 2, 1 << 3, 1 << 13, 1 << 14, 1 << 15
_READ = _EXECUTE | _READ_FILE | _READ_DIR
_CHANGE = sum(1 << bit for bit in range(4, 13))
"""Making and removing of every kind."""
_OF_FILES = _EXECUTE | _WRITE | _READ_FILE | _TRUNCATE | _IOCTL
_CONNECT_TCP, _SCOPE_ABSTRACT, _SCOPE_SIGNAL = 1 << 1, 1, 2
NEEDED = 4
"""The oldest that can limit TCP connections (Linux 6.7)."""
DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/tty")


class Rules:
    """What will be allowed, worded while everything can still be looked at."""

    def __init__(self, abi: int) -> None:
        self.abi = abi
        self.paths: list[tuple[str, int]] = []
        self.ports: list[int] | None = None
        """TCP ports that may be connected to; None: every one."""
        self.told: list[str] = []
        """What these walls cannot do, for people."""

    def allow(self, path: str, write: bool) -> None:
        """This path and all below it."""
        rights = _READ | ((_WRITE | _CHANGE | _REFER | _TRUNCATE | _IOCTL) if write else 0)
        self.paths.append((path, rights & handled(self.abi)))

    def enforce(self) -> None:
        """Bind this process and all that comes of it, for good. Raises OSError."""
        import ctypes

        libc = ctypes.CDLL(None, use_errno=True)

        def call(number: int, *arguments: object) -> int:
            done = int(libc.syscall(ctypes.c_long(number), *arguments))
            if done < 0:
                raise OSError(ctypes.get_errno(), "landlock")
            return done

        network = _CONNECT_TCP if self.ports is not None else 0
        scoped = (_SCOPE_ABSTRACT | _SCOPE_SIGNAL) if self.abi >= 6 else 0
        size = 24 if self.abi >= 6 else 16 if self.abi >= 4 else 8
        attribute = struct.pack("QQQ", handled(self.abi), network, scoped)[:size]
        ruleset = call(_CREATE, attribute, ctypes.c_size_t(size), ctypes.c_uint(0))
        for path, rights in self.paths:
            try:
                fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
            except FileNotFoundError:
                continue
            try:
                allowed = rights if stat.S_ISDIR(os.fstat(fd).st_mode) else rights & _OF_FILES
                call(_ADD, ctypes.c_int(ruleset), ctypes.c_int(1), struct.pack("=Qi", allowed, fd), ctypes.c_uint(0))
            finally:
                os.close(fd)
        for port in self.ports or ():
            call(_ADD, ctypes.c_int(ruleset), ctypes.c_int(2), struct.pack("QQ", _CONNECT_TCP, port), ctypes.c_uint(0))
        if libc.prctl(38, 1, 0, 0, 0):  # PR_SET_NO_NEW_PRIVS
            raise OSError(ctypes.get_errno(), "no_new_privs")
        call(_RESTRICT, ctypes.c_int(ruleset), ctypes.c_uint(0))
        os.close(ruleset)
        if os.geteuid() == 0:
            drop_capabilities()


def drop_capabilities() -> None:
    """Root without root's powers, for good: with them it reads every process's memory past Landlock. Raises OSError."""
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    number = 0
    while libc.prctl(24, number, 0, 0, 0) == 0:  # PR_CAPBSET_DROP, until the kernel knows no such number
        number += 1
    header, none = struct.pack("=Ii", 0x20080522, 0), bytes(24)
    if not number or libc.capset(header, none):
        raise OSError(ctypes.get_errno(), "capabilities")


def version() -> int:
    """The Landlock ABI of this kernel; 0: none, or switched off."""
    import ctypes

    done = int(ctypes.CDLL(None).syscall(ctypes.c_long(_CREATE), None, ctypes.c_size_t(0), ctypes.c_uint(1)))
    return max(done, 0)


def handled(abi: int) -> int:
    """Every right over files that this ABI knows: what is not allowed of it is denied."""
    known = (1 << 13) - 1
    return known | (_REFER if abi >= 2 else 0) | (_TRUNCATE if abi >= 3 else 0) | (_IOCTL if abi >= 5 else 0)


def rules(box: dict[str, Any], terminal: str = "") -> Rules:
    """What a sandbox (plain JSON of `andon.schema.sandbox.Sandbox`) comes to here. Raises Refused."""
    abi = version()
    if not abi:
        raise Refused("This kernel has no Landlock.", "Use Linux 5.13 or newer with `landlock` in its `lsm=` list.")
    made = Rules(abi)
    writable = [str(one["source"]) for one in box.get("binds") or () if one.get("write")]
    for one in box.get("binds") or ():
        source = str(one["source"])
        if one.get("target") and one["target"] != source:
            raise Refused(f"{source} cannot appear as {one['target']}: without namespaces every path keeps its place.",
                          "Install bubblewrap, or bind it where it is.")
        if os.path.exists(source):
            straight(source, writable)
            made.allow(source, bool(one.get("write")))
        elif not one.get("optional"):
            raise Refused(f"There is no {source}, which was to exist inside.",
                          "Make it, or take it out of what the agent may reach.")
    if box.get("home"):
        made.allow(box["home"], True)
    for device in (*DEVICES, *([terminal] if terminal else [])):
        made.paths.append((device, (_READ_FILE | _WRITE | _TRUNCATE | _IOCTL) & handled(abi)))
    made.allow("/proc", False)
    _network(made, box)
    made.told += [f"{path} cannot be hidden: Landlock denies nothing inside what it allows." for path in box.get("hide") or ()]
    kept = [str(one["source"]) for one in box.get("binds") or () if not one.get("write")]
    made.told += [f"{path} can be written: Landlock denies nothing inside what it allows." for path in kept
                  if any(path.startswith(f"{top}/") for top in writable)]
    made.told.append("It sees the machine's processes, and its /tmp is not its own.")
    if abi < 6:
        made.told.append(f"It can signal the person's processes: Landlock {abi} does not know signals (6 does).")
    return made


def _network(made: Rules, box: dict[str, Any]) -> None:
    if box.get("network") == "host":
        return
    if made.abi >= NEEDED:
        doors = [int(one["port"]) for one in box.get("forwards") or ()]  # also where its own server listens
        made.ports = [*doors, *(int(port) for port in box.get("ports") or ())]
    elif box.get("forwards") or box.get("ports"):
        raise Refused(f"Landlock {made.abi} cannot limit connections to the job's own doors (Linux 6.7 can).",
                      "Install bubblewrap, or use a newer kernel.")
    made.told.append("It has no loopback of its own: it cannot connect to servers that it starts.")
