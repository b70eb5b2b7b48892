import asyncio
import subprocess
from pathlib import Path

import msgspec
import pytest

import gitkit
from andon.edges import forward, git as git_module, landing
from andon.edges.forward import Journal, journal_of
from andon.edges.repository import Diverged, read_target
from andon.schema.ids import Oid
from andon.schema.inputs import CandidateConflicted, CandidateMerged
from checkoutkit import Floor, floor
from gitkit import run, write
from landingkit import change, files_of, land

FILES = {"a.txt": "a\n", "b.txt": "1\n2\n3\n", "c.txt": "c\n", ".gitignore": "*.env\n"}


@pytest.fixture
def shop(tmp_path: Path) -> Floor:
    return floor(tmp_path, FILES)


def edit_other(person: Path) -> None:
    write(person, {"c.txt": "my edit\n"})


def stage_other(person: Path) -> None:
    write(person, {"c.txt": "my staged edit\n"})
    run(person, "add", "c.txt")


def edit_same(person: Path) -> None:
    write(person, {"a.txt": "my edit of the landed file\n"})


def untracked_in_way(person: Path) -> None:
    write(person, {"new.txt": "mine, not theirs\n"})


def ignored_in_way(person: Path) -> None:
    write(person, {"local.env": "SECRET=1\n"})


def hidden_edit(person: Path) -> None:
    run(person, "update-index", "--assume-unchanged", "a.txt")
    write(person, {"a.txt": "my hidden edit\n"})


def skipped_edit(person: Path) -> None:
    run(person, "update-index", "--skip-worktree", "a.txt")
    write(person, {"a.txt": "my hidden edit\n"})


def mid_merge(person: Path) -> None:
    run(person, "checkout", "-q", "-b", "side", "HEAD")
    gitkit.commit(person, {"b.txt": "side\n"}, "Side")
    run(person, "checkout", "-q", "main")
    run(person, "merge", "--no-ff", "--no-commit", "-q", "side")


STATES = {
    "edit_other": (edit_other, "c.txt"), "stage_other": (stage_other, "c.txt"), "edit_same": (edit_same, "a.txt"),
    "untracked_in_way": (untracked_in_way, "new.txt"), "ignored_in_way": (ignored_in_way, "local.env"),
    "hidden_edit": (hidden_edit, "a.txt"), "skipped_edit": (skipped_edit, "a.txt"), "mid_merge": (mid_merge, "merge is under way"),
}
LANDED = {"a.txt": "landed\n", "new.txt": "landed\n", "local.env": "landed\n"}


async def test_a_clean_checkout_follows_and_shows_no_change(shop: Floor) -> None:
    run(shop.person, "checkout", "-q", "-b", "task")
    write(shop.person, LANDED)
    run(shop.person, "add", "-A", "-f")
    run(shop.person, "commit", "-qm", "Work")
    work = run(shop.person, "rev-parse", "HEAD")
    run(shop.person, "checkout", "-q", "main")
    write(shop.person, {"notes.txt": "untracked, not in the way\n"})
    trunk = await land(shop, work)
    seen = await landing.mirror_target(shop.mirror(trunk))
    assert seen.advanced and shop.base == trunk
    assert run(shop.person, "status", "--porcelain") == "?? notes.txt"
    assert (shop.person / "a.txt").read_text() == "landed\n"
    assert (await landing.mirror_target(shop.mirror(trunk))).advanced


