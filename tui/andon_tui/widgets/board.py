"""The board: lanes of cards with one cursor, as columns where they fit and as one list where they don't. Must never know the app.

Theory of operation. The whole board is one line widget of exactly its own height: a lane that holds more cards than fit says how
many more there are and scrolls by itself. Cards are drawn once per (view, width, age, chosen) and kept.
"""

from collections.abc import Mapping, Sequence
from typing import Literal

from textual import events
from textual.message import Message

from andon.schema.views import TaskView
from andon_tui.clock import Clock
from andon_tui.draw import Row, Span, fit, pad, row
from andon_tui.model import Lane
from andon_tui.widgets import cards, columns
from andon_tui.widgets.painted import Rows

CARDS_LIMIT = 2000
"""Drawn cards kept."""
Shape = Literal["auto", "columns", "list"]


class BoardView(Rows):
    """One line of one repository."""

    class Moved(Message):
        """Another card is chosen."""

    class Opened(Message):
        """A person opened the chosen card with the mouse."""

    def __init__(self, clock: Clock, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._clock = clock
        self._lanes: list[Lane] = []
        self._listed: Lane = Lane("", "", ())
        self._places: dict[str, str] = {}
        self._cards: dict[tuple[object, ...], tuple[Row, ...]] = {}
        self._laid = columns.Drawn([], [], (), ())
        self._follow = True
        self._at = (0, 0)
        self._empty = ""
        self._marks: Mapping[str, Row] = {}
        self.shape: Shape = "auto"
        self.chosen = ""
        """Id of the chosen task."""

    @property
    def as_columns(self) -> bool:
        """Whether lanes stand side by side now."""
        if self.shape == "auto":
            return self.size.width >= max(100, columns.wants(self._lanes))
        return self.shape == "columns"

    def fill(self, lanes: Sequence[Lane], *, empty: str = "", marks: Mapping[str, Row] | None = None) -> None:
        """Show these lanes. `empty` is said where there is no task at all; `marks` stand on the cards of these tasks."""
        self._lanes, self._empty, self._marks = list(lanes), empty, marks or {}
        self._places = {task.task: lane.name for lane in lanes for task in lane.tasks}
        order = {lane.name: n for n, lane in enumerate(lanes)}
        everything = [task for lane in lanes for task in lane.tasks]
        everything.sort(key=lambda task: (not task.attention, _rank(order[self._places[task.task]], len(lanes))))
        self._listed = Lane("", "", tuple(everything))
        if self.chosen not in self._places:
            self._choose_near()
        self.redraw()

    def _choose_near(self) -> None:
        """The chosen card is gone: take its neighbour, at first who waits for a person."""
        old = self.chosen
        if old and self._at[0] < len(self._shown) and self._shown[self._at[0]].tasks:
            tasks = self._shown[self._at[0]].tasks
            self.chosen = tasks[min(self._at[1], len(tasks) - 1)].task
        else:
            self.chosen = self._listed.tasks[0].task if self._listed.tasks else ""
        if self.chosen != old:
            self.post_message(self.Moved())

    @property
    def _shown(self) -> list[Lane]:
        return self._lanes if self.as_columns else [self._listed]

    def redraw(self) -> int:
        """Draw again from what is known; returns how many lines are painted anew."""
        width, height = self.size
        if not width or not height:
            return 0
        if not self._places:
            return self.show(_nothing(self._empty, width, height))
        self._at = self._find()
        if self.as_columns:
            across = max(width, columns.wants(self._lanes))
            self._laid = columns.screenful(
                self._lanes, across, height, chosen=self.chosen, offsets=self._laid.offsets, follow=self._follow,
                draw=self._upright,
            )
            return self.show(self._laid.rows, wide=across > width)
        offset = self._laid.offsets[0] if len(self._laid.offsets) == 1 else 0
        body = columns.column(self._listed, width, height, self.chosen, offset, self._follow, self._line, gap=False)
        spots = [columns.Spot(0, width, top, bottom, task, 0) for top, bottom, task in body.spots]
        self._laid = columns.Drawn(body.rows, spots, (body.offset,), ((0, width),))
        return self.show(body.rows)

    def _find(self) -> tuple[int, int]:
        for n, lane in enumerate(self._shown):
            for m, task in enumerate(lane.tasks):
                if task.task == self.chosen:
                    return n, m
        return 0, 0

    def _card(self, kind: str, task: TaskView, width: int, chosen: bool) -> tuple[Row, ...]:
        age = self._clock.age(task.since)
        mark = self._marks.get(task.task, ())
        key = (kind, task, age, width, chosen, mark)
        found = self._cards.get(key)
        if found is None:
            if len(self._cards) >= CARDS_LIMIT:
                self._cards.clear()
            if kind == "line":
                found = cards.line(task, self._places.get(task.task, ""), age, width, chosen=chosen, mark=mark)
            else:
                found = cards.card(task, age, width, chosen=chosen, tall=kind == "tall", mark=mark)
            self._cards[key] = found
        return found

    def _upright(self, task: TaskView, width: int, chosen: bool, dense: bool) -> tuple[Row, ...]:
        return self._card("short" if dense and not task.attention else "tall", task, width, chosen)

    def _line(self, task: TaskView, width: int, chosen: bool, _: bool) -> tuple[Row, ...]:
        return self._card("line", task, width, chosen)

    # --- the cursor --------------------------------------------------------------------------------------------------

    def choose(self, task: str) -> bool:
        """Put the cursor on this task; False when it is not on this line."""
        if task not in self._places:
            return False
        self._follow = True
        if task != self.chosen:
            self.chosen = task
            self.post_message(self.Moved())
        self.redraw()
        self._reveal()
        return True

    def move(self, step: int) -> None:
        """Up or down within the lane."""
        lane, at = self._find()
        tasks = self._shown[lane].tasks if self._shown else ()
        if tasks:
            self.choose(tasks[max(0, min(len(tasks) - 1, at + step))].task)

    def aside(self, step: int) -> None:
        """To the next lane that holds a card, near the same height."""
        if not self.as_columns:
            return
        lane, _ = self._find()
        here = next((spot for spot in self._laid.spots if spot.task == self.chosen), None)
        there = lane + step
        while 0 <= there < len(self._lanes) and not self._lanes[there].tasks:
            there += step
        if not 0 <= there < len(self._lanes):
            return
        seen = [spot for spot in self._laid.spots if spot.lane == there]
        top = here.top if here else 0
        best = min(seen, key=lambda spot: abs(spot.top - top)).task if seen else self._lanes[there].tasks[0].task
        self.choose(best)

    def page(self, step: int) -> None:
        """By about a screenful of cards."""
        lane, _ = self._find()
        self.move(step * max(1, len([spot for spot in self._laid.spots if spot.lane == lane]) - 1))

    def edge(self, *, last: bool) -> None:
        """To the first or the last card of the lane."""
        self.move(len(self._places) if last else -len(self._places))

    def next_waiting(self) -> None:
        """To the next card that waits for a person, around the board."""
        waits = [str(task.task) for task in self._listed.tasks if task.attention]
        if waits:
            at = waits.index(self.chosen) + 1 if self.chosen in waits else 0
            self.choose(waits[at % len(waits)])

    def _reveal(self) -> None:
        lane, _ = self._find()
        if self.as_columns and lane < len(self._laid.bounds):
            left, right = self._laid.bounds[lane]
            if left < self.scroll_offset.x or right > self.scroll_offset.x + self.size.width:
                self.scroll_to(x=max(0, right - self.size.width), animate=False, force=True)

    # --- the mouse ---------------------------------------------------------------------------------------------------

    def on_resize(self) -> None:
        """Lanes share the new width."""
        self._follow = True
        self.redraw()
        self._reveal()

    def on_click(self, event: events.Click) -> None:
        """A click chooses; a click on what is chosen opens."""
        x, y = event.x + self.scroll_offset.x, event.y
        for spot in self._laid.spots:
            if spot.left <= x < spot.right and spot.top <= y < spot.bottom:
                again = spot.task == self.chosen
                self.choose(spot.task)
                if again:
                    self.post_message(self.Opened())
                return

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        """The wheel scrolls the lane under the pointer."""
        self._wheel(event, 1)

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        """The wheel scrolls the lane under the pointer."""
        self._wheel(event, -1)

    def _wheel(self, event: events.MouseEvent, step: int) -> None:
        event.stop()
        event.prevent_default()
        x = event.x + self.scroll_offset.x
        for n, (left, right) in enumerate(self._laid.bounds):
            if left <= x < right:
                offsets = list(self._laid.offsets)
                offsets[n] = max(0, offsets[n] + step)
                self._laid = self._laid._replace(offsets=tuple(offsets))
                self._follow = False
                self.redraw()


def _rank(lane: int, lanes: int) -> tuple[int, int]:
    """In a list, what is nearest to landing comes first, what waits to start next, what is over last."""
    if lane == lanes - 1:
        return (2, 0)
    return (1, 0) if lane == 0 else (0, -lane)


def _nothing(text: str, width: int, height: int) -> list[Row]:
    said = text or "nothing here yet"
    rows: list[Row] = [pad((), width)] * (height // 3)
    shown = fit(said, width - 2)
    rows.append(pad(row(Span(" " * max(1, (width - len(shown)) // 2)), Span(shown, "dim")), width))
    return (rows + [pad((), width)] * height)[:height]
