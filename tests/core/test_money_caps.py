"""Money before a start: what is reserved, which cap refuses it and why, and what makes room again."""

from typing import Any

import pytest

from andon.core import money
from andon.core.caps import day_of
from andon.core.image import freeze, thaw
from andon.core.schedule import next_deadline
from andon.schema import effects as f, events as e, inputs as i
from andon.schema.ids import AttemptId, RepoId
from andon.schema.settings import AgentSettings, Budget, FactorySettings, Line
from core.sim import STATIONS, Sim, loaded, settings

R = RepoId("r0")
DAY = 86_400_000


def agent(**changes: Any) -> AgentSettings:
    """The only agent of a small repository."""
    return AgentSettings(name="default", use="scripted", **changes)


def sim(budget: Budget | None = None, factory: FactorySettings | None = None, **changes: Any) -> Sim:
    """A factory at the noon of a day, with these limits."""
    made = Sim(**{"budget": budget or Budget(), **changes})
    made.now = 20_000 * DAY + DAY // 2
    if factory is not None:
        made.give(i.PersonSettingsSeen(settings=factory))
    return made


def live(made: Sim) -> list[str]:
    """Tasks that have an agent."""
    return sorted(attempt.task for attempt in made.state.attempts.values() if attempt.live)


def spend(made: Sim, task: str, usd: float, **more: Any) -> list[e.Event]:
    """The session of a task tells its sum."""
    fields: dict[str, Any] = {"output": int(usd * 1000), "metered": "reported", "requests": 1} | more
    return made.give(i.UsageSeen(attempt=AttemptId(f"{task}.1"), usd=usd, **fields))


def work(made: Sim, *tasks: str) -> None:
    """Let these tasks' sessions start."""
    for task in tasks:
        made.until(f.WatchSession, attempt=AttemptId(f"{task}.1"))


CAPS: dict[str, tuple[Budget, FactorySettings, dict[str, Any]]] = {
    "repository r0": (Budget(day_usd=100, reserve_usd=100), FactorySettings(), {}),
    "the factory": (Budget(reserve_usd=100), FactorySettings(day_usd=100), {}),
    "agent default in r0": (Budget(reserve_usd=100), FactorySettings(), {"agents": {"default": agent(usd_day=100)}}),
    "line build of r0": (
        Budget(reserve_usd=100), FactorySettings(), {"lines": {"build": Line(name="build", stations=STATIONS, usd_day=100)}}),
}


@pytest.mark.parametrize("whose", CAPS)
def test_of_three_agents_of_100_under_a_cap_of_100_two_are_refused_by_reservation(whose: str) -> None:
    budget, factory, changes = CAPS[whose]
    made = sim(budget, factory, **changes)
    for _ in range(3):
        made.add()
    assert live(made) == ["T1"] and made.attempt().reserve_usd == 100
    for task in ("T2", "T3"):
        assert made.why(task) == (
            f"{whose} may spend $100.00 a day: $0.00 spent, $100.00 held back for T1.1, this attempt reserves $100.00; "
            "room comes when T1.1 ends having spent less",)


def test_what_an_attempt_did_not_spend_makes_room_for_the_next() -> None:
    made = sim(Budget(day_usd=100, reserve_usd=60))
    made.add()
    made.add()
    work(made, "T1")
    spend(made, "T1", 30)
    assert live(made) == ["T1"], "30 are spent and 30 held back"
    made.give(made.answer(made.until(f.WatchSession, attempt=AttemptId("T1.1"))))
    made.do(f.ImportWork)
    assert live(made) == ["T2"]


def test_the_agents_own_reservation_comes_before_that_of_an_attempt_and_that_of_the_budget() -> None:
    def reserved(budget: Budget, **changes: Any) -> float:
        made = sim(budget, agents={"default": agent(**changes)})
        made.add()
        return made.attempt().reserve_usd

    assert reserved(Budget(day_usd=50)) == 1.0
    assert reserved(Budget(day_usd=50, attempt_usd=4)) == 4.0
    assert reserved(Budget(day_usd=50, attempt_usd=4), reserve_usd=3) == 3.0
    assert reserved(Budget(day_usd=50, attempt_usd=4), reserve_usd=9) == 4.0, "more than an attempt may spend is not needed"
    assert reserved(Budget(day_usd=0.25)) == 0.25, "the usual reservation never keeps a small cap from being used at all"


def test_without_a_cap_on_money_nothing_is_reserved() -> None:
    made = sim(Budget(tokens=1000), agents={"default": agent(account="mine", reserve_usd=5)})
    made.add()
    assert (made.attempt().account, made.attempt().reserve_usd) == ("mine", 0.0)


def test_an_account_is_the_adapters_when_the_settings_name_none() -> None:
    made = sim()
    made.add()
    assert made.attempt().account == "scripted"


