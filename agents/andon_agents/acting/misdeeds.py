"""What the scripted agent does when it misbehaves, on demand and bounded, so that every guarantee can be tried against it."""

import contextlib
import fnmatch
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import NoReturn

from . import scenario as sc
from .deeds import deed, git, record
from .player import Leave, Player, Stuck, until
from .screen import BOLD, DIM, RED

CHILDREN_LIMIT = 500
"""Children of one fork_many step."""
FLOOD_LIMIT_MB = 1_024
"""MiB of one flood or big file."""
SECONDS_LIMIT = 3_600
"""Seconds of one flood or burn."""
FILE_BYTES = 8 * 1024 * 1024
"""Of one file of a fill."""
JUNK = (
    "\x1b]52;c;c3RvbGVu\x07", "\x1b]2;ALL CHECKS PASSED\x07", "\x1b]8;;https://example.invalid\x1b\\click\x1b]8;;\x1b\\",
    "[@click=app.quit]approve[/]", "\u202egnp.exe\u202c", "\x1b[2J\x1b[H", "\x1b[?1049h", "\x1b]0;root@host\x07",
    "\x1bPq#0;2;0;0;0\x1b\\",
    "\x1b[5n", "\u2066\u200b\ufeff", "\x07", "\x1b[999;999H", "\x1bc", "[bold red]FAILED[/bold red]", "\udcff",
)
"""What a hostile or broken program prints: clipboard, titles, links, markup, direction overrides, clears, queries."""


def lie(player: Player, step: sc.Lie) -> None:
    """Finished, it says."""
    player.tell("finished", step.text, commit=git(player, "rev-parse", "HEAD"))
    player.screen.line(f"● {step.text}", BOLD)


def nothing(player: Player, step: sc.Nothing) -> NoReturn:
    """Gone without a word."""
    raise Leave(0)


def empty_commit(player: Player, step: sc.EmptyCommit) -> None:
    """A commit with nothing in it."""
    name = record(player, step.message, "--allow-empty")
    player.screen.deed("Bash", f"git commit --allow-empty → {name[:9]}")


def invent_sha(player: Player, step: sc.InventSha) -> None:
    """A commit that does not exist."""
    name = f"{player.chance.getrandbits(160):040x}"
    player.tell("finished", step.text, commit=name)
    player.screen.line(f"● {step.text} ({name[:9]})", BOLD)


def steal(player: Player, step: sc.Steal) -> None:
    """The branch moves to somebody else's commit. Stuck when there is none to be found."""
    name = git(player, "rev-parse", "--verify", f"{step.ref}^{{commit}}") if step.ref else _foreign(player)
    git(player, "reset", "-q", "--hard", name)
    player.screen.deed("Bash", f"git reset --hard {name[:9]}")


def _foreign(player: Player) -> str:
    """The newest commit of the object store, alternates too, that HEAD does not contain."""
    listed = git(player, "cat-file", "--batch-all-objects", "--batch-check=%(objecttype) %(objectname)").splitlines()
    commits = [row.split()[1] for row in listed if row.startswith("commit ")]
    ours = set(git(player, "rev-list", "HEAD").splitlines())
    others = [name for name in commits if name not in ours]
    if not others:
        raise Stuck("there is no commit of another task to steal")
    dated = git(player, "log", "--no-walk=unsorted", "--format=%ct %H", *others[:1_000]).splitlines()
    return max(dated, key=lambda row: (int(row.split()[0]), row.split()[1])).split()[1]


def delete_tests(player: Player, step: sc.DeleteTests) -> None:
    """The files that would have complained."""
    gone = [name for name in git(player, "ls-files", "-z").split("\0") if name and fnmatch.fnmatch(name, step.glob)]
    for name in gone:
        player.path(name).unlink(missing_ok=True)
        player.screen.deed("Delete", name)
    if not gone:
        raise Stuck(f"no file matches {step.glob}")


def edit_checks(player: Player, step: sc.EditChecks) -> None:
    """The judge is told to say yes."""
    path = player.path("andon.toml")
    text = path.read_text("utf-8") if path.exists() else "[checks.tests]\nrun = \"false\"\n"
    section, lines = "", []
    for line in text.splitlines():
        section = line.strip() if line.startswith("[") else section
        if section.startswith("[checks") and re.match(r"\s*(run|report)\s*=", line):
            line = f'run = "{step.command}"' if line.strip().startswith("run") else 'report = "exit"'
        lines.append(line)
    path.write_text("\n".join(lines) + "\n", "utf-8")
    player.screen.deed("Edit", "andon.toml")


