"""The frame of every screen: top bar, banners and footer, one line widget each. Must never know which screen they frame."""

from collections.abc import Sequence
from typing import NamedTuple

from textual import events
from textual.message import Message

from andon_tui.draw import Row, Span, cells, cut, on, pad, row
from andon_tui.widgets.painted import Rows


class Link(NamedTuple):
    """A run of a bar that can be clicked."""

    spans: Row
    action: str = ""
    """Id of the action that a click runs; empty for text."""


class Bar(Rows, can_focus=False):
    """One line of links on the ground `bar`."""

    class Chosen(Message):
        """A link was clicked."""

        def __init__(self, action: str) -> None:
            super().__init__()
            self.action = action

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._left: Sequence[Link] = ()
        self._right: Sequence[Link] = ()
        self._spots: list[tuple[int, int, str]] = []

    def tell(self, left: Sequence[Link], right: Sequence[Link] = ()) -> None:
        """Show these links; what stands on the right is kept when there is not room for all."""
        self._left, self._right = left, right
        self.redraw()

    def redraw(self) -> None:
        """Lay the links out again."""
        width = self.size.width
        tail = sum(cells(link.spans) for link in self._right)
        line: list[Span] = []
        self._spots = []
        at = 0
        for link in self._left:
            size = cells(link.spans)
            if at + size > width - tail:
                break
            line += link.spans
            self._spots.append((at, at + size, link.action))
            at += size
        line.append(Span(" " * max(0, width - tail - at)))
        at = max(at, width - tail)
        for link in self._right:
            line += link.spans
            self._spots.append((at, at + cells(link.spans), link.action))
            at += cells(link.spans)
        self.show([tuple(_grounded(pad(tuple(line), width)))])

    def on_resize(self) -> None:
        """Fit the new width."""
        self.redraw()

    def on_click(self, event: events.Click) -> None:
        """Run the link's action."""
        for left, right, action in self._spots:
            if left <= event.x < right and action:
                self.post_message(self.Chosen(action))


def _grounded(spans: Row) -> Row:
    return tuple(span if span.ground else span._replace(ground="bar") for span in spans)


class Banners(Rows, can_focus=False):
    """Lines that a person must not miss; takes no room when there are none."""

    LIMIT = 4

    def tell(self, banners: Sequence[tuple[str, str]]) -> None:
        """Show these (ground, text): `ask`, `bad` or `bar`."""
        self._told = list(banners[: self.LIMIT])
        shown = len(self._told)
        if self.styles.height is None or self.styles.height.value != shown or self.display != bool(shown):
            self.styles.height = shown
            self.display = bool(shown)
        self.redraw()

    def redraw(self) -> None:
        """Fit the width."""
        width = self.size.width
        rows = []
        for ground, text in getattr(self, "_told", ()):
            ink = f"on-{ground}" if ground in ("ask", "bad") else ""
            rows.append(on(pad(cut(row(Span(f" {text}", ink)), width), width), ground))
        self.show(rows)

    def on_resize(self) -> None:
        """Fit the new width."""
        self.redraw()


class Panel(Rows, can_focus=False):
    """A few rows that say more about what is selected."""
