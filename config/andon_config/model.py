"""The shape of a settings file, one table after the other. Knows no file and no layer: a value may always be absent.

Nothing is required here, because one layer may say what another leaves out; `andon_config.assemble` asks for what must
not be missing once all layers are on top of each other. Docstrings of fields become the descriptions in the JSON Schema.
"""

from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

END = r"(?![\s\S])"
"""The end of a text, in Python's patterns and in JSON Schema's alike; `$` would let a last newline through."""

Name = Annotated[str, Meta(
    pattern=rf"^[A-Za-z0-9][A-Za-z0-9_-]{{0,39}}{END}",
    extra={"words": "a name of at most 40 letters, digits, `-` and `_`"},
)]
Branch = Annotated[str, Meta(
    pattern=rf"^(?![-./])(?!refs/)(?!.*(\.\.|//|/\.|@\{{|\.lock(/|{END})|[./]{END}))[^\x00-\x20\x7f~^:?*\[\\]+{END}",
    extra={"words": "the name of a branch, such as `main`"},
)]
Command = Annotated[str, Meta(
    pattern=r"^[^\x00]*[^\x00\s][^\x00]*$", max_length=20_000, extra={"words": "a shell command that is not empty"},
)]
Word = Annotated[str, Meta(pattern=r"^[^\x00]*$", max_length=20_000, extra={"words": "a text without a null byte"})]
Glob = Annotated[str, Meta(
    pattern=r"^[^\x00/][^\x00]*$", extra={"words": "a pattern for paths from the repository's root, such as `src/**`"},
)]
Folder = Annotated[str, Meta(
    pattern=r"^(?!/)(?!(.*/)?\.\.(/|$))(?!(.*/)?\.git(/|$))[^\x00]+$",
    extra={"words": "a path inside the repository, such as `node_modules`"},
)]
Variable = Annotated[str, Meta(pattern=rf"^[A-Za-z_][A-Za-z0-9_]*{END}", extra={"words": "the name of an environment variable"})]
Minutes = Annotated[float, Meta(gt=0, le=10_080)]
Limit = Annotated[int, Meta(ge=0, le=1_000)]
Dollars = Annotated[float, Meta(ge=0, le=1_000_000)]


