"""A list of items with a cursor, each item any number of rows. Must never know what an item is about."""

from collections.abc import Sequence
from typing import NamedTuple

from textual import events
from textual.message import Message

from andon_tui.draw import Row, Span, cells, on, pad
from andon_tui.widgets.painted import Rows

GUTTER = Span("  ")
"""What every row of an item begins with: the cursor's place."""


class Item(NamedTuple):
    """Rows that belong together. Each row begins with `GUTTER`."""

    key: str
    rows: tuple[Row, ...]
    pick: bool = True
    """Whether the cursor may stand here."""


def prose(rows: Sequence[Row]) -> list[Item]:
    """Rows that only scroll, as items."""
    return [Item("", tuple(rows), pick=False)]


class Listing(Rows):
    """Items under a cursor; without any item to pick it is a text that scrolls."""

    class Moved(Message):
        """The cursor stands on another item."""

        def __init__(self, listing: "Listing", key: str) -> None:
            super().__init__()
            self.listing, self.key = listing, key

        @property
        def control(self) -> "Listing":
            """The listing."""
            return self.listing

    class Opened(Moved):
        """A person opened an item with the mouse."""

    def __init__(self, *, id: str | None = None, wide: bool = False) -> None:
        super().__init__(id=id)
        self._items: list[Item] = []
        self._tops: list[int] = []
        self._wide = wide
        self._measured: dict[int, tuple[tuple[Row, ...], int]] = {}
        self.cursor = ""
        """Key of the item under the cursor."""

    def fill(self, items: Sequence[Item], *, cursor: str | None = None) -> None:
        """Show these items. The cursor stays on its item, or near its place when that item is gone."""
        keys = [item.key for item in items if item.pick]
        wanted = self.cursor if cursor is None else cursor
        if wanted not in keys:
            old = [item.key for item in self._items if item.pick]
            at = old.index(self.cursor) if self.cursor in old else 0
            wanted = keys[min(at, len(keys) - 1)] if keys else ""
        moved, self.cursor = wanted != self.cursor, wanted
        self._items = list(items)
        self._draw()
        if moved:
            self._reveal()
            self.post_message(self.Moved(self, wanted))

    def _draw(self) -> None:
        rows: list[Row] = []
        self._tops = []
        width = self.size.width
        for item in self._items:
            self._tops.append(len(rows))
            chosen = item.pick and item.key == self.cursor
            rows.extend(_chosen(each, width, first=not n) if chosen else each for n, each in enumerate(item.rows))
        self.put(rows, self._widest() if self._wide else None)

    def _widest(self) -> int:
        """Cells of the longest row. An item that is the same object as before is not measured again."""
        known = self._measured
        self._measured = {}
        for item in self._items:
            found = known.get(id(item.rows))
            if found is None or found[0] is not item.rows:
                found = (item.rows, max((cells(each) for each in item.rows), default=0))
            self._measured[id(item.rows)] = found
        return max((width for _, width in self._measured.values()), default=0)

    def on_resize(self) -> None:
        """The cursor's ground reaches to the edge."""
        self._draw()

    @property
    def _picks(self) -> list[int]:
        return [n for n, item in enumerate(self._items) if item.pick]

    def move(self, step: int) -> None:
        """Move the cursor by items; scroll where there is nothing to pick."""
        picks = self._picks
        here = next((n for n, at in enumerate(picks) if self._items[at].key == self.cursor), None)
        if here is None:
            self.scroll_by(step)
            return
        there = max(0, min(len(picks) - 1, here + step))
        if there == here:
            self.scroll_by(step)
            return
        self.to(self._items[picks[there]].key)

    def page(self, step: int) -> None:
        """Move by a screenful."""
        rows = max(1, self.size.height - 1)
        picks = self._picks
        if not picks:
            self.scroll_by(step * rows)
            return
        tall = max(1, sum(len(self._items[n].rows) for n in picks) // len(picks))
        self.move(step * max(1, rows // tall))

    def edge(self, *, last: bool) -> None:
        """Go to the first or the last item, or line."""
        picks = self._picks
        if picks:
            self.to(self._items[picks[-1 if last else 0]].key)
        if last or not picks:
            self.scroll_to(y=self.virtual_size.height if last else 0, animate=False)
        else:
            self.scroll_to(y=0, animate=False)

    def to(self, key: str) -> None:
        """Put the cursor on this item."""
        if key != self.cursor and any(item.key == key and item.pick for item in self._items):
            self.cursor = key
            self._draw()
            self.post_message(self.Moved(self, key))
        self._reveal()

    def _reveal(self) -> None:
        for item, top in zip(self._items, self._tops, strict=True):
            if item.pick and item.key == self.cursor:
                shown = self.size.height
                if top < self.scroll_offset.y:
                    self.scroll_to(y=top, animate=False)
                elif top + len(item.rows) > self.scroll_offset.y + shown:
                    self.scroll_to(y=min(top, top + len(item.rows) - shown), animate=False)
                return

    def on_click(self, event: events.Click) -> None:
        """A click selects; a click on what is selected, or a double click, opens."""
        at = event.y + self.scroll_offset.y
        for item, top in zip(self._items, self._tops, strict=True):
            if item.pick and top <= at < top + len(item.rows):
                again = item.key == self.cursor
                self.to(item.key)
                if again:
                    self.post_message(self.Opened(self, item.key))
                return


def _chosen(spans: Row, width: int, *, first: bool) -> Row:
    mark = Span("▸ " if first else "┃ ", "accent")
    rest = spans[1:] if spans and spans[0] == GUTTER else spans
    return on(pad((mark, *rest), width), "selected")
