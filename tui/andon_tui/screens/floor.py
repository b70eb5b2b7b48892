"""The floor: every live session, who needs somebody first, each with its state and the reason for it. Must never judge one."""

from textual.app import ComposeResult

from andon.schema.views import SessionView
from andon_tui import actions, palette, telling
from andon_tui.actions import Context
from andon_tui.draw import Row, Span, between, cut, row
from andon_tui.model import number
from andon_tui.safe import safe
from andon_tui.screens.dialogs import Prompt
from andon_tui.screens.steer import SteeringFace
from andon_tui.widgets.listing import GUTTER, Item, Listing, prose


class Floor(SteeringFace):
    """All sessions as a list, three rows each."""

    PLACE = "floor"
    BINDINGS = actions.bindings_for("floor")

    def __init__(self) -> None:
        super().__init__(name="floor")

    def body(self) -> ComposeResult:
        """The list."""
        yield Listing(id="list")

    @property
    def sessions(self) -> list[SessionView]:
        """The sessions that the filter lets through: who needs somebody first, then by attempt."""
        words = self.wanted.lower().split()
        shown = [each for each in self.model.sessions if all(word in _text(each) for word in words)]
        return sorted(shown, key=lambda each: (palette.health_rank(each.health), number(each.attempt)))

    def context(self) -> Context:
        """What actions act on: the session under the cursor and its task."""
        view = self.model.session(self.query_one("#list", Listing).cursor)
        task = self.model.task(view.task) if view else None
        return self.make_context(session=view, task=task, gate=self.model.gate_of(view.task) if view else None)

    def draw(self) -> None:
        """The list."""
        listing = self.query_one("#list", Listing)
        width = max(20, listing.size.width - 2)
        items: list[Item] = []
        for view in self.sessions:
            items += [Item(view.attempt, self._rows(view, width)), *prose([()])]
        if not items:
            said = "no session matches" if self.wanted else "no agent is at work"
            items = prose([(), row(GUTTER, Span(f"○ {said}", "dim"))])
        listing.fill(items)

    def _rows(self, view: SessionView, width: int) -> tuple[Row, ...]:
        clock = self.desk.clock
        task = self.model.task(view.task)
        taken = Span(f" · taken by {safe(view.taken)}", "ask") if view.taken else Span("")
        head = row(GUTTER, Span(view.attempt, "strong"), " ", telling.state(view), taken, "  ", safe(task.title) if task else "")
        right = row(Span(f"{safe(view.agent)} ", "dim"))
        second = row(GUTTER, "  ", telling.because(view, clock))
        third = row(GUTTER, "  ", telling.cost(view), Span(f" · up {clock.age(view.started)}" if view.started else "", "dim"),
                    Span(f" · sitting {view.sitting}" if view.sitting > 1 else "", "ask"),
                    Span(f" · “{safe(view.says)}”" if view.says else "", "said"))
        return between(head, right, width), cut(second, width), cut(third, width)

    def on_listing_moved(self) -> None:
        """The keys may be different here."""
        self.frame_keys()

    def on_listing_opened(self) -> None:
        """The mouse opened a session."""
        self.action_act("open")

    def do_open(self) -> None:
        """The live pane."""
        if view := self.session:
            self.desk.show_session(view.attempt)

    def do_session(self) -> None:
        """The live pane."""
        self.do_open()

    def do_details(self) -> None:
        """The task of this session."""
        if view := self.session:
            self.desk.show_task(view.task)

    def do_filter(self) -> None:
        """Show only sessions with these words."""
        self.app.push_screen(Prompt("Show only sessions with", self._filter, hint="words", value=self.wanted, watch=self._filter))

    def _filter(self, wanted: str) -> None:
        self.wanted = wanted.strip()
        self.update()

    def do_back(self) -> None:
        """Leave the filter."""
        if self.wanted:
            self._filter("")


def _text(view: SessionView) -> str:
    """What a filter looks through."""
    return f"{view.attempt} {view.agent} {view.health} {view.cause} {view.because} {view.account} {view.says}".lower()
