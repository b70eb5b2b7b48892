"""Our own tmux server: sessions of attempts in, what is seen of them out; it must never know what an attempt is for.

Theory of operation. The server lives on its own socket with its own configuration. It makes itself a session of its own
and a child of init (under a service manager we start it in a scope of its own), so agents outlive the daemon; a server
that runs already is adopted. All commands of the daemon go through one control-mode connection to a session named `hub`,
and one subscription on it makes the server push title, death and activity of all panes when they change: we poll nothing.

Why not libtmux: it starts a process for each call. For 200 panes at 2 Hz that took 61 % of a core for us and 67 % of the
server's, against 0.12 % and no more than nobody watching for a subscription (about 500 to 1), and its calls block the
event loop. The few one-off calls that do start a process here (version, server start, a last screen) need none of it.
"""

import asyncio
import itertools
import os
import re
import shutil
import signal
from collections.abc import Callable, Mapping, Sequence
from importlib import resources

import msgspec

from andon.edges import process, shim_files, withheld
from andon.edges.control import Control, TmuxError, environment, literal
from andon.edges.spawn import spawn
from andon.schema.clean import clean
from andon.schema.errors import Mistake
from andon.schema.layout import Layout

__all__ = ["News", "PaneSeen", "PanesChanged", "ServerLost", "Tmux", "TmuxError", "server_argv"]

HUB, MARKER, SUBSCRIPTION = "hub", "@andon_attempt", "andon"
OLDEST = (3, 2)
"""Subscriptions, client flags and `new-session -e` came with 3.2."""
ACTIVITY_S = 10
"""Activity is told to this many seconds, so that a busy pane is no news every second."""
BACKOFF_S = (0.1, 5.0)
ECHO_S = 0.5
"""At most this long is waited for a pasted text to show before Enter follows."""
PASTE_BYTES = 1024 * 1024
_NAME = re.compile(r"[A-Za-z0-9_-]{1,100}")
_RECORD = (
    f"#{{session_name}} #{{{MARKER}}} #{{pane_id}} #{{pane_pid}} #{{pane_dead}} #{{pane_dead_status}} #{{pane_dead_signal}} "
    f"#{{e|/:#{{window_activity}},{ACTIVITY_S}}} #{{n:pane_title}} #{{pane_title}}"
)
"""One pane. The title comes last and with its length in bytes, so an agent cannot forge another pane's record with it."""
_ALL = f"#{{S:#{{?{MARKER},{_RECORD} ,}}}}"
_PASTE_END = re.compile("(?:\x1b\\[|\x9b)201~")


class PaneSeen(msgspec.Struct, frozen=True, kw_only=True):
    """A session of ours, as tmux sees it."""

    name: str
    pane: str
    """`%12`."""
    pid: int
    """The first process of the pane (the shim)."""
    dead: bool = False
    status: int | None = None
    """Exit code of a dead pane's process, as far as tmux knows it; a job's own `exit.json` is what counts."""
    signal: int | None = None
    title: str = ""
    """Set by the agent; cleaned."""
    activity: int = 0
    """Unix seconds of the last output, to ten seconds."""


class PanesChanged(msgspec.Struct, frozen=True, kw_only=True, tag="panes-changed"):
    """What is different since the last news."""

    panes: tuple[PaneSeen, ...] = ()
    gone: tuple[str, ...] = ()
    """Names of sessions that are no more."""


class ServerLost(msgspec.Struct, frozen=True, kw_only=True, tag="server-lost"):
    """The tmux server is gone, and every session with it. `ensure` starts a new one."""

    because: str


News = PanesChanged | ServerLost


def server_argv(layout: Layout) -> list[str]:
    """The beginning of every command line to our server."""
    return ["tmux", "-S", str(layout.tmux_socket), "-f", str(layout.tmux_config)]


