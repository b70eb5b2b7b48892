"""The merge queue by command line: what is shown of it, what each decision sends, and which task a commit is."""

import json
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from andon.cli import codes
from andon.schema import inputs as i, wire
from andon.schema.errors import Problem
from andon.schema.ids import AttemptId, LandingId, Oid, RepoId, TaskId
from andon.schema.landing_events import Hunk
from andon.schema.layout import layout
from andon.schema.views import EntryView, FlowView, PolicyRow, Provenance, QueueView, TaskDetail
from clikit import Caps, a_repository, andon, andon_apart, git
from factory_on_paper import HOSTILE, busy
from fakeoffice import FakeDaemon, FakeOffice, a_shop, a_task
from queue_on_paper import NOW, TRUNK, at_work, clash, entry, queue, red

REPO = RepoId("humanize")
ROW = PolicyRow(policy="prefix", slots=2, landed=40, sent_back=2, runs=46, wasted=1, hours=3.25, wait_p50_s=65.0, wait_p95_s=4000.0,
                red=0)


@pytest.fixture
def office() -> FakeOffice:
    cards = [a_task(n, state="landing", repo="humanize", title=f"change number {n}") for n in range(21, 29)]
    return FakeOffice(*[view for view in busy() if not view.key.startswith("problem:")], *cards, *at_work())


@pytest.fixture
def daemon(office: FakeOffice) -> Iterator[FakeDaemon]:
    with FakeDaemon(layout(), office) as running:
        yield running


# --- what is shown -------------------------------------------------------------------------------------------------------


def test_every_entry_tells_place_state_and_why_in_the_order_in_which_they_land(capsys: Caps, daemon: FakeDaemon) -> None:
    told = andon(capsys, "queue")
    rows = [line.split() for line in told.out.splitlines() if line[2:3] in tuple("123456-") and line[3:4] == " "]
    assert [row[:4] for row in rows] == [
        ["1", "T21", "▸", "proving"], ["2", "T22", "!", "suspect"], ["3", "T23", "◐", "confirming"], ["4", "T24", "▸", "proving"],
        ["5", "T25", "·", "waiting"], ["6", "T26", "≈", "clashing"], ["-", "T28", "?", "gate"], ["-", "T27", "‖", "held"]]
    assert told.code == 0 and "held by ada: after the release" in told.out and " T22 T4 " in told.out


def test_what_is_proved_now_names_tree_members_checks_and_the_bracket(capsys: Caps, daemon: FakeDaemon) -> None:
    told = andon(capsys, "queue").out
    first, confirm, without = (line for line in told.splitlines() if line.startswith("  L"))
    assert "prefix" in first and "7ee1111111" in first and "▸ tests ✓ lint" in first and first.endswith("T21 T22 T23 T24")
    assert "of about 40s" in first and "T23 alone" in confirm and "without T23" in without and "merging" in without
    assert "! one of T22, T23 is the culprit; T23 is proved once more, alone\n" in told


def test_figures_flaky_tests_red_checks_a_held_queue_and_a_checkout_that_does_not_follow_are_told(
        capsys: Caps, office: FakeOffice, daemon: FakeDaemon) -> None:
    told = andon(capsys, "queue", "humanize").out
    assert "12 landed (4 in the last hour); 2 sent back; 15 proofs, 1 wasted; 1.25 proofs a landed change" in told
    assert "a proof takes 42s" in told
    assert "4.0% of changes fail, 1.0% of trees flake" in told and "2 for a proof, 1 held" in told
    assert "tests/test_net.py::test_slow" in told
    assert "nothing lands" not in told and "your side" not in told and "  red " not in told
    view = queue(held="release day", held_by="ada", held_at=NOW, red=(red(),), behind="you have uncommitted changes in a.py",
                 mend="commit them, then andon forward")
    office.table[view.key] = view
    told = andon(capsys, "queue", "humanize").out
    assert "nothing lands: release day (ada, " in told and "`andon queue resume humanize`" in told
    assert "tests fails on main at 4be21c9000" in told and "2 of 214 tests failed" in told and "likeliest: T1, T2" in told
    assert "your checkout does not follow: you have uncommitted changes in a.py (commit them, then andon forward)" in told


