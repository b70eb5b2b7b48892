# ruff: noqa: PTH110, PTH114, PTH115, PTH118, PTH120, PTH123 (the shim loads it, and pathlib would cost a third of its start)
"""Words for `bwrap`: the walls that a sandbox asks for as its options; stdlib only (the shim uses it), and it must never run a job.

Options are handed over by a descriptor, not on the command line, which everybody on the machine may read.
"""

from __future__ import annotations

import os
import re
import stat
import sys

TYPE_CHECKING = False  # typing itself would cost milliseconds
if TYPE_CHECKING:
    from typing import Any

PROGRAM = "bwrap"
PLACES = "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"
"""Where it is looked for after PATH."""
ALWAYS = ("--unshare-all", "--unshare-user", "--die-with-parent", "--cap-drop", "ALL", "--clearenv", "--hostname", "andon")
"""`--unshare-all` alone would go on without a user namespace where there is none."""
GUEST = 1000
"""Who root is inside."""
DATA = "@"
"""A word that begins so stands for a descriptor from which the rest can be read."""
SHM_MB = 512
"""Of /dev/shm."""


class Refused(Exception):
    """Walls that cannot be built: what, and how to mend it."""

    def __init__(self, what: str, mend: str = "") -> None:
        super().__init__(what)
        self.what, self.mend = what, mend


def find() -> str:
    """The absolute path of bwrap. Raises Refused."""
    for folder in (*os.environ.get("PATH", "").split(":"), *PLACES.split(":")):
        path = os.path.join(folder, PROGRAM)
        if folder.startswith("/") and os.access(path, os.X_OK):
            return path
    raise Refused("bubblewrap is not installed.",
                  "Install it: `apt install bubblewrap`, `dnf install bubblewrap`, `pacman -S bubblewrap`.")


def options(box: dict[str, Any], extra: tuple[str, ...] = ()) -> list[str]:
    """What bwrap is told for this sandbox (plain JSON of `andon.schema.sandbox.Sandbox`), except seccomp and the command.

    `extra`: paths that must exist inside, read-only, whatever is bound. Raises Refused for a path that is not there or that
    leads away through a link in something that the job may write.
    """
    binds = [_bind(one) for one in box.get("binds") or ()]
    if box.get("home"):
        binds.append((box["home"], box["home"], True, False))
    writable = [source for source, _, write, _ in binds if write]
    megabytes = (box.get("limits") or {}).get("tmp_mb") or 0
    size = ["--size", str(megabytes << 20)] if megabytes else []
    words = [*ALWAYS, *(["--share-net"] if box.get("network") == "host" else [])]
    words += ["--proc", "/proc", "--dev", "/dev", "--size", str(SHM_MB << 20), "--tmpfs", "/dev/shm", *size, "--tmpfs", "/tmp"]
    for number, (source, target, write, optional) in enumerate(binds):
        if os.path.islink(source) and source == target and not write:
            words += _link(source, number, binds, writable)
        else:
            words += _mount(source, target, write, optional, writable)
    for path in extra:  # over the binds: the job cannot change what stands between it and us
        words += _mount(path, path, False, False, writable)
    for path in box.get("hide") or ():
        words += _hide(path, binds, writable)
    words += _baits(box.get("baits") or [], writable)
    return [*words, *(_nobody_special(box) if os.geteuid() == 0 else []), "--remount-ro", "/"]


def _nobody_special(box: dict[str, Any]) -> list[str]:
    """Root is somebody else inside: a kernel lets no root without powers make user namespaces, and agents refuse to be root."""
    users = "".join(f"{line}\n" for line in _read("/etc/passwd").splitlines())
    if not re.search(rf"^[^:]*:[^:]*:{GUEST}:", users, re.MULTILINE):
        users += f"agent:x:{GUEST}:{GUEST}::{box.get('home') or '/tmp'}:/bin/sh\n"
    return ["--uid", str(GUEST), "--gid", str(GUEST), "--ro-bind-data", DATA + users, "/etc/passwd"]


def _bind(one: dict[str, Any]) -> tuple[str, str, bool, bool]:
    source = str(one["source"])
    target = str(one.get("target") or source)
    for path in (source, target):
        if not path.startswith("/") or "/../" in f"{path}/":
            raise Refused(f"The path {path} is not absolute.", "Write the whole path.")
    return source, target, bool(one.get("write")), bool(one.get("optional"))


def _mount(source: str, target: str, write: bool, optional: bool, writable: list[str]) -> list[str]:
    if not os.path.exists(source):
        if optional:
            return []
        raise Refused(f"There is no {source}, which was to exist inside.", "Make it, or take it out of what the agent may reach.")
    straight(source, writable)
    kind = "--dev-bind" if source.startswith("/dev/") else "--bind" if write else "--ro-bind"
    return [kind, source, target]