def test_a_reservation_that_no_cap_could_ever_take_says_so() -> None:
    made = sim(Budget(day_usd=10), agents={"default": agent(reserve_usd=30)})
    made.add()
    assert live(made) == []
    assert "it could never start; reserve less, or raise budget.day.usd" in made.why("T1")[0]


def test_a_day_that_is_spent_ends_at_midnight_and_time_alone_lets_it_start() -> None:
    made = sim(Budget(day_usd=1, reserve_usd=1))
    made.add()
    work(made, "T1")
    spend(made, "T1", 1.0)
    made.give(i.CancelTask(task=made.task().task, by="me"))
    made.run()
    made.add()
    assert live(made) == [] and "the day is over at 00:00 UTC" in made.why("T2")[0]
    midnight = 20_001 * DAY
    assert next_deadline(made.state, made.now) == midnight
    made.now = midnight
    made.give(i.Ticked())
    assert live(made) == ["T2"]


def test_nothing_that_waits_means_no_deadline_at_midnight() -> None:
    made = sim(Budget(day_usd=1, reserve_usd=1))
    made.add()
    work(made, "T1")
    spend(made, "T1", 1.0)
    made.give(i.CancelTask(task=made.task().task, by="me"))
    made.run()
    assert next_deadline(made.state, made.now) == 0


@pytest.mark.parametrize("seed", range(25))
def test_agents_that_keep_to_what_is_reserved_never_pass_a_cap_together(seed: int) -> None:
    made = sim(Budget(day_usd=20, reserve_usd=4, attempts=9), wip=9, seed=seed)
    for _ in range(14):
        made.add()
    for _ in range(400):
        running = [attempt for attempt in made.state.attempts.values() if attempt.phase == "running"]
        if running and made.random.random() < 0.5:
            attempt = made.random.choice(running)
            usd = min(attempt.spent.usd + made.random.choice([0.002, 0.5, 1.7]), attempt.reserve_usd)
            made.give(i.UsageSeen(attempt=attempt.attempt, usd=usd, output=1, metered="reported", requests=1))
        elif not made.step():
            break
        spent = made.state.days.get(f"{day_of(made.now)} repo:r0")
        held = sum(max(0.0, attempt.reserve_usd - attempt.spent.usd) for attempt in made.state.attempts.values() if attempt.live)
        assert (spent.usd if spent else 0.0) + held <= 20 + 1e-6


# --- counting --------------------------------------------------------------------------------------------------------


def test_spending_is_summed_up_by_repository_line_agent_account_and_factory_of_the_day() -> None:
    made = sim(agents={"default": agent(account="a")})
    made.add()
    made.add()
    work(made, "T1", "T2")
    spend(made, "T1", 1.0, input=10)
    spend(made, "T2", 0.5)
    spend(made, "T1", 3.0, input=20)
    day = day_of(made.now)
    assert {key: spent.usd for key, spent in made.state.days.items()} == dict.fromkeys(
        (f"{day} repo:r0", f"{day} line:r0/build", f"{day} agent:r0/default", f"{day} account:a", f"{day} factory"), 3.5)
    assert made.state.days[f"{day} factory"].tokens == 20 + 3000 + 500


def test_only_today_and_yesterday_are_remembered() -> None:
    made = sim()
    made.add()
    work(made, "T1")
    for usd in (1.0, 2.0, 4.0):
        spend(made, "T1", usd)
        made.now += DAY
    today = made.now - DAY
    assert {key[:10] for key in made.state.days} == {day_of(today), day_of(today - DAY)}
    assert made.state.days[f"{day_of(today)} factory"].usd == 2.0, "what was new on that day"


def test_small_steps_are_not_recorded_one_by_one_and_sums_never_shrink() -> None:
    made = sim()
    made.add()
    work(made, "T1")
    assert len(spend(made, "T1", 0.001)) == 1, "the first word about it"
    for cents in range(2, 10):
        assert spend(made, "T1", cents / 1000, output=cents) == []
    assert len(spend(made, "T1", 0.02)) == 1
    assert spend(made, "T1", 0.01) == [] and made.attempt().spent.usd == 0.02
    assert len(spend(made, "T1", 0.02, output=9_000)) == 1, "so many tokens are worth a record"
    assert len(made.events(e.UsageCounted)) == 3


def test_what_the_last_turn_spent_is_recorded_to_the_last_token() -> None:
    made = sim()
    made.add()
    work(made, "T1")
    spend(made, "T1", 1.0, output=10)
    made.give(made.answer(made.until(f.WatchSession)))
    spend(made, "T1", 1.0, output=11)
    assert made.attempt().spent.output == 11


