"""The sitter: the scripted agent as an interactive one, for a laboratory without accounts. Its adapter and its door."""

import json
import sys
import uuid
from collections.abc import Mapping
from pathlib import Path

import msgspec

from andon.schema.agent import Assignment, Channel, Installed, Launch, Login, Profile, Seed, SessionFacts
from andon.schema.settings import AgentSettings
from andon.schema.signals import AnySignal, Line

from . import claude_read
from .scripted import chosen, import_path, place

FOLDER = "sitter"
"""Below the session's home: transcripts, by conversation."""
PROMPT = f"{FOLDER}/prompt.md"
"""What this sitting is told."""


class SitterAdapter(msgspec.Struct, frozen=True):
    """`use = "sitter"`: scenarios as for `scripted`, acted out at a prompt, with hooks and a transcript like a real agent's.

    Only steps with `permit = true` ask for permission, and none with `approve = "all"`.
    """

    name: str = "sitter"

    def detect(self) -> tuple[Installed, ...]:
        """Nothing: it comes with us and is no agent CLI of the machine."""
        return ()

    def launch(self, assignment: Assignment) -> Launch:
        """Raises Mistake when the scenario does not exist."""
        agent = assignment.agent
        scenario = place(chosen(assignment.prompt) or (agent.args[0] if agent.args else "proper"), assignment)
        known = bool(assignment.resume) and _transcript(assignment.home, assignment.resume).is_file()
        conversation = assignment.resume if known else _fresh(assignment)
        if assignment.resume and not known:
            assignment = msgspec.structs.replace(assignment, prompt=assignment.whole or assignment.prompt)
        argv = [sys.executable, "-P", "-m", "andon_agents.sitter", scenario, "--prompt", str(assignment.home / PROMPT), "--home",
                str(assignment.home / FOLDER), "--resume" if known else "--session-id", conversation]
        argv += ["--approve-all"] if agent.approve == "all" else []
        notes = () if known or not assignment.resume else (f"the conversation {assignment.resume} left no transcript: a new one",)
        env = {"ANDON_JOB": str(assignment.job), "ANDON_ATTEMPT": str(assignment.attempt), "ANDON_TASK": str(assignment.task),
               "ANDON_TITLE": assignment.title, "ANDON_SITTER_HOOK": json.dumps(assignment.hook)}
        return Launch(argv=tuple(argv), env={**import_path(agent.env), **env}, interactive=True, conversation=conversation,
                      channel="hooks" if assignment.hook else "none", notes=notes,
                      seeds=(Seed(path=f"{FOLDER}/scenario", text=f"{scenario}\n"),
                             Seed(path=PROMPT, text=assignment.prompt, always=True)))

    def profile(self) -> Profile:
        """Everything comes through hooks and its transcript."""
        return Profile(
            channel="hooks", interactive=True, resumes=True, answers=True, metered="reported", processes=("sitter",),
            install="nothing: it comes with Andon",
            sees=("began", "turn-began", "took", "tool-began", "tool-ended", "permission-wanted", "answer-wanted", "ask-settled",
                  "retrying", "spoke", "turn-ended", "turn-failed", "compacting", "usage", "ended"),
        )

    def login(self, agent: AgentSettings, environ: Mapping[str, str]) -> Login:
        """It needs none."""
        return Login(state="ready", because="it calls no model")

    def read(self, line: Line) -> tuple[AnySignal, ...]:
        """Its payloads have the shape of Claude Code's."""
        return claude_read.read(line)

    def channel(self, session: SessionFacts) -> Channel | None:
        """None: its hooks speak through files."""
        return None


def _transcript(home: Path, conversation: str) -> Path:
    """Where a conversation lies; a name with a path in it lies nowhere."""
    return home / FOLDER / f"{conversation}.jsonl" if "/" not in conversation else home / FOLDER / "none"


def _fresh(assignment: Assignment) -> str:
    """A name for a new conversation: the same for the same start, another once the one before has left a transcript."""
    for number in range(1000):
        name = str(uuid.uuid5(uuid.NAMESPACE_URL, f"andon:{assignment.job}:{assignment.attempt}:{number}"))
        if not _transcript(assignment.home, name).is_file():
            return name
    return str(uuid.uuid4())


ADAPTER = SitterAdapter()
"""The entry point `sitter`."""

if __name__ == "__main__":
    from andon_agents.acting.seat_program import main

    sys.exit(main(sys.argv[1:]))
