"""Settings that decide things. They travel inside events, so a replay judges by the settings of that day."""

from typing import Literal

import msgspec

from andon.schema.eventbase import Risk
from andon.schema.health import Cause, Rung
from andon.schema.ids import Digest
from andon.schema.notes import NoteKind
from andon.schema.sandbox import Asked, Level

Lights = Literal["on", "dim", "dark"]
"""`on`: a person sees every change; `dim`: what is of class ship lands by itself; `dark`: what is of class review too."""

Threshold = Literal["none", "stop", "review", "ship"]
"""From which risk on; `none`: never, `ship`: always."""

STAGE = 5
"""The stage of a check that names none."""


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """A command whose result the daemon believes because the daemon ran it."""

    name: str
    run: str
    """Shell command, run by `sh -c` at the root of a clean checkout. `{report}` is the path of its report file."""
    report: str = "exit"
    """How to read the result: `junit` (XML report), `sarif` (fails on findings of the levels of `fail_on`), `cobertura` or `lcov`
    (coverage) or `exit` (exit code alone)."""
    minutes: float = 30.0
    """Wall-clock limit; past it the result is unevaluated."""
    memory_mb: int = 4096
    """Address-space limit of each process; 0 for none."""
    output_mb: int = 20
    """Bytes of output kept; past it the middle is dropped and the log says so."""
    minimum_tests: int = 1
    """With `junit`: fewer executed tests than this is unevaluated, never a pass."""
    use: str = ""
    """A check that comes with the program, instead of `run`: `secrets`, `dependencies` or `rules`."""
    stage: int = STAGE
    """1 to 9: it starts once every check of the stages before is proven."""
    baseline: bool = False
    """With `sarif`: findings that the base of a change has too do not count."""
    fail_on: str = "error"
    """With `sarif`: the least level of a finding that counts: `error`, `warning` or `note`."""
    minimum: float = 0.0
    """With coverage: percent of all lines that must be covered."""
    minimum_changed: float = 0.0
    """With coverage: percent of the executable lines that a change touched which must be covered."""
    inputs: tuple[str, ...] = ()
    """Globs of the files that it judges. When none is in the tree it is unevaluated; coverage must know each changed one."""
    protect: tuple[str, ...] = ()
    """Globs of what judges: a change is run with these paths as its base has them."""
    own_too: bool = True
    """With `protect`: it must hold with the change's own version of these paths as well."""
    allow: str = ".secrets.baseline"
    """With `use = "secrets"`: the file of findings that are known to be harmless, read from the base."""
    max_age_days: int = 30
    """With `use = "dependencies"`: older advisories are no evidence."""


class Price(msgspec.Struct, frozen=True, kw_only=True):
    """US dollars per million tokens."""

    input: float
    output: float
    cache_read: float = 0.0
    cache_write: float = 0.0


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
    model: str = ""
    """The model to ask for; empty leaves it to the agent."""
    account: str = ""
    """Agents of one account share its quota and its limits; empty means the adapter's name."""
    approve: str = "policy"
    """`policy`: the agent asks before each tool and `[permissions]` answers; `all`: it is told to ask nothing."""
    gateway: str = "auto"
    """`auto`: our loopback gateway stands before the provider when an API key is set; `on`; `off`."""
    upstream: str = ""
    """The provider's base address behind the gateway; empty: the agent's own variable, else its provider's."""
    login: str = "none"
    """`copy`: the person's own login of this agent is copied into each session's private home; `none`: an API key only."""
    write_back: bool = False
    """With `login = "copy"`: when a session renewed that login, the person's own file gets the renewed one."""
    usd_day: float = 0.0
    """What this agent may spend a day in this repository; 0: no limit of its own."""
    reserve_usd: float = 0.0
    """Held back of every cap for one attempt before it starts; 0: the budget's `reserve_usd`."""
    prices: dict[str, "Price"] = {}
    """By model name (a prefix will do): what a token costs where the agent does not say."""


class Station(msgspec.Struct, frozen=True, kw_only=True):
    """One step of a line."""

    name: str
    kind: str
    """`agent`, `check`, `gate`, `land` or `watch`."""
    wip: int = 0
    """Agents at work at this station at once; 0 means no limit of its own."""
    agent: str = "default"
    """For `agent`: a name of `[agents]`."""
    checks: tuple[str, ...] = ()
    """For `check` and `watch`: names of `[checks]`; empty means all (for `watch`: all that the line proves)."""
    when: str = "policy"
    """For `gate`: `always`, `policy` (ask unless the change is of class ship) or `never`."""
    hide: tuple[str, ...] = ()
    """For `agent`: paths that it does not see, beside those of `[sandbox]`."""
    read_only: tuple[str, ...] = ()
    """For `agent`: paths that it may read and not change, beside those of `[sandbox]`."""
    claims: tuple[str, ...] = ()
    """Names of `[claims]` that must be proven and fresh before it closes, beside what its kind asks for."""


