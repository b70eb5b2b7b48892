"""Which headers go through, and what a provider's headers say about limits. Never keeps one."""

import re
import time
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

HOP = frozenset((
    "connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "proxy-connection", "te", "trailer",
    "transfer-encoding", "upgrade",
))
"""Headers of one connection, not of the message (RFC 9110, 7.6.1)."""
SECRET = ("authorization", "x-api-key", "api-key", "x-goog-api-key", "cookie", "proxy-authorization")
"""Headers that hold credentials: their values are struck out of every word that is kept."""
_SPAN = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_UNIT = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_RESET = re.compile(r"((?:anthropic|x)-ratelimit-)(?:reset(-[a-z-]+)|([a-z-]*?)-?reset)$")

Pairs = list[tuple[str, str]]


def passed(raw: Iterable[tuple[bytes, bytes]], *, besides: frozenset[str] = frozenset()) -> Pairs:
    """The headers that go on, in their order and case, without those of the connection and those named."""
    pairs = [(_text(name), _text(value)) for name, value in raw]
    named = {part.strip().lower() for name, value in pairs if name.lower() == "connection" for part in value.split(",")}
    dropped = HOP | named | besides
    return [(name, value) for name, value in pairs if name.lower() not in dropped]


def _text(data: bytes) -> str:
    """UTF-8 goes through as it came; other bytes beyond ASCII, which no provider uses, are taken as Latin-1."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data.decode("latin-1")


def secrets(pairs: Pairs) -> tuple[str, ...]:
    """The credentials of a request, longest first."""
    found = {part for name, value in pairs if name.lower() in SECRET for part in (value, *value.split()) if len(part) >= 6}
    return tuple(sorted(found - {"Bearer", "bearer"}, key=len, reverse=True))


def retry_after(headers: Mapping[str, str], now: float | None = None) -> float | None:
    """Seconds until the provider wants to be asked again, as its headers say; None when they don't.

    `retry-after-ms` and `retry-after` come first; else the latest reset among the limits that are used up.
    """
    now = time.time() if now is None else now
    low = {name.lower(): value.strip() for name, value in headers.items()}
    if (value := low.get("retry-after-ms")) and (number := _number(value)) is not None:
        return number / 1000
    if (value := low.get("retry-after")) and (wait := span(value, now)) is not None:
        return wait
    waits = []
    for name, value in low.items():
        found = _RESET.fullmatch(name)
        if found:
            kind = found[2] or found[3] or ""
            left = [low.get(f"{found[1]}remaining{kind}"), low.get(f"{found[1]}{kind}-remaining"), low.get(f"{found[1]}remaining")]
            if "0" in left or (kind == "unified" and low.get(f"{found[1]}unified-status") == "rejected"):
                waits.append(span(value, now))
    told = [wait for wait in waits if wait is not None]
    return max(told) if told else None


def span(value: str, now: float) -> float | None:
    """A number of seconds, a moment (unix, HTTP date, RFC 3339) or a span (`6m0s`), as seconds from now."""
    number = _number(value)
    if number is not None:
        return max(0.0, number - now) if number > 1e9 else number
    if value and _SPAN.sub("", value) == "":
        return sum(float(amount) * _UNIT[unit] for amount, unit in _SPAN.findall(value))
    for read in (datetime.fromisoformat, parsedate_to_datetime):
        try:
            moment = read(value)
        except (ValueError, TypeError):
            continue
        return max(0.0, (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() - now)
    return None


def _number(value: str) -> float | None:
    try:
        number = float(value)
    except ValueError:
        return None
    return number if 0 <= number < 1e12 else None
