"""Programs that a proof runs: found, bounded in time and output, with their whole group ended; knows no kind of proof."""

import contextlib
import os
import shlex
import signal
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

import msgspec

from andon.proofs.fact import Unevaluated
from andon.schema.errors import Mistake

OUTPUT_BYTES = 4 * 1024 * 1024
"""Read of what a program wrote; its end counts."""


class Ran(msgspec.Struct, frozen=True, kw_only=True):
    """How a program ended and what it wrote."""

    code: int
    out: str
    err: str

    @property
    def told(self) -> str:
        """Both, for a person."""
        return "\n".join(part.rstrip() for part in (self.out, self.err) if part.strip())


def words_of(command: str, where: str) -> list[str]:
    """A command as words, as a shell would split it. Raises Mistake."""
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise Mistake(f"`{command}` is no command: {error}", where=where, mend="close its quotes") from None
    if not words:
        raise Mistake("a command is empty", where=where, mend="say what is to be run")
    return words


def run(argv: Sequence[str], *, cwd: Path, env: Mapping[str, str] | None = None, seconds: float = 60.0, text: str = "") -> Ran:
    """Run it to its end. Raises Unevaluated when there is no such program, or it takes longer; nothing of it is left running."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        try:
            child = subprocess.Popen(argv, cwd=cwd, env=dict(env) if env is not None else None, stdout=out, stderr=err,
                                     stdin=subprocess.PIPE if text else subprocess.DEVNULL, start_new_session=True)
        except FileNotFoundError:
            raise Unevaluated(f"there is no program `{argv[0]}` here") from None
        except OSError as error:
            raise Unevaluated(f"`{argv[0]}` cannot be run: {error.strerror}") from None
        try:
            child.communicate(text.encode() if text else None, timeout=seconds)
        except subprocess.TimeoutExpired:
            raise Unevaluated(f"`{shlex.join(argv)}` took longer than {seconds:g} s") from None
        finally:
            end_group(child)
        ran = Ran(code=child.returncode, out=_end_of(out), err=_end_of(err))
    if ran.code in (126, 127):
        raise Unevaluated(f"`{shlex.join(argv)}` found no program to run (exit {ran.code}): {ran.told[-400:]}")
    return ran


def end_group(child: "subprocess.Popen[bytes]") -> None:
    """End what a child started in its own group, and take the child's exit."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()


def _end_of(file: IO[bytes]) -> str:
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - OUTPUT_BYTES))
    return file.read().decode(errors="replace")
