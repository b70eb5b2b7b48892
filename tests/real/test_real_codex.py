"""The real Codex against the scripted model: its own screen in tmux, the channel beside it, faults, and nothing left behind."""

import asyncio
import contextlib
import json
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
from andon.edges import homes, jobs
from andon.schema import signals as s
from andon.schema.agent import Assignment, Channel, SessionFacts
from andon.schema.ids import AttemptId, TaskId
from andon.schema.jobs import CHANNEL, Job
from andon.schema.settings import AgentSettings
from andon_agents.codex import ADAPTER
from model.server import Model, model
from support import wait_for, wait_until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]
QUICK = ("-c", "model_providers.andon.request_max_retries=1", "-c", "model_providers.andon.stream_max_retries=3",
         "-c", "model_context_window=200000")
S = TypeVar("S", bound=s.Signal)


class Seat:
    """One attempt of the real program: checkout, job directories, home, a tmux server of its own."""

    def __init__(self, folder: Path, binary: Path, base: str) -> None:
        self.folder, self.binary, self.base = folder, binary, base
        self.source = gitkit.make_repo(folder / "source", {"README.md": "# Project\n", "AGENTS.md": "MARK-OF-AGENTS: be kind.\n"})
        self.checkout = folder / "checkout"
        subprocess.run(["git", "clone", "-q", "--shared", str(self.source), str(self.checkout)], check=True, capture_output=True)
        for key, value in (("user.name", "A"), ("user.email", "a@example.org")):
            gitkit.run(self.checkout, "config", key, value)
        self.home, self.sitting = folder / "home", 0
        self.tmux = ["tmux", "-S", str(folder / "t"), "-f", "/dev/null"]

    @property
    def job(self) -> Path:
        """The job directory of this sitting: deep, as real ones are, deeper than a socket's path may be."""
        return self.folder / ("a-long-name-" * 8) / f"job{self.sitting}"

    def start(self, prompt: str, *, resume: str = "", approve: str = "policy", mcp: tuple[str, ...] = ()) -> "Session":
        """Launch it as the daemon would, under the shim in a pane."""
        self.sitting += 1
        agent = AgentSettings(name="codex", use="codex", model="scripted-1", args=QUICK, approve=approve)
        env = {"PATH": f"{self.binary.parent}:{os.environ['PATH']}", "HOME": str(self.folder), "LANG": "C.UTF-8",
               "TERM": "xterm-256color", "TMPDIR": str(self.job / "tmp"), "OPENAI_API_KEY": "sk-test",
               "OPENAI_BASE_URL": f"{self.base}/v1", "ANDON_ATTEMPT": "T1.1", "ANDON_JOB": str(self.job)}
        self.job.mkdir(parents=True)
        (self.job / "tmp").mkdir()
        prompt_file = self.job / "prompt.md"
        prompt_file.write_text(prompt)
        launch = ADAPTER.launch(Assignment(
            attempt=AttemptId("T1.1"), task=TaskId("T1"), title="A title", prompt=prompt, prompt_file=prompt_file,
            checkout=self.checkout, job=self.job, agent=agent, home=self.home, repository=self.source, resume=resume, person=env,
            mcp=mcp,
        ))
        homes.lay(self.home, launch.seeds, copies=False)
        jobs.write_job(self.job, Job(name="T1.1", argv=launch.argv, cwd=str(self.checkout), env={**env, **launch.env}))
        self.tmux_do("new-session", "-d", "-s", f"s{self.sitting}", "-x", "120", "-y", "40", *jobs.shim_argv(self.job))
        wait_until(lambda: isinstance(jobs.probe(self.job), jobs.Running), what="the shim")
        return Session(self, SessionFacts(attempt=AttemptId("T1.1"), job=self.job, home=self.home, checkout=self.checkout,
                                             conversation=resume, agent=agent))

    def screen(self) -> str:
        """What a person sees."""
        return self.tmux_do("capture-pane", "-p", "-t", f"s{self.sitting}")

    def tmux_do(self, *words: str) -> str:
        """A tmux command's output; a pane that is gone says nothing."""
        return subprocess.run([*self.tmux, *words], capture_output=True, text=True, check=False).stdout

    def processes(self, *words: str) -> dict[int, str]:
        """Processes of this attempt, by pid, whose command line has all the words."""
        found = {}
        for place in Path("/proc").iterdir():
            if not place.name.isdigit():
                continue
            with contextlib.suppress(OSError):
                line = (place / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                ours = str(self.folder) in line or f"CODEX_HOME={self.home}".encode() in (place / "environ").read_bytes()
                if ours and "tmux" not in line.split(" ")[0] and all(word in line for word in words):
                    found[int(place.name)] = line[:200]
        return found

    def stop(self) -> None:
        """As the daemon stops it: the shim is told, and ends the tree."""
        seen = jobs.probe(self.job)
        if isinstance(seen, jobs.Running):
            os.kill(seen.started.pid, signal.SIGTERM)
        wait_until(lambda: isinstance(jobs.probe(self.job), jobs.Ended), 15, what="the end of the session")
        wait_until(lambda: not self.processes(), 10, what=f"nothing to be left, but there is {self.processes()}")

    def close(self) -> None:
        """End the tmux server, by its pid."""
        pid = self.tmux_do("display-message", "-p", "#{pid}").strip()
        if pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)


