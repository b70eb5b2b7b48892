"""What an adapter is: how one kind of agent CLI is started, understood and spoken to. Its door: the entry points `andon.agents`.

Theory of operation. `launch` says what to run and what to lay into the session's private home. While it runs, raw lines
arrive from its channels; `read` (pure) turns each into signals of the normal form. A `Channel` is the live connection to an
agent that has an API: it yields lines, answers asks, takes messages and interrupts. What an adapter has no channel for is
done by hooks (files), and last by keys on a screen that was matched literally. An adapter decides nothing.
"""

from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Literal, Protocol, runtime_checkable

import msgspec

from andon.schema.ids import AttemptId, TaskId
from andon.schema.sandbox import Level
from andon.schema.settings import AgentSettings
from andon.schema.signals import AnySignal, Line

ENTRY_POINTS = "andon.agents"
"""The entry-point group in which adapters, ours and anybody's, are found. The entry is an object with this protocol."""
ChannelKind = Literal["none", "hooks", "app-server", "http", "acp"]
SERVED: tuple[ChannelKind, ...] = ("app-server", "http", "acp")
"""Those on which the daemon is connected to the agent."""


class Assignment(msgspec.Struct, frozen=True, kw_only=True):
    """One attempt, as an adapter sees it."""

    attempt: AttemptId
    task: TaskId
    title: str
    prompt: str
    """The whole prompt; also in `prompt_file`."""
    prompt_file: Path
    checkout: Path
    job: Path
    """The job directory: `outbox/` and `inbox/` lie here, and the files of `andon.schema.jobs`."""
    agent: AgentSettings
    home: Path = Path()
    """The session's private home for the agent's own configuration and transcripts; it outlives a restart in the same checkout."""
    repository: Path = Path()
    """The top level of the person's own checkout."""
    resume: str = ""
    """The conversation to go on with; empty begins a new one."""
    whole: str = ""
    """With `resume`: the prompt to use instead when that conversation is not there any more."""
    gateway: str = ""
    """Base address to give the agent instead of its provider's; empty: none stands between."""
    hook: tuple[str, ...] = ()
    """argv of the program that agents with command hooks call; it reads a payload on stdin."""
    mcp: tuple[str, ...] = ()
    """argv of the stdio MCP server with the agent's own verbs; empty: none."""
    person: Mapping[str, str] = {}
    """The environment that the session will have, to look at (API keys, PATH, HOME)."""
    walls: Level = "none"
    """What will stand around the session. Within walls sockets that it makes are nobody's outside: a server of its own listens on a
    port of loopback, which the launch names as `port`."""
    nests: bool = True
    """Within its walls the session can make a sandbox of its own; never behind `partial`."""


class Seed(msgspec.Struct, frozen=True, kw_only=True):
    """A file that is laid into the private home before the start, when it is not there yet."""

    path: str
    """Relative to `home`."""
    text: str = ""
    copy: str = ""
    """Instead of text: a file of the person's to copy when it exists (a login); only with `login = "copy"`."""
    mode: int = 0o600
    always: bool = False
    """Written at every start, not only the first."""


class Launch(msgspec.Struct, frozen=True, kw_only=True):
    """What to run in the session's pane."""

    argv: tuple[str, ...]
    programs: tuple[str, ...] = ()
    """Further programs that it calls: what they need exists within its walls."""
    env: dict[str, str] = {}
    """Added to the session's own environment."""
    drop: tuple[str, ...] = ()
    """Variables taken out of it."""
    seeds: tuple[Seed, ...] = ()
    interactive: bool = False
    """It stays at its prompt after a turn: the daemon ends it when the work is there."""
    channel: ChannelKind = "none"
    port: int = 0
    """Where its server listens on loopback. Within walls a door leads there: `SessionFacts.door`."""
    shares: tuple[str, ...] = ()
    """Names in the job directory that a program of the adapter's writes there, beside the usual ones: `talk.jsonl`, `wishes/`."""
    conversation: str = ""
    """Its name, where it can be chosen before the start."""
    notes: tuple[str, ...] = ()
    """What a person should know of this session: `no gateway: its login forbids it`."""


