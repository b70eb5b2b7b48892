"""The adapter of Codex: its app-server as the channel, its own screen in tmux on the same conversation. Must never decide."""

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

import msgspec

from andon.schema.agent import Assignment, Channel, Installed, Launch, Login, Profile, Seed, SessionFacts
from andon.schema.errors import Mistake
from andon.schema.settings import AgentSettings
from andon.schema.signals import AnySignal, Line

from . import codex_home as home, codex_run
from .codex_read import read_message
from .codex_streams import read_stream

WORD_LIMIT = 120_000
"""Bytes of one argument; Linux refuses a word of 128 KiB."""
VERSION_S = 5.0
"""So long may the program take to say its version."""
SEES = ("began", "turn-began", "tool-began", "tool-ended", "permission-wanted", "answer-wanted", "ask-settled", "retrying", "spoke",
        "turn-ended", "turn-failed", "compacting", "helper", "usage", "ended")
BLIND = (
    "when a rate limit ends, unless it is a plan's limit: Codex keeps the time of its next try to itself",
    "a stream that hangs, until Codex gives up on it after five minutes",
    "commands inside its sandbox: it asks only for what leaves it",
    "what a sub-agent of it does, beyond that it is there",
)


class CodexAdapter(msgspec.Struct, frozen=True):
    """`use = "codex"`."""

    name: str = "codex"

    def detect(self) -> tuple[Installed, ...]:
        """The program on PATH with its version."""
        found = shutil.which("codex")
        if not found:
            return ()
        try:
            stamp = Path(found).resolve().stat().st_mtime_ns
        except OSError:
            stamp = 0
        return (Installed(adapter=self.name, binary=found, version=_version(found, stamp)),)

    def profile(self) -> Profile:
        """What it can do."""
        return Profile(
            channel="app-server", interactive=True, sees=SEES, blind=BLIND, resumes=True, answers=True, metered="reported",
            install=home.INSTALL, upstream=home.UPSTREAM, base_variable=home.BASE, keys=(home.KEY,),
            login_hosts=("auth.openai.com", "chatgpt.com"),
            processes=("codex", "codex-code-mode", "codex-code-mode-host"),
            hosts=("github.com", "api.github.com", "raw.githubusercontent.com", "chatgpt.com"),
        )

    def login(self, agent: AgentSettings, environ: Mapping[str, str]) -> Login:
        """An API key in the environment, or with `login = "copy"` the person's own login."""
        env = {**environ, **agent.env}
        if home.chooses_provider(agent):
            return Login(state="unknown", because="the agent's `args` choose a provider of their own")
        if agent.login == "copy":
            place = home.login_file(env)
            if place.is_file():
                return Login(state="ready", because=f"your own login, {place}, is copied into each session")
            return Login(state="missing", because=f"there is no login at {place}", mend="run `codex login`")
        if env.get(home.KEY):
            return Login(state="ready", because=f"{home.KEY} is set")
        if agent.upstream:
            return Login(state="unknown", because=f"{agent.upstream} is asked without a key")
        return Login(state="missing", because=f"{home.KEY} is not set", mend=(
            f'set {home.KEY}, or run `codex login` once and write login = "copy" in [agents.{agent.name}]'))

    def launch(self, assignment: Assignment) -> Launch:
        """A server and a screen under one small program. Raises Mistake when Codex is not installed or cannot log in."""
        agent = assignment.agent
        self._refuse(agent, assignment.person)
        env = {**assignment.person, **agent.env}
        binary = home.program("codex", agent, env)
        keyed = bool(env.get(home.KEY)) and agent.login != "copy" and not home.chooses_provider(agent)
        options, others = _sorted(agent.args)
        meeting = home.Meeting.of(assignment)
        server = (binary, "app-server", *home.consent_words(assignment), *options, *meeting.listen())
        screen = (binary, *(("resume",) if assignment.resume else ()), *options, *others, *meeting.remote(),
                  *((assignment.resume,) if assignment.resume else ()), *_prompt(assignment))
        seeds = [Seed(path=f"{home.HOME}/config.toml", text=home.settings(assignment, keyed=keyed), always=True),
                 home.run_file(server, screen, assignment, meeting)]
        if agent.login == "copy":
            seeds.append(Seed(path=f"{home.HOME}/auth.json", copy=str(home.login_file(env))))
        return Launch(
            argv=(sys.executable, "-I", "-S", str(Path(codex_run.__file__).absolute()), str(assignment.home / home.RUN)),
            env={**agent.env, "CODEX_HOME": str(assignment.home / home.HOME)}, seeds=tuple(seeds), interactive=True,
            programs=(binary,),
            channel="app-server", port=meeting.port, conversation=assignment.resume, notes=_notes(assignment, keyed=keyed),
        )

    def read(self, line: Line) -> tuple[AnySignal, ...]:
        """The signals in a raw line of the app-server, a hook, the transcript or `codex exec --json`."""
        return read_message(line) if line.source == "api" else read_stream(line)

    def channel(self, session: SessionFacts) -> Channel:
        """The app-server of the running session."""
        from .codex_channel import CodexChannel

        return CodexChannel(session)

    def _refuse(self, agent: AgentSettings, person: Mapping[str, str]) -> None:
        """Settings with which it would stand at a sign-in screen, or that contradict each other."""
        where = f"[agents.{agent.name}] in andon.toml"
        if agent.command:
            raise Mistake(f'agent `{agent.name}` has both use = "{self.name}" and a command', where=where,
                          mend='remove command (further words go into args), or write use = "command"')
        login = self.login(agent, person)
        if login.state == "missing":
            raise Mistake(f"agent `{agent.name}` cannot log in: {login.because}", where=where, mend=login.mend)


