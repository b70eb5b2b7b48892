"""Over a whole factory: what a change is made of decides at its gate, a waiver sets one rule aside, weaker settings are told."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from andon.schema import events as e
from andon.schema.views import ProblemView
from factory import Factory, factory, git, small_repo

SHIP_ALL = '[policy]\nship = ["**"]\n'


@pytest.fixture
def plant(tmp_path: Path) -> Iterator[Factory]:
    with factory(tmp_path / "f") as made:
        yield made


def cli(plant: Factory, *words: str) -> subprocess.CompletedProcess[str]:
    program = (sys.executable, "-m", "andon.cli.main")
    return subprocess.run([*program, *words], env=plant.env, capture_output=True, text=True, check=False)


def test_an_agent_that_edits_what_judges_it_is_stopped_at_its_gate_with_what_it_loosened(plant: Factory, tmp_path: Path) -> None:
    name = plant.register(small_repo(tmp_path / "repo", extra=SHIP_ALL))
    task = plant.add(name, "edit-checks")
    plant.until(lambda: plant.gate(task), what="the gate")
    gate = plant.gate(task)
    assert gate is not None and gate.risk == "stop"
    assert "loosens what judges: check tests runs another command" in gate.because
    found = next(row.event for row in plant.events() if isinstance(row.event, e.WorkImported))
    assert found.facts is not None and any(fact.rule == "loosens" and fact.path == "andon.toml" for fact in found.facts.seen)
    ran = cli(plant, "classify", task, "--repo", str(tmp_path / "repo"))
    assert ran.returncode == 0 and ran.stdout.startswith("stop: ") and "runs another command" in ran.stdout
    ran = cli(plant, "waive", "loosens", "--task", task, "--until", "2d", "--because", "please")
    assert ran.returncode == 4 and "only a signed approval" in ran.stderr


def test_a_waiver_opens_the_way_for_what_it_names_and_is_counted_and_listed(plant: Factory, tmp_path: Path) -> None:
    name = plant.register(small_repo(tmp_path / "repo", extra='[policy]\nship = ["docs/**"]\n'))
    task = plant.add(name)
    plant.until(lambda: plant.gate(task), what="the gate")
    ran = cli(plant, "waive", "unmatched", "--task", task, "--until", "2d", "--because", "seen on paper")
    assert ran.returncode == 0 and "waived unmatched for T1 (W1)" in ran.stdout, ran.stderr
    plant.until_state(task, "done")
    assert any(isinstance(row.event, e.WaiverEnded) for row in plant.events()), "it ends with its task"
    ran = cli(plant, "waive", "unmatched", "--paths", "notes/**", "--until", "1h", "--because", "notes are ours")
    assert ran.returncode == 0, ran.stderr
    (known,) = json.loads(cli(plant, "waivers", "--json").stdout)
    assert (known["waiver"], known["rule"], known["scope"], known.get("signed", False)) == ("W2", "unmatched", "notes/**", False)
    assert "1 rule set aside" in cli(plant, "status").stdout
    plant.until_state(plant.add(name), "done")
    assert cli(plant, "waive", "--end", "W2").returncode == 0 and json.loads(cli(plant, "waivers", "--json").stdout) == []


def test_settings_that_a_person_loosens_by_hand_count_and_are_told(plant: Factory, tmp_path: Path) -> None:
    repo = small_repo(tmp_path / "repo", extra=SHIP_ALL + 'stop = ["secret/**"]\n')
    name = plant.register(repo)
    settings = repo / "andon.toml"
    settings.write_text(settings.read_text().replace('stop = ["secret/**"]\n', '[lines.build]\nlights = "dark"\n'))
    git(repo, "commit", "-qam", "less")

    def told() -> dict[str, str]:
        with plant.client() as client:
            return {view.problem: view.what for view in client.views() if isinstance(view, ProblemView)}

    plant.until(lambda: f"loosened:{name}" in told(), what="the problem")
    assert "[policy] stop loses secret/**" in told()[f"loosened:{name}"]
    assert "stays dim: it has not earned it: 0 landings" in told()[f"lights:{name}/build"]
    ran = cli(plant, "lights", f"{name}/build", "dark", "--because", "now")
    assert ran.returncode == 4 and "0 landings in 28 days, at least 20 are asked for" in ran.stderr
    (line,) = json.loads(cli(plant, "lights", "--json").stdout)
    assert line.get("lights", "dim") == "dim" and "not earned" in line["lights_why"]
