"""What Claude Code's hooks, transcript lines and JSON output mean in the normal form. Pure and total; knows no session."""

from collections.abc import Callable, Mapping
from typing import Literal

from andon.schema.signals import (
    AnswerWanted,
    AnySignal,
    AskSettled,
    Began,
    Compacting,
    Ended,
    Helper,
    Line,
    PermissionWanted,
    Retrying,
    Spoke,
    Took,
    ToolBegan,
    ToolEnded,
    TurnBegan,
    TurnEnded,
    TurnFailed,
    Usage,
)

from .reading import (
    LAST_WORDS_LIMIT,
    PROMPT_LIMIT,
    TARGET_LIMIT,
    Object,
    absolute,
    amount,
    cut,
    digest,
    inner,
    items,
    note,
    number,
    passed,
    payload,
    trouble_of,
    words,
)

Deed = Literal["shell", "edit", "read", "fetch", "mcp", "other"]
DEEDS: Mapping[str, Deed] = {
    "Bash": "shell", "PowerShell": "shell", "Read": "read", "Glob": "read", "Grep": "read", "LS": "read", "Write": "edit",
    "Edit": "edit", "MultiEdit": "edit", "NotebookEdit": "edit", "WebFetch": "fetch", "WebSearch": "fetch",
}
QUESTION = "AskUserQuestion"
INTERRUPTED = "[Request interrupted by user"
GOES_ON = ("clear", "resume")
"""Reasons of a SessionEnd after which the program goes on with another conversation."""
Signals = tuple[AnySignal, ...]


def read(line: Line) -> Signals:
    """The signals in a line of any source. Never raises."""
    if line.source in ("gateway", "process", "pane", "outbox"):
        return passed(line)
    data = payload(line)
    if line.source == "hook":
        reader = _HOOKS.get(words(data, "hook_event_name"))
        return reader(line, data) if reader else ()
    if line.source in ("stdout", "transcript"):
        reader = _LINES.get(words(data, "type"))
        return reader(line, data) if reader else ()
    return ()


# --- hooks -------------------------------------------------------------------------------------------------------------


def _session_start(line: Line, data: Object) -> Signals:
    return (Began(at=line.at, source=line.source, note=note(line), conversation=words(data, "session_id"),
                  transcript=words(data, "transcript_path"), model=words(data, "model")),)


def _prompt(line: Line, data: Object) -> Signals:
    return (TurnBegan(at=line.at, source=line.source, note=note(line), turn=words(data, "prompt_id"),
                      prompt=cut(words(data, "prompt"), PROMPT_LIMIT)),)


def _tool_begins(line: Line, data: Object) -> Signals:
    name, given = words(data, "tool_name"), inner(data, "tool_input")
    call = words(data, "tool_use_id") or digest(name, given)
    return (ToolBegan(at=line.at, source=line.source, note=note(line), call=call, name=name, target=target(name, given),
                      digest=digest(name, given)),)


def _tool_ends(line: Line, data: Object) -> Signals:
    name, given = words(data, "tool_name"), inner(data, "tool_input")
    call = words(data, "tool_use_id") or digest(name, given)
    ok = words(data, "hook_event_name") == "PostToolUse"
    ended = ToolEnded(at=line.at, source=line.source, note=note(line), call=call, ok=ok,
                      digest=digest(data.get("tool_response") if ok else data.get("error")))
    if data.get("is_interrupt") is True:
        return (ended, TurnFailed(at=line.at, source=line.source, note=note(line), trouble="interrupted"))
    return (ended,)


def _permission(line: Line, data: Object) -> Signals:
    name, given = words(data, "tool_name"), inner(data, "tool_input")
    ask = words(data, "andon_ask")
    named = ask or digest(words(data, "session_id"), words(data, "prompt_id"), name, given)
    ours = bool(ask) and data.get("andon_gone") is not True
    if name == QUESTION:
        return (AnswerWanted(at=line.at, source=line.source, note=note(line), ask=named, text=questions(given),
                             options=options(given), answerable=ours),)
    return (PermissionWanted(at=line.at, source=line.source, note=note(line), ask=named, tool=name, deed=deed(name),
                             target=target(name, given), paths=paths(given, words(data, "cwd")), answerable=ours),)


def _settled(line: Line, data: Object) -> Signals:
    return (AskSettled(at=line.at, source=line.source, note=note(line), ask=words(data, "andon_ask"),
                       how=words(data, "andon_how")),)


