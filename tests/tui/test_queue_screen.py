"""The queue's screen: what is proved right now, what lands when and why, what will collide; and what a person can do there."""

import re
import time

import msgspec
import pytest
from rich.cells import cell_len

from andon.schema import inputs as i
from andon.schema.ids import LandingId, RepoId, RunId, TaskId
from andon.schema.landing_events import Hunk
from andon.schema.views import AnyView, ClashView, EntryState, EntryView, FlowView, QueueView
from andon_tui import palette
from andon_tui.clock import Clock
from andon_tui.widgets import entries, proofs
from face_on_paper import Face, face
from factory_on_paper import HOSTILE, HOUR, MINUTE, NOW, Paper, busy, factory, line, repository, session, task
from queue_on_paper import TRUNK, at_work, clash, entry, proof, queue, red, tasks

REPO = RepoId("humanize")
SIZES = [(80, 24), (120, 40), (200, 60)]
POINTER = re.compile("\x1b\\]22;[a-z-]+\x07")
"""Textual's own wish for the shape of the mouse pointer."""
FORBIDDEN = ("\x1b]52", "\x1b]8;", "\x1b[2J", "\x1bP", "\u202e", "\x9b", "\x00", "\u200b", "\U000e0041", "\x07")


def cards() -> list[AnyView]:
    """The tasks of the queue's entries."""
    return [task(n, f"change number {n}", "landing", "land", commit=TRUNK) for n in range(21, 29)]


def whole() -> Paper:
    return Paper([*busy(), *cards(), *at_work()])


def plain(rows: object) -> str:
    return "\n".join("".join(span.text for span in each) for each in rows)  # type: ignore[attr-defined]


# --- what is shown -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", SIZES)
async def test_entries_stand_in_their_order_with_place_sign_word_and_the_way_out_on_every_size(size: tuple[int, int]) -> None:
    async with face(whole(), size, home="queue") as shown:
        names = ("T21  Round", "T22  Teach", "T23  Cache", "T26  Drop")
        assert [shown.row(f" {name} ").replace("▸", "").split()[:3] for name in names] == [
            ["1", "◐", "proving"], ["2", "!", "suspect"], ["3", "↻", "confirming"], ["6", "≠", "clashing"]]
        assert shown.row("T28  Fuzz").split()[:3] == ["-", "◆", "asks"] and shown.row("T27  Add").split()[:3] == ["-", "‖", "held"]
        assert "Queue 8" in shown.lines[0] and "Problems 1" in shown.lines[0] and "q quit" in shown.lines[-1]
        assert len(shown.lines) == size[1] and all(cell_len(each) == size[0] for each in shown.lines)


async def test_a_proof_apart_is_a_bar_without_gaps_and_says_so() -> None:
    apart = proof(10, "25 26", why="apart")
    more = (msgspec.structs.replace(view, proving=(*view.proving, apart)) if isinstance(view, QueueView) else view
            for view in at_work())
    views = [*busy(), *cards(), *more]
    async with face(Paper(views), (160, 44), home="queue") as shown:
        bar = shown.row(" L10  apart ")
        assert bar.index("T25") == shown.row(" L9   without").index("T25") and "·" not in bar.partition("T25")[0]
    clock = Clock(lambda: NOW)
    clock.begin()
    told = plain(entries.about(entry(25, 5, "proving"), queue(proving=(apart,)), None, [], [entry(25, 5), entry(26, 6)], clock, 80))
    assert "apart from the queue" in told


@pytest.mark.parametrize("size", SIZES)
async def test_proofs_are_bars_whose_members_stand_in_one_column_each(size: tuple[int, int]) -> None:
    async with face(whole(), size, home="queue") as shown:
        first, alone, without = (shown.row(f" {name} ") for name in ("L7   prefix", "L8   alone", "L9   without"))
        assert first.index("T22]") == without.index("T22]") and first.index("!T23]") == alone.index("!T23]")
        assert first.index("T24") == without.index("T24") and without[without.index("T22]"):without.index("T24")].count("·") == 1
        assert len({each.rindex("of ~40s") for each in (first, alone, without)}) == 1
        assert "24s of ~40s" in first and "tree 7ee11111" in first and "merging" in without and "9s of ~40s" in alone


