"""A station closes only with the claims that it asks for: proven, for exactly this change, and fresh. An agent's word is none."""

from itertools import pairwise
from typing import Any

import msgspec
import pytest
from immutables import Map

from andon.core import catalogue
from andon.core.pending import pending
from andon.core.queue.standing import checks_of_line
from andon.schema import effects as f, events as e, inputs as i, views
from andon.schema.ids import AttemptId, Digest, RepoId, TaskId
from andon.schema.jobs import Said
from andon.schema.settings import Check, ClaimType, Line, Settings, Station
from core.sim import Sim, loaded, settings

CHECKS = {name: Check(name=name, run=f"make {name}") for name in ("tests", "security", "api")}
T1 = TaskId("T1")


def claims(**more: ClaimType) -> dict[str, ClaimType]:
    """A small catalogue."""
    known = {
        "branch": ClaimType(name="branch", producer="daemon:work"),
        "unit": ClaimType(name="unit", producer="checks.tests", requires=("branch",)),
        "security": ClaimType(name="security", producer="checks.security", requires=("branch",)),
        "sign-off": ClaimType(name="sign-off", producer="station:review", requires=("unit", "security")),
        "integration": ClaimType(name="integration", producer="daemon:merge", requires=("sign-off",)),
        **more,
    }
    return known


def stations(**asked: tuple[str, ...]) -> dict[str, Any]:
    """A line whose stations ask for these claims; its own checks are the tests alone."""
    kinds: dict[str, dict[str, Any]] = {
        "build": {"kind": "agent"}, "check": {"kind": "check", "checks": ("tests",)}, "review": {"kind": "gate", "when": "always"},
        "land": {"kind": "land"},
    }
    made = tuple(Station(name=name, claims=asked.get(name, ()), **kind) for name, kind in kinds.items())
    return {"checks": CHECKS, "claims": claims(), "lines": {"build": Line(name="build", stations=made)}}


def until(sim: Sim, station: str, limit: int = 200) -> None:
    """Step until the task stands there and nothing but a person moves it on."""
    for _ in range(limit):
        if sim.state.tasks[T1].station == station and not sim.state.runs:
            return
        assert sim.step(), f"at rest at {sim.state.tasks[T1].station}"
    raise AssertionError(sim.state.tasks[T1].station)


def ran(sim: Sim) -> list[str]:
    """The checks that were run for the change, in order."""
    return [one.event.check for one in sim.log if isinstance(one.event, e.RunPlanned) and one.event.purpose == "change"]


def steps(sim: Sim) -> dict[str, str]:
    """How each claim stands, in order."""
    return {step.claim: step.status for step in catalogue.view(sim.state, sim.state.tasks[T1])}


def approve(sim: Sim) -> list[e.Event]:
    """A person says yes."""
    gate = sim.state.gates[sim.state.tasks[T1].gate]
    return sim.give(i.AnswerGate(gate=gate.gate, option="approve", bound=gate.bound, by="me"))


def test_without_claims_a_line_is_as_it_was() -> None:
    plain, asked = Sim(checks=CHECKS), Sim(checks=CHECKS, claims=claims())
    for sim in (plain, asked):
        sim.add()
        sim.run()
    kinds = [[type(one.event).__name__ for one in sim.log] for sim in (plain, asked)]
    assert kinds[0] == kinds[1] and steps(asked) == {}


def test_a_check_that_a_station_claims_is_run_there_though_the_station_names_others() -> None:
    sim = Sim(**stations(check=("security",)))
    sim.add()
    until(sim, "review")
    assert ran(sim) == ["tests", "security"] and steps(sim) == {"branch": "proven", "security": "proven"}


def test_a_claimed_check_that_fails_keeps_the_station_and_goes_back() -> None:
    sim = Sim(**stations(check=("security",)))
    sim.check = lambda effect: i.CheckRan(
        run=effect.run, result="fail" if effect.check.name == "security" else "pass", because="a key in the code")
    sim.add()
    while not any(isinstance(one.event, e.RetryScheduled) for one in sim.log):
        assert sim.step()
    assert sim.state.tasks[T1].station in ("", "build", "check")
    assert not any(isinstance(one.event, e.TaskEntered) and one.event.station == "review" for one in sim.log)


