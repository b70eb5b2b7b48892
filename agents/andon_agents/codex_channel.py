"""The live connection to the app-server of Codex: lines out, answers, messages and interrupts in. Must never judge what it hears.

Theory of operation. The server listens on a unix socket in the job directory, or within walls on a port behind their door, and
speaks JSON-RPC over a websocket. The agent's
own screen is one client of it and this is another: both see the same conversation and the same requests for permission, and
whoever answers first answers for both. There is no task of our own: whoever waits, for lines or for an answer to a call, reads
the connection, one at a time, and leaves what is not his to the others. A connection that breaks is made again with a bounded
back-off; the first lines then say what is true now: the conversation, its last turn, the requests that still stand open.
"""

import asyncio
import contextlib
import os
import re
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import aiohttp
import msgspec

from andon.schema.agent import SessionFacts
from andon.schema.jobs import CHANNEL
from andon.schema.signals import Line

from .codex_home import SOCKET, token_of
from .codex_read import ask_name, is_own
from .codex_values import at, decoded, number, rows, table, word
from .door import Door

CALL_S, CONNECT_S, SETTLE_S, JOIN_S = 10.0, 5.0, 5.0, 15.0
"""Seconds: for a call's result, for a connection, until an answer shows, for somebody who would answer before we are connected."""
BACKOFF_S = (0.1, 3.0)
"""First and longest wait between two tries to connect."""
LOOK_S = (0.1, 2.0)
"""While there is no conversation yet: first and longest wait between two looks, should nothing be told."""
SPOKE_S = 1.0
"""At most one line of flowing words in so many seconds."""
LINES, MESSAGE_BYTES, LINE_BYTES = 10_000, 64 * 2**20, 64 * 1024
"""Bounds: lines that wait to be taken, one message, one line (past it, long texts in it are cut)."""
PENDING, PATCHES, STEPS = 200, 200, 50
"""Bounds: open requests, patches whose paths are remembered, steps of the turn that is found when attaching."""
TAIL_BYTES = 2**20
"""So much of the recorded lines is looked at for requests that were open when the last reader went."""
FAULTS = (aiohttp.ClientError, OSError, TimeoutError, msgspec.MsgspecError)
"""What the world does to a connection."""
UNWANTED = (
    "thread/readState/changed", "mcpServer/startupStatus/updated", "account/updated", "remoteControl/status/changed",
    "item/commandExecution/outputDelta", "item/fileChange/outputDelta", "item/fileChange/patchUpdated", "turn/diff/updated",
    "command/exec/outputDelta", "process/outputDelta", "skills/changed", "app/list/updated", "thread/name/updated",
)
"""Notifications that the server is asked not to send: nothing is read from them, and some flow like water."""
_FLOWING = ("item/agentMessage/delta", "item/plan/delta", "item/reasoning/summaryTextDelta", "item/reasoning/textDelta")