async def test_the_bracket_is_told_by_signs_and_words_not_by_colour_alone() -> None:
    async with face(whole(), (160, 44), home="queue") as shown:
        assert " T21  [T22] [!T23] T24 " in shown.row("L7   prefix")
        assert "! one of T22 T23 is the culprit · T23 is proved once more, alone" in shown.text
        assert "! looks for a culprit" in shown.text
        shown.paper.put(queue(entries=8))
        await shown.settle()
        assert "culprit" not in shown.text and "proved now" not in shown.row("lands by")


async def test_the_selected_change_tells_why_members_tree_claims_and_the_lines_on_which_it_will_collide() -> None:
    async with face(whole(), (200, 60), home="queue") as shown:
        await shown.press("down")
        for told in ("T22 or T23 fails in this combination", "2 of 6", "2 files +30 -4 · commit abababababab",
                     "waits 42m · by claude",
                     "≠ T26 do not merge", "src/humanize/time.py:88-96", "docs/index.md (file)", "T26's agent was told",
                     "L7 tree 7ee111111111 · with those before it", "… tests running  ✓ lint proven"):
            assert told in shown.text, told


async def test_the_list_follows_places_not_names_and_who_does_not_stand_in_line_comes_last() -> None:
    views = [entry(3, 1), entry(1, 2), entry(9, 10), entry(2, 9), entry(4, 0, "held"), entry(8, 0, "gate", since=NOW)]
    async with face(Paper([*busy(), queue(entries=6), *views]), (80, 24), home="queue") as shown:
        heads = [shown.where(f"T{number}   change number")[1] for number in (3, 1, 2, 9, 8, 4)]
        assert heads == sorted(heads)


async def test_figures_that_are_not_known_are_not_told() -> None:
    async with face(Paper([*busy(), queue(flow=FlowView(landed=1))]), (160, 44), home="queue") as shown:
        assert "1 landed, 0 sent back" in shown.text and "○ rests" in shown.text
        for unknown in ("a change ·", "a proof takes", "fail,", "wasted", "excused"):
            assert unknown not in shown.text


async def test_a_held_queue_a_red_target_and_a_checkout_that_stays_behind_cannot_be_missed() -> None:
    view = queue(entries=8, held="release day", held_by="ada", held_at=NOW - 3 * HOUR, red=(red(),),
                 behind="you have uncommitted changes in a.py", mend="commit them")
    async with face(Paper([*busy(), *at_work(), view]), (160, 44), home="queue") as shown:
        assert "■ nothing lands in humanize: release day · ada · 3h · R lets it" in shown.lines[1]
        assert "✗ tests fails on main at 4be21c90 · 12m · likeliest T1, T2: U takes one back · 2 of 214" in shown.lines[2]
        assert "↓ your main does not follow: you have uncommitted changes in a.py · F tries now · commit them" in shown.lines[3]
        assert "■ held" in shown.text and "✗ likely broke it" in shown.row("T1   ✗")


async def test_an_empty_queue_and_a_factory_without_one_say_what_to_do_next() -> None:
    async with face(Paper([factory(), repository(), line(), queue()]), (80, 24), home="queue") as shown:
        assert "nothing waits to land" in shown.text and "b shows what is on its way" in " ".join(shown.text.split())
    async with face(Paper([factory()]), (80, 24), home="queue") as shown:
        assert "no repository yet" in shown.text and "run andon init" in shown.text
        shown.paper.put(repository())
        await shown.settle()
        assert "nothing is known of a queue yet" in shown.text and "andon init" not in shown.text


