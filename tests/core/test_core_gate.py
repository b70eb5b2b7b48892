"""The gate station: policy decides whether a person must look, and an answer counts for exactly what was shown."""

from typing import Any

import msgspec
import pytest

from andon.core.evolve import evolve
from andon.core.policy import bound_of, classify
from andon.core.refuse import refuse
from andon.core.state import Work
from andon.schema import effects as f, events as e, inputs as i
from andon.schema.ids import AttemptId, Digest, Oid, TaskId
from andon.schema.settings import Budget, Line, Policy, Station
from core.playbook import Given, like, nothing
from core.sim import STATIONS, Sim, oid

T1 = TaskId("T1")
REVIEW = Policy(walls="none")
SHIP = Policy(ship=("**",), walls="none")


def gated(*paths: str, when: str = "policy", **changes: Any) -> Sim:
    """A factory whose one change has come to its gate station, or past it."""
    stations = (*STATIONS[:2], Station(name="review", kind="gate", when=when), STATIONS[3])
    sim = Sim(lines={"build": Line(name="build", stations=stations)}, **{"policy": REVIEW, **changes})
    honest = sim.honest_work
    sim.work = lambda effect: honest(effect, paths=paths or ("src/a.py",), paths_total=len(paths) or 1)
    sim.add(title="paint it")
    while not sim.task().gate and sim.task().station != "land":
        sim.step()
    return sim


def work(*paths: str, total: int = 0) -> Work:
    return Work(attempt=AttemptId("T1.1"), commit=Oid("c"), tree=Oid("t"), base=Oid("b"), base_tree=Oid("bt"), paths=paths,
                paths_total=total or len(paths))


@pytest.mark.parametrize(("policy", "paths", "total", "risk"), [
    (Policy(ship=("docs/**",), walls="none"), ("docs/a.md",), 0, "ship"),
    (Policy(ship=("docs/**",), walls="none"), ("docs/a.md", "src/a.py"), 0, "review"),
    (Policy(ship=("**",), review=("src/**",), walls="none"), ("src/a.py",), 0, "review"),
    (Policy(ship=("**",), stop=("**/auth/**",), walls="none"), ("docs/a.md", "src/auth/key.py"), 0, "stop"),
    (Policy(stop=("a/**",), walls="none"), ("b/x", "a/x"), 0, "stop"),
    (Policy(ship=("**",), walls="none"), ("andon.toml",), 0, "stop"),
    (Policy(ship=("**",), walls="none"), ("sub/andon.toml",), 0, "ship"),
    (Policy(walls="none"), ("a",), 0, "review"),
    (Policy(ship=("**",), walls="none"), ("a",), 501, "stop"),
])
def test_the_highest_class_of_a_changes_paths_wins(policy: Policy, paths: tuple[str, ...], total: int, risk: str) -> None:
    assert classify(policy, work(*paths, total=total))[0] == risk


def test_more_paths_than_are_read_may_hide_one_that_stops_so_they_stop() -> None:
    risk, because = classify(SHIP, work("a", total=900))
    assert (risk, because) == ("stop", "900 paths changed, more than are read for the policy")


@pytest.mark.parametrize(("when", "policy", "paths", "asks"), [
    ("policy", SHIP, ("a",), False), ("policy", REVIEW, ("a",), True), ("always", SHIP, ("a",), True),
    ("never", REVIEW, ("a",), False), ("never", SHIP, ("andon.toml",), True),
    ("never", Policy(stop=("a",), walls="none"), ("a",), True),
])
def test_a_gate_asks_when_the_policy_says_so(when: str, policy: Policy, paths: tuple[str, ...], asks: bool) -> None:
    assert bool(gated(*paths, when=when, policy=policy).task().gate) is asks


def test_a_review_shows_what_it_is_about_and_recommends_only_what_is_not_stopped() -> None:
    gate = gated().gate()
    assert (gate.kind, gate.recommendation, gate.risk) == ("review", "approve", "review")
    assert gate.question == "Land T1 “paint it”? (1 file, +3 -0)"
    assert gate.because == "src/a.py is not under [policy] ship"
    stop = gated("andon.toml").gate()
    assert (stop.recommendation, stop.risk) == ("", "stop")


def test_an_approved_change_goes_on_to_land() -> None:
    sim = gated()
    gate = sim.gate()
    assert (
        Given.after(sim)
        >> i.AnswerGate(gate=gate.gate, option="approve", bound=gate.bound, by="me")
        << like(e.GateAnswered, option="approve", bound=gate.bound, by="me") << like(e.TaskEntered, station="land")
        << like(f.SealChange, task="T1", approved=gate.bound)
    )


