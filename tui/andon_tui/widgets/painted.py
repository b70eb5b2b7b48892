"""Line widgets that repaint exactly the lines that differ. Must never know what the lines are about.

Theory of operation. A `Painted` holds one value a line. `put` compares the new values with the old ones and asks Textual to
refresh only lines that differ and can be seen; `strip_of` turns a value into a `Strip`, which is kept for as long as the value
is on screen. `Rows` holds `draw.Row`s: a row is its own cache key, so an unchanged row costs a comparison and nothing else.
"""

from collections.abc import Hashable, Sequence

from rich.segment import Segment
from rich.style import Style  # noqa: TC002 (Textual reads annotations at run time)
from textual.geometry import Region, Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from andon_tui import palette
from andon_tui.draw import Row, cells
from andon_tui.safe import safe

CACHE_LIMIT = 4096
"""Strips kept by one widget."""


class Resized(Message):
    """A line widget has another size: its screen should draw for that."""

    def can_replace(self, message: Message) -> bool:
        """One is as good as many."""
        return isinstance(message, Resized)


class Painted(ScrollView, can_focus=True, inherit_bindings=False):
    """Base of all line widgets."""

    ALLOW_SELECT = False

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self._lines: list[Hashable] = []
        self._strips: dict[Hashable, Strip] = {}
        self._base = palette.base(palette.DARK)

    def put(self, lines: Sequence[Hashable], width: int | None = None) -> int:
        """Show these lines; returns how many of them are painted anew because of it."""
        old, self._lines = self._lines, list(lines)
        size = Size(1 if width is None else width, len(self._lines))
        if size != self.virtual_size:
            self.virtual_size = size
        top, shown = self.scroll_offset.y, self.size.height
        changed = 0
        for y in range(top, top + shown):
            before = old[y] if y < len(old) else None
            after = self._lines[y] if y < len(self._lines) else None
            if before is not after and before != after:
                self.refresh(Region(0, y - top, self.size.width, 1))
                changed += 1
        return changed

    def on_mount(self) -> None:
        """Follow the theme."""
        self.app.theme_changed_signal.subscribe(self, lambda _: self.restyle())
        self.restyle()

    def on_resize(self) -> None:
        """Tell the screen."""
        self.post_message(Resized())

    def restyle(self) -> None:
        """Drop every drawn strip: the colours are different now."""
        self._base = palette.base(self.app.theme)
        self._strips.clear()
        self.refresh()

    def strip_of(self, line: Hashable) -> Strip:
        """The line as cells."""
        raise NotImplementedError

    def render_line(self, y: int) -> Strip:
        """One visible line."""
        left, top = self.scroll_offset
        at = y + top
        if at >= len(self._lines):
            return Strip.blank(self.size.width, self._base)
        line = self._lines[at]
        strip = self._strips.get(line)
        if strip is None:
            if len(self._strips) >= CACHE_LIMIT:
                self._strips.clear()
            strip = self._strips[line] = self.strip_of(line).apply_style(self._base)
        return strip.crop_extend(left, left + self.size.width, self._base)

    def scroll_by(self, rows: int) -> None:
        """Scroll down (or, below zero, up) at once."""
        self.scroll_to(y=self.scroll_offset.y + rows, animate=False)

    def scroll_aside(self, columns: int) -> None:
        """Scroll to the right (or, below zero, to the left) at once."""
        self.scroll_to(x=max(0, min(self.max_scroll_x, self.scroll_offset.x + columns)), animate=False, force=True)


class Rows(Painted):
    """Rows of inked spans."""

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self._styles: dict[tuple[str, str], Style] = palette.styles(palette.DARK)
        self._greyed = False

    def grey(self, greyed: bool) -> None:
        """Draw everything as no longer known to be true."""
        if greyed != self._greyed:
            self._greyed = greyed
            self.restyle()

    def restyle(self) -> None:
        """Other colours."""
        self._styles = palette.styles(self.app.theme, greyed=self._greyed)
        super().restyle()

    def show(self, rows: Sequence[Row], *, wide: bool = False) -> int:
        """Show these rows; returns how many lines are painted anew. `wide`: rows may be longer than the widget."""
        width = max((cells(each) for each in rows), default=0) if wide else None
        return self.put(rows, width)

    def strip_of(self, line: Hashable) -> Strip:
        """The row as cells: every text goes through `safe` once more, whoever drew it."""
        assert isinstance(line, tuple)
        plain = self._styles["", ""]
        segments = [Segment(safe(text), self._styles.get((ink, ground), plain)) for text, ink, ground in line]
        return Strip(segments)
