"""What adapters lay out before a start: settings files, prompts as words, programs on PATH. Touches nothing; knows no factory."""

import json
import os
import shlex
import shutil
from collections.abc import Mapping
from pathlib import Path

import msgspec

from andon.schema.agent import Assignment, Seed
from andon.schema.errors import Mistake
from andon.schema.settings import AgentSettings

from .command import WORD_LIMIT

HOOK_WAIT_S = 12 * 3600 + 120
"""The limit that agents are given for a hook that waits for a person; the hook itself gives up a little earlier."""
HOOK_S = 20
"""The limit of every other hook."""
SIGNS = "/!#@&?-"
"""First characters by which terminal programs take a prompt for a command or an option of their own."""


def program(name: str, agent: AgentSettings, person: Mapping[str, str], install: str) -> str:
    """The full path of an agent's program. Raises Mistake when it is not installed."""
    if agent.command:
        raise Mistake(f"agent `{agent.name}` has both use = \"{agent.use}\" and a command", where=section(agent),
                      mend='remove command (further words go into args), or write use = "command"')
    path = agent.env.get("PATH") or person.get("PATH") or os.environ.get("PATH")
    binary = shutil.which(name, path=path)
    if not binary:
        raise Mistake(f"agent `{agent.name}` cannot start: `{name}` is not installed", where=section(agent),
                      mend=f"install it ({install}), or choose another agent")
    return binary


def version_of(binary: Path) -> str:
    """The version that the package of a program says; empty when it cannot be told."""
    for folder in binary.resolve().parents:
        manifest = folder / "package.json"
        if manifest.is_file():
            try:
                return msgspec.json.decode(manifest.read_bytes(), type=_Manifest).version
            except (OSError, msgspec.DecodeError):
                return ""
    return ""


class _Manifest(msgspec.Struct, frozen=True):
    """What we read of a package's manifest."""

    version: str = ""


def section(agent: AgentSettings) -> str:
    """Where this agent is configured."""
    return f"[agents.{agent.name}] in andon.toml"


def spoken(assignment: Assignment) -> str:
    """The prompt as one word of a command line: what is too long becomes a pointer to its file, what a terminal program
    would take for a command of its own gets a line before it."""
    prompt = assignment.prompt.replace("\0", "")
    if len(os.fsencode(prompt)) > WORD_LIMIT - 100:
        return f"Your whole task is in the file {assignment.prompt_file}. Read it, then do it."
    return f"Your task:\n{prompt}" if prompt.lstrip()[:1] in SIGNS and prompt.strip() else prompt


def written(path: str, content: object, *, always: bool = False) -> Seed:
    """A seed that holds JSON."""
    return Seed(path=path, text=json.dumps(content, indent=1, sort_keys=True) + "\n", always=always)


def hook_command(hook: tuple[str, ...], event: str, *more: str) -> str:
    """The shell command of one hook. `exec`, so that no shell stands between the agent and the one that waits."""
    return "exec " + shlex.join((*hook, event, *more))


def servers(mcp: tuple[str, ...], job: Path) -> dict[str, object]:
    """Our own MCP server as most agents take it."""
    return {"mcpServers": {"andon": {"command": mcp[0], "args": list(mcp[1:]), "env": {"ANDON_JOB": str(job)}}}} if mcp else {}


class Instructions(msgspec.Struct, frozen=True, kw_only=True):
    """Which instruction files a checkout has."""

    own: bool
    """The agent's own file is there: it reads it by itself."""
    shared: Path | None
    """`AGENTS.md`, when it is there."""


def instructions(checkout: Path, *own: str) -> Instructions:
    """The instruction files at the root of a checkout; `own` are the names that this agent reads by itself."""
    shared = checkout / "AGENTS.md"
    return Instructions(own=any((checkout / name).is_file() for name in own), shared=shared if shared.is_file() else None)
