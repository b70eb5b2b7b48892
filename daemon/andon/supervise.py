"""Watches every running session from its raw lines to its verdict, at nearly no cost. It tells the loop; it decides nothing.

Theory of operation. Nothing is polled. Lines come by the kernel's word (a bell for all files), over live channels, and as news
of tmux. A session is judged after its lines, at most every `JUDGE_S`, and when its own verdict says that time alone may change
it: one timer serves all. Two things cost more than that and are asked for seldom, for all sessions in one go: a pass over the
process table, and the rows of panes. Both are wanted only after something moved, or when a verdict hangs on them; looks that
change nothing come ever more seldom, so that a fleet that stands still costs nothing; where commands run, one comes a minute. A
checkout is weighed when what its processes wrote says that it may matter. The end of an agent's own process is told by the kernel.
"""

import asyncio
import logging
import math
from collections.abc import Callable, Sequence
from pathlib import Path

from andon.core.judging.screens import rules_for
from andon.core.state import Attempt
from andon.edges import process
from andon.edges.channels import Channels
from andon.edges.lines import Bell
from andon.edges.pane import Glances
from andon.edges.tmux import News, PanesChanged, PaneSeen
from andon.edges.tree import Look, Root, Trees
from andon.loop import Loop
from andon.schema import events as e, inputs as i
from andon.schema.agent import SERVED, Adapter, SessionFacts
from andon.schema.errors import Mistake, Problem
from andon.schema.ids import AttemptId, attempt_of_session
from andon.schema.layout import Layout
from andon.schema.rules import Rules
from andon.schema.settings import AgentSettings
from andon.schema.signals import Attended, Line, Screen, Verdict
from andon.session_reader import Reader
from andon.tell import inputs, last_usage

JUDGE_S = 0.05
"""A session is judged at most this often, however many lines it gets."""
WORDS_S = 1.0
"""Other words about the same state are drawn this late, those of all sessions together: views are made for all at once."""
MORE_S = 0.05
"""Between two bounded readings of a file that grows faster than it is read."""
PASS_S, LOOK_S, LATEST_S = 2.0, 5.0, 60.0
"""Between two passes over the process table; between two looks at a session that moves; at most between two fruitless ones."""
DYING_MS = 30_000
"""So long an agent that was not found is looked for at every pass: several looks in a row make it dead."""
CHILD_S = 15.0
"""At most between two looks at a session that is held to work because of what its children do."""
GLANCE_S, SURE_S, BATCH_S, GLANCE_SHARE = 1.0, 5.0, 0.5, 40
"""Between two glances at one pane; at one of which a better source is sure; between two batches; and this many times a batch's
own time lies between."""
NOISY_S = 11.0
"""tmux tells a pane's noise to ten seconds: for so long after the last news it may have drawn more."""
SERVER = "tmux"
GIT_FILES = ("HEAD", "index", "COMMIT_EDITMSG")
TURNING = (e.AttemptStarted, e.AttemptExited, e.AttemptLost, e.SessionResumed, e.SessionKnown)
"""Events with which a session begins, ends, or becomes one that can be connected to."""
log = logging.getLogger("andon.supervise")
LoadRules = Callable[[Path], Rules]
AdapterFor = Callable[[AgentSettings], Adapter]


