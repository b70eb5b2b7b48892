"""System calls that a job behind walls may not make, as a BPF program of our own; stdlib only, and it must never know the job.

Theory of operation. The kernel runs a small program at each system call, over its number and the *values* of its arguments. It
cannot follow pointers, so it judges families of sockets and requests of ioctl, never paths. An argument is compared by its low
32 bits, because that is what the kernel itself looks at: a request with rubbish in the high half would slip past a comparison
of all 64. Calls of another instruction set on the same machine (32-bit programs) do not exist behind these walls.
"""

import errno
import os
import struct

_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _AND, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x54, 0x06
_ALLOW, _ERRNO = 0x7FFF0000, 0x00050000
_NUMBER, _ARCH, _ARGUMENT = 0, 4, 16
_X32 = 0x40000000
UNIX, INET, INET6, NETLINK = 1, 2, 10, 16
"""Families of sockets."""
_STREAM, _DATAGRAM, _TYPE_BITS = 1, 2, 0xF
TIOCSTI, TIOCLINUX = 0x5412, 0x541C
_NAMESPACES = 0x7E020080
"""Every CLONE_NEW flag (the lowest is NEWTIME, which clone itself does not take)."""
_CLONE_NAMESPACES = 0x7E020000

ARCHES: dict[str, tuple[int, dict[str, int]]] = {
    "x86_64": (0xC000003E, {
        "ioctl": 16, "socket": 41, "socketpair": 53, "clone": 56, "clone3": 435, "unshare": 272, "setns": 308, "mount": 165,
        "umount2": 166, "pivot_root": 155, "add_key": 248, "request_key": 249, "keyctl": 250, "bpf": 321, "perf_event_open": 298,
        "userfaultfd": 323, "kexec_load": 246, "kexec_file_load": 320, "init_module": 175, "finit_module": 313,
        "delete_module": 176, "open_by_handle_at": 304, "acct": 163, "swapon": 167, "swapoff": 168, "reboot": 169, "syslog": 103,
        "quotactl": 179,
    }),
    "aarch64": (0xC00000B7, {
        "ioctl": 29, "socket": 198, "socketpair": 199, "clone": 220, "clone3": 435, "unshare": 97, "setns": 268, "mount": 40,
        "umount2": 39, "pivot_root": 41, "add_key": 217, "request_key": 218, "keyctl": 219, "bpf": 280, "perf_event_open": 241,
        "userfaultfd": 282, "kexec_load": 104, "kexec_file_load": 294, "init_module": 105, "finit_module": 273,
        "delete_module": 106, "open_by_handle_at": 265, "acct": 89, "swapon": 224, "swapoff": 225, "reboot": 142, "syslog": 116,
        "quotactl": 60,
    }),
}
"""By machine: how the kernel names its instruction set, and numbers of calls."""
_SAME = {"io_uring_setup": 425, "io_uring_enter": 426, "io_uring_register": 427, "open_tree": 428, "move_mount": 429, "fsopen": 430,
         "fsconfig": 431, "fsmount": 432, "fspick": 433, "mount_setattr": 442}
"""Numbers that are the same on every machine."""
NEVER = ("add_key", "request_key", "keyctl", "bpf", "perf_event_open", "userfaultfd", "kexec_load", "kexec_file_load",
         "init_module", "finit_module", "delete_module",
         "open_by_handle_at", "acct", "swapon", "swapoff", "reboot", "syslog", "quotactl")
"""Refused (EPERM): the kernel's keyrings, which no namespace divides, and what a job never needs."""
ABSENT = ("io_uring_setup", "io_uring_enter", "io_uring_register")
"""As if the kernel had them not (ENOSYS): io_uring makes sockets and connects them past every rule here."""
MOUNTING = ("mount", "umount2", "pivot_root", "setns", "open_tree", "move_mount", "fsopen", "fsconfig", "fsmount", "fspick",
            "mount_setattr")
"""Refused to a job that may not bring walls of its own."""


class Unknown(Exception):
    """This machine's instruction set has no table here."""


