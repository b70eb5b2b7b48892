"""The connection to Codex's app-server against servers that do not behave: silent, gone, back again, talkative."""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import WSMsgType, web

from andon.schema import signals as s
from andon.schema.agent import SessionFacts
from andon.schema.ids import AttemptId
from andon.schema.settings import AgentSettings
from andon_agents import codex_channel
from andon_agents.codex import ADAPTER
from andon_agents.codex_channel import CodexChannel
from support import wait_for

THREAD = "01a1f87c-53ef-7ad2-a000-b0799eb852fc"
TITLE = "01a1f87c-545f-71c2-8690-6572dcbb2f30"
OTHER = "01a1f87c-9999-7ad2-a000-b0799eb852fc"
ASK = {"method": "item/commandExecution/requestApproval", "id": 0, "params": {
    "threadId": THREAD, "turnId": "t1", "itemId": "c1", "command": "/bin/bash -lc 'git push'", "cwd": "/w"}}


def thread(name: str) -> dict[str, Any]:
    """A thread as the server describes it."""
    title = name == TITLE
    return {"id": name, "ephemeral": title, "threadSource": "thread_title" if title else "user", "path": "/h/r.jsonl", "status": {}}


class Server:
    """A stand-in for the app-server: speaks the same websocket on the same socket."""

    def __init__(self, job: Path) -> None:
        self.path, self.heard, self.pending = job / "codex.sock", list[dict[str, Any]](), list[dict[str, Any]]()
        self.threads = [TITLE, THREAD]
        self.silent, self.sockets = False, list[web.WebSocketResponse]()
        self.turn: dict[str, Any] = {"id": "t1", "status": "inProgress", "items": [], "startedAt": int(time.time())}

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator["Server"]:
        """Until the block ends; every connection is cut then."""
        app = web.Application()
        app.router.add_get("/", self.serve)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        self.path.unlink(missing_ok=True)
        await web.UnixSite(runner, str(self.path)).start()
        try:
            yield self
        finally:
            for one in list(self.sockets):
                await one.close()
            await runner.cleanup()

    async def serve(self, request: web.Request) -> web.WebSocketResponse:
        """One connection."""
        websocket = web.WebSocketResponse()
        await websocket.prepare(request)
        self.sockets.append(websocket)
        async for message in websocket:
            if message.type is WSMsgType.TEXT:
                said = json.loads(message.data)
                self.heard.append(said)
                if not self.silent:
                    with contextlib.suppress(ConnectionError):
                        await self.react(said)
        if websocket in self.sockets:
            self.sockets.remove(websocket)
        return websocket

    async def react(self, said: dict[str, Any]) -> None:
        """Answer a call; say what follows from it."""
        method, params = said.get("method"), said.get("params", {})
        results: dict[str, Any] = {
            "thread/loaded/list": {"data": self.threads}, "thread/read": {"thread": thread(params.get("threadId", ""))},
            "thread/resume": {"thread": thread(params.get("threadId", ""))}, "thread/turns/list": {"data": [self.turn]},
        }
        if "id" in said and method:
            await self.say({"id": said["id"], "result": results.get(method, {})})
        if method == "thread/resume":
            for one in self.pending:
                await self.say(one)
        if "result" in said:
            self.pending = [one for one in self.pending if one["id"] != said["id"]]
            await self.say({"method": "serverRequest/resolved", "params": {"threadId": THREAD, "requestId": said["id"]}})

    async def say(self, message: dict[str, Any]) -> None:
        """To everybody who is connected."""
        for one in list(self.sockets):
            await one.send_str(json.dumps(message))

    def resumed(self) -> list[str]:
        """The conversations that were joined."""
        return [one["params"]["threadId"] for one in self.heard if one.get("method") == "thread/resume"]

    def results(self) -> list[Any]:
        """The answers to requests that came."""
        return [one["result"] for one in self.heard if "result" in one]


class Ear:
    """A reader of a channel."""

    def __init__(self, job: Path) -> None:
        self.channel = CodexChannel(SessionFacts(attempt=AttemptId("T1.1"), job=job, home=job, checkout=Path("/w"),
                                                 agent=AgentSettings(name="codex", use="codex")))
        self.lines: list[s.Line] = []

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator[CodexChannel]:
        """Listening until the block ends."""
        async with asyncio.timeout(20), asyncio.TaskGroup() as group:
            group.create_task(self.listen())
            try:
                yield self.channel
            finally:
                await self.channel.close()

    async def listen(self) -> None:
        """Take every line."""
        async for line in self.channel.lines():
            self.lines.append(line)

    def signals(self) -> list[s.AnySignal]:
        """What was read of them."""
        return [one for line in self.lines for one in ADAPTER.read(line)]

    def has(self, kind: type[s.Signal]) -> bool:
        """Whether there is such a signal."""
        return any(isinstance(one, kind) for one in self.signals())


