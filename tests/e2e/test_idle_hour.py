"""A simulated hour of the loop, with a real ledger: no timer but those that the state names, and a busy deed costs no looks."""

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from andon.edges.clock import Clock
from andon.edges.lines import append
from andon.edges.process import boot_id, start_ticks
from andon.edges.store import Store
from andon.edges.tree import Look, Root
from andon.loop import Loop
from andon.main import load_state
from andon.schema import effects as f, events as e, inputs as i
from andon.schema.agent import Assignment, Installed, Launch, Login, Profile, SessionFacts
from andon.schema.errors import Problem
from andon.schema.ids import AttemptId, Digest, Oid, RepoId, session_name
from andon.schema.jobs import HOOKS, START, Started
from andon.schema.layout import layout
from andon.schema.settings import AgentSettings, Check, FactorySettings, Line, Loaded, Settings, Station
from andon.schema.signals import AnySignal, Line as HookLine, PermissionWanted, Tree, TurnBegan
from andon.supervise import Supervisor
from andon_config.rules import load_rules

AGENTS = 20
HOUR = 3600.0
SHOP = RepoId("shop")
SETTINGS = Settings(
    wip=AGENTS, agents={"default": AgentSettings(name="default", use="command", command=("agent",), minutes=90)},
    checks={"tests": Check(name="tests", run="true", report="exit")},
    lines={"build": Line(name="build", stations=(Station(name="build", kind="agent"), Station(name="check", kind="check")))},
)


class Warp(asyncio.SelectorEventLoop):
    """An event loop whose time jumps to the next timer when there is nothing else to do and no thread is at work for us."""

    def __init__(self) -> None:
        super().__init__()
        self.ahead, self.woken, self.threads = 0.0, 0, 0
        """Seconds jumped so far; how often something was due; calls that threads are at."""
        really = self._selector.select  # type: ignore[attr-defined]

        def select(timeout: float | None = None) -> Any:
            self.woken += 1
            if not timeout or self.threads:
                return really(timeout if timeout is None else min(timeout, 0.01))
            ready = really(0)
            self.ahead += 0 if ready else timeout
            return ready

        self._selector.select = select  # type: ignore[attr-defined]

    def time(self) -> float:
        """Our own time."""
        return super().time() + getattr(self, "ahead", 0.0)

    def timers(self) -> list[asyncio.TimerHandle]:
        """What is still to come by time alone."""
        return [handle for handle in self._scheduled if not handle.cancelled()]  # type: ignore[attr-defined]


class WarpClock(Clock):
    """The wall clock of such a loop; it counts how often it is looked at."""

    def __init__(self, warp: Warp) -> None:
        super().__init__()
        self._warp, self.looks = warp, 0

    def now(self) -> int:
        self.looks += 1
        return 1_800_000_000_000 + int(self._warp.time() * 1000)