@lru_cache(maxsize=16)
def _version(binary: str, stamp: int) -> str:
    """What a program says its version is, asked once for each file; empty when it does not say."""
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        done = subprocess.run((binary, "--version"), capture_output=True, text=True, errors="replace", timeout=VERSION_S,
                              check=False, stdin=subprocess.DEVNULL, env={**os.environ, "CODEX_HOME": os.devnull})
        return done.stdout.split()[-1][:40] if done.returncode == 0 and done.stdout.split() else ""
    return ""


def _sorted(args: tuple[str, ...]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Settings that server and screen both take, and the rest, which is the screen's."""
    both: list[str] = []
    rest: list[str] = []
    words = iter(args)
    for one in words:
        if one in ("-c", "--config", "--enable", "--disable"):
            both += [one, *[value for value in (next(words, None),) if value is not None]]
        else:
            (both if one.startswith(("--config=", "--enable=", "--disable=", "-c=")) else rest).append(one)
    return tuple(both), tuple(rest)


def _prompt(assignment: Assignment) -> tuple[str, ...]:
    """The prompt as the last word; one that is too long becomes a pointer to its file."""
    prompt = assignment.prompt.replace("\0", "")
    if len(os.fsencode(prompt)) > WORD_LIMIT:
        prompt = f"Your whole task is in the file {assignment.prompt_file}. Read it, then do it."
    return ("--", prompt) if prompt.strip() else ()


def _notes(assignment: Assignment, *, keyed: bool) -> tuple[str, ...]:
    """What a person should know of this session."""
    notes = []
    if assignment.agent.approve == "all":
        notes.append("asks nothing and has no sandbox of its own: approve = \"all\"")
    elif not assignment.nests:
        notes.append("has no sandbox of its own, the walls stand for it: it asks nothing")
    if assignment.agent.login == "copy":
        notes.append("no gateway: its login goes to an address of its own")
    elif not keyed:
        notes.append("no gateway: its provider is named by the agent's own settings")
    return tuple(notes)


ADAPTER = CodexAdapter()
"""The entry point `codex`."""
