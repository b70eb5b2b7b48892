"""opencode: its TUI in the pane for a person, its HTTP server beside it for the daemon. Knows argv and settings; runs nothing."""

import os
import re
import secrets
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from andon.schema.agent import Assignment, Channel, Installed, Launch, Login, Profile, Seed, SessionFacts
from andon.schema.errors import Mistake
from andon.schema.settings import AgentSettings
from andon.schema.signals import AnySignal, Line

from .acp_fields import decoded
from .command import WORD_LIMIT, found
from .loopback import free_port
from .opencode_read import read
from .opencode_seat import SEAT, Seat

INSTALL = "npm install -g opencode-ai"
CONFIG = "OPENCODE_CONFIG_CONTENT"
SEES = ("began", "turn-began", "tool-began", "tool-ended", "permission-wanted", "answer-wanted", "ask-settled", "retrying", "spoke",
        "turn-ended", "turn-failed", "compacting", "helper", "usage")
SERVER = "andon"
"""Name of our own MCP server; its tools are called `andon_…`."""
_VERSION = re.compile(r'"version":\s*"([^"]{1,40})"')


class Provider(msgspec.Struct, frozen=True):
    """A provider that opencode knows by itself: the variable of its key, and the path of its API below the host."""

    key: str
    path: str


PROVIDERS = {
    "anthropic": Provider("ANTHROPIC_API_KEY", "/v1"), "openai": Provider("OPENAI_API_KEY", "/v1"),
    "openrouter": Provider("OPENROUTER_API_KEY", "/api/v1"), "google": Provider("GOOGLE_GENERATIVE_AI_API_KEY", "/v1beta"),
}
CUSTOM = Provider("OPENAI_API_KEY", "/v1")
"""A provider of another name speaks OpenAI's chat completions, at the gateway or at OPENAI_BASE_URL."""


class OpencodeAdapter(msgspec.Struct, frozen=True):
    """`use = "opencode"`; `model = "provider/model"`."""

    name: str = "opencode"

    def detect(self) -> tuple[Installed, ...]:
        """The program on PATH; its version from its package, nothing is started."""
        binary = shutil.which("opencode")
        return (Installed(adapter=self.name, binary=binary, version=_version(binary)),) if binary else ()

    def profile(self) -> Profile:
        """HTTP beside the TUI: sees nearly all, answers all."""
        return Profile(
            channel="http", interactive=True, resumes=True, answers=True, metered="reported", install=INSTALL,
            processes=("opencode",), hosts=("registry.npmjs.org",), sees=SEES,
            login_hosts=("console.anthropic.com", "auth.openai.com", "chatgpt.com"),
            upstream="https://api.anthropic.com", base_variable="ANTHROPIC_BASE_URL",
            keys=tuple(one.key for one in PROVIDERS.values()),
            blind=("a model stream that hangs looks like thinking until the gateway or the silence rule says otherwise",
                   "what a provider without a configured price costs"),
        )

    def login(self, agent: AgentSettings, environ: Mapping[str, str]) -> Login:
        """Whether a key or a copied login is there for the provider of the model."""
        variables = {**environ, **agent.env}
        provider = _provider(agent, variables)
        wanted = PROVIDERS.get(provider, CUSTOM).key
        if variables.get(wanted) or (provider == "google" and variables.get("GEMINI_API_KEY")):
            return Login(state="ready", because=f"{wanted} is set")
        file = _auth_file(variables)
        if agent.login == "copy" and file.is_file():
            return Login(state="ready", because=f"your own login is copied into each session: {file}")
        if variables.get(CONFIG):
            return Login(state="unknown", because=f"{CONFIG} configures the provider")
        first = "" if file.is_file() else "run `opencode auth login` and "
        mend = f'set {wanted}, or {first}write login = "copy" to lend it yours'
        return Login(state="missing", because=f"{wanted} is not set", mend=mend)

    def launch(self, assignment: Assignment) -> Launch:
        """The TUI with its server on a free loopback port. Raises Mistake when settings or binary are wrong."""
        agent = assignment.agent
        section = f"[agents.{agent.name}] in andon.toml"
        if agent.command:
            raise Mistake(f"agent `{agent.name}` has both use = \"{self.name}\" and a command", where=section,
                          mend='remove command (further words go into args), or write use = "command"')
        program = found("opencode", agent, assignment.checkout)
        if not program:
            raise Mistake(f"agent `{agent.name}` cannot start: `opencode` is not installed", where=section,
                          mend=f"install it ({INSTALL}), or choose another agent")
        home = assignment.home if assignment.home != Path() else assignment.job / "home"
        prompt = assignment.prompt.replace("\0", "")
        if len(os.fsencode(prompt)) > WORD_LIMIT:
            prompt = f"Your whole task is in the file {assignment.prompt_file}. Read it, then do it."
        resumed = bool(assignment.resume)
        seat = Seat(port=free_port(), password=secrets.token_urlsafe(24), conversation=assignment.resume,
                    prompt=prompt if resumed else "")
        told = (f"--session={assignment.resume}",) if resumed else (f"--prompt={prompt}",)
        seeds = (Seed(path=SEAT, text=msgspec.json.encode(seat).decode(), always=True), *_lent(agent, assignment.person))
        return Launch(
            argv=(program, "--pure", "--port", str(seat.port), *told, *agent.args), seeds=seeds, interactive=True, channel="http",
            port=seat.port, env=_environment(assignment, home, seat), conversation=assignment.resume, notes=_notes(assignment),
        )

    def surroundings(self, assignment: Assignment) -> dict[str, str]:
        """The variables of an opencode that is not started as a TUI: private folders and inline configuration."""
        home = assignment.home if assignment.home != Path() else assignment.job / "home"
        return _environment(assignment, home, None)

    def read(self, line: Line) -> tuple[AnySignal, ...]:
        """The signals in a line."""
        return read(line)

    def channel(self, session: SessionFacts) -> Channel | None:
        """The connection to the session's server."""
        from .opencode_http import OpencodeChannel

        return OpencodeChannel(session)


