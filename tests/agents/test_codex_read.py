"""What Codex says, read into signals: its app-server, hooks, transcript and JSON output. Samples are the real one's."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings, strategies as st

from andon.schema import signals as s
from andon.schema.health import Source
from andon_agents.codex import ADAPTER
from andon_agents.codex_values import command, of_words, trouble

THREAD = "01a1f87c-53ef-7ad2-a000-b0799eb852fc"


def read(data: dict[str, Any], source: Source = "api") -> tuple[s.AnySignal, ...]:
    """The signals in one line."""
    return ADAPTER.read(s.Line(at=1_000, source=source, data=msgspec.Raw(json.dumps(data).encode())))


def said(method: str, **params: Any) -> tuple[s.AnySignal, ...]:
    """The signals in one notification."""
    return read({"method": method, "params": {"threadId": THREAD, "turnId": "t1", **params}, "emittedAtMs": 1})


def plain(found: tuple[s.AnySignal, ...]) -> list[s.AnySignal]:
    """Without time, source and note."""
    assert all(one.at == 1_000 and one.note for one in found)
    return [msgspec.structs.replace(one, at=0, source="api", note="") for one in found]


def sig(kind: type[s.Signal], **fields: Any) -> s.Signal:
    """A signal as `plain` leaves it."""
    return kind(at=0, source="api", **fields)


SHELL = {
    "type": "commandExecution", "id": "call_1", "command": "/bin/bash -lc 'cat README.md'", "cwd": "/w", "status": "inProgress",
    "source": "unifiedExecStartup", "aggregatedOutput": None, "exitCode": None,
    "commandActions": [{"type": "read", "command": "cat README.md", "path": "/w/README.md"}],
}


# --- the app-server --------------------------------------------------------------------------------------------------


def test_a_turn_begins_with_its_prompt_and_ends_with_its_words() -> None:
    user = {"type": "userMessage", "id": "u", "content": [{"type": "text", "text": "Do it."}]}
    agent = {"type": "agentMessage", "id": "m", "text": "Done."}
    assert plain(said("turn/started", turn={"id": "t1", "status": "inProgress"})) == [sig(s.TurnBegan, turn="t1")]
    assert plain(said("item/started", item=user)) == [sig(s.TurnBegan, turn="t1", prompt="Do it.")]
    assert plain(said("item/completed", item=user)) == []
    assert plain(said("item/agentMessage/delta", delta="Done")) == [sig(s.Spoke, characters=4)]
    assert plain(said("item/completed", item=agent)) == [sig(s.Spoke, characters=5, text="Done.")]
    assert plain(said("turn/completed", turn={"id": "t1", "status": "completed", "items": [agent]})) == [
        sig(s.TurnEnded, turn="t1", text="Done.")]
    assert plain(said("turn/completed", turn={"id": "t1", "status": "interrupted", "items": []})) == [
        sig(s.TurnFailed, trouble="interrupted", text="interrupted")]


def test_a_command_begins_and_ends_under_one_id_and_the_same_call_has_the_same_digest() -> None:
    (began,) = said("item/started", item=SHELL)
    (other,) = said("item/started", item={**SHELL, "id": "call_2"})
    assert isinstance(began, s.ToolBegan) and isinstance(other, s.ToolBegan)
    assert (began.call, began.name, began.target) == ("call_1", "shell", "cat README.md")
    assert began.digest == other.digest
    (ended,) = said("item/completed", item={**SHELL, "status": "completed", "exitCode": 0, "aggregatedOutput": "x"})
    (same,) = said("item/completed", item={**SHELL, "status": "completed", "exitCode": 0, "aggregatedOutput": "x"})
    (failed,) = said("item/completed", item={**SHELL, "status": "failed", "exitCode": 1, "aggregatedOutput": "y"})
    assert isinstance(ended, s.ToolEnded) and isinstance(same, s.ToolEnded) and isinstance(failed, s.ToolEnded)
    assert ended.ok and not failed.ok and ended.digest == same.digest != failed.digest


@pytest.mark.parametrize(("item", "name", "target"), [
    ({"type": "fileChange", "changes": [{"path": "/w/a.py", "diff": "+1", "kind": {"type": "add"}}]}, "apply_patch", "/w/a.py"),
    ({"type": "mcpToolCall", "server": "andon", "tool": "progress", "arguments": {"text": "x"}}, "andon.progress", ""),
    ({"type": "webSearch", "query": "tmux"}, "webSearch", "tmux"),
    ({"type": "collabAgentToolCall", "tool": "spawnAgent", "prompt": "Look."}, "agent.spawnAgent", "Look."),
])
def test_each_kind_of_tool_has_a_name_and_a_target(item: dict[str, Any], name: str, target: str) -> None:
    (began,) = said("item/started", item={"id": "c", "status": "inProgress", **item})
    assert isinstance(began, s.ToolBegan) and (began.name, began.target) == (name, target)
    assert [type(one) for one in said("item/completed", item={"id": "c", "status": "completed", **item})] == [s.ToolEnded]


def test_a_request_says_what_it_touches_and_is_settled_by_the_same_name() -> None:
    params = {"threadId": THREAD, "turnId": "t1", "itemId": "call_1", "command": "/bin/bash -lc 'git push'", "cwd": "/w",
              "commandActions": [{"type": "unknown", "command": "git push", "path": "/w/x"}], "reason": "needs the network"}
    (wanted,) = read({"method": "item/commandExecution/requestApproval", "id": 0, "params": params, "andon": {"server": "f00"}})
    assert isinstance(wanted, s.PermissionWanted)
    assert (wanted.tool, wanted.deed, wanted.target, wanted.paths) == ("shell", "shell", "git push", ("/w", "/w/x"))
    gone = {"method": "serverRequest/resolved", "params": {"threadId": THREAD, "requestId": 0}, "andon": {"server": "f00"}}
    (settled,) = read(gone)
    assert isinstance(settled, s.AskSettled) and settled.ask == wanted.ask and "/" not in wanted.ask
    (later,) = read({**gone, "andon": {"server": "f01"}})
    assert isinstance(later, s.AskSettled) and later.ask != wanted.ask, "another run of the server counts anew"


def test_network_patches_wider_permissions_tools_and_questions_are_told_apart() -> None:
    def asked(method: str, **params: Any) -> s.AnySignal:
        (one,) = read({"method": method, "id": "r", "params": {"threadId": THREAD, **params}, "andon": params.pop("andon", {})})
        return one

    host = asked("item/commandExecution/requestApproval", networkApprovalContext={"host": "pypi.org", "protocol": "https"})
    assert isinstance(host, s.PermissionWanted) and (host.deed, host.target) == ("fetch", "pypi.org")
    patch = asked("item/fileChange/requestApproval", itemId="i", grantRoot="/etc")
    assert isinstance(patch, s.PermissionWanted) and (patch.deed, patch.paths) == ("edit", ("/etc",))
    more = asked("item/permissions/requestApproval", reason="cache", permissions={"fileSystem": {"write": ["/var/x"]}})
    assert isinstance(more, s.PermissionWanted) and (more.deed, more.paths, more.target) == ("other", ("/var/x",), "cache")
    tool = asked("mcpServer/elicitation/request", serverName="db", _meta={"codex_approval_kind": "mcp_tool_call", "tool_name": "q"})
    assert isinstance(tool, s.PermissionWanted) and (tool.deed, tool.target) == ("mcp", "db.q")
    form = asked("mcpServer/elicitation/request", serverName="db", message="Which table?")
    assert isinstance(form, s.AnswerWanted) and form.text == "Which table?"
    question = asked("item/tool/requestUserInput", questions=[{"id": "q", "question": "Tabs?", "options": [{"label": "yes"}]}])
    assert isinstance(question, s.AnswerWanted) and (question.text, question.options) == ("Tabs?", ("yes",))


def test_a_failed_call_is_a_retry_and_only_the_turn_fails() -> None:
    again = {"message": "Reconnecting... 2/5", "codexErrorInfo": {"responseStreamDisconnected": {"httpStatusCode": 429}},
             "additionalDetails": "exceeded retry limit, last status: 429 Too Many Requests"}
    assert plain(said("error", error=again, willRetry=True)) == [sig(s.Retrying, trouble="rate-limit", tries=2)]
    assert said("error", error=again, willRetry=False) == ()
    over = {"message": "Quota exceeded. Check your plan and billing details.", "codexErrorInfo": "usageLimitExceeded"}
    assert plain(said("turn/completed", turn={"id": "t", "status": "failed", "error": over})) == [
        sig(s.TurnFailed, trouble="quota", text=over["message"])]


@pytest.mark.parametrize(("error", "kind"), [
    ({"codexErrorInfo": "contextWindowExceeded"}, "context"), ({"codexErrorInfo": "serverOverloaded"}, "overloaded"),
    ({"codexErrorInfo": "unauthorized"}, "auth"), ({"codexErrorInfo": {"httpConnectionFailed": {"httpStatusCode": 401}}}, "auth"),
    ({"codexErrorInfo": {"responseTooManyFailedAttempts": {"httpStatusCode": 529}}}, "overloaded"),
    ({"codexErrorInfo": {"responseStreamDisconnected": {"httpStatusCode": 500}}}, "server"),
    ({"codexErrorInfo": {"responseStreamDisconnected": {"httpStatusCode": None}}}, "network"),
    ({"codexErrorInfo": "other", "message": "unexpected status 401 Unauthorized: invalid x-api-key"}, "auth"),
    ({"codex_error_info": "usage_limit_exceeded"}, "quota"), ({"message": "what?"}, "unknown"), ({}, "unknown"),
])
def test_the_trouble_is_the_status_then_the_kind_then_the_words(error: dict[str, Any], kind: str) -> None:
    assert trouble(error) == kind


def test_usage_is_the_sessions_sum_without_what_was_cached_and_a_marker_is_no_sum() -> None:
    total = {"inputTokens": 1_000, "cachedInputTokens": 600, "cacheWriteInputTokens": 100, "outputTokens": 300}
    used = {"total": total, "last": {"totalTokens": 500}, "modelContextWindow": 1_000}
    assert plain(said("thread/tokenUsage/updated", tokenUsage=used)) == [
        sig(s.Usage, key="total", input=300, output=300, cache_read=600, cache_write=100, context=0.5)]
    full = {"total": {"totalTokens": 190_000, "inputTokens": 0, "outputTokens": 0}, "modelContextWindow": 190_000}
    assert said("thread/tokenUsage/updated", tokenUsage=full) == ()


def test_only_the_sessions_own_thread_is_its_beginning() -> None:
    own = {"id": THREAD, "ephemeral": False, "threadSource": "user", "path": "/h/rollout.jsonl", "model": "m"}
    began = [sig(s.Began, conversation=THREAD, transcript="/h/rollout.jsonl", model="m")]
    assert plain(said("thread/started", thread=own)) == began
    assert plain(read({"id": "andon-4", "result": {"thread": own, "model": "m"}})) == began
    for other in ({"ephemeral": True}, {"threadSource": "thread_title"}, {"parentThreadId": "x"}):
        assert said("thread/started", thread={**own, **other}) == ()


def test_a_page_of_turns_says_what_the_last_one_did_so_far() -> None:
    user = {"type": "userMessage", "id": "u", "content": [{"type": "text", "text": "Do it."}]}
    running = {"id": "t9", "status": "inProgress", "items": [user, {**SHELL, "id": "c0", "status": "completed"}, {**SHELL}]}
    found = read({"id": "andon-5", "result": {"data": [running], "nextCursor": None}})
    assert [type(one) for one in found] == [s.TurnBegan, s.TurnBegan, s.ToolBegan, s.ToolEnded, s.ToolBegan]
    over = read({"id": "andon-5", "result": {"data": [{**running, "status": "completed"}], "nextCursor": None}})
    assert isinstance(over[-1], s.TurnEnded) and over[-1].turn == "t9"
    assert read({"id": "andon-2", "result": {"data": [THREAD], "nextCursor": None}}) == ()


def test_those_who_only_hear_the_status_still_see_that_it_waits() -> None:
    (wanted,) = said("thread/status/changed", status={"type": "active", "activeFlags": ["waitingOnApproval"]})
    assert isinstance(wanted, s.PermissionWanted) and not wanted.answerable
    (settled,) = said("thread/status/changed", status={"type": "active", "activeFlags": []})
    assert isinstance(settled, s.AskSettled) and settled.ask == wanted.ask


def test_compactions_begin_and_end() -> None:
    item = {"type": "contextCompaction", "id": "c"}
    assert plain(said("item/started", item=item)) == [sig(s.Compacting)]
    assert plain(said("item/completed", item=item)) == [sig(s.Compacting, done=True)]


# --- the other sources -----------------------------------------------------------------------------------------------


def test_hooks_are_read_and_the_same_call_is_asked_and_settled() -> None:
    common = {"session_id": THREAD, "turn_id": "t1", "transcript_path": "/h/r.jsonl", "cwd": "/w", "model": "m"}

    def hook(event: str, **more: Any) -> tuple[s.AnySignal, ...]:
        return read({**common, "hook_event_name": event, **more}, "hook")

    bash = {"tool_name": "Bash", "tool_input": {"command": "git status -sb"}}
    assert plain(hook("SessionStart", source="startup")) == [sig(s.Began, conversation=THREAD, transcript="/h/r.jsonl", model="m")]
    assert hook("SessionStart", source="compact") == ()
    assert plain(hook("UserPromptSubmit", prompt="Do")) == [sig(s.TurnBegan, turn="t1", prompt="Do")]
    (began,) = hook("PreToolUse", **bash, tool_use_id="call_1")
    assert isinstance(began, s.ToolBegan) and (began.call, began.target) == ("call_1", "git status -sb")
    asked = {"tool_name": "Bash", "tool_input": {"command": "git status -sb", "description": "leave the sandbox"}}
    (wanted,) = hook("PermissionRequest", **asked)
    assert isinstance(wanted, s.PermissionWanted) and (wanted.deed, wanted.answerable) == ("shell", False)
    settled, ended = hook("PostToolUse", **bash, tool_use_id="call_1", tool_response="x")
    assert isinstance(settled, s.AskSettled) and settled.ask == wanted.ask
    assert isinstance(ended, s.ToolEnded) and ended.call == "call_1"
    assert plain(hook("Stop", last_assistant_message="Done.")) == [sig(s.TurnEnded, turn="t1", text="Done.")]
    assert plain(hook("Interrupt")) == [sig(s.TurnFailed, trouble="interrupted", text="interrupted")]
    assert plain(hook("SessionEnd", reason="other")) == [sig(s.Ended, because="other")]
    assert hook("SomethingNew") == ()


def test_the_naming_of_a_session_is_no_turn() -> None:
    over = {"type": "agent-turn-complete", "thread-id": "x", "turn-id": "t", "last-assistant-message": "Done"}
    assert plain(read({**over, "input-messages": ["Do it."]}, "hook")) == [sig(s.TurnEnded, turn="t", text="Done")]
    assert read({**over, "input-messages": ["Generate a concise, single-line task title for …"]}, "hook") == ()


def test_json_output_is_read() -> None:
    run = {"id": "item_1", "type": "command_execution", "command": "/bin/bash -lc 'cat README.md'", "status": "in_progress"}
    lines: list[dict[str, Any]] = [
        {"type": "thread.started", "thread_id": THREAD}, {"type": "turn.started"}, {"type": "item.started", "item": run},
        {"type": "item.completed", "item": {**run, "status": "completed", "exit_code": 0, "aggregated_output": "x"}},
        {"type": "item.completed", "item": {"id": "i", "type": "error", "message": "Model metadata not found"}},
        {"type": "error", "message": "Reconnecting... 1/3 (exceeded retry limit, last status: 429 Too Many Requests)"},
        {"type": "item.completed", "item": {"id": "i2", "type": "agent_message", "text": "Done"}},
        {"type": "turn.completed", "usage": {"input_tokens": 10, "cached_input_tokens": 4, "output_tokens": 3}},
        {"type": "turn.failed", "error": {"message": "Quota exceeded. Check your plan and billing details."}},
    ]
    found = [one for line in lines for one in plain(read(line, "stdout"))]
    assert [type(one) for one in found] == [
        s.Began, s.TurnBegan, s.ToolBegan, s.ToolEnded, s.Retrying, s.Spoke, s.Usage, s.TurnEnded, s.TurnFailed]
    assert found[4] == sig(s.Retrying, trouble="rate-limit", tries=1)
    assert found[6] == sig(s.Usage, key="total", input=6, cache_read=4, output=3)
    assert found[8] == sig(s.TurnFailed, trouble="quota", text="Quota exceeded. Check your plan and billing details.")


def test_the_transcript_is_read() -> None:
    def row(kind: str, **payload: Any) -> list[s.AnySignal]:
        return plain(read({"timestamp": "2026-01-01T00:00:00Z", "type": kind, "payload": payload}, "transcript"))

    assert row("session_meta", id=THREAD, thread_source="user") == [sig(s.Began, conversation=THREAD)]
    assert row("session_meta", id=THREAD, thread_source="thread_title") == []
    assert row("event_msg", type="task_started", turn_id="t1") == [sig(s.TurnBegan, turn="t1")]
    item = {"type": "UserMessage", "content": [{"type": "text", "text": "Do it."}]}
    assert row("event_msg", type="item_completed", turn_id="t1", item=item) == [sig(s.TurnBegan, turn="t1", prompt="Do it.")]
    (began,) = row("response_item", type="function_call", name="exec_command", call_id="c", arguments='{"cmd": "git status"}')
    assert isinstance(began, s.ToolBegan) and (began.call, began.name, began.target) == ("c", "exec_command", "git status")
    (ended,) = row("response_item", type="function_call_output", call_id="c", output="x")
    assert isinstance(ended, s.ToolEnded) and ended.call == "c"
    usage = {"total_token_usage": {"input_tokens": 9, "output_tokens": 1}, "last_token_usage": {"total_tokens": 5}}
    assert row("event_msg", type="token_count", info={**usage, "model_context_window": 10}) == [
        sig(s.Usage, key="total", input=9, output=1, context=0.5)]
    assert row("event_msg", type="task_complete", turn_id="t1", last_agent_message="Done") == [
        sig(s.TurnEnded, turn="t1", text="Done")]
    error = {"message": "Quota exceeded.", "codex_error_info": "usage_limit_exceeded"}
    assert row("event_msg", type="task_complete", turn_id="t1", error=error) == [
        sig(s.TurnFailed, trouble="quota", text="Quota exceeded.")]
    assert row("event_msg", type="turn_aborted", turn_id="t1", reason="interrupted") == [
        sig(s.TurnFailed, trouble="interrupted", text="interrupted")]
    assert row("compacted", message="…") == [sig(s.Compacting, done=True)]
    assert row("world_state", full=True) == []


# --- whatever comes --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("given", "bare"), [
    ("/bin/bash -lc 'git status -sb'", "git status -sb"), ("bash -c \"a 'b'\"", "a 'b'"), ("git status", "git status"),
    (["bash", "-lc", "ls -la"], "ls -la"), (["ls", "a b"], "ls 'a b'"), ("/bin/bash -lc 'open", "/bin/bash -lc 'open"),
    (None, ""), (7, ""),
])
def test_a_command_is_shown_without_the_shell_around_it(given: object, bare: str) -> None:
    assert command(given) == bare


def test_words_name_a_trouble_only_when_they_do() -> None:
    assert of_words("Reading 4290 files") == "unknown"
    assert of_words("stream disconnected before completion") == "network"


KEYS = st.sampled_from((
    "method", "params", "id", "result", "thread", "threadId", "turn", "item", "type", "status", "items", "error", "command",
    "changes", "path", "questions", "requestId", "data", "payload", "hook_event_name", "tool_input", "permissions", "fileSystem",
    "entries", "andon", "paths", "tokenUsage", "total", "usage", "_meta", "message",
))
WORDS = st.sampled_from((
    "item/started", "item/completed", "turn/completed", "turn/started", "error", "thread/started", "completed", "failed",
    "serverRequest/resolved", "item/fileChange/requestApproval", "item/commandExecution/requestApproval", "inProgress",
    "item/permissions/requestApproval", "item/tool/requestUserInput", "mcpServer/elicitation/request", "userMessage",
    "thread/tokenUsage/updated", "thread/status/changed", "commandExecution", "fileChange", "mcpToolCall", "event_msg",
    "response_item", "session_meta", "function_call", "token_count", "PreToolUse", "PermissionRequest", "PostToolUse",
    "item.completed", "turn.failed", "agent-turn-complete",
))
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8) | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS | st.text(max_size=4), inner, max_size=5), max_leaves=25)


@settings(max_examples=300, deadline=None)
@given(st.dictionaries(KEYS, ANYTHING, max_size=6), st.sampled_from(["api", "hook", "stdout", "transcript"]))
def test_whatever_json_comes_is_read_without_a_word(data: dict[str, Any], source: Source) -> None:
    for one in read(data, source):
        assert isinstance(one, s.Signal)
        msgspec.json.decode(msgspec.json.encode(one), type=s.AnySignal)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=60), st.sampled_from(["api", "hook", "stdout", "transcript", "pane"]))
def test_whatever_bytes_come_are_read_without_a_word(raw: bytes, source: Source) -> None:
    assert isinstance(ADAPTER.read(s.Line(at=1, source=source, data=msgspec.Raw(raw))), tuple)
