"""Proofs apart from the queue in whole worlds: who they send back, who they let by, and what is told of them."""

import random

import pytest

from andon.core.evolve import replay
from andon.core.project import project
from andon.core.state import State
from andon.schema import events as e, inputs as i, views as v
from andon.schema.sentences import sentence
from andon.schema.settings import Queue
from core.audit import Audit
from core.queueworld import QueueWorld, R

MANY = [f"T{n}" for n in range(2, 42)]


def warm(world: QueueWorld, count: int = 40) -> QueueWorld:
    """One change has landed, so that the target is known to be good; the others stand in the queue."""
    world.queue_up(1)
    while not world.landed_tasks():
        assert world.stir(doubt=0.0)
    world.queue_up(count)
    return world


def lived(seed: int, *, crash: float = 0.0, flake: float = 0.0, overtake: int = 5, queue: Queue | None = None) -> QueueWorld:
    """Forty changes at sixteen slots, six of them poisoned, and two that do not go together."""
    chance = random.Random(seed)
    *poison, one, other = chance.sample(MANY, 8)
    world = QueueWorld(seed, slots=16, poison=poison, pairs=[(one, other)], flake=flake, queue=queue or Queue(overtake=overtake))
    warm(world)
    for _ in range(500):
        world.stir(crash=crash, doubt=0.05)
    return world.finish()


def apart(world: QueueWorld) -> list[e.LandingPlanned]:
    return [event for event in world.events(e.LandingPlanned) if event.why == "apart"]


@pytest.mark.parametrize("seed", range(8))
def test_exactly_the_culprits_go_back_whatever_is_proved_apart(seed: int) -> None:
    world = lived(seed, crash=0.02 if seed % 2 else 0.0)
    assert len(apart(world)) >= 5, "this is not what the test is for"
    poison = {name.partition(".")[0] for name in world.poison}
    pair = {name.partition(".")[0] for name in world.pairs[0]}
    back = world.sent_back("failed")
    assert set(back) - pair == poison and len(set(back) & pair) == 1 and len(back) == len(poison) + 1
    assert sorted(set(world.landed_tasks())) == sorted(["T1", *MANY]), "those that went back were mended"
    assert Audit().read(world.log).finish().faults == []
    assert replay(State(), world.log) == world.state


@pytest.mark.parametrize("seed", range(4))
def test_nothing_lands_for_a_proof_apart_and_it_outlives_moves_of_the_target(seed: int) -> None:
    world = lived(seed)
    names = {event.landing for event in apart(world)}
    assert not names & {event.landing for event in world.events(e.TargetMoved)}
    onto = {event.landing: event.onto for event in apart(world)}
    late = 0
    trunk = ""
    for row in world.log:
        if isinstance(row.event, e.TargetObserved):
            trunk = row.event.oid
        if isinstance(row.event, e.LandingJudged) and row.event.landing in names:
            late += onto[row.event.landing] != trunk
    assert late, "some were judged on a target that had gone on"


@pytest.mark.parametrize("seed", range(4))
def test_flaky_checks_send_nobody_innocent_back_and_land_nothing_broken(seed: int) -> None:
    world = lived(seed, flake=0.1, queue=Queue(confirm=3))
    poison = {name.partition(".")[0] for name in world.poison}
    pair = {name.partition(".")[0] for name in world.pairs[0]}
    assert poison <= set(world.sent_back("failed")) <= poison | pair


@pytest.mark.parametrize("seed", range(4))
def test_nobody_is_overtaken_past_the_limit_by_stepping_aside(seed: int) -> None:
    world = lived(seed, overtake=2)
    worst = max(task.overtaken for task in world.state.tasks.values())
    most = max(len(event.members) for event in world.events(e.LandingPlanned) if event.why != "apart")
    assert worst <= 2 + most, "what landed in one move may be many"


def test_a_culprit_found_apart_is_told_what_failed_and_the_queue_says_what_it_does() -> None:
    world = warm(QueueWorld(3, slots=16, poison=("T30", "T33", "T36")))
    told: set[str] = set()
    aside = 0
    while len(world.sent_back("failed")) < 3:
        assert world.stir(doubt=0.0)
        views = [view for view in project(world.state, {}).values() if isinstance(view, v.EntryView)]
        told |= {view.why.partition("(")[0] for view in views}
        aside += sum(view.state == "suspect" and "steps aside" in view.why for view in views)
    assert aside and any(why.startswith("is proved apart from the queue") for why in told)
    planned = [sentence(event) for event in apart(world)]
    assert any("apart from the queue" in line and "because one of a group" in line for line in planned)
    back = world.events(e.EntrySentBack)[0]
    assert len(back.runs) >= 2 and back.because
    packet = world.task(back.task).packet
    assert "failed 2 times" in packet


def test_an_outsider_who_moves_the_target_makes_all_of_it_unknown_again() -> None:
    world = warm(QueueWorld(3, slots=16, poison=("T30",)))
    while not world.state.repos[R].queue.apart.stood or world.trunk[R] != world.state.repos[R].trunk:
        assert world.stir(doubt=0.0)
    world.outsider()
    assert world.outsiders == 1
    known = world.state.repos[R].queue.apart
    assert known.stood == () and known.outcomes == ()
    assert not [landing for landing in world.state.landings.values() if landing.onto != world.trunk[R]]


def test_on_a_target_that_was_never_proved_here_nothing_is_proved_apart() -> None:
    world = QueueWorld(3, slots=16, poison=("T30",))
    world.queue_up(40)
    while not world.landed:
        assert world.stir(doubt=0.0)
    assert apart(world) == []
    moved = warm(QueueWorld(3, slots=16, poison=("T30",)))
    moved.outsider()
    before = len(apart(moved))
    while len(moved.events(e.TargetMoved)) < 2:
        assert moved.stir(doubt=0.0)
        assert len(apart(moved)) == before or len(moved.events(e.TargetMoved)) > 1


def test_a_group_with_a_change_that_a_person_gives_up_ends_and_tells_nothing() -> None:
    world = warm(QueueWorld(3, slots=16))
    while not (running := [landing for landing in world.state.landings.values() if landing.why == "apart" and landing.candidate]):
        assert world.stir(doubt=0.0)
    gone = running[0].members[0].task
    world.give(i.CancelTask(task=gone, by="me"))
    assert running[0].landing not in world.state.landings
    world.gone.add(gone)
    world.finish()
    assert gone not in world.landed_tasks() and len(set(world.landed_tasks())) == 40
