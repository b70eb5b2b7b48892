"""A whole factory writes notes of what lands, finds them again when a person rewrites the target, and shows them."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from andon.schema import events as e
from e2e.test_queue import job, project
from factory import Factory, factory, git, small_repo
from wholekit import assert_clear, cli

ALL = '[provenance]\nnotes = ["andon", "shiftlog", "ai"]\n'


@pytest.fixture
def plant(tmp_path: Path) -> Iterator[Factory]:
    with factory(tmp_path / "f") as made:
        yield made


def written(plant: Factory, count: int = 1) -> None:
    plant.until(lambda: plant.kinds().count("notes.written") >= count, what="the notes")


def test_what_lands_has_its_note_by_default_and_the_command_line_shows_it(plant: Factory, tmp_path: Path) -> None:
    path = small_repo(tmp_path / "repo")
    task = plant.add(plant.register(path), title="Say hello")
    plant.until_state(task, "done")
    written(plant)
    refs = git(path, "for-each-ref", "--format=%(refname)", "refs/notes").split()
    assert refs == ["refs/notes/andon"]
    said = json.loads(git(path, "notes", "--ref=andon", "show", "main"))
    assert said["task"] == task and said["title"] == "Say hello" and said["commit"] == git(path, "rev-parse", "main")
    page = cli(plant, "notes", "show", "HEAD", cwd=path)
    assert page.code == 0 and "trailer, note, store" in page.out and "The note is written and committed" in page.out, page
    assert json.loads(cli(plant, "notes", "show", "HEAD", "--json", cwd=path).out)["records"][0]["task"] == task
    none = cli(plant, "notes", "show", "HEAD~1", cwd=path)
    assert none.code == 1 and "no change that is known" in none.out
    assert_clear(cli(plant, "notes", "show", "nothing-of-this-name", cwd=path), 4, "no commit")
    assert_clear(cli(plant, "notes", "show", cwd=path), 2, "show needs a commit")


def test_what_a_person_puts_on_the_target_by_hand_is_looked_through_and_a_change_among_it_gets_its_note(
    plant: Factory, tmp_path: Path,
) -> None:
    path = small_repo(tmp_path / "repo")
    task = plant.add(plant.register(path))
    plant.until_state(task, "done")
    written(plant)
    plant.until(lambda: git(path, "rev-parse", "main") == git(path, "rev-parse", "refs/andon/trunk/main"), what="the mirror")
    git(path, "revert", "-m", "1", "--no-edit", "HEAD")
    git(path, "cherry-pick", "-m", "1", "--no-commit", "HEAD~1")
    git(path, "commit", "-q", "-m", "take it after all")
    tip = git(path, "rev-parse", "HEAD")
    plant.until(lambda: any(one.commit == tip for event in looks(plant) for one in event.found), what="the look at the new target")
    [one] = [one for event in looks(plant) for one in event.found]
    assert (one.tasks, one.by, one.restored, one.lacks) == ((task,), "tree", ("note from note",), ("trailer",))
    assert json.loads(git(path, "notes", "--ref=andon", "show", "HEAD"))["task"] == task


def looks(plant: Factory) -> list[e.NotesRepaired]:
    return [row.event for row in plant.events() if isinstance(row.event, e.NotesRepaired)]


def test_a_note_that_was_taken_away_is_restored_and_every_copy_is_accounted_for(plant: Factory, tmp_path: Path) -> None:
    path = small_repo(tmp_path / "repo", extra=ALL)
    task = plant.add(plant.register(path))
    plant.until_state(task, "done")
    written(plant)
    whole = git(path, "notes", "--ref=andon", "show", "main")
    git(path, "update-ref", "-d", "refs/notes/andon")
    git(path, "update-ref", "-d", "refs/notes/shiftlog")
    told = cli(plant, "notes", "repair", cwd=path)
    assert told.code == 0 and "note from store" in told.out and git(path, "notes", "--ref=andon", "show", "main") == whole
    git(path, "update-ref", "-d", "refs/notes/andon")
    synced = cli(plant, "notes", "sync", cwd=path)
    assert "1 got a note" in synced.out and git(path, "notes", "--ref=andon", "show", "main") == whole
    assert "0 got a note" in cli(plant, "notes", "sync", cwd=path).out
    git(path, "checkout", "-q", "-b", "squashed", "main~1")
    git(path, "merge", "-q", "--squash", "main")
    git(path, "commit", "-q", "-m", "by a forge, without trailers")
    told = cli(plant, "notes", "repair", "HEAD", "--json", cwd=path)
    [one] = json.loads(told.out)["found"]
    assert (one["tasks"], one["by"], one["restored"], one["lacks"]) == ([task], "tree", ["note from note"], ["trailer"])
    assert json.loads(git(path, "notes", "--ref=andon", "show", "squashed"))["task"] == task
    shown = cli(plant, "show", "HEAD", cwd=path)
    assert shown.code == 0 and f"is {task}" in shown.out and "from git notes" in shown.out, "and `andon show` knows it too"
    trace = json.loads(cli(plant, "notes", "export", "main", "--format", "agent-trace", cwd=path).out)
    assert trace["version"] == "0.1.0" and trace["files"][0]["conversations"][0]["contributor"]["type"] == "ai"


def test_two_repositories_exchange_their_notes_over_a_remote_and_neither_loses_one(plant: Factory, tmp_path: Path) -> None:
    path = small_repo(tmp_path / "repo")
    remote = tmp_path / "remote.git"
    git(path, "init", "-q", "--bare", str(remote))
    git(path, "remote", "add", "origin", str(remote))
    task = plant.add(plant.register(path))
    plant.until_state(task, "done")
    written(plant)
    git(path, "push", "-q", "origin", "main")
    other = tmp_path / "other"
    git(path, "clone", "-q", str(remote), str(other))
    git(other, "notes", "--ref=andon", "add", "-m", "theirs", "HEAD~1")
    git(other, "push", "-q", "origin", "refs/notes/andon")
    told = cli(plant, "notes", "sync", "--remote", "origin", cwd=path)
    assert told.code == 0 and "hold the same notes" in told.err, told
    for place in (path, remote):
        assert git(place, "notes", "--ref=andon", "show", "main~1") == "theirs"
        assert json.loads(git(place, "notes", "--ref=andon", "show", "main"))["task"] == task
    assert not git(path, "for-each-ref", "refs/andon/notes-of-remote")
    assert_clear(cli(plant, "notes", "sync", "--remote", "nowhere", cwd=path), 4, "nowhere cannot be read")


def test_a_secret_in_a_transcript_is_withheld_in_the_store_and_its_count_stands_in_the_note(plant: Factory, tmp_path: Path) -> None:
    key, talk = "ghp_" + "A1b2C3d4E5" * 4, tmp_path / "talk.jsonl"
    path = project(tmp_path / "repo")
    hook = {"at": 1, "source": "hook", "data": {"hook_event_name": "PreToolUse", "tool_name": "Edit", "transcript_path": str(talk)}}
    script = (f"echo a > made/a\necho '{{\"text\": \"ghp_'A1b2C3d4E5A1b2C3d4E5A1b2C3d4E5A1b2C3d4E5'\"}}' > {talk}\n"
              f"echo '{json.dumps(hook)}' > \"$ANDON_JOB/hooks.jsonl\"")
    task = job(plant, plant.register(path), script)
    plant.until_state(task, "done")
    written(plant)
    assert key in talk.read_text()
    said = json.loads(git(path, "notes", "--ref=andon", "show", "main"))
    assert said["withheld"] == 1 and said["tools"] == {"Edit": 1} and key not in plant.blob(said["transcript"])
    assert "1 secret" in cli(plant, "notes", "show", "HEAD", cwd=path).out


@pytest.mark.parametrize("fault", ["write-notes.intent", "notes.swapped", "write-notes.act"])
def test_a_daemon_killed_while_it_writes_notes_has_written_them_after_its_restart(tmp_path: Path, fault: str) -> None:
    with factory(tmp_path / "f", {"ANDON_FAULT": fault}) as plant:
        path = small_repo(tmp_path / "repo", extra=ALL)
        task = plant.add(plant.register(path))
        plant.until(plant.dead, what="the kill")
        plant.env.pop("ANDON_FAULT")
        plant.start()
        plant.until_state(task, "done")
        written(plant)
        assert len(git(path, "notes", "--ref=andon", "show", "main").splitlines()) == 1
        assert json.loads(git(path, "notes", "--ref=shiftlog", "show", "main"))["version"] == 3
        assert plant.kinds().count("notes.written") == 1