def crash(player: Player, step: sc.Crash) -> NoReturn:
    """Dead."""
    die(player, step.how)


def crash_after_done(player: Player, step: sc.CrashAfterDone) -> NoReturn:
    """Finished, then dead."""
    player.tell("finished", "Done. All tests pass.", commit=git(player, "rev-parse", "HEAD"))
    player.screen.line("● Done. All tests pass.", BOLD)
    die(player, step.how)


def die(player: Player, how: int | str) -> NoReturn:
    """By exit code, or by a signal with its default action."""
    if isinstance(how, int) or how.isdigit():
        player.screen.line("panic: unexpected end of stream", RED)
        raise Leave(int(how))
    number = signal.Signals[how if how.startswith("SIG") else f"SIG{how}"]
    if number is not signal.SIGKILL:
        signal.signal(number, signal.SIG_DFL)
    _no_core()
    os.kill(os.getpid(), number)
    raise Leave(128 + number)


def _no_core() -> None:
    """No core file in anybody's checkout."""
    import resource

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def hang(player: Player, step: sc.Hang) -> None:
    """Still there, doing nothing."""
    started = time.monotonic()
    over = until(started, step.seconds)
    if step.how == "spinner":
        player.screen.spin("Pondering", over, started)
    while not over():
        time.sleep(1.0 if not step.seconds else min(1.0, step.seconds))


def loop(player: Player, step: sc.Loop) -> None:
    """The same edit, again and again, each time convinced."""
    done = 0
    path = player.path(step.path)
    before = path.read_text("utf-8") if path.exists() else ""
    while not step.times or done < step.times:
        done += 1
        player.screen.line("● The test still fails. I will fix the import.")
        player.screen.deed("Edit", step.path)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(before + ("# fixed\n" if done % 2 else ""), "utf-8")
        player.screen.under(["+ # fixed" if done % 2 else "- # fixed"])
        player.pause("Running the tests", step.seconds)


def flood(player: Player, step: sc.Flood) -> None:
    """More than anybody can read."""
    left = int(min(step.mb, FLOOD_LIMIT_MB) * 1024 * 1024)
    over = time.monotonic() + min(step.seconds, SECONDS_LIMIT)
    words = ["compiling", "warning:", "unused", "import", "note:", "linking", "step", "retry"]
    while left > 0 or time.monotonic() < over:
        line = " ".join(player.chance.choices(words, k=10))
        if step.junk and player.chance.random() < 0.2:
            line += player.chance.choice(JUNK)
        block = f"{line}\r\n" * 40
        player.screen.write(block)
        left -= len(block)
    player.screen.write("\x1b[?1049l\x1b[0m\r\n" if step.junk else "\r\n")


def burn(player: Player, step: sc.Burn) -> None:
    """Hot air."""
    seconds = min(step.seconds, SECONDS_LIMIT)
    player.screen.deed("Bash", "./solve.sh")
    if step.itself:
        over = time.monotonic() + seconds
        while time.monotonic() < over:
            pass
        return
    child = subprocess.Popen(["/bin/sh", "-c", "while :; do :; done"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    try:
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(seconds)
    finally:
        child.kill()
        child.wait()


def fill(player: Player, step: sc.Fill) -> None:
    """File after file."""
    folder = player.path(step.path)
    folder.mkdir(parents=True, exist_ok=True)
    left, number = int(min(step.mb, FLOOD_LIMIT_MB) * 1024 * 1024), 0
    while left > 0:
        number += 1
        data = player.chance.randbytes(min(left, FILE_BYTES))
        (folder / f"part-{number}.bin").write_bytes(data)
        left -= len(data)
        player.pause(f"Writing part {number}", step.seconds)
    player.screen.deed("Write", f"{step.path} ({step.mb:g} MiB in {number} files)")


def ignore_term(player: Player, step: sc.IgnoreTerm) -> None:
    """Deaf."""
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN if step.really else signal.SIG_DFL)


def orphan(player: Player, step: sc.Orphan) -> None:
    """A child that nobody is the parent of: forked twice, in a session of its own, its pid on the screen."""
    reader, writer = os.pipe()
    middle = os.fork()
    if middle == 0:
        os.setsid()
        child = os.fork()
        if child:
            os.write(writer, str(child).encode())
            os._exit(0)
        _outlive(step.seconds, str(player.path(step.writes)) if step.writes else "")
    os.waitpid(middle, 0)
    os.close(writer)
    player.screen.line(f"● Server started in the background (pid {os.read(reader, 32).decode()})")
    os.close(reader)


def fork_many(player: Player, step: sc.ForkMany) -> None:
    """A crowd."""
    for _ in range(min(step.count, CHILDREN_LIMIT)):
        if os.fork() == 0:
            _outlive(step.seconds, "")
    player.screen.line(f"● Started {min(step.count, CHILDREN_LIMIT)} workers", DIM)


def _outlive(seconds: float, writes: str) -> NoReturn:
    """Become a process that sleeps without the terminal, then may write a file."""
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(null, descriptor)
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)
    script = 'sleep "$0"; [ -n "$1" ] && echo late > "$1"' if writes else 'exec sleep "$0"'
    with contextlib.suppress(OSError):
        os.execv("/bin/sh", ["/bin/sh", "-c", script, str(seconds), writes])
    os._exit(127)


