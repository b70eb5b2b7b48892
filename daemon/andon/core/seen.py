"""Which part of the repository an attempt's agent sees, and what of it it may change: by its station and for all agents. Pure."""

import msgspec

from andon.core.globs import matches
from andon.core.state import Attempt, State, line_of
from andon.core.walls import of_agents
from andon.schema import inputs as i
from andon.schema.settings import Walls


def walls_of(state: State, attempt: Attempt) -> Walls:
    """The walls of the repository, with what the attempt's station hides or protects."""
    walls = of_agents(state.repos[attempt.repo])
    task = state.tasks.get(attempt.task)
    line = line_of(state, task) if task is not None else None
    station = next((one for one in line.stations if one.name == attempt.station), None) if line is not None else None
    if station is None or not (station.hide or station.read_only):
        return walls
    return msgspec.structs.replace(walls, hide=(*walls.hide, *station.hide), read_only=(*walls.read_only, *station.read_only))


def fault_of(state: State, attempt: Attempt, read: i.WorkRead) -> str:
    """Why a change may not be taken as the attempt's own; empty when it may."""
    walls = walls_of(state, attempt)
    if not walls.hide and not walls.read_only:
        return ""
    if read.paths_total > len(read.paths):
        return f"it changed {read.paths_total} paths, more than can be compared with what it may change"
    if hidden := [path for path in read.paths if matches(path, walls.hide)]:
        return f"it changed paths that are hidden from it: {', '.join(hidden[:5])}"
    kept = [path for path in read.paths if matches(path, walls.read_only)]
    return f"it changed paths that it may only read: {', '.join(kept[:5])}" if kept else ""
