"""Many tasks, two repositories, several people at once: all land, no cap is exceeded, everybody gets a turn and a true answer."""

import itertools
import socket
import statistics
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from andon.client import Declined
from andon.schema import events as e, inputs as i, wire
from andon.schema.ids import Digest, GateId, RepoId, TaskId
from andon.schema.views import TaskView
from factory import UNHELD, Factory, factory, git, small_repo

TASKS, WIP, SLOTS = 30, 8, 2


@pytest.fixture
def plant(tmp_path: Path) -> Iterator[Factory]:
    with factory(tmp_path / "f") as made:
        yield made


def person(plant: Factory, wip: int) -> None:
    """The person's own limit over all repositories."""
    plant.layout.person_settings.write_text(f"{UNHELD}[factory]\nwip = {wip}\n")
    plant.until(lambda: f"wip_limit={wip}" in str(plant.views()), what="the limit")


def states(plant: Factory) -> dict[TaskId, str]:
    """Every card's state."""
    return {view.task: view.state for view in plant.views() if isinstance(view, TaskView)}


def at_work(rows: list[e.Recorded]) -> Iterator[tuple[e.Recorded, Counter[RepoId]]]:
    """After each event: how many agents hold a lease in each repository, told by the ledger alone."""
    repos: dict[TaskId, RepoId] = {}
    live: dict[str, RepoId] = {}
    for row in rows:
        match row.event:
            case e.TaskAdded(task=task, repo=repo):
                repos[task] = repo
            case e.AttemptClaimed(attempt=attempt, task=task):
                assert not [other for other in live if other.partition(".")[0] == task], f"{task} has two leases"
                live[attempt] = repos[task]
            case e.AttemptAccepted(attempt=attempt) | e.AttemptFailed(attempt=attempt):
                live.pop(attempt, None)
        yield row, Counter(live.values())


def proofs_at_once(rows: list[e.Recorded]) -> int:
    """The most landings that were merged or proved at one time."""
    under_way: set[str] = set()
    most = 0
    for row in rows:
        match row.event:
            case e.LandingPlanned(landing=landing):
                under_way.add(landing)
                most = max(most, len(under_way))
            case e.LandingJudged(landing=landing) | e.LandingAbandoned(landing=landing) | e.LandingConflicted(landing=landing):
                under_way.discard(landing)
    return most


@pytest.mark.slow
def test_thirty_tasks_all_land_and_no_cap_is_ever_exceeded(plant: Factory, tmp_path: Path) -> None:
    person(plant, WIP)
    limits = f"[factory]\nwip = {WIP}\nproving = {SLOTS}\n[stations.build]\nwip = {WIP - 1}\n"
    repo = small_repo(tmp_path / "repo", extra=limits)
    name = plant.register(repo)
    tasks = [plant.add(name, title=f"task {n}") for n in range(TASKS)]
    plant.until(lambda: set(states(plant).values()) == {"done"}, 115, what="all tasks to land")
    rows = plant.events()
    most = max(sum(counts.values()) for _, counts in at_work(rows))
    assert most == WIP - 1, f"{most} at work at once; the station takes {WIP - 1}, the factory {WIP}"
    assert proofs_at_once(rows) <= SLOTS
    notes = git(repo, "ls-tree", "--name-only", "refs/andon/trunk/main", "notes/").split()
    assert set(notes) == {f"notes/{task}.md" for task in tasks}
    merges = git(repo, "rev-list", "--merges", "--count", "refs/andon/trunk/main")
    assert int(merges) == TASKS == sum(isinstance(row.event, e.TaskLanded) for row in rows)
    assert sum(isinstance(row.event, e.TargetMoved) for row in rows) <= TASKS
    assert len(set(git(repo, "rev-list", "--first-parent", "refs/andon/trunk/main").split())) == TASKS + 1


def test_two_repositories_share_the_places_fairly(plant: Factory, tmp_path: Path) -> None:
    person(plant, 3)
    names = [plant.register(small_repo(tmp_path / word)) for word in ("first", "second")]
    for name in names:
        plant.do(i.PullCord(repo=name, line="build", because="until all are there"))
    for name, _ in itertools.product(names, range(6)):
        plant.add(name)
    for name in names:
        plant.do(i.ReleaseCord(repo=name, line="build"))
    plant.until(lambda: set(states(plant).values()) == {"done"}, 90, what="all tasks to land")
    claims = [counts for row, counts in at_work(plant.events()) if isinstance(row.event, e.AttemptClaimed)]
    assert max(sum(counts.values()) for counts in claims) == 3
    order = [row.event.task for row in plant.events() if isinstance(row.event, e.AttemptClaimed)]
    repos = {view.task: view.repo for view in plant.views() if isinstance(view, TaskView)}
    turns = Counter(repos[task] for task in order[3:9])
    assert min(turns[name] for name in names) >= 2, [repos[task] for task in order]


