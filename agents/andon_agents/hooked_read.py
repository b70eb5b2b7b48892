"""What hook events mean in the normal form, by a table of the agent. Pure and total; names no agent."""

import json
import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Literal

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
    ToolBegan,
    ToolEnded,
    TurnBegan,
    TurnEnded,
    TurnFailed,
)

from .reading import (
    LAST_WORDS_LIMIT,
    PROMPT_LIMIT,
    TARGET_LIMIT,
    Object,
    absolute,
    cut,
    digest,
    inner,
    items,
    note,
    passed,
    payload,
    trouble_of,
    words,
)

if TYPE_CHECKING:
    from andon.schema.health import Trouble

Deed = Literal["shell", "edit", "read", "fetch", "mcp", "other"]
Meaning = Literal[
    "began", "turn-began", "tool-began", "tool-ended", "tool-failed", "permission-wanted", "notification", "retrying", "turn-ended",
    "turn-failed", "helper-began", "helper-ended", "compacting", "compacted", "ended",
]
"""What an event means."""
PERMISSION_NOTICES = ("ToolPermission",)
"""Kinds of a notification that say a permission is asked for on the screen."""
_KINDS: Mapping[str, Deed] = {"exec": "shell", "edit": "edit", "info": "fetch", "mcp": "mcp"}
_GROUP = re.compile(r"^Process Group PGID: \d+$", re.MULTILINE)
Signals = tuple[AnySignal, ...]


def read(line: Line, events: Mapping[str, Meaning], deeds: Mapping[str, Deed], *, answers: bool) -> Signals:
    """The signals in a line. Never raises."""
    if line.source in ("gateway", "process", "pane", "outbox"):
        return passed(line)
    if line.source != "hook":
        return ()
    data = payload(line)
    event = words(data, "hook_event_name")
    if event == "AskSettled":
        return (AskSettled(at=line.at, source=line.source, note=note(line), ask=words(data, "andon_ask"),
                           how=words(data, "andon_how")),)
    meaning = events.get(event)
    return _READERS[meaning](line, data, meaning, deeds, answers) if meaning else ()


def _began(line: Line, data: Object, _meaning: Meaning, _deeds: Mapping[str, Deed], _answers: bool) -> Signals:
    return (Began(at=line.at, source=line.source, note=note(line), conversation=words(data, "session_id", "sessionId"),
                  transcript=words(data, "transcript_path", "transcriptPath"), model=words(data, "model")),)


def _turn_began(line: Line, data: Object, _meaning: Meaning, _deeds: Mapping[str, Deed], _answers: bool) -> Signals:
    prompt = words(data, "prompt")
    if not prompt:
        return ()
    return (TurnBegan(at=line.at, source=line.source, note=note(line), turn=words(data, "turn_id", "prompt_id", "turnId"),
                      prompt=cut(prompt, PROMPT_LIMIT)),)


def _tool(line: Line, data: Object, meaning: Meaning, _deeds: Mapping[str, Deed], _answers: bool) -> Signals:
    name, given = _called(data)
    call = words(data, "tool_use_id", "toolUseId", "toolCallId", "tool_call_id") or digest(name, given)
    if meaning == "tool-began":
        return (ToolBegan(at=line.at, source=line.source, note=note(line), call=call, name=name, target=_target(given),
                          digest=digest(name, given)),)
    result = data.get("tool_response", data.get("toolResult", data.get("error")))
    kind = words(inner(data, "toolResult"), "resultType")
    said = inner(data, "tool_response").get("error")
    failed = meaning == "tool-failed" or kind in ("failure", "denied", "rejected") or bool(said)
    return (ToolEnded(at=line.at, source=line.source, note=note(line), call=call, ok=not failed, digest=_came_to(result)),)


def _came_to(result: object) -> str:
    """The digest of a result, without the process group that a shell command had: that differs from run to run."""
    if isinstance(result, dict) and isinstance(result.get("llmContent"), str):
        return digest(_GROUP.sub("", result["llmContent"]))
    return digest(result)


def _permission(line: Line, data: Object, _meaning: Meaning, deeds: Mapping[str, Deed], answers: bool) -> Signals:
    name, given = _called(data)
    ask = words(data, "andon_ask")
    named = ask or digest(words(data, "session_id", "sessionId"), name, given)
    open_still = bool(ask) and answers and data.get("andon_gone") is not True
    questions = items(given, "questions")
    if questions:
        text = "\n".join(words(one, "question") for one in questions)
        options = tuple(words(one, "label") for one in items(questions[0], "options")[:20]) if len(questions) == 1 else ()
        return (AnswerWanted(at=line.at, source=line.source, note=note(line), ask=named, options=options, answerable=open_still,
                             text=cut(text, LAST_WORDS_LIMIT)),)
    return (PermissionWanted(at=line.at, source=line.source, note=note(line), ask=named, tool=name, deed=_deed(name, deeds),
                             target=_target(given), paths=_paths(given, words(data, "cwd")), answerable=open_still),)