class CodexChannel:
    """One session's connection."""

    def __init__(self, session: SessionFacts) -> None:
        self._session, self._socket = session, session.door or session.job / SOCKET
        self._door = Door(session.door) if session.door else None
        self._thread, self._turn, self._run, self._until, self._born = session.conversation, "", "", 0, 0
        self._attached = self._closed = False
        self._ws: aiohttp.ClientWebSocketResponse | None = None
        self._reading, self._stop, self._joined = asyncio.Lock(), asyncio.Event(), asyncio.Event()
        self._heard: deque[dict[str, Any]] = deque(maxlen=LINES)
        self._results: dict[str, dict[str, Any] | None] = {}
        self._open: dict[str, dict[str, Any]] = {}
        self._patches: dict[str, list[str]] = {}
        self._calls, self._spoke_at, self._remembers = 0, 0.0, False

    # --- the protocol of channels ------------------------------------------------------------------------------------

    async def lines(self) -> AsyncIterator[Line]:
        """Raw lines as they arrive, what is true now first. Reconnects by itself; ends when closed."""
        wait = BACKOFF_S[0]
        while not self._closed:
            with contextlib.suppress(*FAULTS):
                async with aiohttp.ClientSession(connector=self._way(), headers=self._credentials()) as http:
                    async with asyncio.timeout(CONNECT_S):
                        self._ws = await http.ws_connect("http://127.0.0.1/", max_msg_size=MESSAGE_BYTES, timeout=_CLOSE)
                    async for line in self._conversation():
                        wait = BACKOFF_S[0]
                        yield line
            self._lost()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stop.wait(), wait)
            wait = min(wait * 2, BACKOFF_S[1])

    async def answer(self, ask: str, *, allow: bool, text: str = "") -> bool:
        """Answer an open request; True when the server says that it is settled. What is open is known once we are connected."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._joined.wait(), JOIN_S)
        request = self._open.get(ask)
        if not request or not await self._tell({"id": request["id"], "result": reply(request, allow=allow, text=text)}):
            return False
        with contextlib.suppress(*FAULTS):
            async with asyncio.timeout(SETTLE_S):
                while ask in self._open and self._ws:
                    await self._hear(lambda: ask not in self._open)
        return ask not in self._open and self._ws is not None

    async def send(self, text: str) -> bool:
        """Give the agent a message: into the turn that runs, else as a new turn. True when the server took it."""
        said = [{"type": "text", "text": text, "text_elements": []}]
        if not self._attached:
            return False
        if self._turn:
            steered = await self._call("turn/steer", threadId=self._thread, expectedTurnId=self._turn, input=said)
            if "result" in steered or not steered:  # no word either way: it may have been taken, so it is not said twice
                return "result" in steered
        return "result" in await self._call("turn/start", threadId=self._thread, input=said)

    async def interrupt(self) -> bool:
        """End the turn that runs; False when there is none."""
        if not self._attached or not self._turn:
            return False
        return "result" in await self._call("turn/interrupt", threadId=self._thread, turnId=self._turn)

    async def close(self) -> None:
        """Let go."""
        self._closed, websocket = True, self._ws
        self._stop.set()
        self._joined.set()
        if websocket:
            with contextlib.suppress(*FAULTS):
                async with asyncio.timeout(CONNECT_S):
                    await websocket.close()
        if self._door:
            self._door.close()

    def _way(self) -> aiohttp.UnixConnector:
        """To the server. Raises OSError."""
        return self._door.connector() if self._door else aiohttp.UnixConnector(_real(self._socket))

    def _credentials(self) -> dict[str, str]:
        """What it asks for when it listens on a port."""
        token = token_of(self._session.home) if self._door else ""
        return {"Authorization": f"Bearer {token}"} if token else {}

    # --- attaching ---------------------------------------------------------------------------------------------------

    async def _conversation(self) -> AsyncIterator[Line]:
        """The lines of one connection, from attaching to its end."""
        self._born = _born(self._socket)
        self._run = format(self._born, "x")[-8:] if self._born else ""
        hello = {"clientInfo": {"name": "andon", "title": None, "version": "1"},
                 "capabilities": {"experimentalApi": True, "optOutNotificationMethods": list(UNWANTED)}}
        if "result" not in await self._call("initialize", **hello):
            return
        await self._tell({"method": "initialized"})
        wait = LOOK_S[0]
        while not await self._attach():
            if not self._ws or self._closed:
                return
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await self._hear(lambda: False)
                    await asyncio.sleep(LOOK_S[0] / 5)  # what is told now may not be written down yet
            wait = min(wait * 2, LOOK_S[1])
        while not self._closed:
            while self._heard:
                line = self._line(self._heard.popleft())
                if line:
                    yield line
            if not self._ws:
                return
            await self._hear(lambda: bool(self._heard))

    async def _attach(self) -> bool:
        """Find the session's conversation and take part in it; False when it is not there yet."""
        before = dict(self._open) or self._left_open()
        loaded = await self._call("thread/loaded/list")
        named = [one for one in rows(loaded, "result", "data") if isinstance(one, str)][:50]
        for name in sorted(named, key=lambda one: one != self._thread):
            thread = table(await self._call("thread/read", threadId=name, includeTurns=False), "result", "thread")
            if not is_own(thread):
                continue
            self._open.clear()
            resumed = await self._call("thread/resume", threadId=name, excludeTurns=True)
            if "result" not in resumed:
                return False
            self._thread, self._attached = name, True
            turns = await self._call("thread/turns/list", threadId=name, limit=1, sortDirection="desc", itemsView="full")
            self._heard.extendleft((*self._now(turns), resumed))
            self._settle(before)
            self._joined.set()
            return True
        return False

    def _now(self, turns: dict[str, Any]) -> tuple[dict[str, Any], ...]:
        """What the last turn tells about now; nothing when it is of a sitting before this server was started."""
        for turn in rows(turns, "result", "data")[:1]:
            if _turn_began(turn) < self._born:
                return ()
            self._turn = word(turn, "id") if at(turn, "status") == "inProgress" else ""
            turn["items"] = rows(turn, "items")[-STEPS:]
            for item in rows(turn, "items"):
                self._remember_patch(item)
        return (turns,)

    def _settle(self, before: dict[str, Any]) -> None:
        """Say of each request that was open before and is not any more that it is settled."""
        for ask, request in before.items():
            if ask not in self._open:
                named = {"threadId": word(request, "params", "threadId"), "requestId": request.get("id")}
                told = {**table(request, "andon"), "how": "not open any more"}
                self._heard.append({"method": "serverRequest/resolved", "andon": told, "params": named})

    def _left_open(self) -> dict[str, Any]:
        """The requests that stood open when the reader before us went, from the lines that it recorded."""
        if self._remembers:
            return {}
        self._remembers, found = True, dict[str, Any]()
        for line in _tail(self._session.job / CHANNEL):
            message = table(decoded(line), "data")
            if message.get("method") == "serverRequest/resolved":
                found.pop(ask_name(message, at(message, "params", "requestId")), None)
            elif "id" in message and word(message, "method") in _REPLIES:
                found[ask_name(message, message["id"])] = message
        return found

    # --- one message at a time ---------------------------------------------------------------------------------------

    async def _hear(self, enough: Callable[[], bool]) -> None:
        """Read one message, unless somebody else has just read what was waited for. Raises what the world does."""
        async with self._reading:
            if enough() or not self._ws:
                return
            message = await self._ws.receive()
        if message.type is aiohttp.WSMsgType.TEXT:
            self._take(decoded(message.data.encode(errors="replace")))
        elif message.type is not aiohttp.WSMsgType.BINARY:
            self._ws = None

    def _take(self, message: dict[str, Any]) -> None:
        """Note what a message means for the connection, and keep it for those who want lines."""
        method, params = word(message, "method"), table(message, "params")
        if not method:
            name = message.get("id")
            if isinstance(name, str) and name in self._results:
                self._results[name] = message
            return
        if self._attached and word(params, "threadId") not in ("", self._thread):
            return
        other = word(params, "thread", "id") if method == "thread/started" and is_own(table(params, "thread")) else ""
        if self._attached and other not in ("", self._thread):  # a person began another one at the screen: we follow
            self._thread, self._ws = other, None
        elif method == "account/rateLimits/updated":
            self._until = _reset(table(params, "rateLimits"))
        elif method == "turn/started":
            self._turn = word(params, "turn", "id")
        elif method == "turn/completed":
            self._turn = ""
            message["andon"] = {"until": self._until} if self._until else {}
        elif method == "item/started":
            self._remember_patch(params.get("item"))
        elif method == "serverRequest/resolved":
            message["andon"] = {"server": self._run}
            self._open.pop(ask_name(message, params.get("requestId")), None)
        elif "id" in message and method in _REPLIES:
            message["andon"] = {"server": self._run, "paths": self._patches.get(word(params, "itemId"), [])}
            self._open[ask_name(message, message["id"])] = message
            while len(self._open) > PENDING:
                self._open.pop(next(iter(self._open)))
        self._heard.append(message)

    def _remember_patch(self, item: object) -> None:
        """Which paths a patch touches: the request for its approval does not say."""
        if at(item, "type") == "fileChange":
            paths = [word(change, "path") for change in rows(item, "changes")]
            self._patches[word(item, "id")] = [str(self._session.checkout / path) for path in paths if path]
            while len(self._patches) > PATCHES:
                self._patches.pop(next(iter(self._patches)))

    def _line(self, message: dict[str, Any]) -> Line | None:
        """The message as a recorded line; None for what a reader needs not."""
        method, now = message.get("method"), time.time()
        if method in _FLOWING:
            if now - self._spoke_at < SPOKE_S:
                return None
            self._spoke_at = now
        if method == "thread/status/changed":  # we hear the requests themselves
            return None
        if method == "thread/started" and not is_own(table(message, "params", "thread")):
            return None
        raw = msgspec.json.encode(message)
        if len(raw) > LINE_BYTES:
            raw = msgspec.json.encode(_cut(message))
        return Line(at=int(now * 1000), source="api", data=msgspec.Raw(raw))

    async def _call(self, method: str, **params: Any) -> dict[str, Any]:
        """The server's response (`result` or `error`); empty when none came in time."""
        self._calls += 1
        name = f"andon-{self._calls}"
        self._results[name] = None
        try:
            async with asyncio.timeout(CALL_S):
                if not await self._tell({"id": name, "method": method, "params": params}):
                    return {}
                while self._results[name] is None and self._ws:
                    await self._hear(lambda: self._results[name] is not None)
        except FAULTS:
            pass
        return self._results.pop(name) or {}

    async def _tell(self, message: dict[str, Any]) -> bool:
        """Send one message; False when nobody is there."""
        websocket = self._ws
        if not websocket or websocket.closed:
            return False
        with contextlib.suppress(*FAULTS):
            async with asyncio.timeout(CALL_S):
                await websocket.send_str(msgspec.json.encode(message).decode())
                return True
        return False

    def _lost(self) -> None:
        """The connection is gone, and with it what it alone knew. Open requests are kept to be compared with."""
        self._ws, self._attached, self._turn = None, False, ""
        if not self._closed:
            self._joined.clear()
        self._heard.clear()


