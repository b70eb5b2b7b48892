"""What the face knows: the latest view of each thing, and what screens ask of them. Must never know Textual or a socket."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple, TypeVar

from andon.schema.ids import GateId, RepoId, TaskId
from andon.schema.views import (
    AnyView,
    ClashView,
    EntryView,
    FactoryView,
    GateView,
    LineView,
    ProblemView,
    QueueView,
    RepositoryView,
    SessionView,
    StationView,
    TaskView,
)

QUEUED, DONE = "queued", "done"
OVER = ("landed", "done", "failed", "stopped")
"""States in which a task no longer runs."""
LANDED_LIMIT = 10
"""Changes that have landed lately, as far as the queue shows them."""


V = TypeVar("V")


class Lane(NamedTuple):
    """One column of a board: a station, or the places before and after all stations."""

    name: str
    kind: str
    tasks: tuple[TaskView, ...]
    wip: int = 0


class Model:
    """The latest views. `sync` takes a whole mapping and says whether anything is different."""

    def __init__(self) -> None:
        self._views: dict[str, AnyView] = {}
        self.seen = 0
        """Times that something was different: a cheap stamp for caches."""

    def sync(self, views: Mapping[str, AnyView]) -> bool:
        """Take these views; True when any differs from before."""
        old = self._views
        if len(old) == len(views) and all(view is old.get(key) or view == old.get(key) for key, view in views.items()):
            return False
        self._views = dict(views)
        self.seen += 1
        return True

    def _all(self, kind: type[V]) -> list[V]:
        return [view for view in self._views.values() if isinstance(view, kind)]

    def _one(self, key: str, kind: type[V]) -> V | None:
        view = self._views.get(key)
        return view if isinstance(view, kind) else None

    @property
    def factory(self) -> FactoryView | None:
        """The daemon, once it was heard."""
        return self._one("factory", FactoryView)

    @property
    def lines(self) -> list[LineView]:
        """All lines, by repository and name."""
        return sorted(self._all(LineView), key=lambda line: (line.repo, line.line))

    @property
    def repositories(self) -> list[RepositoryView]:
        """All repositories, by id."""
        return sorted(self._all(RepositoryView), key=lambda repository: repository.repo)

    @property
    def tasks(self) -> list[TaskView]:
        """All tasks, in no order."""
        return self._all(TaskView)

    @property
    def gates(self) -> list[GateView]:
        """Open gates, the longest waiting first."""
        return sorted(self._all(GateView), key=lambda gate: (gate.opened_at, number(gate.gate)))

    @property
    def sessions(self) -> list[SessionView]:
        """Live sessions, by attempt."""
        return sorted(self._all(SessionView), key=lambda session: number(session.attempt))

    def task(self, task: str) -> TaskView | None:
        """The task with this id."""
        return self._one(f"task:{task}", TaskView)

    def gate(self, gate: str) -> GateView | None:
        """The open gate with this id."""
        return self._one(f"gate:{gate}", GateView)

    def gate_of(self, task: TaskId | str) -> GateView | None:
        """The open gate of a task."""
        view = self.task(task)
        found = self.gate(view.gate) if view and view.gate else None
        return found or next((gate for gate in self.gates if gate.task == task), None)

    def session(self, attempt: str) -> SessionView | None:
        """The live session of an attempt."""
        return self._one(f"session:{attempt}", SessionView)

    def session_of(self, task: TaskId | str) -> SessionView | None:
        """The live session of a task."""
        view = self.task(task)
        return self.session(view.attempt) if view and view.attempt else None

    def repository(self, repo: RepoId | str) -> RepositoryView | None:
        """The repository with this id."""
        return self._one(f"repository:{repo}", RepositoryView)

    def line(self, key: str) -> LineView | None:
        """The line with this view key."""
        return self._one(key, LineView)

    @property
    def queues(self) -> list[QueueView]:
        """All merge queues, by repository."""
        return sorted(self._all(QueueView), key=lambda queue: queue.repo)

    def queue(self, repo: RepoId | str) -> QueueView | None:
        """The merge queue of this repository."""
        return self._one(f"queue:{repo}", QueueView)

    def entry(self, task: str) -> EntryView | None:
        """This task in its merge queue."""
        return self._one(f"entry:{task}", EntryView)

    def entries(self, repo: RepoId | str) -> list[EntryView]:
        """The changes in a queue: those in line by their place, then who does not stand in line, a person's questions first."""
        mine = [entry for entry in self._all(EntryView) if entry.repo == repo]
        return sorted(mine, key=lambda entry: (
            not entry.position, entry.position, entry.state != "gate", entry.since, number(entry.task)))

    def clashes(self, repo: RepoId | str) -> list[ClashView]:
        """Live changes that meet: who does not merge first, then the newest."""
        mine = [clash for clash in self._all(ClashView) if clash.repo == repo]
        return sorted(mine, key=lambda clash: (clash.kind != "hot", -clash.since, number(clash.one), number(clash.other)))

    def clashes_of(self, task: str) -> list[ClashView]:
        """The live changes that this one meets."""
        mine = [clash for clash in self._all(ClashView) if task in (clash.one, clash.other)]
        return sorted(mine, key=lambda clash: (clash.kind != "hot", number(clash.one), number(clash.other)))

    def clash(self, key: str) -> ClashView | None:
        """The clash with this view key."""
        return self._one(key, ClashView)

    def landed(self, repo: RepoId | str) -> list[TaskView]:
        """What has landed lately, the newest first."""
        mine = [task for task in self._all(TaskView) if task.repo == repo and task.landed]
        return sorted(mine, key=lambda task: (-task.since, number(task.task)))[:LANDED_LIMIT]

    @property
    def waiting(self) -> int:
        """How many tasks wait for a person."""
        asked = {gate.task or TaskId(gate.gate) for gate in self._all(GateView)}
        asked.update(task.task for task in self._all(TaskView) if task.attention)
        return len(asked)

    @property
    def problems(self) -> list[ProblemView]:
        """What a person should mend, the newest first: the factory's own, and repositories that wait for a person."""
        found = self._all(ProblemView)
        for repository in self.repositories:
            found.extend(_problems_of(repository))
        return sorted(found, key=lambda problem: (-problem.since, problem.problem))

    def lanes(self, line: LineView, wanted: str = "") -> list[Lane]:
        """The columns of a line with their tasks, who waits for a person first. `wanted` filters."""
        names = [station.name for station in line.stations]
        held: dict[str, list[TaskView]] = {name: [] for name in (QUEUED, *names, DONE)}
        for task in self._all(TaskView):
            if task.repo == line.repo and task.line == line.line and matches(task, wanted):
                held[lane_of(task, line.stations)].append(task)
        lanes = [Lane(QUEUED, QUEUED, ordered(held[QUEUED]))]
        for each in line.stations:
            if each.name not in (QUEUED, DONE):
                lanes.append(Lane(each.name, each.kind, ordered(held[each.name]), each.wip))
        done = sorted(held[DONE], key=lambda task: (not task.attention, -task.since, number(task.task)))
        return [*lanes, Lane(DONE, DONE, tuple(done))]


