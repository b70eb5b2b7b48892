"""The real opencode against the scripted model: its TUI in tmux, its server as the channel, faults, a crash and a resumption."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest

import gitkit
import realkit
from andon.schema import signals as s
from andon.schema.agent import Assignment, Channel, Launch, SessionFacts
from andon.schema.ids import AttemptId, TaskId
from andon.schema.settings import AgentSettings
from andon_agents.opencode import ADAPTER
from andon_agents.sitting import lay
from model.server import Model, model
from support import wait_for, wait_until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]
S = TypeVar("S", bound=s.Signal)
ATTEMPT = AttemptId("T1.1")


class Seat:
    """One attempt of the real program: checkout, job, home, and a tmux server of its own."""

    def __init__(self, folder: Path, binary: Path, base: str) -> None:
        self.folder, self.binary, self.base = folder, binary, base
        self.checkout = gitkit.make_repo(folder / "checkout", {"README.md": "# Project\n"})
        for key, value in (("user.name", "A"), ("user.email", "a@example.org")):
            gitkit.run(self.checkout, "config", key, value)
        self.home, self.job = folder / "private", folder / "job"
        for path in (self.home, self.job / "outbox", self.job / "inbox"):
            path.mkdir(parents=True)
        (self.job / "prompt.md").write_text("unused")
        (self.job / "context.json").write_text("{}")
        self.tmux = ["tmux", "-S", str(folder / "t"), "-f", "/dev/null"]

    def start(self, prompt: str, *, resume: str = "", approve: str = "policy") -> Launch:
        """Launch it in a pane, as the daemon would."""
        person = {"PATH": f"{self.binary.parent}:{os.environ['PATH']}", "HOME": str(self.folder), "LANG": "C.UTF-8",
                  "TERM": "xterm-256color", "OPENAI_API_KEY": "sk-test", "ANDON_JOB": str(self.job)}
        agent = AgentSettings(name="oc", use="opencode", model="scripted/scripted-1", upstream=self.base, approve=approve,
                              env={"PATH": person["PATH"]})
        launch = ADAPTER.launch(Assignment(
            attempt=ATTEMPT, task=TaskId("T1"), title="t", prompt=prompt, prompt_file=self.job / "prompt.md",
            checkout=self.checkout, job=self.job, agent=agent, home=self.home, repository=self.checkout, resume=resume,
            person=person, mcp=(sys.executable, "-P", "-m", "andon_agents.verbs_server")))
        lay(launch, self.home)
        env = {**person, **launch.env}
        subprocess.run([*self.tmux, "new-session", "-d", "-s", "x", "-x", "120", "-y", "40", "-c", str(self.checkout), "--",
                        "env", "-i", *(f"{key}={value}" for key, value in env.items()), *launch.argv],
                       check=True, capture_output=True, env=person)
        return launch

    def pid(self) -> int:
        """The agent's own process."""
        shown = subprocess.run([*self.tmux, "list-panes", "-a", "-F", "#{pane_pid}"], capture_output=True, text=True, check=False)
        return int(shown.stdout.split()[0]) if shown.stdout.strip() else 0

    def screen(self) -> str:
        """What a person sees."""
        return subprocess.run([*self.tmux, "capture-pane", "-p", "-t", "x"], capture_output=True, text=True, check=False).stdout

    def kill(self) -> None:
        """End the agent at once, as a crash does."""
        if pid := self.pid():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            wait_until(lambda: not Path(f"/proc/{pid}").exists(), what="the agent's end")
        subprocess.run([*self.tmux, "kill-server"], capture_output=True, check=False)


