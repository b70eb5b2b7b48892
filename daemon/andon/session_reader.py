"""Reads what one session's sources say and keeps the monitor's memory of it. It tells nobody and decides nothing.

Theory of operation. At the start everything that lies on disk of this sitting (hooks, gateway, channel, the transcript that the
agent named) is read from the beginning and folded in the order of its time, so a daemon that was killed comes to the same
verdict. From then on each file is read on from where it stopped; the channel's lines are handed over as they come.
"""

import asyncio
import logging
import math
from collections.abc import Iterable
from pathlib import Path

import msgspec

from andon.access import Ear, bounds_of
from andon.core import monitor
from andon.core.state import Attempt
from andon.edges import beneath, jobs
from andon.edges.lines import Tail, aside, decode
from andon.edges.transcript import Transcript, named
from andon.edges.tree import Look, Root
from andon.edges.tried import Tally
from andon.edges.weight import Scale
from andon.schema.agent import Adapter, Profile, Supervised
from andon.schema.ids import AttemptId
from andon.schema.jobs import CHANNEL, DOOR, GATEWAY, HOOKS, Job, Started
from andon.schema.layout import Layout
from andon.schema.rules import Rules
from andon.schema.signals import AnySignal, Began, Call, Disk, Files, Line, Screen, Spoke, Verdict
from andon.tell import Told

FOREIGN = (ArithmeticError, AssertionError, AttributeError, LookupError, RuntimeError, TypeError, ValueError)
"""What somebody else's adapter may raise although it must not."""
TURN = 200
"""Lines folded before other tasks get their turn, while a session's past is read."""
LIVE_BYTES = 64 * 1024
"""At most so much of a file is read before the other sessions get their turn."""
FILES_S = 1.0
"""Changes of files within this time are one."""
_CALL = msgspec.json.Decoder(Call)
log = logging.getLogger("andon.sessions")


