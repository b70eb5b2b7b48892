"""A floor of real sessions in a private tmux under a real loop and ledger, supervised; the agents say what a test writes."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Iterable, Mapping
from pathlib import Path

import msgspec

from andon.core.state import Attempt
from andon.edges import jobs, lines
from andon.edges.clock import Clock
from andon.edges.store import Store
from andon.edges.tmux import Tmux
from andon.loop import Loop
from andon.main import load_state
from andon.schema import effects as f, events as e, inputs as i
from andon.schema.agent import Assignment, Channel, Installed, Launch, Login, Profile, SessionFacts
from andon.schema.errors import Mistake, Problem
from andon.schema.ids import AttemptId, Digest, Oid, RepoId, session_name
from andon.schema.jobs import HOOKS, Job
from andon.schema.layout import Layout, layout
from andon.schema.rules import Rules
from andon.schema.settings import AgentSettings, Budget, FactorySettings, Line as Path_, Loaded, Price, Settings, Station
from andon.schema.signals import AnySignal, Line, Verdict
from andon.supervise import Supervisor
from support import wait_for
from tmuxkit import end_server

SHOP = RepoId("shop")
QUIET = ("sh", "-c", "echo ready; exec sleep 1000")
_SIGNAL = msgspec.json.Decoder(AnySignal)


def raw(signal: AnySignal) -> msgspec.Raw:
    """A signal as the raw record of the talking agent."""
    return msgspec.Raw(msgspec.json.encode(signal))


class Talk:
    """The live channel of a talking agent: gives what a test puts in."""

    def __init__(self) -> None:
        self.told: asyncio.Queue[Line | None] = asyncio.Queue()
        self.closed = False

    async def lines(self) -> AsyncIterator[Line]:
        """Until the test says None."""
        while (line := await self.told.get()) is not None:
            yield line

    async def answer(self, ask: str, *, allow: bool, text: str = "") -> bool:
        """Taken."""
        return True

    async def send(self, text: str) -> bool:
        """Taken."""
        return True

    async def interrupt(self) -> bool:
        """Taken."""
        return True

    async def close(self) -> None:
        """Let go."""
        self.closed = True


class Talking:
    """An adapter whose raw records are signals themselves."""

    name = "talking"

    def __init__(self) -> None:
        self.talks: dict[AttemptId, list[Talk]] = {}
        self.reads = 0

    def detect(self) -> tuple[Installed, ...]:
        """None."""
        return ()

    def launch(self, assignment: Assignment) -> Launch:
        """Nothing is launched by it here."""
        raise Mistake("the kit starts its own commands")

    def profile(self) -> Profile:
        """Everything."""
        return Profile(channel="http", interactive=True, processes=("sleep",), metered="reported")

    def login(self, agent: AgentSettings, environ: Mapping[str, str]) -> Login:
        """Ready."""
        return Login(state="ready", because="it needs none")

    def read(self, line: Line) -> tuple[AnySignal, ...]:
        """The record itself."""
        self.reads += 1
        try:
            told = _SIGNAL.decode(line.data)
        except msgspec.MsgspecError:
            return ()
        return (msgspec.structs.replace(told, at=line.at, source=line.source),)

    def channel(self, session: SessionFacts) -> Channel | None:
        """A new talk each time."""
        made = Talk()
        self.talks.setdefault(session.attempt, []).append(made)
        return made


class Mute:
    """An adapter that understands nothing: anybody's."""

    name = "mute"

    def detect(self) -> tuple[Installed, ...]:
        """None."""
        return ()

    def launch(self, assignment: Assignment) -> Launch:
        """Nothing is launched by it here."""
        raise Mistake("the kit starts its own commands")


class Hands:
    """Starts real jobs in real panes; answers the other effects as the world would; counts."""

    def __init__(self, place: Layout, tmux: Tmux, argv: tuple[str, ...], channel: str) -> None:
        self.done: list[f.Effect] = []
        self.argv: dict[str, tuple[str, ...]] = {}
        """By task title; otherwise the floor's own."""
        self._place, self._tmux, self._argv, self._channel = place, tmux, argv, channel
        self.loop: Loop | None = None

    def recorded(self, events: list[e.Event]) -> None:
        """What the launch said of its kind, once the session is there."""
        assert self.loop is not None
        for event in events:
            if isinstance(event, e.AttemptStarted):
                self.loop.give(i.ConversationSeen(attempt=event.attempt, channel=self._channel, interactive=True))

    def count(self, *kinds: type) -> int:
        """Effects of these kinds so far."""
        return sum(isinstance(effect, kinds) for effect in self.done)

    async def perform(self, effect: f.Effect) -> i.Input:
        """What `perform` would answer."""
        self.done.append(effect)
        match effect:
            case f.PrepareCheckout():
                path = self._place.home / "checkouts" / effect.attempt
                (path / ".git").mkdir(parents=True, exist_ok=True)
                return i.CheckoutReady(attempt=effect.attempt, path=str(path), isolation="clone")
            case f.StartSession():
                return await self._start(effect)
            case f.WatchSession():
                seen = await jobs.wait(self._place.job(effect.attempt))
                return i.SessionEnded(attempt=effect.attempt, exit=seen.exit if isinstance(seen, jobs.Ended) else None)
            case f.MirrorTarget():
                return i.MirrorSeen(repo=effect.repo, oid=effect.oid, advanced=True)
            case f.LookAtWork():
                return i.WorkSeen(attempt=effect.attempt, n=effect.n, committed=False, dirty=True)
            case f.DeliverMessage():
                return i.MessageSent(attempt=effect.attempt, message=effect.message)
            case f.AnswerAsk():
                return i.AskAnswered(attempt=effect.attempt, ask=effect.ask, how="api")
            case _:
                await asyncio.get_running_loop().create_future()
                raise AssertionError

    async def _start(self, effect: f.StartSession) -> i.Input:
        folder, name = self._place.job(effect.attempt), session_name(effect.attempt)
        await asyncio.to_thread(jobs.begin_sitting, folder, effect.sitting)
        argv = self.argv.get(effect.title, self._argv)
        env = {"PATH": "/usr/bin:/bin", "ANDON_ATTEMPT": str(effect.attempt), "ANDON_TREE": str(folder), "TERM": "xterm"}
        jobs.write_job(folder, Job(name=effect.attempt, argv=argv, cwd=effect.path, env=env))
        await self._tmux.kill_session(name)
        await self._tmux.new_session(name, jobs.shim_argv(folder), effect.path, {})
        seen = await jobs.await_start(folder)
        if isinstance(seen, jobs.NotStarted) or seen.started is None:
            return i.EffectFailed(key=effect.key, kind="start-session", subject=effect.attempt, problem=Problem(what="no token"))
        return i.SessionStarted(attempt=effect.attempt, pid=seen.started.pid, ticks=seen.started.ticks, boot=seen.started.boot,
                                session=name)


