"""The real CLIs within strict walls, on a scripted model: the job is done, and what they are told to do outside is not."""

from pathlib import Path

import pytest

from andon.edges.sandbox import reached
from andon.schema import events as e
from factory import git
from fleetkit import fleet

PATIENCE = 120.0
STRICT = '[permissions]\ndefault = "allow"\n[sandbox]\nlevel = "strict"\n'
pytestmark = [
    pytest.mark.timeout(300), pytest.mark.slow,
    pytest.mark.skipif(reached("strict").level != "strict", reason=reached("strict").because or "no bubblewrap"),
]


@pytest.mark.parametrize("agent", ["claude", "codex", "opencode"])
def test_a_real_agent_does_the_job_within_walls_and_its_work_lands(tmp_path: Path, agent: str) -> None:
    with fleet(tmp_path, agent, more=STRICT) as fl:
        task = fl.add("proper", agent)
        fl.plant.until(lambda: fl.plant.task(task).state in ("done", "failed") or fl.plant.gate(task), PATIENCE, what="the end")
        assert fl.plant.task(task).state == "done"
        assert "hello.txt" in git(fl.path, "ls-tree", "-r", "--name-only", "refs/andon/trunk/main")
        known = [row.event for row in fl.plant.events() if isinstance(row.event, e.SessionKnown)]
        assert any(one.conversation for one in known), "its channel was heard"
        view = fl.plant.task(task)
        assert view.tokens > 0 and view.metered
