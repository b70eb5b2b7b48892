"""aider: how it is started, and what its lines mean."""

from pathlib import Path

import msgspec
import pytest

from agentkit import Stage
from andon.schema import signals as s
from andon.schema.settings import AgentSettings
from andon_agents.aider import ADAPTER


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stage:
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "aider").write_text("#!/bin/sh\n")
    (folder / "aider").chmod(0o755)
    monkeypatch.setenv("PATH", str(folder), prepend=":")
    return Stage(tmp_path)


def read(words: str) -> tuple[s.AnySignal, ...]:
    return ADAPTER.read(s.Line(at=7, source="stdout", data=msgspec.Raw(msgspec.json.encode(words))))


def test_its_histories_lie_in_the_private_home_and_nothing_in_the_checkout(stage: Stage) -> None:
    agent = AgentSettings(name="a", use="aider", model="openai/m", args=("--no-git",))
    assignment = msgspec.structs.replace(stage.assignment(agent=agent), home=stage.folder / "private", gateway="http://127.0.0.1:9/t")
    launch = ADAPTER.launch(assignment)
    files = [word for flag, word in zip(launch.argv, launch.argv[1:], strict=False) if flag.endswith("-history-file")]
    assert len(files) == 3 and all(word.startswith(str(stage.folder / "private")) for word in files)
    assert launch.argv[-1] == "--no-git" and str(assignment.prompt_file) in launch.argv
    assert launch.argv[launch.argv.index("--map-tokens") + 1] == "0"
    assert launch.env["OPENAI_API_BASE"] == "http://127.0.0.1:9/t/v1" and launch.notes == ()


def test_another_provider_is_unmetered_and_says_so(stage: Stage) -> None:
    agent = AgentSettings(name="a", use="aider", model="sonnet")
    launch = ADAPTER.launch(msgspec.structs.replace(stage.assignment(agent=agent), gateway="http://127.0.0.1:9/t"))
    assert "OPENAI_API_BASE" not in launch.env and "unmetered" in launch.notes[0]


def test_tokens_and_money_are_read_where_it_tells_them() -> None:
    (used,) = read("Tokens: 1.2k sent, 300 cache hit, 29 received. Cost: $0.0041 message, $0.02 session.")
    assert isinstance(used, s.Usage) and (used.input, used.cache_read, used.output, used.usd) == (1_200, 300, 29, 0.0041)
    (plain,) = read("Tokens: 915 sent, 29 received.")
    assert isinstance(plain, s.Usage) and (plain.input, plain.output, plain.usd) == (915, 29, None)
    (failed,) = read("litellm.AuthenticationError: AuthenticationError: OpenAIException - invalid x-api-key")
    assert isinstance(failed, s.TurnFailed) and failed.trouble == "auth"
    assert read("Tokens: many") == () == read("hello")
    assert ADAPTER.read(s.Line(at=1, source="stdout", data=msgspec.Raw(b"\xff{"))) == ()
