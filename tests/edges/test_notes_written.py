"""Git notes of landed changes: without secrets, beside what others wrote, whole after any kill, readable by those they are for."""

import base64
import gzip
import hashlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings, strategies as st

from andon.edges import notes, notes_formats as formats, notes_ref, withheld
from andon.edges.git import common_lock, set_ref
from andon.edges.notes_ref import put_notes, read_notes
from andon.schema.ids import Oid
from andon.schema.notes import NoteRecord
from gitkit import commit, make_repo, run
from notekit import land, note, noted, record

KEY = "ghp_" + "A1b2C3d4E5" * 4
ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _redactor() -> Iterator[None]:
    withheld.keep(None)
    yield
    withheld.keep(None)


# --- what is written -----------------------------------------------------------------------------------------------------


async def test_a_landed_change_has_its_record_under_our_ref_in_one_line_with_patch_trees_and_trailers(tmp_path: Path) -> None:
    repo = make_repo(tmp_path / "shop")
    made = land(repo, 1, parts=2)
    message = run(repo, "log", "-1", "--format=%B") + "\nAndon-Bundle: sha256:bb\nAndon-Policy: sha256:cc"
    run(repo, "commit", "-q", "--amend", "-m", message)
    made = msgspec.structs.replace(made, commit=Oid(run(repo, "rev-parse", "HEAD")))
    told = await noted(repo, made)
    assert told.written == ("refs/notes/andon",) and told.kept == ()
    [line] = note(repo, made.commit).splitlines()
    said = json.loads(line)
    assert said["task"] == "T1" and said["change"] == made.change and said["summary"] == "I said hello 1." and said["version"] == 1
    assert said["tree"] == run(repo, "rev-parse", "HEAD^{tree}") and said["before_tree"] == run(repo, "rev-parse", "HEAD~^{tree}")
    assert (said["bundle"], said["policy"]) == ("sha256:bb", "sha256:cc")
    diff = run(repo, "diff-tree", "-p", made.before, made.commit)
    assert said["patch"] == run(repo, "patch-id", "--stable", stdin=diff.encode() + b"\n").split()[0] and len(said["patches"]) == 2
    assert line == json.dumps(said, sort_keys=True, separators=(",", ":"), ensure_ascii=False), "canonical"


async def test_writing_again_changes_nothing_and_what_lands_twice_stands_twice(tmp_path: Path) -> None:
    repo = make_repo(tmp_path / "shop")
    made = land(repo, 1)
    await noted(repo, made, "andon", "shiftlog", "ai")
    tips = run(repo, "for-each-ref", "refs/notes")
    await noted(repo, made, "andon", "shiftlog", "ai")
    assert run(repo, "for-each-ref", "refs/notes") == tips
    await noted(repo, msgspec.structs.replace(made, task=record("", "", "", 2).task))
    assert len(note(repo, made.commit).splitlines()) == 2


async def test_nothing_but_the_wanted_refs_is_written(tmp_path: Path) -> None:
    repo = make_repo(tmp_path / "shop")
    made = land(repo, 1)
    before = run(repo, "for-each-ref").splitlines()
    await noted(repo, made, "shiftlog")
    new = [line for line in run(repo, "for-each-ref").splitlines() if line not in before]
    assert [line.split()[-1] for line in new] == ["refs/notes/shiftlog"]
    assert run(repo, "status", "--porcelain") == "" and not list((repo / ".git/andon").glob(".notes*"))


async def test_another_writers_note_is_kept_whatever_it_says(tmp_path: Path) -> None:
    repo = make_repo(tmp_path / "shop")
    made = land(repo, 1)
    for ref in ("andon", "shiftlog", "ai"):
        for place in (made.commit, made.change):
            run(repo, "notes", f"--ref={ref}", "add", "-m", f"by hand in {ref}", place)
    told = await noted(repo, made, "andon", "shiftlog", "ai")
    assert told.kept == ("refs/notes/shiftlog", "refs/notes/ai") and told.written == ("refs/notes/andon",)
    assert note(repo, made.commit, "shiftlog") == "by hand in shiftlog" and note(repo, made.change, "ai") == "by hand in ai"
    first, second = note(repo, made.commit).splitlines()
    assert first == "by hand in andon" and json.loads(second)["task"] == "T1"


