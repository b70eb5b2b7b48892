"""Walls around a job: only what is bound exists, the terminal works as ever, doors carry every byte, and a stop leaves nothing."""

import fcntl
import os
import re
import signal
import struct
import subprocess
import termios
from collections.abc import Iterator
from pathlib import Path

import pytest

from andon.edges import bubblewrap, process, sandbox, seccomp
from andon.schema.sandbox import Bind, Forward, Limits, Sandbox
from support import wait_until
from wallkit import NOBODY, PYTHON, at_a_terminal, ended, launch, log, make, mutated, ready, room_of, run, stood, walls


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Path]:
    with room_of(tmp_path) as room:
        yield room


def sh(script: str) -> tuple[str, ...]:
    return ("sh", "-c", script)


# --- what exists inside --------------------------------------------------------------------------------------------------


def test_only_what_is_bound_exists_and_only_what_is_writable_can_be_written(room: Path, tmp_path: Path) -> None:
    (tmp_path / "beside").write_text("secret")
    (tmp_path / "read").mkdir()
    (tmp_path / "read/this").write_text("public")
    script = (f"cat {tmp_path}/beside; cat {tmp_path}/read/this; echo; echo x > {tmp_path}/read/that; echo x > /planted; "
              f"echo x > /usr/planted; echo kept > kept; echo x > /tmp/{tmp_path.name} && ls /tmp; ls /")
    end, text = run(room, *sh(script), box=walls(room, binds=(Bind(source=str(tmp_path / "read")),)))
    assert end.code == 0 and "secret" not in text and "public" in text
    assert text.count("Read-only file system") == 3 and (room / "kept").read_text() == "kept\n"
    assert {path.name for path in (tmp_path / "read").iterdir()} == {"this"} and not Path("/tmp", tmp_path.name).exists()
    assert {"home", "opt", "sys", "boot", "mnt"} & set(text.split("\n")) == set()


