"""The client of an agent that speaks the Agent Client Protocol; it runs in the session's pane: `python -m andon_agents.acp_client`.

It prints a plain transcript for a person, writes raw messages for the daemon, and acts on what the daemon leaves as files. It
decides nothing: what the agent asks waits for a decision, unless it was told to approve all. Ctrl-C ends the turn; a line typed
into the pane is a message. It stays for further prompts until it is ended.
"""

import argparse
import asyncio
import contextlib
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import acp
import msgspec
from acp.schema import (
    AllowedOutcome,
    ClientCapabilities,
    DeniedOutcome,
    EnvVariable,
    FileSystemCapabilities,
    Implementation,
    McpServerStdio,
    PermissionOption,
    RequestPermissionResponse,
    ToolCallUpdate,
)
from watchfiles import awatch

from andon.schema.clean import clean
from andon.schema.jobs import ASKS

from . import acp_files
from .acp_feed import Feed, Log

START_S, LIMIT = 90, 64 * 1024 * 1024
"""Seconds for the agent's first answers; bytes of one message."""
ENDED_S = 2.0


class Pane:
    """What a person reads: plain text, nothing that a terminal would obey."""

    def __init__(self) -> None:
        self._inline = False

    def row(self, text: str, limit: int = 500) -> None:
        """A line of its own."""
        with contextlib.suppress(OSError):  # the pane may be gone before us
            print(("\n" if self._inline else "") + clean(text[:limit]), flush=True)
        self._inline = False

    def run_on(self, text: str) -> None:
        """The model's words, as they come."""
        with contextlib.suppress(OSError):
            print(clean(text), end="", flush=True)
        self._inline = not text.endswith("\n")


class Host:
    """The client's side of the protocol."""

    def __init__(self, job: Path, pane: Pane, log: Log, *, approve_all: bool) -> None:
        self.job, self.pane, self.log, self.approve_all = job, pane, log, approve_all
        self.decided, self.cancelled = asyncio.Event(), asyncio.Event()
        self.quiet = False
        self._asked = 0

    def on_connect(self, conn: Any) -> None:
        """Nothing to do."""

    async def session_update(self, session_id: str, update: Any, **_: Any) -> None:
        """Show what the agent does."""
        if self.quiet:
            return
        kind = getattr(update, "session_update", "")
        if kind == "agent_message_chunk":
            self.pane.run_on(getattr(update.content, "text", ""))
        elif kind == "tool_call":
            self.pane.row(f"• {update.title}")
        elif kind == "tool_call_update" and update.status in ("completed", "failed"):
            self.pane.row(f"  {update.status}")

    async def request_permission(
        self, session_id: str, tool_call: ToolCallUpdate, options: list[PermissionOption], **_: Any,
    ) -> RequestPermissionResponse:
        """Wait for a decision, then choose by kind; never one that holds for ever."""
        kinds = {option.kind: option.option_id for option in reversed(options)}
        if self.approve_all and "allow_once" in kinds:
            return _chosen(kinds["allow_once"])
        self._asked += 1
        ask = f"acp-{self.log.sitting}-{self._asked}"
        call = tool_call.model_dump(mode="json", by_alias=True, exclude_none=True)
        self.log.write({"method": "session/request_permission", "params": {"sessionId": session_id, "toolCall": call}}, ask=ask)
        self.pane.row(f"? {tool_call.title or tool_call.kind or 'a tool'}: waits for a decision")
        allow = await self._decision(ask)
        wanted = () if allow is None else ("allow_once",) if allow else ("reject_once", "reject_always")
        option = next((kinds[kind] for kind in wanted if kind in kinds), "")
        how = "withdrawn" if allow is None else "allowed once" if allow and option else "denied"
        self.log.write({}, settled=ask, how=how)
        self.pane.row(f"  {how}")
        return _chosen(option) if option else RequestPermissionResponse(outcome=DeniedOutcome(outcome="cancelled"))

    async def _decision(self, ask: str) -> bool | None:
        """Allowed or denied; None when the turn was ended meanwhile."""
        while not self.cancelled.is_set():
            self.decided.clear()
            found = acp_files.decision(self.job, ask)
            if found is not None:
                return found.allow
            await self.decided.wait()
        return None


