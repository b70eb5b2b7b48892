"""What is said about live changes before anybody merges them, on real repositories and against merging everything."""

import random
import shutil
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from itertools import combinations
from pathlib import Path

import pytest

import gitkit
from andon.edges import checkout, forecast as module, whatif, worktree_tree
from andon.edges.forecast import Forecast, Head, Outlook
from andon.edges.git import environ
from andon.schema.errors import Mistake
from andon.schema.ids import Oid, TaskId
from andon.schema.landing_events import Hunk
from andon.schema.landing_inputs import Clash
from checkoutkit import Floor, floor

LINES = "".join(f"line {n}\n" for n in range(1, 41))
X, Y = "x\n" * 30, "y\n" * 30
Files = dict[str, str | None]


def changed(*places: tuple[int, str], text: str = LINES) -> str:
    """The text with lines (from 1) replaced."""
    lines = text.splitlines()
    for number, put in places:
        lines[number - 1] = put
    return "\n".join(lines) + "\n"


class Shop:
    """A repository with live branches, and its forecast."""

    def __init__(self, path: Path, room: Path, files: dict[str, str]) -> None:
        self.path, self.room = gitkit.make_repo(path, files), room
        self.forecast = Forecast(path / ".git", room)
        self.heads: list[Head] = []

    @property
    def trunk(self) -> Oid:
        return Oid(gitkit.ref(self.path, "refs/heads/main"))

    def branch(self, files: Files, onto: str = "main", **fields: object) -> TaskId:
        """One more live change."""
        task = TaskId(f"T{len(self.heads) + 1}")
        gitkit.run(self.path, "checkout", "-q", "-B", task, onto)
        self.heads.append(Head(task, Oid(gitkit.commit(self.path, files, task)), **fields))  # type: ignore[arg-type]
        gitkit.run(self.path, "checkout", "-q", "main")
        return task

    def on_main(self, files: Files) -> Oid:
        return Oid(gitkit.commit(self.path, files, "main goes on"))

    async def look(self) -> Outlook:
        return await self.forecast.outlook(self.trunk, self.heads)


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[Shop]:
    made = Shop(tmp_path / "repo", tmp_path / "room", {"a.py": LINES, "b.py": LINES, "src/x.py": X, "src/y.py": Y})
    yield made
    made.forecast.close()
    assert not list((tmp_path / "room").iterdir())


def only(outlook: Outlook) -> Clash:
    assert len(outlook.clashes) == 1, outlook
    return outlook.clashes[0]


def git_dir_files(path: Path) -> dict[str, bytes]:
    """Every file of a directory but those that the daemon's reading keeps apart for itself."""
    return {str(file.relative_to(path)): file.read_bytes() for file in sorted(path.rglob("*"))
            if file.is_file() and "andon/room" not in str(file)}


# --- what is said --------------------------------------------------------------------------------------------------------


async def test_two_changes_of_the_same_lines_are_hot_and_the_place_is_named_in_the_targets_version(shop: Shop) -> None:
    one = shop.branch({"a.py": changed((7, "seven"), (8, "eight"), (30, "thirty"))})
    other = shop.branch({"a.py": "new top\n" + changed((8, "acht"))})
    clash = only(await shop.look())
    assert (clash.one, clash.other, clash.kind) == (one, other, "hot")
    assert clash.hunks == (Hunk(path="a.py", line=7, count=2, kind="content"),)
    assert clash.heads == (shop.heads[0].commit, shop.heads[1].commit)


async def test_two_changes_of_one_file_in_different_places_are_soft(shop: Shop) -> None:
    shop.branch({"a.py": changed((2, "two"))})
    shop.branch({"a.py": changed((30, "thirty"))})
    clash = only(await shop.look())
    assert (clash.kind, clash.hunks) == ("soft", (Hunk(path="a.py", kind="file"),))


async def test_changes_that_touch_nothing_in_common_do_not_clash_and_are_said_to_be_compared(shop: Shop) -> None:
    tasks = (shop.branch({"a.py": changed((2, "two"))}), shop.branch({"b.py": changed((2, "two"))}))
    assert await shop.look() == Outlook(compared=tasks)


async def test_different_files_of_one_contract_group_are_soft(shop: Shop) -> None:
    shop.forecast.regroup(lambda path: ("api",) if path.startswith("src/") else ())
    shop.branch({"src/x.py": "x\n" * 31})
    shop.branch({"src/y.py": "y\n" * 31})
    shop.branch({"a.py": changed((2, "two"))})
    clash = only(await shop.look())
    assert clash.kind == "soft"
    assert clash.hunks == (Hunk(path="src/x.py", kind="contract"), Hunk(path="src/y.py", kind="contract"))


