"""The one normal form of what is seen of a session, whichever agent it is and by whichever channel it was seen.

Theory of operation. Every source leaves *raw lines*: what an agent's hook, server, stream, transcript, the gateway, the
process table or the pane said, with the time of arrival. They are appended to files in the job directory, so a daemon that
was killed reads them again and knows as much. An adapter's `read` turns a line into *signals*; the monitor folds signals into
a *verdict*. Nothing in here is ever believed about the work itself: that is for git and the checks.
"""

from typing import Literal

import msgspec

from andon.schema.health import Cause, Health, Source, Trouble

NOTE_LIMIT = 300
"""Characters of raw words that a signal keeps as its evidence."""


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One raw record: one JSON object a line in `hooks.jsonl`, `channel.jsonl`, `gateway.jsonl` and in recorded streams."""

    at: int
    """Unix milliseconds of arrival."""
    source: Source
    data: msgspec.Raw
    """What was said, untouched: a hook's payload, an event of a server, a line of a transcript or of JSON output.

    The daemon's own looks have fixed shapes: a `gateway` line holds one `Call`, `process` one `Tree`, `pane` one `Screen`.
    """
    agent: str = ""
    """The adapter; empty in a job directory, where it is known."""


class Signal(msgspec.Struct, frozen=True, kw_only=True, tag_field="type"):
    """Base of all signals."""

    at: int
    source: Source
    note: str = ""
    """The raw words it was read from, cut; what `andon explain` prints as evidence."""


class Began(Signal, frozen=True, kw_only=True, tag="began"):
    """The agent is up; its conversation has a name by which it can be resumed."""

    conversation: str = ""
    transcript: str = ""
    model: str = ""


class TurnBegan(Signal, frozen=True, kw_only=True, tag="turn-began"):
    """A prompt was taken: the model works from here on. The receipt of a message that was sent."""

    turn: str = ""
    prompt: str = ""
    """The first 400 characters of what was asked."""


class Took(Signal, frozen=True, kw_only=True, tag="took"):
    """Words were put into the running turn: the receipt of a message that came while the agent was at work."""

    prompt: str


class ToolBegan(Signal, frozen=True, kw_only=True, tag="tool-began"):
    """A tool runs."""

    call: str
    """Id of the call; equal ids are one call, from whichever source."""
    name: str
    target: str = ""
    """The command or path, cut."""
    digest: str = ""
    """Of name and all arguments: equal digests are the same call again."""


class ToolEnded(Signal, frozen=True, kw_only=True, tag="tool-ended"):
    """A tool gave its result, or failed."""

    call: str
    ok: bool = True
    digest: str = ""
    """Of the result."""


class PermissionWanted(Signal, frozen=True, kw_only=True, tag="permission-wanted"):
    """The agent stands still until somebody allows or denies this."""

    ask: str
    """Names the request for its channel's answer."""
    tool: str
    """The agent's own name of the tool."""
    deed: Literal["shell", "edit", "read", "fetch", "mcp", "other"] = "other"
    target: str = ""
    """The command, path or address."""
    paths: tuple[str, ...] = ()
    """Absolute paths that it touches, where the tool names them."""
    answerable: bool = True
    """Through the channel; else by keys on a screen that was matched literally."""


class AnswerWanted(Signal, frozen=True, kw_only=True, tag="answer-wanted"):
    """The agent asked a person something and stands still."""

    ask: str
    text: str
    options: tuple[str, ...] = ()
    answerable: bool = True


class AskSettled(Signal, frozen=True, kw_only=True, tag="ask-settled"):
    """It no longer waits: answered by us, at its own screen, or withdrawn."""

    ask: str
    how: str = ""


class Retrying(Signal, frozen=True, kw_only=True, tag="retrying"):
    """A model call failed and the agent tries again by itself."""

    trouble: Trouble
    until: int = 0
    """Unix milliseconds of the next try; 0: not said."""
    tries: int = 0


class Spoke(Signal, frozen=True, kw_only=True, tag="spoke"):
    """The model gave output: the stream is alive."""

    characters: int = 0
    text: str = ""


class TurnEnded(Signal, frozen=True, kw_only=True, tag="turn-ended"):
    """The model gave its last word of this turn. Says nothing about the work."""

    turn: str = ""
    text: str = ""
    """Its last words, at most 2,000 characters: asserted."""
    background: int = 0
    """Commands or helpers of its own that still run."""


class TurnFailed(Signal, frozen=True, kw_only=True, tag="turn-failed"):
    """The turn ended without a last word: the agent stands at its prompt."""

    trouble: Trouble
    turn: str = ""
    text: str = ""
    until: int = 0


class Compacting(Signal, frozen=True, kw_only=True, tag="compacting"):
    """The conversation is being shortened, or was."""

    done: bool = False


class Helper(Signal, frozen=True, kw_only=True, tag="helper"):
    """A sub-agent of the agent began or ended."""

    helper: str
    ended: bool = False


