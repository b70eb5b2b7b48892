"""Every system call that a job behind walls may not make is refused, name by name, on every machine that has rules."""

import errno
import os
import struct

import pytest

from andon.edges import seccomp

ALLOWED = 0
X86 = {
    "add_key": 248, "request_key": 249, "keyctl": 250, "bpf": 321, "perf_event_open": 298, "userfaultfd": 323, "kexec_load": 246,
    "kexec_file_load": 320, "init_module": 175, "finit_module": 313, "delete_module": 176, "open_by_handle_at": 304, "acct": 163,
    "swapon": 167, "swapoff": 168, "reboot": 169, "syslog": 103, "quotactl": 179, "mount": 165, "umount2": 166, "pivot_root": 155,
    "setns": 308, "io_uring_setup": 425, "io_uring_enter": 426, "io_uring_register": 427, "open_tree": 428, "move_mount": 429,
    "fsopen": 430, "fsconfig": 431, "fsmount": 432, "fspick": 433, "mount_setattr": 442,
}
"""As the kernel's own table has them."""
NEVER = {"add_key", "request_key", "keyctl", "bpf", "perf_event_open", "userfaultfd", "kexec_load", "kexec_file_load",
         "init_module", "finit_module", "delete_module", "open_by_handle_at", "acct", "swapon", "swapoff",
         "reboot", "syslog", "quotactl"}
ABSENT = {"io_uring_setup", "io_uring_enter", "io_uring_register"}
MOUNTING = {"mount", "umount2", "pivot_root", "setns", "open_tree", "move_mount", "fsopen", "fsconfig", "fsmount", "fspick",
            "mount_setattr"}


def judged(code: bytes, arch: int, number: int, *arguments: int) -> int:
    """What the kernel answers to a call under this program: 0, or the number of the error."""
    steps = list(struct.iter_unpack("<HBBI", code))
    data = struct.pack("<IIQ6Q", number, arch, 0, *arguments, *[0] * (6 - len(arguments)))
    held, at = 0, 0
    while True:
        op, yes, no, k = steps[at]
        at += 1
        if op == 0x06:
            return ALLOWED if k == 0x7FFF0000 else k & 0xFFFF
        if op == 0x20:
            held = struct.unpack_from("<I", data, k)[0]
        elif op == 0x54:
            held &= k
        else:
            at += yes if {0x15: held == k, 0x35: held >= k, 0x45: bool(held & k)}[op] else no


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
@pytest.mark.parametrize("nested", [True, False])
def test_each_call_past_the_walls_is_refused_by_its_name(machine: str, nested: bool) -> None:
    arch, own = seccomp.ARCHES[machine]
    number = X86 if machine == "x86_64" else {**own, **{name: X86[name] for name in X86 if X86[name] > 423}}
    code = seccomp.program(nested=nested, machine=machine)
    wanted = {**dict.fromkeys(NEVER, errno.EPERM), **dict.fromkeys(ABSENT, errno.ENOSYS),
              **dict.fromkeys(MOUNTING, ALLOWED if nested else errno.EPERM)}
    assert {name: judged(code, arch, number[name]) for name in wanted} == wanted
    assert {judged(code, arch, number) for number in (0 if machine == "x86_64" else 63, 437)} == {ALLOWED}


def test_the_numbers_are_those_of_this_kernel() -> None:
    told = {**seccomp.ARCHES["x86_64"][1], **seccomp._SAME}
    assert {name: told[name] for name in X86} == X86 and set(X86) == NEVER | ABSENT | MOUNTING


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_each_argument_that_counts_is_looked_at(machine: str) -> None:
    arch, own = seccomp.ARCHES[machine]
    plain, walled = seccomp.program(machine=machine), seccomp.program(nested=False, unix=False, inet="stream", machine=machine)
    ioctl, sock, pair = own["ioctl"], own["socket"], own["socketpair"]
    for code in (plain, walled):
        assert [judged(code, arch, ioctl, 0, request) for request in (0x5412, 0x541C, 7 << 32 | 0x5412)] == [errno.EPERM] * 3
        assert judged(code, arch, ioctl, 0, 0x5413) == ALLOWED
        assert [judged(code, arch, sock, 16, 3, protocol) for protocol in (0, 15, 9)] == [ALLOWED, errno.EPERM, errno.EPERM]
        assert {judged(code, arch, sock, family, 1) for family in (17, 38, 40, 44, 4)} == {errno.EAFNOSUPPORT}
        assert judged(code, 0x40000003, ioctl, 0, 0) == errno.ENOSYS, "another instruction set does not exist"
    assert [judged(walled, arch, sock, family, kind) for family, kind in ((1, 1), (2, 1), (10, 0x80001), (2, 2), (10, 3))] == [
        errno.EPERM, ALLOWED, ALLOWED, errno.EACCES, errno.EACCES]
    assert [judged(walled, arch, pair, 1, kind) for kind in (1, 2, 0x80002)] == [ALLOWED, errno.EPERM, errno.EPERM]
    namespaces = (0x20000, 0x2000000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000)
    for flag in namespaces:
        assert judged(walled, arch, own["unshare"], flag) == judged(walled, arch, own["clone"], flag | 17) == errno.EPERM, hex(flag)
        assert judged(plain, arch, own["unshare"], flag) == judged(plain, arch, own["clone"], flag | 17) == ALLOWED
    assert judged(walled, arch, own["unshare"], 0x80) == errno.EPERM, "a time namespace"
    assert (judged(walled, arch, own["clone3"]), judged(plain, arch, own["clone3"])) == (errno.ENOSYS, ALLOWED)
    if machine == "x86_64":
        assert {judged(code, arch, 0x40000000 + number) for code in (plain, walled) for number in (0, 16, 41)} == {errno.ENOSYS}
    assert os.uname().sysname != "Linux" or machine in seccomp.ARCHES
