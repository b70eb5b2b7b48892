"""Runs git, hardened; must never know why, and must never run with an agent's own git directory.

Theory of operation. Every call gets an environment of its own: no variable and (unless `trusted`) no configuration of the person,
no hooks, no network, no prompts, no housekeeping. Hardening travels as GIT_CONFIG_COUNT, which is the scope of `-c`, so that a
recorded command line stays readable. Output goes to unlinked files, not pipes, and each git has a session of its own: a daemon
that dies does not take git down half-way. What must not overlap holds an flock whose descriptor git inherits (`hold`), so the
lock outlives a killed daemon for exactly as long as the git that it left behind.
"""

import asyncio
import contextlib
import fcntl
import os
import re
import shutil
import signal
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Literal
from weakref import WeakKeyDictionary

import msgspec

from andon.edges import withheld
from andon.edges.spawn import reap, uncut
from andon.schema.errors import Mistake
from andon.schema.ids import Oid

NEEDED = (2, 38)
"""The oldest git that can merge without a working tree."""
OUTPUT_LIMIT = 64 * 2**20
"""Bytes of output that are read; a git that says more is an error."""
NONE = ""
"""The old value that means "there is no such ref" in a compare-and-swap."""
FETCH = ("fetch", "-q", "--no-tags", "--no-prune", "--no-write-fetch-head", "--no-recurse-submodules", "--no-auto-maintenance")
"""A fetch that brings what is named, and changes nothing else."""
NAME, EMAIL = "Andon", "andon@localhost"

observe: Callable[[tuple[str, ...]], None] | None = None
"""Told the argv of every git that is about to start."""

_BOTH = (
    ("core.hooksPath", "/dev/null"), ("core.fsmonitor", "false"), ("gc.auto", "0"), ("maintenance.auto", "false"),
    ("rerere.enabled", "false"), ("protocol.ext.allow", "never"), ("submodule.recurse", "false"), ("merge.autoStash", "false"),
    ("core.quotePath", "false"), ("core.fsync", "committed,loose-object,reference"), ("core.fsyncMethod", "batch"),
    ("core.packedRefsTimeout", "20000"), ("core.filesRefLockTimeout", "5000"), ("advice.detachedHead", "false"),
)
_STRICT = (
    ("safe.bareRepository", "explicit"), ("fetch.fsckObjects", "true"), ("transfer.fsckObjects", "true"),
    ("protocol.allow", "never"), ("protocol.file.allow", "always"), ("diff.external", ""), ("core.untrackedCache", "false"),
    ("core.attributesFile", "/dev/null"), ("core.excludesFile", "/dev/null"), ("core.trustctime", "true"),
    ("core.checkStat", "default"), ("core.alternateRefsCommand", "true"), ("checkout.workers", "1"),
    ("fetch.writeCommitGraph", "false"), ("fetch.recurseSubmodules", "false"), ("merge.renames", "true"),
    ("merge.directoryRenames", "conflict"), ("diff.renames", "true"), ("core.logAllRefUpdates", "true"),
)
_ENV = {
    "GIT_TERMINAL_PROMPT": "0", "GIT_OPTIONAL_LOCKS": "0", "GIT_NO_LAZY_FETCH": "1", "GIT_EDITOR": ":", "GIT_PAGER": "cat",
    "GIT_ASKPASS": "false", "SSH_ASKPASS": "false", "GIT_ALLOW_PROTOCOL": "file", "LC_ALL": "C",
}
_STRICT_ENV = {
    "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_SYSTEM": "/dev/null", "GIT_CONFIG_NOSYSTEM": "1", "GIT_ATTR_NOSYSTEM": "1",
    "GIT_NO_REPLACE_OBJECTS": "1", "GIT_AUTHOR_NAME": NAME, "GIT_AUTHOR_EMAIL": EMAIL, "GIT_COMMITTER_NAME": NAME,
    "GIT_COMMITTER_EMAIL": EMAIL,
}
_OID = re.compile(rb"([0-9a-f]{40}|[0-9a-f]{64})\n")
_LOCKS: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[Path, asyncio.Lock]] = WeakKeyDictionary()


class Output(msgspec.Struct, frozen=True):
    """What a git said."""

    code: int
    out: bytes
    err: str
    truncated: bool = False
    """It had more to say than `limit` and was ended."""

    @property
    def text(self) -> str:
        """The output without its last newline; bytes that are no UTF-8 survive as surrogates."""
        return os.fsdecode(self.out).removesuffix("\n")

    @property
    def oid(self) -> Oid:
        """The output as an object name."""
        return Oid(self.text)

    @property
    def items(self) -> tuple[str, ...]:
        """The NUL-separated items of the output."""
        return tuple(os.fsdecode(item) for item in self.out.split(b"\0") if item)


