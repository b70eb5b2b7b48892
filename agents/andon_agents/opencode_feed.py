"""The stream of opencode's events, made thin and self-sufficient: what means nothing goes, what a reader could not know is added.

Pure: takes bytes, gives bytes; knows no connection and no clock. Additions stand under `andon` in the event itself.
"""

from typing import Any

import msgspec

from .acp_fields import count, decoded, number, rows, table, text

KEPT = frozenset({
    "session.created", "session.status", "session.idle", "session.error", "session.compacted", "permission.asked",
    "permission.updated", "permission.replied", "question.asked", "question.replied", "question.rejected", "message.part.updated",
    "message.part.delta", "message.updated",
})
EVENT_LIMIT, TEXT_LIMIT = 32 * 1024, 1_000
"""Bytes of an event that is kept whole; characters at each end of a text in a larger one."""
SPAN_MS = 1_000
"""At most one piece of streamed text in this time."""
SSE_LIMIT = 16 * 1024 * 1024
"""Bytes of one event on the wire; a longer one is dropped."""
REMEMBERED = 500
"""Sessions, calls and asks that are remembered."""


class Splitter:
    """Bytes of an event stream in, the `data` of whole events out."""

    def __init__(self) -> None:
        self._rest = b""
        self._skipping = False

    def take(self, chunk: bytes) -> list[bytes]:
        """The events that became whole. One over the limit is dropped, not half told."""
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        found = []
        for line in lines:
            if not self._skipping and line.startswith(b"data:"):
                found.append(line[5:].strip())
            self._skipping = False
        if len(self._rest) > SSE_LIMIT:
            self._rest, self._skipping = b"", True
        return found


class Feed:
    """One connection's memory: which sessions are helpers', which turn is open, what was said last."""

    def __init__(self) -> None:
        self.helpers: set[str] = set()
        self.main = ""
        self.failed_at = 0
        """When a turn last failed or was aborted (ms)."""
        self._state: dict[str, str] = {}
        self._failed: set[str] = set()
        self._words: dict[str, str] = {}
        self._asks: dict[str, str] = {}
        self._running: set[str] = set()
        self._spoken_at, self._characters = 0, 0

    def known(self, main: str, helpers: set[str], state: str, asks: dict[str, str]) -> None:
        """What was found true when the connection was made."""
        self.main, self.helpers = main, set(helpers)
        self._state = {main: state} if main else {}
        self._failed, self._asks, self._running = set(), dict(asks), set()

    def take(self, raw: bytes, at: int) -> list[bytes]:
        """What is to be kept of this event, which came at this time (ms)."""
        event = decoded(raw)
        kind, props = text(event, "type"), table(event, "properties")
        if kind not in KEPT:
            return []
        session = text(props, "sessionID") or text(props, "info", "id")
        if session in self.helpers:
            event["andon"] = {"helper": True}
        match kind:
            case "session.created":
                return self._created(event, session)
            case "session.status":
                return self._status(event, session, text(props, "status", "type"))
            case "session.error":
                self._failed.add(session)
                self.failed_at = at
            case "session.idle":
                return self._idle(event, session)
            case "permission.asked" | "permission.updated" | "question.asked":
                self._asks[text(props, "id")] = session
            case "permission.replied" | "question.replied" | "question.rejected":
                self._asks.pop(text(props, "requestID") or text(props, "permissionID"), None)
            case "message.part.delta":
                return self._delta(event, len(text(props, "delta")), at)
            case "message.part.updated":
                return self._part(event, session, table(props, "part"))
            case "message.updated":
                info = table(props, "info")
                return [packed(event)] if text(info, "role") == "assistant" and number(info, "time", "completed") else []
        return [packed(event)]

    def _created(self, event: dict[str, Any], session: str) -> list[bytes]:
        if text(event, "properties", "info", "parentID"):
            if len(self.helpers) < REMEMBERED:
                self.helpers.add(session)
        else:
            self.main = session
        return [packed(event)]

    def _status(self, event: dict[str, Any], session: str, state: str) -> list[bytes]:
        told = state == self._state.get(session) == "busy" and session not in self._failed
        if state == "idle" or told:
            return []
        self._state[session] = state
        if state == "busy":
            self._failed.discard(session)
        return [packed(event)]

    def _idle(self, event: dict[str, Any], session: str) -> list[bytes]:
        """The end of a turn, said once; after a failure nothing more is said. Asks of that turn are void: nobody else says so."""
        gone = [ask for ask, owner in self._asks.items() if owner == session]
        for ask in gone:
            del self._asks[ask]
        told = [packed({"type": "andon.ask.gone", "properties": {"requestID": ask, "how": "its turn is over"}}) for ask in gone]
        was_open = self._state.pop(session, "") != ""
        failed = session in self._failed
        self._failed.discard(session)
        words = self._words.pop(session, "")
        self._running.clear()
        if session in self.helpers:
            return [*told, packed(event)]
        return [*told, packed({**event, "andon": {"text": words}})] if was_open and not failed else told

    def _delta(self, event: dict[str, Any], characters: int, at: int) -> list[bytes]:
        self._characters += characters
        if 0 <= at - self._spoken_at < SPAN_MS:
            return []
        told = {**event, "andon": {**table(event, "andon"), "characters": self._characters}}
        self._spoken_at, self._characters = at, 0
        return [packed(told)]

    def _part(self, event: dict[str, Any], session: str, part: dict[str, Any]) -> list[bytes]:
        match text(part, "type"):
            case "text":
                if number(part, "time", "end"):
                    self._words[session] = text(part, "text")[:2_000]
                elif table(part, "time"):
                    return []
            case "tool":
                call, state = text(part, "callID"), text(part, "state", "status")
                if state == "running":
                    if call in self._running or len(self._running) > REMEMBERED:
                        return []
                    self._running.add(call)
                else:
                    self._running.discard(call)
            case "reasoning" | "step-finish" | "compaction":
                pass
            case _:
                return []
        return [packed(event)]


def stale(asked: dict[str, Any], messages: dict[str, dict[str, Any]], busy: set[str]) -> bool:
    """Whether a listed ask is a ghost: its session stands, or the message it belongs to is complete. opencode keeps those of
    turns that were aborted."""
    info = table(messages.get(text(asked, "tool", "messageID"), {}), "info")
    return text(asked, "sessionID") not in busy or bool(count(info, "time", "completed")) or bool(table(info, "error"))


def packed(event: dict[str, Any]) -> bytes:
    """The event as JSON, long texts shortened in the middle when it is large."""
    raw = msgspec.json.encode(event)
    return raw if len(raw) <= EVENT_LIMIT else msgspec.json.encode(_short(event, 0))


def _short(value: Any, depth: int) -> Any:
    if isinstance(value, str):
        return value if len(value) <= 2 * TEXT_LIMIT else f"{value[:TEXT_LIMIT]} … {len(value)} characters … {value[-TEXT_LIMIT:]}"
    if depth > 12:
        return None
    if isinstance(value, dict):
        return {key: _short(one, depth + 1) for key, one in list(value.items())[:100]}
    return [_short(one, depth + 1) for one in rows({"v": value}, "v")[:50]] if isinstance(value, list) else value
