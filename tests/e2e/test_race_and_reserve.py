"""Under a real daemon: two agents race on one task and one of them lands; reservations hold starts back; strain is said."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from andon.schema import events as e
from andon.schema.views import AccountView
from factory import Factory, factory, git, small_repo

RIVALS = '[agents.one]\nuse = "scripted"\n[agents.two]\nuse = "scripted"\n'


@pytest.fixture
def plant(tmp_path: Path) -> Iterator[Factory]:
    own = tmp_path / "own"
    own.mkdir()
    (own / "andon.toml").write_text("[admission]\nload_per_core = 0\nfree_memory_mb = 0\nfree_disk_mb = 0\n")
    with factory(tmp_path / "f", {"ANDON_CONFIG_HOME": str(own)}) as made:
        yield made


def test_a_machine_without_room_starts_nothing_says_why_and_starts_when_it_has_room(plant: Factory, tmp_path: Path) -> None:
    own = tmp_path / "own" / "andon.toml"
    own.write_text("[admission]\nload_per_core = 0\nfree_memory_mb = 0\nfree_disk_mb = 1073741824\n")
    plant.until(lambda: plant.kinds().count("factory.configured") == 2, what="the settings")
    task = plant.add(plant.register(small_repo(tmp_path / "repo")))
    plant.until(lambda: "machine.strained" in plant.kinds() or plant.task(task).attempts, what="a look at the machine")
    again = plant.add(plant.task(task).repo)
    assert plant.task(again).attempts == 0
    assert plant.task(again).why[0].startswith("the machine takes no further agent: disk: ")
    own.write_text("[admission]\nload_per_core = 0\nfree_memory_mb = 0\nfree_disk_mb = 0\n")
    plant.until_state(again, "done")
    assert "machine.eased" in plant.kinds()


def test_of_two_racers_one_lands_and_the_others_work_is_kept(plant: Factory, tmp_path: Path) -> None:
    repo = small_repo(tmp_path / "repo", extra=RIVALS)
    first = plant.add(plant.register(repo), race=("one", "two"))
    plant.until(lambda: "race.decided" in plant.kinds(), what="the decision")
    decided = next(row.event for row in plant.events() if isinstance(row.event, e.RaceDecided))
    assert decided.race == first and "came first" in decided.because
    plant.until(lambda: "task.done" in plant.kinds(), what="the end")
    assert [row.event.task for row in plant.events() if isinstance(row.event, e.TaskDone)] == [decided.task]
    (lost,) = (row.event for row in plant.events() if isinstance(row.event, e.TaskCancelled))
    assert lost.because.startswith(f"{decided.task} (")
    kept = [row.event for row in plant.events() if isinstance(row.event, e.WorkSalvaged) and row.event.attempt == f"{lost.task}.1"]
    assert kept and git(repo, "rev-parse", kept[-1].ref) == kept[-1].oid


def test_three_agents_of_100_under_a_cap_of_100_run_one_after_the_other(plant: Factory, tmp_path: Path) -> None:
    money = '[budget]\nday = { usd = 100 }\nreserve_usd = 100\n'
    name = plant.register(small_repo(tmp_path / "repo", extra=money))
    tasks = [plant.add(name, "slow") for _ in range(3)]
    for task in tasks[1:]:
        assert plant.task(task).attempts == 0
        assert "$100.00 held back for T1.1, this attempt reserves $100.00" in plant.task(task).why[0]
    assert [(view.account, view.live) for view in plant.views() if isinstance(view, AccountView)] == [("scripted", 1)]
    for task in tasks:
        plant.until_state(task, "done", deadline=60)
    claimed = [row.seq for row in plant.events() if isinstance(row.event, e.AttemptClaimed)]
    ended = [row.seq for row in plant.events() if isinstance(row.event, e.AttemptAccepted)]
    assert claimed[1] > ended[0] and claimed[2] > ended[1], "one at a time"