def test_what_is_not_known_yet_is_not_told_as_a_number(capsys: Caps, office: FakeOffice, daemon: FakeDaemon) -> None:
    view = queue(flow=FlowView(landed=1, proofs=1))
    office.table[view.key] = view
    told = andon(capsys, "queue").out
    assert "a landed change" not in told and "a proof takes" not in told and "0.0%" not in told


def test_json_is_an_array_of_the_views_themselves_in_order(capsys: Caps, office: FakeOffice, daemon: FakeDaemon) -> None:
    told = json.loads(andon(capsys, "queue", "--json").out)
    first, *rest = (msgspec.convert(each, QueueView | EntryView) for each in told)
    assert isinstance(first, QueueView) and first == office.table["queue:humanize"]
    assert [each.task for each in rest if isinstance(each, EntryView)] == [f"T{n}" for n in (21, 22, 23, 24, 25, 26, 28, 27)]


def test_an_empty_queue_and_a_factory_without_one_say_what_to_do(capsys: Caps, office: FakeOffice, daemon: FakeDaemon) -> None:
    office.table = {view.key: view for view in (*a_shop("/shop"), queue("shop"))}
    ran = andon(capsys, "queue", "shop")
    assert ran.code == 0 and "nothing waits to land in shop" in ran.err and "0 changes to land on main" in ran.out
    office.table.pop("queue:shop")
    assert "no repository has a queue yet" in andon(capsys, "queue").err
    ran = andon(capsys, "queue", "shopp")
    assert ran.code == codes.MISTAKE and "did you mean `shop`?" in ran.err


def test_nothing_that_agents_wrote_reaches_the_terminal_as_more_than_text(
        capsys: Caps, office: FakeOffice, daemon: FakeDaemon) -> None:
    views = (queue(held=HOSTILE, behind=HOSTILE, mend=HOSTILE, flaky=(HOSTILE,), published=HOSTILE),
             entry(21, 1, title=HOSTILE, why=HOSTILE, agent=HOSTILE), clash(22, 26, titles=(HOSTILE, HOSTILE),
                                                                       hunks=(Hunk(path=HOSTILE, line=1, kind=HOSTILE),)),
             clash(4, 26, hunks=tuple(Hunk(path=f"{n} {HOSTILE}") for n in range(9))))
    office.table.update((view.key, view) for view in views)
    for words in (("queue",), ("queue", "clashes")):
        told = andon(capsys, *words).out
        assert "press" in told and not set(told) & set("\x1b\x07\x00\x9b\u202e\u200b")


def test_clashes_name_the_pair_the_kind_and_the_lines_hot_ones_first(capsys: Caps, office: FakeOffice, daemon: FakeDaemon) -> None:
    told = andon(capsys, "queue", "clashes").out
    heads = [line for line in told.splitlines() if not line.startswith(" ")]
    assert [line.split("  ")[0] for line in heads] == ["T22 and T26", "T4 and T7", "T4 and T26"]
    assert "hot: they do not merge" in heads[0] and "soft" in heads[2]
    assert "    src/humanize/time.py:88-96\n    docs/index.md (file)\n  told: T26" in told
    assert [each["one"] for each in json.loads(andon(capsys, "queue", "clashes", "T7", "--json").out)] == ["T4"]
    assert "T22 and T26" in andon(capsys, "queue", "clashes", "humanize").out
    office.table = {view.key: view for view in a_shop("/shop")}
    assert "no live changes meet" in andon(capsys, "queue", "clashes").err


