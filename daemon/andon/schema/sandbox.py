"""What a job may reach: the sandbox that is asked for, the level that was reached, and what was tried inside. Knows no tool."""

from collections.abc import Iterable
from typing import Literal

import msgspec

Level = Literal["strict", "partial", "none"]
"""`strict`: namespaces of its own, only what is bound into it exists. `partial`: Landlock and seccomp, for hosts without user
namespaces. `none`: nothing stands between the job and the person's account."""
LEVELS: tuple[Level, ...] = ("none", "partial", "strict")
"""From the weakest."""
Asked = Literal["best", "strict", "partial", "none"]
"""What settings say: a level that is the least, or the best one that the machine gives at the moment."""
Known = Literal["strict", "partial", "none", ""]
"""The level that something really ran at; empty: nobody knows. What is not known counts as the weakest."""


def rank(level: str) -> int:
    """How strong a level is, 0 for the weakest and for what is not known."""
    return LEVELS.index(level) if level in LEVELS else 0


def weakest(levels: Iterable[Known]) -> Known:
    """The weakest of them; what is not known is weaker than all. Empty too when there is none."""
    return min(levels, key=lambda level: (rank(level), bool(level)), default="")


Shown = Literal["strict", "partial", "none", "unknown", ""]
"""As faces show it: empty where nothing has run yet."""


def shown(level: Known) -> Shown:
    """The word for something that ran."""
    return level or "unknown"


def within(level: Known) -> str:
    """`within walls of level partial`."""
    return f"within walls of level {level}" if level else "within walls of a level that is not known"


class Bind(msgspec.Struct, frozen=True, kw_only=True):
    """A path that exists inside."""

    source: str
    """Absolute, on the host."""
    target: str = ""
    """Absolute, inside; empty: the same."""
    write: bool = False
    optional: bool = False
    """It is left out when the host does not have it."""


class Forward(msgspec.Struct, frozen=True, kw_only=True):
    """A door in the wall: bytes are carried between a port of the job's own loopback and a unix socket of the host."""

    port: int
    """On 127.0.0.1 inside."""
    socket: str
    """Path of the unix socket. It must be bound into the sandbox, or lie in a path that is."""
    inward: bool = False
    """The socket is made inside and leads to the port (a server of the agent's); else the port is made inside and leads out."""


class Bait(msgspec.Struct, frozen=True, kw_only=True):
    """An empty stand-in for what attackers look for: nothing of the person's lies behind it, and opening it is seen."""

    what: str
    """How a person names it: `~/.ssh`."""
    source: str
    """Absolute, on the host, in the job's directory."""
    targets: tuple[str, ...] = ()
    """Absolute, inside: each shows the same stand-in, read-only."""
    links: tuple[str, ...] = ()
    """The same, by a link to it: a mount costs a tenth of a millisecond and more, a link nothing. Never below what is bound."""
    kind: Literal["folder", "file", "closed", "socket"] = "folder"
    """`folder`: its files count, a look at their names is only listed. `file`: reads as empty. `closed`: opens, and cannot be read.
    `socket`: somebody listens, takes the call and hangs up; the shim makes it."""


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What a job may use. 0: no limit of its own."""

    processes: int = 2048
    memory_mb: int = 0
    """Of each process's address space, and of the whole job where a cgroup can be had."""
    file_mb: int = 8192
    """Of one file."""
    tmp_mb: int = 2048
    """Of its private /tmp."""


class Sandbox(msgspec.Struct, frozen=True, kw_only=True):
    """The walls around one job. The shim builds them; what cannot be built is an error, never a weaker wall."""

    level: Level
    binds: tuple[Bind, ...] = ()
    """In order: a later one lies over an earlier one."""
    hide: tuple[str, ...] = ()
    """Absolute paths inside bound ones that must look empty: files as empty files, folders as empty folders, all read-only."""
    home: str = ""
    """Writable, and HOME inside."""
    baits: tuple[Bait, ...] = ()
    """Laid last; one that cannot be laid is left out, and `walls.json` says so. Behind strict walls only."""
    network: Literal["none", "host"] = "none"
    """`none`: a loopback of its own and nothing else; doors lead out by `forwards`."""
    forwards: tuple[Forward, ...] = ()
    ports: tuple[int, ...] = ()
    """`partial`, which has no loopback of its own: ports of the host's that it may connect to beside those of its doors."""
    limits: Limits = Limits()
    nested: bool = True
    """The job may make namespaces and mounts of its own (agents that bring their own sandbox)."""
    terminal: bool = True
    """It has a controlling terminal: resizing works, pushing characters into it does not."""


class Reached(msgspec.Struct, frozen=True, kw_only=True):
    """The best level that this machine gives now, and why not a better one."""

    level: Level = "none"
    because: str = ""
    """For less than strict: what is missing, in one sentence."""
    mend: str = ""
    tool: str = ""
    """`bubblewrap 0.8.0`, `landlock 7`."""


class Attack(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that was tried from inside, judged from the host's side."""

    name: str
    """`write-outside`, `read-ssh-key`, `approve-own-gate` …"""
    about: str
    succeeded: bool
    own: bool = False
    """It succeeded, and what it harmed is the job's own clone alone."""
    said: str = ""
    """What the attempt itself saw."""


class Access(msgspec.Struct, frozen=True, kw_only=True):
    """Something that a job tried to reach: one line of `access.jsonl` in its job directory."""

    at: int
    kind: Literal["host", "read", "write", "socket", "exec", "limit"]
    what: str
    """`evil.example:443`, a path, a limit."""
    allowed: bool
    rule: str = ""
    """What allowed or refused it."""
    times: int = 1
    sign: str = ""
    """Under which name it is told to a person; empty: `what`. The files of one bait have one sign. `-`: it is listed only."""


UNLISTED, BY_ITSELF = "not listed", "not listed; its program asks for it by itself"
"""Rules by which a host is refused."""


class Egress(msgspec.Struct, frozen=True, kw_only=True):
    """Where a job may go: the content of `egress.json` in its job directory, which the proxy reads."""

    hosts: tuple[str, ...] = ()
    """Names, `*.name` for those below it, `name:port`; without a port 443 and 80."""
    rules: tuple[tuple[str, str], ...] = ()
    """(host pattern, where it comes from: `provider anthropic`, `registry pypi`, `andon.toml`), for what is told of a request."""
    own: tuple[str, ...] = ()
    """Hosts that the job's own program asks for by itself: refused like others, under a rule of its own."""
    everything: bool = False
    """Only told, nothing refused (`network = "host"` does not come through the proxy at all)."""
