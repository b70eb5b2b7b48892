"""What only an interactive agent does, and by which tool it would do each deed of a scenario. Knows the seat; decides no turn."""

import os
import signal
import threading

from . import scenario as sc
from .deeds import compact, deed, retry, shell, spend
from .misdeeds import die, hang as hangs
from .player import Player, Stuck
from .scenario import Step
from .screen import DIM
from .seat import Deeds, Seat, Tools, TurnOver

CRASH_S = 0.3
"""So long runs the command in which it dies."""
FIX = "# fixed\n"


def turn_ends(player: Player, step: sc.TurnEnds) -> None:
    """Back to the prompt."""
    player.screen.line(f"● {step.text}")
    raise TurnOver(step.text, step.trouble)


def question(player: Player, step: sc.Question) -> None:
    """By its own tool."""
    assert isinstance(player, Seat)
    allowed, text = player.question(step.text, step.options)
    player.settle(text if allowed else "denied")


def spends(player: Player, step: sc.Spend) -> None:
    """Tokens that its transcript tells."""
    assert isinstance(player, Seat)
    spend(player, step)
    player.diary.used(step.tokens)


def retries(player: Player, step: sc.Retry) -> None:
    """As the transcript tells it: the kind, the status, and when it is tried again."""
    assert isinstance(player, Seat)
    wait = int(step.seconds * 1000)
    error = {"status": step.status, "error": {"error": {"type": step.trouble}}}
    player.diary.write("system", subtype="api_error", error=error, retryInMs=wait, retryAttempt=1)
    retry(player, step)


def compacts(player: Player, step: sc.Compact) -> None:
    """The hooks hear of it before and after."""
    assert isinstance(player, Seat)
    player.hooks.tell("PreCompact", trigger="auto")
    compact(player, step)
    player.hooks.tell("PostCompact", trigger="auto")


def hang(player: Player, step: sc.Hang) -> None:
    """A line, and then nothing more."""
    assert isinstance(player, Seat)
    player.screen.line("● Let me think about this.", DIM)
    player.diary.note("hanging")
    hangs(player, step)


def loop(player: Player, step: sc.Loop) -> None:
    """The same edit, by the same call, again and again."""
    assert isinstance(player, Seat)
    done, path = 0, player.path(step.path)
    path.parent.mkdir(parents=True, exist_ok=True)

    def fix() -> None:
        path.write_text(FIX, "utf-8")

    while not step.times or done < step.times:
        done += 1
        with player.interruptible():
            player.pause("Running the tests", step.seconds)
        player.tool("Edit", {"file_path": str(path), "old_string": "", "new_string": FIX}, fix)


def crash(player: Player, step: sc.Crash) -> None:
    """Dead; with a command running, by SIGKILL."""
    assert isinstance(player, Seat)
    if not step.tool:
        die(player, step.how)
    threading.Timer(CRASH_S, os.kill, (os.getpid(), signal.SIGKILL)).start()

    def runs() -> None:
        shell(player, step.tool)
        raise Stuck("it did not die in time")

    player.tool("Bash", {"command": step.tool}, runs)


ALONE: Deeds = dict((
    deed(sc.TurnEnds, turn_ends), deed(sc.Question, question), deed(sc.Spend, spends), deed(sc.Retry, retries),
    deed(sc.Compact, compacts), deed(sc.Hang, hang), deed(sc.Crash, crash), deed(sc.Loop, loop),
))
"""Steps that a sitter does otherwise than an agent that ends by itself."""


def _file(player: Player, name: str) -> str:
    return str(player.path(name))


def _bash(command: str) -> tuple[str, dict[str, object]]:
    return "Bash", {"command": command}


def _tool(player: Player, step: Step) -> tuple[str, dict[str, object]]:
    """The tool and its input."""
    match step:
        case sc.Read():
            return "Read", {"file_path": _file(player, step.path)}
        case sc.Edit():
            return "Edit", {"file_path": _file(player, step.path), "old_string": step.find, "new_string": step.replace}
        case sc.Append():
            return "Edit", {"file_path": _file(player, step.path), "old_string": "", "new_string": step.text}
        case sc.Write():
            return "Write", {"file_path": _file(player, step.path), "content": step.text[:2000]}
        case sc.WriteOutside():
            return "Write", {"file_path": _file(player, step.path), "content": step.text[:2000]}
        case sc.Conflict():
            return "Edit", {"file_path": _file(player, step.path), "old_string": f"line {step.line}", "new_string": step.text}
        case sc.Delete():
            return _bash(f"rm {step.path}")
        case sc.Run():
            return _bash(step.command)
        case sc.Commit():
            return _bash(f"git add -A && git commit -m '{step.message.splitlines()[0]}'")
        case sc.EmptyCommit():
            return _bash(f"git commit --allow-empty -m '{step.message.splitlines()[0]}'")
        case sc.Background():
            return _bash(f"{step.command} &")
        case _:
            raise AssertionError(step)


TOOLS: Tools = dict.fromkeys(
    (sc.Read, sc.Edit, sc.Append, sc.Write, sc.WriteOutside, sc.Conflict, sc.Delete, sc.Run, sc.Commit, sc.EmptyCommit,
     sc.Background), _tool)
"""By which tool each kind of step is done; the others are thoughts and words."""
