# ruff: noqa: PTH100, PTH104, PTH123 (the shim loads it, and pathlib would cost a third of its start)
"""Runs one job under its start token and leaves `exit.json`; stdlib only, and it must never know the daemon, tmux or the ledger.

Theory of operation. It is started as a script (`python -I -S shim.py JOBDIR`), so of ours it imports only the process table and
what writes its files, and little of Python's (pathlib alone would cost a third of its start: hence the noqa). It links a whole
file to the name `start`, which exactly one shim can do; it becomes the subreaper of all that the command leaves behind; then
one loop waits on a wake-up pipe (signals) and the command's output. At the command's end every descendant that is left is
ended, and only then `exit.json` appears by rename. Killed at any moment, it leaves each file whole or absent.

Signals: TERM, HUP end the tree (a second one at once); USR1 suspends it, USR2 continues it.
"""

import errno
import json
import os
import select
import signal
import sys
import time
from collections.abc import Callable

if __name__ == "__main__":  # a script in isolated mode has no package around it
    sys.path.append(__file__.rpartition("/andon/edges/")[0])

from andon.edges.proctable import CHUNK, Process, children, descendants, send
from andon.edges.shim_files import Log, take_token, write_whole

TYPE_CHECKING = False  # typing itself would cost milliseconds
if TYPE_CHECKING:
    from andon.edges.bubblewrap import Refused
    from andon.edges.walls import Walls

TOKEN_EXIT, NO_JOB_EXIT, IO_EXIT = 75, 66, 74
"""Token taken; no readable job; `exit.json` could not be written."""
OUTPUT_MB = 64
"""Kept output when a job states no limit of its own."""
SURVIVOR_S = 1.0
"""At most this long do processes that outlived the command have between TERM and KILL."""
GIVE_UP_S = 10.0
"""Past this a process that cannot be killed (uninterruptible, another user's) is named in the error and left."""
_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36


