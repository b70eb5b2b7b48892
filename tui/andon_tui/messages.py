"""What the feed tells the screens. Carries no views: the model has them, so an older message can always give way to a newer one."""

from textual.message import Message

from andon.schema.wire import PaneIs


class FactoryChanged(Message, bubble=False):
    """Something in the model, or the state of the connection, is different."""

    def can_replace(self, message: Message) -> bool:
        """One is as good as many."""
        return isinstance(message, FactoryChanged)


class PaneChanged(Message, bubble=False):
    """A watched session's pane shows something else."""

    def __init__(self, pane: PaneIs) -> None:
        super().__init__()
        self.pane = pane

    def can_replace(self, message: Message) -> bool:
        """A newer picture of the same pane."""
        return isinstance(message, PaneChanged) and message.pane.attempt == self.pane.attempt
