"""The sitter on a terminal of its own: turns, pasted words, permissions, interrupts, a conversation that is gone on with."""

import json
import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import gitkit
from andon.schema.agent import Assignment, Supervised
from andon.schema.ids import AttemptId, TaskId
from andon.schema.settings import AgentSettings
from andon.schema.signals import (
    AnswerWanted,
    AskSettled,
    Began,
    Compacting,
    Ended,
    PermissionWanted,
    Retrying,
    Took,
    ToolBegan,
    ToolEnded,
    TurnBegan,
    TurnEnded,
    TurnFailed,
    Usage,
)
from andon_agents import hook
from andon_agents.acting.screen import INPUT
from andon_agents.sitter import ADAPTER
from andon_agents.sitting import Sitting

HOOK = (sys.executable, "-I", "-S", hook.__file__)
Sit = Callable[..., Sitting]


@pytest.fixture
def sit(tmp_path: Path) -> Iterator[Sit]:
    """Sits down to steps in a repository; again with `resume`, in the same one."""
    checkout, job, home = tmp_path / "checkout", tmp_path / "job", tmp_path / "seat"
    for folder in (checkout, job / "asks", job / "outbox", home):
        folder.mkdir(parents=True, exist_ok=True)
    gitkit.run(checkout, "init", "-q", "-b", "main", "--template=")
    gitkit.commit(checkout, {"README.md": "it\n"}, "begin")
    open_: list[Sitting] = []

    def begin(steps: str, *, resume: str = "", approve: str = "policy") -> Sitting:
        scenario = tmp_path / "s.toml"
        scenario.write_text(f'about = "a test"\n{steps}')
        prompt = tmp_path / "prompt.md"
        prompt.write_text("Go on." if resume else f"Do it.\n[[scenario: {scenario}]]\n")
        launch = ADAPTER.launch(Assignment(
            attempt=AttemptId("T1.1"), task=TaskId("T1"), title="it", prompt=prompt.read_text(), prompt_file=prompt, job=job,
            checkout=checkout, home=home, hook=HOOK, resume=resume, agent=AgentSettings(name="sit", use="sitter", approve=approve)))
        env = {**os.environ, "ANDON_SITTER_NOTES": str(tmp_path / "notes")}
        open_.append(Sitting(ADAPTER, launch, home=home, job=job, cwd=checkout, env=env))
        return open_[-1]

    yield begin
    for one in open_:
        one.end()


def noted(sitting: Sitting, what: str) -> list[dict[str, Any]]:
    rows = [json.loads(line) for line in (sitting.job.parent / "notes").read_text().splitlines()]
    return [row for row in rows if row["what"] == what]


def test_it_is_a_supervised_agent_that_is_answered_resumed_and_metered() -> None:
    assert isinstance(ADAPTER, Supervised)
    profile = ADAPTER.profile()
    assert profile.interactive and profile.resumes and profile.answers and profile.metered == "reported"


def test_a_turn_is_told_by_hooks_and_transcript_and_ends_at_its_prompt(sit: Sit) -> None:
    agent = sit('[[step]]\nread = "README.md"\n[[step]]\nspend = 700\n[[step]]\ncompact = 0.1\n'
                '[[step]]\nturn_ends = "I am done."\n')
    assert agent.wait_for(TurnEnded).text == "I am done."
    assert agent.wait_for(Began).conversation and "Do it." in agent.wait_for(TurnBegan).prompt
    assert [one.name for one in agent.all(ToolBegan) if one.source == "hook"] == ["Read"] and agent.all(ToolEnded)[0].ok
    assert 700 in [one.input for one in agent.all(Usage)] and len(agent.all(Compacting)) == 2
    agent.wait(lambda: INPUT.encode() in agent.output, "its prompt box")


def test_pasted_words_begin_the_next_turn_whole(sit: Sit) -> None:
    agent = sit('[[step]]\nturn_ends = "first"\n[[step]]\nturn_ends = "second"\n')
    agent.wait_for(TurnEnded)
    text = "mind the ümlauts\nand 日本語; " + "x" * 5000
    agent.press(f"\x1b[200~{text}\x1b[201~")
    agent.press("\r")
    agent.wait_for(TurnEnded, 2)
    assert [row["text"] for row in noted(agent, "prompt")][1] == text


def test_words_that_come_while_it_works_join_the_running_turn(sit: Sit) -> None:
    agent = sit('[[step]]\nrun = "sleep 1"\n[[step]]\nturn_ends = "done"\n')
    agent.wait_for(ToolBegan)
    agent.press("\x1b[200~look here\x1b[201~\r")
    agent.wait_for(TurnEnded)
    assert [one.prompt for one in agent.all(Took)] == ["look here"]
    assert len([one for one in agent.all(TurnBegan) if one.source == "hook"]) == 1


