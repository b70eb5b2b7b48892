"""Whose yes counts for a change that stops: a key that signed, one for each role, never twice, and only for exactly this change."""

from typing import Any

import msgspec
import pytest

from andon.core import approvals
from andon.core.evolve import evolve, replay
from andon.core.image import freeze, thaw
from andon.core.refuse import refuse
from andon.core.state import Consent, Gate, State, station_of
from andon.core.stations import gate as gate_station
from andon.schema import approval, events as e, inputs as i
from andon.schema.ids import Digest, TaskId
from andon.schema.settings import FactorySettings, Line, Operator, Policy, Station
from core.playbook import Given, like, nothing
from core.sim import STATIONS, Sim, loaded, settings

PEOPLE = {"ana": ("owner", "security"), "ben": ("owner",), "cem": ("security",)}


def stopped(people: dict[str, tuple[str, ...]] | None = None, seed: str = "chance", **policy: Any) -> Sim:
    """A factory whose one change stops at its gate."""
    known = PEOPLE if people is None else people
    stations = (*STATIONS[:2], Station(name="review", kind="gate"), STATIONS[3])
    sim = Sim(lines={"build": Line(name="build", stations=stations)},
              policy=Policy(ship=("**",), stop=("src/**",), walls="none", **policy))
    sim.give(i.DaemonStarted(version="1", pid=1, boot="b", seed=seed))
    sim.give(i.PersonSettingsSeen(settings=FactorySettings(operators=known, signers=tuple(known))))
    sim.add(title="paint it")
    while not sim.task().gate:
        sim.step()
    return sim


def by(name: str, role: str = "", key: str = "") -> e.Approver:
    return e.Approver(name=name, role=role, key=key or f"SHA256:{name}", envelope=Digest(name[:1] * 64))


def yes(gate: Gate, who: e.Approver | None = None) -> i.AnswerGate:
    return i.AnswerGate(gate=gate.gate, option="approve", bound=gate.bound, by="me", approver=who)


def why_not(sim: Sim, command: i.Command) -> str:
    problem = refuse(sim.state, command)
    assert problem is not None and problem.mend, command
    return problem.what


def test_a_change_that_stops_is_not_approved_without_a_signature_and_can_be_refused_and_given_up() -> None:
    sim = stopped()
    gate = sim.gate()
    assert (gate.risk, gate.keys, gate.roles) == ("stop", 1, ())
    assert "only with a person's signature" in why_not(sim, yes(gate))
    assert "only with a person's signature" in why_not(sim, yes(gate, e.Approver(name="me")))
    for option in ("reject", "cancel"):
        assert refuse(sim.state, msgspec.structs.replace(yes(gate), option=option, because="no")) is None


def test_one_signed_yes_lands_and_the_task_knows_its_envelope() -> None:
    sim = stopped()
    gate, ana = sim.gate(), by("ana", "owner")
    assert (
        Given.after(sim) >> yes(gate, ana)
        << e.GateApproved(gate=gate.gate, approver=ana, bound=gate.bound, by="me")
        << like(e.GateAnswered, option="approve", approver=ana, approvals=(ana.envelope,))
        << like(e.TaskEntered, station="land") << ...
    )
    sim.give(yes(gate, ana))
    assert sim.task().approvals == (ana.envelope,)


def test_an_approval_of_a_change_that_does_not_stop_needs_no_key_but_where_the_person_here_has_one() -> None:
    sim = Sim(policy=Policy(walls="none"))
    sim.add()
    while not sim.task().gate:
        sim.step()
    gate = sim.gate()
    assert gate.keys == 0 and refuse(sim.state, yes(gate, e.Approver(name="me", envelope=Digest("e")))) is None
    sim.give(i.PersonSettingsSeen(settings=FactorySettings(operator=Operator(name="ana", key="~/k.pub"), signers=("ana",))))
    assert "ana signs approvals, and this one is not signed" in why_not(sim, yes(gate, e.Approver(name="me")))
    assert refuse(sim.state, yes(gate, by("ana"))) is None