class ClaimType(msgspec.Struct, frozen=True, kw_only=True):
    """A kind of claim: who produces it, what it rests on, how long it counts."""

    name: str
    producer: str
    """`checks.NAME`; `station:NAME`; `daemon:work` (the change is kept), `daemon:scope` (it keeps to its paths), `daemon:merge`
    (the merged tree is proven)."""
    requires: tuple[str, ...] = ()
    """Claims that must be proven as well."""
    fresh: str = "tree"
    """`tree`: as long as the change is the same; `target`: on a tree that holds the target as it is, which landing proves; `hours`:
    for `hours`."""
    hours: float = 0.0


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """A named path of stations."""

    name: str
    stations: tuple[Station, ...]
    wip: int = 0
    """Tasks in work on this line at once; 0 means no limit of its own."""
    usd_day: float = 0.0
    """What this line may spend a day; 0: no limit of its own."""
    lights: Lights = "dim"
    """How much a person sees of what it lands."""


class Symbols(msgspec.Struct, frozen=True, kw_only=True):
    """Names in code. `import:NAME` is a module and what lies below, any other a glob on a symbol (`Session.login`, `*token*`)."""

    stop: tuple[str, ...] = ()
    review: tuple[str, ...] = ()


class Size(msgspec.Struct, frozen=True, kw_only=True):
    """From which size on a change is of a higher class. 0: size says nothing."""

    review_lines: int = 0
    """Inserted and deleted lines together."""
    stop_lines: int = 0
    review_files: int = 0
    stop_files: int = 0


class Floors(msgspec.Struct, frozen=True, kw_only=True):
    """What a line has to show before it may be dark, over the last `days`."""

    days: int = 28
    landings: int = 20
    """At least so many landed in that time: with fewer nothing is known."""
    first_pass: int = 80
    """Percent of them that landed with their first attempt."""
    escapes: int = 2
    """Percent at most that were reverted, or turned the target red, after they landed."""


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """Which change ships by itself, which one person reviews, which stops. Globs on paths; the highest class wins."""

    ship: tuple[str, ...] = ()
    review: tuple[str, ...] = ()
    """Reviewed although `ship` covers them. What no list names is reviewed too."""
    stop: tuple[str, ...] = ()
    walls: Level = "strict"
    """The least level of walls that a change must have been built and proven within to land without a person."""
    symbols: Symbols = Symbols()
    data: dict[str, tuple[str, ...]] = {}
    """Classes of data: globs on paths, or `line:TEXT` for text on changed lines (upper and lower case are one)."""
    owners: dict[str, Risk] = {}
    """Owners of CODEOWNERS whose paths are of at least this class."""
    classes: dict[str, Risk] = {}
    """Another class for a kind of fact (`andon.schema.facts`), where that may be changed."""
    size: Size = Size()
    waiver_days: int = 30
    """The longest that a waiver may hold."""
    floors: Floors = Floors()
    stop_roles: tuple[str, ...] = ()
    """Of a change of class stop: each of these roles must be signed for by a person of its own."""
    stop_keys: int = 1
    """Distinct SSH keys that must sign for a change of class stop; never fewer than `stop_roles` has roles."""

    def openings(self) -> tuple[str, ...]:
        """What is let through beyond the policy as it stands by default: part of what a person trusts."""
        return (f"policy: lands without a person within walls of level {self.walls}",) if self.walls != "strict" else ()


class Budget(msgspec.Struct, frozen=True, kw_only=True):
    """Limits of one task."""

    attempts: int = 3
    """Attempts of an agent before a person is asked."""
    minutes: float = 0.0
    """Agent minutes of a task over all attempts; 0 means attempts x the agent's own limit."""
    usd: float = 0.0
    """What a task may spend over all attempts; 0: no limit."""
    tokens: int = 0
    """Input and output tokens of a task over all attempts; 0: no limit."""
    attempt_usd: float = 0.0
    """What one attempt may spend; 0: no limit of its own."""
    day_usd: float = 0.0
    """What this repository may spend a day, from midnight UTC; 0: no limit."""
    reserve_usd: float = 1.0
    """Held back of every cap in force before an attempt starts, so that what runs cannot overspend it together."""


class Permissions(msgspec.Struct, frozen=True, kw_only=True):
    """Who answers an agent's request. Patterns are `deed` or `deed(glob)`: `read`, `edit(src/**)`, `shell(git status*)`,
    `fetch(docs.python.org)`, `mcp(server.tool)`. `deny` beats `ask` beats `allow`; what touches anything outside the checkout is
    never allowed by a pattern."""

    default: str = "ask"
    """`allow`, `ask` or `deny`: for what no pattern names."""
    allow: tuple[str, ...] = ()
    ask: tuple[str, ...] = ()
    deny: tuple[str, ...] = ()


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


