import os
import time
from pathlib import Path

import pytest

import gitkit
from andon.edges import git as git_module, landing
from andon.edges.repository import Diverged, Target, read_target
from andon.schema.ids import Oid
from andon.schema.inputs import CandidateConflicted, CandidateMerged, EffectFailed, LandingRefused, TargetSwapped
from checkoutkit import Floor, floor
from gitkit import run, write

FILES = {"a.txt": "a\n", "b.txt": "1\n2\n3\n", "c.txt": "c\n", ".gitignore": "*.env\n"}


@pytest.fixture
def shop(tmp_path: Path) -> Floor:
    return floor(tmp_path, FILES)


def change(shop: Floor, files: dict[str, str | None], name: str = "task", onto: str = "") -> str:
    """A commit on a branch of its own; the person's checkout is as before."""
    run(shop.person, "checkout", "-q", "-b", name, onto or shop.base)
    oid = gitkit.commit(shop.person, files, f"Work of {name}")
    run(shop.person, "checkout", "-q", "main")
    return oid


async def merged(shop: Floor, commit: str, *, onto: str = "", landing_id: str = "L1") -> CandidateMerged:
    done = await landing.merge_candidate(shop.merge(commit, onto=onto, landing=landing_id))
    assert isinstance(done, CandidateMerged), done
    return done


async def landed(shop: Floor, commit: str, old: str = "", name: str = "L1") -> str:
    candidate = await merged(shop, commit, onto=old, landing_id=name)
    swapped = await landing.move_target(shop.move(candidate.candidate, candidate.tree, commit, old=old, landing=name))
    assert isinstance(swapped, TargetSwapped), swapped
    return candidate.candidate


async def test_a_candidate_is_a_true_merge_commit_with_the_same_name_each_time(shop: Floor) -> None:
    work = change(shop, {"a.txt": "better\n"})
    gitkit.commit(shop.person, {"c.txt": "meanwhile\n"}, "Meanwhile")
    effect = shop.merge(work, title="Make\nit  better", trailers=("Andon-Task: T1", "Andon-Evidence: sha256:ab"))
    done = await landing.merge_candidate(effect)
    assert isinstance(done, CandidateMerged)
    assert run(shop.person, "show", "-s", "--format=%P|%an <%ae>|%at|%ct", done.candidate) == (
        f"{shop.base} {work}|Andon <andon@localhost>|1700000000|1700000000")
    assert run(shop.person, "show", "-s", "--format=%B", done.candidate).rstrip() == (
        "Land T1: Make it better\n\nAndon-Task: T1\nAndon-Evidence: sha256:ab")
    assert gitkit.tree(shop.person, done.candidate) == done.tree and gitkit.ref(shop.person, "refs/andon/cand/L1") == done.candidate
    run(shop.person, "update-ref", "-d", "refs/andon/cand/L1")
    assert await landing.merge_candidate(effect) == done
    assert gitkit.ref(shop.person, "refs/andon/cand/L1") == done.candidate


async def test_a_change_that_is_ahead_of_trunk_still_gets_a_merge_commit(shop: Floor) -> None:
    done = await merged(shop, change(shop, {"a.txt": "x\n"}))
    assert len(run(shop.person, "show", "-s", "--format=%P", done.candidate).split()) == 2


async def test_conflicts_name_their_paths(shop: Floor) -> None:
    work = change(shop, {"b.txt": "1\nmine\n3\n", "sp ace ü.txt": "x\n"})
    gitkit.commit(shop.person, {"b.txt": "1\ntheirs\n3\n", "sp ace ü.txt": "y\n"}, "Theirs")
    done = await landing.merge_candidate(shop.merge(work))
    assert isinstance(done, CandidateConflicted)
    assert set(done.paths) == {"b.txt", "sp ace ü.txt"} and "CONFLICT" in done.message
    assert not gitkit.ref(shop.person, "refs/andon/cand/L1") and run(shop.person, "status", "--porcelain") == ""


async def test_a_file_moved_by_a_directory_rename_is_asked_about_not_guessed(shop: Floor) -> None:
    gitkit.commit(shop.person, {f"old/{n}.txt": f"{n}\n" * 9 for n in range(4)}, "A directory")
    work = change(shop, {"old/new.txt": "new\n"})
    run(shop.person, "mv", "old", "renamed")
    gitkit.commit(shop.person, {}, "Rename")
    assert isinstance(await landing.merge_candidate(shop.merge(work)), CandidateConflicted)


async def test_a_commit_that_does_not_exist_is_a_failure_not_an_exception(shop: Floor) -> None:
    done = await landing.merge_candidate(shop.merge("0" * 39 + "1"))
    assert isinstance(done, EffectFailed) and not done.transient and done.subject == "L1"


