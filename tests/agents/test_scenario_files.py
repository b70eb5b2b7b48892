"""Scenario files: what may stand in them, and how each mistake is told."""

from pathlib import Path

import pytest

from agentkit import Stage
from andon.schema.errors import Mistake
from andon_agents.acting import scenario as sc
from andon_agents.acting.deeds import DEEDS
from andon_agents.acting.misdeeds import MISDEEDS
from andon_agents.acting.scenario import KINDS, Moment, Run, Scenario, Think, holds, valid
from andon_agents.acting.shelf import bundled, opened, parsed


def read(text: str) -> Scenario:
    return parsed(text, name="act", where="act.toml")


def test_a_scenario_is_read_step_by_step() -> None:
    first, second = '[[step]]\nthink = "a"\nseconds = 2\n', '[[step]]\nwhen = "attempt == 1"\nrun = "true"\n'
    act = read(f'about = "x"\nseed = 3\nspeed = 2.5\n{first}{second}')
    assert (act.name, act.about, act.seed, act.speed) == ("act", "x", 3, 2.5)
    assert act.steps == (Think(text="a", seconds=2.0), Run(command="true", when="attempt == 1"))


@pytest.mark.parametrize(("text", "what", "line", "mend"), [
    ("", "no [[step]]", 0, "add one"),
    ("step = 1", "no [[step]]", 0, "add one"),
    ("x = [", "not TOML", 0, "line"),
    ('[[step]]\nthink = "a"\n\n[[step]]\nthinl = "b"\n', "no verb", 4, "`think`"),
    ("[[step]]\n", "no verb", 1, "one of"),
    ('[[step]]\nthink = "a"\nsecond = 1\n', "unknown key `second`", 1, "`seconds`"),
    ('[[step]]\nthink = "a"\nxyz = 1\n', "unknown key `xyz`", 1, "may have"),
    ('[[step]]\nthink = "a"\nseconds = "long"\n', "Expected `float`", 1, "seconds"),
    ('[[step]]\nedit = "a"\nfind = "b"\n', "missing required field `replace`", 1, "replace"),
    ('[[step]]\nthink = "a"\nwhen = "later"\n', "`when` cannot be read", 1, "attempt >= 2"),
    ('[[step]]\nhang = "loudly"\n', "cannot hang `loudly`", 1, "silent"),
    ('[[step]]\ndirty = ["a bit"]\n', "cannot be left a bit", 1, "untracked"),
    ('sped = 1\n[[step]]\nthink = "a"\n', "unknown key `sped`", 0, "`speed`"),
    ('speed = 0\n[[step]]\nthink = "a"\n', "above 0", 0, "1.0"),
    ('seed = "x"\n[[step]]\nthink = "a"\n', "Expected `int`", 0, "numbers"),
])
def test_a_mistake_in_a_scenario_says_what_where_and_how_to_mend_it(text: str, what: str, line: int, mend: str) -> None:
    with pytest.raises(Mistake) as caught:
        read(text)
    assert what in caught.value.problem.what
    assert caught.value.problem.where == (f"act.toml:{line}" if line else "act.toml")
    assert mend in caught.value.problem.mend


@pytest.mark.parametrize(("condition", "attempt", "answer", "expected"), [
    ("", 1, "", True),
    ("attempt == 1", 1, "", True), ("attempt == 1", 2, "", False), ("attempt != 1", 2, "", True),
    ("attempt >= 2", 1, "", False), ("attempt >= 2", 2, "", True), ("attempt < 2", 1, "", True), ("attempt > 2", 3, "", True),
    ("attempt<=2", 2, "", True),
    ('answer == "Long"', 1, " long ", True), ('answer == "long"', 1, "short", False), ('answer != "long"', 1, "", True),
    ('attempt >= 2 and answer == "x"', 2, "x", True), ('attempt >= 2 and answer == "x"', 1, "x", False),
])
def test_conditions(condition: str, attempt: int, answer: str, expected: bool) -> None:
    assert valid(condition)
    assert holds(condition, Moment(attempt=attempt, answer=answer)) is expected


@pytest.mark.parametrize("condition", [
    "attempt", "attempt = 2", "attempt >= two", "answer == x", 'answer > "x"', "attempt > 1 or attempt < 3",
])
def test_what_is_no_condition_is_refused(condition: str) -> None:
    assert not valid(condition)


def test_every_verb_can_be_done() -> None:
    assert set(DEEDS) | set(MISDEEDS) == set(KINDS.values())
    assert not set(DEEDS) & set(MISDEEDS)
    assert len(KINDS) == len(sc.Step.__subclasses__())


def test_an_unknown_scenario_names_the_nearest(tmp_path: Path) -> None:
    done = Stage(tmp_path).play("prooper")
    assert done.returncode == 2
    assert "did you mean `proper`?" in done.stderr


def test_a_missing_file_and_wrong_arguments_are_mistakes(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    assert "cannot be read" in stage.play("./gone.toml").stderr
    assert "these arguments make no sense" in stage.play("--loud").stderr


def test_the_list_names_every_bundled_scenario(tmp_path: Path) -> None:
    done = Stage(tmp_path).play("--list")
    assert [line.split()[0] for line in done.stdout.splitlines()] == list(bundled())
    assert all(opened(name).about in done.stdout for name in bundled())
