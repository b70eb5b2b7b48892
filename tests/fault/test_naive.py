"""The sweep can fail: each protection that is switched off is caught by the checker, at points chosen for it."""

from pathlib import Path

import pytest

from fault.naive import PROTECTIONS
from fault.sweep import Case, run

CAUGHT = {
    "token": (("start-session.act:1",), ("proper",), "started-once"),
    "probe": (("start-session.act:1",), ("ask",), "adopted-untouched"),
    "adoption": (("watch-session.intent:1",), ("ask",), "adopted-untouched"),
    "swap": (("move-target.proven:1",), ("proper",), "no-commit-lost"),
    "proof": ((), ("proper", "source"), "landed-proven"),
    "snapshot": ((), ("hang",), "no-commit-lost"),
    "durable": (("append.before:4",), ("proper", "source"), "acknowledged"),
    "sweeping": (("salvage.trashed:2",), ("proper",), "no-stuck-clone"),
}
"""Protection: where the daemon is killed, the work, and the promise that is then broken."""


@pytest.mark.parametrize("name", CAUGHT)
def test_a_daemon_without_this_protection_is_caught(name: str, tmp_path: Path) -> None:
    faults, acts, promise = CAUGHT[name]
    case = run(Case(faults, name, meddled=name == "swap"), tmp_path / "n", acts=acts)
    assert promise in {violation.name for violation in case.violations}, f"{case.violations}\n{case.log}"


def test_every_protection_is_tried() -> None:
    assert set(CAUGHT) == set(PROTECTIONS)
