"""What all readers of raw lines share: total decoding, cutting, digests, kinds of tools. Pure; knows no agent by name."""

import hashlib
import json
import posixpath
from collections.abc import Mapping

import msgspec

from andon.schema.health import Trouble
from andon.schema.signals import NOTE_LIMIT, AnySignal, Line

PROMPT_LIMIT, LAST_WORDS_LIMIT, TARGET_LIMIT = 400, 2_000, 300
"""Characters of a prompt, of a turn's last words, and of a tool's target in a signal."""
Object = Mapping[str, object]
NOTHING: Object = {}
_OWN = msgspec.json.Decoder(AnySignal)


def payload(line: Line) -> Object:
    """The object in a line; empty when it holds none."""
    try:
        told = json.loads(bytes(line.data))
    except (ValueError, RecursionError):
        return NOTHING
    return told if isinstance(told, dict) else NOTHING


def passed(line: Line) -> tuple[AnySignal, ...]:
    """The daemon's own looks (gateway, process, pane), which are signals already."""
    try:
        return (_OWN.decode(line.data),)
    except (msgspec.DecodeError, ValueError, RecursionError):
        return ()


def words(data: Object, *keys: str) -> str:
    """The first of these keys that holds a text; empty when none does. Half characters become question marks."""
    for key in keys:
        value = data.get(key)
        if isinstance(value, str) and value:
            return whole(value)
    return ""


def whole(text: str) -> str:
    """The text as something that every encoder takes."""
    return text.encode("utf-8", "replace").decode("utf-8")


def inner(data: Object, *keys: str) -> Object:
    """The object at this path; empty when there is none."""
    for key in keys:
        value = data.get(key)
        if not isinstance(value, dict):
            return NOTHING
        data = value
    return data


def items(data: Object, key: str) -> tuple[Object, ...]:
    """The objects of the list at this key."""
    value = data.get(key)
    return tuple(one for one in value if isinstance(one, dict)) if isinstance(value, list) else ()


def number(data: Object, *keys: str) -> int:
    """The first of these keys that holds a number of sense, as an integer, never negative; 0 when none does."""
    for key in keys:
        value = data.get(key)
        if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 2**53:
            return int(value)
    return 0


def amount(data: Object, key: str) -> float | None:
    """A sum of money; None when it is not told."""
    value = data.get(key)
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1e9 else None


def cut(text: str, limit: int = NOTE_LIMIT) -> str:
    """At most so many characters."""
    return text if len(text) <= limit else text[:limit - 1] + "…"


def note(line: Line) -> str:
    """The raw words of a line, cut: the evidence of a signal."""
    return cut(bytes(line.data)[:4 * NOTE_LIMIT].decode("utf-8", "replace"))


def digest(*parts: object) -> str:
    """Equal for equal parts, whatever the order of keys."""
    text = json.dumps(parts, sort_keys=True, default=str)
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:16]


def absolute(path: str, cwd: str) -> str:
    """The path seen from the working directory of the agent, without `..`; empty when it cannot be told."""
    if not path or not (path.startswith("/") or cwd.startswith("/")):
        return ""
    return posixpath.normpath(posixpath.join(cwd, path))


def trouble_of(text: str, status: int = 0) -> Trouble:
    """The kind of failure that a provider's word or status stands for; `unknown` when it says nothing."""
    low = text.lower()
    if status == 429 or "rate_limit" in low or "rate limit" in low or "(429)" in low or "too many requests" in low:
        return "quota" if "quota" in low or "billing" in low or "credit" in low else "rate-limit"
    for word, kind in _TROUBLES:
        if word in low:
            return kind
    return "auth" if status in (401, 403) else "overloaded" if status == 529 else "server" if status >= 500 else "unknown"


_TROUBLES: tuple[tuple[str, Trouble], ...] = (
    ("quota", "quota"), ("billing", "quota"), ("credit balance", "quota"), ("usage limit", "quota"), ("overloaded", "overloaded"),
    ("authentication", "auth"), ("unauthorized", "auth"), ("invalid api key", "auth"), ("x-api-key", "auth"), ("oauth", "auth"),
    ("please run /login", "auth"), ("401", "auth"), ("prompt is too long", "context"), ("context window", "context"),
    ("context length", "context"), ("context_length", "context"), ("max_output_tokens", "context"), ("interrupted", "interrupted"),
    ("econn", "network"), ("connection", "network"), ("network", "network"), ("timed out", "network"), ("timeout", "network"),
    ("server_error", "server"), ("internal server", "server"), ("api error: 5", "server"),
)
