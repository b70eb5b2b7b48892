"""A text to read: a log, a report, a diff. Must never know where it came from."""

from textual.app import ComposeResult

from andon_tui import actions
from andon_tui.actions import Context
from andon_tui.draw import Span, row
from andon_tui.safe import lines, safe
from andon_tui.screens.dialogs import Prompt
from andon_tui.screens.face import Face
from andon_tui.widgets.diff import diff_rows
from andon_tui.widgets.listing import Listing, prose


class Viewer(Face):
    """Scrolls, and shows only lines with some words."""

    PLACE = "viewer"
    BINDINGS = actions.bindings_for("viewer")

    def __init__(self, title: str, text: str, *, diff: bool = False) -> None:
        super().__init__(name="viewer")
        self._title, self._text, self._diff = title, text, diff
        self._filled: tuple[int, str] | None = None

    def body(self) -> ComposeResult:
        """The text."""
        yield Listing(id="text", wide=True)

    def trail(self) -> list[str]:
        """What is read."""
        return [self._title, *([f"with “{self.wanted}”"] if self.wanted else [])]

    def context(self) -> Context:
        """Nothing to act on."""
        return self.make_context()

    def draw(self) -> None:
        """Only when width or filter changed: a text does not move by itself."""
        listing = self.query_one("#text", Listing)
        now = (listing.size.width, self.wanted)
        if now == self._filled or not listing.size.width:
            return
        self._filled = now
        if self._diff and not self.wanted:
            listing.fill(prose(diff_rows(self._text.split("\n"), listing.size.width - 1)))
            return
        words = self.wanted.lower()
        shown = [(n, line) for n, line in enumerate(lines(self._text), 1) if words in line.lower()]
        size = len(str(shown[-1][0])) if shown else 1
        rows = [row(Span(f" {n:>{size}} ", "rule"), line) for n, line in shown]
        listing.fill(prose(rows or [(), row(Span(f"  nothing with “{safe(self.wanted)}”" if words else "  it is empty", "dim"))]))

    def do_open(self) -> None:
        """Nothing to drill into."""

    def do_filter(self) -> None:
        """Show only lines with these words."""
        self.app.push_screen(Prompt(
            "Show only lines with", self._filter, hint="a part of the line", value=self.wanted, watch=self._filter))

    def _filter(self, wanted: str) -> None:
        self.wanted = wanted
        self.update()

    def do_back(self) -> None:
        """Leave the filter, then the text."""
        if self.wanted:
            self._filter("")
        else:
            super().do_back()
