"""The command line of the sitter. Knows arguments and exit codes; the seat does the rest."""

import argparse
import contextlib
import json
import os
from pathlib import Path

from andon.schema.errors import Mistake

from .program import MISTAKE_EXIT
from .screen import stderr
from .shelf import opened

HOOK = "ANDON_SITTER_HOOK"
"""argv of the hook program, as JSON."""


def main(argv: list[str]) -> int:
    """Sit down to a scenario; the exit code is the agent's."""
    parser = argparse.ArgumentParser(prog="python -m andon_agents.sitter", description="An interactive agent without a model.")
    parser.add_argument("scenario", help="a bundled name, or the path of a TOML file")
    parser.add_argument("--prompt", type=Path, help="the file with the first message")
    parser.add_argument("--home", type=Path, default=Path(".sitter"), help="where conversations lie")
    name = parser.add_mutually_exclusive_group(required=True)
    name.add_argument("--session-id", help="begin this conversation")
    name.add_argument("--resume", help="go on with this conversation")
    parser.add_argument("--approve-all", action="store_true", help="ask for no permission")
    told = parser.parse_args(argv)
    with contextlib.suppress(OSError):
        Path("/proc/self/comm").write_text("sitter")  # its own process is known by this name
    try:
        return _sit(told)
    except Mistake as mistake:
        stderr(str(mistake))
        return MISTAKE_EXIT


def _sit(told: argparse.Namespace) -> int:
    """Read scenario, prompt and memory, then act."""
    from .deeds import DEEDS
    from .diary import Diary
    from .hooks import Hooks
    from .misdeeds import MISDEEDS
    from .seat import Seat, SeatScreen
    from .seated import ALONE, TOOLS

    diary = Diary(told.home, told.resume or told.session_id, told.scenario, os.environ.get("ANDON_ATTEMPT", ""))
    scenario = opened(diary.scenario)
    hooks = Hooks(tuple(json.loads(os.environ.get(HOOK) or "[]")), conversation=diary.conversation, transcript=diary.path,
                  cwd=Path.cwd())
    screen = SeatScreen(os.environ.get("ANDON_TASK") or "sitter")
    screen.banner(f"{scenario.name}: {scenario.about}")
    seat = Seat(scenario, diary, hooks, checkout=Path.cwd(), screen=screen, tools=TOOLS, asks=not told.approve_all)
    return seat.sit(_prompt(told.prompt), {**DEEDS, **MISDEEDS, **ALONE})


def _prompt(path: Path | None) -> str:
    """The first message. Raises Mistake when there is no such file."""
    if path is None:
        return "Go on."
    try:
        return path.read_text("utf-8", errors="replace")
    except OSError as error:
        raise Mistake(f"the prompt cannot be read: {error}", where=str(path), mend="give --prompt an existing file") from error
