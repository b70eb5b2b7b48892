"""What floods, fills the disk or burns the processor is named, and healthy work that is loud, big or long never is."""

from typing import Any

import pytest

from andon.core.monitor import Watch, begin, judge, observe
from andon.schema.rules import Rules
from andon.schema.signals import (
    AnySignal,
    Attended,
    Call,
    Disk,
    PermissionWanted,
    Screen,
    Spoke,
    ToolBegan,
    ToolEnded,
    Tree,
    TurnBegan,
    TurnEnded,
    Verdict,
)
from andon_config.rules import load_rules

RULES: Rules = load_rules(None)
MB, GB = 1_000_000, 1_000_000_000
CAUSES = ("flooding", "disk", "cpu")


class Session:
    """A session that is looked at every few seconds."""

    def __init__(self, agent: str = "claude", rules: Rules = RULES, *, told: bool = True, now: float = 0.0) -> None:
        self.watch: Watch = begin(agent, 1 + round(now * 1000))
        self.rules = rules
        self.now = now
        self.cpu = self.child_cpu = 0.0
        self.poured = self.written = self.io = 0
        self.causes: set[str] = set()
        if told:
            self.tell(TurnBegan, prompt="do it")

    def tell(self, kind: type, source: str = "hook", **fields: Any) -> "Session":
        """A signal now."""
        signal: AnySignal = kind(at=1 + round(self.now * 1000), source=source, **fields)
        self.watch = observe(self.watch, signal, self.rules)
        return self

    def goes_on(self, seconds: float, *, every: float = 10.0, pane: float = 0.0, disk: float = 0.0, io: float = 0.0,
                own: float = 0.0, child: float = 0.0, children: int = 0, commands: tuple[str, ...] = (),
                known: bool = True) -> "Session":
        """So long it pours, writes and reads so many MB a second, with so many cores in use."""
        end = self.now + seconds
        while self.now < end:
            step = min(every, end - self.now)
            self.now += step
            self.poured += round(pane * MB * step)
            self.written += round(disk * MB * step)
            self.io += round(io * MB * step)
            self.child_cpu += child * step
            self.cpu += (own + child) * step
            self.tell(Tree, "process", alive=True, children=children, cpu_s=self.cpu, child_cpu_s=self.child_cpu, io_bytes=self.io,
                      commands=commands, pane_bytes=self.poured if known else -1, written=self.written if known else -1)
            self.causes.add(self.says().cause)
        return self

    def says(self) -> Verdict:
        """What it is said to do."""
        return judge(self.watch, 1 + round(self.now * 1000), self.rules)

    @property
    def never(self) -> bool:
        """Whether it was never said to run away."""
        return not self.causes & set(CAUSES)


def at_work(*, target: str = "python3 solve.py", rules: Rules = RULES) -> Session:
    return Session(rules=rules).tell(ToolBegan, call="c", name="Bash", target=target)


# --- flooding --------------------------------------------------------------------------------------------------------


def test_a_flood_is_named_once_it_has_lasted_and_its_state_stays_what_it_was() -> None:
    s = at_work().goes_on(10).goes_on(20, pane=40.0)
    assert s.says().cause == ""
    verdict = s.goes_on(10, pane=40.0).says()
    assert (verdict.health, verdict.cause, verdict.rule, verdict.source) == ("working", "flooding", "pane-floods", "process")
    assert "40.0 MB a second" in verdict.because and "hook: runs Bash" in verdict.conflict


def test_a_flood_ends_with_the_first_quiet_look_and_begins_anew() -> None:
    s = at_work().goes_on(10).goes_on(60, pane=40.0)
    assert s.says().cause == "flooding"
    assert s.goes_on(10).says().cause == ""
    assert s.goes_on(20, pane=40.0).says().cause == ""


def test_a_chatty_test_run_and_a_long_log_are_no_flood() -> None:
    s = at_work(target="pytest -vv -s").goes_on(7200, pane=0.5, children=3, child=1.0, commands=("pytest",))
    assert s.never


def test_bursts_with_pauses_between_them_are_no_flood() -> None:
    s = at_work()
    for _ in range(100):
        s.goes_on(20, pane=30.0).goes_on(10)
    assert s.never


