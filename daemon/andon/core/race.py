"""Several agents on one task: each gets a task of its own, and the better-proven change goes on. Pure."""

from andon.core.state import State, Task
from andon.schema import events as e


def held(state: State, task: Task) -> str:
    """Why a proven racer does not go on yet; empty when nothing holds it."""
    return ""


def advance(state: State, task: Task, at: int) -> list[e.Event]:
    """The decision of a race, once every racer is proven or over. Empty when there is none to make."""
    return []
