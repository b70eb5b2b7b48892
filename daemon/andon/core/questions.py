"""What is known of an open question to a person, and of the latest that are no longer open. Facts only."""

import msgspec

from andon.schema.events import Option, Risk
from andon.schema.gate_events import Approver
from andon.schema.ids import AttemptId, Digest, GateId, Oid, TaskId
from andon.schema.sandbox import Known


class Gate(msgspec.Struct, frozen=True, kw_only=True):
    """An open question."""

    gate: GateId
    task: TaskId
    kind: str
    question: str
    options: tuple[Option, ...]
    recommendation: str
    because: str
    risk: Risk
    attempt: AttemptId
    n: int
    commit: Oid
    bound: Digest
    station: str
    opened_at: int
    ask: str = ""
    walls: Known = ""
    """For `review`: what the person is told of its walls."""
    nonce: str = ""
    roles: tuple[str, ...] = ()
    keys: int = 0
    approvals: tuple[Approver, ...] = ()
    """Signed ones that came so far."""
    snoozed_until: int = 0
    """Unix milliseconds; 0: it is not snoozed."""
    snoozed_by: str = ""
    to: str = ""
    """Who it is for; empty: for whoever comes."""
    to_because: str = ""
    raised: int = 0
    raised_at: int = 0
    """When it rose last, opened, or came back from a nap."""
    noticed: int = -1
    """Up to which rise the person's routes were gone through; -1: not yet for its opening."""


class Decided(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a gate, kept for whoever answers it too late."""

    gate: GateId
    what: str
    """One clause: `was answered with approve by ana`."""
    at: int