def number(name: str) -> tuple[int, ...]:
    """`T7.2` as (7, 2): names sort by their numbers."""
    digits = "".join(char if char.isdigit() else " " for char in name)
    return tuple(int(each[:18]) for each in digits.split())


def lane_of(task: TaskView, stations: Iterable[StationView]) -> str:
    """The column that a task belongs to."""
    names = [station.name for station in stations]
    if task.state in OVER:
        return DONE
    if task.station in names and not (task.state == "queued" and task.station == names[0]):
        return task.station
    return QUEUED


def ordered(tasks: Iterable[TaskView]) -> tuple[TaskView, ...]:
    """Attention first, the longest ignored first; then by priority and age."""
    return tuple(sorted(tasks, key=lambda task: (
        not task.attention, task.since if task.attention else -task.priority, task.added, number(task.task),
    )))


def matches(task: TaskView, wanted: str) -> bool:
    """Whether every word of the filter is somewhere on the card."""
    if not wanted:
        return True
    text = " ".join((task.task, task.title, task.state, task.station, task.agent, task.health, task.attention, task.says)).lower()
    return all(word in text for word in wanted.lower().split())


def _problems_of(repository: RepositoryView) -> list[ProblemView]:
    found = []
    if not repository.trusted:
        found.append(ProblemView(
            problem=f"trust:{repository.repo}", what=f"the commands of {repository.repo} are not trusted, so nothing of it runs",
            where=repository.path, mend="read them and say yes: andon init", since=0, repo=repository.repo,
        ))
    if repository.behind:
        found.append(ProblemView(
            problem=f"behind:{repository.repo}", what=f"your {repository.target} does not follow the line: {repository.behind}",
            where=repository.path, mend=repository.mend, since=0, repo=repository.repo,
        ))
    return found


def gate_id(text: str) -> GateId:
    """A gate's id as typed by a person."""
    return GateId(text.upper())
