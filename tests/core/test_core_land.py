"""The land station with one change at a time: proven as merged, moved by compare-and-swap, nothing while the line is stopped."""

from typing import Any

from andon.core.pending import pending
from andon.core.queue.standing import is_sealed
from andon.core.refuse import refuse
from andon.schema import effects as f, events as e, inputs as i
from andon.schema.ids import LandingId, RepoId, RunId, TaskId
from andon.schema.settings import Check, Line, Station
from core.playbook import Given, like, nothing
from core.sim import STATIONS, Sim, loaded, oid, settings

R, L1 = RepoId("r0"), LandingId("L1")
EXIT = {"tests": Check(name="tests", run="make test")}
PULL = i.PullCord(repo=R, line="build", because="smoke", by="me")
RELEASE = i.ReleaseCord(repo=R, line="build", by="me")
RESUME = i.ResumeQueue(repo=R, by="me")


def landing(kind: type[f.Effect] = f.MergeCandidate, tasks: int = 1, **changes: Any) -> Sim:
    """A factory that owes this deed of its first landing."""
    sim = Sim(**{"checks": EXIT, **changes})
    for n in range(tasks):
        sim.add(f"task {n}")
    sim.until(kind)
    if kind is f.RunCheck:
        sim.until(f.RunCheck, landing=True)
    return sim


def owed(sim: Sim, kind: type[f.Effect]) -> list[f.Effect]:
    return [effect for effect in pending(sim.state, sim.now) if isinstance(effect, kind)]


def test_a_change_is_merged_proven_as_merged_and_moved_in() -> None:
    sim = landing()
    trunk = sim.trunk[R]
    head = oid("c", "T1.1")
    merged, tree = oid("cand", trunk, head), oid("tree", trunk, head)
    steps = (e.MergedStep(task=TaskId("T1"), commit=merged, tree=tree),)
    run = RunId(f"R{sim.state.run_count + 1}")
    assert (
        Given.after(sim)
        >> i.CandidateMerged(landing=L1, candidate=merged, tree=tree, steps=steps)
        << e.LandingMerged(landing=L1, candidate=merged, tree=tree, steps=steps)
        << like(e.RunPlanned, purpose="landing", tree=tree, landing=L1)
        << like(f.RunCheck, commit=merged, tree=tree, landing=True)
        >> i.CandidateMerged(landing=L1, candidate=oid("other"), tree=oid("other")) << nothing
        >> i.CheckRan(run=run, result="pass", because="ok")
        << like(e.RunFinished) << like(e.LandingChecked, landing=L1, check="tests", result="pass", run=run)
        << like(e.LandingJudged, landing=L1, result="pass") << e.LandingChosen(landing=L1)
        << like(e.ClaimJudged, claim="tests@merge", status="proven", commit=merged, run=run)
        << like(f.MoveTarget, old=trunk, new=merged, tree=tree, steps=steps,
                members=lambda members: [(one.task, one.commit) for one in members] == [("T1", head)])
        >> i.TargetSwapped(landing=L1, old=trunk, new=merged, tree=tree)
        << e.TargetMoved(landing=L1, old=trunk, new=merged)
        << e.TaskLanded(task=TaskId("T1"), commit=merged, landing=L1, before=trunk)
        << like(e.TargetObserved, oid=merged, by="landing") << e.TaskDone(task=TaskId("T1"))
        << like(f.RecordLanding, parts=lambda parts: (parts.commit, parts.members[0].change) == (merged, head))
        << like(f.MirrorTarget, oid=merged)
        >> i.TargetSwapped(landing=L1, old=trunk, new=merged, tree=tree) << nothing
    )


def test_the_merge_names_its_task_and_attempt_and_a_rebuild_has_the_time_of_its_arrival() -> None:
    sim = landing()
    sim.now += 50_000
    effect = owed(sim, f.MergeCandidate)[0]
    assert isinstance(effect, f.MergeCandidate)
    (member,) = effect.members
    assert (member.task, member.commit, member.title) == ("T1", oid("c", "T1.1"), "task 0")
    sealed = sim.events(e.ChangeSealed)[0].sealed
    assert member.trailers == ("Andon-Task: T1", "Andon-Attempt: T1.1", f"Andon-Bundle: sha256:{sealed.bundle}",
                               f"Andon-Policy: sha256:{sealed.policy}", f"Andon-Ledger: {sealed.ledger}")
    assert member.at == sim.task().queued < sim.now, "the date of its merge is no matter of when it is made"
    assert effect.at == sim.state.landings[L1].planned_at < sim.now


