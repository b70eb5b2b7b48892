"""What a checkout at work is seen to hold at the end of a turn: nothing fetched, nothing changed, nothing of the agent's run."""

from pathlib import Path

import pytest

from andon.edges import checkout
from checkoutkit import Floor, floor
from gitkit import commit, run, write


@pytest.fixture
async def shop(tmp_path: Path) -> Floor:
    place = floor(tmp_path, {"a.txt": "a\n", ".gitignore": "*.log\n"})
    await checkout.prepare(place.prepare(), place.layout)
    return place


async def look(shop: Floor, *wanted: str) -> checkout.Looked:
    return await checkout.look_at(shop.git_dir, shop.path(), shop.base, shop.layout, wanted)


async def test_an_untouched_checkout_holds_its_base_and_nothing_else(shop: Floor) -> None:
    assert await look(shop) == checkout.Looked(head=shop.base, dirty=False)


async def test_a_commit_and_what_lies_beside_it_are_told_apart(shop: Floor) -> None:
    head = commit(shop.path(), {"b.txt": "b\n"}, "work")
    assert await look(shop) == checkout.Looked(head=head, dirty=False)  # type: ignore[arg-type]
    write(shop.path(), {"c.txt": "c\n", "noise.log": "ignored\n"})
    seen = await look(shop)
    assert seen.head == head and seen.dirty
    (shop.path() / "c.txt").unlink()
    assert not (await look(shop)).dirty, "what git ignores is nothing left behind"


async def test_the_paths_asked_for_are_looked_for_inside_the_checkout_only(shop: Floor) -> None:
    (shop.path() / "out").symlink_to("/etc")
    assert (await look(shop, "a.txt", "none.txt", "/etc/passwd", "../x", "out/passwd")).there == ("a.txt",)


async def test_a_look_runs_nothing_that_the_agent_configured_and_leaves_its_git_alone(shop: Floor, tmp_path: Path) -> None:
    trap = tmp_path / "trap"
    run(shop.path(), "config", "core.fsmonitor", f"touch {trap}")
    run(shop.path(), "config", "core.hooksPath", str(tmp_path))
    index = (shop.path() / ".git/index").read_bytes()
    await look(shop)
    assert not trap.exists() and (shop.path() / ".git/index").read_bytes() == index


async def test_a_head_that_names_nothing_is_no_commit(shop: Floor) -> None:
    (shop.path() / ".git/HEAD").write_text("ref: refs/heads/../../x\n")
    assert (await look(shop)).head is None
