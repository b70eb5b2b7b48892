"""What the daemon takes from a walled session: a transcript in its own home alone, and a server behind its door alone."""

from pathlib import Path

import msgspec
import pytest

from andon.core.state import Attempt
from andon.edges import jobs
from andon.schema.ids import AttemptId, Oid, RepoId, TaskId
from andon.schema.jobs import DOOR, HOOKS, Job
from andon.schema.rules import Rules
from andon.schema.sandbox import Level, Sandbox
from andon.session_reader import Reader
from andon_agents.claude import ADAPTER


def reader(folder: Path, level: Level, transcript: Path) -> Reader:
    """Of a session whose hook names this transcript."""
    job, oid = folder / "job", Oid("0" * 40)
    box = None if level == "none" else Sandbox(level=level, home=str(folder / "home"))
    jobs.write_job(job, Job(name="T1.1", argv=("claude",), cwd=str(folder), env={}, sandbox=box))
    told = {"hook_event_name": "SessionStart", "session_id": "s", "source": "startup", "transcript_path": str(transcript)}
    line = {"at": 10_000, "source": "hook", "data": told}
    (job / HOOKS).write_bytes(msgspec.json.encode(line) + b"\n")
    attempt = Attempt(attempt=AttemptId("T1.1"), task=TaskId("T1"), repo=RepoId("r"), number=1, station="build", fence=1, agent="a",
                      base=oid, start=oid, port=0, ports=0, claimed_at=0, path=str(folder))
    made = Reader(attempt, "claude", ADAPTER, job, 0)
    made.read(Rules(), 20_000)
    return made


@pytest.mark.parametrize("level", ["strict", "partial", "none"])
def test_a_transcript_elsewhere_is_read_only_without_walls(tmp_path: Path, level: Level) -> None:
    for name in ("home", "person"):
        (tmp_path / name).mkdir(exist_ok=True)
        (tmp_path / name / "t.jsonl").write_text("{}\n")
    assert reader(tmp_path, level, tmp_path / "home/t.jsonl").transcript == tmp_path / "home/t.jsonl"
    elsewhere = reader(tmp_path, level, tmp_path / "person/t.jsonl").transcript
    assert elsewhere == (tmp_path / "person/t.jsonl" if level == "none" else None)
    (tmp_path / "home/out").symlink_to(tmp_path / "person")
    assert (reader(tmp_path, level, tmp_path / "home/out/t.jsonl").transcript is None) == (level != "none")


@pytest.mark.parametrize("level", ["strict", "partial", "none"])
def test_the_server_of_a_walled_session_is_behind_its_door_alone(tmp_path: Path, level: Level) -> None:
    made = reader(tmp_path, level, tmp_path / "t")
    assert made.door == (None if level == "none" else tmp_path / "job" / DOOR)
