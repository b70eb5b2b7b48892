"""Which messages of the Agent Client Protocol are written down: thin, numbered, with a turn's last words. One file, one writer."""

import os
import time
from pathlib import Path
from typing import Any

import msgspec

from andon.schema.signals import Line

from .acp_fields import table, text
from .acp_files import LINES_LIMIT
from .opencode_feed import packed

SPAN_MS, WORDS = 1_000, 2_000
DULL = frozenset({"available_commands_update", "current_mode_update", "config_option_update", "session_info_update",
                  "user_message_chunk"})
Told = tuple[dict[str, Any], dict[str, Any]]


class Feed:
    """Messages in, those to be kept out, each with what is to stand under `andon`."""

    def __init__(self) -> None:
        self.replaying = False
        """A conversation is being loaded: what comes is its past."""
        self._asked: dict[object, str] = {}
        self._words = ""
        self._spoken_at, self._characters = 0, 0

    def take(self, message: dict[str, Any], *, incoming: bool, at: int) -> list[Told]:
        """What is to be kept of this message at this time (ms)."""
        method, name = text(message, "method"), message.get("id")
        if not incoming:
            if method and isinstance(name, int | str):
                self._asked[name] = method
                if method == "session/prompt":
                    self._words = ""
            return [(message, {})] if method == "session/prompt" else []
        if method == "session/update" and not self.replaying:
            return self._update(message, table(message, "params", "update"), at)
        if method or not isinstance(name, int | str):
            return []
        asked = self._asked.pop(name, "")
        if asked == "session/prompt":
            return [(message, {"text": self._words})]
        kept = asked in ("initialize", "session/new") and ("error" in message or asked == "session/new")
        return [(message, {})] if kept else []

    def _update(self, message: dict[str, Any], update: dict[str, Any], at: int) -> list[Told]:
        kind = text(update, "sessionUpdate")
        if kind in DULL:
            return []
        if kind not in ("agent_message_chunk", "agent_thought_chunk"):
            if kind == "tool_call":
                self._words = ""
            return [(message, {})]
        words = text(update, "content", "text")
        self._characters += len(words)
        if kind == "agent_message_chunk":
            self._words = (self._words + words)[-WORDS:]
        if 0 <= at - self._spoken_at < SPAN_MS:
            return []
        told, self._spoken_at, self._characters = self._characters, at, 0
        return [(message, {"characters": told})]


class Log:
    """The file of raw lines."""

    def __init__(self, file: Path) -> None:
        if file.exists() and file.stat().st_size > LINES_LIMIT:
            file.replace(file.with_suffix(".old"))
        self._file = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._number = 0
        self.sitting = format(time.time_ns() // 1_000_000, "x")
        """Names this run of the client: names of asks and turns are never used twice."""

    def write(self, message: dict[str, Any], **own: Any) -> None:
        """Append a message, whole or not at all."""
        self._number = max(self._number + 1, time.time_ns() // 1_000)
        data = packed({**message, "andon": {"n": self._number, "sitting": self.sitting, **own}})
        line = Line(at=time.time_ns() // 1_000_000, source="api", data=msgspec.Raw(data))
        os.write(self._file, msgspec.json.encode(line) + b"\n")
