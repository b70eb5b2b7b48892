"""Settings that decide things. They travel inside events, so a replay judges by the settings of that day."""

import msgspec

from andon.schema.ids import Digest


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """A command whose result the daemon believes because the daemon ran it."""

    name: str
    run: str
    """Shell command, run by `sh -c` at the root of a clean checkout. `{report}` is the path of its report file."""
    report: str = "exit"
    """How to read the result: `junit` (XML report), `sarif` (fails on any result of level error) or `exit` (exit code alone)."""
    minutes: float = 30.0
    """Wall-clock limit; past it the result is unevaluated."""
    memory_mb: int = 4096
    """Address-space limit of each process; 0 for none."""
    output_mb: int = 20
    """Bytes of output kept; past it the middle is dropped and the log says so."""
    minimum_tests: int = 1
    """With `junit`: fewer executed tests than this is unevaluated, never a pass."""


class AgentSettings(msgspec.Struct, frozen=True, kw_only=True):
    """A named way to start an agent."""

    name: str
    use: str = "command"
    """Adapter: an entry point of the group `andon.agents`, or a preset of the command adapter."""
    command: tuple[str, ...] = ()
    """For `command`: argv, with `{prompt_file}`, `{prompt}`, `{checkout}`, `{task}` replaced in each word."""
    args: tuple[str, ...] = ()
    """Further arguments for the adapter's own command line."""
    env: dict[str, str] = {}
    minutes: float = 90.0
    """Wall-clock limit of one attempt; at it the attempt is paused and a gate asks."""


class Station(msgspec.Struct, frozen=True, kw_only=True):
    """One step of a line."""

    name: str
    kind: str
    """`agent`, `check`, `gate` or `land`."""
    wip: int = 0
    """Agents at work at this station at once; 0 means no limit of its own."""
    agent: str = "default"
    """For `agent`: a name of `[agents]`."""
    checks: tuple[str, ...] = ()
    """For `check`: names of `[checks]`; empty means all."""
    when: str = "policy"
    """For `gate`: `always`, `policy` (ask unless the change is of class ship) or `never`."""


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """A named path of stations."""

    name: str
    stations: tuple[Station, ...]
    wip: int = 0
    """Tasks in work on this line at once; 0 means no limit of its own."""


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """Which change ships by itself, which one person reviews, which stops. Globs on paths; the highest class wins."""

    ship: tuple[str, ...] = ()
    review: tuple[str, ...] = ()
    """Reviewed although `ship` covers them. What no list names is reviewed too."""
    stop: tuple[str, ...] = ()


class Budget(msgspec.Struct, frozen=True, kw_only=True):
    """Limits of one task."""

    attempts: int = 3
    """Attempts of an agent before a person is asked."""
    minutes: float = 0.0
    """Agent minutes of a task over all attempts; 0 means attempts x the agent's own limit."""


class Retry(msgspec.Struct, frozen=True, kw_only=True):
    """How failures are tried again. Counters are durable."""

    same_failure: int = 2
    """The same fingerprint this often opens a gate instead of another attempt."""
    transient: int = 4
    """Tries of what failed for no fault of the change (lost session, full disk)."""
    backoff_s: float = 2.0
    """First wait before a transient retry; doubles, at most 300 s."""


class Checkout(msgspec.Struct, frozen=True, kw_only=True):
    """How isolated checkouts are made."""

    isolation: str = "clone"
    """`clone` (own git directory, shared objects read-only by convention) or `worktree` (linked, faster, weaker)."""
    setup: tuple[str, ...] = ()
    """Shell commands run in each new checkout, an agent's and a clean one alike."""
    teardown: tuple[str, ...] = ()
    """Shell commands run before an agent's checkout is removed."""
    ports: int = 10
    """Size of the port block leased to each attempt as ANDON_PORT (0: none)."""
    keep: tuple[str, ...] = ()
    """Ignored paths that survive between two runs in a clean checkout (dependency folders). Empty is the strict choice."""


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """All settings of one repository, completed from defaults and the person's own."""

    target: str = "main"
    wip: int = 6
    """Agents at work at once in this repository."""
    proving: int = 1
    """Check runs at once in this repository."""
    overlap_minutes: float = 10.0
    """How long a task waits for another whose paths overlap before it starts anyway."""
    agents: dict[str, AgentSettings] = {}
    checks: dict[str, Check] = {}
    lines: dict[str, Line] = {}
    policy: Policy = Policy()
    budget: Budget = Budget()
    retry: Retry = Retry()
    checkout: Checkout = Checkout()

    def commands(self) -> tuple[str, ...]:
        """Every shell command and argv that these settings would run, in a fixed order: what a person trusts."""
        told = [f"check {check.name}: {check.run}" for _, check in sorted(self.checks.items())]
        told += [f"setup: {command}" for command in self.checkout.setup]
        told += [f"teardown: {command}" for command in self.checkout.teardown]
        told += [f"agent {agent.name}: {' '.join((agent.use, *agent.command, *agent.args))}"
                 + "".join(f" {key}={value}" for key, value in sorted(agent.env.items()))
                 for _, agent in sorted(self.agents.items())]
        return tuple(told)


class FactorySettings(msgspec.Struct, frozen=True, kw_only=True):
    """The person's own settings, which hold for every repository."""

    wip: int = 6
    """Agents at work at once over all repositories."""


class Origin(msgspec.Struct, frozen=True, kw_only=True):
    """Where a value comes from, for `andon config show`."""

    key: str
    """Dotted key: `factory.wip`."""
    value: str
    """The value as TOML."""
    origin: str
    """`default`, `person`, `repository` or `command line`."""
    where: str = ""
    """File and line."""


class Loaded(msgspec.Struct, frozen=True, kw_only=True):
    """Settings with their provenance."""

    settings: Settings
    digest: Digest
    """sha256 of the canonical JSON of `settings`."""
    commands: Digest
    """sha256 of `settings.commands()`: what trust is given to."""
    origins: tuple[Origin, ...] = ()
    notes: tuple[str, ...] = ()
    """Things a person should know: a judging section that waits for its commit."""
