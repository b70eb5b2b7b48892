"""What opencode says, as signals: events of its server, and lines of `opencode run --format json`. Pure; knows no connection.

Theory of operation. Each event says its own thing; nothing is remembered from line to line. What only the channel can know
(whose helper a session is, what the last words of a turn were) stands in the event under `andon`, see `opencode_feed`.
"""

from collections.abc import Callable
from typing import Any, Literal

from andon.schema.health import Source, Trouble
from andon.schema.signals import (
    AnswerWanted,
    AnySignal,
    AskSettled,
    Began,
    Compacting,
    Helper,
    Line,
    PermissionWanted,
    Retrying,
    Spoke,
    ToolBegan,
    ToolEnded,
    TurnBegan,
    TurnEnded,
    TurnFailed,
    Usage,
)

from .acp_fields import count, decoded, digest, note, number, rows, table, text, texts

Deed = Literal["shell", "edit", "read", "fetch", "mcp", "other"]
Signals = tuple[AnySignal, ...]
DEEDS: dict[str, Deed] = {
    "bash": "shell", "edit": "edit", "write": "edit", "patch": "edit", "apply_patch": "edit", "multiedit": "edit", "read": "read",
    "glob": "read", "grep": "read", "list": "read", "lsp": "read", "webfetch": "fetch", "websearch": "fetch", "codesearch": "fetch",
    "external_directory": "other", "task": "other", "skill": "other", "question": "other", "todowrite": "other",
    "todoread": "other", "doom_loop": "other", "plan_enter": "other", "plan_exit": "other",
}
"""opencode's own names of what it asks for; another name is a tool of an MCP server."""
NAMED: dict[str, Trouble] = {"MessageAbortedError": "interrupted", "ProviderAuthError": "auth", "ContextOverflowError": "context"}
TARGETS = ("command", "filePath", "path", "url", "pattern", "description", "query")
"""Where a tool's arguments name what it works on."""
WORDS, PROMPT, TARGET = 2_000, 400, 400


class Said:
    """One event on its way to signals."""

    def __init__(self, line: Line) -> None:
        self.at: int = line.at
        self.source: Source = line.source
        self.note = note(line.data)
        self.data = decoded(line.data)
        self.type = text(self.data, "type")
        self.props = table(self.data, "properties")
        self.andon = table(self.data, "andon")
        self.session = text(self.props, "sessionID") or text(self.props, "info", "id")

    @property
    def base(self) -> dict[str, Any]:
        """The fields of every signal."""
        return {"at": self.at, "source": self.source, "note": self.note}


def read(line: Line) -> Signals:
    """The signals in a line; none for what means nothing."""
    said = Said(line)
    reader = EVENTS.get(said.type)
    return reader(said) if reader else ()


def _created(said: Said) -> Signals:
    info = table(said.props, "info")
    if text(info, "parentID"):
        return (Helper(**said.base, helper=said.session),)
    return (Began(**said.base, conversation=said.session, model=text(info, "model", "id")),)


def _status(said: Said) -> Signals:
    return status(said, table(said.props, "status"))


def status(said: Said, told: dict[str, Any]) -> Signals:
    """A session's own word on what it does. `idle` is said by `session.idle` as well, which counts."""
    match text(told, "type"):
        case "busy":
            return (Spoke(**said.base),)
        case "retry":
            trouble = trouble_of(0, text(told, "message"))
            return (Retrying(**said.base, trouble=trouble, until=count(told, "next"), tries=count(told, "attempt")),)
    return ()


def _idle(said: Said) -> Signals:
    if said.andon.get("helper") is True:
        return (Helper(**said.base, helper=said.session, ended=True),)
    return (TurnEnded(**said.base, text=text(said.andon, "text")[:WORDS]),)


def _error(said: Said) -> Signals:
    if said.andon.get("helper") is True:
        return ()
    error = table(said.props, "error") or table(said.data, "error")
    return (TurnFailed(**said.base, trouble=trouble_in(error), text=error_text(error), until=_until(said, error)),)


def trouble_in(error: dict[str, Any]) -> Trouble:
    """What kind of failure an error object of opencode is."""
    if text(error, "name") in NAMED:
        return NAMED[text(error, "name")]
    data = table(error, "data")
    words = f"{text(data, 'message')} {text(data, 'responseBody')}"
    return trouble_of(count(data, "statusCode"), words, retryable=bool(data.get("isRetryable")))


