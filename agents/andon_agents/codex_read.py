"""What the app-server of Codex says, as signals. Pure; must never know a socket, a file or a clock.

Theory of operation. A line is one JSON-RPC message. A notification or request is looked up by its method, a response by the
shape of its result (a thread, a page of turns: what was true when the channel attached). Beside what Codex said a message may
hold one key of ours, `andon`, that the channel adds where the message alone does not name things: `server` (which run of the
server, as request ids begin anew with each), `paths` (of a patch that waits for approval), `until` (the reset of a limit).
"""

import re
from collections.abc import Callable
from typing import Any, TypedDict

from andon.schema import signals as s
from andon.schema.health import Source
from andon.schema.signals import NOTE_LIMIT, AnySignal, Line

from .codex_values import LAST_WORDS, at, command, decoded, digest, number, rows, table, tries, trouble, word

Signals = tuple[AnySignal, ...]


class Told(TypedDict):
    """What each signal of one line has in common."""

    at: int
    source: Source
    note: str


def told(line: Line) -> Told:
    """Time, source and the raw words of a line."""
    return Told(at=line.at, source=line.source, note=bytes(line.data)[:NOTE_LIMIT].decode(errors="replace"))


def read_message(line: Line) -> Signals:
    """The signals in one message of the app-server; none for what means nothing."""
    message, seen = decoded(bytes(line.data)), told(line)
    method = message.get("method")
    if isinstance(method, str):
        reader = _METHODS.get(method)
        return reader(message, table(message, "params"), seen) if reader else ()
    return _result(message, seen) if isinstance(message.get("result"), dict) else ()


def ask_name(message: dict[str, Any], request: object) -> str:
    """The name of a server's request: unique over its runs, and fit for a file name."""
    thread, run = word(message, "params", "threadId")[-12:], word(message, "andon", "server")
    return re.sub(r"[^A-Za-z0-9._-]", "_", ".".join(part for part in (thread, run, str(request)[:60]) if part))


def is_own(thread: dict[str, Any]) -> bool:
    """Whether a thread is the session's conversation, not a helper of the program (title, sub-agent, review)."""
    return (bool(word(thread, "id")) and not thread.get("ephemeral") and not thread.get("parentThreadId")
            and thread.get("threadSource") in (None, "user"))


# --- turns -----------------------------------------------------------------------------------------------------------


def _turn_began(message: dict[str, Any], params: dict[str, Any], seen: Told) -> Signals:
    return (s.TurnBegan(**seen, turn=word(params, "turn", "id")),)


def _turn_completed(message: dict[str, Any], params: dict[str, Any], seen: Told) -> Signals:
    return _turn(table(params, "turn"), number(message, "andon", "until"), seen)


def _turn(turn: dict[str, Any], until: int, seen: Told) -> Signals:
    """How a turn stands."""
    name, status = word(turn, "id"), turn.get("status")
    if status == "completed":
        said = [word(item, "text", limit=LAST_WORDS) for item in rows(turn, "items") if at(item, "type") == "agentMessage"]
        return (s.TurnEnded(**seen, turn=name, text=said[-1] if said else ""),)
    if status == "interrupted":
        return (s.TurnFailed(**seen, trouble="interrupted", text="interrupted"),)
    if status == "failed":
        error = table(turn, "error")
        text = word(error, "message", limit=LAST_WORDS)
        return (s.TurnFailed(**seen, trouble=trouble(error), text=text, until=until),)
    return ()


def _turn_now(turn: dict[str, Any], until: int, seen: Told) -> Signals:
    """A turn as its page tells it: that it began, its steps so far, and its end if it has one."""
    name = word(turn, "id")
    found: list[AnySignal] = [s.TurnBegan(**seen, turn=name)]
    for item in rows(turn, "items"):
        if at(item, "type") == "userMessage" or tool_of(item):
            found += item_began(item, name, seen)
            found += item_ended(item, seen) if at(item, "status") not in (None, "inProgress") else ()
    return (*found, *_turn(turn, until, seen))


def _failed_call(message: dict[str, Any], params: dict[str, Any], seen: Told) -> Signals:
    """A failed model call that is tried again; the last failure comes with the end of the turn."""
    if params.get("willRetry") is not True:
        return ()
    error = table(params, "error")
    return (s.Retrying(**seen, trouble=trouble(error), tries=tries(word(error, "message"))),)


# --- items -----------------------------------------------------------------------------------------------------------


def _item_started(message: dict[str, Any], params: dict[str, Any], seen: Told) -> Signals:
    return item_began(params.get("item"), word(params, "turnId"), seen)


def _item_completed(message: dict[str, Any], params: dict[str, Any], seen: Told) -> Signals:
    return item_ended(params.get("item"), seen)


