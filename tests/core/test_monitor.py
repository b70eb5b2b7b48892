"""What the monitor says of a session: every trap in which other boards are caught is a test here."""

from typing import Any

import pytest

from andon.core.monitor import Watch, begin, judge, observe
from andon.schema.rules import Rules
from andon.schema.signals import (
    AnswerWanted,
    AnySignal,
    AskSettled,
    Attended,
    Began,
    Call,
    Compacting,
    Ended,
    Files,
    Helper,
    PermissionWanted,
    Retrying,
    Screen,
    Spoke,
    ToolBegan,
    ToolEnded,
    Tree,
    TurnBegan,
    TurnEnded,
    TurnFailed,
    Usage,
    Verdict,
)
from andon_config.rules import load_rules

RULES: Rules = load_rules(None)
CLAUDE_IDLE = ("● Done.", "─" * 9, "\u276f ", "─" * 9, "  ? for shortcuts")
CLAUDE_WORKS = ("✻ Pondering… (12s · ↓ 18 tokens)", "─" * 9, "\u276f ", "─" * 9, "  esc to interrupt")
CODEX_EMPTY = ("• Let me think about this", "\u203a Ask Codex to do anything", "  ? for shortcuts")
CODEX_ASKS = ("  Would you like to run the following command?", "  $ git status -sb", "\u203a 1. Yes, proceed (y)",
              "  Press enter to confirm or esc to cancel")
PROMPT = (" This command requires approval", " Do you want to proceed?", " \u276f 1. Yes", "   2. No", " Esc to cancel")


class Session:
    """A watch with a clock in seconds."""

    def __init__(self, agent: str = "claude") -> None:
        self.watch: Watch = begin(agent, 1)
        self.now = 0.0

    def at(self, seconds: float, kind: type, source: str = "hook", **fields: Any) -> "Session":
        self.now = max(self.now, seconds)
        signal: AnySignal = kind(at=1 + round(seconds * 1000), source=source, **fields)
        self.watch = observe(self.watch, signal, RULES)
        return self

    def tree(self, seconds: float, *, children: int = 0, child_cpu_s: float = 0.0, **fields: Any) -> "Session":
        return self.at(seconds, Tree, "process", alive=fields.pop("alive", True), children=children, child_cpu_s=child_cpu_s,
                       cpu_s=child_cpu_s + fields.pop("own", 0.0), **fields)

    def call(self, seconds: float, phase: str, request: str = "r", **fields: Any) -> "Session":
        return self.at(seconds, Call, "gateway", request=request, phase=phase, **fields)

    def pane(self, seconds: float, *rows: str) -> "Session":
        return self.at(seconds, Screen, "pane", rows=rows)

    def tool(self, seconds: float, name: str = "Bash", call: str = "c", digest: str = "d", result: str = "", took: float = 0.1,
             target: str = "ls") -> "Session":
        self.at(seconds, ToolBegan, call=call, name=name, target=target, digest=digest)
        return self.at(seconds + took, ToolEnded, call=call, digest=result or "same")

    def says(self, seconds: float = -1.0, *, open_task: bool = True) -> Verdict:
        return judge(self.watch, 1 + round((self.now if seconds < 0 else seconds) * 1000), RULES, open_task=open_task)


def turn(agent: str = "claude", source: str = "hook", prompt: str = "do it", **fields: Any) -> Session:
    return Session(agent).at(0, Began, source).at(1, TurnBegan, source, prompt=prompt, **fields)


# --- work that is silent is work -------------------------------------------------------------------------------------


def test_a_forty_minute_compile_behind_a_silent_pane_is_work() -> None:
    s = turn().at(2, ToolBegan, call="c", name="Bash", target="make")
    for n in range(480):
        s.tree(3 + n * 5, children=4, child_cpu_s=n * 4.0, commands=("cc1plus",))
    assert s.says().health == "working"
    assert "cc1plus" in s.says().because


def test_a_compile_of_which_no_tool_was_told_is_work_by_its_processes_alone() -> None:
    s = turn()
    for n in range(480):
        s.tree(3 + n * 5, children=4, child_cpu_s=n * 4.0)
    assert (s.says().health, s.says().source, s.says().rule) == ("working", "process", "child-works")