class Session:
    """One conversation: prompts go in one after the other, an interrupt at any time."""

    def __init__(self, given: argparse.Namespace) -> None:
        self.given, self.job, self.pane = given, Path(given.job), Pane()
        self.log = Log(self.job / acp_files.LINES)
        self.host = Host(self.job, self.pane, self.log, approve_all=given.approve == "all")
        self.feed = Feed()
        self.prompts: asyncio.Queue[tuple[str, Path | None]] = asyncio.Queue(1_000)
        self.name, self.busy = "", False
        self.agent: Any = None
        self._seen: set[str] = set()
        self._over = asyncio.Event()

    async def run(self) -> int:
        """Until the agent ends or we are ended. The agent's exit code."""
        acp_files.prepare(self.job)
        self.prompts.put_nowait((self.given.first, None))
        env, argv = _surroundings(), self.given.command
        async with acp.spawn_stdio_transport(*argv, env=env, cwd=self.given.cwd, limit=LIMIT) as (reader, writer, process):
            self.agent = acp.connect_to_agent(self.host, writer, reader, observers=[self._observe])  # type: ignore[arg-type] # the library's own Client protocol is wider than it needs
            async with asyncio.TaskGroup() as group:
                own = [group.create_task(one) for one in (self._errors(process), self._wishes(), self._typed(), self._talk())]
                loop = asyncio.get_running_loop()
                loop.add_signal_handler(signal.SIGINT, lambda: group.create_task(self._interrupt()))
                stopped = asyncio.Event()
                for number in (signal.SIGTERM, signal.SIGHUP):
                    loop.add_signal_handler(number, stopped.set)
                over = {group.create_task(process.wait()), group.create_task(stopped.wait()), own[-1]}
                await asyncio.wait(over, return_when=asyncio.FIRST_COMPLETED)
                self._over.set()
                for task in (*own, *over):
                    task.cancel()
            await self.agent.close()
            code = process.returncode
        self.log.write({}, ended="it was told to end" if code is None else f"the agent ended with {code}")
        return code if code and code > 0 else 1 if code else 0

    def _observe(self, event: Any) -> None:
        """Write down what matters of each message."""
        incoming, at = event.direction.value == "incoming", time.time_ns() // 1_000_000
        for message, own in self.feed.take(event.message, incoming=incoming, at=at):
            self.log.write(message, **own)

    async def _talk(self) -> None:
        """Open the conversation, then one prompt after the other."""
        try:
            await asyncio.wait_for(self._open(), START_S)
        except (acp.RequestError, OSError) as error:
            self.pane.row(f"! the agent did not open a session: {error or 'it did not answer'}")
            if isinstance(error, TimeoutError):
                self.log.write({"error": {"code": 0, "message": f"the agent did not answer within {START_S} s"}})
            await asyncio.sleep(ENDED_S)
            return
        while True:
            text, file = await self.prompts.get()
            self.pane.row(f"\n> {text}", 4_000)
            self.busy = True
            self.host.cancelled.clear()
            if file:
                acp_files.done(file)
            try:
                answer = await self.agent.prompt(session_id=self.name, prompt=[acp.text_block(text)])
                self.pane.row(f"= {answer.stop_reason}")
            except (acp.RequestError, OSError) as error:
                self.pane.row(f"! {error}")
            finally:
                self.busy = False

    async def _open(self) -> None:
        """A new session, or the one to go on with when the agent can."""
        able_to = ClientCapabilities(fs=FileSystemCapabilities(read_text_file=False, write_text_file=False), terminal=False)
        us = Implementation(name="andon", version="1")
        can = await self.agent.initialize(protocol_version=acp.PROTOCOL_VERSION, client_info=us, client_capabilities=able_to)
        servers = _servers(self.given.mcp, self.job)
        resume, able = self.given.resume, can.agent_capabilities and can.agent_capabilities.load_session
        if resume and able:
            self.feed.replaying = self.host.quiet = True
            try:
                await self.agent.load_session(cwd=self.given.cwd, session_id=resume, mcp_servers=servers)
                self.name = resume
                self.log.write({}, conversation=resume)
            except acp.RequestError as error:
                self.pane.row(f"! {resume} cannot be gone on with ({error}); a new conversation begins")
            finally:
                self.feed.replaying = self.host.quiet = False
        if not self.name:
            self.name = (await self.agent.new_session(cwd=self.given.cwd, mcp_servers=servers)).session_id

    async def _wishes(self) -> None:
        """Act on what the daemon leaves, from what lies there on."""
        self._look()
        folders = (self.job / acp_files.SAYS, self.job / ASKS)
        async for _ in awatch(*folders, stop_event=self._over, debounce=50, step=20, recursive=False, rust_timeout=60_000):
            self.host.decided.set()
            if self._look():
                await self._interrupt()

    def _look(self) -> bool:
        """Take all wishes; whether one is to interrupt."""
        stop = False
        for path in acp_files.wishes(self.job):
            if path.stem in self._seen:
                continue
            taken, say = acp_files.take(path)
            self._seen.add(path.stem)
            if say is None or say.kind == "interrupt":
                stop = stop or say is not None
                acp_files.done(taken)
            elif not self.prompts.full():
                self.prompts.put_nowait((say.text, taken))
        return stop

    async def _interrupt(self) -> None:
        """End the turn."""
        self.host.cancelled.set()
        self.host.decided.set()
        if self.name and self.busy:
            self.pane.row("! interrupted")
            await self.agent.cancel(session_id=self.name)

    async def _errors(self, process: Any) -> None:
        """What the agent says on its error stream goes to the pane."""
        while piece := await process.stderr.read(4096):
            for row in piece.decode(errors="replace").splitlines()[:3]:
                self.pane.row(f"! {row}", 200)

    async def _typed(self) -> None:
        """A line typed into the pane is a message."""
        if not sys.stdin.isatty():
            return
        reader = asyncio.StreamReader()
        await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(os.dup(0), "rb"))
        while row := await reader.readline():
            words = row.decode(errors="replace").strip()
            if words and not self.prompts.full():
                self.prompts.put_nowait((words, None))


