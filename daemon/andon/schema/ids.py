"""Names of things. All are short strings that a person can type and read aloud."""

from typing import NewType

RepoId = NewType("RepoId", str)
"""Slug of a registered repository: `humanize`, unique in the factory."""
TaskId = NewType("TaskId", str)
"""`T7`, unique in the factory."""
AttemptId = NewType("AttemptId", str)
"""`T7.2`: second attempt of T7."""
RunId = NewType("RunId", str)
"""`R31`: one run of one check on one tree."""
GateId = NewType("GateId", str)
"""`G4`: one question to a person."""
LandingId = NewType("LandingId", str)
"""`L5`: one trip of one change through the merge queue."""
Oid = NewType("Oid", str)
"""A git object name in hex."""
Digest = NewType("Digest", str)
"""sha256 in hex of a blob in the content-addressed store."""


def task_id(number: int) -> TaskId:
    """Name the task with this number (1 and up)."""
    return TaskId(f"T{number}")


def attempt_id(task: TaskId, number: int) -> AttemptId:
    """Name the attempt of a task with this number (1 and up)."""
    return AttemptId(f"{task}.{number}")


def session_name(attempt: AttemptId) -> str:
    """Name of the tmux session of an attempt; tmux forbids `.` and `:` in names."""
    return str(attempt).replace(".", "_")


def attempt_of_session(name: str) -> AttemptId:
    """The attempt that a tmux session of ours belongs to."""
    return AttemptId(name.replace("_", "."))