def test_removing_what_produces_a_claim_blocks_the_station_at_a_gate() -> None:
    sim = Sim(**stations(check=("security",)))
    sim.check = lambda effect: i.CheckRan(run=effect.run, result="unevaluated", because="no scanner", cause="missing-tool") if (
        effect.check.name == "security") else i.CheckRan(run=effect.run, result="pass", because="ok", names=Digest("n" * 64))
    sim.add()
    while not sim.state.tasks[T1].gate:
        assert sim.step()
    gate = sim.state.gates[sim.state.tasks[T1].gate]
    assert gate.kind == "unevaluated" and "no scanner" in gate.because and sim.state.tasks[T1].station == "check"


def test_before_a_gate_asks_what_it_claims_is_produced_so_that_the_person_sees_it() -> None:
    sim = Sim(**stations(review=("sign-off",)))
    sim.add()
    until(sim, "review")
    while not sim.state.gates:
        assert sim.step()
    assert ran(sim) == ["tests", "security"]
    assert steps(sim) == {"branch": "proven", "unit": "proven", "security": "proven", "sign-off": "open"}
    approve(sim)
    sim.run()
    assert sim.state.tasks[T1].landed if T1 in sim.state.tasks else sim.state.past[T1].landed


def test_a_gate_that_lets_a_change_by_unasked_does_not_close_without_its_own_claim() -> None:
    made = stations(review=("sign-off",))
    lets_by = tuple(Station(name=one.name, kind=one.kind, checks=one.checks, claims=one.claims)
                    for one in made["lines"]["build"].stations)
    sim = Sim(**{**made, "lines": {"build": Line(name="build", stations=lets_by)}})
    sim.add()
    until(sim, "review")
    while not sim.state.tasks[T1].gate:
        assert sim.step()
    gate = sim.state.gates[sim.state.tasks[T1].gate]
    assert "sign-off (by station:review) is open" in gate.because and not sim.state.tasks[T1].landed


def test_landing_waits_for_the_claims_it_asks_for_and_proves_its_own() -> None:
    sim = Sim(**stations(land=("security", "integration")))
    sim.add()
    until(sim, "review")
    while not sim.state.gates:
        assert sim.step()
    approve(sim)
    assert sim.state.tasks[T1].station == "land" and ran(sim)[-1] == "security" and not sim.state.landings
    last = sim.state.tasks[T1]
    while T1 in sim.state.tasks and not sim.state.tasks[T1].over:
        assert sim.step()
        last = sim.state.tasks.get(T1, last)
    found = {step.claim: step.status for step in catalogue.view(sim.state, last)}
    assert last.landed and found["integration"] == "proven" and found["sign-off"] == "proven", found


def test_what_a_claim_is_produced_by_is_run_on_the_merged_tree_too() -> None:
    sim = Sim(**stations(review=("security",)))
    sim.add()
    assert {check.name for check in checks_of_line(sim.state, sim.state.tasks[T1])} == {"tests", "security"}


def test_a_claim_that_counts_for_hours_is_run_again_when_it_is_older_and_only_then() -> None:
    made = stations(review=("fresh",))
    made["claims"]["fresh"] = ClaimType(name="fresh", producer="checks.security", fresh="hours", hours=24.0)
    sim = Sim(**made)
    sim.add()
    until(sim, "review")
    while not sim.state.gates:
        assert sim.step()
    assert ran(sim).count("security") == 1
    sim.now += 23 * 3_600_000
    sim.give(i.Ticked())
    assert ran(sim).count("security") == 1
    sim.now += 2 * 3_600_000
    events = approve(sim)
    assert [event.check for event in events if isinstance(event, e.RunPlanned)] == ["security"]
    assert steps(sim) == {"fresh": "stale"} and sim.state.tasks[T1].station == "review"
    [effect] = [one for one in pending(sim.state, sim.now) if isinstance(one, f.RunCheck)]
    events = sim.give(i.CheckRan(run=effect.run, result="pass", because="clean", names=Digest("n" * 64)))
    assert any(isinstance(event, e.TaskEntered) and event.station == "land" for event in events)