def test_a_permission_waits_for_the_decision_and_obeys_it(sit: Sit) -> None:
    agent = sit('[[step]]\nrun = "touch no"\npermit = true\n[[step]]\nrun = "touch {answer}"\npermit = true\n')
    answered: list[str] = []
    for allow in (False, True):
        agent.wait(lambda: bool(set(agent.open_asks()) - set(answered)), "an ask")
        answered.append(next(ask for ask in agent.open_asks() if ask not in answered))
        agent.decide(answered[-1], allow=allow, text="not this")
        agent.wait(lambda: answered[-1] not in agent.open_asks(), "its end")
    agent.wait_for(TurnEnded)
    checkout = agent.job.parent / "checkout"
    assert (checkout / "denied").exists() and not (checkout / "no").exists()
    assert [one.target for one in agent.all(PermissionWanted)] == ["touch no", "touch denied"]
    assert [(row["allow"], row["by"]) for row in noted(agent, "told")] == [(False, "hook"), (True, "hook")]


def test_a_permission_can_be_answered_at_its_own_screen(sit: Sit) -> None:
    agent = sit('[[step]]\nrun = "touch yes"\npermit = true\n')
    agent.wait_for(PermissionWanted)
    agent.press("1")
    agent.wait_for(TurnEnded)
    agent.wait_for(AskSettled)
    assert (agent.job.parent / "checkout/yes").exists() and noted(agent, "told")[0]["by"] == "key"


def test_who_may_do_everything_asks_for_nothing(sit: Sit) -> None:
    agent = sit('[[step]]\nrun = "touch yes"\npermit = true\n', approve="all")
    agent.wait_for(TurnEnded)
    assert not agent.all(PermissionWanted) and (agent.job.parent / "checkout/yes").exists()


def test_a_question_is_asked_by_a_tool_and_its_answer_is_used(sit: Sit) -> None:
    agent = sit('[[step]]\nquestion = "which way?"\noptions = ["left", "right"]\n[[step]]\nrun = "touch {answer}"\n')
    asked = agent.wait_for(AnswerWanted)
    assert asked.text == "which way?" and asked.options == ("left", "right")
    agent.decide(asked.ask, allow=True, text="right")
    agent.wait_for(TurnEnded)
    assert (agent.job.parent / "checkout/right").exists()


@pytest.mark.parametrize("step", ['hang = "silent"', 'run = "sleep 30"', 'loop = "a.py"\nseconds = 0.2'])
def test_escape_ends_the_turn_and_the_next_words_go_on_after_that_step(sit: Sit, step: str) -> None:
    agent = sit(f'[[step]]\n{step}\n[[step]]\nturn_ends = "went on"\n')
    agent.wait(lambda: b"esc to interrupt" in agent.output and bool(agent.all(TurnBegan)), "work")
    agent.wait(lambda: bool(noted(agent, "hanging") if "hang" in step else agent.all(ToolBegan)), "the step")
    agent.press("\x1b")
    assert agent.wait_for(TurnFailed).trouble == "interrupted"
    agent.press("\x1b[200~go on\x1b[201~\r")
    assert agent.wait_for(TurnEnded).text == "went on"


def test_killed_in_a_tool_it_goes_on_in_the_same_conversation_with_that_step(sit: Sit) -> None:
    steps = ('[[step]]\nrun = "echo once >> log"\n[[step]]\ncrash = "KILL"\ntool = "sleep 30"\nwhen = "sitting == 1"\n'
             '[[step]]\nrun = "echo twice >> log"\n')
    first = sit(steps)
    first.process.wait(20)
    assert first.process.returncode == -signal.SIGKILL
    name = first.wait_for(Began).conversation
    second = sit(steps, resume=name)
    second.wait_for(TurnEnded)
    assert (second.job.parent / "checkout/log").read_text() == "once\ntwice\n"
    assert {row["conversation"] for row in noted(second, "start")} == {name} and noted(second, "start")[1]["resumed"]


def test_a_refused_call_is_tried_again_and_a_turn_can_fail(sit: Sit) -> None:
    agent = sit('[[step]]\nretry = "rate_limit"\nseconds = 0.2\n[[step]]\nturn_ends = "no key"\ntrouble = "authentication_error"\n')
    assert agent.wait_for(TurnFailed).trouble == "auth"
    assert agent.wait_for(Retrying).trouble == "rate-limit"


def test_what_it_left_in_the_background_is_said_at_the_end_of_its_turn(sit: Sit) -> None:
    agent = sit('[[step]]\nbackground = "sleep 30"\n')
    assert agent.wait_for(TurnEnded).background == 1


def test_sigterm_ends_it_in_order(sit: Sit) -> None:
    agent = sit('[[step]]\nturn_ends = "done"\n')
    agent.wait_for(TurnEnded)
    agent.process.send_signal(signal.SIGTERM)
    assert agent.process.wait(10) == 128 + signal.SIGTERM
    assert agent.wait_for(Ended).because == "other"