def test_a_tasks_spending_outlives_its_attempts_and_is_a_lower_bound_when_one_was_not_metered() -> None:
    made = sim()
    made.add()
    work(made, "T1")
    spend(made, "T1", 2.0)
    assert money.spent_on(made.state, made.task())[0].usd == 2.0 and made.task().spent.usd == 0
    made.run()
    assert made.task().over and AttemptId("T1.1") not in made.state.attempts
    assert (made.task().spent.usd, money.spent_on(made.state, made.task())[1]) == (2.0, True)
    made.add()
    made.run()
    spent, metered = money.spent_on(made.state, made.task("T2"))
    assert (spent.usd, metered) == (0.0, False), "nobody said what it spent"


def test_a_sum_that_is_no_number_is_not_counted() -> None:
    made = sim()
    made.add()
    work(made, "T1")
    spend(made, "T1", 1.0)
    for odd in (float("nan"), float("inf"), -5.0):
        made.give(i.UsageSeen(attempt=AttemptId("T1.1"), usd=odd, output=9_000_000, metered="reported", requests=1))
    assert made.attempt().spent.usd == 1.0 and thaw(freeze(made.state)) == made.state


def test_money_of_what_is_unmetered_is_not_invented() -> None:
    made = sim()
    made.add()
    work(made, "T1")
    spend(made, "T1", 9.0, metered="unmetered")
    assert (made.attempt().spent.usd, made.attempt().spent.tokens) == (0.0, 9000)
    assert money.spent_on(made.state, made.task())[1] is False


def test_spending_told_after_the_end_still_counts_for_its_task() -> None:
    made = sim()
    made.add()
    work(made, "T1")
    made.give(made.answer(made.until(f.WatchSession)))
    made.do(f.ImportWork)
    spend(made, "T1", 1.5)
    assert made.task().spent.usd == 1.5 and made.state.days[f"{day_of(made.now)} factory"].usd == 1.5


def test_a_snapshot_keeps_all_of_it() -> None:
    made = sim(Budget(day_usd=9))
    made.add()
    work(made, "T1")
    spend(made, "T1", 2.0)
    made.give(i.MachineSeen(because="load of 9"))
    assert thaw(freeze(made.state)) == made.state


# --- a task that can spend no more -----------------------------------------------------------------------------------


def spent_out(budget: Budget) -> Sim:
    """A task whose first attempt crashed after it had spent all."""
    made = sim(budget)
    made.exit = lambda effect: i.SessionEnded(attempt=effect.attempt, because="the machine went away")
    made.add()
    work(made, "T1")
    spend(made, "T1", 4.9, output=900)
    made.run()
    return made


@pytest.mark.parametrize(("budget", "limit"), [(Budget(usd=5), "$5.00"), (Budget(tokens=900), "900 tokens")])
def test_a_task_without_room_for_another_attempt_asks_instead_of_waiting_for_ever(budget: Budget, limit: str) -> None:
    made = spent_out(budget)
    gate = made.gate()
    assert (gate.kind, [option.key for option in gate.options]) == ("budget", ["raise", "cancel"])
    assert f"the task T1 may spend {limit}" in gate.question
    made.exit = lambda effect: i.SessionEnded(attempt=effect.attempt, because="again")
    made.decide_gate("raise")
    assert live(made) == ["T1"]


def test_it_can_be_given_up() -> None:
    made = spent_out(Budget(usd=5))
    made.decide_gate("cancel")
    assert made.task().outcome == "failed"


def test_the_question_goes_when_the_settings_give_room() -> None:
    made = spent_out(Budget(usd=5))
    made.give(i.SettingsSeen(repo=R, loaded=loaded(settings(budget=Budget(usd=50)))))
    assert made.task().gate == "" and live(made) == ["T1"]


def test_a_task_that_always_fails_over_restarts_of_the_daemon_stops_at_its_cap_and_becomes_a_gate() -> None:
    made = sim(Budget(usd=5, attempts=50))
    made.exit = lambda effect: i.SessionEnded(attempt=effect.attempt, because="the machine went away")
    made.add()
    for n in range(20):
        for _ in range(300):
            attempt = made.state.attempts.get(made.task().live)
            if made.task().gate or (attempt is not None and attempt.phase == "running") or not made.step():
                break
        if made.task().gate:
            break
        attempt = made.attempt(made.task().live)
        made.give(i.UsageSeen(attempt=attempt.attempt, usd=attempt.spent.usd + 0.9, output=10, metered="reported", requests=n))
        made.give(i.DaemonStarted(version="1", pid=n, boot="b"))
        while not made.task().gate and made.attempt(attempt.attempt).phase == "running" and made.step():
            pass
    assert made.gate().kind in ("budget", "stuck", "failure"), made.kinds()[-9:]
    assert money.spent_on(made.state, made.task())[0].usd <= 5.4
