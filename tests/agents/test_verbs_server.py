"""The agents' verbs over MCP: the real server, driven over stdio by the real client of the official library."""

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest
from mcp import Client, StdioServerParameters
from mcp.client.stdio import stdio_client
from mcp.types import CallToolResult, TextContent

import gitkit
from andon.schema.jobs import Answer, Said
from andon.schema.mailbox import TEXT_LIMIT, leave
from support import wait_for

BARE = {"PATH": "/usr/bin:/bin"}
SERVER = [sys.executable, "-P", "-m", "andon_agents.verbs_server"]


@pytest.fixture
def job(tmp_path: Path) -> Path:
    folder = tmp_path / "job"
    for name in ("outbox", "inbox"):
        (folder / name).mkdir(parents=True)
    (folder / "prompt.md").write_text("Make it green. ünï 緑")
    (folder / "context.json").write_text('{"task": "T3", "attempt": "T3.1", "title": "A title", "base": "abc"}')
    return folder


@asynccontextmanager
async def connected(job: Path, cwd: Path | None = None) -> AsyncIterator[Client]:
    """A client whose server runs in this job."""
    server = StdioServerParameters(command=SERVER[0], args=SERVER[1:], env={"ANDON_JOB": str(job)}, cwd=cwd or job)
    async with Client(stdio_client(server)) as client:
        yield client


def words(result: CallToolResult) -> str:
    """The text of a result."""
    return "".join(part.text for part in result.content if isinstance(part, TextContent))


def said(job: Path) -> list[Said]:
    """What the daemon would hear."""
    files = sorted((job / "outbox").glob("[0-9]*.json"), key=lambda path: int(path.stem))
    return [msgspec.json.decode(path.read_bytes(), type=Said) for path in files]


def answered(job: Path, number: int, text: str) -> None:
    """The daemon's side: an answer, put in place whole."""
    aside = job / "inbox" / f".{number}"
    aside.write_bytes(msgspec.json.encode(Answer(n=number, text=text)))
    aside.rename(job / "inbox" / f"{number}.json")


async def test_an_agent_reads_its_task_and_context(job: Path) -> None:
    answered(job, 4, "tabs")
    async with connected(job) as client:
        assert {tool.name for tool in (await client.list_tools()).tools} == {
            "get_task", "get_context", "report_progress", "ask_human", "hand_off", "say_finished"}
        assert words(await client.call_tool("get_task", {})) == "Make it green. ünï 緑"
        context = json.loads(words(await client.call_tool("get_context", {})))
    assert context == {"task": "T3", "attempt": "T3.1", "title": "A title", "base": "abc", "answers": {"4": "tabs"}}


async def test_what_an_agent_says_lies_in_its_outbox_as_with_the_command_line(job: Path, tmp_path: Path) -> None:
    repo = gitkit.make_repo(tmp_path / "repo", {"a": "b"})
    async with connected(job, repo) as client:
        await client.call_tool("report_progress", {"text": " half way "})
        await client.call_tool("say_finished", {"summary": "all done", "commit": "HEAD"})
        await client.call_tool("say_finished", {"summary": "", "commit": "no such thing"})
        await client.call_tool("hand_off", {"text": "the cache is open"})
    head = gitkit.run(repo, "rev-parse", "HEAD")
    assert [(one.kind, one.text, one.commit) for one in said(job)] == [
        ("progress", "half way", ""), ("finished", "all done", head), ("finished", "", "no such thing"),
        ("handoff", "the cache is open", "")]


async def test_a_question_blocks_until_a_person_answers_and_shows_signs_of_life(job: Path) -> None:
    alive: list[str] = []

    async def progress(progress: float, total: float | None, message: str | None) -> None:
        alive.append(message or "")

    async with connected(job) as client:
        asked = asyncio.ensure_future(
            client.call_tool("ask_human", {"question": "Which?", "options": ["a", "b"]}, progress_callback=progress))
        await wait_for(lambda: said(job) and alive, what="the question and a sign of life")
        assert not asked.done()
        answered(job, 1, "b, please")
        assert words(await asked) == "b, please"
    assert [(one.kind, one.text, one.options) for one in said(job)] == [("ask", "Which?", ("a", "b"))]
    assert alive[0] == "question 1 waits for a person"


async def test_a_question_that_a_client_gave_up_waiting_for_is_asked_once(job: Path) -> None:
    async with connected(job) as client:
        with pytest.raises(Exception, match=r"(?i)timed? ?out"):
            await client.call_tool("ask_human", {"question": "Which?"}, read_timeout_seconds=1)
        answered(job, 1, "late")
        assert words(await client.call_tool("ask_human", {"question": "Which?"})) == "late"
        await client.call_tool("report_progress", {"text": "going on"})
        again = asyncio.ensure_future(client.call_tool("ask_human", {"question": "Which?"}))
        await wait_for(lambda: len(said(job)) == 3, what="a new question once something else was said")
        answered(job, 3, "new")
        assert words(await again) == "new"


async def test_nothing_said_is_refused_and_too_much_is_cut_and_says_so(job: Path) -> None:
    async with connected(job) as client:
        empty = await client.call_tool("report_progress", {"text": " \n"})
        assert empty.is_error and "nothing to say" in words(empty)
        assert (await client.call_tool("report_progress", {"text": "x" * 1_000_000 + "\0"})).is_error in (False, None)
    assert len(said(job)) == 1 and len(said(job)[0].text) <= TEXT_LIMIT and "more characters cut" in said(job)[0].text


async def test_a_session_that_said_too_much_is_told_so(job: Path) -> None:
    (job / "outbox" / "1000.json").write_text("{}")
    async with connected(job) as client:
        result = await client.call_tool("hand_off", {"text": "more"})
    assert result.is_error and "1000" in words(result)


def test_outside_of_a_session_it_says_so_and_ends(tmp_path: Path) -> None:
    done = subprocess.run(SERVER, env=BARE, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
                          timeout=30)
    assert done.returncode == 2 and "ANDON_JOB is not set" in done.stderr


def test_it_ends_when_its_client_is_gone(job: Path) -> None:
    began = time.monotonic()
    done = subprocess.run(SERVER, env={**BARE, "ANDON_JOB": str(job)}, stdin=subprocess.DEVNULL, capture_output=True,
                          check=False, timeout=30)
    assert done.returncode == 0 and done.stdout == b""
    assert time.monotonic() - began < 10


def test_the_command_line_has_the_same_verbs(job: Path) -> None:
    def verb(*argv: str) -> str:
        done = subprocess.run([sys.executable, "-P", "-m", "andon.cli.main", "agent", *argv], env={**BARE, "ANDON_JOB": str(job)},
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True, timeout=30)
        return done.stdout

    leave(job, "progress", "x")
    assert verb("task") == "Make it green. ünï 緑\n"
    assert json.loads(verb("context"))["attempt"] == "T3.1"
