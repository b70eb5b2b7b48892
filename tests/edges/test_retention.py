"""What may go by age and size is taken; what is unlanded, needed, or a person's is never touched."""

import os
import time
from pathlib import Path

import msgspec
import pytest

from andon.edges import retention, salvage
from andon.edges.blobs import Blobs
from andon.edges.retention import DAY_S, Known, Swept, old_blobs, old_copies, old_jobs, rooms, sweep
from andon.schema.events import Event, RunFinished, RunPlanned, WorkImported
from andon.schema.ids import AttemptId, Digest, LandingId, Oid, RepoId, RunId, TaskId
from andon.schema.layout import Layout
from clikit import git
from ledgerkit import added, factory, fill, rows_of

LANDED = Known(landed=frozenset({TaskId("T1")}))


@pytest.fixture
def where(tmp_path: Path) -> Layout:
    made = factory(tmp_path / "factory")
    fill(made, rows_of([added(n) for n in (1, 2)]))
    return made


def job(where: Layout, name: str, days: float, size: int = 100) -> Path:
    """A job directory that was last written so many days ago."""
    folder = where.job(name)
    (folder / "tmp").mkdir(parents=True)
    (folder / "hooks.jsonl").write_bytes(b"x" * size)
    aged(folder, days)
    return folder


def aged(path: Path, days: float) -> None:
    at = time.time() - days * DAY_S
    for one in (*path.rglob("*"), path):
        os.utime(one, (at, at), follow_symlinks=False)


def left(where: Layout) -> set[str]:
    return {path.name for path in where.jobs.iterdir()}


async def test_old_job_directories_of_landed_tasks_go_and_no_others(where: Layout) -> None:
    for name, days in (("T1.1", 31), ("T1.1~1", 31), ("T1.2", 29), ("T2.1", 400), ("T11.1", 400), ("R1", 400), (".tmp-T1.9", 400)):
        job(where, name, days)
    done = await sweep(where, Blobs(where), LANDED)
    assert left(where) == {"T1.2", "T2.1", "T11.1", "R1", ".tmp-T1.9"}
    assert done.jobs == 2 and done.size > 0 and not list(where.trash.iterdir())


async def test_one_fresh_file_inside_keeps_a_directory(where: Layout) -> None:
    aged(job(where, "T1.1", 40), 40)
    (where.job("T1.1") / "hooks.jsonl").write_text("just now")
    assert (await sweep(where, Blobs(where), LANDED)) == Swept()


