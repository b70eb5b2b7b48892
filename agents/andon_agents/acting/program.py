"""The command line of the scripted agent. Knows arguments and exit codes; the scenario decides the rest."""

import os
import signal
from pathlib import Path

from andon.schema.errors import Mistake

from .screen import DIM, Screen, stderr
from .shelf import bundled, opened

USAGE = """usage: python -m andon_agents.scripted SCENARIO [--prompt FILE]
       python -m andon_agents.scripted --list

SCENARIO is a bundled name or the path of a TOML file. ANDON_SCRIPTED_SPEED=10 plays ten times as fast."""
MISTAKE_EXIT, INTERRUPT_EXIT = 2, 130


def main(argv: list[str]) -> int:
    """Play the scenario that the arguments name; the exit code is the agent's."""
    if argv in (["-h"], ["--help"], []):
        print(USAGE)
        return 0 if argv else MISTAKE_EXIT
    try:
        if argv == ["--list"]:
            print("\n".join(f"{name:<18} {opened(name).about}" for name in bundled()))
            return 0
        return _play(argv)
    except Mistake as mistake:
        stderr(str(mistake))
        return MISTAKE_EXIT
    except KeyboardInterrupt:
        return INTERRUPT_EXIT
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 128 + signal.SIGPIPE


def _play(argv: list[str]) -> int:
    """Read the scenario and the prompt, then act."""
    from .deeds import DEEDS
    from .misdeeds import MISDEEDS
    from .player import Player

    name, prompt = _arguments(argv)
    scenario = opened(name)
    screen = Screen(os.environ.get("ANDON_TASK") or "scripted")
    screen.banner(f"{scenario.name}: {scenario.about}")
    if prompt:
        for line in _first_lines(Path(prompt)):
            screen.line(f"> {line}", DIM)
    return Player(scenario, checkout=Path.cwd(), screen=screen).play({**DEEDS, **MISDEEDS})


def _arguments(argv: list[str]) -> tuple[str, str]:
    """Scenario and prompt file. Raises Mistake for anything else."""
    rest = list(argv)
    prompt = ""
    if "--prompt" in rest:
        place = rest.index("--prompt")
        prompt = rest[place + 1] if place + 1 < len(rest) else ""
        del rest[place:place + 2]
    if len(rest) != 1 or rest[0].startswith("-"):
        raise Mistake(f"these arguments make no sense: {' '.join(argv)}", where="the command line", mend=USAGE)
    return rest[0], prompt


def _first_lines(path: Path) -> list[str]:
    """What an agent shows of its prompt. Raises Mistake when there is no such file."""
    try:
        lines = [line for line in path.read_text("utf-8", errors="replace").splitlines() if line.strip()]
    except OSError as error:
        raise Mistake(f"the prompt cannot be read: {error}", where=str(path), mend="give --prompt an existing file") from error
    return [line[:100] for line in lines[:3]]


