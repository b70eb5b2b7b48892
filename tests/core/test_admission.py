"""Who may start besides money: accounts at a limit stop only their own agents, strain stops all, failing starts are spaced."""

import itertools
from typing import Any

import msgspec
import pytest

from andon.core import money
from andon.core.accounts import HEALTHY_MS, spacing_ms
from andon.core.project import project
from andon.core.refuse import refuse
from andon.core.schedule import next_deadline
from andon.schema import effects as f, events as e, inputs as i, views as v
from andon.schema.ids import AttemptId, RepoId
from andon.schema.jobs import Exit
from andon.schema.settings import Admission, AgentSettings, Budget, FactorySettings, Retry
from andon.schema.signals import Verdict
from core.sim import Sim

AGENTS = {
    "default": AgentSettings(name="default", use="claude"), "other": AgentSettings(name="other", use="codex"),
    "second": AgentSettings(name="second", use="codex", account="claude"),
}
A = AttemptId("T1.1")


def running(**changes: Any) -> Sim:
    """One session of the account `claude` at work."""
    made = Sim(agents=AGENTS, **changes)
    made.add()
    made.until(f.WatchSession)
    return made


def verdict(cause: Any, until: int = 0) -> Verdict:
    """What the monitor says of a session at a limit."""
    return Verdict(health="rate-limited", because="the provider said 429", source="gateway", since=1, cause=cause, until=until)


def limit(made: Sim, cause: str, until: int = 0) -> list[e.Event]:
    """The session comes to a limit."""
    return made.give(i.HealthSeen(attempt=A, verdict=verdict(cause, until)))


def agents(made: Sim) -> list[str]:
    """Agents at work."""
    return sorted(attempt.agent for attempt in made.state.attempts.values() if attempt.live)


# --- accounts --------------------------------------------------------------------------------------------------------


def test_a_limit_stops_only_agents_of_that_account_and_says_until_when() -> None:
    made = running()
    limit(made, "rate-limit", made.now + 60_000)
    made.add()
    made.add(agent="second")
    made.add(agent="other")
    assert agents(made) == ["default", "other"]
    assert made.why("T2") == made.why("T3")
    assert made.why("T2")[0].startswith("account claude is at its limit until 1970-01-01 00:17:40 UTC: rate-limit of T1.1")


def test_its_end_comes_with_time_alone() -> None:
    made = running()
    limit(made, "rate-limit", made.now + 60_000)
    made.add()
    made.now += 60_000
    made.give(i.Ticked())
    assert [event.account for event in made.events(e.AccountFreed)] == ["claude"]
    assert agents(made) == ["default", "default"]


def test_the_end_of_a_limit_is_a_deadline() -> None:
    made = running()
    until = made.now + 30_000
    made.state = money_fold(made, e.AccountLimited(account="claude", until=until, because="x"))
    assert next_deadline(made.state, made.now) == until


def money_fold(made: Sim, event: e.Event) -> Any:
    """The state after one event."""
    from andon.core.evolve import evolve

    return evolve(made.state, event, made.now)


@pytest.mark.parametrize("cause", ["auth", "quota"])
def test_a_login_or_quota_holds_until_somebody_or_a_success_says_otherwise(cause: str) -> None:
    made = running()
    limit(made, cause)
    made.add()
    assert agents(made) == ["default"] and "until one of its turns succeeds or a person frees it" in made.why("T2")[0]
    freed = i.FreeAccount(account="claude", by="me")
    assert refuse(made.state, freed) is None
    made.give(freed)
    assert agents(made) == ["default", "default"]
    odd = refuse(made.state, freed)
    assert odd is not None and odd.what == "account claude is at no limit"


def test_a_turn_that_succeeds_frees_its_account() -> None:
    made = running()
    made.give(i.ConversationSeen(attempt=A, conversation="c", interactive=True))
    limit(made, "quota")
    made.give(i.TurnOver(attempt=A, turn=1, trouble="quota", text="no"))
    assert "claude" in made.state.accounts, "a turn that failed frees nothing"
    made.give(i.TurnOver(attempt=A, turn=2, text="done"))
    assert dict(made.state.accounts) == {}


