"""What an adapter is: argv and environment out, nothing decided. The door is the entry-point group `andon.agents`."""

from pathlib import Path
from typing import Protocol

import msgspec

from andon.schema.ids import AttemptId, TaskId
from andon.schema.settings import AgentSettings

ENTRY_POINTS = "andon.agents"
"""The entry-point group in which adapters, ours and anybody's, are found. The entry is an object with this protocol."""


class Assignment(msgspec.Struct, frozen=True, kw_only=True):
    """One attempt, as an adapter sees it."""

    attempt: AttemptId
    task: TaskId
    title: str
    prompt: str
    """The whole prompt; also in `prompt_file`."""
    prompt_file: Path
    checkout: Path
    job: Path
    """The job directory: `outbox/` and `inbox/` lie here."""
    agent: AgentSettings


class Launch(msgspec.Struct, frozen=True, kw_only=True):
    """What to run in the session's pane."""

    argv: tuple[str, ...]
    env: dict[str, str] = {}
    """Added to the session's own environment."""


class Installed(msgspec.Struct, frozen=True, kw_only=True):
    """An agent CLI found on this machine."""

    adapter: str
    binary: str
    version: str = ""


class Adapter(Protocol):
    """The contract of an adapter. Pure but for `detect`, which may look at PATH."""

    @property
    def name(self) -> str:
        """The word in `use = …`."""
        ...

    def detect(self) -> tuple[Installed, ...]:
        """Agent CLIs of this adapter that are installed here. Runs nothing that needs an account or a network."""
        ...

    def launch(self, assignment: Assignment) -> Launch:
        """What to run for this assignment. Raises Mistake when settings or binary are wrong."""
        ...
