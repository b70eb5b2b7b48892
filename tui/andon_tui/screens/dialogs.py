"""Small questions over a screen: yes or no, and one line of text. Must never know what is done with the answer."""

from collections.abc import Callable, Sequence
from typing import ClassVar

from rich.text import Text
from textual import events
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Input, Static

from andon_tui import actions
from andon_tui.actions import Context, Place
from andon_tui.safe import safe
from andon_tui.screens.face import link_of
from andon_tui.widgets.bars import Bar

TEXT_LIMIT = 2_000
"""Characters that a person may type into a prompt."""


class Dialog(ModalScreen[None], inherit_bindings=False):
    """Base of dialogs."""

    PLACE: ClassVar[Place] = "confirm"
    AUTO_FOCUS = None

    def action_act(self, name: str) -> None:
        """Carry out the action with this id."""
        action = actions.TABLE[name]
        if self.PLACE in action.where:
            getattr(self, action.handler)()

    def on_bar_chosen(self, event: Bar.Chosen) -> None:
        """A key of the footer was clicked."""
        event.stop()
        self.action_act(event.action)

    def on_mount(self) -> None:
        """Show the keys."""
        self.call_after_refresh(self.update)

    def update(self) -> None:
        """Draw the footer."""
        offered = actions.footer_for(Context(place=self.PLACE))
        self.query_one("#dialog-keys", Bar).tell([link_of(action, every=True) for action in offered])

    def do_leave(self) -> None:
        """Go away, nothing done."""
        self.dismiss()


class Confirm(Dialog):
    """Yes or no."""

    PLACE = "confirm"
    BINDINGS = actions.bindings_for("confirm")

    def __init__(self, question: str, details: Sequence[str], then: Callable[[], None]) -> None:
        super().__init__()
        self._question, self._details, self._then = question, details, then

    def compose(self) -> ComposeResult:
        """Question, details, keys."""
        with Vertical(id="dialog"):
            yield Static(Text(safe(self._question)), id="question", markup=False)
            for line in self._details:
                yield Static(Text(safe(line)), classes="detail", markup=False)
            yield Bar(id="dialog-keys")

    def do_yes(self) -> None:
        """Do it."""
        self.dismiss()
        self._then()

    def do_no(self) -> None:
        """Leave it."""
        self.dismiss()


class Prompt(Dialog):
    """One line of text. `watch` is called on every change, with what stands there when it is left without sending."""

    PLACE = "prompt"
    BINDINGS = actions.bindings_for("prompt")

    def __init__(
        self, question: str, then: Callable[[str], None], *, hint: str = "", value: str = "", needed: bool = False,
        watch: Callable[[str], None] | None = None,
    ) -> None:
        super().__init__()
        self._question, self._then, self._hint, self._value = question, then, hint, value
        self._needed, self._watch = needed, watch
        self._ahead, self._taken = "", 0
        self.set_class(watch is not None, "watching")

    def compose(self) -> ComposeResult:
        """Question, the line, keys."""
        with Vertical(id="dialog", classes="prompt"):
            yield Static(Text(safe(self._question)), id="question", markup=False)
            yield Input(self._value, placeholder=self._hint, max_length=TEXT_LIMIT, select_on_focus=False, id="typed")
            yield Bar(id="dialog-keys")

    def on_mount(self) -> None:
        """Type at once."""
        line = self.query_one("#typed", Input)
        line.cursor_blink = False
        self.set_focus(line)
        self._take_ahead()
        super().on_mount()

    def typed_ahead(self, event: events.Key) -> None:
        """A character that was typed before the line stood there: it belongs in front of what came after."""
        if event.is_printable and event.character:
            self._ahead += event.character
            if self.query("#typed"):
                self._take_ahead()

    def _take_ahead(self) -> None:
        line = self.query_one("#typed", Input)
        at = len(self._value) + self._taken
        ahead, self._ahead = self._ahead, ""
        line.value = line.value[:at] + ahead + line.value[at:]
        line.cursor_position += len(ahead)
        self._taken += len(ahead)

    def on_input_changed(self, event: Input.Changed) -> None:
        """Tell who watches."""
        if self._watch:
            self._watch(event.value)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Enter within the line."""
        event.stop()
        self.do_submit()

    def do_submit(self) -> None:
        """Send what was typed."""
        text = self.query_one("#typed", Input).value.strip()
        if self._needed and not text:
            self.query_one("#typed", Input).placeholder = "please say why: it is told to the agent and kept"
            return
        self.dismiss()
        self._then(text)

    def do_abandon(self) -> None:
        """Leave without sending."""
        if self._watch:
            self._watch(self._value)
        self.dismiss()