def item_began(item: object, turn: str, seen: Told) -> Signals:
    """A step of a turn began."""
    kind = word(item, "type")
    if kind == "userMessage":
        text = " ".join(word(part, "text") for part in rows(item, "content"))
        return (s.TurnBegan(**seen, turn=turn, prompt=text[:400]),)
    if kind == "contextCompaction":
        return (s.Compacting(**seen),)
    tool = tool_of(item)
    if not tool:
        return ()
    name, target, arguments = tool
    return (s.ToolBegan(**seen, call=word(item, "id"), name=name, target=target,
                      digest=digest(name, arguments)),)


def item_ended(item: object, seen: Told) -> Signals:
    """A step of a turn is over."""
    kind = word(item, "type")
    if kind == "agentMessage":
        text = word(item, "text", limit=LAST_WORDS)
        return (s.Spoke(**seen, characters=len(text), text=text),)
    if kind == "contextCompaction":
        return (s.Compacting(**seen, done=True),)
    if kind == "subAgentActivity":
        ended = at(item, "kind") in ("completed", "failed", "interrupted", "closed", "shutdown")
        return (s.Helper(**seen, helper=word(item, "agentThreadId"), ended=ended),)
    if not tool_of(item):
        return ()
    ok = at(item, "status") in (None, "completed") and not number(item, "exitCode") and at(item, "success") is not False
    output = [at(item, key) for key in ("aggregatedOutput", "exitCode", "result", "error", "contentItems", "status")]
    return (s.ToolEnded(**seen, call=word(item, "id"), ok=ok, digest=digest(output)),)


def tool_of(item: object) -> tuple[str, str, object] | None:
    """Name, target and arguments of the tool call in an item, or None when it is none."""
    kind = word(item, "type")
    if kind == "commandExecution":
        line = command(at(item, "command"))
        return "shell", line, (line, at(item, "cwd"))
    if kind == "fileChange":
        changes = [(word(change, "path"), digest(at(change, "diff"))) for change in rows(item, "changes")]
        return "apply_patch", changes[0][0] if changes else "", changes
    if kind == "mcpToolCall":
        return f"{word(item, 'server')}.{word(item, 'tool')}", "", at(item, "arguments")
    if kind == "dynamicToolCall":
        return word(item, "tool") or kind, "", at(item, "arguments")
    if kind == "collabAgentToolCall":
        return f"agent.{word(item, 'tool')}", word(item, "prompt"), at(item, "prompt")
    if kind in ("webSearch", "imageView", "imageGeneration", "sleep"):
        target = word(item, "query") or word(item, "path")
        return kind, target, (target, at(item, "durationMs"))
    return None


def _spoke(message: dict[str, Any], params: dict[str, Any], seen: Told) -> Signals:
    return (s.Spoke(**seen, characters=len(word(params, "delta", limit=10_000))),)


# --- asks ------------------------------------------------------------------------------------------------------------


def _command_wanted(message: dict[str, Any], params: dict[str, Any], seen: Told) -> Signals:
    host = word(params, "networkApprovalContext", "host")
    line = command(params.get("command"))
    paths = [word(params, "cwd"), *(word(action, "path") for action in rows(params, "commandActions"))]
    return (s.PermissionWanted(
        **seen, ask=ask_name(message, message.get("id")), tool="shell",
        deed="fetch" if host else "shell", target=host or line or word(params, "reason"), paths=_absolute(paths),
    ),)


def _patch_wanted(message: dict[str, Any], params: dict[str, Any], seen: Told) -> Signals:
    named = (*rows(message, "andon", "paths"), params.get("grantRoot"))
    paths = _absolute([path for path in named if isinstance(path, str)])
    return (s.PermissionWanted(
        **seen, ask=ask_name(message, message.get("id")), tool="apply_patch", deed="edit",
        target=paths[0] if paths else word(params, "reason"), paths=paths,
    ),)


def _more_wanted(message: dict[str, Any], params: dict[str, Any], seen: Told) -> Signals:
    files = table(params, "permissions", "fileSystem")
    entries = [word(entry, "path", "path") for entry in rows(files, "entries")]
    listed = [path for key in ("read", "write") for path in rows(files, key) if isinstance(path, str)]
    net = at(params, "permissions", "network", "enabled") is True
    paths = _absolute([*entries, *listed])
    return (s.PermissionWanted(
        **seen, ask=ask_name(message, message.get("id")), tool="request_permissions",
        deed="fetch" if net and not paths else "other", target=word(params, "reason") or "network" * net or "wider permissions",
        paths=paths,
    ),)


