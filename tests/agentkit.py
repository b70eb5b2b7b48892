"""A stage for the scripted agent: a repository, a job directory, and runs of the real program over pipes or a real pty."""

import contextlib
import os
import pty
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import gitkit
from andon.edges.jobs import read_outbox
from andon.schema.agent import Assignment
from andon.schema.ids import AttemptId, TaskId
from andon.schema.jobs import Said
from andon.schema.settings import AgentSettings

FILES = {
    "README.md": "# Project\n", "src.py": "VALUE = 1\n", "tests/test_src.py": "def test_it():\n    assert True\n",
    "andon.toml": '[checks.tests]\nrun = "pytest -q --junitxml={report}"\nreport = "junit"\n\n[agents.default]\nuse = "scripted"\n',
}


class Stage:
    """One attempt's checkout and job directory, and the scripted agent on it."""

    def __init__(self, folder: Path, *, attempt: str = "T3.1") -> None:
        self.checkout = gitkit.make_repo(folder / "checkout", FILES)
        self.job = folder / "job"
        self.folder, self.attempt = folder, attempt
        (self.job / "outbox").mkdir(parents=True)
        (self.job / "inbox").mkdir()
        self.base = self.head()

    def argv(self, scenario: str) -> list[str]:
        """The program on a bundled scenario, or on this TOML text."""
        if "[[" in scenario:
            path = self.folder / "scenario.toml"
            path.write_text(scenario)
            scenario = str(path)
        return [sys.executable, "-P", "-m", "andon_agents.scripted", scenario]

    def env(self, **more: str) -> dict[str, str]:
        """The environment of a session, played a thousand times as fast."""
        task = self.attempt.partition(".")[0]
        return {**os.environ, "ANDON_JOB": str(self.job), "ANDON_ATTEMPT": self.attempt, "ANDON_TASK": task,
                "ANDON_TITLE": "A title", "ANDON_SCRIPTED_SPEED": "1000", **more}

    def play(self, scenario: str, **more: str) -> subprocess.CompletedProcess[str]:
        """Run to the end over pipes."""
        return subprocess.run(self.argv(scenario), cwd=self.checkout, env=self.env(**more), stdin=subprocess.DEVNULL, timeout=60,
                              capture_output=True, text=True, errors="replace", check=False)

    @contextlib.contextmanager
    def started(self, scenario: str, **more: str) -> Iterator[subprocess.Popen[bytes]]:
        """A run in a group of its own over pipes; its group is killed at the end."""
        with subprocess.Popen(self.argv(scenario), cwd=self.checkout, env=self.env(**more), stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True) as process:
            try:
                yield process
            finally:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)

    def said(self) -> list[Said]:
        """What the daemon would hear."""
        return read_outbox(self.job, 0)

    def head(self) -> str:
        """The checkout's head."""
        return gitkit.run(self.checkout, "rev-parse", "HEAD")

    def git(self, *words: str) -> str:
        """Git in the checkout."""
        return gitkit.run(self.checkout, *words)

    def assignment(self, *, prompt: str = "Do it.", agent: AgentSettings | None = None) -> Assignment:
        """What an adapter would be given for this stage."""
        prompt_file = self.job / "prompt.md"
        prompt_file.write_text(prompt)
        return Assignment(attempt=AttemptId(self.attempt), task=TaskId(self.attempt.partition(".")[0]), title="A title",
                          prompt=prompt, prompt_file=prompt_file, checkout=self.checkout, job=self.job,
                          agent=agent or AgentSettings(name="default", use="scripted"))


class Terminal:
    """The program under a real pty, as tmux would give it one."""

    def __init__(self, argv: list[str], cwd: Path, env: dict[str, str]) -> None:
        self.pid, self.master = pty.fork()
        if self.pid == 0:
            os.chdir(cwd)
            os.execve(argv[0], argv, env)
        self.output = b""
        self.code: int | None = None

    def read_until(self, text: str, seconds: float = 20.0, *, times: int = 1) -> str:
        """Read until this text came so many times; fails with what came instead."""
        return self._until(lambda: self.output.count(text.encode()) >= times, seconds, repr(text))

    def end(self, seconds: float = 20.0) -> int:
        """Read to the end; the exit code, negative for a signal."""
        self._until(self._reaped, seconds, "its end")
        assert self.code is not None
        return self.code

    def type(self, text: str) -> None:
        """Type at the keyboard."""
        os.write(self.master, text.encode())

    def close(self) -> None:
        """Kill what still runs."""
        if not self._reaped():
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        os.close(self.master)

    def _until(self, done: Callable[[], bool], seconds: float, what: str) -> str:
        end = time.monotonic() + seconds
        while not done():
            assert time.monotonic() < end, f"waited {seconds} s for {what} in {self.output[-2000:]!r}"
            ready, _, _ = select.select([self.master], [], [], 0.02)
            if ready:
                with contextlib.suppress(OSError):
                    self.output += os.read(self.master, 65536)
        return self.output.decode(errors="replace")

    def _reaped(self) -> bool:
        if self.code is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            self.code = os.waitstatus_to_exitcode(status) if pid else None
        return self.code is not None
