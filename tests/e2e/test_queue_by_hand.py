"""A person who uses git by hand while the queue lands: noticed within five seconds, never fought, and nothing of theirs changes."""

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from andon.edges import forward, landing
from andon.schema import events as e, inputs as i
from andon.schema.ids import Oid, RepoId, TaskId
from andon.schema.views import ProblemView
from checkoutkit import floor
from factory import Factory, factory, git, small_repo
from fault.world import is_ancestor, person
from landingkit import change, land
from support import wait_until

NOTICED_S = 5.0
"""So long a deed of the person's may go unnoticed."""
TRUNK = "refs/andon/trunk/main"
FILES = {"poem.txt": "roses\n", "list.txt": "milk\n", "src/app.txt": "one\ntwo\nthree\n"}


class Shop:
    """A repository of the person's in a running factory."""

    def __init__(self, plant: Factory, place: Path) -> None:
        self.plant = plant
        self.repo = small_repo(place, files=FILES)
        self.name: RepoId = plant.register(self.repo)

    def land(self) -> TaskId:
        """A change of an agent's, landed."""
        task = self.plant.add(self.name)
        self.plant.until_state(task, "done")
        return task

    def at(self, name: str = "main") -> str:
        """Where a branch or ref is."""
        return git(self.repo, "rev-parse", name)

    def noticed(self, condition: Any, what: str) -> None:
        """It is noticed in time."""
        self.plant.until(condition, NOTICED_S, what=what)

    def follows(self) -> bool:
        """Whether the branch is where trunk is."""
        return self.at() == self.at(TRUNK)

    def events(self, kind: type[Any]) -> list[Any]:
        """Events of one kind about this repository."""
        return [row.event for row in self.plant.events() if isinstance(row.event, kind) and row.event.repo == self.name]

    def observed(self, oid: str) -> bool:
        """Whether the factory knows that the target is there, and by whom."""
        return any(seen.oid == oid and seen.by == "person" for seen in self.events(e.TargetObserved))

    def problems(self) -> list[str]:
        """What the board says of this repository."""
        told = (view for view in self.plant.views() if isinstance(view, ProblemView) and view.repo == self.name)
        return [f"{view.what} {view.mend}" for view in told]

    def waits(self, word: str) -> bool:
        """Whether the factory says that the branch does not follow, and why."""
        last = [seen for seen in self.events(e.TargetMirrored)][-1:]
        return bool(last) and not last[0].advanced and word in last[0].because

    def put_away(self, task: TaskId) -> bool:
        """Whether the change of a task is in the queue and its checkout gone."""
        gone = (str(row.event.attempt) for row in self.plant.events() if isinstance(row.event, e.CheckoutRemoved))
        return f"{task}.1" in gone

    def collect(self) -> None:
        """The person collects garbage. A gc that meets a ref in the moment in which it goes gives up, and is asked for again."""
        words = ("git", "-C", str(self.repo), "gc", "-q", "--prune=now")
        wait_until(lambda: subprocess.run(words, capture_output=True, check=False).returncode == 0, 10, what="git gc")

    def write(self, name: str, text: str) -> None:
        """A file of the person's."""
        (self.repo / name).write_text(text)


@pytest.fixture(scope="module")
def plant(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Factory]:
    with factory(tmp_path_factory.mktemp("f")) as made:
        yield made


@pytest.fixture
def shop(plant: Factory, tmp_path: Path, request: pytest.FixtureRequest) -> Shop:
    return Shop(plant, tmp_path / str(abs(hash(request.node.name)) % 10**8))


def test_a_commit_on_the_target_is_noticed_and_what_lands_next_contains_it(shop: Shop) -> None:
    shop.land()
    shop.noticed(shop.follows, "the checkout to follow")
    shop.write("poem.txt", "violets\n")
    git(shop.repo, "commit", "-qam", "A line of my own")
    mine = shop.at()
    shop.noticed(lambda: shop.observed(mine), "the commit to be noticed")
    task = shop.land()
    shop.noticed(shop.follows, "the checkout to follow")
    assert is_ancestor(shop.repo, mine, TRUNK) and (shop.repo / "poem.txt").read_text() == "violets\n"
    assert (shop.repo / f"notes/{task}.md").exists() and git(shop.repo, "status", "--porcelain") == ""