def test_bursts_within_long_gaps_between_looks_are_no_flood() -> None:
    s = at_work().goes_on(10)
    s.goes_on(180, every=60, pane=5.0)
    assert s.never


def test_a_pane_of_which_tmux_heard_nothing_is_not_flooded_whatever_was_counted() -> None:
    def drew(s: Session) -> Session:
        return s.tell(Screen, "pane", rows=("x",), activity=round(s.now))

    quiet, loud = Session(now=1_700_000_000.0), Session(now=1_700_000_000.0)
    drew(quiet).goes_on(60).goes_on(300, pane=20.0)
    drew(loud.goes_on(10)).goes_on(35, pane=20.0)
    assert "flooding" not in quiet.causes and loud.says().cause == "flooding"


def test_where_nobody_counts_what_goes_into_the_pane_nothing_floods() -> None:
    assert at_work().goes_on(600, pane=50.0, known=False).never


def test_a_flood_of_an_agent_at_its_prompt_is_named_too() -> None:
    s = Session().goes_on(10).tell(TurnEnded).goes_on(60, pane=20.0, own=0.5)
    assert (s.says().health, s.says().cause) == ("idle-at-prompt", "flooding")


def test_who_waits_for_a_person_is_said_to_wait_and_not_to_flood() -> None:
    s = at_work().goes_on(10).tell(PermissionWanted, ask="a", tool="Bash").goes_on(60, pane=20.0)
    assert (s.says().health, s.says().cause) == ("waiting-permission", "permission")


# --- disk ------------------------------------------------------------------------------------------------------------


def weighed(session: Session, *, grown: float = 0.0, free: float = 500.0, written: float = 0.0) -> Verdict:
    session.tell(Disk, "process", weight=round(grown * GB), grown=round(grown * GB), free=round(free * GB),
                 written=round(written * GB))
    return session.says()


def test_a_checkout_that_grew_past_the_bound_is_named_until_it_is_lighter_again() -> None:
    s = at_work().goes_on(10)
    assert weighed(s, grown=9.9, written=9.9).cause == ""
    verdict = weighed(s, grown=10.1, written=10.1)
    assert (verdict.health, verdict.cause, verdict.rule) == ("working", "disk", "checkout-grows")
    assert "10.1 GB" in verdict.because and any("500.0 GB are free" in line for line in verdict.evidence)
    assert weighed(s, grown=0.2, written=10.1).cause == ""


def test_who_filled_a_file_system_that_runs_full_is_named_and_who_did_not_is_not() -> None:
    verdict = weighed(at_work().goes_on(10), grown=0.5, free=1.0, written=1.5)
    assert (verdict.cause, verdict.rule) == ("disk", "disk-nearly-full")
    assert weighed(at_work().goes_on(10), grown=0.5, free=1.0, written=0.5).cause == ""


def test_an_install_that_writes_two_gigabytes_is_named_nothing() -> None:
    s = at_work(target="npm install").goes_on(300, disk=7.0, io=20.0, pane=0.01, child=1.5, children=4, commands=("npm install",))
    assert weighed(s, grown=2.1, written=2.1).cause == "" and s.never


# --- cpu -------------------------------------------------------------------------------------------------------------


def test_a_burner_with_nothing_to_show_is_guessed_after_its_time_and_not_before() -> None:
    s = at_work().goes_on(10).goes_on(1790, child=1.0, children=1, commands=("solve.py",))
    assert s.never
    verdict = s.goes_on(20, child=1.0, children=1, commands=("solve.py",)).says()
    assert (verdict.health, verdict.cause, verdict.rule, verdict.confidence) == ("working", "cpu", "processor-burns", "guess")
    assert "solve.py" in verdict.because


def test_an_agent_that_tells_nothing_and_burns_by_itself_is_guessed_too_and_one_with_an_open_turn_is_hung_before() -> None:
    assert Session("mine", told=False).goes_on(10, every=5).goes_on(2000, every=60, own=1.0).says().cause == "cpu"
    assert Session("mine").goes_on(10, every=5).goes_on(2000, every=60, own=1.0).says().cause == "hung-stream"


def test_looks_that_come_but_once_a_minute_are_enough() -> None:
    assert at_work().goes_on(10).goes_on(1900, every=60, child=1.0, children=1, commands=("solve.py",)).says().cause == "cpu"