def test_an_answer_to_something_else_than_what_is_shown_is_refused() -> None:
    sim = gated()
    for bound in ("", "of another diff"):
        command = i.AnswerGate(gate=sim.gate().gate, option="approve", bound=Digest(bound), by="me")
        problem = refuse(sim.state, command)
        assert problem is not None and "something else than you saw" in problem.what
        assert Given.after(sim) >> command << nothing


def test_an_approval_counts_for_the_exact_diff_commit_and_claims_only() -> None:
    task = gated().task()
    bound = bound_of(task)
    assert task.work is not None
    others = [
        msgspec.structs.replace(task, work=msgspec.structs.replace(task.work, diff=Digest("e"))),
        msgspec.structs.replace(task, work=msgspec.structs.replace(task.work, commit=Oid("e"))),
        msgspec.structs.replace(task, work=msgspec.structs.replace(task.work, tree=Oid("e"))),
        msgspec.structs.replace(task, claims=task.claims[:-1]),
        msgspec.structs.replace(task, claims=(*task.claims[:-1], msgspec.structs.replace(task.claims[-1], status="refuted"))),
        msgspec.structs.replace(task, work=None),
        msgspec.structs.replace(task, task=TaskId("T2")),
    ]
    assert bound not in [bound_of(other) for other in others]
    assert bound == bound_of(msgspec.structs.replace(task, title="other", since=7))


def test_a_question_about_a_change_that_is_another_one_now_is_void() -> None:
    sim = gated()
    gate = sim.gate()
    claim = msgspec.structs.replace(sim.events(e.ClaimJudged)[-1], because="run anew", status="proven", claim="more")
    state = evolve(sim.state, claim, sim.now)
    assert (
        Given(state=state) >> i.Ticked()
        << like(e.GateVoided, gate=gate.gate) << like(e.GateOpened, gate="G2", bound=lambda bound: bound != gate.bound)
    )


def test_a_rejection_needs_words_and_goes_back_with_them() -> None:
    sim = gated()
    gate = sim.gate()
    silent = i.AnswerGate(gate=gate.gate, option="reject", bound=gate.bound, by="me")
    problem = refuse(sim.state, silent)
    assert problem is not None and problem.what == "reject needs words"
    assert (
        Given.after(sim) >> silent << nothing
        >> i.AnswerGate(gate=gate.gate, option="reject", because="wrong colour", bound=gate.bound, by="me")
        << like(e.GateAnswered) << like(e.RetryScheduled, failure="rejected", packet=lambda text: "wrong colour" in text)
        << like(e.TaskEntered) << like(e.AttemptClaimed, number=2, start=oid("c", "T1.1")) << like(f.PrepareCheckout)
    )


def test_a_rejected_change_needs_a_new_approval_for_its_next_version() -> None:
    sim = gated()
    sim.decide_gate("reject", because="wrong colour")
    assert not sim.task().approved and sim.task().work is None
    while not sim.task().gate:
        sim.step()
    assert (sim.gate().kind, sim.gate().commit) == ("review", oid("c", "T1.2"))


def test_the_last_rejection_of_a_budget_asks_a_person_what_now() -> None:
    sim = gated(budget=Budget(attempts=1))
    sim.decide_gate("reject", because="wrong colour")
    gate = sim.gate()
    assert (gate.kind, gate.question) == ("failure", "T1 has used its 1 attempts. What now?")
    sim.decide_gate("retry", because="blue, please")
    prompt = sim.until(f.StartSession, attempt="T1.2").prompt
    assert "wrong colour" in prompt and "blue, please" in prompt


def test_a_change_that_is_given_up_at_its_gate_ends_as_failed() -> None:
    sim = gated()
    sim.decide_gate("cancel")
    assert (sim.task().outcome, sim.task().because) == ("failed", "src/a.py is not under [policy] ship")
    assert not sim.state.gates


def test_cancelling_a_task_voids_its_gate() -> None:
    sim = gated()
    assert (
        Given.after(sim) >> i.CancelTask(task=T1, by="me")
        << like(e.GateVoided, because="T1 was cancelled") << like(e.TaskCancelled, because="cancelled", by="me")
    )


def test_a_line_may_ask_before_any_agent_starts() -> None:
    stations = (Station(name="intake", kind="gate", when="always"), *STATIONS)
    sim = Sim(lines={"build": Line(name="build", stations=stations, wip=1)})
    sim.add()
    sim.add("second")
    assert (sim.gate().question, sim.gate().commit) == ("Land T1 “a task”? (not started yet)", "")
    assert sim.why("T2") == ("1 tasks on line build, its limit is 1",)
    sim.decide_gate("approve")
    sim.run()
    assert sim.task().outcome == "done"
    assert sim.task("T2").station == "intake"
