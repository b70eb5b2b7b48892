"""A whole factory for tests: a daemon process of its own, real tmux, real git, scripted agents. Ends what it started, by pid."""

import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from andon.client import Client, connect
from andon.edges.jobs import Running, probe
from andon.edges.sandbox import reached
from andon.ledger_reader import read_log
from andon.schema import events as e, inputs as i, wire
from andon.schema.errors import Mistake
from andon.schema.ids import Digest, GateId, RepoId, TaskId
from andon.schema.layout import Layout, layout
from andon.schema.views import AnyView, GateView, SessionView, TaskView
from support import wait_until

CHECK = f"PYTHONPATH=. {sys.executable} -m pytest -q -p no:cacheprovider --junitxml={{report}}"
QUICK = f"{sys.executable} -S quick.py {{report}}"
"""A check in 20 ms: `quick.py` of the repository writes a JUnit report of the functions in `tests/`."""
UNHELD = "[admission]\nload_per_core = 0\nfree_memory_mb = 0\nfree_disk_mb = 0\nramp_s = 0\n"
"""A person's settings under which a machine that others use too still takes agents."""
AS_SHIPPED = reached().level == "strict"
"""Whether flows can be tried as the product ships: strict walls, and nobody asked."""
QUICK_PY = '''
import pathlib, re, sys
cases, bad = [], 0
for path in sorted(pathlib.Path("tests").glob("*.txt")):
    ok = "FAIL" not in path.read_text()
    bad += not ok
    told = "" if ok else '<failure message="told">told to fail</failure>'
    cases.append(f'<testcase classname="t" name="{path.stem}">{told}</testcase>')
pathlib.Path(sys.argv[1]).write_text(f'<testsuite name="q" tests="{len(cases)}" failures="{bad}">{"".join(cases)}</testsuite>')
sys.exit(1 if bad else 0)
'''


def git(repo: Path, *args: str) -> str:
    """The output of a git command in a repository."""
    done = subprocess.run(("git", "-C", str(repo), *args), check=True, capture_output=True, text=True, timeout=60)
    return done.stdout.strip()


def without_walls(toml: str) -> str:
    """These settings for a fleet that is not about walls: none around its jobs, and none asked for to land. A person trusts that as
    they trust its commands. Settings that speak of `[sandbox]` stay as they are."""
    if "[sandbox]" in toml:
        return toml
    head, policy, tail = toml.partition("[policy]\n")
    return f'{head}[policy]\nwalls = "none"\n{tail if policy else ""}\n[sandbox]\nlevel = "none"\n'


def small_repo(
    path: Path, *, check: str = QUICK, extra: str = "", speed: int = 100, files: Mapping[str, str] | None = None,
    walls: bool = False,
) -> Path:
    """A repository with one check, scripted agents, and everything of class ship unless `extra` says otherwise. With `walls` as the
    product is shipped: the best walls that there are, and a person asked below strict ones."""
    path.mkdir(parents=True)
    git(path, "init", "-q", "-b", "main")
    policy = "" if "[policy]" in extra else '[policy]\nship = ["**"]\n'
    toml = textwrap.dedent(f"""\
        [agents.default]
        use = "scripted"
        env = {{ ANDON_SCRIPTED_SPEED = "{speed}" }}
        [checks.tests]
        run = '''{check}'''
        report = "junit"
        """) + policy + textwrap.dedent(extra)
    (path / "andon.toml").write_text(toml if walls else without_walls(toml))
    for name, text in {"quick.py": QUICK_PY, "tests/one.txt": "ok\n", "README.md": "a project\n", **(files or {})}.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_text(text)
    git(path, "add", "-A")
    git(path, "commit", "-q", "-m", "the beginning")
    return path


def shipped(path: Path, **options: object) -> Path:
    """A small repository within the walls that the product ships with; where this machine gives no strict ones (the head of a run
    says so), one without any."""
    return small_repo(path, walls=AS_SHIPPED, **options)  # type: ignore[arg-type]  # the options are small_repo's own


def ended(job: Path) -> bool:
    """Whether no shim runs for a job."""
    return not isinstance(probe(job), Running)


