"""Carries effects out with the edges and answers each with one Input. It knows how, never why; it keeps no state of its own.

Theory of operation. Every deed looks at the world first, so doing it twice is harmless. An expected failure becomes
EffectFailed; nothing is raised across this wall but cancellation and broken invariants.
"""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from importlib import resources
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

import msgspec

from andon.edges import (
    beneath,
    checkout,
    conversation,
    enclose,
    homes,
    jobs,
    landing,
    login_files,
    marker,
    merging,
    mirror,
    notes,
    notes_repair,
    publish,
    revert,
    routes,
    salvage,
    sandbox,
    sealing,
    veil,
    withheld,
)
from andon.edges.baits import place_of
from andon.edges.blobs import Blobs
from andon.edges.check import Checks
from andon.edges.checkpoints import Checkpoints
from andon.edges.facts.gates import Compare, nobody
from andon.edges.git import git
from andon.edges.keys import Keys
from andon.edges.proving import Proving
from andon.edges.sandbox import nests
from andon.edges.surroundings import attempt_env
from andon.edges.tmux import Tmux, TmuxError
from andon.edges.tried import Tally
from andon.edges.walled import Ways
from andon.edges.watch import Watch
from andon.gateway.profiles import allowed
from andon.notes_store import stored_records
from andon.schema import effects as f, inputs as i
from andon.schema.agent import Adapter, Assignment, Launch, Profile, Seed, Supervised
from andon.schema.clean import clean
from andon.schema.errors import Mistake, Problem
from andon.schema.faults import point
from andon.schema.ids import AttemptId, Digest, Oid, session_name
from andon.schema.jobs import ASKS, CONTEXT, FACTS, OUTBOX, PROMPT, Answer, Facts, Job
from andon.schema.layout import Layout
from andon.schema.sandbox import Egress, Level, Reached
from andon.schema.settings import AgentSettings, Walls
from andon.steering import Steering

GIT_AT_ONCE = 4
"""Deeds that are mostly git, at once."""
STARTS_AT_ONCE = 4
SCREEN_LINES = 500
FACTS_BYTES = 64 * 1024
LAST_LOOKS_S = (0.05, 0.2, 0.0)
"""Pauses after each look at a last screen that was still empty."""

OURS = tuple(Path(str(resources.files(name))).parent for name in ("andon", "andon_agents"))
"""Where our own programs lie that a session calls: its hooks and its server of verbs."""
Emit = Callable[[i.Input], None]
AdapterFor = Callable[[AgentSettings], Adapter]
log = logging.getLogger("andon.perform")


class Address(Protocol):
    """The model gateway, as far as a start needs it."""

    async def address(self, attempt: AttemptId, upstream: str) -> str:
        """The address that stands before this provider for this session; empty when there can be none."""
        ...

    async def egress(self, job: str, egress: Egress) -> Path:
        """The unix socket of a job's way out, which lets it go where `egress` says."""
        ...

    @property
    def models(self) -> Path:
        """The unix socket on which the gateway takes model calls."""
        ...


class Tools(msgspec.Struct, frozen=True, kw_only=True):
    """What sessions are given beside their prompt, and by whom they are started."""

    adapter_for: AdapterFor
    hook: tuple[str, ...] = ()
    """argv of the program that an agent's hooks call."""
    verbs: tuple[str, ...] = ()
    """argv of the server with the agents' own verbs."""
    compare: Compare = nobody
    """Says what one text of andon.toml judges less than another."""


