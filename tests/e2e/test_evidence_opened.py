"""A claim of a real run opens its statement, its files, and a command that a person's shell can run again."""

import base64
import hashlib
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from andon import evidence_reader
from andon.edges.blobs import Blobs
from andon.schema import events as e, wire
from andon.schema.errors import Mistake
from andon.schema.evidence_views import Evidence
from andon.schema.ids import RepoId, TaskId
from andon.schema.settings import Settings
from factory import Factory, factory, small_repo
from wholekit import assert_clear, cli


@pytest.fixture(scope="module")
def landed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Factory, RepoId, TaskId]]:
    home = tmp_path_factory.mktemp("f")
    with factory(home / "f") as plant:
        repo = plant.register(small_repo(home / "repo"))
        task = plant.add(repo)
        plant.until_state(task, "done")
        yield plant, repo, task


def opened(plant: Factory, task: TaskId, claim: str) -> Evidence:
    reply = plant.ask(wire.GetEvidence(task=task, claim=claim))
    assert isinstance(reply, wire.EvidenceIs)
    return reply.evidence


def test_a_green_claim_opens_its_statement_and_every_file_by_its_digest(landed: tuple[Factory, RepoId, TaskId]) -> None:
    plant, _, task = landed
    told = opened(plant, task, "tests")
    assert told.status == "proven" and told.result == "PASSED" and told.commit == plant.task(task).commit and len(told.tree) == 40
    assert told.run and told.at and told.milliseconds and told.passed and told.exit == 0
    assert told.isolation == "none" and "quick.py" in told.command and dict(told.environment)["python"]
    assert {file.name for file in told.files} == {"statement", "report", "log", "names", "diff"}
    for file in told.files:
        data = plant.layout.blob(file.digest).read_bytes()
        assert hashlib.sha256(data).hexdigest() == file.digest and len(data) == file.size


def test_the_command_to_run_it_again_says_the_same_of_the_exact_commit(landed: tuple[Factory, RepoId, TaskId]) -> None:
    plant, _, task = landed
    told = opened(plant, task, "tests")
    shell = f"{told.again} && git rev-parse HEAD && cat \"$d/report\""
    done = subprocess.run(["sh", "-c", shell], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0 and done.stdout.startswith(told.commit) and "<testsuite" in done.stdout, done.stderr


def test_a_claim_that_no_run_stands_behind_says_so(landed: tuple[Factory, RepoId, TaskId]) -> None:
    plant, _, task = landed
    told = opened(plant, task, "work")
    assert told.status == "proven" and not told.again and not told.run and "from git itself" in told.notes[0]


def test_the_command_line_prints_it_for_people_for_programs_and_each_file(landed: tuple[Factory, RepoId, TaskId]) -> None:
    plant, _, task = landed
    page = cli(plant, "show", task, "--claim", "tests")
    for word in ("✓ proven", "test-result/v0.1 says PASSED", "walls", "statement", "to run it again, in your shell", "signed"):
        assert word in page.out, page
    told = json.loads(cli(plant, "show", task, "--claim", "tests", "--json").out)
    assert told["result"] == "PASSED" and told["again"].startswith("d=$(mktemp -d)")
    assert "<testsuite" in cli(plant, "show", task, "--claim", "tests", "--file", "report").out
    assert_clear(cli(plant, "show", task, "--claim", "speed"), 4, "has no claim 'speed'", "tests")
    assert_clear(cli(plant, "show", task, "--claim", "tests", "--file", "video"), 2, "no file 'video'", "report")
    assert_clear(cli(plant, "show", task, "--file", "log"), 2, "no claim is named")


def test_a_flipped_byte_in_the_statement_is_told_and_never_shown_as_the_statement(tmp_path: Path) -> None:
    with factory(tmp_path / "f") as plant:
        repo = plant.register(small_repo(tmp_path / "repo"))
        task = plant.add(repo)
        plant.until_state(task, "done")
        run = next(cell.run for cell in plant.task(task).claims if cell.claim == "tests")
        ran = next(row.event for row in plant.events() if isinstance(row.event, e.RunFinished) and row.event.run == run)
        path = plant.layout.blob(ran.evidence)
        path.chmod(0o600)
        path.write_bytes(path.read_bytes().replace(b"payload", b"pAyload"))
        reply = plant.ask(wire.GetEvidence(task=task, digest=ran.evidence))
        assert isinstance(reply, wire.EvidenceIs)
        assert "not what its name says" in reply.evidence.notes[0] and not reply.evidence.result and not reply.evidence.again


def test_a_statement_is_read_plain_and_in_its_envelope_and_nothing_else_is() -> None:
    statement = {"_type": "https://in-toto.io/Statement/v1", "predicateType": "p", "subject": [], "predicate": {"result": "PASSED"}}
    plain = json.dumps(statement).encode()
    payload = base64.b64encode(plain).decode()
    envelope = {"payload": payload, "payloadType": "application/vnd.in-toto+json", "signatures": [{"keyid": "k1", "sig": "AA=="}]}
    assert evidence_reader.statement_of(plain) == (statement, ())
    assert evidence_reader.statement_of(json.dumps(envelope).encode()) == (statement, ("k1",))
    wrong = (b"", b"[]", b"{}", b'{"predicate": 1}', b"\xff", json.dumps({**envelope, "payload": "%%"}).encode(), b"[" * 100_000,
             json.dumps({**envelope, "signatures": 3, "payload": ""}).encode())
    for bad in wrong:
        with pytest.raises(Mistake):
            evidence_reader.statement_of(bad)


def test_hostile_shapes_in_a_statement_never_raise(tmp_path: Path, landed: tuple[Factory, RepoId, TaskId]) -> None:
    plant, _, task = landed
    around = evidence_reader.Around(view=plant.task(task), path="/tmp/it's a path", settings=Settings())
    shapes: tuple[dict[str, Any], ...] = (
        {}, {"subject": "x", "predicate": {"configuration": "no", "environment": [1], "failedTests": {"a": 1}}},
        {"subject": [{"digest": []}], "predicate": {"exit": True, "milliseconds": 1.5, "passed": "many", "configuration": [3]}},
        {"subject": [{"digest": {"gitCommit": "$(touch /tmp/x)"}}], "predicate": {"command": 3, "failedTests": ["\x1b[2J", 7]}},
    )
    for shape in shapes:
        told = evidence_reader._read(Evidence(task=task, repo=RepoId("r"), claim="tests", status="proven"), shape)
        assert told.passed is None and evidence_reader.again_of(around, told) == ""
    assert Blobs(plant.layout).has(opened(plant, task, "tests").files[0].digest)

