"""The agent station: no exit, no word and no commit of an agent is believed; what git says is judged."""

from typing import Any

import msgspec
import pytest

from andon.schema import effects as f, events as e, inputs as i
from andon.schema.ids import AttemptId, Oid
from andon.schema.jobs import Exit, Said
from andon.schema.settings import Line, Policy, Station, Walls
from core.playbook import Given, like
from core.sim import STATIONS, Sim, oid

A = AttemptId("T1.1")
FOREIGN = oid("c", "another task")


def ready_to_read(sim: Sim, **task: Any) -> f.ImportWork:
    """A factory whose one attempt has ended and is to be read."""
    sim.add(**task)
    return sim.until(f.ImportWork)


def test_a_claim_is_followed_by_checkout_session_and_watch_one_after_the_other() -> None:
    sim = Sim()
    assert (
        Given.after(sim)
        >> i.AddTask(repo=next(iter(sim.trunk)), title="a", spec="do a", by="me")
        << like(e.TaskAdded, task="T1", title="a", by="me") << like(e.TaskEntered, station="build")
        << like(e.AttemptClaimed, attempt=A, number=1, fence=1, base=sim.trunk[next(iter(sim.trunk))], port=20_000)
        << like(f.PrepareCheckout, attempt=A)
        >> i.CheckoutReady(attempt=A, path="/c", isolation="clone")
        << like(e.CheckoutPrepared, path="/c") << like(f.StartSession, attempt=A, path="/c", prompt=lambda text: "do a" in text)
        >> i.SessionStarted(attempt=A, pid=7, ticks=1, boot="b", session="T1_1")
        << like(e.AttemptStarted, pid=7) << like(f.WatchSession, session="T1_1")
        >> i.SessionEnded(attempt=A, exit=Exit(code=0))
        << like(e.AttemptExited, code=0) << like(f.ImportWork, fence=1)
    )


def test_an_honest_commit_is_accepted_as_proven_work_and_goes_to_its_checks() -> None:
    sim = Sim()
    work = ready_to_read(sim)
    assert (
        Given.after(sim) >> sim.honest_work(work)
        << like(e.WorkImported, commit=oid("c", A)) << like(e.ClaimJudged, claim="work", status="proven")
        << like(e.AttemptAccepted, attempt=A) << like(e.TaskEntered, station="check")
        << like(e.RunPlanned, purpose="baseline") << like(e.RunPlanned, purpose="change")
        << like(f.RemoveCheckout, attempt=A) << like(f.RunCheck, commit=sim.trunk[next(iter(sim.trunk))])
    )


LIARS: dict[str, tuple[dict[str, Any], str]] = {
    "exits 0 without a commit": ({"commit": "base"}, "committed nothing"),
    "leaves its work uncommitted": ({"commit": "base", "dirty": True}, "did not commit"),
    "makes an empty commit": ({"tree": "base"}, "change nothing"),
    "brings another task's commit": ({"foreign": (FOREIGN,)}, f"commits of other tasks ({FOREIGN[:10]})"),
    "rewrites history": ({"descends": False}, "does not descend"),
    "leaves broken objects": ({"refused": "bad object"}, "git refused the work: bad object"),
}


@pytest.mark.parametrize("liar", LIARS)
def test_a_liar_goes_back_with_the_reason_and_never_becomes_a_change(liar: str) -> None:
    sim = Sim()
    work = ready_to_read(sim)
    fields, message = LIARS[liar]
    fields = {name: {"commit": work.base, "tree": oid("tree", work.base)}[name] if value == "base" else value
              for name, value in fields.items()}
    assert (
        Given.after(sim) >> sim.honest_work(work, **fields)
        << like(e.AttemptFailed, failure="contract", message=lambda text: message in text)
        << like(e.RetryScheduled, failure="contract", packet=lambda text: message in text)
        << like(e.TaskEntered, station="build") << like(e.AttemptClaimed, number=2, fence=2)
        << like(f.RemoveCheckout, attempt=A) << like(f.PrepareCheckout, attempt="T1.2")
    )