class GitFailed(Mistake):
    """A git that was expected to succeed did not."""

    def __init__(self, args: Sequence[str], output: Output, where: str) -> None:
        lines = [line for line in output.err.splitlines() if line.strip()] or [f"exit code {output.code}"]
        fatal = [line for line in lines if line.startswith(("fatal:", "error:"))] or lines
        super().__init__(withheld.text(f"git {args[0]} failed: {fatal[0]}")[:500],
                         where=withheld.text(f"{where}: git {' '.join(args)}")[:500],
                         mend="Look at the repository with `git status` and `git fsck`; when it is well, try again.")
        self.output = output


async def git(
    *args: str, git_dir: Path | str | None = None, work_tree: Path | str | None = None, index: Path | str | None = None,
    objects: Path | str | None = None, cwd: Path | str | None = None, env: Mapping[str, str] | None = None,
    config: Sequence[tuple[str, str]] = (), stdin: bytes = b"", check: bool = True, seconds: float = 120.0,
    trusted: bool = False, limit: int | None = None, hold: int | None = None, finish: bool = False,
) -> Output:
    """Run one git and return what it said; with `check`, a bad exit code is a GitFailed.

    `trusted` keeps the person's own configuration: only for deeds in the person's own checkout. `limit` ends a git that says
    more. `hold` is the descriptor of a lock that git shall keep held. `finish` lets git come to its end even when the caller is
    cancelled. A missing git, a timeout and an endless output are Mistakes.
    """
    chosen = {"GIT_DIR": git_dir, "GIT_WORK_TREE": work_tree, "GIT_INDEX_FILE": index, "GIT_OBJECT_DIRECTORY": objects}
    environment = environ(trusted, config) | {key: str(value) for key, value in chosen.items() if value is not None}
    environment |= env or {}
    argv = ("git", *args)
    if observe is not None:
        observe(argv)
    place = str(cwd or work_tree or git_dir or "/")
    with contextlib.ExitStack() as stack:
        files = [stack.enter_context(tempfile.TemporaryFile()) for _ in range(3 if stdin else 2)]
        if stdin:
            files[2].write(stdin)
            files[2].seek(0)
        try:
            starting = asyncio.create_subprocess_exec(
                *argv, stdin=files[2] if stdin else asyncio.subprocess.DEVNULL, stderr=files[1],
                stdout=files[0] if limit is None else asyncio.subprocess.PIPE, cwd=place, env=environment,
                start_new_session=True, pass_fds=() if hold is None else (hold,))
            process, cancelled = await uncut(starting)
        except (FileNotFoundError, NotADirectoryError) as error:
            raise (no_place(place) if error.filename == place else no_git()) from None
        if cancelled:
            await _leave(process, seconds, finish)
            raise asyncio.CancelledError
        out, truncated = await _finish(process, limit, seconds, finish, f"git {args[0]} in {place}")
        output = Output(process.returncode or 0, _read(files[0], args) if limit is None else out,
                        os.fsdecode(_read(files[1], args)), truncated)
    if check and output.code != 0 and not truncated:
        raise GitFailed(args, output, place)
    return output


def environ(trusted: bool = False, config: Sequence[tuple[str, str]] = ()) -> dict[str, str]:
    """The environment of a git: nothing that was set for another git gets through."""
    if trusted:
        env = {key: value for key, value in os.environ.items() if not key.startswith("GIT_") or key == "GIT_CONFIG_NOSYSTEM"} | _ENV
    else:
        env = {key: os.environ[key] for key in ("PATH", "TMPDIR") if key in os.environ} | _ENV | _STRICT_ENV
    settings = (*_BOTH, *(() if trusted else _STRICT), *config)
    env["GIT_CONFIG_COUNT"] = str(len(settings))
    for n, (key, value) in enumerate(settings):
        env[f"GIT_CONFIG_KEY_{n}"], env[f"GIT_CONFIG_VALUE_{n}"] = key, value
    return env


def no_git() -> Mistake:
    """The error of a machine without git."""
    return Mistake("git was not found.", where="PATH", mend=f"Install git {NEEDED[0]}.{NEEDED[1]} or newer, then try again.")


def no_place(place: str) -> Mistake:
    """The error of a directory that is not there."""
    return Mistake(f"{place} is not a directory.", where=place, mend="See whether it was moved or its disk is not mounted.")


