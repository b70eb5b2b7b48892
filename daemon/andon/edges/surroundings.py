"""What the commands of a checkout see around them, and how setup commands are run; must never pass on our internals."""

import asyncio
import contextlib
import os
import shutil
import signal
import stat
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from andon.edges import beneath
from andon.edges.git import git
from andon.edges.process import MARKER
from andon.edges.spawn import spawn
from andon.schema.errors import Mistake
from andon.schema.globs import matches
from andon.schema.ids import AttemptId, TaskId
from andon.schema.layout import Layout

COMMAND_S = 600.0
"""Time that one setup or teardown command may take."""
TAIL = 2_000
"""Characters of output that an error quotes."""
INCLUDE_FILES, INCLUDE_BYTES = 20_000, 2 * 2**30
"""Bounds of what `.worktreeinclude` may copy into one checkout."""
_DROPPED = ("GIT_", "TMUX", "ANDON_", "LISTEN_", "WATCHDOG_", "PYTEST_", "__PYVENV")
_DROPPED_NAMES = {
    "NOTIFY_SOCKET", "INVOCATION_ID", "JOURNAL_STREAM", "MAINPID", "PYTHONHOME", "PYTHONPATH", "PYTHONSAFEPATH", "STY", "WINDOW",
    "OLDPWD", "SHLVL", "COLUMNS", "LINES", "_",
}


def attempt_env(layout: Layout, *, attempt: AttemptId, task: TaskId, path: Path, port: int = 0, ports: int = 0,
                given: Mapping[str, str] | None = None) -> dict[str, str]:
    """The whole environment of an attempt's commands; makes its private TMPDIR.

    The person's PATH, HOME, language and terminal are kept, and what they set for their tools. Dropped is what belongs to this
    daemon or to somebody's git or tmux. A virtual environment is dropped when it is the daemon's own.
    """
    source = os.environ if given is None else given
    env = {key: value for key, value in source.items() if not key.startswith(_DROPPED) and key not in _DROPPED_NAMES}
    if env.get("VIRTUAL_ENV") == sys.prefix:
        del env["VIRTUAL_ENV"]
    job = layout.job(attempt)
    (job / "tmp").mkdir(parents=True, exist_ok=True, mode=0o700)
    env |= {"PWD": str(path), "TMPDIR": str(job / "tmp"), "ANDON_TASK": task, "ANDON_ATTEMPT": attempt, "ANDON_JOB": str(job),
            MARKER: str(job)}
    if port:
        env |= {"ANDON_PORT": str(port), "ANDON_PORTS": str(ports)}
    env.setdefault("LANG", "C.UTF-8")
    env.setdefault("TERM", "xterm-256color")
    return env


async def run_commands(commands: Sequence[str], cwd: Path, env: Mapping[str, str], *, what: str = "setup") -> float:
    """Run shell commands one after the other, each with a process group of its own that is ended with it; seconds taken.

    The first that fails or takes too long is a Mistake with the end of its output.
    """
    begun = time.monotonic()
    for command in commands:
        with tempfile.TemporaryFile() as log:
            process = await spawn(
                "sh", "-c", command, cwd=cwd, env=dict(env), stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True)
            try:
                async with asyncio.timeout(COMMAND_S):
                    code = await process.wait()
                how = f"failed with exit code {code}" if code > 0 else f"was ended by signal {-code}"
            except TimeoutError:
                code, how = -1, f"took longer than {COMMAND_S:.0f} s and was ended"
            finally:
                await _end_group(process)
            if code != 0:
                log.seek(max(0, os.fstat(log.fileno()).st_size - TAIL))
                tail = log.read().decode(errors="replace").strip()
                raise Mistake(f"A {what} command {how}." + (f"\n{tail}" if tail else ""), where=f"{command} (in {cwd})",
                              mend=f"Run it by hand in a fresh clone; then mend it, or `{what}` under [checkout] in andon.toml.")
    return time.monotonic() - begun


async def include(person: Path, checkout: Path, without: Sequence[str] = ()) -> int:
    """Copy what the person's `.worktreeinclude` names and git ignores, but what `without` covers, into a fresh checkout; how many.

    Nothing that exists there is replaced, no link is followed; a link is copied only when it stays inside.
    """
    if not await asyncio.to_thread((person / ".worktreeinclude").is_file):
        return 0
    named = await git("ls-files", "--others", "--ignored", "--exclude-from=.worktreeinclude", "-z", cwd=person, trusted=True)
    if not named.out:
        return 0
    ignored = await git("check-ignore", "-z", "--stdin", cwd=person, trusted=True, stdin=named.out, check=False)
    return await asyncio.to_thread(_copy_all, person, checkout, [one for one in ignored.items if not matches(one, without)])


def _copy_all(person: Path, checkout: Path, paths: Sequence[str]) -> int:
    copied, size = 0, 0
    for path in paths:
        source, target = person / path, checkout / path
        seen = source.lstat()
        size += seen.st_size
        if copied >= INCLUDE_FILES or size > INCLUDE_BYTES:
            raise Mistake(f".worktreeinclude names more than {INCLUDE_FILES} files or {INCLUDE_BYTES >> 30} GiB.",
                          where=str(person / ".worktreeinclude"), mend="Name less there, and make the rest in a setup command.")
        if source.parent.resolve() != person.resolve() / Path(path).parent or target.is_symlink() or target.exists():
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.parent.resolve() != checkout.resolve() / Path(path).parent:
            continue
        if stat.S_ISREG(seen.st_mode) or (stat.S_ISLNK(seen.st_mode) and _stays(source, person)):
            copied += _copy_one(person, checkout, path, seen)
    return copied


def _copy_one(person: Path, checkout: Path, path: str, seen: os.stat_result) -> bool:
    """Copy one file, or a link as a link. Neither end is reached by a link; False when that cannot be."""
    try:
        if stat.S_ISLNK(seen.st_mode):
            shutil.copy2(person / path, checkout / path, follow_symlinks=False)
            return True
        into = beneath.opened(checkout, path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, stat.S_IMODE(seen.st_mode))
        with os.fdopen(into, "wb") as target, os.fdopen(beneath.opened(person, path), "rb") as source:
            shutil.copyfileobj(source, target)
            os.fchmod(into, stat.S_IMODE(seen.st_mode))
            os.utime(into, ns=(seen.st_atime_ns, seen.st_mtime_ns))
        return True
    except OSError:
        return False


def _stays(link: Path, root: Path) -> bool:
    return not link.readlink().is_absolute() and link.resolve().is_relative_to(root.resolve())


async def _end_group(process: asyncio.subprocess.Process) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    await process.wait()