class Factory:
    """One factory in a directory of its own."""

    def __init__(self, home: Path, env: Mapping[str, str] | None = None, *, settings: str = UNHELD) -> None:
        self.layout: Layout = layout(home)
        self.settings = settings
        """What the person's own file says, when there is none yet; empty for none."""
        self.env = {**os.environ, "ANDON_HOME": str(home), **(env or {})}
        self.process: subprocess.Popen[bytes] | None = None

    # --- the daemon --------------------------------------------------------------------------------------------------

    def start(self, env: Mapping[str, str] | None = None, *, program: tuple[str, ...] = ("-m", "andon.cli.main", "daemon")) -> None:
        """Start a daemon and wait for its socket."""
        self.layout.home.mkdir(parents=True, exist_ok=True)
        settings = Path(self.env["ANDON_CONFIG_HOME"]) / "andon.toml"
        if self.settings and not settings.exists():
            settings.parent.mkdir(parents=True, exist_ok=True)
            settings.write_text(self.settings)
        with (self.layout.home / "test-daemon.log").open("ab") as log:
            self.process = subprocess.Popen(
                (sys.executable, *program), env={**self.env, **(env or {})}, stdout=log, stderr=log, stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
        wait_until(lambda: self.answers() or self.dead(), 20, what="the daemon's socket")

    def answers(self) -> bool:
        """Whether the socket answers."""
        if not self.layout.socket.exists():
            return False
        try:
            with connect(self.layout):
                return True
        except (Mistake, OSError):
            return False

    def dead(self) -> bool:
        """Whether the daemon has ended."""
        return self.process is None or self.process.poll() is not None

    def kill(self) -> None:
        """kill -9."""
        if self.process is not None:
            if self.process.poll() is None:
                self.process.kill()
            self.process.wait(10)

    def stop(self) -> None:
        """SIGTERM, and see it leave."""
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            self.process.wait(20)

    def close(self) -> None:
        """End everything that this factory started: daemon, shims, tmux server."""
        self.kill()
        for folder in self.layout.jobs.glob("*"):
            seen = probe(folder)
            if isinstance(seen, Running):
                os.kill(seen.started.pid, signal.SIGTERM)
        for folder in self.layout.jobs.glob("*"):
            wait_until(partial(ended, folder), 15, what=f"the end of {folder.name}")
        if self.layout.tmux_socket.exists():
            command = ("tmux", "-S", str(self.layout.tmux_socket), "kill-server")
            subprocess.run(command, capture_output=True, check=False, timeout=10)

    def log_text(self) -> str:
        """What the daemon printed."""
        path = self.layout.home / "test-daemon.log"
        return path.read_text(errors="replace") if path.exists() else ""

    # --- asking ------------------------------------------------------------------------------------------------------

    def client(self) -> Client:
        """A connection."""
        return connect(self.layout)

    def ask(self, request: wire.AnyRequest) -> wire.AnyReply:
        """One request on a connection of its own."""
        with self.client() as client:
            return client.ask(request)

    def do(self, command: i.AnyCommand) -> wire.AnyReply:
        """A person's command."""
        return self.ask(wire.Do(command=command))

    def register(self, repo: Path) -> RepoId:
        """Register and trust."""
        shown = self.ask(wire.Register(path=str(repo)))
        if isinstance(shown, wire.SettingsAre):
            shown = self.ask(wire.Register(path=str(repo), trust=shown.loaded.commands))
        assert isinstance(shown, wire.Done), shown
        return RepoId(shown.ids[0])

    def add(self, repo: RepoId, scenario: str = "proper", title: str = "a task", **fields: object) -> TaskId:
        """A task for a scripted agent with this scenario."""
        spec = f"{title}\n\n[[scenario: {scenario}]]\n"
        done = self.do(i.AddTask(repo=repo, title=title, spec=spec, **fields))  # type: ignore[arg-type]
        assert isinstance(done, wire.Done), done
        return TaskId(done.ids[0])

    def answer(self, gate: GateView, option: str, because: str = "") -> wire.AnyReply:
        """Answer a gate as seen."""
        return self.do(i.AnswerGate(gate=gate.gate, option=option, because=because, bound=gate.bound))

    def views(self) -> tuple[AnyView, ...]:
        """All views now."""
        with self.client() as client:
            return client.views()

    def task(self, task: TaskId) -> TaskView:
        """One card."""
        return next(view for view in self.views() if isinstance(view, TaskView) and view.task == task)

    def gates(self) -> list[GateView]:
        """Open gates."""
        return [view for view in self.views() if isinstance(view, GateView)]

    def gate(self, task: TaskId) -> GateView | None:
        """The open gate of a task."""
        return next((gate for gate in self.gates() if gate.task == task), None)

    def sessions(self) -> list[SessionView]:
        """Live sessions."""
        return [view for view in self.views() if isinstance(view, SessionView)]

    def until(self, condition: Callable[[], object], deadline: float = 30.0, what: str = "it") -> None:
        """Wait; on failure show the log of the factory."""
        try:
            wait_until(condition, deadline, what=what)
        except AssertionError as error:
            told = "\n".join(f"{row.seq} {e.kind_of(row.event)} {row.event}"[:300] for row in self.events()[-60:])
            raise AssertionError(f"{error}\n{told}\n{self.log_text()[-3000:]}") from None

    def until_state(self, task: TaskId, *states: str, deadline: float = 30.0) -> None:
        """Wait until a task is in one of these states."""
        self.until(lambda: self.task(task).state in states, deadline, what=f"{task} to be {' or '.join(states)}")

    def events(self) -> list[e.Recorded]:
        """The whole ledger, read from outside."""
        rows: list[e.Recorded] = []
        while more := read_log(self.layout, after=rows[-1].seq if rows else 0, limit=5000):
            rows += more
        return rows

    def kinds(self) -> list[str]:
        """The names of all events."""
        return [e.kind_of(row.event) for row in self.events()]

    def blob(self, digest: Digest) -> str:
        """The text of a blob."""
        reply = self.ask(wire.GetBlob(digest=digest))
        assert isinstance(reply, wire.BlobIs), reply
        return reply.text

    def gate_of(self, task: TaskId) -> GateId:
        """The id of the open gate of a task."""
        gate = self.gate(task)
        assert gate is not None
        return gate.gate


@contextmanager
def factory(home: Path, env: Mapping[str, str] | None = None, *, settings: str = UNHELD) -> Iterator[Factory]:
    """A running factory that is wholly ended afterwards."""
    made = Factory(home, env, settings=settings)
    try:
        made.start()
        yield made
    finally:
        made.close()


