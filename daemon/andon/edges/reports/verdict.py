"""What reading a report comes to, and what is known of the run beside the report. Data only; it reads nothing."""

from collections.abc import Mapping

import msgspec

from andon.schema.events import Result
from andon.schema.ids import Oid
from andon.schema.jobs import Exit
from andon.schema.settings import Check

FAILING_SHOWN = 50
"""Failures that are named; all are counted."""


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What a run says."""

    result: Result
    because: str
    cause: str = ""
    passed: int = 0
    failed: int = 0
    skipped: int = 0
    failing: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    """Names of all passed tests, sorted."""
    told: str = ""
    """The first failures in their own words."""
    kept: bytes = b""
    """What a run on a later tree is compared with, in the format's own JSON; empty: nothing."""
    figures: tuple[tuple[str, int], ...] = ()
    """Measures by name, for the evidence: whole numbers, shares in basis points."""


class Grounds(msgspec.Struct, frozen=True, kw_only=True):
    """What the daemon itself read from git about the tree that a report is about. The default knows nothing."""

    commit: Oid = Oid("")
    tree: Oid = Oid("")
    told: str = ""
    """What belongs to whatever the run says: how old its data is."""
    place: tuple[str, ...] = ()
    """Paths by which a tool may name the checkout that it ran in."""
    started: int = 0
    """Unix milliseconds at which the run began; 0: not known."""
    begun: int = 0
    """The same in nanoseconds, by the clock of the file system that the report lies on."""
    files: Mapping[str, str] | None = None
    """Every path of the tree with the name of its blob; None: not read."""
    lines: Mapping[str, tuple[str, ...]] = {}
    """Lines of the files of the tree that the report speaks of."""
    base: Oid = Oid("")
    """The commit that the change is compared with; empty: the tree is looked at for itself."""
    kept: bytes = b""
    """What the run on the base kept; empty: not known."""
    moved: Mapping[str, str] = {}
    """New path of each file of the base that has another one here."""
    changed: Mapping[str, tuple[int, ...]] = {}
    """Numbers of the lines that the change added or altered, by path; a file that is only gone has none."""


UNKNOWN = Grounds()


class Read(msgspec.Struct, frozen=True, kw_only=True):
    """One report and all that it is judged by."""

    check: Check
    seen: Exit
    data: bytes
    log: bytes = b""
    """The end of what the run printed."""
    grounds: Grounds = UNKNOWN


def unevaluated(cause: str, because: str) -> Verdict:
    """It could not say yes or no."""
    return Verdict(result="unevaluated", cause=cause, because=because)