async def test_every_repository_has_a_line_and_a_click_or_a_bracket_shows_its_queue() -> None:
    views = [*busy(), *at_work(), queue("shop", entries=1), entry(50, 1, repo=RepoId("shop"), title="Sell hats")]
    async with face(Paper(views), (120, 40), home="queue") as shown:
        assert "▸humanize" in shown.text and " shop  main" in shown.text and "Sell hats" not in shown.text
        await shown.pilot.click(offset=shown.where(" shop  main"))
        await shown.settle()
        assert "▸shop" in shown.text and "Sell hats" in shown.text
        await shown.press("]")
        assert "▸humanize" in shown.text and "Sell hats" not in shown.text


async def test_more_proofs_than_rows_are_counted_and_more_members_than_cells_too() -> None:
    many = " ".join(str(n) for n in range(100, 150))
    view = queue(entries=50, slots=16, proving=tuple(proof(n, many) for n in range(1, 17)))
    async with face(Paper([*busy(), view, *(entry(n, n - 99) for n in range(100, 150))]), (80, 24), home="queue") as shown:
        assert "+ 13 more proofs" in shown.text and all(cell_len(each) == 80 for each in shown.lines)
        assert "▪▪▪▪ T100…T149 50" in shown.row("L1 ")
        shown.paper.put(queue(entries=50, bracket=tasks("110 111"), suspect=TaskId("T111"), proving=(
            proof(1, many), proof(2, many.replace(" 111", ""), why="without"), proof(3, "111", why="confirm"))))
        await shown.pilot.resize_terminal(120, 40)
        await shown.settle()
        bars = [shown.row(f" {name} ") for name in ("L1   prefix", "L2   without", "L3   alone")]
        at = bars[0].index("□!▪")
        assert bars[1][at : at + 3] == "□·▪" and bars[2][at : at + 3] == " ! " and "T111…T111 1" in bars[2]


def test_time_is_told_against_what_is_expected_and_unknown_stays_unknown() -> None:
    clock = Clock(lambda: NOW)
    assert plain([proofs.time(proof(1, "1", expected_s=0.0), clock)]) == "24s"
    assert plain([proofs.time(proof(1, "1", since=0), clock)]) == "starts"
    assert plain([proofs.time(proof(1, "1", since=NOW - 70 * 1000), clock)]) == "━━━━━━━━ 1m of ~40s late"
    assert entries.expected(entry(1, 1), clock) == "" and entries.expected(entry(1, 1, expected_at=NOW - 5), clock) == "soon"
    assert entries.expected(entry(1, 1, expected_at=NOW + 61_000), clock) == "~2m"


def test_every_state_of_an_entry_has_a_look_of_its_own_glyph_and_word() -> None:
    from typing import get_args

    assert set(palette.ENTRIES) == set(get_args(EntryState))
    assert len({look.word for look in palette.ENTRIES.values()}) == len({look.glyph for look in palette.ENTRIES.values()}) == 9


# --- what will collide ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", SIZES)
async def test_v_shows_all_pairs_with_their_lines_and_escape_goes_back(size: tuple[int, int]) -> None:
    async with face(whole(), size, home="queue") as shown:
        await shown.press("v")
        assert "3 pairs that will collide" in shown.text and "≠ T22 T26  do not merge" in shown.text
        assert "≈ T4 T26  change the same thing" in shown.text and "setup.cfg (file)" in shown.text
        await shown.press("slash", *"setup.cfg", "enter")
        assert "T22 T26" not in shown.text and "≈ T4 T26" in shown.text
        await shown.press("escape", "escape")
        assert "8 changes to land" in shown.text


async def test_of_a_pair_one_can_be_moved_and_one_agent_told() -> None:
    async with face(whole(), (160, 44), home="queue") as shown:
        await shown.press("v")
        shown.app.screen.query_one("#list").to("clash:T22:T26")  # type: ignore[attr-defined]
        await shown.settle()
        await shown.press("K")
        shown.app.screen.query_one("#list").to("clash:T4:T7")  # type: ignore[attr-defined]
        await shown.settle()
        await shown.press("w", *"mind T4", "enter")
        assert shown.paper.commands == [i.OrderQueue(task=TaskId("T26"), before=TaskId("T25")),
                                        i.SendMessage(attempt="T7.2", text="mind T4")]  # type: ignore[arg-type]


