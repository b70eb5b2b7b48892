"""What the gateway writes down of a call is what the provider said, in every dialect; what it cannot read stays unknown."""

import asyncio
import gzip
import json
import os
import zlib
from collections.abc import AsyncIterator, Iterator
from itertools import count
from typing import Any

import aiohttp
import msgspec
import pytest

from andon.gateway import answered, asked
from andon.gateway.headers import retry_after
from andon.gateway.limits import RECORD_BYTES, TAIL_BYTES
from andon.gateway.scribe import Kept, Scribe
from andon.schema.jobs import GATEWAY
from andon.schema.signals import Call, Line
from gatewaykit import Asked, Running, ask, calls_of, provider, request, running_gateway
from model.server import Model, model
from support import wait_for

NUMBER = count()
SCHEMA = {"type": "object", "properties": {"command": {"type": "string"}}, "required": ["command"]}
GO = [{"role": "user", "content": "go"}]
BODIES: dict[str, tuple[str, dict[str, Any]]] = {
    "anthropic": ("/v1/messages?beta=true", {"model": "m-1", "messages": GO, "tools": [{"name": "Bash", "input_schema": SCHEMA}]}),
    "chat": ("/v1/chat/completions", {
        "model": "m-1", "messages": GO, "stream_options": {"include_usage": True},
        "tools": [{"type": "function", "function": {"name": "bash", "parameters": SCHEMA}}]}),
    "responses": ("/v1/responses", {
        "model": "m-1", "input": "go", "tools": [{"type": "function", "name": "shell", "parameters": SCHEMA}]}),
    "gemini": ("/v1beta/models/m-1:streamGenerateContent?alt=sse", {
        "contents": [{"role": "user", "parts": [{"text": "go"}]}],
        "tools": [{"functionDeclarations": [{"name": "run_shell_command", "parameters": SCHEMA}]}]}),
}
WORDS = {
    ("rate_limit", "anthropic"): "rate_limit_error", ("rate_limit", "chat"): "rate_limit_exceeded",
    ("rate_limit", "responses"): "rate_limit_exceeded", ("rate_limit", "gemini"): "RESOURCE_EXHAUSTED",
    ("auth", "anthropic"): "authentication_error", ("auth", "chat"): "invalid_api_key", ("auth", "responses"): "invalid_api_key",
    ("auth", "gemini"): "UNAUTHENTICATED", ("overloaded", "anthropic"): "overloaded_error", ("overloaded", "chat"): "overloaded",
    ("overloaded", "responses"): "overloaded", ("overloaded", "gemini"): "UNAVAILABLE", ("quota", "chat"): "insufficient_quota",
    ("quota", "responses"): "insufficient_quota",
}
STATUS = {"rate_limit": 429, "auth": 401, "overloaded": 529, "quota": 429}


@pytest.fixture(scope="module")
def gateway() -> Iterator[Running]:
    with running_gateway() as one:
        yield one


@pytest.fixture(scope="module")
def served() -> Iterator[Model]:
    with model(delay=0) as one:
        yield one


@pytest.fixture
async def client() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as one:
        yield one


async def call(gateway: Running, served: Model, client: aiohttp.ClientSession, attempt: str, api: str, **more: Any) -> bytes:
    path, body = BODIES[api]
    if more.get("stream") is False:
        path = path.replace(":streamGenerateContent?alt=sse", ":generateContent")
    async with client.post(gateway.base(attempt, served.base(attempt)) + path, json={**body, **more}) as answer:
        return await answer.read()


def new() -> str:
    return f"T{next(NUMBER)}.1"


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("api", BODIES)
async def test_tokens_are_read_from_every_dialect(
    gateway: Running, served: Model, client: aiohttp.ClientSession, api: str, stream: bool,
) -> None:
    attempt = new()
    served.steps(attempt, {"shell": "ls", "usage_in": 4321})
    await call(gateway, served, client, attempt, api, stream=stream)
    end = gateway.ended(attempt)[0]
    assert [one.phase for one in gateway.calls(attempt)] == ["sent", "first", "ended"]
    assert end.usage and end.usage.input == 4321 and end.usage.output > 0 and end.usage.model == "m-1"
    assert (end.status, end.error, end.usage.source) == (200, "", "gateway") and end.digest and end.bytes


