"""Real agents of the Agent Client Protocol against the scripted model: work with permissions, and all of them denied."""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

import gitkit
import realkit
from andon.schema import signals as s
from andon.schema.agent import Assignment, SessionFacts
from andon.schema.ids import AttemptId, TaskId
from andon.schema.settings import AgentSettings
from andon_agents.acp import ADAPTER
from model.server import Model, model

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
GEMINI = {"security": {"auth": {"selectedType": "gemini-api-key"}, "folderTrust": {"enabled": False}},
          "general": {"enableAutoUpdate": False}, "privacy": {"usageStatisticsEnabled": False}}
COMMANDS = {"gemini": ("gemini", "--acp", "-m", "gemini-2.5-pro"), "opencode": ("opencode", "acp")}


@pytest.fixture(scope="module")
def served() -> Iterator[Model]:
    with model() as running:
        yield running


@pytest.mark.parametrize("allow", [True, False], ids=["allowed", "denied"])
@pytest.mark.parametrize("name", sorted(COMMANDS))
async def test_a_real_agent_works_and_obeys_each_decision(name: str, allow: bool, tmp_path: Path, served: Model) -> None:
    binary, checkout, job = realkit.cli(name), gitkit.make_repo(tmp_path / "checkout", {"README.md": "# P\n"}), tmp_path / "job"
    for key, value in (("user.name", "A"), ("user.email", "a@example.org")):
        gitkit.run(checkout, "config", key, value)
    home = tmp_path / "private"
    (home / ".gemini").mkdir(parents=True)
    (home / ".gemini/settings.json").write_text(json.dumps(GEMINI))
    job.mkdir()
    (job / "prompt.md").write_text("Do it. [[scenario:proper]]")
    env = {"PATH": f"{binary.parent}:{os.environ['PATH']}", "HOME": str(home), "OPENAI_API_KEY": "k", "GEMINI_API_KEY": "k"}
    agent = AgentSettings(name="a", use="acp", command=COMMANDS[name], env=env, upstream=served.base(tmp_path.name),
                          model="scripted/scripted-1" if name == "opencode" else "")
    launch = ADAPTER.launch(Assignment(
        attempt=AttemptId("T1.1"), task=TaskId("T1"), title="t", prompt="", prompt_file=job / "prompt.md", checkout=checkout,
        job=job, agent=agent, home=home))
    channel = ADAPTER.channel(SessionFacts(attempt=AttemptId("T1.1"), job=job, home=home, checkout=checkout, agent=agent))
    assert channel is not None
    heard: list[s.AnySignal] = []
    with (job / "out").open("wb") as out:
        client = await asyncio.create_subprocess_exec(
            *launch.argv, cwd=checkout, env={**os.environ, **launch.env}, stdin=subprocess.DEVNULL, stdout=out, stderr=out,
            start_new_session=True)
    try:
        async with asyncio.timeout(150):
            async for line in channel.lines():
                heard += (signals := ADAPTER.read(line))
                for ask in (one for one in signals if isinstance(one, s.PermissionWanted)):
                    assert await channel.answer(ask.ask, allow=allow)
                if any(isinstance(one, s.TurnEnded | s.TurnFailed | s.Ended) for one in signals):
                    break
    finally:
        await channel.close()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(client.pid, signal.SIGKILL)
        await client.wait()
    kinds = [type(one) for one in heard]
    assert s.Began in kinds and s.ToolEnded in kinds and s.TurnEnded in kinds, (job / "out").read_text()
    settled = {one.how for one in heard if isinstance(one, s.AskSettled)}
    assert settled == {"allowed once" if allow else "denied"}
    assert ("hello.txt" in gitkit.run(checkout, "log", "--stat", "-1")) is allow
