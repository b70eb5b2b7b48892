"""kill -9 of git and daemon while a person's checkout is taken forward: it comes out right each time, and their bytes stay."""

import asyncio
import os
import random
import signal
import threading
from pathlib import Path

import pytest

import gitkit
from andon.edges import git as git_module, landing
from andon.edges.forward import journal_of
from andon.edges.proctable import descendants
from checkoutkit import Floor, floor
from gitkit import run, write
from landingkit import files_of

FILES, KILLS = 300, 64
pytestmark = pytest.mark.slow


def tree_of(n: int, side: str) -> dict[str, str]:
    """Some hundred files, of which most differ between the two sides, and some are on one alone."""
    files = {f"d{i % 17}/f{i}.txt": f"{side if i % 5 else 'both'} {i}\n" * 300 for i in range(n)}
    return files | {f"{side}/only{i}.txt": f"{side}\n" * 50 for i in range(30)} | {"mine.txt": "theirs\n", "staged.txt": "theirs\n"}


def shop_of(root: Path) -> tuple[Floor, list[str]]:
    """A checkout, and a line of commits that go to and fro between the two sides."""
    shop = floor(root, tree_of(FILES, "one"))
    run(shop.person, "checkout", "-q", "-b", "aside")
    for name in run(shop.person, "ls-files").splitlines():
        (shop.person / name).unlink()
    gitkit.commit(shop.person, tree_of(FILES, "two"), "Two")
    sides = [gitkit.tree(shop.person, "aside"), gitkit.tree(shop.person, "main")]
    run(shop.person, "checkout", "-q", "main")
    line, tip = [], str(shop.base)
    for n in range(KILLS):
        tip = run(shop.person, "commit-tree", sides[n % 2], "-p", tip, "-m", f"Step {n}")
        line.append(tip)
    return shop, line


def killed_forward(shop: Floor, oid: str, after: float, also: str) -> None:
    """Take the checkout forward in a child; it and its git die `after` seconds after git has begun to write."""
    child = os.fork()
    if child:
        os.waitpid(child, 0)
        return

    def die() -> None:
        for process in descendants(os.getpid()):
            os.kill(process.pid, signal.SIGKILL)
        os.kill(os.getpid(), signal.SIGKILL)

    def seen(argv: tuple[str, ...]) -> None:
        if argv[1] in ("merge", also):
            threading.Timer(after, die).start()

    git_module.observe = seen
    try:
        asyncio.run(landing.mirror_target(shop.mirror(oid, asked=1)))
    finally:
        os._exit(0)


def test_a_checkout_whose_advance_was_killed_is_repaired_every_time(tmp_path: Path) -> None:
    shop, line = shop_of(tmp_path)
    chance = random.Random(20260421)
    write(shop.person, {"mine.txt": "my edit\n", "staged.txt": "my staged edit\n", "notes.txt": "my notes\n"})
    run(shop.person, "add", "staged.txt")
    mine = {name: (shop.person / name).read_bytes() for name in ("mine.txt", "staged.txt", "notes.txt")}
    staged = run(shop.person, "diff", "--cached")
    mixed = again = 0
    for n, oid in enumerate(line):
        killed_forward(shop, oid, chance.uniform(0, 0.05), "")
        mixed += journal_of(shop.git_dir).exists() and shop.base != oid and (shop.git_dir / "index.lock").exists()
        if n % 2 and journal_of(shop.git_dir).exists():  # the repair is killed too
            killed_forward(shop, oid, chance.uniform(0, 0.02), chance.choice(("update-index", "read-tree")))
            again += journal_of(shop.git_dir).exists()
        assert {name: (shop.person / name).read_bytes() for name in mine} == mine
        seen = asyncio.run(landing.mirror_target(shop.mirror(oid, asked=1)))
        assert seen.advanced, seen
        assert run(shop.person, "status", "--porcelain").splitlines() == [" M mine.txt", "M  staged.txt", "?? notes.txt"]
        assert {name: (shop.person / name).read_bytes() for name in mine} == mine and run(shop.person, "diff", "--cached") == staged
        landed = tree_of(FILES, "one" if n % 2 else "two")
        assert files_of(shop.person) == {name: text.encode() for name, text in landed.items()} | mine
    assert run(shop.person, "fsck", "--no-dangling") == "" and mixed >= 10 and again >= 1, (mixed, again)


def test_what_the_person_writes_into_a_half_done_checkout_stays(tmp_path: Path) -> None:
    shop, line = shop_of(tmp_path)
    chance = random.Random(7)
    met = 0
    for n, oid in enumerate(line[:12]):
        killed_forward(shop, oid, chance.uniform(0, 0.04), "")
        half = journal_of(shop.git_dir).exists() and shop.base != oid
        edited = shop.person / f"d{1 + n % 3}/f{1 + n % 3}.txt"
        edited.write_text("my own words\n")
        seen = asyncio.run(landing.mirror_target(shop.mirror(oid)))
        assert edited.read_text() == "my own words\n"
        assert run(shop.person, "status", "--porcelain") == f" M {edited.relative_to(shop.person)}", seen
        if half and not seen.advanced:
            met += 1
        run(shop.person, "stash", "-q")
        assert asyncio.run(landing.mirror_target(shop.mirror(oid))).advanced
        assert run(shop.person, "status", "--porcelain") == ""
    assert met >= 2
