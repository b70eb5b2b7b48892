"""The demo's tasks: real work on the demo's project, each with the scenario that the scripted agent acts out. Pure data out."""

import json
import shlex
import tomllib
from importlib import resources
from pathlib import Path
from typing import Literal

import msgspec

from .fetch import Fetched

Role = Literal["", "fails-first", "liar", "asks", "review", "slow", "permission", "falls"]
"""What a task is in the demo to show; empty for ordinary work."""
REVIEW = {"toolz": "toolz/functoolz.py", "pocket": "pocket/tokens.py"}
"""The path of each project that a person must review; everything else ships."""
PYTEST = "PYTEST_DISABLE_PLUGIN_AUTOLOAD=1 {python} -m pytest -q --junitxml={report}"
"""The check. Plugins that happen to be installed beside pytest have no say in the project's tests."""


class DemoTask(msgspec.Struct, frozen=True, kw_only=True):
    """One task of the demo, in the order in which it is to be added."""

    key: str
    """Names it among the demo's tasks: `even-chunks`."""
    title: str
    spec: str
    """Markdown, without the scenario's marker line."""
    after: tuple[str, ...] = ()
    """Keys of earlier tasks."""
    paths: tuple[str, ...] = ()
    role: Role = ""
    agent: str = ""
    """Its agent in the demo's settings; empty: the default one."""
    scenario: str
    """The scenario as TOML; also valid when the task starts anew on a base that others have changed."""


def demo_tasks(project: Fetched) -> tuple[DemoTask, ...]:
    """The tasks for this project, dependencies first."""
    folder = resources.files("andon_agents.demo") / "tasks" / project.name
    files = sorted(entry.name for entry in folder.iterdir() if entry.name.endswith(".toml"))
    return tuple(_task(name.removesuffix(".toml").partition("-")[2], (folder / name).read_text("utf-8")) for name in files)


def write_scenarios(tasks: tuple[DemoTask, ...], into: Path) -> dict[str, str]:
    """Write each task's scenario as a file below `into`; gives the spec of each key with the marker line that names its file."""
    into.mkdir(parents=True, exist_ok=True)
    specs = {}
    for task in tasks:
        path = into.absolute() / f"{task.key}.toml"
        path.write_text(task.scenario, "utf-8")
        specs[task.key] = f"{task.spec.strip()}\n\n[[scenario: {path}]]\n"
    return specs


def andon_toml(project: Fetched, python: str = "python3", scenarios: Path | None = None) -> str:
    """The settings of the demo's repository; `python` is an interpreter that has pytest, `scenarios` the folder in which the
    scripted agents find what to act out: within walls it exists because it is named."""
    run = PYTEST.replace("{python}", shlex.quote(python))
    walls = f"\n[sandbox]\nread = [{_value(str(scenarios))}]\n" if scenarios else ""
    return f"""# Settings of this repository for andon. `andon config show` gives every value with its origin.

[factory]
target = "main"
wip = 6

[agents.default]
use = "scripted"

[agents.sitter]
use = "sitter"

[checks.tests]
run = {_value(run)}
report = "junit"
minutes = 5

[policy]
ship = ["**"]
review = [{_value(REVIEW[project.name])}]

[budget]
task = {{ attempts = 3 }}
{walls}"""


def scenario_toml(about: str, steps: list[dict[str, object]]) -> str:
    """A scenario as TOML."""
    blocks = ["[[step]]\n" + "".join(f"{key} = {_value(value)}\n" for key, value in step.items()) for step in steps]
    return f"about = {_value(about)}\n\n" + "\n".join(blocks)


def _task(key: str, text: str) -> DemoTask:
    """One data file: the table `[task]`, and the steps of its scenario."""
    data = tomllib.loads(text)
    for step in data["step"]:
        if not {"write", "append", "edit"}.isdisjoint(step):
            step.setdefault("literal", True)  # program text: its braces are its own
    scenario = scenario_toml(data["task"]["title"], data["step"])
    return msgspec.convert({"key": key, "scenario": scenario, **data["task"]}, DemoTask)


def _value(value: object) -> str:
    """A value as TOML: JSON's texts, numbers, truths and lists are TOML's, but for DEL."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