@pytest.mark.parametrize("state", STATES)
async def test_what_a_person_has_in_hand_is_never_touched_and_never_reverts_what_landed(shop: Floor, state: str) -> None:
    make, named = STATES[state]
    run(shop.person, "checkout", "-q", "-b", "task")
    write(shop.person, LANDED)
    run(shop.person, "add", "-A", "-f")
    run(shop.person, "commit", "-qm", "Work")
    work = run(shop.person, "rev-parse", "HEAD")
    run(shop.person, "checkout", "-q", "main")
    make(shop.person)
    before, staged, base = files_of(shop.person), run(shop.person, "diff", "--cached"), shop.base
    trunk = await land(shop, work)
    seen = await landing.mirror_target(shop.mirror(trunk))
    assert not seen.advanced and named in seen.because and seen.mend == "git merge --ff-only refs/andon/trunk/main"
    assert files_of(shop.person) == before and run(shop.person, "diff", "--cached") == staged and shop.base == base
    assert not (shop.git_dir / "index.lock").exists()
    run(shop.person, "add", "-A")
    run(shop.person, "commit", "-qm", "The person goes on", "--allow-empty")
    diverged = await read_target(shop.git_dir, "main")
    assert isinstance(diverged, Diverged) and diverged.trunk == trunk
    again = await landing.mirror_target(shop.mirror(trunk))
    assert not again.advanced and again.mend == "git merge refs/andon/trunk/main"
    joined = await landing.merge_candidate(shop.merge(trunk, onto=diverged.branch))
    assert isinstance(joined, CandidateMerged | CandidateConflicted)
    if isinstance(joined, CandidateMerged):  # landed content is still there, unless the person really wrote the same file
        assert run(shop.person, "show", f"{joined.tree}:a.txt") in ("landed", "my edit of the landed file")
        assert run(shop.person, "show", f"{joined.tree}:new.txt") == "landed"


async def test_after_the_mirror_a_persons_own_commit_keeps_what_landed(shop: Floor) -> None:
    trunk = await land(shop, change(shop, {"a.txt": "landed\n", "new.txt": "landed\n"}))
    assert (await landing.mirror_target(shop.mirror(trunk))).advanced
    write(shop.person, {"c.txt": "mine\n"})
    run(shop.person, "add", "-A")
    run(shop.person, "commit", "-qm", "Mine")
    assert [run(shop.person, "show", f"main:{name}") for name in ("a.txt", "new.txt", "c.txt")] == ["landed", "landed", "mine"]


async def test_a_branch_that_nobody_has_checked_out_follows_by_compare_and_swap(shop: Floor) -> None:
    trunk = await land(shop, change(shop, {"a.txt": "landed\n"}))
    run(shop.person, "checkout", "-q", "-b", "elsewhere")
    write(shop.person, {"a.txt": "my edit\n"})
    before = files_of(shop.person)
    assert (await landing.mirror_target(shop.mirror(trunk))).advanced and shop.base == trunk
    assert files_of(shop.person) == before


async def test_a_branch_checked_out_in_a_linked_worktree_follows_there(shop: Floor, tmp_path: Path) -> None:
    trunk = await land(shop, change(shop, {"a.txt": "landed\n"}))
    run(shop.person, "checkout", "-q", "-b", "elsewhere")
    run(shop.person, "worktree", "add", "-q", str(tmp_path / "linked"), "main")
    assert (await landing.mirror_target(shop.mirror(trunk))).advanced
    assert (tmp_path / "linked/a.txt").read_text() == "landed\n" and run(tmp_path / "linked", "status", "--porcelain") == ""
    assert (shop.person / "a.txt").read_text() == "a\n"


async def test_a_branch_under_rebase_looks_free_and_is_left_alone(shop: Floor) -> None:
    trunk = await land(shop, change(shop, {"a.txt": "landed\n"}))
    gitkit.commit(shop.person, {"b.txt": "x\n"}, "On main")
    run(shop.person, "reset", "-q", "--hard", "HEAD^")
    mine = run(shop.person, "rev-parse", "ORIG_HEAD")
    run(shop.person, "branch", "conflict", mine)
    run(shop.person, "rebase", "-q", "--exec", "false", "--force-rebase", "--root", check=False)
    assert run(shop.person, "symbolic-ref", "-q", "HEAD", check=False) == ""
    base = shop.base
    seen = await landing.mirror_target(shop.mirror(trunk))
    assert not seen.advanced and "rebase" in seen.because and shop.base == base


async def test_hooks_of_the_repository_do_not_run_on_the_mirror(shop: Floor, tmp_path: Path) -> None:
    trunk = await land(shop, change(shop, {"a.txt": "landed\n"}))
    for name in ("post-merge", "reference-transaction", "post-checkout", "pre-merge-commit", "post-index-change"):
        hook = shop.git_dir / "hooks" / name
        hook.parent.mkdir(exist_ok=True)
        hook.write_text(f"#!/bin/sh\necho {name} >> {tmp_path}/canary\n")
        hook.chmod(0o755)
    assert (await landing.mirror_target(shop.mirror(trunk))).advanced
    assert not (tmp_path / "canary").exists()