class Performer:
    """The hands of one daemon."""

    def __init__(self, layout: Layout, blobs: Blobs, tmux: Tmux, proving: Proving, tools: Tools, emit: Emit,
                 watch: Watch, steering: Steering, gateway: Address, keys: Keys) -> None:
        self._layout, self._blobs, self._tmux, self._tools, self._emit = layout, blobs, tmux, tools, emit
        self._watch, self._gateway = watch, gateway
        self.checks = Checks(layout, proving, blobs, keys.verifier)
        self._keys, self._checkpoints = keys, Checkpoints(layout, keys.origin)
        self._ground: Reached | None = None
        """What the machine was last told to give."""
        self._git = asyncio.Semaphore(GIT_AT_ONCE)
        self._starts = asyncio.Semaphore(STARTS_AT_ONCE)
        self._table: dict[type, Callable[[Any], Awaitable[i.Input]]] = {
            f.PrepareCheckout: self.prepare, f.StartSession: self.start, f.WatchSession: self.watch, f.StopSession: self.stop,
            f.SuspendSession: self.suspend, f.ImportWork: self.read, f.RemoveCheckout: self.remove,
            f.DeliverAnswer: self.deliver, f.RunCheck: self.check, f.MergeCandidate: self.merge, f.MoveTarget: self.move,
            f.SealChange: self.seal, f.RecordLanding: self.record, f.MirrorTarget: self.mirror, f.MakeRevert: self.revert,
            f.PublishTarget: publish.publish_target,
            f.LookAtWork: steering.look, f.EndSession: steering.end, f.AnswerAsk: steering.answer,
            f.DeliverMessage: steering.deliver, f.InterruptTurn: steering.interrupt, f.TellGate: routes.tell,
            f.WriteNotes: self.write_notes, f.RepairNotes: self.repair_notes,
            f.TellProblem: routes.tell_problem,
        }

    async def perform(self, effect: f.Effect) -> i.Input:
        """Do what is owed; the answer is what was then seen."""
        name = str(type(effect).__struct_config__.tag)
        point(f"{name}.intent")
        try:
            answer = await self._table[type(effect)](effect)
        except Mistake as mistake:
            answer = failed(effect, mistake.problem, transient=not isinstance(mistake, Refusal))
        except TmuxError as error:
            mend = "it is tried again; see andon doctor if it stays"
            answer = failed(effect, Problem(what=f"tmux did not do it: {error}", where=str(self._layout.tmux_socket), mend=mend))
        except OSError as error:
            where = str(error.filename or self._layout.home)
            answer = failed(effect, Problem(what=f"the system refused: {error.strerror}", where=where, mend="make room or access"))
        except (ValueError, LookupError) as error:  # what a tool printed is no oid, no number, has too few fields
            told = f"a tool answered {name} with something that makes no sense: {type(error).__name__}: {error}"
            log.warning("%s", told, exc_info=error)
            answer = failed(effect, Problem(what=clean(told)[:300], where=str(self._layout.daemon_log),
                                            mend="look whether the git and tmux on PATH are the real ones; it is tried again"))
        point(f"{name}.act")
        return answer

    # --- attempts ----------------------------------------------------------------------------------------------------

    async def prepare(self, effect: f.PrepareCheckout) -> i.Input:
        """The isolated checkout."""
        async with self._git:
            return await checkout.prepare(effect, self._layout, self._ways(effect.walls))

    async def start(self, effect: f.StartSession) -> i.Input:
        """The agent under its shim in a session of our tmux server. A token that is held means it was started before."""
        folder, name = self._layout.job(effect.attempt), session_name(effect.attempt)
        async with self._starts:
            await asyncio.to_thread(jobs.begin_sitting, folder, effect.sitting)
            seen = jobs.probe(folder)
            if isinstance(seen, jobs.NotStarted):
                await self._write_job(effect, folder)
                await self._tmux.ensure()
                pane = (await self._tmux.sessions()).get(name)
                if pane is not None and not pane.dead:
                    seen = await jobs.await_start(folder)
                if isinstance(seen, jobs.NotStarted):
                    await self._tmux.kill_session(name)
                    point("start-session.session")
                    await self._tmux.new_session(name, jobs.shim_argv(folder), effect.path, {})
                    seen = await jobs.await_start(folder)
        started = None if isinstance(seen, jobs.NotStarted) else seen.started
        if started is None:
            raise Mistake("the agent's wrapper did not start", where=str(folder), mend="it is tried again; see andon doctor")
        return i.SessionStarted(attempt=effect.attempt, pid=started.pid, ticks=started.ticks, boot=started.boot, session=name,
                                walls=await jobs.await_walls(folder))

    async def _write_job(self, effect: f.StartSession, folder: Path) -> None:
        """The job directory with prompt, context and the exact command; the session's home with what its adapter seeds.

        What is hidden from a session is what its checkout was made without: settings that changed since count for the next one.
        """
        made = await asyncio.to_thread(marker.ours, Path(effect.path), self._layout)
        if made is not None and made.hide != effect.walls.hide:
            effect = msgspec.structs.replace(effect, walls=msgspec.structs.replace(effect.walls, hide=made.hide))
        env = attempt_env(
            self._layout, attempt=effect.attempt, task=effect.task, path=Path(effect.path), port=effect.port, ports=effect.ports,
        )
        env |= effect.agent.env
        adapter = self._adapter(effect.agent)
        profile = adapter.profile() if isinstance(adapter, Supervised) else Profile()
        gateway = await self._address(effect, profile, env)
        doors = enclose.Doors()
        level = await self._settle(effect.walls)
        effect = msgspec.structs.replace(effect, walls=msgspec.structs.replace(effect.walls, level=level))
        if level != "none":
            await self._sign(effect)
            doors = await self._doors(effect, profile, gateway)
        seen = await veil.tops(Path(effect.git_dir), effect.base, effect.walls.hide, effect.walls.read_only)
        await asyncio.to_thread(self._lay_out, effect, folder, adapter, env, gateway, doors, seen, level)

    async def _settle(self, walls: Walls) -> Level:
        """The level at which a job of these settings starts now; what the machine gives is told when it is another than before.
        Raises Mistake when it gives less than what is demanded."""
        if walls.level != "none":
            best = await asyncio.to_thread(sandbox.reached)
            if best != self._ground:
                self._ground = best
                self._emit(i.WallsLooked(reached=best))
        return await asyncio.to_thread(enclose.settled, walls)

    async def check(self, effect: f.RunCheck) -> i.Input:
        """A check run. Where it may not start, its own answer says so."""
        with contextlib.suppress(Mistake):
            await self._settle(effect.walls)
        return await self.checks.run(effect, self._ways(effect.walls))

    def _ways(self, walls: Walls) -> Ways:
        """What leads out of the walls of a check, or of setup and teardown commands: the proxy, where the settings say so."""
        async def ways(job: str) -> enclose.Doors:
            if walls.check_network != "allow-list" or await asyncio.to_thread(enclose.settled, walls) == "none":
                return enclose.Doors()
            return enclose.Doors(proxy=str(await self._gateway.egress(job, allowed(walls.hosts, walls.registries))))

        return ways

    async def _doors(self, effect: f.StartSession, profile: Profile, gateway: str) -> enclose.Doors:
        """What leads out of the session's walls: to the model gateway, and through the proxy to the hosts that it may reach."""
        walls, proxy = effect.walls, ""
        if walls.network == "allow-list":
            upstream = urlsplit(effect.agent.upstream or profile.upstream)
            provider = (upstream.netloc,) if upstream.hostname and not gateway else ()
            renewed = profile.login_hosts if effect.agent.login == "copy" else ()
            reachable = allowed((*walls.hosts, *provider, *renewed), walls.registries)
            proxy = str(await self._gateway.egress(effect.attempt, msgspec.structs.replace(reachable, own=profile.hosts)))
        port = urlsplit(gateway).port if gateway else None
        return enclose.Doors(proxy=proxy, gateway=str(self._gateway.models) if port else "", gateway_port=port or 0)

    async def _sign(self, effect: f.StartSession) -> None:
        """Within walls the person's own git settings do not exist: their name goes into the private home, for commits."""
        asked = [await git("config", "--get", f"user.{key}", cwd=Path(effect.repository), trusted=True, check=False)
                 for key in ("name", "email")]
        name, email = asked[0].text or "andon", asked[1].text or "andon@localhost"
        home = self._layout.session_home(effect.attempt)
        told = "".join(f"\t{key} = {msgspec.json.encode(value).decode()}\n" for key, value in (("name", name), ("email", email)))
        await asyncio.to_thread(homes.lay, home, (Seed(path=".gitconfig", text=f"[user]\n{told}"),), copies=False)

    def _adapter(self, agent: AgentSettings) -> Adapter:
        """The adapter of a configured agent; a wrong setting is no fault that passes."""
        try:
            return self._tools.adapter_for(agent)
        except Mistake as mistake:
            raise Refusal(mistake.problem) from mistake

    async def _address(self, effect: f.StartSession, profile: Profile, env: dict[str, str]) -> str:
        """The gateway's address for this session; empty when none is wanted or possible."""
        agent = effect.agent
        keyed = any(env.get(key) for key in profile.keys)
        if not profile.upstream or agent.gateway == "off" or (agent.gateway == "auto" and not keyed):
            return ""
        upstream = agent.upstream or env.get(profile.base_variable, "") or profile.upstream
        try:
            return await self._gateway.address(effect.attempt, upstream)
        except Mistake as mistake:
            if agent.gateway == "on":
                raise
            self._emit(i.TroubleSeen(key="gateway", problem=mistake.problem))
            return ""

    def _lay_out(self, effect: f.StartSession, folder: Path, adapter: Adapter, env: dict[str, str], gateway: str,
                 doors: enclose.Doors, seen: veil.Tops, level: Level) -> None:
        """Everything on disk that the shim and the agent read. `level`: at which it starts."""
        withheld.name(effect.walls.secrets)
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        prompt_file, home = folder / PROMPT, self._layout.session_home(effect.attempt)
        prompt_file.write_text(effect.whole or effect.prompt)
        context = {"task": effect.task, "attempt": effect.attempt, "title": effect.title, "base": effect.base, "repo": effect.repo}
        (folder / CONTEXT).write_bytes(msgspec.json.encode(context))
        assignment = Assignment(
            attempt=effect.attempt, task=effect.task, title=effect.title, prompt=effect.prompt, prompt_file=prompt_file,
            checkout=Path(effect.path), job=folder, agent=effect.agent, home=home, repository=Path(effect.repository),
            resume=effect.resume, whole=effect.whole, gateway=gateway, hook=self._tools.hook, mcp=self._tools.verbs, person=env,
            walls=level, nests=level == "none" or (level == "strict" and nests()),
        )
        try:
            launch = adapter.launch(assignment)
            homes.lay(home, launch.seeds, copies=effect.agent.login == "copy") if launch.seeds else None
        except Mistake as mistake:
            raise Refusal(mistake.problem) from mistake
        if effect.agent.login == "copy":
            lent = tuple((seed.path, seed.copy) for seed in launch.seeds if seed.copy)
            login_files.note(self._layout, folder, home, lent)
        (folder / ASKS).mkdir(exist_ok=True, mode=0o700)
        (folder / FACTS).write_bytes(msgspec.json.encode(facts_of(launch, adapter, effect.resume)))
        kept = {key: value for key, value in env.items() if key not in launch.drop}
        box, inside = enclose.agent(
            effect.walls, job=folder, checkout=Path(effect.path), home=home, git_dir=effect.git_dir,
            argv=(*launch.argv, *launch.programs, *self._tools.hook[:1], *self._tools.verbs[:1]),
            env={**kept, **launch.env}, ours=OURS, doors=doors, keys=profile_keys(adapter), port=launch.port,
            shares=launch.shares, seen=seen,
            place=place_of(self._layout, job=folder, home=home, repository=Path(effect.repository)),
        )
        inside |= launch.env
        jobs.write_job(folder, Job(name=effect.attempt, argv=launch.argv, cwd=effect.path, env=inside, sandbox=box))

    def _tell_facts(self, attempt: AttemptId, folder: Path) -> None:
        """What was known of the session when it was started, by whichever daemon."""
        with contextlib.suppress(OSError, msgspec.MsgspecError):
            facts = msgspec.json.decode(beneath.read(folder, FACTS, FACTS_BYTES), type=Facts)
            self._emit(i.ConversationSeen(
                attempt=attempt, conversation=facts.conversation, channel=facts.channel, interactive=facts.interactive,
                metered=facts.metered,
            ))

    async def watch(self, effect: f.WatchSession) -> i.Input:
        """See the attempt through to its end. Its last words are heard before its end is told."""
        folder = self._layout.job(effect.attempt)
        if not self._watch.add(folder / OUTBOX):
            what = f"what {effect.attempt} says is heard when it ends: its outbox cannot be watched"
            mend = "raise the system's limit of watched folders (fs.inotify.max_user_watches)"
            self._emit(i.TroubleSeen(key="watch", problem=Problem(what=what, where=str(folder / OUTBOX), mend=mend)))
        self._tell_facts(effect.attempt, folder)
        self.hear(effect.attempt)
        seen = await jobs.wait(folder)
        self._watch.drop([folder / OUTBOX])
        screen = await self._last_screen(effect.session)
        self.hear(effect.attempt)
        tally = Tally(effect.attempt, folder)
        await asyncio.to_thread(tally.read)
        for refused in tally.take():
            self._emit(refused)
        talk = await asyncio.to_thread(conversation.keep, self._layout, self._blobs, effect.attempt)
        if talk is not None:
            self._emit(i.ConversationKept(attempt=effect.attempt, talk=talk))
        blob = self._blobs.put(screen.encode()) if screen.strip() else Digest("")
        if isinstance(seen, jobs.Ended):
            return i.SessionEnded(attempt=effect.attempt, exit=seen.exit, screen=blob)
        return i.SessionEnded(attempt=effect.attempt, screen=blob, because="its wrapper is gone and left no exit file")

    async def _last_screen(self, session: str) -> str:
        """What the pane showed at the end. tmux may draw the last of it a moment after the process is gone."""
        for pause in LAST_LOOKS_S:
            screen = await self._tmux.capture_text(session, SCREEN_LINES)
            if screen.strip():
                return screen
            await asyncio.sleep(pause)
        return ""

    def hear(self, attempt: AttemptId, after: int = 0) -> None:
        """Tell what lies in an attempt's outbox; the core takes each message once."""
        for said in jobs.read_outbox(self._layout.job(attempt), after):
            self._emit(i.AgentSaid(attempt=attempt, said=said))

    async def stop(self, effect: f.StopSession) -> i.Input:
        """Snapshot, then end the tree. An attempt that never started never will: its token is taken here."""
        folder = self._layout.job(effect.attempt)
        started = not jobs.forbid(folder)
        where = Path(effect.path) if effect.path else self._layout.checkout(effect.repo, effect.attempt)
        saved = salvage.Salvaged(ref="", oid=Oid(""), dirty=False)
        if started and where.exists():
            async with self._git:
                saved = await salvage.snapshot(effect.git_dir, where, effect.attempt, effect.base, self._layout)
            point("stop-session.snapshot")
        if started:
            await jobs.stop(folder)
        return i.StopDone(attempt=effect.attempt, ref=saved.ref, oid=saved.oid, dirty=saved.dirty)

    async def suspend(self, effect: f.SuspendSession) -> i.Input:
        """Suspend the tree or let it go on; what was seen is told."""
        done = await jobs.suspend(self._layout.job(effect.attempt), effect.suspend)
        if not done and isinstance(jobs.probe(self._layout.job(effect.attempt)), jobs.Running):
            raise Mistake("the agent's processes did not all follow", where=effect.attempt, mend="it is tried again")
        return i.SuspendDone(attempt=effect.attempt, suspended=effect.suspend)

    async def read(self, effect: f.ImportWork) -> i.Input:
        """What it committed, fetched and pinned."""
        async with self._git:
            return await checkout.import_work(effect, self._layout, self._blobs, self._tools.compare)

    async def remove(self, effect: f.RemoveCheckout) -> i.Input:
        """The session's remains, then (after a snapshot) the checkout."""
        await jobs.stop(self._layout.job(effect.attempt))
        if self._layout.tmux_socket.exists():
            await self._tmux.ensure()
            await self._tmux.kill_session(session_name(effect.attempt))
        where = effect.path or str(self._layout.checkout(effect.repo, effect.attempt))
        async with self._git:
            gone = await checkout.remove(msgspec.structs.replace(effect, path=where), self._layout, self._ways(effect.walls))
        await self._clear_scratch(effect.attempt)
        return gone

    async def _clear_scratch(self, attempt: AttemptId) -> None:
        """The attempt's TMPDIRs and its private home go; the few small files of its jobs stay: they say what was started."""
        folders = (self._layout.job(attempt), *self._layout.jobs.glob(f"{attempt}~*"))
        for place in (*(folder / "tmp" for folder in folders), self._layout.session_home(attempt)):
            aside = self._layout.jobs / f".tmp-{place.parent.name}-{place.name}"
            with contextlib.suppress(OSError):  # not there, or an earlier one is still on its way out
                place.rename(aside)
            await salvage.destroy(aside, self._layout)

    async def deliver(self, effect: f.DeliverAnswer) -> i.Input:
        """A person's answer into the inbox."""
        jobs.write_answer(self._layout.job(effect.attempt), Answer(n=effect.n, text=effect.text))
        return i.AnswerGiven(attempt=effect.attempt, n=effect.n)

    # --- landing -----------------------------------------------------------------------------------------------------

    async def merge(self, effect: f.MergeCandidate) -> i.Input:
        """The merged tree as objects. It never waits behind checkouts: it is quick."""
        return await merging.merge_candidate(effect)

    async def move(self, effect: f.MoveTarget) -> i.Input:
        """The one commit point."""
        return await landing.move_target(effect)

    async def seal(self, effect: f.SealChange) -> i.Input:
        """All evidence of a change, signed."""
        sealed = await sealing.seal_change(effect.parts, self._blobs, self._keys, self._checkpoints)
        return i.SealMade(task=effect.task, commit=effect.parts.commit, approved=effect.approved, sealed=sealed)

    async def record(self, effect: f.RecordLanding) -> i.Input:
        """What proved a landing, beside the bundles of its members."""
        await sealing.record_landing(effect.parts, self._blobs, self._keys, self._checkpoints)
        return i.LandingNoted(repo=effect.repo, landing=effect.parts.landing)

    async def mirror(self, effect: f.MirrorTarget) -> i.Input:
        """The person's branch."""
        async with self._git:
            return await mirror.mirror_target(effect)

    async def revert(self, effect: f.MakeRevert) -> i.Input:
        """The change that takes a landed one back."""
        async with self._git:
            return await revert.make_revert(effect, self._blobs, self._tools.compare)

    async def write_notes(self, effect: f.WriteNotes) -> i.Input:
        """The notes of a landed change."""
        try:
            return await notes.write_notes(effect)
        except notes.Unclean as unclean:
            raise Refusal(unclean.problem) from unclean

    async def repair_notes(self, effect: f.RepairNotes) -> i.Input:
        """The notes of changes that somebody else put on the target in another form."""
        stored = await asyncio.to_thread(stored_records, self._layout, effect.repo)
        return await notes_repair.repair_move(effect, stored)