@pytest.mark.parametrize("cause", ["rate-limit", "overloaded"])
def test_a_limit_without_an_end_is_the_sessions_own_matter(cause: str) -> None:
    made = running()
    assert not [event for event in limit(made, cause) if isinstance(event, e.AccountLimited)]


@pytest.mark.parametrize("cause", ["hung-stream", "context", ""])
def test_other_troubles_limit_no_account(cause: str) -> None:
    made = running()
    assert money.limited(made.state, made.attempt(), verdict(cause, made.now + 9_000), made.now) == []


def test_the_same_limit_is_recorded_once_and_a_later_end_again() -> None:
    made = running()
    until = made.now + 60_000
    for end in (until, until, until + 500, until + 30_000, until):
        made.state = fold_all(made, money.limited(made.state, made.attempt(), verdict("rate-limit", end), made.now))
    assert made.state.accounts["claude"].until == until + 30_000


def fold_all(made: Sim, events: list[e.Event]) -> Any:
    """The state after these events."""
    assert len(events) <= 1
    return money_fold(made, events[0]) if events else made.state


def test_accounts_in_use_or_limited_are_drawn_with_what_they_spent_today() -> None:
    made = running()
    made.add(agent="other")
    made.give(i.UsageSeen(attempt=A, usd=1.5, output=100, input=20, metered="reported", requests=1))
    limit(made, "quota")
    drawn = [view for view in project(made.state, {}).values() if isinstance(view, v.AccountView)]
    assert [(view.account, view.live, view.usd_today, view.tokens_today, bool(view.because)) for view in drawn] == [
        ("claude", 1, 1.5, 120, True), ("codex", 1, 0.0, 0, False)]


# --- the machine -----------------------------------------------------------------------------------------------------


def test_nothing_starts_on_a_strained_machine_and_all_that_runs_goes_on() -> None:
    made = running()
    made.give(i.MachineSeen(because="memory: 10 MB are free, at least 1024 MB must be"))
    made.add()
    assert agents(made) == ["default"] and not made.attempt().pause_asked
    assert made.why("T2") == ("the machine takes no further agent: memory: 10 MB are free, at least 1024 MB must be",)
    made.give(i.MachineSeen())
    assert agents(made) == ["default", "default"]


def test_other_figures_of_the_same_strain_are_not_recorded() -> None:
    made = Sim()
    for because in ("load of 9.1", "load of 9.7", "memory: 1 MB", "", ""):
        made.give(i.MachineSeen(because=because))
    assert [event.because for event in made.events(e.MachineStrained)] == ["load of 9.1", "memory: 1 MB"]
    assert len(made.events(e.MachineEased)) == 1


# --- the ramp --------------------------------------------------------------------------------------------------------


def fallen(tasks: int = 3) -> Sim:
    """A daemon comes back after one that fell; tasks wait."""
    made = Sim(agents=AGENTS, wip=9)
    made.add()
    made.give(i.CancelTask(task=made.task().task, by="me"))
    made.run()
    made.now += 3_600_000
    made.give(i.PersonSettingsSeen(settings=FactorySettings(wip=9)))
    made.give(i.MachineSeen(because="load of 9"))
    for _ in range(tasks):
        made.add()
    made.give(i.DaemonStarted(version="1", pid=2, boot="b"))
    made.give(i.MachineSeen())
    return made


def test_after_a_fall_agents_start_one_after_the_other() -> None:
    made = fallen()
    assert len(agents(made)) == 1
    assert made.why("T3")[0].startswith("agents start 1 s apart for now")
    assert next_deadline(made.state, made.now) == made.now + 1000
    for wanted in (2, 3):
        made.now += 1000
        made.give(i.Ticked())
        assert len(agents(made)) == wanted


def test_a_daemon_that_left_in_order_needs_no_ramp() -> None:
    made = Sim(agents=AGENTS, wip=9)
    made.add()
    made.give(i.DaemonStopping(because="asked"))
    made.give(i.DaemonStarted(version="1", pid=2, boot="b"))
    for _ in range(3):
        made.add()
    assert len(agents(made)) == 4


