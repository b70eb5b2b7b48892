import asyncio
import random
from pathlib import Path

import pytest

import gitkit
from andon.edges import landing, merging
from andon.schema.inputs import CandidateConflicted, CandidateMerged, EffectFailed
from checkoutkit import Floor, floor
from gitkit import run
from landingkit import change, clashed, files_in, land, merged

FILES = {"a.txt": "a\n", "b.txt": "1\n2\n3\n4\n5\n6\n7\n8\n9\n", "c.txt": "c\n"}
HOWS = ("merge", "squash", "rebase")


@pytest.fixture
def shop(tmp_path: Path) -> Floor:
    return floor(tmp_path, FILES)


def three(shop: Floor) -> list[str]:
    """Changes of different files, each of two commits."""
    heads = []
    for n in range(3):
        change(shop, {f"n{n}.txt": "x\n"}, f"t{n}", message=f"First of {n}")
        signed = f"Second of {n}\n\nSigned-off-by: A <a@b.c>"
        heads.append(change(shop, {f"n{n}.txt": "x\ny\n"}, f"t{n}", onto=f"t{n}", message=signed))
    gitkit.commit(shop.person, {"c.txt": "meanwhile\n"}, "Meanwhile")
    return heads


# --- the commits -------------------------------------------------------------------------------------------------------------


async def test_a_candidate_is_a_true_merge_commit_with_the_same_name_each_time(shop: Floor) -> None:
    work = change(shop, {"a.txt": "better\n"})
    gitkit.commit(shop.person, {"c.txt": "meanwhile\n"}, "Meanwhile")
    member = shop.member(work, title="Make\nit  better", trailers=("Andon-Task: T1", "Andon-Attempt: T1.2"))
    effect = shop.merge(member)
    done = await merged(effect)
    assert run(shop.person, "show", "-s", "--format=%P|%an <%ae>|%at|%ct", done.candidate) == (
        f"{shop.base} {work}|Andon <andon@localhost>|1700000000|1700000000")
    assert run(shop.person, "show", "-s", "--format=%B", done.candidate).rstrip() == (
        f"Land T1: Make it better\n\nAndon-Task: T1\nAndon-Attempt: T1.2\nAndon-Change: {work}")
    assert gitkit.tree(shop.person, done.candidate) == done.tree and gitkit.ref(shop.person, "refs/andon/cand/L1") == done.candidate
    run(shop.person, "update-ref", "-d", "refs/andon/cand/L1")
    assert await landing.merge_candidate(effect) == done
    assert gitkit.ref(shop.person, "refs/andon/cand/L1") == done.candidate


@pytest.mark.parametrize("how", HOWS)
async def test_a_shorter_queue_comes_to_the_first_steps_of_a_longer_one(shop: Floor, how: str) -> None:
    heads = three(shop)
    long = await merged(shop.merge(*heads, how=how))
    assert [step.task for step in long.steps] == ["T1", "T2", "T3"] and long.steps[-1].commit == long.candidate
    for n in (1, 2):
        short = await merged(shop.merge(*heads[:n], how=how, landing="L2"))
        assert short.steps == long.steps[:n] and short.tree == long.steps[n - 1].tree


async def test_a_squash_is_one_commit_each_with_the_tree_of_the_true_merge(shop: Floor) -> None:
    heads = three(shop)
    true, squashed = await merged(shop.merge(*heads)), await merged(shop.merge(*heads, how="squash", landing="L2"))
    assert [step.tree for step in squashed.steps] == [step.tree for step in true.steps]
    assert run(shop.person, "rev-list", "--reverse", f"{shop.base}..{squashed.candidate}").split() == [
        step.commit for step in squashed.steps]
    said = run(shop.person, "show", "-s", "--format=%B", squashed.candidate).rstrip()
    assert said == f"Land T3: Do it\n\nAndon-Task: T3\nAndon-Change: {heads[2]}"


async def test_a_rebase_keeps_authors_and_messages_and_says_whose_each_commit_is(shop: Floor) -> None:
    heads = three(shop)
    done = await merged(shop.merge(*heads, how="rebase"))
    lines = run(shop.person, "log", "--reverse", "--format=%an|%cn|%at|%ct|%s|%(trailers:key=Andon-Task,valueonly,separator=%x2C)",
                f"{shop.base}..{done.candidate}").splitlines()
    dates = [run(shop.person, "show", "-s", "--format=%at", one) for head in heads for one in (f"{head}^", head)]
    assert lines == [f"Test|Andon|{date}|1700000000|{which} of {n // 2}|T{n // 2 + 1}"
                     for n, (date, which) in enumerate(zip(dates, ("First", "Second") * 3, strict=True))]
    assert run(shop.person, "show", "-s", "--format=%B", done.candidate).rstrip() == (
        f"Second of 2\n\nSigned-off-by: A <a@b.c>\nAndon-Task: T3\nAndon-Change: {heads[2]}")
    assert run(shop.person, "rev-list", "--merges", f"{shop.base}..{done.candidate}") == ""