class Shim:
    """One job from token to exit file."""

    def __init__(self, folder: str, job: dict[str, object]) -> None:
        self.folder, self.job = folder, job
        self.grace = _number(job, "grace_s", 3.0)
        self.child = 0
        self.status: int | None = None
        self.because, self.error = "exit", ""
        self.heard: list[int] = []
        self.begun = time.monotonic()
        self.kill_at: float | None = None
        self.suspended = False
        self.killed: set[int] = set()
        self.log: Log | None = None
        self.output = -1
        self.walls: Walls | None = None
        self.sandbox_error = ""
        self.wake, wake_in = os.pipe()
        for fd in (self.wake, wake_in):
            os.set_blocking(fd, False)
        signal.set_wakeup_fd(wake_in, warn_on_full_buffer=False)
        for one in (signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGCHLD,
                    signal.SIGINT, signal.SIGQUIT, signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU):
            signal.signal(one, self._hear)

    def _hear(self, signum: int, _frame: object) -> None:
        self.heard.append(signum)

    # --- the command -------------------------------------------------------------------------------------------------

    def spawn(self) -> None:
        """Start the command within its walls, in a process group of its own; a failure ends up in `because` and `error`."""
        prctl = _prctl()
        prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        if self.job.get("sandbox") and not self._build():
            return
        report, report_in = os.pipe()
        inside = -1
        if self.job.get("log"):
            limit = int(_number(self.job, "output_mb", 0)) or OUTPUT_MB
            self.log = Log(f"{self.folder}/log", limit * 1024 * 1024)
            self.output, inside = os.pipe()
            os.set_blocking(self.output, False)
        parent = os.getpid()
        self.child = os.fork()
        if self.child == 0:
            self._become(report_in, inside, prctl, parent)
        os.close(report_in)
        if inside >= 0:
            os.close(inside)
        if self.walls:
            self._settle(self.walls)
        told = _read_all(report)
        os.close(report)
        if told and self.because == "exit":
            code, _, self.error = told.decode(errors="replace").partition(" ")
            self.because, self.status = "not-started", (int(code) if code in ("126", "127") else 126) << 8
            if not self.walls or not self.walls.spare:
                os.waitpid(self.child, 0)

    def _build(self) -> bool:
        """Get the walls ready that the job asks for; False when they cannot be had."""
        from andon.edges import bubblewrap, walls

        try:
            self.walls = walls.around(self.folder, self.job)
            self.walls.prepare()
        except bubblewrap.Refused as refused:
            self._refuse(refused)
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            self._refuse(bubblewrap.Refused(f"The sandbox could not be built: {error}.", "Run `andon doctor`."))
        return self.because == "exit"

    def _settle(self, built: "Walls") -> None:
        """In the shim: until the job may begin, or its walls failed."""
        from andon.edges import bubblewrap

        try:
            built.settle(self.child)
        except bubblewrap.Refused as refused:
            self._refuse(refused)
        except OSError as error:
            self._refuse(bubblewrap.Refused(f"The sandbox could not be built: {error}.", "Run `andon doctor`."))
        if self.because != "exit":
            _kill(self.child)

    def _refuse(self, refused: "Refused") -> None:
        """Without its walls the job does not run."""
        self.sandbox_error = " ".join(filter(None, (refused.what, refused.mend)))
        self.because, self.status, self.error = "not-started", 126 << 8, self.sandbox_error

    def _become(self, report: int, output: int, prctl: Callable[..., int], parent: int) -> None:
        """In the child: turn into the command. Never returns."""
        stage, code = "prepare", 126
        try:
            os.setpgid(0, 0)
            prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
            if os.getppid() != parent:
                os._exit(1)
            self._connect(output)
            if self.walls and self.walls.level == "strict":
                stage = "bubblewrap"
                self.walls.take_on(report)
            stage = f"working directory {self.job['cwd']}"
            os.chdir(str(self.job["cwd"]))
            argv, env = list(self.job["argv"]), dict(self.job["env"])  # type: ignore[call-overload] # plain JSON here: the shim loads no msgspec
            stage = str(argv[0])
            self._limit()
            if self.walls:
                stage, env = "sandbox", self.walls.env()
                self.walls.take_on(report)
                stage = str(argv[0])
            for one in (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGTTOU):
                signal.signal(one, signal.SIG_DFL)
            os.execvpe(argv[0], argv, env)
        except OSError as error:
            code = 127 if error.errno == errno.ENOENT and stage == argv_name(self.job) else 126
            os.write(report, f"{code} {stage}: {error.strerror}".encode(errors="replace"))
        except (ValueError, TypeError, KeyError, IndexError, MemoryError) as error:
            os.write(report, f"126 {stage}: {error}".encode(errors="replace"))
        finally:
            os._exit(code)

    def _connect(self, output: int) -> None:
        """In the child: the terminal's foreground for an agent, /dev/null and the pump for a check."""
        if output >= 0:
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            os.dup2(output, 1)
            os.dup2(output, 2)
        elif os.isatty(0) and not (self.walls and self.walls.level == "strict"):  # there the witness does it
            signal.signal(signal.SIGTTOU, signal.SIG_IGN)
            try:
                os.tcsetpgrp(0, os.getpid())
            except OSError:  # a terminal, but not ours to steer: the command runs all the same
                return

    def _limit(self) -> None:
        """In the child: memory as asked, and no core dumps."""
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        memory = int(_number(self.job, "memory_mb", 0)) * 1024 * 1024
        if memory:
            hard = resource.getrlimit(resource.RLIMIT_AS)[1]
            limit = memory if hard == resource.RLIM_INFINITY else min(memory, hard)
            resource.setrlimit(resource.RLIMIT_AS, (limit, limit))

    # --- watching ----------------------------------------------------------------------------------------------------

    def watch(self) -> None:
        """Until the command has ended, or its grace is over."""
        seconds = _number(self.job, "seconds", 0.0)
        limit = self.begun + seconds if seconds > 0 else None
        while self.status is None:
            now = time.monotonic()
            if limit is not None and now >= limit and self.kill_at is None:
                self.begin_end("timeout")
            if self.kill_at is not None and now >= self.kill_at:
                return
            wake_at = self.kill_at if self.kill_at is not None else limit
            self.pump(None if wake_at is None else max(0.0, wake_at - now))
            self.listen()
            self.reap()

    def listen(self) -> None:
        """Do what the signals asked."""
        while self.heard:
            signum = self.heard.pop(0)
            if signum in (signal.SIGTERM, signal.SIGHUP):
                self.begin_end("stopped")
            elif signum == signal.SIGUSR1 and self.kill_at is None:
                self.suspended = True
                self._suspend()
            elif signum == signal.SIGUSR2:
                self.suspended = False
                for process in descendants(os.getpid()):
                    send(process, signal.SIGCONT)

    def _suspend(self) -> None:
        """Stop the whole tree: pass after pass until two in a row found nobody new (a first may miss what was just forked).

        A parent in vfork sleeps uninterruptibly (D) while its stopped child has not executed yet: its stop stays pending,
        which is as good as stopped, so it is told once and then left.
        """
        calm, told = 0, set[int]()
        for _ in range(200):
            running = [one for one in descendants(os.getpid())
                       if one.state not in "Tt" and not (one.state == "D" and one.pid in told)]
            sent = [one.pid for one in running if send(one, signal.SIGSTOP)]
            told.update(sent)
            calm = 0 if sent else calm + 1
            if calm == 2:
                return
            time.sleep(0.001)

    def begin_end(self, because: str) -> None:
        """TERM to the whole tree and the grace begins; asked again, the grace is over."""
        if self.kill_at is not None:
            self.kill_at = time.monotonic()
            return
        self.because = because
        self.kill_at = time.monotonic() + self.grace
        if not self.grace:
            return
        for process in descendants(os.getpid()):
            if process.pid not in self._spare():
                send(process, signal.SIGTERM)
            send(process, signal.SIGCONT)

    def _spare(self) -> set[int]:
        """Processes of the walls themselves: a stop is not for them."""
        return self.walls.spare if self.walls else set()

    def pump(self, timeout: float | None) -> None:
        """Wait for a signal or output; take one chunk of each."""
        words, lookout = (self.walls.words, self.walls.lookout) if self.walls else (-1, None)
        fds = [fd for fd in (self.wake, self.output, words) if fd >= 0]
        if lookout:
            fds += lookout.fds()
            timeout = min((one for one in (timeout, lookout.pause()) if one is not None), default=None)
        ready = select.select(fds, (), (), timeout)[0]
        if self.walls and words in ready:
            status = self.walls.word()
            if status is not None and self.status is None:
                self.status = status
                self.walls.weigh(status)
        if lookout:
            lookout.hear(ready)
        if self.wake in ready:
            os.read(self.wake, CHUNK)
        if self.output in ready:
            self._take()

    def _take(self) -> bool:
        """Move one chunk of output into the log; False when there is none for now, or ever."""
        try:
            data = os.read(self.output, CHUNK)
        except BlockingIOError:
            return False
        if self.log and data:
            self.log.write(data)
        elif not data:
            os.close(self.output)
            self.output = -1
        return bool(data)

    def reap(self) -> None:
        """Collect the dead. A command that a person's Ctrl-Z suspended goes on: there is no shell that could resume it."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG | os.WUNTRACED)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if pid != self.child:
                lost = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
                if lost and self.kill_at is not None and pid not in self._spare():
                    self.killed.add(pid)
                continue
            if not os.WIFSTOPPED(status):
                judged = self.walls.judge(status) if self.walls else status
                self.status = judged if self.status is None else self.status
            elif os.WSTOPSIG(status) == signal.SIGTSTP and not self.suspended:
                os.killpg(pid, signal.SIGCONT)

    # --- the end -----------------------------------------------------------------------------------------------------

    def end_rest(self) -> None:
        """End whatever is left of the tree: TERM, a moment, then KILL again and again until nobody is there."""
        if self.kill_at is None:
            self.kill_at = time.monotonic() + min(self.grace, SURVIVOR_S)
            self._signal_rest(signal.SIGTERM)
        pause = 0.002
        while self.kill_at > time.monotonic() and self._rest():
            self.pump(pause)
            self.listen()
            self.reap()
            pause = min(pause * 1.5, 0.05)
        self._kill_rest()
        self.reap()

    def _kill_rest(self) -> None:
        """KILL until two passes in a row found nobody; only what stays the same for long is left.

        Whoever loses its parent becomes our child, so killing our children collapses every tree, and is fast enough for one
        that forks on and on.
        """
        calm, same, since = 0, set[int](), time.monotonic()
        if self.walls and self.walls.group:  # one write, and nobody is looked for before it
            self.killed.update(self.walls.brood(self.child))
            self.walls.fall()
        elif self.walls and self.walls.spare:  # with the walls all of it falls at once
            rest = self._rest()
            self.walls.spare.update(one.pid for one in rest if not self._survivor(one))  # the command, whoever inherits it now
            self.killed.update(one.pid for one in rest if self._survivor(one))
            self.walls.fall()
        while calm < 2:
            for _ in range(200):
                direct = children()
                for pid in direct:
                    _kill(pid)
                self.reap()
                if not direct:
                    break
            left = self._signal_rest(signal.SIGKILL)
            calm = 0 if left else calm + 1
            if left != same:
                same, since = left, time.monotonic()
            elif left and time.monotonic() - since > GIVE_UP_S:
                self.error = self.error or f"{len(left)} processes could not be ended"
                return
            if left:
                self.pump(0.001)

    def _rest(self) -> list[Process]:
        """What is left of the job."""
        return [one for one in descendants(os.getpid()) if one.pid not in self._spare()]

    def _survivor(self, one: Process) -> bool:
        """Whether it outlived the command: neither the command itself nor a part of its walls."""
        return one.pid != self.child and one.pid not in self._spare() and not (self.walls and one.parent in self.walls.starters)

    def _signal_rest(self, signum: int) -> set[int]:
        """Signal all that is left, stopping everybody first so that none forks on; who that was."""
        rest = self._rest() if signum == signal.SIGTERM else descendants(os.getpid())
        if signum == signal.SIGKILL:
            for process in rest:
                send(process, signal.SIGSTOP)
        for process in rest:
            if send(process, signum) and self._survivor(process):
                self.killed.add(process.pid)
            if signum == signal.SIGTERM:
                send(process, signal.SIGCONT)
        return {process.pid for process in rest}

    def finish(self) -> int:
        """Write the log's rest and `exit.json`; the code to exit with."""
        import resource

        end = time.monotonic() + 2.0
        while self.output >= 0 and time.monotonic() < end and self._take():
            pass
        if self.log:
            self.log.close()
            self.error = self.error or self.log.error
        if self.walls and self.walls.lookout:
            self.walls.lookout.close()
        status = self.status
        signaled = status is not None and os.WIFSIGNALED(status)
        code = os.WEXITSTATUS(status) if status is not None and os.WIFEXITED(status) else None
        starved = self.walls.starved() if self.walls else 0
        if starved and status != 0 and not self.error:
            self.error = f"its memory was used up: the kernel ended {starved} of its processes at the limit of the whole job"
        spent = resource.getrusage(resource.RUSAGE_CHILDREN)  # of all that was reaped, and of whatever those had reaped
        inside = self.walls.cpu_ms / 1000 if self.walls else 0.0
        peak = spent.ru_maxrss / (1024 * (1024 if sys.platform == "darwin" else 1))
        content = {
            "code": code, "signal": os.WTERMSIG(status) if status is not None and signaled else None,
            "because": self.because, "error": self.error[:2000], "seconds": round(time.monotonic() - self.begun, 3),
            "killed": len(self.killed), "truncated": bool(self.log and self.log.dropped), "max_rss_mb": round(peak, 1),
            "cpu_s": round(spent.ru_utime + spent.ru_stime + inside, 3), "sandbox_error": self.sandbox_error[:2000],
            "starved": starved,
        }
        write_whole(f"{self.folder}/exit.json", json.dumps(content).encode())
        return code if code is not None else 128 + (os.WTERMSIG(status) if status is not None and signaled else 0)


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except OSError:  # another user's, or just gone
        return


