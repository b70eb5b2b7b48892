"""`andon log` and `andon agent`: verbs that need no daemon."""

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from andon.edges.store import Store
from andon.schema import events as e, mailbox
from andon.schema.ids import AttemptId, GateId, RepoId, TaskId
from andon.schema.jobs import INBOX, OUTBOX, Answer, Said
from andon.schema.layout import layout
from clikit import Caps, a_repository, andon, git


def wrote(*events: e.Event, at: int = 1_000) -> None:
    async def write() -> None:
        store = await Store.open(layout())
        try:
            await store.load()
            for event in events:
                await store.append([event], at)
        finally:
            await store.close()
    asyncio.run(write())


HISTORY = (
    e.FactoryStarted(version="0.1.0", pid=1, boot="b"),
    e.TaskAdded(task=TaskId("T1"), repo=RepoId("shop"), title="say \x1b[2Jhello", spec="x", by="ann"),
    e.TaskAdded(task=TaskId("T2"), repo=RepoId("shop"), title="other", spec="x", by="ann"),
    e.AttemptLost(attempt=AttemptId("T1.1"), because="the machine went away"),
    e.GateAnswered(gate=GateId("G1"), option="approve", by="ann"),
)


def test_log_prints_one_plain_sentence_an_event_with_the_daemon_down(capsys: Caps) -> None:
    wrote(*HISTORY)
    ran = andon(capsys, "log")
    lines = ran.out.splitlines()
    assert ran.code == 0 and len(lines) == 5 and "\x1b" not in ran.out
    assert "ann added T1 to line build of shop: say hello" in lines[1] and "ann answered G1 with approve" in lines[4]


def test_log_finds_a_thing_a_kind_and_the_last_ones(capsys: Caps) -> None:
    wrote(*HISTORY)

    def seqs(*words: str) -> list[int]:
        return [json.loads(line)["andonseq"] for line in andon(capsys, "log", "--json", *words).out.splitlines()]
    assert seqs("t1") == [2, 4]
    assert seqs("--kind", "task.added,gate.answered") == [2, 3, 5]
    assert seqs("--limit", "2") == [4, 5]
    assert seqs("--after", "3") == [4, 5]
    assert seqs("--all") == [1, 2, 3, 4, 5]


def test_log_json_is_a_cloudevent_a_line(capsys: Caps) -> None:
    wrote(*HISTORY)
    first = json.loads(andon(capsys, "log", "--json", "--all").out.splitlines()[1])
    assert first["specversion"] == "1.0" and first["type"] == "dev.andon.task.added" and first["data"]["task"] == "T1"


def test_log_follow_goes_on_with_what_happens(tmp_path: Path) -> None:
    wrote(*HISTORY)
    process = subprocess.Popen([sys.executable, "-P", "-u", "-m", "andon.cli.main", "log", "--follow", "--json", "--limit", "1"],
                               stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())["andonseq"] == 5
        wrote(e.TaskDone(task=TaskId("T1")))
        assert json.loads(process.stdout.readline())["type"] == "dev.andon.task.done"
    finally:
        process.terminate()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def test_log_without_a_ledger_says_so(capsys: Caps) -> None:
    ran = andon(capsys, "log")
    assert ran.code == 2 and "no ledger" in ran.err


def test_a_reader_that_goes_away_ends_log_quietly() -> None:
    wrote(*(e.TaskDone(task=TaskId(f"T{n}")) for n in range(30)))
    script = '"$0" -P -m andon.cli.main log --all | head -n 1'
    ran = subprocess.run(["bash", "-c", script, sys.executable], capture_output=True, text=True, check=False)
    assert ran.stderr == "" and len(ran.stdout.splitlines()) == 1


# --- inside a session ---


@pytest.fixture
def job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "job"
    path.mkdir()
    monkeypatch.setenv(mailbox.JOB_VARIABLE, str(path))
    return path


def test_an_agent_says_asks_finishes_and_hands_off(capsys: Caps, job: Path, tmp_path: Path,
                                                   monkeypatch: pytest.MonkeyPatch) -> None:
    repo = a_repository(tmp_path / "repo")
    monkeypatch.chdir(repo)
    assert andon(capsys, "agent", "say", "half", "way").code == 0
    assert andon(capsys, "agent", "ask", "Which?", "--option", "a", "--option", "b", "--no-wait").out == "2\n"
    assert andon(capsys, "agent", "finished", "--commit", "HEAD").code == 0
    assert andon(capsys, "agent", "handoff", "no context left").code == 0
    files = [msgspec.json.decode((job / OUTBOX / f"{n}.json").read_bytes(), type=Said) for n in (1, 2, 3, 4)]
    said = [(one.kind, one.text, one.options, one.commit) for one in files]
    assert said == [("progress", "half way", (), ""), ("ask", "Which?", ("a", "b"), ""),
                    ("finished", "", (), git(repo, "rev-parse", "HEAD")), ("handoff", "no context left", (), "")]


def test_an_agent_gets_the_persons_answer(capsys: Caps, job: Path) -> None:
    assert andon(capsys, "agent", "ask", "Which?", "--timeout", "0.1").code == 1
    (job / INBOX).mkdir()
    (job / INBOX / "2.json").write_bytes(msgspec.json.encode(Answer(n=2, text="the second")))
    assert andon(capsys, "agent", "ask", "And now?").out == "the second\n"


def test_agent_verbs_outside_a_session_are_a_mistake(capsys: Caps) -> None:
    ran = andon(capsys, "agent", "say", "x")
    assert ran.code == 2 and mailbox.JOB_VARIABLE in ran.err
    assert andon(capsys, "agent", "say", " ").code == 2


def test_agents_ls_finds_a_program_on_path(capsys: Caps, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "claude"
    program.write_text("#!/bin/sh\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert str(program) in [one["binary"] for one in json.loads(andon(capsys, "agents", "ls", "--json").out)]