def test_roles_and_keys_are_counted_once_each_and_all_are_needed() -> None:
    sim = stopped(stop_roles=("security", "owner"))
    gate = sim.gate()
    assert (gate.keys, approvals.missing(gate)) == (2, ("role security", "role owner"))
    sim.give(yes(gate, by("ana", "security")))
    gate = sim.gate()
    assert approvals.missing(gate) == ("role owner",) and not sim.task().approved
    assert "ana has approved G1 already" in why_not(sim, yes(gate, by("ana", "owner")))
    assert "ana has approved G1 already" in why_not(sim, yes(gate, by("ana", "owner", key="SHA256:another of hers")))
    assert "this key has approved G1 already, for ana" in why_not(sim, yes(gate, by("ben", "owner", key="SHA256:ana")))
    assert "ben has not the role security" in why_not(sim, yes(gate, by("ben", "security")))
    assert "cem as security is not who G1 waits for" in why_not(sim, yes(gate, by("cem", "security")))
    assert Given.after(sim) >> yes(gate, by("cem", "security")) << nothing
    sim.give(yes(gate, by("ben", "owner")))
    assert sim.task().approvals == (Digest("a" * 64), Digest("b" * 64))
    assert sim.task().consent and {one.role for one in sim.task().consent.approvers} == {"security", "owner"}  # type: ignore[union-attr]


def test_further_keys_may_be_anybodys_but_not_before_the_roles_have_room() -> None:
    sim = stopped(stop_roles=("security",), stop_keys=2)
    sim.give(yes(sim.gate(), by("ben", "owner")))
    assert approvals.missing(sim.gate()) == ("role security",)
    assert "is not who G1 waits for" in why_not(sim, yes(sim.gate(), by("ana", "owner")))
    sim.give(yes(sim.gate(), by("cem", "security")))
    assert len(sim.task().approvals) == 2


def test_a_changed_diff_voids_what_was_approved_so_far() -> None:
    sim = stopped(stop_keys=2)
    sim.give(yes(sim.gate(), by("ana")))
    old = sim.gate()
    assert old.approvals
    more = msgspec.structs.replace(sim.events(e.ClaimJudged)[-1], status="proven", claim="more")
    sim.state = evolve(sim.state, more, sim.now)
    sim.give(i.Ticked())
    new = sim.gate()
    assert new.gate != old.gate and new.nonce != old.nonce and new.approvals == ()
    assert f"{old.gate} is not open: it is void" in why_not(sim, yes(old, by("ben")))


def test_a_policy_that_asks_for_more_than_before_asks_again() -> None:
    sim = stopped()
    asked = Policy(ship=("**",), stop=("src/**",), walls="none", stop_roles=("security",))
    repo = sim.state.repos[sim.task().repo]
    stricter = msgspec.structs.replace(repo.settings, policy=asked)
    first = sim.gate().gate
    assert (
        Given.after(sim) >> i.SettingsSeen(repo=repo.repo, loaded=loaded(stricter))
        << like(e.SettingsActivated) << like(e.GateVoided, gate=first, because=lambda told: "other approvals" in told)
        << like(e.GateOpened, roles=("security",), keys=1) << ...
    )


def test_what_was_approved_under_a_weaker_policy_does_not_pass_under_a_stricter_one() -> None:
    sim = stopped(stop_keys=2)
    for who in ("ana", "ben"):
        sim.give(yes(sim.gate(), by(who)))
    task = sim.task()
    assert approvals.stands(sim.state, task)
    repo = sim.state.repos[task.repo]
    for changes in ({"stop_keys": 3}, {"stop_roles": ("auditor",)}):
        more = msgspec.structs.replace(repo.settings, policy=msgspec.structs.replace(repo.settings.policy, **changes))
        sim.give(i.SettingsSeen(repo=repo.repo, loaded=loaded(more)))
        assert not approvals.stands(sim.state, sim.state.tasks[task.task]), changes