class Session:
    """A running session and what was heard of it."""

    def __init__(self, seat: Seat, facts: SessionFacts) -> None:
        self.seat, self.facts = seat, facts
        self.heard: list[s.AnySignal] = []
        self.channel: Channel = ADAPTER.channel(facts)

    @contextlib.asynccontextmanager
    async def listening(self) -> AsyncIterator[Channel]:
        """Connected, with every line recorded and read, until the block ends."""
        async with asyncio.timeout(150), asyncio.TaskGroup() as group:
            group.create_task(self._listen())
            try:
                yield self.channel
            finally:
                await self.channel.close()

    async def _listen(self) -> None:
        with (self.facts.job / CHANNEL).open("a") as record:
            async for line in self.channel.lines():
                record.write(json.dumps({"at": line.at, "source": line.source, "data": json.loads(bytes(line.data))}) + "\n")
                record.flush()
                self.heard += ADAPTER.read(line)

    def all(self, kind: type[S]) -> list[S]:
        """Signals of a kind so far."""
        return [one for one in self.heard if isinstance(one, kind)]

    async def until(self, kind: type[S], count: int = 1, *, where: Callable[[S], bool] = lambda one: True) -> S:
        """The n-th signal of a kind, once it is there."""
        def found() -> list[S]:
            return [one for one in self.all(kind) if where(one)]

        try:
            await wait_for(lambda: len(found()) >= count, 40)
        except AssertionError as error:
            heard = [type(one).__name__ for one in self.heard]
            raise AssertionError(f"no {kind.__name__} number {count} in {heard}\n{self.seat.screen()}") from error
        return found()[count - 1]


def text_of(path: str) -> str:
    """The whole of a file."""
    return Path(path).read_text()


@pytest.fixture(scope="module")
def scripted() -> Iterator[Model]:
    with model() as running:
        yield running


@pytest.fixture
def seat(tmp_path: Path, scripted: Model, request: pytest.FixtureRequest) -> Iterator[Seat]:
    place = Seat(tmp_path, realkit.cli("codex"), scripted.base(request.node.name[:40]))
    try:
        yield place
    finally:
        if place.sitting:
            place.stop()
        place.close()


async def test_one_session_works_answers_fails_and_is_interrupted_under_the_channels_eyes(seat: Seat) -> None:
    session = seat.start("Do it. [[scenario:proper]]")
    async with session.listening() as channel:
        ended = await session.until(s.TurnEnded)
        assert "TASK-COMPLETE" in ended.text and ended.turn
        began = session.all(s.Began)[0]
        assert began.conversation and Path(began.transcript).is_relative_to(seat.home)
        assert "hello.txt" in gitkit.run(seat.checkout, "show", "--stat", "HEAD"), "it can commit inside its sandbox"
        calls = {one.call for one in session.all(s.ToolBegan)}
        assert calls and calls == {one.call for one in session.all(s.ToolEnded) if one.ok}
        usage = session.all(s.Usage)[-1]
        assert usage.key == "total" and usage.input > 1000 and usage.context and 0 < usage.context < 1
        assert "MARK-OF-AGENTS" in text_of(began.transcript), "the checkout's AGENTS.md reached it"
        await wait_for(lambda: "TASK-COMPLETE" in seat.screen(), what="a person's view of it")

        assert await channel.send("[[scenario:lie]]")
        assert (await session.until(s.TurnEnded, 2)).turn != ended.turn
        assert [one.prompt for one in session.all(s.TurnBegan) if one.prompt][-1] == "[[scenario:lie]]"

        assert await channel.send("[[scenario:rate_limit n=2 retry_after=1]]")
        assert (await session.until(s.Retrying)).trouble == "rate-limit"
        await session.until(s.TurnEnded, 3)

        assert await channel.send("[[scenario:auth]]")
        failed = await session.until(s.TurnFailed)
        assert failed.trouble == "auth" and "401" in failed.text

        assert not await channel.interrupt(), "there is no turn to interrupt"
        assert await channel.send("[[scenario:hang]]")
        await session.until(s.Spoke, where=lambda one: one.at > failed.at)
        assert await channel.send("And one thing more."), "words for a turn that runs"
        assert await channel.interrupt()
        assert (await session.until(s.TurnFailed, 2)).trouble == "interrupted"
    assert not await channel.send("nobody is there")


