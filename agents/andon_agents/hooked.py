"""Agents that call command hooks, from data: how each is started and what its events mean. Decides nothing; names no agent."""

import functools
import re
import shutil
import tomllib
import uuid
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any, Literal

import msgspec

from andon.schema.agent import Assignment, Channel, Installed, Launch, Login, Profile, Seed, SessionFacts
from andon.schema.errors import Mistake
from andon.schema.jobs import HOOKS
from andon.schema.settings import AgentSettings
from andon.schema.signals import AnySignal, Line

from .hooked_read import Deed, Meaning, read
from .seeds import HOOK_S, hook_command, program, section, servers, spoken, version_of, written

_PLACE = re.compile(r"\{(home|checkout|job|prompt|prompt_file|resume|conversation|model|mcp|gateway)\}")
_SEES: Mapping[Meaning, str] = {
    "tool-failed": "tool-ended", "helper-began": "helper", "helper-ended": "helper", "compacted": "compacting",
    "notification": "permission-wanted",
}


class SettingsFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The agent's own settings, in its private home."""

    file: str
    content: dict[str, Any] = {}
    login_content: dict[str, Any] = {}
    """Laid over `content` when the person's own login was copied."""
    trust: str = ""
    """The key of a list of folders that are trusted."""
    mcp: bool = False
    """MCP servers stand in this file."""


class HooksFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where and how hooks are declared."""

    shape: Literal["claude", "copilot"] = "claude"
    file: str = ""
    """A file of its own; empty: in the settings file."""
    dialect: str = "claude"
    """How a decision is worded."""
    wait_s: float = 20.0
    """So long may a permission request wait for our decision before the agent asks at its own screen: short where the screen
    shows nothing meanwhile."""
    unit_ms: bool = False
    """Its limits of time are milliseconds."""
    unasked: bool = False
    """Its permission hook runs even where it was told to ask nothing: then none is declared."""


class HookedAdapter(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`use = "gemini"` and its like: a section of `hooked.toml`, or of a person's file."""

    name: str
    program: str
    install: str = ""
    processes: tuple[str, ...] = ()
    argv: tuple[str, ...] = ()
    prompt: tuple[str, ...] = ("{prompt}",)
    fresh: tuple[str, ...] = ()
    resume: tuple[str, ...] = ()
    model: tuple[str, ...] = ()
    mcp: tuple[str, ...] = ()
    policy: tuple[str, ...] = ()
    all: tuple[str, ...] = ()
    env: dict[str, str] = {}
    keys: tuple[str, ...] = ()
    login_files: tuple[str, ...] = ()
    """Below the person's home; copied to the same place below the private one."""
    login_hosts: tuple[str, ...] = ()
    """Where such a login is renewed and works, beside `upstream`."""
    upstream: str = ""
    base_variable: str = ""
    gateway: dict[str, str] = {}
    gateway_needs: tuple[str, ...] = ()
    """Keys with which a gateway may stand between; empty: any of `keys`."""
    own_instructions: tuple[str, ...] = ()
    instructions_key: str = ""
    """A dotted key of the settings file that takes names of further instruction files."""
    answers: bool = False
    blind: tuple[str, ...] = ()
    settings: SettingsFile | None = None
    hooks: HooksFile = HooksFile()
    events: dict[str, Meaning] = {}
    deeds: dict[str, Deed] = {}

    def detect(self) -> tuple[Installed, ...]:
        """The program on PATH, if there; starts nothing."""
        binary = shutil.which(self.program)
        return (Installed(adapter=self.name, binary=binary, version=version_of(Path(binary))),) if binary else ()

    def launch(self, assignment: Assignment) -> Launch:
        """Its terminal program on the prompt, with hooks of our own. Raises Mistake when it is missing."""
        agent = assignment.agent
        binary = program(self.program, agent, assignment.person, self.install)
        environ = {**assignment.person, **agent.env}
        conversation = assignment.resume or _fresh(assignment)
        resumed = bool(assignment.resume and self.resume)
        if assignment.resume and not resumed:
            assignment = msgspec.structs.replace(assignment, prompt=assignment.whole or assignment.prompt)
            conversation = _fresh(assignment)
        words = [*self.argv, *(self.all if agent.approve == "all" else self.policy), *(self.resume if resumed else self.fresh)]
        words += [*(self.model if agent.model else ()), *(self.mcp if assignment.mcp else ())]
        notes = ["it cannot go on with a conversation: a new one"] if assignment.resume and not resumed else []
        env = {"ANDON_JOB": str(assignment.job), **self.env}
        if assignment.gateway and any(environ.get(key) for key in self.gateway_needs or self.keys):
            env |= self.gateway
        elif assignment.gateway:
            notes.append("no gateway: its login is no API key")
        values = _values(assignment, conversation)
        argv = (binary, *_filled(words, values), *agent.args, *_filled(self.prompt, {**values, "prompt": spoken(assignment)}))
        return Launch(argv=argv, env={**{key: _fill(value, values) for key, value in env.items()}, **agent.env},
                      seeds=self._seeds(assignment, environ), interactive=True, channel="hooks" if assignment.hook else "none",
                      conversation=conversation if resumed or self.fresh else "", notes=tuple(notes))

    def profile(self) -> Profile:
        """What its events give."""
        sees = {_SEES.get(meaning, meaning) for meaning in self.events.values()}
        return Profile(channel="hooks", interactive=True, resumes=bool(self.resume), answers=self.answers, install=self.install,
                       login_hosts=self.login_hosts,
                       upstream=self.upstream, base_variable=self.base_variable, keys=self.gateway_needs or self.keys,
                       metered="gateway" if self.gateway else "unmetered", blind=self.blind, processes=self.processes,
                       sees=tuple(sorted(sees | ({"ask-settled"} if self.answers else set()))))

    def login(self, agent: AgentSettings, environ: Mapping[str, str]) -> Login:
        """A key in the environment, or a copy of the person's own login."""
        around = {**environ, **agent.env}
        for key in self.keys:
            if around.get(key):
                return Login(state="ready", because=f"{key} is set")
        found = [path for path in self.login_files if (Path(around.get("HOME") or "/") / path).is_file()]
        set_one = f"set {self.keys[0]}" if self.keys else "log in"
        if found and agent.login == "copy":
            return Login(state="ready", because=f"a copy of ~/{found[0]} is given to each session")
        if found:
            return Login(state="missing", because="no API key is set, and your own login is not given to sessions",
                         mend=f'{set_one}, or write login = "copy" into {section(agent)}')
        if not self.keys:
            return Login(state="unknown", because="nothing says how this agent logs in")
        return Login(state="missing", because=f"none of {', '.join(self.keys)} is set", mend=set_one)

    def read(self, line: Line) -> tuple[AnySignal, ...]:
        """Signals of a hook event, by the table of this agent."""
        return read(line, self.events, self.deeds, answers=self.answers)

    def channel(self, session: SessionFacts) -> Channel | None:
        """None: its hooks speak through files."""
        return None

    def _seeds(self, assignment: Assignment, environ: Mapping[str, str]) -> tuple[Seed, ...]:
        """Its settings and hooks, our server, and the person's login where that was asked for."""
        seeds, hooks = [], self._hooks(assignment.hook, assignment.agent.approve)
        if self.settings:
            content = dict(self.settings.content)
            if assignment.agent.login == "copy" and not any(environ.get(key) for key in self.keys):
                content = _merged(content, self.settings.login_content)
            if self.settings.trust:
                content[self.settings.trust] = sorted({str(assignment.checkout), str(assignment.checkout.resolve())})
            if self.settings.mcp:
                content = _merged(content, servers(assignment.mcp, assignment.job))
            if self.instructions_key:
                content = _merged(content, _nested(self.instructions_key, ["AGENTS.md", *self.own_instructions]))
            if hooks and not self.hooks.file:
                content = _merged(content, {"hooks": hooks})
            seeds.append(written(self.settings.file, content, always=True))
        if hooks and self.hooks.file:
            seeds.append(written(self.hooks.file, {"version": 1, "hooks": hooks}, always=True))
        if assignment.mcp and self.mcp:
            seeds.append(written("andon-mcp.json", servers(assignment.mcp, assignment.job), always=True))
        if assignment.agent.login == "copy":
            home = Path(environ.get("HOME") or "/")
            seeds += [Seed(path=path, copy=str(home / path)) for path in self.login_files]
        return tuple(seeds)

    def _hooks(self, hook: tuple[str, ...], approve: str) -> dict[str, object]:
        """The declaration of every event that means something here."""
        mute = self.hooks.unasked and approve == "all"
        return {event: self._hook(hook, event, meaning) for event, meaning in self.events.items()
                if hook and not (mute and meaning == "permission-wanted")}

    def _hook(self, hook: tuple[str, ...], event: str, meaning: Meaning) -> list[dict[str, object]]:
        """One event's declaration."""
        asks = meaning == "permission-wanted" and self.answers
        command = hook_command(hook, event, *((self.hooks.dialect, f"{self.hooks.wait_s:g}") if asks else ()))
        seconds = round(self.hooks.wait_s) + 60 if asks else HOOK_S
        if self.hooks.shape == "copilot":
            return [{"type": "command", "bash": command, "timeoutSec": seconds}]
        matcher: dict[str, object] = {"matcher": "*"} if "tool" in meaning or "permission" in meaning else {}
        limit = seconds * 1000 if self.hooks.unit_ms else seconds
        return [{**matcher, "hooks": [{"type": "command", "command": command, "timeout": limit}]}]


