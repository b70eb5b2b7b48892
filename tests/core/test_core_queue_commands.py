"""What a person may ask of the merge queue: each wish, what comes of it, and each refusal with its sentence."""

from collections.abc import Callable

import msgspec
import pytest

from andon.core.pending import pending
from andon.core.refuse import refuse
from andon.core.schedule import why
from andon.schema import effects as f, events as e, inputs as i
from andon.schema.ids import RepoId, TaskId
from andon.schema.settings import Line, Settings
from core.playbook import Given, like, nothing
from core.queueworld import QueueWorld, R
from core.sim import STATIONS, oid

T1, T2, T3, T9 = TaskId("T1"), TaskId("T2"), TaskId("T3"), TaskId("T9")
replace = msgspec.structs.replace
STOP = i.HoldQueue(repo=R, because="smoke", by="me")
GO = i.ResumeQueue(repo=R, by="me")


def world(count: int = 3, **changes: object) -> QueueWorld:
    """So many changes in a queue that stands."""
    made = QueueWorld(1, **changes)  # type: ignore[arg-type]  # the fields are the world's own
    made.queue_up(count)
    made.give(STOP)
    return made


def line_of(made: QueueWorld) -> list[str]:
    """Who would be proved together now."""
    made.give(GO)
    found = [str(member.task) for member in made.events(e.LandingPlanned)[-1].members]
    made.give(STOP)
    return found


# --- what comes of it --------------------------------------------------------------------------------------------------------


def test_a_change_goes_before_another_or_to_the_front_and_the_rest_keeps_its_order() -> None:
    made = world(4)
    assert Given.after(made) >> i.OrderQueue(task=T3, before=T2, by="me", because="urgent") \
        << e.QueueOrdered(repo=R, order=(T1, T3), by="me", because="urgent")
    made.give(i.OrderQueue(task=T3, before=T2, by="me"))
    assert line_of(made) == ["T1", "T3", "T2", "T4"]
    made.give(i.OrderQueue(task=TaskId("T4"), by="me"))
    assert line_of(made) == ["T4", "T1", "T3", "T2"], "what was said before still holds behind it"
    made.give(GO)
    made.rest()
    assert not made.state.repos[R].queue.order, "who has landed is forgotten"


def test_what_was_said_goes_before_age_and_priority() -> None:
    made = world(2)
    made.add("urgent", priority=9)
    made.rest()
    made.give(i.OrderQueue(task=T2, by="me"))
    assert line_of(made) == ["T2", "T3", "T1"]


def test_a_held_change_is_left_out_says_why_and_lands_when_it_is_released() -> None:
    made = world(3)
    made.give(GO)
    assert Given.after(made) >> i.HoldEntry(task=T2, because="after the demo", by="ann") \
        << e.EntryHeld(task=T2, because="after the demo", by="ann") << like(e.LandingAbandoned, landing="L1") \
        << like(e.LandingPlanned, members=lambda members: [one.task for one in members] == ["T1", "T3"]) << ...
    made.give(i.HoldEntry(task=T2, because="after the demo", by="ann"))
    made.rest()
    assert made.landed_tasks() == ["T1", "T3"]
    assert made.why("T2") == ("ann keeps it from landing: after the demo",)
    made.give(i.ReleaseEntry(task=T2, by="me"))
    made.rest()
    assert made.landed_tasks() == ["T1", "T3", "T2"]


def test_a_change_can_be_held_while_it_is_still_built_and_stays_held_when_it_goes_back() -> None:
    made = QueueWorld(1)
    made.add()
    made.until(f.ImportWork)
    made.give(i.HoldEntry(task=T1, because="wait for me", by="me"))
    made.rest()
    assert made.task().station == "land" and not made.state.landings and not made.landed
    made.give(i.DropEntry(task=T1, because="use the new API", by="me"))
    made.rest()
    assert (made.task().held, len(made.task().attempts), bool(made.landed)) == ("wait for me", 2, False)


def test_a_dropped_change_goes_back_with_the_words_or_is_given_up() -> None:
    made = world(2)
    dropped = Given.after(made) >> i.DropEntry(task=T1, because="use the new API", by="me")
    assert dropped << like(e.EntrySentBack, task="T1", reason="dropped", because="use the new API") \
        << like(e.RetryScheduled, task="T1", failure="rejected", packet=lambda text: "use the new API" in text) << ...
    assert Given.after(made) >> i.DropEntry(task=T1, because="no more", cancel=True, by="me") \
        << like(e.EntrySentBack, reason="dropped") << like(e.TaskCancelled, because="no more", by="me") << ...
    made.give(i.DropEntry(task=T1, because="no more", cancel=True, by="me"))
    made.give(GO)
    made.rest()
    assert made.landed_tasks() == ["T2"]