def test_a_merged_tree_that_was_proven_before_is_not_run_again() -> None:
    sim = landing()
    events = sim.give(i.CandidateMerged(landing=L1, candidate=oid("fast-forward"), tree=oid("t", "T1.1")))
    assert [e.kind_of(event) for event in events] == [
        "landing.merged", "landing.checked", "landing.judged", "landing.chosen", "claim.judged"]
    assert "same tree, proven by" in sim.events(e.LandingChecked)[0].because
    assert owed(sim, f.MoveTarget)


def test_a_line_without_a_check_station_still_proves_the_merged_tree_with_all_checks() -> None:
    stations = (STATIONS[0], STATIONS[3])
    sim = landing(f.RunCheck, lines={"build": Line(name="build", stations=stations)})
    assert [run.purpose for run in sim.state.runs.values()] == ["landing"]


def test_a_landing_without_any_check_asks_a_person() -> None:
    sim = Sim(checks={}, lines={"build": Line(name="build", stations=(STATIONS[0], STATIONS[3]))})
    sim.add()
    while not sim.task().gate:
        sim.step()
    assert sim.gate().kind == "unevaluated"
    assert not sim.state.landings and not owed(sim, f.MoveTarget)


def test_with_one_slot_landings_are_serial_within_a_repository() -> None:
    sim = Sim(repos=2, checks=EXIT)
    for n in range(6):
        sim.add(repo=f"r{n % 2}")
    at_once = []
    while sim.step():
        landings = [landing.repo for landing in sim.state.landings.values()]
        assert len(landings) == len(set(landings))
        at_once.append(len(landings))
    assert max(at_once) == 2, "repositories do not wait for each other"
    assert sim.kinds().count("task.landed") == 6


def test_the_queue_goes_by_priority_then_by_arrival() -> None:
    sim = Sim(checks=EXIT)
    sim.give(PULL)
    sim.give(RELEASE)
    for n, priority in enumerate((0, 0, 9, 5)):
        sim.add(f"task {n}", priority=priority)
    sim.until(f.ImportWork)
    for effect in [effect for effect in sim.owed() if not isinstance(effect, f.ImportWork | f.MirrorTarget)]:
        sim.give(sim.answer(effect))
    sim.give(PULL)
    while not all(sim.task(name).station == "land" for name in sim.state.open):
        sim.give(sim.answer(sim.owed()[0]))
    sim.give(RELEASE)
    sim.run()
    assert [event.task for event in sim.events(e.TaskLanded)] == ["T3", "T4", "T1", "T2"]


def test_a_task_that_waits_for_its_turn_says_so() -> None:
    sim = landing(f.RunCheck, tasks=2)
    while not is_sealed(sim.task("T2")):
        sim.give(sim.answer(next(effect for effect in sim.owed() if not getattr(effect, "landing", ""))))
    assert sim.why("T2") == ("waits for its turn in the merge queue",)


def test_nothing_is_planned_or_moved_while_the_cord_is_pulled() -> None:
    sim = landing(f.MoveTarget)
    assert (
        Given.after(sim)
        >> PULL << like(e.CordPulled, because="smoke") << like(e.LandingAbandoned, landing=L1, because="T1 is kept from landing")
        >> RELEASE << like(e.CordReleased) << like(e.LandingPlanned, landing="L2") << like(f.MergeCandidate, landing="L2")
    )
    sim.give(PULL)
    assert not owed(sim, f.MoveTarget)
    assert sim.why() == ("line build is stopped by me: smoke",)
    before = Sim(checks=EXIT)
    before.add()
    before.until(f.RunCheck)
    before.give(PULL)
    before.run()
    assert before.task().station == "land" and not before.state.landings
    before.give(RELEASE)
    before.run()
    assert before.task().outcome == "done"


def test_a_conflict_goes_back_with_its_paths_and_starts_at_the_newer_trunk() -> None:
    sim = landing()
    assert (
        Given.after(sim)
        >> i.CandidateConflicted(landing=L1, paths=("src/a.py",), message="both changed it")
        << like(e.LandingConflicted, paths=("src/a.py",), task="T1", against="")
        << like(e.EntrySentBack, task="T1", commit=oid("c", "T1.1"), reason="conflict")
        << like(e.RetryScheduled, failure="conflict", packet=lambda text: "src/a.py" in text and "both changed it" in text)
        << like(e.TaskEntered) << like(e.AttemptClaimed, number=2, start="", base=sim.trunk[R])
        << like(f.PrepareCheckout, previous=oid("c", "T1.1"))
        >> i.CandidateConflicted(landing=L1, paths=("src/a.py",)) << nothing
    )