def test_starts_that_keep_failing_are_spaced_ever_wider_up_to_a_minute_and_a_healthy_one_ends_it() -> None:
    made = Sim(agents=AGENTS, wip=1, retry=Retry(transient=50, backoff_s=0), budget=Budget(attempts=90))
    made.give(i.PersonSettingsSeen(settings=FactorySettings(wip=1, admission=Admission(ramp_s=2.0), restarts=0)))
    made.exit = lambda effect: i.SessionEnded(attempt=effect.attempt, exit=Exit(code=1))
    wide: list[int] = []
    for _ in range(8):
        made.add()
        made.run()
        wide.append(spacing_ms(made.state))
    assert made.state.failing_starts >= 6 and wide == sorted(wide) and wide[-1] == 60_000


def test_a_start_that_lives_for_half_a_minute_ends_the_ramp() -> None:
    made = fallen(tasks=4)
    while steps := [effect for effect in made.owed() if isinstance(effect, f.PrepareCheckout | f.StartSession)]:
        made.give(made.answer(steps[0]))
    assert len(agents(made)) == 1
    made.now += HEALTHY_MS
    made.give(i.Ticked())
    assert len(agents(made)) == 4 and made.state.failing_starts == 0


def test_the_half_minute_of_a_start_is_a_deadline_when_the_next_step_is_later() -> None:
    made = fallen()
    while steps := [effect for effect in made.owed() if isinstance(effect, f.PrepareCheckout | f.StartSession)]:
        made.give(made.answer(steps[0]))
    made.state = msgspec.structs.replace(made.state, failing_starts=20)
    assert next_deadline(made.state, made.now) == made.now + HEALTHY_MS


def rebooted() -> Sim:
    """Four sessions that had run for an hour are lost with the machine, and the daemon comes back."""
    made = Sim(agents=AGENTS, wip=9)
    for _ in range(4):
        made.add()
    while steps := [effect for effect in made.owed() if isinstance(effect, f.PrepareCheckout | f.StartSession)]:
        made.give(made.answer(steps[0]))
    for n in range(1, 5):
        made.give(i.ConversationSeen(attempt=AttemptId(f"T{n}.1"), conversation=f"c{n}", interactive=True))
    made.now += 3_600_000
    made.give(i.DaemonStarted(version="1", pid=2, boot="another"))
    for n in range(1, 5):
        made.give(i.SessionEnded(attempt=AttemptId(f"T{n}.1"), because="the machine was reset"))
    return made


def test_sessions_that_were_lost_with_the_machine_come_back_one_after_the_other() -> None:
    made = rebooted()
    while imports := [effect for effect in made.owed() if isinstance(effect, f.ImportWork)]:
        made.give(made.answer(imports[0]))
    resumed = [event.not_before for event in made.events(e.SessionResumed)]
    assert len(resumed) == 4
    assert all(later - earlier >= 1000 for earlier, later in itertools.pairwise(resumed)), resumed
    made.give(i.AddTask(repo=RepoId("r0"), title="one more", spec="x"))
    assert made.why("T5")[0].startswith("agents start 1 s apart"), "it comes after them"


def test_who_waits_hours_for_an_account_keeps_nobody_else_from_starting() -> None:
    made = rebooted()
    made.give(i.HealthSeen(attempt=A, verdict=verdict("quota")))
    made.state = money_fold(made, e.AccountLimited(account="claude", until=made.now + 18_000_000, because="used up"))
    while imports := [effect for effect in made.owed() if isinstance(effect, f.ImportWork)]:
        made.give(made.answer(imports[0]))
    assert all(event.not_before >= made.now + 18_000_000 for event in made.events(e.SessionResumed))
    made.add(agent="other")
    made.now += 1000
    made.give(i.Ticked())
    assert made.attempt("T5.1").live


def test_an_agent_that_is_quick_and_ends_well_is_no_failing_start() -> None:
    made = Sim(agents=AGENTS)
    for _ in range(4):
        made.add()
    made.run()
    assert made.state.failing_starts == 0
