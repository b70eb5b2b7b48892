"""What all screens share: frame, actions by name, drawing when the model changed. Must never know the app but as a Desk."""

from collections.abc import Sequence
from typing import ClassVar, cast

from textual import on
from textual.app import ComposeResult
from textual.screen import Screen
from textual.widget import Widget

from andon.schema.errors import Mistake
from andon.schema.ids import AttemptId
from andon.schema.sentences import plural
from andon.schema.wire import AccessIs, GetAccess
from andon_tui import actions, palette, telling
from andon_tui.actions import Context, Place
from andon_tui.desk import Desk
from andon_tui.draw import Span, row
from andon_tui.model import Model
from andon_tui.safe import safe
from andon_tui.widgets.bars import Banners, Bar, Link
from andon_tui.widgets.listing import Listing
from andon_tui.widgets.livepane import LivePane
from andon_tui.widgets.painted import Resized, Rows

TABS = (("board", "Board"), ("gates", "Gates"), ("queue", "Queue"), ("floor", "Floor"), ("problems", "Problems"))
ROOMY = 100
"""Columns from which the top bar tells how many are at work."""


class Face(Screen[None], inherit_bindings=False):
    """A full screen: top bar, banners, its own body, footer."""

    PLACE: ClassVar[Place] = "board"
    AUTO_FOCUS = None
    ALLOW_SELECT = False
    wanted: str = ""
    """The filter, where the screen has one."""

    def compose(self) -> ComposeResult:
        """The frame around `body`."""
        yield Bar(id="top")
        yield Banners(id="banners")
        yield from self.body()
        yield Bar(id="keys")

    def body(self) -> ComposeResult:
        """The widgets of this screen."""
        raise NotImplementedError

    # --- what a screen knows -----------------------------------------------------------------------------------------

    @property
    def desk(self) -> Desk:
        """The app, as far as screens know it."""
        return cast("Desk", self.app)

    @property
    def model(self) -> Model:
        """The latest views."""
        return self.desk.model

    def context(self) -> Context:
        """What actions would act on now."""
        raise NotImplementedError

    def grounds(self) -> dict[str, object]:
        """The part of the context that every screen has."""
        factory = self.model.factory
        paused = ""
        if factory is not None and factory.mode == "read-only":
            paused = f"the factory is read-only: {safe(factory.because)}"
        below = len(self.app.screen_stack) > 2 or bool(self.wanted)
        return {"connected": self.desk.connected, "paused": paused, "waiting": self.model.waiting, "below": below}

    def make_context(self, **what: object) -> Context:
        """A context of this place."""
        return Context(place=self.PLACE, **self.grounds(), **what)  # type: ignore[arg-type]

    # --- drawing -----------------------------------------------------------------------------------------------------

    def draw(self) -> None:
        """Draw the body from the model."""
        raise NotImplementedError

    def update(self) -> None:
        """Draw frame and body anew; only what differs is painted."""
        if not self.is_mounted or not self.query("#top"):
            return
        self.desk.clock.begin()
        for rows in self.query(Rows):
            rows.grey(not self.desk.connected and rows.id not in ("banners", "keys"))
        self.draw()
        self.frame_top()
        self.query_one("#banners", Banners).tell(self.banners())
        self.frame_keys()
        self.desk.rearm()

    def on_mount(self) -> None:
        """Draw once sizes are known."""
        self.call_after_refresh(self.update)
        self.focus_first()

    def on_screen_resume(self) -> None:
        """Another screen went away: catch up."""
        self.call_after_refresh(self.update)

    @on(Resized)
    def fit(self, event: Resized) -> None:
        """Draw for the new size of a part."""
        event.stop()
        self.call_after_refresh(self.update)

    def focus_first(self) -> None:
        """Put the focus on the first pane."""
        panes = self.panes()
        if panes:
            self.set_focus(panes[0], scroll_visible=False)

    def panes(self) -> Sequence[Widget]:
        """The widgets that Tab goes through."""
        return [widget for widget in self.query(Rows) if widget.can_focus and widget.display]

    def banners(self) -> list[tuple[str, str]]:
        """What a person must not miss, as (ground, text)."""
        told: list[tuple[str, str]] = []
        desk = self.desk
        if not desk.connected:
            age = desk.clock.age(desk.heard)
            last = f" · what you see is {age} old" if age else ""
            told.append(("bad", f"✗ daemon not reachable: {safe(desk.trouble) or 'connecting …'}{last}"))
        factory = self.model.factory
        if factory is not None and factory.mode != "running":
            told.append(("ask", f"‖ the factory is {factory.mode}: {safe(factory.because)}"))
        weak = next((each for each in self.model.problems if each.problem == "walls"), None)
        if weak is not None:
            told.append(("ask", f"! {safe(weak.what)} · {safe(weak.mend)}"))
        return told

    def frame_top(self) -> None:
        """Tabs on the left, who waits on the right."""
        waiting, problems = self.model.waiting, len(self.model.problems)
        counts = {"gates": len(self.model.gates), "problems": problems, "queue": sum(queue.entries for queue in self.model.queues)}
        links = [Link(row(Span(" Andon ", "strong"), Span(" ")))]
        for place, label in TABS:
            here = place == self.PLACE
            count = f" {counts[place]}" if counts.get(place) else ""
            text = f" {label}{count} "
            links.append(Link(row(Span(text, "strong", "selected") if here else Span(text, "dim"), " "), place))
        links += [Link(row(Span(" / ", "dim"), Span(safe(each), "strong"))) for each in self.trail()]
        factory = self.model.factory
        work = f"{factory.wip}/{factory.wip_limit} at work  " if factory is not None and factory.wip_limit else ""
        waived = f"{plural(len(factory.waivers), 'rule')} waived  " if factory is not None and factory.waivers else ""
        work = f"{waived}{work}" if self.size.width >= ROOMY else waived
        if waiting:
            told = f" ◆ {waiting} {'waits' if waiting == 1 else 'wait'} for you "
            wait = Link(row(Span(work, "dim"), Span(told, "on-ask", "ask")), "gates")
        else:
            wait = Link(row(Span(work, "dim"), Span("nobody waits for you ", "dim")))
        self.query_one("#top", Bar).tell(links, [wait])

    def trail(self) -> list[str]:
        """Where we are below the tabs."""
        return []

    def frame_keys(self) -> None:
        """The footer: keys that work now."""
        last = ("help", "quit")
        offered = actions.footer_for(self.context())
        left = [link_of(action) for action in offered if action.id not in last]
        right = [link_of(action) for action in offered if action.id in last]
        self.query_one("#keys", Bar).tell(left, right)

    # --- actions -----------------------------------------------------------------------------------------------------

    def on_bar_chosen(self, event: Bar.Chosen) -> None:
        """A link of the frame was clicked."""
        event.stop()
        self.action_act(event.action)

    def action_act(self, name: str) -> None:
        """Carry out the action with this id, or say what is in its way."""
        action = actions.TABLE[name]
        if self.PLACE not in action.where:
            return
        blocked = action.block(self.context())
        if blocked:
            self.desk.say(blocked)
            return
        carry_out = getattr(self, action.handler, None) or getattr(self.app, action.handler)
        carry_out()
        if self.is_current:
            self.frame_keys()

    def _pane(self) -> Widget | None:
        focused = self.focused
        return focused if isinstance(focused, Rows | LivePane) else next(iter(self.panes()), None)

    def _step(self, step: int) -> None:
        pane = self._pane()
        if isinstance(pane, Listing | LivePane):
            pane.move(step)

    def do_up(self) -> None:
        """Move up."""
        self._step(-1)

    def do_down(self) -> None:
        """Move down."""
        self._step(1)

    def do_left(self) -> None:
        """Scroll a wide pane."""
        self._aside(-1)

    def do_right(self) -> None:
        """Scroll a wide pane."""
        self._aside(1)

    def _aside(self, step: int) -> None:
        pane = self._pane()
        if isinstance(pane, Listing | LivePane):
            pane.scroll_aside(step * 8)

    def do_page_up(self) -> None:
        """A page up."""
        self._page(-1)

    def do_page_down(self) -> None:
        """A page down."""
        self._page(1)

    def _page(self, step: int) -> None:
        pane = self._pane()
        if isinstance(pane, Listing | LivePane):
            pane.page(step)

    def do_first(self) -> None:
        """To the top."""
        self._edge(last=False)

    def do_last(self) -> None:
        """To the bottom."""
        self._edge(last=True)

    def _edge(self, *, last: bool) -> None:
        pane = self._pane()
        if isinstance(pane, Listing | LivePane):
            pane.edge(last=last)

    def do_next_pane(self) -> None:
        """Focus the next pane."""
        self._focus(1)

    def do_previous_pane(self) -> None:
        """Focus the pane before."""
        self._focus(-1)

    def _focus(self, step: int) -> None:
        panes = list(self.panes())
        if panes:
            at = panes.index(self.focused) if self.focused in panes else -1
            self.set_focus(panes[(at + step) % len(panes)], scroll_visible=False)

    def do_access(self) -> None:
        """What the attempt that is meant tried to reach."""
        context = self.context()
        problem, session, task = context.problem, context.session, context.task
        self.show_access((problem and problem.attempt) or (session and session.attempt) or (task and task.attempt) or AttemptId(""))

    def show_access(self, attempt: AttemptId) -> None:
        """Ask for an attempt's list and open it."""
        self.run_worker(self._access(attempt), group="access", exclusive=True, exit_on_error=False)

    async def _access(self, attempt: AttemptId) -> None:
        try:
            reply = await self.desk.ask(GetAccess(attempt=attempt))
        except Mistake as mistake:
            self.desk.say(str(mistake.problem), bad=True)
            return
        if isinstance(reply, AccessIs):
            self.desk.show_text(f"{attempt} · tried", telling.access(reply, self.desk.clock))

    def do_back(self) -> None:
        """Climb to the screen below."""
        if len(self.app.screen_stack) > 2:
            self.app.pop_screen()


def link_of(action: actions.Action, *, every: bool = False) -> Link:
    """A key of the footer. `every`: all its keys, not only the first."""
    keys = action.shown_keys.split()
    key = "/".join(keys) if every else keys[0]
    return Link(row(Span(f" {key}", "key"), Span(f" {action.label} ", "dim")), action.id)


def looks() -> list[tuple[str, list[palette.Look]]]:
    """Every sign with its word, for the help screen."""
    return [
        ("states of a task", list(palette.STATES.values())), ("claims", list(palette.CLAIMS.values())),
        ("risk", list(palette.RISKS.values())), ("in the queue", list(palette.ENTRIES.values())),
        ("two changes", list(palette.CLASHES.values())), ("health of a session", list(palette.HEALTHS.values())),
    ]