def test_a_simulation_is_asked_for_with_its_slots_and_printed_ours_first(
        capsys: Caps, office: FakeOffice, daemon: FakeDaemon) -> None:
    serial = msgspec.structs.replace(ROW, policy="serial", slots=1, runs=44)
    office.answer = lambda request, _: wire.SimulationIs(rows=(ROW, serial), entries=42, text="arrivals as they were")
    for words in (("queue", "simulate", "humanize", "--slots", "2"), ("queue", "humanize", "--simulate", "--slots", "2")):
        told = andon(capsys, *words).out
        assert office.requests[-1] == wire.SimulateQueue(id=office.requests[-1].id, repo=REPO, slots=2)  # type: ignore[union-attr]
        assert "42 changes of its history" in told and "arrivals as they were" in told
        lines = [line.split() for line in told.splitlines()]
        assert lines[2] == ["prefix", "2", "40", "2", "46", "1.15", "1", "3.2", "1m", "1h06m", "0"] and lines[3][0] == "serial"
    rows = json.loads(andon(capsys, "queue", "simulate", "humanize", "--json").out)
    assert [row["policy"] for row in rows] == ["prefix", "serial"]
    assert andon(capsys, "queue", "simulate", "humanize", "--slots", "-1").code == codes.MISTAKE


def test_looking_at_the_queue_loads_nothing_heavy(daemon: FakeDaemon) -> None:
    heavy = "print('LOADED', sorted({'textual', 'rich', 'asyncio'} & set(sys.modules)), file=sys.stderr)"
    for words in (("queue",), ("queue", "clashes"), ("queue", "next", "T25"), ("forward", "humanize")):
        ran = andon_apart(*words, script=heavy)
        assert ran.code == 0 and "LOADED []" in ran.err


# --- decisions -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("words", "command"), [
    (("queue", "move", "T25", "--before", "22"), i.OrderQueue(task=TaskId("T25"), before=TaskId("T22"))),
    (("queue", "next", "t25", "--because", "urgent"), i.OrderQueue(task=TaskId("T25"), because="urgent")),
    (("queue", "hold", "T4", "--because", "later"), i.HoldEntry(task=TaskId("T4"), because="later")),
    (("queue", "release", "T27"), i.ReleaseEntry(task=TaskId("T27"))),
    (("queue", "drop", "T25", "--because", "no"), i.DropEntry(task=TaskId("T25"), because="no")),
    (("queue", "drop", "T25", "--because", "no", "--cancel"), i.DropEntry(task=TaskId("T25"), because="no", cancel=True)),
    (("queue", "stop", "humanize", "--because", "release day"), i.HoldQueue(repo=REPO, because="release day")),
    (("queue", "resume", "humanize"), i.ResumeQueue(repo=REPO)),
    (("queue", "mended", "humanize", "tests/test_net.py::test_slow"),
     i.ForgetFlakes(repo=REPO, tests=("tests/test_net.py::test_slow",))),
    (("revert", "T1", "--because", "breaks old files", "--key", "k"),
     i.RevertLanding(task=TaskId("T1"), because="breaks old files", key="k")),
    (("forward", "humanize"), i.ForwardTarget(repo=REPO)),
])
def test_a_decision_sends_exactly_what_was_asked(
        capsys: Caps, office: FakeOffice, daemon: FakeDaemon, words: tuple[str, ...], command: i.Command) -> None:
    ran = andon(capsys, *words)
    assert (ran.code, ran.err) == (0, "") and ran.out.strip()
    assert office.commands == [msgspec.structs.replace(command, by=office.commands[0].by)]


