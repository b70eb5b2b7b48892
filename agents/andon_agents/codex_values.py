"""Careful looks into what Codex says: JSON of unknown shape in, small typed values out. Must never raise, nor know a signal."""

import hashlib
import re
import shlex
from typing import Any

import msgspec

from andon.schema.health import Trouble

WORDS = 400
"""Characters kept of a command, path or prompt."""
LAST_WORDS = 2_000
"""Characters kept of what the model said last."""
_KINDS: dict[str, Trouble] = {
    "contextwindowexceeded": "context", "sessionbudgetexceeded": "quota", "usagelimitexceeded": "quota",
    "ratelimitexceeded": "rate-limit", "serveroverloaded": "overloaded", "flexunavailable": "overloaded",
    "policycapacityunavailable": "overloaded", "internalservererror": "server", "unauthorized": "auth",
    "httpconnectionfailed": "network", "responsestreamconnectionfailed": "network", "responsestreamdisconnected": "network",
    "responsetoomanyfailedattempts": "network",
}
_WORDS: tuple[tuple[str, Trouble], ...] = (
    (r"ran out of room|context window", "context"), (r"quota exceeded|usage limit|billing", "quota"),
    (r"\b401\b|\b403\b|unauthorized|not logged in|api key", "auth"), (r"\b429\b|rate limit|too many requests", "rate-limit"),
    (r"\b529\b|\b503\b|overloaded|at capacity|server is busy", "overloaded"), (r"interrupted|aborted", "interrupted"),
    (r"\b50[0-9]\b|server error", "server"), (r"disconnected|connection|timed? ?out|error sending request|network", "network"),
)


def decoded(raw: bytes) -> dict[str, Any]:
    """One JSON object; empty for anything else."""
    try:
        value = msgspec.json.decode(raw)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def at(value: object, *keys: str) -> Any:
    """The value below these keys; None where the way ends."""
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def table(value: object, *keys: str) -> dict[str, Any]:
    """The object below these keys, or an empty one."""
    found = at(value, *keys)
    return found if isinstance(found, dict) else {}


def rows(value: object, *keys: str) -> list[Any]:
    """The list below these keys, or an empty one; at most 1,000 entries."""
    found = at(value, *keys)
    return found[:1_000] if isinstance(found, list) else []


def word(value: object, *keys: str, limit: int = WORDS) -> str:
    """The text below these keys, cut; empty for anything that is no text."""
    found = at(value, *keys)
    return found[:limit] if isinstance(found, str) else ""


def number(value: object, *keys: str) -> int:
    """The whole number below these keys, never negative; 0 for anything else."""
    found = at(value, *keys)
    return max(0, int(found)) if isinstance(found, (int, float)) and not isinstance(found, bool) and abs(found) < 1e15 else 0


def digest(*parts: object) -> str:
    """Equal values, equal digests."""
    try:
        told = msgspec.json.encode(parts, order="deterministic")
    except (TypeError, ValueError, RecursionError, msgspec.MsgspecError):
        told = repr(parts).encode(errors="replace")
    return hashlib.sha256(told).hexdigest()[:16]


def command(value: object) -> str:
    """A command line without the shell that wraps it: `/bin/bash -lc 'git status'` is `git status`."""
    if isinstance(value, list):
        words = [one for one in value if isinstance(one, str)]
        wrapped = len(words) == 3 and words[1] in ("-lc", "-c")
        return (words[2] if wrapped else shlex.join(words))[:WORDS]
    if not isinstance(value, str):
        return ""
    if re.match(r"\S*sh -l?c ", value):
        try:
            words = shlex.split(value)
        except ValueError:
            return value[:WORDS]
        if len(words) == 3:
            return words[2][:WORDS]
    return value[:WORDS]


def trouble(error: object) -> Trouble:
    """Why a model call or turn failed: the status it tells, then its kind, then its words."""
    info = at(error, "codexErrorInfo") or at(error, "codex_error_info")
    kind, status = (info, 0) if isinstance(info, str) else ("", 0)
    if isinstance(info, dict) and info:
        kind = str(next(iter(info)))
        status = number(info, kind, "httpStatusCode") or number(info, kind, "http_status_code")
    told = " ".join((word(error, "message"), word(error, "additionalDetails"), word(error, "additional_details")))
    return of_status(status) or _KINDS.get(kind.replace("_", "").lower()) or of_words(told)


def of_status(status: int) -> Trouble | None:
    """The trouble that an HTTP status means."""
    if status in (401, 403):
        return "auth"
    if status == 429:
        return "rate-limit"
    if status in (503, 529):
        return "overloaded"
    return "server" if status >= 500 else None


def of_words(text: str) -> Trouble:
    """The trouble that a message names."""
    return next((kind for pattern, kind in _WORDS if re.search(pattern, text, re.IGNORECASE)), "unknown")


def tries(text: str) -> int:
    """The 2 of `Reconnecting... 2/5`."""
    found = re.search(r"(\d{1,4})/\d{1,4}", text)
    return int(found[1]) if found else 0
