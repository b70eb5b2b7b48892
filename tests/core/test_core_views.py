"""What faces draw: every state word is reachable and true, unknown is drawn as unknown, equal states give equal views."""

from collections.abc import Callable
from typing import get_args

import pytest

from andon.core.evolve import replay
from andon.core.image import FORMAT, freeze, thaw
from andon.core.project import OVER_SHOWN, attempt_details, over_tasks, project
from andon.core.state import State
from andon.schema import effects as f, events as e, inputs as i, views as v
from andon.schema.errors import Problem
from andon.schema.ids import AttemptId, RepoId, TaskId
from andon.schema.jobs import Exit
from andon.schema.settings import AgentSettings, Check, Line, Policy, Station
from andon.schema.signals import Verdict
from core.chaos import factory
from core.sim import STATIONS, Sim, loaded, oid, settings

R, A, T1 = RepoId("r0"), AttemptId("T1.1"), TaskId("T1")
AFTER = Station(name="celebrate", kind="gate", when="always")
SEEN = Verdict(health="working", because="its screen changes", source="pane", since=7)


def at(kind: type[f.Effect], **changes: object) -> Sim:
    sim = Sim(**changes)  # type: ignore[arg-type]
    sim.add(title="paint it")
    sim.until(kind)
    return sim


def rest(**changes: object) -> Sim:
    sim = Sim(**changes)  # type: ignore[arg-type]
    sim.add()
    sim.run()
    return sim


def view(sim: Sim, key: str = "task:T1", sightings: dict[AttemptId, Verdict] | None = None) -> v.AnyView:
    return project(sim.state, sightings or {}, over_tasks(sim.state))[key]


def card(sim: Sim) -> v.TaskView:
    found = view(sim)
    assert isinstance(found, v.TaskView)
    return found


def session(sim: Sim, sightings: dict[AttemptId, Verdict] | None = None) -> v.SessionView:
    found = view(sim, f"session:{A}", sightings)
    assert isinstance(found, v.SessionView)
    return found


def stopped_line() -> Sim:
    sim = Sim()
    sim.give(i.PullCord(repo=R, line="build", because="smoke", by="me"))
    sim.add()
    return sim


def limit() -> Sim:
    sim = at(f.WatchSession, agents={"default": AgentSettings(name="default", use="scripted", minutes=1)})
    sim.now += 60_000
    sim.give(i.Ticked())
    return sim


def cancelled() -> Sim:
    sim = at(f.RunCheck)
    sim.give(i.CancelTask(task=T1, because="not now", by="me"))
    return sim


def failed() -> Sim:
    sim = rest(policy=Policy(walls="none"))
    sim.decide_gate("cancel", because="no")
    return sim


def queued() -> Sim:
    sim = Sim(wip=0)
    sim.add()
    return sim


def watching() -> Sim:
    build, _, _, land = STATIONS
    stations = (build, Station(name="check", kind="check", checks=("tests",)), land,
                Station(name="after", kind="watch", checks=("slow",)))
    slow = Check(name="slow", run="make slow")
    sim = Sim(checks={**settings().checks, "slow": slow}, lines={"build": Line(name="build", stations=stations)})
    sim.add()
    while not sim.task().landed:
        sim.step()
    return sim


STATES: dict[str, Callable[[], Sim]] = {
    "queued": queued, "building": lambda: at(f.WatchSession), "checking": lambda: at(f.RunCheck),
    "waiting": lambda: rest(policy=Policy(walls="none")), "landing": lambda: at(f.MergeCandidate), "watching": watching,
    "landed": lambda: rest(lines={"build": Line(name="build", stations=(*STATIONS, AFTER))}),
    "done": rest, "failed": failed, "stopped": cancelled, "paused": limit,
}


@pytest.mark.parametrize("word", get_args(v.TaskState))
def test_every_state_word_is_reachable(word: str) -> None:
    assert card(STATES[word]()).state == word


def test_a_stopped_line_is_drawn_as_paused_with_its_reason() -> None:
    sim = stopped_line()
    assert (card(sim).state, card(sim).why) == ("paused", ("line build is stopped by me: smoke",))
    line = view(sim, "line:r0/build")
    assert isinstance(line, v.LineView)
    assert (line.cord, line.cord_by, line.cord_at) == ("smoke", "me", sim.now)


