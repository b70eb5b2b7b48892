"""What a whole factory lands is verified in a fresh clone by the script that is given to people without Andon."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import gitkit
from andon.schema import events as e
from andon.thirdparty.single import script
from factory import UNHELD, Factory, factory, small_repo
from signkit import allow, key, settings
from wholekit import cli

POLICY = '[policy]\nship = ["**"]\nstop = ["notes/**"]\n'


@pytest.fixture
def plant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Factory]:
    config = tmp_path / "own"
    monkeypatch.setenv("ANDON_CONFIG_HOME", str(config))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    ana = key(tmp_path / "keys", "ana")
    allow(config, ana=ana)
    with factory(tmp_path / "f", settings=settings("ana", ana, {"ana": ("owner",)}, UNHELD)) as made:
        yield made


def elsewhere(plant: Factory, repo: Path, tmp_path: Path, *words: str) -> tuple[int, list[dict[str, object]]]:
    """The script, in a clone, with the trust file alone."""
    trust, clone = tmp_path / "trust.json", tmp_path / "clone"
    assert cli(plant, "verify", "--write-trust", str(trust)).code == 0
    gitkit.run(tmp_path, "clone", "-q", "--no-local", str(repo), str(clone))
    gitkit.run(clone, "fetch", "-q", "origin", "refs/andon/evidence:refs/andon/evidence")
    (tmp_path / "verify.py").write_text(script())
    argv = [sys.executable, "-I", "-S", str(tmp_path / "verify.py"), "--repository", str(clone), "--json", *words]
    env = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
    done = subprocess.run(argv, capture_output=True, text=True, env=env, check=False, timeout=60)
    assert done.stderr == "", done
    return done.returncode, json.loads(done.stdout)["reports"]


@pytest.mark.parametrize("how", ["merge", "squash", "rebase"])
def test_every_landing_of_a_factory_holds_in_a_fresh_clone(how: str, plant: Factory, tmp_path: Path) -> None:
    path = small_repo(tmp_path / "repo", extra=f'{POLICY}[queue]\nland = "{how}"\n')
    repo = plant.register(path)
    first = plant.add(repo)
    plant.until(lambda: plant.gate(first), what="the gate")
    assert cli(plant, "approve", first).code == 0
    plant.until_state(first, "done")
    plant.until(lambda: any(isinstance(row.event, e.LandingRecorded) for row in plant.events()), what="the record")
    code, reports = elsewhere(plant, path, tmp_path, "--all")
    assert code == 0 and [report["verdict"] for report in reports] == ["holds"], reports
    member = reports[0]["members"]
    assert isinstance(member, list) and member[0]["risk"] == "stop" and member[0]["approvals"][0]["signed"], member
    ledger = cli(plant, "verify", first, "--repository", str(path), "--against-ledger")
    assert ledger.code == 0 and "of the" in ledger.out, ledger


def test_an_approval_that_nobody_signed_is_recorded_by_the_daemon_and_shown_as_such(tmp_path: Path) -> None:
    with factory(tmp_path / "f") as plant:
        path = small_repo(tmp_path / "repo", extra='[policy]\nreview = ["**"]\n')
        task = plant.add(plant.register(path))
        plant.until(lambda: plant.gate(task), what="the gate")
        assert cli(plant, "approve", task).code == 0
        plant.until_state(task, "done")
        plant.until(lambda: any(isinstance(row.event, e.LandingRecorded) for row in plant.events()), what="the record")
        code, reports = elsewhere(plant, path, tmp_path, task)
        assert code == 0, reports
        member = reports[0]["members"]
        assert isinstance(member, list) and [one["signed"] for one in member[0]["approvals"]] == [False], member
