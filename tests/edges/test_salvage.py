import asyncio
import os
import random
from pathlib import Path

import pytest

import gitkit
from andon.edges import checkout, salvage
from andon.schema.errors import Mistake
from andon.schema.ids import AttemptId
from checkoutkit import Blobs, Floor, floor
from gitkit import run, write

FILES = {"a.txt": "a\n", "b.txt": "b\n", "dir/c.txt": "c\n", ".gitignore": "*.log\nbuild/\n"}
ONE = AttemptId("T1.1")


@pytest.fixture
async def shop(tmp_path: Path) -> Floor:
    shop = floor(tmp_path, FILES)
    await checkout.prepare(shop.prepare(), shop.layout)
    return shop


async def snap(shop: Floor, attempt: str = "T1.1") -> salvage.Salvaged:
    return await salvage.snapshot(shop.git_dir, shop.path(attempt), AttemptId(attempt), shop.base, shop.layout)


def salvaged_blobs(shop: Floor) -> set[str]:
    refs = run(shop.person, "for-each-ref", "--format=%(refname)", "refs/andon/salvage").split()
    return gitkit.reachable_blobs(shop.person, *refs) if refs else set()


def is_safe(shop: Floor, data: bytes) -> bool:
    return gitkit.blob_oid(data, shop.person) in salvaged_blobs(shop)


async def test_an_untouched_checkout_is_its_own_snapshot(shop: Floor) -> None:
    kept = await snap(shop)
    assert (kept.oid, kept.dirty, kept.ref) == (shop.base, False, "refs/andon/salvage/T1.1/0001")
    assert gitkit.ref(shop.person, kept.ref) == shop.base


async def test_a_second_snapshot_of_the_same_content_adds_nothing_and_new_content_a_new_ref(shop: Floor) -> None:
    write(shop.path(), {"a.txt": "edit\n", "new.txt": "new\n"})
    first = await snap(shop)
    assert await snap(shop) == first and first.dirty
    os.utime(shop.path() / "b.txt")
    assert await snap(shop) == first
    write(shop.path(), {"new.txt": "newer\n"})
    second = await snap(shop)
    assert second.oid != first.oid and second.ref.endswith("/0002") and gitkit.ref(shop.person, first.ref) == first.oid
    assert await salvage.latest(shop.git_dir, ONE) == (second.ref, second.oid)


async def test_the_checkout_is_not_changed_by_a_snapshot(shop: Floor) -> None:
    path = shop.path()
    write(path, {"a.txt": "staged\n", "new.txt": "new\n"})
    run(path, "add", "a.txt")
    write(path, {"a.txt": "edited after\n"})
    before = {str(file): (file.read_bytes(), file.stat().st_mtime_ns) for file in path.rglob("*") if file.is_file()}
    await snap(shop)
    after = {str(file): (file.read_bytes(), file.stat().st_mtime_ns) for file in path.rglob("*") if file.is_file()}
    assert after == before
    assert run(shop.person, "status", "--porcelain") == "" and run(shop.person, "branch") == "* main"


async def test_staged_edited_untracked_detached_stashed_and_branched_content_is_kept(shop: Floor) -> None:
    path = shop.path()
    run(path, "checkout", "-q", "-b", "side")
    gitkit.commit(path, {"side.txt": "on a branch\n"}, "Side")
    run(path, "checkout", "-q", "--detach", "andon/T1")
    gitkit.commit(path, {"lost.txt": "detached and left\n"}, "Detached")
    run(path, "checkout", "-q", "andon/T1")
    gitkit.commit(path, {"amended.txt": "before amend\n"}, "Amend me")
    write(path, {"amended.txt": "after amend\n"})
    run(path, "commit", "-qam", "Amended", "--amend")
    write(path, {"b.txt": "stashed\n", "stashed-new.txt": "stashed untracked\n"})
    run(path, "stash", "-q", "-u")
    write(path, {"a.txt": "staged version\n", "gone.txt": "staged then deleted\n"})
    run(path, "add", "-A")
    write(path, {"a.txt": "edited version\n", "gone.txt": None, "dir/new.txt": "untracked\n", "noise.log": "ignored\n"})
    run(path, "tag", "-a", "v1", "-m", "tagged", "side")
    kept = await snap(shop)
    for text in ("on a branch", "detached and left", "before amend", "after amend", "stashed", "stashed untracked",
                 "staged version", "staged then deleted", "edited version", "untracked"):
        assert is_safe(shop, f"{text}\n".encode()), text
    assert not is_safe(shop, b"ignored\n")
    assert kept.dirty and run(shop.person, "rev-parse", f"{kept.oid}^1") == run(path, "rev-parse", "HEAD")


