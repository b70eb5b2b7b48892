"""The check station: only pass opens; fail goes back with its packet; what could not be evaluated is never taken for a pass."""

from typing import Any

import msgspec
import pytest
from immutables import Map

from andon.core.pending import pending
from andon.core.state import KEPT_PROOFS
from andon.schema import effects as f, events as e, inputs as i
from andon.schema.ids import AttemptId, Digest, RepoId, RunId, TaskId
from andon.schema.jobs import Said
from andon.schema.settings import Check, Checkout, Line, Station
from core.playbook import Given, like, nothing
from core.sim import STATIONS, Sim, loaded, oid, settings

R = RepoId("r0")
EXIT = {"tests": Check(name="tests", run="make test")}
BOTH = {"tests": Check(name="tests", run="make test"), "lint": Check(name="lint", run="ruff check")}


def checking(**changes: Any) -> Sim:
    """A factory whose one change is at its checks."""
    sim = Sim(**changes)
    sim.add()
    while not sim.state.runs:
        sim.step()
    return sim


def ran(run: str, result: Any = "pass", **fields: Any) -> i.CheckRan:
    return i.CheckRan(run=RunId(run), result=result, because=fields.pop("because", f"it says {result}"), **fields)


def change_run(sim: Sim) -> str:
    """The run of the change; the baseline is answered first."""
    for effect in sim.owed():
        if isinstance(effect, f.RunCheck) and sim.state.runs[effect.run].purpose == "baseline":
            sim.give(ran(effect.run, names=Digest("n" * 64)))
    return next(name for name, run in sim.state.runs.items() if run.purpose == "change")


def test_the_base_is_run_first_and_its_tests_are_what_the_change_is_compared_with() -> None:
    sim = checking()
    base, change = sorted(sim.state.runs)
    assert (
        Given.after(sim)
        >> ran(base, names=Digest("n" * 64)) << like(e.RunFinished, run=base)
        << like(f.RunCheck, run=change, base_names=Digest("n" * 64), commit=oid("c", "T1.1"))
        >> ran(change) << like(e.RunFinished) << like(e.ClaimJudged, claim="tests", status="proven", commit=oid("c", "T1.1"))
        << like(e.TaskEntered, station="review") << like(e.TaskEntered, station="land")
        << like(f.SealChange, task="T1")
        >> ran(change) << nothing
    )


@pytest.mark.parametrize(("words", "told"), [("All tests pass.", True), ("I hope that the tests pass", False), ("Done.", False)])
def test_that_tests_pass_is_contradicted_by_the_check_and_the_next_attempt_is_told(words: str, told: bool) -> None:
    sim = Sim(checks=EXIT)
    sim.add()
    while "T1.1" not in sim.state.attempts or sim.state.attempts[AttemptId("T1.1")].phase != "running":
        sim.step()
    sim.give(i.AgentSaid(attempt=AttemptId("T1.1"), said=Said(n=1, kind="finished", text=words)))
    while not sim.state.runs:
        sim.step()
    events = sim.give(ran(change_run(sim), "fail", because="2 of 9 tests failed"))
    found = [event for event in events if isinstance(event, e.ClaimContradicted)]
    packet = next(event.packet for event in events if isinstance(event, e.RetryScheduled))
    assert bool(found) is told and ("tests: 2 of 9 tests failed" in packet) is True and ("What you said" in packet) is told


def test_a_failure_goes_back_with_a_packet_of_what_failed() -> None:
    sim = checking(checks=EXIT)
    assert (
        Given.after(sim)
        >> ran("R1", "fail", because="2 of 9 tests failed", failed=2, failing=("test_a", "test_b"), tail="assert 1 == 2")
        << like(e.RunFinished, result="fail") << like(e.ClaimJudged, status="refuted", detail="test_a\ntest_b\nassert 1 == 2")
        << like(e.RetryScheduled, failure="test", packet=lambda text: all(
            part in text for part in ("tests: 2 of 9 tests failed", "test_b", "assert 1 == 2", "1 file, +3 -0")))
        << like(e.TaskEntered, station="build") << like(e.AttemptClaimed, number=2, start=oid("c", "T1.1")) << ...
    )


def test_both_results_are_awaited_before_a_change_goes_back() -> None:
    sim = checking(checks=BOTH)
    assert (
        Given.after(sim)
        >> ran("R1", "fail", because="red") << like(e.RunFinished) << like(e.ClaimJudged, claim="tests", status="refuted")
        >> ran("R2", "fail", because="ugly") << like(e.RunFinished) << like(e.ClaimJudged, claim="lint", status="refuted")
        << like(e.RetryScheduled, packet=lambda text: "tests: red; lint: ugly" in text) << ...
    )


def test_a_change_passes_only_when_every_check_does() -> None:
    sim = checking(checks=BOTH)
    sim.give(ran("R1"))
    assert sim.task().station == "check"
    sim.give(ran("R2"))
    assert sim.task().station == "land"


