"""Rules are set aside for a while and by name, lines are dark once they earned it, and weaker settings are told."""

from typing import Any

import pytest
from hypothesis import given, settings as hypothesis, strategies as st

from andon.core import lights, waivers
from andon.core.classify import classified
from andon.core.evolve import evolve
from andon.core.refuse import refuse
from andon.core.schedule import next_deadline
from andon.core.state import State, Work, cord_key
from andon.office import unsigned
from andon.schema import events as e, inputs as i
from andon.schema.facts import KEPT_EACH, MEANING, Fact, Facts, Watch, gathered
from andon.schema.ids import AttemptId, Digest, Oid, RepoId, TaskId
from andon.schema.settings import Check, Floors, Line, Policy, Settings, Station
from core.playbook import Given, like, nothing
from core.sim import STATIONS, Sim, loaded, settings

R, T1 = RepoId("r0"), TaskId("T1")
DAY = 86_400_000
NONE = Oid("")
SIGNED = Digest("5" * 64)
OPEN = Policy(ship=("**",), walls="none")


def gated(*facts: Fact, policy: Policy = OPEN, **changes: Any) -> Sim:
    """A factory whose one change, of which this was seen, has come to its gate station, or past it."""
    sim = Sim(policy=policy, **changes)
    honest = sim.honest_work
    sim.work = lambda effect: honest(effect, paths=("src/a.py",), paths_total=1, facts=Facts(seen=facts, looked=effect.watch))
    sim.add(title="paint it")
    while not sim.task().gate and sim.task().station != "land":
        sim.step()
    return sim


def fact(rule: str, path: str = "src/a.py", name: str = "") -> Fact:
    return Fact(rule=rule, path=path, name=name, what="seen")  # type: ignore[arg-type]  # any word of the table


def waive(sim: Sim, rule: str, **changes: Any) -> i.WaiveRule:
    said = {"task": T1, "until": sim.now + DAY, "because": "looked at by hand", "by": "me", **changes}
    return i.WaiveRule(repo=R, rule=rule, **said)


def ask(sim: Sim, command: i.Command) -> str:
    problem = refuse(sim.state, command)
    if problem is None:
        sim.give(command)
    return problem.what if problem else ""


# --- waivers ---------------------------------------------------------------------------------------------------------


def test_a_waiver_sets_aside_what_it_names_and_the_gate_goes_by_itself() -> None:
    sim = gated(fact("dependency"))
    assert sim.gate().risk == "review"
    assert not ask(sim, waive(sim, "dependency"))
    sim.run()
    assert sim.task().landed


def test_the_owners_of_what_changed_are_named_at_the_gate() -> None:
    assert gated(fact("build"), fact("owner", name="@org/a")).gate().because.endswith("; owned by @org/a")


def test_a_waiver_is_told_on_the_gate_that_something_else_still_keeps_open() -> None:
    sim = gated(fact("dependency"), fact("build"))
    sim.give(waive(sim, "dependency"))
    known = waivers.judged(sim.state, sim.task())
    assert known is not None and known.risk == "review" and "W1 waives dependency until 1970-01-02" in known.because
    assert [one.waived for one in known.findings] == ["W1", ""]


def test_an_expired_waiver_blocks_again_by_itself_at_its_own_deadline() -> None:
    sim = gated(fact("dependency"), fact("build"))
    sim.give(waive(sim, "dependency"))
    assert next_deadline(sim.state, sim.now) == sim.now + DAY
    sim.now += DAY
    assert Given.after(sim) >> i.Ticked() << like(e.WaiverEnded, waiver="W1") << ...
    sim.give(i.Ticked())
    known = waivers.judged(sim.state, sim.task())
    assert not sim.state.waivers and known is not None and "waives" not in known.because


def test_a_waiver_that_a_person_takes_back_ends_and_one_of_a_task_ends_with_it() -> None:
    sim = gated(fact("build"), fact("dependency"))
    sim.give(waive(sim, "dependency"))
    assert not ask(sim, i.EndWaiver(waiver="W1", by="me")) and not sim.state.waivers
    assert "no waiver W1" in ask(sim, i.EndWaiver(waiver="W1"))
    sim.give(waive(sim, "dependency"))
    sim.give(i.CancelTask(task=T1, because="no", by="me"))
    assert not sim.state.waivers