def test_a_later_bind_lies_over_an_earlier_one_and_may_appear_elsewhere(room: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text(name)
    box = walls(room, binds=(Bind(source=str(tmp_path / "one"), target="/data"), Bind(source=str(tmp_path / "two"), target="/data"),
                             Bind(source="/no/such", optional=True)))
    assert run(room, "cat", "/data/file", box=box)[1] == "two"


def test_what_is_hidden_looks_empty_and_cannot_be_changed(room: Path) -> None:
    (room / "held").mkdir()
    (room / "held/set").write_text("secret")
    (room / "plain").write_text("secret")
    box = walls(room, hide=(f"{room}/held", f"{room}/plain", f"{room}/not-there"))
    script = "cat held/set plain; ls -A held; echo x > held/x; echo x > plain; unlink plain; mv held else; wc -c < plain"
    end, text = run(room, *sh(script), box=box)
    assert "secret" not in text and text.rstrip().endswith("0") and end.code == 0
    assert (room / "held/set").read_text() == "secret" and (room / "plain").read_text() == "secret"
    assert {path.name for path in (room / "held").iterdir()} == {"set"} and not (room / "not-there").exists()


def test_a_link_planted_where_the_job_writes_leads_no_later_mount_away(room: Path, tmp_path: Path) -> None:
    (tmp_path / "person").mkdir()
    (room / "cache").symlink_to(tmp_path / "person")
    over, under = (Bind(source=f"{room}/cache", write=True),), (f"{room}/cache/x/y", f"{room}/cache")
    for box in (walls(room, binds=over), walls(room, hide=under)):
        (tmp_path / "person/x").mkdir(exist_ok=True)
        (tmp_path / "person/x/y").write_text("")
        end, _ = run(room, *sh("echo x > cache/planted"), box=box)
        assert end.because == "not-started" and "is a link inside a folder that the agent writes" in end.sandbox_error
    assert list((tmp_path / "person").glob("planted")) == []


def test_home_is_its_own_and_the_environment_is_exactly_the_jobs(room: Path) -> None:
    (room / "house").mkdir()
    box = walls(room, home=f"{room}/house")
    text = run(room, "/usr/bin/env", box=box, env={"A": "é x", "HOME": "/root"})[1]
    assert sorted(text.splitlines()) == ["A=é x", f"HOME={room}/house"]
    assert run(room, *sh("echo x > ~/x"), box=box)[0].code == 0 and (room / "house/x").exists()


def test_secrets_of_the_environment_are_on_no_command_line_and_in_no_environment_of_the_walls(room: Path) -> None:
    job = make(room, *sh("echo ready; sleep 60"), box=walls(room), env={"PATH": os.environ["PATH"], "KEY": "sk-very-secret"})
    shim = launch(job)
    ready(job)

    def look() -> dict[str, bytes]:
        found = [Path("/proc", str(one.pid)) for one in process.descendants(shim.pid)]
        return {(one / "comm").read_text().strip(): b"".join((one / name).read_bytes() for name in ("cmdline", "environ"))
                for one in found}

    wait_until(lambda: "sleep" in look(), what="the last process")
    seen = look()
    shim.terminate()
    shim.wait(20)
    assert "bwrap" in seen and b"sk-very-secret" in seen.pop("sleep") + seen.pop("sh")
    assert all(b"sk-very-secret" not in data for data in seen.values())


OPEN = """
import os
def is_open(fd):
    try: return bool(os.fstat(fd))
    except OSError: return False
print([fd for fd in range(1024) if is_open(fd)])
"""


def test_it_inherits_no_descriptor_of_the_shim_or_of_its_walls(room: Path) -> None:
    for level in ("strict", "partial"):
        box = walls(room, level, limits=Limits(memory_mb=4000))
        assert run(room, PYTHON, "-I", "-S", "-c", OPEN, box=box)[1].strip() == "[0, 1, 2]"


def test_rubbish_on_the_line_between_the_walls_and_the_shim_harms_nothing(room: Path) -> None:
    script = "for one in /proc/2/fd/*; do echo rubbish > $one; echo 99999999999 > $one; done 2>/dev/null; sleep 0.1; exit 5"
    end, _ = run(room, *sh(script), box=walls(room))
    assert (end.code, end.because) == (5, "exit")


def test_from_its_first_moment_a_job_finds_no_way_to_the_report_of_its_own_start(room: Path) -> None:
    for _ in range(5):  # two pipes: words to the shim, and the way back
        assert run(room, *sh("ls -l /proc/2/fd | grep -c pipe:"), box=walls(room))[1].strip() == "2"


def test_it_sees_its_own_processes_alone_and_has_its_own_name(room: Path) -> None:
    text = run(room, *sh("ls -d /proc/[0-9]* | wc -l; uname -n; cat /proc/self/status | grep CapEff"), box=walls(room))[1].split()
    assert int(text[0]) < 9 and text[1] == "andon" and int(text[3], 16) == 0


# --- walls that cannot be built --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("patch", "says", "mends"), [
    ("bubblewrap.PROGRAM = 'bwrap-not-here'", "bubblewrap is not installed", "apt install bubblewrap"),
    ("bubblewrap.ALWAYS = (*bubblewrap.ALWAYS, '--no-such-option')", "too old", "0.7 or newer"),
    ("seccomp.ARCHES.clear()", "no table of system calls", "level partial"),
    ("bubblewrap.find = lambda: '/bin/false'", "bubblewrap failed", "andon doctor"),
])
def test_without_its_walls_a_job_does_not_run_and_says_why_and_what_to_do(room: Path, patch: str, says: str, mends: str) -> None:
    job = make(room, *sh("echo ran > ran"), box=walls(room))
    launch(job, mutated(patch)(job)).wait(20)
    end = ended(job)
    assert (end.because, end.code) == ("not-started", 126) and says in end.sandbox_error and mends in end.sandbox_error
    assert end.error == end.sandbox_error and not (room / "ran").exists()


def test_a_path_that_is_not_there_is_named(room: Path) -> None:
    for level in ("strict", "partial"):
        end, _ = run(room, "true", box=walls(room, level, binds=(Bind(source="/no/such/place"),)))
        assert end.because == "not-started" and "/no/such/place" in end.sandbox_error