def trouble_of(code: int, words: str, *, retryable: bool = False) -> Trouble:
    """A kind of failure from an HTTP status (0: not told) and the words."""
    low = words.lower()
    if "insufficient_quota" in low or "quota" in low or "billing" in low or "credit balance" in low:
        return "quota"
    if code in (401, 403) or "api key" in low or "api-key" in low or "unauthorized" in low or "authentication" in low:
        return "auth"
    if code == 429 or "rate limit" in low or "too many requests" in low or "rate_limit" in low:
        return "rate-limit"
    if code in (503, 529) or "overloaded" in low:
        return "overloaded"
    if "context_length" in low or "context length" in low or "context window" in low or "prompt is too long" in low:
        return "context"
    if code >= 500 or "server error" in low or "internal error" in low:
        return "server"
    unreachable = ("connect", "network", "socket", "econn", "timeout", "timed out", "fetch failed", "dns", "terminated")
    return "network" if (not code and retryable) or any(word in low for word in unreachable) else "unknown"


def error_text(error: dict[str, Any]) -> str:
    """The words of an error object."""
    return (text(error, "data", "message") or text(error, "message") or text(error, "name"))[:WORDS]


def _until(said: Said, error: dict[str, Any]) -> int:
    after = text(error, "data", "responseHeaders", "retry-after")
    return said.at + int(after) * 1000 if after.isascii() and after.isdigit() and len(after) < 8 else 0


def _permission(said: Said) -> Signals:
    return permission(said, said.props)


def permission(said: Said, asked: dict[str, Any]) -> Signals:
    """A request to use a tool."""
    name = text(asked, "permission") or text(asked, "type")
    if not text(asked, "id") or not name:
        return ()
    known = table(asked, "metadata")
    patterns = texts(rows(asked, "patterns") or rows(asked, "pattern") or [text(asked, "pattern")])
    files = [text(known, key) for key in ("filepath", "filePath", "path", "parentDir")]
    files += [text(one, "filePath") or text(one, "filepath") for one in rows(known, "files")]
    files += [pattern.removesuffix("/*").removesuffix("/**") for pattern in patterns if name == "external_directory"]
    target = text(known, "command") or text(known, "url") or next((one for one in files if one), "") or ", ".join(patterns)
    deed = DEEDS.get(name, "mcp")
    paths = tuple(dict.fromkeys(one for one in files if one.startswith("/")))
    return (PermissionWanted(**said.base, ask=text(asked, "id"), tool=name, deed=deed,
                             target=(name if deed == "mcp" else target)[:WORDS], paths=paths),)


def _settled(said: Said) -> Signals:
    ask = text(said.props, "requestID") or text(said.props, "permissionID")
    how = text(said.props, "reply") or text(said.props, "response") or text(said.props, "how")
    answers = [", ".join(texts(one)) for one in rows(said.props, "answers") if isinstance(one, list)]
    how = how or "; ".join(answers) or said.type.rpartition(".")[2]
    return (AskSettled(**said.base, ask=ask, how=how[:TARGET]),) if ask else ()


def _question(said: Said) -> Signals:
    return question(said, said.props)


def question(said: Said, asked: dict[str, Any]) -> Signals:
    """A question to a person. Several in one are put as one text; only a single one keeps its options."""
    put = [one for one in rows(asked, "questions") if isinstance(one, dict)]
    if not text(asked, "id"):
        return ()
    labels = tuple(text(option, "label") for option in rows(put[0], "options")) if len(put) == 1 else ()
    words = "\n".join(text(one, "question") for one in put)
    return (AnswerWanted(**said.base, ask=text(asked, "id"), text=words[:WORDS], options=labels),)


def _part(said: Said) -> Signals:
    part = table(said.props, "part") or table(said.data, "part")
    match text(part, "type"):
        case "tool":
            return _tool(said, part)
        case "text":
            return _text(said, part)
        case "reasoning":
            return (Spoke(**said.base),)
        case "step-finish":
            return _usage(said, text(part, "messageID"), part, "")
        case "compaction":
            return (Compacting(**said.base),)
    return ()


def _text(said: Said, part: dict[str, Any]) -> Signals:
    """Text with no time of its own is what somebody asked; the model's text has one, and an end when it is whole."""
    words = text(part, "text")
    if not table(part, "time"):
        meant = words and not any(flag is True for flag in (part.get("synthetic"), part.get("ignored"), said.andon.get("helper")))
        return (TurnBegan(**said.base, turn=text(part, "messageID"), prompt=words[:PROMPT]),) if meant else ()
    return (Spoke(**said.base, text=words[:WORDS]),) if words else ()


