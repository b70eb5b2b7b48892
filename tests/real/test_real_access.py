"""Real CLIs within strict walls open no bait: what people are told of is no false alarm."""

from pathlib import Path

import pytest

from andon.edges.sandbox import reached
from andon.schema import wire
from andon.schema.ids import AttemptId
from andon.schema.views import ProblemView
from fleetkit import Fleet, fleet

PATIENCE = 120.0
STRICT = '[permissions]\ndefault = "allow"\n[sandbox]\nlevel = "strict"\n'
pytestmark = [
    pytest.mark.timeout(300), pytest.mark.slow,
    pytest.mark.skipif(reached("strict").level != "strict", reason=reached("strict").because or "no bubblewrap"),
]


@pytest.mark.parametrize("agent", ["claude", "codex", "opencode"])
def test_a_real_agent_at_its_ordinary_work_opens_no_bait(tmp_path: Path, agent: str) -> None:
    with fleet(tmp_path, agent, more=STRICT) as fl:
        task = fl.add("proper", agent)
        plant = fl.plant
        plant.until(lambda: plant.task(task).state in ("done", "failed") or plant.gate(task) or list(
            plant.layout.checkout(plant.task(task).repo, AttemptId(f"{task}.1")).glob("hello.txt")), PATIENCE, what="its work")
        reply = plant.ask(wire.GetAccess(attempt=AttemptId(f"{task}.1")))
        assert isinstance(reply, wire.AccessIs) and reply.level == "strict"
        assert [row for row in reply.rows if "bait" in row.rule] == []
        told = [view.what for view in plant.views() if isinstance(view, ProblemView) and view.attempt]
        assert told == [], reply.rows


def test_a_real_agent_that_is_told_to_write_outside_leaves_no_trace_but_lines_for_the_person(tmp_path: Path) -> None:
    prey = Path("/var/tmp", f"andon-{tmp_path.parent.name}-{tmp_path.name}")
    with fleet(tmp_path, "claude", more=STRICT) as fl:
        task = fl.add(f"outside path={prey}", "claude")
        told = wait_told(fl, f"{task}.1 tried to write {prey}")
        assert told and not prey.exists()


def wait_told(fl: Fleet, what: str) -> bool:
    def found() -> bool:
        return any(isinstance(view, ProblemView) and view.what == what for view in fl.plant.views())

    fl.plant.until(found, PATIENCE, what=what)
    return True
