"""The secrets that this process must not pass on, kept up to date: values of variables, and what a person had forgotten.

Theory of operation. One redactor a process, made from the environment and from `forgotten.json` in the factory's home (0600), which
holds digests under a key of the factory's own and never a value. Whoever runs the process says once where home is (`keep`); the
list is looked at again when its file changed, at most once a second. Before anybody said so the formats and the environment hold.
"""

import logging
import os
import time
from collections.abc import Iterable
from pathlib import Path
from typing import TypeVar

import msgspec

from andon.edges import beneath
from andon.schema.clean import clean
from andon.schema.errors import Mistake
from andon.schema.redact import Forgotten, Redactor, values_of

FILE = "forgotten.json"
LIST_BYTES, LIST_LENGTH = 1024 * 1024, 1000
LOOK_S = 1.0
log = logging.getLogger("andon.withheld")
T = TypeVar("T")


class List(msgspec.Struct, frozen=True):
    """The content of `forgotten.json`."""

    key: str = ""
    """Hex; of the digests. Whoever has it and the list can test a guess, and no more."""
    values: tuple[Forgotten, ...] = ()
    blobs: tuple[str, ...] = ()
    """Digests of blobs that are tombstones now."""


class _Kept:
    """What this process knows."""

    def __init__(self) -> None:
        self.home: Path | None = None
        self.names: frozenset[str] = frozenset()
        self.redactor: Redactor | None = None
        self.list = List()
        self.stamp: tuple[int, int] = (-1, -1)
        self.looked = 0.0


_kept = _Kept()


def keep(home: Path | None, names: Iterable[str] = ()) -> None:
    """From now on hold back what was forgotten in this home, and the values of these variables beside those whose name says so.

    Raises Mistake when the list there cannot be read.
    """
    _kept.home, _kept.names, _kept.redactor = home, frozenset(names) | _kept.names, None
    redactor()


def name(names: Iterable[str]) -> None:
    """Hold back the values of these variables too, from now on: to be said before anything starts that is given them."""
    if not _kept.names.issuperset(names):
        keep(_kept.home, names)


def redactor() -> Redactor:
    """The redactor as of now. A list that cannot be read at first is a Mistake: what was forgotten would be shown without it.

    One that goes bad later is told in the log, and what it said before holds on.
    """
    now = time.monotonic()
    if _kept.redactor is not None and now - _kept.looked < LOOK_S:
        return _kept.redactor
    _kept.looked = now
    stamp = _stamp(_kept.home)
    if _kept.redactor is not None and stamp == _kept.stamp:
        return _kept.redactor
    _kept.stamp = stamp
    try:
        _kept.list = read_list(_kept.home) if _kept.home is not None else List()
    except Mistake as broken:
        if _kept.redactor is None:
            raise
        log.error("%s", broken)
        return _kept.redactor
    _kept.redactor = Redactor(values_of(os.environ, _kept.names), _kept.list.values, bytes.fromhex(_kept.list.key))
    return _kept.redactor


def is_tombstone(digest: str) -> bool:
    """Whether a person had this blob forgotten."""
    redactor()
    return digest in _kept.list.blobs


def text(words: str) -> str:
    """Foreign text as it may be kept and shown: nothing that a terminal would obey, no secret."""
    return redactor().text(clean(words))


def data(content: bytes) -> bytes:
    """Bytes without secrets; withheld with a note where they cannot be looked through."""
    return redactor().data(content)


def struct(value: T) -> T:
    """A struct without secrets in its texts."""
    return redactor().struct(value)


def read_list(home: Path) -> List:
    """What was forgotten in this home; nothing when there is no list. A list that is broken is a Mistake."""
    try:
        return msgspec.json.decode(beneath.read(home, FILE, LIST_BYTES), type=List)
    except FileNotFoundError:
        return List()
    except (OSError, msgspec.MsgspecError, ValueError) as error:
        raise Mistake("The list of forgotten secrets cannot be read, so nothing is shown that may hold one.",
                      where=str(home / FILE), mend="Put it back from a backup; it is made by `andon forget`.") from error


def write_list(home: Path, new: List) -> None:
    """Put the list in place, 0600."""
    beneath.write_whole(home, FILE, msgspec.json.format(msgspec.json.encode(new), indent=1), 0o600)


class PlainFormatter(logging.Formatter):
    """Lines of the daemon's log: on one line each but for tracebacks of ours, without control codes, without secrets."""

    def format(self, record: logging.LogRecord) -> str:
        """The finished line. What cannot be formatted or looked through is said to be so."""
        try:
            told = text(super().format(record))
        except (TypeError, ValueError, Mistake) as error:
            return f"{record.name} {record.levelname} a line is withheld: {type(error).__name__}"
        first, *rest = told.split("\n")
        return "\n".join([first, *(f"    {line}" for line in rest)])


def _stamp(home: Path | None) -> tuple[int, int]:
    if home is None:
        return (0, 0)
    seen = beneath.facts(home, FILE)
    return (seen.st_mtime_ns, seen.st_ino) if seen is not None else (0, 0)
