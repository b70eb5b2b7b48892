"""The loop: inputs in, decisions recorded, then acted upon. It is the only writer of State, and it decides nothing itself.

Theory of operation. Inputs are taken in groups. Each is decided against the state so far; the events of the whole group are
appended in one durable write; only then does the new state count: answers go out, views are published, owed effects start.
Effects of one lane run one at a time; an effect's key stays in flight until its answer is durable. When the ledger cannot
be written the group is kept and decided again later: agents go on, nothing else is started.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping

import msgspec

from andon.core.decide import decide
from andon.core.evolve import fold, replay
from andon.core.image import freeze
from andon.core.pending import pending
from andon.core.project import over_tasks, project
from andon.core.refuse import refuse
from andon.core.schedule import next_deadline
from andon.core.state import State
from andon.edges import withheld
from andon.edges.clock import Clock
from andon.edges.ledger_file import MOST_ROWS
from andon.edges.store import Store
from andon.schema import effects as f, events as e, inputs as i
from andon.schema.errors import Mistake, Problem
from andon.schema.faults import point
from andon.schema.ids import AttemptId, RepoId
from andon.schema.signals import Verdict
from andon.schema.views import AnyView, FactoryView

GROUP = 256
"""Inputs decided in one group."""
INPUTS_LIMIT = 10_000
"""Inputs that may wait. The edges are slower than this; a person's command beyond it is refused."""
PUBLISH_S, PUBLISH_SHARE = 0.04, 4
"""Views are made at most this often; and where there are thousands, so seldom that this many times their own time lies between."""
SNAPSHOT_EVERY = 5000
"""Events between two snapshots."""
REOPEN_S = (1.0, 30.0)
"""First and longest wait before a ledger that failed is tried again."""

log = logging.getLogger("andon.loop")
Publish = Callable[[Mapping[str, AnyView], Iterable[str]], None]
Perform = Callable[[f.Effect], Awaitable[i.Input]]


class Item(msgspec.Struct):
    """An input on its way."""

    given: i.Input
    done: "asyncio.Future[list[e.Event]] | None" = None
    effect: f.Effect | None = None
    """The effect that it answers."""
    call: bool = False
    """Nothing was given: somebody asks whether the loop goes round."""


