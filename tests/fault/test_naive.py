"""The sweep can fail: each protection that is switched off is caught by the checker, at points chosen for it."""

from dataclasses import replace
from pathlib import Path

import pytest

from fault.naive import PROTECTIONS
from fault.queue_work import TAKEN, Plan
from fault.sweep import Case, Work, run

QUEUE = Plan(seed=9, branches=6, pairs=0, flaky=0, cancelled=0, held=0, outsider=0)
ONE_BY_ONE = replace(QUEUE, branches=9, poison=0)
LATE = 11
"""A seed with the poison near the end."""
CAUGHT: dict[str, tuple[tuple[str, ...], Work, str]] = {
    "token": (("start-session.act:1",), ("proper",), "started-once"),
    "probe": (("start-session.act:1",), ("ask",), "adopted-untouched"),
    "adoption": (("watch-session.intent:1",), ("ask",), "adopted-untouched"),
    "swap": (("move-target.proven:1",), ("proper",), "main-forward"),
    "proof": ((), QUEUE, "landed-green"),
    "snapshot": ((), ("hang",), "no-commit-lost"),
    "durable": (("append.before:4",), ("proper", "source"), "acknowledged"),
    "order": ((), ("proper", "source", "ask"), "main-forward"),
    "mark": (("deliver-message.act:1",), ("permit",), "message-once"),
    "rotation": (("start-session.record:2",), ("fall",), "sitting-once"),
    "conversation": ((), ("fall",), "conversation-kept"),
    "decision": ((), ("permit",), "permission-once"),
    "confirmation": ((), QUEUE, "sent-back-rightly"),
    "holding": ((), replace(QUEUE, held=1), "held-stays"),
    "arrival": ((), ONE_BY_ONE, "fair"),
    "halving": ((), replace(QUEUE, seed=LATE, branches=14, slots=1), "few-proofs"),
    "bases": ((), replace(ONE_BY_ONE, branches=3), "no-hunk-lost"),
    "checked_out": ((), replace(ONE_BY_ONE, branches=2), "person-untouched"),
    "in_hand": ((), TAKEN, "person-untouched"),
    "sweeping": (("salvage.trashed:2",), ("proper",), "no-stuck-clone"),
}
"""Protection: where the daemon is killed, the work, and the promise that is then broken."""
TRIES = 8
"""A race that is let loose need not end badly each time."""


@pytest.mark.parametrize("name", CAUGHT)
def test_a_daemon_without_this_protection_is_caught(name: str, tmp_path: Path) -> None:
    faults, acts, promise = CAUGHT[name]
    seen: list[Case] = []
    while len(seen) < TRIES and (not seen or promise not in {violation.name for violation in seen[-1].violations}):
        seen.append(run(Case(faults, name, acts, meddled=name == "swap"), tmp_path / f"n{len(seen)}"))
    assert promise in {violation.name for violation in seen[-1].violations}, f"{seen[-1].violations}\n{seen[-1].log}"


def test_every_protection_is_tried() -> None:
    assert set(CAUGHT) == set(PROTECTIONS)