@pytest.mark.parametrize(("kernel", "said", "names", "mends"), [
    ({"apparmor_restrict_unprivileged_userns": "1"}, "bwrap: setting up uid map: Permission denied", "AppArmor", "apparmor_parser"),
    ({"unprivileged_userns_clone": "0"}, "bwrap: No permissions to create a new namespace", "switched off", "sysctl"),
    ({}, "bwrap: Creating new namespace failed: Operation not permitted", "container", "seccomp=unconfined"),
    ({}, "bwrap: Can't mount proc on /newroot/proc: Operation not permitted", "container masks /proc", "systempaths"),
    ({}, "", "it said nothing", "doctor"),
])
def test_bubblewraps_words_become_a_cause_and_a_mend(
    kernel: dict[str, str], said: str, names: str, mends: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bubblewrap, "_read", lambda path: kernel.get(path.rpartition("/")[2], ""))
    refused = bubblewrap.complaint(said)
    assert names in refused.what and mends in refused.mend


# --- how it ends ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("script", "code", "signum"), [
    ("exit 7", 7, None), ("exit 137", 137, None), ("exit 255", 255, None), ("kill -KILL $$", None, signal.SIGKILL),
    ("kill -TERM $$", None, signal.SIGTERM), ("kill -SEGV $$", None, signal.SIGSEGV), ("kill -KILL -1", None, signal.SIGKILL),
])
def test_code_and_signal_pass_through_unchanged(room: Path, script: str, code: int | None, signum: int | None) -> None:
    end, _ = run(room, *sh(script), box=walls(room))
    assert (end.code, end.signal, end.because) == (code, signum, "exit")


def test_a_shim_that_is_killed_takes_everything_with_it(room: Path) -> None:
    script = "import os, time\nif not os.fork():\n os.setsid()\nprint('ready', flush=True)\ntime.sleep(600)"
    job = make(room, PYTHON, "-I", "-S", "-c", script, box=walls(room, forwards=(Forward(port=9000, socket=f"{room}/none"),)))
    shim = launch(job)
    ready(job)
    tree = [one.pid for one in process.descendants(shim.pid)]
    shim.kill()
    shim.wait(20)
    wait_until(lambda: not any(Path("/proc", str(pid)).exists() for pid in tree), what="the end of all of it")
    assert len(tree) >= 6


# --- the terminal -------------------------------------------------------------------------------------------------------------

AGENT = """
import fcntl, os, select, signal, struct, sys, termios
def say(*words): os.write(1, (" ".join(map(str, words)) + "\\n").encode())
def size(*_): say("size", *struct.unpack("HHHH", fcntl.ioctl(0, termios.TIOCGWINSZ, bytes(8)))[:2])
signal.signal(signal.SIGWINCH, size)
signal.signal(signal.SIGINT, lambda *_: say("interrupted"))
signal.signal(signal.SIGCONT, lambda *_: say("continued"))
say("ready", os.tcgetpgrp(0) == os.getpgrp() == os.getpid(), os.isatty(0), os.isatty(2))
while True:
    if select.select((0,), (), (), 0.02)[0]:  # a signal just before a plain read would wait for the next key
        line = os.read(0, 100)
        if not line: break
        say("heard", line.strip().upper().decode())
"""


@pytest.mark.parametrize("level", ["strict", "partial", "none"])
def test_an_agent_at_a_terminal_has_its_foreground_its_keys_and_its_size(room: Path, level: str) -> None:
    job = make(room, PYTHON, "-I", "-S", "-c", AGENT, box=walls(room, level), log=False)  # type: ignore[arg-type]
    with at_a_terminal(job) as screen:
        screen.await_("ready True True True")
        for rows in (33, 44):
            fcntl.ioctl(screen.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, 99, 0, 0))
            screen.await_(f"size {rows} 99")
        screen.keys(b"hello\n")
        screen.await_("heard HELLO")
        screen.keys(b"\x03")
        screen.await_("interrupted")
        screen.keys(b"\x1a")
        screen.await_("continued")
        screen.keys(b"still there\n")
        screen.await_("heard STILL THERE")
        screen.keys(b"\x04")
        screen.shim.wait(20)
    assert (ended(job).code, ended(job).because) == (0, "exit")


