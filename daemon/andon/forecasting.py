"""Decides when to look which live changes will collide, and tells the loop when the answer is another one. Decides nothing else.

Theory of operation. Nothing is asked while nothing happens. A repository is looked at after events that change what is live or
where trunk stands. A session is looked at after it stirred (its pane, its lines), soon, then at most every `EACH_S`, and once more
`NOISY_S` after the last sign, because signs may come that late; and soon after a commit of its own, of which the kernel tells.
One timer serves all sessions, and none is set while they are still. With fewer than two live changes nobody's files are read.
"""

import asyncio
import logging
import math
from collections.abc import Iterable
from functools import partial
from pathlib import Path

from andon.core.globs import matches
from andon.core.state import Attempt, Repository, Task
from andon.edges import worktree_tree as checkout
from andon.edges.forecast import Forecast, GroupsOf, Head, Outlook
from andon.edges.scratch import agent_git_dir
from andon.edges.tmux import News, PanesChanged
from andon.edges.watch import Watch
from andon.edges.whatif import Room
from andon.loop import Loop
from andon.schema import events as e, inputs as i
from andon.schema.errors import Mistake, Problem
from andon.schema.ids import AttemptId, RepoId, attempt_of_session
from andon.schema.landing_inputs import ClashesSeen
from andon.schema.layout import Layout

EACH_S, COMMIT_S, SOON_S, FIRST_S = 15.0, 3.0, 0.5, 4.0
"""At least between two looks at a session that stirs; at one that commits; from a sign to the look; and from a session's start."""
NOISY_S = 11.0
"""A sign of life may be this old when it is told (tmux tells noise to ten seconds), so one more look follows it."""
AT_ONCE = 2
"""Checkouts that are read at the same time."""
SHARE = 1.0
"""A pause after looking, as a part of the time that it took: however many there are, looking is never all that is done."""
LIVE = ("running", "ended")
"""Phases of an attempt whose checkout holds the task's present change."""
TASK = (e.TaskEntered, e.TaskLanded, e.TaskDone, e.TaskFailed, e.TaskCancelled, e.TaskRetried)
REPO = (e.TargetObserved, e.SettingsActivated)
ATTEMPT = (e.AttemptAccepted, e.WorkImported, e.AttemptStarted, e.AttemptExited, e.AttemptLost, e.AttemptFailed)
log = logging.getLogger("andon.forecast")


class _Session:
    """When a session is looked at. Moments are the event loop's seconds."""

    def __init__(self, now: float) -> None:
        self.looked, self.due, self.until = -math.inf, now + FIRST_S, now + NOISY_S
        self.owed = False
        """It was to be read when there was nothing to compare it with."""
        self.found: checkout.AtWork | None = None
        self.logs: Path | None = None
        """The watched folder that tells of its commits."""


