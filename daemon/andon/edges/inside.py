"""The first program inside strict walls: it starts the job, tells how it ended, and must never know more than its plan.

Theory of operation. bwrap cannot tell an exit code of 137 from a death by signal 9, it shares a process group with what it runs
(Ctrl-C would end the walls), and nobody would let a suspended job go on. So this witness stands between: bwrap and it ignore
every signal that a terminal or a stop can send; the job is its child, in a process group that exists inside, with the terminal's
foreground and fresh signals. It gets no environment and loads next to nothing; it is run as `python -I -S inside.py` with the
numbers of five descriptors: the plan, the real standard error, a report of a failed start (closed by the job's start), words to
the shim, and the way back (closed when it may end).
"""

# It must start in a blink: pathlib, contextlib, signal and json would double that.
import _signal  # type: ignore[import-not-found] # the part of signal that loads no enum; typeshed does not know it
import os
import resource
import sys

STOPPED_BY_KEY = 20
"""SIGTSTP."""


def read_all(fd: int) -> bytes:
    """Everything up to the end."""
    data = b""
    while chunk := os.read(fd, 65536):
        data += chunk
    os.close(fd)
    return data


def pack(cwd: str, limits: dict[str, int], argv: list[str], env: dict[str, str]) -> bytes:
    """The plan as bytes; `unpack` reads them."""
    words = [cwd, ",".join(f"{name}={value}" for name, value in limits.items()), str(len(argv)), *argv]
    words += [f"{name}={value}" for name, value in env.items()]
    if any("\0" in word for word in words):
        raise ValueError("embedded null byte")
    return "\0".join(words).encode(errors="surrogateescape")


def unpack(data: bytes) -> tuple[str, dict[str, int], list[str], dict[str, str]]:
    """Working directory, limits, command, environment."""
    cwd, limits, count, *words = data.decode(errors="surrogateescape").split("\0")
    named = {name: int(value) for name, _, value in (one.partition("=") for one in limits.split(",") if one)}
    env = {name: value for name, _, value in (word.partition("=") for word in words[int(count):])}
    return cwd, named, words[:int(count)], env


def limit(named: dict[str, int]) -> None:
    """Limits of this process and all that comes of it: never more than it has."""
    kinds = {"processes": resource.RLIMIT_NPROC, "memory": resource.RLIMIT_AS, "file": resource.RLIMIT_FSIZE,
             "core": resource.RLIMIT_CORE}
    for name, value in named.items():
        hard = resource.getrlimit(kinds[name])[1]
        wanted = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(kinds[name], (wanted, wanted))


def become(plan: bytes, report: int) -> None:
    """In the child: turn into the job. Never returns."""
    stage, code, name = "prepare", 126, ""
    try:
        cwd, named, argv, env = unpack(plan)
        os.setpgid(0, 0)
        if os.isatty(0):
            try:  # noqa: SIM105 (contextlib is not loaded here)
                os.tcsetpgrp(0, os.getpid())
            except OSError:  # a terminal, but not ours to steer: the job runs all the same
                pass
        for number in range(1, _signal.NSIG):
            try:
                _signal.signal(number, _signal.SIG_DFL)
            except (OSError, ValueError):  # those that nobody may change
                continue
        stage = f"working directory {cwd}"
        os.chdir(cwd)
        stage = name = argv[0] if argv else ""
        limit(named)
        os.execvpe(argv[0], argv, env)
    except OSError as error:
        code = 127 if isinstance(error, FileNotFoundError) and stage == name else 126
        os.write(report, f"{code} {stage}: {error.strerror}".encode(errors="replace"))
    except (ValueError, TypeError, IndexError, MemoryError) as error:
        os.write(report, f"126 {stage}: {error}".encode(errors="replace"))
    finally:
        os._exit(code)


def main(arguments: list[str]) -> int:
    """Run the plan to its end; the exit code of a shell, for when our words get lost."""
    plan_fd, stderr, report, words, way_back = (int(one) for one in arguments)
    plan = read_all(plan_fd)
    os.dup2(stderr, 2)
    os.close(stderr)
    for fd in (report, words, way_back):
        os.set_inheritable(fd, False)
    os.write(words, b"ready\n")
    if not os.read(way_back, 1):
        return 126
    held, let_go = os.pipe()
    pid = os.fork()
    if not pid:
        os.close(let_go)
        os.read(held, 1)  # until nobody but us has the report: the job could write there, or hold it and keep the shim waiting
        become(plan, report)
    for fd in (report, held, let_go):
        os.close(fd)
    nowhere = os.open("/dev/null", os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(nowhere, fd)
    while True:
        _, status, spent = os.wait4(pid, os.WUNTRACED)
        if not os.WIFSTOPPED(status):
            break
        if os.WSTOPSIG(status) == STOPPED_BY_KEY:  # there is no shell that could resume it
            os.killpg(pid, _signal.SIGCONT)
    os.write(words, b"%d c%d\n" % (status, (spent.ru_utime + spent.ru_stime) * 1000))
    os.read(way_back, 1)
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    os._exit(main(sys.argv[1:]))