def test_a_command_that_only_waits_is_work_for_as_long_as_it_stands() -> None:
    s = turn().at(2, ToolBegan, call="c", name="Bash", target="pytest -m slow")
    for n in range(400):
        s.tree(3 + n * 5, children=1)
    assert s.says().health == "working"


def test_long_silent_thinking_is_no_hang_while_bytes_flow() -> None:
    s = turn().call(2, "sent").call(3, "first", status=200)
    for n in range(1, 20):
        s.call(3 + n * 60, "flowing", status=200)
        assert s.says(3 + n * 60 + 59).health == "thinking"


def test_a_hung_stream_is_named_when_its_allowance_is_over_and_not_before() -> None:
    s = turn().call(2, "sent").call(3, "first", status=200).tree(4)
    assert s.says(92).health == "thinking"
    verdict = s.says(93.1)
    assert (verdict.health, verdict.cause, verdict.source) == ("hung", "hung-stream", "gateway")


def test_look_at_names_the_very_moment_at_which_a_verdict_changes() -> None:
    s = turn().call(2, "sent").call(3, "first", status=200)
    before = s.says()
    after = judge(s.watch, before.look_at, RULES)
    assert (before.health, after.health) == ("thinking", "hung")
    assert judge(s.watch, before.look_at - 1, RULES).health == "thinking"


def test_a_hung_codex_that_looks_answered_is_seen_by_its_open_call() -> None:
    s = turn("codex").call(2, "sent").call(3, "first", status=200)
    for n in range(4, 90, 2):
        s.pane(n, *CODEX_EMPTY)
    assert s.says(60).health == "thinking"
    assert "codex-idle" in s.says(60).conflict
    assert s.says(95).health == "hung"


def test_a_machine_that_slept_is_no_agent_that_hung() -> None:
    s = turn().call(2, "sent").call(3, "first", status=200)
    for n in range(6):
        s.tree(4 + n * 5)
    s.tree(30_000)
    assert s.says().health == "thinking"
    assert s.says(30_080).health == "thinking"
    assert s.says(30_095).health == "hung"


def test_a_sleep_is_not_taken_for_silence_by_a_judgement_before_the_first_look() -> None:
    s = turn().call(2, "sent").call(3, "first", status=200)
    for n in range(8):
        s.tree(4 + n * 5)
    assert s.says(30_000).health == "thinking"


# --- permissions and questions ---------------------------------------------------------------------------------------


def asked() -> Session:
    s = turn().at(2, ToolBegan, call="c", name="Bash", target="git push")
    return s.at(2.1, PermissionWanted, ask="a", tool="Bash", deed="shell", target="git push")


def test_a_permission_is_waited_for_until_it_is_settled() -> None:
    s = asked()
    assert (s.says(3600).health, s.says(3600).cause, s.says(3600).since) == ("waiting-permission", "permission", 2101)
    assert s.at(5, AskSettled, ask="a").says().health == "working"


def test_a_permission_told_by_two_sources_is_one() -> None:
    s = asked().at(2.2, PermissionWanted, "transcript", ask="other", tool="Bash", target="git push")
    s.at(2.3, PermissionWanted, ask="a", tool="Bash", target="git push")
    s.at(8.1, PermissionWanted, ask="n", tool="")
    assert [ask.ask for ask in s.watch.asks] == ["a"]
    s.at(9, AskSettled, ask="a").at(9.1, PermissionWanted, ask="a", tool="Bash", target="git push")
    assert s.watch.asks == ()


@pytest.mark.parametrize("event", ["ended", "turn", "model", "child"])
def test_a_permission_answered_at_the_agents_own_screen_is_settled_by_what_follows(event: str) -> None:
    s = asked()
    if event == "ended":
        s.at(9, ToolEnded, call="c")
    elif event == "turn":
        s.at(9, TurnEnded)
    elif event == "model":
        s.call(9, "sent").call(9.5, "first", status=200)
    else:
        s.tree(4).tree(9, children=1, commands=("git",)).tree(11, children=1)
    assert not s.watch.asks
    assert not s.says().health.startswith("waiting")


def test_a_sub_agent_at_work_does_not_answer_the_main_agents_permission() -> None:
    s = turn().at(1.5, Helper, helper="h").at(2, PermissionWanted, ask="a", tool="Bash", target="git push")
    s.at(3, ToolBegan, call="x", name="Read", target="f").at(4, ToolEnded, call="x").call(5, "sent").call(6, "first", status=200)
    assert [ask.ask for ask in s.watch.asks] == ["a"]


