"""One contract for every adapter, ours and anybody's: the kit that `andon agents check` runs, and proof that the kit can fail."""

from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings, strategies as st

from andon.schema.agent import Assignment, Channel, Installed, Launch, Login, Profile, Seed, SessionFacts, Supervised
from andon.schema.settings import AgentSettings
from andon.schema.signals import AnySignal, Ended, Line, Signal
from andon_agents.conformance import check, samples
from andon_agents.find import adapters

NAMES = sorted(adapters())
SUPERVISED = [name for name in NAMES if isinstance(adapters()[name], Supervised)]
RECORDED = ("claude", "copilot", "gemini", "qwen")
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=12), inner, max_size=4), max_leaves=12)
KEYS = st.sampled_from([
    "hook_event_name", "type", "tool_name", "tool_input", "session_id", "message", "content", "usage", "prompt", "questions",
    "andon_ask", "error", "reason", "last_assistant_message", "background_tasks", "isApiErrorMessage", "subtype", "details"])
EVENTS = st.sampled_from([
    "SessionStart", "UserPromptSubmit", "PreToolUse", "PostToolUse", "PermissionRequest", "Notification", "Stop", "StopFailure",
    "PreCompact", "SessionEnd", "BeforeTool", "AfterAgent", "permissionRequest", "errorOccurred", "assistant", "user", "system",
    "result"])


@pytest.mark.parametrize("name", NAMES)
def test_every_adapter_holds_the_contract(name: str) -> None:
    failed = [f"{part.name}: {part.because}" for part in check(adapters()[name]) if part.result == "fail"]
    assert not failed


@pytest.mark.parametrize("name", RECORDED)
def test_recorded_lines_of_the_real_program_come_with_its_adapter_and_are_understood(name: str) -> None:
    results = {part.name: part.result for part in check(adapters()[name])}
    assert results["read its own"] == "pass"
    adapter = adapters()[name]
    assert isinstance(adapter, Supervised)
    tags = {type(one).__struct_config__.tag for line in samples(name) for one in adapter.read(line)}
    assert {"began", "turn-began", "tool-began", "tool-ended", "permission-wanted", "turn-ended"} <= tags


@pytest.mark.parametrize("name", SUPERVISED)
@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_reading_never_raises_whatever_a_line_holds(name: str, data: st.DataObject) -> None:
    adapter = adapters()[name]
    assert isinstance(adapter, Supervised)
    event = data.draw(EVENTS)
    told = {**data.draw(st.dictionaries(KEYS, VALUES, max_size=6)), "hook_event_name": event, "type": event}
    raw = msgspec.json.encode(told) if data.draw(st.booleans()) else data.draw(st.binary(max_size=60))
    for source in ("hook", "api", "stdout", "transcript", "gateway"):
        signals = adapter.read(Line(at=5, source=source, data=msgspec.Raw(raw)))
        assert all(isinstance(one, Signal) for one in signals)
        msgspec.json.encode(signals)


# --- the kit is able to fail ---------------------------------------------------------------------------------------------


class Bad:
    """An adapter that breaks every rule it can."""

    name = "bad"

    def detect(self) -> tuple[Installed, ...]:
        return (Installed(adapter="other", binary="nowhere"),)

    def launch(self, assignment: Assignment) -> Launch:
        (assignment.home / "left").write_text("a trace")
        return Launch(argv=("/bin/true", assignment.prompt.split()[0] if "\n" in assignment.prompt else assignment.prompt),
                      seeds=(Seed(path="../outside", text="x", mode=0o644),))

    def profile(self) -> Profile:
        return Profile(sees=("telepathy",), install="x")

    def login(self, agent: AgentSettings, environ: dict[str, str]) -> Login:
        return Login(state="missing", because="so")

    def read(self, line: Line) -> tuple[AnySignal, ...]:
        told = msgspec.json.decode(line.data)
        return (Ended(at=line.at, source=line.source, because=told["reason"]),)

    def channel(self, session: SessionFacts) -> Channel | None:
        return None


@pytest.mark.parametrize("part", ["detect", "prompt", "seeds", "no traces", "profile", "read anything"])
def test_the_kit_sees_what_is_wrong(part: str) -> None:
    results = {one.name: one.result for one in check(Bad())}
    assert results[part] == "fail"


def test_what_cannot_be_tried_is_unevaluated_and_no_pass(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    results = {one.name: one.result for one in check(adapters()["claude"])}
    assert results["a real job"] == "unevaluated"