class Tmux:
    """Our server. `ensure` before anything else; `run` in a task of its owner for as long as news are wanted."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self._argv = server_argv(layout)
        self._control: Control | None = None
        self._sent = 0
        self._connecting = asyncio.Lock()
        self._making = asyncio.Lock()
        self._callback: Callable[[News], None] | None = None
        self._known: dict[str, PaneSeen] = {}
        self._server = (0, 0)
        self._wake = asyncio.Event()
        self._buffers = itertools.count(1)

    @property
    def sent(self) -> int:
        """Commands sent to the server so far."""
        return self._sent + (self._control.sent if self._control else 0)

    @property
    def client_pid(self) -> int | None:
        """The process at our end of the connection."""
        return self._control.pid if self._control and not self._control.lost else None

    async def ensure(self) -> None:
        """Have a server and a connection to it: adopt the one that runs, else start it. Raises Mistake when that cannot be."""
        if self.client_pid is not None:
            return  # a connection that stands is all of that, and was made here
        await self._check_version()
        for folder in (self.layout.home, self.layout.runtime):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.layout.runtime.chmod(0o700)
        changed = self._write_config()
        if await self._start_server() and changed:
            await self._run("source-file", str(self.layout.tmux_config))
        try:
            await self._connected()
        except TmuxError as error:
            raise self._mistake(str(error)) from error
        self._wake.set()

    async def command(self, *words: str) -> list[str]:
        """One command in tmux's own words; its output lines. Raises TmuxError."""
        return await (await self._connected()).command(*words)

    async def new_session(
        self, name: str, argv: Sequence[str], cwd: str, env: Mapping[str, str], width: int = 120, height: int = 40
    ) -> PaneSeen:
        """Run `argv` (exactly, no shell) in a new session that carries our marker. One of that name is returned as it is.

        One at a time: tmux 3.3a was seen to crash when several sessions came and went at once.
        """
        assert _NAME.fullmatch(name) and name != HUB, name
        async with self._making:
            if seen := (await self.sessions()).get(name):
                return seen
            return await self._make(name, argv, cwd, env, (width, height))

    async def _make(self, name: str, argv: Sequence[str], cwd: str, env: Mapping[str, str], size: tuple[int, int]) -> PaneSeen:
        width, height = size
        words = tuple(argv) if len(argv) > 1 else ("/bin/sh", "-c", 'exec "$0"', *argv)
        extra = [word for key, value in env.items() for word in ("-e", f"{key}={value}")]
        control = await self._connected()
        await control.sequence(
            ("new-session", "-d", "-s", name, "-x", str(width), "-y", str(height), "-c", literal(cwd), *extra, "--", *words),
            ("set-option", "-t", f"={name}:", MARKER, name),
        )
        seen = (await self.sessions()).get(name)
        if seen is None:
            raise TmuxError(f"session {name} ended at once")
        return seen

    async def sessions(self) -> dict[str, PaneSeen]:
        """Every session of ours by name: one command, however many there are."""
        seen = await self._sessions()
        if any(_unreaped(pane) for pane in seen.values()):
            self._nudge()
            seen = await self._sessions()
        return seen

    async def _sessions(self) -> dict[str, PaneSeen]:
        rows = await self.command("list-panes", "-a", "-f", f"#{{{MARKER}}}", "-F", _RECORD)
        return {seen.name: seen for row in rows for seen in _records(row.encode() + b" ")}

    async def kill_session(self, name: str) -> None:
        """Take a session away (its processes get SIGHUP). Only one that carries our marker; an absent one is no error."""
        assert _NAME.fullmatch(name), name
        facts = f"#{{session_id}} #{{session_name}} #{{{MARKER}}}"
        try:
            row = (await self.command("display-message", "-p", "-t", f"={name}:", facts))[0]
        except TmuxError as error:
            if error.lost:
                raise
            return
        session, named, marker = row.split(" ", 2)
        if named != name:
            return
        if marker != name:
            raise AssertionError(f"session {name} does not carry our marker")
        await self.command("kill-session", "-t", session)

    async def capture_text(self, name: str, lines: int = 200) -> str:
        """The last lines of a session's screen and history, cleaned; empty when there is no such session."""
        assert _NAME.fullmatch(name), name
        code, told = await self._run("capture-pane", "-p", "-J", "-t", f"={name}:", "-S", f"-{lines}")
        rows = [row.rstrip() for row in withheld.text(told).rstrip().split("\n")]  # -J: a word that was wrapped is one word again
        return "\n".join(rows[-lines:]) if code == 0 else ""

    async def send_text(self, name: str, text: str) -> None:
        """Paste this text exactly, see it echoed, then press Enter. Raises Mistake for text that would break out of a paste."""
        assert _NAME.fullmatch(name), name
        if _PASTE_END.search(text) or "\0" in text or len(text.encode(errors="surrogateescape")) > PASTE_BYTES:
            raise Mistake("This text cannot be pasted: it ends the paste itself, carries NUL, or is longer than 1 MiB", where=name)
        target, control = f"={name}:", await self._connected()
        where = ("display-message", "-p", "-t", target, "#{cursor_x} #{cursor_y} #{history_size} #{history_bytes}")
        before = await control.command(*where)
        if text:
            await self._paste(control, target, text)
            pause, waited = 0.01, 0.0
            while waited < ECHO_S and await control.command(*where) == before:
                await asyncio.sleep(pause)
                waited, pause = waited + pause, pause * 1.5
        enter = f"andon-{os.getpid()}-{next(self._buffers)}"
        await control.sequence(("set-buffer", "-b", enter, "\r"), ("paste-buffer", "-d", "-r", "-b", enter, "-t", target))

    async def _paste(self, control: Control, target: str, text: str) -> None:
        name = f"andon-{os.getpid()}-{next(self._buffers)}"
        file = self.layout.runtime / f"{name}.paste"
        try:
            shim_files.write_whole(str(file), text.encode(errors="surrogateescape"))
            await control.sequence(
                ("load-buffer", "-b", name, str(file)), ("paste-buffer", "-d", "-p", "-r", "-b", name, "-t", target))
        finally:
            file.unlink(missing_ok=True)

    def subscribe(self, callback: Callable[[News], None]) -> None:
        """Call back with what changed, about a second after it did, while `run` runs.

        Asked for before `run`, the first news names every session there is.
        """
        self._callback = callback
        self._known = {}

    async def run(self) -> None:
        """Hold the connection and its subscription for life: reconnect with back-off, tell when the server itself is gone.

        Before the first `ensure` that succeeded there is nothing to hold: it waits for it.
        """
        pause = BACKOFF_S[0]
        if self._control is None:
            await self._wake.wait()
        while True:
            try:
                control = await self._connected()
                await control.command("refresh-client", "-B", f"{SUBSCRIPTION}::{_ALL}")
                self._wake.clear()
                pause = BACKOFF_S[0]
                if not control.lost:
                    await self._wake.wait()
            except TmuxError as error:
                self._wake.clear()  # before the look: an `ensure` that comes meanwhile is not forgotten
                if not await self._is_there():
                    await self._server_lost(str(error))
                await asyncio.sleep(pause)
                pause = min(pause * 2, BACKOFF_S[1])

    async def close(self) -> None:
        """Close our connection. The server and every session go on."""
        control, self._control = self._control, None
        if control:
            self._sent += control.sent
            await control.close()

    # --- inside ------------------------------------------------------------------------------------------------------

    async def _is_there(self) -> bool:
        """Whether the server answers; without tmux itself nobody can ask, and it counts as gone."""
        try:
            return (await self._run("has-session", "-t", f"={HUB}"))[0] == 0
        except Mistake:
            return False

    async def _server_lost(self, because: str) -> None:
        """Tell it once, then wait for `ensure`."""
        self._known = {}
        if self._callback:
            self._callback(ServerLost(because=because))
        await self._wake.wait()

    async def _connected(self) -> Control:
        """The connection, made anew when the last one ended. Raises TmuxError when there is no server."""
        async with self._connecting:
            if self._control is None or self._control.lost:
                await self.close()
                self._control = await Control.open(
                    self._argv, f"={HUB}", "no-output,ignore-size", self._notice, self._wake.set)
                pid = int((await self._control.command("display-message", "-p", "#{pid}"))[0])
                self._server = (pid, process.start_ticks(pid) or 0)
            return self._control

    def _nudge(self) -> None:
        """Let the server reap a pane whose end it missed: libutempter, where tmux is built with it, swallows a SIGCHLD at times."""
        process.tell(*self._server, signal.SIGCHLD)

    def _notice(self, kind: str, rest: bytes) -> None:
        if kind != "subscription-changed" or not rest.startswith(SUBSCRIPTION.encode() + b" "):
            return
        now = {seen.name: seen for seen in _records(rest.partition(b" : ")[2])}
        changed = tuple(seen for name, seen in now.items() if self._known.get(name) != seen)
        gone = tuple(name for name in self._known if name not in now)
        self._known = now
        if any(_unreaped(pane) for pane in changed):
            self._nudge()
        if self._callback and (changed or gone):
            self._callback(PanesChanged(panes=changed, gone=gone))

    async def _run(self, *words: str, program: Sequence[str] = ()) -> tuple[int, str]:
        """One tmux process: exit code, and what it said."""
        try:
            ran = await spawn(
                *(program or self._argv), *words, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT, env=environment(), cwd="/", start_new_session=True)
        except FileNotFoundError as error:
            raise Mistake("tmux is not installed", mend="Install tmux 3.2 or newer and try again.") from error
        out, _ = await ran.communicate()
        return ran.returncode or 0, out.decode(errors="replace")

    async def _check_version(self) -> None:
        _, text = await self._run("-V", program=("tmux",))
        found = re.search(r"(\d+)\.(\d+)", text)
        if found and (int(found[1]), int(found[2])) < OLDEST:
            raise Mistake(f"{text.strip()} is too old", where=shutil.which("tmux") or "tmux", mend="Install tmux 3.2 or newer.")

    def _write_config(self) -> bool:
        """Put our configuration where the server reads it; whether it changed."""
        wanted = resources.files("andon.edges").joinpath("tmux.conf").read_bytes()
        if self.layout.tmux_config.exists() and self.layout.tmux_config.read_bytes() == wanted:
            return False
        shim_files.write_whole(str(self.layout.tmux_config), wanted)
        return True

    async def _start_server(self) -> bool:
        """Start the server with its hub, or find it. True when it was there already."""
        words = ("-u", "new-session", "-d", "-s", HUB, "-x", "80", "-y", "24", "cat")
        scope = ("systemd-run", "--user", "--scope", "--quiet", "--collect", *self._argv)
        if os.environ.get("ANDON_SERVICE") and shutil.which("systemd-run"):
            code, text = await self._run(*words, program=scope)
            if code == 0 or "duplicate session" in text:
                return code != 0
        code, text = await self._run(*words)
        if code != 0 and "duplicate session" not in text:
            raise self._mistake(text.strip())
        return code != 0

    def _mistake(self, text: str) -> Mistake:
        return Mistake(f"The tmux server of the factory could not be reached: {clean(text)}", where=str(self.layout.tmux_socket),
                       mend="See that this directory is writable and that `tmux -V` is the version that the running server has.")


def _unreaped(pane: PaneSeen) -> bool:
    return pane.dead and pane.status is None and pane.signal is None


def _records(data: bytes) -> list[PaneSeen]:
    """The panes in a value of our own format; the rest is left unread where it does not fit."""
    seen: list[PaneSeen] = []
    while data:
        fields = data.split(b" ", 9)
        if len(fields) < 10 or not fields[3].isdigit() or not fields[8].isdigit():
            break
        name, marker, pane, pid, dead, status, signum, activity, length, rest = fields
        size = int(length)
        title, data = rest[:size], rest[size + 1:]
        if name == marker:
            seen.append(PaneSeen(
                name=name.decode(), pane=pane.decode(), pid=int(pid), dead=dead == b"1",
                status=int(status) if status.isdigit() else None, signal=int(signum) if signum.isdigit() else None,
                title=clean(title.decode(errors="replace")).replace("\n", " "),
                activity=int(activity or 0) * ACTIVITY_S))
    return seen