@pytest.mark.parametrize(("words", "told"), [
    (("queue", "move", "T4", "--before", "T22"), "T4 is not in the queue: it is building"),
    (("queue", "move", "T22", "--before", "T22"), "before itself"),
    (("queue", "move", "T22", "--before", "T2"), "T2 is not in the queue: it is done"),
    (("queue", "next", "T99"), "there is no task T99"),
    (("queue", "hold", "T4", "T99"), "there is no task T99"),
    (("queue", "drop", "T22", "--because", " "), "needs a reason"),
    (("queue", "stop", "humanize", "--because", ""), "needs a reason"),
    (("queue", "mended", "humanize", "tests/test_net.py::test_slo"), "did you mean `tests/test_net.py::test_slow`?"),
    (("revert", "T22"), "`andon queue drop T22`"),
    (("revert", "nonsense"), "is no task"),
    (("forward", "nowhere"), "there is no repository `nowhere`"),
])
def test_a_mistake_is_told_with_its_mend_and_nothing_is_sent(
        capsys: Caps, office: FakeOffice, daemon: FakeDaemon, words: tuple[str, ...], told: str) -> None:
    ran = andon(capsys, *words)
    assert ran.code == codes.MISTAKE and told in ran.err and "mend:" in ran.err
    assert office.commands == [] and not ran.out


def test_a_landing_of_long_ago_is_taken_back_though_the_board_shows_it_no_more(
        capsys: Caps, office: FakeOffice, daemon: FakeDaemon) -> None:
    office.on_do = lambda _: wire.Done(ids=("T30",))
    ran = andon(capsys, "revert", "T900")
    assert (ran.code, ran.out) == (0, "T30  takes T900 back; it lands when it is proven\n")
    assert office.commands == [i.RevertLanding(task=TaskId("T900"), by=office.commands[0].by)]


def test_two_queues_are_not_mixed(capsys: Caps, office: FakeOffice, daemon: FakeDaemon) -> None:
    views = (a_task(50, state="landing", repo="shop"), entry(50, 1, repo=RepoId("shop")))
    office.table.update((view.key, view) for view in views)
    ran = andon(capsys, "queue", "move", "T50", "--before", "T22")
    assert ran.code == codes.MISTAKE and "T50 is in the queue of shop, T22 in that of humanize" in ran.err


def test_what_the_daemon_declines_is_exit_code_4_and_what_it_tells_is_printed(
        capsys: Caps, office: FakeOffice, daemon: FakeDaemon) -> None:
    office.on_do = lambda _: wire.Failed(problem=Problem(what="T27 is not held", mend="nothing to do"))
    ran = andon(capsys, "queue", "release", "T27")
    assert ran.code == codes.DECLINED and "T27 is not held" in ran.err
    office.on_do = lambda _: wire.Done(ids=("T30",), text="")
    assert andon(capsys, "revert", "T1").out.startswith("T30  takes T1 back: Round naturalsize half to even")
    office.on_do = lambda _: wire.Done(text="your main is at 4be21c9")
    assert andon(capsys, "forward", "humanize").out == "your main is at 4be21c9\n"


def test_the_two_ways_to_take_back_name_each_other(capsys: Caps) -> None:
    assert "andon revert" in andon(capsys, "undo", "--help").out and "andon undo" in andon(capsys, "revert", "--help").out


def test_a_repository_with_the_name_of_a_part_can_be_named_and_help_is_help(
        capsys: Caps, office: FakeOffice, daemon: FakeDaemon) -> None:
    ran = andon(capsys, "queue", "show", "move")
    assert "there is no repository `move`" in ran.err
    assert "andon queue move T7 --before T3" in andon(capsys, "queue", "--help").out
    assert "--before TASK" in andon(capsys, "queue", "move", "--help").out


# --- which task a commit is ----------------------------------------------------------------------------------------------

FOUND = Provenance(commit=TRUNK, repo=REPO, task=TaskId("T1"), attempt=AttemptId("T1.1"), change=Oid("ab" * 20),
                   landing=LandingId("L7"), title="Round naturalsize", by="trailer", proven=Oid("cd" * 20), landed_at=NOW)


