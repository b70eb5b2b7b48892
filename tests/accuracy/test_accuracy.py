"""The bars of accuracy, on recorded and on random streams; and that the scorer itself can fail."""

import gzip
from pathlib import Path

import msgspec
import pytest

from accuracy import synthetic
from accuracy.accuracy import Streams, corpus, failures, scored, without
from accuracy.pack import CORPUS, faults, split
from accuracy.scoring import Card, Moment
from accuracy.variations import varied
from andon import replay
from andon.core.judging import turns
from andon.schema.errors import Mistake
from andon.schema.signals import Label, Line, Recording, TurnBegan
from andon_config.rules import load_rules

RULES = load_rules(None)
WORK = Recording(agent="claude", scenario="x", labels=(Label(start=0, end=60_000, health=("working",)),))


def test_random_sessions_are_judged_within_the_bars_and_better_than_by_peers() -> None:
    cards = scored(synthetic.streams(100, seed=7), RULES)
    assert failures(cards) == [], "\n".join([*cards[0].false_kills, *cards[0].idle_lies, *cards[0].wrong])
    assert all(cards[0].accuracy > peer.accuracy + 0.2 for peer in cards[1:])
    missed = {cause: times for cause, times in cards[0].stuck.items() if max(times) > 60}
    assert missed == {}


@pytest.mark.parametrize("missing", ["api,hook,transcript", "gateway,process"])
def test_where_sources_are_missing_nothing_healthy_is_called_stuck(missing: str) -> None:
    card = scored(without(synthetic.streams(66, seed=11), missing), RULES)[0]
    assert card.false_kills == []
    assert card.accuracy > 0.8


@pytest.fixture(scope="module")
def recorded() -> Streams:
    """The corpus, read once."""
    return corpus()


def test_the_corpus_is_large_of_many_agents_and_as_often_healthy_as_stuck(recorded: Streams) -> None:
    assert len({recording.agent for recording, _ in recorded}) >= 8
    stuck = sum(recording.stuck for recording, _ in recorded)
    assert stuck <= len(recorded) - stuck
    assert sum(path.stat().st_size for path in CORPUS.glob("*")) <= 6_000_000


def test_no_recording_bears_a_place_of_the_machine_on_which_it_was_made() -> None:
    for path in CORPUS.glob("*.jsonl.gz"):
        assert [faults(one) for one in split(gzip.decompress(path.read_bytes())) if faults(one)] == []
    assert faults(b'{"cwd":"/home/someone"}') and not faults(b'{"cwd":"/home/me/x"}')
    assert faults(b'{"cwd":"/root/x"}') and faults(b'{"key":"sk-live-0123456789"}')


def test_recorded_sessions_are_judged_within_the_bars(recorded: Streams) -> None:
    cards = scored(recorded, RULES)
    ours = cards[0]
    assert failures(cards) == [], "\n".join([*ours.false_kills, *ours.idle_lies, *ours.wrong])
    assert ours.by_span >= 0.98
    assert max(ours.stuck["crashed"]) <= 10
    assert all(ours.accuracy > peer.accuracy + 0.1 for peer in cards[1:])


@pytest.mark.parametrize("kind", ["lost", "doubled", "shuffled"])
def test_words_that_are_lost_doubled_or_out_of_order_do_not_lower_the_bars(recorded: Streams, kind: str) -> None:
    card = scored(varied(recorded[::3], kind, seed=5), RULES)[0]
    assert failures([card]) == [], "\n".join([*card.false_kills, *card.idle_lies, *card.wrong])


@pytest.mark.parametrize("kind", ["no gateway", "no process", "hooks only", "server only", "transcript only", "pane only"])
def test_from_a_single_source_nothing_is_killed_that_lives(recorded: Streams, kind: str) -> None:
    card = scored(varied(recorded[::3], kind), RULES)[0]
    assert card.false_kills == []
    assert card.idle_lies == []


def test_the_bars_on_recorded_sessions_can_fail(recorded: Streams, monkeypatch: pytest.MonkeyPatch) -> None:
    hasty = msgspec.structs.replace(RULES, thresholds=msgspec.structs.replace(RULES.thresholds, hung_s=2.0))
    assert "false kills" in " ".join(failures([scored(recorded[::4], hasty)[0]]))
    monkeypatch.setattr(turns, "_echo", lambda turn, signal: False)  # without the rule of echoes
    claude = [one for one in recorded if one[0].agent == "claude"]
    assert scored(claude, RULES)[0].accuracy < 0.98


def test_the_scorer_counts_a_false_kill_a_lie_and_a_mistake() -> None:
    card = Card("liar")
    card.add(WORK, [Moment(0, "working"), Moment(10_000, "finished"), Moment(20_000, "crashed", "crashed")])
    assert (len(card.idle_lies), len(card.false_kills)) == (1, 1)
    assert 0.1 < card.accuracy < 0.2
    assert len(failures([card])) == 3


def test_a_verdict_of_a_moment_is_no_lie_and_one_second_is_forgiven() -> None:
    card = Card("quick")
    card.add(WORK, [Moment(0, "idle-at-prompt"), Moment(900, "working"), Moment(30_000, "finished"), Moment(31_000, "working")])
    assert card.idle_lies == []
    assert card.accuracy > 0.98


