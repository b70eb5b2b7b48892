"""A person's own program is told of a gate by a whole factory: again after a period, after a kill with the same key, and what
fails is a problem while the inbox has the gate."""

import json
from pathlib import Path

import pytest

from andon.schema import events as e
from andon.schema.ids import TaskId
from andon.schema.views import ProblemView
from factory import UNHELD, Factory, factory, small_repo
from wholekit import cli, program

REVIEW = "[policy]\nship = []\n"


def own(hook: Path, minutes: float = 0.01, seconds: float = 10, times: int = 2) -> str:
    often = f"escalate_minutes = {minutes}\nescalate_times = {times}\nseconds = {seconds}\n"
    return f'[routes]\ncommand = ["{hook}"]\n{often}{UNHELD}'


@pytest.fixture(autouse=True)
def own_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANDON_CONFIG_HOME", str(tmp_path / "own"))


def asked(plant: Factory, tmp_path: Path) -> TaskId:
    task = plant.add(plant.register(small_repo(tmp_path / "repo", extra=REVIEW)))
    plant.until(lambda: plant.gate(task), what="the gate")
    return task


def notices(folder: Path) -> list[dict[str, object]]:
    path = folder / "notices"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def problems(plant: Factory) -> list[ProblemView]:
    return [view for view in plant.views() if isinstance(view, ProblemView) and view.problem.startswith("route:")]


def test_a_gate_is_told_when_it_opens_and_once_a_period_up_to_the_cap_also_over_a_kill(tmp_path: Path) -> None:
    hook = program(tmp_path / "hook", f"cat >> {tmp_path}/notices")
    with factory(tmp_path / "f", settings=own(hook)) as plant:
        task = asked(plant, tmp_path)
        plant.until(lambda: len(notices(tmp_path)) >= 1, what="the first notice")
        plant.kill()
        plant.start()
        plant.until(lambda: len({one["key"] for one in notices(tmp_path)}) == 3, what="both rises")
        plant.until(lambda: (gate := plant.gate(task)) is not None and gate.raised == 2, what="the view")
        assert {str(one["key"]) for one in notices(tmp_path)} == {f"gate/G1/{n}" for n in range(3)}
        rises = [row.event.n for row in plant.events() if isinstance(row.event, e.GateRaised)]
        assert rises == [1, 2], "once each, whatever was killed"
        assert "told again 2x" in cli(plant, "gate", "ls").out


@pytest.mark.parametrize(("script", "says"), [("echo broken >&2; exit 7", "it ended with 7: broken"), ("sleep 600", "was ended")])
def test_a_program_that_fails_or_hangs_is_a_problem_and_the_gate_is_answered_all_the_same(
    tmp_path: Path, script: str, says: str,
) -> None:
    hook = program(tmp_path / "hook", script)
    with factory(tmp_path / "f", settings=own(hook, minutes=0, seconds=0.5)) as plant:
        task = asked(plant, tmp_path)
        plant.until(lambda: problems(plant), what="the problem")
        assert says in problems(plant)[0].what and problems(plant)[0].mend
        assert cli(plant, "approve", task).code == 0
        plant.until_state(task, "done")
        assert [one for one in plant.kinds() if one == "gate.noticed"] == ["gate.noticed"], "it is not tried for ever"


def test_a_gate_is_put_off_over_a_restart_and_comes_back_by_itself(tmp_path: Path) -> None:
    with factory(tmp_path / "f") as plant:
        task = asked(plant, tmp_path)
        assert cli(plant, "gate", "snooze", task, "--until", "4s").code == 0
        assert "1 gate of 1 snoozed" in cli(plant, "gate", "ls").err
        plant.kill()
        plant.start()
        gate = plant.gate(task)
        assert gate is not None and gate.snoozed_until
        plant.until(lambda: "gate.woken" in plant.kinds(), what="the end of the nap")
        assert cli(plant, "gate", "delegate", task, "--to", "ana", "--because", "hers").code == 0
        assert cli(plant, "reject", task, "--because", "no").code == 0
        log = json.loads(cli(plant, "gate", "log", "--task", task, "--json").out)
        assert [(one["answer"], one["why"], one["left_to"], one["waited_s"] >= 4) for one in log] == [("reject", "no", "ana", True)]
        plant.stop()
        assert "left to  ana" in cli(plant, "gate", "log", "G1").out, "decisions are found with the daemon down"