@pytest.mark.parametrize("size", [(80, 24), (200, 60)])
async def test_the_board_marks_cards_that_will_collide_and_tells_with_whom_and_where(size: tuple[int, int]) -> None:
    async with face(Paper([*busy(), clash(4, 7)]), size) as shown:
        shown.app.screen.view.choose("T4")  # type: ignore[attr-defined]
        await shown.settle()
        name = "T4 building" if size[0] > 100 else "T4   building"
        assert "≠" in shown.row(name) and "≠ meets T7: do not merge · src/humanize/time.py:88-96 +1" in shown.text
        shown.paper.put(gone=["clash:T4:T7"])
        await shown.settle()
        assert "≠" not in shown.text


async def test_a_tasks_screen_tells_with_whom_it_will_collide() -> None:
    async with face(Paper([*busy(), clash(4, 7)]), (160, 50)) as shown:
        shown.app.show_task(TaskId("T4"))
        await shown.settle()
        assert "will collide with" in shown.text and "≠ T7 do not merge" in shown.text


# --- what a person can do ------------------------------------------------------------------------------------------------


async def press_at(shown: Face, name: str, *keys: str) -> list[i.AnyCommand]:
    """Put the cursor on a change, press keys; the commands that went out for it."""
    before = len(shown.paper.commands)
    shown.app.screen.query_one("#list").to(name)  # type: ignore[attr-defined]
    await shown.settle()
    await shown.press(*keys)
    return shown.paper.commands[before:]


async def test_keys_order_hold_drop_stop_and_take_back_and_each_is_one_recorded_decision() -> None:
    async with face(whole(), (160, 44), home="queue") as shown:
        t22, t24, t25 = TaskId("T22"), TaskId("T24"), TaskId("T25")
        assert await press_at(shown, "T25", "K") == [i.OrderQueue(task=t25, before=t24)]
        assert await press_at(shown, "T24", "J") == [i.OrderQueue(task=t25, before=t24)]
        assert await press_at(shown, "T22", "n") == [i.OrderQueue(task=t22)]
        assert await press_at(shown, "T22", "H", *"later", "enter") == [i.HoldEntry(task=t22, because="later")]
        assert await press_at(shown, "T27", "H") == [i.ReleaseEntry(task=TaskId("T27"))]
        assert await press_at(shown, "T22", "x", "enter") == [], "a reason is needed"
        await shown.press("escape")
        assert await press_at(shown, "T22", "x", *"no", "enter") == [i.DropEntry(task=t22, because="no")]
        assert await press_at(shown, "T22", "c", "y") == [i.CancelTask(task=t22, because="cancelled on the board")]
        assert await press_at(shown, "T22", "S", *"day", "enter") == [i.HoldQueue(repo=REPO, because="day")]
        assert await press_at(shown, "T1", "U", *"bad", "enter") == [i.RevertLanding(task=TaskId("T1"), because="bad")]


async def test_what_is_not_possible_is_not_offered_and_its_key_says_why() -> None:
    async with face(whole(), (250, 60), home="queue") as shown:
        for name, key, why in (("T21", "K", "it is the first already"), ("T26", "J", "it is the last already"),
                               ("T27", "n", "T27 does not stand in line"), ("T1", "H", "no change of the queue is selected"),
                               ("T21", "U", "T21 has not landed"), ("T21", "R", "nothing holds them"),
                               ("T21", "F", "follows already"), ("T21", "a", "no gate is open"),
                               ("T21", "[", "there is one queue")):
            assert await press_at(shown, name, key) == [] and why in shown.text, (name, key)
        assert "later" not in shown.lines[-1] or await press_at(shown, "T26") == []
        assert await press_at(shown, "T26") == [] and "J later" not in shown.lines[-1] and "K earlier" in shown.lines[-1]


