"""Taking a landed change back: the daemon makes the change, it lands like any other; where git cannot make it, an agent must."""

import pytest

from andon.core.pending import pending
from andon.core.project import project
from andon.schema import effects as f, events as e, inputs as i, views as v
from andon.schema.ids import TaskId
from andon.schema.settings import Line, Queue
from core.playbook import Given, like, nothing
from core.queueworld import QueueWorld, R
from core.sim import STATIONS, oid

T1, T3, T4 = TaskId("T1"), TaskId("T3"), TaskId("T4")
PULL = i.PullCord(repo=R, line="build", because="smoke", by="me")


def landed(count: int = 3, **changes: object) -> QueueWorld:
    """So many changes, all landed."""
    made = QueueWorld(1, **changes)  # type: ignore[arg-type]  # the fields are the world's own
    made.queue_up(count)
    made.rest()
    return made


def revert(key: str = "") -> i.RevertLanding:
    return i.RevertLanding(task=T1, because="it broke the demo", by="ann", key=key)


def test_a_revert_is_a_task_of_its_own_made_by_the_daemon_proved_and_landed() -> None:
    made = landed()
    first, before, trunk = made.task("T1").landed, made.task("T1").landed_before, made.trunk[R]
    assert (
        Given.after(made)
        >> revert() << like(e.TaskAdded, task="T4", title="Revert T1: task 0", reverts="T1", line="build", by="ann",
                            may_remove_tests=True, spec=lambda text: first[:12] in text and "it broke the demo" in text)
        << f.MakeRevert(task=T4, repo=R, git_dir="/r0/.git", onto=trunk, landed=first, before=before, title="Revert T1: task 0",
                        at=made.now)
        >> i.RevertMade(task=T4, commit=oid("rv"), tree=oid("rt"), base=trunk, base_tree=oid("bt"), paths=("a.py",), paths_total=1)
        << like(e.RevertPrepared, task="T4", commit=oid("rv")) << like(e.TaskEntered, task="T4", station="land")
        << like(f.SealChange, task="T4")
        >> i.RevertMade(task=T4, commit=oid("other")) << nothing
    )
    made.give(revert())
    merge = made.until(f.MergeCandidate)
    assert merge.members[0].trailers[0] == "Andon-Task: T4" and merge.members[0].trailers[-1] == "Andon-Reverts: T1"
    made.rest()
    assert made.holds[made.trunk[R]] == {"T2.1", "T3.1"} and made.task("T4").outcome == "done"
    assert not made.task("T4").attempts, "no agent was needed"


def test_what_is_being_taken_back_says_so_and_the_same_key_never_adds_twice() -> None:
    made = landed()
    made.give(revert("k"))
    assert made.why("T4") == ("what takes T1 back is being made",)
    made.give(i.CancelTask(task=T4, by="me"))
    assert not made.give(revert("k")) and made.give(revert("another"))


def test_a_revert_that_fails_on_the_merged_tree_goes_back_to_an_agent_with_what_was_seen() -> None:
    made = landed()
    made.poison.add("T4.0")
    made.check = lambda run: (
        i.CheckRan(run=run.run, result="fail", because="1 test failed") if made.holds[run.tree] == {"T2.1", "T3.1"}
        else made.judge(run))
    made.give(revert())
    while not made.sent_back("failed"):
        assert made.stir(doubt=0.0)
    assert not made.task("T4").reverts, "it is an agent's work now"
    start = made.until(f.StartSession)
    assert "Take back what T1 landed as" in start.prompt and "tests@merge: 1 test failed" in start.prompt


def test_where_git_cannot_take_it_back_an_agent_is_told_what_to_take_back_and_why_git_could_not() -> None:
    made = landed()
    made.give(revert())
    conflict = i.RevertMade(task=T4, conflicts=("src/a.py", "src/b.py"))
    assert Given.after(made) >> conflict << e.RevertConflicted(task=T4, paths=("src/a.py", "src/b.py")) \
        << like(e.TaskEntered, station="build") << like(e.AttemptClaimed, task="T4") << like(f.PrepareCheckout) \
        >> conflict << nothing
    made.give(conflict)
    start = made.until(f.StartSession)
    assert "later work changed the same places, in src/a.py, src/b.py" in start.prompt
    assert "it broke the demo" in start.prompt
    made.rest()
    assert made.task("T4").outcome == "done" and made.task("T4").attempts


