"""What a monitor remembers of one session: small frozen values with a bound each. Knows no rule and no agent."""

import msgspec

from andon.schema.health import Health, Source, Trouble
from andon.schema.signals import Usage

CALLS, OPEN, ASKS, HELPERS, PROMPTS, NOTES, KEYS = 48, 24, 16, 32, 12, 6, 64
"""Bounds: ended calls, running tools and model calls, open asks, helpers, prompts, notes, keys of usage."""


class Turn(msgspec.Struct, frozen=True, kw_only=True):
    """The agent's present turn, or its last one."""

    open: bool = False
    id: str = ""
    began: int = 0
    ended: int = 0
    number: int = 0
    """Turns that ended, counted once each."""
    text: str = ""
    trouble: Trouble | None = None
    until: int = 0
    background: int = 0
    source: Source = "none"
    """Who told its beginning or end."""
    known: tuple[str, ...] = ()
    """Ids of turns that began."""
    seen: tuple[str, ...] = ()
    """Ids of turns that ended."""
    stray: int = 0
    """When something moved after the turn's end, without a prompt that would have opened another; 0: nothing did."""
    prompts: tuple[tuple[int, str], ...] = ()
    """(when, first words) of what was asked, newest last."""


class Tool(msgspec.Struct, frozen=True, kw_only=True):
    """A tool call."""

    call: str
    name: str = ""
    target: str = ""
    digest: str = ""
    began: int = 0
    ended: int = 0
    ok: bool = True
    result: str = ""
    source: Source = "none"


class Loop(msgspec.Struct, frozen=True, kw_only=True):
    """A repetition that means something."""

    kind: str
    """`tool-loop`, `thrash` or `compaction-loop`."""
    rule: str
    because: str
    since: int
    digests: tuple[str, ...] = ()
    """Calls that belong to it: another call ends it."""


class Ask(msgspec.Struct, frozen=True, kw_only=True):
    """A request that stands open."""

    ask: str
    question: bool = False
    tool: str = ""
    deed: str = "other"
    target: str = ""
    paths: tuple[str, ...] = ()
    text: str = ""
    options: tuple[str, ...] = ()
    answerable: bool = True
    at: int = 0
    source: Source = "none"
    rule: str = ""
    """For one that only the pane shows: the screen rule, whose keys answer it."""
    running: bool = False
    """Its tool had already been announced when it was asked."""
    base: int = -1
    """Children of the agent at the first look after it was asked."""
    more: int = 0
    """Looks in a row that had more children than that."""


class Flight(msgspec.Struct, frozen=True, kw_only=True):
    """A model call under way at the gateway."""

    request: str
    sent: int
    last: int
    flowing: bool = False


class Model(msgspec.Struct, frozen=True, kw_only=True):
    """The model calls of a session, and its words."""

    flights: tuple[Flight, ...] = ()
    asked: int = 0
    """When the latest call was sent."""
    ended: int = 0
    status: int = 0
    error: str = ""
    failures: int = 0
    """Failed calls in a row."""
    calls: int = 0
    requests: tuple[tuple[str, int], ...] = ()
    """(digest, when) of calls that went well, newest last."""
    done: tuple[str, ...] = ()
    """Requests that ended, so that a late word does not open them again."""
    spoke: int = 0
    characters: int = 0
    says: str = ""


class Limit(msgspec.Struct, frozen=True, kw_only=True):
    """The provider refuses, and the agent tries again or gave up."""

    trouble: Trouble
    at: int
    since: int
    until: int = 0
    tries: int = 0
    source: Source = "none"


class Shortening(msgspec.Struct, frozen=True, kw_only=True):
    """Compactions of the conversation."""

    began: int = 0
    """When one began that has not ended; 0: none."""
    at: tuple[int, ...] = ()
    """When they were, since the last tool."""
    done: int = 0
    vain: int = 0
    """Beginnings after which the agent went on although no end was told: they do not mean what they say."""
    source: Source = "none"


