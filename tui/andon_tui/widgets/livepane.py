"""A session's pane as tmux drew it, in colour. Must never know the session, nor emulate a terminal: tmux is the emulator.

Theory of operation. Rows arrive as text with SGR escapes; a colour that is set in one row goes on in the next, so each row is
decoded from the style in which the row before it ended. A row is decoded once per (text, style before); only rows whose
drawn strip differs are painted again. Everything but SGR is taken out, whatever the sender promised.
"""

from collections.abc import Hashable
from functools import lru_cache

from rich.ansi import AnsiDecoder
from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip

from andon.schema.clean import clean_row
from andon.schema.wire import PaneIs
from andon_tui.widgets.painted import Painted

CACHE_LIMIT = 2048
"""Decoded rows kept."""
ROWS_LIMIT = 500
COLUMNS_LIMIT = 1000


class LivePane(Painted):
    """The live picture of one pane."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._decoder = AnsiDecoder()
        self._decoded: dict[tuple[str, Style], tuple[Strip, Style]] = {}
        self._follow = True

    def feed(self, pane: PaneIs) -> int:
        """Show this picture; returns how many rows are painted anew."""
        style = Style.null()
        strips: list[Strip] = []
        for n, text in enumerate(pane.rows[:ROWS_LIMIT]):
            strip, style = self._decode(text[:8000], style)
            if pane.cursor is not None and pane.cursor[1] == n and pane.state == "live":
                strip = _with_cursor(strip, min(pane.cursor[0], COLUMNS_LIMIT))
            strips.append(strip)
        width = max([min(pane.width, COLUMNS_LIMIT), *(strip.cell_length for strip in strips)])
        changed = self._show(strips, width)
        if self._follow:
            self.scroll_to(y=max(0, len(strips) - self.size.height), animate=False)
        return changed

    def _show(self, strips: list[Strip], width: int) -> int:
        kept = self._lines
        same: list[Hashable] = []
        for n, strip in enumerate(strips):
            old = kept[n] if n < len(kept) else None
            same.append(old if isinstance(old, _Line) and (old.strip is strip or old.strip == strip) else _Line(strip))
        return self.put(same, width)

    def _decode(self, text: str, style: Style) -> tuple[Strip, Style]:
        key = (text, style)
        found = self._decoded.get(key)
        if found is None:
            if len(self._decoded) >= CACHE_LIMIT:
                self._decoded.clear()
            self._decoder.style = style
            drawn = self._decoder.decode_line(clean_row(text))
            pieces = drawn.render(self.app.console)
            segments = [Segment(piece.text, _worn(piece.style) if piece.style else None) for piece in pieces if piece.text]
            found = self._decoded[key] = (Strip(segments), self._decoder.style)
        return found

    def strip_of(self, line: Hashable) -> Strip:
        """The strip itself."""
        assert isinstance(line, _Line)
        return line.strip

    def move(self, step: int) -> None:
        """Scroll by rows; at the bottom the picture is followed."""
        self.scroll_by(step)
        self._follow = self.scroll_offset.y >= self.max_scroll_y

    def page(self, step: int) -> None:
        """Scroll by a screenful."""
        self.move(step * max(1, self.size.height - 1))

    def edge(self, *, last: bool) -> None:
        """Scroll to the top or the bottom."""
        self._follow = last
        self.scroll_to(y=self.max_scroll_y if last else 0, animate=False)


class _Line:
    """One drawn row, compared by identity: equal strips were made the same line before."""

    __slots__ = ("strip",)

    def __init__(self, strip: Strip) -> None:
        self.strip = strip


@lru_cache(1024)
def _worn(style: Style) -> Style:
    """The style as this screen wears it: default colours are the screen's own; nothing blinks, hides or links."""
    color = None if style.color is None or style.color.is_default else style.color
    ground = None if style.bgcolor is None or style.bgcolor.is_default else style.bgcolor
    return Style(color=color, bgcolor=ground, bold=style.bold, dim=style.dim, italic=style.italic, underline=style.underline,
                 reverse=style.reverse, strike=style.strike)


def _with_cursor(strip: Strip, column: int) -> Strip:
    wide = strip.extend_cell_length(column + 1)
    before, under, after = wide.divide([column, column + 1, wide.cell_length]) if wide.cell_length > column + 1 else (
        *wide.divide([column, column + 1]), Strip([]))
    return Strip.join([before, under.apply_style(Style(reverse=True)), after])
