"""What a queue policy sees and what it answers: one queue at one moment. It must never know tasks, git or time itself."""

from typing import Literal

import msgspec

Why = Literal["prefix", "confirm", "without", "apart"]
"""Why members are proved together: as a prefix of the queue; once more, because it failed; as the queue without a suspect; apart
from the queue, to know sooner who fails for itself."""


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """A change that may land now."""

    key: str
    """Names the change: another commit of the same task is another key."""
    risk: float = 0.05
    """How likely it fails by itself, 0 < risk < 1, as measured in this repository."""
    stood: bool = False
    """It passed apart from the queue, on the trunk of that time."""
    late: bool = False
    """It was overtaken often enough: it may not step aside any more."""
    needs: tuple[str, ...] = ()
    """Keys that it is built on. While one of them is in the order, it stands behind that one or not at all; one that is not in the
    order has landed: what waits for anything else is not in the order either."""


class Tried(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of exactly these members, merged in this order onto the present trunk."""

    members: tuple[str, ...]
    passes: int = 0
    fails: int = 0
    unevaluated: int = 0
    """In a row, since the last pass or fail."""
    excused: bool = False
    """All that ever failed here is known to be flaky on trunk itself, and these members do not touch it: one pass is enough."""

    def guilty(self, confirm: int) -> bool:
        """It failed 1 + confirm times and never passed; or it passed now and then, but failed as many times more for each pass."""
        return self.fails >= (1 + confirm) * (1 + self.passes) and not self.passed(confirm)

    def failed(self) -> bool:
        """Nothing but failures so far."""
        return self.fails > 0 and self.passes == 0

    def passed(self, confirm: int) -> bool:
        """It may land: it never failed, or it passed more often than a single accident explains (`confirm` + 1 times), or what
        failed is excused. `confirm` is the number of further failures that a rejection needs."""
        return self.passes > 0 and (self.fails == 0 or self.excused or self.passes > confirm)


class Running(msgspec.Struct, frozen=True, kw_only=True):
    """A proof under way."""

    landing: str
    members: tuple[str, ...]
    """As merged onto the present trunk: those that have landed meanwhile are no longer among them. Empty: it was built on a trunk
    that is gone, or all of it has landed; it is of no use. A proof apart goes on whatever the trunk does."""
    why: Why = "prefix"
    spent: float = 0.0
    """How much of the time of a passing proof it has used: 0.5 is half of it, 0 also when that is not known. The longer a proof has
    not failed, the likelier it passes."""


class Look(msgspec.Struct, frozen=True, kw_only=True):
    """One queue at one moment."""

    order: tuple[Entry, ...]
    """What may land, in landing order."""
    clashes: frozenset[tuple[str, str]] = frozenset()
    """Pairs of keys (in any order) that are known not to merge with each other: they never stand in one prefix."""
    tried: tuple[Tried, ...] = ()
    alone: float = 0.0
    """How likely a change fails apart from the queue, as measured: for itself, or against what landed. 0: none is proved apart."""
    apart: tuple[Tried, ...] = ()
    """What is known of changes apart from the queue, each on the trunk of its time. Those that landed meanwhile are no longer among
    the members; nothing is known any more of members of whom one was sent back."""
    running: tuple[Running, ...] = ()
    slots: int = 1
    """Proofs at once."""
    confirm: int = 1
    """Further failures, alone on the present trunk, before a change is rejected."""
    soonest: float = 0.2
    """A failing proof ends anywhere between this part of a passing one's time and the whole of it, as measured: `rates.soonest`."""


class Want(msgspec.Struct, frozen=True, kw_only=True):
    """A proof to start."""

    members: tuple[str, ...]
    why: Why = "prefix"
    suspect: str = ""
    """With `without`: the (first) change that is left out. With `confirm`: the one that is proved again. With `apart`: the first
    of a group that failed; empty for a new group."""


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What the queue should do now. Asked again after each step: nothing of it is remembered."""

    land: tuple[str, ...] = ()
    """The longest proven prefix of the order (without those that step aside); empty when none is. With it nothing is started:
    ask again when it has landed."""
    reject: str = ""
    """A confirmed culprit: alone on the present trunk, or apart, it is `Tried.guilty`. With it nothing is started."""
    start: tuple[Want, ...] = ()
    """At most as many as there are free slots; a run that is being cancelled holds its slot until it is gone from `running`."""
    cancel: tuple[str, ...] = ()
    """Landings under way whose result would change nothing any more."""
    suspect: str = ""
    """The change that the smallest failing prefix ends in, once nothing before it is in doubt."""
    aside: tuple[str, ...] = ()
    """Those who step aside: a group with them failed apart, and it is not known yet who is to blame."""
    bracket: int = 0
    """Length of the smallest failing prefix: the culprit is one of its members; 0: nothing fails."""
    unevaluated: tuple[str, ...] = ()
    """The shortest members that could not be evaluated `UNEVALUATED` times in a row: somebody must look. The same members and all
    that is longer are not tried again before one of `tried`, the order or the trunk changes."""


UNEVALUATED = 2
"""Results in a row without a yes or no, of the same members, before the queue asks."""