def _notification(line: Line, data: Object, _meaning: Meaning, deeds: Mapping[str, Deed], _answers: bool) -> Signals:
    if words(data, "notification_type", "notificationType") not in PERMISSION_NOTICES:
        return ()
    details = inner(data, "details")
    kind = words(details, "type")
    deed = _KINDS.get(kind, "other")
    path = absolute(words(details, "filePath", "fileName"), words(data, "cwd"))
    target = words(details, "command", "rootCommand", "filePath", "fileName", "toolName") or words(data, "message")
    tool = words(details, "toolName", "title") or kind
    ask = words(data, "andon_ask") or digest(line.at, kind, target)
    return (PermissionWanted(at=line.at, source=line.source, note=note(line), ask=ask, tool=tool, deed=deed, answerable=False,
                             target=cut(target, TARGET_LIMIT), paths=(path,) if path else ()),)


def _retrying(line: Line, data: Object, _meaning: Meaning, _deeds: Mapping[str, Deed], _answers: bool) -> Signals:
    error = inner(data, "error")
    said = f"{words(error, 'message', 'name')} {words(error, 'name')}" if error else words(data, "error")
    trouble = trouble_of(said)
    if data.get("recoverable") is False:
        return (TurnFailed(at=line.at, source=line.source, note=note(line), trouble=trouble, text=cut(said, LAST_WORDS_LIMIT)),)
    return (Retrying(at=line.at, source=line.source, note=note(line), trouble=trouble),)


def _turn_over(line: Line, data: Object, meaning: Meaning, _deeds: Mapping[str, Deed], _answers: bool) -> Signals:
    text = cut(words(data, "last_assistant_message", "prompt_response", "lastAssistantMessage"), LAST_WORDS_LIMIT)
    why = words(data, "stopReason", "stop_reason")
    if meaning == "turn-failed" or why in ("error", "aborted", "cancelled"):
        trouble: Trouble = "interrupted" if why in ("aborted", "cancelled") else trouble_of(f"{words(data, 'error')} {text}")
        return (TurnFailed(at=line.at, source=line.source, note=note(line), trouble=trouble, text=text),)
    return (TurnEnded(at=line.at, source=line.source, note=note(line), turn=words(data, "turn_id", "prompt_id"), text=text,
                      background=len(items(data, "background_tasks"))),)


def _helper(line: Line, data: Object, meaning: Meaning, _deeds: Mapping[str, Deed], _answers: bool) -> Signals:
    named = words(data, "agent_id", "agentId", "agentName", "agent_type")
    return (Helper(at=line.at, source=line.source, note=note(line), helper=named, ended=meaning == "helper-ended"),)


def _compacting(line: Line, _data: Object, meaning: Meaning, _deeds: Mapping[str, Deed], _answers: bool) -> Signals:
    return (Compacting(at=line.at, source=line.source, note=note(line), done=meaning == "compacted"),)


def _ended(line: Line, data: Object, _meaning: Meaning, _deeds: Mapping[str, Deed], _answers: bool) -> Signals:
    reason = words(data, "reason")
    return () if reason in ("clear", "resume") else (Ended(at=line.at, source=line.source, note=note(line), because=reason),)


def _called(data: Object) -> tuple[str, Object]:
    """The tool's name and its arguments; some agents give the arguments as text."""
    name = words(data, "tool_name", "toolName")
    for key in ("tool_input", "toolArgs", "toolInput"):
        given = inner(data, key)
        if given:
            return name, given
        if words(data, key):
            return name, _decoded(words(data, key))
    return name, {}


def _decoded(text: str) -> Object:
    """An object in a text; the text itself under `text` when it holds none."""
    try:
        told = json.loads(text)
    except (ValueError, RecursionError):
        return {"text": text}
    return told if isinstance(told, dict) else {"text": text}


def _deed(name: str, deeds: Mapping[str, Deed]) -> Deed:
    """What kind of deed a tool is."""
    return "mcp" if name.startswith("mcp_") else deeds.get(name, "other")


def _target(given: Object) -> str:
    """The command, path or address of a call."""
    named = words(given, "command", "cmd", "file_path", "absolute_path", "path", "filePath", "url", "pattern", "query", "text")
    return cut(named, TARGET_LIMIT)


def _paths(given: Object, cwd: str) -> tuple[str, ...]:
    """The absolute paths that a call names."""
    named = (words(given, key) for key in ("file_path", "absolute_path", "path", "filePath"))
    return tuple(path for path in (absolute(one, cwd) for one in named if one) if path)


_READERS: Mapping[Meaning, Callable[[Line, Object, Meaning, Mapping[str, Deed], bool], Signals]] = {
    "began": _began, "turn-began": _turn_began, "tool-began": _tool, "tool-ended": _tool, "tool-failed": _tool,
    "permission-wanted": _permission, "notification": _notification, "retrying": _retrying, "turn-ended": _turn_over,
    "turn-failed": _turn_over, "helper-began": _helper, "helper-ended": _helper, "compacting": _compacting,
    "compacted": _compacting, "ended": _ended,
}
