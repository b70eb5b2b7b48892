"""Watches one call beside its stream and has it written down; must never touch what is passed on.

Methods are called by the stream's side and only note things; what they note is read on the scribe's thread.
"""

import secrets as chance
import time
from collections.abc import Mapping

import msgspec

from andon.schema.signals import NOTE_LIMIT, Call, Usage

from . import answered, asked
from .headers import Pairs, retry_after, secrets
from .limits import BATCH_BYTES, FLOWING_S
from .scribe import Kept, Scribe, decoder

SIDE = "side request"
"""The note of a call that was no turn: only its end is written, for its tokens and refusals."""


class Watcher:
    """One call."""

    def __init__(self, scribe: Scribe, attempt: str, path: str, headers: Pairs) -> None:
        self._scribe, self._attempt, self._path = scribe, attempt, path.partition("?")[0]
        self._api = asked.api_of(self._path)
        self._request = chance.token_hex(6)
        self._secrets = secrets(headers)
        self._asking = _Reading(next((value for name, value in headers if name.lower() == "content-encoding"), ""))
        self._answer = _Reading("")
        self._said = asked.Asked()
        self._parts: list[bytes] = []
        self._waiting = 0
        self._sent = self._over = False
        self._told = 0.0
        self.bytes = 0
        self.status = 0
        self._retry: float | None = None

    @property
    def wanted(self) -> bool:
        """Whether this is a model call at all: anything else is passed through and not written down."""
        return bool(self._api)

    # -- the stream's side

    def asks(self, part: bytes) -> None:
        """A part of the request went through."""
        if self.wanted and not self._sent:
            self._hand(self._asking, part)

    def sent(self) -> None:
        """The request is with the provider, or as much of it as it wanted."""
        if self.wanted and not self._sent:
            self._sent = True
            self._flush(self._asking)
            at = _now()
            self._scribe.take(lambda: self._read_request(at))

    def answers(self, status: int, headers: Mapping[str, str]) -> None:
        """The provider's headers are there."""
        self.sent()
        if self.wanted:
            self.status = status
            self._retry = retry_after(headers) if status in (429, 503, 529) else None
            self._answer = _Reading(headers.get("content-encoding", ""))
            self._told = time.monotonic()
            self._line("first", _now())

    def flows(self, part: bytes) -> None:
        """A part of the answer went through."""
        self.bytes += len(part)
        if not self.wanted:
            return
        self._hand(self._answer, part)
        now = time.monotonic()
        if now - self._told >= FLOWING_S:
            self._told = now
            self._line("flowing", _now())

    def ends(self, error: str = "") -> None:
        """It is over: well, or `cut`, `refused`, `gone`. Only the first word counts."""
        if self.wanted and not self._over:
            self._over = True
            self.sent()
            self._flush(self._answer)
            at = _now()
            self._scribe.take(lambda: self._read_answer(at, error))

    def _hand(self, reading: "_Reading", part: bytes) -> None:
        self._parts.append(part)
        self._waiting += len(part)
        if self._waiting >= BATCH_BYTES:
            self._flush(reading)

    def _flush(self, reading: "_Reading") -> None:
        parts, size, self._parts, self._waiting = self._parts, self._waiting, [], 0
        if parts and not self._scribe.take(lambda: reading.add(parts), size):
            reading.missing = True

    def _line(self, phase: str, at: int) -> None:
        status, size = self.status, self.bytes
        self._scribe.take(lambda: self._write(phase, at, status=status, bytes=size))

    # -- the scribe's side

    def _write(self, phase: str, at: int, **fields: object) -> None:
        if phase == "ended" or not self._said.side:
            note = SIDE if self._said.side else ""
            given = {"note": note, **fields, "at": at, "source": "gateway", "request": self._request, "phase": phase}
            self._scribe.write(self._attempt, msgspec.convert({"digest": self._said.digest, **given}, Call))

    def _read_request(self, at: int) -> None:
        kept = self._asking.kept
        if not self._asking.lost:
            self._said = asked.read(self._api, kept.tail, kept.whole, self._path)
        self._asking = _Reading("")
        self._write("sent", at)

    def _read_answer(self, at: int, error: str) -> None:
        said = answered.Answered()
        if not self._answer.lost and self.status:
            kept = self._answer.kept
            said = answered.read(self.status, kept.head, kept.tail, key=self._request, at=at, model=self._said.model)
        note = SIDE if self._said.side else self._clean(said.message)
        retry = self._retry if self._retry is not None else said.retry_after
        usage: Usage | None = said.usage
        self._write("ended", at, status=self.status, retry_after=retry, error=error or self._clean(said.error), bytes=self.bytes,
                    usage=msgspec.to_builtins(usage) if usage else None, note=note)

    def _clean(self, words: str) -> str:
        """Words of a provider, without any credential of the request."""
        for secret in self._secrets:
            words = words.replace(secret, "…")
        return words[:NOTE_LIMIT]


class _Reading:
    """A body that is being read: undone of its coding, its head and tail kept."""

    def __init__(self, coding: str) -> None:
        self.kept = Kept()
        self._undo = decoder(coding)
        self._broken = self._undo is None
        self.missing = False
        """A part was dropped before it came here."""

    @property
    def lost(self) -> bool:
        """It cannot be read: a coding unknown here, or a part is missing."""
        return self._broken or self.missing

    def add(self, parts: list[bytes]) -> None:
        """Parts more. What cannot be undone makes it unreadable from here on."""
        if self._broken or self._undo is None:
            return
        self._broken = True
        for part in parts:
            self.kept.add(self._undo(part))
        self._broken = False


def _now() -> int:
    return time.time_ns() // 1_000_000
