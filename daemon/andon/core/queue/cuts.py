"""Where to cut a queue: prefix lengths at quantiles of where the first failure is. It must never know what a change is.

*Theory of operation.* The place of the first failing change is a number J: n with probability risk(n) times the chance that all
before it are good, or one past the end when none fails. A failing prefix of length n says J <= n, a passing one J > n, so proofs of
K prefixes cut the axis of J in K + 1 cells, and the cell that J is in is what the proofs tell. Equal cells tell most.
"""

import bisect
import itertools
from collections.abc import Mapping, Sequence

LEAN = 0.03
"""A failing proof ends sooner than a passing one, so a cut pays best where a failure is a little more likely than not: by this much
at a cut in two halves, by less the finer the cut."""
LATE = 0.05
"""How likely a proof still fails that has used all its time."""


def first_failure(risks: Sequence[float], low: int, high: int, spent: Mapping[int, float], soonest: float) -> list[float]:
    """For n = 0..high: how likely J <= n, given low < J <= high.

    `high` is the length of a failing prefix, or one more than all there is, which stands for "none fails". `spent`: by length, how
    far a proof under way got without failing; `soonest`: at what part of its time a failing one may end.
    """
    end = min(high, len(risks))
    doubt, still = 1.0, [1.0] * (end + 1)
    for n in range(end, low, -1):
        doubt *= unfailed(spent[n], soonest) if n in spent else 1.0
        still[n] = doubt
    clear, so_far = 1.0, [0.0] * (low + 1)
    for n in range(low, end):
        so_far.append(so_far[-1] + clear * risks[n] * still[n + 1])
        clear *= 1.0 - risks[n]
    if high > len(risks):
        so_far.append(so_far[-1] + clear)
    whole = so_far[high]
    return [mass / whole for mass in so_far] if whole > 0 else [n / high for n in range(high + 1)]


def unfailed(spent: float, soonest: float) -> float:
    """How likely a failing proof gets so far without failing, when it ends anywhere between `soonest` and the whole of its time."""
    return min(1.0, max(LATE, (1.0 - spent) / max(LATE, 1.0 - soonest)))


def place(so_far: Sequence[float], low: int, high: int, count: int) -> list[int]:
    """At most `count` lengths between low and high (both excluded), ascending, that part low < J <= high as evenly as can be."""
    found: list[int] = []
    while count > 0 and high - low > 1:
        share = count / (count + 1)
        goal = so_far[low] + (so_far[high] - so_far[low]) * (share + LEAN * 4 * share * (1 - share) / count)
        least = low + min(count, high - low - 1)
        at = bisect.bisect_left(so_far, goal, least, high - 1)
        if at > least and goal - so_far[at - 1] < so_far[at] - goal:
            at -= 1
        found.append(at)
        high, count = at, count - 1
    return found[::-1]


class Ruler:
    """Cuts between low and high: those already made, and how many are to be added in each gap between them."""

    def __init__(self, so_far: Sequence[float], low: int, high: int, made: Sequence[int]) -> None:
        """`made` are the lengths that are being proved already."""
        self.so_far = so_far
        ends = [low, *sorted({n for n in made if low < n < high}), high]
        self.gaps = list(itertools.pairwise(ends))
        self.added = [0] * len(self.gaps)
        self.cells = [self._largest(at) for at in range(len(self.gaps))]

    def _largest(self, at: int) -> float:
        """Mass of the largest cell of a gap that could still be cut."""
        low, high = self.gaps[at]
        ends = [low, *place(self.so_far, low, high, self.added[at]), high]
        return max((self.so_far[b] - self.so_far[a] for a, b in itertools.pairwise(ends) if b - a > 1), default=0.0)

    def worth(self) -> float:
        """What one more cut would part: 1 is everything, 0 nothing."""
        return max(self.cells)

    def add(self) -> None:
        """Make one more cut where it parts most."""
        at = self.cells.index(max(self.cells))
        self.added[at] += 1
        self.cells[at] = self._largest(at)

    def cuts(self) -> list[int]:
        """The lengths that were added."""
        return [n for (low, high), count in zip(self.gaps, self.added, strict=True) for n in place(self.so_far, low, high, count)]
