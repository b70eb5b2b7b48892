"""What a job tried to reach, read from its directory and from the ledger's memory. It must never judge whether that was right.

Theory of operation. An `Ear` adds to a session's list the paths that its agent named to its tools and that its walls do not hold.
The list for a person is made of the files of all sittings; where they are gone, of what the ledger remembers.
"""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

import msgspec

from andon.core import asked, refusals
from andon.core.asked import Bounds
from andon.core.state import State
from andon.edges import beneath, withheld
from andon.edges.tried import KINDS, Tally, add, merged, read
from andon.schema import wire
from andon.schema.errors import Mistake
from andon.schema.ids import AttemptId
from andon.schema.jobs import WALLS, Walls
from andon.schema.layout import Layout
from andon.schema.sandbox import Access, Sandbox
from andon.schema.signals import AnySignal, PermissionWanted, ToolBegan

SHOWN = 2_000
"""Rows of a list; the latest."""


class Ear:
    """Hears what an agent names to its tools, and writes down what of it lies outside its walls; each path once."""

    def __init__(self, tally: Tally, folder: Path, bounds: Bounds) -> None:
        self._tally, self._folder, self._bounds = tally, folder, bounds

    def hear(self, signals: Iterable[AnySignal]) -> None:
        """Signals of the agent's own events, in order."""
        lines: list[Access] = []
        for signal in signals:
            if not isinstance(signal, ToolBegan | PermissionWanted):
                continue
            for one in asked.outside(signal, self._bounds):
                if (one.kind, one.path) in self._tally.known or len(self._tally.known) >= KINDS:
                    continue
                self._tally.known.add((one.kind, one.path))
                told = asked.told(one, self._bounds, exists=asked.ours(one, self._bounds) and os.path.lexists(one.path))
                lines.append(msgspec.structs.replace(told, at=signal.at))
        if lines:
            add(self._folder, lines)


def bounds_of(layout: Layout, attempt: AttemptId, checkout: str, box: Sandbox | None) -> Bounds:
    """What a session's walls hold, as far as paths are judged by it."""
    own = tuple(str(path) for path in (Path.home(), layout.home, layout.runtime, Path("/etc/shadow")))
    return Bounds(checkout=checkout, home=str(layout.session_home(attempt)), box=box, own=own, job=str(layout.job(attempt)))


# --- for a person --------------------------------------------------------------------------------------------------------


def listed(state: State, layout: Layout, attempt: AttemptId) -> wire.AccessIs:
    """The list of an attempt. Mistake when nobody knows it."""
    folders = sittings(layout, attempt)
    kept = refusals.of(state, attempt)
    if not folders and not kept and attempt not in state.attempts:
        raise Mistake(f"nothing is known of what {attempt} tried to reach",
                      mend="`andon show TASK` names a task's attempts; lists go with the job's directory, refusals stay longer")
    rows = merged(one for folder in folders for one in read(folder))
    walls = walls_of(folders[-1]) if folders else None
    source: Literal["files", "ledger"] = "files" if folders else "ledger"
    if not folders:
        rows = [Access(at=one.at, kind="read", what=one.what or one.rule, allowed=False, rule=one.rule, times=one.times)
                if one.kind not in KIND_WORDS else
                Access(at=one.at, kind=KIND_WORDS[one.kind], what=one.what, allowed=False, rule=one.rule, times=one.times)
                for one in kept]
    return wire.AccessIs(attempt=attempt, rows=tuple(withheld.struct(one) for one in rows[-SHOWN:]), kept=source,
                         level=walls.level if walls else "", notes=notes(walls, source, len(rows)))


KIND_WORDS: dict[str, Literal["host", "read", "write", "socket", "exec", "limit"]] = {
    "host": "host", "read": "read", "write": "write", "socket": "socket", "exec": "exec", "limit": "limit",
}


def sittings(layout: Layout, attempt: AttemptId) -> list[Path]:
    """The job directories of an attempt that are still there, oldest first."""
    earlier = [folder for folder in layout.jobs.glob(f"{attempt}~*") if folder.name.rpartition("~")[2].isdigit()]
    earlier.sort(key=lambda folder: int(folder.name.rpartition("~")[2]))
    return [folder for folder in (*earlier, layout.job(attempt)) if folder.is_dir()]


def walls_of(folder: Path) -> Walls | None:
    """What stood around the job; None when nobody wrote it down: there were none."""
    try:
        return msgspec.json.decode(beneath.read(folder, WALLS, 64 * 1024), type=Walls)
    except (OSError, msgspec.MsgspecError):
        return None


def notes(walls: Walls | None, source: str, rows: int) -> tuple[str, ...]:
    """What is not seen here, each in one sentence."""
    told = [f"Only the latest {SHOWN} rows are shown."] if rows > SHOWN else []
    if source == "ledger":
        return ("Its job directory is gone: what stands here is what the ledger remembers, refusals alone.",)
    level = walls.level if walls else "none"
    told += walls.told if walls else ()
    if level == "strict":
        told.append("Not seen: paths that do not exist inside and are no bait, except where the agent named them to a tool; writes "
                    "to baits; system calls that seccomp refuses.")
    elif level == "partial":
        told.append("Not seen: what Landlock refuses. Paths are those that the agent named to its tools; programs that it ran are "
                    "not followed.")
    else:
        told.append("No walls stood around it: nothing was refused, and paths are those that the agent named to its tools. The "
                    "agent itself could write to this list.")
    return tuple(told)