@pytest.fixture
def job(tmp_path: Path) -> Path:
    return tmp_path


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CALL_S", "SETTLE_S", "JOIN_S"):
        monkeypatch.setattr(codex_channel, name, 0.3)


async def test_a_channel_without_a_server_takes_nothing_and_ends_when_it_is_closed(job: Path) -> None:
    ear = Ear(job)
    async with ear.open() as channel:
        assert not await channel.send("x") and not await channel.interrupt() and not await channel.answer("a", allow=True)
    assert not ear.lines


async def test_a_server_that_accepts_and_never_says_a_word_hangs_nobody(job: Path) -> None:
    server, ear = Server(job), Ear(job)
    server.silent = True
    async with server.running(), ear.open() as channel:
        await wait_for(lambda: server.heard, what="a connection")
        began = time.monotonic()
        assert not await channel.send("x") and not await channel.interrupt()
        assert time.monotonic() - began < 2


async def test_a_server_that_falls_silent_later_gives_no_receipt(job: Path) -> None:
    server, ear = Server(job), Ear(job)
    server.pending = [ASK]
    async with server.running(), ear.open() as channel:
        await wait_for(lambda: ear.has(s.PermissionWanted))
        server.silent = True
        wanted = next(one for one in ear.signals() if isinstance(one, s.PermissionWanted))
        assert not await channel.send("x") and not await channel.interrupt()
        assert not await channel.answer(wanted.ask, allow=True)
        assert sum(one.get("method") == "turn/start" for one in server.heard) == 0, "words without a receipt are not said twice"


async def test_what_is_true_comes_first_and_helper_threads_do_not_count(job: Path) -> None:
    server, ear = Server(job), Ear(job)
    async with server.running(), ear.open():
        await wait_for(lambda: ear.has(s.TurnBegan))
        await server.say({"method": "turn/completed", "params": {"threadId": TITLE, "turn": {"id": "x", "status": "completed"}}})
        await server.say({"method": "turn/completed", "params": {"threadId": THREAD, "turn": {"id": "t1", "status": "completed"}}})
        await wait_for(lambda: ear.has(s.TurnEnded))
    assert [type(one) for one in ear.signals()] == [s.Began, s.TurnBegan, s.TurnEnded]
    assert server.resumed() == [THREAD]


async def test_a_conversation_that_a_person_begins_at_the_screen_is_followed(job: Path) -> None:
    server, ear = Server(job), Ear(job)
    async with server.running(), ear.open() as channel:
        await wait_for(lambda: ear.has(s.TurnBegan))
        server.threads.append(OTHER)
        await server.say({"method": "thread/started", "params": {"thread": thread(OTHER)}})
        await wait_for(lambda: [one.conversation for one in ear.signals() if isinstance(one, s.Began)][-1] == OTHER)
        await wait_for(lambda: server.resumed() == [THREAD, OTHER])
        assert await channel.send("x")
    assert [one["params"]["threadId"] for one in server.heard if one.get("method") == "turn/steer"] == [OTHER]


async def test_a_turn_of_an_earlier_server_is_not_told_as_now(job: Path) -> None:
    server, ear = Server(job), Ear(job)
    server.turn = {"id": "t0", "status": "completed", "items": [], "startedAt": int(time.time()) - 60}
    async with server.running(), ear.open() as channel:
        await wait_for(lambda: ear.has(s.Began))
        assert not await channel.interrupt(), "there is no turn"
        assert await channel.send("x")
    assert [type(one) for one in ear.signals()] == [s.Began]


async def test_a_denial_and_an_approval_are_said_in_the_servers_words(job: Path) -> None:
    server, ear = Server(job), Ear(job)
    extra = {"method": "item/permissions/requestApproval", "id": "p", "params": {
        "threadId": THREAD, "permissions": {"network": {"enabled": True}, "fileSystem": None}, "reason": "to fetch"}}
    question = {"method": "item/tool/requestUserInput", "id": 7, "params": {
        "threadId": THREAD, "questions": [{"id": "q", "question": "Tabs?", "options": [{"label": "yes"}]}]}}
    form = {"method": "mcpServer/elicitation/request", "id": 8, "params": {
        "threadId": THREAD, "serverName": "x", "message": "Name?", "requestedSchema": {"properties": {"n": {"type": "string"}}}}}
    server.pending = [ASK, extra, question, form]
    async with server.running(), ear.open() as channel:
        await wait_for(lambda: len(server.pending) == 4 and len([one for one in ear.signals() if hasattr(one, "ask")]) == 4)
        asks = [one.ask for one in ear.signals() if isinstance(one, (s.PermissionWanted, s.AnswerWanted))]
        assert len(set(asks)) == 4
        for ask, allow in zip(asks, (False, True, True, True), strict=True):
            assert await channel.answer(ask, allow=allow, text="yes")
        assert not await channel.answer(asks[0], allow=True), "it was answered"
    assert server.results() == [
        {"decision": "decline"}, {"permissions": {"network": {"enabled": True}}, "scope": "turn"},
        {"answers": {"q": {"answers": ["yes"]}}}, {"action": "accept", "content": {"n": "yes"}},
    ]


