"""A flaky test is quarantined with the runs that disagreed, within a budget, and comes out by itself after enough passes."""

import pytest

from andon.core.queue import quarantine
from andon.schema import effects as f, events as e, inputs as i, queue_views as v
from andon.schema.settings import Queue
from core.queueworld import QueueWorld, R

NET = "tests/net.py::test_port"


def world(results: str, count: int = 1, flaky: int = 10, flaky_passes: int = 20) -> QueueWorld:
    """Changes in a queue whose runs end so: `f` and `p` for failed and passed; then all pass."""
    made = QueueWorld(1, queue=Queue(flaky=flaky, flaky_passes=flaky_passes))
    left = list(results)

    def check(run: f.RunCheck) -> i.CheckRan:
        made.passed.add(run.tree)
        if left and left.pop(0) == "f":
            return i.CheckRan(run=run.run, result="fail", because="1 test failed", failing=(NET,))
        return i.CheckRan(run=run.run, result="pass", because="ok")

    made.check = check
    made.queue_up(count)
    made.rest()
    return made


def quarantined(made: QueueWorld) -> v.QuarantineView:
    """The one test that is."""
    [one] = quarantine.view(made.state.repos[R])
    return one


def more(made: QueueWorld, count: int) -> None:
    """So many further changes land, each on a tree of its own."""
    for _ in range(count):
        made.add("another")
        made.rest()


def test_a_quarantined_test_is_named_with_the_runs_that_disagreed_about_one_tree() -> None:
    made = world("fpp")
    one, (seen,) = quarantined(made), made.events(e.FlakeSeen)
    assert (one.test, one.check, one.seen, one.runs, one.trees) == (NET, "tests", 1, ("R1", "R2"), (seen.tree,))
    assert one.excused and one.needed == 20 and one.since == one.last > 0


def test_it_comes_out_by_itself_after_enough_passes_on_other_trees_and_its_failure_counts_again() -> None:
    made = world("fpp", flaky_passes=3)
    assert quarantined(made).passes == 0, "its own tree tells nothing more"
    more(made, 1)
    before = quarantined(made).passes
    assert 0 < before < 3
    more(made, 3)
    assert quarantine.view(made.state.repos[R]) == ()
    (out,) = made.events(e.FlakeForgotten)
    assert (out.tests, out.by) == ((NET,), "andon") and "3 passes in a row, on other trees" in out.because


def test_a_flake_that_comes_again_begins_to_count_anew_and_keeps_its_evidence() -> None:
    made = world("fpppfpp", flaky_passes=50)
    more(made, 4)
    one = quarantined(made)
    seen = made.events(e.FlakeSeen)
    assert one.seen == len(seen) == 2 and one.runs == (*seen[0].runs, *seen[1].runs) and one.trees == (seen[0].tree, seen[1].tree)
    events = [row.event for row in made.log]
    after = events[max(n for n, event in enumerate(events) if isinstance(event, e.FlakeSeen)):]
    trees = {event.run: event.tree for event in events if isinstance(event, e.RunPlanned)}
    passed = [event.run for event in after if isinstance(event, e.RunFinished) and event.result == "pass"]
    assert one.passes == sum(1 for run in passed if trees[run] not in one.trees) > 0


@pytest.mark.parametrize(("budget", "excused"), [(1, True), (0, False)])
def test_past_its_budget_nothing_is_excused_and_that_is_told(budget: int, excused: bool) -> None:
    assert quarantined(world("fpp", flaky=budget)).excused is excused


def test_only_a_person_lets_it_out_where_the_settings_say_so() -> None:
    made = world("fpp", flaky_passes=0)
    more(made, 4)
    assert quarantined(made).passes >= 4 and not made.events(e.FlakeForgotten)
    made.give(i.ForgetFlakes(repo=R, tests=(NET,), by="me"))
    assert quarantine.view(made.state.repos[R]) == ()


def test_the_evidence_that_is_kept_is_bounded() -> None:
    made = world("fp" * 12 + "p" * 20, flaky_passes=0)
    more(made, 8)
    one = quarantined(made)
    assert one.seen > 3 and len(one.runs) <= 6 and len(one.trees) <= 3
