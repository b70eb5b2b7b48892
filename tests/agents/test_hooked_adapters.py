"""Agents from data: gemini, qwen, copilot and anybody's own; their quirks, and what a wrong description says."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from agentkit import Stage
from andon.schema.agent import Launch, Supervised
from andon.schema.errors import Mistake
from andon.schema.settings import AgentSettings
from andon.schema.signals import AnySignal, AskSettled, Line, PermissionWanted, Retrying, ToolEnded, TurnBegan, TurnFailed
from andon_agents.find import adapters
from andon_agents.hooked import COPILOT, GEMINI, QWEN, HookedAdapter

OWN = """
[robot]
program = "robot"
prompt = ["--task", "{prompt}"]
policy = ["--ask"]
all = ["--yes"]
keys = ["ROBOT_KEY"]
env = { ROBOT_HOME = "{home}" }
answers = true
settings = { file = "robot.json", content = { quiet = true } }
events = { Begin = "turn-began", End = "turn-ended", PermissionRequest = "permission-wanted" }
deeds = { run = "shell" }
"""


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    for name in ("gemini", "qwen", "copilot", "robot"):
        program = tmp_path / "bin" / name
        program.parent.mkdir(exist_ok=True)
        program.write_text("#!/bin/sh\n")
        program.chmod(0o755)
    return Stage(tmp_path)


def launched(stage: Stage, adapter: HookedAdapter, *, key: bool = True, gateway: str = "", resume: str = "",
             **agent: Any) -> Launch:
    person = {"PATH": str(stage.folder / "bin"), "HOME": str(stage.folder), **({adapter.keys[0]: "k"} if key else {})}
    plain = stage.assignment(agent=AgentSettings(name="default", use=adapter.name, **agent))
    return adapter.launch(msgspec.structs.replace(plain, person=person, home=stage.folder / "home", gateway=gateway, resume=resume,
                                                  hook=("python", "hook.py")))


def seed(launch: Launch, path: str) -> Any:
    return json.loads(next(one.text for one in launch.seeds if one.path == path))


def hook(adapter: Supervised, event: str, **more: object) -> tuple[AnySignal, ...]:
    data = msgspec.json.encode({"hook_event_name": event, "cwd": "/w", **more})
    return adapter.read(Line(at=1000, source="hook", data=msgspec.Raw(data)))


@pytest.mark.parametrize(("adapter", "file"), [(GEMINI, ".gemini/settings.json"), (QWEN, ".qwen/settings.json"),
                                               (COPILOT, ".copilot/hooks/andon.json")])
def test_hooks_lie_in_the_private_home_and_not_in_the_persons(stage: Stage, adapter: HookedAdapter, file: str) -> None:
    launch = launched(stage, adapter)
    assert set(adapter.events) == set(seed(launch, file)["hooks"])
    assert any(str(stage.folder / "home") in value for value in launch.env.values())


def test_a_permission_hook_waits_only_as_long_as_a_person_at_the_screen_can_bear(stage: Stage) -> None:
    entry = seed(launched(stage, QWEN), ".qwen/settings.json")["hooks"]["PermissionRequest"][0]["hooks"][0]
    assert entry["command"].endswith("PermissionRequest claude 20")
    assert entry["timeout"] == 80_000
    entry = seed(launched(stage, COPILOT), ".copilot/hooks/andon.json")["hooks"]["permissionRequest"][0]
    assert entry["bash"].endswith("permissionRequest copilot 20")


def test_an_agent_that_asks_its_hook_even_when_told_not_to_ask_gets_no_such_hook(stage: Stage) -> None:
    assert "permissionRequest" not in seed(launched(stage, COPILOT, approve="all"), ".copilot/hooks/andon.json")["hooks"]
    assert "--allow-all" in launched(stage, COPILOT, approve="all").argv


@pytest.mark.parametrize("adapter", [GEMINI, QWEN, COPILOT])
def test_the_gateway_stands_between_only_with_a_key(stage: Stage, adapter: HookedAdapter) -> None:
    with_key = launched(stage, adapter, gateway="http://127.0.0.1:1/x")
    assert with_key.env[adapter.profile().base_variable] == "http://127.0.0.1:1/x"
    without = launched(stage, adapter, gateway="http://127.0.0.1:1/x", key=False)
    assert adapter.profile().base_variable not in without.env
    assert without.notes


def test_gemini_is_told_to_read_the_instructions_that_others_share(stage: Stage) -> None:
    assert seed(launched(stage, GEMINI), ".gemini/settings.json")["context"]["fileName"] == ["AGENTS.md", "GEMINI.md"]


def test_a_conversation_can_be_named_before_the_start_and_gone_on_with(stage: Stage) -> None:
    first = launched(stage, QWEN)
    assert first.argv[first.argv.index("--session-id") + 1] == first.conversation == launched(stage, QWEN).conversation
    resumed = launched(stage, QWEN, resume=first.conversation)
    assert resumed.argv[resumed.argv.index("--resume") + 1] == first.conversation
    (stage.job / "hooks.jsonl").write_text("{}\n")
    assert launched(stage, QWEN).conversation != first.conversation


def test_what_gemini_says_before_every_call_is_no_compaction() -> None:
    assert hook(GEMINI, "PreCompress", trigger="auto") == ()


def test_qwens_empty_prompt_before_every_call_begins_no_turn() -> None:
    assert hook(QWEN, "UserPromptSubmit", prompt="") == ()
    (began,) = hook(QWEN, "UserPromptSubmit", prompt="go")
    assert isinstance(began, TurnBegan)


def test_a_command_that_gives_the_same_again_has_the_same_result_whatever_its_process_group() -> None:
    def told(group: int, output: str) -> str:
        words = f"Output: {output}\nExit Code: 0\nProcess Group PGID: {group}"
        (ended,) = hook(GEMINI, "AfterTool", tool_name="run_shell_command", tool_input={"command": "ls"},
                        tool_response={"llmContent": words, "returnDisplay": [[{"text": str(group)}]]})
        assert isinstance(ended, ToolEnded)
        return ended.digest

    assert told(1, "a") == told(2, "a") != told(1, "b")


def test_geminis_notice_is_a_permission_that_only_its_screen_answers() -> None:
    (asked,) = hook(GEMINI, "Notification", notification_type="ToolPermission", andon_ask="h1",
                    details={"type": "exec", "command": "rm x", "rootCommand": "rm"})
    assert isinstance(asked, PermissionWanted)
    assert (asked.ask, asked.deed, asked.target, asked.answerable) == ("h1", "shell", "rm x", False)
    assert hook(GEMINI, "Notification", notification_type="other") == ()


def test_copilots_own_names_are_understood() -> None:
    (asked,) = hook(COPILOT, "permissionRequest", toolName="edit", toolInput={"file_path": "../x"}, andon_ask="h1")
    assert isinstance(asked, PermissionWanted)
    assert (asked.deed, asked.paths, asked.answerable) == ("edit", ("/x",), True)
    (ended,) = hook(COPILOT, "postToolUse", toolName="bash", toolArgs='{"command": "x"}', toolResult={"resultType": "denied"})
    assert isinstance(ended, ToolEnded) and not ended.ok
    (retry,) = hook(COPILOT, "errorOccurred", recoverable=True, error={"message": "invalid x-api-key"})
    assert isinstance(retry, Retrying) and retry.trouble == "auth"
    (failed,) = hook(COPILOT, "errorOccurred", recoverable=False, error={"message": "Overloaded"})
    assert isinstance(failed, TurnFailed) and failed.trouble == "overloaded"


@pytest.mark.parametrize("adapter", [GEMINI, QWEN, COPILOT])
def test_a_settled_ask_is_told_by_every_agent_of_this_kind(adapter: HookedAdapter) -> None:
    (settled,) = hook(adapter, "AskSettled", andon_ask="h1", andon_how="allowed")
    assert isinstance(settled, AskSettled) and settled.ask == "h1"


# --- anybody's own -------------------------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ANDON_CONFIG_HOME", str(tmp_path / "config"))
    (tmp_path / "config" / "agents").mkdir(parents=True)
    return tmp_path / "config" / "agents"


def test_a_file_of_a_persons_own_is_an_adapter(stage: Stage, folder: Path) -> None:
    (folder / "robot.toml").write_text(OWN)
    robot = adapters()["robot"]
    assert isinstance(robot, HookedAdapter)
    launch = launched(stage, robot, approve="all")
    assert launch.argv == (str(stage.folder / "bin" / "robot"), "--yes", "--task", "Do it.")
    assert seed(launch, "robot.json")["quiet"] is True
    (asked,) = hook(robot, "PermissionRequest", tool_name="run", tool_input={"command": "x"}, andon_ask="h1")
    assert isinstance(asked, PermissionWanted) and asked.deed == "shell"


@pytest.mark.parametrize(("text", "says"), [
    ("[robot]\nprogam = 'robot'\n", "progam"), ("[robot]\nprogram = 'r'\nevents = { A = 'nonsense' }\n", "nonsense"),
    ("not toml at all [", "robot.toml"), ("robot = 1\n", "describes no agent"),
])
def test_a_file_with_a_mistake_breaks_only_itself_and_says_where(stage: Stage, folder: Path, text: str, says: str) -> None:
    (folder / "robot.toml").write_text(text)
    found = adapters()
    assert "claude" in found
    with pytest.raises(Mistake) as caught:
        found["robot"].launch(stage.assignment())
    assert says in f"{caught.value.problem.what} {caught.value.problem.where}"
