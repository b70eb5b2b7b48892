"""The command palette: what the table of actions offers here, then tasks and gates by name. Must never offer another deed."""

from functools import partial
from typing import TYPE_CHECKING, cast

from rich.text import Text
from textual.command import DiscoveryHit, Hit, Hits, Provider

from andon_tui import actions
from andon_tui.safe import safe
from andon_tui.screens.face import Face

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

JUMPS_LIMIT = 500


class Commands(Provider):
    """Actions that are possible now, then places to go to."""

    @property
    def _face(self) -> Face | None:
        return self.screen if isinstance(self.screen, Face) else None

    def _offers(self) -> "Iterator[tuple[str, str, Callable[[], None]]]":
        face = self._face
        if face is None:
            return
        for action in actions.palette_for(face.context()):
            keys = f"  ({action.shown_keys})" if action.keys else ""
            yield f"{action.label}{keys}", action.help, partial(face.action_act, action.id)

    def _places(self) -> "Iterator[tuple[str, str, Callable[[], None]]]":
        face = self._face
        if face is None:
            return
        jump = cast("Callable[[str], None]", getattr(self.app, "jump", None))
        for gate in face.model.gates[:JUMPS_LIMIT]:
            yield f"go to {gate.gate}: {safe(gate.title)}", safe(gate.question), partial(jump, gate.gate)
        for task in face.model.tasks[:JUMPS_LIMIT]:
            yield f"go to {task.task}: {safe(task.title)}", task.state, partial(jump, task.task)

    async def discover(self) -> Hits:
        """What is offered before anything is typed."""
        for name, told, run in self._offers():
            yield DiscoveryHit(Text(name), run, text=name, help=_escaped(told))

    async def search(self, query: str) -> Hits:
        """What fits the words that were typed."""
        matcher = self.matcher(query)
        for name, told, run in (*self._offers(), *self._places()):
            score = matcher.match(name)
            if score > 0:
                yield Hit(score, Text(name), run, text=name, help=_escaped(told))


def _escaped(told: str) -> str:
    """Help lines of the palette are read as markup: brackets are made harmless."""
    return told.replace("[", "(").replace("]", ")").replace("\\", "/")
