"""The files between an ACP session's own client, which runs in its pane, and the daemon's channel. Touches one job directory only.

Theory of operation. The client writes raw lines to `acp.jsonl`, each with a number that only grows. The daemon asks by files in
`says/` (`1.json`), written aside and renamed. The client takes one by renaming it to `1.taken`, and to `1.done` when it acted:
what was taken and not done is done by the client's next sitting. Who gives up waiting takes its own file away: then nobody acts.
"""

import contextlib
import os
import time
from pathlib import Path
from typing import Literal

import msgspec

from andon.schema.jobs import ASKS, Decision
from andon.schema.signals import Line

LINES, SAYS = "acp.jsonl", "says"
LINES_LIMIT = 16 * 1024 * 1024
"""Bytes of the lines' file at which a new sitting begins it anew."""
TEXT_LIMIT = 256 * 1024
"""Bytes of one message."""


class Say(msgspec.Struct, frozen=True, kw_only=True):
    """One thing the daemon wants of the client."""

    kind: Literal["send", "interrupt"]
    text: str = ""


def prepare(job: Path) -> None:
    """The folders, for either side."""
    for name in (SAYS, ASKS):
        (job / name).mkdir(mode=0o700, exist_ok=True)


def leave(job: Path, say: Say) -> Path:
    """Put a wish; its file."""
    prepare(job)
    path = job / SAYS / f"{time.time_ns()}-{os.getpid()}.json"
    return _put(path, msgspec.json.encode(say))


def decide(job: Path, decision: Decision) -> Path:
    """Put a decision about an ask."""
    prepare(job)
    return _put(job / ASKS / f"{decision.ask}.json", msgspec.json.encode(decision))


def withdraw(path: Path) -> bool:
    """Take a wish back; False when it was taken already."""
    try:
        path.unlink()
    except OSError:
        return False
    return True


def wishes(job: Path) -> list[Path]:
    """What is to be done, oldest first: what an earlier sitting took and did not do, then what is new."""
    with contextlib.suppress(OSError):
        return sorted((path for path in (job / SAYS).iterdir() if path.suffix in (".taken", ".json")), key=lambda path: path.name)
    return []


def take(path: Path) -> tuple[Path, Say | None]:
    """Take one wish: its new name and content; None when it is gone or is none."""
    taken = path.with_suffix(".taken")
    try:
        path.rename(taken)
        if taken.stat().st_size > TEXT_LIMIT:
            return taken, None
        return taken, msgspec.json.decode(taken.read_bytes(), type=Say)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
        return taken, None


def done(path: Path) -> None:
    """It was acted on."""
    with contextlib.suppress(OSError):
        path.rename(path.with_suffix(".done"))


def decision(job: Path, ask: str) -> Decision | None:
    """The decision about this ask, when there is one."""
    try:
        found = msgspec.json.decode((job / ASKS / f"{ask}.json").read_bytes(), type=Decision)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
        return None
    return found if found.ask == ask else None


def numbered(line: Line) -> int:
    """The number of one of our lines; 0 for any other."""
    try:
        told = msgspec.json.decode(line.data)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return 0
    own = told.get("andon") if isinstance(told, dict) else None
    number = own.get("n") if isinstance(own, dict) else 0
    return number if isinstance(number, int) else 0


def last_number(file: Path) -> int:
    """The number of the last of our lines in a file of lines; 0 when there is none."""
    try:
        with file.open("rb") as opened:
            opened.seek(max(0, opened.seek(0, os.SEEK_END) - 256 * 1024))
            rows = opened.read().split(b"\n")
    except OSError:
        return 0
    for row in reversed(rows):
        with contextlib.suppress(msgspec.MsgspecError, UnicodeDecodeError):
            if number := numbered(msgspec.json.decode(row, type=Line)):
                return number
    return 0


def _put(path: Path, content: bytes) -> Path:
    aside = path.with_name(f".{path.name}.{time.monotonic_ns()}")
    with aside.open("xb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    aside.rename(path)
    return path
