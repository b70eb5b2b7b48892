"""What faces may ask of a running factory, and how it is answered. Commands go to the core; the rest is read or arranged here."""

import asyncio
import os
import pwd
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import cast

import msgspec

from andon import access, archive, evidence_reader, notes_desk, walk_back
from andon.core.evolve import evolve, replay
from andon.core.project import attempt_details, task_view
from andon.core.queue.standing import landings_of
from andon.core.schedule import busy_tasks
from andon.core.state import Past, Repository, State, Task
from andon.edges import operators, repository, salvage, trust, withheld
from andon.edges.blobs import Blobs
from andon.edges.pane import PaneWatch
from andon.edges.repository import Diverged
from andon.edges.tmux import Tmux
from andon.ledger_reader import read_log, read_rows
from andon.loop import Loop
from andon.schema import events as e, inputs as i, wire
from andon.schema.clean import clean
from andon.schema.errors import Mistake, Problem
from andon.schema.faults import point
from andon.schema.ids import AttemptId, Digest, Oid, RepoId, TaskId
from andon.schema.layout import Layout
from andon.schema.sentences import sentence
from andon.schema.settings import FactorySettings, Loaded
from andon.schema.views import AnyView, AttemptDetail, Moment, TaskDetail
from andon.witness import Witness

SETTINGS = "andon.toml"
ENDS = (e.TaskDone, e.TaskFailed, e.TaskCancelled)
WITHHELD = "a secret in these words was withheld: give it as a variable that `secrets` of [sandbox] names"
PAST_ROWS = 100_000
"""Ledger rows that are read again for a task that was over long ago."""
Push = Callable[[wire.AnyReply], None]
LoadRepository = Callable[[Path, str | None, str, Path], Loaded]
"""(the working file, text of the target's file, where that is, the person's file) -> settings."""
LoadPerson = Callable[[Path], FactorySettings]


def unsigned(command: i.AnyCommand) -> i.AnyCommand:
    """A command as it may come over a socket: whether something was signed is for the daemon to find out."""
    if isinstance(command, i.WaiveRule | i.ApproveLights) and command.signature:
        return msgspec.structs.replace(command, signature=Digest(""))
    return command


