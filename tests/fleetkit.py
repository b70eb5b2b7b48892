"""A factory whose agents are the real CLIs, and the scripted model behind them."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from andon.schema import inputs as i, wire
from andon.schema.ids import RepoId, TaskId
from factory import Factory, factory, small_repo
from model.server import Model, model
from realkit import cli

KEYS = {
    "claude": {"ANTHROPIC_API_KEY": "sk-test-0123456789abcdefghij"}, "codex": {"OPENAI_API_KEY": "sk-test"},
    "opencode": {"OPENAI_API_KEY": "sk-test"},
}
MODELS = {"claude": "claude-sonnet-4-5", "codex": "scripted-1", "opencode": "scripted-1"}


class Fleet:
    """A running factory with one registered repository."""

    def __init__(self, plant: Factory, served: Model, path: Path, repo: RepoId) -> None:
        self.plant, self.served, self.path, self.repo = plant, served, path, repo

    def add(self, scenario: str, agent: str, **fields: object) -> TaskId:
        """A task whose model acts out this scenario: `proper`, `rate_limit n=2 retry_after=2` …"""
        spec = f"Do the small job.\n\n[[scenario:{scenario}]]\n"
        done = self.plant.do(i.AddTask(repo=self.repo, title=scenario, spec=spec, agent=agent, **fields))  # type: ignore[arg-type]
        assert isinstance(done, wire.Done), done
        return TaskId(done.ids[0])


def settings(served: Model, agents: tuple[str, ...], more: str = "") -> str:
    """andon.toml's sections of these agents."""
    told = []
    for name in agents:
        told.append(f"""
[agents.{name}]
use = "{name}"
model = "{MODELS[name]}"
upstream = "{served.base(name)}"
gateway = "on"
""")
    return "".join(told) + more


@contextmanager
def fleet(folder: Path, *agents: str, more: str = "", person: str = "") -> Iterator[Fleet]:
    """A factory with these agents. Ended with everything that it started."""
    binaries = [str(cli(name).parent) for name in agents]
    keys = {key: value for name in agents for key, value in KEYS[name].items()}
    (folder / "config").mkdir(parents=True, exist_ok=True)
    if person:
        (folder / "config/andon.toml").write_text(person)
    env = {**keys, "PATH": os.pathsep.join([*binaries, os.environ["PATH"]]), "ANDON_CONFIG_HOME": str(folder / "config")}
    with model() as served, factory(folder / "f", env) as plant:
        path = small_repo(folder / "shop", extra=settings(served, agents, more))
        yield Fleet(plant, served, path, plant.register(path))