def test_past_the_size_the_oldest_go_first_but_never_within_the_first_days(where: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    for n, days in ((1, 6), (2, 20), (3, 10), (4, 15)):
        job(where, f"T1.{n}", days, 100_000)
    job(where, "T2.1", 25, 100_000)
    one = rooms(where)[0].size // 5
    monkeypatch.setattr(retention, "JOBS_BYTES", one * 3)
    assert [held.path.name for held in old_jobs(where, LANDED, time.time())] == ["T1.2", "T1.4"]
    monkeypatch.setattr(retention, "JOBS_BYTES", 0)
    assert [held.path.name for held in old_jobs(where, LANDED, time.time())] == ["T1.2", "T1.4", "T1.3"]


async def test_a_link_in_place_of_a_job_directory_leads_nowhere(where: Layout, tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "thesis").write_text("years")
    where.jobs.mkdir()
    where.job("T1.1").symlink_to(mine)
    (job(where, "T1.2", 40) / "out").symlink_to(mine)
    aged(where.job("T1.2"), 40)
    done = await sweep(where, Blobs(where), LANDED)
    assert done.jobs == 1 and (mine / "thesis").read_text() == "years" and where.job("T1.1").is_symlink()


# --- blobs -----------------------------------------------------------------------------------------------------------


def put(where: Layout, text: str, days: float) -> Digest:
    digest = Blobs(where).put(text.encode())
    at = time.time() - days * DAY_S
    os.utime(where.blob(digest), (at, at))
    return digest


def brought(attempt: str, diff: Digest) -> Event:
    return WorkImported(attempt=AttemptId(attempt), commit=Oid("c"), tree=Oid("t"), base=Oid("b"), diff=diff)


def planned(run: str, task: str, landing: str = "") -> Event:
    return RunPlanned(run=RunId(run), repo=RepoId("demo"), task=TaskId(task), purpose="landing" if landing else "change",
                      check="tests", commit=Oid("c"), tree=Oid("t"), definition=Digest("d"), landing=LandingId(landing))


def finished(run: str, log: Digest) -> Event:
    return RunFinished(run=RunId(run), result="pass", because="", log=log)


async def test_evidence_goes_only_when_nothing_but_landed_tasks_names_it(tmp_path: Path) -> None:
    where = factory(tmp_path / "blobs")
    names = ("landed", "open", "both", "nobodys", "young")
    of = {name: put(where, name, 2 if name == "young" else 200) for name in names}
    told = (("T1.1", "landed"), ("T2.1", "open"), ("T1.2", "both"), ("T2.2", "both"), ("T1.3", "young"))
    fill(where, rows_of([added(1), added(2), *(brought(attempt, of[name]) for attempt, name in told)]))
    done = await sweep(where, Blobs(where), LANDED)
    assert {name for name in names if Blobs(where).has(of[name])} == {"open", "both", "young"} and done.blobs == 2
    assert await sweep(where, Blobs(where), LANDED) == Swept()


def test_a_run_belongs_to_its_task_and_a_run_of_nobody_known_to_everybody(tmp_path: Path) -> None:
    where = factory(tmp_path / "runs")
    blobs = [put(where, f"log {n}", 200) for n in range(5)]
    fill(where, rows_of([planned("R1", "T1"), planned("R2", "T2"), planned("R3", "T1", "L1"), planned("R4", "T1"),
                         *(finished(f"R{n + 1}", blobs[n]) for n in range(5))]))
    resting = msgspec.structs.replace(LANDED, runs=frozenset({RunId("R4")}))
    assert [held.path.name for held in old_blobs(where, resting, time.time())] == [blobs[0][2:]]
    assert len(old_blobs(where, LANDED, time.time())) == 2


def test_a_blob_that_was_put_again_meanwhile_stays(where: Layout) -> None:
    digest, blobs = put(where, "twice", 200), Blobs(where)
    (held,) = old_blobs(where, LANDED, time.time())
    assert blobs.put(b"twice") == digest
    assert not blobs.drop(digest, held.at) and blobs.has(digest)
    later = Blobs(where)
    assert not later.drop(digest, held.at + 1) and later.has(digest), "written since"
    assert later.drop(digest, held.at) and not later.has(digest) and not later.drop(digest, held.at)


# --- restored copies -------------------------------------------------------------------------------------------------


async def test_a_restored_copy_goes_when_nobody_wrote_into_it_and_its_snapshot_can_restore_it_again(
    where: Layout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:
    repo = tmp_path / "repo"
    repo.mkdir()
    git(repo, "init", "-q", "-b", "main")
    (repo / "a.txt").write_text("a\n")
    git(repo, "add", ".")
    git(repo, "commit", "-q", "-m", "one")
    head = git(repo, "rev-parse", "HEAD")
    for attempt in ("T2.1", "T2.2", "T2.3"):
        git(repo, "update-ref", f"refs/andon/salvage/{attempt}/0001", head)
        await salvage.restore(repo / ".git", AttemptId(attempt), where.home / "restored" / attempt, where)
    later = time.time() + 31 * DAY_S
    git(repo, "update-ref", "-d", "refs/andon/salvage/T2.3/0001")
    monkeypatch.setattr(retention, "LAID_OUT_S", 30.0)
    assert [held.path.name for held in old_copies(where, time.time())] == []
    assert len(old_copies(where, later)) == 3
    touched = [held for held in old_copies(where, later) if held.path.name == "T2.2"]
    monkeypatch.setattr(retention, "_untouched", lambda path: path.name != "T2.2")
    done = await sweep(where, Blobs(where), Known(git_dirs={AttemptId(f"T2.{n}"): str(repo / ".git") for n in (1, 2, 3)}), later)
    assert done.restored == 1 and touched
    assert {path.name for path in (where.home / "restored").iterdir()} == {"T2.2", "T2.3"}


def test_work_inside_a_restored_copy_is_seen_even_with_its_times_set_back(
    where: Layout, monkeypatch: pytest.MonkeyPatch,
) -> None:
    copy = where.home / "restored" / "T2.1"
    copy.mkdir(parents=True)
    (copy / "early").write_text("laid out")
    monkeypatch.setattr(retention, "LAID_OUT_S", 0.05)
    first = (copy / "early").lstat().st_ctime
    while time.time() - first < 0.2:
        os.sched_yield()
    later = time.time() + 31 * DAY_S
    assert old_copies(where, later)
    (copy / "mine").write_text("work")
    os.utime(copy / "mine", (first, first))
    assert old_copies(where, later) == []


def test_what_everything_takes_can_be_told(where: Layout) -> None:
    job(where, "T1.1", 12, 50_000)
    put(where, "x" * 9000, 3)
    told = {room.kind: room for room in rooms(where)}
    assert told["jobs"].count == 1 and told["jobs"].size >= 50_000 and told["jobs"].oldest_days == 12
    assert told["blobs"].count == 1 and told["restored"].count == 0 and "landed" in told["blobs"].limit


def test_the_ledger_is_not_needed(tmp_path: Path) -> None:
    assert list(retention.named(factory(tmp_path / "none"), LANDED)) == []
