"""One shape for the four wire formats: the conversation that a client sent, and where in its script it stands."""

import json
import re
from dataclasses import dataclass, field
from typing import Any

Json = dict[str, Any]
"""A decoded JSON object: the formats are other people's, and only touched by name."""

MARK = re.compile(r"\[\[scenario:(\w+)((?:\s+[\w]+=[^\s\]]+)*)\s*\]\]")
"""`[[scenario:NAME key=value ...]]` in a prompt chooses what the model does."""
CWD = tuple(re.compile(one) for one in (
    r"[Ww]orking directory:\s*`?([^\s`\n]+)", r"<cwd>([^<]+)</cwd>", r"working directory is:?\s*`?([^\s`]+)",
    r"in the directory:?\s*`?(/[^\s`]+)", r"[Ww]orking [Dd]irectory[^\n]{0,40}?(/[^\s`)\"]+)", r"\(cwd: (/[^)]+)\)",
))


@dataclass
class Talk:
    """A request, whichever dialect it came in."""

    api: str
    body: Json
    turns: list[tuple[str, str]] = field(default_factory=list)
    """Role (`user`, `assistant`, `tool`) and text."""
    tools: dict[str, Json | None] = field(default_factory=dict)
    """Name to JSON schema."""
    system: str = ""
    freeform: set[str] = field(default_factory=set)
    """Tools that take text instead of JSON."""
    spaces: dict[str, str] = field(default_factory=dict)
    """Tools that stand in a namespace."""

    def marker(self) -> tuple[int, str, Json] | None:
        """The turn, name and parameters of the last marker in the conversation."""
        for place in range(len(self.turns) - 1, -1, -1):
            role, text = self.turns[place]
            found = list(MARK.finditer(text)) if role == "user" else []
            if found:
                return place, found[-1][1], dict(pair.split("=", 1) for pair in (found[-1][2] or "").split())
        return None

    def first(self) -> int:
        """The first turn of the user; -1 when there is none."""
        return next((place for place, (role, _) in enumerate(self.turns) if role == "user"), -1)

    def position(self, start: int) -> int:
        """Assistant turns since `start`: retries and resumed conversations stand where they stood."""
        count, before = 0, ""
        for role, _ in self.turns[start + 1:]:
            count += role == "assistant" and before != "assistant"
            before = role
        return count

    def cwd(self) -> str | None:
        """Where the client says that it works."""
        blob = self.system + "\n" + "\n".join(text for role, text in self.turns[:6] if role == "user")
        for pattern in CWD:
            found = pattern.search(blob)
            if found and found[1].startswith("/"):
                return found[1].rstrip(".,/")
        return None


@dataclass(frozen=True)
class Reply:
    """What the model says to it."""

    text: str = ""
    calls: tuple[tuple[str, Any], ...] = ()
    """Names and arguments; text as arguments is for freeform tools."""
    usage_in: int = 0
    delay: float = 0.01
    """Seconds between two pieces of a stream."""
    partial: bool = False
    """Stop after the text, without an end."""

    @property
    def usage_out(self) -> int:
        """Tokens of this reply, made up from its length."""
        return 5 + (len(self.text) + sum(len(json.dumps(arguments)) for _, arguments in self.calls)) // 4


def text_of(content: Any) -> str:
    """The text of a content field, which may be a string or a list of parts."""
    if isinstance(content, str):
        return content
    parts: list[str] = []
    for part in content or []:
        if isinstance(part, str):
            parts.append(part)
        elif isinstance(part, dict):
            parts.append(part.get("text") or part.get("input_text") or "")
    return "\n".join(parts)


def pieces(text: str, size: int = 16) -> list[str]:
    """The text as a stream gives it."""
    return [text[at:at + size] for at in range(0, len(text), size)]