def test_a_revert_goes_first_past_age_and_the_cord_of_its_line() -> None:
    made = landed(1, queue=Queue(overtake=0))
    made.give(i.HoldQueue(repo=R, because="gather", by="me"))
    for _ in range(2):
        made.add("ordinary", priority=9)
    made.rest()
    made.give(revert())
    made.rest()
    made.give(PULL)
    made.give(i.ResumeQueue(repo=R, by="me"))
    assert made.proofs()[-1] == ["T4"], "the cord holds the others"
    made.rest()
    assert made.landed_tasks() == ["T1", "T4"] and made.why("T2") == ("line build is stopped by me: smoke",)
    made.give(i.ReleaseCord(repo=R, line="build", by="me"))
    made.rest()
    assert made.landed_tasks() == ["T1", "T4", "T2", "T3"]


def test_a_revert_on_a_stopped_line_is_drawn_as_landing_for_the_cord_does_not_hold_it() -> None:
    made = landed(1)
    made.give(i.HoldQueue(repo=R, because="gather", by="me"))
    made.add("ordinary")
    made.rest()
    made.give(revert())
    made.rest()
    made.give(PULL)
    views = project(made.state, {})
    cards = {name: view for name in ("T2", "T3") if isinstance(view := views[f"task:{name}"], v.TaskView)}
    assert (cards["T2"].state, cards["T3"].state) == ("paused", "landing")
    entries = {name: view for name in ("T2", "T3") if isinstance(view := views[f"entry:{name}"], v.EntryView)}
    assert "line build is stopped" in entries["T2"].why and "the queue is stopped" in entries["T3"].why


@pytest.mark.parametrize("overtake", [0, 5])
def test_without_a_cord_too_a_revert_goes_before_everybody(overtake: int) -> None:
    made = landed(1, queue=Queue(overtake=overtake))
    made.give(i.HoldQueue(repo=R, because="gather", by="me"))
    made.add("ordinary", priority=99)
    made.rest()
    made.give(revert())
    made.rest()
    made.give(i.ResumeQueue(repo=R, by="me"))
    assert made.proofs()[-1] == ["T3", "T2"]


def test_a_revert_skips_the_stations_before_landing() -> None:
    made = landed(1, lines={"build": Line(name="build", stations=STATIONS)})
    made.give(revert())
    made.rest()
    entered = [event.station for event in made.events(e.TaskEntered) if event.task == "T2"]
    assert entered == ["land"] and made.task("T2").outcome == "done"


def test_a_landed_task_that_is_long_over_can_be_taken_back(monkeypatch: pytest.MonkeyPatch) -> None:
    from andon.core.folds import table

    monkeypatch.setattr(table, "KEPT_OVER", 1)
    made = landed(3)
    assert "T1" in made.state.past and "T1" not in made.state.tasks
    made.give(revert())
    (added,) = [event for event in made.events(e.TaskAdded) if event.reverts]
    assert added.title == "Revert T1: task 0" and added.line == "build"
    made.rest()
    assert "T1.1" not in made.holds[made.trunk[R]]


def test_a_revert_whose_making_fails_is_tried_again_and_then_told() -> None:
    made = landed(1)
    made.give(revert())
    for tries in range(1, 6):
        (owed,) = [owed for owed in pending(made.state, made.now) if isinstance(owed, f.MakeRevert)]
        made.fail(owed, "T2")
        assert not [owed for owed in pending(made.state, made.now) if isinstance(owed, f.MakeRevert)], tries
        made.now = made.state.tries["T2 make-revert"].not_before
    assert "effect:T2" in made.state.problems
    made.rest()
    assert made.task("T2").outcome == "done" and "effect:T2" not in made.state.problems


def test_a_reverted_change_can_be_reverted_back() -> None:
    made = landed(2)
    made.give(revert())
    made.rest()
    assert "T1.1" not in made.holds[made.trunk[R]]
    back = i.RevertLanding(task=T3, because="it was right", by="ann")
    assert [event for event in made.give(back) if isinstance(event, e.TaskAdded) and event.title == "Revert T3: Revert T1: task 0"]
