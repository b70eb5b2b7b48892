"""Reads a request beside its stream: is it a turn, what are its last messages. Pure; what cannot be read stays unknown."""

import hashlib
import json
import re
from typing import Any

import msgspec

from .limits import TAIL_BYTES

Api = str
"""`anthropic`, `chat`, `responses`, `gemini`; empty: no model call."""
_PATHS = (
    (re.compile(r"/messages$"), "anthropic"), (re.compile(r"/completions$"), "chat"),
    (re.compile(r"/responses(/compact)?$"), "responses"), (re.compile(r":(stream)?generateContent$", re.IGNORECASE), "gemini"),
)
_TITLES = re.compile(
    r"title generator|isNewTopic|(conversation|session|task|thread|chat) title|"
    r"generate a [^.\n]{0,60}\btitle\b", re.IGNORECASE)
"""How agents ask for a name of their session: no turn."""
_PROBE_TOKENS = 16
"""A request for so few tokens asks for quota, not for work."""
_NOISE = frozenset((
    "id", "call_id", "tool_use_id", "tool_call_id", "cache_control", "signature", "encrypted_content", "status", "thoughtSignature",
    "phase", "metadata", "reasoning_content", "reasoning",
))
_THOUGHTS = frozenset(("thinking", "redacted_thinking", "reasoning"))
_VARYING = re.compile(r"(Chunk ID|Wall time|Process running with session ID|Original token count): ?[\w.]+( seconds)?")
_BEGINS = re.compile(r'[,\[]\s*(\{"(?:role|type)":\s*"(?:user|assistant|tool|function_call|message))')
_ITEMS = 20
_WORDS = 4_000


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What a request is about."""

    digest: str = ""
    """Of the last messages; empty when they could not be read."""
    model: str = ""
    side: bool = False
    """A title, a summary's name, a quota probe: no turn of the work."""


def api_of(path: str) -> Api:
    """The wire format of a path without its query."""
    return next((api for pattern, api in _PATHS if pattern.search(path)), "")


def read(api: Api, body: bytes, whole: bool, path: str) -> Asked:
    """What the request says. `body` is its end when it was longer than what is kept (`whole` is false)."""
    model = path.rpartition("/models/")[2].partition(":")[0] if api == "gemini" else ""
    if not whole:
        return Asked(digest=_digest(_last_of(body)), model=model)
    try:
        asked = msgspec.json.decode(body)
    except (msgspec.MsgspecError, UnicodeError):
        return Asked(model=model)
    if not isinstance(asked, dict):
        return Asked(model=model)
    messages = asked.get({"responses": "input", "gemini": "contents"}.get(api, "messages"))
    turns = messages if isinstance(messages, list) else [messages] if messages else []
    side = _is_side(asked, turns)
    named = asked.get("model")
    return Asked(digest="" if side else _digest(_last(turns)), model=named if isinstance(named, str) else model, side=side)


def _is_side(asked: dict[str, Any], turns: list[Any]) -> bool:
    config = asked.get("generationConfig")
    limits = [asked.get(name) for name in ("max_tokens", "max_output_tokens", "max_completion_tokens")]
    limits.append(config.get("maxOutputTokens") if isinstance(config, dict) else None)
    if any(isinstance(limit, int) and limit <= _PROBE_TOKENS for limit in limits):
        return True
    if asked.get("tools"):
        return False
    words = [asked.get(name) for name in ("system", "instructions", "systemInstruction")] + turns[:2] + turns[-1:]
    return any(_TITLES.search(json.dumps(word)[:_WORDS]) for word in words if word)


def _role(item: Any) -> str:
    """`model` or `person`: whose word an item is."""
    if not isinstance(item, dict):
        return "person"
    kind = str(item.get("type", ""))
    if item.get("role") in ("assistant", "model") or kind.endswith("_call") or kind == "reasoning":
        return "model"
    return "person"


def _last(items: list[Any]) -> list[Any]:
    """What came after the model's last word, and that word."""
    place = len(items)
    while place and _role(items[place - 1]) == "person":
        place -= 1
    while place and _role(items[place - 1]) == "model":
        place -= 1
    return items[place:][-_ITEMS:]


def _last_of(tail: bytes) -> list[Any]:
    """The same from the end of a body that was too long to be kept: whole messages are found by how they begin."""
    text = tail[-TAIL_BYTES:].decode(errors="replace")
    decoder, found = json.JSONDecoder(), []
    for place in [match.start(1) for match in _BEGINS.finditer(text)][-2 * _ITEMS:]:
        try:
            item, _ = decoder.raw_decode(text, place)
        except ValueError:
            continue
        found.append(item)
    return _last(found)


def _digest(items: list[Any]) -> str:
    if not items:
        return ""
    text = json.dumps([_plain(item) for item in items], sort_keys=True)
    return hashlib.sha256(_VARYING.sub("", text).encode()).hexdigest()[:16]


def _plain(value: Any) -> Any:
    """Without names that differ each time, and without thoughts."""
    if isinstance(value, dict):
        return {key: _plain(part) for key, part in value.items() if key not in _NOISE}
    if isinstance(value, list):
        return [_plain(part) for part in value if not (isinstance(part, dict) and part.get("type") in _THOUGHTS)]
    return value