_CLOSE = aiohttp.ClientWSTimeout(ws_close=2.0)


def _real(path: Path) -> str:
    """Where a socket really lies: a short path."""
    return os.path.realpath(path)


def _born(path: Path) -> int:
    """When the server made this socket, in unix milliseconds; 0 when it is not there."""
    with contextlib.suppress(OSError):
        return path.stat().st_mtime_ns // 1_000_000
    return 0


def _turn_began(turn: Any) -> int:
    """When a turn began, in unix milliseconds: its id is a UUID that says so; else to the second, rounded up."""
    told = re.match(r"([0-9a-f]{8})-([0-9a-f]{4})-7", word(turn, "id"))
    return int(told[1] + told[2], 16) if told else (number(turn, "startedAt") + 1) * 1000


def _tail(path: Path) -> list[bytes]:
    """The last lines of a file; none when it is not there."""
    with contextlib.suppress(OSError), path.open("rb") as record:
        record.seek(max(0, path.stat().st_size - TAIL_BYTES))
        return record.read(TAIL_BYTES + LINE_BYTES).splitlines()
    return []


def _reset(limits: dict[str, Any]) -> int:
    """Unix milliseconds at which a limit that is used up begins anew; 0 when none is."""
    windows = [table(limits, name) for name in ("primary", "secondary")]
    return max((number(window, "resetsAt") * 1000 for window in windows if number(window, "usedPercent") >= 100), default=0)