async def test_a_lock_in_the_persons_checkout_is_named_and_left(shop: Floor) -> None:
    trunk = await land(shop, change(shop, {"a.txt": "landed\n"}))
    (shop.git_dir / "index.lock").write_text("")
    seen = await landing.mirror_target(shop.mirror(trunk))
    assert not seen.advanced and "index.lock" in seen.because and (shop.git_dir / "index.lock").exists()


# --- when a person asks ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", ["edit_other", "stage_other"])
async def test_who_asks_keeps_what_they_have_in_hand_in_other_files(shop: Floor, state: str) -> None:
    trunk = await land(shop, change(shop, {"a.txt": "landed\n", "new.txt": "landed\n"}))
    STATES[state][0](shop.person)
    before, staged = (shop.person / "c.txt").read_bytes(), run(shop.person, "diff", "--cached")
    seen = await landing.mirror_target(shop.mirror(trunk, asked=1))
    assert seen.advanced and shop.base == trunk and (shop.person / "a.txt").read_text() == "landed\n"
    assert (shop.person / "c.txt").read_bytes() == before and run(shop.person, "diff", "--cached") == staged
    assert [line[3:] for line in run(shop.person, "status", "--porcelain").splitlines()] == ["c.txt"]


@pytest.mark.parametrize("state", ["edit_same", "untracked_in_way", "ignored_in_way", "hidden_edit", "mid_merge"])
async def test_who_asks_loses_nothing_that_is_in_the_way(shop: Floor, state: str) -> None:
    make, named = STATES[state]
    run(shop.person, "checkout", "-q", "-b", "task")
    write(shop.person, LANDED)
    run(shop.person, "add", "-A", "-f")
    run(shop.person, "commit", "-qm", "Work")
    run(shop.person, "checkout", "-q", "main")
    make(shop.person)
    before, staged, base = files_of(shop.person), run(shop.person, "diff", "--cached"), shop.base
    seen = await landing.mirror_target(shop.mirror(await land(shop, gitkit.ref(shop.person, "task")), asked=1))
    assert not seen.advanced and named in seen.because
    assert files_of(shop.person) == before and run(shop.person, "diff", "--cached") == staged and shop.base == base
    assert not journal_of(shop.git_dir).exists()