class Queue(msgspec.Struct, frozen=True, kw_only=True):
    """How changes land on the target."""

    land: str = "merge"
    """`merge`: a true merge commit each; `squash`: one commit each; `rebase`: the change's own commits, replayed."""
    history: str = "tips"
    """`tips`: what was moved to is proven, merges between two moves may not be; `green`: every first-parent commit is proven."""
    confirm: int = 0
    """Further failures, alone on the present target, before a change is sent back; 0: 1, or 2 where many checks flake."""
    overtake: int = 5
    """A change that waits may be overtaken by later ones this often; then it goes first."""
    flaky: int = 10
    """Flaky tests whose failure is excused at once in this repository; with more of them nothing is excused any more."""
    flaky_passes: int = 20
    """Passes on other trees since it was last seen flaking after which a test leaves quarantine by itself; 0: never."""
    contracts: dict[str, tuple[str, ...]] = {}
    """Named groups of path globs that belong together: two changes that touch one group are told of each other."""
    revert: str = "ask"
    """When the watch station finds the target red: `ask` a person, or `auto`: take the suspect back by a proven revert."""
    publish: str = "none"
    """`none`; `push`: the target follows on `remote`; `pr`: a pull request by gh or glab for what landed."""
    remote: str = "origin"
    drivers: tuple[str, ...] = ()
    """Custom merge drivers that may run; a change whose paths name another is not merged by us."""
    structured: str = "off"
    """`propose`: after a textual conflict mergiraf, when installed, makes a proposal that the resolver may take and we prove."""


class Walls(msgspec.Struct, frozen=True, kw_only=True):
    """What agents and checks may reach. Inside there is the checkout, the toolchain read-only and a private home; what is named
    here comes on top."""

    level: Asked = "best"
    """What agents and checks run at. `best`: the best that the machine gives at that moment; any other: exactly that, and where the
    machine gives less, nothing starts until a person lowers it here."""
    network: str = "allow-list"
    """Of agents. `allow-list`: through our proxy, to the hosts named here and those of the agent's own provider; `none`: not even
    that; `host`: the person's network, whole."""
    hosts: tuple[str, ...] = ()
    """Names, `*.example.org` for those below, `name:port` for a port besides 443 and 80."""
    registries: tuple[str, ...] = ()
    """Profiles of hosts by name: `pypi`, `npm`, `crates`, `go`, `debian`, `github`."""
    check_network: str = "none"
    """Of checks and setup commands, as `network`."""
    read: tuple[str, ...] = ()
    """Further paths that exist inside, read-only; `~` is the person's home."""
    write: tuple[str, ...] = ()
    """Further paths that may be written: caches."""
    hide: tuple[str, ...] = ()
    """Paths of the repository that agents do not see: they look empty. Checks and verifiers see them."""
    read_only: tuple[str, ...] = ()
    """Paths of the repository that agents may read and not change."""
    devices: tuple[str, ...] = ()
    env: tuple[str, ...] = ()
    """Variables of the person's environment that are passed in, beside the usual ones (PATH, LANG, TERM …)."""
    secrets: tuple[str, ...] = ()
    """Variables that are passed in and never shown or stored: API keys by name. An agent's own provider key is always one."""
    processes: int = 2048
    memory_mb: int = 0
    """Of the whole job where a cgroup can be had, else of each process; 0: no limit."""
    file_mb: int = 8192
    tmp_mb: int = 2048
    baits: bool = True
    """Within strict walls, empty stand-ins of what attackers look for (`~/.ssh` …) stand where they would be, and opening one is
    told. What `read` or `write` name is never one."""
    unbaited: tuple[str, ...] = ()
    """Baits that are left out, where honest tools open them: `~/.aws` for boto3."""

    def openings(self) -> tuple[str, ...]:
        """What is let through beyond the walls as they stand by default: part of what a person trusts."""
        said = (("host", self.hosts), ("registry", self.registries), ("read", self.read), ("write", self.write),
                ("device", self.devices), ("variable", self.env), ("secret", self.secrets))
        told = [f"sandbox level: {self.level}"] if self.level in ("partial", "none") else []
        told += [f"sandbox {word}: {value}" for word, values in said for value in values]
        told += [f"sandbox network: {self.network}"] if self.network == "host" else []
        told += [f"sandbox network of checks: {self.check_network}"] if self.check_network != "none" else []
        return tuple(told)


class ProvenanceSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Where it is written down what a landed commit is, beside its trailers and the ledger."""

    notes: tuple[NoteKind, ...] = ()
    """Git notes that each landed change gets: `andon`, `shiftlog` (Shift Log), `ai` (git-ai)."""


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """All settings of one repository, completed from defaults and the person's own."""

    target: str = "main"
    wip: int = 6
    """Agents at work at once in this repository."""
    proving: int = 0
    """Check runs at once in this repository; 0: from the cores, and from how well the checks were seen to use them."""
    overlap_minutes: float = 10.0
    """How long a task waits for another whose paths overlap before it starts anyway."""
    agents: dict[str, AgentSettings] = {}
    checks: dict[str, Check] = {}
    lines: dict[str, Line] = {}
    claims: dict[str, ClaimType] = {}
    """Those that stations ask for, and what they rest on."""
    policy: Policy = Policy()
    budget: Budget = Budget()
    retry: Retry = Retry()
    checkout: Checkout = Checkout()
    permissions: Permissions = Permissions()
    queue: Queue = Queue()
    sandbox: Walls = Walls()
    provenance: ProvenanceSettings = ProvenanceSettings()

    def commands(self) -> tuple[str, ...]:
        """Every shell command and argv that these settings would run, and where they publish: what a person trusts. The order is
        fixed, and settings that publish nothing say nothing of it."""
        told = [f"check {check.name}: {check.run or f'use {check.use}'}" for _, check in sorted(self.checks.items())]
        told += [f"setup: {command}" for command in self.checkout.setup]
        told += [f"teardown: {command}" for command in self.checkout.teardown]
        told += [f"agent {agent.name}: {' '.join((agent.use, *agent.command, *agent.args))}"
                 + "".join(f" {key}={value}" for key, value in sorted(agent.env.items()))
                 + "".join(f" {name}={value}" for name, value in (("approve", agent.approve), ("login", agent.login))
                           if value not in ("policy", "none"))
                 + (" write_back=yes" if agent.write_back else "")
                 for _, agent in sorted(self.agents.items())]
        told += [f"allow {pattern}" for pattern in self.permissions.allow]
        told += ["allow everything that no pattern names"] if self.permissions.default == "allow" else []
        told += [f"publish: {self.queue.publish} {self.queue.remote}"] if self.queue.publish != "none" else []
        told += [f"merge driver {name}" for name in sorted(self.queue.drivers)]
        return (*told, *self.policy.openings(), *self.sandbox.openings())


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One rung of a ladder."""

    do: Rung
    after_s: float = 0.0
    """So long must the cause stand (after the rung before) until this is done."""
    times: int = 1
    """At most so often in one attempt; then the next rung."""


class Admission(msgspec.Struct, frozen=True, kw_only=True):
    """When the machine takes another agent. 0 turns a limit off."""

    load_per_core: float = 4.0
    """Load average of one minute for each core."""
    free_memory_mb: int = 1024
    free_disk_mb: int = 2048
    ramp_s: float = 1.0
    """Seconds between two starts while the factory comes back after a crash; doubles as what starts keeps failing."""


class Operator(msgspec.Struct, frozen=True, kw_only=True):
    """The person at this machine, as approvals name them."""

    name: str = ""
    """Their principal in `allowed_signers`."""
    key: str = ""
    """The public file of their SSH key; `~` is their home. ssh-keygen signs with the agent, or the private file beside it."""


class Routes(msgspec.Struct, frozen=True, kw_only=True):
    """How a person hears of gates and problems beside the inbox, which always has them."""

    desktop: Threshold = "none"
    """From which risk of a gate on `notify-send` is called."""
    command: tuple[str, ...] = ()
    """A program of the person's own that gets a notice as JSON on its standard input; empty: none."""
    command_from: Threshold = "review"
    """From which risk of a gate on it is run."""
    seconds: float = 10.0
    """How long one notice may take until its program is ended."""
    problems: bool = False
    """Whether problems are told by the same routes, each at most once an hour."""
    escalate_minutes: float = 60.0
    """A gate that nobody answered is told again after so long; 0: never."""
    escalate_times: int = 3
    """At most so often."""


class FactorySettings(msgspec.Struct, frozen=True, kw_only=True):
    """The person's own settings, which hold for every repository."""

    wip: int = 6
    """Agents at work at once over all repositories."""
    day_usd: float = 0.0
    """What the whole factory may spend a day, from midnight UTC; 0: no limit."""
    admission: Admission = Admission()
    ladders: dict[Cause, tuple[Step, ...]] = {}
    """What is done about each cause, in order. Empty: the ladders of the rules that come with the program."""
    breaker: int = 6
    """Rungs above `wait` that may be taken in one attempt before everything further is a gate."""
    restarts: int = 3
    """How often one attempt may be started again in its checkout (crash, reboot, limit, ladder)."""
    operator: Operator = Operator()
    operators: dict[str, tuple[str, ...]] = {}
    """The roles of each person who may sign, by principal."""
    signers: tuple[str, ...] = ()
    """The principals that `allowed_signers` has keys of. Read from there, not from settings."""
    routes: Routes = Routes()


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
