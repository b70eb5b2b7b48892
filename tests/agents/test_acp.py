"""Agents of the Agent Client Protocol: our client in a session of its own, a scripted agent below it, the channel beside it."""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import TypeVar

import msgspec
import pytest
from hypothesis import given, strategies as st

from andon.schema import signals as s
from andon.schema.agent import Assignment, Channel, SessionFacts
from andon.schema.errors import Mistake
from andon.schema.ids import AttemptId, TaskId
from andon.schema.jobs import CHANNEL
from andon.schema.settings import AgentSettings
from andon_agents import acp_files
from andon_agents.acp import ADAPTER
from andon_agents.acp_feed import Feed
from support import wait_for, wait_until

S = TypeVar("S", bound=s.Signal)
AGENT = '''
import asyncio, os, sys
import acp
from acp.schema import *
class Agent:
    def __init__(self): self.stop = asyncio.Event()
    def on_connect(self, conn): self.conn = conn
    async def initialize(self, protocol_version, **_):
        return InitializeResponse(protocol_version=protocol_version, agent_capabilities=AgentCapabilities(load_session=True))
    async def new_session(self, cwd, mcp_servers=None, **_):
        open("servers", "w").write(",".join(one.name for one in mcp_servers or []))
        return NewSessionResponse(session_id="conv-1")
    async def load_session(self, session_id, cwd, **_):
        await self.conn.session_update(session_id=session_id, update=acp.update_agent_message_text("old words"))
        return LoadSessionResponse()
    async def cancel(self, session_id, **_): self.stop.set()
    async def prompt(self, session_id, prompt, **_):
        text, self.stop = prompt[0].text, asyncio.Event()
        say = lambda update: self.conn.session_update(session_id=session_id, update=update)
        if "crash" in text: os._exit(3)
        if "refuse" in text: raise acp.RequestError(-32603, "Internal error", {"details": "401 invalid x-api-key"})
        if "hang" in text:
            await self.stop.wait()
            return PromptResponse(stop_reason="cancelled")
        if "ask" in text:
            call = ToolCallUpdate(tool_call_id="c1", title="Write it", kind="edit", locations=[ToolCallLocation(path="/x/y")])
            names = [("z", "allow_always"), ("a", "allow_once"), ("r", "reject_once"), ("n", "reject_always")]
            options = [PermissionOption(option_id=one, name=one, kind=kind) for one, kind in names]
            ask = asyncio.ensure_future(self.conn.request_permission(session_id=session_id, tool_call=call, options=options))
            answer = await ask
            if answer.outcome.outcome == "cancelled": return PromptResponse(stop_reason="cancelled")
            await say(acp.update_agent_message_text("chosen: " + answer.outcome.option_id))
        await say(acp.start_tool_call("t1", "ls", kind="execute", status="in_progress", raw_input={"command": "ls"}))
        await say(acp.update_tool_call("t1", status="completed"))
        await say(acp.update_agent_message_text("done: " + text + " \\x1b[2J"))
        return PromptResponse(stop_reason="end_turn")
asyncio.run(acp.run_agent(Agent()))
'''


class Seat:
    """A job with the scripted agent, and runs of our client in it."""

    def __init__(self, folder: Path) -> None:
        self.job, self.checkout = folder / "job", folder / "checkout"
        for path in (self.job, self.checkout):
            path.mkdir()
        self.agent = folder / "agent.py"
        self.agent.write_text(AGENT)
        self.clients: list[subprocess.Popen[bytes]] = []

    def start(self, prompt: str, *, resume: str = "", approve: str = "policy") -> subprocess.Popen[bytes]:
        """As the daemon does it, in a session of its own, over pipes."""
        (self.job / "prompt.md").write_text(prompt)
        settings = AgentSettings(name="a", use="acp", command=(sys.executable, str(self.agent)), approve=approve)
        launch = ADAPTER.launch(Assignment(
            attempt=AttemptId("T1.1"), task=TaskId("T1"), title="t", prompt=prompt, prompt_file=self.job / "prompt.md",
            checkout=self.checkout, job=self.job, agent=settings, home=self.job / "home", resume=resume, mcp=("true", "x")))
        with (self.job / "out").open("ab") as out:
            client = subprocess.Popen(launch.argv, cwd=self.checkout, env={**os.environ, **launch.env}, stdin=subprocess.DEVNULL,
                                      stdout=out, stderr=out, start_new_session=True)
        self.clients.append(client)
        return client

    def shown(self) -> str:
        """What a person would read."""
        return (self.job / "out").read_text()

    def close(self) -> None:
        """End what is left."""
        for client in self.clients:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(client.pid, signal.SIGKILL)
            client.wait()