def test_an_invented_commit_is_refused_and_the_true_one_is_compared_by_prefix() -> None:
    sim = Sim()
    sim.add()
    sim.until(f.WatchSession)
    sim.give(i.AgentSaid(attempt=A, said=Said(n=1, kind="finished", commit="deadbeef")))
    work = sim.until(f.ImportWork)
    sim.give(sim.honest_work(work))
    assert "named commit deadbeef" in sim.attempt().outcome
    sim.until(f.WatchSession, attempt="T1.2")
    truth = oid("c", "T1.2")
    sim.give(i.AgentSaid(attempt=AttemptId("T1.2"), said=Said(n=1, kind="finished", commit=truth[:9])))
    sim.give(sim.honest_work(sim.until(f.ImportWork, attempt="T1.2")))
    assert sim.task().work is not None and sim.events(e.WorkImported)[-1].said_commit == truth[:9]


EXITS: dict[str, tuple[Exit | None, str, str]] = {
    "crashes after it committed": (Exit(code=1), "crash", "exit code 1"),
    "is killed by a signal": (Exit(signal=9), "crash", "a signal"),
    "runs into its limit": (Exit(signal=15, because="timeout"), "limit", "time limit"),
    "cannot be started": (Exit(code=127, because="not-started", error="no such file"), "contract", "could not be started"),
    "is ended from outside": (Exit(signal=15, because="stopped"), "transient", "nobody had asked for it"),
    "is lost": (None, "transient", "lost"),
}


@pytest.mark.parametrize("way", EXITS)
def test_what_an_attempt_committed_before_a_bad_end_is_never_accepted(way: str) -> None:
    sim = Sim()
    sim.add()
    sim.until(f.WatchSession)
    sim.give(i.AgentSaid(attempt=A, said=Said(n=1, kind="finished", text="done")))
    seen, failure, message = EXITS[way]
    sim.give(i.SessionEnded(attempt=A, exit=seen, because="the process is gone"))
    sim.give(sim.honest_work(sim.until(f.ImportWork)))
    failed = sim.events(e.AttemptFailed)[-1]
    assert (failed.failure, sim.task().work) == (failure, None)
    assert message in failed.message
    assert sim.task().attempts == ((A, "T1.2") if failure != "transient" else (A,))


def test_a_lost_session_waits_its_backoff_before_the_next_attempt() -> None:
    sim = Sim()
    sim.add()
    sim.until(f.WatchSession)
    sim.give(i.SessionEnded(attempt=A, because="machine reset"))
    sim.do(f.ImportWork)
    sim.do(f.RemoveCheckout)
    assert sim.why() == ("tries again in 2 s",)
    assert sim.task().live == ""
    sim.now += 2_000
    sim.give(i.Ticked())
    assert sim.task().live == "T1.2"


def test_paths_outside_the_scope_are_named_and_refused() -> None:
    sim = Sim()
    work = ready_to_read(sim, paths=("docs/**",))
    sim.give(sim.honest_work(work, paths=("docs/a.md", "src/a.py")))
    assert "outside its scope: src/a.py" in sim.attempt().outcome


def test_paths_within_the_scope_become_a_claim() -> None:
    sim = Sim()
    work = ready_to_read(sim, paths=("src/**",))
    sim.give(sim.honest_work(work))
    assert [claim.claim for claim in sim.task().claims] == ["work", "scope"]


def test_more_paths_than_were_read_cannot_be_within_a_scope() -> None:
    sim = Sim()
    work = ready_to_read(sim, paths=("src/**",))
    sim.give(sim.honest_work(work, paths_total=900))
    assert "more than can be compared" in sim.attempt().outcome


@pytest.mark.parametrize(("paths", "told"), [
    (("src/a.py", "tests/hidden/x"), "hidden from it: tests/hidden/x"), (("tests/open.py",), "may only read: tests/open.py"),
    (("docs/secret",), "hidden from it: docs/secret"),
])
def test_a_change_at_a_path_that_its_station_does_not_give_it_is_refused(paths: tuple[str, ...], told: str) -> None:
    build = Station(name="build", kind="agent", hide=("tests/hidden/**",), read_only=("tests/**",))
    lines = {"build": Line(name="build", stations=(build, *STATIONS[1:]))}
    sim = Sim(lines=lines, sandbox=Walls(level="strict", hide=("docs/secret",)))
    work = ready_to_read(sim)
    sim.give(sim.honest_work(work, paths=paths))
    assert told in sim.attempt().outcome