def running(shim: int) -> set[str]:
    """Names of what runs under a shim."""
    return {path.read_text().strip() for one in process.descendants(shim) if (path := Path("/proc", str(one.pid), "comm")).exists()}


def test_a_shell_inside_has_job_control(room: Path) -> None:
    env = {"PATH": os.environ["PATH"], "PS1": "@ ", "TERM": "dumb"}
    job = make(room, "bash", "--norc", "-i", box=walls(room), log=False, env=env)
    with at_a_terminal(job) as screen:
        screen.await_("@ ")
        screen.keys(b"sleep 100\n")
        wait_until(lambda: "sleep" in running(screen.shim.pid), what="the sleeper")
        screen.keys(b"\x1a")
        screen.await_("Stopped")
        screen.keys(b"kill -KILL %1; wait %1; echo over$((1+1))\n")
        screen.await_("over2")
        assert "no job control" not in screen.text and "cannot set terminal" not in screen.text
        screen.keys(b"exit 4\n")
        screen.shim.wait(20)
    assert ended(job).code == 4


def test_a_pane_that_is_closed_ends_the_job(room: Path) -> None:
    job = make(room, *sh("echo ready; sleep 600 & sleep 600"), box=walls(room), log=False)
    with at_a_terminal(job) as screen:
        screen.await_("ready")
        screen.shim.send_signal(signal.SIGHUP)
        screen.shim.wait(20)
    assert ended(job).because == "stopped"


# --- system calls --------------------------------------------------------------------------------------------------------------

PROBE = """
import ctypes, errno, os, socket, sys
libc = ctypes.CDLL(None, use_errno=True)
def call(*args):
    done = libc.syscall(*(ctypes.c_long(one) for one in args))
    return "ok" if done >= 0 else errno.errorcode[ctypes.get_errno()]
def family(*args):
    try: socket.socket(*args).close()
    except OSError as error: return errno.errorcode[error.errno]
    return "ok"
n = dict(part.split("=") for part in sys.argv[1].split(","))
buffer = ctypes.addressof(ctypes.create_string_buffer(b"x" * 64))
print("tiocsti", call(n["ioctl"], 0, 0x5412, buffer) if 0 else call(int(n["ioctl"]), 0, 0x5412, buffer))
print("tiocsti-high", call(int(n["ioctl"]), 0, 0x5412 | 0x7 << 32, buffer))
print("tioclinux", call(int(n["ioctl"]), 0, 0x541C, buffer))
print("keyctl", call(int(n["keyctl"]), 0, 0))
print("io_uring", call(425, 8, buffer))
print("vsock", family(40, 1)); print("packet", family(17, 3)); print("alg", family(38, 5))
print("unix", family(1, 1)); print("inet", family(2, 1)); print("udp", family(2, 2)); print("inet6", family(10, 1))
print("route", family(16, 3, 0)); print("uevent", family(16, 3, 15))
print("pair", "ok" if socket.socketpair() else "")
try: print("pair-dgram", "ok" if socket.socketpair(1, 2) else "")
except OSError as error: print("pair-dgram", errno.errorcode[error.errno])
print("unshare", call(int(n["unshare"]), 0x10000000))
"""


def probe(room: Path, box: Sandbox) -> dict[str, str]:
    numbers = seccomp.ARCHES[os.uname().machine][1]
    given = ",".join(f"{name}={numbers[name]}" for name in ("ioctl", "keyctl", "unshare"))
    _, text = run(room, PYTHON, "-I", "-S", "-c", PROBE, given, box=box)
    return dict(line.split() for line in text.splitlines())


def test_system_calls_that_reach_past_the_walls_are_refused(room: Path) -> None:
    said = probe(room, walls(room))
    assert (said["tiocsti"], said["tiocsti-high"], said["tioclinux"]) == ("EPERM",) * 3
    assert (said["keyctl"], said["io_uring"], said["uevent"]) == ("EPERM", "ENOSYS", "EPERM")
    assert {said[name] for name in ("vsock", "packet", "alg")} == {"EAFNOSUPPORT"}
    assert {said[name] for name in ("unix", "inet", "udp", "inet6", "route", "pair", "pair-dgram", "unshare")} == {"ok"}
    assert probe(room, walls(room, nested=False))["unshare"] == "EPERM"


