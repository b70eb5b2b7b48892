"""The agent's side of the job directory, read by the daemon's side."""

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from andon.edges.jobs import hear, read_outbox, write_answer
from andon.schema.errors import Mistake
from andon.schema.jobs import Answer
from andon.schema.mailbox import MESSAGES_LIMIT, OPTIONS_LIMIT, TEXT_LIMIT, await_answer, job_directory, leave, read_answer
from andon_agents import talk


@pytest.fixture
def job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "job"
    (folder / "outbox").mkdir(parents=True)
    (folder / "inbox").mkdir()
    monkeypatch.setenv("ANDON_JOB", str(folder))
    return folder


def test_messages_are_numbered_in_order_and_read_by_the_daemon(job: Path) -> None:
    leave(job, "progress", "one")
    leave(job, "ask", "two?", options=("a", "b"))
    leave(job, "finished", "three", commit="c" * 40)
    assert [(said.n, said.kind, said.text, said.options, said.commit) for said in read_outbox(job, 0)] == [
        (1, "progress", "one", (), ""), (2, "ask", "two?", ("a", "b"), ""), (3, "finished", "three", (), "c" * 40),
    ]
    assert [said.n for said in read_outbox(job, 2)] == [3]


def test_many_writers_never_share_a_number_and_lose_nothing(job: Path) -> None:
    barrier = threading.Barrier(8)

    def work(writer: int) -> None:
        barrier.wait()
        for number in range(10):
            leave(job, "progress", f"{writer}/{number}")

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    said = read_outbox(job, 0)
    assert [one.n for one in said] == list(range(1, 81))
    assert len({one.text for one in said}) == 80


def test_nothing_half_written_is_left_in_the_outbox(job: Path) -> None:
    leave(job, "progress", "one")
    assert [path.name for path in (job / "outbox").iterdir()] == ["1.json"]
    assert hear(job, 0).malformed == 0


def test_what_is_too_long_is_cut_and_says_so(job: Path) -> None:
    leave(job, "ask", "ü" * (TEXT_LIMIT + 500), options=tuple("x" * 5_000 for _ in range(50)))
    (said,) = read_outbox(job, 0)
    assert len(said.text) <= TEXT_LIMIT
    assert said.text.endswith("(540 more characters cut)")
    assert len(said.options) == OPTIONS_LIMIT


@pytest.mark.parametrize("character", ["🧵", "\x01", '"'])
def test_the_longest_message_is_still_small_enough_for_the_daemon(job: Path, character: str) -> None:
    leave(job, "ask", character * TEXT_LIMIT, options=tuple(character * 500 for _ in range(50)))
    assert [said.n for said in read_outbox(job, 0)] == [1]


def test_broken_unicode_and_nul_do_not_stop_an_agent_from_speaking(job: Path) -> None:
    leave(job, "progress", "a\udcffb\0c")
    assert read_outbox(job, 0)[0].text == "a?bc"


def test_an_agent_that_never_stops_talking_is_stopped(job: Path) -> None:
    (job / "outbox" / f"{MESSAGES_LIMIT}.json").write_text("{}")
    with pytest.raises(Mistake, match="1000 things"):
        leave(job, "progress", "one more")


def test_an_answer_written_by_the_daemon_is_read_once_it_is_whole(job: Path) -> None:
    assert read_answer(job, 1) is None
    write_answer(job, Answer(n=1, text="yes"))
    assert read_answer(job, 1) == Answer(n=1, text="yes")


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"n":2,"text":"other"}', b"\xff"])
def test_what_is_no_answer_to_this_question_is_no_answer(job: Path, content: bytes) -> None:
    (job / "inbox" / "1.json").write_bytes(content)
    assert read_answer(job, 1) is None


def test_a_link_or_a_pipe_in_the_inbox_is_no_answer(job: Path, tmp_path: Path) -> None:
    (tmp_path / "real.json").write_text('{"n":1,"text":"yes"}')
    (job / "inbox" / "1.json").symlink_to(tmp_path / "real.json")
    os.mkfifo(job / "inbox" / "2.json")
    assert read_answer(job, 1) is None
    assert read_answer(job, 2) is None


def test_waiting_ends_with_the_answer_or_at_its_limit(job: Path) -> None:
    looked: list[float] = []

    def nap(seconds: float) -> None:
        looked.append(seconds)
        if len(looked) == 3:
            write_answer(job, Answer(n=1, text="go"))

    assert await_answer(job, 1, nap=nap) == Answer(n=1, text="go")
    assert await_answer(job, 2, nap=lambda _: None, seconds=0.01) is None


def test_an_agent_talks_through_its_environment(job: Path) -> None:
    write_answer(job, Answer(n=2, text="blue"))
    talk.say("working")
    assert talk.ask("Which colour?", ("red", "blue")) == "blue"
    talk.handoff("no more paint")
    talk.finished("d" * 40)
    assert [said.kind for said in read_outbox(job, 0)] == ["progress", "ask", "handoff", "finished"]


def test_outside_of_a_session_talking_is_a_mistake_that_says_so() -> None:
    with pytest.raises(Mistake) as unset:
        job_directory({})
    with pytest.raises(Mistake) as wrong:
        job_directory({"ANDON_JOB": "/nowhere/at/all"})
    assert "ANDON_JOB is not set" in str(unset.value)
    assert "/nowhere/at/all" in str(wrong.value)
