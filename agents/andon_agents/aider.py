"""aider: one message, headless, in the pane. It has no channel; its tokens are seen by the gateway. Knows argv; runs nothing."""

import re
import shutil
from collections.abc import Mapping

import msgspec

from andon.schema.agent import Assignment, Channel, Installed, Launch, Login, Profile, SessionFacts
from andon.schema.errors import Mistake
from andon.schema.settings import AgentSettings
from andon.schema.signals import AnySignal, Line, TurnFailed, Usage

from .acp_fields import note, text
from .command import filled, found
from .reading import trouble_of

INSTALL = "pipx install aider-chat"
QUIET = (
    "--yes-always", "--no-check-update", "--analytics-disable", "--no-show-model-warnings", "--no-show-release-notes",
    "--no-pretty", "--no-gitignore", "--map-tokens", "0",
)
"""`--map-tokens 0`: the repository map keeps a cache in the checkout that would be left there untracked."""
KEYS = ("OPENAI_API_KEY", "ANTHROPIC_API_KEY")
_TOKENS = re.compile(
    r"Tokens: ([\d.,]+)([kM]?) sent(?:, ([\d.,]+)([kM]?) cache write)?(?:, ([\d.,]+)([kM]?) cache hit)?"
    r", ([\d.,]+)([kM]?) received")
_COST = re.compile(r"Cost: \$([\d.,]+) message")
_ERROR = re.compile(r"litellm\.\w*(?:Error|Exception)|^\w*(?:AuthenticationError|RateLimitError|ContextWindowExceededError)")
_UNIT = {"": 1, "k": 1_000, "M": 1_000_000}


class AiderAdapter(msgspec.Struct, frozen=True):
    """`use = "aider"`; `model` as aider names it: `openai/gpt-5`, `sonnet`."""

    name: str = "aider"

    def detect(self) -> tuple[Installed, ...]:
        """The program on PATH; starts nothing."""
        binary = shutil.which("aider")
        return (Installed(adapter=self.name, binary=binary),) if binary else ()

    def profile(self) -> Profile:
        """Blind but for its end: the gateway, the process tree and the pane tell the rest."""
        return Profile(
            metered="gateway", install=INSTALL, sees=("usage", "turn-failed"), upstream="https://api.openai.com",
            base_variable="OPENAI_API_BASE", keys=("OPENAI_API_KEY",), processes=("aider",),
            blind=("turns, tools and questions: it answers its own questions with yes", "its exit code is 0 after a 401 as well",
                   "what it spent, unless the gateway stands between"),
        )

    def login(self, agent: AgentSettings, environ: Mapping[str, str]) -> Login:
        """Whether the key of its model's provider is set."""
        variables = {**environ, **agent.env}
        provider = agent.model.partition("/")[0]
        wanted = "ANTHROPIC_API_KEY" if provider in ("anthropic", "sonnet", "opus", "haiku") else "OPENAI_API_KEY"
        if provider in ("", "openai", "anthropic", "sonnet", "opus", "haiku"):
            ready = any(variables.get(key) for key in (KEYS if not provider else (wanted,)))
            mend = "" if ready else f"set {wanted}"
            return Login(state="ready" if ready else "missing", because=f"{wanted} is {'' if ready else 'not '}set", mend=mend)
        return Login(state="unknown", because=f"aider looks for the key of `{provider}` by itself")

    def launch(self, assignment: Assignment) -> Launch:
        """One message from the prompt's file; its histories lie in the private home. Raises Mistake when it is not installed."""
        agent = assignment.agent
        section = f"[agents.{agent.name}] in andon.toml"
        if agent.command:
            raise Mistake(f"agent `{agent.name}` has both use = \"{self.name}\" and a command", where=section,
                          mend='remove command (further words go into args), or write use = "command"')
        program = found("aider", agent, assignment.checkout)
        if not program:
            raise Mistake(f"agent `{agent.name}` cannot start: `aider` is not installed", where=section,
                          mend=f"install it ({INSTALL}), or choose another agent")
        home = assignment.home if assignment.home.parts else assignment.job
        files = [word for name in ("input", "chat", "llm") for word in (f"--{name}-history-file", str(home / f"aider-{name}"))]
        again = ("--restore-chat-history",) if assignment.resume else ()
        model = ("--model", agent.model) if agent.model else ()
        told = ("--message-file", str(assignment.prompt_file))
        argv = (program, *QUIET, *files, *again, *model, *told, *filled(agent.args, assignment))
        notes = () if _routed(assignment) else ("no gateway: what it spends is unmetered",)
        return Launch(argv=argv, env={**agent.env, **_routed(assignment)}, notes=notes)

    def read(self, line: Line) -> tuple[AnySignal, ...]:
        """Tokens, money and errors in a line of its output: a JSON string, or an object with `text`."""
        words = _words(line)
        if found := _TOKENS.search(words):
            sent, written, hit, received = (_tokens(found[group], found[group + 1]) for group in (1, 3, 5, 7))
            cost = _COST.search(words)
            return (Usage(at=line.at, source=line.source, note=note(line.data), key=f"aider {line.at}", input=sent,
                          output=received, cache_read=hit, cache_write=written, usd=_amount(cost[1]) if cost else None),)
        if _ERROR.search(words):
            told = note(line.data)
            return (TurnFailed(at=line.at, source=line.source, note=told, trouble=trouble_of(words), text=words[:2_000]),)
        return ()

    def channel(self, session: SessionFacts) -> Channel | None:
        """None: it has no API."""
        return None


def _words(line: Line) -> str:
    try:
        told = msgspec.json.decode(line.data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return ""
    return told[:4_000] if isinstance(told, str) else text(told, "text")[:4_000]


def _tokens(number: str | None, unit: str | None) -> int:
    return int(_amount(number or "0") * _UNIT[unit or ""])


def _amount(number: str) -> float:
    try:
        return float(number.replace(",", "").rstrip("."))
    except ValueError:
        return 0.0


def _routed(assignment: Assignment) -> dict[str, str]:
    """The provider's address for models that speak as OpenAI's do; another provider is reached without the gateway."""
    agent = assignment.agent
    host = (assignment.gateway or agent.upstream).rstrip("/")
    if not host or agent.model.partition("/")[0] not in ("", "openai"):
        return {}
    behind = agent.upstream or {**assignment.person, **agent.env}.get("OPENAI_API_BASE", "")
    return {"OPENAI_API_BASE": host if behind.rstrip("/").endswith("/v1") else host + "/v1"}


ADAPTER = AiderAdapter()
"""The entry point `aider`."""