def test_behind_landlock_there_is_no_unix_socket_and_only_the_network_that_it_may_have(room: Path) -> None:
    none = probe(room, walls(room, "partial"))
    assert (none["unix"], none["pair"], none["pair-dgram"]) == ("EPERM", "ok", "EPERM")
    assert (none["inet"], none["inet6"]) == ("EACCES", "EACCES")
    host = probe(room, walls(room, "partial", network="host"))
    assert (host["unix"], host["inet"], host["udp"], host["tiocsti"], host["unshare"]) == ("EPERM", "ok", "ok", "EPERM", "EPERM")


@pytest.mark.parametrize("machine", seccomp.ARCHES)
@pytest.mark.parametrize("nested", [True, False])
@pytest.mark.parametrize("unix", [True, False])
@pytest.mark.parametrize("inet", ["all", "stream", "none"])
def test_the_rules_hold_to_the_bit_on_every_machine_that_has_them(machine: str, nested: bool, unix: bool, inet: str) -> None:
    arch, own = seccomp.ARCHES[machine]
    judge = Machine(seccomp.program(nested=nested, unix=unix, inet=inet, machine=machine), arch)
    assert judge(own["socket"], 1, 1, 0) is unix
    assert judge(own["socket"], 2, 1 | 0x80000, 0) is (inet != "none") and judge(own["socket"], 10, 2, 0) is (inet == "all")
    assert judge(own["socket"], 16, 3, 0) and not judge(own["socket"], 16, 3, 15) and not judge(own["socket"], 40, 1, 0)
    assert not judge(own["ioctl"], 0, 0x5412) and not judge(own["ioctl"], 0, 0x5412 | 1 << 40) and judge(own["ioctl"], 0, 0x5413)
    assert judge(own["unshare"], 0x10000000) is nested and judge(own["unshare"], 0x400)
    assert judge(own["clone"], 0x11) and judge(own["clone"], 0x20000011) is nested and judge(own["mount"]) is nested
    assert not judge(own["keyctl"]) and not judge(425) and judge(0 if machine == "x86_64" else 63)
    assert not Machine(judge.code, 0x40000003)(own["ioctl"]), "another instruction set"


class Machine:
    """Runs a BPF program as the kernel does; True: allowed."""

    def __init__(self, code: bytes, arch: int) -> None:
        self.code, self.arch = code, arch
        self.steps = list(struct.iter_unpack("<HBBI", code))

    def __call__(self, number: int, *arguments: int) -> bool:
        data = struct.pack("<IIQ6Q", number, self.arch, 0, *arguments, *[0] * (6 - len(arguments)))
        a, at = 0, 0
        while True:
            op, yes, no, k = self.steps[at]
            at += 1
            if op == 0x20:
                a = struct.unpack_from("<I", data, k)[0]
            elif op == 0x54:
                a &= k
            elif op == 0x06:
                return bool(k == 0x7FFF0000)
            else:
                hit = {0x15: a == k, 0x35: a >= k, 0x45: bool(a & k)}[op]
                at += yes if hit else no


def test_an_agent_may_bring_walls_of_its_own(room: Path) -> None:
    inner = "bwrap --unshare-all --ro-bind / / --dev /dev --tmpfs /tmp true && echo nested"
    assert "nested" in run(room, *sh(inner), box=walls(room))[1]
    assert "nested" not in run(room, *sh(inner), box=walls(room, nested=False))[1]


# --- limits ----------------------------------------------------------------------------------------------------------------------


def test_limits_of_memory_files_tmp_and_core_hold(room: Path) -> None:
    box = walls(room, limits=Limits(memory_mb=400, file_mb=3, tmp_mb=2))
    script = (f"'{PYTHON}' -I -S -c 'bytearray(500 << 20)' 2>&1 | tail -1; head -c 4000000 /dev/zero > big; "
              "ls -s --block-size=M big; head -c 3000000 /dev/zero > /tmp/big; ulimit -c; df -m /tmp /dev/shm | grep -c .")
    _, text = run(room, *sh(script), box=box)
    assert "MemoryError" in text and "3M big" in text and "No space left" in text and "\n0\n3\n" in text