def _stop(line: Line, data: Object) -> Signals:
    return (TurnEnded(at=line.at, source=line.source, note=note(line), turn=words(data, "prompt_id"),
                      text=cut(words(data, "last_assistant_message"), LAST_WORDS_LIMIT),
                      background=len(items(data, "background_tasks"))),)


def _stop_failure(line: Line, data: Object) -> Signals:
    said = words(data, "last_assistant_message") or words(data, "error_details")
    kind = trouble_of(words(data, "error"))
    narrowed = trouble_of(said)
    closer = narrowed == "context" or (kind, narrowed) in (("rate-limit", "quota"), ("server", "overloaded"), ("server", "network"))
    trouble = narrowed if kind == "unknown" or closer else kind
    return (TurnFailed(at=line.at, source=line.source, note=note(line), trouble=trouble, text=cut(said, LAST_WORDS_LIMIT)),)


def _helper(line: Line, data: Object) -> Signals:
    ended = words(data, "hook_event_name") == "SubagentStop"
    return (Helper(at=line.at, source=line.source, note=note(line), helper=words(data, "agent_id", "agent_type"), ended=ended),)


def _compacting(line: Line, data: Object) -> Signals:
    return (Compacting(at=line.at, source=line.source, note=note(line), done=words(data, "hook_event_name") == "PostCompact"),)


def _session_end(line: Line, data: Object) -> Signals:
    reason = words(data, "reason")
    return () if reason in GOES_ON else (Ended(at=line.at, source=line.source, note=note(line), because=reason),)


# --- lines of the transcript and of JSON output --------------------------------------------------------------------------


def _assistant(line: Line, data: Object) -> Signals:
    message = inner(data, "message")
    told: list[AnySignal] = []
    if data.get("isApiErrorMessage") is True:
        said = " ".join(words(part, "text") for part in items(message, "content"))
        status = number(data, "apiErrorStatus", "status")
        trouble = trouble_of(f"{words(data, 'error')} {said}", status)
        return (TurnFailed(at=line.at, source=line.source, note=note(line), trouble=trouble, text=cut(said, LAST_WORDS_LIMIT)),)
    if data.get("isSidechain") is not True:
        for part in items(message, "content"):
            if words(part, "type") == "tool_use":
                name, given = words(part, "name"), inner(part, "input")
                call = words(part, "id") or digest(name, given)
                told.append(ToolBegan(at=line.at, source=line.source, note=note(line), call=call, name=name,
                                      target=target(name, given), digest=digest(name, given)))
            elif words(part, "type") == "text":
                text = words(part, "text")
                told.append(Spoke(at=line.at, source=line.source, note=note(line), characters=len(text), text=cut(text)))
    usage = inner(message, "usage")
    if line.source == "transcript" and usage and words(message, "model") != "<synthetic>":
        told.append(_usage(line, words(message, "id") or words(data, "uuid"), words(message, "model"), usage))
    if line.source == "transcript" and words(message, "stop_reason") == "end_turn" and isinstance(told[0] if told else None, Spoke):
        said = " ".join(words(part, "text") for part in items(message, "content"))
        told.append(TurnEnded(at=line.at, source=line.source, note=note(line), text=cut(said, LAST_WORDS_LIMIT)))
    return tuple(told)


def _user(line: Line, data: Object) -> Signals:
    if data.get("isSidechain") is True or data.get("isMeta") is True or data.get("isCompactSummary") is True:
        return ()
    message = inner(data, "message")
    text = words(message, "content") or " ".join(words(part, "text") for part in items(message, "content"))
    if text.startswith(INTERRUPTED):
        return (TurnFailed(at=line.at, source=line.source, note=note(line), trouble="interrupted", text=cut(text)),)
    results: Signals = tuple(
        ToolEnded(at=line.at, source=line.source, note=note(line), call=words(part, "tool_use_id"),
                  ok=part.get("is_error") is not True, digest=digest(part.get("content")))
        for part in items(message, "content") if words(part, "type") == "tool_result")
    if results or not text or line.source != "transcript":
        return results
    return (TurnBegan(at=line.at, source=line.source, note=note(line), turn=words(data, "promptId"),
                      prompt=cut(text, PROMPT_LIMIT)),)