@pytest.mark.parametrize(("one", "other", "path", "kind"), [
    ({"new.py": "a\n"}, {"new.py": "b\n"}, "new.py", "add"),
    ({"a.py": None}, {"a.py": changed((2, "two"))}, "a.py", "delete"),
    ({"a.py": None, "moved.py": LINES}, {"a.py": None, "shifted.py": LINES}, "a.py", "rename"),
    ({"src/x.py": None, "src/y.py": None, "lib/x.py": X, "lib/y.py": Y}, {"src/new.py": "n\n"}, "lib/new.py", "rename"),
    ({"thing": "a file\n"}, {"thing/part.py": "a folder\n"}, "thing~", "file"),
    ({"a.py": "\0bin one"}, {"a.py": "\0bin two"}, "a.py", "binary"),
])
async def test_each_kind_of_conflict_is_named(shop: Shop, one: Files, other: Files, path: str, kind: str) -> None:
    shop.branch(one)
    shop.branch(other)
    clash = only(await shop.look())
    assert clash.kind == "hot"
    assert any(hunk.path.startswith(path) and hunk.kind == kind and hunk.line == 0 for hunk in clash.hunks), clash.hunks


async def test_a_change_that_does_not_merge_with_the_target_is_told_as_that_and_of_no_pair(shop: Shop) -> None:
    old = shop.trunk
    shop.on_main({"a.py": "first\n" + changed((7, "main's seven"))})
    late, fine = shop.branch({"a.py": changed((7, "seven"))}, onto=old), shop.branch({"a.py": changed((30, "thirty"))}, onto=old)
    outlook = await shop.look()
    assert outlook.with_target == {late: (Hunk(path="a.py", line=8, count=1, kind="content"),)}
    assert outlook.compared == (fine,) and not outlook.clashes


async def test_heads_that_are_only_old_do_not_collide_over_what_the_target_has_since(shop: Shop) -> None:
    old = shop.trunk
    shop.branch({"b.py": changed((20, "twenty"))}, onto=old)
    between = shop.on_main({"b.py": changed((20, "other")), "a.py": "changed\n" + LINES})
    shop.branch({"a.py": changed((7, "new seven"))}, onto=between)
    shop.on_main({"b.py": LINES})
    assert not (await shop.look()).clashes  # the raw heads differ in b.py; what they do to main does not


async def test_at_most_twenty_places_are_named(shop: Shop) -> None:
    shop.branch({f"n{n}.py": "one\n" for n in range(25)})
    shop.branch({f"n{n}.py": "two\n" for n in range(25)})
    assert len(only(await shop.look()).hunks) == module.HUNKS == 20


async def test_rivals_of_a_race_are_not_compared(shop: Shop) -> None:
    shop.branch({"a.py": changed((7, "one"))}, rivals="T1")
    shop.branch({"a.py": changed((7, "two"))}, rivals="T1")
    third = shop.branch({"a.py": changed((7, "three"))})
    assert {(clash.one, clash.other) for clash in (await shop.look()).clashes} == {("T1", third), ("T2", third)}


async def test_a_commit_that_is_not_there_is_unread_and_the_others_are_still_compared(shop: Shop) -> None:
    shop.branch({"a.py": changed((7, "one"))})
    shop.branch({"a.py": changed((7, "two"))})
    shop.heads.insert(1, Head(TaskId("T9"), Oid("1" * 40)))
    outlook = await shop.look()
    assert outlook.unread == ("T9",) and outlook.compared == ("T1", "T2") and only(outlook).kind == "hot"


async def test_a_change_that_could_not_be_read_whole_is_not_said_to_be_compared(shop: Shop) -> None:
    shop.branch({"a.py": changed((7, "one"))}, whole=False)
    shop.branch({"a.py": changed((7, "two"))})
    outlook = await shop.look()
    assert outlook.compared == ("T2",) and only(outlook).kind == "hot"


async def test_a_broken_target_is_a_mistake(shop: Shop) -> None:
    with pytest.raises(Mistake):
        await shop.forecast.outlook(Oid("1" * 40), [])


# --- what it costs and leaves --------------------------------------------------------------------------------------------


async def test_a_new_head_is_merged_with_trunk_and_its_neighbours_only(shop: Shop) -> None:
    for n in range(6):
        shop.branch({"a.py" if n % 2 else "b.py": changed((n + 1, "x"))})
    await shop.look()
    merged = shop.forecast.merged
    assert merged == 6 + 3 + 3
    shop.branch({"a.py": changed((20, "y"))})
    await shop.look()
    assert shop.forecast.merged - merged == 1 + 3
    await shop.look()
    assert shop.forecast.merged - merged == 1 + 3


