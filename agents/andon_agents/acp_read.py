"""Messages of the Agent Client Protocol, either way, as signals. Pure; knows no agent and no connection.

What only the client knows stands under `andon` in the message itself: the name of an ask, the last words of a turn, the end.
"""

from typing import Any, Literal

from andon.schema.health import Trouble
from andon.schema.signals import (
    AnySignal,
    AskSettled,
    Began,
    Ended,
    Line,
    PermissionWanted,
    Spoke,
    ToolBegan,
    ToolEnded,
    TurnBegan,
    TurnEnded,
    TurnFailed,
    Usage,
)

from .acp_fields import count, decoded, digest, note, number, rows, table, text
from .reading import trouble_of

Deed = Literal["shell", "edit", "read", "fetch", "mcp", "other"]
Signals = tuple[AnySignal, ...]
DEEDS: dict[str, Deed] = {
    "execute": "shell", "edit": "edit", "delete": "edit", "move": "edit", "read": "read", "search": "read", "fetch": "fetch",
}
TARGETS = ("command", "cmd", "file_path", "filePath", "path", "abs_path", "url", "pattern", "query", "description")
STOPS: dict[str, Trouble] = {
    "cancelled": "interrupted", "max_tokens": "context", "refusal": "unknown", "max_turn_requests": "unknown",
}
WORDS, PROMPT, TARGET = 2_000, 400, 400


def read(line: Line) -> Signals:
    """The signals in a message; none for what means nothing."""
    message = decoded(line.data)
    base: dict[str, Any] = {"at": line.at, "source": line.source, "note": note(line.data)}
    own = table(message, "andon")
    match text(message, "method"):
        case "session/update":
            return _update(base, table(message, "params", "update"), own)
        case "session/request_permission":
            return _permission(base, message, own)
        case "session/prompt":
            words = "\n".join(text(block, "text") for block in rows(message, "params", "prompt"))
            return (TurnBegan(**base, turn=_name(message), prompt=words[:PROMPT]),)
    if text(own, "settled"):
        return (AskSettled(**base, ask=text(own, "settled"), how=text(own, "how")[:TARGET]),)
    if "ended" in own:
        return (Ended(**base, because=text(own, "ended")[:TARGET]),)
    if text(own, "conversation"):
        return (Began(**base, conversation=text(own, "conversation")),)
    return _response(base, message, own)


def _response(base: dict[str, Any], message: dict[str, Any], own: dict[str, Any]) -> Signals:
    """The answer to a request: of a prompt when it names why the turn stopped, of a new session when it names that."""
    result, error = table(message, "result"), table(message, "error")
    if error:
        more = text(error, "data", "details") or text(error, "data", "message") or text(error, "data")
        words = f"{text(error, 'message')} {more}".strip()
        code = count(error, "code") or count(error, "data", "status") or count(error, "data", "statusCode")
        trouble = "auth" if number(error, "code") == -32000 else trouble_of(words, code)
        return (TurnFailed(**base, trouble=trouble, text=words[:WORDS]),)
    if text(result, "sessionId"):
        return (Began(**base, conversation=text(result, "sessionId"), model=text(result, "models", "currentModelId")),)
    chosen = table(result, "outcome")
    if chosen:
        return (AskSettled(**base, ask=_name(message), how=text(chosen, "optionId") or text(chosen, "outcome")),)
    stop = text(result, "stopReason")
    if not stop:
        return ()
    used = _used(base, message, table(result, "usage"))
    words = text(own, "text")[:WORDS]
    if stop in STOPS:
        return (*used, TurnFailed(**base, trouble=STOPS[stop], text=words or stop))
    return (*used, TurnEnded(**base, turn=_name(message), text=words))


def _used(base: dict[str, Any], message: dict[str, Any], usage: dict[str, Any]) -> Signals:
    """Tokens of a turn, from agents that tell them with its end."""
    told = {"input": count(usage, "inputTokens"), "output": count(usage, "outputTokens") + count(usage, "thoughtTokens"),
            "cache_read": count(usage, "cachedReadTokens"), "cache_write": count(usage, "cachedWriteTokens")}
    if not any(told.values()):
        return ()
    return (Usage(**base, key=f"turn {_name(message)}", input=told["input"], output=told["output"], cache_read=told["cache_read"],
                  cache_write=told["cache_write"]),)


def _update(base: dict[str, Any], update: dict[str, Any], own: dict[str, Any]) -> Signals:
    match text(update, "sessionUpdate"):
        case "agent_message_chunk" | "agent_thought_chunk":
            characters = count(own, "characters") or len(text(update, "content", "text"))
            return (Spoke(**base, characters=characters),)
        case "plan" | "plan_update":
            return (Spoke(**base),)
        case "tool_call" | "tool_call_update":
            return _tool(base, update)
        case "usage_update":
            return _context(base, update)
    return ()


def _tool(base: dict[str, Any], update: dict[str, Any]) -> Signals:
    """A tool's beginning, its going on, its end. An end that comes with the first word is both."""
    call, state = text(update, "toolCallId"), text(update, "status")
    first = text(update, "sessionUpdate") == "tool_call"
    if not call:
        return ()
    found: list[AnySignal] = []
    if first or state == "in_progress":
        given = update.get("rawInput")
        what = given if isinstance(given, dict) and given else text(update, "title")
        found.append(ToolBegan(**base, call=call, name=text(update, "kind") or text(update, "title")[:80], target=_target(update),
                               digest=digest(text(update, "kind"), what) if what else ""))
    if state in ("completed", "failed"):
        result = update.get("rawOutput") or update.get("content") or ""
        found.append(ToolEnded(**base, call=call, ok=state == "completed", digest=digest(result)))
    return tuple(found)


def _target(told: dict[str, Any]) -> str:
    given = table(told, "rawInput")
    named = next((text(given, key) for key in TARGETS if text(given, key)), "")
    return (named or next(iter(_paths(told)), "") or text(told, "title"))[:TARGET]


def _paths(told: dict[str, Any]) -> tuple[str, ...]:
    """Absolute paths that a tool call names."""
    given = table(told, "rawInput")
    named = [text(one, "path") for one in (*rows(told, "locations"), *rows(told, "content"))]
    named += [text(given, key) for key in ("file_path", "filePath", "path", "abs_path", "filepath")]
    return tuple(dict.fromkeys(one for one in named if one.startswith("/")))[:50]


def _permission(base: dict[str, Any], message: dict[str, Any], own: dict[str, Any]) -> Signals:
    call = table(message, "params", "toolCall")
    kind = text(call, "kind")
    ask = text(own, "ask") or _name(message)
    if not ask:
        return ()
    return (PermissionWanted(**base, ask=ask, tool=kind or text(call, "title")[:80], deed=DEEDS.get(kind, "other"),
                             target=_target(call), paths=_paths(call)),)


def _context(base: dict[str, Any], update: dict[str, Any]) -> Signals:
    """How full the window is, and what the whole conversation cost so far where the agent says so in dollars."""
    size, used = number(update, "size"), number(update, "used")
    usd = number(update, "cost", "amount") if text(update, "cost", "currency") == "USD" else 0
    share = min(1.0, used / size) if size > 0 else None
    if share is None and not usd:
        return ()
    return (Usage(**base, key="total" if usd else "context", usd=float(usd) or None, context=share),)


def _name(message: dict[str, Any]) -> str:
    """The id of a message as a word, with the sitting it belongs to."""
    named = message.get("id")
    told = str(named) if isinstance(named, int | str) and not isinstance(named, bool) else ""
    sitting = text(message, "andon", "sitting")
    return f"{sitting}.{told}" if sitting and told else told