class Ear:
    """What the channel said, as signals."""

    def __init__(self, channel: Channel) -> None:
        self.channel, self.signals, self.mark = channel, list[s.AnySignal](), 0

    async def listen(self) -> None:
        """Until the channel is closed."""
        async for line in self.channel.lines():
            self.signals += ADAPTER.read(line)

    def since(self, kind: type[S]) -> list[S]:
        """Those of a kind since the mark."""
        return [one for one in self.signals[self.mark:] if isinstance(one, kind)]

    async def hear(self, kind: type[S], seconds: float = 60.0, *, where: Callable[[S], bool] = lambda one: True) -> S:
        """The next of a kind; the mark moves behind it."""
        def found() -> list[S]:
            return [one for one in self.since(kind) if where(one)]

        try:
            await wait_for(found, seconds, what=kind.__name__)
        except AssertionError as error:
            raise AssertionError(f"{error}; seen: {[type(one).__name__ for one in self.signals[self.mark:]]}") from None
        one = found()[0]
        self.mark = next(at for at, other in enumerate(self.signals) if other is one) + 1
        return one


@contextlib.asynccontextmanager
async def listening(seat: Seat, conversation: str = "") -> AsyncIterator[Ear]:
    """A channel to the session."""
    channel = ADAPTER.channel(SessionFacts(
        attempt=ATTEMPT, job=seat.job, home=seat.home, checkout=seat.checkout, conversation=conversation,
        agent=AgentSettings(name="oc", use="opencode")))
    assert channel is not None
    ear = Ear(channel)
    async with asyncio.TaskGroup() as group:
        group.create_task(ear.listen())
        try:
            yield ear
        finally:
            await channel.close()


@pytest.fixture(scope="module")
def served() -> Iterator[Model]:
    with model() as running:
        yield running


@pytest.fixture
def seat(tmp_path: Path, served: Model) -> Iterator[Seat]:
    seat = Seat(tmp_path, realkit.cli("opencode"), served.base(tmp_path.name))
    try:
        yield seat
    finally:
        seat.kill()


async def allow_all(ear: Ear, times: int) -> None:
    """Answer so many permissions."""
    for _ in range(times):
        ask = await ear.hear(s.PermissionWanted)
        assert await ear.channel.answer(ask.ask, allow=True)