async def test_a_held_queue_is_resumed_and_a_checkout_follows_with_one_key_also_from_board_and_problems() -> None:
    view = queue(entries=8, held="release day", behind="uncommitted changes")
    shop = repository(behind="uncommitted changes", mend="andon forward")
    async with face(Paper([*busy(), *cards(), *at_work(), view, shop]), (160, 44), home="queue") as shown:
        await shown.press("R", "F")
        assert shown.paper.commands == [i.ResumeQueue(repo=REPO), i.ForwardTarget(repo=REPO)]
        await shown.press("b", "F")
        shown.app.show_home("problems")
        await shown.settle()
        shown.app.screen.query_one("#list").to("behind:humanize")  # type: ignore[attr-defined]
        await shown.settle()
        await shown.press("F")
        assert shown.paper.commands[2:] == [i.ForwardTarget(repo=REPO)] * 2


async def test_a_landed_task_is_taken_back_from_the_board_and_from_its_own_screen() -> None:
    async with face(Paper(busy()), (160, 44)) as shown:
        shown.app.screen.view.choose("T1")  # type: ignore[attr-defined]
        await shown.settle()
        await shown.press("U", *"bad", "enter")
        shown.app.show_task(TaskId("T1"))
        await shown.settle()
        await shown.press("U", *"worse", "enter")
        assert shown.paper.commands == [i.RevertLanding(task=TaskId("T1"), because=why) for why in ("bad", "worse")]


async def test_enter_and_a_second_click_open_the_task_and_m_comes_back() -> None:
    async with face(whole(), (160, 44), home="queue") as shown:
        x, y = shown.where("Speak Slovenian")
        await shown.pilot.click(offset=(x, y))
        await shown.settle()
        assert "proved without T23" in shown.text and shown.place == "Queue"
        await shown.pilot.click(offset=(x, y))
        await shown.settle()
        assert shown.place == "TaskScreen" and "T24" in shown.lines[0]
        await shown.press("m")
        assert shown.place == "Queue"


async def test_the_gate_of_a_change_is_one_key_away_and_the_queue_one_word() -> None:
    views = [*busy(), *at_work(), entry(5, 0, "gate", why="a person is asked: G1")]
    async with face(Paper(views), (160, 44)) as shown:
        await shown.press("colon", *"queue", "enter")
        assert shown.place == "Queue"
        assert await press_at(shown, "T5", "a") == [] and shown.place == "Gates"


async def test_the_cursor_stays_on_its_change_when_the_order_is_another_one() -> None:
    async with face(whole(), (160, 44), home="queue") as shown:
        await press_at(shown, "T25", "K")
        shown.paper.put(entry(25, 4, title="moved up"), entry(24, 5))
        await shown.settle()
        assert shown.row("T25  moved up").startswith("▸  4") and shown.app.screen.entry.task == "T25"  # type: ignore[attr-defined]
        shown.paper.put(gone=["entry:T25"])
        await shown.settle()
        assert shown.app.screen.entry is not None  # type: ignore[attr-defined]


# --- what it costs, and what it survives ---------------------------------------------------------------------------------


async def test_nothing_is_painted_while_nothing_changes_and_a_changed_reason_paints_only_its_rows() -> None:
    still = [msgspec.structs.replace(view, since=view.since - 3 * HOUR) if isinstance(view, EntryView | ClashView)
             else msgspec.structs.replace(view, proving=()) if isinstance(view, QueueView) else view for view in at_work()]
    async with face(Paper([*busy(), *still]), (160, 44), home="queue") as shown:
        shown.app.draw()
        await shown.settle()
        shown.writes.clear()
        for _ in range(5):
            shown.app.draw()
        await shown.settle()
        assert shown.writes == []
        before = shown.lines
        one = shown.app.model.entry("T26")
        assert one is not None
        shown.paper.put(msgspec.structs.replace(one, why="its agent is at it"))
        await shown.settle()
        changed = [y for y, (was, now) in enumerate(zip(before, shown.lines, strict=True)) if was != now]
        assert len(changed) == 1 and "its agent is at it" in shown.lines[changed[0]] and len(shown.writes) <= 2


