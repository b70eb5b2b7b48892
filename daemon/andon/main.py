"""The daemon: takes the lock, reads the ledger, wires the edges to the loop and owns every task. Knows everybody; nobody knows it.

Theory of operation. One TaskGroup owns one task an edge. An edge that fails is started again with a growing pause, at most
`INTENSITY` times in `PERIOD_S`; past that the daemon stops with its ledger whole. Agents live in tmux under their shims and
never notice.
"""

import asyncio
import contextlib
import importlib.metadata
import logging
import os
import secrets
import signal
import sys
import time
from collections.abc import Awaitable, Callable
from importlib import resources
from pathlib import Path

import msgspec

from andon.core.evolve import replay
from andon.core.image import thaw
from andon.core.schedule import live_attempts
from andon.core.state import State
from andon.edges import daemon_log, salvage, upgrade, withheld
from andon.edges.blobs import Blobs
from andon.edges.clock import Clock
from andon.edges.gateway import Gateway
from andon.edges.keys import Keys
from andon.edges.lock import Lock
from andon.edges.machine import Machine
from andon.edges.notify import Manager
from andon.edges.process import boot_id
from andon.edges.proving import Proving
from andon.edges.sandbox import reached
from andon.edges.server import Server
from andon.edges.store import Store
from andon.edges.tmux import Tmux
from andon.edges.trust import write_trust
from andon.edges.watch import Watch
from andon.eyes import Eyes
from andon.forecasting import Forecasting
from andon.housekeeping import keep_house
from andon.logins import Logins
from andon.loop import Loop
from andon.office import Office
from andon.perform import Performer, Tools
from andon.schema import events as e, inputs as i
from andon.schema.errors import Mistake, Problem
from andon.schema.faults import point
from andon.schema.layout import Layout
from andon.schema.settings import Loaded
from andon.steering import Steering
from andon.supervise import SERVER, Supervisor

INTENSITY, PERIOD_S = 5, 60.0
VERBS = (sys.executable, "-P", "-m", "andon_agents.verbs_server")
"""The server with the agents' own verbs, as an agent's MCP client starts it."""
STARTING = (e.TaskAdded, e.AttemptClaimed, e.AttemptExited, e.AttemptLost, e.SessionResumed)
"""Events around which an agent starts: then it counts how much room the machine has."""
TMUX_S = 10.0
"""How long the start waits for a tmux server; work that needs it waits for itself after that."""
START_S = 900.0
"""Longest that a service manager is asked to wait for the ledger to be read."""
log = logging.getLogger("andon")


def run_daemon(layout: Layout) -> int:
    """Be the daemon until told to leave. Returns the exit code."""
    for folder in (layout.home, layout.runtime):
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise Mistake(f"the factory's own directory cannot be made: {error.strerror}", where=str(folder),
                          mend="make it writable for you, or set ANDON_HOME to a directory of yours") from error
    handler = daemon_log.Turning(layout.daemon_log)
    handler.setFormatter(withheld.PlainFormatter("%(asctime)s %(name)s %(levelname)s %(message)s"))
    logging.basicConfig(handlers=[handler], level=logging.INFO)
    daemon_log.tell_of_crashes(log)
    withheld.keep(layout.home)
    logging.getLogger("watchfiles").setLevel(logging.WARNING)
    with Lock.take(layout):
        try:
            asyncio.run(Daemon(layout, Manager.found()).live())
        except BaseExceptionGroup as group:
            raise (told_by(group) or group) from None
    return 0


def told_by(group: BaseExceptionGroup[BaseException]) -> Mistake | None:
    """The mistake that a group of tasks ended by, when nothing but mistakes did; None: something is broken, and shown whole."""
    mistakes, others = group.split(Mistake)
    while mistakes is not None and others is None:
        first = mistakes.exceptions[0]
        if isinstance(first, Mistake):
            return first
        mistakes = first if isinstance(first, BaseExceptionGroup) else None
    return None


def version() -> str:
    """The release of this daemon."""
    try:
        return importlib.metadata.version("andon")
    except importlib.metadata.PackageNotFoundError:
        return "0.0.0"


def load_repository(work: Path, base: str | None, where: str, person: Path) -> Loaded:
    """Through the config room. An agent that no adapter can start is a note: everything else works meanwhile."""
    from andon_agents.find import adapter_for
    from andon_config.load import load_repository as load

    loaded = load(work=work, base=base, base_where=where, person=person)
    notes = list(loaded.notes)
    for agent in loaded.settings.agents.values():
        try:
            adapter_for(agent)
        except Mistake as mistake:
            notes.append(f"{mistake.problem.what}: {mistake.problem.mend}")
    return msgspec.structs.replace(loaded, notes=tuple(notes))