@pytest.mark.parametrize(("scenario", "api"), WORDS)
async def test_refusals_are_seen_with_the_providers_own_word(
    gateway: Running, served: Model, client: aiohttp.ClientSession, scenario: str, api: str,
) -> None:
    attempt = new()
    served.script(attempt, scenario, n=1, retry_after=30)
    await call(gateway, served, client, attempt, api, stream=True)
    end = gateway.ended(attempt)[0]
    assert (end.status, end.error) == (STATUS[scenario], WORDS[scenario, api])
    assert end.retry_after == (None if scenario == "auth" else 30.0)


async def test_a_context_that_is_full_says_so(gateway: Running, served: Model, client: aiohttp.ClientSession) -> None:
    attempt = new()
    served.script(attempt, "context")
    await call(gateway, served, client, attempt, "anthropic")
    assert "prompt is too long" in gateway.ended(attempt)[0].error


@pytest.mark.parametrize("api", BODIES)
async def test_the_same_call_again_has_the_same_digest_and_another_one_has_not(
    gateway: Running, served: Model, client: aiohttp.ClientSession, api: str,
) -> None:
    attempt = new()
    served.script(attempt, "lie")
    await call(gateway, served, client, attempt, api)
    await call(gateway, served, client, attempt, api, temperature=0.5)
    other: dict[str, Any] = {"messages": [{"role": "user", "content": "else"}], "input": "else",
                             "contents": [{"role": "user", "parts": [{"text": "else"}]}]}
    await call(gateway, served, client, attempt, api, **other)
    one, two, three = (end.digest for end in gateway.ended(attempt, 3))
    assert one == two != three