def test_a_change_that_a_person_is_asked_about_can_be_dropped_and_the_question_is_void() -> None:
    made = QueueWorld(1, checks={})
    made.add()
    made.rest()
    gate = made.gate().gate
    made.give(i.DropEntry(task=T1, because="no", cancel=True, by="me"))
    assert [event.gate for event in made.events(e.GateVoided)] == [gate] and not made.state.gates


def test_a_stopped_queue_plans_nothing_says_so_and_goes_on() -> None:
    made = world(2)
    assert Given.after(made) >> i.Ticked() << nothing
    assert made.why("T1") == ("the merge queue is stopped by me: smoke",)
    assert (made.state.repos[R].queue.held_by, made.state.repos[R].queue.held_at) == ("me", made.now)
    before = len(made.landed_tasks())
    made.rest()
    assert len(made.landed_tasks()) == before == 0
    assert Given.after(made) >> GO << e.QueueResumed(repo=R, by="me") << ...
    made.give(GO)
    made.rest()
    assert made.landed_tasks() == ["T1", "T2"]


def test_what_a_person_wants_of_the_own_checkout_is_asked_once_for_each_time() -> None:
    made = world(1)
    made.give(i.MirrorSeen(repo=R, oid=made.trunk[R], advanced=False, because="main is checked out and dirty", mend="commit it"))
    assert not [owed for owed in made.owed() if isinstance(owed, f.MirrorTarget)], "it is not asked again by itself"
    for n in (1, 2):
        made.give(i.ForwardTarget(repo=R, by="me"))
        (owed,) = [owed for owed in pending(made.state, made.now) if isinstance(owed, f.MirrorTarget)]
        assert (owed.asked, owed.oid) == (n, made.trunk[R])
        told = i.MirrorSeen(repo=R, oid=owed.oid, advanced=False, because="a.py is in the way", mend="move it", asked=n)
        assert Given.after(made) >> told << like(e.TargetMirrored, asked=n, advanced=False) >> told << nothing
        made.give(told)
        assert not [owed for owed in pending(made.state, made.now) if isinstance(owed, f.MirrorTarget)]
    assert len(made.events(e.ForwardAsked)) == 2


# --- what cannot be done -----------------------------------------------------------------------------------------------------


def landing() -> QueueWorld:
    """T1 and T2 are landing at this moment."""
    made = QueueWorld(1)
    made.queue_up(2)
    made.until(f.MoveTarget)
    return made


def landed() -> QueueWorld:
    made = QueueWorld(1)
    made.add()
    made.rest()
    return made


def held() -> QueueWorld:
    made = world(2)
    made.give(i.HoldEntry(task=T1, because="the demo", by="ann"))
    return made


def building() -> QueueWorld:
    made = QueueWorld(1)
    made.add()
    return made


def reverting() -> QueueWorld:
    made = landed()
    made.give(STOP)
    made.give(i.RevertLanding(task=T1, by="me"))
    return made


def nowhere() -> QueueWorld:
    """T1 landed, and the settings have no line that lands any more."""
    made = landed()
    known = made.state.repos[R]
    bare = Settings(lines={"build": Line(name="build", stations=STATIONS[:1])})
    made.state = replace(made.state, repos=made.state.repos.set(R, replace(known, settings=bare)))
    return made