def _answer_wanted(message: dict[str, Any], params: dict[str, Any], seen: Told) -> Signals:
    questions = rows(params, "questions")
    options = tuple(word(option, "label") for option in rows(questions[0], "options")) if questions else ()
    text = "\n".join(word(question, "question", limit=LAST_WORDS) for question in questions)
    return (s.AnswerWanted(**seen, ask=ask_name(message, message.get("id")), text=text,
                         options=tuple(option for option in options if option)),)


def _server_wanted(message: dict[str, Any], params: dict[str, Any], seen: Told) -> Signals:
    """A tool server's question, or Codex's own about a call of its tool."""
    name, meta = ask_name(message, message.get("id")), table(params, "_meta")
    if meta.get("codex_approval_kind"):
        tool = word(meta, "tool_name") or word(meta, "tool") or word(meta, "tool_title")
        target = ".".join(part for part in (word(params, "serverName"), tool) if part)
        return (s.PermissionWanted(**seen, ask=name, tool=target, deed="mcp", target=target),)
    text = word(params, "message", limit=LAST_WORDS) or word(params, "url")
    return (s.AnswerWanted(**seen, ask=name, text=text),)


def _settled(message: dict[str, Any], params: dict[str, Any], seen: Told) -> Signals:
    if not isinstance(params.get("requestId"), (int, str)):
        return ()
    how = word(message, "andon", "how")
    return (s.AskSettled(**seen, ask=ask_name(message, params["requestId"]), how=how),)


def _absolute(paths: list[str]) -> tuple[str, ...]:
    """The absolute ones, once each."""
    return tuple(dict.fromkeys(path for path in paths if path.startswith("/")))


# --- the session -----------------------------------------------------------------------------------------------------


def _status(message: dict[str, Any], params: dict[str, Any], seen: Told) -> Signals:
    """A thread's standing, as those see it who hear no requests. The channel hears them and keeps this to itself."""
    ask, flags = f"status.{word(params, 'threadId')[-12:]}", rows(params, "status", "activeFlags")
    if "waitingOnApproval" in flags:
        return (s.PermissionWanted(**seen, ask=ask, tool="", answerable=False),)
    if "waitingOnUserInput" in flags:
        return (s.AnswerWanted(**seen, ask=ask, text="", answerable=False),)
    return (s.AskSettled(**seen, ask=ask),) if word(params, "status", "type") else ()


def _thread_started(message: dict[str, Any], params: dict[str, Any], seen: Told) -> Signals:
    return _began(table(params, "thread"), seen)


def _began(thread: dict[str, Any], seen: Told) -> Signals:
    if not is_own(thread):
        return ()
    return (s.Began(**seen, conversation=word(thread, "id"), model=word(thread, "model"),
                  transcript=word(thread, "path", limit=4_096)),)


def _result(message: dict[str, Any], seen: Told) -> Signals:
    """What was true when the channel attached: the thread, and its last turn."""
    result = table(message, "result")
    if isinstance(result.get("thread"), dict):
        return _began(result["thread"], seen)
    turns = [turn for turn in rows(result, "data") if at(turn, "status") and isinstance(at(turn, "items"), list)]
    return _turn_now(turns[0], number(message, "andon", "until"), seen) if turns else ()


def _usage(message: dict[str, Any], params: dict[str, Any], seen: Told) -> Signals:
    used = table(params, "tokenUsage")
    window, last = number(used, "modelContextWindow"), number(used, "last", "totalTokens")
    cached, written = number(used, "total", "cachedInputTokens"), number(used, "total", "cacheWriteInputTokens")
    taken, given = number(used, "total", "inputTokens"), number(used, "total", "outputTokens")
    if not taken and not given:  # a marker that the window is full, not a sum
        return ()
    return (s.Usage(
        **seen, key="total", input=max(0, taken - cached - written), output=given,
        cache_read=cached, cache_write=written, context=min(1.0, last / window) if window else None,
    ),)


_METHODS: dict[str, Callable[[dict[str, Any], dict[str, Any], Told], Signals]] = {
    "thread/started": _thread_started, "turn/started": _turn_began, "turn/completed": _turn_completed, "error": _failed_call,
    "thread/status/changed": _status, "thread/tokenUsage/updated": _usage, "serverRequest/resolved": _settled,
    "item/started": _item_started, "item/completed": _item_completed, "item/agentMessage/delta": _spoke, "item/plan/delta": _spoke,
    "item/reasoning/summaryTextDelta": _spoke, "item/reasoning/textDelta": _spoke,
    "item/commandExecution/requestApproval": _command_wanted, "item/fileChange/requestApproval": _patch_wanted,
    "item/permissions/requestApproval": _more_wanted, "item/tool/requestUserInput": _answer_wanted,
    "mcpServer/elicitation/request": _server_wanted,
}
