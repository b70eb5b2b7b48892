"""What lies in the private home of a Codex session: its settings, its login, what to run. Pure but for looks at files."""

import contextlib
import hashlib
import json
import os
import re
import secrets
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from andon.schema.agent import Assignment, Seed
from andon.schema.errors import Mistake
from andon.schema.settings import AgentSettings

from .codex_run import TOKEN
from .loopback import free_port, read_note

HOME, RUN = ".codex", "codex-run.json"
"""Names in the private home: what `CODEX_HOME` is, and the file of the program in the pane."""
SOCKET = "codex.sock"
"""Name of the server's socket in the job directory; Codex makes it a link to a short path of its own."""
KEY, BASE, PROVIDER, UPSTREAM = "OPENAI_API_KEY", "OPENAI_BASE_URL", "andon", "https://api.openai.com/v1"
INSTALL = "npm install -g @openai/codex"


def login_file(environ: Mapping[str, str]) -> Path:
    """Where the person's own login lies."""
    home = environ.get("CODEX_HOME") or os.path.join(environ.get("HOME") or "~", HOME)  # noqa: PTH118 - an empty HOME stays a name
    return Path(home).expanduser() / "auth.json"


def chooses_provider(agent: AgentSettings) -> bool:
    """Whether the settings of this agent name a provider themselves."""
    words = ("--oss", "--local-provider", "--profile", "-p")
    return any(one in words or re.match(r"(-c|--config)?=?model_provider\s*=", one) for one in agent.args)


def settings(assignment: Assignment, *, keyed: bool) -> str:
    """`config.toml`. With an API key a provider of our own name stands in it, so that its address can be chosen."""
    agent = assignment.agent
    policy, sandbox = consent(assignment)
    top: dict[str, Any] = {"check_for_update_on_startup": False, "approval_policy": policy, "sandbox_mode": sandbox}
    if agent.model:
        top["model"] = agent.model
    tables: dict[str, dict[str, Any]] = {
        "analytics": {"enabled": False},
        "features": {"daemon_auto_start": False, "in_app_updates": False},
        "sandbox_workspace_write": {"writable_roots": writable(assignment), "exclude_slash_tmp": True},
    }
    address = assignment.gateway or agent.upstream or assignment.person.get(BASE, "") or UPSTREAM
    if keyed or (agent.upstream and not chooses_provider(agent)):
        top["model_provider"] = PROVIDER
        tables[f"model_providers.{PROVIDER}"] = {
            "name": "API key", "base_url": address.rstrip("/"), "wire_api": "responses", **({"env_key": KEY} if keyed else {}),
        }
    for place in dict.fromkeys((assignment.checkout, assignment.repository)):
        if place.is_absolute():
            tables[f"projects.{_text(str(place))}"] = {"trust_level": "trusted"}
    if assignment.mcp:
        tables["mcp_servers.andon"] = _verbs(assignment)
    lines = [f"{key} = {_text(value)}" for key, value in top.items()]
    for name, entries in tables.items():
        lines += ["", f"[{name}]", *(f"{key} = {_text(value)}" for key, value in entries.items())]
    return "\n".join(lines) + "\n"


def consent(assignment: Assignment) -> tuple[str, str]:
    """When Codex asks, and what its commands may do unasked. Where it can make no sandbox, the walls around it stand for one."""
    if assignment.agent.approve == "all":
        return "never", "danger-full-access"
    return "on-request", "workspace-write" if assignment.nests else "danger-full-access"


def consent_words(assignment: Assignment) -> tuple[str, ...]:
    """The same as options of the server, so that no settings file in the checkout outranks them. A resumed screen refuses them."""
    policy, sandbox = consent(assignment)
    return "-c", f'approval_policy="{policy}"', "-c", f'sandbox_mode="{sandbox}"'


def writable(assignment: Assignment) -> list[str]:
    """Where its sandboxed commands may write beside the checkout: git's own directory, which Codex protects, and the outbox."""
    return [*(str(place) for place in git_directories(assignment.checkout, assignment.repository)), str(assignment.job / "outbox")]


def git_directories(checkout: Path, repository: Path) -> tuple[Path, ...]:
    """The git directory of a checkout; for a linked worktree of the repository its own and the one that it shares. The agent of an
    earlier sitting may have written what stands there: it opens nothing else."""
    place = checkout / ".git"
    own = _linked(place)
    if own is None:
        return () if place.is_symlink() else (place,)
    theirs = _linked(repository / ".git")
    shared = theirs.parents[1] if theirs else (repository / ".git").resolve()
    return (own, shared) if own.parent == shared / "worktrees" else ()


