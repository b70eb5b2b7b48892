"""The live connection to an opencode session: its HTTP server beside the TUI, on loopback or behind the door of the session's
walls. Decides nothing, keeps nothing.

Theory of operation. `GET /event` is opened first and what is true is asked for second, so nothing falls between the two. Events
that come meanwhile are read after it; saying a thing twice is harmless. A prompt for a resumed conversation is given here,
because the TUI takes none together with a session; it is given once, as the conversation itself tells.
"""

import asyncio
import base64
import re
import time
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import msgspec

from andon.schema.agent import SessionFacts
from andon.schema.signals import Line

from .acp_fields import count, rows, table, text
from .door import Door
from .opencode_feed import Feed, Splitter, stale
from .opencode_seat import SEAT, Seat

CALL = aiohttp.ClientTimeout(total=8, sock_connect=3)
STREAM = aiohttp.ClientTimeout(total=None, sock_connect=3, sock_read=45)
"""A heartbeat comes every ten seconds; after 45 of silence the connection is made again."""
HEADERS_S = 4
"""For the first bytes: while opencode starts it may take a connection and never answer on it."""
SETTLE_MS = 1_500
"""After a failed or aborted turn: a message within its last moments is stored, and no turn begins with it."""
NAPS = (0.1, 0.2, 0.3, 0.5, 0.8, 1.0, 2.0, 5.0)
FAULTS = (aiohttp.ClientError, OSError, RuntimeError, TimeoutError, msgspec.MsgspecError, UnicodeDecodeError, ValueError)
DENIED = "This was denied for this session. Go on without it."
"""Said with every denial: without words opencode ends the turn instead of going on."""
_NAME = re.compile(r"[A-Za-z0-9_-]{1,100}\Z")
_MESSAGES = 20
_ANSWER_BYTES = 32 * 2**20
"""Of one answer; a longer one is none."""


class Taken(Exception):
    """Another program answers at our port."""


