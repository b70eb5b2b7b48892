"""The table of station kinds: what it takes to pass one, and what it wants until then. A new kind is one module and one row."""

from collections.abc import Callable
from typing import NamedTuple

from andon.core.state import State, Task
from andon.core.stations import agent, check, gate, land, watch
from andon.schema.events import Event
from andon.schema.settings import Station


class Kind(NamedTuple):
    """How tasks get through stations of one kind. Pure functions of the State."""

    passed: Callable[[State, Task, Station], bool]
    """Whether the task may go on to the next station."""
    advance: Callable[[State, Task, Station, int], list[Event]]
    """What the station wants while it is not passed, at this time (unix milliseconds); empty while it only waits."""


KINDS: dict[str, Kind] = {
    "agent": Kind(agent.passed, agent.advance),
    "check": Kind(check.passed, check.advance),
    "gate": Kind(gate.passed, gate.advance),
    "land": Kind(land.passed, land.wait),
    "watch": Kind(watch.passed, watch.wait),
}
"""By the word of `kind = …` in the settings."""
