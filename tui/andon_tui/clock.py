"""Ages for people: coarse, from one clock, and honest about when they change next. Must never sleep or repaint."""

import time
from collections.abc import Callable


def wall_ms() -> int:
    """Unix milliseconds."""
    return time.time_ns() // 1_000_000


def coarse(ms: int) -> str:
    """`12s`, `3m`, `2h`, `5d`: one number, one unit."""
    seconds = max(0, ms) // 1000
    if seconds < 60:
        return f"{seconds}s"
    if seconds < 3600:
        return f"{seconds // 60}m"
    if seconds < 48 * 3600:
        return f"{seconds // 3600}h"
    return f"{seconds // 86400}d"


class Clock:
    """Tells ages and remembers whether any told since `begin` shows seconds."""

    FAST_S = 1.0
    SLOW_S = 30.0

    def __init__(self, now: Callable[[], int] = wall_ms) -> None:
        self.now = now
        self._fine = False
        self._live = False

    def begin(self) -> None:
        """A new drawing starts."""
        self._fine = self._live = False

    def age(self, at: int) -> str:
        """How long ago this was; empty when there is no such moment."""
        if not at:
            return ""
        past = self.now() - at
        self._live = True
        self._fine = self._fine or past < 60_000
        return coarse(past)

    def time(self, at: int) -> str:
        """A moment of today or soon, as the clock on the wall shows it."""
        return time.strftime("%H:%M" if abs(at - self.now()) < 20 * 3_600_000 else "%d %b %H:%M", time.localtime(at / 1000))

    @property
    def interval(self) -> float:
        """Seconds until the ages told since `begin` are worth drawing again; 0 when none was told."""
        if not self._live:
            return 0.0
        return self.FAST_S if self._fine else self.SLOW_S