async def test_commits_are_kept_when_the_agent_dropped_every_name_of_them(shop: Floor) -> None:
    gitkit.commit(shop.path(), {"x.txt": "nameless\n"}, "Nameless")
    run(shop.path(), "reset", "-q", "--hard", "HEAD^")
    run(shop.path(), "reflog", "expire", "--expire=now", "--all")
    (shop.path() / ".git/ORIG_HEAD").unlink()
    kept = await snap(shop)
    assert is_safe(shop, b"nameless\n") and not kept.dirty


async def test_packed_work_is_found_too(shop: Floor) -> None:
    gitkit.commit(shop.path(), {"x.txt": "packed\n"}, "Packed")
    run(shop.path(), "checkout", "-q", "-b", "other")
    gitkit.commit(shop.path(), {"y.txt": "packed other\n"}, "Packed other")
    run(shop.path(), "checkout", "-q", "andon/T1")
    run(shop.path(), "gc", "-q")
    run(shop.path(), "pack-refs", "--all")
    kept = await snap(shop)
    assert is_safe(shop, b"packed\n") and is_safe(shop, b"packed other\n")
    assert run(shop.path(), "rev-parse", "HEAD") in run(shop.person, "rev-list", kept.oid)


async def test_an_unfinished_merge_keeps_both_sides_and_the_marked_file(shop: Floor) -> None:
    path = shop.path()
    run(path, "checkout", "-q", "-b", "side")
    gitkit.commit(path, {"a.txt": "theirs\n"}, "Theirs")
    run(path, "checkout", "-q", "andon/T1")
    gitkit.commit(path, {"a.txt": "ours\n"}, "Ours")
    run(path, "merge", "side", check=False)
    run(path, "branch", "-q", "-D", "side")
    marked = (path / "a.txt").read_bytes()
    assert b"<<<<<<<" in marked
    assert (await snap(shop)).dirty
    assert is_safe(shop, marked) and is_safe(shop, b"theirs\n") and is_safe(shop, b"ours\n")


async def test_what_the_agents_index_hides_or_what_it_tracks_against_the_ignores_is_kept(shop: Floor) -> None:
    path = shop.path()
    write(path, {"a.txt": "hidden by assume-unchanged\n", "b.txt": "hidden by skip-worktree\n", "forced.log": "forced\n"})
    run(path, "update-index", "--assume-unchanged", "a.txt")
    run(path, "update-index", "--skip-worktree", "b.txt")
    run(path, "add", "-f", "forced.log")
    write(path, {"forced.log": "forced and edited\n"})
    await snap(shop)
    for text in ("hidden by assume-unchanged", "hidden by skip-worktree", "forced", "forced and edited"):
        assert is_safe(shop, f"{text}\n".encode()), text


async def test_bytes_are_kept_as_they_are_whatever_the_attributes_say(shop: Floor) -> None:
    write(shop.path(), {".gitattributes": "* text=auto eol=lf ident filter=evil working-tree-encoding=UTF-16\n"})
    (shop.path() / "crlf.txt").write_bytes(b"$Id: x$\r\nline\r\n\xff")
    (shop.path() / "odd\nname\\x.txt").write_bytes(b"odd\n")
    await snap(shop)
    assert is_safe(shop, b"$Id: x$\r\nline\r\n\xff") and is_safe(shop, b"odd\n")


