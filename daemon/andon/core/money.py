"""What agents spend and may spend, of which account, on a machine with how much room. Pure; knows no price list of its own."""

from collections.abc import Callable, Iterator
from typing import Any

from andon.core.state import Spending, State, Task
from andon.schema import events as e, views as v
from andon.schema.settings import Station


def limits(state: State, task: Task, station: Station, at: int) -> list[str]:
    """Why no agent may start for this task now: a cap, an account at its limit, a strained machine."""
    return []


def claim_facts(state: State, task: Task, agent: str) -> tuple[str, float]:
    """The account that an attempt by this agent belongs to, and what is reserved for it (US dollars)."""
    return "", 0.0


def ticked(state: State, at: int) -> list[e.Event]:
    """Limits of accounts that are over."""
    return []


def asks(state: State, task: Task, at: int) -> list[e.Event]:
    """The gate of an attempt that reached a cap and has handed back what it has."""
    return []


def deadlines(state: State, at: int) -> Iterator[int]:
    """Moments after `at` (unix milliseconds) at which time alone changes what is decided here."""
    return iter(())


def account_views(state: State) -> list[v.AnyView]:
    """Accounts that are limited or in use."""
    return []


def spent_on(state: State, task: Task) -> tuple[Spending, bool]:
    """What all attempts of a task spent so far, and whether all of it was metered."""
    return Spending(), True


Handler = Callable[[State, Any, int], list[e.Event]]
HANDLERS: dict[type, Handler] = {}
