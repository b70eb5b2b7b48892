"""One session's screen, streamed while somebody watches it; it must never know who does.

Theory of operation. A short-lived control-mode client attaches to that one session. Its %output lines are only a doorbell:
they are thrown away and ring a `capture-pane`, at most ten times a second, so tmux stays the terminal emulator and a frame
is always a whole finished screen. While a flood is on, tmux is told to hold its output back between two frames, so a
flood costs us no more than a spinner. A silent pane rings nothing: no command is sent and no timer runs.

Rows come from the agent: they pass `clean_row`, and a screen that forges protocol lines can only spoil its own picture.

`Glances` reads the rows of many panes in one round trip, on a connection of their own. Each pane's rows lie between two marks
that no agent can know. When a mark is not where it belongs, some screen forged the protocol's own lines: the connection is
given up, every pane is read alone, and the one that spoils its reading is left unread.
"""

import asyncio
import re
import secrets
import time
from collections.abc import Callable, Sequence
from typing import Literal

import msgspec

from andon.edges import withheld
from andon.edges.control import Control, TmuxError
from andon.edges.spawn import spawn
from andon.edges.tmux import HUB, server_argv
from andon.schema.clean import clean, clean_row
from andon.schema.ids import AttemptId, session_name
from andon.schema.layout import Layout
from andon.schema.wire import PaneIs

FRAME_S = 0.1
"""At least this long between two frames."""
FLOOD_BYTES = 32 * 1024
"""Output between two frames past which tmux is told to hold it back."""
RETRY_S = (0.2, 5.0)
TOGETHER = 50
"""Panes of one command line of glances."""
SPOILED_S = 60.0
"""A pane whose screen spoiled its reading is not read again for so long."""
_FACTS = "@#{pane_width} #{pane_height} #{cursor_x} #{cursor_y} #{cursor_flag} #{pane_dead}"
_NUMBERS = re.compile(r"@(\d+) (\d+) (\d+) (\d+) (\d) (\d)")


class PaneWatch:
    """Streams one attempt's screen to a callback. Run `run` in a task of its owner; cancel it to stop watching."""

    def __init__(self, layout: Layout, attempt: AttemptId, callback: Callable[[PaneIs], None], *, rows: int = 0) -> None:
        self.captures = 0
        """Frames asked for, for tests and benchmarks that count."""
        self.retries = 0
        """Connections that ended and were tried anew."""
        self.sent = 0
        """Commands sent on connections that are closed already; see `commands`."""
        self._argv, self._attempt, self._callback = server_argv(layout), attempt, callback
        self._limit = rows
        self._target = f"={session_name(attempt)}"
        self._control: Control | None = None
        self._bell = asyncio.Event()
        self._heard = 0
        self._held = False
        self._pane = ""
        self._facts = b""
        self._last: PaneIs | None = None
        self._at = 0.0

    @property
    def commands(self) -> int:
        """Commands sent to the server so far."""
        return self.sent + (self._control.sent if self._control else 0)

    @property
    def client_pid(self) -> int | None:
        """The process at our end of the connection, while there is one."""
        return self._control.pid if self._control and not self._control.lost else None

    async def run(self) -> None:
        """Watch until the session is gone (the last PaneIs says so) or the task is cancelled."""
        pause = 0.0
        while True:
            before = self.captures
            try:
                await self._watch()
            except TmuxError as error:
                if not error.lost or "can't find session" in str(error):
                    return self._over("ended")
            finally:
                await self._leave()
            pause = 0.0 if self.captures > before else min(max(pause * 2, RETRY_S[0]), RETRY_S[1])
            self.retries += 1
            await asyncio.sleep(pause)
            if not await self._server_answers():
                self._over("unknown")

    async def _watch(self) -> None:
        """One connection: a frame now, then one for each ring of the bell. Raises TmuxError at its end."""
        self._control = control = await Control.open(self._argv, self._target, "ignore-size", self._notice, self._bell.set)
        self._held, self._heard = False, 0
        self._pane = (await control.command("display-message", "-p", "#{pane_id}"))[0]
        await control.command("refresh-client", "-B", "dead::#{pane_dead} #{pane_width} #{pane_height}")
        self._bell.set()
        while True:
            await self._bell.wait()
            wait = self._at + FRAME_S - time.monotonic()
            if wait > 0:
                await asyncio.sleep(wait)
            await self._frame(control)

    async def _frame(self, control: Control) -> None:
        """Let output flow again, then capture, in one turn of the server: whatever comes later rings the bell anew."""
        self._bell.clear()
        self._at = time.monotonic()
        self._heard = 0
        commands: list[tuple[str, ...]] = [
            ("capture-pane", "-p", "-e", "-t", self._pane), ("display-message", "-p", "-t", self._pane, _FACTS)]
        if self._held:
            self._held = False
            commands.insert(0, ("refresh-client", "-A", f"{self._pane}:continue"))
        self.captures += 1
        *_, rows, facts = await control.sequence(*commands)
        numbers = _NUMBERS.fullmatch(facts[0]) if facts else None
        if numbers is None:
            return
        width, height, x, y, shown, dead = (int(number) for number in numbers.groups())
        self._facts = f"{dead} {width} {height}".encode()
        self._tell(self._picture(rows, width, height, (x, y) if shown else None, alive=not dead))

    def _picture(self, rows: list[str], width: int, height: int, cursor: tuple[int, int] | None, *, alive: bool) -> PaneIs:
        """The screen, or its last written rows when fewer are wanted."""
        cleaned = _without_secrets([clean_row(row) for row in rows[:height]], width)
        used = max((n for n, row in enumerate(cleaned, 1) if row.strip()), default=0)
        used = max(used, cursor[1] + 1 if cursor else 0)
        first = max(0, used - self._limit) if self._limit else 0
        last = first + self._limit if self._limit else len(cleaned)
        if cursor and not first <= cursor[1] < last:
            cursor = None
        return PaneIs(
            attempt=self._attempt, rows=tuple(cleaned[first:last]), width=width, height=height,
            cursor=(cursor[0], cursor[1] - first) if cursor else None, alive=alive, state="live" if alive else "ended")

    def _tell(self, picture: PaneIs) -> None:
        """Hand it on when rows, size or state differ from the last."""
        last, self._last = self._last, picture
        if last is None or msgspec.structs.replace(last, cursor=picture.cursor) != picture:
            self._callback(picture)

    def _over(self, state: Literal["ended", "unknown"]) -> None:
        base = self._last or PaneIs(attempt=self._attempt, rows=(), width=0, height=0)
        self._tell(msgspec.structs.replace(base, cursor=None, alive=False, state=state))

    def _notice(self, kind: str, rest: bytes) -> None:
        if kind in ("output", "extended-output"):
            if not rest.startswith(self._pane.encode() + b" "):
                return
            self._heard += len(rest)
            if self._heard > FLOOD_BYTES and not self._held and self._control:
                self._held = True
                self._control.post("refresh-client", "-A", f"{self._pane}:pause")
        elif kind != "subscription-changed" or rest.partition(b" : ")[2] == self._facts:
            return
        self._bell.set()

    async def _server_answers(self) -> bool:
        """Whether there is still a server; its session may then be attached to, or told gone, by the next try."""
        tries = await spawn(
            *self._argv, "list-sessions", stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL)
        return await tries.wait() == 0

    async def _leave(self) -> None:
        control, self._control = self._control, None
        if control:
            self.sent += control.sent
            await control.close()


