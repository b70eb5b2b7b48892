"""kill -9 at every step of what is done to a checkout: done again, it comes out right, and nothing was lost meanwhile.

A child process does the deed and kills itself at its n-th change of the disk or start of a program, or a moment after that program
has started, which then goes on without it. ANDON_EVERY_STEP=1 tries each step; otherwise a part of them.
"""

import asyncio
import os
import shutil
import signal
import sys
import threading
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

import gitkit
from andon.edges import checkout, landing, marker, salvage
from andon.edges.proving import Proving
from andon.schema.ids import AttemptId, Oid
from andon.schema.inputs import CandidateMerged, MirrorSeen, TargetSwapped
from checkoutkit import REPO, Blobs, Floor, floor
from gitkit import run, write

STEPS = {"os.rename", "subprocess.Popen", "shutil.copyfile", "shutil.rmtree", "os.chmod"}
EVERY = bool(os.environ.get("ANDON_EVERY_STEP"))
ONE = AttemptId("T1.1")
pytestmark = pytest.mark.slow
Deed = Callable[[], Coroutine[Any, Any, object]]


def killed(deed: Deed, at: int, after: float) -> bool:
    """Do the deed in a child that dies at its n-th step, or `after` seconds later; whether it died."""
    child = os.fork()
    if child == 0:
        count = 0

        def step(event: str, _args: object) -> None:
            nonlocal count
            if event in STEPS:
                count += 1
                if count == at and after == 0:
                    os.kill(os.getpid(), signal.SIGKILL)
                elif count == at:
                    threading.Timer(after, os.kill, (os.getpid(), signal.SIGKILL)).start()

        sys.addaudithook(step)
        try:
            asyncio.run(deed())
        finally:
            os._exit(0 if count < at else 1)
    status = os.waitpid(child, 0)[1]
    return os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 1


