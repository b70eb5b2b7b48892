"""A person is told of a collision while the agents still work: real tmux, real git, scripted agents that commit nothing. And when
is looked: real checkouts, and a loop that only collects what it is given."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, cast

import msgspec
import pytest
from immutables import Map

import gitkit
from andon import forecasting as module
from andon.core.state import Attempt, Repository, State, Task, Work
from andon.edges import checkout
from andon.edges.tmux import PanesChanged, PaneSeen
from andon.forecasting import Forecasting
from andon.schema import events as e, inputs as i
from andon.schema.ids import AttemptId, Digest, Oid, RepoId, TaskId, session_name
from andon.schema.landing_inputs import ClashesSeen
from andon.schema.settings import Queue, Settings
from checkoutkit import REPO, Floor, floor
from factory import Factory, small_repo
from support import wait_for

if TYPE_CHECKING:
    from andon.loop import Loop

TOLD_S = 30.0
"""Within so long of its arising a clash is told."""
TEXT = "".join(f"line {n}\n" for n in range(1, 31))


def changed(line: int, put: str) -> str:
    lines = TEXT.splitlines()
    lines[line - 1] = put
    return "\n".join(lines) + "\n"


# --- the whole factory ---------------------------------------------------------------------------------------------------


class Plant(Factory):
    """A factory over one repository with a file to fight for."""

    def __init__(self, root: Path) -> None:
        super().__init__(root / "f")
        self.root = root

    def act(self, repo: RepoId, name: str, *steps: str) -> TaskId:
        """A task whose agent does these steps."""
        script = self.root / f"{name}.toml"
        script.write_text(f'about = "{name}"\nseed = 1\n' + "".join(f"[[step]]\n{step}\n" for step in steps))
        return self.add(repo, str(script), title=name)

    def clashes(self) -> list[tuple[int, e.ClashSeen]]:
        """What the ledger knows of clashes, and when it came to know."""
        return [(row.at, row.event) for row in self.events() if isinstance(row.event, e.ClashSeen)]


@pytest.fixture
def plant(tmp_path: Path) -> Iterator[Plant]:
    made = Plant(tmp_path)
    try:
        made.start()
        yield made
    finally:
        made.close()


def edit(line: int, text: str) -> str:
    return f'conflict = "app.py"\nline = {line}\ntext = "{text}"'


def test_two_agents_that_edit_the_same_lines_are_told_of_before_either_commits(plant: Plant) -> None:
    repo = plant.register(small_repo(plant.root / "repo", files={"app.py": TEXT}))
    one = plant.act(repo, "one", edit(12, "one"), "slow = 6000.0")
    other = plant.act(repo, "other", "slow = 300.0", edit(12, "other"), 'hang = "silent"')
    file = plant.layout.home / "checkouts" / repo / f"{other}.1" / "app.py"
    plant.until(lambda: file.exists() and file.read_text() != TEXT, 40, "the second agent's edit")
    arose = time.time()
    plant.until(plant.clashes, TOLD_S, "the clash")
    [(at, clash)] = plant.clashes()
    assert at / 1000 - arose < TOLD_S
    assert (clash.one, clash.other, clash.kind) == (one, other, "hot")
    assert [(hunk.path, hunk.line, hunk.count) for hunk in clash.hunks] == [("app.py", 12, 1)]
    assert "work.imported" not in plant.kinds()


# --- when it looks -------------------------------------------------------------------------------------------------------


class Hearing:
    """A loop that has a state, and keeps what it is given."""

    def __init__(self, state: State) -> None:
        self.state, self.given = state, list[i.Input]()

    def give(self, given: i.Input) -> None:
        self.given.append(given)

    def kinds(self) -> list[dict[tuple[str, str], str]]:
        """Each answer in turn: pairs and how they clash."""
        return [{(clash.one, clash.other): clash.kind for clash in given.clashes} for given in self.given
                if isinstance(given, ClashesSeen)]


class Desk:
    """Sessions at work in real checkouts, and the forecasting that watches them."""

    def __init__(self, shop: Floor) -> None:
        self.shop = shop
        repo = Repository(repo=REPO, path=str(shop.person), git_dir=str(shop.git_dir), trunk=shop.base)
        self.loop = Hearing(State(repos=Map({REPO: repo})))
        self.seen = Forecasting(shop.layout, cast("Loop", self.loop))

    async def sit(self, name: str, **files: str) -> Path:
        """A session of a new task, with files already edited."""
        attempt, task = AttemptId(f"{name}.1"), TaskId(name)
        await checkout.prepare(self.shop.prepare(attempt), self.shop.layout)
        gitkit.write(self.shop.path(attempt), {f"{key}.py": text for key, text in files.items()})
        state = self.loop.state
        self.loop.state = msgspec.structs.replace(
            state, open=(*state.open, task),
            tasks=state.tasks.set(task, Task(
                task=task, repo=REPO, title=name, spec=name, line="build", after=(), paths=(), priority=0, agent="default",
                may_remove_tests=False, added_at=0, added_seq=0, since=0, live=attempt)),
            attempts=state.attempts.set(attempt, Attempt(
                attempt=attempt, task=task, repo=REPO, number=1, station="build", fence=1, agent="default", base=self.shop.base,
                start=self.shop.base, port=0, ports=0, claimed_at=0, phase="running", path=str(self.shop.path(attempt)))))
        self.seen.recorded([e.AttemptStarted(attempt=attempt, pid=1, ticks=1, boot="b", session="s")])
        return self.shop.path(attempt)

    def change(self, name: str, **fields: object) -> None:
        """The core decided something about a task."""
        task = msgspec.structs.replace(self.loop.state.tasks[TaskId(name)], **fields)
        self.loop.state = msgspec.structs.replace(self.loop.state, tasks=self.loop.state.tasks.set(task.task, task))
        self.seen.recorded([e.TaskEntered(task=task.task, station="land")])

    def change_repo(self, event: e.Event, **fields: object) -> None:
        repo = msgspec.structs.replace(self.loop.state.repos[REPO], **fields)
        self.loop.state = msgspec.structs.replace(self.loop.state, repos=self.loop.state.repos.set(REPO, repo))
        self.seen.recorded([event])

    async def still(self) -> int:
        """How often was looked, once nothing is wanted any more."""
        await wait_for(lambda: self.seen.resting, what="rest")
        return self.seen.looks


@pytest.fixture
async def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Desk]:
    for name, seconds in {"EACH_S": 0.6, "COMMIT_S": 0.1, "SOON_S": 0.05, "FIRST_S": 0.05, "NOISY_S": 0.3}.items():
        monkeypatch.setattr(module, name, seconds)
    made = Desk(floor(tmp_path, {"a.py": TEXT, "b.py": TEXT, "c.py": TEXT}))
    async with running(made.seen):
        yield made
    assert not list((made.shop.layout.home / "scratch").iterdir())


@asynccontextmanager
async def running(seen: Forecasting) -> AsyncIterator[None]:
    async with asyncio.TaskGroup() as group:
        task = group.create_task(seen.run())
        try:
            yield
        finally:
            task.cancel()


async def test_each_answer_is_told_once_and_only_when_it_is_another(desk: Desk) -> None:
    await desk.sit("T1", a=changed(7, "seven"))
    other = await desk.sit("T2", a=changed(20, "twenty"))
    await wait_for(lambda: desk.loop.kinds()[-1:] == [{("T1", "T2"): "soft"}], what="the soft clash")
    await desk.still()
    count = len(desk.loop.given)
    gitkit.write(other, {"a.py": changed(20, "TWENTY")})  # another content, the same answer
    desk.seen.stirred(AttemptId("T2.1"))
    looks = await desk.still()
    assert len(desk.loop.given) == count
    gitkit.write(other, {"a.py": changed(7, "sieben")})
    desk.seen.stirred(AttemptId("T2.1"))
    await wait_for(lambda: desk.loop.kinds()[-1] == {("T1", "T2"): "hot"}, what="the hot clash")
    gitkit.write(other, {"a.py": TEXT})
    desk.seen.stirred(AttemptId("T2.1"))
    await wait_for(lambda: desk.loop.kinds()[-1] == {}, what="its end")
    assert len(desk.loop.given) == count + 2 and desk.seen.looks > looks


async def test_nothing_is_looked_at_while_nothing_happens(desk: Desk) -> None:
    place = await desk.sit("T1", a=changed(7, "seven"))
    await desk.sit("T2", a=changed(7, "sieben"))
    await wait_for(lambda: desk.loop.kinds()[-1:] == [{("T1", "T2"): "hot"}])
    looks = await desk.still()
    gitkit.write(place, {"a.py": TEXT})  # nobody was told that it stirred
    with pytest.raises(AssertionError):
        await wait_for(lambda: desk.seen.looks != looks or not desk.seen.resting, 2.0)


async def test_a_session_that_stirs_all_the_time_is_looked_at_now_and_then_and_once_more_after(desk: Desk) -> None:
    await desk.sit("T1")
    await desk.sit("T2")
    before = await desk.still()
    for _ in range(150):
        desk.seen.news(PanesChanged(panes=(PaneSeen(name=session_name(AttemptId("T1.1")), pane="%1", pid=1),)))
        await asyncio.sleep(0.01)
    assert 2 <= await desk.still() - before <= 5


async def test_an_edit_whose_sign_was_told_before_it_is_seen_by_one_more_look(
    desk: Desk, monkeypatch: pytest.MonkeyPatch,
) -> None:
    place = await desk.sit("T1", a=changed(7, "seven"))
    await desk.sit("T2", b=changed(7, "sieben"))
    looks = await desk.still()
    monkeypatch.setattr(module, "EACH_S", 0.0)
    monkeypatch.setattr(module, "NOISY_S", 2.0)
    desk.seen.stirred(AttemptId("T1.1"))
    await wait_for(lambda: desk.seen.looks == looks + 1 and not desk.seen._busy, what="the look")
    assert desk.loop.kinds()[-1] == {}
    gitkit.write(place, {"b.py": changed(7, "seven")})
    await wait_for(lambda: desk.loop.kinds()[-1] == {("T1", "T2"): "hot"}, what="the edit")


async def test_a_commit_is_noticed_without_any_other_sign(desk: Desk) -> None:
    place = await desk.sit("T1", a=changed(7, "seven"))
    await desk.sit("T2", a=changed(7, "sieben"))
    await wait_for(lambda: desk.loop.kinds()[-1:] == [{("T1", "T2"): "hot"}])
    await desk.still()
    gitkit.commit(place, {"a.py": TEXT, "b.py": changed(7, "seven")}, "Elsewhere")
    await wait_for(lambda: desk.loop.kinds()[-1] == {}, what="the commit")


async def test_a_lonely_agents_files_are_not_read_until_there_is_another(desk: Desk) -> None:
    await desk.sit("T1", a=changed(7, "seven"))
    assert await desk.still() == 0
    await desk.sit("T2", a=changed(7, "sieben"))
    await wait_for(lambda: desk.loop.kinds()[-1:] == [{("T1", "T2"): "hot"}])


async def test_accepted_changes_are_compared_and_landed_ones_are_not(desk: Desk) -> None:
    place = await desk.sit("T1", a=changed(7, "seven"))
    await desk.sit("T2", a=changed(7, "sieben"))
    await wait_for(lambda: desk.loop.kinds()[-1:] == [{("T1", "T2"): "hot"}])
    commit = Oid(gitkit.commit(place, {"b.py": changed(3, "three")}, "Done"))
    gitkit.run(desk.shop.person, "fetch", "-q", str(place), "HEAD")
    work = Work(attempt=AttemptId("T1.1"), commit=commit, tree=Oid(""), base=desk.shop.base, base_tree=Oid(""))
    desk.change("T1", live=AttemptId(""), work=work)
    await wait_for(lambda: desk.seen.outlooks[REPO].clashes[0].heads[0] == commit, what="the accepted commit")
    desk.change("T1", landed=commit)
    await wait_for(lambda: desk.loop.kinds()[-1] == {}, what="its end")


async def test_a_target_that_moves_and_other_contracts_are_news(desk: Desk) -> None:
    await desk.sit("T1", a=changed(7, "seven"))
    await desk.sit("T2", b=changed(7, "sieben"))
    await wait_for(lambda: bool(desk.loop.given))
    contracts = Settings(queue=Queue(contracts={"both": ("a.py", "b.*")}))
    activated = e.SettingsActivated(repo=REPO, digest=Digest("d"), commands=Digest(""), settings=contracts)
    desk.change_repo(activated, settings=contracts)
    await wait_for(lambda: desk.loop.kinds()[-1] == {("T1", "T2"): "soft"}, what="the contract")
    trunk = Oid(gitkit.commit(desk.shop.person, {"a.py": changed(7, "main's")}, "Main goes on"))
    desk.change_repo(e.TargetObserved(repo=REPO, oid=trunk, tree=Oid("")), trunk=trunk)
    await wait_for(lambda: "T1" in desk.seen.outlooks[REPO].with_target, what="the conflict with the target")
    assert desk.loop.kinds()[-1] == {}


async def test_a_repository_that_cannot_be_read_is_a_problem_on_the_board_not_the_daemons_end(desk: Desk) -> None:
    await desk.sit("T1")
    await desk.sit("T2")
    await wait_for(lambda: bool(desk.loop.given))
    moved = e.TargetObserved(repo=REPO, oid=Oid("1" * 40), tree=Oid(""))
    desk.change_repo(moved, trunk=Oid("1" * 40))
    await wait_for(lambda: isinstance(desk.loop.given[-1], i.TroubleSeen), what="the problem")
    desk.change_repo(moved, trunk=desk.shop.base)
    await desk.sit("T3", a=changed(7, "x"))
    await wait_for(lambda: "T3" in desk.seen.outlooks[REPO].compared, what="going on")


async def test_a_store_that_was_taken_away_is_made_again(desk: Desk) -> None:
    await desk.sit("T1", a=changed(7, "seven"))
    await desk.sit("T2", a=changed(7, "sieben"))
    await wait_for(lambda: desk.loop.kinds()[-1:] == [{("T1", "T2"): "hot"}])
    await desk.still()
    desk.seen._forecasts[REPO].close()
    await desk.sit("T3", a=changed(7, "set"))
    await wait_for(lambda: len(desk.loop.kinds()[-1]) == 3, what="all three pairs")
