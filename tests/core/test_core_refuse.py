"""What a person cannot ask for is refused with what, where and mend, and then nothing happens."""

from typing import Any

import msgspec
import pytest

from andon.core.decide import decide
from andon.core.refuse import OPEN_TASKS, nearest, refuse
from andon.schema import inputs as i
from andon.schema.ids import GateId, RepoId, TaskId
from core.sim import Sim

R = RepoId("r0")


def add(**fields: Any) -> i.AddTask:
    return i.AddTask(**{"repo": R, "title": "a", "spec": "a", **fields})


REFUSED: dict[str, tuple[i.Command, str, str]] = {
    "an unknown repository": (add(repo="r00"), "repository r00 is not registered", "did you mean r0?"),
    "an empty task": (add(title=" "), "the task has no text", "say what is to be done"),
    "an empty spec": (add(spec="\n"), "the task has no text", "say what is to be done"),
    "a huge spec": (add(spec="x" * 300_000), "the spec has 300000 characters", "at most 262144"),
    "an unknown line": (add(line="biuld"), "r0 has no line biuld", "did you mean build?"),
    "an unknown agent": (add(agent="zz"), "r0 has no agent zz", "known: default"),
    "itself": (add(after=("T2",)), "T2 would wait for itself: a cycle", "leave it out"),
    "an unknown dependency": (add(after=("T9",)), "there is no task T9", "known: T1"),
    "an unknown gate": (i.AnswerGate(gate=GateId("G1"), option="approve"), "G1 is not open", "open gates: none"),
    "cancelling nothing": (i.CancelTask(task=TaskId("T7")), "there is no task T7", "known: T1"),
    "retrying nothing": (i.RetryTask(task=TaskId("X")), "there is no task X", "known: T1"),
    "a cord without a reason": (i.PullCord(repo=R, line="build", because=" "), "only stopped with a reason", "--because"),
    "a cord of no line": (i.PullCord(repo=R, line="bild", because="x"), "r0 has no line bild", "did you mean build?"),
    "a cord of no repository": (i.PullCord(repo=RepoId("q"), line="build", because="x"), "q is not registered", "known: r0"),
    "releasing what moves": (i.ReleaseCord(repo=R, line="build"), "line build of r0 is not stopped", "nothing to do"),
    "releasing nothing": (i.ReleaseCord(repo=RepoId("q"), line="build"), "repository q is not registered", "known: r0"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_command_that_cannot_be_done_says_why_and_does_nothing(case: str) -> None:
    sim = Sim()
    sim.add()
    command, what, mend = REFUSED[case]
    problem = refuse(sim.state, command)
    assert problem is not None
    assert what in problem.what and mend in problem.mend
    assert decide(sim.state, command, sim.now) == []


def test_a_line_is_stopped_once_and_says_by_whom() -> None:
    sim = Sim()
    pull = i.PullCord(repo=R, line="build", because="smoke", by="me")
    sim.give(pull)
    problem = refuse(sim.state, pull)
    assert problem is not None and problem.what == "line build is already stopped by me: smoke"


def test_open_tasks_are_bounded() -> None:
    sim = Sim()
    sim.state = msgspec.structs.replace(sim.state, open=tuple(TaskId(f"T{n}") for n in range(OPEN_TASKS)))
    problem = refuse(sim.state, add())
    assert problem is not None and "2000 tasks are open" in problem.what


def test_what_no_person_asked_for_is_never_refused() -> None:
    assert refuse(Sim().state, i.Ticked()) is None


def test_the_nearest_known_word_is_offered() -> None:
    assert nearest("biuld", ["build", "docs"]) == "did you mean build?"
    assert nearest("zz", []) == "there is none yet"
    assert nearest("zzzz", ["b", "a"]) == "known: a, b"