def test_it_never_waits_while_a_command_works() -> None:
    s = turn().at(2, PermissionWanted, ask="a", tool="Edit", target="f")
    for n in range(4):
        s.tree(3 + n, children=2, child_cpu_s=n * 0.9)
    assert (s.says().health, s.says().cause) == ("working", "permission")


def test_a_prompt_that_only_the_pane_shows_is_an_ask_with_its_rule_and_goes_with_its_screen() -> None:
    s = turn().pane(9, *PROMPT)
    assert (s.says().health, s.says().look_at) == ("thinking", 12_001)
    s.tree(12)
    assert (s.says().health, s.says().rule) == ("waiting-permission", "claude-permission")
    assert [(ask.rule, ask.answerable) for ask in s.watch.asks] == [("claude-permission", False)]
    assert s.pane(12, *CLAUDE_WORKS).watch.asks == ()


def test_of_an_agent_without_a_channel_a_prompt_on_the_screen_is_an_ask_at_once() -> None:
    assert [ask.rule for ask in Session("codex").pane(9, *CODEX_ASKS).watch.asks] == ["codex-permission"]
    transcript = Session("codex").at(1, TurnBegan, "transcript", prompt="x").pane(9, *CODEX_ASKS)
    assert [ask.rule for ask in transcript.watch.asks] == ["codex-permission"]


def test_a_prompt_that_was_answered_through_the_channel_is_no_second_ask_while_it_is_still_drawn() -> None:
    s = turn().at(2, PermissionWanted, ask="a", tool="Bash", target="git push").pane(2.2, *PROMPT)
    assert [ask.ask for ask in s.watch.asks] == ["a"]
    s.at(6, AskSettled, ask="a", how="allowed").pane(6.3, *PROMPT).tree(7).pane(8.9, *PROMPT)
    assert [ask.ask for ask in s.watch.asks] == []
    assert s.says(8.9).health == "thinking"
    s.pane(9.2, *PROMPT)  # three seconds after the last word of its channel it is one of its own
    assert [ask.source for ask in s.watch.asks] == ["pane"]


def test_a_prompt_that_stands_beside_a_newer_word_of_the_channel_is_no_ask() -> None:
    s = turn().pane(2, *PROMPT).at(4, ToolBegan, call="c", name="Bash", target="git push").tree(8)
    assert s.watch.asks == ()
    assert s.says(8).health == "working"


def test_the_channels_ask_takes_the_place_of_the_one_that_the_screen_showed_first() -> None:
    s = turn().pane(2, *PROMPT).tree(5.5)
    assert [ask.source for ask in s.watch.asks] == ["pane"]
    s.at(6, PermissionWanted, ask="a", tool="Bash", target="git push").pane(6.1, *PROMPT)
    assert [ask.ask for ask in s.watch.asks] == ["a"]


def test_a_question_is_told_apart_from_a_permission() -> None:
    s = turn().at(2, AnswerWanted, ask="q", text="Which one?", options=("left", "right"))
    assert (s.says().health, s.says().cause) == ("waiting-answer", "question")


# --- turns -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "fields"), [
    (Spoke, {"text": "Done."}), (ToolEnded, {"call": "z"}), (ToolBegan, {"call": "z", "name": "Read"}),
])
def test_an_echo_of_the_ended_turn_from_the_transcript_is_no_work(kind: type, fields: dict[str, Any]) -> None:
    s = turn().at(9, TurnEnded, text="Done.").at(9.1, kind, "transcript", **fields)
    assert s.says(9.2).health == "idle-at-prompt"


def test_words_that_come_in_the_wrong_order_around_the_end_are_no_work_but_a_later_tool_is() -> None:
    s = turn().at(9, TurnEnded, text="Done.").at(9.4, Spoke, text="Done.").at(9.8, ToolEnded, call="z")
    assert s.says(9.9).health == "idle-at-prompt"
    assert s.at(12, ToolBegan, call="n", name="Bash", target="ls").says(12.1).health == "background"


