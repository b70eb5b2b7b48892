"""The watch station: the target is proven once for all that it holds; a red one is traced to the change that made it so."""

from andon.core.queue.facts import KEPT_LANDED
from andon.schema import effects as f, events as e, inputs as i
from andon.schema.settings import Line, Queue, Station
from core.playbook import Given, nothing
from core.queueworld import PLAIN, QUICK, SHORT, SLOW, WATCHED, QueueWorld, R

BOTH = {**PLAIN, **SLOW}
LINES = {"build": WATCHED, "quick": QUICK}


def watched(count: int, red: tuple[str, ...] = (), **changes: object) -> QueueWorld:
    """So many changes in the queue of a line that watches the target with `slow`; the merged trees are proven by `tests` alone."""
    made = QueueWorld(1, red=red, **{"checks": BOTH, "lines": LINES, **changes})  # type: ignore[arg-type]  # the world's fields
    made.rest()
    made.queue_up(count)
    return made


def slow_runs(made: QueueWorld) -> list[str]:
    """The commits that the station looked at, in order."""
    return [event.commit for event in made.events(e.RunPlanned) if event.purpose == "watch"]


# --- green -----------------------------------------------------------------------------------------------------------------


def test_the_newest_target_is_proven_once_for_all_changes_that_it_holds() -> None:
    made = watched(5)
    while not made.landed:
        made.stir(doubt=0.0)
    made.until(f.RunCheck)
    assert {made.task(name).station for name in made.state.open} == {"after"}
    assert made.why("T3") == ("landed; the target is being watched",)
    made.rest()
    assert slow_runs(made)[-1] == made.trunk[R] and len(set(slow_runs(made))) == len(slow_runs(made)) == len(made.landed) + 1
    assert {made.task(name).outcome for name in made.state.tasks} == {"done"}
    green = made.events(e.TargetGreen)[-1]
    assert (green.check, green.commit) == ("slow", made.trunk[R])


def test_a_tree_that_the_queue_has_proven_with_the_same_check_is_green_at_once() -> None:
    made = QueueWorld(1, lines={"build": Line(name="build", stations=(
        *SHORT.stations, Station(name="after", kind="watch", checks=("tests",))))})
    made.rest()
    before = len(slow_runs(made))
    made.add()
    made.rest()
    assert made.task().outcome == "done" and len(slow_runs(made)) == before


def test_a_target_that_moves_on_while_it_is_proven_is_looked_at_again_and_only_there() -> None:
    made = watched(1)
    while not made.landed:
        made.stir(doubt=0.0)
    made.until(f.RunCheck)
    made.outsider()
    assert Given.after(made) >> i.Ticked() << nothing, "the run under way is waited for"
    made.rest()
    assert slow_runs(made)[-1] == made.trunk[R] and made.task().outcome == "done"


def test_one_failure_is_run_again_and_a_pass_is_told_as_a_flake() -> None:
    made = watched(1)
    judge, left = made.check, ["fail"]
    made.check = lambda run: (
        i.CheckRan(run=run.run, result="fail", because="red", failing=("net",)) if run.check.name == "slow" and left and left.pop()
        else judge(run))
    made.rest()
    assert not made.events(e.TargetRed) and made.task().outcome == "done"
    (flake,) = made.events(e.FlakeSeen)
    assert (flake.check, flake.tests) == ("slow", ("net",))


def test_a_check_that_cannot_be_evaluated_on_the_target_is_a_problem_said_once_until_the_next_commit() -> None:
    made = watched(1)
    judge = made.check
    made.check = lambda run: (
        i.CheckRan(run=run.run, result="unevaluated", because="killed", cause="lost") if run.check.name == "slow" else judge(run))
    made.rest()
    (problem,) = made.events(e.ProblemNoticed)
    assert problem.what == "slow could not be evaluated on the target, 2 times"
    assert made.task().station == "after" and not made.state.cords
    made.check = judge
    made.outsider()
    made.rest()
    assert made.task().outcome == "done" and not made.state.problems


# --- red -------------------------------------------------------------------------------------------------------------------


def test_a_red_target_is_bisected_over_its_steps_and_the_change_that_made_it_so_is_asked_about() -> None:
    made = watched(8, red=("T6",), queue=Queue(history="tips"))
    before = len(slow_runs(made))
    made.rest()
    (red,) = made.events(e.TargetRed)
    assert (red.check, red.commit, red.suspects) == ("slow", made.trunk[R], ("T6",))
    looked = slow_runs(made)[before:]
    assert len(looked) <= 2 * (1 + 3) + 1, "twice for each red step, and halves"
    (cord,) = made.events(e.CordPulled)
    assert (cord.line, cord.by, cord.because) == ("build", "andon", "the target is red: slow, since T6")
    gate = made.gate("T6")
    assert (gate.kind, gate.recommendation, gate.commit) == ("red", "revert", made.task("T6").landed)
    assert gate.question == "T6 made the target red. Take it back?" and str(red.run) in gate.because
    assert {task.station for task in made.state.tasks.values()} == {"after"}, "all that it holds waits for green"
    assert made.events(e.TargetGreen)[-1].commit != made.trunk[R]