def hooked(text: str, where: str) -> dict[str, HookedAdapter]:
    """The adapters of a TOML text, by name. Raises Mistake with the place."""
    try:
        return {name: msgspec.convert({"name": name, **entry}, HookedAdapter) for name, entry in tomllib.loads(text).items()}
    except (tomllib.TOMLDecodeError, msgspec.ValidationError, TypeError) as error:
        raise Mistake(f"this describes no agent: {error}", where=where,
                      mend="compare with the sections of hooked.toml that come with the program") from error


@functools.cache
def bundled() -> Mapping[str, HookedAdapter]:
    """The agents that come with the program."""
    return hooked((resources.files("andon_agents") / "hooked.toml").read_text("utf-8"), "hooked.toml")


def _values(assignment: Assignment, conversation: str) -> dict[str, str]:
    """What stands for the places of words."""
    return {
        "home": str(assignment.home), "checkout": str(assignment.checkout), "job": str(assignment.job), "resume": assignment.resume,
        "prompt_file": str(assignment.prompt_file), "conversation": conversation, "model": assignment.agent.model,
        "mcp": str(assignment.home / "andon-mcp.json"), "gateway": assignment.gateway, "prompt": "",
    }


def _fill(word: str, values: Mapping[str, str]) -> str:
    """The word with its places filled in, once."""
    return _PLACE.sub(lambda place: values[place[1]], word)


def _filled(words: list[str] | tuple[str, ...], values: Mapping[str, str]) -> tuple[str, ...]:
    """All words with their places filled in."""
    return tuple(_fill(word, values) for word in words)


def _merged(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """Both, the other's values winning, tables merged."""
    both = dict(one)
    for key, value in other.items():
        mine = both.get(key)
        both[key] = _merged(mine, value) if isinstance(mine, dict) and isinstance(value, dict) else value
    return both


def _nested(dotted: str, value: object) -> dict[str, Any]:
    """A value at a dotted key."""
    first, _, rest = dotted.partition(".")
    return {first: _nested(rest, value) if rest else value}


def _fresh(assignment: Assignment) -> str:
    """A name for a new conversation: the same for the same first start, any once hooks have spoken in this job."""
    if (assignment.job / HOOKS).exists():
        return str(uuid.uuid4())
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"andon:{assignment.job}:{assignment.attempt}"))


def _adapter(name: str) -> HookedAdapter:
    return bundled()[name]


GEMINI, QWEN, COPILOT = _adapter("gemini"), _adapter("qwen"), _adapter("copilot")
"""The entry points."""