def need_place(git_dir: Path) -> None:
    """A Mistake when a repository is not where it was: nothing of ours is made in its place."""
    if not git_dir.is_dir():
        raise no_place(str(git_dir))


async def need_version() -> tuple[int, int]:
    """The version of the installed git, or a Mistake when it is missing or too old."""
    said = (await git("--version")).text
    found = re.search(r"(\d+)\.(\d+)", said)
    version = (int(found[1]), int(found[2])) if found else (0, 0)
    if version < NEEDED:
        raise Mistake(f"{said} is too old: Andon merges without a working tree, which needs git {NEEDED[0]}.{NEEDED[1]} or newer.",
                      where=shutil.which("git") or "PATH", mend="Install a newer git, then try again.")
    return version


def room(git_dir: Path | str) -> tuple[Path, Path]:
    """A git directory and an object directory in which a repository's objects can be read and merged, and nothing configured runs.

    The directory is `<git_dir>/andon/room`: it has a configuration of our own and no refs; objects are the repository's.
    """
    common = Path(git_dir)
    need_place(common)
    place = common / "andon" / "room"
    if not (place / "HEAD").is_file():
        make_git_dir(place, objects=(), like=common)
    return place, common / "objects"


async def look(git_dir: Path | str, *args: str, stdin: bytes = b"", check: bool = True, limit: int | None = None,
               env: Mapping[str, str] | None = None) -> Output:
    """Run a git that only needs objects, in the repository's room: no configuration of anybody's has a say."""
    place, objects = room(git_dir)
    return await git(*args, git_dir=place, objects=objects, stdin=stdin, check=check, limit=limit, env=env)


def make_git_dir(
    place: Path, *, objects: Sequence[Path], like: Path, head: str = "ref: refs/heads/none", bare: bool = True,
) -> None:
    """Write a git directory by hand, whole or not at all: our configuration, no hooks, borrowing `objects`.

    `like` is the repository whose object format it shares.
    """
    config = like / "config"
    sha256 = config.is_file() and re.search(r"(?im)^\s*objectformat\s*=\s*sha256", config.read_text(errors="replace")) is not None
    place.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".tmp-{place.name}-", dir=place.parent) as aside:
        made = Path(aside) / "git"
        for name in ("refs/heads", "objects/info", "info"):
            (made / name).mkdir(parents=True)
        (made / "config").write_text(
            f"[core]\n\trepositoryformatversion = {int(sha256)}\n\tbare = {str(bare).lower()}\n\tfilemode = true\n"
            + ("[extensions]\n\tobjectformat = sha256\n" if sha256 else ""))
        (made / "HEAD").write_text(head + "\n")
        if objects:
            (made / "objects" / "info" / "alternates").write_text("".join(f"{path}\n" for path in objects))
        try:
            made.rename(place)
        except OSError:
            if not (place / "HEAD").is_file():  # else an equal one was first
                raise


@contextlib.asynccontextmanager
async def held(path: Path, deadline: float = 120.0) -> AsyncIterator[int]:
    """Hold the lock file `path` alone, over all tasks and processes; yields the descriptor to pass on as `hold`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = _LOCKS.setdefault(asyncio.get_running_loop(), {}).setdefault(path, asyncio.Lock())
    async with lock:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            await _flock(handle, path, deadline)
            yield handle
        finally:
            os.close(handle)


@contextlib.asynccontextmanager
async def common_lock(git_dir: Path | str) -> AsyncIterator[int]:
    """The lock of one repository, around everything that races in git itself: worktree add, remove, list, and fetch."""
    need_place(Path(git_dir))
    async with held(Path(git_dir) / "andon" / "lock") as hold:
        yield hold


async def set_ref(
    git_dir: Path | str, ref: str, new: str, old: str | None = None, *, why: str = "andon", hold: int | None = None,
) -> bool:
    """Point `ref` at `new`, only if it points at `old` (NONE: only if there is none; None: whatever it is).

    False when it was elsewhere. A lock that a killed git of ours left on a ref of ours is cleared first when `hold` shows that
    none of ours lives.
    """
    if hold is not None and ref.startswith("refs/andon/"):
        clear_stale_lock(Path(git_dir) / f"{ref}.lock")
    args = ["update-ref", "--no-deref", "-m", why, ref, new, *([] if old is None else [old])]
    done = await git(*args, git_dir=git_dir, check=False, hold=hold)
    if done.code == 0:
        return True
    if "cannot lock ref" in done.err and any(word in done.err for word in ("but expected", "already exists", "unable to resolve")):
        return False
    raise GitFailed(args, done, str(git_dir))


STALE_LOCK_S = 5.0
"""Age past which a `.lock` beside a ref of ours is a leftover."""


def clear_stale_lock(path: Path) -> bool:
    """Remove a leftover `.lock` of a ref of ours. The caller holds the repository's lock, so no git of ours lives."""
    with contextlib.suppress(FileNotFoundError):
        age = max(0.0, _now() - path.lstat().st_mtime)
        if age >= STALE_LOCK_S:
            path.unlink()
            return True
    return False