async def test_unrelated_history_is_not_merged(shop: Floor) -> None:
    run(shop.person, "checkout", "-q", "--orphan", "alien")
    alien = gitkit.commit(shop.person, {"z": "z"}, "Alien")
    run(shop.person, "checkout", "-q", "main")
    assert isinstance(await landing.merge_candidate(shop.merge(alien)), EffectFailed)


async def test_trunk_moves_once_and_the_deed_can_be_repeated(shop: Floor) -> None:
    base, work = shop.base, change(shop, {"a.txt": "x\n"})
    done = await merged(shop, work)
    effect = shop.move(done.candidate, done.tree, work)
    swapped = await landing.move_target(effect)
    assert swapped == TargetSwapped(landing=effect.landing, old=base, new=done.candidate, tree=done.tree)
    assert gitkit.ref(shop.person, "refs/andon/trunk/main") == done.candidate and shop.base == base
    assert await landing.move_target(effect) == swapped


async def test_what_was_not_proven_does_not_land(shop: Floor) -> None:
    work, other = change(shop, {"a.txt": "x\n"}), change(shop, {"c.txt": "other\n"}, "other")
    done = await merged(shop, work)
    base_tree = gitkit.tree(shop.person, "main")
    reverted = run(shop.person, "commit-tree", base_tree, "-p", shop.base, "-p", work, "-m", "evil")
    squashed = run(shop.person, "commit-tree", done.tree, "-p", shop.base, "-m", "no second parent")
    rootless = run(shop.person, "commit-tree", done.tree, "-p", run(shop.person, "commit-tree", done.tree, "-m", "r"), "-m", "x")
    for effect, because in (
        (shop.move(reverted, done.tree, work), "tree is not the one"),
        (shop.move(squashed, done.tree, work), "does not contain the change"),
        (shop.move(done.candidate, done.tree, other), "does not contain the change"),
        (shop.move(rootless, done.tree, work), "does not contain main"),
        (shop.move("1" * 40, done.tree, work), "cannot be read"),
    ):
        refused = await landing.move_target(effect)
        assert isinstance(refused, LandingRefused) and because in refused.because and refused.oid == shop.base
    assert not gitkit.ref(shop.person, "refs/andon/trunk/main")


async def test_a_person_who_committed_first_wins_and_trunk_follows(shop: Floor) -> None:
    work = change(shop, {"a.txt": "x\n"})
    done = await merged(shop, work)
    effect = shop.move(done.candidate, done.tree, work)
    theirs = gitkit.commit(shop.person, {"c.txt": "theirs\n"}, "Theirs")
    refused = await landing.move_target(effect)
    assert isinstance(refused, LandingRefused) and refused.oid == theirs and refused.tree == gitkit.tree(shop.person, theirs)
    await landed(shop, work, old=theirs)
    run(shop.person, "merge", "-q", "--ff-only", "refs/andon/trunk/main")
    later = gitkit.commit(shop.person, {"c.txt": "again\n"}, "Again")
    assert await read_target(shop.git_dir, "main") == Target(oid=Oid(later), tree=Oid(gitkit.tree(shop.person)), followed=True)
    assert gitkit.ref(shop.person, "refs/andon/trunk/main") == later


async def test_of_two_landings_planned_on_one_trunk_one_lands(shop: Floor) -> None:
    one, two, base = change(shop, {"a.txt": "x\n"}, "one"), change(shop, {"c.txt": "y\n"}, "two"), shop.base
    first, second = await merged(shop, one), await merged(shop, two, landing_id="L2")
    assert isinstance(await landing.move_target(shop.move(first.candidate, first.tree, one)), TargetSwapped)
    lost = await landing.move_target(shop.move(second.candidate, second.tree, two, old=base, landing="L2"))
    assert isinstance(lost, LandingRefused) and lost.oid == first.candidate


async def test_a_lock_that_a_killed_git_left_on_trunk_is_cleared_when_it_is_old(
    shop: Floor, monkeypatch: pytest.MonkeyPatch,
) -> None:
    work = change(shop, {"a.txt": "x\n"})
    done = await merged(shop, work)
    lock = shop.git_dir / "refs/andon/trunk/main.lock"
    lock.parent.mkdir(parents=True)
    lock.touch()
    monkeypatch.setattr(git_module, "_BOTH", (*git_module._BOTH, ("core.filesRefLockTimeout", "100")))
    with pytest.raises(git_module.GitFailed, match="lock"):
        await landing.move_target(shop.move(done.candidate, done.tree, work))
    old = time.time() - git_module.STALE_LOCK_S - 1
    os.utime(lock, (old, old))
    assert isinstance(await landing.move_target(shop.move(done.candidate, done.tree, work)), TargetSwapped)


