"""What the scripted agent does when it behaves: read, edit, run, commit, ask, finish. Knows the checkout; never leaves it."""

import os
import select
import subprocess
import time
from typing import TYPE_CHECKING, TypeVar

from . import scenario as sc
from .player import Leave, Player, Stuck, until
from .screen import BOLD, CYAN, FRAME_S, GREEN, INPUT, RED, shown

if TYPE_CHECKING:
    from collections.abc import Callable

OUTPUT_LIMIT = 1_000_000
"""Bytes of a command's output that are kept."""


def say(player: Player, step: sc.Say) -> None:
    """Words."""
    player.screen.line(f"● {step.text}")


def think(player: Player, step: sc.Think) -> None:
    """Thinking."""
    player.pause(step.text, step.seconds)


def read(player: Player, step: sc.Read) -> None:
    """A file, or the names in a folder."""
    player.pause("Reading", 0.4)
    path = player.path(step.path)
    player.screen.deed("Read", step.path)
    if path.is_dir():
        text = "\n".join(sorted(entry.name for entry in path.iterdir()))
    else:
        try:
            text = path.read_text("utf-8", errors="replace")
        except OSError:
            player.screen.under([f"there is no {step.path}"], RED)
            return
    lines = text.splitlines()
    more = [f"… {len(lines) - step.lines} more lines"] if len(lines) > step.lines else []
    player.screen.under([*shown("\n".join(lines[:step.lines]), step.lines), *more])


def edit(player: Player, step: sc.Edit) -> None:
    """Replace a text that occurs exactly once. An edit that was made by an earlier attempt stays. Stuck when nothing fits."""
    path = player.path(step.path)
    player.pause("Editing", 0.6)
    player.screen.deed("Edit", step.path)
    try:
        before = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise Stuck(f"{step.path} cannot be read: {error}") from error
    count = before.count(step.find)
    if step.replace and step.replace in before and (step.find in step.replace or not count):
        player.screen.under(["already there"])
        return
    if count != 1:
        raise Stuck(f"the text to replace occurs {count} times in {step.path}: {step.find.strip().splitlines()[0]!r}")
    path.write_text(before.replace(step.find, step.replace), "utf-8")
    removed, added = step.find.splitlines(), step.replace.splitlines()
    player.screen.under([f"{counted(len(added))} instead of {len(removed)}"])
    player.screen.under([f"+ {line}" for line in added if line not in removed][:5], GREEN)


def append(player: Player, step: sc.Append) -> None:
    """Text at the end of a file, unless an earlier attempt put it there."""
    player.pause("Editing", 0.6)
    player.screen.deed("Edit", step.path)
    path = player.path(step.path)
    path.parent.mkdir(parents=True, exist_ok=True)
    if step.text.strip() and path.exists() and step.text in path.read_text("utf-8", errors="replace"):
        player.screen.under(["already there"])
        return
    with path.open("a", encoding="utf-8") as file:
        file.write(step.text)
    player.screen.under([f"+ {line}" for line in step.text.splitlines() if line.strip()][:5], GREEN)