async def test_a_rebase_that_does_not_come_to_the_tree_of_the_merge_says_so(shop: Floor) -> None:
    change(shop, {"a.txt": "mine\n"}, "task")
    gitkit.commit(shop.person, {"a.txt": "theirs\n"}, "Theirs")
    run(shop.person, "checkout", "-q", "task")
    run(shop.person, "merge", "-q", "-s", "ours", "main", "-m", "Settled")
    head = run(shop.person, "rev-parse", "HEAD")
    run(shop.person, "checkout", "-q", "main")
    gitkit.commit(shop.person, {"c.txt": "later\n"}, "Later")
    assert isinstance(await landing.merge_candidate(shop.merge(head)), CandidateMerged)
    failed = await landing.merge_candidate(shop.merge(head, how="rebase"))
    assert isinstance(failed, EffectFailed) and not failed.transient and "replayed" in failed.problem.what


@pytest.mark.parametrize("how", HOWS)
async def test_a_green_tip_stands_on_what_is_proven_and_leads_to_the_steps(shop: Floor, how: str) -> None:
    heads = three(shop)
    done = await merged(shop.merge(*heads, how=how, green=True))
    assert run(shop.person, "show", "-s", "--format=%P|%T|%ct", done.candidate) == (
        f"{shop.base} {done.steps[-1].commit}|{done.tree}|1700000500")
    assert run(shop.person, "rev-list", "--count", "--first-parent", f"{shop.base}..{done.candidate}") == "1"
    alone = await merged(shop.merge(heads[0], how=how, green=True, landing="L2"))
    assert run(shop.person, "rev-list", "--count", "--first-parent", f"{shop.base}..{alone.candidate}") == "1"


@pytest.mark.parametrize("how", HOWS)
async def test_a_change_that_trunk_holds_already_is_no_step(shop: Floor, how: str) -> None:
    held, new = change(shop, {"a.txt": "x\n"}, "held"), change(shop, {"c.txt": "y\n"}, "new")
    run(shop.person, "merge", "-q", "--no-ff", "held", "-m", "Merged by hand")
    done = await merged(shop.merge(held, new, how=how))
    assert done.steps[0].commit == shop.base and done.steps[0].tree == gitkit.tree(shop.person)
    assert run(shop.person, "rev-list", "--count", "--first-parent", f"{shop.base}..{done.candidate}") == "1"
    assert (await merged(shop.merge(held, how=how))).candidate == shop.base


@pytest.mark.parametrize("how", HOWS)
async def test_a_stack_lands_in_one_candidate_although_its_changes_touch_the_same_lines(shop: Floor, how: str) -> None:
    parent = change(shop, {"b.txt": FILES["b.txt"].replace("5", "five")}, "parent")
    child = change(shop, {"b.txt": FILES["b.txt"].replace("5", "five and more")}, "child", onto=parent)
    gitkit.commit(shop.person, {"c.txt": "meanwhile\n"}, "Meanwhile")
    done = await merged(shop.merge(parent, child, how=how))
    assert "five and more" in run(shop.person, "show", f"{done.candidate}:b.txt")


@pytest.mark.parametrize("how", HOWS)
async def test_a_child_whose_parent_landed_before_meets_no_conflict_with_it(shop: Floor, how: str) -> None:
    change(shop, {"a.txt": "first\n"}, "parent")
    parent = change(shop, {"b.txt": FILES["b.txt"].replace("5", "five")}, "parent", onto="parent")
    child = change(shop, {"b.txt": FILES["b.txt"].replace("5", "five and more"), "a.txt": "third\n"}, "child", onto=parent)
    grandchild = change(shop, {"b.txt": FILES["b.txt"].replace("5", "six")}, "grandchild", onto=child)
    gitkit.commit(shop.person, {"c.txt": "meanwhile\n"}, "Meanwhile")
    trunk = await land(shop, parent, how=how)
    trunk = await land(shop, child, old=trunk, how=how, name="L2")
    trunk = await land(shop, grandchild, child, old=trunk, how=how, name="L3")
    assert files_in(shop.person, trunk) == {
        "a.txt": "third", "b.txt": FILES["b.txt"].replace("5", "six").strip(), "c.txt": "meanwhile"}


