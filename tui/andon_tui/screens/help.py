"""Every key and every sign, from the table of actions and the palette. Must never list a key that the table does not have."""

from textual.app import ComposeResult

from andon_tui import actions, palette
from andon_tui.actions import Context, Place
from andon_tui.draw import Row, Span, columns, row, wrap
from andon_tui.screens.dialogs import Prompt
from andon_tui.screens.face import Face, looks
from andon_tui.widgets.listing import Listing, prose

KEYS_ROOM = 22
LABEL_ROOM = 15


class Help(Face):
    """Keys of the screen it was opened from first, then the rest."""

    PLACE = "help"
    BINDINGS = actions.bindings_for("help")

    def __init__(self, place: Place) -> None:
        super().__init__(name="help")
        self._from = place

    def body(self) -> ComposeResult:
        """The text."""
        yield Listing(id="text")

    def trail(self) -> list[str]:
        """Help."""
        return ["Help"]

    def context(self) -> Context:
        """Nothing to act on."""
        return self.make_context()

    def draw(self) -> None:
        """All of it, for this width."""
        listing = self.query_one("#text", Listing)
        width = max(40, listing.size.width - 2)
        here = [action for action in actions.of(self._from) if action.where != actions.FULL]
        every = [action for action in actions.ACTIONS if action.where == actions.FULL]
        rest = [action for action in actions.ACTIONS if action not in here and action not in every]
        rows: list[Row] = []
        for title, chosen in ((f"on the screen {self._from}", here), ("on every screen", every), ("elsewhere", rest)):
            shown = [action for action in chosen if self.wanted.lower() in f"{action.label} {action.help}".lower()]
            if shown:
                rows += [(), row(" ", Span(title, "accent"))]
            for action in actions.listed(shown):
                rows += _action(action, width, places=chosen is rest)
        rows += [(), row(" ", Span("signs", "accent"))]
        for title, signs in looks():
            rows += _signs(title, signs, width)
        rows += [(), row(" ", Span("Agents go on when this screen is closed. andon brings it back.", "dim"))]
        listing.fill(prose(rows))

    def do_open(self) -> None:
        """Nothing to drill into."""

    def do_filter(self) -> None:
        """Show only actions with these words."""
        self.app.push_screen(Prompt("Show only actions with", self._filter, hint="words", value=self.wanted, watch=self._filter))

    def _filter(self, wanted: str) -> None:
        self.wanted = wanted.strip()
        self.update()

    def do_back(self) -> None:
        """Leave the filter, then the help."""
        if self.wanted:
            self._filter("")
        else:
            super().do_back()


def _action(action: actions.Action, width: int, *, places: bool) -> list[Row]:
    where = f" ({', '.join(action.where)})" if places else ""
    room = width - KEYS_ROOM - LABEL_ROOM - 2
    body = wrap(action.help + where, max(20, room))
    keys = Span(f"{action.shown_keys:>{KEYS_ROOM - 2}}  ", "key")
    rows = [row(" ", keys, f"{action.label:<{LABEL_ROOM}} ", Span(body[0], "dim"))]
    return rows + [row(" " * (KEYS_ROOM + LABEL_ROOM + 2), Span(line, "dim")) for line in body[1:]]


def _signs(title: str, signs: list[palette.Look], width: int) -> list[Row]:
    pieces = [row(Span(f"{look.glyph} {look.word}", look.ink)) for look in signs]
    laid = columns(pieces, max(20, width - KEYS_ROOM - 1), "   ")
    return [row(" ", Span(f"{title if not n else '':>{KEYS_ROOM - 2}}  ", "dim"), each) for n, each in enumerate(laid)]
