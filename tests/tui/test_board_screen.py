"""The board: what a person sees of a line, and what the keys do there."""

from rich.cells import cell_len
from textual.events import Key, MouseScrollDown

from andon.schema.errors import Problem
from andon.schema.inputs import CancelTask, PullCord, ReleaseCord, RetryTask
from andon_tui.model import lane_of
from face_on_paper import face
from factory_on_paper import MINUTE, NOW, Paper, busy, factory, line, repository, task


async def test_wide_terminals_show_stations_as_columns_in_their_order() -> None:
    async with face(Paper(busy()), (200, 60)) as shown:
        heads = shown.row("queued")
        places = [heads.index(name) for name in ("queued", "build", "check", "review", "land", "done")]
        assert places == sorted(places)
        assert shown.where("T9 landing")[0] >= shown.where("land ")[0]


async def test_a_card_tells_state_health_attempt_claims_and_words_by_glyph_and_word() -> None:
    async with face(Paper(busy()), (200, 60)) as shown:
        for told in ("● T7 building", "thinking · opencode · try 2", "✗ tests", "… lint", "? lint", "◆ T5 waiting",
                     "“reading tests/test_time.py”"):
            assert told in shown.text, told


async def test_narrow_terminals_show_one_list_with_the_station_as_prefix() -> None:
    async with face(Paper(busy()), (80, 24)) as shown:
        assert shown.row("T5 ").split()[:4] == ["▸", "review", "◆", "T5"]
        assert shown.row("T8 ").split()[:2] == ["!", "build"]
        assert all(len(each) <= 80 for each in shown.lines)


async def test_who_waits_for_a_person_comes_first_in_a_column_and_is_counted_on_top() -> None:
    async with face(Paper(busy()), (200, 60)) as shown:
        assert "2 wait for you" in shown.lines[0]
        assert shown.where("T8 waiting")[1] < shown.where("T4 building")[1]


async def test_every_size_shows_the_chosen_card_and_the_way_out() -> None:
    async with face(Paper(busy()), (160, 44)) as shown:
        for width, height in ((60, 20), (250, 70), (80, 24), (100, 30), (120, 40), (200, 60)):
            for home in ("gates", "problems", "board"):
                shown.app.show_home(home)
                await shown.pilot.resize_terminal(width, height)
                await shown.settle()
                assert "T5" in shown.text and "q quit" in shown.lines[-1], (width, height, home)
                assert len(shown.lines) == height and all(cell_len(each) == width for each in shown.lines)


async def test_what_is_typed_before_a_prompt_stands_there_is_not_lost() -> None:
    async with face(Paper(busy())) as shown:
        shown.app.screen.view.choose("T3")  # type: ignore[attr-defined]
        for key in "rmind":
            shown.app.post_message(Key(key, key))
        await shown.settle()
        await shown.press("enter")
        assert [each.note for each in shown.paper.commands if isinstance(each, RetryTask)] == ["mind"]


async def test_resizing_goes_between_columns_and_list() -> None:
    async with face(Paper(busy()), (200, 50)) as shown:
        await shown.pilot.resize_terminal(80, 24)
        await shown.settle()
        assert "review  ◆ T5" in shown.text
        await shown.pilot.resize_terminal(160, 40)
        await shown.settle()
        assert "review  ◆ T5" not in shown.text and "◆ T5 waiting" in shown.text


async def test_a_lane_that_holds_more_than_fits_says_how_many_more_and_scrolls_with_the_cursor() -> None:
    many = [task(n, f"task number {n}", "queued", "build", since=NOW - n * MINUTE, priority=100 - n) for n in range(1, 41)]
    async with face(Paper([factory(), repository(), line(), *many]), (160, 30)) as shown:
        assert "more" in shown.text and "task number 40" not in shown.text
        await shown.press("end")
        assert "task number 40" in shown.text and "↑" in shown.text
        await shown.press("home")
        assert "task number 1" in shown.text and "↑ " not in shown.text


async def test_arrows_and_letters_walk_cards_and_lanes() -> None:
    async with face(Paper(busy()), (200, 60)) as shown:
        board = shown.app.screen.view  # type: ignore[attr-defined]
        assert board.chosen == "T5"
        await shown.press("left")
        assert board.chosen in ("T6", "T12")
        await shown.press("h", "down")
        assert board.chosen == "T4"
        await shown.press("k")
        assert board.chosen == "T8"
        await shown.press("n")
        assert board.chosen == "T5"


async def test_a_click_chooses_a_card_and_a_second_click_opens_it() -> None:
    async with face(Paper(busy()), (200, 60)) as shown:
        x, y = shown.where("Drop Python 3.8")
        await shown.pilot.click(offset=(x, y))
        await shown.settle()
        assert shown.app.screen.view.chosen == "T6"  # type: ignore[attr-defined]
        await shown.pilot.click(offset=(x, y))
        await shown.settle()
        assert shown.place == "TaskScreen" and "T6" in shown.lines[0]


