"""Agents' own servers behind the door of a session's walls: the door alone is dialled, whatever the session's home says."""

import asyncio
import contextlib
import json
import os
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
from aiohttp import WSMsgType, web

from andon.schema import signals as s
from andon.schema.agent import Assignment, Channel, Launch, SessionFacts, Supervised
from andon.schema.ids import AttemptId, TaskId
from andon.schema.jobs import DOOR
from andon.schema.sandbox import Level
from andon.schema.settings import AgentSettings
from andon_agents import codex, codex_home, opencode, opencode_http
from andon_agents.loopback import read_note
from andon_agents.opencode_seat import SEAT, Seat
from support import wait_for

THREAD = "01a1f87c-53ef-7ad2-a000-b0799eb852fc"


@pytest.fixture
def job(tmp_path: Path) -> Path:
    """A job directory whose path is longer than a socket's may be."""
    job = tmp_path / ("deep-" * 20) / "job"
    job.mkdir(parents=True)
    return job


def facts(job: Path, name: str) -> SessionFacts:
    return SessionFacts(attempt=AttemptId("T1.1"), job=job, home=job, checkout=Path("/w"), agent=AgentSettings(name=name, use=name),
                        door=job / DOOR)


def walled(adapter: Supervised, job: Path, *, walls: Level = "strict", nests: bool = True) -> Launch:
    """How it is started within walls."""
    for name in ("codex", "opencode"):
        (job / name).write_text("#!/bin/sh\n")
        (job / name).chmod(0o755)
    env = {"PATH": str(job), "OPENAI_API_KEY": "k"}
    return adapter.launch(Assignment(
        attempt=AttemptId("T1.1"), task=TaskId("T1"), title="t", prompt="p", prompt_file=job / "p", checkout=job, job=job, home=job,
        agent=AgentSettings(name="a", use=adapter.name, model="scripted/x", env=env), person=env, walls=walls, nests=nests,
    ))


@contextlib.asynccontextmanager
async def served(app: web.Application, path: Path) -> AsyncIterator[None]:
    """An application at a unix socket with a long path."""
    runner, listener = web.AppRunner(app, shutdown_timeout=0.1), socket.socket(socket.AF_UNIX)
    folder = os.open(path.parent, os.O_RDONLY)
    listener.bind(f"/proc/self/fd/{folder}/{path.name}")
    os.close(folder)
    await runner.setup()
    await web.SockSite(runner, listener).start()
    try:
        yield
    finally:
        await runner.cleanup()


def app_server(said: list[tuple[str, str]], ask: dict[str, object] | None = None) -> web.Application:
    """A stand-in for Codex's server with one conversation, and a request for permission when one is joined."""
    thread = {"id": THREAD, "threadSource": "user", "path": "/h/r.jsonl", "status": {}}
    results = {"thread/loaded/list": {"data": [THREAD]}, "thread/read": {"thread": thread}, "thread/resume": {"thread": thread},
               "thread/turns/list": {"data": []}}

    async def serve(request: web.Request) -> web.WebSocketResponse:
        said.append((request.headers.get("Authorization", ""), request.host))
        websocket = web.WebSocketResponse()
        await websocket.prepare(request)
        async for message in websocket:
            told = json.loads(message.data) if message.type is WSMsgType.TEXT else {}
            if "method" in told and "id" in told:
                await websocket.send_json({"id": told["id"], "result": results.get(told["method"], {})})
            if told.get("method") == "thread/resume" and ask:
                await websocket.send_json(ask)
            if "result" in told:
                await websocket.send_json({"method": "serverRequest/resolved", "params": {"threadId": THREAD, "requestId": 0}})
        return websocket

    app = web.Application()
    app.router.add_get("/", serve)
    return app


async def first(lines: AsyncIterator[s.Line]) -> s.Line:
    async with asyncio.timeout(10):
        return await anext(lines)


# --- how they are started ------------------------------------------------------------------------------------------------


def test_within_walls_codex_listens_on_a_port_with_a_token_and_its_screen_knows_it(job: Path) -> None:
    launch = walled(codex.ADAPTER, job)
    told = json.loads(next(seed.text for seed in launch.seeds if seed.path == codex_home.RUN))
    address = f"ws://127.0.0.1:{launch.port}"
    assert launch.port == told["port"] > 0 and address in told["server"] and address in told["screen"]
    assert told["token"] and told["token"] not in " ".join((*told["server"], *told["screen"], *launch.argv, *launch.env.values()))
    assert "--ws-token-sha256" in told["server"] and "--remote-auth-token-env" in told["screen"]
    assert walled(codex.ADAPTER, job, walls="none").port == 0


@pytest.mark.parametrize(("nests", "sandbox"), [(True, "workspace-write"), (False, "danger-full-access")])
def test_codex_has_its_own_sandbox_wherever_it_can_make_one(job: Path, nests: bool, sandbox: str) -> None:
    launch = walled(codex.ADAPTER, job, nests=nests)
    (config,) = [seed.text for seed in launch.seeds if seed.path.endswith("config.toml")]
    (run,) = [json.loads(seed.text) for seed in launch.seeds if seed.path == codex_home.RUN]
    assert f'sandbox_mode = "{sandbox}"' in config and f'sandbox_mode="{sandbox}"' in run["server"]
    assert any("walls stand for it" in note for note in launch.notes) == (not nests)