def argv_name(job: dict[str, object]) -> str:
    """The first word of the job's command."""
    argv = job.get("argv")
    return str(argv[0]) if isinstance(argv, list) and argv else ""


def _number(job: dict[str, object], name: str, default: float) -> float:
    value = job.get(name, default)
    return float(value) if isinstance(value, (int, float)) else default


def _read_all(fd: int) -> bytes:
    data = b""
    while chunk := os.read(fd, 4096):
        data += chunk
    return data


def _prctl() -> Callable[..., int]:
    """prctl of the C library on Linux; elsewhere something that does nothing."""
    if sys.platform != "linux":
        return lambda *_arguments: 0
    import ctypes

    call: Callable[..., int] = ctypes.CDLL(None).prctl
    return call


def detach() -> int:
    """Go on as a process that no one waits for; returns the pipe by which the waiting starter learns the outcome."""
    outcome, outcome_in = os.pipe()
    if os.fork():
        os.close(outcome_in)
        told = os.read(outcome, 1)
        os._exit(told[0] if told else 70)
    os.close(outcome)
    os.setsid()
    nowhere = os.open(os.devnull, os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(nowhere, fd)
    return outcome_in


def strip(folder: str, job: dict[str, object]) -> None:
    """The job was started and never will be again: what its environment held need not lie on a disk any longer.

    Its markers stay: by them its processes are found.
    """
    try:
        env = {name: value for name, value in dict(job["env"]).items() if name.startswith("ANDON_")}  # type: ignore[call-overload] # plain JSON
        fd = os.open(f"{folder}/job.json.tmp", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        with open(fd, "w", encoding="utf-8") as file:
            json.dump({**job, "env": env}, file)
        os.rename(f"{folder}/job.json.tmp", f"{folder}/job.json")
    except (OSError, KeyError, TypeError, ValueError):  # a full disk, or no environment: the job goes on, its directory is private
        return


def main(arguments: list[str]) -> int:
    """Run the job in this directory; `--detach` returns to the starter as soon as the token is taken."""
    folder = os.path.abspath(arguments[0])
    try:
        with open(f"{folder}/job.json", encoding="utf-8") as file:
            job = json.load(file)
    except (OSError, ValueError) as error:
        print(f"andon: no job to run in {folder}: {error}", file=sys.stderr)
        return NO_JOB_EXIT
    outcome = detach() if "--detach" in arguments else -1
    shim = Shim(folder, job)
    try:
        taken = take_token(folder)
    except OSError as error:
        print(f"andon: {folder}/start: {error}", file=sys.stderr)
        return IO_EXIT
    if outcome >= 0:
        os.write(outcome, bytes([0 if taken else TOKEN_EXIT]))
        os.close(outcome)
    if not taken:
        return TOKEN_EXIT
    try:
        shim.spawn()
    except OSError as error:
        shim.because, shim.status, shim.error = "not-started", 126 << 8, f"{argv_name(job)}: {error.strerror}"
    strip(folder, job)
    shim.watch()
    shim.end_rest()
    try:
        return shim.finish()
    except OSError as error:
        print(f"andon: {folder}/exit.json: {error}", file=sys.stderr)
        return IO_EXIT


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