def test_the_same_call_again_of_an_agent_without_ids_is_another_call_and_a_loop_in_the_end() -> None:
    s = turn("gemini")
    for n in range(7):
        s.at(2 + n, ToolBegan, call="d", name="shell", target="ls", digest="d")
        assert s.says().rule in ("tool-runs", "same-calls")
        s.at(2.5 + n, ToolEnded, call="d", digest="same").at(2.6 + n, ToolEnded, call="d", digest="same")
    assert (s.says().health, s.says().cause) == ("looping", "tool-loop")


def test_the_processor_time_of_the_turn_is_no_background_work_after_it() -> None:
    s = turn().tree(2).tree(3, children=1, child_cpu_s=0.1).at(3.9, TurnEnded).tree(4, children=1, child_cpu_s=0.5)
    assert s.says().health == "idle-at-prompt"
    assert s.tree(5, children=1, child_cpu_s=0.9).says().health == "background"


def test_an_agents_own_helper_process_is_no_command_and_settles_no_ask() -> None:
    s = turn("copilot").at(1.5, PermissionWanted, ask="a", tool="edit", target="f").tree(2)
    for n in range(4):
        s.tree(3 + n, children=1, child_cpu_s=0.2 * n, commands=("copilot-runtime",))
    assert s.says().health == "waiting-permission"
    assert s.at(8, TurnEnded).tree(9, children=1, child_cpu_s=2.0, commands=("copilot-runtime",)).says().health == "idle-at-prompt"


def test_an_ask_that_its_hook_holds_behind_a_spinner_stands() -> None:
    s = turn().at(2, PermissionWanted, ask="a", tool="Bash", target="git push").pane(3, *CLAUDE_IDLE).pane(6, *CLAUDE_WORKS)
    assert [ask.ask for ask in s.watch.asks] == ["a"]
    s.pane(7, *PROMPT).pane(10, *CLAUDE_WORKS)
    assert s.watch.asks == ()


@pytest.mark.parametrize(("kind", "fields"), [
    (ToolBegan, {"call": "a", "name": "Bash", "target": "ls"}), (TurnBegan, {"prompt": "more"}), (Spoke, {"text": "x"}),
])
def test_words_of_before_an_ask_that_come_a_second_late_do_not_settle_it(kind: type, fields: dict[str, Any]) -> None:
    s = Session("codex").at(1, PermissionWanted, "api", ask="a", tool="Bash", target="ls").at(1.9, kind, "api", **fields)
    assert s.says().health == "waiting-permission"


def test_a_child_that_came_after_the_work_of_one_that_is_gone_does_not_work() -> None:
    s = turn().tree(1, children=1).at(1.5, TurnEnded).tree(2.6, child_cpu_s=0.5).tree(4, children=1, child_cpu_s=0.5)
    assert s.says().health == "idle-at-prompt"


def test_a_turn_that_a_refusal_ended_without_a_word_of_it_has_failed() -> None:
    s = turn("gemini").call(2, "sent").call(2.1, "ended", status=401).at(2.3, TurnEnded, text="[no response text]")
    assert (s.says().health, s.says().cause) == ("auth", "auth")
    well = turn("gemini").call(2, "sent").call(2.1, "ended", status=401).call(3, "sent", "r2").call(4, "ended", "r2", status=200)
    assert well.at(4.2, TurnEnded).says().health == "idle-at-prompt"


def test_a_call_beside_the_conversation_does_not_lift_its_limit_and_a_late_word_of_the_turn_neither() -> None:
    s = Session("codex").call(1, "sent", digest="d").call(1.1, "ended", status=429, retry_after=9.0, digest="d")
    s.call(1.2, "ended", "title", status=200).at(1.3, TurnBegan, "api", turn="t", prompt="x")
    assert s.says().health == "rate-limited"
    s.call(10, "sent", "r2", digest="d").call(10.2, "first", "r2", status=200)
    assert s.says().health == "thinking"


def test_an_end_of_turn_with_an_open_task_is_idle_at_once_and_a_cause_after_a_while() -> None:
    s = turn().at(30, TurnEnded, text="Done.")
    assert (s.says(30).health, s.says(30).cause) == ("idle-at-prompt", "")
    assert (s.says(51).health, s.says(51).cause) == ("idle-at-prompt", "idle-at-prompt")
    assert s.says(51, open_task=False).health == "finished"


def test_a_person_at_the_prompt_is_no_idle_agent() -> None:
    s = turn().at(30, TurnEnded).at(31, Attended, "process", present=True)
    assert s.says(600).cause == ""
    assert s.at(601, Attended, "process", present=False).says(602).cause == "idle-at-prompt"