class Floor:
    """The sessions, their loop and their supervisor."""

    def __init__(self, place: Layout, tmux: Tmux, loop: Loop, supervisor: Supervisor, hands: Hands,
                 adapter: Talking | Mute) -> None:
        self.layout, self.tmux, self.loop, self.supervisor, self.hands, self.adapter = place, tmux, loop, supervisor, hands, adapter
        self.given: list[i.Input] = []

    async def add(self, title: str = "work") -> AttemptId:
        """A task with its session running and its reader ready."""
        events = await self.loop.ask(i.AddTask(repo=SHOP, title=title, spec="do it"))
        [task] = [event.task for event in events if isinstance(event, e.TaskAdded)]
        attempt = AttemptId(f"{task}.1")
        await wait_for(lambda: self.ready(attempt), 20, what=f"the reader of {attempt}")
        return attempt

    def ready(self, attempt: AttemptId) -> bool:
        """Whether it is supervised."""
        reader = self.supervisor.readers.get(attempt)
        return reader is not None and reader.ready and attempt in self.loop.sightings

    def say(self, attempt: AttemptId, *signals: AnySignal, source: str = "hook", at: int = 0) -> None:
        """As a hook would: lines into the job's file."""
        for signal in signals:
            line = Line(at=at or int(time.time() * 1000), source="hook", data=raw(signal))
            assert lines.append(self.layout.job(attempt) / HOOKS, line)

    def verdict(self, attempt: AttemptId) -> Verdict:
        """What the board shows."""
        return self.loop.sightings[attempt]

    def attempt(self, attempt: AttemptId) -> Attempt:
        """What the core knows."""
        return self.loop.state.attempts[attempt]

    def of(self, *kinds: type) -> list[i.Input]:
        """The Inputs of these kinds that were given."""
        return [given for given in self.given if isinstance(given, kinds)]


@contextlib.asynccontextmanager
async def a_floor(
    folder: Path, *, argv: tuple[str, ...] = QUIET, adapter: Talking | Mute | None = None, channel: str = "hooks",
    rules: Rules | None = None, keep: bool = False, use: str = "",
) -> AsyncIterator[Floor]:
    """A factory with one repository, wholly ended afterwards; with `keep` only its daemon's part ends, as by kill -9."""
    place = layout(folder)
    store, tmux = await Store.open(place), Tmux(place)
    await tmux.ensure()
    talking = adapter or Talking()
    held = [rules or Rules()]
    agent = AgentSettings(name="default", use=use or talking.name, minutes=90, prices={"model-a": Price(input=3.0, output=15.0)})
    settings = Settings(wip=500, agents={"default": agent}, lines={"build": Path_(
        name="build", stations=(Station(name="build", kind="agent"),))}, budget=Budget(reserve_usd=0.0))
    group = asyncio.TaskGroup()
    try:
        async with group:
            loop = Loop(store, await load_state(store), Clock(), group, lambda changed, gone: None)
            hands = Hands(place, tmux, argv, channel)
            hands.loop = loop
            loop.perform = hands.perform
            supervisor = Supervisor(loop, place, group, lambda settings: talking, lambda person: held[0])
            floor = Floor(place, tmux, loop, supervisor, hands, talking)
            give = loop.give

            def noted(given: i.Input) -> None:
                floor.given.append(given)
                give(given)

            loop.give = noted  # type: ignore[method-assign]

            def recorded(events: list[e.Event]) -> None:
                hands.recorded(events)
                supervisor.recorded(events)

            loop.on_recorded = recorded
            tmux.subscribe(supervisor.news)
            group.create_task(loop.run())
            group.create_task(tmux.run())
            group.create_task(supervisor.run())
            if SHOP not in loop.state.repos:
                await loop.ask(i.PersonSettingsSeen(settings=FactorySettings(wip=500)))
                loaded = Loaded(settings=settings, digest=Digest("1"), commands=Digest("2"))
                await loop.ask(i.RepositorySeen(repo=SHOP, path=str(folder), git_dir=str(folder / ".git"), by="p", loaded=loaded,
                                                trust=True, target=Oid("a" * 40), tree=Oid("b" * 40)))
            yield floor
            loop.stop()
            raise _Over
    except* _Over:
        pass
    finally:
        await tmux.close()
        await store.close()
        if not keep:
            await end_jobs(place, [path.name for path in place.jobs.iterdir()] if place.jobs.is_dir() else [])
            end_server(place)


async def end_jobs(place: Layout, names: Iterable[str]) -> None:
    """End every tree that was started."""
    for name in names:
        await jobs.stop(place.jobs / name, 0.2)


class _Over(Exception):
    """The test is done."""