def program(*, nested: bool = True, unix: bool = True, inet: str = "all", machine: str = "") -> bytes:
    """The BPF program for bwrap's `--seccomp`, or for `load`.

    `nested`: it may make namespaces and mounts. `unix`: it may make unix sockets (pairs of connected ones it may always make).
    `inet`: `all`, `stream` (TCP alone) or `none`. Raises Unknown.
    """
    machine = machine or os.uname().machine
    if machine not in ARCHES:
        raise Unknown(f"no table of system calls for {machine}")
    arch, own = ARCHES[machine]
    number = {**own, **_SAME}
    code = [_load(_ARCH), (_EQUAL, 1, 0, arch), _refuse(errno.ENOSYS), _load(_NUMBER)]
    if machine == "x86_64":
        code += [(_AT_LEAST, 0, 1, _X32), _refuse(errno.ENOSYS)]
    for name in ABSENT:
        code += [(_EQUAL, 0, 1, number[name]), _refuse(errno.ENOSYS)]
    for name in NEVER + (() if nested else MOUNTING):
        code += [(_EQUAL, 0, 1, number[name]), _refuse(errno.EPERM)]
    code += _when(number["ioctl"], _requests())
    code += _when(number["socket"], _families(unix, inet))
    if not unix:  # an unconnected kind of pair can be sent to any path
        code += _when(number["socketpair"], [*_masked(1, _TYPE_BITS), (_EQUAL, 0, 1, _DATAGRAM), _refuse(errno.EPERM)])
    if not nested:
        code += _when(number["unshare"], [_load(_ARGUMENT), (_ANY_BIT, 0, 1, _NAMESPACES), _refuse(errno.EPERM)])
        code += _when(number["clone"], [_load(_ARGUMENT), (_ANY_BIT, 0, 1, _CLONE_NAMESPACES), _refuse(errno.EPERM)])
        code += [(_EQUAL, 0, 1, number["clone3"]), _refuse(errno.ENOSYS)]  # its flags lie behind a pointer; libraries fall back
    code.append((_RETURN, 0, 0, _ALLOW))
    return b"".join(struct.pack("<HBBI", *one) for one in code)


Step = tuple[int, int, int, int]


def _load(offset: int) -> Step:
    return (_LOAD, 0, 0, offset)


def _refuse(number: int) -> Step:
    return (_RETURN, 0, 0, _ERRNO | number)


def _masked(argument: int, bits: int) -> list[Step]:
    return [_load(_ARGUMENT + 8 * argument), (_AND, 0, 0, bits)]


def _when(number: int, steps: list[Step]) -> list[Step]:
    """These steps for this call alone. Whoever falls through finds the call's number loaded again."""
    return [(_EQUAL, 0, len(steps) + 1, number), *steps, _load(_NUMBER)]


def _requests() -> list[Step]:
    """Nobody types into the terminal that it shares with whatever comes after it."""
    return [_load(_ARGUMENT + 8), (_EQUAL, 1, 0, TIOCSTI), (_EQUAL, 0, 1, TIOCLINUX), _refuse(errno.EPERM)]


def _families(unix: bool, inet: str) -> list[Step]:
    """Sockets by family; netlink only to ask for routes and addresses."""
    plain = ([UNIX] if unix else []) + ([INET, INET6] if inet == "all" else [])
    streams = [INET, INET6] if inet == "stream" else []
    netlink = [_load(_ARGUMENT + 16), (_EQUAL, 1, 0, 0), _refuse(errno.EPERM)]  # protocol 0 is NETLINK_ROUTE
    stream = [*_masked(1, _TYPE_BITS), (_EQUAL, 1, 0, _STREAM), _refuse(errno.EACCES)]
    known = [(UNIX, errno.EPERM), (INET, errno.EACCES), (INET6, errno.EACCES)]
    refused = [(family, number) for family, number in known if family not in plain + streams]
    steps: list[Step] = []
    rest = len(refused) * 2 + 1  # refusals with their own errno, then the one for all other families
    blocks: list[tuple[list[int], list[Step]]] = [(plain, []), (streams, stream), ([NETLINK], netlink)]
    tail = [step for family, number in refused for step in ((_EQUAL, 0, 1, family), _refuse(number))]
    tail.append(_refuse(errno.EAFNOSUPPORT))
    for families, checks in reversed(blocks):
        for family in families:
            # a hit runs its checks and then jumps over everything below
            body = [*checks, (_EQUAL, rest + len(steps), rest + len(steps), 0)]
            steps = [(_EQUAL, 0, len(body), family), *body, *steps]
    return [_load(_ARGUMENT), *steps, *tail]


def load(code: bytes) -> None:
    """Put this process, and all that comes of it, under the program for good. Raises OSError."""
    import ctypes

    class Filter(ctypes.Structure):
        """struct sock_fprog."""

        _fields_ = [("length", ctypes.c_ushort), ("steps", ctypes.c_void_p)]

    libc = ctypes.CDLL(None, use_errno=True)
    steps = ctypes.create_string_buffer(code, len(code))
    filter_ = Filter(len(code) // 8, ctypes.addressof(steps))
    if libc.prctl(38, 1, 0, 0, 0):  # PR_SET_NO_NEW_PRIVS
        raise OSError(ctypes.get_errno(), "no_new_privs")
    if libc.prctl(22, 2, ctypes.byref(filter_), 0, 0):  # PR_SET_SECCOMP, SECCOMP_MODE_FILTER
        raise OSError(ctypes.get_errno(), "seccomp")