class Left(Exception):
    """The daemon has drained. Raised inside its TaskGroup: asyncio's own tasks are not ours to cancel (a subprocess would hang)."""


class Daemon:
    """One life of the daemon."""

    def __init__(self, layout: Layout, manager: Manager) -> None:
        self._layout, self._manager = layout, manager
        self._leaving = asyncio.Event()
        self._because = ""

    def leave(self, because: str) -> None:
        """Ask it to drain and leave."""
        self._because = self._because or because
        self._leaving.set()

    async def live(self) -> None:
        """From the ledger to the last word."""
        self._manager.starting(START_S)
        await asyncio.to_thread(self._upgrade)
        store, tmux = await Store.open(self._layout), Tmux(self._layout)
        try:
            await self._serve(store, await load_state(store), tmux)
        except* Left:
            pass
        finally:
            await tmux.close()
            await store.close()

    def _upgrade(self) -> None:
        """The ledger becomes this release's, with a way back; a newer one is refused."""
        done = upgrade.prepare(self._layout, version())
        if done.backup is not None:
            log.info("from release %s, format %d; backup at %s", done.release or "unknown", done.format, done.backup)
        elif done.unsaved:
            log.warning("from release %s without a backup: %s", done.release or "unknown", done.unsaved)

    def _sign_in(self) -> Keys:
        """The factory's own keys, and the trust file that names them."""
        keys = Keys.load(self._layout.keys)
        write_trust(self._layout, keys)
        return keys

    async def _serve(self, store: Store, state: State, tmux: Tmux) -> None:
        """Wire everything, run until asked to leave, drain, and raise Left, which ends exactly the tasks of the group."""
        layout, watch = self._layout, Watch()
        running = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            running.add_signal_handler(number, self.leave, signal.Signals(number).name)
        from andon_agents.find import adapter_for
        from andon_config.compare import comparing
        from andon_config.load import load_person
        from andon_config.rules import load_rules

        keys = await asyncio.to_thread(self._sign_in)
        async with asyncio.TaskGroup() as group:
            loop = Loop(store, state, Clock(state.at), group, lambda changed, gone: server.publish(changed, gone))
            blobs, proving = Blobs(layout), Proving(layout)
            supervisor, gateway = Supervisor(loop, layout, group, adapter_for, load_rules), Gateway(layout)
            steering = Steering(layout, tmux, supervisor.channels, lambda: supervisor.rules, supervisor.adapter_of)
            tools = Tools(adapter_for=adapter_for, hook=hook_argv(), verbs=VERBS, compare=comparing(layout.person_settings))
            performer = Performer(layout, blobs, tmux, proving, tools, loop.give, watch, steering, gateway, keys)
            office = Office(layout, loop, blobs, tmux, group, version(), load_repository, load_person, self.leave)
            office.witness.sign = lambda data: (keys.daemon.keyid, keys.daemon.sign_bytes(data))
            eyes = Eyes(layout, loop, office, performer, watch)
            server = Server(layout, office, inherited=self._manager.socket_at(layout.socket))
            loop.perform = performer.perform
            machine = Machine(layout.home, lambda: loop.state.factory.admission, loop.give)
            forecasting, logins = Forecasting(layout, loop), Logins(layout, loop)
            loop.on_recorded = lambda events: self._recorded(events, eyes, supervisor, machine, forecasting, logins, group)
            if loop.problem is None:
                await asyncio.to_thread(blobs.sweep)
                await self._wake(loop, office, performer, tmux)
            tasks = [group.create_task(supervise("server", server.serve), name="server")]
            tasks.append(group.create_task(loop.run(), name="loop"))
            if loop.problem is None:
                tmux.subscribe(supervisor.news)
                supervisor.on_moved = forecasting.stirred
                tasks.append(group.create_task(supervise("tmux", tmux.run), name="tmux"))
                tasks.append(group.create_task(supervise("eyes", eyes.run), name="eyes"))
                tasks.append(group.create_task(supervise("sessions", supervisor.run), name="sessions"))
                tasks.append(group.create_task(supervise("machine", machine.relook), name="machine"))
                tasks.append(group.create_task(supervise("forecast", forecasting.run), name="forecast"))
                tasks.append(group.create_task(supervise("gateway", gateway.run), name="gateway"))
                tasks.append(group.create_task(supervise("logins", logins.run), name="logins"))
                tasks.append(group.create_task(keep_house(loop, layout, blobs), name="housekeeping"))
                tasks.append(group.create_task(self._look(loop, office, eyes), name="look"))
            told = f"{loop.mode}, {state.seq} events, {len(state.open)} open tasks"
            log.info("%s", told)
            signs = self._manager.report(server.ready, (loop.alive, store.alive), told)
            tasks.append(group.create_task(signs, name="service manager"))
            await self._leaving.wait()
            self._manager.leaving(self._because)
            await self._drain(loop)
            if not live_attempts(loop.state):  # nobody is left who was given its address
                await gateway.stop()
            raise Left

    async def _wake(self, loop: Loop, office: Office, performer: Performer, tmux: Tmux) -> None:
        """Before the first deed: sweep what a killed daemon left half-done, and have a tmux server."""
        await salvage.sweep(self._layout)
        await performer.checks.sweep()
        point("start.swept")
        walls = await asyncio.to_thread(reached)
        loop.give(i.DaemonStarted(version=version(), pid=os.getpid(), boot=boot_id(), cores=usable_cores(), walls=walls,
                                  seed=secrets.token_hex(32)))
        await office.read_person()
        try:
            async with asyncio.timeout(TMUX_S):
                await tmux.ensure()
        except TimeoutError:
            loop.give(i.TroubleSeen(key=SERVER, problem=Problem(
                what=f"tmux did not answer within {TMUX_S:.0f} s", where=str(self._layout.tmux_socket),
                mend="see what `tmux -V` says in a terminal; agents start as soon as it answers")))
        except Mistake as mistake:
            loop.give(i.TroubleSeen(key=SERVER, problem=mistake.problem))
        else:
            loop.give(i.TroubleGone(key=SERVER))

    async def _look(self, loop: Loop, office: Office, eyes: Eyes) -> None:
        """Once at the start: settings and targets may have changed while nobody looked."""
        for repo in list(loop.state.repos):
            await office.read_target(repo)
            await eyes.reload(repo)
            await eyes.mirror_again(repo)

    def _recorded(self, events: list[e.Event], eyes: Eyes, supervisor: Supervisor, machine: Machine,
                  forecasting: Forecasting, logins: Logins, group: asyncio.TaskGroup) -> None:
        """What became durable: a moved target may bring other settings with it."""
        eyes.recorded(events)
        supervisor.recorded(events)
        forecasting.recorded(events)
        logins.recorded(events)
        if any(isinstance(event, STARTING) for event in events):
            machine.looked()
        for event in events:
            if isinstance(event, e.TargetObserved) and event.by != "start":
                group.create_task(eyes.reload(event.repo), name=f"reload {event.repo}")

    async def _drain(self, loop: Loop) -> None:
        """The last word, a snapshot, and nothing new. Agents go on."""
        log.info("leaving: %s", self._because)
        if loop.problem is None:
            with contextlib.suppress(Mistake):
                await loop.ask(i.DaemonStopping(because=self._because))
            point("stop.told")
            loop.stop()
            await loop.save_snapshot()


def usable_cores() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def hook_argv() -> tuple[str, ...]:
    """The program that an agent's hooks call: started without site packages, so that each call is quick."""
    return sys.executable, "-I", "-S", str(resources.files("andon_agents") / "hook.py")


async def load_state(store: Store) -> State:
    """The state that the ledger tells: from its newest snapshot when this release can read it, else from the first event."""
    history = await store.load()
    state = thaw(history.snapshot) if history.snapshot else State()
    if state is None:
        history = await store.load(use_snapshot=False)
        state = State()
    return replay(state, history.tail)


async def supervise(name: str, live: Callable[[], Awaitable[None]]) -> None:
    """Run an edge for life: start it again when it fails, with a growing pause, until that happens too often."""
    failures: list[float] = []
    while True:
        try:
            await live()
            return
        except Mistake:
            raise
        except Exception:  # whatever an edge dies of, it is logged and counted here
            log.exception("%s failed", name)
            now = time.monotonic()
            failures = [*(moment for moment in failures if now - moment < PERIOD_S), now]
            if len(failures) > INTENSITY:
                raise
            await asyncio.sleep(0.2 * 2 ** len(failures))