async def test_the_wheel_scrolls_the_lane_under_the_pointer() -> None:
    many = [task(n, f"task number {n}", "queued", "build", since=NOW - n * MINUTE, priority=100 - n) for n in range(1, 41)]
    async with face(Paper([factory(), repository(), line(), *many]), (160, 30)) as shown:
        x, y = shown.where("task number 3")
        board = shown.app.screen.view  # type: ignore[attr-defined]
        await shown.pilot._post_mouse_events([MouseScrollDown], board, (x, y - board.region.y), button=0)
        await shown.settle()
        assert "↑ 1 more" in shown.text


async def test_the_filter_narrows_the_board_while_it_is_typed_and_escape_clears_it() -> None:
    async with face(Paper(busy()), (160, 44)) as shown:
        await shown.press("slash", *"cache")
        assert "T7 building" in shown.text and "T6 checking" not in shown.text
        await shown.press("enter")
        assert "1 of 12 match" in shown.text
        await shown.press("escape")
        assert "T6 checking" in shown.text


async def test_cancel_asks_first_and_says_what_happens_to_the_work() -> None:
    async with face(Paper(busy())) as shown:
        await shown.press("c")
        assert "Cancel T5?" in shown.text and "andon undo" in shown.text and not shown.paper.commands
        await shown.press("n")
        assert not shown.paper.commands
        await shown.press("c", "y")
        assert [type(each) for each in shown.paper.commands] == [CancelTask] and shown.paper.commands[0].task == "T5"  # type: ignore[union-attr]


async def test_stopping_a_line_asks_why_and_resuming_lets_it_move() -> None:
    async with face(Paper(busy())) as shown:
        await shown.press("S", "enter")
        assert not shown.paper.commands, "an empty reason stops nothing"
        await shown.press(*"red", "enter")
        assert shown.paper.commands == [PullCord(repo=line().repo, line="build", because="red")]
        shown.paper.put(line(cord="red", cord_by="ada", cord_at=NOW - MINUTE))
        await shown.settle()
        assert "line build stands still: red · ada · 1m" in shown.text
        await shown.press("R")
        assert isinstance(shown.paper.commands[-1], ReleaseCord)


async def test_retry_carries_a_note_to_the_next_attempt() -> None:
    async with face(Paper(busy())) as shown:
        shown.app.screen.view.choose("T3")  # type: ignore[attr-defined]
        await shown.press("r", *"mind", "enter")
        assert shown.paper.commands == [RetryTask(task=task(3, "", "failed", "").task, note="mind")]


async def test_a_refused_command_is_told_with_its_mend() -> None:
    async with face(Paper(busy())) as shown:
        shown.paper.refuses = Problem(what="T5 is not yours", where="ledger", mend="ask ada")
        await shown.press("c", "y")
        assert "T5 is not yours" in shown.text and "mend: ask ada" in shown.text


async def test_an_empty_factory_says_what_to_do() -> None:
    async with face(Paper([factory()])) as shown:
        assert "andon init" in shown.text
    async with face(Paper([factory(), repository(), line()])) as shown:
        assert "andon add" in shown.text


async def test_brackets_turn_to_the_next_line_of_the_factory() -> None:
    docs = line(line="docs", stations=line().stations[:1])
    async with face(Paper([*busy(), docs])) as shown:
        assert "humanize / build" in shown.text
        await shown.press("right_square_bracket")
        assert "humanize / docs" in shown.text and "no task yet" in shown.text


async def test_modes_of_the_factory_are_told_with_their_reason() -> None:
    odd = factory(mode="read-only", because="event 12 does not fit its hash")
    views = [odd if view.key == "factory" else view for view in busy()]
    async with face(Paper(views)) as shown:
        assert "the factory is read-only: event 12 does not fit its hash" in shown.text
        await shown.press("c")
        assert shown.place == "Board" and not shown.paper.commands


async def test_columns_can_be_asked_for_where_they_do_not_fit_and_scroll_sideways() -> None:
    async with face(Paper(busy()), (80, 24)) as shown:
        await shown.press("v")
        assert "◆ T5 waiting" in shown.text
        for _ in range(6):
            await shown.press("right")
        assert "done" in shown.text and "T3" in shown.text


def test_each_task_belongs_to_exactly_one_lane() -> None:
    stations = line().stations
    assert lane_of(task(1, "", "queued", "build"), stations) == "queued"
    assert lane_of(task(1, "", "queued", "check"), stations) == "check"
    assert lane_of(task(1, "", "paused", "build"), stations) == "build"
    assert lane_of(task(1, "", "failed", "check"), stations) == "done"
    assert lane_of(task(1, "", "building", "a station that was renamed"), stations) == "queued"