def _link(source: str, number: int, binds: list[tuple[str, str, bool, bool]], writable: list[str]) -> list[str]:
    """A link stays a link when what it leads to exists inside: programs look about them from where they really are."""
    plain = [inside for outside, inside, _, _ in binds if outside == inside]
    if any(_below(source, inside) for outside, inside, _, _ in binds[:number] if outside == inside and not os.path.islink(outside)):
        return []
    straight(source, writable)
    to = os.path.normpath(os.path.join(os.path.dirname(source), os.readlink(source)))
    if any(_below(to, one) for one in plain if one != source):
        return ["--symlink", os.readlink(source), source]
    return _mount(source, source, False, True, writable)


def _below(path: str, top: str) -> bool:
    return path == top or path.startswith(f"{top.rstrip('/')}/")


def _hide(path: str, binds: list[tuple[str, str, bool, bool]], writable: list[str]) -> list[str]:
    """An empty file or folder over it; nothing when the host has nothing there."""
    source = path
    for outside, inside, _, _ in binds:
        if _below(path, inside):
            source = outside + path[len(inside.rstrip("/")):]
    try:
        facts = os.lstat(source)
    except OSError:
        return []
    straight(source, writable)
    if stat.S_ISDIR(facts.st_mode):
        return ["--perms", "0555", "--size", "4096", "--tmpfs", path, "--remount-ro", path]
    return ["--ro-bind-data", DATA, path]


def _baits(baits: list[dict[str, Any]], writable: list[str]) -> list[str]:
    """Stand-ins: their folder once, for the links into it, and each that lies over something."""
    there = [one for one in baits if os.path.lexists(one["source"])]
    words: list[str] = []
    for folder in dict.fromkeys(os.path.dirname(one["source"]) for one in there if one.get("links")):
        words += ["--ro-bind", folder, folder]
    for one in there:
        for link in one.get("links") or ():
            words += ["--symlink", one["source"], link]
        for target in one.get("targets") or ():
            words += _bait(one["source"], target, writable)
    return words


def _bait(source: str, target: str, writable: list[str]) -> list[str]:
    """A stand-in over this place; nothing where a link of the job's own would lead it astray."""
    try:
        straight(target, writable)
    except Refused:
        return []
    return ["--ro-bind", source, target]


def straight(path: str, writable: list[str]) -> None:
    """Refuse a path that passes through a link which a job could have put there: the mount would follow it anywhere."""
    for top in writable:
        if not path.startswith(f"{top.rstrip('/')}/"):
            continue
        here = top.rstrip("/")
        for part in path[len(here) + 1:].split("/"):
            here = f"{here}/{part}"
            if os.path.islink(here):
                raise Refused(f"{here} is a link inside a folder that the agent writes, so it cannot be used for {path}.",
                              "Name the place that it leads to, or remove the link.")


def interpreter() -> tuple[str, tuple[str, ...]]:
    """This Python without any environment of ours: the program, and the paths that it needs."""
    program = os.path.realpath(getattr(sys, "_base_executable", "") or sys.executable)
    library = os.path.dirname(os.path.realpath(os.__file__ or ""))
    return program, (program, library)


def complaint(text: str) -> Refused:
    """What bwrap said when it failed, as a sentence with its mend."""
    said = " ".join(line.removeprefix("bwrap: ") for line in text.strip().splitlines() if line)[:400]
    low = said.lower()
    apparmor = _read("/proc/sys/kernel/apparmor_restrict_unprivileged_userns") == "1"
    if apparmor and ("uid map" in low or "rtm_newaddr" in low or "permi" in low):
        return Refused(f"AppArmor keeps bubblewrap from making user namespaces ({said}).",
                       "Give bwrap a profile: copy /usr/share/apparmor/extra-profiles/bwrap-userns-restrict to /etc/apparmor.d/ "
                       "(package apparmor-profiles) and load it with `sudo apparmor_parser -r`.")
    if _read("/proc/sys/kernel/unprivileged_userns_clone") == "0" or _read("/proc/sys/user/max_user_namespaces") == "0":
        return Refused(f"This kernel's user namespaces are switched off ({said}).",
                       "Switch them on: `sudo sysctl kernel.unprivileged_userns_clone=1 user.max_user_namespaces=15000`.")
    if "unknown option" in low:
        return Refused(f"This bubblewrap is too old ({said}).", "Bring it up to date: 0.7 or newer is needed.")
    if "namespace" in low or "clone" in low:
        return Refused(f"New namespaces are refused here ({said}): a container's seccomp profile does that.",
                       "Run the factory outside the container, or give it `--security-opt seccomp=unconfined`.")
    if "proc" in low and ("mount" in low or "permi" in low):
        return Refused(f"A process table of its own is refused here ({said}): a container masks /proc.",
                       "Run the factory outside the container, or give it `--security-opt systempaths=unconfined`.")
    return Refused(f"bubblewrap failed: {said or 'it said nothing'}.", "Run `andon doctor`.")


def _read(path: str) -> str:
    try:
        with open(path, encoding="ascii") as file:
            return file.read().strip()
    except OSError:
        return ""