def test_what_is_of_class_stop_is_waived_by_a_signature_alone_and_no_socket_can_bring_one() -> None:
    sim = gated(fact("migration"))
    assert "only a signed approval" in ask(sim, waive(sim, "migration"))
    command = waive(sim, "migration", signature=SIGNED)
    assert isinstance(unsigned(command), i.WaiveRule) and unsigned(command) == waive(sim, "migration")
    assert not ask(sim, command)
    sim.run()
    assert sim.task().landed


def test_a_waiver_without_a_signature_does_not_cover_what_became_of_class_stop_since() -> None:
    sim = gated(fact("build"))
    stop = Policy(ship=("**",), walls="none", classes={"build": "stop"})
    sim.give(waive(sim, "build"))
    sim = gated(fact("build"), policy=stop)
    sim.state = evolve(
        sim.state, e.WaiverGranted(waiver="W1", repo=R, rule="build", task=T1, until=sim.now + DAY, because="x", by="me"), sim.now
    )
    known = waivers.judged(sim.state, sim.task())
    assert known is not None and known.risk == "stop"


def test_a_waiver_for_paths_covers_those_and_no_others() -> None:
    sim = gated(fact("build", "notes/a.mk"), fact("build", "src/b.mk"))
    sim.give(waive(sim, "build", task=TaskId(""), paths=("notes/**",)))
    known = waivers.judged(sim.state, sim.task())
    assert known is not None and [one.waived for one in known.findings] == ["W1", ""] and known.risk == "review"


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"rule": "nonsense"}, "there is no rule"),
        ({"rule": "unread"}, "there is no rule"),
        ({"rule": "tests"}, "what lands was proven"),
        ({"task": TaskId("")}, "for one task or for some paths"),
        ({"paths": ("a/**",)}, "for one task or for some paths"),
        ({"task": TaskId(""), "paths": ("**",)}, "no waiver but another policy"),
        ({"because": " "}, "needs a reason"),
        ({"until": 5}, "is over"),
        ({"until": 40 * DAY + 1_000_000}, "at most 30 days"),
        ({"task": TaskId("T9")}, "no open task T9"),
        ({"rule": "loosens"}, "only a signed approval"),
        ({"rule": "stop"}, "only a signed approval"),
    ],
)
def test_a_waiver_without_bounds_is_refused_and_says_what_is_missing(changes: dict[str, Any], told: str) -> None:
    sim = gated(fact("dependency"))
    assert told in ask(sim, waive(sim, changes.pop("rule", "dependency"), **changes))


def test_a_repository_may_allow_no_waivers_at_all() -> None:
    sim = gated(fact("dependency"), policy=Policy(ship=("**",), walls="none", waiver_days=0))
    assert "allows no waivers" in ask(sim, waive(sim, "dependency"))


def test_a_moment_is_told_as_a_date() -> None:
    assert waivers.day(1_900_000_000_000) == "2030-03-17 17:46 UTC" and waivers.day(0) == "1970-01-01 00:00 UTC"


# --- settings that judge less ----------------------------------------------------------------------------------------


def seen(changed: Settings) -> i.SettingsSeen:
    return i.SettingsSeen(repo=R, loaded=loaded(changed))


def test_an_edit_by_hand_that_loosens_is_in_force_and_told_loudly() -> None:
    sim = Sim()
    weaker = settings(checks={"tests": Check(name="tests", run="pytest --junitxml={report}", report="junit", minimum_tests=0)})
    assert (
        Given.after(sim)
        >> seen(weaker)
        << like(e.SettingsActivated)
        << like(e.GateLoosened, what=("check tests: minimum_tests 1 -> 0",), landed="")
        << like(e.ProblemNoticed, key="loosened:r0")
    )


def test_an_edit_that_judges_more_is_told_by_nothing() -> None:
    tighter = settings(policy=Policy(ship=("**",), stop=("secret/**",), walls="none"))
    assert Given.after(Sim()) >> seen(tighter) << like(e.SettingsActivated)