class Office:
    """The desk behind the operator's socket."""

    def __init__(
        self, layout: Layout, loop: Loop, blobs: Blobs, tmux: Tmux, group: asyncio.TaskGroup, version: str,
        load_repository: LoadRepository, load_person: LoadPerson, leave: Callable[[str], None],
    ) -> None:
        self.version = version
        self._layout, self._loop, self._blobs, self._tmux, self._group = layout, loop, blobs, tmux, group
        self._load_repository, self._load_person, self._leave = load_repository, load_person, leave
        self.witness = Witness(layout, loop, blobs)
        self._watches: dict[int, asyncio.Task[None]] = {}
        self._naming = asyncio.Lock()
        self._loading: dict[RepoId, asyncio.Lock] = {}

    def views(self) -> dict[str, AnyView]:
        """All views, as last published."""
        return self._loop.views

    async def do(self, command: i.AnyCommand) -> wire.Done | wire.Failed:
        """A person's command; answered when it is durable. A secret in its words stays behind, and the answer says so."""
        try:
            plain = withheld.struct(unsigned(command))
            given = await self.witness.looked(plain) if isinstance(plain, i.AnswerGate) else plain
            given = await self.witness.signed(given) if isinstance(given, i.WaiveRule | i.ApproveLights) else given
            events = await self._loop.ask(given)
        except Mistake as mistake:
            return wire.Failed(problem=mistake.problem)
        self._loop.publish_now()
        if isinstance(command, i.AddTask) and not any(isinstance(event, e.TaskAdded) for event in events):
            return wire.Done(ids=(self._loop.state.keys[command.key],), text="it was added before")
        told = [sentence(cast("e.AnyEvent", event)) for event in events[:3]]
        hidden = plain is not command and plain != unsigned(command)
        return wire.Done(ids=made(events), text="; ".join([*told, *([WITHHELD] if hidden else [])]))

    async def handle(self, request: wire.AnyRequest, push: Push) -> wire.AnyReply:
        """Any other request."""
        try:
            match request:
                case wire.Register():
                    return await self.register(Path(request.path), request.trust)
                case wire.ReloadSettings():
                    return await self.reload(request.repo)
                case wire.GetTask():
                    return wire.TaskIs(detail=await self.detail(request))
                case wire.GetBlob():
                    return await self.blob(request)
                case wire.GetEvidence():
                    return await self.evidence(request)
                case wire.AskNotes():
                    return await notes_desk.answer(self._loop, self._layout, self.version, request)
                case wire.WatchPane():
                    return self.watch_pane(request, push)
                case wire.Undo():
                    return await walk_back.restored(self._loop, self._layout, request.attempt, login(), self.undo)
                case wire.UndoStep():
                    return await walk_back.answer(self._loop, self._layout, request, login(), self.undo)
                case wire.FindCommit():
                    return await archive.find_commit(self._loop.state, request)
                case wire.SimulateQueue():
                    return await archive.simulate(self._loop.state, self._layout, request)
                case wire.TryWalls():
                    return await self.walls(attack=request.attack)
                case wire.GetAccess():
                    return await asyncio.to_thread(access.listed, self._loop.state, self._layout, request.attempt)
                case wire.Shutdown():
                    self._leave(request.because)
                    return wire.Done(text="the daemon drains and leaves; agents go on")
                case _:
                    raise Mistake(f"{type(request).__name__} is not answered here")
        except Mistake as mistake:
            return wire.Failed(problem=mistake.problem)

    async def walls(self, *, attack: bool) -> wire.AnyReply:
        """What walls the machine gives now, told to the core too: what was mended counts from here on."""
        best = await archive.look_at_walls()
        await self._loop.ask(i.WallsLooked(reached=best))
        self._loop.publish_now()
        return await archive.try_walls(self._layout, best) if attack else wire.WallsAre(reached=best)

    def gone(self, push: Push) -> None:
        """A face left: its pane is no longer watched."""
        task = self._watches.pop(id(push), None)
        if task is not None:
            task.cancel()

    # --- repositories ------------------------------------------------------------------------------------------------

    async def register(self, path: Path, trust: Digest) -> wire.AnyReply:
        """Put a repository under the factory when the person said yes to its commands; else show them."""
        first = await asyncio.to_thread(self._load_repository, path / SETTINGS, None, "", self._layout.person_settings)
        seen = await repository.inspect(path, first.settings.target)
        async with self._naming:
            repo = self.name_for(seen.path, seen.git_dir)
            async with self._loop.target_lock(repo):
                return await self._admit(repo, seen, trust)

    async def _admit(self, repo: RepoId, seen: repository.Inspected, trust: Digest) -> wire.AnyReply:
        """The same for a repository that was looked at and has its name."""
        target = await repository.read_target(seen.git_dir, seen.target)
        if isinstance(target, Diverged):
            raise diverged(target, str(seen.path))
        await self._tell_landed(repo, target.oid)
        loaded = await self.load(seen.path, seen.git_dir, target.oid)
        known = self._loop.state.repos.get(repo)
        trusted = trust == loaded.commands or (known is not None and known.trusted == loaded.commands)
        if not trusted:
            return wire.SettingsAre(loaded=loaded, trusted=False, commands=loaded.settings.commands())
        notes = (*loaded.notes, *seen.notes)
        await self._loop.ask(i.RepositorySeen(
            repo=repo, path=str(seen.path), git_dir=str(seen.git_dir), by=login(), trust=trusted, target=target.oid,
            tree=target.tree, loaded=msgspec.structs.replace(loaded, notes=notes),
        ))
        self._loop.publish_now()
        return wire.Done(ids=(repo,), text=f"{repo} is registered; changes land on {seen.target}")

    def name_for(self, path: Path, git_dir: Path) -> RepoId:
        """The id of a repository: the one it has, else a slug of its folder that nobody else has."""
        repos = self._loop.state.repos
        known = next((repo.repo for repo in repos.values() if repo.git_dir == str(git_dir)), None)
        if known is not None:
            return known
        slug = re.sub(r"[^a-z0-9_-]+", "-", path.name.lower()).strip("-") or "repository"
        names = (slug, *(f"{slug}-{n}" for n in range(2, 1000)))
        return next(RepoId(name) for name in names if name not in repos)

    async def load(self, path: Path, git_dir: Path, oid: str) -> Loaded:
        """The settings of a repository as they are now: what judges comes from the target's commit."""
        base = await repository.show_file(git_dir, oid, SETTINGS)
        where = f"{oid[:10]}:{SETTINGS}"
        loaded = await asyncio.to_thread(self._load_repository, path / SETTINGS, base, where, self._layout.person_settings)
        withheld.name(loaded.settings.sandbox.secrets)
        need_plain(loaded, str(path / SETTINGS))
        return loaded

    async def reload(self, repo: RepoId) -> wire.AnyReply:
        """Read a repository's settings now. Bad ones raise Mistake and leave the last good in force."""
        async with self._loading.setdefault(repo, asyncio.Lock()):
            return await self._reload(repo)

    async def _reload(self, repo: RepoId) -> wire.AnyReply:
        """The same, one reading of a repository at a time: the settings in force are those that were read last."""
        known = self._loop.state.repos.get(repo)
        if known is None:
            raise Mistake(f"repository {repo} is not registered", mend=f"known: {', '.join(self._loop.state.repos) or 'none'}")
        try:
            loaded = await self.load(Path(known.path), Path(known.git_dir), known.trunk)
        except Mistake as mistake:
            await self._loop.ask(i.SettingsBad(repo=repo, problem=mistake.problem))
            raise
        await self._loop.ask(i.SettingsSeen(repo=repo, loaded=loaded))
        trusted = self._loop.state.repos[repo].is_trusted
        return wire.SettingsAre(loaded=loaded, trusted=trusted, commands=loaded.settings.commands())

    async def read_target(self, repo: RepoId) -> None:
        """Look where the target of a repository stands."""
        async with self._loop.target_lock(repo):
            await self._read_target(repo)

    async def _read_target(self, repo: RepoId) -> None:
        """The same, with the target's lock held."""
        known = self._loop.state.repos[repo]
        key = f"diverged:{repo}"
        try:
            await self._restore_trunk(known)
            seen = await repository.read_target(known.git_dir, known.settings.target)
        except Mistake as mistake:
            self._loop.give(i.TroubleSeen(key=key, repo=repo, problem=mistake.problem))
            return
        if isinstance(seen, Diverged):
            self._loop.give(i.TroubleSeen(key=key, repo=repo, problem=diverged(seen, known.path).problem))
            return
        self._loop.give(i.TroubleGone(key=key))
        await self._tell_landed(repo, seen.oid)
        self._loop.give(i.TargetSeen(repo=repo, oid=seen.oid, tree=seen.tree))

    async def _restore_trunk(self, known: Repository) -> None:
        """What landed and is not on the person's branch yet hangs on one ref: when it was removed it is put back, and told."""
        key = f"trunk:{known.repo}"
        if not known.queue.counts.landed or not await repository.restore_trunk(known.git_dir, known.settings.target, known.trunk):
            self._loop.give(i.TroubleGone(key=key))
            return
        ref = repository.trunk_ref(known.settings.target)
        problem = Problem(what=f"{ref} was gone, and was put back at {known.trunk[:10]}", where=known.path,
                          mend="leave refs/andon to the factory: landed work hangs on it")
        self._loop.give(i.TroubleSeen(key=key, repo=known.repo, problem=problem))

    async def _tell_landed(self, repo: RepoId, oid: str) -> None:
        """A landing that was done and not recorded, and the person built upon it since: first tell that the target was there."""
        known = self._loop.state.repos.get(repo)
        if known is None:
            return
        landings = [landing for landing in landings_of(self._loop.state, known) if landing.passed]
        if any(landing.candidate == oid for landing in landings):
            return
        for landing in sorted(landings, key=lambda landing: -len(landing.members)):
            if await repository.is_ancestor(known.git_dir, landing.candidate, oid):
                self._loop.give(i.TargetSeen(repo=repo, oid=landing.candidate, tree=landing.tree))
                return

    async def read_person(self) -> None:
        """The person's own settings; bad ones leave the last good in force."""
        try:
            settings = await asyncio.to_thread(self._load_person, self._layout.person_settings)
            signers = await asyncio.to_thread(operators.signers, self._layout.allowed_signers)
            settings = msgspec.structs.replace(settings, signers=signers)
            await asyncio.to_thread(trust.tell_people, self._layout, settings.operators)
            need_plain(settings, str(self._layout.person_settings))
            self._loop.give(i.PersonSettingsSeen(settings=settings))
        except Mistake as mistake:
            self._loop.give(i.SettingsBad(repo=RepoId(""), problem=mistake.problem))

    # --- reading -----------------------------------------------------------------------------------------------------

    async def _task(self, task: TaskId) -> tuple[State, Task]:
        """A task with a state that knows it: ours, or for one that was over long ago what the ledger tells."""
        state = self._loop.state
        if task in state.tasks:
            return state, state.tasks[task]
        past = state.past.get(task)
        told = await asyncio.to_thread(state_of_past, self._layout, state, task, past) if past else state
        if task not in told.tasks:
            raise Mistake(f"there is no task {task}", mend="andon list shows them")
        return told, told.tasks[task]

    async def detail(self, request: wire.GetTask) -> TaskDetail:
        """A task, whole: its state and its timeline out of the ledger."""
        state, task = await self._task(request.task)
        rows = await asyncio.to_thread(read_rows, self._layout, task.history)
        moments = tuple(
            Moment(seq=row.seq, at=row.at, kind=e.kind_of(row.event), text=clean(sentence(row.event)), blobs=blobs_of(row.event))
            for row in rows
        )
        return TaskDetail(
            task=task_view(state, task, self._loop.sightings, busy_tasks(state)), spec=task.spec,
            attempts=attempts_told(state, task, rows), timeline=moments, diff=task.work.diff if task.work else Digest(""),
            packet=task.packet,
        )

    async def evidence(self, request: wire.GetEvidence) -> wire.EvidenceIs:
        """What a claim rests on: its statement, files and command."""
        state, task = await self._task(request.task)
        rows = await asyncio.to_thread(read_rows, self._layout, task.history)
        repo, work = state.repos[task.repo], task.work
        around = evidence_reader.Around(
            view=task_view(state, task, self._loop.sightings, busy_tasks(state)), path=repo.path, settings=repo.settings,
            tree=work.tree if work else Oid(""), diff=work.diff if work else Digest(""),
        )
        return wire.EvidenceIs(evidence=await asyncio.to_thread(
            evidence_reader.open_claim, self._layout, self._blobs, around, rows, request.claim, request.digest))

    async def blob(self, request: wire.GetBlob) -> wire.BlobIs:
        """The text of a blob, without anything that a terminal would obey."""
        data = await asyncio.to_thread(self._blobs.get, request.digest)
        text = clean(data[: request.limit].decode(errors="replace"))
        return wire.BlobIs(text=text, truncated=len(data) > request.limit)

    # --- sessions ----------------------------------------------------------------------------------------------------

    def _known(self, attempt: AttemptId) -> AttemptId:
        """A live attempt, or a clear word."""
        known = self._loop.state.attempts.get(attempt)
        if known is None or known.phase != "running":
            raise Mistake(f"{attempt or 'this attempt'} has no live session", mend="andon list shows which tasks have one")
        return attempt

    def watch_pane(self, request: wire.WatchPane, push: Push) -> wire.AnyReply:
        """From now on this face gets the pane's picture; another request replaces the first."""
        self.gone(push)
        if request.attempt:
            pane = PaneWatch(self._layout, self._known(request.attempt), push, rows=request.rows)
            self._watches[id(push)] = self._group.create_task(pane.run(), name=f"pane {request.attempt}")
        return wire.Done(ids=(request.attempt,))

    async def undo(self, attempt: AttemptId) -> wire.AnyReply:
        """Lay the newest snapshot of an attempt out as a directory of its own."""
        state = self._loop.state
        _, task = await self._task(TaskId(attempt.partition(".")[0]))
        if attempt not in task.attempts:
            raise Mistake(f"there is no attempt {attempt}", mend="andon show TASK lists its attempts")
        into = self._layout.home / "restored" / attempt
        path = await salvage.restore(state.repos[task.repo].git_dir, attempt, into, self._layout)
        point("undo.restored")
        await self._loop.ask(i.CheckoutBack(attempt=attempt, path=str(path)))
        return wire.Done(ids=(str(path),), text=f"the snapshot of {attempt} stands at {path}")