def test_the_station_and_the_walls_together_say_what_a_checkout_lacks_and_a_session_sees() -> None:
    build = Station(name="build", kind="agent", hide=("a/**",), read_only=("b/**",))
    lines = {"build": Line(name="build", stations=(build, *STATIONS[1:]))}
    sim = Sim(lines=lines, sandbox=Walls(level="strict", hide=("c",), read_only=("d",)))
    sim.add()
    assert sim.until(f.PrepareCheckout).hide == ("c", "a/**")
    start = sim.until(f.StartSession)
    assert "do not change: `d`, `b/**`" in start.prompt and "Not shown to you, and not for you to make: `c`, `a/**`" in start.prompt
    walls = start.walls
    assert (walls.hide, walls.read_only, walls.level) == (("c", "a/**"), ("d", "b/**"), "strict")
    assert sim.state.repos[next(iter(sim.state.repos))].settings.sandbox.hide == ("c",), "checks see what it hides"


def test_an_agent_whose_memory_was_used_up_fails_with_that_cause() -> None:
    sim = Sim()
    sim.exit = lambda effect: i.SessionEnded(attempt=effect.attempt, exit=Exit(code=1, starved=1, error="its memory was used up"))
    sim.add()
    work = sim.until(f.ImportWork)
    sim.give(sim.honest_work(work))
    assert "exit code 1: its memory was used up" in sim.attempt().outcome


def test_a_login_that_moved_is_told_by_digest_and_changes_nothing() -> None:
    sim = Sim()
    sim.add()
    sim.until(f.WatchSession)
    before = sim.state
    moved = i.LoginMoved(attempt=A, file="/home/me/.codex/auth.json", how="written-back", before="a" * 64, after="b" * 64, until=7)
    assert [type(event) for event in sim.give(moved)] == [e.LoginRefreshed]
    assert sim.state.attempts == before.attempts
    assert not sim.give(msgspec.structs.replace(moved, attempt=AttemptId("T9.9")))


def test_a_stale_fencing_token_changes_nothing() -> None:
    sim = Sim()
    work = ready_to_read(sim)
    assert not sim.give(sim.honest_work(work, fence=work.fence - 1))
    assert not sim.give(sim.honest_work(work, fence=work.fence + 1))
    assert sim.give(sim.honest_work(work))


def test_an_answer_that_comes_twice_counts_once() -> None:
    sim = Sim()
    sim.add()
    for kind in (f.PrepareCheckout, f.StartSession, f.WatchSession, f.ImportWork, f.RemoveCheckout):
        answer = sim.answer(sim.until(kind))
        assert sim.give(answer)
        before = sim.state
        assert not sim.give(answer), kind
        assert sim.state == before


def test_the_next_attempt_after_a_failed_check_goes_on_from_the_earlier_commit() -> None:
    sim = Sim()
    sim.check = lambda run: i.CheckRan(run=run.run, result="fail", because="1 of 3 tests failed", failing=("test_a",), failed=1)
    sim.add()
    effect = sim.until(f.PrepareCheckout, attempt="T1.2")
    assert (effect.start, effect.previous, effect.base) == (oid("c", A), oid("c", A), sim.attempt().base)
    start = sim.until(f.StartSession, attempt="T1.2")
    assert "goes on from your earlier commits" in start.prompt and "1 of 3 tests failed" in start.prompt
    sim.until(f.ImportWork, attempt="T1.2")
    sim.give(sim.honest_work(sim.until(f.ImportWork, attempt="T1.2"), commit=oid("c", A)))
    assert "committed nothing" in sim.attempt("T1.2").outcome, "handing in the earlier commit again is nothing new"


def test_the_next_attempt_after_a_contract_failure_starts_anew() -> None:
    sim = Sim()
    work = ready_to_read(sim)
    sim.give(sim.honest_work(work, commit=work.base))
    effect = sim.until(f.PrepareCheckout, attempt="T1.2")
    assert (effect.start, effect.previous) == (effect.base, Oid(""))
    assert "starts anew" in sim.until(f.StartSession, attempt="T1.2").prompt


def test_the_commits_of_other_open_tasks_are_named_to_whoever_reads_the_work() -> None:
    sim = Sim(policy=Policy(walls="none"))
    sim.add("first")
    while not sim.task().gate:
        sim.step()
    sim.add("second")
    assert sim.until(f.ImportWork, attempt="T2.1").others == (oid("c", A),)