async def test_a_lost_server_is_found_again_and_what_no_longer_stands_open_is_settled(job: Path) -> None:
    server, ear = Server(job), Ear(job)
    server.pending = [ASK]
    async with ear.open():
        async with server.running():
            await wait_for(lambda: ear.has(s.PermissionWanted))
        server.pending = []
        async with server.running():
            await wait_for(lambda: ear.has(s.AskSettled))
    wanted = next(one for one in ear.signals() if isinstance(one, s.PermissionWanted))
    assert next(one for one in ear.signals() if isinstance(one, s.AskSettled)).ask == wanted.ask


async def test_a_new_reader_settles_what_the_last_one_left_open(job: Path) -> None:
    server, first = Server(job), Ear(job)
    server.pending = [ASK]
    async with server.running():
        async with first.open():
            await wait_for(lambda: first.has(s.PermissionWanted))
        told = [{"at": line.at, "source": line.source, "data": json.loads(bytes(line.data))} for line in first.lines]
        (job / "channel.jsonl").write_text("".join(json.dumps(one) + "\n" for one in told))
        server.pending, second = [], Ear(job)
        async with second.open():
            await wait_for(lambda: second.has(s.AskSettled))
    wanted = next(one for one in first.signals() if isinstance(one, s.PermissionWanted))
    assert next(one for one in second.signals() if isinstance(one, s.AskSettled)).ask == wanted.ask


async def test_words_that_flow_are_thinned_and_long_texts_cut(job: Path) -> None:
    server, ear = Server(job), Ear(job)
    async with server.running(), ear.open():
        await wait_for(lambda: ear.has(s.TurnBegan))
        for _ in range(500):
            await server.say({"method": "item/agentMessage/delta", "params": {"threadId": THREAD, "delta": "word "}})
        item = {"type": "commandExecution", "id": "c", "command": "cat x", "status": "completed", "aggregatedOutput": "y" * 900_000}
        await server.say({"method": "item/completed", "params": {"threadId": THREAD, "item": item}})
        await wait_for(lambda: ear.has(s.ToolEnded))
    assert 1 <= sum(isinstance(one, s.Spoke) for one in ear.signals()) < 10
    assert max(len(bytes(line.data)) for line in ear.lines) < codex_channel.LINE_BYTES


async def test_a_patch_that_waits_names_its_paths_and_a_spent_plan_its_reset(job: Path) -> None:
    server, ear = Server(job), Ear(job)
    patch = {"type": "fileChange", "id": "f1", "status": "inProgress", "changes": [{"path": "/etc/hosts", "kind": {}, "diff": "d"}]}
    limits = {"primary": {"usedPercent": 100, "resetsAt": 1_800_000_000}, "secondary": {"usedPercent": 5, "resetsAt": 1_900_000}}
    failed = {"id": "t1", "status": "failed", "error": {"message": "usage limit", "codexErrorInfo": "usageLimitExceeded"}}
    async with server.running(), ear.open():
        await wait_for(lambda: ear.has(s.TurnBegan))
        await server.say({"method": "item/started", "params": {"threadId": THREAD, "turnId": "t1", "item": patch}})
        await server.say({"method": "item/fileChange/requestApproval", "id": 3, "params": {"threadId": THREAD, "itemId": "f1"}})
        await server.say({"method": "account/rateLimits/updated", "params": {"rateLimits": limits}})
        await server.say({"method": "turn/completed", "params": {"threadId": THREAD, "turn": failed}})
        await wait_for(lambda: ear.has(s.TurnFailed))
    wanted = next(one for one in ear.signals() if isinstance(one, s.PermissionWanted))
    assert (wanted.deed, wanted.target, wanted.paths) == ("edit", "/etc/hosts", ("/etc/hosts",))
    over = next(one for one in ear.signals() if isinstance(one, s.TurnFailed))
    assert (over.trouble, over.until) == ("quota", 1_800_000_000_000)