class Processes(msgspec.Struct, frozen=True, kw_only=True):
    """What the process table showed."""

    at: int = 0
    first: int = 0
    seen: bool = False
    """The agent was there once."""
    alive: bool = False
    wrapper: bool = True
    dead: int = 0
    """The first look in a row without the agent; 0: it is there."""
    looks: int = 0
    """Looks in a row without it."""
    count: int = 0
    """Looks in all."""
    children: int = 0
    alive_with: int = 0
    """Children at the latest look at which the agent was there."""
    children_at: int = 0
    """Since when there are any."""
    busy: int = 0
    """When children were last seen to work."""
    busy_from: int = 0
    """Since when, without a pause."""
    busy_gap: int = 0
    """Milliseconds over which that last work was measured."""
    own: int = 0
    """When the agent itself last used the processor more than a waiting screen does."""
    rate: float = 0.0
    """Share of a core of the children between the last two looks."""
    cpu: float = 0.0
    child_cpu: float = 0.0
    io: int = 0
    network: int = -1
    offline: int = 0
    """Since when the tree has no connection, where that was looked at; 0: it has one, or nobody looked."""
    commands: tuple[str, ...] = ()
    usual: int = 5_000
    """Milliseconds between two looks, as they come."""
    poured: int = -1
    """Bytes into the pane so far; -1: nobody can tell."""
    pouring: float = 0.0
    """Bytes a second into the pane between the last two looks."""
    flood_from: int = 0
    """Since when every look found more of it than the rules allow; 0: the last one did not."""
    floods: int = 0
    """Looks in a row that found so."""
    written: int = -1
    burn_from: int = 0
    """Since when every look found the processor burnt and nothing written; 0: the last one did not."""
    burn_cpu: float = 0.0
    """CPU seconds of the tree at that moment."""


class Weight(msgspec.Struct, frozen=True, kw_only=True):
    """What its checkout weighed when it was last put on the scale."""

    at: int = 0
    since: int = 0
    """Since when it is over a bound; 0: it is not."""
    weight: int = 0
    grown: int = 0
    free: int = -1
    written: int = 0
    whole: bool = True


class Pane(msgspec.Struct, frozen=True, kw_only=True):
    """What the pane showed."""

    at: int = 0
    changed: int = 0
    """When it last looked different."""
    print: int = 0
    activity: int = 0
    """tmux's own clock of its last output, unix seconds."""
    rule: str = ""
    health: Health = "unknown"
    since: int = 0
    """Since when this rule matches."""
    until: int = 0
    row: str = ""
    """The row that says it."""
    worked: bool = False
    """It showed work once."""
    prompted: int = 0
    """When it last showed a prompt."""


class Meter(msgspec.Struct, frozen=True, kw_only=True):
    """Spending by key; what is over the bound is summed into `rest`."""

    keys: dict[str, Usage] = {}
    rest: Usage | None = None
    folded: int = 0
    """Keys that went into `rest`."""
    context: float = 0.0


class Total(msgspec.Struct, frozen=True, kw_only=True):
    """What a session has spent so far in this sitting."""

    input: int = 0
    output: int = 0
    cache_read: int = 0
    cache_write: int = 0
    usd: float | None = None
    requests: int = 0
    metered: str = ""
    """`reported` by the agent, seen at the `gateway`, or empty."""
    models: tuple[Usage, ...] = ()
    """The same by model, for those who know prices."""


class Watch(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that is remembered of one session; about 10 kB at most."""

    agent: str
    begun: int
    processes: tuple[str, ...] = ()
    """Names of the agent's own processes."""
    at: int = 0
    """The latest moment of anything seen."""
    began: int = 0
    """The agent said that it is up."""
    conversation: str = ""
    transcript: str = ""
    model_name: str = ""
    turn: Turn = Turn()
    tools: tuple[Tool, ...] = ()
    """Those that run, as far as was told."""
    calls: tuple[Tool, ...] = ()
    """Those that ended, newest last."""
    loop: Loop | None = None
    asks: tuple[Ask, ...] = ()
    settled: tuple[tuple[str, str], ...] = ()
    """(ask, how) of the latest that no longer stand."""
    model: Model = Model()
    limit: Limit | None = None
    shortening: Shortening = Shortening()
    helpers: tuple[tuple[str, int], ...] = ()
    """(sub-agent, since) of those that run."""
    tree: Processes = Processes()
    disk: Weight = Weight()
    pane: Pane = Pane()
    files: int = 0
    """When files last changed."""
    attended: int = 0
    """Since when a person is at it; 0: nobody is."""
    over: int = 0
    """When the agent said that its session is over; 0: it did not."""
    farewell: str = ""
    sign: int = 0
    """When a structured source last told that something moved."""
    sign_source: Source = "none"
    awake: int = 0
    """Silence counts from here: set after the machine slept."""
    tells_asks: bool = False
    """A channel of this agent tells its turns or its asks: then a prompt that only the pane shows is doubted for a while."""
    heard: dict[Source, int] = {}
    notes: tuple[tuple[int, str], ...] = ()
    """(when, raw words), newest last."""
    reported: Meter = Meter()
    gateway: Meter = Meter()

    @property
    def structured(self) -> bool:
        """Whether turns of this agent are told by it at all."""
        return self.turn.source != "none"

    @property
    def usage(self) -> Total:
        """What this sitting has spent: as the agent reports it, else as the gateway saw it."""
        from .meter import total

        return total(self)

    @property
    def context(self) -> float:
        """Share of the context window in use; 0: not told."""
        return self.reported.context or self.gateway.context


