"""Real CLIs within strict walls open no bait: what people are told of is no false alarm."""

from pathlib import Path

import pytest

from andon.edges.sandbox import reached
from andon.schema import wire
from andon.schema.ids import AttemptId
from andon.schema.views import ProblemView
from fleetkit import fleet

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