def test_opencode_names_its_port(job: Path) -> None:
    launch = walled(opencode.ADAPTER, job)
    assert str(launch.port) == launch.argv[launch.argv.index("--port") + 1]


# --- what is dialled -----------------------------------------------------------------------------------------------------


async def test_codex_is_spoken_to_through_the_door_with_its_token(job: Path) -> None:
    said: list[tuple[str, str]] = []
    (job / codex_home.RUN).write_text(json.dumps({"token": "tok"}))
    channel = codex.ADAPTER.channel(facts(job, "codex"))
    lines = aiter(channel.lines())
    async with served(app_server(said), job / DOOR):
        assert isinstance(codex.ADAPTER.read(await first(lines))[0], s.Began)
        assert await channel.send("x")
        await channel.close()
    assert said == [("Bearer tok", "127.0.0.1")]


@pytest.mark.parametrize("written", ['{"token": "a\\r\\nHost: evil"}', '{"token": 7}', "[]", "{", '{"token": "\\u0130"}'])
def test_what_stands_in_a_home_instead_of_a_token_is_no_token(job: Path, written: str) -> None:
    (job / codex_home.RUN).write_text(written)
    assert codex_home.token_of(job) == ""


async def test_a_port_that_a_walled_opencode_names_is_never_dialled_on_the_host(job: Path) -> None:
    heard: list[bool] = []

    def hear(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(True)
        writer.close()

    host = await asyncio.start_server(hear, "127.0.0.1", 0)
    port = host.sockets[0].getsockname()[1]
    (job / SEAT).write_bytes(msgspec.json.encode(Seat(port=port, password="p")))

    async def away(request: web.Request) -> web.Response:
        raise web.HTTPTemporaryRedirect(f"http://127.0.0.1:{port}{request.path}")

    app = web.Application()
    app.router.add_route("*", "/{rest:.*}", away)
    channel = opencode.ADAPTER.channel(facts(job, "opencode"))
    assert channel is not None
    assert not await channel.answer("per_1", allow=True), "nobody opened the door yet"
    async with served(app, job / DOOR):
        told = opencode.ADAPTER.read(await first(aiter(channel.lines())))
        assert isinstance(told[0], s.TurnFailed), "it does not follow"
        assert not await channel.answer("per_1", allow=True) and not await channel.send("x") and not await channel.interrupt()
    await channel.close()
    host.close()
    await host.wait_closed()
    assert heard == []


async def test_an_answer_without_end_is_none(job: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opencode_http, "_ANSWER_BYTES", 1 << 20)
    sent = 0

    async def flood(request: web.Request) -> web.StreamResponse:
        nonlocal sent
        answer = web.StreamResponse()
        await answer.prepare(request)
        with contextlib.suppress(ConnectionError):
            while sent < 1 << 28:
                await answer.write(b"x" * (1 << 16))
                sent += 1 << 16
        return answer

    app = web.Application()
    app.router.add_route("*", "/{rest:.*}", flood)
    (job / SEAT).write_bytes(msgspec.json.encode(Seat(port=9, password="p")))
    channel = opencode.ADAPTER.channel(facts(job, "opencode"))
    assert channel is not None
    async with served(app, job / DOOR):
        assert not await channel.answer("per_1", allow=True)
        await wait_for(lambda: sent < 1 << 26, what="the other end to stop")
    await channel.close()


def test_a_note_in_a_home_may_be_anything_and_hangs_nobody(job: Path) -> None:
    os.mkfifo(job / SEAT)
    assert read_note(job / SEAT) == b"" and Seat.read(job) is None
    (job / SEAT).unlink()
    (job / SEAT).symlink_to("/dev/zero")
    assert read_note(job / SEAT) == b"" and Seat.read(job) is None
    (job / SEAT).unlink()
    (job / SEAT).mkdir()
    assert read_note(job / SEAT) == b"" and read_note(job / "nothing") == b""


# --- an answer that is early ---------------------------------------------------------------------------------------------


async def test_an_answer_that_comes_before_codex_is_reached_waits_for_it(job: Path) -> None:
    ask = {"method": "item/commandExecution/requestApproval", "id": 0, "params": {"threadId": THREAD, "itemId": "c"}}
    app = app_server([], ask)

    async def listen(channel: Channel, into: list[s.AnySignal]) -> None:
        async for line in channel.lines():
            into += codex.ADAPTER.read(line)

    heard: list[s.AnySignal] = []
    async with served(app, job / DOOR), asyncio.timeout(20), asyncio.TaskGroup() as group:
        before = codex.ADAPTER.channel(facts(job, "codex"))
        task = group.create_task(listen(before, heard))
        await wait_for(lambda: any(isinstance(one, s.PermissionWanted) for one in heard))
        name = next(one.ask for one in heard if isinstance(one, s.PermissionWanted))
        await before.close()
        await task
        again = codex.ADAPTER.channel(facts(job, "codex"))
        early = group.create_task(again.answer(name, allow=True))
        group.create_task(listen(again, []))
        assert await early
        await again.close()
