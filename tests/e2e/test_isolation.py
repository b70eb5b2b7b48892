"""Isolated checkouts as an agent finds them: clone and worktree, environment, ports, setup, the level on the evidence."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from andon.edges.keys import keyid_of, public_of
from andon.schema import events as e
from andon.schema.evidence import readable
from factory import Factory, factory, git, small_repo


@pytest.fixture
def plant(tmp_path: Path) -> Iterator[Factory]:
    with factory(tmp_path / "f") as made:
        yield made


TELL = """
about = "Tells what it finds around it"

[[step]]
run = "env > env.txt; git rev-parse --git-common-dir > common.txt; ls -a > files.txt"

[[step]]
commit = "What I found"

[[step]]
finished = "done"
"""


@pytest.mark.parametrize("isolation", ["clone", "worktree"])
def test_an_attempt_has_its_own_place_environment_and_ports(plant: Factory, tmp_path: Path, isolation: str) -> None:
    scenario = tmp_path / "tell.toml"
    scenario.write_text(TELL)
    extra = f'[checkout]\nisolation = "{isolation}"\nsetup = ["echo made > setup.txt"]\n'
    repo = small_repo(tmp_path / "repo", extra=extra, files={".worktreeinclude": "local.env\n", ".gitignore": "local.env\n"})
    (repo / "local.env").write_text("KEY=1\n")
    task = plant.add(plant.register(repo), str(scenario))
    plant.until_state(task, "done")

    def found(name: str) -> str:
        return git(repo, "show", f"refs/andon/trunk/main:{name}")

    env = dict(line.split("=", 1) for line in found("env.txt").splitlines() if "=" in line)
    assert env["ANDON_TASK"] == task and env["ANDON_ATTEMPT"] == f"{task}.1"
    assert int(env["ANDON_PORT"]) >= 20_000
    assert Path(env["TMPDIR"]).is_relative_to(plant.layout.home) and env["PWD"].endswith(f"{task}.1")
    assert {"setup.txt", "local.env"} <= set(found("files.txt").split())
    plant.until(lambda: "checkout.removed" in plant.kinds(), what="the checkout to go")
    assert not Path(env["TMPDIR"]).exists() and plant.layout.job(f"{task}.1").is_dir()
    shared = Path(found("common.txt")).resolve() == (repo / ".git").resolve()
    assert shared == (isolation == "worktree")


def test_evidence_states_the_isolation_that_was_reached(plant: Factory, tmp_path: Path) -> None:
    repo = small_repo(tmp_path / "repo", extra='[checkout]\nisolation = "worktree"\n')
    task = plant.add(plant.register(repo))
    plant.until_state(task, "done")
    prepared = [row.event for row in plant.events() if isinstance(row.event, e.CheckoutPrepared)]
    assert [event.isolation for event in prepared] == ["worktree"]
    run = next(row.event for row in plant.events() if isinstance(row.event, e.RunFinished))
    statement = json.loads(readable(plant.blob(run.evidence)))
    assert statement["_type"] == "https://in-toto.io/Statement/v1"
    assert statement["predicate"]["isolation"] == "none" and statement["predicate"]["checkout"] == "worktree"
    assert statement["subject"][0]["digest"]["gitTree"]
    trusted = {keyid_of(public_of(line)) for line in json.loads(plant.layout.trust.read_text())["verifier"]}
    assert set(statement["signedBy"]) <= trusted


def test_what_a_killed_daemon_left_of_an_attempts_scratch_goes_at_the_next_start(plant: Factory, tmp_path: Path) -> None:
    plant.register(small_repo(tmp_path / "repo"))
    left = plant.layout.jobs / ".tmp-T9.1"
    (left / "deep").mkdir(parents=True)
    (left / "deep" / "big.bin").write_bytes(b"x" * 1000)
    plant.kill()
    plant.start()
    plant.until(lambda: not left.exists(), what="the leftover to go")