class Hands:
    """Answers effects as the edges would, at once; watches for ever; counts."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.fail: set[str] = set()
        """Deeds that fail the first time and take an hour the second."""

    async def perform(self, effect: f.Effect) -> i.Input:
        kind = str(type(effect).__struct_config__.tag)
        self.done.append(kind)
        if kind in self.fail and self.done.count(kind) == 1:
            subject = str(getattr(effect, "attempt", ""))
            return i.EffectFailed(key=effect.key, kind=kind, subject=subject, problem=Problem(what="not now"))
        if kind in self.fail:
            await asyncio.sleep(HOUR)
        match effect:
            case f.PrepareCheckout():
                return i.CheckoutReady(attempt=effect.attempt, path="/none", isolation="clone")
            case f.StartSession():
                return i.SessionStarted(attempt=effect.attempt, pid=1, ticks=1, boot="b", session=session_name(effect.attempt))
            case f.MirrorTarget():
                return i.MirrorSeen(repo=effect.repo, oid=effect.oid, advanced=True)
            case f.SuspendSession():
                return i.SuspendDone(attempt=effect.attempt, suspended=effect.suspend)
            case f.WatchSession():
                await asyncio.get_running_loop().create_future()
        raise AssertionError(f"nobody asked for {kind}")


class Plant:
    """A loop with its ledger in a world where time is simulated."""

    def __init__(self, loop: Loop, warp: Warp, hands: Hands, clock: WarpClock) -> None:
        self.loop, self.warp, self.hands, self.clock, self.frames = loop, warp, hands, clock, 0

    def counts(self) -> tuple[int, int, int]:
        """Ledger rows, deeds, frames."""
        return self.loop.store.seq, len(self.hands.done), self.frames

    async def add(self, count: int) -> None:
        """So many tasks, with their agents at work."""
        for n in range(count):
            await self.loop.ask(i.AddTask(repo=SHOP, title=f"task {n}", spec="do it"))
        await self.until(lambda: self.hands.done.count("watch-session") == count)

    async def until(self, condition: Callable[[], object]) -> None:
        """Wait in simulated time; then let what was decided be drawn."""
        end = self.warp.time() + 600
        while not condition():
            assert self.warp.time() < end, "waited 10 simulated minutes"
            await asyncio.sleep(0.01)
        await asyncio.sleep(1)


@asynccontextmanager
async def a_plant(home: Path, hands: Hands) -> AsyncIterator[Plant]:
    """A running loop with one repository."""
    warp = asyncio.get_running_loop()
    assert isinstance(warp, Warp)
    store, clock = await Store.open(layout(home)), WarpClock(warp)
    written = store.append

    async def append(events: Any, at: int) -> Any:
        warp.threads += 1
        try:
            return await written(events, at)
        finally:
            warp.threads -= 1

    store.append = append  # type: ignore[method-assign]
    state = await load_state(store)
    async with asyncio.TaskGroup() as group:
        loop = Loop(store, state, clock, group, lambda changed, gone: count())
        loop.perform = hands.perform
        plant = Plant(loop, warp, hands, clock)

        def count() -> None:
            plant.frames += 1

        tasks = [group.create_task(loop.run())]
        await loop.ask(i.PersonSettingsSeen(settings=FactorySettings(wip=AGENTS)))
        loaded = Loaded(settings=SETTINGS, digest=Digest("1"), commands=Digest("2"))
        await loop.ask(i.RepositorySeen(repo=SHOP, path="/shop", git_dir="/shop/.git", by="p", loaded=loaded, trust=True,
                                        target=Oid("a" * 40), tree=Oid("b" * 40)))
        await plant.until(lambda: "mirror-target" in hands.done)
        yield plant
        for task in [*tasks, *(task for _, task in loop._inflight.values())]:
            task.cancel()
    await store.close()


def simulated(home: Path, hands: Hands, story: Callable[[Plant], Awaitable[None]]) -> None:
    """Live through a story in simulated time."""

    async def live() -> None:
        async with a_plant(home, hands) as plant:
            await story(plant)

    warp = Warp()
    try:
        warp.run_until_complete(live())
    finally:
        warp.close()


def test_an_hour_of_an_empty_factory_has_no_timer_at_all(tmp_path: Path) -> None:
    async def story(plant: Plant) -> None:
        before, woken, looks = plant.counts(), plant.warp.woken, plant.clock.looks
        assert plant.warp.timers() == []
        await asyncio.sleep(HOUR)
        assert plant.counts() == before and plant.warp.woken - woken <= 3 and plant.clock.looks == looks

    simulated(tmp_path, Hands(), story)


def test_an_hour_with_twenty_agents_that_hang_has_one_timer_and_it_is_the_one_that_the_state_names(tmp_path: Path) -> None:
    async def story(plant: Plant) -> None:
        await plant.add(AGENTS)
        before, woken, looks = plant.counts(), plant.warp.woken, plant.clock.looks
        limit = min(plant.loop.state.attempts[AttemptId(f"T{n}.1")].started_at for n in range(1, AGENTS + 1)) + 90 * 60_000
        [timer] = plant.warp.timers()
        assert abs((timer.when() - plant.warp.time()) * 1000 - (limit - plant.clock.now())) < 1000
        await asyncio.sleep(HOUR)
        assert plant.counts() == before and plant.warp.woken - woken <= 3 and plant.clock.looks - looks <= 2
        await asyncio.sleep(HOUR / 2)  # and then the one that was named comes, which shows that these counts can move
        assert [attempt.suspended for attempt in plant.loop.state.attempts.values()] == [True] * AGENTS
        assert len(plant.loop.state.gates) == AGENTS and plant.counts() > before
        quiet = plant.counts()
        await asyncio.sleep(HOUR)
        assert plant.counts() == quiet and plant.warp.timers() == []

    simulated(tmp_path, Hands(), story)


class Still(Supervisor):
    """A supervisor in simulated time: it looks at processes where there are none that move, and counts."""

    def __init__(self, plant: Plant, home: Path, group: asyncio.TaskGroup) -> None:
        super().__init__(plant.loop, layout(home), group, adapter, lambda person: load_rules(None))
        self.alive: dict[AttemptId, bool] = {}

    async def _examine(self, roots: Sequence[Root], wall: int, hanging: set[AttemptId]) -> dict[AttemptId, Look]:
        self.trees.passes += 1
        return {root.attempt: Look(tree=Tree(at=wall, source="process", alive=True, cpu_s=1.0)) for root in roots}


class Talks:
    """An interactive agent whose hook lines are signals."""

    name = "talks"

    def profile(self) -> Profile:
        return Profile(interactive=True, processes=("talks",))

    def login(self, agent: AgentSettings, environ: Mapping[str, str]) -> Login:
        return Login(state="ready", because="")

    def detect(self) -> tuple[Installed, ...]:
        return ()

    def launch(self, assignment: Assignment) -> Launch:
        raise AssertionError

    def channel(self, session: SessionFacts) -> None:
        return None

    def read(self, line: HookLine) -> tuple[AnySignal, ...]:
        return (msgspec.structs.replace(msgspec.json.decode(line.data, type=AnySignal), at=line.at),)


def adapter(settings: AgentSettings) -> Talks:
    return Talks()


@asynccontextmanager
async def supervised(plant: Plant, home: Path) -> AsyncIterator[Still]:
    """The plant's sessions with somebody to watch them."""
    async with asyncio.TaskGroup() as group:
        supervisor = Still(plant, home, group)
        plant.loop.on_recorded = supervisor.recorded
        running = group.create_task(supervisor.run())
        yield supervisor
        running.cancel()


