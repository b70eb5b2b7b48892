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
Percent = Annotated[float, Meta(ge=0, le=100)]
Dollars = Annotated[float, Meta(ge=0, le=1_000_000)]
Line = Annotated[str, Meta(
    pattern=rf"^[^\x00-\x1f\x7f]{{0,200}}{END}", extra={"words": "a text of at most 200 characters on one line"},
)]
Model = Annotated[str, Meta(
    pattern=rf"^[^\x00-\x1f\x7f]{{1,100}}{END}", extra={"words": "the name of a model, or what it begins with"},
)]
Address = Annotated[str, Meta(
    pattern=rf"^(https?://[^\s\x00]{{1,500}})?{END}", extra={"words": "an address such as `https://api.anthropic.com`"},
)]
Pattern = Annotated[str, Meta(
    pattern=rf"^(shell|edit|read|fetch|mcp|other)(\([^\x00\r\n]{{1,500}}\))?{END}",
    extra={"words": "a pattern such as `read`, `edit(src/**)` or `shell(git status*)`: shell, edit, read, fetch, mcp or other"},
)]

PRINCIPAL = r"[A-Za-z0-9][A-Za-z0-9._+-]{0,63}(@[A-Za-z0-9._-]{1,190})?"
NAMED = "a name as in allowed_signers, such as `ana` or `ana@example.org`"
Principal = Annotated[str, Meta(pattern=rf"^{PRINCIPAL}{END}", extra={"words": NAMED})]
OwnName = Annotated[str, Meta(pattern=rf"^({PRINCIPAL})?{END}", extra={"words": NAMED})]
Producer = Annotated[str, Meta(
    pattern=rf"^(checks\.[A-Za-z0-9][A-Za-z0-9_-]{{0,39}}|station:[A-Za-z0-9][A-Za-z0-9_-]{{0,39}}|daemon(:(work|scope|merge))?){END}",
    extra={"words": "a producer: `checks.NAME`, `station:NAME`, `daemon:work`, `daemon:scope` or `daemon:merge`"},
)]
Hours = Annotated[float, Meta(gt=0, le=87_600)]
Remote = Annotated[str, Meta(
    pattern=rf"^(?![-./])(?!.*(\.\.|//|/{END}))[A-Za-z0-9._/+-]{{1,100}}{END}",
    extra={"words": "the name of a remote of this repository, such as `origin`"},
)]
Driver = Annotated[str, Meta(
    pattern=rf"^[A-Za-z0-9][A-Za-z0-9._+-]{{0,99}}{END}", extra={"words": "the name of a merge driver, as `.gitattributes` has it"},
)]


