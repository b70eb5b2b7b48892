"""Cheap checks first; a result is used again for the same tree, definition and base; what judges is another definition."""

from typing import Any

import pytest

from andon.core.stations import check as station, compared
from andon.schema import effects as f, events as e, inputs as i
from andon.schema.ids import Digest, RepoId, RunId
from andon.schema.settings import Check, Policy
from core.sim import Sim, loaded, oid, settings

R = RepoId("r0")
FAST, SLOW = Check(name="zfast", run="lint", stage=1), Check(name="slow", run="test", stage=7)
STAGED = {"slow": SLOW, "zfast": FAST}
LINT = Check(name="lint", run="lint", report="sarif", baseline=True)
GUARDED = Check(name="tests", run="test", protect=("tests/**",))


def checking(**changes: Any) -> Sim:
    """A factory whose one change is at its checks."""
    sim = Sim(**changes)
    sim.add()
    while not sim.state.runs:
        sim.step()
    return sim


def ran(run: str, result: Any = "pass", **fields: Any) -> i.CheckRan:
    return i.CheckRan(run=RunId(run), result=result, because=f"it says {result}", **fields)


def running(sim: Sim) -> list[str]:
    return [f"{run.purpose} {run.check}" for _, run in sorted(sim.state.runs.items(), key=lambda item: int(item[0][1:]))]


# --- stages --------------------------------------------------------------------------------------------------------------


def test_a_heavier_check_starts_only_when_all_earlier_stages_hold() -> None:
    sim = checking(checks=STAGED)
    assert running(sim) == ["change zfast"]
    sim.give(ran("R1"))
    assert running(sim) == ["change slow"]
    sim.give(ran("R2"))
    assert sim.task().station == "land"


def test_a_cheap_failure_goes_back_before_anything_heavy_ran() -> None:
    sim = checking(checks=STAGED)
    sim.give(ran("R1", "fail"))
    assert not sim.state.runs and sim.task().live == "T1.2"
    assert not [event for event in sim.events(e.RunPlanned) if event.check == "slow"]


def test_a_cheap_check_that_cannot_say_asks_before_anything_heavy_ran() -> None:
    sim = checking(checks=STAGED)
    sim.give(ran("R1", "unevaluated", cause="missing-tool"))
    assert sim.gate().kind == "unevaluated" and not sim.state.runs
    sim.decide_gate("run-again")
    sim.give(ran("R2"))
    assert running(sim) == ["change slow"]


def test_checks_of_one_stage_run_beside_each_other() -> None:
    sim = checking(checks={"a": Check(name="a", run="a"), "b": Check(name="b", run="b")})
    assert running(sim) == ["change a", "change b"]


@pytest.mark.parametrize("result", ["pass", "fail", "unevaluated"])
def test_a_merged_tree_is_proven_stage_by_stage_too(result: str) -> None:
    sim = checking(checks=STAGED, policy=Policy(ship=("**",), walls="none"))
    sim.give(ran("R1"))
    sim.give(ran("R2"))
    sim.do(f.MergeCandidate)
    assert running(sim) == ["landing zfast"]
    sim.give(ran("R3", result, cause="missing-tool" if result == "unevaluated" else ""))
    heavy = [name for name in running(sim) if name.endswith("slow")]
    assert heavy == (["landing slow"] if result == "pass" else [])
    judged = [event.result for event in sim.events(e.LandingJudged)]
    assert judged == ([] if result == "pass" else [result])


# --- used again ------------------------------------------------------------------------------------------------------------


def test_the_second_run_of_the_same_tree_is_a_hit_with_the_same_claims() -> None:
    sim = checking(checks=STAGED)
    sim.give(ran("R1"))
    sim.give(ran("R2"))
    sim.add("the same content")
    work = sim.until(f.ImportWork, attempt="T2.1")
    events = sim.give(sim.honest_work(work, tree=oid("t", "T1.1")))
    judged = [event for event in events if isinstance(event, e.ClaimJudged) and event.run]
    assert [(claim.claim, claim.status, claim.run) for claim in judged] == [("zfast", "proven", "R1"), ("slow", "proven", "R2")]
    assert not [event for event in events if isinstance(event, e.RunPlanned)]


def test_when_a_check_starts_is_no_part_of_what_it_is() -> None:
    def digest(**changes: Any) -> Digest:
        return station.definition_of(Check(name="a", run="a", **changes), settings())

    assert digest(stage=1) == digest(stage=9)
    other = [digest(**{name: value}) for name, value in (
        ("baseline", True), ("fail_on", "note"), ("minimum", 1.0), ("minimum_changed", 1.0), ("inputs", ("a",)),
        ("protect", ("a",)), ("own_too", False), ("allow", "b"), ("max_age_days", 1), ("use", "secrets"))]
    assert len({digest(), *other}) == len(other) + 1


@pytest.mark.parametrize("check", [
    LINT, GUARDED, Check(name="cover", run="x", report="lcov"), Check(name="keys", run="", use="secrets", report="sarif")])