def test_tasks_whose_paths_overlap_wait_for_each_other_and_others_do_not(plant: Factory, tmp_path: Path) -> None:
    name = plant.register(small_repo(tmp_path / "repo"))
    first = plant.add(name, "hang", paths=("src/**",))
    plant.until_state(first, "building")
    second, third = plant.add(name, "hang", paths=("src/app/*.py",)), plant.add(name, "hang", paths=("docs/**",))
    plant.until_state(third, "building")
    assert plant.task(second).state == "queued"
    assert any("overlap" in reason and first in reason for reason in plant.task(second).why)
    plant.do(i.CancelTask(task=first))
    plant.until_state(second, "building")


# --- several faces ---------------------------------------------------------------------------------------------------


def together(*deeds: Callable[[], None]) -> None:
    """Do these at the same moment, each in a thread of its own; what one raises is raised here."""
    barrier = threading.Barrier(len(deeds))

    def run(deed: Callable[[], None]) -> None:
        barrier.wait()
        deed()

    with ThreadPoolExecutor(len(deeds)) as pool:
        for done in [pool.submit(run, deed) for deed in deeds]:
            done.result()


def test_two_clients_add_at_once_and_every_task_is_there_once(plant: Factory, tmp_path: Path) -> None:
    name = plant.register(small_repo(tmp_path / "repo"))
    plant.do(i.PullCord(repo=name, line="build", because="nothing is to start"))
    given: list[tuple[str, str]] = []

    def add(who: str) -> None:
        with plant.client() as client:
            for n in range(50):
                done = client.do(i.AddTask(repo=name, title=f"{who} {n}", spec="do it", key=f"{who}-{n % 40}"))
                given.append((f"{who}-{n % 40}", done.ids[0]))

    together(lambda: add("one"), lambda: add("two"))
    assert len(set(given)) == 80 == len(dict(given)) == len(set(dict(given).values()))
    assert set(states(plant)) == {task for _, task in given}


def test_of_two_answers_to_one_gate_the_first_counts_and_the_second_is_told(plant: Factory, tmp_path: Path) -> None:
    name = plant.register(small_repo(tmp_path / "repo", extra='[policy]\nship = ["nothing/**"]\n'))
    tasks = [plant.add(name) for _ in range(4)]
    plant.until(lambda: len(plant.gates()) == len(tasks), 60, what="a gate for each")
    for gate in plant.gates():
        told: dict[str, str] = {}

        def answer(option: str, gate: GateId = gate.gate, bound: Digest = gate.bound, told: dict[str, str] = told) -> None:
            with plant.client() as client:
                try:
                    client.do(i.AnswerGate(gate=gate, option=option, because="because", bound=bound))
                    told[option] = ""
                except Declined as declined:
                    told[option] = declined.problem.what

        together(lambda: answer("approve"), lambda: answer("cancel"))
        assert sorted(bool(word) for word in told.values()) == [False, True], told
        assert any(f"{gate.gate} is not open: it was answered" in word for word in told.values())
        won = next(option for option, word in told.items() if not word)
        answers = [row.event for row in plant.events() if isinstance(row.event, e.GateAnswered)]
        assert [event.option for event in answers if event.gate == gate.gate] == [won]
        plant.until_state(gate.task, "done" if won == "approve" else "failed", deadline=60)


def test_clients_that_never_read_slow_nobody_and_cost_little(plant: Factory, tmp_path: Path) -> None:
    name = plant.register(small_repo(tmp_path / "repo"))
    plant.do(i.PullCord(repo=name, line="build", because="nothing is to start"))
    assert plant.process is not None
    daemon = psutil.Process(plant.process.pid)
    stuck = [stuck_client(plant) for _ in range(5)]
    before, times = daemon.memory_info().rss, []
    with plant.client() as client:
        for n in range(200):
            began = time.perf_counter()
            client.do(i.AddTask(repo=name, title=f"task {n}", spec="x" * 4000))
            times.append(time.perf_counter() - began)
        assert isinstance(client.ask(wire.GetViews()), wire.Snapshot)
    assert statistics.median(times) < 0.15, f"a command took {statistics.median(times) * 1000:.0f} ms in the middle"
    assert daemon.memory_info().rss - before < 64 * 2**20
    for one in stuck:
        one.settimeout(10)
        assert f'"task":"T{200}"' in read_until(one, '"task":"T200"')
        one.close()


def stuck_client(plant: Factory) -> socket.socket:
    """A face that subscribes and then reads nothing, with a small buffer."""
    one = socket.socket(socket.AF_UNIX)
    one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    one.connect(str(plant.layout.socket))
    one.sendall(b'{"type":"hello","protocol":1,"face":"stuck"}\n{"type":"subscribe","id":1}\n')
    return one


def read_until(one: socket.socket, words: str) -> str:
    """What a late reader finds, up to these words: the latest of each thing."""
    told = ""
    while words not in told:
        data = one.recv(1 << 16).decode(errors="replace")
        assert data, "the daemon closed the connection"
        told += data
    return told
