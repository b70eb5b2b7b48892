"""Reads and writes login files: the person's own, and the copies in private homes. It must never decide, nor show what is in them.

Theory of operation. The person's file is written by compare and swap: under a lock that every factory of this person takes, a whole
file beside it is renamed over it, and only when what stands there is still what the caller decided upon. The person's own programs
take no lock of ours: between that last look and the rename lies no more than two calls of the kernel. A copy in a private home is
read and written beneath that home by no link, because an agent lives there. What was ever copied or written is remembered by its
digest, so that a login which the person made anew can be told from the one that was lent.
"""

import contextlib
import fcntl
import os
import stat
import threading
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import msgspec

from andon.edges import beneath
from andon.edges.durable import write_file
from andon.edges.login_shape import LIMIT
from andon.schema.faults import point
from andon.schema.jobs import LOGINS, LoginCopy
from andon.schema.layout import Layout

ASIDE = ".andon-new"
"""How the name of the half-written file ends; one that a killed daemon left is overwritten."""
KNOWN = 64
"""Digests that are remembered of one login."""
RECORD_BYTES = 1 << 20
_BOOK = threading.Lock()


def digest(data: bytes) -> str:
    """The name of a content."""
    return sha256(data).hexdigest()


def own(path: Path) -> bytes | None:
    """The person's file; None when it is no plain file that can be read whole."""
    with contextlib.suppress(OSError):
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
        try:
            data = os.read(fd, LIMIT + 1) if stat.S_ISREG(os.fstat(fd).st_mode) else b""
        finally:
            os.close(fd)
        return data if 0 < len(data) <= LIMIT else None
    return None


def lent(home: Path, name: str) -> bytes | None:
    """A copy in a private home; None when it is not there, or no plain file of sensible size (`strange` tells)."""
    with contextlib.suppress(OSError):
        return beneath.read(home, name, LIMIT) or None
    return None


def strange(home: Path, name: str) -> bool:
    """Whether something stands there that is no readable login file: a link, a pipe, a folder, a giant."""
    seen = beneath.facts(home, name)
    if seen is None:
        return any(_link(home, part) for part in (*(str(up) for up in Path(name).parents if up.name), name))
    return not stat.S_ISREG(seen.st_mode) or seen.st_size > LIMIT


def _link(home: Path, name: str) -> bool:
    seen = beneath.facts(home, name)
    return seen is not None and stat.S_ISLNK(seen.st_mode)


def hand_in(home: Path, name: str, data: bytes) -> bool:
    """Put a login into a private home; False when that cannot be."""
    try:
        beneath.write_whole(home, name, data, 0o600)
    except OSError:
        return False
    return True


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Alone among the factories of this person with the file `path` (its real place). Raises OSError."""
    fd = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


def swap(path: Path, before: str, data: bytes) -> bool:
    """Make the person's file (its real place) hold `data`, 0600 or stricter, when it still is the one named `before`.

    False, and nothing changed, when it is not. The caller holds the lock. Raises OSError.
    """
    facts = path.stat()
    aside = path.with_name(f".{path.name}{ASIDE}")
    with contextlib.suppress(FileNotFoundError):
        aside.unlink()
    fd = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        with os.fdopen(fd, "wb") as file:
            os.fchmod(file.fileno(), stat.S_IMODE(facts.st_mode) & 0o600 or 0o600)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        point("login.aside")
        now = own(path)
        if now is None or digest(now) != before:
            return False
        aside.rename(path)
    finally:
        with contextlib.suppress(FileNotFoundError):
            aside.unlink()
    point("login.renamed")
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
    return True


# --- what was lent ---------------------------------------------------------------------------------------------------


def note(layout: Layout, job: Path, home: Path, wanted: tuple[tuple[str, str], ...]) -> None:
    """Write down which (path below the home, the person's file) were lent to a session, and remember the logins as lent."""
    copies = []
    for name, source in wanted:
        place = Path(source).expanduser()
        mine, theirs = own(place), lent(home, name)
        if theirs is None:
            continue
        if mine == theirs:
            remember(layout, place, digest(mine))
        copies.append(LoginCopy(path=name, source=str(place)))
    write_file(job / LOGINS, msgspec.json.encode(copies))


def noted(job: Path) -> tuple[LoginCopy, ...]:
    """What was lent to a session."""
    with contextlib.suppress(OSError, msgspec.MsgspecError):
        return msgspec.json.decode(beneath.read(job, LOGINS, RECORD_BYTES), type=tuple[LoginCopy, ...])
    return ()


def remember(layout: Layout, place: Path, name: str) -> None:
    """This content of the person's file is one that we lent or wrote. Durable on return."""
    with _BOOK:
        known = _known(layout)
        said = known.get(str(place), [])
        if name not in said:
            known[str(place)] = [*said, name][-KNOWN:]
            write_file(_book(layout), msgspec.json.encode(known))


def remembered(layout: Layout, place: Path, name: str) -> bool:
    """Whether it is."""
    return name in _known(layout).get(str(place), [])


def _book(layout: Layout) -> Path:
    return layout.home / LOGINS


def _known(layout: Layout) -> dict[str, list[str]]:
    with contextlib.suppress(OSError, msgspec.MsgspecError):
        return msgspec.json.decode(_book(layout).read_bytes(), type=dict[str, list[str]])
    return {}