class OpencodeChannel:
    """One session's connection. Every method tolerates a server that is not there yet, or no more."""

    def __init__(self, facts: SessionFacts) -> None:
        self._facts, self._door = facts, Door(facts.door) if facts.door else None
        self._seat: Seat | None = None
        self._client: aiohttp.ClientSession | None = None
        self._stream: aiohttp.StreamReader | None = None
        self._feed = Feed()
        self._closed = asyncio.Event()
        self._faulted = False

    async def lines(self) -> AsyncIterator[Line]:
        """What is true now, then events as they come; connects again for as long as it is not closed."""
        tries = 0
        while not self._closed.is_set():
            try:
                async for line in self._connection():
                    tries = 0
                    yield line
            except Taken as fault:
                if not self._faulted:
                    self._faulted = True
                    yield _line({"type": "andon.fault", "properties": {"message": str(fault)}})
            except FAULTS:
                pass
            tries = min(tries + 1, len(NAPS))
            await self._nap(NAPS[tries - 1])

    async def answer(self, ask: str, *, allow: bool, text: str = "") -> bool:
        """Allow once, or deny with words; a question gets its answer, one line for each of its parts. Never `always`."""
        if not _NAME.match(ask):
            return False
        if not ask.startswith("que"):
            body = {"reply": "once"} if allow else {"reply": "reject", "message": text or DENIED}
            return await self._post(f"/permission/{ask}/reply", body) is True
        if not allow:
            return await self._post(f"/question/{ask}/reject", {}) is True
        mine = next((one for one in await self._list("/question") if one.get("id") == ask), {})
        parts = len(rows(mine, "questions"))
        if not parts:
            return False
        words = text.splitlines() if parts > 1 else [text]
        answers = [[words[part] if part < len(words) else text] for part in range(parts)]
        return await self._post(f"/question/{ask}/reply", {"answers": answers}) is True

    async def send(self, text: str) -> bool:
        """Put a message into the conversation; while the agent works, it reads it at its next model call."""
        session = await self._main()
        await self._nap(max(0, min(SETTLE_MS, self._feed.failed_at + SETTLE_MS - _now())) / 1000)
        told = {"parts": [{"type": "text", "text": text}]}
        return bool(session) and await self._post(f"/session/{session}/prompt_async", told) is not None

    async def interrupt(self) -> bool:
        """Abort the turn of the conversation."""
        session = await self._main()
        return bool(session) and await self._post(f"/session/{session}/abort", {}) is True

    async def close(self) -> None:
        """Let go."""
        self._closed.set()
        if self._stream is not None:  # closing its connection alone does not wake who reads
            self._stream.set_exception(aiohttp.ClientConnectionError("let go"))
        if self._client is not None:
            await self._client.close()
        if self._door is not None:
            self._door.close()

    async def _connection(self) -> AsyncIterator[Line]:
        """One connection, until it breaks."""
        client = await self._connected(fresh=True)
        if client is None:
            return
        splitter, self._feed = Splitter(), Feed()
        async with asyncio.timeout(HEADERS_S):
            answer = await client.get("/event", timeout=STREAM, allow_redirects=False)
        async with answer:
            if answer.status != 200 or answer.content_type != "text/event-stream":
                raise Taken(f"another program answers at port {self._seat.port if self._seat else 0}, where opencode should: "
                            f"it said {answer.status} to our password. A restart of this session takes another port.")
            yield _line({"type": "andon.now", "properties": await self._truth()})
            await self._resume()
            self._stream = answer.content
            async for chunk in self._stream.iter_any():
                at = _now()
                for event in splitter.take(chunk):
                    for kept in self._feed.take(event, at):
                        yield Line(at=at, source="api", data=msgspec.Raw(kept))

    async def _truth(self) -> dict[str, Any]:
        """What the session does at this moment."""
        status, main = await self._call("GET", "/session/status", None), await self._main()
        messages = await self._messages(main)
        last = messages[-1] if messages else {}
        states = status if isinstance(status, dict) else {}
        by_id = {text(one, "info", "id"): one for one in messages}
        open_asks, open_questions = [
            [one for one in await self._list(path) if not stale(one, by_id, set(states))] for path in ("/permission", "/question")
        ]
        sessions = await self._sessions()
        self._feed.known(main, {text(one, "id") for one in sessions if text(one, "parentID")}, text(states, main, "type"),
                         {text(one, "id"): text(one, "sessionID") for one in (*open_asks, *open_questions)})
        done = text(last, "info", "role") == "assistant" and bool(count(last, "info", "time", "completed"))
        words = [text(part, "text") for part in rows(last, "parts") if text(part, "type") == "text"]
        return {"sessionID": main, "status": table(states, main), "permissions": open_asks, "questions": open_questions,
                "model": text(last, "info", "modelID"), "over": done and main not in states,
                "turn": text(last, "info", "parentID") or text(last, "info", "id"),
                "text": words[-1][:2_000] if words else "", "error": table(last, "info", "error") if main not in states else {}}

    async def _resume(self) -> None:
        """Give the prompt of a resumed conversation, unless it has one like it since the start of this sitting."""
        seat = self._seat
        if seat is None or not seat.prompt:
            return
        main = await self._main()
        if not main or main != seat.conversation:
            return
        since = (self._facts.home / SEAT).stat().st_mtime_ns // 1_000_000
        for message in await self._messages(main):
            told = "".join(text(part, "text") for part in rows(message, "parts") if text(part, "type") == "text")
            info = table(message, "info")
            if text(info, "role") == "user" and count(info, "time", "created") >= since and told == seat.prompt:
                return
        await self.send(seat.prompt)

    async def _main(self) -> str:
        """The conversation: the one that was resumed or told, else the youngest that is no helper's."""
        own = [one for one in await self._sessions() if not text(one, "parentID")]
        names = {text(one, "id") for one in own}
        wanted = next((name for name in (self._feed.main, self._facts.conversation, self._seat.conversation if self._seat else "")
                       if name in names), "")
        youngest = max(own, key=lambda one: count(one, "time", "created"), default={})
        found = wanted or text(youngest, "id")
        return found if _NAME.match(found) else ""

    async def _sessions(self) -> list[dict[str, Any]]:
        return await self._list("/session")

    async def _messages(self, session: str) -> list[dict[str, Any]]:
        return await self._list(f"/session/{session}/message?limit={_MESSAGES}") if session else []

    async def _list(self, path: str) -> list[dict[str, Any]]:
        found = await self._call("GET", path, None)
        return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []

    async def _post(self, path: str, body: dict[str, Any]) -> Any:
        """What it answered: True for an empty yes; None when it did not take it."""
        return await self._call("POST", path, body)

    async def _call(self, method: str, path: str, body: dict[str, Any] | None) -> Any:
        try:
            client = await self._connected()
            if client is None:
                return None
            async with client.request(method, path, json=body, timeout=CALL, allow_redirects=False) as answer:
                told = b""
                async for chunk in answer.content.iter_any():
                    told += chunk
                    if len(told) > _ANSWER_BYTES:
                        return None
                if not 200 <= answer.status < 300:
                    return None
                return msgspec.json.decode(told) if told else True
        except FAULTS:
            return None

    async def _connected(self, *, fresh: bool = False) -> aiohttp.ClientSession | None:
        """The client for the session's server; None while its seat is unknown. A session that was started again has another."""
        seat = Seat.read(self._facts.home) if fresh or self._seat is None else self._seat
        if self._client is not None and seat != self._seat:
            await self._client.close()
            self._client = None
        self._seat = seat
        if seat is None or self._closed.is_set():
            return None
        if self._client is None:
            named = base64.b64encode(f"opencode:{seat.password}".encode()).decode()
            self._client = aiohttp.ClientSession(f"http://127.0.0.1:{seat.port}", headers={"Authorization": f"Basic {named}"},
                                                 connector=self._door.connector() if self._door else None)
        return self._client

    async def _nap(self, seconds: float) -> None:
        try:
            await asyncio.wait_for(self._closed.wait(), seconds)
        except TimeoutError:
            return


def _line(event: dict[str, Any]) -> Line:
    return Line(at=_now(), source="api", data=msgspec.Raw(msgspec.json.encode(event)))


def _now() -> int:
    return time.time_ns() // 1_000_000