def test_a_person_who_moves_the_target_makes_the_landing_start_over() -> None:
    for kind in (f.MergeCandidate, f.MoveTarget):
        sim = landing(kind)
        moved = oid("by a person")
        seen = i.TargetSeen(repo=R, oid=moved, tree=oid("tree", moved))
        assert (
            Given.after(sim)
            >> seen << like(e.LandingAbandoned, landing=L1) << like(e.TargetObserved, oid=moved, by="person")
            << like(e.LandingPlanned, landing="L2", onto=moved) << like(f.MirrorTarget) << like(f.MergeCandidate, landing="L2")
            >> seen << nothing
        )


def test_our_own_move_seen_early_is_not_taken_for_a_persons() -> None:
    sim = landing(f.MoveTarget)
    move = sim.until(f.MoveTarget)
    done = sim.answer(move)
    assert (
        Given.after(sim) >> i.TargetSeen(repo=R, oid=move.new, tree=move.tree)
        << like(e.TargetMoved, landing=L1, new=move.new) << like(e.TaskLanded) << like(e.TargetObserved, by="landing")
        << like(e.TaskDone) << like(f.RecordLanding) << like(f.MirrorTarget)
        >> done << nothing
    )
    assert Given.after(sim) >> i.TargetSeen(repo=RepoId("r9"), oid=oid("x"), tree=oid("t")) << nothing


def test_a_move_that_a_crash_kept_from_being_recorded_is_recognised_at_the_start() -> None:
    sim = landing(f.MoveTarget)
    move = sim.until(f.MoveTarget)
    sim.answer(move)
    sim.give(PULL)
    repo = sim.state.repos[R]
    start = i.RepositorySeen(
        repo=R, path=repo.path, git_dir=repo.git_dir, by="me", loaded=loaded(repo.settings), trust=False, target=move.new,
        tree=move.tree,
    )
    sim.give(start)
    assert (sim.task().landed, sim.task().outcome, sim.state.repos[R].trunk) == (move.new, "done", move.new)


def test_a_candidate_that_was_never_proven_is_not_taken_for_landed() -> None:
    sim = landing(f.RunCheck)
    candidate = sim.state.landings[L1].candidate
    assert Given.after(sim) >> i.TargetSeen(repo=R, oid=candidate, tree=oid("t")) << nothing


def test_a_change_that_landed_while_its_task_was_given_up_is_told_to_a_person() -> None:
    sim = landing(f.MoveTarget)
    move = sim.until(f.MoveTarget)
    done = sim.answer(move)
    sim.give(PULL)
    sim.give(i.CancelTask(task=TaskId("T1"), by="me"))
    assert (
        Given.after(sim)
        >> done << like(e.TargetMoved, landing=L1, new=move.new) << like(e.TargetObserved, oid=move.new, by="landing")
        << like(e.ProblemNoticed, key="landed:L1", repo="r0", what=lambda text: "moved the target with T1" in text)
        << like(f.RecordLanding) << like(f.MirrorTarget, oid=move.new)
        >> done << nothing
    )


def test_a_lost_race_for_the_trunk_plans_again_on_the_new_one() -> None:
    sim = landing(f.MoveTarget)
    moved = oid("somebody was faster")
    assert (
        Given.after(sim)
        >> i.LandingRefused(landing=L1, because="trunk moved", oid=moved, tree=oid("t"))
        << like(e.LandingAbandoned, because="trunk moved") << like(e.TargetObserved, oid=moved)
        << like(e.LandingPlanned, landing="L2", onto=moved) << like(f.MirrorTarget) << like(f.MergeCandidate)
        >> i.LandingRefused(landing=L1, because="trunk moved", oid=moved, tree=oid("t")) << nothing
    )