def _cut(value: Any) -> Any:
    """The same with every long text cut, from the middle of what a command printed to a whole file in a patch."""
    if isinstance(value, str):
        return value if len(value) <= 4_000 else f"{value[:2_000]} … {len(value)} characters … {value[-2_000:]}"
    if isinstance(value, dict):
        return {key: _cut(one) for key, one in value.items()}
    return [_cut(one) for one in value[:200]] if isinstance(value, list) else value


# --- answers ---------------------------------------------------------------------------------------------------------


def reply(request: dict[str, Any], *, allow: bool, text: str = "") -> dict[str, Any]:
    """The result that answers a request. A denial lets the agent go on; nothing is ever allowed for longer than this once."""
    return _REPLIES[word(request, "method")](table(request, "params"), allow, text)


def _decision(params: dict[str, Any], allow: bool, text: str) -> dict[str, Any]:
    return {"decision": "accept" if allow else "decline"}


def _permissions(params: dict[str, Any], allow: bool, text: str) -> dict[str, Any]:
    asked = {key: value for key, value in table(params, "permissions").items() if value is not None}
    return {"permissions": asked if allow else {}, "scope": "turn"}


def _answers(params: dict[str, Any], allow: bool, text: str) -> dict[str, Any]:
    """The same words for each question: a person answers the request as a whole."""
    said = [text] if allow and text else []
    return {"answers": {word(question, "id"): {"answers": said} for question in rows(params, "questions")}}


def _elicited(params: dict[str, Any], allow: bool, text: str) -> dict[str, Any]:
    """Accepted with the words in the form's first text field."""
    if not allow:
        return {"action": "decline", "content": None}
    fields = table(params, "requestedSchema", "properties")
    named = next((key for key, field in fields.items() if at(field, "type") == "string"), "")
    return {"action": "accept", "content": {named: text} if named and text else {}}


_REPLIES = {
    "item/commandExecution/requestApproval": _decision, "item/fileChange/requestApproval": _decision,
    "item/permissions/requestApproval": _permissions, "item/tool/requestUserInput": _answers,
    "mcpServer/elicitation/request": _elicited,
}
"""The requests that a person or the policy answers; any other is left to the agent's own screen."""
