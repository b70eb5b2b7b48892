"""A person's signature under an answer, what else they may do with a gate, and what became of telling them."""

import msgspec

from andon.schema.errors import Problem
from andon.schema.ids import GateId
from andon.schema.inputbase import Command, Input

SNOOZE_LIMIT_S = 3 * 24 * 3600
"""The longest nap of a gate: over a weekend, and no longer."""


class Signature(msgspec.Struct, frozen=True, kw_only=True):
    """What a face sends with a signed answer: all that the daemon needs to build the statement again."""

    approver: str
    role: str
    time: str
    """As `schema.approval.moment` writes it."""
    sshsig: str
    """The armored text of `ssh-keygen -Y sign`."""


class SnoozeGate(Command, frozen=True, kw_only=True, tag="snooze"):
    """Be told later. 0 seconds wakes it now."""

    gate: GateId
    seconds: int
    because: str = ""


class DelegateGate(Command, frozen=True, kw_only=True, tag="delegate"):
    """Say who it is for."""

    gate: GateId
    to: str
    because: str = ""


class RouteFailed(msgspec.Struct, frozen=True, kw_only=True):
    """A route that did not take a notice, and why."""

    route: str
    problem: Problem


class GateTold(Input, frozen=True, kw_only=True, tag="gate-told"):
    """The routes were gone through: at least once each, whatever became of it."""

    gate: GateId
    n: int
    told: tuple[str, ...] = ()
    unheard: tuple[RouteFailed, ...] = ()


class ProblemHeard(Input, frozen=True, kw_only=True, tag="problem-heard"):
    """The routes were gone through for a problem."""

    problem_key: str
    told: tuple[str, ...] = ()
    unheard: tuple[RouteFailed, ...] = ()


AnyGateCommand = SnoozeGate | DelegateGate
AnyGateInput = AnyGateCommand | GateTold | ProblemHeard
