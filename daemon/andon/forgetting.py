"""Forgets a secret that got stored: finds it in all that the factory keeps, withholds it from then on; never tells it to anybody.

Theory of operation. First the list: from the moment in which the value's digest stands there, no view, answer, log or export of
this factory shows it, whatever still holds it. Then what can be taken away is: a blob becomes a tombstone of the same name, and in
files of jobs, homes and logs the value is overwritten in place by as many signs, so that whoever reads on at a place still can.
What cannot be taken away is counted: events of the ledger are chained by their hashes and snapshots are made from them; what git
holds (branches, snapshots of work, the checkouts themselves) is the person's, and nothing there is rewritten.
"""

import json
import mmap
import os
import secrets
import time
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path

import msgspec

from andon.edges import baits, beneath, withheld
from andon.ledger_reader import connect
from andon.schema.errors import Mistake
from andon.schema.events import Recorded
from andon.schema.layout import Layout
from andon.schema.redact import LEAST, remember, spellings

MOST = 16 * 1024
"""Bytes of a value, at most."""
FILLER = b"x"
FILES, FILE_BYTES = 200_000, 2**32
"""Files that are looked at, and bytes of one: what is beyond is counted as not looked at."""
PLACES = ("jobs", "homes", "gateway", "daemon.log", "restored", "scratch")
"""What lies in the factory's home and is neither ledger, blob, checkout nor anything that git made."""


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a value. Holds no part of it."""

    blobs: tuple[str, ...] = ()
    """Names of blobs that are tombstones now."""
    files: tuple[str, ...] = ()
    """Files below home in which it was overwritten."""
    left: tuple[str, ...] = ()
    """Files that hold it, or may, and could not be changed: `path: why`."""
    events: tuple[int, ...] = ()
    """Events of the ledger that hold it for ever: their numbers."""
    snapshots: int = 0
    """State snapshots that hold it until newer ones took their place; each newer one is made from the same events."""

    @property
    def found(self) -> bool:
        """Whether it stood anywhere."""
        return bool(self.blobs or self.files or self.left or self.events or self.snapshots)


def forget(layout: Layout, value: bytes) -> Outcome:
    """Withhold this value from now on, take it out of what can be changed, and count what cannot. Harmless when repeated.

    Raises Mistake for a value that is too short or too long to be known again, and when the list cannot be written.
    """
    value = _checked(value)
    forms = spellings(value)
    if not layout.home.is_dir():
        raise Mistake("There is no factory here yet: nothing was kept.", where=str(layout.home), mend="Start one with `andon up`.")
    _remember(layout, forms)
    blobs = tuple(_blobs(layout, forms))
    if blobs:
        known = withheld.read_list(layout.home)
        withheld.write_list(layout.home, msgspec.structs.replace(known, blobs=tuple(dict.fromkeys((*known.blobs, *blobs)))))
        for name in blobs:
            _bury(layout, name)
    files: list[str] = []
    left: list[str] = []
    for name in _files(layout.home):
        try:
            if _overwritten(layout.home, name, forms):
                files.append(name)
        except OSError as error:
            left.append(f"{name}: {error.strerror}")
    snapshots = sum(_holds(layout.home, f"snapshots/{name}", forms) for name in beneath.names(layout.home, "snapshots", 100))
    return Outcome(blobs=blobs, files=tuple(files), left=tuple(left), events=tuple(_events(layout, forms)), snapshots=snapshots)


def shown(layout: Layout, rows: Iterable[Recorded]) -> Iterator[Recorded]:
    """The rows of the ledger as they may be shown or exported: no secret in their texts. Their hashes are those of the ledger."""
    withheld.keep(layout.home)
    return map(withheld.struct, rows)


def _checked(value: bytes) -> bytes:
    value = value.rstrip(b"\r\n")
    if len(value) < LEAST:
        raise Mistake(f"A value of {len(value)} bytes is too short: it would be withheld in ordinary words.",
                      mend=f"Change that secret where it is used; one of {LEAST} bytes or more can be forgotten here.")
    if len(value) > MOST:
        raise Mistake(f"A value of more than {MOST} bytes cannot be known again.", mend="Forget its secret lines one by one.")
    return value


def _remember(layout: Layout, forms: tuple[bytes, ...]) -> None:
    """Onto the list, in each of its spellings."""
    known = withheld.read_list(layout.home)
    key = known.key or secrets.token_hex(32)
    values = tuple(dict.fromkeys((*known.values, *(remember(form, bytes.fromhex(key)) for form in forms))))
    if len(values) > withheld.LIST_LENGTH:
        raise Mistake(f"More than {withheld.LIST_LENGTH} spellings of secrets are to be withheld.",
                      where=str(layout.home / withheld.FILE), mend="Begin a new factory in a directory of its own (ANDON_HOME).")
    withheld.write_list(layout.home, msgspec.structs.replace(known, key=key, values=values))


def _blobs(layout: Layout, forms: tuple[bytes, ...]) -> Iterator[str]:
    for above in beneath.names(layout.home, "blobs", 256):
        for rest in beneath.names(layout.home, f"blobs/{above}", FILES):
            if len(above + rest) == 64 and _holds(layout.home, f"blobs/{above}/{rest}", forms):
                yield above + rest


def _bury(layout: Layout, name: str) -> None:
    because = "it held a secret; a person had it forgotten"
    told = {"andon": "forgotten", "blob": name, "at": int(time.time() * 1000), "because": because}
    beneath.write_whole(layout.home, f"blobs/{name[:2]}/{name[2:]}", json.dumps(told).encode() + b"\n")


def _files(home: Path) -> Iterator[str]:
    """Names below home of all plain files in PLACES; no link is followed."""
    waiting, left = list(PLACES), FILES
    while waiting and left > 0:
        name = waiting.pop()
        for entry in beneath.names(home, name, FILES):
            left -= 1
            if entry != baits.FOLDER:  # they are empty, and who looks into one is taken for the job
                waiting.append(f"{name}/{entry}")
        seen = beneath.facts(home, name)
        if seen is not None and seen.st_size and not os.path.isdir(home / name):  # noqa: PTH112  # a name that may be no text
            yield name


def _mapped(fd: int, size: int, write: bool) -> mmap.mmap:
    return mmap.mmap(fd, size, access=mmap.ACCESS_WRITE if write else mmap.ACCESS_READ)


def _holds(home: Path, name: str, forms: tuple[bytes, ...]) -> bool:
    """Whether a file holds it in any spelling; False for what is no plain file."""
    try:
        fd = beneath.opened(home, name)
    except OSError:
        return False
    try:
        size = os.fstat(fd).st_size
        if not 0 < size <= FILE_BYTES:
            return False
        with closing(_mapped(fd, size, False)) as data:
            return any(data.find(form) >= 0 for form in forms)
    finally:
        os.close(fd)


def _overwritten(home: Path, name: str, forms: tuple[bytes, ...]) -> bool:
    """Overwrite it in a file, sign for sign; whether it was there. Raises OSError when it is there and cannot be changed."""
    if not _holds(home, name, forms):
        seen = beneath.facts(home, name)
        if seen is not None and seen.st_size > FILE_BYTES:
            raise OSError(27, "too large to be looked through", name)
        return False
    fd = beneath.opened(home, name, os.O_RDWR)
    try:
        with closing(_mapped(fd, os.fstat(fd).st_size, True)) as data:
            for form in sorted(forms, key=len, reverse=True):
                at = data.find(form)
                while at >= 0:
                    data[at : at + len(form)] = FILLER * len(form)
                    at = data.find(form, at + len(form))
            data.flush()
        os.fsync(fd)
    finally:
        os.close(fd)
    return True


def _events(layout: Layout, forms: tuple[bytes, ...]) -> Iterator[int]:
    """Numbers of the events that hold it."""
    if not layout.ledger.exists():
        return
    with closing(connect(layout.ledger)) as db:
        for seq, data in db.execute("SELECT seq, data FROM event ORDER BY seq"):
            raw = data.encode("utf-8", "surrogatepass") if isinstance(data, str) else bytes(data)
            if any(form in raw for form in forms):
                yield int(seq)