async def test_what_leaves_the_sandbox_is_asked_and_answered_by_the_channel(seat: Seat) -> None:
    session = seat.start("Do it. [[scenario:escalate]]")
    async with session.listening() as channel:
        wanted = await session.until(s.PermissionWanted)
        assert (wanted.tool, wanted.deed, wanted.target, wanted.answerable) == ("shell", "shell", "git status -sb", True)
        assert str(seat.checkout) in wanted.paths
        assert not await channel.answer("another", allow=True)
    second = Session(seat, session.facts)
    async with second.listening() as channel:
        again = await second.until(s.PermissionWanted)
        assert again.ask == wanted.ask, "another reader is told what stands open, by the same name"
        assert await channel.answer(again.ask, allow=True)
        assert (await second.until(s.AskSettled)).ask == wanted.ask
        await second.until(s.TurnEnded)
        assert any(one.ok and one.call for one in second.all(s.ToolEnded))
        assert not await channel.answer(again.ask, allow=True), "it is settled"

        assert await channel.send("Again. [[scenario:escalate]]")
        other = await second.until(s.PermissionWanted, 2)
        assert other.ask != wanted.ask
        assert await channel.answer(other.ask, allow=False)
        await second.until(s.TurnEnded, 2)
        assert not second.all(s.TurnFailed), "a denial lets the agent go on"


async def test_an_ask_answered_at_the_screen_is_settled_for_the_channel(seat: Seat) -> None:
    session = seat.start("Do it. [[scenario:escalate]]")
    async with session.listening():
        wanted = await session.until(s.PermissionWanted)
        await wait_for(lambda: "Yes, proceed" in seat.screen(), what="the question on the screen")
        while not session.all(s.AskSettled):  # a key that comes as the question is drawn is dropped
            seat.tmux_do("send-keys", "-t", "s1", "y")
            with contextlib.suppress(AssertionError):
                await wait_for(lambda: session.all(s.AskSettled), 1)
        assert session.all(s.AskSettled)[0].ask == wanted.ask
        await session.until(s.TurnEnded)


async def test_a_crash_leaves_nothing_and_the_conversation_goes_on_in_the_next_sitting(seat: Seat) -> None:
    session = seat.start("Do it. [[scenario:slow sleep=600]]", approve="all")
    async with session.listening() as channel:
        began = await session.until(s.Began)
        await session.until(s.ToolBegan, where=lambda one: "sleep" in one.target)
        for pid in seat.processes("bin/codex"):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        await wait_for(lambda: isinstance(jobs.probe(seat.job), jobs.Ended), 20, what="the end of the session")
        await wait_for(lambda: not seat.processes(), 10, what=f"nothing to be left of {seat.processes()}")
        assert not await channel.send("nobody is there")
        assert not await channel.interrupt()

    again = seat.start("Go on. [[scenario:proper]]", resume=began.conversation, approve="all")
    async with again.listening():
        ended = await again.until(s.TurnEnded)
        assert "TASK-COMPLETE" in ended.text and not again.all(s.TurnFailed), "the turn of the last sitting is not told again"
        assert ended.turn and again.all(s.Began)[0].conversation == began.conversation
        assert "hello.txt" in gitkit.run(seat.checkout, "show", "--stat", "HEAD")


