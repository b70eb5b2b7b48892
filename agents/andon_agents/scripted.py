"""The scripted agent: its adapter, and its door `python -m andon_agents.scripted`. Needs no account, network or token."""

import os
import re
import site
import sys
from pathlib import Path

import msgspec

import andon
import andon_agents
from andon.schema.agent import Assignment, Installed, Launch
from andon.schema.errors import Mistake

_MARKER = re.compile(r"^[ \t]*\[\[scenario:[ \t]*(.+?)[ \t]*\]\][ \t]*$", re.MULTILINE)


class ScriptedAdapter(msgspec.Struct, frozen=True):
    """Starts the bundled program on one scenario: `[[scenario: NAME-OR-PATH]]` in the prompt, else `args[0]`, else `proper`."""

    name: str = "scripted"

    def detect(self) -> tuple[Installed, ...]:
        """Nothing: it comes with us and is no agent CLI of the machine."""
        return ()

    def launch(self, assignment: Assignment) -> Launch:
        """Raises Mistake when the scenario does not exist."""
        args = assignment.agent.args
        scenario = chosen(assignment.prompt) or (args[0] if args else "proper")
        scenario = place(scenario, assignment)
        argv = (sys.executable, "-P", "-m", "andon_agents.scripted", scenario, "--prompt", str(assignment.prompt_file), *args[1:])
        told = {"ANDON_JOB": str(assignment.job), "ANDON_ATTEMPT": str(assignment.attempt), "ANDON_TASK": str(assignment.task)}
        return Launch(argv=argv, env={**import_path(assignment.agent.env), **told, "ANDON_TITLE": assignment.title})


def chosen(prompt: str) -> str:
    """The scenario that the first marker line of a prompt names, or empty."""
    marker = _MARKER.search(prompt)
    return marker[1] if marker else ""


def place(scenario: str, assignment: Assignment) -> str:
    """A bundled name as it is, a path made absolute from the checkout."""
    from andon_agents.acting.shelf import bundled, unknown

    if "/" not in scenario and not scenario.endswith(".toml"):
        if scenario not in bundled():
            raise unknown(scenario, where=f"[agents.{assignment.agent.name}] or the task's [[scenario: …]] line")
        return scenario
    path = assignment.checkout / Path(scenario).expanduser()
    if not path.is_file():
        raise Mistake(f"there is no scenario file {path}", where=f"the scenario of task {assignment.task}",
                      mend="give an existing file, or a bundled name: python -m andon_agents.scripted --list")
    return str(path)


def import_path(env: dict[str, str]) -> dict[str, str]:
    """The agent's own environment, with PYTHONPATH for whatever a fresh interpreter would not find by itself."""
    packages = (*andon_agents.__path__, *andon.__path__, *msgspec.__path__)
    installed = {*site.getsitepackages(), site.getusersitepackages()}
    roots = [root for root in dict.fromkeys(str(Path(package).parent) for package in packages) if root not in installed]
    if not roots:
        return dict(env)
    theirs = [env["PYTHONPATH"]] if env.get("PYTHONPATH") else []
    return {**env, "PYTHONPATH": os.pathsep.join((*roots, *theirs)), "ANDON_SCRIPTED_ROOTS": os.pathsep.join(roots)}


ADAPTER = ScriptedAdapter()
"""The entry point `scripted`."""

if __name__ == "__main__":
    from andon_agents.acting.program import main

    sys.exit(main(sys.argv[1:]))
