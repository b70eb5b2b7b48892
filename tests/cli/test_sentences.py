"""Every kind of event has a sentence of its own."""

import typing

import msgspec
import pytest

from andon.schema import events as e
from andon.schema.ids import AttemptId, Digest, LandingId, Oid, RepoId, RunId, TaskId
from andon.schema.sentences import sentence

KINDS: tuple[type[e.Event], ...] = typing.get_args(e.AnyEvent)


def sample(kind: type[msgspec.Struct], word: str = "x") -> e.AnyEvent:
    """An event of this kind with every field filled in from its type."""
    raw = _filled(kind, word) | {"type": kind.__struct_config__.tag}
    event: e.AnyEvent = msgspec.convert(raw, type=e.AnyEvent)
    return event


def _filled(kind: type[msgspec.Struct], word: str) -> dict[str, object]:
    return {field.encode_name: _value(field.type, word) for field in msgspec.structs.fields(kind)}


def _value(kind: object, word: str) -> object:
    origin, args = typing.get_origin(kind), typing.get_args(kind)
    supertype = getattr(kind, "__supertype__", None)
    if supertype is not None:
        return _value(supertype, word)
    if origin is typing.Literal:
        return args[0]
    if origin is tuple and args[-1] is Ellipsis:
        struct = isinstance(args[0], type) and issubclass(args[0], msgspec.Struct)
        return [_filled(args[0], word) if struct else _value(args[0], word)]
    if origin is tuple:
        return [_value(one, word) for one in args]
    if args and type(None) in args:
        return _value(args[0], word)
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return {field.encode_name: _value(field.type, word) for field in msgspec.structs.fields(kind) if field.required}
    simple: dict[object, object] = {str: word, int: 7, float: 1.5, bool: True}
    return simple[kind]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: str(kind.__struct_config__.tag))
def test_each_kind_of_event_has_a_sentence_that_is_more_than_its_name(kind: type[e.Event]) -> None:
    event = sample(kind)
    told = sentence(event)
    assert told != e.kind_of(event) and " " in told


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: str(kind.__struct_config__.tag))
def test_a_sentence_is_one_bounded_line_whatever_the_words_in_it(kind: type[e.Event]) -> None:
    told = sentence(sample(kind, "two\nlines\r\n" + "long " * 2000))
    assert "\n" not in told and "\r" not in told


def test_words_of_an_agent_are_quoted_and_cut() -> None:
    told = sentence(e.AttemptSaid(attempt=AttemptId("T7.1"), n=1, kind="progress", text="word " * 100))
    assert "“word" in told and "…”" in told and len(told) < 200


def test_finished_is_told_as_asserted_and_never_as_a_fact() -> None:
    told = sentence(e.AttemptSaid(attempt=AttemptId("T7.1"), n=1, kind="finished", text="all green"))
    assert "asserted" in told and "proven" not in told


# --- the merge queue -------------------------------------------------------------------------------------------------

