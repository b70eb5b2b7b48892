"""The files by which an agent speaks and is answered. Touches the disk, inside one job directory only; knows no factory.

Theory of operation. This is the agent's side. A message is one file `outbox/<n>.json`, written aside and then linked into
place: a reader sees whole messages or none, and two writers never get the same number. An answer is the file `inbox/<n>.json`
with the number of its question. Both sides may die at any time: the files stay, and reading them again says the same.
"""

import contextlib
import os
import stat
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal

import msgspec

from andon.schema.errors import Mistake
from andon.schema.jobs import CONTEXT, INBOX, OUTBOX, PROMPT, Answer, Said

JOB_VARIABLE = "ANDON_JOB"
"""The environment variable that names the job directory inside a session."""
TEXT_LIMIT = 6_000
"""Characters of a message, so that the worst of them fits into 64 KiB of JSON; what is longer is cut, and the text says so."""
OPTIONS_LIMIT, OPTION_LIMIT = 20, 200
"""Options of a question, and characters of one."""
FILE_LIMIT = 256 * 1024
"""Bytes of an answer that are read."""
MESSAGES_LIMIT = 1_000
"""Messages of one attempt."""

TASK_LIMIT = 200_000
"""Bytes of the task's text that are read."""

Kind = Literal["progress", "ask", "finished", "handoff"]
Reader = Callable[[Path], str]
"""Reads something of a job directory."""


def job_directory(environ: Mapping[str, str] = os.environ) -> Path:
    """The job directory of the session we are in. Raises Mistake outside of one."""
    named = environ.get(JOB_VARIABLE, "")
    if named and Path(named).is_dir():
        return Path(named)
    what = f"{JOB_VARIABLE} names no directory: {named}" if named else f"{JOB_VARIABLE} is not set: this is no agent's session"
    raise Mistake(what, where="the environment", mend="run this inside an agent's session")


def leave(job: Path, kind: Kind, text: str = "", *, options: tuple[str, ...] = (), commit: str = "") -> Said:
    """Write the next message of this job and return it with its number. Durable before it returns."""
    outbox = job / OUTBOX
    outbox.mkdir(exist_ok=True)
    number = max(_numbers(outbox), default=0) + 1
    while number <= MESSAGES_LIMIT:
        said = _within(Said(n=number, kind=kind, text=text, options=options, commit=commit))
        if _put(outbox / f"{number}.json", said):
            return said
        number += 1
    raise Mistake(f"this session has said {MESSAGES_LIMIT} things already", where=str(outbox), mend="finish, or hand off")


def ask_once(job: Path, text: str, *, options: tuple[str, ...] = ()) -> Said:
    """Ask; when this very question is the last thing that was said, it is that one, answered or not."""
    wanted = _within(Said(n=0, kind="ask", text=text, options=options))
    last = _message(job / OUTBOX / f"{max(_numbers(job / OUTBOX), default=0)}.json")
    if last and (last.kind, last.text, last.options) == ("ask", wanted.text, wanted.options):
        return last
    return leave(job, "ask", text, options=options)


def read_task(job: Path) -> str:
    """The whole prompt of this job, cut at a stated limit. Raises Mistake when there is none."""
    told = _bytes(job / PROMPT, TASK_LIMIT)
    if told is None:
        raise Mistake("this job has no task", where=str(job / PROMPT), mend="ask the person who started this session")
    return told.decode(errors="replace")


def read_context(job: Path) -> str:
    """JSON: what the daemon wrote of this job (task, attempt, title, base), and `answers` to its questions by number."""
    told = _bytes(job / CONTEXT, FILE_LIMIT)
    try:
        context = msgspec.json.decode(told or b"{}", type=dict[str, object])
    except (msgspec.MsgspecError, UnicodeDecodeError):
        context = {}
    found = [read_answer(job, number) for number in sorted(_numbers(job / INBOX))[-20:]]
    context["answers"] = {str(answer.n): answer.text for answer in found if answer}
    return msgspec.json.encode(context).decode()


def read_answer(job: Path, number: int) -> Answer | None:
    """The answer to this question, or None while there is none."""
    try:
        answer = msgspec.json.decode(_bytes(job / INBOX / f"{number}.json", FILE_LIMIT) or b"", type=Answer)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None
    return answer if answer.n == number else None


def await_answer(job: Path, number: int, *, nap: Callable[[float], object] = time.sleep, seconds: float = 0.0) -> Answer | None:
    """Wait until the question is answered; None after `seconds` (0: for ever). Looks five times a second, costs no model call."""
    end = time.monotonic() + seconds
    while (answer := read_answer(job, number)) is None:
        if seconds and time.monotonic() >= end:
            return None
        nap(0.2)
    return answer


def _bytes(path: Path, limit: int) -> bytes | None:
    """The beginning of a plain file; None when there is none. Follows no link and waits for no pipe."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    with os.fdopen(descriptor, "rb") as file:
        return file.read(limit) if stat.S_ISREG(os.fstat(file.fileno()).st_mode) else None


def _message(path: Path) -> Said | None:
    """One message of the outbox, or None."""
    try:
        return msgspec.json.decode(_bytes(path, FILE_LIMIT) or b"", type=Said)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None


def _within(said: Said) -> Said:
    """The same message inside the stated limits."""
    options = tuple(_bounded(option, OPTION_LIMIT) for option in said.options[:OPTIONS_LIMIT])
    return Said(n=said.n, kind=said.kind, text=_bounded(said.text, TEXT_LIMIT), options=options, commit=_bounded(said.commit, 64))


def _bounded(text: str, limit: int) -> str:
    """The text as valid Unicode without NUL and within the limit; a cut is said."""
    text = text.replace("\0", "").encode(errors="replace").decode()
    kept = limit - 40
    return text if len(text) <= limit else f"{text[:kept]} … ({len(text) - kept} more characters cut)"


def _numbers(folder: Path) -> list[int]:
    """The numbers of the message files in a folder; empty when there is no folder."""
    try:
        with os.scandir(folder) as entries:
            names = [entry.name for entry in entries if entry.name.endswith(".json")]
    except (FileNotFoundError, NotADirectoryError):
        return []
    return [int(name[:-5]) for name in names if name[:-5].isascii() and name[:-5].isdigit() and len(name) <= 14 and name[0] != "0"]


def _put(path: Path, value: Said) -> bool:
    """Write aside, make durable, link into place. False when the place is taken."""
    aside = path.with_name(f".{path.name}.{os.getpid()}.{time.monotonic_ns()}")
    try:
        with aside.open("xb") as file:
            file.write(msgspec.json.encode(value))
            file.flush()
            os.fsync(file.fileno())
        os.link(aside, path)
    except FileExistsError:
        return False
    finally:
        with contextlib.suppress(FileNotFoundError):
            aside.unlink()
    return True