async def test_one_session_through_work_denial_question_limits_faults_interrupt_messages_and_tools(seat: Seat) -> None:
    seat.start("Do it. [[scenario:proper]]")
    async with listening(seat) as ear:
        began = await ear.hear(s.Began, 60)
        assert began.conversation.startswith("ses_")
        await ear.hear(s.TurnBegan)
        ask = await ear.hear(s.PermissionWanted)
        assert (ask.deed, ask.paths) == ("edit", (str(seat.checkout / "hello.txt"),))
        await wait_for(lambda: "Permission required" in seat.screen(), what="the request on the screen")
        assert await ear.channel.answer(ask.ask, allow=True)
        assert (await ear.hear(s.AskSettled)).how == "once"
        await allow_all(ear, 2)
        ended = await ear.hear(s.TurnEnded)
        assert "TASK-COMPLETE" in ended.text
        assert "hello.txt" in gitkit.run(seat.checkout, "log", "--stat", "-1")
        assert gitkit.run(seat.checkout, "status", "--porcelain") == ""
        used = {one.key: one for one in ear.signals if isinstance(one, s.Usage)}
        assert len(used) == 5 and all(one.input > 0 and one.usd is None for one in used.values())

        async def prompt(words: str) -> None:
            assert await ear.channel.send(words)
            assert (await ear.hear(s.TurnBegan)).prompt == words

        # denied: the agent is told why and goes on
        await prompt("Again. [[scenario:proper file=no.txt]]")
        for number in range(2):  # a file that was not written is not edited either: no request
            ask = await ear.hear(s.PermissionWanted)
            assert await ear.channel.answer(ask.ask, allow=False, text=f"no {number}")
            assert (await ear.hear(s.AskSettled)).how == "reject"
        await ear.hear(s.TurnEnded)
        assert not (seat.checkout / "no.txt").exists()
        assert not await ear.channel.answer(ask.ask, allow=True), "an ask that is settled takes no answer"

        # a question, answered
        await prompt("Ask. [[scenario:ask_tool file=q.txt]]")
        question = await ear.hear(s.AnswerWanted)
        assert (question.text, question.options) == ("Tabs or spaces?", ("tabs", "spaces"))
        assert await ear.channel.answer(question.ask, allow=True, text="spaces")
        assert (await ear.hear(s.AskSettled)).how == "spaces"

        # interrupted while a permission is open: the ask is void, and said so once
        ask = await ear.hear(s.PermissionWanted)
        assert await ear.channel.interrupt()
        assert (await ear.hear(s.TurnFailed)).trouble == "interrupted"
        assert (await ear.hear(s.AskSettled)).ask == ask.ask

        # a limit with its time, then an answer
        await prompt("Limit. [[scenario:rate_limit n=1 retry_after=1]]")
        retry = await ear.hear(s.Retrying)
        assert retry.trouble == "rate-limit" and 0 < retry.until - retry.at < 5_000 and retry.tries == 1
        ask = await ear.hear(s.PermissionWanted)
        assert await ear.channel.interrupt()
        await ear.hear(s.AskSettled)

        # a key that is refused
        await prompt("Key. [[scenario:auth]]")
        failed = await ear.hear(s.TurnFailed)
        assert failed.trouble == "auth" and "x-api-key" in failed.text

        # a stream that hangs: no end is made up; an interrupt ends it
        await prompt("Hang. [[scenario:hang]]")
        await ear.hear(s.Spoke, where=lambda one: one.characters > 0)
        assert ear.since(s.TurnEnded) == [] == ear.since(s.TurnFailed)
        assert await ear.channel.interrupt()
        assert (await ear.hear(s.TurnFailed)).trouble == "interrupted"

        # a helper: its end is not the turn's end
        await prompt("Help. [[scenario:subagent]]")
        helper = await ear.hear(s.Helper)
        assert (await ear.hear(s.Helper, where=lambda one: one.ended)).helper == helper.helper
        assert "Done" in (await ear.hear(s.TurnEnded)).text
        assert len([one for one in ear.signals if isinstance(one, s.TurnEnded)]) == 3

        # our own verbs over MCP, without a permission
        await prompt("Verb. [[scenario:mcp pattern=report_progress]]")
        tool = await ear.hear(s.ToolBegan)
        assert tool.name == "andon_report_progress"
        assert (await ear.hear(s.ToolEnded)).ok
        await ear.hear(s.TurnEnded)
        assert [path.name for path in (seat.job / "outbox").glob("*.json")] == ["1.json"]


async def test_a_crash_in_a_tool_and_the_same_conversation_goes_on(seat: Seat) -> None:
    seat.start("Slow. [[scenario:slow sleep=60]]", approve="all")
    async with listening(seat) as ear:
        began = await ear.hear(s.Began, 60)
        tool = await ear.hear(s.ToolBegan, where=lambda one: one.name == "bash")
        assert "sleep 60" in tool.target
    async with listening(seat) as again:  # another daemon: what is true now comes first
        assert (await again.hear(s.Began)).conversation == began.conversation
        assert await again.hear(s.TurnBegan)
    seat.kill()
    launch = seat.start("Go on. [[scenario:proper]]", resume=began.conversation, approve="all")
    assert launch.conversation == began.conversation
    async with listening(seat, began.conversation) as ear:
        assert (await ear.hear(s.Began, 60)).conversation == began.conversation
        assert (await ear.hear(s.TurnBegan, where=lambda one: bool(one.prompt))).prompt == "Go on. [[scenario:proper]]"
        assert "TASK-COMPLETE" in (await ear.hear(s.TurnEnded)).text
        assert [one for one in ear.signals if isinstance(one, s.PermissionWanted)] == []
    async with listening(seat, began.conversation) as again:  # the prompt of this sitting is not given twice
        await again.hear(s.TurnEnded)
        assert [one for one in again.signals if isinstance(one, s.TurnBegan)] == []
    assert "hello.txt" in gitkit.run(seat.checkout, "log", "--stat", "-1")