def test_an_end_in_the_transcript_counts_only_where_no_hook_tells_it() -> None:
    alone = Session().at(1, TurnBegan, "transcript", prompt="x").at(9, Spoke, "transcript").at(9, TurnEnded, "transcript")
    assert alone.says().health == "idle-at-prompt"
    assert turn().at(9, TurnEnded, "transcript").says().health == "thinking"


def test_an_end_told_by_hook_and_server_and_notify_counts_once() -> None:
    s = turn("codex", turn="t1").at(9, TurnEnded, turn="t1", text="x")
    s.at(9.2, TurnEnded, "api", turn="t1").at(9.4, TurnEnded, text="x")
    assert s.watch.turn.number == 1
    assert s.at(10, TurnBegan, turn="t2", prompt="more").at(12, TurnEnded, turn="t2").watch.turn.number == 2


def test_the_notify_of_a_title_generation_ends_no_turn() -> None:
    s = turn("codex", turn="t1").at(3, TurnEnded, turn="title", text="A title")
    assert (s.says().health, s.watch.turn.number) == ("thinking", 0)


def test_a_late_copy_of_an_old_end_does_not_end_the_new_turn_and_an_end_by_an_older_prompt_of_it_does() -> None:
    s = turn("claude", turn="p1").at(9, TurnEnded, turn="p1").at(10, TurnBegan, turn="p2", prompt="more")
    assert s.at(10.5, TurnEnded, "transcript", turn="p1").watch.turn.open
    s.at(12, TurnBegan, turn="p3", prompt="and this").at(15, TurnEnded, turn="p2")
    assert (s.watch.turn.open, s.watch.turn.number) == (False, 2)


def test_a_turn_that_failed_stays_failed_when_its_end_is_told_too() -> None:
    s = turn("codex", "api", turn="t1").at(9, TurnFailed, "api", trouble="auth", text="401").at(9.1, TurnEnded, "api", turn="t1")
    assert (s.says().health, s.says().cause, s.watch.turn.number) == ("auth", "auth", 1)


def test_an_escape_that_nobody_tells_is_seen_on_the_pane_and_said_as_a_conflict() -> None:
    s = turn().pane(20, *CLAUDE_IDLE)
    assert s.says(22).health == "thinking"
    verdict = s.says(29)
    assert (verdict.health, verdict.source) == ("idle-at-prompt", "pane")
    assert "no end of it was told" in verdict.conflict


def test_calls_and_tools_after_the_stop_are_no_turn_of_ours() -> None:
    s = turn("qwen").at(9, TurnEnded).at(9.5, TurnBegan, prompt="")
    s.at(10, ToolBegan, call="m", name="write_file", target="memory.md")
    assert s.says().health == "background"
    assert (s.watch.turn.open, s.watch.turn.number) == (False, 1)
    assert s.at(11, ToolEnded, call="m").says(40).cause == "idle-at-prompt"


def test_commands_that_outlive_the_turn_are_background_and_a_server_that_does_nothing_is_not() -> None:
    s = turn().at(9, TurnEnded)
    for n in range(5):
        s.tree(10 + n * 5, children=2, child_cpu_s=n * 4.0)
    assert s.says().health == "background"
    for n in range(10):
        s.tree(40 + n * 5, children=1, child_cpu_s=20.0)
    assert (s.says().health, s.says().cause) == ("idle-at-prompt", "idle-at-prompt")


def test_what_the_agent_says_runs_in_the_background_is_believed_while_it_stands() -> None:
    s = turn().at(9, TurnEnded, background=1).tree(12, children=1)
    assert s.says(200).health == "background"
    assert s.tree(205).says().health == "idle-at-prompt"


def test_a_missing_end_of_a_tool_is_closed_by_the_next_call_of_the_model() -> None:
    s = turn().at(2, ToolBegan, call="c", name="Read", target="f").call(5, "sent").call(6, "first", status=200)
    assert s.says().health == "thinking"
    assert s.says(100).health == "hung"


def test_an_end_before_its_beginning_opens_nothing() -> None:
    s = turn().at(3, ToolEnded, call="c", digest="r").at(2.9, ToolBegan, call="c", name="Read", digest="d")
    assert s.watch.tools == ()
    assert s.watch.calls[-1].digest == "d"


