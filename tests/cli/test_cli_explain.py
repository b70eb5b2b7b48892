"""`andon explain`: a session's state with all that it rests on, a recorded stream, the rules' own examples."""

import gzip
import json
from pathlib import Path

import msgspec

from andon.cli.explain import told
from andon.schema.ids import AttemptId, RepoId, TaskId
from andon.schema.signals import Line, Recording, ToolBegan, ToolEnded, TurnBegan, TurnEnded
from andon.schema.views import SessionView
from clikit import Caps, andon


def recorded() -> bytes:
    """A turn with one tool and its end."""
    signals = (
        TurnBegan(at=1_000, source="hook", prompt="x"), ToolBegan(at=2_000, source="hook", call="c", name="Bash", target="make"),
        ToolEnded(at=9_000, source="hook", call="c"), TurnEnded(at=12_000, source="hook"),
    )
    rows = [msgspec.json.encode(Recording(agent="command", scenario="small"))]
    lines = [Line(at=one.at, source="hook", data=msgspec.Raw(msgspec.json.encode(one))) for one in signals]
    rows += [msgspec.json.encode(line) for line in lines]
    return b"\n".join(rows)


def test_a_session_is_told_with_cause_rule_evidence_and_what_was_done() -> None:
    view = SessionView(
        attempt=AttemptId("T3.1"), task=TaskId("T3"), repo=RepoId("r"), agent="claude", session="s", health="hung",
        because="a model call gave nothing for 95 s", source="gateway", since=1, cause="hung-stream", rule="model-silent",
        evidence=("gateway: 1 call(s) open", "hook: Stop"), conflict="the pane looks idle", ladder=("interrupt",),
        metered="reported", input_tokens=12, usd=0.5,
    )
    text = "\n".join(told(view))
    for word in ("T3.1 (claude) is hung, cause: hung-stream", "gave nothing for 95 s", "model-silent", "gateway: 1 call(s) open",
                 "hook: Stop", "the pane looks idle", "interrupt", "12 tokens in", "certain"):
        assert word in text, word


def test_a_recorded_stream_is_judged_line_by_line_and_packed_ones_too(tmp_path: Path, capsys: Caps) -> None:
    file = tmp_path / "stream.jsonl.gz"
    file.write_bytes(gzip.compress(recorded()))
    ran = andon(capsys, "explain", "--replay", str(file))
    assert ran.code == 0
    assert [row.split()[2] for row in ran.out.splitlines()[1:]][:4] == ["thinking", "working", "thinking", "idle-at-prompt"]
    judged = json.loads(andon(capsys, "explain", "--replay", str(file), "--json", "--all").out)
    assert (judged[-1][0], judged[-1][1]["rule"]) == (12_000, "turn-over")


def test_a_file_that_is_no_stream_is_said_with_its_line(tmp_path: Path, capsys: Caps) -> None:
    file = tmp_path / "bad.jsonl"
    file.write_text("hello\n")
    ran = andon(capsys, "explain", "--replay", str(file))
    assert ran.code != 0
    assert "line 1" in ran.err
    assert andon(capsys, "explain", "--replay", str(tmp_path / "none")).code != 0
    assert andon(capsys, "explain").code != 0


def test_the_rules_are_tried_ours_and_the_persons(tmp_path: Path, capsys: Caps, own_home: Path) -> None:
    assert andon(capsys, "explain", "--test-rules").code == 0
    config = own_home / "config"
    config.mkdir(parents=True, exist_ok=True)
    config.joinpath("rules.toml").write_text(
        '[[screens]]\nname = "mine"\nagent = "claude"\nhealth = "auth"\nall = ["no key"]\nexample = "there is a key"\n')
    ran = andon(capsys, "explain", "--test-rules")
    assert ran.code == 1
    assert "mine: its example does not match" in ran.out
    faults = json.loads(andon(capsys, "explain", "--test-rules", "--json").out)
    assert faults == [{"rule": "mine", "fault": "its example does not match"}]