class Usage(Signal, frozen=True, kw_only=True, tag="usage"):
    """Tokens of one model call, or of the whole session so far."""

    key: str
    """Equal keys are the same spending seen again: the later replaces the earlier. `total` is the session's running sum."""
    model: str = ""
    input: int = 0
    output: int = 0
    cache_read: int = 0
    cache_write: int = 0
    usd: float | None = None
    """None: not told; priced by settings when they know the model."""
    context: float | None = None
    """Share of the context window in use, 0 to 1."""


class Ended(Signal, frozen=True, kw_only=True, tag="ended"):
    """The agent says that its session is over. The process table decides."""

    because: str = ""


class Call(Signal, frozen=True, kw_only=True, tag="call"):
    """A model call as the gateway saw it. When sent, at its first byte, now and then while it flows, at its end."""

    request: str
    phase: Literal["sent", "first", "flowing", "ended"]
    status: int = 0
    retry_after: float | None = None
    """Seconds."""
    error: str = ""
    """`cut`, `refused`, `gone` (the agent hung up), or the provider's own word for the error."""
    digest: str = ""
    """Of the request's last messages: equal digests are the same call again."""
    bytes: int = 0
    usage: Usage | None = None


class Tree(Signal, frozen=True, kw_only=True, tag="tree"):
    """The process tree of a session at one moment."""

    alive: bool
    """The agent's own process is there. A shell or wrapper alone is not the agent."""
    wrapper: bool = True
    children: int = 0
    """Processes below the agent that are not the agent's own fixed helpers."""
    cpu_s: float = 0.0
    """CPU seconds of the whole tree so far."""
    child_cpu_s: float = 0.0
    """The children's part, reaped ones among them."""
    io_bytes: int = 0
    network: int = -1
    """Established connections of the tree; -1: not looked at."""
    commands: tuple[str, ...] = ()
    """Names of children, at most 5."""
    pane_bytes: int = -1
    """Bytes that the tree wrote into the session's own terminal so far, never more than tmux took in; -1: nobody can tell."""
    written: int = -1
    """Bytes that the whole tree sent towards a disk so far, what was thrown away before it got there left out; -1: not counted."""


class Disk(Signal, frozen=True, kw_only=True, tag="disk"):
    """A session's checkout was weighed: seldom, and only after its processes wrote enough for it to matter."""

    weight: int
    """Bytes that the checkout takes; at least so many when it was too big to be walked to its end."""
    grown: int = 0
    """Bytes by which it grew in this sitting, as far as that is known."""
    free: int = -1
    """Bytes that are left on its file system; -1: nobody can tell."""
    written: int = 0
    """Bytes that the session's processes wrote, wherever to."""
    whole: bool = True
    """It was walked to its end."""


class Screen(Signal, frozen=True, kw_only=True, tag="screen"):
    """What the pane shows, cleaned; the daemon looks only when the pane rang and nothing better speaks."""

    rows: tuple[str, ...] = ()
    title: str = ""
    activity: int = 0
    """tmux's own clock of the pane's last output, unix seconds."""


class Files(Signal, frozen=True, kw_only=True, tag="files"):
    """Files in the checkout changed since the last look."""

    changed: int = 1


class Attended(Signal, frozen=True, kw_only=True, tag="attended"):
    """A person is at the session (attached, or took over), or has left."""

    present: bool


AnySignal = (
    Began | TurnBegan | Took | ToolBegan | ToolEnded | PermissionWanted | AnswerWanted | AskSettled | Retrying | Spoke | TurnEnded
    | TurnFailed | Compacting | Helper | Usage | Ended | Call | Tree | Disk | Screen | Files | Attended
)
"""The closed union of signals."""


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What a session is doing, why we say so, and how sure we are."""

    health: Health
    because: str
    """One sentence."""
    source: str
    """`api`, `hook` …, or `exit file`, `outbox`, `process`, `none`."""
    since: int
    """Unix milliseconds since when it is so."""
    cause: Cause = ""
    rule: str = ""
    """The rule's name in the rules file, or the monitor's own."""
    evidence: tuple[str, ...] = ()
    """Raw words and numbers, newest first, at most 6."""
    confidence: Literal["certain", "likely", "guess"] = "certain"
    until: int = 0
    """For a limit: when it ends, as told."""
    conflict: str = ""
    """What another source says instead, and why it does not count."""
    look_at: int = 0
    """When (unix milliseconds) time alone may change this verdict; 0: never."""


class Label(msgspec.Struct, frozen=True, kw_only=True):
    """What was true of a recorded stream in a span of time: the corpus' ground truth, never read by the monitor."""

    start: int
    end: int
    """Unix milliseconds; the span is half open."""
    health: tuple[Health, ...]
    """Words that count as right in this span."""
    cause: Cause = ""


class Recording(msgspec.Struct, frozen=True, kw_only=True):
    """The first line of a recorded stream; `Line`s follow, one a line."""

    agent: str
    version: str = ""
    scenario: str
    open_task: bool = True
    labels: tuple[Label, ...] = ()
    stuck: bool = False
    """Whether it should end in a verdict that needs somebody."""
    dead: bool = False
