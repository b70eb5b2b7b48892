"""Several agents on one task: each has its own, proven ones wait, the better proven goes on and the reason is said."""

from typing import Any

import pytest

from andon.core.refuse import refuse
from andon.core.schedule import next_deadline
from andon.schema import effects as f, events as e, inputs as i
from andon.schema.ids import AttemptId, RepoId, TaskId
from andon.schema.settings import AgentSettings, Budget, Policy
from core.sim import Sim

AGENTS = {name: AgentSettings(name=name, use="scripted") for name in ("default", "claude", "codex", "own")}
Works = dict[str, dict[str, Any]]


def race(*agents: str, works: Works | None = None, **changes: Any) -> Sim:
    """A race of these agents; `works` says what a task's attempts bring."""
    made = Sim(**{"agents": AGENTS, "budget": Budget(attempts=2), **changes})
    made.work = lambda effect: made.honest_work(effect, **(works or {}).get(effect.task, {}))
    made.add("faster lists", race=agents or ("claude", "codex"))
    return made


def winner(made: Sim) -> e.RaceDecided:
    """The one decision."""
    found = made.events(e.RaceDecided)
    assert len(found) == 1
    return found[0]


def only(made: Sim, task: str) -> None:
    """Do what this task is owed until it is at rest."""
    for _ in range(200):
        runs = {run.run for run in made.state.runs.values() if run.task in (task, "")}
        owed = [effect for effect in made.owed() if getattr(effect, "attempt", "").startswith(f"{task}.")
                or getattr(effect, "run", "") in runs or isinstance(effect, f.MirrorTarget)]
        if not owed:
            return
        made.give(made.answer(owed[0]))


def test_each_agent_gets_the_task_as_its_own_and_all_bear_the_first_ones_id() -> None:
    made = race("claude", "codex", "own")
    added = made.events(e.TaskAdded)
    assert [(task.task, task.title, task.agent, task.race) for task in added] == [
        ("T1", "faster lists [claude]", "claude", "T1"), ("T2", "faster lists [codex]", "codex", "T1"),
        ("T3", "faster lists [own]", "own", "T1")]
    assert sorted(attempt.agent for attempt in made.state.attempts.values()) == ["claude", "codex", "own"]


def test_the_same_key_never_adds_a_race_twice() -> None:
    made = Sim(agents=AGENTS)
    made.add(race=("claude", "codex"), key="k")
    assert made.give(i.AddTask(repo=RepoId("r0"), title="x", spec="x", race=("claude", "codex"), key="k")) == []


@pytest.mark.parametrize(("agents", "what"), [
    (("claude",), "between 2 and 8 different"), (("claude", "claude"), "different agents"), (("claude", "clod"), "no agent clod"),
    (tuple(f"a{n}" for n in range(9)), "between 2 and 8"),
])
def test_a_race_is_of_different_agents_that_are_known(agents: tuple[str, ...], what: str) -> None:
    odd = refuse(Sim(agents=AGENTS).state, i.AddTask(repo=RepoId("r0"), title="x", spec="x", race=agents))
    assert odd is not None and what in odd.what and odd.mend


def test_an_agent_and_a_race_at_once_are_refused() -> None:
    command = i.AddTask(repo=RepoId("r0"), title="x", spec="x", race=("claude", "codex"), agent="own")
    assert refuse(Sim(agents=AGENTS).state, command) is not None


def test_a_proven_racer_waits_for_its_rivals_and_says_for_whom() -> None:
    made = race()
    only(made, "T1")
    assert made.task("T1").station == "check" and not made.events(e.RaceDecided)
    assert made.why("T1") == ("proven, and waits for its rivals: T2 (codex)",)


def test_the_change_of_fewer_lines_goes_on_when_all_else_is_equal_and_the_other_is_cancelled() -> None:
    made = race(works={"T1": {"insertions": 90}, "T2": {"insertions": 4, "deletions": 2}})
    made.run()
    assert (winner(made).task, winner(made).because) == ("T2", "6 lines changed, against 90 lines changed of T1 (claude)")
    assert (made.task("T1").outcome, made.task("T2").outcome) == ("cancelled", "done")
    assert made.task("T1").because.startswith("T2 (codex) won the race: 6 lines changed")


