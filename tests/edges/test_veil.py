"""Checkouts in which paths are hidden: neither files nor git show them, work goes on, and what comes of it still has them."""

import subprocess
from pathlib import Path

import msgspec
import pytest

import gitkit
from andon.edges import checkout, marker, salvage, veil
from andon.schema.effects import PrepareCheckout
from andon.schema.errors import Mistake
from checkoutkit import Blobs, Floor, floor

HIDE = ("tests/hidden/**", "**/secret_*.py")
FILES = {"src/a.py": "a = 1\n", "src/secret_key.py": "key = 'HOLDBACK-1'\n", "tests/test_a.py": "ok\n",
         "tests/hidden/test_b.py": "HOLDBACK-2\n", "tests/hidden/deep/c.txt": "HOLDBACK-3\n", "odd/[x] *.txt": "odd\n"}


@pytest.fixture
def shop(tmp_path: Path) -> Floor:
    return floor(tmp_path, FILES, commits=3)


def veiled(shop: Floor, hide: tuple[str, ...] = HIDE, **more: str) -> PrepareCheckout:
    return msgspec.structs.replace(shop.prepare(**more), hide=hide)  # type: ignore[arg-type] # fields of prepare


def inside(place: Path, *args: str, check: bool = True) -> "subprocess.CompletedProcess[str]":
    """What the agent's own git says."""
    return subprocess.run(("git", *args), cwd=place, capture_output=True, text=True, check=check, timeout=60)


def files(place: Path) -> set[str]:
    """Its files, and its folders without any."""
    found = (path for path in place.rglob("*") if ".git" not in path.relative_to(place).parts)
    return {str(path.relative_to(place)) for path in found if path.is_file() or not list(path.iterdir())}


def everything(place: Path) -> str:
    """All that the agent's git can be made to say of its objects, packed or loose."""
    told = [inside(place, "cat-file", "-p", oid, check=False).stdout for oid in inside(
        place, "cat-file", "--batch-check=%(objectname)", "--batch-all-objects").stdout.split()]
    return "".join(told)


async def test_neither_files_nor_objects_show_what_is_hidden(shop: Floor) -> None:
    made = await checkout.prepare(veiled(shop), shop.layout)
    place = Path(made.path)
    assert files(place) == {"history.txt", "odd/[x] *.txt", "src/a.py", "tests/test_a.py", "tests/hidden"}
    for asked in (("show", "HEAD:src/secret_key.py"), ("show", "HEAD:tests/hidden/test_b.py"), ("log", "-p", "--all"),
                  ("grep", "HOLDBACK", "HEAD"), ("checkout", "HEAD", "--", "src/secret_key.py"), ("sparse-checkout", "disable")):
        done = inside(place, *asked, check=False)
        assert "HOLDBACK" not in done.stdout + done.stderr, asked
    assert "HOLDBACK" not in everything(place) and "a = 1" in everything(place)
    assert not (place / ".git/objects/info/alternates").exists()


async def test_git_works_as_ever_and_what_comes_of_it_still_has_the_hidden_files(shop: Floor) -> None:
    made = await checkout.prepare(veiled(shop), shop.layout)
    place = Path(made.path)
    assert inside(place, "status", "--porcelain").stdout == ""
    (place / "src/a.py").write_text("a = 2\n")
    (place / "tests/test_new.py").write_text("new\n")
    inside(place, "add", "-A")
    inside(place, "commit", "-qm", "work")
    (place / "src/a.py").write_text("a = 3\n")
    inside(place, "commit", "-qam", "more work")
    inside(place, "rebase", "-q", "HEAD~1")
    inside(place, "stash", "list")
    assert inside(place, "status", "--porcelain").stdout == "" and inside(place, "fsck").returncode == 0
    read = await checkout.import_work(shop.bring(), shop.layout, Blobs())
    assert (read.refused, read.dirty, read.descends) == ("", False, True) and set(read.paths) == {"src/a.py", "tests/test_new.py"}
    assert gitkit.run(shop.person, "show", f"{read.commit}:tests/hidden/test_b.py") == "HOLDBACK-2"
    assert gitkit.run(shop.person, "show", f"{read.commit}:src/secret_key.py") == "key = 'HOLDBACK-1'"


async def test_uncommitted_work_is_kept_with_the_hidden_files_and_what_an_agent_put_in_their_place(shop: Floor) -> None:
    made = await checkout.prepare(veiled(shop), shop.layout)
    place = Path(made.path)
    (place / "src/a.py").write_text("a = 5\n")
    (place / "src/secret_key.py").write_text("mine\n")
    kept = await salvage.snapshot(shop.git_dir, place, shop.prepare().attempt, shop.base, shop.layout)
    shown = {path: gitkit.run(shop.person, "show", f"{kept.oid}:{path}") for path in
             ("src/a.py", "src/secret_key.py", "tests/hidden/test_b.py")}
    assert kept.dirty and shown == {"src/a.py": "a = 5", "src/secret_key.py": "mine", "tests/hidden/test_b.py": "HOLDBACK-2"}
    gone = await checkout.remove(shop.remove(), shop.layout)
    assert gone.oid == kept.oid and not files(place)


async def test_untouched_it_holds_nothing_that_no_commit_has(shop: Floor) -> None:
    made = await checkout.prepare(veiled(shop), shop.layout)
    kept = await salvage.snapshot(shop.git_dir, Path(made.path), shop.prepare().attempt, shop.base, shop.layout)
    assert not kept.dirty and kept.oid == shop.base


