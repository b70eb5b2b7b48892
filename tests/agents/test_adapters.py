"""Adapters: one contract for all of them, and the door through which anybody's come in."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from agentkit import Stage
from andon.schema.agent import Adapter, Installed, Launch
from andon.schema.errors import Mistake
from andon.schema.settings import AgentSettings
from andon_agents.command import WORD_LIMIT, presets
from andon_agents.find import adapter_for, adapters, installed

ALL = sorted(adapters())
NAMES = sorted({"command", "scripted", *presets()})
"""Adapters that only start a program; the contract of all is in the conformance kit."""
PRESETS = sorted(presets())


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path)


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A PATH on which every agent CLI is installed: programs that print their arguments and where they run."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in (*(preset.argv[0] for preset in presets().values()), "my-agent"):
        program = folder / name
        program.write_text('#!/bin/sh\npwd\nprintf "%s\\n" "$@"\n')
        program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    return folder


def settings(name: str, *args: str, **env: str) -> AgentSettings:
    """Working settings of an agent of this adapter."""
    command = ("my-agent", "{prompt_file}") if name == "command" else ()
    args = ("nothing", *args) if name == "scripted" else args
    return AgentSettings(name="default", use=name, command=command, args=args, env=env)


def launched(stage: Stage, agent: AgentSettings, prompt: str = "Do it.") -> Launch:
    return adapter_for(agent).launch(stage.assignment(agent=agent, prompt=prompt))


# --- the contract ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ALL)
def test_an_adapter_is_found_under_its_own_name(name: str) -> None:
    assert adapters()[name].name == name
    assert adapter_for(AgentSettings(name="a", use=name)).name == name


@pytest.mark.parametrize("name", NAMES)
def test_an_adapter_starts_a_program_that_exists(name: str, stage: Stage, programs: Path) -> None:
    launch = launched(stage, settings(name))
    assert Path(launch.argv[0]).is_absolute()
    done = subprocess.run(launch.argv, cwd=stage.checkout, env={**os.environ, **launch.env}, stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", NAMES)
def test_an_adapter_is_told_the_task(name: str, stage: Stage, programs: Path) -> None:
    told = "\0".join(launched(stage, settings(name), prompt="The whole task.").argv)
    assert "The whole task." in told or str(stage.job / "prompt.md") in told


@pytest.mark.parametrize("name", NAMES)
def test_an_adapter_appends_further_arguments_in_order(name: str, stage: Stage, programs: Path) -> None:
    assert launched(stage, settings(name, "--model", "small one")).argv[-2:] == ("--model", "small one")


@pytest.mark.parametrize("name", NAMES)
def test_an_adapter_passes_on_the_environment_that_was_configured(name: str, stage: Stage, programs: Path) -> None:
    assert launched(stage, settings(name, LEVEL="high")).env["LEVEL"] == "high"


@pytest.mark.parametrize("name", NAMES)
def test_no_word_of_an_adapter_is_longer_than_the_system_takes(name: str, stage: Stage, programs: Path) -> None:
    launch = launched(stage, settings(name), prompt="x" * 500_000)
    assert max(len(word) for word in launch.argv) <= WORD_LIMIT
    assert str(stage.job / "prompt.md") in "\0".join(launch.argv)


@pytest.mark.parametrize("name", NAMES)
def test_an_adapter_never_fills_in_what_the_prompt_itself_contains(name: str, stage: Stage, programs: Path) -> None:
    launch = launched(stage, settings(name), prompt="Explain {checkout} and {prompt_file} and {unknown}")
    assert "Explain " + str(stage.checkout) not in "\0".join(launch.argv)


@pytest.mark.parametrize("name", ALL)
def test_detecting_says_nothing_on_an_empty_machine(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert adapters()[name].detect() == ()


@pytest.mark.parametrize("name", PRESETS)
def test_detecting_finds_an_installed_cli(name: str, programs: Path) -> None:
    binary = programs / presets()[name].argv[0]
    assert adapters()[name].detect() == (Installed(adapter=name, binary=str(binary)),)
    assert Installed(adapter=name, binary=str(binary)) in installed()


@pytest.mark.parametrize("name", PRESETS)
def test_a_missing_cli_is_a_mistake_that_says_how_to_install_it(
    name: str, stage: Stage, monkeypatch: pytest.MonkeyPatch, tmp_path: Path,
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Mistake) as caught:
        launched(stage, settings(name))
    assert "[agents.default]" in caught.value.problem.where
    assert "install" in caught.value.problem.mend


# --- command ---------------------------------------------------------------------------------------------------------


def test_a_command_gets_every_place_of_every_word_filled_in(stage: Stage, programs: Path) -> None:
    agent = AgentSettings(name="mine", command=("my-agent", "{task}:{title}", "--in={checkout}", "{prompt}", "{other}", "{{"),
                          args=("{prompt_file}",))
    assert launched(stage, agent).argv == (
        str(programs / "my-agent"), "T3:A title", f"--in={stage.checkout}", "Do it.", "{other}", "{{", str(stage.job / "prompt.md"),
    )


def test_a_program_of_the_repository_starts_from_the_checkout(stage: Stage) -> None:
    tool = stage.checkout / "tools" / "agent"
    tool.parent.mkdir()
    tool.write_text("#!/bin/sh\n")
    agent = AgentSettings(name="mine", command=("./tools/agent",))
    with pytest.raises(Mistake, match="no program"):
        launched(stage, agent)
    tool.chmod(0o755)
    assert launched(stage, agent).argv == (str(tool),)


def test_a_program_is_looked_for_on_the_path_of_the_agent(stage: Stage, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    shutil.copy("/bin/true", other / "only-here")
    with pytest.raises(Mistake):
        launched(stage, AgentSettings(name="mine", command=("only-here",)))
    agent = AgentSettings(name="mine", command=("only-here",), env={"PATH": str(other)})
    assert launched(stage, agent).argv == (str(other / "only-here"),)


@pytest.mark.parametrize(("agent", "words"), [
    (AgentSettings(name="mine"), ("no command", "[agents.mine]", "command =")),
    (AgentSettings(name="mine", command=("no-such-agent",)), ("no-such-agent", "[agents.mine]", "install")),
    (AgentSettings(name="mine", command=("/bin/true", "{prompt}" * 3)), ("long", "[agents.mine]", "{prompt_file}")),
    (AgentSettings(name="mine", use="cline", command=("x",)), ("both", "[agents.mine]", "args")),
])
def test_wrong_settings_are_mistakes_with_what_where_and_mend(agent: AgentSettings, words: tuple[str, ...], stage: Stage) -> None:
    with pytest.raises(Mistake) as caught:
        launched(stage, agent, prompt="x" * 50_000)
    problem = caught.value.problem
    for word, text in zip(words, (problem.what, problem.where, problem.mend), strict=True):
        assert word in text


# --- the door --------------------------------------------------------------------------------------------------------

PLUGIN = """
from andon.schema.agent import Launch
class Robot:
    name = "robot"
    def detect(self): return ()
    def launch(self, assignment): return Launch(argv=("/bin/echo", assignment.title))