class FactoryTable(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How much happens at once, and where it lands."""

    target: Branch | UnsetType = UNSET
    """The branch that changes land on."""
    wip: Annotated[int, Meta(ge=1, le=1_000)] | UnsetType = UNSET
    """Agents at work at once; in a person's own file over all repositories."""
    proving: Annotated[int, Meta(ge=0, le=64)] | UnsetType = UNSET
    """Check runs at once in this repository; 0: from the cores, and from how well the checks were seen to use them."""
    overlap_minutes: Annotated[float, Meta(ge=0, le=10_080)] | UnsetType = UNSET
    """How long a task waits for another whose paths overlap before it starts anyway."""
    day_usd: Dollars | UnsetType = UNSET
    """In a person's own file: what the whole factory may spend a day, from midnight UTC; 0 for no limit."""
    breaker: Annotated[int, Meta(ge=0, le=1_000)] | UnsetType = UNSET
    """In a person's own file: what may be done about a stuck session in one attempt before everything further is a gate."""
    restarts: Annotated[int, Meta(ge=0, le=100)] | UnsetType = UNSET
    """In a person's own file: how often one attempt may be started again in its checkout."""


class AdmissionTable(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When the machine takes another agent. Belongs in a person's own file; 0 turns a limit off."""

    load_per_core: Annotated[float, Meta(ge=0, le=1_000)] | UnsetType = UNSET
    """Load average of one minute for each core, above which nothing starts."""
    free_memory_mb: Annotated[int, Meta(ge=0, le=67_108_864)] | UnsetType = UNSET
    """MB of memory that must be available."""
    free_disk_mb: Annotated[int, Meta(ge=0, le=1_073_741_824)] | UnsetType = UNSET
    """MB that must be free on the disk of the factory's home."""
    ramp_s: Annotated[float, Meta(ge=0, le=60)] | UnsetType = UNSET
    """Seconds between two starts while the factory comes back after a fall; doubles, at most 60, as starts keep failing."""


class PriceTable(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """US dollars per million tokens of a model."""

    input: Dollars | UnsetType = UNSET
    """For what the model reads."""
    output: Dollars | UnsetType = UNSET
    """For what it writes."""
    cache_read: Dollars | UnsetType = UNSET
    """For what it reads from its cache."""
    cache_write: Dollars | UnsetType = UNSET
    """For what goes into its cache."""


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
    model: Line | UnsetType = UNSET
    """The model to ask for; empty leaves it to the agent."""
    account: Line | UnsetType = UNSET
    """Agents of one account share its quota and its limits; empty means the adapter's name."""
    approve: Literal["policy", "all"] | UnsetType = UNSET
    """policy: the agent asks before each tool and [permissions] answers; all: it is told to ask nothing."""
    gateway: Literal["auto", "on", "off"] | UnsetType = UNSET
    """Whether our own gateway stands before the provider; auto: when an API key is set."""
    upstream: Address | UnsetType = UNSET
    """The provider's base address behind the gateway; empty: the agent's own variable, else its provider's."""
    login: Literal["none", "copy"] | UnsetType = UNSET
    """copy: the person's own login of this agent is copied into each session's private home; none: an API key only."""
    write_back: bool | UnsetType = UNSET
    """With login = "copy": a login that a session renewed is written back to your own file, so that yours goes on."""
    usd_day: Dollars | UnsetType = UNSET
    """What this agent may spend a day in this repository; 0 for no limit of its own."""
    reserve_usd: Dollars | UnsetType = UNSET
    """Held back of every cap for one attempt before it starts; 0: what an attempt may spend, else budget.reserve_usd."""
    prices: dict[Model, PriceTable] | UnsetType = UNSET
    """What a token costs where the agent does not say, by the model's name or what it begins with."""


class CheckTable(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A command that the daemon runs on the exact commit in a clean checkout."""

    run: Command | UnsetType = UNSET
    """Shell command, run at the root of the checkout. {report} is the path of its report file."""
    use: Literal["secrets", "dependencies", "rules"] | UnsetType = UNSET
    """A check that comes with the program, instead of `run`: secrets in changed lines, pinned releases with known vulnerabilities,
    or patterns of the settings that name no file."""
    report: Literal["junit", "sarif", "cobertura", "lcov", "exit"] | UnsetType = UNSET
    """How the result is read: a JUnit report, a SARIF report, coverage as Cobertura XML or LCOV, or the exit code alone."""
    minutes: Minutes | UnsetType = UNSET
    """Wall-clock limit; past it the result is unevaluated."""
    memory_mb: Annotated[int, Meta(ge=0, le=4_194_304)] | UnsetType = UNSET
    """Address-space limit of each process in MB; 0 for none."""
    output_mb: Annotated[int, Meta(ge=1, le=1_000)] | UnsetType = UNSET
    """MB of output kept; past it the middle is dropped."""
    minimum_tests: Annotated[int, Meta(ge=1, le=10_000_000)] | UnsetType = UNSET
    """With junit: fewer executed tests than this is unevaluated, never a pass."""
    stage: Annotated[int, Meta(ge=1, le=9)] | UnsetType = UNSET
    """It starts once every check of lower stages is proven: cheap ones first."""
    baseline: bool | UnsetType = UNSET
    """With sarif: findings that the base of a change has too do not count; moved code is not new."""
    fail_on: Literal["error", "warning", "note"] | UnsetType = UNSET
    """With sarif: the least level of a finding that counts."""
    minimum: Percent | UnsetType = UNSET
    """With cobertura and lcov: percent of all lines that must be covered."""
    minimum_changed: Percent | UnsetType = UNSET
    """With cobertura and lcov: percent of the executable lines that a change touched which must be covered."""
    inputs: Annotated[tuple[Glob, ...], Meta(max_length=200)] | UnsetType = UNSET
    """Paths of the files that it judges. When none is there it is unevaluated; coverage must know each changed one."""
    protect: Annotated[tuple[Glob, ...], Meta(max_length=200)] | UnsetType = UNSET
    """Paths of what judges, such as `tests/**` or `pytest.ini`: a change is run with them as its base has them."""
    own_too: bool | UnsetType = UNSET
    """With protect: it must hold with the change's own version of these paths as well."""
    allow: Folder | UnsetType = UNSET
    """With use = "secrets": the file of findings known to be harmless, as detect-secrets writes it; read from the base."""
    max_age_days: Annotated[int, Meta(ge=1, le=3_650)] | UnsetType = UNSET
    """With use = "dependencies": older advisories are no evidence."""


class LineTable(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A named path of stations for one kind of work."""

    stations: Annotated[tuple[Name, ...], Meta(min_length=1, max_length=50)] | UnsetType = UNSET
    """Names of [stations], in order."""
    wip: Limit | UnsetType = UNSET
    """Tasks in work on this line at once; 0 means no limit of its own."""
    usd_day: Dollars | UnsetType = UNSET
    """What this line may spend a day; 0 for no limit of its own."""
    lights: Literal["on", "dim", "dark"] | UnsetType = UNSET
    """on: a person sees every change; dim: what is of class ship lands by itself; dark: what is of class review too, stop never.
    Dark counts only once it was earned and approved: `andon lights`."""


class StationTable(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One step of a line."""

    kind: Literal["agent", "check", "gate", "land", "watch"] | UnsetType = UNSET
    """An agent works, the daemon runs checks, a person decides, the queue lands, or the target is proved on after landing."""
    wip: Limit | UnsetType = UNSET
    """Tasks at this station at once; 0 means no limit of its own."""
    agent: Name | UnsetType = UNSET
    """For kind agent: a name of [agents]."""
    checks: tuple[Name, ...] | UnsetType = UNSET
    """For kind check and watch: names of [checks]; empty means all, for watch all that the line proves."""
    when: Literal["always", "policy", "never"] | UnsetType = UNSET
    """For kind gate: ask always, never, or unless the change is of class ship."""
    hide: tuple[Glob, ...] | UnsetType = UNSET
    """For kind agent: paths of the repository that it does not see, in files and in git; checks see them."""
    read_only: tuple[Glob, ...] | UnsetType = UNSET
    """For kind agent: paths that it may read; a change that touches one goes back to it."""
    claims: Annotated[tuple[Name, ...], Meta(max_length=50)] | UnsetType = UNSET
    """Names of [claims] that must be proven and fresh before it closes."""


class ClaimTable(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A kind of claim about a change. It counts where a station lists it under `claims`."""

    producer: Producer | UnsetType = UNSET
    """Who produces it: `checks.NAME`, `station:NAME`, `daemon:work` (the change is kept), `daemon:scope` (it keeps to its paths) or
    `daemon:merge` (the merged tree is proven)."""
    requires: Annotated[tuple[Name, ...], Meta(max_length=50)] | UnsetType = UNSET
    """Names of [claims] that must be proven as well."""
    fresh: Literal["tree", "target"] | Hours | UnsetType = UNSET
    """tree: as long as the change is the same; target: on a tree that holds the target as it is, which landing proves; a number:
    for so many hours."""


Watched = Annotated[str, Meta(
    pattern=rf"^(import:)?[^\x00-\x20\x7f]{{1,200}}{END}",
    extra={"words": "the name of a symbol or `import:` and a module, such as `*.login` or `import:jwt`"},
)]
Datum = Annotated[str, Meta(
    pattern=rf"^(line:[^\x00\r\n]{{3,100}}|(?!line:)[^\x00/][^\x00]*){END}",
    extra={"words": "a pattern for paths, such as `src/users/**`, or `line:` and at least three characters of a changed line"},
)]
Owner = Annotated[str, Meta(
    pattern=rf"^(@[^\s@]+|[^\s@]+@[^\s@]+){END}",
    extra={"words": "an owner as CODEOWNERS names one: `@team/security` or an address"},
)]
Class = Literal["ship", "review", "stop"]


class SymbolsTable(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Names in code. Python is read by its syntax, other languages by text."""

    stop: tuple[Watched, ...] | UnsetType = UNSET
    """A change inside one of these symbols, or of an import of one of these modules, stops for a person."""
    review: tuple[Watched, ...] | UnsetType = UNSET
    """The same, and one person looks at it."""


class SizeTable(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """From which size on a change is looked at. 0: size says nothing."""

    review_lines: Annotated[int, Meta(ge=0, le=10_000_000)] | UnsetType = UNSET
    """So many inserted and deleted lines together: one person looks at it."""
    stop_lines: Annotated[int, Meta(ge=0, le=10_000_000)] | UnsetType = UNSET
    """So many: it stops for a person."""
    review_files: Annotated[int, Meta(ge=0, le=1_000_000)] | UnsetType = UNSET
    """So many changed files: one person looks at it."""
    stop_files: Annotated[int, Meta(ge=0, le=1_000_000)] | UnsetType = UNSET
    """So many: it stops for a person."""


class FloorsTable(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a line has to show before it may be dark."""

    days: Annotated[int, Meta(ge=7, le=365)] | UnsetType = UNSET
    """Over so many days."""
    landings: Annotated[int, Meta(ge=5, le=100_000)] | UnsetType = UNSET
    """At least so many changes landed."""
    first_pass: Annotated[int, Meta(ge=0, le=100)] | UnsetType = UNSET
    """Percent of them that landed with their first attempt."""
    escapes: Annotated[int, Meta(ge=0, le=100)] | UnsetType = UNSET
    """Percent at most that were taken back, or turned the target red, after they landed."""


class ClassesTable(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The class of what was seen in a change. What loosens a gate, and what could not be read, always stops."""

    gate: Class | UnsetType = UNSET
    """What judges changes was changed, and nothing of it was seen to judge less. Never below review."""
    ci: Class | UnsetType = UNSET
    """What a pipeline runs was changed."""
    dependency: Class | UnsetType = UNSET
    """A dependency has another version, or is gone."""
    dependency_new: Class | UnsetType = UNSET
    """A dependency that was not there before."""
    dependency_source: Class | UnsetType = UNSET
    """A dependency or image from another place."""
    dependency_script: Class | UnsetType = UNSET
    """Something runs when a dependency is installed."""
    dependency_altered: Class | UnsetType = UNSET
    """Other bytes under the same version."""
    migration: Class | UnsetType = UNSET
    """Stored data is changed."""
    schema: Class | UnsetType = UNSET
    """A contract with others: protobuf, OpenAPI, GraphQL."""
    build: Class | UnsetType = UNSET
    """What builds the product."""
    mode: Class | UnsetType = UNSET
    """A symbolic link."""
    executable: Class | UnsetType = UNSET
    """A file that became executable."""
    submodule: Class | UnsetType = UNSET
    """Another repository, or another commit of it."""
    binary: Class | UnsetType = UNSET
    """Bytes that nobody can read as a diff."""
    image: Class | UnsetType = UNSET
    """Pictures, fonts, sounds, documents."""
    security: Class | UnsetType = UNSET
    """Code that speaks of identity, secrets, permission or encryption in its names, imports or path."""
    security_test: Class | UnsetType = UNSET
    """The same in tests."""
    data: Class | UnsetType = UNSET
    """A class of data that [policy.data] names."""


class PolicyTable(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which change ships by itself, which one person reviews, which stops. The highest class of its paths wins."""

    ship: tuple[Glob, ...] | UnsetType = UNSET
    """Paths that land without a person."""
    review: tuple[Glob, ...] | UnsetType = UNSET
    """Paths that one person looks at."""
    stop: tuple[Glob, ...] | UnsetType = UNSET
    """Paths that always stop for a person."""
    walls: Literal["strict", "partial", "none"] | UnsetType = UNSET
    """The least level of walls that a change must have been built and proven within to land without a person. Less than strict
    counts only once you trusted it."""
    symbols: SymbolsTable | UnsetType = UNSET
    """Symbols and imports whose change a person sees, beside those that always count."""
    data: dict[Name, tuple[Datum, ...]] | UnsetType = UNSET
    """Classes of data, by name: `pii = ["src/users/**", "line:birth_date"]`."""
    owners: dict[Owner, Class] | UnsetType = UNSET
    """Owners of CODEOWNERS whose paths are of at least this class: `"@org/security" = "stop"`."""
    classes: ClassesTable | UnsetType = UNSET
    """Another class for a kind of change."""
    size: SizeTable | UnsetType = UNSET
    """From which size on a change is looked at."""
    waiver_days: Annotated[int, Meta(ge=0, le=366)] | UnsetType = UNSET
    """The longest that `andon waive` may set a rule aside; 0: never."""
    floors: FloorsTable | UnsetType = UNSET
    """What a line has to show before it may be dark."""
    stop_roles: Annotated[tuple[Name, ...], Meta(max_length=10)] | UnsetType = UNSET
    """Of what stops: each of these roles must be signed for, by a person of its own. Persons are named in your own file."""
    stop_keys: Annotated[int, Meta(ge=1, le=10)] | UnsetType = UNSET
    """Of what stops: so many different keys must sign; never fewer than stop_roles names."""


class TaskBudget(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Limits of one task."""

    attempts: Annotated[int, Meta(ge=1, le=100)] | UnsetType = UNSET
    """Attempts of an agent before a person is asked."""
    minutes: Annotated[float, Meta(ge=0, le=100_000)] | UnsetType = UNSET
    """Agent minutes over all attempts; 0 means attempts x the agent's own limit."""
    usd: Dollars | UnsetType = UNSET
    """What a task may spend over all attempts; 0 for no limit."""
    tokens: Annotated[int, Meta(ge=0, le=1_000_000_000_000)] | UnsetType = UNSET
    """Input and output tokens of a task over all attempts; 0 for no limit."""


class AttemptBudget(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Limits of one attempt."""

    usd: Dollars | UnsetType = UNSET
    """What one attempt may spend; 0 for no limit of its own."""


class DayBudget(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Limits of one day."""

    usd: Dollars | UnsetType = UNSET
    """What this repository may spend a day, from midnight UTC; 0 for no limit."""


class BudgetTable(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What may be spent before a person is asked."""

    task: TaskBudget | UnsetType = UNSET
    """Limits of one task."""
    attempt: AttemptBudget | UnsetType = UNSET
    """Limits of one attempt."""
    day: DayBudget | UnsetType = UNSET
    """Limits of one day."""
    reserve_usd: Dollars | UnsetType = UNSET
    """Held back of every cap on money before an attempt starts, so that what runs cannot overspend it together."""


class PermissionsTable(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who answers an agent's request. deny beats ask beats allow; outside the checkout nothing is allowed by a pattern."""

    default: Literal["allow", "ask", "deny"] | UnsetType = UNSET
    """For what no pattern names."""
    allow: tuple[Pattern, ...] | UnsetType = UNSET
    """Allowed without a person."""
    ask: tuple[Pattern, ...] | UnsetType = UNSET
    """A person is asked."""
    deny: tuple[Pattern, ...] | UnsetType = UNSET
    """Denied without a person."""


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


class QueueTable(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How changes land on the target, and what follows."""

    land: Literal["merge", "squash", "rebase"] | UnsetType = UNSET
    """merge: a true merge commit each; squash: one commit each; rebase: the change's own commits, replayed."""
    history: Literal["tips", "green"] | UnsetType = UNSET
    """tips: what the target was moved to is proven, commits between two moves may not be; green: each first-parent commit is."""
    confirm: Annotated[int, Meta(ge=0, le=10)] | UnsetType = UNSET
    """Further failures, alone on the present target, before a change is sent back; 0: 1, or 2 where many checks flake."""
    overtake: Annotated[int, Meta(ge=0, le=1_000)] | UnsetType = UNSET
    """A change that waits may be overtaken by later ones this often; then it goes first."""
    flaky: Annotated[int, Meta(ge=0, le=1_000)] | UnsetType = UNSET
    """Flaky tests whose failure is excused at once; with more of them nothing is excused any more. 0: none ever is."""
    flaky_passes: Annotated[int, Meta(ge=0, le=100_000)] | UnsetType = UNSET
    """Passes in a row, on other trees, after which a flaky test leaves quarantine by itself; 0: only a person lets it out."""
    contracts: dict[Name, tuple[Glob, ...]] | UnsetType = UNSET
    """Groups of paths that belong together, by name: two changes that touch one group are told of each other."""
    revert: Literal["ask", "auto"] | UnsetType = UNSET
    """When the watch station finds the target red: ask a person, or take the suspect back by a revert that is proven first."""
    publish: Literal["none", "push", "pr"] | UnsetType = UNSET
    """What landed stays here; push: the target follows on `remote`; pr: a pull request by gh or glab. A person trusts it first."""
    remote: Remote | UnsetType = UNSET
    """The remote that `publish` speaks of."""
    drivers: tuple[Driver, ...] | UnsetType = UNSET
    """Custom merge drivers that may run, once a person trusts them; a change whose paths name another is not merged by us."""
    structured: Literal["off", "propose"] | UnsetType = UNSET
    """propose: after a conflict mergiraf, when installed, makes a proposal that the resolver may take and that is proven."""


class ProvenanceTable(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where it is written down what a landed commit is, beside its trailers and the ledger."""

    notes: tuple[Literal["andon", "shiftlog", "ai"], ...] | UnsetType = UNSET
    """Git notes that each landed change gets, under refs/notes of the same name: a digest of the work, without secrets. Shift Log
    reads "shiftlog", git-ai reads "ai". Other writers' notes stay; [] writes none."""


class SandboxTable(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What agents and checks may reach: the checkout, the toolchain read-only, a private home, and what is named here."""

    level: Literal["best", "strict", "partial", "none"] | UnsetType = UNSET
    """best: the best that the machine gives at that moment. Any other is a demand: namespaces of their own; Landlock and seccomp;
    nothing. With less nothing starts. Weaker than strict counts only once you trusted it."""
    network: Literal["none", "allow-list", "host"] | UnsetType = UNSET
    """Of agents. allow-list: through a proxy, to the hosts named here and those of their own provider."""
    hosts: tuple[Line, ...] | UnsetType = UNSET
    """Hosts that may be reached: a name, "*.example.org" for those below it, "name:port"."""
    registries: tuple[Literal["pypi", "npm", "crates", "go", "debian", "github"], ...] | UnsetType = UNSET
    """Hosts of package registries, by name."""
    check_network: Literal["none", "allow-list", "host"] | UnsetType = UNSET
    """Of checks and setup commands."""
    read: tuple[Line, ...] | UnsetType = UNSET
    """Further paths that exist inside, read-only; "~" is your home."""
    write: tuple[Line, ...] | UnsetType = UNSET
    """Further paths that may be written: caches."""
    hide: tuple[Glob, ...] | UnsetType = UNSET
    """Paths of the repository that no agent sees, in files and in git; checks see them."""
    read_only: tuple[Glob, ...] | UnsetType = UNSET
    """Paths that agents may read; a change that touches one goes back to its agent."""
    devices: tuple[Line, ...] | UnsetType = UNSET
    """Devices that exist inside: "/dev/kvm"."""
    env: tuple[Variable, ...] | UnsetType = UNSET
    """Variables of your environment that are passed in, beside PATH, LANG, TERM and their like."""
    secrets: tuple[Variable, ...] | UnsetType = UNSET
    """The same, and never shown or stored: API keys by name."""
    processes: Annotated[int, Meta(ge=0, le=1_000_000)] | UnsetType = UNSET
    """Processes at once; 0: no limit."""
    memory_mb: Annotated[int, Meta(ge=0, le=4_194_304)] | UnsetType = UNSET
    """Memory; 0: no limit."""
    file_mb: Annotated[int, Meta(ge=0, le=67_108_864)] | UnsetType = UNSET
    """Size of one file; 0: no limit."""
    tmp_mb: Annotated[int, Meta(ge=16, le=1_048_576)] | UnsetType = UNSET
    """Size of the private /tmp."""
    baits: bool | UnsetType = UNSET
    """Within strict walls: empty stand-ins of what attackers look for, "~/.ssh" and its like. Opening one is told on the Problems
    screen. Paths of `read` and `write` are left alone."""
    unbaited: tuple[Line, ...] | UnsetType = UNSET
    """Baits that are left out, where honest tools open them: "~/.aws" for boto3, "~/.docker"."""


class OperatorTable(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """You, as your approvals name you. Belongs in a person's own file."""

    name: OwnName | UnsetType = UNSET
    """Your name in `allowed_signers`, beside your own andon.toml."""
    key: Line | UnsetType = UNSET
    """The public file of the SSH key that signs your approvals: "~/.ssh/id_ed25519.pub". Agents, passphrases and FIDO keys work."""


class RoutesTable(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How you hear of what waits for you, beside the inbox, which always has it. Belongs in a person's own file."""

    desktop: Literal["none", "stop", "review", "ship"] | UnsetType = UNSET
    """From which risk of a gate on notify-send is called; ship: for every gate."""
    command: tuple[Word, ...] | UnsetType = UNSET
    """Program and arguments that get a notice as JSON on standard input; at least once each, `key` says which is the same."""
    command_from: Literal["none", "stop", "review", "ship"] | UnsetType = UNSET
    """From which risk of a gate on the command is run; ship: for every gate."""
    seconds: Annotated[float, Meta(gt=0, le=60)] | UnsetType = UNSET
    """How long a notice may take until its program is ended."""
    problems: bool | UnsetType = UNSET
    """Whether new problems are told by the desktop (unless it is none) and the command too, each at most once an hour."""
    escalate_minutes: Annotated[float, Meta(ge=0, le=10_080)] | UnsetType = UNSET
    """A gate that nobody answered is told again after so long; 0: never."""
    escalate_times: Annotated[int, Meta(ge=0, le=100)] | UnsetType = UNSET
    """At most so often."""


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
    claims: dict[Name, ClaimTable] | UnsetType = UNSET
    """Kinds of claims about a change, by name; stations ask for them."""
    policy: PolicyTable | UnsetType = UNSET
    """Which change ships by itself, which one person reviews, which stops."""
    budget: BudgetTable | UnsetType = UNSET
    """What may be spent before a person is asked."""
    retry: RetryTable | UnsetType = UNSET
    """How failures are tried again."""
    checkout: CheckoutTable | UnsetType = UNSET
    """How isolated checkouts are made."""
    permissions: PermissionsTable | UnsetType = UNSET
    """Who answers when an agent asks whether it may."""
    queue: QueueTable | UnsetType = UNSET
    """How changes land on the target, and what follows."""
    sandbox: SandboxTable | UnsetType = UNSET
    """What agents and checks may reach."""
    provenance: ProvenanceTable | UnsetType = UNSET
    """Where it is written down what a landed commit is."""
    admission: AdmissionTable | UnsetType = UNSET
    """In a person's own file: when the machine takes another agent."""
    operator: OperatorTable | UnsetType = UNSET
    """In a person's own file: who you are, and the key that signs your approvals."""
    operators: dict[Principal, tuple[Name, ...]] | UnsetType = UNSET
    """In a person's own file: the roles of everybody whose key is in `allowed_signers`, by name."""
    routes: RoutesTable | UnsetType = UNSET
    """In a person's own file: how you hear of gates."""


PERSONAL = ("factory.day_usd", "factory.breaker", "factory.restarts", "admission", "operator", "operators", "routes")
"""What only a person's own file may say: it holds for the whole factory."""
JUDGING = ("checks", "claims", "policy", "lines", "stations", "queue", "sandbox", "checkout.setup", "checkout.keep")
"""Sections that judge work: once the target commit has an andon.toml, they are taken from there."""