# --- limits, logins, context -----------------------------------------------------------------------------------------


def test_words_of_a_limit_in_the_work_are_not_the_agents_limit() -> None:
    s = turn().pane(9, "HTTP 429 Too Many Requests, Retrying in 14s", "Invalid API key", *["log"] * 12, *CLAUDE_WORKS)
    assert s.says().health in ("working", "thinking")


def test_a_limit_seen_at_the_gateway_has_its_hour_and_ends_with_the_first_answer() -> None:
    s = turn().call(2, "sent").call(3, "ended", status=429, retry_after=600.0)
    assert (s.says(300).health, s.says(300).cause, s.says(300).until) == ("rate-limited", "rate-limit", 603_001)
    s.call(604, "sent", request="r2")
    assert s.says().health == "rate-limited"
    assert s.call(605, "first", request="r2", status=200).says().health == "thinking"


@pytest.mark.parametrize(("status", "error", "health", "cause"), [
    (401, "", "auth", "auth"), (529, "", "rate-limited", "overloaded"), (429, "insufficient_quota", "rate-limited", "quota"),
])
def test_refusals_are_told_apart(status: int, error: str, health: str, cause: str) -> None:
    s = turn().call(2, "sent").call(3, "ended", status=status, error=error)
    assert (s.says().health, s.says().cause) == (health, cause)


def test_a_retry_told_by_the_agent_and_seen_at_the_gateway_is_one_limit() -> None:
    s = turn("opencode", "api").at(3, Retrying, "api", trouble="rate-limit", until=90_001, tries=1)
    s.call(3.1, "ended", status=429)
    assert (s.says().until, s.says().since) == (90_001, 3001)


@pytest.mark.parametrize(("trouble", "health", "cause"), [
    ("auth", "auth", "auth"), ("context", "idle-at-prompt", "context"), ("server", "idle-at-prompt", "turn-failed"),
    ("rate-limit", "rate-limited", "rate-limit"), ("quota", "rate-limited", "quota"), ("interrupted", "idle-at-prompt", ""),
])
def test_a_failed_turn_says_why(trouble: str, health: str, cause: str) -> None:
    s = turn().at(9, TurnFailed, trouble=trouble, text="API Error")
    assert (s.says().health, s.says().cause) == (health, cause)


# --- loops -----------------------------------------------------------------------------------------------------------


def test_the_same_call_with_the_same_result_is_a_loop_at_the_sixth_time() -> None:
    s = turn()
    for n in range(5):
        s.tool(2 + n, call=f"c{n}")
    assert s.says().health == "thinking"
    assert (s.tool(8, call="c6").says().health, s.says().cause) == ("looping", "tool-loop")
    assert s.tool(10, call="c7", digest="another").says().health == "thinking"


def test_waiting_for_a_queue_by_asking_again_and_again_is_no_loop() -> None:
    s = turn()
    for n in range(30):
        s.tool(2 + n * 40, call=f"c{n}", took=31.0, target="sleep 30; gh run view")
        assert s.says().health != "looping"


def test_six_sub_agents_that_read_the_same_file_are_no_loop() -> None:
    s = turn()
    for n in range(6):
        s.at(2, Helper, helper=f"h{n}")
        s.at(2.1, ToolBegan, call=f"c{n}", name="Read", target="README.md", digest="d")
    for n in range(6):
        s.at(3, ToolEnded, call=f"c{n}", digest="r")
    assert s.says().cause == ""


def test_edit_and_test_again_and_again_is_no_loop() -> None:
    s = turn()
    for n in range(15):
        s.tool(2 + n * 4, "Edit", call=f"e{n}", digest=f"edit{n}", target="a.py")
        s.tool(4 + n * 4, call=f"t{n}", digest="pytest", result="failed")
        assert s.says().cause == ""


def test_edits_that_take_each_other_back_are_thrash() -> None:
    s = turn()
    for n in range(6):
        s.tool(2 + n * 9, "Edit", call=f"e{n}", digest="ab"[n % 2], target="a.py")
        s.tool(4 + n * 9, call=f"t{n}", digest="pytest", result=f"r{n}", took=6)
    assert (s.says().health, s.says().cause) == ("thrashing", "thrash")