def write(player: Player, step: sc.Write) -> None:
    """A whole file."""
    player.pause("Writing", 0.8)
    player.screen.deed("Write", step.path)
    path = player.path(step.path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(step.text, "utf-8")
    if step.executable:
        path.chmod(0o755)
    player.screen.under([counted(len(step.text.splitlines()))])


def counted(lines: int) -> str:
    """`1 line`, `2 lines`."""
    return f"{lines} line{'' if lines == 1 else 's'}"


def delete(player: Player, step: sc.Delete) -> None:
    """A file goes."""
    player.screen.deed("Delete", step.path)
    player.path(step.path).unlink(missing_ok=True)


def run(player: Player, step: sc.Run) -> None:
    """A shell command, its output below it. The spinner turns while it runs."""
    player.screen.deed("Bash", step.command.replace(player.values["python"], "python"))
    code, output = shell(player, step.command)
    player.screen.under(shown(output, step.lines) or ["(no output)"])
    if code:
        player.screen.under([f"exit code {code}"], RED)
        if step.must:
            raise Stuck(f"`{step.command}` failed with exit code {code}")


def shell(player: Player, command: str) -> tuple[int, str]:
    """Run a command in the checkout to its end: exit code and output, stdout and stderr as one, at most OUTPUT_LIMIT bytes."""
    with subprocess.Popen(["/bin/sh", "-c", command], cwd=player.checkout, env=child_env(), stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        try:
            return _watched(player, process)
        except BaseException:
            process.kill()
            raise


def _watched(player: Player, process: "subprocess.Popen[bytes]") -> tuple[int, str]:
    """Read a process to its end, not to the end of what it left behind in the background."""
    assert process.stdout is not None
    out, kept, started = process.stdout.fileno(), b"", time.monotonic()
    while True:
        ready, _, _ = select.select([out], [], [], FRAME_S)
        chunk = os.read(out, 65536) if ready else b""
        kept = (kept + chunk)[-OUTPUT_LIMIT:]
        if ready and not chunk:
            process.wait()
        if not chunk and process.poll() is not None:
            return process.returncode, kept.decode(errors="replace")
        if player.screen.live and not ready:
            player.screen.frame("Running", started)


def child_env() -> dict[str, str]:
    """The environment of what the agent runs: without the import path that was ours alone."""
    env = dict(os.environ)
    ours = env.pop("ANDON_SCRIPTED_ROOTS", "").split(os.pathsep)
    theirs = [root for root in env.pop("PYTHONPATH", "").split(os.pathsep) if root and root not in ours]
    if theirs:
        env["PYTHONPATH"] = os.pathsep.join(theirs)
    for key, name in (("NAME", "Scripted Agent"), ("EMAIL", "scripted@andon.invalid")):
        env.setdefault(f"GIT_AUTHOR_{key}", name)
        env.setdefault(f"GIT_COMMITTER_{key}", name)
    return env


def git(player: Player, *words: str) -> str:
    """The output of a git command in the checkout. Stuck when it fails."""
    done = subprocess.run(["git", *words], cwd=player.checkout, env=child_env(), stdin=subprocess.DEVNULL, capture_output=True,
                          check=False)
    if done.returncode:
        raise Stuck(f"git {words[0]} failed: {done.stderr.decode(errors='replace').strip()[-300:]}")
    return done.stdout.decode(errors="replace").strip()


def record(player: Player, message: str, *more: str) -> str:
    """Commit what is staged and give the commit's name."""
    git(player, "-c", "commit.gpgsign=false", "commit", "-q", "-m", message, *more)
    return git(player, "rev-parse", "HEAD")


def commit(player: Player, step: sc.Commit) -> None:
    """Everything in the checkout, as one commit."""
    player.screen.deed("Bash", f'git add -A && git commit -m "{step.message.splitlines()[0]}"')
    git(player, "add", "-A")
    if not git(player, "status", "--porcelain"):
        player.screen.under(["nothing to commit"], RED)
        return
    name = record(player, step.message)
    player.screen.under([f"[{name[:9]}] {step.message.splitlines()[0]}", git(player, "show", "--shortstat", "--format=", "HEAD")])


def progress(player: Player, step: sc.Progress) -> None:
    """A report."""
    player.tell("progress", step.text)
    player.screen.line(f"● {step.text}")


def ask(player: Player, step: sc.Ask) -> None:
    """A question; the run waits for its answer."""
    number = player.tell("ask", step.text, options=step.options)
    player.screen.line(f"☐ {step.text}", BOLD)
    player.screen.under([f"{place}. {option}" for place, option in enumerate(step.options, 1)], CYAN)
    text = player.answer(number)
    if text is None:
        raise Stuck("nobody can answer here")
    if text.isdigit() and 0 < int(text) <= len(step.options):
        text = step.options[int(text) - 1]
    player.settle(text)
    player.screen.line(f"{INPUT} {text}", CYAN)


def finished(player: Player, step: sc.Finished) -> None:
    """The claim that ends most runs."""
    name = git(player, "rev-parse", "HEAD") if step.commit == "HEAD" else step.commit
    player.tell("finished", step.text, commit=name)
    player.screen.line(f"● {step.text}", BOLD)


def handoff(player: Player, step: sc.Handoff) -> None:
    """The task goes back."""
    player.tell("handoff", step.text)
    player.screen.line(f"● Handing off: {step.text}", BOLD)


def idle(player: Player, step: sc.Idle) -> None:
    """An empty prompt."""
    player.screen.title(player.values["task"])
    player.screen.prompt()
    over = until(time.monotonic(), step.seconds)
    while not over() and player.screen.typed_line(0.2) is None:
        if not player.screen.open and not step.seconds:
            return


def leave(player: Player, step: sc.Exit) -> None:
    """The end."""
    raise Leave(step.code)


def slow(player: Player, step: sc.Slow) -> None:
    """Long work that reports."""
    for quarter in range(1, 5):
        player.pause(step.text, step.seconds / 4)
        if quarter < 4:
            player.tell("progress", f"{step.text}: {quarter * 25} %")


def turn_ends(player: Player, step: sc.TurnEnds) -> None:
    """Last words; who ends by itself goes on."""
    player.screen.line(f"● {step.text}")


def question(player: Player, step: sc.Question) -> None:
    """Asked by the one means that this agent has."""
    ask(player, sc.Ask(text=step.text, options=step.options))


def spend(player: Player, step: sc.Spend) -> None:
    """Nobody counts here."""
    player.pause("Thinking", 0.2)


def retry(player: Player, step: sc.Retry) -> None:
    """Refused, and tried again."""
    player.screen.pause(f"{step.trouble} ({step.status}), trying again", step.seconds)


def background(player: Player, step: sc.Background) -> None:
    """Started, and not waited for."""
    player.screen.deed("Bash", f"{step.command} &")
    command = ["/bin/sh", "-c", step.command]
    quiet = subprocess.DEVNULL
    player.children.append(subprocess.Popen(command, cwd=player.checkout, env=child_env(), stdin=quiet, stdout=quiet, stderr=quiet))


def compact(player: Player, step: sc.Compact) -> None:
    """Shorter now."""
    player.pause("Compacting", step.seconds)


StepT = TypeVar("StepT", bound=sc.Step)


def deed(kind: type[StepT], do: "Callable[[Player, StepT], None]") -> "tuple[type[sc.Step], Callable[[Player, sc.Step], None]]":
    """A row of the table: the step's kind, and what it does to a step of any kind."""
    def done(player: Player, step: sc.Step) -> None:
        assert isinstance(step, kind)
        do(player, step)
    return kind, done


DEEDS = dict((
    deed(sc.Say, say), deed(sc.Think, think), deed(sc.Read, read), deed(sc.Edit, edit), deed(sc.Append, append),
    deed(sc.Write, write), deed(sc.Delete, delete), deed(sc.Run, run), deed(sc.Commit, commit), deed(sc.Progress, progress),
    deed(sc.Ask, ask), deed(sc.Finished, finished), deed(sc.Handoff, handoff), deed(sc.Idle, idle), deed(sc.Exit, leave),
    deed(sc.Slow, slow), deed(sc.TurnEnds, turn_ends), deed(sc.Question, question), deed(sc.Spend, spend), deed(sc.Retry, retry),
    deed(sc.Background, background), deed(sc.Compact, compact),
))
"""What each well-behaved step does."""
