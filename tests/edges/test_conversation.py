"""The transcript of a session that ended is kept in the store, without its secrets; what an agent names otherwise is not."""

import json
from pathlib import Path

import pytest

from andon.edges import conversation, jobs
from andon.edges.blobs import Blobs
from andon.schema.ids import AttemptId
from andon.schema.jobs import Job
from andon.schema.layout import Layout
from andon.schema.notes import Talk

KEY = "ghp_" + "A1b2C3d4E5" * 4
T = AttemptId("T1.1")


def place(tmp_path: Path, *hooks: dict[str, object]) -> tuple[Layout, Blobs, Path]:
    """A store, and a job whose hooks told this."""
    layout = Layout(home=tmp_path / "factory", runtime=tmp_path / "run", config=tmp_path / "config")
    layout.home.mkdir()
    folder = layout.job(T)
    folder.mkdir(parents=True)
    jobs.write_job(folder, Job(name=T, argv=("true",), cwd=str(tmp_path), env={}))
    lines = [json.dumps({"at": 1, "source": "hook", "data": hook}) for hook in hooks]
    (folder / "hooks.jsonl").write_text("\n".join([*lines, "no json", "[]", '{"data": 3}', ""]))
    return layout, Blobs(layout), folder


def test_a_transcript_is_kept_without_its_secrets_and_tools_are_counted(tmp_path: Path) -> None:
    talk = tmp_path / "talk.jsonl"
    talk.write_text(json.dumps({"type": "user", "text": f"use {KEY}"}) + "\n" + json.dumps({"text": f"{KEY} again"}) + "\n")
    used: list[dict[str, object]] = [
        {"hook_event_name": "PreToolUse", "tool_name": name, "transcript_path": str(talk)} for name in ("Edit", "Bash", "Edit")
    ]
    layout, blobs, _ = place(tmp_path, *used, {"hook_event_name": "PostToolUse", "tool_name": "Edit"})
    told = conversation.keep(layout, blobs, T)
    assert told is not None and told.tools == {"Edit": 2, "Bash": 1} and told.withheld == 2 and told.bytes == talk.stat().st_size
    kept = blobs.get(told.transcript)
    assert KEY.encode() not in kept and kept.count(b"[secret withheld: GitHub token]") == 2


def test_of_a_large_transcript_its_end_is_kept_and_that_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conversation, "TRANSCRIPT_BYTES", 100)
    talk = tmp_path / "talk.jsonl"
    talk.write_text("x" * 300 + "the end")
    layout, blobs, _ = place(tmp_path, {"transcript_path": str(talk)})
    told = conversation.keep(layout, blobs, T)
    assert told is not None and told.oversize and told.bytes == 100 and blobs.get(told.transcript).endswith(b"the end")


@pytest.mark.parametrize("kind", ["a key", "a link", "a folder", "nothing", "outside its home"])
def test_what_is_no_transcript_of_the_session_is_not_taken(tmp_path: Path, kind: str) -> None:
    secret = tmp_path / ("id_ed25519" if kind == "a key" else "talk.jsonl")
    if kind == "a link":
        (tmp_path / "real").write_text("the person's own")
        secret.symlink_to(tmp_path / "real")
    elif kind == "a folder":
        secret.mkdir()
    elif kind != "nothing":
        secret.write_text("the person's own")
    layout, blobs, folder = place(tmp_path, {"transcript_path": str(secret)})
    if kind == "outside its home":
        from andon.schema.sandbox import Sandbox

        job = Job(name=T, argv=("true",), cwd=str(tmp_path), env={}, sandbox=Sandbox(level="strict", home=str(tmp_path / "own")))
        jobs.write_job(folder, job)
    assert conversation.keep(layout, blobs, T) is None


def test_a_session_without_hooks_tells_nothing(tmp_path: Path) -> None:
    layout, blobs, folder = place(tmp_path)
    assert conversation.keep(layout, blobs, T) is None
    (folder / "hooks.jsonl").unlink()
    assert conversation.keep(layout, blobs, T) is None and Talk() == Talk()
