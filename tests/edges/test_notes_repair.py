"""After squash, rebase, cherry-pick and amend by real git the record of a change is found again; what is vague is never guessed."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from andon.edges import notes_repair
from andon.edges.notes_formats import records_of
from andon.schema.effects import RepairNotes
from andon.schema.ids import Oid, RepoId
from andon.schema.notes import Attached, NoteRecord
from gitkit import commit, make_repo, run
from notekit import land, note, noted, record

TIMES = 20


async def repaired(repo: Path, *commits: str, stored: tuple[NoteRecord, ...] = ()) -> list[Attached]:
    found, _ = await notes_repair.repair(str(repo / ".git"), "main", ("andon",), [Oid(one) for one in commits], stored)
    return found


async def found_again(repo: Path, made: NoteRecord, old: str, by: str) -> None:
    """Every new commit is looked at as the daemon does; the one that is the change bears its note."""
    new = run(repo, "rev-parse", "HEAD")
    git_dir = str(repo / ".git")
    effect = RepairNotes(repo=RepoId("shop"), git_dir=git_dir, target="main", old=Oid(old), new=Oid(new), refs=("andon",))
    told = await notes_repair.repair_move(effect, ())
    mine = [one for one in told.found if made.task in one.tasks and one.restored]
    assert [one.by for one in mine] == [by], told
    assert [one.change for one in records_of(note(repo, mine[0].commit).encode())] == [made.change]
    if made.task == "T1":
        again = await notes_repair.repair_move(effect, ())
        assert not [one for one in again.found if one.restored], "done again it changes nothing"


def squashed(repo: Path, made: NoteRecord, number: int) -> None:
    """A forge's squash: one commit in place of the merge, its message the forge's own."""
    run(repo, "reset", "-q", "--soft", made.before)
    run(repo, "commit", "-q", "-m", f"Say hello (#{number})")


def rebased(repo: Path, made: NoteRecord, number: int) -> None:
    """Somebody's commit slips in below, and the landed work is replayed on it: the merge commit is gone."""
    run(repo, "checkout", "-q", "-b", f"below-{number}", made.before)
    commit(repo, {f"other{number}.txt": "theirs\n"}, "Something else")
    run(repo, "checkout", "-q", "main")
    run(repo, "rebase", "-q", f"below-{number}")


def picked(repo: Path, made: NoteRecord, number: int) -> None:
    """The landed merge is picked onto a line of its own, without its message."""
    run(repo, "checkout", "-q", "-b", f"release-{number}", made.before)
    commit(repo, {f"release{number}.txt": "r\n"}, "Begin a release")
    run(repo, "cherry-pick", "-m", "1", "--no-commit", made.commit)
    run(repo, "commit", "-q", "-m", "Backport")
    run(repo, "branch", "-q", "-f", "main", "HEAD")
    run(repo, "checkout", "-q", "main")


def amended(repo: Path, made: NoteRecord, number: int) -> None:
    """The message is written anew, so that no trailer is left."""
    run(repo, "commit", "-q", "--amend", "-m", f"Say hello, better told {number}")


@pytest.mark.parametrize(("rewrite", "by"), [(squashed, "tree"), (rebased, "patch-id"), (picked, "patch-id"), (amended, "tree")])
async def test_a_rewritten_change_is_found_again_twenty_times_of_twenty_without_its_trailers(
    tmp_path: Path, rewrite: Callable[[Path, NoteRecord, int], None], by: str,
) -> None:
    repo = make_repo(tmp_path / "shop")
    for number in range(1, TIMES + 1):
        made = land(repo, number)
        await noted(repo, made)
        old = run(repo, "rev-parse", "main")
        rewrite(repo, made, number)
        await found_again(repo, made, old, by)


