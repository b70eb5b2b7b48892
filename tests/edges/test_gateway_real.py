"""Real agents work through the gateway as they do without it: the whole job is done, and every call of it is in the record."""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from gatewaykit import Running, running_gateway
from model.server import Model, model
from realkit import cli

pytestmark = [pytest.mark.real, pytest.mark.timeout(300)]  # the first to ask for a CLI waits until it is installed
KEY = "sk-secret-of-the-person-0123456789"
TASK = "Do it."
CODEX = """
model = "scripted-1"
model_provider = "scripted"
check_for_update_on_startup = false
approval_policy = "never"
sandbox_mode = "danger-full-access"
[model_providers.scripted]
name = "scripted"
base_url = "{base}/v1"
env_key = "SCRIPTED_KEY"
wire_api = "responses"
supports_websockets = {websockets}
request_max_retries = 2
stream_max_retries = 2
[projects."{cwd}"]
trust_level = "trusted"
"""
OPENCODE = {
    "autoupdate": False, "share": "disabled", "model": "scripted/scripted-1", "small_model": "scripted/scripted-1",
    "enabled_providers": ["scripted"], "permission": {"edit": "allow", "bash": "allow", "external_directory": "allow"},
}


@pytest.fixture(scope="module")
def gateway() -> Iterator[Running]:
    with running_gateway() as one:
        yield one


@pytest.fixture
def served() -> Iterator[Model]:
    with model(delay=0) as one:
        yield one


@pytest.fixture
def checkout(own_home: Path) -> Path:
    """A repository with one commit."""
    folder = own_home / "work"
    folder.mkdir()
    (folder / "README.md").write_text("# title\n")
    for words in (("init", "-q"), ("add", "-A"), ("commit", "-q", "-m", "first")):
        subprocess.run(("git", *words), cwd=folder, check=True)
    return folder


def run(argv: list[str], checkout: Path, home: Path, **env: str) -> str:
    """Run an agent to its end; its output."""
    whole = {"PATH": os.environ["PATH"], "HOME": str(home), "PWD": str(checkout), "LANG": "C.UTF-8", "TERM": "dumb", **env}
    done = subprocess.run(argv, cwd=checkout, env=whole, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=100,
                          check=False)
    return done.stdout + done.stderr


def committed(checkout: Path) -> bool:
    """Whether the job was done: the file is committed."""
    log = subprocess.run(("git", "log", "--oneline", "--", "hello.txt"), cwd=checkout, capture_output=True, text=True, check=True)
    return "add hello.txt" in log.stdout


def claude(gateway: Running, served: Model, checkout: Path, home: Path, attempt: str) -> str:
    folder = home / ".claude"
    folder.mkdir()
    known = {"hasCompletedOnboarding": True, "customApiKeyResponses": {"approved": [KEY[-20:]], "rejected": []},
             "projects": {str(checkout): {"hasTrustDialogAccepted": True}}}
    (folder / ".claude.json").write_text(json.dumps(known))
    return run([str(cli("claude")), "-p", TASK, "--permission-mode", "bypassPermissions"], checkout, home,
               CLAUDE_CONFIG_DIR=str(folder), ANTHROPIC_BASE_URL=gateway.base(attempt, served.base(attempt)), ANTHROPIC_API_KEY=KEY,
               CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC="1", DISABLE_AUTOUPDATER="1", IS_SANDBOX="1")


def codex(gateway: Running, served: Model, checkout: Path, home: Path, attempt: str, websockets: bool = False) -> str:
    folder = home / ".codex"
    (home / "tmp").mkdir()
    folder.mkdir()
    base = gateway.base(attempt, served.base(attempt))
    (folder / "config.toml").write_text(CODEX.format(base=base, cwd=checkout, websockets=str(websockets).lower()))
    return run([str(cli("codex")), "exec", "--json", "--skip-git-repo-check", TASK], checkout, home,
               CODEX_HOME=str(folder), SCRIPTED_KEY=KEY, TMPDIR=str(home / "tmp"))


def opencode(gateway: Running, served: Model, checkout: Path, home: Path, attempt: str) -> str:
    known = {"scripted-1": {"name": "Scripted", "tool_call": True}}
    made = {"npm": "@ai-sdk/openai-compatible", "name": "Scripted", "models": known,
            "options": {"baseURL": gateway.base(attempt, served.base(attempt)) + "/v1", "apiKey": KEY}}
    return run([str(cli("opencode")), "run", "--format", "json", "--auto", TASK], checkout, home,
               OPENCODE_CONFIG_CONTENT=json.dumps({**OPENCODE, "provider": {"scripted": made}}), OPENCODE_DISABLE_AUTOUPDATE="1",
               OPENCODE_DISABLE_MODELS_FETCH="1", OPENCODE_DISABLE_LSP_DOWNLOAD="1")


AGENTS = {"claude": claude, "codex": codex, "opencode": opencode}


@pytest.mark.slow
@pytest.mark.parametrize("name", AGENTS)
def test_a_real_agent_does_its_job_through_the_gateway(
    gateway: Running, served: Model, checkout: Path, own_home: Path, name: str,
) -> None:
    attempt = f"{name}.1"
    served.script(attempt, "rate_limit", n=1, retry_after=1)
    said = AGENTS[name](gateway, served, checkout, own_home, attempt)
    assert committed(checkout), said[-3000:]
    served_turns = served.turns(attempt)
    calls = gateway.ended(attempt, len(served_turns))
    turns = [call for call in calls if call.note != "side request"]
    assert [call.status for call in turns] == [entry["status"] for entry in served_turns]
    assert turns[0].status == 429 and turns[0].retry_after == 1.0
    assert all(call.usage and call.usage.input and call.digest for call in turns[1:])
    assert len({call.digest for call in turns[1:]}) == len(turns) - 1, "each turn of a proper job is another call"
    files = [file for file in gateway.place.home.rglob("*") if file.is_file()]
    assert [file for file in files if KEY.encode() in file.read_bytes()] == []


@pytest.mark.slow
@pytest.mark.parametrize("name", ["claude", "codex"])
def test_a_real_agent_that_calls_the_same_tool_for_ever_is_seen_to(
    gateway: Running, served: Model, checkout: Path, own_home: Path, name: str,
) -> None:
    attempt = f"{name}-loop.1"
    served.steps(attempt, *({"shell": "echo same"} for _ in range(6)), {"say": "done"})
    AGENTS[name](gateway, served, checkout, own_home, attempt)
    turns = [call for call in gateway.ended(attempt, len(served.turns(attempt))) if call.note != "side request"]
    assert len(turns) == 7
    assert len({call.digest for call in turns[1:]}) == 1 != len({call.digest for call in turns})


@pytest.mark.slow
def test_codex_falls_back_to_http_at_once_when_its_websocket_is_refused(
    gateway: Running, served: Model, checkout: Path, own_home: Path,
) -> None:
    said = codex(gateway, served, checkout, own_home, "ws.1", websockets=True)
    assert committed(checkout) and "Reconnecting" not in said, said[-3000:]