def _tool(said: Said, part: dict[str, Any]) -> Signals:
    state, name, call = table(part, "state"), text(part, "tool"), text(part, "callID")
    if not call:
        return ()
    match text(state, "status"):
        case "pending":
            return (Spoke(**said.base),)
        case "running":
            return (_begun(said, part),)
        case "completed" | "error" as end:
            ok = end == "completed" and not number(state, "metadata", "exit")
            result = text(state, "output") if end == "completed" else text(state, "error")
            ended = ToolEnded(**said.base, call=call, ok=ok, digest=digest(result))
            helper = text(state, "metadata", "sessionId") if name == "task" else ""
            return (ended, Helper(**said.base, helper=helper, ended=True)) if helper else (ended,)
    return ()


def _begun(said: Said, part: dict[str, Any]) -> ToolBegan:
    name, given = text(part, "tool"), table(part, "state", "input")
    target = next((text(given, key) for key in TARGETS if text(given, key)), "")
    return ToolBegan(**said.base, call=text(part, "callID"), name=name, target=target[:TARGET], digest=digest(name, given))


def _usage(said: Said, key: str, told: dict[str, Any], model: str) -> Signals:
    """Tokens of one message. A price of nothing is no price: opencode says 0 when it does not know the model's."""
    tokens = table(told, "tokens")
    sent, given = count(tokens, "input"), count(tokens, "output") + count(tokens, "reasoning")
    kept, stored = count(tokens, "cache", "read"), count(tokens, "cache", "write")
    if not key or not (sent or given or kept or stored):
        return ()
    return (Usage(**said.base, key=key, model=model, usd=float(number(told, "cost")) or None, input=sent, output=given,
                  cache_read=kept, cache_write=stored),)


def _message(said: Said) -> Signals:
    info = table(said.props, "info")
    if text(info, "role") != "assistant" or not number(info, "time", "completed"):
        return ()
    return _usage(said, text(info, "id"), info, text(info, "modelID"))


def _delta(said: Said) -> Signals:
    return (Spoke(**said.base, characters=count(said.andon, "characters") or len(text(said.props, "delta"))),)


def _compacted(said: Said) -> Signals:
    return (Compacting(**said.base, done=True),)


def _now(said: Said) -> Signals:
    """What is true at the moment the channel came through."""
    told = said.props
    found: list[AnySignal] = []
    if said.session:
        found.append(Began(**said.base, conversation=said.session, model=text(told, "model")))
    state = table(told, "status")
    if text(state, "type") in ("busy", "retry"):
        found += (TurnBegan(**said.base, turn=text(told, "turn")), *status(said, state))
    elif table(told, "error"):
        error = table(told, "error")
        found.append(TurnFailed(**said.base, trouble=trouble_in(error), text=error_text(error)))
    elif told.get("over") is True:
        found.append(TurnEnded(**said.base, text=text(told, "text")[:WORDS]))
    for one in rows(told, "permissions"):
        found += permission(said, one if isinstance(one, dict) else {})
    for one in rows(told, "questions"):
        found += question(said, one if isinstance(one, dict) else {})
    return tuple(found)


def _fault(said: Said) -> Signals:
    """The channel cannot come through, and waiting will not mend it."""
    return (TurnFailed(**said.base, trouble="unknown", text=text(said.props, "message")[:WORDS]),)


def _run_step(said: Said) -> Signals:
    conversation = text(said.data, "sessionID")
    return (Began(**said.base, conversation=conversation), Spoke(**said.base)) if conversation else ()


def _run_tool(said: Said) -> Signals:
    """`run` tells of a tool once, when it ended."""
    part = table(said.data, "part")
    return (_begun(said, part), *_tool(said, part)) if text(part, "callID") else ()


def _run_finish(said: Said) -> Signals:
    part = table(said.data, "part")
    used = _usage(said, text(part, "messageID") or text(part, "id"), part, "")
    last = text(part, "reason") in ("stop", "length", "end_turn")
    return (*used, TurnEnded(**said.base)) if last else used


EVENTS: dict[str, Callable[[Said], Signals]] = {
    "session.created": _created, "session.status": _status, "session.idle": _idle, "session.error": _error,
    "session.compacted": _compacted, "permission.asked": _permission, "permission.updated": _permission,
    "permission.replied": _settled, "question.asked": _question, "question.replied": _settled, "question.rejected": _settled,
    "message.part.updated": _part, "message.part.delta": _delta, "message.updated": _message,
    "andon.now": _now, "andon.ask.gone": _settled, "andon.fault": _fault,
    "step_start": _run_step, "tool_use": _run_tool, "text": _part, "step_finish": _run_finish, "error": _error,
}
"""A reader for each kind of event that means something."""
