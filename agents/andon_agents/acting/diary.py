"""What the sitter remembers: its transcript, by which a conversation is gone on with, and notes for a laboratory. Knows no step."""

import contextlib
import json
import os
import time
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from .scenario import Moment

MODEL = "scripted-1"
CALL_TOKENS = (120, 40)
"""Input and output of an ordinary model call."""
NOTES = "ANDON_SITTER_NOTES"
"""Names a file in which a sitter also notes what it lived through, where no supervisor looks."""


class Diary:
    """The transcript of one conversation: JSON lines, each written at once."""

    def __init__(self, folder: Path, conversation: str, scenario: str, attempt: str) -> None:
        """Opens it, or begins it. `next`, `answer` and `scenario` are as they were left."""
        folder.mkdir(parents=True, exist_ok=True)
        self.path, self.conversation, self.attempt = folder / f"{conversation}.jsonl", conversation, attempt
        self.resumed, self.scenario, self.next, self.answer, self.calls = False, scenario, 0, "", 0
        for row in _rows(self.path):
            self.resumed = True
            self.calls = max(self.calls, row.calls)
            if row.type == "sitter":
                self.next, self.answer, self.scenario = row.next, row.answer, row.scenario
        self.sitting = self._sat_down(folder / "sittings")
        self.note("start", pid=os.getpid(), conversation=conversation, sitting=self.sitting, resumed=self.resumed)
        self.place(self.next, Moment(answer=self.answer))

    def _sat_down(self, path: Path) -> int:
        """Counted by a byte a start: over all conversations of this home."""
        with path.open("ab") as file:
            file.write(b".")
        return path.stat().st_size

    # --- rows ------------------------------------------------------------------------------------------------------------

    def write(self, kind: str, **fields: object) -> None:
        """One row, whole or not at all."""
        row = {"type": kind, "sessionId": self.conversation, "timestamp": datetime.now(UTC).isoformat(), **fields}
        _append(self.path, row)

    def place(self, step: int, now: Moment) -> None:
        """Where the conversation stands: a resumed one goes on with this step."""
        self.next, self.answer = step, now.answer
        self.write("sitter", next=step, answer=now.answer, scenario=self.scenario, calls=self.calls)

    def user(self, text: str, prompt: str) -> None:
        """A prompt that was taken."""
        self.write("user", promptId=prompt, message={"role": "user", "content": text})

    def spoke(self, text: str) -> None:
        """Words of the model."""
        self._model({"type": "text", "text": text})

    def used(self, tokens: int) -> None:
        """A model call of this weight that gave a word."""
        self._model({"type": "text", "text": "…"}, (tokens, tokens // 2))

    def tool(self, name: str, given: dict[str, object]) -> str:
        """A call that the model asked for; gives its id."""
        call = f"toolu_{self.conversation[:8]}_{self.calls + 1}"
        self._model({"type": "tool_use", "id": call, "name": name, "input": given})
        return call

    def result(self, call: str, text: str, *, ok: bool = True) -> None:
        """What a call gave."""
        part = {"type": "tool_result", "tool_use_id": call, "content": text, "is_error": not ok}
        self.write("user", message={"role": "user", "content": [part]})

    def _model(self, part: dict[str, object], tokens: tuple[int, int] = CALL_TOKENS) -> None:
        self.calls += 1
        usage = {"input_tokens": tokens[0], "output_tokens": tokens[1]}
        message = {"id": f"msg_{self.conversation[:8]}_{self.calls}", "model": MODEL, "role": "assistant", "content": [part],
                   "usage": usage}
        self.write("assistant", calls=self.calls, message=message)

    # --- notes -----------------------------------------------------------------------------------------------------------

    def note(self, what: str, **fields: object) -> None:
        """For whoever judges from outside; nothing when nobody does."""
        if place := os.environ.get(NOTES):
            _append(Path(place), {"what": what, "attempt": self.attempt, "at": time.time_ns() // 1_000_000, **fields})


def _append(path: Path, row: dict[str, object]) -> None:
    """One line, in one write."""
    file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(file, json.dumps(row, ensure_ascii=False).encode("utf-8", "replace") + b"\n")
    finally:
        os.close(file)


class _Row(msgspec.Struct, frozen=True):
    """What is read again of a row."""

    type: str = ""
    next: int = 0
    answer: str = ""
    scenario: str = ""
    calls: int = 0


def _rows(path: Path) -> list[_Row]:
    """The whole lines; none when there is no file."""
    rows: list[_Row] = []
    for line in path.read_bytes().split(b"\n") if path.exists() else ():
        with contextlib.suppress(msgspec.MsgspecError):
            rows.append(msgspec.json.decode(line, type=_Row))
    return rows
