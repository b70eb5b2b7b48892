"""What the factory does about running sessions: asks, messages, turns, ladders, resumption. Pure; it judges no session."""

from collections.abc import Callable, Iterator
from typing import Any

from andon.core.state import Attempt, State, Task
from andon.schema import effects as f, events as e, inputs as i
from andon.schema.errors import Problem


def owes(state: State, attempt: Attempt, at: int) -> Iterator[f.Effect]:
    """What a running attempt is owed beside its steps: answers, messages, interrupts, looks."""
    return iter(())


def asks(state: State, task: Task, at: int) -> list[e.Event]:
    """The gate that a running session wants: its oldest permission or question, or a cause that its ladder gave up on."""
    return []


def ticked(state: State, at: int) -> list[e.Event]:
    """Rungs whose time has come."""
    return []


def deadlines(state: State, at: int) -> Iterator[int]:
    """Moments after `at` at which a rung is due or a resumed sitting may start."""
    return iter(())


Handler = Callable[[State, Any, int], list[e.Event]]
HANDLERS: dict[type, Handler] = {}
CHECKS: dict[type, Callable[[State, i.Input], Problem | None]] = {}
