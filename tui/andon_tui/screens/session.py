"""One live session: its pane as it is, who sits there and why it is shown so. Must never type by itself."""

from textual.app import ComposeResult

from andon.schema.ids import AttemptId
from andon.schema.views import SessionView
from andon.schema.wire import WatchPane
from andon_tui import actions, telling
from andon_tui.actions import Context
from andon_tui.draw import Span, between, cut, row
from andon_tui.messages import PaneChanged
from andon_tui.safe import safe
from andon_tui.screens.steer import SteeringFace
from andon_tui.widgets.bars import Panel
from andon_tui.widgets.livepane import LivePane


class Session(SteeringFace):
    """The live pane with what is known about it."""

    PLACE = "session"
    BINDINGS = actions.bindings_for("session")

    def __init__(self, attempt: AttemptId) -> None:
        super().__init__(name=f"session-{attempt}")
        self.attempt = attempt
        self._last: SessionView | None = None
        self._alive = True
        self._rows = 0

    def body(self) -> ComposeResult:
        """Facts over the pane."""
        yield Panel(id="facts-line")
        yield LivePane(id="pane")

    @property
    def view(self) -> SessionView | None:
        """The session while it lives."""
        return self.model.session(self.attempt)

    def trail(self) -> list[str]:
        """Task and attempt."""
        return [f"{self.attempt} live" if self.view else f"{self.attempt} ended"]

    def context(self) -> Context:
        """What actions act on: this session and its task."""
        view = self.view
        last = view or self._last
        gate = self.model.gate_of(view.task) if view else None
        return self.make_context(session=view, task=self.model.task(last.task) if last else None, gate=gate)

    def watch_pane(self, *, stop: bool = False) -> None:
        """Ask for the pane's pictures, or no longer."""
        rows = self.query_one("#pane", LivePane).size.height
        self.desk.request(WatchPane(attempt=AttemptId("") if stop else self.attempt, rows=0 if stop else rows))

    def on_mount(self) -> None:
        """Watch from here on."""
        super().on_mount()
        self.call_after_refresh(self.watch_pane)

    def on_unmount(self) -> None:
        """Nobody looks any more."""
        self.desk.request(WatchPane(attempt=AttemptId("")))

    def show_pane(self, message: PaneChanged) -> None:
        """A new picture."""
        if message.pane.attempt == self.attempt:
            self.query_one("#pane", LivePane).feed(message.pane)
            if self._alive != (message.pane.state == "live"):
                self._alive = message.pane.state == "live"
                self.update()

    def draw(self) -> None:
        """Who, how, since when and why."""
        view = self.view or self._last
        self._last = view
        panel = self.query_one("#facts-line", Panel)
        width = panel.size.width
        if view is None or not width:
            panel.show([row(Span(" no session is alive here", "dim"))])
            return
        clock = self.desk.clock
        task = self.model.task(view.task)
        state = telling.state(view) if self.view else row(Span("ended", "dim"))
        taken = Span(f" · taken by {safe(view.taken)}", "ask") if view.taken else Span("")
        first = between(
            row(" ", Span(view.attempt, "strong"), " ", safe(task.title) if task else ""),
            row(Span(safe(view.agent), "dim"), " · ", state, taken, " "), width)
        second = cut(row(" ", telling.because(view, clock)), width)
        port = f" · port {view.port}" if view.port else ""
        third = between(row(" ", telling.cost(view)), row(Span(f"e explains · t takes it over here{port} ", "dim")), width)
        says = row(Span(f" the agent says: “{safe(view.says)}”", "said")) if view.says else row(Span(f" {safe(view.path)}", "dim"))
        panel.show([first, second, third, cut(says, width)])

    # --- actions -----------------------------------------------------------------------------------------------------

    def do_details(self) -> None:
        """The task of this session."""
        task = self.context().task
        if task:
            self.desk.show_task(task.task)
