"""Judges a recorded stream as the daemon would have: line by line, and at every moment that time alone decides. Does no I/O.

A stream is one `Recording` on its first line and a `Line` on each further one. Native payloads of agents are taken too, one JSON
object a line, bare, as server-sent events or inside an envelope: their source and agent are guessed from what they hold, and they
are a second apart where they bear no time. A text that is no JSON at all is a screen; a form feed begins the next one.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any, NamedTuple

import msgspec

from andon.core import monitor
from andon.core.judging import screens
from andon.schema.errors import Mistake
from andon.schema.health import Source
from andon.schema.rules import Rules
from andon.schema.signals import AnySignal, Call, Line, Recording, Screen, Tree, Usage, Verdict

Reader = Callable[[Line], tuple[AnySignal, ...]]
LOOKS = 50
"""Judgements between two lines at most."""
STEP_MS = 1_000
"""Between two lines that bear no time."""
TIMES = ("at", "emittedAtMs", "timestamp", "ts", "time", "created_at")
"""Names under which a payload bears its time."""
ENVELOPES = ("payload", "data", "event", "hook", "body", "message", "line", "raw")
"""Names under which somebody else's log may hold a payload."""
HOMES = {"qwen": b"/.qwen/", "gemini": b"/.gemini/", "codex": b"/.codex/", "copilot": b"/.copilot/", "claude": b"/.claude/"}
"""Directories that name their agent."""
SCREENS: dict[str, tuple[bytes, ...]] = {
    "codex": (b"OpenAI Codex", "\u203a Ask Codex".encode(), b"Codex wants"), "qwen": (b"Qwen Code",),
    "copilot": (b"Copilot v", b"/ commands \xc2\xb7 ? help"), "gemini": (b"gemini-", b"Gemini CLI", b"@path/to/file"),
    "opencode": (b"esc interrupt", b"\xe2\x96\xa3  Build", b"OpenCode", "△ Permission required".encode()),
    "scripted": (b"Scripted agent",), "aider": (b"Aider v", b"(Y)es/(N)o"),
    "claude": (b"Claude Code", b"esc to interrupt", "\u276f".encode()),
}
"""What stands on an agent's screen alone; those that share words with others come last."""
_RECORDING = msgspec.json.Decoder(Recording)
_LINE = msgspec.json.Decoder(Line)
_SIGNAL = msgspec.json.Decoder(AnySignal)
_LOOKS: dict[str, Source] = {"call": "gateway", "tree": "process", "screen": "pane"}
_OWN: dict[str, msgspec.json.Decoder[Any]] = {
    "gateway": msgspec.json.Decoder(Call | Usage), "process": msgspec.json.Decoder(Tree), "pane": msgspec.json.Decoder(Screen),
}


class Stream(NamedTuple):
    """A recorded stream, opened."""

    recording: Recording
    lines: tuple[Line, ...]


def opened(raw: Iterable[bytes], agent: str = "") -> Stream:
    """The stream in these lines. Mistake, with the line's number, for what is none."""
    recording: Recording | None = None
    lines: list[Line] = []
    rows = list(raw)
    if _is_screen(rows):
        return Stream(Recording(agent=agent or _drawn_by(rows), scenario=""), _screens(rows))
    for number, row in enumerate(rows, 1):
        text = row.strip().removeprefix(b"data:").strip()
        if not text or text.startswith((b"event:", b"id:", b"retry:", b":")) or text == b"[DONE]":
            continue
        try:
            if number == 1 and recording is None and b'"scenario"' in text:
                recording = _RECORDING.decode(text)
                continue
            lines.append(_line(text, lines[-1].at if lines else 0))
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            mend = "a stream is one JSON object a line: a recording, then lines, or the payloads of an agent's hooks or server"
            raise Mistake(f"line {number} is no record: {error}", mend=mend) from error
    named = agent or (recording.agent if recording else "") or _agent_of(lines)
    told = recording or Recording(agent=named, scenario="")
    return Stream(msgspec.structs.replace(told, agent=named), tuple(lines))


