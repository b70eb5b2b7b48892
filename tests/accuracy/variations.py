"""Variations of recorded streams, as the world makes them: words lost, doubled, late, in another order, sources missing."""

import random
from collections.abc import Callable

import msgspec
from msgspec.structs import replace

from andon.schema.signals import Line, Recording

LATE_MS, ORDER_MS = 2_000, 1_000
LOOKS = ("process", "pane")
"""The daemon's own looks: they are made in order, and are never doubled."""
Stream = tuple[Recording, tuple[Line, ...]]
Lines = tuple[Line, ...]


def _told(line: Line) -> bool:
    return line.source not in LOOKS


def moved(line: Line, by: int) -> Line:
    """The same line, arrived later. A call at the gateway bears its own time too."""
    return replace(line, at=line.at + by)


def lost(lines: Lines, r: random.Random) -> Lines:
    """One word in twenty never comes; the daemon's own looks and the gateway's file are not lost."""
    return tuple(line for line in lines if not _told(line) or line.source == "gateway" or r.random() > 0.05)


def doubled(lines: Lines, r: random.Random) -> Lines:
    """Every fifth word comes twice."""
    again = [moved(line, r.randint(1, 300)) for line in lines if _told(line) and r.random() < 0.2]
    return _sorted([*lines, *again])


def late(lines: Lines, r: random.Random) -> Lines:
    """All words of one source come up to two seconds late, in their order."""
    sources = sorted({line.source for line in lines if _told(line)})
    slow = r.choice(sources) if sources else ""
    by = r.randint(500, LATE_MS)
    return _sorted([moved(line, by) if line.source == slow else line for line in lines])


def shuffled(lines: Lines, r: random.Random) -> Lines:
    """Words change places within a second."""
    return _sorted([moved(line, r.randint(0, ORDER_MS)) if _told(line) and r.random() < 0.3 else line for line in lines])


def without(*sources: str) -> Callable[[Lines, random.Random], Lines]:
    """As it is where these sources are not there."""
    return lambda lines, r: tuple(line for line in lines if line.source not in sources)


def only(*sources: str) -> Callable[[Lines, random.Random], Lines]:
    """As it is where nothing else is there."""
    return lambda lines, r: tuple(line for line in lines if line.source in sources)


def _sorted(lines: list[Line]) -> Lines:
    return tuple(sorted(lines, key=lambda line: line.at))


KINDS: dict[str, Callable[[Lines, random.Random], Lines]] = {
    "lost": lost, "doubled": doubled, "late": late, "shuffled": shuffled, "no gateway": without("gateway"),
    "no process": without("process"), "no pane": without("pane"), "no transcript": without("transcript"),
    "no channel": without("api", "hook", "stdout", "transcript"), "hooks only": only("hook"), "server only": only("api"),
    "transcript only": only("transcript"), "pane only": only("pane"), "process and pane": only("process", "pane"),
}


def varied(streams: list[Stream], kind: str, seed: int = 0) -> list[Stream]:
    """These streams in one variation; those of which nothing is left are left out."""
    made = []
    for n, (recording, lines) in enumerate(streams):
        kept = KINDS[kind](lines, random.Random(f"{kind}/{seed}/{n}"))
        if kept and any(msgspec.json.decode(line.data) for line in kept):
            made.append((recording, kept))
    return made