def test_a_result_against_another_base_is_not_used_again(check: Check) -> None:
    sim = checking(checks={check.name: check})
    for run in list(sim.state.runs):
        sim.give(ran(run, names=Digest("n" * 64)))
    sim.give(i.TargetSeen(repo=R, oid=oid("new"), tree=oid("tree", oid("new"))))
    sim.add("the same content on another base")
    work = sim.until(f.ImportWork, attempt="T2.1")
    events = sim.give(sim.honest_work(work, tree=oid("t", "T1.1")))
    assert "change" in [event.purpose for event in events if isinstance(event, e.RunPlanned)]


# --- the base ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("check", [LINT, Check(name="cover", run="x", report="cobertura")])
def test_the_base_is_run_first_and_what_it_kept_goes_with_the_change(check: Check) -> None:
    sim = checking(checks={check.name: check})
    assert running(sim) == [f"baseline {check.name}", f"change {check.name}"]
    (first,) = [effect for effect in sim.owed() if isinstance(effect, f.RunCheck)]
    assert (first.run, first.base) == ("R1", "")
    sim.give(ran("R1", "fail", names=Digest("n" * 64)))
    effect = sim.until(f.RunCheck)
    assert (effect.run, effect.base_names, effect.base) == ("R2", "n" * 64, sim.trunk[R])
    assert effect.base_tree == oid("tree", sim.trunk[R])


def test_without_a_baseline_findings_of_the_base_are_not_asked_for() -> None:
    sim = checking(checks={"lint": Check(name="lint", run="lint", report="sarif")})
    assert running(sim) == ["change lint"]


def test_a_landing_is_compared_with_the_target_as_it_is_now() -> None:
    sim = checking(checks={"lint": LINT})
    sim.give(ran("R1", names=Digest("n" * 64)))
    sim.give(ran("R2"))
    moved = oid("moved")
    sim.trunk[R] = moved
    sim.give(i.TargetSeen(repo=R, oid=moved, tree=oid("tree", moved)))
    sim.do(f.MergeCandidate)
    assert running(sim) == ["baseline lint", "landing lint"]
    sim.give(ran("R3", names=Digest("m" * 64)))
    effect = sim.until(f.RunCheck)
    assert (effect.run, effect.base, effect.base_names) == ("R4", moved, "m" * 64)
    sim.give(ran("R4"))
    sim.do(f.MoveTarget)
    assert sim.events(e.TaskLanded)


# --- protected paths -----------------------------------------------------------------------------------------------------------


def test_a_change_is_run_with_protected_paths_and_a_landing_as_it_stands() -> None:
    sim = checking(checks={"tests": GUARDED})
    effect = sim.until(f.RunCheck)
    assert (effect.check.protect, effect.base) == (("tests/**",), sim.trunk[R])
    sim.give(ran(effect.run))
    landing = sim.until(f.RunCheck, landing=True)
    assert landing.check.protect == () and landing.definition != effect.definition


def test_a_proof_of_a_tree_as_it_stands_is_none_of_a_change_with_protected_paths() -> None:
    sim = checking(checks={"tests": GUARDED})
    tree = oid("t", "T1.1")
    bare = station.definition_of(compared.as_it_stands(GUARDED), settings())
    sim.give(ran("R1"))
    known = {key for key in sim.state.proofs if key.startswith(f"r0:{tree}")}
    assert len(known) == 1 and not any(bare in key for key in known)


def test_a_task_that_may_remove_tests_is_judged_by_its_own() -> None:
    sim = Sim(checks={"tests": GUARDED})
    sim.add(may_remove_tests=True)
    assert sim.until(f.RunCheck).check.protect == ()


def test_new_settings_of_protected_paths_end_the_old_run() -> None:
    sim = checking(checks={"tests": GUARDED})
    told = loaded(settings(checks={"tests": Check(name="tests", run="test", protect=("tests/**", "conftest.py"))}))
    events = [*sim.give(i.SettingsSeen(repo=R, loaded=told)), *sim.give(i.TrustCommands(repo=R, commands=told.commands))]
    assert [event.cause for event in events if isinstance(event, e.RunFinished)] == ["superseded"]
    assert list(sim.state.runs) == ["R2"]


# --- rules -----------------------------------------------------------------------------------------------------------------------


def test_the_rules_that_must_name_something_are_part_of_the_definition_and_of_the_run() -> None:
    rules = Check(name="rules", run="", use="rules")
    sim = checking(checks={"rules": rules, "tests": GUARDED}, policy=Policy(ship=("docs/**",), walls="none"))
    effect = sim.until(f.RunCheck, check=rules)
    assert effect.rules == (("policy.ship", "docs/**"), ("checks.tests.protect", "tests/**"))
    less = settings(checks={"rules": rules}, policy=Policy(ship=("docs/**",), walls="none"))
    assert station.definition_of(rules, less) != effect.definition