ADAPTER = Robot()
"""


def package(site: Path, name: str, entries: str, source: str = PLUGIN, *, monkeypatch: pytest.MonkeyPatch) -> None:
    """A distribution as pip leaves it behind, on sys.path."""
    site.mkdir(exist_ok=True)
    (site / f"{name}.py").write_text(source)
    info = site / f"{name}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[andon.agents]\n{entries}\n")
    monkeypatch.syspath_prepend(str(site))


def test_ours_and_presets_come_without_anybody_else() -> None:
    assert {"scripted", "command", "claude", "codex", "opencode", "gemini", "qwen", "copilot", "aider"} <= set(adapters())


def test_a_package_of_somebody_else_adds_an_adapter(stage: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package(tmp_path / "site", "robotics", "robot = robotics:ADAPTER", monkeypatch=monkeypatch)
    robot: Adapter = adapters()["robot"]
    assert robot.launch(stage.assignment()).argv == ("/bin/echo", "A title")
    assert adapter_for(AgentSettings(name="a", use="robot")).name == "robot"


def test_a_real_adapter_beats_the_preset_of_its_name(stage: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package(tmp_path / "site", "better", "cline = better:ADAPTER", monkeypatch=monkeypatch)
    assert adapters()["cline"].launch(stage.assignment()).argv[0] == "/bin/echo"


@pytest.mark.parametrize(("source", "says"), [
    ("import nothing_of_this_name", "ModuleNotFoundError"), ("ADAPTER = 1", "no name"), ("def broken(:", "SyntaxError"),
    ("1 / 0", "ZeroDivisionError"), ("", "AttributeError"),
])
def test_a_broken_package_breaks_only_itself(
    source: str, says: str, stage: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:
    name = f"broken_{says.replace(' ', '_').lower()}"
    package(tmp_path / "site", name, f"broken = {name}:ADAPTER", source, monkeypatch=monkeypatch)
    found = adapters()
    assert "scripted" in found
    with pytest.raises(Mistake) as caught:
        found["broken"].launch(stage.assignment())
    assert says in caught.value.problem.what
    assert name in caught.value.problem.where


def test_two_packages_that_claim_one_name_are_both_refused(stage: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package(tmp_path / "one", "first_robot", "robot = first_robot:ADAPTER", monkeypatch=monkeypatch)
    package(tmp_path / "two", "second_robot", "robot = second_robot:ADAPTER", monkeypatch=monkeypatch)
    with pytest.raises(Mistake, match="2 packages claim this name"):
        adapters()["robot"].launch(stage.assignment())


@pytest.mark.parametrize(("use", "hint"), [
    ("cladue", 'use = "claude"'), ("script", 'use = "scripted"'), ("zzz", 'use = "command"'),
])
def test_an_unknown_adapter_is_a_mistake_with_the_nearest_name(use: str, hint: str) -> None:
    with pytest.raises(Mistake) as caught:
        adapter_for(AgentSettings(name="default", use=use))
    assert hint in caught.value.problem.mend
    assert "[agents.default]" in caught.value.problem.where


# --- scripted --------------------------------------------------------------------------------------------------------


def test_the_scenario_is_the_markers_then_the_settings_then_proper(stage: Stage) -> None:
    agent = AgentSettings(name="default", use="scripted", args=("lie",))
    marked = "Work.\n  [[scenario: flood]]\nand [[scenario: crash]] inline\n[[scenario: hang]]\n"
    assert "flood" in launched(stage, agent, prompt=marked).argv
    assert "lie" in launched(stage, agent).argv
    assert "proper" in launched(stage, AgentSettings(name="default", use="scripted")).argv


def test_a_scenario_file_may_lie_in_the_checkout(stage: Stage) -> None:
    path = stage.checkout / "acts" / "my act.toml"
    path.parent.mkdir()
    path.write_text("[[step]]\nnothing = true\n")
    agent = AgentSettings(name="default", use="scripted")
    assert str(path) in launched(stage, agent, prompt="[[scenario: acts/my act.toml]]").argv


@pytest.mark.parametrize(("marker", "mend"), [("fload", "did you mean `flood`"), ("gone/away.toml", "--list")])
def test_a_scenario_that_does_not_exist_is_a_mistake(marker: str, mend: str, stage: Stage) -> None:
    with pytest.raises(Mistake) as caught:
        launched(stage, AgentSettings(name="default", use="scripted"), prompt=f"[[scenario: {marker}]]")
    assert mend in caught.value.problem.mend


def test_what_lies_in_the_checkout_is_never_imported_by_the_agent(stage: Stage) -> None:
    for name in ("msgspec", "andon", "andon_agents", "tomllib", "subprocess", "sitecustomize"):
        (stage.checkout / f"{name}.py").write_text("raise SystemExit('hijacked')\n")
    launch = launched(stage, AgentSettings(name="default", use="scripted", args=("proper",)))
    bare = {"PATH": os.environ["PATH"], "HOME": str(stage.folder), "ANDON_SCRIPTED_SPEED": "1000"}
    done = subprocess.run(launch.argv, cwd=stage.checkout, env={**bare, **launch.env}, stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert [said.kind for said in stage.said()] == ["progress", "finished"]


def test_the_agents_own_import_path_does_not_reach_what_it_runs(stage: Stage) -> None:
    act = stage.folder / "act.toml"
    act.write_text('[[step]]\nrun = "env > ../env.txt"\n')
    agent = AgentSettings(name="default", use="scripted", args=(str(act),), env={"PYTHONPATH": "/the/persons/own"})
    launch = launched(stage, agent)
    subprocess.run(launch.argv, cwd=stage.checkout, env={**os.environ, **launch.env}, stdin=subprocess.DEVNULL, timeout=30,
                   check=True, capture_output=True)
    told = dict(line.split("=", 1) for line in (stage.folder / "env.txt").read_text().splitlines() if "=" in line)
    assert told["PYTHONPATH"] == "/the/persons/own"
    assert "ANDON_SCRIPTED_ROOTS" not in told


def test_the_scripted_agent_runs_on_our_own_interpreter(stage: Stage) -> None:
    assert launched(stage, AgentSettings(name="default", use="scripted")).argv[:2] == (sys.executable, "-P")
