"""Reads an answer beside its stream: tokens and the provider's word for an error. Pure; what cannot be read stays unknown."""

from collections.abc import Iterator
from typing import Any

import msgspec

from andon.schema.signals import NOTE_LIMIT, Usage

from .headers import span

_MARKS = (b'"usage', b'"error"', b"message_start", b'"response.failed"')
"""An event without any of these says nothing about tokens or errors, and is not decoded."""


class Answered(msgspec.Struct, frozen=True, kw_only=True):
    """What an answer said."""

    usage: Usage | None = None
    error: str = ""
    """The provider's word."""
    message: str = ""
    """Its sentence, cut."""
    retry_after: float | None = None
    """Seconds, where the body tells."""


def read(status: int, head: bytes, tail: bytes, *, key: str, at: int, model: str) -> Answered:
    """The answer from what was kept of it. `head` and `tail` are the same when it was short enough."""
    tokens: dict[str, int] = {}
    name, error = "", ""
    message, wait = "", None
    for event in _events(head, tail):
        inner = event.get("response") if isinstance(event.get("response"), dict) else event.get("message")
        whole = inner if isinstance(inner, dict) else event
        name = _string(whole.get("id")) or _string(whole.get("responseId")) or name
        model = _string(whole.get("model")) or _string(whole.get("modelVersion")) or model
        tokens |= _tokens(event) or _tokens(whole)
        fault = event.get("error") or whole.get("error")
        if isinstance(fault, dict):
            error = _string(fault.get("code")) or _string(fault.get("type")) or _string(fault.get("status")) or error
            if isinstance(fault.get("status"), str):
                error = fault["status"]
            message, wait = _string(fault.get("message"))[:NOTE_LIMIT] or message, _delay(fault) or wait
        elif isinstance(fault, str) and status >= 400:
            error = fault[:NOTE_LIMIT]
    if status in (400, 413) and message:
        error = f"{error}: {message}"[:NOTE_LIMIT]
    count = {kind: tokens.get(kind, 0) for kind in ("input", "output", "cache_read", "cache_write")}
    usage = msgspec.convert({"at": at, "source": "gateway", "key": name or key, "model": model, **count}, Usage) if tokens else None
    return Answered(usage=usage, error=error, message=message, retry_after=wait)


def _events(head: bytes, tail: bytes) -> Iterator[dict[str, Any]]:
    """The JSON objects of a body: one document, a list of them, or server-sent events."""
    start = tail.lstrip()[:1] if head == tail else b""
    if start in (b"{", b"["):
        found = _decoded(tail)
        yield from (one for one in (found if isinstance(found, list) else [found]) if isinstance(one, dict))
        return
    for part in (head, tail) if head != tail else (tail,):
        for line in part.splitlines():
            if line.startswith(b"data:") and any(mark in line for mark in _MARKS):
                event = _decoded(line[5:])
                if isinstance(event, dict):
                    yield event


def _decoded(data: bytes) -> Any:
    try:
        return msgspec.json.decode(data)
    except (msgspec.MsgspecError, UnicodeError):
        return None


def _tokens(event: dict[str, Any]) -> dict[str, int]:
    """The counts that an object carries, in our words. `input` is without what came from the cache."""
    used = event.get("usage") or event.get("usageMetadata")
    if not isinstance(used, dict):
        return {}
    if "promptTokenCount" in used or "candidatesTokenCount" in used:
        cached = _number(used, "cachedContentTokenCount")
        return {"input": max(0, _number(used, "promptTokenCount") - cached), "cache_read": cached,
                "output": _number(used, "candidatesTokenCount") + _number(used, "thoughtsTokenCount")}
    if "prompt_tokens" in used:
        cached = _number(used.get("prompt_tokens_details"), "cached_tokens")
        return {"input": max(0, _number(used, "prompt_tokens") - cached), "cache_read": cached,
                "output": _number(used, "completion_tokens")}
    if "input_tokens_details" in used:
        cached = _number(used["input_tokens_details"], "cached_tokens")
        return {"input": max(0, _number(used, "input_tokens") - cached), "cache_read": cached,
                "output": _number(used, "output_tokens")}
    names = {"input": "input_tokens", "output": "output_tokens", "cache_read": "cache_read_input_tokens",
             "cache_write": "cache_creation_input_tokens"}
    return {ours: _number(used, theirs) for ours, theirs in names.items() if isinstance(used.get(theirs), int)}


def _number(used: Any, name: str) -> int:
    value = used.get(name) if isinstance(used, dict) else None
    return value if isinstance(value, int) and value >= 0 else 0


def _string(value: Any) -> str:
    return value[:200] if isinstance(value, str) else ""


def _delay(fault: dict[str, Any]) -> float | None:
    """`retryDelay` of a Gemini error."""
    for one in fault.get("details") or []:
        if isinstance(one, dict) and isinstance(one.get("retryDelay"), str):
            return span(one["retryDelay"], 0.0)
    return None