@pytest.mark.parametrize(("first", "code"), [("app-server", 70), ("--remote", 137)])
async def test_screen_and_server_end_together(seat: Seat, first: str, code: int) -> None:
    session = seat.start("Do it. [[scenario:lie]]")
    async with session.listening():
        await session.until(s.TurnEnded)
        (pid,) = seat.processes("bin/codex", first)
        os.kill(pid, signal.SIGKILL)
        await wait_for(lambda: isinstance(jobs.probe(seat.job), jobs.Ended), 15, what="the end of the other")
        seen = jobs.probe(seat.job)
        assert isinstance(seen, jobs.Ended) and seen.exit.code == code
        await wait_for(lambda: not seat.processes(), what=f"nothing to be left of {seat.processes()}")


KNOCK = """python3 -c 'import os, socket as s; s.socket(s.AF_UNIX).connect(os.path.realpath("{socket}")); print("IN", "SIDE")'"""


async def test_a_sandboxed_command_cannot_reach_the_socket_by_which_asks_are_answered(seat: Seat, scripted: Model) -> None:
    knock = KNOCK.format(socket=seat.folder / ("a-long-name-" * 8) / "job1" / "codex.sock")
    leave = "touch within.txt $TMPDIR/within.txt && touch ../without.txt"
    scripted.steps(seat.base.rpartition("/")[2], {"shell": knock}, {"shell": leave}, {"say": "OVER"})
    session = seat.start("Do it.")
    async with session.listening():
        began = await session.until(s.Began)
        await session.until(s.TurnEnded)
        said = text_of(began.transcript)
    assert "Operation not permitted" in said and "IN SIDE" not in said
    assert (seat.checkout / "within.txt").exists() and (seat.job / "tmp" / "within.txt").exists()
    assert not (seat.folder / "without.txt").exists()


VERBS = """
import json, os, sys
for line in sys.stdin:
    asked = json.loads(line)
    if "id" not in asked:
        continue
    tool = {"name": "report_status", "description": "Report", "inputSchema": {"type": "object", "properties": {}}}
    result = {"initialize": {"protocolVersion": asked.get("params", {}).get("protocolVersion"), "capabilities": {"tools": {}},
                             "serverInfo": {"name": "verbs", "version": "0"}},
              "tools/list": {"tools": [tool]},
              "tools/call": {"content": [{"type": "text", "text": "in " + os.environ["ANDON_JOB"]}]}}.get(asked["method"], {})
    print(json.dumps({"jsonrpc": "2.0", "id": asked["id"], "result": result}), flush=True)
"""


async def test_the_agents_own_verbs_are_there_and_need_no_permission(seat: Seat) -> None:
    script = seat.folder / "verbs.py"
    script.write_text(VERBS)
    session = seat.start("Do it. [[scenario:mcp]]", mcp=(sys.executable, str(script)))
    async with session.listening():
        began = await session.until(s.Began)
        await session.until(s.TurnEnded)
        called = session.all(s.ToolBegan)[0]
        assert called.name == "andon.report_status"
        assert not session.all(s.PermissionWanted) and not session.all(s.AnswerWanted)
        assert [one.ok for one in session.all(s.ToolEnded) if one.call == called.call] == [True]
        assert f"in {seat.job}" in text_of(began.transcript)


async def test_a_conversation_that_a_person_begins_at_the_screen_is_followed(seat: Seat) -> None:
    session = seat.start("Do it. [[scenario:lie]]")
    async with session.listening() as channel:
        first = await session.until(s.TurnEnded)
        old = session.all(s.Began)[-1].conversation
        seat.tmux_do("send-keys", "-t", "s1", "-l", "/new")
        await wait_for(lambda: "start a new chat" in seat.screen(), what="the menu of commands")
        seat.tmux_do("send-keys", "-t", "s1", "Enter")
        await session.until(s.Began, where=lambda one: one.conversation != old)
        seat.tmux_do("send-keys", "-t", "s1", "-l", "Once more. [[scenario:lie]]")
        await wait_for(lambda: "Once more" in seat.screen(), what="the words at the prompt")

        def others() -> set[str]:  # who attaches at that very moment is told of a turn's end twice
            return {one.turn for one in session.all(s.TurnEnded)} - {first.turn}

        while not others():
            seat.tmux_do("send-keys", "-t", "s1", "Enter")
            with contextlib.suppress(AssertionError):
                await wait_for(others, 2)
        assert await channel.send("[[scenario:lie]]")
        await wait_for(lambda: len(others()) == 2, what="the turn that the message began")