class Loop:
    """One factory's loop. Made with a loaded state; `run` until `stop`."""

    def __init__(self, store: Store, state: State, clock: Clock, group: asyncio.TaskGroup, publish: Publish) -> None:
        self.state, self.store, self.clock = state, store, clock
        self.sightings: dict[AttemptId, Verdict] = {}
        self.views: dict[str, AnyView] = {}
        self.perform: Perform | None = None
        self.on_recorded: Callable[[list[e.Event]], None] | None = None
        """Told of events that are durable."""
        self.problem: Problem | None = store.broken
        self._read_only = store.broken is not None
        self._group, self._publish_to = group, publish
        self._inputs: asyncio.Queue[Item] = asyncio.Queue()
        self._inflight: dict[str, tuple[f.Effect, asyncio.Task[None]]] = {}
        self._parked: set[str] = set()
        self._target_locks: dict[RepoId, asyncio.Lock] = {}
        self._dirty: asyncio.TimerHandle | None = None
        self._drawing = 0.0
        """Seconds that the latest views took to make."""
        self._snapshot_seq = state.seq
        self._saving: asyncio.Task[None] | None = None
        self._stopping = False
        self._calls: list[asyncio.Future[None]] = []
        self._resting = False
        """The ledger cannot be written, and the loop waits for that to change: it is well, and knows what it waits for."""
        self._ticked = 0
        """When time was last looked at: a deadline before it has been answered, whatever became of it."""

    # --- inputs ------------------------------------------------------------------------------------------------------

    @property
    def mode(self) -> str:
        """running, paused (the ledger cannot be written now) or read-only (its chain was broken when we started)."""
        if self._read_only:
            return "read-only"
        return "paused" if self.problem is not None else "running"

    def give(self, given: i.Input) -> None:
        """An observation of an edge. Secrets in its words stay behind."""
        self._inputs.put_nowait(Item(withheld.struct(given)))

    async def ask(self, given: i.Input) -> list[e.Event]:
        """A command or a question's input: its events once they are durable. Raises Mistake when it is refused."""
        if self.problem is not None:
            raise Mistake(self.problem.what, where=self.problem.where, mend=self.problem.mend)
        if self._inputs.qsize() > INPUTS_LIMIT:
            raise Mistake("the factory is overloaded", where=f"{INPUTS_LIMIT} inputs wait", mend="try again in a moment")
        item = Item(given, asyncio.get_running_loop().create_future())
        self._inputs.put_nowait(item)
        assert item.done is not None
        return await item.done

    async def alive(self) -> None:
        """Returns once the loop has come round: what waited before was decided and written. For a watchdog; decides nothing."""
        if self._resting or self._stopping:
            return
        call = asyncio.get_running_loop().create_future()
        self._calls.append(call)
        self._inputs.put_nowait(Item(i.Ticked(), call=True))
        await call

    def _answer_calls(self) -> None:
        calls, self._calls = self._calls, []
        for call in calls:
            if not call.done():
                call.set_result(None)

    @contextlib.contextmanager
    def _rest(self) -> Iterator[None]:
        """For the time of a wait that we chose."""
        self._resting = True
        self._answer_calls()
        try:
            yield
        finally:
            self._resting = False

    # --- running -----------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Until `stop`. With a broken ledger it only serves views."""
        self._publish()
        if self.problem is not None:
            with self._rest():
                await asyncio.Event().wait()
        self._start_owed()
        while not self._stopping:
            if items := await self._next():
                await self._take(items)
            self._answer_calls()

    def stop(self) -> None:
        """Take no further inputs; what is in flight is cancelled and is owed again at the next start."""
        self._stopping = True
        for _, task in self._inflight.values():
            task.cancel()
        self._inputs.put_nowait(Item(i.Ticked()))

    async def _next(self) -> list[Item]:
        """The next group: what waits now, and a tick when a deadline that the state names has come."""
        now, deadline = self.clock.now(), next_deadline(self.state, self._ticked)
        due, items = 0 < deadline <= now, list[Item]()
        if not due and self._inputs.empty():
            try:
                items.append(await asyncio.wait_for(self._inputs.get(), (deadline - now) / 1000 if deadline else None))
            except TimeoutError:
                due = True
        while len(items) < GROUP and not self._inputs.empty():
            items.append(self._inputs.get_nowait())
        items = [item for item in items if not item.call]
        return [*items, Item(i.Ticked())] if due else items

    async def _take(self, items: list[Item]) -> None:
        """Decide a group, record it, then let it count."""
        while True:
            at = max(self.clock.now(), self.state.at)
            if any(isinstance(item.given, i.Ticked) for item in items):
                self._ticked = at
            state, told = self._decide(items, at)
            try:
                recorded = [event for _, _, events in told for event in events]
                if recorded:
                    point("append.before")
                    await self._append(recorded, at)
                    point("append.after")
                break
            except Mistake as fault:
                items = await self._endure(fault, items)
        self.state = state
        for item, problem, events in told:
            self._answer(item, problem, events)
        if self.on_recorded is not None:
            self.on_recorded(recorded)
        self._publish_soon()
        self._start_owed(answered=[item.effect for item in items if item.effect is not None])
        self._snapshot_when_due()

    async def _append(self, events: list[e.Event], at: int) -> None:
        """Make events durable: in one write, or when they are too many for one, part by part. A part that is durable counts."""
        if len(events) <= MOST_ROWS:
            await self.store.append(events, at)
            return
        for start in range(0, len(events), MOST_ROWS):
            part = events[start : start + MOST_ROWS]
            await self.store.append(part, at)
            self.state = fold(self.state, part, at)

    def _decide(self, items: list[Item], at: int) -> tuple[State, list[tuple[Item, Problem | None, list[e.Event]]]]:
        """The state after a group, and what each item brought."""
        state = self.state
        told: list[tuple[Item, Problem | None, list[e.Event]]] = []
        for item in items:
            problem = refuse(state, item.given) if isinstance(item.given, i.Command) else None
            events = [] if problem else decide(state, item.given, at)
            state = fold(state, events, at)
            told.append((item, problem, events))
        return state, told

    def _answer(self, item: Item, problem: Problem | None, events: list[e.Event]) -> None:
        """Tell who asked; an answered effect is no longer in flight."""
        if item.effect is not None:
            point(f"{item.effect.__struct_config__.tag}.record")
            self._inflight.pop(item.effect.key, None)
        if item.done is None or item.done.done():
            return
        if problem is not None:
            item.done.set_exception(Mistake(problem.what, where=problem.where, mend=problem.mend))
        else:
            item.done.set_result(events)

    def _park(self, stuck: f.Effect) -> None:
        """A deed whose answer changed nothing would be done for ever: it is set aside and said."""
        self._parked.add(stuck.key)
        problem = Problem(what=f"{stuck.key} was answered and is still owed", mend="restart the daemon: andon down, andon up")
        self.give(i.TroubleSeen(key=f"parked:{stuck.key}", problem=problem))

    # --- storage faults ----------------------------------------------------------------------------------------------

    async def _endure(self, fault: Mistake, items: list[Item]) -> list[Item]:
        """The ledger could not be written: say it, wait until it can, and give back what is still to be decided."""
        log.error("%s", fault)
        self.problem = fault.problem
        waiting = [item for item in items if not self._declined(item, fault)]
        for _ in range(self._inputs.qsize()):
            item = self._inputs.get_nowait()
            if not self._declined(item, fault):
                self._inputs.put_nowait(item)
        self._publish()
        await self._record_fault(fault)
        pause = REOPEN_S[0]
        while True:
            with self._rest():
                await asyncio.sleep(pause)
            pause = min(pause * 2, REOPEN_S[1])
            try:
                self.state = replay(self.state, await self.store.reopen())
                break
            except Mistake as again:
                self.problem = again.problem
        self.problem = None
        return [*waiting, Item(i.TroubleGone(key="store"))]

    def _declined(self, item: Item, fault: Mistake) -> bool:
        """Whether somebody waits for an answer to this; if so, it is told why there is none. What an edge saw is kept."""
        if item.done is None or item.done.done():
            return False
        item.done.set_exception(Mistake(fault.problem.what, where=fault.problem.where, mend=fault.problem.mend))
        return True

    async def _record_fault(self, fault: Mistake) -> None:
        """The fault itself, in the room that was kept back for it."""
        noticed = e.ProblemNoticed(key="store", what=fault.problem.what, where=fault.problem.where, mend=fault.problem.mend)
        try:
            self.state = replay(self.state, await self.store.append_fault([noticed], max(self.clock.now(), self.state.at)))
        except Mistake as again:
            log.error("the fault itself could not be recorded: %s", again)

    # --- effects -----------------------------------------------------------------------------------------------------

    def _start_owed(self, answered: Iterable[f.Effect] = ()) -> None:
        """Start what is owed and not in flight, one deed a lane; end check runs that nobody wants any more."""
        if self.perform is None or self._stopping:
            return
        owed = pending(self.state, max(self.clock.now(), self.state.at))
        keys = {effect.key for effect in owed}
        for key, (effect, task) in self._inflight.items():
            if isinstance(effect, f.RunCheck) and key not in keys and not task.cancelling():
                task.cancel()
        for effect in answered:
            if effect.key in keys:
                self._park(effect)
        lanes = {effect.lane for effect, _ in self._inflight.values()}
        for effect in owed:
            if effect.key in self._inflight or effect.key in self._parked or effect.lane in lanes:
                continue
            lanes.add(effect.lane)
            self._inflight[effect.key] = (effect, self._group.create_task(self._do(effect), name=effect.key))

    async def _do(self, effect: f.Effect) -> None:
        """One deed, and its answer into the queue."""
        assert self.perform is not None
        try:
            async with self.target_lock(effect.repo) if isinstance(effect, f.MoveTarget) else contextlib.nullcontext():
                answer = withheld.struct(await self.perform(effect))
                self._inputs.put_nowait(Item(answer, effect=effect))
        except asyncio.CancelledError:
            self._inflight.pop(effect.key, None)
            raise

    def target_lock(self, repo: RepoId) -> asyncio.Lock:
        """To be held from before a target is read or moved until that was told: what is told comes in the order of what was so."""
        return self._target_locks.setdefault(repo, asyncio.Lock())

    # --- views and snapshots -----------------------------------------------------------------------------------------

    def see(self, attempt: AttemptId, sighting: Verdict | None) -> None:
        """What an edge saw of a live session; None forgets it."""
        known = self.sightings.get(attempt)
        if sighting is None:
            self.sightings.pop(attempt, None)
        elif known is None or (known.health, known.cause, known.because) != (sighting.health, sighting.cause, sighting.because):
            self.sightings[attempt] = sighting
        else:
            return
        self._publish_soon()

    def _publish_soon(self) -> None:
        """Make views once for all changes of the next moment."""
        if self._dirty is None:
            wait = max(PUBLISH_S, PUBLISH_SHARE * self._drawing)
            self._dirty = asyncio.get_running_loop().call_later(wait, self._publish)

    def publish_now(self) -> None:
        """What was just recorded is in the views from here on: who asked sees its own deed."""
        if self._dirty is not None:
            self._publish()

    def _publish(self) -> None:
        """Send what differs from the last time."""
        if self._dirty is not None:
            self._dirty.cancel()
        self._dirty = None
        began = time.perf_counter()
        views = project(self.state, self.sightings, over_tasks(self.state))
        factory = views["factory"]
        assert isinstance(factory, FactoryView)
        because = str(self.problem) if self.problem else ""
        views["factory"] = msgspec.structs.replace(factory, mode=self.mode, because=because)
        changed = {key: view for key, view in views.items() if self.views.get(key) != view}
        gone = [key for key in self.views if key not in views]
        self.views = {**{key: self.views[key] for key in views if key not in changed}, **changed}
        self._drawing = time.perf_counter() - began
        if changed or gone:
            self._publish_to(changed, gone)

    def _snapshot_when_due(self) -> None:
        """A snapshot now and then, beside the work."""
        busy = self._saving is not None and not self._saving.done()
        if self.state.seq - self._snapshot_seq >= SNAPSHOT_EVERY and not busy:
            self._saving = self._group.create_task(self.save_snapshot(), name="snapshot")

    async def save_snapshot(self) -> None:
        """Keep the state as it is, so that the next start need not replay what came before."""
        if self.problem is not None or self.state.seq == self._snapshot_seq or self.state.seq != self.store.seq:
            return
        seq, hash_ = self.state.seq, self.store.hash
        try:
            point("snapshot.begun")
            await self.store.save_snapshot(seq, hash_, freeze(self.state))
            point("snapshot.kept")
            self._snapshot_seq = seq
        except Mistake as fault:
            log.warning("no snapshot was kept: %s", fault)