def test_an_approval_that_nobody_signed_does_not_open_a_gate_that_asks_for_keys() -> None:
    sim = stopped()
    task = msgspec.structs.replace(sim.task(), gate="", approved=sim.gate().bound)
    station = station_of(sim.state, task)
    assert station is not None and not gate_station.passed(sim.state, task, station)
    consent = Consent(commit=sim.gate().commit, walls="none", approvers=(by("ana"),))
    assert gate_station.passed(sim.state, msgspec.structs.replace(task, consent=consent), station)


@pytest.mark.parametrize(("people", "policy", "what"), [
    ({"ben": ("owner",)}, {"stop_roles": ("security",)}, "nobody with a key has the role security"),
    ({"ana": ("security",)}, {"stop_keys": 2}, "it asks for 2 keys of different persons, 1 could sign"),
    ({"ana": ("security", "owner")}, {"stop_roles": ("security", "owner")}, "1 could sign"),
])
def test_a_gate_that_nobody_could_approve_says_so_and_is_a_problem_until_somebody_can(
    people: dict[str, tuple[str, ...]], policy: dict[str, Any], what: str,
) -> None:
    sim = stopped(people, **policy)
    gate = sim.gate()
    told = sim.state.problems[f"approvers:{gate.gate}"]
    assert what in told.what and told.mend and told.task == "T1"
    assert what in why_not(sim, yes(gate, by(next(iter(people)), next(iter(people.values()))[0])))
    sim.give(i.PersonSettingsSeen(settings=FactorySettings(operators=PEOPLE, signers=tuple(PEOPLE))))
    assert f"approvers:{gate.gate}" not in sim.state.problems
    assert sim.gate().gate == gate.gate, "and it is the same question"


def test_a_role_without_a_key_is_no_member() -> None:
    factory = FactorySettings(operators=PEOPLE, signers=("ben",))
    assert approvals.members(factory, "owner") == ["ben"] and approvals.members(factory, "security") == []


def test_the_second_answer_is_told_what_the_first_was_and_through_whom_after_a_snapshot_too() -> None:
    sim = stopped()
    gate = sim.gate()
    sim.give(yes(gate, by("ana")))
    sim.now += 5_000
    sim.give(i.Ticked())
    told = "G1 is not open: it was answered with approve by ana"
    assert told in why_not(sim, yes(gate, by("ben")))
    assert Given.after(sim) >> yes(gate, by("ben")) << nothing
    again = thaw(freeze(sim.state))
    assert again is not None
    problem = refuse(again, yes(gate, by("ben")))
    assert problem is not None and told in problem.what
    assert replay(State(), sim.log) == sim.state


def test_nonces_come_from_chance_and_differ_by_gate_and_ledger() -> None:
    one, two = stopped(seed="a"), stopped(seed="b")
    assert one.gate().nonce and one.gate().nonce != two.gate().nonce
    assert one.gate().nonce == approval.nonce("a", "G1") != approval.nonce("a", "G2")
    assert approval.nonce("", "G1") == ""


def test_a_question_of_an_earlier_release_is_asked_again_so_that_it_can_be_signed() -> None:
    sim = stopped(seed="")
    assert sim.gate().nonce == ""
    sim.give(i.DaemonStarted(version="2", pid=2, boot="b", seed="chance"))
    assert sim.gate().gate == "G2" and sim.gate().nonce


def test_a_gate_of_the_queue_asks_for_no_less_than_the_one_before() -> None:
    sim = stopped(stop_keys=2)
    for who in ("ana", "ben"):
        sim.give(yes(sim.gate(), by(who)))
    from andon.core import review

    opened = review.of(sim.state, sim.state.tasks[TaskId("T1")], risk="review", because="weak walls", told="none")
    assert (opened.risk, opened.keys) == ("stop", 2)


def test_settings_without_stops_ask_for_nothing() -> None:
    sim = Sim()
    sim.add()
    sim.run()
    assert approvals.needs(sim.state, sim.task()) == ((), 0) and settings().policy.stop_keys == 1