async def test_the_repository_is_left_as_it_was(shop: Shop) -> None:
    for n in range(4):
        shop.branch({"a.py": changed((7, f"seven {n}"))})
    before = git_dir_files(shop.path / ".git")
    assert len((await shop.look()).clashes) == 6
    assert git_dir_files(shop.path / ".git") == before


async def test_a_merge_driver_that_a_repository_configures_is_not_run(shop: Shop, tmp_path: Path) -> None:
    gitkit.run(shop.path, "config", "merge.evil.driver", f"touch {tmp_path / 'ran'}; true")
    shop.on_main({".gitattributes": "*.py merge=evil\n"})
    shop.branch({"a.py": changed((7, "one"))})
    shop.branch({"a.py": changed((7, "two"))})
    assert only(await shop.look()).kind == "hot" and not (tmp_path / "ran").exists()


async def test_a_store_that_has_grown_is_made_anew_with_what_is_still_needed(
    shop: Shop, monkeypatch: pytest.MonkeyPatch,
) -> None:
    for n in range(4):
        shop.branch({"a.py": changed((7, f"seven {n}"))})
    first, store = await shop.look(), shop.forecast.store
    monkeypatch.setattr(module, "ROWS_LIMIT", -5)
    shop.branch({"b.py": changed((7, "seven"))})
    await shop.look()
    assert shop.forecast.store is not store and not store.objects.exists()
    monkeypatch.setattr(module, "ROWS_LIMIT", 2000)
    shop.branch({"a.py": changed((7, "another"))})
    again = await shop.look()
    assert {(clash.one, clash.other) for clash in first.clashes} <= {(clash.one, clash.other) for clash in again.clashes}
    assert len([clash for clash in again.clashes if clash.other == "T6"]) == 4


def test_stores_lie_in_memory_where_there_is_plenty_and_go_with_their_daemon_even_a_killed_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:
    memory = tmp_path / "shm"
    monkeypatch.setattr(whatif, "MEMORY", memory)
    assert whatif.Room(tmp_path).path == tmp_path / "scratch"
    memory.mkdir()
    room, other = whatif.Room(tmp_path), whatif.Room(tmp_path)
    assert room.path != other.path and {room.path, other.path} == set(memory.iterdir())
    killed = memory / room.path.name.replace(room.path.name[-2:], "__")
    shutil.copytree(room.path, killed)  # nobody holds its lock
    (mine := memory / "andon-notes").mkdir()
    third = whatif.Room(tmp_path)
    assert set(memory.iterdir()) == {room.path, other.path, third.path, mine}
    for one in (room, other, third, third):
        one.close()
    assert list(memory.iterdir()) == [mine]
    monkeypatch.setattr(whatif, "ROOM_NEEDED", 2**60)
    assert whatif.Room(tmp_path).path == tmp_path / "scratch"


# --- nothing is missed ---------------------------------------------------------------------------------------------------


def random_change(chance: random.Random, files: dict[str, str]) -> Files:
    """What an agent might do: edits, new files, removals, moves of files and of whole folders, files in place of folders."""
    done: Files = {}
    for _ in range(chance.randint(1, 4)):
        name, luck = chance.choice(sorted(files)), chance.random()
        if luck < 0.45:
            done[name] = changed((chance.randint(1, 10), f"{chance.randint(0, 2)}"), text=files[name])
        elif luck < 0.6:
            done[f"{name.rpartition('/')[0]}/new{chance.randint(0, 3)}.py"] = f"{chance.randint(0, 1)}\n" * 10
        elif luck < 0.7:
            done[name] = None
        elif luck < 0.8:
            done |= {name: None, f"{name}.moved{chance.randint(0, 1)}": files[name]}
        elif luck < 0.93:
            folder = chance.choice([name.rpartition("/")[0], name.split("/")[0]])
            into = chance.choice(["moved", f"{folder}_new", "d0/inner"])
            for path in (path for path in files if path.startswith(folder + "/")):
                done |= {path: None, into + path.removeprefix(folder): files[path]}
        else:
            folder = name.rpartition("/")[0]
            done |= {path: None for path in files if path.startswith(folder + "/")} | {folder: "a file now\n"}
    return done