def configuration(assignment: Assignment) -> dict[str, Any]:
    """The inline configuration; it stands above the person's and the repository's own."""
    agent = assignment.agent
    variables = {**assignment.person, **agent.env}
    provider = _provider(agent, variables)
    allowed = permissions(agent.approve)
    told: dict[str, Any] = {
        "$schema": "https://opencode.ai/config.json", "autoupdate": False, "share": "disabled", "permission": allowed,
        "default_agent": "build", "agent": {name: {"permission": allowed} for name in ("build", "general")},
    }
    if agent.model:
        told |= {"model": agent.model, "small_model": agent.model}
    base, known = _base(assignment, provider, variables), PROVIDERS.get(provider)
    if known and base:
        told["provider"] = {provider: {"options": {"baseURL": base}}}
    elif base and "/" in agent.model:
        told["provider"] = {provider: _custom(agent, base)}
        told["enabled_providers"] = [provider]
    if assignment.mcp:
        environment = {"ANDON_JOB": str(assignment.job)}
        told["mcp"] = {SERVER: {"type": "local", "command": list(assignment.mcp), "enabled": True, "environment": environment}}
    return _over(decoded(variables.get(CONFIG, "").encode()), told)


def permissions(approve: str) -> dict[str, str]:
    """What opencode asks for. Told to ask nothing, it may still not leave its checkout with its own tools."""
    if approve == "all":
        return {"*": "allow", "external_directory": "deny"}
    asked = ("*", "edit", "bash", "webfetch", "websearch", "external_directory", "doom_loop")
    free = ("read", "glob", "grep", "list", "lsp", "task", "skill", "question", "todowrite", "todoread", "plan_enter", "plan_exit",
            f"{SERVER}_*")
    return dict.fromkeys(asked, "ask") | dict.fromkeys(free, "allow")


def _provider(agent: AgentSettings, variables: Mapping[str, str]) -> str:
    """The provider of the model, or the one whose key is there."""
    named = agent.model.partition("/")[0] if "/" in agent.model else ""
    return named or next((name for name, one in PROVIDERS.items() if variables.get(one.key)), "anthropic")