def _now() -> float:
    """Wall clock as the filesystem tells it: the only clock that a file's age can be measured by."""
    with tempfile.TemporaryFile() as probe:
        return os.fstat(probe.fileno()).st_mtime


async def read_ref(git_dir: Path | str, ref: str) -> Oid | None:
    """Where a ref points, or None."""
    plain = written(git_dir, ref)
    if plain is not None:
        return plain
    found = await git("rev-parse", "--verify", "--quiet", "--end-of-options", ref, git_dir=git_dir, check=False)
    return found.oid if found.code == 0 and found.out.strip() else None


def written(git_dir: Path | str, ref: str) -> Oid | None:
    """Where a ref points, when git keeps it as a plain file of its own, which counts before any packed one; else None: ask git.

    `git_dir` is a repository's common directory. A symbolic ref, or one in a table, is not read here.
    """
    if not ref.startswith("refs/"):
        return None
    try:
        handle = os.open(Path(git_dir) / ref, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        found = _OID.fullmatch(os.read(handle, 66))
    except OSError:  # a folder of refs
        return None
    finally:
        os.close(handle)
    return Oid(found[1].decode()) if found else None


async def drop_ref(git_dir: Path | str, ref: str) -> None:
    """Delete a ref of ours; harmless when it is gone."""
    await git("update-ref", "--no-deref", "-d", ref, git_dir=git_dir)


async def _flock(handle: int, path: Path, deadline: float) -> None:
    end = asyncio.get_running_loop().time() + deadline
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if asyncio.get_running_loop().time() > end:
                raise Mistake(f"Another process has held {path} for {deadline:.0f} s.", where=str(path),
                              mend="See who holds it with `fuser -v` on that file.") from None
            await asyncio.sleep(0.01)


def _read(file: IO[bytes], args: Sequence[str]) -> bytes:
    if os.fstat(file.fileno()).st_size > OUTPUT_LIMIT:
        raise Mistake(f"git {args[0]} said more than {OUTPUT_LIMIT >> 20} MiB.", where=" ".join(args)[:200],
                      mend="See what makes the repository that large.")
    file.seek(0)
    return file.read()


async def _finish(process: asyncio.subprocess.Process, limit: int | None, seconds: float, finish: bool, what: str,
                  ) -> tuple[bytes, bool]:
    """Wait for the end, under the limits; nothing of the process is left when this returns or raises."""
    try:
        async with asyncio.timeout(seconds):
            out, truncated = await _bounded(process, limit) if limit is not None else (b"", False)
            if truncated:
                _end(process, signal.SIGKILL)
            await reap(process)
            return out, truncated
    except TimeoutError:
        _end(process, signal.SIGKILL)
        await reap(process)
        raise Mistake(f"{what} took longer than {seconds:.0f} s and was ended.", where=what,
                      mend="See whether the disk is busy, then try again.") from None
    except asyncio.CancelledError:
        await _leave(process, seconds, finish)
        raise


async def _leave(process: asyncio.subprocess.Process, seconds: float, finish: bool) -> None:
    """Nobody waits for it any more: end it, or, when it must finish, see it through."""
    if not finish:
        _end(process, signal.SIGTERM)  # git removes its lock files at SIGTERM
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds if finish else 5.0):
            await reap(process)
    _end(process, signal.SIGKILL)


async def _bounded(process: asyncio.subprocess.Process, limit: int) -> tuple[bytes, bool]:
    assert process.stdout is not None
    parts: list[bytes] = []
    size = 0
    while size <= limit:
        part = await process.stdout.read(min(65536, limit + 1 - size))
        if not part:
            return b"".join(parts), False
        parts.append(part)
        size += len(part)
    return b"".join(parts)[:limit], True


def _end(process: asyncio.subprocess.Process, sign: Literal[signal.Signals.SIGKILL, signal.Signals.SIGTERM]) -> None:
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, sign)