BURNS: dict[str, Any] = {"child": 1.0, "children": 1, "commands": ("solve.py",)}


@pytest.mark.parametrize("names", [
    ("cc1plus", "make"), ("cargo",), ("rustc",), ("pytest",), ("npm install",), ("mypy",), ("train.py",),
])
def test_a_long_build_or_test_run_burns_nothing(names: tuple[str, ...]) -> None:
    assert at_work().goes_on(10).goes_on(4 * 3600, child=3.9, children=len(names), commands=names).never


def test_a_build_that_is_only_named_in_the_command_that_was_told_burns_nothing() -> None:
    assert at_work(target="cd x && /usr/bin/make -j8").goes_on(10).goes_on(7200, **BURNS).never


def test_many_commands_at_once_may_have_a_build_among_them() -> None:
    names = ("a", "b", "c", "d", "e")
    assert at_work().goes_on(10).goes_on(7200, child=2.0, children=9, commands=names).never


def test_a_person_adds_their_own_builders() -> None:
    rules = Rules(thresholds=RULES.thresholds, builders=("solve*",))
    assert at_work(rules=rules).goes_on(10).goes_on(7200, **BURNS).never


def test_work_that_writes_or_reads_has_something_to_show() -> None:
    assert at_work().goes_on(10).goes_on(7200, disk=0.001, **BURNS).never
    assert at_work().goes_on(10).goes_on(7200, io=0.01, **BURNS).never


def test_a_silent_command_that_uses_little_of_a_core_burns_nothing() -> None:
    assert at_work().goes_on(10).goes_on(7200, child=0.5, children=1, commands=("solve.py",)).never


def test_words_tools_and_model_calls_are_something_to_show() -> None:
    s = Session()
    for n in range(12):
        s.goes_on(900, **BURNS)
        if n % 3 == 0:
            s.tell(ToolBegan, call=f"c{n}", name="Bash").tell(ToolEnded, call=f"c{n}")
        elif n % 3 == 1:
            s.tell(Spoke, characters=9)
        else:
            s.tell(Call, "gateway", request=f"r{n}", phase="ended", status=200)
    assert s.never


def test_a_new_picture_is_something_to_show_and_a_spinner_is_not() -> None:
    alive, spins = at_work().goes_on(10), at_work().goes_on(10)
    for n in range(200):
        spinner = (f"✻ Pondering… ({n}s · ↓ 18 tokens)", "\u276f ", "  esc to interrupt")
        for s, rows in ((alive, (f"step {n} of 200",)), (spins, spinner)):
            s.goes_on(10, **BURNS).tell(Screen, "pane", rows=rows)
    assert alive.never and "cpu" in spins.causes


def test_nobody_is_said_to_burn_while_a_person_is_at_it() -> None:
    assert at_work().tell(Attended, "process", present=True).goes_on(10).goes_on(7200, **BURNS).never


def test_where_nobody_counts_what_is_written_nothing_burns() -> None:
    assert at_work().goes_on(10).goes_on(7200, known=False, **BURNS).never


def test_a_machine_that_slept_did_not_burn_meanwhile() -> None:
    s = at_work().goes_on(10).goes_on(900, **BURNS)
    s.goes_on(3000, every=3000, child=0.9, children=1, commands=("solve.py",)).goes_on(900, **BURNS)
    assert s.never


# --- the moments and the ladders -------------------------------------------------------------------------------------


def test_the_moment_at_which_it_may_be_named_is_told_beforehand() -> None:
    s = at_work().goes_on(10).goes_on(20, pane=20.0)
    assert 0 < s.says().look_at - 1 - s.now * 1000 <= 10_001
    s = at_work().goes_on(10).goes_on(100, **BURNS)
    assert 0 < s.says().look_at <= 1 + 1810 * 1000


def test_each_has_a_ladder_that_ends_at_a_person_and_never_stops_anything() -> None:
    for cause in ("flooding", "disk", "cpu"):
        rungs = [step.do for step in RULES.ladders[cause]]
        assert rungs[-1] == "gate" and set(rungs) <= {"wait", "gate"}, cause
    assert RULES.ladders["cpu"][0].do == "wait"