class Ear:
    """What the channel said, written to the job's file as the daemon does."""

    def __init__(self, channel: Channel, file: Path) -> None:
        self.channel, self.file, self.signals, self.mark = channel, file, list[s.AnySignal](), 0

    async def listen(self) -> None:
        async for line in self.channel.lines():
            with self.file.open("ab") as file:
                file.write(msgspec.json.encode(line) + b"\n")
            self.signals += ADAPTER.read(line)

    async def hear(self, kind: type[S], where: Callable[[S], bool] = lambda one: True) -> S:
        """The next of a kind."""
        def found() -> list[tuple[int, S]]:
            after = enumerate(self.signals[self.mark:], self.mark + 1)
            return [(at, one) for at, one in after if isinstance(one, kind) and where(one)]

        await wait_for(found, 20, what=f"{kind.__name__} in {[type(one).__name__ for one in self.signals]}")
        self.mark, one = found()[0]
        return one


@contextlib.asynccontextmanager
async def listening(seat: Seat) -> AsyncIterator[Ear]:
    channel = ADAPTER.channel(SessionFacts(attempt=AttemptId("T1.1"), job=seat.job, home=seat.job, checkout=seat.checkout,
                                           agent=AgentSettings(name="a", use="acp")))
    assert channel is not None
    ear = Ear(channel, seat.job / CHANNEL)
    async with asyncio.TaskGroup() as group:
        group.create_task(ear.listen())
        try:
            yield ear
        finally:
            await channel.close()


@pytest.fixture
def seat(tmp_path: Path) -> Iterator[Seat]:
    seat = Seat(tmp_path)
    try:
        yield seat
    finally:
        seat.close()


async def test_a_session_works_asks_is_steered_and_ends_when_told(seat: Seat) -> None:
    client = seat.start("please ask")
    async with listening(seat) as ear:
        assert (await ear.hear(s.Began)).conversation == "conv-1"
        assert (await ear.hear(s.TurnBegan)).prompt == "please ask"
        ask = await ear.hear(s.PermissionWanted)
        assert (ask.deed, ask.paths) == ("edit", ("/x/y",))
        assert await ear.channel.answer(ask.ask, allow=True)
        assert (await ear.hear(s.AskSettled)).ask == ask.ask
        tool = await ear.hear(s.ToolBegan)
        assert (tool.call, tool.target) == ("t1", "ls")
        assert (await ear.hear(s.ToolEnded)).ok
        assert (await ear.hear(s.TurnEnded)).text.startswith("done: please ask")
        assert "chosen: a\n" in seat.shown() and "\x1b" not in seat.shown()

        assert await ear.channel.send("ask again")
        ask = await ear.hear(s.PermissionWanted)
        assert await ear.channel.answer(ask.ask, allow=False)
        await ear.hear(s.TurnEnded)
        assert "chosen: r\n" in seat.shown()

        assert await ear.channel.send("ask a third time")
        ask = await ear.hear(s.PermissionWanted)
        assert await ear.channel.interrupt()
        assert (await ear.hear(s.AskSettled)).how == "withdrawn"
        assert (await ear.hear(s.TurnFailed)).trouble == "interrupted"

        assert await ear.channel.send("hang")
        await ear.hear(s.TurnBegan)
        assert await ear.channel.send("after it")
        assert await ear.channel.interrupt()
        assert (await ear.hear(s.TurnFailed)).trouble == "interrupted"
        assert (await ear.hear(s.TurnBegan)).prompt == "after it"
        await ear.hear(s.TurnEnded)

        assert await ear.channel.send("refuse")
        failed = await ear.hear(s.TurnFailed)
        assert failed.trouble == "auth" and "x-api-key" in failed.text
        client.send_signal(signal.SIGTERM)
        await ear.hear(s.Ended)
    await asyncio.to_thread(client.wait, 10)
    assert (seat.checkout / "servers").read_text() == "andon"