def sweep(begin: Callable[[], Deed], check: Callable[[], None], stride: int = 3) -> int:
    """Kill the deed at each step in turn; after each, `check` does it again and judges. How many kills there were."""
    kills = 0
    stride = 1 if EVERY else stride
    for after, at in ((0.0, 1), (0.004, 1 + stride // 2)):
        while killed(begin(), at, after):
            check()
            kills += 1
            at += stride
        check()
    return kills


@pytest.fixture
def shops(tmp_path: Path) -> Iterator[Floor]:
    """One fresh person and factory after another."""

    def make() -> Iterator[Floor]:
        n = 0
        while True:
            n += 1
            yield floor(tmp_path / f"s{n}", {"a.txt": "a\n", "b.txt": "b\n", ".gitignore": "*.log\n"})

    return make()


class Stage:
    """The shop of the present kill."""

    def __init__(self, shops: Iterator[Floor], isolation: str = "clone") -> None:
        self.shops, self.isolation = shops, isolation
        self.shop: Floor

    def fresh(self) -> Floor:
        self.shop = next(self.shops)
        return self.shop

    def with_work(self) -> Floor:
        """A checkout with work in it: made once, then copied back to the same place."""
        if not hasattr(self, "shop"):
            self._work(self.fresh())
            shutil.copytree(self.shop.person.parent, self.saved, symlinks=True)
        root = self.shop.person.parent
        shutil.rmtree(root)
        shutil.copytree(self.saved, root, symlinks=True)
        known = marker.read(self.shop.path())
        assert known is not None
        device, inode = marker.identity(self.shop.path())
        marker.write(self.shop.path(), msgspec.structs.replace(known, device=device, inode=inode))
        return self.shop

    @property
    def saved(self) -> Path:
        return self.shop.person.parent.with_name("saved")

    def _work(self, shop: Floor) -> None:
        asyncio.run(checkout.prepare(shop.prepare(isolation=self.isolation), shop.layout))
        path = shop.path()
        gitkit.commit(path, {"a.txt": "committed\n"}, "Work")
        run(path, "checkout", "-q", "--detach")
        gitkit.commit(path, {"lost.txt": "detached\n"}, "Detached")
        run(path, "checkout", "-q", "-")
        write(path, {"b.txt": "staged\n"})
        run(path, "add", "b.txt")
        write(path, {"b.txt": "edited\n", "new.txt": "untracked\n"})


def left_over(shop: Floor) -> list[str]:
    return [str(path) for path in shop.layout.home.rglob(".tmp-*")]


@pytest.mark.parametrize("isolation", ["clone", "worktree"])
def test_preparing(shops: Iterator[Floor], isolation: str) -> None:
    stage = Stage(shops, isolation)

    def begin() -> Deed:
        shop = stage.fresh()
        write(shop.person, {"local.log": "mine\n", ".worktreeinclude": "*.log\n"})
        return lambda: checkout.prepare(shop.prepare(isolation=isolation, setup=("test ! -e x.log; echo x > x.log",)), shop.layout)

    def check() -> None:
        shop = stage.shop
        effect = shop.prepare(isolation=isolation, setup=("test ! -e x.log; echo x > x.log",))
        ready = asyncio.run(checkout.prepare(effect, shop.layout))
        path = Path(ready.path)
        assert run(path, "status", "--porcelain") == "" and run(path, "rev-parse", "HEAD") == shop.base
        assert (path / "local.log").read_text() == "mine\n" and (path / "x.log").exists()
        known = marker.ours(path, shop.layout)
        assert known is not None and known.ready and gitkit.ref(shop.person, "refs/andon/keep/T1.1") == shop.base
        assert run(shop.person, "fsck") == "" and left_over(shop) == []
        assert len(run(shop.person, "worktree", "list").splitlines()) == (2 if isolation == "worktree" else 1)

    assert sweep(begin, check, 4) >= 6


def test_importing(shops: Iterator[Floor]) -> None:
    stage = Stage(shops)

    def begin() -> Deed:
        shop = stage.with_work()
        return lambda: checkout.import_work(shop.bring(), shop.layout, Blobs())

    def check() -> None:
        shop = stage.shop
        read = asyncio.run(checkout.import_work(shop.bring(), shop.layout, Blobs()))
        assert (read.commit, read.paths, read.dirty, read.refused) == (run(shop.path(), "rev-parse", "HEAD"), ("a.txt",), True, "")
        assert gitkit.ref(shop.person, "refs/andon/work/T1.1") == read.commit and run(shop.person, "fsck") == ""

    assert sweep(begin, check, 7) >= 3


def test_a_snapshot(shops: Iterator[Floor]) -> None:
    stage = Stage(shops)

    def begin() -> Deed:
        shop = stage.with_work()
        return lambda: salvage.snapshot(shop.git_dir, shop.path(), ONE, shop.base, shop.layout)

    def check() -> None:
        shop = stage.shop
        kept = asyncio.run(salvage.snapshot(shop.git_dir, shop.path(), ONE, shop.base, shop.layout))
        assert kept.dirty and run(shop.person, "for-each-ref", "--format=%(refname)", "refs/andon/salvage") == kept.ref
        assert all_there(shop)

    assert sweep(begin, check, 9) >= 4


WORK = (b"committed\n", b"detached\n", b"staged\n", b"edited\n", b"untracked\n")


def all_there(shop: Floor) -> bool:
    """Whether every byte of the work is in the person's repository."""
    return {gitkit.blob_oid(data, shop.person) for data in WORK} <= gitkit.reachable_blobs(shop.person)


@pytest.mark.parametrize("isolation", ["clone", "worktree"])
def test_removing(shops: Iterator[Floor], isolation: str) -> None:
    stage = Stage(shops, isolation)

    def begin() -> Deed:
        shop = stage.with_work()
        return lambda: checkout.remove(shop.remove(teardown=("true",)), shop.layout)

    def check() -> None:
        shop = stage.shop
        assert all_there(shop) or (shop.path() / "new.txt").exists()  # before anything is done again: it is in one place or both
        gone = asyncio.run(checkout.remove(shop.remove(teardown=("true",)), shop.layout))
        assert gone.dirty and gitkit.ref(shop.person, gone.ref) == gone.oid and all_there(shop)
        assert not shop.path().exists() and not gitkit.ref(shop.person, "refs/andon/keep/T1.1")
        asyncio.run(salvage.sweep(shop.layout))
        assert not list(shop.layout.trash.iterdir()) and left_over(shop) == []
        assert len(run(shop.person, "worktree", "list").splitlines()) == 1 and run(shop.person, "fsck", "--no-dangling") == ""

    assert sweep(begin, check, 11) >= 4


def test_proving(shops: Iterator[Floor]) -> None:
    stage = Stage(shops)

    async def use(shop: Floor, commit: str) -> None:
        async with Proving(shop.layout).slot(REPO, shop.git_dir, Oid(commit), Oid(gitkit.tree(shop.person, commit))) as path:
            assert {file.name: file.read_text() for file in path.glob("*.txt")} == {
                name: run(shop.person, "show", f"{commit}:{name}") + "\n" for name in ("a.txt", "b.txt")}

    def begin() -> Deed:
        shop = stage.fresh()
        gitkit.commit(shop.person, {"a.txt": "second\n"}, "Second")
        return lambda: use(shop, gitkit.ref(shop.person, "HEAD"))

    def check() -> None:
        for commit in ("HEAD", "HEAD^"):
            asyncio.run(use(stage.shop, gitkit.ref(stage.shop.person, commit)))

    assert sweep(begin, check, 4) >= 4


@pytest.mark.parametrize("how", ["merge", "squash", "rebase"])
def test_landing(shops: Iterator[Floor], how: str) -> None:
    stage = Stage(shops)

    async def land(shop: Floor, base: str, *work: str) -> None:
        effect = shop.merge(*work, onto=base, how=how, green=how == "squash")
        merged = await landing.merge_candidate(effect)
        assert isinstance(merged, CandidateMerged)
        swapped = await landing.move_target(shop.move(effect, merged))
        assert isinstance(swapped, TargetSwapped)
        seen = await landing.mirror_target(shop.mirror(merged.candidate))
        assert isinstance(seen, MirrorSeen) and seen.advanced, seen

    facts: dict[str, str] = {}

    def begin() -> Deed:
        shop = stage.fresh()
        run(shop.person, "checkout", "-q", "-b", "work")
        facts.update(base=shop.base, work=gitkit.commit(shop.person, {"a.txt": "landed\n"}, "Work"))
        run(shop.person, "checkout", "-q", "-b", "other", shop.base)
        facts["other"] = gitkit.commit(shop.person, {"other.txt": "landed too\n"}, "Other work")
        run(shop.person, "checkout", "-q", "main")
        return lambda: land(shop, facts["base"], facts["work"], facts["other"])

    def check() -> None:
        shop = stage.shop
        asyncio.run(land(shop, facts["base"], facts["work"], facts["other"]))
        assert run(shop.person, "status", "--porcelain") == "" and (shop.person / "a.txt").read_text() == "landed\n"
        landed = run(shop.person, "rev-list", "--count", "--first-parent", f"{facts['base']}..main")
        assert landed == ("1" if how == "squash" else "2")
        assert (shop.person / "other.txt").read_text() == "landed too\n"
        assert shop.base == gitkit.ref(shop.person, "refs/andon/trunk/main")

    assert sweep(begin, check, 9) >= 4


def test_the_sweep_would_see_a_loss(shops: Iterator[Floor]) -> None:
    """The check of the check: a removal without a snapshot is caught."""
    stage = Stage(shops)

    async def naive(shop: Floor) -> None:
        await salvage.destroy(shop.path(), shop.layout)

    def begin() -> Deed:
        shop = stage.with_work()
        return lambda: naive(shop)

    def check() -> None:
        assert all_there(stage.shop) or (stage.shop.path() / "new.txt").exists()

    with pytest.raises(AssertionError):
        sweep(begin, check)