# --- lights ----------------------------------------------------------------------------------------------------------


def line(shown: str) -> dict[str, Line]:
    return {"build": Line(name="build", stations=STATIONS, lights=shown)}  # type: ignore[arg-type]  # a word of Lights


def landed(sim: Sim, times: int, first: int = 100, escaped: int = 0, ago: int = 0) -> None:
    """Landings that the line is remembered by."""
    from andon.core.state import Shipped

    ones = tuple(Shipped(task=TaskId(f"T{900 + n}"), at=sim.now - ago, first=n < first, escaped=n < escaped) for n in range(times))
    key = cord_key(R, "build")
    sim.state = type(sim.state)(
        **{name: getattr(sim.state, name) for name in State.__struct_fields__}
        | {"shipped": sim.state.shipped.set(key, (*sim.state.shipped.get(key, ()), *ones))}
    )


def approve(sim: Sim, **changes: Any) -> i.ApproveLights:
    return i.ApproveLights(
        repo=R, line="build", **{"lights": "dark", "because": "it earned it", "by": "me", "signature": SIGNED, **changes}
    )


def test_lights_on_shows_a_person_every_change_and_dim_is_as_it_always_was() -> None:
    assert gated(lines=line("on")).task().gate and not gated(lines=line("dim")).task().gate
    assert gated(fact("build"), lines=line("dim")).task().gate


def test_an_edit_of_the_settings_alone_makes_no_line_dark_and_is_told() -> None:
    sim = gated(fact("build"), lines=line("dark"))
    assert sim.task().gate and lights.of(sim.state, sim.state.repos[R], "build") == "dim"
    assert "stays dim: it has not earned it: 0 landings in 28 days" in sim.state.problems["lights:r0/build"].what


def test_dark_is_refused_below_its_floors_with_the_numbers_and_without_a_signature() -> None:
    sim = Sim(lines=line("dark"))
    landed(sim, 10, first=5, escaped=1)
    told = ask(sim, approve(sim))
    assert (
        "10 landings in 28 days, at least 20" in told
        and "50 % landed with their first attempt" in told
        and "10 % were taken back" in told
    )
    landed(sim, 90)
    assert "only a signed approval" in ask(sim, approve(sim, signature=Digest("")))
    assert lights.of(sim.state, sim.state.repos[R], "build") == "dim"


def test_a_dark_line_lands_reviews_by_itself_and_never_a_stop() -> None:
    for rule, asks in (("build", False), ("migration", True)):
        sim = Sim(lines=line("dark"))
        landed(sim, 30)
        assert not ask(sim, approve(sim))
        honest = sim.honest_work
        facts = (fact(rule),)
        sim.work = lambda effect, honest=honest, facts=facts: honest(  # type: ignore[misc]  # bound in this turn
            effect, paths=("src/a.py",), paths_total=1, facts=Facts(seen=facts, looked=effect.watch)
        )
        sim.add(title="paint it")
        while not sim.task().gate and sim.task().station != "land":
            sim.step()
        assert bool(sim.task().gate) is asks, rule


def test_a_bad_week_dims_a_dark_line_by_itself_and_says_so() -> None:
    sim = Sim(lines=line("dark"))
    landed(sim, 100, ago=20 * DAY)
    assert not ask(sim, approve(sim)) and lights.of(sim.state, sim.state.repos[R], "build") == "dark"
    landed(sim, 4, first=1)
    assert Given.after(sim) >> i.Ticked() << like(e.LightsDimmed, line="build") << like(e.ProblemNoticed, key="lights:r0/build")
    sim.give(i.Ticked())
    assert lights.of(sim.state, sim.state.repos[R], "build") == "dim"
    assert Given.after(sim) >> i.Ticked() << nothing


def test_a_person_can_take_dark_back_at_any_time() -> None:
    sim = Sim(lines=line("dark"))
    landed(sim, 30)
    sim.give(approve(sim))
    assert not ask(sim, approve(sim, lights="dim", signature=Digest("")))
    assert lights.of(sim.state, sim.state.repos[R], "build") == "dim"