@pytest.mark.parametrize(("whole", "lost"), [(False, False), (True, False), (False, True)])
async def test_a_commit_in_the_very_moment_of_the_advance_leaves_nothing_of_ours_staged(
    tmp_path: Path, whole: bool, lost: bool,
) -> None:
    shop = floor(tmp_path, FILES)
    old = shop.base
    trunk = await land(shop, change(shop, {"poem.txt": "violets\n", "landed.txt": "landed\n", "list.txt": None}))
    forward.journal_of(shop.git_dir).parent.mkdir(exist_ok=True)
    journal = forward.Journal(place=str(shop.person), own=str(shop.git_dir), target="main", old=old, new=Oid(trunk))
    forward.journal_of(shop.git_dir).write_bytes(msgspec.json.encode(journal))
    git(shop.person, "read-tree", "-m", "-u", old, trunk)  # so far git comes before it takes the branch along
    (shop.person / "mine.txt").write_text("my own\n")
    git(shop.person, "add", "mine.txt")
    git(shop.person, "commit", "-qm", "In that moment", *([] if whole else ["--", "mine.txt"]))
    mine = person(shop.person)["refs"]["refs/heads/main"]
    if lost:  # a git that had read the index before wrote it without theirs
        git(shop.person, "update-index", "--force-remove", "mine.txt")
    seen = await landing.mirror_target(shop.mirror(trunk))
    assert not seen.advanced and git(shop.person, "rev-parse", "main") == mine
    assert git(shop.person, "status", "--porcelain") == "" and (shop.person / "mine.txt").read_text() == "my own\n"
    assert (shop.person / "landed.txt").exists() == whole and (shop.person / "list.txt").exists() != whole
    git(shop.person, "merge", "-q", "-m", "Take what landed", trunk)
    assert git(shop.person, "status", "--porcelain") == "" and (shop.person / "poem.txt").read_text() == "violets\n"


def test_a_commit_beside_what_landed_is_told_with_its_way_out_and_never_rewritten(shop: Shop) -> None:
    shop.write("poem.txt", "in the middle of a line")
    shop.land()
    git(shop.repo, "commit", "-qam", "Beside what landed")
    mine = shop.at()
    shop.noticed(lambda: any(TRUNK in told for told in shop.problems()), "the board to say that they parted")
    before = person(shop.repo)
    landed = shop.at(TRUNK)
    assert shop.at() == mine and not is_ancestor(shop.repo, mine, landed)
    assert person(shop.repo) == before
    git(shop.repo, "merge", "-q", "-m", "Take what landed", TRUNK)
    merged = shop.at()
    shop.noticed(lambda: shop.observed(merged) and not shop.problems(), "the merge to be noticed")
    shop.land()
    assert is_ancestor(shop.repo, merged, TRUNK)


def test_on_a_branch_of_their_own_nothing_moves_under_their_feet_and_the_target_goes_on(shop: Shop) -> None:
    git(shop.repo, "switch", "-q", "-c", "feature")
    shop.write("poem.txt", "half a line")
    shop.write("list.txt", "milk\nbread\n")
    git(shop.repo, "add", "list.txt")
    before = person(shop.repo)
    task = shop.land()
    shop.noticed(shop.follows, "the target to follow where nobody has it")
    after = person(shop.repo)
    main = {"refs/heads/main": ""}
    assert {**after, "refs": after["refs"] | main} == {**before, "refs": before["refs"] | main}
    git(shop.repo, "stash", "-q")
    git(shop.repo, "switch", "-q", "main")
    assert (shop.repo / f"notes/{task}.md").exists() and git(shop.repo, "status", "--porcelain") == ""


def test_a_rebase_of_the_target_is_waited_for(shop: Shop) -> None:
    git(shop.repo, "branch", "other")
    shop.write("poem.txt", "mine\n")
    git(shop.repo, "commit", "-qam", "Mine")
    mine = shop.at()
    shop.noticed(lambda: shop.observed(mine), "the commit to be noticed")
    git(shop.repo, "switch", "-q", "other")
    shop.write("poem.txt", "theirs\n")
    git(shop.repo, "commit", "-qam", "Theirs")
    git(shop.repo, "switch", "-q", "main")
    assert subprocess.run(("git", "-C", str(shop.repo), "rebase", "-q", "other"), capture_output=True, check=False).returncode != 0
    before = person(shop.repo)
    shop.land()
    shop.noticed(lambda: shop.waits("rebase"), "the rebase to be named")
    assert person(shop.repo) == before and shop.at() == mine
    git(shop.repo, "rebase", "--abort")
    shop.noticed(shop.follows, "the target to follow after the rebase")
    assert git(shop.repo, "status", "--porcelain") == "" and (shop.repo / "poem.txt").read_text() == "mine\n"


