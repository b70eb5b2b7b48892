"""A language for tests of the core: `assert Given(*events) >> Input << Event << Effect << nothing`. Knows no disk and no clock.

Theory of operation. `Given` folds events into a state. `>>` gives one input, decides and folds what was decided. Each `<<`
names the next thing that must have come of it: first the events, in order, then the effects that are newly owed, in any
order. `like(Kind, field=…)` looks at some fields only, `...` takes whatever else came, `nothing` says that nothing did. What
is left over at the next `>>` or at `assert` is a mismatch, and every mismatch shows a diff.
"""

import difflib
from collections.abc import Iterable
from types import EllipsisType
from typing import Any

import msgspec

from andon.core.decide import decide
from andon.core.evolve import fold
from andon.core.pending import pending
from andon.core.state import State
from andon.schema import effects as f, events as e, inputs as i
from core.sim import Sim


class Like:
    """Something of a kind with these fields; the others may be anything. A field may be a predicate."""

    def __init__(self, kind: type, /, **fields: Any) -> None:
        self.kind, self.fields = kind, fields

    def __eq__(self, other: object) -> bool:
        return isinstance(other, self.kind) and all(
            wanted(getattr(other, name)) if callable(wanted) else getattr(other, name) == wanted
            for name, wanted in self.fields.items()
        )

    __hash__ = None  # type: ignore[assignment]

    def told(self, found: object) -> str:
        """As a line of a diff: equal to the found one when it fits."""
        if self == found:
            return tell(found)
        return f"like {self.kind.__name__}({', '.join(f'{name}={value!r}' for name, value in self.fields.items())})"


like = Like


class Nothing:
    """Nothing more came of an input."""


nothing = Nothing()
Expected = e.Event | f.Effect | Like | EllipsisType | Nothing


class Given:
    """A factory after these events, as a script that is checked while it is written."""

    def __init__(self, *events: e.Event, state: State | None = None, at: int = 1_000_000) -> None:
        self.at = at
        self.state = fold(state or State(), events, at)
        self.script: list[str] = []
        self.came: list[object] = []
        self.wanted: list[Expected] = []
        self.asked = False

    @classmethod
    def after(cls, sim: Sim) -> "Given":
        """The factory as a simulated one stands now."""
        return cls(state=sim.state, at=sim.now)

    def later(self, ms: int) -> "Given":
        """Time passes before the next input."""
        self.at += ms
        return self

    def __rshift__(self, given: i.Input) -> "Given":
        self.settle()
        before = {effect.key for effect in pending(self.state, self.at)}
        events = decide(self.state, given, self.at)
        self.state = fold(self.state, events, self.at)
        owed = [effect for effect in pending(self.state, self.at) if effect.key not in before]
        self.script.append(f">> {tell(given)}")
        self.came, self.wanted, self.asked = [*events, *owed], [], True
        return self

    def __lshift__(self, expected: Expected) -> "Given":
        assert self.asked, "nothing was given yet"
        self.wanted.append(expected)
        return self

    def __bool__(self) -> bool:
        self.settle()
        return True

    def settle(self) -> None:
        """Compare what came of the last input with what was wanted."""
        wanted = [one for one in self.wanted if not isinstance(one, Nothing)]
        lines = compare(wanted, self.came)
        if lines is not None:
            raise AssertionError("\n".join([*self.script, *lines]))
        self.script += [f"<< {tell(one)}" for one in self.came]
        self.came, self.wanted = [], []


def compare(wanted: list[Any], came: list[object]) -> list[str] | None:
    """A diff of what was wanted and what came; None when it fits."""
    left, told = list(came), []
    open_end = missed = False
    for one in wanted:
        if one is ...:
            open_end = True
            continue
        index = place(one, left, anywhere=open_end)
        if index is None:
            missed = True
            told.append(one.told(left[0] if left else None) if isinstance(one, Like) else tell(one))
        else:
            told.append(tell(left.pop(index)))
    if not missed and (open_end or not left):
        return None
    return list(difflib.ndiff(told + (["..."] if open_end else []), [tell(one) for one in came]))


def place(one: Any, left: list[object], *, anywhere: bool) -> int | None:
    """Where the wanted thing is: the very next event, or any of the owed effects."""
    if not left:
        return None
    events = [n for n, found in enumerate(left) if isinstance(found, e.Event)]
    is_effect = issubclass(one.kind, f.Effect) if isinstance(one, Like) else isinstance(one, f.Effect)
    if anywhere or is_effect:
        return next((n for n, found in enumerate(left) if one == found and (anywhere or not events or n > events[-1])), None)
    return 0 if one == left[0] else None


def tell(thing: object) -> str:
    """A struct as one line, without fields that have their default."""
    if not isinstance(thing, msgspec.Struct):
        return repr(thing)
    fields = [
        f"{field.name}={shorten(getattr(thing, field.name))}" for field in msgspec.structs.fields(thing)
        if field.required or getattr(thing, field.name) != field.default
    ]
    return f"{type(thing).__name__}({', '.join(fields)})"


def shorten(value: object) -> str:
    """A value that does not hide the rest of its line."""
    told = repr(value)
    return told if len(told) <= 90 else f"{told[:80]}…{told[-6:]}"


def kinds(events: Iterable[e.Event]) -> list[str]:
    """The names of events."""
    return [e.kind_of(event) for event in events]
