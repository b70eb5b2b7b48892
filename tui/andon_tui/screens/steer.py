"""What a person can do to a live session: write, interrupt, nudge, take over, start again, have it explained."""

from andon.schema import inputs as i
from andon.schema.views import SessionView
from andon_tui import telling
from andon_tui.screens.dialogs import Confirm, Prompt
from andon_tui.screens.face import Face


class SteeringFace(Face):
    """A screen with a chosen session."""

    @property
    def session(self) -> SessionView | None:
        """The session that is meant; None when there is none."""
        return self.context().session

    def do_to_gate(self) -> None:
        """The question that it stands at."""
        if gate := self.context().gate:
            self.desk.jump(gate.gate)

    def do_send(self) -> None:
        """Words for the agent, delivered once."""
        if view := self.session:
            self.app.push_screen(Prompt(
                f"Write to {view.attempt}, then Enter",
                lambda text: self.desk.command(i.SendMessage(attempt=view.attempt, text=text), f"{view.attempt} gets it"),
                hint="delivered once, by its own channel where it has one; the receipt stands in the log", needed=True,
            ))

    def do_interrupt(self) -> None:
        """Ask, then end its turn."""
        if view := self.session:
            self.app.push_screen(Confirm(
                f"End the running turn of {view.attempt}?", ["Its session stays, and so does what it wrote."],
                lambda: self.desk.command(i.Interrupt(attempt=view.attempt), f"{view.attempt} is told to stop its turn"),
            ))

    def do_nudge(self) -> None:
        """Tell it to go on."""
        if view := self.session:
            self.desk.command(i.Nudge(attempt=view.attempt), f"{view.attempt} is nudged")

    def do_take(self) -> None:
        """Take it over, or give it back."""
        if view := self.session:
            if view.taken:
                self.desk.command(i.GiveBack(attempt=view.attempt), f"{view.attempt} is the factory's again")
            else:
                self.desk.command(i.TakeOver(attempt=view.attempt), f"{view.attempt} is yours: t attaches, T gives it back")

    def do_restart(self) -> None:
        """Ask, then start it again in its checkout."""
        if view := self.session:
            how = "its conversation goes on" if view.conversation else "with a summary: its conversation is not known"
            self.app.push_screen(Confirm(
                f"Start {view.attempt} again in its checkout?", [how, "What it wrote is snapshotted first and stays."],
                lambda: self.desk.command(i.RestartSession(attempt=view.attempt), f"{view.attempt} starts again"),
            ))

    def do_explain(self) -> None:
        """Why it is shown as it is, whole."""
        if view := self.session:
            self.desk.show_text(f"{view.attempt} · explained", telling.explanation(view, self.desk.clock))