def test_a_refused_proof_stops_the_queue_and_nothing_lands_until_a_person_looked() -> None:
    sim = landing(f.MoveTarget)
    refused = i.LandingRefused(landing=L1, because="candidate holds another tree")
    assert (
        Given.after(sim)
        >> refused << like(e.LandingAbandoned)
        << like(e.QueueHeld, repo="r0", by="andon", because="landing T1: candidate holds another tree")
        >> i.Ticked() << nothing
        >> RESUME << like(e.QueueResumed) << like(e.LandingPlanned, landing="L2") << like(f.MergeCandidate)
    )
    sim.give(i.HoldQueue(repo=R, because="smoke", by="me"))
    assert Given.after(sim) >> refused << nothing, "it is stopped already, and the landing was given up"


def test_a_merged_tree_that_fails_twice_goes_back_and_leaves_the_place_to_the_next() -> None:
    sim = landing(f.RunCheck)
    sim.check = lambda run: i.CheckRan(run=run.run, result="fail" if run.landing else "pass", because="1 of 3 tests failed")
    sim.do(f.RunCheck, landing=True)
    assert not sim.task("T1").failures and sim.task("T1").work, "one failure may be an accident"
    sim.add("another")
    assert sim.state.landings[LandingId("L2")].why == "confirm"
    sim.do(f.RunCheck, landing=True)
    assert sim.task("T1").failures[0].failure == "test"
    assert [event.result for event in sim.events(e.LandingJudged)] == ["fail", "fail"]
    assert len({run for event in sim.events(e.EntrySentBack) for run in event.runs}) == 2, "two runs are named as its evidence"
    assert "tests@merge: 1 of 3 tests failed" in sim.task("T1").packet
    sim.check = lambda run: i.CheckRan(run=run.run, result="pass", because="3 tests passed")
    sim.run()
    assert {sim.task("T1").outcome, sim.task("T2").outcome} == {"done"}


def test_a_merged_tree_that_cannot_be_evaluated_asks_and_keeps_the_queue_free() -> None:
    sim = landing(f.RunCheck)
    sim.give(i.CheckRan(run=next(iter(sim.state.runs)), result="unevaluated", because="exit 127", cause="missing-tool"))
    assert sim.gate().kind == "unevaluated" and not sim.state.landings
    sim.decide_gate("run-again")
    sim.run()
    assert sim.task().outcome == "done"


def test_a_change_that_lands_at_this_moment_cannot_be_cancelled() -> None:
    sim = landing(f.MoveTarget)
    command = i.CancelTask(task=TaskId("T1"), by="me")
    problem = refuse(sim.state, command)
    assert problem is not None and problem.what == "T1 is landing at this moment"
    assert Given.after(sim) >> command << nothing


def test_a_change_that_is_still_being_proven_can_be_cancelled() -> None:
    for kind in (f.MergeCandidate, f.RunCheck):
        sim = landing(kind)
        events = sim.give(i.CancelTask(task=TaskId("T1"), by="me"))
        assert "landing.abandoned" in [e.kind_of(event) for event in events]
        sim.run()
        assert sim.trunk[R] == oid("trunk", 0)
        assert not sim.give(i.CandidateMerged(landing=L1, candidate=oid("x"), tree=oid("y")))


def test_a_check_that_is_redefined_before_the_move_is_run_anew_on_the_merged_tree() -> None:
    sim = landing(f.RunCheck)
    told = loaded(settings(checks={"tests": Check(name="tests", run="make other")}))
    sim.give(i.SettingsSeen(repo=R, loaded=told))
    sim.give(i.TrustCommands(repo=R, commands=told.commands))
    run = next(run for run in sim.state.runs.values())
    assert run.purpose == "landing" and not owed(sim, f.MoveTarget)
    assert [effect.check.run for effect in owed(sim, f.RunCheck) if isinstance(effect, f.RunCheck)] == ["make other"]


def test_a_line_that_does_not_land_is_done_after_its_last_station() -> None:
    sim = Sim(checks=EXIT, lines={"build": Line(name="build", stations=STATIONS[:2])})
    sim.add()
    sim.run()
    assert (sim.task().outcome, sim.task().landed) == ("done", "")


def test_a_line_may_go_on_after_landing() -> None:
    stations = (*STATIONS, Station(name="celebrate", kind="gate", when="always"))
    sim = Sim(checks=EXIT, lines={"build": Line(name="build", stations=stations)})
    sim.add()
    sim.run()
    assert (sim.task().station, bool(sim.task().landed)) == ("celebrate", True)
    gone = settings(checks=EXIT)
    sim.give(i.SettingsSeen(repo=R, loaded=loaded(gone)))
    sim.decide_gate("approve")
    assert sim.task().outcome == "done"