@pytest.mark.parametrize("deed", ["pick", "amend", "rebase", "squash"])
async def test_where_trailers_survive_they_say_whose_it_is_even_after_its_content_changed(tmp_path: Path, deed: str) -> None:
    repo = make_repo(tmp_path / "shop")
    made = land(repo, 1, parts=2, squash=deed in ("amend", "rebase"))
    await noted(repo, made)
    if deed == "pick":
        run(repo, "checkout", "-q", "-b", "release", made.before)
        run(repo, "cherry-pick", "-m", "1", made.commit)
    elif deed == "amend":
        (repo / "src/1/part0.py").write_text("hello = 'changed'\n")
        run(repo, "commit", "-qa", "--amend", "--no-edit")
    elif deed == "rebase":
        run(repo, "checkout", "-q", "-b", "below", made.before)
        commit(repo, {"src/1/part1.py": "theirs\n"}, "In the way")
        run(repo, "checkout", "-q", "main")
        run(repo, "rebase", "-q", "-X", "theirs", "below")
    else:
        message = run(repo, "log", "-1", "--format=%B", made.commit)
        run(repo, "reset", "-q", "--soft", made.before)
        (repo / "extra.txt").write_text("by hand\n")
        run(repo, "add", "-A")
        run(repo, "commit", "-q", "-m", message)
    [told] = await repaired(repo, run(repo, "rev-parse", "HEAD"))
    assert (told.state, told.tasks, told.by, told.source) == ("partly", ("T1",), "trailers", made.commit)
    assert told.lacks == ("store",) and told.restored == ("note from note",)


async def test_one_squash_of_several_landed_changes_gets_the_record_of_each(tmp_path: Path) -> None:
    repo = make_repo(tmp_path / "shop")
    made = [land(repo, number) for number in (1, 2, 3)]
    for one in made:
        await noted(repo, one)
    run(repo, "reset", "-q", "--soft", made[0].before)
    run(repo, "commit", "-q", "-m", "All of it (#7)")
    [told] = await repaired(repo, run(repo, "rev-parse", "HEAD"))
    assert told.tasks == ("T1", "T2", "T3") and told.by == "tree"
    assert [one.task for one in records_of(note(repo, "HEAD").encode())] == ["T1", "T2", "T3"]


async def test_each_commit_of_a_change_that_was_replayed_is_found_again(tmp_path: Path) -> None:
    repo = make_repo(tmp_path / "shop")
    made = land(repo, 1, parts=3)
    await noted(repo, made)
    rebased(repo, made, 1)
    told = await repaired(repo, *run(repo, "rev-list", "-3", "HEAD").split())
    assert [one.tasks for one in told] == [("T1",)] * 3 and {one.by for one in told} == {"patch-id"}


async def test_two_changes_that_fit_alike_are_told_and_neither_is_taken(tmp_path: Path) -> None:
    repo = make_repo(tmp_path / "shop")
    first = land(repo, 1)
    await noted(repo, first)
    run(repo, "revert", "-m", "1", "--no-edit", first.commit)
    base = run(repo, "rev-parse", "HEAD")
    run(repo, "checkout", "-q", "-b", "twin", base)
    commit(repo, {"src/1/part0.py": "hello = 100\n" * 4}, "The same again")
    twin = record(run(repo, "rev-parse", "HEAD"), base, run(repo, "rev-parse", "HEAD"), 2)
    await noted(repo, twin)
    run(repo, "checkout", "-q", "-b", "elsewhere", first.before)
    commit(repo, {"elsewhere.txt": "e\n"}, "Elsewhere")
    copy = commit(repo, {"src/1/part0.py": "hello = 100\n" * 4}, "Which one is it?")
    [told] = await repaired(repo, copy)
    assert told.state == "ambiguous" and set(told.tasks) == {"T1", "T2"} and note(repo, copy) == ""


async def test_a_commit_of_a_person_is_nobodys_change(tmp_path: Path) -> None:
    repo = make_repo(tmp_path / "shop")
    await noted(repo, land(repo, 1))
    own = commit(repo, {"own.txt": "mine\n"}, "My own")
    empty = commit(repo, {}, "Nothing at all")
    told = await repaired(repo, own, empty, run(repo, "rev-parse", "task-1"))
    assert [(one.state, one.tasks) for one in told] == [("missing", ())] * 3, "nor is the change's own head a second home"


async def test_trailers_that_anybody_can_write_are_not_believed_without_a_record(tmp_path: Path) -> None:
    repo = make_repo(tmp_path / "shop")
    made = land(repo, 1)
    await noted(repo, made)
    forged = commit(repo, {"evil.txt": "x\n"}, f"Mine\n\nAndon-Task: T2\nAndon-Change: {made.change}\n")
    invented = commit(repo, {"evil.txt": "y\n"}, "Mine\n\nAndon-Task: T1\nAndon-Change: " + "ab" * 20 + "\n")
    told = await repaired(repo, forged, invented)
    assert [one.tasks for one in told] == [(), ()]