def _linked(place: Path) -> Path | None:
    """Where the `.git` file of a linked worktree leads; None for anything else."""
    told = read_note(place).decode(errors="replace")
    with contextlib.suppress(OSError, ValueError, RuntimeError):
        return (place.parent / told.removeprefix("gitdir:").strip()).resolve() if told.startswith("gitdir:") else None
    return None


def program(name: str, agent: AgentSettings, environ: Mapping[str, str]) -> str:
    """The full path of Codex, itself and not its wrapper in node where it can be told. Raises Mistake when there is none."""
    found = shutil.which(name, path=environ.get("PATH"))
    if not found:
        raise Mistake(f"agent `{agent.name}` cannot start: `{name}` is not installed", where=f"[agents.{agent.name}] in andon.toml",
                      mend=f"install it ({INSTALL}), or choose another agent")
    return native(Path(found)) or found


def native(wrapper: Path) -> str:
    """The program behind the npm package's wrapper, or empty. The wrapper outlives nobody and hides who is killed."""
    script = wrapper.resolve()
    if script.name != "codex.js":
        return ""
    machine, system = os.uname().machine, os.uname().sysname
    package = f"codex-{system.lower()}-{ {'x86_64': 'x64', 'aarch64': 'arm64'}.get(machine, machine)}"
    for folder in (script.parents[2] / package, script.parents[1] / "node_modules" / "@openai" / package, script.parents[1]):
        for binary in sorted(folder.glob("vendor/*/bin/codex")):
            if os.access(binary, os.X_OK):
                return str(binary)
    return ""


class Meeting(msgspec.Struct, frozen=True, kw_only=True):
    """Where the server listens: at a socket in the job directory; within walls, whence none leads out, at a port."""

    socket: Path
    port: int = 0
    token: str = ""

    @classmethod
    def of(cls, assignment: Assignment) -> "Meeting":
        """A new one for this session."""
        port, token = (free_port(), secrets.token_urlsafe(24)) if assignment.walls != "none" else (0, "")
        return cls(socket=assignment.job / SOCKET, port=port, token=token)

    def listen(self) -> tuple[str, ...]:
        """The server's words for it. A port asks for a token, of which the command line tells only the digest."""
        digest = hashlib.sha256(self.token.encode()).hexdigest()
        lock = ("--ws-auth", "capability-token", "--ws-token-sha256", digest) if self.port else ()
        return "--listen", self._address(), *lock

    def remote(self) -> tuple[str, ...]:
        """The screen's words for it."""
        return "--remote", self._address(), *(("--remote-auth-token-env", TOKEN) if self.port else ())

    def _address(self) -> str:
        return f"ws://127.0.0.1:{self.port}" if self.port else f"unix://{self.socket}"


def run_file(server: tuple[str, ...], screen: tuple[str, ...], assignment: Assignment, meeting: Meeting) -> Seed:
    """What the program in the pane reads."""
    told = {"server": server, "screen": screen, "socket": str(meeting.socket), "port": meeting.port, "token": meeting.token,
            "log": str(assignment.home / HOME / "app-server.log"), "scratch": str(assignment.home / "tmp")}
    return Seed(path=RUN, text=json.dumps(told), always=True)


def token_of(home: Path) -> str:
    """The token of the server that was started in this home; empty when it has none."""
    with contextlib.suppress(ValueError, AttributeError):
        found = json.loads(read_note(home / RUN)).get("token")
        return found if isinstance(found, str) and re.fullmatch(r"[A-Za-z0-9_-]{1,100}", found) else ""
    return ""


def _verbs(assignment: Assignment) -> dict[str, Any]:
    """The server with the agent's own verbs. Codex gives a tool server next to no environment: what it needs is named."""
    job = {"ANDON_JOB": str(assignment.job), "ANDON_ATTEMPT": str(assignment.attempt), "ANDON_TASK": str(assignment.task)}
    kept = {key: value for key, value in assignment.person.items() if key in ("PATH", "HOME", "PYTHONPATH", "LANG", "TMPDIR")}
    return {"command": assignment.mcp[0], "args": list(assignment.mcp[1:]), "env": {**kept, **job},
            "default_tools_approval_mode": "approve"}


def _text(value: Any) -> str:
    """A value as TOML; JSON's strings are TOML's."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{_text(key)} = {_text(one)}" for key, one in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(_text(one) for one in value) + "]"
    return json.dumps(value).replace("\x7f", "\\u007f")