def facts_of(launch: Launch, adapter: Adapter, resume: str) -> Facts:
    """What is known of a session before it runs: its kind, and its conversation where that can be chosen."""
    metered = adapter.profile().metered if isinstance(adapter, Supervised) else ""
    return Facts(
        conversation=launch.conversation or resume, channel=launch.channel, interactive=launch.interactive,
        metered="unmetered" if metered == "unmetered" else "", notes=launch.notes,
    )


def profile_keys(adapter: Adapter) -> tuple[str, ...]:
    """The variables by which an agent's provider knows its person."""
    profile = adapter.profile() if isinstance(adapter, Supervised) else Profile()
    return (*profile.keys, *([profile.base_variable] if profile.base_variable else []))


class Refusal(Mistake):
    """A mistake of the settings: trying again would say the same."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.what, where=problem.where, mend=problem.mend)


def failed(effect: f.Effect, problem: Problem, *, transient: bool = True) -> i.EffectFailed:
    """The answer of a deed that could not be done."""
    kind = str(type(effect).__struct_config__.tag)
    return i.EffectFailed(key=effect.key, kind=kind, subject=subject_of(effect), problem=problem, transient=transient)


def subject_of(effect: f.Effect) -> str:
    """The attempt, run, landing or repository that an effect is about."""
    names = ("attempt", "run", "landing", "task", "repo")
    return next(str(value) for name in names if (value := getattr(effect, name, "")))