def fast_import(path: Path, ref: str, parent: str, files: Files) -> str:
    told = f"commit {ref}\ncommitter T <t@example.org> 1700000000 +0000\ndata 1\nx\nfrom {parent}\n"
    told += "".join(f"D {name}\n" for name, text in files.items() if text is None)
    told += "".join(f"M 100644 inline {name}\ndata {len(text)}\n{text}\n" for name, text in files.items() if text is not None)
    gitkit.run(path, "fast-import", "--quiet", "--force", stdin=told.encode())
    return gitkit.ref(path, ref)


def merges(path: Path, one: str, other: str) -> tuple[bool, str]:
    """Whether two commits merge, and the tree, by one process of its own."""
    done = subprocess.run(("git", "-C", str(path), "merge-tree", "--write-tree", one, other), env=environ() | {"HOME": "/"},
                          capture_output=True, text=True, check=False)
    assert done.returncode in (0, 1), done.stderr
    return done.returncode == 0, done.stdout.splitlines()[0]


@pytest.mark.parametrize("seed", range(4))
async def test_no_conflict_is_missed_that_merging_every_pair_would_find(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    files = {f"d{a}/e{b}/f{n}.py": "".join(f"{a}{b}{n} {line}\n" for line in range(10)) for a in range(3) for b in range(2)
             for n in range(2)}
    shop = Shop(tmp_path / "repo", tmp_path / "room", files)
    for n in range(12):
        name = f"refs/heads/T{n}"
        shop.heads.append(Head(TaskId(f"T{n}"), Oid(fast_import(shop.path, name, shop.trunk, random_change(chance, files)))))
    shop.on_main({next(iter(files)): "main has been here\n" * 10})
    try:
        outlook = await shop.look()
    finally:
        shop.forecast.close()
    with_trunk = {head.task: merges(shop.path, shop.trunk, head.commit) for head in shop.heads}
    assert {task for task, (clean, _) in with_trunk.items() if not clean} == set(outlook.with_target)
    rows = {task: gitkit.run(shop.path, "commit-tree", tree, "-p", shop.trunk, "-m", "x")
            for task, (clean, tree) in with_trunk.items() if clean}
    brute = {(one, other) for one, other in combinations(rows, 2) if not merges(shop.path, rows[one], rows[other])[0]}
    assert {(clash.one, clash.other) for clash in outlook.clashes if clash.kind == "hot"} == brute
    assert brute, "a repository in which nothing collides proves nothing"
    assert shop.forecast.merged < 12 + len(rows) * (len(rows) - 1) // 2


# --- checkouts at work ---------------------------------------------------------------------------------------------------


class Desk:
    """Agents' checkouts, and a forecast that reads them."""

    def __init__(self, shop: Floor) -> None:
        self.shop, self.base = shop, shop.base
        self.forecast = Forecast(shop.git_dir, shop.layout.home / "scratch")

    async def sit(self, attempt: str, **fields: object) -> Path:
        await checkout.prepare(self.shop.prepare(attempt, **fields), self.shop.layout)  # type: ignore[arg-type]
        return self.shop.path(attempt)

    async def read(self, attempt: str, before: worktree_tree.AtWork | None = None) -> worktree_tree.AtWork:
        found = await worktree_tree.read(self.shop.git_dir, self.shop.path(attempt), self.base, self.shop.base,
                                         self.forecast.store.objects, self.shop.layout, before)
        assert found is not None
        return found

    async def look(self, *attempts: str) -> Outlook:
        heads = [Head(TaskId(name), (at := await self.read(name)).commit, at.whole) for name in attempts]
        return await self.forecast.outlook(self.shop.base, heads)

    def files(self, at: worktree_tree.AtWork) -> dict[str, str]:
        """The files that the throw-away commit holds."""
        env = {"GIT_ALTERNATE_OBJECT_DIRECTORIES": str(self.forecast.store.objects)}
        names = gitkit.run(self.shop.person, "ls-tree", "-r", "--name-only", at.commit, env=env).splitlines()
        return {name: gitkit.run(self.shop.person, "cat-file", "blob", f"{at.commit}:{name}", env=env) for name in names}


@contextmanager
def desk(root: Path) -> Iterator[Desk]:
    made = Desk(floor(root, {"a.py": LINES, "b.py": LINES, ".gitignore": "*.log\n"}))
    try:
        yield made
    finally:
        made.forecast.close()


@pytest.mark.parametrize("isolation", ["clone", "worktree"])
async def test_what_agents_have_not_committed_collides(tmp_path: Path, isolation: str) -> None:
    with desk(tmp_path) as at:
        one, other = await at.sit("T1.1", isolation=isolation), await at.sit("T2.1", isolation=isolation)
        gitkit.write(one, {"a.py": changed((7, "seven"))})
        gitkit.write(other, {"a.py": changed((7, "sieben"))})
        clash = only(await at.look("T1.1", "T2.1"))
        assert clash.kind == "hot" and clash.hunks == (Hunk(path="a.py", line=7, count=1, kind="content"),)


async def test_reading_a_checkout_changes_nothing_in_it(tmp_path: Path) -> None:
    with desk(tmp_path) as at:
        place = await at.sit("T1.1")
        gitkit.write(place, {"a.py": changed((7, "seven")), "new.py": "n\n", "b.py": None})
        gitkit.run(place, "add", "new.py")
        before = git_dir_files(place), {file: file.lstat().st_mtime_ns for file in place.rglob("*")}
        shop_before = git_dir_files(at.shop.git_dir)
        await at.read("T1.1")
        assert (git_dir_files(place), {file: file.lstat().st_mtime_ns for file in place.rglob("*")}) == before
        assert git_dir_files(at.shop.git_dir) == shop_before


async def test_a_checkout_at_work_is_its_files_committed_or_not_without_what_is_ignored(tmp_path: Path) -> None:
    with desk(tmp_path) as at:
        place = await at.sit("T1.1")
        gitkit.commit(place, {"done.py": "committed\n"}, "Work")
        gitkit.write(place, {"a.py": "edited\n", "b.py": None, "deep/new.py": "new\n", "noise.log": "noise\n"})
        assert at.files(await at.read("T1.1")) == {
            ".gitignore": "*.log", "a.py": "edited", "deep/new.py": "new", "done.py": "committed"}


async def test_a_checkout_in_which_nothing_happened_is_not_read_again(tmp_path: Path) -> None:
    with desk(tmp_path) as at:
        place = await at.sit("T1.1")
        gitkit.write(place, {"a.py": changed((7, "seven"))})
        first = await at.read("T1.1")
        assert await at.read("T1.1", first) is first
        gitkit.write(place, {"a.py": changed((7, "SEVEN"))})
        second = await at.read("T1.1", first)
        assert second.commit != first.commit and at.files(second)["a.py"] == changed((7, "SEVEN")).strip()


async def test_an_agent_that_took_in_the_newer_target_does_not_collide_with_it(tmp_path: Path) -> None:
    with desk(tmp_path) as at:
        place = await at.sit("T1.1")
        gitkit.commit(at.shop.person, {"a.py": changed((7, "main's"))}, "Main goes on")
        gitkit.run(place, "pull", "-q", "--no-rebase", "origin", "main")
        gitkit.write(place, {"a.py": changed((7, "main's"), (8, "beside it"))})
        outlook = await at.look("T1.1")
        assert not outlook.with_target and outlook.compared == ("T1.1",)


async def test_links_folders_and_repositories_in_a_checkout_are_not_followed(tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret.py").write_text("secret\n")
    with desk(tmp_path / "in") as at:
        place = await at.sit("T1.1")
        gitkit.make_repo(place / "nested")
        (place / "out").symlink_to(tmp_path / "outside")
        (place / "a.py").unlink()
        (place / "a.py").mkdir()
        (place / "a.py" / "part.py").write_text("part\n")
        found = at.files(await at.read("T1.1"))
        assert found.keys() == {".gitignore", "a.py/part.py", "b.py", "out"} and found["out"] == str(tmp_path / "outside")


async def test_bounds_are_kept_and_what_git_tracks_beyond_them_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worktree_tree, "FILE", 10_000)
    with desk(tmp_path) as at:
        place = await at.sit("T1.1")
        gitkit.write(place, {"build.bin": "x" * 20_000, "small.py": "s\n"})
        read = await at.read("T1.1")
        assert read.whole and "small.py" in at.files(read) and "build.bin" not in at.files(read)
        gitkit.write(place, {"a.py": "x" * 20_000})
        assert not (await at.read("T1.1")).whole
        monkeypatch.setattr(worktree_tree, "FILES", 1)
        gitkit.write(place, {"a.py": LINES, **{f"n{n}.py": "n\n" for n in range(5)}})
        assert len(at.files(await at.read("T1.1"))) == 4


async def test_a_checkout_that_is_gone_or_not_ours_is_unknown(tmp_path: Path) -> None:
    with desk(tmp_path) as at:
        place = await at.sit("T1.1")
        shutil.copytree(place, place.with_name("T2.1"))
        for name in ("T2.1", "T3.1"):
            found = await worktree_tree.read(at.shop.git_dir, at.shop.path(name), at.shop.base, at.shop.base,
                                             at.forecast.store.objects, at.shop.layout)
            assert found is None