@pytest.mark.parametrize("mine", [{"a.txt": ""}, {"z.txt": ""}, {"d": "a file where a folder will be\n"}])
async def test_what_is_in_the_way_is_seen_before_the_journal_is_open(
    shop: Floor, mine: dict[str, str | None], monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A file that the person emptied looks like one that a killed git was writing: no way may be begun over it."""
    trunk = await land(shop, change(shop, {"a.txt": "landed\n", "z.txt": "z\n", "d/e.txt": "e\n"}))
    write(shop.person, mine)
    started: list[str] = []
    monkeypatch.setattr(git_module, "observe", lambda argv: started.append(argv[1]))
    seen = await landing.mirror_target(shop.mirror(trunk, asked=1))
    assert not seen.advanced and "in the way" in seen.because and "merge" not in started
    name, text = next(iter(mine.items()))
    assert (shop.person / name).read_text() == text and not journal_of(shop.git_dir).exists()


# --- after a kill ------------------------------------------------------------------------------------------------------------


def half_way(shop: Floor, trunk: str, done: dict[str, str | None]) -> None:
    """As a killed fast-forward leaves it: some files written, the index locked, the journal open."""
    journal = Journal(place=str(shop.person), own=str(shop.git_dir), target="main", old=shop.base, new=Oid(trunk))
    journal_of(shop.git_dir).parent.mkdir(exist_ok=True)
    journal_of(shop.git_dir).write_bytes(msgspec.json.encode(journal))
    write(shop.person, done)
    (shop.git_dir / "index.lock").touch()


NEXT: dict[str, str | None] = {"a.txt": "landed\n", "c.txt": None, "d/new.txt": "a long line that landed\n"}


async def test_a_half_done_way_is_gone_to_its_end(shop: Floor) -> None:
    trunk = await land(shop, change(shop, NEXT))
    half_way(shop, trunk, {"a.txt": "land", "c.txt": None})
    assert (await landing.mirror_target(shop.mirror(trunk))).advanced and shop.base == trunk
    assert run(shop.person, "status", "--porcelain") == "" and not journal_of(shop.git_dir).exists()
    assert not (shop.git_dir / "index.lock").exists()


@pytest.mark.parametrize("mine", [
    {"a.txt": "mine\n"}, {"d/new.txt": "mine\n"}, {"c.txt": "mine\n"}, {"d": "mine, where a folder was to be\n"},
])
async def test_with_bytes_of_the_person_a_half_done_way_is_gone_back(shop: Floor, mine: dict[str, str | None]) -> None:
    trunk = await land(shop, change(shop, NEXT))
    half_way(shop, trunk, {name: text for name, text in {"a.txt": "landed\n", "c.txt": None}.items() if name not in mine})
    write(shop.person, mine)
    seen = await landing.mirror_target(shop.mirror(trunk))
    name, text = next(iter(mine.items()))
    assert not seen.advanced and name in seen.because and (shop.person / name).read_text() == text
    assert [line[3:] for line in run(shop.person, "status", "--porcelain").splitlines()] in ([name], ["d/"])
    assert not (shop.git_dir / "index.lock").exists() and not journal_of(shop.git_dir).exists()
    run(shop.person, "stash", "-q", "-u")
    assert (await landing.mirror_target(shop.mirror(trunk))).advanced and run(shop.person, "status", "--porcelain") == ""


async def test_line_endings_of_the_persons_do_not_make_a_file_theirs(shop: Floor) -> None:
    run(shop.person, "config", "core.autocrlf", "true")
    trunk = await land(shop, change(shop, {"a.txt": "landed\n", "b.txt": "1\n2\nthree\n"}))
    half_way(shop, trunk, {"a.txt": None})
    (shop.person / "a.txt").write_bytes(b"landed\r\n")
    (shop.person / "b.txt").write_bytes(b"1\r\n2\r\nth")
    assert (await landing.mirror_target(shop.mirror(trunk))).advanced
    assert (shop.person / "b.txt").read_bytes() == b"1\r\n2\r\nthree\r\n" and run(shop.person, "status", "--porcelain") == ""


async def test_a_person_who_went_elsewhere_meanwhile_is_not_followed(shop: Floor) -> None:
    trunk = await land(shop, change(shop, NEXT))
    half_way(shop, trunk, {})
    (shop.git_dir / "index.lock").unlink()
    run(shop.person, "checkout", "-q", "-b", "elsewhere")
    write(shop.person, {"a.txt": "mine\n"})
    before = files_of(shop.person)
    assert (await landing.mirror_target(shop.mirror(trunk))).advanced and shop.base == trunk
    assert files_of(shop.person) == before and not journal_of(shop.git_dir).exists()


async def test_a_reading_git_that_an_editor_keeps_running_is_not_waited_for(shop: Floor) -> None:
    trunk = await land(shop, change(shop, NEXT))
    half_way(shop, trunk, {})
    running = await asyncio.create_subprocess_exec("git", "cat-file", "--batch", cwd=shop.person, stdin=subprocess.PIPE)
    try:
        assert (await landing.mirror_target(shop.mirror(trunk))).advanced
    finally:
        await running.communicate(b"")


async def test_locks_are_left_while_a_git_of_the_persons_runs_there(shop: Floor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forward, "GIT_WAIT_S", 0.1)
    trunk = await land(shop, change(shop, NEXT))
    half_way(shop, trunk, {})
    running = await asyncio.create_subprocess_exec("git", "hash-object", "--stdin", cwd=shop.person, stdin=subprocess.PIPE,
                                                   stdout=subprocess.DEVNULL)
    try:
        seen = await landing.mirror_target(shop.mirror(trunk))
        assert not seen.advanced and "git command is at work" in seen.because and (shop.git_dir / "index.lock").exists()
    finally:
        await running.communicate(b"")
    assert (await landing.mirror_target(shop.mirror(trunk))).advanced
