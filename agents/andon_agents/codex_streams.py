"""What else Codex says, as signals: its transcript, hooks, `notify`, and `codex exec --json`. Pure; must never know a file."""

from typing import Any, Literal

from andon.schema import signals as s
from andon.schema.signals import AnySignal, Line

from .codex_read import Signals, Told, told
from .codex_values import LAST_WORDS, at, command, decoded, digest, number, of_words, rows, table, tries, trouble, word

Deed = Literal["shell", "edit", "read", "fetch", "mcp", "other"]
TITLE = "Generate a concise"
"""How the prompt begins with which Codex names a session: no turn of ours."""


def read_stream(line: Line) -> Signals:
    """The signals in one line of a transcript, of JSON output, or in a hook's payload; none for what means nothing."""
    data, seen = decoded(bytes(line.data)), told(line)
    if word(data, "hook_event_name"):
        return _hook(data, seen)
    if isinstance(data.get("payload"), dict):
        return _rollout(data, table(data, "payload"), seen)
    return _notify(data, seen) if data.get("type") == "agent-turn-complete" else _exec(data, seen)


# --- hooks -----------------------------------------------------------------------------------------------------------


def _hook(data: dict[str, Any], seen: Told) -> Signals:
    """A command hook's payload."""
    event, turn = word(data, "hook_event_name"), word(data, "turn_id")
    simple: dict[str, Signals] = {
        "UserPromptSubmit": (s.TurnBegan(**seen, turn=turn, prompt=word(data, "prompt")),),
        "Stop": (s.TurnEnded(**seen, turn=turn, text=word(data, "last_assistant_message", limit=LAST_WORDS)),),
        "Interrupt": (s.TurnFailed(**seen, trouble="interrupted", text="interrupted"),),
        "PreCompact": (s.Compacting(**seen),),
        "PostCompact": (s.Compacting(**seen, done=True),),
        "SubagentStart": (s.Helper(**seen, helper=word(data, "agent_id")),),
        "SubagentStop": (s.Helper(**seen, helper=word(data, "agent_id"), ended=True),),
        "SessionEnd": (s.Ended(**seen, because=word(data, "reason")),),
    }
    if event == "SessionStart" and data.get("source") != "compact":
        return (s.Began(**seen, conversation=word(data, "session_id"), model=word(data, "model"),
                        transcript=word(data, "transcript_path", limit=4_096)),)
    return simple.get(event) or _tool_hook(event, data, seen)


def _tool_hook(event: str, data: dict[str, Any], seen: Told) -> Signals:
    """A hook about a tool call. A request for permission has no id of its own: the same call of the same turn is the same one."""
    name, given = word(data, "tool_name"), table(data, "tool_input")
    line = command(given.get("command"))
    target = line or word(given, "file_path") or word(given, "path")
    ask = f"hook.{digest(word(data, 'turn_id'), name, line or given)}"
    call = word(data, "tool_use_id") or ask
    deed: Deed = "shell" if name == "Bash" else "edit" if name == "apply_patch" else "mcp" if name.startswith("mcp__") else "other"
    if event == "PreToolUse":
        return (s.ToolBegan(**seen, call=call, name=name, target=target, digest=digest(name, given)),)
    if event == "PermissionRequest":
        return (s.PermissionWanted(**seen, ask=ask, tool=name, deed=deed, target=target, answerable=False),)
    if event == "PostToolUse":
        ended = s.ToolEnded(**seen, call=call, digest=digest(data.get("tool_response")))
        return s.AskSettled(**seen, ask=ask), ended
    return ()


def _notify(data: dict[str, Any], seen: Told) -> Signals:
    """The program of `notify` was called: a turn ended, unless it was the one that names the session."""
    if any(isinstance(one, str) and one.lstrip().startswith(TITLE) for one in rows(data, "input-messages")):
        return ()
    text = word(data, "last-assistant-message", limit=LAST_WORDS)
    return (s.TurnEnded(**seen, turn=word(data, "turn-id"), text=text),)


# --- codex exec --json -----------------------------------------------------------------------------------------------


def _exec(data: dict[str, Any], seen: Told) -> Signals:
    """A line of JSON output."""
    kind, item = word(data, "type"), table(data, "item")
    if kind == "thread.started":
        return (s.Began(**seen, conversation=word(data, "thread_id")),)
    if kind == "turn.started":
        return (s.TurnBegan(**seen),)
    if kind == "turn.completed":
        return (*_sum(table(data, "usage"), None, seen), s.TurnEnded(**seen))
    if kind == "turn.failed":
        text = word(data, "error", "message", limit=LAST_WORDS)
        return (s.TurnFailed(**seen, trouble=of_words(text), text=text),)
    if kind == "error" and word(data, "message").startswith("Reconnecting"):
        text = word(data, "message")
        return (s.Retrying(**seen, trouble=of_words(text.partition("(")[2]) if "(" in text else "network", tries=tries(text)),)
    if kind in ("item.started", "item.completed") and item:
        return _exec_item(kind == "item.completed", item, seen)
    return ()


