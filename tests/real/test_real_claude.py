"""The real Claude Code against the scripted model: what its adapter starts, reads and answers is what really happens."""

import contextlib
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

import gitkit
from andon.schema.agent import Assignment
from andon.schema.ids import AttemptId, TaskId
from andon.schema.settings import AgentSettings
from andon.schema.signals import (
    AnswerWanted,
    AskSettled,
    Began,
    PermissionWanted,
    Retrying,
    ToolBegan,
    ToolEnded,
    TurnBegan,
    TurnEnded,
    TurnFailed,
    Usage,
)
from andon_agents import hook
from andon_agents.claude import ADAPTER
from andon_agents.conformance import check
from andon_agents.sitting import Sitting
from model.server import Model, model
from realkit import cli
from support import wait_until

PROMPT = '-v "quoted" \'words\' `date` $HOME 日本語\nsecond line [[scenario:proper]]'


@pytest.fixture(scope="module")
def binary() -> Path:
    return cli("claude")


@pytest.fixture(scope="module")
def scripted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Model]:
    with model(dump=tmp_path_factory.mktemp("dump")) as one:
        yield one


class Seat:
    """One attempt's checkout, job and home, and the real program on it."""

    def __init__(self, folder: Path, binary: Path, scripted: Model) -> None:
        files = {"README.md": "# Project\n", "AGENTS.md": "Say HOUSE-RULES-ARRIVED.\n"}
        self.checkout = gitkit.make_repo(folder / "checkout", files)
        self.job, self.home, self.binary, self.model = folder / "job", folder / "home", binary, scripted
        self.session = folder.name
        self.job.mkdir()

    def assignment(self, prompt: str, *, approve: str = "policy", resume: str = "", **env: str) -> Assignment:
        prompt_file = self.job / "prompt.md"
        prompt_file.write_text(prompt)
        agent = AgentSettings(name="default", use="claude", approve=approve, env=env)
        person = {**os.environ, "PATH": f"{self.binary.parent}{os.pathsep}{os.environ['PATH']}",
                  "ANTHROPIC_API_KEY": "sk-test-0123456789-0123456789-0123456789"}
        return Assignment(attempt=AttemptId("T1.1"), task=TaskId("T1"), title="A title", prompt=prompt, prompt_file=prompt_file,
                          checkout=self.checkout, job=self.job, home=self.home, repository=self.checkout, agent=agent,
                          resume=resume, gateway=self.model.base(self.session), person=person,
                          hook=(sys.executable, "-I", "-S", hook.__file__))

    @contextlib.contextmanager
    def started(self, prompt: str, *, approve: str = "policy", resume: str = "", **env: str) -> Iterator[Sitting]:
        assignment = self.assignment(prompt, approve=approve, resume=resume, **env)
        with Sitting(ADAPTER, ADAPTER.launch(assignment), home=self.home, job=self.job, cwd=self.checkout,
                     env=assignment.person) as sitting:
            yield sitting

    def commits(self) -> int:
        return int(gitkit.run(self.checkout, "rev-list", "--count", "HEAD"))


@pytest.fixture
def seat(tmp_path: Path, binary: Path, scripted: Model) -> Seat:
    return Seat(tmp_path, binary, scripted)


def answer_all(sitting: Sitting, *, allow: bool, text: str = "") -> list[str]:
    """Answer what it asks until its turn is over; the tools that it asked for."""
    while True:
        sitting.wait(lambda: bool(sitting.open_asks() or sitting.all(TurnEnded)), "an ask, or the end of the turn")
        if not sitting.open_asks():
            return [one.tool for one in sitting.all(PermissionWanted)]
        ask = sitting.open_asks()[0]
        sitting.decide(ask, allow=allow, text=text)
        sitting.wait(lambda: ask not in sitting.open_asks(), "the settling of the ask")  # noqa: B023 - waited for at once


def test_a_job_is_done_with_each_permission_allowed_through_the_hook(seat: Seat) -> None:
    with seat.started(PROMPT) as sitting:
        assert answer_all(sitting, allow=True) == ["Write", "Edit", "Bash"]
        assert seat.commits() == 2
        began = sitting.all(Began)[0]
        assert began.conversation == ADAPTER.launch(seat.assignment("x", resume=began.conversation)).conversation
        assert sitting.all(TurnBegan)[0].prompt == f"Your task:\n{PROMPT}"
        assert [one.name for one in sitting.signals("hook") if isinstance(one, ToolBegan)] == ["Read", "Write", "Edit", "Bash"]
        assert all(one.ok for one in sitting.all(ToolEnded))
        asked = sitting.all(PermissionWanted)[0]
        assert (asked.deed, asked.paths, asked.answerable) == ("edit", (str(seat.checkout / "hello.txt"),), True)
        sitting.wait(lambda: len({one.key for one in sitting.all(Usage)}) >= 4, "usage of each model call")
        assert all(one.input > 1000 and one.output > 0 for one in sitting.all(Usage))
    bodies = [entry for entry in seat.model.log(seat.session) if entry.get("api")]
    assert len(bodies) >= 5


def test_the_instructions_of_the_repository_reach_the_model(seat: Seat, scripted: Model) -> None:
    with seat.started("go [[scenario:lie]]") as sitting:
        sitting.wait_for(TurnEnded)
    dumped = [path.read_text() for path in dumps(scripted) if f"-{seat.session}-" in path.name]
    assert any("HOUSE-RULES-ARRIVED" in text for text in dumped)


