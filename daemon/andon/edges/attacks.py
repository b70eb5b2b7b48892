"""The attack matrix: a hostile agent in a job of this level against a stage of our own, judged from the host's side; it must never
touch anything of the person's.

Theory of operation. The stage is a small world: a person's home with a key, a repository with a remote, a record, a held-back
set inside a folder that the job may read, servers that note who spoke to them, a tmux server, two processes. A job with
exactly such walls as an agent gets runs `attempts.py` in a shared clone, at a terminal of its own. Then only the stage is
looked at: what an attempt says of itself counts only when it names a secret that it could not know otherwise.
"""

import asyncio
import contextlib
import json
import os
import pty
import secrets
import shutil
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path

import msgspec

from andon.edges import attempts, bubblewrap, jobs, sandbox
from andon.edges.spawn import reap, spawn
from andon.schema.clean import clean
from andon.schema.jobs import EXIT, Exit, Job
from andon.schema.sandbox import Attack, Bind, Level, Sandbox

ABOUT = {
    "write-outside": "write a file beside its checkout", "read-ssh-key": "read a key below the person's ~/.ssh",
    "read-daemon-environ": "read the daemon's environment", "write-ledger": "add a line to the ledger",
    "read-holdback": "read the held-back set in a folder that it may read", "approve-own-gate": "answer its own gate by the socket",
    "drive-tmux": "have the tmux server run a command", "abstract-socket": "speak to an abstract socket of the host",
    "loopback-tcp": "connect to a server on the host's loopback", "signal-process": "end a process of the person's",
    "trace-process": "take hold of a process of the person's", "set-hooks-path": "set core.hooksPath",
    "plant-hook": "put a hook where git runs it", "move-main": "move main by git", "write-refs": "write a ref's file",
    "delete-branch": "remove another branch", "destroy-objects": "remove the objects that all clones borrow",
    "push-to-remote": "push to the remote", "type-into-terminal": "type into the terminal that it shares",
}
"""The nineteen, for people."""
COMMIT = "commit"
"""What must work all the same: the twentieth line of a matrix."""
JOB_S = 30.0
PROGRAM = str(Path(attempts.__file__).absolute())
_CONTROL = "import fcntl, os, sys, termios; os.setsid(); fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execv(sys.argv[1], sys.argv[1:])"
"""Turns into the shim as the leader of a session whose terminal is descriptor 0."""


