"""What a person asks for about what judges: to set a rule aside for a while, to take that back, to let a line be dark."""

from andon.schema.gate_inputs import Signature
from andon.schema.ids import Digest, RepoId, TaskId
from andon.schema.inputbase import Command
from andon.schema.settings import Lights


class WaiveRule(Command, frozen=True, kw_only=True, tag="waive"):
    """Set a rule aside for one task, or for some paths of a repository, until a moment."""

    repo: RepoId
    rule: str
    task: TaskId = TaskId("")
    paths: tuple[str, ...] = ()
    until: int
    """Unix milliseconds."""
    because: str
    signed: Signature | None = None
    """As a face sends it; the daemon looks at it and puts `signature` in its place."""
    signature: Digest = Digest("")
    """The signed approval. Whoever gives this to the loop has verified it; what comes over a socket has none."""

    @property
    def terms(self) -> dict[str, str]:
        """All that a signature covers."""
        return {"rule": self.rule, "task": self.task, "paths": "\n".join(self.paths), "until": str(self.until),
                "because": self.because}


class EndWaiver(Command, frozen=True, kw_only=True, tag="waiver-end"):
    """The rule is to count again, from now on."""

    waiver: str
    because: str = ""


class ApproveLights(Command, frozen=True, kw_only=True, tag="lights"):
    """Let a line be as dark as its settings say, having seen its figures."""

    repo: RepoId
    line: str
    lights: Lights
    because: str
    signed: Signature | None = None
    signature: Digest = Digest("")

    @property
    def terms(self) -> dict[str, str]:
        """All that a signature covers."""
        return {"line": self.line, "lights": self.lights, "because": self.because}


AnyPolicyCommand = WaiveRule | EndWaiver | ApproveLights