class Supervisor:
    """The eyes on all sessions of one daemon."""

    def __init__(self, loop: Loop, layout: Layout, group: asyncio.TaskGroup, adapter_for: AdapterFor,
                 load_rules: LoadRules) -> None:
        self.rules = Rules()
        """Those in force."""
        self.channels = Channels(group, self._line)
        self.readers: dict[AttemptId, Reader] = {}
        self.trees, self.glances = Trees(), Glances(layout)
        self.on_moved: Callable[[AttemptId], None] = lambda attempt: None
        """Told whenever something of a session moves."""
        self.judged = self.told = 0
        """Verdicts made, and Inputs given, for tests that count."""
        self._loop, self._layout, self._adapter_for, self._load_rules = loop, layout, adapter_for, load_rules
        self._bell = Bell(self._rang)
        self._files: dict[Path, set[AttemptId]] = {}
        """Watched folders, and whose they are."""
        self._unread: dict[AttemptId, None] = {}
        self._panes: dict[AttemptId, PaneSeen] = {}
        self._deaths: dict[AttemptId, Callable[[], None]] = {}
        self._news, self._look_now, self._glance_now, self._weigh_now = (asyncio.Event() for _ in range(4))
        self._heavy: dict[AttemptId, None] = {}
        """Whose checkout is to be weighed."""
        self._looking = self._glancing = False
        self._timer: asyncio.TimerHandle | None = None
        self._passed, self._glanced, self._glance_took = -math.inf, -math.inf, 0.0
        self._words: dict[AttemptId, Verdict] = {}
        """Verdicts that differ from what is drawn in words only."""
        self._stale = True
        self._read_rules()

    # --- life --------------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Until cancelled."""
        self._bell.add(self._layout.config)
        self._stale = True
        self._news.set()
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._bell.run(), name="bell")
                group.create_task(self._hear(), name="lines")
                group.create_task(self._look(), name="looks")
                group.create_task(self._see(), name="glances")
                group.create_task(self._weigh(), name="weights")
        finally:
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
            await self.glances.close()

    def recorded(self, events: list[e.Event]) -> None:
        """What became durable: sessions begin and end."""
        if SERVER in self._loop.state.problems and any(isinstance(event, e.AttemptStarted) for event in events):
            self._loop.give(i.TroubleGone(key=SERVER))
        for event in events:
            if isinstance(event, e.AttemptSaid):
                self._said(event)
            elif isinstance(event, e.SessionTaken | e.SessionGivenBack):
                self._attended(event.attempt, present=isinstance(event, e.SessionTaken))
            elif isinstance(event, TURNING):
                self._stale = True
                if (reader := self.readers.get(event.attempt)) is not None:
                    reader.judge_at = self._clock()
                    self._arm(self._soonest(reader))
        if self._stale:
            self._news.set()

    def adapter_of(self, attempt: AttemptId) -> str:
        """The adapter's name of an attempt's agent, as rules name it; empty when nobody knows the attempt."""
        known = self._loop.state.attempts.get(attempt)
        return self._settings(known).use if known else ""

    # --- what arrives ------------------------------------------------------------------------------------------------

    def news(self, news: News) -> None:
        """What changed in the panes, as the server pushed it."""
        if not isinstance(news, PanesChanged):
            mend = "its sessions are gone with it; attempts go back to the queue by themselves"
            self._loop.give(i.TroubleSeen(key=SERVER, problem=Problem(what=f"the tmux server ended: {news.because}", mend=mend)))
            return
        if SERVER in self._loop.state.problems:
            self._loop.give(i.TroubleGone(key=SERVER))
        for pane in news.panes:
            attempt = attempt_of_session(pane.name)
            self._panes[attempt] = pane
            if (reader := self.readers.get(attempt)) is not None:
                self._rattled(reader, pane)
        for name in news.gone:
            self._panes.pop(attempt_of_session(name), None)

    def _rattled(self, reader: Reader, pane: PaneSeen) -> None:
        """A pane made noise: that is a sign of life, and its rows may say more."""
        reader.pane = pane.pane
        if pane.dead or not reader.ready or (pane.activity, pane.title) == (reader.activity, reader.title):
            return
        reader.activity, reader.title = pane.activity, pane.title
        now = self._clock()
        reader.noisy_until = now + NOISY_S
        if not self._has_rules(reader):  # its rows would say nothing; that it draws is all there is to know
            self._show(reader, (f"output at {pane.activity}",))
        self._moved(reader, now)

    def _line(self, attempt: AttemptId, line: Line) -> None:
        """One line of a live channel."""
        reader = self.readers.get(attempt)
        if reader is not None and reader.ready:
            reader.take(line, self.rules, self._loop.clock.now())
            self._moved(reader, self._clock())

    def _rang(self, changed: set[Path]) -> None:
        """Files changed; when none is named, every one may have."""
        if not changed:
            self._unread.update(dict.fromkeys(self.readers))
            self._read_rules()
        for path in changed:
            for attempt in self._files.get(path.parent, ()):
                self._file(attempt, path)
        if self._layout.person_rules in changed:
            self._read_rules()
        if self._unread:
            self._news.set()

    def _file(self, attempt: AttemptId, path: Path) -> None:
        reader = self.readers.get(attempt)
        if reader is None:
            return
        if path.parent == reader.git:
            if path.name in GIT_FILES and reader.changed(self.rules, self._loop.clock.now(), self._clock()):
                self._moved(reader, self._clock())
        elif path.suffix == ".jsonl" or path == reader.transcript:
            self._unread[attempt] = None

    def _said(self, event: e.AttemptSaid) -> None:
        reader = self.readers.get(event.attempt)
        if reader is not None and reader.ready:
            reader.said(event.text, self.rules, self._loop.clock.now())
            self._moved(reader, self._clock())

    def _attended(self, attempt: AttemptId, *, present: bool) -> None:
        reader = self.readers.get(attempt)
        if reader is not None and reader.ready:
            reader.fold([Attended(at=self._loop.clock.now(), source="process", present=present)], self.rules)
            self._moved(reader, self._clock())

    def _show(self, reader: Reader, rows: tuple[str, ...]) -> None:
        at = self._loop.clock.now()
        reader.shown(Screen(at=at, source="pane", rows=rows, title=reader.title, activity=reader.activity), self.rules)

    def _moved(self, reader: Reader, now: float) -> None:
        """Something of a session moved: it is judged soon, and looked at again not too long after."""
        self.on_moved(reader.attempt)
        reader.idle_looks = 0
        reader.judge_at = min(reader.judge_at, max(now, reader.judged + JUDGE_S))
        reader.look_at = min(reader.look_at, max(now + 0.5, reader.looked + LOOK_S))
        if now < reader.noisy_until and (pause := self._pause(reader)) is not None:
            reader.glance_at = min(reader.glance_at, max(now + 0.1, reader.glanced + pause))
        self._arm(self._soonest(reader))

    # --- lines -------------------------------------------------------------------------------------------------------

    async def _hear(self) -> None:
        """Read what is new, a bounded piece of each session in turn, and judge."""
        while True:
            await self._news.wait()
            self._news.clear()
            if self._stale:
                self._stale = False
                await self._follow()
            begun, left = self._unread, dict[AttemptId, None]()
            self._unread = {}
            for attempt in begun:
                reader = self.readers.get(attempt)
                if reader is None or not reader.ready:
                    continue
                before = reader.transcript
                moved, more = reader.read(self.rules, self._loop.clock.now())
                if reader.transcript != before:
                    self._watch_transcript(reader)
                    left[attempt] = None
                if more:
                    left[attempt] = None
                self._give_refused(reader)
                if moved:
                    self._moved(reader, self._clock())
                if reader.judge_at <= self._clock():
                    self._judge(reader, self._clock())
                await asyncio.sleep(0)
            if left:
                self._unread = {**left, **self._unread}
                asyncio.get_running_loop().call_later(MORE_S, self._news.set)

    async def _follow(self) -> None:
        """Open a reader for each running session, close those of the others."""
        running = {attempt.attempt: attempt for attempt in self._loop.state.attempts.values() if attempt.phase == "running"}
        for name, reader in list(self.readers.items()):
            known = running.get(name)
            if known is None or reader.sitting != known.sitting:
                self._close(reader)
        for name, attempt in running.items():
            if name not in self.readers:
                await self._open(attempt)
            else:
                self._connect(attempt)

    async def _open(self, attempt: Attempt) -> None:
        settings, folder = self._settings(attempt), self._layout.job(attempt.attempt)
        try:
            adapter = self._adapter_for(settings)
        except Mistake:
            adapter = None
        now = self._loop.clock.now()
        reader = Reader(attempt, settings.use, adapter, folder, now, self._layout)
        self.readers[attempt.attempt] = reader
        self._watch_folder(folder, attempt.attempt)
        if reader.git is not None:
            self._watch_folder(reader.git, attempt.attempt)
        await reader.catch_up(self.rules, now)
        self._watch_transcript(reader)
        self._unread[attempt.attempt] = None
        self._news.set()
        if attempt.taken:
            self._attended(attempt.attempt, present=True)
        if (pane := self._panes.get(attempt.attempt)) is not None:
            self._rattled(reader, pane)
        self._connect(attempt)
        reader.look_at = self._clock()
        self._moved(reader, self._clock())

    def _connect(self, attempt: Attempt) -> None:
        """Have its channel, when its launch named one."""
        reader = self.readers[attempt.attempt]
        if attempt.channel in SERVED and reader.supervised is not None:
            self.channels.keep(SessionFacts(
                attempt=attempt.attempt, job=reader.folder, home=self._layout.session_home(attempt.attempt),
                checkout=Path(attempt.path), conversation=attempt.conversation, agent=self._settings(attempt),
                door=reader.door,
            ), reader.supervised)

    def _close(self, reader: Reader) -> None:
        """The sitting is over: what it spent last is told, and it is forgotten."""
        attempt = self._loop.state.attempts.get(reader.attempt)
        reader.read(self.rules, self._loop.clock.now())
        if attempt is not None and reader.ready:
            for given in last_usage(reader.watch, attempt, self._settings(attempt), reader.told):
                self._give(given)
        del self.readers[reader.attempt]
        self.channels.drop(reader.attempt)
        self.trees.forget(reader.attempt)
        if (leave := self._deaths.pop(reader.attempt, None)) is not None:
            leave()
        for folder, owners in list(self._files.items()):
            owners.discard(reader.attempt)
            if not owners:
                del self._files[folder]
                self._bell.drop(folder)
        self._loop.see(reader.attempt, None)

    def _watch_folder(self, folder: Path, attempt: AttemptId) -> None:
        if folder in self._files:
            self._files[folder].add(attempt)
        elif self._bell.add(folder):
            self._files[folder] = {attempt}

    def _watch_transcript(self, reader: Reader) -> None:
        if reader.transcript is not None:
            self._watch_folder(reader.transcript.parent, reader.attempt)

    # --- verdicts ----------------------------------------------------------------------------------------------------

    def _judge(self, reader: Reader, now: float) -> None:
        attempt = self._loop.state.attempts.get(reader.attempt)
        if attempt is None:
            return
        self.judged += 1
        reader.judged, reader.judge_at = now, math.inf
        wall = self._loop.clock.now()
        before, reader.verdict = reader.verdict, reader.judge(self.rules, wall)
        verdict = reader.verdict
        if verdict.look_at:
            latest = CHILD_S if verdict.source == "process" and verdict.health in ("working", "background") else LATEST_S
            pause = min(PASS_S * 2 ** min(reader.idle_looks, 10), latest)
            due = max(now + min((verdict.look_at - wall) / 1000, latest), reader.looked + pause, now + JUDGE_S)
            reader.look_at = min(reader.look_at, due)
        if verdict.health == "working" and reader.watch.tree.children:  # nothing of it may be heard, and still it may burn or fill
            reader.look_at = min(reader.look_at, reader.looked + LATEST_S)
        dead = reader.watch.tree.dead
        if dead and wall - dead < DYING_MS and verdict.health not in ("crashed", "finished"):
            reader.look_at = min(reader.look_at, reader.looked + PASS_S)
        self._draw(reader.attempt, before, verdict)
        for given in inputs(reader.watch, verdict, attempt, self._settings(attempt), reader.told):
            self._give(given)
        self._arm(self._soonest(reader))

    def _draw(self, attempt: AttemptId, before: Verdict | None, verdict: Verdict) -> None:
        """For those who look: another state at once, other words about the same state with those of all others, now and then."""
        if before is None or _kind(before) != _kind(verdict):
            self._words.pop(attempt, None)
            self._loop.see(attempt, verdict)
        elif before.because != verdict.because or attempt in self._words:
            if not self._words:
                asyncio.get_running_loop().call_later(WORDS_S, self._draw_words)
            self._words[attempt] = verdict

    def _draw_words(self) -> None:
        words, self._words = self._words, {}
        for attempt, verdict in words.items():
            if attempt in self.readers:
                self._loop.see(attempt, verdict)

    def _give_refused(self, reader: Reader) -> None:
        """What its walls refused it."""
        for given in reader.tally.take():
            self._give(given)

    def _give(self, given: i.Input) -> None:
        self.told += 1
        self._loop.give(given)

    # --- looks -------------------------------------------------------------------------------------------------------

    async def _look(self) -> None:
        """The process table, when somebody wants it; all who want it soon are served together."""
        while True:
            await self._look_now.wait()
            self._look_now.clear()
            now = self._clock()
            await self._pass([one for one in self.readers.values() if one.ready and self._joins(one, now)])
            self._looking = False
            self._arm(self._first())

    def _joins(self, reader: Reader, now: float) -> bool:
        """Whether a session is looked at in this pass: its moment has come, or comes soon after so long a wait."""
        early = max(PASS_S / 2, 0.3 * (reader.look_at - reader.looked)) if reader.look_at < math.inf else 0.0
        return reader.look_at <= now + min(early, LATEST_S)

    async def _pass(self, readers: list[Reader]) -> None:
        """One pass over the process table for these sessions."""
        wall, roots = self._loop.clock.now(), [reader.root for reader in readers if reader.root is not None]
        hanging = {reader.attempt for reader in readers if reader.verdict is not None and 0 < reader.verdict.look_at <= wall}
        found = await self._examine(roots, wall, hanging)
        now = self._passed = self._clock()
        for reader in readers:
            if self.readers.get(reader.attempt) is not reader:
                continue
            reader.looked, reader.look_at = now, math.inf
            if (look := found.get(reader.attempt)) is not None:
                reader.seen(look, self.rules)
                self._mind_death(reader, look)
                if reader.scale.wanted(reader.wrote, self.rules.thresholds, now):
                    self._heavy[reader.attempt] = None
                    self._weigh_now.set()
            if reader.attempt in hanging and reader.pane and self._has_rules(reader):
                reader.glance_at = min(reader.glance_at, now)
            before = reader.verdict
            reader.idle_looks += 1
            self._judge(reader, now)
            if before is None or reader.verdict is None or _kind(before) != _kind(reader.verdict):
                reader.idle_looks = 0

    async def _examine(self, roots: Sequence[Root], wall: int, hanging: set[AttemptId]) -> dict[AttemptId, Look]:
        """In a thread: a big machine has a big table."""
        return await asyncio.to_thread(self.trees.look, roots, wall, hanging)

    def _mind_death(self, reader: Reader, look: Look) -> None:
        """Be told by the kernel when the agent's own process ends."""
        if look.agent is None or reader.agent_process == look.agent:
            return
        if (leave := self._deaths.pop(reader.attempt, None)) is not None:
            leave()
        reader.agent_process = look.agent
        leave = process.on_gone(*look.agent, lambda: self._died(reader))
        if leave is not None:
            self._deaths[reader.attempt] = leave

    def _died(self, reader: Reader) -> None:
        """Its process has ended; what that means shows a look at what is left."""
        self._deaths.pop(reader.attempt, None)
        if self.readers.get(reader.attempt) is reader:
            reader.idle_looks, reader.look_at = 0, self._clock()
            self._arm(self._soonest(reader))

    async def _weigh(self) -> None:
        """Checkouts whose sessions wrote a lot, one after the other, each in a thread."""
        while True:
            await self._weigh_now.wait()
            self._weigh_now.clear()
            while self._heavy:
                attempt = next(iter(self._heavy))
                del self._heavy[attempt]
                if (reader := self.readers.get(attempt)) is not None:
                    weight = await asyncio.to_thread(reader.weigh, self.rules, self._loop.clock.now())
                    if self.readers.get(attempt) is reader:
                        reader.fold([weight], self.rules)
                        reader.judge_at = min(reader.judge_at, max(self._clock(), reader.judged + JUDGE_S))
                        self._arm(self._soonest(reader))

    async def _see(self) -> None:
        """Panes, when somebody wants them; all who want theirs soon are served together."""
        while True:
            await self._glance_now.wait()
            self._glance_now.clear()
            soon = self._clock() + BATCH_S / 2
            await self._glance([one for one in self.readers.values() if one.ready and one.glance_at <= soon])
            self._glancing = False
            self._arm(self._first())

    async def _glance(self, readers: list[Reader]) -> None:
        """The rows of these panes in one round trip."""
        began = self._clock()
        panes = {reader.pane: reader for reader in readers if reader.pane}
        for reader in readers:
            reader.glanced, reader.glance_at = began, math.inf
        found = await self.glances.rows(list(panes)) if panes else {}
        now = self._glanced = self._clock()
        for pane, rows in found.items():
            reader = panes[pane]
            changed, reader.rows = rows != reader.rows, rows
            if self.readers.get(reader.attempt) is not reader:
                continue
            self._show(reader, rows)
            reader.judge_at = min(reader.judge_at, max(now, reader.judged + JUDGE_S))
            pause = self._pause(reader) if changed or now < reader.noisy_until else None
            if pause is not None:
                reader.glance_at = now + (pause if changed else 2 * pause)
        self._glance_took = self._clock() - began

    def _batch(self) -> float:
        """Seconds between two batches: where panes are many, so seldom that they cost a small share of a core."""
        return max(BATCH_S, GLANCE_SHARE * self._glance_took)

    def _pause(self, reader: Reader) -> float | None:
        """How long between two glances at its rows; None while they could not say what no better source does."""
        if not reader.pane or not self._has_rules(reader):
            return None
        verdict = reader.verdict
        if verdict is None or verdict.source in ("pane", "process", "none") or verdict.confidence != "certain":
            return GLANCE_S
        return SURE_S if verdict.health not in ("finished", "crashed") else None

    def _has_rules(self, reader: Reader) -> bool:
        """Whether any rule reads the screens of this agent."""
        return bool(rules_for(self.rules.screens, reader.agent))

    # --- the one timer ------------------------------------------------------------------------------------------------

    def _clock(self) -> float:
        return asyncio.get_running_loop().time()

    def _soonest(self, reader: Reader) -> float:
        """When something is to be done about this session."""
        if not reader.ready:
            return math.inf
        look = math.inf if self._looking else max(reader.look_at, self._passed + PASS_S)
        glance = math.inf if self._glancing else max(reader.glance_at, self._glanced + self._batch())
        return min(reader.judge_at, look, glance)

    def _first(self) -> float:
        """The first moment of all."""
        looks = math.inf if self._looking else self._passed + PASS_S
        glances = math.inf if self._glancing else self._glanced + self._batch()
        judge = look = glance = math.inf
        for one in self.readers.values():
            if one.ready:
                judge = one.judge_at if one.judge_at < judge else judge
                look = one.look_at if one.look_at < look else look
                glance = one.glance_at if one.glance_at < glance else glance
        return min(judge, max(look, looks), max(glance, glances))

    def _arm(self, soon: float) -> None:
        """Wake up at this moment, unless we do so before anyway."""
        if self._timer is not None:
            if self._timer.when() <= soon:
                return
            self._timer.cancel()
            self._timer = None
        if soon < math.inf:
            self._timer = asyncio.get_running_loop().call_at(soon, self._due)

    def _due(self) -> None:
        """A moment has come: judge whose it is, and let those look who wait for it."""
        self._timer = None
        now = self._clock()
        for reader in list(self.readers.values()):
            if reader.judge_at <= now and reader.ready:
                self._judge(reader, now)
        readers = self.readers.values()
        if not self._looking and now >= self._passed + PASS_S and any(one.look_at <= now for one in readers):
            self._looking = True
            self._look_now.set()
        if not self._glancing and now >= self._glanced + self._batch() and any(one.glance_at <= now for one in readers):
            self._glancing = True
            self._glance_now.set()
        self._arm(self._first())

    # --- rules -------------------------------------------------------------------------------------------------------

    def _read_rules(self) -> None:
        """Ours with the person's. A bad edit keeps the last good ones and is said."""
        try:
            self.rules = self._load_rules(self._layout.person_rules)
        except Mistake as mistake:
            self._loop.give(i.TroubleSeen(key="rules", problem=mistake.problem))
            return
        if "rules" in self._loop.state.problems:
            self._loop.give(i.TroubleGone(key="rules"))
        for reader in self.readers.values():
            reader.judge_at = self._clock()
            self._arm(self._soonest(reader))

    def _settings(self, attempt: Attempt) -> AgentSettings:
        """The agent's settings as they are now; one that is no longer configured has none but its name."""
        repo = self._loop.state.repos.get(attempt.repo)
        known = repo.settings.agents.get(attempt.agent) if repo else None
        return known or AgentSettings(name=attempt.agent)


def _kind(verdict: Verdict) -> tuple[object, ...]:
    """What is more than words and numbers."""
    return verdict.health, verdict.cause, verdict.source, verdict.rule