# --- secrets -------------------------------------------------------------------------------------------------------------


async def test_a_secret_in_an_agents_words_never_reaches_a_note_and_its_count_is_shown(tmp_path: Path) -> None:
    repo = make_repo(tmp_path / "shop")
    made = msgspec.structs.replace(land(repo, 1), summary=f"I used {KEY} twice: {KEY}", title=f"Use {KEY}", withheld=2)
    told = await noted(repo, made, "andon", "shiftlog", "ai")
    assert told.withheld == 5
    for ref in ("andon", "shiftlog", "ai"):
        for oid in run(repo, "notes", f"--ref={ref}", "list").split():
            assert KEY not in run(repo, "cat-file", "-p", oid)
    said = json.loads(note(repo, made.commit))
    assert said["withheld"] == 5 and said["summary"].count("[secret withheld: GitHub token]") == 2
    talk = gzip.decompress(base64.b64decode(json.loads(note(repo, made.commit, "shiftlog"))["transcript"]))
    assert KEY.encode() not in talk and b"secret withheld" in talk


@pytest.mark.parametrize("fault", [RecursionError("too deep"), ValueError("broken"), re.error("bad pattern")])
async def test_where_the_redactor_fails_nothing_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: Exception,
) -> None:
    repo = make_repo(tmp_path / "shop")
    made = land(repo, 1)

    def fail(_: object) -> object:
        raise fault

    monkeypatch.setattr(withheld, "struct", fail)
    with pytest.raises(notes.Unclean, match="could not be looked through"):
        await noted(repo, made)
    assert run(repo, "for-each-ref", "refs/notes") == ""


async def test_a_secret_where_a_name_should_stand_is_not_written_either(tmp_path: Path) -> None:
    repo = make_repo(tmp_path / "shop")
    made = msgspec.structs.replace(land(repo, 1), task=record("", "", "").task.__class__(KEY))
    with pytest.raises(notes.Unclean, match="hold a secret where a name"):
        await noted(repo, made)
    assert run(repo, "for-each-ref", "refs/notes") == ""


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=200), st.text(max_size=200))
def test_no_words_of_an_agent_break_a_format(title: str, summary: str) -> None:
    made = notes.plain(record("ab" * 20, "cd" * 20, "ef" * 20, title=title, summary=summary))
    assert formats.records_of(formats.line_of(made)) == [made] and b"\n" not in formats.line_of(made)
    talk = shiftlog_of(formats.shiftlog(made, "main"))
    assert talk[0]["type"] == "user"
    authorship_of(formats.authorship(made, made.commit, {"a b.py": [(1, 2)], "---": [(1, 1)], 'q"x': [(1, 1)]}, 0).decode())


# --- two at once, and kills ----------------------------------------------------------------------------------------------


PROGRAM = """
import asyncio, sys
from pathlib import Path
from andon.edges.notes_formats import records_of
from notekit import noted
async def all():
    for made in records_of(Path(sys.argv[1]).read_bytes()):
        await noted(Path(sys.argv[2]), made, *sys.argv[3:])
asyncio.run(all())
"""


def writer(place: Path, repo: Path, records: list[NoteRecord], *refs: str, fault: str = "") -> subprocess.Popen[bytes]:
    """A process of its own that writes these notes."""
    place.write_bytes(b"".join(formats.line_of(made) + b"\n" for made in records))
    env = {**os.environ, "PYTHONPATH": f"{ROOT / 'daemon'}:{ROOT / 'tests'}", "ANDON_FAULT": fault}
    return subprocess.Popen((sys.executable, "-c", PROGRAM, str(place), str(repo), *refs), env=env)


async def test_two_writers_at_once_lose_no_note_of_either(tmp_path: Path) -> None:
    repo = make_repo(tmp_path / "shop", commits=25)
    commits = run(repo, "rev-list", "main").split()[:16]
    mine = [[record(one, "", one, number) for one in part] for number, part in ((1, commits[:8]), (2, commits[4:]))]
    other = writer(tmp_path / "theirs", repo, mine[0], "andon")
    for made in mine[1]:
        await noted(repo, made)
    assert other.wait(60) == 0
    stands = await read_notes(str(repo / ".git"), "refs/notes/andon")
    for at, one in enumerate(commits):
        tasks = {made.task for made in formats.records_of(stands[Oid(one)])}
        assert tasks == ({"T1"} if at < 8 else set()) | ({"T2"} if at >= 4 else set()), one