def _exec_item(over: bool, item: dict[str, Any], seen: Told) -> Signals:
    kind, call = word(item, "type"), word(item, "id")
    if kind in ("agent_message", "reasoning"):
        text = word(item, "text", limit=LAST_WORDS)
        return (s.Spoke(**seen, characters=len(text), text=text if kind == "agent_message" else ""),) if over else ()
    line, changes = command(item.get("command")), [word(change, "path") for change in rows(item, "changes")]
    named = {
        "command_execution": ("shell", line, line), "file_change": ("apply_patch", changes[0] if changes else "", changes),
        "mcp_tool_call": (f"{word(item, 'server')}.{word(item, 'tool')}", "", item.get("arguments")),
        "collab_tool_call": (f"agent.{word(item, 'tool')}", word(item, "prompt"), item.get("prompt")),
        "web_search": ("webSearch", word(item, "query"), word(item, "query")),
    }.get(kind)
    if not named:
        return ()
    began = s.ToolBegan(**seen, call=call, name=named[0], target=named[1], digest=digest(named[0], named[2]))
    if not over:
        return (began,)
    ok = item.get("status") in (None, "completed") and not number(item, "exit_code")
    output = digest([item.get(key) for key in ("aggregated_output", "exit_code", "result", "error", "status")])
    ended = s.ToolEnded(**seen, call=call, ok=ok, digest=output)
    return (began, ended) if kind in ("file_change", "web_search") else (ended,)  # these have no beginning of their own


# --- the transcript --------------------------------------------------------------------------------------------------


def _rollout(data: dict[str, Any], payload: dict[str, Any], seen: Told) -> Signals:
    """A line of `sessions/…/rollout-….jsonl`."""
    kind = word(data, "type")
    if kind == "session_meta":
        if payload.get("thread_source") not in (None, "user"):
            return ()
        return (s.Began(**seen, conversation=word(payload, "id")),)
    if kind == "compacted":
        return (s.Compacting(**seen, done=True),)
    if kind == "response_item":
        return _rollout_item(payload, seen)
    return _rollout_event(payload, seen) if kind == "event_msg" else ()


def _rollout_event(payload: dict[str, Any], seen: Told) -> Signals:
    kind, turn, error = word(payload, "type"), word(payload, "turn_id"), table(payload, "error")
    if kind == "task_started":
        return (s.TurnBegan(**seen, turn=turn),)
    if kind == "task_complete" and error:
        return (s.TurnFailed(**seen, trouble=trouble(error), text=word(error, "message", limit=LAST_WORDS)),)
    if kind == "task_complete":
        return (s.TurnEnded(**seen, turn=turn, text=word(payload, "last_agent_message", limit=LAST_WORDS)),)
    if kind == "turn_aborted":
        return (s.TurnFailed(**seen, trouble="interrupted", text=word(payload, "reason") or "interrupted"),)
    if kind == "token_count":
        window, last = number(payload, "info", "model_context_window"), number(payload, "info", "last_token_usage", "total_tokens")
        return _sum(table(payload, "info", "total_token_usage"), min(1.0, last / window) if window else None, seen)
    if kind == "stream_error":
        text = " ".join((word(payload, "message"), word(payload, "additional_details")))
        return (s.Retrying(**seen, trouble=trouble(payload), tries=tries(text)),)
    if kind == "user_message":
        return (s.TurnBegan(**seen, turn=turn, prompt=word(payload, "message")),)
    if kind == "item_completed" and at(payload, "item", "type") == "UserMessage":
        prompt = " ".join(word(part, "text") for part in rows(payload, "item", "content"))
        return (s.TurnBegan(**seen, turn=turn, prompt=prompt[:400]),)
    return ()


def _rollout_item(payload: dict[str, Any], seen: Told) -> Signals:
    """Calls, results and words as the model's conversation holds them."""
    kind, call = word(payload, "type"), word(payload, "call_id")
    if kind in ("function_call", "custom_tool_call", "local_shell_call"):
        given = decoded(word(payload, "arguments", limit=1_000_000).encode(errors="replace")) or table(payload, "action")
        name = word(payload, "name") or "shell"
        target = command(given.get("cmd") or given.get("command")) or word(given, "path") or word(given, "file_path")
        arguments = given or word(payload, "input", limit=1_000_000)
        return (s.ToolBegan(**seen, call=call, name=name, target=target, digest=digest(name, arguments)),)
    if kind in ("function_call_output", "custom_tool_call_output"):
        return (s.ToolEnded(**seen, call=call, digest=digest(payload.get("output"))),)
    if kind == "message" and payload.get("role") == "assistant":
        text = " ".join(word(part, "text", limit=LAST_WORDS) for part in rows(payload, "content"))[:LAST_WORDS]
        return (s.Spoke(**seen, characters=len(text), text=text),)
    return ()


def _sum(usage: dict[str, Any], context: float | None, seen: Told) -> tuple[AnySignal, ...]:
    """The session's running sum; nothing for the marker that only says that the window is full."""
    taken, given = number(usage, "input_tokens"), number(usage, "output_tokens")
    cached, written = number(usage, "cached_input_tokens"), number(usage, "cache_write_input_tokens")
    if not taken and not given:
        return ()
    return (s.Usage(**seen, key="total", input=max(0, taken - cached - written),
                    output=given, cache_read=cached, cache_write=written, context=context),)