def test_a_change_at_its_checks_is_not_called_paused_by_a_cord() -> None:
    sim = at(f.RunCheck)
    sim.give(i.PullCord(repo=R, line="build", because="smoke", by="me"))
    assert card(sim).state == "checking"


def test_an_unconfigured_station_kind_is_drawn_as_queued() -> None:
    line = Line(name="build", stations=(Station(name="verify", kind="verify"),))
    sim = Sim(lines={"build": line})
    sim.add()
    assert card(sim).state == "queued"


def test_a_session_that_nobody_saw_is_unknown_and_one_that_was_seen_is_as_seen() -> None:
    sim = at(f.WatchSession)
    assert (session(sim).health, session(sim).because) == ("unknown", "nothing was seen of it yet")
    seen = session(sim, {A: SEEN})
    assert (seen.health, seen.because, seen.source, seen.since) == ("working", "its screen changes", "pane", 7)
    assert card(sim).health == "unknown"


def test_what_a_phase_proves_is_stronger_than_what_was_seen() -> None:
    for kind, health, because in (
        (f.PrepareCheckout, "starting", "its checkout is being made"), (f.StartSession, "starting", "its session is being started"),
        (f.ImportWork, "finished", "its process has ended"),
    ):
        seen = session(at(kind), {A: SEEN})
        assert (seen.health, seen.because) == (health, because)
    sim = limit()
    sim.do(f.SuspendSession)
    assert session(sim, {A: SEEN}).health == "suspended"
    assert card(sim).attention.startswith("limit: T1.1 has worked 1 minutes")


def test_a_session_view_vanishes_with_the_attempt() -> None:
    sim = at(f.RunCheck)
    assert f"session:{A}" not in project(sim.state, {A: SEEN})
    assert card(sim).health == ""


def test_a_card_shows_its_claims_and_what_is_being_run() -> None:
    sim = at(f.RunCheck)
    assert {cell.claim: cell.status for cell in card(sim).claims} == {"tests": "running", "work": "proven"}
    sim = at(f.MoveTarget)
    assert {cell.claim: cell.status for cell in card(sim).claims} == {"tests": "proven", "tests@merge": "proven", "work": "proven"}
    landing = at(f.MergeCandidate)
    landing.do(f.MergeCandidate)
    assert ("tests@merge", "running") in [(cell.claim, cell.status) for cell in card(landing).claims]


def test_a_gate_is_drawn_with_its_change_and_its_digest() -> None:
    sim = rest(policy=Policy(walls="none"))
    gate = view(sim, "gate:G1")
    assert isinstance(gate, v.GateView)
    assert (gate.kind, gate.diff, gate.files, gate.insertions, gate.attempts) == ("review", "d" * 64, 1, 3, 1)
    assert gate.bound == sim.gate().bound
    assert (card(sim).gate, card(sim).risk, card(sim).attention) == ("G1", "review", "review: src/a.py is not under [policy] ship")


def test_a_question_before_any_change_is_drawn_without_one() -> None:
    sim = Sim(lines={"build": Line(name="build", stations=(Station(name="intake", kind="gate", when="always"), *STATIONS))})
    sim.add()
    gate = view(sim, "gate:G1")
    assert isinstance(gate, v.GateView) and (gate.diff, gate.files) == ("", 0)


def test_repositories_problems_and_the_factory_are_drawn() -> None:
    sim = at(f.WatchSession)
    sim.give(i.DaemonStarted(version="1.2", pid=9, boot="b"))
    sim.give(i.TroubleSeen(key="tmux", problem=Problem(what="gone", where="tmux.sock", mend="wait")))
    sim.give(i.MirrorSeen(repo=R, oid=oid("trunk", 0), advanced=False, because="your tree is dirty", mend="git pull"))
    repo, problem, face = view(sim, "repository:r0"), view(sim, "problem:tmux"), view(sim, "factory")
    assert isinstance(repo, v.RepositoryView) and (repo.behind, repo.mend, repo.trusted) == ("your tree is dirty", "git pull", True)
    assert isinstance(problem, v.ProblemView) and (problem.what, problem.where, problem.mend) == ("gone", "tmux.sock", "wait")
    assert isinstance(face, v.FactoryView) and (face.version, face.pid, face.wip, face.wip_limit) == ("1.2", 9, 1, 6)


