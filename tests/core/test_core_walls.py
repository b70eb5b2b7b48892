"""Below the walls that the policy asks for nothing lands without a person, whatever was weak: agent, check or merged proof."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from andon.core.pending import pending
from andon.core.policy import bound_of
from andon.core.project import project
from andon.core.refuse import refuse
from andon.schema import effects as f, events as e, inputs as i, views as v
from andon.schema.ids import AttemptId, Digest, RepoId, TaskId
from andon.schema.jobs import Exit
from andon.schema.sandbox import Known, Level, Reached
from andon.schema.settings import Check, Line, Policy, Queue, Settings, Station, Walls
from core.playbook import Given, like
from core.sim import STATIONS, Sim, loaded, oid, settings

R = RepoId("r0")
SHIP = Policy(ship=("**",))
NO_GATE = {"build": Line(name="build", stations=(STATIONS[0], STATIONS[1], STATIONS[3]))}


class Ground(Sim):
    """A factory whose machine gives walls of a level that a test turns."""

    def __init__(self, **changes: Any) -> None:
        self.agent: Known = "strict"
        self.change: Known = "strict"
        self.merge_run: Known = "strict"
        super().__init__(**{"policy": SHIP, **changes})

    def answer(self, effect: f.Effect) -> i.Input:
        given = super().answer(effect)
        if isinstance(given, i.SessionStarted):
            return msgspec.structs.replace(given, walls=self.agent)
        if isinstance(given, i.CheckRan) and isinstance(effect, f.RunCheck):
            return msgspec.structs.replace(given, walls=self.merge_run if effect.landing else self.change)
        return given

    def card(self, name: str = "T1") -> v.TaskView:
        view = project(self.state, {}, tuple(self.state.tasks.values()))[f"task:{name}"]
        assert isinstance(view, v.TaskView)
        return view

    def landed(self) -> list[str]:
        return [event.task for event in self.events(e.TaskLanded)]


def at_rest(turn: Callable[[Ground], None] = lambda _: None, **changes: Any) -> Ground:
    sim = Ground(**changes)
    turn(sim)
    sim.add()
    sim.run()
    return sim


def test_a_change_that_ships_lands_by_itself_when_all_of_it_came_about_within_strict_walls() -> None:
    sim = at_rest()
    assert sim.landed() == ["T1"] and not sim.events(e.GateOpened) and sim.card().walls == "strict"
    claims = {claim.claim: claim.walls for claim in sim.card().claims}
    assert claims == {"work": "", "tests": "strict", "tests@merge": "strict"}


@pytest.mark.parametrize("level", ["partial", "none", ""])
@pytest.mark.parametrize(("part", "says"), [("agent", "built within walls"), ("change", "proven (tests) within walls")])
def test_a_weak_part_makes_it_a_persons_and_the_gate_says_which(part: str, says: str, level: Known) -> None:
    sim = at_rest(lambda sim: setattr(sim, part, level))
    gate = sim.gate()
    assert (gate.kind, gate.station, gate.risk, gate.walls) == ("review", "review", "review", level) and not sim.landed()
    assert gate.because.startswith(says) and gate.because.endswith("[policy] walls asks for strict")
    assert ("not known" in gate.because) == (level == "")
    assert sim.card().walls == (level or "unknown")
    sim.decide_gate("approve")
    sim.run()
    assert sim.landed() == ["T1"]


@pytest.mark.parametrize(("least", "level", "lands"), [
    ("none", "none", True), ("none", "", True), ("partial", "partial", True), ("partial", "none", False), ("partial", "", False),
    ("strict", "partial", False),
])
def test_the_policy_says_how_strong_they_must_be(least: Level, level: Known, lands: bool) -> None:
    def turn(sim: Ground) -> None:
        sim.agent = sim.change = sim.merge_run = level

    assert bool(at_rest(turn, policy=Policy(ship=("**",), walls=least)).landed()) == lands


def test_a_gate_station_that_never_asks_asks_about_weak_walls_and_a_stop_stays_one() -> None:
    quiet = {"build": Line(name="build", stations=(*STATIONS[:2], Station(name="review", kind="gate", when="never"), STATIONS[3]))}
    assert at_rest(lines=quiet).landed() == ["T1"]
    assert at_rest(lambda sim: setattr(sim, "agent", "none"), lines=quiet).gate().risk == "review"
    stopped = at_rest(lambda sim: setattr(sim, "agent", "none"), policy=Policy(stop=("src/**",))).gate()
    assert stopped.risk == "stop" and "[policy] stop; built within walls of level none" in stopped.because


def test_a_line_without_a_gate_asks_where_it_would_land() -> None:
    assert at_rest(lines=NO_GATE).landed() == ["T1"]
    sim = at_rest(lambda sim: setattr(sim, "change", "none"), lines=NO_GATE)
    assert sim.gate().station == "land" and not sim.landed() and not sim.events(e.LandingPlanned)
    sim.decide_gate("approve")
    sim.run()
    assert sim.landed() == ["T1"]
    back = at_rest(lambda sim: setattr(sim, "change", "none"), lines=NO_GATE)
    back.change = "strict"
    back.decide_gate("reject", because="not like this")
    back.run()
    assert back.landed() == ["T1"] and len(back.task().attempts) == 2


def test_of_several_sittings_the_weakest_counts() -> None:
    sim = Ground()
    sim.agent = "none"
    sim.add()
    sim.until(f.WatchSession)
    sim.give(i.ConversationSeen(attempt=AttemptId("T1.1"), conversation="c1", channel="hooks", interactive=False, metered=""))
    sim.agent = "strict"
    sim.give(i.SessionEnded(attempt=AttemptId("T1.1"), exit=Exit(code=1)))
    sim.run()
    started = sim.events(e.AttemptStarted)
    assert [(event.attempt, event.walls) for event in started] == [("T1.1", "none"), ("T1.1", "strict")]
    assert sim.attempt().walls == "none" and sim.gate().walls == "none"


def test_work_that_goes_on_from_weaker_walls_is_as_weak_as_they_were() -> None:
    sim = Ground()
    sim.agent = "none"
    sim.check = lambda run: i.CheckRan(run=run.run, result="fail", because="1 of 3 tests failed", failing=("test_a",))
    sim.add()
    while len(sim.task().attempts) < 2:
        assert sim.step()
    sim.agent, sim.check = "strict", lambda run: i.CheckRan(run=run.run, result="pass", because="ok", names=Digest("n" * 64))
    sim.run()
    second, work = sim.attempt("T1.2"), sim.task().work
    assert second.start != second.base and work is not None, "it goes on from the commits of the first"
    assert (second.walls, work.walls, sim.gate().walls) == ("strict", "none", "none")


def partial_everywhere(sim: Ground) -> None:
    """A machine without bubblewrap."""
    sim.agent = sim.change = sim.merge_run = "partial"


def waiting(count: int, **changes: Any) -> Ground:
    """So many changes built and proven within strict walls, in a queue that is stopped."""
    sim = Ground(**changes)
    sim.give(i.HoldQueue(repo=R, because="gather", by="me"))
    for n in range(count):
        sim.add(f"task {n}")
    sim.run()
    return sim


def test_a_proof_of_the_merged_tree_within_weak_walls_moves_nothing_and_asks_about_each_member_at_once() -> None:
    sim = waiting(3)
    sim.merge_run = "partial"
    sim.give(i.ResumeQueue(repo=R, by="me"))
    sim.run()
    assert not sim.events(e.TargetMoved) and not sim.landed()
    gates = {gate.task: gate for gate in sim.state.gates.values()}
    assert set(gates) == {"T1", "T2", "T3"} and len({gate.gate for gate in gates.values()}) == 3
    says = "was proven within walls of level partial; [policy] walls asks for strict"
    assert all(says in gate.because for gate in gates.values())
    for name in ("T1", "T2", "T3"):
        sim.decide_gate("approve", name)
    sim.run()
    assert sorted(sim.landed()) == ["T1", "T2", "T3"]


def test_what_a_person_agreed_to_is_the_floor_for_the_proof_and_not_less() -> None:
    sim = waiting(0)
    sim.agent = sim.change = sim.merge_run = "partial"
    sim.add()
    sim.run()
    sim.decide_gate("approve")
    sim.merge_run = "none"
    sim.give(i.ResumeQueue(repo=R, by="me"))
    sim.run()
    assert not sim.landed() and "proven within walls of level none" in sim.gate().because
    sim.decide_gate("approve")
    sim.run()
    assert sim.landed() == ["T1"]
    same = at_rest(partial_everywhere)
    same.decide_gate("approve")
    same.run()
    assert same.landed() == ["T1"] and len(same.events(e.GateOpened)) == 1, "asked once"


def test_a_policy_that_is_raised_while_a_landing_waits_keeps_it_from_the_target() -> None:
    loose = Policy(ship=("**",), walls="none")
    sim = Ground(policy=loose)
    sim.agent = sim.change = sim.merge_run = "none"
    sim.add()
    sim.until(f.MoveTarget)
    sim.give(i.SettingsSeen(repo=R, loaded=loaded(settings(policy=SHIP))))
    sim.give(i.TrustCommands(repo=R, commands=loaded(settings(policy=SHIP)).commands, by="me"))
    assert not [owed for owed in sim.owed() if isinstance(owed, f.MoveTarget)]
    sim.run()
    assert not sim.landed() and sim.gate().walls == "none"


def test_a_proof_from_weaker_walls_is_seen_again_once_the_machine_gives_better_ones() -> None:
    sim = Ground(policy=Policy(ship=("**",), walls="strict"))
    sim.give(i.WallsLooked(reached=Reached(level="none", because="bubblewrap is not installed.")))
    sim.change = sim.merge_run = "none"
    same = {"tree": oid("one tree"), "commit": oid("one commit")}
    sim.work = lambda effect: sim.honest_work(effect, **same)
    sim.add()
    sim.run()
    runs = len(sim.events(e.RunFinished))
    sim.add("the same tree")
    sim.run()
    assert len(sim.events(e.RunFinished)) == runs, "walls are no better: the proof counts"
    sim.give(i.WallsLooked(reached=Reached(level="strict")))
    sim.change = "strict"
    sim.add("once more")
    sim.run()
    assert len(sim.events(e.RunFinished)) > runs
    assert {claim.claim: claim.walls for claim in sim.task("T3").claims}["tests"] == "strict"


def test_weak_walls_of_the_machine_are_a_problem_until_they_are_mended_and_say_what_follows() -> None:
    weak = Reached(level="none", because="bubblewrap is not installed.", mend="Install it.")
    sim = Ground()
    given = (
        Given.after(sim) >> i.WallsLooked(reached=weak)
        << e.WallsSeen(reached=weak)
        << like(e.ProblemNoticed, key="walls",
                what="agents and checks of r0 run within walls of level none: bubblewrap is not installed.",
                mend=lambda text: text.startswith("Install it.") and "a person is asked before a change lands" in text)
    )
    assert given >> i.WallsLooked(reached=weak)
    assert given >> i.WallsLooked(reached=Reached(level="strict")) << like(e.WallsSeen) << e.ProblemCleared(key="walls")


@pytest.mark.parametrize(("asked", "trouble", "starts"), [
    ("best", True, True), ("strict", True, False), ("partial", False, True), ("none", False, True),
])
def test_what_a_repository_asks_for_decides_whether_less_is_a_problem_and_whether_anything_starts(
        asked: str, trouble: bool, starts: bool) -> None:
    sim = Ground(sandbox=Walls(level=asked))  # type: ignore[arg-type]  # a level
    sim.give(i.WallsLooked(reached=Reached(level="partial", because="no namespaces")))
    sim.add()
    assert ("walls" in sim.state.problems) == trouble
    assert bool(sim.events(e.AttemptClaimed)) == starts
    view = project(sim.state, {})["repository:r0"]
    assert isinstance(view, v.RepositoryView)
    assert (view.walls, view.walls_now, view.walls_least) == (
        asked, {"best": "partial", "strict": "", "partial": "partial", "none": "none"}[asked], "strict")


def test_the_merge_of_a_change_bears_its_level() -> None:
    sim = Ground()
    sim.add()
    assert "Andon-Walls: strict" in sim.until(f.MergeCandidate).members[0].trailers


def test_an_answer_is_bound_to_the_walls_that_were_shown() -> None:
    sim = at_rest(lambda sim: setattr(sim, "agent", "none"))
    task = sim.task()
    claims = tuple(msgspec.structs.replace(claim, walls="partial") if claim.run else claim for claim in task.claims)
    assert bound_of(task) != bound_of(msgspec.structs.replace(task, claims=claims))


def test_lowering_the_walls_is_something_that_a_person_trusts() -> None:
    assert not Settings().commands(), "as shipped nothing is lowered"
    told = Settings(policy=Policy(walls="none"), sandbox=Walls(level="none")).commands()
    assert told == ("policy: lands without a person within walls of level none", "sandbox level: none")
    assert not Settings(sandbox=Walls(level="strict")).commands()
    sim = Ground()
    sim.add()
    sim.give(i.SettingsSeen(repo=R, loaded=loaded(settings(policy=Policy(ship=("**",), walls="none")))))
    assert not [owed for owed in sim.owed() if isinstance(owed, f.StartSession | f.PrepareCheckout)], "nothing runs untrusted"
    assert "trust:r0" in sim.state.problems


def test_a_revert_is_built_by_nobody_and_needs_walls_only_for_its_proof() -> None:
    sim = at_rest()
    sim.give(i.RevertLanding(task=TaskId("T1"), because="it broke the demo", by="ann"))
    sim.run()
    assert sim.landed() == ["T1", "T2"] and not sim.events(e.GateOpened)
    weak = at_rest()
    weak.merge_run = "none"
    weak.give(i.RevertLanding(task=TaskId("T1"), because="it broke the demo", by="ann"))
    weak.run()
    assert weak.landed() == ["T1"] and weak.gate("T2").walls == "none"


def test_several_checks_count_each_for_itself() -> None:
    checks = {"tests": Check(name="tests", run="t"), "lint": Check(name="lint", run="l")}
    sim = Ground(checks=checks, queue=Queue())
    sim.check = lambda run: i.CheckRan(run=run.run, result="pass", because="ok")
    plain = sim.answer

    def answer(effect: f.Effect) -> i.Input:
        given = plain(effect)
        weak = isinstance(effect, f.RunCheck) and effect.check.name == "lint"
        return msgspec.structs.replace(given, walls="partial") if weak and isinstance(given, i.CheckRan) else given

    sim.answer = answer  # type: ignore[method-assign]  # this machine's own answers
    sim.add()
    sim.run()
    assert sim.gate().because == "proven (lint) within walls of level partial; [policy] walls asks for strict"
    assert not [owed for owed in pending(sim.state, sim.now) if isinstance(owed, f.MergeCandidate)]
    assert refuse(sim.state, i.AnswerGate(gate=sim.gate().gate, option="approve", bound=sim.gate().bound, by="me")) is None