async def test_links_are_kept_as_links_and_pipes_are_no_obstacle(shop: Floor, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("not yours\n")
    (shop.path() / "link").symlink_to(tmp_path / "secret")
    os.mkfifo(shop.path() / "pipe")
    os.mkfifo(shop.path() / ".git/logs/pipe")
    (shop.path() / ".git/refs/heads/leak").symlink_to(tmp_path / "secret")
    kept = await snap(shop)
    assert run(shop.person, "ls-tree", kept.oid, "link").startswith("120000") and not is_safe(shop, b"not yours\n")


@pytest.mark.parametrize("state", ["commit", "unborn", "submodule"])
async def test_another_repository_inside_is_refused_by_name(shop: Floor, tmp_path: Path, state: str) -> None:
    inner = shop.path() / "vendor" / "inner"
    if state == "submodule":
        other = gitkit.make_repo(tmp_path / "other")
        run(shop.path(), "-c", "protocol.file.allow=always", "submodule", "add", "-q", str(other), "vendor/inner")
        run(shop.path(), "commit", "-qm", "Submodule")
        write(inner, {"only-here.txt": "x\n"})
    else:
        inner.mkdir(parents=True)
        run(inner, "init", "-q")
        write(inner, {"only-here.txt": "x\n"})
        if state == "commit":
            gitkit.commit(inner, {}, "Inner")
    with pytest.raises(Mistake, match="vendor/inner"):
        await snap(shop)
    assert (inner / "only-here.txt").exists()


async def test_an_uninitialised_submodule_is_no_obstacle(tmp_path: Path) -> None:
    shop = floor(tmp_path, FILES)
    other = gitkit.make_repo(tmp_path / "other")
    run(shop.person, "-c", "protocol.file.allow=always", "submodule", "add", "-q", str(other), "sub")
    run(shop.person, "commit", "-qm", "Submodule")
    await checkout.prepare(shop.prepare(), shop.layout)
    assert not (await snap(shop)).dirty
    write(shop.path(), {"a.txt": "edit\n"})
    kept = await snap(shop)
    assert run(shop.person, "ls-tree", kept.oid, "sub").startswith("160000")


@pytest.mark.parametrize("harm", ["no-git", "link", "bad-index", "bad-head", "no-objects"])
async def test_files_are_kept_even_when_the_agent_broke_its_git_directory(shop: Floor, tmp_path: Path, harm: str) -> None:
    path = shop.path()
    write(path, {"staged.txt": "staged\n"})
    run(path, "add", "staged.txt")
    write(path, {"staged.txt": None, "work.txt": "work\n"})
    if harm == "bad-index":
        (path / ".git/index").write_bytes(b"DIRC garbage")
    elif harm == "bad-head":
        (path / ".git/HEAD").write_text("ref: refs/../../../../etc/passwd\n")
    elif harm == "no-objects":
        (path / ".git/objects").rename(tmp_path / "objects")
    else:
        (path / ".git").rename(tmp_path / "moved")
        if harm == "link":
            (path / ".git").symlink_to(tmp_path / "moved")
    assert (await snap(shop)).dirty
    assert is_safe(shop, b"work\n") and is_safe(shop, b"staged\n") == (harm in ("bad-index", "bad-head"))


async def test_a_snapshot_can_be_laid_out_again_with_what_was_staged_and_what_was_not(shop: Floor, tmp_path: Path) -> None:
    path = shop.path()
    gitkit.commit(path, {"a.txt": "committed\n"}, "Work")
    write(path, {"b.txt": "staged\n"})
    run(path, "add", "b.txt")
    write(path, {"b.txt": "edited\n", "new.txt": "new\n", "dir/c.txt": None})
    run(path, "stash", "push", "-q", "-m", "x", "new.txt", check=False)
    status, head = run(path, "status", "--porcelain"), run(path, "rev-parse", "HEAD")
    await checkout.remove(shop.remove(), shop.layout)
    into = await salvage.restore(shop.git_dir, ONE, tmp_path / "back" / "T1.1", shop.layout)
    assert run(into, "status", "--porcelain") == status and run(into, "rev-parse", "HEAD") == head
    assert (into / "b.txt").read_text() == "edited\n" and run(into, "show", ":b.txt") == "staged"
    with pytest.raises(Mistake, match="exists already"):
        await salvage.restore(shop.git_dir, ONE, into, shop.layout)
    with pytest.raises(Mistake, match="no snapshot"):
        await salvage.restore(shop.git_dir, AttemptId("T9.9"), tmp_path / "nine", shop.layout)
    assert not (tmp_path / "nine").exists()


async def test_what_a_killed_daemon_left_half_made_is_swept_and_nothing_else(shop: Floor) -> None:
    for place in (shop.layout.trash / "T9.1-x", shop.path().with_name(".tmp-T9.1-y"), shop.layout.home / "scratch/.tmp-z"):
        write(place, {"left/over": "x"})
    await salvage.sweep(shop.layout)
    assert shop.path().is_dir() and not list(shop.layout.trash.iterdir())
    assert not shop.path().with_name(".tmp-T9.1-y").exists() and not (shop.layout.home / "scratch/.tmp-z").exists()


async def test_nothing_outside_the_factory_is_ever_destroyed(shop: Floor, tmp_path: Path) -> None:
    write(tmp_path / ".tmp-theirs", {"x": "x"})
    link = shop.path().with_name(".tmp-link")
    link.symlink_to(tmp_path / ".tmp-theirs")
    way = shop.path().with_name("way")
    way.symlink_to(tmp_path)
    for path in (tmp_path / ".tmp-theirs", link, way / ".tmp-theirs", shop.layout.home, shop.person):
        with pytest.raises(Mistake):
            await salvage.destroy(path, shop.layout)
    assert (tmp_path / ".tmp-theirs/x").exists()


# --- random agents -------------------------------------------------------------------------------------------------------------


class Agent:
    """Does things at random and remembers every byte that git did not ignore and that it did not itself throw away."""

    def __init__(self, path: Path, seed: int) -> None:
        self.path, self.dice, self.count = path, random.Random(seed), 0
        self.committed: set[bytes] = set()

    def fresh(self) -> bytes:
        self.count += 1
        return f"content {self.count} {self.dice.random()}\n".encode()

    def edit(self) -> None:
        some = self.dice.randrange(4)
        name = self.dice.choice(["a.txt", "b.txt", "dir/c.txt", f"new{some}.txt", f"d{some}/e.txt"])
        (self.path / name).parent.mkdir(exist_ok=True)
        (self.path / name).write_bytes(self.fresh())

    def delete(self) -> None:
        name = self.dice.choice(["a.txt", "b.txt", "new1.txt"])
        (self.path / name).unlink(missing_ok=True)

    def stage(self) -> None:
        run(self.path, "add", "-A", *(["dir"] if self.dice.random() < 0.3 and (self.path / "dir").is_dir() else []))

    def commit(self) -> None:
        run(self.path, "add", "-A")
        run(self.path, "commit", "-q", "--allow-empty", "-m", "work")
        self.remember("HEAD")

    def amend(self) -> None:
        run(self.path, "commit", "-q", "--amend", "--allow-empty", "-am", "amended")
        self.remember("HEAD")

    def detach(self) -> None:
        run(self.path, "checkout", "-q", "--detach")

    def branch(self) -> None:
        run(self.path, "checkout", "-q", "-b", f"b{self.count}{self.dice.randrange(10**6)}")

    def back(self) -> None:
        run(self.path, "checkout", "-q", "andon/T1", check=False)

    def stash(self) -> None:
        before = run(self.path, "rev-parse", "-q", "--verify", "refs/stash", check=False)
        run(self.path, "stash", "-q", "-u", check=False)
        if run(self.path, "rev-parse", "-q", "--verify", "refs/stash", check=False) not in ("", before):
            for part in ("stash@{0}", "stash@{0}^2", "stash@{0}^3"):
                self.remember(part)

    def tag(self) -> None:
        run(self.path, "tag", f"t{self.dice.randrange(10**6)}")

    def pack(self) -> None:
        run(self.path, "gc", "-q")

    def remember(self, commit: str) -> None:
        for line in run(self.path, "ls-tree", "-r", commit, check=False).splitlines():
            self.committed.add(line.split()[2].encode())

    def act(self, times: int) -> None:
        deeds = [self.edit] * 8 + [self.stage, self.commit] * 2
        deeds += [self.delete, self.amend, self.detach, self.branch, self.back, self.stash, self.tag, self.pack]
        for _ in range(times):
            self.dice.choice(deeds)()

    def holds(self) -> set[str]:
        """The names of everything that must survive: commits ever made, the index, the files."""
        held = {oid.decode() for oid in self.committed}
        held |= {line.split()[1] for line in run(self.path, "ls-files", "-s").splitlines()}
        names = run(self.path, "ls-files", "-co", "--exclude-standard", "-z").split("\0")
        return held | {run(self.path, "hash-object", "--", name) for name in names if name and (self.path / name).is_file()}


@pytest.mark.parametrize("isolation", ["clone", "worktree"])
async def test_every_byte_of_random_agents_is_reachable_after_the_removal(tmp_path: Path, isolation: str) -> None:
    shop = floor(tmp_path, FILES)
    for seed in range(6):
        attempt = f"T1.{seed + 1}"
        await checkout.prepare(shop.prepare(attempt, isolation=isolation), shop.layout)
        if isolation == "worktree":
            run(shop.path(attempt), "checkout", "-q", "-B", "andon/T1")
        agent = Agent(shop.path(attempt), seed)
        agent.act(14)
        if seed % 2:
            await salvage.snapshot(shop.git_dir, shop.path(attempt), AttemptId(attempt), shop.base, shop.layout)
            agent.act(6)
        await checkout.import_work(shop.bring(attempt), shop.layout, Blobs())
        held = agent.holds()
        await checkout.remove(shop.remove(attempt), shop.layout)
        assert held <= (gitkit.reachable_blobs(shop.person) | {gitkit.blob_oid(b"", shop.person)}), f"seed {seed}"
        run(shop.person, "worktree", "prune")
        run(shop.person, "checkout", "-q", "main")


async def test_snapshots_of_many_checkouts_at_once_do_not_disturb_each_other(tmp_path: Path) -> None:
    shop = floor(tmp_path, FILES)
    names = [f"T{n}.1" for n in range(1, 9)]
    await asyncio.gather(*(checkout.prepare(shop.prepare(name), shop.layout) for name in names))
    for name in names:
        write(shop.path(name), {"mine.txt": f"{name}\n"})
    kept = await asyncio.gather(*(snap(shop, name) for name in names))
    assert [run(shop.person, "show", f"{one.ref}:mine.txt") for one in kept] == names
