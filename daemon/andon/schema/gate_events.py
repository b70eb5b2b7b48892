"""Events of a gate between its question and its answer: approvals, a nap, who it is for, that it rose, and what told of it."""

import msgspec

from andon.schema.eventbase import Event
from andon.schema.ids import Digest, GateId


class Approver(msgspec.Struct, frozen=True, kw_only=True):
    """Who said yes, as the daemon established it. Without `key` it is what the socket says, and nothing more."""

    name: str
    role: str = ""
    """In which of their roles; one approval counts for one role."""
    key: str = ""
    """Fingerprint of the SSH key that signed; empty: nobody signed."""
    envelope: Digest = Digest("")
    """The DSSE envelope with the statement."""


class GateApproved(Event, frozen=True, kw_only=True, tag="gate.approved"):
    """One signed yes of those that a gate asks for. The gate stays open until all are there."""

    gate: GateId
    approver: Approver
    because: str = ""
    bound: Digest = Digest("")
    by: str


class GateSnoozed(Event, frozen=True, kw_only=True, tag="gate.snoozed"):
    """A person wants to hear of it later. It stays open, is counted, and comes back by itself."""

    gate: GateId
    until: int
    """Unix milliseconds."""
    because: str = ""
    by: str


class GateWoken(Event, frozen=True, kw_only=True, tag="gate.woken"):
    """The nap is over: by its time, or because a person said so."""

    gate: GateId
    by: str = ""


class GateDelegated(Event, frozen=True, kw_only=True, tag="gate.delegated"):
    """Who it is for. A word to people: it gives nobody a right that they had not."""

    gate: GateId
    to: str
    because: str = ""
    by: str


class GateRaised(Event, frozen=True, kw_only=True, tag="gate.raised"):
    """Nobody answered for a whole period: it is told again."""

    gate: GateId
    n: int
    """1 for the first time."""


class GateNoticed(Event, frozen=True, kw_only=True, tag="gate.noticed"):
    """The person's routes were gone through for it, as often as it rose (0: when it opened)."""

    gate: GateId
    n: int
    told: tuple[str, ...] = ()
    """Routes that took it."""
    failed: tuple[str, ...] = ()
    """Routes that did not."""


class ProblemTold(Event, frozen=True, kw_only=True, tag="problem.told"):
    """The person's routes were gone through for a problem."""

    key: str
    told: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()


AnyGateEvent = ProblemTold | GateApproved | GateSnoozed | GateWoken | GateDelegated | GateRaised | GateNoticed
