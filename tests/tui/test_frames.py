"""What a drawing costs: nothing when nothing changed, and only the rows that differ when something did."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

import msgspec
import pytest
from textual.message import Message
from textual.strip import Strip

from andon.schema.ids import AttemptId
from andon.schema.views import AnyView, TaskView
from andon_tui.feed import FRAMES
from andon_tui.messages import FactoryChanged, PaneChanged
from andon_tui.widgets.painted import Painted
from face_on_paper import Face, face
from factory_on_paper import HOUR, MINUTE, NOW, SECOND, Paper, busy, factory, line, repository, session, task
from support import wait_for


def aged(views: list[AnyView], by: int) -> list[AnyView]:
    return [msgspec.structs.replace(view, since=view.since - by) if isinstance(view, TaskView) else view for view in views]


@contextmanager
def painted(shown: Face, widget: Painted) -> Iterator[list[int]]:
    """The rows that this widget renders meanwhile."""
    rows: list[int] = []
    render = widget.render_line

    def counted(y: int) -> Strip:
        rows.append(y)
        return render(y)

    widget.render_line = counted  # type: ignore[method-assign]
    yield rows
    del widget.render_line


async def test_nothing_is_painted_while_nothing_changes_not_even_by_timers() -> None:
    async with face(Paper(aged(busy(), 3 * HOUR))) as shown:
        shown.app.clock.SLOW_S = 0.05
        shown.app.draw()
        await shown.settle()
        shown.writes.clear()
        drawings = 0
        draw = shown.app.screen.update  # type: ignore[attr-defined]

        def counted() -> None:
            nonlocal drawings
            drawings += 1
            draw()

        shown.app.screen.update = counted  # type: ignore[attr-defined]
        await wait_for(lambda: drawings >= 5, what="five looks at the clock")
        await shown.settle()
        assert shown.writes == []
        shown.hand.at += HOUR
        await wait_for(lambda: shown.writes, what="a frame once an age has changed")


async def test_a_snapshot_equal_to_what_is_known_sends_no_message() -> None:
    async with face(Paper(busy())) as shown:
        sent: list[object] = []
        shown.app.feeder._post = sent.append
        for _ in range(20):
            shown.paper.put(*busy())
        await shown.settle()
        assert sent == [] and shown.writes == []


async def test_ages_in_seconds_tick_once_a_second_and_older_ones_every_half_minute() -> None:
    async with face(Paper(busy())) as shown:
        assert shown.app.clock.interval == 1.0
        shown.paper.put(*aged([view for view in busy() if view.key in ("task:T6", "task:T9")], HOUR))
        await shown.settle()
        assert shown.app.clock.interval == 30.0


async def test_an_age_that_moves_paints_one_row() -> None:
    async with face(Paper(busy())) as shown:
        shown.hand.at += SECOND
        with painted(shown, shown.app.screen.view) as rows:  # type: ignore[attr-defined]
            shown.app.draw()
            await shown.settle()
        assert "42s" in shown.text and len(set(rows)) == 1, "T6 and T9 head the same row"


async def test_a_changed_card_paints_only_its_rows() -> None:
    async with face(Paper(busy()), (200, 60)) as shown:
        before = shown.lines
        with painted(shown, shown.app.screen.view) as rows:  # type: ignore[attr-defined]
            card = shown.app.model.task("T7")
            assert card is not None
            shown.paper.put(msgspec.structs.replace(card, says="now it passes"))
            await shown.settle()
        changed = [y for y, (old, new) in enumerate(zip(before, shown.lines, strict=True)) if old != new]
        top = shown.app.screen.view.region.y  # type: ignore[attr-defined]
        assert [y + top for y in sorted(set(rows))] == changed and len(changed) == 1


async def test_a_burst_of_changes_becomes_few_drawings() -> None:
    async with face(Paper(busy())) as shown:
        sent: list[object] = []
        post = shown.app.post_message

        def counted(message: Message) -> bool:
            sent.append(message)
            return post(message)

        shown.app.feeder._post = counted
        start = time.monotonic()
        for n in range(300):
            shown.paper.put(session("T4.1", says=f"line {n}"), task(4, f"title {n}", "building", "build"))
            if n % 10 == 0:
                await shown.pilot.pause()
        await shown.settle()
        assert len(sent) <= (time.monotonic() - start) * FRAMES + 2
        assert "title 299" in shown.text


def test_newer_messages_take_the_place_of_older_ones() -> None:
    from andon.schema.wire import PaneIs

    one, other = (PaneChanged(PaneIs(attempt=AttemptId(name), rows=(), width=1, height=1)) for name in ("T1.1", "T2.1"))
    assert FactoryChanged().can_replace(FactoryChanged()) and not FactoryChanged().can_replace(one)
    assert one.can_replace(one) and not one.can_replace(other)


@pytest.mark.parametrize("size", [(200, 60), (80, 24)])
async def test_two_hundred_cards_are_updated_in_a_few_milliseconds(size: tuple[int, int]) -> None:
    states = ("queued", "building", "checking", "waiting", "landing", "done")
    cards = [task(n, f"task number {n}", states[n % 6], ("build", "build", "check", "review", "land", "land")[n % 6],
                  since=NOW - n * MINUTE, attention="look" if n % 50 == 3 else "") for n in range(1, 201)]
    async with face(Paper([factory(), repository(), line(), *cards]), size) as shown:
        took = []
        for n in range(20):
            shown.paper.views_["task:T7"] = task(7, f"another title {n}", "building", "build", since=NOW)
            shown.app.model.sync(shown.paper.views)
            start = time.process_time()
            shown.app.draw()
            took.append(time.process_time() - start)
        assert sorted(took)[10] < 0.02, f"median {sorted(took)[10] * 1000:.1f} ms"


async def test_a_dialog_over_the_board_keeps_it_from_nothing() -> None:
    async with face(Paper(busy())) as shown:
        await shown.press("c")
        shown.paper.put(task(6, "a title from below", "checking", "check", since=NOW))
        await shown.settle()
        await shown.press("n")
        assert "a title from" in shown.text
