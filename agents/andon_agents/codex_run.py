# ruff: noqa: PTH103, PTH108, PTH123 (it starts within a session, as hook.py does: pathlib would cost too much)
"""The program in the pane of a Codex session: its app-server, and its own screen as a client of it. Standard library only.

Theory of operation. `codex_run.py FILE` reads `{"server": argv, "screen": argv, "socket": path, "log": path, "scratch": path}`, and
for a server on a port of loopback `port` and `token`. It starts the server in a process group of its own with its words in the log,
waits until it answers, and runs the screen in the foreground. When either ends, the other is ended too: a screen without a server
waits for a minute, a server without a screen for ever. The exit code is the screen's, or 70 when the server was first. It runs
under a shim that ends what is left.
"""

import contextlib
import json
import os
import select
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
from types import FrameType

READY_S, GRACE_S = 60.0, 3.0
"""Seconds: for the server to answer; between SIGTERM and SIGKILL."""
SERVER_FIRST = 70
"""Exit code when the server ended before the screen."""
TOKEN = "ANDON_CODEX_TOKEN"
"""The variable in which the screen, and nobody else, finds the server's token."""
TAIL = 2_000
"""Bytes of the server's log that are printed when it failed."""
RESET = "\x1b[?1049l\x1b[?25h\x1b[?2004l\x1b[?1l\x1b[0m"
"""Out of the alternate screen, with a cursor, without bracketed paste: what a screen that was killed leaves undone."""


class Asked(Exception):
    """A signal asked us to end."""


def main(path: str) -> int:
    """Run a session to its end; the exit code."""
    with open(path, encoding="utf-8") as file:
        job = json.load(file)
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(number, _asked)
    env = dict(os.environ)
    if _below(env.get("CODEX_HOME", ""), tempfile.gettempdir()):
        env["TMPDIR"] = job["scratch"]  # below the temporary directory Codex makes no helper programs, and its sandbox needs them
        os.makedirs(job["scratch"], exist_ok=True)
    _clear(job["socket"])
    started: list[subprocess.Popen[bytes]] = []
    try:
        with open(job["log"], "wb") as log:
            server = subprocess.Popen(job["server"], stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=env, process_group=0)
        started.append(server)
        if not _answers(job["socket"], int(job.get("port") or 0), server):
            return _failed(job["log"], server)
        screen = subprocess.Popen(job["screen"], env={**env, TOKEN: job["token"]} if job.get("token") else env)
        started.append(screen)
        code = _first_end(server, screen)
        return code if screen.returncode is not None else _failed(job["log"], server)
    except Asked as asked:
        return 128 + int(str(asked))
    finally:
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)
        _end(started)
        _clear(job["socket"])
        if started[1:] and (started[1].returncode or 0) < 0:  # it was killed, and left the terminal as it was
            sys.stdout.write(RESET)
            sys.stdout.flush()


def _asked(number: int, frame: FrameType | None) -> None:
    raise Asked(number)


def _clear(link: str) -> None:
    """Take away what a server that was killed leaves: its link in the job directory, and the socket and lock that it points to."""
    place = os.path.realpath(link)
    with contextlib.suppress(OSError):
        if stat.S_ISSOCK(os.lstat(place).st_mode):
            os.unlink(place)
            os.unlink(f"{place}.lock")
    with contextlib.suppress(OSError):
        os.unlink(link)


def _below(path: str, folder: str) -> bool:
    return bool(path) and os.path.commonpath((os.path.realpath(path), os.path.realpath(folder))) == os.path.realpath(folder)


def _answers(path: str, port: int, server: "subprocess.Popen[bytes]") -> bool:
    """Whether the server came to listen."""
    end = time.monotonic() + READY_S
    while server.poll() is None and time.monotonic() < end:
        with socket.socket(socket.AF_INET if port else socket.AF_UNIX) as probe, contextlib.suppress(OSError):
            probe.connect(("127.0.0.1", port) if port else os.path.realpath(path))
            return True
        time.sleep(0.02)
    return False


def _first_end(server: "subprocess.Popen[bytes]", screen: "subprocess.Popen[bytes]") -> int:
    """Wait until one of the two ends; the screen's exit code as a shell would tell it."""
    ends = {os.pidfd_open(process.pid): process for process in (server, screen)}
    try:
        select.select(list(ends), [], [])
    finally:
        for descriptor in ends:
            os.close(descriptor)
    code = screen.poll()
    return SERVER_FIRST if code is None else 128 - code if code < 0 else code


def _failed(log: str, server: "subprocess.Popen[bytes]") -> int:
    """Say why there is no server any more."""
    with open(log, "rb") as file:
        file.seek(0, os.SEEK_END)
        file.seek(max(0, file.tell() - TAIL))
        words = file.read().decode(errors="replace")
    sys.stdout.write(f"\n{words}\nThe app-server of Codex ended (code {server.poll()}); its log is {log}\n")
    return SERVER_FIRST


def _end(started: "list[subprocess.Popen[bytes]]") -> None:
    """End what runs, politely, then not."""
    for process in reversed(started):
        if process.poll() is None:
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(GRACE_S)
    for process in started:
        with contextlib.suppress(ProcessLookupError):
            if process is started[0]:
                os.killpg(process.pid, signal.SIGKILL)  # the server's own group: a wrapper may have left the program behind
            else:
                process.kill()
        process.wait()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
