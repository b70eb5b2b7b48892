"""The hook program: one line a call, decisions brought back, both ways open, and an agent that never stumbles over it."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from andon.schema.jobs import ASKS, HOOKS, Decision
from andon.schema.signals import Line
from andon_agents import hook
from support import wait_until

ARGV = (sys.executable, "-I", "-S", hook.__file__)
EDIT = {"session_id": "s", "cwd": "/w", "hook_event_name": "PermissionRequest", "tool_name": "Edit",
        "tool_input": {"file_path": "/w/a"}}
QUESTION = {"hook_event_name": "PermissionRequest", "tool_name": "AskUserQuestion",
            "tool_input": {"questions": [{"question": "Tabs?", "options": [{"label": "yes"}]}]}}


@pytest.fixture
def job(tmp_path: Path) -> Path:
    (tmp_path / "job").mkdir()
    return tmp_path / "job"


def call(job: Path | str, event: str, payload: object = None, *, raw: bytes | None = None, more: tuple[str, ...] = ()) -> str:
    """One call to its end: what it prints. Its exit code is 0, always, and it says nothing on stderr."""
    told = raw if raw is not None else json.dumps(payload or {}).encode()
    done = subprocess.run((*ARGV, event, *more), input=told, env={"ANDON_JOB": str(job)}, capture_output=True, timeout=20,
                          check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    return done.stdout.decode()


def lines(job: Path) -> list[dict[str, Any]]:
    path = job / HOOKS
    rows = path.read_bytes().splitlines() if path.exists() else []
    return [json.loads(bytes(msgspec.json.decode(row, type=Line).data)) for row in rows]


@contextlib.contextmanager
def waiting(
    job: Path, payload: dict[str, Any], *more: str, event: str = "PermissionRequest",
) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """A call that waits for a decision, and the name of its ask."""
    with subprocess.Popen((*ARGV, event, *more), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          env={"ANDON_JOB": str(job)}) as process:
        assert process.stdin
        process.stdin.write(json.dumps(payload).encode())
        process.stdin.close()
        try:
            wait_until(lambda: any("andon_ask" in line for line in lines(job)), what="the ask")
            yield process, next(line["andon_ask"] for line in reversed(lines(job)) if "andon_ask" in line)
        finally:
            process.kill()


def decide(job: Path, ask: str, *, allow: bool, text: str = "") -> None:
    aside = job / ASKS / "new"
    aside.write_bytes(msgspec.json.encode(Decision(ask=ask, allow=allow, text=text)))
    aside.rename(job / ASKS / f"{ask}.json")


def said(process: subprocess.Popen[bytes]) -> str:
    assert process.stdout
    assert process.wait(10) == 0
    return process.stdout.read().decode()


def test_a_payload_becomes_one_raw_line_with_its_time(job: Path) -> None:
    before = time.time_ns() // 1_000_000
    assert call(job, "Stop", {"hook_event_name": "Stop", "text": "a\nb → 語"}) == ""
    line = msgspec.json.decode((job / HOOKS).read_bytes(), type=Line)
    assert (line.source, json.loads(bytes(line.data))) == ("hook", {"hook_event_name": "Stop", "text": "a\nb → 語"})
    assert before <= line.at <= time.time_ns() // 1_000_000
    assert (job / HOOKS).stat().st_mode & 0o077 == 0


def test_an_agent_that_does_not_name_its_event_gets_it_named(job: Path) -> None:
    call(job, "agentStop", {"sessionId": "s"})
    assert lines(job)[0]["hook_event_name"] == "agentStop"


def test_a_call_costs_at_most_twenty_five_milliseconds_of_processor(job: Path) -> None:
    def seconds() -> float:
        usage = os.times()
        call(job, "PreToolUse", {"tool_name": "Bash", "tool_input": {"command": "ls"}})
        after = os.times()
        return after.children_user + after.children_system - usage.children_user - usage.children_system
    assert min(seconds() for _ in range(8)) <= 0.025 + 0.01  # the clock's own grain is 10 ms


@pytest.mark.parametrize("raw", [b"", b"{", b"[1]", b"\xff\xfe", b"[" * 100_000, b'{"a": "' + b"x" * 3_000_000 + b'"}'])
def test_what_is_no_payload_or_too_long_is_noted_and_breaks_nothing(job: Path, raw: bytes) -> None:
    assert call(job, "Stop", raw=raw) == ""
    assert lines(job)[0]["hook_event_name"] == "Stop"
    assert len((job / HOOKS).read_bytes()) < 66_000


@pytest.mark.parametrize("place", ["", "/nowhere/at/all", "/dev/null"])
def test_without_a_job_directory_nothing_is_said_and_nothing_breaks(place: str) -> None:
    assert call(place, "PermissionRequest", EDIT) == ""


def test_long_texts_are_cut_and_still_tell_equal_from_different(job: Path) -> None:
    for text in ("x" * 50_000, "x" * 50_000, "x" * 49_999 + "y"):
        call(job, "PostToolUse", {"tool_name": "Write", "tool_response": {"content": text, "list": [text] * 10}})
    one, two, three = (line["tool_response"]["content"] for line in lines(job))
    assert one == two != three
    assert all(len(row) <= hook.LINE_LIMIT for row in (job / HOOKS).read_bytes().splitlines())


def test_forty_calls_at_once_leave_forty_whole_lines(job: Path) -> None:
    running = [subprocess.Popen((*ARGV, "Stop"), stdin=subprocess.PIPE, env={"ANDON_JOB": str(job)}) for _ in range(40)]
    for n, process in enumerate(running):
        process.communicate(json.dumps({"n": n, "text": "x" * 1_500}).encode())
    assert sorted(line["n"] for line in lines(job)) == list(range(40))


def test_a_full_file_says_so_once_and_keeps_room_for_what_matters(job: Path) -> None:
    with (job / HOOKS).open("wb") as file:
        file.write(b"\n")
        file.truncate(hook.FILE_LIMIT + 1)
    at = hook.FILE_LIMIT + 1
    call(job, "PreToolUse", {"tool_name": "Bash"})
    call(job, "PreToolUse", {"tool_name": "Bash"})
    call(job, "Stop", {})
    rows = [json.loads(row) for row in (job / HOOKS).read_bytes()[at:].splitlines()]
    assert [row["data"]["hook_event_name"] for row in rows] == ["HooksFull", "Stop"]


def test_a_decision_to_allow_is_printed_as_the_agent_reads_it_and_receipted(job: Path) -> None:
    with waiting(job, EDIT) as (process, ask):
        decide(job, ask, allow=True)
        answer = json.loads(said(process))
    assert answer == {"hookSpecificOutput": {"hookEventName": "PermissionRequest", "decision": {"behavior": "allow"}}}
    assert lines(job)[-1]["andon_how"] == "allowed"
    assert [path.name for path in (job / ASKS).iterdir()] == [f"{ask}.taken"]


def test_a_denial_tells_the_agent_why(job: Path) -> None:
    with waiting(job, EDIT) as (process, ask):
        decide(job, ask, allow=False, text='no: "outside"\n語')
        answer = json.loads(said(process))
    assert answer["hookSpecificOutput"]["decision"] == {"behavior": "deny", "message": 'no: "outside"\n語'}


def test_a_question_is_answered_in_words(job: Path) -> None:
    with waiting(job, QUESTION) as (process, ask):
        decide(job, ask, allow=True, text="neither")
        answer = json.loads(said(process))
    assert answer["hookSpecificOutput"]["decision"]["updatedInput"]["answers"] == {"Tabs?": "neither"}


def test_another_agents_dialect_is_spoken(job: Path) -> None:
    with waiting(job, {"toolName": "bash"}, "copilot", "9", event="permissionRequest") as (process, ask):
        decide(job, ask, allow=False, text="no")
        assert json.loads(said(process)) == {"behavior": "deny", "message": "no"}


@pytest.mark.parametrize("event", ["PostToolUse", "PostToolUseFailure", "Stop", "UserPromptSubmit"])
def test_who_answers_at_the_agents_own_screen_settles_the_ask(job: Path, event: str) -> None:
    with waiting(job, EDIT) as (process, ask):
        call(job, event, {**EDIT, "hook_event_name": event})
        assert said(process) == ""
    assert [line["andon_ask"] for line in lines(job) if line["hook_event_name"] == "AskSettled"] == [ask]


def test_another_tool_that_ends_meanwhile_settles_nothing(job: Path) -> None:
    with waiting(job, EDIT) as (process, ask):
        call(job, "PostToolUse", {**EDIT, "tool_input": {"file_path": "/w/b"}})
        call(job, "UserPromptSubmit", {"prompt": ""})
        call(job, "Stop", {"background_tasks": [{"id": 1}]})
        assert process.poll() is None
        decide(job, ask, allow=True)
        assert "allow" in said(process)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_an_agent_that_withdraws_its_request_settles_it(job: Path, number: signal.Signals) -> None:
    with waiting(job, EDIT) as (process, ask):
        wait_until(lambda: (job / ASKS / f"{ask}.wait").exists(), what="the wait")
        process.send_signal(number)
        assert said(process) == ""
    assert (lines(job)[-1]["andon_ask"], lines(job)[-1]["andon_how"]) == (ask, "withdrawn")


def test_when_nobody_answers_in_time_the_screen_alone_can_and_its_end_still_settles(job: Path) -> None:
    with waiting(job, EDIT, "claude", "0.3") as (process, ask):
        assert said(process) == ""
    assert [(line["hook_event_name"], line.get("andon_gone")) for line in lines(job)] == [
        ("PermissionRequest", None), ("PermissionRequest", True)]
    call(job, "PostToolUse", {**EDIT, "hook_event_name": "PostToolUse"})
    assert [line["andon_ask"] for line in lines(job) if line["hook_event_name"] == "AskSettled"] == [ask]


def test_a_job_directory_that_goes_away_lets_the_agent_go_on(job: Path) -> None:
    with waiting(job, EDIT) as (process, ask):
        job.rename(job.with_name("gone"))
        (job.with_name("gone") / ASKS / f"{ask}.wait").rename(job.with_name("elsewhere"))
        assert said(process) == ""


def test_a_decision_about_another_ask_or_a_broken_one_allows_nothing(job: Path) -> None:
    with waiting(job, EDIT) as (process, ask):
        (job / ASKS / "new").write_bytes(b'{"ask": "another", "allow": true}')
        (job / ASKS / "new").rename(job / ASKS / f"{ask}.json")
        assert said(process) == ""


def test_a_notice_that_only_the_screen_can_answer_is_settled_by_the_next_tool_that_ends(job: Path) -> None:
    call(job, "Notification", {"notification_type": "ToolPermission", "hook_event_name": "Notification"})
    ask = lines(job)[0]["andon_ask"]
    call(job, "AfterTool", {"tool_name": "write_file", "hook_event_name": "AfterTool"})
    assert [line["andon_ask"] for line in lines(job) if line["hook_event_name"] == "AskSettled"] == [ask]


def test_a_stop_never_blocks_and_never_speaks(job: Path) -> None:
    assert call(job, "Stop", {"hook_event_name": "Stop", "stop_hook_active": False}) == ""