def login() -> str:
    """The name of the person whose factory this is; only this person gets through the socket."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())


def need_plain(settings: object, where: str) -> None:
    """Raise Mistake for settings with a secret in them: they go into the ledger, and commands without it would be others."""
    if withheld.struct(settings) is not settings:
        raise Mistake("the settings hold a secret, which would be kept for ever", where=where,
                      mend="put its value into a variable of your environment, and name that variable in `secrets` of [sandbox]")


def diverged(seen: Diverged, where: str) -> Mistake:
    """Trunk and the person's branch went apart."""
    what = f"{seen.target} and the landed trunk have gone apart: each has commits that the other lacks"
    return Mistake(what, where=where, mend=f"in a checkout of {seen.target}: {seen.mend}")


def made(events: Sequence[e.Event]) -> tuple[str, ...]:
    """The names of what a command made."""
    added = tuple(event.task for event in events if isinstance(event, e.TaskAdded))
    if added:
        return added
    for event in events:
        match event:
            case e.GateAnswered() | e.GateApproved() | e.GateSnoozed() | e.GateWoken() | e.GateDelegated():
                return (event.gate,)
            case e.TaskCancelled() | e.TaskRetried():
                return (event.task,)
    return ()


def state_of_past(layout: Layout, state: State, task: TaskId, past: Past) -> State:
    """The state as far as the ledger's rows of a task tell it that was over long ago."""
    told = State(repos=state.repos)
    for row in read_log(layout, after=past.first - 1, limit=min(past.last - past.first + 1, PAST_ROWS)):
        if not isinstance(row.event, ENDS) or row.event.task == task:
            told = evolve(msgspec.structs.replace(told, seq=row.seq - 1), row.event, row.at)
    return told


def attempts_told(state: State, task: Task, rows: Sequence[e.Recorded]) -> tuple[AttemptDetail, ...]:
    """The attempts of a task out of its own history: the state forgets those of finished tasks, the ledger does not."""
    told = replay(State(repos=state.repos), [row for row in rows if not isinstance(row.event, ENDS)])
    known = told.tasks.get(task.task)
    return attempt_details(told, known) if known else attempt_details(state, task)


def blobs_of(event: e.Event) -> tuple[tuple[str, Digest], ...]:
    """The evidence that an event points to."""
    names = ("diff", "log", "report", "evidence", "screen", "names")
    return tuple((name, Digest(digest)) for name in names if (digest := getattr(event, name, "")))