def write(home: Path, attempt: AttemptId, at: int, *signals: AnySignal) -> None:
    """What the agent's hooks left, and the token of its wrapper."""
    folder = layout(home).job(attempt)
    folder.mkdir(parents=True, exist_ok=True)
    held = Started(pid=os.getpid(), ticks=start_ticks(os.getpid()) or 0, boot=boot_id(), at=at)
    (folder / START).write_bytes(msgspec.json.encode(held))
    for signal in signals:
        assert append(folder / HOOKS, HookLine(at=at, source="hook", data=msgspec.Raw(msgspec.json.encode(signal))))


@pytest.mark.parametrize("kind", ["waits", "silent"])
def test_twelve_idle_hours_with_twenty_sessions_start_send_and_ask_nothing(tmp_path: Path, kind: str) -> None:
    """Sessions that wait for a person, and such of which nobody hears anything; the wake-ups are stated."""

    async def story(plant: Plant) -> None:
        async with supervised(plant, tmp_path) as supervisor:
            for n in range(1, AGENTS + 1):
                ask = (PermissionWanted(at=0, source="hook", ask=f"a{n}", tool="Bash", deed="shell", target="rm x"),)
                told = (TurnBegan(at=0, source="hook", prompt="do it"), *ask) if kind == "waits" else ()
                write(tmp_path, AttemptId(f"T{n}.1"), plant.clock.now(), *told)
            await plant.add(AGENTS)
            await plant.until(lambda: len(supervisor.readers) == AGENTS and all(one.ready for one in supervisor.readers.values()))
            await asyncio.sleep(60)
            seen = {plant.loop.sightings[AttemptId(f"T{n}.1")].health for n in range(1, AGENTS + 1)}
            assert seen == ({"waiting-permission"} if kind == "waits" else {"starting"})
            launches, messages = plant.hands.done.count("start-session"), plant.hands.done.count("deliver-message")
            rows, passes, woken, judged = plant.loop.store.seq, supervisor.trees.passes, plant.warp.woken, supervisor.judged
            await asyncio.sleep(0.9 * HOUR)
            first = supervisor.trees.passes - passes
            again, later = supervisor.trees.passes, supervisor.judged
            await asyncio.sleep(11 * HOUR)
            assert plant.hands.done.count("start-session") == launches == AGENTS
            assert plant.hands.done.count("deliver-message") == messages == 0
            assert first <= 16 and supervisor.trees.passes == again and supervisor.judged == later, (first, supervisor.trees.passes)
            print(f"{kind}: {first} looks in the first hour, {supervisor.trees.passes - again} in eleven more, "
                  f"{plant.warp.woken - woken} wake-ups, {supervisor.judged - judged} verdicts, {plant.loop.store.seq - rows} rows")
            assert plant.warp.woken - woken <= 400
            if kind == "waits":
                assert first == 0

    simulated(tmp_path, Hands(), story)


def test_a_deed_that_is_being_tried_again_costs_no_looks_at_the_clock_and_starves_nobody(tmp_path: Path) -> None:
    async def story(plant: Plant) -> None:
        await plant.loop.ask(i.AddTask(repo=SHOP, title="slow", spec="do it"))
        await plant.until(lambda: plant.hands.done.count("start-session") == 2)
        looks, woken = plant.clock.looks, plant.warp.woken
        await asyncio.sleep(HOUR / 2)
        assert plant.clock.looks - looks <= 4 and plant.warp.woken - woken <= 4
        told = await plant.loop.ask(i.PullCord(repo=SHOP, line="build", because="a person is heard meanwhile"))
        assert isinstance(told[0], e.CordPulled)
        await asyncio.sleep(HOUR)
        assert plant.loop.state.attempts[AttemptId("T1.1")].phase == "running"

    hands = Hands()
    hands.fail = {"start-session"}
    simulated(tmp_path, hands, story)


def test_the_simulated_hour_takes_as_long_as_it_says(tmp_path: Path) -> None:
    async def story(plant: Plant) -> None:
        before = plant.clock.now()
        await asyncio.sleep(HOUR)
        assert HOUR * 1000 <= plant.clock.now() - before < HOUR * 1000 + 5000

    simulated(tmp_path, Hands(), story)