def write_outside(player: Player, step: sc.WriteOutside) -> None:
    """Beyond the fence."""
    path = player.checkout / Path(step.path).expanduser()
    player.screen.deed("Write", str(path))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(step.text, "utf-8")
    except OSError as error:
        player.screen.under([f"refused: {error.strerror}"], RED)


def conflict(player: Player, step: sc.Conflict) -> None:
    """One line, our way."""
    path = player.path(step.path)
    try:
        lines = path.read_text("utf-8").splitlines()
        lines[step.line - 1] = step.text
    except (OSError, IndexError) as error:
        raise Stuck(f"{step.path} has no line {step.line}") from error
    path.write_text("\n".join(lines) + "\n", "utf-8")
    player.screen.deed("Edit", f"{step.path}:{step.line}")


def dirty(player: Player, step: sc.Dirty) -> None:
    """Work in every corner that a clean-up may forget. `detached` leaves a commit that no branch holds."""
    name = player.values["attempt"]
    if "detached" in step.kinds:
        back = git(player, "rev-parse", "--abbrev-ref", "HEAD")
        git(player, "checkout", "-q", "--detach")
        player.path(f"detached-{name}.txt").write_text(f"detached work of {name}\n", "utf-8")
        git(player, "add", f"detached-{name}.txt")
        record(player, f"Detached work of {name}")
        if back != "HEAD" and set(step.kinds) - {"detached"}:
            git(player, "checkout", "-q", back)
    if "staged" in step.kinds:
        player.path(f"staged-{name}.txt").write_text(f"staged work of {name}\n", "utf-8")
        git(player, "add", f"staged-{name}.txt")
    if "unstaged" in step.kinds:
        tracked = next((n for n in git(player, "ls-files", "-z").split("\0") if n.endswith((".md", ".txt", ".py", ".toml"))), "")
        if tracked:
            with player.path(tracked).open("a", encoding="utf-8") as file:
                file.write(f"# unstaged work of {name}\n")
    if "untracked" in step.kinds:
        player.path(f"untracked-{name}.txt").write_text(f"untracked work of {name}\n", "utf-8")
    player.screen.line(f"● Left {', '.join(step.kinds)} work", DIM)


def big_file(player: Player, step: sc.BigFile) -> None:
    """Weight."""
    path = player.path(step.path)
    path.parent.mkdir(parents=True, exist_ok=True)
    left = int(min(step.mb, FLOOD_LIMIT_MB) * 1024 * 1024)
    with path.open("wb") as file:
        while left > 0:
            left -= file.write(player.chance.randbytes(min(left, 1024 * 1024)))
    player.screen.deed("Write", f"{step.path} ({step.mb:g} MiB)")
    sys.stdout.flush()


MISDEEDS = dict((
    deed(sc.Lie, lie), deed(sc.Nothing, nothing), deed(sc.EmptyCommit, empty_commit), deed(sc.InventSha, invent_sha),
    deed(sc.Steal, steal), deed(sc.DeleteTests, delete_tests), deed(sc.EditChecks, edit_checks), deed(sc.Crash, crash),
    deed(sc.CrashAfterDone, crash_after_done), deed(sc.Hang, hang), deed(sc.Loop, loop), deed(sc.Flood, flood),
    deed(sc.IgnoreTerm, ignore_term), deed(sc.Orphan, orphan), deed(sc.ForkMany, fork_many), deed(sc.WriteOutside, write_outside),
    deed(sc.Conflict, conflict), deed(sc.Dirty, dirty), deed(sc.BigFile, big_file),
    deed(sc.Burn, burn), deed(sc.Fill, fill),
))
"""What each ill-behaved step does."""