def turns(command: str, number: int) -> list[dict[str, Any]]:
    """A conversation whose last tool call is this one, with names that differ each time."""
    return [
        *({"role": "user", "content": f"word {n}"} for n in range(number)),
        {"role": "assistant", "content": [
            {"type": "thinking", "thinking": f"hm {number}", "signature": "x"},
            {"type": "tool_use", "id": f"toolu_{number}", "name": "Bash", "input": {"command": command}}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": f"toolu_{number}", "content": "same"}]},
    ]


def test_a_repeated_tool_call_is_the_same_however_long_the_conversation_and_whatever_its_id() -> None:
    def digest(command: str, number: int) -> str:
        body = json.dumps({"model": "m", "messages": turns(command, number), "tools": [1]}).encode()
        return asked.read("anthropic", body, True, "/v1/messages").digest
    assert digest("ls", 1) == digest("ls", 9) != digest("pwd", 9)


def test_a_request_too_long_to_be_kept_is_read_from_its_end() -> None:
    def digest(command: str, padding: int) -> str:
        messages = [{"role": "user", "content": "{\"role\": \"x\"} " * padding}, *turns(command, padding % 7)]
        kept = Kept()
        kept.add(json.dumps({"model": "m", "messages": messages, "tools": [{"name": "Bash"}]}).encode())
        assert not kept.whole and len(kept.tail) == TAIL_BYTES
        return asked.read("anthropic", kept.tail, kept.whole, "/v1/messages").digest
    assert digest("ls", 100_001) == digest("ls", 150_003) != digest("pwd", 100_001)
    assert digest("ls", 100_001)


def test_a_long_body_is_kept_in_bounds_by_its_head_and_tail() -> None:
    kept = Kept(head=10, tail=20)
    for n in range(1000):
        kept.add(b"%03d" % n)
    assert (kept.size, kept.head, kept.tail, kept.whole) == (3000, b"0000010020", b"93994995996997998999", False)


@pytest.mark.parametrize("body", [
    {"max_tokens": 1, "messages": GO, "tools": [{"name": "Bash", "input_schema": SCHEMA}]},
    {"messages": GO, "system": [{"type": "text", "text": "Generate a concise, sentence-case title (3-7 words)"}]},
    {"messages": [{"role": "system", "content": "You are a title generator. You output ONLY a thread title."}, *GO]},
])
async def test_titles_and_probes_do_not_look_like_turns_but_their_tokens_count(
    gateway: Running, served: Model, client: aiohttp.ClientSession, body: dict[str, Any],
) -> None:
    attempt = new()
    async with client.post(gateway.base(attempt, served.base(attempt)) + "/v1/messages", json={"model": "m", **body}) as answer:
        await answer.read()
    end = gateway.ended(attempt)[0]
    assert [one.phase for one in gateway.calls(attempt)] == ["ended"]
    assert end.usage and end.digest == "" and end.note == "side request"


async def test_what_is_no_model_call_is_not_written_down(gateway: Running, served: Model, client: aiohttp.ClientSession) -> None:
    attempt = new()
    base = gateway.base(attempt, served.base(attempt))
    for path in ("/v1/messages/count_tokens", "/v1beta/models/m:countTokens", "/v1/logs"):
        async with client.post(base + path, json={}) as answer:
            assert answer.status == 200
    async with client.get(base + "/v1/models") as answer:
        assert answer.status == 200
    await call(gateway, served, client, attempt, "chat")
    assert len(gateway.ended(attempt)) == 1 and len({one.request for one in gateway.calls(attempt)}) == 1


async def test_a_work_request_without_tools_is_a_turn(gateway: Running, served: Model, client: aiohttp.ClientSession) -> None:
    attempt = new()
    words = [{"role": "system", "content": "Act as an expert software developer."}, {"role": "user", "content": "change the title"}]
    await call(gateway, served, client, attempt, "chat", messages=words, tools=None)
    assert gateway.ended(attempt)[0].digest and len(gateway.calls(attempt)) == 3


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
async def test_tokens_of_a_compressed_stream_are_read(gateway: Running, coding: str) -> None:
    said = b'data: {"type":"message_start","message":{"id":"msg_1","model":"big",'
    said += b'"usage":{"input_tokens":7,"cache_read_input_tokens":90}}}\n\n'
    said += b'data: {"type":"content_block_delta","delta":{"text":"x"}}\n\n' * 5000
    said += b'data: {"type":"message_delta","usage":{"output_tokens":55}}\n\n'
    packed = gzip.compress(said) if coding == "gzip" else zlib.compress(said)
    attempt = new()
    head = f"HTTP/1.1 200 OK\r\nContent-Encoding: {coding}\r\nContent-Length: {len(packed)}\r\n\r\n".encode()
    async with provider(head + packed) as upstream:
        base = gateway.route(attempt, upstream.url)
        await ask(gateway.port, request(base + "/v1/messages", b'{"messages": []}'))
    used = gateway.ended(attempt)[0].usage
    assert used and (used.key, used.model, used.input, used.output, used.cache_read) == ("msg_1", "big", 7, 55, 90)


async def test_a_fault_inside_a_stream_that_began_well_is_seen(gateway: Running) -> None:
    said = b'event: error\ndata: {"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}\n\n'
    attempt = new()
    async with provider(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(said), said)) as upstream:
        await ask(gateway.port, request(gateway.route(attempt, upstream.url) + "/v1/messages", b"{}"))
    assert (gateway.ended(attempt)[0].status, gateway.ended(attempt)[0].error) == (200, "overloaded_error")


async def test_a_stream_that_flows_is_told_of_now_and_then_and_one_that_hangs_is_open(gateway: Running) -> None:
    free = asyncio.Event()

    async def speech(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, asked: Asked) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        while len(gateway.calls(attempt)) < 3:
            writer.write(b"data: {}\n\n")
            await asyncio.sleep(0.02)
        await free.wait()

    attempt = new()
    async with provider(speech) as upstream, asyncio.TaskGroup() as group, asyncio.timeout(20):
        asking = group.create_task(ask(gateway.port, request(gateway.route(attempt, upstream.url) + "/v1/messages", b"{}")))
        await wait_for(lambda: len(gateway.calls(attempt)) == 3, what="a word about the flow")
        calls = gateway.calls(attempt)
        assert [one.phase for one in calls] == ["sent", "first", "flowing"]
        assert 1900 <= calls[2].at - calls[1].at < 4000 and calls[2].bytes > 100
        free.set()
        await asking
    assert gateway.ended(attempt)[0].bytes >= calls[2].bytes


@pytest.mark.parametrize(
    "body", [b"", b"{", b"\xff\xfe", b"[1, 2]", b'{"messages": 7}', b'{"messages": [7, null]}', b'"x"', b"{}" * 9])
def test_nothing_that_is_sent_can_make_the_reading_fail(body: bytes) -> None:
    for api in BODIES:
        assert isinstance(asked.read(api, body, True, "/v1/messages"), asked.Asked)
        assert isinstance(asked.read(api, body, False, "/v1/messages"), asked.Asked)
        said = answered.read(500, body, body, key="k", at=1, model="")
        assert said.usage is None


@pytest.mark.parametrize(("headers", "seconds"), [
    ({"Retry-After": "7"}, 7.0), ({"retry-after-ms": "1500", "retry-after": "9"}, 1.5), ({}, None), ({"retry-after": "soon"}, None),
    ({"retry-after": "Fri, 20 Nov 2026 10:00:30 GMT"}, 30.0),
    ({"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "6m0s", "x-ratelimit-reset-tokens": "1h"}, 360.0),
    ({"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "120ms"}, 0.12),
    ({"anthropic-ratelimit-requests-remaining": "0", "anthropic-ratelimit-requests-reset": "2026-11-20T10:01:00Z"}, 60.0),
    ({"anthropic-ratelimit-unified-status": "rejected", "anthropic-ratelimit-unified-reset": "1795168890"}, 90.0),
    ({"anthropic-ratelimit-requests-remaining": "5", "anthropic-ratelimit-requests-reset": "2026-11-20T10:01:00Z"}, None),
])
def test_when_to_ask_again_is_read_from_the_headers_that_providers_send(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after(headers, now=1795168800.0) == pytest.approx(seconds)


def test_the_record_is_set_aside_when_it_is_full(gateway: Running) -> None:
    folder = gateway.place.job("T900.1")
    folder.mkdir(parents=True)
    (folder / GATEWAY).write_bytes(b" " * RECORD_BYTES)
    scribe = Scribe(gateway.place.jobs)
    for n in range(3):
        line = Call(at=n, source="gateway", request=str(n), phase="sent")
        scribe.take(lambda line=line: scribe.write("T900.1", line))  # type: ignore[misc]
    scribe.close()
    assert [one.request for one in calls_of(gateway.place, "T900.1")] == ["1", "2"]
    last = (folder / f"{GATEWAY}.1").read_bytes().strip()
    assert msgspec.json.decode(msgspec.json.decode(last, type=Line).data, type=Call).request == "0"


async def test_what_an_agent_puts_in_the_place_of_the_record_or_the_route_stops_nobody(gateway: Running) -> None:
    attempt, other = new(), new()
    async with provider(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok") as upstream, asyncio.timeout(20):
        path = gateway.route(attempt, upstream.url)
        os.mkfifo(gateway.place.job(attempt) / GATEWAY)
        assert (await ask(gateway.port, request(f"{path}/v1/messages", b"{}"))).body == b"ok"
        (gateway.place.job(attempt) / "route.json").unlink()
        os.mkfifo(gateway.place.job(attempt) / "route.json")
        assert (await ask(gateway.port, request(f"{path}/v1/messages", b"{}"))).status == 404
        await ask(gateway.port, request(gateway.route(other, upstream.url) + "/v1/messages", b"{}"))
    assert gateway.ended(other)[0].status == 200


def test_an_attempt_without_a_job_directory_gets_none(gateway: Running) -> None:
    scribe = Scribe(gateway.place.jobs)
    scribe.take(lambda: scribe.write("T901.1", Call(at=1, source="gateway", request="x", phase="sent")))
    scribe.take(lambda: json.loads("{"))
    scribe.close()
    assert not gateway.place.job("T901.1").exists() and scribe.dropped == 1
