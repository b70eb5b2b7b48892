"""The private home of a session's agent: what an adapter seeds there before the start. Writes nowhere else, follows no link out.

A home outlives the sittings of one attempt, so that a conversation can be gone on with, and goes with the attempt's checkout.
"""

import contextlib
import os
from pathlib import Path, PurePosixPath

from andon.edges import beneath
from andon.schema.agent import Seed
from andon.schema.errors import Mistake

COPY_LIMIT = 4 * 1024 * 1024
"""Bytes of a person's file that may be copied in."""


def lay(home: Path, seeds: tuple[Seed, ...], *, copies: bool) -> list[str]:
    """Write the seeds into a home (0700); the names of copies that were wanted and not made. A seed that leaves it is a Mistake.

    What an agent wrote over a seed stays, unless the seed is to be written at every start.
    """
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    home.chmod(0o700)
    missing: list[str] = []
    for seed in seeds:
        place = _within(home, seed.path)
        if os.path.lexists(place) and not seed.always:
            continue
        if seed.copy:
            if not copies or not _copied(Path(seed.copy).expanduser(), home, seed):
                missing.append(seed.copy)
            continue
        _laid(home, seed, seed.text.encode())
    return missing


def _within(home: Path, name: str) -> Path:
    """The place of a seed; its existing folders must be real ones of this home."""
    parts = PurePosixPath(name).parts
    if not parts or name.startswith("/") or ".." in parts:
        raise Mistake(f"an adapter wants to write outside the session's home: {name}", where=str(home), mend="repair the adapter")
    place = home / name
    for folder in reversed(place.relative_to(home).parents):
        if (home / folder).is_symlink():
            raise Mistake(f"{home / folder} is a link", where=str(home), mend="an agent put it there: look, then retry the task")
    return place


def _laid(home: Path, seed: Seed, data: bytes) -> None:
    try:
        if above := str(PurePosixPath(seed.path).parent):
            beneath.make_folders(home, above)
        beneath.write_whole(home, seed.path, data, seed.mode)
    except OSError as error:
        raise Mistake(f"{home / seed.path} cannot be written: {error.strerror}", where=str(home),
                      mend="an agent may have put something in its place: look, then retry the task") from error


def _copied(source: Path, home: Path, seed: Seed) -> bool:
    """Whether a person's regular file was copied."""
    with contextlib.suppress(OSError):
        if source.is_file() and source.stat().st_size <= COPY_LIMIT:
            _laid(home, seed, source.read_bytes())
            return True
    return False