def test_what_cannot_be_limited_is_told(room: Path) -> None:
    job = make(room, "true", box=walls(room))
    launch(job).wait(20)
    about = stood(job)
    assert about.level == "strict" and any("processes is not limited" in one for one in about.told) == (os.geteuid() == 0)


# --- what this machine gives -------------------------------------------------------------------------------------------------


def test_the_level_that_is_reached_comes_with_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    sandbox.look_again()
    assert (sandbox.reached("strict").level, sandbox.reached("strict").because) == ("strict", "")
    assert re.fullmatch(r"bubblewrap \d+\.\d+.*", sandbox.reached().tool)
    monkeypatch.setattr(bubblewrap, "PROGRAM", "bwrap-not-here")
    without = sandbox.reached("strict")
    assert without.level == "partial", "noticed at once"
    assert "not installed" in without.because and "apt install" in without.mend
    monkeypatch.setattr(bubblewrap, "PROGRAM", "bwrap")
    assert sandbox.reached("strict").level == "strict", "and that it is back too"
    monkeypatch.setattr(bubblewrap, "PROGRAM", "bwrap-not-here")
    sandbox.look_again()
    monkeypatch.setattr("andon.edges.landlock.version", lambda: 0)
    least = sandbox.reached("strict")
    assert least.level == "none" and "not installed" in least.because and "no Landlock" in least.because and "apt" in least.mend
    assert sandbox.reached("partial").level == "none" and sandbox.reached("none").because
    sandbox.look_again()


def sources(program: str, path: str = "") -> set[str]:
    base = {one.source for one in sandbox.base_binds()}
    found = sandbox.toolchain_binds(program, path)
    assert not any(one.write for one in found)
    return {one.source for one in found} - base


def test_a_program_gets_its_own_files_and_nothing_else_of_the_persons_home(own_home: Path) -> None:
    def program(path: str, text: str) -> Path:
        made = own_home / path
        made.parent.mkdir(parents=True, exist_ok=True)
        made.write_text(text)
        made.chmod(0o755)
        return made

    for secret in (".ssh/id", ".local/share/keyrings/x", ".config/gh/hosts.yml", "project/secret", "project/node_modules/x"):
        program(secret, "secret")
    native = program(".local/share/agent/versions/1.2/agent", "\x7fELF")
    (own_home / ".local/bin").mkdir(parents=True)
    (own_home / ".local/bin/agent").symlink_to(native)
    node = program("tools/node-20/bin/node", "\x7fELF")
    (own_home / "tools/current").symlink_to("node-20")
    cli = program("project/node_modules/cli/bin/cli.js", "#!/usr/bin/env -S node --flag\n")
    (own_home / "project/node_modules/.bin").mkdir()
    (own_home / "project/node_modules/.bin/cli").symlink_to("../cli/bin/cli.js")
    shared = program(".local/bin/plain", "#!/bin/sh\n")
    program("venv/pyvenv.cfg", "home = /usr/bin\n")
    (own_home / "venv/bin").mkdir()
    (own_home / "venv/bin/python").symlink_to("/usr/bin/python3")
    tool = program("venv/bin/tool", f"#!{own_home}/venv/bin/python\n")

    assert sources("agent", f"{own_home}/.local/bin") == {f"{own_home}/.local/bin/agent", str(native.parent)}
    found = sources(f"{own_home}/project/node_modules/.bin/cli", f"{own_home}/tools/current/bin")
    assert found == {f"{own_home}/project/node_modules", f"{own_home}/tools/current", str(node.parent)} and cli.exists()
    assert sources("plain", f"{own_home}/.local/bin") == {str(shared)}
    assert sources(str(tool)) == {f"{own_home}/venv"}
    assert sources("git", os.environ["PATH"]) == sources("no-such-program", os.environ["PATH"]) == set()


