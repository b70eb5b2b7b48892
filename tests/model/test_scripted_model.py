"""The scripted model says the same job in four dialects, fails as told, and forgets nothing that was asked of it."""

import json
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from model.scenarios import SCENARIOS
from model.server import Model, model

TOOL = {"type": "object", "properties": {"command": {"type": "string"}}, "required": ["command"]}
BODIES: dict[str, tuple[str, dict[str, Any]]] = {
    "anthropic": ("/v1/messages", {
        "model": "m", "messages": [{"role": "user", "content": "go"}], "tools": [{"name": "Bash", "input_schema": TOOL}]}),
    "chat": ("/v1/chat/completions", {
        "model": "m", "messages": [{"role": "user", "content": "go"}],
        "tools": [{"type": "function", "function": {"name": "bash", "parameters": TOOL}}],
        "stream_options": {"include_usage": True}}),
    "responses": ("/v1/responses", {
        "model": "m", "input": "go", "tools": [{"type": "function", "name": "shell_command", "parameters": TOOL}]}),
    "gemini": ("/v1beta/models/m:streamGenerateContent", {
        "contents": [{"role": "user", "parts": [{"text": "go"}]}],
        "tools": [{"functionDeclarations": [{"name": "run_shell_command", "parameters": TOOL}]}]}),
}


def post(base: str, api: str, **more: Any) -> tuple[int, str]:
    path, body = BODIES[api]
    asked = urllib.request.Request(base + path, json.dumps({**body, **more}).encode(), {"content-type": "application/json"})
    try:
        with urllib.request.urlopen(asked, timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


@pytest.mark.parametrize("api", BODIES)
def test_each_dialect_streams_a_tool_call_and_its_usage(api: str) -> None:
    with model(delay=0) as served:
        served.script("a", "loop", cmd="ls")
        status, text = post(served.base("a"), api, stream=True)
        assert status == 200 and "ls" in text and any(name in text for name in ("Bash", "bash", "shell_command"))
        assert "okens" in text or "TokenCount" in text
        assert [entry["api"] for entry in served.turns("a")] == [api]
        assert served.log("b") == []


@pytest.mark.parametrize("api", BODIES)
def test_the_first_requests_fail_as_told_and_the_next_does_not(api: str) -> None:
    with model(delay=0) as served:
        served.script("a", "rate_limit", n=2, retry_after=3)
        assert [post(served.base("a"), api, stream=True)[0] for _ in range(3)] == [429, 429, 200]


def test_a_marker_in_the_prompt_chooses_when_nobody_else_did(tmp_path: Path) -> None:
    (tmp_path / "bodies").mkdir()
    with model(delay=0, dump=tmp_path / "bodies") as served:
        said = post(served.base("a"), "chat", messages=[{"role": "user", "content": "x [[scenario:lie]]"}])
        assert "all green" in said[1]
        assert len(list((tmp_path / "bodies").iterdir())) == 1


def test_a_request_without_tools_is_no_turn() -> None:
    with model(delay=0) as served:
        post(served.base("a"), "anthropic", tools=[])
        assert served.log("a")[0]["side"] and served.turns("a") == []


@pytest.mark.parametrize("api", BODIES)
@pytest.mark.parametrize("scenario", sorted(set(SCENARIOS) - {"hang", "hang_head", "cut", "drip"}))
def test_every_scenario_answers_in_every_dialect(served: Model, scenario: str, api: str) -> None:
    session = f"{scenario}-{api}"
    served.script(session, scenario)
    assert post(served.base(session), api, stream=True)[0] in (200, 400, 401, 429, 500, 529)


@pytest.fixture(scope="module")
def served() -> Any:
    with model(delay=0) as one:
        yield one


def test_it_runs_as_a_program_and_is_told_over_http() -> None:
    program = Path(__file__).parent / "server.py"
    with subprocess.Popen((sys.executable, program, "--port", "0"), stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout
        base = json.loads(running.stdout.readline())["url"]
        try:
            body = json.dumps({"session": "z", "scenario": "auth"}).encode()
            with urllib.request.urlopen(urllib.request.Request(base + "/__ctl/script", body), timeout=10) as answer:
                assert json.load(answer) == {"ok": True}
            assert post(f"{base}/s/z", "anthropic")[0] == 401
            with urllib.request.urlopen(base + "/__ctl/log?session=z", timeout=10) as answer:
                assert [entry["status"] for entry in json.load(answer)] == [401]
        finally:
            running.terminate()