def test_what_landed_is_counted_with_its_attempts_and_a_revert_counts_against_it() -> None:
    sim = Sim()
    sim.add(title="one")
    sim.run()
    assert [(one.first, one.escaped) for one in sim.state.shipped[cord_key(R, "build")]] == [(True, False)]
    sim.give(i.RevertLanding(task=T1, because="wrong", by="me"))
    sim.run()
    assert [(one.first, one.escaped) for one in sim.state.shipped[cord_key(R, "build")]] == [(True, True)]
    shown = lights.figures(sim.state, R, "build", 28)
    assert (shown.landings, shown.first_pass, shown.escapes) == (1, 100, 100)


def test_floors_are_measured_over_the_days_that_count() -> None:
    sim = Sim()
    landed(sim, 50, ago=30 * DAY)
    assert lights.figures(sim.state, R, "build", 28).landings == 0
    assert lights.missing(lights.figures(sim.state, R, "build", 365), Floors(), landings=20) == ""


# --- properties ------------------------------------------------------------------------------------------------------

RANK = {"ship": 0, "review": 1, "stop": 2}
PATHS = st.sampled_from(["docs/a.md", "src/a.py", "src/auth/b.py", "andon.toml", "x/y/z"])
FACTS = st.builds(fact, st.sampled_from(sorted(MEANING)), PATHS, st.sampled_from(["", "@org/a", "pii", "login"]))
POLICIES = st.builds(
    Policy,
    ship=st.sampled_from([(), ("**",), ("docs/**",)]),
    review=st.sampled_from([(), ("src/**",)]),
    stop=st.sampled_from([(), ("**/auth/**",)]),
    owners=st.sampled_from([{}, {"@org/a": "stop"}]),
    data=st.sampled_from([{}, {"pii": ("x/**",)}]),
    classes=st.sampled_from([{}, {"build": "ship"}, {"schema": "stop"}]),
)


def change(paths: list[str], facts: list[Fact], policy: Policy) -> Work:
    from andon.core.classify import watch_of

    known = tuple(dict.fromkeys(paths))
    return Work(
        attempt=AttemptId(""),
        commit=NONE,
        tree=NONE,
        base=NONE,
        base_tree=NONE,
        paths=known,
        paths_total=len(known),
        facts=gathered(facts, watch_of(policy)),
    )


@hypothesis(max_examples=120, deadline=None)
@given(POLICIES, st.lists(PATHS, max_size=4), st.lists(FACTS, max_size=6), PATHS, FACTS)
def test_more_of_a_change_never_lowers_its_class(policy: Policy, paths: list[str], facts: list[Fact], path: str, one: Fact) -> None:
    less, more = change(paths, facts, policy), change([*paths, path], [*facts, one], policy)
    assert RANK[classified(policy, more).risk] >= RANK[classified(policy, less).risk]


def test_facts_that_are_not_kept_never_hide_a_kind_of_fact() -> None:
    many = [fact("dependency", f"a{n}") for n in range(2_000)] + [fact("loosens")]
    kept = gathered(many, Watch())
    assert [one.rule for one in kept.seen].count("dependency") == KEPT_EACH and any(one.rule == "loosens" for one in kept.seen)
    crowd = gathered([fact("data", name=f"class{n}") for n in range(900)], Watch())
    assert any(one.rule == "unread" for one in crowd.seen)


def test_no_setting_lowers_what_loosens_a_gate() -> None:
    policy = Policy(ship=("**",), classes={"loosens": "ship", "unread": "ship", "unclear": "review", "gate": "ship"})
    for rule, least in (("loosens", "stop"), ("unread", "stop"), ("unclear", "stop"), ("gate", "review")):
        assert classified(policy, change(["a"], [fact(rule)], policy)).risk == least


def test_a_station_that_never_asks_still_asks_about_what_loosens_a_gate() -> None:
    stations = (*STATIONS[:2], Station(name="review", kind="gate", when="never"), STATIONS[3])
    sim = gated(fact("loosens"), lines={"build": Line(name="build", stations=stations)})
    assert sim.gate().risk == "stop" and "loosens what judges" in sim.gate().because