async def test_a_hidden_content_cannot_be_smuggled_to_a_path_that_is_seen(shop: Floor) -> None:
    made = await checkout.prepare(veiled(shop), shop.layout)
    place = Path(made.path)
    oid = inside(place, "ls-tree", "HEAD", "tests/hidden/test_b.py").stdout.split()[2]  # names and ids can be told
    inside(place, "update-index", "--add", "--cacheinfo", f"100644,{oid},src/leak.py")
    tree = inside(place, "write-tree", "--missing-ok").stdout.strip()
    commit = inside(place, "commit-tree", tree, "-p", "HEAD", "-m", "leak").stdout.strip()
    inside(place, "update-ref", "HEAD", commit)
    read = await checkout.import_work(shop.bring(), shop.layout, Blobs())
    assert "content of a hidden path" in read.refused and read.commit == shop.base


async def test_an_attempt_that_goes_on_from_another_gets_its_commits_and_nothing_hidden(shop: Floor) -> None:
    first = await checkout.prepare(veiled(shop), shop.layout)
    (Path(first.path) / "src/a.py").write_text("a = 9\n")
    inside(Path(first.path), "commit", "-qam", "first")
    read = await checkout.import_work(shop.bring(), shop.layout, Blobs())
    again = await checkout.prepare(veiled(shop, attempt="T1.2", start=read.commit, previous=read.commit), shop.layout)
    place = Path(again.path)
    assert (place / "src/a.py").read_text() == "a = 9\n"
    assert inside(place, "rev-parse", "andon/previous").stdout.strip() == read.commit
    assert inside(place, "log", "--format=%s").stdout.split()[0] == "first" and "HOLDBACK" not in everything(place)
    (place / "src/a.py").write_text("a = 10\n")
    inside(place, "commit", "-qam", "second")
    more = await checkout.import_work(shop.bring("T1.2"), shop.layout, Blobs())
    assert more.refused == "" and more.paths == ("src/a.py",)


async def test_what_an_earlier_attempt_carried_elsewhere_is_not_handed_to_the_next(shop: Floor) -> None:
    """Its snapshot may hold a hidden content at a path that is seen: the next one is offered the snapshot, not that."""
    leak = gitkit.commit(shop.person, {"src/leak.py": FILES["src/secret_key.py"], "src/b.py": "b = 1\n"}, "leak")
    gitkit.run(shop.person, "reset", "-q", "--hard", "HEAD~1")
    made = await checkout.prepare(veiled(shop, previous=leak), shop.layout)
    place = Path(made.path)
    assert "HOLDBACK" not in everything(place) and inside(place, "show", "andon/previous:src/b.py").stdout == "b = 1\n"


async def test_a_content_that_is_seen_elsewhere_anyway_is_there(shop: Floor) -> None:
    gitkit.commit(shop.person, {"src/open.py": FILES["src/secret_key.py"]}, "the same, in the open")
    made = await checkout.prepare(veiled(shop), shop.layout)
    assert (Path(made.path) / "src/open.py").read_text() == FILES["src/secret_key.py"]
    assert inside(Path(made.path), "status", "--porcelain").stdout == ""


async def test_the_agents_own_configuration_runs_nothing_when_its_work_is_taken(shop: Floor, tmp_path: Path) -> None:
    made = await checkout.prepare(veiled(shop), shop.layout)
    place = Path(made.path)
    (place / "src/a.py").write_text("a = 2\n")
    inside(place, "commit", "-qam", "work")
    for key, value in (("remote.andon-hidden.url", str(shop.person)), ("remote.andon-hidden.uploadpack", f"touch {tmp_path}/ran"),
                       ("uploadpack.packObjectsHook", f"touch {tmp_path}/ran"), ("core.fsmonitor", f"touch {tmp_path}/ran")):
        inside(place, "config", key, value)
    read = await checkout.import_work(shop.bring(), shop.layout, Blobs())
    assert read.refused == "" and not (tmp_path / "ran").exists()


async def test_a_linked_worktree_hides_nothing_and_is_refused(shop: Floor) -> None:
    with pytest.raises(Mistake, match="linked worktree"):
        await checkout.prepare(veiled(shop, isolation="worktree"), shop.layout)


async def test_killed_before_it_was_whole_it_is_made_anew(shop: Floor) -> None:
    effect = veiled(shop)
    first = await checkout.prepare(effect, shop.layout)
    place = Path(first.path)
    known = marker.read(place)
    assert known is not None and known.hide == HIDE
    marker.write(place, msgspec.structs.replace(known, ready=False))
    assert (await checkout.prepare(effect, shop.layout)).path == first.path


@pytest.mark.parametrize(("globs", "wanted"), [
    (("tests/**",), ("tests",)), (("tests",), ("tests",)), (("tests/*",), ("tests",)), (("tests/*.py",), ("tests/test_a.py",)),
    (("**/secret_*.py",), ("src/secret_key.py",)), (("tests/hidden/**", "src/a.py"), ("src/a.py", "tests/hidden")), ((), ()),
    (("odd/[x] *.txt",), ("odd/[x] *.txt",)), (("nothing/**",), ()),
])
def test_globs_become_whole_folders_or_single_files(globs: tuple[str, ...], wanted: tuple[str, ...]) -> None:
    assert tuple(sorted(veil.covered(sorted(FILES), globs))) == wanted


def test_too_many_single_paths_are_refused_with_a_mend() -> None:
    with pytest.raises(Mistake, match="1200 paths"):
        veil.covered([f"src/secret_{n}.py" for n in range(1200)], HIDE)