def test_fewer_attempts_count_before_fewer_lines() -> None:
    made = race()
    made.work = lambda effect: made.honest_work(
        effect, insertions=500 if effect.task == "T2" else 1, descends=effect.attempt != "T1.1")
    made.run()
    assert winner(made).task == "T2"
    assert winner(made).because == "1 attempt, against 2 attempts of T1 (claude)"


def test_the_cheaper_one_goes_on_when_every_cost_is_known() -> None:
    def run(metered: str) -> e.RaceDecided:
        made = race(works={"T1": {"insertions": 5}, "T2": {"insertions": 5}})
        while steps := [effect for effect in made.owed() if isinstance(effect, f.PrepareCheckout | f.StartSession)]:
            made.give(made.answer(steps[0]))
        for name, usd in (("T1.1", 3.0), ("T2.1", 0.5)):
            made.give(i.UsageSeen(attempt=AttemptId(name), usd=usd, output=10, metered=metered, requests=1))
        made.run()
        return winner(made)

    assert (run("reported").task, run("reported").because) == ("T2", "$0.50, against $3.00 of T1 (claude)")
    assert run("unmetered").task == "T1", "what is not known is no reason"


def test_equal_ones_are_decided_by_arrival() -> None:
    made = race(works={"T1": {"insertions": 5}, "T2": {"insertions": 5}})
    made.run()
    assert winner(made).because == "equal to T2 (codex) in every respect, and it came first"


def test_a_racer_that_failed_is_not_waited_for() -> None:
    made = race()
    made.work = lambda effect: made.honest_work(effect, descends=effect.task != "T1")
    made.run()
    assert winner(made).task == "T2" and winner(made).because == "the only one that is proven"
    assert made.task("T1").outcome == "cancelled" and made.task("T1").gate == ""


def test_a_race_in_which_all_fail_ends_as_each_of_them_fails() -> None:
    made = race(policy=Policy(ship=("**",), walls="none"))
    made.work = lambda effect: made.honest_work(effect, descends=False)
    made.run()
    assert made.events(e.RaceDecided) == []
    assert [made.gate(task).kind for task in ("T1", "T2")] == ["failure", "failure"]


def test_a_rival_at_a_persons_gate_is_waited_for_ten_minutes_and_then_stopped_with_its_work_kept() -> None:
    made = race()
    while steps := [effect for effect in made.owed() if isinstance(effect, f.PrepareCheckout | f.StartSession)]:
        made.give(made.answer(steps[0]))
    made.ask("T2.1", 1, "which way?")
    asked = made.now
    only(made, "T1")
    assert not made.events(e.RaceDecided) and made.why("T1") == ("proven, and waits for its rivals: T2 (codex)",)
    assert next_deadline(made.state, made.now) == asked + 600_000
    made.now = asked + 600_000
    made.give(i.Ticked())
    assert winner(made).task == "T1"
    assert [event.attempt for event in made.events(e.AttemptStopAsked)] == ["T2.1"]
    assert made.events(e.GateVoided)
    assert any(isinstance(effect, f.StopSession) and effect.attempt == "T2.1" for effect in made.owed())


def test_a_rival_that_gets_no_agent_is_waited_for_an_hour() -> None:
    made = race(wip=1)
    made.give(i.MachineSeen(because="load of 9"))
    only(made, "T1")
    assert made.task("T2").attempts == () and not made.events(e.RaceDecided)
    made.now += 3_600_000
    made.give(i.Ticked())
    assert winner(made).task == "T1"


def test_what_comes_after_a_race_starts_when_any_of_it_has_landed() -> None:
    made = race(works={"T1": {"insertions": 90}, "T2": {"insertions": 4}})
    made.add("next", after=(TaskId("T1"),))
    assert made.why("T3") == ("waits for T1",)
    made.run()
    assert made.task("T1").outcome == "cancelled" and made.task("T3").outcome == "done"
    made.add("later", after=(TaskId("T1"),))
    made.run()
    assert made.task("T4").outcome == "done"


def test_a_loser_that_a_person_retries_is_an_ordinary_task_again() -> None:
    made = race(works={"T1": {"insertions": 90}, "T2": {"insertions": 4}})
    made.run()
    made.give(i.RetryTask(task=TaskId("T1"), by="me"))
    made.run()
    assert made.task("T1").outcome == "done" and len(made.events(e.RaceDecided)) == 1