class Forecasting:
    """The forecasts of all repositories of one daemon."""

    def __init__(self, layout: Layout, loop: Loop) -> None:
        self.looks = self.told = 0
        """Checkouts read and Inputs given, for tests that count."""
        self.outlooks: dict[RepoId, Outlook] = {}
        """What was found last, with what no Input carries: changes that do not merge with their target."""
        self._layout, self._loop = layout, loop
        self._forecasts: dict[RepoId, Forecast] = {}
        self._contracts: dict[RepoId, dict[str, tuple[str, ...]]] = {}
        self._last: dict[RepoId, object] = {}
        self._sessions: dict[AttemptId, _Session] = {}
        self._stale: set[RepoId] = set()
        self._news, self._busy = asyncio.Event(), False
        self._timer: asyncio.TimerHandle | None = None
        self._watch = Watch()
        self._room: Room | None = None

    # --- life --------------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Until cancelled."""
        self._stale = set(self._loop.state.repos)
        self._news.set()
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._hear(), name="forecast commits")
                group.create_task(self._live(), name="forecast looks")
        finally:
            self._disarm()
            for forecast in self._forecasts.values():
                forecast.close()
            self._forecasts.clear()
            self._sessions.clear()
            if self._room is not None:
                self._room.close()
                self._room = None

    @property
    def resting(self) -> bool:
        """Nothing is under way, and nothing will be until something happens."""
        return self._timer is None and not self._news.is_set() and not self._busy

    def recorded(self, events: Iterable[e.Event]) -> None:
        """What became durable: what is live, or where trunk stands, may be different."""
        for event in events:
            repo = self._repo_of(event)
            if repo is not None:
                self._stale.add(repo)
            if isinstance(event, e.AttemptExited | e.AttemptLost):
                self.stirred(event.attempt)
        if self._stale:
            self._news.set()

    def stirred(self, attempt: AttemptId) -> None:
        """A session did something. Costs next to nothing, however often it is said."""
        session = self._sessions.get(attempt)
        if session is not None:
            now = self._clock()
            session.until = now + NOISY_S
            self._at(session, max(now + SOON_S, session.looked + EACH_S))

    def news(self, news: News) -> None:
        """What changed in the panes, as tmux pushed it."""
        if isinstance(news, PanesChanged):
            for pane in news.panes:
                self.stirred(attempt_of_session(pane.name))

    # --- when --------------------------------------------------------------------------------------------------------

    async def _hear(self) -> None:
        """Commits of agents."""
        async for changed in self._watch.paths():
            logs = {path.parent for path in changed if path.name == "HEAD"}
            for session in self._sessions.values():
                if session.logs in logs:
                    self._at(session, max(self._clock() + SOON_S, session.looked + COMMIT_S))

    def _at(self, session: _Session, due: float) -> None:
        """Look at this session then, or sooner if that was wanted anyway."""
        if due < session.due:
            session.due = due
            self._arm(due)

    def _arm(self, due: float) -> None:
        if self._timer is not None:
            if self._timer.when() <= due:
                return
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_at(due, self._ring)

    def _ring(self) -> None:
        self._timer = None
        self._news.set()

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _clock(self) -> float:
        return asyncio.get_running_loop().time()

    def _repo_of(self, event: e.Event) -> RepoId | None:
        """The repository that an event makes look different; None when it makes none."""
        state = self._loop.state
        if isinstance(event, REPO):
            return event.repo
        if isinstance(event, TASK):
            task = state.tasks.get(event.task)
            return task.repo if task else None
        if isinstance(event, ATTEMPT):
            attempt = state.attempts.get(event.attempt)
            return attempt.repo if attempt else None
        return None

    # --- looking -----------------------------------------------------------------------------------------------------

    async def _live(self) -> None:
        while True:
            await self._news.wait()
            self._news.clear()
            self._busy = True
            begun = self._clock()
            self._follow()
            stale, self._stale = self._stale, set()
            for repo in list(self._loop.state.repos.values()):
                if repo.trunk:
                    await self._repository(repo, stale=repo.repo in stale)
            for session in self._sessions.values():
                session.due = math.inf if session.due <= begun else session.due
            first = min((session.due for session in self._sessions.values()), default=math.inf)
            if first < math.inf:
                self._arm(first)
            self._busy = False
            await asyncio.sleep(SHARE * (self._clock() - begun))

    def _follow(self) -> None:
        """Remember the sessions that there are, forget those that are over."""
        state, now = self._loop.state, self._clock()
        live = {task.live for task in map(state.tasks.__getitem__, state.open) if self._attempt(task) is not None}
        for name in self._sessions.keys() - live:
            session = self._sessions.pop(name)
            if session.logs is not None:
                self._watch.drop([session.logs])
        self._sessions |= {name: _Session(now) for name in live - self._sessions.keys()}
        for repo in self._forecasts.keys() - state.repos.keys():
            self._forecasts.pop(repo).close()

    async def _repository(self, repo: Repository, *, stale: bool) -> None:
        """Read what is to be read and compare what is to be compared. A world that refuses is a problem on the board."""
        key = f"forecast:{repo.repo}"
        try:
            if await self._read(repo) or stale:
                await self._forecast(repo)
            else:
                return
        except Mistake as mistake:
            problem = mistake.problem
        except OSError as error:
            problem = Problem(what=f"what live changes collide cannot be told: {error.strerror or error}", mend="free some space")
        else:
            if key in self._loop.state.problems:
                self._loop.give(i.TroubleGone(key=key))
            return
        self._begin_anew(repo)
        if key not in self._loop.state.problems:
            self._loop.give(i.TroubleSeen(key=key, problem=problem, repo=repo.repo))

    def _begin_anew(self, repo: Repository) -> None:
        """Whatever was remembered may be what is broken: the next time everything is read again, into another store."""
        forecast = self._forecasts.pop(repo.repo, None)
        if forecast is not None:
            forecast.close()
        for attempt in filter(None, map(self._at_work, self._live_tasks(repo))):
            self._sessions[attempt.attempt].found, self._sessions[attempt.attempt].owed = None, True

    async def _read(self, repo: Repository) -> bool:
        """Read the checkouts whose moment has come; whether one holds something else than before."""
        live, now = self._live_tasks(repo), self._clock()
        forecast = self._of(repo) if len(live) > 1 else None
        working = [attempt for attempt in map(self._at_work, live) if attempt is not None]
        due = [one for one in working if (session := self._sessions[one.attempt]).due <= now or (session.owed and forecast)]
        if forecast is None:
            for attempt in due:
                self._sessions[attempt.attempt].owed = True
            return False
        free = asyncio.Semaphore(AT_ONCE)
        return any(await asyncio.gather(*(self._look(repo, attempt, forecast, free) for attempt in due)))

    async def _look(self, repo: Repository, attempt: Attempt, forecast: Forecast, free: asyncio.Semaphore) -> bool:
        """Read one checkout; whether it holds something else than before."""
        session = self._sessions[attempt.attempt]
        async with free:
            session.looked, session.due, session.owed = self._clock(), math.inf, False
            self.looks += 1
            if session.logs is None:
                await self._watch_commits(repo, attempt, session)
            before = session.found
            found = await checkout.read(Path(repo.git_dir), Path(attempt.path), attempt.base, repo.trunk,
                                             forecast.store.objects, self._layout, before)
        if session.until > session.looked:
            self._at(session, max(session.until, session.looked + EACH_S))
        if found is not None and found is not before:
            session.found = found
            forecast.grew(found.size)
        return found is not None and (before is None or found.commit != before.commit)

    async def _watch_commits(self, repo: Repository, attempt: Attempt, session: _Session) -> None:
        own = await asyncio.to_thread(agent_git_dir, Path(repo.git_dir), Path(attempt.path))
        if own is not None and (own / "logs").is_dir() and self._watch.add(own / "logs"):
            session.logs = own / "logs"

    def _live_tasks(self, repo: Repository) -> list[Task]:
        """Those that have a change or are about to, and have not landed, in order of arrival."""
        state = self._loop.state
        tasks = (task for task in map(state.tasks.__getitem__, state.open) if task.repo == repo.repo and not task.landed)
        return [task for task in tasks if task.work is not None or self._attempt(task) is not None]

    def _attempt(self, task: Task) -> Attempt | None:
        """The attempt in whose checkout a task's present change is."""
        attempt = self._loop.state.attempts.get(task.live) if task.live else None
        return attempt if attempt is not None and attempt.phase in LIVE and attempt.path else None

    def _at_work(self, task: Task) -> Attempt | None:
        """The same, when it is followed already."""
        attempt = self._attempt(task)
        return attempt if attempt is not None and attempt.attempt in self._sessions else None

    # --- telling -----------------------------------------------------------------------------------------------------

    async def _forecast(self, repo: Repository) -> None:
        """Compare all live changes of a repository, and tell the loop when that gives something else than the last time."""
        heads = [head for task in self._live_tasks(repo) if (head := self._head(task)) is not None]
        if len(heads) < 2 and repo.repo not in self._forecasts:
            return
        outlook = self.outlooks[repo.repo] = await self._of(repo).outlook(repo.trunk, heads)
        answer = outlook.compared, tuple((one.one, one.other, one.kind, one.hunks) for one in outlook.clashes)
        if answer != self._last.get(repo.repo, ((), ())):
            self._last[repo.repo] = answer
            self.told += 1
            self._loop.give(ClashesSeen(repo=repo.repo, compared=outlook.compared, clashes=outlook.clashes))

    def _head(self, task: Task) -> Head | None:
        """A task's present change; None while nothing is known of it."""
        attempt = self._at_work(task)
        if attempt is None:
            return Head(task.task, task.work.commit, rivals=task.race) if task.work else None
        found = self._sessions[attempt.attempt].found
        return Head(task.task, found.commit, found.whole, task.race) if found else None

    def _of(self, repo: Repository) -> Forecast:
        """The forecast of a repository, with its contract groups as they are now."""
        contracts = repo.settings.queue.contracts
        forecast = self._forecasts.get(repo.repo)
        if forecast is not None and not forecast.store.objects.is_dir():
            self._begin_anew(repo)
            forecast = None
        if forecast is None:
            self._room = self._room or Room(self._layout.home)
            forecast = self._forecasts[repo.repo] = Forecast(Path(repo.git_dir), self._room.path, groups(contracts))
        elif contracts != self._contracts[repo.repo]:
            forecast.regroup(groups(contracts))
        self._contracts[repo.repo] = contracts
        return forecast


def groups(contracts: dict[str, tuple[str, ...]]) -> GroupsOf:
    """Which contract groups a path belongs to."""
    return partial(_groups_of, tuple(contracts.items()))


def _groups_of(contracts: tuple[tuple[str, tuple[str, ...]], ...], path: str) -> tuple[str, ...]:
    return tuple(name for name, globs in contracts if matches(path, globs))
