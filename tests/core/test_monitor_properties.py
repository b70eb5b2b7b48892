"""The monitor takes whatever comes: never raises, stays bounded, and gives the same verdict for the same facts. And it is cheap."""

import sys
import time
from typing import Any

import msgspec
from hypothesis import example, given, settings, strategies as st

from andon.core.monitor import Watch, begin, judge, observe
from andon.schema.rules import Rules, ScreenRule, Thresholds
from andon.schema.signals import (
    AnswerWanted,
    AnySignal,
    AskSettled,
    Attended,
    Began,
    Call,
    Compacting,
    Ended,
    Files,
    Helper,
    PermissionWanted,
    Retrying,
    Screen,
    Spoke,
    ToolBegan,
    ToolEnded,
    Tree,
    TurnBegan,
    TurnEnded,
    TurnFailed,
    Usage,
)
from andon_config.rules import load_rules

KINDS = (AnswerWanted, AskSettled, Attended, Began, Call, Compacting, Ended, Files, Helper, PermissionWanted, Retrying, Screen,
         Spoke, ToolBegan, ToolEnded, Tree, TurnBegan, TurnEnded, TurnFailed, Usage)
TWICE = (ToolBegan, ToolEnded, TurnBegan, TurnEnded, PermissionWanted, AskSettled, Usage, Helper, Spoke)
RULES = load_rules(None)
SLOWER = 12 if sys.gettrace() else 4
"""Room for a machine that others share, and for a tracer."""
OBSERVE_US, JUDGE_US = 20.0 * SLOWER, 50.0 * SLOWER
SHORT = {str: st.sampled_from(("", "a", "b", "c", "Bash", "x" * 400)), float: st.sampled_from((-1.0, 0.0, 0.5, 3.0, 1e9))}


def field_of(kind: Any) -> st.SearchStrategy[Any]:
    """Values of a field's type, mostly few and equal ones, so that calls and asks meet."""
    if kind is int:
        return st.sampled_from((-5, 0, 1, 2, 200, 401, 429, 529, 2**40))
    return SHORT[kind] if kind in SHORT else st.from_type(kind)


def signals() -> st.SearchStrategy[AnySignal]:
    """Any signal at any moment, also before the beginning and long ago."""
    at = st.one_of(st.integers(-10, 10**7), st.integers(0, 2_000))

    def one(kind: Any) -> st.SearchStrategy[Any]:
        fields = {field.name: field_of(field.type) for field in msgspec.structs.fields(kind) if field.name not in ("at", "usage")}
        return st.builds(kind, at=at, **fields)
    return st.one_of(*(one(kind) for kind in KINDS))


@settings(max_examples=150, deadline=None)
@given(st.lists(signals(), max_size=40), st.integers(-10, 10**8), st.booleans(), st.sampled_from(("claude", "codex", "")))
def test_it_never_raises_and_always_says_something(heard: list[AnySignal], at: int, open_task: bool, agent: str) -> None:
    watch = begin(agent, 0)
    for signal in heard:
        watch = observe(watch, signal, RULES)
        verdict = judge(watch, at, RULES, open_task=open_task)
        assert verdict.because and verdict.rule and verdict.since >= 0
        assert verdict.look_at == 0 or verdict.look_at > max(at, watch.at)
        assert len(verdict.evidence) <= 6


@example([TurnEnded(at=0, source="none", background=-5)], 0)
@settings(max_examples=80, deadline=None)
@given(st.lists(signals(), max_size=25), st.integers(0, 10**7))
def test_what_comes_twice_at_once_says_the_same(heard: list[AnySignal], at: int) -> None:
    once = twice = begin("claude", 0)
    for signal in heard:
        once = observe(once, signal, RULES)
        if isinstance(signal, TWICE):
            twice = observe(twice, signal, RULES)
        twice = observe(twice, signal, RULES)
    assert judge(once, at, RULES).health == judge(twice, at, RULES).health
    assert once.turn.number == twice.turn.number
    assert {ask.ask for ask in once.asks} == {ask.ask for ask in twice.asks}


def test_what_it_remembers_is_bounded() -> None:
    watch = begin("claude", 0)
    for n in range(3_000):
        for signal in (
            TurnBegan(at=n, source="hook", turn=f"t{n}", prompt="p" * 400),
            ToolBegan(at=n, source="hook", call=f"c{n}", name="Bash"), Helper(at=n, source="hook", helper=str(n)),
            PermissionWanted(at=n, source="hook", ask=f"a{n}", tool=f"T{n}", target=str(n)),
            Call(at=n, source="gateway", request=str(n), phase="sent"), Usage(at=n, source="hook", key=str(n), output=1),
            Compacting(at=n, source="hook", done=True), Spoke(at=n, source="hook", text="w" * 900, note="n" * 300),
        ):
            watch = observe(watch, signal, RULES)
    assert len(msgspec.json.encode(watch)) < 60_000
    assert watch.usage.output == 3_000


def test_a_rule_that_is_no_expression_matches_nothing_and_breaks_nothing() -> None:
    rules = Rules(screens=(ScreenRule(name="bad", health="auth", all=("(",)), ScreenRule(name="none", health="auth")))
    watch = observe(begin("claude", 0), Screen(at=1, source="pane", rows=("(",)), rules)
    assert judge(watch, 2, rules).rule not in ("bad", "none")


def test_senseless_thresholds_break_nothing() -> None:
    nothing = Thresholds(hung_s=0, silent_s=0, idle_s=0, dead_s=0, same_calls=0, same_cycle=0, compactions=0, reverts=0)
    rules = Rules(thresholds=nothing)
    watch = begin("claude", 0)
    for n in range(60):
        watch = observe(watch, ToolBegan(at=n, source="hook", call=str(n % 7), name="Edit", target="f", digest=str(n % 3)), rules)
        watch = observe(watch, ToolEnded(at=n, source="hook", call=str(n % 7), digest="r"), rules)
        assert judge(watch, n, rules).because


def busy() -> tuple[Watch, list[AnySignal]]:
    """A session in the middle of its work, and what comes next."""
    watch = begin("claude", 0)
    coming: list[AnySignal] = []
    for n in range(0, 60_000, 1_000):
        call = str(n)
        coming += [
            Call(at=n, source="gateway", request=call, phase="sent"),
            Call(at=n + 100, source="gateway", request=call, phase="first"),
            Spoke(at=n + 200, source="api", characters=9),
            ToolBegan(at=n + 300, source="hook", call=call, name="Bash", digest=call),
            Tree(at=n + 400, source="process", alive=True, children=2, cpu_s=n / 1e3, child_cpu_s=n / 2e3),
            ToolEnded(at=n + 500, source="hook", call=call, digest=call, note="words"),
            Usage(at=n + 600, source="hook", key=call),
            Call(at=n + 700, source="gateway", request=call, phase="ended", status=200, digest=call),
        ]
    for signal in coming:
        watch = observe(watch, signal, RULES)
    return watch, coming


def test_a_signal_costs_microseconds_and_a_verdict_too() -> None:
    watch, coming = busy()
    observing = judging = 1e9
    for _ in range(5):
        start = time.process_time()
        fresh = begin("claude", 0)
        for signal in coming:
            fresh = observe(fresh, signal, RULES)
        observing = min(observing, (time.process_time() - start) / len(coming) * 1e6)
        start = time.process_time()
        for n in range(500):
            judge(watch, 60_000 + n, RULES)
        judging = min(judging, (time.process_time() - start) / 500 * 1e6)
    print(f"observe {observing:.1f} us, judge {judging:.1f} us")
    assert observing < OBSERVE_US
    assert judging < JUDGE_US