def dumps(scripted: Model) -> list[Path]:
    folder = scripted.server.options.dump
    assert folder
    return list(folder.iterdir())


def test_a_denial_reaches_the_model_and_the_tool_does_not_run(seat: Seat) -> None:
    with seat.started("go [[scenario:proper]]") as sitting:
        answer_all(sitting, allow=False, text="not like this")
        assert not (seat.checkout / "hello.txt").exists()
        assert seat.commits() == 1
        assert {one.how for one in sitting.all(AskSettled)} == {"denied"}
        sitting.wait(lambda: any(not one.ok for one in sitting.all(ToolEnded)), "the tool's refusal in the transcript")


def test_a_person_at_the_screen_answers_while_the_hook_waits(seat: Seat) -> None:
    with seat.started("go [[scenario:proper]]") as sitting:
        asked = sitting.wait_for(PermissionWanted)
        sitting.wait(lambda: b"1." in sitting.output and b"Esc" in sitting.output, "its own prompt beside the waiting hook")
        sitting.press("1")
        settled = sitting.wait_for(AskSettled)
        assert (settled.ask, settled.how) == (asked.ask, "answered at its own screen")
        sitting.wait_for(PermissionWanted, times=2)
        sitting.press("\x1b")
        assert sitting.wait_for(AskSettled, times=2).how == "withdrawn"
        assert sitting.wait_for(TurnFailed).trouble == "interrupted"
        wait_until(lambda: not list((seat.job / "asks").glob("*.wait")), what="the end of all waiting hooks")


def test_a_question_is_answered_from_outside_in_free_words(seat: Seat) -> None:
    with seat.started("go [[scenario:ask_tool]]") as sitting:
        asked = sitting.wait_for(AnswerWanted)
        assert (asked.text, asked.options, asked.answerable) == ("Tabs or spaces?", ("tabs", "spaces"), True)
        sitting.decide(asked.ask, allow=True, text='both, "mixed" 語')
        sitting.wait(lambda: b"mixed" in sitting.output, "the answer on its screen")
        assert sitting.wait_for(AskSettled).how == "allowed"


@pytest.mark.parametrize(("scenario", "trouble"), [
    ("auth", "auth"), ("rate_limit n=50 retry_after=1", "rate-limit"), ("overloaded n=50", "overloaded"), ("context", "context"),
])
def test_a_turn_that_fails_says_what_failed(seat: Seat, scenario: str, trouble: str) -> None:
    with seat.started(f"go [[scenario:{scenario}]]", CLAUDE_CODE_MAX_RETRIES="1") as sitting:
        failed = sitting.wait_for(TurnFailed)
        assert failed.trouble == trouble
        assert failed.text
        assert not sitting.all(TurnEnded)


def test_a_limit_that_passes_is_waited_out_and_nothing_is_called_ended(seat: Seat) -> None:
    with seat.started("go [[scenario:rate_limit n=2 retry_after=1]]", approve="all") as sitting:
        sitting.wait(lambda: len([one for one in seat.model.log(seat.session) if one["status"] == 429]) >= 2, "two refusals")
        assert not sitting.all(TurnEnded) and not sitting.all(TurnFailed) and not sitting.all(Retrying)
        sitting.wait_for(TurnEnded)
        assert seat.commits() == 2


def test_a_hung_stream_is_silence_and_nothing_else(seat: Seat) -> None:
    with seat.started("go [[scenario:hang]]", approve="all") as sitting:
        sitting.wait(lambda: any(one.get("step") == "hang" for one in seat.model.log(seat.session)), "the hung call")
        before = time.monotonic()
        wait_until(lambda: time.monotonic() - before > 1.5, what="a while of silence")
        assert {type(one) for one in sitting.signals()} <= {Began, TurnBegan, Usage}


def test_a_killed_session_goes_on_in_the_same_conversation(seat: Seat) -> None:
    with seat.started("go [[scenario:slow sleep=30]]", approve="all") as sitting:
        sitting.wait_for(ToolBegan)
        conversation = sitting.all(Began)[0].conversation
        sitting.wait(lambda: any(isinstance(one, ToolBegan) for one in sitting.signals("transcript")), "the call in the transcript")
    with seat.started("# Go on. [[scenario:proper]]", approve="all", resume=conversation) as sitting:
        sitting.wait_for(TurnEnded)
        assert {one.conversation for one in sitting.all(Began)} == {conversation}
        assert seat.commits() == 2


def test_a_conversation_that_left_nothing_begins_anew_and_says_so(seat: Seat) -> None:
    launch = ADAPTER.launch(seat.assignment("go", resume="7d1f3c3e-0000-4000-8000-000000000001"))
    assert "--session-id" in launch.argv
    assert any("a new one" in note for note in launch.notes)


def test_a_first_run_screen_never_stands_in_the_way_and_the_key_is_in_no_file_of_ours(seat: Seat) -> None:
    launch = ADAPTER.launch(seat.assignment("go"))
    assert "sk-test-0123456789-0123456789-0123456789" not in msgspec.json.encode(launch.seeds).decode()


def test_the_kit_runs_a_real_job(binary: Path, scripted: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", f"{binary.parent}{os.pathsep}{os.environ['PATH']}")
    parts = {part.name: part for part in check(ADAPTER, model=scripted.base("x").rsplit("/s/", 1)[0])}
    assert parts["a real job"].result == "pass", parts["a real job"].because
    assert "2.1.197" in parts["detect"].because
