"""An agent's own transcript, read as it grows: raw lines with the time of their writing. It must never know what they mean.

Theory of operation. A transcript belongs to the agent: it may name any file, write anything, and the daemon may come to it late.
So each line carries its own time where it tells one (never later than now), else the file's; and what was written before the
session began (a resumed conversation) is passed over.
"""

import os
import stat
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from andon.edges.lines import Tail
from andon.schema.signals import Line

PATH_CHARACTERS = 1000
SLACK_MS = 2_000
"""Clocks in transcripts are the agent's: a line this much older than the session still belongs to it."""


class _Stamped(msgspec.Struct):
    """What nearly every transcript calls the time of a line."""

    timestamp: str | int | float | None = None


_DECODER = msgspec.json.Decoder(_Stamped)


def stamp(row: bytes) -> int | None:
    """Unix milliseconds that the line itself tells; 0 when it tells none; None when it is no JSON object."""
    try:
        told = _DECODER.decode(row).timestamp
        if isinstance(told, str):
            moment = datetime.fromisoformat(told)
            return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)
        return int(told if told > 1e11 else told * 1000) if told else 0
    except msgspec.ValidationError:
        return 0
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return None
    except (ValueError, OverflowError, OSError):
        return 0


class Transcript:
    """The transcript of one session that began at `since` (unix milliseconds)."""

    def __init__(self, path: Path, since: int) -> None:
        self._tail, self._since = Tail(path, root=Path(path.anchor)), since
        self._caught_up = False

    @property
    def path(self) -> Path:
        """The file."""
        return self._tail.path

    @property
    def more(self) -> bool:
        """There is more to read now."""
        return self._tail.more

    def read(self, now: int) -> list[Line]:
        """The lines since the last time, those of this session. Never raises."""
        rows = self._tail.read()
        arrived = now if self._caught_up else min(now, self._tail.changed_at or now)
        found = []
        for row in rows:
            told = stamp(row)
            if told is None:
                continue
            at = min(told, now) if told else arrived
            if at >= self._since - SLACK_MS:
                found.append(Line(at=max(at, self._since), source="transcript", data=msgspec.Raw(row)))
        self._caught_up = self._caught_up or not self._tail.more
        return found


def named(path: str) -> Path | None:
    """The file that an agent named as its transcript, when that is a plain absolute name of a file of ours or of one to come.

    Links on the way are resolved now, once; later readings follow none, so what is read stays what was named.
    """
    if not path.startswith("/") or len(path) > PATH_CHARACTERS or "\0" in path or ".." in Path(path).parts:
        return None
    found = Path(os.path.realpath(Path(path).parent), Path(path).name)
    if found.parts[1:2] in (("proc",), ("dev",), ("sys",)):
        return None
    try:
        facts = found.lstat()
    except FileNotFoundError:
        return found
    except OSError:
        return None
    return found if stat.S_ISREG(facts.st_mode) and facts.st_uid == os.getuid() else None