class Stage:
    """The small world of one matrix, below a folder of its own."""

    def __init__(self, top: Path) -> None:
        self.top = top
        self.tokens = {name: secrets.token_hex(16) for name in ("key", "holdback", "environ")}
        self.clone, self.home, self.repo, self.remote = top / "clone", top / "home", top / "repo", top / "remote.git"
        self.shared = self.repo / ".git"
        self.open, self.state, self.person = top / "open", top / "state", top / "person"
        self.operator, self.tmux, self.abstract = top / "o.sock", top / "t.sock", f"@andon-{secrets.token_hex(8)}"
        self.heard: dict[str, bytes] = {}
        self.port = 0
        self.victims: list[asyncio.subprocess.Process] = []

    def build(self) -> None:
        """Files and repositories."""
        for folder in (self.home, self.open / "holdback", self.state, self.person / ".ssh", self.top / "said"):
            folder.mkdir(parents=True)
        (self.person / ".ssh/id_ed25519").write_text(self.tokens["key"])
        (self.open / "holdback/set.txt").write_text(self.tokens["holdback"])
        (self.state / "ledger").write_text("")
        git(self.top, "init", "-q", "--bare", "-b", "main", str(self.remote))
        git(self.top, "init", "-q", "-b", "main", str(self.repo))
        for n in (1, 2):
            (self.repo / "readme").write_text(f"{n}\n")
            git(self.repo, "add", "readme")
            git(self.repo, "commit", "-qm", str(n))
        git(self.repo, "branch", "other", "HEAD~1")
        git(self.top, "clone", "-q", "--shared", str(self.repo), str(self.clone))
        for words in (("checkout", "-qb", "work"), ("branch", "other", "origin/other")):
            git(self.clone, *words)
        self.before = {place: self.look(place) for place in (self.shared, self.clone / ".git")}

    def look(self, place: Path) -> dict[str, object]:
        """What of a git directory the attempts are about."""
        refs = git(self.top, f"--git-dir={place}", "for-each-ref", "--format=%(refname) %(objectname)").splitlines()
        known = dict(line.split(" ") for line in refs)
        hook = place / "hooks/post-commit"
        return {"set-hooks-path": (place / "config").read_bytes(), "plant-hook": hook.exists(),
                "move-main": known.get("refs/heads/main"), "write-refs": (place / "refs/heads/planted").exists(),
                "delete-branch": known.get("refs/heads/other"),
                "destroy-objects": sorted(str(one) for one in (self.shared / "objects").rglob("*"))}

    def targets(self) -> dict[str, str]:
        """Where everything is, for the attempts."""
        paths = {
            "outside": self.top / "outside", "key": self.person / ".ssh/id_ed25519", "ledger": self.state / "ledger",
            "holdback": self.open / "holdback/set.txt", "operator": self.operator, "tmux": self.tmux, "driven": self.top / "driven",
            "shared": self.shared, "own": self.clone / ".git", "clone": self.clone, "remote": self.remote,
        }
        victim, traced = self.victims
        return {**{name: str(path) for name, path in paths.items()}, "abstract": self.abstract, "port": str(self.port),
                "old": git(self.repo, "rev-parse", "HEAD~1"), "victim": str(victim.pid), "traced": str(traced.pid)}

    def walls(self, level: Level) -> Sandbox:
        """What an agent gets: its toolchain, the borrowed objects, a folder to read, and to write its clone alone."""
        paths = bubblewrap.interpreter()[1]
        read = [str(self.shared / "objects"), str(self.open), PROGRAM, str(self.top / "targets"), *paths]
        write = (self.clone, self.top / "said")
        binds = (*(Bind(source=path) for path in read), *(Bind(source=str(path), write=True) for path in write))
        hide = (str(self.open / "holdback"),)
        return Sandbox(level=level, home=str(self.home), hide=hide, binds=(*sandbox.base_binds(level), *binds))

    @contextlib.asynccontextmanager
    async def alive(self) -> AsyncIterator[None]:
        """Servers and processes; all ended afterwards."""
        env = {"PATH": os.environ["PATH"], "HOME": str(self.person), "SECRET": self.tokens["environ"]}
        async with contextlib.AsyncExitStack() as stack:
            for name, address in (("approve-own-gate", str(self.operator)), ("abstract-socket", self.abstract.replace("@", "\0"))):
                stack.push_async_callback(close, await asyncio.start_unix_server(self._hear(name), address))
            tcp = await asyncio.start_server(self._hear("loopback-tcp"), "127.0.0.1", 0)
            stack.push_async_callback(close, tcp)
            self.port = tcp.sockets[0].getsockname()[1]
            for _ in range(2):
                victim = await spawn("sleep", "60", env=env)
                stack.push_async_callback(end, victim)
                self.victims.append(victim)
            stack.push_async_callback(self._tmux, "kill-server")
            await self._tmux("-f", "/dev/null", "new-session", "-d", "sleep", "60")
            yield

    def _hear(self, name: str) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]:
        async def heard(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with contextlib.suppress(OSError):
                self.heard[name] = await reader.read(100)
                writer.write(b"yes\n")
                await writer.drain()
            writer.close()
        return heard

    async def _tmux(self, *words: str) -> None:
        env = {"PATH": os.environ["PATH"], "HOME": str(self.person), "TERM": "xterm"}
        await reap(await spawn("tmux", "-S", str(self.tmux), *words, env=env, stdin=asyncio.subprocess.DEVNULL,
                               stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL))

    def judge(self, said: dict[str, str], typed: bytes, gone: Sequence[bool]) -> tuple[Attack, ...]:
        """What the stage shows now."""
        shared, own = self.look(self.shared), self.look(self.clone / ".git")
        pushed = git(self.top, f"--git-dir={self.remote}", "for-each-ref")
        seen = {
            "write-outside": (self.top / "outside").exists(), "read-ssh-key": self.tokens["key"] in said.get("read-ssh-key", ""),
            "read-daemon-environ": self.tokens["environ"] in said.get("read-daemon-environ", ""),
            "write-ledger": bool((self.state / "ledger").read_text()),
            "read-holdback": self.tokens["holdback"] in said.get("read-holdback", ""), "drive-tmux": (self.top / "driven").exists(),
            "signal-process": gone[0], "trace-process": gone[1], "push-to-remote": bool(pushed),
            "type-into-terminal": b"andon-typed" in typed,
            **{name: name in self.heard for name in ("approve-own-gate", "abstract-socket", "loopback-tcp")},
            **{name: shared[name] != before for name, before in self.before[self.shared].items()},
        }
        mine = {name for name, before in self.before[self.clone / ".git"].items() if own[name] != before and not seen[name]}
        seen[COMMIT], about = self._committed(said.get(COMMIT, "")), {**ABOUT, COMMIT: "commit on its own branch (this must work)"}
        return tuple(
            Attack(name=name, about=about[name], succeeded=seen[name] or name in mine, own=name in mine or name == COMMIT,
                   said=self._masked(said.get(name, "")))
            for name in about)

    def _masked(self, said: str) -> str:
        """What an attempt saw, without the stage's secrets."""
        for token in self.tokens.values():
            said = said.replace(token, "(the secret)")
        return clean(said.replace(str(self.top), "…"))[:300]

    def _committed(self, commit: str) -> bool:
        """Whether its branch holds its commit, by git's own file."""
        with contextlib.suppress(OSError):
            return bool(commit) and (self.clone / ".git/refs/heads/work").read_text().strip() == commit
        return False


async def matrix(
    level: Level, folder: Path, *, run: Callable[[Path], tuple[str, ...]] = jobs.shim_argv,
    change: Callable[[Sandbox, Stage], Sandbox] | None = None,
) -> tuple[Attack, ...]:
    """Try everything from inside a job of this level; the nineteen and the commit, in a few seconds. Nothing is left in `folder`.

    A job that could not run at all raises OSError with the reason: nothing was shown then. `run` and `change` take guards away,
    for whoever tests that the matrix sees it.
    """
    with tempfile.TemporaryDirectory(prefix="andon-stage-", dir=_short(folder)) as top:
        stage = Stage(Path(top))
        await asyncio.to_thread(stage.build)
        async with stage.alive():
            walls = stage.walls(level)
            typed = await _play(stage, change(walls, stage) if change else walls, run)
            gone = [await _gone(one) for one in stage.victims]
            said = _read_said(stage.top / "said/said")
            return await asyncio.to_thread(stage.judge, said, typed, gone)


def succeeded(attacks: Sequence[Attack]) -> tuple[str, ...]:
    """Names of those that harmed more than the job's own clone."""
    return tuple(one.name for one in attacks if one.succeeded and not one.own)


def worked(attacks: Sequence[Attack]) -> bool:
    """Whether committing works in there."""
    return any(one.succeeded for one in attacks if one.name == COMMIT)


async def _play(stage: Stage, walls: Sandbox, run: Callable[[Path], tuple[str, ...]]) -> bytes:
    """Run the job at a terminal of its own to its end; what then lay in that terminal's input."""
    (stage.top / "targets").write_text(json.dumps(stage.targets()))
    python, job = bubblewrap.interpreter()[0], stage.top / "job"
    argv = (python, "-I", "-S", PROGRAM, str(stage.top / "targets"), str(stage.top / "said/said"))
    env = {**_plain(), "HOME": str(stage.home), "TMPDIR": str(stage.home), "ANDON_TREE": str(job)}
    jobs.write_job(job, Job(name="matrix", argv=argv, cwd=str(stage.clone), env=env, seconds=JOB_S, grace_s=0.2, sandbox=walls))
    master, slave = pty.openpty()
    try:
        shim = await spawn(sys.executable, "-I", "-S", "-c", _CONTROL, *run(job), stdin=slave, stdout=slave, stderr=slave, env={})
        await shim.wait()
        os.set_blocking(slave, False)
        ended = msgspec.json.decode((job / EXIT).read_bytes(), type=Exit)
        if ended.because != "exit" or ended.code:
            how = f"the attempts ended with {ended.code}, signal {ended.signal}, {ended.because}: {_seen(master)}"
            raise OSError(ended.error or how)
        with contextlib.suppress(BlockingIOError):
            return os.read(slave, 4096)
        return b""
    finally:
        os.close(slave)
        os.close(master)


def _seen(master: int) -> str:
    os.set_blocking(master, False)
    with contextlib.suppress(OSError):
        return os.read(master, 2000).decode(errors="replace")
    return ""


def _read_said(path: Path) -> dict[str, str]:
    with contextlib.suppress(OSError, msgspec.MsgspecError):
        return msgspec.json.decode(path.read_bytes(), type=dict[str, str])
    return {}


async def _gone(victim: asyncio.subprocess.Process) -> bool:
    """Whether a process that should sleep is gone, or is held by somebody's trace."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(0.2):
            await victim.wait()
    return victim.returncode is not None


async def end(victim: asyncio.subprocess.Process) -> None:
    """One of the stage's own processes."""
    with contextlib.suppress(ProcessLookupError):
        victim.kill()
    await reap(victim)


async def close(server: asyncio.Server) -> None:
    """One of the stage's own servers."""
    server.close()
    await server.wait_closed()


def _short(folder: Path) -> Path:
    """A unix socket's path has 107 bytes at most."""
    return folder if len(str(folder)) < 70 else Path(tempfile.gettempdir())


def _plain() -> dict[str, str]:
    """Nobody's settings."""
    named = (("NAME", "A"), ("EMAIL", "a@localhost"))
    who = {f"GIT_{role}_{what}": value for role in ("AUTHOR", "COMMITTER") for what, value in named}
    return {**who, "PATH": os.environ.get("PATH", "/usr/bin:/bin"), "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_NOSYSTEM": "1",
            "LANG": "C.UTF-8"}


def git(at: Path, *words: str) -> str:
    """Git on the stage itself."""
    env = {**_plain(), "HOME": str(at)}
    program = shutil.which("git") or "git"
    done = subprocess.run((program, *words), cwd=at, env=env, capture_output=True, text=True, check=False)
    if done.returncode:
        raise OSError(f"git {words[0]}: {done.stderr.strip()[-300:]}")
    return done.stdout.strip()