@pytest.mark.parametrize("cause", ["missing-tool", "zero-tests", "unreadable-report", "setup"])
def test_a_result_that_would_only_come_again_asks_a_person_at_once(cause: str) -> None:
    sim = checking(checks=EXIT)
    assert (
        Given.after(sim)
        >> ran("R1", "unevaluated", because="exit 127: pytest: not found", cause=cause)
        << like(e.RunFinished, cause=cause) << like(e.ClaimJudged, status="unevaluated", final=True)
        << like(e.GateOpened, kind="unevaluated", recommendation="run-again", because="tests: exit 127: pytest: not found")
    )


@pytest.mark.parametrize("cause", ["signal", "timeout", "lost", "storage"])
def test_a_passing_trouble_is_run_once_more_by_itself_and_then_asks(cause: str) -> None:
    sim = checking(checks=EXIT)
    assert (
        Given.after(sim)
        >> ran("R1", "unevaluated", cause=cause) << like(e.RunFinished) << like(e.ClaimJudged, final=False)
        << like(e.RunPlanned, run="R2") << like(f.RunCheck, run="R2")
        >> ran("R2", "unevaluated", cause=cause) << like(e.RunFinished) << like(e.ClaimJudged, final=False)
        << like(e.GateOpened, kind="unevaluated")
    )


def unevaluated() -> Sim:
    """A factory that asks about a check that could not be evaluated."""
    sim = checking(checks=EXIT)
    sim.give(ran("R1", "unevaluated", because="no pytest", cause="missing-tool"))
    return sim


def test_run_again_runs_again_on_the_same_commit() -> None:
    sim = unevaluated()
    assert (
        Given.after(sim)
        >> i.AnswerGate(gate=sim.gate().gate, option="run-again", by="me")
        << like(e.GateAnswered) << like(e.RunPlanned, run="R2", commit=oid("c", "T1.1")) << like(f.RunCheck, run="R2")
        >> ran("R2") << like(e.RunFinished) << like(e.ClaimJudged, status="proven") << ...
    )


def test_send_back_gives_the_agent_the_report_and_the_persons_words() -> None:
    sim = unevaluated()
    sim.decide_gate("send-back", because="declare pytest as a dependency")
    packet = sim.task().packet
    assert "no pytest" in packet and "declare pytest" in packet
    assert sim.task().live == "T1.2"


def test_give_it_up_ends_the_task_as_failed() -> None:
    sim = unevaluated()
    assert sim.decide_gate("cancel", because="not worth it")[-1] == e.TaskFailed(task=TaskId("T1"), because="not worth it")


def test_retrying_a_task_with_an_unevaluated_check_voids_the_question() -> None:
    sim = unevaluated()
    events = sim.give(i.RetryTask(task=TaskId("T1"), note="use the venv", by="me"))
    assert [e.kind_of(event) for event in events[:2]] == ["gate.voided", "task.retried"]
    assert "use the venv" in sim.until(f.StartSession, attempt="T1.2").prompt


def test_tests_that_pass_on_the_base_and_are_gone_refute_the_change() -> None:
    sim = checking()
    sim.give(ran(change_run(sim), lost_tests=("test_a", "test_b")))
    claim = sim.events(e.ClaimJudged)[-1]
    assert (claim.status, claim.because) == ("refuted", "2 tests of the base no longer pass here: test_a, test_b")
    assert "test_b" in sim.task().packet


def test_a_task_that_may_remove_tests_is_not_compared_with_the_base() -> None:
    sim = Sim()
    sim.add(may_remove_tests=True)
    while not sim.state.runs:
        sim.step()
    assert [run.purpose for run in sim.state.runs.values()] == ["change"]
    sim.give(ran("R1", lost_tests=("test_a",)))
    assert sim.events(e.ClaimJudged)[-1].status == "proven"


def test_a_target_that_is_itself_red_is_a_problem_until_it_is_green() -> None:
    sim = checking()
    sim.give(ran("R1", "fail", because="1 of 3 tests failed"))
    problem = sim.state.problems["target:r0:tests"]
    assert problem.what == "the target itself does not pass tests: 1 of 3 tests failed"
    assert "destroy" not in problem.mend and problem.mend
    sim.give(ran("R2"))
    sim.give(i.TargetSeen(repo=R, oid=oid("mended"), tree=oid("tree", oid("mended"))))
    sim.add("second")
    sim.until(f.ImportWork, attempt="T2.1")
    sim.do(f.ImportWork, attempt="T2.1")
    base = next(run.run for run in sim.state.runs.values() if run.purpose == "baseline")
    sim.give(ran(base))
    assert "target:r0:tests" not in sim.state.problems


def test_a_station_without_checks_proves_nothing_and_asks() -> None:
    sim = Sim(checks={})
    sim.add()
    while not sim.task().gate:
        sim.step()
    assert sim.gate().because == "no check is configured, so nothing can be proven"
    sim.decide_gate("run-again")
    assert sim.gate().kind == "unevaluated", "asking again says the same"