class Installed(msgspec.Struct, frozen=True, kw_only=True):
    """An agent CLI found on this machine."""

    adapter: str
    binary: str
    version: str = ""


class Login(msgspec.Struct, frozen=True, kw_only=True):
    """Whether an agent could reach its provider as configured. Looks at files and variables only; asks nobody."""

    state: Literal["ready", "missing", "unknown"]
    because: str
    mend: str = ""


class Profile(msgspec.Struct, frozen=True, kw_only=True):
    """What an adapter can do, for `andon agents` and the board."""

    channel: ChannelKind = "none"
    interactive: bool = False
    sees: tuple[str, ...] = ()
    """Tags of the signals that it can give."""
    blind: tuple[str, ...] = ()
    """What is not seen, in words."""
    resumes: bool = False
    answers: bool = False
    """A permission can be answered from outside."""
    metered: Literal["reported", "gateway", "unmetered"] = "unmetered"
    install: str = ""
    """What a person types when the program is missing."""
    upstream: str = ""
    """The provider's base address, where the gateway sends model calls; empty: this agent cannot go through it."""
    base_variable: str = ""
    """The variable by which a person names another provider: it is the upstream then."""
    keys: tuple[str, ...] = ()
    """Variables that hold an API key. With one of them set, `gateway = "auto"` means on."""
    login_hosts: tuple[str, ...] = ()
    """Hosts that a session with a copied login has to reach beside its provider: where it is renewed, and where it works."""
    processes: tuple[str, ...] = ()
    """Names of the agent's own processes, so that they are not taken for its work."""
    hosts: tuple[str, ...] = ()
    """Hosts that the program asks for by itself (updates, plugins, telemetry): being refused, they are listed, and told as a
    problem only when they are asked for again and again."""


class SessionFacts(msgspec.Struct, frozen=True, kw_only=True):
    """A running session, for those who connect to it."""

    attempt: AttemptId
    job: Path
    home: Path
    checkout: Path
    conversation: str = ""
    agent: AgentSettings
    door: Path | None = None
    """Within walls: the unix socket that leads to the port of its server. Nothing else may be dialled then: what the session's home
    says of ports is written by whoever is within, and a port of the host is not theirs."""


class Channel(Protocol):
    """A live connection to one agent. Every method tolerates an agent that is gone; none raises for the world's faults."""

    def lines(self) -> AsyncIterator[Line]:
        """Raw lines as they arrive, what is true now first. Reconnects by itself with a bounded back-off; ends when closed."""
        ...

    async def answer(self, ask: str, *, allow: bool, text: str = "") -> bool:
        """Answer a permission or question; True only when the other side took it."""
        ...

    async def send(self, text: str) -> bool:
        """Give it a message; True only when the other side took it."""
        ...

    async def interrupt(self) -> bool:
        """End its turn, not its session."""
        ...

    async def close(self) -> None:
        """Let go."""
        ...


class Adapter(Protocol):
    """The contract of an adapter. Pure but for `detect`, which may look at PATH."""

    @property
    def name(self) -> str:
        """The word in `use = …`."""
        ...

    def detect(self) -> tuple[Installed, ...]:
        """Agent CLIs of this adapter that are installed here. Runs nothing that needs an account or a network."""
        ...

    def launch(self, assignment: Assignment) -> Launch:
        """What to run for this assignment. Raises Mistake when settings or binary are wrong."""
        ...


@runtime_checkable
class Supervised(Adapter, Protocol):
    """An adapter whose sessions are understood. `channel` is called only when the launch named `app-server`, `http`, `acp`."""

    def profile(self) -> Profile:
        """What it can do."""
        ...

    def login(self, agent: AgentSettings, environ: Mapping[str, str]) -> Login:
        """Whether it could reach its provider."""
        ...

    def read(self, line: Line) -> tuple[AnySignal, ...]:
        """The signals in a raw line; none for what means nothing. Pure, never raises, whatever the line holds."""
        ...

    def channel(self, session: SessionFacts) -> Channel | None:
        """A connection to the running agent, when it has an API."""
        ...
