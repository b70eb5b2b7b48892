"""The files of a job directory: how the daemon, the shim and an agent talk without needing each other alive.

Theory of operation. A job is one process tree under one *shim*. The daemon writes `job.json` and starts the shim; the shim
takes the token `start` with O_EXCL (a second shim for the same directory exits at once), runs the command, and leaves
`exit.json` by rename. A daemon that was killed reads these files and knows what happened without having been there.
An agent leaves messages as files in `outbox/` (written aside, then renamed); the daemon answers in `inbox/`.
"""

from typing import Literal

import msgspec

from andon.schema.sandbox import Level, Sandbox

JOB, START, EXIT, LOG, OUTBOX, INBOX, PROMPT, CONTEXT = (
    "job.json", "start", "exit.json", "log", "outbox", "inbox", "prompt.md", "context.json",
)
"""Names inside a job directory."""
HOOKS, CHANNEL, GATEWAY, ASKS, ROUTE, MESSAGES, FACTS, ACCESS, EGRESS = (
    "hooks.jsonl", "channel.jsonl", "gateway.jsonl", "asks", "route.json", "messages", "facts.json", "access.jsonl", "egress.json",
)
"""Further names: raw lines by source (`andon.schema.signals.Line`), decisions for hooks that wait, the route, marks of messages,
what was known of the session at its start, what it tried to reach (`sandbox.Access`), and where it may go (`sandbox.Egress`)."""
DOOR = "door.sock"
"""Within walls: the unix socket that leads inwards, to the port of the agent's own server."""
LOGINS = "logins.json"
"""Which of the person's logins were copied into the session's home (`LoginCopy`)."""
WALLS, ACCESS = "walls.json", "access.jsonl"
"""What stands around the job (`Walls`), and what it tried to reach (lines of `andon.schema.sandbox.Access`)."""
TOKEN_EXIT = 75
"""Exit code of a shim that found the token taken (EX_TEMPFAIL)."""


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """What the shim runs."""

    name: str
    argv: tuple[str, ...]
    cwd: str
    env: dict[str, str]
    """The whole environment of the command."""
    log: bool = False
    """Write output to `log` (a check) instead of the terminal (an agent)."""
    seconds: float = 0.0
    """Monotonic wall limit; past it the tree is ended and `exit.json` says `timeout`. 0: none."""
    memory_mb: int = 0
    output_mb: int = 0
    grace_s: float = 3.0
    """Between SIGTERM and SIGKILL."""
    sandbox: Sandbox | None = None
    """The walls around it; None: none. What cannot be built ends the job with `not-started`."""


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """What was known of an agent's session when it was started: the file `facts.json`, for whichever daemon sees it through."""

    conversation: str = ""
    channel: str = "none"
    interactive: bool = False
    metered: str = ""
    notes: tuple[str, ...] = ()


class LoginCopy(msgspec.Struct, frozen=True, kw_only=True):
    """A login of the person's that was copied into a session's private home."""

    path: str
    """Relative to the home."""
    source: str
    """The person's own file."""


class Started(msgspec.Struct, frozen=True, kw_only=True):
    """The content of `start`: who holds the token."""

    pid: int
    """The shim."""
    ticks: int
    """Start time of that pid in clock ticks since boot; with `boot` it names the process for ever."""
    boot: str
    """Boot id of the kernel."""
    at: int
    """Unix milliseconds."""


class Exit(msgspec.Struct, frozen=True, kw_only=True):
    """The content of `exit.json`."""

    code: int | None = None
    """Exit code, or None when a signal ended it."""
    signal: int | None = None
    because: Literal["exit", "stopped", "timeout", "not-started"] = "exit"
    """`stopped`: the daemon asked. `not-started`: the command could not be executed (`error` says why)."""
    error: str = ""
    seconds: float = 0.0
    killed: int = 0
    """Descendants that outlived the command and were ended by the shim; behind strict walls those seen just before."""
    truncated: bool = False
    """Output passed `output_mb`."""
    max_rss_mb: float = 0.0
    cpu_s: float = 0.0
    """User and system processor seconds of the command and of all that it left behind; 0: not known."""
    starved: int = 0
    """Processes that the kernel ended because the memory of the whole job was used up; only where it has a cgroup of its own."""
    sandbox_error: str = ""
    """Why its walls could not be built, and the mend: it did not run, and `error` says the same."""


class Walls(msgspec.Struct, frozen=True, kw_only=True):
    """The content of `walls.json`: what stood around the job when it began."""

    level: Level
    tool: str = ""
    told: tuple[str, ...] = ()
    """What these walls do not do here, each in one sentence."""
    whole: tuple[str, ...] = ()
    """What a cgroup of its own bounds for the job as a whole: `memory`, `processes`. The rest is bounded for each process."""


class Said(msgspec.Struct, frozen=True, kw_only=True):
    """One message of an agent: a file `outbox/<n>.json`. Asserted, never proven."""

    n: int
    """1, 2, 3 …: the file's number, and the key that makes a message count once."""
    kind: Literal["progress", "ask", "finished", "handoff"]
    text: str = ""
    options: tuple[str, ...] = ()
    """For `ask`."""
    commit: str = ""
    """For `finished`: the commit that the agent claims; compared with its branch, never believed."""


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """A person's answer: a file `inbox/<n>.json` with the number of the question."""

    n: int
    text: str


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """A decision about an ask of a hook that waits: a file `asks/<ask>.json`, written aside and renamed.

    Who waits for it renames it to `asks/<ask>.taken` when it was read: that is the receipt.
    """

    ask: str
    allow: bool
    text: str = ""
    """Told to the agent when it is denied."""


class Route(msgspec.Struct, frozen=True, kw_only=True):
    """Where the gateway sends the model calls of one session: the file `route.json`."""

    token: str
    """A part of the address that only this session was given."""
    upstream: str
    """Base address of the provider: `https://api.anthropic.com`."""