Q = RepoId("q")
REFUSED: dict[str, tuple[Callable[[], QueueWorld], i.Command, str, str]] = {
    "order nothing": (world, i.OrderQueue(task=T9), "there is no task T9 in the queue", "andon queue shows them"),
    "order what is built": (building, i.OrderQueue(task=T1), "T1 is not in the merge queue", "andon why T1"),
    "order what lands": (landing, i.OrderQueue(task=T1), "T1 is landing at this moment", "andon revert T1"),
    "before nobody": (world, i.OrderQueue(task=T1, before=T9), "T9 does not stand in line in r0", "in line: T1, T2, T3"),
    "before itself": (world, i.OrderQueue(task=T1, before=T1), "T1 does not stand in line in r0", "in line:"),
    "before one that is held": (held, i.OrderQueue(task=T2, before=T1), "T1 does not stand in line in r0", "in line: T2"),
    "hold nothing": (world, i.HoldEntry(task=T9, because="x"), "T9 is not on its way", "andon queue and andon list"),
    "hold what landed": (landed, i.HoldEntry(task=T1, because="x"), "T1 is not on its way", "andon list"),
    "hold what is held": (held, i.HoldEntry(task=T1), "T1 is held already by ann: the demo", "andon queue release T1"),
    "hold what lands": (landing, i.HoldEntry(task=T2), "T2 is landing at this moment", "wait for it; then andon revert T2"),
    "release what is free": (world, i.ReleaseEntry(task=T1), "T1 is not held", "nothing to do"),
    "release nothing": (world, i.ReleaseEntry(task=T9), "T9 is not held", "nothing to do"),
    "drop without a reason": (world, i.DropEntry(task=T1, because=" "), "only taken out of the queue with a reason", "--because"),
    "drop nothing": (world, i.DropEntry(task=T9, because="x"), "there is no task T9 in the queue", "andon queue"),
    "drop what lands": (landing, i.DropEntry(task=T1, because="x"), "T1 is landing at this moment", "wait for it"),
    "drop what is built": (building, i.DropEntry(task=T1, because="x"), "T1 is not in the merge queue", "andon why T1"),
    "stop without a reason": (building, i.HoldQueue(repo=R, because=""), "a queue is only stopped with a reason", "--because"),
    "stop what stands": (world, i.HoldQueue(repo=R, because="x"), "already stopped by me: smoke", "andon queue resume r0"),
    "stop nothing": (world, i.HoldQueue(repo=Q, because="x"), "repository q is not registered", "known: r0"),
    "stop something close": (world, i.HoldQueue(repo=RepoId("r00"), because="x"), "r00 is not registered", "did you mean r0?"),
    "resume what moves": (building, i.ResumeQueue(repo=R), "the queue of r0 is not stopped", "nothing to do"),
    "resume nothing": (world, i.ResumeQueue(repo=Q), "repository q is not registered", "known: r0"),
    "mend nothing": (world, i.ForgetFlakes(repo=R, tests=()), "no test is not known to be flaky in r0", "known: none"),
    "mend what is sound": (world, i.ForgetFlakes(repo=R, tests=("a",)), "a is not known to be flaky in r0", "known: none"),
    "mend nowhere": (world, i.ForgetFlakes(repo=Q, tests=("a",)), "repository q is not registered", "known: r0"),
    "forward what follows": (landed, i.ForwardTarget(repo=R), "r0 follows its target already", "nothing to do"),
    "forward nothing": (world, i.ForwardTarget(repo=Q), "repository q is not registered", "known: r0"),
    "revert nothing": (world, i.RevertLanding(task=T9), "there is no task T9", "andon list --all"),
    "revert what waits": (world, i.RevertLanding(task=T1), "T1 has not landed", "andon cancel T1"),
    "revert twice": (reverting, i.RevertLanding(task=T1), "T2 takes T1 back already", "andon show T2"),
    "revert without a line": (nowhere, i.RevertLanding(task=T1), "no line of r0 has a land station", "andon.toml"),
    "cancel what lands": (landing, i.CancelTask(task=T1), "T1 is landing at this moment", "then revert it if it must go"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_done_is_refused_with_its_reason_and_changes_nothing(case: str) -> None:
    make, command, what, mend = REFUSED[case]
    made = make()
    problem = refuse(made.state, command)
    assert problem is not None and what in problem.what and mend in problem.mend, problem
    assert not made.give(command)


def test_a_landing_of_an_old_log_is_refused_with_the_git_command_that_helps() -> None:
    made = landed()
    known = made.task()
    made.state = replace(made.state, tasks=made.state.tasks.set(T1, replace(known, landed_before="")))
    problem = refuse(made.state, i.RevertLanding(task=T1))
    assert problem is not None and "before the factory kept what a revert needs" in problem.what
    assert problem.mend.startswith(f"git revert -m 1 {known.landed[:12]}")


def test_why_and_what_is_owed_agree_about_a_queue_that_nobody_trusts() -> None:
    made = world(2)
    made.state = replace(made.state, repos=made.state.repos.set(R, replace(made.state.repos[R], trusted="")))
    made.give(GO)
    made.rest()
    assert not made.landed and len(made.events(e.LandingPlanned)) == 1
    assert why(made.state, made.task(), made.now)[0].startswith("the commands of r0 are not trusted")
    assert made.trunk[R] == oid("trunk", 0)