def _line(text: bytes, before: int) -> Line:
    """A line as it stands, or one made of a native payload."""
    try:
        return _LINE.decode(text)
    except msgspec.ValidationError:
        payload = msgspec.json.decode(text)
        if not isinstance(payload, dict):
            raise
    source, agent = guessed(payload)
    inner = payload if agent or source != "stdout" else _unwrapped(payload)
    if inner is not payload:
        source, agent = guessed(inner)
        text = msgspec.json.encode(inner)
    return Line(at=_when(payload) or _when(inner) or before + STEP_MS, source=source, data=msgspec.Raw(text), agent=agent)


def _unwrapped(payload: dict[str, Any]) -> dict[str, Any]:
    """What an envelope of somebody's own holds, when that is known."""
    for key in ENVELOPES:
        inner = payload.get(key)
        if isinstance(inner, str) and inner.startswith("{"):
            try:
                inner = msgspec.json.decode(inner)
            except msgspec.DecodeError:
                continue
        if isinstance(inner, dict) and guessed(inner) != ("stdout", ""):
            return inner
    return payload


def _is_screen(rows: list[bytes]) -> bool:
    """Whether these are drawn rows: none of the first ones is JSON or an event."""
    first = [row.strip() for row in rows if row.strip()][:40]
    known = (b"{", b"[", b'"', b"data:", b"event:", b":", b"id:", b"retry:")
    return len(first) > 1 and not any(row.startswith(known) for row in first)


def _screens(rows: list[bytes]) -> tuple[Line, ...]:
    drawn = b"\n".join(rows).decode("utf-8", "replace").split("\f")
    packed = [msgspec.Raw(msgspec.json.encode(text)) for text in drawn]
    return tuple(Line(at=STEP_MS * (n + 1), source="pane", data=data) for n, data in enumerate(packed))


def _drawn_by(rows: Iterable[bytes]) -> str:
    """The agent whose name its own screen bears; `command` when none does."""
    text = b"\n".join(rows)
    return next((agent for agent, marks in SCREENS.items() if any(mark in text for mark in marks)), "command")


def _agent_of(lines: list[Line]) -> str:
    """The agent that most lines speak for; one whose own directory is named in them counts more."""
    votes: Counter[str] = Counter(line.agent for line in lines if line.agent)
    for line in lines[:200]:
        for agent, path in HOMES.items():
            votes[agent] += 10 * (path in bytes(line.data))
    best = next((agent for agent, count in votes.most_common(1) if count), "")
    return best or _drawn_by(bytes(line.data) for line in lines if line.source == "pane")


def guessed(payload: Mapping[str, Any]) -> tuple[Source, str]:
    """Source and agent of a native payload, by what it holds."""
    kind = str(payload.get("type", ""))
    if kind in ("user", "assistant", "system", "summary") and ("parentUuid" in payload or "leafUuid" in payload):
        return "transcript", "claude"
    if "hook_event_name" in payload:
        name = str(payload["hook_event_name"])
        if name[:1].islower() or "sessionId" in payload:
            return "hook", "copilot"
        gemini = name in ("BeforeAgent", "AfterAgent", "BeforeTool", "AfterTool", "BeforeModel", "AfterModel", "PreCompress")
        return "hook", "gemini" if gemini else "codex" if "turn_id" in payload else (
            "qwen" if "timestamp" in payload and "prompt_id" not in payload else "claude")
    if "method" in payload or ("id" in payload and "result" in payload):
        method = str(payload.get("method", ""))
        return "api", "acp" if method.startswith(("session/", "fs/", "terminal/", "initialize")) else "codex"
    if {"hookName", "stopReason", "errorContext"} & set(payload) or ("sessionId" in payload and "cwd" in payload):
        return "hook", "copilot"
    if kind == "agent-turn-complete":
        return "hook", "codex"
    if "." in kind and "properties" in payload:
        return "api", "opencode"
    if kind.startswith(("thread.", "turn.", "item.")):
        return "stdout", "codex"
    if kind in ("step_start", "step_finish", "text", "tool_use") and "part" in payload:
        return "stdout", "opencode"
    if kind in ("session_meta", "turn_context", "response_item", "event_msg"):
        return "transcript", "codex"
    if kind in ("call", "tree", "screen"):
        return _LOOKS[kind], ""
    if "rows" in payload or "pane" in payload:
        return "pane", ""
    return "stdout", "claude" if kind in ("system", "assistant", "user", "result", "control_request", "stream_event") else ""