@pytest.mark.parametrize("size", [(200, 60), (80, 24)])
async def test_two_hundred_changes_and_their_clashes_are_drawn_in_a_few_milliseconds(size: tuple[int, int]) -> None:
    views: list[AnyView] = [factory(), repository(), line(), queue(entries=200, slots=8, proving=tuple(
                 proof(n, " ".join(str(m) for m in range(1, 12 * n))) for n in range(1, 9))),
             *(entry(n, n, since=NOW - n * MINUTE) for n in range(1, 201)),
             *(clash(n, n + 1) for n in range(1, 200)), *(task(n, f"change {n}", "landing", "land") for n in range(1, 201))]
    async with face(Paper(views), size, home="queue") as shown:
        took = []
        for n in range(20):
            shown.paper.views_["entry:T7"] = entry(7, 7, title=f"another title {n}")
            shown.app.model.sync(shown.paper.views)
            start = time.process_time()
            shown.app.draw()
            took.append(time.process_time() - start)
        assert sorted(took)[10] < 0.04, f"median {sorted(took)[10] * 1000:.1f} ms"


WIDE = "変更" * 120
LONG = "src/" + "very_long_folder_name/" * 24 + "file.py"


def hostile() -> list[AnyView]:
    hunks = (Hunk(path=f"{LONG}{HOSTILE}", line=7, count=3), Hunk(path=WIDE, kind=HOSTILE), Hunk(path=HOSTILE))
    bad = proof(7, "21 22", runs=((HOSTILE, RunId("R1"), "running"), (WIDE, RunId("R2"), "odd")))
    return [
        *busy(), *cards(),
        queue(entries=3, proving=(bad,), bracket=tasks("21 22"), held=f"{HOSTILE}{WIDE}", held_by=HOSTILE, behind=HOSTILE,
              mend=WIDE, published=f"{HOSTILE}{WIDE}", flaky=(HOSTILE,), target=HOSTILE,
              red=(msgspec.structs.replace(red(), because=HOSTILE),)),
        entry(21, 1, "suspect", title=HOSTILE, why=HOSTILE, agent=HOSTILE, landing=LandingId("L7")),
        entry(22, 2, "odd", title=WIDE, why=WIDE, agent=WIDE, overtaken=3, risk=0.5, reverts=TaskId("T1")),
        entry(23, 3, title="\n\n\t", why=LONG * 5),
        clash(21, 22, hunks=hunks, titles=(HOSTILE, WIDE)), clash(22, 23, "soft", hunks=(), titles=("", "")),
    ]


@pytest.mark.parametrize("size", [(80, 24), (150, 40), (60, 20)])
async def test_hostile_wide_and_endless_text_is_drawn_as_text_within_its_rows(size: tuple[int, int]) -> None:
    async with face(Paper(hostile()), size, home="queue") as shown:
        for keys in ((), ("down",), ("down",), ("v",), ("down",), ("v",), ("home", "x"), ("escape", "slash", "[", "b")):
            await shown.press(*keys)
            assert len(shown.lines) == size[1] and all(cell_len(each) == size[0] for each in shown.lines), keys
            written = POINTER.sub("", "".join(shown.writes))
            assert not [bad for bad in FORBIDDEN if bad in written or bad in shown.text], keys
            for strip in shown.app.screen._compositor.render_strips():
                assert not [each for each in strip if each.style and (each.style.link or "@click" in (each.style.meta or {}))], keys
        assert shown.app.is_running


async def test_a_session_that_is_alive_is_one_key_away() -> None:
    async with face(Paper([*whole().views_.values(), session("T22.1"), task(22, "again", "building", "build", attempt="T22.1")]),
                    (160, 44), home="queue") as shown:
        await press_at(shown, "T22", "s")
        assert shown.place == "Session"
