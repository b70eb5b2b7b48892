"""The clock: unix milliseconds that never run backwards while we live, whatever is done to the wall clock."""

import time


class Clock:
    """Starts at the wall clock, or at `least` when that is later (it was set back), and goes on with the monotonic one."""

    def __init__(self, least: int = 0) -> None:
        self._wall = max(time.time_ns() // 1_000_000, least)
        self._start = time.monotonic_ns() // 1_000_000

    def now(self) -> int:
        """Unix milliseconds, at least as many as the last time."""
        return self._wall + time.monotonic_ns() // 1_000_000 - self._start