def _attachment(line: Line, data: Object) -> Signals:
    """What was typed while it worked is attached to the next model call."""
    given = inner(data, "attachment")
    text = words(given, "prompt") if words(given, "type") == "queued_command" else ""
    return (Took(at=line.at, source=line.source, note=note(line), prompt=cut(text, PROMPT_LIMIT)),) if text else ()


def _system(line: Line, data: Object) -> Signals:
    kind = words(data, "subtype")
    if kind == "init":
        return (Began(at=line.at, source=line.source, note=note(line), conversation=words(data, "session_id"),
                      model=words(data, "model")),)
    if kind in ("api_retry", "api_error"):
        wait = number(data, "retry_delay_ms", "retryInMs")
        status = number(data, "error_status") or number(inner(data, "error"), "status")
        kind_of = words(data, "error") or words(inner(data, "error", "error", "error"), "type", "message")
        return (Retrying(at=line.at, source=line.source, note=note(line), trouble=trouble_of(kind_of, status),
                         until=line.at + wait if wait else 0, tries=number(data, "attempt", "retryAttempt")),)
    if kind == "compact_boundary":
        return (Compacting(at=line.at, source=line.source, note=note(line), done=True),)
    return ()


def _result(line: Line, data: Object) -> Signals:
    said, kind = words(data, "result"), words(data, "subtype")
    over: AnySignal
    if data.get("is_error") is True or kind != "success":
        over = TurnFailed(at=line.at, source=line.source, note=note(line), trouble=trouble_of(f"{said} {kind}"),
                          text=cut(said, LAST_WORDS_LIMIT))
    else:
        over = TurnEnded(at=line.at, source=line.source, note=note(line), text=cut(said, LAST_WORDS_LIMIT))
    models = inner(data, "modelUsage")
    model = next(iter(sorted(str(name) for name in models)), "") if len(models) == 1 else ""
    usage = inner(data, "usage")
    return (over, _usage(line, "total", model, usage, amount(data, "total_cost_usd"))) if usage else (over,)


def _usage(line: Line, key: str, model: str, usage: Object, usd: float | None = None) -> Usage:
    """The tokens of one message, or of all."""
    return Usage(at=line.at, source=line.source, note=note(line), key=key, model=model, usd=usd,
                 input=number(usage, "input_tokens"), output=number(usage, "output_tokens"),
                 cache_read=number(usage, "cache_read_input_tokens"), cache_write=number(usage, "cache_creation_input_tokens"))


# --- tools -------------------------------------------------------------------------------------------------------------


def deed(name: str) -> Deed:
    """What kind of deed a tool is."""
    return "mcp" if name.startswith("mcp__") else DEEDS.get(name, "other")


def target(name: str, given: Object) -> str:
    """The command, path or address of a call; `server.tool` for a tool of an MCP server."""
    if name.startswith("mcp__"):
        return cut(name.removeprefix("mcp__").replace("__", ".", 1), TARGET_LIMIT)
    named = words(given, "command", "file_path", "notebook_path", "url", "path", "pattern", "query", "description")
    return cut(named, TARGET_LIMIT)


def paths(given: Object, cwd: str) -> tuple[str, ...]:
    """The absolute paths that a call names."""
    named = (words(given, key) for key in ("file_path", "notebook_path", "path"))
    return tuple(path for path in (absolute(one, cwd) for one in named if one) if path)


def questions(given: Object) -> str:
    """What is asked, all of it."""
    return cut("\n".join(words(one, "question") for one in items(given, "questions")), LAST_WORDS_LIMIT)


def options(given: Object) -> tuple[str, ...]:
    """The offered answers, when there is one question; with several, only words can answer."""
    asked = items(given, "questions")
    return tuple(words(one, "label") for one in items(asked[0], "options")[:20]) if len(asked) == 1 else ()


Reader = Callable[[Line, Object], Signals]
_HOOKS: Mapping[str, Reader] = {
    "SessionStart": _session_start, "UserPromptSubmit": _prompt, "PreToolUse": _tool_begins, "PostToolUse": _tool_ends,
    "PostToolUseFailure": _tool_ends, "PermissionDenied": _tool_ends, "PermissionRequest": _permission, "AskSettled": _settled,
    "Stop": _stop, "StopFailure": _stop_failure, "SubagentStart": _helper, "SubagentStop": _helper, "PreCompact": _compacting,
    "PostCompact": _compacting, "SessionEnd": _session_end,
}
_LINES: Mapping[str, Reader] = {
    "attachment": _attachment, "assistant": _assistant, "user": _user, "system": _system, "result": _result,
}
