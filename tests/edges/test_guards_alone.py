"""Guards whose attack another guard holds too, or that are seen only at their edge: each one by itself."""

import os
import sqlite3
from pathlib import Path

import msgspec
import pytest

from andon.edges import jobs, lock, peer
from andon.edges.lock import Lock
from andon.edges.peer import Peer
from andon.ledger_reader import admit
from andon.schema.clean import clean
from andon.schema.errors import Mistake
from andon.schema.jobs import Said
from andon.schema.layout import layout
from support import wait_for
from tmuxkit import private_tmux
from wallkit import ended, launch, make

TOKEN = "ghp_" + "A7" * 18


# --- words ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("hostile", "left"), [
    ("a\x1b[31;1mb", "ab"), ("a\x9b2Jb", "ab"), ("a\x1b[?1049hb", "ab"), ("a\x1b]52;c;eA==\x07b", "ab"),
    ("a\x1b]8;;https://x\x1b\\b", "ab"), ("a\x1bPq\x1b\\b", "ab"), ("a\x9d0;t\x9cb", "ab"), ("a\x1b_G\x1b\\b", "ab"),
    ("a\x1b(0b", "ab"), ("a\x1bcb", "ab"), ("a\x1b#8b", "ab"), ("a\ud800b", "a\ufffdb"), ("a\r\nb", "a\nb"), ("a\u2028b", "a\nb"),
    ("a\x1b]52;c;rm -rf", "a52;c;rm -rf"), ("a\x1b[", "a"),
])
def test_a_sequence_goes_whole_and_an_unfinished_one_hides_nothing(hostile: str, left: str) -> None:
    assert clean(hostile) == left


def test_a_commit_that_an_agent_names_holds_no_secret_and_the_file_keeps_none(tmp_path: Path) -> None:
    (tmp_path / "outbox").mkdir()
    said = Said(n=1, kind="finished", text="done", commit=TOKEN)
    (tmp_path / "outbox" / "1.json").write_bytes(msgspec.json.encode(said))
    heard = jobs.hear(tmp_path, 0).said
    assert len(heard) == 1 and TOKEN not in heard[0].commit and "withheld" in heard[0].commit
    assert TOKEN.encode() not in (tmp_path / "outbox" / "1.json").read_bytes()
    assert jobs.hear(tmp_path, 0).said == heard


def test_what_a_job_was_given_is_no_longer_on_disk_once_it_was_started(tmp_path: Path) -> None:
    job = make(tmp_path, "sh", "-c", "echo ready; sleep 0.1; test ${#A_KEY} = 14", box=None,
               env={"PATH": os.environ["PATH"], "A_KEY": "hunter2hunter2", "ANDON_TREE": str(tmp_path / "job0")})
    assert b"hunter2" in (job / "job.json").read_bytes()
    launch(job).wait(20)
    assert ended(job).code == 0 and b"hunter2" not in (job / "job.json").read_bytes()
    kept = jobs.read_job(job)
    assert kept is not None and dict(kept.env) == {"ANDON_TREE": str(tmp_path / "job0")}, "its markers stay"


async def test_a_last_screen_holds_no_secret(tmp_path: Path) -> None:
    async with private_tmux(tmp_path / "f") as server:
        await server.new_session("T1_1", ["sh", "-c", f"echo key {TOKEN}; echo shown"], "/", {})

        async def shown() -> bool:
            return "shown" in await server.capture_text("T1_1")
        await wait_for(shown, 30)
        told = await server.capture_text("T1_1")
    assert TOKEN not in told and "withheld" in told


async def test_the_terminals_of_clients_and_their_bells_stay_outside(tmp_path: Path) -> None:
    async with private_tmux(tmp_path / "f") as server:
        async def option(*words: str) -> str:
            return " ".join(await server.command("show-options", *words)).strip()
        assert await option("-gv", "update-environment") == ""
        assert (await option("-gv", "bell-action"), await option("-gv", "visual-bell")) == ("none", "off")
        assert (await option("-gv", "set-titles"), await option("-gwv", "allow-rename")) == ("off", "off")
        assert await option("-gwv", "automatic-rename") == "off"


# --- who is at the door --------------------------------------------------------------------------------------------------------


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="no /proc here")
@pytest.mark.parametrize("marker", ["ANDON_TREE", "ANDON_JOB"])
def test_each_marker_alone_tells_a_session(tmp_path: Path, marker: str) -> None:
    told = f"PATH=/bin\0{marker}={tmp_path}/T1.1/x\0".encode()
    assert peer._session(b"sleep\x0060\0", told, str(tmp_path)) == "T1.1"
    assert peer._session(b"sleep\x0060\0", told, str(tmp_path / "other")) == ""


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="no /proc here")
def test_a_peer_below_more_processes_than_are_looked_at_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peer, "DEPTH", 1)
    monkeypatch.setattr(peer, "_session", lambda *_: "")
    parent = os.getppid()
    monkeypatch.setattr(peer, "_parent", lambda pid: parent)
    assert parent > 1 and "more than 1 processes" in peer._descended(parent, str(tmp_path))
    assert Peer(1).pid == -1


# --- the ledger ----------------------------------------------------------------------------------------------------------------


def test_a_lock_on_a_file_that_is_gone_by_then_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    where = layout(tmp_path / "f")
    plain, tries = lock._locked, list[int]()

    def locked(handle: int) -> bool:
        tries.append(handle)
        if len(tries) == 1:
            where.lock.unlink()
        return plain(handle)
    monkeypatch.setattr(lock, "_locked", locked)
    with Lock.take(where) as taken:
        assert len(tries) == 2 and os.fstat(taken._handle).st_ino == where.lock.stat().st_ino


@pytest.mark.parametrize("application", [0, 7])
def test_a_database_of_somebody_elses_is_no_ledger(tmp_path: Path, application: int) -> None:
    db = sqlite3.connect(tmp_path / "x.db")
    try:
        db.execute("CREATE TABLE theirs (x)")
        db.execute(f"PRAGMA application_id = {application}")
        with pytest.raises(Mistake, match="no ledger of Andon"):
            admit(db, tmp_path / "x.db")
    finally:
        db.close()