class Glances:
    """What the panes of one server show, on demand: plain rows without colours. Asks nothing while nobody asks."""

    def __init__(self, layout: Layout) -> None:
        self.looks = 0
        """Panes read so far, for tests that count."""
        self._argv = server_argv(layout)
        self._control: Control | None = None
        self._spoiled: dict[str, float] = {}
        self._lock = asyncio.Lock()

    @property
    def client_pid(self) -> int | None:
        """The process at our end of the connection, while there is one."""
        return self._control.pid if self._control and not self._control.lost else None

    async def rows(self, panes: Sequence[str]) -> dict[str, tuple[str, ...]]:
        """The cleaned rows of each pane (`%12`), the blank ones at the end left out. One that is gone is left out."""
        now = time.monotonic()
        self._spoiled = {pane: at for pane, at in self._spoiled.items() if now - at < SPOILED_S}
        wanted = [pane for pane in dict.fromkeys(panes) if pane not in self._spoiled]
        found: dict[str, tuple[str, ...]] = {}
        async with self._lock:
            for start in range(0, len(wanted), TOGETHER):
                part = wanted[start : start + TOGETHER]
                found |= await self._together(part) or await self._one_by_one(part)
        return found

    async def close(self) -> None:
        """Let go of the connection; the next glance makes another."""
        control, self._control = self._control, None
        if control:
            await control.close()

    async def _together(self, panes: Sequence[str]) -> dict[str, tuple[str, ...]]:
        """All in one round trip; empty when one of them is gone or spoils it."""
        mark = secrets.token_hex(8)
        commands: list[tuple[str, ...]] = []
        for n, pane in enumerate(panes):
            commands += [("display-message", "-p", f"{mark} {n}"), ("capture-pane", "-p", "-t", pane)]
        self.looks += len(panes)
        try:
            told = await (await self._connected()).sequence(*commands, ("display-message", "-p", mark))
        except TmuxError:
            return {}
        marks = [*(f"{mark} {n}" for n in range(len(panes))), mark]
        if [" ".join(rows) for rows in told[::2]] != marks:
            await self.close()
            return {}
        return {pane: cleaned(rows) for pane, rows in zip(panes, told[1::2], strict=True)}

    async def _one_by_one(self, panes: Sequence[str]) -> dict[str, tuple[str, ...]]:
        found: dict[str, tuple[str, ...]] = {}
        for pane in panes:
            one = await self._together([pane])
            if one:
                found |= one
            elif self._control is None:
                self._spoiled[pane] = time.monotonic()
        return found

    async def _connected(self) -> Control:
        if self._control is None or self._control.lost:
            await self.close()
            self._control = await Control.open(self._argv, f"={HUB}", "no-output,ignore-size", _heed_nothing, _do_nothing)
        return self._control


def cleaned(rows: Sequence[str]) -> tuple[str, ...]:
    """Plain rows without what a terminal would obey; blank ones at the end are left out."""
    last = len(rows)
    while last and not rows[last - 1].strip():
        last -= 1
    plain = tuple(row if row.isprintable() else clean(row).replace("\n", " ").replace("\t", " ") for row in rows[:last])
    return withheld.redactor().rows(plain, max(map(len, plain), default=0))


def _without_secrets(rows: list[str], width: int) -> list[str]:
    """The coloured rows of a screen; one that holds a secret, or a part of one, comes without colours and with dots for it."""
    plain = tuple(clean(row) for row in rows)
    kept = withheld.redactor().rows(plain, width)
    return rows if kept is plain else [row if one is before or one == before else one
                                       for row, before, one in zip(rows, plain, kept, strict=True)]


def _heed_nothing(kind: str, rest: bytes) -> None:
    """What tmux pushes on this connection is for nobody."""


def _do_nothing() -> None:
    """The next glance finds out by itself."""