def test_a_claim_that_rests_on_an_older_run_of_the_same_tree_is_as_old_as_that_run() -> None:
    made = stations(review=("fresh",))
    made["claims"]["fresh"] = ClaimType(name="fresh", producer="checks.security", fresh="hours", hours=24.0)
    sim = Sim(**made)
    sim.add()
    until(sim, "review")
    while not sim.state.gates:
        assert sim.step()
    older = {key: msgspec.structs.replace(proof, at=1) for key, proof in sim.state.proofs.items()}
    sim.now += 25 * 3_600_000
    judged = tuple(msgspec.structs.replace(claim, at=sim.now) for claim in sim.state.tasks[T1].claims)
    task = msgspec.structs.replace(sim.state.tasks[T1], claims=judged)
    sim.state = msgspec.structs.replace(sim.state, proofs=Map(older), tasks=sim.state.tasks.set(T1, task))
    assert [stand[0] for _, stand in catalogue.open_at(sim.state, task, made["lines"]["build"].stations[2], sim.now)] == ["stale"]


def test_an_agent_that_says_so_is_shown_as_asserted_and_closes_nothing() -> None:
    junit = {**CHECKS, "api": Check(name="api", run="x {report}", report="junit")}
    made = stations(review=("said",))
    made["claims"]["said"] = ClaimType(name="said", producer="checks.api")
    sim = Sim(**{**made, "checks": junit})
    sim.add()
    while "T1.1" not in sim.state.attempts or sim.state.attempts[AttemptId("T1.1")].phase != "running":
        assert sim.step()
    sim.give(i.AgentSaid(attempt=AttemptId("T1.1"), said=Said(n=1, kind="finished", text="All tests pass.")))
    while not sim.state.runs:
        assert sim.step()
    assert steps(sim) == {"said": "asserted"}
    sim.check = lambda effect: i.CheckRan(run=effect.run, result="fail" if effect.check.name == "api" else "pass", because="3 gone",
                                          names=Digest("n" * 64))
    while not any(isinstance(one.event, e.RetryScheduled) for one in sim.log):
        assert sim.step()
    assert not sim.state.gates


def test_a_claim_refuted_by_the_daemon_itself_is_asked_about() -> None:
    made = stations(check=("scope",))
    made["claims"]["scope"] = ClaimType(name="scope", producer="daemon:scope")
    sim = Sim(**made)
    sim.add(paths=())
    while not sim.state.tasks[T1].claims:
        assert sim.step()
    work = sim.state.tasks[T1].work
    assert work is not None
    judged = e.ClaimJudged(task=T1, commit=work.commit, claim="scope", status="refuted", because="it touches docs/")
    from andon.core.evolve import evolve

    sim.state = evolve(sim.state, judged, sim.now)
    while not sim.state.tasks[T1].gate:
        assert sim.step()
    assert "scope (by daemon:scope) is refuted: it touches docs/" in sim.state.gates[sim.state.tasks[T1].gate].because


def test_a_change_of_the_settings_that_asks_for_more_keeps_what_stands_at_the_station() -> None:
    sim = Sim(**stations(review=("sign-off",)))
    sim.add()
    until(sim, "review")
    while not sim.state.gates:
        assert sim.step()
    more = stations(review=("sign-off", "late"))
    more["claims"]["late"] = ClaimType(name="late", producer="checks.api")
    sim.give(i.SettingsSeen(repo=RepoId("r0"), loaded=loaded(settings(**more))))
    events = approve(sim)
    planned = [event.check for event in events if isinstance(event, e.RunPlanned)]
    assert planned == ["api"] and sim.state.tasks[T1].station == "review"


@pytest.mark.parametrize("seed", range(4))
def test_a_full_run_yields_each_step_in_order_with_its_producer(seed: int) -> None:
    sim = Sim(seed=seed, **stations(build=("branch",), check=("unit", "security"), review=("sign-off",), land=("integration",)))
    sim.add()
    seen: list[tuple[str, ...]] = []
    last: tuple[views.ClaimStep, ...] = ()
    for _ in range(400):
        task = sim.state.tasks.get(T1)
        if task is None or task.over:
            break
        last = catalogue.view(sim.state, task)
        seen.append(tuple(step.claim for step in last if step.status == "proven"))
        if sim.state.tasks[T1].gate:
            approve(sim)
        elif not sim.step():
            break
    assert [(step.claim, step.producer, step.station) for step in last] == [
        ("branch", "daemon:work", "build"), ("unit", "checks.tests", "check"), ("security", "checks.security", "check"),
        ("sign-off", "station:review", "review"), ("integration", "daemon:merge", "land")]
    assert len(seen[-1]) >= 4 and all(set(before) <= set(after) for before, after in pairwise(seen))


def test_settings_without_claims_mean_what_they_meant() -> None:
    assert Settings().claims == {} and Station(name="a", kind="gate").claims == ()
