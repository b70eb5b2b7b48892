"""Walking steps backwards in the pure core: deeds in order, each begun only when the one before was seen, refused when too late."""

from typing import Any, get_args

import pytest

from andon.core.evolve import replay
from andon.core.image import freeze, thaw
from andon.core.refuse import refuse
from andon.core.state import State
from andon.schema import effects as f, events as e, inputs as i
from andon.schema.ids import AttemptId, RepoId, TaskId
from andon.schema.inverses import COMMANDS, EFFECTS, STEPS, inverse_of
from andon.schema.sentences import sentence
from andon.schema.undo import Deed, DeedKind
from core.sim import Sim

R0 = RepoId("r0")


def revert(task: str) -> Deed:
    return Deed(kind="revert", task=TaskId(task), told=f"take {task} back")


def walk(sim: Sim, *deeds: Deed, step: str = "L1") -> list[e.Event]:
    return sim.give(i.WalkBack(step=step, deeds=deeds, by="me"))


def landed(sim: Sim, count: int = 2) -> None:
    for _ in range(count):
        sim.add()
    sim.run()
    assert all(sim.task(f"T{n}").landed for n in range(1, count + 1))


def test_the_second_revert_begins_only_when_the_first_has_landed_and_was_mirrored() -> None:
    sim = Sim(3)
    landed(sim)
    walk(sim, revert("T2"), revert("T1"))
    assert [event.reverts for event in sim.events(e.TaskAdded) if event.reverts] == ["T2"]
    sim.run()
    order = [row.event for row in sim.log if isinstance(row.event, e.UndoDeedBegun | e.UndoDeedSeen | e.UndoEnded)
             or (isinstance(row.event, e.TaskAdded | e.TaskLanded) and row.event.task in ("T3", "T4"))]
    deed = ["undo.deed-begun", "task.added", "task.landed", "undo.deed-seen"]
    assert [e.kind_of(event) for event in order] == [*deed, *deed, "undo.ended"] and all(map(sentence, order))
    assert sim.events(e.UndoEnded)[0].done and "T3 landed as" in sim.events(e.UndoDeedSeen)[0].observed


def test_a_revert_that_landed_is_seen_only_when_the_persons_branch_was_taken_along() -> None:
    sim = Sim(3)
    landed(sim, 1)
    walk(sim, revert("T1"))
    sim.until(f.MirrorTarget)
    assert sim.task("T2").landed and not sim.events(e.UndoDeedSeen)
    sim.run()
    assert "main follows" in sim.events(e.UndoDeedSeen)[0].observed


def test_begun_and_what_follows_from_it_stand_in_one_write() -> None:
    sim = Sim(3)
    landed(sim, 1)
    kinds = [e.kind_of(event) for event in walk(sim, revert("T1"))]
    assert kinds[:3] == ["undo.begun", "undo.deed-begun", "task.added"]


def test_a_state_from_the_log_or_a_snapshot_goes_on_where_the_walk_stood() -> None:
    sim = Sim(5)
    landed(sim)
    walk(sim, revert("T2"), revert("T1"))
    again = replay(State(), sim.log)
    assert again.undos == sim.state.undos and thaw(freeze(sim.state)) == sim.state
    sim.state = again
    sim.run()
    assert [event.done for event in sim.events(e.UndoEnded)] == [True]


def test_what_was_taken_back_or_has_not_landed_or_is_under_way_is_refused() -> None:
    sim = Sim(4)
    landed(sim, 1)
    sim.add()
    assert "has not landed" in told(sim, revert("T2")) and "no task T9" in told(sim, revert("T9"))
    walk(sim, revert("T1"))
    assert "walks L1 back already" in told(sim, revert("T1")) and "takes T1 back already" in told(sim, revert("T1"), step="L2")
    sim.run()
    assert "was taken back already" in told(sim, revert("T1"))
    assert walk(sim, revert("T1")) == [] and "0 deeds" in told(sim)


def told(sim: Sim, *deeds: Deed, step: str = "L1") -> str:
    why = refuse(sim.state, i.WalkBack(step=step, deeds=deeds, by="me"))
    assert why is not None and why.mend
    return why.what


def test_a_revert_that_is_given_up_stops_the_walk_and_says_so() -> None:
    sim = Sim(6)
    landed(sim)
    walk(sim, revert("T2"), revert("T1"))
    sim.give(i.CancelTask(task=TaskId("T3"), by="me"))
    sim.run()
    assert [(event.done, event.because) for event in sim.events(e.UndoEnded)] == [(False, "T3, which takes T2 back, was cancelled")]
    assert len([event for event in sim.events(e.TaskAdded) if event.reverts]) == 1


def test_an_open_task_is_ended_and_seen_when_no_checkout_of_it_stands() -> None:
    sim = Sim(7)
    sim.add()
    sim.until(f.WatchSession)
    walk(sim, Deed(kind="end", task=TaskId("T1"), told="end it"), step="T1")
    assert not sim.events(e.UndoEnded)
    sim.run()
    removed = next(row.seq for row in sim.log if isinstance(row.event, e.CheckoutRemoved))
    seen = next(row.seq for row in sim.log if isinstance(row.event, e.UndoDeedSeen))
    assert removed < seen and sim.events(e.UndoEnded)[0].done