class Reader:
    """One sitting of one attempt."""

    def __init__(self, attempt: Attempt, agent: str, adapter: Adapter | None, folder: Path, now: int,
                 layout: Layout | None = None) -> None:
        self.attempt, self.sitting, self.agent, self.folder = attempt.attempt, attempt.sitting, agent, folder
        self.supervised = adapter if isinstance(adapter, Supervised) else None
        self.profile = self.supervised.profile() if self.supervised else Profile()
        seen, job = jobs.probe(folder), jobs.read_job(folder)
        started = None if isinstance(seen, jobs.NotStarted) else seen.started
        self.since = started.at if started else now
        self.root = _root(self.attempt, folder, started, self.profile.processes, job.argv[0] if job and job.argv else "")
        self.door = _door(folder, job)
        self.home = Path(job.sandbox.home).resolve() if job and job.sandbox and job.sandbox.home else None
        """Within walls: where alone its transcript can lie."""
        self.watch: monitor.Watch = monitor.begin(agent, self.since, processes=self.profile.processes)
        self.git = _git_dir(Path(attempt.path))
        self.scale = Scale(Path(attempt.path))
        self.wrote, self.written = 0, -1
        """Bytes that its processes wrote so far: to anything, and towards a disk."""
        self.told = Told()
        self.verdict: Verdict | None = None
        self.ready = False
        """The past was read: what comes now is new."""
        self.pane = ""
        self.activity, self.title = 0, ""
        self.agent_process: tuple[int, int] | None = None
        """Pid and start of the one whose end the kernel tells us."""
        self.lines = 0
        """Lines that were understood or not, for tests that count."""
        # what the supervisor remembers of its own doings, in the event loop's seconds
        self.judged, self.judge_at = -math.inf, math.inf
        self.looked, self.look_at = -math.inf, math.inf
        self.glanced, self.glance_at = -math.inf, math.inf
        self.idle_looks = 0
        """Looks in a row that changed nothing."""
        self.noisy_until = -math.inf
        """The pane may still change without our being told."""
        self.rows: tuple[str, ...] = ()
        self._tails = [Tail(folder / HOOKS), Tail(folder / GATEWAY)]
        self._transcript: Transcript | None = None
        self._filed = -math.inf
        self.tally = Tally(attempt.attempt, folder)
        """What its walls refused it."""
        box = job.sandbox if job else None
        self._ear = Ear(self.tally, folder, bounds_of(layout, attempt.attempt, attempt.path, box)) if layout else None

    @property
    def transcript(self) -> Path | None:
        """The file that the agent named."""
        return self._transcript.path if self._transcript else None

    # --- the past --------------------------------------------------------------------------------------------------------

    async def catch_up(self, rules: Rules, now: int) -> None:
        """Fold everything that lies on disk, oldest first."""
        self.tally.read()
        signals: list[AnySignal] = []
        for name in (HOOKS, GATEWAY, CHANNEL):
            for tail in (Tail(aside(self.folder / name)), self._tail(name)):
                while rows := tail.read() or tail.more:
                    signals += self._read(filter(None, map(decode, rows if isinstance(rows, list) else ())), now)
                    await asyncio.sleep(0)
        self._notice(signals)
        if self._transcript is not None:
            while lines := self._transcript.read(now) or self._transcript.more:
                signals += self._read(lines if isinstance(lines, list) else (), now)
                await asyncio.sleep(0)
        signals.sort(key=lambda signal: signal.at)
        for n, signal in enumerate(signals, 1):
            self.watch = monitor.observe(self.watch, signal, rules)
            if n % TURN == 0:
                await asyncio.sleep(0)
        self.ready = True

    def _tail(self, name: str) -> Tail:
        """The tail that is read on later; the channel's own lines come by another way."""
        return next((tail for tail in self._tails if tail.path.name == name), Tail(self.folder / name))

    # --- the present -----------------------------------------------------------------------------------------------------

    def read(self, rules: Rules, now: int) -> tuple[bool, bool]:
        """Fold what is new in the files, at most one bounded reading of each: whether anything was, and whether more is left."""
        signals: list[AnySignal] = []
        for tail in self._tails:
            signals += self._read(filter(None, map(decode, tail.read(LIVE_BYTES))), now)
        if self._transcript is not None:
            signals += self._read(self._transcript.read(now), now)
        self.fold(signals, rules)
        self.tally.read()
        left = any(tail.more for tail in self._tails) or (self._transcript is not None and self._transcript.more)
        return bool(signals), left

    def take(self, line: Line, rules: Rules, now: int) -> None:
        """Fold one line of the live channel."""
        self.fold(self._read((line,), now), rules)

    def changed(self, rules: Rules, now: int, moment: float) -> bool:
        """Files in the checkout changed; whether that was news."""
        if moment - self._filed < FILES_S:
            return False
        self._filed = moment
        self.fold([Files(at=now, source="process")], rules)
        return True

    def said(self, text: str, rules: Rules, now: int) -> None:
        """The agent left a message in its outbox."""
        self.fold([Spoke(at=now, source="outbox", characters=len(text), text=text[:300])], rules)

    def seen(self, look: Look, rules: Rules) -> None:
        """Its process tree was looked at."""
        self.wrote, self.written = look.wrote, look.tree.written
        self.fold([look.tree], rules)

    def weigh(self, rules: Rules, now: int) -> Disk:
        """Its checkout, walked: belongs into a thread."""
        return self.scale.weigh(self.wrote, self.written, rules.thresholds, now)

    def shown(self, screen: Screen, rules: Rules) -> None:
        """Its pane was looked at, or made noise."""
        self.fold([screen], rules)

    def fold(self, signals: Iterable[AnySignal], rules: Rules) -> None:
        """Into the memory, in order of time."""
        signals = sorted(signals, key=lambda signal: signal.at)
        self._notice(signals)
        for signal in signals:
            self.watch = monitor.observe(self.watch, signal, rules)

    def judge(self, rules: Rules, now: int) -> Verdict:
        """What it is doing."""
        return monitor.judge(self.watch, now, rules)

    # --- inside ----------------------------------------------------------------------------------------------------------

    def _read(self, lines: Iterable[Line], now: int) -> list[AnySignal]:
        """The signals in raw lines. A line's time is its writer's word: never before the session, never later than now."""
        found: list[AnySignal] = []
        for line in lines:
            self.lines += 1
            at = min(max(line.at, self.since), now)
            if at != line.at:
                line = msgspec.structs.replace(line, at=at)
            if line.source == "gateway":
                found += _call(line)
            elif self.supervised is not None:
                try:
                    found += self.supervised.read(line)
                except FOREIGN as error:
                    log.debug("%s could not read a line of %s: %s", self.agent, self.attempt, error)
        if self._ear is not None:
            self._ear.hear(found)
        return found

    def _notice(self, signals: Iterable[AnySignal]) -> None:
        """The agent names its transcript."""
        for signal in signals:
            if isinstance(signal, Began) and signal.transcript:
                path = named(signal.transcript)
                if path is not None and path != self.transcript and (self.home is None or path.is_relative_to(self.home)):
                    self._transcript = Transcript(path, self.since)


def _call(line: Line) -> tuple[Call, ...]:
    """The model call in a line of the gateway."""
    try:
        return (msgspec.structs.replace(_CALL.decode(line.data), at=line.at, source="gateway"),)
    except (msgspec.MsgspecError, UnicodeError):
        return ()


def _door(folder: Path, job: Job | None) -> Path | None:
    """The only way to a session's own server through its walls; None when there are none."""
    return folder / DOOR if job and job.sandbox and job.sandbox.level != "none" else None


def _root(attempt: AttemptId, folder: Path, started: Started | None, names: tuple[str, ...], program: str) -> Root | None:
    """The session for those who look at its processes; None when nobody holds its token."""
    if started is None:
        return None
    return Root(
        attempt=attempt, pid=started.pid, ticks=started.ticks, names=names, program=Path(program).name, marker=str(folder),
    )


def _git_dir(checkout: Path) -> Path | None:
    """Where the checkout's own index and HEAD lie, as far as that can be seen without git. The agent can write there."""
    place = checkout / ".git"
    try:
        if place.is_symlink():
            return None
        if place.is_dir():
            return place
        told = beneath.read(checkout, ".git", 1000).decode(errors="replace")
    except OSError:
        return None
    named_ = Path(told.removeprefix("gitdir:").strip())
    return named_ if told.startswith("gitdir:") and named_.is_absolute() and named_.is_dir() else None