def test_on_a_yes_a_revert_is_proved_and_landed_past_the_cord_and_the_target_is_green_again() -> None:
    made = watched(4, red=("T2",))
    made.rest()
    made.decide_gate("revert", "T2")
    made.rest()
    revert = made.task("T5")
    assert (revert.title, revert.reverts, bool(revert.landed)) == ("Revert T2: task 1", "T2", True)
    assert "T2.1" not in made.holds[made.trunk[R]] and {"T1.1", "T3.1", "T4.1"} <= made.holds[made.trunk[R]]
    assert made.events(e.TargetGreen)[-1].commit == made.trunk[R]
    assert {task.outcome for task in made.state.tasks.values()} == {"done"}
    assert "r0/build" in made.state.cords, "a person lets the line go on"


def test_where_the_settings_say_so_it_is_taken_back_without_a_question() -> None:
    made = watched(4, red=("T2",), queue=Queue(revert="auto"))
    made.rest()
    (revert,) = [event for event in made.events(e.TaskAdded) if event.reverts]
    assert (revert.reverts, revert.by, revert.line) == ("T2", "andon", "build")
    assert "slow fails on the target since T2 landed, 2 times" in revert.spec
    assert not made.events(e.GateOpened) and "T2.1" not in made.holds[made.trunk[R]]
    assert made.events(e.TargetGreen)[-1].commit == made.trunk[R]


def test_a_revert_that_does_not_help_is_not_reverted_in_turn() -> None:
    made = watched(2, red=("T2",), queue=Queue(revert="auto"))
    judge = made.check
    made.check = lambda run: judge(run) if not any("T2.1" in made.holds[commit] for commit, _ in made.landed) else (
        i.CheckRan(run=run.run, result="fail", because="red") if run.check.name == "slow" else judge(run))
    made.rest()
    assert len([event for event in made.events(e.TaskAdded) if event.reverts]) == 1


def test_a_suspect_that_is_over_is_named_to_a_person_or_taken_back_all_the_same() -> None:
    for queue in (Queue(), Queue(revert="auto")):
        made = QueueWorld(1, red=("T1",), checks=BOTH, lines=LINES, queue=queue)
        made.rest()
        made.add("quick", line="quick")
        made.rest()
        assert made.events(e.TargetRed)[0].suspects == ("T1",) and made.task().outcome == "done"
        if queue.revert == "ask":
            (problem,) = made.events(e.ProblemNoticed)
            assert "suspected: T1" in problem.where and "andon revert" in problem.mend
            assert "r0/quick" in made.state.cords
        else:
            assert [event.reverts for event in made.events(e.TaskAdded)] == ["", "T1"]
            assert not made.holds[made.trunk[R]] & {"T1.1"}


def test_somebody_elses_commit_is_no_task_and_every_line_that_lands_stops() -> None:
    made = watched(1)
    made.rest()
    made.red.add("outside 1")
    made.outsider()
    made.rest()
    (red,) = made.events(e.TargetRed)
    assert red.suspects == () and not made.state.gates
    (problem,) = made.events(e.ProblemNoticed)
    assert "suspected: commits that are not ours" in problem.where
    assert sorted(event.line for event in made.events(e.CordPulled)) == ["build", "quick"]


def test_a_target_that_was_never_green_names_nobody() -> None:
    made = QueueWorld(1, checks=BOTH, lines=LINES)
    judge = made.check
    made.check = lambda run: i.CheckRan(run=run.run, result="fail", because="red") if run.check.name == "slow" else judge(run)
    for _ in range(3):
        made.add()
    while len(made.landed_tasks()) < 3:
        others = (owed for owed in made.owed() if not isinstance(owed, f.RunCheck) or owed.check.name == "tests")
        made.give(made.answer(next(others)))
    made.rest()
    assert all(event.suspects == () for event in made.events(e.TargetRed)) and made.events(e.TargetRed)
    assert not made.state.gates and "suspected: what came before" in made.events(e.ProblemNoticed)[0].where


def test_of_more_steps_than_are_remembered_the_oldest_are_not_suspected() -> None:
    made = watched(1)
    made.rest()
    green = made.trunk[R]
    made.red.add("outside 1")
    for _ in range(KEPT_LANDED + 5):
        made.outsider()
    name = made.add("innocent", line="quick")
    made.rest()
    steps = made.state.repos[R].queue.landed
    assert green not in [step.commit for step in steps] and name in [step.task for step in steps]
    assert {event.suspects for event in made.events(e.TargetRed)} == {()} and not made.state.gates
    assert "suspected: what came before" in made.events(e.ProblemNoticed)[-1].where


def test_the_same_suspect_is_said_once_and_green_clears_what_was_said() -> None:
    made = watched(2, red=("T1",))
    made.rest()
    said = len(made.events(e.GateOpened)), len(made.events(e.CordPulled))
    made.outsider()
    made.rest()
    assert made.events(e.TargetRed)[-1].commit == made.trunk[R], "still red"
    assert (len(made.events(e.GateOpened)), len(made.events(e.CordPulled))) == said == (1, 1)
    made.red.clear()
    made.outsider()
    made.rest()
    assert not made.state.repos[R].queue.red and made.task("T2").outcome == "done"


def test_a_released_cord_has_the_red_target_looked_at_anew() -> None:
    made = watched(1, red=("T1",))
    made.rest()
    assert made.events(e.TargetRed)
    before = slow_runs(made)
    (line,) = {event.line for event in made.events(e.CordPulled)}
    made.give(i.ReleaseCord(repo=R, line=line))
    assert slow_runs(made) == [*before, made.trunk[R]]