def test_a_target_that_was_deleted_is_told_and_what_landed_is_safe(shop: Shop) -> None:
    shop.land()
    shop.noticed(shop.follows, "the checkout to follow")
    landed = shop.at()
    git(shop.repo, "switch", "-q", "-c", "away")
    git(shop.repo, "branch", "-q", "-D", "main")
    shop.land()
    assert is_ancestor(shop.repo, landed, TRUNK) and shop.at(TRUNK) != landed
    shop.noticed(lambda: shop.waits("no branch main"), "the missing branch to be told")
    assert shop.at("away") == landed and git(shop.repo, "for-each-ref", "refs/heads/main") == ""
    git(shop.repo, "branch", "main", TRUNK)
    shop.noticed(lambda: shop.events(e.TargetMirrored)[-1].advanced, "the new branch to be noticed")


def test_deleting_other_branches_and_collecting_garbage_takes_nothing_from_the_queue(shop: Shop) -> None:
    shop.plant.do(i.HoldQueue(repo=shop.name, because="until garbage is collected"))
    tasks = [shop.plant.add(shop.name) for _ in range(2)]
    git(shop.repo, "branch", "old")
    shop.plant.until(lambda: all(shop.put_away(task) for task in tasks), what="the changes to arrive")
    git(shop.repo, "branch", "-q", "-D", "old")
    git(shop.repo, "reflog", "expire", "--expire=now", "--all")
    shop.collect()
    shop.plant.do(i.ResumeQueue(repo=shop.name))
    while any(shop.plant.task(task).state != "done" for task in tasks):
        shop.collect()
    shop.noticed(shop.follows, "the checkout to follow")
    assert git(shop.repo, "fsck", "--no-dangling") == "" and not shop.problems()


def test_when_they_stash_the_checkout_follows_and_the_stash_comes_back_whole(shop: Shop) -> None:
    shop.write("poem.txt", "not for anybody's eyes\n")
    task = shop.land()
    shop.noticed(lambda: shop.waits("poem.txt"), "the file in hand to be named")
    assert (shop.repo / "poem.txt").read_text() == "not for anybody's eyes\n" and not (shop.repo / f"notes/{task}.md").exists()
    git(shop.repo, "stash", "-q")
    shop.noticed(shop.follows, "the clean checkout to follow")
    git(shop.repo, "stash", "pop", "-q")
    assert git(shop.repo, "status", "--porcelain") == "M poem.txt"
    assert (shop.repo / "poem.txt").read_text() == "not for anybody's eyes\n"


def test_who_asks_is_taken_forward_and_keeps_what_they_have_in_hand_byte_by_byte(shop: Shop) -> None:
    shop.write("poem.txt", "in hand\n")
    shop.write("list.txt", "milk\nbread\n")
    git(shop.repo, "add", "list.txt")
    shop.write("new.txt", "nobody knows of it\n")
    task = shop.land()
    shop.noticed(lambda: shop.waits("poem.txt"), "the files in hand to be named")
    before = person(shop.repo)
    shop.plant.do(i.ForwardTarget(repo=shop.name))
    shop.noticed(shop.follows, "the checkout to be taken forward")
    after = person(shop.repo)
    assert {**after, "refs": ""} == {**before, "refs": ""} and (shop.repo / f"notes/{task}.md").exists()
    assert not shop.problems()


def test_who_asks_while_their_file_is_in_the_way_is_told_which_and_nothing_moves(shop: Shop) -> None:
    first = TaskId(f"T{sum(isinstance(row.event, e.TaskAdded) for row in shop.plant.events()) + 1}")
    (shop.repo / "notes").mkdir()
    shop.write(f"notes/{first}.md", "mine, and not theirs\n")
    assert shop.land() == first
    shop.noticed(lambda: shop.waits(f"notes/{first}.md"), "the file in the way to be named")
    before = person(shop.repo)
    shop.plant.do(i.ForwardTarget(repo=shop.name))
    shop.noticed(lambda: any(seen.asked == 1 for seen in shop.events(e.TargetMirrored)), "the answer")
    assert shop.waits(f"notes/{first}.md") and person(shop.repo) == before and not shop.problems()


def test_a_trunk_that_somebody_removed_is_put_back_with_all_that_landed_and_told(shop: Shop) -> None:
    shop.write("poem.txt", "my own words\n")
    shop.land()
    shop.noticed(lambda: shop.waits("poem.txt"), "that the branch cannot follow")
    before = shop.at(TRUNK)
    git(shop.repo, "update-ref", "-d", TRUNK)
    git(shop.repo, "branch", "look-at-me")
    shop.noticed(lambda: any("was gone" in told for told in shop.problems()), "the missing ref")
    assert shop.at(TRUNK) == before