def test_a_line_counts_its_tasks_at_their_stations() -> None:
    sim = at(f.RunCheck)
    sim.add()
    line = view(sim, "line:r0/build")
    assert isinstance(line, v.LineView)
    assert [(station.name, station.tasks) for station in line.stations] == [("build", 1), ("check", 1), ("review", 0), ("land", 0)]


def test_overlaps_are_shown_between_tasks_in_work() -> None:
    sim = Sim()
    sim.add("first", paths=("src/**",))
    sim.add("second", paths=("src/a.py",))
    second = view(sim, "task:T2")
    assert isinstance(second, v.TaskView)
    assert (second.overlaps, second.why) == (("T1",), ("its paths overlap with T1",))


def test_seconds_are_not_drawn_so_a_waiting_card_stays_equal() -> None:
    sim = at(f.WatchSession)
    sim.give(i.SessionEnded(attempt=A, because="gone"))
    sim.do(f.ImportWork)
    before = card(sim)
    assert before.why == ("tries again soon",)
    sim.now += 900
    assert card(sim) == before


def test_finished_tasks_stay_on_the_board_up_to_a_bound() -> None:
    sim = Sim()
    for n in range(OVER_SHOWN + 5):
        sim.add(f"{n}")
        sim.give(i.CancelTask(task=TaskId(f"T{n + 1}"), because="not now", by="me"))
    shown = over_tasks(sim.state)
    assert len(shown) == OVER_SHOWN
    assert [shown[0].task, shown[-1].task] == ["T6", f"T{OVER_SHOWN + 5}"]
    last = view(sim, f"task:T{OVER_SHOWN + 5}")
    assert isinstance(last, v.TaskView) and (last.state, last.why) == ("stopped", ("not now",))


def test_the_attempts_of_a_task_are_told_whole() -> None:
    sim = Sim(policy=Policy(walls="none"))
    sim.exit = lambda effect: i.SessionEnded(attempt=effect.attempt, exit=Exit(code=1 if effect.attempt == A else 0))
    sim.add()
    sim.run()
    first, second = attempt_details(sim.state, sim.task())
    assert (first.outcome, first.state, first.salvage) == ("the agent ended with exit code 1", "removed", "s")
    assert second.outcome == f"accepted {oid('c', 'T1.2')[:10]}"


def test_equal_states_give_equal_views() -> None:
    world = factory(3, 8)
    for _ in range(300):
        world.stir()
    for other in (replay(State(), world.log), thaw(freeze(world.state))):
        assert other is not None
        assert project(other, {}, over_tasks(other)) == project(world.state, {}, over_tasks(world.state))


def test_every_view_of_a_stirred_factory_has_its_own_key_and_known_words() -> None:
    world = factory(5, 8)
    for _ in range(300):
        world.stir()
        views = project(world.state, {}, over_tasks(world.state))
        assert all(key == found.key for key, found in views.items())
        for task in world.state.open:
            found = views[f"task:{task}"]
            assert isinstance(found, v.TaskView) and found.state in get_args(v.TaskState)


def test_settings_that_lost_a_line_still_draw_its_tasks() -> None:
    sim = at(f.RunCheck)
    sim.give(i.SettingsSeen(repo=R, loaded=loaded(settings(lines={}))))
    assert card(sim).state == "queued" and card(sim).why == ("line build is not in the settings of r0",)


def test_a_snapshot_of_another_form_is_left_alone() -> None:
    data = freeze(rest().state)
    assert thaw(data) == rest().state
    assert thaw(b"not json") is None
    assert b'"format":%d' % FORMAT in data
    assert thaw(data.replace(b'"format":%d' % FORMAT, b'"format":99')) is None
    assert thaw(data.replace(b'"fence":1', b'"fence":"x"')) is None


def test_the_last_words_of_an_agent_are_on_its_card() -> None:
    sim = at(f.WatchSession)
    sim.ask(A, 1, "blue or red?")
    assert (card(sim).says, card(sim).state, card(sim).attention) == (
        "blue or red?", "waiting", f"question: {A} asks and waits")
    assert sim.events(e.GateOpened)
