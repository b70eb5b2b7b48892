"""Agents that are a command line: any program, and the presets of known CLIs. Knows argv; never runs one, never judges one."""

import os
import re
import shutil
import tomllib
from collections.abc import Mapping
from functools import cache
from importlib import resources
from pathlib import Path

import msgspec

from andon.schema.agent import Assignment, Installed, Launch
from andon.schema.errors import Mistake
from andon.schema.settings import AgentSettings

WORD_LIMIT = 120_000
"""Bytes of one argument; Linux refuses a word of 128 KiB."""
_PLACE = re.compile(r"\{(prompt_file|prompt|checkout|task|title)\}")


class CommandAdapter(msgspec.Struct, frozen=True):
    """`command = ["./my-agent", "{prompt_file}"]`: runs exactly that."""

    name: str = "command"

    def detect(self) -> tuple[Installed, ...]:
        """Nothing: a command is whatever a person writes."""
        return ()

    def launch(self, assignment: Assignment) -> Launch:
        """The command, places filled in, `args` behind it. Raises Mistake when there is none or its program is missing."""
        agent = assignment.agent
        if not agent.command:
            raise Mistake(f"agent `{agent.name}` has no command", where=_section(agent),
                          mend='add command = ["program", "{prompt_file}"], or choose use = "claude" or another known agent')
        argv = filled((*agent.command, *agent.args), assignment)
        program = found(argv[0], agent, assignment.checkout)
        if not program:
            raise Mistake(f"agent `{agent.name}` cannot start: there is no program `{argv[0]}`", where=_section(agent),
                          mend="install it, or write its full path in command")
        return Launch(argv=(program, *argv[1:]), env=dict(agent.env))


class Preset(msgspec.Struct, frozen=True, kw_only=True):
    """A known agent CLI, from `presets.toml`."""

    name: str
    argv: tuple[str, ...]
    env: dict[str, str] = {}
    install: str = ""

    def detect(self) -> tuple[Installed, ...]:
        """The program on PATH, if there; starts nothing."""
        binary = shutil.which(self.argv[0])
        return (Installed(adapter=self.name, binary=binary),) if binary else ()

    def launch(self, assignment: Assignment) -> Launch:
        """The known argv with `args` behind it; a prompt too long for one word becomes a pointer to its file."""
        agent = assignment.agent
        if agent.command:
            raise Mistake(f"agent `{agent.name}` has both use = \"{self.name}\" and a command", where=_section(agent),
                          mend='remove command (further words go into args), or write use = "command"')
        if len(os.fsencode(assignment.prompt)) > WORD_LIMIT:
            pointer = f"Your whole task is in the file {assignment.prompt_file}. Read it, then do it."
            assignment = msgspec.structs.replace(assignment, prompt=pointer)
        elif assignment.prompt.lstrip().startswith("-"):
            assignment = msgspec.structs.replace(assignment, prompt=f"Your task:\n{assignment.prompt}")
        argv = filled((*self.argv, *agent.args), assignment)
        program = found(argv[0], agent, assignment.checkout)
        if not program:
            raise Mistake(f"agent `{agent.name}` cannot start: `{argv[0]}` is not installed", where=_section(agent),
                          mend=f"install it ({self.install}), or choose another agent")
        return Launch(argv=(program, *argv[1:]), env={**self.env, **agent.env})


def filled(words: tuple[str, ...], assignment: Assignment) -> tuple[str, ...]:
    """The words with each place filled in, once: no place inside a filled text counts. Raises Mistake for a word too long."""
    values = {
        "prompt_file": str(assignment.prompt_file), "prompt": assignment.prompt, "checkout": str(assignment.checkout),
        "task": str(assignment.task), "title": assignment.title,
    }
    done = tuple(_PLACE.sub(lambda place: values[place[1]], word).replace("\0", "") for word in words)
    for word, template in zip(done, words, strict=True):
        if len(os.fsencode(word)) > WORD_LIMIT:
            raise Mistake(f"the word `{template}` gets {len(os.fsencode(word)):,} bytes long; the system takes {WORD_LIMIT:,}",
                          where=_section(assignment.agent), mend="use {prompt_file} instead of {prompt}")
    return done


def found(program: str, agent: AgentSettings, checkout: Path) -> str:
    """The full path of a program as the session will find it, or empty. A path with a slash starts at the checkout."""
    if "/" in program:
        path = (checkout / Path(program).expanduser())
        return str(path) if path.is_file() and os.access(path, os.X_OK) else ""
    return shutil.which(program, path=agent.env.get("PATH")) or ""


def _section(agent: AgentSettings) -> str:
    """Where this agent is configured."""
    return f"[agents.{agent.name}] in andon.toml"


@cache
def presets() -> Mapping[str, Preset]:
    """The known agent CLIs by name."""
    data = tomllib.loads((resources.files("andon_agents") / "presets.toml").read_text("utf-8"))
    return {name: msgspec.convert({"name": name, **entry}, Preset) for name, entry in data.items()}


ADAPTER = CommandAdapter()
"""The entry point `command`."""