def knowing(office: FakeOffice, found: Provenance, *, kept: bool = True) -> list[tuple[str, str]]:
    """An office that finds this commit; what it was asked to find."""
    asked: list[tuple[str, str]] = []

    def answer(request: wire.AnyRequest, _: object) -> wire.AnyReply:
        if isinstance(request, wire.FindCommit):
            asked.append((request.commit, request.repo))
            return wire.ProvenanceIs(found=found)
        assert isinstance(request, wire.GetTask)
        if not kept or f"task:{request.task}" not in office.table:
            return wire.Failed(problem=Problem(what=f"there is no task {request.task}"))
        return wire.TaskIs(detail=TaskDetail(task=office.table[f"task:{request.task}"], spec="do it"))  # type: ignore[arg-type]

    office.answer = answer
    return asked


def test_a_commit_is_told_which_task_it_is_and_how_that_is_known_then_the_tasks_page(
        capsys: Caps, office: FakeOffice, daemon: FakeDaemon) -> None:
    asked = knowing(office, FOUND)
    ran = andon(capsys, "show", "4be21c9", "--repo", "humanize")
    assert ran.code == 0 and asked == [("4be21c9", "humanize")]
    assert ran.out.startswith("4be21c900000 is T1  Round naturalsize\n") and "do it" in ran.out
    for told in ("abababababab, the head that was judged", "with cdcdcdcdcdcd in L7", "from the trailers", "T1.1"):
        assert told in ran.out
    told = json.loads(andon(capsys, "show", "main", "--json").out)
    assert msgspec.convert(told, Provenance) == FOUND


def test_a_commit_of_a_task_that_is_no_longer_kept_is_told_all_the_same(
        capsys: Caps, office: FakeOffice, daemon: FakeDaemon) -> None:
    knowing(office, FOUND, kept=False)
    ran = andon(capsys, "show", "HEAD")
    assert ran.code == 0 and "is T1" in ran.out and "keeps no page of T1" in ran.err
    knowing(office, msgspec.structs.replace(FOUND, task=TaskId(f"T1 {HOSTILE}")))
    ran = andon(capsys, "show", "HEAD")
    assert ran.code == 0 and "keeps no page" in ran.err and not set(ran.out + ran.err) & set("\x1b\x07\x9b\u202e")


def test_a_branch_or_a_tag_is_what_it_means_in_the_persons_own_checkout(
        capsys: Caps, office: FakeOffice, daemon: FakeDaemon, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    repo = a_repository(tmp_path / "shop")
    tip = git(repo, "rev-parse", "HEAD")
    git(repo, "tag", "v1")
    office.table.update((view.key, view) for view in a_shop(str(repo)))
    asked = knowing(office, FOUND)
    for name in ("main", "v1", "HEAD", tip[:9], "nowhere", "--help-me"):
        andon(capsys, "show", "--repo", "shop", "--", name)
    assert asked == [(tip, "shop")] * 3 + [(tip[:9], "shop"), ("nowhere", "shop"), ("--help-me", "shop")]
    monkeypatch.chdir(repo / "tests")
    andon(capsys, "show", "main")
    assert asked[-1] == (tip, "shop")


def test_a_commit_of_nobody_is_exit_code_1(capsys: Caps, office: FakeOffice, daemon: FakeDaemon) -> None:
    asked = knowing(office, Provenance(commit=TRUNK, repo=REPO))
    ran = andon(capsys, "show", "v1.0")
    assert ran.code == codes.NOT_SO and ran.out == "" and "no commit that this factory landed" in ran.err
    ran = andon(capsys, "show", "v1.0", "--json")
    assert ran.code == codes.NOT_SO and json.loads(ran.out)["by"] == "none"
    assert asked == [("v1.0", ""), ("v1.0", "")], "outside of every repository all are searched"


def test_a_bare_number_is_a_task_first_and_a_commit_only_when_it_is_long_enough(
        capsys: Caps, office: FakeOffice, daemon: FakeDaemon) -> None:
    asked = knowing(office, FOUND)
    assert andon(capsys, "show", "1").out.startswith("T1  ") and asked == []
    assert andon(capsys, "show", "99").code == codes.DECLINED and asked == []
    assert andon(capsys, "show", "12345678").code == 0 and asked == [("12345678", "")]
