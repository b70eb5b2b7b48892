"""Claude Code's adapter: what it would start, lay out and need, and what single lines mean. The real program is in tests/real."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from agentkit import Stage
from andon.schema.agent import Assignment, Launch
from andon.schema.settings import AgentSettings
from andon.schema.signals import (
    AnySignal,
    AskSettled,
    Call,
    Compacting,
    Ended,
    Helper,
    Line,
    PermissionWanted,
    Retrying,
    TurnBegan,
    TurnEnded,
    TurnFailed,
    Usage,
)
from andon_agents.claude import ADAPTER

KEY = "sk-ant-0123456789-0123456789-0123456789"


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    program = tmp_path / "bin" / "claude"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    return Stage(tmp_path)


def launched(stage: Stage, *, prompt: str = "Do it.", person: dict[str, str] | None = None, resume: str = "", gateway: str = "",
             mcp: tuple[str, ...] = (), **agent: Any) -> tuple[Launch, Assignment]:
    settings = AgentSettings(name="default", use="claude", **agent)
    around = {"PATH": str(stage.folder / "bin"), "HOME": str(stage.folder / "person"), **(person or {})}
    plain = stage.assignment(prompt=prompt, agent=settings)
    given = msgspec.structs.replace(plain, person=around, home=stage.folder / "home", repository=stage.folder / "r", resume=resume,
                                    gateway=gateway, mcp=mcp, hook=("python", "hook.py"))
    return ADAPTER.launch(given), given


def seed(launch: Launch, path: str) -> Any:
    return json.loads(next(one.text for one in launch.seeds if one.path == path))


def read(source: str, data: object) -> tuple[AnySignal, ...]:
    return ADAPTER.read(Line(at=1000, source=source, data=msgspec.Raw(msgspec.json.encode(data))))  # type: ignore[arg-type]


def hook(event: str, **more: object) -> tuple[AnySignal, ...]:
    return read("hook", {"hook_event_name": event, "cwd": "/w", "session_id": "s", **more})


def test_every_event_has_a_hook_and_only_a_permission_may_wait(stage: Stage) -> None:
    hooks = seed(launched(stage)[0], "claude-settings.json")["hooks"]
    limits = {event: entry[0]["hooks"][0]["timeout"] for event, entry in hooks.items()}
    assert {event for event, limit in limits.items() if limit > 60} == {"PermissionRequest"}
    assert limits["PermissionRequest"] > 12 * 3600
    assert {"Stop", "StopFailure", "SubagentStop", "PreCompact", "SessionEnd"} <= set(hooks)
    assert hooks["Stop"][0]["hooks"][0]["command"] == "exec python hook.py Stop"


def test_first_run_screens_are_answered_before_they_appear(stage: Stage) -> None:
    launch, given = launched(stage, person={"ANTHROPIC_API_KEY": KEY})
    state = seed(launch, ".claude/.claude.json")
    assert state["hasCompletedOnboarding"] is True
    assert state["customApiKeyResponses"]["approved"] == [KEY[-20:]]
    assert state["projects"][str(given.checkout)]["hasTrustDialogAccepted"] is True
    assert launch.env["CLAUDE_CONFIG_DIR"] == str(given.home / ".claude")
    assert KEY not in str(launch.seeds)


def test_policy_asks_and_all_asks_nothing(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 0)
    asked, unasked = launched(stage)[0], launched(stage, approve="all")[0]
    assert asked.argv[asked.argv.index("--permission-mode") + 1] == "default"
    assert unasked.argv[unasked.argv.index("--permission-mode") + 1] == "bypassPermissions"
    assert ("IS_SANDBOX" in asked.env, unasked.env["IS_SANDBOX"]) == (False, "1")
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    assert "IS_SANDBOX" not in launched(stage, approve="all")[0].env


def test_the_gateway_stands_between_only_where_the_key_is_ones_own(stage: Stage) -> None:
    with_key, without = launched(stage, gateway="http://127.0.0.1:1/x", person={"ANTHROPIC_API_KEY": KEY})[0], launched(
        stage, gateway="http://127.0.0.1:1/x", login="copy")[0]
    assert with_key.env["ANTHROPIC_BASE_URL"] == "http://127.0.0.1:1/x"
    assert "ANTHROPIC_BASE_URL" not in without.env
    assert any("no gateway" in note for note in without.notes)
    cloud = launched(stage, gateway="http://127.0.0.1:1/x", person={"ANTHROPIC_API_KEY": KEY, "CLAUDE_CODE_USE_BEDROCK": "1"})[0]
    assert "ANTHROPIC_BASE_URL" not in cloud.env


def test_the_persons_login_is_copied_only_when_that_was_asked_for(stage: Stage) -> None:
    assert not [one for one in launched(stage)[0].seeds if one.copy]
    copied = [one for one in launched(stage, login="copy")[0].seeds if one.copy]
    assert [(one.path, one.copy) for one in copied] == [
        (".claude/.credentials.json", str(stage.folder / "person" / ".claude" / ".credentials.json"))]


@pytest.mark.parametrize(("files", "passed"), [
    (("AGENTS.md",), True), (("AGENTS.md", "CLAUDE.md"), False), ((), False), (("AGENTS.md", ".claude/CLAUDE.md"), False)])
def test_shared_instructions_are_passed_where_it_would_not_read_them(stage: Stage, files: tuple[str, ...], passed: bool) -> None:
    for name in files:
        (stage.checkout / name).parent.mkdir(exist_ok=True)
        (stage.checkout / name).write_text("Rules.")
    assert ("--append-system-prompt-file" in launched(stage)[0].argv) is passed


def test_the_agents_own_verbs_ask_for_no_permission(stage: Stage) -> None:
    launch, _ = launched(stage, mcp=("andon", "mcp"))
    assert "--strict-mcp-config" in launch.argv
    assert seed(launch, "claude-mcp.json")["mcpServers"]["andon"]["command"] == "andon"
    assert "mcp__andon" in seed(launch, "claude-settings.json")["permissions"]["allow"]


def test_arguments_stand_before_the_prompt_and_the_prompt_is_the_last_word(stage: Stage) -> None:
    launch, _ = launched(stage, prompt="Do it.", args=("--effort", "low"), model="sonnet")
    assert launch.argv[-4:] == ("--effort", "low", "--", "Do it.")
    assert launch.argv[launch.argv.index("--model") + 1] == "sonnet"


def test_a_conversation_is_gone_on_with_only_when_it_left_a_transcript(stage: Stage) -> None:
    first, given = launched(stage)
    transcripts = given.home / ".claude" / "projects" / "-w"
    assert launched(stage)[0].conversation == first.conversation
    assert launched(stage, resume=first.conversation)[0].notes
    transcripts.mkdir(parents=True)
    (transcripts / f"{first.conversation}.jsonl").write_text("{}\n")
    resumed = launched(stage, resume=first.conversation)[0]
    assert resumed.argv[resumed.argv.index("--resume") + 1] == first.conversation
    assert launched(stage)[0].conversation != first.conversation
    assert "--session-id" in launched(stage, resume="../*")[0].argv


@pytest.mark.parametrize(("environ", "agent", "state"), [
    ({"ANTHROPIC_API_KEY": KEY}, {}, "ready"), ({}, {}, "missing"), ({"CLAUDE_CODE_USE_VERTEX": "1"}, {}, "ready"),
    ({}, {"env": {"ANTHROPIC_AUTH_TOKEN": "x"}}, "ready"), ({"login": "there"}, {}, "missing"),
    ({"login": "there"}, {"login": "copy"}, "ready"),
])
def test_a_login_is_said_with_its_mend(tmp_path: Path, environ: dict[str, str], agent: dict[str, Any], state: str) -> None:
    if "login" in environ:
        (tmp_path / ".claude").mkdir()
        (tmp_path / ".claude" / ".credentials.json").write_text("{}")
    login = ADAPTER.login(AgentSettings(name="a", use="claude", **agent), {"HOME": str(tmp_path), **environ})
    assert login.state == state
    assert bool(login.mend) is (state == "missing")


def test_lines_of_other_sources_pass_through() -> None:
    call = Call(at=3, source="gateway", request="r", phase="ended", status=429, retry_after=7.0)
    assert read("gateway", call) == (call,)
    assert read("api", {"type": "result"}) == ()


@pytest.mark.parametrize(("tool", "given", "deed", "target", "paths"), [
    ("Bash", {"command": "git push"}, "shell", "git push", ()),
    ("Write", {"file_path": "a/../../etc/x"}, "edit", "a/../../etc/x", ("/etc/x",)),
    ("Read", {"file_path": "/etc/passwd"}, "read", "/etc/passwd", ("/etc/passwd",)),
    ("WebFetch", {"url": "https://a.b/c", "prompt": "x"}, "fetch", "https://a.b/c", ()),
    ("mcp__github__create_issue", {"title": "x"}, "mcp", "github.create_issue", ()),
    ("Skill", {}, "other", "", ()),
])
def test_a_permission_names_its_deed_its_target_and_where_it_reaches(
    tool: str, given: dict[str, str], deed: str, target: str, paths: tuple[str, ...],
) -> None:
    (asked,) = hook("PermissionRequest", tool_name=tool, tool_input=given, andon_ask="h1")
    assert isinstance(asked, PermissionWanted)
    assert (asked.ask, asked.tool, asked.deed, asked.target, asked.paths) == ("h1", tool, deed, target, paths)
    assert asked.answerable


def test_a_permission_that_no_hook_waits_for_is_not_answerable() -> None:
    for more in ({}, {"andon_ask": "h1", "andon_gone": True}):
        (asked,) = hook("PermissionRequest", tool_name="Bash", tool_input={"command": "x"}, **more)
        assert isinstance(asked, PermissionWanted)
        assert asked.ask and not asked.answerable


@pytest.mark.parametrize(("error", "said", "trouble"), [
    ("rate_limit", "API Error: Request rejected (429)", "rate-limit"), ("rate_limit", "You have hit your usage limit", "quota"),
    ("authentication_failed", "Invalid API key", "auth"), ("invalid_request", "Prompt is too long", "context"),
    ("server_error", "API Error: 529 Overloaded", "overloaded"), ("server_error", "API Error: 500", "server"),
    ("what", "ever", "unknown"),
])
def test_a_failed_turn_says_its_kind(error: str, said: str, trouble: str) -> None:
    (failed,) = hook("StopFailure", error=error, last_assistant_message=said)
    assert isinstance(failed, TurnFailed)
    assert (failed.trouble, failed.text) == (trouble, said)


def test_the_small_events_mean_what_they_say() -> None:
    (over,) = hook("Stop", last_assistant_message="Done", background_tasks=[{"id": 1}])
    assert isinstance(over, TurnEnded) and (over.text, over.background) == ("Done", 1)
    (began, ended) = (*hook("SubagentStart", agent_id="a"), *hook("SubagentStop", agent_id="a"))
    assert isinstance(began, Helper) and isinstance(ended, Helper) and (began.ended, ended.ended) == (False, True)
    (before, after) = (*hook("PreCompact"), *hook("PostCompact"))
    assert isinstance(before, Compacting) and isinstance(after, Compacting) and (before.done, after.done) == (False, True)
    (end,) = hook("SessionEnd", reason="prompt_input_exit")
    assert isinstance(end, Ended)
    assert hook("SessionEnd", reason="clear") == ()
    (settled,) = hook("AskSettled", andon_ask="h1", andon_how="denied")
    assert isinstance(settled, AskSettled) and settled.ask == "h1"
    assert hook("Notification", notification_type="permission_prompt") == ()


def test_retries_and_results_of_json_output_are_understood() -> None:
    (retry,) = read("stdout", {"type": "system", "subtype": "api_retry", "attempt": 2, "retry_delay_ms": 2000, "error_status": 429})
    assert isinstance(retry, Retrying) and (retry.trouble, retry.until, retry.tries) == ("rate-limit", 3000, 2)
    over, usage = read("stdout", {"type": "result", "subtype": "success", "is_error": False, "result": "ok", "total_cost_usd": 0.5,
                                  "usage": {"input_tokens": 5, "output_tokens": 7}, "modelUsage": {"m": {}}})
    assert isinstance(over, TurnEnded) and isinstance(usage, Usage)
    assert (usage.key, usage.usd, usage.input, usage.output, usage.model) == ("total", 0.5, 5, 7, "m")


def test_what_a_sub_agent_says_in_the_transcript_is_no_turn_of_the_session() -> None:
    said = {"type": "user", "isSidechain": True, "message": {"role": "user", "content": "look around"}}
    assert read("transcript", said) == ()
    (turn,) = read("transcript", {**said, "isSidechain": False, "promptId": "p"})
    assert isinstance(turn, TurnBegan)