DEMO, L5, R7, T1, T2, T3 = RepoId("demo"), LandingId("L5"), RunId("R7"), TaskId("T1"), TaskId("T2"), TaskId("T3")
A, B, C = Oid("a" * 40), Oid("b" * 40), Oid("c" * 40)
BOTH = (e.Member(task=T1, commit=A), e.Member(task=T2, commit=B))
QUEUE: dict[str, tuple[e.AnyEvent, str]] = {
    "a plan of an older log": (
        e.LandingPlanned(landing=L5, repo=DEMO, task=T1, commit=A, onto=C), "L5 will land T1 (aaaaaaaaaa) onto cccccccccc"),
    "a plan of one": (
        e.LandingPlanned(landing=L5, repo=DEMO, task=T1, commit=A, onto=C, members=BOTH[:1]),
        "L5 will land T1 (aaaaaaaaaa) onto cccccccccc"),
    "a plan of several": (
        e.LandingPlanned(landing=L5, repo=DEMO, task=T2, commit=B, onto=C, members=BOTH),
        "L5 will land 2 changes together onto cccccccccc: T1, T2"),
    "a confirmation": (
        e.LandingPlanned(landing=L5, repo=DEMO, task=T1, commit=A, onto=C, members=BOTH[:1], why="confirm", suspect=T1),
        "L5 will prove T1 (aaaaaaaaaa) once more, alone, on cccccccccc, because it failed"),
    "a plan without a suspect": (
        e.LandingPlanned(landing=L5, repo=DEMO, task=T2, commit=B, onto=C, members=BOTH, why="without", suspect=T3),
        "L5 will prove T1, T2 without T3 on cccccccccc"),
    "a merge of several": (
        e.LandingMerged(landing=L5, candidate=C, tree=A, steps=(
            e.MergedStep(task=T1, commit=A, tree=A), e.MergedStep(task=T2, commit=C, tree=A))),
        "L5 merged 2 changes to candidate cccccccccc, to be proven"),
    "a conflict of an older log": (
        e.LandingConflicted(landing=L5, paths=("a.py",)), "L5 conflicts in a.py; nothing moved"),
    "a conflict with the target": (
        e.LandingConflicted(landing=L5, paths=("a.py",), task=T2), "T2 conflicts with the target in a.py (L5); nothing moved"),
    "a conflict with another": (
        e.LandingConflicted(landing=L5, paths=("a.py", "b.py"), task=T2, against=T1),
        "T2 conflicts with T1 in a.py, b.py (L5); nothing moved"),
    "a check": (
        e.LandingChecked(landing=L5, check="tests", result="fail", run=R7, because="2 of 9 tests failed"),
        "tests says fail about the merged tree of L5: 2 of 9 tests failed"),
    "a proof": (e.LandingJudged(landing=L5, result="pass", because="3 checks"), "the merged tree of L5 is proven: 3 checks"),
    "a refutation": (e.LandingJudged(landing=L5, result="fail", because="tests"), "the merged tree of L5 is refuted: tests"),
    "no verdict": (
        e.LandingJudged(landing=L5, result="unevaluated", because="no pytest"),
        "the merged tree of L5 could not be evaluated: no pytest"),
    "a flake": (
        e.FlakeSeen(repo=DEMO, check="tests", tree=A, tests=("t::one", "t::two")),
        "tests of demo said yes and no about the same tree aaaaaaaaaa: t::one, t::two"),
    "a flake without a name": (
        e.FlakeSeen(repo=DEMO, check="lint", tree=A),
        "lint of demo said yes and no about the same tree aaaaaaaaaa and names no test"),
    "a mended flake": (
        e.FlakeForgotten(repo=DEMO, tests=("t::one",), by="ann"), "ann says that t::one of demo is mended: a failure counts again"),
    "an order": (
        e.QueueOrdered(repo=DEMO, order=(T2, T1), by="ann", because="urgent"),
        "ann put first in the queue of demo: T2, T1; urgent"),
    "no order": (e.QueueOrdered(repo=DEMO, order=(), by="ann"), "ann put nothing first in the queue of demo"),
    "a held entry": (e.EntryHeld(task=T1, because="after the talk", by="ann"), "ann keeps T1 from landing: after the talk"),
    "a released entry": (e.EntryReleased(task=T1, by="ann"), "ann lets T1 land again"),
    "a culprit": (
        e.EntrySentBack(repo=DEMO, task=T3, commit=A, reason="failed", because="2 of 9 tests failed", runs=(R7,), against=(T1, T2)),
        "T3 goes back, it fails alone on the target: 2 of 9 tests failed; likely against T1, T2"),
    "a change that does not merge": (
        e.EntrySentBack(repo=DEMO, task=T3, commit=A, reason="conflict", because="a.py"),
        "T3 goes back, it does not merge with the target: a.py"),
    "a dropped change": (
        e.EntrySentBack(repo=DEMO, task=T3, commit=A, reason="dropped", because="ann: not now"),
        "T3 was taken out of the queue: ann: not now"),
    "a held queue": (e.QueueHeld(repo=DEMO, because="release day", by="ann"), "ann holds the queue of demo: release day"),
    "a resumed queue": (e.QueueResumed(repo=DEMO, by="ann"), "ann lets the queue of demo land again"),
    "a hot clash": (
        e.ClashSeen(repo=DEMO, one=T1, other=T2, kind="hot", heads=(A, B), hunks=(
            e.Hunk(path="a.py", line=12), e.Hunk(path="b.py", kind="rename"))),
        "T1 and T2 do not merge as they stand: a.py:12, b.py (rename)"),
    "a soft clash": (
        e.ClashSeen(repo=DEMO, one=T1, other=T2, kind="soft", heads=(A, B), hunks=(e.Hunk(path="api", kind="contract"),)),
        "T1 and T2 merge, but meet: api (contract)"),
    "a clash that is gone": (e.ClashGone(repo=DEMO, one=T1, other=T2), "T1 and T2 no longer meet"),
    "a red target": (
        e.TargetRed(repo=DEMO, check="tests", commit=A, run=R7, because="1 of 9 tests failed", suspects=(T2, T1)),
        "tests fails on the target of demo at aaaaaaaaaa: 1 of 9 tests failed; suspected, the likeliest first: T2, T1"),
    "a red target without a suspect": (
        e.TargetRed(repo=DEMO, check="tests", commit=A, run=R7, because="exit 1"),
        "tests fails on the target of demo at aaaaaaaaaa: exit 1; nobody is suspected"),
    "a green target": (
        e.TargetGreen(repo=DEMO, check="tests", commit=A, run=R7), "tests passes on the target of demo at aaaaaaaaaa"),
    "a revert": (
        e.RevertPrepared(task=T3, commit=A, tree=A, base=B, base_tree=B, paths=("a.py",), paths_total=1, insertions=1, deletions=4),
        "T3 has its revert, commit aaaaaaaaaa (1 file, +1 -4), which lands like any other change"),
    "a revert for an agent": (
        e.RevertConflicted(task=T3, paths=("a.py",)), "T3 is for an agent: git alone cannot take it back, later work changed a.py"),
    "a landing that is next": (
        e.LandingChosen(landing=L5), "L5 is proven and first in line: the target is to be moved to it"),
    "a wish to follow": (
        e.ForwardAsked(repo=DEMO, by="ann"), "ann wants the checkout of demo taken forward to the target"),
    "a task that takes another back": (
        e.TaskAdded(task=T3, repo=DEMO, title="Take T1 back", spec="", reverts=T1, by="ann"),
        "ann added T3 to line build of demo, to take T1 back: Take T1 back"),
    "a published target": (
        e.TargetPublished(repo=DEMO, oid=A, done=True, where="origin"), "the target of demo was handed on at aaaaaaaaaa: origin"),
    "a target that was not published": (
        e.TargetPublished(repo=DEMO, oid=A, done=False, where="origin", because="refused"),
        "the target of demo at aaaaaaaaaa was not handed on to origin: refused"),
    "a landed change": (
        e.TaskLanded(task=T1, commit=A, landing=L5, before=B), "T1 landed as aaaaaaaaaa with L5, on top of bbbbbbbbbb"),
    "a landed change of an older log": (e.TaskLanded(task=T1, commit=A), "T1 landed as aaaaaaaaaa"),
    "a watch": (
        e.RunPlanned(run=R7, repo=DEMO, purpose="watch", check="tests", definition=Digest("d"), commit=A, tree=A),
        "R7 will run tests on aaaaaaaaaa (watch of demo)"),
    "a rebased checkout": (
        e.CheckoutPrepared(attempt=AttemptId("T1.2"), path="/x", isolation="clone", start=A, rebased="clean"),
        "the checkout of T1.2 stands (clone, 0.0 s), its earlier work rebased to aaaaaaaaaa"),
    "a checkout that could not be rebased": (
        e.CheckoutPrepared(attempt=AttemptId("T1.2"), path="/x", isolation="clone", rebased="conflicts in a.py"),
        "the checkout of T1.2 stands (clone, 0.0 s), its earlier work not rebased: conflicts in a.py"),
}


@pytest.mark.parametrize("case", QUEUE)
def test_the_queue_tells_in_words_who_landed_with_whom_and_why(case: str) -> None:
    event, words = QUEUE[case]
    assert sentence(event) == words


def test_a_long_list_is_cut_and_counted() -> None:
    order = tuple(TaskId(f"T{n}") for n in range(1, 8))
    assert sentence(e.QueueOrdered(repo=DEMO, order=order, by="ann")).endswith("T1, T2, T3, T4 and 3 more")
