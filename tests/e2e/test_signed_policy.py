"""What sets aside a rule that stops is signed by a person's key over exactly these terms, and by nothing less."""

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from andon import signing
from andon.client import Declined
from andon.schema import events as e, inputs as i
from andon.schema.ids import TaskId
from andon.schema.settings import Operator
from factory import UNHELD, Factory, factory, small_repo
from signkit import allow, key, settings
from wholekit import cli

STOP = '[policy]\nship = ["**"]\nstop = ["notes/**"]\n'


@pytest.fixture
def ana(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    config = tmp_path / "own"
    monkeypatch.setenv("ANDON_CONFIG_HOME", str(config))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    made = key(tmp_path / "keys", "ana")
    allow(config, ana=made)
    return made


@pytest.fixture
def plant(tmp_path: Path, ana: Path) -> Iterator[Factory]:
    with factory(tmp_path / "f", settings=settings("ana", ana, {"ana": ("owner",)}, UNHELD)) as made:
        yield made


def waiting(plant: Factory, path: Path, extra: str = STOP) -> TaskId:
    """A task whose change stops."""
    task = plant.add(plant.register(small_repo(path, extra=extra)))
    plant.until(lambda: plant.gate(task), what="the gate")
    return task


def test_a_signed_waiver_sets_aside_what_stops_and_the_change_lands(plant: Factory, tmp_path: Path) -> None:
    task = waiting(plant, tmp_path / "repo")
    ran = cli(plant, "waive", "stop", "--task", task, "--until", "1h", "--because", "looked at by hand")
    assert ran.code == 0, ran
    plant.until_state(task, "done")
    granted = next(row.event for row in plant.events() if isinstance(row.event, e.WaiverGranted))
    assert granted.signature and "attestation/waiver/v1" not in granted.because
    assert '"rule":"stop"' in plant.blob(granted.signature) or "payload" in plant.blob(granted.signature)


def test_a_signature_of_other_terms_or_none_sets_nothing_aside(plant: Factory, ana: Path, tmp_path: Path) -> None:
    task = waiting(plant, tmp_path / "repo")
    repo, until = plant.task(task).repo, plant.events()[-1].at + 3_600_000
    wanted = i.WaiveRule(repo=repo, rule="stop", task=task, until=until, because="mine")
    signed = signing.sign_terms(Operator(name="ana", key=str(ana)), {"ana": ("owner",)}, "waiver", repo, wanted.terms)
    assert signed is not None
    other = msgspec.structs.replace(wanted, signed=signed, until=until + 1)
    lights = signing.sign_terms(Operator(name="ana", key=str(ana)), {}, "lights", repo, wanted.terms)
    eve = msgspec.structs.replace(signed, approver="eve")
    role = msgspec.structs.replace(signed, role="security")
    for bad in (wanted, other, *(msgspec.structs.replace(wanted, signed=one) for one in (lights, eve, role))):
        with pytest.raises(Declined):
            plant.do(bad)
    assert not [row for row in plant.events() if isinstance(row.event, e.WaiverGranted)] and plant.gate(task) is not None
    plant.do(msgspec.structs.replace(wanted, signed=signed))
    plant.until_state(task, "done")


def test_where_several_keys_must_sign_at_a_gate_one_signature_waives_nothing(plant: Factory, tmp_path: Path) -> None:
    task = waiting(plant, tmp_path / "repo", f"{STOP}stop_keys = 2\n")
    ran = cli(plant, "waive", "stop", "--task", task, "--until", "1h", "--because", "alone")
    assert ran.code != 0 and "asks for more at a gate" in ran.err, ran