async def test_a_target_with_a_slash_has_its_own_trunk(tmp_path: Path) -> None:
    shop = floor(tmp_path)
    run(shop.person, "branch", "release/1.0")
    assert isinstance(await read_target(shop.git_dir, "release/1.0"), Target)


# --- the person's branch -----------------------------------------------------------------------------------------------------


def bytes_of(path: Path) -> dict[str, bytes]:
    files = (file for file in path.rglob("*") if file.is_file() and ".git" not in file.parts)
    return {str(file.relative_to(path)): file.read_bytes() for file in files}


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
    trunk = await landed(shop, work)
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
    before, staged, base = bytes_of(shop.person), run(shop.person, "diff", "--cached"), shop.base
    trunk = await landed(shop, work)
    seen = await landing.mirror_target(shop.mirror(trunk))
    assert not seen.advanced and named in seen.because and seen.mend == "git merge --ff-only refs/andon/trunk/main"
    assert bytes_of(shop.person) == before and run(shop.person, "diff", "--cached") == staged and shop.base == base
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
    trunk = await landed(shop, change(shop, {"a.txt": "landed\n", "new.txt": "landed\n"}))
    assert (await landing.mirror_target(shop.mirror(trunk))).advanced
    write(shop.person, {"c.txt": "mine\n"})
    run(shop.person, "add", "-A")
    run(shop.person, "commit", "-qm", "Mine")
    assert [run(shop.person, "show", f"main:{name}") for name in ("a.txt", "new.txt", "c.txt")] == ["landed", "landed", "mine"]


async def test_a_branch_that_nobody_has_checked_out_follows_by_compare_and_swap(shop: Floor) -> None:
    trunk = await landed(shop, change(shop, {"a.txt": "landed\n"}))
    run(shop.person, "checkout", "-q", "-b", "elsewhere")
    write(shop.person, {"a.txt": "my edit\n"})
    before = bytes_of(shop.person)
    assert (await landing.mirror_target(shop.mirror(trunk))).advanced and shop.base == trunk
    assert bytes_of(shop.person) == before


async def test_a_branch_checked_out_in_a_linked_worktree_follows_there(shop: Floor, tmp_path: Path) -> None:
    trunk = await landed(shop, change(shop, {"a.txt": "landed\n"}))
    run(shop.person, "checkout", "-q", "-b", "elsewhere")
    run(shop.person, "worktree", "add", "-q", str(tmp_path / "linked"), "main")
    assert (await landing.mirror_target(shop.mirror(trunk))).advanced
    assert (tmp_path / "linked/a.txt").read_text() == "landed\n" and run(tmp_path / "linked", "status", "--porcelain") == ""
    assert (shop.person / "a.txt").read_text() == "a\n"


async def test_a_branch_under_rebase_looks_free_and_is_left_alone(shop: Floor) -> None:
    trunk = await landed(shop, change(shop, {"a.txt": "landed\n"}))
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
    trunk = await landed(shop, change(shop, {"a.txt": "landed\n"}))
    for name in ("post-merge", "reference-transaction", "post-checkout", "pre-merge-commit", "post-index-change"):
        hook = shop.git_dir / "hooks" / name
        hook.parent.mkdir(exist_ok=True)
        hook.write_text(f"#!/bin/sh\necho {name} >> {tmp_path}/canary\n")
        hook.chmod(0o755)
    assert (await landing.mirror_target(shop.mirror(trunk))).advanced
    assert not (tmp_path / "canary").exists()


async def test_a_driver_that_the_tree_names_and_the_repository_defines_is_not_run(shop: Floor, tmp_path: Path) -> None:
    run(shop.person, "config", "merge.evil.driver", f"touch {tmp_path}/canary; cat %B > %A")
    gitkit.commit(shop.person, {".gitattributes": "*.txt merge=evil\n"}, "Driver")
    work = change(shop, {"b.txt": "one\n2\n3\n"})
    gitkit.commit(shop.person, {"b.txt": "1\n2\nthree\n"}, "Other line")
    done = await landing.merge_candidate(shop.merge(work))
    assert not (tmp_path / "canary").exists()
    assert isinstance(done, CandidateConflicted | CandidateMerged)


async def test_a_lock_in_the_persons_checkout_is_named_and_left(shop: Floor) -> None:
    trunk = await landed(shop, change(shop, {"a.txt": "landed\n"}))
    (shop.git_dir / "index.lock").write_text("")
    seen = await landing.mirror_target(shop.mirror(trunk))
    assert not seen.advanced and "index.lock" in seen.because and (shop.git_dir / "index.lock").exists()
