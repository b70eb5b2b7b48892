"""A line that asks for claims: what a change takes away is named to its next attempt, and the task lands with each step proven."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from andon.schema import events as e
from factory import Factory, factory, shipped

SHOP = "def total(items): ...\ndef refund(item): ...\n"
SCENARIO = """\
about = "Takes a public function away, and gives it back when it is told"
seed = 1
[[step]]
when = "attempt == 1"
write = "src/shop/__init__.py"
text = "def total(items, tax=7): ...\\n"
[[step]]
when = "attempt >= 2"
write = "src/shop/__init__.py"
text = "def total(items, tax=7): ...\\ndef refund(item): ...\\n"
[[step]]
commit = "Taxes"
[[step]]
finished = "All tests pass"
"""
LINE = """
[policy]
ship = ["**"]
[checks.regression]
run = "andon prove api shop --report {report}"
report = "junit"
[stations.check]
claims = ["unit", "regression"]
[stations.land]
claims = ["integration"]
"""


@pytest.fixture
def plant(tmp_path: Path) -> Iterator[Factory]:
    with factory(tmp_path / "f") as made:
        yield made


def test_what_a_change_takes_away_goes_back_by_name_and_what_lands_has_every_step(plant: Factory, tmp_path: Path) -> None:
    repo = shipped(tmp_path / "repo", extra=LINE, files={"src/shop/__init__.py": SHOP, "taxes.toml": SCENARIO})
    task = plant.add(plant.register(repo), "taxes.toml")
    plant.until_state(task, "done", deadline=60)
    refuted = [row.event for row in plant.events() if isinstance(row.event, e.ClaimJudged) and row.event.status == "refuted"]
    assert [(claim.claim, "api shop::refund()" in claim.because) for claim in refuted] == [("regression", True)]
    retried = next(row.event for row in plant.events() if isinstance(row.event, e.RetryScheduled))
    assert "api shop::refund()" in retried.packet and "All tests pass" not in retried.packet.partition("What you said")[0]
    steps = {step.claim: (step.producer, step.status) for step in plant.task(task).steps}
    assert steps == {
        "branch": ("daemon:work", "proven"), "unit": ("checks.tests", "proven"), "regression": ("checks.regression", "proven"),
        "integration": ("daemon:merge", "proven")}
    judged = [row.event.claim for row in plant.events() if isinstance(row.event, e.ClaimJudged)]
    merged = {claim for claim in judged if claim.endswith("@merge")}
    assert merged == {"tests@merge", "regression@merge"}
