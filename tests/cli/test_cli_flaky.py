"""`andon flaky`: what is quarantined, by which runs, and when it comes out; what a line asks for on a task's page."""

import json
from collections.abc import Iterator

import msgspec
import pytest

from andon.cli import show_steps
from andon.schema.ids import Oid, RepoId, RunId
from andon.schema.layout import layout
from andon.schema.queue_views import QuarantineView
from andon.schema.views import ClaimStep
from clikit import Caps, andon
from fakeoffice import FakeDaemon, FakeOffice, a_task
from queue_on_paper import NOW, queue

ONE = QuarantineView(test="tests/net.py::test_port", check="tests", seen=2, since=NOW, last=NOW, runs=(RunId("R7"), RunId("R9")),
                     trees=(Oid("7" * 40),), passes=4, needed=20)


@pytest.fixture
def office() -> FakeOffice:
    return FakeOffice(msgspec.structs.replace(queue(), repo=RepoId("shop"), quarantine=(ONE,), quarantine_budget=10))


@pytest.fixture
def daemon(office: FakeOffice) -> Iterator[FakeDaemon]:
    with FakeDaemon(layout(), office) as running:
        yield running


def test_each_test_is_listed_with_the_runs_that_disagreed(capsys: Caps, daemon: FakeDaemon) -> None:
    told = andon(capsys, "flaky")
    assert told.code == 0 and "tests/net.py::test_port" in told.out and "4 of 20" in told.out and "R7 R9" in told.out
    assert "excused" in told.out
    [row] = json.loads(andon(capsys, "flaky", "--json").out)
    assert (row["repo"], row["runs"], row["needed"], row["excused"]) == ("shop", ["R7", "R9"], 20, True)


def test_an_overdrawn_budget_is_told(capsys: Caps) -> None:
    view = msgspec.structs.replace(queue(), quarantine=(msgspec.structs.replace(ONE, excused=False),), quarantine_budget=0)
    with FakeDaemon(layout(), FakeOffice(view)):
        told = andon(capsys, "flaky")
    assert "counts" in told.out and "excuses at most 0: until there are fewer, every failure counts" in told.err


def test_the_steps_of_a_line_stand_in_order_with_producer_and_state(capsys: Caps) -> None:
    steps = (ClaimStep(claim="unit", station="check", producer="checks.tests", status="proven", because="3 tests passed"),
             ClaimStep(claim="sign-off", station="review", producer="station:review", status="asserted"))
    show_steps.steps(msgspec.structs.replace(a_task(1), steps=steps))
    rows = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    words = ("unit check checks.tests", "sign-off review")
    first, second = (next(n for n, row in enumerate(rows) if word in row) for word in words)
    assert first < second and "proven" in rows[first] and "3 tests passed" in rows[first] and "asserted" in rows[second]
    show_steps.steps(a_task(1))
    assert capsys.readouterr().out == ""
