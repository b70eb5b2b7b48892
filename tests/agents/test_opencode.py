"""opencode: what its events mean, what of them is kept, and how it is started. Events as the real program said them."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiohttp import web
from hypothesis import given, strategies as st

from agentkit import Stage
from andon.schema import signals as s
from andon.schema.agent import SessionFacts
from andon.schema.ids import AttemptId
from andon.schema.settings import AgentSettings, Price
from andon_agents.opencode import ADAPTER
from andon_agents.opencode_feed import Feed, Splitter, stale
from andon_agents.opencode_read import EVENTS
from andon_agents.opencode_seat import SEAT, Seat

SES = "ses_1"
STATUS = {"type": "session.status", "properties": {"sessionID": SES, "status": {"type": "busy"}}}
IDLE = {"type": "session.idle", "properties": {"sessionID": SES}}
ABORTED = {"type": "session.error", "properties": {
    "sessionID": SES, "error": {"name": "MessageAbortedError", "data": {"message": "Aborted"}}}}
ASKED = {"type": "permission.asked", "properties": {
    "id": "per_1", "sessionID": SES, "permission": "bash", "patterns": ["git add -A"],
    "metadata": {"command": "git add -A && git x"}, "always": ["git add *"], "tool": {"messageID": "msg_1", "callID": "call_1"}}}
WORDS = {"type": "message.part.updated", "properties": {"sessionID": SES, "part": {
    "id": "prt_1", "messageID": "msg_1", "sessionID": SES, "type": "text", "text": "All done.", "time": {"start": 1, "end": 2}}}}


def line(event: object) -> s.Line:
    return s.Line(at=1_000, source="api", data=msgspec.Raw(json.dumps(event).encode()))


def one(event: object) -> s.AnySignal:
    """The only signal of an event."""
    found = ADAPTER.read(line(event))
    assert len(found) == 1, found
    return found[0]


def kept(feed: Feed, *events: object, at: int = 0) -> list[str]:
    """The kinds of events that are kept, in order."""
    return [json.loads(raw)["type"] for event in events for raw in feed.take(json.dumps(event).encode(), at)]


def error(code: int = 0, message: str = "", name: str = "APIError") -> dict[str, object]:
    data: dict[str, object] = {"message": message, "isRetryable": False, "responseHeaders": {"retry-after": "7"}}
    data |= {"statusCode": code} if code else {}
    return {"type": "session.error", "properties": {"sessionID": SES, "error": {"name": name, "data": data}}}


@pytest.mark.parametrize(("event", "trouble"), [
    (error(401, "invalid x-api-key"), "auth"), (error(429, "slow down"), "rate-limit"), (error(429, "insufficient_quota"), "quota"),
    (error(529, "Overloaded"), "overloaded"), (error(500, "x"), "server"), (error(400, "maximum context length is"), "context"),
    (error(name="ContextOverflowError"), "context"), (ABORTED, "interrupted"), (error(message="Unable to connect"), "network"),
    (error(message="odd"), "unknown"),
])
def test_a_failed_turn_names_its_kind(event: object, trouble: str) -> None:
    failed = one(event)
    assert isinstance(failed, s.TurnFailed) and failed.trouble == trouble
    assert failed.until in (0, 8_000)


def test_a_permission_names_the_command_or_the_paths() -> None:
    ask = one(ASKED)
    assert isinstance(ask, s.PermissionWanted)
    assert (ask.ask, ask.deed, ask.target, ask.paths) == ("per_1", "shell", "git add -A && git x", ())
    outside = one({"type": "permission.asked", "properties": {"id": "per_2", "sessionID": SES, "permission": "external_directory",
                                                              "patterns": ["/etc/*"], "metadata": {"filepath": "/etc/passwd"}}})
    assert isinstance(outside, s.PermissionWanted) and outside.paths == ("/etc/passwd", "/etc")
    tool = one({"type": "permission.asked", "properties": {"id": "per_3", "permission": "tracker_close", "patterns": ["*"]}})
    assert isinstance(tool, s.PermissionWanted) and (tool.deed, tool.target) == ("mcp", "tracker_close")


def test_a_price_of_nothing_is_no_price() -> None:
    tokens = {"input": 9, "output": 1, "cache": {"read": 2, "write": 3}}
    part = {"type": "step-finish", "messageID": "msg_1", "cost": 0, "tokens": tokens}
    used = one({"type": "message.part.updated", "properties": {"part": part}})
    assert isinstance(used, s.Usage) and (used.usd, used.input, used.cache_read, used.cache_write) == (None, 9, 2, 3)
    paid = one({"type": "message.part.updated", "properties": {"part": {**part, "cost": 0.5}}})
    assert isinstance(paid, s.Usage) and paid.usd == 0.5


def test_lines_of_the_headless_program_are_read_too() -> None:
    part = {"type": "step-finish", "reason": "stop", "messageID": "m", "tokens": {"input": 3, "output": 1}, "cost": 0}
    state = {"status": "completed", "input": {"command": "false"}, "output": "", "metadata": {"exit": 1}}
    tool = {"type": "tool", "callID": "c", "tool": "bash", "state": state}
    kinds = [type(signal) for event in (
        {"type": "step_start", "sessionID": SES}, {"type": "tool_use", "part": tool},
        {"type": "step_finish", "sessionID": SES, "part": part},
    ) for signal in ADAPTER.read(line(event))]
    assert kinds == [s.Began, s.Spoke, s.ToolBegan, s.ToolEnded, s.Usage, s.TurnEnded]
    ended = ADAPTER.read(line({"type": "tool_use", "part": tool}))[1]
    assert isinstance(ended, s.ToolEnded) and not ended.ok


def test_a_turns_end_carries_its_last_words_and_comes_once() -> None:
    feed = Feed()
    assert kept(feed, STATUS, STATUS, WORDS) == ["session.status", "message.part.updated"]
    raw = feed.take(json.dumps(IDLE).encode(), 0)
    ended = one(json.loads(raw[0]))
    assert isinstance(ended, s.TurnEnded) and ended.text == "All done." and len(raw) == 1
    assert kept(feed, IDLE) == []


def test_after_a_failure_no_end_is_told_and_open_asks_are_void() -> None:
    feed = Feed()
    told = kept(feed, STATUS, ASKED, ABORTED, IDLE, IDLE)
    assert told == ["session.status", "permission.asked", "session.error", "andon.ask.gone"]
    assert kept(feed, STATUS, IDLE) == ["session.status", "session.idle"], "the next turn ends as always"


def test_a_failure_that_the_agent_goes_on_from_is_followed_by_an_end() -> None:
    feed = Feed()
    assert kept(feed, STATUS, error(name="ContextOverflowError"), STATUS, IDLE)[-1] == "session.idle"


def test_a_helpers_turn_is_not_the_sessions() -> None:
    feed = Feed()
    born = {"type": "session.created", "properties": {"sessionID": "ses_2", "info": {"id": "ses_2", "parentID": SES}}}
    prompt = {"type": "text", "text": "look", "messageID": "m"}
    asked = {"type": "message.part.updated", "properties": {"sessionID": "ses_2", "part": prompt}}
    over = {**IDLE, "properties": {"sessionID": "ses_2"}}
    told = [signal for event in (born, asked, over) for raw in feed.take(json.dumps(event).encode(), 0)
            for signal in ADAPTER.read(line(json.loads(raw)))]
    assert [(type(signal), getattr(signal, "ended", None)) for signal in told] == [(s.Helper, False), (s.Helper, True)]


def test_asks_of_turns_that_were_aborted_are_ghosts() -> None:
    ask = ASKED["properties"]
    assert isinstance(ask, dict)
    assert stale(ask, {}, set()), "its session stands"
    assert stale(ask, {"msg_1": {"info": {"time": {"completed": 5}}}}, {SES}), "its message is complete"
    assert not stale(ask, {"msg_1": {"info": {"time": {}}}}, {SES})


def test_the_stream_is_cut_at_events_wherever_the_chunks_are_cut() -> None:
    stream = b"".join(b'data: {"n": %d}\n\n' % number for number in range(50)) + b": comment\n\ndata: half"
    for size in (1, 7, 1000):
        splitter = Splitter()
        found = [event for at in range(0, len(stream), size) for event in splitter.take(stream[at:at + size])]
        assert found == [b'{"n": %d}' % number for number in range(50)]


def test_large_events_are_kept_short() -> None:
    big = {"type": "message.part.updated", "properties": {"sessionID": SES, "part": {
        "type": "tool", "tool": "read", "callID": "c", "state": {"status": "completed", "output": "x" * 2_000_000, "input": {}}}}}
    raw = Feed().take(json.dumps(big).encode(), 0)
    assert len(raw[0]) < 5_000 and isinstance(one(json.loads(raw[0])), s.ToolEnded)


KEYS = st.sampled_from((
    "id", "sessionID", "part", "type", "state", "status", "info", "tokens", "error", "data", "permission", "metadata", "questions",
    "options", "time", "patterns", "cache", "input"))
JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=5), max_leaves=25)


@given(st.sampled_from(sorted(EVENTS)), JSON)
def test_no_event_makes_reader_or_feed_raise(kind: str, told: object) -> None:
    for event in ({"type": kind, "properties": told, "part": told, "error": told, "andon": told}, told):
        raw = json.dumps(event).encode()
        ADAPTER.read(s.Line(at=1, source="api", data=msgspec.Raw(raw)))
        Feed().take(raw, 1)


# --- the start -------------------------------------------------------------------------------------------------------


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stage:
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "opencode").write_text("#!/bin/sh\n")
    (folder / "opencode").chmod(0o755)
    monkeypatch.setenv("PATH", str(folder), prepend=":")
    return Stage(tmp_path)


def launched(
    stage: Stage, *, resume: str = "", gateway: str = "", **more: object,
) -> tuple[dict[str, Any], dict[str, str], Seat, tuple[str, ...]]:
    agent = msgspec.convert({"name": "a", "use": "opencode", **more}, AgentSettings)
    plain = stage.assignment(agent=agent, prompt="-x")
    home = stage.folder / "private"
    assignment = msgspec.structs.replace(plain, resume=resume, gateway=gateway, mcp=("py", "-m", "v"), home=home)
    launch = ADAPTER.launch(assignment)
    seat = msgspec.json.decode(next(seed.text for seed in launch.seeds if seed.path == SEAT), type=Seat)
    return json.loads(launch.env["OPENCODE_CONFIG_CONTENT"]), launch.env, seat, launch.argv


def test_it_starts_in_its_checkout_with_private_folders_and_asks_before_each_deed(stage: Stage) -> None:
    told, env, seat, argv = launched(stage)
    assert env["PWD"] == str(stage.checkout) and env["XDG_DATA_HOME"] == str(stage.folder / "private" / "data")
    assert argv[1:5] == ("--pure", "--port", str(seat.port), "--prompt=-x") and env["OPENCODE_SERVER_PASSWORD"] == seat.password
    allowed = told["permission"]
    assert isinstance(allowed, dict) and next(iter(allowed)) == "*"
    assert {allowed[name] for name in ("*", "edit", "bash", "external_directory", "webfetch")} == {"ask"}
    assert allowed["andon_*"] == "allow"
    assert launched(stage)[2].password != seat.password


def test_told_to_ask_nothing_it_still_stays_in_its_checkout(stage: Stage) -> None:
    assert launched(stage, approve="all")[0]["permission"] == {"*": "allow", "external_directory": "deny"}


def test_a_conversation_to_go_on_with_gets_its_prompt_over_the_server(stage: Stage) -> None:
    _, _, seat, argv = launched(stage, resume="ses_9")
    assert "--session=ses_9" in argv and not any("--prompt" in word for word in argv)
    assert (seat.prompt, seat.conversation) == ("-x", "ses_9")


def test_the_gateway_stands_only_before_the_provider_it_leads_to(stage: Stage) -> None:
    def base(**more: Any) -> object:
        providers = launched(stage, gateway="http://127.0.0.1:9/t", **more)[0].get("provider", {})
        assert isinstance(providers, dict)
        return next((one["options"]["baseURL"] for one in providers.values()), "")

    assert base(model="anthropic/claude") == "http://127.0.0.1:9/t/v1"
    assert base(model="openai/gpt") == ""
    assert base(model="openai/gpt", upstream="https://api.openai.com") == "http://127.0.0.1:9/t/v1"
    assert base(model="own/m", upstream="http://host/v1") == "http://127.0.0.1:9/t"


def test_prices_of_the_settings_reach_a_provider_of_ones_own(stage: Stage) -> None:
    told = launched(stage, model="own/m-1", upstream="http://h", prices={"m": msgspec.to_builtins(Price(input=3, output=15))})[0]
    assert told["provider"]["own"]["models"]["m-1"]["cost"]["output"] == 15


def test_the_persons_own_inline_configuration_stays_below_ours(stage: Stage) -> None:
    theirs = json.dumps({"permission": {"bash": "allow"}, "provider": {"x": {"name": "X"}}, "autoupdate": True})
    told = launched(stage, env={"OPENCODE_CONFIG_CONTENT": theirs})[0]
    assert told["provider"] == {"x": {"name": "X"}} and told["autoupdate"] is False
    assert told["permission"]["bash"] == "ask"


def test_a_login_is_looked_for_where_it_would_be(tmp_path: Path) -> None:
    agent = AgentSettings(name="a", use="opencode", model="anthropic/x")
    assert ADAPTER.login(agent, {"ANTHROPIC_API_KEY": "k"}).state == "ready"
    missing = ADAPTER.login(agent, {"HOME": str(tmp_path)})
    assert missing.state == "missing" and "ANTHROPIC_API_KEY" in missing.mend
    (tmp_path / ".local/share/opencode").mkdir(parents=True)
    (tmp_path / ".local/share/opencode/auth.json").write_text("{}")
    lent = msgspec.structs.replace(agent, login="copy")
    assert ADAPTER.login(lent, {"HOME": str(tmp_path)}).state == "ready"


async def test_another_program_at_the_port_is_said_once_and_no_method_raises(tmp_path: Path) -> None:
    async def refuse(request: web.Request) -> web.Response:
        return web.Response(status=401)

    app = web.Application()
    app.router.add_route("*", "/{rest:.*}", refuse)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    (tmp_path / SEAT).write_bytes(msgspec.json.encode(Seat(port=port, password="p")))
    channel = ADAPTER.channel(SessionFacts(attempt=AttemptId("T1.1"), job=tmp_path, home=tmp_path, checkout=tmp_path,
                                           agent=AgentSettings(name="a", use="opencode")))
    assert channel is not None
    first = await anext(aiter(channel.lines()))
    failed = ADAPTER.read(first)[0]
    assert isinstance(failed, s.TurnFailed) and "another program" in failed.text
    assert [await channel.answer("per_1", allow=True), await channel.answer("que_1", allow=True, text="x"), await channel.send("x"),
            await channel.interrupt(), await channel.answer("../../x", allow=True)] == [False] * 5
    await channel.close()
    await runner.cleanup()