def test_a_cycle_of_three_calls_is_a_loop() -> None:
    s = turn()
    for n in range(12):
        s.tool(2 + n, call=f"c{n}", digest=f"d{n % 3}", result=f"r{n % 3}")
    assert (s.says().health, s.says().rule) == ("looping", "same-cycle")


def test_compaction_after_compaction_is_a_loop_and_one_before_each_call_is_nothing() -> None:
    s = turn("codex")
    for n in range(4):
        s.at(2 + n, Compacting).at(2.5 + n, Compacting, done=True)
    assert (s.says().health, s.says().cause) == ("looping", "compaction-loop")
    gemini = turn("gemini")
    for n in range(12):
        gemini.at(1.1 + n * 5, Compacting)
        assert gemini.says().health != "compacting", n
        gemini.tool(3 + n * 5, call=f"c{n}", digest=f"d{n}")
    assert gemini.says().cause == ""


def test_the_same_request_again_and_again_is_a_loop_of_an_agent_that_tells_nothing() -> None:
    s = Session("aider")
    for n in range(9):
        s.call(2 + n, "sent", request=f"r{n}").call(2.5 + n, "ended", request=f"r{n}", status=200, digest="same")
    assert (s.says().health, s.says().rule) == ("looping", "same-requests")


# --- death -----------------------------------------------------------------------------------------------------------


def test_death_wants_two_signs_and_is_known_within_ten_seconds() -> None:
    s = turn().tree(2).tree(10, alive=False)
    assert s.says(10).health != "crashed"
    assert s.tree(13, alive=False).says().health != "crashed"
    verdict = s.tree(15.1, alive=False).says()
    assert (verdict.health, verdict.cause) == ("crashed", "agent-gone")


def test_a_shim_that_is_gone_too_is_the_second_sign_at_once() -> None:
    s = turn().tree(2).tree(10, alive=False, wrapper=False)
    assert (s.says().health, s.says().cause) == ("crashed", "crashed")


def test_an_agent_that_starts_itself_anew_did_not_crash() -> None:
    s = turn().tree(2).tree(10, alive=False).tree(12)
    assert s.says(300).health != "crashed"


def test_a_goodbye_of_a_process_that_lives_on_is_not_believed() -> None:
    s = turn().tree(2).at(9, TurnEnded).at(10, Ended, because="clear").tree(11)
    assert s.says().health == "idle-at-prompt"


def test_an_agent_that_ended_after_its_turn_has_finished() -> None:
    s = turn().tree(2).at(9, TurnEnded).at(10, Ended, because="exit").tree(11, alive=False, wrapper=False)
    assert s.says().health == "finished"


# --- what is not known -----------------------------------------------------------------------------------------------


def test_unknown_stays_unknown_and_says_since_when() -> None:
    s = Session("command")
    assert s.says(5).health == "starting"
    verdict = s.says(300)
    assert (verdict.health, verdict.confidence, verdict.source) == ("unknown", "guess", "none")


def test_an_agent_that_tells_nothing_is_judged_by_processes_files_and_pane() -> None:
    s = Session("aider").tree(1).at(20, Files, "process")
    assert s.says().health == "working"
    s.pane(60, "Tokens: 918 sent, 29 received.", "> ")
    assert (s.says(90).health, s.says(90).confidence, s.says(90).source) == ("idle-at-prompt", "guess", "pane")


def test_a_word_left_in_the_outbox_opens_no_turn() -> None:
    assert not Session("scripted").at(2, Spoke, "outbox", characters=3, text="hi").watch.turn.open


def test_spending_is_summed_by_key_and_the_later_word_counts() -> None:
    s = turn().at(2, Usage, key="m1", output=1).at(3, Usage, key="m1", output=50).at(4, Usage, key="m2", output=7, context=0.25)
    assert (s.watch.usage.output, s.watch.usage.metered, s.watch.context) == (57, "reported", 0.25)
    s.at(5, Usage, key="total", output=99, usd=0.5)
    assert (s.watch.usage.output, s.watch.usage.usd) == (99, 0.5)
    for n in range(300):
        s.call(6 + n, "ended", request=f"g{n}", status=200, usage=Usage(at=1, source="gateway", key=f"g{n}", output=10))
    assert s.watch.usage.output == 99


def test_prompts_are_kept_as_receipts() -> None:
    assert [text for _, text in turn().at(9, TurnBegan, prompt="nudge 7f3").watch.turn.prompts] == ["do it", "nudge 7f3"]