@pytest.mark.parametrize(("order", "deed", "back"), [
    (i.PullCord(repo=R0, line="build", because="smoke", by="me"), {"kind": "free-line", "line": "build", "found": "smoke"},
     e.CordReleased),
    (i.HoldQueue(repo=R0, because="wait", by="me"), {"kind": "free-queue", "found": "wait"}, e.QueueResumed),
    (i.HoldEntry(task=TaskId("T1"), because="wait", by="me"), {"kind": "free-entry", "task": TaskId("T1"), "found": "wait"},
     e.EntryReleased),
    (i.CancelTask(task=TaskId("T1"), by="me"), {"kind": "reopen", "task": TaskId("T1")}, e.TaskRetried),
])
def test_an_order_is_walked_back_once_and_not_when_it_is_another_by_now(
    order: i.Command, deed: dict[str, Any], back: type[e.Event],
) -> None:
    sim = Sim(1)
    sim.add()
    sim.give(order)
    one = Deed(told="back", repo=R0, **deed)
    if one.found:
        other = Deed(told="back", repo=R0, **{**deed, "found": "something else"})
        assert "no longer as the step left it" in told(sim, other, step="#9")
    events = walk(sim, one, step="#9")
    assert any(isinstance(event, back) for event in events)
    assert any(isinstance(event, e.UndoEnded) and event.done for event in events)
    assert refuse(sim.state, i.WalkBack(step="#9", deeds=(one,), by="me")) is not None


def test_lines_queues_and_entries_are_stopped_again_and_an_order_is_put_back() -> None:
    sim = Sim(1)
    sim.add()
    deeds = (Deed(kind="stop-line", repo=R0, line="build", told="stop"), Deed(kind="stop-queue", repo=R0, told="stop"),
             Deed(kind="hold-entry", task=TaskId("T1"), told="hold"),
             Deed(kind="order", repo=R0, order=(TaskId("T1"),), told="order"))
    walk(sim, *deeds, step="#1")
    repo = sim.state.repos[R0]
    assert sim.state.cords and repo.queue.held and sim.task().held and repo.queue.order == ("T1",)
    assert sim.events(e.UndoEnded)[0].done
    assert "not registered" in told(sim, Deed(kind="order", repo=RepoId("x"), told="x"), step="#2")


def test_what_an_edge_could_not_do_ends_the_walk() -> None:
    sim = Sim(1)
    sim.add()
    walk(sim, Deed(kind="restore", attempt=AttemptId("T1.1"), told="restore"), step="T1.1")
    assert sim.give(i.DeedSeen(undo="U1", n=2, observed="odd")) == [] == sim.give(i.DeedSeen(undo="U9", n=1, observed="odd"))
    sim.give(i.DeedSeen(undo="U1", n=1, done=False, observed="there is no snapshot"))
    assert [(event.done, event.because) for event in sim.events(e.UndoEnded)] == [(False, "there is no snapshot")]
    assert sim.give(i.DeedSeen(undo="U1", n=1, observed="late")) == []


def test_finished_walks_are_forgotten_beyond_a_bound() -> None:
    sim = Sim(1)
    for n in range(30):
        sim.give(i.PullCord(repo=R0, line="build", because="x", by="me"))
        walk(sim, Deed(kind="free-line", repo=R0, line="build", told="free"), step=f"#{n}")
    assert len(sim.state.undos) == 20 and sim.state.undo_count == 30 and "U30" in sim.state.undos


# --- the table of inverses -------------------------------------------------------------------------------------------


def test_every_effect_names_its_inverse_or_that_it_has_none() -> None:
    tags = {str(effect.__struct_config__.tag) for effect in get_args(f.AnyEffect)}
    assert tags - set(EFFECTS) == set(), "say in schema/inverses.py what takes these effects back, or that nothing does"
    for tag, inverse in EFFECTS.items():
        assert inverse.by and bool(inverse.gate) == (inverse.how == "irreversible"), tag
        assert bool(inverse.seen) == (inverse.how == "inverse"), tag


def test_every_recorded_step_speaks_of_an_effect_and_of_an_event_that_can_happen() -> None:
    kinds = {str(event.__struct_config__.tag) for event in get_args(e.AnyEvent)}
    later = {"change.sealed", "landing.recorded"}  # of the evidence
    assert set(STEPS.values()) <= set(EFFECTS) and set(STEPS) | set(COMMANDS) <= kinds | later
    assert not set(STEPS) & set(COMMANDS)
    assert inverse_of("task.entered") is None and inverse_of("target.moved") is EFFECTS["move-target"]


def test_the_core_knows_every_kind_of_deed() -> None:
    from andon.core.undoing import command_of
    without = {kind for kind in get_args(DeedKind) if command_of(Deed(kind=kind, told=""), "me", "x", "") is None}
    assert without == {"restore", "order"}