@pytest.mark.parametrize("level", ["strict", "partial"])
def test_git_commits_inside_with_the_systems_settings_and_those_of_its_home(room: Path, level: str) -> None:
    (room / ".gitconfig").write_text("[user]\n\tname = A\n\temail = a@localhost\n")
    script = "set -e; git init -q repo; cd repo; echo x > x; git add x; git commit -qm Work; git log --format=%an%s"
    end, text = run(room, *sh(script), box=walls(room, level, home=str(room)))  # type: ignore[arg-type] # a Level
    assert (end.code, text) == (0, "AWork\n")


def test_programs_really_run_with_what_was_found_for_them(room: Path) -> None:
    commands = ((PYTHON, "-c", "import msgspec, ssl, sqlite3"), ("git", "version"), ("node", "-p", "1"),
                (str(Path(PYTHON).with_name("pytest")), "--version"))
    for program, *words in commands:
        if not sandbox.locate(program, os.environ["PATH"]):
            continue
        needs = sandbox.toolchain_binds(program, os.environ["PATH"])
        box = Sandbox(level="strict", binds=(*needs, Bind(source=str(room), write=True)))
        end, text = run(room, program, *words, box=box)
        assert end.code == 0, (program, text)


# --- as somebody who is not root ---------------------------------------------------------------------------------------------

OTHER = """
import asyncio, os, sys, tempfile
from pathlib import Path
import test_doors as d, test_sandbox as t
from andon.schema.sandbox import Forward
from andon.edges import attacks, sandbox
top = tempfile.TemporaryDirectory(prefix="andon-user-")
room = Path(top.name)
assert os.getuid() == t.NOBODY and sandbox.reached().level == "strict", sandbox.reached()
box = t.walls(room, limits=t.Limits(processes=40))
end, text = t.run(room, t.PYTHON, "-I", "-S", "-c", t.FORKS, box=box)
assert 25 <= int(text) <= 40, text
server = d.Echo(room / "e.sock")
box = t.walls(room, forwards=(Forward(port=9000, socket=str(room / "e.sock")),))
end, text = t.run(room, t.PYTHON, "-I", "-S", "-c", d.TALK, "9000", "10", "400", box=box)
assert text.strip() == "10 of 10", text
server.close()
for level in ("strict", "partial"):
    found = asyncio.run(attacks.matrix(level, room))
    print(level, attacks.worked(found), *attacks.succeeded(found))
top.cleanup()
"""
FORKS = """
import os, signal
pids = []
try:
    while len(pids) < 200:
        pid = os.fork()
        if not pid: signal.pause()
        pids.append(pid)
except BlockingIOError: pass
print(len(pids))
[os.kill(one, 9) for one in pids]
"""


def test_a_user_who_is_not_root_gets_the_same_walls_and_a_limit_of_processes(tmp_path: Path) -> None:
    python = "/usr/bin/python3"
    if os.geteuid() != 0:
        pytest.skip("NOT TESTED: another user can be played by root alone; as this user the rest of this file has run")
    version = "import sys; print(*sys.version_info[:2])"
    same = [subprocess.run((one, "-c", version), capture_output=True, text=True, check=False).stdout for one in (python, PYTHON)]
    if same[0] != same[1]:
        pytest.skip("NOT TESTED: there is no system Python of this version that another user could run")
    top = Path(__file__).resolve().parents[2]
    rooms = [top / "daemon", top / "tests", top / "tests/edges", *Path(PYTHON).parents[1].glob("lib/python3*/site-packages")]
    env = {"PATH": "/usr/bin:/bin", "PYTHONPATH": ":".join(map(str, rooms)), "HOME": "/nonexistent", "PYTHONDONTWRITEBYTECODE": "1"}
    argv = ("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", python, "-c", OTHER)
    done = subprocess.run(argv, env=env, cwd="/", capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout.splitlines() == ["strict True", "partial True read-holdback"], done.stdout + done.stderr


def test_the_log_of_a_job_holds_what_it_wrote_and_nothing_of_its_walls(room: Path) -> None:
    job = make(room, *sh("echo out; echo err >&2"), box=walls(room))
    launch(job).wait(20)
    assert log(job) == "out\nerr\n"