async def test_a_crash_is_told_and_the_same_conversation_goes_on_with_no_line_said_twice(seat: Seat) -> None:
    client = seat.start("crash now")
    async with listening(seat) as ear:
        await ear.hear(s.TurnBegan)
        assert "3" in (await ear.hear(s.Ended)).because
        assert await asyncio.to_thread(client.wait, 10) == 3
        assert not await ear.channel.send("nobody is there")
        before = len(ear.signals)
    seat.start("go on", resume="conv-1")
    async with listening(seat) as ear:
        assert (await ear.hear(s.Began)).conversation == "conv-1"
        assert (await ear.hear(s.TurnBegan)).prompt == "go on"
        assert (await ear.hear(s.TurnEnded)).text.startswith("done: go on")
        assert [one for one in ear.signals if isinstance(one, s.Ended)] == [] and before
    assert "old words" not in seat.shown() and "nobody is there" not in seat.shown()
    async with listening(seat) as ear:
        await wait_for(lambda: list((seat.job / acp_files.SAYS).iterdir()) == [], what="nothing left to say")
        assert ear.signals == []


async def test_what_was_taken_and_not_said_is_said_in_the_next_sitting(seat: Seat) -> None:
    client = seat.start("hang")
    async with listening(seat) as ear:
        await ear.hear(s.TurnBegan)
        assert await ear.channel.send("the next thing")
        os.killpg(client.pid, signal.SIGKILL)
        await asyncio.to_thread(client.wait, 10)
    seat.start("go on")
    async with listening(seat) as ear:
        await ear.hear(s.TurnEnded, lambda one: one.text.startswith("done: the next thing"))
    assert seat.shown().count("> the next thing") == 1


def test_told_to_approve_all_it_allows_once_and_asks_nobody(seat: Seat) -> None:
    client = seat.start("ask", approve="all")
    wait_until(lambda: "= end_turn" in seat.shown(), what="the end of the turn")
    assert "chosen: a\n" in seat.shown() and "waits for a decision" not in seat.shown()
    os.kill(client.pid, signal.SIGHUP)
    assert client.wait(10) == 0


def test_an_agent_that_is_missing_or_not_named_is_a_mistake_with_its_mend(seat: Seat) -> None:
    def launch(*command: str) -> None:
        ADAPTER.launch(Assignment(
            attempt=AttemptId("T1.1"), task=TaskId("T1"), title="t", prompt="", prompt_file=seat.job / "p", checkout=seat.checkout,
            job=seat.job, agent=AgentSettings(name="a", use="acp", command=command)))

    with pytest.raises(Mistake, match="has no command"):
        launch()
    with pytest.raises(Mistake, match=r"no program `\./gemini`"):
        launch("./gemini", "--acp")


def test_streamed_words_are_thinned_and_none_is_lost() -> None:
    feed, told = Feed(), []
    feed.take({"id": 3, "method": "session/prompt"}, incoming=False, at=0)
    for at in range(0, 5_000, 10):
        chunk = {"sessionUpdate": "agent_message_chunk", "content": {"type": "text", "text": "ab"}}
        told += feed.take({"method": "session/update", "params": {"update": chunk}}, incoming=True, at=at + 10_000)
    assert len(told) == 5 and 800 <= sum(own["characters"] for _, own in told) <= 1_000
    assert feed.take({"id": 3, "result": {"stopReason": "end_turn"}}, incoming=True, at=20_000)[0][1] == {"text": "ab" * 500}


WORDS = st.sampled_from((
    "method", "params", "update", "sessionUpdate", "toolCall", "toolCallId", "status", "rawInput", "content", "id", "result",
    "error", "stopReason", "usage", "andon", "ask", "settled", "kind", "locations", "path", "size", "used", "cost"))
JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(WORDS, inner, max_size=6), max_leaves=30)
KINDS = st.sampled_from(("session/update", "session/request_permission", "session/prompt", "", "x"))


@given(JSON, KINDS, st.sampled_from(("tool_call", "tool_call_update", "usage_update", "plan", "agent_message_chunk")))
def test_no_message_makes_the_reader_raise(told: object, method: str, kind: str) -> None:
    update = {"toolCallId": "c", "status": "completed", "rawInput": told, **(told if isinstance(told, dict) else {})}
    params = {"update": {**update, "sessionUpdate": kind}, "toolCall": update, "prompt": told}
    for data in (told, {"method": method, "params": params}):
        ADAPTER.read(s.Line(at=1, source="api", data=msgspec.Raw(json.dumps(data).encode())))
    ADAPTER.read(s.Line(at=1, source="api", data=msgspec.Raw(b"{\xff not json")))