def test_a_station_runs_only_the_checks_that_it_names() -> None:
    stations = (STATIONS[0], Station(name="check", kind="check", checks=("lint", "gone")), *STATIONS[2:])
    sim = checking(checks=BOTH, lines={"build": Line(name="build", stations=stations)})
    assert [run.check for run in sim.state.runs.values()] == ["lint"]


def test_a_proof_is_used_again_for_the_same_tree_and_definition() -> None:
    sim = checking(checks=EXIT)
    sim.give(ran("R1"))
    sim.add("the same content")
    work = sim.until(f.ImportWork, attempt="T2.1")
    events = sim.give(sim.honest_work(work, tree=oid("t", "T1.1")))
    judged = [event for event in events if isinstance(event, e.ClaimJudged) and event.claim == "tests"]
    assert [(claim.status, claim.run) for claim in judged] == [("proven", "R1")]
    assert "same tree, proven by R1" in judged[0].because


def test_a_proof_that_was_compared_with_another_base_is_not_used_again() -> None:
    sim = checking()
    sim.give(ran(change_run(sim)))
    sim.give(i.TargetSeen(repo=R, oid=oid("new"), tree=oid("tree", oid("new"))))
    sim.add("the same content on another base")
    work = sim.until(f.ImportWork, attempt="T2.1")
    events = sim.give(sim.honest_work(work, tree=oid("t", "T1.1")))
    assert [event.purpose for event in events if isinstance(event, e.RunPlanned)] == ["baseline", "change"]


def test_a_known_failure_and_known_lost_tests_of_a_tree_count_for_the_next_task_too() -> None:
    for result, lost in (("fail", ()), ("pass", ("test_a",))):
        sim = checking()
        sim.give(ran(change_run(sim), result, lost_tests=lost))
        sim.add("the same content")
        work = sim.until(f.ImportWork, attempt="T2.1")
        sim.give(sim.honest_work(work, tree=oid("t", "T1.1")))
        assert sim.task("T2").failures[0].failure == "test"


def redefined(sim: Sim, **changes: Any) -> list[e.Event]:
    """New settings, trusted at once."""
    told = loaded(settings(**changes))
    events = sim.give(i.SettingsSeen(repo=R, loaded=told))
    return [*events, *sim.give(i.TrustCommands(repo=R, commands=told.commands))]


def test_a_check_that_is_redefined_while_it_runs_is_run_anew_and_the_old_result_is_not_heard() -> None:
    sim = checking(checks=EXIT)
    events = redefined(sim, checks={"tests": Check(name="tests", run="make other")})
    finished = [(event.run, event.result, event.cause) for event in events if isinstance(event, e.RunFinished)]
    assert finished == [("R1", "unevaluated", "superseded")]
    assert not sim.give(ran("R1")), "the old run says nothing any more"
    effect = next(effect for effect in pending(sim.state, sim.now) if isinstance(effect, f.RunCheck))
    assert (effect.run, effect.check.run) == ("R2", "make other")


def test_setup_and_kept_paths_are_part_of_a_definition() -> None:
    for checkout in (Checkout(setup=("make deps",)), Checkout(keep=("node_modules",))):
        sim = checking(checks=EXIT)
        redefined(sim, checks=EXIT, checkout=checkout)
        assert list(sim.state.runs) == ["R2"]


def test_a_check_that_is_taken_out_of_the_settings_ends_its_run() -> None:
    sim = checking(checks=BOTH)
    redefined(sim, checks=EXIT)
    assert [run.check for run in sim.state.runs.values()] == ["tests"]


def test_the_run_of_a_cancelled_task_is_no_longer_wanted() -> None:
    sim = checking(checks=EXIT)
    events = sim.give(i.CancelTask(task=TaskId("T1"), by="me"))
    assert [event.because for event in events if isinstance(event, e.RunFinished)] == ["T1 has moved on"]
    assert not sim.state.runs


def test_a_result_of_an_unknown_run_changes_nothing() -> None:
    assert Given.after(checking()) >> ran("R99") << nothing


def test_proofs_are_bounded_and_the_oldest_are_forgotten() -> None:
    sim = checking(checks=EXIT)
    sim.give(ran("R1"))
    proof = next(iter(sim.state.proofs.values()))
    many = {f"r0:{n}:d": msgspec.structs.replace(proof, seq=n) for n in range(KEPT_PROOFS)}
    sim.state = msgspec.structs.replace(sim.state, proofs=Map(many))
    sim.do(f.MergeCandidate)
    sim.do(f.RunCheck)
    assert len(sim.state.proofs) == KEPT_PROOFS // 2 + 1
    assert f"r0:{KEPT_PROOFS - 1}:d" in sim.state.proofs and "r0:0:d" not in sim.state.proofs