def _when(payload: Mapping[str, Any]) -> int:
    """Unix milliseconds that a payload bears, in any of the ways in which agents write them; 0: none."""
    for key in TIMES:
        at = payload.get(key)
        if isinstance(at, str) and "T" in at[:20]:
            try:
                return round(datetime.fromisoformat(at).timestamp() * 1000)
            except ValueError:
                continue
        if isinstance(at, int | float) and not isinstance(at, bool) and 1e9 < at < 1e14:
            return round(at * 1000) if at < 1e11 else round(at)
        if key == "at" and isinstance(at, int | float) and 0 < at < 1e14:
            return int(at)
    return 0


def signals_of(line: Line, read: Reader) -> tuple[AnySignal, ...]:
    """What a line says: the daemon's own looks by their fixed shapes, everything else through the adapter.

    A line may hold a signal of the normal form itself; then no adapter is asked.
    """
    data = bytes(line.data)
    own = _OWN.get(line.source)
    try:
        signal = own.decode(data) if own else _SIGNAL.decode(data)
    except msgspec.MsgspecError:
        bare = _bare(line, data)
        return bare if own else read(line)
    return (msgspec.structs.replace(signal, at=line.at, source=line.source),)


def _bare(line: Line, data: bytes) -> tuple[AnySignal, ...]:
    """A pane that was recorded as text or as rows alone."""
    if line.source != "pane":
        return ()
    try:
        held = msgspec.json.decode(data)
    except msgspec.MsgspecError:
        return ()
    text = held if isinstance(held, str) else held.get("pane", held.get("rows", "")) if isinstance(held, dict) else held
    rows = text.split("\n") if isinstance(text, str) else text
    if not isinstance(rows, list):
        return ()
    return (Screen(at=line.at, source="pane", rows=tuple(str(row) for row in rows)),)


def replay(lines: Iterable[Line], read: Reader, rules: Rules, *, agent: str = "command", open_task: bool = True, end: int = 0,
           processes: tuple[str, ...] = ()) -> list[tuple[int, Verdict]]:
    """The verdict after each line and at each moment that it names itself; until `end` when that is later than the last line."""
    return list(verdicts(lines, read, rules, agent=agent, open_task=open_task, end=end, processes=processes))


def verdicts(lines: Iterable[Line], read: Reader, rules: Rules, *, agent: str = "command", open_task: bool = True, end: int = 0,
             processes: tuple[str, ...] = ()) -> Iterator[tuple[int, Verdict]]:
    """The same, one after the other."""
    watch: monitor.Watch | None = None
    verdict: Verdict | None = None
    now = 0
    for line in lines:
        if watch is None:
            watch = monitor.begin(agent, line.at, processes=processes)
        elif verdict is not None:
            yield from _between(watch, verdict, line.at, rules, open_task)
        now = max(now, line.at)
        for signal in signals_of(line, read):
            watch = monitor.observe(watch, signal, rules)
        verdict = monitor.judge(watch, now, rules, open_task=open_task)
        yield now, verdict
    if watch is not None and verdict is not None:
        yield from _between(watch, verdict, end + 1, rules, open_task)


def _between(watch: monitor.Watch, verdict: Verdict, until: int, rules: Rules, open_task: bool) -> Iterator[tuple[int, Verdict]]:
    """Judgements that time alone asks for."""
    for _ in range(LOOKS):
        at = verdict.look_at
        if not at or at >= until:
            return
        verdict = monitor.judge(watch, at, rules, open_task=open_task)
        yield at, verdict


def faults(rules: Rules) -> list[tuple[str, str]]:
    """(rule, what is wrong) of each screen rule that does not hold its own example or counter, or can never match."""
    found = []
    for rule in rules.screens:
        bad = screens.broken(rule)
        example, counter = (tuple(text.strip("\n").split("\n")) if text.strip() else () for text in (rule.example, rule.counter))
        if bad:
            found.append((rule.name, f"`{bad}` is no regular expression"))
        elif example and not screens.matches(rule, example, example[0]):
            found.append((rule.name, "its example does not match"))
        elif counter and screens.matches(rule, counter, counter[0]):
            found.append((rule.name, "its counter-example matches"))
        elif not rule.all and rule.enabled:
            found.append((rule.name, "it has no expression, so it never matches"))
    return found