async def test_an_andon_change_alone_names_it_too(tmp_path: Path) -> None:
    repo = make_repo(tmp_path / "shop")
    made = land(repo, 1)
    await noted(repo, made)
    stripped = commit(repo, {"more.txt": "x\n"}, f"Reworded\n\nAndon-Change: {made.change}\n")
    [told] = await repaired(repo, stripped)
    assert told.tasks == ("T1",) and told.by == "Andon-Change" and "trailer" in told.lacks


async def test_a_note_that_was_lost_comes_back_from_the_store_and_a_missing_trailer_is_said(tmp_path: Path) -> None:
    repo = make_repo(tmp_path / "shop")
    made = land(repo, 1, told=False)
    await noted(repo, made)
    whole = note(repo, made.commit)
    run(repo, "update-ref", "-d", "refs/notes/andon")
    [told] = await repaired(repo, made.commit, stored=(made,))
    assert (told.state, told.by, told.restored, told.lacks) == ("partly", "store", ("note from store",), ("trailer",))
    assert note(repo, made.commit) == whole, "what only git knows is worked out again"


async def test_records_that_only_notes_hold_are_told_to_the_ledger(tmp_path: Path) -> None:
    repo = make_repo(tmp_path / "shop")
    made = land(repo, 1)
    await noted(repo, made)
    found, index = await notes_repair.repair(str(repo / ".git"), "main", ("andon",), [made.commit], ())
    told = notes_repair.told_of(RepoId("shop"), found, index, 0)
    assert [record.task for _, record in told.records] == ["T1"] and found[0].lacks == ("store",)


async def test_more_commits_than_the_bound_are_counted_and_the_newest_are_looked_at(tmp_path: Path) -> None:
    repo = make_repo(tmp_path / "shop", commits=12)
    found, beyond = await notes_repair.range_of(str(repo / ".git"), run(repo, "rev-parse", "main"), "", 5)
    assert found == run(repo, "rev-list", "-5", "main").split() and beyond == 1


async def test_a_range_whose_beginning_is_gone_is_looked_at_from_its_end(tmp_path: Path) -> None:
    repo = make_repo(tmp_path / "shop", commits=3)
    found, _ = await notes_repair.range_of(str(repo / ".git"), run(repo, "rev-parse", "main"), "ab" * 20)
    assert len(found) == 3


PROGRAM = """
import asyncio, sys
from andon.edges import notes_repair
asyncio.run(notes_repair.repair(sys.argv[1], "main", ("andon", "shiftlog"), [sys.argv[2]], ()))
"""


def killed(repo: Path, one: str, fault: str) -> int:
    """A repair in a process of its own that dies at this point; its exit code."""
    root = Path(__file__).parents[2]
    env = {**os.environ, "PYTHONPATH": str(root / "daemon"), "ANDON_FAULT": fault}
    return subprocess.run((sys.executable, "-c", PROGRAM, str(repo / ".git"), one), env=env, timeout=60, check=False).returncode


@pytest.mark.parametrize("fault", ["repair-notes.found", "notes.made", "notes.swapped", "notes.made:2", "repair-notes.attached"])
async def test_a_repair_that_was_killed_is_whole_when_it_is_done_again(tmp_path: Path, fault: str) -> None:
    repo = make_repo(tmp_path / "shop")
    made = land(repo, 1)
    await noted(repo, made)
    squashed(repo, made, 1)
    one = run(repo, "rev-parse", "HEAD")
    assert killed(repo, one, fault) == -9, "the point was passed"
    found, _ = await notes_repair.repair(str(repo / ".git"), "main", ("andon", "shiftlog"), [Oid(one)], ())
    assert found[0].state in ("present", "attached", "partly") and found[0].tasks == ("T1",)
    assert len(note(repo, one).splitlines()) == 1 and note(repo, one, "shiftlog")
    assert run(repo, "fsck", "--strict", "--no-dangling") == ""
