"""What a screen may ask of the app it lies in: the screens' whole knowledge of the layer above them."""

from contextlib import AbstractContextManager
from typing import Protocol

from andon.schema.ids import AttemptId, Digest, TaskId
from andon.schema.inputs import AnyCommand
from andon.schema.wire import AnyReply, AnyRequest
from andon_tui.clock import Clock
from andon_tui.model import Model


class Desk(Protocol):
    """Implemented by `andon_tui.app.AndonApp`."""

    model: Model
    clock: Clock

    @property
    def connected(self) -> bool:
        """Whether the daemon is heard right now."""
        ...

    @property
    def trouble(self) -> str:
        """Why it is not."""
        ...

    @property
    def heard(self) -> int:
        """Unix milliseconds when it was last heard; 0 for never."""
        ...

    def command(self, command: AnyCommand, told: str) -> None:
        """Send a person's command; `told` is said once it is durable, the daemon's own error otherwise."""
        ...

    def terminal(self) -> AbstractContextManager[None]:
        """The terminal, handed over for a while: for a passphrase or the touch of a key. Raise nothing in there."""
        ...

    def request(self, request: AnyRequest, told: str = "") -> None:
        """Send a request; an error is said to the person."""
        ...

    async def ask(self, request: AnyRequest) -> AnyReply:
        """The daemon's answer. Raises Mistake when it says no or is not reachable."""
        ...

    async def blob(self, digest: Digest) -> str:
        """The text of a blob, from the cache when it was read before; an error text when it cannot be read."""
        ...

    def say(self, text: str, *, bad: bool = False, title: str = "") -> None:
        """Show a short note. The text is cleaned and never read as markup."""
        ...

    def rearm(self) -> None:
        """Ages were drawn: wake up when they are worth drawing again."""
        ...

    def show_task(self, task: TaskId) -> None:
        """Open a task's screen."""
        ...

    def show_session(self, attempt: AttemptId) -> None:
        """Open a session's screen."""
        ...

    def jump(self, place: str) -> None:
        """Go to what has this name: a task, a gate, a session, a screen."""
        ...

    def show_text(self, title: str, text: str, *, diff: bool = False) -> None:
        """Open the text viewer."""
        ...

    def show_evidence(self, task: TaskId, claim: str = "", digest: Digest | None = None) -> None:
        """Open what a claim of a task rests on: by its name, by the digest of its statement, or the one that says most."""
        ...

    def show_diff(self, task: TaskId) -> None:
        """Open the diff of a task's change."""
        ...
