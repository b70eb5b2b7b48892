"""What can be done to the one task that a screen is about: answer its gate, retry it, cancel it. Asks before it does."""

from andon.schema.views import TaskView
from andon_tui.screens import asks
from andon_tui.screens.face import Face


class CardFace(Face):
    """A screen with a chosen task."""

    @property
    def card(self) -> TaskView | None:
        """The task that is meant; None when there is none."""
        raise NotImplementedError

    def do_approve(self) -> None:
        """Ask, then approve the gate of the task."""
        self._answer("approve")

    def do_reject(self) -> None:
        """Ask why, then reject."""
        self._answer("reject")

    def do_retry(self) -> None:
        """Another attempt."""
        if self.card:
            asks.retry(self.app, self.desk, self.card)

    def do_cancel(self) -> None:
        """Ask, then end the task."""
        if self.card:
            asks.cancel(self.app, self.desk, self.card)

    def do_revert(self) -> None:
        """Ask why, then have the landed change taken back."""
        if self.card:
            asks.revert(self.app, self.desk, self.card)

    def _answer(self, option: str) -> None:
        gate = self.context().gate
        if gate:
            asks.answer(self.app, self.desk, gate, option)