async def test_a_ref_that_moves_while_a_note_is_made_is_tried_again_on_the_newer_one(tmp_path: Path) -> None:
    repo = make_repo(tmp_path / "shop", commits=4)
    tip, other = run(repo, "rev-list", "main").split()[:2]
    moved: list[str] = []

    def meddle(existing: bytes | None) -> bytes | None:
        if len(moved) < 3:
            moved.append("x")
            run(repo, "notes", "--ref=andon", "append", "-m", f"theirs {len(moved)}", other)
        return b"ours\n" if existing is None else None

    async with common_lock(str(repo / ".git")) as hold:
        assert await put_notes(str(repo / ".git"), "refs/notes/andon", {Oid(tip): meddle}, hold, "test") == [tip]
    assert note(repo, tip) == "ours" and all(f"theirs {n}" in note(repo, other) for n in (1, 2, 3))


async def test_garbage_that_is_collected_just_before_the_ref_is_set_takes_nothing_of_a_note(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:
    repo = make_repo(tmp_path / "shop")
    made = land(repo, 1)

    async def late(*args: object, **more: object) -> bool:
        run(repo, "gc", "-q", "--prune=now")
        return await set_ref(*args, **more)  # type: ignore[arg-type]  # passed on as they came

    monkeypatch.setattr(notes_ref, "set_ref", late)
    await noted(repo, made, "andon", "shiftlog", "ai")
    run(repo, "gc", "-q", "--prune=now")
    assert note(repo, made.commit) and note(repo, made.commit, "shiftlog") and note(repo, made.change, "ai")
    assert run(repo, "fsck", "--strict") == "" and not list((repo / ".git/objects/pack").glob("*.keep"))


@pytest.mark.parametrize("fault", ["write-notes.redacted", "notes.made", "notes.swapped", "write-notes.ref", "notes.made:2",
                                   "notes.swapped:2", "write-notes.ref:2"])
async def test_killed_at_any_point_the_notes_are_whole_when_it_is_done_again(tmp_path: Path, fault: str) -> None:
    repo = make_repo(tmp_path / "shop")
    made = land(repo, 1)
    assert writer(tmp_path / "record", repo, [made], "andon", "shiftlog", "ai", fault=fault).wait(60) == -9, "the point was passed"
    told = await noted(repo, made, "andon", "shiftlog", "ai")
    assert told.written == ("refs/notes/andon", "refs/notes/shiftlog", "refs/notes/ai") and told.kept == ()
    assert len(note(repo, made.commit).splitlines()) == 1 and note(repo, made.commit, "shiftlog") and note(repo, made.change, "ai")
    assert not (repo / ".git/andon/.notes").exists() and run(repo, "fsck", "--strict", "--no-dangling") == ""


# --- readers of others, written from what they document --------------------------------------------------------------------


def shiftlog_of(text: bytes) -> list[dict[str, object]]:
    """The transcript of a Shift Log note: JSON with a checksum over base64 of gzip of JSON lines."""
    body = json.loads(text)
    wanted = {"version": int, "session_id": str, "timestamp": str, "project_path": str, "git_branch": str, "message_count": int,
              "checksum": str, "transcript": str}
    assert all(isinstance(body[name], kind) for name, kind in wanted.items()) and body["version"] == 3
    assert set(body) <= {*wanted, "agent", "model", "effort"}
    data = gzip.decompress(base64.b64decode(body["transcript"], validate=True))
    assert body["checksum"] == f"sha256:{hashlib.sha256(data).hexdigest()}"
    entries = [json.loads(line) for line in data.splitlines()]
    assert len(entries) == body["message_count"]
    for entry in entries:
        assert entry["message"]["role"] == entry["type"] and all(part["type"] == "text" for part in entry["message"]["content"])
    return entries


def authorship_of(text: str) -> tuple[dict[str, set[int]], dict[str, object]]:
    """A git-ai note: files with indented `hash ranges`, a divider, JSON. (lines by file, metadata)"""
    lines = text.split("\n")
    divider = lines.index("---")
    found, path = dict[str, set[int]](), ""
    meta = json.loads("\n".join(lines[divider + 1 :]))
    assert meta["schema_version"] == "authorship/3.0.0" and isinstance(meta["base_commit_sha"], str)
    for line in lines[:divider]:
        if not line.startswith("  "):
            path = line[1:-1] if line.startswith('"') else line
            continue
        whose, _, ranges = line[2:].partition(" ")
        prompt = meta["prompts"][whose]
        assert {"tool", "id", "model"} <= set(prompt["agent_id"]) and isinstance(prompt["total_additions"], int)
        for one in ranges.split(","):
            first, _, last = one.partition("-")
            found.setdefault(path, set()).update(range(int(first), int(last or first) + 1))
    return found, meta


async def test_shift_logs_reader_reads_ours(tmp_path: Path) -> None:
    repo = make_repo(tmp_path / "shop")
    made = land(repo, 1)
    await noted(repo, made, "shiftlog")
    text = note(repo, made.commit, "shiftlog").encode()
    user, assistant = shiftlog_of(text)
    assert "Say hello 1" in str(user) and "I said hello 1." in str(assistant) and assistant["parentUuid"] == user["uuid"]
    body = json.loads(text)
    assert body["effort"] == {"turns": 3, "input_tokens": 1200, "output_tokens": 340} and body["agent"] == "claude"
    assert str(tmp_path) not in text.decode(), "no path of the person's"


async def test_git_ais_reader_reads_ours_and_finds_exactly_the_added_lines_of_each_commit(tmp_path: Path) -> None:
    repo = make_repo(tmp_path / "shop", {"old.py": "".join(f"line {n}\n" for n in range(10)), "with blank.txt": "a\n"})
    before = run(repo, "rev-parse", "HEAD")
    run(repo, "checkout", "-q", "-b", "task-1")
    body = ["line 0", "new", *(f"line {n}" for n in range(2, 9)), "++ b/evil.py", "-- x", "end", ""]
    one = commit(repo, {"old.py": "\n".join(body), "with blank.txt": "a\nb\nc"}, "One")
    two = commit(repo, {"new.py": "x\n", "old.py": None}, "Two")
    run(repo, "checkout", "-q", "main")
    run(repo, "merge", "-q", "--no-ff", "-m", "Land", "task-1")
    await noted(repo, record(run(repo, "rev-parse", "HEAD"), before, two), "ai")
    found, meta = authorship_of(note(repo, one, "ai"))
    assert found == {"old.py": {2, 10, 11, 12}, "with blank.txt": {2, 3}} and meta["base_commit_sha"] == one
    assert authorship_of(note(repo, two, "ai"))[0] == {"new.py": {1}}
    assert note(repo, "HEAD", "ai") == "", "blame names the commits below the merge"


async def test_an_agent_trace_record_is_of_its_published_shape(tmp_path: Path) -> None:
    repo = make_repo(tmp_path / "shop")
    made = land(repo, 1)
    lines, _ = await notes.added(str(repo / ".git"), made.change)
    trace = formats.agent_trace(made, made.change, lines, "0.1.0")
    assert set(trace) == {"version", "id", "timestamp", "vcs", "tool", "files", "metadata"} and trace["version"] == "0.1.0"
    assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", trace["id"])
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", trace["timestamp"])
    assert trace["vcs"] == {"type": "git", "revision": made.change}
    [file] = trace["files"]
    [talk] = file["conversations"]
    assert file["path"] == "src/1/part0.py" and talk["contributor"] == {"type": "ai", "model_id": "opus"}
    assert talk["ranges"] == [{"start_line": 1, "end_line": 4}]


def test_lines_that_are_no_record_are_passed_over() -> None:
    good = formats.line_of(record("ab" * 20, "cd" * 20, "ef" * 20))
    noise = b"by hand\n{}\n[]\n\xff\xfe\n" + b"[" * 50_000 + b'\n{"version":2,"task":"T1","change":"x","repo":"r","commit":"c"}\n'
    assert formats.records_of(noise + good + b"\n") == formats.records_of(good) and len(formats.records_of(good)) == 1
    assert isinstance(formats.records_of(good)[0], NoteRecord)