@pytest.mark.parametrize("how", ["squash", "rebase"])
async def test_a_message_that_claims_that_something_landed_is_not_believed(shop: Floor, how: str) -> None:
    parent = change(shop, {"a.txt": "parent's\n"}, "parent")
    child = change(shop, {"c.txt": "child's\n"}, "child", onto=parent)
    gitkit.commit(shop.person, {"b.txt": "other\n"}, f"Other\n\nAndon-Change: {parent}")
    trunk = await land(shop, child, how=how)
    assert files_in(shop.person, trunk) == {"a.txt": "parent's", "b.txt": "other", "c.txt": "child's"}


async def test_candidates_outlive_the_persons_housekeeping(shop: Floor) -> None:
    done = await merged(shop.merge(*three(shop), how="squash"))
    run(shop.person, "reflog", "expire", "--expire=now", "--all")
    run(shop.person, "gc", "-q", "--prune=now")
    assert [gitkit.tree(shop.person, step.commit) for step in done.steps] == [step.tree for step in done.steps]


async def test_old_candidates_are_let_go_of_and_the_newest_stay(shop: Floor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(merging, "KEPT", 2)
    work = change(shop, {"a.txt": "x\n"})
    for name in ("L9", "L30", "L31", "L32"):
        await merged(shop.merge(work, landing=name))
    assert run(shop.person, "for-each-ref", "--format=%(refname:lstrip=3)", "refs/andon/cand").split() == ["L31", "L32"]


# --- conflicts ---------------------------------------------------------------------------------------------------------------


async def test_conflicts_name_their_paths(shop: Floor) -> None:
    work = change(shop, {"a.txt": "mine\n", "sp ace ü.txt": "x\n"})
    gitkit.commit(shop.person, {"a.txt": "theirs\n", "sp ace ü.txt": "y\n"}, "Theirs")
    done = await clashed(shop.merge(work))
    assert (set(done.paths), done.task, done.against) == ({"a.txt", "sp ace ü.txt"}, "T1", "")
    assert "CONFLICT (content): Merge conflict in a.txt" in done.message and "CONFLICT (add/add)" in done.message
    assert not gitkit.ref(shop.person, "refs/andon/cand/L1") and run(shop.person, "status", "--porcelain") == ""


async def test_a_conflict_with_an_earlier_member_names_that_one(shop: Floor) -> None:
    heads = [change(shop, {"b.txt": FILES["b.txt"].replace(line, "mine")}, f"t{n}") for n, line in enumerate(("1", "5", "9"))]
    last = change(shop, {"b.txt": FILES["b.txt"].replace("5", "other")}, "last")
    done = await clashed(shop.merge(*heads, last))
    assert (done.task, done.against, done.paths) == ("T4", "T2", ("b.txt",))


async def test_a_conflict_with_trunk_alone_blames_no_member(shop: Floor) -> None:
    good, bad = change(shop, {"c.txt": "x\n"}, "good"), change(shop, {"a.txt": "mine\n"}, "bad")
    gitkit.commit(shop.person, {"a.txt": "theirs\n"}, "Theirs")
    done = await clashed(shop.merge(good, bad))
    assert (done.task, done.against) == ("T2", "")


async def test_a_file_moved_by_a_directory_rename_is_asked_about_not_guessed(shop: Floor) -> None:
    gitkit.commit(shop.person, {f"old/{n}.txt": f"{n}\n" * 9 for n in range(4)}, "A directory")
    work = change(shop, {"old/new.txt": "new\n"})
    run(shop.person, "mv", "old", "renamed")
    gitkit.commit(shop.person, {}, "Rename")
    assert "file location" in (await clashed(shop.merge(work))).message


async def test_a_file_that_was_renamed_takes_the_change_along(shop: Floor) -> None:
    work = change(shop, {"b.txt": FILES["b.txt"].replace("5", "five")})
    run(shop.person, "mv", "b.txt", "renamed.txt")
    gitkit.commit(shop.person, {}, "Rename")
    done = await merged(shop.merge(work))
    assert "five" in run(shop.person, "show", f"{done.candidate}:renamed.txt")


async def test_what_was_settled_once_is_not_replayed_silently(shop: Floor) -> None:
    """rerere of the person's has no say."""
    run(shop.person, "config", "rerere.enabled", "true")
    work = change(shop, {"a.txt": "mine\n"})
    base = shop.base
    gitkit.commit(shop.person, {"a.txt": "theirs\n"}, "Theirs")
    run(shop.person, "merge", "-q", "task", check=False)
    gitkit.commit(shop.person, {"a.txt": "settled\n"}, "Settled by hand")
    run(shop.person, "reset", "-q", "--hard", base)
    gitkit.commit(shop.person, {"a.txt": "theirs\n"}, "Theirs")
    assert (await clashed(shop.merge(work))).paths == ("a.txt",)


async def test_a_submodule_moved_on_both_sides_is_a_conflict_not_a_guess(shop: Floor) -> None:
    def pointer(oid: str) -> str:
        run(shop.person, "update-index", "--add", "--cacheinfo", f"160000,{oid},lib")
        run(shop.person, "commit", "-qm", "Pointer")
        return run(shop.person, "rev-parse", "HEAD")

    pointer("1" * 40)
    run(shop.person, "checkout", "-q", "-b", "task")
    work = pointer("2" * 40)
    run(shop.person, "checkout", "-q", "main")
    pointer("3" * 40)
    assert "submodule" in (await clashed(shop.merge(work))).message


# --- attributes --------------------------------------------------------------------------------------------------------------


def both_sides(shop: Floor, attributes: str, where: str = ".gitattributes") -> str:
    """A change and trunk that change different lines of b.txt, under these attributes."""
    gitkit.commit(shop.person, {where: attributes}, "Attributes")
    work = change(shop, {"b.txt": FILES["b.txt"].replace("1", "one")})
    gitkit.commit(shop.person, {"b.txt": FILES["b.txt"].replace("9", "nine")}, "Other line")
    return work


@pytest.mark.parametrize("attributes", ["*.txt merge=evil\n", "*.txt merge=union\n", "*.txt -merge\n", "b.txt binary\n",
                                        "[attr]odd merge=evil\n*.txt odd\n"])
async def test_what_attributes_would_merge_otherwise_is_not_merged_by_lines(shop: Floor, attributes: str, tmp_path: Path) -> None:
    run(shop.person, "config", "merge.evil.driver", f"touch {tmp_path}/canary; cat %B > %A")
    done = await clashed(shop.merge(both_sides(shop, attributes)))
    assert done.paths == ("b.txt",) and (done.task, done.against) == ("T1", "") and ".gitattributes" in done.message
    assert not (tmp_path / "canary").exists()


@pytest.mark.parametrize("attributes", ["*.txt merge=text\n", "*.md merge=evil\n", "*.txt merge\n", "*.txt text=auto\n"])
async def test_plain_attributes_and_those_of_other_files_do_not_matter(shop: Floor, attributes: str) -> None:
    done = await merged(shop.merge(both_sides(shop, attributes)))
    assert {"one", "nine"} < set(run(shop.person, "show", f"{done.candidate}:b.txt").split())


async def test_attributes_of_the_repository_itself_count_too(shop: Floor) -> None:
    work = both_sides(shop, "*.md text\n")
    (shop.git_dir / "info").mkdir(exist_ok=True)
    (shop.git_dir / "info/attributes").write_text("b.txt -merge\n")
    assert (await clashed(shop.merge(work))).paths == ("b.txt",)


async def test_attributes_hold_below_the_folder_that_names_them(shop: Floor) -> None:
    gitkit.commit(shop.person, {"sub/.gitattributes": "*.txt merge=evil\n", "sub/s.txt": FILES["b.txt"]}, "Sub")
    work = change(shop, {"sub/s.txt": FILES["b.txt"].replace("1", "one"), "b.txt": FILES["b.txt"].replace("1", "one")})
    nine = FILES["b.txt"].replace("9", "nine")
    gitkit.commit(shop.person, {"sub/s.txt": nine, "b.txt": nine}, "Nine")
    assert (await clashed(shop.merge(work))).paths == ("sub/s.txt",)


async def test_an_allowed_driver_runs_and_only_for_the_files_that_name_it(shop: Floor) -> None:
    run(shop.person, "config", "merge.glue.driver", "cat %A %B > glued && cat glued > %A && rm glued")
    work = both_sides(shop, "b.txt merge=glue\n")
    done = await merged(shop.merge(work, drivers=("glue",)))
    assert run(shop.person, "show", f"{done.candidate}:b.txt").splitlines() == [*"12345678", "nine", "one", *"23456789"]


async def test_an_allowed_driver_that_nobody_defined_is_told_and_not_retried(shop: Floor) -> None:
    failed = await landing.merge_candidate(shop.merge(both_sides(shop, "b.txt merge=glue\n"), drivers=("glue",)))
    assert isinstance(failed, EffectFailed) and not failed.transient and "merge.glue.driver" in failed.problem.mend


async def test_union_runs_when_it_is_allowed(shop: Floor) -> None:
    gitkit.commit(shop.person, {".gitattributes": "a.txt merge=union\n"}, "Union")
    work = change(shop, {"a.txt": "mine\n"})
    gitkit.commit(shop.person, {"a.txt": "theirs\n"}, "Theirs")
    assert isinstance(await landing.merge_candidate(shop.merge(work)), CandidateConflicted)
    done = await merged(shop.merge(work, drivers=("union",)))
    assert set(run(shop.person, "show", f"{done.candidate}:a.txt").split()) == {"mine", "theirs"}


# --- failures ----------------------------------------------------------------------------------------------------------------


async def test_a_commit_that_does_not_exist_is_a_failure_not_an_exception(shop: Floor) -> None:
    done = await landing.merge_candidate(shop.merge("0" * 39 + "1"))
    assert isinstance(done, EffectFailed) and not done.transient and done.subject == "L1"


async def test_unrelated_history_is_not_merged(shop: Floor) -> None:
    run(shop.person, "checkout", "-q", "--orphan", "alien")
    alien = gitkit.commit(shop.person, {"z": "z"}, "Alien")
    run(shop.person, "checkout", "-q", "main")
    done = await landing.merge_candidate(shop.merge(alien))
    assert isinstance(done, EffectFailed) and not done.transient and "no history" in done.problem.what


async def test_settings_of_the_persons_have_no_say_in_what_is_merged(shop: Floor) -> None:
    effect = shop.merge(*three(shop))
    before = await merged(effect)
    for key, value in (("merge.renames", "false"), ("merge.conflictStyle", "diff3"), ("user.name", "Someone"),
                       ("i18n.commitEncoding", "latin1"), ("commit.gpgSign", "true"), ("core.attributesFile", "/nonesuch")):
        run(shop.person, "config", key, value)
    assert await landing.merge_candidate(effect) == before


# --- the tree is the fold of three-way merges ----------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
async def test_the_tree_is_the_fold_of_merges_and_the_union_of_disjoint_edits(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    names = [f"f{n}.txt" for n in range(6)]
    text = {name: [f"{name} {n}" for n in range(30)] for name in names}
    shop = floor(tmp_path, {name: "\n".join(lines) + "\n" for name, lines in text.items()})
    spots = [(name, row) for name in names for row in range(0, 30, 3)]
    chance.shuffle(spots)
    heads, want = [], {name: list(lines) for name, lines in text.items()}
    for n in range(5):
        mine = {name: list(lines) for name, lines in text.items()}
        for name, row in [spots.pop() for _ in range(4)]:
            mine[name][row] = want[name][row] = f"edit of {n}"
        heads.append(change(shop, {name: "\n".join(lines) + "\n" for name, lines in mine.items()}, f"t{n}"))
    clashing = change(shop, {names[0]: "\n".join(f"other {n}" for n in range(30)) + "\n"}, "clashing")
    how = HOWS[seed % 3]
    done = await merged(shop.merge(*heads, how=how))
    assert files_in(shop.person, done.candidate) == {name: "\n".join(lines) for name, lines in want.items()}
    run(shop.person, "checkout", "-q", "--detach", "main")
    for step, head in zip(done.steps, heads, strict=True):
        run(shop.person, "merge", "-q", "--no-ff", head, "-m", "by hand")
        assert gitkit.tree(shop.person) == step.tree
    by_hand = run(shop.person, "merge", "-q", "--no-ff", clashing, "-m", "by hand", check=False)
    assert "CONFLICT" in by_hand and run(shop.person, "diff", "--name-only", "--diff-filter=U") == names[0]
    assert (await clashed(shop.merge(*heads, clashing, how=how, landing="L2"))).paths == (names[0],)


def test_the_order_of_candidates_built_at_once_does_not_matter(shop: Floor) -> None:
    heads = three(shop)

    async def all_at_once() -> list[object]:
        effects = [shop.merge(*heads[:n], landing=f"L{n}") for n in (1, 2, 3)]
        return list(await asyncio.gather(*(landing.merge_candidate(effect) for effect in effects)))

    first = asyncio.run(all_at_once())
    assert asyncio.run(all_at_once()) == first and all(isinstance(one, CandidateMerged) for one in first)
    assert merging.HOWS == HOWS