class FactoryTable(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How much happens at once, and where it lands."""

    target: Branch | UnsetType = UNSET
    """The branch that changes land on."""
    wip: Annotated[int, Meta(ge=1, le=1_000)] | UnsetType = UNSET
    """Agents at work at once; in a person's own file over all repositories."""
    proving: Annotated[int, Meta(ge=1, le=64)] | UnsetType = UNSET
    """Check runs at once in this repository."""
    overlap_minutes: Annotated[float, Meta(ge=0, le=10_080)] | UnsetType = UNSET
    """How long a task waits for another whose paths overlap before it starts anyway."""


class AgentTable(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A named way to start an agent: an adapter (`use`) or any program (`command`)."""

    use: Name | UnsetType = UNSET
    """An adapter. Without it, `command` says what to run."""
    command: tuple[Word, ...] | UnsetType = UNSET
    """Program and arguments, with {prompt_file}, {prompt}, {checkout} and {task} replaced in each word."""
    args: tuple[Word, ...] | UnsetType = UNSET
    """Further arguments for the adapter's own command line."""
    env: dict[Variable, Word] | UnsetType = UNSET
    """Environment variables for the agent."""
    minutes: Minutes | UnsetType = UNSET
    """Wall-clock limit of one attempt; at it the attempt is paused and a person is asked."""


class CheckTable(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A command that the daemon runs on the exact commit in a clean checkout."""

    run: Command | UnsetType = UNSET
    """Shell command, run at the root of the checkout. {report} is the path of its report file."""
    report: Literal["junit", "sarif", "exit"] | UnsetType = UNSET
    """How the result is read: a JUnit report, a SARIF report, or the exit code alone."""
    minutes: Minutes | UnsetType = UNSET
    """Wall-clock limit; past it the result is unevaluated."""
    memory_mb: Annotated[int, Meta(ge=0, le=4_194_304)] | UnsetType = UNSET
    """Address-space limit of each process in MB; 0 for none."""
    output_mb: Annotated[int, Meta(ge=1, le=1_000)] | UnsetType = UNSET
    """MB of output kept; past it the middle is dropped."""
    minimum_tests: Annotated[int, Meta(ge=1, le=10_000_000)] | UnsetType = UNSET
    """With junit: fewer executed tests than this is unevaluated, never a pass."""


class LineTable(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A named path of stations for one kind of work."""

    stations: Annotated[tuple[Name, ...], Meta(min_length=1, max_length=50)] | UnsetType = UNSET
    """Names of [stations], in order."""
    wip: Limit | UnsetType = UNSET
    """Tasks in work on this line at once; 0 means no limit of its own."""


class StationTable(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One step of a line."""

    kind: Literal["agent", "check", "gate", "land"] | UnsetType = UNSET
    """An agent works, the daemon runs checks, a person decides, or the queue lands."""
    wip: Limit | UnsetType = UNSET
    """Tasks at this station at once; 0 means no limit of its own."""
    agent: Name | UnsetType = UNSET
    """For kind agent: a name of [agents]."""
    checks: tuple[Name, ...] | UnsetType = UNSET
    """For kind check: names of [checks]; empty means all."""
    when: Literal["always", "policy", "never"] | UnsetType = UNSET
    """For kind gate: ask always, never, or unless the change is of class ship."""


class PolicyTable(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which change ships by itself, which one person reviews, which stops. The highest class of its paths wins."""

    ship: tuple[Glob, ...] | UnsetType = UNSET
    """Paths that land without a person."""
    review: tuple[Glob, ...] | UnsetType = UNSET
    """Paths that one person looks at."""
    stop: tuple[Glob, ...] | UnsetType = UNSET
    """Paths that always stop for a person."""


class TaskBudget(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Limits of one task."""

    attempts: Annotated[int, Meta(ge=1, le=100)] | UnsetType = UNSET
    """Attempts of an agent before a person is asked."""
    minutes: Annotated[float, Meta(ge=0, le=100_000)] | UnsetType = UNSET
    """Agent minutes over all attempts; 0 means attempts x the agent's own limit."""
    usd: Dollars | UnsetType = UNSET
    """Accepted, and not enforced yet: this release meters no cost."""


class DayBudget(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Limits of one day."""

    usd: Dollars | UnsetType = UNSET
    """Accepted, and not enforced yet: this release meters no cost."""


class BudgetTable(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What may be spent before a person is asked."""

    task: TaskBudget | UnsetType = UNSET
    """Limits of one task."""
    day: DayBudget | UnsetType = UNSET
    """Limits of one day."""


class RetryTable(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How failures are tried again."""

    same_failure: Annotated[int, Meta(ge=1, le=100)] | UnsetType = UNSET
    """The same failure this often opens a gate instead of another attempt."""
    transient: Annotated[int, Meta(ge=0, le=100)] | UnsetType = UNSET
    """Tries of what failed for no fault of the change."""
    backoff_s: Annotated[float, Meta(ge=0, le=300)] | UnsetType = UNSET
    """Seconds before the first such try; doubles, at most 300."""


class CheckoutTable(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How isolated checkouts are made."""

    isolation: Literal["clone", "worktree"] | UnsetType = UNSET
    """A git directory of its own, or a linked worktree: faster, weaker."""
    setup: tuple[Command, ...] | UnsetType = UNSET
    """Shell commands run in each new checkout, an agent's and a clean one alike."""
    teardown: tuple[Command, ...] | UnsetType = UNSET
    """Shell commands run before an agent's checkout is removed."""
    ports: Annotated[int, Meta(ge=0, le=100)] | UnsetType = UNSET
    """Size of the port block leased to each attempt as ANDON_PORT; 0 for none."""
    keep: tuple[Folder, ...] | UnsetType = UNSET
    """Ignored paths that survive between two runs in a clean checkout. Empty is the strict choice."""


class SettingsFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of Andon: `andon.toml` at a repository's root, or a person's own file."""

    factory: FactoryTable | UnsetType = UNSET
    """How much happens at once, and where it lands."""
    agents: dict[Name, AgentTable] | UnsetType = UNSET
    """Ways to start an agent, by name; stations use `default` unless they say otherwise."""
    checks: dict[Name, CheckTable] | UnsetType = UNSET
    """Commands that judge a change, by name."""
    lines: dict[Name, LineTable] | UnsetType = UNSET
    """Paths of stations, by name; work takes `build` unless it says otherwise."""
    stations: dict[Name, StationTable] | UnsetType = UNSET
    """Steps of lines, by name."""
    policy: PolicyTable | UnsetType = UNSET
    """Which change ships by itself, which one person reviews, which stops."""
    budget: BudgetTable | UnsetType = UNSET
    """What may be spent before a person is asked."""
    retry: RetryTable | UnsetType = UNSET
    """How failures are tried again."""
    checkout: CheckoutTable | UnsetType = UNSET
    """How isolated checkouts are made."""


JUDGING = ("checks", "policy", "lines", "stations", "checkout.setup", "checkout.keep")
"""Sections that judge work: once the target commit has an andon.toml, they are taken from there."""