def test_equal_seeds_give_equal_streams() -> None:
    assert synthetic.stream("sub_agents", 3) == synthetic.stream("sub_agents", 3)


def test_a_recorded_file_is_read_with_its_recording_and_its_lines(tmp_path: Path) -> None:
    line = Line(at=5, source="hook", data=msgspec.Raw(msgspec.json.encode(TurnBegan(at=5, source="hook", prompt="x"))))
    stream = replay.opened([msgspec.json.encode(WORK), b"", msgspec.json.encode(line)])
    assert (stream.recording, len(stream.lines)) == (WORK, 1)
    found = replay.replay(stream.lines, lambda _: (), RULES, agent="claude", end=700_000)
    assert found[0][1].health == "thinking"
    assert found[-1][0] > 600_000


@pytest.mark.parametrize(("payload", "source", "agent"), [
    ({"hook_event_name": "Stop", "session_id": "s"}, "hook", "claude"),
    ({"hook_event_name": "Stop", "turn_id": "t"}, "hook", "codex"),
    ({"hook_event_name": "BeforeAgent"}, "hook", "gemini"), ({"method": "turn/started", "params": {}}, "api", "codex"),
    ({"type": "session.idle", "properties": {}}, "api", "opencode"), ({"type": "turn.completed"}, "stdout", "codex"),
    ({"type": "result", "subtype": "success"}, "stdout", "claude"), ({"rows": ["x"]}, "pane", ""),
    ({"type": "agent-turn-complete", "thread-id": "x"}, "hook", "codex"), ({"stopReason": "end_turn"}, "hook", "copilot"),
])
def test_native_payloads_are_taken_for_what_they_are(payload: dict[str, object], source: str, agent: str) -> None:
    assert replay.guessed(payload) == (source, agent)
    stream = replay.opened([msgspec.json.encode(payload)] * 2)
    assert [line.source for line in stream.lines] == [source] * 2
    assert stream.lines[1].at > stream.lines[0].at


def test_the_bare_payloads_of_one_source_are_known_for_what_they_are(recorded: Streams) -> None:
    wrong = []
    for recording, lines in recorded[::4]:
        for source in ("hook", "api", "transcript", "pane"):
            bare = [bytes(line.data) for line in lines if line.source == source]
            if len(bare) > 3:
                stream = replay.opened(bare)
                if stream.recording.agent != recording.agent or {line.source for line in stream.lines} != {source}:
                    wrong.append((recording.agent, recording.scenario, source, stream.recording.agent))
    assert wrong == []


def test_events_of_a_server_envelopes_of_others_and_screens_as_text_are_read() -> None:
    idle = {"type": "session.idle", "properties": {"sessionID": "s"}}
    sse = replay.opened([b"event: message", b"data: " + msgspec.json.encode(idle), b"", b": ping"])
    assert [(line.source, line.agent) for line in sse.lines] == [("api", "opencode")]
    wrapped = {"time": "2026-11-20T10:00:00Z", "payload": {"hook_event_name": "Stop", "session_id": "s", "prompt_id": "p"}}
    stream = replay.opened([msgspec.json.encode(wrapped)])
    assert [(line.source, line.agent, line.at) for line in stream.lines] == [("hook", "claude", 1_795_168_800_000)]
    text = replay.opened(["✻ Pondering… (3s · ↓ 9 tokens)".encode(), "\u276f ".encode(), b"  esc to interrupt"])
    assert [(line.source, line.at) for line in text.lines] == [("pane", 1000)]
    assert text.recording.agent == "claude"


@pytest.mark.parametrize(("columns", "rows"), [(80, 24), (200, 60)])
def test_prompts_are_seen_in_small_and_in_large_panes(columns: int, rows: int) -> None:
    question = "Do you want to make this edit to a_file_with_a_rather_long_name_that_is_in_a_deep_folder_of_the_project.py?"
    words = [question[n:n + columns - 2] for n in range(0, len(question), columns - 2)]
    drawn = [*(f"  line {n}" for n in range(rows)), *(f" {one}" for one in words), " \u276f 1. Yes", "   2. No", " Esc to cancel"]
    stream = replay.opened([msgspec.json.encode({"rows": drawn[-rows:]})], "claude")
    found = replay.replay(stream.lines, lambda _: (), RULES, agent="claude")
    assert found[-1][1].health == "waiting-permission"


def test_what_is_no_record_is_named_by_its_line() -> None:
    with pytest.raises(Mistake, match="line 2"):
        replay.opened([b'{"type":"result"}', b"nonsense"])


def test_every_rule_of_ours_holds_its_example_and_its_counter() -> None:
    assert replay.faults(RULES) == []
    assert all(rule.example and rule.counter for rule in RULES.screens)


def test_a_rule_that_does_not_hold_its_example_is_named() -> None:
    bad = msgspec.structs.replace(RULES.screens[0], example="nothing")
    broken = msgspec.structs.replace(RULES.screens[1], all=("(",))
    found = replay.faults(msgspec.structs.replace(RULES, screens=(bad, broken)))
    assert [name for name, _ in found] == [bad.name, broken.name]