def _surroundings() -> dict[str, str]:
    """The agent's environment: ours, without what only this client needs."""
    env = dict(os.environ)
    theirs = env.pop("ANDON_ACP_PYTHONPATH", None)
    if theirs is not None:
        env["PYTHONPATH"] = theirs
    return {name: value for name, value in env.items() if name != "PYTHONPATH" or value}


def _chosen(option: str) -> RequestPermissionResponse:
    return RequestPermissionResponse(outcome=AllowedOutcome(outcome="selected", option_id=option))


def _servers(told: str, job: Path) -> list[Any]:
    """Our own MCP server, for agents that take one."""
    argv = msgspec.json.decode(told or "[]", type=list[str])
    env = [EnvVariable(name="ANDON_JOB", value=str(job))]
    return [McpServerStdio(name="andon", command=argv[0], args=argv[1:], env=env)] if argv else []


def main(argv: list[str] | None = None) -> int:
    """Run one session."""
    parser = argparse.ArgumentParser(prog="andon_agents.acp_client")
    for name in ("job", "prompt", "cwd"):
        parser.add_argument(f"--{name}", required=True)
    for name in ("resume", "mcp", "approve"):
        parser.add_argument(f"--{name}", default="")
    parser.add_argument("command", nargs="+")
    given = parser.parse_args(argv)
    given.first = Path(given.prompt).read_text("utf-8", "replace")
    with contextlib.suppress(KeyboardInterrupt):
        return asyncio.run(Session(given).run())
    return 130


if __name__ == "__main__":
    sys.exit(main())