def _base(assignment: Assignment, provider: str, variables: Mapping[str, str]) -> str:
    """The base address of the provider's API; empty leaves it to opencode."""
    known, path = PROVIDERS.get(provider), (PROVIDERS.get(provider) or CUSTOM).path
    theirs = assignment.agent.upstream or ("" if known else variables.get("OPENAI_BASE_URL", ""))
    host = (_gateway(assignment) or theirs).rstrip("/")
    return host if not host or theirs.rstrip("/").endswith(path) else host + path


def _gateway(assignment: Assignment) -> str:
    """The gateway's address, when what stands behind it is the provider of the model: its default is Anthropic."""
    agent = assignment.agent
    ours = agent.upstream or _provider(agent, {**assignment.person, **agent.env}) == "anthropic"
    return assignment.gateway if ours else ""


def _custom(agent: AgentSettings, base: str) -> dict[str, Any]:
    """A provider that opencode does not know."""
    model = agent.model.partition("/")[2]
    entry: dict[str, Any] = {"name": model, "tool_call": True}
    price = next((price for name, price in sorted(agent.prices.items(), reverse=True) if model.startswith(name)), None)
    if price:
        entry["cost"] = msgspec.structs.asdict(price)
    return {"npm": "@ai-sdk/openai-compatible", "name": agent.model.partition("/")[0],
            "options": {"baseURL": base, "apiKey": f"{{env:{CUSTOM.key}}}"}, "models": {model: entry}}


def _environment(assignment: Assignment, home: Path, seat: Seat | None) -> dict[str, str]:
    """opencode believes PWD, not its working directory; its own folders lie in the private home."""
    folders = {f"XDG_{kind}_HOME": str(home / kind.lower()) for kind in ("CONFIG", "DATA", "STATE", "CACHE")}
    quiet = dict.fromkeys(("OPENCODE_DISABLE_AUTOUPDATE", "OPENCODE_DISABLE_MODELS_FETCH", "OPENCODE_DISABLE_LSP_DOWNLOAD"), "1")
    locked = {"OPENCODE_SERVER_PASSWORD": seat.password} if seat else {}
    told = msgspec.json.encode(configuration(assignment)).decode()
    return {**assignment.agent.env, **folders, **quiet, **locked, "PWD": str(assignment.checkout), CONFIG: told}


def _lent(agent: AgentSettings, person: Mapping[str, str]) -> tuple[Seed, ...]:
    """The person's own login, only when they said so."""
    return (Seed(path="data/opencode/auth.json", copy=str(_auth_file({**person, **agent.env}))),) if agent.login == "copy" else ()


def _notes(assignment: Assignment) -> tuple[str, ...]:
    notes = ["no plugins: opencode would fetch them at start"]
    if not _gateway(assignment):
        hint = "; write upstream = \"https://…\" with its provider's address to have it" if assignment.gateway else ""
        notes.append(f"no gateway: limits and hung streams are seen by opencode's own words alone{hint}")
    return tuple(notes)


def _auth_file(variables: Mapping[str, str]) -> Path:
    data = variables.get("XDG_DATA_HOME") or f"{variables.get('HOME', '~')}/.local/share"
    return Path(data) / "opencode" / "auth.json"


def _over(under: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """One configuration over another, table by table."""
    joined = dict(under)
    for key, value in above.items():
        below = joined.get(key)
        joined[key] = _over(below, value) if isinstance(below, dict) and isinstance(value, dict) and key != "permission" else value
    return joined


def _version(binary: str) -> str:
    """The version that the npm package beside the program names; empty when it is not there."""
    for folder in list(Path(binary).resolve().parents)[:3]:
        try:
            found = _VERSION.search((folder / "package.json").read_text("utf-8")[:20_000])
        except (OSError, UnicodeDecodeError):
            continue
        if found:
            return found[1]
    return ""


ADAPTER = OpencodeAdapter()
"""The entry point `opencode`."""
